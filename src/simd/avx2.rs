//! AVX2 with FMA: eight lanes. Instructions only; what to do with them is written once, in `math` and `kernel`.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::Vector;

/// The proof that this CPU (and the operating system) has AVX2 and FMA.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// Asks the CPU.
    pub(crate) fn new() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self(()))
    }

    /// Without asking.
    ///
    /// # Safety
    /// The CPU has AVX2 and FMA.
    #[inline(always)]
    pub(crate) unsafe fn assume() -> Self {
        Self(())
    }
}

/// Eight `f32` lanes in a YMM register. Exists only where an [`Avx2`] was there to make it.
#[derive(Clone, Copy)]
pub(crate) struct F32x8(__m256);

impl F32x8 {
    /// Half of a longer register.
    #[inline(always)]
    pub(super) fn of(_: Avx2, register: __m256) -> Self {
        Self(register)
    }
}

// SAFETY of every intrinsic below: it needs AVX2 or FMA, and each method holds the proof, as its `isa` argument or in
// the `F32x8` it was called on. The blocks that touch memory say why their pointers are valid.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Vector for F32x8 {
    type Isa = Avx2;
    type Mask = __m256;
    type Index = __m256i;
    type Half = Self;
    const LANES: usize = 8;
    const FUSED: bool = true;
    const LOOKS_UP: bool = true;

    #[inline(always)]
    fn isa(self) -> Avx2 {
        Avx2(())
    }

    #[inline(always)]
    fn half(isa: Avx2) -> Avx2 {
        isa
    }

    #[inline(always)]
    fn splat(_: Avx2, x: f32) -> Self {
        Self(unsafe { _mm256_set1_ps(x) })
    }

    #[inline(always)]
    fn load(_: Avx2, from: &[f32]) -> Self {
        let from = &from[..8];
        // SAFETY: `from` is 8 readable floats; the load needs no alignment.
        Self(unsafe { _mm256_loadu_ps(from.as_ptr()) })
    }

    #[inline(always)]
    fn load_partial(isa: Avx2, from: &[f32]) -> Self {
        let mut lanes = [0.0; 8];
        for (lane, &x) in lanes.iter_mut().zip(from) {
            *lane = x;
        }
        Self::load(isa, &lanes)
    }

    #[inline(always)]
    fn prefetch(_: Avx2, of: &[f32]) {
        // SAFETY: a prefetch reads nothing that the program sees, and faults nowhere.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(of.as_ptr().cast()) };
    }

    #[inline(always)]
    fn store(self, to: &mut [f32]) {
        let to = &mut to[..8];
        // SAFETY: `to` is 8 writable floats; the store needs no alignment.
        unsafe { _mm256_storeu_ps(to.as_mut_ptr(), self.0) }
    }

    // Through memory: a masked store takes 12 cycles on Zen 4.
    #[inline(always)]
    fn store_partial(self, to: &mut [f32]) {
        let mut lanes = [0.0; 8];
        self.store(&mut lanes);
        for (x, &lane) in to.iter_mut().zip(&lanes) {
            *x = lane;
        }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(unsafe { _mm256_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(unsafe { _mm256_sub_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(unsafe { _mm256_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        Self(unsafe { _mm256_div_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn sum_halves(self) -> f32 {
        unsafe {
            let four = _mm_add_ps(_mm256_castps256_ps128(self.0), _mm256_extractf128_ps::<1>(self.0));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        Self(unsafe { _mm256_sqrt_ps(self.0) })
    }

    #[inline(always)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        Self(unsafe { _mm256_fmadd_ps(self.0, a.0, b.0) })
    }

    #[inline(always)]
    fn neg_mul_add(self, a: Self, b: Self) -> Self {
        Self(unsafe { _mm256_fnmadd_ps(self.0, a.0, b.0) })
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        Self(unsafe { _mm256_min_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        Self(unsafe { _mm256_max_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn abs(self) -> Self {
        Self(unsafe { _mm256_andnot_ps(_mm256_set1_ps(-0.0), self.0) })
    }

    #[inline(always)]
    fn or_sign(self, sign: Self) -> Self {
        Self(unsafe { _mm256_or_ps(self.0, _mm256_and_ps(sign.0, _mm256_set1_ps(-0.0))) })
    }

    #[inline(always)]
    fn lt(self, other: Self) -> __m256 {
        unsafe { _mm256_cmp_ps::<_CMP_LT_OQ>(self.0, other.0) }
    }

    #[inline(always)]
    fn select(mask: __m256, yes: Self, no: Self) -> Self {
        Self(unsafe { _mm256_blendv_ps(no.0, yes.0, mask) })
    }

    #[inline(always)]
    fn times_pow2(self, n: Self) -> Self {
        Self(unsafe {
            let exponent = _mm256_slli_epi32::<23>(_mm256_castps_si256(n.0));
            _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(self.0), exponent))
        })
    }

    #[inline(always)]
    fn half_octave(self) -> __m256i {
        unsafe { _mm256_srli_epi32::<22>(_mm256_castps_si256(self.0)) }
    }

    // Only the lowest three bits of an index are read.
    #[inline(always)]
    fn look_up(table: &[f32; 8], index: __m256i) -> Self {
        // SAFETY: `table` is 8 readable floats; the load needs no alignment.
        Self(unsafe { _mm256_permutevar8x32_ps(_mm256_loadu_ps(table.as_ptr()), index) })
    }
}
