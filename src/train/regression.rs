//! A recurrent layer with a linear head, trained to map one sequence to another by mean squared error.

use super::TrainingState;
use crate::error::{Error, Result, at_least_one, check_shape};
use crate::layer::{Linear, LinearScratch};
use crate::loss;
use crate::network::{BackwardArgs, NetworkConfig, Recurrent, RecurrentWorkspace, State};
use crate::optim::Optimizer;
use crate::parallel::Threads;
use crate::params::{ParamTable, Params};
use crate::rng::Rng;
use crate::tensor::{Seq, SeqRef};

/// A network called `rnn` under a [`Linear`] called `linear`, their parameters, and the memory to run them and to train
/// them in. After the first call with a shape, further ones allocate nothing, on one thread or inside a rayon pool (from
/// outside one, rayon's queue does now and then; `matrixmultiply` does on the portable tier).
#[derive(Clone, Debug)]
pub struct Regression {
    rnn: Recurrent,
    linear: Linear,
    params: Params,
    gradients: Params,
    /// Whether the layers' packed copies are those of `params`.
    loaded: bool,
    prediction: Seq,
    d_prediction: Seq,
    d_y: Seq,
    pass: RecurrentWorkspace,
    head: LinearScratch,
    /// What the dropout masks follow from.
    training: TrainingState,
    /// The state carried from one stretch of a truncated sequence to the next.
    carried: State,
}

impl Regression {
    /// A model out of a network ([`Rnn`](crate::Rnn), [`Gru`](crate::Gru) or [`Lstm`](crate::Lstm), by its builder) and a
    /// head of `outputs` values a step, initialised as PyTorch does.
    ///
    /// # Errors
    /// As [`Recurrent::new`] and [`Linear::new`].
    pub fn new(network: impl Into<NetworkConfig>, outputs: usize, rng: &mut Rng) -> Result<Self> {
        let mut table = ParamTable::new();
        let rnn = Recurrent::new(network, &mut table, "rnn")?;
        let linear = Linear::new(&mut table, "linear", rnn.output_size(), outputs)?;
        let mut params = Params::zeros(table);
        rnn.init(&mut params, rng);
        linear.init(&mut params, rng);
        let gradients = params.zeros_like();
        Ok(Self {
            rnn,
            linear,
            params,
            gradients,
            loaded: false,
            prediction: Seq::default(),
            d_prediction: Seq::default(),
            d_y: Seq::default(),
            pass: RecurrentWorkspace::default(),
            head: LinearScratch::default(),
            training: TrainingState::new(rng.clone().bits()),
            carried: State::default(),
        })
    }

    /// The recurrent network.
    #[must_use]
    pub fn rnn(&self) -> &Recurrent {
        &self.rnn
    }

    /// The parameters.
    #[must_use]
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The parameters, to be changed.
    pub fn params_mut(&mut self) -> &mut Params {
        self.loaded = false;
        &mut self.params
    }

    /// The gradients of the last [`train`](Self::train).
    #[must_use]
    pub fn gradients(&self) -> &Params {
        &self.gradients
    }

    /// The states after the last run, in the order of the batch.
    #[must_use]
    pub fn state(&self) -> &State {
        self.pass.state()
    }

    /// Runs the model over `x` (T, B, I), or (B, T, I) of a network that is batch-first, from `state`, zeros where it is
    /// not given. Gives the predictions, in the same form; the states after the last step are [`state`](Self::state).
    ///
    /// # Errors
    /// [`Error::Shape`] naming `input` or `h_0`.
    pub fn predict(&mut self, x: SeqRef<'_>, state: Option<&State>, threads: Threads) -> Result<&Seq> {
        self.load()?;
        self.rnn.forward(x, state, &mut self.pass, threads)?;
        self.linear.forward(self.pass.output(), &mut self.prediction, &mut self.head)?;
        Ok(&self.prediction)
    }

    fn load(&mut self) -> Result<()> {
        if !self.loaded {
            self.rnn.load(&self.params)?;
            self.linear.load(&self.params)?;
            self.loaded = true;
        }
        Ok(())
    }

    /// One step of training: forward over `x` (T, B, I) from `state`, mean squared error against `target`
    /// (T, B, outputs), backward through all steps, and the optimiser. Gives the loss before the step. Of a network that
    /// is batch-first, `x` and `target` are (B, T, ·).
    ///
    /// # Errors
    /// [`Error::Shape`] naming what does not fit.
    pub fn train(
        &mut self,
        x: SeqRef<'_>,
        state: Option<&State>,
        target: SeqRef<'_>,
        optimizer: &mut dyn Optimizer,
        threads: Threads,
    ) -> Result<f32> {
        let [first, second, _] = x.shape();
        let flop = self.rnn.largest_flop(first, second);
        threads.inside_for(flop, || self.train_inside(x, state, target, optimizer, threads))
    }

    fn train_inside(
        &mut self,
        x: SeqRef<'_>,
        state: Option<&State>,
        target: SeqRef<'_>,
        optimizer: &mut dyn Optimizer,
        threads: Threads,
    ) -> Result<f32> {
        self.load()?;
        let (seed, step) = (self.training.seed(), self.training.step());
        self.training.advance();
        self.rnn.forward_training_step(x.into(), state, (seed, step), &mut self.pass, threads)?;
        self.linear.forward(self.pass.output(), &mut self.prediction, &mut self.head)?;
        check_shape("target", &self.prediction.shape(), &target.shape())?;
        let loss = loss::mse(self.prediction.view(), target, &mut self.d_prediction)?;
        self.gradients.data_mut().fill(0.0);
        self.linear.backward(
            &self.params,
            self.pass.output(),
            self.d_prediction.view(),
            &mut self.gradients,
            Some(&mut self.d_y),
            &mut self.head,
        )?;
        let args = BackwardArgs {
            input: x.into(),
            state,
            d_output: (&self.d_y).into(),
            d_state_n: None,
            wants_d_input: false,
            wants_d_state_0: false,
        };
        self.rnn.backward(&self.params, args, &mut self.gradients, &mut self.pass, threads)?;
        optimizer.step(&mut self.params, &self.gradients)?;
        self.loaded = false;
        Ok(loss)
    }

    /// Truncated backpropagation through time: cuts the sequence into stretches of `chunk` steps (the last may be
    /// shorter) and [`train`](Self::train)s on each in turn, every stretch beginning with the state the one before it
    /// ended in; no gradient passes between them. Gives the mean loss over all steps. [`state`](Self::state) is then the
    /// one after the last step: given back with the next part of the same sequences it goes on from there.
    ///
    /// # Errors
    /// As [`train`](Self::train), and [`Error::Setting`] for a chunk of 0, for no steps, and for a network that is
    /// bidirectional: its reverse states come from steps that are yet to be read.
    pub fn train_truncated(
        &mut self,
        x: SeqRef<'_>,
        state: Option<&State>,
        target: SeqRef<'_>,
        chunk: usize,
        optimizer: &mut dyn Optimizer,
        threads: Threads,
    ) -> Result<f32> {
        at_least_one("chunk", chunk)?;
        if self.rnn.config().bidirectional {
            return Err(Error::setting("bidirectional", "false for truncated backpropagation", true));
        }
        let batch_first = self.rnn.config().batch_first;
        let [first, second, _] = x.shape();
        let steps = if batch_first { second } else { first };
        at_least_one("steps", steps)?;
        let outputs = self.linear.out_features();
        check_shape("target", &[first, second, outputs], &target.shape())?;
        let mut total = 0.0;
        // Out of its place, as training borrows everything.
        let mut carried = std::mem::take(&mut self.carried);
        for first in (0..steps).step_by(chunk) {
            let len = chunk.min(steps - first);
            let [x, target] =
                [x, target].map(|seq| if batch_first { seq.rows(first, len) } else { seq.steps(first, len) });
            let from = if first == 0 { state } else { Some(&carried) };
            let loss = self.train(x, from, target, optimizer, threads);
            match loss {
                Ok(loss) => total += f64::from(loss) * len as f64,
                Err(error) => {
                    self.carried = carried;
                    return Err(error);
                }
            }
            carried.copy_from(self.pass.state());
        }
        self.carried = carried;
        Ok((total / steps as f64) as f32)
    }
}
