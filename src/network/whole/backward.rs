//! The backward pass.

use super::RecurrentWorkspace;
use crate::error::{Error, Result};
use crate::layer::recurrent::Write;
use crate::network::backward::RecurrentBackward;
use crate::network::batch::{Batch, Flow, Form};
use crate::network::input::Input;
use crate::network::{Recurrent, State};
use crate::parallel::Threads;
use crate::params::Params;
use crate::tensor::{Buffer, SeqRef};

/// The memory of the backward pass.
#[derive(Clone, Debug, Default)]
pub(super) struct RecurrentBackMemory {
    batch: Batch,
    /// The output's gradient, turned to time-major.
    d_output: Buffer,
    pub(super) d_x: Buffer,
    /// The width of the input's gradient, where there is one.
    pub(super) width: Option<usize>,
    pub(super) turned: Buffer,
    /// The gradient at the last states, rows sorted by length.
    d_last: State,
    d_first_sorted: State,
    pub(super) d_first: State,
    /// Whether the last backward run was asked for it.
    pub(super) has_first: bool,
}

/// What a backward pass reads besides parameters and the memory of the forward run.
#[derive(Clone, Copy, Debug)]
pub struct BackwardArgs<'a> {
    /// The input of the forward run, resets included.
    pub input: Input<'a>,
    /// Its first state, if one was given.
    pub state: Option<&'a State>,
    /// The gradient at the output, in the form of the input.
    pub d_output: Input<'a>,
    /// The gradient at h_n and c_n; zeros where it is not given.
    pub d_state_n: Option<&'a State>,
    /// Whether the gradient of the input is wanted: [`RecurrentWorkspace::d_input`].
    pub wants_d_input: bool,
    /// Whether the gradient of the first state is wanted: [`RecurrentWorkspace::d_state_0`].
    pub wants_d_state_0: bool,
}

impl Recurrent {
    /// Runs the network backward after [`forward_training`](Self::forward_training) over the same input: adds to the
    /// gradients of its parameters. Uses up what the forward run kept, unless its arguments are an error.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::Length`] naming the tensor that does not fit; [`Error::State`] for a workspace whose
    /// last run was not one in training over such an input.
    pub fn backward(
        &self,
        params: &Params,
        args: BackwardArgs<'_>,
        gradients: &mut Params,
        workspace: &mut RecurrentWorkspace,
        threads: Threads,
    ) -> Result<()> {
        self.check(params)?;
        self.check(gradients)?;
        let Some(masks) = workspace.ran.filter(|_| self.has_run_in(workspace)).and_then(|ran| ran.masks) else {
            let expected = "one in which forward_training has run, and backward not yet";
            return Err(Error::state("workspace", expected, "another"));
        };
        let RecurrentWorkspace { batch, x, resets, memory, sorted, scratch, back, ran, .. } = workspace;
        let RecurrentBackMemory {
            batch: d_batch,
            d_output,
            d_x,
            width,
            turned,
            d_last,
            d_first_sorted,
            d_first,
            has_first,
        } = back;
        let rows = batch.batch;

        // The input again: of a batch-first one the turned copy is still there.
        d_batch.enter("input", &args.input, self.config.batch_first, self.config.input_size)?;
        batch.same("input", d_batch)?;
        let x = match batch.form {
            Form::BatchFirst => SeqRef::over(x, batch.lines(), self.config.input_size),
            _ => batch.time_major(&args.input, x)?,
        };
        let resets = args.input.resets.map(|mask| batch.resets(mask, resets)).transpose()?;
        Batch::check_numbers("d_output", &args.d_output, self.output_size())?;
        d_batch.enter("d_output", &args.d_output, self.config.batch_first, self.output_size())?;
        batch.same("d_output", d_batch)?;
        let d_y = batch.time_major(&args.d_output, d_output)?;
        for (names, state) in [(["h_0", "c_0"], args.state), (["d_h_n", "d_c_n"], args.d_state_n)] {
            if let Some(state) = state {
                state.check(names, self.sizes(), rows)?;
            }
        }
        let state = batch.in_order(args.state, self.sizes(), sorted)?;
        let d_last = batch.in_order(args.d_state_n, self.sizes(), d_last)?;
        batch.written(d_first, d_first_sorted).shape_for(self.sizes(), rows)?;
        if args.wants_d_state_0 {
            d_first.shape_for(self.sizes(), rows)?;
        }
        (*ran, *width, *has_first) = (None, None, false);
        let flow = Flow { lines: batch.lines(), order: batch.order(), resets, threads };
        let run = RecurrentBackward {
            params,
            x,
            state,
            d_y,
            d_last,
            base: 0,
            masks,
            gradients,
            write: Write::Add,
            d_x: args.wants_d_input.then_some(&mut *d_x),
            d_first: args.wants_d_state_0.then(|| batch.written(d_first, d_first_sorted)),
        };
        self.back(flow, run, memory, scratch)?;
        if args.wants_d_state_0 {
            batch.restore(d_first, d_first_sorted);
        }
        if args.wants_d_input {
            *width = Some(self.config.input_size);
            batch.give_back(d_x, self.config.input_size, turned)?;
        }
        *has_first = args.wants_d_state_0;
        Ok(())
    }

    /// Whether the last run in this memory was one in training over layers of these widths and with this dropout.
    fn has_run_in(&self, workspace: &RecurrentWorkspace) -> bool {
        let (rows, count) = (workspace.batch.lines().end(), self.count());
        let layers = &workspace.memory.layers;
        workspace
            .ran
            .is_some_and(|ran| ran.masks.is_some() && ran.layers == count && ran.dropout == self.config.dropout)
            && (workspace.batch.form != Form::BatchFirst || workspace.x.len() == rows * self.config.input_size)
            && (0..count).all(|k| layers[k].y.len() == rows * self.width(k))
    }
}

impl RecurrentBackMemory {
    /// Leaves no gradients to be read.
    pub(super) fn forget(&mut self) {
        (self.width, self.has_first) = (None, false);
    }
}
