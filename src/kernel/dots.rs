//! Rows times a few columns, as dot products: a linear layer of few outputs over many features, where a register of
//! sixteen columns would be nearly empty.
//!
//! ```text
//! for each row, each output:
//!     p[l] = Σ x[k]·w[k] over k = l, l + 16, l + 32 …     (fused, from zero; l = 0 to 15)
//!     y    = bias + the sum of p by halves                p[l] + p[l + 8], then 4, 2, 1
//! ```
//!
//! The one sum that crosses lanes. Its order does not depend on their number: two registers of eight lanes are added before
//! the halves of one are.

use super::product::SHORT;
use crate::simd::Vector;
use crate::tensor::StepRows;

/// Partial sums of an output.
pub(crate) const SUMS: usize = 16;

/// Whether a linear layer of so many features and outputs computes its sums so.
pub(crate) fn suit(features: usize, outputs: usize) -> bool {
    features > SHORT && outputs < SUMS
}

/// y = bias + x·Wᵀ.
pub(crate) struct Dots<'a> {
    pub(crate) rows: usize,
    /// (rows, K).
    pub(crate) x: StepRows<'a>,
    /// K.
    pub(crate) len: usize,
    /// (outputs, K rounded up to 16), with zeros beyond K.
    pub(crate) weight: &'a [f32],
    /// (outputs).
    pub(crate) bias: &'a [f32],
    /// (rows, outputs).
    pub(crate) y: &'a mut [f32],
    /// Elements from one row of y to the next.
    pub(crate) stride: usize,
}

/// Registers of sixteen partial sums, at most.
const MOST: usize = 2;

/// Outputs that share the loads of a row.
const SIDE_BY_SIDE: usize = 4;

/// The entry `dots`.
#[inline(always)]
pub(in crate::kernel) fn dots<V: Vector>(isa: V::Isa, args: Dots<'_>) {
    let Dots { rows, x, len, weight, bias, y, stride } = args;
    let padded = len.next_multiple_of(SUMS);
    for (row, y) in y.chunks_mut(stride).take(rows).enumerate() {
        let x = x.step(row, len);
        let bunches = weight.chunks(SIDE_BY_SIDE * padded).zip(bias.chunks(SIDE_BY_SIDE));
        for ((weight, bias), y) in bunches.zip(y.chunks_mut(SIDE_BY_SIDE)) {
            match bias.len() {
                SIDE_BY_SIDE => some::<V, SIDE_BY_SIDE>(isa, x, weight, bias, y),
                3 => some::<V, 3>(isa, x, weight, bias, y),
                2 => some::<V, 2>(isa, x, weight, bias, y),
                _ => some::<V, 1>(isa, x, weight, bias, y),
            }
        }
    }
}

/// `N` outputs of a row.
#[inline(always)]
fn some<V: Vector, const N: usize>(isa: V::Isa, x: &[f32], weight: &[f32], bias: &[f32], y: &mut [f32]) {
    let padded = x.len().next_multiple_of(SUMS);
    let mut sums = [[V::splat(isa, 0.0); MOST]; N];
    for at in (0..padded).step_by(SUMS) {
        for r in 0..SUMS / V::LANES {
            let at = at + r * V::LANES;
            let left = &x[at.min(x.len())..];
            let x = if left.len() < V::LANES { V::load_partial(isa, left) } else { V::load(isa, left) };
            for (n, sums) in sums.iter_mut().enumerate() {
                sums[r] = x.mul_add(V::load(isa, &weight[n * padded + at..]), sums[r]);
            }
        }
    }
    for (n, sums) in sums.iter().enumerate() {
        let whole = if V::LANES == SUMS { sums[0] } else { sums[0].add(sums[1]) };
        y[n] = bias[n] + whole.sum_halves();
    }
}
