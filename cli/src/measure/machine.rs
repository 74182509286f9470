//! The limits of the machine: arithmetic, memory, and the way between cores.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::seconds;
use super::stats::median;
use elman::Threads;
use elman::internals::{Buffer, Kernels, Machine};

/// Rounds of FMAs in one turn: some milliseconds of work.
const ROUNDS: usize = 2_000_000;

/// The peak of fused multiply-adds in registers, in FLOP/s, of that many threads at once: one turn of some
/// milliseconds, to be taken beside other work.
#[must_use]
pub fn fma_peak(kernels: &'static Kernels, threads: Threads) -> f64 {
    // What a round is, without the time that it takes to start threads.
    let flop = kernels.peak(1) * ROUNDS as f64 * threads.get() as f64;
    flop / seconds(|| spread(threads.get(), &|| _ = kernels.peak(ROUNDS)))
}

/// Runs the work on that many threads of rayon's at once.
fn spread(threads: usize, work: &(impl Fn() + Sync)) {
    match threads {
        0 | 1 => work(),
        _ => _ = rayon::join(|| spread(threads / 2, work), || spread(threads - threads / 2, work)),
    }
}

/// How fast one core loads from a working set of some size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bandwidth {
    /// The size of the working set.
    pub bytes: usize,
    /// Bytes a second.
    pub bytes_per_second: f64,
}

/// The load bandwidth of one core from working sets of 16 KiB (L1), 256 KiB (L2), 8 MiB (L3) and 256 MiB (DRAM), medians
/// of several turns each.
#[must_use]
pub fn load_bandwidth(kernels: &'static Kernels) -> Vec<Bandwidth> {
    /// Bytes in one turn.
    const TURN: usize = 1 << 29;
    let mut data = Buffer::zeros((256 << 20) / size_of::<f32>());
    // Every page is written once: pages of zeros may all be one.
    data.fill(1.0);
    [16 << 10, 256 << 10, 8 << 20, 256 << 20]
        .into_iter()
        .map(|bytes: usize| {
            let set = &data[..bytes / size_of::<f32>()];
            let passes = (TURN / bytes).max(1);
            let mut turns: Vec<f64> = (0..6)
                .map(|_| {
                    let time = seconds(|| (0..passes).for_each(|_| _ = std::hint::black_box(kernels.read(set))));
                    (passes * bytes) as f64 / time
                })
                .collect();
            // The first turn fetches the set.
            Bandwidth { bytes, bytes_per_second: median(&mut turns[1..]) }
        })
        .collect()
}

/// Trips of a cache line that are timed together: some hundred microseconds.
const TRIPS: usize = 1000;

/// How often that is done in a turn.
const TIMES: usize = 50;

/// The longest turn. Where other programs keep the cores busy, a trip can take as long as the system lets one of them run:
/// thousands of those would be minutes.
const LONGEST_TURN: Duration = Duration::from_millis(50);

/// The time in which a cache line goes from one core to another and back, in seconds: the cost of the shortest possible
/// handshake between two threads. `None` where the calling thread may run on a single core only, and where other programs
/// never let two threads run at the same time.
#[must_use]
pub fn round_trip() -> Option<f64> {
    // Asked here and now: a thread that is kept on a CPU would play against another behind it.
    if std::thread::available_parallelism().map_or(1, |cores| cores.get()) < 2 {
        return None;
    }
    let turn = |_| {
        let (ball, ready) = (AtomicUsize::new(0), Barrier::new(2));
        std::thread::scope(|scope| {
            scope.spawn(|| play(1, &ball, &ready));
            play(0, &ball, &ready)
        })
    };
    let mut times: Vec<f64> = (0..7).flat_map(turn).collect();
    (!times.is_empty()).then(|| median(&mut times))
}

/// One side of a turn: waits for the ball and gives it back. Gives the seconds of a trip, once for all that are timed
/// together; fewer of them where the turn takes too long.
fn play(side: usize, ball: &AtomicUsize, ready: &Barrier) -> Vec<f64> {
    ready.wait();
    let (start, mut times) = (Instant::now(), Vec::with_capacity(TIMES));
    let mut begin = start;
    for trip in 0..TRIPS * TIMES {
        let mut spins = 0u32;
        while ball.load(Ordering::Acquire) != 2 * trip + side {
            std::hint::spin_loop();
            spins += 1;
            // The clock is read where the other side is late only.
            if spins.is_multiple_of(1024) && start.elapsed() > LONGEST_TURN {
                return times;
            }
        }
        ball.store(2 * trip + side + 1, Ordering::Release);
        if (trip + 1).is_multiple_of(TRIPS) {
            times.push(begin.elapsed().as_secs_f64() / TRIPS as f64);
            begin = Instant::now();
        }
    }
    times
}

/// The machine as it is in this minute, for predictions: the limits above, and the sizes of its caches where the system
/// tells them. What is not measured is the default machine's, such as a [`round_trip`] that is `None`.
#[must_use]
pub fn machine(kernels: &'static Kernels, threads: Threads, round_trip: Option<f64>) -> Machine {
    let known = Machine::default();
    let mut peaks: Vec<f64> = (0..9).map(|_| fma_peak(kernels, threads) / threads.get() as f64).collect();
    let mut bandwidth = known.bandwidth;
    bandwidth.iter_mut().zip(load_bandwidth(kernels)).for_each(|(to, measured)| *to = measured.bytes_per_second);
    Machine {
        fma: median(&mut peaks),
        bandwidth,
        caches: cache_sizes().unwrap_or(known.caches),
        round_trip: round_trip.unwrap_or(known.round_trip),
        ..known
    }
}

/// The sizes of L1d, L2 and L3 as Linux tells them.
fn cache_sizes() -> Option<[usize; 3]> {
    let mut sizes = [0; 3];
    for index in 0..8 {
        let read = |file: &str| {
            std::fs::read_to_string(format!("/sys/devices/system/cpu/cpu0/cache/index{index}/{file}")).ok()
        };
        let Some(level) = read("level").and_then(|text| text.trim().parse::<usize>().ok()) else { continue };
        if read("type").is_none_or(|kind| kind.trim() == "Instruction") || !(1..=3).contains(&level) {
            continue;
        }
        let size = read("size")?;
        sizes[level - 1] = size.trim().strip_suffix('K')?.parse::<usize>().ok()?.checked_mul(1024)?;
    }
    let [l1, l2, l3] = sizes;
    (0 < l1 && l1 <= l2 && l2 <= l3).then_some(sizes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn limits_are_of_the_right_size() {
        // Within a factor of thousands of any CPU: units, not speed.
        let peak = fma_peak(Kernels::best(), Threads::one());
        assert!((1e8..1e13).contains(&peak), "{peak}");
        if let Some(sizes) = cache_sizes() {
            assert!(Machine { caches: sizes, ..Machine::default() }.check().is_ok());
        }
        if let Some(trip) = round_trip() {
            assert!((1e-9..1e-2).contains(&trip), "{trip}");
        }
    }

    #[test]
    fn a_busy_machine_does_not_hold_the_round_trip_up() {
        let (done, start) = (AtomicBool::new(false), Instant::now());
        std::thread::scope(|scope| {
            for _ in 0..4 * Threads::available().get() {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                });
            }
            let _ = round_trip();
            done.store(true, Ordering::Relaxed);
        });
        // Seven turns of 50 ms, and the system's slices around them.
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    }
}
