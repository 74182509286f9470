//! The product of two packed matrices, with whatever is to be done to each element at its end.
//!
//! ```text
//! for each element (row, col):
//!     acc = start(row, col)
//!     for k ascending: acc = a[row][k] * b[k][col] + acc       (fused)
//!     finish(row, col, acc)
//! ```
//!
//! That is the whole of it; the rest is order. An element is one chain of fused multiply-adds over ascending k on
//! every tier, in every tile and for every blocking, so all of them give the same bits.
//!
//! 1. Lanes are columns. Nothing is summed across lanes, so the width of a register cannot show.
//! 2. `M` rows by `NV` registers of columns stay in registers over a block of k: `M + NV` loads feed `M * NV` FMAs.
//! 3. B lies in panels of sixteen columns on every tier, one cache line a k: packed weights do not depend on the tier.
//! 4. A lies in groups of `M` rows, by blocks of sixteen k ([`Blocked`]): a row's sixteen values are one cache line,
//!    so an epilogue can write its result as the next product's A with plain vector stores, and no two rows of a tile
//!    fall into the same cache set however wide the matrix is.
//! 5. The blocks of k are so short that a panel block stays in L1 while all groups of rows pass it. Between blocks the
//!    accumulators go to memory and come back unrounded.

use std::ops::Range;

use crate::gemm::blocking::Blocking;
use crate::gemm::panel::{KB, PanelsRef, group_sizes, round_up};
use crate::simd::Vector;

/// C = start + A·B. See README.md for the layouts.
pub(crate) struct Gemm<'a> {
    /// (rows, k) in groups, blocked.
    pub(crate) a: &'a [f32],
    /// Rows of A and C.
    pub(crate) rows: usize,
    /// (k, cols) in panels.
    pub(crate) b: PanelsRef<'a>,
    /// What C starts from.
    pub(crate) start: Start<'a>,
    /// (rows, stride), row-major; the first `cols` of each row are written.
    pub(crate) c: &'a mut [f32],
    /// Elements from one row of C to the next.
    pub(crate) stride: usize,
    /// The tile and block sizes.
    pub(crate) blocking: Blocking,
}

/// What the elements of a product start from.
#[derive(Clone, Copy)]
pub(crate) enum Start<'a> {
    /// Zero: C is not read.
    Zero,
    /// A value for each column: C is not read.
    Columns(&'a [f32]),
    /// What stands in C.
    Accumulate,
}

/// C += Aᵀ·B, summed over the rows that A and B have in common, in the order in which they were packed.
pub(crate) struct Outer<'a> {
    /// (k, rows) in groups of columns of the original, k-major.
    pub(crate) a: &'a [f32],
    /// Rows of C.
    pub(crate) rows: usize,
    /// (k, cols) in panels.
    pub(crate) b: PanelsRef<'a>,
    /// (rows, cols), row-major.
    pub(crate) c: &'a mut [f32],
    /// The tile and block sizes.
    pub(crate) blocking: Blocking,
}

/// One element's place: which row of which group, and the first column of the register it is in.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    /// The first row of the group.
    group: usize,
    /// Rows in the group.
    size: usize,
    /// The row inside the group.
    i: usize,
    /// The column of lane 0.
    pub(crate) col: usize,
}

impl Place {
    /// The row of the product.
    #[inline(always)]
    pub(crate) fn row(self) -> usize {
        self.group + self.i
    }

    /// Where this register stands in a blocked operand of `k` columns with the same groups of rows.
    #[inline(always)]
    pub(crate) fn blocked(self, k: usize) -> usize {
        self.group * round_up(k) + (self.col / KB * self.size + self.i) * KB + self.col % KB
    }
}

/// What an element starts from, and what becomes of it.
pub(crate) trait Epilogue<V: Vector> {
    /// The values the chains start from.
    fn start(&self, at: Place) -> V;
    /// Puts unfinished chains aside.
    fn spill(&mut self, at: Place, acc: V);
    /// Takes unfinished chains up again.
    fn reload(&self, at: Place) -> V;
    /// Receives the finished chains. Lanes at columns beyond the last hold anything.
    fn finish(&mut self, at: Place, acc: V);
}

/// How A lies inside a block of [`KB`] k of a group of `M` rows.
pub(crate) trait Order {
    /// The offset of row `i` at `k` (both counted inside the block).
    fn offset(rows: usize, i: usize, k: usize) -> usize;
}

/// Sixteen k of one row, then of the next: what a row-major matrix is cut into.
pub(crate) struct Blocked;

impl Order for Blocked {
    #[inline(always)]
    fn offset(_: usize, i: usize, k: usize) -> usize {
        i * KB + k
    }
}

/// All rows of one k, then of the next: what the transpose of a row-major matrix is cut into.
pub(crate) struct KMajor;

impl Order for KMajor {
    #[inline(always)]
    fn offset(rows: usize, i: usize, k: usize) -> usize {
        k * rows + i
    }
}

/// The operands of a product.
#[derive(Clone, Copy)]
pub(crate) struct Operands<'a> {
    /// In groups; see [`Order`].
    pub(crate) a: &'a [f32],
    pub(crate) rows: usize,
    pub(crate) b: PanelsRef<'a>,
}

/// The entry `gemm`.
#[inline(always)]
pub(super) fn gemm<V: Vector>(isa: V::Isa, args: Gemm<'_>) {
    let operands = Operands { a: args.a, rows: args.rows, b: args.b };
    let mut store = Store { isa, start: args.start, c: args.c, stride: args.stride, cols: args.b.cols() };
    product::<V, Blocked, _>(isa, operands, args.blocking, &mut store);
}

/// The entry `outer`.
#[inline(always)]
pub(super) fn outer<V: Vector>(isa: V::Isa, args: Outer<'_>) {
    let operands = Operands { a: args.a, rows: args.rows, b: args.b };
    let cols = args.b.cols();
    let mut store = Store { isa, start: Start::Accumulate, c: args.c, stride: cols, cols };
    product::<V, KMajor, _>(isa, operands, args.blocking, &mut store);
}

/// The epilogue that only stores.
struct Store<'a, I> {
    isa: I,
    start: Start<'a>,
    c: &'a mut [f32],
    stride: usize,
    cols: usize,
}

impl<I> Store<'_, I> {
    #[inline(always)]
    fn range(&self, at: Place) -> Range<usize> {
        let first = at.row() * self.stride;
        first + at.col..first + self.cols
    }
}

impl<V: Vector> Epilogue<V> for Store<'_, V::Isa> {
    #[inline(always)]
    fn start(&self, at: Place) -> V {
        match self.start {
            Start::Zero => V::splat(self.isa, 0.0),
            Start::Columns(values) => load::<V>(self.isa, &values[at.col..]),
            Start::Accumulate => self.reload(at),
        }
    }

    #[inline(always)]
    fn spill(&mut self, at: Place, acc: V) {
        let range = self.range(at);
        store(acc, &mut self.c[range]);
    }

    #[inline(always)]
    fn reload(&self, at: Place) -> V {
        load(self.isa, &self.c[self.range(at)])
    }

    #[inline(always)]
    fn finish(&mut self, at: Place, acc: V) {
        self.spill(at, acc);
    }
}

/// A register from a row's rest, however short.
#[inline(always)]
pub(crate) fn load<V: Vector>(isa: V::Isa, rest: &[f32]) -> V {
    if rest.len() >= V::LANES { V::load(isa, rest) } else { V::load_partial(isa, rest) }
}

/// A register into a row's rest, however short.
#[inline(always)]
pub(crate) fn store<V: Vector>(value: V, rest: &mut [f32]) {
    if rest.len() >= V::LANES { value.store(rest) } else { value.store_partial(rest) }
}

/// A·B, element by element into `epilogue`.
#[inline(always)]
pub(crate) fn product<V: Vector, O: Order, E: Epilogue<V>>(
    isa: V::Isa,
    operands: Operands<'_>,
    blocking: Blocking,
    epilogue: &mut E,
) {
    let k = operands.b.k();
    let kc = blocking.kc;
    let mut first = 0;
    // LOOP 4: blocks of k, in order: each element's chain goes on where it stopped.
    loop {
        let block = KBlock { first, len: kc.min(k - first), last: first + kc >= k };
        let mut row = 0;
        for size in group_sizes(blocking.mr) {
            // LOOP 3: the rows in groups of this size; what remains is left to the smaller sizes.
            let rows = row..row + (operands.rows - row) / size * size;
            row = rows.end;
            if rows.is_empty() {
                continue;
            }
            // The widest tiles that the registers hold (32 of them with sixteen lanes, 16 with eight), then narrower
            // ones for the columns that remain.
            let mut column = 0;
            macro_rules! columns {
                ($M:literal: $($NV:literal),*) => {{
                    $(columns::<V, O, E, $M, $NV>(isa, operands, block, rows.clone(), &mut column, epilogue);)*
                }};
            }
            match (V::LANES, size) {
                (16, 8) => columns!(8: 3, 2, 1),
                (16, 4) => columns!(4: 4, 2, 1),
                (8, 6) => columns!(6: 2, 1),
                (8, 4) => columns!(4: 2, 1),
                (_, 2) => columns!(2: 4, 2, 1),
                (_, 1) => columns!(1: 8, 4, 2, 1),
                _ => unreachable!("groups of {size} rows with {} lanes", V::LANES),
            }
        }
        if block.last {
            return;
        }
        first += kc;
    }
}

/// A run of k: `len` from `first` on, which is a multiple of [`KB`].
#[derive(Clone, Copy)]
struct KBlock {
    first: usize,
    len: usize,
    last: bool,
}

/// As many tiles of `NV` registers as fit into the columns from `*column` on, for rows in groups of `M`.
#[inline(always)]
fn columns<V: Vector, O: Order, E: Epilogue<V>, const M: usize, const NV: usize>(
    isa: V::Isa,
    operands: Operands<'_>,
    block: KBlock,
    rows: Range<usize>,
    column: &mut usize,
    epilogue: &mut E,
) {
    let Operands { a, b, .. } = operands;
    let cols = b.cols();
    let k = round_up(b.k());
    // LOOP 2: tiles of columns. The last register may reach beyond the last column, but not begin there.
    while *column + (NV - 1) * V::LANES < cols {
        let mut panels: [&[[f32; 256]]; NV] = [&[]; NV];
        for (v, panel) in panels.iter_mut().enumerate() {
            *panel = b.panel((*column + v * V::LANES) / KB, block.first);
        }
        // LOOP 1: groups of rows against these panels.
        for group in rows.clone().step_by(M) {
            let a = &a[group * k + block.first * M..][..round_up(block.len) * M];
            let mut acc = [[V::splat(isa, 0.0); NV]; M];
            let at = |i, v| Place { group, size: M, i, col: *column + v * V::LANES };
            for (i, row) in acc.iter_mut().enumerate() {
                for (v, acc) in row.iter_mut().enumerate() {
                    *acc = if block.first == 0 { epilogue.start(at(i, v)) } else { epilogue.reload(at(i, v)) };
                }
            }
            accumulate::<V, O, M, NV>(isa, a, panels, block.len, &mut acc);
            for (i, row) in acc.iter().enumerate() {
                for (v, &acc) in row.iter().enumerate() {
                    if block.last {
                        epilogue.finish(at(i, v), acc);
                    } else {
                        epilogue.spill(at(i, v), acc);
                    }
                }
            }
        }
        *column += NV * V::LANES;
    }
}

/// The tile: `M` rows by `NV` registers, `len` steps of k.
#[inline(always)]
fn accumulate<V: Vector, O: Order, const M: usize, const NV: usize>(
    isa: V::Isa,
    a: &[f32],
    panels: [&[[f32; 256]]; NV],
    len: usize,
    tile: &mut [[V; NV]; M],
) {
    // A copy that no loop of unknown length indexes, so that it lives in registers.
    let mut acc = *tile;
    for (block, a) in a.chunks_exact(KB * M).enumerate() {
        let mut b: [&[f32; 256]; NV] = [&[0.0; 256]; NV];
        for (b, panel) in b.iter_mut().zip(panels) {
            *b = &panel[block];
        }
        for k in 0..KB.min(len - block * KB) {
            let mut right = [V::splat(isa, 0.0); NV];
            for (v, right) in right.iter_mut().enumerate() {
                *right = V::load(isa, &b[v][k * KB + v * V::LANES % KB..]);
            }
            for (i, acc) in acc.iter_mut().enumerate() {
                let left = V::splat(isa, a[O::offset(M, i, k)]);
                for (acc, &right) in acc.iter_mut().zip(&right) {
                    *acc = left.mul_add(right, *acc);
                }
            }
        }
    }
    *tile = acc;
}
