//! Softmax cross-entropy.

use super::Loss;
use super::prediction::{Prediction, PredictionRow};
use super::steps::{Chosen, LabelOrder, Steps};
use crate::Isa;
use crate::error::{Error, Result};
use crate::kernel::Kernels;
use crate::parallel::share_rows;
use crate::tensor::{Seq, SeqMut, SeqRef};

/// The label of a row that does not count, unless another is chosen: `torch.nn.CrossEntropyLoss`'s `ignore_index`.
pub const IGNORE_INDEX: i64 = -100;

/// Softmax cross-entropy with class labels, `torch.nn.CrossEntropyLoss`: of logits (T, B, C) the mean over the rows that
/// count of log-sum-exp minus the label's logit.
///
/// ```text
/// q_c  = (1 - label_smoothing)·weight_c·[c = label] + label_smoothing/C·weight_c
/// loss = Σ_rows Σ_c q_c (ln Σ_k exp(l_k) - l_c) / Σ_rows weight_label
/// d_c  = (softmax_c · Σ_k q_k - q_c) / Σ_rows weight_label
/// ```
///
/// ```
/// use elman::loss::{CrossEntropy, Loss};
/// use elman::tensor::Seq;
///
/// let logits = Seq::from_slice(&[1.0, 1.0, 5.0, -3.0, 0.0, 0.0], 1, 3, 2)?; // (T, B, C) = (1, 3, 2)
/// let mut d_logits = Seq::zeros(1, 3, 2)?;
/// let mut loss = CrossEntropy::new(&[0, -100, 1]).class_weights(&[1.0, 3.0]);
/// let value = loss.evaluate((&logits).into(), d_logits.view_mut())?;
/// assert!((value - 2.0_f32.ln()).abs() < 1e-6);
/// assert_eq!(d_logits.data(), [-0.125, 0.125, 0.0, 0.0, 0.375, -0.375]);
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct CrossEntropy<'a> {
    labels: &'a [i64],
    class_weights: Option<&'a [f32]>,
    label_smoothing: f32,
    ignore_index: i64,
    steps: Steps<'a>,
    isa: Option<Isa>,
}

impl<'a> CrossEntropy<'a> {
    /// The loss for those labels, each a class below C or [`IGNORE_INDEX`]: (T, B), or (B, T) of a prediction that is
    /// batch-first. Of a packed one, either (T, B) in the order of the batch, of which what lies beyond the end of a row
    /// is not read, or one label for each row of the packed data. At [`Steps::Last`] one for each row of the batch.
    #[must_use]
    pub fn new(labels: &'a [i64]) -> Self {
        Self {
            labels,
            class_weights: None,
            label_smoothing: 0.0,
            ignore_index: IGNORE_INDEX,
            steps: Steps::Every,
            isa: None,
        }
    }

    /// Sets how much the rows of each class weigh (C).
    #[must_use]
    pub fn class_weights(self, weights: &'a [f32]) -> Self {
        Self { class_weights: Some(weights), ..self }
    }

    /// Sets the share of each label, in [0, 1], that is given to all classes alike.
    #[must_use]
    pub fn label_smoothing(self, share: f32) -> Self {
        Self { label_smoothing: share, ..self }
    }

    /// Sets the label of rows that do not count.
    #[must_use]
    pub fn ignore_index(self, label: i64) -> Self {
        Self { ignore_index: label, ..self }
    }

    /// Sets which steps count.
    #[must_use]
    pub fn at(self, steps: Steps<'a>) -> Self {
        Self { steps, ..self }
    }

    /// Sets the instructions to compute with; the best there are where it is not called, or those that `ELMAN_ISA` names.
    #[must_use]
    pub fn isa(self, isa: Isa) -> Self {
        Self { isa: Some(isa), ..self }
    }

    fn check_settings(&self, classes: usize) -> Result<()> {
        if !(0.0..=1.0).contains(&self.label_smoothing) {
            return Err(Error::setting("label_smoothing", "a number in [0, 1]", self.label_smoothing));
        }
        let Some(weights) = self.class_weights else { return Ok(()) };
        if weights.len() != classes {
            return Err(Error::length("class_weights", &[classes], weights.len()));
        }
        match weights.iter().find(|weight| !(weight.is_finite() && **weight >= 0.0)) {
            Some(weight) => Err(Error::setting("class_weights", "finite numbers of at least 0", weight)),
            None => Ok(()),
        }
    }

    /// The class of a row; `None` where it does not count.
    fn class(&self, chosen: &Chosen<'_>, row: PredictionRow, order: LabelOrder) -> Option<i64> {
        // The label of a row that does not count may be anything, and at the last step there is one for each row only.
        let label = chosen.counts(row).then(|| self.labels[chosen.index(row, order)])?;
        (label != self.ignore_index).then_some(label)
    }

    fn weight(&self, class: usize) -> f32 {
        self.class_weights.map_or(1.0, |weights| weights[class])
    }
}

impl Loss for CrossEntropy<'_> {
    fn evaluate(&mut self, prediction: Prediction<'_>, mut d_prediction: SeqMut<'_>) -> Result<f32> {
        let (logits, kernels) = (prediction.values(), Kernels::chosen(self.isa)?);
        let classes = logits.shape()[2];
        prediction.check_gradient(&d_prediction)?;
        self.check_settings(classes)?;
        let chosen = Chosen::new(prediction, self.steps)?;
        let order = chosen.order("labels", self.labels.len())?;
        let (mut total_weight, mut wrong) = (0.0, None);
        prediction.each_row(|row| {
            let Some(label) = self.class(&chosen, row, order) else { return };
            match usize::try_from(label).ok().filter(|&class| class < classes) {
                Some(class) => total_weight += f64::from(self.weight(class)),
                None => wrong = wrong.or(Some(label)),
            }
        });
        if let Some(label) = wrong {
            let expected = format!("classes below {classes}, or {}", self.ignore_index);
            return Err(Error::value("labels", &expected, label));
        }
        let rows = RowLoss::new(self, kernels, classes, 1.0 / total_weight as f32);
        let of_row = |row: PredictionRow, d: &mut [f32]| match self.class(&chosen, row, order) {
            Some(label) => rows.of(logits.step(row.step).row(row.place), label as usize, d),
            None => {
                d.fill(0.0);
                0.0
            }
        };
        let mut sum = 0.0;
        match d_prediction.flat_mut().filter(|_| logits.lines().whole().is_some()) {
            Some(d) => sum = sum_of_rows(prediction, d, classes, &of_row),
            None => prediction.each_row(|row| sum += of_row(row, d_prediction.step(row.step).row(row.place))),
        }
        Ok((sum / total_weight) as f32)
    }
}

/// Rows whose losses are held at once.
const ROWS: usize = 512;
/// Floating-point operations that a class of a row costs as much as.
const FLOP: f64 = 32.0;

/// The losses of all rows, whose gradients lie side by side in `d`, summed in their order: the same bits whoever computes
/// which.
fn sum_of_rows(
    prediction: Prediction<'_>,
    d: &mut [f32],
    classes: usize,
    of_row: &(impl Fn(PredictionRow, &mut [f32]) -> f64 + Sync),
) -> f64 {
    let mut sum = 0.0;
    for (n, d) in d.chunks_mut(ROWS * classes.max(1)).enumerate() {
        let (mut losses, count) = ([0.0; ROWS], d.len() / classes.max(1));
        let flop = FLOP * d.len() as f64;
        let written = ((d, classes), (&mut losses[..count], 1));
        share_rows(count, flop, written, &|range, ((d, _), (losses, _))| {
            let rows = prediction.rows_from(n * ROWS + range.start);
            for ((row, d), loss) in rows.zip(d.chunks_exact_mut(classes)).zip(losses) {
                *loss = of_row(row, d);
            }
        });
        sum = losses[..count].iter().fold(sum, |all, loss| all + loss);
    }
    sum
}

/// Sums that the classes of a row take part in by turns, so that the additions need not wait for each other.
const LANES: usize = 16;

/// The largest of them; one that is NaN does not count.
fn largest_of(logits: &[f32]) -> f32 {
    let (full, rest) = logits.as_chunks::<LANES>();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for chunk in full {
        // Not `f32::max`, for which there is no instruction that treats a NaN so: the comparison is false for one.
        lanes.iter_mut().zip(chunk).for_each(|(lane, &x)| *lane = if x > *lane { x } else { *lane });
    }
    lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max)
}

/// Their sum.
fn sum_of(values: &[f32]) -> f64 {
    let (full, rest) = values.as_chunks::<LANES>();
    let mut lanes = [0.0_f64; LANES];
    for chunk in full {
        lanes.iter_mut().zip(chunk).for_each(|(lane, &x)| *lane += f64::from(x));
    }
    lanes.iter_mut().zip(rest).for_each(|(lane, &x)| *lane += f64::from(x));
    lanes.iter().sum()
}

/// What rows are computed with.
struct RowLoss<'a> {
    loss: &'a CrossEntropy<'a>,
    kernels: &'static Kernels,
    /// 1 by the weight of all rows.
    scale: f32,
    /// What is left of a label, and what each class is given of it.
    kept: f64,
    given: f64,
    /// Of all classes.
    weights: f64,
}

impl<'a> RowLoss<'a> {
    fn new(loss: &'a CrossEntropy<'a>, kernels: &'static Kernels, classes: usize, scale: f32) -> Self {
        let smoothing = f64::from(loss.label_smoothing);
        let weights = (0..classes).map(|class| f64::from(loss.weight(class))).sum();
        Self { loss, kernels, scale, kept: 1.0 - smoothing, given: smoothing / classes as f64, weights }
    }

    /// The loss of a row of that class, times its weight; its gradient goes into `d`.
    fn of(&self, logits: &[f32], class: usize, d: &mut [f32]) -> f64 {
        let largest = largest_of(logits);
        d.iter_mut().zip(logits).for_each(|(d, logit)| *d = logit - largest);
        self.kernels.exp(d);
        let total = sum_of(d);
        let log_sum = total.ln() + f64::from(largest);
        let share = (1.0 / total) as f32;
        let weight = self.loss.weight(class);
        if self.given == 0.0 {
            let scale = weight * self.scale;
            d.iter_mut().for_each(|d| *d = *d * share * scale);
            d[class] -= scale;
            return f64::from(weight) * (log_sum - f64::from(logits[class]));
        }
        let all = self.kept * f64::from(weight) + self.given * self.weights;
        let scale = all as f32 * self.scale;
        let mut loss = 0.0;
        for (c, (d, &logit)) in d.iter_mut().zip(logits).enumerate() {
            let label = if c == class { self.kept * f64::from(weight) } else { 0.0 };
            let q = label + self.given * f64::from(self.loss.weight(c));
            // A class of no weight may have a logit of -∞.
            if q > 0.0 {
                loss += q * (log_sum - f64::from(logit));
            }
            *d = *d * share * scale - q as f32 * self.scale;
        }
        loss
    }
}

/// [`CrossEntropy`] at every step. `d_logits` takes the shape of `logits` (T, B, C) and receives the gradient.
///
/// # Errors
/// [`Error::Length`] where `labels` are not T·B, [`Error::Value`] for one that is neither a class below C nor
/// [`IGNORE_INDEX`].
pub fn cross_entropy(logits: SeqRef<'_>, labels: &[i64], d_logits: &mut Seq) -> Result<f32> {
    let [steps, batch, classes] = logits.shape();
    d_logits.reshape(steps, batch, classes)?;
    CrossEntropy::new(labels).evaluate(logits.into(), d_logits.view_mut())
}
