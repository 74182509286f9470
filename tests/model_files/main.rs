//! State dicts as users have them: of any type of float, behind any prefix, of any of PyTorch's recurrent layers; and
//! what does not fit is told whole, in one error.
#![cfg(feature = "safetensors")]

mod descriptions;
mod files;
mod foreign;
mod many;
mod numbers;
mod prefixes;
mod rules;

use std::fs;
use std::path::PathBuf;

use elman::format::TensorFile;
use elman::params::ParamTable;
use elman::{Error, Params, Result};
use safetensors::tensor::{Dtype, TensorView, serialize};
use tempfile::TempDir;

pub(crate) struct Folder(pub(crate) TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A file of these bytes.
    pub(crate) fn file(&self, contents: &[u8]) -> PathBuf {
        let path = self.path("model.safetensors");
        fs::write(&path, contents).unwrap();
        path
    }
}

/// A tensor as the crate writes it: name, type, shape, bytes.
pub(crate) type Raw<'a> = (&'a str, Dtype, Vec<usize>, Vec<u8>);

pub(crate) fn crate_file(tensors: &[Raw<'_>]) -> Vec<u8> {
    let views =
        tensors.iter().map(|(name, dtype, shape, data)| (name, TensorView::new(*dtype, shape.clone(), data).unwrap()));
    serialize(views, None).unwrap()
}

/// A file of any header at all.
pub(crate) fn raw_file(header: impl AsRef<[u8]>, data: &[u8]) -> Vec<u8> {
    let header = header.as_ref();
    [&(header.len() as u64).to_le_bytes()[..], header, data].concat()
}

pub(crate) fn open(contents: &[u8]) -> Result<TensorFile> {
    TensorFile::open(Folder::new().file(contents))
}

/// A vector of one type.
pub(crate) fn vector<const N: usize>(name: &str, dtype: Dtype, values: impl IntoIterator<Item = [u8; N]>) -> Raw<'_> {
    let bytes: Vec<_> = values.into_iter().flatten().collect();
    (name, dtype, vec![bytes.len() / N], bytes)
}

pub(crate) fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// The text of an error without the file's name; also that it is one line.
pub(crate) fn text(error: &Error) -> String {
    let text = error.to_string();
    assert!(!text.chars().any(char::is_control), "{text:?}");
    match error {
        Error::Weights { path: Some(path), problems, .. } => {
            assert!(!problems.is_empty());
            assert_eq!(text, format!("{}: {}", path.display(), problems.join("; ")));
            problems.join("; ")
        }
        Error::Format { reason, .. } => reason.clone(),
        _ => text,
    }
}

pub(crate) fn params_of(table: &[(&str, &[usize])]) -> Params {
    let mut layout = ParamTable::new();
    for (name, shape) in table {
        layout.add(*name, shape).unwrap();
    }
    let mut params = Params::zeros(layout);
    for (i, value) in params.data_mut().iter_mut().enumerate() {
        *value = i as f32 + 0.5;
    }
    params
}

/// A tensor of zeros.
pub(crate) fn zeros(name: &str, dtype: Dtype, shape: &[usize]) -> Raw<'static> {
    let name: &'static str = String::leak(name.into());
    (name, dtype, shape.into(), vec![0; shape.iter().product::<usize>() * dtype.bitsize() / 8])
}
