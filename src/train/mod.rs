//! Floor 5: training. [`Fit`] is the whole of it in one call, over a [`Learner`], such as [`Supervised`] with examples in
//! memory, or [`TruncatedBptt`] over sequences too long for one backward pass. A [`Trainer`] takes one step after the other over any [`Model`](crate::Model); a loop of one's own
//! calls [`Model::forward`](crate::Model::forward), the run's backward pass, and an
//! [`Optimizer`](crate::optim::Optimizer).
//!
//! Around the steps: [`Batches`] say which examples go together, a [`Scheduler`] how large a step is, [`EarlyStopping`] when
//! to end, and [`GradientFlow`] how far back in time a gradient reaches.

mod batches;
mod fit;
mod gradient_flow;
mod learner;
mod schedule;
mod scheduler;
mod stopping;
mod supervised;
mod trainer;
mod truncated;

pub use crate::model::TrainingState;
pub use batches::{Batches, padding};
#[cfg(feature = "safetensors")]
pub use fit::Identity;
pub use fit::{Best, EpochReport, Fit, FitConfig, FitReport, MakeOptimizer, Progress};
pub use gradient_flow::{GradientFlow, Verdict};
pub use learner::{Carried, Learner, Lesson, Score};
pub use schedule::{Plateau, Schedule};
pub use scheduler::{ScheduleState, Scheduler};
pub use stopping::{EarlyStopping, StoppingState};
pub use supervised::{Supervised, Targets};
pub use trainer::Trainer;
pub use truncated::TruncatedBptt;
