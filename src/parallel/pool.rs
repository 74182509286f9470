//! The pool that work is shared in: rayon's, or nobody's without the feature `threads`.

/// Runs both, at the same time where there are threads, and gives what they give.
#[cfg(feature = "threads")]
pub(super) fn join<A: Send, B: Send>(a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B + Send) -> (A, B) {
    rayon::join(a, b)
}

/// Whether the caller is one of the pool's threads.
#[cfg(feature = "threads")]
pub(super) fn is_inside() -> bool {
    rayon::current_thread_index().is_some()
}

/// Runs one after the other.
#[cfg(not(feature = "threads"))]
pub(super) fn join<A: Send, B: Send>(a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B + Send) -> (A, B) {
    (a(), b())
}

/// Nobody has to be asked.
#[cfg(not(feature = "threads"))]
pub(super) fn is_inside() -> bool {
    true
}
