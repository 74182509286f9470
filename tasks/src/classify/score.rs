//! A trained model on a file that it was not trained by.

use std::path::Path;

use super::data::{Data, Inputs, Table};
use super::{Classifier, encode, likeliest, predict, row, scores};
use crate::error::{Error, Result, listed, quoted};
use crate::metrics::Confusion;
use crate::scores::{Tested, counted, grouped, passed_by};

impl Classifier {
    /// How good the model is on a file of the form that it was trained on: accuracy, and accuracy were all classes equally
    /// common, in per cent. A token that the training had not is read as `<unk>`, and counted in the notes.
    ///
    /// Beside it stands the one answer that is the commonest class of the file itself. What [`Classify::score`] has besides
    /// is fitted to the training part, which a model's file has not.
    ///
    /// [`Classify::score`]: super::Classify::score
    ///
    /// # Errors
    /// A file that cannot be read, as the readers of [`Data`] say; a label that is none of the model's classes, with its line.
    pub fn score(&self, path: &Path) -> Result<Tested> {
        let named = |error: Error| error.in_file(path.display().to_string());
        let table = self.settings().data.read(path)?;
        let truth = self.truth(&table).map_err(named)?;
        let (width, sequences) = self.sequences(&table).map_err(named)?;
        let all = predict::probabilities(self.model(), sequences.iter().map(Vec::as_slice), width)?;
        let answers: Vec<usize> = all.iter().map(|row| likeliest(row)).collect();
        let classes = self.classes().len();
        let mut counts = vec![0.0; classes];
        truth.iter().for_each(|&class| counts[class] += 1.0);
        let commonest = vec![likeliest(&counts); truth.len()];
        let rows = vec![
            row(self.settings().net.title(), true, &Confusion::new(classes, &answers, &truth)?),
            row("commonest class of these".into(), false, &Confusion::new(classes, &commonest, &truth)?),
        ];
        let mut notes = Vec::new();
        if table.blank > 0 {
            notes.push(passed_by(table.blank));
        }
        notes.extend(self.unknown(&sequences));
        Ok(Tested { scores: vec![scores(format!("{} sequences", truth.len()), rows)], notes })
    }

    /// The numbers of the labels.
    fn truth(&self, table: &Table) -> Result<Vec<usize>> {
        let of = |(label, &line): (&String, &usize)| {
            self.classes().iter().position(|class| class == label).ok_or_else(|| {
                let expected = format!("one of the model's classes, {}", listed(self.classes()));
                Error::expected("label", expected, quoted(label)).at_line(line)
            })
        };
        table.labels.iter().zip(&table.lines).map(of).collect()
    }

    /// The numbers of a step, and the sequences as the model reads them.
    fn sequences(&self, table: &Table) -> Result<(usize, Vec<Vec<f32>>)> {
        match (&table.inputs, &self.settings().data, self.vocabulary()) {
            (Inputs::Texts(texts), Data::Text(options), Some(vocabulary)) => {
                let read = |(text, &line): (&String, &usize)| match encode(text, options, vocabulary)? {
                    none if none.is_empty() => Err(Error::expected("text", "at least one token", "none").at_line(line)),
                    some => Ok(some),
                };
                Ok((1, texts.iter().zip(&table.lines).map(read).collect::<Result<_>>()?))
            }
            (Inputs::Numbers { width, sequences }, ..) if *width == self.model().inputs() => {
                Ok((*width, sequences.iter().map(|row| row.iter().map(|&x| x as f32).collect()).collect()))
            }
            _ => Err(Error::expected("model", "one that reads what its settings say", "another")),
        }
    }

    /// The sentence about tokens without a number of their own.
    fn unknown(&self, sequences: &[Vec<f32>]) -> Option<String> {
        let unknown = self.vocabulary()?.unknown()? as f32;
        let count = sequences.iter().flatten().filter(|&&token| token == unknown).count();
        let all: usize = sequences.iter().map(Vec::len).sum();
        let told = || format!("{} of {} without a number of their own", counted(count, "token"), grouped(all));
        (count > 0).then(|| told() + ", read as <unk>")
    }
}
