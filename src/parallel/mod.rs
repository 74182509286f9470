//! Floor 3: who works on what, at the same time. [`Threads`] is how many may; `share` cuts rows between them, and a `Team`
//! works on the units of one layer in lock step. [`Helpers`] are threads of a stream's own.

mod helpers;
mod pool;
mod team;
mod threads;

pub use helpers::Helpers;
pub(crate) use helpers::{HelperThreads, Job, OwnHelpers, Slots};
pub(crate) use team::{Member, Team};
pub use threads::Threads;
pub(crate) use threads::{Divide, Shares, share, try_share};
