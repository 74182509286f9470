//! Which model a file of parameters is. A state dict has names and sizes, and no order, no activation, no read-out: it is
//! taken for a model only where one reading of it exists.

mod reading;
mod surroundings;

use self::reading::{Reading, items};
use self::surroundings::Surroundings;
use super::spec::ModelSpec;
use crate::error::{Error, Result};
use crate::format::{Description, SPEC_KEY, Taken, TensorFile, describe, prefixes, visible};

/// What settles a reading that is not the only one.
const SETTLE: &str =
    "the layers by name in their order, such as 'lstm, last, fc1, relu, fc2' (ModelSpec::from_state_dict)";

impl ModelSpec {
    /// The model of a file. One with a spec in its metadata is what that says. One without is taken for a model if it
    /// has one recurrent network, at most one embedding whose width is the network's input, at most one linear layer
    /// whose input is the network's output, and nothing else but whole numbers, which are no parameters.
    ///
    /// ```no_run
    /// use elman::ModelSpec;
    /// use elman::format::TensorFile;
    ///
    /// let file = TensorFile::open("model.safetensors")?;
    /// let (spec, taken) = ModelSpec::from_file(&file)?;
    /// println!("{taken}");
    /// # Ok::<(), elman::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Ambiguous`](crate::ErrorKind::Ambiguous) with the candidates where there is not one reading: two
    /// linear layers, a norm, a convolution, sizes that fit twice; [`ErrorKind::Weights`](crate::ErrorKind::Weights)
    /// where there are no recurrent weights, or they are not whole; for a spec in the metadata as of
    /// [`str::parse`].
    pub fn from_file(file: &TensorFile) -> Result<(Self, Taken)> {
        if let Some((_, text)) = file.metadata().find(|&(key, _)| key == SPEC_KEY) {
            let spec: Self = text.parse()?;
            return Ok((spec, Taken::new("taken: what the file says of itself".into(), Vec::new(), Vec::new())));
        }
        let networks = prefixes(file);
        if networks.len() > 1 {
            let candidates = networks.iter().map(|prefix| match describe(file, Some(prefix), None) {
                Ok(description) => network_words(&description, None),
                Err(_) => format!("recurrent weights behind '{}'", visible(prefix)),
            });
            return Err(ambiguous(file, candidates.collect()));
        }
        let network = describe(file, None, None)?;
        let Surroundings { embedding, head, buffers } = Surroundings::of(file, &network)?;
        let mut reading = Reading::new(file);
        if let Some(name) = embedding {
            reading.embedding(&name)?;
        }
        reading.recurrent(&network, None)?;
        if let Some(name) = &head {
            reading.linear(name)?;
        }
        Ok(reading.finish(buffers, head.is_some()))
    }

    /// The model of a file whose layers, in their order, are `layers`: names of the file's modules, kinds (`lstm`,
    /// `gru`, `rnn`: the network of that kind; `rnn relu` for its nonlinearity; with a module's name behind it where
    /// there are several), read-outs (`every-step`, `last`, `mean`, `max`) and activations, with commas between them.
    /// Sizes come from the file.
    ///
    /// ```no_run
    /// use elman::ModelSpec;
    /// use elman::format::TensorFile;
    ///
    /// let file = TensorFile::open("classifier.safetensors")?;
    /// let (spec, taken) = ModelSpec::from_state_dict(&file, "embedding, lstm, last, fc1, relu, fc2")?;
    /// # Ok::<(), elman::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Setting`](crate::ErrorKind::Setting) naming the word that is none of these, comes twice, or whose
    /// sizes do not follow from the layer before; [`ErrorKind::Ambiguous`](crate::ErrorKind::Ambiguous) where a kind
    /// is in the file more than once; [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for a module that is
    /// none of these layers; [`ErrorKind::Weights`](crate::ErrorKind::Weights) for recurrent weights that are not
    /// whole.
    pub fn from_state_dict(file: &TensorFile, layers: &str) -> Result<(Self, Taken)> {
        let mut reading = Reading::new(file);
        for item in items(layers) {
            reading.item(item)?;
        }
        if reading.layers.is_empty() {
            return Err(Error::setting("layers", "the names of the file's modules in their order", "none"));
        }
        let left_aside = file.names().filter(|name| !reading.used.contains(*name)).map(String::from).collect();
        Ok(reading.finish(left_aside, false))
    }
}

#[cold]
fn ambiguous(file: &TensorFile, candidates: Vec<String>) -> Error {
    let name = file.path().map_or_else(|| "the file".into(), |path| path.display().to_string());
    Error::ambiguous(&name, candidates, SETTLE)
}

/// Features of the network's output.
fn width(network: &Description) -> usize {
    let hidden = network.hidden_sizes.last().copied().unwrap_or(0);
    let out = if network.proj_size > 0 { network.proj_size } else { hidden };
    out.saturating_mul(1 + usize::from(network.bidirectional))
}

/// `rnn (2 layers, both directions)`, with the network's prefix where its name is another.
fn network_words(network: &Description, nonlinearity: Option<&str>) -> String {
    let Description { kind, hidden_sizes, bidirectional, .. } = network;
    let plural = if hidden_sizes.len() == 1 { "" } else { "s" };
    let both = if *bidirectional { ", both directions" } else { "" };
    let nonlinearity = nonlinearity.map(|words| format!(", {words}")).unwrap_or_default();
    let at = match network.prefix.trim_end_matches('.') {
        "" => String::new(),
        prefix if prefix == kind.to_string() => String::new(),
        prefix => format!(" {}", visible(prefix)),
    };
    format!("{kind}{at} ({} layer{plural}{both}{nonlinearity})", hidden_sizes.len())
}
