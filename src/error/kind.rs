//! What kind of thing went wrong: what a program decides by.

use super::Error;

/// What kind of thing an [`Error`] says went wrong. Later versions may add kinds.
///
/// ```
/// use elman::tensor::Seq;
/// use elman::{ErrorKind, Gru, Rng};
///
/// let model = Gru::builder(3, 8).model(&mut Rng::new(1))?;
/// let x = Seq::zeros(5, 2, 4)?; // 4 features, not 3
/// let error = model.run(&x).unwrap_err();
/// match error.kind() {
///     ErrorKind::Shape | ErrorKind::Length => println!("other data are needed: {error}"),
///     kind => panic!("{kind:?}: {error}"),
/// }
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A tensor has another shape than its use needs.
    Shape,
    /// A count of elements does not fit its shape.
    Length,
    /// Sizes whose product cannot be addressed.
    Overflow,
    /// There is not as much memory as this would take.
    Memory,
    /// A setting is outside its range.
    Setting,
    /// A value in the data is not one it may have.
    Value,
    /// A call does not fit what was called before.
    State,
    /// A model's parameters were not given yet, or were changed and the kernels' copy of them was not made again.
    Stale,
    /// Well defined, but not something the engine can run.
    Unsupported,
    /// More than one reading is possible.
    Ambiguous,
    /// An unknown or unavailable tier.
    Isa,
    /// No parameter has that name.
    UnknownParameter,
    /// A model file does not fit the model.
    Weights,
    /// A file is not what it should be.
    Format,
    /// The operating system refused.
    Io,
}

impl Error {
    /// What kind of thing went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Shape { .. } => ErrorKind::Shape,
            Error::Length { .. } => ErrorKind::Length,
            Error::Overflow { .. } => ErrorKind::Overflow,
            Error::Memory { .. } => ErrorKind::Memory,
            Error::Setting { .. } => ErrorKind::Setting,
            Error::Value { .. } => ErrorKind::Value,
            Error::State { .. } => ErrorKind::State,
            Error::Stale { .. } => ErrorKind::Stale,
            Error::Unsupported { .. } => ErrorKind::Unsupported,
            Error::Ambiguous { .. } => ErrorKind::Ambiguous,
            Error::Isa { .. } => ErrorKind::Isa,
            Error::UnknownParameter { .. } => ErrorKind::UnknownParameter,
            Error::Weights { .. } => ErrorKind::Weights,
            Error::Format { .. } => ErrorKind::Format,
            Error::Io { .. } => ErrorKind::Io,
        }
    }
}
