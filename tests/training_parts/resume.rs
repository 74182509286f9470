//! Checkpoints inside an epoch: from each of them a run goes on as if it had never stopped.

use std::fs;
use std::path::Path;
use std::time::Duration;

use elman::format::TensorFile;
use elman::train::{Fit, FitConfig, FitReport, Learner, Progress, Schedule, Supervised};
use elman::{ErrorKind, Params};

use crate::fit::{bits, config, fit, identity};

/// Seven minibatches an epoch, and a step of every three: the last step of an epoch is of one. Early stopping ends it.
fn settings() -> FitConfig {
    let config = config().epochs(20).accumulate(3).schedule(Schedule::cosine(4, 40, 0.001)).lr(0.05);
    config.patience(2).min_delta(0.01)
}

/// What a finished run has left: its report, its weights, and all of its last checkpoint, with the best weights and the state
/// of the optimiser.
type Left = (FitReport, Vec<u32>, Vec<u8>);

/// Trains to the end, with checkpoints to `path`; `each` is called after every minibatch.
pub(super) fn to_the_end<L: Learner>(
    fit: &mut Fit<L>,
    path: &Path,
    params: impl Fn(&L) -> &Params,
    mut each: impl FnMut(),
) -> Left {
    let report = fit.run(&mut |progress| {
        if matches!(progress, Progress::Batch { .. }) {
            each();
        }
        true
    });
    let report = report.unwrap().clone();
    let weights = bits(params(fit.learner()));
    (report, weights, fs::read(path).unwrap())
}

/// Goes on from every minibatch of a run, and from none, and is to come to the same end. Gives how many minibatches of the
/// epoch each checkpoint had, and how many of them waited for a step.
pub(super) fn from_every_minibatch<L: Learner>(fit: &dyn Fn() -> Fit<L>, params: fn(&L) -> &Params) -> Vec<[u64; 2]> {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (path, whole, gone_on) = (at("run.checkpoint"), at("whole.checkpoint"), at("gone_on.checkpoint"));
    let mut undisturbed = fit().checkpoints(&whole, identity()).unwrap();
    let left = to_the_end(&mut undisturbed, &whole, params, || {});
    // One run has all the places at which others may stop: what is there after each minibatch is what they would leave.
    let mut stops = 0;
    let mut often = fit().checkpoint_every(Duration::ZERO).checkpoints(&path, identity()).unwrap();
    let of_often = to_the_end(&mut often, &path, params, || {
        fs::copy(&path, at(&stops.to_string())).unwrap();
        stops += 1;
    });
    assert!(of_often == left, "writing checkpoints changes nothing");
    let mut places = Vec::new();
    for stop in 0..stops {
        let from = at(&stop.to_string());
        let file = TensorFile::open(&from).unwrap();
        let field = |name| file.metadata().find(|(key, _)| *key == name).unwrap().1.parse::<u64>().unwrap();
        places.push(["batch", "waiting"].map(field));
        let mut other = fit().checkpoints(&gone_on, identity()).unwrap();
        other.resume(&from, &identity()).unwrap();
        assert_eq!(other.minibatches(), field("batch"));
        assert!(to_the_end(&mut other, &gone_on, params, || {}) == left, "stopped after {} minibatches", stop + 1);
    }
    places
}

#[test]
fn from_the_middle_of_an_epoch_and_of_a_step_it_goes_on_bit_for_bit() {
    let places = from_every_minibatch(&|| fit(settings()), |learner: &Supervised| learner.model().params());
    let of_epoch = [[1, 1], [2, 2], [3, 0], [4, 1], [5, 2], [6, 0], [7, 0]];
    assert_eq!(places.len() % 7, 0);
    assert!(places.len() >= 21 && places.len() < 7 * 20, "early stopping ended it after {}", places.len());
    places.chunks(7).for_each(|epoch| assert_eq!(epoch, of_epoch));
}

#[test]
fn a_time_that_has_not_passed_writes_nothing_inside_an_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.checkpoint");
    let mut seen = 0;
    let fit = fit(settings().epochs(1)).checkpoints(&path, identity()).unwrap();
    fit.checkpoint_every(Duration::from_secs(3600))
        .run(&mut |progress| {
            seen += 1;
            assert_eq!(path.exists(), matches!(progress, Progress::Epoch { .. }));
            true
        })
        .unwrap();
    assert_eq!(seen, 8);
}

#[test]
fn a_place_that_other_settings_do_not_have_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.checkpoint");
    let mut stopped = fit(settings()).checkpoints(&path, identity()).unwrap().checkpoint_every(Duration::ZERO);
    stopped.run(&mut |progress| !matches!(progress, Progress::Batch { batch: 5, .. })).unwrap();
    for (config, expected) in [
        (settings().batch(15), "batch of the checkpoint: expected at most 3, got 5"),
        (settings().accumulate(2), "waiting of the checkpoint: expected at most 1, got 2"),
    ] {
        let mut other = fit(config);
        let before = bits(other.learner().model().params());
        let error = other.resume(&path, &identity()).unwrap_err();
        assert_eq!((error.kind(), &error.to_string()[..]), (ErrorKind::State, expected));
        assert_eq!((bits(other.learner().model().params()), other.minibatches()), (before, 0));
    }
}
