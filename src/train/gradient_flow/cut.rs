//! A batch one step at a time.

use crate::error::{Error, Result};
use crate::layer::Readout;
use crate::model::{LayerKind, LayerSpec, Model, ModelSpec};
use crate::network::{Input, Source};
use crate::tensor::SeqRef;

/// A batch, or the gradient of its output, from which single steps are taken in the form that the whole had.
pub(super) struct Cut {
    values: Values,
    resets: Option<Vec<bool>>,
    form: StepForm,
    steps: usize,
    batch: usize,
}

/// Time-major: (T, B) rows of a width, or indices.
enum Values {
    Rows(Vec<f32>, usize),
    Indices(Vec<u32>),
}

/// How a step is given to a model.
#[derive(Clone, Copy)]
enum StepForm {
    /// (1, B, ·).
    SequenceFirst,
    /// (B, 1, ·), the same elements.
    BatchFirst,
    /// (1, ·).
    Unbatched,
}

impl Cut {
    /// # Errors
    /// [`Error::Unsupported`] for a packed batch, [`Error::Value`] for one without steps, [`Error::Length`] for a mask of
    /// resets of another size.
    pub(super) fn new(input: &Input<'_>, batch_first: bool) -> Result<Self> {
        let form = if batch_first { StepForm::BatchFirst } else { StepForm::SequenceFirst };
        let order = |[first, second]: [usize; 2]| if batch_first { [second, first] } else { [first, second] };
        let (values, form, [steps, batch]) = match input.source {
            Source::Padded(x) => {
                let [first, second, width] = x.shape();
                let rows: Vec<f32> = x.each_row().flatten().copied().collect();
                (
                    Values::Rows(time_major(&rows, [first, second, width], batch_first), width),
                    form,
                    order([first, second]),
                )
            }
            Source::Unbatched(x) => {
                let [steps, _, width] = x.shape();
                (Values::Rows(x.each_row().flatten().copied().collect(), width), StepForm::Unbatched, [steps, 1])
            }
            Source::Indices { indices, steps: first, batch: second } => {
                let indices = time_major(indices, [first, second, 1], batch_first);
                (Values::Indices(indices), form, order([first, second]))
            }
            Source::Packed(_) => {
                let what = "a gradient flow over a packed batch (sequences of one length have one, or each by itself)";
                return Err(Error::unsupported("input", what));
            }
        };
        if steps == 0 || batch == 0 {
            return Err(Error::value("input", "at least one step of one row", format_args!("({steps}, {batch})")));
        }
        let resets = match input.resets {
            Some(mask) if mask.len() != steps * batch => {
                return Err(Error::length("resets", &order([steps, batch]), mask.len()));
            }
            Some(mask) => {
                let [first, second] = order([steps, batch]);
                Some(time_major(mask, [first, second, 1], batch_first && !matches!(form, StepForm::Unbatched)))
            }
            None => None,
        };
        Ok(Self { values, resets, form, steps, batch })
    }

    /// Rows of that width in the form of this batch, batch-first ones turned.
    pub(super) fn like(&self, rows: Vec<f32>, width: usize, batch_first: bool) -> Self {
        let turned = batch_first && matches!(self.form, StepForm::BatchFirst);
        let rows = if turned { time_major(&rows, [self.batch, self.steps, width], true) } else { rows };
        Self { values: Values::Rows(rows, width), resets: None, ..*self }
    }

    /// Rows of that width, one for each of the batch, as a single step in the form of this one.
    pub(super) fn of_one_step(&self, rows: Vec<f32>, width: usize) -> Self {
        Self { values: Values::Rows(rows, width), resets: None, steps: 1, ..*self }
    }

    pub(super) fn steps(&self) -> usize {
        self.steps
    }

    /// A step in the form of the whole.
    pub(super) fn at(&self, t: usize) -> Result<Input<'_>> {
        let Self { batch, form, .. } = *self;
        let [first, second] = if let StepForm::BatchFirst = form { [batch, 1] } else { [1, batch] };
        let input = match &self.values {
            Values::Rows(rows, width) => {
                let step = &rows[t * batch * width..][..batch * width];
                match form {
                    StepForm::Unbatched => Input::unbatched(step, *width)?,
                    _ => SeqRef::new(step, first, second, *width)?.into(),
                }
            }
            Values::Indices(indices) => Input::indices(&indices[t * batch..][..batch], first, second)?,
        };
        Ok(match &self.resets {
            Some(mask) => input.resets(&mask[t * batch..][..batch]),
            None => input,
        })
    }
}

/// (first, second) rows of `width` elements, turned to (second, first) where they are batch-first.
fn time_major<T: Copy>(rows: &[T], [first, second, width]: [usize; 3], batch_first: bool) -> Vec<T> {
    if !batch_first {
        return rows.to_vec();
    }
    let row = |b: usize, t: usize| &rows[(b * second + t) * width..][..width];
    (0..second).flat_map(|t| (0..first).flat_map(move |b| row(b, t))).copied().collect()
}

/// That a gradient can be followed back through the layers step by step. Whether one step is left of each row.
///
/// # Errors
/// [`Error::Unsupported`].
pub(super) fn check(layers: &[LayerSpec]) -> Result<bool> {
    let mut leaves_last = false;
    for LayerSpec { name, kind } in layers {
        let name = if name.is_empty() { "model" } else { name };
        match kind {
            LayerKind::Recurrent(spec) if spec.bidirectional => {
                let what = "a gradient flow through a reverse direction, whose states come from later steps";
                return Err(Error::unsupported(name, format!("{what} (layers of one direction have one)")));
            }
            LayerKind::Readout(Readout::Last) => leaves_last = true,
            LayerKind::Readout(Readout::EveryStep) => {}
            LayerKind::Readout(other) => {
                let what = "a gradient flow through the read-out";
                return Err(Error::unsupported(name, format!("{what} {other:?} (EveryStep and Last have one)")));
            }
            LayerKind::Residual { layers, .. } => _ = check(layers)?,
            _ => {}
        }
    }
    Ok(leaves_last)
}

/// The same model without dropout, where it has some.
///
/// # Errors
/// As a run of the model: it refuses parameters that are not its own.
pub(super) fn bare(model: &Model, input: &Input<'_>) -> Result<Option<Model>> {
    if !model.has_dropout() {
        return Ok(None);
    }
    model.run(*input)?;
    let mut spec = ModelSpec { parts: Vec::new(), ..model.spec().clone() };
    without_dropout(&mut spec.layers);
    let mut bare = Model::on(spec, model.isa())?;
    bare.params_mut().data_mut().copy_from_slice(model.params().data());
    Ok(Some(bare))
}

fn without_dropout(layers: &mut [LayerSpec]) {
    for layer in layers {
        match &mut layer.kind {
            LayerKind::Recurrent(spec) => spec.dropout = 0.0,
            LayerKind::Residual { layers, .. } => without_dropout(layers),
            _ => {}
        }
    }
}
