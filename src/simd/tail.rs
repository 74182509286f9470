//! Loads and stores at the end of a row, where fewer elements than lanes may be left.

use super::Vector;

/// A register from a row's rest, however short: zero in the lanes beyond.
#[inline(always)]
pub(crate) fn load<V: Vector>(isa: V::Isa, rest: &[f32]) -> V {
    if rest.len() >= V::LANES { V::load(isa, rest) } else { V::load_partial(isa, rest) }
}

/// A register into a row's rest, however short.
#[inline(always)]
pub(crate) fn store<V: Vector>(value: V, rest: &mut [f32]) {
    if rest.len() >= V::LANES { value.store(rest) } else { value.store_partial(rest) }
}

/// Registers from the rest of a row; the last may be short.
#[inline(always)]
pub(crate) fn load_row<V: Vector>(isa: V::Isa, rest: &[f32], row: &mut [V]) {
    for (v, value) in row.iter_mut().enumerate() {
        *value = load(isa, &rest[v * V::LANES..]);
    }
}

/// Registers into the rest of a row; the last may be short.
#[inline(always)]
pub(crate) fn store_row<V: Vector>(row: &[V], rest: &mut [f32]) {
    for (v, &value) in row.iter().enumerate() {
        store(value, &mut rest[v * V::LANES..]);
    }
}
