//! The gated recurrent unit (Cho et al. 2014) as PyTorch and cuDNN have it: the reset gate acts after the product.
//!
//! ```text
//! r_t   = σ(x_t·W_irᵀ + h_{t-1}·W_hrᵀ + (b_ir + b_hr))
//! z_t   = σ(x_t·W_izᵀ + h_{t-1}·W_hzᵀ + (b_iz + b_hz))
//! n_t   = tanh(a_n + r_t * u_n)           a_n = x_t·W_inᵀ + b_in,  u_n = h_{t-1}·W_hnᵀ + b_hn
//! h_t   = n_t + z_t * (h_{t-1} - n_t)     which is (1 - z_t) * n_t + z_t * h_{t-1}
//!
//! d_z   = d_h_t * (h_{t-1} - n),   d_a_z = d_z * z(1 - z)
//! d_n   = d_h_t * (1 - z),         d_a_n = d_n * (1 - n²),  d_u_n = d_a_n * r
//! d_r   = d_a_n * u_n,             d_a_r = d_r * r(1 - r)
//! bypass  d_h_t * z                       what reaches h_{t-1} beside (d_a_r, d_a_z, d_u_n)·W_hh
//! ```
//!
//! The product with W_hn starts from b_hn and stays apart from the input's part, as r multiplies it alone. The forward
//! pass keeps r, z, n and u_n, and the backward pass puts the gradients of a_r, a_z, a_n and u_n in their places: W_ih
//! gets the first three, W_hh those of a_r, a_z and u_n.

use super::{Bypass, CellBackStep, CellFacts, CellGradients, CellMath, CellOutput, CellStep};
use crate::simd::{Vector, math};

pub(super) const FACTS: CellFacts = CellFacts { gates: 3, last_apart: true, kept: 4, bypass: Bypass::State };

pub(in crate::kernel) struct Gru;

impl<V: Vector> CellMath<V> for Gru {
    const FACTS: &'static CellFacts = &FACTS;
    type Gates = [V; 3];
    type Kept = [V; 4];
    type Gradients = [V; 4];

    #[inline(always)]
    fn forward(step: CellStep<V, [V; 3]>) -> CellOutput<V, [V; 4]> {
        let CellStep { a: [a_r, a_z, a_n], apart: u_n, h: before, c } = step;
        let r = math::sigmoid(a_r);
        let z = math::sigmoid(a_z);
        let n = math::tanh(r.mul_add(u_n, a_n));
        CellOutput { h: before.sub(n).mul_add(z, n), c, kept: [r, z, n, u_n] }
    }

    #[inline(always)]
    fn backward(step: CellBackStep<V, [V; 4]>) -> CellGradients<V, [V; 4]> {
        let CellBackStep { d_h, kept: [r, z, n, u_n], before, .. } = step;
        let one = d_h.like(1.0);
        let d_a_z = d_h.mul(before.sub(n)).mul(z.neg_mul_add(z, z));
        let d_a_n = d_h.mul(one.sub(z)).mul(n.neg_mul_add(n, one));
        let d_u_n = d_a_n.mul(r);
        let d_a_r = d_a_n.mul(u_n).mul(r.neg_mul_add(r, r));
        CellGradients { d_a: [d_a_r, d_a_z, d_a_n, d_u_n], bypass: d_h.mul(z) }
    }
}
