//! A linear layer's sums by their definition: which products are added in which order, to the last bit.

use crate::tiers::tiers;
use elman::internals::{Kernels, Linear, LinearScratch, LinearSettings};
use elman::params::ParamTable;
use elman::tensor::{Seq, SeqRef};
use elman::{Isa, Params, Rng};

/// Features and outputs, on both sides of the limits of every order.
const SHAPES: [[usize; 2]; 11] =
    [[3, 2], [61, 15], [64, 1], [64, 16], [64, 64], [64, 65], [65, 1], [65, 16], [80, 4], [100, 15], [200, 7]];

/// Partial sums p\[k mod n\], k ascending, the first from `start`.
fn partial<const N: usize>(start: f32, x: &[f32], w: &[f32], multiply_add: impl Fn(f32, f32, f32) -> f32) -> [f32; N] {
    let mut sums = [0.0; N];
    sums[0] = start;
    for (k, (&x, &w)) in x.iter().zip(w).enumerate() {
        sums[k % N] = multiply_add(x, w, sums[k % N]);
    }
    sums
}

/// bias + x·w as a layer of so many outputs adds it up.
fn output(x: &[f32], w: &[f32], bias: f32, outputs: usize, multiply_add: impl Fn(f32, f32, f32) -> f32) -> f32 {
    match (x.len(), outputs) {
        (..=64, ..=64) => {
            let [c0, c1, c2, c3] = partial(bias, x, w, multiply_add);
            (c0 + c1) + (c2 + c3)
        }
        (65.., ..=15) => {
            let mut sums: [f32; 16] = partial(0.0, x, w, multiply_add);
            for half in [8, 4, 2, 1] {
                for lane in 0..half {
                    sums[lane] += sums[lane + half];
                }
            }
            bias + sums[0]
        }
        _ => partial::<1>(bias, x, w, multiply_add)[0],
    }
}

/// A loaded layer with its parameters.
fn layer(kernels: &'static Kernels, [in_features, out_features]: [usize; 2], rng: &mut Rng) -> (Linear, Params) {
    let mut table = ParamTable::new();
    let settings = LinearSettings { in_features, out_features, bias: true, kernels: Some(kernels) };
    let mut linear = Linear::with(&mut table, "fc", settings).unwrap();
    let mut params = Params::zeros(table);
    linear.init(&mut params, rng);
    linear.load(&params).unwrap();
    (linear, params)
}

#[test]
fn sums_are_added_up_in_the_order_that_the_docs_give() {
    const ROWS: usize = 5;
    for kernels in tiers() {
        for shape @ [features, outputs] in SHAPES {
            let fused = kernels.isa() != Isa::Portable;
            if !fused && (features <= 64 || outputs > 15) {
                // Its batches go through another library's products.
                continue;
            }
            let multiply_add = |a: f32, b: f32, c: f32| if fused { a.mul_add(b, c) } else { a * b + c };
            let mut rng = Rng::new(7);
            let (linear, params) = layer(kernels, shape, &mut rng);
            let (weight, bias) = (params.named("fc.weight").unwrap().1, params.named("fc.bias").unwrap().1);
            let x: Vec<f32> = (0..ROWS * features).map(|_| rng.uniform(-1.0, 1.0)).collect();
            let by_definition = |n: usize| {
                let (row, output_of) = (&x[n / outputs * features..][..features], n % outputs);
                output(row, &weight[output_of * features..][..features], bias[output_of], outputs, multiply_add)
            };
            let expected: Vec<u32> = (0..ROWS * outputs).map(|n| by_definition(n).to_bits()).collect();
            for (steps, batch) in [(1, ROWS), (ROWS, 1)] {
                let mut y = Seq::default();
                let x = SeqRef::new(&x, steps, batch, features).unwrap();
                linear.forward(x, &mut y, &mut LinearScratch::default()).unwrap();
                let got: Vec<u32> = y.data().iter().map(|y| y.to_bits()).collect();
                assert_eq!(got, expected, "{} {shape:?}, {steps} steps of {batch} rows", kernels.isa());
            }
        }
    }
}
