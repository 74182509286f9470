//! Training as one call: epochs of minibatches, a validation part, a schedule, early stopping, the best weights kept, and
//! checkpoints from which it goes on bit for bit.

#[cfg(feature = "safetensors")]
mod checkpoint;
mod config;
mod parts;
mod report;
mod step;

#[cfg(feature = "safetensors")]
pub use checkpoint::Identity;
pub use config::FitConfig;
pub use parts::PartTimes;
pub use report::{Best, EpochReport, FitReport, Progress};

use super::{Batches, EarlyStopping, Learner, Scheduler, Score, TrainingState};
use crate::error::{Error, Result};
use crate::optim::{Adam, AdamConfig, Optimizer};
use crate::parallel::Threads;
use crate::params::Params;

/// A learner while it is fitted.
///
/// ```
/// use elman::train::{Fit, FitConfig, Supervised, Targets};
/// use elman::{Gru, Readout, Rng};
///
/// // Which of two signs came first? Ragged sequences of one feature, a class for each.
/// let rows: Vec<Vec<f32>> = (0..40).map(|n| (0..3 + n % 5).map(|t| if (t + n) % 2 == 0 { 1.0 } else { -1.0 }).collect()).collect();
/// let classes = (0..40).map(|n| (n % 2) as i64).collect();
/// let model = Gru::builder(1, 8).readout(Readout::Last).linear("fc", 2).model(&mut Rng::new(1))?;
/// let learner = Supervised::new(model, rows, Targets::Class(classes))?;
///
/// let config = FitConfig::default().epochs(40).batch(8).lr(0.02);
/// let mut fit = Fit::new(learner, config, (0..32).collect(), (32..40).collect())?;
/// let report = fit.run(&mut |_| true)?; // false from the closure stops it
/// assert!(report.best.expect("there is a validation part").loss < 0.3);
/// let model = fit.into_learner().into_model(); // with the weights of the best epoch
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Debug)]
pub struct Fit<L> {
    learner: L,
    config: FitConfig,
    threads: Threads,
    /// The examples that are learned from, and those that are not.
    train: Vec<usize>,
    valid: Vec<usize>,
    batches: Batches,
    /// Of each model.
    optimizers: Vec<AnyOptimizer>,
    gradients: Vec<Params>,
    /// The parameters of the best epoch; none before the first.
    best: Option<Vec<Params>>,
    scheduler: Scheduler,
    stopping: Option<EarlyStopping>,
    at: Place,
    report: FitReport,
    #[cfg(feature = "safetensors")]
    checkpoints: checkpoint::Checkpoints,
}

/// Makes an optimiser for the parameters of a model, and its first learning rate.
pub type MakeOptimizer<'a> = dyn Fn(&Params, f32) -> Result<Box<dyn Optimizer>> + 'a;

/// An optimiser of any kind.
struct AnyOptimizer(Box<dyn Optimizer>);

impl std::fmt::Debug for AnyOptimizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Optimizer")
    }
}

/// How far training has come.
#[derive(Clone, Debug, PartialEq)]
struct Place {
    epoch: u64,
    /// Minibatches of the epoch that have been learned from.
    batch: u64,
    /// Steps of the optimisers.
    step: u64,
    /// Minibatches whose gradients wait for a step.
    waiting: u64,
    training: TrainingState,
    /// Of the epoch so far.
    score: Score,
}

impl<L: Learner> Fit<L> {
    /// Fits `learner` to the examples of those numbers, by Adam; those of `valid` are not learned from: by their loss the best
    /// epoch is known. Without any, the last epoch counts.
    ///
    /// # Errors
    /// As [`FitConfig::check`], and [`ErrorKind::Setting`](crate::ErrorKind::Setting) where there is nothing to learn from.
    pub fn new(learner: L, config: FitConfig, train: Vec<usize>, valid: Vec<usize>) -> Result<Self> {
        let adam = |params: &Params, lr: f32| -> Result<Box<dyn Optimizer>> {
            Ok(Box::new(Adam::new(params, AdamConfig::default().lr(lr))?))
        };
        Self::with_optimizer(learner, config, train, valid, &adam)
    }

    /// The same by the optimisers that `optimizer` makes for the parameters of each model and the first learning rate.
    ///
    /// # Errors
    /// As [`new`](Self::new), and the optimisers'.
    pub fn with_optimizer(
        mut learner: L,
        config: FitConfig,
        train: Vec<usize>,
        valid: Vec<usize>,
        optimizer: &MakeOptimizer<'_>,
    ) -> Result<Self> {
        config.check()?;
        if train.is_empty() {
            return Err(Error::setting("train", "at least one example", "none"));
        }
        let lengths = train.iter().map(|&example| learner.steps(example));
        let batches = config.batches(lengths, learner.successive())?;
        let (mut optimizers, mut gradients) = (Vec::new(), Vec::new());
        for (_, model) in learner.models() {
            optimizers.push(AnyOptimizer(optimizer(model.params(), config.lr)?));
            gradients.push(model.params().try_zeros_like("gradients")?);
        }
        // A lesson has a bit for each.
        if gradients.len() > 64 {
            return Err(Error::setting("models", "at most 64", gradients.len()));
        }
        let steps_per_epoch = batches.per_epoch().div_ceil(config.accumulate) as u64;
        let scheduler = Scheduler::new(config.schedule.over(config.epochs.saturating_mul(steps_per_epoch)), config.lr)?;
        let stopping = config.patience.map(|patience| EarlyStopping::new(patience, config.min_delta)).transpose()?;
        let training = TrainingState::new(config.seed);
        let at = Place { epoch: 0, batch: 0, step: 0, waiting: 0, training, score: Score::default() };
        Ok(Self {
            learner,
            config,
            threads: Threads::one(),
            train,
            valid,
            batches,
            optimizers,
            gradients,
            best: None,
            scheduler,
            stopping,
            at,
            report: FitReport::default(),
            #[cfg(feature = "safetensors")]
            checkpoints: checkpoint::Checkpoints::default(),
        })
    }

    /// Sets the threads that may be used; the result has the same bits with any number.
    #[must_use]
    pub fn threads(self, threads: Threads) -> Self {
        Self { threads, ..self }
    }

    /// Trains to the end: the epochs of the settings, fewer where early stopping says so or `watch` gives false. It is told of
    /// every minibatch and of every epoch. Afterwards the models have the weights of the best epoch, where there is a
    /// validation part, else the last ones.
    ///
    /// # Errors
    /// What the learner gives; [`ErrorKind::Value`](crate::ErrorKind::Value) where the loss is no longer a finite number, with
    /// the step that it happened at: the models then have the weights of before that step, and the last checkpoint stands.
    /// What writing a checkpoint gives.
    pub fn run(&mut self, watch: &mut dyn FnMut(Progress<'_>) -> bool) -> Result<&FitReport> {
        #[cfg(feature = "safetensors")]
        self.checkpoints.begin();
        while !self.is_over() {
            if !self.epoch(watch)? {
                break;
            }
        }
        self.take_best()?;
        Ok(&self.report)
    }

    /// Whether all epochs have been, or early stopping has said so.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.at.epoch >= self.config.epochs || self.stopping.as_ref().is_some_and(EarlyStopping::should_stop)
    }

    /// What has been so far.
    #[must_use]
    pub fn report(&self) -> &FitReport {
        &self.report
    }

    /// Minibatches of the epoch so far: 0 at its beginning.
    #[must_use]
    pub fn minibatches(&self) -> u64 {
        self.at.batch
    }

    /// The learner.
    #[must_use]
    pub fn learner(&self) -> &L {
        &self.learner
    }

    /// The learner, with the models as they are now: after [`run`](Self::run), those of the best epoch.
    #[must_use]
    pub fn into_learner(self) -> L {
        self.learner
    }

    /// The rest of an epoch. Gives false where `watch` did.
    fn epoch(&mut self, watch: &mut dyn FnMut(Progress<'_>) -> bool) -> Result<bool> {
        let batches = self.batches.per_epoch() as u64;
        for batch in self.batches.epoch_from(self.at.epoch, self.at.batch as usize) {
            let examples: Vec<usize> = batch.into_iter().map(|n| self.train[n]).collect();
            let score = self.learn(&examples, self.at.batch + 1 == batches)?;
            let steps = examples.iter().map(|&example| self.learner.steps(example)).sum();
            let Place { epoch, batch, .. } = self.at;
            let loss = score.loss();
            #[cfg(feature = "safetensors")]
            self.save_if_due()?;
            if !watch(Progress::Batch { epoch, batch, batches, loss, steps }) {
                return Ok(false);
            }
        }
        let train = self.at.score.loss();
        let valid = if self.valid.is_empty() { None } else { Some(self.score_of_valid()?.loss()) };
        let lr = self.scheduler.rate(self.at.step);
        self.scheduler.observe(valid.unwrap_or(train));
        let epoch = self.at.epoch;
        let is_best = valid.is_some_and(|valid| self.report.best.is_none_or(|best| valid < best.loss));
        if is_best {
            self.keep_best()?;
        }
        if let Some(stopping) = &mut self.stopping {
            stopping.observe(valid.unwrap_or(train));
        }
        self.report.add(EpochReport { epoch, train, valid, lr }, is_best);
        (self.at.epoch, self.at.batch, self.at.score) = (epoch + 1, 0, Score::default());
        #[cfg(feature = "safetensors")]
        self.save()?;
        Ok(watch(Progress::Epoch { report: self.report.epochs.last().expect("just added"), is_best }))
    }

    /// The loss of the validation part, in minibatches.
    fn score_of_valid(&mut self) -> Result<Score> {
        let mut score = Score::default();
        for examples in self.valid.chunks(self.config.batch) {
            score += self.learner.evaluate(examples, self.threads)?;
        }
        Ok(score)
    }

    /// Keeps the parameters as the best so far.
    fn keep_best(&mut self) -> Result<()> {
        let models = self.learner.models();
        match &mut self.best {
            Some(best) => {
                for (best, (_, model)) in best.iter_mut().zip(models) {
                    best.data_mut().copy_from_slice(model.params().data());
                }
            }
            none => *none = Some(models.iter().map(|(_, model)| model.params().clone()).collect()),
        }
        Ok(())
    }

    /// Gives the models the best parameters, where there are any.
    fn take_best(&mut self) -> Result<()> {
        if let Some(best) = &self.best {
            for (best, (_, model)) in best.iter().zip(self.learner.models()) {
                model.params_mut().data_mut().copy_from_slice(best.data());
            }
        }
        Ok(())
    }
}
