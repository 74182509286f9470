//! Linear least squares by the normal equations.

use crate::error::{Error, Result};

/// Sums over rows of inputs x, with 1 as the last of them, and a target y: the upper triangle of x xᵀ, and x y.
///
/// Inputs and target should be about 0 with a deviation about 1: the normal equations square the condition number.
#[derive(Clone, Debug)]
pub(crate) struct Normal {
    width: usize,
    rows: usize,
    products: Vec<f64>,
    targets: Vec<f64>,
}

impl Normal {
    /// Of `width` inputs, the last of them, which is 1, included.
    pub(crate) fn new(width: usize) -> Self {
        Self { width, rows: 0, products: vec![0.0; width * width], targets: vec![0.0; width] }
    }

    /// Takes a row.
    pub(crate) fn add(&mut self, inputs: &[f64], target: f64) {
        self.rows += 1;
        for (i, &x) in inputs.iter().enumerate() {
            self.targets[i] += x * target;
            let row = &mut self.products[i * self.width + i..(i + 1) * self.width];
            for (sum, &other) in row.iter_mut().zip(&inputs[i..]) {
                *sum += x * other;
            }
        }
    }

    /// How many rows there were.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The weights w that make least the mean of (w x - y)² plus `ridge` times the squares of all weights but the last.
    /// By Cholesky's factors, of which the upper one takes the products' place.
    ///
    /// # Errors
    /// The equations have no single solution in the precision of f64.
    pub(crate) fn solve(mut self, ridge: f64) -> Result<Vec<f64>> {
        let (n, a) = (self.width, &mut self.products);
        for i in 0..n - 1 {
            a[i * n + i] += ridge * self.rows as f64;
        }
        for i in 0..n {
            // All below row i are without what the rows above them explain; rows are gone through in one piece each.
            let (done, below) = a.split_at_mut((i + 1) * n);
            let row = &mut done[i * n + i..];
            let pivot = row[0];
            if pivot.is_nan() || pivot <= 0.0 {
                let got = "inputs that are sums of each other, or too large";
                return Err(Error::expected("least squares", "inputs that tell different things", got));
            }
            row.iter_mut().for_each(|x| *x /= pivot.sqrt());
            for (j, other) in below.chunks_exact_mut(n).enumerate() {
                let factor = row[j + 1];
                other[i + j + 1..].iter_mut().zip(&row[j + 1..]).for_each(|(x, y)| *x -= factor * y);
            }
        }
        let mut w = self.targets;
        for i in 0..n {
            let sum: f64 = (0..i).map(|k| a[k * n + i] * w[k]).sum();
            w[i] = (w[i] - sum) / a[i * n + i];
        }
        for i in (0..n).rev() {
            let sum: f64 = (i + 1..n).map(|k| a[i * n + k] * w[k]).sum();
            w[i] = (w[i] - sum) / a[i * n + i];
        }
        Ok(w)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plane_is_found() {
        let mut normal = Normal::new(3);
        for [a, b] in [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [2.0, -1.0]] {
            normal.add(&[a, b, 1.0], 2.0 * a - 3.0 * b + 5.0);
        }
        assert_eq!(normal.rows(), 4);
        let weights = normal.solve(0.0).unwrap();
        assert!(weights.iter().zip([2.0, -3.0, 5.0]).all(|(a, b)| (a - b).abs() < 1e-12), "{weights:?}");
    }

    #[test]
    fn inputs_that_say_the_same_need_a_ridge() {
        let normal = || {
            let mut normal = Normal::new(3);
            (0..5).for_each(|x| normal.add(&[f64::from(x), f64::from(x), 1.0], f64::from(x)));
            normal
        };
        assert!(normal().solve(0.0).unwrap_err().to_string().starts_with("least squares: expected inputs"));
        let weights = normal().solve(1e-9).unwrap();
        assert!((weights[0] - 0.5).abs() < 1e-6 && (weights[1] - 0.5).abs() < 1e-6, "{weights:?}");
    }
}
