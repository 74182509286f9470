//! Threads of one caller's own that each do a part of what it does, many times a second: between
//! [`engage`](HelperThreads::engage) and [`release`](HelperThreads::release) they spin, outside they sleep.
//!
//! ```text
//! caller   give: operands, then the job's number         take: results, once `done` is that number
//! helper   waits for a number, runs the job, results, then the number as `done`
//! ```
//!
//! Numbers go from one to the other by way of atomics, two floats at a time, and are copied on both sides. So a helper that
//! the system has put aside can be done without: it gets no other job before it has answered, and an answer that comes too
//! late is read by nobody.

use std::fmt;
use std::hint;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::memory;

/// How long a caller waits for a helper once it has done its own part.
const PATIENCE: Duration = Duration::from_micros(100);
/// Looks at a helper between two at the clock: some microseconds, in which nearly every answer comes.
const LOOKS: u32 = 128;

/// Threads that help a [`Stream`](crate::Stream) with its big layers: how many, what they are called, and what each does when
/// it begins. A number is as good as one: [`Stream::with_helpers`](crate::Stream::with_helpers) takes either.
///
/// ```
/// use elman::stream::Helpers;
///
/// let helpers = Helpers::new(1).name("voice").on_start(|helper| {
///     // Here a program pins the thread to a CPU or raises its priority, by the means of its platform.
///     println!("helper {helper} begins");
/// });
/// # let _ = helpers;
/// ```
#[derive(Clone)]
pub struct Helpers {
    count: usize,
    name: String,
    start: Arc<dyn Fn(usize) + Send + Sync>,
}

impl Helpers {
    /// `count` of them.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self { count, name: "elman-helper".into(), start: Arc::new(|_| {}) }
    }

    /// Thread `i` is called `{name}-{i}`.
    #[must_use]
    pub fn name(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    /// Calls `start(i)` in thread `i` when it begins: the place to pin it to a CPU, or to raise its priority.
    #[must_use]
    pub fn on_start(self, start: impl Fn(usize) + Send + Sync + 'static) -> Self {
        Self { start: Arc::new(start), ..self }
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }
}

impl From<usize> for Helpers {
    fn from(count: usize) -> Self {
        Self::new(count)
    }
}

impl fmt::Debug for Helpers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Helpers").field("count", &self.count).field("name", &self.name).finish_non_exhaustive()
    }
}

/// What a helper does.
pub(crate) trait Job: Send + 'static {
    /// Runs once before the first job, so that all memory has been touched.
    fn warm_up(&mut self);

    /// Does job `what`: reads its operands from the first on, writes its results from the first on.
    fn run(&mut self, what: usize, operands: Slots<'_>, results: Slots<'_>);
}

/// Numbers between two threads, read or written in order. Each tensor begins in a slot of its own.
pub(crate) struct Slots<'a>(&'a [AtomicU64]);

impl Slots<'_> {
    /// Slots that tensors of those lengths take.
    pub(crate) fn of(lengths: &[usize]) -> usize {
        lengths.iter().map(|len| len.div_ceil(2)).sum()
    }

    /// Writes a tensor.
    #[inline]
    pub(crate) fn put(&mut self, values: &[f32]) {
        let (slots, rest) = self.0.split_at(values.len().div_ceil(2));
        self.0 = rest;
        let (pairs, last) = values.as_chunks::<2>();
        for (slot, [low, high]) in slots.iter().zip(pairs) {
            slot.store(u64::from(low.to_bits()) | u64::from(high.to_bits()) << 32, Ordering::Relaxed);
        }
        if let ([.., slot], [last]) = (slots, last) {
            slot.store(u64::from(last.to_bits()), Ordering::Relaxed);
        }
    }

    /// Reads one.
    #[inline]
    pub(crate) fn get(&mut self, values: &mut [f32]) {
        let (slots, rest) = self.0.split_at(values.len().div_ceil(2));
        self.0 = rest;
        let (pairs, last) = values.as_chunks_mut::<2>();
        for (slot, pair) in slots.iter().zip(pairs) {
            let both = slot.load(Ordering::Relaxed);
            *pair = [f32::from_bits(both as u32), f32::from_bits((both >> 32) as u32)];
        }
        if let ([.., slot], [last]) = (slots, last) {
            *last = f32::from_bits(slot.load(Ordering::Relaxed) as u32);
        }
    }
}

/// On a cache line of its own, and its neighbour: they are fetched in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Apart<T>(T);

/// What a helper is to do besides its jobs.
const SLEEP: u8 = 0;
const SPIN: u8 = 1;
const END: u8 = 2;

/// Between the caller and a helper.
#[derive(Debug)]
struct Desk {
    /// The number of the last job that was given, and which it is. The caller writes them.
    given: Apart<(AtomicU64, AtomicU64)>,
    /// The number of the last one that was done. The helper writes it.
    done: Apart<AtomicU64>,
    /// Whether the helper looks for jobs. It writes that.
    awake: Apart<AtomicBool>,
    /// `SLEEP`, `SPIN` or `END`. The caller writes it.
    wanted: AtomicU8,
    operands: Box<[AtomicU64]>,
    results: Box<[AtomicU64]>,
}

/// One of them, from its caller's side.
#[derive(Debug)]
struct Helper {
    desk: Arc<Desk>,
    /// There until the end.
    thread: Option<JoinHandle<()>>,
    /// The number of the last job.
    given: u64,
    /// Whether an answer to it is waited for.
    busy: bool,
}

/// The helpers of one caller. Dropping them waits for the jobs that they are at.
#[derive(Debug)]
pub(crate) struct HelperThreads {
    each: Vec<Helper>,
    engaged: bool,
    helped: u64,
    missed: u64,
}

/// Threads that stay with whom they were made for: a clone of it has none.
#[derive(Debug, Default)]
pub(crate) struct OwnHelpers(pub(crate) Option<HelperThreads>);

impl Clone for OwnHelpers {
    fn clone(&self) -> Self {
        Self(None)
    }
}

impl OwnHelpers {
    /// Those that have been engaged.
    #[inline]
    pub(crate) fn engaged(&mut self) -> Option<&mut HelperThreads> {
        self.0.as_mut().filter(|helpers| helpers.engaged)
    }
}

impl HelperThreads {
    /// A thread for each of `jobs`, asleep, with room for so many slots of operands and of results.
    ///
    /// # Errors
    /// [`Error::Io`] where the system gives no more threads, [`Error::Memory`].
    pub(crate) fn start<J: Job>(helpers: &Helpers, jobs: Vec<J>, [operands, results]: [usize; 2]) -> Result<Self> {
        let mut threads = Self { each: Vec::new(), engaged: false, helped: 0, missed: 0 };
        let slots = |count| -> Result<_> {
            let mut slots = Vec::new();
            memory::reserve("stream", &mut slots, count)?;
            slots.resize_with(count, AtomicU64::default);
            Ok(slots.into_boxed_slice())
        };
        for (i, mut job) in jobs.into_iter().enumerate() {
            let desk = Arc::new(Desk {
                given: Apart::default(),
                done: Apart::default(),
                awake: Apart::default(),
                // Until it has been awake once.
                wanted: AtomicU8::new(SPIN),
                operands: slots(operands)?,
                results: slots(results)?,
            });
            let (of_thread, start) = (Arc::clone(&desk), Arc::clone(&helpers.start));
            let name = format!("{}-{i}", helpers.name);
            let thread = thread::Builder::new()
                .name(name.clone())
                .spawn(move || {
                    start(i);
                    job.warm_up();
                    serve(&of_thread, &mut job);
                })
                .map_err(|source| Error::io("start the thread", Path::new(&name), source))?;
            threads.each.push(Helper { desk, thread: Some(thread), given: 0, busy: false });
        }
        for helper in &threads.each {
            // One that panicked in `start` never is.
            while !helper.desk.awake.0.load(Ordering::Acquire)
                && !helper.thread.as_ref().is_some_and(JoinHandle::is_finished)
            {
                thread::yield_now();
            }
        }
        threads.release();
        Ok(threads)
    }

    /// Wakes them. They take jobs as soon as they are awake.
    pub(crate) fn engage(&mut self) {
        self.engaged = true;
        self.want(SPIN);
    }

    /// Lets them sleep.
    pub(crate) fn release(&mut self) {
        self.engaged = false;
        self.want(SLEEP);
    }

    /// How many jobs were answered in time.
    pub(crate) fn helped(&self) -> u64 {
        self.helped
    }

    /// How many jobs were not answered in time.
    pub(crate) fn missed(&self) -> u64 {
        self.missed
    }

    /// Gives a job to a helper, unless that is asleep or at one that it did not answer in time.
    #[inline]
    pub(crate) fn give(&mut self, helper: usize, what: usize, operands: impl FnOnce(Slots<'_>)) {
        let Helper { desk, given, busy, .. } = &mut self.each[helper];
        if !desk.awake.0.load(Ordering::Relaxed) || desk.done.0.load(Ordering::Acquire) != *given {
            return;
        }
        operands(Slots(&desk.operands));
        *given += 1;
        *busy = true;
        let (number, job) = &desk.given.0;
        job.store(what as u64, Ordering::Relaxed);
        number.store(*given, Ordering::Release);
    }

    /// Waits for the job that was given, reads its results and tells that it was done. `false` where none was given, or no
    /// answer came in time.
    #[inline]
    pub(crate) fn take(&mut self, helper: usize, results: impl FnOnce(Slots<'_>)) -> bool {
        let Helper { desk, given, busy, .. } = &mut self.each[helper];
        if !std::mem::take(busy) {
            return false;
        }
        if !answers(desk, *given) {
            self.missed += 1;
            return false;
        }
        results(Slots(&desk.results));
        self.helped += 1;
        true
    }

    fn want(&self, wanted: u8) {
        for Helper { desk, thread, .. } in &self.each {
            desk.wanted.store(wanted, Ordering::Release);
            if let Some(thread) = thread
                && wanted != SLEEP
            {
                thread.thread().unpark();
            }
        }
    }
}

impl Drop for HelperThreads {
    fn drop(&mut self) {
        self.want(END);
        for helper in &mut self.each {
            // One that panicked has said so.
            let _ = helper.thread.take().map(JoinHandle::join);
        }
    }
}

/// Whether a helper has done job `number` before the caller's patience ends.
fn answers(desk: &Desk, number: u64) -> bool {
    let mut begun = None;
    loop {
        for _ in 0..LOOKS {
            if desk.done.0.load(Ordering::Acquire) == number {
                return true;
            }
            hint::spin_loop();
        }
        match begun {
            None => begun = Some(Instant::now()),
            Some(begun) if begun.elapsed() >= PATIENCE => return false,
            Some(_) => {}
        }
    }
}

/// A helper's life.
fn serve(desk: &Desk, job: &mut impl Job) {
    let (mut last, mut awake) = (0, false);
    loop {
        match desk.wanted.load(Ordering::Acquire) {
            SPIN => {}
            SLEEP => {
                awake = false;
                desk.awake.0.store(false, Ordering::Relaxed);
                thread::park();
                continue;
            }
            _ => return,
        }
        if !awake {
            awake = true;
            desk.awake.0.store(true, Ordering::Release);
        }
        // `wanted` lies on another line, which need not be looked at as often.
        for _ in 0..LOOKS {
            let (number, what) = &desk.given.0;
            let number = number.load(Ordering::Acquire);
            if number != last {
                job.run(what.load(Ordering::Relaxed) as usize, Slots(&desk.operands), Slots(&desk.results));
                last = number;
                desk.done.0.store(number, Ordering::Release);
            } else {
                hint::spin_loop();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Doubles what it is given, after a pause.
    struct Double(Duration);

    impl Job for Double {
        fn warm_up(&mut self) {}

        fn run(&mut self, what: usize, mut operands: Slots<'_>, mut results: Slots<'_>) {
            let mut values = vec![0.0; what];
            operands.get(&mut values);
            thread::sleep(self.0);
            values.iter_mut().for_each(|value| *value *= 2.0);
            results.put(&values);
        }
    }

    fn started(pause: Duration) -> HelperThreads {
        HelperThreads::start(&Helpers::new(2), vec![Double(pause), Double(pause)], [8, 8]).unwrap()
    }

    /// Gives `values` to helper 1 until it takes them, then what came back.
    fn ask(threads: &mut HelperThreads, values: &[f32]) -> Vec<f32> {
        let mut answer = vec![0.0; values.len()];
        let begun = Instant::now();
        loop {
            threads.give(1, values.len(), |mut slots| slots.put(values));
            if threads.take(1, |mut slots| slots.get(&mut answer)) {
                return answer;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "no answer");
            thread::yield_now();
        }
    }

    #[test]
    fn jobs_are_answered() {
        let mut threads = started(Duration::ZERO);
        threads.engage();
        assert_eq!(ask(&mut threads, &[1.0, 2.0, 3.0]), [2.0, 4.0, 6.0]);
        assert_eq!(ask(&mut threads, &[-5.0]), [-10.0]);
        threads.release();
        threads.engage();
        assert_eq!(ask(&mut threads, &[7.0, 8.0]), [14.0, 16.0]);
    }

    #[test]
    fn who_sleeps_gets_no_job() {
        let mut threads = started(Duration::ZERO);
        assert!(!threads.engaged);
        // It may still be on its way to bed.
        while threads.each[1].desk.awake.0.load(Ordering::Relaxed) {
            thread::yield_now();
        }
        threads.give(1, 1, |_| panic!("to whom?"));
        assert!(!threads.take(1, |_| panic!("from whom?")));
        assert_eq!(threads.missed(), 0);
    }

    #[test]
    fn who_is_late_is_done_without_until_it_has_answered() {
        let mut threads = started(Duration::from_millis(20));
        threads.engage();
        while !threads.each[1].desk.awake.0.load(Ordering::Relaxed) {
            thread::yield_now();
        }
        threads.give(1, 1, |mut slots| slots.put(&[1.0]));
        let begun = Instant::now();
        assert!(!threads.take(1, |_| panic!("too early")));
        assert!(begun.elapsed() >= PATIENCE, "{:?}", begun.elapsed());
        assert_eq!(threads.missed(), 1);
        threads.give(1, 1, |_| panic!("it is at another"));
        assert!(!threads.take(1, |_| panic!("none was given")));
        assert_eq!(threads.missed(), 1);
        while threads.each[1].desk.done.0.load(Ordering::Relaxed) != 1 {
            thread::yield_now();
        }
        threads.give(1, 1, |mut slots| slots.put(&[3.0]));
        assert!(!threads.take(1, |_| panic!("too early")));
        assert_eq!(threads.missed(), 2);
    }
}
