//! What `elman run` is going to allocate.

use elman::{LayerKind, Model};

use super::args::Args;
use super::batch::{Batch, Form};
use super::place::Source;
use crate::verbs::memory::Needs;
use crate::verbs::{Failure, facts};

/// That there is room for what the files hold, which is read whole.
pub(super) fn of_files(args: &Args) -> Result<(), Failure> {
    let mut needs = Needs::default();
    let (Source::Tensors(input) | Source::Csv(input)) = args.source();
    // Its bytes, the parameters and the panels that the kernels read.
    needs.file("the model", args.model(), 3);
    // Its bytes and the numbers; an F16 grows to twice as much, and so does a digit with its comma.
    needs.file("the input", input, 3);
    needs.check("run")
}

/// That there is room for what a run makes of a batch: a layer may be thousands of times as wide as its input, and rows
/// without steps, which take no room in a file, have states all the same.
pub(super) fn of_run(model: &Model, batch: &Batch) -> Result<(), Failure> {
    /// What kernels work in, whatever the batch.
    const SCRATCH: u64 = 16 << 20;
    let (steps, rows) = (batch.steps, batch.rows);
    let state = model.zero_state(0)?;
    let spec = model.spec();
    let mut needs = Needs::default();

    // Turned to time-major, or packed.
    let input = if batch.form == Form::BatchFirst || batch.ragged() { 1 } else { 0 };
    needs.floats("the input in the order of time", &[input, steps, rows, batch.width]);
    let outputs = model.outputs();
    let widest = facts::widths(spec).into_iter().max().unwrap_or(0).max(outputs);
    needs.floats("the outputs of two layers", &[2, steps, rows, widest]);
    needs.floats("the output and the file", &[3, if facts::leaves_one_step(spec) { 1 } else { steps }, rows, outputs]);
    let (h, c) = (state.h_shape(), state.c_shape());
    needs.floats("the states and the file", &[4, rows, h[0].saturating_mul(h[2]) + c[0].saturating_mul(c[2])]);
    let hidden = facts::recurrent(spec).into_iter().flat_map(|(_, facts)| facts.hidden_sizes).max().unwrap_or(0);
    // Four gates of one step, each rounded up to a panel.
    needs.floats("the gates of a step", &[steps.min(1), rows, 4, hidden.next_multiple_of(16)]);
    needs.bytes("the kernels", SCRATCH);
    let vocabulary = spec.layers.iter().any(|layer| matches!(layer.kind, LayerKind::Embedding { .. }));
    needs.floats("the indices", &[usize::from(vocabulary), steps, rows]);
    needs.check("run")
}
