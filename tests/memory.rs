//! How much memory a pass takes at its peak: what it gives out and keeps for the backward pass, and little besides.
//!
//! Counted is everything allocated while the passes run, from an empty [`RecurrentWorkspace`] on. Input, target gradient, parameters and
//! their gradients are the caller's and made before. In bytes, with H' = H rounded up to 16:
//!
//! | run | needs |
//! |---|---|
//! | inference | 4·(T·B·H + states): the output and the last states |
//! | training | the same + 4·T·B·H'·(values + cells) + states: what is kept for each unit, and the first states' gradients |
//! | with the gradient of the input | the same + 4·T·B·I |
//!
//! states are B·H, of an LSTM 2·B·H; values are 1 (Elman), 4 (GRU), 4 (LSTM); cells are 1 of an LSTM, 0 of others.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use elman::internals::{BackwardArgs, Cell, NetworkConfig, Recurrent, RecurrentWorkspace};
use elman::params::ParamTable;
use elman::tensor::Seq;
use elman::{Lstm, ModelBuilder, Nonlinearity, Params, Rng, Rnn, Threads, Workspace};

/// What passes may take besides: blocks of z, weights in panels, rows in the order of an operand, mailboxes. Less than the
/// smallest sequence here, 25 MiB, so that one too many is found; measured, up to 9 MiB.
const SLACK: usize = 16 << 20;

/// Counts the bytes that are allocated now, and the most that ever were.
struct Counting;

static CURRENT: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn add(bytes: usize) {
    let now = CURRENT.fetch_add(bytes, Ordering::SeqCst) + bytes;
    PEAK.fetch_max(now, Ordering::SeqCst);
}

// SAFETY: every call goes to the system's allocator unchanged.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        CURRENT.fetch_sub(layout.size(), Ordering::SeqCst);
        // SAFETY: the pointer came from `alloc` or `realloc` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // The old and the new block are there at the same time: memory on cache lines is never grown in place.
        add(size);
        CURRENT.fetch_sub(layout.size(), Ordering::SeqCst);
        // SAFETY: the pointer came from `alloc` or `realloc` with this layout, and the caller promises the size.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static GLOBAL: Counting = Counting;

/// Bytes at the peak of `work`, beyond what there was.
fn peak(base: usize, work: impl FnOnce()) -> usize {
    PEAK.store(CURRENT.load(Ordering::SeqCst), Ordering::SeqCst);
    work();
    PEAK.load(Ordering::SeqCst) - base
}

/// Uniform in [-1, 1].
fn draw(steps: usize, batch: usize, width: usize) -> Seq {
    let (mut seq, mut rng) = (Seq::zeros(steps, batch, width).unwrap(), Rng::new(1));
    seq.data_mut().iter_mut().for_each(|x| *x = rng.uniform(-1.0, 1.0));
    seq
}

fn assert_within(peak: usize, floats: usize, what: &str) {
    let needs = floats * size_of::<f32>();
    eprintln!("{what}: needs {:.1} MiB, took {:.1} at its peak", mib(needs), mib(peak));
    assert!(peak >= needs, "{what}: the count does not work, or the formula is wrong");
    assert!(peak <= needs + SLACK, "{what}: {:.1} MiB beyond what it needs", mib(peak - needs));
}

/// Inference of whole models: what may be there at once are the outputs of two layers and, batch-first, one turned copy of
/// input and output.
fn models(base: usize) {
    let lstm = |input, hidden| Lstm::builder(input, hidden);
    let cases: [(&str, ModelBuilder, [usize; 3], usize); 6] = [
        ("2 layers", lstm(128, 128).num_layers(2).into(), [50, 1024, 128], 2 * 128),
        ("6 layers", lstm(128, 128).num_layers(6).into(), [50, 1024, 128], 2 * 128),
        ("a head", lstm(128, 128).linear("fc", 4), [50, 1024, 128], 128 + 4),
        ("batch-first", lstm(128, 128).batch_first(true).into(), [1024, 50, 128], 128 + 128 + 128),
        ("a wide input, batch-first", lstm(256, 1).batch_first(true).into(), [1024, 50, 256], 1 + 1 + 256),
        ("many rows of one unit", Rnn::builder(1, 1).into(), [1, 100_000, 1], 1 + 1),
    ];
    for (what, builder, [first, second, width], floats) in cases {
        let model = builder.model(&mut Rng::new(1)).unwrap();
        let x = draw(first, second, width);
        let here = CURRENT.load(Ordering::SeqCst);
        for threads in [1, 2] {
            let mut workspace = Workspace::default();
            let threads = Threads::new(threads).unwrap();
            let peak = peak(here, || drop(model.run_with(&x, None, &mut workspace, threads).unwrap()));
            let most = first * second * floats * size_of::<f32>() + SLACK;
            assert!(peak <= most, "{what}: {:.1} MiB, {:.1} at most", mib(peak), mib(most));
        }
    }
    assert!(CURRENT.load(Ordering::SeqCst) <= base + SLACK, "all of it is given back");
}

fn mib(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// One test only: another one running beside it would be counted too.
#[test]
fn passes_take_little_more_than_what_they_give_and_keep() {
    let before = CURRENT.load(Ordering::SeqCst);
    assert_eq!(peak(before, || drop(std::hint::black_box(Vec::<u8>::with_capacity(1000)))), 1000, "the count works");
    models(before);

    for [steps, batch, size] in [[50, 2048, 64], [3200, 8, 256]] {
        let (x, d_y) = (draw(steps, batch, size), draw(steps, batch, size));
        for (cell, values, cells) in [(Cell::Elman(Nonlinearity::Tanh), 1, 0), (Cell::Gru, 4, 0), (Cell::Lstm, 4, 1)] {
            let mut layout = ParamTable::new();
            let mut network = Recurrent::new(NetworkConfig::new(cell, size, vec![size]), &mut layout, "").unwrap();
            let mut params = Params::zeros(layout);
            network.init(&mut params, &mut Rng::new(1));
            network.load(&params).unwrap();
            let mut gradients = params.zeros_like();
            let (all, states) = (steps * batch, batch * size * (1 + cells));
            let output = all * size + states;
            // 64 and 256 are multiples of 16.
            let kept = all * size * (values + cells) + states;
            for threads in [1, 2] {
                let threads = Threads::new(threads).unwrap();
                let what = format!("{cell:?}, T {steps}, B {batch}, H {size}, {} threads", threads.get());
                let base = CURRENT.load(Ordering::SeqCst);

                let mut pass = RecurrentWorkspace::default();
                let inference = peak(base, || network.forward(&x, None, &mut pass, threads).unwrap());
                assert_within(inference, output, &format!("{what}, inference"));
                drop(pass);

                let mut pass = RecurrentWorkspace::default();
                let mut train = |d_input| {
                    peak(base, || {
                        network.forward_training(&x, None, 1, &mut pass, threads).unwrap();
                        let (input, d_output) = ((&x).into(), (&d_y).into());
                        let args = BackwardArgs {
                            input,
                            state: None,
                            d_output,
                            d_state_n: None,
                            wants_d_input: d_input,
                            wants_d_state_0: true,
                        };
                        network.backward(&params, args, &mut gradients, &mut pass, threads).unwrap();
                    })
                };
                assert_within(train(false), output + kept, &format!("{what}, training"));
                // In the same memory again, as training goes on.
                assert_within(train(true), output + kept + all * size, &format!("{what}, training with d_x"));
            }
        }
    }
}
