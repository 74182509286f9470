//! A layer backward: recur to the first step, then everything that does not depend on time.
//!
//! ```text
//! d_a_t, …               step by step, backwards: the cell's file
//! d_W, d_b               afterwards, over all steps and rows at once: gradients.rs
//! d_x_t   = d_a_t·W_ih,  d_h_0 = d_a_0·W_hh
//! ```

use std::ops::Range;

use super::forward::fill_rows;
use super::gradients::{LayerGradients, Sums};
use super::memory::{Scratch, Tape, Worker};
use super::weights::{Layer, Weights, check_len};
use super::{Sizes, Write};
use crate::error::{Error, Result, check_shape};
use crate::gemm::{OperandRows, Product, WORKING, multiply};
use crate::kernel::layout::{Depth, GateColumns, PanelsRef, whole_panels};
use crate::kernel::product::Chains;
use crate::kernel::recurrence::{BackProjection, Backward, Carry, Exchange, FirstGradient, Projection};
use crate::parallel::{Divide, try_share};
use crate::plan::Plan;
use crate::tensor::{History, Mask, Mat, Resets, SeqMut, SeqRef, SlotsMut};

/// What a backward pass reads and writes.
#[derive(Debug)]
pub struct BackwardPass<'a> {
    /// The parameters of the forward run.
    pub weights: Weights<'a>,
    /// (T, B, I): its input.
    pub x: SeqRef<'a>,
    /// (1, B, O): its first state, if one was given.
    pub h_0: Option<SeqRef<'a>>,
    /// (1, B, H): its first cell state, if one was given.
    pub c_0: Option<SeqRef<'a>>,
    /// (T, B): its resets, if any were given.
    pub resets: Option<Mask<'a>>,
    /// (T, B, O): its output.
    pub y: SeqRef<'a>,
    /// The forward pass's tape; consumed. An Elman layer records nothing, so any tape will do.
    pub tape: &'a mut Tape,
    /// (T, B, O): the gradient at every output.
    pub d_y: SeqRef<'a>,
    /// (1, B, O): the gradient that reaches the last state besides.
    pub d_h_n: Option<SeqRef<'a>>,
    /// (1, B, H): the gradient that reaches the last cell state.
    pub d_c_n: Option<SeqRef<'a>>,
    /// Receives the gradients of the parameters.
    pub gradients: LayerGradients<'a>,
    /// (all rows of all steps, I), row-major: receives the gradient of the input.
    pub d_x: Option<(&'a mut [f32], Write)>,
    /// (1, B, O): receives the gradient of the first state.
    pub d_h_0: Option<&'a mut [f32]>,
    /// (1, B, H): receives the gradient of the first cell state.
    pub d_c_0: Option<&'a mut [f32]>,
}

/// What one worker of the recurrence writes.
pub(super) struct BackwardOutput<'a> {
    pub(super) gates: SlotsMut<'a>,
    pub(super) d_h: Option<SeqMut<'a>>,
    pub(super) d_h_0: Option<(&'a mut [f32], usize)>,
    pub(super) d_c_0: Option<(&'a mut [f32], usize)>,
}

impl Divide for BackwardOutput<'_> {
    fn divide(self, rows: usize) -> (Self, Self) {
        let (gates, rest_gates) = self.gates.divide(rows);
        let (d_h, rest_d_h) = self.d_h.divide(rows);
        let (d_h_0, rest_d_h_0) = self.d_h_0.divide(rows);
        let (d_c_0, rest_d_c_0) = self.d_c_0.divide(rows);
        let rest = Self { gates: rest_gates, d_h: rest_d_h, d_h_0: rest_d_h_0, d_c_0: rest_d_c_0 };
        (Self { gates, d_h, d_h_0, d_c_0 }, rest)
    }
}

/// What one worker of the recurrence reads.
#[derive(Clone, Copy)]
pub(super) struct BackwardInput<'a> {
    pub(super) y: SeqRef<'a>,
    history: History<'a>,
    d_y: SeqRef<'a>,
    d_h_n: Option<Mat<'a>>,
    d_c_n: Option<Mat<'a>>,
}

impl<'a> BackwardInput<'a> {
    fn narrow_rows(self, first: usize, rows: usize) -> Self {
        let of = |state: Option<Mat<'a>>| state.map(|state| state.narrow_rows(first, rows));
        let History { states, first: before, resets, direction } = self.history;
        let states = states.narrow_rows(first, rows);
        let history = History { states, first: of(before), resets: resets.narrow_rows(first, rows), direction };
        let (y, d_y) = (self.y.narrow_rows(first, rows), self.d_y.narrow_rows(first, rows));
        Self { y, history, d_y, d_h_n: of(self.d_h_n), d_c_n: of(self.d_c_n) }
    }
}

/// The weights that the recurrence multiplies with.
#[derive(Clone, Copy)]
pub(super) struct BackwardWeights<'a> {
    w_hh: PanelsRef<'a>,
    w_hr: PanelsRef<'a>,
}

/// The units of one worker, and who is told of them.
pub(super) struct BackwardShare<'a> {
    pub(super) units: Range<usize>,
    /// Set where other workers compute the remaining units.
    pub(super) exchange: Option<Exchange<'a>>,
}

impl Layer {
    /// Runs the layer backward: writes the parameters' gradients, and those of the input and of the first state where
    /// they are wanted.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::Length`] naming the tensor that does not fit; [`Error::State`] for a tape that no
    /// forward run over these steps has filled, and for a plan without workers or steps; [`Error::Memory`], after which
    /// the gradients and the tape are of no use.
    pub fn backward(&self, plan: &Plan, pass: BackwardPass<'_>, scratch: &mut Scratch) -> Result<()> {
        plan.check()?;
        self.check_backward(&pass)?;
        let Sizes { cell, input, hidden, projection, direction } = self.sizes;
        let facts = cell.facts();
        let (lines, width, output) = (pass.x.lines().compact(), whole_panels(hidden), self.sizes.output());
        let plan = &plan.for_shape(self.sizes.shape(lines.steps(), lines.rows()));
        let BackwardPass { weights, x, y, d_y, tape, gradients, d_x, .. } = pass;

        let Tape { gates: d_a, cells, m, d_h, filled } = tape;
        *filled = None;
        d_a.try_resize("tape", lines.end() * facts.gradients() * width)?;
        d_h.try_resize("tape", if projection > 0 { lines.end() * whole_panels(output) } else { 0 })?;
        let cells = facts.has_cell_state().then(|| SeqRef::over(cells, lines, width));

        scratch.reserve(plan.row_workers.max(plan.unit_workers).max(plan.gradient_workers));
        self.lay_out_backward(weights, scratch)?;
        let Scratch { workers, w_hh, w_ih, w_hr, zeros, team, .. } = scratch;
        let back = BackwardWeights { w_hh: w_hh.view(), w_hr: w_hr.view() };
        let resets = Resets(pass.resets);
        let [h_0, c_0, d_h_n, d_c_n] =
            [pass.h_0, pass.c_0, pass.d_h_n, pass.d_c_n].map(|state| state.map(|state| state.step(0)));
        let (states, first) = cells.map_or((y, h_0), |cells| (cells, c_0));
        let read = BackwardInput { y, history: History { states, first, resets, direction }, d_y, d_h_n, d_c_n };
        let written = BackwardOutput {
            gates: SlotsMut::over(d_a, lines, facts.gradients(), width),
            d_h: (projection > 0).then(|| SeqMut::over(d_h, lines, whole_panels(output))),
            d_h_0: pass.d_h_0.map(|d_h_0| (d_h_0, output)),
            d_c_0: pass.d_c_0.map(|d_c_0| (d_c_0, hidden)),
        };
        if plan.unit_workers > 1 {
            self.backward_units(plan, read, back, written, (workers, team))?;
        } else {
            try_share(plan.rows(lines), written, workers, &|rows, written, worker: &mut Worker| {
                let all = BackwardShare { units: 0..hidden, exchange: None };
                self.back(plan, read.narrow_rows(rows.start, rows.len()), back, written, all, worker)
            })?;
        }

        let d_a = SeqRef::over(d_a, lines, facts.gradients() * width);
        let projected = (projection > 0).then(|| {
            [SeqRef::over(d_h, lines, whole_panels(output)), SeqRef::over(m, lines, width).narrow_columns(0, hidden)]
        });
        let before = OperandRows::Before(History { states: y, first: h_0, resets, direction }, zeros);
        self.gradients(plan, Sums { d_a, x: OperandRows::Of(x), before, projected }, gradients, workers)?;

        if let Some((d_x, write)) = d_x {
            w_ih.reshape(WORKING, Depth { runs: facts.gates, len: hidden }, input)?;
            w_ih.pack(weights.weight_ih);
            // No step depends on another: all rows are as one step's.
            let d_a = d_a.narrow_columns(0, facts.gates * width).as_one_step();
            try_share(
                plan.gradients(lines.end()),
                (d_x, input),
                workers,
                &|rows, (c, stride), worker: &mut Worker| {
                    let a = d_a.narrow_rows(rows.start, rows.len());
                    let product = Product { a, b: w_ih.view(), chains: Chains::One, start: write.start(), c, stride };
                    multiply(self.kernels, plan.backward, product, &mut worker.gemm)
                },
            )?;
        }
        Ok(())
    }

    /// Lays out the weights that the recurrence multiplies with, the other way round than forward.
    fn lay_out_backward(&self, weights: Weights<'_>, scratch: &mut Scratch) -> Result<()> {
        let Sizes { cell, hidden, projection, .. } = self.sizes;
        let Scratch { w_hh, w_hr, zeros, .. } = scratch;
        w_hh.reshape(WORKING, Depth { runs: cell.gates(), len: hidden }, self.sizes.output())?;
        w_hh.pack(weights.weight_hh);
        if let Some(weight_hr) = weights.weight_hr {
            w_hr.reshape(WORKING, Depth::of(projection), hidden)?;
            w_hr.pack(weight_hr);
        }
        zeros.try_resize(WORKING, self.sizes.output())?;
        zeros.fill(0.0);
        Ok(())
    }

    /// One worker's rows and units, backward through time.
    pub(super) fn back(
        &self,
        plan: &Plan,
        read: BackwardInput<'_>,
        back: BackwardWeights<'_>,
        written: BackwardOutput<'_>,
        share: BackwardShare<'_>,
        worker: &mut Worker,
    ) -> Result<()> {
        let Sizes { cell, hidden, direction, .. } = self.sizes;
        let facts = cell.facts();
        let (width, rows) = (whole_panels(hidden), read.y.shape()[1]);
        self.make_room_back(worker, rows)?;
        let Worker { carry: [now, next], operand, bypass, spill, .. } = worker;
        if facts.looks_back() {
            fill_rows(bypass, width, if facts.has_cell_state() { read.d_c_n } else { read.d_h_n });
        }
        let projection =
            written.d_h.map(|d_h| BackProjection { projection: Projection { w_hr: back.w_hr, operand }, d_h });
        let BackwardShare { units, mut exchange } = share;
        // Of all units these are the whole matrices.
        let own = if units == (0..hidden) { None } else { Some(&units) };
        let args = Backward {
            direction,
            hidden,
            gates: written.gates,
            y: read.y,
            history: read.history,
            d_y: own.map_or(read.d_y, |units| read.d_y.narrow_columns(units.start, units.len())),
            d_h_n: match (own, read.d_h_n) {
                (Some(units), Some(d_h_n)) => Some(d_h_n.narrow_columns(units.start, units.len())),
                (_, d_h_n) => d_h_n,
            },
            w_hh: own.map_or(back.w_hh, |units| back.w_hh.panels(GateColumns { gates: 1 }.panels(units.clone()))),
            units: units.clone(),
            exchange: exchange.as_mut().map(|exchange| &mut **exchange as Exchange<'_>),
            projection,
            carry: &mut Carry { now, next },
            bypass,
            spill,
            first: written.d_h_0.map(|(d_h_0, _)| FirstGradient { d_h_0, w_hh: back.w_hh, d_h_n: read.d_h_n }),
            kc: plan.backward.kc,
        };
        (self.kernels.recurrence(cell).backward)(args);
        if let Some((d_c_0, _)) = written.d_c_0 {
            for (to, from) in d_c_0.chunks_exact_mut(hidden).zip(bypass.chunks_exact(width)) {
                to.copy_from_slice(&from[..hidden]);
            }
        }
        Ok(())
    }

    /// Room for a worker that goes back over these rows.
    pub(super) fn make_room_back(&self, worker: &mut Worker, rows: usize) -> Result<()> {
        let facts = self.sizes.cell.facts();
        let width = whole_panels(self.sizes.hidden);
        let Worker { carry, operand, bypass, spill, .. } = worker;
        carry.iter_mut().try_for_each(|carry| carry.try_resize(WORKING, rows * facts.gates * width))?;
        let projected = self.sizes.projection > 0;
        operand.try_resize(WORKING, if projected { rows * whole_panels(self.sizes.output()) } else { 0 })?;
        spill.try_resize(WORKING, rows * width)?;
        bypass.try_resize(WORKING, if facts.looks_back() { rows * width } else { 0 })
    }

    fn check_backward(&self, pass: &BackwardPass<'_>) -> Result<()> {
        let [steps, batch, _] = pass.x.shape();
        let Sizes { input, hidden, .. } = self.sizes;
        let output = self.sizes.output();
        let facts = self.sizes.cell.facts();
        let cell_state = if facts.has_cell_state() { hidden } else { 0 };
        let (state, cell) = ([1, batch, output], [1, batch, cell_state]);
        self.check_weights(pass.weights)?;
        check_shape("input", &[steps, batch, input], &pass.x.shape())?;
        check_shape("output", &[steps, batch, output], &pass.y.shape())?;
        check_shape("d_output", &[steps, batch, output], &pass.d_y.shape())?;
        self.check_states(batch, pass.h_0, pass.c_0)?;
        if let Some(resets) = pass.resets {
            check_shape("resets", &[steps, batch], &resets.shape())?;
        }
        if let Some(d_h_n) = pass.d_h_n {
            check_shape("d_h_n", &state, &d_h_n.shape())?;
        }
        if let Some(d_c_n) = pass.d_c_n {
            check_shape("d_c_n", &cell, &d_c_n.shape())?;
        }
        if let Some(d_h_0) = &pass.d_h_0 {
            check_len("d_h_0", &state, d_h_0)?;
        }
        if let Some(d_c_0) = &pass.d_c_0 {
            check_len("d_c_0", &cell, d_c_0)?;
        }
        if let Some((d_x, _)) = &pass.d_x {
            check_len("d_input", &[pass.x.lines().total(), input], d_x)?;
        }
        let ([ih, hh, hr], bias) = self.shapes();
        check_len("d_weight_ih", &ih, pass.gradients.d_weight_ih)?;
        check_len("d_weight_hh", &hh, pass.gradients.d_weight_hh)?;
        if let Some([d_ih, d_hh]) = &pass.gradients.d_bias {
            check_len("d_bias_ih", &bias, d_ih)?;
            check_len("d_bias_hh", &bias, d_hh)?;
        }
        if let Some(d_weight_hr) = &pass.gradients.d_weight_hr {
            check_len("d_weight_hr", &hr, d_weight_hr)?;
        }
        let filled = Some((pass.x.lines().total(), self.sizes));
        if facts.needs_tape() && pass.tape.filled != filled {
            let expected = "one that a forward pass over the same steps has filled, and no backward pass used up";
            return Err(Error::state("tape", expected, "another"));
        }
        Ok(())
    }
}
