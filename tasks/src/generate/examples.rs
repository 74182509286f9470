//! The examples that a model of language learns from.

use elman::loss::{CrossEntropy, IGNORE_INDEX};
use elman::tensor::PackedSequence;
use elman::train::{Learner, Lesson, Score};
use elman::{Model, Threads, Workspace};

use super::tokens::Example;

/// A model, and texts with their labels. What it reads is made minibatch by minibatch: of all texts at once, ones and
/// zeros would take some hundred times the memory of the file.
#[derive(Clone, Debug)]
pub struct Examples {
    pub(super) model: Model,
    pub(super) examples: Vec<Example>,
    pub(super) workspace: Workspace,
}

impl Examples {
    /// The model.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The model alone. [`Model::save`] writes it with all that [`Generator`](super::Generator) needs.
    #[must_use]
    pub fn into_model(self) -> Model {
        self.model
    }

    /// What is read; what is to be told, (T, B); and how many characters these are.
    fn minibatch(&self, examples: &[usize]) -> elman::Result<(PackedSequence, Vec<i64>, usize)> {
        let of = || examples.iter().map(|&n| &self.examples[n]);
        let inputs = self.model.inputs();
        let rows: Vec<Vec<f32>> = of().map(|example| example.read(inputs)).collect();
        let x = PackedSequence::from_rows(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>(), inputs)?;
        let steps = of().map(Example::steps).max().unwrap_or(0);
        let mut labels = vec![IGNORE_INDEX; steps * examples.len()];
        for (row, example) in of().enumerate() {
            example.told().enumerate().for_each(|(t, next)| labels[t * examples.len() + row] = next as i64);
        }
        Ok((x, labels, of().map(Example::steps).sum()))
    }
}

impl Learner for Examples {
    fn models(&mut self) -> Vec<(&str, &mut Model)> {
        vec![("", &mut self.model)]
    }

    fn steps(&self, example: usize) -> usize {
        self.examples[example].steps()
    }

    fn learn(&mut self, examples: &[usize], lesson: &mut Lesson<'_>) -> elman::Result<Score> {
        let (x, labels, count) = self.minibatch(examples)?;
        let threads = lesson.threads();
        let run = self.model.forward_with(&x, None, lesson.training(), &mut self.workspace, threads)?;
        let (loss, mut gradients) = run.learn(&mut CrossEntropy::new(&labels))?;
        lesson.give(0, gradients.parameters_mut())?;
        Ok(Score::mean(loss, count))
    }

    fn evaluate(&mut self, examples: &[usize], threads: Threads) -> elman::Result<Score> {
        let (x, labels, count) = self.minibatch(examples)?;
        let output = self.model.run_with(&x, None, &mut self.workspace, threads)?;
        Ok(Score::mean(output.loss(&mut CrossEntropy::new(&labels))?, count))
    }
}
