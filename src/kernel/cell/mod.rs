//! The cells: their equations, as functions of registers, and what everybody else must know of them.
//!
//! A cell's file has its equations, the facts about it, and both directions of one step for as many units as a register
//! has lanes. No cell touches memory: [`recurrence`](super::recurrence) loads what a cell asks for and stores what it
//! gives.

mod elman;
mod gru;
mod lstm;
mod name;

pub(super) use elman::{Elman, Relu, Tanh};
pub(super) use gru::Gru;
pub(super) use lstm::Lstm;

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::simd::Vector;

/// What a layer computes at each step. As text it is PyTorch's mode in lower case: `rnn_tanh`, `rnn_relu`, `gru`, `lstm`.
///
/// ```
/// use elman::reference::Cell;
/// use elman::Nonlinearity;
///
/// assert_eq!(Cell::Elman(Nonlinearity::Relu).to_string(), "rnn_relu");
/// assert_eq!("lstm".parse::<Cell>()?, Cell::Lstm);
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cell {
    /// An Elman cell: one product and an activation.
    Elman(Nonlinearity),
    /// A gated recurrent unit: gates r, z, n, in this order in weights and biases.
    Gru,
    /// Long short-term memory: gates i, f, g, o, in this order in weights and biases.
    Lstm,
}

/// The activation of an Elman cell.
///
/// ```
/// use elman::{Nonlinearity, Rng, Rnn};
///
/// let model = Rnn::builder(3, 8).nonlinearity(Nonlinearity::Relu).model(&mut Rng::new(1))?;
/// assert!(model.spec().to_string().contains("activation=relu"));
/// assert_eq!("relu".parse::<Nonlinearity>()?, Nonlinearity::Relu);
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Nonlinearity {
    /// The hyperbolic tangent.
    #[default]
    Tanh,
    /// max(0, x).
    Relu,
}

impl Cell {
    /// Rows of the weights for each unit: 1, 3 or 4.
    #[must_use]
    pub fn gates(self) -> usize {
        self.facts().gates
    }

    /// What a layer, a schedule or a file format must know of it.
    pub(crate) fn facts(self) -> &'static CellFacts {
        match self {
            Cell::Elman(_) => &elman::FACTS,
            Cell::Gru => &gru::FACTS,
            Cell::Lstm => &lstm::FACTS,
        }
    }
}

impl fmt::Display for Nonlinearity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Nonlinearity::Tanh => "tanh",
            Nonlinearity::Relu => "relu",
        })
    }
}

impl FromStr for Nonlinearity {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "tanh" => Ok(Nonlinearity::Tanh),
            "relu" => Ok(Nonlinearity::Relu),
            _ => Err(Error::setting("nonlinearity", "'tanh' or 'relu'", format_args!("'{name}'"))),
        }
    }
}

/// The facts about a cell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CellFacts {
    /// Rows of the weights for each unit (G).
    pub(crate) gates: usize,
    /// True for the GRU: r multiplies the recurrent part of n, so it must not be added to the input part. Both have a
    /// gradient of their own.
    pub(crate) last_apart: bool,
    /// Values a unit that a forward pass in training keeps: the gates and, where the last gate's recurrent part stays
    /// apart, that. 0 where the outputs are all that the backward pass needs. An LSTM's c_t is kept besides.
    pub(crate) kept: usize,
    /// What goes from step to step under a gate, not by way of W_hh.
    pub(crate) bypass: Bypass,
}

/// What goes from step to step beside the product with W_hh, and backward comes back beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bypass {
    /// Nothing.
    Nothing,
    /// A part of the state h: there is no other.
    State,
    /// The cell state c.
    CellState,
}

impl CellFacts {
    /// Gradients a unit that the backward pass computes: of the gates before their activations, then of the last gate's
    /// recurrent part where that stays apart. W_ih and b_ih get the first G of them. They take the place of what was
    /// kept.
    pub(crate) const fn gradients(&self) -> usize {
        self.gates + self.last_apart as usize
    }

    /// Which of the gradients of `gate` goes to W_hh and b_hh.
    #[inline(always)]
    pub(crate) const fn recurrent(&self, gate: usize) -> usize {
        if self.stays_apart(gate) { self.gates } else { gate }
    }

    /// Whether the recurrent part of `gate`, with its bias, is not added to its input part.
    #[inline(always)]
    pub(crate) const fn stays_apart(&self, gate: usize) -> bool {
        self.last_apart && gate + 1 == self.gates
    }

    /// Whether the backward pass needs more of the forward pass than its outputs.
    pub(crate) const fn needs_tape(&self) -> bool {
        self.kept > 0
    }

    /// Whether a part of the gradient of h_t reaches h_{t-1} beside the product with W_hh.
    pub(crate) const fn passes_state(&self) -> bool {
        matches!(self.bypass, Bypass::State)
    }

    /// Whether there is a state c beside h, which goes from step to step beside the product with W_hh.
    pub(crate) const fn has_cell_state(&self) -> bool {
        matches!(self.bypass, Bypass::CellState)
    }

    /// Whether a step backward asks for the state before it, h or c: the gradient of the gate that it passed under
    /// needs it.
    pub(crate) const fn looks_back(&self) -> bool {
        !matches!(self.bypass, Bypass::Nothing)
    }
}

/// A cell on registers: each holds one value for some neighbouring units of one row.
///
/// a is a gate before its activation: bias, input part and recurrent part.
pub(super) trait CellMath<V: Vector> {
    /// The facts about it, that decide which of its arguments it is given and which of its results are used.
    const FACTS: &'static CellFacts;
    /// One value for each gate.
    type Gates: Registers<V>;
    /// What is kept for the backward pass.
    type Kept: Registers<V>;
    /// What the backward pass computes; see [`CellFacts::gradients`].
    type Gradients: Registers<V>;

    /// One step forward.
    fn forward(step: CellStep<V, Self::Gates>) -> CellOutput<V, Self::Kept>;

    /// The same step backward.
    fn backward(step: CellBackStep<V, Self::Kept>) -> CellGradients<V, Self::Gradients>;
}

/// What a cell computes a step from. A register that its facts do not call for holds anything.
#[derive(Clone, Copy)]
pub(super) struct CellStep<V, G> {
    /// a of each gate; of a last gate whose recurrent part stays apart, the input part alone.
    pub(super) a: G,
    /// That recurrent part.
    pub(super) apart: V,
    /// h_{t-1}, where a part of it passes by.
    pub(super) h: V,
    /// c_{t-1}, where there is a cell state.
    pub(super) c: V,
}

/// What a cell gives for a step.
#[derive(Clone, Copy)]
pub(super) struct CellOutput<V, K> {
    /// h_t, or m_t where it is still to be projected.
    pub(super) h: V,
    /// c_t, where there is a cell state.
    pub(super) c: V,
    /// What the backward pass needs besides.
    pub(super) kept: K,
}

/// What a cell computes the gradients of a step from. A register that its facts do not call for holds anything.
#[derive(Clone, Copy)]
pub(super) struct CellBackStep<V, K> {
    /// The gradient of the cell's output: of h_t, or of m_t where that was projected.
    pub(super) d_h: V,
    /// What reaches the cell state c_t from the step after, where there is one.
    pub(super) d_c: V,
    /// What the forward pass kept.
    pub(super) kept: K,
    /// h_t, where nothing was kept.
    pub(super) h: V,
    /// h_{t-1} or c_{t-1}: whichever passes by.
    pub(super) before: V,
    /// c_t, where there is a cell state.
    pub(super) c: V,
}

/// What a cell gives for a step backward.
#[derive(Clone, Copy)]
pub(super) struct CellGradients<V, D> {
    /// d_a of each gate, and of a recurrent part that stays apart.
    pub(super) d_a: D,
    /// What reaches the state before the step, h_{t-1} or c_{t-1}, beside the product with W_hh.
    pub(super) bypass: V,
}

/// Some registers side by side. Read and written by loops of known length: a closure or an adaptor that a register
/// passes through is not inlined into a `#[target_feature]` function.
pub(super) trait Registers<V>: Copy + AsRef<[V]> + AsMut<[V]> {
    /// How many.
    const LEN: usize;

    /// The same value in all of them.
    fn all(value: V) -> Self;
}

impl<V: Copy, const N: usize> Registers<V> for [V; N] {
    const LEN: usize = N;

    #[inline(always)]
    fn all(value: V) -> Self {
        [value; N]
    }
}

/// That the facts about a cell are those of its registers; evaluated when it is compiled.
pub(super) const fn agrees<V: Vector, C: CellMath<V>>() {
    assert!(C::Gates::LEN == C::FACTS.gates);
    assert!(C::Kept::LEN == C::FACTS.kept);
    assert!(C::Gradients::LEN == C::FACTS.gradients());
    assert!(C::FACTS.kept == 0 || C::FACTS.kept == C::FACTS.gradients());
}
