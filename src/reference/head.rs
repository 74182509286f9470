//! The linear head and the losses.

use super::product::{add, multiply_add, multiply_add_back};
use super::{Real, check_len};
use crate::loss::IGNORE_INDEX;

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
            let y = &mut y[n * output..][..output];
            if let Some(bias) = self.bias {
                y.copy_from_slice(bias);
            }
            multiply_add(self.weight, &x[n * input..][..input], y);
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
            let (x, d_x) = (&x[n * input..][..input], &mut d_x[n * input..][..input]);
            let d_y = &d_y[n * output..][..output];
            multiply_add_back(self.weight, x, d_y, &mut d_weight, d_x);
            add(&mut d_bias, d_y);
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
            let one_hot = if c == target { R::ONE } else { R::ZERO };
            d_logits[n * classes + c] = ((l - largest).exp() / total - one_hot) / counted;
        }
    }
    (sum / counted, d_logits)
}
