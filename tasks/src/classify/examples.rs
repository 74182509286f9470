//! The examples that a classifier learns from.

use elman::loss::{CrossEntropy, Steps};
use elman::tensor::PackedSequence;
use elman::train::{Learner, Lesson, Score, TrainingState};
use elman::{Model, Threads, Workspace};

use crate::split::SplitMix64;

/// A model, sequences and a class for each: [`Supervised`](elman::train::Supervised) with dropout of tokens, and smoothing of labels
/// in training (the loss of the validation part is without).
///
/// In training each token is replaced by `<unk>` with some probability, anew each time ('word dropout'): a network that
/// could tell each text of the training by a rare word of it has to look at the others, and learns what to make of a word
/// it has never seen. Which ones follows from the seed and the step alone, so that training goes on from a checkpoint as
/// if it had not stopped.
#[derive(Clone, Debug)]
pub struct Examples {
    pub(super) model: Model,
    /// (steps, width) each, or an index a step.
    pub(super) sequences: Vec<Vec<f32>>,
    pub(super) width: usize,
    pub(super) labels: Vec<i64>,
    /// The probability, and the number of `<unk>`.
    pub(super) dropout: Option<(f64, f32)>,
    pub(super) smoothing: f32,
    pub(super) workspace: Workspace,
}

impl Examples {
    /// The model.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The model alone. [`Model::save`] writes it with all that [`Classifier`](super::Classifier) needs.
    #[must_use]
    pub fn into_model(self) -> Model {
        self.model
    }

    fn pack(&self, examples: &[usize]) -> elman::Result<PackedSequence> {
        let rows: Vec<&[f32]> = examples.iter().map(|&n| &self.sequences[n][..]).collect();
        PackedSequence::from_rows(&rows, self.width)
    }

    /// The sequences with some of their tokens replaced.
    fn dropped(&self, examples: &[usize], training: &TrainingState) -> elman::Result<PackedSequence> {
        let Some((probability, unknown)) = self.dropout else { return self.pack(examples) };
        // A generator's seed and its place are one number: those of seed and step are mixed first, lest the masks of a step be
        // those of the step before moved by one token.
        let [seed, step] = [training.seed(), training.step()].map(|x| SplitMix64::new(x).next_u64());
        let mut rng = SplitMix64::new(seed ^ step.rotate_left(32));
        let below = (probability * 2.0_f64.powi(64)) as u64;
        let mut drop = |&token: &f32| if rng.next_u64() < below { unknown } else { token };
        let rows: Vec<Vec<f32>> = examples.iter().map(|&n| self.sequences[n].iter().map(&mut drop).collect()).collect();
        PackedSequence::from_rows(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>(), self.width)
    }

    fn labels(&self, examples: &[usize]) -> Vec<i64> {
        examples.iter().map(|&n| self.labels[n]).collect()
    }
}

impl Learner for Examples {
    fn models(&mut self) -> Vec<(&str, &mut Model)> {
        vec![("", &mut self.model)]
    }

    fn steps(&self, example: usize) -> usize {
        self.sequences[example].len() / self.width
    }

    fn learn(&mut self, examples: &[usize], lesson: &mut Lesson<'_>) -> elman::Result<Score> {
        let (x, labels) = (self.dropped(examples, lesson.training())?, self.labels(examples));
        let threads = lesson.threads();
        let run = self.model.forward_with(&x, None, lesson.training(), &mut self.workspace, threads)?;
        let mut loss = CrossEntropy::new(&labels).label_smoothing(self.smoothing).at(Steps::Last);
        let (loss, mut gradients) = run.learn(&mut loss)?;
        lesson.give(0, gradients.parameters_mut())?;
        Ok(Score::mean(loss, examples.len()))
    }

    fn evaluate(&mut self, examples: &[usize], threads: Threads) -> elman::Result<Score> {
        let (x, labels) = (self.pack(examples)?, self.labels(examples));
        let output = self.model.run_with(&x, None, &mut self.workspace, threads)?;
        let loss = output.loss(&mut CrossEntropy::new(&labels).at(Steps::Last))?;
        Ok(Score::mean(loss, examples.len()))
    }
}

#[cfg(test)]
mod tests {
    use elman::{LayerKind, ModelSpec, Readout, RecurrentSpec, Rng};

    use super::*;

    #[test]
    fn tokens_are_dropped_by_seed_and_step() {
        let spec = ModelSpec::new(1).layer("embedding", LayerKind::embedding(3, 2));
        let spec = spec.layer("gru", RecurrentSpec::gru([2])).layer("", Readout::Last);
        let examples = Examples {
            model: Model::init(spec, &mut Rng::new(1)).unwrap(),
            sequences: vec![vec![2.0; 3000], vec![1.0; 7000]],
            width: 1,
            labels: vec![0, 1],
            dropout: Some((0.25, 0.0)),
            smoothing: 0.0,
            workspace: Workspace::default(),
        };
        let dropped = |seed, step| examples.dropped(&[0, 1], &TrainingState::restored(seed, step)).unwrap();
        let first = dropped(1, 0);
        let share = first.data().iter().filter(|&&token| token == 0.0).count() as f64 / 10_000.0;
        assert!((share - 0.25).abs() < 0.02, "{share}");
        assert_eq!(first.data(), dropped(1, 0).data());
        // Steps and seeds that follow one another share no more than chance has it: of each five eighths are the same.
        for other in [dropped(1, 1), dropped(2, 0), dropped(0, 1)] {
            let same = first.data().iter().zip(other.data()).filter(|(a, b)| (**a == 0.0) == (**b == 0.0)).count();
            assert!((same as f64 / 10_000.0 - 0.625).abs() < 0.02, "{same}");
        }
        assert_eq!(examples.pack(&[0]).unwrap().data(), [2.0; 3000]);
    }
}
