//! Going on from a checkpoint.

use std::path::Path;

use super::read::Reading;
use super::{BEST, GRADIENTS, IDENTITY, Identity, WEIGHTS};
use crate::error::{Error, Result};
use crate::format::TensorFile;
use crate::optim::OptimizerState;
use crate::params::Params;
use crate::train::fit::{Fit, FitReport, Place};
use crate::train::{Carried, Learner, ScheduleState, StoppingState};

/// All that a checkpoint has, read and of the right shapes.
struct Whole {
    at: Place,
    report: FitReport,
    scheduler: ScheduleState,
    stopping: StoppingState,
    carried: Option<Carried>,
    /// Of each model.
    tensors: Vec<OfModel>,
}

struct OfModel {
    weights: Params,
    best: Option<Params>,
    /// Where some wait for a step.
    gradients: Option<Params>,
    optimizer: OptimizerState,
}

impl<L: Learner> Fit<L> {
    /// Goes on from a checkpoint: the weights and the best ones, the optimisers, the schedule, early stopping, gradients that
    /// wait, the place in the order of the examples, the loss of the epoch so far, what the learner carries, and what dropout
    /// draws from. The learner, its examples and the settings are to be those of the run that wrote it: then all comes out bit for
    /// bit as if it had never stopped.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) and [`ErrorKind::Format`](crate::ErrorKind::Format) for a file that cannot be read
    /// or is no checkpoint; [`ErrorKind::State`](crate::ErrorKind::State) naming what of the identity, or of the learner, is
    /// another. Nothing has changed then.
    pub fn resume(&mut self, path: impl AsRef<Path>, identity: &Identity) -> Result<()> {
        let file = TensorFile::open(&path)?;
        let whole = self.whole(&Reading::new(&file, path.as_ref())?, identity)?;
        // All of it or nothing: what cannot be loaded is told before the weights change.
        let carried = self.learner.carried();
        self.learner.carry(whole.carried.clone())?;
        if let Err(error) = self.load(&whole) {
            self.learner.carry(carried)?;
            return Err(error);
        }
        let mut all_best = Vec::new();
        for ((of_model, (_, model)), own) in
            whole.tensors.into_iter().zip(self.learner.models()).zip(&mut self.gradients)
        {
            model.params_mut().data_mut().copy_from_slice(of_model.weights.data());
            all_best.extend(of_model.best);
            if let Some(gradients) = of_model.gradients {
                own.data_mut().copy_from_slice(gradients.data());
            }
        }
        self.best = (!all_best.is_empty()).then_some(all_best);
        (self.at, self.report) = (whole.at, whole.report);
        Ok(())
    }

    /// Reads all of it.
    fn whole(&mut self, read: &Reading<'_>, identity: &Identity) -> Result<Whole> {
        for (name, value) in &identity.0 {
            match read.text(&format!("{IDENTITY}{name}")) {
                Some(other) if other == value => {}
                other => {
                    let got = other.map_or("none".into(), |other| format!("'{other}'"));
                    return Err(Error::state(&format!("{name} of the checkpoint"), &format!("'{value}'"), got));
                }
            }
        }
        let (at, report) = (read.place()?, read.report()?);
        let (batches, accumulate) = (self.batches.per_epoch() as u64, self.config.accumulate as u64);
        for (name, got, most) in [("batch", at.batch, batches), ("waiting", at.waiting, accumulate - 1)] {
            if got > most {
                return Err(Error::state(&format!("{name} of the checkpoint"), &format!("at most {most}"), got));
            }
        }
        let scheduler = ScheduleState::new(
            read.number("schedule.rate")?,
            read.maybe("schedule.best")?,
            read.whole("schedule.bad")?,
        );
        let stopping = StoppingState::new(read.maybe("stopping.best")?, read.whole("stopping.since")?);
        let mut tensors = Vec::new();
        for (n, (name, model)) in self.learner.models().into_iter().enumerate() {
            let params = |kind, wanted: bool| wanted.then(|| read.params(kind, name, model.params())).transpose();
            tensors.push(OfModel {
                weights: read.params(WEIGHTS, name, model.params())?,
                best: params(BEST, report.best.is_some())?,
                gradients: params(GRADIENTS, at.waiting > 0)?,
                optimizer: read.optimizer(n, name, model.params())?,
            });
        }
        Ok(Whole { at, report, scheduler, stopping, carried: read.carried()?, tensors })
    }

    /// Loads what may refuse: optimisers, schedule and early stopping, all of them or none.
    fn load(&mut self, whole: &Whole) -> Result<()> {
        let before: Vec<OptimizerState> = self.optimizers.iter().map(|optimizer| optimizer.0.state()).collect();
        let schedule = self.scheduler.state();
        let states = whole.tensors.iter().zip(&mut self.optimizers);
        let loaded = states
            .into_iter()
            .try_for_each(|(of_model, own)| own.0.load_state(&of_model.optimizer))
            .and_then(|()| self.scheduler.set_state(whole.scheduler))
            .and_then(|()| self.stopping.as_mut().map_or(Ok(()), |own| own.set_state(whole.stopping)));
        if loaded.is_err() {
            for (state, optimizer) in before.iter().zip(&mut self.optimizers) {
                optimizer.0.load_state(state)?;
            }
            self.scheduler.set_state(schedule)?;
        }
        loaded
    }
}
