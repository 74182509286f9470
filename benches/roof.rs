//! What share of the machine's arithmetic does an Elman layer get, and how does that compare to its GEMMs alone in
//! `matrixmultiply`?
//!
//! No criterion here: the contestants take turns inside one run, as a shared machine is never twice the same, and the
//! figures are medians and shares of a peak that was measured in between. The forward pass counts 2·B·T·H·(I + H)
//! operations, training three times that.

mod common;

use std::time::Instant;

use common::{Layer, thread_counts};
use elman::cell::{ElmanBackwardPass, ElmanGradients, ElmanScratch};
use elman::gemm::fallback::{Strided, sgemm};
use elman::tensor::Seq;
use elman::{Kernels, Shape, Threads};

fn main() {
    // `cargo bench -- --test` only asks whether everything runs.
    let smoke = std::env::args().any(|arg| arg == "--test");
    let rounds = if smoke { 1 } else { 15 };
    let kernels = Kernels::active().unwrap_or_else(|error| panic!("{error}"));
    println!("{}, medians of {rounds} turns; GFLOP/s and share of the FMA peak measured in between", kernels.isa());
    println!(
        "{:>8} {:>5} {:>5} {:>5} | {:>6} | {:>14} | {:>14} | {:>14}",
        "threads", "H", "B", "T", "peak", "forward", "train", "matrixmultiply"
    );
    for threads in thread_counts() {
        for (hidden, batch, steps) in [(64, 32, 100), (128, 64, 100), (256, 64, 100), (512, 64, 100), (1024, 64, 50)] {
            if smoke && hidden > 128 {
                continue;
            }
            measure(kernels, threads.get(), &Layer::new(hidden, batch, steps), rounds);
        }
    }
}

fn measure(kernels: &'static Kernels, threads: usize, layer: &Layer, rounds: usize) {
    let Shape { hidden, batch, steps, .. } = layer.shape;
    let cell = layer.cell(kernels);
    let plan = cell.plan(steps, batch, Threads::new(threads).expect("at least one")).expect("a small sequence");
    let mut scratch = ElmanScratch::default();
    let mut y = Seq::zeros(steps, batch, hidden).expect("a small sequence");
    let mut d_y = y.clone();
    d_y.data_mut().fill(1e-3);
    let mut gradients = [vec![0.0; hidden * hidden], vec![0.0; hidden * hidden], vec![0.0; hidden], vec![0.0; hidden]];
    let mut other = y.clone();

    cell.forward(&plan, layer.x(), None, y.view_mut(), &mut scratch).expect("shapes that fit");
    layer.check(kernels, &y);
    let mut times = [const { Vec::new() }; 4];
    // The first turn warms caches, scratch and clock, and is left out.
    for turn in 0..=rounds {
        let peak_time = time(|| spread(threads, |_| assert!(kernels.peak(2_000_000) > 0.0)));
        let peak = threads as f64 * kernels.peak(1) * 2_000_000.0 / peak_time;
        let forward =
            time(|| cell.forward(&plan, layer.x(), None, y.view_mut(), &mut scratch).expect("shapes that fit"));
        let backward = time(|| {
            let [d_weight_ih, d_weight_hh, ih, hh] = &mut gradients;
            let pass = ElmanBackwardPass {
                weights: layer.weights(),
                x: layer.x(),
                h_0: None,
                y: y.view(),
                d_y: d_y.view(),
                d_h_n: None,
                gradients: ElmanGradients { d_weight_ih, d_weight_hh, d_bias: Some([ih, hh]) },
                d_x: Some(other.view_mut()),
                d_h_0: None,
            };
            cell.backward(&plan, pass, &mut scratch).expect("shapes that fit");
        });
        let products = time(|| spread(threads, |worker| products(layer, batch / threads, worker)));
        if turn > 0 {
            let flop = layer.shape.flop();
            let speeds = [peak, flop / forward, 3.0 * flop / (forward + backward), flop / products];
            times.iter_mut().zip(speeds).for_each(|(times, speed)| times.push(speed / 1e9));
        }
    }
    let [peak, forward, train, products] = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    });
    let share = |speed: f64| format!("{speed:.0} ({:.0} %)", 100.0 * speed / peak);
    println!(
        "{threads:>8} {hidden:>5} {batch:>5} {steps:>5} | {peak:>6.0} | {:>14} | {:>14} | {:>14}",
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

/// The layer's GEMMs and nothing else, for `rows` rows of the batch: the projection of all steps, then step by step.
fn products(layer: &Layer, rows: usize, worker: usize) {
    let Shape { input, hidden, batch, steps } = layer.shape;
    let weights = layer.weights();
    let transposed = |weight, k| Strided { data: weight, strides: (1, k) };
    let x = layer.x().rows(worker * rows, rows);
    // As in a batch of its own: all rows of the projection lie together.
    let x: Vec<f32> = (0..steps).flat_map(|t| x.step(t).iter().copied()).collect();
    let mut y = vec![0.0; steps * rows * hidden];
    let x = Strided { data: &x, strides: (input, 1) };
    sgemm((steps * rows, input, hidden), x, transposed(weights.weight_ih, input), 0.0, &mut y, hidden);
    for t in 1..steps {
        let (before, y) = y.split_at_mut(t * rows * hidden);
        let h = Strided { data: &before[(t - 1) * rows * hidden..], strides: (hidden, 1) };
        sgemm((rows, hidden, hidden), h, transposed(weights.weight_hh, hidden), 1.0, y, hidden);
    }
    assert_eq!(rows * (batch / rows), batch);
}
