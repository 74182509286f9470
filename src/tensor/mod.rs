//! Sequences (T, B, C) and the memory under them.
//!
//! Sequence first, always: one time step is one contiguous (B, C) matrix, row-major.

mod aligned;
mod before;
mod lines;
mod mask;
mod packed;
mod rows;
mod seq;

// For `internals`: no part of what this module promises.
#[doc(hidden)]
pub use {aligned::Buffer, before::Direction};

pub(crate) use aligned::LINE;
pub(crate) use before::{Before, Cut, History, Resets};
pub(crate) use lines::Lines;
pub use mask::Mask;
pub(crate) use packed::Order;
pub use packed::{PackedRef, PackedSequence};
pub(crate) use rows::StepRows;
pub use seq::{Mat, MatMut, Seq, SeqMut, SeqRef};
pub(crate) use seq::{SlotsMat, SlotsMut};
