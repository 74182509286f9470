//! Dropout between layers: every element by its place in the batch, so that the mask depends neither on the number of
//! threads nor on padding, and need not be stored.

use std::ops::Range;

use crate::rng::Rng;

/// The mask of one layer's output in one training step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dropout {
    pub(super) probability: f32,
    pub(super) seed: u64,
    pub(super) layer: usize,
}

impl Dropout {
    /// Writes a row of `from` with some elements zeroed, the others divided by 1 - p: step `t` of row `row` of the
    /// batch as the caller counts them.
    pub(super) fn apply(&self, (t, row): (usize, usize), from: &[f32], to: &mut [f32]) {
        let scale = 1.0 / (1.0 - self.probability);
        self.each((t, row), from.len(), |range, keep| {
            for (i, keep) in range.zip(keep) {
                to[i] = if keep { from[i] * scale } else { 0.0 };
            }
        });
    }

    /// Does the same to a row of gradients in place.
    pub(super) fn apply_to(&self, (t, row): (usize, usize), d: &mut [f32]) {
        let scale = 1.0 / (1.0 - self.probability);
        self.each((t, row), d.len(), |range, keep| {
            for (i, keep) in range.zip(keep) {
                d[i] = if keep { d[i] * scale } else { 0.0 };
            }
        });
    }

    /// Calls `f` with two elements at a time and whether each is kept.
    #[inline]
    fn each(&self, (t, row): (usize, usize), len: usize, mut f: impl FnMut(Range<usize>, [bool; 2])) {
        // An element is kept where its 32 random bits are at least p·2^32; p = 1 keeps none.
        let threshold = (f64::from(self.probability) * (1_u64 << 32) as f64) as u64;
        let mut rng = Rng::new([self.layer, t, row].into_iter().fold(self.seed, mix));
        for first in (0..len).step_by(2) {
            let bits = rng.bits();
            let keep = [bits & 0xffff_ffff, bits >> 32].map(|bits| bits >= threshold);
            f(first..len.min(first + 2), keep);
        }
    }
}

/// Steele, Lea and Flood's splitmix64 of both.
fn mix(hash: u64, value: usize) -> u64 {
    let mut z = hash.wrapping_add(value as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_zeros_is_the_probability() {
        for probability in [0.0, 0.1, 0.5, 1.0] {
            let dropout = Dropout { probability, seed: 1, layer: 0 };
            let (ones, mut to) = (vec![1.0; 10_001], vec![0.0; 10_001]);
            dropout.apply((3, 4), &ones, &mut to);
            let zeros = to.iter().filter(|&&x| x == 0.0).count() as f32 / 10_001.0;
            assert!((zeros - probability).abs() < 0.02, "{zeros} of {probability}");
            assert!(to.iter().all(|&x| x == 0.0 || (x - 1.0 / (1.0 - probability)).abs() < 1e-6));
        }
    }

    #[test]
    fn seeds_layers_steps_and_rows_have_masks_of_their_own() {
        let mask = |seed, layer, t, row| {
            let mut to = vec![0.0; 64];
            Dropout { probability: 0.5, seed, layer }.apply((t, row), &[1.0; 64], &mut to);
            to
        };
        let base = mask(1, 0, 0, 0);
        assert_eq!(base, mask(1, 0, 0, 0));
        for other in [mask(2, 0, 0, 0), mask(1, 1, 0, 0), mask(1, 0, 1, 0), mask(1, 0, 0, 1)] {
            assert_ne!(base, other);
        }
    }
}
