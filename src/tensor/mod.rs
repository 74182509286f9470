//! Sequences (T, B, C) and the memory under them.
//!
//! Sequence first, always: one time step is one contiguous (B, C) matrix, row-major.

mod aligned;
mod seq;

pub use aligned::Buffer;
pub use seq::{Seq, SeqMut, SeqRef};
