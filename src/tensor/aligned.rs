//! Memory that starts on a cache line.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};

use crate::error::Result;
use crate::memory;

/// Floats of a cache line.
pub(crate) const LINE: usize = 64 / size_of::<f32>();

/// One cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

/// A growable slice of `f32` that starts on a 64-byte boundary, so that a full vector load never crosses a cache line.
#[derive(Clone, Default)]
pub struct Buffer {
    lines: Vec<Line>,
    len: usize,
}

impl Buffer {
    /// `len` zeros.
    ///
    /// # Panics
    /// Where there is not as much memory.
    #[must_use]
    pub fn zeros(len: usize) -> Self {
        Self::try_zeros("buffer", len).unwrap_or_else(|error| panic!("{error}"))
    }

    /// `len` zeros for `name`.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory) where there is not as much.
    pub(crate) fn try_zeros(name: &str, len: usize) -> Result<Self> {
        let mut buffer = Self::default();
        buffer.try_resize(name, len)?;
        Ok(buffer)
    }

    /// Makes the length `len`. What the elements hold afterwards is unspecified: callers write before they read.
    /// Allocates only where `len` exceeds every length before.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory) where there is not as much for `name`; the buffer is then as it was.
    #[inline]
    pub(crate) fn try_resize(&mut self, name: &str, len: usize) -> Result<()> {
        self.try_reserve(name, len)?;
        self.lines.resize(len.div_ceil(LINE), Line([0.0; LINE]));
        self.len = len;
        Ok(())
    }

    /// Makes room for `len` elements; the length stays. Allocates only where `len` exceeds every length before.
    ///
    /// # Errors
    /// As [`try_resize`](Self::try_resize).
    #[inline]
    pub(crate) fn try_reserve(&mut self, name: &str, len: usize) -> Result<()> {
        let lines = len.div_ceil(LINE);
        if lines > self.lines.capacity() {
            memory::reserve(name, &mut self.lines, lines)?;
            ask_for_huge_pages(self.lines.spare_capacity_mut());
        }
        Ok(())
    }
}

/// Asks for huge pages where the memory is worth some: weights and sequences of many megabytes otherwise take more pages
/// than a TLB has entries (3072 of 4 KiB on Zen 4). Worth 1.5 to 2 % of a batch of 128 units over 400 steps.
#[cfg(target_os = "linux")]
fn ask_for_huge_pages(memory: &mut [MaybeUninit<Line>]) {
    const PAGE: usize = 4096;
    const HUGE: usize = 2 << 20;
    const MADV_HUGEPAGE: i32 = 14;
    unsafe extern "C" {
        fn madvise(address: *mut std::ffi::c_void, length: usize, advice: i32) -> i32;
    }
    let begin = memory.as_mut_ptr().cast::<u8>();
    let skipped = begin.align_offset(PAGE);
    let length = size_of_val(memory).saturating_sub(skipped) / PAGE * PAGE;
    if length >= 2 * HUGE {
        // SAFETY: the pages lie inside `memory`, which is borrowed for as long as the call takes. The advice changes
        // neither what they hold nor that they are there; where the system does not know it, nothing happens.
        unsafe { madvise(begin.add(skipped).cast(), length, MADV_HUGEPAGE) };
    }
}

#[cfg(not(target_os = "linux"))]
fn ask_for_huge_pages(_: &mut [MaybeUninit<Line>]) {}

impl Deref for Buffer {
    type Target = [f32];

    #[inline]
    fn deref(&self) -> &[f32] {
        // SAFETY: `Line` is `repr(C)` of exactly sixteen `f32` (64 bytes, its alignment, so no padding), hence the
        // vector's lines are `LINE * lines.len() >= len` initialised floats in one allocation.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl DerefMut for Buffer {
    #[inline]
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `deref`; `&mut self` makes the view unique.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer[{}]", self.len)
    }
}

impl PartialEq for Buffer {
    fn eq(&self, other: &Self) -> bool {
        self[..] == other[..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn memory_that_there_is_not_is_an_error_and_the_buffer_stays() {
        let mut buffer = Buffer::zeros(2);
        buffer.copy_from_slice(&[1.0, 2.0]);
        for len in [1 << 44, isize::MAX as usize / size_of::<f32>()] {
            let error = buffer.try_resize("output", len).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Memory);
            assert!(error.to_string().starts_with("output: needs "), "{error}");
            assert_eq!(buffer[..], [1.0, 2.0]);
        }
        buffer.try_resize("output", 3).unwrap();
        assert_eq!(buffer[..2], [1.0, 2.0]);
        assert!(Buffer::try_zeros("output", 1 << 44).is_err());
    }

    #[test]
    fn starts_on_a_cache_line_and_keeps_its_length() {
        for len in [0, 1, 15, 16, 17, 1000] {
            let mut buffer = Buffer::zeros(len);
            assert_eq!(buffer.len(), len);
            assert_eq!(buffer.as_ptr() as usize % 64, 0);
            buffer.fill(1.5);
            assert!(buffer.iter().all(|&x| x == 1.5));
            buffer.try_resize("buffer", len + 3).unwrap();
            assert_eq!(buffer.len(), len + 3);
            assert!(buffer[..len].iter().all(|&x| x == 1.5));
        }
    }
}
