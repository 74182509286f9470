//! Which version the library is of.
#![allow(unsafe_code)]

use std::ffi::c_char;

/// The version of the interface that this header describes. It changes where a program would have to be compiled anew.
pub const ELMAN_ABI_VERSION: u32 = 1;

/// The version of Elman that this header is of: major, minor, patch.
pub const ELMAN_VERSION_MAJOR: u32 = 0;
/// See `ELMAN_VERSION_MAJOR`.
pub const ELMAN_VERSION_MINOR: u32 = 1;
/// See `ELMAN_VERSION_MAJOR`.
pub const ELMAN_VERSION_PATCH: u32 = 0;

/// The version of the interface that the library was built with: `ELMAN_ABI_VERSION` of its own header.
/// `elman_abi_matches()` compares the two; ask it once after the library was loaded.
#[unsafe(no_mangle)]
pub extern "C" fn elman_abi_version() -> u32 {
    ELMAN_ABI_VERSION
}

/// The version of the library, such as "0.1.0".
#[unsafe(no_mangle)]
pub extern "C" fn elman_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_headers_version_is_the_packages() {
        let version = format!("{ELMAN_VERSION_MAJOR}.{ELMAN_VERSION_MINOR}.{ELMAN_VERSION_PATCH}");
        assert_eq!(version, env!("CARGO_PKG_VERSION"));
    }
}
