//! `elman inspect`: what a model file holds.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Write as _};
use std::path::PathBuf;

use elman::format::{self as files, Description, Kind, TensorFile, TensorInfo};
use indicatif::HumanCount;
use serde::Serialize;

use super::Failure;
use super::common::{cell, count, network, visible};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A safetensors file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Look at the network behind these names alone, such as encoder.rnn.; at every one unless set
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,
    /// Which cell the weights are of, rnn, gru or lstm; told by their shapes unless set
    #[arg(long, value_name = "CELL", value_parser = cell)]
    cell: Option<Kind>,
    /// Print one JSON object and nothing else
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    file: String,
    bytes: usize,
    metadata: BTreeMap<&'a str, &'a str>,
    networks: Vec<Network<'a>>,
    /// Those that are behind a prefix as if of a network, and are none.
    problems: Vec<String>,
    tensors: Vec<Tensor<'a>>,
}

#[derive(Serialize)]
struct Network<'a> {
    prefix: String,
    kind: String,
    /// Of an rnn, where the metadata says it.
    nonlinearity: Option<&'a str>,
    input_size: usize,
    hidden_sizes: Vec<usize>,
    bidirectional: bool,
    bias: bool,
    proj_size: usize,
    cell: bool,
    parameters: usize,
    bytes: usize,
    dtypes: Vec<&'a str>,
    #[serde(skip)]
    words: String,
}

#[derive(Serialize)]
struct Tensor<'a> {
    name: &'a str,
    dtype: &'a str,
    shape: &'a [usize],
    bytes: usize,
    /// The prefix of the network that has it.
    network: Option<String>,
}

impl<'a> Tensor<'a> {
    fn new(info: TensorInfo<'a>, network: Option<&str>) -> Self {
        let TensorInfo { name, dtype, shape, bytes } = info;
        Self { name, dtype, shape, bytes, network: network.map(Into::into) }
    }
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let file = TensorFile::open(&args.file)?;
    let descriptions: Vec<_> = match &args.prefix {
        Some(prefix) => vec![Ok(files::describe(&file, Some(prefix), args.cell)?)],
        None => {
            let prefixes = files::prefixes(&file);
            prefixes.into_iter().map(|prefix| files::describe(&file, Some(prefix), args.cell)).collect()
        }
    };
    let mut report = Report {
        file: args.file.display().to_string(),
        bytes: file.iter().map(|tensor| tensor.bytes).sum(),
        metadata: file.metadata().collect(),
        networks: Vec::new(),
        problems: Vec::new(),
        tensors: Vec::new(),
    };
    for description in descriptions {
        match description {
            Ok(description) => {
                // Layer by layer, which the names' order is not.
                let names = description.tensors();
                let tensors: Vec<_> = names.iter().filter_map(|(name, _)| file.info(name)).collect();
                report.networks.push(describe(&description, &tensors, &report.metadata)?);
                report.tensors.extend(tensors.into_iter().map(|info| Tensor::new(info, Some(&description.prefix))));
            }
            Err(error) => report.problems.push(error.to_string()),
        }
    }
    let inside: HashSet<_> = report.tensors.iter().map(|tensor| tensor.name).collect();
    let outside = file.iter().filter(|info| !inside.contains(info.name));
    report.tensors.extend(outside.map(|info| Tensor::new(info, None)));

    if args.json {
        let text = serde_json::to_string(&report).map_err(|error| Failure::Run(error.to_string()))?;
        writeln!(io::stdout(), "{text}")?;
    } else {
        summary(&report)?;
    }
    match &report.problems[..] {
        [] if report.networks.is_empty() => {
            Err(Failure::Run(format!("{}: expected a recurrent network, got none", report.file)))
        }
        [] => Ok(()),
        problems => Err(Failure::Run(problems.join("; "))),
    }
}

fn describe<'a>(
    description: &Description,
    tensors: &[TensorInfo<'a>],
    metadata: &BTreeMap<&'a str, &'a str>,
) -> Result<Network<'a>, Failure> {
    let parameters = description.parameters()?;
    let rnn = description.kind == Kind::Rnn;
    let nonlinearity = metadata.get("nonlinearity").copied().filter(|_| rnn);
    let mut dtypes: Vec<_> = tensors.iter().map(|tensor| tensor.dtype).collect();
    dtypes.sort_unstable();
    dtypes.dedup();
    let words = nonlinearity.or(rnn.then_some("nonlinearity unknown"));
    Ok(Network {
        prefix: description.prefix.clone(),
        kind: description.kind.to_string(),
        nonlinearity,
        input_size: description.input_size,
        hidden_sizes: description.hidden_sizes.clone(),
        bidirectional: description.bidirectional,
        bias: description.bias,
        proj_size: description.proj_size,
        cell: description.cell,
        parameters,
        bytes: tensors.iter().map(|tensor| tensor.bytes).sum(),
        dtypes,
        words: network(description, words, parameters),
    })
}

fn summary(report: &Report<'_>) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let Report { file, bytes, metadata, networks, problems, tensors } = report;
    let all = count(tensors.len() as u64, "tensor");
    writeln!(out, "file        {}: {all}, {}", visible(file), count(*bytes as u64, "byte"))?;
    for (key, value) in metadata {
        writeln!(out, "metadata    {}: {}", visible(key), visible(value))?;
    }
    for network in networks {
        let at = if network.prefix.is_empty() { "the root" } else { &network.prefix };
        let form = if network.cell { ", names of a cell" } else { "" };
        let (bytes, dtypes) = (count(network.bytes as u64, "byte"), network.dtypes.join(" and "));
        let words = format!("{}, {bytes} of {dtypes}{form}", network.words);
        writeln!(out, "network     at {}: {}", visible(at), visible(&words))?;
    }
    if networks.is_empty() && problems.is_empty() {
        writeln!(out, "network     none")?;
    }
    if tensors.is_empty() {
        return Ok(());
    }

    let mut rows = vec![["tensor", "dtype", "shape", "bytes", ""].map(String::from)];
    rows.extend(tensors.iter().map(|tensor| {
        let bytes = HumanCount(tensor.bytes as u64).to_string();
        let outside = if tensor.network.is_none() { "outside" } else { "" };
        [visible(tensor.name), visible(tensor.dtype), format!("{:?}", tensor.shape), bytes, outside.into()]
    }));
    let [name, dtype, shape, bytes, _] =
        [0, 1, 2, 3, 4].map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    writeln!(out)?;
    for [a, b, c, d, outside] in &rows {
        let line = format!("{a:name$}  {b:dtype$}  {c:shape$}  {d:>bytes$}  {outside}");
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}
