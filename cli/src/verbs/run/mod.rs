//! `elman run`: somebody's model on somebody's data.

mod args;
mod batch;
mod output;
mod report;

use std::io::{self, Write as _};
use std::time::Instant;

use elman::format::{self as files, Description, Kind, LoadOptions, TensorFile};
use elman::internals::{Recurrent, RecurrentWorkspace};
use elman::tensor::Seq;
use elman::{Cell, Nonlinearity};
use elman::{ParamTable, Params, Threads};

pub(crate) use self::args::Args;
use self::args::Sink;
use self::batch::{Batch, Form};
use self::output::Outcome;
use self::report::{Report, summary};
use super::Failure;
use super::common::{network, visible};

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    args.check_files()?;
    let sink = args.sink();
    if let Sink::Tensors(path) | Sink::Csv(path) = sink {
        // Rather now than when the work is done.
        files::check_writable(path)?;
    }

    let file = TensorFile::open(args.model())?;
    let description = files::describe(&file, args.prefix.as_deref(), args.cell)?;
    let parameters = description.parameters()?;
    let mut notes = Vec::new();
    let nonlinearity = choose(&file, &description, args.nonlinearity, &mut notes)?;
    let config = elman::internals::NetworkConfig { batch_first: args.batch_first, ..description.config(nonlinearity) };
    let rnn = matches!(config.cell, Cell::Elman(_));
    let mut layout = ParamTable::new();
    let mut net = Recurrent::new(config, &mut layout, "")?;
    let mut params = Params::zeros(layout);
    notes.extend(file.load_into(&mut params, &LoadOptions::from(&description))?);
    net.load(&params)?;
    // The network has its own copy.
    drop((file, params));

    let mut batch = Batch::read(args.source(), &description, args.batch_first)?;
    batch.check_sink(sink)?;
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
    let outcome = Outcome {
        network: &description,
        nonlinearity: nonlinearity.as_deref(),
        batch: &batch,
        output,
        state: pass.state(),
    };
    outcome.write(sink)?;
    if matches!(sink, Sink::Printed) {
        return Ok(());
    }

    let report = Report {
        model: args.model().display().to_string(),
        cell: description.kind.to_string(),
        nonlinearity: nonlinearity.clone(),
        prefix: &description.prefix,
        input_size: width,
        hidden_sizes: &description.hidden_sizes,
        num_layers: description.hidden_sizes.len(),
        directions: 1 + usize::from(description.bidirectional),
        bias: description.bias,
        proj_size: description.proj_size,
        parameters,
        input_shape: &batch.shape,
        output_shape: &outcome.shape(),
        steps: batch.steps,
        batch: batch.rows,
        ragged: batch.ragged(),
        tokens: batch.tokens,
        seconds,
        tokens_per_second: batch.tokens as f64 / seconds,
        isa: net.kernels().isa().name(),
        threads: threads.get(),
        output: match sink {
            Sink::Tensors(path) | Sink::Csv(path) => Some(path.display().to_string()),
            Sink::Printed | Sink::Nowhere => None,
        },
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
