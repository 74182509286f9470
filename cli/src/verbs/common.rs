//! What the verbs have in common: the values of their options, and the words they print.

use std::fmt::Display;
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use elman::Nonlinearity;
use elman::Threads;
use elman::format::CellKind;
use elman::internals::Kernels;
use indicatif::HumanCount;

/// A number of threads to run on.
pub(crate) fn threads(text: &str) -> Result<Threads, String> {
    let threads = any_threads(text)?;
    runnable(threads)?;
    Ok(threads)
}

/// A number of threads to predict for, maybe of another machine.
pub(crate) fn any_threads(text: &str) -> Result<Threads, String> {
    Threads::new(whole(text, 1..=usize::MAX)?).map_err(|error| error.to_string())
}

/// Refuses more threads than four for each core. Every worker is given its part of the work whether a core is free for it
/// or not, so that the time of a call grows with the threads, without end.
pub(crate) fn runnable(threads: Threads) -> Result<(), String> {
    let cores = Threads::available().get();
    let most = cores.saturating_mul(4);
    if threads.get() <= most {
        return Ok(());
    }
    let machine = count(cores as u64, "core");
    Err(format!(
        "expected at most {most}, 4 for each core: this machine has {machine}, and more threads only wait for them"
    ))
}

/// Whether writing to one of these paths would write to the other: they are compared as files, behind links and `./`,
/// also where there is none yet. Two names of one file on the disk (a hard link) are two, as a name is what is replaced.
pub(crate) fn same_file(a: &Path, b: &Path) -> bool {
    a == b || matches!((place(a), place(b)), (Some(a), Some(b)) if a == b)
}

/// Where a file is, or would be made.
fn place(path: &Path) -> Option<PathBuf> {
    if let Ok(there) = fs::canonicalize(path) {
        return Some(there);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Some(fs::canonicalize(folder).ok()?.join(path.file_name()?))
}

/// A whole number; clap's own refusal does not say what was expected.
pub(crate) fn whole<N: FromStr + PartialOrd + Display>(text: &str, range: RangeInclusive<N>) -> Result<N, String> {
    let number = text.parse().ok().filter(|n| range.contains(n));
    number.ok_or_else(|| format!("expected a whole number from {} to {}", range.start(), range.end()))
}

pub(crate) fn cell(text: &str) -> Result<CellKind, String> {
    text.parse().map_err(|_| "expected rnn, gru or lstm".into())
}

pub(crate) fn nonlinearity(text: &str) -> Result<Nonlinearity, String> {
    text.parse().map_err(|_| "expected tanh or relu".into())
}

pub(crate) fn isa(text: &str) -> Result<&'static Kernels, String> {
    Kernels::named(text).map_err(|error| error.to_string())
}

pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.0..=3600.0).contains(seconds));
    seconds.ok_or_else(|| "expected a number from 0 to 3600".into())
}

/// `1 thread`, `2 threads`.
pub(crate) fn count(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", HumanCount(n), if n == 1 { "" } else { "s" })
}

/// The text on one line: names of files and tensors may hold line breaks, escape codes, and characters that turn the
/// direction of what follows or are not seen at all.
pub(crate) fn visible(text: &str) -> String {
    let mut line = String::new();
    for c in text.chars() {
        if c.is_control() || is_format(c) { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}

/// Unicode's separators of lines and paragraphs, and its format characters: marks, overrides and isolates of direction,
/// joiners, what has no width, and tags.
fn is_format(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// `a, b, c and 5 more`.
pub(crate) fn listed(names: &[impl AsRef<str>]) -> String {
    /// More do not help.
    const MOST: usize = 8;
    let shown: Vec<_> = names.iter().take(MOST).map(AsRef::as_ref).collect();
    let more = names.len() - shown.len();
    let and = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{}{and}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_bounded_by_the_cores() {
        let most = 4 * Threads::available().get();
        assert_eq!(threads(&most.to_string()).unwrap().get(), most);
        let reason = threads(&(most + 1).to_string()).unwrap_err();
        assert!(
            reason.starts_with(&format!("expected at most {most}, 4 for each core: this machine has ")),
            "{reason}"
        );
        assert_eq!(any_threads(&usize::MAX.to_string()).unwrap().get(), usize::MAX);
    }

    #[test]
    fn what_is_printed_stays_on_its_line_and_in_its_direction() {
        assert_eq!(visible("a\nb\u{1b}[31m"), r"a\nb\u{1b}[31m");
        assert_eq!(visible("abc\u{202e}txt.exe\u{2028}\u{200b}"), r"abc\u{202e}txt.exe\u{2028}\u{200b}");
        assert_eq!(visible("größer, 重み, 🙂"), "größer, 重み, 🙂");
    }

    #[test]
    fn files_are_the_same_by_where_they_are() {
        let folder = tempfile::TempDir::new().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("a"), "").unwrap();
        fs::create_dir(at("inner")).unwrap();
        for (a, b, same) in [
            ("a", "a", true),
            ("a", "./a", true),
            ("a", "inner/../a", true),
            ("a", "b", false),
            ("b", "./b", true),
            ("b", "inner/../b", true),
            ("b", "inner/b", false),
            ("none/b", "none/./b", true),
            ("none/a", "a", false),
        ] {
            assert_eq!(same_file(&at(a), &at(b)), same, "{a} {b}");
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(at("a"), at("link")).unwrap();
            std::os::unix::fs::symlink(at("inner"), at("other")).unwrap();
            assert!(same_file(&at("a"), &at("link")));
            assert!(same_file(&at("inner/new"), &at("other/new")));
            fs::hard_link(at("a"), at("hard")).unwrap();
            assert!(!same_file(&at("a"), &at("hard")));
        }
    }
}
