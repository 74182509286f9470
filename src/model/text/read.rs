//! From a text to the spec that it describes.

use std::str::FromStr;

use super::statement::{Statement, refusal, statements};
use crate::error::{Error, Result};
use crate::model::spec::{
    Activation, CellSpec, GruCellSpec, LayerKind, LayerSpec, LstmCellSpec, ModelSpec, Readout, RecurrentSpec, Reset,
    RnnCellSpec,
};

impl FromStr for ModelSpec {
    type Err = Error;

    /// Reads the text that `Display` writes, or one written by hand.
    ///
    /// ```
    /// use elman::ModelSpec;
    ///
    /// let spec: ModelSpec = "elman 1, inputs 3, lstm rnn hidden=64,64, last, linear fc outputs=5".parse()?;
    /// assert_eq!(spec.layers.len(), 3);
    /// assert_eq!(spec.to_string().parse::<ModelSpec>()?, spec);
    /// # Ok::<(), elman::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Setting`](crate::ErrorKind::Setting) with the line and the word that is not understood,
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for a later version.
    fn from_str(text: &str) -> Result<Self> {
        let mut statements = statements(text)?.into_iter();
        let first = statements.next().ok_or_else(|| refusal(1, "'elman' and a version first", ""))?;
        if first.kind != "elman" {
            return Err(refusal(first.line, "'elman' and a version first", &first.kind));
        }
        let version = number(&first, "a version")?;
        first.end()?;
        check(version)?;
        body(statements, version, first.line)
    }
}

fn check(version: u32) -> Result<()> {
    if version > ModelSpec::VERSION {
        let newest = ModelSpec::VERSION;
        let what = format!("it is of version {version}, and versions up to {newest} are read here");
        return Err(Error::unsupported("model", what));
    }
    Ok(())
}

/// The number that stands in the place of a name.
fn number<T: FromStr>(statement: &Statement, what: &str) -> Result<T> {
    let word = statement.name.as_deref().unwrap_or_default();
    word.parse().map_err(|_| refusal(statement.line, &format!("{what} after '{}'", statement.kind), word))
}

fn body(statements: impl IntoIterator<Item = Statement>, version: u32, line: usize) -> Result<ModelSpec> {
    let mut statements = statements.into_iter();
    let expected = "'inputs' and a number before the layers";
    let mut inputs = statements.next().ok_or_else(|| refusal(line, expected, "the end"))?;
    if inputs.kind != "inputs" {
        return Err(refusal(inputs.line, expected, &inputs.kind));
    }
    let mut spec = ModelSpec::new(number(&inputs, "a number")?);
    spec.version = version;
    spec.batch_first = inputs.flag("batch-first");
    inputs.end()?;
    for mut statement in statements {
        if statement.kind == "part" {
            let name = statement.name.take().ok_or_else(|| refusal(statement.line, "a name after 'part'", ""))?;
            let of = statement.parsed("version", "NUMBER")?.unwrap_or(version);
            check(of)?;
            let block = statement.block.take();
            let block = block.ok_or_else(|| refusal(statement.line, "a model in braces after 'part'", &name))?;
            statement.end()?;
            spec.parts.push((name, body(block, of, statement.line)?));
        } else {
            spec.layers.push(layer(statement)?);
        }
    }
    Ok(spec)
}

fn layer(mut statement: Statement) -> Result<LayerSpec> {
    let of = &mut statement;
    let kind = match &of.kind.clone()[..] {
        "embedding" => {
            let vocabulary = required(of, "vocabulary")?;
            LayerKind::embedding(vocabulary, required(of, "width")?)
        }
        "rnn" => {
            let activation = activation_of(of, "activation", Activation::Tanh)?;
            let clip = of.parsed("clip", "NUMBER")?;
            recurrent(of, RnnCellSpec { activation, clip })?
        }
        "gru" => {
            let reset = match of.take("reset")?.as_deref() {
                None | Some("after") => Reset::After,
                Some("before") => Reset::Before,
                Some(other) => return Err(refusal(of.line, "reset=before or reset=after", &format!("reset={other}"))),
            };
            let gates = activation_of(of, "gates", Activation::Sigmoid)?;
            let candidate = activation_of(of, "candidate", Activation::Tanh)?;
            let clip = of.parsed("clip", "NUMBER")?;
            recurrent(of, GruCellSpec { reset, gates, candidate, clip })?
        }
        "lstm" => {
            let (peepholes, input_forget) = (of.flag("peepholes"), of.flag("input-forget"));
            let gates = activation_of(of, "gates", Activation::Sigmoid)?;
            let candidate = activation_of(of, "candidate", Activation::Tanh)?;
            let output = activation_of(of, "output", Activation::Tanh)?;
            let clip = of.parsed("clip", "NUMBER")?;
            recurrent(of, LstmCellSpec { peepholes, gates, candidate, output, clip, input_forget })?
        }
        "linear" => {
            let outputs = required(of, "outputs")?;
            LayerKind::Linear { outputs, bias: !of.flag("no-bias") }
        }
        "every-step" => Readout::EveryStep.into(),
        "last" => Readout::Last.into(),
        "mean" => Readout::Mean.into(),
        "max" => Readout::Max.into(),
        "scale" => {
            let gain = of.list("gain")?.unwrap_or_else(|| vec![1.0]);
            LayerKind::scale(gain, of.list("offset")?.unwrap_or_else(|| vec![0.0]))
        }
        "residual" => {
            let from = of.parsed("from", "NUMBER")?.unwrap_or(0);
            let block = of.block.take().ok_or_else(|| refusal(of.line, "layers in braces after 'residual'", ""))?;
            LayerKind::residual(from, block.into_iter().map(layer).collect::<Result<Vec<_>>>()?)
        }
        other => match activation(other) {
            Some(activation) => activation.into(),
            None => return Err(refusal(of.line, "a kind of layer, a read-out or an activation", other)),
        },
    };
    of.end()?;
    Ok(LayerSpec::new(of.name.take().unwrap_or_default(), kind))
}

fn required(of: &mut Statement, key: &str) -> Result<usize> {
    let line = of.line;
    of.parsed(key, "NUMBER")?.ok_or_else(|| refusal(line, &format!("{key}=NUMBER"), &of.kind))
}

/// The layers of that cell, with the settings that all cells have.
fn recurrent(of: &mut Statement, cell: impl Into<CellSpec>) -> Result<LayerKind> {
    let sizes = of.list("hidden")?.ok_or_else(|| refusal(of.line, "hidden= and a size for each layer", &of.kind))?;
    let mut spec = RecurrentSpec::new(cell, sizes);
    spec.bidirectional = of.flag("bidirectional");
    spec.bias = !of.flag("no-bias");
    spec.initial_state = of.flag("own-state");
    spec.proj_size = of.parsed("projection", "NUMBER")?.unwrap_or(0);
    spec.dropout = of.parsed("dropout", "NUMBER")?.unwrap_or(0.0);
    spec.state_delay = of.parsed("delay", "NUMBER")?.unwrap_or(1);
    Ok(spec.into())
}

fn activation_of(of: &mut Statement, key: &str, usual: Activation) -> Result<Activation> {
    let Some(word) = of.take(key)? else { return Ok(usual) };
    activation(&word).ok_or_else(|| refusal(of.line, &format!("{key}= and an activation"), &format!("{key}={word}")))
}

/// The activation that is spelled so.
pub(in crate::model) fn activation(word: &str) -> Option<Activation> {
    let (name, arguments) = match word.split_once('(') {
        Some((name, arguments)) => (name, Some(arguments.strip_suffix(')')?)),
        None => (word, None),
    };
    let numbers: Vec<f32> = match arguments {
        Some(arguments) => arguments.split(',').map(|number| number.trim().parse().ok()).collect::<Option<_>>()?,
        None => Vec::new(),
    };
    Some(match (name, &numbers[..]) {
        ("identity", []) => Activation::Identity,
        ("tanh", []) => Activation::Tanh,
        ("relu", []) => Activation::Relu,
        ("sigmoid", []) => Activation::Sigmoid,
        ("softmax", []) => Activation::Softmax,
        ("softsign", []) => Activation::Softsign,
        ("softplus", []) => Activation::Softplus,
        ("hard-sigmoid", &[alpha, beta]) => Activation::HardSigmoid { alpha, beta },
        ("leaky-relu", &[alpha]) => Activation::LeakyRelu { alpha },
        ("elu", &[alpha]) => Activation::Elu { alpha },
        ("scaled-tanh", &[alpha, beta]) => Activation::ScaledTanh { alpha, beta },
        ("affine", &[alpha, beta]) => Activation::Affine { alpha, beta },
        ("thresholded-relu", &[alpha]) => Activation::ThresholdedRelu { alpha },
        _ => return None,
    })
}
