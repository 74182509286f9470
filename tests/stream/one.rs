//! One row: the bits of the whole sequence, states, refusals.

use std::sync::Arc;

use elman::tensor::Seq;
use elman::{
    ErrorKind, Gru, Isa, LayerKind, Lstm, Model, ModelBuilder, ModelSpec, Readout, RecurrentSpec, Rng, Rnn, Stream,
};

use crate::{bits, of_every_kind, on, signal, tiers};

/// Every output of a whole run, of single steps and of uneven blocks: all the same bits. On the portable tier a whole run
/// goes through another library's products, so it is only near; steps and blocks still have the same bits.
fn check(what: &str, model: &Arc<Model>, x: &Seq) {
    let (steps, width) = (x.shape()[0], model.outputs());
    let whole = model.run(x).unwrap();
    let whole_state = [bits(whole.state().h()), bits(whole.state().c())];
    let whole = bits(whole.values().flat().unwrap());

    let mut stream = Stream::new(model.clone()).unwrap();
    let mut y = vec![0.0; steps * width];
    for (x, y) in x.data().chunks(model.inputs()).zip(y.chunks_mut(width)) {
        stream.step(x, y).unwrap();
    }
    let state = stream.state().unwrap();
    let whole = if model.isa() == Isa::Portable {
        let near = |(&a, &b): (&u32, &f32)| (f32::from_bits(a) - b).abs() <= 1e-5 * (1.0 + b.abs());
        assert!(whole.iter().zip(&y).all(near), "{what}: step by step, portable");
        bits(&y)
    } else {
        assert_eq!(bits(&y), whole, "{what}: step by step on {}", model.isa());
        assert_eq!([bits(state.h()), bits(state.c())], whole_state, "{what}: the state on {}", model.isa());
        whole
    };

    stream.reset();
    y.fill(0.0);
    let (mut x, mut rest) = (x.data(), &mut y[..]);
    for n in [1, 3, 64, 65, 7, 130, usize::MAX] {
        let n = n.min(x.len() / model.inputs());
        let (now, later) = x.split_at(n * model.inputs());
        let (out, more) = rest.split_at_mut(n * width);
        stream.block(now, out).unwrap();
        (x, rest) = (later, more);
    }
    assert_eq!(bits(&y), whole, "{what}: by blocks on {}", model.isa());
}

#[test]
fn steps_and_blocks_give_the_bits_of_the_whole_sequence() {
    let mut rng = Rng::new(1);
    let specs = |input: usize, hidden: usize| -> Vec<ModelSpec> {
        let head = |builder: ModelBuilder| builder.linear("fc", 1).model(&mut Rng::new(1)).unwrap().spec().clone();
        vec![
            head(Rnn::builder(input, hidden).into()),
            head(Rnn::builder(input, hidden).nonlinearity(elman::Nonlinearity::Relu).into()),
            head(Gru::builder(input, hidden).into()),
            head(Lstm::builder(input, hidden).into()),
        ]
    };
    for isa in tiers() {
        for hidden in [1, 3, 8, 9, 16, 17, 24, 31, 32, 40, 47, 48, 64, 65, 72, 80, 100, 129] {
            for input in [1, 2, 5, 70] {
                for spec in specs(input, hidden) {
                    let model = on(&spec, isa, hidden as u64);
                    check(
                        &format!("{:?}, {input} to {hidden}", spec.layers[0].kind),
                        &model,
                        &signal(&mut rng, 70 + 230 * (input % 2), input),
                    );
                }
            }
        }
    }
}

#[test]
fn every_kind_of_layer_goes_step_by_step() {
    let spec = of_every_kind();
    let x = signal(&mut Rng::new(2), 150, 3);
    for isa in tiers() {
        let model = on(&spec, isa, 3);
        let mut stream = Stream::new(model.clone()).unwrap();
        let mut y = vec![0.0; 5];
        for n in [1, 2, 64, 65, 150] {
            // The last of n steps is what the whole model gives for them.
            stream.reset();
            x.data().chunks(3).take(n).for_each(|x| stream.step(x, &mut y).unwrap());
            let some = Seq::from_slice(&x.data()[..3 * n], n, 1, 3).unwrap();
            let whole = model.run(&some).unwrap().values().flat().unwrap().to_vec();
            let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-6;
            let same = if isa == Isa::Portable { whole.iter().zip(&y).all(near) } else { whole == y };
            assert!(same, "{n} steps on {isa}: {whole:?}, {y:?}");
        }
    }
}

#[test]
fn streams_share_a_model_and_keep_their_own_state() {
    let model = Arc::new(Gru::builder(2, 12).linear("fc", 3).model(&mut Rng::new(1)).unwrap());
    let x = signal(&mut Rng::new(2), 40, 2);
    let mut alone = vec![0.0; 40 * 3];
    Stream::new(model.clone()).unwrap().block(x.data(), &mut alone).unwrap();
    let outputs = std::thread::scope(|scope| {
        let runs = [0, 1, 2].map(|_| {
            scope.spawn(|| {
                let mut stream = Stream::new(model.clone()).unwrap();
                let mut y = vec![0.0; 40 * 3];
                x.data().chunks(2).zip(y.chunks_mut(3)).for_each(|(x, y)| stream.step(x, y).unwrap());
                y
            })
        });
        runs.map(|run| run.join().unwrap())
    });
    outputs.iter().for_each(|y| assert_eq!(*y, alone));
}

#[test]
fn a_state_is_taken_and_given_back() {
    let model = Arc::new(Lstm::builder(1, 10).num_layers(2).linear("fc", 1).model(&mut Rng::new(1)).unwrap());
    let [mut here, mut there] = [Stream::new(model.clone()).unwrap(), Stream::new(model.clone()).unwrap()];
    let mut y = [[0.0; 1]; 2];
    here.block(&[0.3; 30], &mut [0.0; 30]).unwrap();
    there.set_state(&here.state().unwrap()).unwrap();
    for _ in 0..10 {
        here.step(&[0.7], &mut y[0]).unwrap();
        there.step(&[0.7], &mut y[1]).unwrap();
        assert_eq!(y[0], y[1]);
    }
    let other = Lstm::builder(1, 11).num_layers(2).model(&mut Rng::new(1)).unwrap();
    let wrong = there.set_state(&other.zero_state(1).unwrap()).unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Shape, "{wrong}");
    let rows = there.set_state(&model.zero_state(2).unwrap()).unwrap_err();
    assert_eq!(rows.kind(), ErrorKind::Shape, "{rows}");
    here.step(&[0.1], &mut y[0]).unwrap();
    there.step(&[0.1], &mut y[1]).unwrap();
    assert_eq!(y[0], y[1], "a state that was refused changes nothing");
}

#[test]
fn a_prewarmed_stream_begins_behind_zeros() {
    let model = Arc::new(Gru::builder(1, 8).linear("fc", 1).model(&mut Rng::new(1)).unwrap());
    let mut by_hand = Stream::new(model.clone()).unwrap();
    by_hand.block(&[0.0; 100], &mut [0.0; 100]).unwrap();
    let mut stream = Stream::new(model).unwrap().prewarmed(100);
    for _ in 0..2 {
        assert_eq!(stream.state().unwrap().h(), by_hand.state().unwrap().h());
        stream.step(&[0.9], &mut [0.0]).unwrap();
        stream.reset();
    }
}

#[test]
fn indices_go_through_an_embedding() {
    let spec = ModelSpec::new(1).layer("emb", LayerKind::embedding(11, 6)).layer("gru", RecurrentSpec::gru(vec![9]));
    let model = Arc::new(Model::init(spec, &mut Rng::new(1)).unwrap());
    let (mut by_index, mut by_value) = (Stream::new(model.clone()).unwrap(), Stream::new(model).unwrap());
    let mut y = [[0.0; 9]; 2];
    for index in [3, 10, 0, 3] {
        by_index.step_index(index, &mut y[0]).unwrap();
        by_value.step(&[index as f32], &mut y[1]).unwrap();
        assert_eq!(y[0], y[1]);
    }
    let outside = by_index.step_index(11, &mut y[0]).unwrap_err();
    assert_eq!((outside.kind(), outside.to_string().contains("0 to 10")), (ErrorKind::Value, true), "{outside}");
    assert_eq!(by_value.step(&[0.5], &mut y[1]).unwrap_err().kind(), ErrorKind::Value);
    assert_eq!(by_value.step(&[f32::NAN], &mut y[1]).unwrap_err().kind(), ErrorKind::Value);
    let mut plain = Stream::new(Rnn::builder(1, 2).model(&mut Rng::new(1)).unwrap()).unwrap();
    assert_eq!(plain.step_index(0, &mut [0.0; 2]).unwrap_err().kind(), ErrorKind::Setting);
}

#[test]
fn what_cannot_stream_is_refused_when_the_stream_is_made() {
    let mut rng = Rng::new(1);
    let refused = |model: Model, reason: &str| {
        let error = Stream::new(model).unwrap_err();
        assert!(error.kind() == ErrorKind::Unsupported && error.to_string().contains(reason), "{error}");
    };
    refused(Lstm::builder(1, 4).bidirectional(true).model(&mut rng).unwrap(), "reverse direction");
    refused(Gru::builder(1, 4).readout(Readout::Mean).model(&mut rng).unwrap(), "mean over all steps");
    refused(Gru::builder(1, 4).readout(Readout::Max).model(&mut rng).unwrap(), "max over all steps");
}

#[test]
fn wrong_lengths_are_errors_and_change_nothing() {
    let mut stream = Stream::new(Rnn::builder(2, 3).linear("fc", 2).model(&mut Rng::new(1)).unwrap()).unwrap();
    stream.block(&[0.5; 20], &mut [0.0; 20]).unwrap();
    let before = stream.state().unwrap();
    let mut y = [0.0; 4];
    for (error, name) in [
        (stream.step(&[0.5], &mut y[..2]).unwrap_err(), "x"),
        (stream.step(&[0.5; 2], &mut y[..1]).unwrap_err(), "y"),
        (stream.block(&[0.5; 3], &mut y[..2]).unwrap_err(), "x"),
        (stream.block(&[0.5; 4], &mut y[..3]).unwrap_err(), "y"),
    ] {
        assert!(error.kind() == ErrorKind::Length && error.to_string().starts_with(name), "{error}");
    }
    stream.block(&[], &mut []).unwrap();
    assert_eq!(stream.state().unwrap().h(), before.h());
}

#[test]
fn a_nan_stays_until_a_reset() {
    let mut stream = Stream::new(Lstm::builder(1, 5).linear("fc", 1).model(&mut Rng::new(1)).unwrap()).unwrap();
    let mut y = [[0.0]; 2];
    stream.step(&[0.25], &mut y[0]).unwrap();
    stream.step(&[f32::NAN], &mut y[1]).unwrap();
    assert!(y[1][0].is_nan());
    stream.step(&[0.25], &mut y[1]).unwrap();
    assert!(y[1][0].is_nan());
    stream.reset();
    stream.step(&[0.25], &mut y[1]).unwrap();
    assert_eq!(y[0], y[1]);
}
