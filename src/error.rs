//! The one error type. Every message names the thing, what was expected and what came.

use std::fmt;
use std::path::PathBuf;

/// The result of everything here that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong. The text of each is one line.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// A tensor has another shape than its use needs.
    Shape {
        /// The tensor, e.g. `weight_hh_l0` or `h_0`.
        name: String,
        /// The shape that was needed.
        expected: Vec<usize>,
        /// The shape that came.
        got: Vec<usize>,
    },
    /// A count of elements does not fit the shape it is to have.
    Length {
        /// The tensor.
        name: String,
        /// The shape that was asked for.
        shape: Vec<usize>,
        /// How many elements came.
        got: usize,
    },
    /// The product of these sizes does not fit the address space.
    Overflow {
        /// The tensor.
        name: String,
        /// Its sizes.
        shape: Vec<usize>,
    },
    /// A setting is outside its range.
    Setting {
        /// The setting, by PyTorch's name where it has one.
        name: String,
        /// What is allowed.
        expected: String,
        /// What came.
        got: String,
    },
    /// `ELMAN_ISA`, or a caller, asks for a tier that there is not, here or anywhere.
    Isa {
        /// What was asked for.
        asked: String,
        /// The tiers this machine can run.
        available: Vec<String>,
    },
    /// The parameters of one model were given to another: nothing has that name.
    UnknownParameter {
        /// The name that was looked up.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// A model file does not fit the model: every tensor that is missing, unused, mis-shaped or of another type.
    Weights {
        /// The file, where there is one.
        path: Option<PathBuf>,
        /// One text a tensor, each naming it.
        problems: Vec<String>,
    },
    /// A file is not what it should be (truncated, hostile, another format).
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The operating system refused.
    Io {
        /// What was being done, e.g. `write`.
        action: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// The system's words.
        reason: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Shape { name, expected, got } => write!(f, "{name}: expected {expected:?}, got {got:?}"),
            Error::Length { name, shape, got } => {
                let wanted: usize = shape.iter().product();
                write!(f, "{name}: shape {shape:?} needs {wanted} elements, got {got}")
            }
            Error::Overflow { name, shape } => {
                write!(f, "{name}: shape {shape:?} has more elements than memory can address")
            }
            Error::Setting { name, expected, got } => write!(f, "{name}: expected {expected}, got {got}"),
            Error::Isa { asked, available } => {
                write!(f, "ISA tier '{asked}': expected one of this machine's tiers: {}", available.join(", "))
            }
            Error::UnknownParameter { name, known } => {
                write!(f, "no parameter is called '{name}'; there are: {}", known.join(", "))
            }
            Error::Weights { path, problems } => {
                if let Some(path) = path {
                    write!(f, "{}: ", path.display())?;
                }
                f.write_str(&problems.join("; "))
            }
            Error::Format { path, reason } => write!(f, "{}: {reason}", path.display()),
            Error::Io { action, path, reason } => write!(f, "cannot {action} {}: {reason}", path.display()),
        }
    }
}

impl std::error::Error for Error {}

impl Error {
    /// A file that is not what it should be.
    #[cfg(feature = "safetensors")]
    pub(crate) fn format(path: &std::path::Path, reason: impl Into<String>) -> Self {
        Error::Format { path: path.to_path_buf(), reason: reason.into() }
    }

    /// What of a model file does not fit.
    #[cfg(feature = "safetensors")]
    pub(crate) fn weights(path: &std::path::Path, problems: Vec<String>) -> Self {
        Error::Weights { path: Some(path.to_path_buf()), problems }
    }

    /// The operating system's refusal.
    #[cfg(feature = "safetensors")]
    pub(crate) fn io(action: &'static str, path: &std::path::Path, error: &std::io::Error) -> Self {
        Error::Io { action, path: path.to_path_buf(), reason: error.to_string() }
    }

    /// A setting outside its range: its name, what is allowed, what came.
    pub fn setting(name: &str, expected: &str, got: impl fmt::Display) -> Self {
        Error::Setting { name: name.into(), expected: expected.into(), got: got.to_string() }
    }
}

/// `Ok` if `got` is the shape that `name` needs.
#[inline]
pub(crate) fn check_shape(name: &str, expected: &[usize], got: &[usize]) -> Result<()> {
    if expected == got { Ok(()) } else { Err(shape_error(name, expected, got)) }
}

#[cold]
#[inline(never)]
fn shape_error(name: &str, expected: &[usize], got: &[usize]) -> Error {
    Error::Shape { name: name.into(), expected: expected.into(), got: got.into() }
}

/// The number of elements of a shape, or [`Error::Overflow`] where that many `f32` could not be addressed.
pub(crate) fn elements(name: &str, shape: &[usize]) -> Result<usize> {
    shape
        .iter()
        .try_fold(1_usize, |n, &size| n.checked_mul(size))
        .filter(|&n| n <= isize::MAX as usize / size_of::<f32>())
        .ok_or_else(|| Error::Overflow { name: name.into(), shape: shape.into() })
}

/// A size that must be at least one.
pub(crate) fn at_least_one(name: &str, size: usize) -> Result<()> {
    if size == 0 { Err(Error::setting(name, "at least 1", size)) } else { Ok(()) }
}
