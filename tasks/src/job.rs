//! What all tasks share: settings as a file, what a checkpoint belongs to, and what a model's file says of its task.
//!
//! A model that a task trained is a state dict of PyTorch's, and its metadata has all that is needed to use it: which
//! task it is of, the settings, and the tokens and classes that its numbers stand for.

use std::path::Path;

use elman::optim::{Adam, AdamConfig, AdamW, AdamWConfig, Optimizer, SparseAdam, SparseAdamConfig};
use elman::train::Identity;
use elman::{Model, Params};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, quoted};
use crate::vocabulary::Vocabulary;

/// The metadata key of the task's name, such as `classify`.
pub const TASK_KEY: &str = "elman.task";
/// The metadata key of the settings, as TOML.
pub const SETTINGS_KEY: &str = "elman.task.settings";
/// The metadata key of the tokens in the order of their numbers, as a JSON list. Not there where a model reads numbers.
pub const VOCABULARY_KEY: &str = "elman.task.vocabulary";
/// The metadata key of the classes in the order of their numbers, as a JSON list.
pub const CLASSES_KEY: &str = "elman.task.classes";
/// The metadata key of the tokens that a model tells, where they are others than those it reads, as a JSON list.
pub const TARGETS_KEY: &str = "elman.task.targets";

/// The settings of a task: all that, beside the data, decides what comes of it.
///
/// ```
/// use elman_tasks::classify::Settings;
/// use elman_tasks::job::Job;
///
/// let settings = Settings::from_toml("token_dropout = 0.3\n[net]\nhidden = 32\n[fit]\nepochs = 5")?;
/// assert_eq!((settings.net.hidden, settings.fit.epochs), (32, 5));
/// assert_eq!(Settings::from_toml(&settings.to_toml()?)?, settings);
/// assert!(Settings::from_toml("[net]\nhiden = 32").unwrap_err().to_string().contains("unknown field `hiden`"));
/// # Ok::<(), elman_tasks::Error>(())
/// ```
pub trait Job: Serialize + DeserializeOwned {
    /// The task's name.
    const TASK: &'static str;

    /// The settings as TOML.
    ///
    /// # Errors
    /// Settings of a form that TOML does not have; those of this crate's tasks all have one.
    fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|error| Error::new(format!("settings: cannot be written as TOML: {error}")))
    }

    /// The settings that TOML says; what it does not say is as by default.
    ///
    /// # Errors
    /// What is no TOML, a setting that does not exist or is of another kind; each names the line.
    fn from_toml(text: &str) -> Result<Self> {
        toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| 1 + text[..span.start.min(text.len())].matches('\n').count());
            let message = error.message().lines().collect::<Vec<_>>().join("; ");
            let error = Error::new(format!("settings of {}: {message}", Self::TASK));
            line.map_or(error.clone(), |line| error.at_line(line))
        })
    }

    /// What a checkpoint of these settings and that file belongs to: `task`, `settings` and `data`.
    ///
    /// # Errors
    /// A file that cannot be read, and as of [`to_toml`](Self::to_toml).
    fn identity(&self, data: &Path) -> Result<Identity> {
        let settings = content_hash(self.to_toml()?.as_bytes());
        let data = std::fs::read(data).map_err(|error| Error::unreadable(data, error))?;
        Ok(Identity::default().with("task", Self::TASK).with("settings", settings).with("data", content_hash(&data)))
    }
}

/// A number of 64 bits that content is known by, as 16 hexadecimal digits: FNV-1a (Fowler, Noll and Vo). It tells another
/// file by mistake from the right one, not a forged one.
///
/// ```
/// assert_eq!(elman_tasks::job::content_hash(b"foobar"), "85944171f73967e8");
/// ```
#[must_use]
pub fn content_hash(content: &[u8]) -> String {
    // The published offset and prime.
    let mix = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    format!("{:016x}", content.iter().fold(0xcbf2_9ce4_8422_2325, mix))
}

/// Which optimiser trains a network that reads tokens, as settings name it: `adam` or `sparse-adam`.
///
/// ```
/// use elman_tasks::classify::Settings;
/// use elman_tasks::job::{Job, OptimizerKind};
///
/// assert_eq!(Settings::default().optimizer, OptimizerKind::Adam);
/// assert_eq!(Settings::from_toml("optimizer = 'sparse-adam'")?.optimizer, OptimizerKind::SparseAdam);
/// # Ok::<(), elman_tasks::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerKind {
    /// Adam, or with a decay of the parameters AdamW.
    #[default]
    Adam,
    /// [`SparseAdam`]: of the vectors of tokens a step moves those alone that it has read; Adam moves all of them, by what its
    /// running means still hold. A step takes less time where there are many tokens.
    SparseAdam,
}

impl OptimizerKind {
    /// That it can have such a decay of the parameters.
    ///
    /// # Errors
    /// A decay that is negative or not finite, and one other than 0 of an optimiser that has none.
    pub fn check(self, weight_decay: f32) -> Result<()> {
        if !(weight_decay >= 0.0 && weight_decay.is_finite()) {
            return Err(Error::expected("weight_decay", "a finite number of at least 0", weight_decay));
        }
        match self {
            Self::SparseAdam if weight_decay > 0.0 => {
                Err(Error::expected("weight_decay", "0 where the optimizer is sparse-adam", weight_decay))
            }
            _ => Ok(()),
        }
    }
}

/// The vectors of tokens of every network that reads some.
const EMBEDDING: &str = "embedding.weight";

/// What makes the optimisers of a [`Fit`](elman::train::Fit). The decay of [`OptimizerKind::SparseAdam`] is 0.
pub fn optimizer(kind: OptimizerKind, weight_decay: f32) -> impl Fn(&Params, f32) -> elman::Result<Box<dyn Optimizer>> {
    move |params, lr| {
        Ok(match (kind, weight_decay) {
            (OptimizerKind::SparseAdam, _) => {
                // A head and the like have none.
                let sparse = params.named(EMBEDDING).is_ok().then_some(EMBEDDING);
                Box::new(SparseAdam::new(params, SparseAdamConfig::default().lr(lr), sparse)?)
            }
            (OptimizerKind::Adam, 0.0) => Box::new(Adam::new(params, AdamConfig::default().lr(lr))?),
            (OptimizerKind::Adam, decay) => {
                Box::new(AdamW::new(params, AdamWConfig::default().lr(lr).weight_decay(decay))?)
            }
        })
    }
}

/// Says in a model's metadata what it is: the task, its settings, its tokens where it has some, and its classes where it
/// has some.
///
/// # Errors
/// As of [`Job::to_toml`].
pub fn describe<J: Job>(
    model: &mut Model,
    settings: &J,
    vocabulary: Option<&Vocabulary>,
    classes: Option<&Vocabulary>,
) -> Result<()> {
    model.set_metadata(TASK_KEY, J::TASK)?;
    model.set_metadata(SETTINGS_KEY, settings.to_toml()?)?;
    for (key, tokens) in [(VOCABULARY_KEY, vocabulary), (CLASSES_KEY, classes)] {
        if let Some(tokens) = tokens {
            set_tokens(model, key, tokens)?;
        }
    }
    Ok(())
}

/// Sets the tokens, or classes, that a model's metadata has under `key`.
///
/// # Errors
/// A key that is the model's own.
pub fn set_tokens(model: &mut Model, key: &str, tokens: &Vocabulary) -> Result<()> {
    let list = serde_json::to_string(tokens.tokens()).expect("texts are JSON");
    Ok(model.set_metadata(key, list)?)
}

/// The settings that a model's metadata has.
///
/// # Errors
/// A model of another task or of none, and settings that cannot be read.
pub fn settings_of<J: Job>(model: &Model) -> Result<J> {
    match model.metadata(TASK_KEY) {
        Some(task) if task == J::TASK => {}
        Some(other) => {
            return Err(Error::new(format!(
                "model: expected one of the task '{}', got one of {}",
                J::TASK,
                quoted(other)
            )));
        }
        None => {
            let got = format!("one whose metadata has no '{TASK_KEY}'");
            return Err(Error::new(format!("model: expected one of the task '{}', got {got}", J::TASK)));
        }
    }
    J::from_toml(text_of(model, SETTINGS_KEY)?)
}

/// The tokens, or classes, that a model's metadata has under `key`.
///
/// # Errors
/// There are none, or not as a JSON list of different texts.
pub fn tokens_of(model: &Model, key: &str) -> Result<Vocabulary> {
    let text = text_of(model, key)?;
    serde_json::from_str(text).map_err(|error| {
        let expected = "a JSON list of different texts";
        Error::new(format!("metadata '{key}': expected {expected}, got {}: {error}", quoted(text)))
    })
}

fn text_of<'m>(model: &'m Model, key: &str) -> Result<&'m str> {
    model.metadata(key).ok_or_else(|| Error::new(format!("model: expected metadata '{key}', got none")))
}

#[cfg(test)]
mod tests {
    use elman::{Gru, Rng};

    use super::*;
    use crate::classify::Settings;

    #[test]
    fn the_hash_is_fnv() {
        assert_eq!(content_hash(b""), "cbf29ce484222325");
        assert_eq!(content_hash(b"a"), "af63dc4c8601ec8c");
    }

    #[test]
    fn settings_say_where_they_are_wrong() {
        let told = |text| Settings::from_toml(text).unwrap_err().to_string();
        assert!(told("seed = 1\n[fit]\nlearning = 1").starts_with("line 3: settings of classify: unknown field"));
        assert!(told("seed = 'x'").starts_with("line 1: settings of classify: invalid type"), "{}", told("seed = 'x'"));
        assert!(told("seed =").starts_with("line 1: "));
    }

    #[test]
    fn models_say_what_they_are() {
        let mut model = Gru::builder(1, 2).model(&mut Rng::new(1)).unwrap();
        let told = settings_of::<Settings>(&model).unwrap_err().to_string();
        assert_eq!(told, "model: expected one of the task 'classify', got one whose metadata has no 'elman.task'");
        let classes = Vocabulary::from_tokens(vec!["a".into()]).unwrap();
        describe(&mut model, &Settings::default(), None, Some(&classes)).unwrap();
        assert_eq!(settings_of::<Settings>(&model).unwrap(), Settings::default());
        assert_eq!(tokens_of(&model, CLASSES_KEY).unwrap(), classes);
        assert!(tokens_of(&model, VOCABULARY_KEY).unwrap_err().to_string().ends_with("got none"));
        model.set_metadata(TASK_KEY, "forecast").unwrap();
        assert!(settings_of::<Settings>(&model).unwrap_err().to_string().ends_with("got one of 'forecast'"));
        model.set_metadata(CLASSES_KEY, "[1]").unwrap();
        assert!(tokens_of(&model, CLASSES_KEY).unwrap_err().to_string().contains("got '[1]'"));
    }
}
