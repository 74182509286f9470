//! One step of training after the other: forward, loss, backward, clipping, optimiser.

use crate::error::{Error, Result};
use crate::loss::Loss;
use crate::model::{Model, TrainingState, Workspace};
use crate::network::{Input, State};
use crate::optim::{Optimizer, clip_grad_norm, clip_grad_value};
use crate::parallel::Threads;
use crate::params::Params;

/// What training needs beside a model: an optimiser, the seed and count of steps that dropout follows, clipping, threads, and the
/// memory for all of it. After the first step with a shape, further ones allocate nothing.
///
/// ```
/// use elman::loss::MeanSquaredError;
/// use elman::optim::{Adam, AdamConfig};
/// use elman::tensor::Seq;
/// use elman::train::Trainer;
/// use elman::{Rng, Rnn};
///
/// // Learn to delay a signal by one step.
/// let mut rng = Rng::new(1);
/// let mut model = Rnn::builder(1, 8).linear("fc", 1).model(&mut rng)?;
/// let mut trainer = Trainer::new(Adam::new(model.params(), AdamConfig::default().lr(0.01))?).clip_norm(1.0);
///
/// let mut signal = Seq::zeros(101, 1, 1)?; // (T, B, I)
/// signal.data_mut().iter_mut().for_each(|x| *x = rng.uniform(-1.0, 1.0));
/// let (x, target) = (signal.view().narrow_steps(1, 100), signal.view().narrow_steps(0, 100));
/// let first = trainer.step(&mut model, x, &mut MeanSquaredError::new(target))?;
/// for _ in 0..300 {
///     trainer.step(&mut model, x, &mut MeanSquaredError::new(target))?;
/// }
/// let last = trainer.step(&mut model, x, &mut MeanSquaredError::new(target))?;
/// assert!(last < first / 10.0);
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Trainer<O> {
    optimizer: O,
    training: TrainingState,
    /// Whether the caller gave the seed.
    seeded: bool,
    clip: Option<Clip>,
    threads: Threads,
    workspace: Workspace,
    /// The state that the next carried step begins in, and room for the one that it ends in.
    states: [State; 2],
    /// Which is which; none where it begins as a sequence does.
    carried: Option<usize>,
}

/// How gradients are kept from growing.
#[derive(Clone, Copy, Debug)]
enum Clip {
    Norm(f32),
    Value(f32),
}

/// The state that a step begins in, zeros or the model's own where it is not given, and where the one goes that it ends in.
struct Between<'a> {
    first: Option<&'a State>,
    last: Option<&'a mut State>,
}

impl<O: Optimizer> Trainer<O> {
    /// Training by that optimiser on one thread, without clipping. For a model with dropout, [`training`](Self::training)
    /// has to give a seed: one that is the same for all would draw the same masks in every run.
    #[must_use]
    pub fn new(optimizer: O) -> Self {
        Self {
            optimizer,
            training: TrainingState::new(0),
            seeded: false,
            clip: None,
            threads: Threads::one(),
            workspace: Workspace::default(),
            states: Default::default(),
            carried: None,
        }
    }

    /// Where dropout masks come from: the seed of a run, or a state that an earlier run has left.
    ///
    /// ```
    /// use elman::loss::MeanSquaredError;
    /// use elman::optim::{Sgd, SgdConfig};
    /// use elman::tensor::Seq;
    /// use elman::train::{Trainer, TrainingState};
    /// use elman::{Gru, Rng};
    ///
    /// let mut model = Gru::builder(2, 4).num_layers(2).dropout(0.5).model(&mut Rng::new(1))?;
    /// let mut trainer = Trainer::new(Sgd::new(model.params(), SgdConfig::default())?).training(TrainingState::new(42));
    /// let (x, target) = (Seq::zeros(10, 3, 2)?, Seq::zeros(10, 3, 4)?);
    /// trainer.step(&mut model, &x, &mut MeanSquaredError::new(&target))?;
    /// assert_eq!(*trainer.training_state(), TrainingState::restored(42, 1));
    /// # Ok::<(), elman::Error>(())
    /// ```
    #[must_use]
    pub fn training(self, training: TrainingState) -> Self {
        Self { training, seeded: true, ..self }
    }

    /// Threads that a step may use.
    #[must_use]
    pub fn threads(self, threads: Threads) -> Self {
        Self { threads, ..self }
    }

    /// Clips the norm of all gradients together, [`clip_grad_norm`].
    #[must_use]
    pub fn clip_norm(self, max_norm: f32) -> Self {
        Self { clip: Some(Clip::Norm(max_norm)), ..self }
    }

    /// Clips every gradient, [`clip_grad_value`].
    #[must_use]
    pub fn clip_value(self, clip_value: f32) -> Self {
        Self { clip: Some(Clip::Value(clip_value)), ..self }
    }

    /// One step: forward over `input` from states of zeros or the model's own, the loss, backward, and the optimiser. Gives
    /// the loss before the step. A step that fails changes neither the model nor what the next step begins with.
    ///
    /// # Errors
    /// As [`Model::forward_with`], the loss's, the optimiser's,
    /// [`ErrorKind::Setting`](crate::ErrorKind::Setting) for a clipping bound that is negative or NaN, and
    /// [`ErrorKind::State`](crate::ErrorKind::State) for a model with dropout where [`training`](Self::training) gave no seed.
    pub fn step<'a>(
        &mut self,
        model: &mut Model,
        input: impl Into<Input<'a>>,
        loss: &mut (impl Loss + Send),
    ) -> Result<f32> {
        self.step_from(model, input, None, loss)
    }

    /// The same from `state`, from zeros or the model's own where it is not given.
    ///
    /// # Errors
    /// As [`step`](Self::step), and [`ErrorKind::Shape`](crate::ErrorKind::Shape) naming `h_0` or `c_0`.
    pub fn step_from<'a>(
        &mut self,
        model: &mut Model,
        input: impl Into<Input<'a>>,
        state: Option<&State>,
        loss: &mut (impl Loss + Send),
    ) -> Result<f32> {
        self.step_between(model, input.into(), Between { first: state, last: None }, loss)
    }

    fn step_between(
        &mut self,
        model: &mut Model,
        input: Input<'_>,
        between: Between<'_>,
        loss: &mut (impl Loss + Send),
    ) -> Result<f32> {
        if !self.seeded && model.has_dropout() {
            let expected = "a seed for the model's dropout (Trainer::training with TrainingState::new(seed))";
            return Err(Error::state("trainer", expected, "none"));
        }
        let (threads, flop) = (self.threads, model.largest_flop(&input));
        let before = self.training.clone();
        let value = threads.inside_for(flop, || self.step_inside(model, input, between, loss));
        if value.is_err() {
            self.training = before;
        }
        value
    }

    fn step_inside(
        &mut self,
        model: &mut Model,
        input: Input<'_>,
        Between { first, last }: Between<'_>,
        loss: &mut (impl Loss + Send),
    ) -> Result<f32> {
        let Self { optimizer, training, clip, threads, workspace, .. } = self;
        let run = model.forward_with(input, first, training, workspace, *threads)?;
        // Before anything is learned: this may fail.
        last.map_or(Ok(()), |last| last.copy_from(run.state()))?;
        let (value, mut gradients) = run.learn(loss)?;
        match *clip {
            Some(Clip::Norm(max_norm)) => _ = clip_grad_norm(gradients.parameters_mut(), max_norm)?,
            Some(Clip::Value(clip_value)) => clip_grad_value(gradients.parameters_mut(), clip_value)?,
            None => {}
        }
        optimizer.step(&mut model.params_mut(), gradients.parameters())?;
        Ok(value)
    }

    /// One step over the next stretch of the sequences that the last such step went over: it begins in the state that the
    /// last one ended in, and no gradient passes between them. That is truncated backpropagation through time:
    ///
    /// ```
    /// # use elman::loss::MeanSquaredError;
    /// # use elman::optim::{Sgd, SgdConfig};
    /// # use elman::tensor::Seq;
    /// # use elman::train::Trainer;
    /// # use elman::{Gru, Rng};
    /// # let mut model = Gru::builder(2, 4).linear("fc", 1).model(&mut Rng::new(1))?;
    /// # let mut trainer = Trainer::new(Sgd::new(model.params(), SgdConfig::default())?);
    /// # let (x, target) = (Seq::zeros(100, 3, 2)?, Seq::zeros(100, 3, 1)?);
    /// trainer.forget(); // sequences that begin
    /// for first in (0..100).step_by(20) {
    ///     let (x, target) = (x.view().narrow_steps(first, 20), target.view().narrow_steps(first, 20));
    ///     trainer.step_carried(&mut model, x, &mut MeanSquaredError::new(target))?;
    /// }
    /// # Ok::<(), elman::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`step_from`](Self::step_from), and [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for a model with a
    /// reverse direction: its states come from steps that are yet to be read.
    pub fn step_carried<'a>(
        &mut self,
        model: &mut Model,
        input: impl Into<Input<'a>>,
        loss: &mut (impl Loss + Send),
    ) -> Result<f32> {
        model.check_carries()?;
        // Out of their place, as a step borrows everything.
        let mut states = std::mem::take(&mut self.states);
        let [even, odd] = &mut states;
        let (first, last, next) = match self.carried {
            None => (None, even, 0),
            Some(0) => (Some(&*even), odd, 1),
            Some(_) => (Some(&*odd), even, 0),
        };
        let value = self.step_between(model, input.into(), Between { first, last: Some(last) }, loss);
        self.states = states;
        if value.is_ok() {
            self.carried = Some(next);
        }
        value
    }

    /// Lets the next carried step begin as a sequence does: in zeros, or the model's own state.
    pub fn forget(&mut self) {
        self.carried = None;
    }

    /// The states after the last step, in the order of the batch.
    #[must_use]
    pub fn state(&self) -> &State {
        self.workspace.last_state()
    }

    /// The gradients of the last step, as the optimiser saw them; `None` before the first.
    #[must_use]
    pub fn gradients(&self) -> Option<&Params> {
        self.workspace.last_gradients()
    }

    /// The seed and the steps so far.
    #[must_use]
    pub fn training_state(&self) -> &TrainingState {
        &self.training
    }

    /// The optimiser.
    #[must_use]
    pub fn optimizer(&self) -> &O {
        &self.optimizer
    }

    /// The optimiser, to set its learning rate or its state.
    pub fn optimizer_mut(&mut self) -> &mut O {
        &mut self.optimizer
    }
}
