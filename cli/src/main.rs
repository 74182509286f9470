//! `elman`: the command line. Every verb is a call into the library.

mod verbs;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use verbs::{Failure, bench, common, inspect, peak, run, sine};

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
    /// Tell what a model file holds
    Inspect(inspect::Args),
    /// Measure networks as a share of the machine's arithmetic: a table of workloads, or one of any shape
    Bench(bench::Args),
    /// Measure the machine's arithmetic, its memory, and the way between its cores
    Peak(peak::Args),
    /// Teach a small network the sine, let it run freely, and draw what it does
    Sine(sine::Args),
}

fn main() -> ExitCode {
    let result = match Cli::try_parse() {
        Ok(Cli { verb: Verb::Run(args) }) => run::run(&args),
        Ok(Cli { verb: Verb::Inspect(args) }) => inspect::run(&args),
        Ok(Cli { verb: Verb::Bench(args) }) => bench::run(&args),
        Ok(Cli { verb: Verb::Peak(args) }) => peak::run(&args),
        Ok(Cli { verb: Verb::Sine(args) }) => sine::run(&args),
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                write!(io::stdout(), "{error}").map_err(Failure::from)
            }
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                Err(Failure::Usage("expected a command, got none; try 'elman --help'".into()))
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
    // Where nobody reads the errors either, the exit code has to do.
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
