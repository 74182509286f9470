//! What `elman run` leaves behind.

use std::io::{self, Write as _};
use std::path::Path;

use elman::State;
use elman::format::{self as files, Description, Kind};
use elman::tensor::SeqRef;

use super::args::Sink;
use super::batch::{Batch, Form};
use crate::verbs::{Failure, csv};

/// What a network gave for a batch.
pub(super) struct Outcome<'a> {
    pub(super) network: &'a Description,
    /// Of an rnn.
    pub(super) nonlinearity: Option<&'a str>,
    pub(super) batch: &'a Batch,
    /// Lies as the input does.
    pub(super) output: SeqRef<'a>,
    pub(super) state: &'a State,
}

impl Outcome<'_> {
    /// The output's, in PyTorch's form.
    pub(super) fn shape(&self) -> Vec<usize> {
        let [outer, inner, width] = self.output.shape();
        if self.batch.form == Form::Unbatched { vec![outer, width] } else { vec![outer, inner, width] }
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
        let &Self { network, nonlinearity, batch, output, state } = self;
        let Description { kind, prefix, input_size, hidden_sizes, bidirectional, bias, proj_size, .. } = network;
        let unbatched = batch.form == Form::Unbatched;
        let values = output.flat().expect("the output is whole");
        let mut tensors = vec![("output".to_string(), self.shape(), values)];

        let layers = hidden_sizes.len() * (1 + usize::from(*bidirectional));
        let hidden = hidden_sizes.first().filter(|&first| hidden_sizes.iter().all(|size| size == first));
        let rows = if unbatched { vec![] } else { vec![batch.rows] };
        match hidden {
            Some(&hidden) => {
                let out = if *proj_size > 0 { *proj_size } else { hidden };
                tensors.push(("h_n".into(), [&[layers], &rows[..], &[out]].concat(), state.h()));
                if *kind == Kind::Lstm {
                    tensors.push(("c_n".into(), [&[layers], &rows[..], &[hidden]].concat(), state.c()));
                }
            }
            // PyTorch has no such network; its layers' states are as many tensors.
            None => {
                for index in 0..layers {
                    let directions = 1 + usize::from(*bidirectional);
                    let reverse = if index % directions == 1 { "_reverse" } else { "" };
                    for (name, part) in [("h_n", Some(state.h_of(index))), ("c_n", state.c_of(index))] {
                        let Some(part) = part else { continue };
                        let shape = [&rows[..], &[part.shape()[2]]].concat();
                        let name = format!("{name}_l{}{reverse}", index / directions);
                        tensors.push((name, shape, part.flat().expect("a state is whole")));
                    }
                }
            }
        }
        let tensors: Vec<_> = tensors.iter().map(|(name, shape, values)| (&name[..], &shape[..], *values)).collect();

        let hidden_size = hidden.map_or_else(|| format!("{hidden_sizes:?}"), usize::to_string);
        let mut metadata = vec![
            ("batch_first", (batch.form == Form::BatchFirst).to_string()),
            ("bias", bias.to_string()),
            ("bidirectional", bidirectional.to_string()),
            ("hidden_size", hidden_size),
            ("input_size", input_size.to_string()),
            ("kind", kind.to_string()),
            ("num_layers", hidden_sizes.len().to_string()),
            ("prefix", prefix.clone()),
            ("proj_size", proj_size.to_string()),
        ];
        metadata.extend(nonlinearity.map(|nonlinearity| ("nonlinearity", nonlinearity.to_string())));
        Ok(files::write_tensors(path, &tensors, &metadata)?)
    }
}
