//! Reads one workload a line, times it, answers with one JSON object a line.

use std::hint::black_box;
use std::io::{BufRead, stdin};
use std::time::Instant;

use serde_json::{Value, json};

use crate::Load;

/// `PEER_THREADS`.
pub fn threads() -> usize {
    std::env::var("PEER_THREADS").ok().and_then(|n| n.parse().ok()).unwrap_or(1)
}

/// A dependency's version in this package's lock file.
pub fn version(package: &str) -> &'static str {
    let lock = include_str!("../Cargo.lock");
    let entry = format!("name = \"{package}\"\nversion = \"");
    let (_, rest) = lock.split_once(&entry).expect("a package of the lock file");
    rest.split('"').next().expect("a version")
}

/// `prepare` gives a function that runs the workload once, or `None` where the peer cannot.
pub fn serve<Output, Run: FnMut() -> Output>(version: &str, prepare: impl Fn(&Load) -> Option<Run>) {
    // Standard output flushes at the end of each line.
    println!("{}", json!({ "version": version }));
    let mut known: Option<(Load, Option<Run>)> = None;
    for line in stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line.expect("a line")).expect("JSON");
        let load = Load::from_json(&request);
        let seconds = request["seconds"].as_f64().expect("seconds");
        // One at a time is kept: memory is not what is compared.
        if known.as_ref().is_none_or(|(other, _)| *other != load) {
            drop(known.take());
            known = Some((load, prepare(&load)));
        }
        match known.as_mut().and_then(|(_, run)| run.as_mut()) {
            Some(run) => println!("{}", json!({ "median_s": median(run, seconds) })),
            None => println!("{{}}"),
        }
    }
}

/// The median of the runs of one turn: `seconds` of them and at least three, as the other peers have it; one where a
/// run takes longer than the turn, so that a slow peer does not make the comparison last for hours.
fn median<Output>(run: &mut impl FnMut() -> Output, seconds: f64) -> f64 {
    let mut time = || {
        let begin = Instant::now();
        black_box(run());
        begin.elapsed().as_secs_f64()
    };
    let least = if time() > seconds { 1 } else { 3 };
    let (mut times, start) = (Vec::new(), Instant::now());
    while times.len() < least || start.elapsed().as_secs_f64() < seconds {
        times.push(time());
    }
    times.sort_by(f64::total_cmp);
    (times[(times.len() - 1) / 2] + times[times.len() / 2]) / 2.0
}
