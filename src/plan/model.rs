//! How long a schedule takes, from first principles: operations over the peak, bytes over the bandwidth of the level they
//! live in, cells by the vector, meetings by the trip. Nothing is run.
//!
//! ```text
//! a product of r rows:   for each size M of its groups of rows: max(compute, weights)
//!                        compute = operations / (peak · what tiles of M rows get of it) + the tiles' starts and ends
//!                        weights = bytes / bandwidth of where they live when they are swept again and again
//! a worker forward:      T/block products of the input part, T products of the recurrence, T·r·H cells
//! a worker backward:     T products of d_z·W_hh, T·r·H cells, the gates' way through memory
//! weight gradients:      2·T·B·G·H·(I + O) operations, packing of both operands, C in and out once a block of k
//! ```
//!
//! The longest share of the work counts, as the others wait for it. What no manual says was fitted to `elman bench` on two
//! cores of an AMD EPYC (Zen 4, AVX-512): 55 rows of its table on one thread and 17 on two, the quieter of two runs. Half
//! of them are within 6 %, nine in ten within 24 %; rows whose weights do not all stay in L3 are worst, as they depend on
//! the neighbours.
//! `cargo bench --bench prediction` says how well it still holds. Predicted are a quiet machine and warm caches.

use super::{Machine, Plan, Prediction, Shape, Work, fitted};
use crate::kernel::blocking::block_rows;
use crate::kernel::gemm::Chains;
use crate::kernel::groups::group_sizes;
use crate::kernel::layout::{KB, round_up};

/// A machine that works on a shape by a plan.
struct Model<'a> {
    machine: &'a Machine,
    plan: &'a Plan,
    shape: Shape,
    /// Seconds of a cycle.
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

    /// Seconds until `workers` run: every fork doubles their number.
    fn fork(&self, workers: usize) -> f64 {
        self.machine.fork * (workers.max(1) as f64).log2()
    }

    /// Workers by units, and by rows: either is 1.
    fn workers(&self) -> [usize; 2] {
        match self.plan.unit_workers.min(self.shape.hidden.div_ceil(KB)) {
            0 | 1 => [1, self.plan.row_workers],
            units => [units, 1],
        }
    }

    /// The rows of the largest share.
    fn rows(&self, workers: usize) -> usize {
        let batch = self.shape.batch;
        largest_share(batch, self.plan.backward.mr.min(batch.div_ceil(workers)), workers)
    }

    /// What is written for the backward pass, or read by it: so many values a unit of `rows` rows and `units` units.
    fn tape(&self, rows: usize, units: usize, values: usize) -> f64 {
        let Shape { hidden, batch, steps, .. } = self.shape;
        let all = bytes(batch * hidden) * steps as f64 * values as f64;
        fitted::KEPT * bytes(rows * units) * steps as f64 * values as f64 / self.bandwidth(Sweep::shared(all))
    }

    /// Values a unit that are kept for the backward pass.
    fn kept(&self) -> usize {
        let facts = self.shape.cell.facts();
        facts.kept + usize::from(facts.has_cell_state())
    }

    /// The share of the peak that a recurrence over `k` has left.
    fn chains(&self, k: usize) -> f64 {
        match Chains::over(k) {
            Chains::Four => fitted::SHORT_CHAINS,
            Chains::One => 1.0,
        }
    }

    /// The forward pass.
    fn forward(&self, work: Work) -> Prediction {
        let Shape { cell, input, hidden, projection, batch, steps } = self.shape;
        let (output, width, mr) = (self.shape.output(), round_up(hidden), self.plan.backward.mr);
        let [unit_workers, row_workers] = self.workers();
        let rows = self.rows(row_workers);
        let units = largest_share(width, KB, unit_workers);
        let columns = cell.gates() * units;
        let [t, r] = [steps, rows].map(|n| n as f64);
        let all = |own: f64| Sweep { own, all: own * unit_workers as f64 };
        let [w_ih, w_hh] = [input, output].map(|k| bytes(round_up(k)) * columns as f64);

        // Blocks of steps, each cut into blocks of rows.
        let block = self.plan.time_block.min(steps);
        let at_once = block_rows(round_up(input), mr);
        let sweep = all(w_ih + w_hh + bytes(rows * block) * (columns + input) as f64);
        let of = |rows: usize| if rows == 0 { 0.0 } else { self.product(rows, [input, columns], sweep, 1.0) };
        let blocks = (rows * block / at_once) as f64 * of(at_once) + of(rows * block % at_once);
        let pack = t * r * input as f64 / 8.0 * fitted::PACK[0] * self.cycle;

        // Where the input part of every step is made by itself, its weights come between.
        let between = if block > 1 { 0.0 } else { w_ih };
        let sweep = all(w_hh + between + bytes(rows) * (columns + 2 * round_up(output)) as f64);
        let mut step = self.product(rows, [output, columns], sweep, self.chains(output)) + fitted::STEP * self.cycle;
        if projection > 0 {
            let w_hr = bytes(width) * round_up(projection) as f64;
            step += self.product(rows, [hidden, projection], all(w_hh + w_hr), self.chains(hidden));
        }
        let cells = t * r * (units / KB) as f64 * self.cycle * fitted::cell(cell)[0];
        let tape = if work == Work::Infer { 0.0 } else { self.tape(rows, units, self.kept()) };
        let mut sync = self.fork(row_workers.max(unit_workers));
        if unit_workers > 1 {
            // Each looks at the others' turns one after the other, and takes their states over.
            let meeting =
                self.machine.round_trip / 2.0 * unit_workers as f64 + 2.0 * bytes(batch * hidden) / fitted::MAIL;
            sync += t * meeting;
        }
        Prediction {
            input: blocks * t / block as f64 + pack,
            recurrence: t * step,
            cell: cells + tape,
            sync,
            call: fitted::CALL,
            ..Prediction::default()
        }
    }

    /// The recurrence backward. Its workers own rows.
    fn backward(&self) -> Prediction {
        let Shape { cell, hidden, steps, .. } = self.shape;
        let (output, width, gates) = (self.shape.output(), round_up(hidden), cell.gates());
        let row_workers = self.plan.row_workers;
        let rows = self.rows(row_workers);
        let t = steps as f64;
        let sweep = Sweep::shared(gates as f64 * bytes(width * round_up(output)) + bytes(rows * gates * hidden));
        let step = self.product(rows, [gates * hidden, output], sweep, self.chains(hidden)) + fitted::STEP * self.cycle;
        let cells = t * rows as f64 * (width / KB) as f64 * self.cycle * fitted::cell(cell)[1];
        let tape = 2.0 * self.tape(rows, width, self.kept() + 2);
        Prediction { backward: t * step + cells + tape, sync: self.fork(row_workers), ..Prediction::default() }
    }

    /// The gradients of the weights, and of the input where that is wanted.
    fn gradients(&self, d_input: bool) -> Prediction {
        let Shape { cell, input, hidden, batch, steps, .. } = self.shape;
        let (output, width, gates) = (self.shape.output(), round_up(hidden), cell.gates());
        let (workers, mr) = (self.plan.gradient_workers, self.plan.backward.mr);
        let tokens = batch as f64 * steps as f64;
        let rows = largest_share(gates * hidden, mr, workers) as f64;
        let c = rows * (input + output) as f64;
        let passes = (tokens / self.plan.backward.kc as f64).ceil();
        // Gates whose gradients lie side by side in both weights are multiplied together, and the right side is laid
        // out once for them. A last gate that stays apart has two gradients.
        let apart = usize::from(cell.facts().last_apart);
        let together = if hidden.is_multiple_of(KB) { gates - apart } else { 1 };
        let parts = gates.div_ceil(together).min((rows as usize).div_ceil(hidden)) as f64;
        let twice = 1.0 + apart as f64 / gates as f64;
        let compute = 2.0 * c * tokens / (self.machine.fma * fitted::TILES[0])
            + passes * c / 16.0 * fitted::REGISTER * self.cycle;
        let in_and_out = passes * 8.0 * c / self.bandwidth(Sweep::shared(4.0 * c + 1e6));
        let left = tokens * rows / 8.0 * fitted::PACK[1] * twice;
        let right = parts * tokens * (input + output) as f64 / 16.0 * fitted::PACK[2];
        // Both biases have the same gradient, but that of a gate that stays apart.
        let sums = tokens * rows / 16.0 * twice;
        let mut prediction = Prediction {
            weight_gradients: compute + in_and_out + (left + right + sums) * self.cycle,
            sync: self.fork(workers),
            ..Prediction::default()
        };
        if d_input {
            let rows = batch.saturating_mul(steps).div_ceil(workers);
            let w_ih = gates as f64 * bytes(width * round_up(input));
            let product = self.product(rows, [gates * hidden, input], Sweep::shared(w_ih), 1.0);
            prediction.d_input = product + rows as f64 * (gates * hidden) as f64 / 8.0 * fitted::PACK[0] * self.cycle;
            prediction.sync += self.fork(workers);
        }
        prediction
    }

    /// A step of Adam, which reads four values of each parameter and writes three, and laying the weights out: both are one
    /// thread's work. Both weights are laid out forward, W_hh (and W_ih where the input has a gradient) backward.
    fn update(&self, d_input: bool) -> Prediction {
        let Shape { cell, input, hidden, projection, .. } = self.shape;
        let rows = cell.gates() * hidden;
        let [w_ih, w_hh] = [input, self.shape.output()].map(|k| rows as f64 * k as f64);
        let parameters = w_ih + w_hh + (2 * rows) as f64 + (projection * hidden) as f64;
        let laid_out = parameters + w_hh + if d_input { w_ih } else { 0.0 };
        let bandwidth = |bytes: f64| self.bandwidth(Sweep::shared(bytes));
        let adam = 28.0 * parameters / bandwidth(28.0 * parameters);
        let update = adam + 8.0 * laid_out / bandwidth(8.0 * laid_out) + fitted::TRAINING;
        Prediction { update, ..Prediction::default() }
    }
}

/// Of so many floats.
fn bytes(n: usize) -> f64 {
    4.0 * n as f64
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
        if [shape.hidden, shape.batch, shape.steps].contains(&0) {
            return Prediction::default();
        }
        let plan = &self.for_work(shape, work);
        let model = Model { machine, plan, shape, cycle: 1.0 / machine.clock() };
        let forward = model.forward(work);
        match work {
            Work::Infer => forward,
            Work::Train { d_input } => forward + model.backward() + model.gradients(d_input) + model.update(d_input),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Isa;
    use crate::kernel::cell::{Cell, Nonlinearity};
    use crate::parallel::Threads;

    const TRAIN: Work = Work::Train { d_input: true };

    const ELMAN: Cell = Cell::Elman(Nonlinearity::Tanh);
    const CELLS: [Cell; 3] = [ELMAN, Cell::Gru, Cell::Lstm];

    fn shape(cell: Cell, hidden: usize, batch: usize, steps: usize) -> Shape {
        Shape { cell, input: hidden, hidden, projection: 0, batch, steps }
    }

    fn predict(shape: Shape, work: Work, threads: usize) -> Prediction {
        predict_on(shape, work, threads, &Machine::default())
    }

    fn predict_on(shape: Shape, work: Work, threads: usize, machine: &Machine) -> Prediction {
        let plan = Plan::new(shape, work, Threads::new(threads).unwrap(), Isa::Avx512);
        plan.predict(shape, work, machine)
    }

    #[test]
    fn parts_sum_to_the_whole_and_none_is_less_than_nothing() {
        for cell in CELLS {
            for (hidden, batch, steps) in [(1, 1, 1), (16, 1, 49), (100, 7, 3), (512, 64, 100), (1024, 1, 50)] {
                for work in [Work::Infer, TRAIN] {
                    for threads in [1, 2, 64] {
                        let prediction = predict(shape(cell, hidden, batch, steps), work, threads);
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
        assert_eq!(predict(shape(Cell::Lstm, 8, 0, 5), TRAIN, 2), Prediction::default());
        assert_eq!(predict(shape(Cell::Lstm, 8, 5, 0), TRAIN, 2), Prediction::default());
    }

    #[test]
    fn nothing_is_faster_than_the_peak() {
        for hidden in [64, 256, 1024] {
            for batch in [1, 5, 64] {
                for threads in [1, 2, 4] {
                    let shape = shape(Cell::Lstm, hidden, batch, 50);
                    let time = predict(shape, Work::Infer, threads).total();
                    assert!(shape.flop() / time < Machine::default().fma * threads as f64, "{shape:?}");
                }
            }
        }
    }

    #[test]
    fn more_threads_are_never_slower_at_big_work() {
        for cell in CELLS {
            for (hidden, batch) in [(256, 1), (512, 1), (1024, 1), (512, 8), (512, 64), (1024, 64), (256, 512)] {
                for work in [Work::Infer, TRAIN] {
                    let mut before = f64::INFINITY;
                    for threads in [1, 2, 4, 8, 16, 32, 64] {
                        let time = predict(shape(cell, hidden, batch, 100), work, threads).total();
                        assert!(time <= 1.02 * before, "{cell:?} {hidden} {batch} {work:?} {threads}: {time} {before}");
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
                    |cell, hidden, batch, steps| predict(shape(cell, hidden, batch, steps), work, threads).total();
                for hidden in [16, 128, 512] {
                    for batch in [1, 8, 64] {
                        for steps in [5, 50, 500] {
                            let base = time(Cell::Gru, hidden, batch, steps);
                            let (less, more) =
                                (time(ELMAN, hidden, batch, steps), time(Cell::Lstm, hidden, batch, steps));
                            // More work may be worth more threads.
                            let same = threads == 1;
                            let text = format!("{less} {base} {more}: {hidden} {batch} {steps} {threads}");
                            assert!(!same || less < base && base < more, "{text}");
                            assert!(base < time(Cell::Gru, hidden, batch, 2 * steps));
                            assert!(
                                base < time(Cell::Gru, hidden, 8 * batch, steps),
                                "{hidden} {batch} {steps} {threads}"
                            );
                            assert!(
                                base < time(Cell::Gru, 2 * hidden, batch, steps),
                                "{hidden} {batch} {steps} {threads}"
                            );
                        }
                    }
                }
            }
        }
        let two = predict(shape(Cell::Lstm, 256, 64, 200), Work::Infer, 1).total();
        let one = predict(shape(Cell::Lstm, 256, 64, 100), Work::Infer, 1).total();
        assert!((two / one - 2.0).abs() < 0.02, "no more than twice the steps: {}", two / one);
    }

    #[test]
    fn a_better_machine_is_faster() {
        let known = Machine::default();
        let shape = shape(Cell::Lstm, 1024, 1, 50);
        let time = |machine: Machine| predict_on(shape, TRAIN, 1, &machine).total();
        let base = time(known);
        assert!(time(Machine { fma: 2.0 * known.fma, ..known }) < base);
        assert!(time(Machine { bandwidth: known.bandwidth.map(|b| 2.0 * b), ..known }) < base);
        assert!(time(Machine { caches: [32 << 10, 2 << 20, 256 << 20], ..known }) < base);
    }

    /// A limit that no prediction reads is asked for in vain.
    #[test]
    fn every_limit_of_a_machine_counts() {
        let known = Machine::default();
        // Named one by one, so that a new limit has to be tried here too.
        let Machine { fma, bandwidth, caches, fork, round_trip } = known;
        let mut others = vec![
            Machine { fma: 2.0 * fma, ..known },
            Machine { fork: 2.0 * fork, ..known },
            Machine { round_trip: 2.0 * round_trip, ..known },
        ];
        for level in 0..bandwidth.len() {
            let mut bandwidth = bandwidth;
            bandwidth[level] *= 2.0;
            others.push(Machine { bandwidth, ..known });
        }
        for level in 0..caches.len() {
            let mut caches = caches;
            caches[level] *= 2;
            others.push(Machine { caches, ..known });
        }
        let times = |machine: &Machine| {
            let shapes = [[64, 8], [256, 64], [1024, 1], [2048, 64]];
            shapes.map(|[hidden, batch]| {
                predict_on(shape(Cell::Lstm, hidden, batch, 50), Work::Infer, 2, machine).total()
            })
        };
        for other in others {
            assert_ne!(times(&other), times(&known), "{other:?}");
        }
    }

    #[test]
    fn a_first_layer_needs_no_gradient_of_its_input() {
        let prediction = predict(shape(Cell::Lstm, 256, 64, 100), Work::Train { d_input: false }, 2);
        assert_eq!(prediction.d_input, 0.0);
        assert!(prediction.total() < predict(shape(Cell::Lstm, 256, 64, 100), TRAIN, 2).total());
    }

    #[test]
    fn parts_are_told_in_words() {
        let text = predict(shape(ELMAN, 256, 64, 100), Work::Infer, 1).to_string();
        assert!(text.starts_with("input ") && text.contains(" %, recurrence ") && !text.contains("backward"), "{text}");
    }
}
