//! Single steps of one row, in memory that was made before.

use super::{Layer, Sizes};
use crate::error::Result;
use crate::kernel::layout::{GateColumns, PANEL, PanelsRef, whole_panels};
use crate::kernel::step::{BLOCK, Steps, UnitBlock};
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
    /// Memory for one row, in a state of zeros. The first call lays the weights out for steps, for all rows to come.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory) where there is not as much.
    pub(crate) fn row_memory(&self) -> Result<RowMemory> {
        let Sizes { cell, hidden, projection, .. } = self.sizes;
        let (pitch, width) = (whole_panels(self.sizes.output()), whole_panels(hidden));
        let zeros = |len| Buffer::try_zeros("stream", len);
        if self.by_blocks.get().is_none() {
            // Another thread may have been quicker: its copy is the same.
            let _ = self.by_blocks.set(self.blocks()?);
        }
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
        let Sizes { cell, input, hidden, projection, .. } = self.sizes;
        let output = self.sizes.output();
        let before = memory.advance(steps);
        let RowMemory { h, pitch, c, m, .. } = memory;
        (self.kernels.recurrence(cell).steps)(Steps {
            input,
            hidden,
            output,
            steps,
            x,
            weights: self.by_blocks.get().expect("laid out when the memory was made"),
            h: &mut h[before * *pitch..][..(1 + steps) * *pitch],
            c,
            projection: (projection > 0).then(|| (self.w_hr.view(), &mut m[..])),
        });
    }

    /// Biases and weights as steps read them: [`kernel::step`](crate::kernel::step) draws it.
    fn blocks(&self) -> Result<Buffer> {
        let Sizes { cell, input, hidden, .. } = self.sizes;
        let (facts, output, lanes) = (cell.facts(), self.sizes.output(), self.kernels.geometry().lanes);
        let each = || {
            let mut unit = 0;
            std::iter::from_fn(move || {
                let block = (unit < hidden).then(|| UnitBlock::at(unit, hidden, facts.gates, lanes))?;
                unit += block.units(facts.gates);
                Some(block)
            })
        };
        let mut blocks = Buffer::default();
        blocks.try_resize("stream", each().map(|block| block.len(facts, input, output)).sum())?;
        let mut rest = &mut blocks[..];
        for block in each() {
            let mut put = |value: &dyn Fn(usize) -> f32| {
                let (row, after) = std::mem::take(&mut rest).split_at_mut(block.width());
                for (i, to) in row.iter_mut().enumerate() {
                    let (register, lane) = (i / block.lanes, i % block.lanes);
                    let unit = block.unit + register / facts.gates * block.lanes + lane;
                    *to = value(GateColumns { gates: facts.gates }.of(register % facts.gates, unit));
                }
                rest = after;
            };
            put(&|column| self.bias[column]);
            if facts.last_apart {
                put(&|column| self.bias_apart[column]);
            }
            (0..input).for_each(|k| put(&|column| element(self.w_ih.view(), k, column)));
            (0..output).for_each(|k| put(&|column| element(self.w_hh.view(), k, column)));
        }
        Ok(blocks)
    }
}

/// An element of a matrix in panels, zero in the padding.
fn element(matrix: PanelsRef<'_>, k: usize, column: usize) -> f32 {
    if column / PANEL >= matrix.cols().div_ceil(PANEL) {
        return 0.0;
    }
    matrix.panel(column / PANEL, 0).as_flattened()[k * PANEL + column % PANEL]
}
