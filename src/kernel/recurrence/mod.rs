//! A recurrence over all steps of some rows of a batch, forward and backward, for any cell.
//!
//! ```text
//! forward:   for each step:                 z_t = z_t + h_{t-1}·W_hhᵀ         z_t = bias + x_t·W_ihᵀ, made before
//!                                           (h_t, c_t) = cell(z_t, h_{t-1}, c_{t-1})
//! backward:  for each step, last first:     d_h_t = d_y_t + d_z_{t+1}·W_hh
//!                                           d_z_t = cell'(d_h_t)
//! ```
//!
//! z holds the gates before their activations, which a cell's file calls a. This is the only place that knows both memory
//! and cells: a cell computes on registers, and what it is given and where its results go stands in `forward.rs` and
//! `backward.rs`.
//!
//! Each step is one product whose epilogue is the cell: gates are computed while the tile is in registers, and the result
//! goes to two places, the caller's row-major sequence and the blocked operand of the next step's product. With a
//! projection a step is two products: the cell's output m_t goes to the blocked operand of the second, h_t = m_t·W_hrᵀ.
//!
//! 1. The gates' columns alternate by panels of 16 units, so that a few neighbouring registers complete a unit: all
//!    gates but the last go to z, and when the last is done they are read back from L1. A tile may begin and end at any
//!    gate, so it is as wide as the registers allow whatever the number of gates.
//! 2. The recurrent part is a chain of its own from zero, and z_t joins it at the end: a chain that starts from the input
//!    part rounds every sum to that part's size (RNN 96→160 over 50 steps: an RMS of 1.3e-7 from f64, not 8.6e-8).
//!    Four chains are short enough to start from it.
//! 3. The rows of a ragged batch lie longest first: a step takes the first rows, those alive. Both operands of the
//!    carry hold the first state of the rows that are not alive yet, and keep the last of those that no longer are.
//! 4. No closures and no adaptors touch a register: outside of the `#[target_feature]` function they are not inlined, and
//!    each load becomes a call (`[0, 1, 2].map(|gate| load(..))` took 4 % of an LSTM of 128 units).

mod backward;
mod forward;
mod projection;
mod row;
mod upstream;

pub(super) use backward::backward;
pub(crate) use backward::{BackProjection, Backward, FirstGradient};
pub(super) use forward::forward;
pub(crate) use forward::{Exchange, Forward, Kept};

use std::ops::Range;

use super::groups::groups;
use super::layout::{K_BLOCK, PanelsRef, Place};
use super::product::{Chains, Epilogue, Operands, product, row_product};
use super::tile::{Blocked, Tile, Tiles};
use crate::tensor::Cut;

/// The operand a recurrence hands from step to step, in blocked groups: this step reads `now` and writes `next`.
pub(crate) struct Carry<'a> {
    /// (rows, width), blocked.
    pub(crate) now: &'a mut [f32],
    /// The same shape.
    pub(crate) next: &'a mut [f32],
}

impl Carry<'_> {
    fn turn(&mut self) {
        std::mem::swap(&mut self.now, &mut self.next);
    }
}

/// W_hr and the operand of its product.
pub(crate) struct Projection<'a> {
    /// W_hr: forward (H, P), its transpose; backward (P, H).
    pub(crate) w_hr: PanelsRef<'a>,
    /// Room for (rows, k of `w_hr`), blocked.
    pub(crate) operand: &'a mut [f32],
}

/// The product of one step. The layer's size decides on the chains, not the product's, so that a step's bits do not depend
/// on where in a sequence it stands.
#[inline(always)]
fn step_product<V: Tiles, E: Epilogue<V>>(
    isa: V::Isa,
    chains: Chains,
    operands: Operands<'_>,
    kc: usize,
    tile: &mut Tile<V>,
    epilogue: &mut E,
) {
    match chains {
        Chains::Four if E::ROW.is_some() && operands.rows == 1 => row_product(isa, operands.a, operands.b, epilogue),
        Chains::Four => product::<V, Blocked, E, 4>(operands, kc, tile, epilogue),
        Chains::One => product::<V, Blocked, E, 1>(operands, kc, tile, epilogue),
    }
}

/// The chains of a recurrence whose product is with `b`: of one run of its k, that of a single gate.
#[inline(always)]
fn chains_of(b: PanelsRef<'_>) -> Chains {
    Chains::over(b.depth().len)
}

/// Zeroes rows of a blocked operand and of a row-major one beside it.
#[inline(always)]
fn clear(cut: Cut<'_>, rows: usize, mr: usize, blocked: &mut [f32], beside: &mut [f32]) {
    if cut.is_none() {
        return;
    }
    let (width, beside_width) = (blocked.len() / rows, beside.len() / rows);
    for row in cut.rows() {
        let place = place_of(row, rows, mr);
        for col in (0..width).step_by(K_BLOCK) {
            blocked[place.blocked(width, col)..][..K_BLOCK].fill(0.0);
        }
        beside[row * beside_width..][..beside_width].fill(0.0);
    }
}

/// Copies rows of a blocked operand to another.
#[inline(always)]
fn copy(range: Range<usize>, rows: usize, mr: usize, from: &[f32], to: &mut [f32]) {
    if range.is_empty() {
        return;
    }
    let width = from.len() / rows;
    for row in range {
        let place = place_of(row, rows, mr);
        for col in (0..width).step_by(K_BLOCK) {
            let at = place.blocked(width, col);
            to[at..at + K_BLOCK].copy_from_slice(&from[at..at + K_BLOCK]);
        }
    }
}

/// The place of a row, at its first column.
fn place_of(row: usize, rows: usize, mr: usize) -> Place {
    let (group, size) = groups(rows, mr).find(|(first, size)| row < first + size).expect("one of the rows");
    Place::new(group, size, row - group)
}
