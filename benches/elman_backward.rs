//! How fast is the way back through an Elman layer, on each tier and for 1 and 2 threads?
//!
//! Elements are floating-point operations: of d_h, 2·B·T·H·H, and of the weights, 2·B·T·H·(I + H).

mod common;

use common::{Layer, thread_counts};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use elman::cell::{ElmanBackwardPass, ElmanGradients, ElmanScratch};
use elman::tensor::{Seq, SeqMut, SeqRef};
use elman::{Kernels, Threads};

fn backward(criterion: &mut Criterion) {
    for (hidden, batch, steps) in [(64, 32, 100), (128, 64, 100), (256, 64, 100), (512, 64, 100), (16, 1, 49)] {
        let layer = Layer::new(hidden, batch, steps);
        let mut group = criterion.benchmark_group(format!("backward H {hidden}, B {batch}, T {steps}"));
        group.throughput(Throughput::Elements((layer.shape.flop() * 1.5) as u64));
        let mut d_y = Seq::zeros(steps, batch, hidden).expect("a small sequence");
        d_y.data_mut().fill(1.0);
        let mut y = Seq::zeros(steps, batch, hidden).expect("a small sequence");
        for kernels in Kernels::available() {
            let cell = layer.cell(kernels);
            check(&layer, kernels);
            for threads in thread_counts() {
                let plan = cell.plan(steps, batch, threads).expect("a small sequence");
                let mut scratch = ElmanScratch::default();
                cell.forward(&plan, layer.x(), None, y.view_mut(), &mut scratch).expect("shapes that fit");
                layer.check(kernels, &y);
                let mut gradients =
                    [vec![0.0; hidden * hidden], vec![0.0; hidden * hidden], vec![0.0; hidden], vec![0.0; hidden]];
                let mut run = || {
                    let [d_weight_ih, d_weight_hh, ih, hh] = &mut gradients;
                    let pass = ElmanBackwardPass {
                        weights: layer.weights(),
                        x: layer.x(),
                        h_0: None,
                        y: y.view(),
                        d_y: d_y.view(),
                        d_h_n: None,
                        gradients: ElmanGradients { d_weight_ih, d_weight_hh, d_bias: Some([ih, hh]) },
                        d_x: None,
                        d_h_0: None,
                    };
                    cell.backward(&plan, pass, &mut scratch).expect("shapes that fit");
                };
                group.bench_function(BenchmarkId::new(kernels.isa().name(), threads.get()), |bencher| {
                    bencher.iter(&mut run)
                });
            }
        }
    }
}

/// Two steps of one row against the reference.
fn check(layer: &Layer, kernels: &'static Kernels) {
    let (cell, hidden) = (layer.cell(kernels), layer.shape.hidden);
    let (x, d_y) = (layer.row(), vec![1.0; 2 * hidden]);
    let view = |data| SeqRef::new(data, 2, 1, hidden).expect("two steps of one row");
    let plan = cell.plan(2, 1, Threads::one()).expect("a small sequence");
    let (mut y, mut scratch) = (vec![0.0; 2 * hidden], ElmanScratch::default());
    let out = SeqMut::new(&mut y, 2, 1, hidden).expect("two steps of one row");
    cell.forward(&plan, view(&x), None, out, &mut scratch).expect("shapes that fit");
    let mut got = [vec![0.0; hidden * hidden], vec![0.0; hidden * hidden], vec![0.0; hidden], vec![0.0; hidden]];
    let [d_weight_ih, d_weight_hh, ih, hh] = &mut got;
    let pass = ElmanBackwardPass {
        weights: layer.weights(),
        x: view(&x),
        h_0: None,
        y: view(&y),
        d_y: view(&d_y),
        d_h_n: None,
        gradients: ElmanGradients { d_weight_ih, d_weight_hh, d_bias: Some([ih, hh]) },
        d_x: None,
        d_h_0: None,
    };
    cell.backward(&plan, pass, &mut scratch).expect("shapes that fit");
    let expected = layer.reference().backward(&x, None, None, &d_y, None, None);
    let expected = [&expected.d_weight_ih, &expected.d_weight_hh, &expected.d_bias_ih, &expected.d_bias_hh];
    for (got, expected) in got.iter().zip(expected) {
        let same = got.iter().zip(expected).all(|(g, e)| (g - e).abs() < 1e-5);
        assert!(same, "{} is wrong", kernels.isa());
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = backward
}
criterion_main!(benches);
