//! The operands of a product: where each element of A and B lies.
//!
//! B is the same on every tier, so weights laid out once serve them all; A's groups are as high as the tier's tiles.
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
//! each gate is padded by itself ([`Depth`]). Where columns do, panels of the gates alternate ([`GateColumns`]).

use std::ops::Range;

pub(crate) use crate::tensor::LINE;

/// What a weight is in memory: an element of B.
pub(crate) type Weight = f32;

/// Columns of a panel of B, hence units of a gate that lie side by side: a multiple of every tier's lanes.
pub(crate) const PANEL: usize = 16;

/// k in a block of A or B.
pub(crate) const K_BLOCK: usize = 16;

// A step writes its units, a panel at a time, where the next one reads them as a block of k.
const _: () = assert!(PANEL == K_BLOCK);

/// [`K_BLOCK`] k of a panel, k by k.
pub(crate) type PanelBlock = [Weight; K_BLOCK * PANEL];

/// `columns` (or units, which are a gate's columns) rounded up to whole panels.
#[inline(always)]
pub(crate) const fn whole_panels(columns: usize) -> usize {
    columns.next_multiple_of(PANEL)
}

/// `k` rounded up to whole blocks.
#[inline(always)]
pub(crate) const fn whole_blocks(k: usize) -> usize {
    k.next_multiple_of(K_BLOCK)
}

/// One element's place: which row of which group, and the first column of the register it is in.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    /// The first row of the group.
    pub(super) group: usize,
    /// Rows in the group.
    pub(super) size: usize,
    /// The row inside the group.
    pub(super) i: usize,
    /// The column of lane 0.
    pub(crate) col: usize,
}

impl Place {
    /// Column 0 of row `i` of a group of `size` rows that begins with row `group`.
    pub(crate) fn new(group: usize, size: usize, i: usize) -> Self {
        Self { group, size, i, col: 0 }
    }

    /// The row of the product.
    #[inline(always)]
    pub(crate) fn row(self) -> usize {
        self.group + self.i
    }

    /// Where column `col` of this row lies in a blocked operand of `padded` columns with the same groups of rows.
    #[inline(always)]
    pub(crate) fn blocked(self, padded: usize, col: usize) -> usize {
        self.group * padded + (col / K_BLOCK * self.size + self.i) * K_BLOCK + col % K_BLOCK
    }
}

/// The columns of several gates' units: panels alternate, those of the first 16 units, gate by gate, then those of the
/// next 16. A last panel of fewer units is padded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GateColumns {
    pub(crate) gates: usize,
}

impl GateColumns {
    /// The column of a unit of a gate.
    #[inline(always)]
    pub(crate) const fn of(self, gate: usize, unit: usize) -> usize {
        (unit / PANEL * self.gates + gate) * PANEL + unit % PANEL
    }

    /// The gate and the unit at a column.
    #[inline(always)]
    pub(crate) const fn gate_and_unit(self, col: usize) -> (usize, usize) {
        let panel = col / PANEL;
        (panel % self.gates, panel / self.gates * PANEL + col % PANEL)
    }

    /// Columns that so many units take, padding included.
    #[inline(always)]
    pub(crate) const fn width(self, units: usize) -> usize {
        self.gates * whole_panels(units)
    }

    /// The panels of some units, from a multiple of 16 on: they lie side by side.
    pub(crate) fn panels(self, units: Range<usize>) -> Range<usize> {
        units.start / PANEL * self.gates..units.end.div_ceil(PANEL) * self.gates
    }
}

/// [`copy_few`] copies fewer floats than this.
pub(crate) const FEW: usize = 16;

/// Copies fewer than [`FEW`] floats, by powers of two: a loop becomes a call to `memcpy`, which takes longer.
#[inline(always)]
pub(crate) fn copy_few(to: &mut [f32], from: &[f32]) {
    let mut at = 0;
    macro_rules! copy {
        ($($N:literal)*) => {
            $(if from.len() & $N != 0 {
                to[at..at + $N].copy_from_slice(&from[at..at + $N]);
                at += $N;
            })*
        };
    }
    copy!(8 4 2 1);
    debug_assert_eq!(at, from.len());
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
        self.runs * whole_blocks(self.len)
    }

    /// Where the `k`th of a sum lies.
    pub(crate) const fn place(self, k: usize) -> usize {
        k / self.len * whole_blocks(self.len) + k % self.len
    }
}

/// A matrix B (k, cols) in panels, borrowed.
#[derive(Clone, Copy)]
pub(crate) struct PanelsRef<'a> {
    /// Panel by panel, blocks of 16 k by 16 columns.
    data: &'a [PanelBlock],
    depth: Depth,
    cols: usize,
}

impl<'a> PanelsRef<'a> {
    /// The matrix whose panels lie in `data`.
    #[inline]
    pub(crate) fn new(data: &'a [Weight], depth: Depth, cols: usize) -> Self {
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
    pub(crate) fn panel(self, p: usize, k: usize) -> &'a [PanelBlock] {
        let blocks = self.depth.padded() / K_BLOCK;
        &self.data[p * blocks + k / K_BLOCK..(p + 1) * blocks]
    }

    /// Panels `panels`, with their padding.
    ///
    /// # Panics
    /// If there are fewer.
    pub(crate) fn panels(self, panels: Range<usize>) -> Self {
        let blocks = self.depth.padded() / K_BLOCK;
        let cols = (self.cols - panels.start * PANEL).min(panels.len() * PANEL);
        Self { data: &self.data[panels.start * blocks..panels.end * blocks], cols, ..self }
    }

    /// The same columns over no rows: a product with it only starts and finishes.
    pub(crate) fn without_rows(self) -> Self {
        Self { data: &[], depth: Depth::of(0), ..self }
    }

    /// Every element, as the module's head draws it.
    pub(crate) fn data(self) -> &'a [Weight] {
        self.data.as_flattened()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_columns_alternate_by_panels() {
        let columns = GateColumns { gates: 3 };
        assert_eq!([columns.of(0, 0), columns.of(2, 15), columns.of(0, 16), columns.of(1, 17)], [0, 47, 48, 65]);
        for gates in [1, 3, 4] {
            let columns = GateColumns { gates };
            let mut all: Vec<usize> = (0..gates * 40).map(|n| columns.of(n / 40, n % 40)).collect();
            (0..gates * 40).for_each(|n| assert_eq!(columns.gate_and_unit(all[n]), (n / 40, n % 40)));
            all.sort();
            all.dedup();
            assert!(all.len() == gates * 40 && all.iter().all(|&column| column < columns.width(40)));
            assert_eq!(columns.panels(16..40), gates..3 * gates);
        }
    }
}
