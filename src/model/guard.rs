//! A model's parameters while they are changed, and whether the copy that the kernels read is that of the parameters.

use std::ops::{Deref, DerefMut};

use super::Model;
use crate::error::{Error, Result};
use crate::params::Params;

/// Whether the kernels' copy is that of the parameters; if it is not, why.
#[derive(Clone, Debug)]
pub(super) enum Copied {
    Fresh,
    /// The parameters are the zeros that a new model begins with.
    Unset,
    /// A guard is out, was leaked, or was dropped by a panic.
    Changing,
    /// Parameters that are not the model's were put in the place of its own.
    Foreign(Error),
    /// The copy could not be made.
    Failed(Error),
}

impl Model {
    /// Makes the kernels' copy of the parameters.
    pub(super) fn pack(&mut self) -> Result<()> {
        let made = match self.tensors.check("parameters", &self.params) {
            Ok(()) => self.chain.load(&self.params).map_err(Copied::Failed),
            Err(error) => Err(Copied::Foreign(error)),
        };
        self.copied = made.err().unwrap_or(Copied::Fresh);
        match &self.copied {
            Copied::Foreign(error) | Copied::Failed(error) => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// That the kernels' copy is that of the parameters, for the model called `name`.
    pub(super) fn check_fresh(&self, name: &str) -> Result<()> {
        let (reason, source) = match &self.copied {
            Copied::Fresh => return Ok(()),
            Copied::Unset => (
                "parameters were not given yet: draw them (Model::init), load them (load), or set them by params_mut()"
                    .into(),
                None,
            ),
            Copied::Changing => (
                "parameters were changed and not laid out again, as the guard of params_mut() was leaked or dropped by a \
                 panic: take params_mut() and drop it"
                    .into(),
                None,
            ),
            Copied::Foreign(error) => (
                format!(
                    "parameters of another model were put in place of its own ({error}): assign its own, or load into a \
                     new model"
                ),
                Some(error),
            ),
            Copied::Failed(error) => (
                format!(
                    "parameters were changed and could not be laid out again ({error}): take params_mut() and drop it"
                ),
                Some(error),
            ),
        };
        Err(Error::Stale { name: name.into(), reason, source: source.cloned().map(Box::new) })
    }
}

/// A model's parameters, to be changed; see [`Model::params_mut`].
///
/// ```
/// use elman::{Rng, Rnn};
///
/// let mut model = Rnn::builder(1, 2).linear("fc", 1).model(&mut Rng::new(1))?;
/// let mut params = model.params_mut();
/// params.set("fc.bias", &[1], &[0.5])?;
/// drop(params); // the model computes with the new bias from here on
/// assert_eq!(model.params().named("fc.bias")?.1, [0.5]);
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Debug)]
pub struct ParamsMut<'a>(pub(super) &'a mut Model);

impl Deref for ParamsMut<'_> {
    type Target = Params;

    fn deref(&self) -> &Params {
        &self.0.params
    }
}

impl DerefMut for ParamsMut<'_> {
    fn deref_mut(&mut self) -> &mut Params {
        &mut self.0.params
    }
}

impl Drop for ParamsMut<'_> {
    fn drop(&mut self) {
        // Another model's parameters may stand in their place (`*guard = other`), or memory may be short: then the model
        // stays stale, and its next run says why.
        if !std::thread::panicking() {
            let _ = self.0.pack();
        }
    }
}
