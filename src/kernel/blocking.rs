//! The sizes a product is cut into: plain data.

use super::Isa;
use super::layout::whole_blocks;

/// Measured, GEMM 512×512×512 on a Zen 5 core with AVX-512: 64 k 82 % of peak, 128 k 88 %, 256 k 93 %, 512 k 95 %, and
/// no more beyond. The panels in use are then 96 KiB and come from L2, which is fast enough; shorter blocks that fit L1
/// lose more by putting accumulators aside.
const KC: usize = 512;

/// Floats of A in the groups of a block of rows that a product lays out at once: half of a 1 MiB L2, the other half being
/// left to B and C.
const A_BLOCK: usize = 512 * 1024 / size_of::<f32>();

/// Rows of A in a block of LOOP 5, `padded` k each: whole groups of `mr`.
pub(crate) fn block_rows(padded: usize, mr: usize) -> usize {
    (A_BLOCK / padded.max(1)).max(1).next_multiple_of(mr)
}

/// Tile and block sizes of a product. They decide how fast it is, never what it gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocking {
    /// Rows of a full tile: the grain by which rows are shared out.
    pub(crate) mr: usize,
    /// k in a block of LOOP 4: whole blocks of 16.
    pub(crate) kc: usize,
}

impl Blocking {
    /// The blocking for a tier.
    #[must_use]
    pub fn of(isa: Isa) -> Self {
        Self { mr: isa.geometry().mr, kc: KC }
    }

    /// The same tiles with blocks of `kc` (rounded up to a multiple of 16): for tests and benches.
    #[must_use]
    pub fn with_kc(self, kc: usize) -> Self {
        Self { kc: whole_blocks(kc.clamp(1, 1 << 20)), ..self }
    }
}
