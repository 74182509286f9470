//! When to stop: where a loss of examples that are not trained on has become no better for some epochs.

use crate::error::{Error, Result};

/// Watches the loss of an epoch after the other. It is better where it is below the best one so far by more than
/// `min_delta`; after `patience` epochs in a row that are not, training should stop. Keras and Lightning count so too.
///
/// ```
/// use elman::train::EarlyStopping;
///
/// let mut stopping = EarlyStopping::new(2, 0.01)?;
/// let mut kept = None;
/// for (epoch, loss) in [1.0, 0.5, 0.495, f64::NAN, 0.1].into_iter().enumerate() {
///     if stopping.observe(loss) {
///         kept = Some(epoch); // save the model
///     }
///     if stopping.should_stop() {
///         break;
///     }
/// }
/// assert_eq!((kept, stopping.state().best), (Some(1), Some(0.5)));
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct EarlyStopping {
    patience: u64,
    min_delta: f64,
    state: StoppingState,
}

/// What changes in an [`EarlyStopping`], to be saved with a checkpoint.
///
/// ```
/// use elman::train::{EarlyStopping, StoppingState};
///
/// let mut stopping = EarlyStopping::new(3, 0.0)?;
/// stopping.set_state(StoppingState::new(Some(0.25), 2))?; // as a file gave it
/// assert!(!stopping.observe(0.25) && stopping.should_stop());
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct StoppingState {
    /// The best loss so far; `None` before one that is a number.
    pub best: Option<f64>,
    /// Epochs since the best one.
    pub since: u64,
}

impl StoppingState {
    /// A state out of its parts, as they were read.
    #[must_use]
    pub fn new(best: Option<f64>, since: u64) -> Self {
        Self { best, since }
    }
}

impl EarlyStopping {
    /// Stops after `patience` epochs in a row that are not better by more than `min_delta`, in the unit of the loss.
    ///
    /// # Errors
    /// [`Error::Setting`] for a patience of 0, which would stop before the first epoch, and for a `min_delta` that is
    /// negative or not finite.
    pub fn new(patience: u64, min_delta: f64) -> Result<Self> {
        if patience == 0 {
            return Err(Error::setting("patience", "at least 1", patience));
        }
        if !(min_delta.is_finite() && min_delta >= 0.0) {
            return Err(Error::setting("min_delta", "a finite number of at least 0", min_delta));
        }
        Ok(Self { patience, min_delta, state: StoppingState::default() })
    }

    /// Takes the loss of an epoch. Whether it is better than the best one before. The first one is, but NaN and +∞ never
    /// are.
    pub fn observe(&mut self, loss: f64) -> bool {
        let StoppingState { best, since } = &mut self.state;
        let is_better = loss < best.unwrap_or(f64::INFINITY) - self.min_delta;
        if is_better {
            (*best, *since) = (Some(loss), 0);
        } else {
            *since = since.saturating_add(1);
        }
        is_better
    }

    /// Whether `patience` epochs have gone by since the best one.
    #[must_use]
    pub fn should_stop(&self) -> bool {
        self.state.since >= self.patience
    }

    /// Epochs in a row that need not be better.
    #[must_use]
    pub fn patience(&self) -> u64 {
        self.patience
    }

    /// By how much a better loss is below the best one before.
    #[must_use]
    pub fn min_delta(&self) -> f64 {
        self.min_delta
    }

    /// A copy of what has changed.
    #[must_use]
    pub fn state(&self) -> StoppingState {
        self.state
    }

    /// Takes over a state.
    ///
    /// # Errors
    /// [`Error::Setting`] naming `best` where it is NaN, which nothing would be better than. Nothing has changed then.
    pub fn set_state(&mut self, state: StoppingState) -> Result<()> {
        check_best(state.best)?;
        self.state = state;
        Ok(())
    }
}

/// That a best loss is one that another can be better than.
pub(super) fn check_best(best: Option<f64>) -> Result<()> {
    match best {
        Some(best) if best.is_nan() => Err(Error::setting("best", "a number, or none", best)),
        _ => Ok(()),
    }
}
