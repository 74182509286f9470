//! Safetensors files as they are: any names, any shapes, any types.

use std::path::{Path, PathBuf};

use super::elements::{Float, INTEGERS, integers, one_of};
use super::safetensors::{Entry, encode, open, quote};
use super::write_atomic;
use crate::error::{Error, Result};

/// A whole safetensors file in memory, checked once when it was read: no two tensors of one name, offsets without
/// overlap or hole, as many bytes as every shape and type need, and none besides.
#[derive(Clone, Debug)]
pub struct TensorFile {
    path: PathBuf,
    contents: Vec<u8>,
    /// By name.
    tensors: Vec<Entry>,
    /// By key.
    metadata: Vec<(String, String)>,
}

/// What a file says about one of its tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TensorInfo<'a> {
    /// Its name.
    pub name: &'a str,
    /// The type of its elements as the format spells it, e.g. `F32` or `BF16`.
    pub dtype: &'a str,
    /// Its sizes, outermost first; none for a scalar.
    pub shape: &'a [usize],
    /// How many bytes its elements have together.
    pub bytes: usize,
}

impl TensorFile {
    /// Reads the file at `path`. A regular file may have any size, a pipe no more than 16 GiB; neither is read further
    /// than its header says that it goes.
    ///
    /// # Errors
    /// [`Error::Io`] where the file cannot be read, [`Error::Format`] where it is not a whole safetensors file.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_within(path, None)
    }

    /// [`TensorFile::open`] for a file of that many bytes of tensors: one that is larger than it can be is not read.
    pub(super) fn open_within(path: &Path, model: Option<usize>) -> Result<Self> {
        let (contents, header) = open(path, model)?;
        Ok(Self { path: path.to_path_buf(), contents, tensors: header.tensors, metadata: header.metadata })
    }

    /// Where the file was.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of all tensors, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.iter().map(|tensor| &tensor.name[..])
    }

    /// All tensors, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = TensorInfo<'_>> {
        self.tensors.iter().map(info)
    }

    /// The tensor of that name, where there is one.
    #[must_use]
    pub fn info(&self, name: &str) -> Option<TensorInfo<'_>> {
        self.find(name).map(info)
    }

    /// The metadata's keys and values, in the order of the keys.
    pub fn metadata(&self) -> impl Iterator<Item = (&str, &str)> {
        self.metadata.iter().map(|(key, value)| (&key[..], &value[..]))
    }

    /// Shape and elements, row-major, of a tensor of F32 (to the bit), F16 or BF16 (exactly) or F64 (rounded to the
    /// nearest, ties to even). A NaN keeps its sign, and of its payload what fits.
    ///
    /// # Errors
    /// [`Error::Weights`] where there is no such tensor, its type is another, or it is of F64 with a finite value that
    /// is none in F32.
    pub fn f32(&self, name: &str) -> Result<(Vec<usize>, Vec<f32>)> {
        let tensor = self.found(name)?;
        let bytes = self.bytes(tensor);
        let Some(float) = Float::among(Float::ALL, &tensor.dtype) else {
            return Err(self.misfit(name, &format!("expected {}, got {}", Float::names(Float::ALL), tensor.dtype)));
        };
        if let Some(problem) = beyond_f32(float, bytes) {
            return Err(self.misfit(name, &problem));
        }
        // As many as its bytes hold, which are in memory.
        let mut values = vec![0.0; tensor.shape.iter().product()];
        float.read(bytes, &mut values);
        Ok((tensor.shape.clone(), values))
    }

    /// Shape and elements, row-major, of a tensor of I64, I32, I16, I8, U32, U16 or U8.
    ///
    /// # Errors
    /// [`Error::Weights`] where there is no such tensor or its type is another.
    pub fn integers(&self, name: &str) -> Result<(Vec<usize>, Vec<i64>)> {
        let tensor = self.found(name)?;
        match integers(&tensor.dtype, self.bytes(tensor)) {
            Some(values) => Ok((tensor.shape.clone(), values)),
            None => Err(self.misfit(name, &format!("expected {}, got {}", one_of(&INTEGERS), tensor.dtype))),
        }
    }

    /// Shape and elements, row-major, of a tensor of BOOL.
    ///
    /// # Errors
    /// [`Error::Weights`] where there is no such tensor, its type is another, or an element is neither 0 nor 1.
    pub fn bools(&self, name: &str) -> Result<(Vec<usize>, Vec<bool>)> {
        let tensor = self.found(name)?;
        if tensor.dtype != "BOOL" {
            return Err(self.misfit(name, &format!("expected BOOL, got {}", tensor.dtype)));
        }
        let bytes = self.bytes(tensor);
        if let Some(at) = bytes.iter().position(|&byte| byte > 1) {
            return Err(self.misfit(name, &format!("expected elements of 0 or 1, got {} at {at}", bytes[at])));
        }
        Ok((tensor.shape.clone(), bytes.iter().map(|&byte| byte == 1).collect()))
    }

    /// The tensor of that name, where there is one.
    pub(super) fn find(&self, name: &str) -> Option<&Entry> {
        self.tensors.binary_search_by(|tensor| tensor.name[..].cmp(name)).ok().map(|at| &self.tensors[at])
    }

    /// Where a tensor of this file has its elements.
    pub(super) fn bytes(&self, tensor: &Entry) -> &[u8] {
        &self.contents[tensor.range.clone()]
    }

    fn found(&self, name: &str) -> Result<&Entry> {
        self.find(name).ok_or_else(|| self.misfit(name, "missing, the file has no such tensor"))
    }

    #[cold]
    fn misfit(&self, name: &str, problem: &str) -> Error {
        Error::weights(&self.path, vec![format!("{}: {problem}", quote(name))])
    }
}

/// Writes these tensors (name, shape, elements row-major) to a safetensors file as F32; PyTorch reads it.
///
/// The same tensors and metadata, in whatever order, give the same bytes. The file appears whole or not at all.
///
/// # Errors
/// [`Error::Length`] where elements do not fill their shape; [`Error::Setting`] where a name or a key of the metadata
/// comes twice, a tensor is called `__metadata__`, a size has more than 18 digits or the header is longer than 100 MB;
/// [`Error::Overflow`] where a shape has more elements than memory can address; [`Error::Io`] as of [`write_atomic`].
pub fn write_tensors(path: &Path, tensors: &[(&str, &[usize], &[f32])], metadata: &[(&str, String)]) -> Result<()> {
    write_atomic(path, &encode(tensors, metadata)?)
}

fn info(tensor: &Entry) -> TensorInfo<'_> {
    TensorInfo { name: &tensor.name, dtype: &tensor.dtype, shape: &tensor.shape, bytes: tensor.range.len() }
}

/// That an element is finite in the file and would not be here.
pub(super) fn beyond_f32(float: Float, bytes: &[u8]) -> Option<String> {
    let (at, value) = float.beyond_f32(bytes)?;
    Some(format!("expected elements in the range of F32, got {value:e} at {at}"))
}
