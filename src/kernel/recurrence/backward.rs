//! Backward: what a step reads and writes, the epilogues of its products, and the loop over the steps.

use std::marker::PhantomData;
use std::ops::Range;

use super::{Carry, Projection, clear, copy, is_short, step_product};
use crate::kernel::gemm::{Epilogue, Operands, load, load_row, store_row};
use crate::kernel::layout::{PanelsRef, group_rows, round_up};
use crate::kernel::tile::{Place, Tiles, tile};
use crate::simd::Vector;
use crate::tensor::{Before, Direction, History, Mat, MatMut, SeqMut, SeqRef};

/// Runs a recurrence backward. With `rows` rows, H hidden units (H' rounded up to 16), G gates, P outputs:
pub(crate) struct Backward<'a, 'c> {
    /// Of the forward run.
    pub(crate) direction: Direction,
    pub(crate) hidden: usize,
    /// (steps, rows, values a unit · H'): what the forward run kept; receives the gradients before the activations.
    pub(crate) gates: SeqMut<'a>,
    /// (steps, rows, P): every state.
    pub(crate) y: SeqRef<'a>,
    /// The states before each step that the cell asks for: h of a GRU, c of an LSTM.
    pub(crate) history: History<'a>,
    /// (steps, rows, P): the gradient that reaches each state from above.
    pub(crate) d_y: SeqRef<'a>,
    /// (rows, P): the gradient that reaches the last state besides.
    pub(crate) d_h_n: Option<Mat<'a>>,
    /// (G·H, P) in panels: `weight_hh`.
    pub(crate) w_hh: PanelsRef<'a>,
    /// The way back through the projection.
    pub(crate) projection: Option<BackProjection<'a>>,
    /// Room for the carried gradients of one step and of the next, (rows, G·H').
    pub(crate) carry: &'a mut Carry<'c>,
    /// (rows, H'): what reaches the state before (GRU) or the cell state before (LSTM) beside the product; at first the
    /// gradient of the last one, afterwards that of the first.
    pub(crate) direct: &'a mut [f32],
    /// (rows, widest of H' and P'): room for unfinished sums.
    pub(crate) aside: &'a mut [f32],
    /// (rows, P): receives the gradient of the first state, where it is wanted.
    pub(crate) d_h_0: Option<&'a mut [f32]>,
    pub(crate) kc: usize,
}

/// What the way back through a projection takes.
pub(crate) struct BackProjection<'a> {
    /// W_hr, and room for d_h of a step.
    pub(crate) projection: Projection<'a>,
    /// (steps, rows, P'): receives every d_h.
    pub(crate) d_h: SeqMut<'a>,
}

/// A cell at the end of a backward step.
pub(crate) trait BackCell<V: Vector> {
    /// Gradients a unit that go to the state before by way of W_hh.
    const CARRIED: usize;
    /// Whether `direct` is a part of d_h.
    const DIRECT_STATE: bool = false;
    /// Whether it asks for the state before the step.
    const LOOKS_BACK: bool = true;

    /// Receives the gradient at the output of some units from `unit` on.
    fn finish(step: &mut BackStep<'_, V::Isa>, at: Place, unit: usize, d_h: V);
}

/// What the end of a backward step reads and writes.
pub(crate) struct BackStep<'a, I> {
    pub(crate) isa: I,
    hidden: usize,
    carried: usize,
    /// (rows, P).
    pub(crate) y: Mat<'a>,
    before: Before<'a>,
    /// (rows, H'): the cell state.
    cell: Mat<'a>,
    gates: MatMut<'a>,
    next: &'a mut [f32],
    direct: &'a mut [f32],
}

impl<I: Copy> BackStep<'_, I> {
    /// What the forward run kept.
    #[inline(always)]
    pub(crate) fn kept<V: Vector<Isa = I>>(&self, at: Place, slot: usize, unit: usize) -> V {
        V::load(self.isa, &self.gates.read(at.row())[slot * round_up(self.hidden) + unit..])
    }

    /// The state before the step, of the kind that the cell asks for; zeros where there is none.
    #[inline(always)]
    pub(crate) fn state_before<V: Vector<Isa = I>>(&self, at: Place, unit: usize) -> V {
        match self.before.row(at.row()) {
            Some(row) => load(self.isa, &row[unit..]),
            None => V::splat(self.isa, 0.0),
        }
    }

    /// The cell state after the step.
    #[inline(always)]
    pub(crate) fn cell<V: Vector<Isa = I>>(&self, at: Place, unit: usize) -> V {
        load(self.isa, &self.cell.row(at.row())[unit..])
    }

    /// What reached the state beside the product.
    #[inline(always)]
    pub(crate) fn direct<V: Vector<Isa = I>>(&self, at: Place, unit: usize) -> V {
        V::load(self.isa, &self.direct[at.row() * round_up(self.hidden) + unit..])
    }

    /// What reaches the state before beside the product.
    #[inline(always)]
    pub(crate) fn set_direct<V: Vector>(&mut self, at: Place, unit: usize, value: V) {
        value.store(&mut self.direct[at.row() * round_up(self.hidden) + unit..]);
    }

    /// Puts a gradient in the place of what was kept.
    #[inline(always)]
    pub(crate) fn put<V: Vector>(&mut self, at: Place, slot: usize, unit: usize, value: V) {
        value.store(&mut self.gates.row(at.row())[slot * round_up(self.hidden) + unit..]);
    }

    /// Hands a gradient to the step before.
    #[inline(always)]
    pub(crate) fn carry<V: Vector>(&mut self, at: Place, slot: usize, unit: usize, value: V) {
        let width = round_up(self.hidden);
        value.store(&mut self.next[at.blocked(self.carried * width, slot * width + unit)..]);
    }
}

/// What the gradient of a state starts from.
struct Upstream<'a> {
    /// (rows, P).
    d_y: Mat<'a>,
    /// (rows, P): of the rows that `joined`, whose last step this is.
    d_h_n: Option<Mat<'a>>,
    joined: Range<usize>,
}

impl Upstream<'_> {
    #[inline(always)]
    fn start<V: Vector>(&self, isa: V::Isa, at: Place, row: &mut [V]) {
        load_row(isa, &self.d_y.row(at.row())[at.col..], row);
        if let Some(d_h_n) = self.d_h_n
            && self.joined.contains(&at.row())
        {
            let d_h_n = &d_h_n.row(at.row())[at.col..];
            for (v, value) in row.iter_mut().enumerate() {
                *value = value.add(load(isa, &d_h_n[v * V::LANES..]));
            }
        }
    }
}

/// The epilogue of a backward step.
struct BackEnd<'a, C, I> {
    step: BackStep<'a, I>,
    /// Nothing behind a projection, whose product is the whole gradient.
    upstream: Option<Upstream<'a>>,
    /// (rows, `aside_width`).
    aside: &'a mut [f32],
    cell: PhantomData<C>,
}

impl<V: Vector, C: BackCell<V>> Epilogue<V> for BackEnd<'_, C, V::Isa> {
    const ROW: bool = C::CARRIED == 1;

    #[inline(always)]
    fn start(&self, at: Place, row: &mut [V]) {
        match &self.upstream {
            Some(upstream) => upstream.start(self.step.isa, at, row),
            None => row.fill(V::splat(self.step.isa, 0.0)),
        }
        if C::DIRECT_STATE {
            for (v, value) in row.iter_mut().enumerate() {
                *value = value.add(self.step.direct(at, at.col + v * V::LANES));
            }
        }
    }

    #[inline(always)]
    fn spill(&mut self, at: Place, row: &[V]) {
        store_row(row, &mut self.aside[at.row() * round_up(self.step.hidden)..][at.col..round_up(self.step.hidden)]);
    }

    #[inline(always)]
    fn reload(&self, at: Place, row: &mut [V]) {
        let width = round_up(self.step.hidden);
        load_row(self.step.isa, &self.aside[at.row() * width..][at.col..width], row);
    }

    #[inline(always)]
    fn finish(&mut self, at: Place, row: &[V]) {
        for (v, &d_h) in row.iter().enumerate() {
            C::finish(&mut self.step, at, at.col + v * V::LANES, d_h);
        }
    }
}

/// The epilogue of the product that a projection's way back begins with: d_h_t.
struct BackProject<'a, I> {
    isa: I,
    upstream: Upstream<'a>,
    /// (rows, P').
    d_h: MatMut<'a>,
    operand: &'a mut [f32],
    out: usize,
}

impl<V: Vector> Epilogue<V> for BackProject<'_, V::Isa> {
    #[inline(always)]
    fn start(&self, at: Place, row: &mut [V]) {
        self.upstream.start(self.isa, at, row);
    }

    #[inline(always)]
    fn spill(&mut self, at: Place, row: &[V]) {
        store_row(row, &mut self.d_h.row(at.row())[at.col..]);
    }

    #[inline(always)]
    fn reload(&self, at: Place, row: &mut [V]) {
        load_row(self.isa, &self.d_h.read(at.row())[at.col..], row);
    }

    #[inline(always)]
    fn finish(&mut self, at: Place, row: &[V]) {
        for (v, &d_h) in row.iter().enumerate() {
            let col = at.col + v * V::LANES;
            d_h.store(&mut self.operand[at.blocked(round_up(self.out), col)..]);
            d_h.store(&mut self.d_h.row(at.row())[col..]);
        }
    }
}

/// The gradient of the first state: a product, what reaches it besides, and nothing else.
struct First<'a, I> {
    isa: I,
    d_h_0: &'a mut [f32],
    out: usize,
    /// (rows, H'): a part of it, where the cell says so.
    direct: Option<&'a [f32]>,
    /// (rows, P): the whole of it in rows without a step, those from `without` on.
    d_h_n: Option<Mat<'a>>,
    without: usize,
}

impl<V: Vector> Epilogue<V> for First<'_, V::Isa> {
    #[inline(always)]
    fn start(&self, at: Place, row: &mut [V]) {
        match (self.direct, self.d_h_n) {
            (Some(direct), _) => load_row(self.isa, &direct[at.row() * round_up(self.out)..][at.col..], row),
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

/// Runs a recurrence backward with the cell `C`.
#[inline(always)]
pub(in crate::kernel) fn run_backward<V: Tiles, C: BackCell<V>>(isa: V::Isa, args: Backward<'_, '_>) {
    let Backward { direction, hidden, mut gates, y, history, d_y, d_h_n, w_hh, carry, direct, aside, .. } = args;
    let mut projection = args.projection;
    let [steps, rows, out] = y.shape();
    let (short, mr) = (is_short(w_hh), group_rows(V::LANES));
    if rows == 0 {
        return;
    }
    carry.now.fill(0.0);
    carry.next.fill(0.0);
    let mut tile = tile::<V>(isa);
    // Rows alive at the step before this one.
    let mut alive = 0;
    for n in (0..steps).rev() {
        let t = direction.nth(n, steps);
        let live = y.lines().at(t).len();
        if live == 0 {
            continue;
        }
        // Nothing comes back from beyond the last step: a product over no k.
        let b = if alive == 0 { w_hh.without_rows() } else { w_hh };
        let upstream = Upstream {
            d_y: d_y.step(t),
            d_h_n: d_h_n.filter(|_| !C::DIRECT_STATE && alive < live),
            joined: alive..live,
        };
        let cell = history.states.step(t);
        let operands = Operands { a: &*carry.now, rows, live, b };
        let (upstream, second) = match &mut projection {
            None => (Some(upstream), None),
            Some(BackProjection { projection: Projection { w_hr, operand }, d_h }) => {
                let mut project = BackProject { isa, upstream, d_h: d_h.step(t), operand, out };
                step_product::<V, _>(isa, short, operands, args.kc, &mut tile, &mut project);
                (None, Some((&**operand, *w_hr)))
            }
        };
        let step = BackStep {
            isa,
            hidden,
            carried: C::CARRIED,
            y: y.step(t),
            before: if C::LOOKS_BACK { history.before(t) } else { Before::NONE },
            cell,
            gates: gates.step(t),
            next: &mut *carry.next,
            direct: &mut *direct,
        };
        let mut end = BackEnd { step, upstream, aside: &mut *aside, cell: PhantomData::<C> };
        match second {
            None => step_product::<V, _>(isa, short, operands, args.kc, &mut tile, &mut end),
            Some((a, b)) => {
                let operands = Operands { a, rows, live, b };
                step_product::<V, _>(isa, is_short(b), operands, args.kc, &mut tile, &mut end);
            }
        }
        carry.turn();
        clear(history.resets.cut(direction, t), rows, mr, carry.now, direct);
        // Rows whose first step this was: their gradient is to be found in either operand in the end.
        let next = n.checked_sub(1).map_or(live, |n| y.lines().at(direction.nth(n, steps)).len());
        copy(next..live, rows, mr, carry.now, carry.next);
        alive = live;
    }
    if let Some(d_h_0) = args.d_h_0 {
        let direct = C::DIRECT_STATE.then_some(&*direct);
        let without = if steps == 0 { 0 } else { y.lines().at(0).len() };
        let mut first = First { isa, d_h_0, out, direct, d_h_n, without };
        let b = if without == 0 { w_hh.without_rows() } else { w_hh };
        let operands = Operands { a: carry.now, rows, live: rows, b };
        step_product::<V, _>(isa, short, operands, args.kc, &mut tile, &mut first);
    }
}
