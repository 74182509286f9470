//! Backward: what a step reads and writes, the epilogues of its products, and the loop over the steps.

use std::marker::PhantomData;
use std::ops::Range;

use super::projection::BackProject;
use super::row::{BackRow, back_row, runs_back_alone};
use super::upstream::UpstreamGradient;
use super::{Carry, Exchange, Projection, chains_of, clear, copy, place_of, step_product};
use crate::kernel::cell::{CellBackStep, CellGradients, CellMath, Registers, agrees};
use crate::kernel::layout::{K_BLOCK, PanelsRef, Place, whole_panels};
use crate::kernel::product::{Chains, Epilogue, Operands};
use crate::kernel::tile::{Tiles, tile};
use crate::simd::Vector;
use crate::simd::tail::{load, load_row, store_row};
use crate::tensor::{Before, Direction, History, Mat, SeqMut, SeqRef, SlotsMat, SlotsMut, StepRows};

/// Runs a recurrence backward. With `rows` rows, H hidden units (H' rounded up to 16), G gates, O outputs (H, or those of a
/// projection):
pub(crate) struct Backward<'a, 'c> {
    /// Of the forward run.
    pub(crate) direction: Direction,
    pub(crate) hidden: usize,
    /// The units whose gradients are computed: all, or a worker's, who begins at a multiple of 16.
    pub(crate) units: Range<usize>,
    /// (steps, rows, gradients a unit · H'): what the forward run kept, a slot for each; receives the gradients before the
    /// activations.
    pub(crate) gates: SlotsMut<'a>,
    /// (steps, rows, O): every state.
    pub(crate) y: SeqRef<'a>,
    /// The states before each step that the cell asks for: h of a GRU, c of an LSTM.
    pub(crate) history: History<'a>,
    /// (steps, rows, O, or the units alone): the gradient that reaches each state from above.
    pub(crate) d_y: SeqRef<'a>,
    /// (rows, the same): the gradient that reaches the last state besides.
    pub(crate) d_h_n: Option<Mat<'a>>,
    /// (G·H, the same) in panels: `weight_hh`.
    pub(crate) w_hh: PanelsRef<'a>,
    /// Set when other workers compute the remaining units: called after each step with the step's index and the next
    /// operand, and once more at the end with the bypass in one: other units' columns it must fill in.
    pub(crate) exchange: Option<Exchange<'a>>,
    /// What a projection takes.
    pub(crate) projection: Option<BackProjection<'a>>,
    /// Room for the carried gradients of one step and of the next, (rows, G·H').
    pub(crate) carry: &'a mut Carry<'c>,
    /// (rows, H'), of a cell in which something goes from step to step beside the product: at first the gradient of the
    /// last h (GRU) or c (LSTM), afterwards that of the first.
    pub(crate) bypass: &'a mut [f32],
    /// (rows, widest of H' and O'): room for unfinished chains.
    pub(crate) spill: &'a mut [f32],
    /// The gradient of the first state, where it is wanted.
    pub(crate) first: Option<FirstGradient<'a>>,
    pub(crate) kc: usize,
}

/// The gradient of the first state, of all units: a product with all of `weight_hh`.
pub(crate) struct FirstGradient<'a> {
    /// (rows, O): receives it.
    pub(crate) d_h_0: &'a mut [f32],
    /// (G·H, O) in panels.
    pub(crate) w_hh: PanelsRef<'a>,
    /// (rows, O): the gradient that reaches the last state, which is the first of rows without a step.
    pub(crate) d_h_n: Option<Mat<'a>>,
}

/// What the backward pass through a projection takes.
pub(crate) struct BackProjection<'a> {
    /// W_hr, and room for d_h of a step.
    pub(crate) projection: Projection<'a>,
    /// (steps, rows, O'): receives every d_h.
    pub(crate) d_h: SeqMut<'a>,
}

/// What the end of a backward step reads and writes.
struct BackStep<'a, I> {
    isa: I,
    /// The first of the units that are computed; those of a tile are counted from there.
    first: usize,
    /// H'.
    hidden: usize,
    /// (rows, O).
    y: Mat<'a>,
    before: Before<'a>,
    /// (rows, H'): the cell state.
    cell: Mat<'a>,
    gates: SlotsMat<'a>,
    next: &'a mut [f32],
    bypass: &'a mut [f32],
}

impl<I: Copy> BackStep<'_, I> {
    /// Runs the cell backward on some units from `unit` on, whose output has the gradient `d_h`.
    #[inline(always)]
    fn cell<V: Vector<Isa = I>, C: CellMath<V>>(&mut self, at: Place, unit: usize, d_h: V) {
        let (isa, width) = (self.isa, self.hidden);
        let mut kept = C::Kept::all(d_h);
        for (slot, value) in kept.as_mut().iter_mut().enumerate() {
            *value = V::load(isa, self.gates.read(at.row(), slot, unit));
        }
        let (mut h, mut before, mut c, mut d_c) = (d_h, d_h, d_h, d_h);
        if !C::FACTS.needs_tape() {
            h = load(isa, &self.y.row(at.row())[unit..]);
        }
        if C::FACTS.looks_back() {
            before = match self.before.row(at.row()) {
                Some(row) => load(isa, &row[unit..]),
                None => V::splat(isa, 0.0),
            };
        }
        if C::FACTS.has_cell_state() {
            c = load(isa, &self.cell.row(at.row())[unit..]);
            d_c = self.bypass(at, unit);
        }
        let CellGradients { d_a, bypass } = C::backward(CellBackStep { d_h, d_c, kept, h, before, c });
        if C::FACTS.looks_back() {
            bypass.store(&mut self.bypass[at.row() * width + unit..]);
        }
        // In the places of what was kept.
        for (slot, value) in d_a.as_ref().iter().enumerate() {
            value.store(self.gates.at(at.row(), slot, unit));
        }
        // To the step before, by way of W_hh.
        for gate in 0..C::FACTS.gates {
            let value = d_a.as_ref()[C::FACTS.recurrent(gate)];
            value.store(&mut self.next[at.blocked(C::FACTS.gates * width, gate * width + unit)..]);
        }
    }

    /// What came back beside the product.
    #[inline(always)]
    fn bypass<V: Vector<Isa = I>>(&self, at: Place, unit: usize) -> V {
        V::load(self.isa, &self.bypass[at.row() * self.hidden + unit..])
    }
}

/// The epilogue of a backward step.
struct BackEnd<'a, C, I> {
    step: BackStep<'a, I>,
    /// Nothing behind a projection, whose product is the whole gradient.
    upstream: Option<UpstreamGradient<'a>>,
    /// (rows, H').
    spill: &'a mut [f32],
    cell: PhantomData<C>,
}

impl<V: Vector, C: CellMath<V>> Epilogue<V> for BackEnd<'_, C, V::Isa> {
    const ROW: Option<usize> = Some(1);

    #[inline(always)]
    fn start(&self, at: Place, row: &mut [V]) {
        match &self.upstream {
            Some(upstream) => upstream.start(self.step.isa, at, row),
            None => row.fill(V::splat(self.step.isa, 0.0)),
        }
        if C::FACTS.passes_state() {
            for (v, value) in row.iter_mut().enumerate() {
                *value = value.add(self.step.bypass(at, self.step.first + at.col + v * V::LANES));
            }
        }
    }

    #[inline(always)]
    fn spill(&mut self, at: Place, row: &[V]) {
        let width = self.step.hidden;
        store_row(row, &mut self.spill[at.row() * width..][at.col..width]);
    }

    #[inline(always)]
    fn reload(&self, at: Place, row: &mut [V]) {
        let width = self.step.hidden;
        load_row(self.step.isa, &self.spill[at.row() * width..][at.col..width], row);
    }

    #[inline(always)]
    fn finish(&mut self, at: Place, row: &[V]) {
        for (v, &d_h) in row.iter().enumerate() {
            self.step.cell::<V, C>(at, self.step.first + at.col + v * V::LANES, d_h);
        }
    }
}

/// The gradient of the first state: a product, what reaches it besides, and nothing else.
struct First<'a, I> {
    isa: I,
    d_h_0: &'a mut [f32],
    out: usize,
    /// (rows, H'): a part of it, where the cell says so.
    bypass: Option<&'a [f32]>,
    /// (rows, O): the whole of it in rows without a step, those from `without` on.
    d_h_n: Option<Mat<'a>>,
    without: usize,
}

impl<V: Vector> Epilogue<V> for First<'_, V::Isa> {
    #[inline(always)]
    fn start(&self, at: Place, row: &mut [V]) {
        match (self.bypass, self.d_h_n) {
            (Some(bypass), _) => load_row(self.isa, &bypass[at.row() * whole_panels(self.out)..][at.col..], row),
            (None, Some(d_h_n)) if at.row() >= self.without => {
                load_row(self.isa, &d_h_n.row(at.row())[at.col..], row);
            }
            _ => row.fill(V::splat(self.isa, 0.0)),
        }
    }

    #[inline(always)]
    fn spill(&mut self, at: Place, row: &[V]) {
        store_row(row, &mut self.d_h_0[at.row() * self.out..][at.col..self.out]);
    }

    #[inline(always)]
    fn reload(&self, at: Place, row: &mut [V]) {
        load_row(self.isa, &self.d_h_0[at.row() * self.out..][at.col..self.out], row);
    }

    #[inline(always)]
    fn finish(&mut self, at: Place, row: &[V]) {
        self.spill(at, row);
    }
}

/// Calls `f` with the place of some columns in an operand, the operand, and those columns of the bypass.
#[inline(always)]
fn copy_bypass(
    rows: usize,
    mr: usize,
    operand: &mut [f32],
    bypass: &mut [f32],
    f: impl Fn(Range<usize>, &mut [f32], &mut [f32]),
) {
    let (padded, width) = (operand.len() / rows, bypass.len() / rows);
    for (i, row) in bypass.chunks_exact_mut(width).enumerate() {
        let place = place_of(i, rows, mr);
        for (n, row) in row.chunks_exact_mut(K_BLOCK).enumerate() {
            let at = place.blocked(padded, n * K_BLOCK);
            f(at..at + K_BLOCK, operand, row);
        }
    }
}

/// The entries of [`Kernels::recurrence`](crate::kernel::Kernels::recurrence): runs a recurrence backward with the cell `C`.
#[inline(always)]
pub(in crate::kernel) fn backward<V: Tiles, C: CellMath<V>>(isa: V::Isa, args: Backward<'_, '_>) {
    const { agrees::<V, C>() };
    let Backward { direction, hidden, units, mut gates, y, history, d_y, d_h_n, w_hh, carry, bypass, spill, .. } = args;
    let Backward { mut projection, mut exchange, .. } = args;
    let [steps, rows, out] = y.shape();
    let (chains, mr) = (chains_of(w_hh), V::GEOMETRY.mr);
    if rows == 0 {
        return;
    }
    carry.now.fill(0.0);
    carry.next.fill(0.0);
    let mut tile = tile::<V>(isa);
    let alone = match (chains, &projection, history.resets.0) {
        (Chains::Four, None, None) if runs_back_alone::<V>(hidden) && exchange.is_none() => {
            let rows = [StepRows::of(y), StepRows::of(history.states), StepRows::of(d_y)];
            if let ([Some(y), Some(states), Some(d_y)], Some(gates)) = (rows, gates.of_one_row()) {
                let d_h_n = d_h_n.filter(|_| !C::FACTS.passes_state()).map(|d_h_n| d_h_n.row(0));
                let first = history.first.map(|first| first.row(0));
                let bypass = &mut *bypass;
                let row = BackRow { steps, direction, hidden, gates, y, states, first, d_y, d_h_n, w_hh, bypass };
                back_row::<V, C>(isa, row, carry);
                true
            } else {
                false
            }
        }
        _ => false,
    };
    // Rows alive at the step before this one.
    let mut alive = 0;
    let left = if alone { 0 } else { steps };
    for n in (0..left).rev() {
        let t = direction.nth(n, steps);
        let live = y.lines().at(t).len();
        if live == 0 {
            continue;
        }
        // Nothing comes back from beyond the last step: a product over no k.
        let b = if alive == 0 { w_hh.without_rows() } else { w_hh };
        let joined = alive..live;
        let d_h_n = if C::FACTS.passes_state() { None } else { d_h_n.filter(|_| !joined.is_empty()) };
        let upstream = UpstreamGradient { d_y: d_y.step(t), d_h_n, joined };
        // Of a cell without one any matrix will do: to find the right one would take a sixth of a small step.
        let cell = if C::FACTS.has_cell_state() { history.states.step(t) } else { upstream.d_y };
        let operands = Operands { a: &*carry.now, rows, live, b };
        let (upstream, second) = match &mut projection {
            None => (Some(upstream), None),
            Some(BackProjection { projection: Projection { w_hr, operand }, d_h }) => {
                let mut project = BackProject { isa, upstream, d_h: d_h.step(t), operand, out };
                step_product::<V, _>(isa, chains, operands, args.kc, &mut tile, &mut project);
                (None, Some((&**operand, *w_hr)))
            }
        };
        let step = BackStep {
            isa,
            first: units.start,
            hidden: whole_panels(hidden),
            y: y.step(t),
            before: if C::FACTS.looks_back() { history.before(t) } else { Before::NONE },
            cell,
            gates: gates.step(t),
            next: &mut *carry.next,
            bypass: &mut *bypass,
        };
        let mut end = BackEnd { step, upstream, spill: &mut *spill, cell: PhantomData::<C> };
        match second {
            None => step_product::<V, _>(isa, chains, operands, args.kc, &mut tile, &mut end),
            Some((a, b)) => {
                let operands = Operands { a, rows, live, b };
                step_product::<V, _>(isa, chains_of(b), operands, args.kc, &mut tile, &mut end);
            }
        }
        if let Some(exchange) = &mut exchange {
            exchange(t, carry.next);
        }
        carry.turn();
        clear(history.resets.cut(direction, t), rows, mr, carry.now, bypass);
        // Rows that take no earlier step are done. Copy their gradient to the other operand as well: d_h_0 reads whichever
        // is current at the end.
        let next = n.checked_sub(1).map_or(live, |n| y.lines().at(direction.nth(n, steps)).len());
        copy(next..live, rows, mr, carry.now, carry.next);
        alive = live;
    }
    if let Some(exchange) = exchange
        && C::FACTS.looks_back()
    {
        // By way of an operand, which is what can be exchanged.
        copy_bypass(rows, mr, carry.next, bypass, |place, operand, row| operand[place].copy_from_slice(row));
        exchange(steps, carry.next);
        copy_bypass(rows, mr, carry.next, bypass, |place, operand, row| row.copy_from_slice(&operand[place]));
    }
    if let Some(FirstGradient { d_h_0, w_hh, d_h_n }) = args.first {
        let bypass = C::FACTS.passes_state().then_some(&*bypass);
        let without = if steps == 0 { 0 } else { y.lines().at(0).len() };
        let mut first = First { isa, d_h_0, out, bypass, d_h_n, without };
        let b = if without == 0 { w_hh.without_rows() } else { w_hh };
        let operands = Operands { a: carry.now, rows, live: rows, b };
        step_product::<V, _>(isa, chains, operands, args.kc, &mut tile, &mut first);
    }
}
