//! All of a run of training as one file: written whole or not at all, and gone on from bit for bit.

mod numbers;
mod read;
mod resume;
mod write;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Fit;
use crate::error::Result;
use crate::format::check_writable;
use crate::train::Learner;

/// What a checkpoint belongs to: named values, such as hashes of the data and of the settings, that have to be the same where
/// training goes on.
///
/// ```
/// use elman::train::Identity;
///
/// let identity = Identity::default().with("data", "9f86d081").with("config", "60303ae2");
/// assert_eq!(identity.get("data"), Some("9f86d081"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity(BTreeMap<String, String>);

impl Identity {
    /// The same with another value.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    /// The value of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| &value[..])
    }
}

/// The key of the format's version, and the version.
const VERSION_KEY: &str = "elman.checkpoint";
const VERSION: &str = "1";
/// Before the names of an identity, of tensors and of everything else.
const IDENTITY: &str = "identity.";
const WEIGHTS: &str = "weights";
const BEST: &str = "best";
const GRADIENTS: &str = "gradients";
const OPTIMIZER: &str = "optimizer";
const CARRIED: &str = "carried";

/// Where checkpoints go, and when.
#[derive(Debug, Default)]
pub(super) struct Checkpoints {
    to: Option<(PathBuf, Identity)>,
    /// The time after which one is written inside an epoch; none where epochs' ends are enough.
    every: Option<Duration>,
    /// When the last one was written, or training began.
    last: Option<Instant>,
}

impl Checkpoints {
    /// The time runs from here on.
    pub(super) fn begin(&mut self) {
        // A clock is not there on every machine: it is asked where it is needed alone.
        self.last = self.every.filter(|_| self.to.is_some()).map(|_| Instant::now());
    }

    fn are_due(&self) -> bool {
        let passed = |(every, last): (Duration, Instant)| last.elapsed() >= every;
        self.every.zip(self.last).is_some_and(passed)
    }
}

impl<L: Learner> Fit<L> {
    /// Writes a checkpoint to `path` after every epoch: to a temporary beside it that then takes its name, so that the last good
    /// one is there whatever happens. [`checkpoint_every`](Self::checkpoint_every) has them written inside an epoch too.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) where a file cannot be written there.
    pub fn checkpoints(mut self, path: impl AsRef<Path>, identity: Identity) -> Result<Self> {
        check_writable(&path)?;
        self.checkpoints.to = Some((path.as_ref().into(), identity));
        Ok(self)
    }

    /// Has [checkpoints](Self::checkpoints) written inside an epoch too: after the first minibatch at whose end `every` has
    /// passed since the last one. Whoever ends the process, no more than that is lost, and a minibatch; what comes out has the
    /// same bits however often they are written. It is a time and not a count of minibatches, as what is lost is time: a
    /// minibatch takes a millisecond or a minute, and a checkpoint, with the weights, the best ones and the optimiser's state, as
    /// long as the disk does. With [`Duration::ZERO`] one is written after every minibatch.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use elman::train::{Fit, FitConfig, Identity, Supervised, Targets};
    /// use elman::{Gru, Rng};
    ///
    /// let fit = || {
    ///     let model = Gru::builder(1, 4).linear("fc", 1).model(&mut Rng::new(1))?;
    ///     let targets = Targets::Values((0..20).map(|n| vec![n as f32 / 20.0]).collect());
    ///     let rows = (0..20).map(|n| vec![n as f32 / 20.0; 3]).collect();
    ///     let config = FitConfig::default().epochs(3).batch(4);
    ///     Fit::new(Supervised::new(model, rows, targets)?, config, (0..20).collect(), Vec::new())
    /// };
    /// let folder = tempfile::tempdir().expect("a folder");
    /// let path = folder.path().join("run.checkpoint");
    /// let mut stopped = fit()?.checkpoints(&path, Identity::default())?.checkpoint_every(Duration::ZERO);
    /// let mut minibatches = 0;
    /// stopped.run(&mut |_| {
    ///     minibatches += 1;
    ///     minibatches < 3 // the third of five of the first epoch is the last
    /// })?;
    /// let mut gone_on = fit()?;
    /// gone_on.resume(&path, &Identity::default())?;
    /// assert_eq!((gone_on.report().epochs.len(), gone_on.minibatches()), (0, 3));
    /// # Ok::<(), elman::Error>(())
    /// ```
    #[must_use]
    pub fn checkpoint_every(mut self, every: Duration) -> Self {
        self.checkpoints.every = Some(every);
        self
    }

    /// Writes a checkpoint where the time for one has come.
    pub(super) fn save_if_due(&mut self) -> Result<()> {
        if self.checkpoints.are_due() { self.save() } else { Ok(()) }
    }
}
