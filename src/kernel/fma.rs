//! The FMAs of one tile over a block of k: all that is compiled for every shape of tile.

use super::layout::{Depth, K_BLOCK, LINE, PANEL, PanelBlock, PanelsRef};
use super::tile::{Ahead, BlockLayout, Blocked, Direct, Fma, KBlock, KMajor, Start, TileOperands, Tiles};
use crate::simd::Vector;

/// The body of [`Tiles::blocked`].
#[inline(always)]
pub(super) fn blocked<V: Tiles>(isa: V::Isa, args: Fma<'_, V>) {
    V::one_chain::<Blocked>(isa, args);
}

/// The body of [`Tiles::blocked_short`].
#[inline(always)]
pub(super) fn blocked_short<V: Tiles>(isa: V::Isa, args: Fma<'_, V>) {
    V::four_chains(isa, args);
}

/// The body of [`Tiles::k_major`].
#[inline(always)]
pub(super) fn k_major<V: Tiles>(isa: V::Isa, args: Fma<'_, V>) {
    V::one_chain::<KMajor>(isa, args);
}

/// A tile whose shape is `M` rows by `NV` registers.
#[inline(always)]
pub(super) fn shaped<V: Vector, O: BlockLayout, const M: usize, const NV: usize, const CHAINS: usize>(
    isa: V::Isa,
    args: Fma<'_, V>,
) {
    let Fma { operands, tile, mut direct, .. } = args;
    let (rows, _) = tile.as_chunks_mut::<NV>();
    let rows = rows.first_chunk_mut::<M>().expect("a tile holds the largest shape");
    accumulate::<V, O, M, NV, CHAINS>(isa, operands, rows, &mut direct);
}

/// The FMAs of a tile of `M` rows by `NV` registers over a block of k.
#[inline(always)]
pub(super) fn accumulate<V: Vector, O: BlockLayout, const M: usize, const NV: usize, const CHAINS: usize>(
    isa: V::Isa,
    operands: TileOperands<'_>,
    tile: &mut [[V; NV]; M],
    direct: &mut Option<Direct<'_>>,
) {
    let TileOperands { group, at, b: matrix, block, start, ahead } = operands;
    let mut panels: [&[PanelBlock]; NV] = [&[]; NV];
    for (v, panel) in panels.iter_mut().enumerate() {
        *panel = matrix.panel((at.col + v * V::LANES) / PANEL, block.first);
    }
    // Only loops of known length index it, so that it lives in registers.
    let mut chains = [[[V::splat(isa, 0.0); NV]; M]; CHAINS];
    begin(isa, start, tile, direct, &mut chains[0]);
    let Depth { runs, len } = matrix.depth();
    let per_run = len.div_ceil(K_BLOCK);
    // Blocks from here to the one that ends a run.
    let mut left = per_run - if runs == 1 { block.first / K_BLOCK } else { block.first / K_BLOCK % per_run.max(1) };
    for (n, a) in group.chunks_exact(K_BLOCK * at.size).enumerate() {
        let a = &a[at.i * K_BLOCK..][..M * K_BLOCK];
        let mut b: [&PanelBlock; NV] = [&[0.0; K_BLOCK * PANEL]; NV];
        for (b, panel) in b.iter_mut().zip(panels) {
            *b = &panel[n];
        }
        if let Some(ahead) = ahead
            && n % ahead.groups == 0
        {
            fetch::<V>(isa, ahead, matrix, block, n);
        }
        left -= 1;
        let len = if left == 0 { len - (per_run - 1) * K_BLOCK } else { K_BLOCK };
        if left == 0 {
            left = per_run;
        }
        // A whole block by a loop of known length, in which no index needs a check: with eight lanes those would cost as
        // much as the FMAs.
        if len == K_BLOCK {
            for k in 0..K_BLOCK / CHAINS {
                for (chain, acc) in chains.iter_mut().enumerate() {
                    multiply::<V, O, M, NV>(isa, a, b, k * CHAINS + chain, acc);
                }
            }
            continue;
        }
        for k in 0..len / CHAINS {
            for (chain, acc) in chains.iter_mut().enumerate() {
                multiply::<V, O, M, NV>(isa, a, b, k * CHAINS + chain, acc);
            }
        }
        for (chain, acc) in chains.iter_mut().enumerate().take(CHAINS - 1) {
            let k = len / CHAINS * CHAINS + chain;
            if k < len {
                multiply::<V, O, M, NV>(isa, a, b, k, acc);
            }
        }
    }
    // Pairwise: (c0 + c1) + (c2 + c3).
    if let [c0, c1, c2, c3] = &mut chains[..] {
        join(c0, c1);
        join(c2, c3);
        join(c0, c2);
    }
    end(&chains[0], tile, direct);
}

/// Sets the chains, or the first of four, to what they start from; they are zero before.
#[inline(always)]
fn begin<V: Vector, const M: usize, const NV: usize>(
    isa: V::Isa,
    start: Start<'_>,
    tile: &[[V; NV]; M],
    direct: &Option<Direct<'_>>,
    chains: &mut [[V; NV]; M],
) {
    match (start, direct) {
        (Start::Zero, _) => {}
        (Start::Columns(values), _) => {
            let mut first = [V::splat(isa, 0.0); NV];
            for (v, value) in first.iter_mut().enumerate() {
                *value = V::load(isa, &values[v * V::LANES..]);
            }
            for row in chains {
                for (value, &first) in row.iter_mut().zip(&first) {
                    *value = first;
                }
            }
        }
        (Start::Accumulate, None) => copy(chains, tile),
        (Start::Accumulate, Some(Direct { c, stride })) => {
            for (i, row) in chains.iter_mut().enumerate() {
                let c = &c[i * *stride..][..NV * V::LANES];
                for (v, value) in row.iter_mut().enumerate() {
                    *value = V::load(isa, &c[v * V::LANES..]);
                }
            }
        }
    }
}

/// Writes the chains to where they end.
#[inline(always)]
fn end<V: Vector, const M: usize, const NV: usize>(
    chains: &[[V; NV]; M],
    tile: &mut [[V; NV]; M],
    direct: &mut Option<Direct<'_>>,
) {
    match direct {
        None => copy(tile, chains),
        Some(Direct { c, stride }) => {
            for (i, row) in chains.iter().enumerate() {
                let c = &mut c[i * *stride..][..NV * V::LANES];
                for (v, value) in row.iter().enumerate() {
                    value.store(&mut c[v * V::LANES..]);
                }
            }
        }
    }
}

/// Fetches this group's share of the next panels, as much of it as falls to block `n` of k.
#[inline(always)]
fn fetch<V: Vector>(isa: V::Isa, ahead: Ahead, matrix: PanelsRef<'_>, block: KBlock, n: usize) {
    let Ahead { panel, panels, group, groups } = ahead;
    let blocks = block.len / K_BLOCK;
    for p in panel..panel + panels {
        for line in matrix.panel(p, block.first)[(blocks * group / groups + n / groups).min(blocks - 1)].chunks(LINE) {
            V::prefetch(isa, line);
        }
    }
}

/// Copies register by register: as a whole it becomes a call to `memcpy`.
#[inline(always)]
fn copy<V: Vector, const M: usize, const NV: usize>(to: &mut [[V; NV]; M], from: &[[V; NV]; M]) {
    for (to, from) in to.iter_mut().zip(from) {
        for (to, &from) in to.iter_mut().zip(from) {
            *to = from;
        }
    }
}

/// Adds the second tile to the first.
#[inline(always)]
fn join<V: Vector, const M: usize, const NV: usize>(sum: &mut [[V; NV]; M], other: &[[V; NV]; M]) {
    for (sum, other) in sum.iter_mut().zip(other) {
        for (sum, &other) in sum.iter_mut().zip(other) {
            *sum = sum.add(other);
        }
    }
}

/// One k of a block: an outer product, `M` FMAs for each register.
#[inline(always)]
fn multiply<V: Vector, O: BlockLayout, const M: usize, const NV: usize>(
    isa: V::Isa,
    a: &[f32],
    b: [&PanelBlock; NV],
    k: usize,
    acc: &mut [[V; NV]; M],
) {
    let mut right = [V::splat(isa, 0.0); NV];
    for (v, right) in right.iter_mut().enumerate() {
        *right = V::load(isa, &b[v][k * PANEL + v * V::LANES % PANEL..]);
    }
    for (i, acc) in acc.iter_mut().enumerate() {
        let left = V::splat(isa, a[O::offset(M, i, k)]);
        for (acc, &right) in acc.iter_mut().zip(&right) {
            *acc = left.mul_add(right, *acc);
        }
    }
}
