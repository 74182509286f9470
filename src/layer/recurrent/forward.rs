//! A layer forward: the input part of a block of steps, the recurrence over it, and so on.

use std::ops::Range;

use super::memory::{Scratch, Tape, Worker};
use super::weights::{Layer, check_len};
use super::{Direction, Sizes};
use crate::error::{Result, check_shape};
use crate::gemm::panel::pack_rows;
use crate::gemm::{Product, WORKING, multiply};
use crate::kernel::layout::{GateColumns, PANEL, whole_blocks, whole_panels};
use crate::kernel::product::Chains;
use crate::kernel::recurrence::{Carry, Exchange, Forward, Kept, Projection};
use crate::kernel::tile::Start;
use crate::parallel::{Divide, try_share};
use crate::plan::{Plan, Work};
use crate::tensor::{Buffer, Mask, Mat, Resets, SeqMut, SeqRef, SlotsMut};

/// What a forward pass reads and writes.
#[derive(Debug)]
pub struct ForwardPass<'a> {
    /// (T, B, I).
    pub x: SeqRef<'a>,
    /// (1, B, O): the state before the first step, zeros where it is not given.
    pub h_0: Option<SeqRef<'a>>,
    /// (1, B, H): an LSTM's cell state before the first step, zeros where it is not given.
    pub c_0: Option<SeqRef<'a>>,
    /// (T, B): set where a new sequence begins: no state passes between that step and the one before, whichever way the
    /// layer goes.
    pub resets: Option<Mask<'a>>,
    /// (T, B, O): receives every state.
    pub y: SeqMut<'a>,
    /// (1, B, O), row-major: receives each row's state after its last step.
    pub h_n: Option<&'a mut [f32]>,
    /// (1, B, H), row-major: receives an LSTM's cell state after each row's last step.
    pub c_n: Option<&'a mut [f32]>,
    /// Receives what the backward pass needs.
    pub tape: Option<&'a mut Tape>,
}

impl<'a> ForwardPass<'a> {
    /// Inference over `x` into `y` from states of zeros, and no more.
    #[must_use]
    pub fn over(x: SeqRef<'a>, y: SeqMut<'a>) -> Self {
        Self { x, h_0: None, c_0: None, resets: None, y, h_n: None, c_n: None, tape: None }
    }

    /// Training where it fills a tape.
    pub(crate) fn work(&self) -> Work {
        if self.tape.is_some() { Work::Train { d_input: false } } else { Work::Infer }
    }
}

/// What one worker writes.
pub(super) struct ForwardOutput<'a> {
    pub(super) y: SeqMut<'a>,
    pub(super) h_n: Option<(&'a mut [f32], usize)>,
    pub(super) c_n: Option<(&'a mut [f32], usize)>,
    pub(super) kept: Option<Kept<'a>>,
}

impl Divide for SlotsMut<'_> {
    fn divide(self, rows: usize) -> (Self, Self) {
        self.split_rows(rows)
    }
}

impl Divide for Kept<'_> {
    fn divide(self, rows: usize) -> (Self, Self) {
        let (gates, rest_gates) = self.gates.divide(rows);
        let (cells, rest_cells) = self.cells.divide(rows);
        let (m, rest_m) = self.m.divide(rows);
        (Self { gates, cells, m }, Self { gates: rest_gates, cells: rest_cells, m: rest_m })
    }
}

impl Divide for ForwardOutput<'_> {
    fn divide(self, rows: usize) -> (Self, Self) {
        let (y, rest_y) = self.y.divide(rows);
        let (h_n, rest_h_n) = self.h_n.divide(rows);
        let (c_n, rest_c_n) = self.c_n.divide(rows);
        let (kept, rest_kept) = self.kept.divide(rows);
        (Self { y, h_n, c_n, kept }, Self { y: rest_y, h_n: rest_h_n, c_n: rest_c_n, kept: rest_kept })
    }
}

/// What one worker computes besides its rows: some units, where they go, and who is told of them.
pub(super) struct Share<'a> {
    pub(super) units: Range<usize>,
    /// Set where other workers compute the remaining units.
    pub(super) exchange: Option<Exchange<'a>>,
    pub(super) y: Option<SeqMut<'a>>,
    pub(super) kept: Option<Kept<'a>>,
}

/// What one worker reads.
#[derive(Clone, Copy)]
pub(super) struct ForwardInput<'a> {
    pub(super) x: SeqRef<'a>,
    pub(super) h_0: Option<Mat<'a>>,
    pub(super) c_0: Option<Mat<'a>>,
    pub(super) resets: Resets<'a>,
}

impl ForwardInput<'_> {
    fn narrow_rows(self, first: usize, rows: usize) -> Self {
        let [h_0, c_0] = [self.h_0, self.c_0].map(|state| state.map(|state| state.narrow_rows(first, rows)));
        Self { x: self.x.narrow_rows(first, rows), h_0, c_0, resets: self.resets.narrow_rows(first, rows) }
    }
}

impl Layer {
    /// Runs the layer over a sequence.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) or [`Error::Length`](crate::Error::Length) naming the tensor that does not
    /// fit; [`Error::Setting`](crate::Error::Setting) for a plan without workers or steps;
    /// [`Error::Memory`](crate::Error::Memory), after which the output and the tape are of no use.
    pub fn forward(&self, plan: &Plan, pass: ForwardPass<'_>, scratch: &mut Scratch) -> Result<()> {
        plan.check()?;
        self.check_forward(&pass)?;
        let Sizes { hidden, projection, .. } = self.sizes;
        let (lines, width, output) = (pass.x.lines().compact(), whole_panels(hidden), self.sizes.output());
        let facts = self.sizes.cell.facts();
        let plan = &plan.for_shape(self.sizes.shape(lines.steps(), lines.rows()));
        let (mut filled, mut kept) = (None, None);
        if let Some(tape) = pass.tape {
            let Tape { gates, cells, m, filled: of, .. } = tape;
            *of = None;
            let total = lines.end();
            gates.try_resize("tape", total * facts.gradients() * width)?;
            cells.try_resize("tape", if facts.has_cell_state() { total * width } else { 0 })?;
            m.try_resize("tape", if projection > 0 { total * width } else { 0 })?;
            filled = Some(of);
            kept = facts.needs_tape().then(|| Kept {
                gates: SlotsMut::over(gates, lines, facts.gradients(), width),
                cells: facts.has_cell_state().then(|| SlotsMut::over(cells, lines, 1, width)),
                m: (projection > 0).then(|| SeqMut::over(m, lines, width)),
            });
        }
        let (x, resets) = (pass.x, Resets(pass.resets));
        let [h_0, c_0] = [pass.h_0, pass.c_0].map(|state| state.map(|state| state.step(0)));
        let h_n = pass.h_n.map(|h_n| (h_n, output));
        let c_n = pass.c_n.map(|c_n| (c_n, hidden));
        let read = ForwardInput { x, h_0, c_0, resets };
        let written = ForwardOutput { y: pass.y, h_n, c_n, kept };
        if plan.unit_workers > 1 {
            self.forward_units(plan, read, written, scratch)?;
        } else {
            scratch.reserve(plan.row_workers);
            try_share(plan.rows(lines), written, &mut scratch.workers, &|rows, written, worker: &mut Worker| {
                if !rows.is_empty() {
                    let read = read.narrow_rows(rows.start, rows.len());
                    let ForwardOutput { mut y, h_n, c_n, kept } = written;
                    let all = Share { units: 0..hidden, exchange: None, y: Some(y.reborrow()), kept };
                    self.run(plan, read, all, worker)?;
                    self.last_states(read, y, [h_n, c_n], worker);
                }
                Ok(())
            })?;
        }
        if let Some(filled) = filled {
            *filled = Some((lines.total(), self.sizes));
        }
        Ok(())
    }

    /// One worker's rows and units, forward. Leaves the last cell states in `bypass`.
    pub(super) fn run(&self, plan: &Plan, read: ForwardInput<'_>, share: Share<'_>, worker: &mut Worker) -> Result<()> {
        let Sizes { cell, hidden, projection, direction, .. } = self.sizes;
        let Share { units, mut exchange, mut y, mut kept } = share;
        let [steps, rows, _] = read.x.shape();
        let columns = GateColumns { gates: cell.gates() };
        let own = columns.width(units.len());
        let panels = columns.panels(units.clone());
        let [w_ih, w_hh] = [&self.w_ih, &self.w_hh].map(|panels_of| panels_of.view().panels(panels.clone()));
        let columns = panels.start * PANEL..panels.end * PANEL;
        let bias = Start::Columns(&self.bias[columns.clone()]);
        let bias_apart = if cell.facts().last_apart { &self.bias_apart[columns] } else { &[] };

        self.begin(read, worker)?;
        let Worker { gemm, z, carry: [now, next], operand, bypass: c, spill, .. } = worker;
        let spills = w_hh.depth().padded() > plan.forward.kc;
        spill.try_resize(WORKING, if spills { rows * own } else { 0 })?;
        let mut h = Carry { now, next };

        let blocks = steps.div_ceil(plan.time_block);
        for n in 0..blocks {
            let first = direction.nth(n, blocks) * plan.time_block;
            let block = plan.time_block.min(steps - first);
            let x = read.x.narrow_steps(first, block);
            z.try_resize(WORKING, x.lines().total() * own)?;
            let ahead = (n + 1 < blocks).then(|| {
                let first = direction.nth(n + 1, blocks) * plan.time_block;
                read.x.narrow_steps(first, plan.time_block.min(steps - first))
            });
            let input = Product { a: x, b: w_ih, chains: Chains::One, start: bias, c: &mut z[..], stride: own };
            multiply(self.kernels, plan.forward, input, gemm)?;
            let kept = kept.as_mut().map(|Kept { gates, cells, m }| Kept {
                gates: slots_of(gates, first, block),
                cells: cells.as_mut().map(|cells| slots_of(cells, first, block)),
                m: m.as_mut().map(|m| steps_of(m, first, block)),
            });
            let args = Forward {
                direction,
                hidden,
                units: units.clone(),
                lines: x.lines(),
                z,
                w_hh,
                bias_apart,
                spill,
                h: &mut h,
                c,
                projection: (projection > 0).then(|| Projection { w_hr: self.w_hr.view(), operand: &mut *operand }),
                y: y.as_mut().map(|y| steps_of(y, first, block)),
                exchange: exchange.as_mut().map(|exchange| &mut **exchange as Exchange<'_>),
                ahead,
                kept,
                resets: read.resets,
                first,
                kc: plan.forward.kc,
            };
            (self.kernels.recurrence(cell).forward)(args);
        }
        Ok(())
    }

    /// The first states into a worker's operands, and room for what a run carries.
    fn begin(&self, read: ForwardInput<'_>, worker: &mut Worker) -> Result<()> {
        let Sizes { cell, hidden, projection, .. } = self.sizes;
        let (rows, width, output) = (read.x.shape()[1], whole_panels(hidden), whole_blocks(self.sizes.output()));
        let Worker { carry: [now, next], operand, bypass: c, .. } = worker;
        now.try_resize(WORKING, rows * output)?;
        next.try_resize(WORKING, rows * output)?;
        match read.h_0 {
            Some(h_0) => pack_rows(self.kernels, now, rows, output, |row| h_0.row(row)),
            None => now.fill(0.0),
        }
        // Rows that begin later find their first state in either.
        next.copy_from_slice(now);
        c.try_resize(WORKING, if cell.facts().has_cell_state() { rows * width } else { 0 })?;
        fill_rows(c, width, read.c_0);
        operand.try_resize(WORKING, if projection > 0 { rows * width } else { 0 })
    }

    /// Each row's state after its last step, and the cell state that a run left with its worker.
    pub(super) fn last_states(
        &self,
        read: ForwardInput<'_>,
        y: SeqMut<'_>,
        [h_n, c_n]: [Option<(&mut [f32], usize)>; 2],
        worker: &Worker,
    ) {
        let Sizes { hidden, direction, .. } = self.sizes;
        if let Some((h_n, _)) = h_n {
            last_states(y, direction, read.h_0, h_n);
        }
        if let Some((c_n, _)) = c_n {
            for (to, from) in c_n.chunks_exact_mut(hidden).zip(worker.bypass.chunks_exact(whole_panels(hidden))) {
                to.copy_from_slice(&from[..hidden]);
            }
        }
    }

    fn check_forward(&self, pass: &ForwardPass<'_>) -> Result<()> {
        let [steps, batch, _] = pass.x.shape();
        let (output, hidden) = (self.sizes.output(), self.sizes.hidden);
        check_shape("input", &[steps, batch, self.sizes.input], &pass.x.shape())?;
        check_shape("output", &[steps, batch, output], &pass.y.shape())?;
        self.check_states(batch, pass.h_0, pass.c_0)?;
        if let Some(resets) = pass.resets {
            check_shape("resets", &[steps, batch], &resets.shape())?;
        }
        if let Some(h_n) = &pass.h_n {
            check_len("h_n", &[1, batch, output], h_n)?;
        }
        if let Some(c_n) = &pass.c_n {
            check_len("c_n", &[1, batch, if self.sizes.cell.facts().has_cell_state() { hidden } else { 0 }], c_n)?;
        }
        Ok(())
    }

    pub(super) fn check_states(&self, batch: usize, h_0: Option<SeqRef<'_>>, c_0: Option<SeqRef<'_>>) -> Result<()> {
        if let Some(h_0) = h_0 {
            check_shape("h_0", &[1, batch, self.sizes.output()], &h_0.shape())?;
        }
        if let Some(c_0) = c_0 {
            let hidden = if self.sizes.cell.facts().has_cell_state() { self.sizes.hidden } else { 0 };
            check_shape("c_0", &[1, batch, hidden], &c_0.shape())?;
        }
        Ok(())
    }
}

/// The steps `first..first + steps` for a shorter life.
fn steps_of<'a>(seq: &'a mut SeqMut<'_>, first: usize, steps: usize) -> SeqMut<'a> {
    seq.reborrow().split_steps(first).1.split_steps(steps).0
}

/// The same of slots.
fn slots_of<'a>(slots: &'a mut SlotsMut<'_>, first: usize, steps: usize) -> SlotsMut<'a> {
    slots.reborrow().split_steps(first).1.split_steps(steps).0
}

/// Sets rows of `width` elements to those of `from`, or zeros.
pub(super) fn fill_rows(buffer: &mut Buffer, width: usize, from: Option<Mat<'_>>) {
    match from {
        Some(from) => {
            for (i, row) in buffer.chunks_exact_mut(width).enumerate() {
                let from = from.row(i);
                row[..from.len()].copy_from_slice(from);
            }
        }
        None => buffer.fill(0.0),
    }
}

/// Each row's state after its last step: of one without any, the first.
fn last_states(mut y: SeqMut<'_>, direction: Direction, h_0: Option<Mat<'_>>, h_n: &mut [f32]) {
    let [steps, rows, width] = y.shape();
    let lines = y.lines();
    let alive = |t: usize| if t < steps { lines.at(t).len() } else { 0 };
    let mut put = |row: usize, from: Option<&[f32]>| match from {
        Some(from) => h_n[row * width..][..width].copy_from_slice(from),
        None => h_n[row * width..][..width].fill(0.0),
    };
    match direction {
        Direction::Forward => {
            // In a dense sequence all rows end together.
            let ends = if lines.is_dense() { steps.saturating_sub(1) } else { 0 };
            for t in (ends..steps).rev() {
                let step = y.step(t);
                (alive(t + 1)..alive(t)).for_each(|row| put(row, Some(step.read(row))));
            }
        }
        Direction::Reverse if steps > 0 => {
            let step = y.step(0);
            (0..alive(0)).for_each(|row| put(row, Some(step.read(row))));
        }
        Direction::Reverse => {}
    }
    (alive(0)..rows).for_each(|row| put(row, h_0.map(|h_0| h_0.row(row))));
}
