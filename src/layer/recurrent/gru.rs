//! The gated recurrent unit (Cho et al. 2014) as PyTorch and cuDNN have it: the reset gate acts after the product.
//!
//! ```text
//! r_t   = σ(x_t·W_irᵀ + h_{t-1}·W_hrᵀ + (b_ir + b_hr))
//! z_t   = σ(x_t·W_izᵀ + h_{t-1}·W_hzᵀ + (b_iz + b_hz))
//! n_t   = tanh(x_t·W_inᵀ + b_in + r_t * (h_{t-1}·W_hnᵀ + b_hn))
//! h_t   = (1 - z_t) * n_t + z_t * h_{t-1}
//! ```
//!
//! The product with W_hn starts from b_hn and stays apart from the input's part, as r multiplies it alone. For the way back
//! the forward pass keeps r, z, n and that product. Their gradients are four as well: W_ih gets those of r, z and n, W_hh
//! those of r, z and the product.

use super::{Cell, Parts};
use crate::kernel::Kernels;
use crate::kernel::recurrence::{Backward, Forward};

pub(super) const PARTS: Parts = Parts {
    gates: 3,
    recurrent: &[0, 1, 3],
    kept: 4,
    last_apart: true,
    cell_state: false,
    keeps: true,
    forward,
    backward,
};

fn forward(kernels: &Kernels, _: Cell, args: Forward<'_, '_>) {
    (kernels.gru_forward)(args);
}

fn backward(kernels: &Kernels, _: Cell, args: Backward<'_, '_>) {
    (kernels.gru_backward)(args);
}
