//! `elman run`: a model's output for the data of a file.

mod args;
mod batch;
mod memory;
mod output;
mod place;
mod reading;
mod report;

use std::io::{self, Write as _};
use std::time::Instant;

use elman::format as files;
use elman::tensor::Seq;
use elman::{Threads, Workspace};

pub(crate) use self::args::Args;
use self::batch::Form;
use self::output::Outcome;
use self::place::Sink;
use self::reading::Reads;
use self::report::{Report, summary};
use super::common::visible;
use super::model::{self, Loaded};
use super::{Failure, facts};

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    args.check_files()?;
    let sink = args.sink();
    if let Sink::Tensors(path) | Sink::Csv(path) = sink {
        // Rather now than when the work is done.
        files::check_writable(path)?;
    }

    memory::of_files(args)?;
    let mut notes = Vec::new();
    let Loaded { model, prefix } = model::load(args.model(), &args.reading, args.batch_first, &mut notes)?;
    let one_step = facts::leaves_one_step(model.spec());
    let mut batch = Reads::of(&model)?.batch(args.source())?;
    batch.check_sink(sink, one_step)?;
    memory::of_run(&model, &batch)?;
    let packed = batch.packed()?;
    batch.note_nan(packed.as_ref().map(|packed| &packed.rows));
    notes.append(&mut batch.notes);
    let state = batch.state(&model)?;
    if !args.json {
        print_notes(&notes);
    }

    let threads = args.threads.unwrap_or_else(Threads::available);
    let mut workspace = Workspace::default();
    let input = batch.input(packed.as_ref())?;
    let start = Instant::now();
    let output = model.run_with(input, state.as_ref(), &mut workspace, threads)?;
    let seconds = start.elapsed().as_secs_f64();
    let padded = match (output.packed(), batch.form) {
        (None, _) => None,
        (Some(packed), Form::BatchFirst) => Some(packed.to_batch_first(batch.steps)?),
        (Some(packed), _) => Some(packed.to_padded(batch.steps)?),
    };
    let outcome = Outcome {
        model: &model,
        batch: &batch,
        prefix: prefix.as_deref(),
        one_step,
        output: padded.as_ref().map_or_else(|| output.values(), Seq::view),
        state: output.state(),
    };
    outcome.write(sink)?;
    if matches!(sink, Sink::Printed) {
        return Ok(());
    }

    let report = report(args, &outcome, Cost { seconds, threads }, &notes);
    if args.json {
        let text = serde_json::to_string(&report).map_err(|error| Failure::Run(error.to_string()))?;
        Ok(writeln!(io::stdout(), "{text}")?)
    } else {
        summary(&report, &facts::words(model.spec()), batch.form != Form::Unbatched)
    }
}

fn print_notes(notes: &[String]) {
    for note in notes {
        let kind = if note.starts_with("taken: ") { "" } else { "note: " };
        // Where the standard error is closed, the work is done all the same.
        let _ = writeln!(io::stderr(), "{kind}{}", visible(note));
    }
}

/// What a run took.
struct Cost {
    seconds: f64,
    threads: Threads,
}

fn report<'a>(args: &Args, outcome: &Outcome<'a>, Cost { seconds, threads }: Cost, notes: &'a [String]) -> Report<'a> {
    let &Outcome { model, batch, prefix, .. } = outcome;
    Report {
        model: args.model().display().to_string(),
        facts: prefix.and_then(|_| facts::recurrent(model.spec()).pop()).map(|(_, facts)| facts),
        prefix,
        parameters: model.params().data().len(),
        input_shape: &batch.shape,
        output_shape: outcome.shape(),
        steps: batch.steps,
        batch: batch.rows,
        ragged: batch.ragged(),
        tokens: batch.tokens,
        seconds,
        tokens_per_second: batch.tokens as f64 / seconds,
        isa: model.isa().name(),
        threads: threads.get(),
        output: match args.sink() {
            Sink::Tensors(path) | Sink::Csv(path) => Some(path.display().to_string()),
            Sink::Printed | Sink::Nowhere => None,
        },
        notes,
    }
}
