//! The Elman cell at the end of a step's product.
//!
//! ```text
//! forward:   h_t   = act(z_t)                                   z_t = bias + x_t·W_ihᵀ + h_{t-1}·W_hhᵀ
//! backward:  d_z_t = d_h_t * act'(h_t)                          d_h_t = d_y_t + d_z_{t+1}·W_hh; act' from h_t itself
//! ```

use std::marker::PhantomData;

use super::gemm::load;
use super::recurrence::{BackCell, BackStep, Backward, Cell, Forward, Step, run_backward, run_forward};
use super::tile::{Place, Tiles};
use crate::simd::{Vector, math};

/// The activation of an Elman cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Nonlinearity {
    /// The hyperbolic tangent.
    #[default]
    Tanh,
    /// max(0, x).
    Relu,
}

/// The activation, chosen outside the loops.
trait Activation<V> {
    fn apply(x: V) -> V;
    /// `d` times the derivative where the activation gave `y`.
    fn gradient(d: V, y: V) -> V;
}

struct Tanh;

impl<V: Vector> Activation<V> for Tanh {
    #[inline(always)]
    fn apply(x: V) -> V {
        math::tanh(x)
    }

    #[inline(always)]
    fn gradient(d: V, y: V) -> V {
        d.mul(y.neg_mul_add(y, y.like(1.0)))
    }
}

struct Relu;

impl<V: Vector> Activation<V> for Relu {
    #[inline(always)]
    fn apply(x: V) -> V {
        // The operand order lets a NaN through.
        x.like(0.0).max(x)
    }

    #[inline(always)]
    fn gradient(d: V, y: V) -> V {
        let zero = y.like(0.0);
        // Zero, or the NaN that y is.
        V::select(zero.lt(y), d, y.mul(zero))
    }
}

/// The cell with the activation `A`.
struct Elman<A>(PhantomData<A>);

impl<V: Vector, A: Activation<V>> Cell<V> for Elman<A> {
    const GATES: usize = 1;

    #[inline(always)]
    fn finish(step: &mut Step<'_, V::Isa>, at: Place, unit: usize, acc: V) {
        step.put(at, unit, A::apply(acc));
    }
}

impl<V: Vector, A: Activation<V>> BackCell<V> for Elman<A> {
    const CARRIED: usize = 1;
    const LOOKS_BACK: bool = false;

    #[inline(always)]
    fn finish(step: &mut BackStep<'_, V::Isa>, at: Place, unit: usize, d_h: V) {
        let value = A::gradient(d_h, load(step.isa, &step.y.row(at.row())[unit..]));
        step.put(at, 0, unit, value);
        step.carry(at, 0, unit, value);
    }
}

/// The entry `elman_forward`.
#[inline(always)]
pub(super) fn forward<V: Tiles>(isa: V::Isa, (nonlinearity, args): (Nonlinearity, Forward<'_, '_>)) {
    match nonlinearity {
        Nonlinearity::Tanh => run_forward::<V, Elman<Tanh>>(isa, args),
        Nonlinearity::Relu => run_forward::<V, Elman<Relu>>(isa, args),
    }
}

/// The entry `elman_backward`.
#[inline(always)]
pub(super) fn backward<V: Tiles>(isa: V::Isa, (nonlinearity, args): (Nonlinearity, Backward<'_, '_>)) {
    match nonlinearity {
        Nonlinearity::Tanh => run_backward::<V, Elman<Tanh>>(isa, args),
        Nonlinearity::Relu => run_backward::<V, Elman<Relu>>(isa, args),
    }
}
