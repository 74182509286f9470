//! Floor 2: loops over slices and sequences, written once over any [`Vector`](crate::simd::Vector), and one table of
//! entry points for each instruction set.
//!
//! README.md beside this file is the contract of every entry. A table can only be had from [`Kernels`]' constructors,
//! which ask the CPU first: holding one is the proof that its entries may be called.

use std::fmt;
use std::sync::OnceLock;

use crate::error::{Error, Result};
use crate::simd::HALF_LANES;

pub(crate) mod blocking;
pub(crate) mod cell;
mod chains;
pub(crate) mod dots;
pub(crate) mod elementwise;
mod fma;
pub(crate) mod gemm;
pub(crate) mod groups;
pub(crate) mod in_place;
pub(crate) mod layout;
mod pack;
pub(crate) mod peak;
pub(crate) mod product;
pub(crate) mod recurrence;
pub(crate) mod step;
mod table;
mod tier;
pub(crate) mod tile;

// The tiers: a new one is a file here, and a line in each list of `Isa`.
mod avx2;
mod avx512;
mod portable;

use cell::{Cell, Nonlinearity};
use dots::Dots;
use elementwise::{AdamStep, ColumnSums, SgdStep};
use gemm::{Gemm, Outer};
use in_place::{RowsOuter, RowsProduct};
use layout::Place;
use peak::Peak;
use recurrence::{Backward, Forward};
use step::{Dense, Steps};
pub(crate) use tier::Geometry;
use tier::Tier;

/// A tier of instructions.
///
/// ```
/// use elman::{Isa, Lstm, Rng};
///
/// let model = Lstm::builder(3, 8).linear("fc", 1).isa(Isa::Portable).model(&mut Rng::new(1))?;
/// assert_eq!(model.isa().name(), "portable");
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum Isa {
    /// AVX-512F: sixteen lanes, 32 registers.
    Avx512,
    /// AVX2 with FMA: eight lanes, 16 registers.
    Avx2,
    /// Whatever the compilation target has, by way of the crate `wide`; GEMMs by way of `matrixmultiply`.
    Portable,
}

impl Isa {
    /// Every tier, best first.
    pub const ALL: &[Isa] = &[Isa::Avx512, Isa::Avx2, Isa::Portable];

    fn tier(self) -> &'static Tier {
        match self {
            Isa::Avx512 => &avx512::TIER,
            Isa::Avx2 => &avx2::TIER,
            Isa::Portable => &portable::TIER,
        }
    }

    /// Its registers and its largest tile: plain data, whether or not this machine has the tier.
    pub(crate) fn geometry(self) -> Geometry {
        self.tier().geometry
    }

    /// The name `ELMAN_ISA` knows it by.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.tier().name
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The entry points of one tier. To hold a `&Kernels` is to know that this CPU can run them.
pub struct Kernels {
    isa: Isa,
    pub(crate) gemm: fn(Gemm<'_>),
    pub(crate) outer: fn(Outer<'_>),
    pub(crate) rows_product: fn(RowsProduct<'_>),
    pub(crate) rows_outer: fn(RowsOuter<'_>),
    /// Of an Elman cell with tanh and with relu, a GRU, an LSTM: as [`Kernels::recurrence`] counts them.
    recurrence: [RecurrenceKernels; 4],
    pub(crate) dense: fn(Dense<'_>),
    pub(crate) dots: fn(Dots<'_>),
    pub(crate) column_sums: fn(ColumnSums<'_>),
    pub(crate) pack_row: fn(&mut [f32], Place, &[f32]),
    pub(crate) pack_columns: fn(&mut [f32], usize, usize, &[f32]),
    pub(crate) adam: fn(AdamStep<'_>),
    pub(crate) sgd: fn(SgdStep<'_>),
    peak: fn(Peak<'_>),
    read: fn(&[f32], &mut f32),
    tanh: fn(&mut [f32]),
    sigmoid: fn(&mut [f32]),
    exp: fn(&mut [f32]),
}

/// The entries of one cell.
#[derive(Clone, Copy)]
pub(crate) struct RecurrenceKernels {
    pub(crate) forward: fn(Forward<'_, '_>),
    pub(crate) backward: fn(Backward<'_, '_>),
    pub(crate) steps: fn(Steps<'_>),
    pub(crate) row_steps: fn(Steps<'_>),
}

impl Kernels {
    /// The entries of a cell.
    pub(crate) fn recurrence(&self, cell: Cell) -> &RecurrenceKernels {
        &self.recurrence[match cell {
            Cell::Elman(Nonlinearity::Tanh) => 0,
            Cell::Elman(Nonlinearity::Relu) => 1,
            Cell::Gru => 2,
            Cell::Lstm => 3,
        }]
    }

    /// The same tier with another entry, which may count its calls.
    #[cfg(test)]
    pub(crate) fn with_column_sums(&self, column_sums: fn(ColumnSums<'_>)) -> Self {
        Self { column_sums, ..*self }
    }

    /// The tier to use: the one `ELMAN_ISA` names (`avx512`, `avx2` or `portable`), or the best of this machine where
    /// it is not set, or empty. Asked once for each process.
    ///
    /// # Errors
    /// [`Error::Isa`] where `ELMAN_ISA` is set to a tier that is unknown or that this machine lacks.
    pub fn active() -> Result<&'static Kernels> {
        static ACTIVE: OnceLock<Result<&'static Kernels>> = OnceLock::new();
        ACTIVE
            .get_or_init(|| match std::env::var_os("ELMAN_ISA") {
                Some(name) if !name.is_empty() => Self::named(&name.to_string_lossy()),
                _ => Ok(Self::best()),
            })
            .clone()
    }

    /// The best tier of this machine, whatever `ELMAN_ISA` says.
    #[must_use]
    pub fn best() -> &'static Kernels {
        Self::available().next().expect("the portable tier is always there")
    }

    /// The tier `isa`, or `None` where this machine cannot run it.
    #[must_use]
    pub fn of(isa: Isa) -> Option<&'static Kernels> {
        (isa.tier().table)()
    }

    /// The tiers this machine can run, best first.
    pub fn available() -> impl Iterator<Item = &'static Kernels> {
        Isa::ALL.iter().copied().filter_map(Self::of)
    }

    /// The tier `isa`, or where none is chosen the [`active`](Self::active) one.
    ///
    /// # Errors
    /// [`Error::Isa`] where this machine lacks it.
    pub(crate) fn chosen(isa: Option<Isa>) -> Result<&'static Kernels> {
        isa.map_or_else(Self::active, |isa| Self::named(isa.name()))
    }

    /// The tier of that name.
    ///
    /// # Errors
    /// [`Error::Isa`] where there is no such tier, or this machine lacks it.
    pub fn named(name: &str) -> Result<&'static Kernels> {
        Self::available().find(|kernels| kernels.isa.name() == name).ok_or_else(|| Error::Isa {
            asked: name.into(),
            available: Self::available().map(|kernels| kernels.isa.to_string()).collect(),
        })
    }

    /// Which tier this is.
    #[must_use]
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// The tier's registers and its largest tile.
    pub(crate) fn geometry(&self) -> Geometry {
        self.isa.geometry()
    }

    /// The tier for steps of so few units, the same bits: one whose registers are [`HALF_LANES`] long, where these fill no
    /// more. Some CPUs send half as many short instructions while long ones are under way, and here none are: an LSTM of 8
    /// units takes 42 ns a step instead of 53.
    pub(crate) fn for_steps_of(&'static self, units: usize) -> &'static Self {
        match self.isa {
            Isa::Avx512 if units <= HALF_LANES => Self::of(Isa::Avx2).unwrap_or(self),
            _ => self,
        }
    }

    /// The roof: runs `rounds` rounds of independent multiply-adds in registers, and gives the number of floating-point
    /// operations that were. Time it beside other work to know what share of the machine's arithmetic that work gets.
    #[must_use]
    pub fn peak(&self, rounds: usize) -> f64 {
        let mut done = (0.0, 0.0);
        (self.peak)(Peak { rounds, done: &mut done });
        std::hint::black_box(done).0
    }

    /// Loads every element and does next to nothing with it; what it gives has no meaning. To measure bandwidth.
    pub fn read(&self, from: &[f32]) -> f32 {
        let mut sum = 0.0;
        (self.read)(from, &mut sum);
        sum
    }

    /// The hyperbolic tangent of every element, in place; at most [`TANH_ULP`](crate::TANH_ULP) from the exact value
    /// (2 on the portable tier).
    pub fn tanh(&self, x: &mut [f32]) {
        (self.tanh)(x);
    }

    /// The logistic function 1 / (1 + e^-x) of every element, in place; at most
    /// [`SIGMOID_ULP`](crate::SIGMOID_ULP) from the exact value (2 on the
    /// portable tier).
    pub fn sigmoid(&self, x: &mut [f32]) {
        (self.sigmoid)(x);
    }

    /// e^x of every element, in place; at most [`EXP_ULP`](crate::EXP_ULP) from the exact value (1.5 on the
    /// portable tier).
    pub fn exp(&self, x: &mut [f32]) {
        (self.exp)(x);
    }
}

impl fmt::Debug for Kernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernels").field("isa", &self.isa).finish_non_exhaustive()
    }
}
