//! `Fit`: that it learns, that it goes on from a checkpoint as if it had never stopped, and what it refuses.

use elman::loss::IGNORE_INDEX;
use elman::optim::{Adam, AdamConfig, Optimizer, Sgd, SgdConfig};
use elman::train::{Batches, Fit, FitConfig, Identity, Learner, Plateau, Progress, Schedule, Supervised, Targets};
use elman::{ErrorKind, Gru, Lstm, Model, Params, Readout, Rng, Threads};

/// Ragged sequences of two features; the class is whether the first feature's sum is above zero.
fn examples(count: usize) -> (Vec<Vec<f32>>, Vec<i64>) {
    let mut rng = Rng::new(9);
    let rows: Vec<Vec<f32>> =
        (0..count).map(|_| (0..2 * (1 + rng.below(9))).map(|_| rng.uniform(-1.0, 1.0)).collect()).collect();
    let sum = |row: &Vec<f32>| row.iter().step_by(2).sum::<f32>();
    let classes = rows.iter().map(|row| i64::from(sum(row) > 0.0)).collect();
    (rows, classes)
}

/// A model with dropout, so that what it draws has to be the same too.
fn model() -> Model {
    let builder = Gru::builder(2, 12).num_layers(2).dropout(0.2);
    builder.readout(Readout::Last).linear("fc", 2).model(&mut Rng::new(3)).unwrap()
}

fn learner() -> Supervised {
    let (rows, classes) = examples(60);
    Supervised::new(model(), rows, Targets::Class(classes)).unwrap()
}

pub(super) fn config() -> FitConfig {
    let schedule = Schedule::from(Plateau::default().patience(1).factor(0.5));
    let config = FitConfig::default().epochs(9).batch(7).accumulate(2).lr(0.02).schedule(schedule).clip_norm(1.0);
    config.bucket_window(3).patience(6).seed(5)
}

pub(super) fn fit(config: FitConfig) -> Fit<Supervised> {
    Fit::new(learner(), config, (0..45).collect(), (45..60).collect()).unwrap()
}

pub(super) fn bits(params: &Params) -> Vec<u32> {
    params.data().iter().map(|x| x.to_bits()).collect()
}

pub(super) fn identity() -> Identity {
    Identity::default().with("data", "1234").with("settings", "abcd")
}

#[test]
fn it_learns_and_keeps_the_best_epoch() {
    let mut fit = fit(config().epochs(40).patience(40));
    let report = fit.run(&mut |_| true).unwrap().clone();
    let best = report.best.expect("there is a validation part");
    assert!(best.loss < 0.35, "{best:?}");
    assert_eq!(report.epochs.len(), 40);
    let least = report.epochs.iter().map(|epoch| epoch.valid.unwrap()).fold(f64::INFINITY, f64::min);
    assert_eq!(best.loss, least);
    // The models have its weights.
    let mut learner = fit.into_learner();
    let again = learner.evaluate(&(45..60).collect::<Vec<_>>(), Threads::one()).unwrap();
    assert!((again.loss() - best.loss).abs() < 1e-6, "{} and {}", again.loss(), best.loss);
}

#[test]
fn without_a_validation_part_the_last_epoch_counts() {
    let mut fit = Fit::new(learner(), config(), (0..45).collect(), Vec::new()).unwrap();
    let report = fit.run(&mut |_| true).unwrap();
    assert!(
        report.best.is_none() && report.epochs.len() == 9 && report.epochs.iter().all(|epoch| epoch.valid.is_none())
    );
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let of = |threads| {
        let (rows, classes) = examples(64);
        // Big enough that threads get something to do.
        let model = Lstm::builder(2, 96).readout(Readout::Last).linear("fc", 40).model(&mut Rng::new(3)).unwrap();
        let learner = Supervised::new(model, rows, Targets::Class(classes)).unwrap();
        let config = FitConfig::default().epochs(2).batch(16).clip_norm(0.5);
        let fit = Fit::new(learner, config, (0..48).collect(), (48..64).collect()).unwrap();
        let mut fit = fit.threads(Threads::new(threads).unwrap());
        let report = fit.run(&mut |_| true).unwrap().clone();
        (report, bits(fit.into_learner().model().params()))
    };
    let one = of(1);
    assert!(of(2) == one && of(4) == one);
}

/// Trains to the end, or until `stop` says so of the progress; gives the report and the weights.
fn train(mut fit: Fit<Supervised>, mut stop: impl FnMut(Progress<'_>) -> bool) -> (elman::train::FitReport, Vec<u32>) {
    let report = fit.run(&mut |progress| !stop(progress)).unwrap().clone();
    (report, bits(fit.into_learner().model().params()))
}

#[test]
fn a_run_that_was_stopped_goes_on_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.checkpoint");
    let schedules = [config().schedule, Schedule::step(3, 0.5), Schedule::cosine(2, 30, 0.001), Schedule::Constant];
    for (schedule, stop_at) in schedules.into_iter().zip([1_u64, 10, 25, 44]) {
        let config = config().schedule(schedule);
        let whole = train(fit(config.clone()), |_| false);
        // Stopped in mid-epoch after so many minibatches, twice: it goes on from the epoch's beginning.
        let mut seen = 0;
        let stopped = fit(config.clone()).checkpoints(&path, identity()).unwrap();
        train(stopped, |progress| {
            seen += u64::from(matches!(progress, Progress::Batch { .. }));
            seen > stop_at
        });
        let mut gone_on = fit(config.clone()).checkpoints(&path, identity()).unwrap();
        if path.exists() {
            gone_on.resume(&path, &identity()).unwrap();
        }
        train(gone_on, |progress| matches!(progress, Progress::Epoch { .. }));
        let mut last = fit(config);
        last.resume(&path, &identity()).unwrap();
        assert_eq!(train(last, |_| false), whole, "{schedule:?}");
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn optimizers_of_any_kind_go_on_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.checkpoint");
    let fit = || {
        let sgd = |params: &Params, lr: f32| -> elman::Result<Box<dyn Optimizer>> {
            Ok(Box::new(Sgd::new(params, SgdConfig::default().lr(lr).momentum(0.9))?))
        };
        Fit::with_optimizer(learner(), config(), (0..45).collect(), Vec::new(), &sgd).unwrap()
    };
    let whole = train(fit(), |_| false);
    let stops = |progress: Progress<'_>| matches!(progress, Progress::Epoch { report, .. } if report.epoch == 3);
    train(fit().checkpoints(&path, identity()).unwrap(), stops);
    let mut last = fit();
    last.resume(&path, &identity()).unwrap();
    assert_eq!(train(last, |_| false), whole);
    // Another optimiser's state is none of Adam's.
    let error = self::fit(config()).resume(&path, &identity()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::State, "{error}");
}

#[test]
fn a_checkpoint_of_something_else_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.checkpoint");
    train(fit(config().epochs(1)).checkpoints(&path, identity()).unwrap(), |_| false);
    let mut other = fit(config());
    let before = bits(other.learner().model().params());
    let refused = |fit: &mut Fit<Supervised>, identity: Identity| fit.resume(&path, &identity).unwrap_err().to_string();
    let text = refused(&mut other, identity().with("data", "5678"));
    assert_eq!(text, "data of the checkpoint: expected '5678', got '1234'");
    let text = refused(&mut other, identity().with("code", "1"));
    assert_eq!(text, "code of the checkpoint: expected '1', got none");
    assert_eq!(bits(other.learner().model().params()), before);
    assert!(other.report().epochs.is_empty());

    let (rows, classes) = examples(60);
    let larger =
        Gru::builder(2, 13).num_layers(2).readout(Readout::Last).linear("fc", 2).model(&mut Rng::new(3)).unwrap();
    let larger = Supervised::new(larger, rows, Targets::Class(classes)).unwrap();
    let mut larger = Fit::new(larger, config(), (0..45).collect(), Vec::new()).unwrap();
    let text = refused(&mut larger, identity());
    assert!(text.starts_with("gru.weight_ih_l0: expected [39, 2], got [36, 2]"), "{text}");

    let file = folder.path().join("model.safetensors");
    model().save(&file).unwrap();
    let text = fit(config()).resume(&file, &identity()).unwrap_err().to_string();
    assert!(text.contains("it is no checkpoint of training"), "{text}");
    std::fs::write(&file, &std::fs::read(&path).unwrap()[..5000]).unwrap();
    assert_eq!(fit(config()).resume(&file, &identity()).unwrap_err().kind(), ErrorKind::Format);
    let nowhere = folder.path().join("nowhere").join("run.checkpoint");
    assert_eq!(fit(config()).checkpoints(nowhere, identity()).unwrap_err().kind(), ErrorKind::Io);
}

#[test]
fn a_loss_that_is_no_number_stops_training_with_the_weights_of_before() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.checkpoint");
    let (rows, _) = examples(60);
    let values = rows.iter().map(|row| vec![row[0]]).collect();
    let model = Gru::builder(2, 4).readout(Readout::Last).linear("fc", 1).model(&mut Rng::new(1)).unwrap();
    let mut learner = Supervised::new(model, rows, Targets::Values(values)).unwrap();
    // What another part of a program did to the weights after some epochs.
    let config = FitConfig::default().epochs(3).batch(7);
    let mut first = Fit::new(learner.clone(), config.clone(), (0..49).collect(), Vec::new()).unwrap();
    first = first.checkpoints(&path, identity()).unwrap();
    first.run(&mut |_| true).unwrap();
    let good = std::fs::read(&path).unwrap();
    learner.models()[0].1.params_mut().data_mut().fill(f32::MAX);
    let mut fit =
        Fit::new(learner, config, (0..49).collect(), Vec::new()).unwrap().checkpoints(&path, identity()).unwrap();
    let error = fit.run(&mut |_| true).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Value);
    let text = error.to_string();
    assert!(text.starts_with("loss: expected a finite number at step 1 (epoch 1, minibatch 1)"), "{text}");
    assert_eq!(std::fs::read(&path).unwrap(), good, "the last good checkpoint stands");
    assert!(fit.learner().model().params().data().iter().all(|x| x.is_finite()));
}

#[test]
fn training_stops_where_nothing_gets_better() {
    // Nothing to be learned: classes at random.
    let (rows, _) = examples(60);
    let mut rng = Rng::new(1);
    let classes = rows.iter().map(|_| rng.below(2) as i64).collect();
    let learner = Supervised::new(model(), rows, Targets::Class(classes)).unwrap();
    let config = FitConfig::default().epochs(500).batch(16).lr(0.02).patience(5);
    let mut fit = Fit::new(learner, config, (0..45).collect(), (45..60).collect()).unwrap();
    let report = fit.run(&mut |_| true).unwrap().clone();
    assert!(report.epochs.len() < 500);
    assert_eq!(report.epochs.len() as u64, report.best.unwrap().epoch + 1 + 5);
    assert!(fit.is_over());
}

#[test]
fn gradients_of_minibatches_are_averaged() {
    // Two minibatches of equal size, and one of both: the same step but for rounding.
    let of = |config: FitConfig| {
        let builder = Gru::builder(2, 12).readout(Readout::Last).linear("fc", 2);
        let (rows, classes) = examples(16);
        let learner = Supervised::new(builder.model(&mut Rng::new(3)).unwrap(), rows, Targets::Class(classes)).unwrap();
        let sgd = |params: &Params, lr: f32| -> elman::Result<Box<dyn Optimizer>> {
            Ok(Box::new(Sgd::new(params, SgdConfig::default().lr(lr))?))
        };
        let mut fit = Fit::with_optimizer(learner, config, (0..16).collect(), Vec::new(), &sgd).unwrap();
        fit.run(&mut |_| true).unwrap();
        fit.into_learner().into_model()
    };
    let config = FitConfig::default().epochs(1).lr(0.5);
    let (together, halves) = (of(config.clone().batch(16)), of(config.clone().batch(8).accumulate(2)));
    let apart = of(config.batch(8));
    let distance = |a: &Model, b: &Model| {
        let each = a.params().data().iter().zip(b.params().data());
        each.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    };
    assert!(distance(&together, &halves) < 1e-6, "{}", distance(&together, &halves));
    assert!(distance(&together, &apart) > 1e-4, "two steps are not one");
}

#[test]
fn every_kind_of_target_is_learned() {
    let mut rng = Rng::new(2);
    let rows: Vec<Vec<f32>> = (0..40).map(|_| (0..1 + rng.below(8)).map(|_| rng.below(4) as f32).collect()).collect();
    let classes = rows.iter().map(|row| row.iter().map(|&x| x as i64).collect::<Vec<_>>());
    let ends: Vec<i64> = classes.clone().map(|row| row[row.len() - 1]).collect();
    let mut masked: Vec<Vec<i64>> = classes.collect();
    masked.iter_mut().step_by(3).for_each(|row| row[0] = IGNORE_INDEX);
    let numbers = |row: &Vec<f32>| row.iter().flat_map(|&x| [x - 1.5, 1.5 - x]).collect::<Vec<f32>>();
    let series: Vec<Vec<f32>> = rows.iter().map(numbers).collect();
    let values = series.iter().map(|row| row[row.len() - 2..].to_vec()).collect();
    for (targets, outputs) in [
        (Targets::Class(ends), 4),
        (Targets::Classes(masked), 4),
        (Targets::Values(values), 2),
        (Targets::Series(series), 2),
    ] {
        let spec = elman::ModelSpec::new(1)
            .layer("embedding", elman::LayerKind::embedding(4, 8))
            .layer("gru", elman::RecurrentSpec::gru([16]))
            .layer("fc", elman::LayerKind::linear(outputs));
        let model = Model::init(spec, &mut Rng::new(1)).unwrap();
        let learner = Supervised::new(model, rows.clone(), targets.clone()).unwrap();
        let config = FitConfig::default().epochs(60).batch(8).lr(0.02);
        let mut fit = Fit::new(learner, config, (0..32).collect(), (32..40).collect()).unwrap();
        let report = fit.run(&mut |_| true).unwrap();
        assert!(report.best.unwrap().loss < 0.1 * report.epochs[0].train, "{targets:?}: {report:?}");
    }
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let refused = |rows: Vec<Vec<f32>>, targets| Supervised::new(model(), rows, targets).unwrap_err().to_string();
    let class = |n| Targets::Class(vec![0; n]);
    assert_eq!(refused(vec![vec![0.0; 4]; 2], class(1)), "targets: expected as many as sequences, 2, got 1");
    assert_eq!(refused(vec![vec![0.0; 4], vec![0.0; 3]], class(2)), "example 1: shape [1, 2] needs 2 elements, got 3");
    assert_eq!(refused(vec![vec![]], class(1)), "example 0: shape [1, 2] needs 2 elements, got 0");
    let classes = Targets::Classes(vec![vec![0; 3]]);
    assert_eq!(refused(vec![vec![0.0; 4]], classes), "target of example 0: shape [2] needs 2 elements, got 3");
    let of = |config: FitConfig| Fit::new(learner(), config, vec![0], Vec::new()).unwrap_err().to_string();
    assert!(of(config().batch(0)).starts_with("batch: "));
    assert!(of(config().accumulate(0)).starts_with("accumulate: "));
    assert!(of(config().lr(-1.0)).starts_with("lr: "));
    assert!(of(config().clip_norm(0.0)).starts_with("clip_norm: "));
    assert!(of(config().min_delta(f64::NAN)).starts_with("min_delta: "));
    assert!(of(config().patience(0)).starts_with("patience: "));
    let nothing = Fit::new(learner(), config(), Vec::new(), vec![0]).unwrap_err().to_string();
    assert_eq!(nothing, "train: expected at least one example, got none");
    // A label that is no class is told when it is learned from.
    let learner = Supervised::new(model(), vec![vec![0.0; 2]], Targets::Class(vec![7])).unwrap();
    let error = Fit::new(learner, config(), vec![0], Vec::new()).unwrap().run(&mut |_| true).unwrap_err();
    assert!(error.to_string().starts_with("labels: expected classes below 2"), "{error}");
}

#[test]
fn minibatches_are_those_of_the_seed() {
    let order = |seed| {
        let mut seen = Vec::new();
        let batches = Batches::new(45, 7, seed).unwrap();
        (0..3).for_each(|epoch| seen.push(batches.epoch(epoch)));
        seen
    };
    assert_eq!(order(5), order(5));
    assert_ne!(order(5), order(6));
    // Adam by name and by default are one.
    let adam = |params: &Params, lr: f32| -> elman::Result<Box<dyn Optimizer>> {
        Ok(Box::new(Adam::new(params, AdamConfig::default().lr(lr))?))
    };
    let by_name = Fit::with_optimizer(learner(), config(), (0..45).collect(), (45..60).collect(), &adam).unwrap();
    assert_eq!(train(by_name, |_| false), train(fit(config()), |_| false));
}
