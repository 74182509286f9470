//! Gradient descent with momentum, as `torch.optim.SGD` computes it.

use super::{check_fraction, check_not_negative};
use crate::error::{Result, check_shape};
use crate::kernel::{Kernels, elementwise};
use crate::params::Params;
use crate::tensor::Buffer;

/// The settings of [`Sgd`], with PyTorch's names and defaults.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdConfig {
    /// The learning rate.
    pub lr: f32,
    /// The share of the last step that is kept.
    pub momentum: f32,
    /// The factor of the parameters that is added to their gradients (L2 penalty).
    pub weight_decay: f32,
}

impl Default for SgdConfig {
    fn default() -> Self {
        Self { lr: 1e-3, momentum: 0.0, weight_decay: 0.0 }
    }
}

/// The optimiser and its state.
///
/// ```text
/// g = g + weight_decay·p
/// v = momentum·v + g      (v = g where there is no momentum)
/// p = p - lr·v
/// ```
#[derive(Clone, Debug)]
pub struct Sgd {
    config: SgdConfig,
    kernels: &'static Kernels,
    /// Empty without momentum.
    velocity: Buffer,
    len: usize,
}

impl Sgd {
    /// An optimiser for those parameters, at step zero.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) for a learning rate or weight decay that is negative or not finite and
    /// for a momentum outside [0, 1); [`Error::Isa`](crate::Error::Isa) for an `ELMAN_ISA` that there is not.
    pub fn new(params: &Params, config: SgdConfig) -> Result<Self> {
        check_not_negative("lr", config.lr)?;
        check_not_negative("weight_decay", config.weight_decay)?;
        check_fraction("momentum", f64::from(config.momentum))?;
        let len = params.data().len();
        let velocity = Buffer::zeros(if config.momentum == 0.0 { 0 } else { len });
        Ok(Self { config, kernels: Kernels::active()?, velocity, len })
    }

    /// One step down the gradients.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) where the parameters or gradients are of another model.
    pub fn step(&mut self, params: &mut Params, gradients: &Params) -> Result<()> {
        check_shape("parameters", &[self.len], &[params.data().len()])?;
        check_shape("gradients", &[self.len], &[gradients.data().len()])?;
        (self.kernels.sgd)(elementwise::Sgd {
            parameters: params.data_mut(),
            gradients: gradients.data(),
            velocity: &mut self.velocity,
            lr: self.config.lr,
            momentum: self.config.momentum,
            weight_decay: self.config.weight_decay,
        });
        Ok(())
    }
}
