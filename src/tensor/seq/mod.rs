//! A sequence of (batch, width) matrices: owned here, borrowed in `view.rs`, and borrowed to be written in `view_mut.rs` and
//! `slots.rs`.

mod slots;
mod view;
mod view_mut;

use std::fmt;

pub(crate) use slots::{SlotsMat, SlotsMut};
pub use view::{Mat, SeqRef};
pub use view_mut::{MatMut, SeqMut};

use super::{Buffer, Lines};
use crate::error::{Error, Result, elements};

/// An owned sequence: (steps, batch, width), row-major, on a cache line.
///
/// ```
/// use elman::tensor::Seq;
///
/// // Two steps of a batch of three rows with one feature.
/// let mut x = Seq::from_slice(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2, 3, 1)?;
/// assert_eq!(x.shape(), [2, 3, 1]);
/// assert_eq!(x.step(1).row(2), [6.0]);
/// assert_eq!(x.step(1).flat(), Some(&[4.0, 5.0, 6.0][..]));
/// x.data_mut()[0] = 0.5;
/// assert_eq!(x.step(0).row(0), [0.5]);
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Default, PartialEq)]
pub struct Seq {
    data: Buffer,
    steps: usize,
    batch: usize,
    width: usize,
}

impl Seq {
    /// A sequence of zeros.
    ///
    /// # Errors
    /// [`Error::Overflow`] where `steps * batch * width` floats cannot be addressed, [`Error::Memory`] where there is not
    /// as much memory.
    pub fn zeros(steps: usize, batch: usize, width: usize) -> Result<Self> {
        let len = elements("sequence", &[steps, batch, width])?;
        Ok(Self { data: Buffer::try_zeros("sequence", len)?, steps, batch, width })
    }

    /// A sequence over the elements of `data`, (steps, batch, width) row-major, copied.
    ///
    /// # Errors
    /// [`Error::Length`] where `data` does not hold exactly that many elements; else as [`zeros`](Self::zeros).
    pub fn from_slice(data: &[f32], steps: usize, batch: usize, width: usize) -> Result<Self> {
        check_len(data.len(), steps, batch, width)?;
        let mut copy = Buffer::try_zeros("sequence", data.len())?;
        copy.copy_from_slice(data);
        Ok(Self { data: copy, steps, batch, width })
    }

    /// Gives the sequence another shape; the elements are unspecified afterwards. Allocates only to grow.
    ///
    /// # Errors
    /// As [`zeros`](Self::zeros); the sequence is then as it was.
    pub fn reshape(&mut self, steps: usize, batch: usize, width: usize) -> Result<()> {
        self.data.try_resize("sequence", elements("sequence", &[steps, batch, width])?)?;
        (self.steps, self.batch, self.width) = (steps, batch, width);
        Ok(())
    }

    /// Steps, batch, width.
    #[must_use]
    pub fn shape(&self) -> [usize; 3] {
        [self.steps, self.batch, self.width]
    }

    /// Every element, (steps, batch, width) row-major.
    #[must_use]
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// Every element, to be written.
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// The rows of step `t`, a (batch, width) matrix.
    ///
    /// # Panics
    /// If `t >= steps`.
    #[must_use]
    pub fn step(&self, t: usize) -> Mat<'_> {
        self.view().step(t)
    }

    /// The sequence, borrowed.
    #[must_use]
    pub fn view(&self) -> SeqRef<'_> {
        SeqRef::over(&self.data, Lines::dense(self.steps, self.batch), self.width)
    }

    /// The sequence, borrowed to be written.
    pub fn view_mut(&mut self) -> SeqMut<'_> {
        SeqMut::over(&mut self.data, Lines::dense(self.steps, self.batch), self.width)
    }
}

impl fmt::Debug for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seq{:?}", self.shape())
    }
}

fn check_len(got: usize, steps: usize, batch: usize, width: usize) -> Result<()> {
    let shape = [steps, batch, width];
    if elements("sequence", &shape)? == got { Ok(()) } else { Err(Error::length("sequence", &shape, got)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_lengths_and_overflow_are_errors() {
        let error = SeqRef::new(&[0.0; 5], 2, 1, 3).unwrap_err();
        assert_eq!(error.to_string(), "sequence: shape [2, 1, 3] needs 6 elements, got 5");
        let error = Seq::zeros(usize::MAX, 2, 1).unwrap_err();
        assert!(error.to_string().contains("more elements than memory can address"), "{error}");
        assert!(matches!(Seq::zeros(1 << 62, 1, 1), Err(Error::Overflow { .. })));
        let error = Seq::zeros(1 << 40, 1, 1).unwrap_err();
        assert!(error.to_string().starts_with("sequence: needs 4,398,046,511,104 bytes (4.0 TiB)"), "{error}");
    }
}
