//! What `elman run` tells of a run.

use std::io::{self, Write as _};

use indicatif::HumanCount;
use serde::Serialize;

use crate::verbs::Failure;
use crate::verbs::common::{count, visible};
use crate::verbs::facts::Facts;

/// What `--json` prints.
#[derive(Serialize)]
pub(super) struct Report<'a> {
    pub(super) model: String,
    /// Of a model with one recurrent layer or stack.
    #[serde(flatten)]
    pub(super) facts: Option<Facts>,
    /// As the file has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) prefix: Option<&'a str>,
    pub(super) parameters: usize,
    pub(super) input_shape: &'a [usize],
    pub(super) output_shape: Vec<usize>,
    pub(super) steps: usize,
    pub(super) batch: usize,
    pub(super) ragged: bool,
    pub(super) tokens: usize,
    pub(super) seconds: f64,
    pub(super) tokens_per_second: f64,
    pub(super) isa: &'a str,
    pub(super) threads: usize,
    /// Where the output is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) output: Option<String>,
    pub(super) notes: &'a [String],
}

/// Prints it for people.
pub(super) fn summary(report: &Report<'_>, words: &str, batched: bool) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let at = match report.prefix {
        None | Some("") => String::new(),
        Some(prefix) => format!(", at {prefix}"),
    };
    let parameters = count(report.parameters as u64, "parameter");
    writeln!(out, "model       {}, {parameters}{}", visible(words), visible(&at))?;
    let (steps, rows) = (report.steps as u64, report.batch as u64);
    let all = report.steps * report.batch;
    let real = if report.tokens == all {
        String::new()
    } else {
        format!(", {} of {} tokens real", HumanCount(report.tokens as u64), HumanCount(all as u64))
    };
    let of = if batched { format!(" of {}", count(rows, "row")) } else { String::new() };
    writeln!(out, "input       {:?}: {}{of}{real}", report.input_shape, count(steps, "step"))?;
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
    if let Some(output) = &report.output {
        writeln!(out, "output      {}", visible(output))?;
    }
    Ok(())
}
