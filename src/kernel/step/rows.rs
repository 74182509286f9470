//! Single steps of several rows: [`step`](super) with each weight loaded once for two rows.
//!
//! ```text
//! for each step, for each block of units, for each pair of rows:
//!     a, u  as in one row, for both
//!     h, c = cell(a, u, h, c), row by row
//! ```
//!
//! Blocks come outside of rows: the weights of one fit L1 where those of the layer do not. The order of every sum is that
//! of one row.

use super::{Row, Steps, UnitBlock, WIDEST, cells, product, sums};
use crate::kernel::cell::CellMath;
use crate::kernel::layout::{PANEL, whole_panels};
use crate::kernel::product::Chains;
use crate::simd::Vector;
use crate::tensor::StepRows;

/// Rows that are summed together.
const PAIR: usize = 2;

/// The rows of one step.
struct Rows<'a> {
    rows: usize,
    /// (rows, I).
    x: StepRows<'a>,
    input: usize,
    /// (rows, O): the state before the step.
    h: StepRows<'a>,
    output: usize,
    /// Where the cells' outputs go, each row `next_pitch` behind the one before.
    next: &'a mut [f32],
    next_pitch: usize,
    /// (rows, H').
    c: &'a mut [f32],
    c_pitch: usize,
}

impl Rows<'_> {
    /// One of them.
    #[inline(always)]
    fn row(&mut self, row: usize) -> Row<'_> {
        let Self { next_pitch, c_pitch, .. } = *self;
        Row {
            x: self.x.step(row, self.input),
            h: self.h.step(row, self.h.pitch),
            next: &mut self.next[row * next_pitch..][..next_pitch],
            // Of a cell without a cell state there are none.
            c: self.c.get_mut(row * c_pitch..(row + 1) * c_pitch).unwrap_or_default(),
            output: self.output,
        }
    }
}

/// The entries of [`Kernels::recurrence`](crate::kernel::Kernels::recurrence) for single steps of several rows.
#[inline(always)]
pub(in crate::kernel) fn row_steps<V: Vector, C: CellMath<V> + CellMath<V::Half>>(isa: V::Isa, args: Steps<'_>) {
    let Steps { rows, input, hidden, output, blocks, turned, steps, x, weights, h, c, mut projection } = args;
    let (pitch, c_pitch) = (whole_panels(output), whole_panels(hidden));
    for t in 0..steps {
        let (before, after) = h.split_at_mut((t + 1) * rows * pitch);
        let h = StepRows { data: &before[t * rows * pitch..], pitch };
        let next = &mut after[..rows * pitch];
        let x = x.from(t * rows);
        let (to, next_pitch) = match &mut projection {
            None => (&mut *next, pitch),
            Some((_, m)) => (&mut **m, c_pitch),
        };
        let mut now = Rows { rows, x, input, h, output, next: to, next_pitch, c: &mut *c, c_pitch };
        step::<V, C>(isa, weights, &mut now, blocks, turned ^ (t % 2 == 1));
        if let Some((w_hr, m)) = &projection {
            for (m, next) in m.chunks_exact(c_pitch).zip(next.chunks_exact_mut(pitch)) {
                product::<V>(isa, &m[..hidden], *w_hr, Chains::over(hidden), None, next);
            }
        }
    }
}

/// Every unit of every row, for one step.
#[inline(always)]
fn step<V: Vector, C: CellMath<V> + CellMath<V::Half>>(
    isa: V::Isa,
    weights: &[f32],
    rows: &mut Rows<'_>,
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
                1 => block::<V::Half, C, 1>(half, now, rows, unit),
                3 => block::<V::Half, C, 3>(half, now, rows, unit),
                _ => block::<V::Half, C, 4>(half, now, rows, unit),
            }
        } else {
            match (facts.gates, registers) {
                (1, 1) => block::<V, C, 1>(isa, now, rows, unit),
                (1, 2) => block::<V, C, 2>(isa, now, rows, unit),
                (1, _) => block::<V, C, WIDEST>(isa, now, rows, unit),
                (3, _) => block::<V, C, 3>(isa, now, rows, unit),
                _ => block::<V, C, 4>(isa, now, rows, unit),
            }
        }
    }
}

/// A block of units of every row, two rows at a time: the sums of more would not stay in registers.
#[inline(always)]
fn block<V: Vector, C: CellMath<V>, const R: usize>(isa: V::Isa, weights: &[f32], rows: &mut Rows<'_>, unit: usize) {
    for first in (0..rows.rows).step_by(PAIR) {
        let live = (rows.rows - first).min(PAIR);
        let [mut x, mut h] = [[&[][..]; PAIR]; 2];
        for m in 0..PAIR {
            // A last row without a neighbour is its own: its sums are made twice, and its cells once.
            let row = first + m.min(live - 1);
            (x[m], h[m]) = (rows.x.step(row, rows.input), rows.h.step(row, rows.output));
        }
        let (a, sum) = sums::<V, C, R, PAIR>(isa, weights, x, h);
        for m in 0..live {
            cells::<V, C, R>(isa, a[m], sum[m], &mut rows.row(first + m), unit);
        }
    }
}
