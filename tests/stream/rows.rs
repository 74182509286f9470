//! Several rows: each has the bits of a stream of its own.

use std::sync::Arc;

use elman::{ErrorKind, Gru, LayerKind, Lstm, Model, ModelBuilder, ModelSpec, Nonlinearity, RecurrentSpec, Rng, Rnn};
use elman::{Stream, Streams};

use crate::{bits, of_every_kind, on, signal, tiers};

/// Every row step by step, and by uneven blocks: the bits of a stream of that row alone, outputs and states.
fn check(model: &Arc<Model>, rows: usize, steps: usize) {
    let (inputs, outputs) = (model.inputs(), model.outputs());
    let what = format!("{rows} rows of {} on {}", model.spec(), model.isa());
    let x = signal(&mut Rng::new(rows as u64), steps, rows * inputs);
    let mut alone = vec![0.0; steps * rows * outputs];
    let mut states = Vec::new();
    for row in 0..rows {
        let mut stream = Stream::new(model.clone()).unwrap();
        for (x, y) in x.data().chunks(rows * inputs).zip(alone.chunks_mut(rows * outputs)) {
            stream.step(&x[row * inputs..][..inputs], &mut y[row * outputs..][..outputs]).unwrap();
        }
        states.push(stream.state().unwrap());
    }
    let mut streams = Streams::new(model.clone(), rows).unwrap();
    let mut y = vec![0.0; alone.len()];
    for blocks in [&[1][..], &[3, 1, 20, 2, usize::MAX]] {
        streams.reset();
        y.fill(0.0);
        let (mut x, mut rest, mut sizes) = (x.data(), &mut y[..], blocks.iter().cycle());
        while !x.is_empty() {
            let n = (*sizes.next().unwrap()).min(x.len() / (rows * inputs));
            let (now, later) = x.split_at(n * rows * inputs);
            let (out, more) = rest.split_at_mut(n * rows * outputs);
            if n == 1 {
                streams.step(now, out).unwrap()
            } else {
                streams.block(now, out).unwrap()
            }
            (x, rest) = (later, more);
        }
        assert_eq!(bits(&y), bits(&alone), "{what}");
        for (row, state) in states.iter().enumerate() {
            let got = streams.state(row).unwrap();
            assert_eq!([bits(got.h()), bits(got.c())], [bits(state.h()), bits(state.c())], "{what}: state of {row}");
        }
    }
}

#[test]
fn each_row_has_the_bits_of_a_stream_of_its_own() {
    let specs = |input: usize, hidden: usize| -> Vec<ModelSpec> {
        let head = |builder: ModelBuilder| builder.linear("fc", 1).model(&mut Rng::new(1)).unwrap().spec().clone();
        vec![
            head(Rnn::builder(input, hidden).into()),
            head(Rnn::builder(input, hidden).nonlinearity(Nonlinearity::Relu).into()),
            head(Gru::builder(input, hidden).into()),
            head(Lstm::builder(input, hidden).into()),
        ]
    };
    for isa in tiers() {
        for hidden in [1, 8, 9, 16, 17, 24, 31, 32, 47, 64, 65, 72, 100] {
            for input in [1, 5, 70] {
                for spec in specs(input, hidden) {
                    let model = on(&spec, isa, hidden as u64);
                    // Tiles of four rows, of two and of one.
                    for rows in [1, 2, 3, 4, 7] {
                        check(&model, rows, 9);
                    }
                }
            }
        }
    }
}

#[test]
fn every_kind_of_layer_takes_rows() {
    for isa in tiers() {
        let model = on(&of_every_kind(), isa, 3);
        for rows in [2, 5, 16, 33] {
            check(&model, rows, 50);
        }
    }
}

#[test]
fn a_row_of_nan_leaves_its_neighbours_bits() {
    for isa in tiers() {
        let model = on(&of_every_kind(), isa, 4);
        let (rows, steps) = (7, 20);
        let x = signal(&mut Rng::new(1), steps, rows * 3);
        let mut clean = vec![0.0; steps * rows * 5];
        Streams::new(model.clone(), rows).unwrap().block(x.data(), &mut clean).unwrap();
        for sick in 0..rows {
            for poison in [f32::NAN, f32::INFINITY] {
                let (mut x, mut y) = (x.clone(), vec![0.0; clean.len()]);
                x.data_mut()[(rows + sick) * 3..][..3].fill(poison);
                let mut streams = Streams::new(model.clone(), rows).unwrap();
                streams.block(x.data(), &mut y).unwrap();
                for (line, (y, clean)) in y.chunks(5).zip(clean.chunks(5)).enumerate() {
                    if line % rows != sick {
                        assert_eq!(bits(y), bits(clean), "row {} beside {sick}", line % rows);
                    }
                }
                assert!(y[y.len() - (rows - sick) * 5..][..5].iter().all(|y| y.is_nan()));
                // It is gone with a reset of its row.
                streams.reset_row(sick).unwrap();
                let mut fresh = Stream::new(model.clone()).unwrap();
                let (x, mut y, mut alone) = (vec![0.5; rows * 3], vec![0.0; rows * 5], [0.0; 5]);
                streams.step(&x, &mut y).unwrap();
                fresh.step(&x[..3], &mut alone).unwrap();
                assert_eq!(bits(&y[sick * 5..][..5]), bits(&alone));
            }
        }
    }
}

#[test]
fn one_row_is_reset_and_the_others_go_on() {
    let builder = Lstm::builder(1, 10).num_layers(2).linear("fc", 1);
    let model = Arc::new(builder.model(&mut Rng::new(1)).unwrap());
    let mut streams = Streams::new(model.clone(), 3).unwrap().prewarmed(20);
    let mut others = streams.clone();
    let mut alone = Stream::new(model).unwrap().prewarmed(20);
    let mut y = [[0.0; 30]; 2];
    streams.block(&[0.3; 30], &mut y[0]).unwrap();
    others.block(&[0.3; 30], &mut y[1]).unwrap();
    streams.reset_row(1).unwrap();
    let mut first = [0.0; 1];
    for _ in 0..5 {
        streams.step(&[0.7; 3], &mut y[0][..3]).unwrap();
        others.step(&[0.7; 3], &mut y[1][..3]).unwrap();
        alone.step(&[0.7], &mut first).unwrap();
        assert_eq!([y[0][0], y[0][1], y[0][2]], [y[1][0], first[0], y[1][2]]);
        assert_ne!(y[0][1], y[1][1]);
    }
    streams.reset();
    alone.reset();
    streams.step(&[0.7; 3], &mut y[0][..3]).unwrap();
    alone.step(&[0.7], &mut first).unwrap();
    assert_eq!(y[0][..3], [first[0]; 3]);
}

#[test]
fn the_state_of_a_row_goes_out_and_in() {
    let model = Arc::new(Lstm::builder(2, 10).proj_size(3).model(&mut Rng::new(1)).unwrap());
    let mut streams = Streams::new(model.clone(), 4).unwrap();
    let mut stream = Stream::new(model.clone()).unwrap();
    let x = signal(&mut Rng::new(2), 30, 8);
    streams.block(x.data(), &mut [0.0; 30 * 4 * 3]).unwrap();
    stream.set_state(&streams.state(2).unwrap()).unwrap();
    let mut state = model.zero_state(1).unwrap();
    streams.state_into(2, &mut state).unwrap();
    streams.set_state(0, &state).unwrap();
    let (mut y, mut alone) = ([0.0; 12], [0.0; 3]);
    streams.step(&[0.5; 8], &mut y).unwrap();
    stream.step(&[0.5; 2], &mut alone).unwrap();
    assert_eq!([&y[..3], &y[6..9]], [&alone, &alone]);
    assert_ne!(y[3..6], alone);

    let other = Lstm::builder(2, 11).proj_size(3).model(&mut Rng::new(1)).unwrap();
    for wrong in [other.zero_state(1).unwrap(), model.zero_state(4).unwrap()] {
        assert_eq!(streams.set_state(0, &wrong).unwrap_err().kind(), ErrorKind::Shape);
        assert_eq!(streams.state_into(0, &mut wrong.clone()).unwrap_err().kind(), ErrorKind::Shape);
    }
    for wrong in [
        streams.set_state(4, &state).unwrap_err(),
        streams.state(4).unwrap_err(),
        streams.state_into(4, &mut state).unwrap_err(),
        streams.reset_row(4).unwrap_err(),
    ] {
        assert!(wrong.kind() == ErrorKind::Value && wrong.to_string().contains("row: expected 0 to 3"), "{wrong}");
    }
}

#[test]
fn rows_take_indices() {
    let spec = ModelSpec::new(1).layer("emb", LayerKind::embedding(11, 6)).layer("gru", RecurrentSpec::gru(vec![9]));
    let model = Arc::new(Model::init(spec, &mut Rng::new(1)).unwrap());
    let (mut by_index, mut by_value) = (Streams::new(model.clone(), 2).unwrap(), Streams::new(model, 2).unwrap());
    let mut y = [[0.0; 18]; 2];
    for [a, b] in [[3, 4], [10, 0], [0, 10]] {
        by_index.step_index(&[a, b], &mut y[0]).unwrap();
        by_value.step(&[a as f32, b as f32], &mut y[1]).unwrap();
        assert_eq!(y[0], y[1]);
    }
    let before = by_index.state(0).unwrap();
    let outside = by_index.step_index(&[0, 11], &mut y[0]).unwrap_err();
    assert!(outside.kind() == ErrorKind::Value && outside.to_string().contains("0 to 10"), "{outside}");
    let short = by_index.step_index(&[0], &mut y[0]).unwrap_err();
    assert!(short.kind() == ErrorKind::Length && short.to_string().starts_with("indices"), "{short}");
    assert_eq!(by_value.step(&[1.0, 0.5], &mut y[1]).unwrap_err().kind(), ErrorKind::Value);
    assert_eq!(by_index.state(0).unwrap().h(), before.h());
    let mut plain = Streams::new(Rnn::builder(1, 2).model(&mut Rng::new(1)).unwrap(), 2).unwrap();
    assert_eq!(plain.step_index(&[0, 0], &mut [0.0; 4]).unwrap_err().kind(), ErrorKind::Setting);
}

#[test]
fn bad_sizes_are_errors_and_change_nothing() {
    let model = Arc::new(Rnn::builder(2, 3).linear("fc", 2).model(&mut Rng::new(1)).unwrap());
    let none = Streams::new(model.clone(), 0).unwrap_err();
    assert!(none.kind() == ErrorKind::Setting && none.to_string().starts_with("rows"), "{none}");
    assert_eq!(Streams::new(model.clone(), usize::MAX / 2).unwrap_err().kind(), ErrorKind::Overflow);
    let two_ways = Lstm::builder(1, 4).bidirectional(true).model(&mut Rng::new(1)).unwrap();
    assert_eq!(Streams::new(two_ways, 2).unwrap_err().kind(), ErrorKind::Unsupported);

    let mut streams = Streams::new(model, 3).unwrap();
    streams.block(&[0.5; 18], &mut [0.0; 18]).unwrap();
    let before = streams.state(1).unwrap();
    let mut y = [0.0; 12];
    for (error, start) in [
        (streams.step(&[0.5; 2], &mut y[..6]).unwrap_err(), "x: shape [3, 2]"),
        (streams.step(&[0.5; 6], &mut y[..5]).unwrap_err(), "y: shape [3, 2]"),
        (streams.block(&[0.5; 8], &mut y[..6]).unwrap_err(), "x: shape [1, 3, 2]"),
        (streams.block(&[0.5; 12], &mut y[..6]).unwrap_err(), "y: shape [2, 3, 2]"),
    ] {
        assert!(error.kind() == ErrorKind::Length && error.to_string().starts_with(start), "{error}");
    }
    streams.block(&[], &mut []).unwrap();
    assert_eq!(streams.state(1).unwrap().h(), before.h());
}
