//! The steps of one row.

/// Steps of one row, each beginning `pitch` elements behind the one before.
#[derive(Clone, Copy)]
pub(crate) struct StepRows<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) pitch: usize,
}

impl<'a> StepRows<'a> {
    /// The first `width` features of step `t`.
    #[inline(always)]
    pub(crate) fn step(self, t: usize, width: usize) -> &'a [f32] {
        &self.data[t * self.pitch..][..width]
    }
}
