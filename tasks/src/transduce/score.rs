//! How good answers are, of a part of the data and of a file that a model was not trained by.

use std::collections::HashMap;
use std::path::Path;

use super::network::Networks;
use super::{Attention, Settings, Tokens, Transducer, predict};
use crate::error::{Error, Result};
use crate::metrics::{ErrorRates, error_rates};
use crate::scores::{Better, Measure, Row, Scores, Tested, counted, passed_by};
use crate::text::{self, Pair};

/// Different sources, each by its first row, and of each all its targets.
pub(super) struct Asked<'t> {
    pub(super) rows: Vec<usize>,
    targets: Vec<Vec<&'t [String]>>,
}

impl<'t> Asked<'t> {
    /// Those of some rows, whose tokens are `pairs`.
    pub(super) fn of(
        rows: &[Pair],
        pairs: &'t [(Vec<String>, Vec<String>)],
        some: impl Iterator<Item = usize>,
    ) -> Self {
        let (mut asked, mut places) = (Self { rows: Vec::new(), targets: Vec::new() }, HashMap::new());
        for row in some {
            let place = *places.entry(&rows[row].left[..]).or_insert(asked.rows.len());
            if place == asked.rows.len() {
                asked.rows.push(row);
                asked.targets.push(Vec::new());
            }
            asked.targets[place].push(&pairs[row].1[..]);
        }
        asked
    }

    /// The targets' tokens, source by source.
    pub(super) fn truths(&self) -> Vec<Vec<Vec<String>>> {
        self.targets.iter().map(|all| all.iter().map(|truth| truth.to_vec()).collect()).collect()
    }
}

/// What finds targets.
pub(super) struct Search<'a> {
    pub(super) networks: &'a Networks,
    pub(super) settings: &'a Settings,
    pub(super) tokens: &'a Tokens,
}

impl Search<'_> {
    /// The tokens of the best target of each source.
    pub(super) fn answers(&self, sources: &[&[f32]], beam: usize) -> Result<Vec<Vec<String>>> {
        let all = predict::search(self.networks, self.settings, self.tokens, sources, beam)?;
        let best = |found: Vec<super::beam::Found>| {
            let tokens = found.first().map_or(&[][..], |found| &found.tokens);
            Ok(self.tokens.targets.decode(tokens)?.into_iter().map(String::from).collect())
        };
        all.into_iter().map(best).collect()
    }

    /// The network's rows: with a beam where it is wider than 1, and greedy.
    pub(super) fn rows(&self, sources: &[&[f32]], truths: &[Vec<Vec<String>>], beam: usize) -> Result<Vec<Row>> {
        let Settings { net, attention, .. } = self.settings;
        let attention = if *attention == Attention::Dot { ", attention" } else { "" };
        let title = format!("{}{attention}", net.title());
        let mut rows = Vec::new();
        if beam != 1 {
            rows.push(row(format!("{title}, beam {beam}"), true, &self.answers(sources, beam)?, truths)?);
        }
        rows.push(row(title, true, &self.answers(sources, 1)?, truths)?);
        Ok(rows)
    }
}

/// What the answers of a method come to.
pub(super) fn row(
    method: String,
    is_network: bool,
    answers: &[Vec<String>],
    truths: &[Vec<Vec<String>>],
) -> Result<Row> {
    let ErrorRates { sequences, tokens } = error_rates(answers, truths)?;
    Ok(Row { method, is_network, values: [sequences, tokens].map(|rate| Some(100.0 * rate)).to_vec() })
}

/// The table of such rows.
pub(super) fn scores(part: String, rows: Vec<Row>) -> Scores {
    let measures = ["sequences wrong %", "tokens wrong %"].map(|name| Measure::new(name, Better::Less, 1));
    Scores { part, measures: measures.to_vec(), rows }
}

impl Transducer {
    /// How good the model is on a file, lines of a source, a tab and a target, by a beam so wide and, where that is more than
    /// 1, greedily too: the share of different sources whose target is not right from end to end, and the tokens that are
    /// wrong, left out or too many over those of the targets, in per cent. Where a source has several targets the nearest
    /// counts. As in [`Transduce::score`] a token of a source that the training had not is read as `<unk>`; the notes count
    /// these, and the targets with a token that is never told.
    ///
    /// Nothing stands beside it: what [`Transduce::score`] has is fitted to the training part, which a model's file has not.
    ///
    /// [`Transduce::score`]: super::Transduce::score
    ///
    /// # Errors
    /// A file that cannot be read, as [`text::parallel`] says; a target with a token that is written as the begin or the end,
    /// with its line; a beam of 0 or above 1,000.
    pub fn score(&self, path: &Path, beam: usize) -> Result<Tested> {
        let (settings, tokens) = (self.settings(), self.tokens());
        let text::Lines { rows, blank } = text::parallel(path)?;
        let (source, target) = (settings.data.source, settings.data.target);
        let pairs: Vec<_> = rows.iter().map(|row| (source.tokens(&row.left), target.tokens(&row.right))).collect();
        for (row, (_, target)) in rows.iter().zip(&pairs) {
            let named = |error: Error| error.in_file(path.display().to_string()).at_line(row.line);
            tokens.target(target).map_err(named)?;
        }
        let asked = Asked::of(&rows, &pairs, 0..rows.len());
        let read = asked.rows.iter().map(|&row| tokens.source(&pairs[row].0)).collect::<Result<Vec<_>>>()?;
        let read: Vec<&[f32]> = read.iter().map(Vec::as_slice).collect();
        let search = Search { networks: self.networks(), settings, tokens };
        let rows = search.rows(&read, &asked.truths(), beam)?;
        let mut notes = Vec::new();
        if blank > 0 {
            notes.push(passed_by(blank));
        }
        let is_unknown = |row: &&usize| pairs[**row].0.iter().any(|token| tokens.sources.index(token).is_none());
        let unknown = asked.rows.iter().filter(is_unknown).count();
        if unknown > 0 {
            notes.push(format!(
                "{} with tokens without a number of their own, read as <unk>",
                counted(unknown, "source")
            ));
        }
        let is_never = |pair: &&(_, Vec<String>)| pair.1.iter().any(|token| tokens.targets.index(token).is_none());
        let never = pairs.iter().filter(is_never).count();
        if never > 0 {
            notes.push(format!("{} with tokens that the model never tells", counted(never, "target")));
        }
        Ok(Tested { scores: vec![scores(format!("{} sources", asked.rows.len()), rows)], notes })
    }
}
