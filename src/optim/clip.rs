//! Clipping of gradients, by their norm and by value.

use crate::error::{Error, Result};
use crate::parallel::share_rows;
use crate::params::Params;

/// Multiplies all gradients by max_norm / (norm + 1e-6), or by 1 where that is more: `torch.nn.utils.clip_grad_norm_`.
/// Returns the norm before, the 2-norm over all elements.
///
/// As there, one NaN makes all gradients NaN, an infinite gradient becomes NaN and the others 0, and an infinite
/// `max_norm` only measures. The sum is one of f64, so that squares cannot overflow: of gradients beyond 1e19 PyTorch
/// finds an infinite norm, and sets them to 0.
///
/// ```
/// use elman::optim::clip_grad_norm;
/// use elman::params::ParamTable;
/// use elman::Params;
///
/// let mut table = ParamTable::new();
/// table.add("weight", &[2])?;
/// let mut gradients = Params::zeros(table);
/// gradients.data_mut().copy_from_slice(&[3.0, 4.0]);
/// assert_eq!(clip_grad_norm(&mut gradients, f32::INFINITY)?, 5.0);
/// assert_eq!(gradients.data(), [3.0, 4.0]);
/// clip_grad_norm(&mut gradients, 1.0)?;
/// assert!((gradients.data()[0] - 0.6).abs() < 1e-6 && (gradients.data()[1] - 0.8).abs() < 1e-6);
/// # Ok::<(), elman::Error>(())
/// ```
///
/// # Errors
/// [`Error::Setting`] for a `max_norm` that is negative or NaN.
pub fn clip_grad_norm(gradients: &mut Params, max_norm: f32) -> Result<f32> {
    clip_together(std::slice::from_mut(gradients), max_norm)
}

/// The same of the gradients of several models, by the norm of all of them.
pub(crate) fn clip_together(gradients: &mut [Params], max_norm: f32) -> Result<f32> {
    check_limit("max_norm", max_norm)?;
    let norm = gradients.iter().map(|gradients| sum_of_squares(gradients.data())).sum::<f64>().sqrt();
    let factor = (f64::from(max_norm) / (norm + 1e-6)) as f32;
    // Not `min`, which would make 1 of a NaN.
    let factor = if factor > 1.0 { 1.0 } else { factor };
    gradients.iter_mut().for_each(|gradients| each(gradients, |x| x * factor));
    Ok(norm as f32)
}

/// Elements whose squares are summed by themselves.
const BLOCK: usize = 4096;
/// Blocks whose sums are held at once.
const BLOCKS: usize = 256;

/// Block by block, the blocks one after the other: the same bits whoever sums which.
fn sum_of_squares(data: &[f32]) -> f64 {
    let mut sum = 0.0;
    for data in data.chunks(BLOCK * BLOCKS) {
        let (mut sums, count) = ([0.0; BLOCKS], data.len().div_ceil(BLOCK));
        share_rows(count, data.len() as f64, (&mut sums[..count], 1), &|blocks, (sums, _)| {
            let data = &data[blocks.start * BLOCK..];
            sums.iter_mut().zip(data.chunks(BLOCK)).for_each(|(sum, block)| *sum = block_sum(block));
        });
        sum = sums.iter().fold(sum, |all, sum| all + sum);
    }
    sum
}

/// Sixteen sums side by side, so that the additions need not wait for each other.
fn block_sum(block: &[f32]) -> f64 {
    let mut sums = [0.0_f64; 16];
    for chunk in block.chunks(16) {
        for (sum, &x) in sums.iter_mut().zip(chunk) {
            *sum += f64::from(x) * f64::from(x);
        }
    }
    sums.iter().sum()
}

/// Replaces every gradient.
fn each(gradients: &mut Params, f: impl Fn(f32) -> f32 + Sync) {
    let data = gradients.data_mut();
    share_rows(data.len(), data.len() as f64, (data, 1), &|_, (data, _): (&mut [f32], usize)| {
        data.iter_mut().for_each(|x| *x = f(*x));
    });
}

/// Limits every gradient to [-clip_value, clip_value], `torch.nn.utils.clip_grad_value_`. A NaN stays one; an infinite
/// `clip_value` changes nothing.
///
/// # Errors
/// [`Error::Setting`] for a `clip_value` that is negative or NaN.
pub fn clip_grad_value(gradients: &mut Params, clip_value: f32) -> Result<()> {
    check_limit("clip_value", clip_value)?;
    each(gradients, |x| x.clamp(-clip_value, clip_value));
    Ok(())
}

/// A number of at least zero, infinity included.
fn check_limit(name: &str, value: f32) -> Result<()> {
    if value >= 0.0 { Ok(()) } else { Err(Error::setting(name, "a number of at least 0", value)) }
}
