//! Which class a sequence is of: a vector out of a sequence.
//!
//! [`Classify::prepare`] reads texts or sequences of numbers with a label each, splits them at random, and makes the
//! vocabulary, the classes and the scales of numbers from the training part alone. [`Classify::fit`] trains a network on
//! it, [`Classify::score`] says how good it is beside simple methods, and [`Classifier`] uses its file.
//!
//! ```
//! use elman::Threads;
//! use elman_tasks::classify::{Classifier, Classify, Settings};
//! use elman_tasks::job::Job;
//! use elman_tasks::split::Part;
//!
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("answers.tsv");
//! # let lines: Vec<_> = (0..60).map(|n| ["yes\tit is so", "no\tit is not so"][n % 2]).collect();
//! # std::fs::write(&path, lines.join("\n")).unwrap();
//! // Lines such as: no, a tab, it is not so
//! let settings = Settings::from_toml("[net]\nhidden = 8\nembedding = 4\n[fit]\nepochs = 20\nlr = 0.02")?;
//! let task = Classify::prepare(&path, settings)?;
//! let mut fit = task.fit(Threads::one())?;
//! fit.run(&mut |_progress| true)?;
//! let model = fit.into_learner().into_model();
//! assert_eq!(task.score(&model, Part::Test)?.rows[0].values[0], Some(100.0));
//!
//! let classifier = Classifier::new(model)?; // or, of a model that was saved, `open`
//! assert_eq!(classifier.predict("it is not")?[0].0, "no");
//! # Ok::<(), elman_tasks::Error>(())
//! ```

mod baselines;
mod data;
mod examples;
mod predict;
mod score;
mod settings;

use std::path::Path;

use elman::loss::{CrossEntropy, Steps};
use elman::train::{Fit, Identity};
use elman::{LayerKind, LayerSpec, Model, Rng, Threads, Workspace};

pub use data::{Data, LinesData, LongData, TextData};
pub use examples::Examples;
pub(crate) use predict::softmax;
pub use predict::{Classifier, Ranked};
pub use settings::{Pool, Settings};

use crate::error::{Error, Result, listed, quoted};
use crate::flow::{self, Flows};
use crate::job::{Job, describe, optimizer};
use crate::metrics::Confusion;
use crate::net::Reads;
use crate::scores::{Better, Measure, Row, Scores};
use crate::split::{Part, Split, random};
use crate::vocabulary::{self, BEGIN, END, Vocabulary};
use data::{Inputs, Table};

/// Data that is ready to be learned from.
#[derive(Clone, Debug)]
pub struct Classify {
    settings: Settings,
    identity: Identity,
    inputs: Inputs,
    split: Split,
    classes: Vocabulary,
    /// Where texts are read.
    vocabulary: Option<Vocabulary>,
    /// (steps, width) each, or an index a step.
    sequences: Vec<Vec<f32>>,
    labels: Vec<usize>,
}

impl Classify {
    /// Reads a file and splits it. Vocabulary, classes and scales are those of the training part, so that nothing of what
    /// is tested on is known before.
    ///
    /// # Errors
    /// Settings out of their range; a file that cannot be read, as the readers of [`Data`] say; too few rows for the
    /// shares; fewer than two classes in the training part; a label that stands in the other parts alone, with its line:
    /// no network can have learned it.
    pub fn prepare(path: &Path, mut settings: Settings) -> Result<Self> {
        settings.check()?;
        let named = |error: Error| match error.file() {
            Some(_) => error,
            None => error.in_file(path.display().to_string()),
        };
        let identity = settings.identity(path)?;
        let table = settings.data.read(path)?;
        if let Data::Long(options) = &mut settings.data {
            options.features = table.names.clone();
        }
        let split = random(table.labels.len(), settings.shares, settings.seed).map_err(named)?;
        let classes = classes_of(&table, &split).map_err(named)?;
        let labels = labels_of(&table, &split, &classes).map_err(named)?;
        let (vocabulary, sequences) = numbers_of(&table.inputs, &settings.data, &split).map_err(named)?;
        Ok(Self { settings, identity, inputs: table.inputs, split, classes, vocabulary, sequences, labels })
    }

    /// The settings, with the names of all features where the file has them.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What a checkpoint of this training belongs to.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The rows of each part, counted from 0 in the order of the file.
    pub fn split(&self) -> &Split {
        &self.split
    }

    /// The classes in the order of their numbers, commonest first.
    pub fn classes(&self) -> &[String] {
        self.classes.tokens()
    }

    /// The tokens of texts.
    pub fn vocabulary(&self) -> Option<&Vocabulary> {
        self.vocabulary.as_ref()
    }

    /// Features of a step.
    fn width(&self) -> usize {
        match &self.inputs {
            Inputs::Texts(_) => 1,
            Inputs::Numbers { width, .. } => *width,
        }
    }

    /// The network, drawn anew.
    ///
    /// # Errors
    /// Those of [`Model::new`].
    pub fn model(&self) -> Result<Model> {
        let Settings { net, readout, .. } = &self.settings;
        let reads = match (&self.vocabulary, &self.inputs) {
            (Some(vocabulary), _) => Reads::Tokens(vocabulary.len()),
            (None, _) => Reads::Numbers(self.width()),
        };
        let mut spec = net.spec(reads, (*readout).into(), self.classes.len());
        if let Inputs::Numbers { width, sequences } = &self.inputs {
            let (gain, offset) = scales(self.split.train.iter().map(|&row| &sequences[row][..]), *width);
            spec.layers.insert(0, LayerSpec::new("scale", LayerKind::scale(gain, offset)));
        }
        let mut model = Model::init(spec, &mut Rng::new(self.settings.seed))?;
        if self.vocabulary.is_some() {
            let factor = self.settings.embedding_std;
            let (shape, weight) = model.params().named("embedding.weight")?;
            let (shape, weight) = (shape.to_vec(), weight.iter().map(|w| factor * w).collect::<Vec<_>>());
            model.params_mut().set("embedding.weight", &shape, &weight)?;
        }
        describe(&mut model, &self.settings, self.vocabulary.as_ref(), Some(&self.classes))?;
        Ok(model)
    }

    /// A training that is ready to run. [`Fit::checkpoints`] and [`Fit::resume`] take [`identity`](Self::identity);
    /// `fit.into_learner().into_model()` has the weights of the best epoch.
    ///
    /// # Errors
    /// Those of [`model`](Self::model) and of [`Fit::new`].
    pub fn fit(&self, threads: Threads) -> Result<Fit<Examples>> {
        let Settings { fit, token_dropout, label_smoothing, optimizer: kind, weight_decay, .. } = &self.settings;
        let unknown = self.vocabulary.as_ref().and_then(Vocabulary::unknown);
        let examples = Examples {
            model: self.model()?,
            sequences: self.sequences.clone(),
            width: self.width(),
            labels: self.labels.iter().map(|&label| label as i64).collect(),
            dropout: unknown.filter(|_| *token_dropout > 0.0).map(|unknown| (*token_dropout, unknown as f32)),
            smoothing: *label_smoothing,
            workspace: Workspace::default(),
        };
        let (train, valid) = (self.split.train.clone(), self.split.valid.clone());
        let steps = optimizer(*kind, *weight_decay);
        Ok(Fit::with_optimizer(examples, fit.clone(), train, valid, &steps)?.threads(threads))
    }

    /// How often the model took each class for each, on a part of the data.
    ///
    /// # Errors
    /// A model that is not of these data, and a part without rows.
    pub fn confusion(&self, model: &Model, part: Part) -> Result<Confusion> {
        let rows = self.rows(part)?;
        self.check_model(model)?;
        let sequences = rows.iter().map(|&row| &self.sequences[row][..]);
        let answers: Vec<_> =
            predict::probabilities(model, sequences, self.width())?.iter().map(|p| likeliest(p)).collect();
        Confusion::new(self.classes.len(), &answers, &self.truth(rows))
    }

    /// How good a model is on a part of the data, and how good simple methods are that were fitted to the training part:
    /// accuracy, and accuracy were all classes equally common, in per cent. [`confusion`](Self::confusion) has which
    /// classes are mistaken.
    ///
    /// Beside it stand, of all data, the commonest class; of words and symbols logistic regression over them, over them and
    /// their pairs, and naive Bayes over these; of characters logistic regression over the last one, and over runs of one to
    /// four; of numbers logistic regression over each feature's mean, deviation, extremes, first and last value.
    ///
    /// # Errors
    /// As of [`confusion`](Self::confusion), and those of the methods.
    pub fn score(&self, model: &Model, part: Part) -> Result<Scores> {
        let mut rows = vec![row(self.settings.net.title(), true, &self.confusion(model, part)?)];
        let tested = self.rows(part)?;
        for (method, answers) in baselines::answers(self, tested)? {
            let confusion = Confusion::new(self.classes.len(), &answers, &self.truth(tested))?;
            rows.push(row(method, false, &confusion));
        }
        Ok(scores(format!("{part}, {} sequences", tested.len()), rows))
    }

    /// How far back in time the gradient of the loss reaches in this model, with respect to the h of each layer and direction,
    /// over at most 16 sequences of one length, out of the validation part where there is one. It enters where the read-out
    /// looks: with [`Pool::Last`] at the last step alone, else at every step, so that it need not reach far.
    ///
    /// # Errors
    /// A model that is not of these data.
    pub fn gradient_flow(&self, model: &Model) -> Result<Flows> {
        self.check_model(model)?;
        let part = if self.split.valid.is_empty() { Part::Train } else { Part::Valid };
        let rows = flow::of_one_length(self.split.part(part), |row| self.sequences[row].len());
        let sequences: Vec<&[f32]> = rows.iter().map(|&row| &self.sequences[row][..]).collect();
        let labels: Vec<i64> = rows.iter().map(|&row| self.labels[row] as i64).collect();
        let x = flow::batch(&sequences, self.width())?;
        let (loss, layers) = flow::through(model, &x, &mut CrossEntropy::new(&labels).at(Steps::Last))?;
        let enters = match self.settings.readout {
            Pool::Last => "at the last step",
            Pool::Mean => "at every step, as the read-out is their mean",
            Pool::Max => "at every step, as the read-out is their maximum",
        };
        let (count, steps) = (rows.len(), x.shape()[0]);
        let of = format!("of the loss of {count} sequences of {steps} steps of the {part}, by h; it enters {enters}");
        Ok(Flows { of, loss, layers })
    }

    fn check_model(&self, model: &Model) -> Result<()> {
        let expected = Reads::Tokens(self.vocabulary.as_ref().map_or(0, Vocabulary::len));
        let fits = match model.spec().layers.first().map(|layer| &layer.kind) {
            Some(LayerKind::Embedding { vocabulary, .. }) => expected == Reads::Tokens(*vocabulary),
            _ => self.vocabulary.is_none() && model.inputs() == self.width(),
        };
        match fits && model.outputs() == self.classes.len() {
            true => Ok(()),
            false => Err(Error::expected("model", "one of the tokens, features and classes of these data", "another")),
        }
    }

    fn rows(&self, part: Part) -> Result<&[usize]> {
        match self.split.part(part) {
            [] => Err(Error::expected(&part.to_string(), "at least one sequence", "none: its share is 0")),
            rows => Ok(rows),
        }
    }

    fn truth(&self, rows: &[usize]) -> Vec<usize> {
        rows.iter().map(|&row| self.labels[row]).collect()
    }
}

/// What the answers of a method come to.
fn row(method: String, is_network: bool, confusion: &Confusion) -> Row {
    let values = [confusion.accuracy(), confusion.balanced_accuracy()];
    Row { method, is_network, values: values.map(|share| Some(100.0 * share)).to_vec() }
}

/// The table of such rows.
fn scores(part: String, rows: Vec<Row>) -> Scores {
    let measures = ["accuracy %", "balanced %"].map(|name| Measure::new(name, Better::More, 1)).to_vec();
    Scores { part, measures, rows }
}

/// The number of the largest, of equals the first.
fn likeliest(row: &[f64]) -> usize {
    (0..row.len()).fold(0, |best, class| if row[class] > row[best] { class } else { best })
}

/// The classes of the training part.
fn classes_of(table: &Table, split: &Split) -> Result<Vocabulary> {
    let options = vocabulary::Options { unknown: false, ..vocabulary::Options::default() };
    let classes = Vocabulary::build([split.train.iter().map(|&row| &table.labels[row])], &options)?;
    match classes.len() {
        1 => Err(Error::expected("labels", "at least two classes in the training part", listed(classes.tokens()))),
        _ => Ok(classes),
    }
}

/// The numbers of the labels.
fn labels_of(table: &Table, split: &Split, classes: &Vocabulary) -> Result<Vec<usize>> {
    let parts =
        [Part::Valid, Part::Test].into_iter().flat_map(|part| split.part(part).iter().map(move |row| (part, *row)));
    let unseen = parts.filter(|(_, row)| classes.index(&table.labels[*row]).is_none());
    if let Some((part, row)) = unseen.min_by_key(|(_, row)| *row) {
        let (label, known) = (quoted(&table.labels[row]), listed(classes.tokens()));
        let help = "give more rows of that class or none, or split by another seed";
        let message = format!(
            "label: expected a class that the training part has too, {known}, got {label} in the {part} alone; {help}"
        );
        return Err(Error::new(message).at_line(table.lines[row]));
    }
    classes.encode(&table.labels)
}

/// The tokens of the training part, where there are any, and all sequences as numbers.
fn numbers_of(inputs: &Inputs, data: &Data, split: &Split) -> Result<(Option<Vocabulary>, Vec<Vec<f32>>)> {
    match (inputs, data) {
        (Inputs::Texts(texts), Data::Text(options)) => {
            let TextData { min_count, max_size, bounds, unit } = *options;
            let all = vocabulary::Options { min_count, max_size, unknown: true, bounds };
            let vocabulary = Vocabulary::build(split.train.iter().map(|&row| unit.tokens(&texts[row])), &all)?;
            let sequences = texts.iter().map(|text| encode(text, options, &vocabulary)).collect::<Result<_>>()?;
            Ok((Some(vocabulary), sequences))
        }
        (Inputs::Numbers { sequences, .. }, _) => {
            Ok((None, sequences.iter().map(|row| row.iter().map(|&value| value as f32).collect()).collect()))
        }
        (Inputs::Texts(_), _) => Err(Error::new("texts: expected settings of texts, got those of numbers")),
    }
}

/// The indices of a text's tokens, as the model reads them.
fn encode(text: &str, options: &TextData, vocabulary: &Vocabulary) -> Result<Vec<f32>> {
    let mut tokens = options.unit.tokens(text);
    if options.bounds {
        tokens.insert(0, BEGIN.into());
        tokens.push(END.into());
    }
    Ok(vocabulary.encode(&tokens)?.into_iter().map(|index| index as f32).collect())
}

/// What brings each feature to a mean of 0 and a deviation of 1 over all steps; to 0 where it never changes.
fn scales<'s>(sequences: impl Iterator<Item = &'s [f64]> + Clone, width: usize) -> (Vec<f32>, Vec<f32>) {
    let each = |feature: usize| sequences.clone().flat_map(move |row| row.iter().skip(feature).step_by(width).copied());
    let of = |feature| {
        let count = each(feature).count() as f64;
        // Divided before they are added: a sum of the largest numbers is none.
        let mean = each(feature).map(|x| x / count).sum::<f64>();
        let deviation = each(feature).map(|x| (x - mean).powi(2) / count).sum::<f64>().sqrt();
        let gain = if deviation > 0.0 { 1.0 / deviation } else { 1.0 };
        // In 32 bits a gain may be too large or too small to be a number of use.
        let gain = (gain as f32).clamp(f32::MIN_POSITIVE, f32::MAX);
        (gain, (-mean * f64::from(gain)) as f32)
    };
    (0..width).map(of).unzip()
}
