//! One layer of any cell in one direction: how products and steps meet, the same for all cells. The equations are in
//! [`kernel::cell`](crate::kernel::cell).

mod backward;
mod delay;
mod forward;
mod gradients;
mod memory;
mod sizes;
mod steps;
mod units;
mod weights;

pub use backward::BackwardPass;
pub(crate) use delay::Delay;
pub use forward::ForwardPass;
pub use gradients::LayerGradients;
pub use memory::{Scratch, Tape};
pub use sizes::Sizes;
pub(crate) use steps::{LayerSteps, StepShares};
pub use weights::{Layer, Weights};

pub use crate::gemm::Write;
pub use crate::kernel::cell::{Cell, Nonlinearity};
pub use crate::tensor::Direction;
