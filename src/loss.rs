//! Losses and their gradients. Sums are taken in f64, in an order of their own: the same bits on every tier.

use crate::error::{Error, Result, check_shape};
use crate::kernel::Kernels;
use crate::tensor::{Seq, SeqRef};

/// Sums that the elements of a row take part in by turns.
const LANES: usize = 8;

/// Mean squared error over all elements, `torch.nn.MSELoss`. `d_prediction` takes the shape of `prediction` and
/// receives the gradient, 2 (prediction - target) / elements.
///
/// # Errors
/// [`Error::Shape`] where `target` (T, B, C) has another shape than `prediction`; [`Error::State`] where there are
/// no elements, whose mean is not defined.
pub fn mse(prediction: SeqRef<'_>, target: SeqRef<'_>, d_prediction: &mut Seq) -> Result<f32> {
    let [steps, batch, width] = prediction.shape();
    check_shape("target", &prediction.shape(), &target.shape())?;
    let n = steps * batch * width;
    if n == 0 {
        return Err(Error::state("prediction", "at least 1 element", format_args!("{:?}", prediction.shape())));
    }
    d_prediction.reshape(steps, batch, width)?;
    let scale = 2.0 / n as f32;
    // One sum waits for itself: 4 cycles an element, a tenth of the training of a small layer.
    let mut sums = [0.0; LANES];
    for (t, d) in d_prediction.data_mut().chunks_exact_mut(batch * width).enumerate() {
        let (prediction, target) = (prediction.step(t), target.step(t));
        for (i, d) in d.chunks_exact_mut(width).enumerate() {
            let (prediction, target) = (prediction.row(i), target.row(i));
            let (full, rest) = d.as_chunks_mut::<LANES>();
            let (full_p, rest_p) = prediction.as_chunks::<LANES>();
            let (full_y, rest_y) = target.as_chunks::<LANES>();
            for ((d, p), y) in full.iter_mut().zip(full_p).zip(full_y) {
                for lane in 0..LANES {
                    let difference = p[lane] - y[lane];
                    sums[lane] += f64::from(difference) * f64::from(difference);
                    d[lane] = difference * scale;
                }
            }
            for (((d, p), y), sum) in rest.iter_mut().zip(rest_p).zip(rest_y).zip(&mut sums) {
                let difference = p - y;
                *sum += f64::from(difference) * f64::from(difference);
                *d = difference * scale;
            }
        }
    }
    let sum: f64 = sums.iter().sum();
    Ok((sum / n as f64) as f32)
}

/// A class that [`cross_entropy`] leaves out: `torch.nn.CrossEntropyLoss`'s default `ignore_index`.
pub const IGNORE_INDEX: i64 = -100;

/// Softmax cross-entropy, `torch.nn.CrossEntropyLoss`: the mean over rows of log-sum-exp minus the target's logit.
/// `logits` (T, B, C); `targets` holds a class below C for each of the T·B rows, or [`IGNORE_INDEX`]. `d_logits` takes
/// the logits' shape and receives the gradient, (softmax - one-hot) / rows that count.
///
/// # Errors
/// [`Error::Shape`] where `targets` are not T·B, [`Error::Value`] for a class that is not below C and where no row
/// counts, as the mean over none is not defined.
pub fn cross_entropy(kernels: &Kernels, logits: SeqRef<'_>, targets: &[i64], d_logits: &mut Seq) -> Result<f32> {
    let [steps, batch, classes] = logits.shape();
    check_shape("target", &[steps * batch], &[targets.len()])?;
    let counted = targets.iter().filter(|&&target| target != IGNORE_INDEX).count();
    if counted == 0 {
        return Err(Error::value("target", "at least 1 row that is not ignored", "none"));
    }
    for &target in targets {
        if target != IGNORE_INDEX && !usize::try_from(target).is_ok_and(|target| target < classes) {
            return Err(Error::value("target", &format!("classes below {classes}, or {IGNORE_INDEX}"), target));
        }
    }
    d_logits.reshape(steps, batch, classes)?;
    let scale = 1.0 / counted as f32;
    let mut sum = 0.0;
    let d_rows = d_logits.data_mut().chunks_exact_mut(classes);
    for ((row, d), &target) in logits.each_row().zip(d_rows).zip(targets) {
        let Ok(target) = usize::try_from(target) else {
            d.fill(0.0);
            continue;
        };
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        d.iter_mut().zip(row).for_each(|(d, x)| *d = x - largest);
        kernels.exp(d);
        let total: f64 = d.iter().map(|&e| f64::from(e)).sum();
        sum += total.ln() + f64::from(largest) - f64::from(row[target]);
        let share = (1.0 / total) as f32;
        d.iter_mut().for_each(|d| *d = *d * share * scale);
        d[target] -= scale;
    }
    Ok((sum / counted as f64) as f32)
}
