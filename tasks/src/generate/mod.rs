//! A text of a label: a sequence out of a vector.
//!
//! A model of language over characters that knows the label, and is reminded of it at every step: what it reads is a one
//! for the label and a one for the character before, as PyTorch's tutorial on generating names has it, and what it tells
//! is the next character, at last the end, `</s>`. At the first step there is no character before. In PyTorch that is
//! `nn.Linear(outputs + labels, width, bias=False)` over the two one-hot vectors side by side, which adds a vector of the
//! character and one of the label (two `nn.Embedding`s in one matrix), a recurrent network, and
//! `nn.Linear(hidden, outputs)`. A label that is read once, as the first token, is forgotten where files are small: trained
//! on 480 names, a network of that kind found 32 of 60 others likelier with their own sex than with the other, this one 40.
//!
//! ```
//! use elman::Threads;
//! use elman_tasks::generate::{Generate, Generator, Settings};
//! use elman_tasks::job::Job;
//!
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("animals.tsv");
//! # let lines: Vec<_> = (0..60).map(|n| ["cow\tmoo", "cat\tmew"][n % 2]).collect();
//! # std::fs::write(&path, lines.join("\n")).unwrap();
//! // Lines such as: cow, a tab, moo
//! let settings = Settings::from_toml("[net]\nhidden = 16\nembedding = 8\n[fit]\nepochs = 20\nlr = 0.02")?;
//! let mut fit = Generate::prepare(&path, settings)?.fit(Threads::one())?;
//! fit.run(&mut |_progress| true)?;
//!
//! let mut generator = Generator::new(fit.into_learner().into_model())?; // or, of a model that was saved, `open`
//! assert_eq!(generator.sample("cow", 0.5, 1)?, "moo");
//! # Ok::<(), elman_tasks::Error>(())
//! ```

mod examples;
mod sample;
mod score;
mod settings;
mod tokens;

use std::collections::HashMap;
use std::f64::consts::LN_2;
use std::path::Path;

use elman::loss::{CrossEntropy, Steps};
use elman::train::{Fit, Identity, Learner, Score};
use elman::{LayerKind, LayerSpec, Model, Readout, Rng, Threads, Workspace};

pub use examples::Examples;
pub use sample::Generator;
pub use settings::Settings;

use crate::baselines::generate::CharacterModel;
use crate::error::{Error, Result, listed, quoted};
use crate::flow::{self, Flows};
use crate::job::{Job, OptimizerKind, describe, optimizer};
use crate::net::Reads;
use crate::scores::{Better, Measure, Row, Scores};
use crate::split::{Part, Split, random};
use crate::text::{self, Pair};
use tokens::{END_INDEX, Example, Tokens};

/// The runs of characters that the model beside the network counts; more hardly tell more in files of some thousand lines.
const RUN: usize = 4;

/// Data that is ready to be learned from.
#[derive(Clone, Debug)]
pub struct Generate {
    settings: Settings,
    identity: Identity,
    rows: Vec<Pair>,
    split: Split,
    tokens: Tokens,
    examples: Vec<Example>,
}

impl Generate {
    /// Reads lines of a label, a tab and a text, and splits them. Labels and characters are those of the training part.
    ///
    /// # Errors
    /// Settings out of their range; a file that cannot be read, as [`text::labelled`] says; too few lines for the shares; a
    /// label that stands in validation or test alone, with its line.
    pub fn prepare(path: &Path, settings: Settings) -> Result<Self> {
        settings.check()?;
        let named = |error: Error| error.in_file(path.display().to_string());
        let identity = settings.identity(path)?;
        let rows = text::labelled(path)?.rows;
        let split = random(rows.len(), settings.shares, settings.seed).map_err(named)?;
        let of = |f: fn(&Pair) -> &str| split.train.iter().map(|&row| f(&rows[row])).collect::<Vec<_>>();
        let tokens = Tokens::build(&of(|row| &row.right), &of(|row| &row.left), settings.min_count).map_err(named)?;
        let mut examples = Vec::new();
        for row in &rows {
            let example = tokens.example(&row.left, &row.right).map_err(|_| {
                let (label, known) = (quoted(&row.left), listed(tokens.labels.tokens()));
                let help = "give more rows of that label or none, or split by another seed";
                let expected = format!("expected one that the training part has too, {known}");
                named(Error::new(format!("label: {expected}, got {label} in the other parts alone; {help}")))
                    .at_line(row.line)
            })?;
            examples.push(example);
        }
        Ok(Self { settings, identity, rows, split, tokens, examples })
    }

    /// The settings.
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

    /// The labels in the order of their numbers, commonest first.
    pub fn labels(&self) -> &[String] {
        self.tokens.labels.tokens()
    }

    /// Labels and texts of a part of the data.
    pub fn texts(&self, part: Part) -> impl Iterator<Item = (&str, &str)> {
        self.split.part(part).iter().map(|&row| (&self.rows[row].left[..], &self.rows[row].right[..]))
    }

    /// The network, drawn anew.
    ///
    /// # Errors
    /// Those of [`Model::new`].
    pub fn model(&self) -> Result<Model> {
        let Settings { net, seed, .. } = &self.settings;
        let mut spec = net.spec(Reads::Numbers(net.embedding), Readout::EveryStep, self.tokens.outputs());
        spec.inputs = self.tokens.inputs();
        spec.layers.insert(0, LayerSpec::new("embedding", LayerKind::linear_without_bias(net.embedding)));
        let mut rng = Rng::new(*seed);
        let mut model = Model::init(spec, &mut rng)?;
        // Vectors of tokens, which PyTorch draws from N(0, 1), and not a layer over all inputs at once.
        let shape = [net.embedding, self.tokens.inputs()];
        let vectors: Vec<f32> = (0..shape[0] * shape[1]).map(|_| rng.normal(0.0, 1.0)).collect();
        model.params_mut().set("embedding.weight", &shape, &vectors)?;
        describe(&mut model, &self.settings, Some(&self.tokens.characters), Some(&self.tokens.labels))?;
        Ok(model)
    }

    fn learner(&self, model: Model) -> Examples {
        Examples { model, examples: self.examples.clone(), workspace: Workspace::default() }
    }

    /// A training that is ready to run. [`Fit::checkpoints`] and [`Fit::resume`] take [`identity`](Self::identity);
    /// `fit.into_learner().into_model()` has the weights of the best epoch.
    ///
    /// # Errors
    /// Those of [`model`](Self::model) and of [`Fit::new`].
    pub fn fit(&self, threads: Threads) -> Result<Fit<Examples>> {
        let Settings { fit, weight_decay, .. } = &self.settings;
        let (learner, split) = (self.learner(self.model()?), &self.split);
        let fit = Fit::with_optimizer(
            learner,
            fit.clone(),
            split.train.clone(),
            split.valid.clone(),
            &optimizer(OptimizerKind::Adam, *weight_decay),
        )?;
        Ok(fit.threads(threads))
    }

    /// How many bits a model needs for a character of a part of the data, ends counted as characters. One that the training
    /// did not have counts as `<unk>`.
    ///
    /// # Errors
    /// A model that is not of these data, and a part without rows.
    pub fn bits(&self, model: &Model, part: Part) -> Result<f64> {
        sample::check(model, &self.tokens)?;
        let examples = self.rows(part)?.iter().map(|&row| self.examples[row].clone()).collect();
        bits(model, examples, self.settings.fit.batch)
    }

    /// The bits per character of a model on a part of the data, beside those of models that count runs of up to 4 characters
    /// in the training part: one for all texts, and one for each label.
    ///
    /// # Errors
    /// As of [`bits`](Self::bits).
    pub fn score(&self, model: &Model, part: Part) -> Result<Scores> {
        let texts: Vec<_> = self.texts(part).collect();
        let mut rows = vec![row(self.settings.net.title(), true, self.bits(model, part)?)];
        let alone: Vec<_> = texts.iter().map(|(_, text)| *text).collect();
        let one = self.runs(|_| true)?;
        rows.push(row(format!("runs of {RUN}"), false, -one.per_character(&alone)? / LN_2));
        let each = self.labels().iter().map(|label| Ok((&label[..], self.runs(|other| other == label)?)));
        let each = each.collect::<Result<HashMap<_, _>>>()?;
        let characters: usize = alone.iter().map(|text| text.chars().count() + 1).sum();
        let sum: f64 = texts.iter().map(|(label, text)| each[label].log_likelihood(text)).sum();
        rows.push(row(format!("runs of {RUN}, by label"), false, -sum / characters as f64 / LN_2));
        Ok(scores(format!("{part}, {} texts", texts.len()), rows))
    }

    /// How far back in time the gradient reaches in this model, with respect to the h of each layer, over at most 16 texts of
    /// one length, out of the validation part where there is one. It is that of the end's loss alone, which enters at the last
    /// step: the loss of the characters before it enters at every step, and says nothing of how far one reaches.
    ///
    /// # Errors
    /// A model that is not of these data.
    pub fn gradient_flow(&self, model: &Model) -> Result<Flows> {
        sample::check(model, &self.tokens)?;
        let part = if self.split.valid.is_empty() { Part::Train } else { Part::Valid };
        let rows = flow::of_one_length(self.split.part(part), |row| self.examples[row].steps());
        let inputs = self.tokens.inputs();
        let read: Vec<Vec<f32>> = rows.iter().map(|&row| self.examples[row].read(inputs)).collect();
        let x = flow::batch(&read.iter().map(Vec::as_slice).collect::<Vec<_>>(), inputs)?;
        let ends = vec![END_INDEX as i64; rows.len()];
        let (loss, layers) = flow::through(model, &x, &mut CrossEntropy::new(&ends).at(Steps::Last))?;
        let (count, steps) = (rows.len(), x.shape()[0]);
        let of = format!(
            "of the loss of the end of {count} texts of {steps} steps of the {part}, by h; it enters at the last"
        );
        Ok(Flows { of, loss, layers })
    }

    /// The model of runs of characters in the texts of training whose label is wanted.
    fn runs(&self, wanted: impl Fn(&str) -> bool) -> Result<CharacterModel> {
        let texts = self.texts(Part::Train).filter(|(label, _)| wanted(label));
        CharacterModel::fit(&texts.map(|(_, text)| text).collect::<Vec<_>>(), RUN)
    }

    fn rows(&self, part: Part) -> Result<&[usize]> {
        match self.split.part(part) {
            [] => Err(Error::expected(&part.to_string(), "at least one text", "none: its share is 0")),
            rows => Ok(rows),
        }
    }
}

/// How many bits a model needs for a character of these texts, ends counted as characters.
fn bits(model: &Model, examples: Vec<Example>, batch: usize) -> Result<f64> {
    let rows: Vec<usize> = (0..examples.len()).collect();
    let mut learner = Examples { model: model.clone(), examples, workspace: Workspace::default() };
    let mut score = Score::default();
    for some in rows.chunks(batch.max(1)) {
        score += learner.evaluate(some, Threads::one())?;
    }
    Ok(score.loss() / LN_2)
}

/// What a method needs for a character.
fn row(method: String, is_network: bool, bits: f64) -> Row {
    Row { method, is_network, values: vec![Some(bits)] }
}

/// The table of such rows.
fn scores(part: String, rows: Vec<Row>) -> Scores {
    Scores { part, measures: vec![Measure::new("bits a character", Better::Less, 3)], rows }
}
