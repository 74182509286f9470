//! A layer backward: recur to the first step, then everything that does not depend on time.
//!
//! ```text
//! d_z_t, …               step by step, backwards: the cell's file
//! d_W_ih += Σ d_z_tᵀ·x_t        afterwards, over all steps and rows at once
//! d_W_hh += Σ d_z_tᵀ·h_{t-1}
//! d_b_ih += Σ d_z_t,  d_b_hh the same
//! d_W_hr += Σ d_h_tᵀ·m_t        with a projection
//! d_x_t   = d_z_t·W_ih,  d_h_0 = d_z_0·W_hh
//! ```

use std::ops::Range;

use super::forward::fill_rows;
use super::layer::{Layer, Scratch, Tape, Weights, Worker, check_len};
use super::{Parts, Sizes};
use crate::error::{Error, Result, check_shape};
use crate::gemm::{Rows, Target, accumulate_outer, column_sums, multiply};
use crate::kernel::gemm::Start;
use crate::kernel::layout::{Depth, PanelsRef, round_up};
use crate::kernel::recurrence::{BackProjection, Backward, Carry, Projection};
use crate::parallel::{Divide, share};
use crate::plan::Plan;
use crate::tensor::{History, Mat, Resets, SeqMut, SeqRef};

/// The gradients of a layer's parameters, shaped like them; what a backward pass finds is added.
#[derive(Debug)]
pub struct Gradients<'a> {
    /// (G·H, I) row-major.
    pub d_weight_ih: &'a mut [f32],
    /// (G·H, P) row-major.
    pub d_weight_hh: &'a mut [f32],
    /// Of `bias_ih` and `bias_hh`, (G·H) each; or none.
    pub d_bias: Option<[&'a mut [f32]; 2]>,
    /// (P, H) row-major, where there is a projection.
    pub d_weight_hr: Option<&'a mut [f32]>,
}

/// What becomes of what stands in an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// It is overwritten.
    Over,
    /// It is added to.
    Add,
}

/// What a backward pass reads and writes.
#[derive(Debug)]
pub struct BackwardPass<'a> {
    /// The parameters of the forward run.
    pub weights: Weights<'a>,
    /// (T, B, I): its input.
    pub x: SeqRef<'a>,
    /// (1, B, P): its first state, if one was given.
    pub h_0: Option<SeqRef<'a>>,
    /// (1, B, H): its first cell state, if one was given.
    pub c_0: Option<SeqRef<'a>>,
    /// (T, B, 1): its resets, if any were given.
    pub resets: Option<SeqRef<'a>>,
    /// (T, B, P): its output.
    pub y: SeqRef<'a>,
    /// What it kept; used up. An Elman layer's needs not to have seen the forward run.
    pub tape: &'a mut Tape,
    /// (T, B, P): the gradient at every output.
    pub d_y: SeqRef<'a>,
    /// (1, B, P): the gradient that reaches the last state besides.
    pub d_h_n: Option<SeqRef<'a>>,
    /// (1, B, H): the gradient that reaches the last cell state.
    pub d_c_n: Option<SeqRef<'a>>,
    /// What the gradients of the parameters are added to.
    pub gradients: Gradients<'a>,
    /// (all rows of all steps, I), row-major: receives the gradient of the input.
    pub d_x: Option<(&'a mut [f32], Write)>,
    /// (1, B, P): receives the gradient of the first state.
    pub d_h_0: Option<&'a mut [f32]>,
    /// (1, B, H): receives the gradient of the first cell state.
    pub d_c_0: Option<&'a mut [f32]>,
}

/// What one worker of the recurrence writes.
struct Written<'a> {
    gates: SeqMut<'a>,
    d_h: Option<SeqMut<'a>>,
    d_h_0: Option<(&'a mut [f32], usize)>,
    d_c_0: Option<(&'a mut [f32], usize)>,
}

impl Divide for Written<'_> {
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
struct Read<'a> {
    y: SeqRef<'a>,
    history: History<'a>,
    d_y: SeqRef<'a>,
    d_h_n: Option<Mat<'a>>,
    d_c_n: Option<Mat<'a>>,
}

/// The packed weights for the way back.
struct Back<'a> {
    w_hh: PanelsRef<'a>,
    w_hr: PanelsRef<'a>,
}

impl Layer {
    /// Runs the layer backward: adds to the parameters' gradients, and writes those of the input and of the first state
    /// where they are wanted.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::Length`] naming the tensor that does not fit; [`Error::State`] for a tape that no
    /// forward run over these steps has filled, and for a plan without workers or steps.
    pub fn backward(&self, plan: &Plan, pass: BackwardPass<'_>, scratch: &mut Scratch) -> Result<()> {
        plan.check()?;
        self.check_backward(&pass)?;
        let Sizes { input, hidden, projection, direction, .. } = self.sizes;
        let Parts { gates, kept, cell_state, .. } = self.parts();
        let (lines, width, output) = (pass.x.lines().compact(), round_up(hidden), self.sizes.output());
        let BackwardPass { weights, x, y, d_y, tape, gradients, d_x, .. } = pass;

        let Tape { gates: d_z, cells, m, d_h, filled } = tape;
        *filled = None;
        d_z.resize(lines.end() * kept * width);
        d_h.resize(if projection > 0 { lines.end() * round_up(output) } else { 0 });
        let cells = cell_state.then(|| SeqRef::over(cells, lines, width));

        scratch.reserve(plan.row_workers.max(plan.gradient_workers));
        let Scratch { workers, w_hh, w_ih, w_hr, zeros, .. } = scratch;
        let depth = Depth { runs: gates, len: hidden };
        w_hh.reshape(depth, output);
        w_hh.pack(weights.weight_hh);
        if let Some(weight_hr) = weights.weight_hr {
            w_hr.reshape(Depth::of(projection), hidden);
            w_hr.pack(weight_hr);
        }
        zeros.resize(output);
        zeros.fill(0.0);

        let back = Back { w_hh: w_hh.view(), w_hr: w_hr.view() };
        let resets = Resets(pass.resets);
        let [h_0, c_0, d_h_n, d_c_n] =
            [pass.h_0, pass.c_0, pass.d_h_n, pass.d_c_n].map(|state| state.map(|state| state.step(0)));
        let written = Written {
            gates: SeqMut::over(d_z, lines, kept * width),
            d_h: (projection > 0).then(|| SeqMut::over(d_h, lines, round_up(output))),
            d_h_0: pass.d_h_0.map(|d_h_0| (d_h_0, output)),
            d_c_0: pass.d_c_0.map(|d_c_0| (d_c_0, hidden)),
        };
        share(plan.rows(lines), written, workers, &|rows, written, worker: &mut Worker| {
            let (first, rows) = (rows.start, rows.len());
            let [h_0, c_0, d_h_n, d_c_n] =
                [h_0, c_0, d_h_n, d_c_n].map(|state| state.map(|state| state.rows(first, rows)));
            let (states, state) = cells.map_or((y, h_0), |cells| (cells, c_0));
            let states = states.rows(first, rows);
            let history = History { states, first: state, resets: resets.rows(first, rows), direction };
            let (y, d_y) = (y.rows(first, rows), d_y.rows(first, rows));
            let read = Read { y, history, d_y, d_h_n, d_c_n };
            self.backward_rows(plan, read, &back, written, worker);
        });

        let d_z = SeqRef::over(d_z, lines, kept * width);
        let before = Rows::Before(History { states: y, first: h_0, resets, direction }, zeros);
        let Gradients { d_weight_ih, d_weight_hh, d_bias, d_weight_hr } = gradients;
        let weights_out = ((d_weight_ih, input), (d_weight_hh, output));
        let out = (weights_out, d_bias.map(|d_bias| d_bias.map(|d_bias| (d_bias, 1))));
        share(plan.gradients(gates * hidden), out, workers, &|rows, (weights, d_bias), worker: &mut Worker| {
            let ((d_weight_ih, _), (d_weight_hh, _)) = weights;
            let d_bias = d_bias.map(|d_bias| d_bias.map(|(d_bias, _)| d_bias));
            let out = Gradients { d_weight_ih, d_weight_hh, d_bias, d_weight_hr: None };
            self.weight_gradients(plan, rows, d_z, [Rows::Of(x), before], out, worker);
        });
        if let Some(d_weight_hr) = d_weight_hr {
            let d_h = SeqRef::over(d_h, lines, round_up(output));
            let m = SeqRef::over(m, lines, width).columns(0, hidden);
            share(plan.gradients(projection), (d_weight_hr, hidden), workers, &|rows, (c, _), worker: &mut Worker| {
                let left = d_h.columns(rows.start, rows.len());
                accumulate_outer(
                    self.kernels,
                    plan.backward,
                    left,
                    &mut [Target { right: Rows::Of(m), c }],
                    &mut worker.gemm,
                );
            });
        }

        if let Some((d_x, write)) = d_x {
            w_ih.reshape(depth, input);
            w_ih.pack(weights.weight_ih);
            let start = match write {
                Write::Over => Start::Zero,
                Write::Add => Start::Accumulate,
            };
            // No step depends on another: all rows are as one step's.
            let d_z = d_z.columns(0, gates * width).as_one_step();
            share(plan.gradients(lines.end()), (d_x, input), workers, &|rows, c, worker: &mut Worker| {
                let d_z = d_z.rows(rows.start, rows.len());
                multiply(self.kernels, plan.backward, d_z, w_ih.view(), start, c, &mut worker.gemm);
            });
        }
        Ok(())
    }

    /// One worker's rows, backward through time.
    fn backward_rows(&self, plan: &Plan, read: Read<'_>, back: &Back<'_>, written: Written<'_>, worker: &mut Worker) {
        let Sizes { cell, hidden, projection, direction, .. } = self.sizes;
        let Parts { gates, cell_state, last_apart, .. } = self.parts();
        let (output, width, rows) = (self.sizes.output(), round_up(hidden), read.y.shape()[1]);
        let Worker { carry: [now, next], operand, beside: direct, aside, .. } = worker;
        let carried = rows * gates * width;
        now.resize(carried);
        next.resize(carried);
        operand.resize(if projection > 0 { rows * round_up(output) } else { 0 });
        aside.resize(rows * width);
        // What reaches the last state by itself: the cell state's gradient, or the state's where a part of it passes by.
        direct.resize(if cell_state || last_apart { rows * width } else { 0 });
        if cell_state || last_apart {
            fill_rows(direct, width, if cell_state { read.d_c_n } else { read.d_h_n });
        }
        let projection =
            written.d_h.map(|d_h| BackProjection { projection: Projection { w_hr: back.w_hr, operand }, d_h });
        let args = Backward {
            direction,
            hidden,
            gates: written.gates,
            y: read.y,
            history: read.history,
            d_y: read.d_y,
            d_h_n: read.d_h_n,
            w_hh: back.w_hh,
            projection,
            carry: &mut Carry { now, next },
            direct,
            aside,
            d_h_0: written.d_h_0.map(|(d_h_0, _)| d_h_0),
            kc: plan.backward.kc,
        };
        (self.parts().backward)(self.kernels, cell, args);
        if let Some((d_c_0, _)) = written.d_c_0 {
            for (to, from) in d_c_0.chunks_exact_mut(hidden).zip(direct.chunks_exact(width)) {
                to.copy_from_slice(&from[..hidden]);
            }
        }
    }

    /// The sums over all steps and rows, in the order of [`Rows`], for some rows of the weights: a worker takes the
    /// whole sum for its own.
    fn weight_gradients(
        &self,
        plan: &Plan,
        rows: Range<usize>,
        d_z: SeqRef<'_>,
        [x, before]: [Rows<'_>; 2],
        mut out: Gradients<'_>,
        worker: &mut Worker,
    ) {
        let Sizes { input, hidden, .. } = self.sizes;
        let (output, width, recurrent) = (self.sizes.output(), round_up(hidden), self.parts().recurrent);
        let mut sums = |column: usize, d_bias: &mut [f32]| {
            worker.sums.resize(d_bias.len());
            worker.sums.fill(0.0);
            column_sums(self.kernels, d_z, column, &mut worker.sums);
            d_bias.iter_mut().zip(&worker.sums[..]).for_each(|(d, sum)| *d += sum);
        };
        let mut row = rows.start;
        while row < rows.end {
            // As many rows as have their gradients side by side, in both weights.
            let (gate, unit) = (row / hidden, row % hidden);
            let (mut last, mut end) = (gate, (gate + 1) * hidden);
            while end < rows.end && width == hidden && recurrent[last + 1] == recurrent[last] + 1 {
                (last, end) = (last + 1, end + hidden);
            }
            let len = end.min(rows.end) - row;
            let columns = [gate * width + unit, recurrent[gate] * width + unit];
            let [left_x, left_h] = columns.map(|column| d_z.columns(column, len));
            let at = row - rows.start;
            let c_x = &mut out.d_weight_ih[at * input..][..len * input];
            let c_h = &mut out.d_weight_hh[at * output..][..len * output];
            let (mut x, mut h) = (Target { right: x, c: c_x }, Target { right: before, c: c_h });
            let mut add = |left, targets: &mut [Target<'_>]| {
                accumulate_outer(self.kernels, plan.backward, left, targets, &mut worker.gemm);
            };
            if columns[0] == columns[1] {
                add(left_x, &mut [x, h]);
            } else {
                add(left_x, std::slice::from_mut(&mut x));
                add(left_h, std::slice::from_mut(&mut h));
            }
            if let Some(d_bias) = &mut out.d_bias {
                for (d_bias, column) in d_bias.iter_mut().zip(columns) {
                    sums(column, &mut d_bias[at..][..len]);
                }
            }
            row += len;
        }
    }

    fn check_backward(&self, pass: &BackwardPass<'_>) -> Result<()> {
        let [steps, batch, _] = pass.x.shape();
        let Sizes { input, hidden, .. } = self.sizes;
        let output = self.sizes.output();
        let cell_state = if self.parts().cell_state { hidden } else { 0 };
        let (state, cell) = ([1, batch, output], [1, batch, cell_state]);
        self.check_weights(pass.weights)?;
        check_shape("input", &[steps, batch, input], &pass.x.shape())?;
        check_shape("output", &[steps, batch, output], &pass.y.shape())?;
        check_shape("d_output", &[steps, batch, output], &pass.d_y.shape())?;
        self.check_states(batch, pass.h_0, pass.c_0)?;
        if let Some(resets) = pass.resets {
            check_shape("resets", &[steps, batch, 1], &resets.shape())?;
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
        if self.parts().keeps && pass.tape.filled != filled {
            let expected = "one that a forward pass over the same steps has filled, and no backward pass used up";
            return Err(Error::state("tape", expected, "another"));
        }
        Ok(())
    }
}
