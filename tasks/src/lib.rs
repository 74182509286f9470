//! The data side of what recurrent networks are used for: forecasting numbers, telling classes of sequences, generating
//! sequences, and turning one sequence into another.
//!
//! Files are read by [`table`] (series of numbers), [`text`] (labelled or paired texts) and [`long`] (sequences of many
//! steps, a row each), which tell the line and column of what they cannot read and count what they skip. [`vocabulary`]
//! makes numbers of tokens, [`transform`] makes numbers that a network learns easily, [`split`] keeps apart what is
//! trained on and what is tested on. [`metrics`] says how good an answer is and [`baselines`] how good the answers of
//! simple methods are, which a network has to beat.
//!
//! A task puts these together: [`classify`] tells classes of sequences, [`generate`] makes sequences of classes,
//! [`transduce`] turns one sequence into another. Each has settings that are a file of TOML ([`job`]), a [`net`]work, a
//! training that can be stopped and gone on with, [`scores`] beside the baselines', and a predictor that a model's file
//! alone suffices for, and which scores other files and tells how far back its gradient reaches ([`flow`]). [`memory`] shows
//! what networks remember over many steps, on examples that it makes itself.
//!
//! Nothing here prints or draws, and nothing depends on the machine: the same input gives the same output everywhere,
//! to within the rounding of `ln` and `exp`.

pub mod baselines;
pub mod classify;
mod error;
pub mod flow;
pub mod forecast;
pub mod generate;
pub mod job;
pub mod long;
pub mod memory;
pub mod metrics;
pub mod net;
mod rows;
pub mod scores;
mod source;
pub mod split;
pub mod table;
pub mod text;
pub mod transduce;
pub mod transform;
pub mod vocabulary;

pub use error::{Error, Result};
