//! State dicts: the parameters of a model under their names. Reading is strict: every tensor fits, or nothing is
//! loaded.

use std::collections::HashSet;
use std::path::Path;

use super::description::Description;
use super::elements::Float;
use super::names::{elsewhere, with_dot};
use super::safetensors::{Entry, encode, quote};
use super::tensors::{TensorFile, beyond_f32};
use super::write_atomic;
use crate::error::{Error, Result};
use crate::params::Params;

/// Where in a file a model's tensors are.
///
/// The tensor `name` of the model is `prefix` + `name` in the file. What is not behind the prefix belongs to somebody
/// else.
///
/// ```
/// use elman::format::LoadOptions;
///
/// let options = LoadOptions { prefix: "encoder.rnn".into(), ..Default::default() };
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// What comes before the names, e.g. `encoder.rnn.`; a final dot that is missing is added. Empty: nothing, and the
    /// whole file is the model's.
    pub prefix: String,
    /// The file's names lack the `_l0` of the model's, as those of `torch.nn.RNNCell`, `GRUCell` and `LSTMCell` do.
    pub cell: bool,
}

impl From<&Description> for LoadOptions {
    /// For the recurrent layers that were described, alone.
    fn from(description: &Description) -> Self {
        Self { prefix: description.prefix.clone(), cell: description.cell }
    }
}

impl LoadOptions {
    /// What the file calls a tensor of the model.
    fn name(&self, prefix: &str, name: &str) -> String {
        let name = if self.cell { name.strip_suffix("_l0").unwrap_or(name) } else { name };
        format!("{prefix}{name}")
    }
}

/// Writes the parameters to a safetensors file, under the names of their table; PyTorch reads it.
///
/// The same parameters and metadata (in whatever order) give the same bytes. The file appears whole or not at all.
///
/// # Errors
/// [`Error::Setting`] where a key of the metadata comes twice, a tensor is called `__metadata__`, a size has more than
/// 18 digits or the header is longer than 100 MB; [`Error::Io`] as of [`write_atomic`].
pub fn save(path: &Path, params: &Params, metadata: &[(&str, String)]) -> Result<()> {
    write_atomic(path, &encode(&params.iter().collect::<Vec<_>>(), metadata)?)
}

/// Reads the parameters from a safetensors file that holds exactly them: every tensor of the table under its name, in
/// its shape, as F32, and no other.
///
/// # Errors
/// [`Error::Io`] where the file cannot be read, [`Error::Format`] where it is not a whole safetensors file or larger
/// than one of these parameters can be, [`Error::Weights`] with every tensor that does not fit. `params` are then as
/// they were.
pub fn load(path: &Path, params: &mut Params) -> Result<()> {
    let file = TensorFile::open_within(path, Some(size_of_val(params.data())))?;
    fill(&file, params, &LoadOptions::default(), &[Float::F32]).map(|_| ())
}

/// Reads the parameters from the part of a safetensors file that is behind a prefix: every tensor of the table in its
/// shape, as F32, F64, F16 or BF16, and there no other.
///
/// Returns a text for every type that was converted, e.g. `weights converted from BF16 to F32 (12 tensors)`.
///
/// # Errors
/// [`Error::Io`], [`Error::Format`] as of [`TensorFile::open`]; [`Error::Weights`] as of [`TensorFile::load_into`].
/// `params` are then as they were.
pub fn load_with(path: &Path, params: &mut Params, options: &LoadOptions) -> Result<Vec<String>> {
    TensorFile::open(path)?.load_into(params, options)
}

impl TensorFile {
    /// [`load_with`] from a file that was read already.
    ///
    /// # Errors
    /// [`Error::Weights`] with every tensor behind the prefix that is missing, unused, of another shape or of a type
    /// that is not converted, or whose F64 are beyond F32; or, where the prefix is no tensor's, with those that would
    /// be. `params` are then as they were.
    pub fn load_into(&self, params: &mut Params, options: &LoadOptions) -> Result<Vec<String>> {
        fill(self, params, options, Float::ALL)
    }
}

/// Loads from `file` what may be of the types in `accepted`; a text for every type that is converted.
fn fill(file: &TensorFile, params: &mut Params, options: &LoadOptions, accepted: &[Float]) -> Result<Vec<String>> {
    let tensors = matched(file, params, options, accepted).map_err(|problems| Error::weights(file.path(), problems))?;
    // The table's order is the buffer's.
    let mut left = params.data_mut();
    for &(float, tensor) in &tensors {
        let (to, rest) = left.split_at_mut(tensor.shape.iter().product());
        float.read(file.bytes(tensor), to);
        left = rest;
    }
    let converted = Float::ALL.iter().filter(|&&float| float != Float::F32).filter_map(|&float| {
        let plural = match tensors.iter().filter(|&&(of, _)| of == float).count() {
            0 => return None,
            1 => "1 tensor".into(),
            n => format!("{n} tensors"),
        };
        let verb = if float == Float::F64 { "rounded" } else { "converted" };
        Some(format!("weights {verb} from {} to F32 ({plural})", float.name()))
    });
    Ok(converted.collect())
}

/// Every tensor in the table's order, or one text for every tensor that does not fit.
fn matched<'a>(
    file: &'a TensorFile,
    params: &Params,
    options: &LoadOptions,
    accepted: &[Float],
) -> std::result::Result<Vec<(Float, &'a Entry)>, Vec<String>> {
    let prefix = with_dot(&options.prefix);
    if !prefix.is_empty() && !file.names().any(|name| name.starts_with(&prefix)) {
        let elsewhere = elsewhere(file);
        return Err(vec![format!("prefix '{}': no tensor's name begins with it; {elsewhere}", quote(&prefix))]);
    }
    let (mut tensors, mut problems, mut used) = (Vec::new(), Vec::new(), HashSet::new());
    for (name, expected, _) in params.iter() {
        let name = options.name(&prefix, name);
        match file.find(&name) {
            Some(tensor) => match fit(file, tensor, expected, accepted) {
                Ok(float) => tensors.push((float, tensor)),
                Err(misfit) => problems.push(format!("{}: {misfit}", quote(&name))),
            },
            None => problems.push(format!("{}: missing, expected {expected:?}", quote(&name))),
        }
        used.insert(name);
    }
    let unused = file.names().filter(|name| name.starts_with(&prefix) && !used.contains(*name));
    problems.extend(unused.map(|name| format!("{}: unused, the model has no such tensor", quote(name))));
    if problems.is_empty() { Ok(tensors) } else { Err(problems) }
}

/// How the tensor is read, or how it is not the one of that shape and those types that was expected.
fn fit(
    file: &TensorFile,
    tensor: &Entry,
    expected: &[usize],
    accepted: &[Float],
) -> std::result::Result<Float, String> {
    let (dtype, shape) = (&tensor.dtype, quote(&format!("{:?}", tensor.shape)));
    match (Float::among(accepted, dtype), tensor.shape == expected) {
        (Some(float), true) => match beyond_f32(float, file.bytes(tensor)) {
            None => Ok(float),
            Some(problem) => Err(problem),
        },
        (Some(_), false) => Err(format!("expected {expected:?}, got {shape}")),
        (None, true) => Err(format!("expected {}, got {dtype}", Float::names(accepted))),
        (None, false) => Err(format!("expected {} {expected:?}, got {dtype} {shape}", Float::names(accepted))),
    }
}
