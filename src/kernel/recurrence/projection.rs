//! The second product of a step with a projection: the epilogues of h_t = m_t·W_hrᵀ forward, and of d_h_t, with which a
//! step backward begins.

use super::upstream::UpstreamGradient;
use crate::kernel::layout::{Place, whole_blocks};
use crate::kernel::product::Epilogue;
use crate::kernel::tile::Start;
use crate::simd::Vector;
use crate::simd::tail::{load_row, store, store_row};
use crate::tensor::MatMut;

/// The epilogue of a forward projection: h_t.
pub(super) struct Project<'a, I> {
    pub(super) isa: I,
    pub(super) y: Option<MatMut<'a>>,
    /// Unfinished sums, then h_t.
    pub(super) next: &'a mut [f32],
    pub(super) out: usize,
}

impl<V: Vector> Epilogue<V> for Project<'_, V::Isa> {
    #[inline(always)]
    fn initial(&self, _: usize) -> Start<'_> {
        Start::Zero
    }

    #[inline(always)]
    fn start(&self, _: Place, row: &mut [V]) {
        row.fill(V::splat(self.isa, 0.0));
    }

    #[inline(always)]
    fn spill(&mut self, at: Place, row: &[V]) {
        for (v, value) in row.iter().enumerate() {
            value.store(&mut self.next[at.blocked(whole_blocks(self.out), at.col + v * V::LANES)..]);
        }
    }

    #[inline(always)]
    fn reload(&self, at: Place, row: &mut [V]) {
        for (v, value) in row.iter_mut().enumerate() {
            *value = V::load(self.isa, &self.next[at.blocked(whole_blocks(self.out), at.col + v * V::LANES)..]);
        }
    }

    #[inline(always)]
    fn finish(&mut self, at: Place, row: &[V]) {
        for (v, &h) in row.iter().enumerate() {
            let col = at.col + v * V::LANES;
            h.store(&mut self.next[at.blocked(whole_blocks(self.out), col)..]);
            if let Some(y) = &mut self.y {
                store(h, &mut y.row(at.row())[col..]);
            }
        }
    }
}

/// The epilogue of the product that a step backward through a projection begins with: d_h_t.
pub(super) struct BackProject<'a, I> {
    pub(super) isa: I,
    pub(super) upstream: UpstreamGradient<'a>,
    /// (rows, O').
    pub(super) d_h: MatMut<'a>,
    pub(super) operand: &'a mut [f32],
    pub(super) out: usize,
}

impl<V: Vector> Epilogue<V> for BackProject<'_, V::Isa> {
    #[inline(always)]
    fn start(&self, at: Place, row: &mut [V]) {
        self.upstream.start(self.isa, at, row);
    }

    #[inline(always)]
    fn spill(&mut self, at: Place, row: &[V]) {
        store_row(row, &mut self.d_h.row(at.row())[at.col..]);
    }

    #[inline(always)]
    fn reload(&self, at: Place, row: &mut [V]) {
        load_row(self.isa, &self.d_h.read(at.row())[at.col..], row);
    }

    #[inline(always)]
    fn finish(&mut self, at: Place, row: &[V]) {
        for (v, &d_h) in row.iter().enumerate() {
            let col = at.col + v * V::LANES;
            d_h.store(&mut self.operand[at.blocked(whole_blocks(self.out), col)..]);
            d_h.store(&mut self.d_h.row(at.row())[col..]);
        }
    }
}
