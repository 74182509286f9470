//! The layers of a model as they run: each takes time-major rows and gives time-major rows.

mod backward;
mod build;
mod forward;
mod step;

pub(super) use backward::ChainBackward;
pub(super) use build::{BuildContext, OwnState};
pub(super) use forward::{InferMemory, Inference, Reads, Training, copy};
pub(crate) use step::StepMemory;

use crate::layer::recurrent::Scratch;
use crate::layer::{Elementwise, Embedding, Linear, LinearScratch, Readout};
use crate::network::{Flow, Recurrent, RecurrentMemory};
use crate::tensor::{Buffer, Lines, SeqRef};

/// Layers, one after the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Chain {
    stages: Vec<Stage>,
}

/// One layer with the panels of its weights, and the width of what it gives.
#[derive(Clone, Debug)]
struct Stage {
    kind: Kind,
    width: usize,
}

#[derive(Clone, Debug)]
enum Kind {
    Embedding(Embedding),
    Recurrent(Box<Recurrence>),
    Linear(Box<Linear>),
    Elementwise(Elementwise),
    Readout(Readout),
    Scale { gain: Vec<f32>, offset: Vec<f32> },
    Residual { from: usize, chain: Chain },
}

/// Recurrent layers and where what is theirs begins among that of all.
#[derive(Clone, Debug)]
struct Recurrence {
    network: Recurrent,
    /// The place of their first state.
    states: usize,
    /// The number of their first layer, which their dropout masks are drawn by.
    layers: usize,
}

/// What a stage leaves in training for the backward pass.
#[derive(Clone, Debug, Default)]
pub(super) struct StageMemory {
    /// The output; that of recurrent layers is in `recurrent`.
    y: Buffer,
    /// The gradient at the input.
    d_x: Buffer,
    recurrent: RecurrentMemory,
    inner: Vec<StageMemory>,
    /// Of a maximum over steps: where each is from.
    at: Vec<u32>,
}

/// What every stage works in.
#[derive(Clone, Debug, Default)]
pub(super) struct Room {
    recurrent: Scratch,
    linear: LinearScratch,
}

impl Stage {
    /// Whether a single step is left of each row.
    fn leaves_one_step(&self) -> bool {
        matches!(self.kind, Kind::Readout(Readout::Last | Readout::Mean | Readout::Max))
    }

    /// Whether there is a gradient to be found for its parameters.
    fn learns(&self) -> bool {
        match &self.kind {
            Kind::Embedding(_) | Kind::Recurrent(_) | Kind::Linear(_) => true,
            Kind::Elementwise(_) | Kind::Readout(_) | Kind::Scale { .. } => false,
            Kind::Residual { chain, .. } => chain.stages.iter().any(Stage::learns),
        }
    }

    /// Its output of the last run in training, over the rows that leave it.
    fn output<'a>(&self, memory: &'a StageMemory, lines: Lines<'a>) -> SeqRef<'a> {
        let y = match &self.kind {
            Kind::Recurrent(recurrence) => memory.recurrent.output(recurrence.network.count()),
            _ => &memory.y,
        };
        SeqRef::over(y, lines, self.width)
    }
}

impl Chain {
    /// Whether a single step is left of each row at the end.
    pub(super) fn leaves_one_step(&self) -> bool {
        self.stages.iter().any(Stage::leaves_one_step)
    }

    /// Floating-point operations of the largest linear layer over so many rows.
    pub(super) fn largest_linear_flop(&self, rows: usize) -> f64 {
        let flops = self.stages.iter().map(|stage| match &stage.kind {
            Kind::Linear(linear) => linear.flop(rows),
            Kind::Residual { chain, .. } => chain.largest_linear_flop(rows),
            _ => 0.0,
        });
        flops.fold(0.0, f64::max)
    }

    /// How many indices the first layer knows, where that is an embedding.
    pub(super) fn vocabulary(&self) -> Option<usize> {
        match self.stages.first() {
            Some(Stage { kind: Kind::Embedding(embedding), .. }) => Some(embedding.vocabulary()),
            _ => None,
        }
    }

    /// Whether its input is indices.
    pub(super) fn begins_with_embedding(&self) -> bool {
        matches!(self.stages.first(), Some(Stage { kind: Kind::Embedding(_), .. }))
    }

    /// Whether a run in training draws dropout masks.
    pub(super) fn has_dropout(&self) -> bool {
        self.stages.iter().any(|stage| match &stage.kind {
            Kind::Recurrent(recurrence) => recurrence.network.has_dropout(),
            Kind::Residual { chain, .. } => chain.has_dropout(),
            _ => false,
        })
    }

    /// That every index of `x` is one of the first layer's, where that is an embedding.
    pub(super) fn check_indices(&self, x: SeqRef<'_>) -> crate::error::Result<()> {
        match self.stages.first() {
            Some(Stage { kind: Kind::Embedding(embedding), .. }) => embedding.check(x),
            _ => Ok(()),
        }
    }

    /// The output of the last run in training.
    pub(super) fn output<'a>(&self, memory: &'a [StageMemory], lines: Lines<'a>) -> Option<SeqRef<'a>> {
        let last = self.stages.len().checked_sub(1)?;
        Some(self.stages[last].output(&memory[last], lines))
    }

    /// The rows as stage k receives them: single steps after a read-out.
    fn flow_at<'a>(&self, k: usize, flow: Flow<'a>) -> Flow<'a> {
        if self.stages[..k].iter().any(Stage::leaves_one_step) { one_step(flow) } else { flow }
    }
}

/// One step of each row, in the order of the batch.
fn one_step(flow: Flow<'_>) -> Flow<'_> {
    Flow { lines: Lines::dense(1, flow.lines.rows()), order: None, resets: None, threads: flow.threads }
}
