//! Workers in lock step: each owns a part of every step's result, and all see the whole before the next step.
//!
//! A step takes microseconds, a fork and join of rayon as long: so the members are found once for a whole sequence, and
//! between steps meet by way of a mailbox. A member puts its part there, counts its turn up, waits for the others' turns
//! and takes their parts over. There are two boxes, used in turn: no member can be a turn ahead of one that still reads.
//!
//! No member waits for a thread that may never come: those meet who are in the region that the work runs in (`region.rs`),
//! after a bounded time for them to come, and the work is cut between them. Every wait is for a thread that runs: it spins for a
//! bounded time, then yields. So a team finishes inside a busy pool, inside a pool of one thread, and with more members than
//! cores.
#![allow(unsafe_code)]

use std::hint::spin_loop;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::yield_now;
use std::time::Duration;

use super::region;
use crate::error::Result;
use crate::tensor::Buffer;

/// How long others are waited for, from the opening of the region on. A sleeping thread of rayon's takes 5 to 50 µs to come.
const PATIENCE: Duration = Duration::from_micros(100);

/// Turns of a loop before a wait yields: some tens of microseconds, more than any member that runs is behind.
const SPINS: usize = 2000;

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
    /// The parts that belong to a member.
    fn part(&self, seat: usize, members: usize) -> Range<usize> {
        self.n * seat / members..self.n * (seat + 1) / members
    }

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

    /// Runs `work` once on each of up to as many threads as there are scratches, all at the same time. How many come is known
    /// before they begin: `divide` takes away the part of the first `of` of `all` members from what is left, one after the
    /// other.
    ///
    /// # Panics
    /// Where `work` does, on any thread.
    pub(crate) fn meet<W: Send, S: Send>(
        &mut self,
        whole: W,
        scratch: &mut [S],
        divide: &(impl Fn(W, Range<usize>) -> (W, W) + Sync),
        work: &(impl Fn(Member<'_>, W, &mut S) + Sync),
    ) {
        let Self { seats, boxes, layout } = self;
        assert!(scratch.len() <= seats.len(), "{} members, {} seats", scratch.len(), seats.len());
        seats.iter_mut().for_each(|seat| *seat = Seat::default());
        let meeting = Meeting {
            broken: AtomicBool::new(false),
            seats,
            layout,
            boxes: boxes.each_mut().map(|mail| Mail::new(mail)),
        };
        region::inside(scratch.len(), || {
            region::gather(scratch.len(), PATIENCE, |gathered| {
                let members = gathered.threads;
                // Whose lock is never waited for: each is for one thread.
                let mut places = [const { Mutex::new(None) }; region::MOST_SHARES];
                let mut rest = Some(whole);
                for (seat, (place, scratch)) in places.iter_mut().zip(scratch.iter_mut()).take(members).enumerate() {
                    let whole = rest.take().expect("what is left");
                    let (own, others) = divide(whole, meeting.layout.part(seat, members));
                    *place.get_mut().unwrap_or_else(PoisonError::into_inner) = Some((own, scratch));
                    rest = Some(others);
                }
                gathered.run(&|seat| {
                    let place = places[seat].lock().unwrap_or_else(PoisonError::into_inner).take();
                    let (own, scratch) = place.expect("a seat is taken once");
                    let guard = Guard(&meeting.broken);
                    work(Member { meeting: &meeting, seat, members, turn: 0 }, own, scratch);
                    std::mem::forget(guard);
                });
            });
        });
    }
}

/// One meeting of a team.
struct Meeting<'a> {
    /// Set by a member that panics, so that the others do not wait for it.
    broken: AtomicBool,
    seats: &'a [Seat],
    layout: &'a Layout,
    boxes: [Mail<'a>; 2],
}

impl Meeting<'_> {
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
        self.meeting.layout.part(seat, self.members)
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
