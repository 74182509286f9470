//! What a state dict is: the recurrent layers that names and shapes tell of.
//!
//! PyTorch's names, of layer k in the direction s (empty, or `_reverse`): `weight_ih_l{k}{s}` [G·H, in],
//! `weight_hh_l{k}{s}` [G·H, out], `bias_ih_l{k}{s}` and `bias_hh_l{k}{s}` [G·H], `weight_hr_l{k}{s}` [P, H]. G is 1 for
//! an RNN, 3 for a GRU, 4 for an LSTM; out is H, or P where there is a projection; in is D·out of the layer before. The
//! cells' names are the same without `_l{k}{s}`.

use std::fmt;
use std::str::FromStr;

use super::names::{Role, TensorPlace, plain_name, roles};
use super::quote::quote;
use crate::error::{Error, Result, elements};
use crate::layer::{Cell, Nonlinearity};
use crate::network::NetworkConfig;

/// The recurrent cells of PyTorch.
///
/// ```
/// use elman::format::CellKind;
///
/// assert_eq!("gru".parse::<CellKind>()?, CellKind::Gru);
/// assert_eq!(CellKind::Lstm.gates(), 4);
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CellKind {
    /// Elman's, with tanh or relu: names and shapes do not say which.
    Rnn,
    /// The gated recurrent unit, gates r, z, n.
    Gru,
    /// Long short-term memory, gates i, f, g, o.
    Lstm,
}

impl CellKind {
    pub(super) const ALL: [CellKind; 3] = [CellKind::Rnn, CellKind::Gru, CellKind::Lstm];

    /// G: how many times H rows a weight has.
    #[must_use]
    pub fn gates(self) -> usize {
        self.cell(Nonlinearity::default()).gates()
    }

    /// The cell of that kind; `nonlinearity` is an RNN's, and the others have none to choose.
    #[must_use]
    pub fn cell(self, nonlinearity: Nonlinearity) -> Cell {
        match self {
            CellKind::Rnn => Cell::Elman(nonlinearity),
            CellKind::Gru => Cell::Gru,
            CellKind::Lstm => Cell::Lstm,
        }
    }

    /// The one whose `weight_hh` has so many rows.
    pub(super) fn of(rows: usize, hidden: usize) -> Option<Self> {
        CellKind::ALL.into_iter().find(|kind| hidden.checked_mul(kind.gates()) == Some(rows))
    }

    /// G·H; no file has a tensor of [`usize::MAX`] rows.
    pub(super) fn rows(self, hidden: usize) -> usize {
        self.gates().saturating_mul(hidden)
    }
}

impl fmt::Display for CellKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CellKind::Rnn => "rnn",
            CellKind::Gru => "gru",
            CellKind::Lstm => "lstm",
        })
    }
}

impl FromStr for CellKind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "rnn" => Ok(CellKind::Rnn),
            "gru" => Ok(CellKind::Gru),
            "lstm" => Ok(CellKind::Lstm),
            _ => Err(Error::setting("cell", "'rnn', 'gru' or 'lstm'", format_args!("'{name}'"))),
        }
    }
}

/// The recurrent layers of a state dict.
///
/// ```
/// use elman::format::{CellKind, Description};
///
/// let mut gru = Description::new(CellKind::Gru, 3, [8]);
/// gru.prefix = "rnn.".into();
/// let tensors = gru.tensors();
/// assert_eq!(tensors[0], ("rnn.weight_ih_l0".to_string(), vec![3 * 8, 3]));
/// assert_eq!(gru.parameters()?, 3 * 8 * (3 + 8 + 2));
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Description {
    /// Their cell.
    pub kind: CellKind,
    /// What comes before the names in the file, with the dot or the underscore that ends it; empty where nothing does.
    pub prefix: String,
    /// I: the features of the first layer's input.
    pub input_size: usize,
    /// H of every layer.
    pub hidden_sizes: Vec<usize>,
    /// Every layer has a second direction, `_reverse`.
    pub bidirectional: bool,
    /// Every layer has its two biases.
    pub bias: bool,
    /// P: the features of an LSTM's projected output; 0 where there is no projection.
    pub proj_size: usize,
    /// The names lack `_l0`: they are those of `torch.nn.RNNCell`, `GRUCell` or `LSTMCell`.
    pub unnumbered: bool,
}

impl Description {
    /// Layers of that cell, one above the other, at the root of the file: in one direction, with biases and without a
    /// projection.
    #[must_use]
    pub fn new(kind: CellKind, input_size: usize, hidden_sizes: impl Into<Vec<usize>>) -> Self {
        Self {
            kind,
            prefix: String::new(),
            input_size,
            hidden_sizes: hidden_sizes.into(),
            bidirectional: false,
            bias: true,
            proj_size: 0,
            unnumbered: false,
        }
    }

    /// Every tensor's name in the file and its shape, layer by layer in PyTorch's order.
    #[must_use]
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let (mut input, mut all) = (self.input_size, Vec::new());
        for (layer, &hidden) in self.hidden_sizes.iter().enumerate() {
            let out = if self.proj_size == 0 { hidden } else { self.proj_size };
            let shapes = Shapes {
                rows: Some(self.kind.rows(hidden)),
                input: Some(input),
                out: Some(out),
                proj: Some(self.proj_size),
                hidden: Some(hidden),
            };
            for direction in 0..=usize::from(self.bidirectional) {
                for role in roles(self.bias, self.proj_size > 0) {
                    let name = plain_name(&self.prefix, self.unnumbered, TensorPlace { role, layer, direction });
                    all.push((name, shapes.of(role).unwrap_or_default()));
                }
            }
            input = out.saturating_mul(1 + usize::from(self.bidirectional));
        }
        all
    }

    /// How many numbers all tensors hold together.
    ///
    /// # Errors
    /// [`Error::Overflow`] where that many could not be addressed.
    pub fn parameters(&self) -> Result<usize> {
        self.tensors().iter().try_fold(0_usize, |all, (name, shape)| {
            let name = quote(name);
            elements(&name, &[all.saturating_add(elements(&name, shape)?)])
        })
    }

    /// The settings of a network that these weights fit. `nonlinearity` is what an RNN's is to be, as a state dict does
    /// not say; other cells have none to choose.
    ///
    /// ```no_run
    /// use elman::Nonlinearity;
    /// use elman::format::{LoadOptions, TensorFile, describe};
    /// use elman::internals::{Recurrent};
    /// use elman::params::ParamTable;
    /// use elman::Params;
    ///
    /// let file = TensorFile::open("model.safetensors")?;
    /// let description = describe(&file, None, None)?;
    /// let mut table = ParamTable::new();
    /// let mut network = Recurrent::new(description.config(Nonlinearity::Tanh), &mut table, "")?;
    /// let mut params = Params::zeros(table);
    /// file.load_into(&mut params, &LoadOptions::from(&description))?;
    /// network.load(&params)?;
    /// # Ok::<(), elman::Error>(())
    /// ```
    #[doc(hidden)]
    #[must_use]
    pub fn config(&self, nonlinearity: Nonlinearity) -> NetworkConfig {
        let cell = self.kind.cell(nonlinearity);
        NetworkConfig {
            bias: self.bias,
            bidirectional: self.bidirectional,
            proj_size: self.proj_size,
            ..NetworkConfig::new(cell, self.input_size, self.hidden_sizes.clone())
        }
    }
}

/// The sizes that the shapes of a layer are made of, as far as they are known.
pub(super) struct Shapes {
    pub(super) rows: Option<usize>,
    pub(super) input: Option<usize>,
    pub(super) out: Option<usize>,
    pub(super) proj: Option<usize>,
    pub(super) hidden: Option<usize>,
}

impl Shapes {
    pub(super) fn of(&self, role: Role) -> Option<Vec<usize>> {
        Some(match role {
            Role::WeightIh => vec![self.rows?, self.input?],
            Role::WeightHh => vec![self.rows?, self.out?],
            Role::BiasIh | Role::BiasHh => vec![self.rows?],
            Role::WeightHr => vec![self.proj?, self.hidden?],
        })
    }
}
