//! `elman inspect`: what model files hold.

mod folder;
mod report;
mod table;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use self::folder::Listed;
use self::report::{Report, line};
use super::common::visible;
use super::model::ModelArgs;
use super::{Failure, model};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Safetensors files, and folders, of which every file is looked at; of several, each has one line
    #[arg(value_name = "MODEL", required = true)]
    models: Vec<PathBuf>,
    #[command(flatten)]
    reading: ModelArgs,
    /// Print the Python module that the file loads into, and nothing else
    #[arg(long, conflicts_with = "json")]
    pytorch: bool,
    /// Print one JSON object a file and nothing else
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    match &args.models[..] {
        [only] if args.pytorch && !only.is_dir() => pytorch(args, only),
        _ if args.pytorch => Err(Failure::Usage("--pytorch: expected one file, got several or a folder".into())),
        [only] if !only.is_dir() => one(args, only),
        several => all(args, several),
    }
}

/// The program of the model.
fn pytorch(args: &Args, path: &Path) -> Result<(), Failure> {
    let file = model::open(path, &args.reading)?;
    let mut notes = Vec::new();
    let reading = model::read(&file, &args.reading, &mut notes)?;
    // What it rests on stands in it.
    let taken = reading.taken.iter().chain(&notes).map(|line| format!("# {}\n", visible(line)));
    let renamed = reading.options.rename.iter().chain(&args.reading.rename);
    let renamed: Vec<_> =
        renamed.map(|(old, new)| format!("# {} is called {} here\n", visible(old), visible(new))).collect();
    let head: String = taken.chain(renamed).collect();
    Ok(write!(io::stdout(), "{head}{}", reading.spec.pytorch_module()?)?)
}

/// One file: the networks and a table of tensors.
fn one(args: &Args, path: &Path) -> Result<(), Failure> {
    let report = Report::of(path, &args.reading)?;
    if args.json {
        print_json(&report)?;
    } else {
        table::print(&report)?;
    }
    report.verdict()
}

/// Each file on a line. What is wrong with one stands on its line, and hides none of the others.
fn all(args: &Args, models: &[PathBuf]) -> Result<(), Failure> {
    let (mut files, mut failed) = (0_usize, 0_usize);
    for model in models {
        let named = !model.is_dir();
        for Listed { path, expected } in folder::files(model)? {
            let told = Report::of(&path, &args.reading).and_then(|report| {
                if args.json {
                    print_json(&report)?
                } else {
                    writeln!(io::stdout(), "{}", visible(&line(&report)))?
                }
                // Its problems are on its line already. A file of data in a folder of models is none.
                Ok(report.problems.is_empty() && (!named || report.verdict().is_ok()))
            });
            let good = match told {
                Ok(good) => good,
                Err(Failure::Closed) => return Err(Failure::Closed),
                Err(Failure::Usage(reason) | Failure::Run(reason)) => {
                    print_reason(args.json, &path, &reason)?;
                    false
                }
            };
            files += 1;
            failed += usize::from(expected && !good);
        }
    }
    match failed {
        0 if files == 0 => Err(Failure::Run("expected files, got empty folders".into())),
        0 => Ok(()),
        _ => Err(Failure::Run(format!("expected model files, got {failed} of {files} that are none"))),
    }
}

fn print_reason(json: bool, path: &Path, reason: &str) -> Result<(), Failure> {
    let path = path.display().to_string();
    if json {
        let text = serde_json::json!({"file": path, "problems": [reason]});
        writeln!(io::stdout(), "{text}")?;
    } else {
        // The reason names the file, in the library's own place.
        let named = reason.contains(&path);
        let line = if named { reason.to_string() } else { format!("{path}: {reason}") };
        writeln!(io::stdout(), "{}", visible(&line))?;
    }
    Ok(())
}

fn print_json(report: &Report) -> Result<(), Failure> {
    let text = serde_json::to_string(report).map_err(|error| Failure::Run(error.to_string()))?;
    Ok(writeln!(io::stdout(), "{text}")?)
}
