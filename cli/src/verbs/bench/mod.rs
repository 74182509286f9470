//! `elman bench`: how fast a network is on this machine, as a share of its arithmetic.

mod against;
mod args;
mod explain;
mod memory;
mod report;
mod table;

pub(crate) use args::Args;

use std::io::{self, IsTerminal as _};

use elman::internals::Machine;
use elman_cli::measure::{self, Mode, Workload};
use indicatif::{ProgressBar, ProgressStyle};

use super::Failure;
use report::Report;

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let workloads = args.workloads()?;
    if args.only_predicts() {
        return explain::forecast(args, &workloads);
    }
    args.check()?;
    workloads.iter().try_for_each(memory::of_run)?;
    if let Some(binary) = &args.against {
        return against::run(args, &workloads, binary);
    }
    // Before any thread is kept on a CPU, where the two that play would be one behind the other.
    let round_trip = if args.explain { measure::round_trip() } else { None };
    if args.pinned().is_empty() {
        return measure_all(args, &workloads, round_trip);
    }
    let refused = || Failure::Run("--pin: the system does not let threads be kept on CPUs".into());
    let pool = measure::pinned_pool(args.pinned()).ok_or_else(refused)?;
    pool.install(|| measure_all(args, &workloads, round_trip))
}

fn measure_all(args: &Args, workloads: &[Workload], round_trip: Option<f64>) -> Result<(), Failure> {
    let machine = match workloads.first() {
        Some(load) if args.explain => Some(measure::machine(load.kernels, load.threads, round_trip)),
        _ => None,
    };
    let bar = progress(args, workloads.len());
    let mut marks = Vec::new();
    for (i, load) in workloads.iter().enumerate() {
        bar.set_message(message(load));
        let measured = load.measure(args.effort(load))?;
        // The peak of the turns in between is the nearest in time.
        let fma = measured.peak / load.threads.get() as f64;
        let explained = machine
            .filter(|_| load.mode != Mode::Stream)
            .map(|machine| explain::explain(load, &Machine { fma, ..machine }))
            .transpose()?;
        bar.suspend(|| {
            if args.json {
                return report::print(&Report::new(load, &measured, explained, args.pinned()));
            }
            // Not before the first workload has been accepted.
            if i == 0 {
                table::header(load, args.pinned())?;
            }
            table::row(load, &measured, explained.as_ref())
        })?;
        marks.extend(measured.marks());
        bar.inc(1);
    }
    bar.finish_and_clear();
    if !args.json {
        table::legend(&marks)?;
    }
    Ok(())
}

/// A bar of that many things to do, where a terminal shows it.
fn progress(args: &Args, length: usize) -> ProgressBar {
    let quiet = args.json || !io::stderr().is_terminal();
    let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new(length as u64) };
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len}  {msg}").expect("a valid template");
    bar.set_style(style.progress_chars("=> "));
    bar
}

/// What a bar says while a workload runs.
fn message(load: &Workload) -> String {
    format!("{} {} {}", table::name(load.cell), load.mode, load.hidden)
}
