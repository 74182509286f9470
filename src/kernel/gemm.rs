//! Products of two matrices that only store: the entries `gemm` and `outer`.

use super::layout::{PanelsRef, Place};
use super::product::{Chains, Epilogue, Operands, product};
pub(crate) use super::tile::Start;
use super::tile::{Blocked, Direct, KBlock, KMajor, Tiles, tile};
use crate::simd::Vector;
use crate::simd::tail::{load_row, store_row};

/// C = start + A·B. See README.md for the layouts.
pub(crate) struct Gemm<'a> {
    /// (rows, k) in groups, blocked.
    pub(crate) a: &'a [f32],
    /// Rows of A and C.
    pub(crate) rows: usize,
    /// (k, cols) in panels.
    pub(crate) b: PanelsRef<'a>,
    /// The order of each sum.
    pub(crate) chains: Chains,
    /// What C starts from.
    pub(crate) start: Start<'a>,
    /// (rows, stride), row-major; the first `cols` of each row are written.
    pub(crate) c: &'a mut [f32],
    /// Elements from one row of C to the next.
    pub(crate) stride: usize,
    /// k in a block of LOOP 4: a multiple of 16.
    pub(crate) kc: usize,
}

/// C = start + Aᵀ·B, summed over the rows that A and B have in common, in the order in which they lie there.
pub(crate) struct Outer<'a> {
    /// (k, rows) in groups of columns of the original, k-major.
    pub(crate) a: &'a [f32],
    /// Rows of C.
    pub(crate) rows: usize,
    /// (k, cols) in panels.
    pub(crate) b: PanelsRef<'a>,
    /// What C starts from.
    pub(crate) start: Start<'a>,
    /// (rows, cols), row-major.
    pub(crate) c: &'a mut [f32],
    /// k in a block of LOOP 4: a multiple of 16.
    pub(crate) kc: usize,
}

/// C = start + A·B, A in blocks of columns ([`Blocked`]).
#[inline(always)]
pub(super) fn gemm<V: Tiles>(isa: V::Isa, args: Gemm<'_>) {
    let operands = Operands { a: args.a, rows: args.rows, live: args.rows, b: args.b };
    let mut store = Store { isa, start: args.start, c: args.c, stride: args.stride, cols: args.b.cols() };
    match args.chains {
        Chains::Four => product::<V, Blocked, _, 4>(operands, args.kc, &mut tile(isa), &mut store),
        Chains::One => product::<V, Blocked, _, 1>(operands, args.kc, &mut tile(isa), &mut store),
    }
}

/// C = start + A·B, each column of A whole ([`KMajor`]): weight gradients, whose k are steps.
#[inline(always)]
pub(super) fn outer<V: Tiles>(isa: V::Isa, args: Outer<'_>) {
    let operands = Operands { a: args.a, rows: args.rows, live: args.rows, b: args.b };
    let cols = args.b.cols();
    let mut store = Store { isa, start: args.start, c: args.c, stride: cols, cols };
    product::<V, KMajor, _, 1>(operands, args.kc, &mut tile(isa), &mut store);
}

/// The epilogue that only stores.
struct Store<'a, I> {
    isa: I,
    start: Start<'a>,
    c: &'a mut [f32],
    stride: usize,
    cols: usize,
}

impl<V: Vector> Epilogue<V> for Store<'_, V::Isa> {
    #[inline(always)]
    fn initial(&self, col: usize) -> Start<'_> {
        self.start.at(col)
    }

    #[inline(always)]
    fn direct(&mut self, at: Place, registers: usize, block: KBlock) -> Option<(Start<'_>, Direct<'_>)> {
        if at.col + registers * V::LANES > self.cols {
            return None;
        }
        let start = if block.first == 0 { self.start.at(at.col) } else { Start::Accumulate };
        let first = at.row() * self.stride + at.col;
        Some((start, Direct { c: &mut self.c[first..], stride: self.stride }))
    }

    #[inline(always)]
    fn start(&self, at: Place, row: &mut [V]) {
        self.reload(at, row);
    }

    #[inline(always)]
    fn spill(&mut self, at: Place, row: &[V]) {
        store_row(row, &mut self.c[at.row() * self.stride..][at.col..self.cols]);
    }

    #[inline(always)]
    fn reload(&self, at: Place, row: &mut [V]) {
        load_row(self.isa, &self.c[at.row() * self.stride..][at.col..self.cols], row);
    }

    #[inline(always)]
    fn finish(&mut self, at: Place, row: &[V]) {
        self.spill(at, row);
    }
}
