//! The model of `elman run`: which part of a file it is, and how it is read.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;

use elman::format::{self as files, Description, Kind, TensorFile};
use elman::{Model, ModelSpec, Nonlinearity};

use super::args::Args;
use crate::verbs::common::{count, listed};
use crate::verbs::{Failure, layers};

/// Reads the file, and notes what was taken, converted and left aside.
pub(super) fn load(args: &Args, notes: &mut Vec<String>) -> Result<Model, Failure> {
    let file = TensorFile::open(args.model())?;
    let mut spec = spec(&file, args, notes)?;
    spec.batch_first |= args.batch_first;
    let mut model = Model::new(spec)?;
    fill(&mut model, &file, notes)?;
    note_nan(&model, notes);
    Ok(model)
}

/// What the file is, by the first of these that says it: the options, its own spec, its names and shapes.
fn spec(file: &TensorFile, args: &Args, notes: &mut Vec<String>) -> Result<ModelSpec, Failure> {
    if let Some(list) = &args.layers {
        return layers::spec(file, list, args.nonlinearity);
    }
    if let Some(path) = &args.spec {
        return read_spec(path);
    }
    let description = files::describe(file, args.only.as_deref(), args.cell)?;
    let nonlinearity = choose(file, &description, args.nonlinearity, notes)?;
    Ok(layers::alone(&description, nonlinearity))
}

/// A spec that somebody wrote, or that `inspect --json` printed.
fn read_spec(path: &Path) -> Result<ModelSpec, Failure> {
    let name = path.display();
    let text = fs::read_to_string(path).map_err(|error| Failure::Run(format!("cannot read {name}: {error}")))?;
    serde_json::from_str(&text)
        .map_err(|error| Failure::Run(format!("{name}: expected a model's spec as JSON: {error}")))
}

/// Gives every parameter its tensor of the file.
fn fill(model: &mut Model, file: &TensorFile, notes: &mut Vec<String>) -> Result<(), Failure> {
    let (mut used, mut converted) = (HashSet::new(), BTreeMap::<_, usize>::new());
    let shapes: Vec<_> = model.params().iter().map(|(name, shape, _)| (name.to_string(), shape.to_vec())).collect();
    let mut params = model.params_mut();
    let mut left = params.data_mut();
    for (name, expected) in &shapes {
        // torch.nn.LSTMCell's names are those of the one layer without its number.
        let unnumbered = name.strip_suffix("_l0").filter(|_| file.info(name).is_none());
        let name = unnumbered.filter(|name| file.info(name).is_some()).unwrap_or(name);
        let (shape, values) = file.f32(name)?;
        if shape != *expected {
            let problem = format!("{name}: expected {expected:?}, got {shape:?}");
            return Err(Failure::Run(format!("{}: {problem}", file.path().display())));
        }
        let (to, rest) = left.split_at_mut(values.len());
        to.copy_from_slice(&values);
        left = rest;
        used.insert(name);
        if let Some(info) = file.info(name).filter(|info| info.dtype != "F32") {
            *converted.entry(info.dtype).or_default() += 1;
        }
    }
    for (dtype, tensors) in converted {
        let verb = if dtype == "F64" { "rounded" } else { "converted" };
        notes.push(format!("weights {verb} from {dtype} to F32 ({})", count(tensors as u64, "tensor")));
    }
    let aside: Vec<_> = file.names().filter(|name| !used.contains(name)).collect();
    if !aside.is_empty() {
        notes.push(format!("left aside, as this model does not have them: {}", listed(&aside)));
    }
    Ok(())
}

/// Notes every NaN among the weights, as it spreads to all that is computed.
fn note_nan(model: &Model, notes: &mut Vec<String>) {
    let nan = |values: &[f32]| values.iter().filter(|value| value.is_nan()).count();
    let all: Vec<_> =
        model.params().iter().map(|(name, _, values)| (name, nan(values))).filter(|(_, n)| *n > 0).collect();
    let n: usize = all.iter().map(|(_, n)| n).sum();
    if n > 0 {
        let names: Vec<_> = all.iter().map(|(name, _)| *name).collect();
        let are = if n == 1 { "1 weight is".into() } else { format!("{n} weights are") };
        notes.push(format!("{are} NaN, and computed with: in {}", listed(&names)));
    }
}

/// The activation of an Elman network; of the others there is none to choose.
fn choose(
    file: &TensorFile,
    description: &Description,
    asked: Option<Nonlinearity>,
    notes: &mut Vec<String>,
) -> Result<Nonlinearity, Failure> {
    if description.kind != Kind::Rnn {
        return match asked {
            None => Ok(Nonlinearity::Tanh),
            Some(asked) => {
                let kind = description.kind;
                Err(Failure::Usage(format!("--nonlinearity: expected none, as cell {kind} has its own, got {asked}")))
            }
        };
    }
    let told = file.metadata().find(|&(key, _)| key == "nonlinearity").map(|(_, value)| value);
    match (asked, told) {
        (Some(asked), Some(told)) if asked.to_string() != told => {
            notes
                .push(format!("nonlinearity {asked} taken, as --nonlinearity says; the file's metadata says '{told}'"));
            Ok(asked)
        }
        (Some(asked), _) => Ok(asked),
        (None, Some(told)) => {
            told.parse().map_err(|error| Failure::Run(format!("{}: metadata: {error}", file.path().display())))
        }
        (None, None) => {
            notes.push("nonlinearity tanh taken, as a state dict does not say; set it with --nonlinearity".into());
            Ok(Nonlinearity::Tanh)
        }
    }
}
