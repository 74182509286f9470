//! A trained model in use.

use std::path::Path;
use std::sync::Arc;

use elman::{Model, Stream};

use super::Settings;
use super::tokens::{END_INDEX, Tokens, UNKNOWN_INDEX};
use crate::classify::softmax;
use crate::error::{Error, Result, quoted};
use crate::job::{CLASSES_KEY, VOCABULARY_KEY, settings_of, tokens_of};
use crate::split::SplitMix64;

/// What makes texts of a label, out of a model's file alone.
#[derive(Clone, Debug)]
pub struct Generator {
    stream: Stream,
    settings: Settings,
    tokens: Tokens,
}

impl Generator {
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
    pub fn new(model: impl Into<Arc<Model>>) -> Result<Self> {
        let model: Arc<Model> = model.into();
        let settings: Settings = settings_of(&model)?;
        let tokens = Tokens::new(tokens_of(&model, VOCABULARY_KEY)?, tokens_of(&model, CLASSES_KEY)?)?;
        check(&model, &tokens)?;
        Ok(Self { stream: Stream::new(model)?, settings, tokens })
    }

    /// The settings that the model was trained by.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The labels in the order of their numbers.
    pub fn labels(&self) -> &[String] {
        self.tokens.labels.tokens()
    }

    /// The model.
    pub fn model(&self) -> &Model {
        self.stream.model()
    }

    pub(super) fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// A text of that label, drawn character by character: the same for the same seed.
    ///
    /// The logits are divided by the temperature: at 1 characters come as often as the network takes them to be likely, below
    /// 1 the likely ones come more often, and at 0 always the likeliest, whatever the seed.
    ///
    /// # Errors
    /// An unknown label, and a temperature that is negative or not finite.
    pub fn sample(&mut self, label: &str, temperature: f64, seed: u64) -> Result<String> {
        self.sample_after(label, "", temperature, seed)
    }

    /// The same of a text that begins with `begin`.
    ///
    /// # Errors
    /// As of [`sample`](Self::sample), and a character in `begin` that the training did not have.
    pub fn sample_after(&mut self, label: &str, begin: &str, temperature: f64, seed: u64) -> Result<String> {
        if !(temperature >= 0.0 && temperature.is_finite()) {
            return Err(Error::expected("temperature", "a finite number of at least 0", temperature));
        }
        let known = self.tokens.characters(begin)?;
        if let Some(place) = known.iter().position(|&index| index == UNKNOWN_INDEX) {
            let got = begin.chars().nth(place).map(String::from).unwrap_or_default();
            return Err(Error::expected("beginning", "characters that the training had", quoted(&got)));
        }
        let label = self.tokens.label(label)?;
        let mut rng = SplitMix64::new(seed);
        self.stream.reset();
        let mut logits = self.step(label, None)?;
        for index in known {
            logits = self.step(label, Some(index))?;
        }
        let mut text = String::from(begin);
        let mut left = self.settings.longest.saturating_sub(text.chars().count());
        while left > 0 {
            let next = draw(&mut logits, temperature, &mut rng);
            if next == END_INDEX {
                break;
            }
            text.push_str(&self.tokens.characters.tokens()[next]);
            left -= 1;
            logits = self.step(label, Some(next))?;
        }
        Ok(text)
    }

    /// The natural logarithm of the probability that the network gives a text of that label, its end included.
    ///
    /// # Errors
    /// An unknown label.
    pub fn log_likelihood(&mut self, label: &str, text: &str) -> Result<f64> {
        let example = self.tokens.example(label, text)?;
        self.stream.reset();
        let before = [None].into_iter().chain(example.characters.iter().copied().map(Some));
        let mut sum = 0.0;
        for (before, next) in before.zip(example.told()) {
            sum += softmax(&self.step(example.label, before)?)[next].ln();
        }
        Ok(sum)
    }

    /// The logits after the label and the character before.
    fn step(&mut self, label: usize, before: Option<usize>) -> Result<Vec<f32>> {
        let (mut x, mut logits) = (vec![0.0; self.tokens.inputs()], vec![0.0; self.tokens.outputs()]);
        [Some(label), before].into_iter().flatten().for_each(|index| x[index] = 1.0);
        self.stream.step(&x, &mut logits)?;
        Ok(logits)
    }
}

/// That a model is one of these tokens.
pub(super) fn check(model: &Model, tokens: &Tokens) -> Result<()> {
    if (model.inputs(), model.outputs()) != (tokens.inputs(), tokens.outputs()) {
        let expected = format!("{} inputs and {} outputs, as there are tokens", tokens.inputs(), tokens.outputs());
        return Err(Error::expected("model", expected, format_args!("{} and {}", model.inputs(), model.outputs())));
    }
    Ok(())
}

/// The number of a token, never that of `<unk>`, which is no character.
fn draw(logits: &mut [f32], temperature: f64, rng: &mut SplitMix64) -> usize {
    logits[UNKNOWN_INDEX] = f32::NEG_INFINITY;
    let first =
        (0..logits.len()).fold(END_INDEX, |best, index| if logits[index] > logits[best] { index } else { best });
    if temperature == 0.0 {
        return first;
    }
    // All relative to the likeliest, so that no power is too large whatever the temperature.
    let power = |logit: f32| ((f64::from(logit) - f64::from(logits[first])) / temperature).exp();
    let powers: Vec<f64> = logits.iter().map(|&logit| power(logit)).collect();
    // 53 bits, all that a number of 64 has, in [0, 1).
    let mut at = (rng.next_u64() >> 11) as f64 * 2.0_f64.powi(-53) * powers.iter().sum::<f64>();
    for (index, power) in powers.iter().enumerate() {
        if at < *power {
            return index;
        }
        at -= power;
    }
    // By rounding nothing was left.
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_come_as_often_as_they_are_likely() {
        let mut rng = SplitMix64::new(1);
        // `<unk>` would be the likeliest; then 1/2, 1/4 and 1/4.
        let logits = [9.0, 2.0_f32.ln(), 0.0, 0.0];
        let mut count = |temperature| {
            let mut counts = [0; 4];
            (0..8000).for_each(|_| counts[draw(&mut logits.clone(), temperature, &mut rng)] += 1);
            counts.map(|count| (f64::from(count) / 400.0).round() as i32)
        };
        assert_eq!(count(1.0), [0, 10, 5, 5]);
        // Squared: 4 to 1 to 1.
        assert_eq!(count(0.5), [0, 13, 3, 3]);
        assert_eq!(count(0.0), [0, 20, 0, 0]);
        assert_eq!(count(1e-300), [0, 20, 0, 0]);
        let [unknown, ..] = count(1e300);
        assert_eq!(unknown, 0);
    }
}
