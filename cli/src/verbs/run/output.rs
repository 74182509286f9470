//! What `elman run` leaves behind.

use std::io::{self, Write as _};
use std::path::Path;

use elman::format as files;
use elman::tensor::SeqRef;
use elman::{Model, State};

use super::batch::{Batch, Form};
use super::place::Sink;
use crate::verbs::facts::Facts;
use crate::verbs::{Failure, csv, facts};

/// What a model gave for a batch.
pub(super) struct Outcome<'a> {
    pub(super) model: &'a Model,
    pub(super) batch: &'a Batch,
    /// Of the names of the one recurrent network in the model's file.
    pub(super) prefix: Option<&'a str>,
    /// Whether a read-out left one step of each row.
    pub(super) one_step: bool,
    /// Lies as the input does.
    pub(super) output: SeqRef<'a>,
    pub(super) state: &'a State,
}

impl<'a> Outcome<'a> {
    /// The output's, in PyTorch's form: (B, F) where one step is left.
    pub(super) fn shape(&self) -> Vec<usize> {
        let [outer, inner, width] = self.output.shape();
        match (self.one_step, self.batch.form) {
            (true, Form::Unbatched) => vec![width],
            (true, _) => vec![self.batch.rows, width],
            // (1, T, F) of a model that is batch-first, else (T, 1, F).
            (false, Form::Unbatched) => vec![outer * inner, width],
            (false, _) => vec![outer, inner, width],
        }
    }

    pub(super) fn write(&self, sink: Sink<'_>) -> Result<(), Failure> {
        match sink {
            Sink::Tensors(path) => self.write_tensors(path),
            Sink::Csv(path) => Ok(files::write_atomic(path, &self.csv()?)?),
            Sink::Printed => Ok(io::stdout().write_all(&self.csv()?)?),
            Sink::Nowhere => Ok(()),
        }
    }

    /// The output of the one sequence; under names if the input had some.
    fn csv(&self) -> Result<Vec<u8>, Failure> {
        let width = self.output.shape()[2];
        let names: Option<Vec<_>> = self.batch.named.then(|| (0..width).map(|i| format!("output_{i}")).collect());
        csv::encode(names.as_deref(), width, self.output.flat().expect("the output is whole"))
    }

    /// Writes output, h_n and c_n in PyTorch's shapes.
    fn write_tensors(&self, path: &Path) -> Result<(), Failure> {
        let values = self.output.flat().expect("the output is whole");
        let mut tensors = vec![("output".to_string(), self.shape(), values)];
        let recurrent = facts::recurrent(self.model.spec());
        self.states(&recurrent, &mut tensors);
        let tensors: Vec<_> = tensors.iter().map(|(name, shape, values)| (&name[..], &shape[..], *values)).collect();
        Ok(files::write_tensors(path, &tensors, self.metadata(&recurrent))?)
    }

    /// h_n and c_n, each one tensor where all layers have one size, as PyTorch's have. Others are as many tensors.
    fn states(&self, recurrent: &[(String, Facts)], tensors: &mut Vec<(String, Vec<usize>, &'a [f32])>) {
        let names = layer_names(recurrent);
        let rows = if self.batch.form == Form::Unbatched { vec![] } else { vec![self.batch.rows] };
        let state = self.state;
        let count = 0..names.len();
        let halves = [
            ("h_n", state.h(), count.clone().map(|index| state.h_of(index)).collect::<Vec<_>>()),
            ("c_n", state.c(), count.map(|index| state.c_of(index)).collect()),
        ];
        for (what, all, parts) in halves {
            let parts: Vec<_> = names.iter().zip(parts).filter_map(|(name, part)| Some((name, part?))).collect();
            let Some([_, _, width]) = parts.first().map(|(_, part)| part.shape()) else { continue };
            if parts.iter().all(|(_, part)| part.shape()[2] == width) {
                tensors.push((what.into(), [&[parts.len()], &rows[..], &[width]].concat(), all));
                continue;
            }
            for (name, part) in parts {
                let shape = [&rows[..], &[part.shape()[2]]].concat();
                tensors.push((format!("{what}{name}"), shape, part.flat().expect("a state is whole")));
            }
        }
    }

    /// What the output is of.
    fn metadata(&self, recurrent: &[(String, Facts)]) -> Vec<(&'static str, String)> {
        let mut metadata = vec![("batch_first", (self.batch.form == Form::BatchFirst).to_string())];
        if let ([(_, facts)], Some(prefix)) = (recurrent, self.prefix) {
            let sizes = &facts.hidden_sizes;
            let same = sizes.first().filter(|&first| sizes.iter().all(|size| size == first));
            metadata.extend([
                ("bias", facts.bias.to_string()),
                ("bidirectional", (facts.directions == 2).to_string()),
                ("cell", facts.cell.clone()),
                ("hidden_size", same.map_or_else(|| format!("{sizes:?}"), usize::to_string)),
                ("input_size", facts.input_size.to_string()),
                ("num_layers", facts.num_layers.to_string()),
                ("prefix", prefix.into()),
                ("proj_size", facts.proj_size.to_string()),
            ]);
            metadata.extend(facts.nonlinearity.clone().flatten().map(|name| ("nonlinearity", name)));
        }
        metadata
    }
}

/// What every recurrent layer and direction adds to the name of its state: `_l0`, `_l0_reverse`, and before it where it
/// is, if there are several.
fn layer_names(recurrent: &[(String, Facts)]) -> Vec<String> {
    let mut names = Vec::new();
    for (prefix, facts) in recurrent {
        let at = if recurrent.len() == 1 { String::new() } else { format!("_{prefix}") };
        for layer in 0..facts.num_layers {
            names.extend(["", "_reverse"][..facts.directions].iter().map(|reverse| format!("{at}_l{layer}{reverse}")));
        }
    }
    names
}
