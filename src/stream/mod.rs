//! Floor 5: one step at a time over a shared model, for loops that cannot wait.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::kernel::step::BLOCK;
use crate::model::{Model, StepMemory};
use crate::network::State;
use crate::tensor::StepRows;

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
/// Two streams over one model, as of a stereo signal:
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
pub struct Stream {
    model: Arc<Model>,
    memory: StepMemory,
    inputs: usize,
    outputs: usize,
    /// How many indices the first layer knows; 0 where it takes features.
    vocabulary: usize,
    /// What [`reset`](Self::reset) goes back to.
    first: State,
}

impl Stream {
    /// A stream that begins in the model's own state, or in zeros.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for a model that needs steps which are yet to come: a
    /// reverse direction, a mean or a maximum over all steps. [`ErrorKind::Stale`](crate::ErrorKind::Stale) where a guard
    /// of [`Model::params_mut`] was leaked, [`ErrorKind::Memory`](crate::ErrorKind::Memory).
    pub fn new(model: impl Into<Arc<Model>>) -> Result<Self> {
        let model = model.into();
        let (memory, first) = (model.step_memory()?, model.first_row_state()?);
        let (inputs, outputs) = (model.inputs(), model.outputs());
        let vocabulary = model.vocabulary().unwrap_or(0);
        let mut stream = Self { model, memory, inputs, outputs, vocabulary, first };
        // Touches all of the memory, weights and code: the first step of the caller finds them there.
        stream.run_zeros(2 * BLOCK);
        stream.reset();
        Ok(stream)
    }

    /// The same stream after `steps` steps of zeros (of index 0, where the first layer is an embedding), whose outputs are
    /// dropped: a network that was trained on running signals settles. [`reset`](Self::reset) comes back to the state
    /// after them.
    #[must_use]
    pub fn prewarmed(mut self, steps: usize) -> Self {
        self.run_zeros(steps);
        self.memory.get(&mut self.first);
        self
    }

    fn run_zeros(&mut self, steps: usize) {
        let zeros = vec![0.0; self.inputs];
        for _ in 0..steps {
            self.model.steps(1, StepRows { data: &zeros, pitch: self.inputs }, &mut self.memory);
        }
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// One step: `x` holds the input's features, `y` receives the output's.
    ///
    /// # Errors
    /// [`ErrorKind::Length`](crate::ErrorKind::Length) naming `x` or `y`; for an embedding,
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) where `x` is not an index of its vocabulary. The state is then as it
    /// was.
    #[inline]
    pub fn step(&mut self, x: &[f32], y: &mut [f32]) -> Result<()> {
        if x.len() != self.inputs {
            return Err(Error::length("x", &[self.inputs], x.len()));
        }
        if y.len() != self.outputs {
            return Err(Error::length("y", &[self.outputs], y.len()));
        }
        self.check_indices(x)?;
        self.run(1, x, y);
        Ok(())
    }

    /// One step of a model whose first layer is an embedding.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) for an index outside the vocabulary,
    /// [`ErrorKind::Setting`](crate::ErrorKind::Setting) where the first layer is another,
    /// [`ErrorKind::Length`](crate::ErrorKind::Length) naming `y`.
    pub fn step_index(&mut self, index: u32, y: &mut [f32]) -> Result<()> {
        if self.vocabulary == 0 {
            return Err(Error::setting("step_index", "a model whose first layer is an embedding", "another model"));
        }
        if index as usize >= self.vocabulary {
            return Err(Error::value("index", &format!("0 to {}", self.vocabulary - 1), index));
        }
        if y.len() != self.outputs {
            return Err(Error::length("y", &[self.outputs], y.len()));
        }
        self.run(1, &[index as f32], y);
        Ok(())
    }

    /// Some steps: `x` (steps, inputs) and `y` (steps, outputs), row-major. What one call of [`step`](Self::step) for each
    /// of them would give, in less time.
    ///
    /// # Errors
    /// As [`step`](Self::step); an `x` that is no whole number of steps names what is left over.
    pub fn block(&mut self, x: &[f32], y: &mut [f32]) -> Result<()> {
        let steps = x.len() / self.inputs;
        if steps * self.inputs != x.len() {
            return Err(Error::length("x", &[steps, self.inputs], x.len()));
        }
        if y.len() != steps * self.outputs {
            return Err(Error::length("y", &[steps, self.outputs], y.len()));
        }
        self.check_indices(x)?;
        for (x, y) in x.chunks(BLOCK * self.inputs).zip(y.chunks_mut(BLOCK * self.outputs)) {
            self.run(x.len() / self.inputs, x, y);
        }
        Ok(())
    }

    /// Goes back to the state in which the stream began.
    pub fn reset(&mut self) {
        self.memory.set(&self.first);
    }

    /// The state after the last step: h and c of every recurrent layer, (D·layers, 1, H). Allocates;
    /// [`state_into`](Self::state_into) does not.
    ///
    /// # Errors
    /// [`ErrorKind::Memory`](crate::ErrorKind::Memory).
    pub fn state(&self) -> Result<State> {
        let mut state = self.model.zero_state(1)?;
        self.memory.get(&mut state);
        Ok(state)
    }

    /// Copies the state after the last step into `state`, which has the model's sizes for one row.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for a state of another model or of several rows.
    pub fn state_into(&self, state: &mut State) -> Result<()> {
        self.model.check_row_state(state)?;
        self.memory.get(state);
        Ok(())
    }

    /// Goes on from `state`.
    ///
    /// # Errors
    /// As [`state_into`](Self::state_into); the stream is then as it was.
    pub fn set_state(&mut self, state: &State) -> Result<()> {
        self.model.check_row_state(state)?;
        self.memory.set(state);
        Ok(())
    }

    #[inline]
    fn check_indices(&self, x: &[f32]) -> Result<()> {
        if self.vocabulary == 0 {
            return Ok(());
        }
        let wrong = |&&x: &&f32| !(x >= 0.0 && x < self.vocabulary as f32 && x.fract() == 0.0);
        match x.iter().find(wrong) {
            None => Ok(()),
            Some(x) => Err(Error::value("x", &format!("whole numbers from 0 to {}", self.vocabulary - 1), x)),
        }
    }

    /// At most [`BLOCK`] steps of the right lengths.
    #[inline]
    fn run(&mut self, steps: usize, x: &[f32], y: &mut [f32]) {
        let out = self.model.steps(steps, StepRows { data: x, pitch: self.inputs }, &mut self.memory);
        for (t, y) in y.chunks_exact_mut(self.outputs).enumerate() {
            match y {
                [y] => *y = out.data[t * out.pitch],
                y => y.copy_from_slice(out.step(t, y.len())),
            }
        }
    }
}
