//! The pairs that a model learns from.

use elman::train::{Learner, Lesson, Score};
use elman::{Model, Params, Threads};

use super::network::{Memory, Networks, PARTS};
use super::step::Minibatch;

/// A model, sources and a target for each. The decoder reads at each step the right token of the step before, and not the
/// one that it would have told: teacher forcing. The loss is the mean over all tokens of the targets, ends included.
#[derive(Debug)]
pub struct Examples {
    pub(super) model: Model,
    pub(super) networks: Networks,
    /// The numbers of tokens.
    pub(super) sources: Vec<Vec<f32>>,
    /// The same, between those of begin and end.
    pub(super) targets: Vec<Vec<f32>>,
    pub(super) memory: Memory,
}

impl Examples {
    /// The model. [`Model::save`] writes it with all that [`Transducer`](super::Transducer) needs.
    #[must_use]
    pub fn into_model(mut self) -> Model {
        self.networks.put_into(&mut self.model);
        self.model
    }

    fn minibatch<'a>(&'a self, examples: &[usize]) -> elman::Result<Minibatch> {
        let of = |rows: &'a [Vec<f32>]| examples.iter().map(|&n| &rows[n][..]).collect::<Vec<_>>();
        Minibatch::new(&of(&self.sources), &of(&self.targets))
    }
}

impl Learner for Examples {
    fn models(&mut self) -> Vec<(&str, &mut Model)> {
        let Networks { encoder, decoder, head, .. } = &mut self.networks;
        PARTS.into_iter().zip([encoder, decoder, head]).collect()
    }

    fn steps(&self, example: usize) -> usize {
        self.sources[example].len() + self.targets[example].len() - 1
    }

    fn learn(&mut self, examples: &[usize], lesson: &mut Lesson<'_>) -> elman::Result<Score> {
        let batch = self.minibatch(examples)?;
        let (mut training, threads) = (lesson.training().clone(), lesson.threads());
        let mut give = |part: usize, d: &mut Params| lesson.give(part, d);
        let loss = self.networks.learn(&batch, &mut self.memory, &mut training, threads, &mut give)?;
        *lesson.training() = training;
        Ok(Score::mean(loss, batch.count))
    }

    fn evaluate(&mut self, examples: &[usize], threads: Threads) -> elman::Result<Score> {
        let batch = self.minibatch(examples)?;
        let loss = self.networks.loss(&batch, &mut self.memory, threads)?;
        Ok(Score::mean(loss, batch.count))
    }
}
