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
    /// Over how many steps, one run of each network for each length
    #[arg(long, value_name = "T,…", default_value = "50,100,200", value_delimiter = ',', value_parser = steps)]
    lengths: Vec<usize>,
    /// The networks: rnn (tanh), irnn (relu that begins as the identity), gru, lstm
    #[arg(long, value_name = "KIND,…", default_value = "rnn,irnn,gru,lstm", value_delimiter = ',', value_parser = kind)]
    kinds: Vec<Kind>,
    /// Hidden units
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = steps)]
    hidden: usize,
    /// Minibatches that are learned from, fewer where the problem is solved before
    #[arg(long, value_name = "N", default_value_t = 3000, value_parser = minibatches)]
    minibatches: u64,
    /// Adam's learning rate
    #[arg(long, value_name = "X", default_value_t = 0.001)]
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
        }
    }
    write_atomic(&args.plot, &picture(args, &all, format)?)?;
    if !args.json {
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

/// The losses by minibatches and the gradients of the networks as drawn, of the longest sequences.
fn picture(args: &Args, all: &[Outcome], format: Format) -> Result<Vec<u8>, Failure> {
    let longest = args.lengths.iter().copied().max().unwrap_or(0);
    let shown = || all.iter().filter(|outcome| outcome.memory.steps == longest).enumerate();
    let losses = shown().map(|(n, outcome)| Curve {
        name: outcome.memory.kind.title().into(),
        color: n + 1,
        points: outcome.fresh.iter().map(|&(minibatch, loss)| (minibatch as f64, loss)).collect(),
    });
    let norms = shown().map(|(n, outcome)| {
        let last = outcome.untrained.norms.len() as f64 - 1.0;
        let each = outcome.untrained.norms.iter().enumerate();
        Curve {
            name: outcome.memory.kind.title().into(),
            color: n + 1,
            points: each.map(|(t, &norm)| (t as f64 - last, f64::from(norm))).collect(),
        }
    });
    let panes = vec![
        Pane::Curves(Panel {
            title: "Loss on fresh examples".into(),
            x: "minibatches".into(),
            log: true,
            curves: losses.collect(),
        }),
        Pane::Curves(Panel {
            title: "Norm of the gradient at h, as drawn".into(),
            x: "steps from the last".into(),
            log: true,
            curves: norms.collect(),
        }),
    ];
    let solved: Vec<String> = all
        .iter()
        .filter(|outcome| outcome.solved)
        .map(|outcome| format!("{} at T {}", outcome.memory.kind.title(), outcome.memory.steps))
        .collect();
    let title = format!("{:?}, T {longest}: who still learns", args.problem);
    let subtitle = if solved.is_empty() { "solved by none".into() } else { format!("solved: {}", solved.join(", ")) };
    render(&Chart { title, subtitle, panes }, format).map_err(Failure::Run)
}
