//! `elman test`: scores a trained model on other data.

use std::io::{self, Write as _};
use std::path::PathBuf;

use elman::Model;
use elman_tasks::classify::Classifier;
use elman_tasks::forecast::Forecaster;
use elman_tasks::generate::Generator;
use elman_tasks::job::TASK_KEY;
use elman_tasks::scores::{Scores, Tested};
use elman_tasks::transduce::Transducer;
use serde::Serialize;

use super::Failure;
use super::common::{visible, whole};
use super::predict::no_task;
use super::train::table;

/// What stands beside the network, and what does not.
const BASELINES: &str = "It measures what 'train' measures on its test part. Beside the network stands what needs no \
training file: of classes the commonest of the data; of texts all characters alike, and each as often as in the data; of \
forecasts the last value, the season before, and the autoregression that the model has. All else that 'train' compares with \
is fitted to the training part, and left out.";

#[derive(clap::Args)]
#[command(after_help = BASELINES)]
pub(crate) struct Args {
    /// A model that 'elman train' made
    model: PathBuf,
    /// The data, in the form that it was trained on
    data: PathBuf,
    /// Of an encoder-decoder, beginnings of a target that are followed at once; as in training unless set
    #[arg(long, value_name = "K", value_parser = beam)]
    beam: Option<usize>,
    /// Print one JSON object for each table and nothing else
    #[arg(long)]
    json: bool,
}

fn beam(text: &str) -> Result<usize, String> {
    whole(text, 1..=1000)
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    scores: &'a Scores,
    notes: &'a [String],
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let model = Model::open(&args.model)?;
    let named = |error: elman_tasks::Error| Failure::Run(format!("{}: {error}", args.model.display()));
    let task = model.metadata(TASK_KEY).map(String::from);
    if args.beam.is_some() && task.as_deref() != Some("transduce") {
        return Err(Failure::Usage("--beam: is of an encoder-decoder ('train transduce') alone".into()));
    }
    let data = &args.data;
    let tested = match task.as_deref() {
        Some("classify") => Classifier::new(model).map_err(named)?.score(data)?,
        Some("forecast") => Forecaster::new(model).map_err(named)?.score(data)?,
        Some("generate") => Generator::new(model).map_err(named)?.score(data)?,
        Some("transduce") => {
            let transducer = Transducer::new(model).map_err(named)?;
            transducer.score(data, args.beam.unwrap_or(transducer.settings().beam))?
        }
        other => return Err(no_task(&args.model, other)),
    };
    tell(args, &tested)
}

fn tell(args: &Args, Tested { scores, notes }: &Tested) -> Result<(), Failure> {
    if args.json {
        for scores in scores {
            let text = serde_json::to_string(&Report { scores, notes });
            writeln!(io::stdout(), "{}", text.map_err(|error| Failure::Run(error.to_string()))?)?;
        }
        return Ok(());
    }
    for note in notes {
        // Where nobody reads them, the table is still wanted.
        let _ = writeln!(io::stderr(), "note: {}", visible(note));
    }
    Ok(scores.iter().try_for_each(table::print)?)
}
