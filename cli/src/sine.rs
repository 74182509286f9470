//! Learning the sine: the example most tutorials on recurrent networks begin with.
//!
//! An Elman network sees the first 49 of 50 points of a sine over an interval of length 10 and is to give the last 49:
//! at each point, the next one. Training draws the beginning of the interval from {0, 1, 2} and carries the state over
//! from each iteration to the next. Afterwards the network gets one single point of a stretch it was not trained on and
//! runs freely, each prediction fed back as the next input.
//!
//! The tutorial starts that free run from the state in which training ended. It belongs to the end of another stretch,
//! so the network believes it is somewhere else on the curve. [`Sine::free_run`] does the same, for comparison;
//! [`Sine::warmed_run`] starts from a zero state and lets the network hear some true points first.
//!
//! Model and settings are those of the PyTorch tutorial: `nn.RNN(1, 16)` with every parameter drawn from N(0, 0.001),
//! `nn.Linear(16, 1)` with PyTorch's initialisation, mean squared error, Adam with a learning rate of 0.001.

use elman::loss::MeanSquaredError;
use elman::optim::{Adam, AdamConfig};
use elman::tensor::SeqRef;
use elman::train::Trainer;
use elman::{Error, Isa, Model, ParamsMut, Result, Rng, Rnn, State, Threads, Workspace};

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
    model: Model,
    trainer: Trainer<Adam>,
    /// What it runs in when it is tried.
    workspace: Workspace,
    rng: Rng,
    threads: Threads,
    /// The stretches from 0, 1 and 2.
    stretches: [[f32; POINTS]; STARTS],
    /// Carried over from iteration to iteration.
    state: State,
}

/// What the network makes of a stretch it was not trained on. Points are t and sin(t), or what it took for that.
#[derive(Clone, Debug, PartialEq)]
pub struct FreeRun {
    /// The points of the curve that it heard; the last of them is the first of the stretch.
    pub heard: Vec<(f64, f64)>,
    /// What it gave for the other 49 of the stretch, each fed back as the next input.
    pub predictions: Vec<(f64, f64)>,
    /// The root mean square of their distances from the curve.
    pub rmse: f64,
}

impl Sine {
    /// A network that has seen nothing yet.
    ///
    /// # Errors
    /// [`Error::Setting`] for `hidden` of zero or a learning rate that is not a positive finite number,
    /// [`Error::Overflow`] for a network that cannot be addressed, [`Error::Isa`] for an unknown or unavailable `ELMAN_ISA`.
    pub fn new(config: Config) -> Result<Self> {
        let Config { hidden, lr, seed, threads } = config;
        if !(lr.is_finite() && lr > 0.0) {
            return Err(Error::setting("lr", "a finite number above 0", lr));
        }
        let mut rng = Rng::new(seed);
        let mut model = Rnn::builder(1, hidden).linear("linear", 1).model(&mut rng)?;
        draw_recurrent(&mut model, &mut rng)?;
        let trainer = Trainer::new(Adam::new(model.params(), AdamConfig::default().lr(lr))?).threads(threads);
        let stretches = [0, 1, 2].map(|start| {
            let mut points = [0.0; POINTS];
            points.iter_mut().zip(stretch(start)).for_each(|(x, (_, y))| *x = y as f32);
            points
        });
        let state = model.zero_state(1)?;
        Ok(Self { model, trainer, workspace: Workspace::default(), rng, threads, stretches, state })
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
        let mut loss = MeanSquaredError::new(target);
        let loss = self.trainer.step_from(&mut self.model, x, Some(&self.state), &mut loss)?;
        self.state.copy_from(self.trainer.state())?;
        Ok(loss)
    }

    /// Where a stretch begins that the network was not trained on, drawn at random.
    pub fn draw_trial(&mut self) -> usize {
        TRIALS.start + self.rng.below(TRIALS.len())
    }

    /// Runs freely over the stretch from `start`, as the tutorial does: from the state in which training ended, after
    /// hearing the first point.
    ///
    /// # Errors
    /// None once the network is made.
    pub fn free_run(&mut self, start: usize) -> Result<FreeRun> {
        self.run_freely(self.state.clone(), start, 0)
    }

    /// Runs freely over the stretch from `start` after hearing the `warmup` points before it and its first point, from
    /// a zero state.
    ///
    /// # Errors
    /// None once the network is made.
    pub fn warmed_run(&mut self, start: usize, warmup: usize) -> Result<FreeRun> {
        let state = self.model.zero_state(1)?;
        self.run_freely(state, start, warmup)
    }

    fn run_freely(&mut self, mut state: State, start: usize, warmup: usize) -> Result<FreeRun> {
        let heard: Vec<_> = (0..=warmup).rev().map(|before| point(start, -(before as f64))).collect();
        let mut next = 0.0;
        for &(_, y) in &heard {
            next = self.predict(y as f32, &mut state)?;
        }
        let curve: Vec<_> = stretch(start).skip(1).collect();
        let mut predictions = Vec::with_capacity(STEPS);
        for &(t, _) in &curve {
            predictions.push((t, f64::from(next)));
            next = self.predict(next, &mut state)?;
        }
        let squares: f64 = curve.iter().zip(&predictions).map(|(a, b)| (a.1 - b.1).powi(2)).sum();
        Ok(FreeRun { heard, predictions, rmse: (squares / STEPS as f64).sqrt() })
    }

    /// One step: what comes after `x`.
    fn predict(&mut self, x: f32, state: &mut State) -> Result<f32> {
        let x = [x];
        let x = SeqRef::new(&x, 1, 1, 1)?;
        let output = self.model.run_with(x, Some(state), &mut self.workspace, self.threads)?;
        state.copy_from(output.state())?;
        Ok(output.values().step(0).row(0)[0])
    }

    /// The network: a recurrent layer called `rnn` and a head called `linear`.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The network's parameters, to be changed.
    pub fn params_mut(&mut self) -> ParamsMut<'_> {
        self.model.params_mut()
    }

    /// The tier it runs on.
    #[must_use]
    pub fn isa(&self) -> Isa {
        self.model.isa()
    }
}

/// Draws every parameter of the recurrent layer from N(0, 0.001), as the tutorial does.
fn draw_recurrent(model: &mut Model, rng: &mut Rng) -> Result<()> {
    let recurrent = model.params().iter().filter(|(name, ..)| name.starts_with("rnn."));
    let shapes: Vec<_> =
        recurrent.map(|(name, shape, values)| (name.to_string(), shape.to_vec(), values.len())).collect();
    let mut params = model.params_mut();
    for (name, shape, len) in shapes {
        let drawn: Vec<f32> = (0..len).map(|_| rng.normal(0.0, 0.001)).collect();
        params.set(&name, &shape, &drawn)?;
    }
    Ok(())
}

/// The points of the stretch from `start`, as `np.linspace(start, start + 10, 50)` and its sine.
fn stretch(start: usize) -> impl Iterator<Item = (f64, f64)> {
    (0..POINTS).map(move |i| point(start, i as f64))
}

/// The point `i` steps after `start`.
fn point(start: usize, i: f64) -> (f64, f64) {
    let t = start as f64 + LENGTH * i / STEPS as f64;
    (t, t.sin())
}
