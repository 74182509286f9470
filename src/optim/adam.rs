//! Adam (Kingma and Ba 2015), as `torch.optim.Adam` computes it.

use super::{check_fraction, check_not_negative};
use crate::error::{Result, check_shape};
use crate::kernel::{Kernels, elementwise};
use crate::params::Params;
use crate::tensor::Buffer;

/// The settings of [`Adam`], with PyTorch's names and defaults.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamConfig {
    /// The learning rate.
    pub lr: f32,
    /// The decay of the two running means.
    pub betas: (f64, f64),
    /// What keeps the denominator from zero.
    pub eps: f32,
    /// The factor of the parameters that is added to their gradients (L2 penalty).
    pub weight_decay: f32,
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self { lr: 1e-3, betas: (0.9, 0.999), eps: 1e-8, weight_decay: 0.0 }
    }
}

/// The optimiser and its state.
///
/// ```text
/// g = g + weight_decay·p
/// m = m + (1 - β1)(g - m),  v = β2·v + (1 - β2)·g²
/// p = p - lr/(1 - β1^t) · m / (√v/√(1 - β2^t) + eps)
/// ```
#[derive(Clone, Debug)]
pub struct Adam {
    config: AdamConfig,
    kernels: &'static Kernels,
    mean: Buffer,
    square: Buffer,
    /// β1^t and β2^t.
    powers: (f64, f64),
}

impl Adam {
    /// An optimiser for those parameters, at step zero.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) for a learning rate, `eps` or weight decay that is negative or not
    /// finite, and for betas outside [0, 1); [`Error::Isa`](crate::Error::Isa) for an `ELMAN_ISA` that there is not.
    pub fn new(params: &Params, config: AdamConfig) -> Result<Self> {
        check_not_negative("lr", config.lr)?;
        check_not_negative("eps", config.eps)?;
        check_not_negative("weight_decay", config.weight_decay)?;
        check_fraction("betas[0]", config.betas.0)?;
        check_fraction("betas[1]", config.betas.1)?;
        let n = params.data().len();
        let kernels = Kernels::active()?;
        Ok(Self { config, kernels, mean: Buffer::zeros(n), square: Buffer::zeros(n), powers: (1.0, 1.0) })
    }

    /// One step down the gradients.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) where the parameters or gradients are of another model.
    pub fn step(&mut self, params: &mut Params, gradients: &Params) -> Result<()> {
        check_shape("parameters", &[self.mean.len()], &[params.data().len()])?;
        check_shape("gradients", &[self.mean.len()], &[gradients.data().len()])?;
        let (beta1, beta2) = self.config.betas;
        self.powers = (self.powers.0 * beta1, self.powers.1 * beta2);
        (self.kernels.adam)(elementwise::Adam {
            parameters: params.data_mut(),
            gradients: gradients.data(),
            mean: &mut self.mean,
            square: &mut self.square,
            step_size: (f64::from(self.config.lr) / (1.0 - self.powers.0)) as f32,
            correction: (1.0 - self.powers.1).sqrt() as f32,
            rest1: (1.0 - beta1) as f32,
            beta2: beta2 as f32,
            rest2: (1.0 - beta2) as f32,
            eps: self.config.eps,
            weight_decay: self.config.weight_decay,
        });
        Ok(())
    }
}
