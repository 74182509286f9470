//! A warm pass and a warm training step allocate nothing, on every tier with kernels of its own.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use elman::internals::{BackwardArgs, Kernels, NetworkConfig, Recurrent, RecurrentWorkspace};
use elman::loss::MeanSquaredError;
use elman::optim::{Adam, AdamConfig, Optimizer, Sgd, SgdConfig, SparseAdam, SparseAdamConfig};
use elman::params::ParamTable;
use elman::tensor::{PackedSequence, Seq};
use elman::train::{Trainer, TrainingState};
use elman::{
    Activation, Gru, Input, Isa, LayerKind, LayerSpec, Lstm, Model, ModelBuilder, ModelSpec, Params, Readout,
    RecurrentSpec, Rng, Rnn, Stream, Streams, Threads, Workspace,
};

/// Counts what the threads that do the work ask for; the test harness has one of its own, which may wake late.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static WORKS: Cell<bool> = const { Cell::new(false) };
}

fn count() {
    if WORKS.get() {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: every call goes to the system's allocator unchanged.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `alloc` or `realloc` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
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
fn warm_passes_and_training_steps_allocate_nothing() {
    if Kernels::active().unwrap().isa() == Isa::Portable {
        // Its products are `matrixmultiply`'s, which packs into memory that it allocates for each.
        eprintln!("skipped: the portable tier allocates in matrixmultiply");
        return;
    }
    WORKS.set(true);
    let mut canary = Vec::new();
    assert_ne!(allocations(|| canary.push(1)), 0, "the count works");
    let canary = || drop(black_box(Vec::<u8>::with_capacity(9)));
    let count = warm_pool().install(|| allocations(|| _ = rayon::join(canary, canary)));
    assert!(count >= 2, "on the threads of a pool too");

    available_threads_are_remembered();
    small_work_is_not_handed_over();
    streams_allocate_nothing();
    streams_of_rows_allocate_nothing();

    for (threads, shape) in [(1, [20, 5, 7, 33]), (1, [6, 64, 96, 160]), (2, [6, 64, 96, 160]), (3, [30, 1, 128, 200])]
    {
        let [steps, batch, input, hidden] = shape;
        let threads = Threads::new(threads).unwrap();
        let what = format!("{threads:?} {shape:?}");
        for (network, builder) in networks(input, hidden) {
            models(builder, [steps, batch], threads, &what);
            passes(network, [steps, batch], threads, &what);
        }
    }
}

/// The system is asked once.
fn available_threads_are_remembered() {
    let first = Threads::available();
    let mut best = f64::INFINITY;
    let count = allocations(|| {
        for _ in 0..100 {
            let begin = Instant::now();
            for _ in 0..1000 {
                assert_eq!(black_box(Threads::available()), first);
            }
            best = best.min(begin.elapsed().as_secs_f64() / 1000.0);
        }
    });
    assert_eq!(count, 0);
    assert!(best < 100e-9, "{best} s");
}

/// Steps of a tiny network, with two threads and from outside of any pool: handing one over allocates a block of rayon's
/// queue every 63 calls.
fn small_work_is_not_handed_over() {
    let mut model = Rnn::builder(1, 16).linear("fc", 1).model(&mut Rng::new(1)).unwrap();
    let adam = Adam::new(model.params(), AdamConfig::default()).unwrap();
    let mut trainer = Trainer::new(adam).threads(Threads::new(2).unwrap());
    let (x, target) = (draw(50, 1, 1), draw(50, 1, 1));
    let mut step = || {
        _ = trainer.step(&mut model, &x, &mut MeanSquaredError::new(&target)).unwrap();
    };
    step();
    assert_eq!(allocations(|| (0..200).for_each(|_| step())), 0);
}

/// A million steps from the first on: a stream has all its memory when it is made.
fn streams_allocate_nothing() {
    let mut rng = Rng::new(1);
    let models = [
        Lstm::builder(1, 8).num_layers(2).linear("fc", 1).model(&mut rng),
        Gru::builder(1, 12).linear("fc", 1).activation(Activation::Tanh).model(&mut rng),
        Rnn::builder(1, 80).linear("fc", 1).model(&mut rng),
        Lstm::builder(1, 20).proj_size(5).linear("fc", 1).model(&mut rng),
    ]
    .map(|model| Arc::new(model.unwrap()));
    let streams = models.iter().map(|model| Stream::new(model.clone()));
    let delayed = models.iter().map(|model| Stream::with_rate_ratio(model.clone(), 88.2 / 48.0));
    for stream in streams.chain(delayed) {
        let mut stream = stream.unwrap();
        let mut y = [0.0; 100];
        let mut state = stream.state().unwrap();
        let count = allocations(|| {
            for n in 0..125_000 {
                stream.step(&[n as f32 * 1e-6], &mut y[..1]).unwrap();
            }
            for _ in 0..100 {
                stream.block(&[0.5; 100], &mut y).unwrap();
                stream.state_into(&mut state).unwrap();
                stream.set_state(&state).unwrap();
                stream.reset();
            }
        });
        assert_eq!(count, 0, "{}", stream.model().spec());
    }
    // With helpers, awake and asleep.
    let model = Arc::new(Rnn::builder(1, 192).linear("fc", 1).model(&mut rng).unwrap());
    for ratio in [1.0, 1.5] {
        let mut stream = Stream::with_rate_ratio(model.clone(), ratio).unwrap().with_helpers(1).unwrap();
        let mut y = [0.0];
        let count = allocations(|| {
            while stream.helped() + stream.missed() < 1000 {
                stream.engage();
                for n in 0..100 {
                    stream.step(&[n as f32 * 1e-6], &mut y).unwrap();
                }
                stream.release();
                stream.step(&[0.0], &mut y).unwrap();
            }
        });
        assert_eq!(count, 0, "{} helped, {} missed", stream.helped(), stream.missed());
    }
    // By index, and what a step goes through besides.
    let inner = [LayerSpec::new("gru", RecurrentSpec::gru(vec![7])), LayerSpec::new("fc", LayerKind::linear(3))];
    let spec = ModelSpec::new(1)
        .layer("embedding", LayerKind::embedding(11, 6))
        .layer("lstm", RecurrentSpec::lstm(vec![9]).initial_state(true))
        .layer("inner", LayerKind::residual(3, inner))
        .layer("", Readout::Last)
        .layer("fc", LayerKind::linear(40))
        .layer("", Activation::Softmax);
    let mut stream = Stream::new(Model::init(spec, &mut rng).unwrap()).unwrap();
    let (mut y, mut block) = ([0.0; 40], [0.0; 40 * 100]);
    let count = allocations(|| {
        for n in 0..20_000 {
            stream.step_index(n % 11, &mut y).unwrap();
        }
        stream.block(&[10.0; 100], &mut block).unwrap();
        stream.reset();
    });
    assert_eq!(count, 0, "by index");
    // The count works: this one allocates.
    assert_ne!(allocations(|| drop(stream.state().unwrap())), 0);
}

fn streams_of_rows_allocate_nothing() {
    let mut rng = Rng::new(1);
    let models = [
        Lstm::builder(1, 8).num_layers(2).linear("fc", 1).model(&mut rng),
        Gru::builder(1, 80).linear("fc", 1).activation(Activation::Tanh).model(&mut rng),
        Lstm::builder(1, 20).proj_size(5).linear("fc", 1).model(&mut rng),
    ];
    for model in models {
        let mut streams = Streams::new(model.unwrap(), 5).unwrap();
        let mut y = [0.0; 500];
        let mut state = streams.state(0).unwrap();
        let count = allocations(|| {
            for n in 0..10_000 {
                streams.step(&[n as f32 * 1e-6; 5], &mut y[..5]).unwrap();
            }
            for row in 0..5 {
                streams.block(&[0.5; 500], &mut y).unwrap();
                streams.state_into(row, &mut state).unwrap();
                streams.set_state(row, &state).unwrap();
                streams.reset_row(row).unwrap();
                streams.reset();
            }
        });
        assert_eq!(count, 0, "{}", streams.model().spec());
    }
    let spec = ModelSpec::new(1).layer("emb", LayerKind::embedding(11, 6)).layer("gru", RecurrentSpec::gru(vec![9]));
    let mut streams = Streams::new(Model::init(spec, &mut rng).unwrap(), 2).unwrap();
    let mut y = [0.0; 18];
    assert_eq!(allocations(|| (0..11).for_each(|n| streams.step_index(&[n, 10 - n], &mut y).unwrap())), 0);
}

/// One of each cell, and everything that a network can have besides.
fn networks(input: usize, hidden: usize) -> Vec<(NetworkConfig, ModelBuilder)> {
    macro_rules! each {
        ($($builder:expr,)*) => { vec![$(($builder.into(), $builder.into())),*] };
    }
    each![
        Rnn::builder(input, hidden),
        Lstm::builder(input, hidden).num_layers(2).bidirectional(true).dropout(0.5),
        Gru::builder(input, hidden).num_layers(2).bidirectional(true).batch_first(true),
        Gru::builder(input, hidden).hidden_sizes([hidden, 5]).dropout(0.5).batch_first(true),
        Lstm::builder(input, hidden).proj_size(3),
    ]
}

/// That `step` allocates nothing, once warm.
fn assert_allocates_nothing(threads: Threads, what: &str, mut step: impl FnMut() + Send) {
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
    assert_eq!(count, 0, "{what}");
}

/// Uniform in [-1, 1].
fn draw(first: usize, second: usize, width: usize) -> Seq {
    let (mut seq, mut rng) = (Seq::zeros(first, second, width).unwrap(), Rng::new(1));
    seq.data_mut().iter_mut().for_each(|x| *x = rng.uniform(-1.0, 1.0));
    seq
}

/// Training with a head and an optimiser, in one piece and truncated, and inference.
fn models(builder: ModelBuilder, [steps, batch]: [usize; 2], threads: Threads, what: &str) {
    let mut model = builder.linear("fc", 3).model(&mut Rng::new(1)).unwrap();
    let spec = model.spec();
    let what = format!("{what} {:?}", spec.layers[0].kind);
    let [first, second] = if spec.batch_first { [batch, steps] } else { [steps, batch] };
    let (x, target) = (draw(first, second, spec.inputs), Seq::zeros(first, second, 3).unwrap());
    let [x_part, target_part] = [&x, &target]
        .map(|seq| if spec.batch_first { seq.view().narrow_rows(0, 4) } else { seq.view().narrow_steps(0, 4) });
    let state = model.zero_state(batch).unwrap();
    let adam = Adam::new(model.params(), AdamConfig::default()).unwrap();
    let sgd = Sgd::new(model.params(), SgdConfig::default().momentum(0.9)).unwrap();
    let sparse = SparseAdam::new(model.params(), SparseAdamConfig::default(), ["fc.weight"]).unwrap();
    let optimizers: [Box<dyn Optimizer>; 3] = [Box::new(adam), Box::new(sgd), Box::new(sparse)];
    for optimizer in optimizers {
        let mut trainer = Trainer::new(optimizer).training(TrainingState::new(1)).threads(threads).clip_norm(1.0);
        assert_allocates_nothing(threads, &what, || {
            trainer.step_from(&mut model, &x, Some(&state), &mut MeanSquaredError::new(&target)).unwrap();
        });
        // A reverse direction cannot carry.
        if trainer.step_carried(&mut model, x_part, &mut MeanSquaredError::new(target_part)).is_ok() {
            assert_allocates_nothing(threads, &format!("{what} truncated"), || {
                trainer.forget();
                for _ in 0..3 {
                    trainer.step_carried(&mut model, x_part, &mut MeanSquaredError::new(target_part)).unwrap();
                }
            });
        }
    }
    let mut workspace = Workspace::default();
    assert_allocates_nothing(threads, &format!("{what} in inference"), || {
        model.run_with(&x, Some(&state), &mut workspace, threads).unwrap();
    });
}

/// Forward, and forward in training and backward: padded, packed anew each time, and unbatched, with resets and states.
fn passes(network: NetworkConfig, [steps, batch]: [usize; 2], threads: Threads, what: &str) {
    let what = format!("{what} {:?}", network.cell);
    let batch_first = network.batch_first;
    let mut layout = ParamTable::new();
    let mut network = Recurrent::new(network, &mut layout, "").unwrap();
    let mut params = Params::zeros(layout);
    network.init(&mut params, &mut Rng::new(1));
    network.load(&params).unwrap();
    let mut gradients = params.zeros_like();
    let [first, second] = if batch_first { [batch, steps] } else { [steps, batch] };
    let (x, d_y) = (draw(first, second, network.input_size()), draw(first, second, network.output_size()));
    let lengths: Vec<usize> = (0..batch).map(|row| (steps + 3 * row) % (steps + 1)).collect();
    let (mut packed_x, mut packed_d_y) = (PackedSequence::default(), PackedSequence::default());
    let mask: Vec<bool> = (0..steps * batch).map(|i| i % 5 == 2).collect();
    let [state, one] = [batch, 1].map(|batch| network.zero_state(batch).unwrap());
    let mut pass = RecurrentWorkspace::default();
    assert_allocates_nothing(threads, &what, || {
        let pack = |packed: &mut PackedSequence, seq: &Seq| {
            if batch_first {
                packed.pack_batch_first(seq.view(), &lengths).unwrap();
            } else {
                packed.pack_padded(seq.view(), &lengths).unwrap();
            }
        };
        pack(&mut packed_x, &x);
        pack(&mut packed_d_y, &d_y);
        let total = lengths.iter().sum();
        let single = |seq| Input::unbatched(row(seq, steps), Seq::shape(seq)[2]).unwrap();
        for (input, d_output, mask, state) in [
            (Input::from(&x), Input::from(&d_y), &mask[..], &state),
            (Input::from(&packed_x), Input::from(&packed_d_y), &mask[..total], &state),
            (single(&x), single(&d_y), &mask[..steps], &one),
        ] {
            for (input, state) in [(input, None), (input.resets(mask), Some(state))] {
                network.forward(input, state, &mut pass, threads).unwrap();
                network.forward_training(input, state, 1, &mut pass, threads).unwrap();
                let args = BackwardArgs {
                    input,
                    state,
                    d_output,
                    d_state_n: state,
                    wants_d_input: true,
                    wants_d_state_0: true,
                };
                network.backward(&params, args, &mut gradients, &mut pass, threads).unwrap();
            }
        }
        network.load(&params).unwrap();
    });
}

/// As many elements as a single sequence of so many steps has.
fn row(seq: &Seq, steps: usize) -> &[f32] {
    &seq.data()[..steps * seq.shape()[2]]
}

/// Two threads that have each taken work from the other: rayon's queues register a thread when it first does. One pool for
/// all: the threads of one that is dropped go on to end when they like, and that takes memory.
fn warm_pool() -> &'static rayon::ThreadPool {
    static POOL: OnceLock<rayon::ThreadPool> = OnceLock::new();
    POOL.get_or_init(new_pool)
}

fn new_pool() -> rayon::ThreadPool {
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
    pool.broadcast(|_| WORKS.set(true));
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
