//! A model as its user holds it: what it computes, how it trains, and how it says no.

mod encoder;
#[cfg(feature = "safetensors")]
mod files;
#[cfg(feature = "safetensors")]
mod metadata;
mod misuse;
mod parts;
#[cfg(feature = "safetensors")]
mod readings;
mod runs;
mod specs;
mod training;
mod truncated;

use elman::tensor::Seq;
use elman::{ModelSpec, Rng};

/// A sequence of numbers from [-1, 1].
fn draw(rng: &mut Rng, [first, second, width]: [usize; 3]) -> Seq {
    let values: Vec<f32> = (0..first * second * width).map(|_| rng.uniform(-1.0, 1.0)).collect();
    let mut seq = Seq::zeros(first, second, width).unwrap();
    seq.data_mut().copy_from_slice(&values);
    seq
}

/// That two sequences have the same bits.
fn assert_same(got: &[f32], expected: &[f32], what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        assert_eq!(got.to_bits(), expected.to_bits(), "{what}[{i}]: {got} instead of {expected}");
    }
}

/// Every kind of layer that there is between an input of three features and an output.
fn everything() -> ModelSpec {
    use elman::{Activation, LayerKind, LayerSpec, RecurrentSpec};
    let mut gru = RecurrentSpec::gru(vec![6]);
    gru.bidirectional = true;
    let mut lstm = RecurrentSpec::lstm(vec![5, 5]);
    (lstm.initial_state, lstm.dropout) = (true, 0.25);
    let inner = vec![
        LayerSpec::new("rnn", RecurrentSpec::rnn(vec![7])),
        LayerSpec::new("fc", LayerKind::linear_without_bias(3)),
        LayerSpec::new("", Activation::Sigmoid),
    ];
    ModelSpec::new(3)
        .layer("", LayerKind::scale(vec![0.5], vec![0.1, -0.2, 0.3]))
        .layer("encoder", gru)
        .layer("", Activation::Tanh)
        .layer("wrapped", LayerKind::residual(2, inner))
        .layer("lstm", lstm)
        .layer("fc", LayerKind::linear(6))
        .layer("", Activation::Softmax)
}
