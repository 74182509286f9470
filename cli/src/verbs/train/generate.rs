//! `elman train generate`.

use std::path::Path;

use elman::train::Fit;
use elman::{Model, Threads};
use elman_tasks::flow::Flows;
use elman_tasks::generate::{Examples, Generate, Generator, Settings};
use elman_tasks::scores::Scores;
use elman_tasks::split::Part;

use super::args::{Common, Shared};
use super::{Failure, Pane, Trained};
use crate::verbs::common::{count, listed, whole};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    shared: Shared,
    /// How often a character must occur to be written [default: 1]
    #[arg(long, value_name = "N", value_parser = least)]
    min_count: Option<usize>,
    /// The most characters that a text is written with
    #[arg(long, value_name = "N", value_parser = least)]
    longest: Option<usize>,
    /// The decay of all parameters (AdamW) [default: 0]
    #[arg(long, value_name = "X")]
    weight_decay: Option<f32>,
}

fn least(text: &str) -> Result<usize, String> {
    whole(text, 1..=1_000_000)
}

pub(super) struct Kind(Generate);

impl Trained for Kind {
    type Settings = Settings;
    type Args = Args;
    type Learner = Examples;

    fn shared(args: &Args) -> &Shared {
        &args.shared
    }

    fn usual() -> Settings {
        Settings::names()
    }

    fn common(settings: &mut Settings) -> Common<'_> {
        let Settings { seed, net, fit, shares, .. } = settings;
        Common { seed, net, fit, shares }
    }

    fn apply(args: &Args, settings: &mut Settings) -> Result<(), Failure> {
        settings.min_count = args.min_count.unwrap_or(settings.min_count);
        settings.longest = args.longest.unwrap_or(settings.longest);
        settings.weight_decay = args.weight_decay.unwrap_or(settings.weight_decay);
        Ok(())
    }

    fn prepare(data: &Path, settings: Settings) -> Result<Self, elman_tasks::Error> {
        Generate::prepare(data, settings).map(Self)
    }

    fn told(&self) -> Vec<String> {
        let split = self.0.split();
        let [train, valid, test] = [&split.train, &split.valid, &split.test].map(Vec::len);
        let all = count((train + valid + test) as u64, "text");
        let labels = self.0.labels();
        vec![
            format!("{all}: {train} to train on, {valid} to validate, {test} to test"),
            format!("{}: {}", count(labels.len() as u64, "label"), listed(labels)),
        ]
    }

    fn fit(&self, threads: Threads) -> Result<Fit<Examples>, elman_tasks::Error> {
        self.0.fit(threads)
    }

    /// The model, and what it writes of each label.
    fn finish(&self, learner: Examples) -> Result<(Model, Vec<String>), elman_tasks::Error> {
        const SAMPLES: u64 = 6;
        let mut generator = Generator::new(learner.into_model())?;
        let mut told = Vec::new();
        for label in self.0.labels() {
            let texts = (1..=SAMPLES).map(|seed| generator.sample(label, 1.0, seed));
            told.push(format!("{label}: {}", texts.collect::<Result<Vec<_>, _>>()?.join(", ")));
        }
        Ok((generator.model().clone(), told))
    }

    fn score(&self, model: &Model) -> Result<(Vec<Scores>, Option<Pane>), elman_tasks::Error> {
        Ok((vec![self.0.score(model, Part::Test)?], None))
    }

    fn gradient_flow(&self, model: &Model) -> Result<Flows, elman_tasks::Error> {
        self.0.gradient_flow(model)
    }
}
