//! What `elman inspect` finds in a file.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use elman::format::{Description, TensorFile, TensorInfo, describe, prefixes};
use serde::Serialize;

use crate::verbs::Failure;
use crate::verbs::common::count;
use crate::verbs::facts::{self, Facts};
use crate::verbs::memory::Needs;
use crate::verbs::model::{self, ModelArgs};

/// What `--json` prints.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) file: String,
    /// Of all tensors.
    pub(super) bytes: usize,
    pub(super) metadata: BTreeMap<String, String>,
    /// Numbers in all parameters of the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parameters: Option<usize>,
    /// What the file does not say and was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) taken: Option<String>,
    /// The model, as `--spec` reads it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) spec: Option<String>,
    /// Why the file is not the one model or the other, and what settles it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unsettled: Option<String>,
    #[serde(skip)]
    pub(super) words: String,
    pub(super) networks: Vec<Network>,
    /// Why what is behind a prefix as if of a network is none.
    pub(super) problems: Vec<String>,
    pub(super) tensors: Vec<Tensor>,
}

#[derive(Serialize)]
pub(super) struct Network {
    pub(super) prefix: String,
    #[serde(flatten)]
    pub(super) facts: Facts,
    pub(super) cell_names: bool,
    parameters: usize,
    pub(super) bytes: usize,
    pub(super) dtypes: Vec<String>,
}

#[derive(Serialize)]
pub(super) struct Tensor {
    pub(super) name: String,
    pub(super) dtype: String,
    pub(super) shape: Vec<usize>,
    pub(super) bytes: usize,
    /// The prefix of the network that has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) network: Option<String>,
    /// It does not belong to the model.
    #[serde(skip)]
    pub(super) outside: bool,
}

impl Tensor {
    fn new(info: TensorInfo<'_>, network: Option<&str>) -> Self {
        let TensorInfo { name, dtype, shape, bytes, .. } = info;
        let network = network.map(Into::into);
        let outside = network.is_none();
        Self { name: name.into(), dtype: dtype.to_string(), shape: shape.to_vec(), bytes, network, outside }
    }
}

impl Report {
    pub(super) fn of(path: &Path, args: &ModelArgs) -> Result<Self, Failure> {
        let mut needs = Needs::default();
        needs.file("its tensors", path, 1);
        needs.check("inspect")?;
        let file = model::open(path, args)?;
        let descriptions: Vec<_> = match &args.only {
            Some(prefix) => vec![Ok(describe(&file, Some(prefix), args.cell)?)],
            None => {
                let prefixes = prefixes(&file);
                prefixes.into_iter().map(|prefix| describe(&file, Some(prefix), args.cell)).collect()
            }
        };
        let mut report = Self {
            file: path.display().to_string(),
            bytes: file.iter().map(|tensor| tensor.bytes).sum(),
            metadata: file.metadata().map(|(key, value)| (key.into(), value.into())).collect(),
            parameters: None,
            taken: None,
            spec: None,
            unsettled: None,
            words: String::new(),
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
                Err(error) => report.problems.push(report.without_path(&error.to_string())),
            }
        }
        let outside = file.iter().filter(|info| !inside.contains(info.name));
        report.tensors.extend(outside.map(|info| Tensor::new(info, None)));
        if report.problems.is_empty() && !report.networks.is_empty() {
            report.settle(&file, args)?;
        }
        Ok(report)
    }

    /// What model the file is, whose networks are whole.
    fn settle(&mut self, file: &TensorFile, args: &ModelArgs) -> Result<(), Failure> {
        let mut notes = Vec::new();
        let reading = match model::read(file, args, &mut notes) {
            Ok(reading) => reading,
            // What was asked for and is wrong, and what the file leaves open.
            Err(Failure::Run(reason)) if args.layers.is_none() && args.spec.is_none() => {
                self.unsettled = Some(self.without_path(&reason));
                return Ok(());
            }
            Err(failure) => return Err(failure),
        };
        for tensor in &mut self.tensors {
            tensor.outside = reading.options.left_aside.contains(&tensor.name);
        }
        let elements = |tensor: &Tensor| tensor.shape.iter().product::<usize>();
        self.parameters = Some(self.tensors.iter().filter(|tensor| !tensor.outside).map(elements).sum());
        self.words = facts::words(&reading.spec);
        self.taken = reading.taken.map(|line| line.trim_start_matches("taken: ").to_string());
        self.spec = Some(reading.spec.to_string());
        Ok(())
    }

    /// The reason without the file's path before it, as the report names the file once.
    fn without_path(&self, reason: &str) -> String {
        reason.strip_prefix(&format!("{}: ", self.file)).unwrap_or(reason).into()
    }

    /// Whether the file holds what it is looked at for.
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        match &self.problems[..] {
            [] if self.networks.is_empty() => {
                Err(Failure::Run(format!("{}: expected a recurrent network, got none", self.file)))
            }
            [] => Ok(()),
            problems => Err(Failure::Run(format!("{}: {}", self.file, problems.join("; ")))),
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
        let mut dtypes: Vec<_> = tensors.iter().map(|tensor| tensor.dtype.to_string()).collect();
        dtypes.sort_unstable();
        dtypes.dedup();
        let nonlinearity = metadata.get("nonlinearity").map(|told| &told[..]);
        Ok(Self {
            prefix: description.prefix.clone(),
            facts: Facts::described(description, nonlinearity),
            cell_names: description.unnumbered,
            parameters,
            bytes: tensors.iter().map(|tensor| tensor.bytes).sum(),
            dtypes,
        })
    }

    /// `lstm, 2 layers, …, 1,024 parameters`.
    pub(super) fn words(&self) -> String {
        format!("{}, {}", self.facts.words(), count(self.parameters as u64, "parameter"))
    }
}

/// A file of several on its line: `a.safetensors: lstm, 2 layers, …; fc 64 → 1, 4,513 parameters; 2 tensors outside`.
pub(super) fn line(report: &Report) -> String {
    let at = |network: &Network| match &network.prefix[..] {
        "" => network.words(),
        prefix => format!("{} at {prefix}", network.words()),
    };
    let mut parts = match report.parameters {
        Some(parameters) => vec![format!("{}, {}", report.words, count(parameters as u64, "parameter"))],
        None => report.networks.iter().map(at).collect(),
    };
    parts.extend(report.problems.iter().cloned());
    if parts.is_empty() {
        parts.push("no recurrent network".into());
    }
    match report.tensors.iter().filter(|tensor| tensor.outside).count() {
        0 => {}
        n => parts.push(format!("{} outside", count(n as u64, "tensor"))),
    }
    format!("{}: {}", report.file, parts.join("; "))
}
