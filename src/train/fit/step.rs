//! One minibatch: learned from, and every few of them a step of the optimisers.

use super::Fit;
use crate::error::{Error, Result};
use crate::optim::clip_together;
use crate::train::{Learner, Lesson, Score};

impl<L: Learner> Fit<L> {
    /// Learns from a minibatch, and steps where enough of them wait or the epoch ends; all in one parallel region.
    pub(super) fn learn(&mut self, examples: &[usize], ends: bool) -> Result<Score> {
        let flop = self.flop(examples);
        self.threads.inside_for(flop, || self.learn_inside(examples, ends))
    }

    /// Floating-point operations of a minibatch's forward pass.
    pub(super) fn flop(&self, examples: &[usize]) -> f64 {
        let parameters: usize = self.gradients.iter().map(|gradients| gradients.data().len()).sum();
        let steps: usize = examples.iter().map(|&example| self.learner.steps(example)).sum();
        // Each step multiplies and adds with each parameter once.
        2.0 * parameters as f64 * steps as f64
    }

    fn learn_inside(&mut self, examples: &[usize], ends: bool) -> Result<Score> {
        let Self { learner, gradients, at, threads, .. } = self;
        let adds = at.waiting > 0;
        let mut lesson = Lesson { training: &mut at.training, threads: *threads, gradients, adds, given: 0 };
        let score = learner.learn(examples, &mut lesson)?;
        let given = lesson.given;
        if !adds {
            // Models that said nothing learn nothing: what stands there is an earlier step's.
            let silent = gradients.iter_mut().enumerate().filter(|(model, _)| given & 1 << model == 0);
            silent.for_each(|(_, gradients)| gradients.data_mut().fill(0.0));
        }
        if !score.loss().is_finite() {
            let what = format!(
                "a finite number at step {} (epoch {}, minibatch {}); a smaller learning rate or clip_norm may help",
                at.step + 1,
                at.epoch + 1,
                at.batch + 1
            );
            return Err(Error::value("loss", &what, score.loss()));
        }
        at.waiting += 1;
        if at.waiting == self.config.accumulate as u64 || ends {
            self.step()?;
        }
        self.at.batch += 1;
        self.at.score += score;
        Ok(score)
    }

    /// One step of every optimiser.
    fn step(&mut self) -> Result<()> {
        let Self { gradients, at, config, .. } = self;
        if at.waiting > 1 {
            let share = 1.0 / at.waiting as f32;
            gradients.iter_mut().for_each(|all| all.data_mut().iter_mut().for_each(|d| *d *= share));
        }
        if let Some(max_norm) = config.clip_norm {
            clip_together(gradients, max_norm)?;
        }
        self.step_optimizers()?;
        (self.at.step, self.at.waiting) = (self.at.step + 1, 0);
        Ok(())
    }

    /// That of the optimisers alone.
    pub(super) fn step_optimizers(&mut self) -> Result<()> {
        let Self { learner, gradients, optimizers, scheduler, at, .. } = self;
        let lr = scheduler.rate(at.step);
        for ((optimizer, gradients), (_, model)) in optimizers.iter_mut().zip(&*gradients).zip(learner.models()) {
            optimizer.0.set_learning_rate(lr)?;
            optimizer.0.step(&mut model.params_mut(), gradients)?;
        }
        Ok(())
    }
}
