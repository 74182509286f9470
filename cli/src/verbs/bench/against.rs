//! `--against`: this binary and another in turns.
//!
//! Each run is a process of its own, so that both begin alike: what a process happens to get, such as the places of its
//! memory, is drawn anew for each pair. Who is first in a pair changes from pair to pair.

use std::env;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use elman_cli::measure::{self, Middle, Mode, Workload, geometric_mean};
use indicatif::ProgressBar;
use serde::Deserialize;

use super::args::Args;
use super::report::{self, Compared, Total, cell, nonlinearity};
use super::table::{duration, extra, workload, workload_head};
use super::{message, progress};
use crate::verbs::Failure;
use crate::verbs::common::count;

/// Runs of the table that are longer than this are cut: every process makes six at least, five of them timed.
const LONGEST: f64 = 40e9;

/// The ratio from which on a row is slower, if its whole interval lies above.
const SLOWER: f64 = 1.02;

/// The exit code of a command that was called wrongly.
const WRONG_CALL: i32 = 2;

/// One workload's result.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) pairs: usize,
    pub(super) tokens: usize,
    /// Seconds of a run, the medians of the processes' medians.
    pub(super) ours: f64,
    pub(super) theirs: f64,
    /// The pairs' ratios, our time over theirs.
    pub(super) ratio: Middle,
    /// The same of the shortest runs, the median only.
    pub(super) of_shortest: f64,
}

impl Row {
    pub(super) fn is_slower(&self) -> bool {
        self.ratio.low > SLOWER
    }

    fn is_faster(&self) -> bool {
        self.ratio.high < 1.0 / SLOWER
    }
}

/// What one process tells, under names that have stayed the same.
#[derive(Clone, Copy, Deserialize)]
struct Told {
    median_s: f64,
    min_s: f64,
    tokens: usize,
}

pub(super) fn run(args: &Args, workloads: &[Workload], binary: &Path) -> Result<(), Failure> {
    if let &[cpu] = args.pinned()
        && !measure::pin(cpu)
    {
        return Err(Failure::Run("--pin: the system does not let threads be kept on CPUs".into()));
    }
    let ours = env::current_exe().map_err(|error| Failure::Run(format!("cannot find this binary: {error}")))?;
    let contest = Contest { args, ours, theirs: binary.to_path_buf() };
    let workloads: Vec<Workload> =
        workloads.iter().map(|load| if args.is_table() { load.shortened(LONGEST) } else { *load }).collect();
    let bar = progress(args, workloads.len() * args.pairs);
    let (mut ratios, mut slower, mut unknown) = (Vec::new(), Vec::new(), 0);
    for load in &workloads {
        let Some(row) = contest.row(load, &bar)? else {
            unknown += 1;
            bar.inc(args.pairs as u64);
            continue;
        };
        bar.suspend(|| {
            // Not before both have run once.
            if ratios.is_empty() && !args.json {
                header(args, load, binary)?;
            }
            show(args, load, &row, false)
        })?;
        ratios.push(row.ratio.median);
        if row.is_slower() {
            slower.push(*load);
        }
    }
    if ratios.is_empty() {
        return Err(Failure::Run(format!("{}: it knows none of the workloads", binary.display())));
    }
    if unknown > 0 {
        let rows = count(unknown, "row");
        bar.suspend(|| {
            writeln!(io::stderr(), "note: left out: {rows} whose options {} does not know", binary.display())
        })?;
    }
    let mut twice = 0;
    if !slower.is_empty() {
        bar.set_length((slower.len() * args.pairs) as u64);
        bar.reset();
        if !args.json {
            bar.suspend(|| writeln!(io::stdout(), "\nonce more:"))?;
        }
        for load in &slower {
            let Some(row) = contest.row(load, &bar)? else { continue };
            bar.suspend(|| show(args, load, &row, true))?;
            twice += usize::from(row.is_slower());
        }
    }
    bar.finish_and_clear();
    let total = Total {
        rows: ratios.len(),
        geometric_mean: geometric_mean(&ratios),
        slower_once: slower.len(),
        slower_twice: twice,
    };
    if args.json { report::print(&total) } else { Ok(end(&total)?) }
}

/// Two binaries, and how they are called.
struct Contest<'a> {
    args: &'a Args,
    ours: PathBuf,
    theirs: PathBuf,
}

impl Contest<'_> {
    /// `None` for a row of the table whose options the other binary does not know.
    fn row(&self, load: &Workload, bar: &ProgressBar) -> Result<Option<Row>, Failure> {
        bar.set_message(message(load));
        let mut told: Vec<[Told; 2]> = Vec::new();
        for pair in 0..self.args.pairs {
            let ours_first = pair % 2 == 0;
            let [first, second] = if ours_first { [&self.ours, &self.theirs] } else { [&self.theirs, &self.ours] };
            let [Some(first), Some(second)] = [self.turn(first, load)?, self.turn(second, load)?] else {
                return Ok(None);
            };
            told.push(if ours_first { [first, second] } else { [second, first] });
            bar.inc(1);
        }
        let middle = |value: fn(&[Told; 2]) -> f64| Middle::of(&mut told.iter().map(value).collect::<Vec<_>>());
        Ok(Some(Row {
            pairs: told.len(),
            tokens: told[0][0].tokens,
            ours: middle(|[ours, _]| ours.median_s).median,
            theirs: middle(|[_, theirs]| theirs.median_s).median,
            ratio: middle(|[ours, theirs]| ours.median_s / theirs.median_s),
            of_shortest: middle(|[ours, theirs]| ours.min_s / theirs.min_s).median,
        }))
    }

    /// One process; `None` where it takes the options of the table's row for a wrong call.
    fn turn(&self, binary: &Path, load: &Workload) -> Result<Option<Told>, Failure> {
        let name = binary.display();
        let output = Command::new(binary)
            .args(arguments(load, self.args.effort(load).seconds))
            .stdin(Stdio::null())
            .output()
            .map_err(|error| Failure::Run(format!("{name}: cannot be run: {error}")))?;
        if output.status.code() == Some(WRONG_CALL) && self.args.is_table() {
            return Ok(None);
        }
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            let words = words.lines().last().unwrap_or("it says nothing");
            return Err(Failure::Run(format!("{name} {}: {}: {words}", message(load), output.status)));
        }
        serde_json::from_slice(&output.stdout).map(Some).map_err(|error| {
            Failure::Run(format!("{name}: expected 'bench --json' to print one object of a workload: {error}"))
        })
    }
}

/// The options that describe a workload, all of them, under names that have stayed the same.
fn arguments(load: &Workload, seconds: f64) -> Vec<String> {
    let mut list: Vec<String> = ["bench", "--json", "--cell", cell(load.cell)].map(Into::into).into();
    if let Some(name) = nonlinearity(load.cell) {
        list.extend(["--nonlinearity".into(), name]);
    }
    for (option, value) in [
        ("--mode", load.mode.to_string()),
        ("--input", load.input.to_string()),
        ("--hidden", load.hidden.to_string()),
        ("--steps", load.steps.to_string()),
        ("--layers", load.layers.to_string()),
        ("--threads", load.threads.get().to_string()),
        ("--isa", load.kernels.isa().name().into()),
        ("--seconds", seconds.to_string()),
    ] {
        list.extend([option.into(), value]);
    }
    let of_mode = match load.mode {
        Mode::Stream => vec![("--head", load.head), ("--block", load.block), ("--rows", load.batch)],
        _ => vec![("--batch", load.batch)],
    };
    if load.helpers > 0 {
        list.extend(["--helpers".into(), load.helpers.to_string()]);
    }
    list.extend(of_mode.into_iter().flat_map(|(option, value)| [option.into(), value.to_string()]));
    let switches = [("--bidirectional", load.bidirectional), ("--ragged", load.ragged), ("--feedback", load.feedback)];
    list.extend(switches.into_iter().filter(|(_, on)| *on).map(|(option, _)| option.into()));
    list
}

fn header(args: &Args, load: &Workload, binary: &Path) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{} on up to {}, in turns with {}: {} of processes a row, {} s each",
        load.kernels.isa(),
        count(load.threads.get() as u64, "thread"),
        binary.display(),
        count(args.pairs as u64, "pair"),
        args.effort(load).seconds,
    )?;
    writeln!(
        out,
        "ratio: our time over theirs, the median of the pairs and the interval that holds it 95 times in 100;"
    )?;
    writeln!(out, "       slower where all of that is above {SLOWER:.2}, faster where it is below 1/{SLOWER:.2}\n")?;
    writeln!(
        out,
        "{} | {:>10} {:>10} | {:>5}  {:<13} {:>11}",
        workload_head(),
        "ours",
        "theirs",
        "ratio",
        "interval",
        "of shortest"
    )
}

fn show(args: &Args, load: &Workload, row: &Row, again: bool) -> Result<(), Failure> {
    if args.json {
        return report::print(&Compared::new(load, row, again));
    }
    let Middle { median, low, high } = row.ratio;
    let mark = match row {
        row if row.is_slower() => "  slower",
        row if row.is_faster() => "  faster",
        _ => "",
    };
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{} | {:>10} {:>10} | {median:.3}  {:<13} {:>11.3}{}{mark}",
        workload(load),
        duration(row.ours),
        duration(row.theirs),
        format!("{low:.3}-{high:.3}"),
        row.of_shortest,
        extra(load, row.tokens),
    )?;
    out.flush()?;
    Ok(())
}

fn end(total: &Total) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let Total { rows, geometric_mean, slower_once, slower_twice } = total;
    writeln!(out, "\n{}: the geometric mean of the ratios is {geometric_mean:.4}", count(*rows as u64, "row"))?;
    match (slower_once, slower_twice) {
        (0, _) => writeln!(out, "none is slower"),
        (once, twice) => writeln!(out, "slower: {once}, and once more: {twice}"),
    }
}
