//! What C holds a pointer to: a word that tells whether it is alive, and the list on which it waits to be freed.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use crate::border::{Answer, refuse};
use crate::status::ElmanStatus;

/// What a handle can hold. It is dropped on whichever thread collects it.
pub(crate) trait Content: Send {
    /// What C knows it as.
    type Opaque;
    /// The handle's word while it is alive.
    const ALIVE: u64;
    const NAME: &'static str;
}

/// The word of one that is freed, and may still be in memory.
const FREED: u64 = u64::from_le_bytes(*b"el-freed");

/// What every handle begins with.
struct Header {
    word: AtomicU64,
    /// The next one that waits to be freed.
    next: AtomicPtr<Header>,
    /// Frees the handle.
    free: unsafe fn(*mut Header),
}

#[repr(C)]
pub(crate) struct Handle<T> {
    header: Header,
    content: UnsafeCell<T>,
}

/// Handles that C has freed and that are in memory still, the last one first.
static FREED_HANDLES: AtomicPtr<Header> = AtomicPtr::new(ptr::null_mut());

impl<T: Content> Handle<T> {
    /// A new handle, for C.
    pub(crate) fn allocate(content: T) -> *mut T::Opaque {
        unsafe fn free<T>(header: *mut Header) {
            // SAFETY: `collect` passes headers of the list, each once. This one came from `Box::into_raw` below, as the first
            // field of a `Handle<T>` of the same `T`.
            drop(unsafe { Box::from_raw(header.cast::<Handle<T>>()) });
        }
        let header = Header { word: AtomicU64::new(T::ALIVE), next: AtomicPtr::default(), free: free::<T> };
        Box::into_raw(Box::new(Self { header, content: UnsafeCell::new(content) })).cast()
    }

    /// The handle that C means.
    ///
    /// # Safety
    /// The pointer is NULL, or one that [`allocate`](Self::allocate) gave for any content, and not [`collect`]ed yet.
    unsafe fn of(pointer: *const T::Opaque) -> Answer<NonNull<Self>> {
        let Some(handle) = NonNull::new(pointer.cast_mut().cast::<Self>()) else { return Err(null(T::NAME)) };
        let mut word = 0;
        if handle.is_aligned() {
            // SAFETY: whatever it holds, it is in memory and begins with a header.
            word = unsafe { handle.cast::<Header>().as_ref() }.word.load(Ordering::Acquire);
        }
        if word == T::ALIVE { Ok(handle) } else { Err(not_a_handle(T::NAME, word)) }
    }

    /// What is in the handle.
    ///
    /// # Safety
    /// As of [`exclusive`](Self::exclusive), but that other threads may share it too.
    pub(crate) unsafe fn shared<'a>(pointer: *const T::Opaque) -> Answer<&'a T>
    where
        T: Sync,
    {
        // SAFETY: the caller's promise is that of `of`; what is alive holds a `T`, which nobody changes.
        unsafe { Ok(&*Self::of(pointer)?.as_ref().content.get()) }
    }

    /// What is in the handle, to be changed.
    ///
    /// # Safety
    /// The pointer is NULL, or one that [`allocate`](Self::allocate) gave for any content, and not [`collect`]ed. No other
    /// call uses it or frees it before this call of C's has returned.
    pub(crate) unsafe fn exclusive<'a>(pointer: *mut T::Opaque) -> Answer<&'a mut T> {
        // SAFETY: as above, and the caller promises that there is no other borrow.
        unsafe { Ok(&mut *Self::of(pointer)?.as_ref().content.get()) }
    }

    /// Ends the handle's life and puts it on the list of those that [`collect`] frees. Neither allocates nor frees.
    ///
    /// # Safety
    /// As of [`exclusive`](Self::exclusive).
    pub(crate) unsafe fn retire(pointer: *mut T::Opaque) -> Answer {
        // SAFETY: the caller's promise is that of `of`.
        let handle = unsafe { Self::of(pointer)? };
        let header = handle.cast::<Header>();
        // SAFETY: it is alive, and so in memory.
        let Header { word, next, .. } = unsafe { header.as_ref() };
        if let Err(word) = word.compare_exchange(T::ALIVE, FREED, Ordering::AcqRel, Ordering::Acquire) {
            return Err(not_a_handle(T::NAME, word)); // another thread was first
        }
        let mut first = FREED_HANDLES.load(Ordering::Relaxed);
        loop {
            next.store(first, Ordering::Relaxed);
            // Release: whoever collects it sees all that was done with it before.
            match FREED_HANDLES.compare_exchange_weak(first, header.as_ptr(), Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(now) => first = now,
            }
        }
    }
}

/// Frees all handles of the list, and says how many there were.
pub(crate) fn collect() -> usize {
    let mut at = FREED_HANDLES.swap(ptr::null_mut(), Ordering::Acquire);
    let mut count = 0;
    while let Some(header) = NonNull::new(at) {
        // SAFETY: the swap took the whole list, so its headers are this call's alone, and each of them is on it once, as
        // only the thread that has changed its word puts it there.
        let Header { next, free, .. } = unsafe { header.as_ref() };
        let (next, free) = (next.load(Ordering::Relaxed), *free);
        // SAFETY: as above; nothing reads it from here on.
        unsafe { free(header.as_ptr()) };
        at = next;
        count += 1;
    }
    count
}

/// A NULL where there may be none.
#[cold]
pub(crate) fn null(name: &str) -> crate::border::Refused {
    refuse(ElmanStatus::Null, format_args!("{name}: expected a pointer, got NULL"))
}

#[cold]
fn not_a_handle(name: &str, word: u64) -> crate::border::Refused {
    let got = if word == FREED { "one that was freed" } else { "another pointer" };
    refuse(ElmanStatus::NotAHandle, format_args!("{name}: expected a live handle, got {got}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    struct Counted(Arc<AtomicUsize>);

    struct Opaque;

    impl Content for Counted {
        type Opaque = Opaque;
        const ALIVE: u64 = 7;
        const NAME: &'static str = "counted";
    }

    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Threads free, others collect: every handle is freed once, and none before somebody collects.
    #[test]
    fn every_handle_is_freed_once() {
        let freed = Arc::new(AtomicUsize::new(0));
        let handle = || Handle::allocate(Counted(freed.clone()));
        let one = handle();
        // SAFETY: it is a handle, and not collected before the last call below.
        unsafe {
            assert!(Handle::<Counted>::shared(one).is_ok());
            Handle::<Counted>::retire(one).unwrap();
            assert!(Handle::<Counted>::shared(one).is_err() && Handle::<Counted>::retire(one).is_err());
        }
        assert_eq!(freed.load(Ordering::Relaxed), 0);
        assert_eq!(collect(), 1);
        let collected = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for n in 0..2000 {
                        // SAFETY: nobody else knows it.
                        unsafe { Handle::<Counted>::retire(handle()).unwrap() };
                        if n % 7 == 0 {
                            collected.fetch_add(collect(), Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        let rest = collect();
        assert_eq!((collected.into_inner() + rest, freed.load(Ordering::Relaxed)), (8000, 8001));
    }
}
