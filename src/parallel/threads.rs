//! How many threads, and how work is cut between them: always an argument, always in advance.

use std::convert::Infallible;
use std::fmt;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::{Mutex, OnceLock, PoisonError};

use super::pool::{self, is_inside, join};
use super::region;
use crate::error::{Error, Result};
use crate::tensor::{Lines, SeqMut};

/// Work below this many floating-point operations a worker is not worth handing out: a fork and join of rayon takes
/// about 5 µs when the other worker has gone to sleep, in which one core does about a million.
const SMALLEST_SHARE: f64 = 2e6;

/// How many threads a call may use. It may use fewer, and does where the work is small; the result has the same bits.
///
/// More than one means rayon: the pool the call is made in, or the global one. **No lock may be held over a call with more
/// than one thread that is made inside a rayon pool.** While such a call waits for the other half of its work, rayon runs
/// some other task of that pool on the same thread; if that task takes the same lock, it waits for a holder that cannot go
/// on before the task ends, and both hang. Take what is needed out of the lock first, or use [`Threads::one`], which
/// waits for no other thread.
///
/// What a call costs: with [`Threads::one`], and wherever the work of a layer is less than 4 million floating-point
/// operations, nothing is handed out and rayon is not asked. Else each layer forks and joins, about 5 µs where the other
/// threads have gone to sleep, and a call from outside of any pool is handed over to one and waits for it, which takes as
/// long again: programs that call in a loop enter a pool once, by [`inside`](Self::inside) or rayon's own means.
///
/// Without the feature `threads` everything runs on the calling thread, whatever the number.
///
/// ```
/// use elman::Threads;
///
/// assert_eq!(Threads::one().get(), 1);
/// assert_eq!(Threads::new(4)?.to_string(), "4 threads");
/// assert!(Threads::available().get() >= 1);
/// // A loop that enters the pool once.
/// let threads = Threads::available();
/// let sum: usize = threads.inside(|| (0..10).sum());
/// assert_eq!(sum, 45);
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

    /// One for each core the process may run on: as the system said when it was first asked. One without the feature
    /// `threads`.
    #[must_use]
    pub fn available() -> Self {
        static CORES: OnceLock<Threads> = OnceLock::new();
        *CORES.get_or_init(|| Self(pool::cores()))
    }

    /// Runs `work` on a thread of the pool, if it may use more than one. A call from outside of it sends a thread of the
    /// pool to work and sleeps meanwhile; of many calls in a row only the first then has to.
    pub fn inside<R: Send>(self, work: impl FnOnce() -> R + Send) -> R {
        match self.get() > 1 && !is_inside() {
            true => join(work, || ()).0,
            false => work(),
        }
    }

    /// Runs `work` with as many threads as it is worth beside the calling one, which come once and leave at its end: all that
    /// is shared meanwhile is handed out to them. `flop` are the floating-point operations of the largest part that can be
    /// shared, a layer's forward pass.
    #[doc(hidden)]
    pub fn inside_for<R: Send>(self, flop: f64, work: impl FnOnce() -> R + Send) -> R {
        region::inside(self.affordable(flop), work)
    }

    /// How many of the threads that many floating-point operations are worth.
    pub(crate) fn affordable(self, flop: f64) -> usize {
        let most = if cfg!(feature = "threads") { self.get() } else { 1 };
        ((flop / SMALLEST_SHARE) as usize).clamp(1, most)
    }

    /// How many.
    #[must_use]
    pub fn get(self) -> usize {
        self.0.get()
    }
}

impl fmt::Display for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.get() {
            1 => f.write_str("1 thread"),
            n => write!(f, "{n} threads"),
        }
    }
}

/// Rows cut into one share a worker, in whole groups of `unit`.
#[derive(Clone, Copy)]
pub(crate) struct Shares<'a> {
    pub(crate) rows: usize,
    pub(crate) workers: usize,
    pub(crate) unit: usize,
    /// Where rows differ in length: each share gets about as many steps as the others. They lie longest first.
    pub(crate) lines: Option<Lines<'a>>,
}

impl Shares<'_> {
    /// Rows of equal work, in groups of as many as fill a cache line or a tile.
    pub(crate) fn of_rows(rows: usize, workers: usize) -> Self {
        /// Floats of a cache line, and twice the rows of a tile.
        const UNIT: usize = 16;
        let unit = UNIT.min(rows.div_ceil(workers)).max(1);
        Self { rows, workers: workers.min(rows.div_ceil(unit)).max(1), unit, lines: None }
    }

    /// The rows of worker `worker`.
    pub(crate) fn of(self, worker: usize) -> Range<usize> {
        self.begin(worker)..self.begin(worker + 1)
    }

    /// Where the share of `worker` begins.
    fn begin(self, worker: usize) -> usize {
        let Self { rows, workers, unit, lines } = self;
        let units = rows.div_ceil(unit);
        let before = match lines {
            None => units * worker / workers,
            Some(lines) => {
                let steps = |units: usize| lines.narrow_rows(0, (units * unit).min(rows)).total();
                let wanted = lines.total() * worker;
                // The nearest of the two units that it lies between.
                let (mut low, mut high) = (0, units);
                while low < high {
                    let middle = (low + high) / 2;
                    if (steps(middle) + steps(middle + 1)) * workers < 2 * wanted {
                        low = middle + 1
                    } else {
                        high = middle
                    }
                }
                low
            }
        };
        if worker == workers { rows } else { (before * unit).min(rows) }
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
impl<T: Send> Divide for (&mut [T], usize) {
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
/// calling thread without asking for others.
pub(crate) fn share<W: Divide, S: Send>(
    shares: Shares<'_>,
    output: W,
    scratch: &mut [S],
    run: &(impl Fn(Range<usize>, W, &mut S) + Sync),
) {
    let Ok(()) = try_share(shares, output, scratch, &|rows, output, scratch| {
        run(rows, output, scratch);
        Ok::<(), Infallible>(())
    });
}

/// Runs `run(rows, output)` for shares of rows that are worth so many floating-point operations, by the threads of the region
/// that the caller is in; by itself alone outside of one.
pub(crate) fn share_rows<W: Divide>(rows: usize, flop: f64, output: W, run: &(impl Fn(Range<usize>, W) + Sync)) {
    let shares = Shares::of_rows(rows, region::crew(flop));
    share(shares, output, &mut [(); region::MOST_SHARES], &|rows, output, ()| run(rows, output));
}

/// [`share`] of work that can fail: all shares run, whatever becomes of the others.
///
/// # Errors
/// Of the shares that fail, the first one's.
#[inline]
pub(crate) fn try_share<W: Divide, S: Send, E: Send>(
    shares: Shares<'_>,
    output: W,
    scratch: &mut [S],
    run: &(impl Fn(Range<usize>, W, &mut S) -> Result<(), E> + Sync),
) -> Result<(), E> {
    match &mut scratch[..shares.workers] {
        // Not by way of a function more: a small step would notice.
        [scratch] => run(shares.of(0), output, scratch),
        scratch => part(shares, 0..shares.workers, output, scratch, run),
    }
}

/// Those of some workers: at once as many as can be handed out together.
fn part<W: Divide, S: Send, E: Send>(
    shares: Shares<'_>,
    workers: Range<usize>,
    output: W,
    scratch: &mut [S],
    run: &(impl Fn(Range<usize>, W, &mut S) -> Result<(), E> + Sync),
) -> Result<(), E> {
    match scratch {
        [scratch] => run(shares.of(workers.start), output, scratch),
        scratch if workers.len() <= region::MOST_SHARES => hand_out(shares, workers, output, scratch, run),
        scratch => {
            let middle = workers.start + workers.len() / 2;
            let (first, rest) = output.divide(shares.begin(middle) - shares.begin(workers.start));
            let (scratch, others) = scratch.split_at_mut(middle - workers.start);
            let (first, second) = join(
                || part(shares, workers.start..middle, first, scratch, run),
                || part(shares, middle..workers.end, rest, others, run),
            );
            first.and(second)
        }
    }
}

/// A share: what it is given, and then what it gives.
enum Handed<'a, W, S, E> {
    Given(W, &'a mut S),
    Done(Result<(), E>),
}

/// The shares of some workers, at most [`region::MOST_SHARES`]: by the region that this thread owns, or by a fork.
fn hand_out<W: Divide, S: Send, E: Send>(
    shares: Shares<'_>,
    workers: Range<usize>,
    output: W,
    scratch: &mut [S],
    run: &(impl Fn(Range<usize>, W, &mut S) -> Result<(), E> + Sync),
) -> Result<(), E> {
    // Whose lock is never waited for: each is for one thread at a time.
    let mut each = [const { Mutex::new(None) }; region::MOST_SHARES];
    let mut rest = Some(output);
    for ((worker, scratch), handed) in workers.clone().zip(scratch).zip(&mut each) {
        let (own, others) = rest.take().expect("what is left").divide(shares.of(worker).len());
        *handed.get_mut().unwrap_or_else(PoisonError::into_inner) = Some(Handed::Given(own, scratch));
        rest = Some(others);
    }
    let job = |n: usize| {
        let mut handed = each[n].lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Handed::Given(output, scratch)) = handed.take() else { unreachable!("a share runs once") };
        *handed = Some(Handed::Done(run(shares.of(workers.start + n), output, scratch)));
    };
    if !region::run(workers.len(), &job) {
        fork(0..workers.len(), &job);
    }
    each.into_iter().take(workers.len()).try_for_each(|handed| {
        match handed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(Handed::Done(done)) => done,
            _ => unreachable!("every share has run"),
        }
    })
}

/// Runs `job` for every number, by rayon.
fn fork(numbers: Range<usize>, job: &(impl Fn(usize) + Sync)) {
    if numbers.len() == 1 {
        return job(numbers.start);
    }
    let middle = numbers.start + numbers.len() / 2;
    join(|| fork(numbers.start..middle, job), || fork(middle..numbers.end, job));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A call from outside of a pool is handed over to one only where the work is worth two workers.
    #[cfg(feature = "threads")]
    #[test]
    fn small_work_stays_outside_of_the_pool() {
        let threads = Threads::new(2).unwrap();
        let runs_inside = |threads: Threads, flop| threads.inside_for(flop, is_inside);
        assert!(!is_inside(), "the test's own thread");
        assert!(!runs_inside(threads, 2.0 * SMALLEST_SHARE - 1.0));
        assert!(runs_inside(threads, 2.0 * SMALLEST_SHARE));
        assert!(!runs_inside(Threads::one(), 1e12));
        assert!(threads.inside(is_inside));
    }

    #[cfg(feature = "threads")]
    #[test]
    fn work_is_worth_as_many_threads_as_it_has_shares() {
        let affordable = |flop| Threads::new(4).unwrap().affordable(flop);
        assert_eq!([0.0, 3.9e6, 4e6, 7e6, 1e12, f64::INFINITY].map(affordable), [1, 1, 2, 3, 4, 4]);
    }

    #[test]
    fn shares_cover_all_rows_in_whole_groups() {
        for rows in 0..70 {
            for workers in 1..9 {
                let shares = Shares { rows, workers, unit: 8, lines: None };
                let mut next = 0;
                for worker in 0..workers {
                    let share = shares.of(worker);
                    assert_eq!(share.start, next);
                    assert!(share.start.is_multiple_of(8) || share.is_empty(), "{rows} rows, {workers} workers");
                    next = share.end;
                }
                assert_eq!(next, rows);
            }
        }
    }

    #[test]
    fn ragged_rows_are_shared_by_their_steps() {
        // 40 rows of 80, 78, … steps.
        let lengths: Vec<usize> = (0..40).map(|row| 80 - 2 * row).collect();
        let mut offsets = vec![0];
        for t in 0..80 {
            offsets.push(offsets[t] + lengths.iter().filter(|&&length| length > t).count());
        }
        let lines = Lines::ragged(&offsets, 40);
        for workers in 1..5 {
            let shares = Shares { rows: 40, workers, unit: 4, lines: Some(lines) };
            let mut next = 0;
            for worker in 0..workers {
                let share = shares.of(worker);
                assert_eq!(share.start, next);
                let steps: usize = lengths[share.clone()].iter().sum();
                let even = lines.total() / workers;
                assert!(steps.abs_diff(even) <= 4 * 80, "{steps} steps of {even}: {share:?}");
                next = share.end;
            }
            assert_eq!(next, 40);
        }
    }

    #[test]
    fn every_worker_writes_its_rows_and_no_others() {
        let mut rows = vec![0.0; 21 * 3];
        let mut scratch = [0_usize; 5];
        let shares = Shares { rows: 21, workers: 5, unit: 2, lines: None };
        share(shares, (&mut rows[..], 3), &mut scratch, &|range, (rows, width), calls| {
            assert_eq!(rows.len(), range.len() * width);
            rows.iter_mut().enumerate().for_each(|(i, x)| *x += (range.start * width + i) as f32);
            *calls += 1;
        });
        assert_eq!(scratch, [1; 5]);
        assert!(rows.iter().enumerate().all(|(i, &x)| x == i as f32));
    }
}
