//! Denormal numbers are computed with as any others: not flushed to zero, and the same bits on AVX2 as on AVX-512.

use crate::case::{Case, Options, Outcome};
use crate::tiers::tiers;
use elman::Isa;
use elman::internals::Scratch;

/// Steps, batch, input, hidden: full and partial vectors.
const SHAPES: [[usize; 4]; 3] = [[4, 5, 7, 19], [3, 1, 16, 32], [5, 9, 3, 40]];

/// The distance from the reference that the roundings of a sum of some ten terms may add up to, in all: denormals are
/// 2^-149 = 1.4e-45 apart.
const TOLERANCE: f64 = 5e-44;

fn scale(values: &mut [f32], factor: f32) {
    values.iter_mut().for_each(|value| *value *= factor);
}

/// On every tier; the tiers with fused multiply-adds give the same bits. Calls `check` with each outcome.
fn run_everywhere(case: &Case, what: &str, check: impl Fn(&Outcome, &str)) {
    let mut fused: Option<Outcome> = None;
    for kernels in tiers() {
        let outcome = case.run(kernels, &case.plan(kernels), &mut Scratch::default());
        check(&outcome, &format!("{what}, {}", kernels.isa()));
        if kernels.isa() != Isa::Portable {
            fused.get_or_insert_with(|| outcome.clone()).assert_same_bits(&outcome, what);
        }
    }
}

/// That nearly all of the tensor is denormal, and within the tolerance of the reference.
fn assert_denormal(got: &[f32], expected: &[f64], what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    let denormal = got.iter().filter(|value| value.is_subnormal()).count();
    assert!(10 * denormal >= 9 * got.len(), "{what}: {denormal} of {} are denormal", got.len());
    for (i, (&got, &expected)) in got.iter().zip(expected).enumerate() {
        let distance = (f64::from(got) - expected).abs();
        assert!(distance <= TOLERANCE, "{what}[{i}]: expected {expected:e}, got {got:e}, {distance:e} off");
    }
}

/// Every cell without a random choice in it but the numbers: tanh, relu, GRU, LSTM, LSTM with a projection.
fn cases() -> impl Iterator<Item = (Case, String)> {
    SHAPES.into_iter().flat_map(|shape| {
        (0..Options::CELLS).map(move |cell| {
            let mut case = Case::random(shape, Options { cell, bits: 0 }, 7);
            if cell == 1 {
                // A relu that is positive everywhere has no zeros beside the denormals; weights that small do not blow up.
                let [_, _, input, hidden] = shape.map(|size| size as f32);
                case.x.iter_mut().for_each(|value| *value = value.abs());
                case.weight_ih.iter_mut().for_each(|value| *value = value.abs() / input.sqrt());
                case.weight_hh.iter_mut().for_each(|value| *value = value.abs() / hidden.sqrt());
                let positive = |values: &mut Vec<f32>| values.iter_mut().for_each(|value| *value = value.abs());
                case.bias.iter_mut().flatten().for_each(positive);
                case.h_0.iter_mut().for_each(positive);
            }
            (case, format!("cell {cell} {shape:?}"))
        })
    })
}

#[test]
fn denormal_states_are_not_flushed() {
    for (mut case, what) in cases() {
        scale(&mut case.x, 1e-39);
        case.bias.iter_mut().flatten().for_each(|bias| scale(bias, 1e-39));
        [&mut case.h_0, &mut case.c_0].into_iter().flatten().for_each(|state| scale(state, 1e-39));
        let (expected, _) = case.reference();
        run_everywhere(&case, &what, |outcome, what| {
            assert_denormal(outcome.get("y"), &expected.y, &format!("{what}: y"));
            assert_denormal(outcome.get("h_n"), &expected.h_n, &format!("{what}: h_n"));
            assert_denormal(outcome.get("c_n"), &expected.c_n, &format!("{what}: c_n"));
        });
    }
}

#[test]
fn denormal_gradients_are_not_flushed() {
    for (mut case, what) in cases() {
        scale(&mut case.d_y, 1e-40);
        [&mut case.d_h_n, &mut case.d_c_n].into_iter().flatten().for_each(|state| scale(state, 1e-40));
        let (_, expected) = case.reference();
        run_everywhere(&case, &what, |outcome, what| {
            for (name, expected) in [
                ("d_x", &expected.d_x),
                ("d_h_0", &expected.d_h_0),
                ("d_c_0", &expected.d_c_0),
                ("d_weight_ih", &expected.d_weight_ih),
                ("d_weight_hh", &expected.d_weight_hh),
                ("d_weight_hr", &expected.d_weight_hr),
                ("d_bias_ih", &expected.d_bias_ih),
                ("d_bias_hh", &expected.d_bias_hh),
            ] {
                assert_denormal(outcome.get(name), expected, &format!("{what}: {name}"));
            }
        });
    }
}

/// Weights that are denormal themselves.
#[test]
fn denormal_weights_are_not_flushed() {
    for (mut case, what) in cases() {
        if case.sizes.projection > 0 {
            // Twice denormal is zero.
            continue;
        }
        scale(&mut case.weight_ih, 1e-39);
        case.bias.iter_mut().flatten().for_each(|bias| scale(bias, 1e-39));
        scale(&mut case.weight_hh, 1e-39);
        // Ordinary states would not make denormal ones.
        [&mut case.h_0, &mut case.c_0].into_iter().flatten().for_each(|state| scale(state, 1e-39));
        let (expected, _) = case.reference();
        run_everywhere(&case, &what, |outcome, what| {
            assert_denormal(outcome.get("y"), &expected.y, &format!("{what}: y"));
        });
    }
}
