//! Files of texts: a label or a source, a tab, and a text a line; a label and numbers a line; a text a line.
//!
//! Files are UTF-8, with or without a byte-order mark, with LF or CRLF. Blank lines are passed by and counted; nothing
//! else is. White space around a text is no part of it. There is no quoting: a quotation mark is a character like others.

use std::path::Path;

use crate::error::{Error, Result, quoted};
use crate::rows::number;
use crate::source::Source;

/// A line with two texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The line of the file, from 1.
    pub line: usize,
    /// What stands before the tab: a label, or a source.
    pub left: String,
    /// What stands after it: a text, or a target.
    pub right: String,
}

/// A line with a label and numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Numbers {
    /// The line of the file, from 1.
    pub line: usize,
    /// What stands first.
    pub label: String,
    /// All else on the line, at least one number.
    pub values: Vec<f64>,
}

/// What was read of a file, and how much was passed by.
#[derive(Clone, Debug, PartialEq)]
pub struct Lines<T> {
    /// In the order of the file.
    pub rows: Vec<T>,
    /// How many blank lines were passed by.
    pub blank: usize,
}

/// Reads lines of a label, a tab and a text.
///
/// # Errors
/// A file that cannot be read, is empty or is not UTF-8; a line without a tab, with several, or with nothing on one side
/// of it. Each of the latter names the line.
pub fn labelled(path: &Path) -> Result<Lines<Pair>> {
    pairs(&Source::open(path)?, "a label", "a text")
}

/// Reads lines of a source, a tab and a target.
///
/// # Errors
/// As for [`labelled`].
pub fn parallel(path: &Path) -> Result<Lines<Pair>> {
    pairs(&Source::open(path)?, "a source", "a target")
}

/// Reads a text a line, with the line's number.
///
/// # Errors
/// A file that cannot be read, is empty or is not UTF-8.
pub fn lines(path: &Path) -> Result<Lines<(usize, String)>> {
    let source = Source::open(path)?;
    let (rows, blank) = source.lines();
    Ok(Lines { rows: rows.into_iter().map(|(line, text)| (line, text.trim().to_string())).collect(), blank })
}

/// Reads lines of a label and numbers, separated all by commas, all by tabs or all by blanks: by commas where the first
/// line has one, else by tabs where it has one. Lines may hold different counts of numbers.
///
/// # Errors
/// A file that cannot be read, is empty or is not UTF-8; a line without a label or without numbers, and a field that is
/// no finite number, an empty one too. Each of the latter names the line, and the field by its number from 1.
pub fn labelled_numbers(path: &Path) -> Result<Lines<Numbers>> {
    numbers(&Source::open(path)?)
}

fn pairs(source: &Source, left: &str, right: &str) -> Result<Lines<Pair>> {
    let (lines, blank) = source.lines();
    let read = |(line, text): (usize, &str)| {
        let wrong = |got: String| Err(source.error(line, format!("expected {left}, a tab and {right}, got {got}")));
        let Some((first, second)) = text.split_once('\t') else {
            return wrong(format!("no tab in {}", quoted(text)));
        };
        if second.contains('\t') {
            return wrong(format!("{} tabs", 1 + second.matches('\t').count()));
        }
        let (first, second) = (first.trim(), second.trim());
        match (first.is_empty(), second.is_empty()) {
            (true, _) => wrong("nothing before the tab".into()),
            (_, true) => wrong(format!("nothing after the tab that follows {}", quoted(first))),
            _ => Ok(Pair { line, left: first.to_string(), right: second.to_string() }),
        }
    };
    Ok(Lines { rows: lines.into_iter().map(read).collect::<Result<_>>()?, blank })
}

fn numbers(source: &Source) -> Result<Lines<Numbers>> {
    let (lines, blank) = source.lines();
    let separator = lines.first().and_then(|(_, text)| [',', '\t'].into_iter().find(|&c| text.contains(c)));
    let read = |(line, text): (usize, &str)| {
        let fields: Vec<_> = match separator {
            Some(separator) => text.split(separator).map(str::trim).collect(),
            None => text.split_whitespace().collect(),
        };
        let (label, values) = fields.split_first().unwrap_or((&"", &[]));
        if label.is_empty() || values.is_empty() {
            let by = match separator {
                Some(',') => "commas",
                Some(_) => "tabs",
                None => "blanks",
            };
            let message = format!("expected a label and numbers, separated by {by}, got {}", quoted(text));
            return Err(source.error(line, message));
        }
        let value = |(index, field): (usize, &&str)| {
            number(field).map_err(|message| source.error(line, message).in_column((index + 2).to_string()))
        };
        let values = values.iter().enumerate().map(value).collect::<Result<_, Error>>()?;
        Ok(Numbers { line, label: label.to_string(), values })
    };
    Ok(Lines { rows: lines.into_iter().map(read).collect::<Result<_>>()?, blank })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &[u8]) -> Result<Source> {
        Source::new("x.tsv".into(), text.to_vec())
    }

    fn read(text: &str) -> Result<Lines<Pair>, String> {
        source(text.as_bytes())
            .and_then(|source| pairs(&source, "a label", "a text"))
            .map_err(|error| error.to_string())
    }

    fn read_numbers(text: &str) -> Result<Lines<Numbers>, String> {
        source(text.as_bytes()).and_then(|source| numbers(&source)).map_err(|error| error.to_string())
    }

    #[test]
    fn pairs_are_read() {
        let lines = read("\u{feff}pos\tso \"good\" ,\r\n\r\nneg\tça va\r\n").unwrap();
        let pair = |line, left: &str, right: &str| Pair { line, left: left.into(), right: right.into() };
        assert_eq!(lines.rows, [pair(1, "pos", "so \"good\" ,"), pair(3, "neg", "ça va")]);
        assert_eq!(lines.blank, 1);
    }

    #[test]
    fn wrong_pairs_are_told() {
        let cases = [
            ("", "expected rows, got an empty file"),
            ("pos\tx\n\npos x\n", "line 3: expected a label, a tab and a text, got no tab in 'pos x'"),
            ("pos\tx\ty\n", "line 1: expected a label, a tab and a text, got 2 tabs"),
            ("\tx\n", "line 1: expected a label, a tab and a text, got nothing before the tab"),
            ("pos\t \n", "line 1: expected a label, a tab and a text, got nothing after the tab that follows 'pos'"),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text).unwrap_err(), format!("x.tsv: {expected}"), "{text:?}");
        }
        assert_eq!(source(b"a\tb\na\t\xe9\n").unwrap_err().line(), Some(2));
        let long = read(&"y".repeat(10_000_000)).unwrap_err();
        assert!(long.len() < 200, "{long}");
        assert_eq!(read(&format!("a\t{}", "y".repeat(10_000_000))).unwrap().rows[0].right.len(), 10_000_000);
    }

    #[test]
    fn numbers_are_read_with_any_separator() {
        for text in ["up,1,-2.5\ndown,3\n", "up\t1\t-2.5\ndown\t3\n", " up  1 -2.5 \n\ndown 3\n"] {
            let rows = read_numbers(text).unwrap().rows;
            assert_eq!((rows[0].label.as_str(), rows[0].values.as_slice()), ("up", &[1.0, -2.5][..]), "{text:?}");
            assert_eq!((rows[1].label.as_str(), rows[1].values.as_slice()), ("down", &[3.0][..]), "{text:?}");
        }
    }

    #[test]
    fn wrong_numbers_are_told() {
        let cases = [
            ("a,1,x\n", "line 1, column '3': expected a number, got 'x'"),
            ("a,1\nb,\n", "line 2, column '2': expected a number, got nothing"),
            ("a,nan\n", "line 1, column '2': expected a finite number, got 'nan'"),
            ("a,1\nb 2\n", "line 2: expected a label and numbers, separated by commas, got 'b 2'"),
            ("a 1\nb\n", "line 2: expected a label and numbers, separated by blanks, got 'b'"),
        ];
        for (text, expected) in cases {
            assert_eq!(read_numbers(text).unwrap_err(), format!("x.tsv: {expected}"), "{text:?}");
        }
    }

    #[test]
    fn files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.tsv");
        std::fs::write(&path, "a\t1\nb\t2\n").unwrap();
        assert_eq!(labelled(&path).unwrap().rows, parallel(&path).unwrap().rows);
        assert_eq!(labelled_numbers(&path).unwrap().rows[1].values, [2.0]);
        assert_eq!(lines(&path).unwrap().rows[1], (2, "b\t2".to_string()));
        assert!(labelled(&folder.path().join("none")).unwrap_err().to_string().contains("cannot be read"));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_told(text in "[ab1,\\t\\r\\n .]{0,60}") {
            let _ = (read(&text), read_numbers(&text));
        }
    }
}
