//! A small layer with one row a step, forward and backward. A step of it takes some tens of nanoseconds, of which views of
//! batches, projections and rows that come and go would be the half; the sums and the cells are those of `forward.rs` and
//! `backward.rs`.

use super::Carry;
use crate::kernel::cell::{CellBackStep, CellGradients, CellMath, CellOutput, CellStep, Registers};
use crate::kernel::chains::{self, Columns, chains, four_chains, join_four};
use crate::kernel::layout::{GateColumns, PANEL, PanelsRef, whole_panels};
use crate::simd::Vector;
use crate::simd::tail::{load, store};
use crate::tensor::{Direction, MatMut, SlotsMat, StepRows};

/// What the forward pass of one row reads and writes; see [`Forward`](super::Forward).
pub(super) struct Row<'a> {
    pub(super) steps: usize,
    pub(super) direction: Direction,
    pub(super) hidden: usize,
    /// (steps, G·H').
    pub(super) z: &'a [f32],
    pub(super) w_hh: PanelsRef<'a>,
    pub(super) bias_apart: &'a [f32],
    pub(super) c: &'a mut [f32],
    /// Rows for each step: every state, and what is kept, the cell state where there is one.
    pub(super) y: MatMut<'a>,
    pub(super) gates: Option<SlotsMat<'a>>,
    pub(super) cells: Option<SlotsMat<'a>>,
}

/// Whether a forward pass of one row is faster here than by a product for each step. Against that, Elman with AVX-512: 32
/// units 0.90 of the time, 64 units 1.11, as a product reads each state once for four panels; GRU with AVX2, whose
/// registers do not hold the chains of all gates: 32 units 1.18.
#[inline(always)]
pub(super) fn runs_alone<V: Vector, C: CellMath<V>>(hidden: usize) -> bool {
    hidden <= 2 * PANEL && (C::FACTS.gates == 1 || V::LANES == PANEL)
}

/// Runs all steps with four chains an element; leaves the last state in `h.now`.
#[inline(always)]
pub(super) fn row<V: Vector, C: CellMath<V>>(isa: V::Isa, mut row: Row<'_>, h: &mut Carry<'_>) {
    for n in 0..row.steps {
        let t = row.direction.nth(n, row.steps);
        for unit in (0..row.hidden).step_by(PANEL) {
            // A panel of units at a time.
            if const { V::LANES == PANEL } {
                units::<V, C, 1>(isa, &mut row, t, unit, h);
            } else {
                units::<V, C, 2>(isa, &mut row, t, unit, h);
            }
        }
        h.turn();
    }
}

/// Step `t` of some units: `R` registers from `unit` on.
#[inline(always)]
fn units<V: Vector, C: CellMath<V>, const R: usize>(
    isa: V::Isa,
    row: &mut Row<'_>,
    t: usize,
    unit: usize,
    h: &mut Carry<'_>,
) {
    let (facts, hidden) = (C::FACTS, row.hidden);
    let columns = GateColumns { gates: facts.gates };
    let z = &row.z[t * columns.width(hidden)..][..columns.width(hidden)];
    let mut sums = [C::Gates::all(V::splat(isa, 0.0)); R];
    for gate in 0..facts.gates {
        let col = columns.of(gate, unit);
        let from = if facts.stays_apart(gate) { row.bias_apart } else { z };
        let start = chains::load::<V, R>(isa, &from[col..]);
        let w = row.w_hh.panel(col / PANEL, 0).as_flattened();
        let [sum] = four_chains::<V, R, 1>(isa, [&h.now[..hidden]], w, Columns::PANEL, [start]);
        for r in 0..R {
            sums[r].as_mut()[gate] = sum[r];
        }
    }
    for (r, sums) in sums.into_iter().enumerate() {
        let at = unit + r * V::LANES;
        if at < hidden {
            cell::<V, C>(isa, row, t, at, sums, h);
        }
    }
}

/// The cell of a register of units from `unit` on at step `t`.
#[inline(always)]
fn cell<V: Vector, C: CellMath<V>>(
    isa: V::Isa,
    row: &mut Row<'_>,
    t: usize,
    unit: usize,
    sums: C::Gates,
    carry: &mut Carry<'_>,
) {
    let facts = C::FACTS;
    let columns = GateColumns { gates: facts.gates };
    let (mut a, apart) = (sums, sums.as_ref()[facts.gates - 1]);
    if facts.last_apart {
        let last = facts.gates - 1;
        a.as_mut()[last] = V::load(isa, &row.z[t * columns.width(row.hidden) + columns.of(last, unit)..]);
    }
    let (mut h, mut c) = (apart, apart);
    if facts.passes_state() {
        h = V::load(isa, &carry.now[unit..]);
    }
    if facts.has_cell_state() {
        c = V::load(isa, &row.c[unit..]);
    }
    let CellOutput { h, c, kept } = C::forward(CellStep { a, apart, h, c });
    if facts.has_cell_state() {
        c.store(&mut row.c[unit..]);
    }
    if facts.needs_tape()
        && let Some(gates) = &mut row.gates
    {
        for (slot, value) in kept.as_ref().iter().enumerate() {
            value.store(gates.at(t, slot, unit));
        }
        if facts.has_cell_state()
            && let Some(cells) = &mut row.cells
        {
            c.store(cells.at(t, 0, unit));
        }
    }
    h.store(&mut carry.next[unit..]);
    store(h, &mut row.y.row(t)[unit..]);
}

/// What the backward pass of one row reads and writes; see [`Backward`](super::Backward).
pub(super) struct BackRow<'a> {
    pub(super) steps: usize,
    pub(super) direction: Direction,
    pub(super) hidden: usize,
    /// A row for each step.
    pub(super) gates: SlotsMat<'a>,
    pub(super) y: StepRows<'a>,
    /// h of a GRU, c of an LSTM after each step, and the one before the first; zeros where that is not given.
    pub(super) states: StepRows<'a>,
    pub(super) first: Option<&'a [f32]>,
    pub(super) d_y: StepRows<'a>,
    /// What reaches the last h besides, where that does not come by way of `bypass`.
    pub(super) d_h_n: Option<&'a [f32]>,
    pub(super) w_hh: PanelsRef<'a>,
    pub(super) bypass: &'a mut [f32],
}

/// The same backward, where registers that take a panel are as fast for 64 units.
#[inline(always)]
pub(super) fn runs_back_alone<V: Vector>(hidden: usize) -> bool {
    hidden <= 2 * PANEL || V::LANES == PANEL
}

/// Runs all steps with four chains an element; leaves the last gradients in `carry.now`.
#[inline(always)]
pub(super) fn back_row<V: Vector, C: CellMath<V>>(isa: V::Isa, mut row: BackRow<'_>, carry: &mut Carry<'_>) {
    for n in (0..row.steps).rev() {
        for unit in (0..row.hidden).step_by(PANEL) {
            // A panel of units at a time.
            if const { V::LANES == PANEL } {
                back_units::<V, C, 1>(isa, &mut row, n, unit, carry);
            } else {
                back_units::<V, C, 2>(isa, &mut row, n, unit, carry);
            }
        }
        carry.turn();
    }
}

/// Step `n` of some units: `R` registers from `unit` on.
#[inline(always)]
fn back_units<V: Vector, C: CellMath<V>, const R: usize>(
    isa: V::Isa,
    row: &mut BackRow<'_>,
    n: usize,
    unit: usize,
    carry: &mut Carry<'_>,
) {
    let (facts, hidden) = (C::FACTS, row.hidden);
    let (width, t) = (whole_panels(hidden), row.direction.nth(n, row.steps));
    let last = n + 1 == row.steps;
    let mut sums = [[[V::splat(isa, 0.0); R]]; 4];
    let [[start], ..] = &mut sums;
    for (r, d_h) in start.iter_mut().enumerate() {
        let at = unit + r * V::LANES;
        let unit = at.min(hidden);
        *d_h = load(isa, &row.d_y.step(t, hidden)[unit..]);
        if let Some(d_h_n) = row.d_h_n
            && last
        {
            *d_h = d_h.add(load(isa, &d_h_n[unit..]));
        }
        if facts.passes_state() {
            *d_h = d_h.add(V::load(isa, &row.bypass[at..]));
        }
    }
    // Nothing comes back from beyond the last step.
    if !last {
        let w = row.w_hh.panel(unit / PANEL, 0).as_flattened();
        for gate in 0..facts.gates {
            let (d_a, w) = (&carry.now[gate * width..][..hidden], &w[gate * width * PANEL..]);
            sums = chains::<V, R, 1, 4, 4>(isa, [d_a], w, Columns::PANEL, 0, sums);
        }
    }
    let [d_h] = join_four(sums);
    for (r, d_h) in d_h.into_iter().enumerate() {
        let at = unit + r * V::LANES;
        if at < hidden {
            back_cell::<V, C>(isa, row, t, at, d_h, carry.next);
        }
    }
}

/// The cell of a register of units from `unit` on at step `t`, whose output has the gradient `d_h`.
#[inline(always)]
fn back_cell<V: Vector, C: CellMath<V>>(
    isa: V::Isa,
    row: &mut BackRow<'_>,
    t: usize,
    unit: usize,
    d_h: V,
    next: &mut [f32],
) {
    let (facts, hidden) = (C::FACTS, row.hidden);
    let width = whole_panels(hidden);
    let mut kept = C::Kept::all(d_h);
    for (slot, value) in kept.as_mut().iter_mut().enumerate() {
        *value = V::load(isa, row.gates.read(t, slot, unit));
    }
    let (mut h, mut before, mut c, mut d_c) = (d_h, d_h, d_h, d_h);
    if !facts.needs_tape() {
        h = load(isa, &row.y.step(t, hidden)[unit..]);
    }
    if facts.looks_back() {
        let previous = match row.direction {
            Direction::Forward => t.checked_sub(1),
            Direction::Reverse => Some(t + 1).filter(|&t| t < row.steps),
        };
        before = match previous.map(|t| row.states.step(t, hidden)).or(row.first) {
            Some(state) => load(isa, &state[unit..]),
            None => V::splat(isa, 0.0),
        };
    }
    if facts.has_cell_state() {
        c = load(isa, &row.states.step(t, hidden)[unit..]);
        d_c = V::load(isa, &row.bypass[unit..]);
    }
    let CellGradients { d_a, bypass } = C::backward(CellBackStep { d_h, d_c, kept, h, before, c });
    if facts.looks_back() {
        bypass.store(&mut row.bypass[unit..]);
    }
    // In the places of what was kept, and to the step before by way of W_hh.
    for (slot, value) in d_a.as_ref().iter().enumerate() {
        value.store(row.gates.at(t, slot, unit));
    }
    for gate in 0..facts.gates {
        d_a.as_ref()[facts.recurrent(gate)].store(&mut next[gate * width + unit..]);
    }
}
