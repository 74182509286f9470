//! What a loss reads: rows of a prediction, which of them count, and where their labels and targets lie.

use crate::error::{Error, Result, check_shape};
use crate::tensor::{PackedRef, PackedSequence, Seq, SeqMut, SeqRef};

/// A prediction in the form the model gives it.
///
/// ```
/// use elman::loss::Prediction;
/// use elman::tensor::{PackedSequence, Seq};
///
/// let padded = Seq::zeros(7, 2, 3)?;
/// let sequence_first = Prediction::from(&padded); // (T, B, C) = (7, 2, 3)
/// let batch_first = Prediction::batch_first(padded.view()); // (B, T, C) = (7, 2, 3)
///
/// let packed = PackedSequence::from_padded(padded.view(), &[7, 4])?;
/// let packed = Prediction::from(&packed);
/// assert_eq!(packed.values().step(5).shape(), [1, 3]);
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Prediction<'a> {
    values: SeqRef<'a>,
    form: PredictionForm<'a>,
}

#[derive(Clone, Copy, Debug)]
enum PredictionForm<'a> {
    SequenceFirst,
    BatchFirst,
    /// Which row of the batch lies at each place of a step.
    Packed(&'a [usize]),
}

impl<'a> Prediction<'a> {
    /// A prediction (B, T, C). One that is (T, B, C) comes by `From`.
    #[must_use]
    pub fn batch_first(values: SeqRef<'a>) -> Self {
        Self { values, form: PredictionForm::BatchFirst }
    }

    /// The elements as they came.
    #[must_use]
    pub fn values(&self) -> SeqRef<'a> {
        self.values
    }

    /// T and B. Of a packed batch, T is the length of its longest row.
    fn steps_and_batch(&self) -> [usize; 2] {
        let [first, second, _] = self.values.shape();
        if let PredictionForm::BatchFirst = self.form { [second, first] } else { [first, second] }
    }

    /// That a gradient has the rows of the prediction.
    pub(super) fn check_gradient(&self, d_prediction: &SeqMut<'_>) -> Result<()> {
        check_shape("d_prediction", &self.values.shape(), &d_prediction.shape())?;
        self.check_same_rows("d_prediction", d_prediction.lines())
    }

    fn check_same_rows(&self, name: &str, lines: crate::tensor::Lines<'_>) -> Result<()> {
        let own = self.values.lines();
        if own.is_dense() && lines.is_dense() {
            return Ok(());
        }
        for t in 0..own.steps() {
            if own.at(t).len() != lines.at(t).len() {
                let name = format!("{name}: rows of step {t}");
                return Err(Error::shape(&name, &[own.at(t).len()], &[lines.at(t).len()]));
            }
        }
        Ok(())
    }

    /// Every row, in the order they lie in.
    pub(super) fn each_row(&self, mut f: impl FnMut(PredictionRow)) {
        let (lines, mut at) = (self.values.lines(), 0);
        for step in 0..lines.steps() {
            for place in 0..lines.at(step).len() {
                f(PredictionRow { step, place, at });
                at += 1;
            }
        }
    }

    /// Which row of the batch it is.
    fn row_of_batch(&self, row: PredictionRow) -> usize {
        match self.form {
            PredictionForm::SequenceFirst => row.place,
            PredictionForm::BatchFirst => row.step,
            PredictionForm::Packed(sorted) => sorted[row.place],
        }
    }

    /// Whether it is the last step of its row of the batch.
    fn is_last(&self, row: PredictionRow) -> bool {
        let lines = self.values.lines();
        match self.form {
            PredictionForm::BatchFirst => row.place + 1 == lines.rows(),
            _ => row.step + 1 == lines.steps() || lines.at(row.step + 1).len() <= row.place,
        }
    }
}

impl<'a> From<SeqRef<'a>> for Prediction<'a> {
    fn from(values: SeqRef<'a>) -> Self {
        Self { values, form: PredictionForm::SequenceFirst }
    }
}

impl<'a> From<&'a Seq> for Prediction<'a> {
    fn from(values: &'a Seq) -> Self {
        values.view().into()
    }
}

impl<'a> From<PackedRef<'a>> for Prediction<'a> {
    fn from(values: PackedRef<'a>) -> Self {
        Self { values: values.seq(), form: PredictionForm::Packed(values.sorted_indices()) }
    }
}

impl<'a> From<&'a PackedSequence> for Prediction<'a> {
    fn from(values: &'a PackedSequence) -> Self {
        values.view().into()
    }
}

/// One row of a prediction.
#[derive(Clone, Copy)]
pub(super) struct PredictionRow {
    /// The first two indices of its place.
    pub(super) step: usize,
    pub(super) place: usize,
    /// Rows before it.
    at: usize,
}

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
        let prediction = chosen.prediction;
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
