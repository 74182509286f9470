//! Does a layer take the time that its plan predicts?
//!
//! Every workload of `elman bench`'s table is run on one thread and on two, and held against the prediction for the machine
//! as it is: its limits are measured at the start, the peak beside each workload. Fails where half of the predictions are
//! off by more than a factor of 1.35, either way.
//!
//!     cargo bench --bench prediction [-- CELL...]

use std::process::ExitCode;

use elman::internals::Kernels;
use elman::internals::Machine;
use elman::{Cell, Threads};
use elman_cli::measure::{Mode, Workload, machine};

/// What the median of the factors may be.
const LIMIT: f64 = 1.35;

fn main() -> ExitCode {
    // `cargo bench -- --test` only asks whether everything runs.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let smoke = arguments.iter().any(|arg| arg == "--test");
    let wanted = |name: &str| smoke || arguments.is_empty() || arguments.iter().any(|arg| arg == name);
    let kernels = Kernels::active().unwrap_or_else(|error| panic!("{error}"));
    println!("{}; predicted / measured of the table's workloads", kernels.isa());
    println!(
        "{:<5} {:<6} {:>5} {:>5} {:>5} {:>7} | {:>12} {:>6} | {:>12} | {:>5} | of the predicted time",
        "cell", "mode", "H", "B", "T", "threads", "measured", "noise", "predicted", "ratio"
    );
    let mut factors = Vec::new();
    for threads in (1..=Threads::available().get().min(2)).map(|n| Threads::new(n).expect("at least one")) {
        let limits = machine(kernels, threads);
        for load in Workload::table(threads, kernels) {
            let name = name(load.cell);
            if !wanted(name) || smoke && (load.hidden > 64 || load.mode == Mode::Train) {
                continue;
            }
            let measured = load.measure(if smoke { 0.0 } else { 0.1 }).unwrap_or_else(|error| panic!("{error}"));
            let limits = Machine { fma: measured.peak / threads.get() as f64, ..limits };
            let predicted = load.predict(&limits).unwrap_or_else(|error| panic!("{error}"));
            let ratio = predicted.total() / measured.median;
            println!(
                "{name:<5} {:<6} {:>5} {:>5} {:>5} {:>7} | {:>9.1} µs {:>4.0} % | {:>9.1} µs | {ratio:>5.2} | {predicted}",
                load.mode,
                load.hidden,
                load.batch,
                load.steps,
                threads.get(),
                measured.median * 1e6,
                measured.noise * 100.0,
                predicted.total() * 1e6,
            );
            factors.push(ratio.max(1.0 / ratio));
        }
    }
    assert!(!factors.is_empty(), "no such cell: expected rnn, gru or lstm");
    factors.sort_by(f64::total_cmp);
    let at = |share: f64| factors[((factors.len() - 1) as f64 * share) as usize];
    let within = factors.iter().filter(|&&factor| factor <= LIMIT).count();
    println!(
        "\n{} workloads: off by a factor of {:.2} in the median, {:.2} of 9 in 10, {:.2} at most; {within} within {LIMIT}",
        factors.len(),
        at(0.5),
        at(0.9),
        at(1.0),
    );
    if !smoke && at(0.5) > LIMIT {
        eprintln!("error: the median factor is {:.2}, expected at most {LIMIT}", at(0.5));
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn name(cell: Cell) -> &'static str {
    match cell {
        Cell::Elman(_) => "rnn",
        Cell::Gru => "gru",
        Cell::Lstm => "lstm",
    }
}
