//! A state that comes back later than after one step: a model at a higher sample rate than it was trained at.

use crate::error::{Error, Result, elements};
use crate::tensor::Buffer;

/// By how many steps a state is delayed, 1 or more: between two whole numbers of steps it is a mean of their states.
///
/// Of n + f steps, n whole: (1 - f) · state\[t - n\] + f · state\[t - n - 1\].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Delay {
    whole: usize,
    fraction: f32,
}

impl Delay {
    /// No more than a recurrent layer has.
    pub(crate) const ONE: Self = Self { whole: 1, fraction: 0.0 };

    /// # Errors
    /// [`Error::Setting`] below 1, and for what is no number.
    pub(crate) fn new(steps: f64) -> Result<Self> {
        if !(steps >= 1.0 && steps.is_finite()) {
            return Err(Error::setting("rate ratio", "a finite number, at least 1", steps));
        }
        Ok(Self { whole: steps as usize, fraction: steps.fract() as f32 })
    }

    /// How many states it looks back over.
    pub(crate) fn states(self) -> usize {
        self.whole.saturating_add(usize::from(self.fraction > 0.0))
    }
}

/// The last states of some rows of one layer, h or c: as many as the delay looks back over.
#[derive(Clone, Debug)]
pub(super) struct DelayLine {
    delay: Delay,
    /// (states, rows, pitch): a ring.
    ring: Buffer,
    rows: usize,
    pitch: usize,
    /// Where in the ring the last state is; those before it follow.
    last: usize,
}

impl DelayLine {
    /// A line of zeros.
    ///
    /// # Errors
    /// [`Error::Memory`], [`Error::Overflow`].
    pub(super) fn new(delay: Delay, rows: usize, pitch: usize) -> Result<Self> {
        let ring = Buffer::try_zeros("stream", elements("stream", &[delay.states(), rows, pitch])?)?;
        Ok(Self { delay, ring, rows, pitch, last: 0 })
    }

    /// Where the state of `age` steps before the last begins.
    fn at(&self, age: usize) -> usize {
        let (place, states) = (self.last + age, self.delay.states());
        let place = if place < states { place } else { place - states };
        place * self.rows * self.pitch
    }

    /// Puts the state that the next step takes, of all rows, to `to`.
    pub(super) fn delayed(&self, to: &mut [f32]) {
        let Delay { whole, fraction } = self.delay;
        let len = self.rows * self.pitch;
        let newer = &self.ring[self.at(whole - 1)..][..len];
        if fraction == 0.0 {
            to[..len].copy_from_slice(newer);
            return;
        }
        let older = &self.ring[self.at(whole)..][..len];
        let rest = 1.0 - fraction;
        for ((to, newer), older) in to.iter_mut().zip(newer).zip(older) {
            *to = rest * newer + fraction * older;
        }
    }

    /// Enters the state after a step, of all rows, in the place of the oldest.
    pub(super) fn push(&mut self, state: &[f32]) {
        let states = self.delay.states();
        self.last = if self.last == 0 { states - 1 } else { self.last - 1 };
        let (at, len) = (self.at(0), self.rows * self.pitch);
        self.ring[at..][..len].copy_from_slice(&state[..len]);
    }

    /// Copies the states of a row to `to` (states, width), the last one first.
    pub(super) fn get(&self, row: usize, to: &mut [f32]) {
        let width = to.len() / self.delay.states();
        for (age, to) in to.chunks_exact_mut(width).enumerate() {
            to.copy_from_slice(&self.ring[self.at(age) + row * self.pitch..][..width]);
        }
    }

    /// Sets them.
    pub(super) fn set(&mut self, row: usize, from: &[f32]) {
        let width = from.len() / self.delay.states();
        for (age, from) in from.chunks_exact(width).enumerate() {
            let at = self.at(age) + row * self.pitch;
            self.ring[at..][..width].copy_from_slice(from);
        }
    }
}
