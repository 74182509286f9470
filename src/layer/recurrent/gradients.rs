//! The gradients of a layer's parameters: sums over all steps and rows, once the recurrence is done.
//!
//! ```text
//! d_W_ih = Σ d_a_tᵀ·x_t,      d_b_ih = Σ d_a_t         of the gates before their activations
//! d_W_hh = Σ d_u_tᵀ·h_{t-1},  d_b_hh = Σ d_u_t         the same but for the n of a GRU, whose recurrent part stays apart
//! d_W_hr = Σ d_h_tᵀ·m_t                                with a projection
//! ```

use std::ops::Range;

use super::memory::Worker;
use super::{Layer, Sizes, Write};
use crate::error::Result;
use crate::gemm::{OperandRows, OuterProduct, WORKING, column_sums, outer};
use crate::kernel::layout::whole_panels;
use crate::parallel::{Divide, try_share};
use crate::plan::Plan;
use crate::tensor::SeqRef;

/// The gradients of a layer's parameters, shaped like them.
#[derive(Debug)]
pub struct LayerGradients<'a> {
    /// Whether they are overwritten, or added to what a backward pass finds. The bits are the same where that is zeros.
    pub write: Write,
    /// (G·H, I) row-major.
    pub d_weight_ih: &'a mut [f32],
    /// (G·H, O) row-major.
    pub d_weight_hh: &'a mut [f32],
    /// Of `bias_ih` and `bias_hh`, (G·H) each; or none.
    pub d_bias: Option<[&'a mut [f32]; 2]>,
    /// (P, H) row-major, where there is a projection.
    pub d_weight_hr: Option<&'a mut [f32]>,
}

/// What the sums read.
#[derive(Clone, Copy)]
pub(super) struct Sums<'a> {
    /// (T, B, gradients a unit · H').
    pub(super) d_a: SeqRef<'a>,
    /// The input.
    pub(super) x: OperandRows<'a>,
    /// The states before each step.
    pub(super) before: OperandRows<'a>,
    /// d_h (T, B, P') and m (T, B, H), where there is a projection.
    pub(super) projected: Option<[SeqRef<'a>; 2]>,
}

/// Some rows of the gradients of both weights, with their width, and as many elements of the biases'.
struct WeightRows<'a> {
    d_weight_ih: (&'a mut [f32], usize),
    d_weight_hh: (&'a mut [f32], usize),
    d_bias: Option<[(&'a mut [f32], usize); 2]>,
}

impl Divide for WeightRows<'_> {
    fn divide(self, rows: usize) -> (Self, Self) {
        let (d_weight_ih, rest_ih) = self.d_weight_ih.divide(rows);
        let (d_weight_hh, rest_hh) = self.d_weight_hh.divide(rows);
        let (d_bias, rest_bias) = self.d_bias.divide(rows);
        let rest = Self { d_weight_ih: rest_ih, d_weight_hh: rest_hh, d_bias: rest_bias };
        (Self { d_weight_ih, d_weight_hh, d_bias }, rest)
    }
}

impl Layer {
    /// All of them: a worker takes the whole sum for its own rows.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory).
    pub(super) fn gradients(
        &self,
        plan: &Plan,
        sums: Sums<'_>,
        out: LayerGradients<'_>,
        workers: &mut [Worker],
    ) -> Result<()> {
        let Sizes { cell, input, hidden, projection, .. } = self.sizes;
        let LayerGradients { write, d_weight_ih, d_weight_hh, d_bias, d_weight_hr } = out;
        let part = WeightRows {
            d_weight_ih: (d_weight_ih, input),
            d_weight_hh: (d_weight_hh, self.sizes.output()),
            d_bias: d_bias.map(|d_bias| d_bias.map(|d_bias| (d_bias, 1))),
        };
        try_share(plan.gradients(cell.gates() * hidden), part, workers, &|rows, part, worker: &mut Worker| {
            self.gradients_of(plan, rows, sums, part, write, worker)
        })?;
        if let (Some(d_weight_hr), Some([d_h, m])) = (d_weight_hr, sums.projected) {
            try_share(
                plan.gradients(projection),
                (d_weight_hr, hidden),
                workers,
                &|rows, (c, _), worker: &mut Worker| {
                    let left = d_h.narrow_columns(rows.start, rows.len());
                    let target = OuterProduct { right: OperandRows::Of(m), c };
                    outer(self.kernels, plan.backward, left, &mut [target], write, &mut worker.gemm)
                },
            )?;
        }
        Ok(())
    }

    /// Those of some rows of W_ih, W_hh and the biases.
    fn gradients_of(
        &self,
        plan: &Plan,
        rows: Range<usize>,
        sums: Sums<'_>,
        mut out: WeightRows<'_>,
        write: Write,
        worker: &mut Worker,
    ) -> Result<()> {
        let (hidden, width, facts) = (self.sizes.hidden, whole_panels(self.sizes.hidden), self.sizes.cell.facts());
        let ((d_weight_ih, input), (d_weight_hh, output)) = (&mut out.d_weight_ih, &mut out.d_weight_hh);
        let mut row = rows.start;
        while row < rows.end {
            // As many rows as have their gradients side by side, in both weights.
            let (gate, unit) = (row / hidden, row % hidden);
            let (mut last, mut end) = (gate, (gate + 1) * hidden);
            while end < rows.end && width == hidden && facts.recurrent(last + 1) == facts.recurrent(last) + 1 {
                (last, end) = (last + 1, end + hidden);
            }
            let len = end.min(rows.end) - row;
            let columns = [gate * width + unit, facts.recurrent(gate) * width + unit];
            let [left_x, left_h] = columns.map(|column| sums.d_a.narrow_columns(column, len));
            let at = row - rows.start;
            let mut x = OuterProduct { right: sums.x, c: &mut d_weight_ih[at * *input..][..len * *input] };
            let mut h = OuterProduct { right: sums.before, c: &mut d_weight_hh[at * *output..][..len * *output] };
            let mut sum = |left, targets: &mut [OuterProduct<'_>]| {
                outer(self.kernels, plan.backward, left, targets, write, &mut worker.gemm)
            };
            if columns[0] == columns[1] {
                sum(left_x, &mut [x, h])?;
            } else {
                sum(left_x, std::slice::from_mut(&mut x))?;
                sum(left_h, std::slice::from_mut(&mut h))?;
            }
            if let Some(d_bias) = &mut out.d_bias {
                let sums_of = &mut worker.sums;
                sums_of.try_resize(WORKING, len)?;
                for (i, ((d_bias, _), column)) in d_bias.iter_mut().zip(columns).enumerate() {
                    // The recurrent bias has the same gradient, but where the recurrent part stays apart.
                    if i == 0 || columns[0] != columns[1] {
                        column_sums(self.kernels, sums.d_a, column, sums_of, Write::Over);
                    }
                    let d_bias = &mut d_bias[at..][..len];
                    match write {
                        Write::Over => d_bias.copy_from_slice(sums_of),
                        Write::Add => d_bias.iter_mut().zip(&sums_of[..]).for_each(|(d, sum)| *d += sum),
                    }
                }
            }
            row += len;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell as Count;

    use super::*;
    use crate::kernel::Kernels;
    use crate::kernel::elementwise::ColumnSums;
    use crate::layer::{BackwardPass, Cell, Direction, ForwardPass, Nonlinearity, Scratch, Tape, Weights};
    use crate::parallel::Threads;
    use crate::plan::Work;
    use crate::tensor::Seq;

    const HIDDEN: usize = 5;

    thread_local! {
        static COLUMNS: Count<usize> = const { Count::new(0) };
    }

    /// Columns that are summed for the gradients of both biases.
    fn columns(cell: Cell) -> usize {
        let count = |sums: ColumnSums<'_>| COLUMNS.set(COLUMNS.get() + sums.sums.len());
        let kernels = Box::leak(Box::new(Kernels::best().with_column_sums(count)));
        let sizes = Sizes { cell, input: 3, hidden: HIDDEN, projection: 0, direction: Direction::Forward };
        let mut layer = Layer::new(sizes, kernels).unwrap();
        let rows = cell.gates() * HIDDEN;
        let (ih, hh, bias) = (vec![0.1; rows * 3], vec![0.1; rows * HIDDEN], vec![0.1; rows]);
        let weights = Weights { weight_ih: &ih, weight_hh: &hh, bias: Some([&bias, &bias]), weight_hr: None };
        layer.load(weights).unwrap();
        let plan = layer.plan(Work::Train { d_input: false }, [4, 2], Threads::one()).unwrap();
        let (x, mut y) = (Seq::zeros(4, 2, 3).unwrap(), Seq::zeros(4, 2, HIDDEN).unwrap());
        let (mut tape, mut scratch) = (Tape::default(), Scratch::default());
        let forward = ForwardPass { tape: Some(&mut tape), ..ForwardPass::over(x.view(), y.view_mut()) };
        layer.forward(&plan, forward, &mut scratch).unwrap();
        let [mut d_ih, mut d_hh, mut d_bias_ih, mut d_bias_hh] = [&ih, &hh, &bias, &bias].map(Vec::clone);
        let backward = BackwardPass {
            weights,
            x: x.view(),
            h_0: None,
            c_0: None,
            resets: None,
            y: y.view(),
            tape: &mut tape,
            d_y: y.view(),
            d_h_n: None,
            d_c_n: None,
            gradients: LayerGradients {
                write: Write::Over,
                d_weight_ih: &mut d_ih,
                d_weight_hh: &mut d_hh,
                d_bias: Some([&mut d_bias_ih, &mut d_bias_hh]),
                d_weight_hr: None,
            },
            d_x: None,
            d_h_0: None,
            d_c_0: None,
        };
        COLUMNS.set(0);
        layer.backward(&plan, backward, &mut scratch).unwrap();
        COLUMNS.get()
    }

    #[test]
    fn gradients_that_both_biases_share_are_summed_once() {
        for (cell, gates) in [
            (Cell::Elman(Nonlinearity::Tanh), 1),
            (Cell::Lstm, 4),
            // The recurrent bias of n has a gradient of its own.
            (Cell::Gru, 4),
        ] {
            assert_eq!(columns(cell), gates * HIDDEN, "{cell:?}");
        }
    }
}
