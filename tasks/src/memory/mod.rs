//! What a recurrent network can remember over how many steps, and why not: two problems in which all that counts is long
//! ago, learned from examples that are drawn as they are needed, so that nothing can be learned by heart.
//!
//! ```
//! use elman::Threads;
//! use elman_tasks::memory::{Kind, Memory, Problem};
//!
//! let memory = Memory { hidden: 16, minibatches: 20, every: 10, ..Memory::new(Problem::Adding, 8, Kind::Gru) };
//! let outcome = memory.run(Threads::one(), &mut |_progress| true)?;
//! assert_eq!((outcome.losses.len(), outcome.fresh.len(), outcome.trained.norms.len()), (20, 3, 8));
//! # Ok::<(), elman_tasks::Error>(())
//! ```

mod examples;
mod learn;
#[cfg(test)]
mod tests;

use elman::optim::{Adam, AdamConfig};
use elman::train::{GradientFlow, TrainingState};
use elman::{Gru, Lstm, Model, Nonlinearity, Readout, Rng, Rnn, Threads, Workspace};
use serde::{Deserialize, Serialize};

pub use examples::Problem;

use crate::error::{Error, Result};
use crate::job::Job;
use crate::split::SplitMix64;
use learn::Lessons;

/// A recurrent network and how it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Elman's with tanh, drawn as PyTorch does.
    Rnn,
    /// With max(0, x), the identity for W_hh, no biases to begin with, and W_ih from a normal distribution of deviation 0.001
    /// (Le, Jaitly and Hinton 2015): it begins as a network that keeps all it has read.
    Irnn,
    /// The gated recurrent unit.
    Gru,
    /// Long short-term memory, its forget gates open to begin with: their biases are 1 (Gers, Schmidhuber and Cummins 2000).
    Lstm,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Rnn, Self::Irnn, Self::Gru, Self::Lstm];

    /// What it is called in a picture: `tanh RNN`, `IRNN`, `GRU`, `LSTM`.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Rnn => "tanh RNN",
            Self::Irnn => "IRNN",
            Self::Gru => "GRU",
            Self::Lstm => "LSTM",
        }
    }
}

/// A problem, a network, and how long it learns: settings as a file of TOML has them ([`Job`]).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Memory {
    /// What has to be remembered.
    pub problem: Problem,
    /// Over how many steps: T of [`Problem`].
    pub steps: usize,
    /// The network: one layer, and a linear head.
    pub kind: Kind,
    /// Its hidden units.
    pub hidden: usize,
    /// Examples of a minibatch.
    pub batch: usize,
    /// Minibatches that it learns from.
    pub minibatches: u64,
    /// Minibatches after which its loss on fresh examples is measured, at least 1.
    pub every: u64,
    /// The learning rate of Adam.
    pub lr: f32,
    /// The largest norm of all gradients together; of what is beyond it they are scaled down to it.
    pub clip_norm: f32,
    /// What the first weights and all examples are drawn from.
    pub seed: u64,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(Problem::Adding, 100, Kind::Lstm)
    }
}

impl Job for Memory {
    const TASK: &'static str = "memory";
}

/// How far it is: after a minibatch.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// Minibatches so far.
    pub minibatch: u64,
    /// The loss of the last one, with the weights of before its step.
    pub loss: f32,
    /// The loss of fresh examples, where it was measured.
    pub fresh: Option<f64>,
}

/// How far back in time a gradient reaches, as [`GradientFlow`] measures it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flow {
    /// The norm of the loss's gradient with respect to h before each step, the first step first.
    pub norms: Vec<f32>,
    /// The same of an LSTM's c; empty for others.
    pub cell_norms: Vec<f32>,
    /// Whether it vanishes, explodes or is steady, in one sentence.
    pub verdict: String,
}

/// What came of it: the numbers of a picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// What it is of.
    pub memory: Memory,
    /// The loss of each minibatch, with the weights of before its step.
    pub losses: Vec<f32>,
    /// Minibatches, and the loss of fresh examples after so many: before the first one, and as often as it was asked for.
    pub fresh: Vec<(u64, f64)>,
    /// Minibatches after which the loss of fresh examples was first below [`Problem::threshold`].
    pub solved_after: Option<u64>,
    /// Whether it is below it at the end.
    pub solved: bool,
    /// The minibatch, counted from 1, whose loss was no finite number; learning ended there.
    pub diverged_at: Option<u64>,
    /// The gradient of the network as it was drawn.
    pub untrained: Flow,
    /// That of the network at the end.
    pub trained: Flow,
}

/// Fresh examples that a loss is measured on: of squared errors that are like those of a normal distribution their mean is
/// then known to within 1/√(500/2), 6 %.
const FRESH: usize = 500;
/// So many of them at once, lest long sequences take many times the memory of a step of training.
const TOGETHER: usize = 50;
/// Examples that gradients are measured on. The norm is over all of them, so that one in which little is asked for counts little.
const FLOWING: usize = 16;

impl Memory {
    /// Over 64 hidden units and minibatches of 32 examples, 3,000 of them, with a learning rate of 0.004 and gradients of a
    /// norm of at most 1.
    #[must_use]
    pub fn new(problem: Problem, steps: usize, kind: Kind) -> Self {
        Self {
            problem,
            steps,
            kind,
            hidden: 64,
            batch: 32,
            minibatches: 3000,
            every: 100,
            lr: 0.004,
            clip_norm: 1.0,
            seed: 1,
        }
    }

    fn check(&self) -> Result<()> {
        self.problem.check(self.steps)?;
        let counts = [
            ("hidden", self.hidden as u64),
            ("batch", self.batch as u64),
            ("minibatches", self.minibatches),
            ("every", self.every),
        ];
        if let Some((name, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return Err(Error::expected(name, "at least 1", 0));
        }
        for (name, value) in [("lr", self.lr), ("clip_norm", self.clip_norm)] {
            if !(value > 0.0 && value.is_finite()) {
                return Err(Error::expected(name, "a finite number above 0", value));
            }
        }
        Ok(())
    }

    /// The network, drawn anew.
    ///
    /// # Errors
    /// Settings out of their range, and those of [`Model::new`].
    pub fn model(&self) -> Result<Model> {
        self.check()?;
        let ([width, outputs], hidden) = (self.problem.sizes(), self.hidden);
        let mut rng = Rng::new(self.seeds()[0]);
        let builder = match self.kind {
            Kind::Rnn => Rnn::builder(width, hidden).name("rnn"),
            Kind::Irnn => Rnn::builder(width, hidden).nonlinearity(Nonlinearity::Relu).name("rnn"),
            Kind::Gru => Gru::builder(width, hidden).name("gru"),
            Kind::Lstm => Lstm::builder(width, hidden).forget_bias(1.0).name("lstm"),
        };
        let builder = match self.problem {
            Problem::Adding => builder.readout(Readout::Last),
            Problem::Copy => builder,
        };
        let mut model = builder.linear("fc", outputs).model(&mut rng)?;
        if self.kind == Kind::Irnn {
            let mut params = model.params_mut();
            let eye: Vec<f32> = (0..hidden * hidden).map(|n| f32::from(u8::from(n % (hidden + 1) == 0))).collect();
            params.set("rnn.weight_hh_l0", &[hidden, hidden], &eye)?;
            let w: Vec<f32> = (0..hidden * width).map(|_| rng.normal(0.0, 0.001)).collect();
            params.set("rnn.weight_ih_l0", &[hidden, width], &w)?;
            for bias in ["rnn.bias_ih_l0", "rnn.bias_hh_l0"] {
                params.set(bias, &[hidden], &vec![0.0; hidden])?;
            }
        }
        Ok(model)
    }

    /// Seeds of the first weights, of what is learned from, of what is measured on, and of what gradients are measured on.
    fn seeds(&self) -> [u64; 4] {
        let mut rng = SplitMix64::new(self.seed);
        [(); 4].map(|()| rng.next_u64())
    }

    /// Draws a network, learns, and measures. `watch` is told of every minibatch, and says whether to go on.
    ///
    /// # Errors
    /// Settings out of their range, and those of the library. A loss that is no longer a finite number is none: it ends the
    /// learning, and the outcome says so.
    pub fn run(&self, threads: Threads, watch: &mut dyn FnMut(Progress) -> bool) -> Result<Outcome> {
        let mut model = self.model()?;
        let [_, learned, measured, _] = self.seeds();
        let (mut examples, mut fresh_examples) = (Rng::new(learned), Rng::new(measured));
        let untrained = self.flow(&model)?;
        let adam = Adam::new(model.params(), AdamConfig::default().lr(self.lr))?;
        let (training, clip_norm) = (TrainingState::new(self.seed), self.clip_norm);
        let mut lessons = Lessons { adam, clip_norm, training, threads, workspaces: Vec::new() };
        let (mut losses, mut diverged_at) = (Vec::new(), None);
        let mut fresh = vec![(0, self.measure(&model, &mut fresh_examples, threads)?)];
        for minibatch in 1..=self.minibatches {
            let drawn = self.problem.draw(self.steps, self.batch, &mut examples)?;
            let loss = lessons.step(&mut model, &drawn)?;
            losses.push(loss);
            if !loss.is_finite() {
                diverged_at = Some(minibatch);
                break;
            }
            let mut now = None;
            if minibatch.is_multiple_of(self.every) || minibatch == self.minibatches {
                let loss = self.measure(&model, &mut fresh_examples, threads)?;
                fresh.push((minibatch, loss));
                now = Some(loss);
            }
            if !watch(Progress { minibatch, loss, fresh: now }) {
                break;
            }
        }
        let done = losses.len() as u64;
        if diverged_at.is_none() && fresh.last().is_none_or(|(at, _)| *at != done) {
            fresh.push((done, self.measure(&model, &mut fresh_examples, threads)?));
        }
        let below = |&&(_, loss): &&(u64, f64)| loss < self.problem.threshold();
        let solved_after = fresh.iter().find(below).map(|&(at, _)| at);
        let solved = diverged_at.is_none() && fresh.last().as_ref().is_some_and(below);
        let trained = self.flow(&model)?;
        Ok(Outcome { memory: self.clone(), losses, fresh, solved_after, solved, diverged_at, untrained, trained })
    }

    /// The loss on examples that nothing was learned from.
    fn measure(&self, model: &Model, rng: &mut Rng, threads: Threads) -> Result<f64> {
        let (mut workspace, mut sum) = (Workspace::default(), 0.0);
        for _ in 0..FRESH / TOGETHER {
            let mut drawn = self.problem.draw(self.steps, TOGETHER, rng)?;
            let output = model.run_with(&drawn.x, None, &mut workspace, threads)?;
            sum += f64::from(output.loss(&mut drawn.truth)?);
        }
        Ok(sum * TOGETHER as f64 / FRESH as f64)
    }

    /// The same examples for each network.
    fn flow(&self, model: &Model) -> Result<Flow> {
        let mut drawn = self.problem.draw(self.steps, FLOWING, &mut Rng::new(self.seeds()[3]))?;
        let flow = GradientFlow::of(model, &drawn.x, &mut drawn.truth)?;
        let of = |norms: &[Vec<f32>]| norms.first().cloned().unwrap_or_default();
        let verdict = flow.verdict().to_string();
        Ok(Flow { norms: of(flow.norms()), cell_norms: of(flow.cell_norms()), verdict })
    }
}
