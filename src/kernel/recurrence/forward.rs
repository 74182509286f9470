//! Forward: what a step reads and writes, the epilogue that ends it in a cell, and the loop over the steps.

use std::marker::PhantomData;
use std::ops::Range;

use super::projection::Project;
use super::row::{Row, runs_alone};
use super::{Carry, Projection, chains_of, clear, step_product};
use crate::kernel::cell::{CellMath, CellOutput, CellStep, Registers, agrees};
use crate::kernel::layout::{GateColumns, LINE, PanelsRef, Place, whole_panels};
use crate::kernel::product::{Chains, Epilogue, Operands};
use crate::kernel::tile::{Start, Tiles, tile};
use crate::simd::Vector;
use crate::simd::tail::store;
use crate::tensor::{Direction, Lines, MatMut, Resets, SeqMut, SeqRef, SlotsMat, SlotsMut};

/// Runs a recurrence forward. With `rows` rows, H hidden units (H' rounded up to 16), of which U are computed (U' rounded
/// up), G gates, O outputs (H, or those of a projection):
pub(crate) struct Forward<'a, 'c> {
    pub(crate) direction: Direction,
    pub(crate) hidden: usize,
    /// The units that are computed: all, or a worker's, who begins at a multiple of 16.
    pub(crate) units: Range<usize>,
    /// Where the rows of the steps lie.
    pub(crate) lines: Lines<'a>,
    /// (the rows alive of each step, G·U'): bias and input part, the gates' panels alternating. Overwritten.
    pub(crate) z: &'a mut [f32],
    /// (O, G·U') in panels: the transpose of `weight_hh`, the gates' panels alternating.
    pub(crate) w_hh: PanelsRef<'a>,
    /// (G·U'), as the columns of `w_hh`: zeros, and what the last gate's recurrent part starts from where it stays apart
    /// from its input part.
    pub(crate) bias_apart: &'a [f32],
    /// (rows, G·U'): room for unfinished chains, where they are longer than `kc`.
    pub(crate) spill: &'a mut [f32],
    /// The state before the first step, in both operands; afterwards `now` has the state after the last.
    pub(crate) h: &'a mut Carry<'c>,
    /// (rows, H'): the cell state, where there is one: before the first step, afterwards after the last.
    pub(crate) c: &'a mut [f32],
    /// The output's projection.
    pub(crate) projection: Option<Projection<'a>>,
    /// (steps, rows, O): every state.
    pub(crate) y: Option<SeqMut<'a>>,
    /// Set when other workers compute the remaining units: called after each step with the step's index and the next
    /// operand, whose other columns it must fill in.
    pub(crate) exchange: Option<Exchange<'a>>,
    /// The next run's input, a step of which is fetched during each step of this run.
    pub(crate) ahead: Option<SeqRef<'a>>,
    /// What is kept for the backward pass.
    pub(crate) kept: Option<Kept<'a>>,
    /// Of the whole sequence, of which this is `steps` steps from `first` on.
    pub(crate) resets: Resets<'a>,
    pub(crate) first: usize,
    pub(crate) kc: usize,
}

/// Completes an operand at the end of a step.
pub(crate) type Exchange<'a> = &'a mut dyn FnMut(usize, &mut [f32]);

/// What a forward run keeps for the backward pass.
pub(crate) struct Kept<'a> {
    /// (steps, rows, values a unit · H'): gate by gate, a slot for each.
    pub(crate) gates: SlotsMut<'a>,
    /// (steps, rows, H'): every cell state, where there is one.
    pub(crate) cells: Option<SlotsMut<'a>>,
    /// (steps, rows, H'): what was projected, where there is a projection.
    pub(crate) m: Option<SeqMut<'a>>,
}

/// What the end of a forward step reads and writes.
struct Step<'a, I> {
    isa: I,
    /// Units that are computed, and the first of them; those of a tile are counted from there.
    units: usize,
    first: usize,
    /// H'.
    hidden: usize,
    /// (rows, G·U').
    z: &'a mut [f32],
    /// G·U'.
    width: usize,
    /// The first of four chains starts from z; a single one is added to it.
    chains: Chains,
    bias_apart: &'a [f32],
    spill: &'a mut [f32],
    now: &'a [f32],
    c: &'a mut [f32],
    gates: Option<SlotsMat<'a>>,
    cells: Option<SlotsMat<'a>>,
    target: CellTarget<'a>,
}

/// Where a cell's output goes.
enum CellTarget<'a> {
    /// To the sequence and to the next step's operand.
    State { y: Option<MatMut<'a>>, next: &'a mut [f32] },
    /// To the operand of the projection.
    Projection { operand: &'a mut [f32], kept: Option<MatMut<'a>> },
}

impl<I: Copy> Step<'_, I> {
    /// Runs the cell on some units from `unit` on, when the product's last gate for them is done and the others lie in z.
    /// `last` is that gate, or its recurrent part where that stays apart.
    #[inline(always)]
    fn cell<V: Vector<Isa = I>, C: CellMath<V>>(&mut self, at: Place, unit: usize, last: V) {
        let columns = GateColumns { gates: C::FACTS.gates };
        let mut a = C::Gates::all(last);
        for (gate, value) in a.as_mut().iter_mut().enumerate() {
            if gate + 1 < C::FACTS.gates || C::FACTS.last_apart {
                *value = V::load(self.isa, &self.z[at.row() * self.width + columns.of(gate, unit)..]);
            }
        }
        let own = self.first + unit;
        let (mut h, mut c) = (last, last);
        if C::FACTS.passes_state() {
            h = V::load(self.isa, &self.now[at.blocked(self.hidden, own)..]);
        }
        let cell = at.row() * self.hidden + own;
        if C::FACTS.has_cell_state() {
            c = V::load(self.isa, &self.c[cell..]);
        }
        let CellOutput { h, c, kept } = C::forward(CellStep { a, apart: last, h, c });
        if C::FACTS.has_cell_state() {
            c.store(&mut self.c[cell..]);
        }
        // What a cell never keeps is not even asked for: a step of a small layer is mostly such questions.
        if C::FACTS.needs_tape()
            && let Some(gates) = &mut self.gates
        {
            for (slot, value) in kept.as_ref().iter().enumerate() {
                value.store(gates.at(at.row(), slot, own));
            }
            if C::FACTS.has_cell_state()
                && let Some(cells) = &mut self.cells
            {
                c.store(cells.at(at.row(), 0, own));
            }
        }
        self.put(at, own, h);
    }

    /// Stores the cell's output.
    #[inline(always)]
    fn put<V: Vector>(&mut self, at: Place, unit: usize, h: V) {
        let blocked = at.blocked(self.hidden, unit);
        match &mut self.target {
            CellTarget::State { y, next } => {
                h.store(&mut next[blocked..]);
                if let Some(y) = y {
                    store(h, &mut y.row(at.row())[unit..]);
                }
            }
            CellTarget::Projection { operand, kept } => {
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

impl<V: Vector, C: CellMath<V>> Epilogue<V> for End<'_, C, V::Isa> {
    const ROW: Option<usize> = Some(C::FACTS.gates);

    #[inline(always)]
    fn initial(&self, col: usize) -> Start<'_> {
        match self.0.chains {
            Chains::Four => Start::Accumulate,
            Chains::One if C::FACTS.last_apart => Start::Columns(&self.0.bias_apart[col..]),
            Chains::One => Start::Zero,
        }
    }

    #[inline(always)]
    fn start(&self, at: Place, row: &mut [V]) {
        let step = &self.0;
        for (v, value) in row.iter_mut().enumerate() {
            let col = at.col + v * V::LANES;
            let (gate, _) = GateColumns { gates: C::FACTS.gates }.gate_and_unit(col);
            *value = if C::FACTS.stays_apart(gate) {
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
            value.store(&mut step.spill[at.row() * step.width + at.col + v * V::LANES..]);
        }
    }

    #[inline(always)]
    fn reload(&self, at: Place, row: &mut [V]) {
        let step = &self.0;
        for (v, value) in row.iter_mut().enumerate() {
            *value = V::load(step.isa, &step.spill[at.row() * step.width + at.col + v * V::LANES..]);
        }
    }

    #[inline(always)]
    fn finish(&mut self, at: Place, row: &[V]) {
        let step = &mut self.0;
        for (v, &acc) in row.iter().enumerate() {
            let col = at.col + v * V::LANES;
            let (gate, unit) = GateColumns { gates: C::FACTS.gates }.gate_and_unit(col);
            let whole = step.chains == Chains::Four || C::FACTS.stays_apart(gate);
            let acc = if whole { acc } else { acc.add(V::load(step.isa, &step.z[at.row() * step.width + col..])) };
            if gate + 1 < C::FACTS.gates {
                acc.store(&mut step.z[at.row() * step.width + col..]);
            } else if unit < step.units {
                step.cell::<V, C>(at, unit, acc);
            }
        }
    }
}

/// The entries of [`Kernels::recurrence`](crate::kernel::Kernels::recurrence): runs a recurrence forward with the cell `C`.
#[inline(always)]
pub(in crate::kernel) fn forward<V: Tiles, C: CellMath<V>>(isa: V::Isa, args: Forward<'_, '_>) {
    const { agrees::<V, C>() };
    let Forward { direction, hidden, units, lines, z, w_hh, bias_apart, spill, h, c, mut projection, .. } = args;
    let Forward { mut y, mut kept, mut exchange, .. } = args;
    let (steps, rows, out) = (lines.steps(), lines.rows(), w_hh.depth().len);
    let width = GateColumns { gates: C::FACTS.gates }.width(units.len());
    let (chains, mr) = (chains_of(w_hh), V::GEOMETRY.mr);
    let mut tile = tile::<V>(isa);
    let mut places = InZ::new(direction, lines);
    let mut left = steps;
    // Nobody else's units, rows or steps stand between.
    let alone = units == (0..hidden) && exchange.is_none() && projection.is_none() && args.resets.0.is_none();
    let kept_alone = kept.as_mut().is_none_or(|kept| kept.gates.of_one_row().is_some());
    if chains == Chains::Four
        && runs_alone::<V, C>(hidden)
        && alone
        && kept_alone
        && let Some(y) = y.as_mut().and_then(|y| y.of_one_row())
    {
        let (mut gates, mut cells) = (None, None);
        if let Some(kept) = &mut kept {
            (gates, cells) = (kept.gates.of_one_row(), kept.cells.as_mut().and_then(|cells| cells.of_one_row()));
        }
        let row = Row { steps, direction, hidden, z, w_hh, bias_apart, c: &mut *c, y, gates, cells };
        super::row::row::<V, C>(isa, row, h);
        left = 0;
    }
    for n in 0..left {
        let t = direction.nth(n, steps);
        let live = lines.at(t).len();
        if live == 0 {
            continue;
        }
        let first = places.next(live);
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
            Some(Kept { gates, cells, m }) if C::FACTS.needs_tape() => {
                (Some(gates.step(t)), cells.as_mut().map(|cells| cells.step(t)), m.as_mut().map(|m| m.step(t)))
            }
            _ => (None, None, None),
        };
        let target = match &mut projection {
            Some(projection) => CellTarget::Projection { operand: &mut *projection.operand, kept: m },
            None => CellTarget::State { y: y.as_mut().map(|y| y.step(t)), next: &mut *h.next },
        };
        let step = Step {
            isa,
            units: units.len(),
            first: units.start,
            hidden: whole_panels(hidden),
            z: &mut z[first * width..][..live * width],
            width,
            chains,
            bias_apart,
            spill: &mut *spill,
            now: &*h.now,
            c: &mut *c,
            gates,
            cells,
            target,
        };
        let operands = Operands { a: h.now, rows, live, b: w_hh };
        step_product::<V, _>(isa, chains, operands, args.kc, &mut tile, &mut End(step, PhantomData::<C>));
        if let Some(Projection { w_hr, operand }) = &projection {
            let mut project = Project { isa, y: y.as_mut().map(|y| y.step(t)), next: &mut *h.next, out };
            let operands = Operands { a: operand, rows, live, b: *w_hr };
            step_product::<V, _>(isa, chains_of(*w_hr), operands, args.kc, &mut tile, &mut project);
        }
        if let Some(exchange) = &mut exchange {
            exchange(args.first + t, h.next);
        }
        h.turn();
    }
}

/// Where the rows of the steps lie in z, step by step in the order in which they are run.
enum InZ {
    /// Where the next step's begin.
    Up(usize),
    /// Where they end.
    Down(usize),
}

impl InZ {
    #[inline(always)]
    fn new(direction: Direction, lines: Lines<'_>) -> Self {
        match direction {
            Direction::Forward => InZ::Up(0),
            Direction::Reverse => InZ::Down(lines.total()),
        }
    }

    /// The first row of the next step, which has `live` rows.
    #[inline(always)]
    fn next(&mut self, live: usize) -> usize {
        match self {
            InZ::Up(begin) => {
                *begin += live;
                *begin - live
            }
            InZ::Down(end) => {
                *end -= live;
                *end
            }
        }
    }
}

#[inline(always)]
fn fetch<V: Vector>(isa: V::Isa, row: &[f32]) {
    for line in row.chunks(LINE) {
        V::prefetch(isa, line);
    }
}
