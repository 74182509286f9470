//! Sequences borrowed: some rows, columns and steps of them.

use std::fmt;

use super::check_len;
use crate::error::Result;
use crate::tensor::Lines;

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

    /// The columns `first..first + width`.
    ///
    /// # Panics
    /// If there are fewer.
    pub(crate) fn narrow_columns(self, first: usize, width: usize) -> Self {
        let all = self.width;
        assert!(first <= all && width <= all - first, "{width} columns from {first} on, of {all}");
        let data = if self.rows == 0 { &[] } else { &self.data[first..] };
        Self { data, width, ..self }
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
    /// [`Error::Length`](crate::Error::Length) where `data` does not hold exactly that many elements,
    /// [`Error::Overflow`](crate::Error::Overflow) where the product of the sizes does not fit.
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

impl fmt::Debug for Mat<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mat{:?}", self.shape())
    }
}

impl fmt::Debug for SeqRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SeqRef{:?}", self.shape())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
