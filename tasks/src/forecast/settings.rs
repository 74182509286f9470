//! What is chosen.

use elman::train::FitConfig;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::job::Job;
use crate::net::{Cell, Net};
use crate::split::Shares;
use crate::table::{Missing, Options};
use crate::transform::Transform;

/// How steps beyond the next are forecast.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// An output for each of them.
    #[default]
    Direct,
    /// One output for the next step; what it gives is looked at as if it had been. The target has to be the only feature.
    Recursive,
}

/// Which columns of the file are what; as [`Options`] has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Data {
    /// The column to forecast; it may be left out where there is one.
    pub target: Option<String>,
    /// The columns to look at; all of numbers where they are not given.
    pub features: Option<Vec<String>>,
    /// The column of the time, which has to rise.
    pub time: Option<String>,
    /// The column that tells several series apart.
    pub group: Option<String>,
    /// What to do about cells without a number.
    pub missing: Missing,
}

impl From<&Data> for Options {
    fn from(data: &Data) -> Self {
        let Data { target, features, time, group, missing } = data.clone();
        Self { target, features, time, group, missing, ..Self::default() }
    }
}

/// The settings of [`Forecast`](super::Forecast), as a file of TOML has them ([`Job`]).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What the first weights are drawn from; the order of examples has a seed in `fit`.
    pub seed: u64,
    /// Steps that are looked at.
    pub window: usize,
    /// Steps that are forecast.
    pub horizon: usize,
    /// How those beyond the next are.
    pub mode: Mode,
    /// What of the target is forecast: its level, or a change of it.
    pub transform: Transform,
    /// Whether the network learns what a linear autoregression over the same window leaves, and not the whole.
    pub linear: bool,
    /// Steps of a season, for the baseline that repeats the last one; 0 for none.
    pub season: usize,
    /// The shares of validation and test, at the end of each series.
    pub shares: Shares,
    /// What the file holds.
    pub data: Data,
    /// The network.
    pub net: Net,
    /// The training.
    pub fit: FitConfig,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 1,
            window: 24,
            horizon: 1,
            mode: Mode::Direct,
            transform: Transform::None,
            linear: true,
            season: 0,
            shares: Shares::default(),
            data: Data::default(),
            net: Net { cell: Cell::Gru, hidden: 32, ..Net::default() },
            fit: FitConfig::default().epochs(60).batch(32).lr(0.003).clip_norm(1.0).patience(10),
        }
    }
}

impl Job for Settings {
    const TASK: &'static str = "forecast";
}

impl Settings {
    /// That each is in its range, of so many features; those of the network and of the training are checked where they are used.
    pub(super) fn check(&self, features: usize, target_is_feature: bool) -> Result<()> {
        for (name, value) in [("window", self.window), ("horizon", self.horizon)] {
            if value == 0 {
                return Err(Error::expected(name, "at least 1 step", 0));
            }
        }
        if self.mode == Mode::Recursive && (features != 1 || !target_is_feature) {
            let expected = "the target as the only feature, as nothing else is known of steps to come";
            return Err(Error::expected("mode recursive", expected, format_args!("{features} features")));
        }
        Ok(self.fit.check()?)
    }

    /// Rows that a window needs: a change needs the row before.
    pub(super) fn needs(&self) -> usize {
        self.window.saturating_add(usize::from(self.transform != Transform::None))
    }

    /// Outputs of the network.
    pub(super) fn outputs(&self) -> usize {
        match self.mode {
            Mode::Direct => self.horizon,
            Mode::Recursive => 1,
        }
    }
}
