//! The numbers of labels and characters.

use crate::error::{Error, Result, listed, quoted};
use crate::vocabulary::{END, Options, UNKNOWN, Unit, Vocabulary};

/// `<unk>`, `</s>` and the characters; and the labels, whose numbers as inputs come behind those.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tokens {
    pub(super) characters: Vocabulary,
    pub(super) labels: Vocabulary,
}

/// The numbers of [`UNKNOWN`] and [`END`].
pub(super) const UNKNOWN_INDEX: usize = 0;
pub(super) const END_INDEX: usize = 1;

impl Tokens {
    /// Those of texts and labels of training.
    pub(super) fn build<S: AsRef<str>>(texts: &[S], labels: &[S], min_count: usize) -> Result<Self> {
        let options = Options { min_count, ..Options::default() };
        let known = Vocabulary::build(texts.iter().map(|text| Unit::Characters.tokens(text.as_ref())), &options)?;
        let special = [UNKNOWN, END].map(String::from);
        let characters = special.into_iter().chain(known.tokens()[1..].iter().cloned()).collect();
        let options = Options { unknown: false, ..Options::default() };
        let labels = Vocabulary::build([labels], &options)?;
        Ok(Self { characters: Vocabulary::from_tokens(characters)?, labels })
    }

    /// Those that a model's metadata has.
    pub(super) fn new(characters: Vocabulary, labels: Vocabulary) -> Result<Self> {
        if characters.index(UNKNOWN) != Some(UNKNOWN_INDEX) || characters.index(END) != Some(END_INDEX) {
            let expected = format!("{UNKNOWN} and {END} first");
            return Err(Error::expected(
                "vocabulary",
                expected,
                listed(&characters.tokens()[..characters.len().min(2)]),
            ));
        }
        Ok(Self { characters, labels })
    }

    /// What the network tells: characters and the end.
    pub(super) fn outputs(&self) -> usize {
        self.characters.len()
    }

    /// What the network reads: these and the labels.
    pub(super) fn inputs(&self) -> usize {
        self.characters.len() + self.labels.len()
    }

    /// The number that a label is read by.
    pub(super) fn label(&self, label: &str) -> Result<usize> {
        let index = self.labels.index(label).ok_or_else(|| {
            Error::expected("label", format_args!("one of {}", listed(self.labels.tokens())), quoted(label))
        })?;
        Ok(self.characters.len() + index)
    }

    /// The numbers of a text's characters.
    pub(super) fn characters(&self, text: &str) -> Result<Vec<usize>> {
        self.characters.encode(&Unit::Characters.tokens(text))
    }

    /// A label and a text: what is read, and what is to be told.
    pub(super) fn example(&self, label: &str, text: &str) -> Result<Example> {
        Ok(Example { label: self.label(label)?, characters: self.characters(text)? })
    }
}

/// A text and its label as numbers. At step 0 a network reads the label alone, at step t the label and character t - 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Example {
    pub(super) label: usize,
    pub(super) characters: Vec<usize>,
}

impl Example {
    /// How many there are.
    pub(super) fn steps(&self) -> usize {
        self.characters.len() + 1
    }

    /// What is told at each step: the next character, at last the end.
    pub(super) fn told(&self) -> impl Iterator<Item = usize> {
        self.characters.iter().copied().chain([END_INDEX])
    }

    /// What is read at each step, (steps, inputs): ones for the label and the character, zeros for all else.
    pub(super) fn read(&self, inputs: usize) -> Vec<f32> {
        let mut x = vec![0.0; self.steps() * inputs];
        for (step, row) in x.chunks_exact_mut(inputs).enumerate() {
            row[self.label] = 1.0;
            if let Some(before) = step.checked_sub(1) {
                row[self.characters[before]] = 1.0;
            }
        }
        x
    }
}
