//! The cells' names: PyTorch's modes, in lower case.

use std::fmt;
use std::str::FromStr;

use super::{Cell, Nonlinearity};
use crate::error::{Error, Result};

impl Cell {
    const NAMED: [(&str, Cell); 4] = [
        ("rnn_tanh", Cell::Elman(Nonlinearity::Tanh)),
        ("rnn_relu", Cell::Elman(Nonlinearity::Relu)),
        ("gru", Cell::Gru),
        ("lstm", Cell::Lstm),
    ];
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cell::Elman(Nonlinearity::Tanh) => "rnn_tanh",
            Cell::Elman(Nonlinearity::Relu) => "rnn_relu",
            Cell::Gru => "gru",
            Cell::Lstm => "lstm",
        })
    }
}

impl FromStr for Cell {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let named = Self::NAMED.into_iter().find(|(known, _)| *known == name).map(|(_, cell)| cell);
        named.ok_or_else(|| Error::setting("cell", "'rnn_tanh', 'rnn_relu', 'gru' or 'lstm'", format_args!("'{name}'")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_is_read_as_it_is_written() {
        for (name, cell) in Cell::NAMED {
            assert_eq!(cell.to_string(), name);
            assert_eq!(name.parse::<Cell>().unwrap(), cell);
        }
        let error = "transformer".parse::<Cell>().unwrap_err().to_string();
        assert_eq!(error, "cell: expected 'rnn_tanh', 'rnn_relu', 'gru' or 'lstm', got 'transformer'");
    }
}
