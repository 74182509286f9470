//! A model in words and as JSON: the same facts under the same names in every verb.

use elman::format::{CellKind, Description};
use elman::{Activation, CellSpec, LayerKind, LayerSpec, ModelSpec, Readout, RecurrentSpec};
use serde::Serialize;

use super::common::count;

/// Recurrent layers.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Facts {
    pub(crate) cell: String,
    /// Of an rnn alone; null where it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) nonlinearity: Option<Option<String>>,
    pub(crate) input_size: usize,
    pub(crate) hidden_sizes: Vec<usize>,
    pub(crate) num_layers: usize,
    pub(crate) directions: usize,
    pub(crate) bias: bool,
    pub(crate) proj_size: usize,
}

impl Facts {
    /// `nonlinearity` is what the file says of it.
    pub(crate) fn described(description: &Description, nonlinearity: Option<&str>) -> Self {
        Self {
            cell: description.kind.to_string(),
            nonlinearity: (description.kind == CellKind::Rnn).then(|| nonlinearity.map(Into::into)),
            input_size: description.input_size,
            hidden_sizes: description.hidden_sizes.clone(),
            num_layers: description.hidden_sizes.len(),
            directions: 1 + usize::from(description.bidirectional),
            bias: description.bias,
            proj_size: description.proj_size,
        }
    }

    fn specified(spec: &RecurrentSpec, input_size: usize) -> Self {
        let (cell, nonlinearity) = match &spec.cell {
            CellSpec::Rnn(cell) => ("rnn", Some(Some(activation_name(cell.activation)))),
            CellSpec::Gru(_) => ("gru", None),
            CellSpec::Lstm(_) => ("lstm", None),
            _ => ("another cell", None),
        };
        Self {
            cell: cell.into(),
            nonlinearity,
            input_size,
            hidden_sizes: spec.hidden_sizes.clone(),
            num_layers: spec.hidden_sizes.len(),
            directions: 1 + usize::from(spec.bidirectional),
            bias: spec.bias,
            proj_size: spec.proj_size,
        }
    }

    /// Features of the last layer's output.
    fn outputs(&self) -> usize {
        let own = self.hidden_sizes.last().copied().unwrap_or(0);
        self.directions * if self.proj_size > 0 { self.proj_size } else { own }
    }

    /// `lstm, 2 layers, 1 direction, 3 input features, 8 hidden units`.
    pub(crate) fn words(&self) -> String {
        let same = self.hidden_sizes.windows(2).all(|pair| pair[0] == pair[1]);
        let mut parts = vec![
            match &self.nonlinearity {
                Some(Some(nonlinearity)) => format!("{} ({nonlinearity})", self.cell),
                Some(None) => format!("{} (nonlinearity unknown)", self.cell),
                None => self.cell.clone(),
            },
            count(self.num_layers as u64, "layer"),
            count(self.directions as u64, "direction"),
            count(self.input_size as u64, "input feature"),
            match self.hidden_sizes.first() {
                Some(&hidden) if same => count(hidden as u64, "hidden unit"),
                _ => format!("{:?} hidden units", self.hidden_sizes),
            },
        ];
        if self.proj_size > 0 {
            parts.push(format!("projected to {}", self.proj_size));
        }
        if !self.bias {
            parts.push("no biases".into());
        }
        parts.join(", ")
    }
}

/// The recurrent layers of a model, each behind its prefix, without the dot.
pub(crate) fn recurrent(spec: &ModelSpec) -> Vec<(String, Facts)> {
    let mut all = Vec::new();
    walk(&spec.layers, "", spec.inputs, &mut |name, layer, width| {
        if let LayerKind::Recurrent(recurrent) = layer {
            all.push((name.to_string(), Facts::specified(recurrent, width)));
        }
    });
    all
}

/// What the input goes through, in words: `embedding 30 → 6, lstm, 1 layer, …; last step; fc 8 → 5; softmax`.
pub(crate) fn words(spec: &ModelSpec) -> String {
    let mut parts = Vec::new();
    walk(&spec.layers, "", spec.inputs, &mut |name, layer, width| {
        let called = |kind: &str| if name.is_empty() { kind.to_string() } else { name.to_string() };
        parts.push(match layer {
            LayerKind::Embedding { vocabulary, width, .. } => format!("{} {vocabulary} → {width}", called("embedding")),
            LayerKind::Recurrent(recurrent) => Facts::specified(recurrent, width).words(),
            LayerKind::Linear { outputs, bias, .. } => {
                let bias = if *bias { "" } else { " without a bias" };
                format!("{} {width} → {outputs}{bias}", called("linear"))
            }
            LayerKind::Activation(activation) => activation_name(*activation),
            LayerKind::Readout(readout) => readout_name(*readout).into(),
            LayerKind::Scale { .. } => "a scale".into(),
            LayerKind::Residual { from: 0, .. } => "its input added".into(),
            LayerKind::Residual { from, .. } => format!("its input from feature {from} on added"),
            other => format!("{other:?}"),
        });
    });
    parts.join("; ")
}

/// Calls `see` with each layer's name, what it is, and the features of its input. Layers inside of a residual come before
/// it. Returns the features of the output.
fn walk(layers: &[LayerSpec], prefix: &str, inputs: usize, see: &mut dyn FnMut(&str, &LayerKind, usize)) -> usize {
    let mut width = inputs;
    for layer in layers {
        let dot = if prefix.is_empty() || layer.name.is_empty() { "" } else { "." };
        let name = format!("{prefix}{dot}{}", layer.name);
        let outputs = match &layer.kind {
            LayerKind::Embedding { width, .. } => *width,
            LayerKind::Recurrent(recurrent) => Facts::specified(recurrent, width).outputs(),
            LayerKind::Linear { outputs, .. } => *outputs,
            LayerKind::Residual { layers, .. } => walk(layers, &name, width, see),
            _ => width,
        };
        see(&name, &layer.kind, width);
        width = outputs;
    }
    width
}

/// Features of what every layer gives.
pub(crate) fn widths(spec: &ModelSpec) -> Vec<usize> {
    let mut all = Vec::new();
    let outputs = walk(&spec.layers, "", spec.inputs, &mut |_, _, width| all.push(width));
    all.push(outputs);
    // Between the layers of a stack, which `walk` sees as one.
    let stacks = recurrent(spec).into_iter();
    all.extend(
        stacks.flat_map(|(_, facts)| facts.hidden_sizes.into_iter().map(move |hidden| hidden * facts.directions)),
    );
    all
}

/// Whether one step is left of each sequence.
pub(crate) fn leaves_one_step(spec: &ModelSpec) -> bool {
    spec.layers.iter().any(|layer| matches!(&layer.kind, LayerKind::Readout(readout) if *readout != Readout::EveryStep))
}

fn activation_name(activation: Activation) -> String {
    let name = match activation {
        Activation::Identity => "identity",
        Activation::Tanh => "tanh",
        Activation::Relu => "relu",
        Activation::Sigmoid => "sigmoid",
        Activation::Softmax => "softmax",
        Activation::Softsign => "softsign",
        Activation::Softplus => "softplus",
        // With its parameters.
        other => return format!("{other:?}"),
    };
    name.into()
}

fn readout_name(readout: Readout) -> &'static str {
    match readout {
        Readout::Last => "last step",
        Readout::Mean => "mean over steps",
        Readout::Max => "maximum over steps",
        _ => "every step",
    }
}
