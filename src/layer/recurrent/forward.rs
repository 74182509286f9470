//! A layer forward: project a block of steps, recur over it, and so on.

use std::ops::Range;

use super::layer::{Layer, Scratch, Tape, Worker, check_len};
use super::{Direction, Parts, Sizes};
use crate::error::{Result, check_shape};
use crate::gemm::multiply;
use crate::gemm::panel::pack_rows;
use crate::kernel::elementwise::copy_few;
use crate::kernel::gemm::Start;
use crate::kernel::layout::{KB, group_rows, groups, round_up};
use crate::kernel::recurrence::{Carry, Exchange, Forward, Kept, Projection};
use crate::parallel::Member;
use crate::parallel::{Divide, share};
use crate::plan::Plan;
use crate::tensor::{Buffer, Lines, Mat, MatMut, Resets, SeqMut, SeqRef};

/// What a forward pass reads and writes.
#[derive(Debug)]
pub struct ForwardPass<'a> {
    /// (T, B, I).
    pub x: SeqRef<'a>,
    /// (1, B, P): the state before the first step, zeros where it is not given.
    pub h_0: Option<SeqRef<'a>>,
    /// (1, B, H): an LSTM's cell state before the first step, zeros where it is not given.
    pub c_0: Option<SeqRef<'a>>,
    /// (T, B, 1): not zero where a new sequence begins: no state passes between that step and the one before, whichever
    /// way the layer goes.
    pub resets: Option<SeqRef<'a>>,
    /// (T, B, P): receives every state.
    pub y: SeqMut<'a>,
    /// (1, B, P), row-major: receives each row's state after its last step.
    pub h_n: Option<&'a mut [f32]>,
    /// (1, B, H), row-major: receives an LSTM's cell state after each row's last step.
    pub c_n: Option<&'a mut [f32]>,
    /// Receives what the way back needs.
    pub tape: Option<&'a mut Tape>,
}

/// What one worker writes.
struct Written<'a> {
    y: SeqMut<'a>,
    h_n: Option<(&'a mut [f32], usize)>,
    c_n: Option<(&'a mut [f32], usize)>,
    kept: Option<Kept<'a>>,
}

impl Divide for Kept<'_> {
    fn divide(self, rows: usize) -> (Self, Self) {
        let (gates, rest_gates) = self.gates.divide(rows);
        let (cells, rest_cells) = self.cells.divide(rows);
        let (m, rest_m) = self.m.divide(rows);
        (Self { gates, cells, m }, Self { gates: rest_gates, cells: rest_cells, m: rest_m })
    }
}

impl Divide for Written<'_> {
    fn divide(self, rows: usize) -> (Self, Self) {
        let (y, rest_y) = self.y.divide(rows);
        let (h_n, rest_h_n) = self.h_n.divide(rows);
        let (c_n, rest_c_n) = self.c_n.divide(rows);
        let (kept, rest_kept) = self.kept.divide(rows);
        (Self { y, h_n, c_n, kept }, Self { y: rest_y, h_n: rest_h_n, c_n: rest_c_n, kept: rest_kept })
    }
}

/// What one worker reads.
#[derive(Clone, Copy)]
struct Read<'a> {
    x: SeqRef<'a>,
    h_0: Option<Mat<'a>>,
    c_0: Option<Mat<'a>>,
    resets: Resets<'a>,
}

impl Read<'_> {
    fn rows(self, first: usize, rows: usize) -> Self {
        let [h_0, c_0] = [self.h_0, self.c_0].map(|state| state.map(|state| state.rows(first, rows)));
        Self { x: self.x.rows(first, rows), h_0, c_0, resets: self.resets.rows(first, rows) }
    }
}

impl Layer {
    /// Runs the layer over a sequence.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) or [`Error::Length`](crate::Error::Length) naming the tensor that does not
    /// fit; [`Error::Setting`](crate::Error::Setting) for a plan without workers or steps.
    pub fn forward(&self, plan: &Plan, pass: ForwardPass<'_>, scratch: &mut Scratch) -> Result<()> {
        plan.check()?;
        self.check_forward(&pass)?;
        let Sizes { hidden, projection, .. } = self.sizes;
        let (lines, width, output) = (pass.x.lines().compact(), round_up(hidden), self.sizes.output());
        let Parts { kept, cell_state, keeps, .. } = self.parts();
        let kept = pass.tape.map(|tape| {
            let Tape { gates, cells, m, filled, .. } = tape;
            let total = lines.end();
            *filled = Some((lines.total(), self.sizes));
            gates.resize(total * kept * width);
            cells.resize(if cell_state { total * width } else { 0 });
            m.resize(if projection > 0 { total * width } else { 0 });
            Kept {
                gates: SeqMut::over(gates, lines, kept * width),
                cells: cell_state.then(|| SeqMut::over(cells, lines, width)),
                m: (projection > 0).then(|| SeqMut::over(m, lines, width)),
            }
        });
        // An Elman layer's outputs are all that its way back needs.
        let kept = kept.filter(|_| keeps);
        let (x, resets) = (pass.x, Resets(pass.resets));
        let [h_0, c_0] = [pass.h_0, pass.c_0].map(|state| state.map(|state| state.step(0)));
        let h_n = pass.h_n.map(|h_n| (h_n, output));
        let c_n = pass.c_n.map(|c_n| (c_n, hidden));
        let read = Read { x, h_0, c_0, resets };
        let written = Written { y: pass.y, h_n, c_n, kept };
        if plan.unit_workers > 1 && self.can_share_units() && written.kept.is_none() {
            self.forward_units(plan, read, written, scratch);
            return Ok(());
        }
        scratch.reserve(plan.row_workers);
        share(plan.rows(lines), written, &mut scratch.workers, &|rows, written, worker: &mut Worker| {
            if !rows.is_empty() {
                let read = read.rows(rows.start, rows.len());
                let Written { mut y, h_n, c_n, kept } = written;
                self.run(plan, read, (0..hidden, None), (Some(y.reborrow()), kept), worker);
                self.last_states(read, y, [h_n, c_n], worker);
            }
        });
        Ok(())
    }

    /// Whether units can have different owners: a projection needs all of them in mid-step.
    pub(super) fn can_share_units(&self) -> bool {
        self.sizes.projection == 0
    }

    /// All rows forward, by workers that own units and show each other their states after every step.
    fn forward_units(&self, plan: &Plan, read: Read<'_>, written: Written<'_>, scratch: &mut Scratch) {
        let (hidden, mr) = (self.sizes.hidden, group_rows(self.kernels.isa().lanes()));
        let (width, panels, cell_state) = (round_up(hidden), hidden.div_ceil(KB), self.parts().cell_state);
        let rows = read.x.lines().rows();
        if rows == 0 {
            return;
        }
        let members = plan.unit_workers.min(panels);
        scratch.reserve(members);
        let Scratch { workers, team, .. } = scratch;
        // Who joins later than another time, or works for more, finds room too.
        let block = plan.time_block.min(read.x.lines().steps()) * rows;
        workers[..members].iter_mut().for_each(|worker| self.reserve(worker, rows, block));
        // An operand is made of groups of rows, and of each a panel has its part.
        team.arrange(members, panels, groups(rows, mr).map(|(_, size)| size * KB));
        team.meet(written, &mut workers[..members], &|mut member: Member<'_>, written, worker: &mut Worker| {
            // The first member has the whole output in hand after each step; nobody else needs to write it.
            let (mut y, states) = written.map_or((None, [None, None]), |all| (Some(all.y), [all.h_n, all.c_n]));
            let share = member.share();
            let units = share.start * KB..(share.end * KB).min(hidden);
            // Its own units it writes at the end of a tile.
            let (own, mut others) = match &mut y {
                Some(y) => Some(y.reborrow().split_columns(units.end)).unzip(),
                None => (None, None),
            };
            let after = share.end;
            let mut exchange = |t: usize, next: &mut [f32]| {
                member.exchange(next);
                if let Some(others) = &mut others {
                    unpack(next, after, (rows, mr), others.step(t));
                }
            };
            self.run(plan, read, (units, Some(&mut exchange)), (own, None), worker);
            if cell_state {
                // By way of an operand, which is what can be exchanged.
                let Worker { beside: c, carry: [operand, _], .. } = worker;
                pack_rows(self.kernels, operand, rows, width, |row| &c[row * width..][..width]);
                member.exchange(operand);
                unpack(operand, 0, (rows, mr), SeqMut::over(c, Lines::dense(1, rows), width).step(0));
            }
            if let Some(y) = y {
                self.last_states(read, y, states, worker);
            }
        });
    }

    /// Room for a worker that runs these rows, `block` of all steps at a time.
    fn reserve(&self, worker: &mut Worker, rows: usize, block: usize) {
        let Parts { gates, cell_state, .. } = self.parts();
        let (width, input) = (round_up(self.sizes.hidden), round_up(self.sizes.input));
        let Worker { gemm, z, carry, beside, aside, .. } = worker;
        gemm.reserve(block, input);
        z.reserve(block * gates * width);
        carry.iter_mut().for_each(|carry| carry.reserve(rows * width));
        beside.reserve(if cell_state { rows * width } else { 0 });
        aside.reserve(rows * gates * width);
    }

    /// One worker's rows and units, forward. Leaves the last cell states in `beside`.
    fn run(
        &self,
        plan: &Plan,
        read: Read<'_>,
        (units, mut exchange): (Range<usize>, Option<Exchange<'_>>),
        (mut y, mut kept): (Option<SeqMut<'_>>, Option<Kept<'_>>),
        worker: &mut Worker,
    ) {
        let Sizes { cell, hidden, projection, direction, .. } = self.sizes;
        let Parts { gates, cell_state, last_apart, .. } = self.parts();
        let Read { x, h_0, c_0, resets } = read;
        let ([steps, rows, _], output) = (x.shape(), round_up(self.sizes.output()));
        let (width, own) = (round_up(hidden), gates * round_up(units.len()));
        // The gates' panels alternate: those of some units lie side by side.
        let panels = units.start / KB * gates..units.end.div_ceil(KB) * gates;
        let columns = panels.start * KB..panels.end * KB;
        let [w_ih, w_hh] = [&self.w_ih, &self.w_hh].map(|panels_of| panels_of.view().panels(panels.clone()));
        let bias = Start::Columns(&self.bias[columns.clone()]);
        let bias_apart = if last_apart { &self.bias_apart[columns] } else { &[] };

        let Worker { gemm, z, carry: [now, next], operand, beside: c, aside, .. } = worker;
        now.resize(rows * output);
        next.resize(rows * output);
        match h_0 {
            Some(h_0) => pack_rows(self.kernels, now, rows, output, |row| h_0.row(row)),
            None => now.fill(0.0),
        }
        // Rows that begin later find their first state in either.
        next.copy_from_slice(now);
        let mut h = Carry { now, next };
        c.resize(if cell_state { rows * width } else { 0 });
        fill_rows(c, width, c_0);
        let spills = w_hh.depth().padded() > plan.forward.kc;
        aside.resize(if spills { rows * own } else { 0 });
        operand.resize(if projection > 0 { rows * width } else { 0 });

        let blocks = steps.div_ceil(plan.time_block);
        for n in 0..blocks {
            let first = direction.nth(n, blocks) * plan.time_block;
            let block = plan.time_block.min(steps - first);
            let x = x.steps(first, block);
            z.resize(x.lines().total() * own);
            let ahead = (n + 1 < blocks).then(|| {
                let first = direction.nth(n + 1, blocks) * plan.time_block;
                read.x.steps(first, plan.time_block.min(steps - first))
            });
            multiply(self.kernels, plan.forward, x, w_ih, bias, (&mut z[..], own), gemm);
            let kept = kept.as_mut().map(|Kept { gates, cells, m }| Kept {
                gates: steps_of(gates, first, block),
                cells: cells.as_mut().map(|cells| steps_of(cells, first, block)),
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
                aside,
                h: &mut h,
                c,
                projection: (projection > 0).then(|| Projection { w_hr: self.w_hr.view(), operand: &mut *operand }),
                y: y.as_mut().map(|y| steps_of(y, first, block)),
                exchange: exchange.as_mut().map(|exchange| &mut **exchange as Exchange<'_>),
                ahead,
                kept,
                resets,
                first,
                kc: plan.forward.kc,
            };
            (self.parts().forward)(self.kernels, cell, args);
        }
    }

    /// Each row's state after its last step, and the cell state that a run left with its worker.
    fn last_states(
        &self,
        read: Read<'_>,
        y: SeqMut<'_>,
        [h_n, c_n]: [Option<(&mut [f32], usize)>; 2],
        worker: &Worker,
    ) {
        let Sizes { hidden, direction, .. } = self.sizes;
        if let Some((h_n, _)) = h_n {
            last_states(y, direction, read.h_0, h_n);
        }
        if let Some((c_n, _)) = c_n {
            for (to, from) in c_n.chunks_exact_mut(hidden).zip(worker.beside.chunks_exact(round_up(hidden))) {
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
            check_shape("resets", &[steps, batch, 1], &resets.shape())?;
        }
        if let Some(h_n) = &pass.h_n {
            check_len("h_n", &[1, batch, output], h_n)?;
        }
        if let Some(c_n) = &pass.c_n {
            check_len("c_n", &[1, batch, if self.parts().cell_state { hidden } else { 0 }], c_n)?;
        }
        Ok(())
    }

    pub(super) fn check_states(&self, batch: usize, h_0: Option<SeqRef<'_>>, c_0: Option<SeqRef<'_>>) -> Result<()> {
        if let Some(h_0) = h_0 {
            check_shape("h_0", &[1, batch, self.sizes.output()], &h_0.shape())?;
        }
        if let Some(c_0) = c_0 {
            let hidden = if self.parts().cell_state { self.sizes.hidden } else { 0 };
            check_shape("c_0", &[1, batch, hidden], &c_0.shape())?;
        }
        Ok(())
    }
}

/// The steps `first..first + steps` for a shorter life.
fn steps_of<'a>(seq: &'a mut SeqMut<'_>, first: usize, steps: usize) -> SeqMut<'a> {
    seq.reborrow().split_steps(first).1.split_steps(steps).0
}

/// The units of a step's state from panel `panel` on, out of the operand of the next step, whose rows lie in groups.
fn unpack(operand: &[f32], panel: usize, (rows, mr): (usize, usize), mut y: MatMut<'_>) {
    let (width, alive) = (operand.len() / rows, y.rows());
    for (first, size) in groups(rows, mr) {
        for i in (0..size).take_while(|i| first + i < alive) {
            let from = |p: usize| &operand[first * width + (p * size + i) * KB..][..KB];
            let (full, rest) = y.row(first + i).as_chunks_mut::<KB>();
            let last = panel + full.len();
            // Of known length: else each is a call.
            for (p, to) in (panel..).zip(full) {
                to.copy_from_slice(from(p));
            }
            if !rest.is_empty() {
                copy_few(rest, &from(last)[..rest.len()]);
            }
        }
    }
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
            for t in (0..steps).rev() {
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
