//! What stands around the steps of training: schedules, early stopping, minibatches, gradient flow, and lazy Adam.

mod batches;
mod fit;
mod gradient_flow;
mod schedules;
mod sparse_adam;
