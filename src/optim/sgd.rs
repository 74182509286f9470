//! Gradient descent with momentum, as `torch.optim.SGD` computes it.

use super::{Optimizer, OptimizerState, check_fraction, check_not_empty, check_not_negative};
use crate::Isa;
use crate::error::{Error, Result};
use crate::kernel::elementwise::Momentum;
use crate::kernel::{Kernels, elementwise};
use crate::parallel::share_rows;
use crate::params::{Params, Tensors};

/// The settings of [`Sgd`], with PyTorch's names and defaults.
///
/// ```
/// use elman::optim::SgdConfig;
///
/// let config = SgdConfig::default().lr(0.1).momentum(0.9).nesterov(true);
/// assert_eq!((config.lr, config.dampening), (0.1, 0.0));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct SgdConfig {
    /// The learning rate.
    pub lr: f32,
    /// The share of the momentum buffer that is kept from step to step; 0 for no buffer.
    pub momentum: f32,
    /// What is left out of a gradient when it enters the buffer, as a share of it; not in the first step.
    pub dampening: f32,
    /// Whether the step is the gradient and `momentum` times the buffer, and not the buffer alone.
    pub nesterov: bool,
    /// The factor of the parameters that is added to their gradients (L2 penalty).
    pub weight_decay: f32,
    /// The instructions to compute with; `None` for the best there are, or those that `ELMAN_ISA` names.
    pub isa: Option<Isa>,
}

impl Default for SgdConfig {
    fn default() -> Self {
        Self { lr: 1e-3, momentum: 0.0, dampening: 0.0, nesterov: false, weight_decay: 0.0, isa: None }
    }
}

setters! { SgdConfig {
    /// Sets the share of the momentum buffer that is kept.
    momentum: f32,
    /// Sets what is left out of a gradient when it enters the buffer.
    dampening: f32,
    /// Sets whether momentum is Nesterov's.
    nesterov: bool,
    /// Sets the L2 penalty.
    weight_decay: f32,
} }

/// Stochastic gradient descent and its state.
///
/// ```text
/// g = g + weight_decay·p
/// v = momentum·v + (1 - dampening)·g      v = g in the first step
/// s = v, or g + momentum·v of Nesterov's, or g where there is no momentum
/// p = p - lr·s
/// ```
///
/// ```
/// use elman::optim::{Optimizer, Sgd, SgdConfig};
/// use elman::params::ParamTable;
/// use elman::Params;
///
/// let mut table = ParamTable::new();
/// table.add("x", &[1])?;
/// let mut params = Params::zeros(table);
/// let mut gradients = params.zeros_like();
/// gradients.data_mut()[0] = 1.0;
/// let mut sgd = Sgd::new(&params, SgdConfig::default().lr(0.5).momentum(0.5))?;
/// sgd.step(&mut params, &gradients)?; // v = 1
/// sgd.set_learning_rate(1.0)?;
/// sgd.step(&mut params, &gradients)?; // v = 1.5
/// assert_eq!(params.data(), [-2.0]);
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Sgd {
    config: SgdConfig,
    kernels: &'static Kernels,
    tensors: Tensors,
    /// The momentum buffer, if there is momentum.
    velocity: Option<Params>,
    /// Steps taken.
    step: u64,
}

/// Floating-point operations that an element's step costs as much as: it waits for memory.
const FLOP: f64 = 16.0;

/// The optimiser's name in a state, and PyTorch's of the buffer.
const NAME: &str = "SGD";
const BUFFER: &str = "momentum_buffer";

impl Sgd {
    /// An optimiser for those parameters, at step zero.
    ///
    /// # Errors
    /// [`Error::Setting`] where there are no parameters, for a learning rate or weight decay that is negative or not finite,
    /// for a momentum outside [0, 1), for a dampening outside [0, 1] and for Nesterov's momentum without momentum or with
    /// dampening;
    /// [`Error::Isa`] for a tier that is unknown or that this machine lacks.
    pub fn new(params: &Params, config: SgdConfig) -> Result<Self> {
        let SgdConfig { lr, momentum, dampening, nesterov, weight_decay, isa } = config;
        check_not_empty(params)?;
        check_not_negative("lr", lr)?;
        check_not_negative("weight_decay", weight_decay)?;
        check_fraction("momentum", f64::from(momentum))?;
        if !(0.0..=1.0).contains(&dampening) {
            return Err(Error::setting("dampening", "a number in [0, 1]", dampening));
        }
        if nesterov && (momentum == 0.0 || dampening != 0.0) {
            let got = format_args!("momentum {momentum} and dampening {dampening}");
            return Err(Error::setting("nesterov", "a momentum above 0 and a dampening of 0", got));
        }
        let velocity = (momentum > 0.0).then(|| params.try_zeros_like(BUFFER)).transpose()?;
        Ok(Self { config, kernels: Kernels::chosen(isa)?, tensors: params.tensors(), velocity, step: 0 })
    }
}

impl Optimizer for Sgd {
    fn step(&mut self, params: &mut Params, gradients: &Params) -> Result<()> {
        self.tensors.check("parameters", params)?;
        self.tensors.check("gradients", gradients)?;
        let SgdConfig { lr, momentum, dampening, nesterov, weight_decay, .. } = self.config;
        let velocity = self.velocity.as_mut().map(|velocity| (velocity.data_mut(), 1));
        let (n, gradients) = (gradients.data().len(), gradients.data());
        let written = ((params.data_mut(), 1), velocity);
        share_rows(n, FLOP * n as f64, written, &|range, ((parameters, _), velocity)| {
            (self.kernels.sgd)(elementwise::SgdStep {
                parameters,
                gradients: &gradients[range],
                velocity: velocity.map_or(&mut [], |(velocity, _)| velocity),
                lr,
                momentum,
                kind: if nesterov { Momentum::Nesterov } else { Momentum::Plain },
                share: if self.step == 0 { 1.0 } else { 1.0 - dampening },
                weight_decay,
            });
        });
        self.step = self.step.saturating_add(1);
        Ok(())
    }

    fn learning_rate(&self) -> f32 {
        self.config.lr
    }

    fn set_learning_rate(&mut self, lr: f32) -> Result<()> {
        check_not_negative("lr", lr)?;
        self.config.lr = lr;
        Ok(())
    }

    fn state(&self) -> OptimizerState {
        OptimizerState::read(NAME, self.config.lr, self.step, self.velocity.as_ref().map(|velocity| (BUFFER, velocity)))
    }

    fn load_state(&mut self, state: &OptimizerState) -> Result<()> {
        match &mut self.velocity {
            Some(velocity) => state.restore(NAME, [(BUFFER, velocity)])?,
            None => state.restore(NAME, [])?,
        }
        (self.config.lr, self.step) = (state.learning_rate, state.step);
        Ok(())
    }
}
