//! Truncated backpropagation through time: long sequences that are learned from stretch by stretch.

mod learn;

use std::ops::Range;

use super::Targets;
use crate::error::{Error, Result, at_least_one};
use crate::model::{Model, Workspace};
use crate::tensor::Seq;
use learn::Walk;

/// A model that learns from sequences too long for one backward pass: truncated backpropagation through time (Williams and
/// Peng 1990). All rows are walked side by side in stretches of so many steps. Each stretch begins in the state that the one
/// before it ended in, and no gradient passes between them; it is the step of
/// [`Trainer::step_carried`](super::Trainer::step_carried), as a [`Learner`](super::Learner).
///
/// A minibatch is one stretch of all rows, so [`FitConfig::batch`](super::FitConfig::batch) is the number of
/// [`rows`](Self::rows), and stretches come in the order of time and not at random. The state is forgotten where a stretch does
/// not follow the one before: at the beginning of every epoch, and of the validation part. Checkpoints have it, so that a run
/// goes on bit for bit in the middle of a sequence.
///
/// ```
/// use elman::train::{Fit, FitConfig, Targets, TruncatedBptt};
/// use elman::{Gru, Rng};
///
/// // The next value of a long series, learned in 4 rows of 500 steps, 20 steps at a time.
/// let wave = |t: usize| (t as f32 * 0.2).sin();
/// let (x, next) = ((0..2000).map(wave).collect(), (1..2001).map(wave).collect());
/// let model = Gru::builder(1, 8).linear("fc", 1).model(&mut Rng::new(1))?;
/// let learner = TruncatedBptt::series(model, x, Targets::Series(vec![next]), 4, 20)?;
/// assert_eq!((learner.rows(), learner.stretches()), (4, 25));
///
/// // The last 5 stretches say when it is good.
/// let (train, valid) = (learner.examples(0..20), learner.examples(20..25));
/// let config = FitConfig::default().epochs(20).batch(4).lr(0.01);
/// let mut fit = Fit::new(learner, config, train, valid)?;
/// let report = fit.run(&mut |_| true)?;
/// assert!(report.best.expect("there is a validation part").loss < 0.05);
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TruncatedBptt {
    model: Model,
    /// (T, B, features), or an index a step.
    x: Seq,
    target: StepTargets,
    /// Steps of a stretch; the last one has what is left.
    stretch: usize,
    workspace: Workspace,
    learned: Walk,
    evaluated: Walk,
}

/// What comes of every step of every row.
#[derive(Clone, Debug)]
enum StepTargets {
    /// (T, B).
    Classes(Vec<i64>),
    /// (T, B, outputs).
    Series(Seq),
}

impl TruncatedBptt {
    /// A model and sequences of as many steps each: row-major (steps, features), or of a model that begins with an embedding an
    /// index a step, as a number. `targets` are [`Targets::Classes`] or [`Targets::Series`], which have one for every step, and
    /// `stretch` is how many steps are learned from at a time: as far as a gradient reaches back.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for a model with a reverse direction: its states come from steps
    /// that are yet to be read. [`ErrorKind::Length`](crate::ErrorKind::Length) naming a sequence that has not as many steps as
    /// the first, or a target that does not fit; [`ErrorKind::Setting`](crate::ErrorKind::Setting) for targets of another kind,
    /// where there are not as many as sequences, no sequence, no step, or a stretch of none.
    pub fn new(model: Model, sequences: Vec<Vec<f32>>, targets: Targets, stretch: usize) -> Result<Self> {
        model.check_carries()?;
        at_least_one("stretch", stretch)?;
        at_least_one("sequences", sequences.len())?;
        let width = width(&model)?;
        if targets.len() != sequences.len() {
            let expected = format!("as many as sequences, {}", sequences.len());
            return Err(Error::setting("targets", &expected, targets.len()));
        }
        let steps = sequences[0].len() / width;
        at_least_one("steps", steps)?;
        for (n, sequence) in sequences.iter().enumerate() {
            if sequence.len() != steps * width {
                return Err(Error::length(&format!("sequence {n}"), &[steps, width], sequence.len()));
            }
            targets.check(n, steps, model.outputs())?;
        }
        let target = match &targets {
            Targets::Classes(all) => StepTargets::Classes(side_by_side(all, steps, 1)),
            Targets::Series(all) => {
                let outputs = model.outputs();
                let values = side_by_side(all, steps, outputs);
                StepTargets::Series(Seq::from_slice(&values, steps, all.len(), outputs)?)
            }
            other => {
                let got = if matches!(other, Targets::Class(_)) { "Class" } else { "Values" };
                return Err(Error::setting("targets", "Classes or Series, one for every step", got));
            }
        };
        let x = Seq::from_slice(&side_by_side(&sequences, steps, width), steps, sequences.len(), width)?;
        let (workspace, learned, evaluated) = Default::default();
        Ok(Self { model, x, target, stretch, workspace, learned, evaluated })
    }

    /// The same of one long sequence, with its one target, that is cut into `rows` of as many steps each, the first row with the
    /// first of them; up to `rows` - 1 steps at its end are left out. More rows are faster, and each then begins in a state of
    /// zeros where the series would have gone on.
    ///
    /// # Errors
    /// As [`new`](Self::new), and [`ErrorKind::Setting`](crate::ErrorKind::Setting) where there are no rows, more than steps, or
    /// not one target.
    pub fn series(model: Model, series: Vec<f32>, targets: Targets, rows: usize, stretch: usize) -> Result<Self> {
        at_least_one("rows", rows)?;
        let width = width(&model)?;
        if targets.len() != 1 {
            return Err(Error::setting("targets", "those of one series", targets.len()));
        }
        let steps = series.len() / width;
        if steps * width != series.len() {
            return Err(Error::length("series", &[steps, width], series.len()));
        }
        targets.check(0, steps, model.outputs())?;
        let of_row = steps / rows;
        if of_row == 0 {
            return Err(Error::setting("rows", &format!("at most the steps of the series, {steps}"), rows));
        }
        let targets = match targets {
            Targets::Classes(all) => Targets::Classes(cut(&all[0], of_row, rows)),
            Targets::Series(all) => Targets::Series(cut(&all[0], of_row * model.outputs(), rows)),
            // Refused by what checks the rest; it has to have as many.
            Targets::Class(all) => Targets::Class(vec![all[0]; rows]),
            Targets::Values(all) => Targets::Values(vec![all[0].clone(); rows]),
        };
        Self::new(model, cut(&series, of_row * width, rows), targets, stretch)
    }

    /// Sequences, or rows that the series was cut into: examples of a minibatch.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.x.shape()[1]
    }

    /// Stretches of each row: minibatches of an epoch over all of them. The last one has the steps that are left.
    #[must_use]
    pub fn stretches(&self) -> usize {
        self.x.shape()[0].div_ceil(self.stretch)
    }

    /// The numbers of the examples of those stretches, as [`Fit::new`](super::Fit::new) takes them: one of each row, stretch by
    /// stretch; of those that there are.
    #[must_use]
    pub fn examples(&self, stretches: Range<usize>) -> Vec<usize> {
        let all = self.stretches();
        let (first, end) = (stretches.start.min(all), stretches.end.min(all));
        (first * self.rows()..end * self.rows()).collect()
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

    /// The steps of a stretch; none of one that is not there.
    fn span(&self, stretch: usize) -> Range<usize> {
        let steps = self.x.shape()[0];
        let first = stretch.saturating_mul(self.stretch).min(steps);
        first..first.saturating_add(self.stretch).min(steps)
    }

    /// The stretch that a minibatch is.
    fn stretch_of(&self, examples: &[usize]) -> Result<usize> {
        let (rows, first) = (self.rows(), examples.first().copied().unwrap_or(0));
        let stretch = first / rows;
        if stretch < self.stretches() && examples.iter().copied().eq(stretch * rows..(stretch + 1) * rows) {
            return Ok(stretch);
        }
        let expected = format!("the {rows} rows of one of {} stretches, in order", self.stretches());
        Err(Error::setting("minibatch", &expected, format_args!("{} examples from {first} on", examples.len())))
    }
}

/// Features of a step, as it is given.
fn width(model: &Model) -> Result<usize> {
    let width = if model.vocabulary().is_some() { 1 } else { model.inputs() };
    at_least_one("features", width)?;
    Ok(width)
}

/// The first `rows` pieces of `len` each.
fn cut<T: Clone>(series: &[T], len: usize, rows: usize) -> Vec<Vec<T>> {
    series.chunks_exact(len.max(1)).take(rows).map(<[T]>::to_vec).collect()
}

/// (B, T, width) as (T, B, width).
fn side_by_side<T: Copy>(rows: &[Vec<T>], steps: usize, width: usize) -> Vec<T> {
    let of_step = |t: usize| rows.iter().flat_map(move |row| row[t * width..][..width].iter().copied());
    (0..steps).flat_map(of_step).collect()
}
