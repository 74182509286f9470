//! Models with everything that training them takes.

mod regression;
mod state;

pub use regression::{Optimizer, Regression};
pub use state::TrainingState;
