//! What the three kinds of network have in common: a name and a builder each.

/// The most layers of a network: far beyond any there is, few enough to be listed.
pub(super) const MAX_LAYERS: usize = 1 << 16;

/// Defines a network type and its builder: their docs, their names, the cell, and the settings that only this kind has.
macro_rules! network {
    (
        $(#[$doc:meta])* $name:ident, $builder:ident, $cell:expr,
        { $($(#[$setting_doc:meta])* $setting:ident($arg:ident: $of:ty) $set:expr;)* }
    ) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}

        #[doc = concat!("The settings of a [`", stringify!($name), "`], with PyTorch's names and defaults.")]
        ///
        /// ```
        #[doc = concat!("use elman::{Rng, ", stringify!($name), "};")]
        ///
        #[doc = concat!("let builder = ", stringify!($name), "::builder(3, 8).num_layers(2).bidirectional(true).dropout(0.1);")]
        /// let model = builder.linear("fc", 1).model(&mut Rng::new(1))?;
        /// assert_eq!(model.outputs(), 1);
        /// # Ok::<(), elman::Error>(())
        /// ```
        #[derive(Clone, Debug)]
        pub struct $builder {
            config: NetworkConfig,
            hidden_size: usize,
            num_layers: usize,
            hidden_sizes: Option<Vec<usize>>,
        }

        impl $name {
            /// A network of `hidden_size` units a layer over `input_size` features, one layer and one direction unless
            /// set otherwise. The builder's `model` makes a [`Model`](crate::Model) of it.
            #[must_use]
            pub fn builder(input_size: usize, hidden_size: usize) -> $builder {
                let config = NetworkConfig::new($cell, input_size, Vec::new());
                $builder { config, hidden_size, num_layers: 1, hidden_sizes: None }
            }
        }

        impl $builder {
            /// Layers one above the other; 1 unless set.
            #[must_use]
            pub fn num_layers(self, num_layers: usize) -> Self {
                Self { num_layers, ..self }
            }

            /// A hidden size for each layer, the first one first, in place of `hidden_size` and `num_layers`. PyTorch has
            /// no such setting; a state dict with layers of different sizes is a module list's there.
            #[must_use]
            pub fn hidden_sizes(self, sizes: impl Into<Vec<usize>>) -> Self {
                Self { hidden_sizes: Some(sizes.into()), ..self }
            }

            /// Whether there are `bias_ih` and `bias_hh`; there are unless set otherwise.
            #[must_use]
            pub fn bias(self, bias: bool) -> Self {
                Self { config: NetworkConfig { bias, ..self.config }, ..self }
            }

            /// Whether inputs and outputs are (B, T, ·); they are (T, B, ·) unless set. States never are.
            #[must_use]
            pub fn batch_first(self, batch_first: bool) -> Self {
                Self { config: NetworkConfig { batch_first, ..self.config }, ..self }
            }

            /// The probability with which each element of every layer's output but the last is zeroed in training, the
            /// others being divided by 1 - p; 0 unless set. With one layer it has no effect.
            #[must_use]
            pub fn dropout(self, dropout: f32) -> Self {
                Self { config: NetworkConfig { dropout, ..self.config }, ..self }
            }

            /// Whether every layer goes through time both ways; forward only unless set.
            #[must_use]
            pub fn bidirectional(self, bidirectional: bool) -> Self {
                Self { config: NetworkConfig { bidirectional, ..self.config }, ..self }
            }

            /// The kernels to run on, [`Kernels::active`] unless set.
            #[doc(hidden)]
            #[must_use]
            pub fn kernels(self, kernels: &'static Kernels) -> Self {
                Self { config: NetworkConfig { kernels: Some(kernels), ..self.config }, ..self }
            }

            $(
                $(#[$setting_doc])*
                #[must_use]
                pub fn $setting(self, $arg: $of) -> Self {
                    let set: fn(&mut NetworkConfig, $of) = $set;
                    let mut builder = self;
                    set(&mut builder.config, $arg);
                    builder
                }
            )*

            /// The network, its parameters entered in `table` as `{name}.weight_ih_l0` and so on, in PyTorch's order;
            /// without a prefix where `name` is empty.
            ///
            /// # Errors
            /// As [`Recurrent::new`].
            #[doc(hidden)]
            pub fn build(self, table: &mut ParamTable, name: &str) -> Result<Recurrent> {
                Recurrent::new(self, table, name)
            }
        }

        impl From<$builder> for NetworkConfig {
            fn from(builder: $builder) -> NetworkConfig {
                let $builder { config, hidden_size, num_layers, hidden_sizes } = builder;
                // One more than there may be is enough to be refused.
                let layers = num_layers.min(MAX_LAYERS + 1);
                let hidden_sizes = hidden_sizes.unwrap_or_else(|| vec![hidden_size; layers]);
                NetworkConfig { hidden_sizes, ..config }
            }
        }
    };
}

pub(super) use network;
