//! Elman is a recurrent-network engine for CPUs: it trains and runs Elman RNNs, GRUs and LSTMs at the limit of the
//! machine's arithmetic, gives the same bits however the work is cut, and speaks PyTorch's dialect.
//!
//! A [`Model`] is a list of layers with its parameters: read from a file that PyTorch wrote, or built. [`Rnn`], [`Gru`] and
//! [`Lstm`] are `torch.nn.RNN`, `GRU` and `LSTM`: layers, directions, dropout, projections, ragged batches
//! ([`PackedSequence`](tensor::PackedSequence)), forward and backward.
//!
//! ```
//! use elman::tensor::Seq;
//! use elman::{Lstm, Rng};
//!
//! // 8 units over 3 features, and a linear head of 1 value a step; drawn as PyTorch does.
//! let model = Lstm::builder(3, 8).linear("fc", 1).model(&mut Rng::new(1))?;
//! let x = Seq::zeros(5, 2, 3)?; // 5 steps of 2 rows: (T, B, I)
//! let y = model.run(&x)?;
//! assert_eq!(y.values().shape(), [5, 2, 1]);
//! # Ok::<(), elman::Error>(())
//! ```
//!
//! # Run a PyTorch model
//!
//! `safetensors.torch.save_file(net.state_dict(), "net.safetensors")` in Python, and here
//!
//! ```no_run
//! # use elman::{Model, tensor::Seq};
//! # let x = Seq::zeros(5, 2, 3)?;
//! let y = Model::open("net.safetensors")?.run(&x)?;
//! # Ok::<(), elman::Error>(())
//! ```
//!
//! A state dict holds names, shapes and numbers, but neither the order of its layers nor their activations nor which steps go
//! on. It is run only where one reading exists: one recurrent network, at most one embedding whose width is its input, at
//! most one linear layer over its output. Everything else is [`ErrorKind::Ambiguous`], with the candidates, and
//! `ModelSpec::from_state_dict` settles it with a list such as `lstm, last, fc1, relu, fc2`. A file that `Model::save` wrote
//! has its [`ModelSpec`] in the metadata, and PyTorch loads it strictly.
//!
//! # Train with a loss of your own
//!
//! [`train::Fit`] trains in one call, with minibatches, a validation part, early stopping and checkpoints. [`train::Trainer`]
//! takes steps with a loss of [`loss`] or with any closure. Without it a step is four lines:
//!
//! ```
//! use elman::optim::{Adam, AdamConfig, Optimizer, clip_grad_norm};
//! use elman::tensor::{Seq, SeqMut, SeqRef};
//! use elman::train::TrainingState;
//! use elman::{Gru, Rng, Threads, Workspace};
//!
//! let mut model = Gru::builder(3, 8).linear("fc", 1).model(&mut Rng::new(1))?;
//! let mut adam = Adam::new(model.params(), AdamConfig::default())?;
//! let (mut training, mut workspace) = (TrainingState::new(1), Workspace::default());
//! let x = Seq::zeros(5, 2, 3)?;
//! // Half the square of the last step: its gradient is the output there, and zero elsewhere.
//! let mut loss = |y: SeqRef<'_>, mut d_y: SeqMut<'_>| {
//!     let [steps, rows, _] = y.shape();
//!     let mut sum = 0.0;
//!     for t in 0..steps {
//!         for row in 0..rows {
//!             let value = if t + 1 == steps { y.step(t).row(row)[0] } else { 0.0 };
//!             d_y.step(t).row(row)[0] = value;
//!             sum += 0.5 * value * value;
//!         }
//!     }
//!     Ok(sum)
//! };
//! for _ in 0..3 {
//!     let run = model.forward_with(&x, None, &mut training, &mut workspace, Threads::one())?;
//!     let (_loss, mut gradients) = run.learn(&mut loss)?;
//!     clip_grad_norm(gradients.parameters_mut(), 1.0)?;
//!     adam.step(&mut model.params_mut(), gradients.parameters())?;
//! }
//! # Ok::<(), elman::Error>(())
//! ```
//!
//! A [`Run`] borrows the model, the input and the state that it ran over, so its backward pass cannot meet others; and what
//! changes parameters is a guard whose drop makes the kernels' copy anew, so no run meets old weights.
//!
//! # Shapes
//!
//! T steps, B rows of the batch, I input features, H hidden units, P outputs of an LSTM's projection, D directions, G gates.
//! Sequences are (T, B, ·), row-major, sequence first: a step is one contiguous matrix. Batch-first input is turned once, at
//! the door. States are (D·layers, B, H). Weights are PyTorch's, `[out, in]`. A gradient is called `d_` and the name of what
//! it is the gradient of.
//!
//! | cell | G | order of the gates in weights and biases |
//! |---|---|---|
//! | Elman | 1 | |
//! | GRU | 3 | r z n |
//! | LSTM | 4 | i f g o |
//!
//! # The same bits
//!
//! For given weights and inputs, outputs, states and gradients are the same bits for any number of threads, for any
//! batch a row travels in, padded or packed, for a whole sequence in one call or step by step, and on AVX2 as on AVX-512.
//! (Step by step outputs and states: the gradients of a sequence that is cut into runs are sums in another order.)
//!
//! # Carrying state
//!
//! [`Output::state`] is the state after each row's last step, h_n and c_n. Given to the next call over the next part of the
//! same sequences, the run goes on as if it had never been cut:
//!
//! ```
//! use elman::tensor::SeqRef;
//! use elman::{Lstm, Rng, Threads, Workspace};
//!
//! let model = Lstm::builder(1, 8).linear("fc", 1).model(&mut Rng::new(1))?;
//! let signal = [0.1, 0.2, 0.3, 0.4, 0.5];
//! let whole = model.run(SeqRef::new(&signal, 5, 1, 1)?)?;
//!
//! let (mut workspace, mut state) = (Workspace::default(), model.zero_state(1)?);
//! for (t, sample) in signal.iter().enumerate() {
//!     let x = SeqRef::new(std::slice::from_ref(sample), 1, 1, 1)?;
//!     let y = model.run_with(x, Some(&state), &mut workspace, Threads::one())?;
//!     assert_eq!(y.values().step(0).row(0), whole.values().step(t).row(0));
//!     state.copy_from(y.state())?;
//! }
//! # Ok::<(), elman::Error>(())
//! ```
//!
//! # In a real-time loop
//!
//! A [`Stream`] keeps the state itself and takes a small part of the time: one row, one thread, one step or one block a call.
//!
//! ```
//! use elman::{Lstm, Rng, Stream, with_default_float_mode};
//!
//! // Once, outside of the callback: all memory is allocated and touched here.
//! let model = Lstm::builder(1, 16).linear("fc", 1).model(&mut Rng::new(1))?;
//! let mut stream = Stream::new(model)?.prewarmed(1000);
//!
//! // In the callback, for each buffer: nothing is allocated, locked or asked of the system.
//! let (input, mut output) = ([0.1; 64], [0.0; 64]);
//! with_default_float_mode(|| stream.block(&input, &mut output))?;
//! # Ok::<(), elman::Error>(())
//! ```
//!
//! Outside of the callback belong what allocates or frees: [`Stream::new`], [`Stream::state`], and dropping the last stream
//! of a model. A thread's priority, its core and locked memory are the host's. [`Stream::reset`], [`Stream::state_into`] and
//! [`Stream::set_state`] may be called inside; a NaN or an infinity stays in its stream until a reset. Where a Rust program
//! owns the thread, [`with_default_float_mode`] is not needed. To replace a model under a running signal, make another stream
//! outside, run both while one fades into the other, and drop the old one outside: the example `stream` does. Big layers are
//! shared with threads of the stream's own by [`Stream::with_helpers`]. The examples `amplifier` and `voice_activity` are whole
//! loops.
//!
//! # Threads
//!
//! How many threads a call may use is an argument, [`Threads`]; what a call costs and in which pool it runs is told there.
//! One rule: no lock may be held over a call with more than one thread inside a rayon pool.
//!
//! # Features
//!
//! | feature | default | brings |
//! |---|---|---|
//! | `safetensors` | yes | model files, read and written under PyTorch's names: the module `format` and `Model::open` |
//! | `threads` | yes | more than one thread, by rayon; without it every call runs on the calling thread |
//! | `serde` | no | `Serialize` and `Deserialize` of specs, of the settings of optimisers and of schedules, and of their states |
//!
//! The hidden module `internals` is for Elman's own benches, tests and command line; it may change in any version.
//!
//! # Platforms
//!
//! x86-64 has kernels of its own, AVX-512 and AVX2; everywhere else the portable tier runs. Linux also tells how much memory
//! there is, so that what does not fit is an [`Error`] before anything is allocated; elsewhere only what the system refuses
//! is one.
//!
//! # Tiers
//!
//! Found at run time; `ELMAN_ISA` forces one.
//!
//! | `ELMAN_ISA` | needs | lanes |
//! |---|---|---|
//! | `avx512` | AVX-512F | 16 |
//! | `avx2` | AVX2 and FMA | 8 |
//! | `portable` | nothing | 8, by way of `wide`; GEMMs by way of `matrixmultiply` |
//!
//! # Denormals
//!
//! Numbers below 1.2e-38 are computed with as IEEE 754 says, gradually down to 1.4e-45, and not flushed to zero: a state
//! that decays to nothing, a relu network whose units die away, or gradients that vanish pass through them. On Zen 4
//! products with a denormal operand cost next to nothing; an activation takes up to some three times as long, so that a
//! layer of 128 units whose states or gates are all denormal takes at most 1.12 times as long on AVX-512, 1.17 on AVX2, and
//! 1.35 on the portable tier. Where both operands are ordinary and their products are denormal (weights, biases and input
//! of some 1e-20) the portable tier, which rounds each product by itself, takes 3.2 times as long.
//! `cargo bench --bench denormals` measures all of it where you are.
//!
//! On CPUs that hand denormals to microcode, a step can take many times as long: on an Intel Xeon up to 22 times with 16
//! units whose states are all denormal, and a layer of 128 units up to 110 times. The engine does not make the CPU flush
//! them: Rust assumes the default floating-point environment, and [`_mm_setcsr`][setcsr] says that to change that mode is
//! undefined behaviour, even where it is set back afterwards. It would also change results, on that thread only. That goes
//! for callers too: on a thread whose mode a host in another language has set, call by way of [`with_default_float_mode`]
//! (the C interface does so by itself). What helps is to keep such numbers out: set inputs and carried states too small to
//! matter to zero between calls, and scale a loss up where its gradients are denormal, and the gradients down again.
//!
//! [setcsr]: https://doc.rust-lang.org/core/arch/x86_64/fn._mm_setcsr.html

mod error;
mod float_mode;
#[cfg(feature = "safetensors")]
pub mod format;
mod gemm;
mod kernel;
mod layer;
pub mod loss;
mod memory;
mod model;
mod network;
pub mod optim;
mod parallel;
pub mod params;
mod plan;
pub mod reference;
mod rng;
mod simd;
pub mod stream;
pub mod tensor;
pub mod train;

pub use error::{Error, ErrorKind, Result};
pub use float_mode::with_default_float_mode;
pub use kernel::Isa;
pub use layer::Nonlinearity;
pub use model::{
    Activation, CellSpec, Gradients, LayerKind, LayerSpec, Model, ModelBuilder, ModelSpec, Output, ParamsMut, Readout,
    RecurrentSpec, Reset, Run, Upstream, Workspace,
};
pub use network::{Gru, GruBuilder, Input, Lstm, LstmBuilder, Rnn, RnnBuilder, State};
pub use parallel::Threads;
pub use params::Params;
pub use rng::Rng;
pub use stream::{Stream, Streams};

/// What a [`CellSpec`] can say of each cell.
pub mod cell {
    pub use crate::model::{GruCellSpec, LstmCellSpec, RnnCellSpec};
}

/// What the engine is made of, for its own benches, tests, fuzzers and command line: no promise that any of it stays as
/// it is from one version to the next.
#[doc(hidden)]
pub mod internals {
    pub use crate::float_mode::is_default as float_mode_is_default;
    pub use crate::gemm::{Blocking, GemmScratch, Panels, fallback, product};
    pub use crate::kernel::Kernels;
    pub use crate::layer::{BackwardPass, ForwardPass, Layer, LayerGradients, Scratch, Sizes, Tape, Weights, Write};
    pub use crate::layer::{Cell, Direction, Linear, LinearScratch, LinearSettings};
    pub use crate::memory::{available as available_memory, check_sum as check_memory};
    pub use crate::network::{BackwardArgs, NetworkConfig, Recurrent, RecurrentWorkspace};
    pub use crate::plan::{Cost, Machine, Plan, Shape, Work};
    pub use crate::simd::math::{EXP_ULP, SIGMOID_ULP, TANH_ULP};
    pub use crate::tensor::{Buffer, Mat};
}

/// The README's example compiles.
#[cfg(all(doctest, feature = "safetensors"))]
#[doc = include_str!("../README.md")]
struct Readme;
