//! How long is one iteration of the sine: forward and back through 49 steps, loss, Adam?

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use elman_cli::sine::{Config, Sine};

fn sine_step(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sine");
    group.throughput(Throughput::Elements(1));
    // In here, where nothing is run that is only listed.
    group.bench_function("step", |bencher| {
        let mut sine = Sine::new(Config::default()).expect("the default network");
        let first = sine.step().expect("a step");
        let last = (0..2000).map(|_| sine.step().expect("a step")).last().expect("a last step");
        assert!(last < first / 10.0, "the network does not learn: {first} to {last}");
        bencher.iter(|| sine.step().expect("a step"));
    });
}

criterion_group!(benches, sine_step);
criterion_main!(benches);
