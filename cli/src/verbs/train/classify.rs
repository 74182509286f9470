//! `elman train classify`.

use std::path::Path;

use elman::train::Fit;
use elman::{Model, Threads};
use elman_tasks::classify::{Classify, Data, Examples, LinesData, LongData, Pool, Settings, TextData};
use elman_tasks::flow::Flows;
use elman_tasks::job::OptimizerKind;
use elman_tasks::scores::Scores;
use elman_tasks::split::Part;
use elman_tasks::vocabulary::Unit;

use super::args::{Common, Shared};
use super::values::optimizer;
use super::{Failure, Pane, Trained};
use crate::verbs::common::{count, listed, whole};
use crate::verbs::plot::chart::Matrix;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    shared: Shared,
    /// What the file holds: text (label, tab, text), long (CSV, a row a step) or lines (label and numbers) [default: text]
    #[arg(long, value_name = "FORMAT", value_parser = ["text", "long", "lines"])]
    format: Option<String>,
    /// What the tokens of a text are: words or characters, for which --epochs is 40, --patience 8, --cell gru and --embedding 32
    /// unless set [default: words]
    #[arg(long, value_name = "UNIT", value_parser = unit)]
    tokens: Option<Unit>,
    /// Of the long form, the column that names the sequence [default: id]
    #[arg(long, value_name = "COLUMN")]
    id: Option<String>,
    /// Of the long form, the column of its label [default: label]
    #[arg(long, value_name = "COLUMN")]
    label: Option<String>,
    /// Of the long form, the columns of numbers; all others unless set
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    features: Option<Vec<String>>,
    /// How often a token must occur to have a vector of its own [default: 2 of words, 1 of characters]
    #[arg(long, value_name = "N", value_parser = least)]
    min_count: Option<usize>,
    /// What the head sees of the steps: last, mean or max [default: max]
    #[arg(long, value_name = "HOW", value_parser = pool)]
    readout: Option<Pool>,
    /// The probability with which a token is hidden in training [default: 0.6 of words, 0.1 of characters]
    #[arg(long, value_name = "P")]
    token_dropout: Option<f64>,
    /// What makes the steps: adam, or sparse-adam, which moves the vectors of those tokens alone that a step has read
    /// [default: adam]
    #[arg(long, value_name = "NAME", value_parser = optimizer)]
    optimizer: Option<OptimizerKind>,
    /// The decay of all parameters (AdamW) [default: 0]
    #[arg(long, value_name = "X")]
    weight_decay: Option<f32>,
}

fn least(text: &str) -> Result<usize, String> {
    whole(text, 1..=1_000_000)
}

fn unit(text: &str) -> Result<Unit, String> {
    match text {
        "words" => Ok(Unit::Words),
        "characters" => Ok(Unit::Characters),
        _ => Err("expected words or characters".into()),
    }
}

fn pool(text: &str) -> Result<Pool, String> {
    match text {
        "last" => Ok(Pool::Last),
        "mean" => Ok(Pool::Mean),
        "max" => Ok(Pool::Max),
        _ => Err("expected last, mean or max".into()),
    }
}

pub(super) struct Kind(Classify);

impl Trained for Kind {
    type Settings = Settings;
    type Args = Args;
    type Learner = Examples;

    fn shared(args: &Args) -> &Shared {
        &args.shared
    }

    fn usual() -> Settings {
        Settings::words()
    }

    fn preset(args: &Args) -> Settings {
        match (args.format.as_deref(), args.tokens) {
            (None | Some("text"), Some(Unit::Characters)) => Settings::characters(),
            (None | Some("text"), _) => Settings::words(),
            _ => Settings { fit: Settings::words().fit, ..Settings::default() },
        }
    }

    fn common(settings: &mut Settings) -> Common<'_> {
        let Settings { seed, net, fit, shares, .. } = settings;
        Common { seed, net, fit, shares }
    }

    fn apply(args: &Args, settings: &mut Settings) -> Result<(), Failure> {
        settings.data = match args.format.as_deref() {
            None => settings.data.clone(),
            Some("long") => Data::Long(LongData::default()),
            Some("lines") => Data::Lines(LinesData::default()),
            Some(_) => match &settings.data {
                Data::Text(text) => Data::Text(text.clone()),
                _ => Data::Text(TextData::default()),
            },
        };
        let only = |option: &str, format: &str| Failure::Usage(format!("{option}: is of --format {format}"));
        match &mut settings.data {
            Data::Text(text) => {
                text.unit = args.tokens.unwrap_or(text.unit);
                text.min_count = args.min_count.unwrap_or(text.min_count);
            }
            _ if args.tokens.is_some() => return Err(only("--tokens", "text")),
            _ if args.min_count.is_some() => return Err(only("--min-count", "text")),
            _ => {}
        }
        match &mut settings.data {
            Data::Long(long) => {
                long.id = args.id.clone().unwrap_or_else(|| long.id.clone());
                long.label = args.label.clone().unwrap_or_else(|| long.label.clone());
                if args.features.is_some() {
                    long.features.clone_from(&args.features);
                }
            }
            _ if args.id.is_some() => return Err(only("--id", "long")),
            _ if args.label.is_some() => return Err(only("--label", "long")),
            _ if args.features.is_some() => return Err(only("--features", "long")),
            _ => {}
        }
        settings.readout = args.readout.unwrap_or(settings.readout);
        settings.token_dropout = args.token_dropout.unwrap_or(settings.token_dropout);
        settings.optimizer = args.optimizer.unwrap_or(settings.optimizer);
        settings.weight_decay = args.weight_decay.unwrap_or(settings.weight_decay);
        Ok(())
    }

    fn prepare(data: &Path, settings: Settings) -> Result<Self, elman_tasks::Error> {
        Classify::prepare(data, settings).map(Self)
    }

    fn told(&self) -> Vec<String> {
        let split = self.0.split();
        let [train, valid, test] = [&split.train, &split.valid, &split.test].map(Vec::len);
        let all = count((train + valid + test) as u64, "sequence");
        let mut told = vec![format!("{all}: {train} to train on, {valid} to validate, {test} to test")];
        let classes = self.0.classes();
        told.push(format!(
            "{}: {}",
            count(classes.len() as u64, "class").replace("classs", "classes"),
            listed(classes)
        ));
        if let Some(vocabulary) = self.0.vocabulary() {
            told.push(format!("{} in the training part", count(vocabulary.len() as u64, "token")));
        }
        told
    }

    fn fit(&self, threads: Threads) -> Result<Fit<Examples>, elman_tasks::Error> {
        self.0.fit(threads)
    }

    fn finish(&self, learner: Examples) -> Result<(Model, Vec<String>), elman_tasks::Error> {
        Ok((learner.into_model(), Vec::new()))
    }

    fn score(&self, model: &Model) -> Result<(Vec<Scores>, Option<Pane>), elman_tasks::Error> {
        let confusion = self.0.confusion(model, Part::Test)?;
        let names = self.0.classes().to_vec();
        let counts = (0..names.len()).flat_map(|class| confusion.row(class).to_vec()).collect();
        let matrix = Matrix { title: "Test part: truth and answers".into(), names, counts };
        Ok((vec![self.0.score(model, Part::Test)?], Some(Pane::Matrix(matrix))))
    }

    fn gradient_flow(&self, model: &Model) -> Result<Flows, elman_tasks::Error> {
        self.0.gradient_flow(model)
    }
}
