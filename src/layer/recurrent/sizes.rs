//! The sizes of a layer: what its parameters, its states and its plan follow from.

use super::{Cell, Direction};
use crate::error::{Error, Result, at_least_one};
use crate::plan::Shape;

/// One layer in one direction: its cell and its sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// What it computes at each step.
    pub cell: Cell,
    /// Features of the input (I).
    pub input: usize,
    /// Hidden units (H).
    pub hidden: usize,
    /// Outputs of an LSTM's projection (P), less than H; 0 for none.
    pub projection: usize,
    /// Which way it goes through time.
    pub direction: Direction,
}

impl Sizes {
    /// The width of a state h and of the output (O): P, or H without a projection.
    #[must_use]
    pub fn output(&self) -> usize {
        if self.projection == 0 { self.hidden } else { self.projection }
    }

    /// The layer over a sequence.
    pub(crate) fn shape(&self, steps: usize, batch: usize) -> Shape {
        let Self { cell, input, hidden, projection, .. } = *self;
        Shape { cell, input, hidden, projection, batch, steps }
    }

    /// That there can be such a layer.
    ///
    /// # Errors
    /// [`Error::Setting`] for sizes of zero and for a projection that is not smaller than the layer or not an LSTM's,
    /// [`Error::Overflow`] for weights that cannot be addressed.
    pub fn check(&self) -> Result<()> {
        let Self { cell, input, hidden, projection, .. } = *self;
        at_least_one("input_size", input)?;
        at_least_one("hidden_size", hidden)?;
        if projection > 0 && !cell.facts().has_cell_state() {
            return Err(Error::setting("proj_size", "0 for a layer that is not an LSTM", projection));
        }
        if projection >= hidden {
            return Err(Error::setting("proj_size", &format!("less than hidden_size {hidden}"), projection));
        }
        self.shape(1, 1).check()
    }
}
