//! The same bits on a thread whose host has set another floating-point mode, and that mode again afterwards.
#![cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

use elman::internals::float_mode_is_default;
use elman::{ErrorKind, Model, ModelSpec, RecurrentSpec, Rng, Stream, Threads, with_default_float_mode};

/// Modes of hosts: denormal results and operands are zeros; the same and rounding down; rounding to zero.
#[cfg(target_arch = "x86_64")]
const HOSTS: [u64; 3] = [0x1F80 | 0x8040, 0x1F80 | 0x8040 | 0x2000, 0x1F80 | 0x6000];
#[cfg(target_arch = "aarch64")]
const HOSTS: [u64; 3] = [1 << 24, 1 << 24 | 2 << 22, 3 << 22];

/// Calls `f` in that mode, as a host would, and gives the mode that it came back in.
#[cfg(all(target_arch = "x86_64", not(windows)))]
#[unsafe(naked)]
extern "C" fn host(f: extern "C" fn(*mut c_void), data: *mut c_void, mode: u64) -> u64 {
    core::arch::naked_asm!(
        "sub rsp, 24",
        "stmxcsr [rsp]",
        "mov [rsp + 8], edx",
        "ldmxcsr [rsp + 8]",
        "mov rax, rdi",
        "mov rdi, rsi",
        "call rax",
        "stmxcsr [rsp + 8]",
        "ldmxcsr [rsp]",
        "mov eax, [rsp + 8]",
        "and eax, -64",
        "add rsp, 24",
        "ret",
    )
}

#[cfg(all(target_arch = "x86_64", windows))]
#[unsafe(naked)]
extern "C" fn host(f: extern "C" fn(*mut c_void), data: *mut c_void, mode: u64) -> u64 {
    core::arch::naked_asm!(
        "sub rsp, 56",
        "stmxcsr [rsp + 32]",
        "mov [rsp + 40], r8d",
        "ldmxcsr [rsp + 40]",
        "mov rax, rcx",
        "mov rcx, rdx",
        "call rax",
        "stmxcsr [rsp + 40]",
        "ldmxcsr [rsp + 32]",
        "mov eax, [rsp + 40]",
        "and eax, -64",
        "add rsp, 56",
        "ret",
    )
}

#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
extern "C" fn host(f: extern "C" fn(*mut c_void), data: *mut c_void, mode: u64) -> u64 {
    core::arch::naked_asm!(
        "stp x29, x30, [sp, #-32]!",
        "mrs x9, fpcr",
        "str x9, [sp, #16]",
        "msr fpcr, x2",
        "mov x9, x0",
        "mov x0, x1",
        "blr x9",
        "mrs x0, fpcr",
        "ldr x9, [sp, #16]",
        "msr fpcr, x9",
        "ldp x29, x30, [sp], #32",
        "ret",
    )
}

/// Calls `f` on a thread in that mode, which it has to come back in.
fn on_host<F: FnMut()>(mode: u64, mut f: F) {
    extern "C" fn call<F: FnMut()>(f: *mut c_void) {
        // SAFETY: it is the `f` of `on_host`, which waits.
        unsafe { (*f.cast::<F>())() }
    }
    assert_eq!(host(call::<F>, (&raw mut f).cast(), mode), mode, "the mode that the host is left with");
}

/// Streams without bias: after one loud step their states decay through the denormals to zero.
fn decaying() -> Vec<Stream> {
    let cells = [RecurrentSpec::rnn([16]), RecurrentSpec::gru([16]), RecurrentSpec::lstm([16])];
    let model = |cell: RecurrentSpec| Model::init(ModelSpec::new(1).layer("", cell.bias(false)), &mut Rng::new(1));
    cells.into_iter().map(|cell| Stream::new(model(cell).unwrap()).unwrap()).collect()
}

/// One loud step and silence, and what came out: the bits of every step and of the last state.
struct Decay {
    x: Vec<f32>,
    y: Vec<f32>,
}

impl Decay {
    fn new() -> Self {
        let mut x = vec![0.0; 400];
        x[0] = 3.0;
        Self { x, y: vec![0.0; 400 * 16] }
    }

    fn run(&mut self, stream: &mut Stream) -> elman::Result<()> {
        stream.reset();
        self.x.chunks(1).zip(self.y.chunks_mut(16)).try_for_each(|(x, y)| stream.step(x, y))
    }

    fn bits(&self) -> Vec<u32> {
        self.y.iter().map(|y| y.to_bits()).collect()
    }
}

#[test]
fn a_stream_gives_the_same_bits_in_any_mode_of_the_host() {
    for mut stream in decaying() {
        let what = format!("{}", stream.model().spec());
        let mut decay = Decay::new();
        decay.run(&mut stream).unwrap();
        let expected = decay.bits();
        let subnormal = decay.y.iter().filter(|y| y.is_subnormal()).count();
        assert!(subnormal >= 100, "{subnormal} subnormal states: {what}");
        for mode in HOSTS {
            let mut decay = Decay::new();
            on_host(mode, || with_default_float_mode(|| decay.run(&mut stream)).unwrap());
            assert!(decay.bits() == expected, "in mode {mode:#x}: {what}");
            // The test sees what it is about: without the guard the bits are others.
            on_host(mode, || decay.run(&mut stream).unwrap());
            assert!(decay.bits() != expected, "{mode:#x} changes nothing: {what}");
        }
    }
}

/// Threads inherit the mode of the one that starts them.
#[test]
fn threads_that_are_started_within_have_the_default_mode_too() {
    for mode in HOSTS {
        on_host(mode, || {
            assert!(!float_mode_is_default());
            let inside = || std::thread::spawn(float_mode_is_default).join().unwrap();
            assert!(with_default_float_mode(|| Ok(float_mode_is_default() && inside())).unwrap());
            assert!(with_default_float_mode(|| Threads::new(1)).is_ok());
            assert!(!float_mode_is_default());
        });
    }
    assert!(float_mode_is_default());
}

#[test]
fn errors_and_panics_come_through_and_the_mode_is_restored() {
    for mode in HOSTS {
        on_host(mode, || {
            let error = with_default_float_mode(|| Threads::new(0)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Setting);
            let panic = || with_default_float_mode(|| -> elman::Result<()> { std::panic::resume_unwind(Box::new(7)) });
            let caught = catch_unwind(AssertUnwindSafe(panic)).unwrap_err();
            assert_eq!(caught.downcast_ref(), Some(&7));
            assert!(!float_mode_is_default());
        });
    }
}

/// Six arguments, a result, and a stack that is aligned, in and out of the host's mode.
#[test]
fn arguments_and_results_pass() {
    macro_rules! function {
        ($abi:literal, $macro:ident) => {{
            extern $abi fn digits(a: u64, b: *const u64, c: u64, d: u64, e: *mut u64, f: u64) -> u64 {
                #[repr(align(16))]
                struct Aligned([u8; 16]);
                let local = Aligned([1; 16]);
                // SAFETY: both point to numbers of the test.
                let (b, e) = unsafe { (*b, &mut *e) };
                *e += 1;
                let aligned = std::hint::black_box(&raw const local.0).addr() % 16;
                assert!(aligned == 0 && float_mode_is_default());
                ((((a * 10 + b) * 10 + c) * 10 + d) * 10 + *e) * 10 + f
            }
            #[unsafe(naked)]
            extern $abi fn entry(a: u64, b: *const u64, c: u64, d: u64, e: *mut u64, f: u64) -> u64 {
                elman::$macro!(digits)
            }
            let check = || {
                let (b, mut e) = (2, 4);
                assert_eq!((entry(1, &b, 3, 4, &mut e, 6), e), (123_456, 5));
            };
            check();
            HOSTS.into_iter().for_each(|mode| on_host(mode, check));
        }};
    }
    function!("C", __in_default_float_mode);
    // What runs on Windows can be called here too.
    #[cfg(target_arch = "x86_64")]
    function!("win64", __in_default_float_mode_win64);
}
