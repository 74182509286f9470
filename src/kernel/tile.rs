//! A tile, what its FMAs read and write, and the tiles that a tier has.

use super::layout::{K_BLOCK, PanelsRef, Place};
use super::tier::{Geometry, TILE};
use crate::simd::Vector;

/// How A lies inside a block of [`K_BLOCK`] k of a group of `M` rows.
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
        i * K_BLOCK + k
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

/// A part of the k, with their padding: `len` from `first` on, multiples of [`K_BLOCK`].
#[derive(Clone, Copy)]
pub(crate) struct KBlock {
    pub(super) first: usize,
    pub(super) len: usize,
    pub(super) last: bool,
}

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

/// A tier's tiles: the shapes that its file lists, and their FMAs. Those are compiled once a tier, out of line: the loops of
/// [`product`](super::product) call them, some thousands of FMAs a call. The values in the tile are the proof that the CPU
/// has the instructions.
pub(crate) trait Tiles: Vector {
    const GEOMETRY: Geometry;

    /// Registers to a row in a tile of `rows` rows where `left` are left: as many as the widest tile that there is.
    fn registers(rows: usize, left: usize) -> usize;
    /// The same with four chains an element.
    fn short_registers(rows: usize, left: usize) -> usize;
    /// Rows of a tile with four chains an element in groups of `size`: four chains take four times the registers.
    fn short_rows(size: usize) -> usize;

    /// A [`Blocked`], one chain an element.
    fn blocked(args: Fma<'_, Self>);
    /// A [`Blocked`], four chains an element.
    fn blocked_short(args: Fma<'_, Self>);
    /// A [`KMajor`], one chain an element.
    fn k_major(args: Fma<'_, Self>);

    /// The tile of that shape with one chain an element, compiled where it is called.
    fn one_chain<O: BlockLayout>(isa: Self::Isa, args: Fma<'_, Self>);
    /// The same with four.
    fn four_chains(isa: Self::Isa, args: Fma<'_, Self>);
}
