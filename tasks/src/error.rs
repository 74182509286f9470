//! The one error type: a sentence, and where in which file what it speaks of stands.

use std::path::Path;
use std::sync::Arc;
use std::{fmt, io};

/// The result of everything here that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong: one line of text by `Display`, such as
/// `prices.csv: line 7, column 'open': expected a number, got 'x'`.
///
/// Files, lines and columns are told where they are known. What the operating system refused has its error as
/// [`source`](std::error::Error::source).
#[derive(Clone, Debug)]
pub struct Error {
    file: Option<String>,
    line: Option<usize>,
    column: Option<String>,
    message: String,
    // Shared, as an `io::Error` cannot be cloned.
    cause: Option<Arc<io::Error>>,
}

impl Error {
    /// An error that stands nowhere in particular. `message` is one line: the thing, what was expected, what came.
    pub fn new(message: impl Into<String>) -> Self {
        Self { file: None, line: None, column: None, message: message.into(), cause: None }
    }

    /// A value that a function cannot take, e.g. a setting.
    pub(crate) fn expected(name: &str, expected: impl fmt::Display, got: impl fmt::Display) -> Self {
        Self::new(format!("{name}: expected {expected}, got {got}"))
    }

    /// A file that cannot be opened or read.
    pub(crate) fn unreadable(path: &Path, error: io::Error) -> Self {
        let mut this = Self::new(format!("cannot be read: {error}")).in_file(path.display().to_string());
        this.cause = Some(Arc::new(error));
        this
    }

    /// The same error, in this file.
    #[must_use]
    pub fn in_file(mut self, name: impl Into<String>) -> Self {
        self.file = Some(name.into());
        self
    }

    /// The same error, on this line, the first being 1.
    #[must_use]
    pub fn at_line(mut self, line: usize) -> Self {
        self.line = Some(line);
        self
    }

    /// The same error, in the column of this name.
    #[must_use]
    pub fn in_column(mut self, name: impl Into<String>) -> Self {
        self.column = Some(name.into());
        self
    }

    /// The file, as the caller named it.
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// The line, the first being 1.
    pub fn line(&self) -> Option<usize> {
        self.line
    }

    /// The column's name, or its number from 1 where it has no name.
    pub fn column(&self) -> Option<&str> {
        self.column.as_deref()
    }

    /// The sentence alone.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}: ")?;
        }
        match (self.line, &self.column) {
            (Some(line), Some(column)) => write!(f, "line {line}, column '{column}': ")?,
            (Some(line), None) => write!(f, "line {line}: ")?,
            (None, Some(column)) => write!(f, "column '{column}': ")?,
            (None, None) => {}
        }
        f.write_str(&self.message)
    }
}

impl From<elman::Error> for Error {
    fn from(error: elman::Error) -> Self {
        Self::new(error.to_string())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_ref().map(|cause| &**cause as _)
    }
}

/// A field in an error message: quoted, on one line, and cut where it is long.
pub(crate) fn quoted(field: &str) -> String {
    /// Of a field that is not what it should be this much says what it is.
    const MOST: usize = 40;
    let shown: String = field.chars().take(MOST).flat_map(show).collect();
    match field.chars().count() {
        0 => "nothing".into(),
        n if n > MOST => format!("'{shown}…' ({n} characters)"),
        _ => format!("'{shown}'"),
    }
}

/// Control characters as escapes, all others as they are.
fn show(c: char) -> Vec<char> {
    if c.is_control() { c.escape_default().collect() } else { vec![c] }
}

/// Names in an error message: quoted, at most twenty.
pub(crate) fn listed<S: AsRef<str>>(names: &[S]) -> String {
    const MOST: usize = 20;
    let shown: Vec<_> = names.iter().take(MOST).map(|name| quoted(name.as_ref())).collect();
    match names.len() {
        0 => "none".into(),
        n if n > MOST => format!("{} and {} more", shown.join(", "), n - MOST),
        _ => shown.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_where() {
        let error = Error::new("expected a number, got 'x'");
        assert_eq!(error.to_string(), "expected a number, got 'x'");
        let error = error.in_file("a.csv").at_line(7).in_column("open");
        assert_eq!(error.to_string(), "a.csv: line 7, column 'open': expected a number, got 'x'");
        assert_eq!((error.file(), error.line(), error.column()), (Some("a.csv"), Some(7), Some("open")));
        assert_eq!(error.message(), "expected a number, got 'x'");
    }

    #[test]
    fn long_and_strange_fields_stay_short_and_on_one_line() {
        assert_eq!(quoted(""), "nothing");
        assert_eq!(quoted("a\nb"), "'a\\nb'");
        assert!(quoted(&"y".repeat(10_000_000)).ends_with("…' (10000000 characters)"));
        assert_eq!(listed(&["a", "b"]), "'a', 'b'");
        assert!(listed(&vec!["a"; 25]).ends_with(" and 5 more"));
        assert_eq!(listed::<&str>(&[]), "none");
    }
}
