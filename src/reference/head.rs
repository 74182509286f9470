//! The linear head.

use super::product::{add, dot_rows, multiply_add, multiply_add_back};
use super::{Real, check_len};

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
            let x = &x[n * input..][..input];
            if output < 16 && input > 64 {
                dot_rows(self.weight, x, y);
            } else {
                multiply_add(self.weight, x, y);
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
