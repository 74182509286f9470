//! The numbers of source and target tokens.

use crate::error::{Error, Result, listed, quoted};
use crate::vocabulary::{BEGIN, END, Options, Vocabulary};

/// What is read and what is told.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tokens {
    pub(super) sources: Vocabulary,
    pub(super) targets: Vocabulary,
    /// The numbers of [`BEGIN`] and [`END`] among the targets.
    pub(super) begin: usize,
    pub(super) end: usize,
}

impl Tokens {
    /// Those of pairs of training.
    pub(super) fn build<'p>(
        pairs: impl Iterator<Item = &'p (Vec<String>, Vec<String>)> + Clone,
        min_count: usize,
    ) -> Result<Self> {
        let named = |what: &str, error: Error| Error::new(format!("{what}: {}", error.message()));
        let options = Options { min_count, ..Options::default() };
        let sources = Vocabulary::build(pairs.clone().map(|(source, _)| source), &options)
            .map_err(|error| named("sources", error))?;
        let targets = Vocabulary::build(pairs.map(|(_, target)| target), &Options { bounds: true, ..options })
            .map_err(|error| named("targets", error))?;
        Self::new(sources, targets)
    }

    /// Those that a model's metadata has.
    pub(super) fn new(sources: Vocabulary, targets: Vocabulary) -> Result<Self> {
        let (Some(begin), Some(end)) = (targets.begin(), targets.end()) else {
            let first = listed(&targets.tokens()[..targets.len().min(3)]);
            return Err(Error::expected("target tokens", format_args!("{BEGIN} and {END} among them"), first));
        };
        Ok(Self { sources, targets, begin, end })
    }

    /// What no target has: `<s>` and `<unk>`.
    pub(super) fn never(&self) -> Vec<usize> {
        [Some(self.begin), self.targets.unknown()].into_iter().flatten().collect()
    }

    /// A source as the encoder reads it.
    pub(super) fn source(&self, tokens: &[String]) -> Result<Vec<f32>> {
        Ok(self.sources.encode(tokens)?.into_iter().map(|index| index as f32).collect())
    }

    /// A target between its begin and its end.
    pub(super) fn target(&self, tokens: &[String]) -> Result<Vec<f32>> {
        if let Some(token) = tokens.iter().find(|token| [BEGIN, END].contains(&token.as_str())) {
            return Err(Error::expected("target", format_args!("tokens other than {BEGIN} and {END}"), quoted(token)));
        }
        let inside = self.targets.encode(tokens)?;
        Ok([self.begin].into_iter().chain(inside).chain([self.end]).map(|index| index as f32).collect())
    }
}
