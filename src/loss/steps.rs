//! Which rows of a prediction count, and where their labels lie.

use super::prediction::{Prediction, PredictionForm, PredictionRow};
use crate::error::{Error, Result};

/// Which steps count.
///
/// ```
/// use elman::loss::{Loss, MeanSquaredError, Steps};
/// use elman::tensor::Seq;
///
/// let (prediction, target) = (Seq::from_slice(&[9.0, 1.0, 3.0], 3, 1, 1)?, Seq::zeros(3, 1, 1)?);
/// let mut d_prediction = Seq::zeros(3, 1, 1)?;
/// // The first step is a warm-up and does not count.
/// let mut loss = MeanSquaredError::new(&target).at(Steps::Mask(&[false, true, true]));
/// assert_eq!(loss.evaluate((&prediction).into(), d_prediction.view_mut())?, 5.0);
/// assert_eq!(d_prediction.data(), [0.0, 1.0, 3.0]);
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub enum Steps<'a> {
    /// Every step of every row.
    #[default]
    Every,
    /// The last step of each row; of a packed batch, each row's own. There is a label or a target for each row of the
    /// batch then, in the order of the batch. A row of no steps has none that counts.
    Last,
    /// The steps that are marked: (T, B), or (B, T) of a prediction that is batch-first. Of a packed batch, either (T, B)
    /// in the order of the batch, of which what lies beyond the end of a row is not read, or one mark for each row of the
    /// packed data.
    Mask(&'a [bool]),
}

/// Which rows of a prediction count, and where what belongs to them lies.
pub(super) struct Chosen<'a> {
    prediction: Prediction<'a>,
    rule: Rule<'a>,
}

enum Rule<'a> {
    Every,
    Last,
    Mask(&'a [bool], LabelOrder),
}

/// The order of something that has an element for each row of a prediction.
#[derive(Clone, Copy)]
pub(super) enum LabelOrder {
    /// As the prediction lies.
    Prediction,
    /// (T, B) in the order of the batch, beside a packed prediction.
    Padded,
    /// (B), in the order of the batch.
    Batch,
}

impl<'a> Chosen<'a> {
    pub(super) fn new(prediction: Prediction<'a>, steps: Steps<'a>) -> Result<Self> {
        let rule = match steps {
            Steps::Every => Rule::Every,
            Steps::Last => Rule::Last,
            Steps::Mask(mask) => Rule::Mask(mask, order_of_all("mask", mask.len(), prediction)?),
        };
        Ok(Self { prediction, rule })
    }

    /// The prediction whose rows they are.
    pub(super) fn prediction(&self) -> Prediction<'a> {
        self.prediction
    }

    /// Whether every row counts by construction.
    pub(super) fn is_every(&self) -> bool {
        matches!(self.rule, Rule::Every)
    }

    /// Whether only last steps do.
    pub(super) fn is_last(&self) -> bool {
        matches!(self.rule, Rule::Last)
    }

    /// Whether the row counts.
    pub(super) fn counts(&self, row: PredictionRow) -> bool {
        match self.rule {
            Rule::Every => true,
            Rule::Last => self.prediction.is_last(row),
            Rule::Mask(mask, order) => mask[self.index(row, order)],
        }
    }

    /// The order of `len` labels.
    pub(super) fn order(&self, name: &str, len: usize) -> Result<LabelOrder> {
        if self.is_last() {
            let [_, batch] = self.prediction.steps_and_batch();
            if len == batch { Ok(LabelOrder::Batch) } else { Err(Error::length(name, &[batch], len)) }
        } else {
            order_of_all(name, len, self.prediction)
        }
    }

    /// Which element in that order is the row's.
    pub(super) fn index(&self, row: PredictionRow, order: LabelOrder) -> usize {
        match order {
            LabelOrder::Prediction => row.at,
            LabelOrder::Padded => row.step * self.prediction.values.shape()[1] + self.prediction.row_of_batch(row),
            LabelOrder::Batch => self.prediction.row_of_batch(row),
        }
    }
}

/// The order of `len` elements for all rows of a prediction.
fn order_of_all(name: &str, len: usize, prediction: Prediction<'_>) -> Result<LabelOrder> {
    let (values, total) = (prediction.values, prediction.values.lines().total());
    if len == total {
        // Where a packed batch has no padding, its rows are of one length, and in the order they came in.
        return Ok(LabelOrder::Prediction);
    }
    let [first, second, _] = values.shape();
    match prediction.form {
        PredictionForm::Packed(_) if second > 0 && len.is_multiple_of(second) && len / second >= first => {
            Ok(LabelOrder::Padded)
        }
        _ => Err(Error::length(name, &[first, second], len)),
    }
}
