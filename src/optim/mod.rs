//! Optimisers over the flat buffer of parameters, and clipping of gradients.

mod adam;
mod clip;
mod sgd;

pub use adam::{Adam, AdamConfig};
pub use clip::{clip_grad_norm, clip_grad_value};
pub use sgd::{Sgd, SgdConfig};

use crate::error::{Error, Result};

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
