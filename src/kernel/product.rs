//! The product of two matrices in panels and groups, with whatever is to be done to each element at its end.
//!
//! ```text
//! for each element (row, col):
//!     acc = start(row, col)
//!     for k ascending: acc = a[row][k] * b[k][col] + acc       (fused)
//!     finish(row, col, acc)
//! ```
//!
//! That is the whole of it; the rest is order. An element is one chain of fused multiply-adds over ascending k on every
//! tier, in every tile and for every blocking, so all tiers with fused multiply-adds give the same bits. (A recurrence or a linear
//! layer
//! over few k has four chains an element instead, see [`Chains`]; again everywhere.)
//!
//! 1. Lanes are columns. Nothing is summed across lanes, so the width of a register cannot show.
//! 2. `M` rows by `NV` registers of columns stay in registers over a block of k: `M + NV` loads feed `M * NV` FMAs.
//! 3. B lies in panels of sixteen columns on every tier, one cache line a k: weights in panels do not depend on the tier.
//! 4. A lies in groups of `M` rows, by blocks of sixteen k ([`Blocked`]): a row's sixteen values are one cache line,
//!    so an epilogue can write its result as the next product's A with plain vector stores, and no two rows of a tile
//!    fall into the same cache set however wide the matrix is.
//! 5. A block of k of the panels in use (3 registers of 64 bytes by 512 k: 96 KiB) stays in L2 while all groups of rows
//!    pass it. Between blocks the accumulators go to memory and come back unrounded.

use super::fma::accumulate;
use super::groups::{Part, parts};
use super::layout::{PANEL, PanelsRef, Place};
use super::tile::{Ahead, BlockLayout, Blocked, Direct, Fma, KBlock, Start, Tile, TileOperands, Tiles};
use crate::simd::Vector;

/// What the elements start from, and what becomes of them: for some registers of a row at a time, from `at` on. Lanes at
/// columns beyond the last hold anything.
pub(crate) trait Epilogue<V: Vector> {
    /// The panels that [`row_product`] sums side by side, where one row of few k is worth code of its own; 1 stands for as
    /// many as there are, up to 4.
    const ROW: Option<usize> = None;

    /// How the accumulators of the tile beginning at column `col` are initialised. The default, [`Start::Accumulate`],
    /// calls [`start`](Self::start) for each row; with the other variants the kernel sets them itself.
    #[inline(always)]
    fn initial(&self, _col: usize) -> Start<'_> {
        Start::Accumulate
    }
    /// For an epilogue that only stores: the initial values, and the part of C that the kernel may read and write directly,
    /// `registers` whole registers a row. `None` goes through the tile.
    #[inline(always)]
    fn direct(&mut self, _at: Place, _registers: usize, _block: KBlock) -> Option<(Start<'_>, Direct<'_>)> {
        None
    }

    /// The values the chains start from.
    fn start(&self, at: Place, row: &mut [V]);
    /// Puts unfinished chains aside.
    fn spill(&mut self, at: Place, row: &[V]);
    /// Takes unfinished chains up again.
    fn reload(&self, at: Place, row: &mut [V]);
    /// Receives the finished chains.
    fn finish(&mut self, at: Place, row: &[V]);
}

/// The operands of a product.
#[derive(Clone, Copy)]
pub(crate) struct Operands<'a> {
    /// In groups; see [`BlockLayout`].
    pub(crate) a: &'a [f32],
    /// The rows that lie in `a`.
    pub(crate) rows: usize,
    /// The first rows, those to be multiplied.
    pub(crate) live: usize,
    pub(crate) b: PanelsRef<'a>,
}

/// Panels of more bytes do not stay in a 1 MiB L2, beside the other operands, from one pass to the next.
const NEAR: usize = 512 * 1024;

/// Groups of rows that pass a tile's panels while the next tile's are fetched. LSTM 512 and 1024 with 32 rows, four groups:
/// 3 to 4 points of the peak more. With the two groups of 16 rows of an Elman layer of 1760 units 3 points less: they leave
/// too little time.
const FETCH_GROUPS: usize = 4;

/// A recurrence over at most this many k runs four chains for each element.
///
/// A step waits for the step before, and one row of few units has too few elements to hide the 4 cycles of an FMA: one
/// chain of 16 takes 64 cycles, four of them 24. From 64 units on (4 registers of 16 lanes, 2 FMAs a cycle) the FMAs
/// themselves take longer than one chain divided in four, and a single chain is soon as good.
pub(super) const SHORT: usize = 64;

/// How many chains of multiply-adds the sum of an element of a recurrence's product is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chains {
    /// One, k ascending.
    One,
    /// Chain j takes every fourth k from j on. The first starts from the element's initial value, the others from zero, and
    /// the end is (c0 + c1) + (c2 + c3).
    Four,
}

impl Chains {
    /// Of a linear layer. One of more than 64 outputs has enough chains side by side without dividing them. (Of few outputs
    /// over more features the sums are [`dots`](super::dots).)
    pub(crate) fn of_linear(features: usize, outputs: usize) -> Self {
        if outputs <= SHORT { Self::over(features) } else { Chains::One }
    }

    /// Of a recurrence over `k`.
    #[inline(always)]
    pub(crate) fn over(k: usize) -> Self {
        if k <= SHORT { Chains::Four } else { Chains::One }
    }
}

/// A·B, element by element into `epilogue`; `CHAINS` is 1, or 4 as [`Chains`] says.
///
/// Only the FMAs are compiled for each shape of tile, and once for all epilogues. Start and end are loops over whatever
/// the shape is: written out for each, an epilogue with a tanh in it takes a hundred times the code.
#[inline(always)]
pub(crate) fn product<V: Tiles, O: BlockLayout, E: Epilogue<V>, const CHAINS: usize>(
    operands: Operands<'_>,
    kc: usize,
    tile: &mut Tile<V>,
    epilogue: &mut E,
) {
    let Operands { a, rows, live, b } = operands;
    let (k, cols) = (b.depth().padded(), b.cols());
    // Each pass over B finds it out of reach: in L3 or in memory.
    let far = CHAINS == 1 && size_of_val(b.data()) > NEAR;
    // Four chains stay in registers to their end.
    let kc = if CHAINS == 1 { kc } else { k.max(1) };
    let mut first = 0;
    // LOOP 4: blocks of k, in order: each element's chain goes on where it stopped.
    loop {
        let block = KBlock { first, len: kc.min(k - first), last: first + kc >= k };
        // LOOP 3: the rows in groups, largest first; what remains is left to the smaller sizes.
        for Part { begin, rows, size, top, tall } in parts(rows, live, V::GEOMETRY.mr) {
            let m = if CHAINS == 1 { tall } else { V::short_rows(tall) };
            let mut column = 0;
            // LOOP 2: tiles of columns. The last register may reach beyond the last column, but not begin there.
            while column < cols {
                let left = (cols - column).div_ceil(V::LANES);
                let nv = if CHAINS == 1 { V::registers(m, left) } else { V::short_registers(m, left) };
                let next = if column + nv * V::LANES < cols { column + nv * V::LANES } else { 0 };
                // LOOP 1: groups of rows against these panels.
                for row in (begin..begin + rows).step_by(size) {
                    let ahead = (far && rows >= FETCH_GROUPS * size).then(|| Ahead {
                        panel: next / PANEL,
                        panels: (nv * V::LANES).div_ceil(PANEL).min(cols.div_ceil(PANEL) - next / PANEL),
                        group: (row - begin) / size,
                        groups: rows / size,
                    });
                    let group = &a[row * k + block.first * size..][..block.len * size];
                    for i in (top..top + tall).step_by(m) {
                        let at = Place { group: row, size, i, col: column };
                        let operands = TileOperands { group, at, b, block, start: Start::Accumulate, ahead };
                        let fma = Fma { operands, shape: (m, nv), tile: &mut *tile, direct: None };
                        run::<V, O, E, CHAINS>(fma, epilogue);
                    }
                }
                column += nv * V::LANES;
            }
        }
        if block.last {
            return;
        }
        first += kc;
    }
}

/// [`product`] of one row with four chains: a step of a small layer takes some tens of nanoseconds, which loops over
/// tiles, groups and blocks would double.
#[inline(always)]
pub(crate) fn row_product<V: Tiles, E: Epilogue<V>>(isa: V::Isa, a: &[f32], b: PanelsRef<'_>, epilogue: &mut E) {
    let registers = b.cols().div_ceil(V::LANES);
    let k = b.depth().padded();
    let block = KBlock { first: 0, len: k, last: true };
    let a = &a[..k];
    macro_rules! tile {
        ($NV:literal, $v:expr) => {{
            let at = Place { group: 0, size: 1, i: 0, col: $v * V::LANES };
            let mut row = [[V::splat(isa, 0.0); $NV]];
            epilogue.start(at, &mut row[0]);
            let operands = TileOperands { group: a, at, b, block, start: Start::Accumulate, ahead: None };
            accumulate::<V, Blocked, 1, $NV, 4>(isa, operands, &mut row, &mut None);
            epilogue.finish(at, &row[0]);
        }};
    }
    // A register takes a whole panel, and there is room for four chains of four of them.
    let wide = const { V::LANES == PANEL && V::GEOMETRY.registers > 4 * 4 };
    match (wide, E::ROW, registers) {
        // Every gate of a panel's units.
        (true, Some(3), _) => {
            for v in (0..registers).step_by(3) {
                tile!(3, v);
            }
        }
        (true, Some(4), _) => {
            for v in (0..registers).step_by(4) {
                tile!(4, v);
            }
        }
        (true, _, 1) => tile!(1, 0),
        (true, _, 2) => tile!(2, 0),
        (true, _, 3) => tile!(3, 0),
        (true, _, 4) => tile!(4, 0),
        _ => {
            for v in (0..registers / 2 * 2).step_by(2) {
                tile!(2, v);
            }
            if registers % 2 == 1 {
                tile!(1, registers - 1);
            }
        }
    }
}

/// One tile from start to end: `m` rows from `at` on by `nv` registers.
#[inline(always)]
fn run<V: Tiles, O: BlockLayout, E: Epilogue<V>, const CHAINS: usize>(fma: Fma<'_, V>, epilogue: &mut E) {
    let Fma { operands, shape: (m, nv), .. } = fma;
    let TileOperands { at, block, .. } = operands;
    if let Some((start, direct)) = epilogue.direct(at, nv, block) {
        O::fma::<V, CHAINS>(Fma { operands: TileOperands { start, ..operands }, direct: Some(direct), ..fma });
        return;
    }
    let start = if block.first == 0 { epilogue.initial(at.col) } else { Start::Accumulate };
    if let Start::Accumulate = start {
        let mut rest = &mut fma.tile[..];
        for i in 0..m {
            let row;
            (row, rest) = rest.split_at_mut(nv);
            let at = Place { i: at.i + i, ..at };
            if block.first == 0 {
                epilogue.start(at, row);
            } else {
                epilogue.reload(at, row);
            }
        }
    }
    O::fma::<V, CHAINS>(Fma { operands: TileOperands { start, ..operands }, tile: &mut *fma.tile, ..fma });
    let mut rest = &fma.tile[..];
    for i in 0..m {
        let row;
        (row, rest) = rest.split_at(nv);
        let at = Place { i: at.i + i, ..at };
        if block.last {
            epilogue.finish(at, row);
        } else {
            epilogue.spill(at, row);
        }
    }
}
