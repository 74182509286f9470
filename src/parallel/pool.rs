//! The pool that work is shared in: rayon's, or none without the feature `threads`.

use std::num::NonZeroUsize;

#[cfg(feature = "threads")]
pub(super) use with_rayon::{cores, is_inside, join};
#[cfg(not(feature = "threads"))]
pub(super) use without::{cores, is_inside, join};

#[cfg(feature = "threads")]
mod with_rayon {
    use super::NonZeroUsize;

    /// Runs both, at the same time where there are threads, and gives what they give.
    pub(crate) fn join<A: Send, B: Send>(a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B + Send) -> (A, B) {
        rayon::join(a, b)
    }

    /// Whether the caller is one of a pool's threads.
    pub(crate) fn is_inside() -> bool {
        rayon::current_thread_index().is_some()
    }

    /// The cores the process may run on. Reads files, and takes some 30 µs.
    pub(crate) fn cores() -> NonZeroUsize {
        std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
    }
}

#[cfg(not(feature = "threads"))]
mod without {
    use super::NonZeroUsize;

    /// Runs one after the other.
    pub(crate) fn join<A: Send, B: Send>(a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B + Send) -> (A, B) {
        (a(), b())
    }

    /// There is no pool to enter.
    pub(crate) fn is_inside() -> bool {
        true
    }

    /// The calling thread.
    pub(crate) fn cores() -> NonZeroUsize {
        NonZeroUsize::MIN
    }
}
