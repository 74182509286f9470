//! What a loss reads: the rows of a prediction.

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
    pub(super) values: SeqRef<'a>,
    pub(super) form: PredictionForm<'a>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum PredictionForm<'a> {
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
    pub(super) fn steps_and_batch(&self) -> [usize; 2] {
        let [first, second, _] = self.values.shape();
        if let PredictionForm::BatchFirst = self.form { [second, first] } else { [first, second] }
    }

    /// That a gradient has the rows of the prediction.
    pub(super) fn check_gradient(&self, d_prediction: &SeqMut<'_>) -> Result<()> {
        check_shape("d_prediction", &self.values.shape(), &d_prediction.shape())?;
        self.check_same_rows("d_prediction", d_prediction.lines())
    }

    pub(super) fn check_same_rows(&self, name: &str, lines: crate::tensor::Lines<'_>) -> Result<()> {
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

    /// Those from number `at` on.
    pub(super) fn rows_from(&self, at: usize) -> impl Iterator<Item = PredictionRow> + use<'a> {
        let lines = self.values.lines();
        let (mut step, mut place) = lines.place_from_start(at);
        (at..lines.total()).map(move |at| {
            while place >= lines.at(step).len() {
                (step, place) = (step + 1, 0);
            }
            place += 1;
            PredictionRow { step, place: place - 1, at }
        })
    }

    /// Which row of the batch it is.
    pub(super) fn row_of_batch(&self, row: PredictionRow) -> usize {
        match self.form {
            PredictionForm::SequenceFirst => row.place,
            PredictionForm::BatchFirst => row.step,
            PredictionForm::Packed(sorted) => sorted[row.place],
        }
    }

    /// Whether it is the last step of its row of the batch.
    pub(super) fn is_last(&self, row: PredictionRow) -> bool {
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
    pub(super) at: usize,
}
