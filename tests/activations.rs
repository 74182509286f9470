//! tanh, sigmoid and exp on every tier: distance from the exact value, special values, and the same bits everywhere.

#[path = "common/tiers.rs"]
mod tiers;

use elman::Isa;
use elman::internals::{EXP_ULP, Kernels, SIGMOID_ULP, TANH_ULP};
use tiers::tiers;

/// A function by its kernel and its exact value.
#[derive(Clone, Copy)]
struct Function {
    name: &'static str,
    kernel: fn(&Kernels, &mut [f32]),
    exact: fn(f64) -> f64,
    /// The bound with fused multiply-adds, and that of the portable tier without them.
    ulp: [f64; 2],
}

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

impl Function {
    fn bound(self, kernels: &Kernels) -> f64 {
        self.ulp[usize::from(kernels.isa() == Isa::Portable)]
    }

    /// The largest distance over the floats of those bits, in units in the last place of the exact value; and where.
    fn worst(self, kernels: &Kernels, bits: impl Iterator<Item = u32>) -> (f64, f32) {
        let mut worst = (0.0, 0.0);
        let mut inputs = Vec::with_capacity(4096);
        let mut bits = bits.filter(|&bits| !f32::from_bits(bits).is_nan()).peekable();
        while bits.peek().is_some() {
            inputs.clear();
            inputs.extend(bits.by_ref().take(4096).map(f32::from_bits));
            let mut outputs = inputs.clone();
            (self.kernel)(kernels, &mut outputs);
            for (&x, &y) in inputs.iter().zip(&outputs) {
                let distance = distance(y, (self.exact)(f64::from(x)));
                if distance.is_nan() || distance > worst.0 {
                    worst = (distance, x);
                }
            }
        }
        worst
    }
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

/// A dense sample: every float whose bits are a multiple of a prime, and the neighbourhood of every power of two and of
/// the places where the algorithms change over.
fn sample() -> impl Iterator<Item = u32> {
    let corners = [
        1.15_f32, 0.25, 0.75, 1.25, 2.25, 3.25, 5.25, 7.25, 9.010913, 88.722_84, 88.0, 103.972_08, 104.0, 87.336_54,
        16.635_532, 24.0, 105.0, 0.346_574,
    ];
    let corners = corners.into_iter().flat_map(|x| [x, -x]).chain((-126..128).map(|e| 2.0_f32.powi(e)));
    let near = corners.flat_map(|x| (0..65).map(move |i| x.to_bits().wrapping_add(i).wrapping_sub(32)));
    (0..u32::MAX / 1009).map(|i| i * 1009).chain(near)
}

#[test]
fn a_dense_sample_is_within_the_bounds() {
    for kernels in tiers() {
        for function in FUNCTIONS {
            let (worst, at) = function.worst(kernels, sample());
            let (name, bound) = (function.name, function.bound(kernels));
            eprintln!("{} {name}: {worst:.4} ulp at {at:e}", kernels.isa());
            assert!(worst <= bound, "{} {name}: {worst} ulp at {at:e}, more than {bound}", kernels.isa());
        }
    }
}

#[test]
#[ignore = "every float on every tier takes minutes"]
fn every_float_is_within_the_bounds() {
    for kernels in tiers() {
        for function in FUNCTIONS {
            let (low, high) = std::thread::scope(|scope| {
                let half = scope.spawn(|| function.worst(kernels, 0..1 << 31));
                (function.worst(kernels, 1 << 31..=u32::MAX), half.join().unwrap())
            });
            let (worst, at) = if low.0 > high.0 { low } else { high };
            let (name, bound) = (function.name, function.bound(kernels));
            eprintln!("{} {name}: {worst:.4} ulp at {at:e}", kernels.isa());
            assert!(worst <= bound, "{} {name}: {worst} ulp at {at:e}, more than {bound}", kernels.isa());
        }
    }
}

#[test]
fn special_values_are_exact() {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    for kernels in tiers() {
        let apply = |function: fn(&Kernels, &mut [f32]), x: f32| {
            let mut x = [x];
            function(kernels, &mut x);
            x[0]
        };
        for (x, y) in
            [(0.0_f32, 0.0_f32), (inf, 1.0), (9.02, 1.0), (1e30, 1.0), (f32::MAX, 1.0), (1e-40, 1e-40), (1e-20, 1e-20)]
        {
            assert_eq!(apply(Kernels::tanh, x).to_bits(), y.to_bits(), "tanh({x:e})");
            assert_eq!(apply(Kernels::tanh, -x).to_bits(), (-y).to_bits(), "tanh(-{x:e})");
        }
        for (x, y) in [(0.0, 0.5), (inf, 1.0), (-inf, 0.0), (40.0, 1.0), (-110.0, 0.0), (-0.0, 0.5)] {
            assert_eq!(apply(Kernels::sigmoid, x), y, "sigmoid({x:e})");
        }
        for (x, y) in [(0.0, 1.0), (-0.0, 1.0), (inf, inf), (-inf, 0.0), (89.0, inf), (-110.0, 0.0)] {
            assert_eq!(apply(Kernels::exp, x), y, "exp({x:e})");
        }
        for function in FUNCTIONS {
            for x in [nan, -nan, f32::from_bits(0x7f80_0001), f32::from_bits(0xffc1_2345)] {
                assert!(apply(function.kernel, x).is_nan(), "{} of a NaN", function.name);
            }
        }
    }
}

#[test]
fn tails_are_monotone_and_never_leave_the_range() {
    for kernels in tiers() {
        for (function, from, to) in [(FUNCTIONS[0], 4.0_f32, 12.0_f32), (FUNCTIONS[1], 4.0, 24.0)] {
            let mut x: Vec<f32> = (from.to_bits()..to.to_bits()).step_by(7).map(f32::from_bits).collect();
            (function.kernel)(kernels, &mut x);
            assert!(x.windows(2).all(|pair| pair[0] <= pair[1]), "{} {}", kernels.isa(), function.name);
            assert!(x.iter().all(|&y| y <= 1.0));
        }
        let mut x: Vec<f32> =
            (4.0_f32.to_bits()..104.0_f32.to_bits()).step_by(7).map(|bits| -f32::from_bits(bits)).collect();
        kernels.sigmoid(&mut x);
        assert!(x.windows(2).all(|pair| pair[0] >= pair[1]) && x.iter().all(|&y| y >= 0.0), "{}", kernels.isa());
    }
}

#[test]
fn neither_tier_nor_place_changes_a_bit() {
    let inputs: Vec<f32> = sample().step_by(173).map(f32::from_bits).filter(|x| !x.is_nan()).collect();
    for function in FUNCTIONS {
        let mut fused: Option<Vec<u32>> = None;
        for kernels in tiers() {
            let mut whole = inputs.clone();
            (function.kernel)(kernels, &mut whole);
            let whole: Vec<u32> = whole.iter().map(|x| x.to_bits()).collect();
            // In pieces of every length, so that each lane and each tail gets its turn.
            let (mut start, mut len) = (0, 0);
            while start < inputs.len() {
                let end = (start + len).min(inputs.len());
                let mut piece = inputs[start..end].to_vec();
                (function.kernel)(kernels, &mut piece);
                let same = piece.iter().zip(&whole[start..end]).all(|(a, &b)| a.to_bits() == b);
                assert!(same, "{} {} in a piece of {len}", kernels.isa(), function.name);
                (start, len) = (end, (len + 1) % 40);
            }
            if kernels.isa() != Isa::Portable {
                assert_eq!(fused.get_or_insert_with(|| whole.clone()).len(), whole.len());
                assert!(fused.as_ref() == Some(&whole), "{} of the tiers differs", function.name);
            }
        }
    }
}
