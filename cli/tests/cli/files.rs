//! Files for `elman run` and `elman inspect`: small networks, and tensors of any type.

use std::fs;
use std::path::Path;

use elman::format::{TensorFile, save};
use elman::internals::{NetworkConfig, Recurrent};
use elman::params::ParamTable;
use elman::{Gru, Lstm, Params, Rng, Rnn};
use safetensors::tensor::{Dtype, TensorView, serialize};
use tempfile::TempDir;

/// A tensor of a file: name, type, shape, bytes.
pub(crate) type Raw<'a> = (&'a str, Dtype, Vec<usize>, Vec<u8>);

pub(crate) fn write(path: &Path, tensors: &[Raw<'_>]) {
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        let view = TensorView::new(*dtype, shape.clone(), bytes).unwrap();
        (name, view)
    });
    fs::write(path, serialize(views, None).unwrap()).unwrap();
}

pub(crate) fn f32s<'a>(name: &'a str, shape: &[usize], values: &[f32]) -> Raw<'a> {
    (name, Dtype::F32, shape.to_vec(), values.iter().flat_map(|value| value.to_le_bytes()).collect())
}

pub(crate) fn i64s<'a>(name: &'a str, shape: &[usize], values: &[i64]) -> Raw<'a> {
    (name, Dtype::I64, shape.to_vec(), values.iter().flat_map(|value| value.to_le_bytes()).collect())
}

pub(crate) fn bools<'a>(name: &'a str, shape: &[usize], values: &[bool]) -> Raw<'a> {
    (name, Dtype::BOOL, shape.to_vec(), values.iter().map(|&value| u8::from(value)).collect())
}

/// Random floats of that shape.
pub(crate) fn random<'a>(name: &'a str, shape: &[usize]) -> Raw<'a> {
    let mut rng = Rng::new(shape.iter().sum::<usize>() as u64);
    let values: Vec<_> = (0..shape.iter().product()).map(|_| rng.uniform(-1.0, 1.0)).collect();
    f32s(name, shape, &values)
}

/// A network with PyTorch's initialisation, saved at that prefix.
pub(crate) fn model(path: &Path, config: impl Into<NetworkConfig>, prefix: &str, metadata: &[(&str, String)]) {
    let mut layout = ParamTable::new();
    let network = Recurrent::new(config, &mut layout, prefix).unwrap();
    let mut params = Params::zeros(layout);
    network.init(&mut params, &mut Rng::new(1));
    save(path, &params, metadata.iter().map(|(key, value)| (*key, &value[..]))).unwrap();
}

/// A folder with a model of each cell over 3 features, and `x.safetensors`, an input of 5 steps of 2 rows. `relu` is
/// `rnn` with metadata that says so; `lstm` has two layers, both directions and a projection.
pub(crate) fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    model(&at("rnn.safetensors"), Rnn::builder(3, 4), "", &[]);
    model(&at("relu.safetensors"), Rnn::builder(3, 4), "", &[("nonlinearity", "relu".into())]);
    model(&at("gelu.safetensors"), Rnn::builder(3, 4), "", &[("nonlinearity", "gelu".into())]);
    model(&at("gru.safetensors"), Gru::builder(3, 4), "", &[]);
    let lstm = Lstm::builder(3, 4).num_layers(2).bidirectional(true).proj_size(2);
    model(&at("lstm.safetensors"), lstm, "encoder.rnn", &[]);
    write(&at("x.safetensors"), &[random("input", &[5, 2, 3])]);
    folder
}

/// Shape and elements of a tensor of a file.
pub(crate) fn read(path: &Path, name: &str) -> (Vec<usize>, Vec<f32>) {
    TensorFile::open(path).unwrap().read_f32(name).unwrap()
}
