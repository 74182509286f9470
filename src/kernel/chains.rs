//! Sums of operands as they lie, one row or a few at a time: Σ a\[k\]·w\[k\] for some registers of columns, in one chain or
//! in the four of [`Chains::Four`](super::product::Chains). Single steps, training by rows and small products all sum
//! here; a [`tile`](super::tile) does it for operands that were packed.

use super::layout::PANEL;
use crate::simd::Vector;

/// Which columns of the weights are summed: those from `first` on, of `pitch` that lie side by side for each k.
#[derive(Clone, Copy)]
pub(super) struct Columns {
    pub(super) pitch: usize,
    pub(super) first: usize,
}

impl Columns {
    /// A panel's, from its first.
    pub(super) const PANEL: Self = Self { pitch: PANEL, first: 0 };
}

/// `R` registers of columns for each of `M` rows.
pub(super) type Sums<V, const R: usize, const M: usize> = [[V; R]; M];

/// Accumulators that stay in registers beside the weights and an element of the operand: of 32 registers sixteen, of 16
/// eight.
const fn room(lanes: usize) -> usize {
    if lanes == PANEL { 16 } else { 8 }
}

/// The four chains of every sum, as many at a time as there is room for, joined: (0 + 1) + (2 + 3), chain 0 from `start`.
#[inline(always)]
pub(super) fn four_chains<V: Vector, const R: usize, const M: usize>(
    isa: V::Isa,
    a: [&[f32]; M],
    w: &[f32],
    columns: Columns,
    start: Sums<V, R, M>,
) -> Sums<V, R, M> {
    let zero = [[V::splat(isa, 0.0); R]; M];
    if const { R * M * 4 <= room(V::LANES) } {
        join_four(chains::<V, R, M, 4, 4>(isa, a, w, columns, 0, [start, zero, zero, zero]))
    } else if const { R * M * 2 <= room(V::LANES) } {
        let [c0, c1] = chains::<V, R, M, 2, 4>(isa, a, w, columns, 0, [start, zero]);
        let [c2, c3] = chains::<V, R, M, 2, 4>(isa, a, w, columns, 2, [zero, zero]);
        join(join(c0, c1), join(c2, c3))
    } else {
        let [c0] = chains::<V, R, M, 1, 4>(isa, a, w, columns, 0, [start]);
        let [c1] = chains::<V, R, M, 1, 4>(isa, a, w, columns, 1, [zero]);
        let left = join(c0, c1);
        let [c2] = chains::<V, R, M, 1, 4>(isa, a, w, columns, 2, [zero]);
        let [c3] = chains::<V, R, M, 1, 4>(isa, a, w, columns, 3, [zero]);
        join(left, join(c2, c3))
    }
}

/// One chain for every sum, from `start`.
#[inline(always)]
pub(super) fn one_chain<V: Vector, const R: usize, const M: usize>(
    isa: V::Isa,
    a: [&[f32]; M],
    w: &[f32],
    columns: Columns,
    start: Sums<V, R, M>,
) -> Sums<V, R, M> {
    let [sums] = chains::<V, R, M, 1, 1>(isa, a, w, columns, 0, [start]);
    sums
}

/// `N` of the `OF` chains of every sum, those from `from` on: chain i takes the k with k mod `OF` = i, ascending. The rows
/// of `a` are equally long.
#[inline(always)]
pub(super) fn chains<V: Vector, const R: usize, const M: usize, const N: usize, const OF: usize>(
    isa: V::Isa,
    a: [&[f32]; M],
    w: &[f32],
    Columns { pitch, first }: Columns,
    from: usize,
    mut chains: [Sums<V, R, M>; N],
) -> [Sums<V, R, M>; N] {
    let mut groups: [&[[f32; OF]]; M] = [&[]; M];
    let mut rests: [&[f32]; M] = [&[]; M];
    for (m, row) in a.into_iter().enumerate() {
        (groups[m], rests[m]) = row.as_chunks::<OF>();
    }
    let whole = groups[0].len();
    for (k, w) in w.chunks_exact(OF * pitch).take(whole).enumerate() {
        for (n, sums) in chains.iter_mut().enumerate() {
            let w = load::<V, R>(isa, &w[(from + n) * pitch + first..]);
            for (m, sums) in sums.iter_mut().enumerate() {
                add_product(isa, groups[m][k][from + n], w, sums);
            }
        }
    }
    let w = &w[whole * OF * pitch..];
    for (n, sums) in chains.iter_mut().enumerate() {
        if from + n < rests[0].len() {
            let w = load::<V, R>(isa, &w[(from + n) * pitch + first..]);
            for (m, sums) in sums.iter_mut().enumerate() {
                add_product(isa, rests[m][from + n], w, sums);
            }
        }
    }
    chains
}

#[inline(always)]
fn add_product<V: Vector, const R: usize>(isa: V::Isa, a: f32, w: [V; R], sums: &mut [V; R]) {
    let a = V::splat(isa, a);
    for (r, sum) in sums.iter_mut().enumerate() {
        *sum = a.mul_add(w[r], *sum);
    }
}

/// Registers that lie side by side.
#[inline(always)]
pub(super) fn load<V: Vector, const R: usize>(isa: V::Isa, from: &[f32]) -> [V; R] {
    let mut registers = [V::splat(isa, 0.0); R];
    for (r, register) in registers.iter_mut().enumerate() {
        *register = V::load(isa, &from[r * V::LANES..]);
    }
    registers
}

/// (0 + 1) + (2 + 3).
#[inline(always)]
pub(super) fn join_four<V: Vector, const R: usize, const M: usize>(chains: [Sums<V, R, M>; 4]) -> Sums<V, R, M> {
    let [c0, c1, c2, c3] = chains;
    join(join(c0, c1), join(c2, c3))
}

/// left + right.
#[inline(always)]
fn join<V: Vector, const R: usize, const M: usize>(mut left: Sums<V, R, M>, right: Sums<V, R, M>) -> Sums<V, R, M> {
    for m in 0..M {
        for r in 0..R {
            left[m][r] = left[m][r].add(right[m][r]);
        }
    }
    left
}
