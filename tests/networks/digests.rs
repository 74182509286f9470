//! The bits of results, frozen: a change of how the work is done changes none of them.
//!
//! Other tests compare ways through the library with each other, or with a reference up to rounding. Neither sees a
//! change that all ways share and that is within the tolerance, such as another order of a sum. `digests.txt` does. It
//! holds for AVX-512 and AVX2, whose bits are the same, and not for the portable tier, which rounds in its own way.
//!
//! A change that is meant to alter bits writes the file anew, to be committed with the reason:
//! `ELMAN_WRITE_DIGESTS=1 cargo test --release --test networks digests`.

mod grid;
mod run;

use std::collections::HashMap;

use crate::tiers::tiers;
use elman::internals::Kernels;
use elman::{Isa, Threads};
use grid::{Work, grid};

/// FNV-1a, 64 bits wide, of the bits of numbers: any bit that changes, and any two numbers that change places, change it.
fn fnv1a<'a>(tensors: impl IntoIterator<Item = &'a [f32]>) -> u64 {
    let bytes = tensors.into_iter().flatten().flat_map(|x| x.to_bits().to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// What a run gave.
#[derive(Clone, Copy)]
struct Digests {
    /// Outputs and last states, or a loss; of a training, the losses of all its steps.
    outputs: u64,
    /// The outputs and last states of a run in training, which keeps what the backward pass needs. The same bits.
    training_outputs: u64,
    /// Of parameters, input and first state; of a training, the parameters it ends with.
    gradients: u64,
}

/// Outputs and gradients, as the file has them.
type Expected = (u64, u64);

impl Digests {
    fn expected(&self) -> Expected {
        (self.outputs, self.gradients)
    }

    /// A line for each digest that is another than expected.
    fn differences(&self, (outputs, gradients): Expected, what: &str) -> Vec<String> {
        let pairs = [
            ("outputs", self.outputs, outputs),
            ("outputs in training", self.training_outputs, outputs),
            ("gradients", self.gradients, gradients),
        ];
        let different = pairs.into_iter().filter(|(_, got, expected)| got != expected);
        different.map(|(of, got, expected)| format!("{what}: {of}: expected {expected:016x}, got {got:016x}")).collect()
    }
}

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/networks/digests.txt");
const HEADER: &str =
    "# configuration: digest of outputs, digest of gradients. tests/networks/digests.rs says what and how.\n";

/// What the file expects, by configuration.
fn on_file() -> HashMap<&'static str, Expected> {
    let lines = include_str!("digests.txt").lines().filter(|line| !line.starts_with('#'));
    let parsed = lines.map(|line| {
        let (name, digests) = line.split_once(": ").expect("a name and digests");
        let (outputs, gradients) = digests.split_once(' ').expect("two digests");
        let [outputs, gradients] = [outputs, gradients].map(|hex| u64::from_str_radix(hex, 16).expect("a digest"));
        (name, (outputs, gradients))
    });
    parsed.collect()
}

/// The tiers that share their bits; says which of them are not tested.
fn vector_tiers() -> Vec<&'static Kernels> {
    eprintln!("skipped: the portable tier has bits of its own");
    tiers().into_iter().filter(|kernels| kernels.isa() != Isa::Portable).collect()
}

/// Runs `work` on all of `tiers` that it can be given, with one thread and with two. Gives the first run's digests, and a
/// line for each digest that is not `expected`, or not the first run's where nothing is.
fn check(name: &str, work: &Work, tiers: &[&'static Kernels], expected: Option<Expected>) -> (Expected, Vec<String>) {
    let (mut first, mut differences) = (expected, Vec::new());
    for kernels in tiers.iter().copied().filter(|kernels| work.runs_on(kernels)) {
        for threads in [1, 2] {
            let digests = work.run(kernels, Threads::new(threads).unwrap());
            let expected = *first.get_or_insert(digests.expected());
            differences.extend(digests.differences(expected, &format!("{name}: {}, threads {threads}", kernels.isa())));
        }
    }
    (first.expect("a tier to run on"), differences)
}

#[test]
fn every_result_has_the_bits_it_had() {
    let writing = std::env::var_os("ELMAN_WRITE_DIGESTS").is_some_and(|value| value == "1");
    let (tiers, grid, on_file) = (vector_tiers(), grid(), on_file());
    let (mut text, mut differences) = (HEADER.to_string(), Vec::new());
    for (name, work) in &grid {
        if !tiers.iter().any(|kernels| work.runs_on(kernels)) {
            assert!(!writing, "{name}: no tier whose digests could be written");
            eprintln!("skipped: {name}: runs on the active tier only, and that is not one of AVX-512 and AVX2");
            continue;
        }
        let known = on_file.get(&name[..]).copied();
        if known.is_none() && !writing {
            differences.push(format!("{name}: not in digests.txt"));
            continue;
        }
        let (digests, different) = check(name, work, &tiers, known.filter(|_| !writing));
        differences.extend(different);
        text += &format!("{name}: {:016x} {:016x}\n", digests.0, digests.1);
    }
    assert!(differences.is_empty(), "{} digests differ:\n{}", differences.len(), differences.join("\n"));
    if writing {
        std::fs::write(PATH, text).unwrap();
    } else {
        // A configuration that is dropped is not to leave its digest behind, nor two to share a name.
        assert_eq!(grid.len(), on_file.len(), "configurations, and lines of digests.txt");
    }
}
