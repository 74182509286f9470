//! Forecasting: the last steps of a series in, the next ones out; sequence to sequence, one step further.
//!
//! ```text
//! rows of a window ─ changes, scales ─┬─ linear autoregression ──────────────┐
//!                                     └─ recurrent network ─ what it leaves ─┴─ + ─ back to levels ─▶ the next steps
//! ```
//!
//! Scales, the autoregression and the network are fitted to the training part alone, which comes first in time; the validation
//! part, which follows, decides on the autoregression's ridge and on when to stop; the test part, the end, is scored once. A
//! [`Backtest`] scores several ends, one after the other; [`Forecaster::score`] another file.

mod backtest;
mod predict;
mod prepared;
mod score;
mod settings;

use std::path::Path;

use elman::loss::{MeanSquaredError, Steps};
use elman::train::{Fit, Supervised, Targets};
use elman::{Model, Readout, Rng, Threads, Workspace};

pub use backtest::{Backtest, FoldRow, FoldedScores};
pub use predict::Forecaster;
pub use score::HorizonScores;
pub use settings::{Data, Mode, Settings};

use crate::error::{Error, Result};
use crate::flow::{self, Flows};
use crate::job;
use crate::metrics::mae;
use crate::net::Reads;
use crate::split::{Shares, Spans, chronological, walk_forward};
use crate::table::{self, Missing, Options, Report};
use crate::transform::{Scaler, Transform};
use prepared::{Prepared, Window};

/// The metadata key of scales, autoregression and last rows, as JSON.
pub const FORECAST_KEY: &str = "elman.task.forecast";

/// A file that is made ready for a network to forecast it.
#[derive(Clone, Debug)]
pub struct Forecast {
    settings: Settings,
    report: Report,
    series: Vec<OneSeries>,
    prepared: Prepared,
    /// The mean absolute error of the last value on the first series' training part, which errors are measured by; none where
    /// that never changes. Where there are several series, their scales may differ, and the first stands for them.
    naive: Option<f64>,
    train: Vec<Window>,
    valid: Vec<Window>,
}

/// One series of the file.
#[derive(Clone, Debug)]
pub(super) struct OneSeries {
    group: String,
    times: Vec<String>,
    /// (T, columns); NaN where there is no number.
    rows: Vec<f64>,
    spans: Spans,
}

impl Forecast {
    /// Reads a file and fits what is fitted beside the network.
    ///
    /// # Errors
    /// What [`table::read`] gives, settings out of their range, and a series that is too short for a window in each part.
    pub fn prepare(path: &Path, settings: Settings) -> Result<Self> {
        let Settings { shares, window, horizon, .. } = settings;
        let short = |rows: usize| {
            let expected = format!("enough rows for a window of {window} and a horizon of {horizon} in each part");
            Error::expected("series", expected, format_args!("{rows} rows"))
        };
        Self::prepare_spans(path, settings, &|len| chronological(len, shares), &short)
    }

    /// The same for fold `fold` of `folds`, each of which trains on all before its own test part and is tested on as long a
    /// stretch (walk-forward): the share of the whole that the settings give to a test. [`Backtest`] puts them together.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare), a fold that is not there, and a series that is too short for so many folds: it says how
    /// many rows are needed.
    pub fn prepare_fold(path: &Path, settings: Settings, fold: usize, folds: usize) -> Result<Self> {
        if fold >= folds {
            return Err(Error::expected("fold", format_args!("less than {folds}"), fold));
        }
        settings.shares.check()?;
        let asked = settings.clone();
        let short = |rows: usize| too_short(&asked, folds, rows);
        let spans = |len| {
            let [valid, test] = fold_steps(&asked, len);
            let all = walk_forward(len, folds, valid, test).map_err(|_| short(len))?;
            all.into_iter().nth(fold).ok_or_else(|| short(len))
        };
        Self::prepare_spans(path, settings, &spans, &short)
    }

    /// `short` is the error of a longest series that has so many rows.
    fn prepare_spans(
        path: &Path,
        settings: Settings,
        spans: &dyn Fn(usize) -> Result<Spans>,
        short: &dyn Fn(usize) -> Error,
    ) -> Result<Self> {
        let table = table::read(path, &Options::from(&settings.data))?;
        let (features, target) = (table.features, table.target);
        let named = |error: Error| match error.file() {
            Some(_) => error,
            None => error.in_file(path.display().to_string()),
        };
        settings.check(features, target < features)?;
        let series = all_series(table.series, settings.data.missing, spans).map_err(named)?;
        let rows = series.iter().map(|one| one.times.len()).max().unwrap_or(0);
        let least = settings.needs().saturating_add(settings.outputs());
        let fits = |one: &OneSeries| one.spans.train.len() >= least && one.spans.valid.len() >= settings.outputs();
        if !series.iter().any(fits) {
            return Err(named(short(rows)));
        }
        let prepared = scales(&settings, &series, table.names, features, target).map_err(named)?;
        let (naive, none) = (naive(&series, &prepared), Vec::new);
        let mut all = Self { settings, report: table.report, series, prepared, naive, train: none(), valid: none() };
        all.train = all.windows(|spans| spans.train.clone());
        all.valid = all.windows(|spans| spans.valid.clone());
        if all.train.is_empty() || all.valid.is_empty() {
            let expected = "steps with a known level before and behind them, in the training and the validation part";
            return Err(named(Error::expected("series", expected, "none in one of them")));
        }
        all.prepared.fit_linear(&all.settings, &all.train, &all.valid).map_err(named)?;
        Ok(all)
    }

    /// What a reader may want to know of the file.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Steps of the training, validation and test parts, of all series.
    #[must_use]
    pub fn steps(&self) -> [usize; 3] {
        let sum = |f: fn(&Spans) -> usize| self.series.iter().map(|one| f(&one.spans)).sum();
        [sum(|spans| spans.train.len()), sum(|spans| spans.valid.len()), sum(|spans| spans.test.len())]
    }

    /// A network that has seen nothing, ready to be fitted. Its head is zeros: it begins with the autoregression's forecast.
    ///
    /// # Errors
    /// The network's settings, and those of the training.
    pub fn fit(&self, threads: Threads) -> Result<Fit<Supervised>> {
        let Settings { net, fit, seed, .. } = &self.settings;
        let outputs = self.settings.outputs();
        let spec = net.spec(Reads::Numbers(self.prepared.width()), Readout::Last, outputs);
        let mut model = Model::init(spec, &mut Rng::new(*seed))?;
        silence(&mut model, outputs, net.hidden * (1 + usize::from(net.bidirectional)))?;
        let all = || self.train.iter().chain(&self.valid);
        let x = all().map(|window| window.x.iter().map(|&x| x as f32).collect()).collect();
        let y = all().map(|window| self.prepared.target_of(window)).collect();
        let learner = Supervised::new(model, x, Targets::Values(y))?;
        let (train, end) = (self.train.len(), self.train.len() + self.valid.len());
        Ok(Fit::new(learner, fit.clone(), (0..train).collect(), (train..end).collect())?.threads(threads))
    }

    /// What training has left as a model whose file has all that [`Forecaster`] needs. Where the network made the validation
    /// part's forecasts worse than the autoregression alone, it is silenced: gives whether it was kept.
    ///
    /// # Errors
    /// As of a run of the model.
    pub fn finish(&self, mut model: Model) -> Result<(Model, bool)> {
        let targets: Vec<Vec<f32>> = self.valid.iter().map(|window| self.prepared.target_of(window)).collect();
        let answers = self.answers(&model, &self.valid)?;
        let error = |of: &dyn Fn(usize, usize) -> f64| -> f64 {
            let each = targets
                .iter()
                .enumerate()
                .flat_map(|(n, target)| target.iter().enumerate().map(move |(k, &t)| (n, k, f64::from(t))));
            each.map(|(n, k, target)| (of(n, k) - target).powi(2)).sum()
        };
        let kept = error(&|n, k| f64::from(answers[n][k])) < error(&|_, _| 0.0) || !self.settings.linear;
        if !kept {
            let Settings { net, .. } = &self.settings;
            silence(&mut model, self.settings.outputs(), net.hidden * (1 + usize::from(net.bidirectional)))?;
        }
        job::describe(&mut model, &self.settings, None, None)?;
        let state = predict::Saved { prepared: self.prepared.clone(), last: self.last_rows(), naive: self.naive };
        let json = serde_json::to_string(&state).map_err(|error| Error::new(format!("metadata: {error}")))?;
        model.set_metadata(FORECAST_KEY, json)?;
        Ok((model, kept))
    }

    /// How far back in time the gradient of the validation part's loss reaches in this model: of the squared errors of
    /// windows, with respect to the h of each layer and direction. It enters at the last step.
    ///
    /// # Errors
    /// A model of other sizes.
    pub fn gradient_flow(&self, model: &Model) -> Result<Flows> {
        /// More windows tell the same.
        const WINDOWS: usize = 64;
        let windows = &self.valid[..self.valid.len().min(WINDOWS)];
        let x = sequence(windows.iter().map(|window| &window.x[..]), self.prepared.window, self.prepared.width())?;
        let target: Vec<f32> = windows.iter().flat_map(|window| self.prepared.target_of(window)).collect();
        let target = elman::tensor::Seq::from_slice(&target, 1, windows.len(), self.settings.outputs())?;
        let (loss, layers) = flow::through(model, &x, &mut MeanSquaredError::new(&target).at(Steps::Last))?;
        let of = format!("of the loss of {} validation windows, by h; it enters at the last step", windows.len());
        Ok(Flows { of, loss, layers })
    }

    /// Of each series the rows that a forecast of the next step looks at.
    fn last_rows(&self) -> Vec<predict::LastRows> {
        let needs = self.prepared.needs() * self.prepared.columns();
        let of = |one: &OneSeries| {
            let rows = one.rows[one.rows.len().saturating_sub(needs)..].iter();
            let rows = rows.map(|value| (!value.is_nan()).then_some(*value)).collect();
            predict::LastRows { group: one.group.clone(), time: one.times.last().cloned().unwrap_or_default(), rows }
        };
        self.series.iter().map(of).collect()
    }

    /// Windows of all series whose steps to be forecast all lie in a part; none without a known level or target.
    fn windows(&self, part: impl Fn(&Spans) -> std::ops::Range<usize>) -> Vec<Window> {
        let (prepared, outputs) = (&self.prepared, self.settings.outputs());
        let (needs, columns) = (prepared.needs(), prepared.columns());
        let mut windows = Vec::new();
        for (series, one) in self.series.iter().enumerate() {
            let part = part(&one.spans);
            let level = |t: usize| one.rows[t * columns + prepared.target];
            for origin in needs.max(part.start).max(1) - 1..part.end.saturating_sub(outputs) {
                let last = level(origin);
                let y: Option<Vec<f64>> = (0..outputs)
                    .map(|output| {
                        let change = change(prepared.transform, last, level(origin + 1 + output));
                        (!change.is_nan()).then(|| prepared.changes.scale(output, change))
                    })
                    .collect();
                if let Some(y) = y.filter(|_| origin + 1 >= part.start) {
                    let x = prepared.scaled(&one.rows[(origin + 1 - needs) * columns..(origin + 1) * columns]);
                    windows.push(Window { series, origin, x, y });
                }
            }
        }
        windows
    }

    /// What the network gives for windows, in batches.
    fn answers(&self, model: &Model, windows: &[Window]) -> Result<Vec<Vec<f32>>> {
        let mut workspace = Workspace::default();
        run(
            model,
            windows.iter().map(|window| &window.x[..]),
            [self.prepared.window, self.prepared.width()],
            &mut workspace,
        )
    }
}

/// The series of a table, cut into parts.
fn all_series(
    series: Vec<table::Series>,
    missing: Missing,
    spans: &dyn Fn(usize) -> Result<Spans>,
) -> Result<Vec<OneSeries>> {
    let of = |one: table::Series| {
        let mut rows = one.values;
        rows.iter_mut()
            .zip(&one.mask)
            .for_each(|(value, there)| *value = if *there || missing != Missing::Mask { *value } else { f64::NAN });
        Ok(OneSeries { spans: spans(one.times.len())?, group: one.group, times: one.times, rows })
    };
    series.into_iter().map(of).collect()
}

/// What the last value is off by in the first series' training part, on average.
fn naive(series: &[OneSeries], prepared: &Prepared) -> Option<f64> {
    let first = series.first()?;
    let target = |t: usize| first.rows[t * prepared.columns() + prepared.target];
    let train: Vec<f64> = first.spans.train.clone().map(target).filter(|level| !level.is_nan()).collect();
    let before = train.len().checked_sub(1)?;
    mae(&train[..before], &train[1..]).ok().filter(|error| *error > 0.0)
}

/// Steps of the validation and of the test of each fold, of a series of so many.
fn fold_steps(settings: &Settings, len: usize) -> [usize; 2] {
    let Shares { valid, test } = settings.shares;
    [valid, test].map(|share| ((len as f64 * share) as usize).max(1))
}

/// The error of a series of so many rows that has no window in a part of the first fold.
fn too_short(settings: &Settings, folds: usize, rows: usize) -> Error {
    /// Where so many rows more are not enough, no number is: the tests grow with the series.
    const MOST: usize = 10_000_000;
    let Settings { window, horizon, shares: Shares { valid, test }, .. } = *settings;
    let enough = |len: &usize| {
        let [valid, test] = fold_steps(settings, *len);
        let train = len.saturating_sub(folds.saturating_mul(test).saturating_add(valid));
        train >= settings.needs().saturating_add(settings.outputs()) && valid >= settings.outputs()
    };
    match (rows.saturating_add(1)..rows.saturating_add(MOST)).find(enough) {
        Some(least) => {
            let expected =
                format!("at least {least} rows for {folds} folds, a window of {window} and a horizon of {horizon}");
            Error::expected("backtest", expected, format_args!("a series of {rows}"))
        }
        None => {
            let got = format!("{folds} tests of a share of {test} and a validation of {valid}");
            let expected = "folds and shares that leave rows for the training of the first fold";
            Error::expected("backtest", expected, format_args!("{got}: take fewer folds, or a smaller share of test"))
        }
    }
}

/// Runs a network over windows (steps, width), in batches.
fn run<'a>(
    model: &Model,
    windows: impl Iterator<Item = &'a [f64]>,
    [steps, width]: [usize; 2],
    workspace: &mut Workspace,
) -> Result<Vec<Vec<f32>>> {
    let windows: Vec<&[f64]> = windows.collect();
    let mut answers = Vec::with_capacity(windows.len());
    for batch in windows.chunks(256) {
        let x = sequence(batch.iter().copied(), steps, width)?;
        let output = model.run_with(&x, None, workspace, Threads::one())?;
        answers.extend((0..batch.len()).map(|row| output.values().step(0).row(row).to_vec()));
    }
    Ok(answers)
}

/// Windows (steps, width) as a batch of sequences.
fn sequence<'a>(
    windows: impl ExactSizeIterator<Item = &'a [f64]>,
    steps: usize,
    width: usize,
) -> Result<elman::tensor::Seq> {
    let batch = windows.len();
    let mut x = elman::tensor::Seq::zeros(steps, batch, width)?;
    for (row, window) in windows.enumerate() {
        for (t, step) in window.chunks_exact(width).enumerate() {
            let at = (t * batch + row) * width;
            x.data_mut()[at..at + width].iter_mut().zip(step).for_each(|(to, &from)| *to = from as f32);
        }
    }
    Ok(x)
}

/// Zeros in the head: the network adds nothing.
fn silence(model: &mut Model, outputs: usize, features: usize) -> Result<()> {
    let mut params = model.params_mut();
    params.set("fc.weight", &[outputs, features], &vec![0.0; outputs * features])?;
    params.set("fc.bias", &[outputs], &vec![0.0; outputs])?;
    Ok(())
}

/// The change from one level to another.
fn change(transform: Transform, from: f64, to: f64) -> f64 {
    match transform {
        Transform::None if from.is_nan() => f64::NAN,
        Transform::None => to,
        Transform::Diff => to - from,
        Transform::LogDiff => (to / from).ln(),
    }
}

/// The scales of inputs and changes, fitted to the training parts.
fn scales(
    settings: &Settings,
    series: &[OneSeries],
    names: Vec<String>,
    features: usize,
    target: usize,
) -> Result<Prepared> {
    let (columns, outputs) = (names.len(), settings.outputs());
    // Not asked for anything before it is whole.
    let ones = |n: usize| Scaler::fit(&vec![0.0; n], None, n, 0..1);
    let mut prepared = Prepared {
        features,
        target,
        window: settings.window,
        transform: settings.transform,
        marks: settings.data.missing == Missing::Mask,
        inputs: ones(features)?,
        changes: ones(outputs)?,
        linear: Vec::new(),
        rest: vec![1.0; outputs],
        names,
    };
    let (mut inputs, mut changes) = (Vec::new(), Vec::new());
    for one in series {
        let rows: Vec<&[f64]> = one.rows.chunks_exact(columns).collect();
        for t in one.spans.train.clone() {
            let level = rows[t][target];
            if settings.transform == Transform::LogDiff && level <= 0.0 {
                let name = format!("{} at {}", prepared.names[target], one.times[t]);
                return Err(Error::expected(&name, "a number above 0, as its logarithm is taken", level));
            }
            let before = t.checked_sub(1).map(|before| rows[before]);
            inputs.extend((0..features).map(|column| prepared.feature(before, rows[t], column)));
            let later = |h: usize| {
                if t + h < one.spans.train.end {
                    change(settings.transform, level, rows[t + h][target])
                } else {
                    f64::NAN
                }
            };
            changes.extend((1..=outputs).map(later));
        }
    }
    let fit = |values: Vec<f64>, columns: usize| {
        let mask: Vec<bool> = values.iter().map(|value| !value.is_nan()).collect();
        Scaler::fit(&values, Some(&mask), columns, 0..values.len() / columns)
    };
    (prepared.inputs, prepared.changes) = (fit(inputs, features)?, fit(changes, outputs)?);
    Ok(prepared)
}

#[cfg(test)]
mod tests;
