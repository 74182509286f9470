//! Losses and their gradients. Sums are taken in f64, in an order of their own: the same bits on every tier.
//!
//! A [`Loss`] is made for one batch: it knows the target, and which steps count. [`MeanSquaredError`] and
//! [`CrossEntropy`] are losses, and so is any closure that reads a prediction and writes a gradient.
//!
//! ```
//! use elman::loss::{CrossEntropy, Loss, Steps};
//! use elman::tensor::{Seq, SeqRef};
//!
//! // Two rows, three steps, two classes: T, B, C = 3, 2, 2. Only the last step's class is known.
//! let logits = Seq::zeros(3, 2, 2)?;
//! let mut d_logits = Seq::zeros(3, 2, 2)?;
//! let mut loss = CrossEntropy::new(&[1, 0]).at(Steps::Last);
//! let value = loss.evaluate((&logits).into(), d_logits.view_mut())?;
//! assert!((value - 2.0_f32.ln()).abs() < 1e-6);
//! assert_eq!(d_logits.step(1).flat(), Some(&[0.0; 4][..]));
//! assert_eq!(d_logits.step(2).flat(), Some(&[0.25, -0.25, -0.25, 0.25][..]));
//!
//! // A loss of one's own: the mean of all outputs.
//! let mut mean = |prediction: SeqRef<'_>, mut d_prediction: elman::tensor::SeqMut<'_>| {
//!     let [steps, batch, width] = prediction.shape();
//!     let n = (steps * batch * width) as f32;
//!     let mut sum = 0.0;
//!     for t in 0..steps {
//!         for b in 0..batch {
//!             sum += prediction.step(t).row(b).iter().sum::<f32>();
//!             d_prediction.step(t).row(b).fill(1.0 / n);
//!         }
//!     }
//!     Ok(sum / n)
//! };
//! assert_eq!(mean.evaluate((&logits).into(), d_logits.view_mut())?, 0.0);
//! # Ok::<(), elman::Error>(())
//! ```

mod cross_entropy;
mod prediction;
mod squared_error;
mod steps;
mod target;

pub use cross_entropy::{CrossEntropy, IGNORE_INDEX, cross_entropy};
pub use prediction::Prediction;
pub use squared_error::{MeanSquaredError, mse};
pub use steps::Steps;
pub use target::Target;

use crate::error::Result;
use crate::tensor::{SeqMut, SeqRef};

/// What training makes small: a number that says how far a prediction is from what it should be, and how that number
/// changes with each element of the prediction.
///
/// Implemented by every closure `FnMut(SeqRef, SeqMut) -> Result<f32>`: it reads the prediction, writes the gradient into
/// every row of the second and gives the loss. Of a packed batch both have the rows of step t that are longer than t, the
/// longest row first.
///
/// ```
/// use elman::loss::{Loss, MeanSquaredError, Prediction};
/// use elman::tensor::{Seq, SeqMut};
///
/// /// The mean squared error, times a factor.
/// struct Scaled<'a>(MeanSquaredError<'a>, f32);
///
/// impl Loss for Scaled<'_> {
///     fn evaluate(&mut self, prediction: Prediction<'_>, mut d_prediction: SeqMut<'_>) -> elman::Result<f32> {
///         let loss = self.0.evaluate(prediction, d_prediction.reborrow())?;
///         let [steps, rows, _] = d_prediction.shape();
///         for t in 0..steps {
///             (0..rows).for_each(|row| d_prediction.step(t).row(row).iter_mut().for_each(|d| *d *= self.1));
///         }
///         Ok(self.1 * loss)
///     }
/// }
///
/// let (prediction, target) = (Seq::from_slice(&[3.0], 1, 1, 1)?, Seq::zeros(1, 1, 1)?);
/// let mut d_prediction = Seq::zeros(1, 1, 1)?;
/// let mut loss = Scaled(MeanSquaredError::new(&target), 0.5);
/// assert_eq!(loss.evaluate((&prediction).into(), d_prediction.view_mut())?, 4.5);
/// assert_eq!(d_prediction.data(), [3.0]);
/// # Ok::<(), elman::Error>(())
/// ```
pub trait Loss {
    /// The loss of a prediction; writes its gradient into `d_prediction`, whose rows are those of the prediction, zeros
    /// where a row does not count.
    ///
    /// The mean over nothing is NaN, as in PyTorch, and its gradient zero: so are the loss and the gradient of a batch
    /// whose labels are all ignored, and of one of which no step counts.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) or [`Error::Length`](crate::Error::Length) naming what does not fit the
    /// prediction, [`Error::Value`](crate::Error::Value) for a label that is no class.
    fn evaluate(&mut self, prediction: Prediction<'_>, d_prediction: SeqMut<'_>) -> Result<f32>;
}

impl<F> Loss for F
where
    F: FnMut(SeqRef<'_>, SeqMut<'_>) -> Result<f32>,
{
    fn evaluate(&mut self, prediction: Prediction<'_>, d_prediction: SeqMut<'_>) -> Result<f32> {
        self(prediction.values(), d_prediction)
    }
}
