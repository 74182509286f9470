//! How many activations a second, on each tier?

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use elman::Rng;
use elman::internals::Kernels;

const LEN: usize = 4096;

fn activation(criterion: &mut Criterion) {
    let mut rng = Rng::new(1);
    let inputs: Vec<f32> = (0..LEN).map(|_| rng.uniform(-6.0, 6.0)).collect();
    type Function = (&'static str, fn(&Kernels, &mut [f32]), fn(f64) -> f64);
    let functions: [Function; 3] = [
        ("tanh", Kernels::tanh, f64::tanh),
        ("sigmoid", Kernels::sigmoid, |x| 1.0 / (1.0 + (-x).exp())),
        ("exp", Kernels::exp, f64::exp),
    ];
    for (name, function, exact) in functions {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(LEN as u64));
        for kernels in Kernels::available() {
            let mut values = inputs.clone();
            function(kernels, &mut values);
            for (&x, &y) in inputs.iter().zip(&values) {
                let exact = exact(f64::from(x));
                assert!((f64::from(y) - exact).abs() <= 4e-7 * exact.abs(), "{} {name}({x}) is wrong", kernels.isa());
            }
            // The copy restores the inputs: tanh of tanh of … would end at zero. It is 2 % of the time.
            group.bench_function(BenchmarkId::from_parameter(kernels.isa()), |bencher| {
                bencher.iter(|| {
                    values.copy_from_slice(&inputs);
                    function(kernels, &mut values);
                });
            });
        }
    }
}

criterion_group!(benches, activation);
criterion_main!(benches);
