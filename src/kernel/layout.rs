//! Packed operands: where each element of A and B lies.
//!
//! B is the same on every tier, so weights packed once serve them all; A's groups are as high as the tier's tiles.
//!
//! ```text
//! B (k, cols), panels of 16 columns, each k one cache line; k padded to whole blocks of 16:
//!     panel 0                      panel 1
//!     b[0][0]  .. b[0][15]         b[0][16] .. b[0][31]
//!     b[1][0]  .. b[1][15]         b[1][16] .. b[1][31]
//!     …                            …
//!
//! A (rows, k), groups of M rows, blocks of 16 k:
//!     group 0, block 0: a[0][0] .. a[0][15], a[1][0] .. a[1][15], … a[M-1][15]
//!     group 0, block 1: a[0][16] .. a[0][31], …
//!     group 1, block 0: a[M][0] .. …
//! ```
//!
//! The padding is never part of a sum; it only keeps the addresses regular. Where k counts the units of several gates,
//! each gate is padded by itself ([`Depth`]). Where columns do, panels of the gates alternate: those of the first 16 units,
//! gate by gate, then those of the next 16.

use std::ops::Range;

/// k in a block, and columns in a panel: the floats of one cache line.
pub(crate) const KB: usize = 16;

/// `n` rounded up to whole blocks.
#[inline(always)]
pub(crate) const fn round_up(n: usize) -> usize {
    n.next_multiple_of(KB)
}

/// Rows in a full group, hence in a full tile, with that many lanes: a tile of 8×3 registers of sixteen lanes takes 24 of
/// 32 registers for its accumulators, 3 for B and 1 for A; one of 6×2 of eight lanes takes 12 of 16, 2 and 1.
#[inline(always)]
pub(crate) const fn group_rows(lanes: usize) -> usize {
    if lanes == 16 { 8 } else { 6 }
}

/// The sizes of the groups of rows, largest first: rows are taken by the first while they last, then by the next.
#[inline(always)]
pub(crate) const fn group_sizes(mr: usize) -> [usize; 4] {
    [mr, 4, 2, 1]
}

/// The groups of `rows` rows: first row and size of each.
pub(crate) fn groups(rows: usize, mr: usize) -> Groups {
    Groups { row: 0, rows, sizes: group_sizes(mr), largest: 0 }
}

/// Iterates over [`groups`].
#[derive(Clone)]
pub(crate) struct Groups {
    row: usize,
    rows: usize,
    sizes: [usize; 4],
    /// The sizes before this one are used up.
    largest: usize,
}

impl Iterator for Groups {
    type Item = (usize, usize);

    #[inline(always)]
    fn next(&mut self) -> Option<(usize, usize)> {
        while let Some(&size) = self.sizes.get(self.largest) {
            if self.rows - self.row >= size {
                let first = self.row;
                self.row += size;
                return Some((first, size));
            }
            self.largest += 1;
        }
        None
    }
}

/// The k of a product: `runs` runs of `len` (one for each gate), every run padded to whole blocks. The padding is never
/// part of a sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Depth {
    pub(crate) runs: usize,
    pub(crate) len: usize,
}

impl Depth {
    /// A single run.
    pub(crate) const fn of(len: usize) -> Self {
        Self { runs: 1, len }
    }

    /// k that are part of a sum.
    pub(crate) const fn k(self) -> usize {
        self.runs * self.len
    }

    /// k with the padding.
    #[inline(always)]
    pub(crate) const fn padded(self) -> usize {
        self.runs * round_up(self.len)
    }

    /// Where the `k`th of a sum lies.
    pub(crate) const fn place(self, k: usize) -> usize {
        k / self.len * round_up(self.len) + k % self.len
    }
}

/// A matrix B (k, cols) in panels, borrowed.
#[derive(Clone, Copy)]
pub(crate) struct PanelsRef<'a> {
    /// Panel by panel, blocks of 16 k by 16 columns.
    data: &'a [[f32; KB * KB]],
    depth: Depth,
    cols: usize,
}

impl<'a> PanelsRef<'a> {
    /// The matrix whose panels lie in `data`.
    pub(crate) fn new(data: &'a [f32], depth: Depth, cols: usize) -> Self {
        Self { data: data.as_chunks().0, depth, cols }
    }

    #[inline(always)]
    pub(crate) fn depth(self) -> Depth {
        self.depth
    }

    #[inline(always)]
    pub(crate) fn cols(self) -> usize {
        self.cols
    }

    /// The blocks of panel `p` from padded row `k` (a multiple of 16) on.
    #[inline(always)]
    pub(crate) fn panel(self, p: usize, k: usize) -> &'a [[f32; KB * KB]] {
        let blocks = self.depth.padded() / KB;
        &self.data[p * blocks + k / KB..(p + 1) * blocks]
    }

    /// Panels `panels`, with their padding.
    ///
    /// # Panics
    /// If there are fewer.
    pub(crate) fn panels(self, panels: Range<usize>) -> Self {
        let blocks = self.depth.padded() / KB;
        let cols = (self.cols - panels.start * KB).min(panels.len() * KB);
        Self { data: &self.data[panels.start * blocks..panels.end * blocks], cols, ..self }
    }

    /// The same columns over no rows: a product with it only starts and finishes.
    pub(crate) fn without_rows(self) -> Self {
        Self { data: &[], depth: Depth::of(0), ..self }
    }

    /// Every element, as the module's head draws it.
    pub(crate) fn data(self) -> &'a [f32] {
        self.data.as_flattened()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_cover_every_row_once_largest_first() {
        for mr in [6, 8] {
            for rows in 0..40 {
                let mut next = 0;
                let mut largest = mr;
                for (first, size) in groups(rows, mr) {
                    assert_eq!(first, next);
                    assert!(size <= largest);
                    (next, largest) = (first + size, size);
                }
                assert_eq!(next, rows);
            }
        }
    }
}
