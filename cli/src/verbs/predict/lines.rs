//! The lines that are asked about, one by one as they come.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal as _, Write as _};
use std::path::Path;

use super::Failure;
use crate::verbs::common::visible;

/// Answers a line by lines, fields of which are separated by tabs, or says what is wrong with it.
pub(super) type Answer<'a> = dyn FnMut(&str) -> Result<Vec<String>, String> + 'a;

/// Lines, and what errors call where they come from.
pub(super) struct Lines {
    pub(super) name: String,
    pub(super) from: Box<dyn BufRead>,
}

impl Lines {
    /// The lines of a file or of the standard input.
    pub(super) fn open(input: Option<&Path>) -> Result<Self, Failure> {
        match input {
            Some(path) if path != Path::new("-") => {
                let file = File::open(path)
                    .map_err(|error| Failure::Run(format!("cannot read {}: {error}", path.display())))?;
                Ok(Self { name: path.display().to_string(), from: Box::new(BufReader::new(file)) })
            }
            _ => Ok(Self { name: "standard input".into(), from: Box::new(BufReader::new(io::stdin())) }),
        }
    }

    /// The next line, its end included; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let mut bytes = Vec::new();
        match self.from.read_until(b'\n', &mut bytes) {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(bytes)),
            Err(error) => Err(self.unreadable(&error)),
        }
    }

    pub(super) fn unreadable(&self, error: &io::Error) -> Failure {
        Failure::Run(format!("cannot read {}: {error}", self.name))
    }

    /// Prints what is answered to every line as it comes; the first that cannot be answered ends it.
    pub(super) fn answer(mut self, answer: &mut Answer<'_>) -> Result<(), Failure> {
        let mut number = 0;
        while let Some(bytes) = self.next()? {
            number += 1;
            let answers = text(&bytes).and_then(&mut *answer);
            let at = |reason: String| Failure::Run(format!("{}: line {number}: {reason}", self.name));
            print(&answers.map_err(at)?)?;
        }
        Ok(())
    }
}

/// Asks for lines at the standard input, and goes on after one that cannot be answered.
pub(super) fn interactive(answer: &mut Answer<'_>) -> Result<(), Failure> {
    let terminal = io::stdin().is_terminal() && io::stderr().is_terminal();
    let prompt = |text: &str| {
        if terminal {
            // A prompt that cannot be shown is missed by nobody.
            let _ = write!(io::stderr(), "{text}").and_then(|()| io::stderr().flush());
        }
    };
    let mut lines = Lines::open(None)?;
    prompt("a line, and its answer; Ctrl-D ends\n> ");
    while let Some(bytes) = lines.next()? {
        match text(&bytes) {
            Ok("") => {}
            line => match line.and_then(&mut *answer) {
                Ok(answers) => print(&answers)?,
                Err(reason) => {
                    let _ = writeln!(io::stderr(), "error: {}", visible(&reason));
                }
            },
        }
        prompt("> ");
    }
    prompt("\n");
    Ok(())
}

/// A line without its end, blanks around it, and the mark before a file's first.
pub(super) fn text(bytes: &[u8]) -> Result<&str, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "expected UTF-8, got other bytes".to_string())?;
    Ok(text.trim_start_matches('\u{feff}').trim())
}

/// Prints answers, seen at once by whoever waits for them.
pub(super) fn print(answers: &[String]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for answer in answers {
        writeln!(out, "{}", answer.split('\t').map(visible).collect::<Vec<_>>().join("\t"))?;
    }
    out.flush()
}
