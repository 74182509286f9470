//! Single steps of one row or several, in memory that was made before.

mod split;

use std::sync::Arc;

use self::split::Split;
pub(crate) use self::split::StepShares;
use super::delay::{Delay, DelayLine};
use super::weights::StepWeights;
use super::{Layer, Sizes};
use crate::error::{Result, elements};
use crate::kernel::layout::{GateColumns, PANEL, PanelsRef, whole_panels};
use crate::kernel::step::{Steps, UnitBlock, block_of};
use crate::parallel::HelperThreads;
use crate::tensor::{Buffer, StepRows};

/// A recurrent layer that some rows go through step by step: its weights as the kernel reads them, what the rows carry from
/// step to step, and their outputs of up to [`block_of`] steps.
#[derive(Clone, Debug)]
pub(crate) struct LayerSteps {
    kernel: StepKernel,
    /// [`block_of`] the rows.
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
    /// Where helpers have a part in it.
    split: Option<Split>,
}

/// The kernel of single steps, with what is the same in all of them.
#[derive(Clone, Debug)]
struct StepKernel {
    run: fn(Steps<'_>),
    weights: Arc<StepWeights>,
    rows: usize,
    input: usize,
    hidden: usize,
    output: usize,
    /// Whether the next step begins with the last block.
    turned: bool,
}

impl StepKernel {
    /// `steps` steps over the first of `x`, (steps, rows): `h` (1 + steps, rows, O'), `c` and `m` (rows, H').
    #[inline(always)]
    fn call(&mut self, steps: usize, x: StepRows<'_>, h: &mut [f32], c: &mut [f32], m: &mut [f32]) {
        let Self { rows, input, hidden, output, turned, .. } = *self;
        let StepWeights { floats: weights, blocks, w_hr } = &*self.weights;
        let projection = w_hr.as_ref().map(|w_hr| (w_hr.view(), m));
        (self.run)(Steps { rows, input, hidden, output, blocks, turned, steps, x, weights, h, c, projection });
        self.turned ^= steps % 2 == 1;
    }
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
        StepRows { data: &self.h[(self.at + 1 - steps) * self.kernel.rows * self.pitch..], pitch: self.pitch }
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
        h.copy_from_slice(&self.h[(self.at * self.kernel.rows + row) * self.pitch..][..h.len()]);
        if let Some(c) = c {
            c.copy_from_slice(&self.c[row * (self.c.len() / self.kernel.rows)..][..c.len()]);
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
        self.h[(self.at * self.kernel.rows + row) * self.pitch..][..h.len()].copy_from_slice(h);
        if let Some(c) = c {
            let pitch = self.c.len() / self.kernel.rows;
            self.c[row * pitch..][..c.len()].copy_from_slice(c);
        }
    }

    /// Runs `steps` steps, at most [`block_of`], over the first of `x`, (steps, rows), with helpers that have been engaged.
    /// Gives the outputs.
    #[inline]
    pub(crate) fn run<'a>(
        &'a mut self,
        steps: usize,
        x: StepRows<'a>,
        helpers: Option<&mut HelperThreads>,
    ) -> StepRows<'a> {
        let state = self.kernel.rows * self.pitch;
        if self.at + steps > self.block {
            self.h.copy_within(self.at * state..(self.at + 1) * state, 0);
            self.at = 0;
        }
        if self.delayed.is_some() || helpers.is_some() {
            // In parts, as in a chain.
            self.run_one_by_one(steps, x.data, x.pitch, helpers);
        } else {
            let h = &mut self.h[self.at * state..][..(1 + steps) * state];
            self.kernel.call(steps, x, h, &mut self.c, &mut self.m);
        }
        self.at += steps;
        self.outputs(steps)
    }

    /// The same, where each step takes the state that comes back then, or a part of each is a helper's.
    fn run_one_by_one(&mut self, steps: usize, x: &[f32], x_pitch: usize, mut helpers: Option<&mut HelperThreads>) {
        let Self { kernel, pitch, at, h, c, m, delayed, split, .. } = self;
        let (rows, input) = (kernel.rows, kernel.input);
        let state = rows * *pitch;
        let mut step = |x: StepRows<'_>, h: &mut [f32], c: &mut [f32]| match (&*split, helpers.as_deref_mut()) {
            (Some(split), Some(helpers)) => kernel.call_with(helpers, split, x.step(0, input), h, c),
            _ => kernel.call(1, x, h, c, m),
        };
        for t in 0..steps {
            let x = StepRows { data: x, pitch: x_pitch }.from(t * rows);
            let h = &mut h[(*at + t) * state..][..2 * state];
            let Some(delayed) = delayed else {
                step(x, h, c);
                continue;
            };
            let Delayed { h: line, c: c_line, operands } = &mut **delayed;
            line.delayed(operands);
            c_line.delayed(c);
            step(x, operands, c);
            h[state..].copy_from_slice(&operands[state..]);
            line.push(&h[state..]);
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
        let kernels = self.kernels.for_steps_of(hidden).recurrence(cell);
        Ok(LayerSteps {
            kernel: StepKernel {
                run: if rows == 1 { kernels.steps } else { kernels.row_steps },
                weights: weights.clone(),
                rows,
                input,
                hidden,
                output: self.sizes.output(),
                turned: false,
            },
            block: block_of(rows),
            h: zeros(&[1 + block_of(rows), rows, pitch])?,
            at: 0,
            pitch,
            c: zeros(&[rows, c_pitch])?,
            m: zeros(&[rows, if projection > 0 { width } else { 0 }])?,
            delayed: (delay != Delay::ONE).then(delayed).transpose()?,
            split: None,
        })
    }

    fn step_weights(&self) -> Result<StepWeights> {
        let w_hr = (self.sizes.projection > 0).then(|| self.w_hr.try_clone("stream")).transpose()?;
        let Sizes { cell, input, hidden, .. } = self.sizes;
        let lanes = self.kernels.geometry().lanes;
        let blocks = UnitBlock::all(cell.facts(), [input, hidden, self.sizes.output()], lanes);
        Ok(StepWeights { floats: self.by_blocks(&blocks)?, blocks, w_hr })
    }

    /// Biases and weights as steps read them: [`kernel::step`](crate::kernel::step) draws it.
    fn by_blocks(&self, blocks: &[UnitBlock]) -> Result<Buffer> {
        let Sizes { cell, input, .. } = self.sizes;
        let (facts, output) = (cell.facts(), self.sizes.output());
        let mut floats = Buffer::default();
        floats.try_resize("stream", blocks.iter().map(|block| block.len(facts, input, output)).sum())?;
        let mut rest = &mut floats[..];
        for block in blocks {
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
        Ok(floats)
    }
}

/// An element of a matrix in panels, zero in the padding.
fn element(matrix: PanelsRef<'_>, k: usize, column: usize) -> f32 {
    if column / PANEL >= matrix.cols().div_ceil(PANEL) {
        return 0.0;
    }
    matrix.panel(column / PANEL, 0).as_flattened()[k * PANEL + column % PANEL]
}
