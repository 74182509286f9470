//! `--explain`: the time of a minibatch, part by part.

use std::time::Duration;

use elman::train::PartTimes;
use serde::Serialize;

/// Minibatches that are timed: of small ones some tenths of a second.
pub(super) const MINIBATCHES: usize = 200;

/// What `--json` tells of them: seconds of all minibatches together.
#[derive(Serialize)]
pub(super) struct Parts {
    minibatches: usize,
    steps: usize,
    learner_s: f64,
    clipping_s: f64,
    optimizer_s: f64,
    training_s: f64,
    share: f64,
}

impl From<&PartTimes> for Parts {
    fn from(times: &PartTimes) -> Self {
        Self {
            minibatches: times.minibatches,
            steps: times.steps,
            learner_s: times.learner.as_secs_f64(),
            clipping_s: times.clipping.as_secs_f64(),
            optimizer_s: times.optimizer.as_secs_f64(),
            training_s: times.training.as_secs_f64(),
            share: times.share(),
        }
    }
}

/// Its lines.
pub(super) fn told(times: &PartTimes) -> Vec<String> {
    let PartTimes { minibatches, steps, learner, clipping, optimizer, training, .. } = *times;
    let line = |name: &str, time: Duration, more: &str| {
        let ms = 1e3 * time.as_secs_f64() / minibatches as f64;
        format!("  {name:<26}{ms:>9.3} ms{more}")
    };
    let mut lines = vec![
        format!("a minibatch, {} steps, the mean of {minibatches}; each part by itself:", steps / minibatches),
        line("forward, loss, backward", learner, ""),
    ];
    if clipping > Duration::ZERO {
        lines.push(line("clipping", clipping, ""));
    }
    let share = format!("   {:.0} % of the speed of its parts", 100.0 * times.share());
    lines.extend([
        line("optimizer", optimizer, ""),
        line("together", times.sum(), ""),
        line("in training", training, &share),
    ]);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_by_the_minibatch() {
        let mut times = PartTimes::default();
        (times.minibatches, times.steps) = (100, 2000);
        (times.learner, times.optimizer) = (Duration::from_millis(150), Duration::from_millis(30));
        times.training = Duration::from_millis(200);
        assert_eq!(
            told(&times),
            [
                "a minibatch, 20 steps, the mean of 100; each part by itself:",
                "  forward, loss, backward       1.500 ms",
                "  optimizer                     0.300 ms",
                "  together                      1.800 ms",
                "  in training                   2.000 ms   90 % of the speed of its parts",
            ]
        );
    }
}
