//! `elman peak`: the limits of the machine.

use std::io::{self, Write as _};

use elman::Threads;
use elman::internals::Kernels;
use elman_cli::measure::{Bandwidth, fma_peak, load_bandwidth, round_trip};
use serde::Serialize;

use super::Failure;
use super::common::{count, isa, threads};

/// Turns of a few milliseconds that the medians of the peaks are of.
const TURNS: usize = 25;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Threads of the second peak; one for each core unless set
    #[arg(long, value_name = "N", value_parser = threads, allow_hyphen_values = true)]
    threads: Option<Threads>,
    /// The tier of instructions, avx512, avx2 or portable; the best of this machine unless set
    #[arg(long, value_name = "TIER", value_parser = isa)]
    isa: Option<&'static Kernels>,
    /// Print one JSON object and nothing else
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    isa: &'a str,
    gflops_one_thread: f64,
    threads: usize,
    gflops: f64,
    load: Vec<Load>,
    #[serde(skip_serializing_if = "Option::is_none")]
    round_trip_ns: Option<f64>,
}

/// The bandwidth of loads from a working set.
#[derive(Serialize)]
struct Load {
    bytes: usize,
    gigabytes_per_second: f64,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let kernels = args.isa.map_or_else(Kernels::active, Ok)?;
    let threads = args.threads.unwrap_or_else(Threads::available);
    let median = |threads: Threads| {
        let mut turns: Vec<f64> = (0..TURNS).map(|_| fma_peak(kernels, threads) / 1e9).collect();
        turns.sort_by(f64::total_cmp);
        turns[TURNS / 2]
    };
    let report = Report {
        isa: kernels.isa().name(),
        gflops_one_thread: median(Threads::one()),
        threads: threads.get(),
        gflops: median(threads),
        load: load_bandwidth(kernels)
            .into_iter()
            .map(|Bandwidth { bytes, bytes_per_second }| Load { bytes, gigabytes_per_second: bytes_per_second / 1e9 })
            .collect(),
        round_trip_ns: round_trip().map(|seconds| seconds * 1e9),
    };
    let mut out = io::stdout().lock();
    if args.json {
        let text = serde_json::to_string(&report).map_err(|error| Failure::Run(error.to_string()))?;
        writeln!(out, "{text}")?;
        return Ok(());
    }
    writeln!(out, "fused multiply-adds  {:.0} GFLOP/s on 1 thread ({})", report.gflops_one_thread, report.isa)?;
    if threads != Threads::one() {
        writeln!(
            out,
            "                     {:.0} GFLOP/s on {}",
            report.gflops,
            count(threads.get() as u64, "thread")
        )?;
    }
    for (i, Load { bytes, gigabytes_per_second }) in report.load.iter().enumerate() {
        let label = if i == 0 { "loads, one core" } else { "" };
        writeln!(out, "{label:<20} {gigabytes_per_second:.0} GB/s from {}", size(*bytes))?;
    }
    match report.round_trip_ns {
        Some(ns) => writeln!(out, "between two cores    {ns:.0} ns for a cache line there and back")?,
        None => {
            writeln!(out, "between two cores    not measured: there is one core, or other programs keep them busy")?
        }
    }
    Ok(())
}

/// `16 KiB`, `8 MiB`.
fn size(bytes: usize) -> String {
    if bytes < 1 << 20 { format!("{} KiB", bytes >> 10) } else { format!("{} MiB", bytes >> 20) }
}
