//! `elman bench`: how fast a network is on this machine, as a share of its arithmetic.

use std::io::{self, IsTerminal as _, Write as _};

use elman::cell::{Cell, Nonlinearity};
use elman::io::Kind;
use elman::measure::{Measurement, Mode, Workload};
use elman::{Kernels, Threads};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::Failure;
use crate::common::{cell, isa, nonlinearity, seconds, threads, whole};

#[derive(clap::Args)]
#[command(
    after_help = "Without any of --cell, --mode, --input, --hidden, --batch, --steps, --layers, --bidirectional and \
                        --ragged a table of workloads is run: every cell in inference, training and streaming.\n\
                        FLOP are counted as 2·B·T·G·H·(I + H) for each layer and direction, three times that in training \
                        (forward, loss, backward, Adam). The peak is measured in between."
)]
pub(crate) struct Args {
    /// The cell: rnn, gru or lstm [default: lstm]
    #[arg(long, value_name = "CELL", value_parser = cell)]
    cell: Option<Kind>,
    /// An rnn's activation, tanh or relu [default: tanh]
    #[arg(long, value_name = "NAME", value_parser = nonlinearity)]
    nonlinearity: Option<Nonlinearity>,
    /// infer, train or stream (one step a call) [default: infer]
    #[arg(long, value_name = "MODE", value_parser = mode)]
    mode: Option<Mode>,
    /// Features of the input [default: as --hidden]
    #[arg(long, value_name = "I", value_parser = size, allow_hyphen_values = true)]
    input: Option<usize>,
    /// Hidden units [default: 256]
    #[arg(long, value_name = "H", value_parser = size, allow_hyphen_values = true)]
    hidden: Option<usize>,
    /// Rows of the batch [default: 64]
    #[arg(long, value_name = "B", value_parser = size, allow_hyphen_values = true)]
    batch: Option<usize>,
    /// Time steps [default: 100]
    #[arg(long, value_name = "T", value_parser = size, allow_hyphen_values = true)]
    steps: Option<usize>,
    /// Layers [default: 1]
    #[arg(long, value_name = "L", value_parser = size, allow_hyphen_values = true)]
    layers: Option<usize>,
    /// Both directions
    #[arg(long)]
    bidirectional: bool,
    /// Rows of lengths drawn from T/4 to T, packed
    #[arg(long)]
    ragged: bool,
    /// Threads that may be used; one for each core unless set
    #[arg(long, value_name = "N", value_parser = threads, allow_hyphen_values = true)]
    threads: Option<Threads>,
    /// The tier of instructions, avx512, avx2 or portable; the best of this machine unless set
    #[arg(long, value_name = "TIER", value_parser = isa)]
    isa: Option<&'static Kernels>,
    /// Seconds to spend on each workload
    #[arg(long, value_name = "S", default_value = "1", value_parser = seconds, allow_hyphen_values = true)]
    seconds: f64,
    /// Print the schedule of the first layer
    #[arg(long)]
    explain: bool,
    /// Print one JSON object a line and nothing else
    #[arg(long)]
    json: bool,
}

fn size(text: &str) -> Result<usize, String> {
    whole(text, 1..=65_536)
}

fn mode(text: &str) -> Result<Mode, String> {
    text.parse().map_err(|_| "expected infer, train or stream".into())
}

/// What `--json` prints for each workload.
#[derive(Serialize)]
struct Report<'a> {
    cell: &'a str,
    mode: String,
    input: usize,
    hidden: usize,
    batch: usize,
    steps: usize,
    layers: usize,
    directions: usize,
    ragged: bool,
    tokens: usize,
    threads: usize,
    isa: &'a str,
    turns: usize,
    median_s: f64,
    min_s: f64,
    noise: f64,
    gflops: f64,
    peak_gflops: f64,
    share_of_peak: f64,
    ns_per_step: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<String>,
}

impl Args {
    fn workloads(&self) -> Result<Vec<Workload>, Failure> {
        let kernels = self.isa.map_or_else(Kernels::active, Ok)?;
        let threads = self.threads.unwrap_or_else(Threads::available);
        let sizes = [self.input, self.hidden, self.batch, self.steps, self.layers];
        let chosen = self.cell.is_some() || self.mode.is_some() || self.bidirectional || self.ragged;
        if self.nonlinearity.is_some() && self.cell != Some(Kind::Rnn) {
            return Err(Failure::Usage("--nonlinearity: expected --cell rnn with it, got another cell or none".into()));
        }
        if !chosen && sizes.iter().all(Option::is_none) {
            return Ok(Workload::table(threads, kernels));
        }
        let cell = match self.cell.unwrap_or(Kind::Lstm) {
            Kind::Rnn => Cell::Elman(self.nonlinearity.unwrap_or_default()),
            Kind::Gru => Cell::Gru,
            Kind::Lstm => Cell::Lstm,
        };
        let hidden = self.hidden.unwrap_or(256);
        Ok(vec![Workload {
            cell,
            mode: self.mode.unwrap_or(Mode::Infer),
            input: self.input.unwrap_or(hidden),
            hidden,
            batch: self.batch.unwrap_or(64),
            steps: self.steps.unwrap_or(100),
            layers: self.layers.unwrap_or(1),
            bidirectional: self.bidirectional,
            ragged: self.ragged,
            threads,
            kernels,
        }])
    }
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let workloads = args.workloads()?;
    let quiet = args.json || !io::stderr().is_terminal();
    let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new(workloads.len() as u64) };
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len}  {msg}").expect("a valid template");
    bar.set_style(style.progress_chars("=> "));
    for (i, load) in workloads.iter().enumerate() {
        bar.set_message(format!("{} {} {}", name(load.cell), load.mode, load.hidden));
        let measured = load.measure(args.seconds)?;
        let plan = if args.explain { Some(load.plan()?.to_string()) } else { None };
        bar.suspend(|| {
            if args.json {
                return json(load, &measured, plan);
            }
            // Not before the first workload has been accepted.
            if i == 0 {
                header(load)?;
            }
            row(load, &measured, plan)
        })?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

fn name(cell: Cell) -> &'static str {
    match cell {
        Cell::Elman(Nonlinearity::Tanh) => "rnn",
        Cell::Elman(Nonlinearity::Relu) => "rnn-relu",
        Cell::Gru => "gru",
        Cell::Lstm => "lstm",
    }
}

fn header(load: &Workload) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{} on up to {}; medians, and the share of the FMA peak measured in between\n",
        load.kernels.isa(),
        crate::common::count(load.threads.get() as u64, "thread"),
    )?;
    writeln!(
        out,
        "{:<8} {:<6} {:>5} {:>5} {:>5} {:>5} | {:>10} {:>6} | {:>8} {:>9} {:>6} | {:>10}",
        "cell", "mode", "I", "H", "B", "T", "time", "noise", "GFLOP/s", "peak", "share", "a step"
    )
}

fn row(load: &Workload, measured: &Measurement, plan: Option<String>) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let mut extra = String::new();
    if load.layers > 1 {
        extra += &format!("  {} layers", load.layers);
    }
    if load.bidirectional {
        extra += "  bidirectional";
    }
    if load.ragged {
        extra += &format!("  ragged, {} tokens", measured.tokens);
    }
    writeln!(
        out,
        "{:<8} {:<6} {:>5} {:>5} {:>5} {:>5} | {:>10} {:>4.0} % | {:>8.1} {:>9.1} {:>4.0} % | {:>10}{extra}",
        name(load.cell),
        load.mode,
        load.input,
        load.hidden,
        load.batch,
        load.steps,
        duration(measured.median),
        100.0 * measured.noise,
        measured.flops / 1e9,
        measured.peak / 1e9,
        100.0 * measured.share(),
        duration(measured.per_step),
    )?;
    if let Some(plan) = plan {
        writeln!(out, "         {plan}")?;
    }
    Ok(())
}

fn json(load: &Workload, measured: &Measurement, plan: Option<String>) -> Result<(), Failure> {
    let report = Report {
        cell: name(load.cell),
        mode: load.mode.to_string(),
        input: load.input,
        hidden: load.hidden,
        batch: load.batch,
        steps: load.steps,
        layers: load.layers,
        directions: if load.bidirectional { 2 } else { 1 },
        ragged: load.ragged,
        tokens: measured.tokens,
        threads: load.threads.get(),
        isa: load.kernels.isa().name(),
        turns: measured.turns,
        median_s: measured.median,
        min_s: measured.min,
        noise: measured.noise,
        gflops: measured.flops / 1e9,
        peak_gflops: measured.peak / 1e9,
        share_of_peak: measured.share(),
        ns_per_step: measured.per_step * 1e9,
        plan,
    };
    let text = serde_json::to_string(&report).map_err(|error| Failure::Run(error.to_string()))?;
    writeln!(io::stdout(), "{text}")?;
    Ok(())
}

/// `1.234 ms`.
fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 1e-6 => format!("{:.1} ns", s * 1e9),
        s if s < 1e-3 => format!("{:.2} µs", s * 1e6),
        s if s < 1.0 => format!("{:.3} ms", s * 1e3),
        s => format!("{s:.3} s"),
    }
}
