//! What is trained: models, and what a minibatch of examples says about them.

use crate::error::{Error, Result};
use crate::model::{Model, TrainingState};
use crate::parallel::Threads;
use crate::params::Params;

/// What [`Fit`](super::Fit) trains: one model, or several that learn together, such as an encoder and its decoder. Examples are
/// known by their numbers. [`Supervised`](super::Supervised) is one, for examples in memory; an own one is three methods:
///
/// ```
/// use elman::loss::{MeanSquaredError, mse};
/// use elman::tensor::Seq;
/// use elman::train::{Fit, FitConfig, Learner, Lesson, Score};
/// use elman::{Model, Rng, Rnn, Threads, Workspace};
///
/// /// Adds up two numbers.
/// struct Sums(Model, Workspace);
///
/// /// Example n: n mod 8 and n div 8, after one another, (T, B, I) = (2, B, 1); and their sum.
/// fn batch(examples: &[usize]) -> elman::Result<[Seq; 2]> {
///     let of = |f: fn(usize) -> usize| examples.iter().map(move |&n| f(n) as f32 / 8.0);
///     let x: Vec<f32> = of(|n| n % 8).chain(of(|n| n / 8)).collect();
///     let target: Vec<f32> = of(|n| n % 8 + n / 8).collect();
///     Ok([Seq::from_slice(&x, 2, examples.len(), 1)?, Seq::from_slice(&target, 1, examples.len(), 1)?])
/// }
///
/// impl Learner for Sums {
///     fn models(&mut self) -> Vec<(&str, &mut Model)> {
///         vec![("", &mut self.0)]
///     }
///
///     fn learn(&mut self, examples: &[usize], lesson: &mut Lesson<'_>) -> elman::Result<Score> {
///         let [x, target] = batch(examples)?;
///         let threads = lesson.threads();
///         let run = self.0.forward_with(&x, None, lesson.training(), &mut self.1, threads)?;
///         let (loss, mut gradients) = run.learn(&mut MeanSquaredError::new(&target))?;
///         lesson.give(0, gradients.parameters_mut())?;
///         Ok(Score::mean(loss, examples.len()))
///     }
///
///     fn evaluate(&mut self, examples: &[usize], threads: Threads) -> elman::Result<Score> {
///         let [x, target] = batch(examples)?;
///         let output = self.0.run_with(&x, None, &mut self.1, threads)?;
///         let loss = mse(output.values(), target.view(), &mut Seq::default())?;
///         Ok(Score::mean(loss, examples.len()))
///     }
/// }
/// let model = Rnn::builder(1, 16).readout(elman::Readout::Last).linear("fc", 1).model(&mut Rng::new(1))?;
/// let config = FitConfig::default().epochs(60).batch(8).lr(0.01);
/// let mut fit = Fit::new(Sums(model, Workspace::default()), config, (0..64).collect(), Vec::new())?;
/// let report = fit.run(&mut |_| true)?;
/// assert!(report.epochs[59].train < report.epochs[0].train / 10.0);
/// # Ok::<(), elman::Error>(())
/// ```
pub trait Learner: Send {
    /// The models that learn, each under a name of its own; the name of a single one may be empty. Always the same, in the same
    /// order.
    fn models(&mut self) -> Vec<(&str, &mut Model)>;

    /// Steps of an example, by which examples are put together where minibatches are bucketed by length.
    fn steps(&self, example: usize) -> usize {
        let _ = example;
        1
    }

    /// Where minibatches go on from one another, as those of [`TruncatedBptt`](super::TruncatedBptt) do: the examples of each.
    /// They then come in the order that [`Fit`](super::Fit) was given them in, in every epoch, and
    /// [`FitConfig::batch`](super::FitConfig::batch) has to be as many. `None`, by default, where minibatches stand alone: their
    /// examples are shuffled.
    fn successive(&self) -> Option<usize> {
        None
    }

    /// What the last minibatch has left for the next one beside the models, if anything: checkpoints keep it. Weights have
    /// changed since it was computed, so it cannot be computed anew.
    fn carried(&self) -> Option<Carried> {
        None
    }

    /// Takes back what [`carried`](Self::carried) gave.
    ///
    /// # Errors
    /// What is another learner's. Nothing has changed then.
    fn carry(&mut self, carried: Option<Carried>) -> Result<()> {
        let got = "some of a learner that does";
        carried.map_or(Ok(()), |_| Err(Error::state("carried", "nothing, as this learner carries nothing", got)))
    }

    /// Learns from a minibatch: forward, loss, backward; [gives](Lesson::give) the gradients of each model's parameters.
    ///
    /// # Errors
    /// Whatever its parts give. Nothing is learned then.
    fn learn(&mut self, examples: &[usize], lesson: &mut Lesson<'_>) -> Result<Score>;

    /// The loss of some examples that are not learned from.
    ///
    /// # Errors
    /// Whatever its parts give.
    fn evaluate(&mut self, examples: &[usize], threads: Threads) -> Result<Score>;
}

/// What a minibatch leaves for the next one: see [`Learner::carried`].
///
/// ```
/// use elman::train::{Carried, Learner, Supervised, Targets};
///
/// let model = elman::Gru::builder(1, 4).model(&mut elman::Rng::new(1))?;
/// let mut learner = Supervised::new(model, vec![vec![0.5]], Targets::Class(vec![0]))?; // each minibatch stands alone
/// assert_eq!(learner.carried(), None);
/// assert!(learner.carry(Some(Carried::new(3).with("h", [0.0; 4]))).is_err());
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Carried {
    /// Which minibatch has left it, as the learner counts.
    pub place: u64,
    /// Numbers, under names of their own.
    pub values: Vec<(String, Vec<f32>)>,
}

impl Carried {
    /// What that minibatch has left, without any numbers yet.
    #[must_use]
    pub fn new(place: u64) -> Self {
        Self { place, values: Vec::new() }
    }

    /// The same with these numbers too.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, values: impl Into<Vec<f32>>) -> Self {
        self.values.push((name.into(), values.into()));
        self
    }
}

/// The loss of some examples: a sum, and what its mean is over.
///
/// ```
/// use elman::train::Score;
///
/// // Two minibatches, the second of half as many examples.
/// let mut score = Score::mean(0.5, 32);
/// score += Score::mean(2.0, 16);
/// assert_eq!(score.loss(), 1.0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Score {
    /// The losses of all that counts, added up.
    pub sum: f64,
    /// How many there are: examples, or steps that have a label.
    pub count: f64,
}

impl Score {
    /// That of a mean over so many.
    #[must_use]
    pub fn mean(loss: f32, count: usize) -> Self {
        Self { sum: f64::from(loss) * count as f64, count: count as f64 }
    }

    /// The mean; NaN over nothing.
    #[must_use]
    pub fn loss(&self) -> f64 {
        self.sum / self.count
    }
}

impl std::ops::AddAssign for Score {
    fn add_assign(&mut self, other: Self) {
        self.sum += other.sum;
        self.count += other.count;
    }
}

/// What a [`Learner`] learns with, and where its gradients go.
///
/// ```
/// use elman::train::{Lesson, Score};
///
/// // The skeleton of `Learner::learn`.
/// fn learn(model: &elman::Model, lesson: &mut Lesson<'_>) -> elman::Result<Score> {
///     let x = elman::tensor::Seq::zeros(5, 2, model.inputs())?;
///     let run = model.forward(&x, lesson.training())?;
///     let (loss, mut gradients) = run.learn(&mut |_: elman::tensor::SeqRef<'_>, _: elman::tensor::SeqMut<'_>| Ok(0.0))?;
///     lesson.give(0, gradients.parameters_mut())?;
///     Ok(Score::mean(loss, 2))
/// }
/// ```
#[derive(Debug)]
pub struct Lesson<'a> {
    pub(super) training: &'a mut TrainingState,
    pub(super) threads: Threads,
    /// Of each model.
    pub(super) gradients: &'a mut [Params],
    /// Whether they are added to those of minibatches before.
    pub(super) adds: bool,
    /// Models whose gradients have been given.
    pub(super) given: u64,
}

impl Lesson<'_> {
    /// What dropout masks are drawn from: one for each run forward.
    pub fn training(&mut self) -> &mut TrainingState {
        self.training
    }

    /// Threads that may be used.
    #[must_use]
    pub fn threads(&self) -> Threads {
        self.threads
    }

    /// Takes the gradients of the mean loss with respect to a model's parameters; `model` counts as
    /// [`Learner::models`] does. Each model once; one that was left out learns nothing from this minibatch.
    ///
    /// They are exchanged for memory of the same size, not copied: what stands in `gradients` afterwards is of no use but to
    /// be written over by the next backward pass.
    ///
    /// # Errors
    /// [`ErrorKind::State`](crate::ErrorKind::State) where there is no such model, its gradients were given already, or these are
    /// another model's.
    pub fn give(&mut self, model: usize, gradients: &mut Params) -> Result<()> {
        let Some(own) = self.gradients.get_mut(model).filter(|own| own.is_like(gradients)) else {
            let expected = format!("those of model {model}, one of the learner's {}", self.gradients.len());
            return Err(Error::state("gradients", &expected, "others"));
        };
        if self.given & 1 << model != 0 {
            return Err(Error::state(
                "gradients",
                "one time in a lesson",
                format_args!("those of model {model} again"),
            ));
        }
        self.given |= 1 << model;
        match self.adds {
            true => own.data_mut().iter_mut().zip(gradients.data()).for_each(|(sum, d)| *sum += d),
            false => std::mem::swap(own, gradients),
        }
        Ok(())
    }
}
