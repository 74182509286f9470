//! `elman bench`: how fast a network is on this machine, as a share of its arithmetic.

use std::io::{self, IsTerminal as _, Write as _};

use elman::Threads;
use elman::format::Kind;
use elman::internals::Kernels;
use elman::internals::{Machine, Prediction};
use elman::{Cell, Nonlinearity};
use elman_cli::measure::{self, Measurement, Mode, Workload};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::Failure;
use super::common::{any_threads, cell, isa, nonlinearity, runnable, seconds, whole};

#[derive(clap::Args)]
#[command(
    after_help = "Without any of --cell, --mode, --input, --hidden, --batch, --steps, --layers, --bidirectional and \
                        --ragged a table of workloads is run: every cell in inference, training and streaming.\n\
                        FLOP are counted as 2·B·T·G·H·(I + H) for each layer and direction, three times that in training \
                        (forward, loss, backward, Adam). The peak is measured in between.\n\
                        --caches, and --explain with more --threads than the machine has cores, run nothing: they predict, for a \
                        machine of that many Zen 4 cores."
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
    #[arg(long, value_name = "N", value_parser = any_threads, allow_hyphen_values = true)]
    threads: Option<Threads>,
    /// The tier of instructions, avx512, avx2 or portable; the best of this machine unless set
    #[arg(long, value_name = "TIER", value_parser = isa)]
    isa: Option<&'static Kernels>,
    /// Seconds to spend on each workload
    #[arg(long, value_name = "S", default_value = "1", value_parser = seconds, allow_hyphen_values = true)]
    seconds: f64,
    /// Print the schedule of each shape of layer, and the time predicted for this machine with its parts
    #[arg(long)]
    explain: bool,
    /// Predict, and run nothing: bytes of a core's L1d and L2 and of all cores' L3, such as 32K,1M,32M
    #[arg(long, value_name = "L1,L2,L3", value_parser = caches, allow_hyphen_values = true)]
    caches: Option<[usize; 3]>,
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

/// `32K,1M,32M`.
fn caches(text: &str) -> Result<[usize; 3], String> {
    let size = |text: &str| {
        let (digits, unit) = match text.char_indices().next_back()? {
            (end, 'K' | 'k') => (&text[..end], 1 << 10),
            (end, 'M' | 'm') => (&text[..end], 1 << 20),
            (end, 'G' | 'g') => (&text[..end], 1 << 30),
            _ => (text, 1),
        };
        digits.parse::<usize>().ok()?.checked_mul(unit)
    };
    let sizes: Option<Vec<usize>> = text.split(',').map(size).collect();
    let sizes = sizes.and_then(|sizes| <[usize; 3]>::try_from(sizes).ok());
    let sizes = sizes.filter(|&[l1, l2, l3]| 0 < l1 && l1 <= l2 && l2 <= l3);
    sizes.ok_or_else(|| "expected the sizes of L1d, L2 and L3, each at least the one before, such as 32K,1M,32M".into())
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
    #[serde(flatten)]
    explained: Option<Explained>,
}

/// What `--explain` adds to it.
#[derive(Serialize)]
struct Explained {
    /// Of the first layer.
    plan: String,
    /// Of the layers above, where their input is of another size.
    #[serde(skip_serializing_if = "Option::is_none")]
    plan_above: Option<String>,
    predicted_s: f64,
    predicted_parts_s: Parts,
}

/// The parts of a prediction, by name.
struct Parts(Prediction);

impl Serialize for Parts {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.parts())
    }
}

/// What `--json` prints for each workload that is only predicted.
#[derive(Serialize)]
struct Forecast<'a> {
    predicted: bool,
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
    caches: [usize; 3],
    predicted_gflops: f64,
    machine_peak_gflops: f64,
    predicted_share_of_peak: f64,
    predicted_ns_per_step: f64,
    #[serde(flatten)]
    explained: Explained,
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
    let beyond = args.explain && args.threads.is_some_and(|threads| threads.get() > Threads::available().get());
    if args.caches.is_some() || beyond {
        return forecast(args, &workloads);
    }
    if let Some(threads) = args.threads {
        runnable(threads).map_err(|reason| Failure::Usage(format!("--threads: {reason}, got {}", threads.get())))?;
    }
    let machine = match workloads.first() {
        Some(load) if args.explain => Some(measure::machine(load.kernels, load.threads)),
        _ => None,
    };
    let quiet = args.json || !io::stderr().is_terminal();
    let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new(workloads.len() as u64) };
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len}  {msg}").expect("a valid template");
    bar.set_style(style.progress_chars("=> "));
    for (i, load) in workloads.iter().enumerate() {
        bar.set_message(format!("{} {} {}", name(load.cell), load.mode, load.hidden));
        let measured = load.measure(args.seconds)?;
        // The peak of the turns in between is the nearest in time.
        let explained = match &machine {
            Some(machine) => {
                Some(explain(load, &Machine { fma: measured.peak / load.threads.get() as f64, ..*machine })?)
            }
            None => None,
        };
        bar.suspend(|| {
            if args.json {
                return json(load, &measured, explained);
            }
            // Not before the first workload has been accepted.
            if i == 0 {
                header(load)?;
            }
            row(load, &measured, explained)
        })?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

/// The schedules of a workload, and the time that they should take.
fn explain(load: &Workload, machine: &Machine) -> Result<Explained, Failure> {
    let prediction = load.predict(machine)?;
    let mut plans = load.plans()?.into_iter().map(|(_, plan, _)| plan.to_string());
    Ok(Explained {
        plan: plans.next().unwrap_or_default(),
        plan_above: plans.next(),
        predicted_s: prediction.total(),
        predicted_parts_s: Parts(prediction),
    })
}

/// The lines that `--explain` adds to a row.
fn explanation(load: &Workload, explained: &Explained, measured: Option<f64>) -> String {
    let Explained { plan, plan_above, predicted_s, predicted_parts_s: Parts(parts) } = explained;
    let mut text = match plan_above {
        None if load.layers == 1 => format!("         schedule: {plan}\n"),
        None => format!("         schedule of each layer: {plan}\n"),
        Some(above) => {
            let others = if load.layers == 2 { "layer 2".into() } else { format!("layers 2 to {}", load.layers) };
            format!("         schedule of layer 1: {plan}\n         of {others}: {above}\n")
        }
    };
    match measured {
        Some(measured) => {
            let (time, ratio) = (duration(*predicted_s), predicted_s / measured);
            text += &format!("         predicted {time}, {ratio:.2} of the measured: {parts}\n");
        }
        None => text += &format!("         of the time: {parts}\n"),
    }
    text
}

/// What would be on another machine, without running anything.
fn forecast(args: &Args, workloads: &[Workload]) -> Result<(), Failure> {
    let known = Machine::default();
    let threads = args.threads.unwrap_or_else(Threads::available).get();
    let machine = Machine { threads, caches: args.caches.unwrap_or(known.caches), ..known };
    let peak = machine.fma * threads as f64;
    let mut out = io::stdout().lock();
    for (i, load) in workloads.iter().enumerate() {
        let explained = explain(load, &machine)?;
        let (time, tokens) = (explained.predicted_s, load.predicted_tokens());
        let speed = load.flop(tokens) / time;
        if args.json {
            let forecast = Forecast {
                predicted: true,
                cell: name(load.cell),
                mode: load.mode.to_string(),
                input: load.input,
                hidden: load.hidden,
                batch: load.batch,
                steps: load.steps,
                layers: load.layers,
                directions: if load.bidirectional { 2 } else { 1 },
                ragged: load.ragged,
                tokens,
                threads,
                isa: load.kernels.isa().name(),
                caches: machine.caches,
                predicted_gflops: speed / 1e9,
                machine_peak_gflops: peak / 1e9,
                predicted_share_of_peak: speed / peak,
                predicted_ns_per_step: time / load.steps as f64 * 1e9,
                explained,
            };
            let text = serde_json::to_string(&forecast).map_err(|error| Failure::Run(error.to_string()))?;
            writeln!(out, "{text}")?;
            continue;
        }
        if i == 0 {
            let [l1, l2, l3] = machine.caches.map(bytes);
            writeln!(
                out,
                "predicted, not measured: {} on up to {} of a machine of Zen 4 cores, {:.0} GFLOP/s each; L1d {l1}, L2 {l2}, \
                 L3 {l3}\n",
                load.kernels.isa(),
                super::common::count(threads as u64, "thread"),
                machine.fma / 1e9,
            )?;
            writeln!(
                out,
                "{:<8} {:<6} {:>5} {:>5} {:>5} {:>5} | {:>10} | {:>8} {:>6} | {:>10}",
                "cell", "mode", "I", "H", "B", "T", "time", "GFLOP/s", "share", "a step"
            )?;
        }
        writeln!(
            out,
            "{:<8} {:<6} {:>5} {:>5} {:>5} {:>5} | {:>10} | {:>8.1} {:>4.0} % | {:>10}{}",
            name(load.cell),
            load.mode,
            load.input,
            load.hidden,
            load.batch,
            load.steps,
            duration(time),
            speed / 1e9,
            100.0 * speed / peak,
            duration(time / load.steps as f64),
            extra(load, tokens),
        )?;
        if args.explain {
            write!(out, "{}", explanation(load, &explained, None))?;
        }
    }
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
        super::common::count(load.threads.get() as u64, "thread"),
    )?;
    writeln!(
        out,
        "{:<8} {:<6} {:>5} {:>5} {:>5} {:>5} | {:>10} {:>6} | {:>8} {:>9} {:>6} | {:>10}",
        "cell", "mode", "I", "H", "B", "T", "time", "noise", "GFLOP/s", "peak", "share", "a step"
    )
}

/// What is not usual about a workload.
fn extra(load: &Workload, tokens: usize) -> String {
    let mut extra = String::new();
    if load.layers > 1 {
        extra += &format!("  {} layers", load.layers);
    }
    if load.bidirectional {
        extra += "  bidirectional";
    }
    if load.ragged {
        extra += &format!("  ragged, {tokens} tokens");
    }
    extra
}

fn row(load: &Workload, measured: &Measurement, explained: Option<Explained>) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{:<8} {:<6} {:>5} {:>5} {:>5} {:>5} | {:>10} {:>4.0} % | {:>8.1} {:>9.1} {:>4.0} % | {:>10}{}",
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
        extra(load, measured.tokens),
    )?;
    if let Some(explained) = explained {
        write!(out, "{}", explanation(load, &explained, Some(measured.median)))?;
    }
    Ok(())
}

fn json(load: &Workload, measured: &Measurement, explained: Option<Explained>) -> Result<(), Failure> {
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
        explained,
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

/// `32 KiB`, `1 MiB`.
fn bytes(n: usize) -> String {
    match n {
        n if n.is_multiple_of(1 << 20) => format!("{} MiB", n >> 20),
        n if n.is_multiple_of(1 << 10) => format!("{} KiB", n >> 10),
        n => format!("{n} bytes"),
    }
}
