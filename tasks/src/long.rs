//! Sequences of many steps as CSV in long form: a row is a step, and says which sequence it belongs to.
//!
//! One column holds the sequence's name (its id), one its label, the others the step's features. The rows of an id are
//! its steps in the order of the file, whether other rows stand between them or not; sequences may differ in length. All
//! that [`table`](crate::table) says of CSV holds here, but that cells without a number are errors.

use std::collections::HashMap;
use std::path::Path;

use crate::error::{Error, Result, listed, quoted};
use crate::rows::Rows;
use crate::source::Source;

/// Which columns are what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The column that names the sequence.
    pub id: String,
    /// The column of its label.
    pub label: String,
    /// The columns of numbers, in this order; without it all others, which then must hold numbers.
    pub features: Option<Vec<String>>,
    /// What stands between fields, a comma mostly.
    pub delimiter: u8,
}

impl Options {
    /// These columns, all others as features, and commas.
    pub fn new(id: impl Into<String>, label: impl Into<String>) -> Self {
        Self { id: id.into(), label: label.into(), features: None, delimiter: b',' }
    }
}

/// One sequence.
#[derive(Clone, Debug, PartialEq)]
pub struct Sequence {
    /// Its name.
    pub id: String,
    /// Its label.
    pub label: String,
    /// The line of its first step, from 1.
    pub line: usize,
    /// How many steps it has, at least 1.
    pub steps: usize,
    /// Steps by features, row by row.
    pub values: Vec<f64>,
}

/// What [`read`] returns.
#[derive(Clone, Debug, PartialEq)]
pub struct Sequences {
    /// The names of the features.
    pub names: Vec<String>,
    /// The sequences, in the order of their first rows.
    pub sequences: Vec<Sequence>,
    /// How many rows were read.
    pub rows: usize,
    /// How many blank lines were passed by.
    pub blank: usize,
}

/// Reads a file.
///
/// # Errors
/// A file that cannot be read, that is empty, not UTF-8, or has no rows below its header; a column that is not there or
/// is asked for as two things; no features; a row of another width than the header's; a row without id or label; a cell
/// that is not a finite number; an id with two labels, which names both lines.
pub fn read(path: &Path, options: &Options) -> Result<Sequences> {
    sequences(&Source::open(path)?, options, true)
}

/// Reads the contents of a file, which errors call `name`, whose sequences need no labels: the label's column may be missing, and
/// is passed by where it is there; [`Sequence::label`] is empty.
///
/// # Errors
/// As for [`read`], but for those of labels.
pub fn unlabelled(name: &str, contents: Vec<u8>, options: &Options) -> Result<Sequences> {
    sequences(&Source::new(name.into(), contents)?, options, false)
}

/// The columns of the id, of the label and of the features.
fn columns(rows: &Rows, options: &Options, labelled: bool, file: &str) -> Result<(usize, Option<usize>, Vec<usize>)> {
    let (id, label) = (rows.column(&options.id)?, rows.column(&options.label));
    let label = if labelled { Some(label?) } else { label.ok() };
    let wrong = |message: String| Err(Error::new(message).in_file(file));
    if Some(id) == label {
        return wrong(format!("expected a column each for id and label, got {} for both", quoted(&options.id)));
    }
    let features = match &options.features {
        Some(names) => names.iter().map(|name| rows.column(name)).collect::<Result<Vec<_>>>()?,
        None => (0..rows.header.len()).filter(|&column| column != id && Some(column) != label).collect(),
    };
    if features.is_empty() {
        return wrong(format!("expected features beside id and label, got the columns {}", listed(&rows.header)));
    }
    for (index, &column) in features.iter().enumerate() {
        if column == id || Some(column) == label || features[..index].contains(&column) {
            let got = quoted(&rows.header[column]);
            return wrong(format!("expected each feature once, and other ones than id and label, got {got}"));
        }
    }
    Ok((id, label, features))
}

fn sequences(source: &Source, options: &Options, labelled: bool) -> Result<Sequences> {
    let mut rows = Rows::new(source, options.delimiter)?;
    let (id, label, features) = columns(&rows, options, labelled, &source.name)?;
    let label = label.filter(|_| labelled);
    let mut sequences: Vec<Sequence> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    let mut count = 0;
    while let Some(line) = rows.advance()? {
        count += 1;
        for column in [id].into_iter().chain(label) {
            if rows.field(column).is_empty() {
                return Err(rows.error(line, "expected a text, got nothing").in_column(&rows.header[column]));
            }
        }
        let (name, class) = (rows.field(id), label.map_or("", |label| rows.field(label)));
        let index = *known.entry(name.to_string()).or_insert(sequences.len());
        if index == sequences.len() {
            let (id, label) = (name.to_string(), class.to_string());
            sequences.push(Sequence { id, label, line, steps: 0, values: Vec::new() });
        }
        let sequence = &mut sequences[index];
        if sequence.label != class {
            let (first, name) = (sequence.line, quoted(name));
            let (expected, got) = (quoted(&sequence.label), quoted(class));
            let message = format!("expected {expected}, as {name} has on line {first}, got {got}");
            return Err(rows.error(line, message).in_column(&options.label));
        }
        for &column in &features {
            sequence.values.push(rows.number(line, column)?);
        }
        sequence.steps += 1;
    }
    if count == 0 {
        return Err(Error::new("expected rows of numbers, got a header alone").in_file(&source.name));
    }
    let names = features.iter().map(|&column| rows.header[column].clone()).collect();
    Ok(Sequences { names, sequences, rows: count, blank: rows.blank })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str, options: &Options) -> Result<Sequences, String> {
        Source::new("x.csv".into(), text.as_bytes().to_vec())
            .and_then(|source| sequences(&source, options, true))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn rows_of_an_id_are_its_steps() {
        let text = "\u{feff}id,x,kind,y\r\nb,1,up,2\r\na,3,down,4\r\n\r\nb,5,up,6\r\n";
        let read = read_text(text, &Options::new("id", "kind")).unwrap();
        assert_eq!(read.names, ["x", "y"]);
        assert_eq!((read.rows, read.blank), (3, 1));
        let b = Sequence { id: "b".into(), label: "up".into(), line: 2, steps: 2, values: vec![1.0, 2.0, 5.0, 6.0] };
        let a = Sequence { id: "a".into(), label: "down".into(), line: 3, steps: 1, values: vec![3.0, 4.0] };
        assert_eq!(read.sequences, [b, a]);
        let named = Options { features: Some(vec!["y".into()]), ..Options::new("id", "kind") };
        assert_eq!(read_text(text, &named).unwrap().sequences[0].values, [2.0, 6.0]);
    }

    #[test]
    fn labels_may_be_missing() {
        let told = |text: &str, options: &Options| {
            let read = unlabelled("x.csv", text.as_bytes().to_vec(), options).map_err(|error| error.to_string())?;
            let of = |one: Sequence| (one.id, one.label, one.values);
            Ok::<_, String>(read.sequences.into_iter().map(of).collect::<Vec<_>>())
        };
        let expected = vec![("a".to_string(), String::new(), vec![1.0, 2.0])];
        // None, one that is half empty, one that is no text.
        for text in ["id,x\na,1\na,2\n", "id,kind,x\na,up,1\na,,2\n", "x,kind,id\n1,3,a\n2,4,a\n"] {
            assert_eq!(told(text, &Options::new("id", "kind")).as_ref(), Ok(&expected), "{text:?}");
        }
        let error = told("id,x\na,one\n", &Options::new("id", "kind")).unwrap_err();
        assert_eq!(error, "x.csv: line 2, column 'x': expected a number, got 'one'");
    }

    #[test]
    fn wrong_files_are_told() {
        let cases = [
            ("id,l,x\na,p,1\n\na,q,2\n", "line 4, column 'l': expected 'p', as 'a' has on line 2, got 'q'"),
            ("id,l,x\na,p,one\n", "line 2, column 'x': expected a number, got 'one'"),
            ("id,l,x\na,p,\n", "line 2, column 'x': expected a number, got nothing"),
            ("id,l,x\n,p,1\n", "line 2, column 'id': expected a text, got nothing"),
            ("id,l,x\na,p\n", "line 2: expected 3 fields, as the header has, got 2 fields"),
            ("id,l,x\n", "expected rows of numbers, got a header alone"),
            ("id,x\na,1\n", "expected a column 'l', got the columns 'id', 'x'"),
            ("id,l\na,p\n", "expected features beside id and label, got the columns 'id', 'l'"),
        ];
        for (text, expected) in cases {
            assert_eq!(
                read_text(text, &Options::new("id", "l")).unwrap_err(),
                format!("x.csv: {expected}"),
                "{text:?}"
            );
        }
        assert!(read_text("id,x\na,1\n", &Options::new("id", "id")).unwrap_err().ends_with("got 'id' for both"));
        let twice = Options { features: Some(vec!["x".into(), "x".into()]), ..Options::new("id", "l") };
        assert!(read_text("id,l,x\na,p,1\n", &twice).unwrap_err().contains("each feature once"));
    }

    #[test]
    fn files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.csv");
        std::fs::write(&path, "id;l;x\na;p;1\n").unwrap();
        let options = Options { delimiter: b';', ..Options::new("id", "l") };
        assert_eq!(read(&path, &options).unwrap().sequences[0].values, [1.0]);
        assert!(read(&path, &Options::new("id", "l")).unwrap_err().to_string().ends_with("is that the delimiter?"));
    }
}
