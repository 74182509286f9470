//! What stands around the steps of training: schedules, early stopping, minibatches, checkpoints, truncated
//! backpropagation, gradient flow, and lazy Adam.

mod batches;
#[cfg(target_os = "linux")]
mod disk;
mod fit;
mod gradient_flow;
mod resume;
mod schedules;
mod sparse_adam;
mod truncated;
