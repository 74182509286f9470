//! Ring 3: the cells, and one layer of any of them in one direction. Each cell's file has its equations and what it keeps
//! for the way back; [`Layer`] is how products and steps meet, the same for all.

mod backward;
mod elman;
mod forward;
mod gru;
mod layer;
mod lstm;

pub use backward::{BackwardPass, Gradients, Write};
pub use forward::ForwardPass;
pub use layer::{Layer, Scratch, Sizes, Tape, Weights};

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::kernel::Kernels;
pub use crate::kernel::elman::Nonlinearity;
use crate::kernel::recurrence::{Backward, Forward};
pub use crate::tensor::Direction;

/// What a layer computes at each step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// An Elman cell: one product and an activation.
    Elman(Nonlinearity),
    /// A gated recurrent unit: gates r, z, n, in this order in weights and biases.
    Gru,
    /// Long short-term memory: gates i, f, g, o, in this order in weights and biases.
    Lstm,
}

impl Cell {
    /// Rows of the weights for each unit: 1, 3 or 4.
    #[must_use]
    pub fn gates(self) -> usize {
        self.parts().gates
    }

    /// How the cell fits into a layer.
    fn parts(self) -> Parts {
        match self {
            Cell::Elman(_) => elman::PARTS,
            Cell::Gru => gru::PARTS,
            Cell::Lstm => lstm::PARTS,
        }
    }
}

/// How a cell fits into a layer.
#[derive(Clone, Copy)]
struct Parts {
    /// Rows of the weights for each unit.
    gates: usize,
    /// For each gate, which of the kept values' gradients goes to W_hh and the biases beside it.
    recurrent: &'static [usize],
    /// Values for each unit whose gradients the way back computes.
    kept: usize,
    /// Whether the last gate's recurrent part, with its bias, stays apart from its input part.
    last_apart: bool,
    /// Whether there is a state c beside h.
    cell_state: bool,
    /// Whether the way back needs more of the forward pass than its outputs.
    keeps: bool,
    forward: fn(&Kernels, Cell, Forward<'_, '_>),
    backward: fn(&Kernels, Cell, Backward<'_, '_>),
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
