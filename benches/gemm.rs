//! How fast is the product with a matrix in panels on each tier, beside `matrixmultiply`?
//!
//! Elements are floating-point operations, 2·M·K·N: Gelem/s is GFLOP/s. One thread.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use elman::Rng;
use elman::internals::fallback::{Extents, Strided, sgemm};
use elman::internals::{Blocking, GemmScratch, Kernels, Panels, product};

/// A step of a recurrence (32 rows), the input part of many steps, the square GEMM others quote, and a small layer.
const SHAPES: [[usize; 3]; 4] = [[32, 512, 512], [512, 512, 512], [1024, 1024, 1024], [64, 128, 128]];

fn gemm(criterion: &mut Criterion) {
    let mut rng = Rng::new(1);
    for [m, k, n] in SHAPES {
        let mut group = criterion.benchmark_group(format!("gemm {m}x{k}x{n}"));
        group.throughput(Throughput::Elements((2 * m * k * n) as u64));
        let mut draw = |len: usize| -> Vec<f32> { (0..len).map(|_| rng.uniform(-1.0, 1.0)).collect() };
        let (a, b) = (draw(m * k), draw(k * n));
        let mut panels = Panels::new(k, n);
        panels.pack(&b);
        let mut expected = vec![0.0; m * n];
        let (left, right) = (Strided::rows(&a, k), Strided::rows(&b, n));
        sgemm(Extents { m, k, n }, left, right, 0.0, &mut expected, n);

        let mut c = vec![0.0; m * n];
        for kernels in Kernels::available() {
            let blocking = Blocking::of(kernels.isa());
            let mut scratch = GemmScratch::default();
            product(kernels, blocking, &a, &panels, &mut c, &mut scratch);
            let bound = 4.0 * k as f32 * f32::EPSILON;
            assert!(c.iter().zip(&expected).all(|(c, e)| (c - e).abs() <= bound), "{} is wrong", kernels.isa());
            group.bench_function(BenchmarkId::from_parameter(kernels.isa()), |bencher| {
                bencher.iter(|| product(kernels, blocking, &a, &panels, &mut c, &mut scratch));
            });
        }
        group.bench_function("matrixmultiply", |bencher| {
            bencher.iter(|| sgemm(Extents { m, k, n }, left, right, 0.0, &mut c, n));
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = gemm
}
criterion_main!(benches);
