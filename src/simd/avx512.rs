//! AVX-512: sixteen lanes. Instructions only; what to do with them is written once, in `math` and `kernel`.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::Vector;
use super::avx2::{Avx2, F32x8};

/// The proof that this CPU (and the operating system) has AVX-512F, its instructions on shorter registers (VL), AVX2 and
/// FMA.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512(());

impl Avx512 {
    /// Asks the CPU.
    pub(crate) fn new() -> Option<Self> {
        let wide = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl");
        (wide && Avx2::new().is_some()).then_some(Self(()))
    }

    /// Without asking.
    ///
    /// # Safety
    /// [`new`](Self::new) would say so.
    #[inline(always)]
    pub(crate) unsafe fn assume() -> Self {
        Self(())
    }

    /// What it proves besides.
    #[inline(always)]
    fn avx2(self) -> Avx2 {
        // SAFETY: `new` has asked for them.
        unsafe { Avx2::assume() }
    }
}

/// Sixteen `f32` lanes in a ZMM register. Exists only where an [`Avx512`] was there to make it.
#[derive(Clone, Copy)]
pub(crate) struct F32x16(__m512);

const SIGN: i32 = i32::MIN;

/// A mask of the first `min(n, 16)` lanes.
#[inline(always)]
fn first(n: usize) -> __mmask16 {
    if n >= 16 { !0 } else { (1 << n) - 1 }
}

// SAFETY of every intrinsic below: it needs AVX-512F, and each method holds the proof, as its `isa` argument or in
// the `F32x16` it was called on. The blocks that touch memory say why their pointers are valid.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Vector for F32x16 {
    type Isa = Avx512;
    type Mask = __mmask16;
    type Index = __m512i;
    type Half = F32x8;
    const LANES: usize = 16;
    const FUSED: bool = true;
    const LOOKS_UP: bool = true;

    #[inline(always)]
    fn isa(self) -> Avx512 {
        Avx512(())
    }

    #[inline(always)]
    fn half(isa: Avx512) -> Avx2 {
        isa.avx2()
    }

    #[inline(always)]
    fn splat(_: Avx512, x: f32) -> Self {
        Self(unsafe { _mm512_set1_ps(x) })
    }

    #[inline(always)]
    fn load(_: Avx512, from: &[f32]) -> Self {
        let from = &from[..16];
        // SAFETY: `from` is 16 readable floats; the load needs no alignment.
        Self(unsafe { _mm512_loadu_ps(from.as_ptr()) })
    }

    #[inline(always)]
    fn load_partial(_: Avx512, from: &[f32]) -> Self {
        // SAFETY: only lanes below `from.len()` are read; masked-off lanes touch no memory.
        Self(unsafe { _mm512_maskz_loadu_ps(first(from.len()), from.as_ptr()) })
    }

    #[inline(always)]
    fn prefetch(_: Avx512, of: &[f32]) {
        // SAFETY: a prefetch reads nothing that the program sees, and faults nowhere.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(of.as_ptr().cast()) };
    }

    #[inline(always)]
    fn store(self, to: &mut [f32]) {
        let to = &mut to[..16];
        // SAFETY: `to` is 16 writable floats; the store needs no alignment.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), self.0) }
    }

    #[inline(always)]
    fn store_partial(self, to: &mut [f32]) {
        // SAFETY: only lanes below `to.len()` are written; masked-off lanes touch no memory.
        unsafe { _mm512_mask_storeu_ps(to.as_mut_ptr(), first(to.len()), self.0) }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(unsafe { _mm512_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(unsafe { _mm512_sub_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(unsafe { _mm512_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        Self(unsafe { _mm512_div_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn sum_halves(self) -> f32 {
        let isa = self.isa();
        let (lower, upper) = unsafe {
            let upper = _mm512_extractf64x4_pd::<1>(_mm512_castps_pd(self.0));
            (_mm512_castps512_ps256(self.0), _mm256_castpd_ps(upper))
        };
        F32x8::of(isa.avx2(), lower).add(F32x8::of(isa.avx2(), upper)).sum_halves()
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        Self(unsafe { _mm512_sqrt_ps(self.0) })
    }

    #[inline(always)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        Self(unsafe { _mm512_fmadd_ps(self.0, a.0, b.0) })
    }

    #[inline(always)]
    fn neg_mul_add(self, a: Self, b: Self) -> Self {
        Self(unsafe { _mm512_fnmadd_ps(self.0, a.0, b.0) })
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        Self(unsafe { _mm512_min_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        Self(unsafe { _mm512_max_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn abs(self) -> Self {
        Self(unsafe { _mm512_abs_ps(self.0) })
    }

    #[inline(always)]
    fn or_sign(self, sign: Self) -> Self {
        Self(unsafe {
            let sign = _mm512_and_si512(_mm512_castps_si512(sign.0), _mm512_set1_epi32(SIGN));
            _mm512_castsi512_ps(_mm512_or_si512(_mm512_castps_si512(self.0), sign))
        })
    }

    #[inline(always)]
    fn lt(self, other: Self) -> __mmask16 {
        unsafe { _mm512_cmp_ps_mask::<_CMP_LT_OQ>(self.0, other.0) }
    }

    #[inline(always)]
    fn select(mask: __mmask16, yes: Self, no: Self) -> Self {
        Self(unsafe { _mm512_mask_blend_ps(mask, no.0, yes.0) })
    }

    #[inline(always)]
    fn times_pow2(self, n: Self) -> Self {
        Self(unsafe {
            let exponent = _mm512_slli_epi32::<23>(_mm512_castps_si512(n.0));
            _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(self.0), exponent))
        })
    }

    #[inline(always)]
    fn half_octave(self) -> __m512i {
        unsafe { _mm512_srli_epi32::<22>(_mm512_castps_si512(self.0)) }
    }

    // The table lies in both halves, so the fourth bit of an index does not matter.
    #[inline(always)]
    fn look_up(table: &[f32; 8], index: __m512i) -> Self {
        // SAFETY: `table` is 32 readable bytes; the load needs no alignment.
        Self(unsafe {
            let half = _mm256_loadu_pd(table.as_ptr().cast());
            _mm512_permutexvar_ps(index, _mm512_castpd_ps(_mm512_broadcast_f64x4(half)))
        })
    }
}
