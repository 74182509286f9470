//! The settings of a network, as plain data.

use super::kinds::MAX_LAYERS;
use crate::error::{Error, Result, at_least_one};
use crate::kernel::Kernels;
use crate::layer::{Cell, Direction, Sizes};

/// The settings of a network, with PyTorch's names. The builders of [`Rnn`](crate::Rnn), [`Gru`](crate::Gru) and
/// [`Lstm`](crate::Lstm) make one; by hand it serves where the kind of network is known only at run time.
///
/// ```
/// use elman::reference::Cell;
/// use elman::internals::{NetworkConfig, Recurrent};
/// use elman::params::ParamTable;
///
/// let config = NetworkConfig { bidirectional: true, ..NetworkConfig::new(Cell::Gru, 3, vec![8, 8]) };
/// let network = Recurrent::new(config, &mut ParamTable::new(), "encoder.rnn")?;
/// assert_eq!(network.output_size(), 16);
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct NetworkConfig {
    /// What every layer computes at each step.
    pub cell: Cell,
    /// Features of the input.
    pub input_size: usize,
    /// Hidden units of each layer, the first one first. PyTorch's layers are all of one size.
    pub hidden_sizes: Vec<usize>,
    /// Whether there are `bias_ih` and `bias_hh`.
    pub bias: bool,
    /// Whether inputs and outputs are (B, T, ·) and not (T, B, ·).
    pub batch_first: bool,
    /// The probability with which each element of every layer's output but the last is zeroed, in training only.
    pub dropout: f32,
    /// Whether every layer goes through time both ways.
    pub bidirectional: bool,
    /// Outputs of an LSTM's projection; 0 for none.
    pub proj_size: usize,
    /// What an LSTM's forget gate starts from when its parameters are drawn: `bias_ih`'s part is set to it and
    /// `bias_hh`'s to zero.
    pub forget_bias: Option<f32>,
    /// The kernels to run on; [`Kernels::active`] where there are none.
    pub kernels: Option<&'static Kernels>,
}

impl NetworkConfig {
    /// A network with PyTorch's defaults.
    #[must_use]
    pub fn new(cell: Cell, input_size: usize, hidden_sizes: Vec<usize>) -> Self {
        Self {
            cell,
            input_size,
            hidden_sizes,
            bias: true,
            batch_first: false,
            dropout: 0.0,
            bidirectional: false,
            proj_size: 0,
            forget_bias: None,
            kernels: None,
        }
    }

    /// Directions of each layer (D): 1 or 2.
    pub(crate) fn directions(&self) -> usize {
        if self.bidirectional { 2 } else { 1 }
    }

    /// Every layer in every direction, in the order of states and parameters. Checks all settings.
    pub(crate) fn sizes(&self) -> Result<Vec<Sizes>> {
        let Self { cell, input_size, ref hidden_sizes, bias, dropout, proj_size, forget_bias, .. } = *self;
        at_least_one("input_size", input_size)?;
        if !(1..=MAX_LAYERS).contains(&hidden_sizes.len()) {
            let got = if hidden_sizes.is_empty() { "0" } else { "more" };
            return Err(Error::setting("num_layers", &format!("1 to {MAX_LAYERS}"), got));
        }
        if !(0.0..=1.0).contains(&dropout) {
            return Err(Error::setting("dropout", "a number from 0 to 1", dropout));
        }
        check_forget_bias(cell, bias, forget_bias)?;
        let mut sizes = Vec::new();
        let mut input = input_size;
        for &hidden in hidden_sizes {
            at_least_one("hidden_size", hidden)?;
            for direction in [Direction::Forward, Direction::Reverse].into_iter().take(self.directions()) {
                sizes.push(Sizes { cell, input, hidden, projection: proj_size, direction });
            }
            let output = sizes.last().map_or(0, Sizes::output);
            input = output
                .checked_mul(self.directions())
                .ok_or_else(|| Error::overflow("output", &[self.directions(), output]))?;
        }
        Ok(sizes)
    }
}

/// That there is a forget gate with a bias where one is to be set.
pub(crate) fn check_forget_bias(cell: Cell, bias: bool, value: Option<f32>) -> Result<()> {
    match value {
        Some(value) if !(bias && cell == Cell::Lstm && value.is_finite()) => {
            Err(Error::setting("forget_bias", "a finite number, for an LSTM with biases", value))
        }
        _ => Ok(()),
    }
}
