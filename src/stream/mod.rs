//! One step at a time over a shared model, for loops that cannot wait. Floor 5.

mod core;
mod streams;

use std::sync::Arc;

pub use streams::Streams;

pub use crate::parallel::Helpers;

use self::core::Core;
use crate::error::Result;
use crate::model::Model;
use crate::network::State;

/// One row that goes through a model step by step: a sample, a frame, a tick. The state is kept between the calls.
///
/// Everything that a step needs is allocated, and touched, when the stream is made: [`step`](Self::step) and
/// [`block`](Self::block) allocate nothing, take no lock, start no thread and make no system call. They give the bits
/// that [`Model::run`] gives for the whole sequence, on the same tier. Any number of streams, on any threads, share one
/// model.
///
/// ```
/// use elman::{Lstm, Rng, Stream};
///
/// let model = Lstm::builder(1, 16).linear("fc", 1).model(&mut Rng::new(1))?;
/// let mut stream = Stream::new(model)?;
/// let mut y = [0.0];
/// for x in [0.1, 0.2, 0.3] {
///     stream.step(&[x], &mut y)?;
/// }
/// # Ok::<(), elman::Error>(())
/// ```
///
/// Two streams over one model; where rows go step by step together, as those of a stereo signal, [`Streams`] is faster:
///
/// ```
/// use std::sync::Arc;
/// use elman::{Gru, Rng, Stream};
///
/// let model = Arc::new(Gru::builder(1, 8).linear("fc", 1).model(&mut Rng::new(1))?);
/// let [mut left, mut right] = [Stream::new(model.clone())?, Stream::new(model)?];
/// let (x, mut y) = ([0.5; 64], [0.0; 64]);
/// left.block(&x, &mut y)?;
/// right.block(&x, &mut y)?;
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Stream(Core);

impl Stream {
    /// A stream that begins in the model's own state, or in zeros.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for a model that needs steps which are yet to come: a
    /// reverse direction, a mean or a maximum over all steps. [`ErrorKind::Stale`](crate::ErrorKind::Stale) where a guard
    /// of [`Model::params_mut`] was leaked, [`ErrorKind::Memory`](crate::ErrorKind::Memory).
    pub fn new(model: impl Into<Arc<Model>>) -> Result<Self> {
        Core::new(model.into(), 1, 1.0).map(Self)
    }

    /// A stream at a sample rate of `ratio` times the one that the model was trained at, 1 or more: 2 for a model of 48 kHz
    /// at 96 kHz. Each recurrent layer gets back its state, h and an LSTM's c, not of the step before but of `ratio` steps
    /// before, which is as long ago as in training; between two whole numbers of steps it is the mean of their states,
    /// weighted linearly (Carson, Wright, Chowdhury, Välimäki and Bilbao, 2024).
    ///
    /// The [`state`](Self::state) of such a stream is all states that are yet to come back.
    ///
    /// ```
    /// use elman::{Lstm, Rng, Stream};
    ///
    /// let model = Lstm::builder(1, 16).linear("fc", 1).model(&mut Rng::new(1))?;
    /// let mut stream = Stream::with_rate_ratio(model, 96e3 / 48e3)?;
    /// assert_eq!(stream.state()?.h_shape(), [1, 2, 16]);
    /// # stream.step(&[0.5], &mut [0.0])?;
    /// # Ok::<(), elman::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`new`](Self::new); [`ErrorKind::Setting`](crate::ErrorKind::Setting) for a ratio below 1: a state cannot come
    /// back sooner than at the next step.
    pub fn with_rate_ratio(model: impl Into<Arc<Model>>, ratio: f64) -> Result<Self> {
        Core::new(model.into(), 1, ratio).map(Self)
    }

    /// The same stream after `steps` steps of zeros (of index 0, where the first layer is an embedding), whose outputs are
    /// dropped: a network that was trained on running signals settles. [`reset`](Self::reset) comes back to the state
    /// after them.
    #[must_use]
    pub fn prewarmed(mut self, steps: usize) -> Self {
        self.0.prewarm(steps);
        self
    }

    /// The same stream with threads of its own that compute a part of every big recurrent layer (at least 128 KiB of weights,
    /// without a projection), one that a core needs longer for than two cores need to tell each other of. They sleep until
    /// [`engage`](Self::engage). The bits are the same with them and without.
    ///
    /// Each wants a core for itself. A clone of the stream has none. Dropping the stream ends them, and waits for what they
    /// are at, a part of one step at most.
    ///
    /// ```
    /// use elman::{Rng, Rnn, Stream};
    ///
    /// let model = Rnn::builder(256, 256).model(&mut Rng::new(1))?;
    /// let mut stream = Stream::new(model)?.with_helpers(1)?;
    /// let (x, mut y) = ([0.5; 256], [0.0; 256]);
    /// stream.engage();
    /// for _ in 0..100 {
    ///     stream.step(&x, &mut y)?;
    /// }
    /// stream.release();
    /// # Ok::<(), elman::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Setting`](crate::ErrorKind::Setting) for no helpers, and for a model without such a layer;
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) where the system gives no threads,
    /// [`ErrorKind::Memory`](crate::ErrorKind::Memory).
    pub fn with_helpers(mut self, helpers: impl Into<Helpers>) -> Result<Self> {
        self.0.start(&helpers.into())?;
        Ok(self)
    }

    /// Wakes the helpers, by a system call for each; until [`release`](Self::release) they spin and take their part of every
    /// step from when they are awake. In between a step makes no system call. Without helpers nothing happens.
    pub fn engage(&mut self) {
        if let Some(helpers) = self.0.helpers() {
            helpers.engage();
        }
    }

    /// Lets the helpers sleep; steps run on the caller alone.
    pub fn release(&mut self) {
        if let Some(helpers) = self.0.helpers() {
            helpers.release();
        }
    }

    /// How many parts of steps helpers have computed.
    #[must_use]
    pub fn helped(&self) -> u64 {
        self.0.helped_and_missed()[0]
    }

    /// How often a helper had not answered when its part had been waited for for 100 µs, and was done without: its part was
    /// computed by the caller, and it took none until it had answered.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.0.helped_and_missed()[1]
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &Arc<Model> {
        &self.0.model
    }

    /// One step: `x` holds the input's features, `y` receives the output's.
    ///
    /// # Errors
    /// [`ErrorKind::Length`](crate::ErrorKind::Length) naming `x` or `y`; for an embedding,
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) where `x` is not an index of its vocabulary. The state is then as it
    /// was.
    #[inline]
    pub fn step(&mut self, x: &[f32], y: &mut [f32]) -> Result<()> {
        self.0.step(x, y)
    }

    /// One step of a model whose first layer is an embedding.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) for an index outside the vocabulary,
    /// [`ErrorKind::Setting`](crate::ErrorKind::Setting) where the first layer is another,
    /// [`ErrorKind::Length`](crate::ErrorKind::Length) naming `y`.
    pub fn step_index(&mut self, index: u32, y: &mut [f32]) -> Result<()> {
        self.0.step_index(&[index], y)
    }

    /// Some steps: `x` (steps, inputs) and `y` (steps, outputs), row-major. What one call of [`step`](Self::step) for each
    /// of them would give, in less time.
    ///
    /// # Errors
    /// As [`step`](Self::step); an `x` that is no whole number of steps names what is left over.
    pub fn block(&mut self, x: &[f32], y: &mut [f32]) -> Result<()> {
        self.0.block(x, y)
    }

    /// Goes back to the state in which the stream began.
    pub fn reset(&mut self) {
        self.0.reset();
    }

    /// The state after the last step: h and c of every recurrent layer, (layers, 1, H). Of a
    /// stream [at another sample rate](Self::with_rate_ratio), the states after as many of the last steps as are yet to
    /// come back, (layers, states, H), the last one first: `ratio` of them, rounded up. Allocates;
    /// [`state_into`](Self::state_into) does not.
    ///
    /// # Errors
    /// [`ErrorKind::Memory`](crate::ErrorKind::Memory).
    pub fn state(&self) -> Result<State> {
        self.0.state(0)
    }

    /// Copies the state after the last step into `state`, which has the sizes of what
    /// [`state`](Self::state) gives.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for a state of another model, or of another
    /// number of rows.
    pub fn state_into(&self, state: &mut State) -> Result<()> {
        self.0.state_into(0, state)
    }

    /// Goes on from `state`.
    ///
    /// # Errors
    /// As [`state_into`](Self::state_into); the stream is then as it was.
    pub fn set_state(&mut self, state: &State) -> Result<()> {
        self.0.set_state(0, state)
    }
}
