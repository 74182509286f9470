//! Every operation of every tier against the scalar one.

use super::Vector;

/// Numbers that tell operations apart: signs, zeros, NaN, infinities, denormals, halves.
const VALUES: [f32; 16] = [
    1.5,
    -2.25,
    0.0,
    -0.0,
    f32::NAN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    1e-40,
    -1e-40,
    3.0e38,
    0.1,
    -7.0,
    1.0,
    123.456,
    -0.75,
    1e-20,
];

fn same(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

/// Checks one operation of two operands in every lane, over all pairs of values.
fn check2<V: Vector>(isa: V::Isa, name: &str, vector: impl Fn(V, V) -> V, scalar: impl Fn(f32, f32) -> f32) {
    for turn in 0..16 {
        let a: Vec<f32> = VALUES.to_vec();
        let b: Vec<f32> = (0..16).map(|i| VALUES[(i + turn) % 16]).collect();
        for first in (0..16).step_by(V::LANES) {
            let mut got = [0.0; 16];
            vector(V::load(isa, &a[first..]), V::load(isa, &b[first..])).store(&mut got);
            for lane in 0..V::LANES {
                let (x, y) = (a[first + lane], b[first + lane]);
                let expected = scalar(x, y);
                assert!(same(got[lane], expected), "{name}({x:e}, {y:e}) = {:e} in lane {lane}", got[lane]);
            }
        }
    }
}

/// Checks everything a tier has.
fn check<V: Vector>(isa: V::Isa) {
    check2::<V>(isa, "add", V::add, |x, y| x + y);
    check2::<V>(isa, "sub", V::sub, |x, y| x - y);
    check2::<V>(isa, "mul", V::mul, |x, y| x * y);
    check2::<V>(isa, "div", V::div, |x, y| x / y);
    check2::<V>(isa, "min", V::min, |x, y| if x < y { x } else { y });
    check2::<V>(isa, "max", V::max, |x, y| if x > y { x } else { y });
    check2::<V>(isa, "abs", |x, _| x.abs(), |x, _| x.abs());
    check2::<V>(isa, "sqrt", |x, _| x.abs().sqrt(), |x, _| x.abs().sqrt());
    check2::<V>(isa, "or_sign", |x, y| x.abs().or_sign(y), |x, y| x.abs().copysign(y));
    check2::<V>(isa, "like", |x, _| x.like(2.5), |_, _| 2.5);
    check2::<V>(isa, "lt and select", |x, y| V::select(x.lt(y), x, y.like(9.0)), |x, y| if x < y { x } else { 9.0 });
    let fused = |x: f32, y: f32, z: f32| if V::FUSED { x.mul_add(y, z) } else { x * y + z };
    check2::<V>(isa, "mul_add", |x, y| x.mul_add(y, x.like(0.1)), |x, y| fused(x, y, 0.1));
    check2::<V>(isa, "neg_mul_add", |x, y| x.neg_mul_add(y, x.like(0.1)), |x, y| fused(-x, y, 0.1));

    let lanes: [f32; 16] = std::array::from_fn(|i| 1.0 + (i as f32) * 1e-7 * 3.0_f32.powi(i as i32 % 5));
    let mut halves = lanes;
    let mut half = V::LANES / 2;
    while half > 0 {
        (0..half).for_each(|i| halves[i] += halves[i + half]);
        half /= 2;
    }
    assert_eq!(V::load(isa, &lanes).sum_halves(), halves[0], "the sum by halves");

    let mut powers = [0.0; 16];
    for n in -126..=127 {
        let low_bits = V::splat(isa, 12_582_912.0 + n as f32);
        V::splat(isa, 1.5).times_pow2(low_bits).store(&mut powers);
        assert_eq!(powers[..V::LANES], vec![1.5 * 2.0_f32.powi(n); V::LANES], "1.5 · 2^{n}");
    }

    let table = std::array::from_fn(|i| i as f32);
    let mut found = [0.0; 16];
    for n in -4..12 {
        for (x, half) in [(1.0, 0), (1.49, 0), (1.5, 1), (1.99, 1)] {
            V::look_up(&table, V::splat(isa, x * 2.0_f32.powi(n)).half_octave()).store(&mut found);
            let expected = (6 + 2 * n + half).rem_euclid(8) as f32;
            assert_eq!(found[..V::LANES], vec![expected; V::LANES], "the half octave of {x} · 2^{n}");
        }
    }

    for len in 0..=V::LANES + 2 {
        let from: Vec<f32> = (1..=len).map(|x| x as f32).collect();
        let mut loaded = [f32::NAN; 16];
        V::load_partial(isa, &from).store(&mut loaded);
        for (lane, &x) in loaded[..V::LANES].iter().enumerate() {
            assert_eq!(x, from.get(lane).copied().unwrap_or(0.0), "{len} loaded");
        }
        // Sentinels around the target must survive.
        let mut to = [-1.0; 40];
        V::splat(isa, 5.0).store_partial(&mut to[8..8 + len]);
        for (i, &x) in to.iter().enumerate() {
            let written = (8..8 + len.min(V::LANES)).contains(&i);
            assert_eq!(x, if written { 5.0 } else { -1.0 }, "{len} stored, element {i}");
        }
    }
    let short = vec![0.0; V::LANES - 1];
    let load = std::panic::AssertUnwindSafe(|| V::load(isa, &short).abs().store(&mut [0.0; 16]));
    assert!(std::panic::catch_unwind(load).is_err(), "a load beyond the end");
}

#[cfg(target_arch = "x86_64")]
#[test]
fn avx512() {
    match super::avx512::Avx512::new() {
        Some(isa) => check::<super::avx512::F32x16>(isa),
        None => eprintln!("skipped: this machine has no avx512"),
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn avx2() {
    match super::avx2::Avx2::new() {
        Some(isa) => check::<super::avx2::F32x8>(isa),
        None => eprintln!("skipped: this machine has no avx2"),
    }
}

#[test]
fn portable() {
    check::<super::portable::F32x8>(super::portable::Portable);
}
