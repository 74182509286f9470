//! How much of the speed of its three products does a head of 10,000 words keep in training: with its bias, the loss, and the
//! weights laid out anew after every step?

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use elman::internals::{Linear, LinearScratch};
use elman::loss::CrossEntropy;
use elman::params::ParamTable;
use elman::tensor::Seq;
use elman::train::TrainingState;
use elman::{LayerKind, Model, ModelSpec, Params, Rng, Threads, Upstream, Workspace};

const FEATURES: usize = 256;
const WORDS: usize = 10_000;
const STEPS: usize = 20;
const BATCH: usize = 32;

fn head(criterion: &mut Criterion) {
    let (mut rng, threads) = (Rng::new(1), Threads::available());
    let flop = 2.0 * (STEPS * BATCH * FEATURES * WORDS) as f64;
    let mut group = criterion.benchmark_group(format!("head of {WORDS} words, {threads}"));
    // Floating-point operations: forward, the input's gradient and the weight's.
    group.throughput(Throughput::Elements((3.0 * flop) as u64)).sample_size(20);
    let draw = |rng: &mut Rng, width: usize| {
        let mut seq = Seq::zeros(STEPS, BATCH, width).unwrap();
        seq.data_mut().iter_mut().for_each(|x| *x = rng.uniform(-0.1, 0.1));
        seq
    };
    let x = draw(&mut rng, FEATURES);

    group.bench_function("its three products", |bencher| {
        let mut table = ParamTable::new();
        let mut linear = Linear::new(&mut table, "", FEATURES, WORDS).unwrap();
        let mut params = Params::zeros(table);
        linear.init(&mut params, &mut rng);
        linear.load(&params).unwrap();
        let (mut y, mut d_x) = (Seq::default(), Seq::zeros(STEPS, BATCH, FEATURES).unwrap());
        let (d_y, mut gradients, mut scratch) = (draw(&mut rng, WORDS), params.zeros_like(), LinearScratch::default());
        bencher.iter(|| {
            threads.inside_for(flop, || {
                linear.forward(x.view(), &mut y, &mut scratch).unwrap();
                let d_x = Some(&mut d_x);
                linear.backward(&params, x.view(), d_y.view(), &mut gradients, d_x, &mut scratch).unwrap();
            });
        });
    });

    group.bench_function("in training", |bencher| {
        let spec = ModelSpec::new(FEATURES).layer("words", LayerKind::linear(WORDS));
        let mut model = Model::init(spec, &mut rng).unwrap();
        let labels: Vec<i64> = (0..STEPS * BATCH).map(|_| rng.below(WORDS) as i64).collect();
        let (mut workspace, mut training) = (Workspace::default(), TrainingState::new(1));
        bencher.iter(|| {
            // As an optimiser does: the weights that are laid out are no longer those of the model.
            drop(model.params_mut());
            threads.inside_for(flop, || {
                let run = model.forward_with(&x, None, &mut training, &mut workspace, threads).unwrap();
                let upstream = Upstream::default().want_input();
                let (loss, _) = run.learn_with(&mut CrossEntropy::new(&labels), upstream).unwrap();
                assert!(loss.is_finite());
            });
        });
    });
}

criterion_group!(benches, head);
criterion_main!(benches);
