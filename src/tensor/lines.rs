//! Where the rows of a sequence lie: step by step, all of one length or ragged.

use std::ops::Range;

/// The rows of every step, counted from the first row of the memory they lie in. Rows of later steps lie behind those of
/// earlier ones; of a ragged sequence, step t + 1 has no more rows than step t, and they are the same ones.
#[derive(Clone, Copy)]
pub(crate) struct Lines<'a> {
    steps: RowOffsets<'a>,
    /// Of each step's rows, up to `rows` from `first` on are in view.
    first: usize,
    rows: usize,
}

#[derive(Clone, Copy)]
enum RowOffsets<'a> {
    /// Every step has `batch` rows, the first step's from `start` on.
    Dense { start: usize, steps: usize, batch: usize },
    /// Step t has the rows `offsets[t]..offsets[t + 1]`.
    Ragged { offsets: &'a [usize] },
}

impl<'a> Lines<'a> {
    /// `steps` steps of `batch` rows.
    pub(crate) fn dense(steps: usize, batch: usize) -> Self {
        Self { steps: RowOffsets::Dense { start: 0, steps, batch }, first: 0, rows: batch }
    }

    /// Steps of falling numbers of `rows` rows: `offsets` (steps + 1) begins with 0 and rises by fewer and fewer. The last
    /// of the rows may have no step at all.
    pub(crate) fn ragged(offsets: &'a [usize], rows: usize) -> Self {
        Self { steps: RowOffsets::Ragged { offsets }, first: 0, rows }
    }

    /// The same rows in memory that holds no others.
    pub(crate) fn compact(self) -> Self {
        match self.steps {
            RowOffsets::Dense { steps, .. } => Self::dense(steps, self.rows),
            RowOffsets::Ragged { .. } => self,
        }
    }

    /// Whether every step has all rows by construction.
    pub(crate) fn is_dense(self) -> bool {
        matches!(self.steps, RowOffsets::Dense { .. })
    }

    /// Steps.
    #[inline]
    pub(crate) fn steps(self) -> usize {
        match self.steps {
            RowOffsets::Dense { steps, .. } => steps,
            RowOffsets::Ragged { offsets } => offsets.len() - 1,
        }
    }

    /// The most rows that a step has in view.
    #[inline]
    pub(crate) fn rows(self) -> usize {
        self.rows
    }

    /// The rows of step `t` in view.
    ///
    /// # Panics
    /// If `t >= steps`.
    #[inline(always)]
    pub(crate) fn at(self, t: usize) -> Range<usize> {
        match self.steps {
            RowOffsets::Dense { start, steps, batch } => {
                assert!(t < steps, "step {t} of {steps}");
                let first = start + t * batch + self.first;
                first..first + self.rows
            }
            RowOffsets::Ragged { offsets } => {
                let (begin, end) = (offsets[t], offsets[t + 1]);
                let first = (begin + self.first).min(end);
                first..(first + self.rows).min(end)
            }
        }
    }

    /// Rows of all steps in view.
    pub(crate) fn total(self) -> usize {
        match self.steps {
            RowOffsets::Dense { steps, .. } => steps * self.rows,
            RowOffsets::Ragged { .. } => match self.whole() {
                Some(rows) => rows.len(),
                None => (0..self.steps()).map(|t| self.at(t).len()).sum(),
            },
        }
    }

    /// The rows of all steps, where they lie in one piece.
    pub(crate) fn whole(self) -> Option<Range<usize>> {
        match self.steps {
            RowOffsets::Dense { start, steps, batch } => (self.rows == batch).then_some(start..start + steps * batch),
            RowOffsets::Ragged { offsets } => {
                let (begin, end) = (offsets[0], offsets[offsets.len() - 1]);
                let all = offsets.get(1).is_none_or(|&second| self.first == 0 && self.rows >= second - begin);
                all.then_some(begin..end)
            }
        }
    }

    /// One more than the last row there is, in view or not.
    pub(crate) fn end(self) -> usize {
        match self.steps {
            RowOffsets::Dense { start, steps, batch } => start + steps * batch,
            RowOffsets::Ragged { offsets } => offsets[offsets.len() - 1],
        }
    }

    /// The step, and the row inside it, that is the `k`th in view when steps are counted from the last to the first. Of a
    /// ragged sequence the whole must be in view.
    #[inline]
    pub(crate) fn place_from_end(self, k: usize) -> (usize, usize) {
        match self.steps {
            RowOffsets::Dense { steps, .. } => (steps - 1 - k / self.rows, k % self.rows),
            RowOffsets::Ragged { offsets } => {
                let end = offsets[offsets.len() - 1];
                // Step t begins after the end - offsets[t + 1] rows of later steps.
                let t = offsets[1..].partition_point(|&offset| end - offset > k);
                (t, k - (end - offsets[t + 1]))
            }
        }
    }

    /// The step, and the row inside it, that is the `k`th when steps are counted from the first on. The whole is in view.
    pub(crate) fn place_from_start(self, k: usize) -> (usize, usize) {
        match self.steps {
            RowOffsets::Dense { .. } => (k / self.rows.max(1), k % self.rows.max(1)),
            RowOffsets::Ragged { offsets } => {
                let t = offsets[1..].partition_point(|&end| end - offsets[0] <= k);
                (t, k - (offsets[t] - offsets[0]))
            }
        }
    }

    /// The rows `first..first + rows` of those in view.
    ///
    /// # Panics
    /// If there are fewer.
    pub(crate) fn narrow_rows(self, first: usize, rows: usize) -> Self {
        assert!(first <= self.rows && rows <= self.rows - first, "{rows} rows from {first} on, of {}", self.rows);
        Self { first: self.first + first, rows, ..self }
    }

    /// The steps `first..first + steps`.
    ///
    /// # Panics
    /// If there are fewer.
    pub(crate) fn narrow_steps(self, first: usize, steps: usize) -> Self {
        let all = self.steps();
        assert!(first <= all && steps <= all - first, "{steps} steps from {first} on, of {all}");
        let steps = match self.steps {
            RowOffsets::Dense { start, batch, .. } => RowOffsets::Dense { start: start + first * batch, steps, batch },
            RowOffsets::Ragged { offsets } => RowOffsets::Ragged { offsets: &offsets[first..=first + steps] },
        };
        Self { steps, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counting_place_from_end_visits_every_row_once() {
        let offsets = [0, 3, 5, 7, 8];
        for (lines, sizes) in [(Lines::ragged(&offsets, 3), [3, 2, 2, 1]), (Lines::dense(4, 3), [3; 4])] {
            let mut k = 0;
            for t in (0..4).rev() {
                assert_eq!(lines.at(t).len(), sizes[t]);
                for row in 0..sizes[t] {
                    assert_eq!(lines.place_from_end(k), (t, row));
                    k += 1;
                }
            }
            assert_eq!(k, lines.total());
            assert_eq!(lines.whole(), Some(0..k));
        }
    }

    #[test]
    fn a_part_of_the_rows_is_not_whole() {
        let offsets = [0, 3, 5, 7, 8];
        let lines = Lines::ragged(&offsets, 3);
        assert_eq!(lines.narrow_rows(0, 2).whole(), None);
        assert_eq!(lines.narrow_rows(0, 2).total(), 7);
        assert_eq!(lines.narrow_rows(1, 2).total(), 4);
        // After the first step only two rows are left, and both are in view.
        assert_eq!(lines.narrow_steps(1, 3).narrow_rows(0, 2).whole(), Some(3..8));
        assert_eq!(Lines::ragged(&[0], 2).total(), 0);
        assert_eq!(Lines::dense(4, 3).narrow_rows(1, 2).total(), 8);
    }
}
