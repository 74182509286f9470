//! Ring 3: products of matrices as they come, row-major, with weights packed beforehand.
//!
//! The loops are named as in the literature (Goto and van de Geijn, BLIS), outermost first:
//!
//! ```text
//! LOOP 5  blocks of MC rows        here: A is packed block by block, to stay in L2
//! LOOP 4  blocks of KC k           kernel/gemm.rs, as are all below
//! LOOP 3  groups of rows by size
//! LOOP 2  tiles of columns         a block of panels stays in cache …
//! LOOP 1  groups of rows           … while the groups pass it
//! ```
//!
//! There is no loop over blocks of columns: B is packed whole, once, and LOOP 2 walks it in order.

pub(crate) mod blocking;
pub mod fallback;
pub(crate) mod panel;

use std::ops::Range;

pub use blocking::Blocking;
pub use panel::Panels;

use crate::kernel::elementwise::ColumnSums;
use crate::kernel::gemm::{Gemm, Outer, Start};
use crate::kernel::layout::{group_rows, round_up};
use crate::kernel::{Isa, Kernels};
use crate::tensor::{Buffer, SeqRef};
use panel::{pack_rows, pack_transposed_row};

/// Floats of packed A in a block of LOOP 5: half of a 1 MiB L2, the other half being left to B and C.
const A_BLOCK: usize = 512 * 1024 / size_of::<f32>();

/// Memory that products pack into; one for each worker. Grows to the largest use, then stays.
#[derive(Clone, Debug, Default)]
pub struct GemmScratch {
    a: Buffer,
    b: Panels,
    plain: Buffer,
}

/// C = start + A·B. `a` is (steps, rows, at least k), `c` (steps * rows, stride) row-major; of each row the first
/// `b.cols()` elements are written.
pub(crate) fn multiply(
    kernels: &Kernels,
    blocking: Blocking,
    a: SeqRef<'_>,
    b: &Panels,
    start: Start<'_>,
    (c, stride): (&mut [f32], usize),
    scratch: &mut GemmScratch,
) {
    let (b, k, mr) = (b.view(), b.k(), group_rows(kernels.isa().lanes()));
    let [steps, batch, width] = a.shape();
    let rows = steps * batch;
    if kernels.isa() == Isa::Portable {
        fallback::multiply(a, b, start, (c, stride), &mut scratch.plain);
        return;
    }
    let mc = (A_BLOCK / round_up(k).max(1)).max(1).next_multiple_of(mr);
    // LOOP 5
    for (block, c) in c[..rows * stride].chunks_mut((mc * stride).max(1)).enumerate() {
        let first = block * mc;
        let rows = mc.min(rows - first);
        scratch.a.resize(rows * round_up(k));
        match a.flat() {
            Some(flat) => {
                pack_rows(&mut scratch.a, rows, k, mr, |row| &flat[(first + row) * width..][..k]);
            }
            None => pack_rows(&mut scratch.a, rows, k, mr, |row| {
                let (t, row) = ((first + row) / batch, (first + row) % batch);
                &a.step(t)[row * width..][..k]
            }),
        }
        (kernels.gemm)(Gemm { a: &scratch.a, rows, b, start, c, stride, kc: blocking.kc });
    }
}

/// Rows to be summed over: those of a sequence, step by step.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    /// (T, B, width), or one step less where `before` stands for step 0.
    seq: SeqRef<'a>,
    /// (B, width): what comes before the first step of `seq`, where the rows are the states before each step.
    before: Option<&'a [f32]>,
    /// Of each row, these are taken.
    first: usize,
    taken: usize,
}

impl<'a> Rows<'a> {
    /// The rows of `seq`.
    pub(crate) fn of(seq: SeqRef<'a>) -> Self {
        Self { seq, before: None, first: 0, taken: seq.shape()[2] }
    }

    /// The rows one step earlier: `before` (B, width), then those of `seq` but its last step's.
    pub(crate) fn delayed(before: &'a [f32], seq: SeqRef<'a>) -> Self {
        Self { before: Some(before), ..Self::of(seq) }
    }

    /// Of each row, the `range`.
    pub(crate) fn columns(self, range: Range<usize>) -> Self {
        Self { first: range.start, taken: range.len(), ..self }
    }

    fn step(self, t: usize) -> &'a [f32] {
        match self.before {
            None => self.seq.step(t),
            Some(before) if t == 0 => before,
            Some(_) => self.seq.step(t - 1),
        }
    }

    /// Calls `f(k, row)` for `depth` rows from the `first` on, k counting from 0, in the order of the sum: from the last
    /// step to the first and, inside a step, from the first row to the last. That is the order in which a backward pass
    /// gets hold of them.
    #[inline]
    fn visit(self, first: usize, depth: usize, mut f: impl FnMut(usize, &'a [f32])) {
        let [steps, batch, width] = self.seq.shape();
        let (mut k, mut t, mut row) = (0, steps - 1 - first / batch, first % batch);
        while k < depth {
            let step = self.step(t);
            while row < batch && k < depth {
                f(k, &step[row * width + self.first..][..self.taken]);
                (k, row) = (k + 1, row + 1);
            }
            (t, row) = (t.wrapping_sub(1), 0);
        }
    }
}

/// A right operand of [`accumulate_outer`] and what its products are added to.
pub(crate) struct Target<'a> {
    /// The right operand.
    pub(crate) right: Rows<'a>,
    /// (columns taken of the left operand, columns taken of the right), row-major.
    pub(crate) c: &'a mut [f32],
}

/// For each target, C += Aᵀ·B: the sum over all rows of the outer products of A's row and B's, in the order of
/// [`Rows`]. A's rows are packed once for all targets.
pub(crate) fn accumulate_outer(
    kernels: &Kernels,
    blocking: Blocking,
    left: Rows<'_>,
    targets: &mut [Target<'_>],
    scratch: &mut GemmScratch,
) {
    let [steps, batch, _] = left.seq.shape();
    let rows = left.taken;
    let (portable, mr) = (kernels.isa() == Isa::Portable, group_rows(kernels.isa().lanes()));
    let kc = if portable { fallback::DEPTH } else { blocking.kc };
    for first in (0..steps * batch).step_by(kc) {
        let depth = kc.min(steps * batch - first);
        if portable {
            fallback::outer((first, depth), left, targets, scratch);
            continue;
        }
        scratch.a.resize(rows * round_up(depth));
        left.visit(first, depth, |k, row| pack_transposed_row(&mut scratch.a, depth, mr, k, row));
        for Target { right, c } in &mut *targets {
            scratch.b.reshape(depth, right.taken);
            right.visit(first, depth, |k, row| scratch.b.set_row(k, row));
            (kernels.outer)(Outer { a: &scratch.a, rows, b: scratch.b.view(), c, kc: blocking.kc });
        }
    }
}

/// Adds the columns of `seq` from `first` on to `sums`, over all rows in the order of [`Rows`].
pub(crate) fn column_sums(kernels: &Kernels, seq: SeqRef<'_>, first: usize, sums: &mut [f32]) {
    let [steps, batch, width] = seq.shape();
    match seq.flat() {
        Some(rows) => (kernels.column_sums)(ColumnSums { rows, step: batch * width, stride: width, first, sums }),
        None => {
            for t in (0..steps).rev() {
                let rows = seq.step(t);
                (kernels.column_sums)(ColumnSums { rows, step: rows.len(), stride: width, first, sums });
            }
        }
    }
}

/// The entries of one tier by themselves, for benches and tests: C = A·B with A (rows, k) and C (rows, cols) row-major
/// and B packed.
///
/// # Panics
/// If `a` or `c` have other lengths.
pub fn product(kernels: &Kernels, blocking: Blocking, a: &[f32], b: &Panels, c: &mut [f32], scratch: &mut GemmScratch) {
    let rows = a.len() / b.k().max(1);
    let a = SeqRef::new(a, 1, rows, b.k()).expect("a is (rows, k)");
    assert_eq!(c.len(), rows * b.cols(), "c is (rows, cols)");
    multiply(kernels, blocking, a, b, Start::Zero, (c, b.cols()), scratch);
}
