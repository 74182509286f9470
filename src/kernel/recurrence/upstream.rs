//! The gradient that reaches a state from outside of the recurrence.

use std::ops::Range;

use crate::kernel::layout::Place;
use crate::simd::Vector;
use crate::simd::tail::{load, load_row};
use crate::tensor::Mat;

/// What the gradient of a state starts from.
pub(super) struct UpstreamGradient<'a> {
    /// (rows, O).
    pub(super) d_y: Mat<'a>,
    /// (rows, O): of the rows that `joined`, whose last step this is.
    pub(super) d_h_n: Option<Mat<'a>>,
    pub(super) joined: Range<usize>,
}

impl UpstreamGradient<'_> {
    #[inline(always)]
    pub(super) fn start<V: Vector>(&self, isa: V::Isa, at: Place, row: &mut [V]) {
        load_row(isa, &self.d_y.row(at.row())[at.col..], row);
        if let Some(d_h_n) = self.d_h_n
            && self.joined.contains(&at.row())
        {
            let d_h_n = &d_h_n.row(at.row())[at.col..];
            for (v, value) in row.iter_mut().enumerate() {
                *value = value.add(load(isa, &d_h_n[v * V::LANES..]));
            }
        }
    }
}
