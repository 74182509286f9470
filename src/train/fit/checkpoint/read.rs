//! A checkpoint as it is read.

use std::collections::BTreeMap;
use std::path::Path;

use super::numbers::{epoch_from_text, from_exact};
use super::{CARRIED, OPTIMIZER, VERSION, VERSION_KEY};
use crate::error::{Error, Result};
use crate::format::TensorFile;
use crate::optim::{OptimizerState, StateTensor};
use crate::params::Params;
use crate::train::fit::Place;
use crate::train::{Best, Carried, FitReport, Score, TrainingState};

/// A checkpoint that is read.
pub(super) struct Reading<'a> {
    file: &'a TensorFile,
    path: &'a Path,
    fields: BTreeMap<&'a str, &'a str>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(file: &'a TensorFile, path: &'a Path) -> Result<Self> {
        let fields: BTreeMap<_, _> = file.metadata().collect();
        let read = Self { file, path, fields };
        match read.fields.get(VERSION_KEY) {
            Some(&VERSION) => Ok(read),
            Some(other) => Err(read.wrong(&format!("it is a checkpoint of format {other}; expected {VERSION}"))),
            None => Err(read.wrong("it is no checkpoint of training (a model's file is opened by Model::open)")),
        }
    }

    fn wrong(&self, what: &str) -> Error {
        Error::format(self.path, what)
    }

    /// A field, where it is there.
    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.fields.get(name).copied()
    }

    fn field(&self, name: &str) -> Result<&'a str> {
        self.text(name).ok_or_else(|| self.wrong(&format!("the field '{name}' is missing")))
    }

    /// A field as `read` understands it.
    fn parsed<T>(&self, name: &str, read: impl Fn(&str) -> Option<T>) -> Result<T> {
        let text = self.field(name)?;
        read(text).ok_or_else(|| self.wrong(&format!("the field '{name}' is '{text}'")))
    }

    pub(super) fn whole(&self, name: &str) -> Result<u64> {
        self.parsed(name, |text| text.parse().ok())
    }

    pub(super) fn number(&self, name: &str) -> Result<f64> {
        self.parsed(name, from_exact)
    }

    /// One that may be empty.
    pub(super) fn maybe(&self, name: &str) -> Result<Option<f64>> {
        self.parsed(name, |text| if text.is_empty() { Some(None) } else { from_exact(text).map(Some) })
    }

    pub(super) fn place(&self) -> Result<Place> {
        let training = TrainingState::restored(self.whole("training.seed")?, self.whole("training.step")?);
        let score = Score { sum: self.number("score.sum")?, count: self.number("score.count")? };
        let [epoch, batch, step, waiting] = ["epoch", "batch", "step", "waiting"].map(|name| self.whole(name));
        Ok(Place { epoch: epoch?, batch: batch?, step: step?, waiting: waiting?, training, score })
    }

    pub(super) fn report(&self) -> Result<FitReport> {
        let epochs = self.parsed("report.epochs", |text| text.lines().map(epoch_from_text).collect())?;
        let best = self.parsed("report.best", |text| match text.split_once(' ') {
            None => text.is_empty().then_some(None),
            Some((epoch, loss)) => Some(Some(Best { epoch: epoch.parse().ok()?, loss: from_exact(loss)? })),
        })?;
        Ok(FitReport { epochs, best })
    }

    /// What a learner carries, where it does.
    pub(super) fn carried(&self) -> Result<Option<Carried>> {
        if self.text(CARRIED).is_none() {
            return Ok(None);
        }
        let mut values = Vec::new();
        for tensor in self.file.names() {
            if let Some(name) = tensor.strip_prefix(CARRIED).and_then(|rest| rest.strip_prefix('.')) {
                values.push((name.into(), self.file.read_f32(tensor)?.1));
            }
        }
        Ok(Some(Carried { place: self.whole(CARRIED)?, values }))
    }

    /// Those of a model, like its own.
    pub(super) fn params(&self, kind: &str, model: &str, like: &Params) -> Result<Params> {
        let mut params = like.try_zeros_like("checkpoint")?;
        for (name, _, _) in like.iter() {
            let (shape, values) = self.file.read_f32(&format!("{kind}.{model}.{name}"))?;
            params.set(name, &shape, &values)?;
        }
        Ok(params)
    }

    pub(super) fn optimizer(&self, n: usize, model: &str, like: &Params) -> Result<OptimizerState> {
        let (name, step, rate) = self.parsed(&format!("{OPTIMIZER}.{n}"), |text| {
            let mut parts = text.split(' ');
            Some((parts.next()?.to_string(), parts.next()?.parse().ok()?, from_exact(parts.next()?)? as f32))
        })?;
        let mut tensors = Vec::new();
        for tensor in self.file.names() {
            // optimizer.BUFFER.MODEL.PARAMETER; no buffer's name has a dot.
            let Some((buffer, rest)) =
                tensor.strip_prefix(OPTIMIZER).and_then(|rest| rest.strip_prefix('.')?.split_once('.'))
            else {
                continue;
            };
            let of_model = rest.strip_prefix(model).and_then(|rest| rest.strip_prefix('.'));
            if let Some(parameter) = of_model.filter(|name| like.named(name).is_ok()) {
                let (shape, values) = self.file.read_f32(tensor)?;
                tensors.push(StateTensor::new(buffer, parameter, &shape, &values));
            }
        }
        Ok(OptimizerState::new(name, rate, step, tensors))
    }
}
