//! The memory that a layer's passes work in.

use super::Sizes;
use crate::gemm::{GemmScratch, Panels};
use crate::parallel::Team;
use crate::plan::Plans;
use crate::tensor::Buffer;

/// What a forward pass keeps for the backward pass. Belongs to the caller, grows to the largest use, and then is never
/// allocated again.
#[derive(Clone, Debug, Default)]
pub struct Tape {
    /// (rows of all steps, gradients a unit · H'): gates, then their gradients.
    pub(super) gates: Buffer,
    /// (rows of all steps, H'): cell states.
    pub(super) cells: Buffer,
    /// (rows of all steps, H'): what was projected.
    pub(super) m: Buffer,
    /// (rows of all steps, O'): the gradients of projected states.
    pub(super) d_h: Buffer,
    /// Of the pass that filled it: the rows of all steps and the layer. None once a backward pass has used it up.
    pub(super) filled: Option<(usize, Sizes)>,
}

/// Memory a pass works in. Belongs to the caller, grows to the largest use, and then is never allocated again.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    pub(super) workers: Vec<Worker>,
    /// (G·H, O): `weight_hh`, for the backward pass.
    pub(super) w_hh: Panels,
    /// (G·H, I): `weight_ih`, for the gradient of the input.
    pub(super) w_ih: Panels,
    /// (P, H): `weight_hr`, for the backward pass.
    pub(super) w_hr: Panels,
    /// (O): a row of the state where there is none.
    pub(super) zeros: Buffer,
    /// The schedules of the last calls.
    pub(crate) plans: Plans,
    /// Where workers that own units meet.
    pub(super) team: Team,
}

/// One worker's part of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Worker {
    pub(super) gemm: GemmScratch,
    /// (rows of a block of steps, G·H').
    pub(super) z: Buffer,
    /// Two blocked operands of some rows.
    pub(super) carry: [Buffer; 2],
    /// The operand of a projection, blocked.
    pub(super) operand: Buffer,
    /// (rows, H'): what goes from step to step beside the product: the cell state forward, gradients backward.
    pub(super) bypass: Buffer,
    /// Unfinished chains: (rows, G·H') forward, (rows, H') backward.
    pub(super) spill: Buffer,
    /// Sums of the gradients' columns.
    pub(super) sums: Buffer,
}

impl Scratch {
    pub(super) fn reserve(&mut self, workers: usize) {
        if self.workers.len() < workers {
            self.workers.resize_with(workers, Worker::default);
        }
    }
}
