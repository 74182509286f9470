//! What the folds of a backtest come to together.

use serde::{Deserialize, Serialize};

use super::HorizonScores;
use crate::error::{Error, Result};
use crate::scores::{Row, Scores};

/// The scores of a backtest's folds: one test says how good a forecast was once, several how good it is as a rule, and
/// how much that varies.
///
/// ```
/// use elman::Threads;
/// use elman_tasks::forecast::{Backtest, Forecast, Settings};
/// use elman_tasks::job::Job;
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("wave.csv");
/// # let rows: Vec<_> = (0..200).map(|t| format!("{}", (f64::from(t) * 0.3).sin())).collect();
/// # std::fs::write(&path, format!("x\n{}\n", rows.join("\n"))).unwrap();
/// let settings = Settings::from_toml("window = 8\n[net]\nhidden = 4\n[fit]\nepochs = 2")?;
/// let mut backtest = Backtest::default();
/// for fold in 0..3 {
///     let task = Forecast::prepare_fold(&path, settings.clone(), fold, 3)?;
///     let mut fit = task.fit(Threads::one())?;
///     fit.run(&mut |_progress| true)?;
///     let (model, _kept) = task.finish(fit.into_learner().into_model())?;
///     backtest.push(task.score(&model)?)?;
/// }
/// let next = &backtest.summary()?[0];
/// assert_eq!(next.mean.measures[0].name, "RMSE");
/// println!("{:?} ± {:?}", next.mean.rows[0].values[0], next.spread[0][0]);
/// # Ok::<(), elman_tasks::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Backtest {
    folds: Vec<Vec<HorizonScores>>,
}

/// One horizon over all folds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoldedScores {
    /// Steps ahead.
    pub horizon: usize,
    /// The means over the folds; none of a measure that a method has not in every fold.
    pub mean: Scores,
    /// The standard deviations over the folds (of a sample: over n - 1), row by row and measure by measure as in `mean`.
    pub spread: Vec<Vec<Option<f64>>>,
    /// Each fold by its first measure, the RMSE.
    pub folds: Vec<FoldRow>,
}

/// One fold: the network, and the best of what needs none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoldRow {
    /// Steps that were scored.
    pub steps: usize,
    /// The network's RMSE.
    pub network: f64,
    /// The least RMSE of the other methods.
    pub other: f64,
    /// Which of them it is.
    pub method: String,
}

impl FoldRow {
    /// Whether the network is better.
    #[must_use]
    pub fn is_won(&self) -> bool {
        self.network < self.other
    }
}

impl Backtest {
    /// Takes the next fold's scores, as [`Forecast::score`](super::Forecast::score) gives them.
    ///
    /// # Errors
    /// Other horizons than those of the folds before.
    pub fn push(&mut self, scores: Vec<HorizonScores>) -> Result<()> {
        let horizons = |fold: &[HorizonScores]| fold.iter().map(|one| one.horizon).collect::<Vec<_>>();
        let (expected, got) = (self.folds.first().map(|fold| horizons(fold)), horizons(&scores));
        if got.is_empty() || expected.as_ref().is_some_and(|expected| *expected != got) {
            let expected = expected.map_or("at least one".into(), |expected| format!("{expected:?}, as before"));
            return Err(Error::expected("horizons of a fold", expected, format_args!("{got:?}")));
        }
        self.folds.push(scores);
        Ok(())
    }

    /// The folds that were taken, each horizon by horizon.
    #[must_use]
    pub fn folds(&self) -> &[Vec<HorizonScores>] {
        &self.folds
    }

    /// Means and deviations over the folds, horizon by horizon.
    ///
    /// # Errors
    /// Fewer than two folds, which have no deviation.
    pub fn summary(&self) -> Result<Vec<FoldedScores>> {
        if self.folds.len() < 2 {
            return Err(Error::expected("backtest", "at least 2 folds", self.folds.len()));
        }
        (0..self.folds[0].len()).map(|place| self.of_horizon(place)).collect()
    }

    fn of_horizon(&self, place: usize) -> Result<FoldedScores> {
        let folds: Vec<&HorizonScores> = self.folds.iter().map(|fold| &fold[place]).collect();
        let mut measures = folds[0].scores.measures.clone();
        for fold in &folds {
            for (one, other) in measures.iter_mut().zip(&fold.scores.measures) {
                one.digits = one.digits.max(other.digits);
            }
        }
        let mut methods: Vec<&Row> = Vec::new();
        for row in folds.iter().flat_map(|fold| &fold.scores.rows) {
            if methods.iter().all(|other| other.method != row.method) {
                methods.push(row);
            }
        }
        let (mut rows, mut spread) = (Vec::new(), Vec::new());
        for Row { method, is_network, .. } in methods {
            let each: Vec<Option<(f64, f64)>> =
                (0..measures.len()).map(|measure| mean_and_deviation(&folds, method, measure)).collect();
            let values = each.iter().map(|both| both.map(|(mean, _)| mean)).collect();
            rows.push(Row { method: method.clone(), is_network: *is_network, values });
            spread.push(each.iter().map(|both| both.map(|(_, deviation)| deviation)).collect());
        }
        let steps: usize = folds.iter().map(|fold| fold.forecasts.len()).sum();
        let horizon = folds[0].horizon;
        let ahead = if self.folds[0].len() == 1 { String::new() } else { format!(", {horizon} ahead") };
        let part = format!("mean of {} folds, {steps} steps{ahead}", folds.len());
        let mean = Scores { part, measures, rows };
        let folds = folds.into_iter().map(fold_row).collect::<Result<_>>()?;
        Ok(FoldedScores { horizon, mean, spread, folds })
    }
}

/// Of a method's measure; none where a fold has none.
fn mean_and_deviation(folds: &[&HorizonScores], method: &str, measure: usize) -> Option<(f64, f64)> {
    let of = |fold: &&HorizonScores| {
        let row = fold.scores.rows.iter().find(|row| row.method == method)?;
        row.values.get(measure).copied().flatten()
    };
    let values = folds.iter().map(of).collect::<Option<Vec<f64>>>()?;
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some((mean, (squares / (count - 1.0)).sqrt()))
}

fn fold_row(fold: &HorizonScores) -> Result<FoldRow> {
    let of = |is_network: bool| {
        let rows = fold.scores.rows.iter().filter(move |row| row.is_network == is_network);
        let values = rows.filter_map(|row| Some((row.values.first().copied().flatten()?, &row.method)));
        values.min_by(|(a, _), (b, _)| a.total_cmp(b))
    };
    let (Some((network, _)), Some((other, method))) = (of(true), of(false)) else {
        return Err(Error::expected("scores of a fold", "those of a network and of another method", "one of them"));
    };
    Ok(FoldRow { steps: fold.forecasts.len(), network, other, method: method.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scores::{Better, Measure};

    fn fold(rows: &[(&str, Option<f64>)]) -> HorizonScores {
        let row = |&(method, value): &(&str, Option<f64>)| Row {
            method: method.into(),
            is_network: method == "GRU",
            values: vec![value, None],
        };
        let measures = vec![Measure::new("RMSE", Better::Less, 2), Measure::new("MAE", Better::Less, 2)];
        let scores = Scores { part: "test part".into(), measures, rows: rows.iter().map(row).collect() };
        HorizonScores { horizon: 1, scores, forecasts: vec![(String::new(), 0.0, 0.0); 7] }
    }

    #[test]
    fn means_and_deviations_are_over_folds() {
        let mut backtest = Backtest::default();
        backtest.push(vec![fold(&[("GRU", Some(1.0)), ("linear", Some(2.0))])]).unwrap();
        assert_eq!(backtest.summary().unwrap_err().to_string(), "backtest: expected at least 2 folds, got 1");
        let more = [("GRU", Some(4.0)), ("linear", Some(2.5)), ("season", Some(1.5))];
        backtest.push(vec![fold(&more)]).unwrap();
        let all = backtest.summary().unwrap();
        let FoldedScores { mean, spread, folds, .. } = &all[0];
        assert_eq!(mean.part, "mean of 2 folds, 14 steps");
        let values: Vec<_> = mean.rows.iter().map(|row| (&row.method[..], row.values[0], row.values[1])).collect();
        // The first fold knows no season before: there is no mean of it.
        assert_eq!(values, [("GRU", Some(2.5), None), ("linear", Some(2.25), None), ("season", None, None)]);
        let deviation = |row: usize| spread[row][0].map(|x| (x * 1e6).round() / 1e6);
        assert_eq!([deviation(0), deviation(1), deviation(2)], [Some(2.12132), Some(0.353553), None]);
        assert_eq!(mean.winner().unwrap().method, "linear");
        let told: Vec<_> = folds.iter().map(|fold| (&fold.method[..], fold.other, fold.is_won())).collect();
        assert_eq!(told, [("linear", 2.0, true), ("season", 1.5, false)]);
        assert!(backtest.push(Vec::new()).unwrap_err().to_string().contains("expected [1], as before, got []"));
    }
}
