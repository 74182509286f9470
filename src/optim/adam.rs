//! Adam (Kingma and Ba 2015), as `torch.optim.Adam` computes it.

use super::moments::{Decay, Moments, Settings};
use super::{Optimizer, OptimizerState, check_not_negative};
use crate::Isa;
use crate::error::Result;
use crate::params::Params;

/// The settings of [`Adam`], with PyTorch's names and defaults.
///
/// ```
/// use elman::optim::AdamConfig;
///
/// let config = AdamConfig::default().lr(0.01).betas(0.9, 0.99);
/// assert_eq!((config.lr, config.eps), (0.01, 1e-8));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct AdamConfig {
    /// The learning rate.
    pub lr: f32,
    /// The decay of the two running means.
    pub betas: (f64, f64),
    /// What keeps the denominator from zero.
    pub eps: f32,
    /// The factor of the parameters that is added to their gradients (L2 penalty).
    pub weight_decay: f32,
    /// The instructions to compute with; `None` for the best there are, or those that `ELMAN_ISA` names.
    pub isa: Option<Isa>,
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self { lr: 1e-3, betas: (0.9, 0.999), eps: 1e-8, weight_decay: 0.0, isa: None }
    }
}

impl AdamConfig {
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

    /// Sets the L2 penalty.
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

/// Adam and its state.
///
/// ```text
/// g = g + weight_decay·p
/// m = m + (1 - β1)(g - m),  v = β2·v + (1 - β2)·g²
/// p = p - lr/(1 - β1^t) · m / (√v/√(1 - β2^t) + eps)
/// ```
///
/// ```
/// use elman::optim::{Adam, AdamConfig, Optimizer};
/// use elman::params::ParamTable;
/// use elman::Params;
///
/// let mut table = ParamTable::new();
/// table.add("x", &[1])?;
/// let mut params = Params::zeros(table);
/// let mut gradients = params.zeros_like();
/// let mut adam = Adam::new(&params, AdamConfig::default().lr(0.1))?;
/// for _ in 0..500 {
///     gradients.data_mut()[0] = 2.0 * (params.data()[0] - 3.0); // of (x - 3)²
///     adam.step(&mut params, &gradients)?;
/// }
/// assert!((params.data()[0] - 3.0).abs() < 1e-2);
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Adam(Moments);

/// The optimiser's name in a state.
const NAME: &str = "Adam";

impl Adam {
    /// An optimiser for those parameters, at step zero.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) for a learning rate, `eps` or weight decay that is negative or not
    /// finite, and for betas outside [0, 1); [`Error::Isa`](crate::Error::Isa) for a tier that is unknown or that this
    /// machine lacks.
    pub fn new(params: &Params, config: AdamConfig) -> Result<Self> {
        let AdamConfig { lr, betas, eps, weight_decay, isa } = config;
        Moments::new(params, Settings { lr, betas, eps, decay: Decay::Gradient(weight_decay), isa }).map(Self)
    }
}

impl Optimizer for Adam {
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
