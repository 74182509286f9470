//! Forecasts of series.
//!
//! All forecast the target at step t from what is known at step t - horizon, for t of a range of steps. What is before the
//! range is known: each forecast looks at the truth, not at other forecasts.

use std::ops::Range;

use super::linear::Normal;
use crate::error::{Error, Result};
use crate::transform::Scaler;

/// Penalty on the squares of weights, of inputs with a deviation of 1: too small to be seen in a forecast, and enough to
/// solve the equations of a series that repeats itself.
const RIDGE: f64 = 1e-9;

/// The equations take 134 MB then, and 7 s to solve (measured, one core of a Xeon).
const MOST_WEIGHTS: usize = 4_096;

/// Checks that each of the steps has one to be forecast from, `back` steps before it.
fn check(len: usize, back: usize, steps: &Range<usize>) -> Result<()> {
    if steps.start < back || steps.end > len || steps.start > steps.end {
        let expected = format!("steps of {back}..{len}, with {back} steps before each");
        return Err(Error::expected("forecast", expected, format_args!("{steps:?}")));
    }
    Ok(())
}

/// The last value known, `horizon` steps before. A horizon of 1 is the naive forecast.
///
/// # Errors
/// A horizon of 0, or steps that are not there or have not as many before them.
pub fn last_value(series: &[f64], horizon: usize, steps: Range<usize>) -> Result<Vec<f64>> {
    seasonal(series, 1, horizon, steps)
}

/// The value of as many periods before as bring it to what is known: one, where the horizon is no longer.
///
/// # Errors
/// A horizon or a period of 0, or steps that are not there or have not as many before them.
pub fn seasonal(series: &[f64], period: usize, horizon: usize, steps: Range<usize>) -> Result<Vec<f64>> {
    if period == 0 || horizon == 0 {
        let got = format!("a period of {period} and a horizon of {horizon}");
        return Err(Error::expected("forecast", "a period and a horizon of at least 1 step", got));
    }
    let back = horizon.div_ceil(period).saturating_mul(period);
    check(series.len(), back, &steps)?;
    Ok(series[steps.start - back..steps.end - back].to_vec())
}

/// What [`Autoregression`] looks at, and what it forecasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// How many steps are looked at, at least 1.
    pub order: usize,
    /// How many steps ahead the forecast is, at least 1. It is direct: a model of its own for the horizon.
    pub horizon: usize,
    /// How many columns the values have. All are looked at.
    pub columns: usize,
    /// Which of them is forecast.
    pub target: usize,
}

impl Order {
    /// How many steps before the one that is forecast must be there.
    fn back(self) -> usize {
        self.horizon.saturating_add(self.order).saturating_sub(1)
    }

    fn check(self) -> Result<()> {
        let Self { order, horizon, columns, target } = self;
        if order == 0 || horizon == 0 || target >= columns {
            let got = format!("an order of {order}, a horizon of {horizon}, and column {target} of {columns}");
            return Err(Error::expected("autoregression", "an order and a horizon of at least 1, and a target", got));
        }
        Ok(())
    }
}

/// A linear function of the last steps, fitted by least squares: with an intercept, and a ridge of 1e-9 on the weights of
/// the inputs, brought to a deviation of 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Autoregression {
    order: Order,
    scaler: Scaler,
    /// From the oldest step looked at to the newest, all columns of each; then the intercept.
    weights: Vec<f64>,
}

impl Autoregression {
    /// Fits to series, each a table of steps by columns, row by row, with the steps of training. Neither inputs nor targets
    /// lie outside these.
    ///
    /// # Errors
    /// An order or a horizon of 0, a target that is no column; values that are no whole rows or not finite; steps that
    /// are not there; fewer than weights altogether, horizon and order aside; or more than 4,096 weights.
    pub fn fit(order: Order, series: &[(&[f64], Range<usize>)]) -> Result<Self> {
        order.check()?;
        let mut train = Vec::new();
        for (values, steps) in series {
            let len = values.len() / order.columns;
            if !values.len().is_multiple_of(order.columns) || steps.end > len || steps.start > steps.end {
                let got = format!("{steps:?} of {} values in {} columns", values.len(), order.columns);
                return Err(Error::expected("autoregression", "whole rows, and steps of theirs", got));
            }
            train.extend_from_slice(&values[steps.start * order.columns..steps.end * order.columns]);
        }
        let width = order.order.saturating_mul(order.columns).saturating_add(1);
        let short = |rows: usize| {
            let expected =
                format!("at least {width} steps to fit {width} weights to, each with {} before it", order.back());
            Error::expected("autoregression", expected, rows)
        };
        // Before memory is asked for: the order may be anything.
        if width > MOST_WEIGHTS {
            let expected = format!("order times columns of less than {MOST_WEIGHTS}");
            return Err(Error::expected("autoregression", expected, width - 1));
        }
        if train.len() / order.columns < width {
            return Err(short(0));
        }
        let scaler = Scaler::fit(&train, None, order.columns, 0..train.len() / order.columns)?;
        let mut normal = Normal::new(width);
        let mut inputs = vec![1.0; width];
        for (values, steps) in series {
            for step in steps.start.saturating_add(order.back())..steps.end {
                window(order, &scaler, values, step, &mut inputs[..width - 1]);
                let target = values[step * order.columns + order.target];
                normal.add(&inputs, scaler.scale(order.target, target));
            }
        }
        if normal.rows() < width {
            return Err(short(normal.rows()));
        }
        Ok(Self { order, scaler, weights: normal.solve(RIDGE)? })
    }

    /// Forecasts the target at these steps of a series, which may be another than it was fitted to.
    ///
    /// # Errors
    /// Values that are no whole rows, or steps that are not there or have fewer before them than the order and the horizon
    /// need.
    pub fn predict(&self, values: &[f64], steps: Range<usize>) -> Result<Vec<f64>> {
        let Order { columns, target, .. } = self.order;
        if !values.len().is_multiple_of(columns) {
            let got = format!("{} values", values.len());
            return Err(Error::expected("autoregression", format_args!("whole rows of {columns} columns"), got));
        }
        check(values.len() / columns, self.order.back(), &steps)?;
        let (intercept, weights) = self.weights.split_last().expect("an intercept");
        let mut inputs = vec![0.0; weights.len()];
        let forecast = |step| {
            window(self.order, &self.scaler, values, step, &mut inputs);
            let sum: f64 = inputs.iter().zip(weights).map(|(x, w)| x * w).sum();
            self.scaler.unscale(target, sum + intercept)
        };
        Ok(steps.map(forecast).collect())
    }
}

/// Writes the scaled values that the forecast of a step looks at.
fn window(order: Order, scaler: &Scaler, values: &[f64], step: usize, inputs: &mut [f64]) {
    let first = (step - order.back()) * order.columns;
    inputs.copy_from_slice(&values[first..first + inputs.len()]);
    scaler.scale_rows(inputs);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::rmse;
    use crate::split::SplitMix64;

    /// x[t] = 1.2 x[t-1] - 0.5 x[t-2] + 3 + noise of deviation 1/√12.
    fn series(len: usize) -> Vec<f64> {
        let mut rng = SplitMix64::new(5);
        let mut x = vec![10.0, 10.0];
        while x.len() < len {
            let noise = rng.next_u64() as f64 / 2.0_f64.powi(64) - 0.5;
            x.push(1.2 * x[x.len() - 1] - 0.5 * x[x.len() - 2] + 3.0 + noise);
        }
        x
    }

    #[test]
    fn naive_forecasts_repeat_what_was() {
        let x = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
        assert_eq!(last_value(&x, 1, 4..6).unwrap(), [3.0, 4.0]);
        assert_eq!(last_value(&x, 3, 4..6).unwrap(), [1.0, 2.0]);
        assert_eq!(seasonal(&x, 2, 1, 4..6).unwrap(), [2.0, 3.0]);
        assert_eq!(seasonal(&x, 2, 3, 4..6).unwrap(), [0.0, 1.0], "two periods before is the last that is known");
        let error = last_value(&x, 2, 1..3).unwrap_err().to_string();
        assert_eq!(error, "forecast: expected steps of 2..6, with 2 steps before each, got 1..3");
        assert!(
            seasonal(&x, 0, 1, 4..6).is_err() && last_value(&x, 0, 4..6).is_err() && last_value(&x, 1, 4..7).is_err()
        );
    }

    #[test]
    fn an_autoregression_is_found() {
        let x = series(2_000);
        let order = |order, horizon| Order { order, horizon, columns: 1, target: 0 };
        let two = Autoregression::fit(order(2, 1), &[(&x, 0..1_800)]).unwrap();
        assert!((two.weights[1] - 1.2).abs() < 0.05 && (two.weights[0] + 0.5).abs() < 0.05, "{two:?}");
        let error = rmse(&two.predict(&x, 1_800..2_000).unwrap(), &x[1_800..]).unwrap();
        assert!((0.27..0.31).contains(&error), "{error}: the noise has a deviation of 0.289");
        let far = Autoregression::fit(order(2, 3), &[(&x, 0..1_800)]).unwrap();
        let further = rmse(&far.predict(&x, 1_800..2_000).unwrap(), &x[1_800..]).unwrap();
        assert!(further > error && further < rmse(&last_value(&x, 3, 1_800..2_000).unwrap(), &x[1_800..]).unwrap());
    }

    #[test]
    fn only_training_counts_and_other_columns_help() {
        let x = series(500);
        let order = Order { order: 2, horizon: 1, columns: 1, target: 0 };
        let mut spoilt = x.clone();
        spoilt[400..].fill(1e9);
        let fits = [&x, &spoilt].map(|x| Autoregression::fit(order, &[(x, 0..400)]).unwrap());
        assert_eq!(fits[0], fits[1]);
        // The second column is the first of the next step.
        let both: Vec<f64> = (0..499).flat_map(|t| [x[t], x[t + 1]]).collect();
        let order = Order { order: 1, columns: 2, ..order };
        let seer = Autoregression::fit(order, &[(&both, 0..200), (&both, 200..400)]).unwrap();
        assert!(rmse(&seer.predict(&both, 400..499).unwrap(), &x[400..499]).unwrap() < 1e-6);
    }

    #[test]
    fn a_series_without_noise_is_no_trouble() {
        let flat = Autoregression::fit(Order { order: 3, horizon: 1, columns: 1, target: 0 }, &[(&[7.0; 50], 0..40)]);
        assert_eq!(flat.unwrap().predict(&[7.0; 50], 40..50).unwrap(), [7.0; 10]);
        let wave: Vec<f64> = (0..400).map(|t| (f64::from(t) * 0.1).sin()).collect();
        let fit =
            Autoregression::fit(Order { order: 20, horizon: 1, columns: 1, target: 0 }, &[(&wave, 0..300)]).unwrap();
        assert!(rmse(&fit.predict(&wave, 300..400).unwrap(), &wave[300..]).unwrap() < 1e-4);
    }

    #[test]
    fn what_cannot_be_fitted_is_told() {
        let order = Order { order: 3, horizon: 2, columns: 1, target: 0 };
        let told =
            |order, values: &[f64], steps| Autoregression::fit(order, &[(values, steps)]).unwrap_err().to_string();
        let x = series(20);
        assert_eq!(
            told(order, &x, 0..7),
            "autoregression: expected at least 4 steps to fit 4 weights to, each with 4 before it, got 3"
        );
        assert!(told(Order { order: usize::MAX, ..order }, &x, 0..20).contains("less than 4096"));
        assert!(told(Order { order: 0, ..order }, &x, 0..20).contains("an order of 0"));
        assert!(told(Order { target: 1, ..order }, &x, 0..20).ends_with("column 1 of 1"));
        assert!(told(order, &x, 0..21).contains("0..21 of 20 values"));
        assert!(told(order, &[f64::NAN; 20], 0..20).contains("finite"));
        let fit = Autoregression::fit(order, &[(&x, 0..20)]).unwrap();
        assert!(fit.predict(&x, 3..5).unwrap_err().to_string().contains("with 4 steps before each"));
    }
}
