//! The table that `elman bench` prints.

use std::io::{self, Write as _};

use elman::Nonlinearity;
use elman::internals::Cell;
use elman_cli::measure::{Latency, Mark, Measurement, Mode, Workload};

use super::explain::explanation;
use super::report::{Explained, cell};
use crate::verbs::Failure;
use crate::verbs::common::count;

/// The heads of the columns of [`workload`].
pub(super) fn workload_head() -> String {
    format!("{:<8} {:<6} {:>5} {:>5} {:>5} {:>5}", "cell", "mode", "I", "H", "B", "T")
}

/// What a row is of.
pub(super) fn workload(load: &Workload) -> String {
    let Workload { mode, input, hidden, batch, steps, .. } = load;
    format!("{:<8} {mode:<6} {input:>5} {hidden:>5} {batch:>5} {steps:>5}", name(load.cell))
}

/// `lstm`, `rnn-relu`.
pub(super) fn name(of: Cell) -> &'static str {
    match of {
        Cell::Elman(Nonlinearity::Relu) => "rnn-relu",
        _ => cell(of),
    }
}

/// What is not usual about a workload.
pub(super) fn extra(load: &Workload, tokens: usize) -> String {
    let mut extra = String::new();
    if load.layers > 1 {
        extra += &format!("  {} layers", load.layers);
    }
    if load.bidirectional {
        extra += "  bidirectional";
    }
    if load.block > 1 {
        extra += &format!("  blocks of {}", load.block);
    }
    if load.helpers > 0 {
        extra += &format!("  {}", count(load.helpers as u64, "helper"));
    }
    if load.feedback {
        extra += "  fed back";
    }
    if load.mode == Mode::Stream && load.head != 1 {
        extra += &if load.head == 0 { "  no head".into() } else { format!("  head of {}", load.head) };
    }
    if load.ragged {
        extra += &format!("  ragged, {tokens} tokens");
    }
    extra
}

pub(super) fn header(load: &Workload, pinned: &[usize]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let cpus = pinned.iter().map(|cpu| format!(" {cpu}")).collect::<Vec<_>>().join(",");
    writeln!(
        out,
        "{} on up to {}{}; medians, and the share of the FMA peak measured in between",
        load.kernels.isa(),
        count(load.threads.get() as u64, "thread"),
        if pinned.is_empty() { String::new() } else { format!(", pinned to CPU{cpus}") },
    )?;
    writeln!(out, "noise: half the distance between the quartiles of the times, as a share of the median\n")?;
    writeln!(
        out,
        "{} | {:>10} {:>6} | {:>8} {:>9} {:>6} | {:>10}",
        workload_head(),
        "time",
        "noise",
        "GFLOP/s",
        "peak",
        "share",
        "a step"
    )
}

pub(super) fn row(load: &Workload, measured: &Measurement, explained: Option<&Explained>) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    write!(
        out,
        "{} | {:>10} {:>4.0} % | {:>8.1} {:>9.1} {:>4.0} % | {:>10}{}",
        workload(load),
        duration(measured.median),
        100.0 * measured.noise,
        measured.flops / 1e9,
        measured.peak / 1e9,
        100.0 * measured.share(),
        duration(measured.per_step),
        extra(load, measured.tokens),
    )?;
    for mark in measured.marks() {
        write!(out, "  {mark}")?;
    }
    writeln!(out)?;
    if let Some(steps) = &measured.latency {
        let least = duration(measured.min * measured.per_step / measured.median);
        writeln!(out, "         a step: least {least}, {}", percentiles(steps))?;
    }
    if let Some(blocks) = &measured.block_latency {
        writeln!(out, "         a block of {}: {}", load.timed_block(), percentiles(blocks))?;
    }
    if let Some(explained) = explained {
        write!(out, "{}", explanation(load, explained, Some(measured.median)))?;
    }
    out.flush()?;
    Ok(())
}

fn percentiles(&Latency { p50, p99, p999, max }: &Latency) -> String {
    let [p50, p99, p999, max] = [p50, p99, p999, max].map(duration);
    format!("p50 {p50}, p99 {p99}, p99.9 {p999}, max {max}")
}

/// What the marks mean that rows have.
pub(super) fn legend(marks: &[Mark]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let there = [Mark::Noisy, Mark::AbovePeak].into_iter().filter(|mark| marks.contains(mark));
    for (i, mark) in there.enumerate() {
        writeln!(out, "{}{mark}: {}", if i == 0 { "\n" } else { "" }, mark.legend())?;
    }
    Ok(())
}

/// `1.234 ms`.
pub(super) fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 1e-6 => format!("{:.1} ns", s * 1e9),
        s if s < 1e-3 => format!("{:.2} µs", s * 1e6),
        s if s < 1.0 => format!("{:.3} ms", s * 1e3),
        s => format!("{s:.3} s"),
    }
}
