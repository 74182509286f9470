//! A layer by workers that own hidden units: forward they show each other their states after every step, backward their
//! gradients.

use std::iter::repeat_n;
use std::ops::Range;

use super::backward::{BackwardInput, BackwardOutput, BackwardShare, BackwardWeights};
use super::forward::{ForwardInput, ForwardOutput, Share};
use super::memory::{Scratch, Worker};
use super::weights::Layer;
use crate::error::Result;
use crate::gemm::WORKING;
use crate::gemm::panel::{pack_rows, unpack_rows};
use crate::kernel::groups::groups;
use crate::kernel::layout::{K_BLOCK, PANEL, whole_blocks, whole_panels};
use crate::kernel::recurrence::Kept;
use crate::parallel::Team;
use crate::plan::Plan;
use crate::tensor::{Lines, SeqMut};

/// h_n or c_n, where it is wanted, and its width.
type LastState<'a> = Option<(&'a mut [f32], usize)>;

/// What a member writes.
struct UnitOutput<'a> {
    /// The output and the last states, of the first.
    whole: Option<(SeqMut<'a>, [LastState<'a>; 2])>,
    kept: Option<Kept<'a>>,
}

/// What a member writes who owns those panels of units, the first of all that are left; and what is left.
fn divide<'a>(left: UnitOutput<'a>, panels: Range<usize>) -> (UnitOutput<'a>, UnitOutput<'a>) {
    let (own, others) = left
        .kept
        .map(|Kept { gates, cells, .. }| {
            let (gates, other_gates) = gates.split_units(panels.end * PANEL);
            let (cells, other_cells) = cells.map(|cells| cells.split_units(panels.end * PANEL)).unzip();
            (Kept { gates, cells, m: None }, Kept { gates: other_gates, cells: other_cells, m: None })
        })
        .unzip();
    (UnitOutput { whole: left.whole, kept: own }, UnitOutput { whole: None, kept: others })
}

/// The same backward: the gradients of the first states are the first member's.
fn divide_back<'a>(left: BackwardOutput<'a>, panels: Range<usize>) -> (BackwardOutput<'a>, BackwardOutput<'a>) {
    let (gates, others) = left.gates.split_units(panels.end * PANEL);
    let others = BackwardOutput { gates: others, d_h: None, d_h_0: None, d_c_0: None };
    (BackwardOutput { gates, ..left }, others)
}

impl Layer {
    /// All rows forward, by workers that own units and show each other their states after every step.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory).
    pub(super) fn forward_units(
        &self,
        plan: &Plan,
        read: ForwardInput<'_>,
        written: ForwardOutput<'_>,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let (hidden, mr) = (self.sizes.hidden, self.kernels.geometry().mr);
        let (width, panels) = (whole_panels(hidden), hidden.div_ceil(PANEL));
        let cell_state = self.sizes.cell.facts().has_cell_state();
        let rows = read.x.lines().rows();
        if rows == 0 {
            return Ok(());
        }
        let members = plan.unit_workers.min(panels);
        scratch.reserve(members);
        let Scratch { workers, team, .. } = scratch;
        // Reserve for every possible member: who joins, and with how many units, differs from call to call, and a warm
        // call must not allocate. And a member that failed would leave the others waiting.
        let block = plan.time_block.min(read.x.lines().steps()) * rows;
        workers[..members].iter_mut().try_for_each(|worker| self.reserve(worker, rows, block))?;
        // An operand is made of groups of rows, and of each a panel has its part.
        team.arrange(members, panels, groups(rows, mr).map(|(_, size)| size * K_BLOCK))?;
        let ForwardOutput { y, h_n, c_n, kept } = written;
        // The first member has the whole output in hand after each step; no other needs to write it. What is kept of a unit
        // is written by who computes it.
        let whole = UnitOutput { whole: Some((y, [h_n, c_n])), kept };
        team.meet(whole, &mut workers[..members], &divide, &|mut member, written, worker: &mut Worker| {
            let UnitOutput { whole, kept } = written;
            let (mut y, states) = whole.map_or((None, [None, None]), |(y, states)| (Some(y), states));
            let share = member.share();
            let units = share.start * PANEL..(share.end * PANEL).min(hidden);
            // Its own units it writes at the end of a tile.
            let (own, mut others) = match &mut y {
                Some(y) => Some(y.reborrow().split_columns(units.end)).unzip(),
                None => (None, None),
            };
            let after = share.end;
            let mut exchange = |t: usize, next: &mut [f32]| {
                member.exchange(next);
                if let Some(others) = &mut others {
                    unpack_rows(self.kernels, next, rows, after, others.step(t));
                }
            };
            let share = Share { units, exchange: Some(&mut exchange), y: own, kept };
            self.run(plan, read, share, worker).expect("room that was reserved");
            if cell_state {
                // By way of an operand, which is what can be exchanged.
                let Worker { bypass: c, carry: [operand, _], .. } = worker;
                pack_rows(self.kernels, operand, rows, width, |row| &c[row * width..][..width]);
                member.exchange(operand);
                unpack_rows(self.kernels, operand, rows, 0, SeqMut::over(c, Lines::dense(1, rows), width).step(0));
            }
            if let Some(y) = y {
                self.last_states(read, y, states, worker);
            }
        });
        Ok(())
    }

    /// All rows backward, by workers that own units and show each other their gradients after every step.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory).
    pub(super) fn backward_units(
        &self,
        plan: &Plan,
        read: BackwardInput<'_>,
        weights: BackwardWeights<'_>,
        written: BackwardOutput<'_>,
        (workers, team): (&mut [Worker], &mut Team),
    ) -> Result<()> {
        let (hidden, mr) = (self.sizes.hidden, self.kernels.geometry().mr);
        let (panels, gates) = (hidden.div_ceil(PANEL), self.sizes.cell.gates());
        let rows = read.y.lines().rows();
        if rows == 0 {
            return Ok(());
        }
        let members = plan.unit_workers.min(panels);
        // A member that failed would leave the others waiting.
        workers[..members].iter_mut().try_for_each(|worker| self.make_room_back(worker, rows))?;
        // Of each group of rows a panel of units has its part in every gate.
        let pieces = groups(rows, mr).flat_map(|(_, size)| repeat_n(size * K_BLOCK, gates));
        team.arrange(members, panels, pieces)?;
        team.meet(written, &mut workers[..members], &divide_back, &|mut member, written, worker: &mut Worker| {
            let share = member.share();
            let units = share.start * PANEL..(share.end * PANEL).min(hidden);
            let mut exchange = |_: usize, next: &mut [f32]| member.exchange(next);
            let share = BackwardShare { units, exchange: Some(&mut exchange) };
            self.back(plan, read, weights, written, share, worker).expect("room that was made");
        });
        Ok(())
    }

    /// Room for a worker that runs these rows, `block` of all steps at a time.
    fn reserve(&self, worker: &mut Worker, rows: usize, block: usize) -> Result<()> {
        let facts = self.sizes.cell.facts();
        let (width, input) = (whole_panels(self.sizes.hidden), whole_blocks(self.sizes.input));
        let Worker { gemm, z, carry, bypass, spill, .. } = worker;
        gemm.try_reserve(self.kernels, block, input, facts.gates * width)?;
        z.try_reserve(WORKING, block * facts.gates * width)?;
        carry.iter_mut().try_for_each(|carry| carry.try_reserve(WORKING, rows * width))?;
        bypass.try_reserve(WORKING, if facts.has_cell_state() { rows * width } else { 0 })?;
        spill.try_reserve(WORKING, rows * facts.gates * width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Kernels;
    use crate::layer::{Cell, Direction, ForwardPass, Nonlinearity, Sizes, Tape};
    use crate::parallel::Threads;
    use crate::plan::Work;
    use crate::tensor::Seq;

    /// Workers that have run in a pass by a plan that shares units.
    fn workers(cell: Cell, projection: usize, work: Work) -> usize {
        let sizes = Sizes { cell, input: 3, hidden: 40, projection, direction: Direction::Forward };
        let layer = Layer::new(sizes, Kernels::best()).unwrap();
        let plan = Plan { unit_workers: 3, ..layer.plan(work, [2, 1], Threads::one()).unwrap() };
        let (x, mut y) = (Seq::zeros(2, 1, 3).unwrap(), Seq::zeros(2, 1, sizes.output()).unwrap());
        let (mut tape, mut scratch) = (Tape::default(), Scratch::default());
        let pass = ForwardPass {
            tape: (work != Work::Infer).then_some(&mut tape),
            ..ForwardPass::over(x.view(), y.view_mut())
        };
        layer.forward(&plan, pass, &mut scratch).unwrap();
        // What is predicted is what is done.
        assert_eq!(plan.for_shape(sizes.shape(2, 1)).unit_workers, scratch.workers.len());
        scratch.workers.len()
    }

    #[test]
    fn units_are_shared_as_the_plan_says() {
        let train = Work::Train { d_input: true };
        for (cell, projection, expected) in [
            (Cell::Elman(Nonlinearity::Tanh), 0, [3, 3]),
            (Cell::Gru, 0, [3, 3]),
            (Cell::Lstm, 0, [3, 3]),
            (Cell::Lstm, 8, [1, 1]),
        ] {
            assert_eq!([Work::Infer, train].map(|work| workers(cell, projection, work)), expected, "{cell:?}");
        }
    }
}
