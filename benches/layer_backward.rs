//! How fast is a layer in training, forward and back, on each tier and for 1 and 2 threads?
//!
//! Elements are floating-point operations, three times those of the forward pass: the gradient of the input, which a first
//! layer does not need, is counted and not computed.

mod common;

use common::{CELLS, Layer, thread_counts};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use elman::Kernels;

fn backward(criterion: &mut Criterion) {
    for (name, cell) in CELLS {
        for (hidden, batch, steps) in [(64, 32, 100), (128, 64, 100), (256, 64, 100), (512, 64, 100)] {
            let layer = Layer::new(cell, hidden, batch, steps);
            let mut group = criterion.benchmark_group(format!("{name} training, H {hidden}, B {batch}, T {steps}"));
            group.throughput(Throughput::Elements((layer.shape.flop() * 3.0) as u64));
            for kernels in Kernels::available() {
                layer.check(kernels);
                let (packed, mut memory) = (layer.packed(kernels), layer.memory());
                for threads in thread_counts() {
                    let plan = layer.plan(kernels, threads);
                    group.bench_function(BenchmarkId::new(kernels.isa().name(), threads.get()), |bencher| {
                        bencher.iter(|| layer.train(&packed, &plan, &mut memory));
                    });
                }
            }
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = backward
}
criterion_main!(benches);
