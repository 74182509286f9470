//! A step whose units several threads share: each computes whole blocks of them from the whole input and state.

use std::ops::Range;

use super::{LayerSteps, StepKernel};
use crate::error::Result;
use crate::kernel::step::Steps;
use crate::parallel::{HelperThreads, Job, Slots};
use crate::tensor::{Buffer, StepRows};

/// Weights from which on a layer is shared, in floats: 128 KiB. Smaller ones take about as long as two threads need to tell
/// each other something.
const WORTHWHILE: usize = 32 << 10;

/// Weights that the caller reads, in floats, while a helper is told of a step and tells what came out: 64 KiB, half a
/// microsecond.
const TELLING: usize = 16 << 10;

/// How a layer is shared.
#[derive(Clone, Debug)]
pub(super) struct Split {
    /// The layer's number among those that are.
    number: usize,
    own: Part,
    /// One for each helper.
    others: Vec<Part>,
}

/// Some blocks, and their units.
#[derive(Clone, Debug)]
struct Part {
    blocks: Range<usize>,
    units: Range<usize>,
}

/// A helper's part of a layer, with the memory that it works in.
#[derive(Debug)]
pub(crate) struct LayerShare {
    kernel: StepKernel,
    part: Part,
    /// (I).
    x: Buffer,
    /// (2, O rounded up to 16): the state, and that after the step.
    h: Buffer,
    /// (H rounded up to 16): an LSTM's cell states.
    c: Buffer,
}

/// A helper's parts of all layers that are shared.
#[derive(Debug, Default)]
pub(crate) struct StepShares(pub(crate) Vec<LayerShare>);

impl LayerShare {
    /// Slots that its operands and its results take.
    pub(crate) fn slots(&self) -> [usize; 2] {
        let StepKernel { input, output, .. } = self.kernel;
        let (units, cells) = (self.part.units.len(), self.part.of(&self.c).len());
        [Slots::of(&[input, output, cells]), Slots::of(&[units, cells])]
    }

    fn run(&mut self) {
        self.kernel.call_part(&self.part, &self.x, &mut self.h, &mut self.c);
        self.kernel.turned ^= true;
    }
}

impl Job for StepShares {
    fn warm_up(&mut self) {
        self.0.iter_mut().for_each(LayerShare::run);
    }

    fn run(&mut self, what: usize, mut operands: Slots<'_>, mut results: Slots<'_>) {
        let share = &mut self.0[what];
        let output = share.kernel.output;
        operands.get(&mut share.x);
        operands.get(&mut share.h[..output]);
        operands.get(share.part.of_mut(&mut share.c));
        share.run();
        let next = share.h.len() / 2;
        results.put(share.part.of(&share.h[next..]));
        results.put(share.part.of(&share.c));
    }
}

impl Part {
    /// Its units' values; none of what the cell does not have.
    fn of<'a>(&self, all: &'a [f32]) -> &'a [f32] {
        all.get(self.units.clone()).unwrap_or_default()
    }

    fn of_mut<'a>(&self, all: &'a mut [f32]) -> &'a mut [f32] {
        all.get_mut(self.units.clone()).unwrap_or_default()
    }
}

impl StepKernel {
    /// One step of a row, `h` (2, O rounded up to 16), with helpers. What a helper does not answer in time is computed here.
    pub(super) fn call_with(
        &mut self,
        helpers: &mut HelperThreads,
        split: &Split,
        x: &[f32],
        h: &mut [f32],
        c: &mut [f32],
    ) {
        let Split { number, own, others } = split;
        for (helper, part) in others.iter().enumerate() {
            helpers.give(helper, *number, |mut to| {
                to.put(x);
                to.put(&h[..self.output]);
                to.put(part.of(c));
            });
        }
        self.call_part(own, x, h, c);
        let next = h.len() / 2;
        for (helper, part) in others.iter().enumerate() {
            let answered = helpers.take(helper, |mut from| {
                from.get(part.of_mut(&mut h[next..]));
                from.get(part.of_mut(c));
            });
            if !answered {
                self.call_part(part, x, h, c);
            }
        }
        self.turned ^= true;
    }

    /// A part of the units of one step.
    fn call_part(&self, part: &Part, x: &[f32], h: &mut [f32], c: &mut [f32]) {
        let Self { input, hidden, output, turned, .. } = *self;
        (self.run)(Steps {
            rows: 1,
            input,
            hidden,
            output,
            blocks: &self.weights.blocks[part.blocks.clone()],
            turned,
            steps: 1,
            x: StepRows { data: x, pitch: input },
            weights: &self.weights.floats,
            h,
            c,
            projection: None,
        });
    }
}

impl LayerSteps {
    /// Shares the layer with so many helpers, as number `number` of those that are, where it is big enough; gives their parts.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory).
    pub(crate) fn split(&mut self, number: usize, helpers: usize) -> Result<Vec<LayerShare>> {
        let kernel = &self.kernel;
        let (blocks, threads) = (&kernel.weights.blocks, helpers.saturating_add(1));
        let small = kernel.weights.floats.len() < WORTHWHILE || blocks.len() < threads;
        // What is projected is the whole of a step's cells.
        if kernel.rows > 1 || small || kernel.weights.w_hr.is_some() {
            return Ok(Vec::new());
        }
        // A helper begins and ends later than the caller, so it has less to do.
        let floats = kernel.weights.floats.len();
        let each = ((floats - TELLING) / threads * blocks.len() / floats).max(1);
        let own = blocks.len() - helpers * each;
        let unit_of = |block: usize| blocks.get(block).map_or(kernel.hidden, |block| block.unit);
        let part = |blocks: Range<usize>| Part { units: unit_of(blocks.start)..unit_of(blocks.end), blocks };
        let others: Vec<Part> = (0..helpers).map(|i| part(own + i * each..own + (i + 1) * each)).collect();
        let zeros = |len| Buffer::try_zeros("helper", len);
        let share = |part: &Part| {
            let (x, h, c) = (zeros(kernel.input)?, zeros(2 * self.pitch)?, zeros(self.c.len())?);
            Ok(LayerShare { kernel: kernel.clone(), part: part.clone(), x, h, c })
        };
        let shares = others.iter().map(share).collect::<Result<_>>()?;
        self.split = Some(Split { number, own: part(0..own), others });
        Ok(shares)
    }
}
