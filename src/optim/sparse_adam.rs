//! Lazy Adam for tables of which a step reads few rows, as `torch.optim.SparseAdam` computes it.

use std::ops::Range;

use super::moments::{Decay, Factors, Moments, Settings};
use super::{Optimizer, OptimizerState, check_not_negative};
use crate::Isa;
use crate::error::{Error, Result};
use crate::params::Params;

/// The settings of [`SparseAdam`], with PyTorch's names and defaults.
///
/// ```
/// use elman::optim::SparseAdamConfig;
///
/// let config = SparseAdamConfig::default().lr(0.01).betas(0.9, 0.99);
/// assert_eq!((config.lr, config.eps), (0.01, 1e-8));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct SparseAdamConfig {
    /// The learning rate.
    pub lr: f32,
    /// The decay of the two running means.
    pub betas: (f64, f64),
    /// What keeps the denominator from zero.
    pub eps: f32,
    /// The instructions to compute with; `None` for the best there are, or those that `ELMAN_ISA` names.
    pub isa: Option<Isa>,
}

impl Default for SparseAdamConfig {
    fn default() -> Self {
        Self { lr: 1e-3, betas: (0.9, 0.999), eps: 1e-8, isa: None }
    }
}

setters! { SparseAdamConfig {
    /// Sets what keeps the denominator from zero.
    eps: f32,
} }

impl SparseAdamConfig {
    /// Sets the decay of the running mean of the gradients, and of that of their squares.
    #[must_use]
    pub fn betas(self, beta1: f64, beta2: f64) -> Self {
        Self { betas: (beta1, beta2), ..self }
    }
}

/// Adam that leaves alone the rows of some tensors that a step has no gradient for, and its state. A step reads few rows of
/// an embedding; Adam moves all of them, by what their running means still hold.
///
/// In the tensors that are named sparse, each row (what lies behind one index of the first dimension) that has a gradient
/// goes so, with t the steps of the optimiser, not of the row; the others keep their values and both means:
///
/// ```text
/// m = m + (1 - β1)(g - m),  v = β2·v + (1 - β2)·g²
/// p = p - lr·√(1 - β2^t)/(1 - β1^t) · m / (√v + eps)
/// ```
///
/// So eps is added before the denominator's bias is corrected, as in PyTorch; in [`Adam`](super::Adam) after it. All tensors
/// that are not named go by Adam's own formula, without weight decay; PyTorch's class refuses them, and takes a second
/// optimiser.
///
/// A row has a gradient where one of its elements is not zero. PyTorch goes by the indices that were looked up: a row that
/// was, and whose gradient is exactly zero, decays there and stays here.
///
/// ```
/// use elman::optim::{Optimizer, SparseAdam, SparseAdamConfig};
/// use elman::{LayerKind, Model, ModelSpec, RecurrentSpec, Rng};
///
/// let spec = ModelSpec::new(1).layer("embedding", LayerKind::embedding(100, 2)).layer("gru", RecurrentSpec::gru([4]));
/// let mut model = Model::init(spec, &mut Rng::new(1))?;
/// let mut optimizer = SparseAdam::new(model.params(), SparseAdamConfig::default(), ["embedding.weight"])?;
///
/// let mut gradients = model.params().zeros_like(); // what a backward pass gives
/// let mut row = [0.0; 200];
/// row[14] = 0.5; // index 7 was read
/// gradients.set("embedding.weight", &[100, 2], &row)?;
/// let before = model.params().named("embedding.weight")?.1.to_vec();
/// optimizer.step(&mut model.params_mut(), &gradients)?;
/// let after = model.params().named("embedding.weight")?.1;
/// assert!(after[..14] == before[..14] && after[14] < before[14] && after[15..] == before[15..]);
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SparseAdam {
    moments: Moments,
    /// All elements, from the first to the last.
    parts: Vec<Part>,
}

/// Elements that are treated alike.
#[derive(Clone, Debug)]
struct Part {
    range: Range<usize>,
    /// Elements of a row; `None` where all go in every step.
    row: Option<usize>,
}

impl SparseAdam {
    /// An optimiser for those parameters, at step zero; those that are named in `sparse` go row by row.
    ///
    /// # Errors
    /// [`Error::UnknownParameter`] for a name that is none of theirs; [`Error::Setting`] where there are no parameters, for
    /// a learning rate that is negative or not finite, for an `eps` that is not a finite number above 0 (an element of a row
    /// may have no gradient yet, and would be 0/0), and for betas outside [0, 1);
    /// [`Error::Isa`] for a tier that is unknown or that this machine lacks.
    pub fn new<S: AsRef<str>>(
        params: &Params,
        config: SparseAdamConfig,
        sparse: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        let SparseAdamConfig { lr, betas, eps, isa } = config;
        if !(eps.is_finite() && eps > 0.0) {
            return Err(Error::setting("eps", "a finite number above 0", eps));
        }
        let mut names = Vec::new();
        for name in sparse {
            params.named(name.as_ref())?;
            names.push(name);
        }
        let moments = Moments::new(params, Settings { lr, betas, eps, decay: Decay::Gradient(0.0), isa })?;
        let mut parts: Vec<Part> = Vec::new();
        for (name, shape, values) in params.iter() {
            let first = parts.last().map_or(0, |part| part.range.end);
            let range = first..first + values.len();
            let is_sparse = names.iter().any(|known| known.as_ref() == name);
            match parts.last_mut() {
                Some(Part { range, row: None }) if !is_sparse => range.end += values.len(),
                _ => parts.push(Part { range, row: is_sparse.then(|| shape.iter().skip(1).product()) }),
            }
        }
        Ok(Self { moments, parts })
    }
}

impl Optimizer for SparseAdam {
    fn step(&mut self, params: &mut Params, gradients: &Params) -> Result<()> {
        let Self { moments, parts } = self;
        let dense = moments.begin(params, gradients)?;
        let lazy = Factors { eps: f64::from(moments.eps), ..dense };
        for Part { range, row } in parts {
            let Some(width) = *row else {
                moments.update(params, gradients, range.clone(), dense);
                continue;
            };
            for first in range.clone().step_by(width.max(1)) {
                let row = first..first + width;
                // NaN is not zero.
                if gradients.data()[row.clone()].iter().any(|&d| d != 0.0) {
                    moments.update(params, gradients, row, lazy);
                }
            }
        }
        Ok(())
    }

    fn learning_rate(&self) -> f32 {
        self.moments.lr
    }

    fn set_learning_rate(&mut self, lr: f32) -> Result<()> {
        check_not_negative("lr", lr)?;
        self.moments.lr = lr;
        Ok(())
    }

    fn state(&self) -> OptimizerState {
        self.moments.state(NAME)
    }

    fn load_state(&mut self, state: &OptimizerState) -> Result<()> {
        self.moments.load_state(NAME, state)
    }
}

/// The optimiser's name in a state.
const NAME: &str = "SparseAdam";
