//! Recurrent layers backward over time-major rows: from the gradient of the output to those of parameters, input and first
//! state.

use super::batch::{Flow, RowsMut};
use super::forward::{LayerMemory, Masks, RecurrentMemory};
use super::{Recurrent, State};
use crate::error::Result;
use crate::layer::recurrent::{BackwardPass, Scratch, Write};
use crate::params::Params;
use crate::plan::Work;
use crate::tensor::{Buffer, SeqRef};

/// What a backward pass reads and writes beside what the forward run left. States of several networks lie one behind the
/// other, this one's from `base` on.
#[derive(Debug)]
pub(crate) struct RecurrentBackward<'a> {
    pub(crate) params: &'a Params,
    /// The input of the forward run, and its first state, if one was given.
    pub(crate) x: SeqRef<'a>,
    pub(crate) state: Option<&'a State>,
    /// The gradient at the output, and the one at h_n and c_n.
    pub(crate) d_y: SeqRef<'a>,
    pub(crate) d_last: Option<&'a State>,
    pub(crate) base: usize,
    pub(crate) masks: Masks,
    /// Receives the gradients of the parameters, written over what stands there or added to it.
    pub(crate) gradients: &'a mut Params,
    pub(crate) write: Write,
    /// Receives the gradient of the input, where it is wanted.
    pub(crate) d_x: Option<&'a mut Buffer>,
    /// Receives the gradient of h_0 and c_0, where it is wanted.
    pub(crate) d_first: Option<&'a mut State>,
}

/// What a layer reads and writes on its backward pass.
struct BackwardRows<'a> {
    /// The input of its forward run.
    x: SeqRef<'a>,
    /// The gradient at its output.
    d_y: SeqRef<'a>,
    /// Receives the gradient at its input, where it is wanted.
    d_x: Option<&'a mut Buffer>,
}

impl Recurrent {
    /// Runs all layers backward; uses up what the forward run kept.
    pub(crate) fn back(
        &self,
        flow: Flow<'_>,
        mut args: RecurrentBackward<'_>,
        memory: &mut RecurrentMemory,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let RecurrentMemory { layers, between } = memory;
        let probability = self.config.dropout;
        let [mut this, mut other] = between.each_mut();
        let mut d_y = args.d_y;
        for k in (0..self.count()).rev() {
            let input = self.layers[k * self.config.directions()].sizes().input;
            let (before, here) = layers.split_at_mut(k);
            let x = before.last().map_or(args.x, |before| before.over_output(probability, flow, input));
            let mut d_x = if k == 0 { args.d_x.take() } else { Some(&mut *this) };
            if let Some(d_x) = &mut d_x {
                d_x.try_resize("d_input", flow.lines.end() * input)?;
            }
            let rows = BackwardRows { x, d_y, d_x: d_x.as_deref_mut() };
            self.layer_back(k, flow, rows, &mut args, &mut here[0], scratch)?;
            if let Some(d_x) = d_x
                && k > 0
                && probability > 0.0
            {
                let (masks, hidden) = (args.masks, input / self.config.directions());
                flow.each_row(RowsMut { elements: d_x, width: input }, &|place, _, row| {
                    for (direction, row) in row.chunks_exact_mut(hidden).enumerate() {
                        masks.of(probability, k - 1, direction).apply_to(place, row);
                    }
                });
            }
            if k > 0 {
                std::mem::swap(&mut this, &mut other);
                d_y = SeqRef::over(other, flow.lines, input);
            }
        }
        Ok(())
    }

    /// Layer k, in every direction: from the gradient at its output to the one of its input.
    fn layer_back(
        &self,
        k: usize,
        flow: Flow<'_>,
        rows: BackwardRows<'_>,
        args: &mut RecurrentBackward<'_>,
        memory: &mut LayerMemory,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let BackwardRows { x, d_y, mut d_x } = rows;
        let directions = self.config.directions();
        let y = SeqRef::over(&memory.y, flow.lines, self.width(k));
        for direction in 0..directions {
            let index = k * directions + direction;
            let layer = &self.layers[index];
            let (first, output) = (direction * layer.sizes().output(), layer.sizes().output());
            let (place, write) = (args.base + index, if direction == 0 { Write::Over } else { Write::Add });
            let (d_h_0, d_c_0) = args.d_first.as_mut().map(|d_first| d_first.of_mut(place)).unzip();
            let pass = BackwardPass {
                weights: self.weights(args.params, index),
                x,
                h_0: args.state.and_then(|state| state.h_of(place)),
                c_0: args.state.and_then(|state| state.c_of(place)),
                resets: flow.resets,
                y: y.narrow_columns(first, output),
                tape: &mut memory.tapes[direction],
                d_y: d_y.narrow_columns(first, output),
                d_h_n: args.d_last.and_then(|d_last| d_last.h_of(place)),
                d_c_n: args.d_last.and_then(|d_last| d_last.c_of(place)),
                gradients: self.gradients(args.gradients, index, args.write),
                d_x: d_x.as_deref_mut().map(|d_x| (&mut d_x[..], write)),
                d_h_0,
                d_c_0: d_c_0.flatten(),
            };
            // The forward pass's: the gradient of the input makes no difference to it.
            let work = Work::Train { d_input: false };
            let plan = layer.plan_in(scratch, work, [flow.lines.steps(), flow.lines.rows()], flow.threads)?;
            layer.backward(&plan, pass, scratch)?;
        }
        Ok(())
    }
}
