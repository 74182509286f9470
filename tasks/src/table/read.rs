//! From text to a table.

use std::collections::HashMap;

use super::{Builder, Missing, Options, Report, Table};
use crate::error::{Error, Result, listed, quoted};
use crate::rows::{Rows, number};
use crate::source::Source;

/// Where the columns stand in the file.
struct Columns {
    time: Option<usize>,
    group: Option<usize>,
    /// Features, then the target where it is none of them.
    values: Vec<usize>,
    features: usize,
    /// The target's index in `values`.
    target: usize,
    ignored: Vec<String>,
}

pub(super) fn table(source: &Source, options: &Options) -> Result<Table> {
    let mut rows = Rows::new(source, options.delimiter)?;
    let columns = columns(source, &rows, options)?;
    let mut builders: Vec<Builder> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    let mut kind = None;
    let (mut count, mut missing) = (0, 0);
    while let Some(line) = rows.advance()? {
        count += 1;
        let key = columns.group.map_or("", |column| rows.field(column));
        if let (Some(column), true) = (columns.group, key.is_empty()) {
            return Err(rows.error(line, "expected a group, got nothing").in_column(&rows.header[column]));
        }
        let index = match known.get(key) {
            Some(&index) => index,
            None => {
                known.insert(key.to_string(), builders.len());
                builders.push(Builder::new(key));
                builders.len() - 1
            }
        };
        let builder = &mut builders[index];
        if let Some(column) = columns.time {
            let at = |error: Error| rows.error(line, error.message()).in_column(&rows.header[column]);
            builder.time(line, rows.field(column), &mut kind, columns.group.is_none()).map_err(at)?;
        }
        missing += values(&rows, line, &columns.values, options.missing, builder)?;
        builder.end(line);
    }
    if count == 0 {
        return Err(Error::new("expected rows of numbers, got a header alone").in_file(&source.name));
    }
    let mut report = Report { rows: count, blank: rows.blank, missing, ignored: columns.ignored, ..Report::default() };
    Builder::distances(&builders, &mut report);
    Ok(Table {
        names: columns.values.iter().map(|&column| rows.header[column].clone()).collect(),
        target: columns.target,
        features: columns.features,
        series: builders.into_iter().map(Builder::finish).collect(),
        report,
    })
}

/// Reads the cells of a row; returns how many of them are missing.
fn values(rows: &Rows, line: usize, columns: &[usize], missing: Missing, builder: &mut Builder) -> Result<usize> {
    let mut count = 0;
    for (index, &column) in columns.iter().enumerate() {
        let field = rows.field(column);
        if !is_missing(field) {
            builder.push(rows.number(line, column)?, true);
            continue;
        }
        count += 1;
        let wrong = |message: &str| {
            let message = format!("{message}, got {}", quoted(field));
            Err(rows.error(line, message).in_column(&rows.header[column]))
        };
        match missing {
            Missing::Refuse => return wrong("expected a number, as missing cells are refused"),
            Missing::Mask => builder.push(0.0, false),
            Missing::FillLast => match builder.above(columns.len(), index) {
                Some(value) => builder.push(value, false),
                None => return wrong("expected a number, as the series has none before that could stand in"),
            },
        }
    }
    Ok(count)
}

fn is_missing(field: &str) -> bool {
    field.is_empty() || ["na", "n/a", "nan"].iter().any(|text| field.eq_ignore_ascii_case(text))
}

/// Finds the columns that the options name, and those that they leave open.
fn columns(source: &Source, rows: &Rows, options: &Options) -> Result<Columns> {
    let find = |name: &Option<String>| name.as_ref().map(|name| rows.column(name)).transpose();
    let (time, group, target) = (find(&options.time)?, find(&options.group)?, find(&options.target)?);
    let name = |column: usize| quoted(&rows.header[column]);
    let wrong = |message: String| Err(Error::new(message).in_file(&source.name));
    let roles = [("time", time), ("group", group), ("target", target)];
    for (index, &(role, column)) in roles.iter().enumerate() {
        let same = roles[..index].iter().find(|(_, other)| column.is_some() && *other == column);
        if let (Some((other, _)), Some(column)) = (same, column) {
            return wrong(format!("expected a column each for {other} and {role}, got {} for both", name(column)));
        }
    }
    let mut ignored = Vec::new();
    let mut values = match &options.features {
        Some(names) => names.iter().map(|name| rows.column(name)).collect::<Result<Vec<_>>>()?,
        None => {
            let others = (0..rows.header.len()).filter(|&column| Some(column) != time && Some(column) != group);
            let numeric = numeric(source, options.delimiter)?;
            let (some, rest): (Vec<_>, Vec<_>) = others.partition(|&column| numeric[column] || Some(column) == target);
            ignored = rest.into_iter().map(|column| rows.header[column].clone()).collect();
            some
        }
    };
    for (index, &column) in values.iter().enumerate() {
        if values[..index].contains(&column) {
            return wrong(format!("expected each feature once, got {} twice", name(column)));
        }
        if Some(column) == time || Some(column) == group {
            return wrong(format!("expected features other than time and group, got {}", name(column)));
        }
    }
    let features = values.len();
    let target = match target {
        Some(column) => values.iter().position(|&other| other == column).unwrap_or_else(|| {
            values.push(column);
            features
        }),
        None if features == 1 => 0,
        None if features == 0 => {
            return wrong(format!("expected a column of numbers, got the columns {}", listed(&rows.header)));
        }
        None => {
            let names: Vec<_> = values.iter().map(|&column| &rows.header[column]).collect();
            return wrong(format!("expected the name of a target, got none, and the columns {}", listed(&names)));
        }
    };
    Ok(Columns { time, group, values, features, target, ignored })
}

/// Of each column whether the first cell that is not missing is a number.
fn numeric(source: &Source, delimiter: u8) -> Result<Vec<bool>> {
    let mut rows = Rows::new(source, delimiter)?;
    let mut known = vec![None; rows.header.len()];
    while known.contains(&None) && rows.advance()?.is_some() {
        for (column, known) in known.iter_mut().enumerate().filter(|(_, known)| known.is_none()) {
            let field = rows.field(column);
            // An infinite number is one, and an error where it is read.
            *known = (!is_missing(field)).then(|| number(field).is_ok() || field.parse::<f64>().is_ok());
        }
    }
    Ok(known.into_iter().map(|known| known == Some(true)).collect())
}
