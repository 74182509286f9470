//! A spec while it is made of a file's modules, one after the other.

use std::collections::HashSet;

use super::surroundings::{ModuleRole, ModuleTensors};
use super::{network_words, width};
use crate::error::{Error, Result};
use crate::format::{Assumed, CellKind, Description, Taken, TensorFile, TensorInfo, describe, prefixes, visible};
use crate::model::spec::{Activation, CellSpec, LayerKind, LayerSpec, ModelSpec, Readout, RecurrentSpec};
use crate::model::text::activation;

/// Pieces between commas that are not in brackets.
pub(super) fn items(layers: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_usize;
    let pieces = layers.split(move |c| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        (c == ',' && depth == 0) || c == '\n'
    });
    pieces.map(str::trim).filter(|item| !item.is_empty())
}

/// A model while it is read, layer by layer.
pub(super) struct Reading<'a> {
    file: &'a TensorFile,
    inputs: Option<usize>,
    /// Features of the last layer's output, where they are known.
    width: Option<usize>,
    pub(super) layers: Vec<LayerSpec>,
    words: Vec<String>,
    /// Names of the file's tensors that are the model's.
    pub(super) used: HashSet<String>,
    renamed: Vec<(String, String)>,
    assumed: Vec<Assumed>,
    one_step: bool,
}

impl<'a> Reading<'a> {
    pub(super) fn new(file: &'a TensorFile) -> Self {
        Self {
            file,
            inputs: None,
            width: None,
            layers: Vec::new(),
            words: Vec::new(),
            used: HashSet::new(),
            renamed: Vec::new(),
            assumed: Vec::new(),
            one_step: false,
        }
    }

    /// One of the pieces that the caller's text has between commas.
    pub(super) fn item(&mut self, item: &str) -> Result<()> {
        let mut words = item.split_whitespace();
        let (first, rest) = (words.next().unwrap_or_default(), words.collect::<Vec<_>>());
        if let (Some(module), []) = (self.module(first), &rest[..]) {
            return self.take(module, None);
        }
        if let Ok(kind) = first.parse::<CellKind>() {
            return self.kind(kind, item, &rest);
        }
        let readout = match first {
            "every-step" => Some(Readout::EveryStep),
            "last" => Some(Readout::Last),
            "mean" => Some(Readout::Mean),
            "max" => Some(Readout::Max),
            _ => None,
        };
        let found: Option<LayerKind> = readout.map(Into::into).or_else(|| activation(first).map(Into::into));
        match (found, self.module(first), &rest[..]) {
            (Some(kind), _, []) => {
                self.one_step |= readout.is_some_and(|readout| readout != Readout::EveryStep);
                self.layers.push(LayerSpec::new("", kind));
                self.words.push(first.into());
                Ok(())
            }
            // A recurrent module with its nonlinearity.
            (None, Some(module), [word]) if activation(word).is_some() => self.take(module, activation(word)),
            _ => {
                let expected = "the name of a module of the file, a kind of cell, a read-out or an activation";
                Err(Error::setting("layers", expected, format_args!("'{}'", visible(item))))
            }
        }
    }

    /// The name as a module of the file: with the dot that its tensors have behind it.
    fn module(&self, name: &str) -> Option<&'a str> {
        let behind = |info: &&'a str| {
            let rest = info.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with('.') && !rest[1..].contains('.'))
        };
        self.file.names().find(behind).map(|info| &info[..name.len()])
    }

    /// The recurrent network of a kind: `lstm`, `rnn relu`, `gru encoder`.
    fn kind(&mut self, kind: CellKind, item: &str, rest: &[&str]) -> Result<()> {
        let (nonlinearity, module) = match rest {
            [] => (None, None),
            [word] if activation(word).is_some() => (activation(word), None),
            [module] => (None, Some(*module)),
            [module, word] if activation(word).is_some() => (activation(word), Some(*module)),
            _ => {
                return Err(Error::setting(
                    "layers",
                    "a kind, a module's name, an activation",
                    format_args!("'{item}'"),
                ));
            }
        };
        let found: Vec<_> = match module {
            Some(module) => vec![describe(self.file, Some(module), Some(kind))?],
            None => {
                let all = prefixes(self.file).into_iter();
                let described = all.filter_map(|prefix| describe(self.file, Some(prefix), None).ok());
                described.filter(|network| network.kind == kind).collect()
            }
        };
        match &found[..] {
            [network] => self.recurrent(network, nonlinearity),
            // To be told what is wrong with it.
            [] => describe(self.file, None, Some(kind)).and_then(|network| self.recurrent(&network, nonlinearity)),
            several => {
                let candidates = several.iter().map(|network| network_words(network, None)).collect();
                Err(Error::ambiguous(&format!("layers: '{kind}'"), candidates, "the module's name"))
            }
        }
    }

    /// A module of the file, by what its tensors are.
    fn take(&mut self, name: &str, nonlinearity: Option<Activation>) -> Result<()> {
        let prefix = format!("{name}.");
        if prefixes(self.file).contains(&&prefix[..]) {
            return self.recurrent(&describe(self.file, Some(&prefix), None)?, nonlinearity);
        }
        let module = self.module_of(name);
        match ModuleRole::of(&module) {
            ModuleRole::Linear { .. } => self.linear(name),
            // Before everything else there is nothing that a linear layer could be of: an index is looked up.
            ModuleRole::Matrix { .. } if self.layers.is_empty() => self.embedding(name),
            ModuleRole::Matrix { .. } => self.linear(name),
            ModuleRole::Buffers => Err(Error::unsupported(name, "a module without parameters")),
            ModuleRole::Other(what) => Err(Error::unsupported(name, what)),
        }
    }

    fn module_of(&self, name: &str) -> ModuleTensors<'a> {
        let leaf = |info: TensorInfo<'a>| {
            let (module, leaf) = info.name.rsplit_once('.').unwrap_or(("", info.name));
            (module == name).then_some((leaf, info))
        };
        self.file.iter().filter_map(leaf).collect()
    }

    /// Marks the layer's tensors; each is of one layer only.
    fn claim(&mut self, layer: &str, tensors: impl IntoIterator<Item = String>) -> Result<()> {
        for tensor in tensors {
            if !self.used.insert(tensor) {
                return Err(Error::setting("layers", "each module once", format_args!("'{}' twice", visible(layer))));
            }
        }
        Ok(())
    }

    /// That a layer of so many input features follows.
    fn follow(&mut self, layer: &str, features: usize) -> Result<()> {
        match self.width {
            Some(width) if width != features => {
                let expected = format!("{width} input features, as the layer before has outputs");
                Err(Error::setting(&visible(layer), &expected, features))
            }
            Some(_) => Ok(()),
            None => {
                self.inputs = Some(features);
                Ok(())
            }
        }
    }

    pub(super) fn embedding(&mut self, name: &str) -> Result<()> {
        let module = self.module_of(name);
        let ModuleRole::Matrix { rows, columns } = ModuleRole::of(&module) else {
            return Err(Error::unsupported(name, "an embedding with other tensors than its weight"));
        };
        self.claim(name, [format!("{}weight", dotted(name))])?;
        (self.inputs, self.width) = (Some(1), Some(columns));
        self.layers.push(LayerSpec::new(name, LayerKind::embedding(rows, columns)));
        let called = if name == "embedding" { String::new() } else { format!(" {}", visible(name)) };
        self.words.push(format!("embedding{called} of {rows} by {columns}"));
        Ok(())
    }

    pub(super) fn linear(&mut self, name: &str) -> Result<()> {
        let module = self.module_of(name);
        let (rows, columns, bias) = match ModuleRole::of(&module) {
            ModuleRole::Matrix { rows, columns } => (rows, columns, false),
            ModuleRole::Linear { rows, columns } => (rows, columns, true),
            _ => return Err(Error::unsupported(name, "a linear layer with other tensors than weight and bias")),
        };
        self.follow(name, columns)?;
        let leaves = if bias { &["weight", "bias"][..] } else { &["weight"] };
        self.claim(name, leaves.iter().map(|leaf| format!("{}{leaf}", dotted(name))))?;
        self.width = Some(rows);
        self.layers.push(LayerSpec::new(name, LayerKind::Linear { outputs: rows, bias }));
        self.words.push(format!("{} {columns} → {rows}", visible(name)));
        Ok(())
    }

    pub(super) fn recurrent(&mut self, network: &Description, nonlinearity: Option<Activation>) -> Result<()> {
        let Description { kind, prefix, hidden_sizes, .. } = network;
        self.follow(prefix, network.input_size)?;
        let name = prefix.trim_end_matches(['.', '_']);
        let tensors = network.tensors();
        self.claim(name, tensors.iter().map(|(tensor, _)| tensor.clone()))?;
        for (tensor, _) in &tensors {
            let mut own = format!("{}{}", dotted(name), &tensor[prefix.len()..]);
            if network.unnumbered {
                own.push_str("_l0");
            }
            if own != *tensor {
                self.renamed.push((tensor.clone(), own));
            }
        }
        let mut said = None;
        let cell = match (kind, nonlinearity) {
            (CellKind::Rnn, asked) => {
                let told = self.file.metadata().find(|&(key, _)| key == "nonlinearity").map(|(_, value)| value);
                let activation = match (asked, told) {
                    (Some(asked), _) => asked,
                    (None, Some(told)) => activation(told)
                        .ok_or_else(|| Error::setting("nonlinearity in the metadata", "tanh or relu", visible(told)))?,
                    (None, None) => Activation::Tanh,
                };
                said = Some(match (asked, told) {
                    (None, None) => {
                        self.assumed.push(Assumed::Tanh);
                        "tanh, as the file does not say".to_string()
                    }
                    _ => activation.to_string(),
                });
                CellSpec::rnn(activation)
            }
            (_, Some(_)) => return Err(Error::setting("layers", &format!("a {kind} without an activation"), "one")),
            (CellKind::Gru, None) => CellSpec::gru(),
            (CellKind::Lstm, None) => CellSpec::lstm(),
        };
        let mut spec = RecurrentSpec::new(cell, hidden_sizes.clone());
        (spec.bidirectional, spec.bias, spec.proj_size) = (network.bidirectional, network.bias, network.proj_size);
        self.width = Some(width(network));
        self.layers.push(LayerSpec::new(name, spec));
        self.words.push(network_words(network, said.as_deref()));
        Ok(())
    }

    /// The spec, and what was taken. `assumed` says that the head's place and the lack of an activation were.
    pub(super) fn finish(mut self, left_aside: Vec<String>, assumed: bool) -> (ModelSpec, Taken) {
        let mut spec = ModelSpec::new(self.inputs.unwrap_or(1));
        spec.layers = self.layers;
        let mut line = format!("taken: {}", self.words.join(", then "));
        if !self.one_step {
            line.push_str(" at every step");
        }
        if assumed {
            line.push_str(", no activation: the file names none");
            self.assumed.push(Assumed::LinearAtEveryStep);
        }
        if !left_aside.is_empty() {
            const MOST: usize = 8;
            let names: Vec<_> = left_aside.iter().take(MOST).map(|name| visible(name)).collect();
            line.push_str(&format!("; left aside: {}", names.join(", ")));
            if left_aside.len() > MOST {
                line.push_str(&format!(" and {} more", left_aside.len() - MOST));
            }
        }
        (spec, Taken::new(line, self.renamed, left_aside).assuming(self.assumed))
    }
}

/// The name as a beginning of names.
fn dotted(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!("{name}.") }
}
