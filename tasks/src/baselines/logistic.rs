//! Logistic regression over sparse features, with a penalty on the squares of the weights.

use super::lbfgs::minimize;
use crate::error::{Error, Result};

/// No element of the mean loss's gradient is larger at the end: accuracies change no more by then.
const TOLERANCE: f64 = 1e-5;
/// More steps than any of the baselines takes to get there.
const ITERATIONS: usize = 300;

/// A weight takes 8 bytes in each of some 25 vectors while it is fitted: 3.4 GB then.
const MOST_WEIGHTS: usize = 1 << 24;

/// Rows of a few features each, all others being 0.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sparse {
    /// Where each row ends.
    ends: Vec<usize>,
    entries: Vec<(u32, f32)>,
}

impl Sparse {
    /// Adds a row of features, by their numbers, and their values.
    pub fn push(&mut self, row: impl IntoIterator<Item = (u32, f32)>) {
        self.entries.extend(row);
        self.ends.push(self.entries.len());
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.ends.len()
    }

    /// A row's features and their values.
    ///
    /// # Panics
    /// There is no such row.
    pub fn row(&self, row: usize) -> &[(u32, f32)] {
        let begin = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.entries[begin..self.ends[row]]
    }
}

/// Checks that there is a label of a class for each of the rows, and at least one.
pub(super) fn check_labels(rows: usize, labels: &[usize], classes: usize) -> Result<()> {
    if rows != labels.len() || rows == 0 {
        let got = format!("{rows} rows and {} labels", labels.len());
        return Err(Error::expected("classifier", "a label for each row, and at least one", got));
    }
    match labels.iter().max() {
        Some(&most) if most >= classes => {
            Err(Error::expected("label", format_args!("a number less than {classes}"), most))
        }
        _ => Ok(()),
    }
}

/// Checks that a weight for each feature and class does not take more memory than a machine has.
pub(super) fn check_weights(features: usize, classes: usize) -> Result<()> {
    if features.saturating_add(1).saturating_mul(classes) > MOST_WEIGHTS {
        let got = format!("{features} features and {classes} classes");
        let expected = format!("features times classes of at most {MOST_WEIGHTS}");
        return Err(Error::expected("classifier", expected, got));
    }
    Ok(())
}

/// A fitted model: a weight for each feature and class, and an intercept for each class.
#[derive(Clone, Debug, PartialEq)]
pub struct Logistic {
    classes: usize,
    /// By features, then outputs; the intercepts last. Two classes have one output, which says how likely the second is.
    weights: Vec<f64>,
}

impl Logistic {
    /// Makes least the sum of `c` times the rows' cross-entropies and of half the squares of the weights, intercepts
    /// aside. There is no chance in it: the same rows give the same model. `features` is how many there are.
    ///
    /// # Errors
    /// No rows, not a label for each, fewer than two classes, a label or a feature beyond the last, a value that is not
    /// finite, a `c` that is not above 0, or features times classes of more than 2²⁴.
    pub fn fit(rows: &Sparse, features: usize, labels: &[usize], classes: usize, c: f64) -> Result<Self> {
        check_labels(rows.rows(), labels, classes)?;
        if classes < 2 || !(c > 0.0 && c.is_finite()) {
            let got = format!("{classes} classes and c = {c}");
            return Err(Error::expected("logistic regression", "at least two classes, and a finite c above 0", got));
        }
        if let Some((feature, value)) = rows.entries.iter().find(|(f, v)| *f as usize >= features || !v.is_finite()) {
            let got = format!("{value} for number {feature}");
            let expected = format!("finite values, and numbers less than {features}");
            return Err(Error::expected("feature", expected, got));
        }
        let outputs = if classes == 2 { 1 } else { classes };
        check_weights(features, outputs)?;
        let penalty = 1.0 / (c * rows.rows() as f64);
        let mut this = Self { classes, weights: vec![0.0; (features + 1) * outputs] };
        let mut weights = this.weights.clone();
        let mut residual = vec![0.0; outputs];
        minimize(&mut weights, TOLERANCE, ITERATIONS, |w, gradient| {
            let (w, intercepts) = w.split_at(features * outputs);
            gradient.fill(0.0);
            let mut loss = 0.0;
            for (row, &label) in labels.iter().enumerate() {
                scores(rows.row(row), w, intercepts, &mut residual);
                loss += cross_entropy(&mut residual, label);
                for &(feature, value) in rows.row(row) {
                    add(gradient, feature as usize, &residual, f64::from(value));
                }
                add(gradient, features, &residual, 1.0);
            }
            let scale = 1.0 / labels.len() as f64;
            gradient.iter_mut().for_each(|g| *g *= scale);
            gradient.iter_mut().zip(w).for_each(|(g, w)| *g += penalty * w);
            loss * scale + 0.5 * penalty * w.iter().map(|w| w * w).sum::<f64>()
        });
        this.weights = weights;
        Ok(this)
    }

    /// The likeliest class of a row, of equals the first. Features that the model was not fitted to are 0.
    pub fn predict(&self, row: &[(u32, f32)]) -> usize {
        let outputs = if self.classes == 2 { 1 } else { self.classes };
        let (weights, intercepts) = self.weights.split_at(self.weights.len() - outputs);
        let known: Vec<_> =
            row.iter().copied().filter(|(feature, _)| (*feature as usize) < weights.len() / outputs).collect();
        let mut z = vec![0.0; outputs];
        scores(&known, weights, intercepts, &mut z);
        if outputs == 1 { usize::from(z[0] > 0.0) } else { largest(&z) }
    }
}

/// The index of the largest, of equals the first.
pub(super) fn largest(values: &[f64]) -> usize {
    (1..values.len()).fold(0, |best, index| if values[index] > values[best] { index } else { best })
}

fn scores(row: &[(u32, f32)], weights: &[f64], intercepts: &[f64], z: &mut [f64]) {
    z.copy_from_slice(intercepts);
    for &(feature, value) in row {
        let weights = &weights[feature as usize * z.len()..][..z.len()];
        z.iter_mut().zip(weights).for_each(|(z, w)| *z += f64::from(value) * w);
    }
}

fn add(gradient: &mut [f64], feature: usize, residual: &[f64], value: f64) {
    let gradient = &mut gradient[feature * residual.len()..][..residual.len()];
    gradient.iter_mut().zip(residual).for_each(|(g, r)| *g += value * r);
}

/// The cross-entropy of a row, and in place of its scores the gradient: probability minus truth.
fn cross_entropy(z: &mut [f64], label: usize) -> f64 {
    if let [z] = z {
        let (score, truth) = (*z, label as f64);
        // Neither overflows: the exponent is never above 0.
        let e = (-score.abs()).exp();
        *z = if score >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) } - truth;
        return score.max(0.0) + e.ln_1p() - truth * score;
    }
    let most = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let truth = z[label] - most;
    z.iter_mut().for_each(|z| *z = (*z - most).exp());
    let sum: f64 = z.iter().sum();
    z.iter_mut().for_each(|z| *z /= sum);
    z[label] -= 1.0;
    sum.ln() - truth
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sparse(rows: &[&[(u32, f32)]]) -> Sparse {
        let mut sparse = Sparse::default();
        rows.iter().for_each(|row| sparse.push(row.iter().copied()));
        sparse
    }

    /// With one feature that is always 1 beside the intercept the optimum is known in closed form only for the intercept:
    /// without features it is the logarithm of the odds.
    #[test]
    fn intercepts_are_the_classes_shares() {
        let rows = sparse(&[&[], &[], &[], &[]]);
        let two = Logistic::fit(&rows, 0, &[1, 1, 1, 0], 2, 1.0).unwrap();
        assert!((two.weights[0] - 3.0_f64.ln()).abs() < 1e-3, "{two:?}");
        let three = Logistic::fit(&rows, 0, &[2, 2, 1, 0], 3, 1.0).unwrap();
        assert!((three.weights[2] - three.weights[0] - 2.0_f64.ln()).abs() < 1e-3, "{three:?}");
        assert_eq!((two.predict(&[]), three.predict(&[(7, 1.0)])), (1, 2));
    }

    /// The gradient is 0 at the optimum: w = c (1 - p) for a row of each class with features of opposite signs.
    #[test]
    fn weights_are_the_optimum() {
        let rows = sparse(&[&[(0, 1.0)], &[(0, -1.0)]]);
        let fit = Logistic::fit(&rows, 1, &[1, 0], 2, 3.0).unwrap();
        let w = fit.weights[0];
        assert!((w - 6.0 / (1.0 + w.exp())).abs() < 1e-3 && fit.weights[1].abs() < 1e-4, "{fit:?}");
        assert_eq!((fit.predict(&[(0, 1.0)]), fit.predict(&[(0, -1.0)])), (1, 0));
        assert_eq!(Logistic::fit(&rows, 1, &[1, 0], 2, 3.0).unwrap(), fit);
    }

    #[test]
    fn classes_are_told_apart() {
        let rows = sparse(&[&[(0, 1.0)], &[(1, 1.0)], &[(2, 1.0)], &[(0, 1.0), (3, 1.0)]]);
        let labels = [0, 1, 2, 0];
        let fit = Logistic::fit(&rows, 4, &labels, 3, 10.0).unwrap();
        assert_eq!((0..4).map(|row| fit.predict(rows.row(row))).collect::<Vec<_>>(), labels);
    }

    #[test]
    fn what_cannot_be_fitted_is_told() {
        let rows = sparse(&[&[(1, 1.0)]]);
        let told = |features, labels: &[usize], classes, c| {
            Logistic::fit(&rows, features, labels, classes, c).unwrap_err().to_string()
        };
        assert_eq!(
            told(2, &[], 2, 1.0),
            "classifier: expected a label for each row, and at least one, got 1 rows and 0 labels"
        );
        assert_eq!(told(2, &[2], 2, 1.0), "label: expected a number less than 2, got 2");
        assert_eq!(
            told(1, &[0], 2, 1.0),
            "feature: expected finite values, and numbers less than 1, got 1 for number 1"
        );
        assert!(told(1 << 22, &[0], 5, 1.0).ends_with("got 4194304 features and 5 classes"));
        assert!(told(2, &[0], 1, 1.0).contains("1 classes") && told(2, &[0], 2, 0.0).ends_with("c = 0"));
    }
}
