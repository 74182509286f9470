//! A network backward: from the gradient of the output, layer by layer, to those of parameters, input and first state.

use super::dropout::Dropout;
use super::input::Input;
use super::pass::{Door, Kind, Training, each_row, turn};
use super::{Recurrent, State, Workspace};
use crate::error::{Error, Result};
use crate::layer::{BackwardPass, Write};
use crate::parallel::Threads;
use crate::params::Params;
use crate::tensor::{Buffer, PackedRef, SeqRef};

/// What a backward pass reads besides parameters and the pass of the forward run.
#[derive(Clone, Copy, Debug)]
pub struct Backward<'a> {
    /// The input of the forward run, resets included.
    pub input: Input<'a>,
    /// Its first state, if one was given.
    pub state: Option<&'a State>,
    /// The gradient at the output, in the form of the input.
    pub d_output: Input<'a>,
    /// The gradient at h_n and c_n; zeros where it is not given.
    pub d_state: Option<&'a State>,
    /// Whether the gradient of the input is wanted: [`Workspace::d_input`].
    pub d_input: bool,
    /// Whether the gradient of the first state is wanted: [`Workspace::d_state`].
    pub d_state_0: bool,
}

/// The memory of the way back.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    door: Door,
    /// The output's gradient, turned to time-major.
    d_output: Buffer,
    /// The gradients between layers, in turns.
    between: [Buffer; 2],
    /// Which of them has the input's gradient, and its width.
    d_input: Option<(usize, usize)>,
    turned: Buffer,
    /// The gradient at the last states, rows sorted by length.
    d_last: State,
    d_first_sorted: State,
    d_first: State,
}

impl Memory {
    /// Leaves no gradient of the input to be read.
    pub(super) fn forget(&mut self) {
        self.d_input = None;
    }
}

impl Recurrent {
    /// Runs the network backward after [`forward_training`](Self::forward_training) over the same input: adds to the
    /// gradients of its parameters. Uses up what the forward run kept, unless its arguments are an error.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::Length`] naming the tensor that does not fit; [`Error::Setting`] for a pass whose last
    /// run was not one in training over such an input.
    pub fn backward(
        &self,
        params: &Params,
        args: Backward<'_>,
        gradients: &mut Params,
        pass: &mut Workspace,
        threads: Threads,
    ) -> Result<()> {
        self.check(params)?;
        self.check(gradients)?;
        let Some(Training { seed, step, dropout: probability }) = pass.training.filter(|_| self.has_run_in(pass))
        else {
            let expected = "one in which forward_training has run, and backward not yet";
            return Err(Error::setting("pass", expected, "another"));
        };
        let Workspace { door, x, resets, layers, sorted, scratch, back, training, .. } = pass;
        let Memory { door: d_door, d_output, between, d_input, turned, d_last, d_first_sorted, d_first } = back;
        let (steps, batch, directions) = (door.steps, door.batch, self.config.directions());

        // The input again: of a batch-first one the turned copy is still there.
        d_door.enter("input", &args.input, self.config.batch_first, self.config.input_size)?;
        door.same("input", d_door)?;
        let x = match door.form {
            Kind::BatchFirst => SeqRef::over(x, door.lines(), self.config.input_size),
            _ => door.time_major(&args.input, x),
        };
        let resets = args.input.resets.map(|mask| door.resets(mask, resets)).transpose()?;
        d_door.enter("d_output", &args.d_output, self.config.batch_first, self.output_size())?;
        door.same("d_output", d_door)?;
        let mut d_y = door.time_major(&args.d_output, d_output);
        if let Some(state) = args.state {
            state.check(["h_0", "c_0"], self.sizes(), batch)?;
        }
        if let Some(d_state) = args.d_state {
            d_state.check(["d_h_n", "d_c_n"], self.sizes(), batch)?;
        }
        let packed = door.form == Kind::Packed;
        let state = match args.state {
            Some(state) if packed => {
                sorted.shape_for(self.sizes(), batch)?;
                sorted.sort(state, &door.order.sorted);
                Some(&*sorted)
            }
            other => other,
        };
        let d_state = match args.d_state {
            Some(d_state) if packed => {
                d_last.shape_for(self.sizes(), batch)?;
                d_last.sort(d_state, &door.order.sorted);
                Some(&*d_last)
            }
            other => other,
        };
        d_first.shape_for(self.sizes(), batch)?;
        if packed {
            d_first_sorted.shape_for(self.sizes(), batch)?;
        }

        let lines = door.lines();
        let count = self.layers.len() / directions;
        let [mut this, mut other] = between.each_mut();
        (*training, *d_input) = (None, None);
        for k in (0..count).rev() {
            let sizes = self.layers[k * directions].sizes();
            let wanted = k > 0 || args.d_input;
            this.resize(if wanted { lines.end() * sizes.input } else { 0 });
            let (before, here) = layers.split_at_mut(k);
            let dropped = probability > 0.0;
            let x = match before.last() {
                None => x,
                Some(before) => SeqRef::over(if dropped { &before.dropped } else { &before.y }, lines, sizes.input),
            };
            let memory = &mut here[0];
            let y = SeqRef::over(&memory.y, lines, directions * sizes.output());
            for direction in 0..directions {
                let index = k * directions + direction;
                let layer = &self.layers[index];
                let plan = layer.plan(steps, batch, threads)?;
                let first = direction * sizes.output();
                let d_first = if packed { &mut *d_first_sorted } else { &mut *d_first };
                let (d_h_0, d_c_0) = d_first.of_mut(index);
                let write = if direction == 0 { Write::Over } else { Write::Add };
                let pass = BackwardPass {
                    weights: self.weights(params, index),
                    x,
                    h_0: state.map(|state| state.h_of(index)),
                    c_0: state.and_then(|state| state.c_of(index)),
                    resets,
                    y: y.columns(first, sizes.output()),
                    tape: &mut memory.tapes[direction],
                    d_y: d_y.columns(first, sizes.output()),
                    d_h_n: d_state.map(|d_state| d_state.h_of(index)),
                    d_c_n: d_state.and_then(|d_state| d_state.c_of(index)),
                    gradients: self.gradients(gradients, index),
                    d_x: wanted.then_some((&mut this[..], write)),
                    d_h_0: args.d_state_0.then_some(d_h_0),
                    d_c_0: d_c_0.filter(|_| args.d_state_0),
                };
                layer.backward(&plan, pass, scratch)?;
            }
            if k > 0 && dropped {
                let dropout = |direction| Dropout { probability, seed, step, layer: k - 1, direction };
                let width = sizes.input / directions;
                each_row(door, (&mut this[..], sizes.input), threads, &|place, _, row| {
                    for (direction, row) in row.chunks_exact_mut(width).enumerate() {
                        dropout(direction).apply_to(place, row);
                    }
                });
            }
            if k == 0 && wanted {
                // The first of the two is written by the last layer, so by every other one below it.
                *d_input = Some(((count - 1) % 2, sizes.input));
            }
            std::mem::swap(&mut this, &mut other);
            d_y = SeqRef::over(other, lines, if wanted { sizes.input } else { 0 });
        }
        if packed && args.d_state_0 {
            d_first.unsort(d_first_sorted, &door.order.sorted);
        }
        if let Some((which, width)) = *d_input
            && door.form == Kind::BatchFirst
        {
            turn(&between[which], [steps, batch, width], turned);
        }
        Ok(())
    }
}

impl Recurrent {
    /// Whether the last run in this memory was over layers of these widths.
    fn has_run_in(&self, pass: &Workspace) -> bool {
        let (directions, rows) = (self.config.directions(), pass.door.lines().end());
        let mut layers = pass.layers[..pass.count].iter().zip(self.layers.iter().step_by(directions));
        pass.count == self.layers.len() / directions
            && (pass.door.form != Kind::BatchFirst || pass.x.len() == rows * self.config.input_size)
            && layers.all(|(memory, layer)| memory.y.len() == rows * directions * layer.sizes().output())
    }
}

impl Door {
    /// That another batch came in the same form and shape.
    fn same(&self, name: &str, other: &Self) -> Result<()> {
        crate::error::check_shape(name, &[self.steps, self.batch], &[other.steps, other.batch])?;
        if self.form != other.form {
            return Err(Error::setting(
                name,
                &format!("{:?} as in the forward run", self.form),
                format_args!("{:?}", other.form),
            ));
        }
        if self.form == Kind::Packed && self.order != other.order {
            return Err(Error::setting(name, "the batch sizes and order of the forward run", "others"));
        }
        Ok(())
    }
}

impl Workspace {
    /// The gradient of the input of the last backward run, in the form of the input.
    ///
    /// # Panics
    /// If it was not asked for, or the input was packed: that is [`packed_d_input`](Self::packed_d_input).
    #[must_use]
    pub fn d_input(&self) -> SeqRef<'_> {
        let (which, width) = self.back.d_input.expect("the backward run was asked for the gradient of the input");
        self.out(&self.back.between[which], &self.back.turned, width)
    }

    /// The gradient of a packed input of the last backward run, packed in the same order.
    ///
    /// # Panics
    /// If it was not asked for, or the input was not packed.
    #[must_use]
    pub fn packed_d_input(&self) -> PackedRef<'_> {
        let (which, width) = self.back.d_input.expect("the backward run was asked for the gradient of the input");
        self.packed_out(&self.back.between[which], width)
    }

    /// The gradient of h_0 and c_0 of the last backward run, if it was asked for.
    #[must_use]
    pub fn d_state(&self) -> &State {
        &self.back.d_first
    }
}
