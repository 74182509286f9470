//! Predictions by hand, and that they hold together.

use super::*;
use crate::kernel::Isa;
use crate::kernel::cell::{Cell, Nonlinearity};
use crate::parallel::Threads;

const TRAIN: Work = Work::Train { d_input: true };

const ELMAN: Cell = Cell::Elman(Nonlinearity::Tanh);
const CELLS: [Cell; 3] = [ELMAN, Cell::Gru, Cell::Lstm];

fn shape(cell: Cell, hidden: usize, batch: usize, steps: usize) -> Shape {
    Shape { cell, input: hidden, hidden, projection: 0, batch, steps }
}

fn predict(shape: Shape, work: Work, threads: usize) -> Cost {
    predict_on(shape, work, threads, &Machine::default())
}

fn predict_on(shape: Shape, work: Work, threads: usize, machine: &Machine) -> Cost {
    let plan = Plan::new(shape, work, Threads::new(threads).unwrap(), Isa::Avx512);
    plan.predict(shape, work, machine)
}

#[test]
fn parts_sum_to_the_whole_and_none_is_less_than_nothing() {
    for cell in CELLS {
        for (hidden, batch, steps) in [(1, 1, 1), (16, 1, 49), (100, 7, 3), (512, 64, 100), (1024, 1, 50)] {
            for work in [Work::Infer, TRAIN] {
                for threads in [1, 2, 64] {
                    let prediction = predict(shape(cell, hidden, batch, steps), work, threads);
                    let parts = prediction.parts();
                    assert!(parts.iter().all(|(_, s)| s.is_finite() && *s >= 0.0), "{prediction:?}");
                    assert_eq!(parts.iter().map(|(_, seconds)| seconds).sum::<f64>(), prediction.total());
                    assert_eq!(prediction.backward > 0.0, work == TRAIN);
                    let twice = (prediction + prediction).total() / (prediction * 2.0).total();
                    assert!((twice - 1.0).abs() < 1e-12);
                }
            }
        }
    }
    assert_eq!(predict(shape(Cell::Lstm, 8, 0, 5), TRAIN, 2), Cost::default());
    assert_eq!(predict(shape(Cell::Lstm, 8, 5, 0), TRAIN, 2), Cost::default());
}

#[test]
fn nothing_is_faster_than_the_peak() {
    for hidden in [64, 256, 1024] {
        for batch in [1, 5, 64] {
            for threads in [1, 2, 4] {
                let shape = shape(Cell::Lstm, hidden, batch, 50);
                let time = predict(shape, Work::Infer, threads).total();
                assert!(shape.flop() / time < Machine::default().fma * threads as f64, "{shape:?}");
            }
        }
    }
}

#[test]
fn more_threads_are_never_slower_at_big_work() {
    for cell in CELLS {
        for (hidden, batch) in [(256, 1), (512, 1), (1024, 1), (512, 8), (512, 64), (1024, 64), (256, 512)] {
            for work in [Work::Infer, TRAIN] {
                let mut before = f64::INFINITY;
                for threads in [1, 2, 4, 8, 16, 32, 64] {
                    let time = predict(shape(cell, hidden, batch, 100), work, threads).total();
                    assert!(time <= 1.02 * before, "{cell:?} {hidden} {batch} {work:?} {threads}: {time} {before}");
                    before = time;
                }
            }
        }
    }
}

#[test]
fn time_grows_with_steps_rows_units_and_gates() {
    for work in [Work::Infer, TRAIN] {
        for threads in [1, 2, 8] {
            let time = |cell, hidden, batch, steps| predict(shape(cell, hidden, batch, steps), work, threads).total();
            for hidden in [16, 128, 512] {
                for batch in [1, 8, 64] {
                    for steps in [5, 50, 500] {
                        let base = time(Cell::Gru, hidden, batch, steps);
                        let (less, more) = (time(ELMAN, hidden, batch, steps), time(Cell::Lstm, hidden, batch, steps));
                        // More work may be worth more threads.
                        let same = threads == 1;
                        let text = format!("{less} {base} {more}: {hidden} {batch} {steps} {threads}");
                        assert!(!same || less < base && base < more, "{text}");
                        assert!(base < time(Cell::Gru, hidden, batch, 2 * steps));
                        assert!(base < time(Cell::Gru, hidden, 8 * batch, steps), "{hidden} {batch} {steps} {threads}");
                        assert!(base < time(Cell::Gru, 2 * hidden, batch, steps), "{hidden} {batch} {steps} {threads}");
                    }
                }
            }
        }
    }
    let two = predict(shape(Cell::Lstm, 256, 64, 200), Work::Infer, 1).total();
    let one = predict(shape(Cell::Lstm, 256, 64, 100), Work::Infer, 1).total();
    assert!((two / one - 2.0).abs() < 0.02, "no more than twice the steps: {}", two / one);
}

#[test]
fn a_better_machine_is_faster() {
    let known = Machine::default();
    let shape = shape(Cell::Lstm, 1024, 1, 50);
    let time = |machine: Machine| predict_on(shape, TRAIN, 1, &machine).total();
    let base = time(known);
    assert!(time(Machine { fma: 2.0 * known.fma, ..known }) < base);
    assert!(time(Machine { bandwidth: known.bandwidth.map(|b| 2.0 * b), ..known }) < base);
    assert!(time(Machine { caches: [32 << 10, 2 << 20, 256 << 20], ..known }) < base);
}

// Without threads no plan has two workers, and what their meetings cost does not count.
#[cfg(feature = "threads")]
#[test]
fn every_limit_of_a_machine_counts() {
    let known = Machine::default();
    // Named one by one, so that a new limit has to be tried here too.
    let Machine { fma, flop_per_cycle, bandwidth, caches, fork, round_trip } = known;
    let mut others = vec![
        Machine { fma: 2.0 * fma, ..known },
        Machine { flop_per_cycle: 2.0 * flop_per_cycle, ..known },
        Machine { fork: 2.0 * fork, ..known },
        Machine { round_trip: 2.0 * round_trip, ..known },
    ];
    for level in 0..bandwidth.len() {
        let mut bandwidth = bandwidth;
        bandwidth[level] *= 2.0;
        others.push(Machine { bandwidth, ..known });
    }
    for level in 0..caches.len() {
        let mut caches = caches;
        caches[level] *= 2;
        others.push(Machine { caches, ..known });
    }
    let times = |machine: &Machine| {
        let shapes = [[32, 8], [64, 8], [256, 64], [1024, 1], [2048, 64]];
        shapes.map(|[hidden, batch]| predict_on(shape(Cell::Lstm, hidden, batch, 50), Work::Infer, 2, machine).total())
    };
    for other in others {
        assert_ne!(times(&other), times(&known), "{other:?}");
    }
}

#[test]
fn a_first_layer_needs_no_gradient_of_its_input() {
    let prediction = predict(shape(Cell::Lstm, 256, 64, 100), Work::Train { d_input: false }, 2);
    assert_eq!(prediction.d_input, 0.0);
    assert!(prediction.total() < predict(shape(Cell::Lstm, 256, 64, 100), TRAIN, 2).total());
}

#[test]
fn parts_are_told_in_words() {
    let text = predict(shape(ELMAN, 256, 64, 100), Work::Infer, 1).to_string();
    assert!(text.starts_with("input ") && text.contains(" %, recurrence ") && !text.contains("backward"), "{text}");
}
