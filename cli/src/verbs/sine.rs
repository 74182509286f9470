//! `elman sine`: the tutorial's example, from the first weight to the picture.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use elman::{Threads, format as files};
use elman_cli::sine::{Config, FreeRun, STEPS, Sine};
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use serde::Serialize;

use super::Failure;
use super::common::{count, same_file, threads, whole};
use super::plot::{Format, Panel, Picture, render};

/// Iterations from one loss line to the next.
const LINE: u64 = 100;
/// Iterations at the end whose mean loss is told.
const TAIL: u64 = 100;
/// Said where the first run is told.
const WHY_OFF: &str = "The first begins out of step: its state is that of another stretch, on which training ended.";
/// Points of the curve in the picture.
const CURVE: usize = 1001;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Iterations of training
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = iterations, allow_hyphen_values = true)]
    iterations: u64,
    /// Hidden units, 1 to 4096
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = hidden, allow_hyphen_values = true)]
    hidden: usize,
    /// Adam's learning rate
    #[arg(long, value_name = "X", default_value_t = 0.001, value_parser = learning_rate, allow_hyphen_values = true)]
    lr: f32,
    /// The seed of everything that is drawn
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = seed, allow_hyphen_values = true)]
    seed: u64,
    /// True points that the second run hears before it runs freely, 0 to 200
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = warmup, allow_hyphen_values = true)]
    warmup: usize,
    /// Threads that may be used; the default network is far too small for a second one
    #[arg(long, value_name = "N", default_value = "1", value_parser = threads, allow_hyphen_values = true)]
    threads: Threads,
    /// Where the picture goes: a .png or .svg file
    #[arg(long, value_name = "FILE", default_value = "sine.png")]
    plot: PathBuf,
    /// Save the trained network as a safetensors file, under PyTorch's names
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Print one JSON object and nothing else
    #[arg(long)]
    json: bool,
}

fn iterations(text: &str) -> Result<u64, String> {
    whole(text, 1..=u64::MAX)
}

fn hidden(text: &str) -> Result<usize, String> {
    whole(text, 1..=4096)
}

fn warmup(text: &str) -> Result<usize, String> {
    whole(text, 0..=200)
}

fn seed(text: &str) -> Result<u64, String> {
    whole(text, 0..=u64::MAX)
}

fn learning_rate(text: &str) -> Result<f32, String> {
    let lr = text.parse().ok().filter(|lr: &f32| lr.is_finite() && *lr > 0.0);
    lr.ok_or_else(|| "expected a finite number above 0".into())
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    iterations: u64,
    seconds: f64,
    iterations_per_second: f64,
    final_loss: f32,
    mean_loss_last_100: f64,
    prediction_rmse: f64,
    warmup: usize,
    warmed_prediction_rmse: f64,
    isa: &'a str,
    threads: usize,
    plot: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    // Rather now than when the work is done.
    let format = Format::of(&args.plot).map_err(|reason| Failure::Usage(format!("--plot: {reason}")))?;
    if let Some(model) = args.model.as_ref().filter(|model| same_file(model, &args.plot)) {
        let (plot, got) = (args.plot.display(), model.display());
        return Err(Failure::Usage(format!("--model: expected another file than the picture's, {plot}, got {got}")));
    }
    files::check_writable(&args.plot)?;
    if let Some(model) = &args.model {
        files::check_writable(model)?;
    }
    let mut sine = Sine::new(Config { hidden: args.hidden, lr: args.lr, seed: args.seed, threads: args.threads })?;
    let training = train(&mut sine, args)?;
    let start = sine.draw_trial();
    let runs = Runs { start, free: sine.free_run(start)?, warmed: sine.warmed_run(start, args.warmup)? };
    for FreeRun { rmse, .. } in [&runs.free, &runs.warmed] {
        if !rmse.is_finite() {
            return Err(diverged(&format!("the predictions' RMSE is {rmse}"), args));
        }
    }

    let report = Report {
        iterations: args.iterations,
        seconds: training.time.as_secs_f64(),
        iterations_per_second: args.iterations as f64 / training.time.as_secs_f64(),
        final_loss: training.last,
        mean_loss_last_100: training.mean,
        prediction_rmse: runs.free.rmse,
        warmup: args.warmup,
        warmed_prediction_rmse: runs.warmed.rmse,
        isa: sine.isa().name(),
        threads: args.threads.get(),
        plot: args.plot.display().to_string(),
        model: args.model.as_ref().map(|path| path.display().to_string()),
    };
    files::write_atomic(&args.plot, &draw(&report, args, &runs, format)?)?;
    if let Some(model) = &args.model {
        let metadata = [("iterations", args.iterations.to_string()), ("seed", args.seed.to_string())];
        sine.model().save_with(model, metadata)?;
    }
    if args.json {
        let text = serde_json::to_string(&report).map_err(|error| Failure::Run(error.to_string()))?;
        writeln!(io::stdout(), "{text}")?;
    } else {
        summary(&report, &runs)?;
    }
    Ok(())
}

/// Both over the same stretch of the curve.
struct Runs {
    /// Where the stretch begins.
    start: usize,
    /// From the state in which training ended.
    free: FreeRun,
    /// From a zero state that hears some true points first.
    warmed: FreeRun,
}

/// Training that has left the finite numbers behind: there is nothing to draw or to save.
fn diverged(what: &str, args: &Args) -> Failure {
    Failure::Run(format!("training diverged: {what}, expected a finite number; try a smaller --lr than {:?}", args.lr))
}

/// What training took and came to.
struct Training {
    time: Duration,
    last: f32,
    mean: f64,
}

fn train(sine: &mut Sine, args: &Args) -> Result<Training, Failure> {
    let bar = if args.json || !io::stderr().is_terminal() { ProgressBar::hidden() } else { bar(args.iterations) };
    let tail = TAIL.min(args.iterations);
    let mut training = Training { time: Duration::ZERO, last: f32::NAN, mean: 0.0 };
    let mut done = 0;
    while done < args.iterations {
        let end = (done + LINE).min(args.iterations);
        let start = Instant::now();
        for iteration in done..end {
            training.last = sine.step()?;
            if !training.last.is_finite() {
                return Err(diverged(&format!("the loss of iteration {} is {}", iteration + 1, training.last), args));
            }
            if iteration >= args.iterations - tail {
                training.mean += f64::from(training.last) / tail as f64;
            }
        }
        training.time += start.elapsed();
        done = end;

        bar.set_position(done);
        let rate = (done as f64 / training.time.as_secs_f64()) as u64;
        bar.set_message(format!("loss {}, {} iterations/s", loss(training.last), HumanCount(rate)));
        if !args.json && done % LINE == 0 {
            bar.suspend(|| writeln!(io::stdout(), "Iteration: {done} loss {}", loss(training.last)))?;
        }
    }
    bar.finish_and_clear();
    Ok(training)
}

fn bar(iterations: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {human_pos}/{human_len}  {msg}").expect("a valid template");
    ProgressBar::new(iterations).with_style(style.progress_chars("=> "))
}

/// A loss to six decimal places, or as many more as its first three digits need.
fn loss(loss: impl Into<f64>) -> String {
    let loss = loss.into();
    let places = (2.0 - loss.log10().floor()).clamp(6.0, 20.0) as usize;
    format!("{loss:.places$}")
}

fn summary(report: &Report<'_>, runs: &Runs) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let up_to = if report.threads == 1 { "" } else { "up to " };
    writeln!(out)?;
    writeln!(
        out,
        "trained     {} in {:.4} s: {} iterations/s ({}, {up_to}{})",
        count(report.iterations, "iteration"),
        report.seconds,
        HumanCount(report.iterations_per_second as u64),
        report.isa,
        count(report.threads as u64, "thread"),
    )?;
    writeln!(
        out,
        "loss        {} at the last iteration, {} on average over the last {}",
        loss(report.final_loss),
        loss(report.mean_loss_last_100),
        TAIL.min(report.iterations),
    )?;
    writeln!(
        out,
        "prediction  RMSE {:.4} over {STEPS} points from t = {}, each fed back as the next input",
        runs.free.rmse, runs.start,
    )?;
    writeln!(out, "warmed up   RMSE {:.4} over the same points, {}", runs.warmed.rmse, warmed(report.warmup))?;
    writeln!(out, "            {WHY_OFF}")?;
    writeln!(out, "picture     {}", report.plot)?;
    if let Some(model) = &report.model {
        writeln!(out, "model       {model}")?;
    }
    Ok(())
}

/// What the second run begins with.
fn warmed(warmup: usize) -> String {
    match warmup {
        0 => "from a zero state".into(),
        _ => format!("from a zero state that first heard the {} before them", count(warmup as u64, "true point")),
    }
}

fn draw(
    report: &Report<'_>,
    args: &Args,
    Runs { free, warmed: warm, .. }: &Runs,
    format: Format,
) -> Result<Vec<u8>, Failure> {
    // From the first point that is heard to the last that is predicted.
    let (first, last) = (warm.heard[0].0, warm.predictions[STEPS - 1].0);
    let curve: Vec<_> = (0..CURVE)
        .map(|i| {
            let t = first + (last - first) * i as f64 / (CURVE - 1) as f64;
            (t, t.sin())
        })
        .collect();
    let subtitle = format!(
        "Elman RNN, {}, {} in {:.3} s ({}, {})",
        count(args.hidden as u64, "hidden unit"),
        count(report.iterations, "iteration"),
        report.seconds,
        report.isa,
        count(report.threads as u64, "thread"),
    );
    let titles = [
        format!("The tutorial's run: RMSE {:.3}", free.rmse),
        match report.warmup {
            0 => format!("From a zero state: RMSE {:.3}", warm.rmse),
            n => format!("After {}: RMSE {:.3}", count(n as u64, "true point"), warm.rmse),
        },
    ];
    let picture = Picture {
        title: "A recurrent network continues the sine",
        subtitle: &subtitle,
        panels: [
            Panel {
                title: &titles[0],
                subtitle: "its state is left over from another stretch of the curve",
                curve: &curve,
                heard: &free.heard,
                predictions: &free.predictions,
            },
            Panel {
                title: &titles[1],
                subtitle: "from a zero state, up to the same point",
                curve: &curve,
                heard: &warm.heard,
                predictions: &warm.predictions,
            },
        ],
    };
    render(&picture, format).map_err(|reason| Failure::Run(format!("cannot draw {}: {reason}", report.plot)))
}
