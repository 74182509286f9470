//! The steps of one row, or of several.

use super::SeqRef;

/// Steps of one row, each beginning `pitch` elements behind the one before; or of several, those of one step side by side.
#[derive(Clone, Copy)]
pub(crate) struct StepRows<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) pitch: usize,
}

impl<'a> StepRows<'a> {
    /// Those of a sequence of one row a step, each of which is there; none of another.
    pub(crate) fn of(seq: SeqRef<'a>) -> Option<Self> {
        let [steps, rows, _] = seq.shape();
        let one_row = rows == 1 && steps > 0 && seq.lines().whole().is_some_and(|rows| rows.len() == steps);
        one_row.then(|| {
            let (data, pitch) = seq.as_one_step().step(0).strided();
            Self { data, pitch }
        })
    }

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
