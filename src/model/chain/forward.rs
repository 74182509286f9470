//! Forward, layer by layer: in inference in two buffers that the layers write in turns, in training into memory of each.

use super::{Chain, Kind, Room, StageMemory, one_step};
use crate::error::{Result, elements};
use crate::kernel::Kernels;
use crate::layer::Readout;
use crate::network::{At, Flow, Masks, States};
use crate::params::Params;
use crate::tensor::{Buffer, SeqRef};

/// What inference works in.
#[derive(Clone, Debug, Default)]
pub(in crate::model) struct InferMemory {
    /// The outputs of layers, in turns.
    pub(in crate::model) pair: [Buffer; 2],
    /// The inputs of residuals, by how deep they lie inside each other.
    kept: Vec<Buffer>,
    at: Vec<u32>,
}

/// An inference under way.
pub(in crate::model) struct Inference<'a> {
    pub(in crate::model) memory: &'a mut InferMemory,
    pub(in crate::model) room: &'a mut Room,
    /// Residuals around the chain.
    pub(in crate::model) depth: usize,
}

/// A forward run in training under way.
pub(in crate::model) struct Training<'a> {
    /// What each layer keeps for the backward pass.
    pub(in crate::model) memory: &'a mut Vec<StageMemory>,
    pub(in crate::model) room: &'a mut Room,
}

/// What every layer reads beside its rows.
#[derive(Clone, Copy)]
pub(in crate::model) struct Reads<'a> {
    pub(in crate::model) params: &'a Params,
    pub(in crate::model) kernels: &'static Kernels,
}

impl Chain {
    /// Runs all layers and keeps no more than two outputs. Gives where the last one's is.
    pub(in crate::model) fn infer<'a>(
        &self,
        mut flow: Flow<'a>,
        mut at: At<'a>,
        reads: Reads<'_>,
        states: &mut States<'_>,
        inference: Inference<'_>,
    ) -> Result<At<'a>> {
        let Inference { memory, room, depth } = inference;
        for stage in &self.stages {
            match &stage.kind {
                Kind::Recurrent(recurrence) => {
                    let states = States { first: states.first, last: &mut *states.last, base: recurrence.states };
                    at = recurrence.network.infer(flow, at, &mut memory.pair, states, &mut room.recurrent)?;
                }
                Kind::Readout(Readout::EveryStep) => {}
                Kind::Elementwise(elementwise) => {
                    let (rows, to) = in_place(at, flow, &mut memory.pair)?;
                    elementwise.forward(reads.kernels, rows, stage.width);
                    at = to;
                }
                Kind::Scale { gain, offset } => {
                    let (rows, to) = in_place(at, flow, &mut memory.pair)?;
                    scale(rows, gain, offset);
                    at = to;
                }
                Kind::Residual { from, chain } => {
                    keep(at, flow, memory, depth)?;
                    let width = at.width();
                    let inside = Inference { memory: &mut *memory, room: &mut *room, depth: depth + 1 };
                    at = chain.infer(flow, at, reads, states, inside)?;
                    let (rows, to) = in_place(at, flow, &mut memory.pair)?;
                    add(
                        rows,
                        stage.width,
                        SeqRef::over(&memory.kept[depth], flow.lines, width).narrow_columns(*from, stage.width),
                    );
                    at = to;
                }
                Kind::Embedding(embedding) => {
                    let (x, y, index) = at.rooms(&mut memory.pair, flow.lines);
                    y.try_resize("output", elements("output", &[flow.lines.end(), stage.width])?)?;
                    embedding.forward(reads.params, x, y);
                    at = At::Pair { index, width: stage.width };
                }
                Kind::Linear(linear) => {
                    let (x, y, index) = at.rooms(&mut memory.pair, flow.lines);
                    y.try_resize("output", elements("output", &[flow.lines.end(), stage.width])?)?;
                    linear.forward_rows(x, y, &mut room.linear)?;
                    at = At::Pair { index, width: stage.width };
                }
                Kind::Readout(readout) => {
                    let (x, y, index) = at.rooms(&mut memory.pair, flow.lines);
                    y.try_resize("output", elements("output", &[flow.lines.rows(), stage.width])?)?;
                    readout.forward(x, |i| flow.row(i), y, &mut memory.at)?;
                    (at, flow) = (At::Pair { index, width: stage.width }, one_step(flow));
                }
            }
        }
        Ok(at)
    }
}

impl Chain {
    /// Runs all layers and keeps what the backward pass needs.
    pub(in crate::model) fn train(
        &self,
        flow: Flow<'_>,
        input: SeqRef<'_>,
        reads: Reads<'_>,
        states: &mut States<'_>,
        masks: Masks,
        training: Training<'_>,
    ) -> Result<()> {
        let Training { memory, room } = training;
        if memory.len() < self.stages.len() {
            memory.resize_with(self.stages.len(), StageMemory::default);
        }
        for (k, stage) in self.stages.iter().enumerate() {
            let flow = self.flow_at(k, flow);
            let (before, here) = memory.split_at_mut(k);
            let x = match k.checked_sub(1) {
                None => input,
                Some(below) => self.stages[below].output(&before[below], flow.lines),
            };
            let StageMemory { y, recurrent, inner, at, .. } = &mut here[0];
            let rows = if stage.leaves_one_step() { flow.lines.rows() } else { flow.lines.end() };
            match &stage.kind {
                Kind::Recurrent(recurrence) => {
                    let states = States { first: states.first, last: &mut *states.last, base: recurrence.states };
                    let masks = Masks { base: masks.base + recurrence.layers, ..masks };
                    recurrence.network.train(flow, x, recurrent, states, masks, &mut room.recurrent)?;
                    continue;
                }
                Kind::Residual { from, chain } => {
                    chain.train(flow, x, reads, states, masks, Training { memory: &mut *inner, room: &mut *room })?;
                    let inside = chain.output(inner, flow.lines).expect("a residual has layers");
                    y.try_resize("output", elements("output", &[rows, stage.width])?)?;
                    copy(inside, y);
                    add(y, stage.width, x.narrow_columns(*from, stage.width));
                    continue;
                }
                _ => y.try_resize("output", elements("output", &[rows, stage.width])?)?,
            }
            match &stage.kind {
                Kind::Embedding(embedding) => embedding.forward(reads.params, x, y),
                Kind::Linear(linear) => linear.forward_rows(x, y, &mut room.linear)?,
                Kind::Elementwise(elementwise) => {
                    copy(x, y);
                    elementwise.forward(reads.kernels, y, stage.width);
                }
                Kind::Scale { gain, offset } => {
                    copy(x, y);
                    scale(y, gain, offset);
                }
                Kind::Readout(Readout::EveryStep) => copy(x, y),
                Kind::Readout(readout) => readout.forward(x, |i| flow.row(i), y, at)?,
                Kind::Recurrent(_) | Kind::Residual { .. } => unreachable!("done above"),
            }
        }
        Ok(())
    }
}

/// The rows where they are to be changed, and where that is: those from outside are copied first.
fn in_place<'m>(at: At<'_>, flow: Flow<'_>, pair: &'m mut [Buffer; 2]) -> Result<(&'m mut [f32], At<'static>)> {
    Ok(match at {
        At::Outside(x) => {
            let [even, _] = pair;
            let width = x.shape()[2];
            even.try_resize("output", flow.lines.end() * width)?;
            copy(x, even);
            (even, At::Pair { index: 0, width })
        }
        At::Pair { index, width } => (&mut pair[index][..flow.lines.end() * width], At::Pair { index, width }),
    })
}

/// Keeps the rows that a residual adds in the end.
fn keep(at: At<'_>, flow: Flow<'_>, memory: &mut InferMemory, depth: usize) -> Result<()> {
    let InferMemory { pair, kept, .. } = memory;
    if kept.len() <= depth {
        kept.resize_with(depth + 1, Buffer::default);
    }
    let x = at.rows(pair, flow.lines);
    kept[depth].try_resize("output", flow.lines.end() * at.width())?;
    copy(x, &mut kept[depth]);
    Ok(())
}

/// Every row of `x`, one after the other.
pub(in crate::model) fn copy(x: SeqRef<'_>, to: &mut [f32]) {
    match x.flat() {
        Some(flat) => to[..flat.len()].copy_from_slice(flat),
        None => {
            let width = x.shape()[2].max(1);
            x.each_row().zip(to.chunks_exact_mut(width)).for_each(|(from, to)| to.copy_from_slice(from));
        }
    }
}

/// Adds every row of `x` to the rows of that width.
pub(super) fn add(rows: &mut [f32], width: usize, x: SeqRef<'_>) {
    for (row, x) in rows.chunks_exact_mut(width.max(1)).zip(x.each_row()) {
        row.iter_mut().zip(x).for_each(|(y, x)| *y += x);
    }
}

pub(super) fn scale(rows: &mut [f32], gain: &[f32], offset: &[f32]) {
    for row in rows.chunks_exact_mut(gain.len().max(1)) {
        row.iter_mut().zip(gain).zip(offset).for_each(|((y, gain), offset)| *y = gain * *y + offset);
    }
}
