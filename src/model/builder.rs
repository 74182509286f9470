//! Builders with PyTorch's names, from a recurrent network to a whole model.

use super::{Activation, CellSpec, LayerKind, Model, ModelSpec, Readout, RecurrentSpec};
use crate::error::Result;
use crate::kernel::Isa;
use crate::layer::Cell;
use crate::network::{GruBuilder, LstmBuilder, NetworkConfig, RnnBuilder};
use crate::rng::Rng;

/// A model in the making: a recurrent network, and what its output goes through. [`Rnn`](crate::Rnn),
/// [`Gru`](crate::Gru) and [`Lstm`](crate::Lstm) begin one.
///
/// ```
/// use elman::{Activation, Lstm, Readout, Rng};
///
/// // Which of 5 classes does a sequence belong to?
/// let model = Lstm::builder(3, 64)
///     .bidirectional(true)
///     .readout(Readout::Last)
///     .linear("hidden", 32)
///     .activation(Activation::Relu)
///     .linear("classes", 5)
///     .model(&mut Rng::new(1))?;
/// assert_eq!(model.outputs(), 5);
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ModelBuilder {
    spec: ModelSpec,
    forget_bias: Option<f32>,
    isa: Option<Isa>,
    /// Of the recurrent network, where one was given.
    name: Option<String>,
    kind: &'static str,
}

impl ModelBuilder {
    /// What comes before the recurrent network's names, without the dot. Unless set, `rnn`, `gru` or `lstm` where the model
    /// has other layers with parameters, else nothing: then the file is `torch.nn.LSTM`'s own.
    #[must_use]
    pub fn name(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// A linear layer with a bias on top, `{name}.weight` and `{name}.bias`.
    #[must_use]
    pub fn linear(self, name: impl Into<String>, outputs: usize) -> Self {
        self.layer(name, LayerKind::linear(outputs))
    }

    /// An activation on top.
    #[must_use]
    pub fn activation(self, activation: Activation) -> Self {
        self.layer("", activation)
    }

    /// A read-out over steps on top.
    #[must_use]
    pub fn readout(self, readout: Readout) -> Self {
        self.layer("", readout)
    }

    /// Any layer on top, its parameters behind `name` and a dot.
    #[must_use]
    pub fn layer(self, name: impl Into<String>, kind: impl Into<LayerKind>) -> Self {
        Self { spec: self.spec.layer(name, kind), ..self }
    }

    /// The tier of instructions to run on; the machine's best unless set.
    #[must_use]
    pub fn isa(self, isa: Isa) -> Self {
        Self { isa: Some(isa), ..self }
    }

    /// What the model is.
    #[must_use]
    pub fn spec(self) -> ModelSpec {
        let Self { mut spec, name, kind, .. } = self;
        let heads = spec.layers[1..].iter().any(|layer| !layer.name.is_empty());
        spec.layers[0].name = name.unwrap_or_else(|| if heads { kind.into() } else { String::new() });
        spec
    }

    /// The model, its parameters drawn as PyTorch does.
    ///
    /// # Errors
    /// As [`Model::new`].
    pub fn model(self, rng: &mut Rng) -> Result<Model> {
        let (forget_bias, isa) = (self.forget_bias, self.isa);
        let mut model = Model::on(self.spec(), isa)?;
        model.draw(rng, forget_bias)?;
        Ok(model)
    }
}

/// The settings of a network as a spec, and what only its initialisation needs.
fn begin(config: NetworkConfig) -> ModelBuilder {
    let (cell, kind) = match config.cell {
        Cell::Elman(nonlinearity) => (CellSpec::rnn(nonlinearity.into()), "rnn"),
        Cell::Gru => (CellSpec::gru(), "gru"),
        Cell::Lstm => (CellSpec::lstm(), "lstm"),
    };
    let recurrent = RecurrentSpec {
        bidirectional: config.bidirectional,
        bias: config.bias,
        proj_size: config.proj_size,
        dropout: config.dropout,
        ..RecurrentSpec::new(cell, config.hidden_sizes)
    };
    let spec = ModelSpec::new(config.input_size).batch_first(config.batch_first).layer("", recurrent);
    ModelBuilder {
        spec,
        forget_bias: config.forget_bias,
        isa: config.kernels.map(|kernels| kernels.isa()),
        name: None,
        kind,
    }
}

/// The methods that lead from a network's builder to a model's.
macro_rules! begins {
    ($($builder:ident)*) => {$(
        impl From<$builder> for ModelBuilder {
            fn from(builder: $builder) -> Self {
                begin(builder.into())
            }
        }

        impl $builder {
            /// What comes before the network's names, as [`ModelBuilder::name`].
            #[must_use]
            pub fn name(self, name: impl Into<String>) -> ModelBuilder {
                ModelBuilder::from(self).name(name)
            }

            /// A linear layer on top, as [`ModelBuilder::linear`].
            #[must_use]
            pub fn linear(self, name: impl Into<String>, outputs: usize) -> ModelBuilder {
                ModelBuilder::from(self).linear(name, outputs)
            }

            /// An activation on top, as [`ModelBuilder::activation`].
            #[must_use]
            pub fn activation(self, activation: Activation) -> ModelBuilder {
                ModelBuilder::from(self).activation(activation)
            }

            /// A read-out over steps on top, as [`ModelBuilder::readout`].
            #[must_use]
            pub fn readout(self, readout: Readout) -> ModelBuilder {
                ModelBuilder::from(self).readout(readout)
            }

            /// What the network is, as a model's spec.
            #[must_use]
            pub fn spec(self) -> ModelSpec {
                ModelBuilder::from(self).spec()
            }

            /// The network as a model, its parameters drawn as PyTorch does.
            ///
            /// # Errors
            /// As [`Model::new`].
            pub fn model(self, rng: &mut Rng) -> Result<Model> {
                ModelBuilder::from(self).model(rng)
            }
        }
    )*};
}

begins!(RnnBuilder GruBuilder LstmBuilder);
