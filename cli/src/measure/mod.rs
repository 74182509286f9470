//! How fast is it? Workloads that are timed, and the limits of the machine they are held against.
//!
//! A shared machine is never twice the same: every figure here is a median over turns of one run, with the FMA peak
//! measured in between, and its share of that peak is what can be compared.

mod clock;
mod machine;
mod measurement;
mod pin;
mod stats;
mod stream;
mod timed;
mod workload;

pub use machine::{Bandwidth, fma_peak, load_bandwidth, machine, round_trip};
pub use measurement::{Latency, Mark, Measurement};
pub use pin::{cpus, pin, pinned_pool};
pub use stats::{Middle, geometric_mean};
pub use timed::Effort;
pub use workload::{Mode, Workload};

use std::time::Instant;

/// Seconds that the work takes.
fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}
