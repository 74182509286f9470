//! Another sample rate than the model's.

use std::sync::Arc;

use elman::reference::{Cell, Layer, Steps};
use elman::{ErrorKind, Gru, Isa, Lstm, Model, ModelBuilder, Nonlinearity, Rng, Rnn, Stream, Streams};

use crate::{bits, of_every_kind, on, signal, tiers};

/// 88.2 kHz for a model of 48.
const FRACTIONAL: f64 = 88.2 / 48.0;

fn outputs(stream: &mut Stream, x: &[f32]) -> Vec<f32> {
    let (inputs, outputs) = (stream.model().inputs(), stream.model().outputs());
    let mut y = vec![0.0; x.len() / inputs * outputs];
    x.chunks(inputs).zip(y.chunks_mut(outputs)).for_each(|(x, y)| stream.step(x, y).unwrap());
    y
}

/// An Elman network with either activation, a GRU, and an LSTM without and with a projection.
fn models(isa: Isa) -> Vec<(Cell, Arc<Model>)> {
    let builders: [(Cell, ModelBuilder); 5] = [
        (Cell::Elman(Nonlinearity::Tanh), Rnn::builder(2, 9).into()),
        (Cell::Elman(Nonlinearity::Relu), Rnn::builder(2, 70).nonlinearity(Nonlinearity::Relu).into()),
        (Cell::Gru, Gru::builder(2, 17).into()),
        (Cell::Lstm, Lstm::builder(2, 20).into()),
        (Cell::Lstm, Lstm::builder(2, 20).proj_size(5).into()),
    ];
    builders
        .into_iter()
        .map(|(cell, builder)| {
            let spec = builder.model(&mut Rng::new(1)).unwrap().spec().clone();
            (cell, on(&spec, isa, 7))
        })
        .collect()
}

#[test]
fn every_second_sample_at_twice_the_rate_has_the_bits_of_the_model_at_its_own() {
    for isa in tiers() {
        let mut all: Vec<_> = models(isa).into_iter().map(|(_, model)| model).collect();
        all.push(on(&of_every_kind(), isa, 3));
        for model in all {
            let (inputs, width) = (model.inputs(), model.outputs());
            let x = signal(&mut Rng::new(1), 150, inputs);
            let own = outputs(&mut Stream::new(model.clone()).unwrap().prewarmed(10), x.data());
            for times in [1, 2, 3] {
                let repeated: Vec<f32> = x.data().chunks(inputs).flat_map(|x| x.repeat(times)).collect();
                let stream = Stream::with_rate_ratio(model.clone(), times as f64).unwrap();
                let y = outputs(&mut stream.prewarmed(10 * times), &repeated);
                for (y, own) in y.chunks(width * times).zip(own.chunks(width)) {
                    y.chunks(width).for_each(|y| assert_eq!(bits(y), bits(own), "{} times, {}", times, model.spec()));
                }
            }
        }
    }
}

#[test]
fn a_fractional_ratio_is_the_reference_s() {
    for isa in tiers() {
        for (cell, model) in models(isa) {
            let wide = |name: &str| -> Option<Vec<f64>> {
                let (_, _, values) = model.params().iter().find(|(of, ..)| of.ends_with(name))?;
                Some(values.iter().map(|&x| f64::from(x)).collect())
            };
            let [ih, hh, b_ih, b_hh] = ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]
                .map(|name| wide(name).unwrap_or_else(|| panic!("{name}")));
            let hr = wide("weight_hr_l0");
            let steps = 60;
            let layer = Layer {
                cell,
                steps: Steps::new(steps, 1),
                input: 2,
                hidden: b_ih.len() / cell.gates(),
                weight_ih: &ih,
                weight_hh: &hh,
                bias: Some([&b_ih, &b_hh]),
                weight_hr: hr.as_deref(),
            };
            let x = signal(&mut Rng::new(1), steps, 2);
            let x_64: Vec<f64> = x.data().iter().map(|&x| f64::from(x)).collect();
            for ratio in [1.0, 1.25, FRACTIONAL, 2.0, 3.7] {
                let mut stream = Stream::with_rate_ratio(model.clone(), ratio).unwrap();
                // A first state that is not zero.
                let mut first = stream.state().unwrap();
                first.h_mut().fill(0.25);
                first.c_mut().fill(-0.5);
                stream.set_state(&first).unwrap();
                let (h_0, c_0) = (vec![0.25; model.outputs()], vec![-0.5; layer.hidden]);
                let c_0 = (cell == Cell::Lstm).then_some(&c_0[..]);
                let expected = layer.forward_delayed(&x_64, Some(&h_0), c_0, ratio);
                let y = outputs(&mut stream, x.data());
                for (n, (y, expected)) in y.iter().zip(&expected.y).enumerate() {
                    let apart = (f64::from(*y) - expected).abs();
                    assert!(apart <= 2e-6, "{cell} {ratio} on {isa}: {y}, not {expected} at {n}");
                }
                // The state after the last step is the first of the line.
                let last = stream.state().unwrap();
                let c = &last.c()[..if c_0.is_some() { layer.hidden } else { 0 }];
                assert_eq!(last.h()[..model.outputs()], y[y.len() - model.outputs()..]);
                let near = |(&c, expected): (&f32, &f64)| (f64::from(c) - expected).abs() <= 2e-6;
                assert!(c.len() == expected.c_n.len() && c.iter().zip(&expected.c_n).all(near));
            }
        }
    }
}

#[test]
fn delayed_states_have_the_same_bits_on_every_tier_in_blocks_and_in_rows() {
    let mut of_tiers: Vec<Vec<u32>> = Vec::new();
    let (rows, steps) = (3, 150);
    for isa in tiers() {
        let model = on(&of_every_kind(), isa, 3);
        let x = signal(&mut Rng::new(2), steps, 3);
        let mut stream = Stream::with_rate_ratio(model.clone(), FRACTIONAL).unwrap();
        let y = outputs(&mut stream, x.data());
        stream.reset();
        let mut by_blocks = vec![0.0; y.len()];
        for (x, y) in x.data().chunks(3 * 70).zip(by_blocks.chunks_mut(5 * 70)) {
            stream.block(x, y).unwrap();
        }
        assert_eq!(bits(&by_blocks), bits(&y), "{isa}");

        let mut streams = Streams::with_rate_ratio(model, rows, FRACTIONAL).unwrap();
        let x: Vec<f32> = x.data().chunks(3).flat_map(|x| x.repeat(rows)).collect();
        let mut of_rows = vec![0.0; y.len() * rows];
        streams.block(&x, &mut of_rows).unwrap();
        for (of_rows, y) in of_rows.chunks(5 * rows).zip(y.chunks(5)) {
            of_rows.chunks(5).for_each(|row| assert_eq!(bits(row), bits(y), "{isa}"));
        }
        if isa != Isa::Portable {
            of_tiers.push(bits(&y));
        }
    }
    assert!(of_tiers.windows(2).all(|two| two[0] == two[1]));
}

#[test]
fn the_whole_delay_line_goes_out_and_in() {
    let model = Arc::new(Lstm::builder(1, 10).num_layers(2).model(&mut Rng::new(1)).unwrap());
    let stream = || Stream::with_rate_ratio(model.clone(), 3.5).unwrap();
    let (mut here, mut there) = (stream().prewarmed(9), stream());
    let x = signal(&mut Rng::new(3), 30, 1);
    let first = here.state().unwrap();
    outputs(&mut here, x.data());
    let state = here.state().unwrap();
    assert_eq!((state.h_shape(), state.c_shape()), ([2, 4, 10], [2, 4, 10]));
    there.set_state(&state).unwrap();
    let mut again = state.clone();
    there.state_into(&mut again).unwrap();
    assert_eq!([again.h(), again.c()], [state.h(), state.c()]);
    assert_eq!(bits(&outputs(&mut here, x.data())), bits(&outputs(&mut there, x.data())));

    here.reset();
    assert_eq!([here.state().unwrap().h(), here.state().unwrap().c()], [first.h(), first.c()]);
    let wrong = here.set_state(&model.zero_state(1).unwrap()).unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Shape, "{wrong}");
    assert_eq!(here.state_into(&mut model.zero_state(1).unwrap()).unwrap_err().kind(), ErrorKind::Shape);
    assert_eq!(here.state().unwrap().h(), first.h());
}

#[test]
fn a_ratio_below_one_is_refused() {
    let model = Arc::new(Rnn::builder(1, 2).model(&mut Rng::new(1)).unwrap());
    for ratio in [0.999, 0.0, -2.0, f64::NAN, f64::INFINITY] {
        let error = Stream::with_rate_ratio(model.clone(), ratio).unwrap_err();
        assert!(error.kind() == ErrorKind::Setting && error.to_string().starts_with("rate ratio"), "{error}");
    }
    assert_eq!(Stream::with_rate_ratio(model, 1e300).unwrap_err().kind(), ErrorKind::Overflow);
}
