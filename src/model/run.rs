//! A model in inference.

use super::chain::{Inference, Reads};
use super::workspace::{Last, Memory};
use super::{Model, Workspace};
use crate::error::{Error, Result};
use crate::loss::{Loss, Prediction};
use crate::network::{At, Batch, Flow, Form, Input, Masks, State, States};
use crate::parallel::Threads;
use crate::tensor::{Buffer, Lines, PackedRef, SeqMut, SeqRef};

/// What a run gives: the output of the last layer, and the last states of the recurrent ones.
///
/// ```
/// use elman::tensor::Seq;
/// use elman::{Lstm, Readout, Rng};
///
/// let model = Lstm::builder(3, 8).readout(Readout::Last).linear("fc", 2).model(&mut Rng::new(1))?;
/// let x = Seq::zeros(5, 4, 3)?; // 5 steps of 4 rows of 3 features: (T, B, I)
/// let output = model.run(&x)?;
/// assert_eq!(output.values().shape(), [1, 4, 2]); // the read-out leaves one step
/// assert_eq!(output.values().step(0).row(3).len(), 2);
/// assert_eq!(output.state().h_shape(), [1, 4, 8]); // (D·layers, B, H)
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Debug)]
pub struct Output<'w> {
    pub(super) memory: Memory<'w>,
    /// Whether the model is.
    batch_first: bool,
}

impl Model {
    /// Runs the model over a batch, from states of zeros or the model's own, on the calling thread and in memory that it
    /// allocates. [`run_with`](Self::run_with) takes states, memory that is there, and threads.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) or [`ErrorKind::Length`](crate::ErrorKind::Length) naming `input` or
    /// `resets`, [`ErrorKind::Value`](crate::ErrorKind::Value) for an index outside the vocabulary and for indices where the
    /// first layer is no embedding, [`ErrorKind::State`](crate::ErrorKind::State) for a model that has parts and no layers,
    /// [`ErrorKind::Stale`](crate::ErrorKind::Stale) where the parameters were not given yet, are another model's, or a guard
    /// of [`params_mut`](Self::params_mut) was leaked, [`ErrorKind::Overflow`](crate::ErrorKind::Overflow).
    pub fn run<'a>(&self, input: impl Into<Input<'a>>) -> Result<Output<'static>> {
        let mut memory = Memory::Own(Box::default());
        self.infer(input.into(), None, memory.get_mut(), Threads::one())?;
        Ok(Output { memory, batch_first: self.spec.batch_first })
    }

    /// Runs the model over a batch from `state`, from zeros or the model's own where it is not given. After the first call
    /// with a shape, further ones in the same workspace allocate nothing.
    ///
    /// # Errors
    /// As [`run`](Self::run), and [`ErrorKind::Shape`](crate::ErrorKind::Shape) naming `h_0` or `c_0`.
    pub fn run_with<'a, 'w>(
        &self,
        input: impl Into<Input<'a>>,
        state: Option<&State>,
        workspace: &'w mut Workspace,
        threads: Threads,
    ) -> Result<Output<'w>> {
        let input = input.into();
        threads.inside_for(self.largest_flop(&input), || self.infer(input, state, workspace, threads))?;
        Ok(Output { memory: Memory::Lent(workspace), batch_first: self.spec.batch_first })
    }

    fn infer(
        &self,
        input: Input<'_>,
        state: Option<&State>,
        workspace: &mut Workspace,
        threads: Threads,
    ) -> Result<()> {
        self.enter(&input, state, workspace)?;
        let Workspace { batch, x, resets, infer, room, own, sorted, last_sorted, state: last, turned, .. } = workspace;
        let x = batch.time_major(&input, x)?;
        self.chain.check_indices(x)?;
        let resets = input.resets.map(|mask| batch.resets(mask, resets)).transpose()?;
        let first = self.first_state(batch, state, own, sorted)?;
        let flow = Flow { lines: batch.lines(), order: batch.order(), resets, threads };
        let mut states = States { first, last: batch.written(last, last_sorted), base: 0 };
        let reads = Reads { params: &self.params, kernels: self.kernels };
        let inference = Inference { memory: &mut *infer, room, depth: 0 };
        let at = self.chain.infer(flow, At::Outside(x), reads, &mut states, inference)?;
        let index = match at {
            At::Pair { index, .. } => index,
            At::Outside(x) => {
                // No layer has written anything: every step goes on as it came.
                infer.pair[0].try_resize("output", flow.lines.end() * self.outputs)?;
                super::chain::copy(x, &mut infer.pair[0]);
                0
            }
        };
        batch.restore(last, last_sorted);
        let one_step = self.chain.leaves_one_step();
        if !one_step {
            batch.give_back(&infer.pair[index], self.outputs, turned)?;
        }
        workspace.last = Last { place: Some(index), width: self.outputs, one_step, masks: Masks::default() };
        Ok(())
    }

    /// Checks the input and the first state, and makes room for the last states.
    pub(super) fn enter(&self, input: &Input<'_>, state: Option<&State>, workspace: &mut Workspace) -> Result<()> {
        // Invalidate the last run first: if this one fails, its output may not be read.
        workspace.last = Last::default();
        self.check_fresh("model")?;
        if self.spec.layers.is_empty() {
            let parts: Vec<_> = self.spec.parts.iter().map(|(name, _)| &name[..]).collect();
            let expected = format!("one of its parts to be run, {}, as it has no layers of its own", parts.join(", "));
            return Err(Error::state("model", &expected, "the whole"));
        }
        if !self.chain.begins_with_embedding() {
            Batch::check_numbers("input", input, self.spec.inputs)?;
        }
        workspace.batch.enter("input", input, self.spec.batch_first, self.spec.inputs)?;
        let rows = workspace.batch.batch;
        if let Some(state) = state {
            state.check(["h_0", "c_0"], self.sizes.iter().copied(), rows)?;
        }
        workspace.state.shape_for(self.sizes.iter().copied(), rows)?;
        if workspace.batch.form == Form::Packed {
            workspace.last_sorted.shape_for(self.sizes.iter().copied(), rows)?;
        }
        Ok(())
    }

    /// The first states in the order of the rows: those given, or the model's own, sorted where the batch is packed.
    pub(super) fn first_state<'a>(
        &self,
        batch: &Batch,
        state: Option<&'a State>,
        own: &'a mut State,
        sorted: &'a mut State,
    ) -> Result<Option<&'a State>> {
        let state = match state {
            Some(state) => state,
            None if self.own.is_empty() => return Ok(None),
            None => {
                own.zero(self.sizes.iter().copied(), batch.batch)?;
                for part in &self.own {
                    for index in 0..part.count {
                        let (h, c) = own.of_mut(part.first + index);
                        repeat(self.params.tensor(part.h_0), index, part.count, h);
                        if let (Some(c_0), Some(c)) = (part.c_0, c) {
                            repeat(self.params.tensor(c_0), index, part.count, c);
                        }
                    }
                }
                own
            }
        };
        batch.in_order(Some(state), self.sizes.iter().copied(), sorted)
    }
}

/// Writes row `index` of `count` to every row.
fn repeat(from: &[f32], index: usize, count: usize, to: &mut [f32]) {
    let width = from.len() / count;
    let row = &from[index * width..][..width];
    to.chunks_exact_mut(width.max(1)).for_each(|to| to.copy_from_slice(row));
}

impl Workspace {
    /// The output of the last run in inference, time-major.
    fn y(&self) -> &[f32] {
        self.last.place.map_or(&[], |index| &self.infer.pair[index])
    }

    /// The output of the last run, in the form of the input.
    pub(super) fn values<'a>(&'a self, y: &'a [f32]) -> SeqRef<'a> {
        let Last { width, one_step, .. } = self.last;
        let batch = self.batch.batch;
        match (one_step, self.batch.form) {
            (true, Form::BatchFirst) => SeqRef::over(y, Lines::dense(batch, 1), width),
            (true, _) => SeqRef::over(y, Lines::dense(1, batch), width),
            (false, Form::Packed) => SeqRef::over(y, self.batch.lines(), width),
            (false, _) => self.batch.padded(y, &self.turned, width),
        }
    }
}

impl Output<'_> {
    /// The output of the last layer: (T, B, F), or (B, T, F) of a model that is batch-first; one step where a read-out has
    /// left one. Of a packed input, step t has the rows that are longer than t, the longest first:
    /// [`packed`](Self::packed) says which they are.
    #[must_use]
    pub fn values(&self) -> SeqRef<'_> {
        let workspace = self.memory.get();
        workspace.values(workspace.y())
    }

    /// The output packed in the order of the input; `None` where the input was not packed, or one step is left of each row,
    /// which then lie in the order of the batch.
    #[must_use]
    pub fn packed(&self) -> Option<PackedRef<'_>> {
        let workspace = self.memory.get();
        let Last { width, one_step, .. } = workspace.last;
        (workspace.batch.form == Form::Packed && !one_step).then(|| workspace.batch.packed(workspace.y(), width))
    }

    /// What a loss makes of the output, without a gradient. Allocates: it is for what is not learned from.
    ///
    /// ```
    /// use elman::loss::CrossEntropy;
    /// use elman::tensor::Seq;
    /// use elman::{Gru, Readout, Rng};
    ///
    /// let model = Gru::builder(3, 8).readout(Readout::Last).linear("fc", 2).model(&mut Rng::new(1))?;
    /// let loss = model.run(&Seq::zeros(5, 2, 3)?)?.loss(&mut CrossEntropy::new(&[0, 1]))?;
    /// assert!(loss > 0.0);
    /// # Ok::<(), elman::Error>(())
    /// ```
    ///
    /// # Errors
    /// The loss's.
    pub fn loss(&self, loss: &mut (impl Loss + ?Sized)) -> Result<f32> {
        let y = self.values();
        let (lines, width) = (y.lines(), y.shape()[2]);
        let mut d = Buffer::try_zeros("d_output", lines.end() * width)?;
        let prediction = match self.packed() {
            Some(packed) => Prediction::from(packed),
            None if self.batch_first => Prediction::batch_first(y),
            None => Prediction::from(y),
        };
        loss.evaluate(prediction, SeqMut::over(&mut d, lines, width))
    }

    /// The states after each row's last step, h_n and c_n of every recurrent layer, in the order of the batch.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.memory.get().state
    }
}
