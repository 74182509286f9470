//! Whole sequences in one call.
#![allow(unsafe_code)]

use std::slice;

use elman::tensor::SeqRef;
use elman::{LayerKind, Readout, Threads, Workspace};

use crate::border::{Answer, answer, refuse};
use crate::handle::null;
use crate::model::{ElmanModel, content};
use crate::status::ElmanStatus;
use crate::stream::{check_state, fill_state};
use crate::{entry, same_signatures};

/// A batch of sequences for `elman_run`. Set it to zeros, then `size` and what is needed.
#[repr(C)]
pub struct ElmanBatch {
    /// sizeof(ElmanBatch): later versions may add fields at the end.
    pub size: usize,
    /// Steps of each sequence.
    pub steps: usize,
    /// How many sequences there are.
    pub rows: usize,
    /// The input, row-major: steps, rows, features; rows, steps, features for a model that is batch-first. Indices are
    /// whole numbers.
    pub x: *const f32,
    /// Numbers at `x`.
    pub x_len: usize,
    /// Receives the output in the same order; one step where the model's read-out leaves one.
    pub y: *mut f32,
    /// Numbers at `y`.
    pub y_len: usize,
    /// The states that the sequences begin in: h of every recurrent layer (layer, row, unit), then c of every LSTM layer.
    /// NULL for zeros, or the model's own.
    pub first_state: *const f32,
    /// Receives the states after the last step. May be NULL.
    pub last_state: *mut f32,
    /// Numbers at `first_state` and at `last_state`: rows times the model's state size. Not read where both are NULL.
    pub state_len: usize,
    /// How many threads may work on it; 0 is 1.
    pub threads: usize,
}

/// Runs the model over whole sequences: what a stream over each of them would give, in less time.
#[unsafe(no_mangle)]
#[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), unsafe(naked))]
pub unsafe extern "C" fn elman_run(model: *const ElmanModel, batch: *const ElmanBatch) -> ElmanStatus {
    entry!(run(model, batch))
}

unsafe extern "C" fn run(model: *const ElmanModel, batch: *const ElmanBatch) -> ElmanStatus {
    answer(|| {
        // SAFETY: C promises a handle that is not collected.
        let model = &unsafe { content(model)? }.model;
        // SAFETY: C promises a batch, or NULL.
        let batch = unsafe { batch.as_ref() }.ok_or_else(|| null("batch"))?;
        let expected = size_of::<ElmanBatch>();
        if batch.size != expected {
            let sentence = format_args!("size: expected {expected}, as of ElmanBatch, got {}", batch.size);
            return Err(refuse(ElmanStatus::Setting, sentence));
        }
        let &ElmanBatch { steps, rows, .. } = batch;
        let readout = |kind: &LayerKind| matches!(kind, LayerKind::Readout(readout) if *readout != Readout::EveryStep);
        let spec = model.spec();
        let steps_out = if spec.layers.iter().any(|layer| readout(&layer.kind)) { 1 } else { steps };
        length("x", batch.x.is_null(), batch.x_len, [steps, rows, model.inputs()])?;
        length("y", batch.y.is_null(), batch.y_len, [steps_out, rows, model.outputs()])?;
        let threads = Threads::new(batch.threads.max(1))?;

        let mut state = model.zero_state(rows)?;
        if !batch.last_state.is_null() {
            check_state(false, "last_state", &state, batch.state_len)?;
        }
        let first = if batch.first_state.is_null() {
            None
        } else {
            check_state(false, "first_state", &state, batch.state_len)?;
            // SAFETY: C promises that so many numbers can be read there, for this call.
            fill_state(&mut state, unsafe { slice::from_raw_parts(batch.first_state, batch.state_len) });
            Some(&state)
        };
        // SAFETY: as above.
        let x = unsafe { slice::from_raw_parts(batch.x, batch.x_len) };
        let [first_size, second_size] = if spec.batch_first { [rows, steps] } else { [steps, rows] };
        let x = SeqRef::new(x, first_size, second_size, model.inputs())?;
        let mut workspace = Workspace::default();
        let output = model.run_with(x, first, &mut workspace, threads)?;

        let values = output.values();
        let [first_size, ..] = values.shape();
        let mut at = 0;
        for step in 0..first_size {
            let step = values.step(step);
            for row in 0..step.shape()[0] {
                let row = step.row(row);
                // It cannot be: the shape is what `length` has compared.
                if batch.y_len - at < row.len() {
                    return Err(refuse(ElmanStatus::Length, "y: the output is longer than was expected"));
                }
                // SAFETY: C promises that `y_len` numbers can be written at `y`, and these end no later.
                unsafe { batch.y.add(at).copy_from_nonoverlapping(row.as_ptr(), row.len()) };
                at += row.len();
            }
        }
        if !batch.last_state.is_null() {
            let (h, c) = (output.state().h(), output.state().c());
            // SAFETY: C promises that `state_len` numbers can be written there, and that is the sum of both.
            unsafe {
                batch.last_state.copy_from_nonoverlapping(h.as_ptr(), h.len());
                batch.last_state.add(h.len()).copy_from_nonoverlapping(c.as_ptr(), c.len());
            }
        }
        Ok(())
    })
}

same_signatures!(elman_run = run);

/// That a pointer is there, and the elements of a shape.
fn length(name: &str, is_null: bool, len: usize, shape: [usize; 3]) -> Answer {
    if is_null {
        return Err(null(name));
    }
    let [steps, rows, width] = shape;
    let expected = shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size));
    if expected != Some(len) {
        let sentence =
            format_args!("{name}: expected {steps} steps of {rows} rows of {width} numbers, got {len} numbers");
        return Err(refuse(ElmanStatus::Length, sentence));
    }
    Ok(())
}
