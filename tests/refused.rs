//! Where the system refuses memory, whichever request it is, there is an error that names the bytes; no abort, no panic.
//! What failed can be done again, with the same bits.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use elman::internals::Kernels;
use elman::loss::MeanSquaredError;
use elman::optim::{Adam, AdamConfig, Sgd, SgdConfig};
use elman::tensor::{PackedSequence, Seq};
use elman::train::{Trainer, TrainingState};
use elman::{
    Activation, Error, ErrorKind, Gru, Input, Isa, LayerKind, LayerSpec, Lstm, Model, ModelBuilder, Readout, Result,
    Rng, Rnn, Threads, Workspace,
};

/// Refuses every request of at least `LARGE` bytes once `GRANTED` have been granted.
struct Refusing;

/// What grows with a model or its data is larger in these tests; names, tables and errors are smaller.
const LARGE: usize = 4096;

static GRANTED: AtomicUsize = AtomicUsize::new(usize::MAX);
static ASKED: AtomicUsize = AtomicUsize::new(0);

fn is_granted(size: usize) -> bool {
    size < LARGE || ASKED.fetch_add(1, Ordering::SeqCst) < GRANTED.load(Ordering::SeqCst)
}

// SAFETY: every call goes to the system's allocator unchanged, or gives null, which is what an allocator without memory
// gives.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Refusing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match is_granted(layout.size()) {
            // SAFETY: the caller's promise about `layout` is passed on.
            true => unsafe { System.alloc(layout) },
            false => std::ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `alloc` or `realloc` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        match is_granted(size) {
            // SAFETY: the pointer came from `alloc` or `realloc` with this layout, and the caller promises the size.
            true => unsafe { System.realloc(pointer, layout, size) },
            false => std::ptr::null_mut(),
        }
    }
}

#[global_allocator]
static GLOBAL: Refusing = Refusing;

/// Runs `work` with that many requests granted; gives how many it made, too.
fn granting<T>(granted: usize, work: impl FnOnce() -> T) -> (T, usize) {
    ASKED.store(0, Ordering::SeqCst);
    GRANTED.store(granted, Ordering::SeqCst);
    let result = work();
    GRANTED.store(usize::MAX, Ordering::SeqCst);
    (result, ASKED.load(Ordering::SeqCst))
}

/// That the error is one of memory that tells how much was asked for.
fn assert_tells(error: &Error, what: &str) {
    assert_eq!(error.kind(), ErrorKind::Memory, "{what}: {error}");
    let text = error.to_string();
    let (_, bytes) = text.split_once(": needs ").unwrap_or_else(|| panic!("{what}: {text}"));
    let digits: String = bytes.chars().take_while(|c| *c != ' ').filter(char::is_ascii_digit).collect();
    assert!(digits.parse::<usize>().is_ok_and(|bytes| bytes >= LARGE), "{what}: {text}");
}

/// Has each of the requests of `work` refused in turn, and all behind it, until none is. Every time `work` begins with what
/// `begin` gives, and after each refusal is done again with what is there then: what it gives is always the same.
fn refuse_each<S, T: PartialEq>(what: &str, begin: impl Fn() -> S, work: impl Fn(&mut S) -> Result<T>) {
    let expected = work(&mut begin()).unwrap();
    for granted in 0.. {
        let mut with = begin();
        let (result, asked) = granting(granted, || work(&mut with));
        match result {
            Err(error) => {
                assert_tells(&error, what);
                assert!(asked > granted, "{what}: {error}");
                assert!(work(&mut with).unwrap() == expected, "{what}: other bits after request {granted} was refused");
            }
            Ok(result) => {
                assert!(asked <= granted, "{what}: request {granted} was refused, and nothing told so");
                assert!(result == expected, "{what}");
                assert!(granted > 0, "{what}: asks for nothing");
                break;
            }
        }
    }
}

const STEPS: usize = 6;
const BATCH: usize = 36;
const INPUTS: usize = 20;
const HIDDEN: usize = 40;

/// One of each cell, and everything that a model can have besides.
fn builders() -> Vec<(&'static str, ModelBuilder)> {
    let inside = vec![LayerSpec::new("fc", LayerKind::linear(HIDDEN))];
    vec![
        ("rnn", Rnn::builder(INPUTS, HIDDEN).linear("fc", INPUTS)),
        ("gru", Gru::builder(INPUTS, HIDDEN).num_layers(3).dropout(0.5).batch_first(true).readout(Readout::Max)),
        ("lstm", Lstm::builder(INPUTS, HIDDEN).bidirectional(true).activation(Activation::Tanh)),
        ("projection", Lstm::builder(INPUTS, HIDDEN).proj_size(24).into()),
        ("residual", ModelBuilder::from(Gru::builder(INPUTS, HIDDEN)).layer("inside", LayerKind::residual(0, inside))),
        (
            "scale",
            Rnn::builder(INPUTS, HIDDEN).linear("fc", 2048).layer("scale", LayerKind::scale(vec![2.0], vec![1.0])),
        ),
    ]
}

/// Uniform in [-1, 1].
fn draw([first, second, width]: [usize; 3]) -> Seq {
    let (mut seq, mut rng) = (Seq::zeros(first, second, width).unwrap(), Rng::new(1));
    seq.data_mut().iter_mut().for_each(|x| *x = rng.uniform(-1.0, 1.0));
    seq
}

/// A digest of the bits, which allocates nothing (FNV-1a).
fn digest(values: &[f32]) -> u64 {
    values.iter().fold(0xcbf2_9ce4_8422_2325, |sum, x| (sum ^ u64::from(x.to_bits())).wrapping_mul(0x100_0000_01b3))
}

/// One test only: the requests of another one running beside it would be counted too.
#[test]
fn memory_that_is_refused_is_an_error() {
    let error = granting(0, || Seq::zeros(1, 1, LARGE)).0.unwrap_err();
    assert_tells(&error, "the allocator refuses");
    if Kernels::active().unwrap().isa() == Isa::Portable {
        eprintln!("skipped: the portable tier's products end the process where they get no memory to pack into");
        return;
    }
    for kernels in Kernels::available() {
        if kernels.isa() == Isa::Portable {
            // Its products are `matrixmultiply`'s, which ends the process where it gets no memory to pack into.
            continue;
        }
        for (what, builder) in builders() {
            let builder = || builder.clone().isa(kernels.isa());
            let what = format!("{what} on {}", kernels.isa());
            construction(&what, builder);
            for threads in [1, 2] {
                let threads = Threads::new(threads).unwrap();
                inference(&what, builder, threads);
                training(&what, builder, threads);
            }
        }
    }
    packing();
    shared_units();
}

/// A single row of a wide layer, whose units two workers share.
fn shared_units() {
    let model = Rnn::builder(INPUTS, 1024).model(&mut Rng::new(1)).unwrap();
    let (x, threads) = (draw([30, 1, INPUTS]), Threads::new(2).unwrap());
    refuse_each("shared units", Workspace::default, |workspace| {
        let output = model.run_with(&x, None, workspace, threads)?;
        Ok(digest(output.values().flat().unwrap()))
    });
}

fn construction(what: &str, builder: impl Fn() -> ModelBuilder) {
    let model = |(): &mut ()| builder().model(&mut Rng::new(1)).map(|model| digest(model.params().data()));
    refuse_each(&format!("{what}: model"), || (), model);
    let model = builder().model(&mut Rng::new(1)).unwrap();
    let adam = |(): &mut ()| Adam::new(model.params(), AdamConfig::default()).map(|_| ());
    refuse_each(&format!("{what}: Adam"), || (), adam);
    let sgd = |(): &mut ()| Sgd::new(model.params(), SgdConfig::default().momentum(0.9)).map(|_| ());
    refuse_each(&format!("{what}: SGD"), || (), sgd);
    refuse_each(&format!("{what}: state"), || (), |(): &mut ()| model.zero_state(BATCH));
}

/// An input of a model and its target, padded and packed.
fn data(model: &Model) -> ([Seq; 2], PackedSequence) {
    let [first, second] = if model.spec().batch_first { [BATCH, STEPS] } else { [STEPS, BATCH] };
    let x = draw([first, second, INPUTS]);
    let one_step = model.run(&x).unwrap().values().shape();
    let lengths: Vec<usize> = (0..BATCH).map(|row| 1 + row % STEPS).collect();
    let packed = match model.spec().batch_first {
        true => PackedSequence::from_batch_first(x.view(), &lengths).unwrap(),
        false => PackedSequence::from_padded(x.view(), &lengths).unwrap(),
    };
    ([x, draw(one_step)], packed)
}

fn inference(what: &str, builder: impl Fn() -> ModelBuilder, threads: Threads) {
    let model = builder().model(&mut Rng::new(1)).unwrap();
    let ([x, _], packed) = data(&model);
    let resets = vec![true; STEPS * BATCH];
    for (form, input) in [("padded", Input::from(&x).resets(&resets)), ("packed", Input::from(&packed))] {
        refuse_each(&format!("{what}: {form}, {threads}"), Workspace::default, |workspace| {
            let output = model.run_with(input, None, workspace, threads)?;
            Ok([digest(output.state().h()), digest(output.values().flat().unwrap())])
        });
    }
}

fn training(what: &str, builder: impl Fn() -> ModelBuilder, threads: Threads) {
    let model = builder().model(&mut Rng::new(1)).unwrap();
    let ([x, target], _) = data(&model);
    let carries = !what.starts_with("lstm");
    let begin = || {
        let adam = Adam::new(model.params(), AdamConfig::default()).unwrap();
        let trainer = Trainer::new(adam).training(TrainingState::new(1)).threads(threads);
        (builder().model(&mut Rng::new(1)).unwrap(), trainer)
    };
    refuse_each(&format!("{what}: training, {threads}"), begin, |(model, trainer)| {
        let loss = &mut MeanSquaredError::new(&target);
        let value = if carries { trainer.step_carried(model, &x, loss) } else { trainer.step(model, &x, loss) }?;
        Ok((value.to_bits(), digest(model.params().data()), digest(trainer.state().h())))
    });
}

fn packing() {
    // Eight bytes a row and a step in the order alone.
    let (x, lengths) = (Seq::zeros(600, 600, 1).unwrap(), vec![600; 600]);
    refuse_each("packing", || (), |(): &mut ()| PackedSequence::from_padded(x.view(), &lengths));
    let packed = PackedSequence::from_padded(x.view(), &lengths).unwrap();
    refuse_each("packed zeros", || (), |(): &mut ()| packed.zeros_like(3));
    refuse_each("unpacking", || (), |(): &mut ()| packed.to_padded(600));
}
