//! Recurrent layers by themselves: in at the door, through all layers, and out again; and back. For benches and tests that
//! want no more than that; a [`Model`](crate::Model) does the same with what stands around them.

mod backward;

pub use backward::BackwardArgs;

use super::batch::{Batch, Flow, Form};
use super::forward::{At, Masks, RecurrentMemory, States};
use super::input::Input;
use super::{Recurrent, State};
use crate::error::Result;
use crate::layer::recurrent::Scratch;
use crate::parallel::Threads;
use crate::tensor::{Buffer, PackedRef, SeqRef};
use backward::RecurrentBackMemory;

/// The memory a network runs in, and what its last run left there. Belongs to the caller, grows to the largest use, and
/// then is never allocated again.
#[derive(Clone, Debug, Default)]
pub struct RecurrentWorkspace {
    batch: Batch,
    /// The input, turned to time-major, where it came batch-first.
    x: Buffer,
    /// Where new sequences begin, turned to time-major, where the mask came batch-first.
    resets: Vec<bool>,
    memory: RecurrentMemory,
    /// The outputs of layers in inference.
    pair: [Buffer; 2],
    ran: Option<Ran>,
    /// The first and the last state, rows sorted by length.
    sorted: State,
    last_sorted: State,
    /// The last state.
    state: State,
    /// The output, turned to batch-first.
    turned: Buffer,
    scratch: Scratch,
    back: RecurrentBackMemory,
}

/// What the last run was.
#[derive(Clone, Copy, Debug)]
struct Ran {
    /// Of one in training.
    masks: Option<Masks>,
    /// Of one in inference: which of the pair has its output.
    index: usize,
    layers: usize,
    width: usize,
    /// The network's probability of dropout.
    dropout: f32,
}

impl Recurrent {
    /// Runs the network over a batch from `state`, zeros where it is not given. [`RecurrentWorkspace::output`] and
    /// [`RecurrentWorkspace::state`] then have the output of the last layer and the last states of all.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::Length`] naming `input`, `h_0`, `c_0` or `resets`; [`Error::Overflow`].
    pub fn forward<'a>(
        &self,
        input: impl Into<Input<'a>>,
        state: Option<&State>,
        workspace: &mut RecurrentWorkspace,
        threads: Threads,
    ) -> Result<()> {
        self.run(input.into(), state, None, workspace, threads)
    }

    /// The same in training: keeps what [`backward`](Self::backward) needs, and applies dropout, whose masks follow from
    /// `seed`.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn forward_training<'a>(
        &self,
        input: impl Into<Input<'a>>,
        state: Option<&State>,
        seed: u64,
        workspace: &mut RecurrentWorkspace,
        threads: Threads,
    ) -> Result<()> {
        self.run(input.into(), state, Some(Masks { seed, ..Masks::default() }), workspace, threads)
    }

    fn run(
        &self,
        input: Input<'_>,
        state: Option<&State>,
        masks: Option<Masks>,
        workspace: &mut RecurrentWorkspace,
        threads: Threads,
    ) -> Result<()> {
        // Invalidate the last run first: if this one fails, neither its output nor the gradients of the last may be read.
        workspace.ran = None;
        workspace.back.forget();
        let RecurrentWorkspace {
            batch,
            x,
            resets,
            memory,
            pair,
            sorted,
            last_sorted,
            state: last,
            turned,
            scratch,
            ..
        } = workspace;
        Batch::check_numbers("input", &input, self.config.input_size)?;
        batch.enter("input", &input, self.config.batch_first, self.config.input_size)?;
        let x = batch.time_major(&input, x)?;
        let resets = input.resets.map(|mask| batch.resets(mask, resets)).transpose()?;
        let rows = batch.batch;
        if let Some(state) = state {
            state.check(["h_0", "c_0"], self.sizes(), rows)?;
        }
        last.shape_for(self.sizes(), rows)?;
        let first = batch.in_order(state, self.sizes(), sorted)?;
        if batch.form == Form::Packed {
            last_sorted.shape_for(self.sizes(), rows)?;
        }
        let flow = Flow { lines: batch.lines(), order: batch.order(), resets, threads };
        let states = States { first, last: batch.written(last, last_sorted), base: 0 };
        let index = match masks {
            None => match self.infer(flow, At::Outside(x), pair, states, scratch)? {
                At::Pair { index, .. } => index,
                At::Outside(_) => unreachable!("a network has a layer"),
            },
            Some(masks) => {
                self.train(flow, x, memory, states, masks, scratch)?;
                0
            }
        };
        batch.restore(last, last_sorted);
        let ran = Ran { masks, index, layers: self.count(), width: self.output_size(), dropout: self.config.dropout };
        let y = if masks.is_some() { memory.output(ran.layers) } else { &pair[index] };
        batch.give_back(y, ran.width, turned)?;
        workspace.ran = Some(ran);
        Ok(())
    }
}

impl RecurrentWorkspace {
    /// The output of the last run: (T, B, D·H), or (B, T, D·H) of a network that is batch-first, or (T, 1, D·H) of an
    /// unbatched input.
    ///
    /// # Panics
    /// If the input was packed: its output is [`packed_output`](Self::packed_output).
    #[must_use]
    pub fn output(&self) -> SeqRef<'_> {
        let (y, width) = self.y();
        self.batch.padded(y, &self.turned, width)
    }

    /// The output of the last run over a packed batch, packed in the same order.
    ///
    /// # Panics
    /// If the input was not packed.
    #[must_use]
    pub fn packed_output(&self) -> PackedRef<'_> {
        let (y, width) = self.y();
        self.batch.packed(y, width)
    }

    /// The states after each row's last step, h_n and c_n, in the order of the batch.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The gradient of the input of the last backward run, in the form of the input; `None` where it was not asked for.
    ///
    /// # Panics
    /// If the input was packed: that is [`packed_d_input`](Self::packed_d_input).
    #[must_use]
    pub fn d_input(&self) -> Option<SeqRef<'_>> {
        let RecurrentBackMemory { d_x, turned, width, .. } = &self.back;
        width.map(|width| self.batch.padded(d_x, turned, width))
    }

    /// The gradient of a packed input of the last backward run, packed in the same order; `None` where it was not asked
    /// for.
    ///
    /// # Panics
    /// If the input was not packed.
    #[must_use]
    pub fn packed_d_input(&self) -> Option<PackedRef<'_>> {
        self.back.width.map(|width| self.batch.packed(&self.back.d_x, width))
    }

    /// The gradient of h_0 and c_0 of the last backward run; `None` where it was not asked for.
    #[must_use]
    pub fn d_state_0(&self) -> Option<&State> {
        self.back.has_first.then_some(&self.back.d_first)
    }

    fn y(&self) -> (&[f32], usize) {
        match self.ran {
            Some(Ran { masks: Some(_), layers, width, .. }) => (self.memory.output(layers), width),
            Some(Ran { index, width, .. }) => (&self.pair[index], width),
            None => (&[], 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Lstm;
    use crate::network::NetworkConfig;
    use crate::params::{ParamTable, Params};
    use crate::tensor::Seq;

    #[test]
    fn a_call_as_the_last_one_makes_no_schedule() {
        let mut table = ParamTable::new();
        let config: NetworkConfig = Lstm::builder(3, 8).num_layers(3).bidirectional(true).into();
        let mut network = Recurrent::new(config, &mut table, "").unwrap();
        let params = Params::zeros(table);
        network.load(&params).unwrap();
        let (mut gradients, mut workspace) = (params.zeros_like(), RecurrentWorkspace::default());
        let (x, d_output) = (Seq::zeros(5, 2, 3).unwrap(), Seq::zeros(5, 2, 16).unwrap());
        for _ in 0..2 {
            network.forward(&x, None, &mut workspace, Threads::one()).unwrap();
            network.forward_training(&x, None, 1, &mut workspace, Threads::one()).unwrap();
            let args = BackwardArgs {
                input: (&x).into(),
                state: None,
                d_output: (&d_output).into(),
                d_state_n: None,
                wants_d_input: true,
                wants_d_state_0: false,
            };
            network.backward(&params, args, &mut gradients, &mut workspace, Threads::one()).unwrap();
            // Of the first layer and of those above, in inference and in training.
            assert_eq!(workspace.scratch.plans.made(), 4);
        }
    }
}
