//! A model in training: a run forward is a value that holds on to what it ran over, and the backward pass (`backward.rs`) is
//! a method of it.

mod backward;
mod gradients;

pub use gradients::{Gradients, Upstream};

use super::TrainingState;
use super::chain::{Reads, Training};
use super::workspace::{Last, Memory};
use super::{Model, Workspace};
use crate::error::{Error, Result};
use crate::loss::{Loss, Prediction};
use crate::network::{Flow, Form, Input, Masks, State, States};
use crate::parallel::Threads;
use crate::tensor::{Lines, PackedRef, SeqMut, SeqRef};
use backward::OutputGradient;

/// A run forward in training. It borrows the model, the input and the state that it ran over, so none of them can be others
/// on the backward pass, and its memory, so that no other run overwrites what it kept.
///
/// ```
/// use elman::tensor::Seq;
/// use elman::train::TrainingState;
/// use elman::{Gru, Rng, Upstream};
///
/// let model = Gru::builder(3, 8).linear("fc", 2).model(&mut Rng::new(1))?;
/// let mut training = TrainingState::new(1);
/// let x = Seq::zeros(5, 4, 3)?;
/// let run = model.forward(&x, &mut training)?;
/// let d_output = Seq::zeros(5, 4, 2)?; // what a loss gives for run.output()
/// let gradients = run.backward(Upstream::output(&d_output).want_input())?;
/// assert_eq!(gradients.parameters().named("fc.weight")?.0, [2, 8]);
/// assert_eq!(gradients.input().expect("it was asked for").shape(), [5, 4, 3]);
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a run is of use by its output and its backward pass"]
pub struct Run<'a, 'w> {
    model: &'a Model,
    input: Input<'a>,
    memory: Memory<'w>,
    state: Option<&'a State>,
    threads: Threads,
}

impl Model {
    /// Runs the model forward in training, from states of zeros or the model's own: keeps what the backward pass needs, and
    /// applies dropout. On the calling thread and in memory that it allocates; [`forward_with`](Self::forward_with) takes
    /// a state, memory that is there, and threads.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn forward<'a>(
        &'a self,
        input: impl Into<Input<'a>>,
        training: &mut TrainingState,
    ) -> Result<Run<'a, 'static>> {
        let mut memory = Memory::Own(Box::default());
        let input = input.into();
        self.train_forward(&input, None, training, memory.get_mut(), Threads::one())?;
        Ok(Run { model: self, input, memory, state: None, threads: Threads::one() })
    }

    /// Runs the model forward in training from `state`, from zeros or the model's own where it is not given. After the
    /// first step with a shape, further ones in the same workspace allocate nothing.
    ///
    /// # Errors
    /// As [`run_with`](Self::run_with).
    pub fn forward_with<'a, 'w>(
        &'a self,
        input: impl Into<Input<'a>>,
        state: Option<&'a State>,
        training: &mut TrainingState,
        workspace: &'w mut Workspace,
        threads: Threads,
    ) -> Result<Run<'a, 'w>> {
        let input = input.into();
        let flop = self.largest_flop(&input);
        threads.inside_for(flop, || self.train_forward(&input, state, training, workspace, threads))?;
        Ok(Run { model: self, input, memory: Memory::Lent(workspace), state, threads })
    }

    fn train_forward(
        &self,
        input: &Input<'_>,
        state: Option<&State>,
        training: &mut TrainingState,
        workspace: &mut Workspace,
        threads: Threads,
    ) -> Result<()> {
        self.enter(input, state, workspace)?;
        let Workspace { batch, x, resets, stages, room, own, sorted, last_sorted, state: last, turned, .. } = workspace;
        let x = batch.time_major(input, x)?;
        self.chain.check_indices(x)?;
        let resets = input.resets.map(|mask| batch.resets(mask, resets)).transpose()?;
        let first = self.first_state(batch, state, own, sorted)?;
        let flow = Flow { lines: batch.lines(), order: batch.order(), resets, threads };
        let mut states = States { first, last: batch.written(last, last_sorted), base: 0 };
        let reads = Reads { params: &self.params, kernels: self.kernels };
        let masks = Masks { seed: training.seed(), step: training.step(), base: 0 };
        self.chain.train(flow, x, reads, &mut states, masks, Training { memory: stages, room })?;
        batch.restore(last, last_sorted);
        let one_step = self.chain.leaves_one_step();
        if !one_step {
            let y = self.chain.output(stages, batch.lines()).expect("a model has layers");
            batch.give_back(y.flat().expect("a whole output"), self.outputs, turned)?;
        }
        training.advance();
        workspace.last = Last { place: None, width: self.outputs, one_step, masks };
        Ok(())
    }
}

impl<'w> Run<'_, 'w> {
    /// The output of the last layer, as [`Output::values`](super::Output::values).
    #[must_use]
    pub fn output(&self) -> SeqRef<'_> {
        let workspace = self.memory.get();
        workspace.values(self.y(workspace))
    }

    /// The output packed in the order of the input; `None` where the input was not packed, or one step is left of each row.
    #[must_use]
    pub fn packed(&self) -> Option<PackedRef<'_>> {
        let workspace = self.memory.get();
        let Last { width, one_step, .. } = workspace.last;
        (workspace.batch.form == Form::Packed && !one_step).then(|| workspace.batch.packed(self.y(workspace), width))
    }

    /// The states after each row's last step, h_n and c_n of every recurrent layer, in the order of the batch.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.memory.get().state
    }

    fn y<'r>(&'r self, workspace: &'r Workspace) -> &'r [f32] {
        let lines = match workspace.last.one_step {
            true => Lines::dense(1, workspace.batch.batch),
            false => workspace.batch.lines(),
        };
        let y = self.model.chain.output(&workspace.stages, lines).expect("a model has layers");
        y.flat().expect("a whole output")
    }

    /// The loss, and from it back to the gradients of the parameters. A loss of one's own is a closure that reads the
    /// output, writes its gradient, both as [`output`](Self::output) is, and gives a number.
    ///
    /// ```
    /// use elman::tensor::{Seq, SeqMut, SeqRef};
    /// use elman::train::TrainingState;
    /// use elman::{Rng, Rnn};
    ///
    /// let model = Rnn::builder(1, 4).linear("fc", 1).model(&mut Rng::new(1))?;
    /// let x = Seq::zeros(5, 2, 1)?;
    /// let run = model.forward(&x, &mut TrainingState::new(1))?;
    /// // Half the sum of squares: its gradient is the output.
    /// let (loss, gradients) = run.learn(&mut |output: SeqRef<'_>, mut d_output: SeqMut<'_>| {
    ///     let mut sum = 0.0;
    ///     for t in 0..output.shape()[0] {
    ///         for row in 0..output.shape()[1] {
    ///             let y = output.step(t).row(row)[0];
    ///             sum += 0.5 * y * y;
    ///             d_output.step(t).row(row)[0] = y;
    ///         }
    ///     }
    ///     Ok(sum)
    /// })?;
    /// assert!(loss > 0.0 && gradients.parameters().data().iter().any(|&d| d != 0.0));
    /// # Ok::<(), elman::Error>(())
    /// ```
    ///
    /// # Errors
    /// What `loss` gives, and [`backward`](Self::backward)'s.
    pub fn learn(self, loss: &mut (impl Loss + ?Sized)) -> Result<(f32, Gradients<'w>)> {
        self.learn_with(loss, Upstream::default())
    }

    /// The same with what else reaches the run from above, and what else is wanted: `upstream` has no gradient of the
    /// output, which is the loss's.
    ///
    /// # Errors
    /// As [`learn`](Self::learn), and [`ErrorKind::State`](crate::ErrorKind::State) for a gradient of the output.
    pub fn learn_with(
        mut self,
        loss: &mut (impl Loss + ?Sized),
        upstream: Upstream<'_>,
    ) -> Result<(f32, Gradients<'w>)> {
        if upstream.d_output.is_some() {
            return Err(Error::state("d_output", "none, as the loss gives it", "one"));
        }
        let mut d_output = std::mem::take(&mut self.memory.get_mut().back.d_output);
        let y = self.output();
        let (lines, width) = (y.lines(), y.shape()[2]);
        d_output.try_resize("d_output", lines.end() * width)?;
        let prediction = match self.packed() {
            Some(packed) => Prediction::from(packed),
            None if self.model.spec.batch_first => Prediction::batch_first(y),
            None => Prediction::from(y),
        };
        let value = loss.evaluate(prediction, SeqMut::over(&mut d_output, lines, width));
        let result =
            value.and_then(|value| self.go_back(Some(OutputGradient::Rows(&d_output)), upstream).map(|()| value));
        self.memory.get_mut().back.d_output = d_output;
        Ok((result?, self.gradients(upstream)))
    }

    /// The backward pass: the gradients of the parameters, and what else `upstream` wants.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) naming `d_output`, `d_h_n` or `d_c_n`,
    /// [`ErrorKind::State`](crate::ErrorKind::State) for a `d_output` in another form than the output,
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) for one of indices, and for one in another form than the one step that
    /// a read-out has left.
    pub fn backward(mut self, upstream: Upstream<'_>) -> Result<Gradients<'w>> {
        self.go_back(upstream.d_output.map(OutputGradient::Given), upstream)?;
        Ok(self.gradients(upstream))
    }

    fn gradients(self, upstream: Upstream<'_>) -> Gradients<'w> {
        let Upstream { input, state, .. } = upstream;
        Gradients { memory: self.memory, width: self.model.spec.inputs, input, state }
    }
}
