//! Times of some nanoseconds: the processor's time-stamp counter, and its own cost.

#![allow(unsafe_code)]

use std::time::{Duration, Instant};

/// A clock whose ticks are known in nanoseconds, and whose reading is taken off what it measures.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    tick: f64,
    cost: u64,
}

impl Clock {
    /// Held against the system's clock for some milliseconds.
    pub(super) fn new() -> Self {
        const LONG: Duration = Duration::from_millis(5);
        // A thread that is put aside between the two readings of an end spoils it: the middle of several.
        let mut ticks: Vec<f64> = (0..5)
            .map(|_| {
                let (start, first) = (Instant::now(), Self::now());
                while start.elapsed() < LONG {
                    std::hint::spin_loop();
                }
                let (elapsed, last) = (start.elapsed(), Self::now());
                elapsed.as_secs_f64() * 1e9 / last.saturating_sub(first).max(1) as f64
            })
            .collect();
        // Between two readings there is nothing but one of them.
        let mut costs: Vec<f64> = (0..1001)
            .map(|_| {
                let first = Self::now();
                Self::now().saturating_sub(first) as f64
            })
            .collect();
        Self { tick: super::stats::median(&mut ticks), cost: super::stats::median(&mut costs) as u64 }
    }

    /// The count now, when all that stands before has been done, and nothing of what stands behind begun.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(super) fn now() -> u64 {
        use std::arch::x86_64::{_mm_lfence, _rdtsc};
        // SAFETY: every x86-64 processor has both instructions.
        unsafe {
            _mm_lfence();
            let count = _rdtsc();
            _mm_lfence();
            count
        }
    }

    /// Nanoseconds of the system's clock, where there is no counter that a program may read.
    #[cfg(not(target_arch = "x86_64"))]
    #[inline(always)]
    pub(super) fn now() -> u64 {
        use std::sync::OnceLock;
        static FIRST: OnceLock<Instant> = OnceLock::new();
        u64::try_from(FIRST.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// What lies between two readings, in ticks, without the cost of one.
    #[inline(always)]
    pub(super) fn between(&self, begin: u64, end: u64) -> u64 {
        end.saturating_sub(begin).saturating_sub(self.cost)
    }

    /// So many ticks in seconds.
    pub(super) fn seconds(&self, ticks: u64) -> f64 {
        ticks as f64 * self.tick / 1e9
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_is_as_long_as_the_systems_clock_says() {
        let clock = Clock::new();
        // A thread that is put aside within one of the pairs spoils that one.
        let sound = (0..20).any(|_| {
            let (start, first) = (Instant::now(), Clock::now());
            std::thread::sleep(Duration::from_millis(3));
            let (elapsed, last) = (start.elapsed().as_secs_f64(), Clock::now());
            (clock.seconds(clock.between(first, last)) / elapsed - 1.0).abs() < 0.02
        });
        assert!(sound, "{clock:?}");
        // Its own cost is some nanoseconds, and is taken off.
        assert!(clock.seconds(clock.cost) < 1e-6, "{clock:?}");
        assert_eq!(clock.between(0, clock.cost), 0);
    }
}
