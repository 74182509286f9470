//! Rows of a left operand, put where a product reads them.

use super::layout::{K_BLOCK, Place, copy_few};
use super::tile::Tiles;
use crate::simd::Vector;

/// Copies a row to its `place` in a blocked A; of that, `group` begins with the row's group.
#[inline(always)]
pub(super) fn pack_row<V: Vector>(isa: V::Isa, group: &mut [f32], place: Place, row: &[f32]) {
    let (full, rest) = row.as_chunks::<K_BLOCK>();
    let place = Place { group: 0, ..place };
    for (block, values) in full.iter().enumerate() {
        let to = &mut group[place.blocked(0, block * K_BLOCK)..][..K_BLOCK];
        for v in (0..K_BLOCK).step_by(V::LANES) {
            V::load(isa, &values[v..]).store(&mut to[v..]);
        }
    }
    if !rest.is_empty() {
        copy_few(&mut group[place.blocked(0, full.len() * K_BLOCK)..], rest);
    }
}

/// Puts a row's whole groups of columns at row `k` of a k-major A of `depth` rows, padded.
#[inline(always)]
pub(super) fn pack_columns<V: Tiles>(_: V::Isa, a: &mut [f32], depth: usize, k: usize, row: &[f32]) {
    let mr = V::GEOMETRY.mr;
    for (group, values) in row.chunks_exact(mr).enumerate() {
        a[group * mr * depth + k * mr..][..mr].copy_from_slice(values);
    }
}
