//! sigmoid and exp over any [`Vector`]: one algorithm each, the same operations in every lane of every tier.
//! [`tanh`] has a file of its own.
//!
//! The critical path decided the forms: a recurrent step with one row waits for its activation.
//!
//! The bounds are over all floats, measured against f64 (`tests/activations.rs` does it again: a dense sample by
//! default, every float on request). A NaN stays one: the operand order of `min`, `max` and the comparisons sees to it.

use super::Vector;
pub use super::tanh::TANH_ULP;
pub(crate) use super::tanh::tanh;

/// The largest distance of the sigmoid from the exact value, in units in the last place, with fused multiply-adds.
pub const SIGMOID_ULP: f64 = 1.63;
/// The largest distance of exp.
pub const EXP_ULP: f64 = 0.99;

/// Adding it rounds to a whole number, which then stands in the lowest bits; subtracting it again gives that number.
/// 1.5 · 2^23.
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
    let rounded = clamped.mul_add(c(LOG2_E), c(ROUND));
    let (coarse, r) = remainder(clamped, rounded.sub(c(ROUND)));
    let negative = x.lt(c(0.0));
    let power = V::select(negative, c(HUGE), c(TINY)).times_pow2(rounded);
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
    let rounded = clamped.mul_add(c(-LOG2_E), c(ROUND));
    let (coarse, r) = remainder(clamped, c(ROUND).sub(rounded));
    let power = c(TINY).times_pow2(rounded);
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
