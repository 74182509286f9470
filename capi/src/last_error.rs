//! What the last call that failed on a thread has to say: a buffer of each thread's own, which is written without
//! allocating.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::ffi::c_char;
use std::fmt::{self, Display, Write};

/// Bytes of a sentence with the zero behind it. Errors of the library are cut to 4 KB.
const ROOM: usize = 4096 + 64;

thread_local! {
    // Neither the first use nor the end of the thread runs code: it is a constant and has no destructor.
    static LAST: UnsafeCell<[u8; ROOM]> = const { UnsafeCell::new([0; ROOM]) };
}

/// Makes `message` the thread's last error; what is too long is cut at a character.
#[cold]
pub(crate) fn set(message: impl Display) {
    LAST.with(|last| {
        // SAFETY: only this thread reaches it, and nothing that is called while it is borrowed comes here again: `message`
        // writes text and reports no error. C holds a pointer, and has been told that the next error changes what is there.
        let mut text = Text { buffer: unsafe { &mut *last.get() }, len: 0 };
        // It refuses nothing: see `write_str`.
        let _ = write!(text, "{message}");
        let len = text.len;
        text.buffer[len] = 0;
    });
}

/// The thread's last error, which ends in a zero; empty where there was none.
pub(crate) fn get() -> *const c_char {
    LAST.with(|last| last.get().cast_const().cast())
}

struct Text<'a> {
    buffer: &'a mut [u8; ROOM],
    len: usize,
}

impl Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut end = text.len().min(ROOM - 1 - self.len);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        for &byte in &text.as_bytes()[..end] {
            // A zero would end the sentence for C.
            self.buffer[self.len] = if byte == 0 { b'?' } else { byte };
            self.len += 1;
        }
        Ok(())
    }
}

/// What the last call that failed on this thread has to say: one line, never NULL, empty where none has failed. It stays
/// until the next call that fails on this thread.
///
/// The sentence lies in memory of the thread's own. Where the library was loaded by dlopen, the C library may allocate
/// that when a thread's first call fails, or first asks: ask once on a thread that may not allocate, before it begins.
#[unsafe(no_mangle)]
pub extern "C" fn elman_last_error() -> *const c_char {
    get()
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::*;

    fn last() -> String {
        // SAFETY: what is there ends in a zero.
        unsafe { CStr::from_ptr(get()) }.to_str().unwrap().to_string()
    }

    #[test]
    fn sentences_are_cut_at_a_character_and_end() {
        assert_eq!(last(), "");
        set("x: a\0b");
        assert_eq!(last(), "x: a?b");
        let long = "ä".repeat(ROOM);
        set(format_args!(".{long}"));
        assert_eq!(last(), format!(".{}", "ä".repeat((ROOM - 2) / 2)));
        set("short");
        assert_eq!(last(), "short");
        std::thread::spawn(|| assert_eq!(last(), "")).join().unwrap();
    }
}
