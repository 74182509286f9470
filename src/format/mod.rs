//! Model files under PyTorch's names, and files that are replaced whole or not at all.

mod atomic;
mod description;
mod dtype;
mod elements;
mod foreign;
mod header;
mod names;
mod quote;
mod safetensors;
mod state_dict;
mod taken;
mod tensors;

pub use self::atomic::{check_writable, write_atomic};
pub use self::description::{CellKind, Description, describe};
pub use self::dtype::Dtype;
pub use self::names::prefixes;
pub(crate) use self::quote::visible;
pub use self::state_dict::{Converted, LoadOptions, LoadReport, load, load_with, save};
pub use self::taken::{Assumed, SPEC_KEY, Taken};
pub use self::tensors::{NO_METADATA, TensorFile, TensorInfo, tensors_to_bytes, write_tensors};
