//! Minibatches: every example once, an order for each seed and epoch, and less padding by length.

use elman::train::{Batches, padding};
use elman::{ErrorKind, Rng};
use proptest::prelude::*;

fn lengths(examples: usize) -> Vec<usize> {
    let mut rng = Rng::new(5);
    (0..examples).map(|_| rng.below(100)).collect()
}

proptest! {
    #[test]
    fn every_example_is_there_once(
        examples in 1..300_usize,
        size in 1..40_usize,
        seed: u64,
        epoch: u64,
        window in proptest::option::of(1..12_usize),
        drop_last: bool,
    ) {
        let mut batches = Batches::new(examples, size, seed).unwrap().drop_last(drop_last);
        if let Some(window) = window {
            batches = batches.bucketed(lengths(examples), window).unwrap();
        }
        let all = batches.epoch(epoch);
        prop_assert_eq!(all.len(), batches.per_epoch());
        let short = all.iter().filter(|batch| batch.len() != size).count();
        prop_assert_eq!(short, usize::from(!drop_last && examples % size != 0));
        let mut seen = all.concat();
        seen.sort_unstable();
        if !drop_last {
            prop_assert_eq!(&seen, &(0..examples).collect::<Vec<_>>());
        }
        prop_assert_eq!(seen.len(), if drop_last { examples / size * size } else { examples });
        seen.dedup();
        prop_assert_eq!(seen.len(), all.concat().len(), "an example twice");
        // Of the seed and the epoch alone.
        prop_assert_eq!(&batches.clone().epoch(epoch), &all);
        for first in [0, all.len() / 2, all.len(), all.len() + 1] {
            prop_assert!(batches.epoch_from(epoch, first).eq(all.iter().skip(first).cloned()));
        }
        // One chance in 20! that it fails. By length there are fewer orders.
        if seen.len() >= 20 && window.is_none() {
            prop_assert_ne!(&batches.epoch(epoch.wrapping_add(1)).concat(), &all.concat());
            let other = Batches::new(examples, size, seed.wrapping_add(1)).unwrap();
            prop_assert_ne!(&other.epoch(epoch).concat(), &all.concat());
        }
    }

    #[test]
    fn bucketed_batches_have_less_padding(seed: u64, epoch in 0..1000_u64, size in 2..20_usize) {
        let lengths = lengths(600);
        let random = Batches::new(600, size, seed).unwrap();
        let padding_of = |window: usize| {
            padding(&random.clone().bucketed(&lengths[..], window).unwrap().epoch(epoch), &lengths)
        };
        let unbucketed = padding(&random.epoch(epoch), &lengths);
        // A window of one batch changes nothing but the order: its batches are those of the same shuffle.
        prop_assert!((padding_of(1) - unbucketed).abs() < 1e-12);
        prop_assert!(padding_of(10) < 0.7 * unbucketed, "{} of {}", padding_of(10), unbucketed);
        prop_assert!(padding_of(1000) < padding_of(10));
    }
}

/// The numbers themselves, as a program of its own over SplitMix64 and xoshiro256++ has found them.
#[test]
fn an_order_is_the_same_everywhere() {
    let batches = Batches::new(10, 4, 42).unwrap();
    assert_eq!(batches.epoch(0), GOLDEN_0);
    assert_eq!(batches.epoch(1), GOLDEN_1);
    let bucketed = batches.bucketed([9, 8, 7, 6, 5, 4, 3, 2, 1, 0], 2).unwrap();
    assert_eq!(bucketed.epoch(0), GOLDEN_BUCKETED);
}

const GOLDEN_0: [&[usize]; 3] = [&[1, 4, 7, 2], &[5, 8, 3, 9], &[0, 6]];
const GOLDEN_1: [&[usize]; 3] = [&[7, 5, 0, 2], &[4, 9, 3, 6], &[8, 1]];
const GOLDEN_BUCKETED: [&[usize]; 3] = [&[6, 0], &[9, 8, 7, 5], &[4, 3, 2, 1]];

#[test]
fn bucketed_epochs_differ_in_what_goes_together() {
    let batches = Batches::new(200, 10, 1).unwrap().bucketed(lengths(200), 5).unwrap();
    let sorted = |epoch| {
        let mut all = batches.epoch(epoch);
        all.iter_mut().for_each(|batch| batch.sort_unstable());
        all.sort_unstable();
        all
    };
    assert_ne!(sorted(0), sorted(1));
    // The batches are shuffled: their lengths do not rise window by window.
    let shortest: Vec<usize> =
        batches.epoch(0)[..5].iter().map(|batch| batch.iter().map(|&i| lengths(200)[i]).min().unwrap()).collect();
    assert!(!shortest.is_sorted(), "{shortest:?}");
}

#[test]
fn every_order_is_as_likely() {
    // Where the first of three examples comes to stand, over epochs; 5 standard deviations are 236.
    let batches = Batches::new(3, 3, 7).unwrap();
    let mut counts = [0_i32; 3];
    for epoch in 0..10_000 {
        let order = batches.epoch(epoch).concat();
        counts[order.iter().position(|&example| example == 0).unwrap()] += 1;
    }
    assert!(counts.iter().all(|count| (count - 3333).abs() < 236), "{counts:?}");
}

#[test]
fn an_epoch_is_not_that_of_a_neighbouring_seed() {
    let epochs = |seed| {
        let batches = Batches::new(50, 50, seed).unwrap();
        (0..20).map(|epoch| batches.epoch(epoch).concat()).collect::<Vec<_>>()
    };
    let (one, next) = (epochs(1), epochs(2));
    assert!(one.iter().all(|order| !next.contains(order)));
}

/// Where the batch that is left out were the last of a sorted window, no epoch would ever see the longest.
#[test]
fn the_longest_examples_are_not_the_ones_left_out() {
    let lengths: Vec<usize> = (0..19).collect();
    let batches = Batches::new(19, 10, 3).unwrap().drop_last(true).bucketed(lengths, 4).unwrap();
    let with_longest = (0..200).filter(|&epoch| batches.epoch(epoch).concat().contains(&18)).count();
    assert!((60..150).contains(&with_longest), "10 of 19 are there: {with_longest} of 200 epochs");
}

#[test]
fn sizes_of_zero_and_other_numbers_of_lengths_are_refused() {
    let batches = Batches::new(3, 2, 1).unwrap();
    let errors = [
        (Batches::new(0, 2, 1), "examples: expected at least 1, got 0"),
        (Batches::new(3, 0, 1), "batch_size: expected at least 1, got 0"),
        (batches.clone().bucketed([1, 2, 3], 0), "window: expected at least 1, got 0"),
        (batches.bucketed([1, 2], 1), "lengths: expected one for each of 3 examples, got 2"),
    ];
    for (result, expected) in errors {
        let error = result.unwrap_err();
        assert_eq!((error.kind(), &error.to_string()[..]), (ErrorKind::Setting, expected));
    }
}

#[test]
fn no_steps_have_no_padding() {
    assert_eq!(padding(&[], &[]), 0.0);
    assert_eq!(padding(&[vec![0, 1]], &[0, 0]), 0.0);
    assert_eq!(padding(&[vec![0, 1]], &[0, 3]), 0.5);
}
