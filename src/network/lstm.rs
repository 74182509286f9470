//! `torch.nn.LSTM`.

use super::kinds::{MAX_LAYERS, network};
use super::{NetworkConfig, Recurrent};
use crate::error::Result;
use crate::kernel::Kernels;
use crate::layer::Cell;
use crate::params::ParamTable;

network! {
    /// A network of long short-term memory, `torch.nn.LSTM`.
    ///
    /// Each layer computes, for each step of its input, with * element by element,
    ///
    /// - i_t = σ(W_ii·x_t + b_ii + W_hi·h_{t-1} + b_hi)
    /// - f_t = σ(W_if·x_t + b_if + W_hf·h_{t-1} + b_hf)
    /// - g_t = tanh(W_ig·x_t + b_ig + W_hg·h_{t-1} + b_hg)
    /// - o_t = σ(W_io·x_t + b_io + W_ho·h_{t-1} + b_ho)
    /// - c_t = f_t * c_{t-1} + i_t * g_t
    /// - h_t = o_t * tanh(c_t)
    ///
    /// and, with [`proj_size`](LstmBuilder::proj_size) P > 0, h_t = W_hr·(o_t * tanh(c_t)).
    ///
    /// # Shapes
    ///
    /// T steps, B rows, I = `input_size`, H = `hidden_size`, D = 2 where `bidirectional`, else 1; L = `num_layers`;
    /// O = P with a projection, else H.
    ///
    /// | tensor | shape |
    /// |---|---|
    /// | input | (T, B, I); batch-first (B, T, I); unbatched (T, I); packed |
    /// | h_0, h_n | (D·L, B, O), index layer·D + direction; never batch-first |
    /// | c_0, c_n | (D·L, B, H) |
    /// | output | (T, B, D·O), in the form of the input |
    ///
    /// Missing states are zeros. Directions lie side by side in the output, forward first, the reverse one in the order
    /// of time; its h_n is the state after it has processed step 0. Layer k > 0 reads the D·O features of the layer below.
    ///
    /// # Parameters
    ///
    /// For each layer k, forward and then (`_reverse`) backward, in this order:
    ///
    /// | name | shape |
    /// |---|---|
    /// | `weight_ih_l{k}` | \[4·H, I\], \[4·H, D·O\] for k > 0: W_ii, W_if, W_ig, W_io |
    /// | `weight_hh_l{k}` | \[4·H, O\]: W_hi, W_hf, W_hg, W_ho |
    /// | `bias_ih_l{k}`, `bias_hh_l{k}` | \[4·H\]: i, f, g, o |
    /// | `weight_hr_l{k}` | \[P, H\], with a projection only |
    ///
    /// All drawn from U(-1/√H, 1/√H) when a model is made of it, unless
    /// [`forget_bias`](LstmBuilder::forget_bias) sets the forget gate's bias. Without `bias` there are no biases.
    ///
    /// # Example
    ///
    /// Two layers with dropout between them, forward and backward:
    ///
    /// ```
    /// use elman::tensor::Seq;
    /// use elman::train::TrainingState;
    /// use elman::{Lstm, Rng, Upstream};
    ///
    /// let model = Lstm::builder(3, 8).num_layers(2).dropout(0.1).name("lstm").model(&mut Rng::new(1))?;
    /// let x = Seq::zeros(5, 2, 3)?;
    /// let run = model.forward(&x, &mut TrainingState::new(1))?;
    /// assert_eq!(run.state().c_shape(), [2, 2, 8]);
    ///
    /// let d_output = Seq::zeros(5, 2, 8)?; // what a loss gives
    /// let gradients = run.backward(Upstream::output(&d_output).want_input())?;
    /// assert_eq!(gradients.input().expect("it was asked for").shape(), [5, 2, 3]);
    /// assert_eq!(gradients.parameters().named("lstm.weight_hh_l1")?.0, [32, 8]);
    /// # Ok::<(), elman::Error>(())
    /// ```
    Lstm, LstmBuilder, Cell::Lstm,
    {
        /// Outputs of a projection behind each layer, less than `hidden_size`; 0, none, unless set.
        proj_size(proj_size: usize) |config, proj_size| config.proj_size = proj_size;
        /// What the forget gate starts from: the model then begins with its part of `bias_ih` at the value and
        /// its part of `bias_hh` at zero. Values of 1 or more help to learn long dependences (Jozefowicz et al. 2015).
        forget_bias(value: f32) |config, value| config.forget_bias = Some(value);
    }
}
