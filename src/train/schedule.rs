//! Learning rates that change while training goes on, as `torch.optim.lr_scheduler` computes them.

use std::f64::consts::PI;
use std::fmt;

use crate::error::{Error, Result};
use crate::optim::power;

/// How a learning rate changes while training goes on. Plain data; a [`Scheduler`](super::Scheduler) follows it.
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
///
/// As text it is `constant`, `step:EVERY:GAMMA`, `cosine:WARMUP:STEPS` or `plateau:PATIENCE:FACTOR`, followed by `:FLOOR` where
/// that is not 0, and by `:THRESHOLD:MIN_LR` where these are not the default's:
///
/// ```
/// use elman::train::{Plateau, Schedule};
///
/// let schedule = Schedule::from(Plateau::default().patience(0).factor(0.4));
/// assert_eq!(schedule.to_string(), "plateau:0:0.4");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase", deny_unknown_fields))]
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
        /// The step from which on the rate is the floor: more than `warmup`. 0 for the last step of a [`Fit`](super::Fit), which
        /// knows how many it has.
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
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct Plateau {
    /// What the rate is multiplied by, in [0, 1).
    pub factor: f64,
    /// Losses in a row that may be no better before the rate is changed.
    pub patience: u64,
    /// By which share of the best loss a better one is below it, in [0, 1): better is `loss < best·(1 - threshold)`. As in
    /// PyTorch, that is above a best loss below zero.
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

    /// The same over a training of so many steps, where that is left to it.
    pub(super) fn over(self, all: u64) -> Self {
        match self {
            Self::Cosine { warmup, steps: 0, floor } => Self::Cosine { warmup, steps: all, floor },
            other => other,
        }
    }

    /// The rate of a step, in f64 and rounded once. [`Plateau`] knows no steps, and gives the base rate: what it has made
    /// of it is [`Scheduler::rate`](super::Scheduler::rate).
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

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Constant => f.write_str("constant"),
            Self::Step { every, gamma } => write!(f, "step:{every}:{gamma}"),
            Self::Cosine { warmup, steps, floor: 0.0 } => write!(f, "cosine:{warmup}:{steps}"),
            Self::Cosine { warmup, steps, floor } => write!(f, "cosine:{warmup}:{steps}:{floor}"),
            Self::Plateau(Plateau { factor, patience, threshold, min_lr }) => {
                write!(f, "plateau:{patience}:{factor}")?;
                let usual = Plateau::default();
                match threshold == usual.threshold && min_lr == usual.min_lr {
                    true => Ok(()),
                    false => write!(f, ":{threshold}:{min_lr}"),
                }
            }
        }
    }
}

/// A finite number of at least zero.
pub(super) fn check_rate(name: &str, rate: f32) -> Result<()> {
    match rate.is_finite() && rate >= 0.0 {
        true => Ok(()),
        false => Err(Error::setting(name, "a finite number of at least 0", rate)),
    }
}
