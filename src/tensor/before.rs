//! The state before each step of a recurrence.

use super::{Mask, Mat, SeqRef};

/// Which way a layer goes through time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Direction {
    /// From the first step to the last.
    #[default]
    Forward,
    /// From each row's last step to its first.
    Reverse,
}

impl Direction {
    /// The `n`th of `steps` steps.
    #[inline]
    pub(crate) fn nth(self, n: usize, steps: usize) -> usize {
        match self {
            Direction::Forward => n,
            Direction::Reverse => steps - 1 - n,
        }
    }
}

/// Where new sequences begin, if anywhere: at the marked rows.
#[derive(Clone, Copy)]
pub(crate) struct Resets<'a>(pub(crate) Option<Mask<'a>>);

impl<'a> Resets<'a> {
    /// The rows whose state does not pass from the step processed before step `t` to it.
    #[inline(always)]
    pub(crate) fn cut(self, direction: Direction, t: usize) -> Cut<'a> {
        Cut(self.0.and_then(|resets| match direction {
            Direction::Forward => Some(resets.step(t)),
            Direction::Reverse if t + 1 < resets.shape()[0] => Some(resets.step(t + 1)),
            Direction::Reverse => None,
        }))
    }

    /// Of some rows.
    pub(crate) fn narrow_rows(self, first: usize, rows: usize) -> Self {
        Self(self.0.map(|resets| resets.narrow_rows(first, rows)))
    }
}

/// The rows at one boundary between two steps.
#[derive(Clone, Copy)]
pub(crate) struct Cut<'a>(Option<&'a [bool]>);

impl Cut<'_> {
    /// Whether no row is cut for certain.
    #[inline(always)]
    pub(crate) fn is_none(self) -> bool {
        self.0.is_none()
    }

    /// Whether row `i` is cut.
    #[inline(always)]
    pub(crate) fn at(self, i: usize) -> bool {
        self.0.is_some_and(|cut| cut.get(i) == Some(&true))
    }

    /// The rows that are cut.
    pub(crate) fn rows(self) -> impl Iterator<Item = usize> {
        let marks = self.0.unwrap_or_default().iter().enumerate();
        marks.filter_map(|(i, &cut)| cut.then_some(i))
    }
}

/// The states of a run, and what came before the first.
#[derive(Clone, Copy)]
pub(crate) struct History<'a> {
    /// (T, B, width): the state after each step.
    pub(crate) states: SeqRef<'a>,
    /// (B, width): before the first step processed; zeros where it is not given.
    pub(crate) first: Option<Mat<'a>>,
    pub(crate) resets: Resets<'a>,
    pub(crate) direction: Direction,
}

impl<'a> History<'a> {
    /// The states before step `t`.
    #[inline(always)]
    pub(crate) fn before(self, t: usize) -> Before<'a> {
        let previous = match self.direction {
            Direction::Forward => t.checked_sub(1),
            Direction::Reverse => Some(t + 1).filter(|&t| t < self.states.shape()[0]),
        };
        let previous = previous.map(|t| self.states.step(t));
        Before { previous, first: self.first, cut: self.resets.cut(self.direction, t) }
    }
}

/// The states before one step.
#[derive(Clone, Copy)]
pub(crate) struct Before<'a> {
    /// The states after the step processed before, of the rows that were alive.
    previous: Option<Mat<'a>>,
    first: Option<Mat<'a>>,
    cut: Cut<'a>,
}

impl<'a> Before<'a> {
    /// Zeros.
    pub(crate) const NONE: Self = Self { previous: None, first: None, cut: Cut(None) };

    /// The state of row `i`, or `None` for zeros.
    #[inline(always)]
    pub(crate) fn row(&self, i: usize) -> Option<&'a [f32]> {
        if self.cut.at(i) {
            return None;
        }
        match self.previous {
            Some(previous) if i < previous.shape()[0] => Some(previous.row(i)),
            _ => self.first.map(|first| first.row(i)),
        }
    }
}
