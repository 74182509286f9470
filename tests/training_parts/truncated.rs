//! `TruncatedBptt`: that it is the loop of carried steps, in the same bits, and what it refuses.

use elman::loss::{CrossEntropy, IGNORE_INDEX, MeanSquaredError};
use elman::optim::{Adam, AdamConfig};
use elman::tensor::Seq;
use elman::train::{Carried, Fit, FitConfig, Learner, Targets, Trainer, TrainingState, TruncatedBptt};
use elman::{ErrorKind, Gru, LayerKind, Lstm, Model, ModelSpec, RecurrentSpec, Rng, Threads};

use crate::fit::bits;
use crate::resume::from_every_minibatch;

/// Steps, rows, features, outputs, steps of a stretch: the last stretch of six has three steps.
const SHAPE: [usize; 5] = [43, 3, 2, 2, 8];

fn model() -> Model {
    Lstm::builder(SHAPE[2], 6).num_layers(2).dropout(0.3).linear("fc", SHAPE[3]).model(&mut Rng::new(1)).unwrap()
}

/// Rows, and what comes of each of their steps.
fn rows() -> [Vec<Vec<f32>>; 2] {
    let [steps, batch, input, outputs, _] = SHAPE;
    let mut rng = Rng::new(2);
    [input, outputs]
        .map(|width| (0..batch).map(|_| (0..steps * width).map(|_| rng.uniform(-1.0, 1.0)).collect()).collect())
}

/// (T, B, width) of rows.
fn seq(rows: &[Vec<f32>], width: usize) -> Seq {
    let steps = rows[0].len() / width;
    let values: Vec<f32> =
        (0..steps).flat_map(|t| rows.iter().flat_map(move |row| &row[t * width..][..width])).copied().collect();
    Seq::from_slice(&values, steps, rows.len(), width).unwrap()
}

fn learner() -> TruncatedBptt {
    let [x, target] = rows();
    TruncatedBptt::new(model(), x, Targets::Series(target), SHAPE[4]).unwrap()
}

fn config() -> FitConfig {
    FitConfig::default().epochs(3).batch(SHAPE[1]).lr(0.01).clip_norm(0.5).seed(7)
}

fn fit(learner: TruncatedBptt, config: FitConfig) -> Fit<TruncatedBptt> {
    let (train, valid) = (learner.examples(0..5), learner.examples(5..6));
    Fit::new(learner, config, train, valid).unwrap()
}

#[test]
fn it_is_the_loop_of_carried_steps() {
    let learner = learner();
    let train = learner.examples(0..usize::MAX);
    assert_eq!((learner.stretches(), train.len()), (6, 18));
    let mut fit = Fit::new(learner, config(), train, Vec::new()).unwrap();
    let report = fit.run(&mut |_| true).unwrap().clone();

    let [_, batch, input, outputs, stretch] = SHAPE;
    let [x, target] = rows();
    let (x, target) = (seq(&x, input), seq(&target, outputs));
    let mut model = model();
    let adam = Adam::new(model.params(), AdamConfig::default().lr(0.01)).unwrap();
    let mut trainer = Trainer::new(adam).training(TrainingState::new(7)).clip_norm(0.5);
    for epoch in 0..3 {
        trainer.forget();
        let mut sum = 0.0;
        for first in (0..SHAPE[0]).step_by(stretch) {
            let len = stretch.min(SHAPE[0] - first);
            let target = target.view().narrow_steps(first, len);
            let mut loss = MeanSquaredError::new(target);
            let loss = trainer.step_carried(&mut model, x.view().narrow_steps(first, len), &mut loss).unwrap();
            sum += f64::from(loss) * (len * batch * outputs) as f64;
        }
        assert_eq!(report.epochs[epoch].train, sum / (SHAPE[0] * batch * outputs) as f64);
    }
    assert_eq!(bits(fit.into_learner().model().params()), bits(model.params()));
}

#[test]
fn classes_of_tokens_are_learned_the_same_way() {
    let spec = ModelSpec::new(1)
        .layer("embedding", LayerKind::embedding(5, 4))
        .layer("gru", RecurrentSpec::gru([6]))
        .layer("fc", LayerKind::linear(5));
    let mut model = Model::init(spec, &mut Rng::new(1)).unwrap();
    let mut rng = Rng::new(3);
    // One text of 50 tokens in three rows of 16: the last two are left out.
    let text: Vec<usize> = (0..51).map(|_| rng.below(5)).collect();
    let mut next: Vec<i64> = text[1..].iter().map(|&token| token as i64).collect();
    next[7] = IGNORE_INDEX;
    let series = text[..50].iter().map(|&token| token as f32).collect::<Vec<_>>();
    let targets = Targets::Classes(vec![next.clone()]);
    let learner = TruncatedBptt::series(model.clone(), series.clone(), targets, 3, 5).unwrap();
    assert_eq!((learner.rows(), learner.stretches(), learner.steps(0), learner.steps(9)), (3, 4, 5, 1));
    let train = learner.examples(0..4);
    let mut fit = Fit::new(learner, FitConfig::default().epochs(2).batch(3), train, Vec::new()).unwrap();
    fit.run(&mut |_| true).unwrap();

    let mut trainer = Trainer::new(Adam::new(model.params(), AdamConfig::default()).unwrap());
    for _ in 0..2 {
        trainer.forget();
        for first in (0..16).step_by(5) {
            let len = 5.min(16 - first);
            let at = |t: usize| (0..3).map(move |row| row * 16 + first + t);
            let x: Vec<f32> = (0..len).flat_map(at).map(|n| series[n]).collect();
            let labels: Vec<i64> = (0..len).flat_map(at).map(|n| next[n]).collect();
            let x = Seq::from_slice(&x, len, 3, 1).unwrap();
            trainer.step_carried(&mut model, &x, &mut CrossEntropy::new(&labels)).unwrap();
        }
    }
    assert_eq!(bits(fit.into_learner().model().params()), bits(model.params()));
}

#[test]
fn stretches_that_are_evaluated_follow_one_another_or_begin_anew() {
    let mut learner = learner();
    let mut losses = |order: &[usize]| -> Vec<f64> {
        let mut of = |&stretch: &usize| {
            let examples = learner.examples(stretch..stretch + 1);
            learner.evaluate(&examples, Threads::one()).unwrap().loss()
        };
        order.iter().map(&mut of).collect()
    };
    let walked = losses(&[3, 4, 5]);
    // In one piece from where the walk begins, the mean of all of its steps.
    let [steps, _, input, outputs, stretch] = SHAPE;
    let [x, target] = rows();
    let (x, target) = (seq(&x, input), seq(&target, outputs));
    let (first, len) = (3 * stretch, steps - 3 * stretch);
    let output = model().run(x.view().narrow_steps(first, len)).unwrap();
    let whole = output.loss(&mut MeanSquaredError::new(target.view().narrow_steps(first, len))).unwrap();
    let mean = walked.iter().zip([8.0, 8.0, 3.0]).map(|(loss, steps)| loss * steps).sum::<f64>() / len as f64;
    assert!((mean - f64::from(whole)).abs() < 1e-6, "{mean} and {whole}");
    let alone: Vec<f64> = [3, 4, 5].iter().map(|&stretch| losses(&[stretch, 0])[0]).collect();
    assert_eq!(walked[0], alone[0]);
    assert!(walked[1] != alone[1] && walked[2] != alone[2], "{walked:?} and {alone:?}");
    assert_eq!(losses(&[3, 4, 5]), walked);
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let of = |threads| {
        let [x, target] = rows();
        let model = Gru::builder(SHAPE[2], 96).linear("fc", SHAPE[3]).model(&mut Rng::new(3)).unwrap();
        let learner = TruncatedBptt::new(model, x, Targets::Series(target), SHAPE[4]).unwrap();
        let mut fit = fit(learner, config()).threads(Threads::new(threads).unwrap());
        let report = fit.run(&mut |_| true).unwrap().clone();
        (report, bits(fit.into_learner().model().params()))
    };
    let one = of(1);
    assert!(of(2) == one && of(3) == one);
}

#[test]
fn in_the_middle_of_a_sequence_it_goes_on_bit_for_bit() {
    let config = config().accumulate(2);
    let places = from_every_minibatch(&|| fit(learner(), config.clone()), |learner| learner.model().params());
    assert_eq!(places, [[1, 1], [2, 0], [3, 1], [4, 0], [5, 0]].repeat(3));
}

#[test]
fn what_is_carried_is_taken_back_or_refused() {
    let mut learner = learner();
    assert_eq!(learner.carried(), None);
    let carried = |place, values: &[(&str, usize)]| {
        let with = |carried: Carried, (name, len): &(&str, usize)| carried.with(*name, vec![0.5; *len]);
        Some(values.iter().fold(Carried::new(place), with))
    };
    // Two layers of six units, three rows.
    let good = carried(2, &[("h", 36), ("c", 36)]);
    learner.carry(good.clone()).unwrap();
    assert_eq!(learner.carried(), good);
    for (wrong, expected) in [
        (carried(6, &[("h", 36), ("c", 36)]), "carried: expected a stretch below 6, got 6"),
        (carried(2, &[("h", 35), ("c", 36)]), "carried h: expected 36 elements of 3 rows, got 35"),
        (carried(2, &[("h", 36)]), "carried c: expected 36 elements of 3 rows, got 0"),
        (carried(2, &[("h", 36), ("c", 36), ("m", 1)]), "carried: expected h and c, got 'm'"),
    ] {
        let error = learner.carry(wrong).unwrap_err();
        assert_eq!((error.kind(), &error.to_string()[..]), (ErrorKind::State, expected));
        assert_eq!(learner.carried(), good);
    }
    learner.carry(None).unwrap();
    assert_eq!(learner.carried(), None);
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let [x, target] = rows();
    let both = Lstm::builder(SHAPE[2], 6).bidirectional(true).linear("fc", SHAPE[3]);
    let mut both = both.model(&mut Rng::new(1)).unwrap();
    let mut trainer = Trainer::new(Adam::new(both.params(), AdamConfig::default()).unwrap());
    let (input, output) = (seq(&x, SHAPE[2]), seq(&target, SHAPE[3]));
    let carried = trainer.step_carried(&mut both, &input, &mut MeanSquaredError::new(&output)).unwrap_err();
    let error = TruncatedBptt::new(both, x.clone(), Targets::Series(target.clone()), 8).unwrap_err();
    assert_eq!((error.kind(), error.to_string()), (ErrorKind::Unsupported, carried.to_string()));

    let refused =
        |x: Vec<Vec<f32>>, targets, stretch| TruncatedBptt::new(model(), x, targets, stretch).unwrap_err().to_string();
    let series = |n: usize| Targets::Series(target[..n].to_vec());
    assert_eq!(refused(x.clone(), series(3), 0), "stretch: expected at least 1, got 0");
    assert_eq!(refused(Vec::new(), series(0), 8), "sequences: expected at least 1, got 0");
    assert_eq!(refused(vec![Vec::new()], series(1), 8), "steps: expected at least 1, got 0");
    assert_eq!(refused(x.clone(), series(2), 8), "targets: expected as many as sequences, 3, got 2");
    let mut ragged = x.clone();
    ragged[1].pop();
    assert_eq!(refused(ragged, series(3), 8), "sequence 1: shape [43, 2] needs 86 elements, got 85");
    let short = Targets::Classes(vec![vec![0; 43], vec![0; 42], vec![0; 43]]);
    assert_eq!(refused(x.clone(), short, 8), "target of example 1: shape [43] needs 43 elements, got 42");
    let of_last = "targets: expected Classes or Series, one for every step, got Class";
    assert_eq!(refused(x.clone(), Targets::Class(vec![0; 3]), 8), of_last);
    let cut = |targets, rows| TruncatedBptt::series(model(), x[0].clone(), targets, rows, 8).unwrap_err().to_string();
    assert_eq!(cut(series(1), 0), "rows: expected at least 1, got 0");
    assert_eq!(cut(series(1), 44), "rows: expected at most the steps of the series, 43, got 44");
    assert_eq!(cut(series(2), 3), "targets: expected those of one series, got 2");
    assert_eq!(cut(Targets::Class(vec![0]), 3), of_last);

    let of = |config: FitConfig, train| Fit::new(learner(), config, train, Vec::new());
    let refused = of(config().batch(4), vec![0; 12]).unwrap_err().to_string();
    assert_eq!(refused, "batch: expected 3, the learner's rows, as minibatches go on from one another, got 4");
    let refused = of(config().bucket_window(2), vec![0; 12]).unwrap_err().to_string();
    assert_eq!(refused, "bucket_window: expected 0, as minibatches go on from one another, got 2");
    let refused = of(config(), vec![1, 2, 3]).unwrap().run(&mut |_| true).unwrap_err().to_string();
    assert_eq!(refused, "minibatch: expected the 3 rows of one of 6 stretches, in order, got 3 examples from 1 on");
    let beyond = of(config(), vec![18, 19, 20]).unwrap().run(&mut |_| true).unwrap_err().to_string();
    assert!(beyond.starts_with("minibatch: expected the 3 rows of one of 6 stretches"), "{beyond}");
}
