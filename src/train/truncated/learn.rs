//! One stretch after the other, each from the state of the one before.

use std::ops::Range;

use super::{StepTargets, TruncatedBptt};
use crate::error::{Error, Result};
use crate::loss::{CrossEntropy, IGNORE_INDEX, Loss, MeanSquaredError};
use crate::model::Model;
use crate::network::State;
use crate::parallel::Threads;
use crate::tensor::SeqRef;
use crate::train::{Carried, Learner, Lesson, Score};

/// How far a walk over the stretches has come.
#[derive(Clone, Debug, Default)]
pub(super) struct Walk {
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
        let ((loss, mut gradients), count) = target.with(steps, rows, |loss| run.learn(loss))?;
        lesson.give(0, gradients.parameters_mut())?;
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
