//! What a file has beside its recurrent network, and whether that can be read in one way only.

use std::collections::{BTreeMap, HashSet};

use super::{ambiguous, network_words, width};
use crate::error::Result;
use crate::format::{Description, Dtype, TensorFile, TensorInfo, visible};

/// A file's tensors that are right behind a prefix: the rest of their names.
pub(super) type ModuleTensors<'a> = Vec<(&'a str, TensorInfo<'a>)>;

/// What a module is, as far as its tensors tell.
pub(super) enum ModuleRole {
    /// A matrix and no bias: an embedding, or a linear layer without one.
    Matrix { rows: usize, columns: usize },
    /// A matrix and its bias.
    Linear { rows: usize, columns: usize },
    /// Whole numbers alone.
    Buffers,
    /// Something else, in words.
    Other(String),
}

impl ModuleRole {
    pub(super) fn of(module: &ModuleTensors<'_>) -> Self {
        let integer =
            |info: &TensorInfo<'_>| info.dtype.name().starts_with(['I', 'U', 'B']) && info.dtype != Dtype::BF16;
        let has = |leaf: &str| module.iter().find(|(name, _)| *name == leaf).map(|(_, info)| info.shape);
        if has("running_mean").is_some() || has("num_batches_tracked").is_some() {
            return ModuleRole::Other("a batch norm".into());
        }
        let floats: Vec<_> = module.iter().filter(|(_, info)| !integer(info)).collect();
        match (&floats[..], has("weight"), has("bias")) {
            ([], ..) => ModuleRole::Buffers,
            ([_], Some(&[rows, columns]), None) => ModuleRole::Matrix { rows, columns },
            ([_, _], Some(&[rows, columns]), Some(&[bias])) if bias == rows => ModuleRole::Linear { rows, columns },
            (_, Some([_]), _) => ModuleRole::Other("a norm".into()),
            (_, Some([_, _, _, ..]), _) => ModuleRole::Other("a convolution".into()),
            _ if has("weight_g").is_some() || has("weight_v").is_some() => ModuleRole::Other("a weight norm".into()),
            _ => {
                let names: Vec<_> = floats.iter().take(3).map(|(_, info)| visible(info.name)).collect();
                ModuleRole::Other(format!("a module of an unknown kind ({})", names.join(", ")))
            }
        }
    }
}

/// What a file has beside its recurrent network.
pub(super) struct Surroundings {
    pub(super) embedding: Option<String>,
    pub(super) head: Option<String>,
    pub(super) buffers: Vec<String>,
}

impl Surroundings {
    /// The one reading of what is beside the network.
    pub(super) fn of(file: &TensorFile, network: &Description) -> Result<Self> {
        let mut modules = BTreeMap::<&str, ModuleTensors<'_>>::new();
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
            match ModuleRole::of(module) {
                ModuleRole::Buffers => buffers.extend(module.iter().map(|(_, info)| info.name.to_string())),
                // Square, it maps the input's features and the output's alike.
                ModuleRole::Linear { rows, columns } if columns == output && !(rows == columns && columns == input) => {
                    heads.push((name, format!("{shown}: a linear layer {columns} → {rows}")));
                }
                ModuleRole::Linear { rows, columns } => {
                    others.push(format!("{shown}: a linear layer {columns} → {rows}"))
                }
                ModuleRole::Matrix { rows, columns } if columns == input && columns == output => {
                    either.push((name, format!("{shown}: an embedding of {rows} by {columns}, or a linear layer")));
                }
                ModuleRole::Matrix { rows, columns } if columns == input => {
                    embeddings.push((name, format!("{shown}: an embedding of {rows} by {columns}")));
                }
                ModuleRole::Matrix { rows, columns } if columns == output => {
                    heads.push((name, format!("{shown}: a linear layer {columns} → {rows}, no bias")));
                }
                ModuleRole::Matrix { rows, columns } => {
                    others.push(format!("{shown}: an embedding of {rows} by {columns}, or a linear layer"));
                }
                ModuleRole::Other(what) => others.push(format!("{shown}: {what}")),
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
