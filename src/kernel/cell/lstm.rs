//! Long short-term memory (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000), `torch.nn.LSTM`'s;
//! with a projection, Sak et al. 2014.
//!
//! ```text
//! i_t   = σ(x_t·W_iiᵀ + h_{t-1}·W_hiᵀ + (b_ii + b_hi))
//! f_t   = σ(x_t·W_ifᵀ + h_{t-1}·W_hfᵀ + (b_if + b_hf))
//! g_t   = tanh(x_t·W_igᵀ + h_{t-1}·W_hgᵀ + (b_ig + b_hg))
//! o_t   = σ(x_t·W_ioᵀ + h_{t-1}·W_hoᵀ + (b_io + b_ho))
//! c_t   = f_t * c_{t-1} + i_t * g_t
//! m_t   = o_t * tanh(c_t)
//! h_t   = m_t, or m_t·W_hrᵀ with a projection
//!
//! d_a_o = d_m_t * tanh(c_t) * o(1 - o)             d_m_t = d_h_t, or d_h_t·W_hr with a projection
//! d_c   = d_c_t + d_m_t * o * (1 - tanh²(c_t))     d_c_t: what reaches c_t from the step after
//! d_a_i = d_c * g * i(1 - i),  d_a_f = d_c * c_{t-1} * f(1 - f),  d_a_g = d_c * i * (1 - g²)
//! bypass  d_c * f                                  what reaches c_{t-1}
//! ```
//!
//! The forward pass keeps the four gates and c_t, and m_t where there is a projection. The backward pass puts the gradient
//! of each gate before its activation in the gate's place.

use super::{Bypass, CellBackStep, CellFacts, CellGradients, CellMath, CellOutput, CellStep};
use crate::simd::{Vector, math};

pub(super) const FACTS: CellFacts = CellFacts { gates: 4, last_apart: false, kept: 4, bypass: Bypass::CellState };

pub(in crate::kernel) struct Lstm;

impl<V: Vector> CellMath<V> for Lstm {
    const FACTS: &'static CellFacts = &FACTS;
    type Gates = [V; 4];
    type Kept = [V; 4];
    type Gradients = [V; 4];

    #[inline(always)]
    fn forward(step: CellStep<V, [V; 4]>) -> CellOutput<V, [V; 4]> {
        let CellStep { a: [a_i, a_f, a_g, a_o], c: before, .. } = step;
        let i = math::sigmoid(a_i);
        let f = math::sigmoid(a_f);
        let g = math::tanh(a_g);
        let o = math::sigmoid(a_o);
        let c = f.mul_add(before, i.mul(g));
        CellOutput { h: o.mul(math::tanh(c)), c, kept: [i, f, g, o] }
    }

    #[inline(always)]
    fn backward(step: CellBackStep<V, [V; 4]>) -> CellGradients<V, [V; 4]> {
        let CellBackStep { d_h: d_m, d_c, kept: [i, f, g, o], before, c, .. } = step;
        let one = d_m.like(1.0);
        let tanh_c = math::tanh(c);
        let d_a_o = d_m.mul(tanh_c).mul(o.neg_mul_add(o, o));
        let d_c = d_m.mul(o).mul_add(tanh_c.neg_mul_add(tanh_c, one), d_c);
        let d_a_i = d_c.mul(g).mul(i.neg_mul_add(i, i));
        let d_a_f = d_c.mul(before).mul(f.neg_mul_add(f, f));
        let d_a_g = d_c.mul(i).mul(g.neg_mul_add(g, one));
        CellGradients { d_a: [d_a_i, d_a_f, d_a_g, d_a_o], bypass: d_c.mul(f) }
    }
}
