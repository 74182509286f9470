//! Single steps of several rows: [`step`](super) with each weight loaded once for a tile of rows.
//!
//! ```text
//! for each step, for each block of units, for each tile of rows:
//!     a, u  as in one row, for every row of the tile
//!     h, c = cell(a, u, h, c), row by row
//! ```
//!
//! Blocks come outside of rows: the weights of one fit L1 where those of the layer do not. The sums of a tile stay in
//! registers, so the four chains of a column are summed as many at a time as there is room for. That does not touch the
//! order of any sum: each is that of one row.

use super::{Row, Steps, UnitBlock, WIDEST, add, cells, load, product};
use crate::kernel::cell::{CellFacts, CellMath};
use crate::kernel::layout::{PANEL, whole_panels};
use crate::kernel::product::Chains;
use crate::simd::Vector;
use crate::tensor::StepRows;

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
    let Steps { rows, input, hidden, output, steps, x, weights, h, c, mut projection } = args;
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
        step::<V, C>(isa, weights, &mut now, hidden);
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
    mut weights: &[f32],
    rows: &mut Rows<'_>,
    hidden: usize,
) {
    let facts = <C as CellMath<V>>::FACTS;
    let mut unit = 0;
    while unit < hidden {
        let shape = UnitBlock::at(unit, hidden, facts.gates, V::LANES);
        let (now, rest) = weights.split_at(shape.len(facts, rows.input, rows.output));
        weights = rest;
        if V::LANES == PANEL && shape.lanes < PANEL {
            let half = V::half(isa);
            match facts.gates {
                1 => block::<V::Half, C, 1, 4, 16>(half, now, rows, unit),
                3 => block::<V::Half, C, 3, 4, 16>(half, now, rows, unit),
                _ => block::<V::Half, C, 4, 4, 16>(half, now, rows, unit),
            }
        } else if V::LANES == PANEL {
            match (facts.gates, shape.registers) {
                (1, 1) => block::<V, C, 1, 4, 16>(isa, now, rows, unit),
                (1, 2) => block::<V, C, 2, 4, 16>(isa, now, rows, unit),
                (1, _) => block::<V, C, WIDEST, 4, 16>(isa, now, rows, unit),
                (3, _) => block::<V, C, 3, 4, 16>(isa, now, rows, unit),
                _ => block::<V, C, 4, 4, 16>(isa, now, rows, unit),
            }
        } else {
            match (facts.gates, shape.registers) {
                (1, 1) => block::<V, C, 1, 4, 8>(isa, now, rows, unit),
                (1, 2) => block::<V, C, 2, 4, 8>(isa, now, rows, unit),
                (1, _) => block::<V, C, WIDEST, 2, 8>(isa, now, rows, unit),
                (3, _) => block::<V, C, 3, 2, 8>(isa, now, rows, unit),
                _ => block::<V, C, 4, 2, 8>(isa, now, rows, unit),
            }
        }
        unit += shape.units(facts.gates);
    }
}

/// A block of units of every row, in tiles of `M` rows, the last of fewer. There are registers for `ROOM` sums (of 32
/// sixteen, of 16 eight: the weights and an element of the operand take some too).
#[inline(always)]
fn block<V: Vector, C: CellMath<V>, const R: usize, const M: usize, const ROOM: usize>(
    isa: V::Isa,
    weights: &[f32],
    rows: &mut Rows<'_>,
    unit: usize,
) {
    let mut first = 0;
    // Four chains of two rows are two at a time; of four rows, one finished chain would wait in memory for the next.
    let pairs = M * R * 2 > ROOM && Chains::over(rows.output) == Chains::Four;
    while !pairs && rows.rows - first >= M {
        tile::<V, C, R, M, ROOM>(isa, weights, rows, first, unit);
        first += M;
    }
    while rows.rows - first >= 2 {
        tile::<V, C, R, 2, ROOM>(isa, weights, rows, first, unit);
        first += 2;
    }
    if rows.rows > first {
        super::block::<V, C, R>(isa, weights, &mut rows.row(first), unit);
    }
}

/// A block's sums for `M` rows from `first` on, and the cells of its units from `unit` on.
#[inline(always)]
fn tile<V: Vector, C: CellMath<V>, const R: usize, const M: usize, const ROOM: usize>(
    isa: V::Isa,
    weights: &[f32],
    rows: &mut Rows<'_>,
    first: usize,
    unit: usize,
) {
    let (facts, gates, width): (&CellFacts, _, _) = (C::FACTS, C::FACTS.gates, R * V::LANES);
    let [mut x, mut h] = [[&[][..]; M]; 2];
    for m in 0..M {
        (x[m], h[m]) = (rows.x.step(first + m, rows.input), rows.h.step(first + m, rows.output));
    }
    let (bias, mut weights) = weights.split_at(width);
    let zero = [[V::splat(isa, 0.0); R]; M];
    let (mut a, mut start) = ([load::<V, R>(isa, bias); M], zero);
    if facts.last_apart {
        let (apart, rest) = weights.split_at(width);
        (start, weights) = ([load::<V, R>(isa, apart); M], rest);
    }
    let (w_ih, w_hh) = weights.split_at(rows.input * width);
    [a] = chains::<V, R, M, 1, 1>(isa, x, w_ih, 0, [a]);
    let over = Chains::over(rows.output);
    if over == Chains::Four {
        for m in 0..M {
            for r in 0..R {
                if !facts.stays_apart(r % gates) {
                    start[m][r] = a[m][r];
                }
            }
        }
    }
    let mut sum = match over {
        Chains::One => {
            let [sum] = chains::<V, R, M, 1, 1>(isa, h, w_hh, 0, [start]);
            sum
        }
        // As many of the four at a time as there is room for.
        Chains::Four if R * M * 4 <= ROOM => {
            let [c0, c1, c2, c3] = chains::<V, R, M, 4, 4>(isa, h, w_hh, 0, [start, zero, zero, zero]);
            join(join(c0, c1), join(c2, c3))
        }
        Chains::Four if R * M * 2 <= ROOM => {
            let [c0, c1] = chains::<V, R, M, 2, 4>(isa, h, w_hh, 0, [start, zero]);
            let [c2, c3] = chains::<V, R, M, 2, 4>(isa, h, w_hh, 2, [zero, zero]);
            join(join(c0, c1), join(c2, c3))
        }
        Chains::Four => {
            let [c0] = chains::<V, R, M, 1, 4>(isa, h, w_hh, 0, [start]);
            let [c1] = chains::<V, R, M, 1, 4>(isa, h, w_hh, 1, [zero]);
            let left = join(c0, c1);
            let [c2] = chains::<V, R, M, 1, 4>(isa, h, w_hh, 2, [zero]);
            let [c3] = chains::<V, R, M, 1, 4>(isa, h, w_hh, 3, [zero]);
            join(left, join(c2, c3))
        }
    };
    if over == Chains::One {
        for m in 0..M {
            for r in 0..R {
                if !facts.stays_apart(r % gates) {
                    sum[m][r] = sum[m][r].add(a[m][r]);
                }
            }
        }
    }
    for m in 0..M {
        cells::<V, C, R>(isa, a[m], sum[m], &mut rows.row(first + m), unit);
    }
}

/// `N` of the `OF` chains of every register and row, from chain `from` on: chain i takes the k with k mod `OF` = i,
/// ascending.
#[inline(always)]
fn chains<V: Vector, const R: usize, const M: usize, const N: usize, const OF: usize>(
    isa: V::Isa,
    a: [&[f32]; M],
    w: &[f32],
    from: usize,
    mut chains: [[[V; R]; M]; N],
) -> [[[V; R]; M]; N] {
    let width = R * V::LANES;
    let mut groups: [&[[f32; OF]]; M] = [&[]; M];
    let mut rests: [&[f32]; M] = [&[]; M];
    for m in 0..M {
        (groups[m], rests[m]) = a[m].as_chunks::<OF>();
    }
    let whole = groups[0].len();
    for (k, w) in w.chunks_exact(OF * width).take(whole).enumerate() {
        for (n, sums) in chains.iter_mut().enumerate() {
            let w = load::<V, R>(isa, &w[(from + n) * width..]);
            for (m, sums) in sums.iter_mut().enumerate() {
                let a = V::splat(isa, groups[m][k][from + n]);
                for (r, sum) in sums.iter_mut().enumerate() {
                    *sum = a.mul_add(w[r], *sum);
                }
            }
        }
    }
    let w = &w[whole * OF * width..];
    for (n, sums) in chains.iter_mut().enumerate() {
        if from + n < rests[0].len() {
            let w = load::<V, R>(isa, &w[(from + n) * width..]);
            for (m, sums) in sums.iter_mut().enumerate() {
                let a = V::splat(isa, rests[m][from + n]);
                for (r, sum) in sums.iter_mut().enumerate() {
                    *sum = a.mul_add(w[r], *sum);
                }
            }
        }
    }
    chains
}

#[inline(always)]
fn join<V: Vector, const R: usize, const M: usize>(mut left: [[V; R]; M], right: [[V; R]; M]) -> [[V; R]; M] {
    for m in 0..M {
        left[m] = add(left[m], right[m]);
    }
    left
}
