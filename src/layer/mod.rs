//! Floor 4: one layer of each kind, forward and backward.

mod elementwise;
mod embedding;
mod linear;
mod readout;
pub(crate) mod recurrent;

pub(crate) use elementwise::Elementwise;
pub(crate) use embedding::Embedding;
pub use linear::{Linear, LinearScratch, LinearSettings};
pub(crate) use linear::{LinearBackward, LinearSteps};
pub use readout::Readout;
pub use recurrent::{
    BackwardPass, Cell, Direction, ForwardPass, Layer, LayerGradients, Nonlinearity, Scratch, Sizes, Tape, Weights,
    Write,
};
pub(crate) use recurrent::{Delay, LayerSteps, StepShares};
