//! elman
pub mod cell;
mod error;
pub mod gemm;
#[cfg(feature = "safetensors")]
pub mod io;
mod kernel;
mod linear;
pub mod loss;
mod network;
pub mod optim;
mod params;
mod plan;
pub mod reference;
mod rng;
mod simd;
pub mod task;
pub mod tensor;
mod threads;
pub mod train;
pub use error::{Error, Result};
pub use kernel::{Isa, Kernels};
pub use linear::{Linear, LinearScratch};
pub use network::{Rnn, RnnBackward, RnnBuilder, Workspace};
pub use params::{Layout, ParamId, Params};
pub use plan::{Plan, Shape};
pub use rng::Rng;
pub use simd::math::{EXP_ULP, SIGMOID_ULP, TANH_ULP};
pub use threads::Threads;
