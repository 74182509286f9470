//! Floor 5: training. A [`Trainer`] takes one step after the other over any [`Model`](crate::Model); a loop of one's own
//! calls [`Model::forward`](crate::Model::forward), the run's backward pass, and an
//! [`Optimizer`](crate::optim::Optimizer).

mod trainer;

pub use crate::model::TrainingState;
pub use trainer::Trainer;
