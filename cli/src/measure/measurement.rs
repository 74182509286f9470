//! What was measured of a workload, and whether it can be relied on.

use std::fmt;

use super::clock::Clock;
use super::stats::Histogram;

/// How long a workload took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measurement {
    /// Runs that were timed.
    pub turns: usize,
    /// Seconds of one run, the median.
    pub median: f64,
    /// Of the shortest run.
    pub min: f64,
    /// Half the distance between the quartiles, as a share of the median.
    pub noise: f64,
    /// FLOP/s of the median.
    pub flops: f64,
    /// The FMA peak of as many threads in FLOP/s, the median of turns in between.
    pub peak: f64,
    /// Steps of all rows that one run takes.
    pub tokens: usize,
    /// Seconds a step of the batch.
    pub per_step: f64,
    /// Of work that goes step by step, how long single steps took.
    pub latency: Option<Latency>,
    /// Of a stream, how long single blocks took, of [`timed_block`](super::Workload::timed_block) steps.
    pub block_latency: Option<Latency>,
}

/// How long calls took, in seconds, each timed by itself. What the clock takes is off; but for the longest, they are exact
/// to 2 %.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latency {
    /// Half of all steps took at most so long.
    pub p50: f64,
    /// 99 of 100 did.
    pub p99: f64,
    /// 999 of 1000 did.
    pub p999: f64,
    /// All did.
    pub max: f64,
}

impl Latency {
    pub(super) fn of(times: &Histogram, clock: &Clock) -> Self {
        let at = |share| clock.seconds(times.percentile(share));
        Self { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: clock.seconds(times.max()) }
    }
}

/// Why a figure is not one to rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The runs differ much: their noise is above [`Mark::NOISE`].
    Noisy,
    /// More than the machine can do: a core was gone while the peak was measured.
    AbovePeak,
}

impl Mark {
    /// The noise from which on a figure is marked.
    pub const NOISE: f64 = 0.1;

    /// What is to be known about it, and done.
    #[must_use]
    pub fn legend(self) -> &'static str {
        match self {
            Mark::Noisy => "the noise is above 10 %, so something else was running: measure again, or for longer",
            Mark::AbovePeak => {
                "the share is above 100 %, so a core was busy with something else while the peak was measured: measure again"
            }
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mark::Noisy => "noisy",
            Mark::AbovePeak => "above peak",
        })
    }
}

impl Measurement {
    /// The share of the peak.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.flops / self.peak
    }

    /// Why the figures are not to be relied on; nothing where they are.
    #[must_use]
    pub fn marks(&self) -> Vec<Mark> {
        let noisy = (self.noise > Mark::NOISE).then_some(Mark::Noisy);
        let above = (self.share() > 1.0).then_some(Mark::AbovePeak);
        noisy.into_iter().chain(above).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_that_cannot_be_relied_on_are_marked() {
        let sound = Measurement {
            turns: 5,
            median: 1.0,
            min: 0.9,
            noise: 0.1,
            flops: 1e9,
            peak: 1e9,
            tokens: 1,
            per_step: 1.0,
            latency: None,
            block_latency: None,
        };
        assert_eq!(sound.marks(), []);
        assert_eq!(Measurement { noise: 0.101, ..sound }.marks(), [Mark::Noisy]);
        assert_eq!(Measurement { flops: 1.01e9, ..sound }.marks(), [Mark::AbovePeak]);
        assert_eq!(Measurement { noise: 0.2, flops: 2e9, ..sound }.marks(), [Mark::Noisy, Mark::AbovePeak]);
    }
}
