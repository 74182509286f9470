//! Backward, layer by layer from the last: from the gradient of the output to those of parameters, input and first states.

use super::forward::{Reads, copy};
use super::{Chain, Kind, Room, Stage, StageMemory};
use crate::error::Result;
use crate::layer::{LinearBackward, Readout, Write};
use crate::network::{Flow, Masks, RecurrentBackward, State};
use crate::params::Params;
use crate::tensor::{Buffer, SeqRef};

/// What a backward pass through a chain reads and writes beside what the forward run left.
pub(in crate::model) struct ChainBackward<'a> {
    pub(in crate::model) reads: Reads<'a>,
    /// The input of the forward run, and its first states, if any were given.
    pub(in crate::model) x: SeqRef<'a>,
    pub(in crate::model) state: Option<&'a State>,
    /// The gradient at the output, and the one at the last states.
    pub(in crate::model) d_y: SeqRef<'a>,
    pub(in crate::model) d_last: Option<&'a State>,
    pub(in crate::model) masks: Masks,
    /// Receives the gradients of the parameters.
    pub(in crate::model) gradients: &'a mut Params,
    /// Receives the gradient of the input, where it is wanted.
    pub(in crate::model) d_x: Option<&'a mut Buffer>,
    /// Receives the gradients of the first states, where they are wanted.
    pub(in crate::model) d_first: Option<&'a mut State>,
}

impl Chain {
    /// Runs all layers backward; uses up what the forward run kept.
    pub(in crate::model) fn back(
        &self,
        flow: Flow<'_>,
        mut args: ChainBackward<'_>,
        memory: &mut [StageMemory],
        room: &mut Room,
    ) -> Result<()> {
        let last = self.stages.len() - 1;
        for (k, stage) in self.stages.iter().enumerate().rev() {
            let below_learns = self.stages[..k].iter().any(Stage::learns);
            if !below_learns && args.d_x.is_none() && !stage.learns() {
                return Ok(());
            }
            let flow = self.flow_at(k, flow);
            let (before, rest) = memory.split_at_mut(k);
            let (here, after) = rest.split_at_mut(1);
            let here = &mut here[0];
            let x = match k.checked_sub(1) {
                None => args.x,
                Some(below) => self.stages[below].output(&before[below], flow.lines),
            };
            let out = if stage.leaves_one_step() { super::one_step(flow).lines } else { flow.lines };
            let d_y = if k == last { args.d_y } else { SeqRef::over(&after[0].d_x, out, stage.width) };
            let mut own = std::mem::take(&mut here.d_x);
            let d_x = match k {
                0 => args.d_x.take(),
                _ => (below_learns || args.d_x.is_some()).then_some(&mut own),
            };
            let mut around = Around { params: &mut *args.gradients, d_first: args.d_first.as_deref_mut() };
            let reads = StageReads { reads: args.reads, state: args.state, d_last: args.d_last, masks: args.masks };
            stage.back(flow, reads, StageRows { x, d_y, d_x }, &mut around, here, room)?;
            here.d_x = own;
        }
        Ok(())
    }
}

/// What a layer reads beside its rows.
#[derive(Clone, Copy)]
struct StageReads<'a> {
    reads: Reads<'a>,
    state: Option<&'a State>,
    d_last: Option<&'a State>,
    masks: Masks,
}

/// The rows of a layer.
struct StageRows<'a> {
    /// The input of the forward run.
    x: SeqRef<'a>,
    /// The gradient at the output.
    d_y: SeqRef<'a>,
    /// Receives the gradient at the input, where it is wanted.
    d_x: Option<&'a mut Buffer>,
}

/// What a layer writes beside the gradient of its input.
struct Around<'a> {
    params: &'a mut Params,
    d_first: Option<&'a mut State>,
}

impl Stage {
    /// One layer: from the gradient at its output to that of its input.
    fn back(
        &self,
        flow: Flow<'_>,
        reads: StageReads<'_>,
        rows: StageRows<'_>,
        around: &mut Around<'_>,
        memory: &mut StageMemory,
        room: &mut Room,
    ) -> Result<()> {
        let StageRows { x, d_y, mut d_x } = rows;
        let width = x.shape()[2];
        if let Some(d_x) = &mut d_x {
            d_x.try_resize("d_input", flow.lines.end() * width)?;
        }
        match &self.kind {
            Kind::Embedding(embedding) => {
                embedding.backward(x, d_y, around.params);
                // An index has no gradient.
                d_x.into_iter().for_each(|d_x| d_x.fill(0.0));
            }
            Kind::Linear(linear) => {
                let d_x = d_x.map(|d_x| &mut d_x[..]);
                let args = LinearBackward { params: reads.reads.params, x, d_y, write: Write::Over };
                linear.backward_rows(args, around.params, d_x, &mut room.linear)?;
            }
            Kind::Recurrent(recurrence) => {
                let args = RecurrentBackward {
                    params: reads.reads.params,
                    x,
                    state: reads.state,
                    d_y,
                    d_last: reads.d_last,
                    base: recurrence.states,
                    masks: Masks { base: reads.masks.base + recurrence.layers, ..reads.masks },
                    gradients: &mut *around.params,
                    write: Write::Over,
                    d_x,
                    d_first: around.d_first.as_deref_mut(),
                };
                recurrence.network.back(flow, args, &mut memory.recurrent, &mut room.recurrent)?;
            }
            Kind::Elementwise(elementwise) => {
                if let Some(d_x) = d_x {
                    copy(d_y, d_x);
                    elementwise.backward(&memory.y, d_x, self.width);
                }
            }
            Kind::Scale { gain, .. } => {
                if let Some(d_x) = d_x {
                    copy(d_y, d_x);
                    scale_back(d_x, gain);
                }
            }
            Kind::Readout(Readout::EveryStep) => d_x.into_iter().for_each(|d_x| copy(d_y, d_x)),
            Kind::Readout(readout) => {
                if let Some(d_x) = d_x {
                    readout.backward(x, |i| flow.row(i), d_y, &memory.at, d_x);
                }
            }
            Kind::Residual { from, chain } => {
                let args = ChainBackward {
                    reads: reads.reads,
                    x,
                    state: reads.state,
                    d_y,
                    d_last: reads.d_last,
                    masks: reads.masks,
                    gradients: &mut *around.params,
                    d_x: d_x.as_deref_mut(),
                    d_first: around.d_first.as_deref_mut(),
                };
                chain.back(flow, args, &mut memory.inner, room)?;
                if let Some(d_x) = d_x {
                    self.add_beside(*from, d_y, d_x, width);
                }
            }
        }
        Ok(())
    }

    /// Adds the gradient that reached a residual's sum to that of the input's features which it took, from `from` on.
    fn add_beside(&self, from: usize, d_y: SeqRef<'_>, d_x: &mut [f32], width: usize) {
        for (row, d_y) in d_x.chunks_exact_mut(width.max(1)).zip(d_y.each_row()) {
            row[from..from + self.width].iter_mut().zip(d_y).for_each(|(d, d_y)| *d += d_y);
        }
    }
}

/// Multiplies the gradient of every row by the gains of its features; an offset changes nothing.
fn scale_back(rows: &mut [f32], gain: &[f32]) {
    for row in rows.chunks_exact_mut(gain.len().max(1)) {
        row.iter_mut().zip(gain).for_each(|(d, gain)| *d *= gain);
    }
}
