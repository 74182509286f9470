//! tanh in two forms: by a table where registers can look up across their lanes, elsewhere by a quotient.

use super::Vector;

/// The largest distance of tanh from the exact value, in units in the last place, with fused multiply-adds.
pub const TANH_ULP: f64 = 1.21;

#[inline(always)]
pub(crate) fn tanh<V: Vector>(x: V) -> V {
    if V::LOOKS_UP { by_table(x) } else { by_quotient(x) }
}

/// tanh rounds to 1 from atanh(1 - 2^-25) = 9.0109133… on; so does the expansion here.
const SATURATED: f32 = 9.1;
/// What is added to |x|, so that the half octaves of the sum are the intervals of the table: [0.75, 1), [1, 1.5), [1.5, 2) …
/// [8, 12) are |x| from 0, 0.25, 0.75, 1.25, 2.25, 3.25, 5.25 and 7.25 on. The first, where tanh(x)/x must be exact and not
/// only tanh, ends at a sum of 1.
const SHIFT: f32 = 0.75;
/// The points about which tanh is expanded, where tanh is all but a float: near the middle of each interval, but nearer to
/// 0.25 in the second, where a unit in the last place is least. In the order of [`Vector::half_octave`]: the first interval
/// has index 5.
static CENTER: [f32; 8] = [1.749765, 2.749523, 4.2505774, 6.250181, 8.317766, 0.0, 0.37508607, 1.0001992];
/// Coefficients of d^0 to d^7, d = |x| - center; minimax in units in the last place of tanh (0.5 at most in [1.25, 2.25) and
/// [3.25, 5.25), below 0.05 in the others), each rounded before those of higher powers were fitted. About 0 the one of d is
/// 1 and stands with |x| itself; the last interval has degree 6.
static COEFFICIENTS: [[f32; 8]; 8] = [
    [0.9413488, 0.991852, 0.9995936, 0.99999255, 0.9999999, 0.0, 0.3584324, 0.7616778],
    [0.113862485, 0.01622964, 0.000812578, 1.49005655e-5, 2.3848375e-7, 0.0, 0.87152624, 0.41984692],
    [-0.10718186, -0.016097398, -0.00081275747, -1.4910477e-5, -2.392597e-7, -3.480497e-8, -0.31238347, -0.31978837],
    [0.06294208, 0.010556276, 0.0005414107, 9.9408135e-6, 1.5809802e-7, -0.33333057, -0.17854533, 0.10362713],
    [-0.023582887, -0.005104531, -0.00026718527, -4.9097207e-6, -7.512978e-8, -7.002644e-5, 0.16818607, 0.02769474],
    [0.003713993, 0.0019059256, 0.00010658929, 1.9637707e-6, 3.4766185e-8, 0.134123, 0.018610174, -0.046313204],
    [0.0023932594, -0.0005460002, -4.0604285e-5, -7.5861544e-7, -1.594131e-8, -0.0042552296, -0.07235075, 0.018114079],
    [-0.0020459483, 0.000100788624, 1.1371102e-5, 2.1640541e-7, 0.0, -0.044439062, 0.026073866, 0.0029408685],
];

/// tanh(|x|) = c0 + d·(c1 + … + c7·d^6), with the sign of x; near zero |x| takes the place of c0.
///
/// Without a division, and no power of a sum is above d^7: 11 multiplications and multiply-adds beside 9 lookups.
#[inline(always)]
fn by_table<V: Vector>(x: V) -> V {
    // A NaN stays one: `min` gives its second operand.
    let y = x.like(SATURATED).min(x.abs());
    let sum = y.add(x.like(SHIFT));
    let index = sum.half_octave();
    let [c0, c1, c2, c3, c4, c5, c6, c7] = &COEFFICIENTS;
    let c = |column: &[f32; 8]| V::look_up(column, index);
    let d = y.sub(c(&CENTER));
    let d2 = d.mul(d);
    let q12 = d.mul_add(c(c2), c(c1));
    let q34 = d.mul_add(c(c4), c(c3));
    let q56 = d.mul_add(c(c6), c(c5));
    let high = d2.mul_add(c(c7), q56);
    let low = d2.mul_add(q34, q12);
    let slope = d2.mul(d2).mul_add(high, low);
    let base = V::select(sum.lt(x.like(1.0)), y, c(c0));
    d.mul_add(slope, base).or_sign(x)
}

/// Below it tanh is a polynomial. Where the two forms are about equally exact.
const SPLIT: f32 = 1.15;
/// tanh rounds to 1 from atanh(1 - 2^-25) = 9.0109133… on; so does the expansion here., rounded down.
const ONE: f32 = 9.010913;
/// N and D of sqrt(2 / (e^2x + 1)) = N/D on [1.15, 9.02]: a rational Remez fit of degree (2, 5), minimax in the
/// absolute error of 1 - (N/D)² (2^-25.3), then improved by a search over neighbouring floats. Every coefficient of D
/// is positive, so D of a large x is +∞ and never a NaN.
const N: [f32; 3] = [1.8612761, -0.37300032, 0.019812547];
const D: [f32; 6] = [1.8750988, 0.5026542, 0.6183524, 0.07697646, 0.010619311, 0.0049556396];
/// (tanh(x)/x - 1)/x² in powers of x² on [0, 1.15²]: a Remez fit, minimax in the relative error of tanh (2^-25.0).
const P: [f32; 7] = [-0.333_331_53, 0.13329734, -0.053721968, 0.021048924, -0.00733267, 0.0018782556, -0.00024419033];

/// tanh(x) = 1 - q², q² = 2/(e^2|x| + 1), with the sign of x; near zero |x| + |x|³·P(x²).
///
/// Without an exponential, and with one division. Squaring q costs no time (it is part of the last FMA) and halves the
/// range of exponents that the rational has to follow. Only the absolute error of q² counts, and q² is at most 0.18, so
/// the roundings of N, D and of the division are damped. The polynomial is computed while the division is under way.
#[inline(always)]
fn by_quotient<V: Vector>(x: V) -> V {
    let c = |value: f32| x.like(value);
    let y = x.abs();
    let z = y.mul(y);
    let z2 = z.mul(z);

    let [d0, d1, d2, d3, d4, d5] = D;
    let d01 = y.mul_add(c(d1), c(d0));
    let d23 = y.mul_add(c(d3), c(d2));
    let d45 = y.mul_add(c(d5), c(d4));
    let d = z2.mul_add(d45, z.mul_add(d23, d01));
    let [n0, n1, n2] = N;
    let n = z.mul_add(c(n2), y.mul_add(c(n1), c(n0)));
    // 0/D is 0 even where D has overflowed, and no clamp stands in front of the polynomials.
    let n = V::select(c(ONE).lt(y), c(0.0), n);
    let q = n.div(d);
    let large = q.neg_mul_add(q, c(1.0));

    let [p0, p1, p2, p3, p4, p5, p6] = P;
    let p01 = z.mul_add(c(p1), c(p0));
    let p23 = z.mul_add(c(p3), c(p2));
    let p45 = z.mul_add(c(p5), c(p4));
    let p = z2.mul_add(z2.mul_add(z2.mul_add(c(p6), p45), p23), p01);
    let small = y.mul(z).mul_add(p, y);

    V::select(y.lt(c(SPLIT)), small, large).or_sign(x)
}
