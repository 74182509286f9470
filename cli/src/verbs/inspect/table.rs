//! A file for people: what it is, its networks, its tensors.

use std::io::{self, BufWriter, Write as _};

use indicatif::HumanCount;

use super::report::Report;
use crate::verbs::Failure;
use crate::verbs::common::{count, visible};

/// No column is made wider than this; what is longer sticks out of it.
const WIDEST: usize = 60;

pub(super) fn print(report: &Report) -> Result<(), Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    let Report { file, bytes, metadata, networks, problems, tensors, .. } = report;
    let all = count(tensors.len() as u64, "tensor");
    writeln!(out, "file        {}: {all}, {}", visible(file), count(*bytes as u64, "byte"))?;
    for (key, value) in metadata {
        writeln!(out, "metadata    {}: {}", visible(key), visible(value))?;
    }
    if let Some(parameters) = report.parameters {
        writeln!(out, "model       {}, {}", visible(&report.words), count(parameters as u64, "parameter"))?;
    }
    let said = [("taken", &report.taken), ("unsettled", &report.unsettled)];
    for (what, line) in said.iter().filter_map(|(what, line)| Some((what, line.as_ref()?))) {
        writeln!(out, "{what:<12}{}", visible(line))?;
    }
    for network in networks {
        let at = if network.prefix.is_empty() { "the root" } else { &network.prefix };
        let form = if network.cell_names { ", names of a cell" } else { "" };
        let (bytes, dtypes) = (count(network.bytes as u64, "byte"), network.dtypes.join(" and "));
        let words = format!("{}, {bytes} of {dtypes}{form}", network.words());
        writeln!(out, "network     at {}: {}", visible(at), visible(&words))?;
    }
    if networks.is_empty() && problems.is_empty() {
        writeln!(out, "network     none")?;
    }
    if let Some(spec) = &report.spec {
        writeln!(out, "\nspec")?;
        for line in spec.lines() {
            writeln!(out, "    {}", visible(line))?;
        }
    }
    if tensors.is_empty() {
        return Ok(out.flush()?);
    }

    let mut rows = vec![["tensor", "dtype", "shape", "bytes", ""].map(String::from)];
    rows.extend(tensors.iter().map(|tensor| {
        let bytes = HumanCount(tensor.bytes as u64).to_string();
        let outside = if tensor.outside { "outside" } else { "" };
        [visible(&tensor.name), visible(&tensor.dtype), format!("{:?}", tensor.shape), bytes, outside.into()]
    }));
    let [name, dtype, shape, bytes, _] = [0, 1, 2, 3, 4].map(|column| {
        let widths = rows.iter().map(|row| row[column].chars().count()).filter(|&width| width <= WIDEST);
        widths.max().unwrap_or(0)
    });
    writeln!(out)?;
    for [a, b, c, d, outside] in &rows {
        let line = format!("{a:name$}  {b:dtype$}  {c:shape$}  {d:>bytes$}  {outside}");
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(out.flush()?)
}
