//! What a step of training consists of, each part timed by itself.

use std::time::{Duration, Instant};

use super::Fit;
use crate::error::{Error, Result};
use crate::optim::clip_together;
use crate::train::{Learner, Lesson};

/// Times of the parts of training, each by itself, and of all of them together: what [`Fit::time_parts`] measures.
///
/// ```
/// use std::time::Duration;
/// use elman::train::PartTimes;
///
/// let times = PartTimes::default();
/// assert_eq!(times.sum(), Duration::ZERO);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct PartTimes {
    /// The minibatches that were learned from.
    pub minibatches: usize,
    /// Steps of all their examples.
    pub steps: usize,
    /// What the learner does: the minibatch put together, forward, loss and backward.
    pub learner: Duration,
    /// Clipping; nothing where there is none.
    pub clipping: Duration,
    /// The step of the optimisers.
    pub optimizer: Duration,
    /// The same minibatches in training.
    pub training: Duration,
}

impl PartTimes {
    /// Of all parts.
    #[must_use]
    pub fn sum(&self) -> Duration {
        self.learner + self.clipping + self.optimizer
    }

    /// The speed of training as a share of that of its parts: 1 where nothing is lost between them.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.sum().as_secs_f64() / self.training.as_secs_f64()
    }
}

/// How often each is timed; the least counts.
const TURNS: usize = 5;

impl<L: Learner> Fit<L> {
    /// Times the parts of training by themselves, over up to so many minibatches of the epoch that is to come: all minibatches
    /// through the learner, then as many clippings, then as many steps of the optimisers; and the same minibatches as
    /// [`run`](Self::run) goes through them. Each is done five times in turns, of which the least counts. Models, optimisers and
    /// the place in training are afterwards what they were.
    ///
    /// # Errors
    /// [`ErrorKind::Setting`](crate::ErrorKind::Setting) for no minibatch, and what [`run`](Self::run) gives for a minibatch.
    pub fn time_parts(&mut self, minibatches: usize) -> Result<PartTimes> {
        if minibatches == 0 {
            return Err(Error::setting("minibatches", "at least 1", 0));
        }
        let (at, gradients, carried) = (self.at.clone(), self.gradients.clone(), self.learner.carried());
        let params: Vec<_> = self.learner.models().iter().map(|(_, model)| model.params().clone()).collect();
        let states: Vec<_> = self.optimizers.iter().map(|optimizer| optimizer.0.state()).collect();
        let times = self.times(minibatches);
        (self.at, self.gradients) = (at, gradients);
        self.learner.carry(carried)?;
        for (params, (_, model)) in params.iter().zip(self.learner.models()) {
            model.params_mut().data_mut().copy_from_slice(params.data());
        }
        for (state, optimizer) in states.iter().zip(&mut self.optimizers) {
            optimizer.0.load_state(state)?;
        }
        times
    }

    fn times(&mut self, minibatches: usize) -> Result<PartTimes> {
        let all: Vec<Vec<usize>> = self.batches.epoch_from(self.at.epoch, 0).take(minibatches).collect();
        let all: Vec<Vec<usize>> =
            all.into_iter().map(|batch| batch.into_iter().map(|n| self.train[n]).collect()).collect();
        let steps = |examples: &Vec<usize>| examples.iter().map(|&example| self.learner.steps(example)).sum::<usize>();
        let steps = all.iter().map(steps).sum();
        let mut least = [Duration::MAX; 4];
        for _ in 0..TURNS {
            let turn = [self.time_learner(&all)?, self.time_clipping(&all)?, self.time_optimizers(&all)?];
            let start = Instant::now();
            for examples in &all {
                self.learn(examples, true)?;
            }
            let training = start.elapsed();
            least
                .iter_mut()
                .zip(turn.into_iter().chain([training]))
                .for_each(|(least, time)| *least = time.min(*least));
        }
        let [learner, clipping, optimizer, training] = least;
        Ok(PartTimes { minibatches: all.len(), steps, learner, clipping, optimizer, training })
    }

    fn time_learner(&mut self, all: &[Vec<usize>]) -> Result<Duration> {
        let start = Instant::now();
        for examples in all {
            let (flop, threads) = (self.flop(examples), self.threads);
            let Self { learner, gradients, at, .. } = self;
            threads.inside_for(flop, || {
                let mut lesson = Lesson { training: &mut at.training, threads, gradients, adds: false, given: 0 };
                learner.learn(examples, &mut lesson)
            })?;
        }
        Ok(start.elapsed())
    }

    fn time_clipping(&mut self, all: &[Vec<usize>]) -> Result<Duration> {
        let Some(max_norm) = self.config.clip_norm else { return Ok(Duration::ZERO) };
        let start = Instant::now();
        for examples in all {
            let flop = self.flop(examples);
            self.threads.inside_for(flop, || clip_together(&mut self.gradients, max_norm))?;
        }
        Ok(start.elapsed())
    }

    fn time_optimizers(&mut self, all: &[Vec<usize>]) -> Result<Duration> {
        let start = Instant::now();
        for examples in all {
            let flop = self.flop(examples);
            self.threads.inside_for(flop, || self.step_optimizers())?;
        }
        Ok(start.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::train::{Fit, FitConfig, Supervised, Targets};
    use crate::{Gru, Readout, Rng};

    fn fit() -> Fit<Supervised> {
        let rows: Vec<Vec<f32>> = (0..40).map(|n| (0..3 + n % 5).map(|t| ((t * n) % 7) as f32).collect()).collect();
        let model = Gru::builder(1, 8).readout(Readout::Last).linear("fc", 2).model(&mut Rng::new(1)).expect("a model");
        let learner =
            Supervised::new(model, rows, Targets::Class((0..40).map(|n| n % 2).collect())).expect("a learner");
        let config = FitConfig::default().epochs(2).batch(8).clip_norm(1.0);
        Fit::new(learner, config, (0..32).collect(), (32..40).collect()).expect("settings")
    }

    #[test]
    fn parts_are_timed_and_change_nothing() {
        let (mut timed, mut plain) = (fit(), fit());
        let times = timed.time_parts(3).unwrap();
        assert_eq!(times.minibatches, 3);
        for time in [times.learner, times.clipping, times.optimizer, times.training] {
            assert!(time > Duration::ZERO && time < Duration::from_secs(60), "{times:?}");
        }
        assert_eq!(times.sum(), times.learner + times.clipping + times.optimizer);
        assert!(times.training > times.learner / 2, "{times:?}");
        timed.run(&mut |_| true).unwrap();
        plain.run(&mut |_| true).unwrap();
        assert_eq!(timed.report(), plain.report());
        let [timed, plain] = [timed, plain].map(|fit| fit.into_learner().into_model());
        assert_eq!(timed.params().data(), plain.params().data());
    }

    #[test]
    fn an_epoch_has_no_more_minibatches_than_it_has() {
        assert_eq!(fit().time_parts(1000).unwrap().minibatches, 4);
        assert!(fit().time_parts(0).is_err());
    }
}
