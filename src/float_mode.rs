//! The floating-point mode that Rust assumes, for calls from threads on which a host has set another.
//!
//! Hosts in other languages, audio hosts above all, set their threads to flush denormal numbers to zero. Rust, and with it
//! every result here, assumes the default mode: round to nearest, denormals as IEEE 754 has them, no traps. No Rust code
//! may change that around itself, as the compiler may move arithmetic across the change. So the change is made by an
//! assembly function, which calls what is to run in the default mode and restores the caller's on return.
#![allow(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

use crate::error::Result;

/// Runs `f` in the default floating-point mode, whatever the calling thread's is, and restores that on return: what a
/// thread needs on which a host in another language has set denormals to be flushed to zero, or another rounding.
///
/// Where the mode is the default one already, this costs a comparison and two calls.
///
/// ```
/// use elman::{Lstm, Rng, Stream, with_default_float_mode};
///
/// let model = Lstm::builder(1, 16).linear("fc", 1).model(&mut Rng::new(1))?;
/// let mut stream = Stream::new(model)?;
/// let (x, mut y) = ([0.5; 64], [0.0; 64]);
/// with_default_float_mode(|| stream.block(&x, &mut y))?; // in the callback
/// # Ok::<(), elman::Error>(())
/// ```
///
/// # Errors
/// That of `f`. On other CPUs than x86-64 and AArch64, where the mode cannot be set,
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if it is another than the default; `f` is then not called.
pub fn with_default_float_mode<R>(f: impl FnOnce() -> Result<R>) -> Result<R> {
    let mut call = Call { f: Some(f), result: None };
    enter(&mut call)?;
    match call.result.expect("it was called") {
        Ok(result) => result,
        Err(panic) => resume_unwind(panic),
    }
}

/// What is to be called, then what it gave.
struct Call<F, R> {
    f: Option<F>,
    result: Option<thread::Result<Result<R>>>,
}

impl<F: FnOnce() -> Result<R>, R> Call<F, R> {
    fn run(&mut self) {
        let f = self.f.take().expect("it is called once");
        // A panic cannot pass through the assembly; it goes on behind it.
        self.result = Some(catch_unwind(AssertUnwindSafe(f)));
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn enter<F: FnOnce() -> Result<R>, R>(call: &mut Call<F, R>) -> Result<()> {
    use std::ffi::c_void;

    extern "C" fn run<F: FnOnce() -> Result<R>, R>(call: *mut c_void) {
        // SAFETY: it is the `call` of `enter`, which nothing else uses meanwhile.
        unsafe { &mut *call.cast::<Call<F, R>>() }.run();
    }

    extern "C" fn pass_on(run: extern "C" fn(*mut c_void), call: *mut c_void) {
        run(call);
    }

    #[unsafe(naked)]
    extern "C" fn trampoline(run: extern "C" fn(*mut c_void), call: *mut c_void) {
        crate::__in_default_float_mode!(pass_on)
    }

    trampoline(run::<F, R>, std::ptr::from_mut(call).cast());
    Ok(())
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn enter<F: FnOnce() -> Result<R>, R>(call: &mut Call<F, R>) -> Result<()> {
    if !is_default() {
        return Err(crate::Error::unsupported("floating-point mode", "another than the default, on this CPU"));
    }
    call.run();
    Ok(())
}

/// Whether results round to the nearest and denormals are kept, as far as a calculation can tell.
#[doc(hidden)]
#[must_use]
pub fn is_default() -> bool {
    use std::hint::black_box;
    let denormal = black_box(black_box(f32::MIN_POSITIVE) * 0.5);
    let sum = |x: f32| black_box(black_box(1.0) + x);
    // A quarter and three quarters of the distance from 1 to the next number.
    let (less, more) = (f32::EPSILON * 0.25, f32::EPSILON * 0.75);
    denormal * 2.0 == f32::MIN_POSITIVE && sum(less) == 1.0 && sum(more) == 1.0 + f32::EPSILON
}

/// The body of a naked function of at most six arguments, integers or pointers, that calls `$target`, an `extern "C"`
/// function of the same signature, in the default floating-point mode. Where the caller's mode is that already, it jumps
/// there; else it sets the mode, calls, and sets it back. The target must not unwind.
///
/// MXCSR is 0x1F80 by default, besides the six lowest bits, which only tell what has happened.
#[cfg(all(target_arch = "x86_64", not(windows)))]
#[doc(hidden)]
#[macro_export]
macro_rules! __in_default_float_mode {
    ($target:path) => {
        ::core::arch::naked_asm!(
            ".cfi_startproc",
            // Below the stack pointer: in the red zone.
            "stmxcsr [rsp - 8]",
            "mov eax, dword ptr [rsp - 8]",
            "and eax, -64",
            "cmp eax, 0x1F80",
            "jne 2f",
            "jmp {target}",
            "2:",
            "sub rsp, 24",
            ".cfi_adjust_cfa_offset 24",
            "stmxcsr [rsp + 8]",
            "mov dword ptr [rsp + 12], 0x1F80",
            "ldmxcsr [rsp + 12]",
            "call {target}",
            "ldmxcsr [rsp + 8]",
            "add rsp, 24",
            ".cfi_adjust_cfa_offset -24",
            "ret",
            ".cfi_endproc",
            target = sym $target,
        )
    };
}

/// As on other x86-64 systems. There is no red zone, but room for four arguments above the return address, which is the
/// callee's; the fifth and the sixth argument lie above it and are copied.
#[cfg(all(target_arch = "x86_64", windows))]
#[doc(hidden)]
#[macro_export]
macro_rules! __in_default_float_mode {
    ($target:path) => {
        $crate::__in_default_float_mode_win64!($target)
    };
}

#[cfg(target_arch = "x86_64")]
#[doc(hidden)]
#[macro_export]
macro_rules! __in_default_float_mode_win64 {
    ($target:path) => {
        ::core::arch::naked_asm!(
            "stmxcsr [rsp + 8]",
            "mov eax, dword ptr [rsp + 8]",
            "and eax, -64",
            "cmp eax, 0x1F80",
            "jne 2f",
            "jmp {target}",
            "2:",
            "sub rsp, 72",
            "stmxcsr [rsp + 48]",
            "mov dword ptr [rsp + 52], 0x1F80",
            "ldmxcsr [rsp + 52]",
            "mov rax, qword ptr [rsp + 112]",
            "mov qword ptr [rsp + 32], rax",
            "mov rax, qword ptr [rsp + 120]",
            "mov qword ptr [rsp + 40], rax",
            "call {target}",
            "ldmxcsr [rsp + 48]",
            "add rsp, 72",
            "ret",
            target = sym $target,
        )
    };
}

/// The same on AArch64, where the mode is FPCR, and 0 by default.
#[cfg(target_arch = "aarch64")]
#[doc(hidden)]
#[macro_export]
macro_rules! __in_default_float_mode {
    ($target:path) => {
        ::core::arch::naked_asm!(
            ".cfi_startproc",
            "mrs x9, fpcr",
            "cbnz x9, 2f",
            "b {target}",
            "2:",
            "stp x29, x30, [sp, #-32]!",
            ".cfi_def_cfa_offset 32",
            ".cfi_offset x29, -32",
            ".cfi_offset x30, -24",
            "mov x29, sp",
            "str x9, [sp, #16]",
            "msr fpcr, xzr",
            "bl {target}",
            "ldr x9, [sp, #16]",
            "msr fpcr, x9",
            "ldp x29, x30, [sp], #32",
            ".cfi_def_cfa_offset 0",
            ".cfi_restore x29",
            ".cfi_restore x30",
            "ret",
            ".cfi_endproc",
            target = sym $target,
        )
    };
}
