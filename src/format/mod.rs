//! Model files under PyTorch's names, and files that are replaced whole or not at all.

mod atomic;
mod description;
mod dtype;
mod elements;
mod foreign;
mod header;
mod keys;
mod names;
mod quote;
mod safetensors;
mod state_dict;
mod survey;
mod taken;
mod tensors;

pub use self::atomic::{check_writable, write_atomic};
pub use self::description::{CellKind, Description};
pub use self::dtype::Dtype;
pub use self::keys::{INPUT_LEVEL_KEY, LOUDNESS_KEY, OUTPUT_LEVEL_KEY, SAMPLE_RATE_KEY, SPEC_KEY};
pub use self::names::prefixes;
pub(crate) use self::quote::visible;
pub use self::state_dict::{Converted, LoadOptions, LoadReport, load, load_with, save};
pub use self::survey::describe;
pub use self::taken::{Assumed, Taken};
pub use self::tensors::{NO_METADATA, TensorFile, TensorInfo, tensors_to_bytes, write_tensors};
