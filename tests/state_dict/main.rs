//! Model files: what is written is read back to the bit, what does not fit is refused by name, and nothing that a file
//! says can bring a panic or half a model.
#![cfg(feature = "safetensors")]

mod attacks;
mod loading;
mod writing;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use elman::format::{NO_METADATA, check_writable, load, save, write_atomic};
use elman::params::ParamTable;
use elman::{Error, Params, Rng};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use tempfile::TempDir;

const SINE_MODEL: &str = "tests/fixtures/sine_model.safetensors";

/// A tensor as the crate writes it: name, type, shape, bytes.
type Raw<'a> = (&'a str, Dtype, Vec<usize>, Vec<u8>);

fn params_of(table: &[(&str, &[usize])]) -> Params {
    let mut layout = ParamTable::new();
    for (name, shape) in table {
        layout.add(*name, shape).unwrap();
    }
    Params::zeros(layout)
}

/// The table of the sine tutorial's net, with recognisable values.
fn sine_params() -> Params {
    let mut params = params_of(&[
        ("rnn.weight_ih_l0", &[16, 1]),
        ("rnn.weight_hh_l0", &[16, 16]),
        ("rnn.bias_ih_l0", &[16]),
        ("rnn.bias_hh_l0", &[16]),
        ("linear.weight", &[1, 16]),
        ("linear.bias", &[1]),
    ]);
    count_up(&mut params);
    params
}

/// Two tensors, against their order in a file.
fn small_params() -> Params {
    let mut params = params_of(&[("b", &[2, 1]), ("a", &[1])]);
    count_up(&mut params);
    params
}

fn count_up(params: &mut Params) {
    for (i, value) in params.data_mut().iter_mut().enumerate() {
        *value = i as f32 + 0.5;
    }
}

fn bits(params: &Params) -> Vec<u32> {
    params.data().iter().map(|value| value.to_bits()).collect()
}

fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn raw<'a>(name: &'a str, shape: &[usize], fill: f32) -> Raw<'a> {
    (name, Dtype::F32, shape.into(), f32_bytes(&vec![fill; shape.iter().product()]))
}

/// What fits `small_params`, all 9.
fn small_raw() -> Vec<Raw<'static>> {
    vec![raw("a", &[1], 9.0), raw("b", &[2, 1], 9.0)]
}

/// The file that the crate makes of these.
fn crate_file(tensors: &[Raw<'_>]) -> Vec<u8> {
    let views =
        tensors.iter().map(|(name, dtype, shape, data)| (name, TensorView::new(*dtype, shape.clone(), data).unwrap()));
    serialize(views, None).unwrap()
}

/// A file of any header at all.
fn raw_file(header: impl AsRef<[u8]>, data: &[u8]) -> Vec<u8> {
    let header = header.as_ref();
    [&(header.len() as u64).to_le_bytes()[..], header, data].concat()
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// What loading these bytes is refused with; also that the parameters are as they were and the message is one line
/// that begins with the file's name.
fn refused(contents: &[u8], params: &mut Params) -> Error {
    let folder = Folder::new();
    let path = folder.path("model.safetensors");
    fs::write(&path, contents).unwrap();
    let before = bits(params);
    let error = load(&path, params).expect_err("this file is to be refused");
    assert_eq!(bits(params), before, "touched by a load that failed: {error}");
    let text = error.to_string();
    assert!(text.starts_with(&format!("{}: ", path.display())), "{text}");
    assert!(!text.chars().any(char::is_control), "{text:?}");
    error
}

/// The reason why these bytes are no safetensors file.
fn reason(contents: &[u8]) -> String {
    match refused(contents, &mut small_params()) {
        Error::Format { reason, .. } => reason,
        other => panic!("expected Format, got {other:?}"),
    }
}

/// The tensors of the file that do not fit.
fn problems(tensors: &[Raw<'_>]) -> Vec<String> {
    match refused(&crate_file(tensors), &mut small_params()) {
        Error::Weights { path: Some(_), problems, .. } => problems,
        other => panic!("expected Weights, got {other:?}"),
    }
}
