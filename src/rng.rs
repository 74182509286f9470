//! Seeded randomness: the same numbers for the same seed on every machine and tier.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng};

/// A generator of uniform and normal numbers over xoshiro256++ (Blackman and Vigna 2019).
///
/// ```
/// use elman::Rng;
///
/// let mut rng = Rng::new(7);
/// let first = rng.uniform(-1.0, 1.0);
/// assert!((-1.0..=1.0).contains(&first));
/// assert_eq!(Rng::new(7).uniform(-1.0, 1.0), first);
///
/// // Saved, and gone on from there.
/// let state = rng.state();
/// let next = rng.below(1000);
/// assert_eq!(Rng::from_state(state).below(1000), next);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rng(Xoshiro256PlusPlus);

impl Rng {
    /// The generator of that seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// What it will draw from here on, to be saved with a checkpoint.
    #[must_use]
    pub fn state(&self) -> [u64; 4] {
        let bytes = self.0.state();
        let (words, _) = bytes.as_chunks::<8>();
        [0, 1, 2, 3].map(|i| u64::from_le_bytes(words[i]))
    }

    /// The generator that goes on from a [`state`](Self::state). Four zeros are no state of any generator; they give the
    /// one of seed 0.
    #[must_use]
    pub fn from_state(state: [u64; 4]) -> Self {
        let mut bytes = [0; 32];
        bytes.as_chunks_mut::<8>().0.iter_mut().zip(state).for_each(|(to, word)| *to = word.to_le_bytes());
        Self(Xoshiro256PlusPlus::from_seed(bytes))
    }

    /// Uniform in [0, 1), 53 random bits.
    pub fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// Uniform in [low, high].
    pub fn uniform(&mut self, low: f32, high: f32) -> f32 {
        (f64::from(low) + (f64::from(high) - f64::from(low)) * self.unit()) as f32
    }

    /// Normal (Box and Muller 1958).
    pub fn normal(&mut self, mean: f32, deviation: f32) -> f32 {
        // 1 - unit is in (0, 1], so the logarithm is finite.
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        let angle = std::f64::consts::TAU * self.unit();
        (f64::from(mean) + f64::from(deviation) * radius * angle.cos()) as f32
    }

    /// Uniform in 0..n.
    ///
    /// # Panics
    /// If `n == 0`.
    pub fn below(&mut self, n: usize) -> usize {
        assert!(n > 0, "a number below 0");
        // The product's high half; its bias is below n / 2^64.
        ((u128::from(self.0.next_u64()) * n as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_distributions() {
        let mut rng = Rng::new(7);
        let n = 100_000_i32;
        let (mut mean, mut square) = (0.0, 0.0);
        for _ in 0..n {
            let x = f64::from(rng.normal(1.0, 2.0));
            mean += x / f64::from(n);
            square += (x - 1.0).powi(2) / f64::from(n);
        }
        assert!((mean - 1.0).abs() < 0.03 && (square - 4.0).abs() < 0.08, "{mean} {square}");
        let mut counts = [0; 3];
        (0..n).for_each(|_| counts[rng.below(3)] += 1);
        assert!(counts.iter().all(|&count| (count - n / 3).abs() < 700), "{counts:?}");
        assert!((0..n).all(|_| (-0.25..=0.25).contains(&rng.uniform(-0.25, 0.25))));
    }

    #[test]
    fn a_state_goes_on_where_it_was_taken() {
        let mut rng = Rng::new(11);
        for _ in 0..50 {
            let mut other = Rng::from_state(rng.state());
            assert_eq!(other, rng);
            assert_eq!([other.unit(), other.unit()], [rng.unit(), rng.unit()]);
        }
        assert_eq!(Rng::from_state([0; 4]), Rng::new(0));
        assert_eq!(Rng::from_state([1, 2, 3, 4]).state(), [1, 2, 3, 4]);
    }

    #[test]
    fn a_seed_is_a_sequence() {
        let draw = |seed| {
            let mut rng = Rng::new(seed);
            [rng.unit(), rng.unit(), f64::from(rng.normal(0.0, 1.0))]
        };
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
    }
}
