//! `torch.nn.RNN`.

use super::kinds::{MAX_LAYERS, network};
use super::{NetworkConfig, Recurrent};
use crate::error::Result;
use crate::kernel::Kernels;
use crate::layer::{Cell, Nonlinearity};
use crate::params::ParamTable;

network! {
    /// An Elman network, `torch.nn.RNN`.
    ///
    /// Each layer computes, for each step of its input,
    ///
    /// h_t = act(W_ih·x_t + b_ih + W_hh·h_{t-1} + b_hh),
    ///
    /// act being tanh, or relu where [`nonlinearity`](RnnBuilder::nonlinearity) says so.
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
    /// | `weight_ih_l{k}` | \[H, I\], \[H, D·H\] for k > 0 |
    /// | `weight_hh_l{k}` | \[H, H\] |
    /// | `bias_ih_l{k}`, `bias_hh_l{k}` | \[H\] |
    ///
    /// All drawn from U(-1/√H, 1/√H) when a model is made of it. Without `bias` there are no biases.
    ///
    /// # Example
    ///
    /// ```
    /// use elman::tensor::Seq;
    /// use elman::{Rng, Rnn};
    ///
    /// let model = Rnn::builder(3, 8).num_layers(2).model(&mut Rng::new(1))?;
    /// let x = Seq::zeros(5, 2, 3)?; // five steps, two rows, three features
    /// let output = model.run(&x)?;
    /// assert_eq!(output.values().shape(), [5, 2, 8]);
    /// assert_eq!(output.state().h_shape(), [2, 2, 8]); // two layers
    /// # Ok::<(), elman::Error>(())
    /// ```
    Rnn, RnnBuilder, Cell::Elman(Nonlinearity::Tanh),
    {
        /// The activation; tanh unless set.
        nonlinearity(nonlinearity: Nonlinearity) |config, nonlinearity| config.cell = Cell::Elman(nonlinearity);
    }
}
