//! The long short-term memory at the end of a step's product.
//!
//! ```text
//! forward:   i = σ(z_i),  f = σ(z_f),  g = tanh(z_g),  o = σ(z_o)
//!            c_t = f * c_{t-1} + i * g,   m_t = o * tanh(c_t)            h_t = m_t, or m_t·W_hrᵀ with a projection
//! backward:  d_o = d_m_t * tanh(c_t) * o(1 - o)                          d_m_t = d_h_t, or d_h_t·W_hr
//!            d_c = direct + d_m_t * o * (1 - tanh²(c_t))
//!            d_i = d_c * g * i(1 - i),  d_f = d_c * c_{t-1} * f(1 - f),  d_g = d_c * i * (1 - g²)
//!            direct = d_c * f                                            what reaches c_{t-1}
//! ```
//!
//! The gates and c_t are kept for the way back; each gate is overwritten by its gradient.

use super::gemm::{load, store};
use super::recurrence::{BackCell, BackStep, Backward, Cell, Forward, Step, run_backward, run_forward};
use super::tile::{Place, Tiles};
use crate::simd::{Vector, math};

struct Lstm;

impl<V: Vector> Cell<V> for Lstm {
    const GATES: usize = 4;

    #[inline(always)]
    fn finish(step: &mut Step<'_, V::Isa>, at: Place, unit: usize, o: V) {
        let i = math::sigmoid(step.gate::<V>(at, 4, 0, unit));
        let f = math::sigmoid(step.gate::<V>(at, 4, 1, unit));
        let g = math::tanh(step.gate::<V>(at, 4, 2, unit));
        let o = math::sigmoid(o);
        let c = step.cell_mut(at, unit);
        let after = f.mul_add(load(f.isa(), c), i.mul(g));
        store(after, c);
        if step.keeps() {
            step.keep(at, 0, unit, i);
            step.keep(at, 1, unit, f);
            step.keep(at, 2, unit, g);
            step.keep(at, 3, unit, o);
            step.keep_cell(at, unit, after);
        }
        step.put(at, unit, o.mul(math::tanh(after)));
    }
}

impl<V: Vector> BackCell<V> for Lstm {
    const CARRIED: usize = 4;
    const DIRECT_STATE: bool = false;

    #[inline(always)]
    fn finish(step: &mut BackStep<'_, V::Isa>, at: Place, unit: usize, d_m: V) {
        let one = d_m.like(1.0);
        let (i, f) = (step.kept::<V>(at, 0, unit), step.kept::<V>(at, 1, unit));
        let (g, o) = (step.kept::<V>(at, 2, unit), step.kept::<V>(at, 3, unit));
        let before = step.state_before::<V>(at, unit);
        let tanh_c = math::tanh(step.cell::<V>(at, unit));
        let d_o = d_m.mul(tanh_c).mul(o.neg_mul_add(o, o));
        let d_c = d_m.mul(o).mul_add(tanh_c.neg_mul_add(tanh_c, one), step.direct::<V>(at, unit));
        let d_i = d_c.mul(g).mul(i.neg_mul_add(i, i));
        let d_f = d_c.mul(before).mul(f.neg_mul_add(f, f));
        let d_g = d_c.mul(i).mul(g.neg_mul_add(g, one));
        step.set_direct(at, unit, d_c.mul(f));
        step.put(at, 0, unit, d_i);
        step.put(at, 1, unit, d_f);
        step.put(at, 2, unit, d_g);
        step.put(at, 3, unit, d_o);
        step.carry(at, 0, unit, d_i);
        step.carry(at, 1, unit, d_f);
        step.carry(at, 2, unit, d_g);
        step.carry(at, 3, unit, d_o);
    }
}

/// The entry `lstm_forward`.
#[inline(always)]
pub(super) fn forward<V: Tiles>(isa: V::Isa, args: Forward<'_, '_>) {
    run_forward::<V, Lstm>(isa, args);
}

/// The entry `lstm_backward`.
#[inline(always)]
pub(super) fn backward<V: Tiles>(isa: V::Isa, args: Backward<'_, '_>) {
    run_backward::<V, Lstm>(isa, args);
}
