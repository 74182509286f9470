//! Single steps of one row, for small layers in real time: the sums of [`tile`](super::tile) and the cells of
//! [`cell`](super::cell) without what a batch needs around them.
//!
//! ```text
//! for each step, for each 8 or 16 units:
//!     a    = bias + x·W_ihᵀ                     one chain, k ascending
//!     u    = h·W_hhᵀ                            four chains from a where k ≤ 64, else one from zero that a joins
//!     h, c = cell(a, u, h, c)                   all gates in registers
//! ```
//!
//! The order of every sum is that of the batch, so the bits are too. What differs is the way of the data: the input part
//! never goes to memory, all gates of some units are summed side by side, and a last panel that is half empty is read
//! by registers of half the width.

use super::cell::{CellMath, CellOutput, CellStep, Registers};
use super::gemm::Chains;
use super::layout::{GateColumns, KB, PanelsRef, round_up};
use crate::simd::Vector;
use crate::tensor::StepRows;

/// Steps that the memory of a row is made for: a longer block is run in several.
pub(crate) const BLOCK: usize = 64;

/// Steps of one row through a recurrent layer. With I inputs, H hidden units (H' rounded up to 16), O outputs (H, or
/// those of a projection; O' rounded up), G gates:
pub(crate) struct Steps<'a> {
    pub(crate) hidden: usize,
    pub(crate) steps: usize,
    /// (steps, I).
    pub(crate) x: StepRows<'a>,
    /// (I, G·H') and (O, G·H') in panels, the gates' panels alternating.
    pub(crate) w_ih: PanelsRef<'a>,
    pub(crate) w_hh: PanelsRef<'a>,
    /// (G·H').
    pub(crate) bias: &'a [f32],
    /// (G·H'): what the last gate's recurrent part starts from, where it stays apart.
    pub(crate) bias_apart: &'a [f32],
    /// (1 + steps, O'): the state before the first step; the others receive those after each step.
    pub(crate) h: &'a mut [f32],
    /// (H'): an LSTM's cell state.
    pub(crate) c: &'a mut [f32],
    /// (H, O) in panels and room for (H'), where the output is projected.
    pub(crate) projection: Option<(PanelsRef<'a>, &'a mut [f32])>,
}

/// Rows through a linear layer: y = bias + x·Wᵀ.
pub(crate) struct Dense<'a> {
    pub(crate) rows: usize,
    /// (rows, k).
    pub(crate) x: StepRows<'a>,
    /// (k, outputs) in panels.
    pub(crate) weight: PanelsRef<'a>,
    /// (outputs, rounded up to 16).
    pub(crate) bias: &'a [f32],
    /// (rows, outputs rounded up to 16).
    pub(crate) y: &'a mut [f32],
}

/// The panels of some registers' columns, each k sixteen of them, and the lane at which each register's columns begin.
#[derive(Clone, Copy)]
struct Columns<'a, const R: usize> {
    panels: [&'a [[f32; KB]]; R],
    lanes: [usize; R],
}

impl<'a, const R: usize> Columns<'a, R> {
    /// The columns of register r are those from `first + r * apart` on.
    #[inline(always)]
    fn new(matrix: PanelsRef<'a>, first: usize, apart: usize) -> Self {
        let k = matrix.depth().len;
        let (mut panels, mut lanes): ([&[[f32; KB]]; R], _) = ([&[]; R], [0; R]);
        for (r, (panel, lane)) in panels.iter_mut().zip(&mut lanes).enumerate() {
            let column = first + r * apart;
            *panel = &matrix.panel(column / KB, 0).as_flattened().as_chunks().0[..k];
            *lane = column % KB;
        }
        Self { panels, lanes }
    }

    /// One chain for each register: Σ a[k]·column[k], k ascending, from `sum`.
    #[inline(always)]
    fn one_chain<V: Vector>(self, isa: V::Isa, a: &[f32], mut sum: [V; R]) -> [V; R] {
        let panels = self.of_length(a.len());
        for (k, &a) in a.iter().enumerate() {
            let a = V::splat(isa, a);
            for (r, sum) in sum.iter_mut().enumerate() {
                *sum = a.mul_add(V::load(isa, &panels[r][k][self.lanes[r]..]), *sum);
            }
        }
        sum
    }

    /// Four chains for each register, as [`Chains::Four`] says; two at a time where all do not fit the registers.
    #[inline(always)]
    fn four_chains<V: Vector>(self, isa: V::Isa, a: &[f32], start: [V; R]) -> [V; R] {
        let zero = [V::splat(isa, 0.0); R];
        if V::LANES < KB && R > 2 {
            let [even, other] = self.chains_from::<V, 2>(isa, a, 0, [start, zero]);
            let [third, fourth] = self.chains_from::<V, 2>(isa, a, 2, [zero, zero]);
            return add(add(even, other), add(third, fourth));
        }
        let [c0, c1, c2, c3] = self.chains_from::<V, 4>(isa, a, 0, [start, zero, zero, zero]);
        add(add(c0, c1), add(c2, c3))
    }

    /// `N` of the four chains, those from `first` on.
    #[inline(always)]
    fn chains_from<V: Vector, const N: usize>(
        self,
        isa: V::Isa,
        a: &[f32],
        first: usize,
        mut chains: [[V; R]; N],
    ) -> [[V; R]; N] {
        let panels = self.of_length(a.len());
        let (fours, rest) = a.as_chunks::<4>();
        let mut quads: [&[[[f32; KB]; 4]]; R] = [&[]; R];
        for (quads, panel) in quads.iter_mut().zip(panels) {
            *quads = &panel.as_chunks::<4>().0[..fours.len()];
        }
        for (q, four) in fours.iter().enumerate() {
            for (chain, sum) in chains.iter_mut().enumerate() {
                let a = V::splat(isa, four[first + chain]);
                for (r, sum) in sum.iter_mut().enumerate() {
                    *sum = a.mul_add(V::load(isa, &quads[r][q][first + chain][self.lanes[r]..]), *sum);
                }
            }
        }
        for (chain, sum) in chains.iter_mut().enumerate() {
            if first + chain < rest.len() {
                let a = V::splat(isa, rest[first + chain]);
                for (r, sum) in sum.iter_mut().enumerate() {
                    let k = fours.len() * 4 + first + chain;
                    *sum = a.mul_add(V::load(isa, &panels[r][k][self.lanes[r]..]), *sum);
                }
            }
        }
        chains
    }

    /// The panels, of so many k as far as the compiler can see.
    #[inline(always)]
    fn of_length(self, k: usize) -> [&'a [[f32; KB]]; R] {
        let mut panels = self.panels;
        for panel in &mut panels {
            *panel = &panel[..k];
        }
        panels
    }
}

#[inline(always)]
fn add<V: Vector, const R: usize>(mut left: [V; R], right: [V; R]) -> [V; R] {
    for (left, right) in left.iter_mut().zip(right) {
        *left = left.add(right);
    }
    left
}

/// One step of a row.
struct Row<'a> {
    x: &'a [f32],
    /// (O), then the padding.
    h: &'a [f32],
    /// (H'): where the cells' outputs go.
    next: &'a mut [f32],
    c: &'a mut [f32],
}

/// The weights of all steps.
#[derive(Clone, Copy)]
struct Weights<'a> {
    w_ih: PanelsRef<'a>,
    w_hh: PanelsRef<'a>,
    bias: &'a [f32],
    bias_apart: &'a [f32],
}

/// Every gate of the units from `unit` on, as many as `R` registers hold; then their cells.
#[inline(always)]
fn units<V: Vector, C: CellMath<V>, const R: usize>(isa: V::Isa, weights: Weights<'_>, row: &mut Row<'_>, unit: usize) {
    let (gates, facts) = (C::FACTS.gates, C::FACTS);
    let first = GateColumns { gates }.of(0, unit);
    // Of one gate the next register's units come next; of several, the next gate's panel.
    let apart = if gates == 1 { V::LANES } else { KB };
    let [mut a, mut start] = [[V::splat(isa, 0.0); R]; 2];
    for (r, a) in a.iter_mut().enumerate() {
        *a = V::load(isa, &weights.bias[first + r * apart..]);
    }
    a = Columns::new(weights.w_ih, first, apart).one_chain(isa, row.x, a);
    let out = weights.w_hh.depth().len;
    let columns = Columns::<R>::new(weights.w_hh, first, apart);
    let chains = Chains::over(out);
    for r in 0..R {
        if facts.stays_apart(r % gates) {
            start[r] = V::load(isa, &weights.bias_apart[first + r * apart..]);
        } else if chains == Chains::Four {
            start[r] = a[r];
        }
    }
    let mut sum = match chains {
        Chains::Four => columns.four_chains(isa, &row.h[..out], start),
        Chains::One => columns.one_chain(isa, &row.h[..out], start),
    };
    for r in 0..R {
        if chains == Chains::One && !facts.stays_apart(r % gates) {
            sum[r] = sum[r].add(a[r]);
        }
    }
    for n in 0..R / gates {
        let mut gate_values = C::Gates::all(sum[0]);
        for (gate, value) in gate_values.as_mut().iter_mut().enumerate() {
            *value = if facts.stays_apart(gate) { a[n * gates + gate] } else { sum[n * gates + gate] };
        }
        let (unit, last) = (unit + n * V::LANES, sum[n * gates + gates - 1]);
        let (mut h, mut c) = (last, last);
        if facts.passes_state() {
            h = V::load(isa, &row.h[unit..]);
        }
        if facts.has_cell_state() {
            c = V::load(isa, &row.c[unit..]);
        }
        let CellOutput { h, c, .. } = C::forward(CellStep { a: gate_values, apart: last, h, c });
        if facts.has_cell_state() {
            c.store(&mut row.c[unit..]);
        }
        h.store(&mut row.next[unit..]);
    }
}

/// Every unit of one step.
#[inline(always)]
fn step<V: Vector, C: CellMath<V> + CellMath<V::Half>>(
    isa: V::Isa,
    weights: Weights<'_>,
    row: &mut Row<'_>,
    hidden: usize,
) {
    let gates = <C as CellMath<V>>::FACTS.gates;
    let mut unit = 0;
    while unit < hidden {
        let left = hidden - unit;
        if V::LANES == KB && left <= KB / 2 {
            let half = V::half(isa);
            match gates {
                1 => units::<V::Half, C, 1>(half, weights, row, unit),
                3 => units::<V::Half, C, 3>(half, weights, row, unit),
                _ => units::<V::Half, C, 4>(half, weights, row, unit),
            }
            return;
        }
        match gates {
            1 if left > 3 * V::LANES => {
                units::<V, C, 4>(isa, weights, row, unit);
                unit += 4 * V::LANES;
                continue;
            }
            1 if left > V::LANES + KB / 2 || V::LANES < KB && left > V::LANES => {
                units::<V, C, 2>(isa, weights, row, unit);
                unit += 2 * V::LANES;
                continue;
            }
            1 => units::<V, C, 1>(isa, weights, row, unit),
            3 => units::<V, C, 3>(isa, weights, row, unit),
            _ => units::<V, C, 4>(isa, weights, row, unit),
        }
        unit += V::LANES;
    }
}

/// The entries of [`Kernels::recurrence`](crate::kernel::Kernels::recurrence) for single rows.
#[inline(always)]
pub(in crate::kernel) fn steps<V: Vector, C: CellMath<V> + CellMath<V::Half>>(isa: V::Isa, args: Steps<'_>) {
    let Steps { hidden, steps, x, w_ih, w_hh, bias, bias_apart, h, c, mut projection } = args;
    let (input, out) = (w_ih.depth().len, w_hh.depth().len);
    let pitch = round_up(out);
    let weights = Weights { w_ih, w_hh, bias, bias_apart };
    for t in 0..steps {
        let (before, after) = h.split_at_mut((t + 1) * pitch);
        let (h, next) = (&before[t * pitch..], &mut after[..pitch]);
        let x = x.step(t, input);
        match &mut projection {
            None => step::<V, C>(isa, weights, &mut Row { x, h, next, c }, hidden),
            Some((w_hr, m)) => {
                step::<V, C>(isa, weights, &mut Row { x, h, next: m, c }, hidden);
                product::<V>(isa, &m[..hidden], *w_hr, None, next);
            }
        }
    }
}

/// The entry `dense`.
#[inline(always)]
pub(in crate::kernel) fn dense<V: Vector>(isa: V::Isa, args: Dense<'_>) {
    let Dense { rows, x, weight, bias, y } = args;
    let (k, pitch) = (weight.depth().len, round_up(weight.cols()));
    for (row, y) in y.chunks_exact_mut(pitch).take(rows).enumerate() {
        product::<V>(isa, x.step(row, k), weight, Some(bias), y);
    }
}

/// One row times a matrix: a projection's sums where there is no bias, a linear layer's where there is one.
#[inline(always)]
fn product<V: Vector>(isa: V::Isa, a: &[f32], b: PanelsRef<'_>, bias: Option<&[f32]>, y: &mut [f32]) {
    let cols = b.cols();
    let mut col = 0;
    while col < cols {
        let left = (cols - col).div_ceil(V::LANES);
        if left >= 4 {
            registers::<V, 4>(isa, a, b, bias, col, y);
            col += 4 * V::LANES;
        } else if left >= 2 {
            registers::<V, 2>(isa, a, b, bias, col, y);
            col += 2 * V::LANES;
        } else {
            registers::<V, 1>(isa, a, b, bias, col, y);
            col += V::LANES;
        }
    }
}

/// `R` registers of columns of a [`product`].
#[inline(always)]
fn registers<V: Vector, const R: usize>(
    isa: V::Isa,
    a: &[f32],
    b: PanelsRef<'_>,
    bias: Option<&[f32]>,
    col: usize,
    y: &mut [f32],
) {
    let mut start = [V::splat(isa, 0.0); R];
    if let Some(bias) = bias {
        for (r, start) in start.iter_mut().enumerate() {
            *start = V::load(isa, &bias[col + r * V::LANES..]);
        }
    }
    // A linear layer's sums are one chain, a projection's those of a recurrence.
    let chains = if bias.is_some() { Chains::One } else { Chains::over(a.len()) };
    let columns = Columns::<R>::new(b, col, V::LANES);
    let sum = match chains {
        Chains::Four => columns.four_chains(isa, a, start),
        Chains::One => columns.one_chain(isa, a, start),
    };
    for (r, sum) in sum.into_iter().enumerate() {
        sum.store(&mut y[col + r * V::LANES..]);
    }
}
