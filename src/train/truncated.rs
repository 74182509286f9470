//! Truncated backpropagation through time: long sequences that are learned from stretch by stretch.

use std::ops::Range;

use super::{Carried, Learner, Lesson, Score, Targets};
use crate::error::{Error, Result, at_least_one};
use crate::loss::{CrossEntropy, IGNORE_INDEX, Loss, MeanSquaredError};
use crate::model::{Model, Workspace};
use crate::network::State;
use crate::parallel::Threads;
use crate::tensor::{Seq, SeqRef};

/// A model that learns from sequences too long for one backward pass: truncated backpropagation through time (Williams and
/// Peng 1990). All rows are walked side by side in stretches of so many steps. Each stretch begins in the state that the one
/// before it ended in, and no gradient passes between them; it is the step of
/// [`Trainer::step_carried`](super::Trainer::step_carried), as a [`Learner`].
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

/// How far a walk over the stretches has come.
#[derive(Clone, Debug, Default)]
struct Walk {
    /// The stretch that the state is after; none before the first.
    after: Option<usize>,
    state: State,
    /// Room for the state that the next stretch ends in.
    next: State,
}

impl Walk {
    /// The state that a stretch begins in, zeros or the model's own where it is not given, and where the one goes that it ends
    /// in.
    fn around(&mut self, stretch: usize) -> (Option<&State>, &mut State) {
        let follows = self.after.and_then(|after| after.checked_add(1)) == Some(stretch);
        (follows.then_some(&self.state), &mut self.next)
    }

    fn came_to(&mut self, stretch: usize) {
        std::mem::swap(&mut self.state, &mut self.next);
        self.after = Some(stretch);
    }
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

impl StepTargets {
    /// Calls `f` with the loss of those steps of so many rows, and says what its mean is over.
    fn with<R>(
        &self,
        steps: Range<usize>,
        rows: usize,
        f: impl FnOnce(&mut dyn Loss) -> Result<R>,
    ) -> Result<(R, usize)> {
        Ok(match self {
            StepTargets::Classes(labels) => {
                let labels = &labels[steps.start * rows..steps.end * rows];
                let count = labels.iter().filter(|&&label| label != IGNORE_INDEX).count();
                (f(&mut CrossEntropy::new(labels))?, count)
            }
            StepTargets::Series(target) => {
                let target: SeqRef<'_> = target.view().narrow_steps(steps.start, steps.len());
                (f(&mut MeanSquaredError::new(target))?, target.shape().iter().product())
            }
        })
    }
}

impl Learner for TruncatedBptt {
    fn models(&mut self) -> Vec<(&str, &mut Model)> {
        vec![("", &mut self.model)]
    }

    fn steps(&self, example: usize) -> usize {
        self.span(example / self.rows()).len()
    }

    fn successive(&self) -> Option<usize> {
        Some(self.rows())
    }

    fn carried(&self) -> Option<Carried> {
        let Walk { after, state, .. } = &self.learned;
        let (h, c) = (state.h(), state.c());
        let carried = Carried::new((*after)? as u64).with("h", h);
        Some(if c.is_empty() { carried } else { carried.with("c", c) })
    }

    fn carry(&mut self, carried: Option<Carried>) -> Result<()> {
        let Some(Carried { place, values }) = carried else {
            self.learned.after = None;
            return Ok(());
        };
        let mut state = self.model.zero_state(self.rows())?;
        let [mut h, mut c]: [&[f32]; 2] = [&[]; 2];
        for (name, values) in &values {
            match &name[..] {
                "h" => h = values,
                "c" => c = values,
                other => return Err(Error::state("carried", "h and c", format_args!("'{other}'"))),
            }
        }
        let stretch = usize::try_from(place).ok().filter(|&stretch| stretch < self.stretches());
        let Some(stretch) = stretch else {
            let expected = format!("a stretch below {}", self.stretches());
            return Err(Error::state("carried", &expected, place));
        };
        for (name, got, expected) in [("h", h, state.h().len()), ("c", c, state.c().len())] {
            if got.len() != expected {
                let expected = format!("{expected} elements of {} rows", self.rows());
                return Err(Error::state(&format!("carried {name}"), &expected, got.len()));
            }
        }
        state.h_mut().copy_from_slice(h);
        state.c_mut().copy_from_slice(c);
        self.learned = Walk { after: Some(stretch), state, next: State::default() };
        Ok(())
    }

    fn learn(&mut self, examples: &[usize], lesson: &mut Lesson<'_>) -> Result<Score> {
        let (stretch, rows) = (self.stretch_of(examples)?, self.rows());
        let steps = self.span(stretch);
        // The weights change: what was evaluated before goes on no more.
        self.evaluated.after = None;
        let Self { model, x, target, workspace, learned, .. } = self;
        let (first, last) = learned.around(stretch);
        let (x, threads) = (x.view().narrow_steps(steps.start, steps.len()), lesson.threads());
        let run = model.forward_with(x, first, lesson.training(), workspace, threads)?;
        last.copy_from(run.state())?;
        let ((loss, gradients), count) = target.with(steps, rows, |loss| run.learn(loss))?;
        lesson.give(0, gradients.parameters())?;
        learned.came_to(stretch);
        Ok(Score::mean(loss, count))
    }

    fn evaluate(&mut self, examples: &[usize], threads: Threads) -> Result<Score> {
        let (stretch, rows) = (self.stretch_of(examples)?, self.rows());
        let steps = self.span(stretch);
        let Self { model, x, target, workspace, evaluated, .. } = self;
        let (first, last) = evaluated.around(stretch);
        let x = x.view().narrow_steps(steps.start, steps.len());
        let output = model.run_with(x, first, workspace, threads)?;
        last.copy_from(output.state())?;
        let (loss, count) = target.with(steps, rows, |loss| output.loss(loss))?;
        evaluated.came_to(stretch);
        Ok(Score::mean(loss, count))
    }
}
