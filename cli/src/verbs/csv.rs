//! Sequences as CSV: one row a step, columns are features.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use ::csv::{Position, ReaderBuilder, StringRecord, Trim, Writer};

use super::Failure;

/// A sequence, and its columns' names.
#[derive(Debug, PartialEq)]
pub(crate) struct Table {
    /// None where the first row held numbers already.
    pub(crate) header: Option<Vec<String>>,
    pub(crate) columns: usize,
    /// Row by row.
    pub(crate) values: Vec<f32>,
}

impl Table {
    pub(crate) fn rows(&self) -> usize {
        self.values.len().checked_div(self.columns).unwrap_or(0)
    }

    /// Reads a file, or the standard input where `path` is `-`.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let mut contents = Vec::new();
        let (name, read) = if path.as_os_str() == "-" {
            ("the standard input".to_string(), io::stdin().lock().read_to_end(&mut contents))
        } else {
            (path.display().to_string(), File::open(path).and_then(|mut file| file.read_to_end(&mut contents)))
        };
        read.map_err(|error| Failure::Run(format!("cannot read {name}: {error}")))?;
        Self::read(&contents, &name)
    }

    /// `name` is what errors call the source.
    fn read(contents: &[u8], name: &str) -> Result<Self, Failure> {
        let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).trim(Trim::All).from_reader(contents);
        let mut table = Self { header: None, columns: 0, values: Vec::new() };
        let mut record = StringRecord::new();
        let mut first = true;
        while reader.read_record(&mut record).map_err(|error| Failure::Run(unreadable(name, contents, &error)))? {
            let row = || line_at(contents, record.position());
            if first {
                table.columns = record.len();
                first = false;
                if record.iter().all(|field| field.parse::<f32>().is_err()) {
                    table.header = Some(record.iter().map(Into::into).collect());
                    continue;
                }
            }
            if record.len() != table.columns {
                let (columns, got) = (table.columns, record.len());
                let other = if table.header.is_some() { "the header" } else { "the first row" };
                return Err(Failure::Run(format!(
                    "{name}: row {}: expected {columns} columns, as {other} has, got {got}",
                    row()
                )));
            }
            for (column, field) in record.iter().enumerate() {
                let value = number(field).map_err(|expected| {
                    let column = table.column(column);
                    Failure::Run(format!("{name}: row {}, {column}: expected {expected}, got {}", row(), quoted(field)))
                })?;
                table.values.push(value);
            }
        }
        if table.values.is_empty() {
            // A file of names alone is a sequence of no steps; that is nothing to run over, and most likely a mistake.
            let got = if first { "an empty file" } else { "a header alone" };
            return Err(Failure::Run(format!("{name}: expected rows of numbers, got {got}")));
        }
        Ok(table)
    }

    /// `column 2`, with its name where it has one.
    fn column(&self, index: usize) -> String {
        match self.header.as_ref().and_then(|header| header.get(index)) {
            Some(name) => format!("column {} ('{name}')", index + 1),
            None => format!("column {}", index + 1),
        }
    }
}

/// The number, or what was expected.
fn number(field: &str) -> Result<f32, &'static str> {
    match field.parse::<f32>() {
        // `inf` is infinite; digits that come out so are of a number that F32 does not have.
        Ok(value) if value.is_infinite() && field.contains(|c: char| c.is_ascii_digit()) => {
            Err("a number in the range of F32")
        }
        Ok(value) => Ok(value),
        _ if field.contains([';', '\t']) => Err("a number and columns separated by commas"),
        _ => Err("a number"),
    }
}

fn quoted(field: &str) -> String {
    /// Of a field that is no number this much says what it is.
    const MOST: usize = 40;
    match field.chars().count() {
        0 => "nothing".into(),
        n if n > MOST => format!("'{}…' ({n} characters)", field.chars().take(MOST).collect::<String>()),
        _ => format!("'{field}'"),
    }
}

/// The line of the file on which a record begins. The reader's own is that of the blank lines before it.
fn line_at(contents: &[u8], position: Option<&Position>) -> usize {
    let from = position.map_or(0, |position| position.byte() as usize).min(contents.len());
    let blank = contents[from..].iter().take_while(|byte| b"\r\n".contains(byte)).count();
    1 + contents[..from + blank].iter().filter(|&&byte| byte == b'\n').count()
}

fn unreadable(name: &str, contents: &[u8], error: &::csv::Error) -> String {
    match error.kind() {
        ::csv::ErrorKind::Utf8 { pos, .. } => {
            format!("{name}: row {}: expected text in UTF-8, got other bytes", line_at(contents, pos.as_ref()))
        }
        _ => format!("{name}: {error}"),
    }
}

/// The rows as CSV: each number as short as gives the same F32 when it is read again.
pub(crate) fn encode(header: Option<&[String]>, columns: usize, values: &[f32]) -> Result<Vec<u8>, Failure> {
    let mut writer = Writer::from_writer(Vec::new());
    let failed = |error: ::csv::Error| Failure::Run(error.to_string());
    if let Some(header) = header {
        writer.write_record(header).map_err(failed)?;
    }
    for row in values.chunks(columns) {
        writer.write_record(row.iter().map(|value| format!("{value:?}"))).map_err(failed)?;
    }
    writer.into_inner().map_err(|error| Failure::Run(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Table, String> {
        Table::read(text.as_bytes(), "x.csv").map_err(|failure| match failure {
            Failure::Run(text) => text,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn rows_are_steps_and_columns_features() {
        let table = read("1,2.5,-3e-2\n4, 5 ,\"6\"\n").unwrap();
        assert_eq!((table.rows(), table.columns), (2, 3));
        assert_eq!(table.values, [1.0, 2.5, -0.03, 4.0, 5.0, 6.0]);
        assert_eq!(table.header, None);
        let special = read("nan,inf,-inf\n").unwrap().values;
        assert!(special[0].is_nan() && special[1..] == [f32::INFINITY, f32::NEG_INFINITY]);
    }

    /// The mark that Windows programs put before UTF-8, its line ends, blank lines.
    #[test]
    fn files_of_other_programs_are_read() {
        let table = read("\u{feff}speed,\"the \"\"load\"\"\"\r\n1,2\r\n\r\n3,4").unwrap();
        assert_eq!(table.header.unwrap(), ["speed", "the \"load\""]);
        assert_eq!(table.values, [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(read("\u{feff}1,2\n").unwrap().values, [1.0, 2.0]);
    }

    #[test]
    fn what_is_no_number_is_told_with_row_and_column() {
        let cases = [
            ("1,2\n3,x\n", "row 2, column 2: expected a number, got 'x'"),
            ("a,b\n1,2\n3,\n", "row 3, column 2 ('b'): expected a number, got nothing"),
            ("a,2\n", "row 1, column 1: expected a number, got 'a'"),
            ("1,2\n\n\n3,four\n", "row 4, column 2: expected a number, got 'four'"),
            ("1,2\r\n\r\n3,four", "row 3, column 2: expected a number, got 'four'"),
            ("1,2\n3\n", "row 2: expected 2 columns, as the first row has, got 1"),
            ("a,b\n1,2,3\n", "row 2: expected 2 columns, as the header has, got 3"),
            ("1\n1e39\n", "row 2, column 1: expected a number in the range of F32, got '1e39'"),
            ("1\n-1e400\n", "row 2, column 1: expected a number in the range of F32, got '-1e400'"),
            ("1;2\n3;4\n", "row 2, column 1 ('1;2'): expected a number and columns separated by commas, got '3;4'"),
            ("", "expected rows of numbers, got an empty file"),
            ("\n\n", "expected rows of numbers, got an empty file"),
            ("a,b\n", "expected rows of numbers, got a header alone"),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text).unwrap_err(), format!("x.csv: {expected}"), "{text:?}");
        }
        let long = read(&format!("1\n{}\n", "y".repeat(70_000))).unwrap_err();
        assert!(long.len() < 200 && long.ends_with("…' (70000 characters)"), "{long}");
        let Err(Failure::Run(line)) = Table::read(b"1\n\xff\xfe\n", "x.csv") else { panic!("read") };
        assert_eq!(line, "x.csv: row 2: expected text in UTF-8, got other bytes");
    }

    #[test]
    fn what_is_written_is_read_again_to_the_bit() {
        let values = [0.1, -0.0, 1e-45, f32::MAX, 16_777_217.0, f32::NAN, f32::INFINITY, 1.0 / 3.0];
        let header = ["y0", "y,1"].map(String::from);
        let bytes = encode(Some(&header), 2, &values).unwrap();
        let table = Table::read(&bytes, "").unwrap();
        assert_eq!(table.header.unwrap(), header);
        assert_eq!(table.values.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), values.map(f32::to_bits));
        assert_eq!(encode(None, 3, &[1.0, 2.0, 0.5]).unwrap(), b"1.0,2.0,0.5\n");
    }
}
