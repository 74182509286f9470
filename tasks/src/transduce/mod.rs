//! One sequence out of another: an encoder reads it to its end, a decoder tells the other token by token.
//!
//! A model's file has three parts, each a state dict of PyTorch's: `encoder` (`embedding` and `rnn`, `gru` or `lstm`),
//! `decoder` (the same) and `head` (`fc`; with attention `concat` before it). The decoder begins in the encoder's last
//! state, layer by layer. Where the encoder goes both ways the decoder begins in the sum of both directions' last states,
//! and attention sees the sum of both directions' outputs, as in PyTorch's tutorial of a chatbot:
//!
//! ```python
//! outputs, h = encoder(x)                                        # D·H features, (D·layers, B, H)
//! outputs = outputs[..., :H] + outputs[..., H:]                  # where it goes both ways
//! h = h.view(layers, 2, B, H).sum(1)                             # the same; of an LSTM's c too
//! decoded, h = decoder(y, h)                                     # y begins with <s>
//! a = torch.softmax(decoded @ outputs.transpose(1, 2), -1)       # with attention
//! decoded = torch.tanh(head.concat(torch.cat([a @ outputs, decoded], -1)))
//! logits = head.fc(decoded)
//! ```
//!
//! ```
//! use elman::Threads;
//! use elman_tasks::job::Job;
//! use elman_tasks::split::Part;
//! use elman_tasks::transduce::{Settings, Transduce, Transducer};
//!
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("spelled.tsv");
//! # let words: Vec<_> = (0..64).map(|n: u32| (0..3).map(|i| ["a", "b", "c", "d"][(n >> (2 * i)) as usize % 4]).collect::<Vec<_>>()).collect();
//! # let lines: Vec<_> = words.iter().map(|w| format!("{}\t{}", w.concat(), w.join(" ").to_uppercase())).collect();
//! # std::fs::write(&path, lines.join("\n")).unwrap();
//! // Lines such as: dab, a tab, D A B
//! let settings = Settings::from_toml("[net]\nhidden = 32\nembedding = 16\n[fit]\nepochs = 60\nlr = 0.01\nbatch = 16")?;
//! let task = Transduce::prepare(&path, settings)?;
//! let mut fit = task.fit(Threads::one())?;
//! fit.run(&mut |_progress| true)?;
//! let model = fit.into_learner().into_model();
//! println!("{:?}", task.score(&model, Part::Test)?);
//!
//! let transducer = Transducer::new(model)?; // or, of a model that was saved, `open`
//! assert_eq!(transducer.transduce("dab", 2)?[0].0, "D A B");
//! # Ok::<(), elman_tasks::Error>(())
//! ```

mod attend;
mod beam;
mod examples;
mod flow;
mod network;
mod predict;
mod score;
mod settings;
mod step;
#[cfg(test)]
mod tests;
mod tokens;

use std::path::Path;

use elman::train::{Fit, Identity};
use elman::{Model, Rng, Threads};

pub use examples::Examples;
pub use predict::{Attended, Transducer};
pub use settings::{Attention, Data, Settings};

use crate::baselines::transduce::Substitution;
use crate::error::{Error, Result};
use crate::job::{Job, TARGETS_KEY, VOCABULARY_KEY, describe, optimizer, set_tokens, tokens_of};
use crate::scores::Scores;
use crate::split::{Part, Split, grouped};
use crate::text::{self, Pair};
use network::{Memory, Networks};
use score::{Asked, Search};
use tokens::Tokens;

/// Data that is ready to be learned from.
#[derive(Clone, Debug)]
pub struct Transduce {
    settings: Settings,
    identity: Identity,
    rows: Vec<Pair>,
    /// The tokens of each.
    pairs: Vec<(Vec<String>, Vec<String>)>,
    split: Split,
    tokens: Tokens,
    sources: Vec<Vec<f32>>,
    targets: Vec<Vec<f32>>,
}

impl Transduce {
    /// Reads lines of a source, a tab and a target, and splits them so that no source is in two parts. Tokens are those of
    /// the training part; in the other parts one that it has not counts as `<unk>`.
    ///
    /// # Errors
    /// Settings out of their range; a file that cannot be read, as [`text::parallel`] says; too few sources for the shares;
    /// a target with a token that is written as the begin or the end, with its line.
    pub fn prepare(path: &Path, settings: Settings) -> Result<Self> {
        settings.check()?;
        let named = |error: Error| error.in_file(path.display().to_string());
        let identity = settings.identity(path)?;
        let rows = text::parallel(path)?.rows;
        let keys: Vec<&str> = rows.iter().map(|row| &row.left[..]).collect();
        let split = grouped(&keys, settings.shares, settings.seed).map_err(named)?;
        let Data { source, target, min_count } = settings.data;
        let pairs: Vec<_> = rows.iter().map(|row| (source.tokens(&row.left), target.tokens(&row.right))).collect();
        let tokens = Tokens::build(split.train.iter().map(|&row| &pairs[row]), min_count).map_err(named)?;
        let (mut sources, mut targets) = (Vec::new(), Vec::new());
        for (row, (source, target)) in rows.iter().zip(&pairs) {
            sources.push(tokens.source(source)?);
            targets.push(tokens.target(target).map_err(|error| named(error).at_line(row.line))?);
        }
        Ok(Self { settings, identity, rows, pairs, split, tokens, sources, targets })
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

    /// Sources and targets of a part of the data.
    pub fn texts(&self, part: Part) -> impl Iterator<Item = (&str, &str)> {
        self.split.part(part).iter().map(|&row| (&self.rows[row].left[..], &self.rows[row].right[..]))
    }

    /// The network, drawn anew.
    ///
    /// # Errors
    /// Those of [`Model::new`].
    pub fn model(&self) -> Result<Model> {
        let Tokens { sources, targets, .. } = &self.tokens;
        let spec = network::spec(&self.settings, sources.len(), targets.len());
        let mut model = Model::init(spec, &mut Rng::new(self.settings.seed))?;
        describe(&mut model, &self.settings, Some(sources), None)?;
        set_tokens(&mut model, TARGETS_KEY, targets)?;
        Ok(model)
    }

    fn networks(&self, model: &Model) -> Result<Networks> {
        Networks::of(model, &self.settings, self.tokens.sources.len(), self.tokens.targets.len())
    }

    /// A training that is ready to run. [`Fit::checkpoints`] and [`Fit::resume`] take [`identity`](Self::identity);
    /// `fit.into_learner().into_model()` has the weights of the best epoch.
    ///
    /// # Errors
    /// Those of [`model`](Self::model) and of [`Fit::new`].
    pub fn fit(&self, threads: Threads) -> Result<Fit<Examples>> {
        let Settings { fit, optimizer: kind, weight_decay, .. } = &self.settings;
        let model = self.model()?;
        let networks = self.networks(&model)?;
        let (sources, targets) = (self.sources.clone(), self.targets.clone());
        let examples = Examples { model, networks, sources, targets, memory: Memory::default() };
        let (train, valid) = (self.split.train.clone(), self.split.valid.clone());
        let steps = optimizer(*kind, *weight_decay);
        Ok(Fit::with_optimizer(examples, fit.clone(), train, valid, &steps)?.threads(threads))
    }

    /// The best target of each different source of a part by a beam so wide, beside the source, as tokens.
    ///
    /// # Errors
    /// A model that is not of these data, a beam of 0 or above 1,000, and a part without rows.
    pub fn answers(&self, model: &Model, part: Part, beam: usize) -> Result<Vec<(&str, Vec<String>)>> {
        let (asked, networks) = (self.asked(part)?, self.known(model)?);
        let search = Search { networks: &networks, settings: &self.settings, tokens: &self.tokens };
        let answers = search.answers(&self.read(&asked), beam)?;
        Ok(asked.rows.iter().map(|&row| &self.rows[row].left[..]).zip(answers).collect())
    }

    /// How good a model is on a part of the data: the share of different sources whose target is not right from end to end,
    /// and the tokens that are wrong, left out or too many over those of the targets, in per cent. Where a source has
    /// several targets the nearest counts. Beside it stands the [`Substitution`] of each token by what it most often comes
    /// to; where `beam` is more than 1, the network's greedy answers too.
    ///
    /// # Errors
    /// As of [`answers`](Self::answers).
    pub fn score(&self, model: &Model, part: Part) -> Result<Scores> {
        let asked = self.asked(part)?;
        let networks = self.known(model)?;
        let truths = asked.truths();
        let read = self.read(&asked);
        let search = Search { networks: &networks, settings: &self.settings, tokens: &self.tokens };
        let mut rows = search.rows(&read, &truths, self.settings.beam)?;
        let train: Vec<_> = self.split.train.iter().map(|&row| self.pairs[row].clone()).collect();
        let simple = Substitution::fit(&train)?;
        let answers: Vec<_> = asked.rows.iter().map(|&row| simple.predict(&self.pairs[row].0)).collect();
        rows.push(score::row("each token alone".into(), false, &answers, &truths)?);
        Ok(score::scores(format!("{part}, {} sources", asked.rows.len()), rows))
    }

    fn asked(&self, part: Part) -> Result<Asked<'_>> {
        let asked = Asked::of(&self.rows, &self.pairs, self.split.part(part).iter().copied());
        match asked.rows.is_empty() {
            true => Err(Error::expected(&part.to_string(), "at least one source", "none: its share is 0")),
            false => Ok(asked),
        }
    }

    /// The sources as the encoder reads them.
    fn read(&self, asked: &Asked<'_>) -> Vec<&[f32]> {
        asked.rows.iter().map(|&row| &self.sources[row][..]).collect()
    }

    /// The networks of a model of these data.
    fn known(&self, model: &Model) -> Result<Networks> {
        let (sources, targets) = (tokens_of(model, VOCABULARY_KEY)?, tokens_of(model, TARGETS_KEY)?);
        if (&sources, &targets) != (&self.tokens.sources, &self.tokens.targets) {
            return Err(Error::expected("model", "one of the tokens of these data", "another"));
        }
        self.networks(model)
    }
}
