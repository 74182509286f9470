//! Learning rates that change while training goes on, as `torch.optim.lr_scheduler` computes them.

use std::f64::consts::PI;

use crate::error::{Error, Result};
use crate::optim::power;
use crate::train::stopping::check_best;

/// How a learning rate changes while training goes on. Plain data; a [`Scheduler`] follows it.
///
/// What a step is, is the caller's: of the optimiser, or an epoch. The first one is step 0.
///
/// ```
/// use elman::train::Schedule;
///
/// let schedule = Schedule::step(30, 0.1);
/// assert_eq!(schedule.rate(0.5, 29), 0.5);
/// assert_eq!(schedule.rate(0.5, 60), 0.005);
///
/// let schedule = Schedule::cosine(10, 110, 0.0);
/// assert_eq!([0, 5, 10, 60, 110].map(|step| schedule.rate(1.0, step)), [0.0, 0.5, 1.0, 0.5, 0.0]);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Schedule {
    /// The base rate, always.
    #[default]
    Constant,
    /// `torch.optim.lr_scheduler.StepLR`: `base · gamma^⌊step / every⌋`.
    #[non_exhaustive]
    Step {
        /// Steps from one change to the next, at least 1. PyTorch's `step_size`.
        every: u64,
        /// The factor of each change, above 0.
        gamma: f64,
    },
    /// A linear warm-up, then half a cosine, then the floor:
    ///
    /// ```text
    /// base · step / warmup                                                            step < warmup
    /// floor + (base - floor) · ½(1 + cos(π · (step - warmup) / (steps - warmup)))     warmup ≤ step < steps
    /// floor                                                                           steps ≤ step
    /// ```
    ///
    /// The cosine is Loshchilov and Hutter's (2017) without restarts, as `CosineAnnealingLR` with `eta_min = floor`. The
    /// rate of step 0 is 0 where there is a warm-up.
    #[non_exhaustive]
    Cosine {
        /// Steps of the warm-up; 0 for none.
        warmup: u64,
        /// The step from which on the rate is the floor: more than `warmup`.
        steps: u64,
        /// The last rate: a rate and not a share of the base rate, no more than that.
        floor: f32,
    },
    /// The rate becomes smaller where a loss no longer does.
    Plateau(Plateau),
}

/// `torch.optim.lr_scheduler.ReduceLROnPlateau` of a loss: where more than `patience` losses in a row are no better than
/// the best one so far, the rate is multiplied by `factor`.
///
/// With PyTorch's `mode="min"`, `threshold_mode="rel"`, `cooldown=0` and `eps=1e-8`: a change of the rate by no more than
/// 10⁻⁸ is not made.
///
/// ```
/// use elman::train::{Plateau, Scheduler};
///
/// let mut scheduler = Scheduler::new(Plateau::default().factor(0.5).patience(1), 0.25)?;
/// assert!(!scheduler.observe(1.0));
/// assert!(!scheduler.observe(1.0)); // the first one that is no better
/// assert!(scheduler.observe(1.0)); // one more than the patience
/// assert_eq!(scheduler.rate(3), 0.125);
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct Plateau {
    /// What the rate is multiplied by, in [0, 1).
    pub factor: f64,
    /// Losses in a row that may be no better before the rate is changed.
    pub patience: u64,
    /// By which share of the best loss a better one is below it, in [0, 1): it is better where `loss < best·(1 - threshold)`.
    pub threshold: f64,
    /// The smallest rate.
    pub min_lr: f32,
}

impl Default for Plateau {
    /// PyTorch's: a tenth after 10 losses that are not better by 10⁻⁴ of the best.
    fn default() -> Self {
        Self { factor: 0.1, patience: 10, threshold: 1e-4, min_lr: 0.0 }
    }
}

impl Plateau {
    /// Sets what the rate is multiplied by.
    #[must_use]
    pub fn factor(self, factor: f64) -> Self {
        Self { factor, ..self }
    }

    /// Sets how many losses in a row may be no better.
    #[must_use]
    pub fn patience(self, patience: u64) -> Self {
        Self { patience, ..self }
    }

    /// Sets by which share of the best loss a better one is below it.
    #[must_use]
    pub fn threshold(self, threshold: f64) -> Self {
        Self { threshold, ..self }
    }

    /// Sets the smallest rate.
    #[must_use]
    pub fn min_lr(self, min_lr: f32) -> Self {
        Self { min_lr, ..self }
    }

    fn check(&self) -> Result<()> {
        for (name, value) in [("factor", self.factor), ("threshold", self.threshold)] {
            if !(0.0..1.0).contains(&value) {
                return Err(Error::setting(name, "a number in [0, 1)", value));
            }
        }
        check_rate("min_lr", self.min_lr)
    }
}

impl From<Plateau> for Schedule {
    fn from(plateau: Plateau) -> Self {
        Self::Plateau(plateau)
    }
}

/// A change of a rate that is no larger is not made: PyTorch's default `eps`.
const LEAST_CHANGE: f64 = 1e-8;

impl Schedule {
    /// `gamma` times the rate every `every` steps.
    #[must_use]
    pub fn step(every: u64, gamma: f64) -> Self {
        Self::Step { every, gamma }
    }

    /// A warm-up over `warmup` steps, then half a cosine to `floor` at step `steps`.
    #[must_use]
    pub fn cosine(warmup: u64, steps: u64, floor: f32) -> Self {
        Self::Cosine { warmup, steps, floor }
    }

    /// The rate of a step, in f64 and rounded once. [`Plateau`] knows no steps, and gives the base rate: what it has made
    /// of it is [`Scheduler::rate`].
    ///
    /// Of settings that [`check`](Self::check) refuses it is unspecified.
    #[must_use]
    pub fn rate(&self, base_lr: f32, step: u64) -> f32 {
        let base = f64::from(base_lr);
        match *self {
            Self::Constant | Self::Plateau(_) => base_lr,
            Self::Step { every, gamma } => (base * power(gamma, step / every.max(1))) as f32,
            Self::Cosine { warmup, .. } if step < warmup => (base * (step as f64 / warmup as f64)) as f32,
            Self::Cosine { warmup, steps, floor } if step < steps => {
                let (floor, share) = (f64::from(floor), (step - warmup) as f64 / (steps - warmup) as f64);
                (floor + (base - floor) * 0.5 * (1.0 + (PI * share).cos())) as f32
            }
            Self::Cosine { floor, .. } => floor,
        }
    }

    /// That the settings are in their ranges for that base rate.
    ///
    /// # Errors
    /// [`Error::Setting`] naming `lr` where it is negative or not finite, `every` where it is 0, `gamma` where it is not a
    /// finite number above 0, `steps` where the warm-up is not shorter, `floor` where it is negative, above the base rate or
    /// not finite, `factor` and `threshold` outside [0, 1), and `min_lr` where it is negative or not finite.
    pub fn check(&self, base_lr: f32) -> Result<()> {
        check_rate("lr", base_lr)?;
        match self {
            Self::Constant => Ok(()),
            Self::Step { every: 0, .. } => Err(Error::setting("every", "at least 1", 0)),
            Self::Step { gamma, .. } if !(gamma.is_finite() && *gamma > 0.0) => {
                Err(Error::setting("gamma", "a finite number above 0", gamma))
            }
            Self::Step { .. } => Ok(()),
            Self::Cosine { warmup, steps, .. } if steps <= warmup => {
                Err(Error::setting("steps", &format!("more than the {warmup} of the warm-up"), steps))
            }
            Self::Cosine { floor, .. } if !(0.0..=base_lr).contains(floor) => {
                Err(Error::setting("floor", &format!("a number in [0, {base_lr}], up to the base rate"), floor))
            }
            Self::Cosine { .. } => Ok(()),
            Self::Plateau(plateau) => plateau.check(),
        }
    }
}

/// A [`Schedule`] that is followed: the base rate and what a [`Plateau`] has seen.
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
    /// The rate as a [`Plateau`] has left it; the base rate under every other schedule.
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

    /// The rate of a step; under a [`Plateau`], that after the losses so far, whichever step it is.
    #[must_use]
    pub fn rate(&self, step: u64) -> f32 {
        match self.schedule {
            Schedule::Plateau(_) => self.state.rate as f32,
            _ => self.schedule.rate(self.base_lr, step),
        }
    }

    /// Takes a loss, which only a [`Plateau`] does something with. Whether the rate has changed. A loss that is NaN or
    /// infinite is not better.
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
    /// [`Error::Setting`] naming `rate` where it is negative or not finite, and `best` where it is NaN, which nothing would
    /// be better than. Nothing has changed then.
    pub fn set_state(&mut self, state: ScheduleState) -> Result<()> {
        check_rate("rate", state.rate as f32)?;
        check_best(state.best)?;
        self.state = state;
        Ok(())
    }
}

/// A finite number of at least zero.
fn check_rate(name: &str, rate: f32) -> Result<()> {
    match rate.is_finite() && rate >= 0.0 {
        true => Ok(()),
        false => Err(Error::setting(name, "a finite number of at least 0", rate)),
    }
}
