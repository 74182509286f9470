//! The product of packed matrices on every tier: exact where numbers are whole, else within the bound of its sums.

#[path = "common/tiers.rs"]
mod tiers;

use elman::internals::fallback::{Extents, Strided, sgemm};
use elman::internals::{Blocking, GemmScratch, Kernels, Panels, product};
use elman::{Isa, Rng};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use tiers::tiers;

fn naive(a: &[f32], b: &[f32], [m, k, n]: [usize; 3]) -> Vec<f64> {
    let element = |i: usize, j: usize| (0..k).map(|l| f64::from(a[i * k + l]) * f64::from(b[l * n + j])).sum();
    (0..m * n).map(|i| element(i / n, i % n)).collect()
}

fn run(kernels: &'static Kernels, a: &[f32], b: &[f32], [m, k, n]: [usize; 3], kc: usize) -> Vec<f32> {
    let mut panels = Panels::new(k, n);
    panels.pack(b);
    let mut c = vec![f32::NAN; m * n];
    product(kernels, Blocking::of(kernels.isa()).with_kc(kc), a, &panels, &mut c, &mut GemmScratch::default());
    c
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whole_numbers_are_exact(m in 1..40_usize, k in 1..90_usize, n in 1..70_usize, kc in 1..100_usize, seed: u64) {
        let mut rng = Rng::new(seed);
        let mut draw = |len| -> Vec<f32> { (0..len).map(|_| rng.below(17) as f32 - 8.0).collect() };
        let (a, b) = (draw(m * k), draw(k * n));
        let expected = naive(&a, &b, [m, k, n]);
        for kernels in tiers() {
            for (i, (c, expected)) in run(kernels, &a, &b, [m, k, n], kc).iter().zip(&expected).enumerate() {
                assert_eq!(f64::from(*c), *expected, "{} element {i} of ({m}, {k}, {n})", kernels.isa());
            }
        }
    }

    #[test]
    fn sums_are_as_exact_as_one_chain(m in 1..20_usize, k in 1..700_usize, n in 1..40_usize, seed: u64) {
        let mut rng = Rng::new(seed);
        let mut draw = |len| -> Vec<f32> { (0..len).map(|_| rng.uniform(-1.0, 1.0)).collect() };
        let (a, b) = (draw(m * k), draw(k * n));
        let expected = naive(&a, &b, [m, k, n]);
        let magnitudes: Vec<Vec<f32>> = [&a, &b].map(|x| x.iter().map(|x| x.abs()).collect()).into();
        // Higham's bound for a sum of k products in any order: k·eps·Σ|a||b|, eps = 2^-24 (and twice that without FMA).
        let bound = naive(&magnitudes[0], &magnitudes[1], [m, k, n]);
        for kernels in tiers() {
            for (c, (expected, bound)) in run(kernels, &a, &b, [m, k, n], 512).iter().zip(expected.iter().zip(&bound)) {
                let distance = (f64::from(*c) - expected).abs();
                let allowed = (k + 1) as f64 * f64::from(f32::EPSILON) * bound;
                assert!(distance <= allowed, "{}: {distance:e} of {allowed:e} allowed", kernels.isa());
            }
        }
    }

    #[test]
    fn blocking_and_tier_do_not_change_a_bit(
        m in 1..40_usize, k in 1..300_usize, n in 1..60_usize, kc in 1..300_usize, seed: u64,
    ) {
        let mut rng = Rng::new(seed);
        let mut draw = |len| -> Vec<f32> { (0..len).map(|_| rng.uniform(-1.0, 1.0)).collect() };
        let (a, b) = (draw(m * k), draw(k * n));
        let mut first: Option<Vec<u32>> = None;
        for kernels in tiers().into_iter().filter(|kernels| kernels.isa() != Isa::Portable) {
            for kc in [kc, 512] {
                let bits: Vec<u32> = run(kernels, &a, &b, [m, k, n], kc).iter().map(|x| x.to_bits()).collect();
                assert!(first.get_or_insert_with(|| bits.clone()) == &bits, "{} kc {kc}", kernels.isa());
            }
        }
    }
}

#[test]
fn the_fallback_refuses_operands_that_reach_beyond_their_slices() {
    let data = [1.0; 12];
    let whole = Strided::rows(&data, 4);
    let mut c = [0.0; 9];
    sgemm(Extents { m: 3, k: 4, n: 3 }, whole, Strided::rows(&data, 3), 0.0, &mut c, 3);
    assert_eq!(c, [4.0; 9]);
    for ([m, k, n], stride) in [([4, 4, 3], 3), ([3, 5, 3], 3), ([3, 4, 4], 4), ([3, 4, 3], 2)] {
        let extents = Extents { m, k, n };
        let b = Strided::rows(&data, 3);
        let result = std::panic::catch_unwind(|| sgemm(extents, whole, b, 0.0, &mut [0.0; 9], stride));
        assert!(result.is_err(), "{extents:?} with rows {stride} apart");
    }
}

#[test]
fn strides_that_overflow_are_refused() {
    // 3 · stride is 2^64 + 2: wrapped around, it would look as if it fitted.
    let one = [1.0; 4];
    let operand = Strided::rows(&one, 1);
    let result = std::panic::catch_unwind(|| {
        sgemm(Extents { m: 4, k: 1, n: 1 }, operand, operand, 0.0, &mut [0.0; 3], 6_148_914_691_236_517_206);
    });
    assert!(result.is_err());
    assert!(std::panic::catch_unwind(|| Panels::new(16, (1 << 60) + 1)).is_err());
}

#[test]
fn another_tiers_blocking_changes_nothing() {
    let mut rng = Rng::new(2);
    let mut draw = |len| -> Vec<f32> { (0..len).map(|_| rng.uniform(-1.0, 1.0)).collect() };
    let (a, b) = (draw(23 * 40), draw(40 * 33));
    let mut panels = Panels::new(40, 33);
    panels.pack(&b);
    for kernels in tiers() {
        let [own, other] =
            [kernels.isa(), if kernels.isa() == Isa::Avx512 { Isa::Avx2 } else { Isa::Avx512 }].map(|isa| {
                let mut c = vec![0.0; 23 * 33];
                product(kernels, Blocking::of(isa), &a, &panels, &mut c, &mut GemmScratch::default());
                c
            });
        assert_eq!(own, other, "{}", kernels.isa());
    }
}
