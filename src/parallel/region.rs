//! One region of parallel work for a whole call: threads come in once and leave at its end.
//!
//! A fork and join of rayon takes about 5 µs where the other thread has gone to sleep, and a training step forks some five
//! times a layer. In a region the threads of the pool come once and wait, spinning, for what its owner (the thread that
//! opened it) hands out: that takes a fifth of a microsecond. Shares are handed out as a word with a bit for each that nobody
//! has taken; to clear a bit is to have taken it.
//!
//! ```text
//! owner:   open ─ own work ─ hand out: bits 1 2 3 ─ share 0 ─ those left over ─ wait for the taken ones ─ … ─ close
//! member:   come in ───────── take a bit, run the share, say so ─────────────────────────────────────── leave
//! ```
//!
//! Nobody waits for a thread that may not come: what no member has taken the owner does itself, and it waits only for what a
//! running thread has taken. A member that finds nothing to do for [`IDLE`] goes back to its pool, where others may need it;
//! from then on the region is over, and work is forked as without one.
#![allow(unsafe_code)]

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::hint::spin_loop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::yield_now;
use std::time::{Duration, Instant};

use super::pool::join;

/// How long a member waits for work, and keeps its thread from others.
const IDLE: Duration = Duration::from_millis(5);

/// Turns of a loop before a wait yields: some tens of microseconds.
const SPINS: usize = 2000;

/// Flag beside the shares: each is for the member of its number and nobody else, as they wait for each other.
const IN_STEP: u64 = 1 << 63;
/// Flag: a member has left, and nothing is handed out any more.
const OVER: u64 = 1 << 62;
/// The most shares of one job, the owner's included.
pub(super) const MOST_SHARES: usize = 32;

/// On a cache line of its own, and the one that is fetched beside it.
#[repr(align(128))]
#[derive(Default)]
struct Apart<T>(T);

/// What is handed out: runs the share of that number.
type Job<'a> = dyn Fn(usize) + Sync + 'a;

/// A region, as all its threads see it.
pub(super) struct Region {
    /// A bit for each share that nobody has taken, and the flags.
    free: Apart<AtomicU64>,
    /// Shares that others have taken and not yet done.
    running: Apart<AtomicUsize>,
    /// Written by the owner before it hands out, read by who has taken a share.
    job: UnsafeCell<*const Job<'static>>,
    /// Threads in it beside its owner.
    members: AtomicUsize,
    closing: AtomicBool,
    /// The thread that opened it, once it is at work.
    owner: AtomicUsize,
    /// What a share panicked with.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    opened: Instant,
}

// SAFETY: `job` is written by the owner only while no bit of `free` is set and no share runs, and read only by a thread that
// has taken a bit and not yet said that it is done: `hand_out` says how the two exclude each other. All else is `Sync`.
unsafe impl Sync for Region {}

thread_local! {
    /// The region that this thread owns and may hand out work in, and how many threads it may use.
    static CURRENT: Cell<(*const Region, usize)> = const { Cell::new((ptr::null(), 1)) };
}

/// Tells threads apart while they live: no two have a variable of theirs at one address.
fn this_thread() -> usize {
    CURRENT.with(|current| ptr::from_ref(current).addr())
}

/// Sets the region of this thread; what was set before comes back in the end.
struct Scope((*const Region, usize));

impl Scope {
    fn set(region: *const Region, threads: usize) -> Self {
        Self(CURRENT.replace((region, threads)))
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

/// Runs `work` in a region of up to so many threads: the one that this thread owns already, or one that it opens, where that is
/// over too. With one thread, outside of any.
pub(super) fn inside<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> R {
    let (current, most) = CURRENT.get();
    if threads <= 1 && current.is_null() {
        // As it is.
        return work();
    }
    // SAFETY: as in `with_current`.
    let open = unsafe { current.as_ref() }.is_some_and(|region| region.free.0.load(Ordering::Relaxed) != OVER);
    let threads = if current.is_null() { threads.min(MOST_SHARES) } else { threads.min(most) };
    if threads <= 1 || open {
        let _scope = Scope::set(if threads <= 1 { ptr::null() } else { current }, threads.max(1));
        return work();
    }
    let region = Region::new();
    let owner = || {
        region.owner.store(this_thread(), Ordering::Relaxed);
        let _scope = Scope::set(&region, threads);
        let _close = Closing(&region);
        work()
    };
    join(owner, || region.serve(threads - 1)).0
}

/// Floating-point operations that are worth handing out: some microseconds.
const SMALLEST_PART: f64 = 2e5;

/// How many threads so much work may be shared by that is handed out now: 1 outside of a region.
pub(crate) fn crew(flop: f64) -> usize {
    ((flop / SMALLEST_PART) as usize).clamp(1, CURRENT.get().1)
}

/// Runs `job` for every share below `shares`, each once, with the members of the region that this thread owns. Gives false,
/// and has done nothing, where there is none that work could be handed out in.
pub(super) fn run(shares: usize, job: &Job<'_>) -> bool {
    with_current(|region| region.is_some_and(|region| shares <= MOST_SHARES && region.hand_out(shares, 0, job)))
}

/// Threads that will work at the same time, each on a share of its own: none of them leaves before they have.
pub(super) struct Gathered<'a> {
    region: Option<&'a Region>,
    /// How many there are, the owner with them.
    pub(super) threads: usize,
}

/// Gathers up to so many threads, the calling one with them: as many of its region as have come within `patience` of the
/// region's opening. Calls `f` with them, during which this thread has no region.
pub(super) fn gather<R>(wanted: usize, patience: Duration, f: impl FnOnce(Gathered<'_>) -> R) -> R {
    with_current(|region| {
        let wanted = wanted.min(MOST_SHARES);
        let region = region.filter(|region| {
            while 1 + region.members.load(Ordering::Relaxed) < wanted && region.opened.elapsed() < patience {
                spin_loop();
            }
            // A member that sees the flag does not leave.
            region.free.0.compare_exchange(0, IN_STEP, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        });
        let members = region.map_or(0, |region| region.members.load(Ordering::Acquire));
        f(Gathered { region, threads: wanted.min(1 + members) })
    })
}

impl Gathered<'_> {
    /// Runs `job` for every thread's share.
    ///
    /// # Panics
    /// Where a share does.
    pub(super) fn run(self, job: &Job<'_>) {
        match self.region {
            Some(region) => _ = region.hand_out(self.threads, IN_STEP, job),
            None => job(0),
        }
    }
}

impl Drop for Gathered<'_> {
    fn drop(&mut self) {
        if let Some(region) = self.region {
            region.free.0.fetch_and(!IN_STEP, Ordering::Relaxed);
        }
    }
}

/// Calls `f` with this thread's region, during which it has none: a share that hands out work itself forks.
fn with_current<R>(f: impl FnOnce(Option<&Region>) -> R) -> R {
    let (region, _) = CURRENT.get();
    let _scope = Scope::set(ptr::null(), 1);
    // SAFETY: `inside` sets it to a region that outlives its scope, and sets back what was there before at the scope's end.
    f(unsafe { region.as_ref() })
}

/// Lets the members leave, whatever becomes of the owner's work.
struct Closing<'a>(&'a Region);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.closing.store(true, Ordering::Release);
    }
}

impl Region {
    fn new() -> Self {
        Self {
            free: Apart::default(),
            running: Apart::default(),
            job: UnsafeCell::new(&|_| {}),
            members: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
            owner: AtomicUsize::new(0),
            panic: Mutex::new(None),
            opened: Instant::now(),
        }
    }

    /// Brings up to so many threads in.
    fn serve(&self, members: usize) {
        match members {
            0 => {}
            1 => self.member(),
            _ => _ = join(|| self.member(), || self.serve(members - 1)),
        }
    }

    /// A member: takes shares until the region closes, or nothing has come for a while.
    fn member(&self) {
        // While its owner waits in a fork of rayon's it may be given this to run.
        if self.closing.load(Ordering::Acquire) || self.owner.load(Ordering::Relaxed) == this_thread() {
            return;
        }
        let own = 1_u64 << (1 + self.members.fetch_add(1, Ordering::AcqRel));
        let (mut spins, mut idle_since) = (0, None);
        while !self.closing.load(Ordering::Acquire) {
            if let Some(share) = self.take(own) {
                self.run_share(share);
                (spins, idle_since) = (0, None);
                continue;
            }
            spins += 1;
            if spins < SPINS {
                spin_loop();
                continue;
            }
            yield_now();
            let since: Instant = *idle_since.get_or_insert_with(Instant::now);
            if since.elapsed() > IDLE {
                // Nothing is handed out from then on, so nobody counts on who has left.
                let free = self.free.0.compare_exchange(0, OVER, Ordering::Relaxed, Ordering::Relaxed);
                if matches!(free, Ok(0) | Err(OVER)) {
                    return;
                }
            }
        }
    }

    /// Takes a share: that of the bit `own`, or another one where any thread may take it.
    fn take(&self, own: u64) -> Option<usize> {
        let free = self.free.0.load(Ordering::Relaxed);
        let shares = free & !(IN_STEP | OVER);
        let bit = match free {
            _ if shares & own != 0 => own,
            _ if free & IN_STEP != 0 || shares == 0 => return None,
            _ => shares & shares.wrapping_neg(),
        };
        // The whole word is compared: a job that is handed out meanwhile with another flag is not taken by mistake. Acquire:
        // what the owner wrote before it handed out, the job itself, is seen.
        let taken = self.free.0.compare_exchange(free, free & !bit, Ordering::Acquire, Ordering::Relaxed);
        taken.is_ok().then(|| bit.trailing_zeros() as usize)
    }

    /// Runs a share that this thread has taken, and says so.
    fn run_share(&self, share: usize) {
        // SAFETY: a share of this job has been taken and is not done, so its owner is inside of `hand_out`: it has written
        // the pointer before it set the bit, keeps what it points to alive, and writes no other before this share is done.
        let job = unsafe { &**self.job.get() };
        self.catch(|| job(share));
        // Release: the owner sees what the share has written.
        self.running.0.fetch_sub(1, Ordering::Release);
    }

    /// Runs `f` and keeps what it panics with: the first of them.
    fn catch(&self, f: impl FnOnce()) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(f)) {
            self.panic.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).get_or_insert(panic);
        }
    }

    /// Runs all shares of a job, under a flag that is set already. Gives false, and has done nothing, where members have
    /// left.
    fn hand_out(&self, shares: usize, flag: u64, job: &Job<'_>) -> bool {
        if shares > 1 {
            // SAFETY: only its lifetime is another. It is not read after this call: every thread that reads it has taken a
            // share, and the call ends when all are done, also where one panics.
            let job = unsafe { std::mem::transmute::<*const Job<'_>, *const Job<'static>>(job) };
            // SAFETY: no share of an earlier job is left or running, so no thread reads this. Other owners there are none.
            unsafe { *self.job.get() = job };
            self.running.0.store(shares - 1, Ordering::Relaxed);
            let bits = ((1_u64 << shares) - 1) & !1;
            // Release: who takes a share sees the job.
            if self.free.0.compare_exchange(flag, bits | flag, Ordering::Release, Ordering::Relaxed).is_err() {
                return false;
            }
        }
        self.catch(|| job(0));
        if shares > 1 {
            while flag == 0 && self.free.0.load(Ordering::Relaxed) & !OVER != 0 {
                if let Some(share) = self.take(0) {
                    self.run_share(share);
                }
            }
            self.wait();
        }
        let panic = self.panic.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        match panic {
            Some(panic) => resume_unwind(panic),
            None => true,
        }
    }

    /// Waits for the shares that members have taken. Acquire: sees what they have written.
    fn wait(&self) {
        let mut spins = 0;
        while self.running.0.load(Ordering::Acquire) > 0 {
            spins += 1;
            if spins < SPINS { spin_loop() } else { yield_now() }
        }
    }
}

#[cfg(test)]
mod tests;
