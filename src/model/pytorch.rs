//! A model as a Python module: the `torch.nn` program into which its file loads strictly.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::spec::{Activation, CellSpec, LayerKind, LayerSpec, ModelSpec, Readout, RecurrentSpec, RnnCellSpec};
use crate::error::{Error, Result};

impl ModelSpec {
    /// A Python program with a class `Model`, a `torch.nn.Module` of the same layers under the same names: a file that
    /// `Model::save` wrote loads into it with `load_state_dict(safetensors.torch.load_file(path), strict=True)`, and it
    /// gives the output and the states of the recurrent layers, a list of PyTorch's. Rows of a batch are of one length
    /// there. Parts are classes of their own, and attributes of the model.
    ///
    /// ```
    /// use elman::{LayerKind, ModelSpec, RecurrentSpec};
    ///
    /// let spec = ModelSpec::new(3).layer("lstm", RecurrentSpec::lstm(vec![8])).layer("fc", LayerKind::linear(1));
    /// let module = spec.pytorch_module()?;
    /// assert!(module.contains("nn.LSTM(3, 8)") && module.contains("nn.Linear(8, 1)"));
    /// # Ok::<(), elman::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) naming what PyTorch has no module for: layers of several
    /// sizes, a GRU that resets before the product, peepholes, other activations of gates, clipping, a state delay,
    /// recurrent layers at the root of the file beside others.
    pub fn pytorch_module(&self) -> Result<String> {
        let mut classes = String::new();
        self.class("Model", &mut classes)?;
        Ok(format!("import torch\nfrom torch import nn\n{classes}"))
    }

    /// Writes the class of that name, those of its parts before it.
    fn class(&self, class: &str, classes: &mut String) -> Result<()> {
        let mut module = Module { init: Vec::new(), forward: Vec::new(), made: BTreeSet::new(), time: 0, residuals: 0 };
        module.time = usize::from(self.batch_first);
        for (name, part) in &self.parts {
            let inner = format!("{class}_{}", identifier(name));
            part.class(&inner, classes)?;
            module.make(name, &format!("{inner}()"))?;
        }
        let root = self.layers.iter().any(|layer| layer.name.is_empty() && has_parameters(&layer.kind));
        let (base, arguments) = if root { self.root(class)? } else { ("nn.Module".to_string(), String::new()) };
        let mut width = self.inputs;
        for layer in &self.layers {
            width = module.layer(layer, "", width, self.batch_first)?;
        }
        let write = "writing to a string cannot fail";
        writeln!(classes, "\n\nclass {class}({base}):\n    def __init__(self):\n        super().__init__({arguments})")
            .expect(write);
        for line in &module.init {
            writeln!(classes, "        {line}").expect(write);
        }
        writeln!(classes, "\n    def forward(self, x, states=None):").expect(write);
        writeln!(classes, "        states, last = iter(states or []), []").expect(write);
        for line in &module.forward {
            writeln!(classes, "        {line}").expect(write);
        }
        writeln!(classes, "        return x, last").expect(write);
        Ok(())
    }

    /// The base class of a model whose parameters have no module's name before theirs, and its arguments.
    fn root(&self, class: &str) -> Result<(String, String)> {
        let with_parameters = self.layers.iter().filter(|layer| has_parameters(&layer.kind)).count();
        // Those before it keep the width.
        match self.layers.iter().map(|layer| &layer.kind).find(|kind| has_parameters(kind)) {
            Some(LayerKind::Recurrent(recurrent)) if with_parameters == 1 && self.parts.is_empty() => {
                let call = recurrent_call(class, recurrent, self.inputs, self.batch_first)?;
                let (base, arguments) = call.trim_end_matches(')').split_once('(').unwrap_or((&call, ""));
                Ok((base.into(), arguments.into()))
            }
            _ => Err(Error::unsupported(class, "a layer at the root of the file beside others, in PyTorch")),
        }
    }
}

/// The lines of a class while they are gathered.
struct Module {
    init: Vec<String>,
    forward: Vec<String>,
    /// Modules that hold others, as `encoder` of `encoder.rnn`.
    made: BTreeSet<String>,
    /// The axis of time.
    time: usize,
    residuals: usize,
}

impl Module {
    /// Adds a layer; returns the features of its output.
    fn layer(&mut self, layer: &LayerSpec, prefix: &str, width: usize, batch_first: bool) -> Result<usize> {
        let dot = if prefix.is_empty() || layer.name.is_empty() { "" } else { "." };
        let name = format!("{prefix}{dot}{}", layer.name);
        let expression = match &layer.kind {
            LayerKind::Embedding { vocabulary, width } => {
                self.make(&name, &format!("nn.Embedding({vocabulary}, {width})"))?;
                self.forward.push(format!("x = {}(x)", access(&name)));
                return Ok(*width);
            }
            LayerKind::Linear { outputs, bias } => {
                let bias = if *bias { "" } else { ", bias=False" };
                self.make(&name, &format!("nn.Linear({width}, {outputs}{bias})"))?;
                self.forward.push(format!("x = {}(x)", access(&name)));
                return Ok(*outputs);
            }
            LayerKind::Recurrent(recurrent) => return self.recurrent(recurrent, &name, width, batch_first),
            LayerKind::Residual { from, layers } => {
                self.residuals += 1;
                let kept = format!("kept_{}", self.residuals);
                self.forward.push(format!("{kept} = x"));
                let mut outputs = width;
                for layer in layers {
                    outputs = self.layer(layer, &name, outputs, batch_first)?;
                }
                self.forward.push(format!("x = x + {kept}[..., {from}:{}]", from + outputs));
                return Ok(outputs);
            }
            LayerKind::Scale { gain, offset } => {
                let [gain, offset] = [gain, offset]
                    .map(|values| values.iter().map(|&value| number(value)).collect::<Vec<_>>().join(", "));
                format!("x * torch.tensor([{gain}]) + torch.tensor([{offset}])")
            }
            LayerKind::Readout(Readout::EveryStep) | LayerKind::Activation(Activation::Identity) => return Ok(width),
            LayerKind::Readout(readout) => {
                let time = self.time;
                match readout {
                    Readout::Last => format!("x.select({time}, -1)"),
                    Readout::Mean => format!("x.mean({time})"),
                    _ => format!("x.amax({time})"),
                }
            }
            LayerKind::Activation(activation) => activation_call(*activation),
        };
        self.forward.push(format!("x = {expression}"));
        Ok(width)
    }

    fn recurrent(&mut self, spec: &RecurrentSpec, name: &str, width: usize, batch_first: bool) -> Result<usize> {
        let call = recurrent_call(name, spec, width, batch_first)?;
        let (layers, directions) = (spec.hidden_sizes.len(), 1 + usize::from(spec.bidirectional));
        let hidden = spec.hidden_sizes.first().copied().unwrap_or(0);
        let out = if spec.proj_size > 0 { spec.proj_size } else { hidden };
        let (run, holder) = if name.is_empty() {
            ("super().forward".to_string(), "self".to_string())
        } else {
            self.make(name, &call)?;
            (access(name), access(name))
        };
        let mut state = "next(states, None)".to_string();
        if spec.initial_state {
            let lstm = matches!(spec.cell, CellSpec::Lstm(_));
            let mut own = Vec::new();
            for (parameter, size) in [("h_0", out), ("c_0", hidden)].into_iter().take(if lstm { 2 } else { 1 }) {
                let zeros = format!("nn.Parameter(torch.zeros({}, {size}))", layers * directions);
                self.init.push(format!("{holder}.{parameter} = {zeros}"));
                let rows = format!("x.shape[{}]", 1 - self.time);
                own.push(format!("{holder}.{parameter}.unsqueeze(1).repeat(1, {rows}, 1)"));
            }
            let own = if lstm { format!("({})", own.join(", ")) } else { own.join("") };
            self.forward.push(format!("own = {own}"));
            state = "next(states, own)".into();
        }
        self.forward.push(format!("x, state = {run}(x, {state})"));
        self.forward.push("last.append(state)".into());
        Ok(directions * out)
    }

    /// A line that makes a module of that name.
    fn make(&mut self, name: &str, call: &str) -> Result<()> {
        let line = self.attribute(name, call)?;
        self.init.push(line);
        Ok(())
    }

    /// The line, once the modules are made that hold this one.
    fn attribute(&mut self, name: &str, call: &str) -> Result<String> {
        if name.contains(['"', '\\', '\n']) {
            return Err(Error::unsupported(name, "a name that Python's strings do not hold as it is"));
        }
        for (dot, _) in name.match_indices('.') {
            let holder = &name[..dot];
            if self.made.insert(holder.into()) {
                self.init.push(set(holder, "nn.Module()"));
            }
        }
        Ok(set(name, call))
    }
}

fn has_parameters(kind: &LayerKind) -> bool {
    match kind {
        LayerKind::Embedding { .. } | LayerKind::Recurrent(_) | LayerKind::Linear { .. } => true,
        // Their names are below the residual's.
        LayerKind::Residual { layers, .. } => {
            layers.iter().any(|layer| layer.name.is_empty() && has_parameters(&layer.kind))
        }
        LayerKind::Activation(_) | LayerKind::Readout(_) | LayerKind::Scale { .. } => false,
    }
}

fn recurrent_call(name: &str, spec: &RecurrentSpec, width: usize, batch_first: bool) -> Result<String> {
    let refuse = |what: &str| Err(Error::unsupported(if name.is_empty() { "recurrent layers" } else { name }, what));
    let hidden = spec.hidden_sizes.first().copied().unwrap_or(0);
    if spec.hidden_sizes.iter().any(|&other| other != hidden) {
        return refuse("layers of several sizes in PyTorch");
    }
    if spec.state_delay != 1 {
        return refuse("a state delay in PyTorch");
    }
    let (module, activation) = match &spec.cell {
        CellSpec::Rnn(RnnCellSpec { activation: Activation::Tanh, clip: None }) => ("nn.RNN", ""),
        CellSpec::Rnn(RnnCellSpec { activation: Activation::Relu, clip: None }) => {
            ("nn.RNN", ", nonlinearity=\"relu\"")
        }
        CellSpec::Gru(_) if spec.cell == CellSpec::gru() => ("nn.GRU", ""),
        CellSpec::Lstm(_) if spec.cell == CellSpec::lstm() => ("nn.LSTM", ""),
        _ => return refuse("this cell in PyTorch"),
    };
    let mut call = format!("{module}({width}, {hidden}");
    if spec.hidden_sizes.len() != 1 {
        write!(call, ", num_layers={}", spec.hidden_sizes.len()).expect("writing to a string cannot fail");
    }
    call.push_str(activation);
    for (set, argument) in [
        (!spec.bias, ", bias=False".to_string()),
        (batch_first, ", batch_first=True".into()),
        (spec.dropout > 0.0, format!(", dropout={:?}", spec.dropout)),
        (spec.bidirectional, ", bidirectional=True".into()),
        (spec.proj_size > 0, format!(", proj_size={}", spec.proj_size)),
    ] {
        if set {
            call.push_str(&argument);
        }
    }
    Ok(call + ")")
}

/// The number in Python's words.
fn number(value: f32) -> String {
    if value.is_finite() { format!("{value:?}") } else { format!("float(\"{value}\")") }
}

fn activation_call(activation: Activation) -> String {
    match activation {
        Activation::Identity => "x".into(),
        Activation::Tanh => "torch.tanh(x)".into(),
        Activation::Relu => "torch.relu(x)".into(),
        Activation::Sigmoid => "torch.sigmoid(x)".into(),
        Activation::Softmax => "torch.softmax(x, -1)".into(),
        Activation::HardSigmoid { alpha, beta } => {
            format!("torch.clamp({} * x + {}, 0, 1)", number(alpha), number(beta))
        }
        Activation::LeakyRelu { alpha } => format!("nn.functional.leaky_relu(x, {})", number(alpha)),
        Activation::Elu { alpha } => format!("nn.functional.elu(x, {})", number(alpha)),
        Activation::Softsign => "nn.functional.softsign(x)".into(),
        Activation::Softplus => "nn.functional.softplus(x)".into(),
        Activation::ScaledTanh { alpha, beta } => format!("{} * torch.tanh({} * x)", number(alpha), number(beta)),
        Activation::Affine { alpha, beta } => format!("{} * x + {}", number(alpha), number(beta)),
        Activation::ThresholdedRelu { alpha } => format!("torch.where(x > {}, x, 0)", number(alpha)),
    }
}

/// Whether a word can stand behind a dot in Python.
fn is_identifier(word: &str) -> bool {
    !word.is_empty()
        && !word.starts_with(|c: char| c.is_ascii_digit())
        && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !["and", "as", "class", "def", "del", "for", "from", "if", "in", "is", "lambda", "not", "or", "with"]
            .contains(&word)
}

/// The word with everything that no name of Python's has made `_`.
fn identifier(word: &str) -> String {
    word.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// The module of that name: by its attributes or, where Python has no such names, by its path.
fn access(name: &str) -> String {
    if name.split('.').all(is_identifier) { format!("self.{name}") } else { format!("self.get_submodule(\"{name}\")") }
}

fn set(name: &str, call: &str) -> String {
    if name.split('.').all(is_identifier) {
        return format!("self.{name} = {call}");
    }
    match name.rsplit_once('.') {
        Some((holder, last)) => format!("{}.add_module(\"{last}\", {call})", access(holder)),
        None => format!("self.add_module(\"{name}\", {call})"),
    }
}
