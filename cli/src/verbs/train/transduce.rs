//! `elman train transduce`.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::path::Path;

use elman::train::Fit;
use elman::{Model, Threads};
use elman_tasks::flow::Flows;
use elman_tasks::job::OptimizerKind;
use elman_tasks::scores::Scores;
use elman_tasks::split::Part;
use elman_tasks::transduce::{Attention, Examples, Settings, Transduce, Transducer};
use elman_tasks::vocabulary::Unit;

use super::args::{Common, Shared};
use super::values::optimizer;
use super::{Failure, Pane, Trained};
use crate::verbs::common::{count, whole};
use crate::verbs::plot::heat::Heats;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    shared: Shared,
    /// What the tokens of a source are: characters, words or symbols (between blanks) [default: characters]
    #[arg(long, value_name = "UNIT", value_parser = unit)]
    source: Option<Unit>,
    /// What the tokens of a target are [default: symbols]
    #[arg(long, value_name = "UNIT", value_parser = unit)]
    target: Option<Unit>,
    /// Let the decoder look at every step of the encoder, and draw where it looks for some sources of the test part
    #[arg(long)]
    attention: bool,
    /// Beginnings of a target that are followed at once when the model is scored; 1 is greedy [default: 1]
    #[arg(long, value_name = "K", value_parser = beam)]
    beam: Option<usize>,
    /// What makes the steps: adam, or sparse-adam, which moves the vectors of those tokens alone that a step has read
    /// [default: adam]
    #[arg(long, value_name = "NAME", value_parser = optimizer)]
    optimizer: Option<OptimizerKind>,
    /// The decay of all parameters (AdamW) [default: 0]
    #[arg(long, value_name = "X")]
    weight_decay: Option<f32>,
}

fn unit(text: &str) -> Result<Unit, String> {
    match text {
        "characters" => Ok(Unit::Characters),
        "words" => Ok(Unit::Words),
        "symbols" => Ok(Unit::Symbols),
        _ => Err("expected characters, words or symbols".into()),
    }
}

fn beam(text: &str) -> Result<usize, String> {
    whole(text, 1..=1000)
}

pub(super) struct Kind(Transduce);

impl Kind {
    /// Where the decoder looks: of the first sources of the test part that are long enough to show it and short enough to be
    /// read, or else of the first.
    fn attention(&self, model: &Model) -> Result<Pane, elman_tasks::Error> {
        const LENGTHS: RangeInclusive<usize> = 5..=10;
        let transducer = Transducer::new(model.clone())?;
        let data = &self.0.settings().data;
        let fits = |(source, target): &(&str, &str)| {
            LENGTHS.contains(&data.source.tokens(source).len()) && LENGTHS.contains(&data.target.tokens(target).len())
        };
        let (short, others): (Vec<_>, Vec<_>) = self.0.texts(Part::Test).partition(fits);
        let (mut maps, mut seen) = (Vec::new(), HashSet::new());
        for (source, _) in short.into_iter().chain(others).filter(|(source, _)| seen.insert(*source)) {
            if maps.len() == Heats::MOST {
                break;
            }
            // A token that the training had not is an error of this source alone.
            if let Ok(attended) = transducer.attention(source, self.0.settings().beam) {
                maps.push(attended.into());
            }
        }
        Ok(Pane::Heats(Heats { title: "Where the decoder looks, test part".into(), maps }))
    }
}

impl Trained for Kind {
    type Settings = Settings;
    type Args = Args;
    type Learner = Examples;

    fn shared(args: &Args) -> &Shared {
        &args.shared
    }

    fn usual() -> Settings {
        Settings::spelling()
    }

    fn common(settings: &mut Settings) -> Common<'_> {
        let Settings { seed, net, fit, shares, .. } = settings;
        Common { seed, net, fit, shares }
    }

    fn apply(args: &Args, settings: &mut Settings) -> Result<(), Failure> {
        settings.data.source = args.source.unwrap_or(settings.data.source);
        settings.data.target = args.target.unwrap_or(settings.data.target);
        settings.beam = args.beam.unwrap_or(settings.beam);
        settings.optimizer = args.optimizer.unwrap_or(settings.optimizer);
        settings.weight_decay = args.weight_decay.unwrap_or(settings.weight_decay);
        if args.attention {
            settings.attention = Attention::Dot;
        }
        Ok(())
    }

    fn prepare(data: &Path, settings: Settings) -> Result<Self, elman_tasks::Error> {
        Transduce::prepare(data, settings).map(Self)
    }

    fn told(&self) -> Vec<String> {
        let split = self.0.split();
        let [train, valid, test] = [&split.train, &split.valid, &split.test].map(Vec::len);
        let all = count((train + valid + test) as u64, "pair");
        vec![format!("{all}: {train} to train on, {valid} to validate, {test} to test; no source is in two parts")]
    }

    fn fit(&self, threads: Threads) -> Result<Fit<Examples>, elman_tasks::Error> {
        self.0.fit(threads)
    }

    /// The model, and what it makes of some sources that it has not seen.
    fn finish(&self, learner: Examples) -> Result<(Model, Vec<String>), elman_tasks::Error> {
        const SHOWN: usize = 5;
        let transducer = Transducer::new(learner.into_model())?;
        let mut told = Vec::new();
        for (source, target) in self.0.texts(Part::Test).take(SHOWN) {
            // A token that the training had not is an error of this source alone.
            let Ok(answers) = transducer.transduce(source, self.0.settings().beam) else { continue };
            let right = if answers[0].0 == target { "right".into() } else { format!("true: {target}") };
            told.push(format!("{source} -> {}   ({right})", answers[0].0));
        }
        Ok((transducer.model().clone(), told))
    }

    fn score(&self, model: &Model) -> Result<(Vec<Scores>, Option<Pane>), elman_tasks::Error> {
        let scores = self.0.score(model, Part::Test)?;
        let pane = match self.0.settings().attention {
            Attention::None => None,
            Attention::Dot => Some(self.attention(model)?),
        };
        Ok((vec![scores], pane))
    }

    fn gradient_flow(&self, model: &Model) -> Result<Flows, elman_tasks::Error> {
        self.0.gradient_flow(model)
    }
}
