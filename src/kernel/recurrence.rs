//! A recurrence over all steps of some rows of a batch, forward and backward, for any cell.
//!
//! ```text
//! forward:   for each step:                 z_t = z_t + h_{t-1}·W_hhᵀ         z_t = bias + x_t·W_ihᵀ, made before
//!                                           (h_t, c_t) = cell(z_t, h_{t-1}, c_{t-1})
//! backward:  for each step, last first:     d_h_t = d_y_t + d_z_{t+1}·W_hh
//!                                           d_z_t = cell'(d_h_t)
//! ```
//!
//! Each step is one product whose epilogue is the cell: gates are computed while the tile is in registers, and the result
//! goes to two places, the caller's row-major sequence and the blocked operand of the next step's product. With a
//! projection a step is two products: the cell's output m_t goes to the blocked operand of the second, h_t = m_t·W_hrᵀ.
//!
//! 1. The gates' columns alternate by panels of 16 units, so that a few neighbouring registers complete a unit: all
//!    gates but the last go to z, and when the last is done they are read back from L1. A tile may begin and end at any
//!    gate, so it is as wide as the registers allow whatever the number of gates.
//! 2. The recurrent part is a chain of its own from zero, and z_t joins it at the end: a chain that starts from the input
//!    part rounds every sum to that part's size (RNN 96→160 over 50 steps: an RMS of 1.3e-7 from f64, not 8.6e-8).
//!    Four chains are short enough to start from it.
//! 3. The rows of a ragged batch lie longest first: a step takes the first rows, those alive. Both operands of the
//!    carry hold the first state of the rows that are not alive yet, and keep the last of those that no longer are.
//! 4. No closures and no adaptors touch a register: outside of the `#[target_feature]` function they are not inlined, and
//!    each load becomes a call (`[0, 1, 2].map(|gate| load(..))` took 4 % of an LSTM of 128 units).

use std::marker::PhantomData;
use std::ops::Range;

use super::gemm::{Epilogue, Operands, SHORT, load, load_row, product, row_product, store, store_row};
use super::layout::{KB, PanelsRef, group_rows, groups, round_up};
use super::tile::{Blocked, From, Place, Tile, Tiles, tile};
use crate::simd::Vector;
use crate::tensor::{Before, Cut, Direction, History, Mat, MatMut, Resets, SeqMut, SeqRef};

/// The operand a recurrence hands from step to step, in blocked groups: this step reads `now` and writes `next`.
pub(crate) struct Carry<'a> {
    /// (rows, width), blocked.
    pub(crate) now: &'a mut [f32],
    /// The same shape.
    pub(crate) next: &'a mut [f32],
}

impl Carry<'_> {
    fn turn(&mut self) {
        std::mem::swap(&mut self.now, &mut self.next);
    }
}

/// Runs a recurrence forward. With `rows` rows, H hidden units (H' rounded up to 16), G gates, P outputs:
pub(crate) struct Forward<'a, 'c> {
    pub(crate) direction: Direction,
    pub(crate) hidden: usize,
    /// (the rows alive of each step, G·H'): bias and input part, the gates' panels alternating. Overwritten.
    pub(crate) z: &'a mut [f32],
    /// (P, G·H') in panels: the transpose of `weight_hh`, the gates' panels alternating.
    pub(crate) w_hh: PanelsRef<'a>,
    /// (G·H'), as the columns of `w_hh`: zeros, and what the last gate's recurrent part starts from where it stays apart
    /// from its input part.
    pub(crate) bias_apart: &'a [f32],
    /// (rows, G·H'): room for unfinished chains, where they are longer than `kc`.
    pub(crate) aside: &'a mut [f32],
    /// The state before the first step, in both operands; afterwards `now` has the state after the last.
    pub(crate) h: &'a mut Carry<'c>,
    /// (rows, H'): the cell state, where there is one: before the first step, afterwards after the last.
    pub(crate) c: &'a mut [f32],
    /// The output's projection.
    pub(crate) projection: Option<Projection<'a>>,
    /// (steps, rows, P): every state.
    pub(crate) y: SeqMut<'a>,
    /// What is kept for the way back.
    pub(crate) kept: Option<Kept<'a>>,
    /// Of the whole sequence, of which this is `steps` steps from `first` on.
    pub(crate) resets: Resets<'a>,
    pub(crate) first: usize,
    pub(crate) kc: usize,
}

/// W_hr and the operand of its product.
pub(crate) struct Projection<'a> {
    /// Forward (H, P), its transpose; backward (P, H).
    pub(crate) w_hr: PanelsRef<'a>,
    /// Room for (rows, k of `w_hr`), blocked.
    pub(crate) operand: &'a mut [f32],
}

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
    hidden: usize,
    /// (rows, G·H').
    z: &'a mut [f32],
    /// G·H'.
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
    State { y: MatMut<'a>, next: &'a mut [f32] },
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
        V::load(self.isa, &self.now[at.blocked(round_up(self.hidden), unit)..])
    }

    /// The cell state.
    #[inline(always)]
    pub(crate) fn cell_mut(&mut self, at: Place, unit: usize) -> &mut [f32] {
        &mut self.c[at.row() * round_up(self.hidden)..][unit..round_up(self.hidden)]
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
            value.store(&mut gates.row(at.row())[slot * round_up(self.hidden) + unit..]);
        }
    }

    /// Keeps the cell state for the way back.
    #[inline(always)]
    pub(crate) fn keep_cell<V: Vector>(&mut self, at: Place, unit: usize, value: V) {
        if let Some(cells) = &mut self.cells {
            value.store(&mut cells.row(at.row())[unit..]);
        }
    }

    /// Receives the cell's output.
    #[inline(always)]
    pub(crate) fn put<V: Vector>(&mut self, at: Place, unit: usize, h: V) {
        let blocked = at.blocked(round_up(self.hidden), unit);
        match &mut self.target {
            Target::State { y, next } => {
                h.store(&mut next[blocked..]);
                store(h, &mut y.row(at.row())[unit..]);
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
            } else if unit < step.hidden {
                C::finish(step, at, unit, acc);
            }
        }
    }
}

/// The product of one step: over few k, four chains an element. The layer's size decides, not the product's, so that a
/// step's bits do not depend on where in a sequence it stands.
#[inline(always)]
fn step_product<V: Tiles, E: Epilogue<V>>(
    isa: V::Isa,
    short: bool,
    operands: Operands<'_>,
    kc: usize,
    tile: &mut Tile<V>,
    epilogue: &mut E,
) {
    if E::ROW && short && operands.rows == 1 {
        row_product(isa, operands.a, operands.b, epilogue);
    } else if short {
        product::<V, Blocked, E, 4>(operands, kc, tile, epilogue);
    } else {
        product::<V, Blocked, E, 1>(operands, kc, tile, epilogue);
    }
}

/// Whether a recurrence over these k runs four chains.
#[inline(always)]
fn is_short(b: PanelsRef<'_>) -> bool {
    b.depth().len <= SHORT
}

/// Zeroes rows of a blocked operand and of a row-major one beside it.
#[inline(always)]
fn clear(cut: Cut<'_>, rows: usize, mr: usize, blocked: &mut [f32], beside: &mut [f32]) {
    if cut.is_none() {
        return;
    }
    let (width, beside_width) = (blocked.len() / rows, beside.len() / rows);
    for row in cut.rows() {
        let place = place_of(row, rows, mr);
        for col in (0..width).step_by(KB) {
            blocked[place.blocked(width, col)..][..KB].fill(0.0);
        }
        beside[row * beside_width..][..beside_width].fill(0.0);
    }
}

/// Copies rows of a blocked operand to another.
#[inline(always)]
fn copy(range: Range<usize>, rows: usize, mr: usize, from: &[f32], to: &mut [f32]) {
    if range.is_empty() {
        return;
    }
    let width = from.len() / rows;
    for row in range {
        let place = place_of(row, rows, mr);
        for col in (0..width).step_by(KB) {
            let at = place.blocked(width, col);
            to[at..at + KB].copy_from_slice(&from[at..at + KB]);
        }
    }
}

/// The place of a row, at its first column.
fn place_of(row: usize, rows: usize, mr: usize) -> Place {
    let (group, size) = groups(rows, mr).find(|(first, size)| row < first + size).expect("one of the rows");
    Place::new(group, size, row - group)
}

/// Runs a recurrence forward with the cell `C`.
#[inline(always)]
pub(super) fn run_forward<V: Tiles, C: Cell<V>>(isa: V::Isa, args: Forward<'_, '_>) {
    let Forward { direction, hidden, z, w_hh, bias_apart, aside, h, c, mut projection, mut y, mut kept, .. } = args;
    let [steps, rows, out] = y.shape();
    let (width, short, mr) = (C::GATES * round_up(hidden), is_short(w_hh), group_rows(V::LANES));
    let mut tile = tile::<V>(isa);
    // Where the rows of the next step end in z, or begin.
    let mut edge = match direction {
        Direction::Forward => 0,
        Direction::Reverse => y.lines().total(),
    };
    for n in 0..steps {
        let t = direction.nth(n, steps);
        let live = y.lines().at(t).len();
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
        clear(args.resets.cut(direction, args.first + t), rows, mr, h.now, c);
        let (gates, cells, m) = match &mut kept {
            Some(Kept { gates, cells, m }) => {
                (Some(gates.step(t)), cells.as_mut().map(|cells| cells.step(t)), m.as_mut().map(|m| m.step(t)))
            }
            None => (None, None, None),
        };
        let target = match &mut projection {
            Some(projection) => Target::Projection { operand: &mut *projection.operand, kept: m },
            None => Target::State { y: y.step(t), next: &mut *h.next },
        };
        let step = Step {
            isa,
            hidden,
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
            let mut project = Project { isa, y: y.step(t), next: &mut *h.next, out };
            let operands = Operands { a: operand, rows, live, b: *w_hr };
            step_product::<V, _>(isa, is_short(*w_hr), operands, args.kc, &mut tile, &mut project);
        }
        h.turn();
    }
}

/// The epilogue of a forward projection: h_t.
struct Project<'a, I> {
    isa: I,
    y: MatMut<'a>,
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
        store_row(row, &mut self.y.row(at.row())[at.col..]);
    }

    #[inline(always)]
    fn reload(&self, at: Place, row: &mut [V]) {
        load_row(self.isa, &self.y.read(at.row())[at.col..], row);
    }

    #[inline(always)]
    fn finish(&mut self, at: Place, row: &[V]) {
        for (v, &h) in row.iter().enumerate() {
            let col = at.col + v * V::LANES;
            h.store(&mut self.next[at.blocked(round_up(self.out), col)..]);
            store(h, &mut self.y.row(at.row())[col..]);
        }
    }
}

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
pub(super) fn run_backward<V: Tiles, C: BackCell<V>>(isa: V::Isa, args: Backward<'_, '_>) {
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
