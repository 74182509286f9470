//! AdamW (Loshchilov and Hutter 2019), as `torch.optim.AdamW` computes it.

use super::moments::{Decay, Moments, Settings, adam};
use super::{Optimizer, OptimizerState, check_not_negative};
use crate::Isa;
use crate::error::Result;
use crate::params::Params;

adam! {
    /// The settings of [`AdamW`], with PyTorch's names and defaults.
    ///
    /// ```
    /// use elman::optim::AdamWConfig;
    ///
    /// let config = AdamWConfig::default().lr(0.01).betas(0.9, 0.99);
    /// assert_eq!((config.lr, config.eps), (0.01, 1e-8));
    /// ```
    AdamWConfig,
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
    AdamW, "AdamW",
    {
        /// The share of itself, times the learning rate, by which a parameter becomes smaller in each step.
        weight_decay = 1e-2, Decay::Parameter,
        /// Sets the decay of the parameters.
    }
}
