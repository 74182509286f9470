//! Single steps of one row or several, in memory that was made before.

use std::sync::Arc;

use super::delay::{Delay, DelayLine};
use super::weights::StepWeights;
use super::{Layer, Sizes};
use crate::error::{Result, elements};
use crate::kernel::layout::{GateColumns, PANEL, PanelsRef, whole_panels};
use crate::kernel::step::{Steps, UnitBlock, block_of};
use crate::tensor::{Buffer, StepRows};

/// A recurrent layer that some rows go through step by step: its weights as the kernel reads them, what the rows carry from
/// step to step, and their outputs of up to [`block_of`] steps.
#[derive(Clone, Debug)]
pub(crate) struct LayerSteps {
    kernel: fn(Steps<'_>),
    weights: Arc<StepWeights>,
    input: usize,
    hidden: usize,
    output: usize,
    rows: usize,
    /// [`block_of`] them.
    block: usize,
    /// (1 + steps, rows, O rounded up to 16): the state, then the outputs after it.
    h: Buffer,
    /// The step of `h` that is the state now.
    at: usize,
    pitch: usize,
    /// (rows, H rounded up to 16): an LSTM's cell states.
    c: Buffer,
    /// (rows, H rounded up to 16): what is to be projected.
    m: Buffer,
    /// Where the state is delayed by more than a step.
    delayed: Option<Box<Delayed>>,
}

/// The states that are yet to come back.
#[derive(Clone, Debug)]
struct Delayed {
    h: DelayLine,
    c: DelayLine,
    /// (2, rows, O rounded up to 16): the state that a step takes, and the one after it.
    operands: Buffer,
}

impl LayerSteps {
    /// The outputs of the last `steps` steps, (steps, rows).
    #[inline]
    fn outputs(&self, steps: usize) -> StepRows<'_> {
        StepRows { data: &self.h[(self.at + 1 - steps) * self.rows * self.pitch..], pitch: self.pitch }
    }

    /// Copies the state of a row; where it is delayed, all states that are yet to come back, the last one first.
    pub(crate) fn get(&self, row: usize, h: &mut [f32], c: Option<&mut [f32]>) {
        if let Some(delayed) = &self.delayed {
            delayed.h.get(row, h);
            if let Some(c) = c {
                delayed.c.get(row, c);
            }
            return;
        }
        h.copy_from_slice(&self.h[(self.at * self.rows + row) * self.pitch..][..h.len()]);
        if let Some(c) = c {
            c.copy_from_slice(&self.c[row * (self.c.len() / self.rows)..][..c.len()]);
        }
    }

    /// Sets what [`get`](Self::get) gives.
    pub(crate) fn set(&mut self, row: usize, h: &[f32], c: Option<&[f32]>) {
        if let Some(delayed) = &mut self.delayed {
            delayed.h.set(row, h);
            if let Some(c) = c {
                delayed.c.set(row, c);
            }
            return;
        }
        self.h[(self.at * self.rows + row) * self.pitch..][..h.len()].copy_from_slice(h);
        if let Some(c) = c {
            let pitch = self.c.len() / self.rows;
            self.c[row * pitch..][..c.len()].copy_from_slice(c);
        }
    }

    /// Runs `steps` steps, at most [`block_of`], over the first of `x`, (steps, rows). Gives the outputs.
    #[inline]
    pub(crate) fn run<'a>(&'a mut self, steps: usize, x: StepRows<'a>) -> StepRows<'a> {
        let state = self.rows * self.pitch;
        if self.at + steps > self.block {
            self.h.copy_within(self.at * state..(self.at + 1) * state, 0);
            self.at = 0;
        }
        if self.delayed.is_some() {
            // In parts, as in a chain.
            self.run_delayed(steps, x.data, x.pitch);
        } else {
            let h = &mut self.h[self.at * state..][..(1 + steps) * state];
            (self.kernel)(Steps {
                rows: self.rows,
                input: self.input,
                hidden: self.hidden,
                output: self.output,
                steps,
                x,
                weights: &self.weights.blocks,
                h,
                c: &mut self.c,
                projection: self.weights.w_hr.as_ref().map(|w_hr| (w_hr.view(), &mut self.m[..])),
            });
        }
        self.at += steps;
        self.outputs(steps)
    }

    /// The same, one step at a time: each takes the state that comes back then.
    fn run_delayed(&mut self, steps: usize, x: &[f32], x_pitch: usize) {
        let Self { weights, rows, pitch, at, h, c, m, delayed, .. } = self;
        let Delayed { h: line, c: c_line, operands } = &mut **delayed.as_mut().expect("asked before");
        let state = *rows * *pitch;
        for (t, h) in h[*at * state..].chunks_exact_mut(state).skip(1).take(steps).enumerate() {
            line.delayed(operands);
            c_line.delayed(c);
            (self.kernel)(Steps {
                rows: *rows,
                input: self.input,
                hidden: self.hidden,
                output: self.output,
                steps: 1,
                x: StepRows { data: x, pitch: x_pitch }.from(t * *rows),
                weights: &weights.blocks,
                h: &mut *operands,
                c: &mut *c,
                projection: weights.w_hr.as_ref().map(|w_hr| (w_hr.view(), &mut m[..])),
            });
            h.copy_from_slice(&operands[state..]);
            line.push(h);
            c_line.push(c);
        }
    }
}

impl Layer {
    /// The layer with memory for some rows, in a state of zeros. The first call lays the weights out for steps, for all rows
    /// to come.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory) where there is not as much, [`Error::Overflow`](crate::Error::Overflow).
    pub(crate) fn steps(&self, rows: usize, delay: Delay) -> Result<LayerSteps> {
        let Sizes { cell, input, hidden, projection, .. } = self.sizes;
        let (pitch, width) = (whole_panels(self.sizes.output()), whole_panels(hidden));
        let zeros = |shape: &[usize]| Buffer::try_zeros("stream", elements("stream", shape)?);
        let weights = match self.for_steps.get() {
            Some(weights) => weights,
            None => {
                let made = Arc::new(self.step_weights()?);
                // Another thread may have been quicker: its copy is the same.
                self.for_steps.get_or_init(|| made)
            }
        };
        let c_pitch = if cell.facts().has_cell_state() { width } else { 0 };
        let delayed = || -> Result<_> {
            let (h, c) = (DelayLine::new(delay, rows, pitch)?, DelayLine::new(delay, rows, c_pitch)?);
            Ok(Box::new(Delayed { h, c, operands: zeros(&[2, rows, pitch])? }))
        };
        let kernels = self.kernels.recurrence(cell);
        Ok(LayerSteps {
            kernel: if rows == 1 { kernels.steps } else { kernels.row_steps },
            weights: weights.clone(),
            input,
            hidden,
            output: self.sizes.output(),
            rows,
            block: block_of(rows),
            h: zeros(&[1 + block_of(rows), rows, pitch])?,
            at: 0,
            pitch,
            c: zeros(&[rows, c_pitch])?,
            m: zeros(&[rows, if projection > 0 { width } else { 0 }])?,
            delayed: (delay != Delay::ONE).then(delayed).transpose()?,
        })
    }

    fn step_weights(&self) -> Result<StepWeights> {
        let w_hr = (self.sizes.projection > 0).then(|| self.w_hr.clone());
        Ok(StepWeights { blocks: self.blocks()?, w_hr })
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
