//! The Elman cell (Elman 1990), `torch.nn.RNN`'s.
//!
//! ```text
//! z_t   = x_t·W_ihᵀ + (b_ih + b_hh)        all steps of a block at once
//! h_t   = act(z_t + h_{t-1}·W_hhᵀ)         step by step, the activation in the product's epilogue
//!
//! d_z_t = (d_y_t + d_z_{t+1}·W_hh) * act'  step by step, backwards
//! ```
//!
//! For the way back the forward pass keeps its outputs and nothing else: act' follows from h_t.

use super::{Cell, Nonlinearity, Parts};
use crate::kernel::Kernels;
use crate::kernel::recurrence::{Backward, Forward};

pub(super) const PARTS: Parts =
    Parts { gates: 1, recurrent: &[0], kept: 1, last_apart: false, cell_state: false, keeps: false, forward, backward };

fn nonlinearity(cell: Cell) -> Nonlinearity {
    match cell {
        Cell::Elman(nonlinearity) => nonlinearity,
        Cell::Gru | Cell::Lstm => unreachable!("{cell:?} has parts of its own"),
    }
}

fn forward(kernels: &Kernels, cell: Cell, args: Forward<'_, '_>) {
    (kernels.elman_forward)((nonlinearity(cell), args));
}

fn backward(kernels: &Kernels, cell: Cell, args: Backward<'_, '_>) {
    (kernels.elman_backward)((nonlinearity(cell), args));
}
