//! The Elman cell (Elman 1990), `torch.nn.RNN`'s.
//!
//! ```text
//! a_t   = x_t·W_ihᵀ + h_{t-1}·W_hhᵀ + (b_ih + b_hh)
//! h_t   = act(a_t)
//!
//! d_a_t = d_h_t * act'(a_t)               d_h_t = d_y_t + d_a_{t+1}·W_hh
//! ```
//!
//! The forward pass keeps its outputs and nothing else: act' follows from h_t.

use std::marker::PhantomData;

use super::{Bypass, CellBackStep, CellFacts, CellGradients, CellMath, CellOutput, CellStep};
use crate::simd::{Vector, math};

pub(super) const FACTS: CellFacts = CellFacts { gates: 1, last_apart: false, kept: 0, bypass: Bypass::Nothing };

/// The activation, chosen outside the loops.
pub(in crate::kernel) trait ActivationMath<V> {
    /// The activation of `x`.
    fn apply(x: V) -> V;
    /// `d` times the derivative where the activation gave `y`.
    fn gradient(d: V, y: V) -> V;
}

pub(in crate::kernel) struct Tanh;

impl<V: Vector> ActivationMath<V> for Tanh {
    #[inline(always)]
    fn apply(x: V) -> V {
        math::tanh(x)
    }

    #[inline(always)]
    fn gradient(d: V, y: V) -> V {
        d.mul(y.neg_mul_add(y, y.like(1.0)))
    }
}

pub(in crate::kernel) struct Relu;

impl<V: Vector> ActivationMath<V> for Relu {
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
pub(in crate::kernel) struct Elman<A>(PhantomData<A>);

impl<V: Vector, A: ActivationMath<V>> CellMath<V> for Elman<A> {
    const FACTS: &'static CellFacts = &FACTS;
    type Gates = [V; 1];
    type Kept = [V; 0];
    type Gradients = [V; 1];

    #[inline(always)]
    fn forward(CellStep { a: [a], c, .. }: CellStep<V, [V; 1]>) -> CellOutput<V, [V; 0]> {
        CellOutput { h: A::apply(a), c, kept: [] }
    }

    #[inline(always)]
    fn backward(CellBackStep { d_h, h, .. }: CellBackStep<V, [V; 0]>) -> CellGradients<V, [V; 1]> {
        CellGradients { d_a: [A::gradient(d_h, h)], bypass: d_h }
    }
}
