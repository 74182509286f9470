//! How fast does a layer run a sequence, on each tier and for 1 and 2 threads?
//!
//! Elements are floating-point operations, 2·G·B·T·H·(I + H): Gelem/s is GFLOP/s.

mod common;

use common::{CELLS, Layer, thread_counts};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use elman::Kernels;

fn forward(criterion: &mut Criterion) {
    for (name, cell) in CELLS {
        for (hidden, batch, steps) in [(64, 32, 100), (128, 64, 100), (256, 64, 100), (512, 64, 100), (128, 1, 100)] {
            let layer = Layer::new(cell, hidden, batch, steps);
            let mut group = criterion.benchmark_group(format!("{name} forward, H {hidden}, B {batch}, T {steps}"));
            group.throughput(Throughput::Elements(layer.shape.flop() as u64));
            for kernels in Kernels::available() {
                layer.check(kernels);
                let (packed, mut memory) = (layer.packed(kernels), layer.memory());
                for threads in thread_counts() {
                    let plan = layer.plan(kernels, threads);
                    group.bench_function(BenchmarkId::new(kernels.isa().name(), threads.get()), |bencher| {
                        bencher.iter(|| layer.infer(&packed, &plan, &mut memory));
                    });
                }
            }
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = forward
}
criterion_main!(benches);
