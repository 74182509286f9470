//! Cases worked out by hand.

use elman::Nonlinearity;
use elman::loss::IGNORE_INDEX;
use elman::reference::{
    Cell, CrossEntropy, Gradients, Layer, Linear, MeanSquaredError, Output, Real, Steps, cross_entropy, mse,
};

use crate::{assert_near, reals};

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
    let layer = Layer {
        cell: Cell::Elman(Nonlinearity::Tanh),
        steps: Steps::new(2, 1),
        input: 1,
        hidden: 1,
        weight_ih: &weight_ih,
        weight_hh: &weight_hh,
        bias: Some([&b_ih, &b_hh]),
        weight_hr: None,
    };
    let (x, first) = (reals(&[x_1, x_2]), reals(&[h_0]));
    let output = layer.forward(&x, Some(&first), None);
    assert_near("y", &output.y, &[h_1, h_2], tolerance);
    assert_eq!(output.h_n, output.y[1..]);
    let (d_y, d_h_n) = (reals(&[d_y_1, d_y_2]), reals(&[d_h_n]));
    let gradients = layer.backward(&x, Some(&first), None, &d_y, Some(&d_h_n), None);
    assert_near("d_x", &gradients.d_x, &[w * d_z_1, w * d_z_2], tolerance);
    assert_near("d_h_0", &gradients.d_h_0, &[u * d_z_1], tolerance);
    assert_near("d_weight_ih", &gradients.d_weight_ih, &[d_z_1 * x_1 + d_z_2 * x_2], tolerance);
    // Its two products, 0.2560 and -0.2607, all but cancel.
    assert_near("d_weight_hh", &gradients.d_weight_hh, &[d_z_1 * h_0 + d_z_2 * h_1], 100.0 * tolerance);
    assert_near("d_bias_ih", &gradients.d_bias_ih, &[d_z_1 + d_z_2], tolerance);
    assert_eq!(gradients.d_bias_hh, gradients.d_bias_ih);
}

#[test]
fn a_tanh_unit_by_hand() {
    tanh_by_hand::<f64>(1e-15);
    tanh_by_hand::<f32>(4e-7);
}

/// One unit that adds half of a delayed state to its input: every number is exact.
#[test]
fn a_delayed_state_by_hand() {
    let (cell, weight_ih, weight_hh) = (Cell::Elman(Nonlinearity::Relu), &[1.0], &[0.5]);
    let forward = |steps, x: &[f64], h_0: f64, delay| {
        let layer = Layer { cell, steps, input: 1, hidden: 1, weight_ih, weight_hh, bias: None, weight_hr: None };
        layer.forward_delayed(x, Some(&[h_0]), None, delay)
    };
    let four = Steps::new(4, 1);
    // h_t = x_t + h_{t-2} / 2, with 4 before the first step.
    assert_eq!(forward(four, &[1.0, 2.0, 3.0, 4.0], 4.0, 2.0).y, [3.0, 4.0, 4.5, 6.0]);
    // h_t = x_t + (3/4 h_{t-1} + 1/4 h_{t-2}) / 2.
    assert_eq!(forward(four, &[1.0, 0.0, 0.0, 0.0], 8.0, 1.25).y, [5.0, 2.875, 1.703125, 0.998046875]);
    // Nothing comes back over a reset.
    let resets = Some(&[false, false, true, false][..]);
    let output = forward(Steps { resets, ..four }, &[1.0, 2.0, 3.0, 4.0], 4.0, 2.0);
    assert_eq!(output, Output { y: vec![3.0, 4.0, 3.0, 4.0], h_n: vec![4.0], c_n: vec![] });
    // A step is no delay.
    let plain = Layer { cell, steps: four, input: 1, hidden: 1, weight_ih, weight_hh, bias: None, weight_hr: None };
    let x = [1.0, -2.0, 0.5, 3.0];
    assert_eq!(forward(four, &x, 4.0, 1.0), plain.forward(&x, Some(&[4.0]), None));
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
    let layer = Layer::<R> {
        cell: Cell::Elman(Nonlinearity::Relu),
        steps: Steps::new(3, 1),
        input: 2,
        hidden: 2,
        weight_ih: &weight_ih,
        weight_hh: &weight_hh,
        bias: Some([&b_ih, &b_hh]),
        weight_hr: None,
    };
    let (x, h_0) = (reals(&[1.0, -2.0, 2.0, 1.5, 0.25, 0.5]), reals(&[1.0, 2.0]));
    let y = reals(&[3.0, 0.0, 4.75, 0.5, 3.875, 0.0]);
    let expected = Output { h_n: y[4..].to_vec(), y, c_n: Vec::new() };
    assert_eq!(layer.forward(&x, Some(&h_0), None), expected);
    let (d_y, d_h_n) = (reals(&[1.0, 1.0, 0.5, -1.0, 1.0, 4.0]), reals(&[1.0, 1.0]));
    let expected = Gradients {
        d_x: reals(&[1.75, 0.875, 0.5, 2.75, 2.0, 1.0]),
        d_h_0: reals(&[0.875, 1.75]),
        // 1.75·[1, -2] + 1.5·[2, 1.5] + 2·[0.25, 0.5];  1·[2, 1.5]
        d_weight_ih: reals(&[5.25, -0.25, 2.0, 1.5]),
        // 1.75·[1, 2] + 1.5·[3, 0] + 2·[4.75, 0.5];  1·[3, 0]
        d_weight_hh: reals(&[15.75, 4.5, 3.0, 0.0]),
        d_bias_ih: reals(&[5.25, 1.0]),
        d_bias_hh: reals(&[5.25, 1.0]),
        d_c_0: Vec::new(),
        d_weight_hr: Vec::new(),
    };
    assert_eq!(layer.backward(&x, Some(&h_0), None, &d_y, Some(&d_h_n), None), expected);
}

#[test]
fn relu_units_by_hand() {
    relu_by_hand::<f64>();
    relu_by_hand::<f32>();
}

/// 1 / (1 + e⁻ˣ).
fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// A single GRU unit over two steps, every formula written out; gates r z n.
fn gru_by_hand<R: Real>(tolerance: f64) {
    let (w, u) = ([0.5, -0.25, 0.75], [-0.75, 0.5, 1.25]);
    let (b_ih, b_hh, h_0) = ([0.125, 0.25, -0.5], [-0.25, 0.5, 0.375], 0.25);
    let (x_1, x_2) = (1.0, -2.0);
    let (d_y_1, d_y_2, d_h_n) = (1.0, 0.5, -2.0);
    let forward = |x: f64, h: f64| {
        let r = sigmoid(w[0] * x + b_ih[0] + u[0] * h + b_hh[0]);
        let z = sigmoid(w[1] * x + b_ih[1] + u[1] * h + b_hh[1]);
        let n = f64::tanh(w[2] * x + b_ih[2] + r * (u[2] * h + b_hh[2]));
        (r, z, n, (1.0 - z) * n + z * h)
    };
    // At W_ih·x + b_ih of r, z and n, then what stands beside r in n.
    let backward = |(r, z, n): (f64, f64, f64), h: f64, d_h: f64| {
        let d_n = d_h * (1.0 - z) * (1.0 - n * n);
        [d_n * (u[2] * h + b_hh[2]) * r * (1.0 - r), d_h * (h - n) * z * (1.0 - z), d_n, d_n * r]
    };
    let (r_1, z_1, n_1, h_1) = forward(x_1, h_0);
    let (r_2, z_2, n_2, h_2) = forward(x_2, h_1);
    let d_2 = backward((r_2, z_2, n_2), h_1, d_y_2 + d_h_n);
    let d_h_1 = d_y_1 + (d_y_2 + d_h_n) * z_2 + u[0] * d_2[0] + u[1] * d_2[1] + u[2] * d_2[3];
    let d_1 = backward((r_1, z_1, n_1), h_0, d_h_1);
    let d_h_0 = d_h_1 * z_1 + u[0] * d_1[0] + u[1] * d_1[1] + u[2] * d_1[3];
    // The same to 16 digits by another program (mpmath).
    assert_near("h", &[h_1, h_2], &[0.356_410_145_260_649_5, 0.103_686_454_911_187_6], 1e-15);
    let digits =
        [-0.015_081_567_814_523_725, 0.025_440_087_607_890_76, -0.088_520_782_256_977_96, -0.048_397_688_903_412_53];
    assert_near("d_1", &d_1, &digits, 1e-14);
    let digits =
        [-0.003_665_150_459_970_86, -0.305_778_539_965_395_4, -0.028_019_214_061_089_38, -0.005_576_933_600_345_836];
    assert_near("d_2", &d_2, &digits, 1e-14);
    assert_near("d_h_0", &[d_h_0], &[-0.275_541_663_286_520], 1e-14);

    let [weight_ih, weight_hh, ih, hh] = [w, u, b_ih, b_hh].map(|values| reals::<R>(&values));
    let layer = Layer {
        cell: Cell::Gru,
        steps: Steps::new(2, 1),
        input: 1,
        hidden: 1,
        weight_ih: &weight_ih,
        weight_hh: &weight_hh,
        bias: Some([&ih, &hh]),
        weight_hr: None,
    };
    let (x, first) = (reals(&[x_1, x_2]), reals(&[h_0]));
    let output = layer.forward(&x, Some(&first), None);
    assert_near("y", &output.y, &[h_1, h_2], tolerance);
    assert_eq!(output.h_n, output.y[1..]);
    assert!(output.c_n.is_empty());
    let (d_y, d_h_n) = (reals(&[d_y_1, d_y_2]), reals(&[d_h_n]));
    let d = layer.backward(&x, Some(&first), None, &d_y, Some(&d_h_n), None);
    let inside = |d: [f64; 4]| [d[0], d[1], d[3]];
    let (u_1, u_2) = (inside(d_1), inside(d_2));
    let d_x = [d_1, d_2].map(|d| w[0] * d[0] + w[1] * d[1] + w[2] * d[2]);
    assert_near("d_x", &d.d_x, &d_x, tolerance);
    assert_near("d_h_0", &d.d_h_0, &[d_h_0], tolerance);
    assert_near("d_weight_ih", &d.d_weight_ih, &[0, 1, 2].map(|k| d_1[k] * x_1 + d_2[k] * x_2), tolerance);
    assert_near("d_weight_hh", &d.d_weight_hh, &[0, 1, 2].map(|k| u_1[k] * h_0 + u_2[k] * h_1), tolerance);
    assert_near("d_bias_ih", &d.d_bias_ih, &[0, 1, 2].map(|k| d_1[k] + d_2[k]), tolerance);
    assert_near("d_bias_hh", &d.d_bias_hh, &[0, 1, 2].map(|k| u_1[k] + u_2[k]), tolerance);
    assert!(d.d_c_0.is_empty() && d.d_weight_hr.is_empty());
}

#[test]
fn a_gru_unit_by_hand() {
    gru_by_hand::<f64>(1e-14);
    gru_by_hand::<f32>(1e-6);
}

/// What [`lstm_by_hand`] has from another program (mpmath), to 16 digits.
struct LstmDigits {
    h: [f64; 2],
    c: [f64; 2],
    d_1: [f64; 4],
    d_2: [f64; 4],
    /// d_h_0, d_c_0, and the gradient of the projection.
    first: [f64; 3],
}

/// A single LSTM unit over two steps, every formula written out; gates i f g o. A projection of one unit onto one
/// element is a factor.
fn lstm_by_hand<R: Real>(projection: Option<f64>, digits: &LstmDigits, tolerance: f64) {
    let p = projection.unwrap_or(1.0);
    let (w, u) = ([0.5, -0.25, 0.75, 1.25], [-0.75, 0.5, 1.25, -0.5]);
    let (b_ih, b_hh) = ([0.125, 0.25, -0.5, 0.5], [-0.25, 0.5, 0.375, 0.125]);
    let (h_0, c_0) = (0.25, -0.5);
    let (x_1, x_2) = (1.0, -2.0);
    let (d_y_1, d_y_2, d_h_n, d_c_n) = (1.0, 0.5, -2.0, 0.75);
    let gates = |x: f64, h: f64| {
        let z = [0, 1, 2, 3].map(|k| w[k] * x + b_ih[k] + u[k] * h + b_hh[k]);
        (sigmoid(z[0]), sigmoid(z[1]), z[2].tanh(), sigmoid(z[3]))
    };
    let (i_1, f_1, g_1, o_1) = gates(x_1, h_0);
    let c_1 = f_1 * c_0 + i_1 * g_1;
    let m_1 = o_1 * c_1.tanh();
    let h_1 = p * m_1;
    let (i_2, f_2, g_2, o_2) = gates(x_2, h_1);
    let c_2 = f_2 * c_1 + i_2 * g_2;
    let m_2 = o_2 * c_2.tanh();
    let h_2 = p * m_2;

    let d_h_2 = d_y_2 + d_h_n;
    let d_c_2 = d_c_n + p * d_h_2 * o_2 * (1.0 - c_2.tanh().powi(2));
    let d_2 = [
        d_c_2 * g_2 * i_2 * (1.0 - i_2),
        d_c_2 * c_1 * f_2 * (1.0 - f_2),
        d_c_2 * i_2 * (1.0 - g_2 * g_2),
        p * d_h_2 * c_2.tanh() * o_2 * (1.0 - o_2),
    ];
    let d_h_1 = d_y_1 + u[0] * d_2[0] + u[1] * d_2[1] + u[2] * d_2[2] + u[3] * d_2[3];
    let d_c_1 = d_c_2 * f_2 + p * d_h_1 * o_1 * (1.0 - c_1.tanh().powi(2));
    let d_1 = [
        d_c_1 * g_1 * i_1 * (1.0 - i_1),
        d_c_1 * c_0 * f_1 * (1.0 - f_1),
        d_c_1 * i_1 * (1.0 - g_1 * g_1),
        p * d_h_1 * c_1.tanh() * o_1 * (1.0 - o_1),
    ];
    let d_h_0 = u[0] * d_1[0] + u[1] * d_1[1] + u[2] * d_1[2] + u[3] * d_1[3];
    let (d_c_0, d_p) = (d_c_1 * f_1, d_h_1 * m_1 + d_h_2 * m_2);
    assert_near("h", &[h_1, h_2], &digits.h, 1e-14);
    assert_near("c", &[c_1, c_2], &digits.c, 1e-14);
    assert_near("d_1", &d_1, &digits.d_1, 1e-14);
    assert_near("d_2", &d_2, &digits.d_2, 1e-14);
    assert_near("first", &[d_h_0, d_c_0, d_p], &digits.first, 1e-14);

    let [weight_ih, weight_hh, ih, hh] = [w, u, b_ih, b_hh].map(|values| reals::<R>(&values));
    let weight_hr = projection.map(|p| reals(&[p]));
    let layer = Layer {
        cell: Cell::Lstm,
        steps: Steps::new(2, 1),
        input: 1,
        hidden: 1,
        weight_ih: &weight_ih,
        weight_hh: &weight_hh,
        bias: Some([&ih, &hh]),
        weight_hr: weight_hr.as_deref(),
    };
    let (x, h, c) = (reals(&[x_1, x_2]), reals(&[h_0]), reals(&[c_0]));
    let output = layer.forward(&x, Some(&h), Some(&c));
    assert_near("y", &output.y, &[h_1, h_2], tolerance);
    assert_eq!(output.h_n, output.y[1..]);
    assert_near("c_n", &output.c_n, &[c_2], tolerance);
    let (d_y, d_h_n, d_c_n) = (reals(&[d_y_1, d_y_2]), reals(&[d_h_n]), reals(&[d_c_n]));
    let d = layer.backward(&x, Some(&h), Some(&c), &d_y, Some(&d_h_n), Some(&d_c_n));
    let d_x = [d_1, d_2].map(|d| w[0] * d[0] + w[1] * d[1] + w[2] * d[2] + w[3] * d[3]);
    assert_near("d_x", &d.d_x, &d_x, tolerance);
    assert_near("d_h_0", &d.d_h_0, &[d_h_0], tolerance);
    assert_near("d_c_0", &d.d_c_0, &[d_c_0], tolerance);
    assert_near("d_weight_ih", &d.d_weight_ih, &[0, 1, 2, 3].map(|k| d_1[k] * x_1 + d_2[k] * x_2), tolerance);
    assert_near("d_weight_hh", &d.d_weight_hh, &[0, 1, 2, 3].map(|k| d_1[k] * h_0 + d_2[k] * h_1), tolerance);
    assert_near("d_bias_ih", &d.d_bias_ih, &[0, 1, 2, 3].map(|k| d_1[k] + d_2[k]), tolerance);
    assert_eq!(d.d_bias_hh, d.d_bias_ih);
    let d_p = if projection.is_some() { vec![d_p] } else { Vec::new() };
    assert_near("d_weight_hr", &d.d_weight_hr, &d_p, tolerance);
}

#[test]
fn an_lstm_unit_by_hand() {
    let digits = LstmDigits {
        h: [0.064_342_364_270_756_49, -0.020_065_456_595_641_714],
        c: [0.075_667_473_719_987_79, -0.156_450_587_069_323_6],
        d_1: [0.247_412_721_109_362_8, -0.154_428_118_676_975_56, 0.342_899_098_445_189_6, 0.010_357_996_267_493_067],
        d_2: [-0.092_365_233_467_455_97, 0.007_213_401_318_587_48, 0.022_076_502_953_354_1, 0.026_206_520_022_401_873],
        first: [0.160_671_274_752_230_6, 0.885_875_654_218_197_3, 0.100_062_334_199_928_6],
    };
    lstm_by_hand::<f64>(None, &digits, 1e-14);
    lstm_by_hand::<f32>(None, &digits, 1e-6);
}

#[test]
fn a_projected_lstm_unit_by_hand() {
    let digits = LstmDigits {
        h: [-0.048_256_773_203_067_37, 0.017_799_104_150_255_44],
        c: [0.075_667_473_719_987_79, -0.176_609_449_674_545_92],
        d_1: [
            -0.009_184_467_686_572_814,
            0.005_732_688_519_520_267,
            -0.012_729_117_869_540_355,
            -0.008_375_235_906_487_86,
        ],
        d_2: [
            -0.157_969_096_841_188_87,
            0.011_920_612_191_556_405,
            0.029_060_387_637_401_58,
            -0.023_073_763_861_670_06,
        ],
        first: [-0.001_969_084_358_991_77, -0.032_885_521_342_664_23, 0.111_026_729_455_367_13],
    };
    lstm_by_hand::<f64>(Some(-0.75), &digits, 1e-13);
    lstm_by_hand::<f32>(Some(-0.75), &digits, 1e-5);
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

#[test]
fn masked_mse_by_hand() {
    let loss = MeanSquaredError { width: 2, mask: Some(&[true, false, true]) };
    let (loss, d) = loss.evaluate(&[1.0, 2.0, f64::NAN, 7.0, -1.0, 0.5], &[0.0, 2.0, 0.0, 0.0, 1.0, 1.0]);
    assert_eq!(loss, (1.0 + 0.0 + 4.0 + 0.25) / 4.0);
    assert_eq!(d, [0.5, 0.0, 0.0, 0.0, -1.0, -0.25]);
}

#[test]
fn weighted_and_smoothed_cross_entropy_by_hand() {
    // Softmax 3/4, 1/4 in both rows: losses ln 4/3 and ln 4, of weights 1 and 3.
    let row = [3.0_f64.ln(), 0.0];
    let logits = [row, row].concat();
    let (first, second) = ((4.0_f64 / 3.0).ln(), 4.0_f64.ln());
    let weighted = CrossEntropy { class_weights: Some(&[1.0, 3.0]), ..CrossEntropy::new(2) };
    let (loss, d) = weighted.evaluate(&logits, &[0, 1]);
    assert_near("loss", &[loss], &[(first + 3.0 * second) / 4.0], 1e-15);
    assert_near("d_logits", &d, &[-0.0625, 0.0625, 0.5625, -0.5625], 1e-15);

    // Half of the label given to both classes alike: 3/4 of the label's loss and 1/4 of the other's.
    let smoothed = CrossEntropy { label_smoothing: 0.5, ..CrossEntropy::new(2) };
    let (loss, d) = smoothed.evaluate(&row, &[0]);
    assert_near("loss", &[loss], &[0.75 * first + 0.25 * second], 1e-15);
    assert_near("d_logits", &d, &[0.0, 0.0], 1e-15);

    // Both: classes share 0.5·[1, 3]/2 and the label 0.5 of its weight; the mean is by the labels' weights.
    let both = CrossEntropy { class_weights: Some(&[1.0, 3.0]), ..smoothed };
    let (loss, d) = both.evaluate(&row, &[1]);
    assert_near("loss", &[loss], &[(0.25 * first + 2.25 * second) / 3.0], 1e-15);
    assert_near("d_logits", &d, &[(0.75 * 2.5 - 0.25) / 3.0, (0.25 * 2.5 - 2.25) / 3.0], 1e-15);

    // A row that does not count changes nothing, whether by its label or by the mask; its label is not looked at.
    let mask = [false, true, true];
    let masked = CrossEntropy { mask: Some(&mask), ignore_index: 1, ..CrossEntropy::new(2) };
    let (loss, d) = masked.evaluate(&[row, row, row].concat(), &[99, 1, 0]);
    assert_near("loss", &[loss], &[first], 1e-15);
    assert_near("d_logits", &d, &[0.0, 0.0, 0.0, 0.0, -0.25, 0.25], 1e-15);

    // A class of no weight may be impossible.
    let weighted = CrossEntropy { class_weights: Some(&[1.0, 0.0]), label_smoothing: 0.5, ..CrossEntropy::new(2) };
    assert_eq!(weighted.evaluate(&[0.0, f64::NEG_INFINITY], &[0]), (0.0, vec![0.0, 0.0]));
}
