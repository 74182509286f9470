//! The reference is judged before it judges: by cases worked out by hand, by laws that hold of any layer, by finite
//! differences, and by PyTorch.

mod by_hand;
mod differences;
#[cfg(feature = "safetensors")]
#[path = "../common/fixtures.rs"]
mod fixtures;
mod laws;
mod pass;
#[cfg(feature = "safetensors")]
mod pytorch;

use elman::Rng;
use elman::reference::Real;

fn reals<R: Real>(values: &[f64]) -> Vec<R> {
    values.iter().map(|&x| R::from_f64(x)).collect()
}

/// The largest distance of an element, as a share of the largest expected one. Where that is 0 all must be 0, exactly.
fn distance<A: Real, B: Real>(name: &str, got: &[A], expected: &[B]) -> f64 {
    assert_eq!(got.len(), expected.len(), "{name}: length");
    let pairs = || got.iter().zip(expected).map(|(&got, &expected)| (got.into(), expected.into()));
    // Not f64::max, which drops a NaN.
    let worst = |worst: f64, x: f64| if x <= worst { worst } else { x };
    let largest = pairs().map(|(_, expected): (f64, f64)| expected.abs()).fold(0.0, worst);
    let apart = pairs().map(|(got, expected)| (got - expected).abs()).fold(0.0, worst);
    if largest == 0.0 && apart == 0.0 { 0.0 } else { apart / largest }
}

#[track_caller]
fn assert_near<A: Real, B: Real>(name: &str, got: &[A], expected: &[B], tolerance: f64) {
    let distance = distance(name, got, expected);
    // Not `>`: a NaN fails.
    assert!(distance <= tolerance, "{name}: {distance:e} of the largest apart\n got {got:?}\n not {expected:?}");
}

/// Uniform in [-1, 1).
fn draw(rng: &mut Rng, n: usize) -> Vec<f64> {
    (0..n).map(|_| 2.0 * rng.unit() - 1.0).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
