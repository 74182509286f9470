//! The keys of a file's metadata that have a meaning.

/// The metadata's key under which a saved file has its spec.
///
/// ```
/// use elman::format::{SPEC_KEY, TensorFile};
/// use elman::{Gru, Rng};
///
/// let model = Gru::builder(3, 8).linear("fc", 1).model(&mut Rng::new(1))?;
/// let file = TensorFile::from_bytes(model.to_bytes()?)?;
/// let text = file.metadata().find(|&(key, _)| key == SPEC_KEY).map(|(_, text)| text.to_string());
/// assert_eq!(text, Some(model.spec().to_string()));
/// # Ok::<(), elman::Error>(())
/// ```
pub const SPEC_KEY: &str = "elman.spec";

/// Steps a second of the signals that the model was trained on, in Hz, as a decimal number: `48000`.
pub const SAMPLE_RATE_KEY: &str = "sample_rate";

/// The analogue level, in dBu, of a 1 kHz sine that reaches the model with an amplitude of 1 (0 dBFS), as NeuralAmpModeler's
/// files have it: `18.3`.
pub const INPUT_LEVEL_KEY: &str = "input_level_dbu";

/// The analogue level, in dBu, of a 1 kHz sine that leaves the model with an amplitude of 1 (0 dBFS): `12.2`.
pub const OUTPUT_LEVEL_KEY: &str = "output_level_dbu";

/// The root mean square of the model's output to a standard signal, in dB relative to 1, by which hosts make models equally
/// loud: `-18.5`.
pub const LOUDNESS_KEY: &str = "loudness";
