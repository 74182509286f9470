//! `elman run`: somebody's model on somebody's data.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::Instant;

use elman::format::{self as files, Description, Kind, LoadOptions, TensorFile};
use elman::tensor::{Seq, SeqRef};
use elman::{Cell, Nonlinearity};
use elman::{ParamTable, Params, Recurrent, RecurrentWorkspace, State, Threads};
use indicatif::HumanCount;
use serde::Serialize;

use super::Failure;
use super::batch::{Batch, Form};
use super::common::{cell, count, network, nonlinearity, same_file, threads, visible};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The model: a safetensors file with the state dict of a torch.nn.RNN, GRU or LSTM, or of a module that has one
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// The data: a safetensors file with input (T, B, I) or (T, I), and where wanted h_0, c_0, lengths (B), resets (T, B)
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Where output, h_n and c_n go, in PyTorch's shapes: a safetensors file
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Which cell the weights are of, rnn, gru or lstm; told by their shapes unless set
    #[arg(long, value_name = "CELL", value_parser = cell)]
    cell: Option<Kind>,
    /// An rnn's activation, tanh or relu; what the file's metadata says unless set, else tanh
    #[arg(long, value_name = "NAME", value_parser = nonlinearity)]
    nonlinearity: Option<Nonlinearity>,
    /// The input is (B, T, I), and so is the output
    #[arg(long)]
    batch_first: bool,
    /// What comes before the names of the weights, such as encoder.rnn.; found unless there are several
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,
    /// Threads that may be used; one for each core unless set
    #[arg(long, value_name = "N", value_parser = threads, allow_hyphen_values = true)]
    threads: Option<Threads>,
    /// Print one JSON object and nothing else, the notes in it
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    kind: String,
    nonlinearity: Option<String>,
    prefix: &'a str,
    input_size: usize,
    hidden_sizes: &'a [usize],
    bidirectional: bool,
    bias: bool,
    proj_size: usize,
    parameters: usize,
    input: &'a [usize],
    steps: usize,
    batch: usize,
    tokens: usize,
    seconds: f64,
    tokens_per_second: f64,
    isa: &'a str,
    threads: usize,
    output: String,
    notes: &'a [String],
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    for (option, path) in [("--weights", &args.weights), ("--input", &args.input)] {
        if same_file(path, &args.output) {
            let got = args.output.display();
            return Err(Failure::Usage(format!("--output: expected another file than {option}'s, got {got} for both")));
        }
    }
    // Rather now than when the work is done.
    files::check_writable(&args.output)?;

    let file = TensorFile::open(&args.weights)?;
    let description = files::describe(&file, args.prefix.as_deref(), args.cell)?;
    let parameters = description.parameters()?;
    let mut notes = Vec::new();
    let nonlinearity = choose(&file, &description, args.nonlinearity, &mut notes)?;
    let config = elman::NetworkConfig { batch_first: args.batch_first, ..description.config(nonlinearity) };
    let rnn = matches!(config.cell, Cell::Elman(_));
    let mut layout = ParamTable::new();
    let mut net = Recurrent::new(config, &mut layout, "")?;
    let mut params = Params::zeros(layout);
    notes.extend(file.load_into(&mut params, &LoadOptions::from(&description))?);
    net.load(&params)?;
    // The network has its own copy.
    drop((file, params));

    let mut batch = Batch::read(&args.input, &description, args.batch_first)?;
    room(&net, &description, &batch)?;
    let width = description.input_size;
    let packed = batch.packed(width)?;
    batch.note_nan(packed.as_ref().map(|packed| &packed.rows));
    notes.append(&mut batch.notes);
    let state = batch.state(&net)?;
    if !args.json {
        for note in &notes {
            // Where nobody reads the notes, the work is done all the same.
            let _ = writeln!(io::stderr(), "note: {}", visible(note));
        }
    }

    let threads = args.threads.unwrap_or_else(Threads::available);
    let mut pass = RecurrentWorkspace::default();
    let input = batch.input(packed.as_ref(), width)?;
    let start = Instant::now();
    net.forward(input, state.as_ref(), &mut pass, threads)?;
    let seconds = start.elapsed().as_secs_f64();
    let padded = match (&packed, batch.form) {
        (None, _) => None,
        (Some(_), Form::BatchFirst) => Some(pass.packed_output().to_batch_first(batch.steps)?),
        (Some(_), _) => Some(pass.packed_output().to_padded(batch.steps)?),
    };
    let output = padded.as_ref().map_or_else(|| pass.output(), Seq::view);
    let nonlinearity = rnn.then(|| nonlinearity.to_string());
    write(args, &description, nonlinearity.as_deref(), &batch, output, pass.state())?;

    let report = Report {
        kind: description.kind.to_string(),
        nonlinearity,
        prefix: &description.prefix,
        input_size: width,
        hidden_sizes: &description.hidden_sizes,
        bidirectional: description.bidirectional,
        bias: description.bias,
        proj_size: description.proj_size,
        parameters,
        input: &batch.shape,
        steps: batch.steps,
        batch: batch.rows,
        tokens: batch.tokens,
        seconds,
        tokens_per_second: batch.tokens as f64 / seconds,
        isa: net.kernels().isa().name(),
        threads: threads.get(),
        output: args.output.display().to_string(),
        notes: &notes,
    };
    if args.json {
        let text = serde_json::to_string(&report).map_err(|error| Failure::Run(error.to_string()))?;
        writeln!(io::stdout(), "{text}")?;
        Ok(())
    } else {
        summary(&report, &network(&description, report.nonlinearity.as_deref(), parameters))
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

/// That memory has room for what comes out: a layer may be thousands of times as wide as its input.
fn room(net: &Recurrent, description: &Description, batch: &Batch) -> Result<(), Failure> {
    let hidden = description.hidden_sizes.iter().copied().max().unwrap_or(0);
    let layers = description.hidden_sizes.len() * (1 + usize::from(description.bidirectional));
    let shapes = [("output", [batch.steps, batch.rows, net.output_size()]), ("h_n", [layers, batch.rows, hidden])];
    for (name, shape) in shapes {
        let elements = shape.iter().try_fold(1_usize, |n, &size| n.checked_mul(size)).unwrap_or(usize::MAX);
        if Vec::<f32>::new().try_reserve_exact(elements).is_err() {
            return Err(Failure::Run(format!("{name}: expected a shape that fits into memory, got {shape:?}")));
        }
    }
    Ok(())
}

/// Writes output, h_n and c_n in PyTorch's shapes.
fn write(
    args: &Args,
    description: &Description,
    nonlinearity: Option<&str>,
    batch: &Batch,
    output: SeqRef<'_>,
    state: &State,
) -> Result<(), Failure> {
    let Description { kind, prefix, input_size, hidden_sizes, bidirectional, bias, proj_size, .. } = description;
    let [outer, inner, width] = output.shape();
    let unbatched = batch.form == Form::Unbatched;
    let values = output.flat().expect("the output is whole");
    let shape = if unbatched { vec![outer, width] } else { vec![outer, inner, width] };
    let mut tensors = vec![("output".to_string(), shape, values)];

    let layers = hidden_sizes.len() * (1 + usize::from(*bidirectional));
    let hidden = hidden_sizes.first().filter(|&first| hidden_sizes.iter().all(|size| size == first));
    let rows = if unbatched { vec![] } else { vec![batch.rows] };
    match hidden {
        Some(&hidden) => {
            let out = if *proj_size > 0 { *proj_size } else { hidden };
            tensors.push(("h_n".into(), [&[layers], &rows[..], &[out]].concat(), state.h()));
            if *kind == Kind::Lstm {
                tensors.push(("c_n".into(), [&[layers], &rows[..], &[hidden]].concat(), state.c()));
            }
        }
        // PyTorch has no such network; its layers' states are as many tensors.
        None => {
            for index in 0..layers {
                let directions = 1 + usize::from(*bidirectional);
                let reverse = if index % directions == 1 { "_reverse" } else { "" };
                for (name, part) in [("h_n", Some(state.h_of(index))), ("c_n", state.c_of(index))] {
                    let Some(part) = part else { continue };
                    let shape = [&rows[..], &[part.shape()[2]]].concat();
                    let name = format!("{name}_l{}{reverse}", index / directions);
                    tensors.push((name, shape, part.flat().expect("a state is whole")));
                }
            }
        }
    }
    let tensors: Vec<_> = tensors.iter().map(|(name, shape, values)| (&name[..], &shape[..], *values)).collect();

    let hidden_size = hidden.map_or_else(|| format!("{hidden_sizes:?}"), usize::to_string);
    let mut metadata = vec![
        ("batch_first", (batch.form == Form::BatchFirst).to_string()),
        ("bias", bias.to_string()),
        ("bidirectional", bidirectional.to_string()),
        ("hidden_size", hidden_size),
        ("input_size", input_size.to_string()),
        ("kind", kind.to_string()),
        ("num_layers", hidden_sizes.len().to_string()),
        ("prefix", prefix.clone()),
        ("proj_size", proj_size.to_string()),
    ];
    metadata.extend(nonlinearity.map(|nonlinearity| ("nonlinearity", nonlinearity.to_string())));
    Ok(files::write_tensors(&args.output, &tensors, &metadata)?)
}

fn summary(report: &Report<'_>, network: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let at = if report.prefix.is_empty() { String::new() } else { format!(", at {}", report.prefix) };
    writeln!(out, "model       {network}{}", visible(&at))?;
    let (steps, rows) = (report.steps as u64, report.batch as u64);
    let all = report.steps * report.batch;
    let real = if report.tokens == all {
        String::new()
    } else {
        format!(", {} of {} tokens real", HumanCount(report.tokens as u64), HumanCount(all as u64))
    };
    let of = if report.input.len() == 2 { String::new() } else { format!(" of {}", count(rows, "row")) };
    writeln!(out, "input       {:?}: {}{of}{real}", report.input, count(steps, "step"))?;
    let up_to = if report.threads == 1 { "" } else { "up to " };
    writeln!(
        out,
        "run         {} in {:.6} s: {} tokens/s ({}, {up_to}{})",
        count(report.tokens as u64, "token"),
        report.seconds,
        HumanCount(report.tokens_per_second as u64),
        report.isa,
        count(report.threads as u64, "thread"),
    )?;
    writeln!(out, "output      {}", visible(&report.output))?;
    Ok(())
}
