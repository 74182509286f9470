//! What share of the machine's arithmetic does a layer get, and how does that compare to its GEMMs alone in
//! `matrixmultiply`?
//!
//! No criterion here: the contestants take turns inside one run, as a shared machine is never twice the same, and the
//! figures are medians and shares of a peak that was measured in between. The forward pass counts 2·G·B·T·H·(I + H)
//! operations, training (forward and backward, without the gradient of the input) three times that.
//!
//!     cargo bench --bench roof [-- CELL...]

mod common;

use std::time::Instant;

use common::arguments::asked;
use common::{CELLS, Square, TRAIN, thread_counts};
use elman::Threads;
use elman::internals::fallback::{Extents, Strided, sgemm};
use elman::internals::{Kernels, Shape, Work};

fn main() {
    let (smoke, wanted) = asked("roof", "a cell", &CELLS.map(|(name, _)| name));
    let rounds = if smoke { 1 } else { 15 };
    let kernels = Kernels::active().unwrap_or_else(|error| panic!("{error}"));
    println!("{}, medians of {rounds} turns; GFLOP/s and share of the FMA peak measured in between", kernels.isa());
    println!(
        "{:>6} {:>8} {:>5} {:>5} {:>5} | {:>6} | {:>14} | {:>14} | {:>14}",
        "cell", "threads", "H", "B", "T", "peak", "forward", "train", "matrixmultiply"
    );
    for (name, cell) in CELLS.into_iter().filter(|(name, _)| wanted.contains(name)) {
        for threads in thread_counts() {
            for (hidden, batch, steps) in
                [(64, 32, 100), (128, 64, 100), (256, 64, 100), (512, 64, 100), (1024, 64, 50)]
            {
                if smoke && hidden > 64 {
                    continue;
                }
                measure(kernels, threads.get(), name, &Square::new(cell, hidden, batch, steps), rounds);
            }
        }
    }
}

fn measure(kernels: &'static Kernels, threads: usize, name: &str, layer: &Square, rounds: usize) {
    let Shape { hidden, batch, steps, .. } = layer.shape;
    layer.check(kernels);
    let (loaded, mut memory) = (layer.loaded(kernels), layer.memory());
    let [infer, train] =
        [Work::Infer, TRAIN].map(|work| layer.plan(work, kernels, Threads::new(threads).expect("at least one")));
    let mut times = [const { Vec::new() }; 4];
    // The first turn warms caches, scratch and clock, and is left out.
    for turn in 0..=rounds {
        let peak_time = time(|| spread(threads, |_| assert!(kernels.peak(2_000_000) > 0.0)));
        let peak = threads as f64 * kernels.peak(1) * 2_000_000.0 / peak_time;
        let forward = time(|| layer.infer(&loaded, &infer, &mut memory));
        let training = time(|| layer.train(&loaded, &train, &mut memory));
        let products = time(|| spread(threads, |worker| products(layer, batch / threads, worker)));
        if turn > 0 {
            let flop = layer.shape.flop();
            let speeds = [peak, flop / forward, 3.0 * flop / training, flop / products];
            times.iter_mut().zip(speeds).for_each(|(times, speed)| times.push(speed / 1e9));
        }
    }
    let [peak, forward, train, products] = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    });
    let share = |speed: f64| format!("{speed:.0} ({:.0} %)", 100.0 * speed / peak);
    println!(
        "{name:>6} {threads:>8} {hidden:>5} {batch:>5} {steps:>5} | {peak:>6.0} | {:>14} | {:>14} | {:>14}",
        share(forward),
        share(train),
        share(products),
    );
}

/// Seconds.
fn time(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

/// The work of each of one or two threads.
fn spread(threads: usize, work: impl Fn(usize) + Sync) {
    if threads == 1 {
        work(0);
    } else {
        rayon::join(|| work(0), || work(1));
    }
}

/// The layer's GEMMs and nothing else, for `rows` rows of the batch: the input part of all steps, then step by step.
fn products(layer: &Square, rows: usize, worker: usize) {
    let Shape { cell, input, hidden, batch, steps, .. } = layer.shape;
    let (weights, width) = (layer.weights(), cell.gates() * hidden);
    let transposed = |weight, k| Strided::columns(weight, k);
    // As in a batch of its own: all rows of the input lie together.
    let x: Vec<f32> = (0..steps)
        .flat_map(|t| &layer.data()[(t * batch + worker * rows) * input..][..rows * input])
        .copied()
        .collect();
    let mut z = vec![0.0; steps * rows * width];
    let x = Strided::rows(&x, input);
    sgemm(Extents { m: steps * rows, k: input, n: width }, x, transposed(weights.weight_ih, input), 0.0, &mut z, width);
    for t in 1..steps {
        let (before, z) = z.split_at_mut(t * rows * width);
        // The first H columns of the step before stand for h: any numbers take as long.
        let h = Strided::rows(&before[(t - 1) * rows * width..], width);
        sgemm(Extents { m: rows, k: hidden, n: width }, h, transposed(weights.weight_hh, hidden), 1.0, z, width);
    }
    assert_eq!(rows * (batch / rows), batch);
}
