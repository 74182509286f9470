//! What an optimiser remembers, as data.

use std::collections::HashMap;

use super::check_not_negative;
use crate::error::{Error, Result};
use crate::params::Params;

/// All that an optimiser's steps have changed, and its learning rate. The other settings are not part of it.
///
/// ```
/// use elman::optim::{Optimizer, OptimizerState, Sgd, SgdConfig, StateTensor};
/// use elman::{Rng, Rnn};
///
/// let model = Rnn::builder(1, 1).bias(false).model(&mut Rng::new(1))?;
/// let mut sgd = Sgd::new(model.params(), SgdConfig::default().momentum(0.9))?;
/// let state = sgd.state();
/// assert_eq!((&state.name[..], state.step), ("SGD", 0));
///
/// // Out of its parts again, as a file gave them.
/// let tensors = state.tensors.iter().map(|it| StateTensor::new(&it.buffer, &it.parameter, &it.shape, &it.values));
/// let read = OptimizerState::new("SGD", state.learning_rate, state.step, tensors.collect());
/// assert_eq!(read, state);
/// sgd.load_state(&read)?;
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct OptimizerState {
    /// Which optimiser's: `Adam`, `AdamW`, `SparseAdam` or `SGD`.
    pub name: String,
    /// The learning rate of the next step.
    pub learning_rate: f32,
    /// Steps taken.
    pub step: u64,
    /// What it keeps of each parameter.
    pub tensors: Vec<StateTensor>,
}

/// One tensor of an [`OptimizerState`], of the shape of its parameter.
///
/// ```
/// use elman::optim::StateTensor;
///
/// let tensor = StateTensor::new("exp_avg", "fc.bias", &[2], &[0.5, 1.5]);
/// assert_eq!(tensor.to_string(), "exp_avg of fc.bias");
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct StateTensor {
    /// What it is, by PyTorch's name: `exp_avg` and `exp_avg_sq` of Adam, AdamW and SparseAdam, `momentum_buffer` of SGD.
    pub buffer: String,
    /// The parameter it is for.
    pub parameter: String,
    /// The parameter's shape.
    pub shape: Vec<usize>,
    /// The elements, row-major.
    pub values: Vec<f32>,
}

impl OptimizerState {
    /// A state out of its parts, as they were read.
    #[must_use]
    pub fn new(name: impl Into<String>, learning_rate: f32, step: u64, tensors: Vec<StateTensor>) -> Self {
        Self { name: name.into(), learning_rate, step, tensors }
    }

    /// The state of an optimiser with those buffers.
    pub(super) fn read<'a>(
        name: &str,
        learning_rate: f32,
        step: u64,
        buffers: impl IntoIterator<Item = (&'a str, &'a Params)>,
    ) -> Self {
        let tensors = buffers.into_iter().flat_map(|(buffer, values)| {
            let tensor = |(name, shape, values)| StateTensor::new(buffer, name, shape, values);
            values.iter().map(tensor)
        });
        Self::new(name, learning_rate, step, tensors.collect())
    }

    /// Writes the tensors into the buffers of the optimiser `name`, if they are its own, every one.
    pub(super) fn restore<const N: usize>(&self, name: &str, buffers: [(&str, &mut Params); N]) -> Result<()> {
        if self.name != name {
            return Err(Error::state(
                "optimizer state",
                &format!("one of {name}"),
                format_args!("one of {}", self.name),
            ));
        }
        check_not_negative("learning_rate", self.learning_rate)?;
        let mut problems = Vec::new();
        let mut given = HashMap::new();
        for tensor in &self.tensors {
            if given.insert((&tensor.buffer[..], &tensor.parameter[..]), tensor).is_some() {
                problems.push(format!("{tensor}: twice"));
            }
        }
        // What is written where, once all is known to fit.
        let mut found: [Vec<&StateTensor>; N] = std::array::from_fn(|_| Vec::new());
        for ((buffer, own), found) in buffers.iter().zip(&mut found) {
            for (parameter, shape, values) in own.iter() {
                match given.remove(&(*buffer, parameter)) {
                    None => problems.push(format!("{buffer} of {parameter}: missing")),
                    Some(tensor) if tensor.shape != shape => {
                        problems.push(format!("{tensor}: expected {shape:?}, got {:?}", tensor.shape));
                    }
                    Some(tensor) if tensor.values.len() != values.len() => {
                        let got = tensor.values.len();
                        problems.push(format!("{tensor}: shape {shape:?} needs {} elements, got {got}", values.len()));
                    }
                    Some(tensor) => found.push(tensor),
                }
            }
        }
        let unused = self.tensors.iter().filter(|tensor| given.contains_key(&(&tensor.buffer, &tensor.parameter)));
        problems.extend(unused.map(|tensor| format!("{tensor}: not of this optimizer")));
        if !problems.is_empty() {
            return Err(Error::Weights { path: None, problems });
        }
        for ((_, own), found) in buffers.into_iter().zip(found) {
            let mut rest = own.data_mut();
            for tensor in found {
                let (values, others) = rest.split_at_mut(tensor.values.len());
                values.copy_from_slice(&tensor.values);
                rest = others;
            }
        }
        Ok(())
    }
}

impl StateTensor {
    /// A tensor out of its parts, as they were read.
    #[must_use]
    pub fn new(buffer: &str, parameter: &str, shape: &[usize], values: &[f32]) -> Self {
        Self { buffer: buffer.into(), parameter: parameter.into(), shape: shape.into(), values: values.into() }
    }
}

impl std::fmt::Display for StateTensor {
    /// Which one it is.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {}", self.buffer, self.parameter)
    }
}
