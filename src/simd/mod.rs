//! Floor 1: operations on one vector register of `f32` lanes.
//!
//! [`Vector`] is everything the kernels know about a CPU. A value of a vector type is itself the proof that the CPU
//! has the instructions: the first one can only be made from an ISA token ([`Avx512`](avx512::Avx512) and its like),
//! and a token can only be made by asking the CPU. So every method is safe to call, and the loops in
//! [`kernel`](crate::kernel) hold no `unsafe` at all.
//!
//! The methods are the IEEE operations, rounded once each, so that AVX2 and AVX-512 give the same bits. Where the
//! instruction sets differ in NaN or sign handling the trait names the rule (see [`Vector::min`]).

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
pub(crate) mod math;
pub(crate) mod portable;
pub(crate) mod tail;
mod tanh;

#[cfg(test)]
mod tests;

/// Lanes of the shorter registers that single steps end in: every tier has them.
pub(crate) const HALF_LANES: usize = 8;

/// One register of `f32` lanes.
///
/// Implementations mark every method `#[inline(always)]`: a method is compiled into the `#[target_feature]` function
/// that instantiates the kernel around it, and nowhere else.
pub(crate) trait Vector: Copy {
    /// The proof that the CPU has the instructions; see the module's head.
    type Isa: Copy;
    /// The result of a comparison, one truth value a lane.
    type Mask: Copy;
    /// Where each lane looks in a table of eight.
    type Index: Copy;
    /// [`HALF_LANES`] lanes on the same CPU: itself where it has no more.
    type Half: Vector;
    /// Lanes in the register: 8 or 16.
    const LANES: usize;
    /// Whether [`mul_add`](Self::mul_add) rounds once.
    const FUSED: bool;
    /// Whether [`look_up`](Self::look_up) is an instruction.
    const LOOKS_UP: bool;

    /// The proof this value carries.
    fn isa(self) -> Self::Isa;

    /// The proof for [`Half`](Self::Half).
    fn half(isa: Self::Isa) -> <Self::Half as Vector>::Isa;

    /// `x` in every lane.
    fn splat(isa: Self::Isa, x: f32) -> Self;

    /// The first `LANES` elements of `from`.
    ///
    /// # Panics
    /// If `from.len() < LANES`.
    fn load(isa: Self::Isa, from: &[f32]) -> Self;

    /// The first `min(from.len(), LANES)` elements of `from`, zero in the lanes beyond.
    fn load_partial(isa: Self::Isa, from: &[f32]) -> Self;

    /// Asks for the cache line of the first of `of`, if there is one, to be brought to L2. Changes nothing but the time.
    #[inline(always)]
    fn prefetch(_: Self::Isa, _of: &[f32]) {}

    /// Writes every lane to the start of `to`.
    ///
    /// # Panics
    /// If `to.len() < LANES`.
    fn store(self, to: &mut [f32]);

    /// Writes the first `min(to.len(), LANES)` lanes to `to`.
    fn store_partial(self, to: &mut [f32]);

    /// `self + other`.
    fn add(self, other: Self) -> Self;
    /// `self - other`.
    fn sub(self, other: Self) -> Self;
    /// `self * other`.
    fn mul(self, other: Self) -> Self;
    /// `self / other`, truly divided: reciprocal estimates differ between vendors.
    fn div(self, other: Self) -> Self;
    /// The sum of all lanes by halves: the upper half is added to the lower one until one is left.
    fn sum_halves(self) -> f32;
    /// The square root, correctly rounded.
    fn sqrt(self) -> Self;
    /// `self * a + b`, rounded once (the portable tier may round twice).
    fn mul_add(self, a: Self, b: Self) -> Self;
    /// `b - self * a`, rounded once (the portable tier may round twice).
    fn neg_mul_add(self, a: Self, b: Self) -> Self;

    /// `self < other ? self : other`: with a NaN in either the result is `other`.
    fn min(self, other: Self) -> Self;
    /// `self > other ? self : other`: with a NaN in either the result is `other`.
    fn max(self, other: Self) -> Self;
    /// The sign bit cleared.
    fn abs(self) -> Self;
    /// The magnitude of `self` (whose sign bit must be clear) with the sign bit of `sign`.
    fn or_sign(self, sign: Self) -> Self;

    /// Lane by lane `self < other`; false where either is NaN.
    fn lt(self, other: Self) -> Self::Mask;
    /// `yes` where the mask is true, `no` elsewhere.
    fn select(mask: Self::Mask, yes: Self, no: Self) -> Self;

    /// `self` times 2^n, n the whole number in the lowest bits of `n`; the product must be a normal number. Adds to the
    /// exponent's bits.
    fn times_pow2(self, n: Self) -> Self;

    /// Counts half octaves, [1, 1.5) and [1.5, 2) times the powers of two, modulo eight: that of 1 is 6. Of a positive
    /// number; anything for others.
    fn half_octave(self) -> Self::Index;
    /// In each lane the element of `table` at that lane's index.
    fn look_up(table: &[f32; 8], index: Self::Index) -> Self;

    /// `x` in every lane, the proof taken from `self`.
    #[inline(always)]
    fn like(self, x: f32) -> Self {
        Self::splat(self.isa(), x)
    }
}
