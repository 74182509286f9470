//! Which model a file of parameters is. A state dict has names and sizes, and no order, no activation, no read-out: it is
//! taken for a model only where one reading of it exists.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use super::spec::{Activation, CellSpec, LayerKind, LayerSpec, ModelSpec, Readout, RecurrentSpec};
use super::text::activation;
use crate::error::{Error, Result};
use crate::format::{CellKind, Description, Dtype, LoadOptions, TensorFile, TensorInfo, describe, prefixes, visible};

/// The metadata's key under which a saved file has its spec.
pub const SPEC_KEY: &str = "elman.spec";

/// What settles a reading that is not the only one.
const SETTLE: &str =
    "the layers by name in their order, such as 'lstm, last, fc1, relu, fc2' (ModelSpec::from_state_dict)";

/// What was made of a file, and how it is to be loaded. Its text is one line, such as `taken: lstm (2 layers), then fc
/// 64 → 1 at every step, no activation: the file names none`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Taken {
    /// The file's names that the model calls otherwise, each with the model's: those of `torch.nn.LSTMCell`, which lack
    /// `_l0`, and those whose prefix ends in an underscore.
    pub renamed: Vec<(String, String)>,
    /// The file's tensors that are not the model's parameters.
    pub left_aside: Vec<String>,
    line: String,
}

impl Taken {
    /// How the file's tensors are loaded into the model's parameters.
    #[must_use]
    pub fn load_options(&self) -> LoadOptions {
        let mut options = LoadOptions::new();
        options.rename = self.renamed.clone();
        options.left_aside = self.left_aside.clone();
        options
    }
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

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
            return Ok((spec, Taken { line: "taken: what the file says of itself".into(), ..Taken::default() }));
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

/// Pieces between commas that are not in brackets.
fn items(layers: &str) -> impl Iterator<Item = &str> {
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

/// A file's tensors that are right behind a prefix: the rest of their names.
type Module<'a> = Vec<(&'a str, TensorInfo<'a>)>;

/// What a module is, as far as its tensors tell.
enum Role {
    /// A matrix and no bias: an embedding, or a linear layer without one.
    Matrix { rows: usize, columns: usize },
    /// A matrix and its bias.
    Linear { rows: usize, columns: usize },
    /// Whole numbers alone.
    Buffers,
    /// Something else, in words.
    Other(String),
}

impl Role {
    fn of(module: &Module<'_>) -> Self {
        let integer =
            |info: &TensorInfo<'_>| info.dtype.name().starts_with(['I', 'U', 'B']) && info.dtype != Dtype::BF16;
        let has = |leaf: &str| module.iter().find(|(name, _)| *name == leaf).map(|(_, info)| info.shape);
        if has("running_mean").is_some() || has("num_batches_tracked").is_some() {
            return Role::Other("a batch norm".into());
        }
        let floats: Vec<_> = module.iter().filter(|(_, info)| !integer(info)).collect();
        match (&floats[..], has("weight"), has("bias")) {
            ([], ..) => Role::Buffers,
            ([_], Some(&[rows, columns]), None) => Role::Matrix { rows, columns },
            ([_, _], Some(&[rows, columns]), Some(&[bias])) if bias == rows => Role::Linear { rows, columns },
            (_, Some([_]), _) => Role::Other("a norm".into()),
            (_, Some([_, _, _, ..]), _) => Role::Other("a convolution".into()),
            _ if has("weight_g").is_some() || has("weight_v").is_some() => Role::Other("a weight norm".into()),
            _ => {
                let names: Vec<_> = floats.iter().take(3).map(|(_, info)| visible(info.name)).collect();
                Role::Other(format!("a module of an unknown kind ({})", names.join(", ")))
            }
        }
    }
}

/// What a file has beside its recurrent network.
struct Surroundings {
    embedding: Option<String>,
    head: Option<String>,
    buffers: Vec<String>,
}

impl Surroundings {
    /// The one reading of what is beside the network.
    fn of(file: &TensorFile, network: &Description) -> Result<Self> {
        let mut modules = BTreeMap::<&str, Module<'_>>::new();
        let own: HashSet<_> = network.tensors().into_iter().map(|(name, _)| name).collect();
        for info in file.iter().filter(|info| !own.contains(info.name)) {
            let (module, leaf) = info.name.rsplit_once('.').unwrap_or(("", info.name));
            modules.entry(module).or_default().push((leaf, info));
        }
        let (input, output) = (network.input_size, width(network));
        let (mut embeddings, mut heads, mut either, mut others) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut buffers = Vec::new();
        for (&name, module) in &modules {
            let shown = visible(if name.is_empty() { "the root" } else { name });
            match Role::of(module) {
                Role::Buffers => buffers.extend(module.iter().map(|(_, info)| info.name.to_string())),
                // Square, it maps the input's features and the output's alike.
                Role::Linear { rows, columns } if columns == output && !(rows == columns && columns == input) => {
                    heads.push((name, format!("{shown}: a linear layer {columns} → {rows}")));
                }
                Role::Linear { rows, columns } => others.push(format!("{shown}: a linear layer {columns} → {rows}")),
                Role::Matrix { rows, columns } if columns == input && columns == output => {
                    either.push((name, format!("{shown}: an embedding of {rows} by {columns}, or a linear layer")));
                }
                Role::Matrix { rows, columns } if columns == input => {
                    embeddings.push((name, format!("{shown}: an embedding of {rows} by {columns}")));
                }
                Role::Matrix { rows, columns } if columns == output => {
                    heads.push((name, format!("{shown}: a linear layer {columns} → {rows}, no bias")));
                }
                Role::Matrix { rows, columns } => {
                    others.push(format!("{shown}: an embedding of {rows} by {columns}, or a linear layer"));
                }
                Role::Other(what) => others.push(format!("{shown}: {what}")),
            }
        }
        // Of a matrix that fits at both ends one is left where the other end has its own.
        match (&mut either[..], embeddings.len(), heads.len()) {
            ([_], 0, 1) => embeddings.append(&mut either),
            ([_], 1, 0) => heads.append(&mut either),
            _ => {}
        }
        if others.is_empty() && either.is_empty() && embeddings.len() <= 1 && heads.len() <= 1 {
            let name = |found: Vec<(&str, String)>| found.first().map(|(name, _)| (*name).to_string());
            return Ok(Self { embedding: name(embeddings), head: name(heads), buffers });
        }
        let mut candidates = vec![network_words(network, None)];
        candidates.extend(embeddings.into_iter().chain(heads).chain(either).map(|(_, words)| words));
        candidates.extend(others);
        Err(ambiguous(file, candidates))
    }
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

/// A model while it is read, layer by layer.
struct Reading<'a> {
    file: &'a TensorFile,
    inputs: Option<usize>,
    /// Features of the last layer's output, where they are known.
    width: Option<usize>,
    layers: Vec<LayerSpec>,
    words: Vec<String>,
    /// Names of the file's tensors that are the model's.
    used: HashSet<String>,
    renamed: Vec<(String, String)>,
    one_step: bool,
}

impl<'a> Reading<'a> {
    fn new(file: &'a TensorFile) -> Self {
        let (layers, words, renamed) = (Vec::new(), Vec::new(), Vec::new());
        Self { file, inputs: None, width: None, layers, words, used: HashSet::new(), renamed, one_step: false }
    }

    /// One of the pieces that the caller's text has between commas.
    fn item(&mut self, item: &str) -> Result<()> {
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
        match Role::of(&module) {
            Role::Linear { .. } => self.linear(name),
            // Before everything else there is nothing that a linear layer could be of: an index is looked up.
            Role::Matrix { .. } if self.layers.is_empty() => self.embedding(name),
            Role::Matrix { .. } => self.linear(name),
            Role::Buffers => Err(Error::unsupported(name, "a module without parameters")),
            Role::Other(what) => Err(Error::unsupported(name, what)),
        }
    }

    fn module_of(&self, name: &str) -> Module<'a> {
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

    fn embedding(&mut self, name: &str) -> Result<()> {
        let module = self.module_of(name);
        let Role::Matrix { rows, columns } = Role::of(&module) else {
            return Err(Error::unsupported(name, "an embedding with other tensors than its weight"));
        };
        self.claim(name, [format!("{}weight", dotted(name))])?;
        (self.inputs, self.width) = (Some(1), Some(columns));
        self.layers.push(LayerSpec::new(name, LayerKind::embedding(rows, columns)));
        let called = if name == "embedding" { String::new() } else { format!(" {}", visible(name)) };
        self.words.push(format!("embedding{called} of {rows} by {columns}"));
        Ok(())
    }

    fn linear(&mut self, name: &str) -> Result<()> {
        let module = self.module_of(name);
        let (rows, columns, bias) = match Role::of(&module) {
            Role::Matrix { rows, columns } => (rows, columns, false),
            Role::Linear { rows, columns } => (rows, columns, true),
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

    fn recurrent(&mut self, network: &Description, nonlinearity: Option<Activation>) -> Result<()> {
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
                    (None, None) => "tanh, as the file does not say".to_string(),
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
    fn finish(self, left_aside: Vec<String>, assumed: bool) -> (ModelSpec, Taken) {
        let mut spec = ModelSpec::new(self.inputs.unwrap_or(1));
        spec.layers = self.layers;
        let mut line = format!("taken: {}", self.words.join(", then "));
        if !self.one_step {
            line.push_str(" at every step");
        }
        if assumed {
            line.push_str(", no activation: the file names none");
        }
        if !left_aside.is_empty() {
            const MOST: usize = 8;
            let names: Vec<_> = left_aside.iter().take(MOST).map(|name| visible(name)).collect();
            line.push_str(&format!("; left aside: {}", names.join(", ")));
            if left_aside.len() > MOST {
                line.push_str(&format!(" and {} more", left_aside.len() - MOST));
            }
        }
        (spec, Taken { renamed: self.renamed, left_aside, line })
    }
}

/// The name as a beginning of names.
fn dotted(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!("{name}.") }
}
