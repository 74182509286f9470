//! How long a schedule takes, from first principles: operations over the peak, bytes over the bandwidth of the level they
//! live in, cells by the vector, meetings by the trip. Nothing is run.
//!
//! ```text
//! a product of r rows:   for each size M of its groups of rows: max(compute, weights)
//!                        compute = operations / (peak · what tiles of M rows get of it) + the tiles' starts and ends
//!                        weights = bytes / bandwidth of where they live when they are swept again and again
//! a worker forward:      T products of the recurrence, T/block products of the projection, T·r·H cells
//! a worker backward:     T products of d_z·W_hh, T·r·H cells, the gates' way through memory
//! weight gradients:      2·T·B·G·H·(I + P) operations, packing of both operands, C in and out once a block of k
//! ```
//!
//! The longest share of the work counts, as the others wait for it. What no manual says was fitted to `elman bench` on two
//! cores of an AMD EPYC (Zen 4, AVX-512): 55 rows of its table on one thread and 17 on two, the quieter of two runs. Half
//! of them are within 6 %, nine in ten within 24 %; rows whose weights do not all stay in L3 are worst, as they depend on
//! the neighbours.
//! `cargo bench --bench prediction` says how well it still holds. Predicted are a quiet machine and warm caches.

use std::fmt;
use std::ops::{Add, AddAssign, Mul};

use super::{Machine, Plan, Shape};
use crate::kernel::gemm::SHORT;
use crate::kernel::layout::{KB, group_sizes, round_up};

/// What is done with a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Forward.
    Infer,
    /// Forward, backward, a step of Adam, and packing the weights again.
    Train {
        /// Whether the gradient of the input is wanted: not of a first layer's.
        d_input: bool,
    },
}

/// Seconds, by part.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Prediction {
    /// The input part of every step: x·W_ihᵀ.
    pub projection: f64,
    /// The recurrent part of every step: h·W_hhᵀ, and the output's projection.
    pub recurrence: f64,
    /// Gates and activations, and in training what is kept for the way back.
    pub cell: f64,
    /// Forks, joins, and what workers that own units show each other.
    pub sync: f64,
    /// d_z·W_hh step by step, with the cell's derivatives.
    pub backward: f64,
    /// d_W_ih, d_W_hh and d_b.
    pub weight_gradients: f64,
    /// The gradient of the input.
    pub d_input: f64,
    /// Loss, Adam, and packing the weights again.
    pub update: f64,
    /// Calls: whatever does not grow with the work.
    pub call: f64,
}

impl Prediction {
    /// All of it, in seconds.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.parts().iter().map(|(_, seconds)| seconds).sum()
    }

    /// Every part with its name, in the order in which they are done.
    #[must_use]
    pub fn parts(&self) -> [(&'static str, f64); 9] {
        [
            ("projection", self.projection),
            ("recurrence", self.recurrence),
            ("cell", self.cell),
            ("sync", self.sync),
            ("backward", self.backward),
            ("weight_gradients", self.weight_gradients),
            ("d_input", self.d_input),
            ("update", self.update),
            ("call", self.call),
        ]
    }
}

impl Add for Prediction {
    type Output = Self;

    /// One after the other.
    fn add(self, other: Self) -> Self {
        Self {
            projection: self.projection + other.projection,
            recurrence: self.recurrence + other.recurrence,
            cell: self.cell + other.cell,
            sync: self.sync + other.sync,
            backward: self.backward + other.backward,
            weight_gradients: self.weight_gradients + other.weight_gradients,
            d_input: self.d_input + other.d_input,
            update: self.update + other.update,
            call: self.call + other.call,
        }
    }
}

impl AddAssign for Prediction {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Mul<f64> for Prediction {
    type Output = Self;

    /// So many times.
    fn mul(self, times: f64) -> Self {
        Self {
            projection: self.projection * times,
            recurrence: self.recurrence * times,
            cell: self.cell * times,
            sync: self.sync * times,
            backward: self.backward * times,
            weight_gradients: self.weight_gradients * times,
            d_input: self.d_input * times,
            update: self.update * times,
            call: self.call * times,
        }
    }
}

impl fmt::Display for Prediction {
    /// `projection 45 %, recurrence 46 %, …`, without what is nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.total();
        let mut separator = "";
        for (name, seconds) in self.parts() {
            let percent = 100.0 * seconds / total;
            if percent >= 0.5 {
                write!(f, "{separator}{} {percent:.0} %", name.replace('_', " "))?;
                separator = ", ";
            }
        }
        Ok(())
    }
}

/// What was fitted. Cycles are of [`Machine::clock`].
mod fitted {
    /// The share of the peak that the FMAs of a tile of 8 (or 6), 4, 2 and 1 rows get where their weights are there in
    /// time. The table has batches of 64, 32 and 1 rows: those for 4 and 2 lie between, and were not fitted.
    pub(super) const TILES: [f64; 4] = [0.87, 0.85, 0.75, 0.78];
    /// What remains of it in four chains instead of one.
    pub(super) const SHORT_CHAINS: f64 = 0.82;
    /// Cycles to start and end a register of a tile.
    pub(super) const REGISTER: f64 = 3.1;
    /// Compute and loads overlap, but not wholly: their p-norm, between the sum (1) and the longer of the two.
    pub(super) const OVERLAP: f64 = 1.91;
    /// What is swept again and again stays in L1 or L2 up to the first of these shares of it, and not at all from the
    /// second on. (LRU would be 1 and 1: a sweep that is a little too long misses everything.)
    pub(super) const STAYS: [f64; 2] = [0.96, 1.37];
    /// The share of L3 that a process has for itself; of a longer sweep, as many bytes stay. The neighbours on a shared
    /// machine use it too: 8 MiB of weights come at L3's speed, 24 MiB partly from memory. Not fitted: it is another one
    /// from minute to minute.
    pub(super) const OWN_L3: f64 = 0.5;
    /// Cycles for 16 units of a cell forward, with its gates' way from and to z: Elman, GRU, LSTM.
    pub(super) const CELL: [f64; 3] = [24.0, 109.0, 118.0];
    /// The same backward, with all that the way back of a gated cell costs besides: more than its arithmetic.
    pub(super) const BACK_CELL: [f64; 3] = [17.7, 268.0, 229.0];
    /// How many times as long as loads takes what is kept for the way back: written, read and written again.
    pub(super) const KEPT: f64 = 4.5;
    /// Cycles of a step besides.
    pub(super) const STEP: f64 = 138.0;
    /// Cycles to pack 8 floats of a row that is multiplied, 8 of a transposed one, and 16 of weights' gradients' right side.
    pub(super) const PACK: [f64; 3] = [1.99, 3.3, 3.2];
    /// Bytes a second of a state's way to the other workers.
    pub(super) const MAIL: f64 = 17e9;
    /// Seconds of a call, of one layer.
    pub(super) const CALL: f64 = 0.65e-6;
    /// The loss sums in f64, one after the other: 4 cycles, the latency of an addition.
    pub(super) const LOSS: f64 = 4.0;
    /// Seconds of a step of training besides.
    pub(super) const TRAINING: f64 = 3e-6;
}

/// Floats of a block of rows that a product packs at once.
const A_BLOCK: usize = 128 * 1024;

/// A machine with what is worked out from it.
struct Model<'a> {
    machine: &'a Machine,
    plan: &'a Plan,
    cycle: f64,
}

/// Bytes that are swept again and again: by one worker, and by all of them together.
#[derive(Clone, Copy)]
struct Sweep {
    own: f64,
    all: f64,
}

impl Sweep {
    /// Of a single worker, or the same bytes of all of them.
    fn shared(bytes: f64) -> Self {
        Self { own: bytes, all: bytes }
    }
}

impl Model<'_> {
    /// Bytes a second that a core gets of what is swept again and again.
    fn bandwidth(&self, Sweep { own, all }: Sweep) -> f64 {
        let Machine { bandwidth: [l1, l2, l3, memory], caches: [size_1, size_2, size_3], .. } = *self.machine;
        let [from, to] = fitted::STAYS;
        let (mut time, mut left) = (0.0, 1.0);
        for (size, bandwidth) in [(size_1, l1), (size_2, l2)] {
            let stays = ((to - own / size as f64) / (to - from)).clamp(0.0, 1.0);
            time += left * stays / bandwidth;
            left *= 1.0 - stays;
        }
        let stays = (fitted::OWN_L3 * size_3 as f64 / all.max(1.0)).min(1.0);
        time += left * (stays / l3 + (1.0 - stays) / memory);
        1.0 / time
    }

    /// A product of `rows` rows with weights (k, cols) that lie among the bytes of `sweep`.
    fn product(&self, rows: usize, [k, cols]: [usize; 2], sweep: Sweep, chains: f64) -> f64 {
        let (mut left, mut time) = (rows, 0.0);
        let weights = 4.0 * round_up(k) as f64 * round_up(cols) as f64 / self.bandwidth(sweep);
        for (size, share) in group_sizes(self.plan.backward.mr).into_iter().zip(fitted::TILES) {
            let rows = (left / size * size) as f64;
            left %= size;
            if rows > 0.0 {
                let flop = 2.0 * rows * k as f64 * cols as f64;
                let registers = rows * (round_up(cols) / KB) as f64;
                let compute = flop / (self.machine.fma * share * chains) + registers * fitted::REGISTER * self.cycle;
                time += overlapped(compute, weights);
            }
        }
        time
    }

    /// Until so many workers have begun: each that has begun asks one more.
    fn fork(&self, workers: usize) -> f64 {
        self.machine.fork * (workers.max(1) as f64).log2()
    }
}

/// Two things that are done at the same time.
fn overlapped(a: f64, b: f64) -> f64 {
    let longer = a.max(b);
    if longer == 0.0 {
        0.0
    } else {
        longer * ((a / longer).powf(fitted::OVERLAP) + (b / longer).powf(fitted::OVERLAP)).powf(1.0 / fitted::OVERLAP)
    }
}

/// The largest share of `n` things in groups of `unit` between that many workers.
fn largest_share(n: usize, unit: usize, workers: usize) -> usize {
    (n.div_ceil(unit.max(1)).div_ceil(workers.max(1)) * unit).min(n)
}

impl Plan {
    /// The seconds that this schedule takes for a layer on that machine, of which nothing is asked but the numbers. A batch
    /// without rows or steps takes none.
    #[must_use]
    pub fn predict(&self, shape: Shape, work: Work, machine: &Machine) -> Prediction {
        let Shape { gates, input, hidden, projection, batch, steps } = shape;
        if [gates, hidden, batch, steps].contains(&0) {
            return Prediction::default();
        }
        let model = Model { machine, plan: self, cycle: 1.0 / machine.clock() };
        let output = shape.output();
        let training = work != Work::Infer;
        let unit_workers = if training || projection > 0 { 1 } else { self.unit_workers.min(hidden.div_ceil(KB)) };
        let row_workers = if unit_workers > 1 { 1 } else { self.row_workers };
        let mr = self.backward.mr;
        let rows = largest_share(batch, mr.min(batch.div_ceil(row_workers)), row_workers);
        let width = round_up(hidden);
        let units = largest_share(width, KB, unit_workers);
        let columns = gates * units;
        let [t, r] = [steps, rows].map(|n| n as f64);
        let bytes = |n: usize| 4.0 * n as f64;
        let cell = match gates {
            1 => 0,
            3 => 1,
            _ => 2,
        };
        let all = |own: f64| Sweep { own, all: own * unit_workers as f64 };
        let [w_ih, w_hh] = [input, output].map(|k| bytes(round_up(k)) * columns as f64);
        let chains = |k: usize| if k <= SHORT { fitted::SHORT_CHAINS } else { 1.0 };

        // Blocks of steps, each cut into blocks of rows.
        let block = self.time_block.min(steps);
        let at_once = (A_BLOCK / round_up(input).max(1)).max(1).next_multiple_of(mr);
        let sweep = all(w_ih + w_hh + bytes(rows * block) * (columns + input) as f64);
        let of = |rows: usize| if rows == 0 { 0.0 } else { model.product(rows, [input, columns], sweep, 1.0) };
        let blocks = (rows * block / at_once) as f64 * of(at_once) + of(rows * block % at_once);
        let pack = t * r * input as f64 / 8.0 * fitted::PACK[0] * model.cycle;

        // Where every step is projected by itself, its weights come between.
        let between = if block > 1 { 0.0 } else { w_ih };
        let sweep = all(w_hh + between + bytes(rows) * (columns + 2 * round_up(output)) as f64);
        let mut step = model.product(rows, [output, columns], sweep, chains(output)) + fitted::STEP * model.cycle;
        if projection > 0 {
            let w_hr = bytes(width) * round_up(projection) as f64;
            step += model.product(rows, [hidden, projection], all(w_hh + w_hr), chains(hidden));
        }
        // Values that are kept for the way back: of a GRU and an LSTM one more than gates.
        let kept = [0, 4, 5][cell];
        let stream = |values: usize| {
            let all = bytes(batch * hidden) * t * values as f64;
            fitted::KEPT * bytes(rows * units) * t * values as f64 / model.bandwidth(Sweep::shared(all))
        };
        let cells = t * r * (units / KB) as f64 * model.cycle;
        let mut prediction = Prediction {
            projection: blocks * t / block as f64 + pack,
            recurrence: t * step,
            cell: cells * fitted::CELL[cell] + if training { stream(kept) } else { 0.0 },
            sync: model.fork(row_workers.max(unit_workers)),
            call: fitted::CALL,
            ..Prediction::default()
        };
        if unit_workers > 1 {
            // Each looks at the others' turns one after the other, and takes their states over.
            let meeting = machine.round_trip / 2.0 * unit_workers as f64 + 2.0 * bytes(batch * hidden) / fitted::MAIL;
            prediction.sync += t * meeting;
        }
        let Work::Train { d_input } = work else { return prediction };

        let sweep = Sweep::shared(gates as f64 * bytes(width * round_up(output)) + bytes(rows * gates * hidden));
        let step = model.product(rows, [gates * hidden, output], sweep, chains(hidden)) + fitted::STEP * model.cycle;
        prediction.backward = t * step + cells * fitted::BACK_CELL[cell] + 2.0 * stream(kept + 2);
        prediction.sync += model.fork(row_workers);

        let workers = self.gradient_workers;
        let tokens = batch as f64 * t;
        let rows = largest_share(gates * hidden, mr, workers) as f64;
        let c = rows * (input + output) as f64;
        let passes = (tokens / self.backward.kc as f64).ceil();
        // Gates whose gradients lie side by side in both weights are multiplied together, and the right side is packed once
        // for them. A GRU's last gate has two gradients.
        let together = if hidden.is_multiple_of(KB) { [1, 2, 1][cell] } else { gates };
        let together = together.min((rows as usize).div_ceil(hidden)) as f64;
        let twice = if cell == 1 { 4.0 / 3.0 } else { 1.0 };
        let compute =
            2.0 * c * tokens / (machine.fma * fitted::TILES[0]) + passes * c / 16.0 * fitted::REGISTER * model.cycle;
        let in_and_out = passes * 8.0 * c / model.bandwidth(Sweep::shared(4.0 * c + 1e6));
        let left = tokens * rows / 8.0 * fitted::PACK[1] * twice;
        let right = together * tokens * (input + output) as f64 / 16.0 * fitted::PACK[2];
        // Once for each bias.
        let sums = 2.0 * tokens * rows / 16.0;
        prediction.weight_gradients = compute + in_and_out + (left + right + sums) * model.cycle;
        prediction.sync += model.fork(workers);
        if d_input {
            let rows = batch.saturating_mul(steps).div_ceil(workers);
            let w_ih = gates as f64 * bytes(width * round_up(input));
            let product = model.product(rows, [gates * hidden, input], Sweep::shared(w_ih), 1.0);
            prediction.d_input = product + rows as f64 * (gates * hidden) as f64 / 8.0 * fitted::PACK[0] * model.cycle;
            prediction.sync += model.fork(workers);
        }
        // Adam reads four values of each parameter and writes three; it and the packing are one thread's work. Both
        // weights are packed forward, W_hh (and W_ih where the input has a gradient) backward.
        let [w_ih, w_hh] = [input, output].map(|k| (gates * hidden) as f64 * k as f64);
        let parameters = w_ih + w_hh + (2 * gates * hidden) as f64 + (projection * hidden) as f64;
        let packed = parameters + w_hh + if d_input { w_ih } else { 0.0 };
        let bandwidth = |bytes: f64| model.bandwidth(Sweep::shared(bytes));
        let adam = 28.0 * parameters / bandwidth(28.0 * parameters);
        prediction.update = adam + 8.0 * packed / bandwidth(8.0 * packed) + fitted::TRAINING;
        prediction
    }
}

impl Prediction {
    /// What the loss of so many outputs adds.
    pub fn with_loss(mut self, outputs: f64, machine: &Machine) -> Self {
        self.update += outputs * fitted::LOSS / machine.clock();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Isa;
    use crate::parallel::Threads;

    const TRAIN: Work = Work::Train { d_input: true };

    fn shape(gates: usize, hidden: usize, batch: usize, steps: usize) -> Shape {
        Shape { gates, input: hidden, hidden, projection: 0, batch, steps }
    }

    fn predict(shape: Shape, work: Work, threads: usize) -> Prediction {
        predict_on(shape, work, threads, &Machine::default())
    }

    fn predict_on(shape: Shape, work: Work, threads: usize, machine: &Machine) -> Prediction {
        let plan = Plan::new(shape, Threads::new(threads).unwrap(), Isa::Avx512).unwrap();
        plan.predict(shape, work, machine)
    }

    #[test]
    fn parts_sum_to_the_whole_and_none_is_less_than_nothing() {
        for gates in [1, 3, 4] {
            for (hidden, batch, steps) in [(1, 1, 1), (16, 1, 49), (100, 7, 3), (512, 64, 100), (1024, 1, 50)] {
                for work in [Work::Infer, TRAIN] {
                    for threads in [1, 2, 64] {
                        let prediction = predict(shape(gates, hidden, batch, steps), work, threads);
                        let parts = prediction.parts();
                        assert!(parts.iter().all(|(_, s)| s.is_finite() && *s >= 0.0), "{prediction:?}");
                        assert_eq!(parts.iter().map(|(_, seconds)| seconds).sum::<f64>(), prediction.total());
                        assert_eq!(prediction.backward > 0.0, work == TRAIN);
                        let twice = (prediction + prediction).total() / (prediction * 2.0).total();
                        assert!((twice - 1.0).abs() < 1e-12);
                    }
                }
            }
        }
        assert_eq!(predict(shape(4, 8, 0, 5), TRAIN, 2), Prediction::default());
        assert_eq!(predict(shape(4, 8, 5, 0), TRAIN, 2), Prediction::default());
    }

    #[test]
    fn nothing_is_faster_than_the_peak() {
        for hidden in [64, 256, 1024] {
            for batch in [1, 5, 64] {
                for threads in [1, 2, 4] {
                    let shape = shape(4, hidden, batch, 50);
                    let time = predict(shape, Work::Infer, threads).total();
                    assert!(shape.flop() / time < Machine::default().fma * threads as f64, "{shape:?}");
                }
            }
        }
    }

    #[test]
    fn more_threads_are_never_slower_at_big_work() {
        for gates in [1, 3, 4] {
            for (hidden, batch) in [(256, 1), (512, 1), (1024, 1), (512, 8), (512, 64), (1024, 64), (256, 512)] {
                for work in [Work::Infer, TRAIN] {
                    let mut before = f64::INFINITY;
                    for threads in [1, 2, 4, 8, 16, 32, 64] {
                        let time = predict(shape(gates, hidden, batch, 100), work, threads).total();
                        assert!(time <= 1.02 * before, "{gates} {hidden} {batch} {work:?} {threads}: {time} {before}");
                        before = time;
                    }
                }
            }
        }
    }

    #[test]
    fn time_grows_with_steps_rows_units_and_gates() {
        for work in [Work::Infer, TRAIN] {
            for threads in [1, 2, 8] {
                let time =
                    |gates, hidden, batch, steps| predict(shape(gates, hidden, batch, steps), work, threads).total();
                for hidden in [16, 128, 512] {
                    for batch in [1, 8, 64] {
                        for steps in [5, 50, 500] {
                            let base = time(3, hidden, batch, steps);
                            let (less, more) = (time(1, hidden, batch, steps), time(4, hidden, batch, steps));
                            // More work may be worth more threads.
                            let same = threads == 1;
                            let text = format!("{less} {base} {more}: {hidden} {batch} {steps} {threads}");
                            assert!(!same || less < base && base < more, "{text}");
                            assert!(base < time(3, hidden, batch, 2 * steps));
                            assert!(base < time(3, hidden, 8 * batch, steps), "{hidden} {batch} {steps} {threads}");
                            assert!(base < time(3, 2 * hidden, batch, steps), "{hidden} {batch} {steps} {threads}");
                        }
                    }
                }
            }
        }
        let two = predict(shape(4, 256, 64, 200), Work::Infer, 1).total();
        let one = predict(shape(4, 256, 64, 100), Work::Infer, 1).total();
        assert!((two / one - 2.0).abs() < 0.02, "no more than twice the steps: {}", two / one);
    }

    #[test]
    fn a_better_machine_is_faster() {
        let known = Machine::default();
        let shape = shape(4, 1024, 1, 50);
        let time = |machine: Machine| predict_on(shape, TRAIN, 1, &machine).total();
        let base = time(known);
        assert!(time(Machine { fma: 2.0 * known.fma, ..known }) < base);
        assert!(time(Machine { bandwidth: known.bandwidth.map(|b| 2.0 * b), ..known }) < base);
        assert!(time(Machine { caches: [32 << 10, 2 << 20, 256 << 20], ..known }) < base);
    }

    #[test]
    fn a_first_layer_needs_no_gradient_of_its_input() {
        let prediction = predict(shape(4, 256, 64, 100), Work::Train { d_input: false }, 2);
        assert_eq!(prediction.d_input, 0.0);
        assert!(prediction.total() < predict(shape(4, 256, 64, 100), TRAIN, 2).total());
    }

    #[test]
    fn parts_are_told_in_words() {
        let text = predict(shape(1, 256, 64, 100), Work::Infer, 1).to_string();
        assert!(
            text.starts_with("projection ") && text.contains(" %, recurrence ") && !text.contains("backward"),
            "{text}"
        );
    }
}
