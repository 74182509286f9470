//! GEMM by way of the crate `matrixmultiply`: for the tier that has no tuned kernel, and the baseline in the benches.
//!
//! It brings kernels for CPUs that have no table here (NEON, plain SSE and AVX), and finds them at run time. It lays both
//! operands out anew for each product, into memory that it allocates: the one place where a warm step allocates.
#![allow(unsafe_code)]

use std::ops::Range;

use super::{GemmScratch, OperandRows, OuterProduct, Product, WORKING};
use crate::error::Result;
use crate::kernel::layout::{Depth, PANEL, whole_blocks, whole_panels};
use crate::kernel::tile::Start;
use crate::tensor::{Buffer, SeqRef};

/// A matrix at the start of a slice: element (i, j) is at `i * row_stride + j * column_stride`.
#[derive(Clone, Copy)]
pub struct Strided<'a> {
    /// The elements.
    pub data: &'a [f32],
    /// From one row to the next.
    pub row_stride: usize,
    /// From one column to the next.
    pub column_stride: usize,
}

impl<'a> Strided<'a> {
    /// A row-major matrix whose rows lie `stride` apart.
    #[must_use]
    pub fn rows(data: &'a [f32], stride: usize) -> Self {
        Self { data, row_stride: stride, column_stride: 1 }
    }

    /// The transpose of such a matrix.
    #[must_use]
    pub fn columns(data: &'a [f32], stride: usize) -> Self {
        Self { data, row_stride: 1, column_stride: stride }
    }
}

/// The size of a product: A is (m, k), B (k, n), and C (m, n).
#[derive(Clone, Copy, Debug)]
pub struct Extents {
    /// Rows of A and C.
    pub m: usize,
    /// Columns of A, rows of B.
    pub k: usize,
    /// Columns of B and C.
    pub n: usize,
}

/// C = beta·C + A·B with A (m, k), B (k, n), and C (m, n) row-major, its rows `stride` apart.
///
/// # Panics
/// If an operand reaches beyond its slice, or `stride < n`.
pub fn sgemm(extents: Extents, a: Strided<'_>, b: Strided<'_>, beta: f32, c: &mut [f32], stride: usize) {
    let Extents { m, k, n } = extents;
    // One more than the index of the last element; `None` where that does not even fit a `usize`.
    let reach = |rows: usize, cols: usize, down: usize, right: usize| {
        if rows == 0 || cols == 0 {
            return Some(0);
        }
        (rows - 1).checked_mul(down)?.checked_add((cols - 1).checked_mul(right)?)?.checked_add(1)
    };
    let inside = |reach: Option<usize>, len: usize| reach.is_some_and(|reach| reach <= len);
    assert!(inside(reach(m, k, a.row_stride, a.column_stride), a.data.len()), "A is ({m}, {k})");
    assert!(inside(reach(k, n, b.row_stride, b.column_stride), b.data.len()), "B is ({k}, {n})");
    assert!(inside(reach(m, n, stride, 1), c.len()) && n <= stride, "C is ({m}, {n})");
    // SAFETY: by the assertions each element that (m, k, n) and the strides address lies inside its slice: where a
    // dimension has more than one element its stride is below the slice's length and the cast keeps its value, else the
    // stride is multiplied by zero. No two elements of C coincide as `stride >= n`, and the borrow
    // of C is unique.
    unsafe {
        matrixmultiply::sgemm(
            m,
            k,
            n,
            1.0,
            a.data.as_ptr(),
            a.row_stride as isize,
            a.column_stride as isize,
            b.data.as_ptr(),
            b.row_stride as isize,
            b.column_stride as isize,
            beta,
            c.as_mut_ptr(),
            stride as isize,
            1,
        );
    }
}

/// [`multiply`](super::multiply) without a tuned kernel: B goes back to rows, into `plain`, first.
pub(super) fn multiply(args: Product<'_>, plain: &mut Buffer) -> Result<()> {
    let Product { a, b, start, c, stride, .. } = args;
    let (Depth { runs, len }, cols) = (b.depth(), b.cols());
    let (padded, width) = (b.depth().padded(), whole_panels(cols));
    plain.try_resize(WORKING, padded * width)?;
    for (p, panel) in b.data().chunks_exact((padded * PANEL).max(1)).enumerate() {
        for (row, line) in plain.chunks_exact_mut(width).zip(panel.chunks_exact(PANEL)) {
            row[p * PANEL..][..PANEL].copy_from_slice(line);
        }
    }
    // Where the whole batch is in view, all steps are one matrix.
    let a = a.as_one_step();
    let mut rest = c;
    for t in 0..a.shape()[0] {
        let step = a.step(t);
        let rows = step.shape()[0];
        let c;
        (c, rest) = rest.split_at_mut(rows * stride);
        if rows == 0 || cols == 0 {
            continue;
        }
        let mut beta = match start {
            Start::Zero => 0.0,
            Start::Accumulate => 1.0,
            Start::Columns(values) => {
                c.chunks_mut(stride).for_each(|row| row[..cols].copy_from_slice(&values[..cols]));
                1.0
            }
        };
        let (elements, pitch) = step.strided();
        for run in 0..runs {
            let a = Strided::rows(&elements[run * whole_blocks(len)..], pitch);
            let b = Strided::rows(&plain[run * whole_blocks(len) * width..], width);
            sgemm(Extents { m: rows, k: len, n: cols }, a, b, beta, c, stride);
            beta = 1.0;
        }
    }
    Ok(())
}

/// Rows in a block of [`outer`]. A constant, as `matrixmultiply` adds up each block by itself: another length would be
/// another order of the sum.
pub(super) const DEPTH: usize = 512;

/// One block of [`outer`](super::outer) without a tuned kernel: the rows of `block`.
pub(super) fn outer(
    block: Range<usize>,
    left: SeqRef<'_>,
    targets: &mut [OuterProduct<'_>],
    scratch: &mut GemmScratch,
) -> Result<()> {
    let GemmScratch { a, plain, .. } = scratch;
    let rows = gather(OperandRows::Of(left), &block, a)?;
    for OuterProduct { right, c } in targets {
        let cols = gather(*right, &block, plain)?;
        let a = Strided::columns(a, rows);
        let b = Strided::rows(plain, cols);
        sgemm(Extents { m: rows, k: block.len(), n: cols }, a, b, 1.0, c, cols);
    }
    Ok(())
}

/// Copies the rows of `block` into a matrix of their own; gives its width.
fn gather(rows: OperandRows<'_>, block: &Range<usize>, matrix: &mut Buffer) -> Result<usize> {
    let width = rows.width();
    matrix.try_resize(WORKING, block.len() * width)?;
    rows.visit(block.clone(), |k, row| matrix[k * width..][..width].copy_from_slice(row));
    Ok(width)
}
