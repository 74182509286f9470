//! Floor 3: who works on what, at the same time. [`Threads`] is how many may, and they come in once for a whole call
//! (`region`); `share` cuts rows between them, and a `Team` works on the units of one layer in lock step. [`Helpers`] are
//! threads of a stream's own.

mod helpers;
mod pool;
mod region;
mod team;
mod threads;

pub use helpers::Helpers;
pub(crate) use helpers::{HelperThreads, Job, OwnHelpers, Slots};
pub(crate) use region::crew;
pub(crate) use team::Team;
pub use threads::Threads;
pub(crate) use threads::{Divide, Shares, share, share_rows, try_share};
