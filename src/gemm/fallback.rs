//! GEMM by way of the crate `matrixmultiply`: for the tier that has no tuned kernel, and the baseline in the benches.
//!
//! It brings kernels for CPUs that have no table here (NEON, plain SSE and AVX), and finds them at run time. It lays both
//! operands out anew for each product, into memory that it allocates: the one place where a warm step allocates.
#![allow(unsafe_code)]

use super::{GemmScratch, OperandRows, OuterProduct, Product, WORKING};
use crate::error::Result;
use crate::kernel::gemm::Start;
use crate::kernel::layout::{Depth, KB, round_up};
use crate::tensor::{Buffer, SeqRef};

/// A matrix at the start of a slice: element (i, j) is at `i * strides.0 + j * strides.1`.
#[derive(Clone, Copy)]
pub struct Strided<'a> {
    /// The elements.
    pub data: &'a [f32],
    /// From one row to the next, and from one column to the next.
    pub strides: (usize, usize),
}

/// C = beta·C + A·B with A (m, k), B (k, n), and C (m, n) row-major, its rows `stride` apart.
///
/// # Panics
/// If an operand reaches beyond its slice, or `stride < n`.
pub fn sgemm(
    (m, k, n): (usize, usize, usize),
    a: Strided<'_>,
    b: Strided<'_>,
    beta: f32,
    c: &mut [f32],
    stride: usize,
) {
    // One more than the index of the last element; `None` where that does not even fit a `usize`.
    let reach = |rows: usize, cols: usize, (down, right): (usize, usize)| {
        if rows == 0 || cols == 0 {
            return Some(0);
        }
        (rows - 1).checked_mul(down)?.checked_add((cols - 1).checked_mul(right)?)?.checked_add(1)
    };
    let inside = |reach: Option<usize>, len: usize| reach.is_some_and(|reach| reach <= len);
    assert!(inside(reach(m, k, a.strides), a.data.len()), "A is ({m}, {k})");
    assert!(inside(reach(k, n, b.strides), b.data.len()), "B is ({k}, {n})");
    assert!(inside(reach(m, n, (stride, 1)), c.len()) && n <= stride, "C is ({m}, {n})");
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
            a.strides.0 as isize,
            a.strides.1 as isize,
            b.data.as_ptr(),
            b.strides.0 as isize,
            b.strides.1 as isize,
            beta,
            c.as_mut_ptr(),
            stride as isize,
            1,
        );
    }
}

/// [`multiply`](super::multiply) without a tuned kernel: B goes back to rows, into `plain`, first.
pub(super) fn multiply(args: Product<'_>, plain: &mut Buffer) -> Result<()> {
    let Product { a, b, start, c, stride } = args;
    let (Depth { runs, len }, cols) = (b.depth(), b.cols());
    let (padded, width) = (b.depth().padded(), round_up(cols));
    plain.try_resize(WORKING, padded * width)?;
    for (p, panel) in b.data().chunks_exact((padded * KB).max(1)).enumerate() {
        for (row, line) in plain.chunks_exact_mut(width).zip(panel.chunks_exact(KB)) {
            row[p * KB..][..KB].copy_from_slice(line);
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
            let a = Strided { data: &elements[run * round_up(len)..], strides: (pitch, 1) };
            let b = Strided { data: &plain[run * round_up(len) * width..], strides: (width, 1) };
            sgemm((rows, len, cols), a, b, beta, c, stride);
            beta = 1.0;
        }
    }
    Ok(())
}

/// Rows in a block of [`outer`]. A constant, as `matrixmultiply` adds up each block by itself: another length would be
/// another order of the sum.
pub(super) const DEPTH: usize = 512;

/// One block of [`outer`](super::outer) without a tuned kernel: `depth` rows from `first` on.
pub(super) fn outer(
    (first, depth): (usize, usize),
    left: SeqRef<'_>,
    targets: &mut [OuterProduct<'_>],
    scratch: &mut GemmScratch,
) -> Result<()> {
    let GemmScratch { a, plain, .. } = scratch;
    let rows = gather(OperandRows::Of(left), first, depth, a)?;
    for OuterProduct { right, c } in targets {
        let cols = gather(*right, first, depth, plain)?;
        let a = Strided { data: a, strides: (1, rows) };
        let b = Strided { data: plain, strides: (cols, 1) };
        sgemm((rows, depth, cols), a, b, 1.0, c, cols);
    }
    Ok(())
}

/// Copies `depth` rows from `first` on into a matrix of their own; gives its width.
fn gather(rows: OperandRows<'_>, first: usize, depth: usize, matrix: &mut Buffer) -> Result<usize> {
    let width = rows.width();
    matrix.try_resize(WORKING, depth * width)?;
    rows.visit(first, depth, |k, row| matrix[k * width..][..width].copy_from_slice(row));
    Ok(width)
}
