//! What `elman bench` is going to allocate.

use elman::internals::Cell;
use elman_cli::measure::{Mode, Workload};

use crate::verbs::Failure;
use crate::verbs::memory::Needs;

/// That there is room for a workload.
pub(super) fn of_run(load: &Workload) -> Result<(), Failure> {
    /// What kernels work in, whatever the batch.
    const SCRATCH: u64 = 16 << 20;
    let Workload { cell, input, hidden, batch, layers, steps, .. } = *load;
    let (training, copies) = (load.mode == Mode::Train, 1 + usize::from(load.ragged));
    let directions = if load.bidirectional { 2 } else { 1 };
    // Panels of 16 units; and of what a layer keeps for the backward pass, the values of a unit, its output among them.
    let units = hidden.next_multiple_of(16);
    let (gates, kept) = match cell {
        Cell::Elman(_) => (1, 1),
        Cell::Gru => (3, 5),
        Cell::Lstm => (4, 6),
        other => return Err(Failure::Run(format!("bench: what the cell {other} keeps is not known here"))),
    };
    let outputs = directions * hidden;
    let steps = if load.mode == Mode::Stream { load.timed_block() } else { steps };
    let mut needs = Needs::default();
    // The parameters and their panels; those of a stream's kernels; gradients, two averages and panels for the backward pass.
    let times = match load.mode {
        Mode::Train => 6,
        Mode::Stream => 3,
        _ => 2,
    };
    needs.floats("the first layer's weights", &[times, directions, gates, units, input + hidden + 2]);
    needs.floats("the other layers' weights", &[times, layers - 1, directions, gates, units, outputs + hidden + 2]);
    needs.floats("the head's weights", &[times, load.head, outputs + 1]);
    needs.floats("the input", &[copies, steps, batch, input]);
    let steps = if load.mode == Mode::Step { 1 } else { steps };
    if training {
        needs.floats("what the layers keep for the backward pass", &[layers, directions, steps, batch, kept, units]);
        needs.floats("the outputs, the target and their gradients", &[4, steps, batch, outputs]);
    } else {
        needs.floats("the outputs of two layers", &[2, steps, batch, outputs]);
    }
    needs.floats("the states", &[8, layers, batch, outputs]);
    needs.bytes("the kernels", SCRATCH);
    needs.check("bench")
}
