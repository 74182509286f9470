//! How fast does an Elman layer run a sequence, on each tier and for 1 and 2 threads, beside its GEMMs alone?
//!
//! Elements are floating-point operations, 2·B·T·H·(I + H): Gelem/s is GFLOP/s. `matrixmultiply` does the same two
//! products, all steps' projection at once and one recurrent product a step, on one thread and without the activation.

mod common;

use common::{Layer, thread_counts};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use elman::cell::ElmanScratch;
use elman::gemm::fallback::{Strided, sgemm};
use elman::tensor::Seq;
use elman::{Kernels, Shape};

fn forward(criterion: &mut Criterion) {
    for (hidden, batch, steps) in
        [(64, 32, 100), (128, 64, 100), (256, 64, 100), (512, 64, 100), (128, 1, 100), (16, 1, 49)]
    {
        let layer = Layer::new(hidden, batch, steps);
        let mut group = criterion.benchmark_group(format!("forward H {hidden}, B {batch}, T {steps}"));
        group.throughput(Throughput::Elements(layer.shape.flop() as u64));
        let mut y = Seq::zeros(steps, batch, hidden).expect("a small sequence");
        for kernels in Kernels::available() {
            let cell = layer.cell(kernels);
            for threads in thread_counts() {
                let plan = cell.plan(steps, batch, threads).expect("a small sequence");
                let mut scratch = ElmanScratch::default();
                let mut run = || {
                    cell.forward(&plan, layer.x(), None, y.view_mut(), &mut scratch).expect("shapes that fit");
                };
                run();
                layer.check(kernels, &y);
                let mut run = || {
                    cell.forward(&plan, layer.x(), None, y.view_mut(), &mut scratch).expect("shapes that fit");
                };
                group.bench_function(BenchmarkId::new(kernels.isa().name(), threads.get()), |bencher| {
                    bencher.iter(&mut run)
                });
            }
        }
        group.bench_function("matrixmultiply", |bencher| bencher.iter(|| products(&layer, y.data_mut())));
    }
}

/// The layer's GEMMs and nothing else.
fn products(layer: &Layer, y: &mut [f32]) {
    let Shape { input, hidden, batch, steps } = layer.shape;
    let weights = layer.weights();
    let transposed = |weight, k| Strided { data: weight, strides: (1, k) };
    let x = Strided { data: layer.x().steps(0, steps).step(0), strides: (input, 1) };
    for t in 0..steps {
        let x = Strided { data: layer.x().step(t), ..x };
        let y = &mut y[t * batch * hidden..][..batch * hidden];
        sgemm((batch, input, hidden), x, transposed(weights.weight_ih, input), 0.0, y, hidden);
    }
    for t in 1..steps {
        let (before, y) = y.split_at_mut(t * batch * hidden);
        let h = Strided { data: &before[(t - 1) * batch * hidden..], strides: (hidden, 1) };
        sgemm((batch, hidden, hidden), h, transposed(weights.weight_hh, hidden), 1.0, y, hidden);
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = forward
}
criterion_main!(benches);
