//! Truncated backpropagation through time: steps over one stretch after the other, each from the state before it.

use elman::loss::MeanSquaredError;
use elman::optim::{Adam, AdamConfig, Sgd, SgdConfig};
use elman::tensor::{Seq, SeqRef};
use elman::train::{Trainer, TrainingState};
use elman::{ErrorKind, Gru, Lstm, Model, ModelBuilder, Rng, Rnn};

use crate::{assert_same, draw};

/// Steps, rows, features, outputs, steps of a stretch.
const SHAPE: [usize; 5] = [23, 3, 4, 2, 10];

fn models() -> [Model; 4] {
    let [_, _, input, outputs, _] = SHAPE;
    let builders: [ModelBuilder; 4] = [
        Rnn::builder(input, 6).into(),
        Gru::builder(input, 6).num_layers(2).dropout(0.3).into(),
        Lstm::builder(input, 6).hidden_sizes([7, 5]).into(),
        Lstm::builder(input, 6).proj_size(3).into(),
    ];
    builders.map(|builder| builder.linear("fc", outputs).model(&mut Rng::new(1)).unwrap())
}

fn data() -> [Seq; 2] {
    let [steps, batch, input, outputs, _] = SHAPE;
    let mut rng = Rng::new(2);
    [draw(&mut rng, [steps, batch, input]), draw(&mut rng, [steps, batch, outputs])]
}

fn stretches<'a>(data: &'a [Seq; 2]) -> impl Iterator<Item = [SeqRef<'a>; 2]> {
    let [steps, .., chunk] = SHAPE;
    let lengths = (0..steps).step_by(chunk).map(move |first| (first, chunk.min(steps - first)));
    lengths.map(|(first, len)| data.each_ref().map(|seq| seq.view().narrow_steps(first, len)))
}

/// An optimiser that changes nothing.
fn still(model: &Model) -> Trainer<Sgd> {
    Trainer::new(Sgd::new(model.params(), SgdConfig::default().lr(0.0)).unwrap()).training(TrainingState::new(0))
}

#[test]
fn carried_steps_are_those_of_a_loop_that_hands_the_state_on() {
    let data = data();
    for model in models() {
        let adam = || Adam::new(model.params(), AdamConfig::default().lr(0.01)).unwrap();
        let (mut one, mut other) = (model.clone(), model.clone());
        let mut carrying = Trainer::new(adam()).training(TrainingState::new(7));
        let mut handing = Trainer::new(adam()).training(TrainingState::new(7));
        // Twice: sequences that are forgotten begin anew.
        for _ in 0..2 {
            carrying.forget();
            let mut state = None;
            for [x, target] in stretches(&data) {
                let mut loss = MeanSquaredError::new(target);
                let carried = carrying.step_carried(&mut one, x, &mut loss).unwrap();
                let handed = handing.step_from(&mut other, x, state.as_ref(), &mut loss).unwrap();
                assert_same(&[carried], &[handed], "loss");
                assert_same(one.params().data(), other.params().data(), "parameters");
                state = Some(handing.state().clone());
            }
        }
    }
}

#[test]
fn no_gradient_passes_between_stretches() {
    let data = data();
    let [_, gru, lstm, _] = models();
    for mut model in [lstm, gru] {
        let mut trainer = still(&model);
        let mut sum = vec![0.0_f64; model.params().data().len()];
        for [x, target] in stretches(&data) {
            trainer.step_carried(&mut model, x, &mut MeanSquaredError::new(target)).unwrap();
            let share = x.shape()[0] as f64 / SHAPE[0] as f64;
            let gradients = trainer.gradients().unwrap().data();
            sum.iter_mut().zip(gradients).for_each(|(sum, &d)| *sum += share * f64::from(d));
        }
        // In one piece the losses of the same steps reach back further.
        let mut whole = still(&model);
        whole.step(&mut model, &data[0], &mut MeanSquaredError::new(&data[1])).unwrap();
        let apart = sum.iter().zip(whole.gradients().unwrap().data()).map(|(a, &b)| (a - f64::from(b)).abs());
        let farthest = apart.fold(0.0, f64::max);
        assert!(farthest > 1e-4, "{farthest:e}");
    }
}

#[test]
fn what_cannot_be_carried_is_an_error_and_an_error_changes_nothing() {
    let [x, target] = data();
    let both = Lstm::builder(SHAPE[2], 6).bidirectional(true).linear("fc", SHAPE[3]);
    let mut both = both.model(&mut Rng::new(1)).unwrap();
    let error = still(&both).step_carried(&mut both, &x, &mut MeanSquaredError::new(&target)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);

    let [mut model, ..] = models();
    let before = model.params().clone();
    let mut trainer =
        Trainer::new(Adam::new(model.params(), AdamConfig::default()).unwrap()).training(TrainingState::new(0));
    let error = trainer.step(&mut model, &x, &mut MeanSquaredError::new(&x)).unwrap_err();
    assert_eq!(error.to_string(), "target: expected [23, 3, 2], got [23, 3, 4]");
    let error = trainer.step(&mut model, &target, &mut MeanSquaredError::new(&target)).unwrap_err();
    assert_eq!(error.to_string(), "input: expected [23, 3, 4], got [23, 3, 2]");
    assert_eq!(model.params(), &before);
}
