//! Floor 5: training. [`Fit`] is the whole of it in one call, over a [`Learner`], such as [`Supervised`] with examples in
//! memory, or [`TruncatedBptt`] over sequences too long for one backward pass. A [`Trainer`] takes one step after the other over any [`Model`](crate::Model); a loop of one's own
//! calls [`Model::forward`](crate::Model::forward), the run's backward pass, and an
//! [`Optimizer`](crate::optim::Optimizer).
//!
//! In one call, the mean of five numbers:
//!
//! ```
//! use elman::train::{Fit, FitConfig, Supervised, Targets};
//! use elman::{Gru, Readout, Rng};
//!
//! let mut rng = Rng::new(1);
//! let rows: Vec<Vec<f32>> = (0..80).map(|_| (0..5).map(|_| rng.uniform(-1.0, 1.0)).collect()).collect();
//! let means = rows.iter().map(|row| vec![row.iter().sum::<f32>() / 5.0]).collect();
//! let model = Gru::builder(1, 8).readout(Readout::Last).linear("fc", 1).model(&mut rng)?;
//! let learner = Supervised::new(model, rows, Targets::Values(means))?;
//! let config = FitConfig::default().epochs(60).batch(16).lr(0.02).clip_norm(1.0).patience(10);
//! let mut fit = Fit::new(learner, config, (0..64).collect(), (64..80).collect())?;
//! assert!(fit.run(&mut |_| true)?.best.expect("there is a validation part").loss < 0.01);
//! # Ok::<(), elman::Error>(())
//! ```
//!
//! And in a loop of one's own:
//!
//! ```
//! use elman::loss::MeanSquaredError;
//! use elman::optim::{Adam, AdamConfig};
//! use elman::tensor::Seq;
//! use elman::train::{Batches, Trainer};
//! use elman::{Gru, Readout, Rng};
//!
//! let mut rng = Rng::new(1);
//! let rows: Vec<Vec<f32>> = (0..64).map(|_| (0..5).map(|_| rng.uniform(-1.0, 1.0)).collect()).collect();
//! let mut model = Gru::builder(1, 8).readout(Readout::Last).linear("fc", 1).model(&mut rng)?;
//! let mut trainer = Trainer::new(Adam::new(model.params(), AdamConfig::default().lr(0.02))?).clip_norm(1.0);
//! let (batches, mut loss) = (Batches::new(64, 16, 1)?, 0.0);
//! for epoch in 0..60 {
//!     for batch in batches.epoch(epoch) {
//!         let x: Vec<f32> = (0..5).flat_map(|t| batch.iter().map(|&n| rows[n][t]).collect::<Vec<_>>()).collect();
//!         let means: Vec<f32> = batch.iter().map(|&n| rows[n].iter().sum::<f32>() / 5.0).collect();
//!         let (x, target) = (Seq::from_slice(&x, 5, 16, 1)?, Seq::from_slice(&means, 1, 16, 1)?); // (T, B, I) and (1, B, O)
//!         loss = trainer.step(&mut model, &x, &mut MeanSquaredError::new(&target))?;
//!     }
//! }
//! assert!(loss < 0.01);
//! # Ok::<(), elman::Error>(())
//! ```
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
pub use fit::{Best, EpochReport, Fit, FitConfig, FitReport, MakeOptimizer, PartTimes, Progress};
pub use gradient_flow::{GradientFlow, Verdict};
pub use learner::{Carried, Learner, Lesson, Score};
pub use schedule::{Plateau, Schedule};
pub use scheduler::{ScheduleState, Scheduler};
pub use stopping::{EarlyStopping, StoppingState};
pub use supervised::{Supervised, Targets};
pub use trainer::Trainer;
pub use truncated::TruncatedBptt;
