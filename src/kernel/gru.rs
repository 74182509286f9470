//! The gated recurrent unit at the end of a step's product: PyTorch's, which resets after the product.
//!
//! ```text
//! forward:   r = σ(z_r),  u = σ(z_u),  n = tanh(x_n + r * h_n)           x_n = b_in + x_t·W_inᵀ,  h_n = b_hn + h_{t-1}·W_hnᵀ
//!            h_t = n + u * (h_{t-1} - n)
//! backward:  d_u = d_h_t * (h_{t-1} - n) * u(1 - u)                      d_h_t = d_y_t + (d_r, d_u, d_hn)_{t+1}·W_hh + direct
//!            d_n = d_h_t * (1 - u) * (1 - n²)
//!            d_hn = d_n * r,  d_r = d_n * h_n * r(1 - r)
//!            direct = d_h_t * u                                          what reaches h_{t-1} besides
//! ```
//!
//! PyTorch calls u z. Four values a unit are kept for the way back, r, u, n and h_n, and each is overwritten by its
//! gradient.

use super::recurrence::{BackCell, BackStep, Backward, Cell, Forward, Step, run_backward, run_forward};
use super::tile::{Place, Tiles};
use crate::simd::{Vector, math};

struct Gru;

impl<V: Vector> Cell<V> for Gru {
    const GATES: usize = 3;
    // x_n and h_n stay apart.
    const LAST_APART: bool = true;

    #[inline(always)]
    fn finish(step: &mut Step<'_, V::Isa>, at: Place, unit: usize, h_n: V) {
        let r = math::sigmoid(step.gate::<V>(at, 3, 0, unit));
        let u = math::sigmoid(step.gate::<V>(at, 3, 1, unit));
        let n = math::tanh(r.mul_add(h_n, step.gate(at, 3, 2, unit)));
        let before = step.state_before::<V>(at, unit);
        if step.keeps() {
            step.keep(at, 0, unit, r);
            step.keep(at, 1, unit, u);
            step.keep(at, 2, unit, n);
            step.keep(at, 3, unit, h_n);
        }
        step.put(at, unit, before.sub(n).mul_add(u, n));
    }
}

impl<V: Vector> BackCell<V> for Gru {
    const CARRIED: usize = 3;
    const DIRECT_STATE: bool = true;

    #[inline(always)]
    fn finish(step: &mut BackStep<'_, V::Isa>, at: Place, unit: usize, d_h: V) {
        let one = d_h.like(1.0);
        let (r, u) = (step.kept::<V>(at, 0, unit), step.kept::<V>(at, 1, unit));
        let (n, h_n) = (step.kept::<V>(at, 2, unit), step.kept::<V>(at, 3, unit));
        let before = step.state_before::<V>(at, unit);
        step.set_direct(at, unit, d_h.mul(u));
        let d_u = d_h.mul(before.sub(n)).mul(u.neg_mul_add(u, u));
        let d_n = d_h.mul(one.sub(u)).mul(n.neg_mul_add(n, one));
        let d_hn = d_n.mul(r);
        let d_r = d_n.mul(h_n).mul(r.neg_mul_add(r, r));
        step.put(at, 0, unit, d_r);
        step.put(at, 1, unit, d_u);
        step.put(at, 2, unit, d_n);
        step.put(at, 3, unit, d_hn);
        step.carry(at, 0, unit, d_r);
        step.carry(at, 1, unit, d_u);
        step.carry(at, 2, unit, d_hn);
    }
}

/// The entry `gru_forward`.
#[inline(always)]
pub(super) fn forward<V: Tiles>(isa: V::Isa, args: Forward<'_, '_>) {
    run_forward::<V, Gru>(isa, args);
}

/// The entry `gru_backward`.
#[inline(always)]
pub(super) fn backward<V: Tiles>(isa: V::Isa, args: Backward<'_, '_>) {
    run_backward::<V, Gru>(isa, args);
}
