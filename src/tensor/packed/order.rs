//! The order of the rows of a packed batch.

use crate::error::Result;
use crate::memory;
use crate::tensor::Lines;

/// Where the rows of a packed batch lie.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Order {
    /// (T + 1): where the rows of each step begin, and where the last step's end.
    pub(crate) offsets: Vec<usize>,
    /// (B): which row of the batch lies at each place.
    pub(crate) sorted: Vec<usize>,
}

impl Order {
    /// Room for the order of that many rows, the longest of that many steps.
    pub(super) fn reserve(&mut self, steps: usize, batch: usize) -> Result<()> {
        memory::reserve("order of the rows", &mut self.sorted, batch)?;
        memory::reserve("order of the rows", &mut self.offsets, steps + 1)
    }

    /// The order of rows of those lengths: the longer before the shorter, else as they come. There is room for it.
    pub(super) fn assign(&mut self, lengths: impl Fn(usize) -> usize, batch: usize) {
        let Self { offsets, sorted } = self;
        sorted.clear();
        sorted.extend(0..batch);
        // Allocates nothing, and is stable by the index.
        sorted.sort_unstable_by_key(|&row| (std::cmp::Reverse(lengths(row)), row));
        offsets.clear();
        offsets.push(0);
        let (mut alive, mut end) = (batch, 0);
        for t in 0..sorted.first().map_or(0, |&row| lengths(row)) {
            while lengths(sorted[alive - 1]) <= t {
                alive -= 1;
            }
            end += alive;
            offsets.push(end);
        }
    }

    /// The same order in this memory.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub(crate) fn copy_from(&mut self, other: &Self) -> Result<()> {
        self.reserve(other.steps(), other.sorted.len())?;
        self.offsets.clone_from(&other.offsets);
        self.sorted.clone_from(&other.sorted);
        Ok(())
    }

    /// Steps of the longest row.
    pub(crate) fn steps(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Where the rows lie.
    pub(crate) fn lines(&self) -> Lines<'_> {
        if self.offsets.is_empty() { Lines::ragged(&[0], 0) } else { Lines::ragged(&self.offsets, self.sorted.len()) }
    }
}
