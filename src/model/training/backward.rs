//! The backward pass of a run.

use super::{Run, Upstream};
use crate::error::{Error, Result, check_shape};
use crate::model::chain::{ChainBackward, Reads};
use crate::model::workspace::BackMemory;
use crate::model::{Model, Workspace};
use crate::network::{Batch, Flow, Form, Input, Source, State, turn};
use crate::params::Params;
use crate::tensor::{Lines, SeqRef};

impl Run<'_, '_> {
    pub(super) fn go_back(&mut self, d_output: Option<OutputGradient<'_>>, upstream: Upstream<'_>) -> Result<()> {
        let (threads, flop) = (self.threads, self.model.largest_flop(&self.input));
        threads.inside_for(flop, || self.go_back_inside(d_output, upstream))
    }

    fn go_back_inside(&mut self, d_output: Option<OutputGradient<'_>>, upstream: Upstream<'_>) -> Result<()> {
        let Self { model, input, memory, state, threads } = self;
        let Workspace { batch, x, resets, stages, room, own, sorted, last, back, .. } = memory.get_mut();
        let BackMemory {
            batch: d_batch, d_output_turned, gradients, d_x, turned, d_last, d_first_sorted, d_first, ..
        } = back;
        let (rows, packed, width) = (batch.batch, batch.form == Form::Packed, model.outputs);
        let sizes = || model.sizes.iter().copied();
        if let Some(d_state) = upstream.d_state {
            d_state.check(["d_h_n", "d_c_n"], sizes(), rows)?;
        }
        let out = if last.one_step { Lines::dense(1, rows) } else { batch.lines() };
        let d_y = match d_output {
            Some(OutputGradient::Given(input)) if last.one_step => {
                one_step(&input, [rows, width], model.spec.batch_first)?
            }
            Some(OutputGradient::Given(input)) => {
                Batch::check_numbers("d_output", &input, width)?;
                d_batch.enter("d_output", &input, model.spec.batch_first, width)?;
                batch.same("d_output", d_batch)?;
                batch.time_major(&input, d_output_turned)?
            }
            Some(OutputGradient::Rows(rows_of)) if batch.form == Form::BatchFirst && !last.one_step => {
                turn(rows_of, [rows, batch.steps, width], d_output_turned)?;
                SeqRef::over(d_output_turned, out, width)
            }
            Some(OutputGradient::Rows(rows_of)) => SeqRef::over(rows_of, out, width),
            None => {
                d_output_turned.try_resize("d_output", out.end() * width)?;
                d_output_turned.fill(0.0);
                SeqRef::over(d_output_turned, out, width)
            }
        };
        // The input as it ran: of one that was turned the copy is still there.
        let x = match input.source {
            Source::Padded(_) if batch.form == Form::BatchFirst => SeqRef::over(x, batch.lines(), model.spec.inputs),
            Source::Indices { .. } => SeqRef::over(x, batch.lines(), 1),
            _ => batch.time_major(input, x)?,
        };
        let resets = input.resets.map(|mask| batch.resets(mask, resets)).transpose()?;
        // What the model's own first states were is still there too.
        let given = state.or((!model.own.is_empty()).then_some(&*own));
        let first = if packed && given.is_some() { Some(&*sorted) } else { given };
        let d_last = batch.in_order(upstream.d_state, sizes(), d_last)?;
        let wants_first = upstream.state || (state.is_none() && !model.own.is_empty());
        batch.written(d_first, d_first_sorted).shape_for(sizes(), rows)?;
        if wants_first {
            d_first.shape_for(sizes(), rows)?;
        }
        let gradients = match gradients {
            Some(gradients) if gradients.is_like(&model.params) => gradients,
            other => other.insert(model.params.try_zeros_like("gradients")?),
        };
        let args = ChainBackward {
            reads: Reads { params: &model.params, kernels: model.kernels },
            x,
            state: first,
            d_y,
            d_last,
            masks: last.masks,
            gradients,
            d_x: upstream.input.then_some(&mut *d_x),
            d_first: wants_first.then(|| batch.written(d_first, d_first_sorted)),
        };
        let flow = Flow { lines: batch.lines(), order: batch.order(), resets, threads: *threads };
        model.chain.back(flow, args, stages, room)?;
        if wants_first {
            batch.restore(d_first, d_first_sorted);
        }
        model.own_gradients(state.is_none().then_some(d_first), gradients);
        if upstream.input {
            batch.give_back(d_x, model.spec.inputs, turned)?;
        }
        Ok(())
    }
}

/// Where the gradient of the output comes from.
pub(super) enum OutputGradient<'a> {
    /// A caller, in the form of the output.
    Given(Input<'a>),
    /// A loss: the rows of the output, one after the other.
    Rows(&'a [f32]),
}

/// The gradient at the single step that a read-out has left: (1, B, F), or (B, 1, F) of a batch-first model.
fn one_step<'a>(input: &Input<'a>, [rows, width]: [usize; 2], batch_first: bool) -> Result<SeqRef<'a>> {
    let expected = if batch_first { [rows, 1, width] } else { [1, rows, width] };
    Batch::check_numbers("d_output", input, width)?;
    match input.source {
        Source::Padded(d_y) => {
            check_shape("d_output", &expected, &d_y.shape())?;
            match d_y.flat() {
                Some(flat) => Ok(SeqRef::over(flat, Lines::dense(1, rows), width)),
                None => Err(Error::value("d_output", "a whole sequence", "a part of one")),
            }
        }
        Source::Unbatched(d_y) => {
            check_shape("d_output", &[1, 1, width], &d_y.shape())?;
            Ok(d_y)
        }
        _ => Err(Error::value("d_output", "a padded sequence of one step, as the output is", "another form")),
    }
}

impl Model {
    /// The gradients of the first states that are parameters: sums over the rows, which have them in common. Zeros where a
    /// run began in others, and `d_first` is not given.
    fn own_gradients(&self, mut d_first: Option<&mut State>, gradients: &mut Params) {
        for part in &self.own {
            for id in [part.h_0].into_iter().chain(part.c_0) {
                gradients.tensor_mut(id).fill(0.0);
            }
            let Some(d_first) = &mut d_first else { continue };
            for index in 0..part.count {
                let (d_h, d_c) = d_first.of_mut(part.first + index);
                sum_rows(d_h, index, part.count, gradients.tensor_mut(part.h_0));
                if let (Some(c_0), Some(d_c)) = (part.c_0, d_c) {
                    sum_rows(d_c, index, part.count, gradients.tensor_mut(c_0));
                }
            }
        }
    }
}

/// Adds every row to row `index` of `count`.
fn sum_rows(rows: &[f32], index: usize, count: usize, to: &mut [f32]) {
    let width = to.len() / count;
    let to = &mut to[index * width..][..width];
    rows.chunks_exact(width.max(1)).for_each(|row| to.iter_mut().zip(row).for_each(|(to, x)| *to += x));
}
