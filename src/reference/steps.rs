//! The way through a batch.

use super::check_len;

/// Which steps of which rows a layer takes, and in which order. [`new`](Self::new) is all of them, forward:
/// `Steps { reverse: true, ..Steps::new(3, 1) }`.
#[derive(Clone, Copy, Debug)]
pub struct Steps<'a> {
    /// T; may be 0.
    pub steps: usize,
    /// B.
    pub batch: usize,
    /// (B): how many steps each row has, T at most; T where none are given. Of a row's input nothing is read from its
    /// length on.
    pub lengths: Option<&'a [usize]>,
    /// (T, B): a new sequence begins at that step of that row. No state passes between it and the step before, in
    /// either direction: forward, the state before it is zero, in the place of h_0 at t = 0 too; reverse, the state
    /// before step t-1 is. At t = 0 in reverse, and from a row's length on, it does nothing.
    pub resets: Option<&'a [bool]>,
    /// From each row's last step to its first, instead of from the first to the last.
    pub reverse: bool,
}

impl Steps<'_> {
    /// All `steps` steps of all `batch` rows, from the first to the last.
    #[must_use]
    pub fn new(steps: usize, batch: usize) -> Self {
        Self { steps, batch, lengths: None, resets: None, reverse: false }
    }

    /// The steps of row `b`, in the order that it takes them.
    pub(super) fn of_row(&self, b: usize) -> Vec<usize> {
        let steps = 0..self.length(b);
        if self.reverse { steps.rev().collect() } else { steps.collect() }
    }

    fn length(&self, b: usize) -> usize {
        self.lengths.map_or(self.steps, |lengths| lengths[b])
    }

    /// Whether row `b` takes step `t` from a state of zeros, whatever came before.
    pub(super) fn begins_anew(&self, t: usize, b: usize) -> bool {
        let Some(resets) = self.resets else { return false };
        match self.reverse {
            false => resets[t * self.batch + b],
            true => t + 1 < self.length(b) && resets[(t + 1) * self.batch + b],
        }
    }

    pub(super) fn check(&self) {
        let Self { steps, batch, .. } = *self;
        if let Some(lengths) = self.lengths {
            check_len("lengths", &[batch], lengths);
            for length in lengths {
                assert!(*length <= steps, "lengths: expected at most {steps}, got {length}");
            }
        }
        if let Some(resets) = self.resets {
            check_len("resets", &[steps, batch], resets);
        }
    }
}
