//! Workers in lock step: each owns a part of every step's result, and all see the whole before the next step.
//!
//! A step takes microseconds, a fork and join of rayon as long: so the members are found once for a whole sequence, and
//! between steps meet by way of a mailbox. A member puts its part there, counts its turn up, waits for the others' turns
//! and takes their parts over. There are two boxes, used in turn: no member can be a turn ahead of one that still reads.
//!
//! No member waits for a thread that may never come. The calling thread waits a bounded time for others to join, then closes
//! the roll, and the work is cut between those on it; whoever comes late goes home. Every wait for a member on the roll is
//! for a thread that runs: it spins for a bounded time, then yields. So a team finishes inside a busy pool, inside a pool
//! of one thread, and with more members than cores.
#![allow(unsafe_code)]

use std::hint::spin_loop;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::yield_now;
use std::time::{Duration, Instant};

use super::pool::join;
use crate::error::Result;
use crate::tensor::Buffer;

/// How long the first member waits for others. A sleeping thread of rayon's takes 5 to 50 µs to come.
const ROLL_CALL: Duration = Duration::from_micros(100);

/// Turns of a loop before a wait yields: some tens of microseconds, more than any member that runs is behind.
const SPINS: usize = 2000;

/// Flag in `roll`, beside the number of members: closed, no thread may join.
const CLOSED: usize = 1 << (usize::BITS - 1);

/// A meeting place. Belongs to the caller, grows to the largest use, and then is never allocated again.
#[derive(Debug, Default)]
pub(crate) struct Team {
    seats: Vec<Seat>,
    boxes: [Buffer; 2],
    layout: Layout,
}

/// The exchanged floats: consecutive pieces, each of `n` equal parts (one per panel of units). Members own disjoint ranges
/// of parts.
#[derive(Debug, Default)]
struct Layout {
    n: usize,
    /// Where each piece begins, and the floats of one part of it.
    pieces: Vec<(usize, usize)>,
    /// Floats in all.
    len: usize,
}

impl Layout {
    /// The floats of those parts, piece by piece.
    fn ranges(&self, parts: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        self.pieces.iter().map(move |&(begin, each)| begin + parts.start * each..begin + parts.end * each)
    }
}

/// A member's count of turns, on a cache line of its own and the one that is fetched beside it.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Seat(AtomicU64);

impl Clone for Team {
    /// A meeting place has no content between meetings.
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// One mailbox: floats that members write and read by turns.
struct Mail<'a> {
    start: *mut f32,
    len: usize,
    borrow: PhantomData<&'a mut [f32]>,
}

// SAFETY: a `Mail` is a unique borrow of its floats, handed to several threads, of which one at a time uses each float: its
// methods' callers promise that.
unsafe impl Sync for Mail<'_> {}

impl<'a> Mail<'a> {
    fn new(floats: &'a mut [f32]) -> Self {
        Self { start: floats.as_mut_ptr(), len: floats.len(), borrow: PhantomData }
    }

    /// Writes floats from `at` on.
    ///
    /// # Safety
    /// No other member reads or writes these floats until the writer has said so, and it has heard from all who read before.
    #[inline]
    unsafe fn put(&self, at: usize, from: &[f32]) {
        assert!(at <= self.len && from.len() <= self.len - at, "{} floats at {at} of {}", from.len(), self.len);
        // SAFETY: inside the borrowed floats, as just asserted; alone there, as the caller promises. `from` is a slice of
        // something else, as the borrow is unique.
        unsafe { self.start.add(at).copy_from_nonoverlapping(from.as_ptr(), from.len()) };
    }

    /// Reads floats from `at` on.
    ///
    /// # Safety
    /// The writer of these floats has been heard from, and does not write again before it hears from the reader.
    #[inline]
    unsafe fn take(&self, at: usize, to: &mut [f32]) {
        assert!(at <= self.len && to.len() <= self.len - at, "{} floats at {at} of {}", to.len(), self.len);
        // SAFETY: as in `put`.
        unsafe { self.start.add(at).copy_to_nonoverlapping(to.as_mut_ptr(), to.len()) };
    }
}

impl Team {
    /// Makes room for that many members and says what they exchange: `pieces`, each given as the floats of one of
    /// its `n` parts; the pieces lie one behind the other. Allocates only to grow.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory).
    pub(crate) fn arrange(&mut self, members: usize, n: usize, pieces: impl Iterator<Item = usize>) -> Result<()> {
        if self.seats.len() < members {
            self.seats.resize_with(members, Seat::default);
        }
        let Layout { pieces: places, .. } = &mut self.layout;
        places.clear();
        let mut len = 0;
        for each in pieces {
            places.push((len, each));
            len += n * each;
        }
        (self.layout.n, self.layout.len) = (n, len);
        for mail in &mut self.boxes {
            if mail.len() < len {
                mail.try_resize("working memory", len)?;
            }
        }
        Ok(())
    }

    /// Runs `work` once on each of up to as many threads as there are scratches, all at the same time; `first` goes to
    /// the first member, which there always is.
    ///
    /// # Panics
    /// Where `work` does, on any thread.
    pub(crate) fn meet<F: Send, S: Send>(
        &mut self,
        first: F,
        scratch: &mut [S],
        work: &(impl Fn(Member<'_>, Option<F>, &mut S) + Sync),
    ) {
        let Self { seats, boxes, layout } = self;
        assert!(scratch.len() <= seats.len(), "{} members, {} seats", scratch.len(), seats.len());
        seats.iter_mut().for_each(|seat| *seat = Seat::default());
        let meeting = Meeting {
            roll: AtomicUsize::new(1),
            broken: AtomicBool::new(false),
            seats,
            layout,
            boxes: boxes.each_mut().map(|mail| Mail::new(mail)),
        };
        meeting.fork(Some(first), scratch.len(), scratch, work);
    }
}

/// One meeting of a team.
struct Meeting<'a> {
    /// Members so far, and whether it is closed.
    roll: AtomicUsize,
    /// Set by a member that panics, so that the others do not wait for it.
    broken: AtomicBool,
    seats: &'a [Seat],
    layout: &'a Layout,
    boxes: [Mail<'a>; 2],
}

impl Meeting<'_> {
    fn fork<F: Send, S: Send>(
        &self,
        first: Option<F>,
        wanted: usize,
        scratch: &mut [S],
        work: &(impl Fn(Member<'_>, Option<F>, &mut S) + Sync),
    ) {
        let (scratch, others) = scratch.split_at_mut(scratch.len() / 2);
        match (scratch, others) {
            ([], [scratch]) => {
                let member = if first.is_some() { Some(self.call(wanted)) } else { self.join() };
                if let Some(member) = member {
                    let guard = Guard(&self.broken);
                    work(member, first, scratch);
                    std::mem::forget(guard);
                }
            }
            (scratch, others) => {
                join(|| self.fork(first, wanted, scratch, work), || self.fork(None, wanted, others, work));
            }
        }
    }

    /// The first member: waits for the others and closes the roll.
    fn call(&self, wanted: usize) -> Member<'_> {
        let begin = Instant::now();
        while self.roll.load(Ordering::Relaxed) < wanted && begin.elapsed() < ROLL_CALL {
            spin_loop();
        }
        let members = self.roll.fetch_or(CLOSED, Ordering::AcqRel);
        Member { meeting: self, seat: 0, members, turn: 0 }
    }

    /// Another member, unless the roll is closed.
    fn join(&self) -> Option<Member<'_>> {
        let mut roll = self.roll.load(Ordering::Relaxed);
        while roll & CLOSED == 0 {
            match self.roll.compare_exchange_weak(roll, roll + 1, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(seat) => {
                    self.wait(|| self.roll.load(Ordering::Acquire) & CLOSED != 0);
                    let members = self.roll.load(Ordering::Relaxed) & !CLOSED;
                    return Some(Member { meeting: self, seat, members, turn: 0 });
                }
                Err(now) => roll = now,
            }
        }
        None
    }

    /// Spins until `done`, and later yields to whoever is waited for.
    fn wait(&self, done: impl Fn() -> bool) {
        for _ in 0..SPINS {
            if done() {
                return;
            }
            spin_loop();
        }
        while !done() {
            assert!(!self.broken.load(Ordering::Relaxed), "another member of the team has panicked");
            yield_now();
        }
    }
}

/// Tells the others where its owner does not come to the end.
struct Guard<'a>(&'a AtomicBool);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One of a team, on a thread of its own.
pub(crate) struct Member<'a> {
    meeting: &'a Meeting<'a>,
    seat: usize,
    members: usize,
    turn: u64,
}

impl Member<'_> {
    /// The parts that this member owns.
    pub(crate) fn share(&self) -> Range<usize> {
        self.part(self.seat)
    }

    fn part(&self, seat: usize) -> Range<usize> {
        let n = self.meeting.layout.n;
        n * seat / self.members..n * (seat + 1) / self.members
    }

    /// Gives this member's part of `data` to the others and takes theirs.
    ///
    /// # Panics
    /// If `data` is not of the arranged length.
    pub(crate) fn exchange(&mut self, data: &mut [f32]) {
        let Meeting { layout, boxes, seats, .. } = self.meeting;
        assert_eq!(data.len(), layout.len, "what is exchanged has the arranged length");
        if self.members == 1 {
            return;
        }
        self.turn += 1;
        let mail = &boxes[self.turn as usize % 2];
        for range in layout.ranges(self.share()) {
            // SAFETY: these floats are this member's: the layout and the members are the same for all, and parts do not
            // overlap. Who read them when this box was last used, two turns ago, did so before it counted up the turn
            // after, and this member has waited for that.
            unsafe { mail.put(range.start, &data[range]) };
        }
        seats[self.seat].0.store(self.turn, Ordering::Release);
        for other in (0..self.members).filter(|&other| other != self.seat) {
            self.meeting.wait(|| seats[other].0.load(Ordering::Acquire) >= self.turn);
            for range in layout.ranges(self.part(other)) {
                // SAFETY: these floats are the other's, who wrote them before it counted up to this turn, which has been
                // seen; it writes to this box again after two turns, and waits for this member at the next.
                unsafe { mail.take(range.start, &mut data[range]) };
            }
        }
    }
}

#[cfg(test)]
mod tests;
