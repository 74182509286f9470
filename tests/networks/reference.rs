//! Networks against a network of reference layers in f64, forward and backward.

use crate::compare::distance_of_scale;
use crate::network::{Case, Options, Outcome};
use crate::tiers::tiers;
use elman::Nonlinearity;
use elman::internals::{Cell, Kernels, NetworkConfig, Recurrent, RecurrentWorkspace};
use elman::params::ParamTable;
use elman::reference::{Gradients, Layer, Output, Steps};
use elman::tensor::Seq;
use elman::{Params, Threads};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// Distance from f64, relative to a tensor's largest element or to 1, the size of the data.
const TOLERANCE: f64 = 1e-5;

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&x| f64::from(x)).collect()
}

/// The mask that dropout with this seed puts over the output (T, B, width) of layer `layer`, scale included: what a
/// network gives that has 1 in every element there, and above it a layer that hands on what it reads.
fn mask(case: &Case, layer: usize, width: usize) -> Vec<f64> {
    let (directions, hidden) = (case.directions(), width / case.directions());
    let config = NetworkConfig {
        dropout: case.config.dropout,
        bidirectional: directions == 2,
        kernels: Some(Kernels::best()),
        ..NetworkConfig::new(Cell::Elman(Nonlinearity::Relu), 1, vec![hidden; layer + 2])
    };
    let mut layout = ParamTable::new();
    let mut network = Recurrent::new(config, &mut layout, "").unwrap();
    let mut params = Params::zeros(layout);
    for (direction, suffix) in ["", "_reverse"].into_iter().take(directions).enumerate() {
        for k in 0..=layer {
            params.set(&format!("bias_ih_l{k}{suffix}"), &[hidden], &vec![1.0; hidden]).unwrap();
        }
        // (hidden, width): each direction hands on the part of its own.
        let own = |i| i / width + direction * hidden == i % width;
        let weight: Vec<f32> = (0..hidden * width).map(|i| f32::from(u8::from(own(i)))).collect();
        params.set(&format!("weight_ih_l{}{suffix}", layer + 1), &[hidden, width], &weight).unwrap();
    }
    network.load(&params).unwrap();
    let (x, mut pass) = (Seq::zeros(case.steps, case.batch, 1).unwrap(), RecurrentWorkspace::default());
    network.forward_training(&x, None, case.seed, &mut pass, Threads::one()).unwrap();
    let output = pass.output();
    let rows = (0..case.steps).flat_map(|t| (0..case.batch).flat_map(move |b| output.step(t).row(b)));
    rows.map(|&x| f64::from(x)).collect()
}

/// One layer and direction of a case in f64.
struct One {
    input: usize,
    hidden: usize,
    output: usize,
    reverse: bool,
    /// Its parameters, in PyTorch's order.
    tensors: Vec<Vec<f64>>,
    h_0: Option<Vec<f64>>,
    c_0: Option<Vec<f64>>,
    d_h_n: Option<Vec<f64>>,
    d_c_n: Option<Vec<f64>>,
}

impl One {
    fn with<T>(&self, case: &Case, f: impl FnOnce(&Layer<'_, f64>) -> T) -> T {
        let Self { input, hidden, reverse, ref tensors, .. } = *self;
        let NetworkConfig { cell, bias, proj_size, .. } = case.config;
        let Case { steps, batch, .. } = *case;
        let (lengths, resets) = (case.lengths.as_deref(), case.resets.as_deref());
        f(&Layer {
            cell,
            steps: Steps { lengths, resets, reverse, ..Steps::new(steps, batch) },
            input,
            hidden,
            weight_ih: &tensors[0],
            weight_hh: &tensors[1],
            bias: bias.then(|| [&tensors[2][..], &tensors[3]]),
            weight_hr: (proj_size > 0).then(|| &tensors.last().unwrap()[..]),
        })
    }

    fn forward(&self, case: &Case, x: &[f64]) -> Output<f64> {
        self.with(case, |layer| layer.forward(x, self.h_0.as_deref(), self.c_0.as_deref()))
    }

    fn backward(&self, case: &Case, x: &[f64], d_y: &[f64]) -> Gradients<f64> {
        let Self { h_0, c_0, d_h_n, d_c_n, .. } = self;
        let [h_0, c_0, d_h_n, d_c_n] = [h_0, c_0, d_h_n, d_c_n].map(|state| state.as_deref());
        self.with(case, |layer| layer.backward(x, h_0, c_0, d_y, d_h_n, d_c_n))
    }
}

/// The layers of a case, each by itself.
fn layers(case: &Case) -> Vec<One> {
    let NetworkConfig { cell, input_size, ref hidden_sizes, bias, proj_size, .. } = case.config;
    let (directions, batch) = (case.directions(), case.batch);
    let (h, c) = case.widths();
    let (mut at, mut input, mut layers) = (0, input_size, Vec::new());
    for (k, &hidden) in hidden_sizes.iter().enumerate() {
        let output = h[k * directions];
        for direction in 0..directions {
            let rows = cell.gates() * hidden;
            let mut lens = vec![rows * input, rows * output];
            lens.extend(bias.then_some([rows; 2]).into_iter().flatten());
            lens.extend((proj_size > 0).then_some(proj_size * hidden));
            let mut take = |len: usize| {
                at += len;
                wide(&case.params[at - len..at])
            };
            let tensors = lens.into_iter().map(&mut take).collect();
            let part = |values: &Option<Vec<f32>>, widths: &[usize]| {
                let index = k * directions + direction;
                let first = batch * widths.iter().take(index).sum::<usize>();
                values.as_ref().map(|values| wide(&values[first..first + batch * widths[index]]))
            };
            layers.push(One {
                input,
                hidden,
                output,
                reverse: direction == 1,
                tensors,
                h_0: part(&case.h_0, &h),
                c_0: part(&case.c_0, &c),
                d_h_n: part(&case.d_h_n, &h),
                d_c_n: part(&case.d_c_n, &c),
            });
        }
        input = directions * output;
    }
    assert_eq!(at, case.params.len());
    layers
}

/// What a network of reference layers gives, under the names of an [`Outcome`].
fn reference(case: &Case) -> Vec<(&'static str, Vec<f64>)> {
    let (directions, rows) = (case.directions(), case.steps * case.batch);
    let layers = layers(case);
    // What each layer reads; what dropout multiplied it by.
    let (mut xs, mut masks) = (vec![wide(&case.x)], Vec::new());
    let [mut h_n, mut c_n] = [Vec::new(), Vec::new()];
    for (k, both) in layers.chunks_exact(directions).enumerate() {
        let outputs: Vec<_> = both.iter().map(|one| one.forward(case, &xs[k])).collect();
        let width = both[0].output;
        let mut y = Vec::new();
        for row in 0..rows {
            outputs.iter().for_each(|output| y.extend_from_slice(&output.y[row * width..][..width]));
        }
        outputs.into_iter().for_each(|output| {
            h_n.extend(output.h_n);
            c_n.extend(output.c_n);
        });
        let drops = case.config.dropout > 0.0 && k + 1 < case.config.hidden_sizes.len();
        let mask = if drops { mask(case, k, directions * width) } else { vec![1.0; y.len()] };
        y.iter_mut().zip(&mask).for_each(|(y, mask)| *y *= mask);
        xs.push(y);
        masks.push(mask);
    }

    let mut d_y = wide(&case.d_y);
    // The last layer's first, and of a layer the last direction's.
    let [mut d_params, mut d_h_0, mut d_c_0] = [Vec::new(), Vec::new(), Vec::new()];
    for (k, both) in layers.chunks_exact(directions).enumerate().rev() {
        d_y.iter_mut().zip(&masks[k]).for_each(|(d, mask)| *d *= mask);
        let mut d_x = vec![0.0; rows * both[0].input];
        for (direction, one) in both.iter().enumerate().rev() {
            let each = d_y.chunks_exact(directions * one.output);
            let own: Vec<f64> = each.flat_map(|row| row[direction * one.output..][..one.output].to_vec()).collect();
            let d = one.backward(case, &xs[k], &own);
            d_x.iter_mut().zip(&d.d_x).for_each(|(sum, d)| *sum += d);
            let biases = if case.config.bias { vec![d.d_bias_ih, d.d_bias_hh] } else { Vec::new() };
            let tensors = [vec![d.d_weight_ih, d.d_weight_hh], biases, vec![d.d_weight_hr]].concat();
            d_params.push(tensors.concat());
            d_h_0.push(d.d_h_0);
            d_c_0.push(d.d_c_0);
        }
        d_y = d_x;
    }
    let in_order = |mut parts: Vec<Vec<f64>>| {
        parts.reverse();
        parts.concat()
    };
    vec![
        ("output", xs.pop().unwrap()),
        ("h_n", h_n),
        ("c_n", c_n),
        ("d_input", d_y),
        ("d_h_0", in_order(d_h_0)),
        ("d_c_0", in_order(d_c_0)),
        ("d_params", in_order(d_params)),
    ]
}

/// Panics where an outcome is too far from the reference.
fn assert_close(case: &Case, outcome: &Outcome, reference: &[(&str, Vec<f64>)], what: &str) {
    let params = reference.iter().find(|(name, _)| *name == "d_params").map(|(_, values)| &values[..]);
    let mut d_params = params.unwrap();
    for (name, got) in &outcome.0 {
        let expected = match reference.iter().find(|(known, _)| known == name) {
            Some((_, expected)) => &expected[..],
            None => {
                let (this, rest) = d_params.split_at(got.len());
                d_params = rest;
                this
            }
        };
        let (distance, at) = distance_of_scale(got, expected, 1.0);
        assert!(distance <= TOLERANCE, "{what}: {name}[{at}] is {distance:e} of the largest off, {:?}", case.config);
    }
    assert!(d_params.is_empty());
}

/// Steps, batch, input, hidden.
fn shapes() -> impl Strategy<Value = [usize; 4]> {
    prop_oneof![
        [0..9_usize, 0..11_usize, 1..12_usize, 1..14_usize],
        [1..4_usize, 1..6_usize, 1..40_usize, 17..40_usize],
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn networks_agree_with_a_network_of_reference_layers(
        shape in shapes(),
        (cell, layers, bits) in (0..Options::CELLS, 1..4_usize, 0..Options::BITS),
        seed: u64,
        threads in 1..3_usize,
    ) {
        let case = Case::random(shape, Options { cell, layers, bits }, seed);
        let reference = reference(&case);
        for kernels in tiers() {
            let outcome = case.run(kernels, Threads::new(threads).unwrap(), &mut RecurrentWorkspace::default());
            assert_close(&case, &outcome, &reference, kernels.isa().name());
        }
    }
}
