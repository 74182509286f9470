//! What the options of training may be.

use std::time::Duration;

use elman::train::{Plateau, Schedule};
use elman_tasks::job::OptimizerKind;
use elman_tasks::net::Cell;

use super::super::common::whole;

pub(super) fn cell(text: &str) -> Result<Cell, String> {
    match text {
        "rnn" => Ok(Cell::Rnn),
        "gru" => Ok(Cell::Gru),
        "lstm" => Ok(Cell::Lstm),
        _ => Err("expected rnn, gru or lstm".into()),
    }
}

/// What makes the steps, of the kinds that read tokens.
pub(super) fn optimizer(text: &str) -> Result<OptimizerKind, String> {
    match text {
        "adam" => Ok(OptimizerKind::Adam),
        "sparse-adam" => Ok(OptimizerKind::SparseAdam),
        _ => Err("expected adam or sparse-adam".into()),
    }
}

pub(super) fn size(text: &str) -> Result<usize, String> {
    whole(text, 1..=1 << 20)
}

pub(super) fn epochs(text: &str) -> Result<u64, String> {
    whole(text, 1..=1_000_000)
}

pub(super) fn epochs_or_none(text: &str) -> Result<u64, String> {
    whole(text, 0..=1_000_000)
}

pub(super) fn seed(text: &str) -> Result<u64, String> {
    whole(text, 0..=i64::MAX as u64)
}

pub(super) fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share: &f64| (0.0..1.0).contains(share));
    share.ok_or_else(|| "expected a number of at least 0 and below 1".into())
}

/// A time that is given in minutes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Minutes(pub(super) Duration);

pub(super) fn minutes(text: &str) -> Result<Minutes, String> {
    // A year is as good as never.
    let minutes = text.parse().ok().filter(|minutes: &f64| (0.0..=525_600.0).contains(minutes));
    let time = minutes.map(|minutes| Minutes(Duration::from_secs_f64(60.0 * minutes)));
    time.ok_or_else(|| "expected a number of minutes from 0 to 525600".into())
}

pub(super) fn above_zero(text: &str) -> Result<f32, String> {
    let number = text.parse().ok().filter(|x: &f32| x.is_finite() && *x > 0.0);
    number.ok_or_else(|| "expected a finite number above 0".into())
}

pub(super) fn at_least_zero(text: &str) -> Result<f32, String> {
    let number = text.parse().ok().filter(|x: &f32| x.is_finite() && *x >= 0.0);
    number.ok_or_else(|| "expected a finite number of at least 0".into())
}

pub(super) fn schedule(text: &str) -> Result<Schedule, String> {
    const FORMS: &str =
        "constant, step:EVERY:GAMMA, cosine:WARMUP:STEPS[:FLOOR] or plateau:PATIENCE:FACTOR[:THRESHOLD:MIN_LR]";
    let expected = || format!("expected {FORMS}");
    let parts: Vec<&str> = text.split(':').collect();
    let count = |text: &str| text.parse::<u64>().map_err(|_| expected());
    let factor = |text: &str| text.parse::<f64>().map_err(|_| expected());
    let rate = |text: &str| text.parse::<f32>().map_err(|_| expected());
    let plateau =
        |patience: &str, by: &str| Ok::<_, String>(Plateau::default().patience(count(patience)?).factor(factor(by)?));
    match parts[..] {
        ["constant"] => Ok(Schedule::Constant),
        ["step", every, gamma] => Ok(Schedule::step(count(every)?, factor(gamma)?)),
        ["cosine", warmup, steps] => Ok(Schedule::cosine(count(warmup)?, count(steps)?, 0.0)),
        ["cosine", warmup, steps, floor] => Ok(Schedule::cosine(count(warmup)?, count(steps)?, rate(floor)?)),
        ["plateau", patience, by] => Ok(plateau(patience, by)?.into()),
        ["plateau", patience, by, threshold, least] => {
            Ok(plateau(patience, by)?.threshold(factor(threshold)?).min_lr(rate(least)?).into())
        }
        _ => Err(expected()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_are_read_and_others_told() {
        assert_eq!(minutes("0"), Ok(Minutes(Duration::ZERO)));
        assert_eq!(minutes("0.5"), Ok(Minutes(Duration::from_secs(30))));
        for wrong in ["", "-1", "nan", "inf", "1e9", "5 min"] {
            assert_eq!(minutes(wrong), Err("expected a number of minutes from 0 to 525600".into()), "{wrong}");
        }
    }

    #[test]
    fn schedules_are_read_and_others_told() {
        assert_eq!(schedule("constant"), Ok(Schedule::Constant));
        assert_eq!(schedule("step:3:0.5"), Ok(Schedule::step(3, 0.5)));
        assert_eq!(schedule("cosine:10:200"), Ok(Schedule::cosine(10, 200, 0.0)));
        assert_eq!(schedule("plateau:4:0.2"), Ok(Plateau::default().patience(4).factor(0.2).into()));
        for wrong in ["", "step", "step:x:0.5", "cosine:1", "plateau:1:2:3", "linear"] {
            assert!(schedule(wrong).unwrap_err().starts_with("expected constant, step:"), "{wrong}");
        }
    }

    #[test]
    fn schedules_are_read_as_they_are_told() {
        let plateau = Plateau::default().patience(4).factor(0.2);
        for of in [
            Schedule::Constant,
            Schedule::step(30, 0.1),
            Schedule::cosine(10, 110, 0.0),
            Schedule::cosine(0, 110, 0.001),
            plateau.into(),
            plateau.threshold(0.0).min_lr(1e-5).into(),
        ] {
            assert_eq!(schedule(&of.to_string()), Ok(of));
        }
    }
}
