//! Which schedule for which shape, and how long it takes: values, computed without running anything.

mod cache;
mod cost;
mod fitted;
mod machine;
mod model;

pub(crate) use cache::{Plans, Request};
pub use cost::{Cost, Work};
pub use machine::Machine;

use std::fmt;

use crate::error::{Error, Result, at_least_one, elements};
use crate::kernel::Isa;
use crate::kernel::blocking::Blocking;
use crate::kernel::cell::Cell;
use crate::kernel::layout::{GateColumns, PANEL, Weight};
use crate::parallel::{Shares, Threads};
use crate::tensor::Lines;

/// What is to be run: one layer in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The cell, of G gates.
    pub cell: Cell,
    /// Features of the input (I).
    pub input: usize,
    /// Hidden units (H).
    pub hidden: usize,
    /// Outputs (P) of a projection; none where it is 0.
    pub projection: usize,
    /// Rows of the batch (B).
    pub batch: usize,
    /// Time steps (T).
    pub steps: usize,
}

impl Shape {
    /// The width of a state h (O): P, or H without a projection.
    #[must_use]
    pub fn output(self) -> usize {
        if self.projection == 0 { self.hidden } else { self.projection }
    }

    /// Floating-point operations of a forward pass, 2·B·T·(G·H·(I + P) + H·P), or 2·G·B·T·H·(I + H) without a projection.
    /// Training counts three times that.
    #[must_use]
    pub fn flop(self) -> f64 {
        let [gates, input, hidden, projection, output, batch, steps] =
            [self.cell.gates(), self.input, self.hidden, self.projection, self.output(), self.batch, self.steps]
                .map(|n| n as f64);
        2.0 * batch * steps * hidden * (gates * (input + output) + projection)
    }

    /// That its weights and such a sequence can be addressed.
    ///
    /// # Errors
    /// [`Error::Overflow`] naming the tensor that cannot.
    pub fn check(self) -> Result<()> {
        let Self { cell, input, hidden, batch, steps, .. } = self;
        // One step at least: the state before the first has that size too.
        let rows = steps.max(1);
        let padded = |n: usize| n.checked_next_multiple_of(PANEL).unwrap_or(usize::MAX);
        elements("input", &[rows, batch, padded(input)])?;
        // Rows in memory are padded to whole vectors, and a GRU keeps a fourth value: that must fit too.
        elements("output", &[rows, batch, 4, padded(hidden)])?;
        elements("weight_hh", &[cell.gates(), padded(hidden), padded(hidden)])?;
        elements("weight_ih", &[cell.gates(), padded(hidden), padded(input)])?;
        Ok(())
    }

    /// Whether workers can own hidden units. A projection needs all of them in mid-step.
    #[must_use]
    pub fn can_share_units(self) -> bool {
        self.projection == 0
    }
}

/// The part of z that is made at once, in floats: an eighth of a 1 MiB L2. z is written by the input part and read by the
/// recurrence, and should not leave the cache in between, nor push the weights out of it. Measured on a Zen 4 core: 32 to
/// 128 KiB are the same within the noise, 512 KiB lose 5 to 10 points of the peak at H = 256.
const Z_BLOCK: usize = 128 * 1024 / size_of::<f32>();

/// Weights of more bytes than half of a 32 MiB L3 come from memory at each step. W_ih then serves as many rows as it takes
/// to pay for the way: GRU with H = 1024, 32 rows a worker: 1 step at once 74 % of peak, 8 83 %, 16 91 %.
const LARGE_WEIGHTS: usize = 16 << 20;
const LARGE_ROWS: usize = 512;

/// The longest chain of the forward pass that stays in registers to its end. 3 panels of 64 bytes by 2048 k are 384 KiB,
/// beside 32 rows of A of 256 KiB: together they still fit L2, and all groups of rows pass them. Shorter blocks send z
/// through the caches once more each (GRU with H = 1024: 512 k 76 % of peak, the whole 80 %).
const FORWARD_KC: usize = 2048;

/// A schedule: who works on what. It decides how fast the work is done, never what comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// Workers that own rows of the batch through all steps.
    pub row_workers: usize,
    /// Workers that own hidden units through all steps and show each other their states after each, or their gradients; 1
    /// where a worker owns all units. Whatever a plan says that was changed by hand, units are shared only where
    /// [`Shape::can_share_units`] is true.
    pub unit_workers: usize,
    /// Workers that own rows of the weight gradients.
    pub gradient_workers: usize,
    /// Steps whose input part is made at once, before the recurrence runs over them.
    pub time_block: usize,
    /// Tile and block sizes of the products forward.
    pub forward: Blocking,
    /// The same backward.
    pub backward: Blocking,
}

impl Plan {
    /// The schedule for `work` on `shape`, which can be addressed ([`Shape::check`]), on a tier with up to `threads`
    /// threads. Whether the gradient of the input is wanted makes no difference.
    #[must_use]
    pub fn new(shape: Shape, work: Work, threads: Threads, isa: Isa) -> Self {
        let Shape { cell, input, hidden, batch, steps, .. } = shape;
        let columns = GateColumns { gates: cell.gates() };
        let backward = Blocking::of(isa);
        let forward = backward.with_kc(input.max(hidden).min(FORWARD_KC));
        let affordable = threads.affordable(shape.flop());
        let tiles = batch.div_ceil(backward.mr).max(1);
        let with = |row_workers: usize, unit_workers: usize| {
            let rows = batch.div_ceil(if unit_workers > 1 { 1 } else { row_workers }).max(1);
            let units = hidden.div_ceil(unit_workers);
            let weights =
                columns.width(hidden).saturating_mul(input + shape.output()).saturating_mul(size_of::<Weight>());
            let time_block = match weights > LARGE_WEIGHTS {
                true => LARGE_ROWS.div_ceil(rows),
                false => Z_BLOCK / (rows * columns.width(units)),
            };
            Self {
                row_workers,
                unit_workers,
                gradient_workers: affordable.min((cell.gates() * hidden).div_ceil(backward.mr)).max(1),
                time_block: time_block.clamp(1, steps.max(1)),
                forward,
                backward,
            }
        };
        let mut plan = with(affordable.min(tiles), 1);
        // Where every worker can have full tiles of rows, nothing is better: they never meet. Where some would have none,
        // they can have lower tiles, or own units, if what they save is worth it. The default machine decides, wherever this
        // runs: a schedule is a matter of the shape.
        if tiles < affordable && batch > 0 {
            let machine = Machine::default();
            let seconds = |plan: &Self| plan.predict(shape, work, &machine).total();
            let mut shortest = seconds(&plan);
            let mut consider = |other: Self| {
                let time = seconds(&other);
                if time < shortest {
                    (plan, shortest) = (other, time);
                }
            };
            let mut rows = backward.mr;
            while rows > 1 && batch.div_ceil(rows) < affordable {
                rows /= 2;
                consider(with(affordable.min(batch.div_ceil(rows)), 1));
            }
            // Panels of 16 units for the largest share: as few as there are workers for, and powers of two above.
            let panels = hidden.div_ceil(PANEL);
            let mut each = panels.div_ceil(affordable).max(1);
            while each < panels && shape.can_share_units() {
                consider(with(1, panels.div_ceil(each)));
                each = (each + 1).next_power_of_two();
            }
        }
        plan
    }

    /// The schedule as `shape` follows it, where it was made for another or changed by hand.
    #[must_use]
    pub(crate) fn for_shape(&self, shape: Shape) -> Self {
        let unit_workers = if shape.can_share_units() { self.unit_workers } else { 1 };
        Self { unit_workers, ..*self }
    }

    /// That a plan changed by hand has workers and steps.
    pub(crate) fn check(&self) -> Result<()> {
        for (name, value) in [
            ("row_workers", self.row_workers),
            ("unit_workers", self.unit_workers),
            ("gradient_workers", self.gradient_workers),
        ] {
            // Far beyond any machine: a scratch for each worker must still fit memory.
            if !(1..=1 << 16).contains(&value) {
                return Err(Error::setting(name, "1 to 65536", value));
            }
        }
        at_least_one("time_block", self.time_block)?;
        Ok(())
    }

    /// The rows of the batch, cut between the workers.
    pub(crate) fn rows<'a>(&self, lines: Lines<'a>) -> Shares<'a> {
        let rows = lines.rows();
        let unit = self.backward.mr.min(rows.div_ceil(self.row_workers)).max(1);
        let even = lines.is_dense();
        Shares { rows, workers: self.row_workers, unit, lines: (!even).then_some(lines) }
    }

    /// Rows that are independent of each other: of the weight gradients, or of all steps. Cut between the workers.
    pub(crate) fn gradients(&self, rows: usize) -> Shares<'static> {
        let unit = self.backward.mr.min(rows.div_ceil(self.gradient_workers)).max(1);
        Shares { rows, workers: self.gradient_workers, unit, lines: None }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { row_workers, unit_workers, gradient_workers, time_block, forward, backward } = self;
        write!(
            f,
            "{row_workers} workers by rows, {unit_workers} by units, {gradient_workers} by weight gradients, {time_block} steps a block, tiles of \
             {} rows, {} k a block forward and {} backward",
            backward.mr, forward.kc, backward.kc
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::cell::Nonlinearity;

    const ELMAN: Cell = Cell::Elman(Nonlinearity::Tanh);

    fn plan(input: usize, hidden: usize, batch: usize, steps: usize, threads: usize) -> Plan {
        let shape = Shape { cell: ELMAN, input, hidden, projection: 0, batch, steps };
        Plan::new(shape, Work::Infer, Threads::new(threads).unwrap(), Isa::Avx512)
    }

    #[test]
    fn small_work_stays_on_one_thread() {
        let sine = plan(1, 16, 1, 49, 8);
        assert_eq!((sine.row_workers, sine.gradient_workers, sine.time_block), (1, 1, 49));
        assert_eq!(plan(16, 16, 8, 10, 8).row_workers, 1);
    }

    #[cfg(feature = "threads")]
    #[test]
    fn big_work_uses_the_threads_it_may() {
        for threads in [1, 2, 4] {
            let plan = plan(512, 512, 64, 100, threads);
            assert_eq!((plan.row_workers, plan.gradient_workers), (threads, threads));
        }
        // Beyond a full tile of rows for each, lower tiles: what they lose is less than what more threads bring.
        assert_eq!(plan(512, 512, 64, 100, 64).row_workers, 64);
        assert_eq!(plan(64, 64, 8, 100, 2).row_workers, 2);
    }

    #[cfg(feature = "threads")]
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

    #[cfg(feature = "threads")]
    #[test]
    fn weights_beyond_the_cache_serve_many_rows_at_once() {
        let large = plan(2048, 2048, 64, 50, 2);
        assert_eq!(large.time_block, 16);
        assert_eq!(plan(2048, 2048, 1, 50, 2).time_block, 50);
    }

    #[cfg(feature = "threads")]
    #[test]
    fn few_rows_of_a_big_layer_share_its_units() {
        for threads in [2, 4, 8] {
            let plan = plan(1024, 1024, 1, 50, threads);
            assert_eq!((plan.row_workers, plan.unit_workers), (1, threads));
        }
        assert_eq!(plan(512, 512, 64, 100, 2).unit_workers, 1, "full tiles of rows for everybody");
        // No more workers than meetings allow.
        assert!(plan(256, 256, 1, 100, 64).unit_workers < 16);
    }

    #[cfg(feature = "threads")]
    #[test]
    fn units_are_shared_but_where_the_output_is_projected() {
        for (cell, projection, shared) in
            [(ELMAN, 0, true), (Cell::Gru, 0, true), (Cell::Lstm, 0, true), (Cell::Lstm, 100, false)]
        {
            let shape = Shape { cell, input: 512, hidden: 512, projection, batch: 1, steps: 50 };
            for work in [Work::Infer, Work::Train { d_input: true }] {
                let workers = if shared { 2 } else { 1 };
                let plan = Plan::new(shape, work, Threads::new(2).unwrap(), Isa::Avx512);
                assert_eq!(plan.unit_workers, workers, "{cell:?} {work:?}");
                // Whoever has all units has blocks of steps of that width, not of a share.
                let alone = Plan::new(shape, work, Threads::one(), Isa::Avx512);
                assert!(shared || plan.time_block == alone.time_block, "{cell:?} {work:?}");
                // What is predicted is what is followed, of a plan changed by hand too.
                let by_hand = Plan { unit_workers: 2, ..plan };
                assert_eq!(by_hand.for_shape(shape).unit_workers, workers, "{cell:?} {work:?}");
                let time = |plan: Plan| plan.predict(shape, work, &Machine::default());
                assert_eq!(time(by_hand), time(plan), "{cell:?} {work:?}");
                assert_eq!(time(plan) != time(Plan { unit_workers: 1, ..plan }), shared, "{cell:?} {work:?}");
            }
        }
    }

    #[test]
    fn sizes_that_overflow_are_errors() {
        let small = Shape { cell: ELMAN, input: 1, hidden: 1, projection: 0, batch: 1, steps: 1 };
        let huge = Shape { input: 1 << 40, hidden: 4, batch: 1 << 20, steps: 1 << 20, ..small };
        let error = huge.check().unwrap_err();
        assert!(error.to_string().starts_with("input: shape [1048576, 1048576, 1099511627776]"), "{error}");
        assert!(Shape { hidden: usize::MAX, ..small }.check().is_err());
        assert!(small.check().is_ok());
    }
}
