//! A sequence of (batch, width) matrices: owned, borrowed, and borrowed to be written, by rows and by columns.
#![allow(unsafe_code)]

use std::fmt;
use std::marker::PhantomData;

use super::Buffer;
use super::lines::Lines;
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
        let view = SeqRef::new(data, steps, batch, width)?;
        let mut copy = Buffer::try_zeros("sequence", data.len())?;
        copy.copy_from_slice(view.data);
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

/// A matrix of rows that lie at equal distances: one step of a [`SeqRef`].
///
/// ```
/// use elman::tensor::SeqRef;
///
/// let step = SeqRef::new(&[1.0, 2.0, 3.0, 4.0], 1, 2, 2)?.step(0);
/// assert_eq!(step.shape(), [2, 2]);
/// assert_eq!(step.row(1), [3.0, 4.0]);
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct Mat<'a> {
    data: &'a [f32],
    rows: usize,
    pitch: usize,
    width: usize,
}

impl<'a> Mat<'a> {
    /// Rows and width.
    #[must_use]
    pub fn shape(&self) -> [usize; 2] {
        [self.rows, self.width]
    }

    /// Row `i`.
    ///
    /// # Panics
    /// If `i >= rows`.
    #[inline(always)]
    #[must_use]
    pub fn row(&self, i: usize) -> &'a [f32] {
        assert!(i < self.rows, "row {i} of {}", self.rows);
        &self.data[i * self.pitch..][..self.width]
    }

    /// The rows `first..first + rows`.
    ///
    /// # Panics
    /// If there are fewer.
    #[must_use]
    pub fn narrow_rows(&self, first: usize, rows: usize) -> Self {
        assert!(first <= self.rows && rows <= self.rows - first, "{rows} rows from {first} on, of {}", self.rows);
        let data = if rows == 0 { &[] } else { &self.data[first * self.pitch..] };
        Self { data, rows, ..*self }
    }

    /// Every row in one piece, row-major, where all columns are in view.
    #[must_use]
    pub fn flat(&self) -> Option<&'a [f32]> {
        (self.pitch == self.width).then(|| &self.data[..self.rows * self.width])
    }

    /// From the first element on, and the elements from one row to the next.
    pub(crate) fn strided(&self) -> (&'a [f32], usize) {
        (self.data, self.pitch)
    }
}

/// A borrowed sequence: some rows of the batch, and some columns of each, through all steps.
///
/// ```
/// use elman::tensor::SeqRef;
///
/// // Two steps of two rows with two features.
/// let x = SeqRef::new(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], 2, 2, 2)?;
/// let second_row = x.narrow_rows(1, 1);
/// assert_eq!(second_row.shape(), [2, 1, 2]);
/// assert_eq!(second_row.step(1).row(0), [7.0, 8.0]);
/// assert_eq!(x.narrow_columns(1, 1).narrow_steps(0, 1).step(0).row(1), [4.0]);
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct SeqRef<'a> {
    /// All rows of all steps, `pitch` elements each.
    data: &'a [f32],
    lines: Lines<'a>,
    pitch: usize,
    /// Of a row, `width` elements from here on are in view.
    column: usize,
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
        Ok(Self::over(data, Lines::dense(steps, batch), width))
    }

    /// A view of `data` whose rows lie as `lines` says.
    ///
    /// # Panics
    /// If `data` holds fewer rows.
    pub(crate) fn over(data: &'a [f32], lines: Lines<'a>, width: usize) -> Self {
        assert!(lines.end() * width <= data.len(), "{} rows of {width} in {}", lines.end(), data.len());
        Self { data, lines, pitch: width, column: 0, width }
    }

    /// Steps, rows in view (of a ragged sequence, those of its longest step), width.
    #[must_use]
    pub fn shape(&self) -> [usize; 3] {
        [self.lines.steps(), self.lines.rows(), self.width]
    }

    /// Where the rows lie.
    pub(crate) fn lines(&self) -> Lines<'a> {
        self.lines
    }

    /// The rows of step `t`, a (rows, width) matrix; of a ragged sequence, those that are alive.
    ///
    /// # Panics
    /// If `t >= steps`.
    #[inline(always)]
    #[must_use]
    pub fn step(&self, t: usize) -> Mat<'a> {
        let rows = self.lines.at(t);
        let (first, rows) = (rows.start, rows.len());
        let data = if rows == 0 { &[] } else { &self.data[first * self.pitch + self.column..] };
        Mat { data, rows, pitch: self.pitch, width: self.width }
    }

    /// Every row in view, step by step.
    pub(crate) fn each_row(self) -> impl Iterator<Item = &'a [f32]> {
        (0..self.lines.steps()).flat_map(move |t| {
            let step = self.step(t);
            (0..step.rows).map(move |i| step.row(i))
        })
    }

    /// Every row of every step in one piece, where the whole batch and all columns are in view.
    #[inline]
    #[must_use]
    pub fn flat(&self) -> Option<&'a [f32]> {
        let rows = self.lines.whole().filter(|_| self.pitch == self.width)?;
        Some(&self.data[rows.start * self.width..rows.end * self.width])
    }

    /// The same rows as a single step, where the whole batch is in view; else the sequence itself.
    pub(crate) fn as_one_step(self) -> Self {
        match self.lines.whole() {
            Some(rows) => {
                let data = &self.data[rows.start * self.pitch..rows.end * self.pitch];
                Self { data, lines: Lines::dense(1, rows.len()), ..self }
            }
            None => self,
        }
    }

    /// The rows `first..first + rows` of those in view.
    ///
    /// # Panics
    /// If there are fewer.
    #[must_use]
    pub fn narrow_rows(&self, first: usize, rows: usize) -> Self {
        Self { lines: self.lines.narrow_rows(first, rows), ..*self }
    }

    /// The columns `first..first + width` of those in view.
    ///
    /// # Panics
    /// If there are fewer.
    #[must_use]
    pub fn narrow_columns(&self, first: usize, width: usize) -> Self {
        assert!(
            first <= self.width && width <= self.width - first,
            "{width} columns from {first} on, of {}",
            self.width
        );
        Self { column: self.column + first, width, ..*self }
    }

    /// The steps `first..first + steps`.
    ///
    /// # Panics
    /// If there are fewer.
    #[must_use]
    pub fn narrow_steps(&self, first: usize, steps: usize) -> Self {
        Self { lines: self.lines.narrow_steps(first, steps), ..*self }
    }
}

/// A matrix of rows that lie at equal distances, to be written: one step of a [`SeqMut`].
///
/// ```
/// use elman::tensor::Seq;
///
/// let mut x = Seq::zeros(2, 3, 4)?;
/// let mut view = x.view_mut();
/// let mut step = view.step(1);
/// assert_eq!(step.shape(), [3, 4]);
/// step.row(2).copy_from_slice(&[1.0, 2.0, 3.0, 4.0]);
/// assert_eq!(step.read(2)[3], 4.0);
/// # Ok::<(), elman::Error>(())
/// ```
pub struct MatMut<'a> {
    start: *mut f32,
    rows: usize,
    pitch: usize,
    width: usize,
    borrow: PhantomData<&'a mut [f32]>,
}

impl MatMut<'_> {
    /// Rows and width.
    #[must_use]
    pub fn shape(&self) -> [usize; 2] {
        [self.rows, self.width]
    }

    /// Row `i`.
    ///
    /// # Panics
    /// If `i >= rows`.
    #[inline(always)]
    pub fn row(&mut self, i: usize) -> &mut [f32] {
        assert!(i < self.rows, "row {i} of {}", self.rows);
        // SAFETY: `SeqMut::step` made this of a step's first row and its number of rows, each `pitch` apart and `width`
        // long inside the sequence's memory; `&mut self` makes the result unique.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(i * self.pitch), self.width) }
    }

    /// Row `i`, to be read.
    ///
    /// # Panics
    /// If `i >= rows`.
    #[inline(always)]
    #[must_use]
    pub fn read(&self, i: usize) -> &[f32] {
        assert!(i < self.rows, "row {i} of {}", self.rows);
        // SAFETY: as in `row`; `&self` keeps writers out for as long as the result lives.
        unsafe { std::slice::from_raw_parts(self.start.add(i * self.pitch), self.width) }
    }
}

/// A sequence borrowed to be written: some rows of the batch, and some columns of each, through all steps.
///
/// [`split_rows`](Self::split_rows) and [`split_columns`](Self::split_columns) hand disjoint parts to different workers,
/// which slices cannot: the rows of one worker lie in as many pieces as there are steps.
///
/// ```
/// use elman::tensor::Seq;
///
/// let mut x = Seq::zeros(2, 3, 1)?;
/// let (mut first, mut others) = x.view_mut().split_rows(1);
/// first.step(0).row(0).fill(1.0);
/// others.step(1).row(1).fill(2.0);
/// assert_eq!(x.data(), [1.0, 0.0, 0.0, 0.0, 0.0, 2.0]);
/// # Ok::<(), elman::Error>(())
/// ```
pub struct SeqMut<'a> {
    /// The element of row 0 and column 0 in the memory that `lines` counts in.
    start: *mut f32,
    lines: Lines<'a>,
    /// Elements from one row to the next.
    pitch: usize,
    /// Of a row, `width` elements from here on are in view.
    column: usize,
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
        Ok(Self::over(data, Lines::dense(steps, batch), width))
    }

    /// A view of `data` whose rows lie as `lines` says.
    ///
    /// # Panics
    /// If `data` holds fewer rows.
    pub(crate) fn over(data: &'a mut [f32], lines: Lines<'a>, width: usize) -> Self {
        assert!(lines.end() * width <= data.len(), "{} rows of {width} in {}", lines.end(), data.len());
        Self { start: data.as_mut_ptr(), lines, pitch: width, column: 0, width, borrow: PhantomData }
    }

    /// Steps, rows in view (of a ragged sequence, those of its longest step), width.
    #[must_use]
    pub fn shape(&self) -> [usize; 3] {
        [self.lines.steps(), self.lines.rows(), self.width]
    }

    /// Where the rows lie.
    pub(crate) fn lines(&self) -> Lines<'a> {
        self.lines
    }

    /// The rows of step `t`, a (rows, width) matrix; of a ragged sequence, those that are alive.
    ///
    /// # Panics
    /// If `t >= steps`.
    #[inline(always)]
    pub fn step(&mut self, t: usize) -> MatMut<'_> {
        let rows = self.lines.at(t);
        // An empty matrix points at the start, which is always inside.
        let offset = if rows.is_empty() { 0 } else { rows.start * self.pitch + self.column };
        // SAFETY: `over` found `lines.end() * pitch` elements behind `start`, `lines` only ever names rows before its
        // end, also after its rows and steps were cut, and `column + width <= pitch`. So every row of the matrix lies
        // inside that memory. Other views cut from it hold other rows, other steps or other columns, and `&mut self`
        // makes the result unique among those of this view.
        let start = unsafe { self.start.add(offset) };
        MatMut { start, rows: rows.len(), pitch: self.pitch, width: self.width, borrow: PhantomData }
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
        let rows = self.lines.rows();
        assert!(at <= rows, "row {at} of {rows}");
        let (first, second) = (self.lines.narrow_rows(0, at), self.lines.narrow_rows(at, rows - at));
        (Self { lines: first, ..self }, Self { lines: second, ..self })
    }

    /// The first `at` columns of every row, and the others.
    ///
    /// # Panics
    /// If `at > width`.
    #[must_use]
    pub fn split_columns(self, at: usize) -> (Self, Self) {
        assert!(at <= self.width, "column {at} of {}", self.width);
        let (column, width) = (self.column + at, self.width - at);
        (Self { width: at, ..self }, Self { column, width, ..self })
    }

    /// The steps before `at`, and those from `at` on.
    ///
    /// # Panics
    /// If `at > steps`.
    #[must_use]
    pub fn split_steps(self, at: usize) -> (Self, Self) {
        let steps = self.lines.steps();
        assert!(at <= steps, "step {at} of {steps}");
        let (first, second) = (self.lines.narrow_steps(0, at), self.lines.narrow_steps(at, steps - at));
        (Self { lines: first, ..self }, Self { lines: second, ..self })
    }
}

fn check_len(got: usize, steps: usize, batch: usize, width: usize) -> Result<()> {
    let shape = [steps, batch, width];
    if elements("sequence", &shape)? == got { Ok(()) } else { Err(Error::length("sequence", &shape, got)) }
}

impl fmt::Debug for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seq{:?}", self.shape())
    }
}

impl fmt::Debug for Mat<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mat{:?}", self.shape())
    }
}

impl fmt::Debug for MatMut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MatMut{:?}", self.shape())
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
        let (mut b, c) = b.split_rows(3);
        for t in 0..3 {
            (0..2).for_each(|i| a.step(t).row(i).iter_mut().for_each(|x| *x += 1.0));
            (0..3).for_each(|i| b.step(t).row(i).iter_mut().for_each(|x| *x += 2.0));
            assert_eq!(c.shape(), [3, 0, 2]);
        }
        for t in 0..3 {
            assert_eq!(seq.step(t).flat().unwrap(), [1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0]);
        }
    }

    #[test]
    fn columns_split_between_writers_cover_the_rows_once() {
        let mut seq = Seq::zeros(2, 3, 5).unwrap();
        let (mut a, mut b) = seq.view_mut().split_columns(2);
        for t in 0..2 {
            for i in 0..3 {
                a.step(t).row(i).fill(1.0);
                b.step(t).row(i).fill(2.0);
            }
        }
        assert_eq!(seq.data(), [1.0, 1.0, 2.0, 2.0, 2.0].repeat(6));
        let middle = seq.view().narrow_columns(1, 2).step(1);
        assert_eq!((middle.row(2), middle.flat()), (&[1.0, 2.0][..], None));
        assert_eq!(seq.step(1).narrow_rows(1, 2).flat().unwrap(), [1.0, 1.0, 2.0, 2.0, 2.0].repeat(2));
        assert!(seq.step(1).narrow_rows(3, 0).flat().unwrap().is_empty());
    }

    #[test]
    fn steps_split_where_asked() {
        let mut seq = Seq::zeros(4, 3, 1).unwrap();
        let (_, rows) = seq.view_mut().split_rows(1);
        let (mut early, late) = rows.split_steps(3);
        let (mut late, mut none) = late.split_steps(1);
        (0..2).for_each(|i| early.step(2).row(i).fill(7.0));
        (0..2).for_each(|i| late.step(0).row(i).fill(8.0));
        assert_eq!(none.shape(), [0, 2, 1]);
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| none.step(0).rows)).is_err());
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| late.step(0).row(2).len())).is_err());
        assert_eq!(seq.data(), [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 7.0, 7.0, 0.0, 8.0, 8.0]);
        assert_eq!(seq.view().narrow_rows(1, 2).narrow_steps(2, 2).step(1).row(1), [8.0]);
    }

    #[test]
    fn ragged_rows_lie_one_behind_the_other() {
        // Steps of 3, 2, 2, 1 rows.
        let offsets = [0, 3, 5, 7, 8];
        let data: Vec<f32> = (0..16).map(|i| i as f32).collect();
        let seq = SeqRef::over(&data, Lines::ragged(&offsets, 3), 2);
        assert_eq!(seq.shape(), [4, 3, 2]);
        assert_eq!(seq.step(1).shape(), [2, 2]);
        assert_eq!(seq.step(2).row(1), [12.0, 13.0]);
        let tail = seq.narrow_rows(1, 2).narrow_steps(1, 3);
        assert_eq!([tail.step(0), tail.step(1), tail.step(2)].map(|step| step.shape()[0]), [1, 1, 0]);
        assert_eq!(tail.step(1).row(0), [12.0, 13.0]);
        assert_eq!(seq.narrow_steps(1, 2).flat().unwrap(), &data[6..14]);
        assert!(tail.flat().is_none());
    }

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
