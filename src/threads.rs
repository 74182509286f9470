//! How many threads, and how work is cut between them: always an argument, always in advance.

use std::num::NonZeroUsize;
use std::ops::Range;

use crate::error::{Error, Result};
use crate::tensor::SeqMut;

/// How many threads a call may use. It may use fewer; the result has the same bits.
///
/// More than one means rayon: the pool the call is made in, or the global one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threads(NonZeroUsize);

impl Threads {
    /// The calling thread and no other.
    #[must_use]
    pub const fn one() -> Self {
        Self(NonZeroUsize::MIN)
    }

    /// Up to `n` threads.
    ///
    /// # Errors
    /// [`Error::Setting`] for zero.
    pub fn new(n: usize) -> Result<Self> {
        NonZeroUsize::new(n).map(Self).ok_or_else(|| Error::setting("threads", "at least 1", n))
    }

    /// One for each core the process may run on.
    #[must_use]
    pub fn available() -> Self {
        Self(std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> usize {
        self.0.get()
    }
}

/// Rows cut into one share a worker, in whole groups of `unit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shares {
    pub(crate) rows: usize,
    pub(crate) workers: usize,
    pub(crate) unit: usize,
}

impl Shares {
    /// The rows of worker `worker`.
    pub(crate) fn of(self, worker: usize) -> Range<usize> {
        self.begin(worker)..self.begin(worker + 1)
    }

    /// Where the share of `worker` begins.
    fn begin(self, worker: usize) -> usize {
        (self.rows.div_ceil(self.unit) * worker / self.workers * self.unit).min(self.rows)
    }
}

/// Output that can be cut between workers by rows.
pub(crate) trait Divide: Send + Sized {
    /// The first `rows` rows, and the others.
    fn divide(self, rows: usize) -> (Self, Self);
}

impl Divide for SeqMut<'_> {
    fn divide(self, rows: usize) -> (Self, Self) {
        self.split_rows(rows)
    }
}

// A matrix, row-major: its elements and its width.
impl Divide for (&mut [f32], usize) {
    fn divide(self, rows: usize) -> (Self, Self) {
        let (first, rest) = self.0.split_at_mut(rows * self.1);
        ((first, self.1), (rest, self.1))
    }
}

impl<T: Divide> Divide for Option<T> {
    fn divide(self, rows: usize) -> (Self, Self) {
        self.map_or((None, None), |it| {
            let (first, rest) = it.divide(rows);
            (Some(first), Some(rest))
        })
    }
}

impl<T: Divide, const N: usize> Divide for [T; N] {
    fn divide(self, rows: usize) -> (Self, Self) {
        let mut rest = [const { None }; N];
        let mut n = 0;
        let first = self.map(|it| {
            let (first, second) = it.divide(rows);
            rest[n] = Some(second);
            n += 1;
            first
        });
        (first, rest.map(|it| it.expect("one for each of the first")))
    }
}

impl<A: Divide, B: Divide> Divide for (A, B) {
    fn divide(self, rows: usize) -> (Self, Self) {
        let (a, rest_a) = self.0.divide(rows);
        let (b, rest_b) = self.1.divide(rows);
        ((a, b), (rest_a, rest_b))
    }
}

/// Runs `run(rows, output, scratch)` once for each share, each worker with a scratch of its own. One share runs on the
/// calling thread without asking rayon for anything.
pub(crate) fn share<W: Divide, S: Send>(
    shares: Shares,
    output: W,
    scratch: &mut [S],
    run: &(impl Fn(Range<usize>, W, &mut S) + Sync),
) {
    fork(shares, 0..shares.workers, output, &mut scratch[..shares.workers], run);
}

fn fork<W: Divide, S: Send>(
    shares: Shares,
    workers: Range<usize>,
    output: W,
    scratch: &mut [S],
    run: &(impl Fn(Range<usize>, W, &mut S) + Sync),
) {
    if let [scratch] = scratch {
        run(shares.of(workers.start), output, scratch);
        return;
    }
    let middle = workers.start + workers.len() / 2;
    let (first, rest) = output.divide(shares.begin(middle) - shares.begin(workers.start));
    let (scratch, others) = scratch.split_at_mut(middle - workers.start);
    rayon::join(
        || fork(shares, workers.start..middle, first, scratch, run),
        || fork(shares, middle..workers.end, rest, others, run),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_cover_all_rows_in_whole_groups() {
        for rows in 0..70 {
            for workers in 1..9 {
                let shares = Shares { rows, workers, unit: 8 };
                let mut next = 0;
                for worker in 0..workers {
                    let share = shares.of(worker);
                    assert_eq!(share.start, next);
                    assert!(share.start.is_multiple_of(8) || share.is_empty(), "{shares:?}");
                    next = share.end;
                }
                assert_eq!(next, rows);
            }
        }
    }

    #[test]
    fn every_worker_writes_its_rows_and_no_others() {
        let mut rows = vec![0.0; 21 * 3];
        let mut scratch = [0_usize; 5];
        let shares = Shares { rows: 21, workers: 5, unit: 2 };
        share(shares, (&mut rows[..], 3), &mut scratch, &|range, (rows, width), calls| {
            assert_eq!(rows.len(), range.len() * width);
            rows.iter_mut().enumerate().for_each(|(i, x)| *x += (range.start * width + i) as f32);
            *calls += 1;
        });
        assert_eq!(scratch, [1; 5]);
        assert!(rows.iter().enumerate().all(|(i, &x)| x == i as f32));
    }
}
