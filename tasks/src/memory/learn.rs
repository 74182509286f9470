//! A step of training over many steps of time, in stretches.
//!
//! A gradient that vanishes becomes so small, some hundred steps back, that its numbers are denormal, with which a CPU calculates
//! some ten times slower. So the backward pass goes stretch by stretch: what has become too small to count is set to zero between
//! two of them, and where nothing is left nothing is computed. In both problems the loss looks at the last steps alone.

use elman::optim::{Adam, Optimizer, clip_grad_norm};
use elman::train::TrainingState;
use elman::{Model, Params, State, Threads, Upstream, Workspace};

use super::examples::Drawn;

/// Steps of a stretch: long enough for the kernels, short enough that a gradient of [`LEAST`] is hardly a denormal number at its
/// end (a tanh RNN's shrinks to 10⁻¹⁰ over 50 steps, a GRU's and an LSTM's less).
const STRETCH: usize = 50;
/// What counts as zero: in a sum with the 10⁻⁶ at which a gradient is said to have vanished, nothing remains of it.
const LEAST: f32 = 1e-30;

/// What a network learns with.
pub(super) struct Lessons {
    pub(super) adam: Adam,
    pub(super) clip_norm: f32,
    pub(super) training: TrainingState,
    pub(super) threads: Threads,
    /// Of each stretch.
    pub(super) workspaces: Vec<Workspace>,
}

impl Lessons {
    /// Forward, backward, and a step of the optimiser; the loss, with the weights of before.
    pub(super) fn step(&mut self, model: &mut Model, drawn: &Drawn) -> elman::Result<f32> {
        let (loss, mut gradients) = self.gradients(model, drawn, STRETCH)?;
        if loss.is_finite() {
            clip_grad_norm(&mut gradients, self.clip_norm)?;
            self.adam.step(&mut model.params_mut(), &gradients)?;
        }
        Ok(loss)
    }

    /// The loss and its gradients, in stretches of so many steps.
    pub(super) fn gradients(&mut self, model: &Model, drawn: &Drawn, stretch: usize) -> elman::Result<(f32, Params)> {
        let [steps, ..] = drawn.x.shape();
        // The last one whole, as the loss looks at its end.
        let count = steps.div_ceil(stretch);
        let begins: Vec<usize> = (0..count).map(|n| (steps + n * stretch).saturating_sub(count * stretch)).collect();
        self.workspaces.resize_with(self.workspaces.len().max(count), Workspace::default);
        let Self { training, threads, workspaces, .. } = self;
        let (loss, sum, _) = Stretches { model, drawn, threads: *threads }.go(&begins, None, training, workspaces)?;
        Ok((loss, sum))
    }
}

/// The loss, the gradients of the parameters over all stretches from one on, and that of the state which it begins in, where
/// anything is left of it.
type Learned = (f32, Params, Option<State>);

struct Stretches<'a> {
    model: &'a Model,
    drawn: &'a Drawn,
    threads: Threads,
}

impl Stretches<'_> {
    /// Forward from the first of `begins` on, and back again.
    fn go(
        &self,
        begins: &[usize],
        state: Option<&State>,
        training: &mut TrainingState,
        workspaces: &mut [Workspace],
    ) -> elman::Result<Learned> {
        let Self { model, drawn, threads } = *self;
        let [steps, batch, _] = drawn.x.shape();
        let (begin, end) = (begins[0], begins.get(1).copied().unwrap_or(steps));
        let (workspace, later) = workspaces.split_first_mut().expect("one for each stretch");
        let x = drawn.x.view().narrow_steps(begin, end - begin);
        let run = model.forward_with(x, state, training, workspace, threads)?;
        if end == steps {
            let mut truth = drawn.truth.of_last((end - begin) * batch);
            let (loss, gradients) = run.learn_with(&mut truth, Upstream::default().want_state())?;
            let d_state = counting(gradients.state().expect("it was asked for"));
            return Ok((loss, gradients.parameters().clone(), d_state));
        }
        let next = run.state().clone();
        let (loss, mut sum, d_next) = self.go(&begins[1..], Some(&next), training, later)?;
        let Some(d_next) = d_next else { return Ok((loss, sum, None)) };
        let gradients = run.backward(Upstream::last_state(&d_next).want_state())?;
        sum.data_mut().iter_mut().zip(gradients.parameters().data()).for_each(|(sum, more)| *sum += more);
        let d_state = counting(gradients.state().expect("it was asked for"));
        Ok((loss, sum, d_state))
    }
}

/// A gradient without what is too small to count; none where nothing is left.
fn counting(d_state: &State) -> Option<State> {
    let mut kept = d_state.clone();
    let flush = |part: &mut [f32]| {
        part.iter_mut().filter(|d| d.abs() < LEAST).for_each(|d| *d = 0.0);
        part.iter().any(|d| *d != 0.0)
    };
    // Both, whatever the first has left.
    (flush(kept.h_mut()) | flush(kept.c_mut())).then_some(kept)
}

#[cfg(test)]
mod tests {
    use elman::Rng;
    use elman::optim::AdamConfig;

    use super::super::{Kind, Memory, Problem};
    use super::*;

    #[test]
    fn stretches_have_the_gradients_of_the_whole() {
        for kind in Kind::ALL {
            for (problem, steps) in [(Problem::Adding, 23), (Problem::Copy, 17)] {
                let model = Memory { hidden: 9, ..Memory::new(problem, steps, kind) }.model().unwrap();
                let drawn = problem.draw(steps, 4, &mut Rng::new(2)).unwrap();
                let adam = Adam::new(model.params(), AdamConfig::default()).unwrap();
                let (training, threads) = (TrainingState::new(1), Threads::one());
                let mut lessons = Lessons { adam, clip_norm: 1.0, training, threads, workspaces: Vec::new() };
                let (whole, expected) = lessons.gradients(&model, &drawn, 1000).unwrap();
                let (loss, got) = lessons.gradients(&model, &drawn, 5).unwrap();
                assert!((loss - whole).abs() < 1e-6, "{kind:?}: {loss} instead of {whole}");
                let most = expected.data().iter().fold(0.0_f32, |most, d| most.max(d.abs()));
                let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-5 * most;
                assert!(most > 0.0 && got.data().iter().zip(expected.data()).all(near), "{kind:?}, {problem:?}");
            }
        }
    }

    #[test]
    fn what_is_too_small_counts_as_nothing() {
        let mut state = Memory { hidden: 2, ..Memory::default() }.model().unwrap().zero_state(1).unwrap();
        state.h_mut().copy_from_slice(&[1e-31, -1e-40]);
        assert!(counting(&state).is_none());
        state.c_mut().copy_from_slice(&[-1e-29, 1e-33]);
        let kept = counting(&state).unwrap();
        assert_eq!((kept.h(), kept.c()), (&[0.0, 0.0][..], &[-1e-29, 0.0][..]));
        // A number that is none is not small.
        state.h_mut()[0] = f32::NAN;
        assert!(counting(&state).unwrap().h()[0].is_nan());
    }
}
