//! A trained model on a file that it was not trained by.

use std::path::Path;

use super::tokens::{Example, UNKNOWN_INDEX};
use super::{Generator, bits, row, scores};
use crate::error::{Error, Result};
use crate::scores::{Tested, counted, passed_by};
use crate::text;

impl Generator {
    /// How many bits the model needs for a character of the texts of a file, given their labels; ends are counted as characters.
    /// A character that the training had not is one `<unk>`, and counted in the notes.
    ///
    /// Beside it stands what needs no training: all characters of the model alike, and each as often as it stands in the
    /// file itself, which is the least that is to be had without a look at what stands before. The runs of characters that
    /// [`Generate::score`] has are counted in the training part, which a model's file has not.
    ///
    /// [`Generate::score`]: super::Generate::score
    ///
    /// # Errors
    /// A file that cannot be read, as [`text::labelled`] says; a label that the model does not know, with its line.
    pub fn score(&self, path: &Path) -> Result<Tested> {
        let lines = text::labelled(path)?;
        let tokens = self.tokens();
        let read = |pair: &text::Pair| {
            let named = |error: Error| error.in_file(path.display().to_string()).at_line(pair.line);
            tokens.example(&pair.left, &pair.right).map_err(named)
        };
        let examples = lines.rows.iter().map(read).collect::<Result<Vec<_>>>()?;
        let mut counts = vec![0_usize; tokens.outputs()];
        examples.iter().flat_map(Example::told).for_each(|index| counts[index] += 1);
        let all: usize = counts.iter().sum();
        let shares = counts.iter().filter(|&&count| count > 0).map(|&count| count as f64 / all as f64);
        let entropy: f64 = shares.map(|share| -share * share.log2()).sum();
        let network = bits(self.model(), examples, self.settings().fit.batch)?;
        let rows = vec![
            row(self.settings().net.title(), true, network),
            row("as often as in these texts".into(), false, entropy),
            row("all characters alike".into(), false, (tokens.outputs() as f64).log2()),
        ];
        let mut notes = Vec::new();
        if lines.blank > 0 {
            notes.push(passed_by(lines.blank));
        }
        if counts[UNKNOWN_INDEX] > 0 {
            let unknown = counted(counts[UNKNOWN_INDEX], "character");
            notes.push(format!("{unknown} without a number of their own, taken for <unk>"));
        }
        Ok(Tested { scores: vec![scores(format!("{} texts", lines.rows.len()), rows)], notes })
    }
}
