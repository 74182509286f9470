//! Marks beside the rows of a sequence.

use super::{Lines, SeqRef};
use crate::error::{Error, Result};

/// A mark for each row of each step of a sequence: where new sequences begin.
///
/// ```
/// use elman::tensor::{Mask, Seq};
///
/// let x = Seq::zeros(3, 2, 4)?; // 3 steps of 2 rows
/// let marks = [false, false, true, false, false, false];
/// let mask = Mask::of(x.view(), &marks)?;
/// assert_eq!(mask.shape(), [3, 2]);
/// assert_eq!(mask.step(1), [true, false]);
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct Mask<'a> {
    /// Of all rows of all steps.
    marks: &'a [bool],
    lines: Lines<'a>,
}

impl std::fmt::Debug for Mask<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mask{:?}", self.shape())
    }
}

impl<'a> Mask<'a> {
    /// The marks of the rows of `x`, which lie as they do: (T, B), or one for each row of packed data.
    ///
    /// # Errors
    /// [`Error::Length`] naming `mask` where there are not as many marks as rows.
    pub fn of(x: SeqRef<'a>, marks: &'a [bool]) -> Result<Self> {
        let lines = x.lines();
        if marks.len() != lines.end() {
            let [steps, rows, _] = x.shape();
            let shape = if lines.is_dense() { vec![steps, rows] } else { vec![lines.end()] };
            return Err(Error::length("mask", &shape, marks.len()));
        }
        Ok(Self { marks, lines })
    }

    /// Marks whose rows lie as `lines` says.
    ///
    /// # Panics
    /// If there are fewer.
    pub(crate) fn over(marks: &'a [bool], lines: Lines<'a>) -> Self {
        assert!(lines.end() <= marks.len(), "{} rows and {} marks", lines.end(), marks.len());
        Self { marks, lines }
    }

    /// Steps, and rows in view: of a ragged sequence, those of its longest step.
    #[must_use]
    pub fn shape(&self) -> [usize; 2] {
        [self.lines.steps(), self.lines.rows()]
    }

    /// The marks of step `t`; of a ragged sequence, of the rows that are alive.
    ///
    /// # Panics
    /// If `t >= steps`.
    #[inline(always)]
    #[must_use]
    pub fn step(&self, t: usize) -> &'a [bool] {
        &self.marks[self.lines.at(t)]
    }

    /// Those of the rows `first..first + rows` of those in view.
    ///
    /// # Panics
    /// If there are fewer.
    #[must_use]
    pub fn narrow_rows(&self, first: usize, rows: usize) -> Self {
        Self { lines: self.lines.narrow_rows(first, rows), ..*self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_those_of_rows() {
        let marks = [true, false, false, true, true];
        let mask = Mask::over(&marks, Lines::ragged(&[0, 3, 5], 3));
        assert_eq!((mask.shape(), mask.step(0), mask.step(1)), ([2, 3], &marks[..3], &marks[3..]));
        let last = mask.narrow_rows(1, 2);
        assert_eq!((last.step(0), last.step(1)), (&[false, false][..], &[true][..]));
        assert!(mask.narrow_rows(2, 1).step(1).is_empty());
    }
}
