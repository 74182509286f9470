//! A step of the LSTM, up to the projection: the state after it has m in the place of h. `a` and `u` are (4H), i f g o
//! one after the other; m and the cell states are (H).

use super::{Real, RowState, StepGradients};

/// m_t and c_t.
pub(super) fn step<R: Real>(a: &[R], u: &[R], before: &RowState<R>) -> RowState<R> {
    let hidden = before.c.len();
    let [mut m, mut c] = [vec![R::ZERO; hidden], vec![R::ZERO; hidden]];
    for j in 0..hidden {
        let [i, f, g, o] = gates(a, u, j);
        c[j] = f * before.c[j] + i * g;
        m[j] = o * c[j].tanh();
    }
    RowState { h: m, c }
}

/// From `d_after`, the gradient of m_t and what reaches c_t from later.
pub(super) fn step_back<R: Real>(a: &[R], u: &[R], before: &RowState<R>, d_after: &RowState<R>) -> StepGradients<R> {
    let hidden = before.c.len();
    let mut d_a = vec![R::ZERO; 4 * hidden];
    let mut d_before = RowState { h: vec![R::ZERO; before.h.len()], c: vec![R::ZERO; hidden] };
    for j in 0..hidden {
        let [i, f, g, o] = gates(a, u, j);
        let tanh_c = (f * before.c[j] + i * g).tanh();
        let d_m = d_after.h[j];
        let d_c = d_after.c[j] + d_m * o * (R::ONE - tanh_c * tanh_c);
        d_a[j] = d_c * g * i * (R::ONE - i);
        d_a[hidden + j] = d_c * before.c[j] * f * (R::ONE - f);
        d_a[2 * hidden + j] = d_c * i * (R::ONE - g * g);
        d_a[3 * hidden + j] = d_m * tanh_c * o * (R::ONE - o);
        d_before.c[j] = d_c * f;
    }
    StepGradients { d_u: d_a.clone(), d_a, d_before }
}

/// i, f, g and o of unit `j`.
fn gates<R: Real>(a: &[R], u: &[R], j: usize) -> [R; 4] {
    let hidden = a.len() / 4;
    let [i, f, g, o] = [0, 1, 2, 3].map(|gate| a[gate * hidden + j] + u[gate * hidden + j]);
    [i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()]
}
