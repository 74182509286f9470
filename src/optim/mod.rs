//! Optimisers over the flat buffer of parameters, and clipping of gradients.
//!
//! ```
//! use elman::optim::{AdamW, AdamWConfig, Optimizer, clip_grad_norm};
//! use elman::params::ParamTable;
//! use elman::Params;
//!
//! let mut table = ParamTable::new();
//! table.add("weight", &[2])?;
//! let mut params = Params::zeros(table);
//! let mut gradients = params.zeros_like();
//! gradients.data_mut().copy_from_slice(&[3.0, -4.0]);
//!
//! let mut optimizer = AdamW::new(&params, AdamWConfig::default().lr(0.01))?;
//! let norm = clip_grad_norm(&mut gradients, 1.0)?;
//! assert_eq!(norm, 5.0);
//! optimizer.step(&mut params, &gradients)?;
//! assert!((params.data()[0] + 0.01).abs() < 1e-6 && (params.data()[1] - 0.01).abs() < 1e-6);
//!
//! // Saved and restored, it goes on bit for bit.
//! let state = optimizer.state();
//! let mut resumed = AdamW::new(&params, AdamWConfig::default())?;
//! resumed.load_state(&state)?;
//! assert_eq!(resumed.learning_rate(), 0.01);
//! # Ok::<(), elman::Error>(())
//! ```

/// The setters of an optimiser's settings: of those that all have, and of the fields that are listed.
macro_rules! setters {
    ($config:ident { $($(#[$doc:meta])* $field:ident: $of:ty,)* }) => {
        impl $config {
            /// Sets the learning rate.
            #[must_use]
            pub fn lr(self, lr: f32) -> Self {
                Self { lr, ..self }
            }

            $(
                $(#[$doc])*
                #[must_use]
                pub fn $field(self, $field: $of) -> Self {
                    Self { $field, ..self }
                }
            )*

            /// Sets the instructions to compute with.
            #[must_use]
            pub fn isa(self, isa: Isa) -> Self {
                Self { isa: Some(isa), ..self }
            }
        }
    };
}

mod adam;
mod adamw;
mod clip;
mod moments;
mod sgd;
mod sparse_adam;
mod state;

pub use adam::{Adam, AdamConfig};
pub use adamw::{AdamW, AdamWConfig};
pub(crate) use clip::clip_together;
pub use clip::{clip_grad_norm, clip_grad_value};
pub(crate) use moments::power;
pub use sgd::{Sgd, SgdConfig};
pub use sparse_adam::{SparseAdam, SparseAdamConfig};
pub use state::{OptimizerState, StateTensor};

use crate::error::{Error, Result};
use crate::params::Params;

/// What makes steps of gradients. [`Adam`], [`AdamW`], [`SparseAdam`] and [`Sgd`] are; so is whatever else implements it.
///
/// ```
/// use elman::optim::{Adam, AdamConfig, Optimizer, Sgd, SgdConfig};
/// use elman::{Gru, Rng};
///
/// let mut model = Gru::builder(3, 8).linear("fc", 1).model(&mut Rng::new(1))?;
/// // Which one is known at run time only.
/// let adam = true;
/// let mut optimizer: Box<dyn Optimizer> = match adam {
///     true => Box::new(Adam::new(model.params(), AdamConfig::default())?),
///     false => Box::new(Sgd::new(model.params(), SgdConfig::default())?),
/// };
/// let gradients = model.params().zeros_like(); // what a backward pass gives
/// optimizer.step(&mut model.params_mut(), &gradients)?;
/// optimizer.set_learning_rate(0.5 * optimizer.learning_rate())?;
/// # Ok::<(), elman::Error>(())
/// ```
pub trait Optimizer: Send {
    /// One step down the gradients. Those in this crate allocate nothing.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::UnknownParameter`] where the parameters or gradients are of another model than the
    /// optimiser was made for. Nothing has changed then.
    fn step(&mut self, params: &mut Params, gradients: &Params) -> Result<()>;

    /// The learning rate of the next step.
    fn learning_rate(&self) -> f32;

    /// Sets the learning rate from the next step on.
    ///
    /// # Errors
    /// [`Error::Setting`] where it is negative or not finite.
    fn set_learning_rate(&mut self, lr: f32) -> Result<()>;

    /// A copy of all that steps have changed, and the learning rate: restored by [`load_state`](Self::load_state) into an
    /// optimiser of the same settings, training goes on bit for bit.
    fn state(&self) -> OptimizerState;

    /// Takes over a state.
    ///
    /// # Errors
    /// [`Error::State`] for that of another optimiser, [`Error::Weights`] where its tensors are not those of this
    /// optimiser's parameters by name and shape, [`Error::Setting`] for its learning rate. Nothing has changed then.
    fn load_state(&mut self, state: &OptimizerState) -> Result<()>;
}

impl<O: Optimizer + ?Sized> Optimizer for Box<O> {
    fn step(&mut self, params: &mut Params, gradients: &Params) -> Result<()> {
        (**self).step(params, gradients)
    }

    fn learning_rate(&self) -> f32 {
        (**self).learning_rate()
    }

    fn set_learning_rate(&mut self, lr: f32) -> Result<()> {
        (**self).set_learning_rate(lr)
    }

    fn state(&self) -> OptimizerState {
        (**self).state()
    }

    fn load_state(&mut self, state: &OptimizerState) -> Result<()> {
        (**self).load_state(state)
    }
}

/// That there is something to step.
fn check_not_empty(params: &Params) -> Result<()> {
    if params.data().is_empty() {
        let expected = "at least 1 (a model's parts have their own, each with an optimiser: Model::part)";
        return Err(Error::setting("parameters", expected, 0));
    }
    Ok(())
}

/// A finite number of at least zero.
fn check_not_negative(name: &str, value: f32) -> Result<()> {
    if value.is_finite() && value >= 0.0 {
        Ok(())
    } else {
        Err(Error::setting(name, "a finite number of at least 0", value))
    }
}

/// A number in [0, 1).
fn check_fraction(name: &str, value: f64) -> Result<()> {
    if (0.0..1.0).contains(&value) { Ok(()) } else { Err(Error::setting(name, "a number in [0, 1)", value)) }
}
