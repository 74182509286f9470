//! Functions of each element, and of the features of a step.

use crate::kernel::Kernels;

/// A layer without parameters that keeps the shape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Elementwise {
    /// tanh(x).
    Tanh,
    /// max(0, x).
    Relu,
    /// 1 / (1 + e^-x).
    Sigmoid,
    /// e^(x_i - max x) / Σ_j e^(x_j - max x), over the features of a step.
    Softmax,
    /// max(0, min(1, alpha·x + beta)).
    HardSigmoid { alpha: f32, beta: f32 },
    /// x, or alpha·x below 0.
    LeakyRelu { alpha: f32 },
    /// alpha·x + beta.
    Affine { alpha: f32, beta: f32 },
}

impl Elementwise {
    /// Applies it to rows of that width, in place.
    pub(crate) fn forward(self, kernels: &Kernels, rows: &mut [f32], width: usize) {
        let each = |rows: &mut [f32], f: &dyn Fn(f32) -> f32| rows.iter_mut().for_each(|x| *x = f(*x));
        match self {
            Self::Tanh => kernels.tanh(rows),
            Self::Sigmoid => kernels.sigmoid(rows),
            // A NaN stays one.
            Self::Relu => rows.iter_mut().for_each(|x| *x = if *x < 0.0 { 0.0 } else { *x }),
            Self::Softmax => rows.chunks_exact_mut(width.max(1)).for_each(|row| softmax(kernels, row)),
            Self::HardSigmoid { alpha, beta } => each(rows, &|x| (alpha * x + beta).clamp(0.0, 1.0)),
            Self::LeakyRelu { alpha } => each(rows, &|x| if x < 0.0 { alpha * x } else { x }),
            Self::Affine { alpha, beta } => each(rows, &|x| alpha * x + beta),
        }
    }

    /// Turns `d`, the gradient at the output `y`, into the one at the input. Both are rows of that width.
    pub(crate) fn backward(self, y: &[f32], d: &mut [f32], width: usize) {
        let each = |d: &mut [f32], f: &dyn Fn(f32) -> f32| d.iter_mut().zip(y).for_each(|(d, &y)| *d *= f(y));
        match self {
            Self::Tanh => each(d, &|y| 1.0 - y * y),
            Self::Sigmoid => each(d, &|y| y * (1.0 - y)),
            Self::Relu => each(d, &|y| if y > 0.0 { 1.0 } else { 0.0 * y }),
            Self::Softmax => {
                for (y, d) in y.chunks_exact(width.max(1)).zip(d.chunks_exact_mut(width.max(1))) {
                    let sum: f64 = y.iter().zip(&*d).map(|(&y, &d)| f64::from(y) * f64::from(d)).sum();
                    d.iter_mut().zip(y).for_each(|(d, y)| *d = y * (*d - sum as f32));
                }
            }
            // Between the bounds, where the output tells that the input was.
            Self::HardSigmoid { alpha, .. } => each(d, &|y| if y > 0.0 && y < 1.0 { alpha } else { 0.0 }),
            Self::LeakyRelu { alpha } => each(d, &|y| if y < 0.0 { alpha } else { 1.0 }),
            Self::Affine { alpha, .. } => each(d, &|_| alpha),
        }
    }
}

fn softmax(kernels: &Kernels, row: &mut [f32]) {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    row.iter_mut().for_each(|x| *x -= largest);
    kernels.exp(row);
    let total: f64 = row.iter().map(|&x| f64::from(x)).sum();
    let share = (1.0 / total) as f32;
    row.iter_mut().for_each(|x| *x *= share);
}
