//! What the forecasts of the test part come to, beside those of methods that need no network.

use std::collections::HashMap;
use std::path::Path;

use elman::{Model, Workspace};

use super::predict::Saved;
use super::{Forecast, Forecaster, Mode, all_series, run};
use crate::error::{Error, Result};
use crate::metrics::{direction, mae, rmse};
use crate::scores::{Better, Measure, Row, Scores, Tested};
use crate::split::Spans;
use crate::table::{self, Options};
use crate::transform::Transform;

/// The scores of one horizon, and the forecasts behind them.
#[derive(Clone, Debug)]
pub struct HorizonScores {
    /// Steps ahead.
    pub horizon: usize,
    /// The table.
    pub scores: Scores,
    /// The time, the truth, and the network's forecast of it, step by step, of all series one after the other.
    pub forecasts: Vec<(String, f64, f64)>,
}

/// What a network gives for windows.
type Network<'a> = dyn FnMut(&[Vec<f64>]) -> Result<Vec<Vec<f64>>> + 'a;

/// What all methods forecast for one step.
struct OneStep {
    time: String,
    truth: f64,
    /// The last level that was known.
    last: f64,
    network: f64,
    linear: Option<f64>,
    season: Option<f64>,
}

impl Forecast {
    /// Scores a model on the test part, horizon by horizon.
    ///
    /// # Errors
    /// A model of other sizes, and a test part of which no step can be forecast.
    pub fn score(&self, model: &Model) -> Result<Vec<HorizonScores>> {
        self.score_part(model, "test part, ")
    }

    /// The same, with a part's name and comma before the number of steps.
    fn score_part(&self, model: &Model, part: &str) -> Result<Vec<HorizonScores>> {
        let silent: Vec<f64> = vec![0.0; self.settings.outputs()];
        let origins = self.origins();
        let mut workspace = Workspace::default();
        let by_network = self.levels(&origins, &mut |windows| {
            let size = [self.prepared.window, self.prepared.width()];
            let answers = run(model, windows.iter().map(|window| &window[..]), size, &mut workspace)?;
            Ok(answers.into_iter().map(|answer| answer.into_iter().map(f64::from).collect()).collect())
        })?;
        let by_linear = self.levels(&origins, &mut |windows| Ok(vec![silent.clone(); windows.len()]))?;
        let of = |horizon| self.score_of(horizon, part, &self.steps_of(horizon, &origins, [&by_network, &by_linear]));
        (1..=self.settings.horizon).map(of).collect()
    }

    /// All steps that a forecast of the test part begins from: series and last known step.
    fn origins(&self) -> Vec<(usize, usize)> {
        let needs = self.prepared.needs();
        let mut origins = Vec::new();
        for (series, one) in self.series.iter().enumerate() {
            let test = &one.spans.test;
            let first = test.start.saturating_sub(self.settings.horizon).max(needs - 1);
            origins.extend((first..test.end.saturating_sub(1)).map(|origin| (series, origin)));
        }
        origins
    }

    /// The levels that are forecast from each origin for every horizon, by a network's answers to windows.
    fn levels(&self, origins: &[(usize, usize)], network: &mut Network<'_>) -> Result<Vec<Vec<f64>>> {
        let (prepared, horizon) = (&self.prepared, self.settings.horizon);
        let (needs, columns) = (prepared.needs(), prepared.columns());
        let mut histories: Vec<Vec<f64>> = origins
            .iter()
            .map(|&(series, origin)| {
                self.series[series].rows[(origin + 1 - needs) * columns..(origin + 1) * columns].to_vec()
            })
            .collect();
        let mut levels = vec![Vec::with_capacity(horizon); origins.len()];
        let rounds = if self.settings.mode == Mode::Recursive { horizon } else { 1 };
        for _ in 0..rounds {
            let windows: Vec<Vec<f64>> = histories.iter().map(|rows| prepared.scaled(rows)).collect();
            let answers = network(&windows)?;
            for (((history, x), answer), levels) in histories.iter_mut().zip(&windows).zip(answers).zip(&mut levels) {
                let last = history[history.len() - columns + prepared.target];
                let next = answer.iter().enumerate().map(|(output, &y)| prepared.level(last, x, output, y));
                let next: Vec<f64> = next.collect();
                if self.settings.mode == Mode::Recursive {
                    // The target is the only column: the forecast is the next row.
                    history.drain(..columns);
                    history.push(next[0]);
                }
                levels.extend(next);
            }
        }
        Ok(levels)
    }

    /// The steps that are scored of a horizon.
    fn steps_of(&self, horizon: usize, origins: &[(usize, usize)], levels: [&[Vec<f64>]; 2]) -> Vec<OneStep> {
        let (target, columns) = (self.prepared.target, self.prepared.columns());
        let mut steps = Vec::new();
        for (n, &(series, origin)) in origins.iter().enumerate() {
            let (one, step) = (&self.series[series], origin + horizon);
            let level = |t: usize| one.rows[t * columns + target];
            let known = one.spans.test.contains(&step) && !level(step).is_nan() && !level(origin).is_nan();
            if !known {
                continue;
            }
            let season = self.settings.season;
            let back = if season == 0 { 0 } else { horizon.div_ceil(season) * season };
            steps.push(OneStep {
                time: one.times[step].clone(),
                truth: level(step),
                last: level(origin),
                network: levels[0][n][horizon - 1],
                linear: self.settings.linear.then(|| levels[1][n][horizon - 1]),
                // Where the level of a season ago is missing, that of another before it stands in.
                season: (back > 0)
                    .then(|| (back..=step).step_by(season).map(|back| level(step - back)).find(|level| !level.is_nan()))
                    .flatten(),
            });
        }
        steps
    }

    fn score_of(&self, horizon: usize, part: &str, steps: &[OneStep]) -> Result<HorizonScores> {
        let truth: Vec<f64> = steps.iter().map(|step| step.truth).collect();
        let last: Vec<f64> = steps.iter().map(|step| step.last).collect();
        let row = |method: String, is_network: bool, forecast: Option<Vec<f64>>| -> Result<Option<Row>> {
            let Some(forecast) = forecast else { return Ok(None) };
            let hits = direction(&forecast, &truth, &last)?;
            // The last value goes in no direction.
            let moves = forecast.iter().zip(&last).any(|(forecast, last)| forecast != last);
            let error = mae(&forecast, &truth)?;
            let values = vec![
                Some(rmse(&forecast, &truth)?),
                Some(error),
                self.naive.map(|naive| error / naive),
                (hits.of > 0 && moves).then(|| 100.0 * hits.share()),
            ];
            Ok(Some(Row { method, is_network, values }))
        };
        let all = |f: &dyn Fn(&OneStep) -> Option<f64>| steps.iter().map(f).collect::<Option<Vec<f64>>>();
        let net = &self.settings.net;
        let name = format!("{:?} {}", net.cell, net.hidden).to_uppercase();
        let with = if self.settings.linear { " + linear" } else { "" };
        let rows = [
            row(format!("{name}{with}"), true, all(&|step| Some(step.network)))?,
            row(format!("linear autoregression ({})", self.prepared.window), false, all(&|step| step.linear))?,
            row("last value".into(), false, all(&|step| Some(step.last)))?,
            row(season_title(self.settings.season), false, all(&|step| step.season))?,
        ];
        let places = digits(&truth);
        let measures = vec![
            Measure::new("RMSE", Better::Less, places),
            Measure::new("MAE", Better::Less, places),
            Measure::new("MASE", Better::Less, 3),
            Measure::new("direction %", Better::More, 1),
        ];
        let ahead = if self.settings.horizon == 1 { String::new() } else { format!(", {horizon} ahead") };
        let part = format!("{part}{} steps{ahead}", truth.len());
        let forecasts = steps.iter().map(|step| (step.time.clone(), step.truth, step.network)).collect();
        Ok(HorizonScores {
            horizon,
            scores: Scores { part, measures, rows: rows.into_iter().flatten().collect() },
            forecasts,
        })
    }

    /// The mean of a measure over series is not that of one: groups by name, for those who want to look at one.
    #[must_use]
    pub fn groups(&self) -> HashMap<&str, usize> {
        self.series.iter().map(|one| (&one.group[..], one.times.len())).collect()
    }
}

impl Forecaster {
    /// Scores the model on a file with the columns that it was trained on, horizon by horizon: every step that has as many rows
    /// before it as a window needs, in each series of the file. What the model knows of rows before plays no part, and the
    /// forecaster is as it was.
    ///
    /// Beside the network stand the autoregression that the model's file has, the last value, and the season before where the
    /// settings have one; it is left out, and the notes say so, where the first steps have none before them. Errors are scaled (MASE) by those of the last value on the training part, as the model's file
    /// tells them; one that is older than that has none.
    ///
    /// # Errors
    /// What [`table::read`] gives; a level that is not above 0 where logarithms are taken, with its line; and a file of which
    /// no step can be forecast.
    pub fn score(&self, path: &Path) -> Result<Tested> {
        let Saved { prepared, naive, .. } = self.saved();
        let settings = self.settings().clone();
        let options = Options {
            features: Some(prepared.names[..prepared.features].to_vec()),
            target: Some(prepared.names[prepared.target].clone()),
            ..Options::from(&settings.data)
        };
        let table = table::read(path, &options)?;
        let named = |error: Error| error.in_file(path.display().to_string());
        if settings.transform == Transform::LogDiff {
            check_logarithms(&table).map_err(named)?;
        }
        let all = |len: usize| Ok(Spans { train: 0..0, valid: 0..0, test: 0..len });
        let series = all_series(table.series, settings.data.missing, &all)?;
        let task = Forecast {
            settings,
            report: table.report,
            series,
            prepared: prepared.clone(),
            naive: *naive,
            train: Vec::new(),
            valid: Vec::new(),
        };
        let rows = task.series.iter().map(|one| one.times.len()).max().unwrap_or(0);
        let least = prepared.needs() + self.horizon();
        if rows < least {
            let expected = format!("at least {least} rows, a window and what follows it");
            return Err(named(Error::expected("series", expected, rows)));
        }
        let scores = task.score_part(self.model(), "").map_err(named)?;
        let mut notes = task.report.notes();
        let season = task.settings.season;
        let is_season = |row: &Row| row.method == season_title(season);
        if season > 0 && !scores.iter().all(|horizon| horizon.scores.rows.iter().any(is_season)) {
            notes.push(format!("{} is left out: the first steps have none before them", season_title(season)));
        }
        Ok(Tested { scores: scores.into_iter().map(|horizon| horizon.scores).collect(), notes })
    }
}

/// What the baseline of so long a season is called.
fn season_title(season: usize) -> String {
    format!("the season before ({season})")
}

/// That all levels of the target that are known have a logarithm.
fn check_logarithms(table: &table::Table) -> Result<()> {
    let (columns, target) = (table.names.len(), table.target);
    for one in &table.series {
        let cells = one.values.iter().zip(&one.mask).skip(target).step_by(columns);
        let wrong = |((level, known), _): &((&f64, &bool), &usize)| **known && **level <= 0.0;
        if let Some(((level, _), &line)) = cells.zip(&one.lines).find(wrong) {
            let message = format!("expected a number above 0, as its logarithm is taken, got {level}");
            return Err(Error::new(message).at_line(line).in_column(&table.names[target]));
        }
    }
    Ok(())
}

/// Digits behind the point that tell numbers of this size apart.
fn digits(values: &[f64]) -> usize {
    let mean = values.iter().map(|value| value.abs()).sum::<f64>() / values.len().max(1) as f64;
    (3.0 - mean.max(1e-9).log10().floor()).clamp(2.0, 8.0) as usize
}
