//! tanh, sigmoid and exp of any floats at all, on every tier.

#![no_main]

use elman::internals::{EXP_ULP, Kernels, SIGMOID_ULP, TANH_ULP};
use elman::{Isa, Rng};
use elman_fuzz::{Guarded, Within};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

/// Where a slice lies and how it is cut, and what is in it.
#[derive(Arbitrary, Debug)]
struct Input {
    /// Sentinels before and behind the slice: decides about its alignment too.
    margin: Within<1, 33>,
    /// The length of the pieces that the slice is cut into.
    piece: Within<1, 40>,
    /// Elements by which the slice is turned, so that each comes to stand in another lane.
    turn: Within<1, 31>,
    values: Values,
}

/// Three ways to come by floats.
#[derive(Arbitrary, Debug)]
enum Values {
    /// Any bit patterns.
    Bits(Vec<u32>),
    /// Where the functions are neither constant nor linear, evenly: -110 to 110.
    Even { seed: u32, len: u8 },
    /// Neighbours: a float and those after it.
    Run { first: u32, len: u8 },
}

impl Values {
    fn floats(&self) -> Vec<f32> {
        match *self {
            Values::Bits(ref bits) => bits.iter().copied().map(f32::from_bits).collect(),
            Values::Even { seed, len } => {
                let mut rng = Rng::new(seed.into());
                (0..len).map(|_| rng.uniform(-110.0, 110.0)).collect()
            }
            Values::Run { first, len } => (0..u32::from(len)).map(|i| f32::from_bits(first.wrapping_add(i))).collect(),
        }
    }
}

/// A function by its kernel and its exact value.
struct Function {
    name: &'static str,
    kernel: fn(&Kernels, &mut [f32]),
    exact: fn(f64) -> f64,
    /// The bound with fused multiply-adds, and that of the portable tier without them.
    ulp: [f64; 2],
}

// As in tests/activations.rs, which measures the bounds over every float.
const FUNCTIONS: [Function; 3] = [
    Function { name: "tanh", kernel: Kernels::tanh, exact: tanh, ulp: [TANH_ULP, 2.0] },
    Function { name: "sigmoid", kernel: Kernels::sigmoid, exact: sigmoid, ulp: [SIGMOID_ULP, 2.0] },
    Function { name: "exp", kernel: Kernels::exp, exact: f64::exp, ulp: [EXP_ULP, 1.5] },
];

/// f64's own tanh loses digits near zero.
fn tanh(x: f64) -> f64 {
    if x.abs() < 1e-5 { x - x * x * x / 3.0 } else { x.tanh() }
}

fn sigmoid(x: f64) -> f64 {
    if x < 0.0 { x.exp() / (1.0 + x.exp()) } else { 1.0 / (1.0 + (-x).exp()) }
}

/// |got - exact| in units in the last place of the exact value; 0 where both overflow.
fn distance(got: f32, exact: f64) -> f64 {
    // Halfway between the largest float and the next power of two: from there on the nearest float is infinite.
    if exact.abs() >= f64::from(f32::MAX) + f64::powi(2.0, 103) {
        return if f64::from(got) == exact.signum() * f64::INFINITY { 0.0 } else { f64::INFINITY };
    }
    let exponent = (exact.abs().to_bits() >> 52) as i32 - 1023;
    (f64::from(got) - exact).abs() / f64::powi(2.0, exponent.max(-126) - 23)
}

/// The function of `x` in the middle of sentinels.
fn between_sentinels(function: &Function, kernels: &Kernels, x: &[f32], margin: usize) -> Vec<f32> {
    let mut x = Guarded::copy_of(x, margin);
    (function.kernel)(kernels, x.get_mut());
    x.open(&format!("{} {}", kernels.isa(), function.name))
}

/// The same bits, or both NaN: which NaN, the language leaves open.
fn same(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
}

fn assert_same(a: &[f32], b: &[f32], x: &[f32], what: &str) {
    assert_eq!(a.len(), b.len(), "{what}");
    for ((&a, &b), x) in a.iter().zip(b).zip(x) {
        assert!(same(a, b), "{what}: {a:e} and {b:e} of {x:e} ({:#010x})", x.to_bits());
    }
}

fuzz_target!(|input: Input| {
    let x = input.values.floats();
    let (margin, piece, turn) = (input.margin.get(), input.piece.get(), input.turn.get() % x.len().max(1));
    for function in &FUNCTIONS {
        let mut fused: Option<Vec<f32>> = None;
        for kernels in Kernels::available() {
            let what = format!("{} {}", kernels.isa(), function.name);
            // A slice as long as its allocation, whose ends AddressSanitizer watches.
            let mut y: Box<[f32]> = x.clone().into();
            (function.kernel)(kernels, &mut y);

            let bound = function.ulp[usize::from(kernels.isa() == Isa::Portable)];
            for (&x, &y) in x.iter().zip(&y) {
                if x.is_nan() {
                    assert!(y.is_nan(), "{what} of a NaN ({:#010x}) is {y:e}", x.to_bits());
                    continue;
                }
                let ulp = distance(y, (function.exact)(f64::from(x)));
                assert!(ulp <= bound, "{what}({x:e}) is {y:e}: {ulp} ulp, more than {bound}");
            }

            let guarded = between_sentinels(function, kernels, &x, margin);
            assert_same(&guarded, &y, &x, &format!("{what} behind a margin"));
            let pieces: Vec<f32> =
                x.chunks(piece).flat_map(|x| between_sentinels(function, kernels, x, margin)).collect();
            assert_same(&pieces, &y, &x, &format!("{what} in pieces of {piece}"));
            let mut turned = x.clone();
            turned.rotate_left(turn);
            (function.kernel)(kernels, &mut turned);
            turned.rotate_right(turn);
            assert_same(&turned, &y, &x, &format!("{what} turned by {turn}"));

            if kernels.isa() != Isa::Portable {
                let fused = fused.get_or_insert_with(|| y.to_vec());
                assert_same(&y, fused, &x, &format!("{what} and a wider tier"));
            }
        }
    }
});
