//! Whole networks on every tier: against PyTorch and the reference, the same bits however the work is cut, and what their
//! settings do.

mod accuracy;
mod bits;
#[path = "../common/compare.rs"]
mod compare;
mod digests;
#[cfg(feature = "safetensors")]
#[path = "../common/fixtures.rs"]
mod fixtures;
mod network;
#[cfg(feature = "safetensors")]
mod pytorch;
mod reference;
mod settings;
#[path = "../common/tiers.rs"]
mod tiers;
