//! Single steps of one row or several, layer by layer.

use super::{Chain, Kind, Reads, Recurrence, Stage};
use crate::error::{Error, Result, elements};
use crate::kernel::layout::whole_panels;
use crate::kernel::step::block_of;
use crate::layer::{Delay, Direction, Readout, RowsMemory};
use crate::network::State;
use crate::tensor::{Buffer, StepRows};

/// What the layers of a chain keep of some rows.
#[derive(Clone, Debug)]
pub(crate) struct StepMemory {
    rows: usize,
    stages: Vec<StageSteps>,
}

/// What one of them does.
#[derive(Clone, Debug)]
enum StageSteps {
    /// Nothing: what comes in goes on.
    Passes,
    Recurrent(Vec<RowsMemory>),
    /// (steps, rows, width rounded up to 16): the outputs.
    Rows(Rows),
    Residual(Rows, StepMemory),
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

impl StageSteps {
    /// The outputs of the last `steps` steps, `x` where what came in went on.
    fn outputs<'a>(&'a self, steps: usize, x: StepRows<'a>) -> StepRows<'a> {
        match self {
            Self::Passes => x,
            Self::Recurrent(layers) => layers.last().map_or(x, |last| last.outputs(steps)),
            Self::Rows(rows) | Self::Residual(rows, _) => rows.view(),
        }
    }
}

impl StepMemory {
    /// Calls `f` for every recurrent layer, in the order of the states; `from` are those before. Gives how many there are
    /// behind it.
    fn each_layer(&self, from: usize, f: &mut dyn FnMut(usize, &RowsMemory)) -> usize {
        let mut place = from;
        for stage in &self.stages {
            match stage {
                StageSteps::Recurrent(layers) => {
                    for layer in layers {
                        f(place, layer);
                        place += 1;
                    }
                }
                StageSteps::Residual(_, inner) => place = inner.each_layer(place, f),
                StageSteps::Passes | StageSteps::Rows(_) => {}
            }
        }
        place
    }

    /// The same, to change them.
    fn each_layer_mut(&mut self, from: usize, f: &mut dyn FnMut(usize, &mut RowsMemory)) -> usize {
        let mut place = from;
        for stage in &mut self.stages {
            match stage {
                StageSteps::Recurrent(layers) => {
                    for layer in layers {
                        f(place, layer);
                        place += 1;
                    }
                }
                StageSteps::Residual(_, inner) => place = inner.each_layer_mut(place, f),
                StageSteps::Passes | StageSteps::Rows(_) => {}
            }
        }
        place
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
        let stages = self.stages.iter().map(|stage| {
            Ok(match &stage.kind {
                Kind::Readout(Readout::EveryStep | Readout::Last) => StageSteps::Passes,
                Kind::Readout(readout) => {
                    let what = format!("a {} over all steps, step by step", format!("{readout:?}").to_lowercase());
                    return Err(Error::unsupported("stream", what));
                }
                Kind::Recurrent(recurrence) => StageSteps::Recurrent(recurrence.rows_memories(rows, delay)?),
                Kind::Residual { chain, .. } => {
                    StageSteps::Residual(Rows::new(rows, stage.width)?, chain.step_memory(rows, delay)?)
                }
                Kind::Embedding(_) | Kind::Linear(_) | Kind::Elementwise(_) | Kind::Scale { .. } => {
                    StageSteps::Rows(Rows::new(rows, stage.width)?)
                }
            })
        });
        Ok(StepMemory { rows, stages: stages.collect::<Result<_>>()? })
    }

    /// Runs `steps` steps, at most [`block_of`], over the first of `x`, (steps, rows); indices have been checked. Gives the
    /// outputs.
    pub(in crate::model) fn steps<'a>(
        &self,
        steps: usize,
        x: StepRows<'a>,
        reads: Reads<'_>,
        memory: &'a mut StepMemory,
    ) -> StepRows<'a> {
        let (rows, mut x) = (memory.rows, x);
        for (stage, memory) in self.stages.iter().zip(&mut memory.stages) {
            stage.steps([steps, rows], x, reads, memory);
            x = memory.outputs(steps, x);
        }
        x
    }
}

impl Recurrence {
    fn rows_memories(&self, rows: usize, delay: Delay) -> Result<Vec<RowsMemory>> {
        let layers = self.network.layers();
        if layers.iter().any(|layer| layer.sizes().direction == Direction::Reverse) {
            let what = "a reverse direction, which begins with the last step, step by step";
            return Err(Error::unsupported("stream", what));
        }
        layers.iter().map(|layer| layer.rows_memory(rows, delay)).collect()
    }
}

impl Stage {
    fn steps(&self, [steps, rows]: [usize; 2], x: StepRows<'_>, reads: Reads<'_>, memory: &mut StageSteps) {
        let lines = steps * rows;
        match (&self.kind, memory) {
            (Kind::Recurrent(recurrence), StageSteps::Recurrent(memories)) => {
                let mut x = x;
                for (layer, memory) in recurrence.network.layers().iter().zip(memories) {
                    layer.steps(steps, x, memory);
                    x = memory.outputs(steps);
                }
            }
            (Kind::Linear(linear), StageSteps::Rows(rows)) => linear.steps(lines, x, &mut rows.data),
            (Kind::Embedding(embedding), StageSteps::Rows(rows)) => {
                for (y, x) in rows.each(lines, self.width, x) {
                    y.copy_from_slice(embedding.vector(reads.params, x[0] as usize));
                }
            }
            (Kind::Elementwise(elementwise), StageSteps::Rows(rows)) => {
                for (y, x) in rows.each(lines, self.width, x) {
                    y.copy_from_slice(&x[..y.len()]);
                    elementwise.forward(reads.kernels, y, self.width);
                }
            }
            (Kind::Scale { gain, offset }, StageSteps::Rows(rows)) => {
                for (y, x) in rows.each(lines, self.width, x) {
                    y.copy_from_slice(&x[..y.len()]);
                    super::forward::scale(y, gain, offset);
                }
            }
            (Kind::Residual { from, chain }, StageSteps::Residual(rows, inner)) => {
                let inside = chain.steps(steps, x, reads, inner);
                for (t, (y, inside)) in rows.each(lines, self.width, inside).enumerate() {
                    let x = x.step(t, from + self.width);
                    y.copy_from_slice(&inside[..y.len()]);
                    y.iter_mut().zip(&x[*from..]).for_each(|(y, x)| *y += x);
                }
            }
            (Kind::Readout(_), StageSteps::Passes) => {}
            _ => unreachable!("the memory is that of the chain"),
        }
    }
}
