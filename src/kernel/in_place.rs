//! Products of small matrices where they lie, for rows that come one a step: nothing is laid out for them. The sums are
//! those of [`product`](super::product), one chain an element or four, and so are the bits.

use super::chains::{Columns, four_chains, one_chain};
use super::layout::{PANEL, PanelsRef};
use super::product::Chains;
use super::tile::Start;
use crate::simd::Vector;
use crate::simd::tail::{load, store};
use crate::tensor::StepRows;

/// C = start + A·B.
pub(crate) struct RowsProduct<'a> {
    /// (rows, k).
    pub(crate) a: StepRows<'a>,
    pub(crate) rows: usize,
    /// (k, cols) in panels, its k a single run.
    pub(crate) b: PanelsRef<'a>,
    pub(crate) chains: Chains,
    pub(crate) start: Start<'a>,
    /// (rows, stride), row-major; the first `cols` of each row are written.
    pub(crate) c: &'a mut [f32],
    pub(crate) stride: usize,
}

/// C = start + Aᵀ·B, summed from the last row that A and B have in common to the first.
pub(crate) struct RowsOuter<'a> {
    /// (rows, m).
    pub(crate) a: StepRows<'a>,
    pub(crate) m: usize,
    /// (rows, n).
    pub(crate) b: StepRows<'a>,
    pub(crate) n: usize,
    pub(crate) rows: usize,
    pub(crate) start: Start<'a>,
    /// (m, n), row-major.
    pub(crate) c: &'a mut [f32],
}

/// The entry `rows_product`.
#[inline(always)]
pub(super) fn rows_product<V: Vector>(isa: V::Isa, mut args: RowsProduct<'_>) {
    for col in (0..args.b.cols()).step_by(V::LANES) {
        let mut row = 0;
        while row < args.rows {
            // As many chains as keep the FMAs busy, while there are as many rows.
            row += match (args.chains, args.rows - row) {
                (Chains::One, 8..) => product_of::<V, 8, 1>(isa, &mut args, row, col),
                (Chains::One, 4..) => product_of::<V, 4, 1>(isa, &mut args, row, col),
                (Chains::One, _) => product_of::<V, 1, 1>(isa, &mut args, row, col),
                (Chains::Four, 2..) => product_of::<V, 2, 4>(isa, &mut args, row, col),
                (Chains::Four, _) => product_of::<V, 1, 4>(isa, &mut args, row, col),
            };
        }
    }
}

/// `M` rows from `row` on and a register of columns from `col` on; gives `M`.
#[inline(always)]
fn product_of<V: Vector, const M: usize, const CHAINS: usize>(
    isa: V::Isa,
    args: &mut RowsProduct<'_>,
    row: usize,
    col: usize,
) -> usize {
    let (k, cols, stride) = (args.b.depth().len, args.b.cols(), args.stride);
    let w = args.b.panel(col / PANEL, 0).as_flattened();
    let columns = Columns { pitch: PANEL, first: col % PANEL };
    let mut a: [&[f32]; M] = [&[]; M];
    let mut sums = [[V::splat(isa, 0.0)]; M];
    for i in 0..M {
        a[i] = args.a.step(row + i, k);
        match args.start {
            Start::Zero => {}
            Start::Columns(values) => sums[i] = [V::load(isa, &values[col..])],
            Start::Accumulate => sums[i] = [load(isa, &args.c[(row + i) * stride..][col..cols])],
        }
    }
    sums = if const { CHAINS == 1 } {
        one_chain::<V, 1, M>(isa, a, w, columns, sums)
    } else {
        four_chains::<V, 1, M>(isa, a, w, columns, sums)
    };
    for (i, [sum]) in sums.into_iter().enumerate() {
        store(sum, &mut args.c[(row + i) * stride..][col..cols]);
    }
    M
}

/// The entry `rows_outer`.
#[inline(always)]
pub(super) fn rows_outer<V: Vector>(isa: V::Isa, mut args: RowsOuter<'_>) {
    if args.n == 1 {
        // A single column lies as a single row does, which takes a register where the column takes many.
        let RowsOuter { a, m, b, n, rows, start, c } = args;
        args = RowsOuter { a: b, m: n, b: a, n: m, rows, start, c };
    }
    for col in (0..args.n).step_by(V::LANES) {
        let mut first = 0;
        while first < args.m {
            first += match args.m - first {
                8.. => outer_of::<V, 8>(isa, &mut args, first, col),
                4.. => outer_of::<V, 4>(isa, &mut args, first, col),
                _ => outer_of::<V, 1>(isa, &mut args, first, col),
            };
        }
    }
}

/// `M` rows of C from `first` on and a register of its columns from `col` on; gives `M`.
#[inline(always)]
fn outer_of<V: Vector, const M: usize>(isa: V::Isa, args: &mut RowsOuter<'_>, first: usize, col: usize) -> usize {
    let (m, n) = (args.m, args.n);
    let mut sums = [V::splat(isa, 0.0); M];
    if let Start::Accumulate = args.start {
        for (i, sum) in sums.iter_mut().enumerate() {
            *sum = load(isa, &args.c[(first + i) * n..][col..n]);
        }
    }
    for row in (0..args.rows).rev() {
        let a = args.a.step(row, m)[first..].first_chunk::<M>().expect("as many as C has rows");
        let b: V = load(isa, &args.b.step(row, n)[col..]);
        for (sum, &a) in sums.iter_mut().zip(a) {
            *sum = V::splat(isa, a).mul_add(b, *sum);
        }
    }
    for (i, &sum) in sums.iter().enumerate() {
        store(sum, &mut args.c[(first + i) * n..][col..n]);
    }
    M
}
