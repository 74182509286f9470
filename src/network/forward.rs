//! Recurrent layers forward over time-major rows, one above the other.

use super::batch::{Flow, RowsMut};
use super::dropout::Dropout;
use super::{Recurrent, State};
use crate::error::{Result, elements};
use crate::kernel::layout::{whole_blocks, whole_panels};
use crate::layer::recurrent::{ForwardPass, Layer, Scratch, Sizes, Tape};
use crate::tensor::{Buffer, Lines, SeqMut, SeqRef};

/// Where the rows are that a layer reads: outside, or in one of two buffers that layers write in turns.
#[derive(Clone, Copy, Debug)]
pub(crate) enum At<'a> {
    Outside(SeqRef<'a>),
    /// In the buffer of that index, rows of that width.
    Pair {
        index: usize,
        width: usize,
    },
}

impl<'a> At<'a> {
    /// Features of a row.
    pub(crate) fn width(self) -> usize {
        match self {
            At::Outside(x) => x.shape()[2],
            At::Pair { width, .. } => width,
        }
    }

    /// The rows.
    pub(crate) fn rows<'r>(self, pair: &'r [Buffer; 2], lines: Lines<'r>) -> SeqRef<'r>
    where
        'a: 'r,
    {
        match self {
            At::Outside(x) => x,
            At::Pair { index, width } => SeqRef::over(&pair[index], lines, width),
        }
    }

    /// The rows, and the buffer of the two that a layer may write meanwhile, with its index.
    pub(crate) fn rooms<'r>(self, pair: &'r mut [Buffer; 2], lines: Lines<'r>) -> (SeqRef<'r>, &'r mut Buffer, usize)
    where
        'a: 'r,
    {
        let [even, odd] = pair;
        match self {
            At::Outside(x) => (x, even, 0),
            At::Pair { index: 0, width } => (SeqRef::over(even, lines, width), odd, 1),
            At::Pair { width, .. } => (SeqRef::over(odd, lines, width), even, 0),
        }
    }
}

/// The states before and after a run, rows in the order of the flow. A network's own begin at `base`: states of several
/// networks lie one behind the other.
#[derive(Debug)]
pub(crate) struct States<'a> {
    pub(crate) first: Option<&'a State>,
    pub(crate) last: &'a mut State,
    pub(crate) base: usize,
}

/// Which dropout masks a run in training draws.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Masks {
    pub(crate) seed: u64,
    /// Runs in training before this one.
    pub(crate) step: u64,
    /// Layers of other networks below.
    pub(crate) base: usize,
}

impl Masks {
    /// The mask of layer k of a network, in that direction.
    pub(super) fn of(self, probability: f32, k: usize, direction: usize) -> Dropout {
        let Self { seed, step, base } = self;
        Dropout { probability, seed, step, layer: base + k, direction }
    }
}

/// What a run in training leaves for the backward pass.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecurrentMemory {
    pub(super) layers: Vec<LayerMemory>,
    /// The gradients between layers, in turns.
    pub(super) between: [Buffer; 2],
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

/// What a layer reads and writes in a run.
struct ForwardRows<'a> {
    x: SeqRef<'a>,
    y: SeqMut<'a>,
    /// Of each direction, in training.
    tapes: Option<&'a mut [Tape; 2]>,
}

impl RecurrentMemory {
    /// The output of the last layer of the last run in training, of `count` layers.
    pub(crate) fn output(&self, count: usize) -> &[f32] {
        count.checked_sub(1).map_or(&[], |last| &self.layers[last].y)
    }
}

impl Recurrent {
    /// Layers, whatever their directions.
    pub(crate) fn count(&self) -> usize {
        self.layers.len() / self.config.directions()
    }

    /// The width of layer k's output.
    pub(super) fn width(&self, k: usize) -> usize {
        let directions = self.config.directions();
        directions * self.layers[k * directions].sizes().output()
    }

    /// Runs all layers and keeps no more than the outputs of two. Gives where the last one's output is.
    pub(crate) fn infer(
        &self,
        flow: Flow<'_>,
        mut from: At<'_>,
        pair: &mut [Buffer; 2],
        mut states: States<'_>,
        scratch: &mut Scratch,
    ) -> Result<At<'static>> {
        let mut to = At::Pair { index: 0, width: 0 };
        for k in 0..self.count() {
            let width = self.width(k);
            let (x, y, index) = from.rooms(pair, flow.lines);
            y.try_resize("output", elements("output", &[flow.lines.end(), width])?)?;
            let rows = ForwardRows { x, y: SeqMut::over(y, flow.lines, width), tapes: None };
            self.layer(k, flow, rows, &mut states, scratch)?;
            to = At::Pair { index, width };
            from = to;
        }
        Ok(to)
    }

    /// Runs all layers, keeps what the backward pass needs, and applies dropout between them.
    pub(crate) fn train(
        &self,
        flow: Flow<'_>,
        x: SeqRef<'_>,
        memory: &mut RecurrentMemory,
        mut states: States<'_>,
        masks: Masks,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let (count, probability) = (self.count(), self.config.dropout);
        let layers = &mut memory.layers;
        if layers.len() < count {
            layers.resize_with(count, LayerMemory::default);
        }
        for k in 0..count {
            let width = self.width(k);
            let (before, here) = layers.split_at_mut(k);
            let LayerMemory { y, dropped, tapes } = &mut here[0];
            let x = before.last().map_or(x, |before| before.over_output(probability, flow, self.width(k - 1)));
            y.try_resize("output", elements("output", &[flow.lines.end(), width])?)?;
            let rows = ForwardRows { x, y: SeqMut::over(y, flow.lines, width), tapes: Some(tapes) };
            self.layer(k, flow, rows, &mut states, scratch)?;
            if probability > 0.0 && k + 1 < count {
                let hidden = width / self.config.directions();
                dropped.try_resize("output", y.len())?;
                flow.each_row(RowsMut { elements: dropped, width }, &|place, at, row| {
                    let y = &y[at * width..][..width];
                    for (direction, (row, y)) in row.chunks_exact_mut(hidden).zip(y.chunks_exact(hidden)).enumerate() {
                        masks.of(probability, k, direction).apply(place, y, row);
                    }
                });
            }
        }
        Ok(())
    }

    /// Layer k, in every direction.
    fn layer(
        &self,
        k: usize,
        flow: Flow<'_>,
        rows: ForwardRows<'_>,
        states: &mut States<'_>,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let ForwardRows { x, y, mut tapes } = rows;
        let directions = self.config.directions();
        let mut rest = Some(y);
        for direction in 0..directions {
            let index = k * directions + direction;
            let layer = &self.layers[index];
            let (y, other) = rest.take().expect("a part for each direction").split_columns(layer.sizes().output());
            rest = Some(other);
            let (first, place) = (states.first, states.base + index);
            let (h_n, c_n) = states.last.of_mut(place);
            let pass = ForwardPass {
                x,
                h_0: first.and_then(|state| state.h_of(place)),
                c_0: first.and_then(|state| state.c_of(place)),
                resets: flow.resets,
                y,
                h_n: Some(h_n),
                c_n,
                tape: tapes.as_mut().map(|tapes| &mut tapes[direction]),
            };
            by_rows(layer, flow, pass, scratch)?;
        }
        Ok(())
    }
}

/// Runs a layer over its rows: some of them at a time in inference where all at once would need much memory. No row
/// depends on another, so the bits are the same. What is kept in training has as many rows as the output anyway.
fn by_rows(layer: &Layer, flow: Flow<'_>, mut pass: ForwardPass<'_>, scratch: &mut Scratch) -> Result<()> {
    let rows = flow.lines.rows();
    let most = if pass.tape.is_some() { rows } else { rows_at_once(layer.sizes()) };
    let mut first = 0;
    loop {
        let n = most.min(rows - first);
        let plan = layer.plan_in(scratch, pass.work(), [flow.lines.steps(), n], flow.threads)?;
        if n == rows {
            return layer.forward(&plan, pass, scratch);
        }
        let (y, rest) = pass.y.split_rows(n);
        let (h_n, h_rest) = pass.h_n.map(|h_n| h_n.split_at_mut(n * layer.sizes().output())).unzip();
        let (c_n, c_rest) = pass.c_n.map(|c_n| c_n.split_at_mut(n * layer.sizes().hidden)).unzip();
        let some = ForwardPass {
            x: pass.x.narrow_rows(first, n),
            h_0: pass.h_0.map(|h_0| h_0.narrow_rows(first, n)),
            c_0: pass.c_0.map(|c_0| c_0.narrow_rows(first, n)),
            resets: pass.resets.map(|resets| resets.narrow_rows(first, n)),
            y,
            h_n,
            c_n,
            tape: None,
        };
        layer.forward(&plan, some, scratch)?;
        first += n;
        if first == rows {
            return Ok(());
        }
        pass = ForwardPass { y: rest, h_n: h_rest, c_n: c_rest, ..pass };
    }
}

/// Rows whose states, gates and operands take some 8 MiB together, in whole groups of any tier; never fewer than share
/// two workers well.
fn rows_at_once(sizes: Sizes) -> usize {
    const BYTES: usize = 8 << 20;
    const FEWEST: usize = 256;
    let (input, hidden) = (whole_blocks(sizes.input), whole_panels(sizes.hidden));
    // Two operands, z, what is put aside, the cell state; and the input's rows, laid out.
    let floats = hidden.saturating_mul(3 + 2 * sizes.cell.gates()).saturating_add(input);
    (BYTES / size_of::<f32>() / floats).next_multiple_of(FEWEST).max(FEWEST)
}

impl LayerMemory {
    /// What the layer above reads: the output, after dropout where there is any.
    pub(super) fn over_output<'a>(&'a self, probability: f32, flow: Flow<'a>, width: usize) -> SeqRef<'a> {
        SeqRef::over(if probability > 0.0 { &self.dropped } else { &self.y }, flow.lines, width)
    }
}
