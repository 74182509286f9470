//! The losses.

use super::{Real, check_len};
use crate::loss::IGNORE_INDEX;

/// Mean squared error over the elements of the rows that count.
#[derive(Clone, Copy, Debug)]
pub struct MeanSquaredError<'a> {
    /// Elements of a row.
    pub width: usize,
    /// Which rows count; all where it is not given.
    pub mask: Option<&'a [bool]>,
}

impl MeanSquaredError<'_> {
    /// The loss, and its gradient at `prediction` (N, width). The mean over nothing is NaN.
    ///
    /// # Panics
    /// If a slice has another length than its shape.
    #[must_use]
    pub fn evaluate<R: Real>(&self, prediction: &[R], target: &[R]) -> (R, Vec<R>) {
        check_len("target", &[prediction.len()], target);
        let rows = prediction.len() / self.width.max(1);
        check_len("prediction", &[rows, self.width], prediction);
        check_mask(self.mask, rows);
        let count = (0..rows).filter(|&n| counts(self.mask, n)).count() * self.width;
        let elements = R::from_f64(count as f64);
        let mut sum = R::ZERO;
        let mut d_prediction = vec![R::ZERO; prediction.len()];
        for (i, (&p, &t)) in prediction.iter().zip(target).enumerate() {
            if counts(self.mask, i / self.width) {
                sum += (p - t) * (p - t);
                d_prediction[i] = R::from_f64(2.0) * (p - t) / elements;
            }
        }
        (sum / elements, d_prediction)
    }
}

/// Mean squared error over all elements, and its gradient at `prediction`. Both slices have any one shape. The mean over
/// nothing is NaN.
///
/// # Panics
/// If the lengths differ.
#[must_use]
pub fn mse<R: Real>(prediction: &[R], target: &[R]) -> (R, Vec<R>) {
    MeanSquaredError { width: 1, mask: None }.evaluate(prediction, target)
}

/// Softmax cross-entropy, the mean over the rows that count.
#[derive(Clone, Copy, Debug)]
pub struct CrossEntropy<'a, R> {
    /// C.
    pub classes: usize,
    /// (C): how much a row of each class weighs; 1 where it is not given.
    pub class_weights: Option<&'a [R]>,
    /// The share of each label that is given to all classes alike, ε.
    pub label_smoothing: R,
    /// The label of rows that do not count.
    pub ignore_index: i64,
    /// Which rows count; all where it is not given.
    pub mask: Option<&'a [bool]>,
}

impl<R: Real> CrossEntropy<'_, R> {
    /// Every row that has a class, all alike, and no smoothing.
    #[must_use]
    pub fn new(classes: usize) -> Self {
        let ignore_index = IGNORE_INDEX;
        Self { classes, class_weights: None, label_smoothing: R::ZERO, ignore_index, mask: None }
    }

    /// The loss, and its gradient (N, C) at `logits` (N, C). `labels` (N) holds the class of each row, or `ignore_index`
    /// where the row does not count. The mean over nothing is NaN.
    ///
    /// # Panics
    /// If a slice has another length than its shape, or the label of a row that counts is not below C.
    #[must_use]
    pub fn evaluate(&self, logits: &[R], labels: &[i64]) -> (R, Vec<R>) {
        let classes = self.classes;
        check_len("logits", &[labels.len(), classes], logits);
        check_mask(self.mask, labels.len());
        let weight = |c: usize| self.class_weights.map_or(R::ONE, |weights| weights[c]);
        if let Some(weights) = self.class_weights {
            check_len("class_weights", &[classes], weights);
        }
        let class = |n: usize| {
            let label = Some(labels[n]).filter(|&label| counts(self.mask, n) && label != self.ignore_index)?;
            let class = usize::try_from(label).ok().filter(|&class| class < classes);
            Some(class.unwrap_or_else(|| panic!("labels: expected classes below {classes}, got {label}")))
        };
        let mut total_weight = R::ZERO;
        (0..labels.len()).filter_map(class).for_each(|class| total_weight += weight(class));

        let (kept, given) = (R::ONE - self.label_smoothing, self.label_smoothing / R::from_f64(classes as f64));
        let mut sum = R::ZERO;
        let mut d_logits = vec![R::ZERO; logits.len()];
        for n in 0..labels.len() {
            let Some(class) = class(n) else { continue };
            let row = &logits[n * classes..][..classes];
            let largest = row.iter().fold(row[0], |largest, &l| if l > largest { l } else { largest });
            let mut total = R::ZERO;
            for &l in row {
                total += (l - largest).exp();
            }
            let share = |c: usize| if c == class { kept * weight(c) } else { R::ZERO } + given * weight(c);
            let mut shares = R::ZERO;
            (0..classes).for_each(|c| shares += share(c));
            for (c, &l) in row.iter().enumerate() {
                if share(c) > R::ZERO {
                    sum += share(c) * (total.ln() - (l - largest));
                }
                d_logits[n * classes + c] = ((l - largest).exp() / total * shares - share(c)) / total_weight;
            }
        }
        (sum / total_weight, d_logits)
    }
}

/// Softmax cross-entropy, the mean over the rows that count, and its gradient (N, C) at `logits` (N, C). `labels` (N)
/// holds the class of each row, or [`IGNORE_INDEX`] where the row does not count. The mean over nothing is NaN.
///
/// # Panics
/// If the lengths do not fit N rows of `classes`, or a class is not below `classes`.
#[must_use]
pub fn cross_entropy<R: Real>(classes: usize, logits: &[R], labels: &[i64]) -> (R, Vec<R>) {
    CrossEntropy::new(classes).evaluate(logits, labels)
}

fn counts(mask: Option<&[bool]>, row: usize) -> bool {
    mask.is_none_or(|mask| mask[row])
}

fn check_mask(mask: Option<&[bool]>, rows: usize) {
    if let Some(mask) = mask {
        check_len("mask", &[rows], mask);
    }
}
