//! A step of the Elman cell. `a`, `u` and the states are (H).

use super::{Real, RowState, StepGradients};
use crate::layer::Nonlinearity;

/// h_t.
pub(super) fn step<R: Real>(nonlinearity: Nonlinearity, a: &[R], u: &[R]) -> RowState<R> {
    RowState { h: (0..a.len()).map(|j| activation(nonlinearity, a[j] + u[j])).collect(), c: Vec::new() }
}

/// From `d_after`, the gradient of h_t.
pub(super) fn step_back<R: Real>(
    nonlinearity: Nonlinearity,
    a: &[R],
    u: &[R],
    d_after: &RowState<R>,
) -> StepGradients<R> {
    let h = step(nonlinearity, a, u).h;
    let d_a: Vec<R> = (0..h.len()).map(|j| before_activation(nonlinearity, h[j], d_after.h[j])).collect();
    let d_before = RowState { h: vec![R::ZERO; h.len()], c: Vec::new() };
    StepGradients { d_u: d_a.clone(), d_a, d_before }
}

/// A NaN stays one.
fn activation<R: Real>(nonlinearity: Nonlinearity, z: R) -> R {
    match nonlinearity {
        Nonlinearity::Tanh => z.tanh(),
        Nonlinearity::Relu if z <= R::ZERO => R::ZERO,
        Nonlinearity::Relu => z,
    }
}

/// The gradient before the activation, of its value `h` and the gradient `d_h` behind it.
fn before_activation<R: Real>(nonlinearity: Nonlinearity, h: R, d_h: R) -> R {
    match nonlinearity {
        Nonlinearity::Tanh => (R::ONE - h * h) * d_h,
        Nonlinearity::Relu if h <= R::ZERO => R::ZERO,
        Nonlinearity::Relu => d_h,
    }
}
