//! Ring 3: the cells. Each file has a cell's equations, what it keeps for the way back, and how products and steps
//! meet.

mod elman;

pub use elman::{Elman, ElmanBackwardPass, ElmanGradients, ElmanScratch, ElmanWeights};

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
pub use crate::kernel::elman::Nonlinearity;

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
