//! Ring 3: the cells. Each file has a cell's equations, what it keeps for the way back, and how products and steps
//! meet.

mod elman;

pub use elman::{Elman, ElmanBackwardPass, ElmanGradients, ElmanScratch, ElmanWeights};

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
pub use crate::kernel::elman::Nonlinearity;

/// Which cell a recurrent layer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// h_t = act(W_ih·x_t + b_ih + W_hh·h_{t-1} + b_hh) (Elman 1990).
    Elman(Nonlinearity),
    /// The gated recurrent unit, as PyTorch has it: the reset gate comes after the product with h_{t-1}.
    Gru,
    /// The long short-term memory with a forget gate and without peepholes.
    Lstm,
}

impl Cell {
    /// G: how many blocks of H rows its weights and biases have. The GRU's are r z n, the LSTM's i f g o.
    #[must_use]
    pub fn gates(self) -> usize {
        match self {
            Self::Elman(_) => 1,
            Self::Gru => 3,
            Self::Lstm => 4,
        }
    }
}

impl fmt::Display for Nonlinearity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Nonlinearity::Tanh => "tanh",
            Nonlinearity::Relu => "relu",
        })
    }
}

impl FromStr for Nonlinearity {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "tanh" => Ok(Nonlinearity::Tanh),
            "relu" => Ok(Nonlinearity::Relu),
            _ => Err(Error::setting("nonlinearity", "'tanh' or 'relu'", format_args!("'{name}'"))),
        }
    }
}
