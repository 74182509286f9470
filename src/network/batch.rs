//! The form a batch comes in, and goes out in again: padded either way, a single sequence, or packed.

use super::State;
use super::input::{Input, Source};
use crate::error::{Error, Result, check_shape};
use crate::layer::Sizes;
use crate::memory;
use crate::parallel::{Shares, Threads, share};
use crate::tensor::{Buffer, Lines, Mask, Order, PackedRef, SeqRef};

/// A batch's form and sizes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batch {
    pub(crate) form: Form,
    pub(crate) steps: usize,
    pub(crate) batch: usize,
    /// Of a packed batch.
    pub(crate) order: Order,
}

/// How the rows of a batch lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Form {
    #[default]
    SequenceFirst,
    BatchFirst,
    Unbatched,
    Packed,
}

/// The rows of a batch on their way through the layers, time-major.
#[derive(Clone, Copy)]
pub(crate) struct Flow<'a> {
    /// Where the rows of each step lie.
    pub(crate) lines: Lines<'a>,
    /// Of a packed batch: which row lies at each place.
    pub(crate) order: Option<&'a Order>,
    /// Where new sequences begin.
    pub(crate) resets: Option<Mask<'a>>,
    pub(crate) threads: Threads,
}

/// Elements as rows of that width.
pub(crate) struct RowsMut<'a> {
    pub(crate) elements: &'a mut [f32],
    pub(crate) width: usize,
}

/// A step and a row of the batch, as the caller counts them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Position {
    pub(crate) t: usize,
    pub(crate) row: usize,
}

impl Flow<'_> {
    /// The row of the batch that lies at place `i` of a step.
    pub(crate) fn row(&self, i: usize) -> usize {
        self.order.map_or(i, |order| order.sorted[i])
    }

    /// Calls `f(step and row of the batch, place, row of data)` for every row of every step, by several workers where it pays.
    pub(crate) fn each_row(&self, rows: RowsMut<'_>, f: &(impl Fn(Position, usize, &mut [f32]) + Sync)) {
        /// Elements that a worker gets at least: some tens of microseconds of work.
        const SHARE: usize = 1 << 15;
        let RowsMut { elements, width } = rows;
        let workers = (elements.len() / SHARE).clamp(1, self.threads.get());
        let shares = Shares { rows: self.lines.end(), workers, unit: 1, lines: None };
        // Of a type without a size: allocates nothing.
        let mut nothing = vec![(); workers];
        share(shares, (elements, width), &mut nothing, &|range, (elements, width), ()| {
            let mut at = range.start;
            let (mut t, mut row) = self.lines.place_from_start(at);
            for values in elements.chunks_exact_mut(width) {
                while row >= self.lines.at(t).len() {
                    (t, row) = (t + 1, 0);
                }
                f(Position { t, row: self.row(row) }, at, values);
                (at, row) = (at + 1, row + 1);
            }
        });
    }
}

impl Batch {
    /// That the batch is numbers and not indices, which only an embedding reads.
    pub(crate) fn check_numbers(name: &str, input: &Input<'_>, features: usize) -> Result<()> {
        match input.source {
            Source::Indices { .. } => {
                Err(Error::value(name, &format!("numbers ({features} a step), as no embedding reads it"), "indices"))
            }
            _ => Ok(()),
        }
    }

    /// Notes the form of the batch and checks its shape; `features` is what its rows must have, `name` what it is called.
    pub(crate) fn enter(&mut self, name: &str, input: &Input<'_>, batch_first: bool, features: usize) -> Result<()> {
        let (form, [steps, batch, width]) = match input.source {
            Source::Padded(x) if batch_first => {
                let [batch, steps, width] = x.shape();
                check_shape(name, &[batch, steps, features], &x.shape())?;
                (Form::BatchFirst, [steps, batch, width])
            }
            Source::Padded(x) => (Form::SequenceFirst, x.shape()),
            Source::Unbatched(x) => {
                check_shape(name, &[x.shape()[0], features], &[x.shape()[0], x.shape()[2]])?;
                (Form::Unbatched, x.shape())
            }
            Source::Packed(packed) => {
                self.order.copy_from(packed.order())?;
                (Form::Packed, packed.seq().shape())
            }
            Source::Indices { steps, batch, .. } if batch_first => (Form::BatchFirst, [batch, steps, 1]),
            Source::Indices { steps, batch, .. } => (Form::SequenceFirst, [steps, batch, 1]),
        };
        check_shape(name, &[steps, batch, features], &[steps, batch, width])?;
        (self.form, self.steps, self.batch) = (form, steps, batch);
        Ok(())
    }

    /// Where the rows lie, time-major.
    pub(crate) fn lines(&self) -> Lines<'_> {
        match self.form {
            Form::Packed => self.order.lines(),
            _ => Lines::dense(self.steps, self.batch),
        }
    }

    /// The order of a packed batch's rows.
    pub(crate) fn order(&self) -> Option<&Order> {
        (self.form == Form::Packed).then_some(&self.order)
    }

    /// The batch, time-major: turned into `turned` where it came batch-first.
    pub(crate) fn time_major<'a>(&self, input: &Input<'a>, turned: &'a mut Buffer) -> Result<SeqRef<'a>> {
        let (steps, batch) = (self.steps, self.batch);
        Ok(match input.source {
            Source::Packed(packed) => packed.seq(),
            Source::Unbatched(x) => x,
            Source::Padded(x) if self.form == Form::BatchFirst => {
                let width = x.shape()[2];
                turned.try_resize("input", steps * batch * width)?;
                for row in 0..batch {
                    let step = x.step(row);
                    for t in 0..steps {
                        turned[(t * batch + row) * width..][..width].copy_from_slice(step.row(t));
                    }
                }
                SeqRef::over(turned, Lines::dense(steps, batch), width)
            }
            Source::Padded(x) => x,
            Source::Indices { indices, .. } => {
                turned.try_resize("input", steps * batch)?;
                for (i, &index) in indices.iter().enumerate() {
                    turned[self.place(i)] = index as f32;
                }
                SeqRef::over(turned, Lines::dense(steps, batch), 1)
            }
        })
    }

    /// Where the element of row and step that comes as number `i` lies time-major.
    fn place(&self, i: usize) -> usize {
        if self.form == Form::BatchFirst { i % self.steps * self.batch + i / self.steps } else { i }
    }

    /// The state with its rows as the batch's: sorted into `sorted` where it is packed.
    pub(crate) fn in_order<'a>(
        &self,
        state: Option<&'a State>,
        layers: impl Iterator<Item = Sizes> + Clone,
        sorted: &'a mut State,
    ) -> Result<Option<&'a State>> {
        match state {
            Some(state) if self.form == Form::Packed => {
                sorted.shape_for(layers, self.batch)?;
                sorted.sort(state, &self.order.sorted);
                Ok(Some(sorted))
            }
            other => Ok(other),
        }
    }

    /// The one of two states that layers write: `sorted` where the batch is packed, as their rows are sorted then.
    pub(crate) fn written<'a>(&self, state: &'a mut State, sorted: &'a mut State) -> &'a mut State {
        if self.form == Form::Packed { sorted } else { state }
    }

    /// Leaves in `state` what layers have [written](Self::written), its rows as the caller counts them. Both have its shape.
    pub(crate) fn restore(&self, state: &mut State, sorted: &State) {
        if self.form == Form::Packed {
            state.unsort(sorted, &self.order.sorted);
        }
    }

    /// Rows (T, B, width) as the batch came: in `turned` where it came batch-first, and else as they are.
    /// [`padded`](Self::padded) reads them.
    pub(crate) fn give_back(&self, rows: &[f32], width: usize, turned: &mut Buffer) -> Result<()> {
        if self.form == Form::BatchFirst { turn(rows, [self.steps, self.batch, width], turned) } else { Ok(()) }
    }

    /// The mask, time-major: turned into `turned` where it came batch-first.
    pub(crate) fn resets<'a>(&'a self, mask: &'a [bool], turned: &'a mut Vec<bool>) -> Result<Mask<'a>> {
        let (steps, batch, total) = (self.steps, self.batch, self.lines().end());
        if mask.len() != total {
            let shape = match self.form {
                Form::SequenceFirst => vec![steps, batch],
                Form::BatchFirst => vec![batch, steps],
                Form::Unbatched => vec![steps],
                Form::Packed => vec![total],
            };
            return Err(Error::length("resets", &shape, mask.len()));
        }
        if self.form != Form::BatchFirst {
            return Ok(Mask::over(mask, self.lines()));
        }
        turned.clear();
        memory::reserve("resets", turned, total)?;
        turned.resize(total, false);
        for (i, &reset) in mask.iter().enumerate() {
            turned[self.place(i)] = reset;
        }
        Ok(Mask::over(turned, self.lines()))
    }

    /// That another batch came in the same form and shape.
    pub(crate) fn same(&self, name: &str, other: &Self) -> Result<()> {
        check_shape(name, &[self.steps, self.batch], &[other.steps, other.batch])?;
        if self.form != other.form {
            let expected = format!("{:?} as in the forward run", self.form);
            return Err(Error::state(name, &expected, format_args!("{:?}", other.form)));
        }
        if self.form == Form::Packed && self.order != other.order {
            return Err(Error::state(name, "the batch sizes and order of the forward run", "others"));
        }
        Ok(())
    }

    /// Rows of that width as the batch came, once [`give_back`](Self::give_back) has seen them.
    ///
    /// # Panics
    /// If it came packed.
    pub(crate) fn padded<'a>(&self, time_major: &'a [f32], turned: &'a [f32], width: usize) -> SeqRef<'a> {
        let Self { steps, batch, .. } = *self;
        match self.form {
            Form::BatchFirst => SeqRef::over(turned, Lines::dense(batch, steps), width),
            Form::SequenceFirst | Form::Unbatched => SeqRef::over(time_major, Lines::dense(steps, batch), width),
            Form::Packed => panic!("the input was packed, and so is the output"),
        }
    }

    /// Rows of that width in the order of a packed batch.
    ///
    /// # Panics
    /// If it did not come packed.
    pub(crate) fn packed<'a>(&'a self, data: &'a [f32], width: usize) -> PackedRef<'a> {
        assert_eq!(self.form, Form::Packed, "the input was not packed, and nor is the output");
        PackedRef::over(&data[..self.lines().end() * width], width, &self.order)
    }
}

/// (T, B, width) to (B, T, width).
pub(crate) fn turn(from: &[f32], [steps, batch, width]: [usize; 3], to: &mut Buffer) -> Result<()> {
    to.try_resize("output", from.len())?;
    for (i, row) in from.chunks_exact(width.max(1)).enumerate() {
        let (t, b) = (i / batch, i % batch);
        to[(b * steps + t) * width..][..width].copy_from_slice(row);
    }
    Ok(())
}
