//! Packed sequences borrowed.

use std::fmt;

use super::Order;
use crate::error::{Error, Result, elements};
use crate::tensor::{Mat, Seq, SeqRef};

/// A [`PackedSequence`](super::PackedSequence), borrowed.
///
/// ```
/// use elman::tensor::PackedSequence;
///
/// let packed = PackedSequence::from_rows(&[&[1.0], &[2.0, 3.0]], 1)?;
/// let view = packed.view();
/// assert_eq!((view.batch(), view.width()), (2, 1));
/// // The longer row lies first.
/// assert_eq!(view.seq().step(0).row(0), [2.0]);
/// // Values of another width for the same rows.
/// let wide = view.like(&[0.0; 6], 2)?;
/// assert_eq!(wide.to_padded(2)?.shape(), [2, 2, 2]);
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct PackedRef<'a> {
    data: &'a [f32],
    width: usize,
    order: &'a Order,
}

impl<'a> PackedRef<'a> {
    /// Rows of `width` in that order.
    pub(crate) fn over(data: &'a [f32], width: usize, order: &'a Order) -> Self {
        Self { data, width, order }
    }

    /// Other rows in the same order: `data` (steps of all rows, width).
    ///
    /// # Errors
    /// [`Error::Length`] where `data` does not hold as many rows of that width.
    pub fn like<'b>(&self, data: &'b [f32], width: usize) -> Result<PackedRef<'b>>
    where
        'a: 'b,
    {
        let shape = [self.order.lines().end(), width];
        if elements("packed", &shape)? == data.len() {
            Ok(PackedRef { data, width, order: self.order })
        } else {
            Err(Error::length("packed", &shape, data.len()))
        }
    }

    /// Every element, step by step, the longest row first.
    #[must_use]
    pub fn data(&self) -> &'a [f32] {
        self.data
    }

    /// Elements of a step of a row.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    #[must_use]
    pub fn batch(&self) -> usize {
        self.order.sorted.len()
    }

    /// Rows at each step.
    pub fn batch_sizes(&self) -> impl Iterator<Item = usize> + use<'a> {
        self.order.offsets.windows(2).map(|pair| pair[1] - pair[0])
    }

    /// Which row of the batch lies at each place of a step.
    #[must_use]
    pub fn sorted_indices(&self) -> &'a [usize] {
        &self.order.sorted
    }

    /// The rows in the order of the batch, (steps, B, width), with zeros behind the end of each: `pad_packed_sequence`.
    ///
    /// # Errors
    /// [`Error::Setting`] for fewer steps than the longest row has, [`Error::Overflow`].
    pub fn to_padded(&self, steps: usize) -> Result<Seq> {
        let mut padded = self.room([steps, self.batch()], steps)?;
        let (batch, width) = (self.batch(), self.width);
        self.each(|t, row, from| padded.data_mut()[(t * batch + row) * width..][..width].copy_from_slice(from));
        Ok(padded)
    }

    /// The same as (B, steps, width).
    ///
    /// # Errors
    /// As [`to_padded`](Self::to_padded).
    pub fn to_batch_first(&self, steps: usize) -> Result<Seq> {
        let mut padded = self.room([self.batch(), steps], steps)?;
        let width = self.width;
        self.each(|t, row, from| padded.data_mut()[(row * steps + t) * width..][..width].copy_from_slice(from));
        Ok(padded)
    }

    fn room(&self, [rows, columns]: [usize; 2], steps: usize) -> Result<Seq> {
        if steps < self.order.steps() {
            return Err(Error::setting("steps", &format!("at least {}", self.order.steps()), steps));
        }
        Seq::zeros(rows, columns, self.width)
    }

    /// Calls `f(t, row, values)` for each step of each row.
    fn each(&self, mut f: impl FnMut(usize, usize, &[f32])) {
        for t in 0..self.order.steps() {
            let step: Mat<'_> = self.seq().step(t);
            for (i, &row) in self.order.sorted[..step.shape()[0]].iter().enumerate() {
                f(t, row, step.row(i));
            }
        }
    }

    pub(crate) fn order(&self) -> &'a Order {
        self.order
    }

    /// The rows step by step, the longest first: (T, B, width), of which step t has those that are longer than t.
    #[must_use]
    pub fn seq(&self) -> SeqRef<'a> {
        SeqRef::over(self.data, self.order.lines(), self.width)
    }
}

impl fmt::Debug for PackedRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [steps, batch, width] = self.seq().shape();
        write!(f, "PackedRef[up to {steps}, {batch}, {width}]")
    }
}
