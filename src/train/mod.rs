//! Floor 5: training. A [`Trainer`] takes one step after the other over any [`Model`](crate::Model); a loop of one's own
//! calls [`Model::forward`](crate::Model::forward), the run's backward pass, and an
//! [`Optimizer`](crate::optim::Optimizer).
//!
//! Around the steps: [`Batches`] say which examples go together, a [`Scheduler`] how large a step is, [`EarlyStopping`] when
//! to end, and [`GradientFlow`] how far back in time a gradient reaches.

mod batches;
mod gradient_flow;
mod schedule;
mod scheduler;
mod stopping;
mod trainer;

pub use crate::model::TrainingState;
pub use batches::{Batches, padding};
pub use gradient_flow::{GradientFlow, Verdict};
pub use schedule::{Plateau, Schedule};
pub use scheduler::{ScheduleState, Scheduler};
pub use stopping::{EarlyStopping, StoppingState};
pub use trainer::Trainer;
