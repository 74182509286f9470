//! What the verbs have in common: the values of their options, and the words they print.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use elman::Nonlinearity;
use elman::Threads;
use elman::format::{Description, Kind};
use elman::internals::Kernels;
use indicatif::HumanCount;

pub(crate) fn threads(text: &str) -> Result<Threads, String> {
    Threads::new(whole(text, 1..=usize::MAX)?).map_err(|error| error.to_string())
}

/// A whole number; clap's own words for what is none do not say what was expected.
pub(crate) fn whole<N: FromStr + PartialOrd + Display>(text: &str, range: RangeInclusive<N>) -> Result<N, String> {
    let number = text.parse().ok().filter(|n| range.contains(n));
    number.ok_or_else(|| format!("expected a whole number from {} to {}", range.start(), range.end()))
}

pub(crate) fn cell(text: &str) -> Result<Kind, String> {
    text.parse().map_err(|_| "expected rnn, gru or lstm".into())
}

pub(crate) fn nonlinearity(text: &str) -> Result<Nonlinearity, String> {
    text.parse().map_err(|_| "expected tanh or relu".into())
}

pub(crate) fn isa(text: &str) -> Result<&'static Kernels, String> {
    Kernels::named(text).map_err(|error| error.to_string())
}

pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.0..=3600.0).contains(seconds));
    seconds.ok_or_else(|| "expected a number from 0 to 3600".into())
}

/// `1 thread`, `2 threads`.
pub(crate) fn count(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", HumanCount(n), if n == 1 { "" } else { "s" })
}

/// The text on one line: names of files and tensors may hold line breaks and escape codes.
pub(crate) fn visible(text: &str) -> String {
    let mut line = String::new();
    for c in text.chars() {
        if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}

/// `lstm, 2 layers, 1 direction, 3 input features, 8 hidden units, 1,024 parameters`.
pub(crate) fn network(description: &Description, nonlinearity: Option<&str>, parameters: usize) -> String {
    let Description { kind, input_size, hidden_sizes, bidirectional, bias, proj_size, .. } = description;
    let same = hidden_sizes.windows(2).all(|pair| pair[0] == pair[1]);
    let mut parts = vec![
        match nonlinearity {
            Some(nonlinearity) => format!("{kind} ({nonlinearity})"),
            None => kind.to_string(),
        },
        count(hidden_sizes.len() as u64, "layer"),
        count(1 + u64::from(*bidirectional), "direction"),
        count(*input_size as u64, "input feature"),
        match hidden_sizes.first() {
            Some(&hidden) if same => count(hidden as u64, "hidden unit"),
            _ => format!("{hidden_sizes:?} hidden units"),
        },
    ];
    if *proj_size > 0 {
        parts.push(format!("projected to {proj_size}"));
    }
    if !bias {
        parts.push("no biases".into());
    }
    parts.push(count(parameters as u64, "parameter"));
    parts.join(", ")
}
