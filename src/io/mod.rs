//! Model files under PyTorch's names, and files that are replaced whole or not at all.

mod atomic;
mod safetensors;

pub use self::atomic::{check_writable, write_atomic};
pub use self::safetensors::{load, save};
