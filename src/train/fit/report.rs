//! What training tells of itself.

/// How training goes: what [`Fit::run`](super::Fit::run) tells while it runs.
///
/// ```
/// use elman::train::Progress;
///
/// fn watch(progress: Progress<'_>) -> bool {
///     match progress {
///         Progress::Batch { epoch, batch, batches, loss, .. } => println!("epoch {epoch}, {batch}/{batches}: {loss:.4}"),
///         Progress::Epoch { report, is_best, .. } => println!("{}{}", report.train, if is_best { ", the best" } else { "" }),
///         _ => {}
///     }
///     true // go on
/// }
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// A minibatch has been learned from.
    #[non_exhaustive]
    Batch {
        /// The epoch, counted from 0.
        epoch: u64,
        /// Minibatches of the epoch so far.
        batch: u64,
        /// Minibatches of an epoch.
        batches: u64,
        /// The mean loss of this one.
        loss: f64,
        /// Steps of all of its examples.
        steps: usize,
    },
    /// An epoch is over.
    #[non_exhaustive]
    Epoch {
        /// What came of it.
        report: &'a EpochReport,
        /// Whether its validation loss is the least so far.
        is_best: bool,
    },
}

/// What came of one epoch.
///
/// ```
/// use elman::train::EpochReport;
///
/// let report = EpochReport::default();
/// assert_eq!((report.epoch, report.valid), (0, None));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct EpochReport {
    /// The epoch, counted from 0.
    pub epoch: u64,
    /// The mean loss of the examples as they were learned from, with the weights of before each step.
    pub train: f64,
    /// The mean loss of the validation part, with the weights at the end of the epoch.
    pub valid: Option<f64>,
    /// The learning rate at its end.
    pub lr: f32,
}

/// The epoch of the least validation loss.
///
/// ```
/// use elman::train::FitReport;
///
/// assert!(FitReport::default().best.is_none());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Best {
    /// Which one, counted from 0.
    pub epoch: u64,
    /// Its loss.
    pub loss: f64,
}

/// What came of training so far.
///
/// ```
/// use elman::train::FitReport;
///
/// let report = FitReport::default();
/// assert!(report.epochs.is_empty() && report.best.is_none());
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct FitReport {
    /// Every epoch.
    pub epochs: Vec<EpochReport>,
    /// The one of the least validation loss.
    pub best: Option<Best>,
}

impl FitReport {
    pub(super) fn add(&mut self, epoch: EpochReport, is_best: bool) {
        self.epochs.push(epoch);
        if let (true, Some(loss)) = (is_best, epoch.valid) {
            self.best = Some(Best { epoch: epoch.epoch, loss });
        }
    }
}
