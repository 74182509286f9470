//! What `elman run` tells of a run.

use std::io::{self, Write as _};

use indicatif::HumanCount;
use serde::Serialize;

use crate::verbs::Failure;
use crate::verbs::common::{count, visible};

/// What `--json` prints.
#[derive(Serialize)]
pub(super) struct Report<'a> {
    pub(super) model: String,
    pub(super) cell: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) nonlinearity: Option<String>,
    pub(super) prefix: &'a str,
    pub(super) input_size: usize,
    pub(super) hidden_sizes: &'a [usize],
    pub(super) num_layers: usize,
    pub(super) directions: usize,
    pub(super) bias: bool,
    pub(super) proj_size: usize,
    pub(super) parameters: usize,
    pub(super) input_shape: &'a [usize],
    pub(super) output_shape: &'a [usize],
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
pub(super) fn summary(report: &Report<'_>, network: &str) -> Result<(), Failure> {
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
    let of = if report.input_shape.len() == 2 { String::new() } else { format!(" of {}", count(rows, "row")) };
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
