//! A recurrent layer with a linear head, trained to map one sequence to another by mean squared error.

use crate::error::{Result, check_shape};
use crate::linear::{Linear, LinearScratch};
use crate::loss;
use crate::network::{Rnn, RnnBackward, RnnBuilder, Workspace};
use crate::optim::{Adam, Sgd};
use crate::params::{Layout, Params};
use crate::rng::Rng;
use crate::tensor::{Seq, SeqRef};
use crate::threads::Threads;

/// What makes a step out of gradients.
#[derive(Clone, Debug)]
pub enum Optimizer {
    /// [`Adam`].
    Adam(Adam),
    /// [`Sgd`].
    Sgd(Sgd),
}

impl Optimizer {
    /// One step down the gradients.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) where the parameters or gradients are of another model.
    pub fn step(&mut self, params: &mut Params, gradients: &Params) -> Result<()> {
        match self {
            Optimizer::Adam(adam) => adam.step(params, gradients),
            Optimizer::Sgd(sgd) => sgd.step(params, gradients),
        }
    }
}

/// An [`Rnn`] called `rnn` under a [`Linear`] called `linear`, their parameters, and the memory to run them and to
/// train them in. After the first call with a shape, further ones allocate nothing, on one thread or
/// inside a rayon pool (from outside one, rayon's queue does now and then; `matrixmultiply` does on the portable tier).
#[derive(Clone, Debug)]
pub struct Regression {
    rnn: Rnn,
    linear: Linear,
    params: Params,
    gradients: Params,
    /// Whether the layers' packed copies are those of `params`.
    loaded: bool,
    y: Seq,
    prediction: Seq,
    d_prediction: Seq,
    d_y: Seq,
    /// (1, B, H): the state after the last run.
    h_n: Seq,
    workspace: Workspace,
    head: LinearScratch,
}

impl Regression {
    /// A model out of a recurrent layer and a head of `outputs` values a step, initialised as PyTorch does.
    ///
    /// # Errors
    /// As [`RnnBuilder::build`] and [`Linear::new`].
    pub fn new(rnn: RnnBuilder, outputs: usize, rng: &mut Rng) -> Result<Self> {
        let mut layout = Layout::new();
        let rnn = rnn.build(&mut layout, "rnn")?;
        let linear = Linear::new(&mut layout, "linear", rnn.hidden_size(), outputs)?;
        let mut params = Params::zeros(layout);
        rnn.init(&mut params, rng);
        linear.init(&mut params, rng);
        let gradients = params.zeros_like();
        Ok(Self {
            rnn,
            linear,
            params,
            gradients,
            loaded: false,
            y: Seq::default(),
            prediction: Seq::default(),
            d_prediction: Seq::default(),
            d_y: Seq::default(),
            h_n: Seq::default(),
            workspace: Workspace::default(),
            head: LinearScratch::default(),
        })
    }

    /// The recurrent layer.
    #[must_use]
    pub fn rnn(&self) -> &Rnn {
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

    /// The state after the last run, (1, B, H).
    #[must_use]
    pub fn h_n(&self) -> &Seq {
        &self.h_n
    }

    /// Runs the model over `x` (T, B, I) from `h_0` (1, B, H), zeros where it is not given. Gives the predictions
    /// (T, B, outputs); the state after the last step is [`h_n`](Self::h_n).
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) naming `input` or `h_0`.
    pub fn predict(&mut self, x: SeqRef<'_>, h_0: Option<SeqRef<'_>>, threads: Threads) -> Result<&Seq> {
        if !self.loaded {
            self.rnn.load(&self.params)?;
            self.linear.load(&self.params)?;
            self.loaded = true;
        }
        self.rnn.forward(x, h_0, &mut self.y, &mut self.workspace, threads)?;
        self.linear.forward(self.y.view(), &mut self.prediction, &mut self.head)?;
        let [steps, batch, hidden] = self.y.shape();
        self.h_n.reshape(1, batch, hidden)?;
        match (steps.checked_sub(1), h_0) {
            (Some(last), _) => self.h_n.data_mut().copy_from_slice(self.y.step(last)),
            (None, Some(h_0)) => self.h_n.data_mut().copy_from_slice(h_0.step(0)),
            (None, None) => self.h_n.data_mut().fill(0.0),
        }
        Ok(&self.prediction)
    }

    /// One step of training: forward over `x` (T, B, I) from `h_0`, mean squared error against `target`
    /// (T, B, outputs), backward through all steps, and the optimiser. Gives the loss before the step.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) naming what does not fit.
    pub fn train(
        &mut self,
        x: SeqRef<'_>,
        h_0: Option<SeqRef<'_>>,
        target: SeqRef<'_>,
        optimizer: &mut Optimizer,
        threads: Threads,
    ) -> Result<f32> {
        self.predict(x, h_0, threads)?;
        check_shape("target", &self.prediction.shape(), &target.shape())?;
        let loss = loss::mse(self.prediction.view(), target, &mut self.d_prediction)?;
        self.gradients.data_mut().fill(0.0);
        self.linear.backward(
            &self.params,
            self.y.view(),
            self.d_prediction.view(),
            &mut self.gradients,
            Some(&mut self.d_y),
            &mut self.head,
        )?;
        let (y, d_y) = (self.y.view(), self.d_y.view());
        let pass = RnnBackward { x, h_0, y, d_y, d_h_n: None, d_x: None, d_h_0: None };
        self.rnn.backward(&self.params, pass, &mut self.gradients, &mut self.workspace, threads)?;
        optimizer.step(&mut self.params, &self.gradients)?;
        self.loaded = false;
        Ok(loss)
    }
}
