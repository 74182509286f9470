//! How fast does a layer run a sequence, forward and in training, on each tier and for 1 and 2 threads?
//!
//! Elements are floating-point operations, so that Gelem/s is GFLOP/s: 2·G·B·T·H·(I + H) forward, and three times that in
//! training, forward and back: the gradient of the input, which a first layer does not need, is counted and not computed.

mod common;

use common::{CELLS, Square, TRAIN, thread_counts};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use elman::internals::{Kernels, Work};

/// H, B, T of batches.
const BATCHES: [[usize; 3]; 5] = [[64, 32, 100], [128, 64, 100], [256, 64, 100], [512, 64, 100], [1024, 64, 50]];
/// Forward only: a wide layer with few rows a thread, a tall batch, a long sequence of few rows, and one row.
const OTHERS: [[usize; 3]; 7] =
    [[1760, 32, 10], [128, 1024, 50], [256, 8, 1000], [128, 1, 100], [256, 1, 100], [512, 1, 100], [1024, 1, 50]];

fn forward(criterion: &mut Criterion) {
    each(criterion, "forward", &BATCHES, Work::Infer);
    each(criterion, "forward", &OTHERS, Work::Infer);
}

fn training(criterion: &mut Criterion) {
    each(criterion, "training", &BATCHES, TRAIN);
}

/// `work` for every cell, shape, tier and number of threads.
fn each(criterion: &mut Criterion, what: &str, shapes: &[[usize; 3]], work: Work) {
    // Times the work of a forward pass.
    let times = if work == Work::Infer { 1.0 } else { 3.0 };
    let pass = if work == Work::Infer { Square::infer } else { Square::train };
    // With `--test` criterion runs everything once, to see that it runs; of whole sequences that would take minutes.
    let smoke = std::env::args().any(|argument| argument == "--test");
    for (name, cell) in CELLS {
        for &[hidden, batch, steps] in shapes {
            let steps = if smoke { steps.min(2) } else { steps };
            let layer = Square::new(cell, hidden, batch, steps);
            let mut group = criterion.benchmark_group(format!("{name} {what}, H {hidden}, B {batch}, T {steps}"));
            group.throughput(Throughput::Elements((layer.shape.flop() * times) as u64));
            for kernels in Kernels::available() {
                layer.check(kernels);
                let (loaded, mut memory) = (layer.loaded(kernels), layer.memory());
                for threads in thread_counts() {
                    let plan = layer.plan(work, kernels, threads);
                    group.bench_function(BenchmarkId::new(kernels.isa().name(), threads.get()), |bencher| {
                        bencher.iter(|| pass(&layer, &loaded, &plan, &mut memory));
                    });
                }
            }
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = forward, training
}
criterion_main!(benches);
