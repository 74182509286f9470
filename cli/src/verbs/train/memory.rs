//! `elman train memory`: which networks still remember after how many steps, and how far back their gradients reach.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::Instant;

use elman::Threads;
use elman::format::{check_writable, write_atomic};
use elman_tasks::memory::{Kind, Memory, Outcome, Problem};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::watch::clock;
use super::{Failure, Pane};
use crate::verbs::common::{threads, whole};
use crate::verbs::plot::chart::{Chart, Curve, Panel};
use crate::verbs::plot::{Format, render};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// What is to be remembered: adding (two marked numbers) or copy (three symbols, after a delay)
    #[arg(long, value_name = "PROBLEM", default_value = "adding", value_parser = problem)]
    problem: Problem,
    /// Over how many steps, one run of each network for each length: of 1000 steps, as --minibatches is unless set, a run takes
    /// some minutes
    #[arg(long, value_name = "T,…", default_value = "50,100,200", value_delimiter = ',', value_parser = steps)]
    lengths: Vec<usize>,
    /// The networks: rnn (tanh), irnn (relu that begins as the identity), gru, lstm
    #[arg(long, value_name = "KIND,…", default_value = "rnn,irnn,gru,lstm", value_delimiter = ',', value_parser = kind)]
    kinds: Vec<Kind>,
    /// Hidden units
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = steps)]
    hidden: usize,
    /// Minibatches that are learned from, fewer where the problem is solved before
    #[arg(long, value_name = "N", default_value_t = 3000, value_parser = minibatches)]
    minibatches: u64,
    /// Adam's learning rate
    #[arg(long, value_name = "X", default_value_t = 0.004)]
    lr: f32,
    /// The seed of everything that is drawn
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Threads that may be used; one for each core unless set
    #[arg(long, value_name = "N", value_parser = threads)]
    threads: Option<Threads>,
    /// Where the picture goes: a .png or .svg file
    #[arg(long, value_name = "FILE", default_value = "memory.png")]
    plot: PathBuf,
    /// Print a JSON object for each run and nothing else
    #[arg(long)]
    json: bool,
}

fn problem(text: &str) -> Result<Problem, String> {
    match text {
        "adding" => Ok(Problem::Adding),
        "copy" => Ok(Problem::Copy),
        _ => Err("expected adding or copy".into()),
    }
}

fn kind(text: &str) -> Result<Kind, String> {
    match text {
        "rnn" => Ok(Kind::Rnn),
        "irnn" => Ok(Kind::Irnn),
        "gru" => Ok(Kind::Gru),
        "lstm" => Ok(Kind::Lstm),
        _ => Err("expected rnn, irnn, gru or lstm".into()),
    }
}

fn steps(text: &str) -> Result<usize, String> {
    whole(text, 1..=10_000)
}

fn minibatches(text: &str) -> Result<u64, String> {
    whole(text, 1..=1_000_000)
}

/// What `--json` prints of a run.
#[derive(Serialize)]
struct Report<'a> {
    problem: Problem,
    steps: usize,
    kind: Kind,
    hidden: usize,
    minibatches: usize,
    seconds: f64,
    loss: Option<f64>,
    solved: bool,
    solved_after: Option<u64>,
    gradient_flow_untrained: &'a str,
    gradient_flow: &'a str,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let format = Format::of(&args.plot).map_err(|reason| Failure::Usage(format!("--plot: {reason}")))?;
    check_writable(&args.plot)?;
    let mut all: Vec<Outcome> = Vec::new();
    if !args.json {
        let known = args.problem.baseline();
        writeln!(
            io::stdout(),
            "{:?}: who has read nothing has a loss of {known:.3}; solved is below {}",
            args.problem,
            args.problem.threshold()
        )?;
    }
    for &steps in &args.lengths {
        for &kind in &args.kinds {
            let settings = Memory {
                hidden: args.hidden,
                minibatches: args.minibatches,
                lr: args.lr,
                seed: args.seed,
                ..Memory::new(args.problem, steps, kind)
            };
            let begin = Instant::now();
            let outcome = watched(&settings, args)?;
            tell(&outcome, begin.elapsed().as_secs_f64(), args.json)?;
            all.push(outcome);
            // Anew after each run: long ones may be broken off.
            write_atomic(&args.plot, &picture(args, &all, format)?)?;
        }
    }
    if !args.json {
        write!(io::stdout(), "\n{}\n", table(&all))?;
        writeln!(io::stdout(), "picture     {}", args.plot.display())?;
    }
    Ok(())
}

/// One run, which ends where the problem is solved.
fn watched(settings: &Memory, args: &Args) -> Result<Outcome, Failure> {
    let terminal = io::stderr().is_terminal() && !args.json;
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len}  {msg}").expect("a valid template");
    let bar = if terminal { ProgressBar::new(settings.minibatches) } else { ProgressBar::hidden() };
    bar.set_style(style.progress_chars("=> "));
    let threads = args.threads.unwrap_or_else(Threads::available);
    let solved = args.problem.threshold();
    let outcome = settings.run(threads, &mut |progress| {
        bar.set_position(progress.minibatch);
        bar.set_message(format!("{}, T {}, loss {:.4}", settings.kind.title(), settings.steps, progress.loss));
        progress.fresh.is_none_or(|fresh| fresh >= solved)
    })?;
    bar.finish_and_clear();
    Ok(outcome)
}

fn tell(outcome: &Outcome, seconds: f64, json: bool) -> Result<(), Failure> {
    let Outcome { memory, losses, fresh, solved, solved_after, diverged_at, untrained, trained } = outcome;
    let loss = fresh.last().map(|&(_, loss)| loss);
    if json {
        let report = Report {
            problem: memory.problem,
            steps: memory.steps,
            kind: memory.kind,
            hidden: memory.hidden,
            minibatches: losses.len(),
            seconds,
            loss,
            solved: *solved,
            solved_after: *solved_after,
            gradient_flow_untrained: &untrained.verdict,
            gradient_flow: &trained.verdict,
        };
        let text = serde_json::to_string(&report).map_err(|error| Failure::Run(error.to_string()))?;
        writeln!(io::stdout(), "{text}")?;
        return Ok(());
    }
    let end = match (solved_after, diverged_at) {
        (Some(after), _) if *solved => format!("solved after {after} minibatches"),
        (_, Some(at)) => format!("diverged at minibatch {at}"),
        _ => format!("not solved in {}", losses.len()),
    };
    let loss = loss.map_or("-".into(), |loss| format!("{loss:.4}"));
    writeln!(
        io::stdout(),
        "T {:>4}  {:<8}  loss {loss:<7}  {end} ({})\n        as drawn: {}",
        memory.steps,
        memory.kind.title(),
        clock(seconds),
        untrained.verdict
    )?;
    Ok(())
}

/// A row for each network, a column for each length: after how many minibatches it was solved, or the loss that was left.
fn table(all: &[Outcome]) -> String {
    let (kinds, lengths) =
        (distinct(all, |outcome| outcome.memory.kind), distinct(all, |outcome| outcome.memory.steps));
    let cell = |kind: Kind, steps: usize| {
        let outcome = all.iter().find(|outcome| (outcome.memory.kind, outcome.memory.steps) == (kind, steps));
        outcome.map_or(String::new(), |outcome| match (outcome.solved_after, outcome.diverged_at) {
            (Some(after), _) if outcome.solved => format!("solved after {after}"),
            (_, Some(at)) => format!("diverged at {at}"),
            _ => format!("loss {:.4}", last_loss(outcome)),
        })
    };
    let first = std::iter::once(String::new()).chain(lengths.iter().map(|steps| format!("T {steps}")));
    let mut rows = vec![first.collect::<Vec<_>>()];
    for &kind in &kinds {
        rows.push(
            [kind.title().to_string()].into_iter().chain(lengths.iter().map(|&steps| cell(kind, steps))).collect(),
        );
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..=lengths.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// What there is, in the order in which it first comes.
fn distinct<T: PartialEq>(all: &[Outcome], of: impl Fn(&Outcome) -> T) -> Vec<T> {
    let mut found = Vec::new();
    for one in all.iter().map(of) {
        if !found.contains(&one) {
            found.push(one);
        }
    }
    found
}

/// The loss on fresh examples at the end; NaN where it diverged.
fn last_loss(outcome: &Outcome) -> f64 {
    match outcome.diverged_at {
        Some(_) => f64::NAN,
        None => outcome.fresh.last().map_or(f64::NAN, |&(_, loss)| loss),
    }
}

/// The losses by minibatches and the gradients of the networks as drawn, of the longest sequences that were tried; between
/// them, where there are several lengths, the losses at the end by lengths.
fn picture(args: &Args, all: &[Outcome], format: Format) -> Result<Vec<u8>, Failure> {
    let (kinds, lengths) =
        (distinct(all, |outcome| outcome.memory.kind), distinct(all, |outcome| outcome.memory.steps));
    let longest = lengths.iter().copied().max().unwrap_or(0);
    let color = |outcome: &Outcome| 1 + kinds.iter().position(|kind| *kind == outcome.memory.kind).unwrap_or(0);
    let shown = || all.iter().filter(|outcome| outcome.memory.steps == longest);
    let losses = shown().map(|outcome| Curve {
        name: outcome.memory.kind.title().into(),
        color: color(outcome),
        points: outcome.fresh.iter().map(|&(minibatch, loss)| (minibatch as f64, loss)).collect(),
        ..Curve::default()
    });
    let norms = shown().map(|outcome| {
        let last = outcome.untrained.norms.len() as f64 - 1.0;
        let each = outcome.untrained.norms.iter().enumerate();
        Curve {
            name: outcome.memory.kind.title().into(),
            color: color(outcome),
            points: each.map(|(t, &norm)| (t as f64 - last, f64::from(norm))).collect(),
            ..Curve::default()
        }
    });
    let loss = Panel {
        title: format!("Loss, T {longest}"),
        x: "minibatches".into(),
        log: true,
        level: Some(args.problem.threshold()),
        curves: losses.collect(),
        ..Panel::default()
    };
    let gradient = Panel {
        title: "Gradient at h, as drawn".into(),
        x: "steps from the last".into(),
        log: true,
        curves: norms.collect(),
        ..Panel::default()
    };
    let mut panes = vec![Pane::Curves(loss), Pane::Curves(gradient)];
    if lengths.len() > 1 {
        panes.insert(1, Pane::Curves(by_length(args, all, &kinds, &lengths)));
    }
    let title = format!("{:?}: who still learns", args.problem);
    let subtitle = "loss on fresh examples; below the broken line it is solved";
    render(&Chart { title, subtitle: subtitle.into(), panes }, format).map_err(Failure::Run)
}

/// The loss that each network ends with, by lengths.
fn by_length(args: &Args, all: &[Outcome], kinds: &[Kind], lengths: &[usize]) -> Panel {
    let curve = |(n, &kind): (usize, &Kind)| {
        let mut of: Vec<&Outcome> = all.iter().filter(|outcome| outcome.memory.kind == kind).collect();
        of.sort_by_key(|outcome| outcome.memory.steps);
        Curve {
            name: kind.title().into(),
            color: n + 1,
            points: of.iter().map(|outcome| (outcome.memory.steps as f64, last_loss(outcome))).collect(),
            dots: of.iter().map(|outcome| outcome.solved).collect(),
        }
    };
    Panel {
        title: "Loss at the end".into(),
        x: "T (filled: solved)".into(),
        log: true,
        places: lengths.iter().map(|&steps| steps as f64).collect(),
        level: Some(args.problem.threshold()),
        curves: kinds.iter().enumerate().map(curve).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(kind: Kind, steps: usize, solved_after: Option<u64>, diverged_at: Option<u64>) -> Outcome {
        let memory = Memory { hidden: 2, minibatches: 1, batch: 1, ..Memory::new(Problem::Adding, steps, kind) };
        let outcome = memory.run(Threads::one(), &mut |_| true).unwrap();
        let loss = if solved_after.is_some() { 0.004 } else { 0.1675 };
        Outcome {
            fresh: vec![(0, 0.9), (1, loss)],
            solved: solved_after.is_some(),
            solved_after,
            diverged_at,
            ..outcome
        }
    }

    #[test]
    fn the_table_tells_of_each_network_how_far_it_comes() {
        let all = [
            outcome(Kind::Rnn, 50, None, None),
            outcome(Kind::Gru, 50, Some(700), None),
            outcome(Kind::Rnn, 1000, None, Some(12)),
        ];
        let expected = [
            "          T 50              T 1000",
            "tanh RNN  loss 0.1675       diverged at 12",
            "GRU       solved after 700",
            "",
        ];
        assert_eq!(table(&all), expected.join("\n"));
    }
}
