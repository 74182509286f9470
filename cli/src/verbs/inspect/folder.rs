//! The files that `elman inspect` is to look at.

use std::fs;
use std::path::{Path, PathBuf};

use crate::verbs::Failure;

/// A file to look at.
pub(super) struct Listed {
    pub(super) path: PathBuf,
    /// It was named, or its own name says that it is a safetensors file: what else lies in a folder need be none.
    pub(super) expected: bool,
}

/// The file at `path`; every file below, in alphabetical order, if it is a folder. What is hidden stays so, and links to
/// folders are not followed, as they may lead round in a circle.
pub(super) fn files(path: &Path) -> Result<Vec<Listed>, Failure> {
    if !path.is_dir() {
        return Ok(vec![Listed { path: path.to_path_buf(), expected: true }]);
    }
    let mut all = Vec::new();
    let mut folders = vec![path.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let unreadable = |error| Failure::Run(format!("cannot read the folder {}: {error}", folder.display()));
        for entry in fs::read_dir(&folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let path = entry.path();
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            if entry.file_type().map_err(unreadable)?.is_dir() {
                folders.push(path);
            } else if path.is_file() {
                let expected = path.extension().is_some_and(|extension| extension == "safetensors");
                all.push(Listed { path, expected });
            }
        }
    }
    all.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(all)
}
