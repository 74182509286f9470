//! A network forward: in at the door, layer by layer, and out again.

use super::dropout::Dropout;
use super::input::{Form, Input};
use super::{Recurrent, State};
use crate::error::{Result, check_shape, elements};
use crate::layer::{ForwardPass, Scratch, Tape};
use crate::parallel::{Shares, Threads, share};
use crate::tensor::{Buffer, Lines, Order, PackedRef, SeqMut, SeqRef};

/// The memory a network runs in, and what its last run left there. Belongs to the caller, grows to the largest use, and
/// then is never allocated again.
#[derive(Clone, Debug, Default)]
pub struct Workspace {
    pub(super) door: Door,
    /// The input, turned to time-major, where it came batch-first.
    pub(super) x: Buffer,
    /// (all rows of all steps, 1): not zero where a new sequence begins.
    pub(super) resets: Buffer,
    pub(super) layers: Vec<LayerMemory>,
    /// The first state, rows sorted by length.
    pub(super) sorted: State,
    /// The last state, rows sorted by length.
    last_sorted: State,
    /// The last state.
    state: State,
    /// The output or the input's gradient, turned to batch-first.
    turned: Buffer,
    pub(super) scratch: Scratch,
    /// Of the last run, if it was one in training.
    pub(super) training: Option<Training>,
    /// Layers of the last run, and the width of its output.
    pub(super) count: usize,
    width: usize,
    pub(super) back: super::backward::Memory,
}

/// What a run in training was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Training {
    pub(super) seed: u64,
    pub(super) step: u64,
    pub(super) dropout: f32,
}

/// The form a batch came in.
#[derive(Clone, Debug, Default)]
pub(super) struct Door {
    pub(super) form: Kind,
    pub(super) steps: usize,
    pub(super) batch: usize,
    /// Of a packed batch.
    pub(super) order: Order,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    SequenceFirst,
    BatchFirst,
    Unbatched,
    Packed,
}

/// What one layer's run leaves.
#[derive(Clone, Debug, Default)]
pub(super) struct LayerMemory {
    /// (all rows of all steps, D·H).
    pub(super) y: Buffer,
    /// The same after dropout.
    pub(super) dropped: Buffer,
    pub(super) tapes: [Tape; 2],
}

impl Door {
    /// Notes the form of the batch and checks its shape; `features` is what its rows must have, `name` what it is called.
    pub(super) fn enter(&mut self, name: &str, input: &Input<'_>, batch_first: bool, features: usize) -> Result<()> {
        let (form, [steps, batch, width]) = match input.form {
            Form::Padded(x) if batch_first => {
                let [batch, steps, width] = x.shape();
                check_shape(name, &[batch, steps, features], &x.shape())?;
                (Kind::BatchFirst, [steps, batch, width])
            }
            Form::Padded(x) => (Kind::SequenceFirst, x.shape()),
            Form::Unbatched(x) => {
                check_shape(name, &[x.shape()[0], features], &[x.shape()[0], x.shape()[2]])?;
                (Kind::Unbatched, x.shape())
            }
            Form::Packed(packed) => {
                self.order.copy_from(packed.order());
                (Kind::Packed, packed.seq().shape())
            }
        };
        check_shape(name, &[steps, batch, features], &[steps, batch, width])?;
        (self.form, self.steps, self.batch) = (form, steps, batch);
        Ok(())
    }

    /// Where the rows lie, time-major.
    pub(super) fn lines(&self) -> Lines<'_> {
        match self.form {
            Kind::Packed => self.order.lines(),
            _ => Lines::dense(self.steps, self.batch),
        }
    }

    /// The batch, time-major: turned into `turned` where it came batch-first.
    pub(super) fn time_major<'a>(&self, input: &Input<'a>, turned: &'a mut Buffer) -> SeqRef<'a> {
        match input.form {
            Form::Packed(packed) => packed.seq(),
            Form::Unbatched(x) => x,
            Form::Padded(x) if self.form == Kind::BatchFirst => {
                let [batch, steps, width] = x.shape();
                turned.resize(steps * batch * width);
                for row in 0..batch {
                    let step = x.step(row);
                    for t in 0..steps {
                        turned[(t * batch + row) * width..][..width].copy_from_slice(step.row(t));
                    }
                }
                SeqRef::over(turned, Lines::dense(steps, batch), width)
            }
            Form::Padded(x) => x,
        }
    }

    /// The mask as a sequence of width 1, time-major.
    pub(super) fn resets<'a>(&'a self, mask: &[bool], buffer: &'a mut Buffer) -> Result<SeqRef<'a>> {
        let (steps, batch, total) = (self.steps, self.batch, self.lines().end());
        if mask.len() != total {
            let shape = match self.form {
                Kind::SequenceFirst => vec![steps, batch],
                Kind::BatchFirst => vec![batch, steps],
                Kind::Unbatched => vec![steps],
                Kind::Packed => vec![total],
            };
            return Err(crate::Error::Length { name: "resets".into(), shape, got: mask.len() });
        }
        buffer.resize(total);
        for (i, &reset) in mask.iter().enumerate() {
            let at = if self.form == Kind::BatchFirst { i % steps * batch + i / steps } else { i };
            buffer[at] = f32::from(u8::from(reset));
        }
        Ok(SeqRef::over(buffer, self.lines(), 1))
    }

    /// The row of the batch that lies at place `i` of a step.
    pub(super) fn row(&self, i: usize) -> usize {
        if self.form == Kind::Packed { self.order.sorted[i] } else { i }
    }
}

impl Recurrent {
    /// Runs the network over a batch from `state`, zeros where it is not given. [`Workspace::output`] and [`Workspace::state`] then
    /// have the output of the last layer and the last states of all.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) or [`Error::Length`](crate::Error::Length) naming `input`, `h_0`, `c_0` or
    /// `resets`; [`Error::Overflow`](crate::Error::Overflow).
    pub fn forward<'a>(
        &self,
        input: impl Into<Input<'a>>,
        state: Option<&State>,
        pass: &mut Workspace,
        threads: Threads,
    ) -> Result<()> {
        self.run(input.into(), state, None, pass, threads)
    }

    /// The same in training: keeps what [`backward`](Self::backward) needs, and applies dropout, whose masks follow from
    /// `seed`.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn forward_training<'a>(
        &self,
        input: impl Into<Input<'a>>,
        state: Option<&State>,
        seed: u64,
        pass: &mut Workspace,
        threads: Threads,
    ) -> Result<()> {
        self.forward_training_step(input.into(), state, (seed, 0), pass, threads)
    }

    /// The same in a training run of many steps, whose masks follow from its seed and the number of the step.
    pub(crate) fn forward_training_step(
        &self,
        input: Input<'_>,
        state: Option<&State>,
        (seed, step): (u64, u64),
        pass: &mut Workspace,
        threads: Threads,
    ) -> Result<()> {
        self.run(input, state, Some(Training { seed, step, dropout: self.config.dropout }), pass, threads)
    }

    fn run(
        &self,
        input: Input<'_>,
        state: Option<&State>,
        training: Option<Training>,
        pass: &mut Workspace,
        threads: Threads,
    ) -> Result<()> {
        // Of a run that fails there is nothing left, and of the one before no gradient fits.
        (pass.training, pass.count, pass.width) = (None, 0, 0);
        pass.back.forget();
        let Workspace { door, x, resets, layers, sorted, last_sorted, state: last, turned, scratch, .. } = pass;
        door.enter("input", &input, self.config.batch_first, self.config.input_size)?;
        let x = door.time_major(&input, x);
        let resets = input.resets.map(|mask| door.resets(mask, resets)).transpose()?;
        let (steps, batch, directions) = (door.steps, door.batch, self.config.directions());
        if let Some(state) = state {
            state.check(["h_0", "c_0"], self.sizes(), batch)?;
        }
        last.shape_for(self.sizes(), batch)?;
        let packed = door.form == Kind::Packed;
        let state = match state {
            Some(state) if packed => {
                sorted.shape_for(self.sizes(), batch)?;
                sorted.sort(state, &door.order.sorted);
                Some(&*sorted)
            }
            other => other,
        };
        let out = if packed {
            last_sorted.shape_for(self.sizes(), batch)?;
            &mut *last_sorted
        } else {
            &mut *last
        };

        let lines = door.lines();
        let count = self.layers.len() / directions;
        if layers.len() < count {
            layers.resize_with(count, LayerMemory::default);
        }
        for k in 0..count {
            let sizes = self.layers[k * directions].sizes();
            let width = directions * sizes.output();
            let (before, here) = layers.split_at_mut(k);
            let (x, memory) = match (before.last_mut(), &mut here[0]) {
                (None, memory) => (x, memory),
                (Some(before), memory) => {
                    let dropped = training.is_some_and(|training| training.dropout > 0.0);
                    let from = if dropped { &before.dropped } else { &before.y };
                    (SeqRef::over(from, lines, sizes.input), memory)
                }
            };
            memory.y.resize(elements("output", &[lines.end(), width])?);
            let mut rest = Some(SeqMut::over(&mut memory.y, lines, width));
            for direction in 0..directions {
                let index = k * directions + direction;
                let layer = &self.layers[index];
                let (y, other) = rest.take().expect("a part for each direction").split_columns(sizes.output());
                rest = Some(other);
                let (h_n, c_n) = out.of_mut(index);
                let plan = layer.plan(steps, batch, threads)?;
                let pass = ForwardPass {
                    x,
                    h_0: state.map(|state| state.h_of(index)),
                    c_0: state.and_then(|state| state.c_of(index)),
                    resets,
                    y,
                    h_n: Some(h_n),
                    c_n,
                    tape: training.is_some().then_some(&mut memory.tapes[direction]),
                };
                layer.forward(&plan, pass, scratch)?;
            }
            if let Some(Training { seed, step, dropout: probability }) = training
                && probability > 0.0
                && k + 1 < count
            {
                let dropout = |direction| Dropout { probability, seed, step, layer: k, direction };
                memory.dropped.resize(memory.y.len());
                let (from, to) = (&memory.y, &mut memory.dropped);
                each_row(door, (to, width), threads, &|place, at, row| {
                    let from = from[at * width..][..width].chunks_exact(sizes.output());
                    for (direction, (from, to)) in from.zip(row.chunks_exact_mut(sizes.output())).enumerate() {
                        dropout(direction).apply(place, from, to);
                    }
                });
            }
        }
        if packed {
            last.unsort(last_sorted, &door.order.sorted);
        }
        if door.form == Kind::BatchFirst {
            let y = &layers[count - 1].y;
            turn(y, [steps, batch, self.output_size()], turned);
        }
        pass.training = training;
        pass.width = self.output_size();
        pass.count = count;
        Ok(())
    }
}

/// Calls `f((t, row of the batch), place, row of data)` for every row of every step, by several workers where it pays.
pub(super) fn each_row(
    door: &Door,
    data: (&mut [f32], usize),
    threads: Threads,
    f: &(impl Fn((usize, usize), usize, &mut [f32]) + Sync),
) {
    /// Elements that a worker gets at least: some tens of microseconds of work.
    const SHARE: usize = 1 << 15;
    let lines = door.lines();
    let (elements, width) = data;
    let workers = (elements.len() / SHARE).clamp(1, threads.get().min(64));
    let shares = Shares { rows: lines.end(), workers, unit: 1, lines: None };
    let mut nothing = [(); 64];
    share(shares, (elements, width), &mut nothing, &|range, (elements, width), ()| {
        let mut at = range.start;
        let (mut t, mut row) = lines.place_from_start(at);
        for values in elements.chunks_exact_mut(width) {
            while row >= lines.at(t).len() {
                (t, row) = (t + 1, 0);
            }
            f((t, door.row(row)), at, values);
            (at, row) = (at + 1, row + 1);
        }
    });
}

/// (T, B, width) to (B, T, width).
pub(super) fn turn(from: &[f32], [steps, batch, width]: [usize; 3], to: &mut Buffer) {
    to.resize(from.len());
    for (i, row) in from.chunks_exact(width.max(1)).enumerate() {
        let (t, b) = (i / batch, i % batch);
        to[(b * steps + t) * width..][..width].copy_from_slice(row);
    }
}

impl Workspace {
    /// The output of the last run: (T, B, D·H), or (B, T, D·H) of a network that is batch-first, or (T, 1, D·H) of an
    /// unbatched input.
    ///
    /// # Panics
    /// If the input was packed: its output is [`packed_output`](Self::packed_output).
    #[must_use]
    pub fn output(&self) -> SeqRef<'_> {
        self.out(self.y(), &self.turned, self.width)
    }

    /// The output of the last run over a packed batch, packed in the same order.
    ///
    /// # Panics
    /// If the input was not packed.
    #[must_use]
    pub fn packed_output(&self) -> PackedRef<'_> {
        self.packed_out(self.y(), self.width)
    }

    /// The states after each row's last step, h_n and c_n, in the order of the batch.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    fn y(&self) -> &[f32] {
        self.count.checked_sub(1).map_or(&[], |last| &self.layers[last].y)
    }

    /// Rows of that width as the input came.
    pub(super) fn out<'a>(&self, time_major: &'a [f32], turned: &'a [f32], width: usize) -> SeqRef<'a> {
        let Door { steps, batch, form, .. } = self.door;
        match form {
            Kind::BatchFirst => SeqRef::over(turned, Lines::dense(batch, steps), width),
            Kind::SequenceFirst | Kind::Unbatched => SeqRef::over(time_major, Lines::dense(steps, batch), width),
            Kind::Packed => panic!("the input was packed, and so is the output"),
        }
    }

    /// Rows of that width in the order of the packed input.
    pub(super) fn packed_out<'a>(&'a self, data: &'a [f32], width: usize) -> PackedRef<'a> {
        assert_eq!(self.door.form, Kind::Packed, "the input was not packed, and nor is the output");
        PackedRef::over(&data[..self.door.lines().end() * width], width, &self.door.order)
    }
}
