//! What is chosen.

use elman::train::{FitConfig, Schedule};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::job::{Job, OptimizerKind};
use crate::net::Net;
use crate::split::Shares;
use crate::vocabulary::Unit;

/// What the decoder sees of the encoder's steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Attention {
    /// Nothing but the state that it begins in (Sutskever, Vinyals and Le 2014).
    #[default]
    None,
    /// At each of its steps the mean of the encoder's outputs, weighted by the softmax of their dot products with its own
    /// output (Luong, Pham and Manning 2015, `dot`, global).
    Dot,
}

/// How a line becomes two sequences of tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Data {
    /// The tokens of a source. Characters by default.
    pub source: Unit,
    /// The tokens of a target. Symbols by default. A target that is told is its tokens joined: characters by nothing, words
    /// and symbols by a blank.
    pub target: Unit,
    /// How often a token must occur in the training part, in sources or in targets, to have a number of its own; all others
    /// are `<unk>`, which is never told. 1 by default.
    pub min_count: usize,
}

impl Default for Data {
    fn default() -> Self {
        Self { source: Unit::Characters, target: Unit::Symbols, min_count: 1 }
    }
}

/// The settings of [`Transduce`](super::Transduce), as a file of TOML has them ([`Job`]).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What the split and the first weights are drawn from; the order of examples has a seed in `fit`.
    pub seed: u64,
    /// What the decoder sees of the encoder's steps.
    pub attention: Attention,
    /// Beginnings of a target that are followed at once when a model is scored; 1, the default, is greedy.
    pub beam: usize,
    /// The power α, at least 0, of a target's length that the logarithm of its probability is divided by where beams are
    /// compared. With 0, the default, the likeliest target wins; with 1 the one that is likeliest a token, which favours
    /// long ones.
    pub length_power: f64,
    /// Tokens after which a target ends, if the network has not ended it before. 100 by default.
    pub longest: usize,
    /// What makes the steps of training; Adam by default.
    pub optimizer: OptimizerKind,
    /// The decay of all parameters (AdamW), at least 0; with 0, the default, the optimiser is Adam. It is 0 of SparseAdam.
    pub weight_decay: f32,
    /// The shares of validation and test, of different sources.
    pub shares: Shares,
    /// What the tokens are.
    pub data: Data,
    /// Encoder and decoder alike; the encoder alone goes both ways where it is `bidirectional`.
    pub net: Net,
    /// The training.
    pub fit: FitConfig,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 1,
            attention: Attention::None,
            beam: 1,
            length_power: 0.0,
            longest: 100,
            optimizer: OptimizerKind::default(),
            weight_decay: 0.0,
            shares: Shares::default(),
            data: Data::default(),
            net: Net::default(),
            fit: FitConfig::default(),
        }
    }
}

impl Settings {
    /// Settings for spelling to sound and the like: a GRU of 128 units, its encoder both ways. With attention and 96 units, after
    /// 5 epochs over the CMU Pronouncing Dictionary, 36 % of the words and 8.8 % of the phonemes of unseen words were wrong.
    #[must_use]
    pub fn spelling() -> Self {
        let net = Net { hidden: 128, embedding: 64, bidirectional: true, ..Net::default() };
        let fit = FitConfig::default().epochs(10).batch(64).lr(3e-3).clip_norm(1.0).patience(3);
        Self { net, fit: fit.schedule(Schedule::cosine(0, 0, 0.0)), ..Self::default() }
    }
}

impl Job for Settings {
    const TASK: &'static str = "transduce";
}

impl Settings {
    /// That each is in its range; those of the network and of the training are checked where they are used.
    pub(super) fn check(&self) -> Result<()> {
        for (name, value) in [("longest", self.longest), ("data.min_count", self.data.min_count)] {
            if value == 0 {
                return Err(Error::expected(name, "at least 1", 0));
            }
        }
        check_beam("beam", self.beam)?;
        if !(self.length_power >= 0.0 && self.length_power.is_finite()) {
            return Err(Error::expected("length_power", "a finite number of at least 0", self.length_power));
        }
        self.optimizer.check(self.weight_decay)?;
        Ok(self.fit.check()?)
    }
}

/// Each beginning keeps a state and, for a moment, a number for each token: so many are some MB. Nobody has gained by more.
const MOST_BEGINNINGS: usize = 1000;

/// That a beam is neither too narrow nor too wide.
pub(super) fn check_beam(name: &str, beam: usize) -> Result<()> {
    match (1..=MOST_BEGINNINGS).contains(&beam) {
        true => Ok(()),
        false => Err(Error::expected(name, format_args!("at least 1 and at most {MOST_BEGINNINGS}"), beam)),
    }
}
