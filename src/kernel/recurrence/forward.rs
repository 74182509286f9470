//! Forward: what a step reads and writes, the epilogue that ends it in a cell, and the loop over the steps.

use std::marker::PhantomData;
use std::ops::Range;

use super::{Carry, Projection, clear, is_short, step_product};
use crate::kernel::gemm::{Epilogue, Operands, store};
use crate::kernel::layout::{KB, PanelsRef, group_rows, round_up};
use crate::kernel::tile::{From, Place, Tiles, tile};
use crate::simd::Vector;
use crate::tensor::{Direction, Lines, MatMut, Resets, SeqMut, SeqRef};

/// Runs a recurrence forward. With `rows` rows, H hidden units (H' rounded up to 16), of which U are computed (U' rounded
/// up), G gates, P outputs:
pub(crate) struct Forward<'a, 'c> {
    pub(crate) direction: Direction,
    pub(crate) hidden: usize,
    /// The units that are computed: all, or a worker's, who begins at a multiple of 16.
    pub(crate) units: Range<usize>,
    /// Where the rows of the steps lie.
    pub(crate) lines: Lines<'a>,
    /// (the rows alive of each step, G·U'): bias and input part, the gates' panels alternating. Overwritten.
    pub(crate) z: &'a mut [f32],
    /// (P, G·U') in panels: the transpose of `weight_hh`, the gates' panels alternating.
    pub(crate) w_hh: PanelsRef<'a>,
    /// (G·U'), as the columns of `w_hh`: zeros, and what the last gate's recurrent part starts from where it stays apart
    /// from its input part.
    pub(crate) bias_apart: &'a [f32],
    /// (rows, G·U'): room for unfinished chains, where they are longer than `kc`.
    pub(crate) aside: &'a mut [f32],
    /// The state before the first step, in both operands; afterwards `now` has the state after the last.
    pub(crate) h: &'a mut Carry<'c>,
    /// (rows, H'): the cell state, where there is one: before the first step, afterwards after the last.
    pub(crate) c: &'a mut [f32],
    /// The output's projection.
    pub(crate) projection: Option<Projection<'a>>,
    /// (steps, rows, P): every state.
    pub(crate) y: Option<SeqMut<'a>>,
    /// Where others compute the other units: called after each step with it and the next step's operand, in which their
    /// part is still missing.
    pub(crate) exchange: Option<Exchange<'a>>,
    /// What is read after this run, step by step as this run's: fetched meanwhile.
    pub(crate) ahead: Option<SeqRef<'a>>,
    /// What is kept for the way back.
    pub(crate) kept: Option<Kept<'a>>,
    /// Of the whole sequence, of which this is `steps` steps from `first` on.
    pub(crate) resets: Resets<'a>,
    pub(crate) first: usize,
    pub(crate) kc: usize,
}

/// Completes an operand at the end of a step.
pub(crate) type Exchange<'a> = &'a mut dyn FnMut(usize, &mut [f32]);

/// What a forward run keeps for the way back.
pub(crate) struct Kept<'a> {
    /// (steps, rows, values a unit · H'): gate by gate.
    pub(crate) gates: SeqMut<'a>,
    /// (steps, rows, H'): every cell state, where there is one.
    pub(crate) cells: Option<SeqMut<'a>>,
    /// (steps, rows, H'): what was projected, where there is a projection.
    pub(crate) m: Option<SeqMut<'a>>,
}

/// A cell at the end of a forward step.
pub(crate) trait Cell<V: Vector> {
    const GATES: usize;
    /// Whether the last gate's recurrent part is not added to its input part, but handed to the cell by itself.
    const LAST_APART: bool = false;

    /// Receives the last gate of some units from `unit` on, the others being done.
    fn finish(step: &mut Step<'_, V::Isa>, at: Place, unit: usize, last: V);
}

/// What the end of a forward step reads and writes.
pub(crate) struct Step<'a, I> {
    pub(crate) isa: I,
    /// Units that are computed, and the first of them; a cell counts from there.
    units: usize,
    first: usize,
    /// H'.
    hidden: usize,
    /// (rows, G·U').
    z: &'a mut [f32],
    /// G·U'.
    width: usize,
    /// Whether the chains are four, of which the first starts from z.
    short: bool,
    bias_apart: &'a [f32],
    aside: &'a mut [f32],
    now: &'a [f32],
    c: &'a mut [f32],
    gates: Option<MatMut<'a>>,
    cells: Option<MatMut<'a>>,
    target: Target<'a>,
}

/// Where a cell's output goes.
enum Target<'a> {
    /// To the sequence and to the next step's operand.
    State { y: Option<MatMut<'a>>, next: &'a mut [f32] },
    /// To the operand of the projection.
    Projection { operand: &'a mut [f32], kept: Option<MatMut<'a>> },
}

impl<I: Copy> Step<'_, I> {
    /// A gate before its activation.
    #[inline(always)]
    pub(crate) fn gate<V: Vector<Isa = I>>(&self, at: Place, gates: usize, gate: usize, unit: usize) -> V {
        let col = (unit / KB * gates + gate) * KB + unit % KB;
        V::load(self.isa, &self.z[at.row() * self.width + col..])
    }

    /// The state before the step.
    #[inline(always)]
    pub(crate) fn state_before<V: Vector<Isa = I>>(&self, at: Place, unit: usize) -> V {
        V::load(self.isa, &self.now[at.blocked(self.hidden, self.first + unit)..])
    }

    /// The cell state.
    #[inline(always)]
    pub(crate) fn cell_mut(&mut self, at: Place, unit: usize) -> &mut [f32] {
        &mut self.c[at.row() * self.hidden..][self.first + unit..self.hidden]
    }

    /// Whether there is a way back.
    #[inline(always)]
    pub(crate) fn keeps(&self) -> bool {
        self.gates.is_some()
    }

    /// Keeps a value for the way back.
    #[inline(always)]
    pub(crate) fn keep<V: Vector>(&mut self, at: Place, slot: usize, unit: usize, value: V) {
        if let Some(gates) = &mut self.gates {
            value.store(&mut gates.row(at.row())[slot * self.hidden + self.first + unit..]);
        }
    }

    /// Keeps the cell state for the way back.
    #[inline(always)]
    pub(crate) fn keep_cell<V: Vector>(&mut self, at: Place, unit: usize, value: V) {
        if let Some(cells) = &mut self.cells {
            value.store(&mut cells.row(at.row())[self.first + unit..]);
        }
    }

    /// Receives the cell's output.
    #[inline(always)]
    pub(crate) fn put<V: Vector>(&mut self, at: Place, unit: usize, h: V) {
        let unit = self.first + unit;
        let blocked = at.blocked(self.hidden, unit);
        match &mut self.target {
            Target::State { y, next } => {
                h.store(&mut next[blocked..]);
                if let Some(y) = y {
                    store(h, &mut y.row(at.row())[unit..]);
                }
            }
            Target::Projection { operand, kept } => {
                h.store(&mut operand[blocked..]);
                if let Some(kept) = kept {
                    h.store(&mut kept.row(at.row())[unit..]);
                }
            }
        }
    }
}

/// The epilogue of a forward step.
struct End<'a, C, I>(Step<'a, I>, PhantomData<C>);

/// Gate and first unit of the register at column `col`.
#[inline(always)]
fn gate_and_unit(gates: usize, col: usize) -> (usize, usize) {
    let panel = col / KB;
    (panel % gates, panel / gates * KB + col % KB)
}

impl<V: Vector, C: Cell<V>> Epilogue<V> for End<'_, C, V::Isa> {
    const ROW: bool = C::GATES == 1;

    #[inline(always)]
    fn from(&self, col: usize) -> From<'_> {
        match (self.0.short, C::LAST_APART) {
            (true, _) => From::Tile,
            (false, true) => From::Columns(&self.0.bias_apart[col..]),
            (false, false) => From::Zero,
        }
    }

    #[inline(always)]
    fn start(&self, at: Place, row: &mut [V]) {
        let step = &self.0;
        for (v, value) in row.iter_mut().enumerate() {
            let col = at.col + v * V::LANES;
            let (gate, _) = gate_and_unit(C::GATES, col);
            *value = if C::LAST_APART && gate + 1 == C::GATES {
                V::load(step.isa, &step.bias_apart[col..])
            } else {
                V::load(step.isa, &step.z[at.row() * step.width + col..])
            };
        }
    }

    #[inline(always)]
    fn spill(&mut self, at: Place, row: &[V]) {
        let step = &mut self.0;
        for (v, value) in row.iter().enumerate() {
            value.store(&mut step.aside[at.row() * step.width + at.col + v * V::LANES..]);
        }
    }

    #[inline(always)]
    fn reload(&self, at: Place, row: &mut [V]) {
        let step = &self.0;
        for (v, value) in row.iter_mut().enumerate() {
            *value = V::load(step.isa, &step.aside[at.row() * step.width + at.col + v * V::LANES..]);
        }
    }

    #[inline(always)]
    fn finish(&mut self, at: Place, row: &[V]) {
        let step = &mut self.0;
        for (v, &acc) in row.iter().enumerate() {
            let col = at.col + v * V::LANES;
            let (gate, unit) = gate_and_unit(C::GATES, col);
            let whole = step.short || C::LAST_APART && gate + 1 == C::GATES;
            let acc = if whole { acc } else { acc.add(V::load(step.isa, &step.z[at.row() * step.width + col..])) };
            if gate + 1 < C::GATES {
                acc.store(&mut step.z[at.row() * step.width + col..]);
            } else if unit < step.units {
                C::finish(step, at, unit, acc);
            }
        }
    }
}

/// Runs a recurrence forward with the cell `C`.
#[inline(always)]
pub(in crate::kernel) fn run_forward<V: Tiles, C: Cell<V>>(isa: V::Isa, args: Forward<'_, '_>) {
    let Forward { direction, hidden, units, lines, z, w_hh, bias_apart, aside, h, c, mut projection, .. } = args;
    let Forward { mut y, mut kept, mut exchange, .. } = args;
    let (steps, rows, out) = (lines.steps(), lines.rows(), w_hh.depth().len);
    let (width, short, mr) = (C::GATES * round_up(units.len()), is_short(w_hh), group_rows(V::LANES));
    let mut tile = tile::<V>(isa);
    // Where the rows of the next step end in z, or begin.
    let mut edge = match direction {
        Direction::Forward => 0,
        Direction::Reverse => lines.total(),
    };
    for n in 0..steps {
        let t = direction.nth(n, steps);
        let live = lines.at(t).len();
        if live == 0 {
            continue;
        }
        let first = match direction {
            Direction::Forward => {
                edge += live;
                edge - live
            }
            Direction::Reverse => {
                edge -= live;
                edge
            }
        };
        // The memory is idle while the FMAs are not: what is written at the end of a tile is fetched by then, and what is
        // read after this run.
        if live >= mr {
            if let Some(y) = &mut y {
                let y = y.step(t);
                (0..live).for_each(|row| fetch::<V>(isa, y.read(row)));
            }
            if let Some(ahead) = args.ahead.filter(|ahead| n < ahead.lines().steps()) {
                let x = ahead.step(n);
                (0..x.shape()[0]).for_each(|row| fetch::<V>(isa, x.row(row)));
            }
        }
        clear(args.resets.cut(direction, args.first + t), rows, mr, h.now, c);
        let (gates, cells, m) = match &mut kept {
            Some(Kept { gates, cells, m }) => {
                (Some(gates.step(t)), cells.as_mut().map(|cells| cells.step(t)), m.as_mut().map(|m| m.step(t)))
            }
            None => (None, None, None),
        };
        let target = match &mut projection {
            Some(projection) => Target::Projection { operand: &mut *projection.operand, kept: m },
            None => Target::State { y: y.as_mut().map(|y| y.step(t)), next: &mut *h.next },
        };
        let step = Step {
            isa,
            units: units.len(),
            first: units.start,
            hidden: round_up(hidden),
            z: &mut z[first * width..][..live * width],
            width,
            short,
            bias_apart,
            aside: &mut *aside,
            now: &*h.now,
            c: &mut *c,
            gates,
            cells,
            target,
        };
        let operands = Operands { a: h.now, rows, live, b: w_hh };
        step_product::<V, _>(isa, short, operands, args.kc, &mut tile, &mut End(step, PhantomData::<C>));
        if let Some(Projection { w_hr, operand }) = &projection {
            let mut project = Project { isa, y: y.as_mut().map(|y| y.step(t)), next: &mut *h.next, out };
            let operands = Operands { a: operand, rows, live, b: *w_hr };
            step_product::<V, _>(isa, is_short(*w_hr), operands, args.kc, &mut tile, &mut project);
        }
        if let Some(exchange) = &mut exchange {
            exchange(args.first + t, h.next);
        }
        h.turn();
    }
}

#[inline(always)]
fn fetch<V: Vector>(isa: V::Isa, row: &[f32]) {
    for line in row.chunks(KB) {
        V::prefetch(isa, line);
    }
}

/// The epilogue of a forward projection: h_t.
struct Project<'a, I> {
    isa: I,
    y: Option<MatMut<'a>>,
    /// Unfinished sums, then h_t.
    next: &'a mut [f32],
    out: usize,
}

impl<V: Vector> Epilogue<V> for Project<'_, V::Isa> {
    #[inline(always)]
    fn from(&self, _: usize) -> From<'_> {
        From::Zero
    }

    #[inline(always)]
    fn start(&self, _: Place, row: &mut [V]) {
        row.fill(V::splat(self.isa, 0.0));
    }

    #[inline(always)]
    fn spill(&mut self, at: Place, row: &[V]) {
        for (v, value) in row.iter().enumerate() {
            value.store(&mut self.next[at.blocked(round_up(self.out), at.col + v * V::LANES)..]);
        }
    }

    #[inline(always)]
    fn reload(&self, at: Place, row: &mut [V]) {
        for (v, value) in row.iter_mut().enumerate() {
            *value = V::load(self.isa, &self.next[at.blocked(round_up(self.out), at.col + v * V::LANES)..]);
        }
    }

    #[inline(always)]
    fn finish(&mut self, at: Place, row: &[V]) {
        for (v, &h) in row.iter().enumerate() {
            let col = at.col + v * V::LANES;
            h.store(&mut self.next[at.blocked(round_up(self.out), col)..]);
            if let Some(y) = &mut self.y {
                store(h, &mut y.row(at.row())[col..]);
            }
        }
    }
}
