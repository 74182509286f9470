//! The mean squared error.

use super::Loss;
use super::prediction::Prediction;
use super::steps::{Chosen, Steps};
use super::target::{Target, TargetRows};
use crate::error::Result;
use crate::tensor::{Seq, SeqMut, SeqRef, StepRows};

/// Sums that the elements of a row take part in by turns. One sum waits for itself: 4 cycles an element, a tenth of the
/// training of a small layer.
const LANES: usize = 8;

/// Mean squared error over all elements of the steps that count, `torch.nn.MSELoss`. The gradient is
/// 2 (prediction - target) / elements.
///
/// ```
/// use elman::loss::{Loss, MeanSquaredError, Steps};
/// use elman::tensor::Seq;
///
/// let prediction = Seq::from_slice(&[0.0, 1.0, 2.0, 3.0], 2, 2, 1)?; // (T, B, C)
/// let target = Seq::from_slice(&[2.0, 1.0], 1, 2, 1)?; // what each row should end with
/// let mut d_prediction = Seq::zeros(2, 2, 1)?;
/// let mut loss = MeanSquaredError::new(&target).at(Steps::Last);
/// assert_eq!(loss.evaluate((&prediction).into(), d_prediction.view_mut())?, 2.0);
/// assert_eq!(d_prediction.data(), [0.0, 0.0, 0.0, 2.0]);
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct MeanSquaredError<'a> {
    target: Target<'a>,
    steps: Steps<'a>,
}

impl<'a> MeanSquaredError<'a> {
    /// The distance from `target`, in the form and shape of the prediction; a packed prediction's may be padded,
    /// (T, B, C) in the order of the batch. At [`Steps::Last`] it is (1, B, C) or (B, 1, C).
    pub fn new(target: impl Into<Target<'a>>) -> Self {
        Self { target: target.into(), steps: Steps::Every }
    }

    /// Sets which steps count.
    #[must_use]
    pub fn at(self, steps: Steps<'a>) -> Self {
        Self { steps, ..self }
    }
}

impl Loss for MeanSquaredError<'_> {
    fn evaluate(&mut self, prediction: Prediction<'_>, mut d_prediction: SeqMut<'_>) -> Result<f32> {
        prediction.check_gradient(&d_prediction)?;
        let chosen = Chosen::new(prediction, self.steps)?;
        let target = self.target.of(&chosen)?;
        let values = prediction.values();
        let mut errors = Errors { scale: 0.0, sums: [0.0; LANES] };
        let n = if let (true, Some(target)) = (chosen.is_every(), target.in_place()) {
            let n = values.lines().total() * values.shape()[2];
            errors.scale = 2.0 / n as f32;
            errors.of_all(values, target, d_prediction);
            n
        } else {
            let mut rows = 0;
            prediction.each_row(|row| rows += usize::from(chosen.counts(row)));
            let n = rows * values.shape()[2];
            errors.scale = 2.0 / n as f32;
            errors.of_chosen(&chosen, &target, values, &mut d_prediction);
            n
        };
        let sum: f64 = errors.sums.iter().sum();
        Ok((sum / n as f64) as f32)
    }
}

/// The sum of the squares so far.
struct Errors {
    scale: f32,
    sums: [f64; LANES],
}

impl Errors {
    /// Of every row of both.
    fn of_all(&mut self, prediction: SeqRef<'_>, target: SeqRef<'_>, mut d_prediction: SeqMut<'_>) {
        let [steps, _, width] = prediction.shape();
        let rows = [prediction, target].map(StepRows::of);
        if let ([Some(prediction), Some(target)], Some(mut d)) = (rows, d_prediction.of_one_row()) {
            for t in 0..steps {
                self.of_row(prediction.step(t, width), target.step(t, width), d.row(t));
            }
            return;
        }
        for t in 0..steps {
            let (prediction, target, mut d) = (prediction.step(t), target.step(t), d_prediction.step(t));
            for i in 0..prediction.shape()[0] {
                self.of_row(prediction.row(i), target.row(i), d.row(i));
            }
        }
    }

    /// Of the rows that count; the others' gradient is zero.
    fn of_chosen(
        &mut self,
        chosen: &Chosen<'_>,
        target: &TargetRows<'_>,
        values: SeqRef<'_>,
        d_prediction: &mut SeqMut<'_>,
    ) {
        chosen.prediction().each_row(|row| {
            let mut step = d_prediction.step(row.step);
            let d = step.row(row.place);
            if chosen.counts(row) {
                self.of_row(values.step(row.step).row(row.place), target.row(row), d);
            } else {
                d.fill(0.0);
            }
        });
    }

    #[inline(always)]
    fn of_row(&mut self, prediction: &[f32], target: &[f32], d: &mut [f32]) {
        let Self { scale, sums } = self;
        let (full, rest) = d.as_chunks_mut::<LANES>();
        let (full_p, rest_p) = prediction.as_chunks::<LANES>();
        let (full_y, rest_y) = target.as_chunks::<LANES>();
        for ((d, p), y) in full.iter_mut().zip(full_p).zip(full_y) {
            for lane in 0..LANES {
                let difference = p[lane] - y[lane];
                sums[lane] += f64::from(difference) * f64::from(difference);
                d[lane] = difference * *scale;
            }
        }
        for (((d, p), y), sum) in rest.iter_mut().zip(rest_p).zip(rest_y).zip(sums) {
            let difference = p - y;
            *sum += f64::from(difference) * f64::from(difference);
            *d = difference * *scale;
        }
    }
}

/// [`MeanSquaredError`] at every step. `d_prediction` takes the shape of `prediction` (T, B, C) and receives the gradient.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) where `target` has another shape.
pub fn mse(prediction: SeqRef<'_>, target: SeqRef<'_>, d_prediction: &mut Seq) -> Result<f32> {
    let [steps, batch, width] = prediction.shape();
    d_prediction.reshape(steps, batch, width)?;
    MeanSquaredError::new(target).evaluate(prediction.into(), d_prediction.view_mut())
}
