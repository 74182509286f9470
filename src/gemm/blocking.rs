//! The sizes a product is cut into: plain data.

use crate::kernel::Isa;

/// Tile and block sizes of a product. They decide how fast it is, never what it gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocking {
    /// Rows of A in a full group, hence of a full tile: 8 with sixteen lanes, 6 with eight.
    pub(crate) mr: usize,
    /// k in a block; a multiple of 16.
    pub(crate) kc: usize,
}

impl Blocking {
    /// The blocking for a tier.
    #[must_use]
    pub fn of(isa: Isa) -> Self {
        match isa {
            Isa::Avx512 => Self { mr: 8, kc: 512 },
            Isa::Avx2 | Isa::Portable => Self { mr: 6, kc: 512 },
        }
    }

    /// The same tiles with blocks of `kc` (rounded up to a multiple of 16): for tests and benches.
    #[must_use]
    pub fn with_kc(self, kc: usize) -> Self {
        Self { kc: super::panel::round_up(kc.max(1)), ..self }
    }
}
