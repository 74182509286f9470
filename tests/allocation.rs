//! A warm training step allocates nothing, on every tier with kernels of its own.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use elman::optim::{Adam, AdamConfig, Sgd, SgdConfig};
use elman::task::sine::{Config, Sine};
use elman::tensor::Seq;
use elman::train::{Optimizer, Regression};
use elman::{Isa, Kernels, Rng, Rnn, Threads};

/// Counts what every thread asks for.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `alloc` or `realloc` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the pointer came from `alloc` or `realloc` with this layout, and the caller promises the size.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static GLOBAL: Counting = Counting;

/// Allocations while `work` runs.
fn allocations(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.load(Ordering::SeqCst);
    work();
    ALLOCATIONS.load(Ordering::SeqCst) - before
}

/// One test only: another one running beside it would be counted too.
#[test]
fn a_warm_training_step_allocates_nothing() {
    if Kernels::active().unwrap().isa() == Isa::Portable {
        // Its products are `matrixmultiply`'s, which packs into memory that it allocates for each.
        eprintln!("skipped: the portable tier allocates in matrixmultiply");
        return;
    }
    let mut canary = Vec::new();
    assert_ne!(allocations(|| canary.push(1)), 0, "the count works");

    let mut sine = Sine::new(Config::default()).unwrap();
    sine.step().unwrap();
    let count = allocations(|| (0..50).for_each(|_| _ = sine.step().unwrap()));
    assert_eq!(count, 0, "fifty iterations of the sine");

    for (threads, shape) in [(1, [20, 5, 7, 33]), (1, [6, 64, 96, 160]), (2, [6, 64, 96, 160]), (3, [30, 1, 128, 200])]
    {
        let [steps, batch, input, hidden] = shape;
        let threads = Threads::new(threads).unwrap();
        let mut rng = Rng::new(1);
        let mut model = Regression::new(Rnn::builder(input, hidden), 3, &mut rng).unwrap();
        let mut x = Seq::zeros(steps, batch, input).unwrap();
        x.data_mut().iter_mut().for_each(|x| *x = rng.uniform(-1.0, 1.0));
        let target = Seq::zeros(steps, batch, 3).unwrap();
        let h_0 = Seq::zeros(1, batch, hidden).unwrap();
        let adam = Optimizer::Adam(Adam::new(model.params(), AdamConfig::default()).unwrap());
        let sgd = Optimizer::Sgd(Sgd::new(model.params(), SgdConfig { momentum: 0.9, ..Default::default() }).unwrap());
        for mut optimizer in [adam, sgd] {
            let mut step = || {
                model.train(x.view(), Some(h_0.view()), target.view(), &mut optimizer, threads).unwrap();
            };
            // In a pool: a call from outside is handed over through a queue of rayon's, which allocates a block now and
            // then. One thread never asks rayon for anything.
            let count = if threads == Threads::one() {
                step();
                allocations(|| (0..5).for_each(|_| step()))
            } else {
                let run = || {
                    (0..3).for_each(|_| step());
                    allocations(|| (0..5).for_each(|_| step()))
                };
                warm_pool().install(run)
            };
            assert_eq!(count, 0, "{threads:?} {shape:?}");
        }
    }
}

/// Two threads that have each taken work from the other: rayon's queues register a thread when it first does.
fn warm_pool() -> rayon::ThreadPool {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let meet = || {
        let met = AtomicUsize::new(0);
        let wait = || {
            met.fetch_add(1, Ordering::SeqCst);
            while met.load(Ordering::SeqCst) < 2 {
                std::thread::yield_now();
            }
        };
        rayon::join(wait, wait);
    };
    // From each thread in turn, a call whose second half only the other one can take.
    for turn in 0..20 {
        pool.broadcast(|thread| {
            if thread.index() == turn % 2 {
                meet();
            }
        });
    }
    pool
}
