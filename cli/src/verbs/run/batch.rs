//! The batch that `elman run` runs a model over, in the form in which a model takes it.

use elman::tensor::{PackedSequence, SeqRef};
use elman::{Error, Input, Model, State};

use super::place::Sink;
use crate::verbs::Failure;

/// How the input lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// (T, B, I).
    SequenceFirst,
    /// (B, T, I).
    BatchFirst,
    /// (T, I).
    Unbatched,
}

/// A batch of sequences, and what was to be noted of it.
pub(crate) struct Batch {
    pub(crate) form: Form,
    /// Of the tensor `input`.
    pub(crate) shape: Vec<usize>,
    /// T.
    pub(crate) steps: usize,
    /// B; 1 of an unbatched input.
    pub(crate) rows: usize,
    /// I; 1 of indices, which are in `x` as numbers.
    pub(crate) width: usize,
    /// Steps of all rows together, without those beyond a row's length.
    pub(crate) tokens: usize,
    pub(crate) notes: Vec<String>,
    /// The input's columns have names.
    pub(crate) named: bool,
    pub(crate) x: Vec<f32>,
    /// (B).
    pub(crate) lengths: Option<Vec<usize>>,
    /// Where new sequences begin; lies as the input does.
    pub(crate) resets: Option<Vec<bool>>,
    /// (D·layers, B, H or P).
    pub(crate) h_0: Option<Vec<f32>>,
    /// (D·layers, B, H).
    pub(crate) c_0: Option<Vec<f32>>,
}

/// The rows of a batch packed, and where in them new sequences begin.
pub(crate) struct Packed {
    pub(crate) rows: PackedSequence,
    resets: Option<Vec<bool>>,
}

impl Batch {
    /// Whether rows have lengths of their own.
    pub(crate) fn ragged(&self) -> bool {
        self.lengths.as_ref().is_some_and(|lengths| lengths.iter().any(|&length| length != self.steps))
    }

    /// That the sink can hold the output.
    pub(crate) fn check_sink(&self, sink: Sink<'_>, one_step: bool) -> Result<(), Failure> {
        let got = match sink {
            Sink::Tensors(_) | Sink::Nowhere => return Ok(()),
            // One step of each sequence is a row of its own.
            _ if self.rows == 1 || one_step => return Ok(()),
            Sink::Csv(path) => path.display().to_string(),
            Sink::Printed => "none".into(),
        };
        let of = format!("the input has {} sequences and CSV holds one", self.rows);
        Err(Failure::Usage(format!("--output: expected a safetensors file, as {of}, got {got}")))
    }

    /// The rows packed; nothing where the file has no lengths.
    pub(crate) fn packed(&self) -> Result<Option<Packed>, Error> {
        let Some(lengths) = &self.lengths else { return Ok(None) };
        let &Self { form, steps, rows, .. } = self;
        let (packed, [step, row]) = match form {
            Form::BatchFirst => (PackedSequence::from_batch_first(self.padded()?, lengths)?, [1, steps]),
            _ => (PackedSequence::from_padded(self.padded()?, lengths)?, [rows, 1]),
        };
        let resets = self.resets.as_ref().map(|resets| {
            let sorted = packed.sorted_indices();
            let alive = packed.batch_sizes().enumerate();
            alive.flat_map(|(t, alive)| sorted[..alive].iter().map(move |&b| resets[t * step + b * row])).collect()
        });
        Ok(Some(Packed { rows: packed, resets }))
    }

    /// What the network reads; `packed` is the batch's own.
    pub(crate) fn input<'a>(&'a self, packed: Option<&'a Packed>) -> Result<Input<'a>, Error> {
        let (input, resets) = match packed {
            Some(Packed { rows, resets }) => (rows.into(), resets),
            None if self.form == Form::Unbatched => (Input::unbatched(&self.x, self.width)?, &self.resets),
            None => (self.padded()?.into(), &self.resets),
        };
        Ok(match resets {
            Some(resets) => input.resets(resets),
            None => input,
        })
    }

    fn padded(&self) -> Result<SeqRef<'_>, Error> {
        let [outer, inner] =
            if self.form == Form::BatchFirst { [self.rows, self.steps] } else { [self.steps, self.rows] };
        SeqRef::new(&self.x, outer, inner, self.width)
    }

    /// The first state, with zeros for the half that the file does not have; nothing where it has neither.
    pub(crate) fn state(&self, model: &Model) -> Result<Option<State>, Error> {
        if self.h_0.is_none() && self.c_0.is_none() {
            return Ok(None);
        }
        let mut state = model.zero_state(self.rows)?;
        if let Some(h_0) = &self.h_0 {
            state.h_mut().copy_from_slice(h_0);
        }
        if let Some(c_0) = &self.c_0 {
            state.c_mut().copy_from_slice(c_0);
        }
        Ok(Some(state))
    }

    /// Notes every NaN that will be computed with; `packed` is the batch's own.
    pub(crate) fn note_nan(&mut self, packed: Option<&PackedSequence>) {
        let input = packed.map_or(&self.x[..], PackedSequence::data);
        let read = [("input", Some(input)), ("h_0", self.h_0.as_deref()), ("c_0", self.c_0.as_deref())];
        for (name, values) in read {
            let note = match values.unwrap_or_default().iter().filter(|value| value.is_nan()).count() {
                0 => continue,
                1 => format!("{name}: 1 element is NaN, and computed with"),
                n => format!("{name}: {n} elements are NaN, and computed with"),
            };
            self.notes.push(note);
        }
    }
}
