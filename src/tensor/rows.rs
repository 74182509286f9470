//! The steps of one row, or of several.

/// Steps of one row, each beginning `pitch` elements behind the one before; or of several, those of one step side by side.
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

    /// Those from the `n`th on.
    #[inline(always)]
    pub(crate) fn from(self, n: usize) -> Self {
        Self { data: &self.data[n * self.pitch..], pitch: self.pitch }
    }
}
