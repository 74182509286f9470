//! Streams, of one row and of several: bits, states, refusals.

use std::sync::Arc;

use elman::tensor::Seq;
use elman::{Activation, Isa, LayerKind, LayerSpec, Model, ModelSpec, Readout, RecurrentSpec, Rng, Rnn};

mod helpers;
mod one;
mod rate;
mod rows;

/// The tiers that this machine has.
fn tiers() -> Vec<Isa> {
    let model = Rnn::builder(1, 1).model(&mut Rng::new(1)).unwrap();
    let there = |&isa: &Isa| Model::on(model.spec().clone(), isa).is_ok();
    Isa::ALL.iter().copied().filter(there).collect()
}

/// The model of `spec`, drawn anew, on a tier.
fn on(spec: &ModelSpec, isa: Isa, seed: u64) -> Arc<Model> {
    let mut model = Model::on(spec.clone(), isa).unwrap();
    let mut rng = Rng::new(seed);
    let bound = 1.0 / (model.zero_state(1).unwrap().h().len() as f32).sqrt();
    model.params_mut().data_mut().iter_mut().for_each(|x| *x = rng.uniform(-bound, bound));
    Arc::new(model)
}

fn signal(rng: &mut Rng, steps: usize, width: usize) -> Seq {
    let mut x = Seq::zeros(steps, 1, width).unwrap();
    x.data_mut().iter_mut().for_each(|x| *x = rng.uniform(-1.0, 1.0));
    x
}

fn bits(y: &[f32]) -> Vec<u32> {
    y.iter().map(|y| y.to_bits()).collect()
}

/// 3 inputs, 5 outputs, and every kind of layer that can go step by step but an embedding.
fn of_every_kind() -> ModelSpec {
    let inner = [LayerSpec::new("gru", RecurrentSpec::gru(vec![7])), LayerSpec::new("fc", LayerKind::linear(2))];
    ModelSpec::new(3)
        .layer("lstm", RecurrentSpec::lstm(vec![20, 20]).proj_size(7).initial_state(true))
        .layer("", Activation::Tanh)
        .layer("block", LayerKind::residual(4, inner))
        .layer("rnn", RecurrentSpec::rnn(vec![70, 9]))
        .layer("", Readout::Last)
        .layer("fc", LayerKind::linear(40))
        .layer("", Activation::Softmax)
        .layer("", LayerKind::scale([20.0], [0.5]))
        .layer("out", LayerKind::linear_without_bias(5))
}
