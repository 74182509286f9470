//! Does a layer take the time that its plan predicts?
//!
//! Every workload of `elman bench`'s table is run on one thread and on two, and held against the prediction for the machine
//! as it is: its limits are measured at the start, the peak beside each workload. Fails where half of the predictions are
//! off by more than a factor of 1.35, either way.
//!
//!     cargo bench --bench prediction [-- CELL...]

#[path = "../../benches/common/arguments.rs"]
mod arguments;

use std::process::ExitCode;

use arguments::asked;
use elman::Threads;
use elman::internals::{Cell, Kernels, Machine};
use elman_cli::measure::{Effort, Mode, Workload, machine, round_trip};

/// What the median of the factors may be.
const LIMIT: f64 = 1.35;

const CELLS: [&str; 3] = ["rnn", "gru", "lstm"];

fn main() -> ExitCode {
    let (smoke, cells) = asked("prediction", "a cell", &CELLS);
    verdict(run(&cells, smoke), smoke)
}

/// The factors that the predictions of all workloads are off by.
fn run(cells: &[&str], smoke: bool) -> Vec<f64> {
    let kernels = Kernels::active().unwrap_or_else(|error| panic!("{error}"));
    println!("{}; predicted / measured of the table's workloads", kernels.isa());
    println!(
        "{:<5} {:<6} {:>5} {:>5} {:>5} {:>7} | {:>12} {:>6} | {:>12} | {:>5} | of the predicted time",
        "cell", "mode", "H", "B", "T", "threads", "measured", "noise", "predicted", "ratio"
    );
    let mut factors = Vec::new();
    for threads in (1..=Threads::available().get().min(2)).map(|n| Threads::new(n).expect("at least one")) {
        let limits = machine(kernels, threads, round_trip());
        for load in Workload::table(threads, kernels) {
            let wanted = cells.contains(&name(load.cell));
            // A stream is one call after the other, which no schedule cuts.
            let wanted = wanted && load.mode != Mode::Stream;
            if wanted && !(smoke && (load.hidden > 64 || load.mode == Mode::Train)) {
                let ratio = ratio(&load, &limits, if smoke { 0.0 } else { 0.1 });
                factors.push(ratio.max(1.0 / ratio));
            }
        }
    }
    factors
}

/// The predicted time of a workload over the measured one, and a line about both.
fn ratio(load: &Workload, limits: &Machine, seconds: f64) -> f64 {
    let measured = load.measure(Effort { seconds, ..Effort::default() }).unwrap_or_else(|error| panic!("{error}"));
    let limits = Machine { fma: measured.peak / load.threads.get() as f64, ..*limits };
    let predicted = load.predict(&limits).unwrap_or_else(|error| panic!("{error}"));
    let ratio = predicted.total() / measured.median;
    println!(
        "{:<5} {:<6} {:>5} {:>5} {:>5} {:>7} | {:>9.1} µs {:>4.0} % | {:>9.1} µs | {ratio:>5.2} | {predicted}",
        name(load.cell),
        load.mode,
        load.hidden,
        load.batch,
        load.steps,
        load.threads.get(),
        measured.median * 1e6,
        measured.noise * 100.0,
        predicted.total() * 1e6,
    );
    ratio
}

fn verdict(mut factors: Vec<f64>, smoke: bool) -> ExitCode {
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
        Cell::Elman(_) => CELLS[0],
        Cell::Gru => CELLS[1],
        Cell::Lstm => CELLS[2],
        other => unreachable!("{other} is not among the workloads"),
    }
}
