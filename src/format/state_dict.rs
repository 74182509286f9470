//! State dicts: the parameters of a model under their names. Reading is strict: every tensor fits, or nothing is
//! loaded.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::path::Path;

use super::description::Description;
use super::dtype::Dtype;
use super::names::{elsewhere, resolve};
use super::quote::quote;
use super::safetensors::{TensorEntry, encode};
use super::tensors::{TensorFile, beyond_f32};
use super::write_atomic;
use crate::error::Result;
use crate::params::Params;

/// Where in a file a model's tensors are.
///
/// The tensor `name` of the model is `prefix` + `name` in the file, once the names that are in `rename` have their new
/// ones. What is not behind the prefix is of no concern.
///
/// ```
/// use elman::format::LoadOptions;
///
/// let options = LoadOptions::new().prefix("encoder.rnn").rename("encoder.rnn.weight_hh_l0_raw", "encoder.rnn.weight_hh_l0");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoadOptions {
    /// What comes before the names, e.g. `encoder.rnn.`; a final dot that is missing is added where the file has it.
    /// Empty: nothing, and the whole file is the model's.
    pub prefix: String,
    /// The file's names lack the `_l0` of the model's, as those of `torch.nn.RNNCell`, `GRUCell` and `LSTMCell` do.
    pub unnumbered: bool,
    /// Names with one more dot behind the prefix are those of other modules, and left aside.
    pub flat: bool,
    /// Names of the file's tensors, once renamed, that are not the model's.
    pub left_aside: Vec<String>,
    /// Old names and new ones, as [`TensorFile::rename`] takes them.
    pub rename: Vec<(String, String)>,
}

impl From<&Description> for LoadOptions {
    /// For the recurrent layers that were described, alone.
    fn from(description: &Description) -> Self {
        let Description { prefix, unnumbered, .. } = description;
        Self { prefix: prefix.clone(), unnumbered: *unnumbered, flat: true, ..Self::default() }
    }
}

impl LoadOptions {
    /// The whole file, under its own names.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what comes before the names.
    #[must_use]
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), ..self }
    }

    /// One more name that is read as another.
    #[must_use]
    pub fn rename(mut self, old: impl Into<String>, new: impl Into<String>) -> Self {
        self.rename.push((old.into(), new.into()));
        self
    }

    /// What the file calls a tensor of the model.
    fn name(&self, prefix: &str, name: &str) -> String {
        let name = if self.unnumbered { name.strip_suffix("_l0").unwrap_or(name) } else { name };
        format!("{prefix}{name}")
    }
}

/// What a load did besides copying. Its text is one line for each type that was converted, such as `weights converted
/// from BF16 to F32 (12 tensors)`.
///
/// ```
/// use elman::format::{LoadOptions, NO_METADATA, TensorFile, tensors_to_bytes};
/// use elman::{Model, ModelSpec, RecurrentSpec};
///
/// let mut model = Model::new(ModelSpec::new(1).layer("rnn", RecurrentSpec::rnn([1]).bias(false)))?;
/// let tensors = [
///     ("m.rnn.weight_ih_l0", &[1, 1][..], &[0.5][..]),
///     ("m.rnn.weight_hh_l0", &[1, 1], &[0.25]),
///     ("step", &[1], &[9.0]),
/// ];
/// let file = TensorFile::from_bytes(tensors_to_bytes(&tensors, NO_METADATA)?)?;
/// let report = file.load_into(&mut model.params_mut(), &LoadOptions::new().prefix("m."))?;
/// assert_eq!(report.left_aside, ["step"]);
/// assert!(report.converted.is_empty()); // all of it was F32
/// assert_eq!(model.params().data(), [0.5, 0.25]);
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoadReport {
    /// Each type that was not F32, and how many of the model's tensors were of it.
    pub converted: Vec<Converted>,
    /// The file's tensors that are not the model's: those outside of the prefix.
    pub left_aside: Vec<String>,
}

/// Tensors whose elements were made `f32`.
///
/// ```no_run
/// use elman::{Gru, Rng};
///
/// let mut model = Gru::builder(3, 8).model(&mut Rng::new(1))?;
/// let report = elman::format::load("model.safetensors", &mut model.params_mut())?;
/// for converted in &report.converted {
///     println!("{} of {}: {converted}", converted.tensors, converted.from);
/// }
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Converted {
    /// What they were: F16 and BF16 convert exactly, F64 is rounded to the nearest.
    pub from: Dtype,
    /// How many tensors.
    pub tensors: usize,
}

impl fmt::Display for Converted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, tensors } = self;
        let verb = if *from == Dtype::F64 { "rounded" } else { "converted" };
        let plural = if *tensors == 1 { "" } else { "s" };
        write!(f, "weights {verb} from {from} to F32 ({tensors} tensor{plural})")
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.converted.iter().map(Converted::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// Writes the parameters to a safetensors file, under the names of their table; PyTorch reads it.
///
/// The same parameters and metadata (in whatever order) give the same bytes. The file appears whole or not at all.
///
/// ```no_run
/// # let params = elman::Params::zeros(elman::params::ParamTable::new());
/// elman::format::save("model.safetensors", &params, [("epoch", "12")])?;
/// elman::format::save("plain.safetensors", &params, elman::format::NO_METADATA)?;
/// # Ok::<(), elman::Error>(())
/// ```
///
/// # Errors
/// [`Error::Setting`](crate::Error::Setting) where a key of the metadata comes twice, a tensor is called `__metadata__`, a size has more than
/// 18 digits or the header is longer than 100 MB; [`Error::Io`](crate::Error::Io) as of [`write_atomic`].
pub fn save(
    path: impl AsRef<Path>,
    params: &Params,
    metadata: impl IntoIterator<Item = (impl AsRef<str>, impl AsRef<str>)>,
) -> Result<()> {
    write_atomic(path, &encode(&params.iter().collect::<Vec<_>>(), metadata)?)
}

/// Reads the parameters from a safetensors file that holds exactly them: every tensor of the table under its name, in
/// its shape, as F32, F64, F16 or BF16, and no other.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) where the file cannot be read, [`Error::Format`](crate::Error::Format) where it is not a whole safetensors file or larger
/// than one of these parameters can be, [`Error::Weights`](crate::Error::Weights) with every tensor that does not fit. `params` are then as
/// they were.
pub fn load(path: impl AsRef<Path>, params: &mut Params) -> Result<LoadReport> {
    // F64 has the largest elements of those that are taken.
    let most = params.data().len().saturating_mul(size_of::<f64>());
    TensorFile::open_within(path.as_ref(), Some(most))?.load_into(params, &LoadOptions::default())
}

/// Reads the parameters from the part of a safetensors file that is behind a prefix: every tensor of the table in its
/// shape, as F32, F64, F16 or BF16, and there no other.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io), [`Error::Format`](crate::Error::Format) as of [`TensorFile::open`]; [`Error::Weights`](crate::Error::Weights) as of [`TensorFile::load_into`].
/// `params` are then as they were.
pub fn load_with(path: impl AsRef<Path>, params: &mut Params, options: &LoadOptions) -> Result<LoadReport> {
    TensorFile::open(path)?.load_into(params, options)
}

impl TensorFile {
    /// [`load_with`] from a file that was read already.
    ///
    /// # Errors
    /// [`Error::Weights`](crate::Error::Weights) with every tensor behind the prefix that is missing, unused, of another shape or of a type
    /// that is not converted, or whose F64 are beyond F32; or, where the prefix is no tensor's, with those that would
    /// be; or as of [`TensorFile::rename`]. `params` are then as they were.
    pub fn load_into(&self, params: &mut Params, options: &LoadOptions) -> Result<LoadReport> {
        let file = match &options.rename[..] {
            [] => Cow::Borrowed(self),
            names => Cow::Owned(self.rename(names)?),
        };
        let Matched { tensors, left_aside } =
            matched(&file, params, options).map_err(|problems| file.weights(problems))?;
        // The table's order is the buffer's.
        let mut left = params.data_mut();
        for tensor in &tensors {
            let (to, rest) = left.split_at_mut(tensor.shape.iter().product());
            tensor.dtype.read(file.bytes(tensor), to);
            left = rest;
        }
        let count = |&from: &Dtype| Converted { from, tensors: tensors.iter().filter(|of| of.dtype == from).count() };
        let others = Dtype::FLOATS.iter().filter(|&&dtype| dtype != Dtype::F32);
        let converted = others.map(count).filter(|converted| converted.tensors > 0).collect();
        Ok(LoadReport { converted, left_aside })
    }
}

/// What a load reads, and what it does not.
struct Matched<'a> {
    /// In the table's order.
    tensors: Vec<&'a TensorEntry>,
    left_aside: Vec<String>,
}

/// Every tensor in the table's order, or one text for every tensor that does not fit.
fn matched<'a>(
    file: &'a TensorFile,
    params: &Params,
    options: &LoadOptions,
) -> std::result::Result<Matched<'a>, Vec<String>> {
    let prefix = resolve(file, &options.prefix);
    if !prefix.is_empty() && file.behind(&prefix).next().is_none() {
        let elsewhere = elsewhere(file);
        return Err(vec![format!("prefix '{}': no tensor's name begins with it; {elsewhere}", quote(&prefix))]);
    }
    let (mut tensors, mut problems, mut used) = (Vec::new(), Vec::new(), HashSet::new());
    for (name, expected, _) in params.iter() {
        let name = options.name(&prefix, name);
        match file.find(&name) {
            Some(tensor) => match misfit(file, tensor, expected) {
                None => tensors.push(tensor),
                Some(misfit) => problems.push(format!("{}: {misfit}", quote(&name))),
            },
            None => problems.push(format!("{}: missing, expected {expected:?}", quote(&name))),
        }
        used.insert(name);
    }
    let mut left_aside = Vec::new();
    let not_the_models: HashSet<_> = options.left_aside.iter().map(String::as_str).collect();
    for name in file.names().filter(|name| !used.contains(*name)) {
        match name.strip_prefix(&prefix[..]) {
            Some(rest) if !(options.flat && rest.contains('.') || not_the_models.contains(name)) => {
                problems.push(format!("{}: unused, the model has no such tensor", quote(name)));
            }
            _ => left_aside.push(name.into()),
        }
    }
    if problems.is_empty() { Ok(Matched { tensors, left_aside }) } else { Err(problems) }
}

/// How the tensor is not one of that shape and of a type that is taken.
fn misfit(file: &TensorFile, tensor: &TensorEntry, expected: &[usize]) -> Option<String> {
    let (dtype, shape) = (tensor.dtype, quote(&format!("{:?}", tensor.shape)));
    let floats = || Dtype::one_of(Dtype::FLOATS);
    match (Dtype::FLOATS.contains(&dtype), tensor.shape == expected) {
        (true, true) => beyond_f32(dtype, file.bytes(tensor)),
        (true, false) => Some(format!("expected {expected:?}, got {shape}")),
        (false, true) => Some(format!("expected {}, got {dtype}", floats())),
        (false, false) => Some(format!("expected {} {expected:?}, got {dtype} {shape}", floats())),
    }
}
