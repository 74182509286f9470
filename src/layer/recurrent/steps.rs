//! Single steps of one row, in memory that was made before.

use super::{Layer, Sizes};
use crate::error::Result;
use crate::kernel::layout::round_up;
use crate::kernel::step::{BLOCK, Steps};
use crate::tensor::{Buffer, StepRows};

/// What one row carries from step to step, and its outputs of up to [`BLOCK`] steps.
#[derive(Clone, Debug)]
pub(crate) struct RowMemory {
    /// (1 + BLOCK, O rounded up to 16): the state, then the outputs after it.
    h: Buffer,
    /// The row of `h` that is the state now.
    at: usize,
    pitch: usize,
    /// An LSTM's cell state (H rounded up to 16).
    c: Buffer,
    /// What is to be projected (H rounded up to 16).
    m: Buffer,
}

impl RowMemory {
    /// The outputs of the last `steps` steps.
    pub(crate) fn outputs(&self, steps: usize) -> StepRows<'_> {
        StepRows { data: &self.h[(self.at + 1 - steps) * self.pitch..], pitch: self.pitch }
    }

    /// The state h, then the padding.
    pub(crate) fn h(&self) -> &[f32] {
        &self.h[self.at * self.pitch..][..self.pitch]
    }

    /// The cell state, then the padding.
    pub(crate) fn c(&self) -> &[f32] {
        &self.c
    }

    /// Sets the state.
    pub(crate) fn set(&mut self, h: &[f32], c: Option<&[f32]>) {
        self.at = 0;
        self.h[..h.len()].copy_from_slice(h);
        if let Some(c) = c {
            self.c[..c.len()].copy_from_slice(c);
        }
    }

    /// Makes room for the outputs of some more steps.
    fn advance(&mut self, steps: usize) -> usize {
        if self.at + steps > BLOCK {
            self.h.copy_within(self.at * self.pitch..(self.at + 1) * self.pitch, 0);
            self.at = 0;
        }
        let before = self.at;
        self.at += steps;
        before
    }
}

impl Layer {
    /// Memory for one row, in a state of zeros.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory) where there is not as much.
    pub(crate) fn row_memory(&self) -> Result<RowMemory> {
        let Sizes { cell, hidden, projection, .. } = self.sizes;
        let (pitch, width) = (round_up(self.sizes.output()), round_up(hidden));
        let zeros = |len| Buffer::try_zeros("stream", len);
        Ok(RowMemory {
            h: zeros((1 + BLOCK) * pitch)?,
            at: 0,
            pitch,
            c: zeros(if cell.facts().has_cell_state() { width } else { 0 })?,
            m: zeros(if projection > 0 { width } else { 0 })?,
        })
    }

    /// Runs `steps` steps, at most [`BLOCK`], over the first rows of `x`.
    pub(crate) fn steps(&self, steps: usize, x: StepRows<'_>, memory: &mut RowMemory) {
        let Sizes { cell, hidden, projection, .. } = self.sizes;
        let before = memory.advance(steps);
        let RowMemory { h, pitch, c, m, .. } = memory;
        (self.kernels.recurrence(cell).steps)(Steps {
            hidden,
            steps,
            x,
            w_ih: self.w_ih.view(),
            w_hh: self.w_hh.view(),
            bias: &self.bias,
            bias_apart: &self.bias_apart,
            h: &mut h[before * *pitch..][..(1 + steps) * *pitch],
            c,
            projection: (projection > 0).then(|| (self.w_hr.view(), &mut m[..])),
        });
    }
}
