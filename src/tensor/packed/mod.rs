//! Ragged batches, packed: owned here, borrowed in `view.rs`.

mod order;
mod view;

use std::fmt;

pub(crate) use order::Order;
pub use view::PackedRef;

use super::{Buffer, Seq, SeqMut, SeqRef};
use crate::error::{Error, Result, at_least_one, check_shape, elements};

/// Rows of different lengths without padding, as PyTorch's `PackedSequence`: sorted by falling length and step by step,
/// so that step t has the rows that are longer than t.
///
/// ```
/// use elman::tensor::{PackedSequence, Seq};
///
/// // Two rows of one feature, padded to three steps: 1, 2 and 5, 6, 7.
/// let padded = Seq::from_slice(&[1.0, 5.0, 2.0, 6.0, 0.0, 7.0], 3, 2, 1)?;
/// let packed = PackedSequence::from_padded(padded.view(), &[2, 3])?;
/// assert_eq!(packed.batch_sizes().collect::<Vec<_>>(), [2, 2, 1]);
/// assert_eq!(packed.sorted_indices(), [1, 0]);
/// assert_eq!(packed.data(), [5.0, 1.0, 6.0, 2.0, 7.0]);
/// assert_eq!(packed.to_padded(3)?, padded);
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Default, PartialEq)]
pub struct PackedSequence {
    /// (steps of all rows, width).
    data: Buffer,
    width: usize,
    order: Order,
}

impl PackedSequence {
    /// The first `lengths[b]` steps of each row b of `x` (T, B, width), `pack_padded_sequence` with
    /// `enforce_sorted=False`.
    ///
    /// # Errors
    /// [`Error::Shape`] naming `lengths` where they are not B, [`Error::Value`] where one is longer than T,
    /// [`Error::Setting`] for a width of 0.
    pub fn from_padded(x: SeqRef<'_>, lengths: &[usize]) -> Result<Self> {
        let mut packed = Self::default();
        packed.pack_padded(x, lengths)?;
        Ok(packed)
    }

    /// The same for `x` (B, T, width).
    ///
    /// # Errors
    /// As [`from_padded`](Self::from_padded).
    pub fn from_batch_first(x: SeqRef<'_>, lengths: &[usize]) -> Result<Self> {
        let mut packed = Self::default();
        packed.pack_batch_first(x, lengths)?;
        Ok(packed)
    }

    /// [`from_padded`](Self::from_padded) in memory that is there; allocates only to grow.
    ///
    /// # Errors
    /// As [`from_padded`](Self::from_padded); the sequence is then as it was.
    pub fn pack_padded(&mut self, x: SeqRef<'_>, lengths: &[usize]) -> Result<()> {
        let [steps, batch, width] = x.shape();
        at_least_one("width", width)?;
        check_lengths(lengths, steps, batch)?;
        self.pack(width, batch, |row| lengths[row], |t, row| x.step(t).row(row))
    }

    /// [`from_batch_first`](Self::from_batch_first) in memory that is there; allocates only to grow.
    ///
    /// # Errors
    /// As [`from_padded`](Self::from_padded); the sequence is then as it was.
    pub fn pack_batch_first(&mut self, x: SeqRef<'_>, lengths: &[usize]) -> Result<()> {
        let [batch, steps, width] = x.shape();
        at_least_one("width", width)?;
        check_lengths(lengths, steps, batch)?;
        self.pack(width, batch, |row| lengths[row], |t, row| x.step(row).row(t))
    }

    /// Rows by themselves, (length, width) row-major each, `pack_sequence` with `enforce_sorted=False`.
    ///
    /// # Errors
    /// [`Error::Length`] naming the row that is not whole steps of `width`; [`Error::Setting`] for a width of 0.
    pub fn from_rows(rows: &[&[f32]], width: usize) -> Result<Self> {
        at_least_one("width", width)?;
        for (i, row) in rows.iter().enumerate() {
            if !row.len().is_multiple_of(width) {
                return Err(Error::length(&format!("rows[{i}]"), &[row.len() / width, width], row.len()));
            }
        }
        let mut packed = Self::default();
        packed.pack(width, rows.len(), |row| rows[row].len() / width, |t, row| &rows[row][t * width..][..width])?;
        Ok(packed)
    }

    fn pack<'a>(
        &mut self,
        width: usize,
        batch: usize,
        lengths: impl Fn(usize) -> usize,
        from: impl Fn(usize, usize) -> &'a [f32],
    ) -> Result<()> {
        let Self { data, width: own_width, order } = self;
        let total = (0..batch).map(&lengths).sum();
        order.reserve((0..batch).map(&lengths).max().unwrap_or(0), batch)?;
        data.try_resize("packed", elements("packed", &[total, width])?)?;
        order.assign(lengths, batch);
        *own_width = width;
        for t in 0..order.steps() {
            for (row, at) in order.lines().at(t).enumerate() {
                data[at * width..][..width].copy_from_slice(from(t, order.sorted[row]));
            }
        }
        Ok(())
    }

    /// Every element, step by step, the longest row first.
    #[must_use]
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// The batch, borrowed.
    #[must_use]
    pub fn view(&self) -> PackedRef<'_> {
        PackedRef::over(&self.data, self.width, &self.order)
    }

    /// Rows at each step.
    pub fn batch_sizes(&self) -> impl Iterator<Item = usize> {
        self.view().batch_sizes()
    }

    /// Which row of the batch lies at each place of a step.
    #[must_use]
    pub fn sorted_indices(&self) -> &[usize] {
        &self.order.sorted
    }

    /// Zeros of that width for the same rows in the same order.
    ///
    /// # Errors
    /// [`Error::Overflow`], [`Error::Memory`].
    pub fn zeros_like(&self, width: usize) -> Result<Self> {
        let len = elements("packed", &[self.order.lines().end(), width])?;
        let mut order = Order::default();
        order.copy_from(&self.order)?;
        Ok(Self { data: Buffer::try_zeros("packed", len)?, width, order })
    }

    /// Every element, to be written.
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// The rows step by step, the longest first, to be written: see [`PackedRef::seq`].
    pub fn seq_mut(&mut self) -> SeqMut<'_> {
        SeqMut::over(&mut self.data, self.order.lines(), self.width)
    }

    /// [`PackedRef::to_padded`].
    ///
    /// # Errors
    /// As there.
    pub fn to_padded(&self, steps: usize) -> Result<Seq> {
        self.view().to_padded(steps)
    }
}

impl fmt::Debug for PackedSequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [steps, batch, width] = self.view().seq().shape();
        write!(f, "PackedSequence[up to {steps}, {batch}, {width}]")
    }
}

fn check_lengths(lengths: &[usize], steps: usize, batch: usize) -> Result<()> {
    check_shape("lengths", &[batch], &[lengths.len()])?;
    elements("lengths", &[steps, batch])?;
    match lengths.iter().position(|&length| length > steps) {
        None => Ok(()),
        Some(row) => {
            let expected = format!("at most {steps}, the steps of the input");
            Err(Error::value(&format!("lengths[{row}]"), &expected, lengths[row]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_as_they_went_in() {
        let rows: [&[f32]; 5] = [&[1.0, 2.0], &[], &[3.0, 4.0, 5.0, 6.0, 7.0, 8.0], &[9.0, 10.0], &[11.0; 6]];
        let packed = PackedSequence::from_rows(&rows, 2).unwrap();
        assert_eq!(packed.sorted_indices(), [2, 4, 0, 3, 1]);
        assert_eq!(packed.batch_sizes().collect::<Vec<_>>(), [4, 2, 2]);
        let padded = packed.to_padded(4).unwrap();
        assert_eq!(padded.shape(), [4, 5, 2]);
        assert_eq!(padded.step(0).flat().unwrap(), [1.0, 2.0, 0.0, 0.0, 3.0, 4.0, 9.0, 10.0, 11.0, 11.0]);
        assert!(padded.step(3).flat().unwrap().iter().all(|&x| x == 0.0));
        let lengths = [1, 0, 3, 1, 3];
        assert_eq!(PackedSequence::from_padded(padded.view(), &lengths).unwrap(), packed);
        let turned = packed.view().to_batch_first(3).unwrap();
        assert_eq!(turned.step(2).flat().unwrap(), [3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        assert_eq!(PackedSequence::from_batch_first(turned.view(), &lengths).unwrap(), packed);
    }

    #[test]
    fn nothing_at_all_can_be_packed() {
        for batch in [0, 3] {
            let padded = Seq::zeros(4, batch, 2).unwrap();
            let packed = PackedSequence::from_padded(padded.view(), &vec![0; batch]).unwrap();
            assert_eq!(packed.view().batch(), batch);
            assert_eq!(packed.batch_sizes().count(), 0);
            assert_eq!(packed.to_padded(4).unwrap(), padded);
        }
        assert_eq!(PackedSequence::default().to_padded(0).unwrap().shape(), [0, 0, 0]);
    }

    #[test]
    fn wrong_lengths_are_errors() {
        let x = Seq::zeros(3, 2, 1).unwrap();
        let error = |lengths: &[usize]| PackedSequence::from_padded(x.view(), lengths).unwrap_err().to_string();
        assert_eq!(error(&[1]), "lengths: expected [2], got [1]");
        assert_eq!(error(&[1, 4]), "lengths[1]: expected at most 3, the steps of the input, got 4");
        let error = PackedSequence::from_rows(&[&[0.0; 3]], 2).unwrap_err().to_string();
        assert_eq!(error, "rows[0]: shape [1, 2] needs 2 elements, got 3");
        let packed = PackedSequence::from_padded(x.view(), &[1, 3]).unwrap();
        assert_eq!(packed.to_padded(2).unwrap_err().to_string(), "steps: expected at least 3, got 2");
    }
}
