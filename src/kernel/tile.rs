//! The FMAs of one tile over a block of k: all that is compiled for every shape of tile. Each tier compiles them once, out
//! of line, behind [`Tiles`]; the loops of [`gemm`](super::gemm) call them, some thousands of FMAs a call.

use super::layout::{Depth, KB, PanelsRef, Place};
use crate::simd::Vector;

/// How A lies inside a block of [`KB`] k of a group of `M` rows.
pub(crate) trait BlockLayout {
    /// The tier's FMAs for it, with four chains an element or one.
    fn fma<V: Tiles, const CHAINS: usize>(args: Fma<'_, V>);

    /// The offset of row `i` at `k` (both counted inside the block).
    fn offset(rows: usize, i: usize, k: usize) -> usize;
}

/// Sixteen k of one row, then of the next: what a row-major matrix is cut into.
pub(crate) struct Blocked;

impl BlockLayout for Blocked {
    #[inline(always)]
    fn fma<V: Tiles, const CHAINS: usize>(args: Fma<'_, V>) {
        if CHAINS == 1 { V::blocked(args) } else { V::blocked_short(args) }
    }

    #[inline(always)]
    fn offset(_: usize, i: usize, k: usize) -> usize {
        i * KB + k
    }
}

/// All rows of one k, then of the next: what the transpose of a row-major matrix is cut into.
pub(crate) struct KMajor;

impl BlockLayout for KMajor {
    #[inline(always)]
    fn fma<V: Tiles, const CHAINS: usize>(args: Fma<'_, V>) {
        const { assert!(CHAINS == 1) };
        V::k_major(args);
    }

    #[inline(always)]
    fn offset(rows: usize, i: usize, k: usize) -> usize {
        k * rows + i
    }
}

/// A part of the k, with their padding: `len` from `first` on, multiples of [`KB`].
#[derive(Clone, Copy)]
pub(crate) struct KBlock {
    pub(super) first: usize,
    pub(super) len: usize,
    pub(super) last: bool,
}

/// The registers of the largest tile.
const TILE: usize = 24;

/// The accumulators of a tile between its start, its FMAs and its end, row by row.
pub(crate) type Tile<V> = [V; TILE];

/// An empty tile, to be made once and used for many products.
#[inline(always)]
pub(crate) fn tile<V: Vector>(isa: V::Isa) -> Tile<V> {
    [V::splat(isa, 0.0); TILE]
}

/// What the chains of a product or of one tile start from.
#[derive(Clone, Copy)]
pub(crate) enum Start<'a> {
    /// Zero: C is not read.
    Zero,
    /// A value for each column, in all rows, as many as whole panels have: C is not read. Of a tile, from its first column
    /// on.
    Columns(&'a [f32]),
    /// What stands in C. Of a tile, what stands in the tile, or in the matrix that it is written to directly.
    Accumulate,
}

impl<'a> Start<'a> {
    /// What the chains of the columns from `col` on start from.
    #[inline(always)]
    pub(super) fn at(self, col: usize) -> Self {
        match self {
            Start::Columns(values) => Start::Columns(&values[col..]),
            other => other,
        }
    }
}

/// What the FMAs of a tile read.
#[derive(Clone, Copy)]
pub(super) struct TileOperands<'a> {
    /// The block of k of A's group of rows.
    pub(super) group: &'a [f32],
    /// The tile's first row and column.
    pub(super) at: Place,
    pub(super) b: PanelsRef<'a>,
    pub(super) block: KBlock,
    pub(super) start: Start<'a>,
    /// What is fetched meanwhile.
    pub(super) ahead: Option<Ahead>,
}

/// A tile's FMAs: `m` rows from `at` on by `nv` registers.
pub(crate) struct Fma<'a, V> {
    pub(super) operands: TileOperands<'a>,
    /// (m, nv).
    pub(super) shape: (usize, usize),
    /// Row by row, `nv` registers each.
    pub(super) tile: &'a mut Tile<V>,
    /// Where the chains end in a matrix, not in the tile.
    pub(super) direct: Option<Direct<'a>>,
}

/// A part of the panels that come next: `groups` groups of rows pass the panels in use, and each of them fetches its share.
#[derive(Clone, Copy)]
pub(crate) struct Ahead {
    /// Panels from the first on.
    pub(super) panel: usize,
    pub(super) panels: usize,
    /// Which of the groups.
    pub(super) group: usize,
    pub(super) groups: usize,
}

/// A part of a row-major matrix that takes a tile's place: its chains are read from it and written to it.
pub(crate) struct Direct<'a> {
    /// From the tile's first element on.
    pub(super) c: &'a mut [f32],
    /// Elements from one row to the next.
    pub(super) stride: usize,
}

/// A tier's compiled FMAs. The values in the tile are the proof that the CPU has the instructions.
pub(crate) trait Tiles: Vector {
    /// A [`Blocked`], one chain an element.
    fn blocked(args: Fma<'_, Self>);
    /// A [`Blocked`], four chains an element.
    fn blocked_short(args: Fma<'_, Self>);
    /// A [`KMajor`], one chain an element.
    fn k_major(args: Fma<'_, Self>);
}

/// Finds the shape.
#[inline(always)]
fn fma<V: Vector, O: BlockLayout, const CHAINS: usize>(isa: V::Isa, args: Fma<'_, V>) {
    let Fma { operands, shape, tile, mut direct } = args;
    macro_rules! shapes {
        ($($M:literal x $NV:literal)*) => {
            match shape {
                $(($M, $NV) => {
                    let (rows, _) = tile.as_chunks_mut::<$NV>();
                    let rows = rows.first_chunk_mut::<$M>().expect("a tile holds the largest shape");
                    accumulate::<V, O, $M, $NV, CHAINS>(isa, operands, rows, &mut direct);
                })*
                (m, nv) => unreachable!("tiles of {m} rows by {nv} registers"),
            }
        };
    }
    match (CHAINS, V::LANES) {
        (1, 16) => shapes!(8 x 3 8 x 2 8 x 1 4 x 4 4 x 2 4 x 1 2 x 4 2 x 2 2 x 1 1 x 8 1 x 4 1 x 2 1 x 1),
        (1, 8) => shapes!(6 x 2 6 x 1 4 x 2 4 x 1 2 x 4 2 x 2 2 x 1 1 x 8 1 x 4 1 x 2 1 x 1),
        (4, 16) => shapes!(2 x 2 2 x 1 1 x 4 1 x 2 1 x 1),
        (4, 8) => shapes!(1 x 2 1 x 1),
        _ => unreachable!("{CHAINS} chains of {} lanes", V::LANES),
    }
}

/// The body of [`Tiles::blocked`].
#[inline(always)]
pub(super) fn blocked<V: Vector>(isa: V::Isa, args: Fma<'_, V>) {
    fma::<V, Blocked, 1>(isa, args);
}

/// The body of [`Tiles::blocked_short`].
#[inline(always)]
pub(super) fn blocked_short<V: Vector>(isa: V::Isa, args: Fma<'_, V>) {
    fma::<V, Blocked, 4>(isa, args);
}

/// The body of [`Tiles::k_major`].
#[inline(always)]
pub(super) fn k_major<V: Vector>(isa: V::Isa, args: Fma<'_, V>) {
    fma::<V, KMajor, 1>(isa, args);
}

/// The FMAs of a tile of `M` rows by `NV` registers over a block of k.
#[inline(always)]
pub(super) fn accumulate<V: Vector, O: BlockLayout, const M: usize, const NV: usize, const CHAINS: usize>(
    isa: V::Isa,
    operands: TileOperands<'_>,
    tile: &mut [[V; NV]; M],
    direct: &mut Option<Direct<'_>>,
) {
    let TileOperands { group, at, b: matrix, block, start, ahead } = operands;
    let mut panels: [&[[f32; KB * KB]]; NV] = [&[]; NV];
    for (v, panel) in panels.iter_mut().enumerate() {
        *panel = matrix.panel((at.col + v * V::LANES) / KB, block.first);
    }
    // Only loops of known length index it, so that it lives in registers.
    let mut chains = [[[V::splat(isa, 0.0); NV]; M]; CHAINS];
    begin(isa, start, tile, direct, &mut chains[0]);
    let Depth { runs, len } = matrix.depth();
    let per_run = len.div_ceil(KB);
    // Blocks from here to the one that ends a run.
    let mut left = per_run - if runs == 1 { block.first / KB } else { block.first / KB % per_run.max(1) };
    for (n, a) in group.chunks_exact(KB * at.size).enumerate() {
        let a = &a[at.i * KB..][..M * KB];
        let mut b: [&[f32; KB * KB]; NV] = [&[0.0; KB * KB]; NV];
        for (b, panel) in b.iter_mut().zip(panels) {
            *b = &panel[n];
        }
        if let Some(ahead) = ahead
            && n % ahead.groups == 0
        {
            fetch::<V>(isa, ahead, matrix, block, n);
        }
        left -= 1;
        let len = if left == 0 { len - (per_run - 1) * KB } else { KB };
        if left == 0 {
            left = per_run;
        }
        // A whole block by a loop of known length, in which no index needs a check: with eight lanes those would cost as
        // much as the FMAs.
        if len == KB {
            for k in 0..KB / CHAINS {
                for (chain, acc) in chains.iter_mut().enumerate() {
                    multiply::<V, O, M, NV>(isa, a, b, k * CHAINS + chain, acc);
                }
            }
            continue;
        }
        for k in 0..len / CHAINS {
            for (chain, acc) in chains.iter_mut().enumerate() {
                multiply::<V, O, M, NV>(isa, a, b, k * CHAINS + chain, acc);
            }
        }
        for (chain, acc) in chains.iter_mut().enumerate().take(CHAINS - 1) {
            let k = len / CHAINS * CHAINS + chain;
            if k < len {
                multiply::<V, O, M, NV>(isa, a, b, k, acc);
            }
        }
    }
    // Pairwise: (c0 + c1) + (c2 + c3).
    if let [c0, c1, c2, c3] = &mut chains[..] {
        join(c0, c1);
        join(c2, c3);
        join(c0, c2);
    }
    end(&chains[0], tile, direct);
}

/// Sets the chains, or the first of four, to what they start from; they are zero before.
#[inline(always)]
fn begin<V: Vector, const M: usize, const NV: usize>(
    isa: V::Isa,
    start: Start<'_>,
    tile: &[[V; NV]; M],
    direct: &Option<Direct<'_>>,
    chains: &mut [[V; NV]; M],
) {
    match (start, direct) {
        (Start::Zero, _) => {}
        (Start::Columns(values), _) => {
            let mut first = [V::splat(isa, 0.0); NV];
            for (v, value) in first.iter_mut().enumerate() {
                *value = V::load(isa, &values[v * V::LANES..]);
            }
            for row in chains {
                for (value, &first) in row.iter_mut().zip(&first) {
                    *value = first;
                }
            }
        }
        (Start::Accumulate, None) => copy(chains, tile),
        (Start::Accumulate, Some(Direct { c, stride })) => {
            for (i, row) in chains.iter_mut().enumerate() {
                let c = &c[i * *stride..][..NV * V::LANES];
                for (v, value) in row.iter_mut().enumerate() {
                    *value = V::load(isa, &c[v * V::LANES..]);
                }
            }
        }
    }
}

/// Writes the chains to where they end.
#[inline(always)]
fn end<V: Vector, const M: usize, const NV: usize>(
    chains: &[[V; NV]; M],
    tile: &mut [[V; NV]; M],
    direct: &mut Option<Direct<'_>>,
) {
    match direct {
        None => copy(tile, chains),
        Some(Direct { c, stride }) => {
            for (i, row) in chains.iter().enumerate() {
                let c = &mut c[i * *stride..][..NV * V::LANES];
                for (v, value) in row.iter().enumerate() {
                    value.store(&mut c[v * V::LANES..]);
                }
            }
        }
    }
}

/// Fetches this group's share of the next panels, as much of it as falls to block `n` of k.
#[inline(always)]
fn fetch<V: Vector>(isa: V::Isa, ahead: Ahead, matrix: PanelsRef<'_>, block: KBlock, n: usize) {
    let Ahead { panel, panels, group, groups } = ahead;
    let blocks = block.len / KB;
    for p in panel..panel + panels {
        for line in matrix.panel(p, block.first)[(blocks * group / groups + n / groups).min(blocks - 1)].chunks(KB) {
            V::prefetch(isa, line);
        }
    }
}

/// Copies register by register: as a whole it becomes a call to `memcpy`.
#[inline(always)]
fn copy<V: Vector, const M: usize, const NV: usize>(to: &mut [[V; NV]; M], from: &[[V; NV]; M]) {
    for (to, from) in to.iter_mut().zip(from) {
        for (to, &from) in to.iter_mut().zip(from) {
            *to = from;
        }
    }
}

/// Adds the second tile to the first.
#[inline(always)]
fn join<V: Vector, const M: usize, const NV: usize>(sum: &mut [[V; NV]; M], other: &[[V; NV]; M]) {
    for (sum, other) in sum.iter_mut().zip(other) {
        for (sum, &other) in sum.iter_mut().zip(other) {
            *sum = sum.add(other);
        }
    }
}

/// One k of a block: an outer product, `M` FMAs for each register.
#[inline(always)]
fn multiply<V: Vector, O: BlockLayout, const M: usize, const NV: usize>(
    isa: V::Isa,
    a: &[f32],
    b: [&[f32; KB * KB]; NV],
    k: usize,
    acc: &mut [[V; NV]; M],
) {
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
