//! AdamW (Loshchilov and Hutter 2019), as `torch.optim.AdamW` computes it.

use super::moments::{Decay, Moments, Settings};
use super::{Optimizer, OptimizerState, check_not_negative};
use crate::Isa;
use crate::error::Result;
use crate::params::Params;

/// The settings of [`AdamW`], with PyTorch's names and defaults.
///
/// ```
/// use elman::optim::AdamWConfig;
///
/// let config = AdamWConfig::default().lr(0.01).betas(0.9, 0.99);
/// assert_eq!((config.lr, config.eps), (0.01, 1e-8));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct AdamWConfig {
    /// The learning rate.
    pub lr: f32,
    /// The decay of the two running means.
    pub betas: (f64, f64),
    /// What keeps the denominator from zero.
    pub eps: f32,
    /// The share of itself, times the learning rate, by which a parameter becomes smaller in each step.
    pub weight_decay: f32,
    /// The instructions to compute with; `None` for the best there are, or those that `ELMAN_ISA` names.
    pub isa: Option<Isa>,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { lr: 1e-3, betas: (0.9, 0.999), eps: 1e-8, weight_decay: 1e-2, isa: None }
    }
}

impl AdamWConfig {
    /// Sets the learning rate.
    #[must_use]
    pub fn lr(self, lr: f32) -> Self {
        Self { lr, ..self }
    }

    /// Sets the decay of the running mean of the gradients, and of that of their squares.
    #[must_use]
    pub fn betas(self, beta1: f64, beta2: f64) -> Self {
        Self { betas: (beta1, beta2), ..self }
    }

    /// Sets what keeps the denominator from zero.
    #[must_use]
    pub fn eps(self, eps: f32) -> Self {
        Self { eps, ..self }
    }

    /// Sets the decay of the parameters.
    #[must_use]
    pub fn weight_decay(self, weight_decay: f32) -> Self {
        Self { weight_decay, ..self }
    }

    /// Sets the instructions to compute with.
    #[must_use]
    pub fn isa(self, isa: Isa) -> Self {
        Self { isa: Some(isa), ..self }
    }
}

/// Adam with weight decay beside the step, and its state: the decay does not pass through the running means, so that it is
/// the same for every parameter.
///
/// ```text
/// p = p·(1 - lr·weight_decay)
/// m = m + (1 - β1)(g - m),  v = β2·v + (1 - β2)·g²
/// p = p - lr/(1 - β1^t) · m / (√v/√(1 - β2^t) + eps)
/// ```
///
/// ```
/// use elman::optim::{AdamW, AdamWConfig, Optimizer};
/// use elman::params::ParamTable;
/// use elman::Params;
///
/// let mut table = ParamTable::new();
/// table.add("x", &[1])?;
/// let mut params = Params::zeros(table);
/// params.data_mut()[0] = 8.0;
/// let gradients = params.zeros_like();
/// let mut adam = AdamW::new(&params, AdamWConfig::default().lr(0.5).weight_decay(0.25))?;
/// adam.step(&mut params, &gradients)?;
/// assert_eq!(params.data(), [7.0]); // no gradient, but an eighth of decay
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct AdamW(Moments);

/// The optimiser's name in a state.
const NAME: &str = "AdamW";

impl AdamW {
    /// An optimiser for those parameters, at step zero.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) for a learning rate, `eps` or weight decay that is negative or not
    /// finite, and for betas outside [0, 1); [`Error::Isa`](crate::Error::Isa) for a tier that is unknown or that this
    /// machine lacks.
    pub fn new(params: &Params, config: AdamWConfig) -> Result<Self> {
        let AdamWConfig { lr, betas, eps, weight_decay, isa } = config;
        Moments::new(params, Settings { lr, betas, eps, decay: Decay::Parameter(weight_decay), isa }).map(Self)
    }
}

impl Optimizer for AdamW {
    fn step(&mut self, params: &mut Params, gradients: &Params) -> Result<()> {
        self.0.step(params, gradients)
    }

    fn learning_rate(&self) -> f32 {
        self.0.lr
    }

    fn set_learning_rate(&mut self, lr: f32) -> Result<()> {
        check_not_negative("lr", lr)?;
        self.0.lr = lr;
        Ok(())
    }

    fn state(&self) -> OptimizerState {
        self.0.state(NAME)
    }

    fn load_state(&mut self, state: &OptimizerState) -> Result<()> {
        self.0.load_state(NAME, state)
    }
}
