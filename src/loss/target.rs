//! What a prediction should have been, row by row.

use super::prediction::{Prediction, PredictionForm, PredictionRow};
use super::steps::Chosen;
use crate::error::{Error, Result, check_shape};
use crate::tensor::{PackedRef, PackedSequence, Seq, SeqRef};

/// What a prediction should have been: (T, B, C), (B, T, C), or packed in the same order as the prediction.
///
/// ```
/// use elman::loss::{MeanSquaredError, Target};
/// use elman::tensor::{PackedSequence, Seq};
///
/// let padded = Seq::zeros(7, 2, 1)?;
/// let packed = PackedSequence::from_padded(padded.view(), &[7, 4])?;
/// // What is taken as a target: sequences, their views, and packed ones.
/// let loss = MeanSquaredError::new(&packed);
/// let loss = MeanSquaredError::new(Target::from(padded.view()));
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    values: SeqRef<'a>,
    /// Of a packed one, which row of the batch lies at each place.
    sorted: Option<&'a [usize]>,
}

impl<'a> Target<'a> {
    /// The rows that belong to those of a prediction.
    pub(super) fn of(self, chosen: &Chosen<'a>) -> Result<TargetRows<'a>> {
        let prediction = chosen.prediction();
        let ([first, second, width], [steps, batch]) = (prediction.values.shape(), prediction.steps_and_batch());
        let got = self.values.shape();
        let find = if chosen.is_last() {
            // A row for each of the batch, whichever of the two sizes of 1 comes first.
            match got {
                [1, b, w] if (b, w) == (batch, width) => Find::OneStep,
                [b, 1, w] if (b, w) == (batch, width) => Find::OneRow,
                _ => return Err(Error::shape("target", &[1, batch, width], &got)),
            }
        } else if let (PredictionForm::Packed(_), None, true) =
            (prediction.form, self.sorted, self.values.lines().is_dense())
        {
            if got[0] < steps || got[1..] != [batch, width] {
                return Err(Error::shape("target", &[steps, batch, width], &got));
            }
            Find::Padded
        } else {
            check_shape("target", &[first, second, width], &got)?;
            prediction.check_same_rows("target", self.values.lines())?;
            if let (PredictionForm::Packed(order), Some(sorted)) = (prediction.form, self.sorted)
                && order != sorted
            {
                return Err(Error::value("target", "rows in the order of the prediction", "another order"));
            }
            Find::Place
        };
        Ok(TargetRows { prediction, values: self.values, find })
    }
}

impl<'a> From<SeqRef<'a>> for Target<'a> {
    fn from(values: SeqRef<'a>) -> Self {
        Self { values, sorted: None }
    }
}

impl<'a> From<&'a Seq> for Target<'a> {
    fn from(values: &'a Seq) -> Self {
        values.view().into()
    }
}

impl<'a> From<PackedRef<'a>> for Target<'a> {
    fn from(values: PackedRef<'a>) -> Self {
        Self { values: values.seq(), sorted: Some(values.sorted_indices()) }
    }
}

impl<'a> From<&'a PackedSequence> for Target<'a> {
    fn from(values: &'a PackedSequence) -> Self {
        values.view().into()
    }
}

/// A target beside its prediction.
pub(super) struct TargetRows<'a> {
    prediction: Prediction<'a>,
    values: SeqRef<'a>,
    find: Find,
}

/// Where a row of the target lies.
#[derive(Clone, Copy)]
enum Find {
    /// Where the prediction's does.
    Place,
    /// At the same step, in the order of the batch.
    Padded,
    /// In the only step, in the order of the batch.
    OneStep,
    /// In the only row of as many steps as the batch has rows.
    OneRow,
}

impl<'a> TargetRows<'a> {
    /// Whether every row lies where the prediction's does.
    pub(super) fn in_place(&self) -> Option<SeqRef<'a>> {
        matches!(self.find, Find::Place).then_some(self.values)
    }

    /// The row that belongs to that of the prediction.
    pub(super) fn row(&self, row: PredictionRow) -> &'a [f32] {
        let batch = || self.prediction.row_of_batch(row);
        match self.find {
            Find::Place => self.values.step(row.step).row(row.place),
            Find::Padded => self.values.step(row.step).row(batch()),
            Find::OneStep => self.values.step(0).row(batch()),
            Find::OneRow => self.values.step(batch()).row(0),
        }
    }
}
