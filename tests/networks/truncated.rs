//! Truncated backpropagation through time is training on one stretch after the other.

use crate::compare::assert_same_bits;
use crate::tiers::tiers;
use elman::internals::Kernels;
use elman::internals::NetworkConfig;
use elman::optim::{Adam, AdamConfig, Sgd, SgdConfig};
use elman::tensor::Seq;
use elman::train::Regression;
use elman::{Gru, Lstm, Rng, Rnn, State, Threads};

/// Steps, rows, features, outputs.
const SHAPE: [usize; 4] = [23, 3, 4, 2];

fn draw(first: usize, second: usize, width: usize, seed: u64) -> Seq {
    let (mut seq, mut rng) = (Seq::zeros(first, second, width).unwrap(), Rng::new(seed));
    seq.data_mut().iter_mut().for_each(|x| *x = rng.uniform(-1.0, 1.0));
    seq
}

fn networks(kernels: &'static Kernels) -> [NetworkConfig; 4] {
    let [_, _, input, _] = SHAPE;
    [
        Rnn::builder(input, 6).kernels(kernels).into(),
        Gru::builder(input, 6).num_layers(2).dropout(0.3).kernels(kernels).into(),
        Lstm::builder(input, 6).hidden_sizes([7, 5]).kernels(kernels).into(),
        Lstm::builder(input, 6).proj_size(3).kernels(kernels).into(),
    ]
}

fn model(config: &NetworkConfig) -> Regression {
    Regression::new(config.clone(), SHAPE[3], &mut Rng::new(1)).unwrap()
}

fn adam(model: &Regression) -> Adam {
    Adam::new(model.params(), AdamConfig::default().lr(0.01)).unwrap()
}

fn random_state(model: &Regression, batch: usize) -> State {
    let mut state = model.rnn().zero_state(batch).unwrap();
    let mut rng = Rng::new(9);
    state.h_mut().iter_mut().for_each(|x| *x = rng.uniform(-1.0, 1.0));
    state.c_mut().iter_mut().for_each(|x| *x = rng.uniform(-1.0, 1.0));
    state
}

fn assert_same_state(a: &State, b: &State, what: &str) {
    assert_same_bits(a.h(), b.h(), &format!("{what}: h"));
    assert_same_bits(a.c(), b.c(), &format!("{what}: c"));
}

/// Steps `first..first + len` of (T, B, width) or, batch-first, (B, T, width), copied.
fn stretch(seq: &Seq, batch_first: bool, first: usize, len: usize) -> Seq {
    let view = if batch_first { seq.view().rows(first, len) } else { seq.view().steps(first, len) };
    let [a, b, width] = view.shape();
    let rows: Vec<f32> = (0..a).flat_map(|t| (0..b).flat_map(move |i| view.step(t).row(i).to_vec())).collect();
    Seq::from_slice(&rows, a, b, width).unwrap()
}

#[test]
fn it_is_the_loop_of_training_over_stretches() {
    let [steps, batch, input, outputs] = SHAPE;
    for kernels in tiers() {
        for config in networks(kernels) {
            for batch_first in [false, true] {
                let config = NetworkConfig { batch_first, ..config.clone() };
                let [first, second] = if batch_first { [batch, steps] } else { [steps, batch] };
                let (x, target) = (draw(first, second, input, 1), draw(first, second, outputs, 2));
                for chunk in [1, 5, 23, usize::MAX] {
                    for given in [false, true] {
                        let what = format!("{} {:?} {batch_first} by {chunk}", kernels.isa(), config.cell);
                        let (mut whole, mut parts) = (model(&config), model(&config));
                        let (mut optimizer, mut other) = (adam(&whole), adam(&parts));
                        let first_state = given.then(|| random_state(&whole, batch));
                        let (mut state_whole, mut state_parts) = (first_state.clone(), first_state);
                        // Twice: the second part goes on where the first one ended.
                        for _ in 0..2 {
                            let loss = whole
                                .train_truncated(
                                    x.view(),
                                    state_whole.as_ref(),
                                    target.view(),
                                    chunk,
                                    &mut optimizer,
                                    Threads::one(),
                                )
                                .unwrap();
                            state_whole = Some(whole.state().clone());
                            let mut total = 0.0;
                            for at in (0..steps).step_by(chunk) {
                                let len = chunk.min(steps - at);
                                let [x, target] = [&x, &target].map(|seq| stretch(seq, batch_first, at, len));
                                let loss = parts
                                    .train(x.view(), state_parts.as_ref(), target.view(), &mut other, Threads::one())
                                    .unwrap();
                                total += f64::from(loss) * len as f64;
                                state_parts = Some(parts.state().clone());
                            }
                            assert_same_bits(&[loss], &[(total / steps as f64) as f32], &format!("{what}: loss"));
                            assert_same_bits(whole.params().data(), parts.params().data(), &what);
                            assert_same_bits(whole.gradients().data(), parts.gradients().data(), &what);
                            assert_same_state(whole.state(), parts.state(), &what);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn the_mean_loss_is_that_of_all_steps() {
    // With a learning rate of 0 nothing changes between stretches: the loss is that of the whole sequence.
    let [steps, batch, input, outputs] = SHAPE;
    let (x, target) = (draw(steps, batch, input, 1), draw(steps, batch, outputs, 2));
    for config in networks(Kernels::best()).map(|config| NetworkConfig { dropout: 0.0, ..config }) {
        let mut model = model(&config);
        let mut still = Sgd::new(model.params(), SgdConfig::default().lr(0.0)).unwrap();
        let whole = model.train(x.view(), None, target.view(), &mut still, Threads::one()).unwrap();
        let state = model.state().clone();
        let parts = model.train_truncated(x.view(), None, target.view(), 7, &mut still, Threads::one()).unwrap();
        assert!((whole - parts).abs() <= 1e-6 * whole, "{whole} and {parts}");
        assert_same_state(model.state(), &state, "no step taken");
    }
}

#[test]
fn no_gradient_passes_between_stretches() {
    let [steps, batch, input, outputs] = SHAPE;
    let (x, target) = (draw(steps, batch, input, 1), draw(steps, batch, outputs, 2));
    for config in networks(Kernels::best()).map(|config| NetworkConfig { dropout: 0.0, ..config }) {
        let still = |model: &Regression| Sgd::new(model.params(), SgdConfig::default().lr(0.0)).unwrap();
        // The last stretch's gradient is that of its steps alone, from a state that is a number.
        let mut whole = model(&config);
        let (chunk, at) = (10, 20);
        let mut still_whole = still(&whole);
        whole.train_truncated(x.view(), None, target.view(), chunk, &mut still_whole, Threads::one()).unwrap();
        let mut alone = model(&config);
        alone.predict(x.view().steps(0, at), None, Threads::one()).unwrap();
        let state = alone.state().clone();
        let [x_end, target_end] = [&x, &target].map(|seq| stretch(seq, false, at, steps - at));
        let mut still_alone = still(&alone);
        alone.train(x_end.view(), Some(&state), target_end.view(), &mut still_alone, Threads::one()).unwrap();
        assert_same_bits(whole.gradients().data(), alone.gradients().data(), "the last stretch");

        // In one piece the same steps' losses reach back further.
        let mut uncut = model(&config);
        let mut optimizer = still(&uncut);
        uncut.train(x.view(), None, target.view(), &mut optimizer, Threads::one()).unwrap();
        let mut sum = vec![0.0_f64; uncut.gradients().data().len()];
        let mut cut = model(&config);
        let mut carried = None;
        for first in (0..steps).step_by(chunk) {
            let len = chunk.min(steps - first);
            let [x, target] = [&x, &target].map(|seq| seq.view().steps(first, len));
            cut.train(x, carried.as_ref(), target, &mut optimizer, Threads::one()).unwrap();
            carried = Some(cut.state().clone());
            let share = len as f64 / steps as f64;
            sum.iter_mut().zip(cut.gradients().data()).for_each(|(sum, &d)| *sum += share * f64::from(d));
        }
        let apart = |(a, &b): (&f64, &f32)| (a - f64::from(b)).abs();
        let farthest = sum.iter().zip(uncut.gradients().data()).map(apart).fold(0.0, f64::max);
        assert!(farthest > 1e-4, "{farthest:e}");
    }
}

#[test]
fn what_cannot_be_cut_is_an_error() {
    let [steps, batch, input, outputs] = SHAPE;
    let (x, target) = (draw(steps, batch, input, 1), draw(steps, batch, outputs, 2));
    let config = NetworkConfig::from(Lstm::builder(input, 6));
    let mut model = model(&config);
    let before = model.params().clone();
    let mut optimizer = adam(&model);
    let mut error = |x: &Seq, state: Option<&State>, target: &Seq, chunk| {
        let result = model.train_truncated(x.view(), state, target.view(), chunk, &mut optimizer, Threads::one());
        assert_eq!(model.params(), &before);
        result.unwrap_err().to_string()
    };
    assert_eq!(error(&x, None, &target, 0), "chunk: expected at least 1, got 0");
    let none = Seq::zeros(0, batch, input).unwrap();
    assert_eq!(error(&none, None, &target, 5), "steps: expected at least 1, got 0");
    assert_eq!(error(&x, None, &x, 5), "target: expected [23, 3, 2], got [23, 3, 4]");
    let short = draw(22, batch, outputs, 1);
    assert_eq!(error(&x, None, &short, 5), "target: expected [23, 3, 2], got [22, 3, 2]");
    assert_eq!(error(&target, None, &target, 5), "input: expected [5, 3, 4], got [5, 3, 2]");
    let state = Regression::new(config.clone(), 1, &mut Rng::new(1)).unwrap().rnn().zero_state(4).unwrap();
    assert_eq!(error(&x, Some(&state), &target, 5), "h_0: expected [1, 3, 6], got [1, 4, 6]");
    let nobody = Seq::zeros(steps, 0, input).unwrap();
    let nothing = Seq::zeros(steps, 0, outputs).unwrap();
    assert!(error(&nobody, None, &nothing, 5).contains("at least 1 element"));

    let both = NetworkConfig { bidirectional: true, ..config };
    let mut model = Regression::new(both, outputs, &mut Rng::new(1)).unwrap();
    let mut optimizer = adam(&model);
    let result = model.train_truncated(x.view(), None, target.view(), 5, &mut optimizer, Threads::one());
    let text = "bidirectional: expected false for truncated backpropagation, got true";
    assert_eq!(result.unwrap_err().to_string(), text);
}
