//! How results are compared: by distance, and bit by bit.

#![allow(dead_code, reason = "every test binary has its own copy and uses a part of it")]

/// The columns of one row of the batch.
pub(crate) fn pick_row(values: &[f32], batch: usize, width: usize, row: usize) -> Vec<f32> {
    values.chunks_exact(batch * width).flat_map(|step| step[row * width..][..width].to_vec()).collect()
}

/// The largest distance of `got` from `expected`, relative to the largest element, and where it is.
pub(crate) fn distance(got: &[f32], expected: &[f64]) -> (f64, usize) {
    distance_of_scale(got, expected, 1e-30)
}

/// The same for sums whose terms are of the size `scale`: where the largest element is smaller, it is what is left of
/// terms that cancel, and the terms' roundings are to be measured by the terms.
pub(crate) fn distance_of_scale(got: &[f32], expected: &[f64], scale: f64) -> (f64, usize) {
    assert_eq!(got.len(), expected.len());
    let largest = expected.iter().fold(scale, |largest: f64, x| largest.max(x.abs()));
    let mut worst = (0.0, 0);
    for (i, (&got, &expected)) in got.iter().zip(expected).enumerate() {
        let distance = (f64::from(got) - expected).abs() / largest;
        if distance.is_nan() || distance > worst.0 {
            worst = (distance, i);
        }
    }
    worst
}

/// Panics at the first element whose bits differ.
pub(crate) fn assert_same_bits(a: &[f32], b: &[f32], what: &str) {
    assert_eq!(a.len(), b.len(), "{what}: lengths");
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        assert!(a.to_bits() == b.to_bits(), "{what}[{i}]: {a:e} and {b:e}");
    }
}
