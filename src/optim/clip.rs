//! Clipping of gradients, by their norm and by value.

use super::check_not_negative;
use crate::error::Result;
use crate::params::Params;

/// Scales all gradients by max_norm / (norm + 1e-6) where that is below 1, `torch.nn.utils.clip_grad_norm_`. Returns
/// the norm before: the 2-norm over all elements, summed in f64.
///
/// # Errors
/// [`Error::Setting`](crate::Error::Setting) for a `max_norm` that is negative or not finite.
pub fn clip_grad_norm(gradients: &mut Params, max_norm: f32) -> Result<f32> {
    check_not_negative("max_norm", max_norm)?;
    // Sixteen sums side by side, so that the additions need not wait for each other; the order is fixed.
    let mut sums = [0.0_f64; 16];
    for chunk in gradients.data().chunks(16) {
        for (sum, &x) in sums.iter_mut().zip(chunk) {
            *sum += f64::from(x) * f64::from(x);
        }
    }
    let norm = sums.iter().sum::<f64>().sqrt();
    let scale = (f64::from(max_norm) / (norm + 1e-6)) as f32;
    if scale < 1.0 {
        gradients.data_mut().iter_mut().for_each(|x| *x *= scale);
    }
    Ok(norm as f32)
}

/// Limits every gradient to [-clip_value, clip_value], `torch.nn.utils.clip_grad_value_`. A NaN stays one.
///
/// # Errors
/// [`Error::Setting`](crate::Error::Setting) for a `clip_value` that is negative or not finite.
pub fn clip_grad_value(gradients: &mut Params, clip_value: f32) -> Result<()> {
    check_not_negative("clip_value", clip_value)?;
    gradients.data_mut().iter_mut().for_each(|x| *x = x.clamp(-clip_value, clip_value));
    Ok(())
}
