//! The input files of `elman run`: read, and checked against the model.

use std::path::Path;

use elman::format::{Dtype, TensorFile, TensorInfo};
use elman::{Error, LayerKind, Model};

use super::batch::{Batch, Form};
use super::place::Source;
use crate::verbs::Failure;
use crate::verbs::csv::Table;
use crate::verbs::facts;

/// The tensors that an input file may hold.
const ACCEPTED: [&str; 5] = ["input", "h_0", "c_0", "lengths", "resets"];

/// What a model reads.
pub(crate) struct Reads {
    /// Features of a step; none of a model that begins with an embedding, which reads an index a step.
    features: Option<usize>,
    /// Of the embedding.
    vocabulary: usize,
    batch_first: bool,
    /// The width of h of each recurrent layer and direction.
    h: Vec<usize>,
    /// The same of c; none of a layer that has no c.
    c: Vec<usize>,
    /// What errors call the recurrent layers, if they are of one kind.
    cell: Option<String>,
    hidden_sizes: Vec<usize>,
}

impl Reads {
    pub(crate) fn of(model: &Model) -> Result<Self, Failure> {
        let spec = model.spec();
        let vocabulary = match spec.layers.first().map(|layer| &layer.kind) {
            Some(LayerKind::Embedding { vocabulary, .. }) => Some(*vocabulary),
            _ => None,
        };
        let recurrent = facts::recurrent(spec);
        let layers: usize = recurrent.iter().map(|(_, facts)| facts.num_layers * facts.directions).sum();
        let state = model.zero_state(0)?;
        Ok(Self {
            features: vocabulary.is_none().then_some(spec.inputs),
            vocabulary: vocabulary.unwrap_or(0),
            batch_first: spec.batch_first,
            h: (0..layers).filter_map(|index| state.h_of(index)).map(|h| h.shape()[2]).collect(),
            c: (0..layers).filter_map(|index| state.c_of(index)).map(|c| c.shape()[2]).collect(),
            cell: match &recurrent[..] {
                [(_, only)] => Some(only.cell.clone()),
                _ => None,
            },
            hidden_sizes: recurrent.iter().flat_map(|(_, facts)| facts.hidden_sizes.clone()).collect(),
        })
    }

    pub(crate) fn batch(&self, source: Source<'_>) -> Result<Batch, Failure> {
        match source {
            Source::Tensors(path) => self.tensors(path),
            Source::Csv(path) => self.table(Table::open(path)?, path),
        }
    }

    /// One sequence.
    fn table(&self, table: Table, path: &Path) -> Result<Batch, Failure> {
        let (steps, got, expected) = (table.rows(), table.columns, self.features.unwrap_or(1));
        if got != expected {
            let (path, of) =
                (path.display(), if self.features.is_some() { "one for each feature" } else { "the index" });
            let s = if expected == 1 { "" } else { "s" };
            return Err(Failure::Run(format!("{path}: expected {expected} column{s}, {of}, got {got}")));
        }
        if self.features.is_none() {
            for (row, &value) in table.values.iter().enumerate() {
                let whole = value.fract() == 0.0 && (i64::MIN as f32..i64::MAX as f32).contains(&value);
                if !whole || !self.is_index(value as i64) {
                    let (path, last) = (path.display(), self.vocabulary - 1);
                    let row = row + 1 + usize::from(table.header.is_some());
                    let expected = format!("expected an index from 0 to {last}, got {value}");
                    return Err(Failure::Run(format!("{path}: row {row}: {expected}")));
                }
            }
        }
        Ok(Batch {
            form: Form::Unbatched,
            shape: if self.features.is_some() { vec![steps, got] } else { vec![steps] },
            steps,
            rows: 1,
            width: got,
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

    fn tensors(&self, path: &Path) -> Result<Batch, Failure> {
        let file = TensorFile::open(path)?;
        known(&file, path)?;
        let mut notes = Vec::new();
        let (form, shape) = match file.info("input").map(|input| input.shape.to_vec()) {
            Some(shape) => (self.form(&shape)?, shape),
            // To be told as any tensor that is missing.
            None => (Form::SequenceFirst, Vec::new()),
        };
        let x = match self.features {
            Some(_) => floats(&file, "input", &shape, &mut notes)?,
            None => self.indices(&file)?,
        };
        let (steps, rows) = match form {
            Form::SequenceFirst => (shape[0], shape[1]),
            Form::BatchFirst => (shape[1], shape[0]),
            Form::Unbatched => (shape[0], 1),
        };
        let lengths = file.info("lengths").map(|info| lengths(&file, info, form, steps, rows)).transpose()?;
        let each_step = &shape[..if form == Form::Unbatched { 1 } else { 2 }];
        let resets = file.info("resets").map(|info| resets(&file, info, each_step)).transpose()?;
        let mut state = |name, widths: &[usize]| {
            let Some(info) = file.info(name) else { return Ok(None) };
            let expected = self.state_shape(info, widths, form, rows)?;
            floats(&file, name, &expected, &mut notes).map(Some)
        };
        let (h_0, c_0) = (state("h_0", &self.h)?, state("c_0", &self.c)?);
        let tokens = match &lengths {
            Some(lengths) => lengths.iter().sum(),
            // No more than the file has elements, or none.
            None => steps * rows,
        };
        let width = self.features.unwrap_or(1);
        Ok(Batch { form, shape, steps, rows, width, tokens, notes, named: false, x, lengths, resets, h_0, c_0 })
    }

    fn form(&self, shape: &[usize]) -> Result<Form, Failure> {
        let (form, mut expected) = match (shape, self.features) {
            (&[t], None) | (&[t, _], Some(_)) => (Form::Unbatched, vec![t]),
            (&[b, t], None) | (&[b, t, _], Some(_)) if self.batch_first => (Form::BatchFirst, vec![b, t]),
            (&[t, b], None) | (&[t, b, _], Some(_)) => (Form::SequenceFirst, vec![t, b]),
            (_, features) => {
                let dimensions = if features.is_some() { "2 or 3 dimensions" } else { "1 or 2 dimensions, of indices" };
                return Err(Failure::Run(format!("input: expected {dimensions}, got {shape:?}")));
            }
        };
        expected.extend(self.features);
        check("input", &expected, shape)?;
        Ok(form)
    }

    /// The indices as numbers, which the embedding reads.
    fn indices(&self, file: &TensorFile) -> Result<Vec<f32>, Failure> {
        let (_, values) = file.read_integers("input")?;
        let index = |(at, value): (usize, i64)| match self.is_index(value) {
            true => Ok(value as f32),
            false => {
                let last = self.vocabulary - 1;
                Err(Failure::Run(format!("input: expected indices from 0 to {last}, got {value} at {at}")))
            }
        };
        values.into_iter().enumerate().map(index).collect()
    }

    fn is_index(&self, value: i64) -> bool {
        usize::try_from(value).is_ok_and(|index| index < self.vocabulary)
    }

    /// The shape that a first state is to have whose layers and directions have these widths.
    fn state_shape(
        &self,
        info: TensorInfo<'_>,
        widths: &[usize],
        form: Form,
        rows: usize,
    ) -> Result<Vec<usize>, Failure> {
        let TensorInfo { name, shape, .. } = info;
        let Some(&width) = widths.first() else {
            let of = self.cell.as_ref().map_or("the model".into(), |cell| format!("cell {cell}"));
            let what = name.trim_end_matches("_0");
            return Err(Failure::Run(format!("{name}: expected none, as {of} has no {what}, got {shape:?}")));
        };
        if widths.iter().any(|&other| other != width) {
            let sizes = format!("the layers have {:?} hidden units", self.hidden_sizes);
            return Err(Failure::Run(format!(
                "{name}: expected none, as {sizes} and no such tensor holds them, got {shape:?}"
            )));
        }
        Ok(if form == Form::Unbatched { vec![widths.len(), width] } else { vec![widths.len(), rows, width] })
    }
}

/// That every tensor of the file is one that is read: another may be one of these under a wrong name.
fn known(file: &TensorFile, path: &Path) -> Result<(), Failure> {
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
    let (path, names, accepted) = (path.display(), names.join(", "), ACCEPTED.join(", "));
    Err(Failure::Run(format!("{path}: expected no tensors but {accepted}, got {names}")))
}

/// The elements of a tensor of that shape, and a note where they were converted.
fn floats(file: &TensorFile, name: &str, expected: &[usize], notes: &mut Vec<String>) -> Result<Vec<f32>, Failure> {
    if let Some(info) = file.info(name) {
        check(name, expected, info.shape)?;
    }
    let (_, values) = file.read_f32(name)?;
    if let Some(info) = file.info(name).filter(|info| info.dtype != Dtype::F32) {
        let verb = if info.dtype == Dtype::F64 { "rounded" } else { "converted" };
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
    let (_, values) = file.read_integers("lengths")?;
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
    Ok(if info.dtype.name().starts_with(['I', 'U']) {
        file.read_integers("resets")?.1.into_iter().map(|reset| reset != 0).collect()
    } else {
        file.read_bools("resets")?.1
    })
}

fn check(name: &str, expected: &[usize], got: &[usize]) -> Result<(), Failure> {
    if expected == got {
        return Ok(());
    }
    Err(Error::shape(name, expected, got).into())
}
