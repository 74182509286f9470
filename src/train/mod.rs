//! Models with everything that training them takes.

mod regression;

pub use regression::{Optimizer, Regression};
