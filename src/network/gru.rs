//! `torch.nn.GRU`.

use super::kinds::{MAX_LAYERS, network};
use super::{NetworkConfig, Recurrent};
use crate::error::Result;
use crate::kernel::Kernels;
use crate::layer::Cell;
use crate::params::ParamTable;

network! {
    /// A network of gated recurrent units, `torch.nn.GRU`.
    ///
    /// Each layer computes, for each step of its input, with * element by element,
    ///
    /// - r_t = σ(W_ir·x_t + b_ir + W_hr·h_{t-1} + b_hr)
    /// - z_t = σ(W_iz·x_t + b_iz + W_hz·h_{t-1} + b_hz)
    /// - n_t = tanh(W_in·x_t + b_in + r_t * (W_hn·h_{t-1} + b_hn))
    /// - h_t = (1 - z_t) * n_t + z_t * h_{t-1}
    ///
    /// The reset gate acts after the product, as in cuDNN: the original paper's acts before.
    ///
    /// # Shapes
    ///
    /// T steps, B rows, I = `input_size`, H = `hidden_size`, D = 2 where `bidirectional`, else 1; L = `num_layers`.
    ///
    /// | tensor | shape |
    /// |---|---|
    /// | input | (T, B, I); batch-first (B, T, I); unbatched (T, I); packed |
    /// | h_0, h_n | (D·L, B, H), index layer·D + direction; never batch-first |
    /// | output | (T, B, D·H), in the form of the input |
    ///
    /// Missing states are zeros. Directions lie side by side in the output, forward first, the reverse one in the order
    /// of time; its h_n is the state after it has processed step 0. Layer k > 0 reads the D·H features of the layer below.
    ///
    /// # Parameters
    ///
    /// For each layer k, forward and then (`_reverse`) backward, in this order:
    ///
    /// | name | shape |
    /// |---|---|
    /// | `weight_ih_l{k}` | \[3·H, I\], \[3·H, D·H\] for k > 0: W_ir, W_iz, W_in |
    /// | `weight_hh_l{k}` | \[3·H, H\]: W_hr, W_hz, W_hn |
    /// | `bias_ih_l{k}`, `bias_hh_l{k}` | \[3·H\]: r, z, n |
    ///
    /// All drawn from U(-1/√H, 1/√H) when a model is made of it. Without `bias` there are no biases.
    ///
    /// # Example
    ///
    /// A ragged batch, both ways through time:
    ///
    /// ```
    /// use elman::tensor::{PackedSequence, Seq};
    /// use elman::{Gru, Rng};
    ///
    /// let model = Gru::builder(3, 8).bidirectional(true).model(&mut Rng::new(1))?;
    /// let padded = Seq::zeros(7, 3, 3)?;
    /// let packed = PackedSequence::from_padded(padded.view(), &[4, 7, 2])?;
    /// let output = model.run(&packed)?;
    /// let y = output.packed().expect("as the input is").to_padded(7)?;
    /// assert_eq!(y.shape(), [7, 3, 16]);
    /// assert!(y.view().step(6).row(0).iter().all(|&y| y == 0.0)); // row 0 has four steps
    /// # Ok::<(), elman::Error>(())
    /// ```
    Gru, GruBuilder, Cell::Gru,
    {}
}
