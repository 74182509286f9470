//! What `elman inspect` finds in a file.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use elman::format::{self as files, Description, Kind, TensorFile, TensorInfo};
use serde::Serialize;

use crate::verbs::Failure;
use crate::verbs::common::{count, network};

/// What `--json` prints.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) file: String,
    /// Of all tensors.
    pub(super) bytes: usize,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) networks: Vec<Network>,
    /// Of those that are behind a prefix as if of a network, and are none.
    pub(super) problems: Vec<String>,
    pub(super) tensors: Vec<Tensor>,
}

#[derive(Serialize)]
pub(super) struct Network {
    pub(super) prefix: String,
    cell: String,
    /// Of an rnn alone; null where the metadata does not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    nonlinearity: Option<Option<String>>,
    input_size: usize,
    hidden_sizes: Vec<usize>,
    num_layers: usize,
    directions: usize,
    bias: bool,
    proj_size: usize,
    pub(super) cell_names: bool,
    parameters: usize,
    pub(super) bytes: usize,
    pub(super) dtypes: Vec<String>,
    #[serde(skip)]
    pub(super) words: String,
}

#[derive(Serialize)]
pub(super) struct Tensor {
    pub(super) name: String,
    pub(super) dtype: String,
    pub(super) shape: Vec<usize>,
    pub(super) bytes: usize,
    /// The prefix of the network that has it.
    pub(super) network: Option<String>,
}

impl Tensor {
    fn new(info: TensorInfo<'_>, network: Option<&str>) -> Self {
        let TensorInfo { name, dtype, shape, bytes } = info;
        let network = network.map(Into::into);
        Self { name: name.into(), dtype: dtype.to_string(), shape: shape.to_vec(), bytes, network }
    }
}

impl Report {
    /// Of the network behind that prefix alone, if one is given.
    pub(super) fn of(path: &Path, prefix: Option<&str>, cell: Option<Kind>) -> Result<Self, Failure> {
        let file = TensorFile::open(path)?;
        let descriptions: Vec<_> = match prefix {
            Some(prefix) => vec![Ok(files::describe(&file, Some(prefix), cell)?)],
            None => {
                let prefixes = files::prefixes(&file);
                prefixes.into_iter().map(|prefix| files::describe(&file, Some(prefix), cell)).collect()
            }
        };
        let mut report = Self {
            file: path.display().to_string(),
            bytes: file.iter().map(|tensor| tensor.bytes).sum(),
            metadata: file.metadata().map(|(key, value)| (key.into(), value.into())).collect(),
            networks: Vec::new(),
            problems: Vec::new(),
            tensors: Vec::new(),
        };
        let mut inside = HashSet::new();
        for description in descriptions {
            match description {
                Ok(description) => {
                    // Layer by layer, which the names' order is not.
                    let names = description.tensors();
                    let tensors: Vec<_> = names.iter().filter_map(|(name, _)| file.info(name)).collect();
                    report.networks.push(Network::of(&description, &tensors, &report.metadata)?);
                    inside.extend(tensors.iter().map(|info| info.name.to_string()));
                    report.tensors.extend(tensors.into_iter().map(|info| Tensor::new(info, Some(&description.prefix))));
                }
                Err(error) => report.problems.push(error.to_string()),
            }
        }
        let outside = file.iter().filter(|info| !inside.contains(info.name));
        report.tensors.extend(outside.map(|info| Tensor::new(info, None)));
        Ok(report)
    }

    /// Whether the file holds what it is looked at for.
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        match &self.problems[..] {
            [] if self.networks.is_empty() => {
                Err(Failure::Run(format!("{}: expected a recurrent network, got none", self.file)))
            }
            [] => Ok(()),
            problems => Err(Failure::Run(problems.join("; "))),
        }
    }
}

impl Network {
    fn of(
        description: &Description,
        tensors: &[TensorInfo<'_>],
        metadata: &BTreeMap<String, String>,
    ) -> Result<Self, Failure> {
        let parameters = description.parameters()?;
        let nonlinearity = (description.kind == Kind::Rnn).then(|| metadata.get("nonlinearity").cloned());
        let mut dtypes: Vec<_> = tensors.iter().map(|tensor| tensor.dtype.to_string()).collect();
        dtypes.sort_unstable();
        dtypes.dedup();
        let words = nonlinearity.as_ref().map(|told| told.as_deref().unwrap_or("nonlinearity unknown"));
        Ok(Self {
            prefix: description.prefix.clone(),
            cell: description.kind.to_string(),
            words: network(description, words, parameters),
            nonlinearity,
            input_size: description.input_size,
            hidden_sizes: description.hidden_sizes.clone(),
            num_layers: description.hidden_sizes.len(),
            directions: 1 + usize::from(description.bidirectional),
            bias: description.bias,
            proj_size: description.proj_size,
            cell_names: description.cell,
            parameters,
            bytes: tensors.iter().map(|tensor| tensor.bytes).sum(),
            dtypes,
        })
    }
}

/// A file of several on its line: `a.safetensors: lstm, 2 layers, …; 2 tensors outside`.
pub(super) fn line(report: &Report) -> String {
    let at = |network: &Network| match &network.prefix[..] {
        "" => network.words.clone(),
        prefix => format!("{} at {prefix}", network.words),
    };
    let mut parts: Vec<_> = report.networks.iter().map(at).collect();
    parts.extend(report.problems.iter().cloned());
    if parts.is_empty() {
        parts.push("no recurrent network".into());
    }
    match report.tensors.iter().filter(|tensor| tensor.network.is_none()).count() {
        0 => {}
        n => parts.push(format!("{} outside", count(n as u64, "tensor"))),
    }
    format!("{}: {}", report.file, parts.join("; "))
}
