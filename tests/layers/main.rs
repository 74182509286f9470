//! Layers and networks, and what trains them: by properties on every tier, and against PyTorch.

#[path = "../common/case.rs"]
mod case;
#[path = "../common/compare.rs"]
mod compare;
mod denormals;
#[cfg(feature = "safetensors")]
#[path = "../common/fixtures.rs"]
mod fixtures;
mod linear;
mod losses;
mod optimizers;
mod properties;
#[cfg(feature = "safetensors")]
mod pytorch;
#[path = "../common/tiers.rs"]
mod tiers;
