//! How a learner is fitted: plain data.

use crate::error::{Error, Result, at_least_one};
use crate::train::{Batches, Schedule};

/// The settings of [`Fit`](super::Fit).
///
/// ```
/// use elman::train::{FitConfig, Schedule};
///
/// let config = FitConfig::default().epochs(20).batch(64).lr(0.003).clip_norm(1.0).patience(5);
/// assert_eq!((config.seed, config.schedule), (1, Schedule::Constant));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct FitConfig {
    /// How many times every example is learned from, if nothing stops it before.
    pub epochs: u64,
    /// Examples of a minibatch.
    pub batch: usize,
    /// Minibatches whose gradients are averaged for one step of the optimiser.
    pub accumulate: usize,
    /// The learning rate that the schedule begins with.
    pub lr: f32,
    /// How it changes, by steps of the optimiser; a plateau, by the loss of an epoch.
    pub schedule: Schedule,
    /// The largest norm of all gradients together; of what is beyond it they are scaled down to it.
    pub clip_norm: Option<f32>,
    /// Epochs without a better loss of the validation part after which training stops.
    pub patience: Option<u64>,
    /// How much better it has to be.
    pub min_delta: f64,
    /// Minibatches among whose examples those of like length are put together; 0 for none.
    pub bucket_window: usize,
    /// What the order of examples and dropout masks are drawn from.
    pub seed: u64,
}

impl Default for FitConfig {
    fn default() -> Self {
        Self {
            epochs: 10,
            batch: 32,
            accumulate: 1,
            lr: 1e-3,
            schedule: Schedule::Constant,
            clip_norm: None,
            patience: None,
            min_delta: 0.0,
            bucket_window: 0,
            seed: 1,
        }
    }
}

macro_rules! setters {
    ($($(#[$doc:meta])* $field:ident: $of:ty = $value:expr,)*) => {
        impl FitConfig {
            $(
                $(#[$doc])*
                #[must_use]
                pub fn $field(self, $field: $of) -> Self {
                    Self { $field: $value, ..self }
                }
            )*
        }
    };
}

setters! {
    /// Sets how many times every example is learned from.
    epochs: u64 = epochs,
    /// Sets the examples of a minibatch.
    batch: usize = batch,
    /// Sets the minibatches whose gradients are averaged for one step.
    accumulate: usize = accumulate,
    /// Sets the learning rate.
    lr: f32 = lr,
    /// Sets how it changes.
    schedule: impl Into<Schedule> = schedule.into(),
    /// Sets the largest norm of all gradients together.
    clip_norm: f32 = Some(clip_norm),
    /// Sets the epochs without a better loss after which training stops.
    patience: u64 = Some(patience),
    /// Sets how much better it has to be.
    min_delta: f64 = min_delta,
    /// Sets the minibatches among whose examples those of like length are put together.
    bucket_window: usize = bucket_window,
    /// Sets what the order of examples and dropout masks are drawn from.
    seed: u64 = seed,
}

impl FitConfig {
    /// That each setting is in its range.
    ///
    /// # Errors
    /// [`ErrorKind::Setting`](crate::ErrorKind::Setting) naming the one that is not.
    pub fn check(&self) -> Result<()> {
        at_least_one("batch", self.batch)?;
        at_least_one("accumulate", self.accumulate)?;
        self.schedule.over(u64::MAX).check(self.lr)?;
        if let Some(norm) = self.clip_norm.filter(|norm| norm.is_nan() || *norm <= 0.0) {
            return Err(Error::setting("clip_norm", "a number above 0", norm));
        }
        if self.patience == Some(0) {
            return Err(Error::setting("patience", "at least 1", 0));
        }
        if !(self.min_delta.is_finite() && self.min_delta >= 0.0) {
            return Err(Error::setting("min_delta", "a finite number of at least 0", self.min_delta));
        }
        Ok(())
    }

    /// The minibatches of examples of those lengths; of so many successive ones, in their order, where the learner says so.
    pub(super) fn batches(
        &self,
        lengths: impl ExactSizeIterator<Item = usize>,
        successive: Option<usize>,
    ) -> Result<Batches> {
        let batches = Batches::new(lengths.len(), self.batch, self.seed)?;
        if let Some(rows) = successive {
            let why = "as minibatches go on from one another";
            if self.batch != rows {
                return Err(Error::setting("batch", &format!("{rows}, the learner's rows, {why}"), self.batch));
            }
            if self.bucket_window != 0 {
                return Err(Error::setting("bucket_window", &format!("0, {why}"), self.bucket_window));
            }
            return Ok(batches.in_order());
        }
        match self.bucket_window {
            0 => Ok(batches),
            window => batches.bucketed(lengths.collect::<Vec<_>>(), window),
        }
    }
}
