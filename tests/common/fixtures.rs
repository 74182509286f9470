//! Reads `tests/fixtures/*.safetensors`, what PyTorch computed. A test that uses it says
//! `#[cfg(feature = "safetensors")] #[path = "common/fixtures.rs"] mod fixtures;`.

#![allow(dead_code, reason = "every test binary has its own copy and uses a part of it")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// The folder of the fixtures, which are the library's also where another crate of the workspace uses them.
fn folder() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = if here.ends_with("cli") { here.parent().expect("a folder of the workspace") } else { here };
    root.join("tests/fixtures")
}

/// One file, read whole.
pub(crate) struct Fixture {
    name: String,
    tensors: HashMap<String, Tensor>,
    metadata: HashMap<String, String>,
}

struct Tensor {
    shape: Vec<usize>,
    values: Values,
}

enum Values {
    F32(Vec<f32>),
    I64(Vec<i64>),
}

impl Fixture {
    /// The file `tests/fixtures/{name}.safetensors`.
    pub(crate) fn open(name: &str) -> Self {
        let path = folder().join(format!("{name}.safetensors"));
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        let file = SafeTensors::deserialize(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        let tensors = file.iter().map(|(key, view)| {
            let bytes = view.data();
            let values = match view.dtype() {
                Dtype::F32 => Values::F32(bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()),
                Dtype::I64 => Values::I64(bytes.as_chunks().0.iter().map(|&bytes| i64::from_le_bytes(bytes)).collect()),
                other => panic!("{name}: {key} is {other:?}; fixtures are F32 or I64"),
            };
            (key.to_string(), Tensor { shape: view.shape().to_vec(), values })
        });
        let metadata = header.metadata().clone().unwrap_or_default();
        Self { name: name.into(), tensors: tensors.collect(), metadata }
    }

    /// The names of all tensors, sorted.
    pub(crate) fn keys(&self) -> Vec<&str> {
        let mut keys: Vec<_> = self.tensors.keys().map(String::as_str).collect();
        keys.sort_unstable();
        keys
    }

    /// The shape of a tensor; of a scalar, `[]`.
    pub(crate) fn shape(&self, key: &str) -> &[usize] {
        &self.tensor(key).shape
    }

    /// The elements of a tensor of floats, row-major.
    pub(crate) fn f32(&self, key: &str) -> Vec<f32> {
        self.try_f32(key).unwrap_or_else(|| panic!("{}: no tensor '{key}'", self.name))
    }

    /// The same, or `None` where there is no such tensor.
    pub(crate) fn try_f32(&self, key: &str) -> Option<Vec<f32>> {
        match &self.tensors.get(key)?.values {
            Values::F32(values) => Some(values.clone()),
            Values::I64(_) => panic!("{}: {key} is I64", self.name),
        }
    }

    /// The elements of a tensor of integers, row-major.
    pub(crate) fn i64(&self, key: &str) -> Vec<i64> {
        match &self.tensor(key).values {
            Values::I64(values) => values.clone(),
            Values::F32(_) => panic!("{}: {key} is F32", self.name),
        }
    }

    /// The descriptions of the cases: the metadata `cases`.
    pub(crate) fn cases(&self) -> Value {
        self.metadata("cases")
    }

    /// A metadata entry, parsed. All are JSON but `torch`, PyTorch's version, which comes as a string.
    pub(crate) fn metadata(&self, key: &str) -> Value {
        let text = self.metadata.get(key).unwrap_or_else(|| panic!("{}: no metadata '{key}'", self.name));
        if key == "torch" {
            return Value::String(text.clone());
        }
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{}: metadata '{key}': {error}", self.name))
    }

    fn tensor(&self, key: &str) -> &Tensor {
        self.tensors.get(key).unwrap_or_else(|| panic!("{}: no tensor '{key}'", self.name))
    }
}
