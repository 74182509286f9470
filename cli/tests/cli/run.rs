//! `elman run`.

mod batches;
mod csv;
mod models;
mod refusals;
mod reports;
mod whole;

use std::path::{Path, PathBuf};

use elman::format::TensorFile;
use tempfile::TempDir;

use crate::files::{Raw, read, write};
use crate::{Ran, run, tree};

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/models").join(format!("{name}.safetensors"))
}

/// `elman run` of `{model}.safetensors` over `x.safetensors` into `y.safetensors`.
pub(crate) fn over_x(folder: &Path, model: &str, more: &[&str]) -> Ran {
    let weights = format!("{model}.safetensors");
    let args = ["run", &weights, "x.safetensors", "-o", "y.safetensors"];
    run(folder, &[&args, more].concat())
}

/// Shape and elements of a tensor of `y.safetensors`.
pub(crate) fn got(folder: &Path, name: &str) -> (Vec<usize>, Vec<f32>) {
    read(&folder.join("y.safetensors"), name)
}

/// The output, h_n and, where there is one, c_n of a model over these tensors.
pub(crate) fn outcome(folder: &Path, model: &str, tensors: &[Raw<'_>], more: &[&str]) -> Vec<(Vec<usize>, Vec<f32>)> {
    write(&folder.join("x.safetensors"), tensors);
    let ran = over_x(folder, model, &[more, &["--json"]].concat());
    ran.ok();
    let file = TensorFile::open(folder.join("y.safetensors")).unwrap();
    ["output", "h_n", "c_n"]
        .iter()
        .filter(|name| file.info(name).is_some())
        .map(|name| file.read_f32(name).unwrap())
        .collect()
}

/// The command refuses these tensors with exactly that, and everything is as it was.
pub(crate) fn refuses(folder: &TempDir, model: &str, tensors: &[Raw<'_>], more: &[&str], expected: &str) {
    write(&folder.path().join("x.safetensors"), tensors);
    let before = tree(folder.path());
    let line = over_x(folder.path(), model, more).refused(1, &[]);
    assert_eq!(line, format!("error: {expected}"));
    assert_eq!(tree(folder.path()), before);
}

/// The line of `elman run` with other files than `over_x` has, which refuses.
pub(crate) fn line(folder: &TempDir, args: &[&str], code: i32) -> String {
    let before = tree(folder.path());
    let line = run(folder.path(), args).refused(code, &[]);
    assert_eq!(tree(folder.path()), before, "after {args:?}");
    line
}
