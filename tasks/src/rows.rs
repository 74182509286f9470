//! The rows of a CSV file with a header, each with the line it begins on.

use ::csv::{Reader, ReaderBuilder, StringRecord};

use crate::error::{Error, Result, listed, quoted};
use crate::source::Source;

/// The rows below the header. Fields are trimmed; fields in quotes may hold separators, line ends and, doubled, quotes.
pub(crate) struct Rows<'a> {
    source: &'a Source,
    reader: Reader<&'a [u8]>,
    record: StringRecord,
    /// How far the lines are counted, and the line that stands there.
    counted: usize,
    line: usize,
    /// The columns' names; a column without one is called `column 3`.
    pub(crate) header: Vec<String>,
    /// The blank lines that were passed by so far.
    pub(crate) blank: usize,
}

impl<'a> Rows<'a> {
    /// # Errors
    /// No header, a name that stands twice in it, or numbers in its place.
    pub(crate) fn new(source: &'a Source, delimiter: u8) -> Result<Self> {
        if !delimiter.is_ascii() || matches!(delimiter, b'"' | b'\r' | b'\n') {
            let got = (delimiter as char).escape_default();
            return Err(Error::expected("delimiter", "an ASCII character other than quotes and line ends", got));
        }
        let reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .from_reader(source.text.as_bytes());
        let (record, header) = (StringRecord::new(), Vec::new());
        let mut this = Self { source, reader, record, counted: 0, line: 1, header, blank: 0 };
        let Some(line) = this.read()? else {
            return Err(Error::new("expected a header, got none").in_file(&source.name));
        };
        let names: Vec<String> = this.record.iter().map(|name| name.trim().to_string()).collect();
        if names.iter().all(|name| name.parse::<f64>().is_ok()) {
            return Err(source.error(line, format!("expected the columns' names, got numbers: {}", listed(&names))));
        }
        for (index, name) in names.iter().enumerate() {
            if !name.is_empty() && names[..index].contains(name) {
                return Err(source.error(line, format!("expected a name once, got two columns {}", quoted(name))));
            }
        }
        let unnamed =
            |(index, name): (usize, String)| if name.is_empty() { format!("column {}", index + 1) } else { name };
        this.header = names.into_iter().enumerate().map(unnamed).collect();
        let other = [';', '\t', ','].into_iter().find(|&c| this.header.len() == 1 && this.header[0].contains(c));
        if let Some(other) = other {
            let (wanted, got) = (quoted(&(delimiter as char).to_string()), quoted(&other.to_string()));
            let message = format!("expected columns separated by {wanted}, got one column with {got} in its name");
            return Err(source.error(line, format!("{message}: is that the delimiter?")));
        }
        Ok(this)
    }

    /// Goes to the next row and says which line it begins on; none after the last.
    ///
    /// # Errors
    /// A row with more or fewer fields than the header.
    pub(crate) fn advance(&mut self) -> Result<Option<usize>> {
        let Some(line) = self.read()? else { return Ok(None) };
        let (expected, got) = (self.header.len(), self.record.len());
        if expected != got {
            let fields = |n: usize| format!("{n} field{}", if n == 1 { "" } else { "s" });
            let long = self.record.iter().any(|field| field.contains('\n'));
            let hint = if long { "; a quotation mark that opens a field may not be closed" } else { "" };
            let (expected, got) = (fields(expected), fields(got));
            return Err(self.error(line, format!("expected {expected}, as the header has, got {got}{hint}")));
        }
        Ok(Some(line))
    }

    /// A field of the row that [`advance`](Self::advance) came to.
    pub(crate) fn field(&self, column: usize) -> &str {
        self.record.get(column).unwrap_or_default().trim()
    }

    /// Where the column of this name stands.
    ///
    /// # Errors
    /// There is none: the message names those that there are.
    pub(crate) fn column(&self, name: &str) -> Result<usize> {
        self.header.iter().position(|other| other == name).ok_or_else(|| {
            let message = format!("expected a column {}, got the columns {}", quoted(name), listed(&self.header));
            Error::new(message).in_file(&self.source.name)
        })
    }

    /// An error about a row.
    pub(crate) fn error(&self, line: usize, message: impl Into<String>) -> Error {
        self.source.error(line, message)
    }

    /// The field as a finite number.
    ///
    /// # Errors
    /// It is another thing: the message names line and column.
    pub(crate) fn number(&self, line: usize, column: usize) -> Result<f64> {
        number(self.field(column)).map_err(|message| self.error(line, message).in_column(&self.header[column]))
    }

    /// The next row that is not blank, of whatever width.
    fn read(&mut self) -> Result<Option<usize>> {
        let bytes = self.source.text.as_bytes();
        loop {
            let from = self.reader.position().byte() as usize;
            let more = self.reader.read_record(&mut self.record);
            let more = more.map_err(|error| Error::new(error.to_string()).in_file(&self.source.name))?;
            let ends = |part: &[u8]| part.iter().filter(|&&byte| byte == b'\n').count();
            // The reader passes by blank lines before a row without a word.
            let lead = bytes[from..].iter().take_while(|byte| b"\r\n".contains(byte)).count();
            let begin = from + lead;
            // A row's own end is CRLF, of which the reader has taken CR alone.
            let own = usize::from(from > 0 && bytes[from - 1] == b'\r' && bytes.get(from) == Some(&b'\n'));
            self.blank += ends(&bytes[from..begin]) - own;
            self.line += ends(&bytes[self.counted..begin]);
            self.counted = begin;
            if !more {
                return Ok(None);
            }
            let end = self.reader.position().byte() as usize;
            if self.record.len() > 1 || !self.source.text[begin..end].trim().is_empty() {
                return Ok(Some(self.line));
            }
            self.blank += 1;
        }
    }
}

/// A finite number, or a message that says what came instead.
pub(crate) fn number(field: &str) -> Result<f64, String> {
    match field.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        Ok(_) => Err(format!("expected a finite number, got {}", quoted(field))),
        Err(_) if field.contains(',') && field.replacen(',', ".", 1).parse::<f64>().is_ok() => {
            Err(format!("expected a number with a decimal point, got {}", quoted(field)))
        }
        Err(_) => Err(format!("expected a number, got {}", quoted(field))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows with their lines, and the count of blank lines.
    type Read = (Vec<(usize, Vec<String>)>, usize);

    fn lines(text: &str) -> Result<Read, String> {
        let source = Source::new("x.csv".into(), text.as_bytes().to_vec()).map_err(|error| error.to_string())?;
        let mut rows = Rows::new(&source, b',').map_err(|error| error.to_string())?;
        let mut all = Vec::new();
        while let Some(line) = rows.advance().map_err(|error| error.to_string())? {
            all.push((line, (0..rows.header.len()).map(|column| rows.field(column).to_string()).collect()));
        }
        Ok((all, rows.blank))
    }

    #[test]
    fn rows_have_the_lines_they_begin_on() {
        let text = "a,b\n\n1,\"x\n,\"\"y\"\n \n2, z \n\n";
        for text in [text.to_string(), text.replace('\n', "\r\n")] {
            let (rows, blank) = lines(&text).unwrap();
            assert_eq!(rows.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [3, 6], "{text:?}");
            assert_eq!(rows[0].1[1].replace("\r\n", "\n"), "x\n,\"y");
            assert_eq!(rows[1].1[1], "z");
            assert_eq!(blank, 3, "{text:?}");
        }
    }

    #[test]
    fn wrong_rows_and_headers_are_told() {
        let cases = [
            ("a,b\n1\n", "line 2: expected 2 fields, as the header has, got 1 field"),
            ("a,b\r\n\r\n1,2,3\r\n", "line 3: expected 2 fields, as the header has, got 3 fields"),
            (
                "a,b\n\"1,2\n3,4\n",
                "line 2: expected 2 fields, as the header has, got 1 field; a quotation mark that opens a field may not \
                 be closed",
            ),
            ("1,2\n3,4\n", "line 1: expected the columns' names, got numbers: '1', '2'"),
            ("a,b,a\n", "line 1: expected a name once, got two columns 'a'"),
            (
                "a;b\n1;2\n",
                "line 1: expected columns separated by ',', got one column with ';' in its name: is that the delimiter?",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(lines(text).unwrap_err(), format!("x.csv: {expected}"), "{text:?}");
        }
    }

    #[test]
    fn numbers_are_finite_and_have_points() {
        assert_eq!(number("-1.5e3"), Ok(-1500.0));
        for (field, expected) in [
            ("1,5", "expected a number with a decimal point, got '1,5'"),
            ("inf", "expected a finite number, got 'inf'"),
            ("1e999", "expected a finite number, got '1e999'"),
            ("", "expected a number, got nothing"),
        ] {
            assert_eq!(number(field).unwrap_err(), expected);
        }
    }
}
