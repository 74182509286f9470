//! Floor 3: products of matrices as they come, row-major, with weights in panels made beforehand.
//!
//! The loops are named as in the literature (Goto and van de Geijn, BLIS), outermost first:
//!
//! ```text
//! LOOP 5  blocks of MC rows        here: A is laid out block by block, to stay in L2
//! LOOP 4  blocks of KC k           kernel/gemm.rs, as are all below
//! LOOP 3  groups of rows by size
//! LOOP 2  tiles of columns         a block of panels stays in cache …
//! LOOP 1  groups of rows           … while the groups pass it
//! ```
//!
//! There is no loop over blocks of columns: B is laid out whole, once, and LOOP 2 walks it in order.

pub mod fallback;
pub(crate) mod panel;

pub use crate::kernel::blocking::Blocking;
pub use panel::Panels;

use std::ops::Range;

use crate::error::Result;
use crate::kernel::blocking::block_rows;
use crate::kernel::elementwise::ColumnSums;
use crate::kernel::gemm::{Gemm, Outer};
use crate::kernel::in_place::{RowsOuter, RowsProduct};
use crate::kernel::layout::{Depth, PANEL, PanelsRef, whole_blocks};
use crate::kernel::product::Chains;
use crate::kernel::tile::Start;
use crate::kernel::{Isa, Kernels};
use crate::tensor::{Buffer, Direction, History, SeqRef, StepRows};
use panel::{pack_rows, pack_transposed_row};

/// What the memory is called that passes work in.
pub(crate) const WORKING: &str = "working memory";

/// Memory that products pack into; one for each worker. Grows to the largest use, then stays.
#[derive(Clone, Debug, Default)]
pub struct GemmScratch {
    a: Buffer,
    b: Panels,
    plain: Buffer,
}

impl GemmScratch {
    /// Elements that operands have been copied to.
    #[cfg(test)]
    pub(crate) fn copied(&self) -> usize {
        self.a.len() + self.b.view().data().len()
    }

    /// Makes room for products of A (rows, `padded` k) with a B of that many columns, padded.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory).
    pub(crate) fn try_reserve(&mut self, kernels: &Kernels, rows: usize, padded: usize, cols: usize) -> Result<()> {
        if kernels.isa() == Isa::Portable {
            return self.plain.try_reserve(WORKING, padded * cols);
        }
        self.a.try_reserve(WORKING, rows.min(block_rows(padded, kernels.geometry().mr)) * padded)
    }
}

/// What becomes of what stands in an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// It is overwritten: what stood there is not read.
    Over,
    /// It is added to.
    Add,
}

impl Write {
    /// What a product starts from that is written so.
    pub(crate) fn start(self) -> Start<'static> {
        match self {
            Write::Over => Start::Zero,
            Write::Add => Start::Accumulate,
        }
    }
}

/// C = start + A·B, row-major.
pub(crate) struct Product<'a> {
    /// (steps, rows, k with the padding of `b`'s runs).
    pub(crate) a: SeqRef<'a>,
    /// (k, cols) in panels.
    pub(crate) b: PanelsRef<'a>,
    /// The order of each sum; the portable tier has its own.
    pub(crate) chains: Chains,
    /// What C starts from.
    pub(crate) start: Start<'a>,
    /// (all rows of all steps, stride): of each row the first `cols` elements are written.
    pub(crate) c: &'a mut [f32],
    /// Elements from one row of C to the next.
    pub(crate) stride: usize,
}

/// Nothing is laid out for a product of one row a step with an operand of no more bytes: to do so would take as long as
/// the product. 16 KiB stay in an L1 of 32 KiB beside what passes by. With shorter registers an operand in place is read
/// more often for each multiply-add than one that is laid out: an Elman layer of 64 units in training is then 1.08 of the
/// time.
fn small(kernels: &Kernels) -> usize {
    if kernels.geometry().lanes == PANEL { 16 << 10 } else { 4 << 10 }
}

/// Computes a product.
///
/// # Errors
/// [`Error::Memory`](crate::Error::Memory); part of C may be written.
pub(crate) fn multiply(
    kernels: &Kernels,
    blocking: Blocking,
    args: Product<'_>,
    scratch: &mut GemmScratch,
) -> Result<()> {
    let mr = kernels.geometry().mr;
    if kernels.isa() == Isa::Portable {
        return fallback::multiply(args, &mut scratch.plain);
    }
    let Product { a, b, chains, start, c, stride } = args;
    if let Some(rows) = StepRows::of(a).filter(|_| b.depth().runs == 1 && size_of_val(b.data()) <= small(kernels)) {
        (kernels.rows_product)(RowsProduct { a: rows, rows: a.shape()[0], b, chains, start, c, stride });
        return Ok(());
    }
    let (rows, padded) = (a.lines().total(), b.depth().padded());
    let mc = block_rows(padded, mr);
    let mut each_row = a.each_row();
    // LOOP 5
    for (block, c) in c[..rows * stride].chunks_mut((mc * stride).max(1)).enumerate() {
        let first = block * mc;
        let rows = mc.min(rows - first);
        scratch.a.try_resize(WORKING, rows * padded)?;
        match a.flat() {
            Some(flat) => {
                let width = a.shape()[2];
                pack_rows(kernels, &mut scratch.a, rows, padded, |row| &flat[(first + row) * width..][..width]);
            }
            None => {
                pack_rows(kernels, &mut scratch.a, rows, padded, |_| each_row.next().expect("as many as there are"))
            }
        }
        (kernels.gemm)(Gemm { a: &scratch.a, rows, b, chains, start, c, stride, kc: blocking.kc });
    }
    Ok(())
}

/// Rows to be summed over, step by step.
#[derive(Clone, Copy)]
pub(crate) enum OperandRows<'a> {
    /// Those of a sequence.
    Of(SeqRef<'a>),
    /// The states before each step; zeros where there is none.
    Before(History<'a>, &'a [f32]),
}

impl<'a> OperandRows<'a> {
    fn seq(self) -> SeqRef<'a> {
        match self {
            OperandRows::Of(seq) => seq,
            OperandRows::Before(history, _) => history.states,
        }
    }

    /// Elements of a row.
    fn width(self) -> usize {
        self.seq().shape()[2]
    }

    /// Of one row a step: the rows, in parts in the order of the sum, within each of which they lie at equal distances. None
    /// of other sequences.
    fn parts(self) -> Option<[RightRows<'a>; 2]> {
        let steps = self.seq().shape()[0];
        let rows = StepRows::of(self.seq())?;
        let none = RightRows { steps: 0..0, rows };
        let OperandRows::Before(History { first, resets, direction, .. }, zeros) = self else {
            return Some([RightRows { steps: 0..steps, rows }, none]);
        };
        let first = StepRows { data: first.map_or(zeros, |first| first.row(0)), pitch: 0 };
        let parts = match direction {
            Direction::Forward => [RightRows { steps: 1..steps, rows }, RightRows { steps: 0..1, rows: first }],
            Direction::Reverse => {
                let after = StepRows { data: rows.data.get(rows.pitch..).unwrap_or_default(), ..rows };
                [RightRows { steps: steps - 1..steps, rows: first }, RightRows { steps: 0..steps - 1, rows: after }]
            }
        };
        resets.0.is_none().then_some(parts)
    }

    /// Calls `f(k, row)` for the rows of `block`, k counting from 0, in the order of the sum: from the last step to the
    /// first and, inside a step, from the first row to the last. That is the order in which a backward pass gets hold of
    /// them. The whole batch is in view.
    #[inline(always)]
    fn visit(self, block: Range<usize>, mut f: impl FnMut(usize, &'a [f32])) {
        let lines = self.seq().lines();
        let (mut t, mut row) = lines.place_from_end(block.start);
        let mut k = 0;
        while k < block.len() {
            let rows = row..lines.at(t).len().min(row + block.len() - k);
            match self {
                OperandRows::Of(seq) => {
                    let step = seq.step(t);
                    for row in rows {
                        f(k, step.row(row));
                        k += 1;
                    }
                }
                OperandRows::Before(history, zeros) => {
                    let step = history.before(t);
                    for row in rows {
                        f(k, step.row(row).unwrap_or(zeros));
                        k += 1;
                    }
                }
            }
            (t, row) = (t.wrapping_sub(1), 0);
        }
    }
}

/// More steps of a small layer than this do not stay in L1: laid out, they pass it once for a whole tile.
const MANY_STEPS: usize = 128;

/// Some steps of one row each.
struct RightRows<'a> {
    steps: Range<usize>,
    rows: StepRows<'a>,
}

/// A right operand of [`outer`] and where its products go.
pub(crate) struct OuterProduct<'a> {
    /// The right operand.
    pub(crate) right: OperandRows<'a>,
    /// (width of the left operand, width of the right), row-major.
    pub(crate) c: &'a mut [f32],
}

/// For each target, C = Aᵀ·B or C += Aᵀ·B: the sum over all rows of the outer products of A's row and B's, in the order
/// of [`OperandRows`]. A's rows are laid out once for all targets. The bits of C are those of adding to zeros.
///
/// # Errors
/// [`Error::Memory`](crate::Error::Memory); part of the sums may be written.
pub(crate) fn outer(
    kernels: &Kernels,
    blocking: Blocking,
    left: SeqRef<'_>,
    targets: &mut [OuterProduct<'_>],
    write: Write,
    scratch: &mut GemmScratch,
) -> Result<()> {
    let (total, rows) = (left.lines().total(), left.shape()[2]);
    let portable = kernels.isa() == Isa::Portable;
    let kc = if portable { fallback::DEPTH } else { blocking.kc };
    // `matrixmultiply` would leave -0 where a sum of products underflows, and adding that to zero gives 0.
    if write == Write::Over && (portable || total == 0) {
        targets.iter_mut().for_each(|target| target.c.fill(0.0));
    }
    if !portable && outer_in_place(kernels, left, targets, write) {
        return Ok(());
    }
    for first in (0..total).step_by(kc) {
        let block = first..total.min(first + kc);
        if portable {
            fallback::outer(block, left, targets, scratch)?;
            continue;
        }
        let start = if first == 0 { write.start() } else { Start::Accumulate };
        scratch.a.try_resize(WORKING, rows * whole_blocks(block.len()))?;
        OperandRows::Of(left)
            .visit(block.clone(), |k, row| pack_transposed_row(kernels, &mut scratch.a, block.len(), k, row));
        for OuterProduct { right, c } in &mut *targets {
            scratch.b.reshape(WORKING, Depth::of(block.len()), right.width())?;
            right.visit(block.clone(), |k, row| scratch.b.set_row(k, row));
            (kernels.outer)(Outer { a: &scratch.a, rows, b: scratch.b.view(), start, c, kc: blocking.kc });
        }
    }
    Ok(())
}

/// [`outer`] of one row a step where everything is small, without laying anything out. Gives whether it is done.
fn outer_in_place(kernels: &Kernels, left: SeqRef<'_>, targets: &mut [OuterProduct<'_>], write: Write) -> bool {
    let [rows, _, m] = left.shape();
    let Some(a) = StepRows::of(left) else { return false };
    let few = |target: &OuterProduct<'_>| size_of_val(&*target.c) <= small(kernels) && rows <= MANY_STEPS;
    if !targets.iter().all(|target| few(target) && target.right.parts().is_some()) {
        return false;
    }
    for OuterProduct { right, c } in targets {
        let n = right.width();
        let mut start = write.start();
        for part in right.parts().into_iter().flatten().filter(|part| !part.steps.is_empty()) {
            let RightRows { steps, rows } = part;
            let a = StepRows { data: &a.data[steps.start * a.pitch..], ..a };
            (kernels.rows_outer)(RowsOuter { a, m, b: rows, n, rows: steps.len(), start, c });
            start = Start::Accumulate;
        }
    }
    true
}

/// The sums of the columns of `seq` from `first` on, over all rows in the order of [`OperandRows`].
pub(crate) fn column_sums(kernels: &Kernels, seq: SeqRef<'_>, first: usize, sums: &mut [f32], write: Write) {
    let [steps, batch, width] = seq.shape();
    if write == Write::Over {
        sums.fill(0.0);
    }
    match seq.flat().filter(|rows| rows.len() == steps * batch * width) {
        Some(rows) => (kernels.column_sums)(ColumnSums { rows, step: batch * width, stride: width, first, sums }),
        None => {
            for t in (0..steps).rev() {
                let rows = seq.step(t);
                if rows.shape()[0] > 0 {
                    let (elements, stride) = rows.strided();
                    let rows = &elements[..(rows.shape()[0] - 1) * stride + width];
                    (kernels.column_sums)(ColumnSums { rows, step: rows.len(), stride, first, sums });
                }
            }
        }
    }
}

/// The entries of one tier by themselves, for benches and tests: C = A·B with A (rows, k) and C (rows, cols) row-major
/// and B in panels.
///
/// # Panics
/// If `a` or `c` have other lengths, or there is no memory for its panels.
pub fn product(kernels: &Kernels, blocking: Blocking, a: &[f32], b: &Panels, c: &mut [f32], scratch: &mut GemmScratch) {
    let rows = a.len() / b.k().max(1);
    let a = SeqRef::new(a, 1, rows, b.k()).expect("a is (rows, k)");
    assert_eq!(c.len(), rows * b.cols(), "c is (rows, cols)");
    let stride = b.cols();
    let product = Product { a, b: b.view(), chains: Chains::One, start: Start::Zero, c, stride };
    multiply(kernels, blocking, product, scratch).unwrap_or_else(|error| panic!("{error}"));
}
