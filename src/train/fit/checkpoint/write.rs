//! A checkpoint as it is written.

use super::numbers::{epoch_to_text, exact};
use super::{BEST, CARRIED, GRADIENTS, IDENTITY, OPTIMIZER, VERSION, VERSION_KEY, WEIGHTS};
use crate::error::Result;
use crate::format::{tensors_to_bytes, write_atomic};
use crate::optim::{OptimizerState, StateTensor};
use crate::params::Params;
use crate::train::fit::{Fit, FitReport, Place};
use crate::train::{Carried, Learner, ScheduleState, StoppingState};

/// A name, a shape and values.
type Tensor = (String, Vec<usize>, Vec<f32>);

impl<L: Learner> Fit<L> {
    /// Writes the checkpoint, where one is wanted.
    pub(in crate::train::fit) fn save(&mut self) -> Result<()> {
        let Some((path, identity)) = &self.checkpoints.to else { return Ok(()) };
        let mut fields: Vec<(String, String)> = vec![(VERSION_KEY.into(), VERSION.into())];
        fields.extend(identity.0.iter().map(|(name, value)| (format!("{IDENTITY}{name}"), value.clone())));
        fields.extend(fields_of_place(&self.at));
        let stopping = self.stopping.as_ref().map_or_else(Default::default, |stopping| stopping.state());
        fields.extend(fields_of_epochs(self.scheduler.state(), stopping, &self.report));

        let mut tensors = Vec::new();
        if let Some(Carried { place, values }) = self.learner.carried() {
            fields.push((CARRIED.into(), place.to_string()));
            let of = |(name, values): (String, Vec<f32>)| (format!("{CARRIED}.{name}"), vec![values.len()], values);
            tensors.extend(values.into_iter().map(of));
        }
        for (n, (name, model)) in self.learner.models().into_iter().enumerate() {
            tensors.extend(of_params(WEIGHTS, name, model.params()));
            if let Some(best) = &self.best {
                tensors.extend(of_params(BEST, name, &best[n]));
            }
            if self.at.waiting > 0 {
                tensors.extend(of_params(GRADIENTS, name, &self.gradients[n]));
            }
            let OptimizerState { name: kind, step, learning_rate, tensors: states, .. } = self.optimizers[n].0.state();
            fields.push((format!("{OPTIMIZER}.{n}"), format!("{kind} {step} {}", exact(f64::from(learning_rate)))));
            let of =
                |it: StateTensor| (format!("{OPTIMIZER}.{}.{name}.{}", it.buffer, it.parameter), it.shape, it.values);
            tensors.extend(states.into_iter().map(of));
        }
        let tensors: Vec<(&str, &[usize], &[f32])> =
            tensors.iter().map(|(name, shape, values)| (&name[..], &shape[..], &values[..])).collect();
        write_atomic(path, &tensors_to_bytes(&tensors, fields)?)?;
        self.checkpoints.begin();
        Ok(())
    }
}

fn of_params<'p>(kind: &str, model: &str, params: &'p Params) -> impl Iterator<Item = Tensor> + use<'p> {
    let before = format!("{kind}.{model}");
    params.iter().map(move |(of, shape, values)| (format!("{before}.{of}"), shape.into(), values.into()))
}

/// Where in which epoch training is.
fn fields_of_place(place: &Place) -> Vec<(String, String)> {
    let Place { epoch, batch, step, waiting, training, score } = place;
    let wholes = [
        ("epoch", *epoch),
        ("batch", *batch),
        ("step", *step),
        ("waiting", *waiting),
        ("training.seed", training.seed()),
        ("training.step", training.step()),
    ];
    let wholes = wholes.into_iter().map(|(name, value)| (name.into(), value.to_string()));
    let score = [("score.sum", score.sum), ("score.count", score.count)];
    wholes.chain(score.map(|(name, value)| (name.into(), exact(value)))).collect()
}

/// What the epochs before have left.
fn fields_of_epochs(schedule: ScheduleState, stopping: StoppingState, report: &FitReport) -> Vec<(String, String)> {
    let epochs: Vec<String> = report.epochs.iter().map(epoch_to_text).collect();
    let best = report.best.map_or(String::new(), |best| format!("{} {}", best.epoch, exact(best.loss)));
    let fields = [
        ("schedule.rate", exact(schedule.rate)),
        ("schedule.best", schedule.best.map_or(String::new(), exact)),
        ("schedule.bad", schedule.bad.to_string()),
        ("stopping.best", stopping.best.map_or(String::new(), exact)),
        ("stopping.since", stopping.since.to_string()),
        ("report.epochs", epochs.join("\n")),
        ("report.best", best),
    ];
    fields.map(|(name, value)| (name.into(), value)).into()
}
