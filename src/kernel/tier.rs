//! What a tier's file says of it: its name, its registers, and where its entry points are.

use super::Kernels;
use super::groups::group_sizes;

/// The registers of the largest tile of any tier.
pub(super) const TILE: usize = 24;

/// A tier. It stands once, in the tier's file, and is there on every machine: a schedule may be made for a tier that this
/// one lacks.
pub(super) struct Tier {
    pub(super) name: &'static str,
    pub(super) geometry: Geometry,
    /// Its entry points, where this machine can run them.
    pub(super) table: fn() -> Option<&'static Kernels>,
}

/// The registers of a tier, and the highest tile that they hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// `f32` lanes of a register: at least [`HALF_LANES`](crate::simd::HALF_LANES), and a divisor of a
    /// [`PANEL`](super::layout::PANEL).
    pub(crate) lanes: usize,
    /// Registers there are.
    pub(crate) registers: usize,
    /// Rows of a full tile (MR), hence of a full group of A's rows.
    pub(crate) mr: usize,
}

/// The tiles of one height that a tier has.
pub(super) struct TileWidths<'a> {
    pub(super) rows: usize,
    /// Registers of a row, the widest first, down to 1.
    pub(super) registers: &'a [usize],
}

impl Geometry {
    /// That the tiles of `chains` chains an element fit the registers: the accumulators, a row of B and an element of A. (A
    /// single row takes B from memory.) And that every size of group is made of them.
    pub(super) const fn check(self, tiles: &[TileWidths<'_>], chains: usize) {
        assert!(4 <= self.mr && self.mr <= 8, "what is left of a group is less than 4 + 2 + 1 rows");
        let sizes = group_sizes(self.mr);
        assert!(chains > 1 || tiles.len() == sizes.len(), "a tile of one chain for each size of group");
        let mut t = 0;
        while t < tiles.len() {
            let TileWidths { rows, registers } = tiles[t];
            let mut s = 0;
            while s < sizes.len() {
                assert!(chains == 1 || sizes[s] < rows || sizes[s].is_multiple_of(rows), "whole tiles in a group");
                s += 1;
            }
            assert!(chains > 1 || rows == sizes[t], "a tile of one chain takes a whole group");
            let widest = registers[0];
            let row_of_b = if rows > 1 { widest } else { 0 };
            assert!(rows * widest <= TILE, "a tile is at most the largest");
            assert!(chains * rows * widest + row_of_b < self.registers, "a tile stays in registers");
            assert!(registers[registers.len() - 1] == 1, "a tile for the last register of a row");
            t += 1;
        }
        assert!(tiles[tiles.len() - 1].rows == 1, "a tile for a single row");
    }
}
