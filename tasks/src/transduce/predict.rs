//! A trained model in use.

use std::path::Path;

use elman::Model;

use super::beam::{Found, Search};
use super::network::{Memory, Networks};
use super::settings::{Attention, check_beam};
use super::{Settings, Tokens};
use crate::error::{Error, Result, quoted};
use crate::job::{TARGETS_KEY, VOCABULARY_KEY, settings_of, tokens_of};
use crate::vocabulary::Unit;

/// Beginnings of targets that are followed at once: enough for a full use of the kernels, few enough to stay in a cache.
const TOGETHER: usize = 128;

/// Where a decoder looked: [`Transducer::attention`].
#[derive(Clone, Debug, PartialEq)]
pub struct Attended {
    /// The tokens of the source, as it has them.
    pub source: Vec<String>,
    /// The tokens that were told, without the end.
    pub target: Vec<String>,
    /// For each of those, the weights of the source's tokens in their order: numbers from 0 to 1, 1 together.
    pub weights: Vec<Vec<f32>>,
}

/// What turns one sequence into another, out of a model's file alone.
#[derive(Clone, Debug)]
pub struct Transducer {
    model: Model,
    networks: Networks,
    settings: Settings,
    tokens: Tokens,
}

impl Transducer {
    /// Opens a model that this task trained and [`Model::save`] wrote.
    ///
    /// # Errors
    /// A file that is no model, and those of [`new`](Self::new); each names the file.
    pub fn open(path: &Path) -> Result<Self> {
        let model = Model::open(path)?;
        Self::new(model).map_err(|error| error.in_file(path.display().to_string()))
    }

    /// A model that this task trained.
    ///
    /// # Errors
    /// A model of another task or of none, and metadata that contradicts the model.
    pub fn new(model: Model) -> Result<Self> {
        let settings: Settings = settings_of(&model)?;
        settings.check()?;
        let tokens = Tokens::new(tokens_of(&model, VOCABULARY_KEY)?, tokens_of(&model, TARGETS_KEY)?)?;
        let networks = Networks::of(&model, &settings, tokens.sources.len(), tokens.targets.len())?;
        Ok(Self { model, networks, settings, tokens })
    }

    /// The settings that the model was trained by.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    pub(super) fn networks(&self) -> &Networks {
        &self.networks
    }

    pub(super) fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// The likeliest targets of a source, best first, with their scores. So many beginnings are followed at once, `beam`, and
    /// as many targets come at most; with 1 the likeliest token is taken at each step.
    ///
    /// A score is the natural logarithm of the probability that the network gives the target, its end included, over the
    /// power [`length_power`](Settings::length_power) of its number of tokens, the end counted. A target that the network
    /// has not ended after [`longest`](Settings::longest) tokens is cut off there. The search ends when as many targets
    /// were found as are wanted and all that is begun is worse.
    ///
    /// # Errors
    /// A beam of 0 or above 1,000; a source without a token, or with one that the training had not: where every token of the training
    /// has a number of its own ([`min_count`](super::Data::min_count) is 1) the network has learned nothing of others.
    pub fn transduce(&self, source: &str, beam: usize) -> Result<Vec<(String, f64)>> {
        Ok(self.transduce_all(&[source], beam)?.remove(0))
    }

    /// The same of several sources, which takes less time.
    ///
    /// # Errors
    /// As of [`transduce`](Self::transduce), which source it is told by its number from 1.
    pub fn transduce_all<S: AsRef<str>>(&self, sources: &[S], beam: usize) -> Result<Vec<Vec<(String, f64)>>> {
        let mut read = Vec::new();
        for (index, source) in sources.iter().enumerate() {
            let named = |error: Error| match sources.len() {
                1 => error,
                _ => Error::new(format!("source {}: {}", index + 1, error.message())),
            };
            read.push(self.read(source.as_ref()).map_err(named)?);
        }
        let told = |found: Found| {
            let tokens = self.tokens.targets.decode(&found.tokens)?;
            Ok((tokens.join(separator(self.settings.data.target)), found.score))
        };
        let read: Vec<&[f32]> = read.iter().map(Vec::as_slice).collect();
        let all = search(&self.networks, &self.settings, &self.tokens, &read, beam)?;
        all.into_iter().map(|found| found.into_iter().map(told).collect()).collect()
    }

    /// Where the decoder looks as it tells the best target of a source, found by a beam so wide.
    ///
    /// ```
    /// # use elman::Threads;
    /// # use elman_tasks::job::Job;
    /// # use elman_tasks::transduce::{Settings, Transduce, Transducer};
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("spelled.tsv");
    /// # std::fs::write(&path, (0..20).map(|n| format!("{}ab\tA B\n", "c".repeat(n))).collect::<String>()).unwrap();
    /// # let settings = Settings::from_toml("attention = 'dot'\nlongest = 4\n[net]\nhidden = 8\n[fit]\nepochs = 1")?;
    /// # let fit = Transduce::prepare(&path, settings)?.fit(Threads::one())?;
    /// # let transducer = Transducer::new(fit.into_learner().into_model())?;
    /// let attended = transducer.attention("cab", 1)?;
    /// assert_eq!(attended.source, ["c", "a", "b"]);
    /// for (token, weights) in attended.target.iter().zip(&attended.weights) {
    ///     println!("{token}: {weights:?}"); // of each step of the source, 1 together
    ///     assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    /// }
    /// # Ok::<(), elman_tasks::Error>(())
    /// ```
    ///
    /// # Errors
    /// A model without attention, and as of [`transduce`](Self::transduce).
    pub fn attention(&self, source: &str, beam: usize) -> Result<Attended> {
        if self.settings.attention == Attention::None {
            return Err(Error::expected("model", "one that was trained with attention", "one without"));
        }
        let read = self.read(source)?;
        let found = search(&self.networks, &self.settings, &self.tokens, &[&read], beam)?.remove(0).remove(0);
        let told = self.tokens.targets.decode(&found.tokens)?.into_iter().map(String::from).collect();
        // What is read at the step that tells a token is the one before; the end is told at a step of its own, which is left out.
        let Tokens { begin, end, .. } = self.tokens;
        let target = [begin].iter().chain(&found.tokens).chain([&end]).map(|&token| token as f32).collect::<Vec<_>>();
        let mut weights = self.networks.weights(&read, &target, &mut Memory::default())?;
        weights.truncate(found.tokens.len());
        Ok(Attended { source: self.settings.data.source.tokens(source.trim()), target: told, weights })
    }

    fn read(&self, source: &str) -> Result<Vec<f32>> {
        let tokens = self.settings.data.source.tokens(source.trim());
        if tokens.is_empty() {
            return Err(Error::expected("source", "at least one token", "none"));
        }
        let unknown = tokens.iter().find(|token| self.tokens.sources.index(token).is_none());
        if let Some(token) = unknown.filter(|_| self.settings.data.min_count == 1) {
            let expected = format!("tokens that the training had, {} of them", self.tokens.sources.len() - 1);
            return Err(Error::expected("source", expected, quoted(token)));
        }
        self.tokens.source(&tokens)
    }
}

/// What stands between tokens that are told.
fn separator(unit: Unit) -> &'static str {
    match unit {
        Unit::Characters => "",
        Unit::Words | Unit::Symbols => " ",
    }
}

/// The best targets of each source.
pub(super) fn search(
    networks: &Networks,
    settings: &Settings,
    tokens: &Tokens,
    sources: &[&[f32]],
    beam: usize,
) -> Result<Vec<Vec<Found>>> {
    check_beam("beam", beam)?;
    let search = Search {
        networks,
        width: beam,
        longest: settings.longest,
        length_power: settings.length_power,
        begin: tokens.begin,
        end: tokens.end,
        never: tokens.never(),
    };
    let (mut memory, mut all) = (Memory::default(), Vec::with_capacity(sources.len()));
    for some in sources.chunks((TOGETHER / beam).max(1)) {
        all.extend(search.run(some, &mut memory)?);
    }
    Ok(all)
}
