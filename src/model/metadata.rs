//! What a model's file says besides its spec and parameters: texts by key, and those keys that have a meaning here.

use super::Model;
use crate::error::{Error, Result};
use crate::format::{INPUT_LEVEL_KEY, LOUDNESS_KEY, OUTPUT_LEVEL_KEY, SAMPLE_RATE_KEY, SPEC_KEY, visible};

impl Model {
    /// What the metadata of the model's file says under `key`, or [`set_metadata`](Self::set_metadata) has set.
    ///
    /// ```
    /// use elman::{Lstm, Model, Rng};
    ///
    /// let mut model = Lstm::builder(1, 8).linear("fc", 1).model(&mut Rng::new(1))?;
    /// model.set_metadata("sample_rate", "48000")?;
    /// let copy = Model::from_bytes(model.to_bytes()?)?;
    /// assert_eq!(copy.metadata("sample_rate"), Some("48000"));
    /// assert_eq!(copy.sample_rate()?, Some(48000.0));
    /// # Ok::<(), elman::Error>(())
    /// ```
    #[must_use]
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.origin.metadata.get(key).map(|value| &value[..])
    }

    /// All keys and values, in the order of the keys; the spec's is not among them.
    pub fn all_metadata(&self) -> impl Iterator<Item = (&str, &str)> {
        self.origin.metadata.iter().map(|(key, value)| (&key[..], &value[..]))
    }

    /// Sets a key, which [`save`](Self::save) and [`to_bytes`](Self::to_bytes) write.
    ///
    /// # Errors
    /// [`ErrorKind::Setting`](crate::ErrorKind::Setting) for the key of the spec, which is the model's own.
    pub fn set_metadata(&mut self, key: impl Into<String>, value: impl Into<String>) -> Result<()> {
        let key = key.into();
        if key == SPEC_KEY {
            return Err(Error::setting("metadata", "another key than that of the spec", key));
        }
        self.origin.metadata.insert(key, value.into());
        Ok(())
    }

    /// Steps a second of the signals that the model was trained on, in Hz: [`SAMPLE_RATE_KEY`].
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) where the metadata has something else there than a number above 0.
    pub fn sample_rate(&self) -> Result<Option<f64>> {
        self.number(SAMPLE_RATE_KEY, "a number of Hz above 0", |rate| rate > 0.0)
    }

    /// The analogue level in dBu that a sine of amplitude 1 at the input stands for: [`INPUT_LEVEL_KEY`].
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) where the metadata has something else there than a number.
    pub fn input_level(&self) -> Result<Option<f64>> {
        self.number(INPUT_LEVEL_KEY, "a number of dBu", |_| true)
    }

    /// The analogue level in dBu that a sine of amplitude 1 at the output stands for: [`OUTPUT_LEVEL_KEY`].
    ///
    /// # Errors
    /// As of [`input_level`](Self::input_level).
    pub fn output_level(&self) -> Result<Option<f64>> {
        self.number(OUTPUT_LEVEL_KEY, "a number of dBu", |_| true)
    }

    /// How loud the model's output is in dB, relative to amplitude 1: [`LOUDNESS_KEY`].
    ///
    /// # Errors
    /// As of [`input_level`](Self::input_level).
    pub fn loudness(&self) -> Result<Option<f64>> {
        self.number(LOUDNESS_KEY, "a number of dB", |_| true)
    }

    fn number(&self, key: &str, expected: &str, fits: impl Fn(f64) -> bool) -> Result<Option<f64>> {
        let Some(text) = self.metadata(key) else { return Ok(None) };
        match text.trim().parse::<f64>() {
            Ok(number) if number.is_finite() && fits(number) => Ok(Some(number)),
            _ => Err(Error::value(&format!("metadata '{key}'"), expected, format_args!("'{}'", visible(text)))),
        }
    }
}
