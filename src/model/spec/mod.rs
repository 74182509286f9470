//! What a model is: its layers and their sizes, as plain data. Every file format yields one, and a `Model`
//! is made of one.

mod activation;
mod cell;

pub use self::activation::Activation;
pub use self::cell::{CellSpec, GruCellSpec, LstmCellSpec, Reset, RnnCellSpec};
pub use crate::layer::Readout;

/// A model's layers, from input to output.
///
/// A spec can say more than the engine can run yet: what it cannot is refused by name, with
/// `ErrorKind::Unsupported`, when a `Model` is made of it.
///
/// ```
/// use elman::{LayerKind, Model, ModelSpec, Readout, RecurrentSpec, Rng};
///
/// // Indices of 100 words in, 2 numbers for each sequence out.
/// let spec = ModelSpec::new(1)
///     .layer("embedding", LayerKind::embedding(100, 16))
///     .layer("lstm", RecurrentSpec::lstm(vec![32]))
///     .layer("", Readout::Last)
///     .layer("fc", LayerKind::linear(2));
/// let model = Model::init(spec, &mut Rng::new(1))?;
/// assert_eq!(model.outputs(), 2);
/// assert_eq!(model.params().named("lstm.weight_ih_l0")?.0, [4 * 32, 16]);
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ModelSpec {
    /// The version of this description; [`ModelSpec::VERSION`] for what is written today. A later one is refused.
    pub version: u32,
    /// Features of an input's step. 1 for a model that begins with an embedding: its input is one index a step.
    pub inputs: usize,
    /// Whether a padded batch is (B, T, ·) and not (T, B, ·), at the input and at the output.
    pub batch_first: bool,
    /// What the input goes through, one after the other.
    pub layers: Vec<LayerSpec>,
    /// Models of their own in the same file, by name, such as `encoder` and `decoder`. Their parameters have the name and a
    /// dot before theirs.
    pub parts: Vec<(String, ModelSpec)>,
}

/// One layer of a [`ModelSpec`].
///
/// ```
/// use elman::{LayerKind, LayerSpec, ModelSpec};
///
/// // Its parameters are `head.fc.weight` and `head.fc.bias`.
/// let layer = LayerSpec::new("head.fc", LayerKind::linear(5));
/// assert_eq!(layer.kind, LayerKind::linear(5));
/// let mut spec = ModelSpec::new(3);
/// spec.layers.push(layer);
/// assert_eq!(spec, ModelSpec::new(3).layer("head.fc", LayerKind::linear(5)));
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct LayerSpec {
    /// What comes before its parameters' names, without the dot; empty for a layer whose parameters lie at the file's
    /// root, and for one without parameters.
    pub name: String,
    /// What it computes.
    pub kind: LayerKind,
}

/// What a layer of a [`ModelSpec`] computes. Recurrent layers, activations and read-outs become one by `into`, which the
/// methods that take a layer do by themselves; the others have constructors.
///
/// ```
/// use elman::{Activation, LayerKind, LayerSpec, Model, ModelSpec, Readout, RecurrentSpec};
///
/// // A GRU beside which the input's last feature, the signal, goes on: the network learns what is to be added to it.
/// let inside = [
///     LayerSpec::new("rnn", RecurrentSpec::gru([16])),
///     LayerSpec::new("fc", LayerKind::linear_without_bias(1)),
/// ];
/// let spec = ModelSpec::new(2)
///     .layer("", LayerKind::scale([0.5, 1.0], [0.0])) // a factor for each feature, one offset for all
///     .layer("", LayerKind::residual(1, inside))
///     .layer("", Readout::Last)
///     .layer("", Activation::Tanh);
/// assert!(matches!(&spec.layers[1].kind, LayerKind::Residual { from: 1, layers, .. } if layers.len() == 2));
/// assert_eq!(Model::new(spec)?.outputs(), 1);
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum LayerKind {
    /// A table of vectors, `torch.nn.Embedding`: the first layer, if any. Parameter `weight` \[vocabulary, width\].
    #[non_exhaustive]
    Embedding {
        /// How many indices there are.
        vocabulary: usize,
        /// Features of a vector.
        width: usize,
    },
    /// Recurrent layers of one kind, one above the other.
    Recurrent(RecurrentSpec),
    /// y = x·Wᵀ + b at each step, `torch.nn.Linear`. Parameters `weight` \[outputs, features\] and `bias` \[outputs\].
    #[non_exhaustive]
    Linear {
        /// Features of the output.
        outputs: usize,
        /// Whether there is a bias.
        bias: bool,
    },
    /// A function of each element, or of each step's features. No parameters.
    Activation(Activation),
    /// Which steps go on. No parameters.
    Readout(Readout),
    /// y = gain * x + offset, feature by feature. One value for all features, or one for each.
    #[non_exhaustive]
    Scale {
        /// The factors.
        gain: Vec<f32>,
        /// What is added to the product.
        offset: Vec<f32>,
    },
    /// y = layers(x) + x\[from..from + width of y\]: the features of its own input from `from` on are added to what the
    /// layers give.
    #[non_exhaustive]
    Residual {
        /// The first feature that is added.
        from: usize,
        /// The layers in between.
        layers: Vec<LayerSpec>,
    },
}

/// Recurrent layers: a cell, sizes, directions.
///
/// ```
/// use elman::{Model, ModelSpec, RecurrentSpec};
///
/// // Two layers, both directions: 2·16 features a step.
/// let gru = RecurrentSpec::gru([32, 16]).bidirectional(true).dropout(0.1);
/// let model = Model::new(ModelSpec::new(3).layer("", gru))?;
/// assert_eq!(model.outputs(), 32);
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct RecurrentSpec {
    /// What every layer computes at each step.
    pub cell: CellSpec,
    /// Hidden units of each layer, the first one first.
    pub hidden_sizes: Vec<usize>,
    /// Whether every layer goes through time both ways.
    pub bidirectional: bool,
    /// Whether there are `bias_ih` and `bias_hh`.
    pub bias: bool,
    /// Outputs of an LSTM's projection; 0 for none.
    pub proj_size: usize,
    /// The probability with which each element of every layer's output but the last is zeroed, in training only.
    pub dropout: f32,
    /// Whether the first state is the model's own, parameters `h_0` and `c_0` (D·layers, H), and not zeros.
    pub initial_state: bool,
    /// How many steps before this one the state comes from; 1 for every network of PyTorch's.
    pub state_delay: usize,
}

impl ModelSpec {
    /// The version of this description.
    pub const VERSION: u32 = 1;

    /// A model over `inputs` features a step, without layers yet.
    ///
    /// ```
    /// use elman::{Activation, LayerKind, ModelSpec, Readout, RecurrentSpec};
    ///
    /// let spec = ModelSpec::new(3)
    ///     .layer("lstm", RecurrentSpec::lstm(vec![64, 64]))
    ///     .layer("", Readout::Last)
    ///     .layer("fc", LayerKind::linear(5))
    ///     .layer("", Activation::Softmax);
    /// assert_eq!(spec.layers.len(), 4);
    /// ```
    #[must_use]
    pub fn new(inputs: usize) -> Self {
        Self { version: Self::VERSION, inputs, batch_first: false, layers: Vec::new(), parts: Vec::new() }
    }

    /// The same with one more layer, its parameters behind `name` and a dot; behind nothing where it is empty.
    #[must_use]
    pub fn layer(mut self, name: impl Into<String>, kind: impl Into<LayerKind>) -> Self {
        self.layers.push(LayerSpec::new(name, kind));
        self
    }

    /// The same with a model of its own in it.
    #[must_use]
    pub fn part(mut self, name: impl Into<String>, part: ModelSpec) -> Self {
        self.parts.push((name.into(), part));
        self
    }

    /// The same with padded batches that are (B, T, ·) and not (T, B, ·).
    #[must_use]
    pub fn batch_first(self, batch_first: bool) -> Self {
        Self { batch_first, ..self }
    }
}

impl LayerSpec {
    /// A layer whose parameters lie behind `name` and a dot; behind nothing where it is empty.
    #[must_use]
    pub fn new(name: impl Into<String>, kind: impl Into<LayerKind>) -> Self {
        Self { name: name.into(), kind: kind.into() }
    }
}

impl LayerKind {
    /// A table of `vocabulary` vectors of `width` features.
    #[must_use]
    pub fn embedding(vocabulary: usize, width: usize) -> Self {
        Self::Embedding { vocabulary, width }
    }

    /// A linear layer with a bias.
    #[must_use]
    pub fn linear(outputs: usize) -> Self {
        Self::Linear { outputs, bias: true }
    }

    /// A linear layer without a bias.
    #[must_use]
    pub fn linear_without_bias(outputs: usize) -> Self {
        Self::Linear { outputs, bias: false }
    }

    /// gain * x + offset: one value for all features, or one for each.
    #[must_use]
    pub fn scale(gain: impl Into<Vec<f32>>, offset: impl Into<Vec<f32>>) -> Self {
        Self::Scale { gain: gain.into(), offset: offset.into() }
    }

    /// Layers whose input, from feature `from` on, is added to their output.
    #[must_use]
    pub fn residual(from: usize, layers: impl Into<Vec<LayerSpec>>) -> Self {
        Self::Residual { from, layers: layers.into() }
    }
}

impl From<RecurrentSpec> for LayerKind {
    fn from(spec: RecurrentSpec) -> Self {
        Self::Recurrent(spec)
    }
}

impl From<Activation> for LayerKind {
    fn from(activation: Activation) -> Self {
        Self::Activation(activation)
    }
}

impl From<Readout> for LayerKind {
    fn from(readout: Readout) -> Self {
        Self::Readout(readout)
    }
}

impl RecurrentSpec {
    /// Layers of that cell, with PyTorch's defaults: one direction, biases, no projection, no dropout.
    #[must_use]
    pub fn new(cell: impl Into<CellSpec>, hidden_sizes: impl Into<Vec<usize>>) -> Self {
        Self {
            cell: cell.into(),
            hidden_sizes: hidden_sizes.into(),
            bidirectional: false,
            bias: true,
            proj_size: 0,
            dropout: 0.0,
            initial_state: false,
            state_delay: 1,
        }
    }

    /// Layers of [`CellSpec::rnn`] with tanh.
    #[must_use]
    pub fn rnn(hidden_sizes: impl Into<Vec<usize>>) -> Self {
        Self::new(CellSpec::rnn(Activation::Tanh), hidden_sizes)
    }

    /// Layers of [`CellSpec::gru`].
    #[must_use]
    pub fn gru(hidden_sizes: impl Into<Vec<usize>>) -> Self {
        Self::new(CellSpec::gru(), hidden_sizes)
    }

    /// Layers of [`CellSpec::lstm`].
    #[must_use]
    pub fn lstm(hidden_sizes: impl Into<Vec<usize>>) -> Self {
        Self::new(CellSpec::lstm(), hidden_sizes)
    }

    /// The same with every layer going through time both ways.
    #[must_use]
    pub fn bidirectional(self, bidirectional: bool) -> Self {
        Self { bidirectional, ..self }
    }

    /// The same with or without `bias_ih` and `bias_hh`.
    #[must_use]
    pub fn bias(self, bias: bool) -> Self {
        Self { bias, ..self }
    }

    /// The same with an LSTM's projection to so many outputs; 0 for none.
    #[must_use]
    pub fn proj_size(self, proj_size: usize) -> Self {
        Self { proj_size, ..self }
    }

    /// The same with that probability of dropout between the layers.
    #[must_use]
    pub fn dropout(self, dropout: f32) -> Self {
        Self { dropout, ..self }
    }

    /// The same with a first state that is the model's own.
    #[must_use]
    pub fn initial_state(self, initial_state: bool) -> Self {
        Self { initial_state, ..self }
    }

    /// The same with the state of so many steps before.
    #[must_use]
    pub fn state_delay(self, state_delay: usize) -> Self {
        Self { state_delay, ..self }
    }
}
