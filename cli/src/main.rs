//! `elman`: the command line. Every verb is a call into the library.
//!
//! # The grammar
//!
//! A verb, then what it works on by position, files first; how it does so by options. All verbs there will ever be are
//! written like this:
//!
//! | verb | positions | options of its own |
//! |---|---|---|
//! | `run` | `MODEL INPUT` | `[-o OUT]`, `[--csv]`, `[--batch-first]` |
//! | `inspect` | `MODEL…`, files and folders | `[--pytorch]` |
//! | `bench`, `peak`, `sine` | none | as `--help` says |
//! | `convert` | `IN OUT` | |
//! | `compare` | `MODEL [OTHER]` | `--input FILE`, `[--expected FILE]`, `[--precision f16\|bf16]`, `[--tolerance X]`: exit code 1 above it |
//! | `train` | `KIND DATA` | `[-o OUT]` |
//! | `test` | `MODEL DATA` | |
//! | `predict` | `MODEL [INPUT]`, `-` for the standard input | `[-o OUT]` |
//!
//! `convert` and `compare` are not there yet; their words are taken, and say what serves until then. One meaning for an option wherever it stands:
//! `-o FILE` is where the result goes, `--json` prints one JSON object a line and nothing else, `--threads N` is how many
//! may be used, `--csv` says that data are CSV files, `--only PREFIX` takes a part of a model, `--rename OLD=NEW`,
//! `--layers LIST` and `--spec FILE` say what a model file does not, `--precision` is that of the weights.
//!
//! # JSON
//!
//! A key means the same in every verb, and a verb leaves out what it does not know.
//!
//! | key | meaning |
//! |---|---|
//! | `cell` | "rnn", "gru" or "lstm" |
//! | `nonlinearity` | of an rnn alone, "tanh" or "relu"; null in `inspect` where the file does not say it |
//! | `input_size` | features of the input (I) |
//! | `hidden_sizes`, `num_layers` | hidden units (H) of each layer, first to last, and how many layers |
//! | `directions`, `bias`, `proj_size` | 1 or 2; whether there are biases; P of an LSTM, 0 without |
//! | `prefix`, `network` | what the names of a recurrent network's parameters begin with in the file, with its dot; "" at the root |
//! | `parameters` | numbers in all parameters |
//! | `batch`, `steps`, `ragged`, `tokens` | rows B; steps T of the longest; whether rows have lengths of their own; steps of all rows |
//! | `head`, `block`, `helpers`, `feedback` | of a stream, the outputs of its linear head, 0 without; the steps of a call in the runs; its helper threads; whether the outputs of a call are the next inputs |
//! | `step_ns`, `step_min_ns` | in `bench`, a step of the median run and of the shortest |
//! | `step_p50_ns`, `_p99_`, `_p999_`, `_max_` | times that so many of single steps stay within, each timed by itself |
//! | `timed_block`, `block_p50_ns`, … | of a stream, the same of single blocks, and how many steps those have |
//! | `threads`, `isa` | threads that may be used; "avx512", "avx2" or "portable" |
//! | `input_shape`, `output_shape`, `shape` | of tensors, as arrays |
//! | `file`, `model`, `output`, `plot` | paths: what `inspect` looks at, the model that is run or saved, the result, the picture |
//! | `notes` | sentences: what was taken, converted or left aside |
//! | `taken` | in `inspect`, what the file does not say and was taken for its spec |
//! | `spec` | in `inspect`, the model as `--spec` reads it |
//! | `unsettled` | in `inspect`, why there is no spec, and what settles it |
//! | `problems` | in `inspect`, why networks of the file cannot be told, or the file cannot |
//! | `seconds`, `…_s`, `…_ns`, `bytes` | the time of the whole; times in seconds and in nanoseconds; sizes |
//!
//! # Exit codes
//!
//! 0: done, or help was asked for, which `elman` alone does. 1: what was asked for could not be done. 2: the
//! command was called wrongly. Results go to the standard output, notes and the one line of an error to the standard error.

mod verbs;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use verbs::{Failure, bench, common, inspect, peak, predict, reserved, run, sine, test, train};

/// Recurrent networks at the limit of the machine's arithmetic.
#[derive(Parser)]
#[command(name = "elman", version, about)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run a model file over the sequences of another file
    Run(run::Args),
    /// Tell what model files hold
    Inspect(inspect::Args),
    /// Measure networks as a share of the machine's arithmetic: a table of workloads, or one of any shape
    Bench(bench::Args),
    /// Measure the machine's arithmetic, its memory, and the way between its cores
    Peak(peak::Args),
    /// Teach a small network the sine, let it run freely, and draw what it does
    Sine(sine::Args),
    /// Train a network on a file of yours, score it beside methods that need none, and draw how it went
    Train(Box<train::Args>),
    /// Score a model that 'train' made on other data
    Test(test::Args),
    /// What a model that 'train' made says of new data, line by line
    Predict(predict::Args),
    #[command(flatten)]
    Reserved(reserved::Verb),
}

fn main() -> ExitCode {
    let command = Cli::command().mut_subcommand("train", train::with_help);
    let result = match command.try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(Cli { verb: Verb::Run(args) }) => run::run(&args),
        Ok(Cli { verb: Verb::Inspect(args) }) => inspect::run(&args),
        Ok(Cli { verb: Verb::Bench(args) }) => bench::run(&args),
        Ok(Cli { verb: Verb::Peak(args) }) => peak::run(&args),
        Ok(Cli { verb: Verb::Sine(args) }) => sine::run(&args),
        Ok(Cli { verb: Verb::Train(args) }) => train::run(&args),
        Ok(Cli { verb: Verb::Test(args) }) => test::run(&args),
        Ok(Cli { verb: Verb::Predict(args) }) => predict::run(&args),
        Ok(Cli { verb: Verb::Reserved(verb) }) => Err(verb.refusal()),
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                write!(io::stdout(), "{error}").map_err(Failure::from)
            }
            ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand => {
                Err(Failure::Usage(format!("{}; try '--help'", one_line(&error.to_string()))))
            }
            _ => Err(Failure::Usage(one_line(&error.to_string()))),
        },
    };
    match result {
        Ok(()) | Err(Failure::Closed) => ExitCode::SUCCESS,
        Err(Failure::Usage(text)) => fail(&text, 2),
        Err(Failure::Run(text)) => fail(&text, 1),
    }
}

fn fail(text: &str, code: u8) -> ExitCode {
    // Where the standard error is closed too, the exit code alone tells it.
    let _ = writeln!(io::stderr(), "error: {}", common::visible(text));
    ExitCode::from(code)
}

/// clap's message without its usage lines and line breaks.
fn one_line(message: &str) -> String {
    let message = message.strip_prefix("error: ").unwrap_or(message);
    let message = message.split("\n\nUsage:").next().unwrap_or(message);
    let message = message.split("\n\nFor more information").next().unwrap_or(message);
    message.split_whitespace().collect::<Vec<_>>().join(" ").replace(" tip: ", "; ")
}
