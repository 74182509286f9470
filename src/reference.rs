//! The naive engine: every layer and loss, forward and backward, written for reading. It is the specification that all
//! faster code here is judged by, so nobody optimises it: plain loops in the order of the equations, in `f32` or `f64`,
//! no state, no error but a panic. `tests/reference.rs` judges it: by cases worked out by hand, by finite differences
//! and by PyTorch.
//!
//! T steps, B rows, I inputs, H units; N rows of a head, C classes. Every slice is row-major; W is (out, in).
//!
//! ```text
//! Elman          h_t      = act(W_ih·x_t + b_ih + W_hh·h_{t-1} + b_hh)     y_t = h_t,  h_n = h_T
//!   backward     d_h_t    = d_y_t + W_hhᵀ·d_z_{t+1}                        at the last step d_h_n, not the product
//!                d_z_t    = d_h_t * act'                                   tanh: 1 - h_t²;  relu: 1 if h_t > 0, else 0
//!                d_x_t    = W_ihᵀ·d_z_t,   d_h_0 = W_hhᵀ·d_z_1
//!                d_W_ih   = Σ d_z_t ⊗ x_t,  d_W_hh = Σ d_z_t ⊗ h_{t-1},  d_b = Σ d_z_t    over steps and rows
//!
//! Linear         y        = W·x + b
//!   backward     d_x      = Wᵀ·d_y,  d_W = Σ d_y ⊗ x,  d_b = Σ d_y                        over rows
//!
//! MSE            loss     = mean (p - target)²,  d_p = 2 (p - target) / elements
//!
//! Cross-entropy  loss     = mean over the rows that count of ln Σ_c exp(l_c - m) - (l_target - m),  m = max_c l_c
//!                d_l_c    = (exp(l_c - m) / Σ_c exp(l_c - m) - [c = target]) / rows that count;  0 in the others
//! ```
//!
//! ```
//! use elman::cell::Nonlinearity;
//! use elman::reference::Elman;
//!
//! // One unit that halves its state and adds its input.
//! let (nonlinearity, bias) = (Nonlinearity::Relu, None);
//! let (weight_ih, weight_hh) = (&[1.0], &[0.5]);
//! let layer = Elman { steps: 3, batch: 1, input: 1, hidden: 1, nonlinearity, weight_ih, weight_hh, bias };
//! let x = [1.0, 0.0, 2.0];
//! let y = layer.forward(&x, None);
//! assert_eq!(y, [1.0, 0.5, 2.25]);
//!
//! // How the last output depends on each input.
//! let gradients = layer.backward(&x, None, &y, &[0.0, 0.0, 1.0], None);
//! assert_eq!(gradients.d_x, [0.25, 0.5, 1.0]);
//! ```

use std::fmt::Debug;
use std::ops::{Add, AddAssign, Div, Mul, Sub};

use crate::cell::Nonlinearity;
use crate::loss::IGNORE_INDEX;

/// What the reference computes in: `f32` or `f64`, with the standard library's functions.
pub trait Real:
    Copy
    + Debug
    + PartialOrd
    + Into<f64>
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + AddAssign
    + sealed::Sealed
{
    /// Zero.
    const ZERO: Self;
    /// The number nearest to `x`.
    fn from_f64(x: f64) -> Self;
    /// The hyperbolic tangent.
    fn tanh(self) -> Self;
    /// eˣ.
    fn exp(self) -> Self;
    /// The natural logarithm.
    fn ln(self) -> Self;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! real {
    ($float:ident: $($function:ident)*) => {
        impl sealed::Sealed for $float {}
        impl Real for $float {
            const ZERO: Self = 0.0;
            fn from_f64(x: f64) -> Self { x as $float }
            $(fn $function(self) -> Self { $float::$function(self) })*
        }
    };
}

real!(f32: tanh exp ln);
real!(f64: tanh exp ln);

/// An Elman layer, one direction: its sizes and its parameters as PyTorch lays them out.
#[derive(Clone, Copy, Debug)]
pub struct Elman<'a, R> {
    /// T; may be 0.
    pub steps: usize,
    /// B.
    pub batch: usize,
    /// I.
    pub input: usize,
    /// H.
    pub hidden: usize,
    /// The activation.
    pub nonlinearity: Nonlinearity,
    /// (H, I).
    pub weight_ih: &'a [R],
    /// (H, H).
    pub weight_hh: &'a [R],
    /// `bias_ih` and `bias_hh`, (H) each; or none.
    pub bias: Option<[&'a [R]; 2]>,
}

/// What [`Elman::backward`] gives.
#[derive(Clone, Debug, PartialEq)]
pub struct ElmanGradients<R> {
    /// (T, B, I).
    pub d_x: Vec<R>,
    /// (B, H); of the zeros where no first state was given.
    pub d_h_0: Vec<R>,
    /// (H, I).
    pub d_weight_ih: Vec<R>,
    /// (H, H).
    pub d_weight_hh: Vec<R>,
    /// (H): of either bias, as they are only ever added; computed where there are none too.
    pub d_bias: Vec<R>,
}

impl<R: Real> Elman<'_, R> {
    /// Every state, (T, B, H), for the input `x` (T, B, I) and the first state `h_0` (B, H), or zeros.
    ///
    /// # Panics
    /// If a slice has another length than its shape.
    #[must_use]
    pub fn forward(&self, x: &[R], h_0: Option<&[R]>) -> Vec<R> {
        self.check(x, h_0);
        let Self { steps, batch, input, hidden, .. } = *self;
        let mut y = vec![R::ZERO; steps * batch * hidden];
        for t in 0..steps {
            for b in 0..batch {
                let row = t * batch + b;
                for j in 0..hidden {
                    let mut z = self.bias.map_or(R::ZERO, |[ih, hh]| ih[j] + hh[j]);
                    for i in 0..input {
                        z += self.weight_ih[j * input + i] * x[row * input + i];
                    }
                    for k in 0..hidden {
                        z += self.weight_hh[j * hidden + k] * self.state_before(t, b, k, h_0, &y);
                    }
                    y[row * hidden + j] = self.activation(z);
                }
            }
        }
        y
    }

    /// Backpropagation through time. `x` and `h_0` are those of [`forward`](Self::forward), `y` (T, B, H) is what it
    /// gave; `d_y` (T, B, H) is the gradient at every output, `d_h_n` (B, H) what reaches the last state besides. With
    /// T = 0 the last state is the first.
    ///
    /// # Panics
    /// If a slice has another length than its shape.
    #[must_use]
    pub fn backward(&self, x: &[R], h_0: Option<&[R]>, y: &[R], d_y: &[R], d_h_n: Option<&[R]>) -> ElmanGradients<R> {
        let Self { steps, batch, input, hidden, .. } = *self;
        self.check(x, h_0);
        check_len("y", &[steps, batch, hidden], y);
        check_len("d_y", &[steps, batch, hidden], d_y);
        if let Some(d_h_n) = d_h_n {
            check_len("d_h_n", &[batch, hidden], d_h_n);
        }

        let mut d_x = vec![R::ZERO; x.len()];
        let mut d_weight_ih = vec![R::ZERO; hidden * input];
        let mut d_weight_hh = vec![R::ZERO; hidden * hidden];
        let mut d_bias = vec![R::ZERO; hidden];
        // (B, H): what reaches the state after step t from later; in the end, the gradient of h_0.
        let mut d_h = d_h_n.map_or_else(|| vec![R::ZERO; batch * hidden], <[R]>::to_vec);
        for t in (0..steps).rev() {
            let mut d_h_before = vec![R::ZERO; batch * hidden];
            for b in 0..batch {
                let row = t * batch + b;
                for j in 0..hidden {
                    let d_z = self.before_activation(y[row * hidden + j], d_y[row * hidden + j] + d_h[b * hidden + j]);
                    for i in 0..input {
                        d_x[row * input + i] += self.weight_ih[j * input + i] * d_z;
                        d_weight_ih[j * input + i] += d_z * x[row * input + i];
                    }
                    for k in 0..hidden {
                        d_h_before[b * hidden + k] += self.weight_hh[j * hidden + k] * d_z;
                        d_weight_hh[j * hidden + k] += d_z * self.state_before(t, b, k, h_0, y);
                    }
                    d_bias[j] += d_z;
                }
            }
            d_h = d_h_before;
        }
        ElmanGradients { d_x, d_h_0: d_h, d_weight_ih, d_weight_hh, d_bias }
    }

    /// Unit `k` of row `b` before step `t`.
    fn state_before(&self, t: usize, b: usize, k: usize, h_0: Option<&[R]>, y: &[R]) -> R {
        match t {
            0 => h_0.map_or(R::ZERO, |h_0| h_0[b * self.hidden + k]),
            _ => y[((t - 1) * self.batch + b) * self.hidden + k],
        }
    }

    /// A NaN stays one.
    fn activation(&self, z: R) -> R {
        match self.nonlinearity {
            Nonlinearity::Tanh => z.tanh(),
            Nonlinearity::Relu if z <= R::ZERO => R::ZERO,
            Nonlinearity::Relu => z,
        }
    }

    /// The gradient before the activation, of its value `h` and the gradient `d_h` behind it.
    fn before_activation(&self, h: R, d_h: R) -> R {
        match self.nonlinearity {
            Nonlinearity::Tanh => (R::from_f64(1.0) - h * h) * d_h,
            Nonlinearity::Relu if h <= R::ZERO => R::ZERO,
            Nonlinearity::Relu => d_h,
        }
    }

    fn check(&self, x: &[R], h_0: Option<&[R]>) {
        let Self { steps, batch, input, hidden, .. } = *self;
        check_len("weight_ih", &[hidden, input], self.weight_ih);
        check_len("weight_hh", &[hidden, hidden], self.weight_hh);
        if let Some([ih, hh]) = self.bias {
            check_len("bias_ih", &[hidden], ih);
            check_len("bias_hh", &[hidden], hh);
        }
        check_len("x", &[steps, batch, input], x);
        if let Some(h_0) = h_0 {
            check_len("h_0", &[batch, hidden], h_0);
        }
    }
}

/// A fully connected layer: its sizes and its parameters as PyTorch lays them out.
#[derive(Clone, Copy, Debug)]
pub struct Linear<'a, R> {
    /// N.
    pub rows: usize,
    /// Features in.
    pub input: usize,
    /// Features out.
    pub output: usize,
    /// (out, in).
    pub weight: &'a [R],
    /// (out), or none.
    pub bias: Option<&'a [R]>,
}

/// What [`Linear::backward`] gives.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearGradients<R> {
    /// (N, in).
    pub d_x: Vec<R>,
    /// (out, in).
    pub d_weight: Vec<R>,
    /// (out); computed where there is no bias too.
    pub d_bias: Vec<R>,
}

impl<R: Real> Linear<'_, R> {
    /// y (N, out) for `x` (N, in).
    ///
    /// # Panics
    /// If a slice has another length than its shape.
    #[must_use]
    pub fn forward(&self, x: &[R]) -> Vec<R> {
        self.check(x);
        let Self { rows, input, output, .. } = *self;
        let mut y = vec![R::ZERO; rows * output];
        for n in 0..rows {
            for o in 0..output {
                let mut sum = self.bias.map_or(R::ZERO, |bias| bias[o]);
                for i in 0..input {
                    sum += self.weight[o * input + i] * x[n * input + i];
                }
                y[n * output + o] = sum;
            }
        }
        y
    }

    /// The gradients of everything, from the input `x` (N, in) and the gradient `d_y` (N, out).
    ///
    /// # Panics
    /// If a slice has another length than its shape.
    #[must_use]
    pub fn backward(&self, x: &[R], d_y: &[R]) -> LinearGradients<R> {
        self.check(x);
        let Self { rows, input, output, .. } = *self;
        check_len("d_y", &[rows, output], d_y);
        let mut d_x = vec![R::ZERO; rows * input];
        let mut d_weight = vec![R::ZERO; output * input];
        let mut d_bias = vec![R::ZERO; output];
        for n in 0..rows {
            for o in 0..output {
                let d = d_y[n * output + o];
                for i in 0..input {
                    d_x[n * input + i] += self.weight[o * input + i] * d;
                    d_weight[o * input + i] += d * x[n * input + i];
                }
                d_bias[o] += d;
            }
        }
        LinearGradients { d_x, d_weight, d_bias }
    }

    fn check(&self, x: &[R]) {
        check_len("weight", &[self.output, self.input], self.weight);
        if let Some(bias) = self.bias {
            check_len("bias", &[self.output], bias);
        }
        check_len("x", &[self.rows, self.input], x);
    }
}

/// Mean squared error over all elements, and its gradient at `prediction`. Both slices have any one shape.
///
/// # Panics
/// If the lengths differ or are 0: a mean over nothing is not defined.
#[must_use]
pub fn mse<R: Real>(prediction: &[R], target: &[R]) -> (R, Vec<R>) {
    check_len("target", &[prediction.len()], target);
    assert!(!prediction.is_empty(), "prediction: at least 1 element");
    let n = R::from_f64(prediction.len() as f64);
    let mut sum = R::ZERO;
    let mut d_prediction = Vec::new();
    for (&p, &t) in prediction.iter().zip(target) {
        sum += (p - t) * (p - t);
        d_prediction.push(R::from_f64(2.0) * (p - t) / n);
    }
    (sum / n, d_prediction)
}

/// Softmax cross-entropy, the mean over the rows that count, and its gradient (N, C) at `logits` (N, C). `targets` (N)
/// holds the class of each row, or [`IGNORE_INDEX`] where the row does not count.
///
/// # Panics
/// If the lengths do not fit N rows of `classes`, if a class is not below `classes`, or if no row counts: a mean over
/// nothing is not defined.
#[must_use]
pub fn cross_entropy<R: Real>(classes: usize, logits: &[R], targets: &[i64]) -> (R, Vec<R>) {
    check_len("logits", &[targets.len(), classes], logits);
    let counted = targets.iter().filter(|&&target| target != IGNORE_INDEX).count();
    assert!(counted > 0, "targets: at least 1 row that is not ignored");
    let counted = R::from_f64(counted as f64);
    let mut sum = R::ZERO;
    let mut d_logits = vec![R::ZERO; logits.len()];
    for (n, &target) in targets.iter().enumerate() {
        if target == IGNORE_INDEX {
            continue;
        }
        let target = usize::try_from(target).ok().filter(|&target| target < classes);
        let target = target.unwrap_or_else(|| panic!("targets: expected classes below {classes}, got {}", targets[n]));
        let row = &logits[n * classes..][..classes];
        let largest = row.iter().fold(row[0], |largest, &l| if l > largest { l } else { largest });
        let mut total = R::ZERO;
        for &l in row {
            total += (l - largest).exp();
        }
        sum += total.ln() - (row[target] - largest);
        for (c, &l) in row.iter().enumerate() {
            let one_hot = if c == target { R::from_f64(1.0) } else { R::ZERO };
            d_logits[n * classes + c] = ((l - largest).exp() / total - one_hot) / counted;
        }
    }
    (sum / counted, d_logits)
}

#[track_caller]
fn check_len<R>(name: &str, shape: &[usize], values: &[R]) {
    let expected = shape.iter().product::<usize>();
    assert!(values.len() == expected, "{name}: shape {shape:?} needs {expected} elements, got {}", values.len());
}
