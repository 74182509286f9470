//! Sequences borrowed to be written, and cut between writers: by rows, by columns and by steps.
#![allow(unsafe_code)]

use std::fmt;
use std::marker::PhantomData;

use super::check_len;
use crate::error::Result;
use crate::tensor::Lines;

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
    /// As [`SeqRef::new`](super::SeqRef::new).
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

    /// One row a step, each of which is there: the rows of all steps as a matrix. None of another sequence.
    pub(crate) fn of_one_row(&mut self) -> Option<MatMut<'_>> {
        let rows = self.lines.whole().filter(|rows| self.lines.rows() == 1 && rows.len() == self.lines.steps())?;
        let offset = if rows.is_empty() { 0 } else { rows.start * self.pitch + self.column };
        // SAFETY: as in `step`, of all rows that `lines` names.
        let start = unsafe { self.start.add(offset) };
        Some(MatMut { start, rows: rows.len(), pitch: self.pitch, width: self.width, borrow: PhantomData })
    }

    /// Every row of every step in one piece, where the whole batch and all columns are in view.
    pub(crate) fn flat_mut(&mut self) -> Option<&mut [f32]> {
        let rows = self.lines.whole().filter(|_| self.pitch == self.width)?;
        // SAFETY: as in `step`, of all rows that `lines` names, which lie side by side where a row is as long as the way to
        // the next.
        Some(unsafe {
            std::slice::from_raw_parts_mut(self.start.add(rows.start * self.width), rows.len() * self.width)
        })
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

impl fmt::Debug for MatMut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MatMut{:?}", self.shape())
    }
}

impl fmt::Debug for SeqMut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SeqMut{:?}", self.shape())
    }
}

#[cfg(test)]
mod tests {
    use crate::tensor::Seq;

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
}
