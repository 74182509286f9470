//! Models with everything that training them takes.

mod regression;
mod state;

pub use regression::Regression;
pub use state::TrainingState;
