//! From specs to layers that run.

use super::{Chain, Kind, Recurrence, Stage};
use crate::error::{Error, Result, at_least_one};
use crate::kernel::Kernels;
use crate::layer::{Cell, Elementwise, Embedding, Linear, LinearSettings, Nonlinearity, Readout, Sizes};
use crate::memory;
use crate::model::spec::{
    Activation, CellSpec, GruCellSpec, LayerKind, LayerSpec, LstmCellSpec, RecurrentSpec, Reset, RnnCellSpec,
};
use crate::network::{NetworkConfig, Recurrent, check_forget_bias};
use crate::params::{ParamId, ParamTable, Params};
use crate::rng::Rng;

/// What is known about the rows between two layers while a chain is built.
pub(in crate::model) struct BuildContext<'a> {
    pub(in crate::model) table: &'a mut ParamTable,
    pub(in crate::model) kernels: &'static Kernels,
    /// Features of a step.
    pub(in crate::model) width: usize,
    /// Whether a read-out has left one step.
    pub(in crate::model) one_step: bool,
    /// Every recurrent layer in every direction so far.
    pub(in crate::model) sizes: Vec<Sizes>,
    /// Recurrent layers so far.
    pub(in crate::model) layers: usize,
    /// The first states that are the model's own.
    pub(in crate::model) own: Vec<OwnState>,
    /// Whether this is inside a residual.
    pub(in crate::model) inside: bool,
}

/// The first states of recurrent layers that are parameters.
#[derive(Clone, Debug)]
pub(in crate::model) struct OwnState {
    /// The place of the first of them among all states.
    pub(in crate::model) first: usize,
    /// Layers, directions counted.
    pub(in crate::model) count: usize,
    /// (D·layers, H or P).
    pub(in crate::model) h_0: ParamId,
    /// (D·layers, H), of an LSTM.
    pub(in crate::model) c_0: Option<ParamId>,
}

impl Chain {
    /// The layers of `specs`, their parameters entered in the table in the order of the layers.
    ///
    /// # Errors
    /// Naming the layer and the setting: sizes of zero, sizes that do not fit, what the engine cannot run.
    pub(in crate::model) fn new(specs: &[LayerSpec], prefix: &str, context: &mut BuildContext<'_>) -> Result<Self> {
        let mut stages = Vec::new();
        for (index, spec) in specs.iter().enumerate() {
            let name = match (prefix, &spec.name[..]) {
                ("", name) => name.to_string(),
                (prefix, "") => prefix.to_string(),
                (prefix, name) => format!("{prefix}.{name}"),
            };
            let first = index == 0 && !context.inside;
            let kind = kind(&spec.kind, &name, first, context)?;
            stages.push(Stage { kind, width: context.width });
        }
        Ok(Self { stages })
    }

    /// Draws every parameter as PyTorch does, in their order. First states begin as zeros.
    pub(in crate::model) fn init(&self, params: &mut Params, rng: &mut Rng) {
        for stage in &self.stages {
            match &stage.kind {
                Kind::Embedding(embedding) => embedding.init(params, rng),
                Kind::Recurrent(recurrence) => recurrence.network.init(params, rng),
                Kind::Linear(linear) => linear.init(params, rng),
                Kind::Residual { chain, .. } => chain.init(params, rng),
                Kind::Elementwise(_) | Kind::Readout(_) | Kind::Scale { .. } => {}
            }
        }
    }

    /// Sets the bias of the first layer's forget gates.
    ///
    /// # Errors
    /// [`Error::Setting`] for a value that is not finite, and for a layer that is no LSTM with biases.
    pub(in crate::model) fn set_forget_bias(&self, params: &mut Params, value: f32) -> Result<()> {
        let Some(Stage { kind: Kind::Recurrent(recurrence), .. }) = self.stages.first() else { return Ok(()) };
        let config = recurrence.network.config();
        check_forget_bias(config.cell, config.bias, Some(value))?;
        recurrence.network.set_forget_bias(params, value);
        Ok(())
    }

    /// Lays every weight out in panels.
    pub(in crate::model) fn load(&mut self, params: &Params) -> Result<()> {
        for stage in &mut self.stages {
            match &mut stage.kind {
                Kind::Recurrent(recurrence) => recurrence.network.load(params)?,
                Kind::Linear(linear) => linear.load(params)?,
                Kind::Residual { chain, .. } => chain.load(params)?,
                Kind::Embedding(_) | Kind::Elementwise(_) | Kind::Readout(_) | Kind::Scale { .. } => {}
            }
        }
        Ok(())
    }
}

fn kind(spec: &LayerKind, name: &str, first: bool, context: &mut BuildContext<'_>) -> Result<Kind> {
    Ok(match spec {
        LayerKind::Embedding { vocabulary, width } => {
            if !first || context.width != 1 {
                let expected = "an embedding as the first layer of a model with inputs = 1, one index a step";
                return Err(Error::setting(called(name, "embedding"), expected, "another context"));
            }
            context.width = *width;
            Kind::Embedding(Embedding::new(context.table, name, *vocabulary, *width)?)
        }
        LayerKind::Recurrent(spec) => Kind::Recurrent(Box::new(recurrence(spec, name, context)?)),
        LayerKind::Linear { outputs, bias } => {
            let settings = LinearSettings {
                in_features: context.width,
                out_features: *outputs,
                bias: *bias,
                kernels: Some(context.kernels),
            };
            context.width = *outputs;
            let linear = Linear::with(context.table, name, settings).map_err(|error| of_layer(name, error))?;
            Kind::Linear(Box::new(linear))
        }
        LayerKind::Activation(activation) => match elementwise(*activation) {
            Some(Some(elementwise)) => Kind::Elementwise(elementwise),
            Some(None) => Kind::Readout(Readout::EveryStep),
            None => return Err(unsupported(name, &format!("the activation {activation:?} between layers"))),
        },
        LayerKind::Readout(readout) => {
            if *readout != Readout::EveryStep {
                if context.inside {
                    return Err(unsupported(name, "a read-out of one step inside a residual"));
                }
                context.one_step = true;
            }
            Kind::Readout(*readout)
        }
        LayerKind::Scale { gain, offset } => {
            let [gain, offset] = [("gain", gain), ("offset", offset)].map(|(what, values)| match values.len() {
                1 => {
                    let mut all = Vec::new();
                    memory::reserve(&format!("{}: {what}", called(name, "scale")), &mut all, context.width)?;
                    all.resize(context.width, values[0]);
                    Ok(all)
                }
                n if n == context.width => Ok(values.clone()),
                n => {
                    let expected = format!("1 value or {}, one for each feature", context.width);
                    Err(Error::setting(&format!("{}: {what}", called(name, "scale")), &expected, n))
                }
            });
            Kind::Scale { gain: gain?, offset: offset? }
        }
        LayerKind::Residual { from, layers } => residual(*from, layers, name, context)?,
    })
}

fn residual(from: usize, layers: &[LayerSpec], name: &str, context: &mut BuildContext<'_>) -> Result<Kind> {
    let called = called(name, "residual");
    at_least_one(&format!("{called}: layers"), layers.len())?;
    let (width, inside) = (context.width, context.inside);
    context.inside = true;
    let chain = Chain::new(layers, name, context)?;
    context.inside = inside;
    if from.checked_add(context.width).is_none_or(|end| end > width) {
        let expected = format!("at most {width} features of the input, {} of them from {from} on", context.width);
        return Err(Error::setting(called, &expected, context.width));
    }
    Ok(Kind::Residual { from, chain })
}

fn recurrence(spec: &RecurrentSpec, name: &str, context: &mut BuildContext<'_>) -> Result<Recurrence> {
    if context.one_step {
        return Err(unsupported(name, "recurrent layers behind a read-out of one step"));
    }
    if spec.state_delay != 1 {
        return Err(unsupported(name, &format!("a state delay of {}", spec.state_delay)));
    }
    let config = NetworkConfig {
        bias: spec.bias,
        dropout: spec.dropout,
        bidirectional: spec.bidirectional,
        proj_size: spec.proj_size,
        kernels: Some(context.kernels),
        ..NetworkConfig::new(cell(&spec.cell, name)?, context.width, spec.hidden_sizes.clone())
    };
    let network = Recurrent::new(config, context.table, name).map_err(|error| of_layer(name, error))?;
    let (states, layers) = (context.sizes.len(), context.layers);
    context.sizes.extend(network.sizes());
    context.layers += network.count();
    context.width = network.output_size();
    if spec.initial_state {
        context.own.push(own_state(&network, name, states, context.table)?);
    }
    Ok(Recurrence { network, states, layers })
}

/// Enters `h_0` and `c_0` of these layers.
fn own_state(network: &Recurrent, name: &str, first: usize, table: &mut ParamTable) -> Result<OwnState> {
    let sizes: Vec<Sizes> = network.sizes().collect();
    let (hidden, output) = (sizes[0].hidden, sizes[0].output());
    if sizes.iter().any(|other| other.hidden != hidden) {
        return Err(unsupported(name, "an initial state of layers of different sizes"));
    }
    let dot = if name.is_empty() { "" } else { "." };
    let h_0 = table.add(format!("{name}{dot}h_0"), &[sizes.len(), output])?;
    let has_c = sizes[0].cell.facts().has_cell_state();
    let c_0 = has_c.then(|| table.add(format!("{name}{dot}c_0"), &[sizes.len(), hidden])).transpose()?;
    Ok(OwnState { first, count: sizes.len(), h_0, c_0 })
}

/// The engine's cell, or what it cannot run yet.
fn cell(spec: &CellSpec, name: &str) -> Result<Cell> {
    use Activation::{Relu, Sigmoid, Tanh};
    let clipped = |clip: &Option<f32>| match clip {
        Some(clip) => Err(unsupported(name, &format!("activations whose input is clipped to {clip}"))),
        None => Ok(()),
    };
    let needs = |part: &str, activation: &Activation, only: Activation| match *activation == only {
        true => Ok(()),
        false => Err(unsupported(name, &format!("{part} with the activation {activation:?}"))),
    };
    match spec {
        CellSpec::Rnn(RnnCellSpec { activation, clip }) => {
            clipped(clip)?;
            match activation {
                Tanh => Ok(Cell::Elman(Nonlinearity::Tanh)),
                Relu => Ok(Cell::Elman(Nonlinearity::Relu)),
                other => Err(unsupported(name, &format!("an RNN with the activation {other:?}"))),
            }
        }
        CellSpec::Gru(GruCellSpec { reset, gates, candidate, clip }) => {
            clipped(clip)?;
            needs("a GRU's gates", gates, Sigmoid)?;
            needs("a GRU's candidate", candidate, Tanh)?;
            match reset {
                Reset::After => Ok(Cell::Gru),
                Reset::Before => Err(unsupported(name, "a GRU that resets before the product")),
            }
        }
        CellSpec::Lstm(LstmCellSpec { peepholes, gates, candidate, output, clip, input_forget }) => {
            clipped(clip)?;
            needs("an LSTM's gates", gates, Sigmoid)?;
            needs("an LSTM's candidate", candidate, Tanh)?;
            needs("an LSTM's output", output, Tanh)?;
            match (peepholes, input_forget) {
                (true, _) => Err(unsupported(name, "an LSTM with peepholes")),
                (_, true) => Err(unsupported(name, "an LSTM whose forget gate is 1 - i")),
                (false, false) => Ok(Cell::Lstm),
            }
        }
    }
}

/// The engine's function; none for the identity. `None` for what it cannot run yet.
fn elementwise(activation: Activation) -> Option<Option<Elementwise>> {
    Some(Some(match activation {
        Activation::Identity => return Some(None),
        Activation::Tanh => Elementwise::Tanh,
        Activation::Relu => Elementwise::Relu,
        Activation::Sigmoid => Elementwise::Sigmoid,
        Activation::Softmax => Elementwise::Softmax,
        Activation::HardSigmoid { alpha, beta } => Elementwise::HardSigmoid { alpha, beta },
        Activation::LeakyRelu { alpha } => Elementwise::LeakyRelu { alpha },
        Activation::Affine { alpha, beta } => Elementwise::Affine { alpha, beta },
        _ => return None,
    }))
}

/// The error of a setting with the layer's name before the setting's.
fn of_layer(name: &str, error: Error) -> Error {
    match error {
        Error::Setting { name: setting, expected, got } if !name.is_empty() => {
            Error::Setting { name: format!("{name}: {setting}"), expected, got }
        }
        other => other,
    }
}

fn called<'a>(name: &'a str, kind: &'a str) -> &'a str {
    if name.is_empty() { kind } else { name }
}

fn unsupported(name: &str, what: &str) -> Error {
    Error::unsupported(called(name, "layer"), what)
}
