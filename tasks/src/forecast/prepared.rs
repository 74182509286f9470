//! What is fitted to the training part beside the network: scales, and the linear autoregression whose rest it learns.

use serde::{Deserialize, Serialize};

use super::Settings;
use crate::baselines::linear::Normal;
use crate::error::{Error, Result};
use crate::transform::{Scaler, Transform};

/// Ridges that the autoregression is tried with: as good as none, to one that leaves next to nothing of the weights. Which one
/// it is the validation part decides.
const RIDGES: [f64; 7] = [1e-9, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 100.0];

/// The equations of more weights take too long: 4,096 of them 7 s.
const MOST_WEIGHTS: usize = 4_096;

/// How a window of rows becomes numbers about 0 with a deviation of 1, and how what comes of it becomes levels again.
///
/// A row is the features, and the target where it is none of them. Cells without a number are NaN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Prepared {
    /// Of the columns of a row; the first `features` are looked at.
    pub(super) names: Vec<String>,
    pub(super) features: usize,
    /// The target's column.
    pub(super) target: usize,
    pub(super) window: usize,
    pub(super) transform: Transform,
    /// Whether each feature has another one beside it: whether its number is missing.
    pub(super) marks: bool,
    /// Of the features as they are looked at.
    pub(super) inputs: Scaler,
    /// Of the change over each horizon.
    pub(super) changes: Scaler,
    /// The weights of the linear autoregression for each output, the intercept last; none without it.
    pub(super) linear: Vec<Vec<f64>>,
    /// What the network's outputs are multiplied by: the deviation of what the autoregression leaves.
    pub(super) rest: Vec<f64>,
}

/// What a network looks at to forecast from one step, and what it should give.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Window {
    /// The series, and the last step that is known.
    pub(super) series: usize,
    pub(super) origin: usize,
    /// (window, inputs), scaled.
    pub(super) x: Vec<f64>,
    /// The change over each horizon, scaled.
    pub(super) y: Vec<f64>,
}

impl Prepared {
    /// Columns of a row.
    pub(super) fn columns(&self) -> usize {
        self.names.len()
    }

    /// That columns, scales and weights belong together, of what was read from a file.
    pub(super) fn is_whole(&self) -> bool {
        let (columns, outputs) = (self.columns(), self.rest.len());
        let cells = self.window.checked_add(1).and_then(|rows| rows.checked_mul(2 * columns));
        let fits = |scaler: &Scaler, columns| [scaler.mean().len(), scaler.std().len()] == [columns; 2];
        (1..=columns).contains(&self.features)
            && self.target < columns
            && self.window > 0
            && cells.is_some()
            && fits(&self.inputs, self.features)
            && fits(&self.changes, outputs)
            && (self.linear.is_empty() || self.linear.len() == outputs)
            && self.linear.iter().all(|output| output.len() == self.window * self.width() + 1)
    }

    /// Numbers a step that the network reads.
    pub(super) fn width(&self) -> usize {
        self.features * (1 + usize::from(self.marks))
    }

    /// Rows that a window needs: a change needs the row before.
    pub(super) fn needs(&self) -> usize {
        self.window + usize::from(self.transform != Transform::None)
    }

    /// A feature of a row as it is looked at, before it is scaled: of the target its change from the row before, where changes
    /// are forecast.
    pub(super) fn feature(&self, before: Option<&[f64]>, row: &[f64], column: usize) -> f64 {
        match (column == self.target, self.transform, before) {
            (true, Transform::Diff, Some(before)) => row[column] - before[column],
            (true, Transform::LogDiff, Some(before)) => (row[column] / before[column]).ln(),
            (true, Transform::Diff | Transform::LogDiff, None) => f64::NAN,
            _ => row[column],
        }
    }

    /// The last [`needs`](Self::needs) rows as the network reads them: (window, width), scaled.
    pub(super) fn scaled(&self, rows: &[f64]) -> Vec<f64> {
        let columns = self.columns();
        let rows: Vec<&[f64]> = rows.chunks_exact(columns).collect();
        let first = rows.len() - self.window;
        let mut x = Vec::with_capacity(self.window * self.width());
        for at in first..rows.len() {
            let before = at.checked_sub(1).map(|before| rows[before]);
            let values = (0..self.features).map(|column| (column, self.feature(before, rows[at], column)));
            let values: Vec<(usize, f64)> = values.collect();
            x.extend(
                values
                    .iter()
                    .map(|&(column, value)| if value.is_nan() { 0.0 } else { self.inputs.scale(column, value) }),
            );
            if self.marks {
                x.extend(values.iter().map(|(_, value)| if value.is_nan() { 1.0 } else { 0.0 }));
            }
        }
        x
    }

    /// What the autoregression makes of a window, for each output; zeros without it.
    pub(super) fn linear_of(&self, x: &[f64], output: usize) -> f64 {
        self.linear.get(output).map_or(0.0, |weights| {
            let (intercept, weights) = weights.split_last().expect("an intercept");
            weights.iter().zip(x).map(|(w, x)| w * x).sum::<f64>() + intercept
        })
    }

    /// The level that follows `last` in the step of that output, from what the network gives.
    pub(super) fn level(&self, last: f64, x: &[f64], output: usize, network: f64) -> f64 {
        let change = self.linear_of(x, output) + network * self.rest[output];
        self.transform.level(last, self.changes.unscale(output, change))
    }

    /// Fits the autoregression and the scale of what it leaves.
    pub(super) fn fit_linear(&mut self, settings: &Settings, train: &[Window], valid: &[Window]) -> Result<()> {
        let outputs = settings.outputs();
        self.rest = vec![1.0; outputs];
        if !settings.linear {
            return Ok(());
        }
        let width = self.window * self.width() + 1;
        if width > MOST_WEIGHTS {
            let expected = format!("a window times features of less than {MOST_WEIGHTS} (linear = false does without)");
            return Err(Error::expected("linear autoregression", expected, width - 1));
        }
        let mut all = Vec::new();
        let mut inputs = vec![1.0; width];
        for output in 0..outputs {
            let mut normal = Normal::new(width);
            for window in train {
                inputs[..width - 1].copy_from_slice(&window.x);
                normal.add(&inputs, window.y[output]);
            }
            let solved = RIDGES.into_iter().map(|ridge| normal.clone().solve(ridge));
            let solved = solved.collect::<Result<Vec<_>>>()?;
            let error = |weights: &Vec<f64>| -> f64 {
                let of = |window: &Window| {
                    let sum: f64 = weights.iter().zip(window.x.iter().chain(&[1.0])).map(|(w, x)| w * x).sum();
                    (sum - window.y[output]).powi(2)
                };
                (if valid.is_empty() { train } else { valid }).iter().map(of).sum()
            };
            let best = solved.into_iter().min_by(|a, b| error(a).total_cmp(&error(b))).expect("some ridges");
            all.push(best);
        }
        self.linear = all;
        for output in 0..outputs {
            let rests = train.iter().map(|window| window.y[output] - self.linear_of(&window.x, output));
            let square = rests.map(|rest| rest * rest).sum::<f64>() / train.len() as f64;
            // Nothing is left of a series without noise: then the network has nothing to say.
            self.rest[output] = if square > 1e-18 { square.sqrt() } else { 0.0 };
        }
        Ok(())
    }

    /// What the network should give for a window.
    pub(super) fn target_of(&self, window: &Window) -> Vec<f32> {
        let of = |(output, rest): (usize, &f64)| {
            let left = window.y[output] - self.linear_of(&window.x, output);
            if *rest == 0.0 { 0.0 } else { (left / rest) as f32 }
        };
        self.rest.iter().enumerate().map(of).collect()
    }
}
