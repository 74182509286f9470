//! What a series is turned into before a network learns it, and the way back.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How levels x are turned into values that stay about where they are.
///
/// Over a horizon of h steps the change at t leads from x\[t\] to x\[t + h\], so that a forecast of the change and the last
/// level known are a forecast of a level. The way back is exact but for rounding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transform {
    /// The 'change' is the level that is led to, x\[t + h\].
    #[default]
    None,
    /// x\[t + h\] - x\[t\].
    Diff,
    /// ln(x\[t + h\] / x\[t\]), of levels above 0.
    LogDiff,
}

impl Transform {
    /// The changes over `horizon` steps: of T levels T - horizon, none where that is negative.
    ///
    /// # Errors
    /// A horizon of 0; with [`LogDiff`](Self::LogDiff) a level that is not above 0, told with its index from 0.
    pub fn changes(self, levels: &[f64], horizon: usize) -> Result<Vec<f64>> {
        if horizon == 0 {
            return Err(Error::expected("horizon", "at least 1 step", 0));
        }
        if self == Self::LogDiff
            && let Some(step) = levels.iter().position(|&level| level.is_nan() || level <= 0.0)
        {
            let name = format!("level of step {step}");
            return Err(Error::expected(&name, "a number above 0, as its logarithm is taken", levels[step]));
        }
        let later = levels.get(horizon..).unwrap_or_default();
        let change = |(&from, &to): (&f64, &f64)| match self {
            Self::None => to,
            Self::Diff => to - from,
            // A difference of logarithms loses digits where levels are far from 1.
            Self::LogDiff => (to / from).ln(),
        };
        Ok(levels.iter().zip(later).map(change).collect())
    }

    /// The level that a change leads to from `last`: `change`, last + change, or last times e to the power of change.
    pub fn level(self, last: f64, change: f64) -> f64 {
        match self {
            Self::None => change,
            Self::Diff => last + change,
            Self::LogDiff => last * change.exp(),
        }
    }

    /// The levels that follow `last` by changes of one step each, one after the other.
    pub fn levels(self, last: f64, changes: &[f64]) -> Vec<f64> {
        let next = |level: &mut f64, &change: &f64| {
            *level = self.level(*level, change);
            Some(*level)
        };
        changes.iter().scan(last, next).collect()
    }
}

/// Brings each column to mean 0 and standard deviation 1, as they are in the rows it is fitted to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scaler {
    mean: Vec<f64>,
    std: Vec<f64>,
}

impl Scaler {
    /// Fits the scaler to some rows of a table of rows by columns, row by row: those of training, so that nothing of the
    /// others goes into it. `mask`, of the same order, says which values are there. The standard deviation is that of
    /// the rows themselves (divided by their count); a column that does not change in them has 1 in its place.
    ///
    /// # Errors
    /// No columns, values or a mask that do not come to whole rows, rows that are not there, none, or a column of
    /// which the rows have no value or one that is not finite.
    pub fn fit(values: &[f64], mask: Option<&[bool]>, columns: usize, rows: Range<usize>) -> Result<Self> {
        let whole = columns > 0 && values.len().is_multiple_of(columns);
        if !whole || mask.is_some_and(|mask| mask.len() != values.len()) {
            let mask = mask.map_or("no mask".into(), |mask| format!("a mask of {}", mask.len()));
            let got = format!("{} values, {mask} and {columns} columns", values.len());
            return Err(Error::expected("scaler", "whole rows of values, and a mask of as many", got));
        }
        let len = values.len() / columns;
        if rows.is_empty() || rows.end > len {
            return Err(Error::expected("scaler", format_args!("rows of 0..{len}"), format_args!("{rows:?}")));
        }
        let (mut means, mut stds) = (Vec::new(), Vec::new());
        for column in 0..columns {
            let known = rows.clone().map(|row| row * columns + column).filter(|&at| mask.is_none_or(|mask| mask[at]));
            let known: Vec<f64> = known.map(|at| values[at]).collect();
            let count = known.len() as f64;
            // Twice, so that the mean of values far from 0 has all digits.
            let rough = known.iter().sum::<f64>() / count;
            let mean = rough + known.iter().map(|value| value - rough).sum::<f64>() / count;
            let std = (known.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
            if !mean.is_finite() || !std.is_finite() {
                let got = if known.is_empty() { "none" } else { "others" };
                return Err(Error::expected(&format!("column {column}"), "finite values in the rows of training", got));
            }
            // What is left of rounding is no change.
            let still = std <= 1e-12 * mean.abs().max(f64::MIN_POSITIVE);
            means.push(mean);
            stds.push(if still { 1.0 } else { std });
        }
        Ok(Self { mean: means, std: stds })
    }

    /// The columns' means.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// The columns' standard deviations, all above 0.
    pub fn std(&self) -> &[f64] {
        &self.std
    }

    /// A value of a column, scaled.
    ///
    /// # Panics
    /// There is no such column.
    pub fn scale(&self, column: usize, value: f64) -> f64 {
        (value - self.mean[column]) / self.std[column]
    }

    /// The value that [`scale`](Self::scale) was given.
    ///
    /// # Panics
    /// There is no such column.
    pub fn unscale(&self, column: usize, scaled: f64) -> f64 {
        scaled * self.std[column] + self.mean[column]
    }

    /// Scales rows of all columns, row by row.
    pub fn scale_rows(&self, values: &mut [f64]) {
        for (index, value) in values.iter_mut().enumerate() {
            *value = self.scale(index % self.mean.len(), *value);
        }
    }

    /// Undoes [`scale_rows`](Self::scale_rows).
    pub fn unscale_rows(&self, values: &mut [f64]) {
        for (index, value) in values.iter_mut().enumerate() {
            *value = self.unscale(index % self.mean.len(), *value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_what_they_are_called() {
        let levels = [1.0, 2.0, 6.0];
        assert_eq!(Transform::None.changes(&levels, 1).unwrap(), [2.0, 6.0]);
        assert_eq!(Transform::Diff.changes(&levels, 1).unwrap(), [1.0, 4.0]);
        assert_eq!(Transform::Diff.changes(&levels, 2).unwrap(), [5.0]);
        assert_eq!(Transform::LogDiff.changes(&levels, 1).unwrap(), [2.0_f64.ln(), 3.0_f64.ln()]);
        assert!(Transform::Diff.changes(&levels, 5).unwrap().is_empty());
        let error = Transform::LogDiff.changes(&[1.0, 0.0], 1).unwrap_err().to_string();
        assert_eq!(error, "level of step 1: expected a number above 0, as its logarithm is taken, got 0");
        assert_eq!(
            Transform::None.changes(&levels, 0).unwrap_err().to_string(),
            "horizon: expected at least 1 step, got 0"
        );
    }

    proptest::proptest! {
        #[test]
        fn the_way_back_leads_to_the_levels(
            levels in proptest::collection::vec(1e-3..1e3_f64, 2..30),
            horizon in 1_usize..4,
        ) {
            let close = |a: f64, b: f64| (a - b).abs() < 1e-10 * b.abs().max(1.0);
            for transform in [Transform::None, Transform::Diff, Transform::LogDiff] {
                for (t, change) in transform.changes(&levels, horizon).unwrap().into_iter().enumerate() {
                    proptest::prop_assert!(close(transform.level(levels[t], change), levels[t + horizon]));
                }
                let path = transform.levels(levels[0], &transform.changes(&levels, 1).unwrap());
                proptest::prop_assert!(path.iter().zip(&levels[1..]).all(|(&a, &b)| close(a, b)));
            }
        }
    }

    #[test]
    fn only_the_rows_of_training_count() {
        let values = [1.0, 5.0, 3.0, 5.0, 1000.0, 9.0];
        let scaler = Scaler::fit(&values, None, 2, 0..2).unwrap();
        assert_eq!((scaler.mean(), scaler.std()), (&[2.0, 5.0][..], &[1.0, 1.0][..]));
        let mut scaled = values;
        scaler.scale_rows(&mut scaled);
        assert_eq!(scaled, [-1.0, 0.0, 1.0, 0.0, 998.0, 4.0]);
        scaler.unscale_rows(&mut scaled);
        assert_eq!(scaled, values);
        let mask = [true, true, false, true, true, true];
        assert_eq!(Scaler::fit(&values, Some(&mask), 2, 0..2).unwrap().mean()[0], 1.0);
        let text = serde_json::to_string(&scaler).unwrap();
        assert_eq!(serde_json::from_str::<Scaler>(&text).unwrap(), scaler);
        assert_eq!(Scaler::fit(&[0.1; 7], None, 1, 0..7).unwrap().std(), [1.0]);
    }

    #[test]
    fn wrong_rows_are_told() {
        let told = |result: Result<Scaler>| result.unwrap_err().to_string();
        assert_eq!(told(Scaler::fit(&[1.0], None, 1, 0..2)), "scaler: expected rows of 0..1, got 0..2");
        assert!(told(Scaler::fit(&[1.0], None, 1, 0..0)).ends_with("got 0..0"));
        assert!(told(Scaler::fit(&[1.0], None, 2, 0..1)).ends_with("got 1 values, no mask and 2 columns"));
        assert!(told(Scaler::fit(&[1.0], Some(&[]), 1, 0..1)).contains("a mask of 0"));
        assert!(told(Scaler::fit(&[1.0], Some(&[false]), 1, 0..1)).ends_with("got none"));
        assert!(told(Scaler::fit(&[f64::NAN], None, 1, 0..1)).ends_with("got others"));
    }
}
