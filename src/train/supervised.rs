//! Examples in memory: sequences, and what a model should make of them.

use super::{Learner, Lesson, Score};
use crate::error::{Error, Result, at_least_one};
use crate::loss::{CrossEntropy, IGNORE_INDEX, Loss, MeanSquaredError, Steps};
use crate::model::{Model, Workspace};
use crate::parallel::Threads;
use crate::tensor::{PackedSequence, Seq};

/// What each example's output should be. Classes are learned by cross-entropy, numbers by their squared error.
///
/// ```
/// use elman::train::Targets;
///
/// let sentiment = Targets::Class(vec![0, 1]); // two sequences, a class for each
/// let next_character = Targets::Classes(vec![vec![4, 1, 2], vec![7]]); // one for each step
/// let tomorrow = Targets::Values(vec![vec![0.5], vec![-0.25]]); // the outputs of the last step
/// assert_eq!([sentiment.len(), next_character.len(), tomorrow.len()], [2; 3]);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Targets {
    /// A class, below the model's outputs, of the one step that a read-out leaves, or of the last.
    Class(Vec<i64>),
    /// A class of every step; [`IGNORE_INDEX`] where none counts.
    Classes(Vec<Vec<i64>>),
    /// All outputs of the one step that a read-out leaves, or of the last.
    Values(Vec<Vec<f32>>),
    /// All outputs of every step, row-major.
    Series(Vec<Vec<f32>>),
}

impl Targets {
    /// Examples.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Targets::Class(all) => all.len(),
            Targets::Classes(all) => all.len(),
            Targets::Values(all) | Targets::Series(all) => all.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// That example `n`, of so many steps, has as many elements as there are outputs.
    pub(super) fn check(&self, n: usize, steps: usize, outputs: usize) -> Result<()> {
        let (got, expected): (usize, &[usize]) = match self {
            Targets::Class(_) => return Ok(()),
            Targets::Classes(all) => (all[n].len(), &[steps]),
            Targets::Values(all) => (all[n].len(), &[outputs]),
            Targets::Series(all) => (all[n].len(), &[steps, outputs]),
        };
        match got == expected.iter().product::<usize>() {
            true => Ok(()),
            false => Err(Error::length(&format!("target of example {n}"), expected, got)),
        }
    }
}

/// A model that learns from sequences in memory, ragged as they are: a minibatch is packed, so that no time goes into padding.
///
/// ```
/// use elman::train::{Learner, Supervised, Targets};
/// use elman::{Gru, Rng, Threads};
///
/// // Two sequences of two features, of three steps and of one; what each should end with.
/// let rows = vec![vec![0.1, 0.2, 0.3, 0.4, 0.5, 0.6], vec![0.7, 0.8]];
/// let model = Gru::builder(2, 8).linear("fc", 1).model(&mut Rng::new(1))?;
/// let mut learner = Supervised::new(model, rows, Targets::Values(vec![vec![1.0], vec![-1.0]]))?;
/// assert_eq!(learner.steps(0), 3);
/// let before = learner.evaluate(&[0, 1], Threads::one())?.loss(); // `Fit` makes it smaller
/// assert!(before > 0.5);
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Supervised {
    model: Model,
    /// (steps, features) each, or an index a step.
    sequences: Vec<Vec<f32>>,
    /// Features of a step.
    width: usize,
    targets: Targets,
    workspace: Workspace,
}

/// A minibatch: the sequences, and what is made of their targets.
struct Minibatch {
    x: PackedSequence,
    target: BatchTarget,
}

enum BatchTarget {
    /// At the last steps.
    Class(Vec<i64>),
    /// (T, B), and how many count.
    Classes(Vec<i64>, usize),
    /// (1, B, outputs).
    Values(Seq),
    Series(PackedSequence),
}

impl Supervised {
    /// A model, and its examples: each sequence is (steps, features), row-major, or of a model that begins with an embedding an
    /// index a step, as a number.
    ///
    /// # Errors
    /// [`ErrorKind::Length`](crate::ErrorKind::Length) naming an example that is not whole steps, or whose target does not fit
    /// it; [`ErrorKind::Setting`](crate::ErrorKind::Setting) for one without a step, and where there are not as many targets as
    /// sequences.
    pub fn new(model: Model, sequences: Vec<Vec<f32>>, targets: Targets) -> Result<Self> {
        let width = if model.vocabulary().is_some() { 1 } else { model.inputs() };
        at_least_one("features", width)?;
        if targets.len() != sequences.len() {
            let expected = format!("as many as sequences, {}", sequences.len());
            return Err(Error::setting("targets", &expected, targets.len()));
        }
        for (n, sequence) in sequences.iter().enumerate() {
            let steps = sequence.len() / width;
            if steps == 0 || steps * width != sequence.len() {
                return Err(Error::length(&format!("example {n}"), &[steps.max(1), width], sequence.len()));
            }
            targets.check(n, steps, model.outputs())?;
        }
        Ok(Self { model, sequences, width, targets, workspace: Workspace::default() })
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The model alone.
    #[must_use]
    pub fn into_model(self) -> Model {
        self.model
    }

    fn minibatch(&self, examples: &[usize]) -> Result<Minibatch> {
        let rows = |of: &'_ [Vec<f32>]| -> Vec<Vec<f32>> { examples.iter().map(|&n| of[n].clone()).collect() };
        let x: Vec<&[f32]> = examples.iter().map(|&n| &self.sequences[n][..]).collect();
        let x = PackedSequence::from_rows(&x, self.width)?;
        let target = match &self.targets {
            Targets::Class(all) => BatchTarget::Class(examples.iter().map(|&n| all[n]).collect()),
            Targets::Classes(all) => {
                let steps = examples.iter().map(|&n| all[n].len()).max().unwrap_or(0);
                let mut labels = vec![IGNORE_INDEX; steps * examples.len()];
                for (row, &n) in examples.iter().enumerate() {
                    all[n].iter().enumerate().for_each(|(t, &label)| labels[t * examples.len() + row] = label);
                }
                let count = labels.iter().filter(|&&label| label != IGNORE_INDEX).count();
                BatchTarget::Classes(labels, count)
            }
            Targets::Values(all) => {
                BatchTarget::Values(Seq::from_slice(&rows(all).concat(), 1, examples.len(), self.model.outputs())?)
            }
            Targets::Series(all) => {
                let rows: Vec<&[f32]> = examples.iter().map(|&n| &all[n][..]).collect();
                BatchTarget::Series(PackedSequence::from_rows(&rows, self.model.outputs())?)
            }
        };
        Ok(Minibatch { x, target })
    }
}

impl BatchTarget {
    /// Calls `f` with the loss, and says what its mean is over, of `examples` examples.
    fn with<R>(&self, examples: usize, f: impl FnOnce(&mut dyn Loss) -> Result<R>) -> Result<(R, usize)> {
        Ok(match self {
            BatchTarget::Class(labels) => (f(&mut CrossEntropy::new(labels).at(Steps::Last))?, examples),
            BatchTarget::Classes(labels, count) => (f(&mut CrossEntropy::new(labels))?, *count),
            BatchTarget::Values(target) => (f(&mut MeanSquaredError::new(target).at(Steps::Last))?, examples),
            BatchTarget::Series(target) => (f(&mut MeanSquaredError::new(target))?, target.data().len()),
        })
    }
}

impl Learner for Supervised {
    fn models(&mut self) -> Vec<(&str, &mut Model)> {
        vec![("", &mut self.model)]
    }

    fn steps(&self, example: usize) -> usize {
        self.sequences[example].len() / self.width
    }

    fn learn(&mut self, examples: &[usize], lesson: &mut Lesson<'_>) -> Result<Score> {
        let Minibatch { x, target } = self.minibatch(examples)?;
        let threads = lesson.threads();
        let run = self.model.forward_with(&x, None, lesson.training(), &mut self.workspace, threads)?;
        let ((loss, mut gradients), count) = target.with(examples.len(), |loss| run.learn(loss))?;
        lesson.give(0, gradients.parameters_mut())?;
        Ok(Score::mean(loss, count))
    }

    fn evaluate(&mut self, examples: &[usize], threads: Threads) -> Result<Score> {
        let Minibatch { x, target } = self.minibatch(examples)?;
        let output = self.model.run_with(&x, None, &mut self.workspace, threads)?;
        let (loss, count) = target.with(examples.len(), |loss| output.loss(loss))?;
        Ok(Score::mean(loss, count))
    }
}
