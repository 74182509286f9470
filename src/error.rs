//! The one error type. Every message names the thing, what was expected and what came.

mod kind;
mod text;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, io};

pub use kind::ErrorKind;

/// The result of everything here that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong: one line of text by `Display`, at most 4 KB however long the names and lists in it are, a
/// [`kind`](Self::kind) to decide by, and for what the system refused, or another error kept
/// from being done, that error as [`source`](std::error::Error::source).
///
/// ```
/// use elman::{ErrorKind, Threads};
///
/// let error = Threads::new(0).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Setting);
/// assert_eq!(error.to_string(), "threads: expected at least 1, got 0");
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// A tensor has another shape than its use needs.
    #[non_exhaustive]
    Shape {
        /// The tensor, e.g. `weight_hh_l0` or `h_0`.
        name: String,
        /// The shape that was needed.
        expected: Vec<usize>,
        /// The shape that came.
        got: Vec<usize>,
    },
    /// A count of elements does not fit the shape it is to have.
    #[non_exhaustive]
    Length {
        /// The tensor.
        name: String,
        /// The shape that was asked for.
        shape: Vec<usize>,
        /// How many elements came.
        got: usize,
    },
    /// The product of these sizes does not fit the address space.
    #[non_exhaustive]
    Overflow {
        /// The tensor.
        name: String,
        /// Its sizes.
        shape: Vec<usize>,
    },
    /// There is not as much memory as this would take. Nothing was allocated for it.
    #[non_exhaustive]
    Memory {
        /// What needs the memory.
        name: String,
        /// How much of it, in bytes.
        bytes: u64,
        /// The largest part of it, and its bytes, where it is a sum of several.
        largest: Option<(String, u64)>,
        /// The bytes there are, where that is known.
        available: Option<u64>,
    },
    /// A setting is outside its range.
    #[non_exhaustive]
    Setting {
        /// The setting, by PyTorch's name where it has one.
        name: String,
        /// What is allowed.
        expected: String,
        /// What came.
        got: String,
    },
    /// A value in the data is not one that the data may have: a class beyond the last, a row longer than its sequence.
    #[non_exhaustive]
    Value {
        /// The tensor, or one element of it.
        name: String,
        /// What is allowed.
        expected: String,
        /// What came.
        got: String,
    },
    /// A call that does not fit what was called before: in the wrong order, for another batch, a second time.
    #[non_exhaustive]
    State {
        /// The thing that is in another state than the call needs.
        name: String,
        /// The state it needs.
        expected: String,
        /// The state it is in.
        got: String,
    },
    /// A model without parameters, or the copy of them that the kernels read is not theirs.
    #[non_exhaustive]
    Stale {
        /// Whose parameters.
        name: String,
        /// How it came to that, and what mends it.
        reason: String,
        /// The error that kept the copy from being made, where there was one.
        source: Option<Box<Error>>,
    },
    /// Something well defined that the engine cannot run.
    #[non_exhaustive]
    Unsupported {
        /// What asks for it, e.g. a layer or a file.
        name: String,
        /// What it asks for.
        what: String,
    },
    /// More than one reading is possible, and none was chosen.
    #[non_exhaustive]
    Ambiguous {
        /// What can be read in several ways, e.g. a file.
        name: String,
        /// The candidates.
        candidates: Vec<String>,
        /// What would settle it.
        settle: String,
    },
    /// `ELMAN_ISA`, or a caller, asks for a tier that is unknown or that this machine lacks.
    #[non_exhaustive]
    Isa {
        /// What was asked for.
        asked: String,
        /// The tiers this machine can run.
        available: Vec<String>,
    },
    /// No parameter has that name: the parameters of one model were given to another.
    #[non_exhaustive]
    UnknownParameter {
        /// The name that was looked up.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// A model file does not fit the model: every tensor that is missing, unused, mis-shaped or of another type.
    #[non_exhaustive]
    Weights {
        /// The file, where there is one.
        path: Option<PathBuf>,
        /// One text a tensor, each naming it.
        problems: Vec<String>,
    },
    /// A file is not what it should be (truncated, hostile, another format).
    #[non_exhaustive]
    Format {
        /// The file, where there is one.
        path: Option<PathBuf>,
        /// What is wrong with it.
        reason: String,
    },
    /// The operating system refused.
    #[non_exhaustive]
    Io {
        /// What was being done, e.g. `write`.
        action: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// The system's error.
        source: Arc<io::Error>,
    },
}

impl Error {
    /// A setting outside its range: its name, what is allowed, what came.
    #[doc(hidden)]
    #[cold]
    pub fn setting(name: &str, expected: &str, got: impl fmt::Display) -> Self {
        Error::Setting { name: name.into(), expected: expected.into(), got: got.to_string() }
    }

    /// A bad value in the data: where, what is allowed, what came.
    #[doc(hidden)]
    #[cold]
    pub fn value(name: &str, expected: &str, got: impl fmt::Display) -> Self {
        Error::Value { name: name.into(), expected: expected.into(), got: got.to_string() }
    }

    /// A call out of order: on what, the state it needs, the state it is in.
    #[cold]
    pub(crate) fn state(name: &str, expected: &str, got: impl fmt::Display) -> Self {
        Error::State { name: name.into(), expected: expected.into(), got: got.to_string() }
    }

    /// A tensor of another shape than its use needs.
    #[doc(hidden)]
    #[cold]
    #[inline(never)]
    pub fn shape(name: &str, expected: &[usize], got: &[usize]) -> Self {
        Error::Shape { name: name.into(), expected: expected.into(), got: got.into() }
    }

    /// A number of elements that does not fill the shape.
    #[doc(hidden)]
    #[cold]
    pub fn length(name: &str, shape: &[usize], got: usize) -> Self {
        Error::Length { name: name.into(), shape: shape.into(), got }
    }

    /// Sizes whose product cannot be addressed.
    #[cold]
    pub(crate) fn overflow(name: &str, shape: &[usize]) -> Self {
        Error::Overflow { name: name.into(), shape: shape.into() }
    }

    /// More memory than the machine has: for what, how much, and what there is.
    #[doc(hidden)]
    #[cold]
    pub fn memory(name: &str, bytes: u64, available: Option<u64>) -> Self {
        Error::Memory { name: name.into(), bytes, largest: None, available }
    }

    /// What the engine cannot run.
    #[doc(hidden)]
    #[cold]
    pub fn unsupported(name: &str, what: impl fmt::Display) -> Self {
        Error::Unsupported { name: name.into(), what: what.to_string() }
    }

    /// What can be read in several ways, the candidates, and what would settle it.
    #[doc(hidden)]
    #[cold]
    pub fn ambiguous(name: &str, candidates: Vec<String>, settle: &str) -> Self {
        Error::Ambiguous { name: name.into(), candidates, settle: settle.into() }
    }

    /// A file that is not what it should be.
    #[doc(hidden)]
    #[cold]
    pub fn format(path: &Path, reason: impl Into<String>) -> Self {
        Error::Format { path: Some(path.to_path_buf()), reason: reason.into() }
    }

    /// What of a model file does not fit.
    #[doc(hidden)]
    #[cold]
    pub fn weights(path: &Path, problems: Vec<String>) -> Self {
        Error::Weights { path: Some(path.to_path_buf()), problems }
    }

    /// The operating system's refusal.
    #[doc(hidden)]
    #[cold]
    pub fn io(action: &'static str, path: &Path, error: io::Error) -> Self {
        Error::Io { action, path: path.to_path_buf(), source: Arc::new(error) }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(&**source),
            Error::Stale { source: Some(source), .. } => Some(&**source),
            _ => None,
        }
    }
}

/// `Ok` if `got` is the shape that `name` needs.
#[inline]
pub(crate) fn check_shape(name: &str, expected: &[usize], got: &[usize]) -> Result<()> {
    if expected == got { Ok(()) } else { Err(Error::shape(name, expected, got)) }
}

/// The number of elements of a shape, or [`Error::Overflow`] where that many `f32` could not be addressed.
pub(crate) fn elements(name: &str, shape: &[usize]) -> Result<usize> {
    shape
        .iter()
        .try_fold(1_usize, |n, &size| n.checked_mul(size))
        .filter(|&n| n <= isize::MAX as usize / size_of::<f32>())
        .ok_or_else(|| Error::overflow(name, shape))
}

/// A size that must be at least one.
pub(crate) fn at_least_one(name: &str, size: usize) -> Result<()> {
    if size == 0 { Err(Error::setting(name, "at least 1", size)) } else { Ok(()) }
}
