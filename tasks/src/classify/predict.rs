//! A trained model in use.

use std::path::Path;

use elman::tensor::PackedSequence;
use elman::{LayerKind, Model, Threads, Workspace};

use super::data::{Data, check_range};
use super::{Settings, encode};
use crate::error::{Error, Result};
use crate::job::{CLASSES_KEY, VOCABULARY_KEY, settings_of, tokens_of};
use crate::long;
use crate::vocabulary::Vocabulary;

/// Sequences that are run at once: enough for a full use of the kernels, few enough to stay in a cache.
const TOGETHER: usize = 64;

/// Every class and its probability, the likeliest first.
pub type Ranked = Vec<(String, f64)>;

/// What tells classes of sequences, out of a model's file alone.
#[derive(Clone, Debug)]
pub struct Classifier {
    model: Model,
    settings: Settings,
    classes: Vocabulary,
    /// Where texts are read.
    vocabulary: Option<Vocabulary>,
}

impl Classifier {
    /// Opens a model that this task trained and [`Model::save`] wrote.
    ///
    /// # Errors
    /// A file that is no model, and those of [`new`](Self::new); each names the file.
    pub fn open(path: &Path) -> Result<Self> {
        let named = |error: Error| error.in_file(path.display().to_string());
        // The library's error names the file itself.
        let model = Model::open(path)?;
        Self::new(model).map_err(named)
    }

    /// A model that this task trained.
    ///
    /// # Errors
    /// A model of another task or of none, and metadata that contradicts the model.
    pub fn new(model: Model) -> Result<Self> {
        let settings: Settings = settings_of(&model)?;
        let classes = tokens_of(&model, CLASSES_KEY)?;
        let contradicts = |name: &str, expected: usize, got: usize| {
            let expected = format!("{expected}, as the model has");
            Err(Error::expected(&format!("number of {name} in the metadata"), expected, got))
        };
        if classes.len() != model.outputs() {
            return contradicts("classes", model.outputs(), classes.len());
        }
        let known = match model.spec().layers.first().map(|layer| &layer.kind) {
            Some(LayerKind::Embedding { vocabulary, .. }) => Some(*vocabulary),
            _ => None,
        };
        let vocabulary = match (&settings.data, known) {
            (Data::Text(_), Some(known)) => {
                let vocabulary = tokens_of(&model, VOCABULARY_KEY)?;
                if vocabulary.len() != known {
                    return contradicts("tokens", known, vocabulary.len());
                }
                Some(vocabulary)
            }
            (Data::Text(_), None) => return Err(Error::new("model: expected an embedding first, got none")),
            (_, Some(_)) => {
                return Err(Error::new("model: expected one that reads numbers, got one with an embedding"));
            }
            (_, None) => None,
        };
        Ok(Self { model, settings, classes, vocabulary })
    }

    /// The settings that the model was trained by.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The classes in the order of their numbers.
    pub fn classes(&self) -> &[String] {
        self.classes.tokens()
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Whether it reads texts, and not numbers.
    pub fn reads_texts(&self) -> bool {
        self.vocabulary.is_some()
    }

    pub(super) fn vocabulary(&self) -> Option<&Vocabulary> {
        self.vocabulary.as_ref()
    }

    /// Every class of a text and its probability, the likeliest first.
    ///
    /// # Errors
    /// A text without a token, and a model that reads numbers.
    pub fn predict(&self, text: &str) -> Result<Ranked> {
        Ok(self.predict_all(&[text])?.remove(0))
    }

    /// The same of several texts, which takes less time.
    ///
    /// # Errors
    /// As of [`predict`](Self::predict), which text it is told by its number from 1.
    pub fn predict_all<S: AsRef<str>>(&self, texts: &[S]) -> Result<Vec<Ranked>> {
        let (Data::Text(options), Some(vocabulary)) = (&self.settings.data, &self.vocabulary) else {
            return Err(Error::new("model: expected one that reads texts, got one that reads numbers"));
        };
        let mut sequences = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            let sequence = encode(text.as_ref(), options, vocabulary)?;
            if sequence.is_empty() {
                return Err(Error::expected(&format!("text {}", index + 1), "at least one token", "none"));
            }
            sequences.push(sequence);
        }
        self.ranked(&sequences, 1)
    }

    /// Every class of a sequence of numbers, (steps, features) row-major, and its probability, the likeliest first.
    ///
    /// # Errors
    /// No step, no whole number of steps, a number that is not finite or too large for 32 bits, and a model that reads texts.
    pub fn predict_numbers(&self, values: &[f64]) -> Result<Ranked> {
        if self.reads_texts() {
            return Err(Error::new("model: expected one that reads numbers, got one that reads texts"));
        }
        let width = self.model.inputs();
        if values.is_empty() || !values.len().is_multiple_of(width) {
            let got = format!("{} numbers", values.len());
            return Err(Error::expected("sequence", format_args!("steps of {width} numbers, at least one"), got));
        }
        check_range(values)?;
        Ok(self.ranked(&[values.iter().map(|&value| value as f32).collect()], width)?.remove(0))
    }

    /// The same of all sequences in the contents of a CSV file in long form, which errors call `name`; before each its id. It
    /// needs no labels: that column may be missing, and is not looked at.
    ///
    /// # Errors
    /// As of [`long::unlabelled`], a number that is too large for 32 bits, with its line, and a model that reads another form.
    pub fn predict_long(&self, name: &str, contents: Vec<u8>) -> Result<Vec<(String, Ranked)>> {
        let Data::Long(data) = &self.settings.data else {
            return Err(Error::new("model: expected one of sequences in long form, got one of another form"));
        };
        let read = long::unlabelled(name, contents, &data.options()?)?;
        let (expected, got) = (self.model.inputs(), read.names.len());
        if expected != got {
            return Err(Error::expected("features", format_args!("{expected}, as the model reads"), got).in_file(name));
        }
        let (mut ids, mut sequences) = (Vec::new(), Vec::new());
        for one in read.sequences {
            check_range(&one.values).map_err(|error| error.in_file(name).at_line(one.line))?;
            sequences.push(one.values.iter().map(|&value| value as f32).collect());
            ids.push(one.id);
        }
        Ok(ids.into_iter().zip(self.ranked(&sequences, expected)?).collect())
    }

    fn ranked(&self, sequences: &[Vec<f32>], width: usize) -> Result<Vec<Ranked>> {
        let rank = |row: Vec<f64>| {
            let mut row: Vec<_> = self.classes.tokens().iter().cloned().zip(row).collect();
            // Stable: of equals the first class stays first.
            row.sort_by(|(_, a), (_, b)| b.total_cmp(a));
            row
        };
        Ok(probabilities(&self.model, sequences.iter().map(Vec::as_slice), width)?.into_iter().map(rank).collect())
    }
}

/// Of each sequence the probabilities of all classes.
pub(super) fn probabilities<'s>(
    model: &Model,
    sequences: impl Iterator<Item = &'s [f32]>,
    width: usize,
) -> Result<Vec<Vec<f64>>> {
    let sequences: Vec<_> = sequences.collect();
    let mut workspace = Workspace::default();
    let mut all = Vec::with_capacity(sequences.len());
    for some in sequences.chunks(TOGETHER) {
        let x = PackedSequence::from_rows(some, width)?;
        let output = model.run_with(&x, None, &mut workspace, Threads::one())?;
        let step = output.values().step(0);
        all.extend((0..some.len()).map(|row| softmax(step.row(row))));
    }
    Ok(all)
}

/// e to each number over their sum.
pub(crate) fn softmax(logits: &[f32]) -> Vec<f64> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = logits.iter().map(|&x| (f64::from(x) - f64::from(most)).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|x| x / sum).collect()
}
