//! What the peers' processes share: the protocol of `perf/peers/common.py`, and the layer that all of them run.
//!
//! The layer has PyTorch's weights and PyTorch's arithmetic; [`Layer::forward`] writes it out, and each peer's tests
//! compare what the peer computes with it. [`onnx`] puts the same layer into a model file.

mod layer;
pub mod onnx;
mod serve;

pub use layer::{Cell, Layer, Load, Mode, assert_close};
pub use serve::{serve, threads, version};
