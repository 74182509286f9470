//! `elman train forecast`.

use std::path::Path;

use elman::train::{Fit, Supervised};
use elman::{Model, Threads};
use elman_tasks::flow::Flows;
use elman_tasks::forecast::{Forecast, Mode, Settings};
use elman_tasks::scores::Scores;
use elman_tasks::table::Missing;
use elman_tasks::transform::Transform;

use indicatif::HumanCount;

use super::args::{Common, Shared};
use super::{Failure, Pane, Trained};
use crate::verbs::common::{count, whole};
use crate::verbs::plot::chart::{Curve, Panel};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    shared: Shared,
    /// The column to forecast; it may be left out where there is one of numbers
    #[arg(long, value_name = "COLUMN")]
    target: Option<String>,
    /// The columns to look at, all of numbers unless set
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    features: Option<Vec<String>>,
    /// The column of the time, which has to rise; gaps and duplicates are told
    #[arg(long, value_name = "COLUMN")]
    time: Option<String>,
    /// The column that tells several series apart
    #[arg(long, value_name = "COLUMN")]
    group: Option<String>,
    /// What to do about cells without a number: refuse, fill (with the one before) or mask [default: refuse]
    #[arg(long, value_name = "HOW", value_parser = missing)]
    missing: Option<Missing>,
    /// Steps that are looked at [default: 24]
    #[arg(long, value_name = "N", value_parser = steps)]
    window: Option<usize>,
    /// Steps that are forecast [default: 1]
    #[arg(long, value_name = "N", value_parser = steps)]
    horizon: Option<usize>,
    /// How steps beyond the next are: direct (an output for each) or recursive [default: direct]
    #[arg(long, value_name = "HOW", value_parser = mode)]
    mode: Option<Mode>,
    /// What of the target is forecast: none (its level), diff (its change) or log-diff [default: none]
    #[arg(long, value_name = "CHANGE", value_parser = transform)]
    transform: Option<Transform>,
    /// Steps of a season, for the baseline that repeats the last one
    #[arg(long, value_name = "N", value_parser = steps)]
    season: Option<usize>,
    /// Learn the whole, and not what a linear autoregression over the same window leaves
    #[arg(long)]
    no_linear: bool,
    /// Train and test anew on so many folds, each of which trains on all before its own test and is tested on the share of
    /// --test (walk-forward): tells means and deviations over the folds, and keeps the model of the last
    #[arg(long, value_name = "FOLDS", value_parser = folds)]
    backtest: Option<usize>,
}

impl Args {
    /// How many folds a backtest has, where one is asked for and more than the settings.
    pub(super) fn folds(&self) -> Option<usize> {
        self.backtest.filter(|_| !self.shared.print_config)
    }
}

fn folds(text: &str) -> Result<usize, String> {
    whole(text, 2..=1000)
}

fn steps(text: &str) -> Result<usize, String> {
    whole(text, 1..=100_000)
}

fn missing(text: &str) -> Result<Missing, String> {
    match text {
        "refuse" => Ok(Missing::Refuse),
        "fill" => Ok(Missing::FillLast),
        "mask" => Ok(Missing::Mask),
        _ => Err("expected refuse, fill or mask".into()),
    }
}

fn mode(text: &str) -> Result<Mode, String> {
    match text {
        "direct" => Ok(Mode::Direct),
        "recursive" => Ok(Mode::Recursive),
        _ => Err("expected direct or recursive".into()),
    }
}

fn transform(text: &str) -> Result<Transform, String> {
    match text {
        "none" => Ok(Transform::None),
        "diff" => Ok(Transform::Diff),
        "log-diff" => Ok(Transform::LogDiff),
        _ => Err("expected none, diff or log-diff".into()),
    }
}

pub(super) struct Kind(Forecast);

impl Kind {
    pub(super) fn of(task: Forecast) -> Self {
        Self(task)
    }

    pub(super) fn task(&self) -> &Forecast {
        &self.0
    }

    /// Sentences about the file.
    fn read(&self) -> Vec<String> {
        self.0.report().notes()
    }

    /// Sentences about the file, where it is cut into folds.
    pub(super) fn told_of_folds(&self, folds: usize) -> Vec<String> {
        let [.., test] = self.0.steps();
        let (rows, tested) = (count(self.0.report().rows as u64, "row"), HumanCount((folds * test) as u64));
        let first = format!("{rows}, of which the last {tested} are tested on in {folds} folds");
        std::iter::once(first).chain(self.read()).collect()
    }
}

impl Trained for Kind {
    type Settings = Settings;
    type Args = Args;
    type Learner = Supervised;

    fn shared(args: &Args) -> &Shared {
        &args.shared
    }

    fn usual() -> Settings {
        Settings::default()
    }

    fn common(settings: &mut Settings) -> Common<'_> {
        let Settings { seed, net, fit, shares, .. } = settings;
        Common { seed, net, fit, shares }
    }

    fn apply(args: &Args, settings: &mut Settings) -> Result<(), Failure> {
        let data = &mut settings.data;
        for (to, from) in
            [(&mut data.target, &args.target), (&mut data.time, &args.time), (&mut data.group, &args.group)]
        {
            if from.is_some() {
                to.clone_from(from);
            }
        }
        if args.features.is_some() {
            data.features.clone_from(&args.features);
        }
        data.missing = args.missing.unwrap_or(data.missing);
        settings.window = args.window.unwrap_or(settings.window);
        settings.horizon = args.horizon.unwrap_or(settings.horizon);
        settings.mode = args.mode.unwrap_or(settings.mode);
        settings.transform = args.transform.unwrap_or(settings.transform);
        settings.season = args.season.unwrap_or(settings.season);
        settings.linear &= !args.no_linear;
        Ok(())
    }

    fn prepare(data: &Path, settings: Settings) -> Result<Self, elman_tasks::Error> {
        Forecast::prepare(data, settings).map(Self)
    }

    fn told(&self) -> Vec<String> {
        let (report, [train, valid, test]) = (self.0.report(), self.0.steps());
        let mut told = vec![format!(
            "{}: {train} to train on, {valid} to validate, {test} to test",
            count(report.rows as u64, "row")
        )];
        told.extend(self.read());
        told
    }

    fn fit(&self, threads: Threads) -> Result<Fit<Supervised>, elman_tasks::Error> {
        self.0.fit(threads)
    }

    fn finish(&self, learner: Supervised) -> Result<(Model, Vec<String>), elman_tasks::Error> {
        let (model, kept) = self.0.finish(learner.into_model())?;
        let silenced =
            "the network made the validation part's forecasts worse: the linear autoregression is kept alone";
        Ok((model, if kept { Vec::new() } else { vec![silenced.into()] }))
    }

    fn score(&self, model: &Model) -> Result<(Vec<Scores>, Option<Pane>), elman_tasks::Error> {
        /// Steps that can be told apart in the picture.
        const SHOWN: usize = 200;
        let all = self.0.score(model)?;
        let forecasts = &all[0].forecasts;
        let first = forecasts.len().saturating_sub(SHOWN);
        let points = |f: fn(&(String, f64, f64)) -> f64| -> Vec<(f64, f64)> {
            forecasts[first..].iter().enumerate().map(|(n, row)| ((first + n + 1) as f64, f(row))).collect()
        };
        let curves = vec![
            Curve { name: "truth".into(), color: 0, points: points(|row| row.1), ..Curve::default() },
            Curve { name: "forecast".into(), color: 1, points: points(|row| row.2), ..Curve::default() },
        ];
        let title =
            if first == 0 { "The test part".into() } else { format!("The last {SHOWN} steps of the test part") };
        let panel = Panel { title, x: "step of the test part".into(), curves, ..Panel::default() };
        Ok((all.into_iter().map(|horizon| horizon.scores).collect(), Some(Pane::Curves(panel))))
    }

    fn gradient_flow(&self, model: &Model) -> Result<Flows, elman_tasks::Error> {
        self.0.gradient_flow(model)
    }
}
