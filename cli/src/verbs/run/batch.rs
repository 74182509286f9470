//! What `elman run` reads beside a model: the batch of an input file, checked against the network.

use std::path::Path;

use elman::format::{Description, Kind, TensorFile, TensorInfo};
use elman::internals::Recurrent;
use elman::tensor::PackedSequence;
use elman::{Error, Input, State};

use super::args::{Sink, Source};
use crate::verbs::Failure;
use crate::verbs::csv::Table;

/// The tensors that an input file may hold.
const ACCEPTED: [&str; 5] = ["input", "h_0", "c_0", "lengths", "resets"];

/// How the input lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// (T, B, I).
    SequenceFirst,
    /// (B, T, I).
    BatchFirst,
    /// (T, I).
    Unbatched,
}

/// A batch of sequences, and what was to be noted of it.
pub(super) struct Batch {
    pub(super) form: Form,
    /// Of the tensor `input`.
    pub(super) shape: Vec<usize>,
    /// T.
    pub(super) steps: usize,
    /// B; 1 of an unbatched input.
    pub(super) rows: usize,
    /// Steps of all rows together, without those beyond a row's length.
    pub(super) tokens: usize,
    pub(super) notes: Vec<String>,
    /// The input's columns have names.
    pub(super) named: bool,
    x: Vec<f32>,
    /// (B).
    lengths: Option<Vec<usize>>,
    /// Where new sequences begin; lies as the input does.
    resets: Option<Vec<bool>>,
    /// (D·layers, B, H or P).
    h_0: Option<Vec<f32>>,
    /// (D·layers, B, H).
    c_0: Option<Vec<f32>>,
}

/// The rows of a batch packed, and where in them new sequences begin.
pub(super) struct Packed {
    pub(super) rows: PackedSequence,
    resets: Option<Vec<bool>>,
}

impl Batch {
    pub(super) fn read(source: Source<'_>, network: &Description, batch_first: bool) -> Result<Self, Failure> {
        match source {
            Source::Tensors(path) => Self::of_tensors(path, network, batch_first),
            Source::Csv(path) => Self::of_table(Table::open(path)?, path, network),
        }
    }

    /// One sequence.
    fn of_table(table: Table, path: &Path, network: &Description) -> Result<Self, Failure> {
        let (steps, got, expected) = (table.rows(), table.columns, network.input_size);
        if got != expected {
            let path = path.display();
            return Err(Failure::Run(format!("{path}: expected {expected} columns, one for each feature, got {got}")));
        }
        Ok(Self {
            form: Form::Unbatched,
            shape: vec![steps, got],
            steps,
            rows: 1,
            tokens: steps,
            notes: Vec::new(),
            named: table.header.is_some(),
            x: table.values,
            lengths: None,
            resets: None,
            h_0: None,
            c_0: None,
        })
    }

    fn of_tensors(path: &Path, network: &Description, batch_first: bool) -> Result<Self, Failure> {
        let file = TensorFile::open(path)?;
        known(&file)?;
        let mut notes = Vec::new();
        let (form, shape) = match file.info("input").map(|input| input.shape.to_vec()) {
            Some(shape) => (form(&shape, network.input_size, batch_first)?, shape),
            // To be told as any tensor that is missing.
            None => (Form::SequenceFirst, Vec::new()),
        };
        let x = floats(&file, "input", &shape, &mut notes)?;
        let (steps, rows) = match form {
            Form::SequenceFirst => (shape[0], shape[1]),
            Form::BatchFirst => (shape[1], shape[0]),
            Form::Unbatched => (shape[0], 1),
        };
        let lengths = file.info("lengths").map(|info| lengths(&file, info, form, steps, rows)).transpose()?;
        let resets = file.info("resets").map(|info| resets(&file, info, &shape[..shape.len() - 1])).transpose()?;
        let mut state = |name| {
            let Some(info) = file.info(name) else { return Ok(None) };
            let expected = state_shape(info, network, form, rows)?;
            floats(&file, name, &expected, &mut notes).map(Some)
        };
        let (h_0, c_0) = (state("h_0")?, state("c_0")?);
        let tokens = match &lengths {
            Some(lengths) => lengths.iter().sum(),
            // No more than the file has elements, or none.
            None => steps * rows,
        };
        Ok(Self { form, shape, steps, rows, tokens, notes, named: false, x, lengths, resets, h_0, c_0 })
    }

    /// Whether rows have lengths of their own.
    pub(super) fn ragged(&self) -> bool {
        self.lengths.as_ref().is_some_and(|lengths| lengths.iter().any(|&length| length != self.steps))
    }

    /// That the sink can hold the output.
    pub(super) fn check_sink(&self, sink: Sink<'_>) -> Result<(), Failure> {
        let got = match sink {
            Sink::Tensors(_) | Sink::Nowhere => return Ok(()),
            _ if self.rows == 1 => return Ok(()),
            Sink::Csv(path) => path.display().to_string(),
            Sink::Printed => "none".into(),
        };
        let of = format!("the input has {} sequences and CSV holds one", self.rows);
        Err(Failure::Usage(format!("--output: expected a safetensors file, as {of}, got {got}")))
    }

    /// The rows packed; nothing where the file has no lengths.
    pub(super) fn packed(&self, width: usize) -> Result<Option<Packed>, Error> {
        let Some(lengths) = &self.lengths else { return Ok(None) };
        let &Self { form, steps, rows, .. } = self;
        let (packed, [step, row]) = match form {
            Form::BatchFirst => (PackedSequence::from_batch_first(self.padded(width)?, lengths)?, [1, steps]),
            _ => (PackedSequence::from_padded(self.padded(width)?, lengths)?, [rows, 1]),
        };
        let resets = self.resets.as_ref().map(|resets| {
            let sorted = packed.sorted_indices();
            let alive = packed.batch_sizes().enumerate();
            alive.flat_map(|(t, alive)| sorted[..alive].iter().map(move |&b| resets[t * step + b * row])).collect()
        });
        Ok(Some(Packed { rows: packed, resets }))
    }

    /// What the network reads; `packed` is the batch's own.
    pub(super) fn input<'a>(&'a self, packed: Option<&'a Packed>, width: usize) -> Result<Input<'a>, Error> {
        let (input, resets) = match packed {
            Some(Packed { rows, resets }) => (rows.into(), resets),
            None if self.form == Form::Unbatched => (Input::unbatched(&self.x, width)?, &self.resets),
            None => (self.padded(width)?.into(), &self.resets),
        };
        Ok(match resets {
            Some(resets) => input.resets(resets),
            None => input,
        })
    }

    fn padded(&self, width: usize) -> Result<elman::tensor::SeqRef<'_>, Error> {
        let [outer, inner] =
            if self.form == Form::BatchFirst { [self.rows, self.steps] } else { [self.steps, self.rows] };
        elman::tensor::SeqRef::new(&self.x, outer, inner, width)
    }

    /// The first state, with zeros for the half that the file does not have; nothing where it has neither.
    pub(super) fn state(&self, network: &Recurrent) -> Result<Option<State>, Error> {
        if self.h_0.is_none() && self.c_0.is_none() {
            return Ok(None);
        }
        let mut state = network.zero_state(self.rows)?;
        if let Some(h_0) = &self.h_0 {
            state.h_mut().copy_from_slice(h_0);
        }
        if let Some(c_0) = &self.c_0 {
            state.c_mut().copy_from_slice(c_0);
        }
        Ok(Some(state))
    }

    /// Notes every NaN that will be computed with; `packed` is the batch's own.
    pub(super) fn note_nan(&mut self, packed: Option<&PackedSequence>) {
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

/// That the file has no tensor that nobody reads: it may be one under a wrong name.
fn known(file: &TensorFile) -> Result<(), Failure> {
    /// More are a file of something else.
    const MOST: usize = 8;
    let unknown: Vec<_> = file.names().filter(|name| !ACCEPTED.contains(name)).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let mut names: Vec<_> = unknown.iter().take(MOST).map(|name| format!("'{name}'")).collect();
    if unknown.len() > MOST {
        names.push(format!("{} more", unknown.len() - MOST));
    }
    let (path, names, accepted) = (file.path().display(), names.join(", "), ACCEPTED.join(", "));
    Err(Failure::Run(format!("{path}: expected no tensors but {accepted}, got {names}")))
}

fn form(shape: &[usize], features: usize, batch_first: bool) -> Result<Form, Failure> {
    let (form, expected) = match *shape {
        [t, _] => (Form::Unbatched, vec![t, features]),
        [b, t, _] if batch_first => (Form::BatchFirst, vec![b, t, features]),
        [t, b, _] => (Form::SequenceFirst, vec![t, b, features]),
        _ => return Err(Failure::Run(format!("input: expected 2 or 3 dimensions, got {shape:?}"))),
    };
    check("input", &expected, shape)?;
    Ok(form)
}

/// The shape that `h_0` or `c_0` is to have.
fn state_shape(info: TensorInfo<'_>, network: &Description, form: Form, rows: usize) -> Result<Vec<usize>, Failure> {
    let Description { kind, hidden_sizes, bidirectional, proj_size, .. } = network;
    let TensorInfo { name, shape, .. } = info;
    if name == "c_0" && *kind != Kind::Lstm {
        return Err(Failure::Run(format!("c_0: expected none, as cell {kind} has no c, got {shape:?}")));
    }
    let hidden = hidden_sizes[0];
    if hidden_sizes.iter().any(|&other| other != hidden) {
        let sizes = format!("the layers have {hidden_sizes:?} hidden units");
        return Err(Failure::Run(format!(
            "{name}: expected none, as {sizes} and no such tensor holds them, got {shape:?}"
        )));
    }
    let width = if name == "h_0" && *proj_size > 0 { *proj_size } else { hidden };
    let layers = hidden_sizes.len() * (1 + usize::from(*bidirectional));
    Ok(if form == Form::Unbatched { vec![layers, width] } else { vec![layers, rows, width] })
}

/// The elements of a tensor of that shape, and a note where they were converted.
fn floats(file: &TensorFile, name: &str, expected: &[usize], notes: &mut Vec<String>) -> Result<Vec<f32>, Failure> {
    if let Some(info) = file.info(name) {
        check(name, expected, info.shape)?;
    }
    let (_, values) = file.f32(name)?;
    if let Some(info) = file.info(name).filter(|info| info.dtype != "F32") {
        let verb = if info.dtype == "F64" { "rounded" } else { "converted" };
        notes.push(format!("{name} {verb} from {} to F32", info.dtype));
    }
    Ok(values)
}

fn lengths(
    file: &TensorFile,
    info: TensorInfo<'_>,
    form: Form,
    steps: usize,
    rows: usize,
) -> Result<Vec<usize>, Failure> {
    // Of a single sequence, its length may be a scalar.
    if !(form == Form::Unbatched && info.shape.is_empty()) {
        check("lengths", &[rows], info.shape)?;
    }
    let (_, values) = file.integers("lengths")?;
    let length = |(row, value): (usize, i64)| {
        usize::try_from(value).ok().filter(|&length| length <= steps).ok_or_else(|| {
            Failure::Run(format!("lengths[{row}]: expected 0 to {steps}, the steps of the input, got {value}"))
        })
    };
    values.into_iter().enumerate().map(length).collect()
}

fn resets(file: &TensorFile, info: TensorInfo<'_>, expected: &[usize]) -> Result<Vec<bool>, Failure> {
    check("resets", expected, info.shape)?;
    // What is neither is told to be no BOOL, the type that is meant for it.
    Ok(if info.dtype.starts_with(['I', 'U']) {
        file.integers("resets")?.1.into_iter().map(|reset| reset != 0).collect()
    } else {
        file.bools("resets")?.1
    })
}

fn check(name: &str, expected: &[usize], got: &[usize]) -> Result<(), Failure> {
    if expected == got {
        return Ok(());
    }
    Err(Error::shape(name, expected, got).into())
}
