//! Single steps of one row, for small layers in real time: the sums of [`tile`](super::tile) and the cells of
//! [`cell`](super::cell) without what a batch needs around them.
//!
//! ```text
//! for each step, for each block of units:
//!     a    = bias + x·W_ihᵀ                     one chain, k ascending
//!     u    = h·W_hhᵀ                            four chains from a where k ≤ 64, else one from zero that a joins
//!     h, c = cell(a, u, h, c)                   all gates in registers
//! ```
//!
//! The order of every sum is that of the batch, so the bits are too. What differs is the way of the data. The input part
//! never goes to memory. The weights lie once more as they are read, block by block, from the first float to the last:
//!
//! ```text
//! block: R registers of L lanes side by side, all gates of L units, or of one gate R·L units
//!     bias                        R·L floats
//!     bias of the part that stays apart, where a cell has one
//!     W_ih, k = 0, 1, …           R·L floats each
//!     W_hh, k = 0, 1, …
//! ```
//!
//! A last block of at most eight units has registers of eight lanes on every tier: it is half as wide, and not padded.

pub(in crate::kernel) mod rows;

use super::cell::{CellFacts, CellMath, CellOutput, CellStep, Registers};
use super::chains::{Columns, Sums, four_chains, load, one_chain};
use super::layout::{PANEL, PanelsRef, whole_panels};
use super::product::Chains;
use crate::simd::{HALF_LANES, Vector};
use crate::tensor::StepRows;

/// Steps that the memory of a row is made for: a longer block is run in several.
pub(crate) const BLOCK: usize = 64;

/// The same of several rows: their outputs shall not take 64 times the memory of their state.
pub(crate) const fn block_of(rows: usize) -> usize {
    if rows < BLOCK / 4 { BLOCK / rows } else { 4 }
}

/// The most registers of one gate in a block.
const WIDEST: usize = 4;

/// Steps of some rows through a recurrent layer, each with its own state. With I inputs, H hidden units (H' rounded up to
/// 16), O outputs (H, or those of a projection; O' rounded up), G gates:
pub(crate) struct Steps<'a> {
    /// One for [`steps`].
    pub(crate) rows: usize,
    pub(crate) input: usize,
    pub(crate) hidden: usize,
    pub(crate) output: usize,
    pub(crate) steps: usize,
    /// (steps, rows, I).
    pub(crate) x: StepRows<'a>,
    /// Those to be computed: all, but where helpers compute others of a single row.
    pub(crate) blocks: &'a [UnitBlock],
    /// Whether the first step takes the last block first. Every other step does: what of the weights the step before read
    /// last is still in L1, where all of them do not fit.
    pub(crate) turned: bool,
    /// Biases and weights of all blocks.
    pub(crate) weights: &'a [f32],
    /// (1 + steps, rows, O'): the state before the first step; the others receive those after each step.
    pub(crate) h: &'a mut [f32],
    /// (rows, H'): an LSTM's cell state.
    pub(crate) c: &'a mut [f32],
    /// (H, O) in panels and room for (rows, H'), where the output is projected.
    pub(crate) projection: Option<(PanelsRef<'a>, &'a mut [f32])>,
}

/// Rows through a linear layer: y = bias + x·Wᵀ.
pub(crate) struct Dense<'a> {
    pub(crate) rows: usize,
    /// (rows, k).
    pub(crate) x: StepRows<'a>,
    /// The order of each sum.
    pub(crate) chains: Chains,
    /// (k, outputs) in panels.
    pub(crate) weight: PanelsRef<'a>,
    /// (outputs, rounded up to 16).
    pub(crate) bias: &'a [f32],
    /// (rows, outputs rounded up to 16).
    pub(crate) y: &'a mut [f32],
}

/// One block: its first unit, its first float, and its shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnitBlock {
    pub(crate) unit: usize,
    pub(crate) float: usize,
    pub(crate) lanes: usize,
    pub(crate) registers: usize,
}

impl UnitBlock {
    /// All blocks of a layer, on a tier of `lanes` lanes.
    pub(crate) fn all(facts: &CellFacts, [input, hidden, output]: [usize; 3], lanes: usize) -> Vec<Self> {
        let (mut all, mut unit, mut float) = (Vec::new(), 0, 0);
        while unit < hidden {
            let (lanes, registers) = Self::shape(hidden - unit, facts.gates, lanes);
            let block = Self { unit, float, lanes, registers };
            unit += block.units(facts.gates);
            float += block.len(facts, input, output);
            all.push(block);
        }
        all
    }

    /// Lanes and registers of the block before which so many units are left.
    fn shape(left: usize, gates: usize, lanes: usize) -> (usize, usize) {
        if left <= HALF_LANES {
            return (HALF_LANES, gates);
        }
        let registers = match gates {
            1 if left > (WIDEST - 1) * lanes => WIDEST,
            1 if left > lanes + HALF_LANES || lanes < PANEL => 2,
            gates => gates,
        };
        (lanes, registers)
    }

    /// Units in it, with those that pad it.
    pub(crate) fn units(self, gates: usize) -> usize {
        self.registers / gates * self.lanes
    }

    /// Floats of one k.
    pub(crate) fn width(self) -> usize {
        self.registers * self.lanes
    }

    /// All of its floats.
    pub(crate) fn len(self, facts: &CellFacts, input: usize, output: usize) -> usize {
        (1 + usize::from(facts.last_apart) + input + output) * self.width()
    }
}

/// One step of a row.
struct Row<'a> {
    x: &'a [f32],
    /// (O), then the padding.
    h: &'a [f32],
    /// Where the cells' outputs go (H').
    next: &'a mut [f32],
    c: &'a mut [f32],
    /// O.
    output: usize,
}

/// A block's sums, and the cells of its units from `unit` on.
#[inline(always)]
fn block<V: Vector, C: CellMath<V>, const R: usize>(isa: V::Isa, weights: &[f32], row: &mut Row<'_>, unit: usize) {
    let ([a], [sum]) = sums::<V, C, R, 1>(isa, weights, [row.x], [&row.h[..row.output]]);
    cells::<V, C, R>(isa, a, sum, row, unit);
}

/// A block's sums for `M` rows: of their input part, and of everything. Where a gate's recurrent part stays apart, the
/// second is that alone.
#[inline(always)]
fn sums<V: Vector, C: CellMath<V>, const R: usize, const M: usize>(
    isa: V::Isa,
    weights: &[f32],
    x: [&[f32]; M],
    h: [&[f32]; M],
) -> (Sums<V, R, M>, Sums<V, R, M>) {
    let (facts, gates, width) = (C::FACTS, C::FACTS.gates, R * V::LANES);
    let (bias, mut weights) = weights.split_at(width);
    let mut start = [[V::splat(isa, 0.0); R]; M];
    if facts.last_apart {
        let (apart, rest) = weights.split_at(width);
        (start, weights) = ([load::<V, R>(isa, apart); M], rest);
    }
    let (w_ih, w_hh) = weights.split_at(x[0].len() * width);
    let each = Columns { pitch: width, first: 0 };
    let a = one_chain::<V, R, M>(isa, x, w_ih, each, [load::<V, R>(isa, bias); M]);
    let chains = Chains::over(h[0].len());
    if chains == Chains::Four {
        for m in 0..M {
            for r in 0..R {
                if !facts.stays_apart(r % gates) {
                    start[m][r] = a[m][r];
                }
            }
        }
    }
    let mut sum = match chains {
        Chains::Four => four_chains::<V, R, M>(isa, h, w_hh, each, start),
        Chains::One => one_chain::<V, R, M>(isa, h, w_hh, each, start),
    };
    if chains == Chains::One {
        for m in 0..M {
            for r in 0..R {
                if !facts.stays_apart(r % gates) {
                    sum[m][r] = sum[m][r].add(a[m][r]);
                }
            }
        }
    }
    (a, sum)
}

/// The cells of a block's units, from `unit` on: `a` where the last gate's recurrent part stays apart is its input part,
/// `sum` everything else.
#[inline(always)]
fn cells<V: Vector, C: CellMath<V>, const R: usize>(
    isa: V::Isa,
    a: [V; R],
    sum: [V; R],
    row: &mut Row<'_>,
    unit: usize,
) {
    let (facts, gates) = (C::FACTS, C::FACTS.gates);
    for n in 0..R / gates {
        let unit = unit + n * V::LANES;
        let last = sum[n * gates + gates - 1];
        let mut a_of = C::Gates::all(last);
        for (gate, value) in a_of.as_mut().iter_mut().enumerate() {
            *value = if facts.stays_apart(gate) { a[n * gates + gate] } else { sum[n * gates + gate] };
        }
        let (mut h, mut c) = (last, last);
        if facts.passes_state() {
            h = V::load(isa, &row.h[unit..]);
        }
        if facts.has_cell_state() {
            c = V::load(isa, &row.c[unit..]);
        }
        let CellOutput { h, c, .. } = C::forward(CellStep { a: a_of, apart: last, h, c });
        if facts.has_cell_state() {
            c.store(&mut row.c[unit..]);
        }
        h.store(&mut row.next[unit..]);
    }
}

/// Some blocks of units, or all, of one step.
#[inline(always)]
fn step<V: Vector, C: CellMath<V> + CellMath<V::Half>>(
    isa: V::Isa,
    weights: &[f32],
    row: &mut Row<'_>,
    blocks: &[UnitBlock],
    turned: bool,
) {
    let facts = <C as CellMath<V>>::FACTS;
    for n in 0..blocks.len() {
        let UnitBlock { unit, float, lanes, registers } = blocks[if turned { blocks.len() - 1 - n } else { n }];
        let now = &weights[float..];
        if const { V::LANES == PANEL } && lanes < PANEL {
            let half = V::half(isa);
            match facts.gates {
                1 => block::<V::Half, C, 1>(half, now, row, unit),
                3 => block::<V::Half, C, 3>(half, now, row, unit),
                _ => block::<V::Half, C, 4>(half, now, row, unit),
            }
        } else {
            match (facts.gates, registers) {
                (1, 1) => block::<V, C, 1>(isa, now, row, unit),
                (1, 2) => block::<V, C, 2>(isa, now, row, unit),
                (1, _) => block::<V, C, WIDEST>(isa, now, row, unit),
                (3, _) => block::<V, C, 3>(isa, now, row, unit),
                _ => block::<V, C, 4>(isa, now, row, unit),
            }
        }
    }
}

/// The entries of [`Kernels::recurrence`](crate::kernel::Kernels::recurrence) for single rows.
#[inline(always)]
pub(in crate::kernel) fn steps<V: Vector, C: CellMath<V> + CellMath<V::Half>>(isa: V::Isa, args: Steps<'_>) {
    let Steps { rows, input, hidden, output, blocks, turned, steps, x, weights, h, c, mut projection } = args;
    debug_assert_eq!(rows, 1);
    let pitch = whole_panels(output);
    for t in 0..steps {
        let (before, after) = h.split_at_mut((t + 1) * pitch);
        let (h, next) = (&before[t * pitch..], &mut after[..pitch]);
        let (x, turned) = (x.step(t, input), turned ^ (t % 2 == 1));
        match &mut projection {
            None => step::<V, C>(isa, weights, &mut Row { x, h, next, c, output }, blocks, turned),
            Some((w_hr, m)) => {
                step::<V, C>(isa, weights, &mut Row { x, h, next: m, c, output }, blocks, turned);
                product::<V>(isa, &m[..hidden], *w_hr, Chains::over(hidden), None, next);
            }
        }
    }
}

/// The entry `dense`.
#[inline(always)]
pub(in crate::kernel) fn dense<V: Vector>(isa: V::Isa, args: Dense<'_>) {
    let Dense { rows, x, chains, weight, bias, y } = args;
    let (k, pitch) = (weight.depth().len, whole_panels(weight.cols()));
    for (row, y) in y.chunks_exact_mut(pitch).take(rows).enumerate() {
        product::<V>(isa, x.step(row, k), weight, chains, Some(bias), y);
    }
}

/// One row times a matrix in panels, from a bias or from zero. Of registers that hold padding alone nothing is computed.
#[inline(always)]
fn product<V: Vector>(isa: V::Isa, a: &[f32], b: PanelsRef<'_>, chains: Chains, bias: Option<&[f32]>, y: &mut [f32]) {
    for panel in 0..b.cols().div_ceil(PANEL) {
        let (w, at) = (&b.panel(panel, 0).as_flattened()[..a.len() * PANEL], panel * PANEL);
        let (bias, y) = (bias.map(|bias| &bias[at..]), &mut y[at..]);
        let cols = (b.cols() - at).min(PANEL);
        if const { V::LANES == PANEL } && cols <= HALF_LANES {
            columns::<V::Half>(V::half(isa), a, w, chains, bias, y, 0);
        } else {
            for first in (0..cols).step_by(V::LANES) {
                columns::<V>(isa, a, w, chains, bias, y, first);
            }
        }
    }
}

/// A register of a panel's columns, from `first` on.
#[inline(always)]
fn columns<V: Vector>(
    isa: V::Isa,
    a: &[f32],
    w: &[f32],
    chains: Chains,
    bias: Option<&[f32]>,
    y: &mut [f32],
    first: usize,
) {
    let columns = Columns { pitch: PANEL, first };
    let start = match bias {
        Some(bias) => V::load(isa, &bias[first..]),
        None => V::splat(isa, 0.0),
    };
    let [[sum]] = match chains {
        Chains::One => one_chain::<V, 1, 1>(isa, [a], w, columns, [[start]]),
        Chains::Four => four_chains::<V, 1, 1>(isa, [a], w, columns, [[start]]),
    };
    sum.store(&mut y[first..]);
}
