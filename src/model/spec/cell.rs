//! What a recurrent layer computes at each step.

use super::Activation;

/// What a recurrent layer computes at each step.
///
/// ```
/// use elman::cell::{GruCellSpec, LstmCellSpec};
/// use elman::{Activation, CellSpec, ModelSpec, RecurrentSpec, Reset};
///
/// // Keras's GRU with `reset_after=False`.
/// let cell = GruCellSpec::new().reset(Reset::Before).gates(Activation::hard_sigmoid(0.2, 0.5));
/// let spec = ModelSpec::new(3).layer("gru", RecurrentSpec::new(cell, [16]));
/// assert!(spec.to_string().contains("gru gru hidden=16 reset=before gates=hard-sigmoid(0.2,0.5)"));
///
/// // As PyTorch has them.
/// assert_eq!(CellSpec::lstm(), LstmCellSpec::new().into());
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum CellSpec {
    /// Elman's (1990), `torch.nn.RNN`.
    Rnn(RnnCellSpec),
    /// The gated recurrent unit (Cho et al. 2014), `torch.nn.GRU`. Gates r, z, n.
    Gru(GruCellSpec),
    /// Long short-term memory (Hochreiter and Schmidhuber 1997), `torch.nn.LSTM`. Gates i, f, g, o.
    Lstm(LstmCellSpec),
}

/// Elman's cell.
///
/// ```
/// use elman::Activation;
/// use elman::cell::RnnCellSpec;
///
/// let cell = RnnCellSpec::new().activation(Activation::Relu).clip(6.0);
/// assert_eq!((cell.activation, cell.clip), (Activation::Relu, Some(6.0)));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct RnnCellSpec {
    /// Of the sum; tanh unless set.
    pub activation: Activation,
    /// Bounds the activation's input to \[-clip, clip\].
    pub clip: Option<f32>,
}

/// A gated recurrent unit.
///
/// ```
/// use elman::Reset;
/// use elman::cell::GruCellSpec;
///
/// let cell = GruCellSpec::new().reset(Reset::Before);
/// assert_eq!(cell.reset, Reset::Before);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct GruCellSpec {
    /// Where the reset gate acts; on the product, as in PyTorch, unless set.
    pub reset: Reset,
    /// Of r and z; the sigmoid unless set.
    pub gates: Activation,
    /// Of n; tanh unless set.
    pub candidate: Activation,
    /// Bounds the activations' inputs to \[-clip, clip\].
    pub clip: Option<f32>,
}

/// A unit of long short-term memory.
///
/// ```
/// use elman::cell::LstmCellSpec;
///
/// let cell = LstmCellSpec::new().peepholes(true).clip(3.0);
/// assert!(cell.peepholes && !cell.input_forget);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct LstmCellSpec {
    /// Whether i, f and o see the cell state, each by a weight of its own a unit (Gers and Schmidhuber 2000).
    pub peepholes: bool,
    /// Of i, f and o; the sigmoid unless set.
    pub gates: Activation,
    /// Of g; tanh unless set.
    pub candidate: Activation,
    /// Of the cell state on its way out; tanh unless set.
    pub output: Activation,
    /// Bounds the activations' inputs to \[-clip, clip\].
    pub clip: Option<f32>,
    /// Whether f = 1 - i (ONNX's `input_forget`).
    pub input_forget: bool,
}

/// Where a GRU's reset gate acts.
///
/// ```
/// use elman::cell::GruCellSpec;
/// use elman::{Model, ModelSpec, RecurrentSpec, Reset};
///
/// let gru = |reset| ModelSpec::new(3).layer("", RecurrentSpec::new(GruCellSpec::new().reset(reset), [16]));
/// assert!(Model::new(gru(Reset::After)).is_ok()); // PyTorch's
/// assert!(gru(Reset::Before).to_string().contains("reset=before")); // ONNX's default
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Reset {
    /// On the state, before the product: n = act(W_n·x + b + U_n·(r * h)). ONNX's default.
    Before,
    /// On the product: n = act(W_n·x + b + r * (U_n·h + b_n)). PyTorch's.
    After,
}

impl CellSpec {
    /// Elman's cell with that activation.
    #[must_use]
    pub fn rnn(activation: Activation) -> Self {
        RnnCellSpec::new().activation(activation).into()
    }

    /// PyTorch's GRU.
    #[must_use]
    pub fn gru() -> Self {
        GruCellSpec::new().into()
    }

    /// PyTorch's LSTM.
    #[must_use]
    pub fn lstm() -> Self {
        LstmCellSpec::new().into()
    }
}

impl RnnCellSpec {
    /// PyTorch's: tanh.
    #[must_use]
    pub fn new() -> Self {
        Self { activation: Activation::Tanh, clip: None }
    }

    /// The same with another activation.
    #[must_use]
    pub fn activation(self, activation: Activation) -> Self {
        Self { activation, ..self }
    }

    /// The same with the activation's input bounded to \[-clip, clip\].
    #[must_use]
    pub fn clip(self, clip: f32) -> Self {
        Self { clip: Some(clip), ..self }
    }
}

impl GruCellSpec {
    /// PyTorch's: the reset gate on the product, sigmoids and tanh.
    #[must_use]
    pub fn new() -> Self {
        Self { reset: Reset::After, gates: Activation::Sigmoid, candidate: Activation::Tanh, clip: None }
    }

    /// The same with the reset gate elsewhere.
    #[must_use]
    pub fn reset(self, reset: Reset) -> Self {
        Self { reset, ..self }
    }

    /// The same with another activation of r and z.
    #[must_use]
    pub fn gates(self, gates: Activation) -> Self {
        Self { gates, ..self }
    }

    /// The same with another activation of n.
    #[must_use]
    pub fn candidate(self, candidate: Activation) -> Self {
        Self { candidate, ..self }
    }

    /// The same with the activations' inputs bounded to \[-clip, clip\].
    #[must_use]
    pub fn clip(self, clip: f32) -> Self {
        Self { clip: Some(clip), ..self }
    }
}

impl LstmCellSpec {
    /// PyTorch's: no peepholes, sigmoids and tanh, a forget gate of its own.
    #[must_use]
    pub fn new() -> Self {
        Self {
            peepholes: false,
            gates: Activation::Sigmoid,
            candidate: Activation::Tanh,
            output: Activation::Tanh,
            clip: None,
            input_forget: false,
        }
    }

    /// The same with gates that see the cell state.
    #[must_use]
    pub fn peepholes(self, peepholes: bool) -> Self {
        Self { peepholes, ..self }
    }

    /// The same with another activation of i, f and o.
    #[must_use]
    pub fn gates(self, gates: Activation) -> Self {
        Self { gates, ..self }
    }

    /// The same with another activation of g.
    #[must_use]
    pub fn candidate(self, candidate: Activation) -> Self {
        Self { candidate, ..self }
    }

    /// The same with another activation of the cell state on its way out.
    #[must_use]
    pub fn output(self, output: Activation) -> Self {
        Self { output, ..self }
    }

    /// The same with the activations' inputs bounded to \[-clip, clip\].
    #[must_use]
    pub fn clip(self, clip: f32) -> Self {
        Self { clip: Some(clip), ..self }
    }

    /// The same with f = 1 - i.
    #[must_use]
    pub fn input_forget(self, input_forget: bool) -> Self {
        Self { input_forget, ..self }
    }
}

/// By default a cell is as PyTorch has it; and it is a [`CellSpec`] by `into`.
macro_rules! cells {
    ($($cell:ident $variant:ident),*) => {$(
        impl Default for $cell {
            fn default() -> Self {
                Self::new()
            }
        }

        impl From<$cell> for CellSpec {
            fn from(cell: $cell) -> Self {
                Self::$variant(cell)
            }
        }
    )*};
}

cells!(RnnCellSpec Rnn, GruCellSpec Gru, LstmCellSpec Lstm);
