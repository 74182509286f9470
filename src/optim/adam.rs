//! Adam (Kingma and Ba 2015), as `torch.optim.Adam` computes it.

use super::moments::{Decay, Moments, Settings, adam};
use super::{Optimizer, OptimizerState, check_not_negative};
use crate::Isa;
use crate::error::Result;
use crate::params::Params;

adam! {
    /// The settings of [`Adam`], with PyTorch's names and defaults.
    ///
    /// ```
    /// use elman::optim::AdamConfig;
    ///
    /// let config = AdamConfig::default().lr(0.01).betas(0.9, 0.99);
    /// assert_eq!((config.lr, config.eps), (0.01, 1e-8));
    /// ```
    AdamConfig,
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
    Adam, "Adam",
    {
        /// The factor of the parameters that is added to their gradients (L2 penalty).
        weight_decay = 0.0, Decay::Gradient,
        /// Sets the L2 penalty.
    }
}
