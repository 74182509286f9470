//! The portable tier: eight lanes over the crate `wide`, for every CPU without a tier of its own.
//!
//! Without FMA at compile time `wide` rounds `mul_add` twice, so only this tier may differ from the others' bits.

use wide::f32x8;

use super::Vector;

/// The proof that the CPU can: every CPU can.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable;

/// Eight `f32` lanes in whatever registers the target has.
#[derive(Clone, Copy)]
pub(crate) struct F32x8(f32x8);

impl Vector for F32x8 {
    type Isa = Portable;
    type Mask = f32x8;
    type Index = [u32; 8];
    type Half = Self;
    const LANES: usize = 8;
    const FUSED: bool = cfg!(target_feature = "fma");
    const LOOKS_UP: bool = false;

    #[inline(always)]
    fn isa(self) -> Portable {
        Portable
    }

    #[inline(always)]
    fn half(isa: Portable) -> Portable {
        isa
    }

    #[inline(always)]
    fn splat(_: Portable, x: f32) -> Self {
        Self(f32x8::splat(x))
    }

    #[inline(always)]
    fn load(_: Portable, from: &[f32]) -> Self {
        let (lanes, _) = from.split_first_chunk::<8>().expect("eight floats to load");
        Self(f32x8::new(*lanes))
    }

    #[inline(always)]
    fn load_partial(isa: Portable, from: &[f32]) -> Self {
        let mut lanes = [0.0; 8];
        for (lane, &x) in lanes.iter_mut().zip(from) {
            *lane = x;
        }
        Self::load(isa, &lanes)
    }

    #[inline(always)]
    fn store(self, to: &mut [f32]) {
        to[..8].copy_from_slice(&self.0.to_array());
    }

    #[inline(always)]
    fn store_partial(self, to: &mut [f32]) {
        for (x, lane) in to.iter_mut().zip(self.0.to_array()) {
            *x = lane;
        }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(self.0 * other.0)
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        Self(self.0 / other.0)
    }

    #[inline(always)]
    fn sum_halves(self) -> f32 {
        let [a, b, c, d, e, f, g, h] = self.0.to_array();
        ((a + e) + (c + g)) + ((b + f) + (d + h))
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        Self(self.0.sqrt())
    }

    #[inline(always)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        Self(self.0.mul_add(a.0, b.0))
    }

    #[inline(always)]
    fn neg_mul_add(self, a: Self, b: Self) -> Self {
        Self(self.0.mul_neg_add(a.0, b.0))
    }

    // By comparison and selection: `wide`'s own minimum passes the other operand where one is NaN.
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        Self::select(self.lt(other), self, other)
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        Self::select(other.lt(self), self, other)
    }

    #[inline(always)]
    fn abs(self) -> Self {
        Self(self.0.abs())
    }

    #[inline(always)]
    fn or_sign(self, sign: Self) -> Self {
        Self(self.0 | (sign.0 & f32x8::splat(-0.0)))
    }

    #[inline(always)]
    fn lt(self, other: Self) -> f32x8 {
        self.0.simd_lt(other.0)
    }

    #[inline(always)]
    fn select(mask: f32x8, yes: Self, no: Self) -> Self {
        Self(mask.select(yes.0, no.0))
    }

    #[inline(always)]
    fn times_pow2(self, n: Self) -> Self {
        let [x, n] = [self, n].map(|v| v.0.to_array().map(f32::to_bits));
        Self(f32x8::new(std::array::from_fn(|lane| f32::from_bits(x[lane].wrapping_add(n[lane] << 23)))))
    }

    #[inline(always)]
    fn half_octave(self) -> [u32; 8] {
        self.0.to_array().map(|x| x.to_bits() >> 22 & 7)
    }

    #[inline(always)]
    fn look_up(table: &[f32; 8], index: [u32; 8]) -> Self {
        Self(f32x8::new(index.map(|i| table[i as usize])))
    }
}
