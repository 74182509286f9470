//! Model files under PyTorch's names, and files that are replaced whole or not at all.

mod atomic;
mod description;
mod elements;
mod names;
mod safetensors;
mod state_dict;
mod tensors;

pub use self::atomic::{check_writable, write_atomic};
pub use self::description::{Description, Kind, describe};
pub use self::names::prefixes;
pub use self::state_dict::{LoadOptions, load, load_with, save};
pub use self::tensors::{TensorFile, TensorInfo, write_tensors};
