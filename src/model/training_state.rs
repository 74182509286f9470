//! Where a training run is.

/// The seed of a training run and the number of steps it has taken. Together they decide every dropout mask: two runs of
/// one seed draw the same masks, and a run that is [restored](Self::restored) goes on with those it would have drawn.
///
/// ```
/// use elman::train::TrainingState;
///
/// let training = TrainingState::new(42);
/// assert_eq!((training.seed(), training.step()), (42, 0));
/// assert_eq!(TrainingState::restored(42, 0), training);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainingState {
    seed: u64,
    step: u64,
}

impl TrainingState {
    /// A run of that seed that has not begun.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, step: 0 }
    }

    /// A run of that seed that has taken `step` steps: what [`seed`](Self::seed) and [`step`](Self::step) gave.
    #[must_use]
    pub fn restored(seed: u64, step: u64) -> Self {
        Self { seed, step }
    }

    /// The seed.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Forward runs in training so far.
    #[must_use]
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Counts one forward run in training.
    pub(crate) fn advance(&mut self) {
        self.step = self.step.wrapping_add(1);
    }
}
