//! A file of text, read whole, and its lines.

use std::fs;
use std::path::Path;

use crate::error::{Error, Result};

/// Text in UTF-8 without the byte-order mark that some programs put before it. Lines end in LF or CRLF; in a file
/// without any LF, in CR.
#[derive(Debug)]
pub(crate) struct Source {
    /// What errors call it.
    pub(crate) name: String,
    pub(crate) text: String,
}

impl Source {
    /// # Errors
    /// A file that cannot be read, that is not UTF-8, or that is empty.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).map_err(|error| Error::unreadable(path, error))?;
        Self::new(path.display().to_string(), bytes)
    }

    pub(crate) fn new(name: String, bytes: Vec<u8>) -> Result<Self> {
        if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
            return Err(Error::new("expected text in UTF-8, got UTF-16: save it again as UTF-8").in_file(name));
        }
        let mut text = String::from_utf8(bytes).map_err(|error| {
            let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = 1 + valid.iter().filter(|&&byte| byte == b'\n').count();
            let byte = error.as_bytes().get(valid.len()).copied().unwrap_or_default();
            Error::new(format!("expected text in UTF-8, got the byte 0x{byte:02x}")).in_file(&name).at_line(line)
        })?;
        if text.starts_with('\u{feff}') {
            text.drain(..'\u{feff}'.len_utf8());
        }
        if text.contains('\r') && !text.contains('\n') {
            text = text.replace('\r', "\n");
        }
        if text.trim().is_empty() {
            let got = if text.is_empty() { "an empty file" } else { "blank lines alone" };
            return Err(Error::new(format!("expected rows, got {got}")).in_file(name));
        }
        Ok(Self { name, text })
    }

    /// An error about a line of this file.
    pub(crate) fn error(&self, line: usize, message: impl Into<String>) -> Error {
        Error::new(message).in_file(&self.name).at_line(line)
    }

    /// The lines that are not blank, with their numbers from 1 and without their ends; and how many were blank.
    pub(crate) fn lines(&self) -> (Vec<(usize, &str)>, usize) {
        let all = self.text.lines().enumerate().map(|(index, line)| (index + 1, line));
        let (some, blank): (Vec<_>, Vec<_>) = all.partition(|(_, line)| !line.trim().is_empty());
        (some, blank.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Source, String> {
        Source::new("x".into(), bytes.to_vec()).map_err(|error| error.to_string())
    }

    #[test]
    fn marks_and_line_ends_of_other_programs_are_read() {
        for text in ["\u{feff}a\r\n\r\nb\r\n", "a\n\nb", "a\r\rb\r"] {
            let source = read(text.as_bytes()).unwrap();
            assert_eq!(source.lines(), (vec![(1, "a"), (3, "b")], 1), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_text_is_told() {
        assert_eq!(read(b"").unwrap_err(), "x: expected rows, got an empty file");
        assert_eq!(read(b"\xef\xbb\xbf").unwrap_err(), "x: expected rows, got an empty file");
        assert_eq!(read(b"\n \r\n").unwrap_err(), "x: expected rows, got blank lines alone");
        assert_eq!(read(b"a\nb\xe9\n").unwrap_err(), "x: line 2: expected text in UTF-8, got the byte 0xe9");
        assert!(read(b"\xff\xfea\0").unwrap_err().contains("UTF-16"));
        let error = Source::open(Path::new("/nowhere/x.csv")).unwrap_err();
        assert!(error.to_string().starts_with("/nowhere/x.csv: cannot be read: "), "{error}");
        assert!(std::error::Error::source(&error).is_some());
    }
}
