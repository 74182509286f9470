//! `elman train forecast --backtest`: a training for each fold, and what they come to together.

use std::io::{self, Write as _};

use elman::Model;
use elman::format::write_atomic;
use elman::train::FitReport;
use elman_tasks::forecast::{Backtest, FoldedScores, Forecast, HorizonScores, Settings};
use elman_tasks::scores::Scores;
use indicatif::HumanCount;
use serde::Serialize;

use super::forecast::{Args, Kind};
use super::watch::{Seen, Watch, clock};
use super::{Failure, Pane, Places, Trained, settings_of, table, watched};
use crate::verbs::common::{count, visible};
use crate::verbs::plot::chart::{Chart, Curve, Panel};
use crate::verbs::plot::{Format, render};

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    task: &'a str,
    model: String,
    plot: String,
    seconds: f64,
    parameters: usize,
    threads: usize,
    notes: &'a [String],
    /// A fold's own scores, horizon by horizon.
    folds: &'a [Fold],
    /// Means, deviations and the folds' RMSE, horizon by horizon.
    scores: &'a [FoldedScores],
}

/// The training of one fold.
#[derive(Serialize)]
struct Fold {
    fold: usize,
    train_steps: usize,
    valid_steps: usize,
    test_steps: usize,
    seconds: f64,
    epochs: usize,
    best_epoch: Option<u64>,
    valid_loss: Option<f64>,
    notes: Vec<String>,
    scores: Vec<Scores>,
}

pub(super) fn run(args: &Args, folds: usize) -> Result<(), Failure> {
    let shared = Kind::shared(args);
    let settings = settings_of::<Kind>(args)?;
    let refused = [
        (shared.resume, "--resume", "goes on with one training, and those of the folds leave no checkpoints"),
        (shared.gradient_flow, "--gradient-flow", "is of one training"),
        (shared.explain, "--explain", "is of one training"),
    ];
    if let Some((_, option, why)) = refused.iter().find(|(is_set, ..)| *is_set) {
        return Err(Failure::Usage(format!("{option}: cannot be used with --backtest: it {why}")));
    }
    let data = shared.data.as_ref().expect("clap asks for it");
    let places = Places::of(shared, "forecast")?;
    let (mut backtest, mut all, mut notes, mut last) = (Backtest::default(), Vec::new(), Vec::new(), None);
    for fold in 0..folds {
        let prepared = Kind::of(Forecast::prepare_fold(data, settings.clone(), fold, folds)?);
        if fold == 0 {
            notes = prepared.told_of_folds(folds);
            say(shared.json, &notes)?;
        }
        let (one, model, scores) = train(args, &settings, &prepared, [fold, folds], &places)?;
        backtest.push(scores)?;
        all.push(one);
        last = Some(model);
    }
    let summary = backtest.summary()?;
    let mut model = last.expect("at least two folds");
    model.set_metadata("elman.data", data.display().to_string())?;
    model.save(&places.model)?;
    write_atomic(&places.plot, &picture(&backtest, &summary, places.format)?)?;
    let (parameters, seconds) = (model.params().data().len(), all.iter().map(|fold| fold.seconds).sum());
    if shared.json {
        let report = Report {
            task: "forecast",
            model: places.model.display().to_string(),
            plot: places.plot.display().to_string(),
            seconds,
            parameters,
            threads: shared.threads().get(),
            notes: &notes,
            folds: &all,
            scores: &summary,
        };
        let text = serde_json::to_string(&report).map_err(|error| Failure::Run(error.to_string()))?;
        writeln!(io::stdout(), "{text}")?;
        return Ok(());
    }
    for horizon in &summary {
        table::print_spread(&horizon.mean, &horizon.spread)?;
        let mut out = io::stdout().lock();
        fold_lines(horizon).iter().try_for_each(|line| writeln!(out, "{line}"))?;
    }
    let mut out = io::stdout().lock();
    writeln!(out)?;
    let parameters = HumanCount(parameters as u64);
    writeln!(out, "trained     {} in {}, {parameters} parameters", count(folds as u64, "fold"), clock(seconds))?;
    let path = visible(&places.model.display().to_string());
    writeln!(out, "model       {path}: that of the last fold, which trained on the most")?;
    writeln!(out, "picture     {}", visible(&places.plot.display().to_string()))?;
    Ok(())
}

/// Trains on fold `fold` of `folds`, and scores it.
fn train(
    args: &Args,
    settings: &Settings,
    prepared: &Kind,
    [fold, folds]: [usize; 2],
    places: &Places,
) -> Result<(Fold, Model, Vec<HorizonScores>), Failure> {
    let shared = Kind::shared(args);
    let [train_steps, valid_steps, test_steps] = prepared.task().steps();
    let prefix = format!("fold {}/{folds}", fold + 1);
    let parts = format!("{prefix}: {train_steps} steps to train on, {valid_steps} to validate, {test_steps} to test");
    say(shared.json, &[parts])?;
    let watch = Watch::new(settings.fit.epochs, shared.json).prefixed(&prefix);
    let mut fit = prepared.fit(shared.threads())?;
    let (report, Seen { seconds, .. }) = watched(&mut fit, watch, places)?;
    let (model, notes) = prepared.finish(fit.into_learner())?;
    say(shared.json, &notes.iter().map(|note| format!("{prefix}: {note}")).collect::<Vec<_>>())?;
    let horizons = prepared.task().score(&model)?;
    let FitReport { best, epochs, .. } = &report;
    let one = Fold {
        fold: fold + 1,
        train_steps,
        valid_steps,
        test_steps,
        seconds,
        epochs: epochs.len(),
        best_epoch: best.map(|best| best.epoch + 1),
        valid_loss: best.map(|best| best.loss),
        notes,
        scores: horizons.iter().map(|horizon| horizon.scores.clone()).collect(),
    };
    Ok((one, model, horizons))
}

fn say(silent: bool, notes: &[String]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let notes = if silent { &[] } else { notes };
    notes.iter().try_for_each(|note| writeln!(out, "{}", visible(note)))
}

/// Of each fold the network's RMSE beside that of the best of the others.
fn fold_lines(horizon: &FoldedScores) -> Vec<String> {
    let digits = horizon.mean.measures.first().map_or(4, |measure| measure.digits);
    let of = |(n, fold): (usize, &elman_tasks::forecast::FoldRow)| {
        let wins = if fold.is_won() { "  <- network" } else { "" };
        let (network, other) = (format!("{:.digits$}", fold.network), format!("{:.digits$}", fold.other));
        format!("fold {:<3} RMSE {network} of the network, {other} of {}{wins}", n + 1, fold.method)
    };
    horizon.folds.iter().enumerate().map(of).collect()
}

/// The forecasts of all folds against the truth, and below which error they lie: over the same steps.
fn picture(backtest: &Backtest, summary: &[FoldedScores], format: Format) -> Result<Vec<u8>, Failure> {
    let next = &summary[0];
    let folds: Vec<&HorizonScores> = backtest.folds().iter().map(|fold| &fold[0]).collect();
    // The folds' tests one after the other; a point that is no number keeps their curves apart.
    let joined = |f: &dyn Fn(&(String, f64, f64)) -> f64, apart: bool| {
        let (mut points, mut step) = (Vec::new(), 0.0);
        for fold in &folds {
            for row in &fold.forecasts {
                step += 1.0;
                points.push((step, f(row)));
            }
            if apart {
                points.push((step, f64::NAN));
            }
        }
        points
    };
    let of_method = |(place, row): (usize, &elman_tasks::scores::Row)| {
        let value = |fold: &HorizonScores| {
            let row = fold.scores.rows.iter().find(|other| other.method == row.method);
            row.and_then(|row| row.values.first().copied().flatten()).unwrap_or(f64::NAN)
        };
        let (mut points, mut step) = (Vec::new(), 0.0);
        for fold in &folds {
            let (rmse, end) = (value(fold), step + fold.forecasts.len() as f64);
            points.extend([(step + 1.0, rmse), (end, rmse), (end, f64::NAN)]);
            step = end;
        }
        // Grey is of the truth; the network has the colour of its forecasts.
        Curve { name: short(&row.method), color: place + 1, points, ..Curve::default() }
    };
    let errors = Panel {
        title: "RMSE of each fold".into(),
        x: "step of the tests".into(),
        log: false,
        curves: next.mean.rows.iter().enumerate().map(of_method).rev().collect(),
        ..Panel::default()
    };
    let forecasts = Panel {
        title: format!("Forecasts of all {} folds", folds.len()),
        x: "step of the tests".into(),
        log: false,
        curves: vec![
            Curve { name: "truth".into(), color: 0, points: joined(&|row| row.1, false), ..Curve::default() },
            Curve { name: "forecast".into(), color: 1, points: joined(&|row| row.2, true), ..Curve::default() },
        ],
        ..Panel::default()
    };
    let network = next.mean.rows.iter().zip(&next.spread).find(|(row, _)| row.is_network);
    let (title, told) = network.map_or((String::new(), String::new()), |(row, spread)| {
        (row.method.clone(), table::with_spread(&next.mean, row, spread))
    });
    let subtitle = format!("{}: {told}", next.mean.part);
    let panes = vec![Pane::Curves(errors), Pane::Curves(forecasts)];
    render(&Chart { title, subtitle, panes }, format).map_err(Failure::Run)
}

/// A method's name without what it is set to, to fit a legend.
fn short(method: &str) -> String {
    let name = method.split(" (").next().unwrap_or(method);
    name.replace("linear autoregression", "linear").replace("the season before", "season")
}
