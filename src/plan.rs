//! Which schedule for which shape: a value, computed without running anything.

use std::fmt;

use crate::error::{Error, Result, elements};
use crate::gemm::Blocking;
use crate::kernel::Isa;
use crate::kernel::layout::round_up;
use crate::threads::{Shares, Threads};

/// What is to be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Features of the input (I).
    pub input: usize,
    /// Hidden units (H).
    pub hidden: usize,
    /// Rows of the batch (B).
    pub batch: usize,
    /// Time steps (T).
    pub steps: usize,
}

impl Shape {
    /// Floating-point operations of a forward pass, 2·B·T·H·(I + H). Training counts three times that.
    #[must_use]
    pub fn flop(self) -> f64 {
        2.0 * self.batch as f64 * self.steps as f64 * self.hidden as f64 * (self.input as f64 + self.hidden as f64)
    }
}

/// Work below this many floating-point operations a worker is not worth handing out: a fork and join of rayon takes
/// about 5 µs when the other worker has gone to sleep, in which one core does about a million.
const SMALLEST_SHARE: f64 = 2e6;

/// The part of z that is made at once: a quarter of a 1 MiB L2, in floats. z is written by the projection and read by
/// the recurrence, and should not leave the cache in between.
const Z_BLOCK: usize = 256 * 1024 / size_of::<f32>();

/// A schedule: who works on what. It decides how fast the work is done, never what comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// Workers that own rows of the batch through all steps.
    pub row_workers: usize,
    /// Workers that own rows of the weight gradients.
    pub gradient_workers: usize,
    /// Steps whose input part is projected at once, before the recurrence runs over them.
    pub time_block: usize,
    /// Tile and block sizes of the products.
    pub blocking: Blocking,
}

impl Plan {
    /// The schedule for `shape` on a tier with up to `threads` threads.
    ///
    /// # Errors
    /// [`Error::Overflow`](crate::Error::Overflow) where a sequence of that shape cannot be addressed.
    pub fn new(shape: Shape, threads: Threads, isa: Isa) -> Result<Self> {
        let Shape { input, hidden, batch, steps } = shape;
        // One step at least: the state before the first has that size too.
        let rows = steps.max(1);
        elements("input", &[rows, batch, input])?;
        // Rows in memory are padded to whole vectors: that must fit too.
        elements("output", &[rows, batch, hidden.saturating_add(15)])?;
        elements("weight_hh", &[hidden.saturating_add(15), hidden.saturating_add(15)])?;
        elements("weight_ih", &[hidden.saturating_add(15), input.saturating_add(15)])?;
        let blocking = Blocking::of(isa);
        let affordable = ((shape.flop() / SMALLEST_SHARE) as usize).max(1).min(threads.get());
        let row_workers = affordable.min(batch.div_ceil(blocking.mr)).max(1);
        let line = batch.div_ceil(row_workers) * round_up(hidden);
        Ok(Self {
            row_workers,
            gradient_workers: affordable.min(hidden.div_ceil(blocking.mr)).max(1),
            time_block: (Z_BLOCK / line.max(1)).clamp(1, steps.max(1)),
            blocking,
        })
    }

    /// That a plan changed by hand has somebody to do the work.
    pub(crate) fn check(&self) -> Result<()> {
        for (name, value) in [
            ("row_workers", self.row_workers),
            ("gradient_workers", self.gradient_workers),
            ("time_block", self.time_block),
        ] {
            // Far beyond any machine: a scratch for each worker must still fit memory.
            if !(1..=1 << 16).contains(&value) && (name != "time_block" || value == 0) {
                return Err(Error::setting(name, "1 to 65536", value));
            }
        }
        Ok(())
    }

    /// The rows of the batch, cut between the workers.
    pub(crate) fn rows(&self, batch: usize) -> Shares {
        Shares {
            rows: batch,
            workers: self.row_workers,
            unit: self.blocking.mr.min(batch.div_ceil(self.row_workers)).max(1),
        }
    }

    /// The rows of the weight gradients, cut between the workers.
    pub(crate) fn gradients(&self, hidden: usize) -> Shares {
        let unit = self.blocking.mr.min(hidden.div_ceil(self.gradient_workers)).max(1);
        Shares { rows: hidden, workers: self.gradient_workers, unit }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { row_workers, gradient_workers, time_block, blocking } = self;
        write!(
            f,
            "{row_workers} workers by rows, {gradient_workers} by weight gradients, {time_block} steps a block, tiles of \
             {} rows, {} k a block",
            blocking.mr, blocking.kc
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(input: usize, hidden: usize, batch: usize, steps: usize, threads: usize) -> Plan {
        let shape = Shape { input, hidden, batch, steps };
        Plan::new(shape, Threads::new(threads).unwrap(), Isa::Avx512).unwrap()
    }

    #[test]
    fn small_work_stays_on_one_thread() {
        let sine = plan(1, 16, 1, 49, 8);
        assert_eq!((sine.row_workers, sine.gradient_workers, sine.time_block), (1, 1, 49));
        assert_eq!(plan(16, 16, 8, 10, 8).row_workers, 1);
    }

    #[test]
    fn big_work_uses_the_threads_it_may() {
        for threads in [1, 2, 4] {
            let plan = plan(512, 512, 64, 100, threads);
            assert_eq!((plan.row_workers, plan.gradient_workers), (threads, threads));
        }
        assert_eq!(plan(512, 512, 64, 100, 64).row_workers, 8, "a worker gets at least one full tile of rows");
    }

    #[test]
    fn one_row_still_shares_its_weight_gradients() {
        let plan = plan(512, 512, 1, 100, 2);
        assert_eq!((plan.row_workers, plan.gradient_workers), (1, 2));
    }

    #[test]
    fn a_block_of_steps_fits_the_cache_or_is_one_step() {
        let wide = plan(128, 128, 1024, 50, 2);
        assert_eq!(wide.time_block, 1);
        let narrow = plan(256, 256, 8, 4096, 1);
        assert_eq!(narrow.time_block, Z_BLOCK / (8 * 256));
    }

    #[test]
    fn sizes_that_overflow_are_errors() {
        let huge = Shape { input: 1 << 40, hidden: 4, batch: 1 << 20, steps: 1 << 20 };
        let error = Plan::new(huge, Threads::one(), Isa::Avx2).unwrap_err();
        assert!(error.to_string().starts_with("input: shape [1048576, 1048576, 1099511627776]"), "{error}");
        let huge = Shape { input: 1, hidden: usize::MAX, batch: 1, steps: 1 };
        assert!(Plan::new(huge, Threads::one(), Isa::Avx2).is_err());
    }
}
