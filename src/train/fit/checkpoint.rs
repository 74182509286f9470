//! All of a run of training as one file: written whole or not at all, and gone on from bit for bit.

use std::collections::BTreeMap;
use std::path::Path;

use super::report::{Best, EpochReport};
use super::{Fit, FitReport, Place};
use crate::error::{Error, Result};
use crate::format::{TensorFile, check_writable, tensors_to_bytes, write_atomic};
use crate::optim::{OptimizerState, StateTensor};
use crate::params::Params;
use crate::train::{Learner, ScheduleState, Score, StoppingState, TrainingState};

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

impl<L: Learner> Fit<L> {
    /// Writes a checkpoint to `path` after every epoch: to a temporary beside it that then takes its name, so that the last good
    /// one is there whatever happens.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) where a file cannot be written there.
    pub fn checkpoints(mut self, path: impl AsRef<Path>, identity: Identity) -> Result<Self> {
        check_writable(&path)?;
        self.checkpoint = Some((path.as_ref().into(), identity));
        Ok(self)
    }

    /// Goes on from a checkpoint: the weights and the best ones, the optimisers, the schedule, early stopping, gradients that
    /// wait, the place in the order of the examples, and what dropout draws from. The learner, its examples and the settings are
    /// to be those of the run that wrote it: then all comes out bit for bit as if it had never stopped.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) and [`ErrorKind::Format`](crate::ErrorKind::Format) for a file that cannot be read
    /// or is no checkpoint; [`ErrorKind::State`](crate::ErrorKind::State) naming what of the identity, or of the learner, is
    /// another. Nothing has changed then.
    pub fn resume(&mut self, path: impl AsRef<Path>, identity: &Identity) -> Result<()> {
        let file = TensorFile::open(&path)?;
        let read = Reading::new(&file, path.as_ref())?;
        for (name, value) in &identity.0 {
            match read.fields.get(&format!("{IDENTITY}{name}")[..]) {
                Some(&other) if other == value => {}
                other => {
                    let got = other.map_or("none".into(), |other| format!("'{other}'"));
                    return Err(Error::state(&format!("{name} of the checkpoint"), &format!("'{value}'"), got));
                }
            }
        }
        let at = read.place()?;
        let report = read.report()?;
        let scheduler = ScheduleState::new(
            read.number("schedule.rate")?,
            read.maybe("schedule.best")?,
            read.whole("schedule.bad")?,
        );
        let stopping = StoppingState::new(read.maybe("stopping.best")?, read.whole("stopping.since")?);
        let mut tensors = Vec::new();
        for (n, (name, model)) in self.learner.models().into_iter().enumerate() {
            let params = |kind| read.params(kind, name, model.params());
            let best = if report.best.is_some() { Some(params(BEST)?) } else { None };
            let gradients = if at.waiting > 0 { Some(params(GRADIENTS)?) } else { None };
            tensors.push((params(WEIGHTS)?, best, gradients, read.optimizer(n, name, model.params())?));
        }
        // All of it or nothing: what cannot be loaded is told before the weights change.
        let before: Vec<OptimizerState> = self.optimizers.iter().map(|optimizer| optimizer.0.state()).collect();
        let states = tensors.iter().map(|(_, _, _, state)| state);
        let loaded = states.zip(&mut self.optimizers).try_for_each(|(state, optimizer)| optimizer.0.load_state(state));
        let loaded = loaded.and_then(|()| self.scheduler.set_state(scheduler));
        if let Err(error) = loaded {
            for (state, optimizer) in before.iter().zip(&mut self.optimizers) {
                optimizer.0.load_state(state)?;
            }
            return Err(error);
        }
        if let Some(own) = &mut self.stopping {
            own.set_state(stopping)?;
        }
        let mut all_best = Vec::new();
        for (((weights, best, gradients, _), (_, model)), own) in
            tensors.into_iter().zip(self.learner.models()).zip(&mut self.gradients)
        {
            model.params_mut().data_mut().copy_from_slice(weights.data());
            all_best.extend(best);
            if let Some(gradients) = gradients {
                own.data_mut().copy_from_slice(gradients.data());
            }
        }
        self.best = (!all_best.is_empty()).then_some(all_best);
        (self.at, self.report) = (at, report);
        Ok(())
    }

    /// Writes the checkpoint, where one is wanted.
    pub(super) fn save(&mut self) -> Result<()> {
        let Some((path, identity)) = &self.checkpoint else { return Ok(()) };
        let mut fields: Vec<(String, String)> = vec![(VERSION_KEY.into(), VERSION.into())];
        fields.extend(identity.0.iter().map(|(name, value)| (format!("{IDENTITY}{name}"), value.clone())));
        let mut put = |name: &str, value: String| fields.push((name.into(), value));
        let Place { epoch, batch, step, waiting, training, score } = &self.at;
        let wholes = [("epoch", epoch), ("batch", batch), ("step", step), ("waiting", waiting)];
        wholes.into_iter().for_each(|(name, value)| put(name, value.to_string()));
        put("training.seed", training.seed().to_string());
        put("training.step", training.step().to_string());
        put("score.sum", exact(score.sum));
        put("score.count", exact(score.count));
        let schedule = self.scheduler.state();
        put("schedule.rate", exact(schedule.rate));
        put("schedule.best", schedule.best.map_or(String::new(), exact));
        put("schedule.bad", schedule.bad.to_string());
        let stopping = self.stopping.as_ref().map_or_else(Default::default, |stopping| stopping.state());
        put("stopping.best", stopping.best.map_or(String::new(), exact));
        put("stopping.since", stopping.since.to_string());
        let epochs: Vec<String> = self.report.epochs.iter().map(epoch_to_text).collect();
        put("report.epochs", epochs.join("\n"));
        put(
            "report.best",
            self.report.best.map_or(String::new(), |best| format!("{} {}", best.epoch, exact(best.loss))),
        );

        let mut tensors: Vec<(String, Vec<usize>, Vec<f32>)> = Vec::new();
        let mut states = Vec::new();
        for (n, (name, model)) in self.learner.models().into_iter().enumerate() {
            let mut all = |kind: &str, params: &Params| {
                let each = params.iter();
                tensors.extend(
                    each.map(|(of, shape, values)| (format!("{kind}.{name}.{of}"), shape.into(), values.into())),
                );
            };
            all(WEIGHTS, model.params());
            if let Some(best) = &self.best {
                all(BEST, &best[n]);
            }
            if *waiting > 0 {
                all(GRADIENTS, &self.gradients[n]);
            }
            let state = self.optimizers[n].0.state();
            fields.push((
                format!("{OPTIMIZER}.{n}"),
                format!("{} {} {}", state.name, state.step, exact(f64::from(state.learning_rate))),
            ));
            states.push((name.to_string(), state));
        }
        for (name, state) in states {
            let of =
                |it: StateTensor| (format!("{OPTIMIZER}.{}.{name}.{}", it.buffer, it.parameter), it.shape, it.values);
            tensors.extend(state.tensors.into_iter().map(of));
        }
        let tensors: Vec<(&str, &[usize], &[f32])> =
            tensors.iter().map(|(name, shape, values)| (&name[..], &shape[..], &values[..])).collect();
        write_atomic(path, &tensors_to_bytes(&tensors, fields)?)
    }
}

/// A number that is read back as the same bits.
fn exact(value: f64) -> String {
    format!("{:016x}", value.to_bits())
}

fn from_exact(text: &str) -> Option<f64> {
    u64::from_str_radix(text, 16).ok().map(f64::from_bits)
}

fn epoch_to_text(epoch: &EpochReport) -> String {
    let EpochReport { epoch, train, valid, lr } = *epoch;
    format!("{epoch} {} {} {}", exact(train), valid.map_or("-".into(), exact), exact(f64::from(lr)))
}

fn epoch_from_text(line: &str) -> Option<EpochReport> {
    let mut parts = line.split(' ');
    let epoch = parts.next()?.parse().ok()?;
    let train = from_exact(parts.next()?)?;
    let valid = match parts.next()? {
        "-" => None,
        valid => Some(from_exact(valid)?),
    };
    let lr = from_exact(parts.next()?)? as f32;
    parts.next().is_none().then_some(EpochReport { epoch, train, valid, lr })
}

/// A checkpoint that is read.
struct Reading<'a> {
    file: &'a TensorFile,
    path: &'a Path,
    fields: BTreeMap<&'a str, &'a str>,
}

impl<'a> Reading<'a> {
    fn new(file: &'a TensorFile, path: &'a Path) -> Result<Self> {
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

    fn field(&self, name: &str) -> Result<&'a str> {
        self.fields.get(name).copied().ok_or_else(|| self.wrong(&format!("the field '{name}' is missing")))
    }

    /// A field as `read` understands it.
    fn parsed<T>(&self, name: &str, read: impl Fn(&str) -> Option<T>) -> Result<T> {
        let text = self.field(name)?;
        read(text).ok_or_else(|| self.wrong(&format!("the field '{name}' is '{text}'")))
    }

    fn whole(&self, name: &str) -> Result<u64> {
        self.parsed(name, |text| text.parse().ok())
    }

    fn number(&self, name: &str) -> Result<f64> {
        self.parsed(name, from_exact)
    }

    /// One that may be empty.
    fn maybe(&self, name: &str) -> Result<Option<f64>> {
        self.parsed(name, |text| if text.is_empty() { Some(None) } else { from_exact(text).map(Some) })
    }

    fn place(&self) -> Result<Place> {
        let training = TrainingState::restored(self.whole("training.seed")?, self.whole("training.step")?);
        let score = Score { sum: self.number("score.sum")?, count: self.number("score.count")? };
        let [epoch, batch, step, waiting] = ["epoch", "batch", "step", "waiting"].map(|name| self.whole(name));
        Ok(Place { epoch: epoch?, batch: batch?, step: step?, waiting: waiting?, training, score })
    }

    fn report(&self) -> Result<FitReport> {
        let epochs = self.parsed("report.epochs", |text| text.lines().map(epoch_from_text).collect())?;
        let best = self.parsed("report.best", |text| match text.split_once(' ') {
            None => text.is_empty().then_some(None),
            Some((epoch, loss)) => Some(Some(Best { epoch: epoch.parse().ok()?, loss: from_exact(loss)? })),
        })?;
        Ok(FitReport { epochs, best })
    }

    /// Those of a model, like its own.
    fn params(&self, kind: &str, model: &str, like: &Params) -> Result<Params> {
        let mut params = like.try_zeros_like("checkpoint")?;
        for (name, _, _) in like.iter() {
            let (shape, values) = self.file.read_f32(&format!("{kind}.{model}.{name}"))?;
            params.set(name, &shape, &values)?;
        }
        Ok(params)
    }

    fn optimizer(&self, n: usize, model: &str, like: &Params) -> Result<OptimizerState> {
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
