//! Which file it is, and what is read of it.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::vocabulary::Unit;
use crate::{long, text};

/// What the file holds.
///
/// Numbers are of 32 bits in the network, some seven digits: of a feature that changes by less than a millionth of its size,
/// such as a time in seconds since 1970, subtract what is common first.
///
/// As TOML: `[data]`, `format = "text"` (or `long`, or `lines`), and the options of that format.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "format", rename_all = "lowercase")]
pub enum Data {
    /// A label, a tab and a text a line ([`text::labelled`]).
    Text(TextData),
    /// Sequences of numbers as CSV in long form, a row a step ([`mod@long`]).
    Long(LongData),
    /// A label and the numbers of one series on each line ([`text::labelled_numbers`]): one feature a step.
    Lines(LinesData),
}

impl Default for Data {
    fn default() -> Self {
        Self::Text(TextData::default())
    }
}

/// How texts become numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TextData {
    /// What the tokens are. Words by default.
    pub unit: Unit,
    /// How often a token must occur in the training part to have a number of its own; all others are `<unk>`. 1 by
    /// default.
    pub min_count: usize,
    /// How many tokens may have a number, `<unk>` among them. Without limit by default.
    pub max_size: Option<usize>,
    /// Whether a token stands before and after each text, so that a network sees where it begins and ends. Not by default.
    pub bounds: bool,
}

impl Default for TextData {
    fn default() -> Self {
        Self { unit: Unit::Words, min_count: 1, max_size: None, bounds: false }
    }
}

/// Which columns of the long form are what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LongData {
    /// The column that names the sequence. `id` by default.
    pub id: String,
    /// The column of its label. `label` by default.
    pub label: String,
    /// The columns of numbers, in this order; all others by default. A trained model's settings name those that it was
    /// trained on, in the order in which it takes them.
    pub features: Option<Vec<String>>,
    /// What stands between fields, an ASCII character. A comma by default.
    pub delimiter: char,
}

impl Default for LongData {
    fn default() -> Self {
        Self { id: "id".into(), label: "label".into(), features: None, delimiter: ',' }
    }
}

impl LongData {
    /// What the reader takes.
    ///
    /// # Errors
    /// A delimiter that is no ASCII character.
    pub(super) fn options(&self) -> Result<long::Options> {
        let Self { id, label, features, delimiter } = self;
        let delimiter = u8::try_from(*delimiter)
            .ok()
            .filter(u8::is_ascii)
            .ok_or_else(|| Error::expected("delimiter", "an ASCII character", format_args!("'{delimiter}'")))?;
        Ok(long::Options { features: features.clone(), delimiter, ..long::Options::new(id, label) })
    }
}

/// The lines of a label and numbers have no options.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LinesData {}

/// The sequences of a file.
#[derive(Clone, Debug)]
pub(super) enum Inputs {
    Texts(Vec<String>),
    /// (steps, width) each, row-major.
    Numbers {
        width: usize,
        sequences: Vec<Vec<f64>>,
    },
}

/// A file: sequences, and of each the label and the line.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) inputs: Inputs,
    pub(super) labels: Vec<String>,
    pub(super) lines: Vec<usize>,
    /// The features' names, where they have some.
    pub(super) names: Option<Vec<String>>,
    /// Blank lines that were passed by.
    pub(super) blank: usize,
}

impl Data {
    /// # Errors
    /// Those of the readers, and a number that is too large for 32 bits, with its line.
    pub(super) fn read(&self, path: &Path) -> Result<Table> {
        let (mut labels, mut lines, mut features_read) = (Vec::new(), Vec::new(), None);
        let passed;
        let inputs = match self {
            Self::Text(_) => {
                let mut texts = Vec::new();
                let read = text::labelled(path)?;
                passed = read.blank;
                for pair in read.rows {
                    labels.push(pair.left);
                    lines.push(pair.line);
                    texts.push(pair.right);
                }
                Inputs::Texts(texts)
            }
            Self::Long(data) => {
                let options = data.options()?;
                let long::Sequences { names, sequences: rows, blank, .. } = long::read(path, &options)?;
                passed = blank;
                let mut sequences = Vec::new();
                for row in rows {
                    labels.push(row.label);
                    lines.push(row.line);
                    sequences.push(row.values);
                }
                let width = names.len();
                features_read = Some(names);
                Inputs::Numbers { width, sequences }
            }
            Self::Lines(_) => {
                let mut sequences = Vec::new();
                let read = text::labelled_numbers(path)?;
                passed = read.blank;
                for row in read.rows {
                    labels.push(row.label);
                    lines.push(row.line);
                    sequences.push(row.values);
                }
                Inputs::Numbers { width: 1, sequences }
            }
        };
        if let Inputs::Numbers { sequences, .. } = &inputs {
            for (values, &line) in sequences.iter().zip(&lines) {
                check_range(values).map_err(|error| error.in_file(path.display().to_string()).at_line(line))?;
            }
        }
        Ok(Table { inputs, labels, lines, names: features_read, blank: passed })
    }
}

/// That a network's numbers, of 32 bits, can hold these.
pub(super) fn check_range(values: &[f64]) -> Result<()> {
    match values.iter().find(|value| value.is_nan() || value.abs() > f64::from(f32::MAX)) {
        Some(value) => Err(Error::new(format!("expected numbers of at most {:e}, got {value:e}", f32::MAX))),
        None => Ok(()),
    }
}
