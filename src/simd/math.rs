//! tanh, sigmoid and exp over any [`Vector`]: one algorithm each, the same operations in every lane of every tier.
//!
//! The critical path decided the forms: a recurrent step with one row waits for its activation.
//!
//! The bounds are over all floats, measured against f64 (`tests/activations.rs` does it again: a dense sample by
//! default, every float on request). A NaN stays one: the operand order of `min`, `max` and the comparisons sees to it.

use super::Vector;

/// The largest distance of tanh from the exact value, in units in the last place, with fused multiply-adds.
pub const TANH_ULP: f64 = 1.65;
/// The largest distance of the sigmoid.
pub const SIGMOID_ULP: f64 = 1.63;
/// The largest distance of exp.
pub const EXP_ULP: f64 = 0.99;

/// Below it tanh is a polynomial. Where the two forms are about equally exact.
const TANH_SPLIT: f32 = 1.15;
/// Above it tanh rounds to 1: atanh(1 - 2^-25) = 9.0109133…, rounded down.
const TANH_ONE: f32 = 9.010913;
/// N and D of sqrt(2 / (e^2x + 1)) = N/D on [1.15, 9.02]: a rational Remez fit of degree (2, 5), minimax in the
/// absolute error of 1 - (N/D)² (2^-25.3), then improved by a search over neighbouring floats. Every coefficient of D
/// is positive, so D of a large x is +∞ and never a NaN.
const TANH_N: [f32; 3] = [1.8612761, -0.37300032, 0.019812547];
const TANH_D: [f32; 6] = [1.8750988, 0.5026542, 0.6183524, 0.07697646, 0.010619311, 0.0049556396];
/// (tanh(x)/x - 1)/x² in powers of x² on [0, 1.15²]: a Remez fit, minimax in the relative error of tanh (2^-25.0).
const TANH_P: [f32; 7] =
    [-0.333_331_53, 0.13329734, -0.053721968, 0.021048924, -0.00733267, 0.0018782556, -0.00024419033];

/// tanh(x) = 1 - q², q² = 2/(e^2|x| + 1), with the sign of x; near zero |x| + |x|³·P(x²).
///
/// Without an exponential, and with one division. Squaring q costs no time (it is part of the last FMA) and halves the
/// range of exponents that the rational has to follow. Only the absolute error of q² counts, and q² is at most 0.18, so
/// the roundings of N, D and of the division are damped. The polynomial is computed while the division is under way.
#[inline(always)]
pub(crate) fn tanh<V: Vector>(x: V) -> V {
    let c = |value: f32| x.like(value);
    let y = x.abs();
    let z = y.mul(y);
    let z2 = z.mul(z);

    let [d0, d1, d2, d3, d4, d5] = TANH_D;
    let d01 = y.mul_add(c(d1), c(d0));
    let d23 = y.mul_add(c(d3), c(d2));
    let d45 = y.mul_add(c(d5), c(d4));
    let d = z2.mul_add(d45, z.mul_add(d23, d01));
    let [n0, n1, n2] = TANH_N;
    let n = z.mul_add(c(n2), y.mul_add(c(n1), c(n0)));
    // 0/D is 0 even where D has overflowed, and no clamp stands in front of the polynomials.
    let n = V::select(c(TANH_ONE).lt(y), c(0.0), n);
    let q = n.div(d);
    let large = q.neg_mul_add(q, c(1.0));

    let [p0, p1, p2, p3, p4, p5, p6] = TANH_P;
    let p01 = z.mul_add(c(p1), c(p0));
    let p23 = z.mul_add(c(p3), c(p2));
    let p45 = z.mul_add(c(p5), c(p4));
    let p = z2.mul_add(z2.mul_add(z2.mul_add(c(p6), p45), p23), p01);
    let small = y.mul(z).mul_add(p, y);

    V::select(y.lt(c(TANH_SPLIT)), small, large).or_sign(x)
}

/// Adding and subtracting it rounds to a whole number: 1.5 · 2^23.
const ROUND: f32 = 12_582_912.0;
/// ln 2 to the nearest float, and the rest: with fused multiply-adds the pair reduces an argument to 2^-50.
const LN2: f32 = std::f32::consts::LN_2;
const LN2_REST: f32 = -1.9046542e-9;
/// The first 15 bits of ln 2, and the rest: n times the first is exact without a fused multiply-add too.
const LN2_SHORT: f32 = 0.693_145_75;
const LN2_SHORT_REST: f32 = 1.4286068e-6;
const LOG2_E: f32 = std::f32::consts::LOG2_E;
/// 2^64 and 2^-64: what keeps one power of two in range where the result is beyond it, denormals included.
const HUGE: f32 = 18_446_744_073_709_551_616.0;
const TINY: f32 = 1.0 / HUGE;
/// (e^r - 1 - r)/r² in powers of r on |r| ≤ 0.34663 (ln 2 / 2 and the slack of the rounding): a Remez fit, minimax in
/// the relative error of e^r (2^-28.3), then improved by a search over neighbouring floats.
const EXP: [f32; 5] = [0.499_999_88, 0.16666454, 0.041668985, 0.008374682, 0.0013799455];
/// The same of e^-r, not searched.
const EXP_MINUS: [f32; 5] = [-0.499_999_94, 0.16666521, -0.04166839, 0.008368721, -0.001381459];

/// x - n·ln 2, coarse and fine. The coarse one is off by at most 3e-7: it feeds the high powers of a series while the
/// fine one is computed.
#[inline(always)]
fn remainder<V: Vector>(x: V, n: V) -> (V, V) {
    if V::FUSED {
        let coarse = n.neg_mul_add(x.like(LN2), x);
        (coarse, n.neg_mul_add(x.like(LN2_REST), coarse))
    } else {
        let fine = x.sub(n.mul(x.like(LN2_SHORT))).sub(n.mul(x.like(LN2_SHORT_REST)));
        (fine, fine)
    }
}

/// e^x = 2^n · e^r, n = round(x·log2 e), r = x - n·ln 2.
///
/// 2^n is applied in two factors, 2^(n±64) and 2^∓64, so that neither leaves the range of normal numbers and the last
/// product rounds into the denormals once.
#[inline(always)]
pub(crate) fn exp<V: Vector>(x: V) -> V {
    let c = |value: f32| x.like(value);
    // Beyond 88.72 the result overflows; below -103.97, ln(2^-150), it rounds to zero.
    let clamped = c(-105.0).max(c(89.0).min(x));
    let n = clamped.mul_add(c(LOG2_E), c(ROUND)).sub(c(ROUND));
    let (coarse, r) = remainder(clamped, n);
    let negative = x.lt(c(0.0));
    let power = n.add(V::select(negative, c(64.0), c(-64.0))).pow2();
    let scale = V::select(negative, c(TINY), c(HUGE));

    let [c2, c3, c4, c5, c6] = EXP;
    let w34 = c(c4).mul_add(coarse, c(c3));
    let w56 = c(c6).mul_add(coarse, c(c5));
    let high = coarse.mul(coarse).mul_add(w56, w34);
    let w = r.mul(r).mul_add(high, c(c2).mul_add(r, c(1.0)));
    power.mul(r).mul_add(w, power).mul(scale)
}

/// 1/(1 + e^-x) = 2^-64 / (2^-64 + 2^-64·e^-x).
///
/// Scaled so, one power of two covers all x, nothing overflows, and the division is the only rounding into the
/// denormals. One formula for both signs.
#[inline(always)]
pub(crate) fn sigmoid<V: Vector>(x: V) -> V {
    let c = |value: f32| x.like(value);
    // Above 16.64 the result rounds to one; below -103.97 to zero.
    let clamped = c(-105.0).max(c(24.0).min(x));
    let n = clamped.mul_add(c(LOG2_E), c(ROUND)).sub(c(ROUND));
    let (coarse, r) = remainder(clamped, n);
    let power = c(-64.0).sub(n).pow2();
    let sum = power.add(c(TINY));
    // Minus the rounding error of the sum. It matters where 2^n is near 2^24, and costs no time.
    let lost = sum.sub(power).sub(c(TINY));

    let [c2, c3, c4, c5, c6] = EXP_MINUS;
    let square = coarse.mul(coarse);
    let w34 = c(c4).mul_add(coarse, c(c3));
    let w56 = c(c6).mul_add(coarse, c(c5));
    let high = square.mul_add(w56, w34);
    let w = square.mul_add(high, c(c2).mul_add(r, c(1.0)));
    let denominator = power.mul_add(r, lost).neg_mul_add(w, sum);
    c(TINY).div(denominator)
}
