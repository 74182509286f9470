//! A step of the GRU. `a` and `u` are (3H), r z n one after the other; the states are (H).

use super::{Real, RowState, StepGradients};

/// h_t.
pub(super) fn step<R: Real>(a: &[R], u: &[R], before: &RowState<R>) -> RowState<R> {
    let mut h = before.h.clone();
    for (j, h) in h.iter_mut().enumerate() {
        let [_, z, n] = gates(a, u, j);
        *h = (R::ONE - z) * n + z * *h;
    }
    RowState { h, c: Vec::new() }
}

/// From `d_after`, the gradient of h_t.
pub(super) fn step_back<R: Real>(a: &[R], u: &[R], before: &RowState<R>, d_after: &RowState<R>) -> StepGradients<R> {
    let hidden = before.h.len();
    let [mut d_a, mut d_u] = [vec![R::ZERO; 3 * hidden], vec![R::ZERO; 3 * hidden]];
    let mut d_before = RowState { h: vec![R::ZERO; hidden], c: Vec::new() };
    for j in 0..hidden {
        let (h, d_h) = (before.h[j], d_after.h[j]);
        let [r, z, n] = gates(a, u, j);
        let [at_r, at_z, at_n] = [j, hidden + j, 2 * hidden + j];
        let d_z = d_h * (h - n);
        let d_n = d_h * (R::ONE - z);
        d_a[at_n] = d_n * (R::ONE - n * n);
        let d_r = d_a[at_n] * u[at_n];
        d_a[at_z] = d_z * z * (R::ONE - z);
        d_a[at_r] = d_r * r * (R::ONE - r);
        d_u[at_r] = d_a[at_r];
        d_u[at_z] = d_a[at_z];
        d_u[at_n] = d_a[at_n] * r;
        d_before.h[j] = d_h * z;
    }
    StepGradients { d_a, d_u, d_before }
}

/// r, z and n of unit `j`.
fn gates<R: Real>(a: &[R], u: &[R], j: usize) -> [R; 3] {
    let hidden = a.len() / 3;
    let [at_r, at_z, at_n] = [j, hidden + j, 2 * hidden + j];
    let r = (a[at_r] + u[at_r]).sigmoid();
    let z = (a[at_z] + u[at_z]).sigmoid();
    [r, z, (a[at_n] + r * u[at_n]).tanh()]
}
