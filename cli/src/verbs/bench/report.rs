//! What `elman bench --json` prints.

use std::io::{self, Write as _};

use elman::internals::{Cell, Cost};
use elman_cli::measure::{Measurement, Middle, Mode, Workload};
use serde::Serialize;

use crate::verbs::Failure;

/// The keys of a workload, the first of every object.
#[derive(Serialize)]
pub(super) struct Load<'a> {
    cell: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonlinearity: Option<String>,
    mode: String,
    input_size: usize,
    hidden_sizes: Vec<usize>,
    num_layers: usize,
    directions: usize,
    bias: bool,
    proj_size: usize,
    batch: usize,
    steps: usize,
    ragged: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    block: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    feedback: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    helpers: Option<usize>,
    tokens: usize,
    threads: usize,
    isa: &'a str,
}

impl Load<'_> {
    pub(super) fn new(load: &Workload, tokens: usize) -> Self {
        let of_stream = |value| (load.mode == Mode::Stream).then_some(value);
        Self {
            cell: cell(load.cell),
            nonlinearity: nonlinearity(load.cell),
            mode: load.mode.to_string(),
            input_size: load.input,
            hidden_sizes: vec![load.hidden; load.layers],
            num_layers: load.layers,
            directions: if load.bidirectional { 2 } else { 1 },
            // Workloads have biases and no projection.
            bias: true,
            proj_size: 0,
            batch: load.batch,
            steps: load.steps,
            ragged: load.ragged,
            head: of_stream(load.head),
            block: of_stream(load.block),
            helpers: of_stream(load.helpers),
            feedback: (load.mode == Mode::Stream).then_some(load.feedback),
            tokens,
            threads: load.threads.get(),
            isa: load.kernels.isa().name(),
        }
    }
}

/// `rnn`, `gru` or `lstm`.
pub(super) fn cell(cell: Cell) -> &'static str {
    match cell {
        Cell::Elman(_) => "rnn",
        Cell::Gru => "gru",
        Cell::Lstm => "lstm",
        _ => "another cell",
    }
}

/// An rnn's activation.
pub(super) fn nonlinearity(cell: Cell) -> Option<String> {
    match cell {
        Cell::Elman(nonlinearity) => Some(nonlinearity.to_string()),
        _ => None,
    }
}

/// A workload that was measured.
#[derive(Serialize)]
pub(super) struct Report<'a> {
    #[serde(flatten)]
    load: Load<'a>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pinned: &'a [usize],
    turns: usize,
    median_s: f64,
    min_s: f64,
    noise: f64,
    gflops: f64,
    peak_gflops: f64,
    share_of_peak: f64,
    step_ns: f64,
    step_min_ns: f64,
    #[serde(flatten)]
    latency: Option<StepLatency>,
    #[serde(flatten)]
    block_latency: Option<BlockLatency>,
    marks: Vec<String>,
    #[serde(flatten)]
    explained: Option<Explained>,
}

/// How long single steps took.
#[derive(Serialize)]
struct StepLatency {
    step_p50_ns: f64,
    step_p99_ns: f64,
    step_p999_ns: f64,
    step_max_ns: f64,
}

/// How long single blocks of a stream took.
#[derive(Serialize)]
struct BlockLatency {
    timed_block: usize,
    block_p50_ns: f64,
    block_p99_ns: f64,
    block_p999_ns: f64,
    block_max_ns: f64,
}

impl<'a> Report<'a> {
    pub(super) fn new(
        load: &Workload,
        measured: &Measurement,
        explained: Option<Explained>,
        pinned: &'a [usize],
    ) -> Self {
        let ns = |seconds: f64| seconds * 1e9;
        Self {
            load: Load::new(load, measured.tokens),
            pinned,
            turns: measured.turns,
            median_s: measured.median,
            min_s: measured.min,
            noise: measured.noise,
            gflops: measured.flops / 1e9,
            peak_gflops: measured.peak / 1e9,
            share_of_peak: measured.share(),
            step_ns: ns(measured.per_step),
            step_min_ns: ns(measured.min * measured.per_step / measured.median),
            latency: measured.latency.map(|steps| StepLatency {
                step_p50_ns: ns(steps.p50),
                step_p99_ns: ns(steps.p99),
                step_p999_ns: ns(steps.p999),
                step_max_ns: ns(steps.max),
            }),
            block_latency: measured.block_latency.map(|blocks| BlockLatency {
                timed_block: load.timed_block(),
                block_p50_ns: ns(blocks.p50),
                block_p99_ns: ns(blocks.p99),
                block_p999_ns: ns(blocks.p999),
                block_max_ns: ns(blocks.max),
            }),
            marks: measured.marks().iter().map(ToString::to_string).collect(),
            explained,
        }
    }
}

/// A workload that was only predicted.
#[derive(Serialize)]
pub(super) struct Forecast<'a> {
    predicted: bool,
    #[serde(flatten)]
    load: Load<'a>,
    caches: [usize; 3],
    predicted_gflops: f64,
    machine_peak_gflops: f64,
    predicted_share_of_peak: f64,
    predicted_step_ns: f64,
    #[serde(flatten)]
    explained: Explained,
}

impl Forecast<'_> {
    /// With the speed and the machine's peak in FLOP/s.
    pub(super) fn new(load: &Workload, explained: Explained, caches: [usize; 3], speed: f64, peak: f64) -> Self {
        Self {
            predicted: true,
            load: Load::new(load, load.predicted_tokens()),
            caches,
            predicted_gflops: speed / 1e9,
            machine_peak_gflops: peak / 1e9,
            predicted_share_of_peak: speed / peak,
            predicted_step_ns: explained.predicted_s / load.steps as f64 * 1e9,
            explained,
        }
    }
}

/// A workload's schedule and prediction.
#[derive(Serialize)]
pub(super) struct Explained {
    /// Of the first layer.
    pub(super) plan: String,
    /// Of the layers above, where their input is of another size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) plan_above: Option<String>,
    pub(super) predicted_s: f64,
    pub(super) predicted_parts_s: Parts,
}

/// The parts of a prediction, by name.
pub(super) struct Parts(pub(super) Cost);

impl Serialize for Parts {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.parts())
    }
}

/// A workload that two binaries took turns with.
#[derive(Serialize)]
pub(super) struct Compared<'a> {
    #[serde(flatten)]
    load: Load<'a>,
    pairs: usize,
    ours_s: f64,
    theirs_s: f64,
    ratio: f64,
    ratio_low: f64,
    ratio_high: f64,
    ratio_of_shortest: f64,
    slower: bool,
    again: bool,
}

impl Compared<'_> {
    pub(super) fn new(load: &Workload, row: &super::against::Row, again: bool) -> Self {
        let Middle { median, low, high } = row.ratio;
        Self {
            load: Load::new(load, row.tokens),
            pairs: row.pairs,
            ours_s: row.ours,
            theirs_s: row.theirs,
            ratio: median,
            ratio_low: low,
            ratio_high: high,
            ratio_of_shortest: row.of_shortest,
            slower: row.is_slower(),
            again,
        }
    }
}

/// All workloads that two binaries took turns with; `slower` are those that were so when run again, too.
#[derive(Serialize)]
pub(super) struct Total {
    pub(super) rows: usize,
    pub(super) geometric_mean: f64,
    pub(super) slower_once: usize,
    pub(super) slower_twice: usize,
}

/// Prints an object on a line.
pub(super) fn print(object: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(object).map_err(|error| Failure::Run(error.to_string()))?;
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    // Whoever reads it may do so while the next is measured.
    out.flush()?;
    Ok(())
}
