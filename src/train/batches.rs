//! Which examples go together, and in which order.

use crate::error::{Error, Result, at_least_one};
use crate::rng::Rng;

/// Minibatches of examples that are known by their numbers, in another order in each epoch unless they are to stay
/// [in order](Self::in_order). An epoch's order follows from
/// the seed and the epoch's number alone, the same on every machine: no history is needed to resume in the middle of one.
///
/// ```
/// use elman::train::Batches;
///
/// let batches = Batches::new(10, 4, 42)?;
/// assert_eq!(batches.per_epoch(), 3);
/// let sizes: Vec<_> = batches.epoch(0).iter().map(Vec::len).collect();
/// assert_eq!(sizes, [4, 4, 2]);
/// assert_ne!(batches.epoch(0), batches.epoch(1));
///
/// // Resumed in epoch 7, after two of its batches.
/// assert!(batches.epoch_from(7, 2).eq(batches.epoch(7).into_iter().skip(2)));
/// # Ok::<(), elman::Error>(())
/// ```
///
/// # Sequences of different lengths
///
/// A padded batch is as long as its longest row, and so much is computed for every row. [`bucketed`](Self::bucketed) puts
/// sequences of like lengths together: in this example padding is 0.48 of all steps without it and 0.05 with it.
///
/// ```
/// use elman::train::{Batches, padding};
///
/// let lengths: Vec<usize> = (0..2000).map(|i| 1 + i % 100).collect();
/// let random = Batches::new(lengths.len(), 32, 1)?;
/// let bucketed = random.clone().bucketed(lengths.clone(), 20)?;
/// assert!((0.46..0.50).contains(&padding(&random.epoch(0), &lengths)));
/// assert!((0.05..0.06).contains(&padding(&bucketed.epoch(0), &lengths)));
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batches {
    examples: usize,
    size: usize,
    seed: u64,
    drop_last: bool,
    in_order: bool,
    buckets: Option<Buckets>,
}

/// What sorts by length need.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Buckets {
    lengths: Vec<usize>,
    /// Examples that are sorted together.
    window: usize,
}

impl Batches {
    /// Batches of `batch_size` of the examples `0..examples`; the last one of an epoch has what is left.
    ///
    /// # Errors
    /// [`Error::Setting`] naming `examples` or `batch_size` where it is 0.
    pub fn new(examples: usize, batch_size: usize, seed: u64) -> Result<Self> {
        at_least_one("examples", examples)?;
        at_least_one("batch_size", batch_size)?;
        Ok(Self { examples, size: batch_size, seed, drop_last: false, in_order: false, buckets: None })
    }

    /// Leaves out the batch of an epoch that would have fewer examples: others in each epoch, whatever their lengths.
    #[must_use]
    pub fn drop_last(self, drop_last: bool) -> Self {
        Self { drop_last, ..self }
    }

    /// Leaves the examples in the order of their numbers in every epoch, whatever their lengths: for minibatches that go on from
    /// one another, as stretches of a long sequence do.
    ///
    /// ```
    /// use elman::train::Batches;
    ///
    /// let batches = Batches::new(5, 2, 42)?.in_order();
    /// assert_eq!(batches.epoch(7), [vec![0, 1], vec![2, 3], vec![4]]);
    /// # Ok::<(), elman::Error>(())
    /// ```
    #[must_use]
    pub fn in_order(self) -> Self {
        Self { in_order: true, ..self }
    }

    /// Puts sequences of like lengths together: the examples in their random order are cut into windows of `window`
    /// batches, sorted by length inside each, cut into batches, and the batches are shuffled. A larger window has less
    /// padding and less chance in who meets whom. A batch that has what is left may then stand anywhere.
    ///
    /// # Errors
    /// [`Error::Setting`] naming `lengths` where there is not one for each example, and `window` where it is 0.
    pub fn bucketed(self, lengths: impl Into<Vec<usize>>, window: usize) -> Result<Self> {
        let lengths = lengths.into();
        at_least_one("window", window)?;
        if lengths.len() != self.examples {
            return Err(Error::setting(
                "lengths",
                &format!("one for each of {} examples", self.examples),
                lengths.len(),
            ));
        }
        let window = window.saturating_mul(self.size);
        Ok(Self { buckets: Some(Buckets { lengths, window }), ..self })
    }

    /// Batches in an epoch.
    #[must_use]
    pub fn per_epoch(&self) -> usize {
        if self.drop_last { self.examples / self.size } else { self.examples.div_ceil(self.size) }
    }

    /// The batches of an epoch: the numbers of their examples.
    #[must_use]
    pub fn epoch(&self, epoch: u64) -> Vec<Vec<usize>> {
        let mut rng = Rng::new(mixed(self.seed).wrapping_add(epoch));
        let mut order: Vec<usize> = (0..self.examples).collect();
        if !self.in_order {
            shuffle(&mut order, &mut rng);
        }
        if self.drop_last {
            // Before they are sorted: it would always be the longest of a window that are left out.
            order.truncate(self.per_epoch() * self.size);
        }
        let Some(Buckets { lengths, window }) = self.buckets.as_ref().filter(|_| !self.in_order) else {
            return order.chunks(self.size).map(Vec::from).collect();
        };
        for window in order.chunks_mut(*window) {
            window.sort_by_key(|&example| lengths[example]);
        }
        let mut batches: Vec<Vec<usize>> = order.chunks(self.size).map(Vec::from).collect();
        shuffle(&mut batches, &mut rng);
        batches
    }

    /// The batches of an epoch from batch `first` on, as a run that was interrupted needs them; none from the last one on.
    pub fn epoch_from(&self, epoch: u64, first: usize) -> impl Iterator<Item = Vec<usize>> + use<> {
        self.epoch(epoch).into_iter().skip(first)
    }
}

/// The share of the steps of padded batches that is padding: 0 where all of a batch have one length.
///
/// ```
/// use elman::train::padding;
///
/// // Rows of 2 and 6 steps are 2 · 6 steps, of which 4 are padding.
/// assert_eq!(padding(&[vec![0, 1], vec![2]], &[2, 6, 4]), 4.0 / 16.0);
/// ```
///
/// # Panics
/// Where an example has no length.
#[must_use]
pub fn padding(batches: &[Vec<usize>], lengths: &[usize]) -> f64 {
    let (mut real, mut all) = (0.0, 0.0);
    for batch in batches {
        let of_batch = || batch.iter().map(|&example| lengths[example]);
        real += of_batch().map(|length| length as f64).sum::<f64>();
        all += (batch.len() as f64) * of_batch().max().unwrap_or(0) as f64;
    }
    if all == 0.0 { 0.0 } else { (all - real) / all }
}

/// Every order is as likely as any other (Fisher and Yates; Durstenfeld 1964).
fn shuffle<T>(items: &mut [T], rng: &mut Rng) {
    for last in (1..items.len()).rev() {
        items.swap(last, rng.below(last + 1));
    }
}

/// Far from the same of a seed close by, so that epoch 1 of one seed is not epoch 0 of the next: the last step of
/// SplitMix64 (Steele, Lea and Flood 2014).
fn mixed(seed: u64) -> u64 {
    let seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let seed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let seed = (seed ^ (seed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    seed ^ (seed >> 31)
}
