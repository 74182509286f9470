//! A schedule of the learning rate while it is followed.

use super::schedule::{Schedule, check_rate};
use super::stopping::check_best;
use crate::error::Result;

/// A [`Schedule`] that is followed: the base rate and what a [`Plateau`](Schedule::Plateau) has seen.
///
/// ```
/// use elman::loss::MeanSquaredError;
/// use elman::optim::{Adam, AdamConfig, Optimizer};
/// use elman::tensor::Seq;
/// use elman::train::{Schedule, Scheduler, Trainer};
/// use elman::{Gru, Rng};
///
/// let mut model = Gru::builder(2, 4).model(&mut Rng::new(1))?;
/// let mut scheduler = Scheduler::new(Schedule::cosine(2, 10, 0.0), 0.01)?;
/// let mut trainer = Trainer::new(Adam::new(model.params(), AdamConfig::default())?);
/// let (x, target) = (Seq::zeros(10, 3, 2)?, Seq::zeros(10, 3, 4)?);
/// for step in 0..10 {
///     trainer.optimizer_mut().set_learning_rate(scheduler.rate(step))?;
///     let loss = trainer.step(&mut model, &x, &mut MeanSquaredError::new(&target))?;
///     scheduler.observe(f64::from(loss)); // once an epoch, with the loss of examples that are not trained on
/// }
/// // With a checkpoint, and out of it.
/// let state = scheduler.state();
/// let mut resumed = Scheduler::new(Schedule::cosine(2, 10, 0.0), 0.01)?;
/// resumed.set_state(state)?;
/// assert_eq!(resumed, scheduler);
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Scheduler {
    schedule: Schedule,
    base_lr: f32,
    state: ScheduleState,
}

/// What changes in a [`Scheduler`]: with it and the step, one goes on as another did.
///
/// ```
/// use elman::train::{Plateau, Scheduler};
///
/// let mut scheduler = Scheduler::new(Plateau::default(), 0.01)?;
/// scheduler.observe(0.75);
/// let state = scheduler.state();
/// assert_eq!((state.best, state.bad, state.rate as f32), (Some(0.75), 0, 0.01));
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ScheduleState {
    /// The rate as a [`Plateau`](Schedule::Plateau) has left it; the base rate under every other schedule.
    pub rate: f64,
    /// The best loss so far; `None` before one that is a number.
    pub best: Option<f64>,
    /// Losses since then that were no better, or since the rate was changed. PyTorch's `num_bad_epochs`.
    pub bad: u64,
}

impl ScheduleState {
    /// A state out of its parts, as they were read.
    #[must_use]
    pub fn new(rate: f64, best: Option<f64>, bad: u64) -> Self {
        Self { rate, best, bad }
    }
}

impl Scheduler {
    /// Follows a schedule from that rate.
    ///
    /// # Errors
    /// As [`Schedule::check`].
    pub fn new(schedule: impl Into<Schedule>, base_lr: f32) -> Result<Self> {
        let schedule = schedule.into();
        schedule.check(base_lr)?;
        Ok(Self { schedule, base_lr, state: ScheduleState::new(f64::from(base_lr), None, 0) })
    }

    /// The rate of a step; under a [`Plateau`](Schedule::Plateau), that after the losses so far, whichever step it is.
    #[must_use]
    pub fn rate(&self, step: u64) -> f32 {
        match self.schedule {
            Schedule::Plateau(_) => self.state.rate as f32,
            _ => self.schedule.rate(self.base_lr, step),
        }
    }

    /// Takes a loss, which only a [`Plateau`](Schedule::Plateau) does something with. Whether the rate has changed. A loss
    /// that is NaN or +∞ is not better.
    pub fn observe(&mut self, loss: f64) -> bool {
        let Schedule::Plateau(plateau) = self.schedule else { return false };
        let ScheduleState { rate, best, bad } = &mut self.state;
        if loss < best.unwrap_or(f64::INFINITY) * (1.0 - plateau.threshold) {
            (*best, *bad) = (Some(loss), 0);
        } else {
            *bad = bad.saturating_add(1);
        }
        if *bad <= plateau.patience {
            return false;
        }
        *bad = 0;
        let smaller = (*rate * plateau.factor).max(f64::from(plateau.min_lr));
        let changes = *rate - smaller > LEAST_CHANGE;
        if changes {
            *rate = smaller;
        }
        changes
    }

    /// What it follows.
    #[must_use]
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// A copy of what has changed.
    #[must_use]
    pub fn state(&self) -> ScheduleState {
        self.state
    }

    /// Takes over a state.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) naming `rate` where it is negative or not finite, and `best` where it is
    /// NaN, which nothing would be better than. Nothing has changed then.
    pub fn set_state(&mut self, state: ScheduleState) -> Result<()> {
        check_rate("rate", state.rate as f32)?;
        check_best(state.best)?;
        self.state = state;
        Ok(())
    }
}

/// A change of a rate that is no larger is not made: PyTorch's default `eps`.
const LEAST_CHANGE: f64 = 1e-8;
