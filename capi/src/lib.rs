//! The C interface of Elman. `include/elman.h` is its documentation, made from this crate by cbindgen; a test holds the
//! two together.
//!
//! Every exported function that does more than to give a constant is a naked one: it jumps to the function behind it in
//! the floating-point mode that Rust assumes, whatever the host's is ([`elman::with_default_float_mode`] says why), and no
//! Rust code runs in another. That function is a closure in `border::answer`, which makes statuses of errors and
//! of panics.
#![expect(clippy::missing_safety_doc, reason = "the opening of the header says for all what a caller has to keep to")]

mod border;
mod handle;
pub mod last_error;
pub mod model;
pub mod run;
pub mod status;
pub mod stream;
pub mod version;

/// The body of an exported function: `entry!(target(arguments))`. Where the mode can be set, the exported function is
/// naked and this is its assembly; elsewhere another mode than the default is a status.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! entry {
    ($target:ident($($argument:ident),*)) => {
        elman::__in_default_float_mode!($target)
    };
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
macro_rules! entry {
    ($target:ident($($argument:ident),*)) => {{
        if !elman::internals::float_mode_is_default() {
            return $crate::border::float_mode();
        }
        $target($($argument),*)
    }};
}

/// That exported functions have the signatures of those behind them: the elements of an array are of one type.
macro_rules! same_signatures {
    ($($exported:ident = $target:ident),* $(,)?) => {
        $(const _: () = {
            let _ = [$exported, $target];
        };)*
    };
}

pub(crate) use {entry, same_signatures};
