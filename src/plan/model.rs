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

use super::{Cost, Machine, Plan, Shape, Work, fitted};
use crate::kernel::blocking::block_rows;
use crate::kernel::groups::group_sizes;
use crate::kernel::layout::{PANEL, Weight, whole_blocks, whole_panels};
use crate::kernel::product::Chains;

/// A machine that works on a shape by a plan.
struct CostModel<'a> {
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

impl CostModel<'_> {
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
        let weights = weight_bytes(whole_blocks(k)) * whole_panels(cols) as f64 / self.bandwidth(sweep);
        for (size, share) in group_sizes(self.plan.backward.mr).into_iter().zip(fitted::TILES) {
            let rows = (left / size * size) as f64;
            left %= size;
            if rows > 0.0 {
                let flop = 2.0 * rows * k as f64 * cols as f64;
                let registers = rows * (whole_panels(cols) / PANEL) as f64;
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

    /// Seconds until those have a share each who have been forked for a share before: a cache line goes to each of them, and
    /// one comes back.
    fn handed(&self, workers: usize) -> f64 {
        self.machine.round_trip * (workers.max(1) - 1) as f64
    }

    /// A meeting of workers by units: each looks at the others' turns one after the other, and takes over what they show, so
    /// many floats in all.
    fn meeting(&self, workers: usize, floats: usize) -> f64 {
        match workers {
            1 => 0.0,
            _ => self.machine.round_trip / 2.0 * workers as f64 + 2.0 * bytes(floats) / fitted::MAIL,
        }
    }

    /// Workers by units, and by rows: either is 1.
    fn workers(&self) -> [usize; 2] {
        match self.plan.unit_workers.min(self.shape.hidden.div_ceil(PANEL)) {
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
    fn forward(&self, work: Work) -> Cost {
        let Shape { cell, input, hidden, projection, batch, steps } = self.shape;
        let (output, width, mr) = (self.shape.output(), whole_panels(hidden), self.plan.backward.mr);
        let [unit_workers, row_workers] = self.workers();
        let rows = self.rows(row_workers);
        let units = largest_share(width, PANEL, unit_workers);
        let columns = cell.gates() * units;
        let [t, r] = [steps, rows].map(|n| n as f64);
        let all = |own: f64| Sweep { own, all: own * unit_workers as f64 };
        let [w_ih, w_hh] = [input, output].map(|k| weight_bytes(whole_blocks(k)) * columns as f64);

        // Blocks of steps, each cut into blocks of rows.
        let block = self.plan.time_block.min(steps);
        let at_once = block_rows(whole_blocks(input), mr);
        let sweep = all(w_ih + w_hh + bytes(rows * block) * (columns + input) as f64);
        let of = |rows: usize| if rows == 0 { 0.0 } else { self.product(rows, [input, columns], sweep, 1.0) };
        let blocks = (rows * block / at_once) as f64 * of(at_once) + of(rows * block % at_once);
        let pack = t * r * input as f64 / 8.0 * fitted::PACK[0] * self.cycle;

        // Where the input part of every step is made by itself, its weights come between.
        let between = if block > 1 { 0.0 } else { w_ih };
        let sweep = all(w_hh + between + bytes(rows) * (columns + 2 * whole_blocks(output)) as f64);
        let mut step = self.product(rows, [output, columns], sweep, self.chains(output)) + fitted::STEP * self.cycle;
        if projection > 0 {
            let w_hr = weight_bytes(width) * whole_panels(projection) as f64;
            step += self.product(rows, [hidden, projection], all(w_hh + w_hr), self.chains(hidden));
        }
        let cells = t * r * (units / PANEL) as f64 * self.cycle * fitted::cell(cell)[0];
        let tape = if work == Work::Infer { 0.0 } else { self.tape(rows, units, self.kept()) };
        let sync = self.fork(row_workers.max(unit_workers)) + t * self.meeting(unit_workers, batch * hidden);
        Cost {
            input: blocks * t / block as f64 + pack,
            recurrence: t * step,
            cell: cells + tape,
            sync,
            call: fitted::CALL,
            ..Cost::default()
        }
    }

    /// The recurrence backward.
    fn backward(&self) -> Cost {
        let Shape { cell, hidden, batch, steps, .. } = self.shape;
        let (output, width, gates) = (self.shape.output(), whole_panels(hidden), cell.gates());
        let [unit_workers, row_workers] = self.workers();
        let rows = self.rows(row_workers);
        let t = steps as f64;
        let (units, outputs) = match unit_workers {
            1 => (width, output),
            workers => (largest_share(width, PANEL, workers), largest_share(width, PANEL, workers)),
        };
        let own = gates as f64 * weight_bytes(width * whole_panels(outputs)) + bytes(rows * gates * hidden);
        let sweep = Sweep { own, all: own * unit_workers as f64 };
        let step =
            self.product(rows, [gates * hidden, outputs], sweep, self.chains(hidden)) + fitted::STEP * self.cycle;
        let cells = t * rows as f64 * (units / PANEL) as f64 * self.cycle * fitted::cell(cell)[1];
        let tape = 2.0 * self.tape(rows, units, self.kept() + 2);
        let meetings = t * self.meeting(unit_workers, gates * batch * hidden);
        let sync = self.handed(row_workers.max(unit_workers)) + meetings;
        Cost { backward: t * step + cells + tape, sync, ..Cost::default() }
    }

    /// The gradients of the weights, and of the input where that is wanted.
    fn gradients(&self, d_input: bool) -> Cost {
        let Shape { cell, input, hidden, batch, steps, .. } = self.shape;
        let (output, width, gates) = (self.shape.output(), whole_panels(hidden), cell.gates());
        let (workers, mr) = (self.plan.gradient_workers, self.plan.backward.mr);
        let tokens = batch as f64 * steps as f64;
        let rows = largest_share(gates * hidden, mr, workers) as f64;
        let c = rows * (input + output) as f64;
        let passes = (tokens / self.plan.backward.kc as f64).ceil();
        // Gates whose gradients lie side by side in both weights are multiplied together, and the right side is laid
        // out once for them. A last gate that stays apart has two gradients.
        let apart = usize::from(cell.facts().last_apart);
        let together = if hidden.is_multiple_of(PANEL) { gates - apart } else { 1 };
        let parts = gates.div_ceil(together).min((rows as usize).div_ceil(hidden)) as f64;
        let twice = 1.0 + apart as f64 / gates as f64;
        let compute = 2.0 * c * tokens / (self.machine.fma * fitted::TILES[0])
            + passes * c / 16.0 * fitted::REGISTER * self.cycle;
        let in_and_out = passes * 2.0 * FLOAT * c / self.bandwidth(Sweep::shared(FLOAT * c + 1e6));
        let left = tokens * rows / 8.0 * fitted::PACK[1] * twice;
        let right = parts * tokens * (input + output) as f64 / 16.0 * fitted::PACK[2];
        // Both biases have the same gradient, but that of a gate that stays apart.
        let sums = tokens * rows / 16.0 * twice;
        let mut prediction = Cost {
            weight_gradients: compute + in_and_out + (left + right + sums) * self.cycle,
            sync: self.handed(workers),
            ..Cost::default()
        };
        if d_input {
            let rows = batch.saturating_mul(steps).div_ceil(workers);
            let w_ih = gates as f64 * weight_bytes(width * whole_panels(input));
            let product = self.product(rows, [gates * hidden, input], Sweep::shared(w_ih), 1.0);
            prediction.d_input = product + rows as f64 * (gates * hidden) as f64 / 8.0 * fitted::PACK[0] * self.cycle;
            prediction.sync += self.handed(workers);
        }
        prediction
    }

    /// A step of Adam, which reads four values of each parameter and writes three, and laying the weights out: shared as the
    /// gradients are. Both weights are laid out forward, W_hh (and W_ih where the input has a gradient) backward.
    fn update(&self, d_input: bool) -> Cost {
        let Shape { cell, input, hidden, projection, .. } = self.shape;
        let rows = cell.gates() * hidden;
        let [w_ih, w_hh] = [input, self.shape.output()].map(|k| rows as f64 * k as f64);
        let parameters = w_ih + w_hh + (2 * rows) as f64 + (projection * hidden) as f64;
        let laid_out = parameters + w_hh + if d_input { w_ih } else { 0.0 };
        let workers = self.plan.gradient_workers as f64;
        let seconds = |bytes: f64| bytes / workers / self.bandwidth(Sweep { own: bytes / workers, all: bytes });
        let [adam, packing] = [7.0 * FLOAT * parameters, (FLOAT + WEIGHT) * laid_out].map(seconds);
        let update = adam + packing + fitted::TRAINING;
        Cost { update, ..Cost::default() }
    }
}

/// Bytes of a float, and of a weight as products read it.
const FLOAT: f64 = size_of::<f32>() as f64;
const WEIGHT: f64 = size_of::<Weight>() as f64;

/// Of so many floats.
fn bytes(n: usize) -> f64 {
    FLOAT * n as f64
}

/// Of so many weights.
fn weight_bytes(n: usize) -> f64 {
    WEIGHT * n as f64
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
    pub fn predict(&self, shape: Shape, work: Work, machine: &Machine) -> Cost {
        if [shape.hidden, shape.batch, shape.steps].contains(&0) {
            return Cost::default();
        }
        let plan = &self.for_shape(shape);
        let model = CostModel { machine, plan, shape, cycle: 1.0 / machine.clock() };
        let forward = model.forward(work);
        match work {
            Work::Infer => forward,
            Work::Train { d_input } => forward + model.backward() + model.gradients(d_input) + model.update(d_input),
        }
    }
}

#[cfg(test)]
mod tests;
