//! Whole tasks, small: from a file through training to a saved model that predicts.

mod classify;
mod generate;

use std::path::PathBuf;

use elman_tasks::split::SplitMix64;
use tempfile::TempDir;

/// A folder, and in it a file of that text.
fn file(name: &str, text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

/// The commonest first names of a census, with the sex.
fn names() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tasks/data/names.tsv"))
}

/// One of some words, at random.
fn pick<'w>(rng: &mut SplitMix64, words: &[&'w str]) -> &'w str {
    words[rng.below(words.len())]
}
