//! Long short-term memory (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000), `torch.nn.LSTM`'s;
//! with a projection, Sak et al. 2014.
//!
//! ```text
//! i_t   = σ(x_t·W_iiᵀ + h_{t-1}·W_hiᵀ + (b_ii + b_hi))
//! f_t   = σ(x_t·W_ifᵀ + h_{t-1}·W_hfᵀ + (b_if + b_hf))
//! g_t   = tanh(x_t·W_igᵀ + h_{t-1}·W_hgᵀ + (b_ig + b_hg))
//! o_t   = σ(x_t·W_ioᵀ + h_{t-1}·W_hoᵀ + (b_io + b_ho))
//! c_t   = f_t * c_{t-1} + i_t * g_t
//! h_t   = o_t * tanh(c_t)                  with a projection, (o_t * tanh(c_t))·W_hrᵀ
//! ```
//!
//! For the way back the forward pass keeps the four gates and c_t, and what was projected where there is a projection.

use super::{Cell, Parts};
use crate::kernel::Kernels;
use crate::kernel::recurrence::{Backward, Forward};

pub(super) const PARTS: Parts = Parts {
    gates: 4,
    recurrent: &[0, 1, 2, 3],
    kept: 4,
    last_apart: false,
    cell_state: true,
    keeps: true,
    forward,
    backward,
};

fn forward(kernels: &Kernels, _: Cell, args: Forward<'_, '_>) {
    (kernels.lstm_forward)(args);
}

fn backward(kernels: &Kernels, _: Cell, args: Backward<'_, '_>) {
    (kernels.lstm_backward)(args);
}
