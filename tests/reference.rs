//! The reference is judged before it judges: by cases worked out by hand, by finite differences, and by PyTorch.

#[cfg(feature = "safetensors")]
#[path = "common/fixtures.rs"]
mod fixtures;

use std::panic::catch_unwind;

use elman::Rng;
use elman::cell::Nonlinearity;
use elman::loss::IGNORE_INDEX;
use elman::reference::{Elman, ElmanGradients, Linear, Real, cross_entropy, mse};

fn reals<R: Real>(values: &[f64]) -> Vec<R> {
    values.iter().map(|&x| R::from_f64(x)).collect()
}

/// The largest distance of an element, as a share of the largest expected one. Where that is 0 all must be 0, exactly.
fn distance<A: Real, B: Real>(name: &str, got: &[A], expected: &[B]) -> f64 {
    assert_eq!(got.len(), expected.len(), "{name}: length");
    let pairs = || got.iter().zip(expected).map(|(&got, &expected)| (got.into(), expected.into()));
    // Not f64::max, which drops a NaN.
    let worst = |worst: f64, x: f64| if x <= worst { worst } else { x };
    let largest = pairs().map(|(_, expected): (f64, f64)| expected.abs()).fold(0.0, worst);
    let apart = pairs().map(|(got, expected)| (got - expected).abs()).fold(0.0, worst);
    if largest == 0.0 && apart == 0.0 { 0.0 } else { apart / largest }
}

#[track_caller]
fn assert_near<A: Real, B: Real>(name: &str, got: &[A], expected: &[B], tolerance: f64) {
    let distance = distance(name, got, expected);
    // Not `>`: a NaN fails.
    assert!(distance <= tolerance, "{name}: {distance:e} of the largest apart\n got {got:?}\n not {expected:?}");
}

// Cases worked out by hand.

/// A single tanh unit over two steps, every formula written out.
fn tanh_by_hand<R: Real>(tolerance: f64) {
    let (w, u, b_ih, b_hh, h_0) = (0.5_f64, -0.75_f64, 0.1_f64, 0.15_f64, 0.25_f64);
    let (x_1, x_2) = (1.0_f64, -2.0_f64);
    let (d_y_1, d_y_2, d_h_n) = (1.0_f64, 0.5_f64, -2.0_f64);
    let h_1 = (w * x_1 + b_ih + b_hh + u * h_0).tanh();
    let h_2 = (w * x_2 + b_ih + b_hh + u * h_1).tanh();
    let d_z_2 = (d_y_2 + d_h_n) * (1.0 - h_2 * h_2);
    let d_z_1 = (d_y_1 + u * d_z_2) * (1.0 - h_1 * h_1);
    // The same to 16 digits by another program (mpmath).
    assert_near("h", &[h_1, h_2], &[0.5098299737352566, -0.811_829_677_297_736], 1e-15);
    assert_near("d_z", &[d_z_1, d_z_2], &[1.0239279183121229, -0.5113988625879805], 1e-15);

    let (weight_ih, weight_hh): (Vec<R>, Vec<R>) = (reals(&[w]), reals(&[u]));
    let (b_ih, b_hh) = (reals(&[b_ih]), reals(&[b_hh]));
    let layer = Elman {
        steps: 2,
        batch: 1,
        input: 1,
        hidden: 1,
        nonlinearity: Nonlinearity::Tanh,
        weight_ih: &weight_ih,
        weight_hh: &weight_hh,
        bias: Some([&b_ih, &b_hh]),
    };
    let (x, first) = (reals(&[x_1, x_2]), reals(&[h_0]));
    let y = layer.forward(&x, Some(&first));
    assert_near("y", &y, &[h_1, h_2], tolerance);
    let gradients = layer.backward(&x, Some(&first), &y, &reals(&[d_y_1, d_y_2]), Some(&reals(&[d_h_n])));
    assert_near("d_x", &gradients.d_x, &[w * d_z_1, w * d_z_2], tolerance);
    assert_near("d_h_0", &gradients.d_h_0, &[u * d_z_1], tolerance);
    assert_near("d_weight_ih", &gradients.d_weight_ih, &[d_z_1 * x_1 + d_z_2 * x_2], tolerance);
    // Its two products, 0.2560 and -0.2607, all but cancel.
    assert_near("d_weight_hh", &gradients.d_weight_hh, &[d_z_1 * h_0 + d_z_2 * h_1], 100.0 * tolerance);
    assert_near("d_bias", &gradients.d_bias, &[d_z_1 + d_z_2], tolerance);
}

#[test]
fn a_tanh_unit_by_hand() {
    tanh_by_hand::<f64>(1e-15);
    tanh_by_hand::<f32>(4e-7);
}

/// Two relu units over three steps, halves and quarters throughout, so that every number is exact:
///
/// ```text
/// z_1 = [1 - 1 + 0.5 + (0.5 + 2),           -1 - 4 - 0.5 - 1]              = [3, -6.5]      h_1 = [3, 0]: dead
/// z_2 = [2 + 0.75 + 0.5 + (1.5 + 0),        -2 + 3 - 0.5 - 0]              = [4.75, 0.5]    h_2 = [4.75, 0.5]
/// z_3 = [0.25 + 0.25 + 0.5 + (2.375 + 0.5), -0.25 + 1 - 0.5 - 0.25]        = [3.875, 0]     h_3 = [3.875, 0]: at 0
///
/// d_h_3 = [1, 4] + [1, 1]                    = [2, 5]       d_z_3 = [2, 0]
/// d_h_2 = [0.5, -1] + 2·[0.5, 1]             = [1.5, 1]     d_z_2 = [1.5, 1]
/// d_h_1 = [1, 1] + 1.5·[0.5, 1] + 1·[0, -0.5] = [1.75, 2]   d_z_1 = [1.75, 0]
/// ```
fn relu_by_hand<R: Real>() {
    let (weight_ih, weight_hh) = (reals(&[1.0, 0.5, -1.0, 2.0]), reals(&[0.5, 1.0, 0.0, -0.5]));
    let (b_ih, b_hh) = (reals(&[0.5, 0.0]), reals(&[0.0, -0.5]));
    let layer = Elman::<R> {
        steps: 3,
        batch: 1,
        input: 2,
        hidden: 2,
        nonlinearity: Nonlinearity::Relu,
        weight_ih: &weight_ih,
        weight_hh: &weight_hh,
        bias: Some([&b_ih, &b_hh]),
    };
    let (x, h_0) = (reals(&[1.0, -2.0, 2.0, 1.5, 0.25, 0.5]), reals(&[1.0, 2.0]));
    let y = layer.forward(&x, Some(&h_0));
    assert_eq!(y, reals(&[3.0, 0.0, 4.75, 0.5, 3.875, 0.0]));
    let (d_y, d_h_n) = (reals(&[1.0, 1.0, 0.5, -1.0, 1.0, 4.0]), reals(&[1.0, 1.0]));
    let expected = ElmanGradients {
        d_x: reals(&[1.75, 0.875, 0.5, 2.75, 2.0, 1.0]),
        d_h_0: reals(&[0.875, 1.75]),
        // 1.75·[1, -2] + 1.5·[2, 1.5] + 2·[0.25, 0.5];  1·[2, 1.5]
        d_weight_ih: reals(&[5.25, -0.25, 2.0, 1.5]),
        // 1.75·[1, 2] + 1.5·[3, 0] + 2·[4.75, 0.5];  1·[3, 0]
        d_weight_hh: reals(&[15.75, 4.5, 3.0, 0.0]),
        d_bias: reals(&[5.25, 1.0]),
    };
    assert_eq!(layer.backward(&x, Some(&h_0), &y, &d_y, Some(&d_h_n)), expected);
}

#[test]
fn relu_units_by_hand() {
    relu_by_hand::<f64>();
    relu_by_hand::<f32>();
}

#[test]
fn a_linear_layer_by_hand() {
    let weight = [1.0, 2.0, 3.0, -1.0, 0.0, 0.5];
    let x = [1.0, 0.0, -1.0, 2.0, 1.0, 0.5];
    let layer = Linear { rows: 2, input: 3, output: 2, weight: &weight, bias: Some(&[0.5, -1.0]) };
    assert_eq!(layer.forward(&x), [-1.5, -2.5, 6.0, -2.75]);
    assert_eq!(Linear { bias: None, ..layer }.forward(&x), [-2.0, -1.5, 5.5, -1.75]);
    let gradients = layer.backward(&x, &[1.0, 2.0, 0.5, -1.0]);
    // 1·[1, 2, 3] + 2·[-1, 0, 0.5];  0.5·[1, 2, 3] - [-1, 0, 0.5]
    assert_eq!(gradients.d_x, [-1.0, 2.0, 4.0, 1.5, 1.0, 1.0]);
    // 1·[1, 0, -1] + 0.5·[2, 1, 0.5];  2·[1, 0, -1] - [2, 1, 0.5]
    assert_eq!(gradients.d_weight, [2.0, 0.5, -0.75, 0.0, -1.0, -2.5]);
    assert_eq!(gradients.d_bias, [1.5, 1.0]);
}

#[test]
fn mse_by_hand() {
    let (loss, d) = mse(&[1.0, 2.0, -1.0, 0.5], &[0.0, 2.0, 1.0, 1.0]);
    assert_eq!(loss, (1.0 + 0.0 + 4.0 + 0.25) / 4.0);
    assert_eq!(d, [0.5, 0.0, -1.0, -0.25]);
}

#[test]
fn cross_entropy_by_hand() {
    // Uniform: ln C whatever the target, and 1/C less the one-hot.
    let (loss, d) = cross_entropy(4, &[2.0; 8], &[3, 0]);
    assert_near("loss", &[loss], &[4.0_f64.ln()], 1e-15);
    assert_eq!(d, [0.125, 0.125, 0.125, -0.375, -0.375, 0.125, 0.125, 0.125]);

    // Softmax 3/4, 1/4; the row that does not count changes neither the mean nor the other gradients.
    let row = [3.0_f64.ln(), 0.0];
    for (logits, targets) in [(vec![row], vec![0]), (vec![[9.0, -7.0], row], vec![IGNORE_INDEX, 0])] {
        let (loss, d) = cross_entropy(2, logits.as_flattened(), &targets);
        assert_near("loss", &[loss], &[(4.0_f64 / 3.0).ln()], 1e-15);
        let (ignored, counted) = d.split_at(d.len() - 2);
        assert!(ignored.iter().all(|&d| d == 0.0));
        assert_near("d_logits", counted, &[-0.25, 0.25], 1e-15);
    }

    // Unshifted, e^1000 is infinite, and e^-1000 is 0 in every class.
    assert_eq!(cross_entropy(2, &[1000.0, 0.0], &[1]), (1000.0, vec![1.0, -1.0]));
    assert_eq!(cross_entropy(2, &[-1000.0, -1000.0], &[0]), (2.0_f64.ln(), vec![-0.5, 0.5]));
    assert_eq!(cross_entropy(1, &[7.5], &[0]), (0.0, vec![0.0]));
}

// What holds of any layer.

/// A layer with everything that goes through it, in f64.
#[derive(Clone)]
struct Pass {
    steps: usize,
    nonlinearity: Nonlinearity,
    x: Vec<f64>,
    h_0: Vec<f64>,
    weight_ih: Vec<f64>,
    weight_hh: Vec<f64>,
    bias_ih: Vec<f64>,
    bias_hh: Vec<f64>,
    d_y: Vec<f64>,
    d_h_n: Vec<f64>,
}

impl Pass {
    const BATCH: usize = 2;
    const INPUT: usize = 3;
    const HIDDEN: usize = 4;

    fn random(steps: usize, nonlinearity: Nonlinearity, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let (rows, state) = (steps * Self::BATCH, Self::BATCH * Self::HIDDEN);
        Self {
            steps,
            nonlinearity,
            x: draw(&mut rng, rows * Self::INPUT),
            h_0: draw(&mut rng, state),
            weight_ih: draw(&mut rng, Self::HIDDEN * Self::INPUT),
            weight_hh: draw(&mut rng, Self::HIDDEN * Self::HIDDEN),
            bias_ih: draw(&mut rng, Self::HIDDEN),
            bias_hh: draw(&mut rng, Self::HIDDEN),
            d_y: draw(&mut rng, rows * Self::HIDDEN),
            d_h_n: draw(&mut rng, state),
        }
    }

    fn layer(&self) -> Elman<'_, f64> {
        Elman {
            steps: self.steps,
            batch: Self::BATCH,
            input: Self::INPUT,
            hidden: Self::HIDDEN,
            nonlinearity: self.nonlinearity,
            weight_ih: &self.weight_ih,
            weight_hh: &self.weight_hh,
            bias: Some([&self.bias_ih, &self.bias_hh]),
        }
    }

    fn forward(&self) -> Vec<f64> {
        self.layer().forward(&self.x, Some(&self.h_0))
    }

    fn backward(&self) -> ElmanGradients<f64> {
        self.layer().backward(&self.x, Some(&self.h_0), &self.forward(), &self.d_y, Some(&self.d_h_n))
    }

    /// What [`backward`](Self::backward) gives the gradients of: Σ y·d_y + Σ h_n·d_h_n.
    fn objective(&self) -> f64 {
        let y = self.forward();
        let h_n = if self.steps == 0 { &self.h_0 } else { &y[y.len() - self.h_0.len()..] };
        dot(&y, &self.d_y) + dot(h_n, &self.d_h_n)
    }

    /// How far the nearest unit is from relu's kink, and how many of all are dead.
    fn kink(&self) -> (f64, usize) {
        let y = self.forward();
        let before = [&self.h_0, &y[..]].concat();
        // max(0, -z), all steps as rows of one.
        let negative = |values: &[f64]| values.iter().map(|x| -x).collect::<Vec<_>>();
        let (weight_ih, weight_hh) = (negative(&self.weight_ih), negative(&self.weight_hh));
        let (ih, hh) = (negative(&self.bias_ih), negative(&self.bias_hh));
        let layer = Elman {
            steps: 1,
            batch: self.steps * Self::BATCH,
            weight_ih: &weight_ih,
            weight_hh: &weight_hh,
            bias: Some([&ih, &hh]),
            ..self.layer()
        };
        let mirrored = layer.forward(&self.x, Some(&before[..y.len()]));
        let distance = y.iter().zip(&mirrored).map(|(a, b)| a.max(*b)).fold(f64::INFINITY, f64::min);
        (distance, y.iter().filter(|&&y| y == 0.0).count())
    }
}

/// Uniform in [-1, 1).
fn draw(rng: &mut Rng, n: usize) -> Vec<f64> {
    (0..n).map(|_| 2.0 * rng.unit() - 1.0).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn no_bias_and_no_first_state_are_zeros() {
    let zeros = vec![0.0; Pass::BATCH * Pass::HIDDEN];
    for nonlinearity in [Nonlinearity::Tanh, Nonlinearity::Relu] {
        let random = Pass::random(3, nonlinearity, 1);
        let bias = zeros[..Pass::HIDDEN].to_vec();
        let pass = Pass { h_0: zeros.clone(), d_h_n: zeros.clone(), bias_ih: bias.clone(), bias_hh: bias, ..random };
        let layer = Elman { bias: None, ..pass.layer() };
        let y = layer.forward(&pass.x, None);
        assert_eq!(y, pass.forward());
        assert_eq!(layer.backward(&pass.x, None, &y, &pass.d_y, None), pass.backward());
    }
}

#[test]
fn rows_of_a_batch_do_not_meet() {
    for nonlinearity in [Nonlinearity::Tanh, Nonlinearity::Relu] {
        let pass = Pass::random(6, nonlinearity, 2);
        let (y, together) = (pass.forward(), pass.backward());
        let mut sums = [vec![0.0; 12], vec![0.0; 16], vec![0.0; 4]];
        for b in 0..Pass::BATCH {
            let row = |values: &[f64], width: usize| {
                values.chunks(width).skip(b).step_by(Pass::BATCH).flatten().copied().collect::<Vec<_>>()
            };
            let (input, hidden) = (Pass::INPUT, Pass::HIDDEN);
            let (x, h_0) = (row(&pass.x, input), row(&pass.h_0, hidden));
            let (d_y, d_h_n) = (row(&pass.d_y, hidden), row(&pass.d_h_n, hidden));
            let layer = Elman { batch: 1, ..pass.layer() };
            let alone = layer.forward(&x, Some(&h_0));
            assert_eq!(alone, row(&y, hidden));
            let alone = layer.backward(&x, Some(&h_0), &alone, &d_y, Some(&d_h_n));
            assert_eq!(alone.d_x, row(&together.d_x, input));
            assert_eq!(alone.d_h_0, row(&together.d_h_0, hidden));
            for (sum, part) in sums.iter_mut().zip([alone.d_weight_ih, alone.d_weight_hh, alone.d_bias]) {
                sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
            }
        }
        for (sum, d) in sums.iter().zip([together.d_weight_ih, together.d_weight_hh, together.d_bias]) {
            assert_near("sum over rows", sum, &d, 1e-14);
        }
    }
}

#[test]
fn of_no_steps_the_first_state_is_the_last() {
    let pass = Pass::random(0, Nonlinearity::Tanh, 3);
    assert!(pass.forward().is_empty());
    let gradients = pass.backward();
    assert_eq!(gradients.d_h_0, pass.d_h_n);
    assert!(gradients.d_x.is_empty());
    assert_eq!(gradients.d_weight_ih, [0.0; 12]);
    assert_eq!(gradients.d_weight_hh, [0.0; 16]);
    assert_eq!(gradients.d_bias, [0.0; 4]);
    assert_eq!(pass.layer().backward(&[], None, &[], &[], None).d_h_0, [0.0; 8]);
}

#[test]
fn a_nan_comes_out() {
    for nonlinearity in [Nonlinearity::Tanh, Nonlinearity::Relu] {
        let mut pass = Pass::random(3, nonlinearity, 4);
        // The second step of the first row.
        pass.x[Pass::BATCH * Pass::INPUT] = f64::NAN;
        let rows: Vec<bool> = pass.forward().chunks(4).map(|y| y.iter().all(|y| y.is_nan())).collect();
        assert_eq!(rows, [false, false, true, false, true, false], "{nonlinearity}");
        assert!(pass.backward().d_weight_hh.iter().all(|d| d.is_nan()), "{nonlinearity}");
    }
    assert!(mse(&[1.0, f64::NAN], &[0.0, 0.0]).0.is_nan());
    assert!(cross_entropy(3, &[1.0, f64::NAN, 0.0], &[0]).0.is_nan());
}

#[test]
fn a_wrong_length_panics_by_name() {
    fn panics(text: &str, run: impl FnOnce()) {
        let panic = catch_unwind(std::panic::AssertUnwindSafe(run)).expect_err(text);
        let message =
            panic.downcast::<String>().map_or_else(|other| other.downcast::<&str>().unwrap().to_string(), |s| *s);
        assert!(message.starts_with(text), "'{message}' is not '{text}…'");
    }
    let pass = Pass::random(3, Nonlinearity::Tanh, 5);
    let (layer, y) = (pass.layer(), pass.forward());
    let forward = |layer: Elman<'_, f64>, x: &[f64], h_0: &[f64]| drop(layer.forward(x, Some(h_0)));
    let [ih, hh] = layer.bias.unwrap();
    panics("weight_ih: shape [4, 3] needs 12 elements, got 11", || {
        forward(Elman { weight_ih: &pass.weight_ih[1..], ..layer }, &pass.x, &pass.h_0);
    });
    panics("weight_hh: ", || forward(Elman { weight_hh: &pass.weight_hh[1..], ..layer }, &pass.x, &pass.h_0));
    panics("bias_ih: ", || forward(Elman { bias: Some([&ih[1..], hh]), ..layer }, &pass.x, &pass.h_0));
    panics("bias_hh: ", || forward(Elman { bias: Some([ih, &hh[1..]]), ..layer }, &pass.x, &pass.h_0));
    panics("x: ", || forward(layer, &pass.x[1..], &pass.h_0));
    panics("h_0: ", || forward(layer, &pass.x, &pass.h_0[1..]));
    let backward = |y: &[f64], d_y: &[f64], d_h_n: &[f64]| drop(layer.backward(&pass.x, None, y, d_y, Some(d_h_n)));
    panics("y: ", || backward(&y[1..], &pass.d_y, &pass.d_h_n));
    panics("d_y: ", || backward(&y, &pass.d_y[1..], &pass.d_h_n));
    panics("d_h_n: ", || backward(&y, &pass.d_y, &pass.d_h_n[1..]));

    let layer = Linear { rows: 1, input: 2, output: 1, weight: &[1.0, 1.0], bias: Some(&[0.0]) };
    panics("weight: ", || drop(Linear { weight: &[1.0], ..layer }.forward(&[1.0, 1.0])));
    panics("bias: ", || drop(Linear { bias: Some(&[]), ..layer }.forward(&[1.0, 1.0])));
    panics("x: ", || drop(layer.forward(&[1.0])));
    panics("d_y: ", || drop(layer.backward(&[1.0, 1.0], &[1.0, 1.0])));

    panics("target: ", || drop(mse(&[1.0], &[])));
    panics("prediction: ", || drop(mse::<f64>(&[], &[])));
    panics("logits: ", || drop(cross_entropy(2, &[1.0], &[0])));
    panics("targets: expected classes below 2, got 2", || drop(cross_entropy(2, &[1.0, 1.0], &[2])));
    panics("targets: expected classes below 2, got -1", || drop(cross_entropy(2, &[1.0, 1.0], &[-1])));
    panics("targets: at least 1", || drop(cross_entropy(2, &[1.0, 1.0], &[IGNORE_INDEX])));
}

// Finite differences.

/// Central differences err by about STEP²·f''' + eps·|f|/STEP, 1e-12 + 1e-9 here; as shares of the largest element, up
/// to 3e-8 were seen.
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

fn elman_differences(nonlinearity: Nonlinearity) {
    let mut dead = 0;
    for (steps, seed) in [(0, 10), (1, 11), (1, 12), (3, 13), (3, 14), (6, 15), (6, 16)] {
        let pass = Pass::random(steps, nonlinearity, seed);
        if nonlinearity == Nonlinearity::Relu {
            let (distance, count) = pass.kink();
            assert!(distance > 1e-4, "T {steps}, seed {seed}: {distance:e} from a kink: choose another seed");
            dead += count;
        }
        // Through y and h_n both, then through either alone.
        let (no_d_y, no_d_h_n) = (vec![0.0; pass.d_y.len()], vec![0.0; pass.d_h_n.len()]);
        let variants = [
            ("y, h_n", pass.clone()),
            ("y", Pass { d_h_n: no_d_h_n, ..pass.clone() }),
            ("h_n", Pass { d_y: no_d_y, ..pass }),
        ];
        for (through, pass) in variants {
            let name = |of: &str| format!("{of} through {through}, {nonlinearity}, T {steps}, seed {seed}");
            let d = pass.backward();
            assert_gradient(&name("d_x"), &pass, |p| &mut p.x, Pass::objective, &d.d_x);
            if steps > 0 || through != "y" {
                assert_gradient(&name("d_h_0"), &pass, |p| &mut p.h_0, Pass::objective, &d.d_h_0);
            }
            assert_gradient(&name("d_weight_ih"), &pass, |p| &mut p.weight_ih, Pass::objective, &d.d_weight_ih);
            assert_gradient(&name("d_weight_hh"), &pass, |p| &mut p.weight_hh, Pass::objective, &d.d_weight_hh);
            assert_gradient(&name("d_bias_ih"), &pass, |p| &mut p.bias_ih, Pass::objective, &d.d_bias);
            assert_gradient(&name("d_bias_hh"), &pass, |p| &mut p.bias_hh, Pass::objective, &d.d_bias);
        }
    }
    assert!(nonlinearity == Nonlinearity::Tanh || dead > 10, "too few dead units to test");
}

#[test]
fn tanh_gradients_are_the_differences() {
    elman_differences(Nonlinearity::Tanh);
}

#[test]
fn relu_gradients_are_the_differences() {
    elman_differences(Nonlinearity::Relu);
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

// PyTorch.

#[cfg(feature = "safetensors")]
mod pytorch {
    use super::fixtures::Fixture;
    use super::*;

    /// Of the largest element of each tensor; PyTorch computes in f32. Up to 7e-7 were seen.
    const TOLERANCE: f64 = 1e-5;

    /// One case of a fixture.
    struct Case<'a> {
        file: &'a Fixture,
        prefix: String,
    }

    impl Case<'_> {
        fn try_get<R: Real>(&self, name: &str) -> Option<Vec<R>> {
            let values = self.file.try_f32(&format!("{}.{name}", self.prefix))?;
            Some(values.iter().map(|&x| R::from_f64(x.into())).collect())
        }

        fn get<R: Real>(&self, name: &str) -> Vec<R> {
            self.try_get(name).unwrap_or_else(|| panic!("no {}.{name}", self.prefix))
        }

        #[track_caller]
        fn check<R: Real>(&self, name: &str, got: &[R]) {
            let name = format!("{}.{name}", self.prefix);
            assert_near(&format!("{name} in {}", std::any::type_name::<R>()), got, &self.file.f32(&name), TOLERANCE);
        }
    }

    fn size(case: &serde_json::Value, name: &str) -> usize {
        case[name].as_u64().unwrap_or_else(|| panic!("no size {name}")) as usize
    }

    /// The cases of one kind, with their descriptions; their tensors' names begin with `prefix` and a number.
    fn cases<'a>(
        file: &'a Fixture,
        descriptions: &serde_json::Value,
        prefix: &str,
    ) -> Vec<(Case<'a>, serde_json::Value)> {
        let cases = descriptions.as_array().expect("a list of cases").iter().enumerate();
        cases.map(|(n, case)| (Case { file, prefix: format!("{prefix}{n:02}") }, case.clone())).collect()
    }

    fn elman<R: Real>() -> usize {
        let file = Fixture::open("elman_passes");
        let cases = cases(&file, &file.cases(), "");
        for (case, description) in &cases {
            let [weight_ih, weight_hh, ih, hh] =
                ["weight_ih", "weight_hh", "bias_ih", "bias_hh"].map(|name| case.get::<R>(name));
            let layer = Elman {
                steps: size(description, "steps"),
                batch: size(description, "batch"),
                input: size(description, "input"),
                hidden: size(description, "hidden"),
                nonlinearity: description["nonlinearity"].as_str().unwrap().parse().unwrap(),
                weight_ih: &weight_ih,
                weight_hh: &weight_hh,
                bias: Some([&ih, &hh]),
            };
            let (x, h_0) = (case.get::<R>("x"), case.try_get::<R>("h_0"));
            assert_eq!(h_0.is_some(), description["h_0"].as_bool().unwrap());
            let y = layer.forward(&x, h_0.as_deref());
            case.check("y", &y);
            case.check("h_n", &y[y.len() - layer.batch * layer.hidden..]);
            let d = layer.backward(&x, h_0.as_deref(), &y, &case.get::<R>("d_y"), Some(&case.get::<R>("d_h_n")));
            case.check("d_x", &d.d_x);
            if h_0.is_some() {
                case.check("d_h_0", &d.d_h_0);
            }
            case.check("d_weight_ih", &d.d_weight_ih);
            case.check("d_weight_hh", &d.d_weight_hh);
            case.check("d_bias_ih", &d.d_bias);
            case.check("d_bias_hh", &d.d_bias);
        }
        cases.len()
    }

    #[test]
    fn elman_passes() {
        assert_eq!([elman::<f32>(), elman::<f64>()], [20, 20]);
    }

    fn heads<R: Real>() -> [usize; 3] {
        let file = Fixture::open("heads_and_losses");
        let descriptions = file.cases();
        let kind = |kind: &str| cases(&file, &descriptions[kind], &format!("{kind}."));

        let linears = kind("linear");
        for (case, description) in &linears {
            let (weight, bias) = (case.get::<R>("weight"), case.get::<R>("bias"));
            let [rows, input, output] = ["rows", "input", "output"].map(|name| size(description, name));
            let layer = Linear { rows, input, output, weight: &weight, bias: Some(&bias) };
            let x = case.get::<R>("x");
            case.check("y", &layer.forward(&x));
            let d = layer.backward(&x, &case.get::<R>("d_y"));
            case.check("d_x", &d.d_x);
            case.check("d_weight", &d.d_weight);
            case.check("d_bias", &d.d_bias);
        }

        let mses = kind("mse");
        for (case, _) in &mses {
            let (loss, d) = mse(&case.get::<R>("prediction"), &case.get::<R>("target"));
            case.check("loss", &[loss]);
            case.check("d_prediction", &d);
        }

        let cross_entropies = kind("cross_entropy");
        for (case, description) in &cross_entropies {
            let targets = file.i64(&format!("{}.target", case.prefix));
            let ignored = targets.iter().filter(|&&target| target == IGNORE_INDEX).count();
            assert_eq!(ignored, size(description, "ignored"));
            let (loss, d) = cross_entropy(size(description, "classes"), &case.get::<R>("logits"), &targets);
            case.check("loss", &[loss]);
            case.check("d_logits", &d);
        }
        [linears.len(), mses.len(), cross_entropies.len()]
    }

    #[test]
    fn heads_and_losses() {
        assert_eq!([heads::<f32>(), heads::<f64>()], [[4, 3, 6]; 2]);
    }
}
