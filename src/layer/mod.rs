//! Floor 4: one layer of each kind, forward and backward.

mod linear;
pub(crate) mod recurrent;

pub use linear::{Linear, LinearScratch};
pub use recurrent::{
    BackwardPass, Cell, Direction, ForwardPass, Gradients, Layer, Nonlinearity, Scratch, Sizes, Tape, Weights, Write,
};
