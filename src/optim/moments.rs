//! What Adam, AdamW and SparseAdam have in common: two running means over the gradients and their squares.

use std::ops::Range;

use super::{OptimizerState, check_fraction, check_not_empty, check_not_negative};
use crate::error::Result;
use crate::kernel::{Isa, Kernels, elementwise};
use crate::parallel::share_rows;
use crate::params::{Params, Tensors};

/// Floating-point operations that an element's step costs as much as: it waits for memory.
const FLOP: f64 = 32.0;

/// PyTorch's names of the two means.
const BUFFERS: [&str; 2] = ["exp_avg", "exp_avg_sq"];

/// The settings that all have.
pub(super) struct Settings {
    pub(super) lr: f32,
    pub(super) betas: (f64, f64),
    pub(super) eps: f32,
    pub(super) decay: Decay,
    pub(super) isa: Option<Isa>,
}

/// What `weight_decay` does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Decay {
    /// Adam: that share of a parameter is added to its gradient.
    Gradient(f32),
    /// AdamW: the parameter is made smaller by that share times the learning rate, beside the step.
    Parameter(f32),
}

/// The state, and the settings it is stepped with.
#[derive(Clone, Debug)]
pub(super) struct Moments {
    pub(super) lr: f32,
    betas: (f64, f64),
    pub(super) eps: f32,
    decay: Decay,
    kernels: &'static Kernels,
    tensors: Tensors,
    mean: Params,
    square: Params,
    /// Steps taken.
    step: u64,
}

/// What of a step depends on how many there were.
#[derive(Clone, Copy, Debug)]
pub(super) struct Factors {
    /// What the mean over the root of the mean square is multiplied by, `lr sqrt(1 - beta2^t) / (1 - beta1^t)`: the bias of both
    /// corrected at once, so that an element has one division, not two.
    pub(super) step_size: f64,
    /// What is added to that root.
    pub(super) eps: f64,
}

impl Moments {
    pub(super) fn new(params: &Params, settings: Settings) -> Result<Self> {
        let Settings { lr, betas, eps, decay, isa } = settings;
        check_not_empty(params)?;
        check_not_negative("lr", lr)?;
        check_not_negative("eps", eps)?;
        let (Decay::Gradient(weight_decay) | Decay::Parameter(weight_decay)) = decay;
        check_not_negative("weight_decay", weight_decay)?;
        check_fraction("betas[0]", betas.0)?;
        check_fraction("betas[1]", betas.1)?;
        let (kernels, tensors) = (Kernels::chosen(isa)?, params.tensors());
        let [mean, square] = BUFFERS.map(|name| params.try_zeros_like(name));
        Ok(Self { lr, betas, eps, decay, kernels, tensors, mean: mean?, square: square?, step: 0 })
    }

    pub(super) fn step(&mut self, params: &mut Params, gradients: &Params) -> Result<()> {
        let factors = self.begin(params, gradients)?;
        self.update(params, gradients, 0..gradients.data().len(), factors);
        Ok(())
    }

    /// Counts a step over those parameters. [`update`](Self::update) does it, part by part.
    pub(super) fn begin(&mut self, params: &Params, gradients: &Params) -> Result<Factors> {
        self.tensors.check("parameters", params)?;
        self.tensors.check("gradients", gradients)?;
        self.step = self.step.saturating_add(1);
        let (beta1, beta2) = self.betas;
        let correction = (1.0 - power(beta2, self.step)).sqrt();
        Ok(Factors {
            step_size: f64::from(self.lr) * correction / (1.0 - power(beta1, self.step)),
            // `eps` is added to the root that is corrected.
            eps: f64::from(self.eps) * correction,
        })
    }

    /// The step of the elements in that range.
    pub(super) fn update(&mut self, params: &mut Params, gradients: &Params, range: Range<usize>, factors: Factors) {
        let (beta1, beta2) = self.betas;
        let (weight_decay, shrink) = match self.decay {
            Decay::Gradient(weight_decay) => (weight_decay, 1.0),
            Decay::Parameter(weight_decay) => (0.0, (1.0 - f64::from(self.lr) * f64::from(weight_decay)) as f32),
        };
        let gradients = &gradients.data()[range.clone()];
        let all = [params.data_mut(), self.mean.data_mut(), self.square.data_mut()];
        let written = all.map(|data| (&mut data[range.clone()], 1));
        let n = gradients.len();
        share_rows(n, FLOP * n as f64, written, &|range, [(parameters, _), (mean, _), (square, _)]| {
            (self.kernels.adam)(elementwise::AdamStep {
                parameters,
                gradients: &gradients[range],
                mean,
                square,
                step_size: factors.step_size as f32,
                rest1: (1.0 - beta1) as f32,
                beta2: beta2 as f32,
                rest2: (1.0 - beta2) as f32,
                eps: factors.eps as f32,
                weight_decay,
                shrink,
            });
        });
    }

    pub(super) fn state(&self, name: &str) -> OptimizerState {
        let buffers = BUFFERS.into_iter().zip([&self.mean, &self.square]);
        OptimizerState::read(name, self.lr, self.step, buffers)
    }

    pub(super) fn load_state(&mut self, name: &str, state: &OptimizerState) -> Result<()> {
        let [mean, square] = BUFFERS;
        state.restore(name, [(mean, &mut self.mean), (square, &mut self.square)])?;
        (self.lr, self.step) = (state.learning_rate, state.step);
        Ok(())
    }
}

/// `base`ⁿ by repeated squaring. Of the number of steps alone, so that it need not be saved; `powi` may give other bits on
/// another machine.
pub(crate) fn power(base: f64, n: u64) -> f64 {
    let (mut result, mut square, mut rest) = (1.0, base, n);
    while rest > 0 {
        if rest & 1 == 1 {
            result *= square;
        }
        square *= square;
        rest >>= 1;
    }
    result
}

/// Defines Adam or AdamW: its settings, its optimiser, and what `weight_decay` does.
macro_rules! adam {
    (
        $(#[$config_doc:meta])* $config:ident,
        $(#[$doc:meta])* $optimizer:ident, $name:literal,
        { $(#[$decay_doc:meta])* weight_decay = $weight_decay:literal, $decay:path, $(#[$set_decay_doc:meta])* }
    ) => {
        $(#[$config_doc])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
        #[non_exhaustive]
        pub struct $config {
            /// The learning rate.
            pub lr: f32,
            /// The decay of the two running means.
            pub betas: (f64, f64),
            /// What keeps the denominator from zero.
            pub eps: f32,
            $(#[$decay_doc])*
            pub weight_decay: f32,
            /// The instructions to compute with; `None` for the best there are, or those that `ELMAN_ISA` names.
            pub isa: Option<Isa>,
        }

        impl Default for $config {
            fn default() -> Self {
                Self { lr: 1e-3, betas: (0.9, 0.999), eps: 1e-8, weight_decay: $weight_decay, isa: None }
            }
        }

        setters! { $config {
            /// Sets what keeps the denominator from zero.
            eps: f32,
            $(#[$set_decay_doc])*
            weight_decay: f32,
        } }

        impl $config {
            /// Sets the decay of the running mean of the gradients, and of that of their squares.
            #[must_use]
            pub fn betas(self, beta1: f64, beta2: f64) -> Self {
                Self { betas: (beta1, beta2), ..self }
            }
        }

        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $optimizer(Moments);

        impl $optimizer {
            /// An optimiser for those parameters, at step zero.
            ///
            /// # Errors
            /// [`Error::Setting`](crate::Error::Setting) where there are no parameters, for a learning rate, `eps` or
            /// weight decay that is negative or not finite, and for betas outside [0, 1);
            /// [`Error::Isa`](crate::Error::Isa) for a tier that is unknown or that this machine lacks.
            pub fn new(params: &Params, config: $config) -> Result<Self> {
                let $config { lr, betas, eps, weight_decay, isa } = config;
                Moments::new(params, Settings { lr, betas, eps, decay: $decay(weight_decay), isa }).map(Self)
            }
        }

        impl Optimizer for $optimizer {
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
                self.0.state($name)
            }

            fn load_state(&mut self, state: &OptimizerState) -> Result<()> {
                self.0.load_state($name, state)
            }
        }
    };
}

pub(super) use adam;

#[cfg(test)]
mod tests {
    use super::power;

    #[test]
    fn powers_of_any_number_of_steps() {
        assert_eq!([power(0.5, 0), power(0.5, 1), power(0.5, 10)], [1.0, 0.5, 1.0 / 1024.0]);
        assert_eq!([power(0.0, 0), power(0.0, 3), power(0.999, u64::MAX)], [1.0, 0.0, 0.0]);
        let (mut product, base) = (1.0, 0.999);
        for n in 0..10_000 {
            assert!((power(base, n) - product).abs() <= 1e-12 * product, "{n}");
            product *= base;
        }
    }
}
