//! A text of a label: a sequence out of a vector.
//!
//! A model of language over characters that knows the label: the label is the first token that the network reads, as
//! a begin-of-sequence token is in others, then come the characters, and at each step it tells the next one, at last the
//! end, `</s>`. In PyTorch that is `nn.Embedding(outputs + labels, width)`, a recurrent network and
//! `nn.Linear(hidden, outputs)`; label n is the index `outputs + n` of the embedding, and is never told. To the network
//! that is the same as a state h₀ for each label, one step later, and it needs neither an input nor a layer of its own.
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

mod sample;
mod settings;
mod tokens;

use std::collections::HashMap;
use std::f64::consts::LN_2;
use std::path::Path;

use elman::train::{Fit, Identity, Learner, Score, Supervised, Targets};
use elman::{Model, Readout, Rng, Threads};

pub use sample::Generator;
pub use settings::Settings;

use crate::baselines::generate::CharacterModel;
use crate::error::{Error, Result, listed, quoted};
use crate::job::{Job, describe, optimizer};
use crate::net::Reads;
use crate::scores::{Better, Measure, Row, Scores};
use crate::split::{Part, Split, random};
use crate::text::{self, Pair};
use tokens::Tokens;

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
    sequences: Vec<Vec<f32>>,
    targets: Vec<Vec<i64>>,
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
        let (mut sequences, mut targets) = (Vec::new(), Vec::new());
        for row in &rows {
            let (read, told) = tokens.example(&row.left, &row.right).map_err(|_| {
                let (label, known) = (quoted(&row.left), listed(tokens.labels.tokens()));
                let help = "give more rows of that label or none, or split by another seed";
                let expected = format!("expected one that the training part has too, {known}");
                named(Error::new(format!("label: {expected}, got {label} in the other parts alone; {help}")))
                    .at_line(row.line)
            })?;
            sequences.push(read);
            targets.push(told);
        }
        Ok(Self { settings, identity, rows, split, tokens, sequences, targets })
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
        let reads = Reads::Tokens(self.tokens.inputs());
        let spec = self.settings.net.spec(reads, Readout::EveryStep, self.tokens.outputs());
        let mut model = Model::init(spec, &mut Rng::new(self.settings.seed))?;
        describe(&mut model, &self.settings, Some(&self.tokens.characters), Some(&self.tokens.labels))?;
        Ok(model)
    }

    fn supervised(&self, model: Model) -> Result<Supervised> {
        Ok(Supervised::new(model, self.sequences.clone(), Targets::Classes(self.targets.clone()))?)
    }

    /// A training that is ready to run. [`Fit::checkpoints`] and [`Fit::resume`] take [`identity`](Self::identity);
    /// `fit.into_learner().into_model()` has the weights of the best epoch.
    ///
    /// # Errors
    /// Those of [`model`](Self::model) and of [`Fit::new`].
    pub fn fit(&self, threads: Threads) -> Result<Fit<Supervised>> {
        let Settings { fit, weight_decay, .. } = &self.settings;
        let (learner, split) = (self.supervised(self.model()?)?, &self.split);
        let fit = Fit::with_optimizer(
            learner,
            fit.clone(),
            split.train.clone(),
            split.valid.clone(),
            &optimizer(*weight_decay),
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
        let rows = self.rows(part)?;
        let mut learner = self.supervised(model.clone())?;
        let mut score = Score::default();
        for some in rows.chunks(self.settings.fit.batch) {
            score += learner.evaluate(some, Threads::one())?;
        }
        Ok(score.loss() / LN_2)
    }

    /// The bits per character of a model on a part of the data, beside those of models that count runs of up to 4 characters
    /// in the training part: one for all texts, and one for each label.
    ///
    /// # Errors
    /// As of [`bits`](Self::bits).
    pub fn score(&self, model: &Model, part: Part) -> Result<Scores> {
        let row = |method: String, is_network, bits| Row { method, is_network, values: vec![Some(bits)] };
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
        let measures = vec![Measure::new("bits a character", Better::Less, 3)];
        Ok(Scores { part: format!("{part}, {} texts", texts.len()), measures, rows })
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
