//! Dropout between layers: whether an element is kept is a function of its place in the training run and nothing else. So
//! no mask is stored, the backward pass finds the same one, and it depends neither on the number of threads nor on padding.
//!
//! ```text
//! key  = seed, step, layer, direction, t and row, folded one after the other:  key = mix(key ^ (value + 1)·constant)
//! bits = mix(key + (unit / 2 + 1)·constant)        32 of them for each of two units
//! kept = bits >= p·2^32
//! ```
//!
//! `mix` is a bijection of 64 bits, so two keys that differ in one coordinate always differ. Each coordinate has a constant
//! of its own because coordinates are small numbers that lie side by side: were they added alike, layer 1 of seed 1 and
//! layer 0 of seed 2 would have one mask, and in a net of three layers each mask would come again at the next seed.

use super::batch::Position;

/// The mask of the output of one layer in one direction, in one training step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dropout {
    /// The share of the elements that is zeroed.
    pub(super) probability: f32,
    /// Of the training run.
    pub(super) seed: u64,
    /// Training steps before this one.
    pub(super) step: u64,
    pub(super) layer: usize,
    pub(super) direction: usize,
}

// Odd, so that multiplying by them is a bijection: the fractional parts of the square roots of the first primes, as in
// SHA-512, with the lowest bit set.
const SEED: u64 = 0x6a09_e667_f3bc_c909;
const STEP: u64 = 0xbb67_ae85_84ca_a73b;
const LAYER: u64 = 0x3c6e_f372_fe94_f82b;
const DIRECTION: u64 = 0xa54f_f53a_5f1d_36f1;
const T: u64 = 0x510e_527f_ade6_82d1;
const ROW: u64 = 0x9b05_688c_2b3e_6c1f;
const UNIT: u64 = 0x1f83_d9ab_fb41_bd6b;

impl Dropout {
    /// Writes a row of `from` with some elements zeroed, the others divided by 1 - p. The mask is of that `place`,
    /// whoever computes the row.
    pub(super) fn apply(&self, place: Position, from: &[f32], to: &mut [f32]) {
        let scale = 1.0 / (1.0 - self.probability);
        let mask = self.mask(place);
        for (pair, (to, from)) in to.chunks_mut(2).zip(from.chunks(2)).enumerate() {
            for ((to, from), keep) in to.iter_mut().zip(from).zip(mask.pair(pair)) {
                *to = if keep { from * scale } else { 0.0 };
            }
        }
    }

    /// Does the same to a row of gradients in place.
    pub(super) fn apply_to(&self, place: Position, d: &mut [f32]) {
        let scale = 1.0 / (1.0 - self.probability);
        let mask = self.mask(place);
        for (pair, d) in d.chunks_mut(2).enumerate() {
            for (d, keep) in d.iter_mut().zip(mask.pair(pair)) {
                *d = if keep { *d * scale } else { 0.0 };
            }
        }
    }

    fn mask(&self, Position { t, row }: Position) -> RowMask {
        let Self { probability, seed, step, layer, direction } = *self;
        let coordinates = [
            (seed, SEED),
            (step, STEP),
            (layer as u64, LAYER),
            (direction as u64, DIRECTION),
            (t as u64, T),
            (row as u64, ROW),
        ];
        let fold = |key, (value, constant): (u64, u64)| mix(key ^ value.wrapping_add(1).wrapping_mul(constant));
        // p = 1 keeps none: 32 bits are never 2^32.
        let threshold = (f64::from(probability) * (1_u64 << 32) as f64) as u64;
        RowMask { key: coordinates.into_iter().fold(0, fold), threshold }
    }
}

/// The mask of one row at one step.
#[derive(Clone, Copy)]
struct RowMask {
    key: u64,
    threshold: u64,
}

impl RowMask {
    /// Whether the units 2·pair and 2·pair + 1 are kept.
    #[inline(always)]
    fn pair(&self, pair: usize) -> [bool; 2] {
        let bits = mix(self.key.wrapping_add((pair as u64 + 1).wrapping_mul(UNIT)));
        [bits & 0xffff_ffff, bits >> 32].map(|bits| bits >= self.threshold)
    }
}

/// A bijection in which every bit of the result depends on every bit of `z`: variant 13 of Stafford's finalisers, which
/// splitmix64 (Steele, Lea and Flood 2014) ends with.
#[inline(always)]
fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Dropout = Dropout { probability: 0.5, seed: 0, step: 0, layer: 0, direction: 0 };

    fn at(t: usize, row: usize) -> Position {
        Position { t, row }
    }

    /// Which of `len` units are kept, a bit each.
    fn mask(dropout: Dropout, place: Position, len: usize) -> Vec<u64> {
        let mut to = vec![0.0; len];
        dropout.apply(place, &vec![1.0; len], &mut to);
        to.chunks(64).map(|to| to.iter().rev().fold(0, |bits, &x| bits << 1 | u64::from(x != 0.0))).collect()
    }

    /// How far the number of elements in which two masks agree is from what independent masks give on average, in
    /// standard deviations.
    fn deviation(a: &[u64], b: &[u64], len: usize, probability: f64) -> f64 {
        let differ: u32 = a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum();
        let (n, agree) = (len as f64, len as f64 - f64::from(differ));
        let chance = probability.powi(2) + (1.0 - probability).powi(2);
        (agree - n * chance) / (n * chance * (1.0 - chance)).sqrt()
    }

    /// The largest deviation of any two of the masks, and the mean of the squares of all: 1 for independent masks.
    fn deviations(masks: &[Vec<u64>], len: usize, probability: f64) -> (f64, f64) {
        let (mut largest, mut squares, mut pairs) = (0.0_f64, 0.0, 0.0);
        for (i, a) in masks.iter().enumerate() {
            for b in &masks[..i] {
                let deviation = deviation(a, b, len, probability);
                largest = largest.max(deviation.abs());
                squares += deviation * deviation;
                pairs += 1.0;
            }
        }
        (largest, squares / pairs)
    }

    #[test]
    fn the_share_of_zeros_is_the_probability() {
        for probability in [0.0, 0.1, 0.5, 1.0] {
            let dropout = Dropout { probability, ..BASE };
            let (ones, mut to) = (vec![1.0; 10_001], vec![0.0; 10_001]);
            dropout.apply(at(3, 4), &ones, &mut to);
            let zeros = to.iter().filter(|&&x| x == 0.0).count() as f32 / 10_001.0;
            assert!((zeros - probability).abs() < 0.02, "{zeros} of {probability}");
            assert!(to.iter().all(|&x| x == 0.0 || (x - 1.0 / (1.0 - probability)).abs() < 1e-6));
            let mut d = ones;
            dropout.apply_to(at(3, 4), &mut d);
            assert_eq!(d, to, "the backward pass has another mask");
        }
    }

    /// Four seeds, four steps, three layers and two directions, each over 4 x 4 rows of 64 units: 96 masks, of which no
    /// two agree more or less than independent ones do.
    #[test]
    fn masks_of_seeds_steps_layers_and_directions_are_independent() {
        for probability in [0.5_f32, 0.2] {
            let mut masks = Vec::new();
            for i in 0..96 {
                let (seed, step) = (i as u64 / 24, i as u64 / 6 % 4);
                let dropout = Dropout { probability, seed, step, layer: i / 2 % 3, direction: i % 2 };
                masks.push((0..16).flat_map(|place| mask(dropout, at(place / 4, place % 4), 64)).collect());
            }
            let (largest, mean) = deviations(&masks, 1024, f64::from(probability));
            // Of 4,560 pairs of independent masks one in 400 such tests has one beyond 5.
            assert!(largest < 5.0, "p {probability}: {largest} standard deviations");
            assert!((mean - 1.0).abs() < 0.15, "p {probability}: mean square {mean}");
        }
    }

    /// Every coordinate from 0 to 2: whatever two of them have in common, they share no mask. The case that once was
    /// wrong, layer k + 1 of seed s and layer k of seed s + 1, is among them.
    #[test]
    fn neighbouring_coordinates_are_independent() {
        let mut masks = Vec::new();
        for i in 0..729_usize {
            let [seed, step, layer, direction, t, row] = [1, 3, 9, 27, 81, 243].map(|power| i / power % 3);
            let dropout = Dropout { seed: seed as u64, step: step as u64, layer, direction, ..BASE };
            masks.push(mask(dropout, at(t, row), 256));
        }
        let (largest, mean) = deviations(&masks, 256, 0.5);
        // Of 265,356 pairs the largest of independent ones is about 4.6.
        assert!(largest < 6.0, "{largest} standard deviations");
        assert!((mean - 1.0).abs() < 0.02, "mean square {mean}");
    }

    /// Units of a row against the units some places further on.
    #[test]
    fn units_are_independent_of_their_neighbours() {
        let len = 1 << 14;
        for lag in 1..=64 {
            let mut kept = vec![0.0; len + lag];
            BASE.apply(at(0, 0), &vec![1.0; len + lag], &mut kept);
            let agree = kept.iter().zip(&kept[lag..]).filter(|(a, b)| a == b).count() as f64;
            let deviation = (agree - len as f64 / 2.0) / (len as f64 / 4.0).sqrt();
            assert!(deviation.abs() < 4.5, "{lag} units apart: {deviation} standard deviations");
        }
    }

    /// A mask is part of a saved training run: the same on every machine and in every version.
    #[test]
    fn a_mask_stays_what_it_is() {
        let dropout = Dropout { probability: 0.5, seed: 7, step: 11, layer: 1, direction: 1 };
        assert_eq!(mask(dropout, at(2, 3), 64), [818_977_208_480_462_883]);
        assert_eq!(mask(dropout, at(2, 3), 5)[0], mask(dropout, at(2, 3), 64)[0] & 31);
    }
}
