//! Gradients against finite differences.

use elman::Rng;
use elman::loss::IGNORE_INDEX;
use elman::reference::{CrossEntropy, Layer, Linear, MeanSquaredError, Steps, cross_entropy, mse};

use crate::pass::{BATCH, GRU, Kind, LSTM, PROJECTED, RELU, RecurrentWorkspace, TANH};
use crate::{assert_near, dot, draw};

/// Central differences err by about STEP²·f''' + eps·|f|/STEP, 1e-12 + 1e-9 here; as shares of the largest element, up
/// to 2e-8 were seen.
const STEP: f64 = 1e-6;
const TOLERANCE: f64 = 1e-7;

/// Compares `gradient` with the central differences of `objective` in each element of `of(model)`.
#[track_caller]
fn assert_gradient<M: Clone>(
    name: &str,
    model: &M,
    of: impl Fn(&mut M) -> &mut Vec<f64>,
    objective: impl Fn(&M) -> f64,
    gradient: &[f64],
) {
    let n = of(&mut model.clone()).len();
    let shifted = |index: usize, by: f64| {
        let mut model = model.clone();
        of(&mut model)[index] += by;
        objective(&model)
    };
    let differences: Vec<f64> = (0..n).map(|i| (shifted(i, STEP) - shifted(i, -STEP)) / (2.0 * STEP)).collect();
    assert_near(name, gradient, &differences, TOLERANCE);
}

/// Compares the gradients of everything in a pass.
fn assert_gradients(pass: &RecurrentWorkspace, what: &str) {
    // Through the outputs and the last states both, then through either alone.
    let no_d_y = vec![0.0; pass.d_y.len()];
    let variants = [
        ("y, h_n", pass.clone()),
        ("y", RecurrentWorkspace { d_h_n: None, d_c_n: None, ..pass.clone() }),
        ("h_n", RecurrentWorkspace { d_y: no_d_y, ..pass.clone() }),
    ];
    for (through, pass) in variants {
        let d = pass.backward();
        let check = |name: &str, of: fn(&mut RecurrentWorkspace) -> &mut Vec<f64>, gradient: &[f64]| {
            assert_gradient(
                &format!("{name} through {through}, {what}"),
                &pass,
                of,
                RecurrentWorkspace::objective,
                gradient,
            );
        };
        check("d_x", |p| &mut p.x, &d.d_x);
        check("d_weight_ih", |p| &mut p.weight_ih, &d.d_weight_ih);
        check("d_weight_hh", |p| &mut p.weight_hh, &d.d_weight_hh);
        if pass.bias.is_some() {
            check("d_bias_ih", |p| &mut p.bias.as_mut().unwrap()[0], &d.d_bias_ih);
            check("d_bias_hh", |p| &mut p.bias.as_mut().unwrap()[1], &d.d_bias_hh);
        }
        if pass.weight_hr.is_some() {
            check("d_weight_hr", |p| p.weight_hr.as_mut().unwrap(), &d.d_weight_hr);
        }
        if pass.h_0.is_some() {
            check("d_h_0", |p| p.h_0.as_mut().unwrap(), &d.d_h_0);
        }
        if pass.c_0.is_some() {
            check("d_c_0", |p| p.c_0.as_mut().unwrap(), &d.d_c_0);
        }
    }
}

fn gradients_are_the_differences(kind: Kind) {
    for (steps, seed) in [(0, 10), (1, 11), (1, 12), (3, 13), (3, 14), (6, 15), (6, 16)] {
        assert_gradients(&RecurrentWorkspace::random(kind, steps, seed), &format!("{kind:?}, T {steps}, seed {seed}"));
    }
    let pass = RecurrentWorkspace::random(kind, 5, 17);
    for pass in pass.every_way() {
        assert_gradients(&pass, &format!("{kind:?}, {:?}", pass.layer().steps));
        let bare = RecurrentWorkspace { bias: None, h_0: None, c_0: None, ..pass };
        assert_gradients(&bare, &format!("{kind:?} without bias and first state, {:?}", bare.layer().steps));
    }
}

#[test]
fn tanh_gradients_are_the_differences() {
    gradients_are_the_differences(TANH);
}

#[test]
fn gru_gradients_are_the_differences() {
    gradients_are_the_differences(GRU);
}

#[test]
fn lstm_gradients_are_the_differences() {
    gradients_are_the_differences(LSTM);
}

#[test]
fn projected_lstm_gradients_are_the_differences() {
    gradients_are_the_differences(PROJECTED);
}

/// How far the nearest unit of a relu layer is from the kink, and how many of all are dead.
fn kink(pass: &RecurrentWorkspace) -> (f64, usize) {
    let y = pass.forward().y;
    let before = [pass.h_0.as_deref().unwrap(), &y[..]].concat();
    // max(0, -z), all steps as rows of one.
    let negative = |values: &[f64]| values.iter().map(|x| -x).collect::<Vec<_>>();
    let (weight_ih, weight_hh) = (negative(&pass.weight_ih), negative(&pass.weight_hh));
    let layer = pass.layer();
    let bias = layer.bias.map(|bias| bias.map(negative));
    let layer = Layer {
        steps: Steps::new(1, pass.steps * BATCH),
        weight_ih: &weight_ih,
        weight_hh: &weight_hh,
        bias: bias.as_ref().map(|[ih, hh]| [&ih[..], &hh[..]]),
        ..layer
    };
    let mirrored = layer.forward(&pass.x, Some(&before[..y.len()]), None).y;
    let distance = y.iter().zip(&mirrored).map(|(a, b)| a.max(*b)).fold(f64::INFINITY, f64::min);
    (distance, y.iter().filter(|&&y| y == 0.0).count())
}

#[test]
fn relu_gradients_are_the_differences() {
    let mut dead = 0;
    for (steps, seed) in [(0, 10), (1, 11), (1, 12), (3, 13), (3, 14), (6, 15), (6, 16)] {
        let pass = RecurrentWorkspace::random(RELU, steps, seed);
        let (distance, count) = kink(&pass);
        assert!(distance > 1e-4, "T {steps}, seed {seed}: {distance:e} from a kink: choose another seed");
        dead += count;
        assert_gradients(&pass, &format!("relu, T {steps}, seed {seed}"));
    }
    assert!(dead > 10, "too few dead units to test");
}

#[test]
fn linear_gradients_are_the_differences() {
    let mut rng = Rng::new(20);
    let (rows, input, output) = (5, 4, 3);
    let d_y = draw(&mut rng, rows * output);
    // x, weight, bias.
    let model = [rows * input, output * input, output].map(|n| draw(&mut rng, n));
    fn layer([_, weight, bias]: &[Vec<f64>; 3]) -> Linear<'_, f64> {
        Linear { rows: 5, input: 4, output: 3, weight, bias: Some(bias) }
    }
    let objective = |model: &[Vec<f64>; 3]| dot(&layer(model).forward(&model[0]), &d_y);
    let d = layer(&model).backward(&model[0], &d_y);
    assert_gradient("d_x", &model, |m| &mut m[0], objective, &d.d_x);
    assert_gradient("d_weight", &model, |m| &mut m[1], objective, &d.d_weight);
    assert_gradient("d_bias", &model, |m| &mut m[2], objective, &d.d_bias);
}

#[test]
fn loss_gradients_are_the_differences() {
    let mut rng = Rng::new(21);
    let (prediction, target) = (draw(&mut rng, 12), draw(&mut rng, 12));
    let d = mse(&prediction, &target).1;
    assert_gradient("mse", &prediction, |p| p, |p| mse(p, &target).0, &d);

    let logits: Vec<f64> = draw(&mut rng, 6 * 5).iter().map(|l| 3.0 * l).collect();
    for targets in [[0, 4, 2, 2, 1, 3], [0, IGNORE_INDEX, 2, IGNORE_INDEX, IGNORE_INDEX, 3]] {
        let d = cross_entropy(5, &logits, &targets).1;
        assert_gradient("cross_entropy", &logits, |l| l, |l| cross_entropy(5, l, &targets).0, &d);
    }
}

#[test]
fn gradients_of_masked_weighted_and_smoothed_losses_are_the_differences() {
    let mut rng = Rng::new(22);
    let mask = [true, false, true, true, false, true];
    let (prediction, target) = (draw(&mut rng, 18), draw(&mut rng, 18));
    let loss = MeanSquaredError { width: 3, mask: Some(&mask) };
    let d = loss.evaluate(&prediction, &target).1;
    assert_gradient("mse", &prediction, |p| p, |p| loss.evaluate(p, &target).0, &d);

    let logits: Vec<f64> = draw(&mut rng, 6 * 5).iter().map(|l| 3.0 * l).collect();
    let weights = [0.5, 2.0, 0.0, 1.0, 3.0];
    let plain = CrossEntropy { ignore_index: 3, ..CrossEntropy::new(5) };
    let weighted = CrossEntropy { class_weights: Some(&weights), ..plain };
    for label_smoothing in [0.0, 0.2, 1.0] {
        for loss in [plain, weighted, CrossEntropy { mask: Some(&mask), ..weighted }] {
            let loss = CrossEntropy { label_smoothing, ..loss };
            let labels = [0, 4, 2, 3, 1, 1];
            let d = loss.evaluate(&logits, &labels).1;
            assert_gradient("cross_entropy", &logits, |l| l, |l| loss.evaluate(l, &labels).0, &d);
        }
    }
}
