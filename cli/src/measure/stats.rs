//! What is made of many turns: a middle, a spread, an interval.

/// The value in the middle of the sorted values; of an even number, the upper of the two.
///
/// # Panics
/// If there are none.
pub(super) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Half the distance between the quartiles of sorted values, as a share of their median: half of all turns were this near
/// to it, or nearer, if it lies amid them.
///
/// # Panics
/// If there are none.
pub(super) fn noise(sorted: &[f64]) -> f64 {
    let quartile = |share: usize| sorted[sorted.len() * share / 4];
    (quartile(3) - quartile(1)) / 2.0 / quartile(2)
}

/// A median, and the interval that holds the true one 95 times in 100.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Middle {
    /// The middle of what was measured.
    pub median: f64,
    /// The lower end of the interval.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

impl Middle {
    /// The fewest values that have an interval: the smallest and the largest of six miss the median with a chance of 3 %.
    pub const FEWEST: usize = 6;
    /// The most values: beyond, the chance that all lie on one side is no f64 any more.
    pub const MOST: usize = 1000;

    /// The median of values that were drawn one by one, whatever their distribution is: each lies below the true median
    /// with a chance of one half, so how many do is binomial, and the interval reaches from the `k`-th smallest to the
    /// `k`-th largest with the largest `k` that leaves out at most 5 in 100.
    ///
    /// # Panics
    /// If there are fewer than [`FEWEST`](Self::FEWEST) or more than [`MOST`](Self::MOST).
    #[must_use]
    pub fn of(values: &mut [f64]) -> Self {
        let n = values.len();
        assert!((Self::FEWEST..=Self::MOST).contains(&n), "{n} values have no interval");
        let median = median(values);
        // The chance that at most so many of the values lie below the true median.
        let mut chance = 0.5f64.powi(n as i32);
        let (mut tail, mut k) = (chance, 0);
        while 2.0 * tail <= 0.05 {
            k += 1;
            chance *= (n - k + 1) as f64 / k as f64;
            tail += chance;
        }
        Self { median, low: values[k - 1], high: values[n - k] }
    }
}

/// The geometric mean: that of ratios and that of their inverses are inverses.
///
/// # Panics
/// If there are no values.
#[must_use]
pub fn geometric_mean(values: &[f64]) -> f64 {
    assert!(!values.is_empty(), "no values");
    (values.iter().map(|value| value.ln()).sum::<f64>() / values.len() as f64).exp()
}

/// How often something took how long: counts by the ticks of a clock, exact to 1 part in 64, of a size that does not grow.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    counts: Vec<u64>,
    max: u64,
}

/// Times below this are counted by the tick, and every doubling above it in half as many buckets.
const EXACT: u64 = 128;

impl Histogram {
    pub(super) fn new() -> Self {
        Self { counts: vec![0; Self::bucket(u64::MAX) + 1], max: 0 }
    }

    pub(super) fn add(&mut self, ticks: u64) {
        self.counts[Self::bucket(ticks)] += 1;
        self.max = self.max.max(ticks);
    }

    /// The longest, exactly.
    pub(super) fn max(&self) -> u64 {
        self.max
    }

    /// The shortest time that this share of all is not longer than, rounded up to its bucket's end; 0 of nothing.
    pub(super) fn percentile(&self, share: f64) -> u64 {
        let all: u64 = self.counts.iter().sum();
        let wanted = (all as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted && seen > 0 {
                return Self::end(bucket).min(self.max);
            }
        }
        self.max
    }

    /// How many bits of a time its bucket does not tell.
    fn shift(ticks: u64) -> u32 {
        (ticks / EXACT).checked_ilog2().map_or(0, |doublings| doublings + 1)
    }

    fn bucket(ticks: u64) -> usize {
        let shift = Self::shift(ticks);
        shift as usize * EXACT as usize / 2 + (ticks >> shift) as usize
    }

    /// The longest time in a bucket.
    fn end(bucket: usize) -> u64 {
        let half = EXACT as usize / 2;
        let shift = (bucket / half).saturating_sub(1);
        let first = (bucket - shift * half) as u64;
        (first << shift) + ((1 << shift) - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_half_the_distance_of_the_quartiles() {
        let mut times = [12.0, 8.0, 10.0, 9.0, 11.0];
        assert_eq!(median(&mut times), 10.0);
        assert_eq!(noise(&times), (11.0 - 9.0) / 2.0 / 10.0);
        assert_eq!(median(&mut [2.0, 1.0]), 2.0);
    }

    #[test]
    fn the_interval_is_that_of_the_tables() {
        // Ranks of the tables of nonparametric statistics, and what they leave out.
        for (n, rank) in [(6, 1), (9, 2), (15, 4), (20, 6), (30, 10), (100, 40), (1000, 469)] {
            let mut values: Vec<f64> = (1..=n).rev().map(f64::from).collect();
            let Middle { median, low, high } = Middle::of(&mut values);
            assert_eq!((low, high), (f64::from(rank), f64::from(n + 1 - rank)), "{n}");
            assert!(low <= median && median <= high);
        }
    }

    #[test]
    fn the_interval_holds_the_median_as_often_as_it_says() {
        let mut rng = elman::Rng::new(1);
        let (mut held, draws) = (0, 2000);
        for _ in 0..draws {
            // Skewed as times are: the median of x² is that of x, squared.
            let mut values: Vec<f64> = (0..15).map(|_| f64::from(rng.uniform(0.0, 1.0)).powi(2)).collect();
            let Middle { low, high, .. } = Middle::of(&mut values);
            held += usize::from((low..=high).contains(&0.25));
        }
        // 96.5 % of 15; a binomial of 2000 draws is within four of its deviations.
        let share = held as f64 / draws as f64;
        assert!((0.949..0.981).contains(&share), "{share}");
    }

    #[test]
    fn ratios_and_their_inverses_have_inverse_means() {
        assert!((geometric_mean(&[2.0, 0.5, 4.0, 0.25]) - 1.0).abs() < 1e-15);
        assert!((geometric_mean(&[1.0, 8.0, 27.0]) - 6.0).abs() < 1e-12);
    }

    #[test]
    fn percentiles_are_near_those_of_the_sorted_times() {
        let mut rng = elman::Rng::new(2);
        let mut times: Vec<u64> = (0..10_001).map(|i| (1 << rng.below(40)) + i).collect();
        let mut histogram = Histogram::new();
        times.iter().for_each(|&time| histogram.add(time));
        times.sort_unstable();
        for share in [0.0, 0.5, 0.99, 1.0] {
            let exact = times[((times.len() as f64 * share).ceil() as usize).max(1) - 1];
            let told = histogram.percentile(share);
            assert!(told >= exact && told - exact <= exact / 64, "{share}: {told}, {exact}");
        }
        assert_eq!(histogram.max(), times[10_000]);
        assert_eq!(Histogram::new().percentile(0.5), 0);
    }

    #[test]
    fn buckets_are_one_behind_the_other() {
        let mut next = 0;
        for bucket in 0..=Histogram::bucket(u64::MAX) {
            let end = Histogram::end(bucket);
            assert_eq!((Histogram::bucket(next), Histogram::bucket(end)), (bucket, bucket));
            next = end.wrapping_add(1);
        }
        assert_eq!(next, 0);
    }
}
