//! `elman test`: scores a trained model on other data.

use std::io::{self, Write as _};
use std::path::PathBuf;

use elman::Model;
use elman_tasks::classify::{Classifier, Data};
use elman_tasks::forecast::{Forecaster, Settings};
use elman_tasks::job::TASK_KEY;
use elman_tasks::metrics::{Confusion, mae, rmse};
use elman_tasks::scores::{Better, Measure, Row, Scores};
use elman_tasks::table::{self, Options};
use elman_tasks::text;

use super::Failure;
use super::predict::no_task;
use super::train::table as scores_table;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A model that 'elman train' made
    model: PathBuf,
    /// The data, in the form that it was trained on
    data: PathBuf,
    /// Print one JSON object and nothing else
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let model = Model::open(&args.model)?;
    let scores = match model.metadata(TASK_KEY) {
        Some("classify") => {
            let named = |error: elman_tasks::Error| Failure::Run(format!("{}: {error}", args.model.display()));
            vec![classify(args, &Classifier::new(model).map_err(named)?)?]
        }
        Some("forecast") => {
            let named = |error: elman_tasks::Error| Failure::Run(format!("{}: {error}", args.model.display()));
            return tell(args, &forecast(args, Forecaster::new(model).map_err(named)?)?);
        }
        other => return Err(no_task(&args.model, other)),
    };
    tell(args, &scores)
}

fn tell(args: &Args, scores: &[Scores]) -> Result<(), Failure> {
    if args.json {
        for scores in scores {
            let text = serde_json::to_string(scores).map_err(|error| Failure::Run(error.to_string()))?;
            writeln!(io::stdout(), "{text}")?;
        }
        return Ok(());
    }
    Ok(scores.iter().try_for_each(scores_table::print)?)
}

/// Of every horizon, over all rows that have a window before them.
fn forecast(args: &Args, mut forecaster: Forecaster) -> Result<Vec<Scores>, Failure> {
    let settings = forecaster.settings().clone();
    let table = table::read(&args.data, &Options::from(&settings.data))?;
    let (columns, target) = (table.names.len(), table.target);
    if table.names != forecaster.columns() {
        let (expected, got) = (forecaster.columns().join(", "), table.names.join(", "));
        return Err(Failure::Run(format!("{}: expected the columns {expected}, got {got}", args.data.display())));
    }
    // Of each horizon: the forecast, the truth, and the last value that was known.
    let mut all = vec![[const { Vec::new() }; 3]; settings.horizon];
    for (n, series) in table.series.iter().enumerate() {
        // Apart from the rows that the model ends with.
        let group = format!("series {n} of the data");
        let rows: Vec<Vec<f64>> = series
            .values
            .chunks_exact(columns)
            .zip(series.mask.chunks_exact(columns))
            .map(|(row, mask)| row.iter().zip(mask).map(|(&x, &there)| if there { x } else { f64::NAN }).collect())
            .collect();
        for (t, row) in rows.iter().enumerate() {
            forecaster.push(&group, &series.times[t], row)?;
            let Some(levels) = forecaster.forecast(&group)? else { continue };
            for (h, level) in levels.into_iter().enumerate() {
                let Some(truth) = rows.get(t + 1 + h).map(|row| row[target]) else { continue };
                if !truth.is_nan() && !row[target].is_nan() {
                    all[h].iter_mut().zip([level, truth, row[target]]).for_each(|(to, value)| to.push(value));
                }
            }
        }
    }
    all.into_iter().enumerate().map(|(h, columns)| of_horizon(h + 1, columns, &settings)).collect()
}

fn of_horizon(horizon: usize, [forecast, truth, last]: [Vec<f64>; 3], settings: &Settings) -> Result<Scores, Failure> {
    let row = |method: String, is_network, forecast: &[f64]| -> Result<Row, elman_tasks::Error> {
        let values = vec![Some(rmse(forecast, &truth)?), Some(mae(forecast, &truth)?)];
        Ok(Row { method, is_network, values })
    };
    let rows = vec![row(settings.net.title(), true, &forecast)?, row("last value".into(), false, &last)?];
    let measures = ["RMSE", "MAE"].map(|name| Measure::new(name, Better::Less, 4)).to_vec();
    let ahead = if settings.horizon == 1 { String::new() } else { format!(", {horizon} ahead") };
    Ok(Scores { part: format!("{} steps{ahead}", truth.len()), measures, rows })
}

fn classify(args: &Args, classifier: &Classifier) -> Result<Scores, Failure> {
    let Data::Text(_) = &classifier.settings().data else {
        return Err(Failure::Run(
            "data: expected a classifier of texts; one of numbers is scored by train alone".into(),
        ));
    };
    let lines = text::labelled(&args.data)?;
    let classes = classifier.classes();
    let mut truth = Vec::new();
    for row in &lines.rows {
        let class = classes.iter().position(|class| *class == row.left).ok_or_else(|| {
            let (path, line, known) = (args.data.display(), row.line, classes.join(", "));
            Failure::Run(format!(
                "{path}: line {line}: expected one of the model's classes, {known}, got '{}'",
                row.left
            ))
        })?;
        truth.push(class);
    }
    let texts: Vec<&str> = lines.rows.iter().map(|row| &row.right[..]).collect();
    let answers = classifier.predict_all(&texts)?;
    let place =
        |answer: &[(String, f64)]| classes.iter().position(|class| *class == answer[0].0).expect("its own class");
    let answers: Vec<usize> = answers.iter().map(|answer| place(answer)).collect();
    let confusion = Confusion::new(classes.len(), &answers, &truth)?;
    let mut counts = vec![0_usize; classes.len()];
    truth.iter().for_each(|&class| counts[class] += 1);
    let commonest = counts.iter().copied().max().unwrap_or(0) as f64 / truth.len().max(1) as f64;
    let values = [confusion.accuracy(), confusion.balanced_accuracy()].map(|share| Some(100.0 * share)).to_vec();
    let majority = vec![Some(100.0 * commonest), Some(100.0 / classes.len() as f64)];
    Ok(Scores {
        part: format!("{} sequences", truth.len()),
        measures: ["accuracy %", "balanced %"].map(|name| Measure::new(name, Better::More, 1)).to_vec(),
        rows: vec![
            Row { method: classifier.settings().net.title(), is_network: true, values },
            Row { method: "the commonest class".into(), is_network: false, values: majority },
        ],
    })
}
