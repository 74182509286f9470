//! The model of a file: what the file or the options say that it is, and what was made of it.

use std::fs;
use std::path::{Path, PathBuf};

use elman::format::{CellKind, Description, LoadOptions, TensorFile, describe, prefixes};
use elman::{CellSpec, Error, ErrorKind, LayerKind, LayerSpec, Model, ModelSpec, Nonlinearity};

use super::common::{cell, listed, nonlinearity};
use super::{Failure, facts};

/// The options of all verbs that read a model.
#[derive(clap::Args)]
pub(crate) struct ModelArgs {
    /// Which cell the weights are of, rnn, gru or lstm; told by their shapes unless set
    #[arg(long, value_name = "CELL", value_parser = cell)]
    pub(crate) cell: Option<CellKind>,
    /// An rnn's activation, tanh or relu; what the file's metadata says unless set, else tanh
    #[arg(long, value_name = "NAME", value_parser = nonlinearity)]
    pub(crate) nonlinearity: Option<Nonlinearity>,
    /// Take the part of the model whose parameters' names begin so, such as encoder.rnn, and leave the others aside
    #[arg(long, value_name = "PREFIX", alias = "prefix")]
    pub(crate) only: Option<String>,
    /// What the input goes through, where the file does not say it: names of its modules, tanh, relu, sigmoid, softmax, and
    /// last, mean, max over steps, such as 'lstm, last, fc1, relu, fc2'
    #[arg(long, value_name = "LIST", conflicts_with_all = ["only", "cell", "spec"])]
    pub(crate) layers: Option<String>,
    /// What the model is, where its file does not say it: a file such as the spec that inspect prints
    #[arg(long, value_name = "FILE", conflicts_with_all = ["only", "cell", "nonlinearity"])]
    pub(crate) spec: Option<PathBuf>,
    /// Read a tensor of the file by another name, or all whose names begin so: where OLD is empty or ends in a dot, an
    /// underscore or anything else but a letter or a digit, such as encoder., enc_. May be given several times
    #[arg(long, value_name = "OLD=NEW", value_parser = renaming)]
    pub(crate) rename: Vec<(String, String)>,
}

fn renaming(text: &str) -> Result<(String, String), String> {
    let (old, new) = text.split_once('=').ok_or("expected two names, OLD=NEW")?;
    Ok((old.into(), new.into()))
}

/// A spec, what was taken for it, and how its parameters are found in the file.
pub(crate) struct Reading {
    pub(crate) spec: ModelSpec,
    /// What the file does not say and was taken; none where nothing was.
    pub(crate) taken: Option<String>,
    pub(crate) options: LoadOptions,
}

/// A model, and where in its file it was.
pub(crate) struct Loaded {
    pub(crate) model: Model,
    /// The prefix of its one recurrent layer or stack, as the file has it; none where it has several.
    pub(crate) prefix: Option<String>,
}

/// Reads the file, and notes what was taken, converted and left aside.
pub(crate) fn load(
    path: &Path,
    args: &ModelArgs,
    batch_first: bool,
    notes: &mut Vec<String>,
) -> Result<Loaded, Failure> {
    let file = open(path, args)?;
    let Reading { mut spec, taken, options } = read(&file, args, notes)?;
    spec.batch_first |= batch_first;
    if spec.layers.is_empty() {
        let parts: Vec<_> = spec.parts.iter().map(|(name, _)| &name[..]).collect();
        let (path, parts) = (path.display(), listed(&parts));
        return Err(Failure::Usage(format!("{path}: expected one of its parts by --only, {parts}, got none")));
    }
    let mut model = Model::new(spec)?;
    let report = model.load(&file, &options)?;
    notes.extend(taken);
    notes.extend(report.converted.iter().map(ToString::to_string));
    note_nan(&model, notes);
    let prefix = match &facts::recurrent(model.spec())[..] {
        [(layer, _)] => Some(prefix_of(&file, &format!("{}{layer}", options.prefix))),
        _ => None,
    };
    Ok(Loaded { model, prefix })
}

/// What the names of a layer's parameters begin with in the file: `lstm.`, or `enc_`.
fn prefix_of(file: &TensorFile, layer: &str) -> String {
    let known = prefixes(file).into_iter().find(|prefix| prefix.trim_end_matches(['.', '_']) == layer);
    let dot = if layer.is_empty() { "" } else { "." };
    known.map_or_else(|| format!("{layer}{dot}"), Into::into)
}

/// The file under the names that are asked for.
pub(crate) fn open(path: &Path, args: &ModelArgs) -> Result<TensorFile, Failure> {
    Ok(TensorFile::open(path)?.rename(&args.rename)?)
}

/// What the file is, by the first of these that says it: the options, its own spec, its names and sizes.
pub(crate) fn read(file: &TensorFile, args: &ModelArgs, notes: &mut Vec<String>) -> Result<Reading, Failure> {
    let mut reading = settle(file, args)?;
    choose(&mut reading.spec, file, args.nonlinearity, notes)?;
    Ok(reading)
}

fn settle(file: &TensorFile, args: &ModelArgs) -> Result<Reading, Failure> {
    if let Some(path) = &args.spec {
        return specified(read_spec(path)?, file);
    }
    let has_spec = file.metadata().any(|(key, _)| key == elman::format::SPEC_KEY);
    if let (true, Some(name)) = (has_spec, &args.only)
        && let Some(reading) = named_part(file, name)?
    {
        return Ok(reading);
    }
    let list = match (&args.layers, &args.only, args.cell) {
        (Some(list), ..) => Some(list.clone()),
        (None, Some(part), _) => Some(part_of(file, part, args)?),
        (None, None, cell) => {
            if cell.is_some() {
                // That it is of this cell; what is around it is read as ever.
                describe(file, None, cell)?;
            }
            let asked = args.nonlinearity.filter(|_| !has_spec);
            asked.map(|asked| with_nonlinearity(file, args, asked)).transpose()?
        }
    };
    let (spec, taken) = match &list {
        Some(list) => ModelSpec::from_state_dict(file, list),
        None => ModelSpec::from_file(file),
    }
    .map_err(|error| refusal(file, args, error))?;
    let mut line = taken.to_string();
    let unsaid = line.contains("as the file does not say");
    if unsaid {
        line.push_str("; set it with --nonlinearity");
    }
    // What the file says itself, and a network by itself of which all is said, has no other reading to be told of.
    let said = has_spec && list.is_none();
    let alone = (list.is_some() || spec.layers.len() == 1) && !unsaid && taken.left_aside.is_empty();
    Ok(Reading { options: taken.load_options(), taken: (!said && !alone).then_some(line), spec })
}

/// A part that the file's spec has: `encoder`, or `encoder.head` of a part's own.
fn named_part(file: &TensorFile, name: &str) -> Result<Option<Reading>, Failure> {
    let name = name.trim_end_matches('.');
    let (mut spec, _) = ModelSpec::from_file(file).map_err(Failure::from)?;
    for part in name.split('.') {
        let Some((_, found)) = spec.parts.into_iter().find(|(known, _)| known == part) else { return Ok(None) };
        spec = found;
    }
    let prefix = format!("{name}.");
    let aside: Vec<_> = file.names().filter(|name| !name.starts_with(&prefix)).collect();
    let taken = (!aside.is_empty()).then(|| format!("taken: the part {name}; left aside: {}", listed(&aside)));
    Ok(Some(Reading { spec, taken, options: LoadOptions::new().prefix(prefix) }))
}

/// The layers in words of a part of the file: the recurrent network or the other module behind that prefix.
fn part_of(file: &TensorFile, part: &str, args: &ModelArgs) -> Result<String, Failure> {
    let name = part.trim_end_matches('.');
    let table = file.info(&format!("{name}.weight")).is_some_and(|info| info.shape.len() == 2);
    if table && args.cell.is_none() {
        return Ok(name.into());
    }
    let Description { kind, prefix, .. } = describe(file, Some(part), args.cell)?;
    let name = prefix.trim_end_matches('.');
    let nonlinearity = args.nonlinearity.filter(|_| kind == CellKind::Rnn);
    let words = [Some(kind.to_string()), Some(name.to_string()), nonlinearity.map(|asked| asked.to_string())];
    // The root has no name.
    Ok(words.into_iter().flatten().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" "))
}

/// The layers in words of a whole file whose Elman network has that activation, whatever its metadata say.
fn with_nonlinearity(file: &TensorFile, args: &ModelArgs, asked: Nonlinearity) -> Result<String, Failure> {
    let spec = match ModelSpec::from_file(file) {
        Ok((spec, _)) => spec,
        // The metadata name an unknown activation; the network is to be read without them.
        Err(error) if error.kind() == ErrorKind::Setting => return part_of(file, "", args),
        Err(error) => return Err(refusal(file, args, error)),
    };
    let word = |layer: &LayerSpec| match &layer.kind {
        LayerKind::Recurrent(recurrent) if matches!(recurrent.cell, CellSpec::Rnn(_)) => {
            Ok(format!("rnn {} {asked}", layer.name).replace("  ", " "))
        }
        LayerKind::Recurrent(recurrent) if layer.name.is_empty() => match &recurrent.cell {
            CellSpec::Gru(_) => Ok("gru".into()),
            CellSpec::Lstm(_) => Ok("lstm".into()),
            other => Err(Failure::Run(format!("--nonlinearity: expected layers of rnn, gru and lstm, got {other:?}"))),
        },
        LayerKind::Activation(activation) => Ok(activation.to_string()),
        LayerKind::Readout(readout) => Ok(readout.to_string()),
        _ => Ok(layer.name.clone()),
    };
    Ok(spec.layers.iter().map(word).collect::<Result<Vec<_>, Failure>>()?.join(", "))
}

/// The library's refusal with the options that settle it here.
fn refusal(file: &TensorFile, args: &ModelArgs, error: Error) -> Failure {
    match &error {
        Error::Ambiguous { name, candidates, .. } => {
            let settle = "say which with --layers, such as --layers 'lstm, last, fc1, relu, fc2', or with --spec FILE, or take \
                          a part with --only";
            Failure::Run(Error::ambiguous(name, candidates.clone(), settle).to_string())
        }
        Error::Setting { name, .. } if name == "layers" => Failure::Usage(format!("--{error}")),
        // What was not asked for is the file's.
        Error::Setting { .. } if args.layers.is_none() => {
            let path = file.path().map_or_else(|| "the model".into(), |path| path.display().to_string());
            Failure::Run(format!("{path}: {error}"))
        }
        _ => error.into(),
    }
}

/// A spec written by hand, or printed by `inspect`.
fn read_spec(path: &Path) -> Result<ModelSpec, Failure> {
    let name = path.display();
    let text = fs::read_to_string(path).map_err(|error| Failure::Run(format!("cannot read {name}: {error}")))?;
    text.parse().map_err(|error| Failure::Run(format!("{name}: {error}")))
}

/// Loads what that spec has, and leaves the rest aside.
fn specified(spec: ModelSpec, file: &TensorFile) -> Result<Reading, Failure> {
    let model = Model::new(spec)?;
    let left_aside: Vec<String> =
        file.names().filter(|name| model.params().iter().all(|(own, ..)| own != *name)).map(Into::into).collect();
    let taken =
        (!left_aside.is_empty()).then(|| format!("taken: what the spec says; left aside: {}", listed(&left_aside)));
    let mut options = LoadOptions::new();
    options.left_aside = left_aside;
    Ok(Reading { spec: model.spec().clone(), taken, options })
}

/// Sets the activation of Elman networks; of the others there is none to choose.
fn choose(
    spec: &mut ModelSpec,
    file: &TensorFile,
    asked: Option<Nonlinearity>,
    notes: &mut Vec<String>,
) -> Result<(), Failure> {
    let Some(asked) = asked else { return Ok(()) };
    let mut any = false;
    for layer in &mut spec.layers {
        let LayerKind::Recurrent(recurrent) = &mut layer.kind else { continue };
        if matches!(recurrent.cell, CellSpec::Rnn(_)) {
            recurrent.cell = CellSpec::rnn(asked.into());
            any = true;
        }
    }
    if !any {
        return Err(Failure::Usage(format!("--nonlinearity: expected none, as the model has no rnn, got {asked}")));
    }
    let told = file.metadata().find(|&(key, _)| key == "nonlinearity").map(|(_, value)| value);
    if let Some(told) = told.filter(|told| *told != asked.to_string()) {
        notes.push(format!("nonlinearity {asked} taken, as --nonlinearity says; the file's metadata says '{told}'"));
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
