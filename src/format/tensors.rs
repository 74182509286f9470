//! Safetensors files as they are: any names, any shapes, any types.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::dtype::Dtype;
use super::elements::integers;
use super::quote::quote;
use super::safetensors::{Header, TensorEntry, encode, header_of, open};
use super::write_atomic;
use crate::error::{Error, Result};

/// Metadata of no keys, for those functions that take some.
pub const NO_METADATA: [(&str, &str); 0] = [];

/// A whole safetensors file in memory, checked once when it was read: no two tensors of one name, offsets without
/// overlap or hole, as many bytes as every shape and type need, and none besides.
///
/// A clone, and [`TensorFile::rename`], share the tensors' bytes.
///
/// ```
/// use elman::format::{NO_METADATA, TensorFile, tensors_to_bytes};
///
/// let bytes = tensors_to_bytes(&[("fc.weight", &[1, 2], &[0.5, 1.5]), ("fc.bias", &[1], &[0.0])], NO_METADATA)?;
/// let file = TensorFile::from_bytes(bytes)?; // or TensorFile::open("model.safetensors")
/// for tensor in file.iter() {
///     println!("{} {:?}, {}", tensor.name, tensor.shape, tensor.dtype);
/// }
/// let (shape, values) = file.read_f32("fc.weight")?;
/// assert_eq!((shape, values), (vec![1, 2], vec![0.5, 1.5]));
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TensorFile {
    path: Option<PathBuf>,
    contents: Arc<Vec<u8>>,
    /// By name.
    tensors: Vec<TensorEntry>,
    /// By key.
    metadata: Vec<(String, String)>,
}

/// What a file says about one of its tensors.
///
/// ```
/// use elman::format::{Dtype, NO_METADATA, TensorFile, tensors_to_bytes};
///
/// let file = TensorFile::from_bytes(tensors_to_bytes(&[("fc.weight", &[1, 2], &[0.5, 1.5])], NO_METADATA)?)?;
/// let info = file.info("fc.weight").expect("it was written");
/// assert_eq!((info.dtype, info.shape, info.bytes), (Dtype::F32, &[1, 2][..], 8));
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TensorInfo<'a> {
    /// As the header spells it, or as [`TensorFile::rename`] made it.
    pub name: &'a str,
    /// The type of its elements.
    pub dtype: Dtype,
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
    /// [`Error::Io`] where the file cannot be read, [`Error::Format`] where it is not a whole safetensors file. Files of
    /// other kinds are told by their first bytes: what it is, and what to do.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_within(path.as_ref(), None)
    }

    /// Reads a file that is in memory already.
    ///
    /// ```
    /// use elman::format::{NO_METADATA, TensorFile, tensors_to_bytes};
    ///
    /// let bytes = tensors_to_bytes(&[("fc.bias", &[2], &[0.5, 1.5])], NO_METADATA)?;
    /// let file = TensorFile::from_bytes(bytes)?;
    /// assert_eq!(file.read_f32("fc.bias")?, (vec![2], vec![0.5, 1.5]));
    /// # Ok::<(), elman::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Format`] as of [`TensorFile::open`].
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Result<Self> {
        let contents = bytes.into();
        let header = header_of(&contents).map_err(|reason| Error::Format { path: None, reason })?;
        Ok(Self::new(None, contents, header))
    }

    /// [`TensorFile::open`] for a file of at most that many bytes of tensors: one that is larger is not read.
    pub(super) fn open_within(path: &Path, most: Option<usize>) -> Result<Self> {
        let (contents, header) = open(path, most)?;
        Ok(Self::new(Some(path.to_path_buf()), contents, header))
    }

    fn new(path: Option<PathBuf>, contents: Vec<u8>, header: Header) -> Self {
        Self { path, contents: Arc::new(contents), tensors: header.tensors, metadata: header.metadata }
    }

    /// Where the file was; nowhere for one that was read from memory.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The same file with other names. Each pair is an old name and a new one, or an old beginning of names and a new
    /// one where the old ends in what is no letter or digit (`encoder.`, `enc_`) or is empty; each is applied to what
    /// those before it gave. A tensor that had the new name is replaced where a whole name was asked for.
    ///
    /// ```
    /// use elman::format::{NO_METADATA, TensorFile, tensors_to_bytes};
    ///
    /// let bytes = tensors_to_bytes(&[("model.rnn.bias_ih_l0", &[1], &[0.5])], NO_METADATA)?;
    /// let file = TensorFile::from_bytes(bytes)?.rename(&[("model.", "")])?;
    /// assert_eq!(file.names().collect::<Vec<_>>(), ["rnn.bias_ih_l0"]);
    /// # Ok::<(), elman::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Weights`] where the file has no such name or beginning, or a new beginning makes two names one.
    pub fn rename(&self, names: &[(impl AsRef<str>, impl AsRef<str>)]) -> Result<Self> {
        let mut tensors = self.tensors.clone();
        for (old, new) in names {
            let (old, new) = (old.as_ref(), new.as_ref());
            if let Some(at) = tensors.iter().position(|tensor| tensor.name == old) {
                let mut renamed = tensors.remove(at);
                renamed.name = new.into();
                tensors.retain(|tensor| tensor.name != new);
                tensors.push(renamed);
                continue;
            }
            let beginning = !old.ends_with(char::is_alphanumeric);
            let mut any = false;
            for tensor in tensors.iter_mut().filter(|_| beginning) {
                if let Some(rest) = tensor.name.strip_prefix(old) {
                    tensor.name = format!("{new}{rest}");
                    any = true;
                }
            }
            if !any {
                let what = if beginning { "no tensor's name begins so" } else { "the file has no such tensor" };
                return Err(self.weights(vec![format!("renaming '{}' to '{}': {what}", quote(old), quote(new))]));
            }
            tensors.sort_unstable_by(|a, b| a.name.cmp(&b.name));
            if let Some(pair) = tensors.windows(2).find(|pair| pair[0].name == pair[1].name) {
                let name = quote(&pair[0].name);
                let problem = format!("{name}: two tensors have this name once '{}' is '{}'", quote(old), quote(new));
                return Err(self.weights(vec![problem]));
            }
        }
        tensors.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { tensors, ..self.clone() })
    }

    /// The names of all tensors, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.iter().map(|tensor| &tensor.name[..])
    }

    /// The tensors whose names begin so, in alphabetical order.
    pub(super) fn behind<'a>(&'a self, prefix: &str) -> impl Iterator<Item = TensorInfo<'a>> {
        let first = self.tensors.partition_point(|tensor| &tensor.name[..] < prefix);
        self.tensors[first..].iter().take_while(move |tensor| tensor.name.starts_with(prefix)).map(info)
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
    pub fn read_f32(&self, name: &str) -> Result<(Vec<usize>, Vec<f32>)> {
        let tensor = self.found(name)?;
        let bytes = self.bytes(tensor);
        let dtype = tensor.dtype;
        if !Dtype::FLOATS.contains(&dtype) {
            return Err(self.misfit(name, &format!("expected {}, got {dtype}", Dtype::one_of(Dtype::FLOATS))));
        }
        if let Some(problem) = beyond_f32(dtype, bytes) {
            return Err(self.misfit(name, &problem));
        }
        // As many as its bytes hold, which are in memory.
        let mut values = vec![0.0; tensor.shape.iter().product()];
        dtype.read(bytes, &mut values);
        Ok((tensor.shape.clone(), values))
    }

    /// Shape and elements, row-major, of a tensor of I64, I32, I16, I8, U32, U16 or U8.
    ///
    /// # Errors
    /// [`Error::Weights`] where there is no such tensor or its type is another.
    pub fn read_integers(&self, name: &str) -> Result<(Vec<usize>, Vec<i64>)> {
        let tensor = self.found(name)?;
        match integers(tensor.dtype, self.bytes(tensor)) {
            Some(values) => Ok((tensor.shape.clone(), values)),
            None => {
                Err(self.misfit(name, &format!("expected {}, got {}", Dtype::one_of(Dtype::INTEGERS), tensor.dtype)))
            }
        }
    }

    /// Shape and elements, row-major, of a tensor of BOOL.
    ///
    /// # Errors
    /// [`Error::Weights`] where there is no such tensor, its type is another, or an element is neither 0 nor 1.
    pub fn read_bools(&self, name: &str) -> Result<(Vec<usize>, Vec<bool>)> {
        let tensor = self.found(name)?;
        if tensor.dtype != Dtype::Bool {
            return Err(self.misfit(name, &format!("expected BOOL, got {}", tensor.dtype)));
        }
        let bytes = self.bytes(tensor);
        if let Some(at) = bytes.iter().position(|&byte| byte > 1) {
            return Err(self.misfit(name, &format!("expected elements of 0 or 1, got {} at {at}", bytes[at])));
        }
        Ok((tensor.shape.clone(), bytes.iter().map(|&byte| byte == 1).collect()))
    }

    /// The tensor of that name, where there is one.
    pub(super) fn find(&self, name: &str) -> Option<&TensorEntry> {
        self.tensors.binary_search_by(|tensor| tensor.name[..].cmp(name)).ok().map(|at| &self.tensors[at])
    }

    /// Where a tensor of this file has its elements.
    pub(super) fn bytes(&self, tensor: &TensorEntry) -> &[u8] {
        &self.contents[tensor.range.clone()]
    }

    fn found(&self, name: &str) -> Result<&TensorEntry> {
        self.find(name).ok_or_else(|| self.misfit(name, "missing, the file has no such tensor"))
    }

    /// What of this file does not fit.
    #[cold]
    pub(super) fn weights(&self, problems: Vec<String>) -> Error {
        Error::Weights { path: self.path.clone(), problems }
    }

    #[cold]
    fn misfit(&self, name: &str, problem: &str) -> Error {
        self.weights(vec![format!("{}: {problem}", quote(name))])
    }
}

/// Writes these tensors (name, shape, elements row-major) to a safetensors file as F32; PyTorch reads it.
///
/// The same tensors and metadata, in whatever order, give the same bytes. The file appears whole or not at all.
///
/// # Errors
/// As of [`tensors_to_bytes`]; [`Error::Io`] as of [`write_atomic`].
pub fn write_tensors(
    path: impl AsRef<Path>,
    tensors: &[(&str, &[usize], &[f32])],
    metadata: impl IntoIterator<Item = (impl AsRef<str>, impl AsRef<str>)>,
) -> Result<()> {
    write_atomic(path, &encode(tensors, metadata)?)
}

/// The safetensors file of these tensors (name, shape, elements row-major) as F32.
///
/// # Errors
/// [`Error::Length`] where elements do not fill their shape; [`Error::Setting`] where a name or a key of the metadata
/// comes twice, a tensor is called `__metadata__`, a size has more than 18 digits or the header is longer than 100 MB;
/// [`Error::Overflow`] where a shape has more elements than memory can address.
pub fn tensors_to_bytes(
    tensors: &[(&str, &[usize], &[f32])],
    metadata: impl IntoIterator<Item = (impl AsRef<str>, impl AsRef<str>)>,
) -> Result<Vec<u8>> {
    encode(tensors, metadata)
}

fn info(tensor: &TensorEntry) -> TensorInfo<'_> {
    TensorInfo { name: &tensor.name, dtype: tensor.dtype, shape: &tensor.shape, bytes: tensor.range.len() }
}

/// That an element is finite in the file and would not be here.
pub(super) fn beyond_f32(dtype: Dtype, bytes: &[u8]) -> Option<String> {
    let (at, value) = dtype.beyond_f32(bytes)?;
    Some(format!("expected elements in the range of F32, got {value:e} at {at}"))
}
