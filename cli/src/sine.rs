//! Learning the sine: the example most tutorials on recurrent networks begin with.
//!
//! An Elman network sees the first 49 of 50 points of a sine over an interval of length 10 and is to give the last 49:
//! at each point, the next one. Training draws the beginning of the interval from {0, 1, 2} and carries the state over
//! from each iteration to the next. Afterwards the network gets one single point and runs freely, each prediction fed
//! back as the next input.
//!
//! Model and settings are those of the PyTorch tutorial: `nn.RNN(1, 16)` with every parameter drawn from N(0, 0.001),
//! `nn.Linear(16, 1)` with PyTorch's initialisation, mean squared error, Adam with a learning rate of 0.001.

use elman::Isa;
use elman::Params;
use elman::Rng;
use elman::Threads;
use elman::optim::{Adam, AdamConfig};
use elman::tensor::SeqRef;
use elman::train::{Optimizer, Regression};
use elman::{Error, Result};
use elman::{Rnn, State};

/// Points on a stretch of the curve.
const POINTS: usize = 50;
/// Inputs, and targets: each point is followed by the next.
pub const STEPS: usize = POINTS - 1;
/// The length of the stretch.
const LENGTH: f64 = 10.0;
/// Where the stretches begin that the network is trained on: 0, 1 or 2.
const STARTS: usize = 3;
/// Where those begin that it is tried on: 6, 7, 8 or 9.
const TRIALS: std::ops::Range<usize> = 6..10;

/// The settings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    /// Hidden units.
    pub hidden: usize,
    /// Adam's learning rate.
    pub lr: f32,
    /// The seed of everything that is drawn.
    pub seed: u64,
    /// Threads that may be used; the work is so small that one is.
    pub threads: Threads,
}

impl Default for Config {
    fn default() -> Self {
        Self { hidden: 16, lr: 1e-3, seed: 1, threads: Threads::one() }
    }
}

/// The network in training.
#[derive(Clone, Debug)]
pub struct Sine {
    model: Regression,
    optimizer: Optimizer,
    rng: Rng,
    threads: Threads,
    /// The stretches from 0, 1 and 2.
    stretches: [[f32; POINTS]; STARTS],
    /// Carried over from iteration to iteration.
    state: State,
}

/// What the network makes of a stretch it was not trained on.
#[derive(Clone, Debug, PartialEq)]
pub struct FreeRun {
    /// Where the stretch begins.
    pub start: usize,
    /// The 50 points of the stretch: t and sin(t).
    pub curve: Vec<(f64, f64)>,
    /// What the network gave for the last 49 of them, from the first point alone.
    pub predictions: Vec<(f64, f64)>,
    /// The root mean square of their distances from the curve.
    pub rmse: f64,
}

impl Sine {
    /// A network that has seen nothing yet.
    ///
    /// # Errors
    /// [`Error::Setting`] for `hidden` of zero or a learning rate that is not a positive finite number,
    /// [`Error::Overflow`] for a network that cannot be addressed, [`Error::Isa`] for an `ELMAN_ISA` that there is not.
    pub fn new(config: Config) -> Result<Self> {
        let Config { hidden, lr, seed, threads } = config;
        if !(lr.is_finite() && lr > 0.0) {
            return Err(Error::setting("lr", "a finite number above 0", lr));
        }
        let mut rng = Rng::new(seed);
        let mut model = Regression::new(Rnn::builder(1, hidden), 1, &mut rng)?;
        let rnn = model.rnn().clone();
        rnn.init_with(model.params_mut(), || rng.normal(0.0, 0.001));
        let optimizer = Optimizer::Adam(Adam::new(model.params(), AdamConfig { lr, ..AdamConfig::default() })?);
        let stretches = [0, 1, 2].map(|start| {
            let mut points = [0.0; POINTS];
            points.iter_mut().zip(stretch(start)).for_each(|(x, (_, y))| *x = y as f32);
            points
        });
        let state = rnn.zero_state(1)?;
        Ok(Self { model, optimizer, rng, threads, stretches, state })
    }

    /// One iteration from a beginning drawn at random. Gives its loss.
    ///
    /// # Errors
    /// None once the network is made.
    pub fn step(&mut self) -> Result<f32> {
        let start = self.rng.below(STARTS);
        self.step_from(start)
    }

    /// One iteration over the stretch from `start`. Gives its loss.
    ///
    /// # Errors
    /// [`Error::Setting`] for a start that is not 0, 1 or 2.
    pub fn step_from(&mut self, start: usize) -> Result<f32> {
        let points = self.stretches.get(start).ok_or_else(|| Error::setting("start", "0, 1 or 2", start))?;
        let x = SeqRef::new(&points[..STEPS], STEPS, 1, 1)?;
        let target = SeqRef::new(&points[1..], STEPS, 1, 1)?;
        let loss = self.model.train(x, Some(&self.state), target, &mut self.optimizer, self.threads)?;
        self.state.copy_from(self.model.state());
        Ok(loss)
    }

    /// Lets the network run freely over a stretch drawn at random, from the state it was left in.
    ///
    /// # Errors
    /// None once the network is made.
    pub fn free_run(&mut self) -> Result<FreeRun> {
        let start = TRIALS.start + self.rng.below(TRIALS.len());
        let curve: Vec<_> = stretch(start).collect();
        let mut predictions = Vec::with_capacity(STEPS);
        let mut state = self.state.clone();
        let mut x = curve[0].1 as f32;
        for &(t, _) in &curve[1..] {
            let input = [x];
            let prediction = self.model.predict(SeqRef::new(&input, 1, 1, 1)?, Some(&state), self.threads)?;
            x = prediction.data()[0];
            state.copy_from(self.model.state());
            predictions.push((t, f64::from(x)));
        }
        let squares: f64 = curve[1..].iter().zip(&predictions).map(|(a, b)| (a.1 - b.1).powi(2)).sum();
        Ok(FreeRun { start, curve, predictions, rmse: (squares / STEPS as f64).sqrt() })
    }

    /// The network's parameters, under the names that the tutorial's PyTorch module gives them.
    #[must_use]
    pub fn params(&self) -> &Params {
        self.model.params()
    }

    /// The network's parameters, to be changed.
    pub fn params_mut(&mut self) -> &mut Params {
        self.model.params_mut()
    }

    /// The tier it runs on.
    #[must_use]
    pub fn isa(&self) -> Isa {
        self.model.rnn().kernels().isa()
    }
}

/// The points of the stretch from `start`, as `np.linspace(start, start + 10, 50)` and its sine.
fn stretch(start: usize) -> impl Iterator<Item = (f64, f64)> {
    (0..POINTS).map(move |i| {
        let t = start as f64 + LENGTH * i as f64 / STEPS as f64;
        (t, t.sin())
    })
}
