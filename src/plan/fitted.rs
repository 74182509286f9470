//! What was fitted. Cycles are of [`Machine::clock`](super::Machine::clock).

use crate::kernel::cell::Cell;

/// The share of the peak that the FMAs of a tile of 8 (or 6), 4, 2 and 1 rows get where their weights are there in
/// time. The table has batches of 64, 32 and 1 rows: those for 4 and 2 lie between, and were not fitted.
pub(super) const TILES: [f64; 4] = [0.87, 0.85, 0.75, 0.78];
/// What remains of it in four chains instead of one.
pub(super) const SHORT_CHAINS: f64 = 0.82;
/// Cycles to start and end a register of a tile.
pub(super) const REGISTER: f64 = 3.1;
/// Compute and loads overlap, but not wholly: their p-norm, between the sum (1) and the longer of the two.
pub(super) const OVERLAP: f64 = 1.91;
/// What is swept again and again stays in L1 or L2 up to the first of these shares of it, and not at all from the
/// second on. (LRU would be 1 and 1: a sweep that is a little too long misses everything.)
pub(super) const STAYS: [f64; 2] = [0.96, 1.37];
/// The share of L3 that a process has for itself; of a longer sweep, as many bytes stay. The neighbours on a shared
/// machine use it too: 8 MiB of weights come at L3's speed, 24 MiB partly from memory. Not fitted: it is another one
/// from minute to minute.
pub(super) const OWN_L3: f64 = 0.5;
/// Cycles for 16 units of a cell, with its gates' way from and to z: forward, and backward, where all that a gated
/// cell's backward pass costs besides is more than its arithmetic.
pub(super) fn cell(cell: Cell) -> [f64; 2] {
    match cell {
        Cell::Elman(_) => [24.0, 17.7],
        Cell::Gru => [109.0, 268.0],
        Cell::Lstm => [118.0, 229.0],
    }
}

/// Cost of the tape, relative to loading its bytes once: it is written forward, and read and overwritten backward.
pub(super) const KEPT: f64 = 4.5;
/// Cycles of a step besides.
pub(super) const STEP: f64 = 138.0;
/// Cycles to pack 8 floats of a row that is multiplied, 8 of a transposed one, and 16 of weights' gradients' right side.
pub(super) const PACK: [f64; 3] = [1.99, 3.3, 3.2];
/// Bytes a second of a state's way to the other workers.
pub(super) const MAIL: f64 = 17e9;
/// Seconds of a call, of one layer.
pub(super) const CALL: f64 = 0.65e-6;
/// The loss sums in f64, one after the other: 4 cycles, the latency of an addition.
pub(super) const LOSS: f64 = 4.0;
/// Seconds of a step of training besides.
pub(super) const TRAINING: f64 = 3e-6;
