//! Which steps of a sequence go on.

use crate::error::Result;
use crate::memory;
use crate::tensor::SeqRef;

/// Which steps of a sequence go on.
///
/// ```
/// use elman::tensor::Seq;
/// use elman::{Gru, Readout, Rng};
///
/// // One answer for each sequence, not for each step.
/// let model = Gru::builder(3, 8).readout(Readout::Mean).linear("fc", 2).model(&mut Rng::new(1))?;
/// let output = model.run(&Seq::zeros(5, 4, 3)?)?;
/// assert_eq!(output.values().shape(), [1, 4, 2]);
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Readout {
    /// Every step, as they come.
    EveryStep,
    /// Each row's last step: one step is left.
    Last,
    /// The mean over each row's steps: one step is left.
    Mean,
    /// The largest of each feature over each row's steps: one step is left.
    Max,
}

impl Readout {
    /// One step of `x` for each row: row i of `x` goes to row `row(i)` of `y`, which has as many rows of the same width.
    /// Rows without steps give zeros. `at` receives, for [`Readout::Max`], the step that each element came from.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory).
    pub(crate) fn forward(
        self,
        x: SeqRef<'_>,
        row: impl Fn(usize) -> usize,
        y: &mut [f32],
        at: &mut Vec<u32>,
    ) -> Result<()> {
        let [steps, _, width] = x.shape();
        if self == Self::Max {
            memory::reserve("steps of the largest", at, y.len())?;
            at.clear();
            at.resize(y.len(), 0);
        }
        y.fill(0.0);
        for t in 0..steps {
            let step = x.step(t);
            for i in 0..step.shape()[0] {
                let (from, first) = (step.row(i), row(i) * width);
                let to = &mut y[first..][..width];
                match self {
                    Self::EveryStep => unreachable!("every step goes on by itself"),
                    // Steps come in order: the last one stays.
                    Self::Last => to.copy_from_slice(from),
                    Self::Mean => to.iter_mut().zip(from).for_each(|(to, from)| *to += from),
                    Self::Max if t == 0 => to.copy_from_slice(from),
                    Self::Max => larger(to, from, &mut at[first..][..width], t as u32),
                }
            }
        }
        if self == Self::Mean {
            let rows = y.len() / width.max(1);
            for i in 0..rows {
                let n = length(x, i);
                y[row(i) * width..][..width].iter_mut().for_each(|y| *y /= n.max(1) as f32);
            }
        }
        Ok(())
    }

    /// The gradient of each step, from `d_y` of the one that was left: `d_x` has the rows of `x`, one after the other.
    pub(crate) fn backward(
        self,
        x: SeqRef<'_>,
        row: impl Fn(usize) -> usize,
        d_y: SeqRef<'_>,
        at: &[u32],
        d_x: &mut [f32],
    ) {
        let [steps, _, width] = x.shape();
        let d_y = d_y.step(0);
        let mut rows = d_x.chunks_exact_mut(width.max(1));
        for t in 0..steps {
            let alive = x.step(t).shape()[0];
            let after = if t + 1 < steps { x.step(t + 1).shape()[0] } else { 0 };
            for i in 0..alive {
                let (d_x, d_y) = (rows.next().expect("a row for each"), d_y.row(row(i)));
                match self {
                    Self::EveryStep => unreachable!("every step goes on by itself"),
                    Self::Last if i >= after => d_x.copy_from_slice(d_y),
                    Self::Last => d_x.fill(0.0),
                    Self::Mean => {
                        let n = length(x, i) as f32;
                        d_x.iter_mut().zip(d_y).for_each(|(d_x, d_y)| *d_x = d_y / n);
                    }
                    Self::Max => {
                        let at = &at[row(i) * width..][..width];
                        for ((d_x, &d_y), &at) in d_x.iter_mut().zip(d_y).zip(at) {
                            *d_x = if at as usize == t { d_y } else { 0.0 };
                        }
                    }
                }
            }
        }
    }
}

/// What is larger comes in, and the step that it came from. The first of equals stays; a NaN is larger than anything, as
/// PyTorch has it. Written without a branch, so that it is done by vectors.
fn larger(to: &mut [f32], from: &[f32], at: &mut [u32], t: u32) {
    for ((to, &from), at) in to.iter_mut().zip(from).zip(at) {
        let comes = u32::from((from > *to) | (from.is_nan() & !to.is_nan())).wrapping_neg();
        *to = f32::from_bits((from.to_bits() & comes) | (to.to_bits() & !comes));
        *at = (t & comes) | (*at & !comes);
    }
}

/// Steps of row i. The rows that are alive at a step are the first ones.
fn length(x: SeqRef<'_>, i: usize) -> usize {
    let steps = x.shape()[0];
    let lines = x.lines();
    // Steps at which the row is alive are the first ones too.
    let (mut low, mut high) = (0, steps);
    while low < high {
        let middle = usize::midpoint(low, high);
        if lines.at(middle).len() > i { low = middle + 1 } else { high = middle }
    }
    low
}
