//! The network of a task: plain data, as the command line and a file of settings have it.

use elman::{Activation, CellSpec, LayerKind, ModelSpec, Readout, RecurrentSpec};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A recurrent cell by its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cell {
    /// Elman's, with tanh.
    Rnn,
    /// The gated recurrent unit.
    #[default]
    Gru,
    /// Long short-term memory.
    Lstm,
}

/// Recurrent layers between an input and a linear head.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Net {
    /// The cell of every layer.
    pub cell: Cell,
    /// Hidden units of every layer.
    pub hidden: usize,
    /// Recurrent layers, one above the other.
    pub layers: usize,
    /// Whether each of them goes through time both ways.
    pub bidirectional: bool,
    /// Features of a token's vector, where the input is tokens.
    pub embedding: usize,
    /// The probability of dropout between the layers.
    pub dropout: f32,
}

impl Default for Net {
    fn default() -> Self {
        Self { cell: Cell::Gru, hidden: 64, layers: 1, bidirectional: false, embedding: 32, dropout: 0.0 }
    }
}

/// What a network reads at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// An index below that number.
    Tokens(usize),
    /// So many numbers.
    Numbers(usize),
}

impl Net {
    /// What it is called in a table of scores: `GRU 64`, `LSTM 2x128, both ways`.
    #[must_use]
    pub fn title(&self) -> String {
        let cell = match self.cell {
            Cell::Rnn => "RNN",
            Cell::Gru => "GRU",
            Cell::Lstm => "LSTM",
        };
        let layers = if self.layers == 1 { String::new() } else { format!("{}x", self.layers) };
        let both = if self.bidirectional { ", both ways" } else { "" };
        format!("{cell} {layers}{}{both}", self.hidden)
    }

    /// That no setting goes without effect or out of its range; sizes are checked where the model is made.
    ///
    /// # Errors
    /// Dropout that is no probability, and dropout between the layers where there is one layer.
    pub fn check(&self) -> Result<()> {
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(Error::expected("net.dropout", "a probability of at least 0 and less than 1", self.dropout));
        }
        if self.layers == 1 && self.dropout > 0.0 {
            let expected = "0 with one layer, as it is between layers";
            return Err(Error::expected("net.dropout", expected, self.dropout));
        }
        Ok(())
    }

    /// The recurrent layers, called `rnn`, `gru` or `lstm`.
    #[must_use]
    pub fn recurrent(&self) -> (&'static str, LayerKind) {
        let (name, cell) = match self.cell {
            Cell::Rnn => ("rnn", CellSpec::rnn(Activation::Tanh)),
            Cell::Gru => ("gru", CellSpec::gru()),
            Cell::Lstm => ("lstm", CellSpec::lstm()),
        };
        let spec = RecurrentSpec::new(cell, vec![self.hidden; self.layers]).bidirectional(self.bidirectional);
        (name, spec.dropout(if self.layers > 1 { self.dropout } else { 0.0 }).into())
    }

    /// The whole of it: an embedding (`embedding`) where tokens are read, the recurrent layers, a read-out, and a head (`fc`) of
    /// so many outputs.
    #[must_use]
    pub fn spec(&self, reads: Reads, readout: Readout, outputs: usize) -> ModelSpec {
        let spec = match reads {
            Reads::Tokens(vocabulary) => {
                ModelSpec::new(1).layer("embedding", LayerKind::embedding(vocabulary, self.embedding))
            }
            Reads::Numbers(features) => ModelSpec::new(features),
        };
        let (name, recurrent) = self.recurrent();
        spec.layer(name, recurrent).layer("readout", readout).layer("fc", LayerKind::linear(outputs))
    }
}
