//! What is trained on, what settings are chosen by, and what is tested on.
//!
//! Random splits come from [`SplitMix64`] and [`shuffle`], in whole numbers alone: the same seed gives the same split on
//! every machine.

use std::collections::HashMap;
use std::hash::Hash;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The generator SplitMix64 (Steele, Lea and Flood 2014): 64 bits of state, a counter that is mixed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitMix64(u64);

impl SplitMix64 {
    /// The generator of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        // The counter's step is 2^64 over the golden ratio; the others are the published constants.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number less than `bound`: the upper half of a product of 128 bits, where each number is as likely as the others
    /// to within `bound` in 2^64.
    ///
    /// # Panics
    /// `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        assert!(bound > 0, "bound: expected at least 1, got 0");
        ((u128::from(self.next_u64()) * bound as u128) >> 64) as usize
    }
}

/// Puts the items in a random order: Fisher and Yates, from the last item down.
pub fn shuffle<T>(items: &mut [T], rng: &mut SplitMix64) {
    for last in (1..items.len()).rev() {
        items.swap(last, rng.below(last + 1));
    }
}

/// How much of the data is kept from training. Of `n` items a share is n times it, rounded to the nearest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shares {
    /// The share by which settings are chosen and training is stopped. 0.1 by default.
    pub valid: f64,
    /// The share that is tested on. 0.1 by default.
    pub test: f64,
}

impl Default for Shares {
    fn default() -> Self {
        Self { valid: 0.1, test: 0.1 }
    }
}

impl Shares {
    /// That both are shares.
    pub(crate) fn check(self) -> Result<()> {
        for (name, share) in [("share of validation", self.valid), ("share of test", self.test)] {
            if !(0.0..1.0).contains(&share) {
                return Err(Error::expected(name, "a share of at least 0 and less than 1", share));
            }
        }
        Ok(())
    }

    /// How many of `len` are for training, validation and test.
    fn counts(self, len: usize, what: &str) -> Result<[usize; 3]> {
        self.check()?;
        let count = |name: &str, share: f64| {
            let count = (share * len as f64).round() as usize;
            if share > 0.0 && count == 0 {
                let got = format!("{share} of {len} {what}, which is none");
                return Err(Error::expected(name, format_args!("a share of at least one of the {what}"), got));
            }
            Ok(count)
        };
        let (valid, test) = (count("share of validation", self.valid)?, count("share of test", self.test)?);
        if valid + test >= len {
            let got = format!("{valid} for validation and {test} for the test, of {len}");
            return Err(Error::expected("shares", format_args!("some {what} left for training"), got));
        }
        Ok([len - valid - test, valid, test])
    }
}

/// A part of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// What is trained on.
    Train,
    /// What settings are chosen by.
    Valid,
    /// What is tested on.
    Test,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Train => "training part",
            Self::Valid => "validation part",
            Self::Test => "test part",
        })
    }
}

/// The indices of the items of each part. No index is in two of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// To be trained on.
    pub train: Vec<usize>,
    /// To choose settings by.
    pub valid: Vec<usize>,
    /// To be tested on.
    pub test: Vec<usize>,
}

impl Split {
    /// The indices of the items of a part.
    #[must_use]
    pub fn part(&self, part: Part) -> &[usize] {
        match part {
            Part::Train => &self.train,
            Part::Valid => &self.valid,
            Part::Test => &self.test,
        }
    }
}

/// Parts of a series, each after the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spans {
    /// To be trained on.
    pub train: Range<usize>,
    /// To choose settings by.
    pub valid: Range<usize>,
    /// To be tested on.
    pub test: Range<usize>,
}

/// Splits `len` items at random. Within a part they are in random order too.
///
/// # Errors
/// A share outside [0, 1), one that comes to less than one item though it is not 0, or none left for training.
pub fn random(len: usize, shares: Shares, seed: u64) -> Result<Split> {
    let [train, valid, _] = shares.counts(len, "items")?;
    let mut order: Vec<_> = (0..len).collect();
    shuffle(&mut order, &mut SplitMix64::new(seed));
    let test = order.split_off(train + valid);
    let valid = order.split_off(train);
    Ok(Split { train: order, valid, test })
}

/// Splits items so that those of one key, e.g. a word with several pronunciations, are all in one part. The shares are of
/// keys, in the order of their first items; within a part items are in the order they came in.
///
/// # Errors
/// As for [`random`], of keys.
pub fn grouped<K: Eq + Hash>(keys: &[K], shares: Shares, seed: u64) -> Result<Split> {
    let mut numbers: HashMap<&K, usize> = HashMap::new();
    let groups: Vec<_> = keys
        .iter()
        .map(|key| {
            let next = numbers.len();
            *numbers.entry(key).or_insert(next)
        })
        .collect();
    let [train, valid, _] = shares.counts(numbers.len(), "keys")?;
    let mut order: Vec<_> = (0..numbers.len()).collect();
    shuffle(&mut order, &mut SplitMix64::new(seed));
    let mut place = vec![0; order.len()];
    order.into_iter().enumerate().for_each(|(rank, group)| place[group] = rank);
    let mut split = Split::default();
    for (item, group) in groups.into_iter().enumerate() {
        let part = match place[group] {
            rank if rank < train => &mut split.train,
            rank if rank < train + valid => &mut split.valid,
            _ => &mut split.test,
        };
        part.push(item);
    }
    Ok(split)
}

/// Splits the `len` steps of a series in the order of time: the last are tested on, those before them are for validation.
///
/// # Errors
/// As for [`random`].
pub fn chronological(len: usize, shares: Shares) -> Result<Spans> {
    let [train, valid, _] = shares.counts(len, "steps")?;
    Ok(Spans { train: 0..train, valid: train..train + valid, test: train + valid..len })
}

/// Folds of a backtest, which walks forward: the last `folds` times `test` steps of the series are cut into the folds'
/// tests, one after the other. Each fold has the `valid` steps before its test for validation, and trains on all before
/// these.
///
/// ```
/// use elman_tasks::split::walk_forward;
///
/// let folds = walk_forward(10, 2, 1, 3)?;
/// assert_eq!((&folds[0].train, &folds[0].valid, &folds[0].test), (&(0..3), &(3..4), &(4..7)));
/// assert_eq!((&folds[1].train, &folds[1].valid, &folds[1].test), (&(0..6), &(6..7), &(7..10)));
/// # Ok::<(), elman_tasks::Error>(())
/// ```
///
/// # Errors
/// No folds, no steps in a test, or none left for the training of the first fold.
pub fn walk_forward(len: usize, folds: usize, valid: usize, test: usize) -> Result<Vec<Spans>> {
    if folds == 0 || test == 0 {
        let got = format!("{folds} folds of {test} steps");
        return Err(Error::expected("backtest", "at least one fold, and one step in each test", got));
    }
    let needed = folds.checked_mul(test).and_then(|tests| tests.checked_add(valid)).unwrap_or(usize::MAX);
    if needed >= len {
        let expected = format!("more than {needed} steps for {folds} tests of {test} and a validation of {valid}");
        return Err(Error::expected("backtest", expected, len));
    }
    let fold = |fold: usize| {
        let begin = len - (folds - fold) * test;
        Spans { train: 0..begin - valid, valid: begin - valid..begin, test: begin..begin + test }
    };
    Ok((0..folds).map(fold).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the generator's published outputs for the seed 1234567 the first.
    #[test]
    fn the_generator_is_splitmix64() {
        let mut rng = SplitMix64::new(1_234_567);
        assert_eq!(rng.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(rng.next_u64(), 3_203_168_211_198_807_973);
        assert!((0..1000).all(|_| rng.below(3) < 3));
    }

    #[test]
    fn a_seed_is_a_split() {
        let split = random(10, Shares { valid: 0.2, test: 0.3 }, 1).unwrap();
        assert_eq!((split.train.len(), split.valid.len(), split.test.len()), (5, 2, 3));
        let mut all = [split.train.clone(), split.valid.clone(), split.test.clone()].concat();
        // What it is must never change: results that were told depend on it.
        assert_eq!(all, [9, 0, 1, 4, 8, 2, 3, 7, 6, 5]);
        all.sort_unstable();
        assert_eq!(all, (0..10).collect::<Vec<_>>());
        assert_ne!(random(10, Shares { valid: 0.2, test: 0.3 }, 2).unwrap(), split);
    }

    #[test]
    fn a_key_is_in_one_part() {
        let keys: Vec<_> = (0..300).map(|item| item * 7 % 100).collect();
        let split = grouped(&keys, Shares::default(), 3).unwrap();
        assert_eq!((split.train.len(), split.valid.len(), split.test.len()), (240, 30, 30));
        for item in &split.test {
            assert!(split.train.iter().chain(&split.valid).all(|other| keys[*other] != keys[*item]));
        }
        assert_eq!(grouped(&keys, Shares::default(), 3).unwrap(), split);
    }

    #[test]
    fn time_goes_forward() {
        let spans = chronological(3177, Shares { valid: 0.0, test: 0.1 }).unwrap();
        assert_eq!((spans.train, spans.valid, spans.test), (0..2859, 2859..2859, 2859..3177));
        let folds = walk_forward(100, 4, 5, 10).unwrap();
        assert_eq!(folds.len(), 4);
        assert_eq!(folds.iter().map(|fold| fold.test.clone()).collect::<Vec<_>>(), [60..70, 70..80, 80..90, 90..100]);
        assert!(folds.iter().all(|fold| fold.train.end == fold.valid.start && fold.valid.end == fold.test.start));
        assert_eq!(folds[0].train, 0..55);
    }

    #[test]
    fn impossible_splits_are_told() {
        let told = |result: Result<Split>| result.unwrap_err().to_string();
        let shares = |valid, test| Shares { valid, test };
        assert_eq!(
            told(random(10, shares(-0.1, 0.1), 0)),
            "share of validation: expected a share of at least 0 and less than 1, got -0.1"
        );
        assert!(told(random(10, shares(0.1, f64::NAN), 0)).contains("got NaN"));
        assert_eq!(
            told(random(3, shares(0.1, 0.1), 0)),
            "share of validation: expected a share of at least one of the items, got 0.1 of 3 items, which is none"
        );
        assert_eq!(
            told(grouped(&[1, 1, 2], shares(0.5, 0.5), 0)),
            "shares: expected some keys left for training, got 1 for validation and 1 for the test, of 2"
        );
        assert_eq!(
            walk_forward(10, 3, 1, 3).unwrap_err().to_string(),
            "backtest: expected more than 10 steps for 3 tests of 3 and a validation of 1, got 10"
        );
        assert!(walk_forward(10, 0, 1, 3).is_err() && walk_forward(usize::MAX, usize::MAX, 1, 3).is_err());
    }
}
