//! Floor 3: who works on what, at the same time. [`Threads`] is how many may; `share` cuts rows between them, and a `Team`
//! works on the units of one layer in lock step.

mod pool;
mod team;
mod threads;

pub(crate) use team::{Member, Team};
pub use threads::Threads;
pub(crate) use threads::{Divide, Shares, share, try_share};
