//! A sequence of (batch, width) matrices: owned, borrowed, and borrowed to be written by rows of the batch.
#![allow(unsafe_code)]

use std::fmt;
use std::marker::PhantomData;

use super::Buffer;
use crate::error::{Error, Result, elements};

/// An owned sequence: (steps, batch, width), row-major, on a cache line.
#[derive(Clone, Debug, Default, PartialEq)]
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
    /// [`Error::Overflow`] where `steps * batch * width` floats cannot be addressed.
    pub fn zeros(steps: usize, batch: usize, width: usize) -> Result<Self> {
        let len = elements("sequence", &[steps, batch, width])?;
        Ok(Self { data: Buffer::zeros(len), steps, batch, width })
    }

    /// A sequence over the elements of `from`, (steps, batch, width) row-major, copied.
    ///
    /// # Errors
    /// [`Error::Length`] where `from` does not hold exactly that many elements, [`Error::Overflow`] as in
    /// [`zeros`](Self::zeros).
    pub fn from_slice(steps: usize, batch: usize, width: usize, from: &[f32]) -> Result<Self> {
        let view = SeqRef::new(from, steps, batch, width)?;
        Ok(Self { data: Buffer::copy_of(view.data), steps, batch, width })
    }

    /// Gives the sequence another shape; the elements are anybody's guess afterwards. Allocates only to grow.
    ///
    /// # Errors
    /// [`Error::Overflow`] as in [`zeros`](Self::zeros).
    pub fn reshape(&mut self, steps: usize, batch: usize, width: usize) -> Result<()> {
        self.data.resize(elements("sequence", &[steps, batch, width])?);
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

    /// The (batch, width) matrix of step `t`.
    ///
    /// # Panics
    /// If `t >= steps`.
    #[must_use]
    pub fn step(&self, t: usize) -> &[f32] {
        self.view().step(t)
    }

    /// The sequence, borrowed.
    #[must_use]
    pub fn view(&self) -> SeqRef<'_> {
        SeqRef { data: &self.data, steps: self.steps, batch: self.batch, first: 0, rows: self.batch, width: self.width }
    }

    /// The sequence, borrowed to be written.
    pub fn view_mut(&mut self) -> SeqMut<'_> {
        let (steps, batch, width) = (self.steps, self.batch, self.width);
        SeqMut::whole(&mut self.data, steps, batch, width)
    }
}

/// A borrowed sequence: some rows of the batch through all steps.
#[derive(Clone, Copy)]
pub struct SeqRef<'a> {
    data: &'a [f32],
    steps: usize,
    /// Rows in `data` a step; of them, `rows` from `first` on are in view.
    batch: usize,
    first: usize,
    rows: usize,
    width: usize,
}

impl<'a> SeqRef<'a> {
    /// A view of `data` as (steps, batch, width), row-major.
    ///
    /// # Errors
    /// [`Error::Length`] where `data` does not hold exactly that many elements, [`Error::Overflow`] where the product
    /// of the sizes does not fit.
    pub fn new(data: &'a [f32], steps: usize, batch: usize, width: usize) -> Result<Self> {
        check_len(data.len(), steps, batch, width)?;
        Ok(Self { data, steps, batch, first: 0, rows: batch, width })
    }

    /// Steps, rows in view, width.
    #[must_use]
    pub fn shape(&self) -> [usize; 3] {
        [self.steps, self.rows, self.width]
    }

    /// The rows of step `t`: a contiguous (rows, width) matrix.
    ///
    /// # Panics
    /// If `t >= steps`.
    #[inline]
    #[must_use]
    pub fn step(&self, t: usize) -> &'a [f32] {
        assert!(t < self.steps, "step {t} of {}", self.steps);
        &self.data[(t * self.batch + self.first) * self.width..][..self.rows * self.width]
    }

    /// Every row of every step in one piece, where the whole batch is in view.
    #[inline]
    pub(crate) fn flat(&self) -> Option<&'a [f32]> {
        (self.rows == self.batch).then_some(self.data)
    }

    /// The same rows as a single step, where the whole batch is in view; else the sequence itself.
    pub(crate) fn as_one_step(self) -> Self {
        match self.flat() {
            Some(_) => {
                let rows = self.steps * self.batch;
                Self { steps: 1, batch: rows, rows, ..self }
            }
            None => self,
        }
    }

    /// The rows `first..first + rows` of those in view.
    ///
    /// # Panics
    /// If there are fewer.
    #[must_use]
    pub fn rows(&self, first: usize, rows: usize) -> Self {
        assert!(first <= self.rows && rows <= self.rows - first, "{rows} rows from {first} on, of {}", self.rows);
        Self { first: self.first + first, rows, ..*self }
    }

    /// The steps `first..first + steps`.
    ///
    /// # Panics
    /// If there are fewer.
    #[must_use]
    pub fn steps(&self, first: usize, steps: usize) -> Self {
        assert!(first <= self.steps && steps <= self.steps - first, "{steps} steps from {first} on, of {}", self.steps);
        let line = self.batch * self.width;
        Self { data: &self.data[first * line..][..steps * line], steps, ..*self }
    }
}

/// A sequence borrowed to be written: some rows of the batch through all steps.
///
/// [`split_rows`](Self::split_rows) hands disjoint rows to different workers, which slices cannot: the rows of one
/// worker lie in as many pieces as there are steps.
pub struct SeqMut<'a> {
    /// The first element in view.
    start: *mut f32,
    /// Elements from one step to the next.
    stride: usize,
    steps: usize,
    rows: usize,
    width: usize,
    borrow: PhantomData<&'a mut [f32]>,
}

// SAFETY: a `SeqMut` is a unique borrow of the elements in its view, as `&mut [f32]` is of its own.
unsafe impl Send for SeqMut<'_> {}
// SAFETY: as above; `&SeqMut` gives shared, read-only access, and writers need `&mut SeqMut`.
unsafe impl Sync for SeqMut<'_> {}

impl<'a> SeqMut<'a> {
    /// A view of `data` as (steps, batch, width), row-major.
    ///
    /// # Errors
    /// As [`SeqRef::new`].
    pub fn new(data: &'a mut [f32], steps: usize, batch: usize, width: usize) -> Result<Self> {
        check_len(data.len(), steps, batch, width)?;
        Ok(Self::whole(data, steps, batch, width))
    }

    fn whole(data: &'a mut [f32], steps: usize, batch: usize, width: usize) -> Self {
        debug_assert_eq!(data.len(), steps * batch * width);
        let start = data.as_mut_ptr();
        Self { start, stride: batch * width, steps, rows: batch, width, borrow: PhantomData }
    }

    /// Steps, rows in view, width.
    #[must_use]
    pub fn shape(&self) -> [usize; 3] {
        [self.steps, self.rows, self.width]
    }

    /// The rows of step `t`: a contiguous (rows, width) matrix.
    ///
    /// # Panics
    /// If `t >= steps`.
    #[inline]
    pub fn step(&mut self, t: usize) -> &mut [f32] {
        assert!(t < self.steps, "step {t} of {}", self.steps);
        // SAFETY: every view is cut from a slice of `steps * stride` elements from which `start` is at most
        // `stride - rows * width` away, so the `rows * width` elements at step `t < steps` lie inside that slice;
        // other views cut from it hold other rows or other steps; `&mut self` makes the result unique.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(t * self.stride), self.rows * self.width) }
    }

    /// The rows of step `t`, to be read.
    ///
    /// # Panics
    /// If `t >= steps`.
    #[inline]
    #[must_use]
    pub fn read(&self, t: usize) -> &[f32] {
        assert!(t < self.steps, "step {t} of {}", self.steps);
        // SAFETY: as in `step`; `&self` keeps writers out for as long as the result lives.
        unsafe { std::slice::from_raw_parts(self.start.add(t * self.stride), self.rows * self.width) }
    }

    /// The view for a shorter life.
    pub fn reborrow(&mut self) -> SeqMut<'_> {
        SeqMut { borrow: PhantomData, ..*self }
    }

    /// The first `at` rows of every step, and the others.
    ///
    /// # Panics
    /// If `at > rows`.
    #[must_use]
    pub fn split_rows(self, at: usize) -> (Self, Self) {
        assert!(at <= self.rows, "row {at} of {}", self.rows);
        // An empty sequence has no row to point at: its second half points where the first does.
        let offset = if self.steps == 0 { 0 } else { at * self.width };
        // SAFETY: `at <= rows`, so `offset` stays inside the step (or is zero), hence inside the slice under the view.
        let second = unsafe { self.start.add(offset) };
        (Self { rows: at, ..self }, Self { start: second, rows: self.rows - at, ..self })
    }

    /// The steps before `at`, and those from `at` on.
    ///
    /// # Panics
    /// If `at > steps`.
    #[must_use]
    pub fn split_steps(self, at: usize) -> (Self, Self) {
        assert!(at <= self.steps, "step {at} of {}", self.steps);
        // A view that ends here must not point beyond the slice: its rows may begin inside the last step.
        let offset = if at == self.steps { 0 } else { at * self.stride };
        // SAFETY: `at < steps` or the offset is zero, so the element is inside the slice under the view.
        let second = unsafe { self.start.add(offset) };
        (Self { steps: at, ..self }, Self { start: second, steps: self.steps - at, ..self })
    }
}

fn check_len(got: usize, steps: usize, batch: usize, width: usize) -> Result<()> {
    let shape = [steps, batch, width];
    if elements("sequence", &shape)? == got {
        Ok(())
    } else {
        Err(Error::Length { name: "sequence".into(), shape: shape.into(), got })
    }
}

impl fmt::Debug for SeqRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SeqRef{:?}", self.shape())
    }
}

impl fmt::Debug for SeqMut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SeqMut{:?}", self.shape())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_split_between_writers_cover_the_sequence_once() {
        let mut seq = Seq::zeros(3, 5, 2).unwrap();
        let (mut a, b) = seq.view_mut().split_rows(2);
        let (mut b, mut c) = b.split_rows(3);
        for t in 0..3 {
            a.step(t).iter_mut().for_each(|x| *x += 1.0);
            b.step(t).iter_mut().for_each(|x| *x += 2.0);
            assert!(c.step(t).is_empty());
        }
        for t in 0..3 {
            assert_eq!(seq.step(t), [1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0]);
        }
    }

    #[test]
    fn steps_split_where_asked() {
        let mut seq = Seq::zeros(4, 3, 1).unwrap();
        let (_, rows) = seq.view_mut().split_rows(1);
        let (mut early, late) = rows.split_steps(3);
        let (mut late, mut none) = late.split_steps(1);
        early.step(2).fill(7.0);
        late.step(0).fill(8.0);
        assert_eq!(none.shape(), [0, 2, 1]);
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| none.step(0).len())).is_err());
        assert_eq!(seq.data(), [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 7.0, 7.0, 0.0, 8.0, 8.0]);
        assert_eq!(seq.view().rows(1, 2).steps(2, 2).step(1), [8.0, 8.0]);
    }

    #[test]
    fn wrong_lengths_and_overflow_are_errors() {
        let error = SeqRef::new(&[0.0; 5], 2, 1, 3).unwrap_err();
        assert_eq!(error.to_string(), "sequence: shape [2, 1, 3] needs 6 elements, got 5");
        let error = Seq::zeros(usize::MAX, 2, 1).unwrap_err();
        assert!(error.to_string().contains("more elements than memory can address"), "{error}");
        assert!(matches!(Seq::zeros(1 << 62, 1, 1), Err(Error::Overflow { .. })));
    }
}
