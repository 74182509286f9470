//! The Elman layer and what trains it: by properties on every tier, and against PyTorch.

#[path = "../common/elman_case.rs"]
mod elman_case;
#[cfg(feature = "safetensors")]
#[path = "../common/fixtures.rs"]
mod fixtures;
mod properties;
#[cfg(feature = "safetensors")]
mod pytorch;
#[path = "../common/tiers.rs"]
mod tiers;
