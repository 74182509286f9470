//! What the targets have in common.

pub mod file;

use libfuzzer_sys::arbitrary::{self, Arbitrary, Result, Unstructured};

/// A number from `LOW` to `HIGH`, made of a single byte: every byte of an input counts, and so does every mutation.
#[derive(Clone, Copy, Debug)]
pub struct Within<const LOW: u8, const HIGH: u8>(usize);

impl<const LOW: u8, const HIGH: u8> Within<LOW, HIGH> {
    /// At least `LOW` and at most `HIGH`.
    #[must_use]
    pub fn get(self) -> usize {
        self.0
    }
}

impl<'a, const LOW: u8, const HIGH: u8> Arbitrary<'a> for Within<LOW, HIGH> {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Self(u.int_in_range(LOW..=HIGH)?.into()))
    }

    fn size_hint(_: usize) -> (usize, Option<usize>) {
        (1, Some(1))
    }
}

/// A size or an offset, often one where sums and products come to overflow.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Size {
    /// As good as always a valid one.
    Small(u8),
    /// A power of two, less one or as it is or and one.
    Power {
        /// Its exponent.
        of_two: Within<56, 63>,
        /// One more than what is added.
        plus: Within<0, 2>,
    },
    /// Any at all.
    Any(u64),
}

impl Size {
    /// What the choice stands for.
    #[must_use]
    pub fn get(self) -> u64 {
        match self {
            Size::Small(size) => size.into(),
            Size::Power { of_two, plus } => (1_u64 << of_two.get()) - 1 + plus.get() as u64,
            Size::Any(size) => size,
        }
    }
}

/// What may not be touched, and what shows where it was read: a NaN that no kernel gives.
const SENTINEL: u32 = 0x7fa5_a5a5;

/// A slice with `margin` sentinels before and behind it. Without a margin it is as long as its allocation, whose ends
/// AddressSanitizer watches.
#[derive(Debug)]
pub struct Guarded {
    data: Box<[f32]>,
    margin: usize,
}

impl Guarded {
    /// The values, copied.
    #[must_use]
    pub fn copy_of(values: &[f32], margin: usize) -> Self {
        let sentinels = || std::iter::repeat_n(f32::from_bits(SENTINEL), margin);
        Self { data: sentinels().chain(values.iter().copied()).chain(sentinels()).collect(), margin }
    }

    /// `len` times the value.
    #[must_use]
    pub fn full_of(value: f32, len: usize, margin: usize) -> Self {
        Self::copy_of(&vec![value; len], margin)
    }

    /// The slice without its margins.
    #[must_use]
    pub fn get(&self) -> &[f32] {
        &self.data[self.margin..self.data.len() - self.margin]
    }

    /// The same, to be written.
    pub fn get_mut(&mut self) -> &mut [f32] {
        let end = self.data.len() - self.margin;
        &mut self.data[self.margin..end]
    }

    /// The values.
    ///
    /// # Panics
    /// Where a sentinel is gone; `what` was at work.
    #[must_use]
    pub fn open(self, what: &str) -> Vec<f32> {
        let end = self.data.len() - self.margin;
        for (side, sentinels) in [("before", &self.data[..self.margin]), ("behind", &self.data[end..])] {
            let survive = sentinels.iter().all(|sentinel| sentinel.to_bits() == SENTINEL);
            assert!(survive, "{what}: wrote {side} a slice of {}", self.get().len());
        }
        self.get().to_vec()
    }
}
