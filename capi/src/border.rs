//! Between Rust's results and C's statuses.

use std::any::Any;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};

use elman::Error;

use crate::last_error;
use crate::status::ElmanStatus;

/// A call's refusal, whose sentence is the thread's last error already.
#[derive(Debug)]
pub(crate) struct Refused(ElmanStatus);

/// What the functions behind the exported ones give.
pub(crate) type Answer<T = ()> = Result<T, Refused>;

/// Refuses a call with this sentence, without allocating.
#[cold]
#[inline(never)]
pub(crate) fn refuse(status: ElmanStatus, sentence: impl Display) -> Refused {
    last_error::set(sentence);
    Refused(status)
}

impl From<Error> for Refused {
    #[cold]
    fn from(error: Error) -> Self {
        refuse(error.kind().into(), error)
    }
}

/// Runs what is behind an exported function: no panic passes.
#[inline]
pub(crate) fn answer(f: impl FnOnce() -> Answer) -> ElmanStatus {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(Ok(())) => ElmanStatus::Ok,
        Ok(Err(Refused(status))) => status,
        Err(panic) => panicked(panic),
    }
}

#[cold]
#[inline(never)]
fn panicked(panic: Box<dyn Any + Send>) -> ElmanStatus {
    let text = panic.downcast_ref::<String>().map(|text| &text[..]).or(panic.downcast_ref::<&str>().copied());
    last_error::set(format_args!("a fault in the library: {}", text.unwrap_or("a panic without a text")));
    if text.is_none() {
        // Its drop could panic again.
        std::mem::forget(panic);
    }
    ElmanStatus::Panic
}

/// Where the mode of the calling thread cannot be set.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
#[cold]
pub(crate) fn float_mode() -> ElmanStatus {
    last_error::set("floating-point mode: expected the default on this CPU, got another");
    ElmanStatus::FloatMode
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::*;

    #[allow(unsafe_code)]
    fn last() -> String {
        // SAFETY: what is there ends in a zero.
        unsafe { CStr::from_ptr(last_error::get()) }.to_str().unwrap().to_string()
    }

    #[test]
    fn panics_are_statuses() {
        assert_eq!(answer(|| panic!("number {}", 7)), ElmanStatus::Panic);
        assert_eq!(last(), "a fault in the library: number 7");
        assert_eq!(answer(|| panic!("text")), ElmanStatus::Panic);
        assert_eq!(last(), "a fault in the library: text");
        struct Again;
        impl Drop for Again {
            fn drop(&mut self) {
                panic!("again");
            }
        }
        assert_eq!(answer(|| std::panic::panic_any(Again)), ElmanStatus::Panic);
        assert_eq!(answer(|| Ok(())), ElmanStatus::Ok);
        assert_eq!(last(), "a fault in the library: a panic without a text");
    }
}
