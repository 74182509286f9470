//! Single steps of one row or several, layer by layer.

use super::{Chain, Kind, Reads, Stage};
use crate::error::{Error, Result, elements};
use crate::kernel::layout::whole_panels;
use crate::kernel::step::block_of;
use crate::layer::{Delay, Direction, LayerSteps, LinearSteps, Readout, StepShares};
use crate::network::State;
use crate::parallel::HelperThreads;
use crate::tensor::{Buffer, StepRows};

/// A chain that some rows go through step by step.
#[derive(Clone, Debug)]
pub(crate) struct StepMemory {
    rows: usize,
    layers: Vec<Step>,
}

/// What one layer does in a step; a read-out does nothing.
#[derive(Clone, Debug)]
enum Step {
    Recurrent(LayerSteps),
    Linear(LinearSteps),
    /// Element by element, by the stage of that number.
    Elements(usize, Rows),
    Residual(usize, Rows, StepMemory),
}

/// The outputs of up to [`block_of`] steps of all rows.
#[derive(Clone, Debug)]
struct Rows {
    data: Buffer,
    pitch: usize,
}

impl Rows {
    fn new(rows: usize, width: usize) -> Result<Self> {
        let pitch = whole_panels(width);
        let len = elements("stream", &[block_of(rows), rows, pitch])?;
        Ok(Self { data: Buffer::try_zeros("stream", len)?, pitch })
    }

    fn view(&self) -> StepRows<'_> {
        StepRows { data: &self.data, pitch: self.pitch }
    }

    /// The first features of each of the first lines (a step of a row), with what stands at the same line of `from`.
    fn each<'a>(
        &'a mut self,
        lines: usize,
        width: usize,
        from: StepRows<'a>,
    ) -> impl Iterator<Item = (&'a mut [f32], &'a [f32])> {
        let rows = self.data.chunks_exact_mut(self.pitch).take(lines).enumerate();
        rows.map(move |(t, row)| (&mut row[..width], &from.data[t * from.pitch..]))
    }
}

impl StepMemory {
    /// Calls `f` for every recurrent layer, in the order of the states; `from` are those before. Gives how many there are
    /// behind it.
    fn each_layer(&self, from: usize, f: &mut dyn FnMut(usize, &LayerSteps)) -> usize {
        let mut place = from;
        for layer in &self.layers {
            match layer {
                Step::Recurrent(layer) => {
                    f(place, layer);
                    place += 1;
                }
                Step::Residual(_, _, inner) => place = inner.each_layer(place, f),
                Step::Linear(_) | Step::Elements(..) => {}
            }
        }
        place
    }

    /// The same, to change them.
    fn each_layer_mut(&mut self, from: usize, f: &mut dyn FnMut(usize, &mut LayerSteps)) -> usize {
        let mut place = from;
        for layer in &mut self.layers {
            match layer {
                Step::Recurrent(layer) => {
                    f(place, layer);
                    place += 1;
                }
                Step::Residual(_, _, inner) => place = inner.each_layer_mut(place, f),
                Step::Linear(_) | Step::Elements(..) => {}
            }
        }
        place
    }

    /// Shares the layers that are big enough with so many helpers; gives their parts, none where no layer is, and the slots
    /// that operands and results take.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub(crate) fn split(&mut self, helpers: usize) -> Result<(Vec<StepShares>, [usize; 2])> {
        let (mut all, mut slots) = (Vec::new(), [0, 0]);
        let (mut number, mut failed) = (0, None);
        self.each_layer_mut(0, &mut |_, layer| {
            let shares = layer.split(number, helpers).unwrap_or_else(|error| {
                failed = Some(error);
                Vec::new()
            });
            number += usize::from(!shares.is_empty());
            all.resize_with(if number > 0 { helpers } else { 0 }, StepShares::default);
            for (of_helper, share) in all.iter_mut().zip(shares) {
                let [operands, results] = share.slots();
                slots = [operands.max(slots[0]), results.max(slots[1])];
                of_helper.0.push(share);
            }
        });
        failed.map_or(Ok((all, slots)), Err)
    }

    /// Sets the states of all recurrent layers for one row; where they are delayed, `state` has a row for each of those that
    /// are yet to come back.
    pub(crate) fn set(&mut self, row: usize, state: &State) {
        self.each_layer_mut(0, &mut |place, layer| {
            let h = state.h_of(place).expect("a layer of the model").flat().expect("no other layer in between");
            let c = state.c_of(place).map(|c| c.flat().expect("no other layer in between"));
            layer.set(row, h, c);
        });
    }

    /// Copies them.
    pub(crate) fn get(&self, row: usize, state: &mut State) {
        self.each_layer(0, &mut |place, layer| {
            let (h, c) = state.of_mut(place);
            layer.get(row, h, c);
        });
    }
}

impl Chain {
    /// Memory for some rows that go through it step by step.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a layer that needs steps that are yet to come.
    pub(in crate::model) fn step_memory(&self, rows: usize, delay: Delay) -> Result<StepMemory> {
        let mut layers = Vec::new();
        for (at, stage) in self.stages.iter().enumerate() {
            match &stage.kind {
                Kind::Readout(Readout::EveryStep | Readout::Last) => {}
                Kind::Readout(readout) => {
                    let what = format!("a {} over all steps, step by step", format!("{readout:?}").to_lowercase());
                    return Err(Error::unsupported("stream", what));
                }
                Kind::Recurrent(recurrence) => {
                    for layer in recurrence.network.layers() {
                        if layer.sizes().direction == Direction::Reverse {
                            let what = "a reverse direction, which begins with the last step, step by step";
                            return Err(Error::unsupported("stream", what));
                        }
                        layers.push(Step::Recurrent(layer.steps(rows, delay)?));
                    }
                }
                Kind::Linear(linear) => layers.push(Step::Linear(linear.steps(rows * block_of(rows))?)),
                Kind::Residual { chain, .. } => {
                    layers.push(Step::Residual(at, Rows::new(rows, stage.width)?, chain.step_memory(rows, delay)?));
                }
                Kind::Embedding(_) | Kind::Elementwise(_) | Kind::Scale { .. } => {
                    layers.push(Step::Elements(at, Rows::new(rows, stage.width)?));
                }
            }
        }
        Ok(StepMemory { rows, layers })
    }

    /// Runs `steps` steps, at most [`block_of`], over the first of `x`, (steps, rows); indices have been checked. Gives the
    /// outputs.
    #[inline]
    pub(in crate::model) fn steps<'a>(
        &self,
        steps: usize,
        x: StepRows<'a>,
        reads: Reads<'_>,
        memory: &'a mut StepMemory,
        mut helpers: Option<&mut HelperThreads>,
    ) -> StepRows<'a> {
        let lines = steps * memory.rows;
        // In parts, which stay in registers: a whole that is written by halves and read as one waits for the writing.
        let StepRows { mut data, mut pitch } = x;
        for layer in &mut memory.layers {
            let y = match layer {
                Step::Recurrent(layer) => layer.run(steps, StepRows { data, pitch }, helpers.as_deref_mut()),
                Step::Linear(linear) => linear.run(lines, StepRows { data, pitch }),
                Step::Elements(at, rows) => {
                    self.stages[*at].elements(lines, StepRows { data, pitch }, reads, rows);
                    rows.view()
                }
                Step::Residual(at, rows, inner) => {
                    let helpers = helpers.as_deref_mut();
                    self.stages[*at].residual(steps, StepRows { data, pitch }, reads, (rows, inner), helpers);
                    rows.view()
                }
            };
            (data, pitch) = (y.data, y.pitch);
        }
        StepRows { data, pitch }
    }
}

impl Stage {
    fn elements(&self, lines: usize, x: StepRows<'_>, reads: Reads<'_>, rows: &mut Rows) {
        for (y, x) in rows.each(lines, self.width, x) {
            match &self.kind {
                Kind::Embedding(embedding) => y.copy_from_slice(embedding.vector(reads.params, x[0] as usize)),
                Kind::Elementwise(elementwise) => {
                    y.copy_from_slice(&x[..y.len()]);
                    elementwise.forward(reads.kernels, y, self.width);
                }
                Kind::Scale { gain, offset } => {
                    y.copy_from_slice(&x[..y.len()]);
                    super::forward::scale(y, gain, offset);
                }
                _ => unreachable!("the steps are those of the chain"),
            }
        }
    }

    fn residual(
        &self,
        steps: usize,
        x: StepRows<'_>,
        reads: Reads<'_>,
        (rows, inner): (&mut Rows, &mut StepMemory),
        helpers: Option<&mut HelperThreads>,
    ) {
        let Kind::Residual { from, chain } = &self.kind else { unreachable!("the steps are those of the chain") };
        let lines = steps * inner.rows;
        let inside = chain.steps(steps, x, reads, inner, helpers);
        for (t, (y, inside)) in rows.each(lines, self.width, inside).enumerate() {
            let x = x.step(t, from + self.width);
            y.copy_from_slice(&inside[..y.len()]);
            y.iter_mut().zip(&x[*from..]).for_each(|(y, x)| *y += x);
        }
    }
}
