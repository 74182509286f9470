//! Packing: matrices as they come, row-major, into the layouts of [`kernel::layout`](crate::kernel::layout), and out of
//! them.

use crate::error::{Error, Result, elements};
use crate::kernel::Kernels;
use crate::kernel::groups::groups;
use crate::kernel::layout::{
    Depth, FEW, GateColumns, K_BLOCK, PANEL, PanelsRef, Place, Weight, copy_few, whole_blocks,
};
use crate::parallel::{crew, share_rows};
use crate::tensor::{Buffer, MatMut};

/// Moving a float costs as much as so many floating-point operations.
const MOVING: f64 = 16.0;

/// What weights in panels are called.
pub(crate) const WEIGHTS: &str = "weights laid out in panels";

/// The rows of a weight: those of the gates, one gate after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GateRows {
    pub(crate) gates: usize,
    /// Units of a gate.
    pub(crate) hidden: usize,
}

impl GateRows {
    /// All of them.
    const fn count(self) -> usize {
        self.gates * self.hidden
    }
}

/// A matrix B (k, cols) in panels, owned: laid out once, multiplied often, on any tier.
#[derive(Clone, Debug, Default)]
pub struct Panels {
    data: Buffer,
    depth: Depth,
    cols: usize,
}

impl Panels {
    /// Room for a (k, cols) matrix.
    ///
    /// # Panics
    /// Where there is not as much memory.
    #[must_use]
    pub fn new(k: usize, cols: usize) -> Self {
        let mut panels = Self::default();
        panels.reshape("panels", Depth::of(k), cols).unwrap_or_else(|error| panic!("{error}"));
        panels
    }

    /// A copy, called `name`.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub(crate) fn try_clone(&self, name: &str) -> Result<Self> {
        let mut data = Buffer::default();
        data.try_resize(name, self.data.len())?;
        data.copy_from_slice(&self.data);
        Ok(Self { data, ..*self })
    }

    /// Makes room for a (k, cols) matrix called `name`, allocating only to grow. Its contents are unspecified.
    ///
    /// # Errors
    /// [`Error::Overflow`], [`Error::Memory`]; the panels are then as they were.
    pub(crate) fn reshape(&mut self, name: &str, depth: Depth, cols: usize) -> Result<()> {
        let len = depth.len.checked_next_multiple_of(K_BLOCK).zip(cols.checked_next_multiple_of(PANEL));
        let len = len.and_then(|(k, cols)| k.checked_mul(depth.runs)?.checked_mul(cols));
        let len = len.ok_or_else(|| Error::overflow(name, &[depth.runs, depth.len, cols]))?;
        self.data.try_resize(name, elements(name, &[len])?)?;
        (self.depth, self.cols) = (depth, cols);
        Ok(())
    }

    /// Packs the transpose of `weight`: (cols, k) row-major, PyTorch's [out, in].
    ///
    /// # Panics
    /// If `weight.len() != k * cols`.
    pub fn pack_transposed(&mut self, weight: &[f32]) {
        self.pack_gates(weight, 1);
    }

    /// Makes room for the transpose of `weight`, (`rows`, k) row-major, and packs it: the gates' panels
    /// alternate, each gate padded to whole panels. A single gate is not padded.
    ///
    /// # Errors
    /// As [`reshape`](Self::reshape).
    pub(crate) fn pack_gates_of(&mut self, weight: &[f32], rows: GateRows, k: usize) -> Result<()> {
        self.reshape_gates(rows, k)?;
        assert_eq!(weight.len(), rows.count() * k, "a ({}, {k}) matrix", rows.count());
        self.pack_gates(weight, rows.gates);
        Ok(())
    }

    /// Makes room for the transpose of a (`rows`, k) matrix. New memory is zeros.
    ///
    /// # Errors
    /// As [`reshape`](Self::reshape).
    pub(crate) fn reshape_gates(&mut self, rows: GateRows, k: usize) -> Result<()> {
        let GateRows { gates, hidden } = rows;
        self.reshape(WEIGHTS, Depth::of(k), if gates == 1 { hidden } else { GateColumns { gates }.width(hidden) })
    }

    fn pack_gates(&mut self, weight: &[f32], gates: usize) {
        let k = self.depth.k();
        let hidden = weight.len().checked_div(k * gates).unwrap_or(0);
        let expected = if gates == 1 { self.cols * k } else { gates * hidden * k };
        assert_eq!(weight.len(), expected, "a ({}, {k}) matrix", self.cols);
        let each = (whole_blocks(k) * PANEL).max(1);
        let (count, flop) = (self.data.len() / each, MOVING * weight.len() as f64);
        share_rows(count, flop, (&mut self.data[..count * each], each), &|panels, (data, _)| {
            for (p, panel) in panels.zip(data.chunks_exact_mut(each)) {
                let (gate, first) = GateColumns { gates }.gate_and_unit(p * PANEL);
                let width = PANEL.min(hidden - first);
                for lane in 0..width {
                    let row = &weight[(gate * hidden + first + lane) * k..][..k];
                    for (line, &x) in panel.chunks_exact_mut(PANEL).zip(row) {
                        line[lane] = x;
                    }
                }
                for lane in width..PANEL {
                    panel.chunks_exact_mut(PANEL).for_each(|line| line[lane] = 0.0);
                }
            }
        });
    }

    /// Packs `matrix`: (k, cols) row-major.
    ///
    /// # Panics
    /// If `matrix.len() != k * cols`.
    pub fn pack(&mut self, matrix: &[f32]) {
        let (k, cols) = (self.depth.k(), self.cols);
        assert_eq!(matrix.len(), k * cols, "a ({k}, {cols}) matrix");
        let flop = MOVING * matrix.len() as f64;
        if crew(flop) == 1 {
            // Row by row, as they lie.
            return matrix.chunks_exact(cols.max(1)).enumerate().for_each(|(k, row)| self.set_row(k, row));
        }
        let (depth, each) = (self.depth, self.depth.padded() * PANEL);
        let count = cols.div_ceil(PANEL);
        share_rows(count, flop, (&mut self.data[..count * each], each), &|panels, (data, _)| {
            let first = panels.start * PANEL;
            let columns = first..(panels.end * PANEL).min(cols);
            for (k, row) in matrix.chunks_exact(cols).enumerate() {
                put_row(data, depth, k, &row[columns.clone()]);
            }
        });
    }

    /// Sets row `k` of B.
    #[inline]
    pub(crate) fn set_row(&mut self, k: usize, row: &[f32]) {
        put_row(&mut self.data, self.depth, k, row);
    }

    /// The rows of B.
    #[must_use]
    pub fn k(&self) -> usize {
        self.depth.k()
    }

    /// The columns of B.
    #[must_use]
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The matrix, borrowed.
    #[inline]
    pub(crate) fn view(&self) -> PanelsRef<'_> {
        PanelsRef::new(&self.data, self.depth, self.cols)
    }
}

/// Sets row `k` of some panels.
#[inline]
fn put_row(panels: &mut [f32], depth: Depth, k: usize, row: &[f32]) {
    let stride = depth.padded() * PANEL;
    let k = if depth.runs == 1 { k } else { depth.place(k) };
    let (full, rest) = row.as_chunks::<PANEL>();
    for (p, columns) in full.iter().enumerate() {
        panels[p * stride + k * PANEL..][..PANEL].copy_from_slice(columns);
    }
    if !rest.is_empty() {
        // Made whole first: to fill a part of unknown length is a call to `memset`.
        let mut line = [Weight::default(); PANEL];
        copy_few(&mut line, rest);
        panels[full.len() * stride + k * PANEL..][..PANEL].copy_from_slice(&line);
    }
}

/// Packs rows as A: `row` gives them in order, `a` holds `rows * padded` floats. A row may end before the padding.
#[inline]
pub(crate) fn pack_rows<'r>(
    kernels: &Kernels,
    a: &mut [f32],
    rows: usize,
    padded: usize,
    mut row: impl FnMut(usize) -> &'r [f32],
) {
    for (first, size) in groups(rows, kernels.geometry().mr) {
        let group = &mut a[first * padded..][..size * padded];
        for i in 0..size {
            // The rest of a padded block may hold anything: it is never multiplied.
            let row = row(first + i);
            // A few features are not worth a call.
            if row.len() < FEW {
                copy_few(&mut group[i * K_BLOCK..], row);
            } else {
                (kernels.pack_row)(group, Place::new(0, size, i), row);
            }
        }
    }
}

/// The other way: the first rows of A, from column 0 of its panel `panel` on, into `rows`. A has groups for `all` rows.
pub(crate) fn unpack_rows(kernels: &Kernels, a: &[f32], all: usize, panel: usize, mut rows: MatMut<'_>) {
    let (width, wanted) = (a.len() / all, rows.shape()[0]);
    for (first, size) in groups(all, kernels.geometry().mr) {
        for i in (0..size).take_while(|i| first + i < wanted) {
            let place = Place::new(first, size, i);
            let from = |panel: usize| &a[place.blocked(width, panel * K_BLOCK)..][..K_BLOCK];
            let (full, rest) = rows.row(first + i).as_chunks_mut::<K_BLOCK>();
            let last = panel + full.len();
            // Of known length: else each is a call.
            for (panel, to) in (panel..).zip(full) {
                to.copy_from_slice(from(panel));
            }
            if !rest.is_empty() {
                copy_few(rest, &from(last)[..rest.len()]);
            }
        }
    }
}

/// Sets row `k` of the transpose of an A: `depth` rows of k values make groups of columns, k-major. `a` holds
/// `row.len()` by `depth` floats, `depth` rounded up to whole blocks.
#[inline]
pub(crate) fn pack_transposed_row(kernels: &Kernels, a: &mut [f32], depth: usize, k: usize, row: &[f32]) {
    let (depth, mr) = (whole_blocks(depth), kernels.geometry().mr);
    (kernels.pack_columns)(a, depth, k, row);
    let full = row.len() / mr * mr;
    if full == row.len() {
        return;
    }
    for (first, size) in groups(row.len() - full, mr) {
        let first = full + first;
        copy_few(&mut a[first * depth + k * size..], &row[first..first + size]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::layout::whole_panels;

    #[test]
    fn both_ways_of_packing_put_each_element_where_the_drawing_says() {
        for (k, cols) in [(1, 1), (3, 20), (17, 16), (40, 33)] {
            let element = |k: usize, col: usize| (k * 100 + col + 1) as f32;
            let matrix: Vec<f32> = (0..k * cols).map(|i| element(i / cols, i % cols)).collect();
            let transposed: Vec<f32> = (0..k * cols).map(|i| element(i % k, i / k)).collect();
            let (mut a, mut b) = (Panels::new(k, cols), Panels::new(k, cols));
            a.data.fill(f32::NAN);
            b.data.fill(f32::NAN);
            a.pack(&matrix);
            b.pack_transposed(&transposed);
            for row in 0..k {
                for col in 0..whole_panels(cols) {
                    let expected = if col < cols { element(row, col) } else { 0.0 };
                    let at = col / PANEL * whole_blocks(k) * PANEL + row * PANEL + col % PANEL;
                    assert_eq!((a.data[at], b.data[at]), (expected, expected), "{row} {col} of ({k}, {cols})");
                }
            }
        }
    }

    #[test]
    fn gates_alternate_by_panels_and_are_padded_by_themselves() {
        for (gates, hidden, k) in [(3, 5, 2), (4, 16, 3), (3, 20, 17)] {
            let element = |row: usize, k: usize| (row * 100 + k + 1) as f32;
            let weight: Vec<f32> = (0..gates * hidden * k).map(|i| element(i / k, i % k)).collect();
            let mut panels = Panels::default();
            panels.pack_gates_of(&weight, GateRows { gates, hidden }, k).unwrap();
            assert_eq!(panels.cols(), gates * whole_panels(hidden));
            for gate in 0..gates {
                for unit in 0..whole_panels(hidden) {
                    for row in 0..k {
                        let expected = if unit < hidden { element(gate * hidden + unit, row) } else { 0.0 };
                        let column = GateColumns { gates }.of(gate, unit);
                        let at = column / PANEL * whole_blocks(k) * PANEL + row * PANEL + column % PANEL;
                        assert_eq!(panels.data[at], expected);
                    }
                }
            }
            // The other way round the gates' units are k, each gate padded by itself.
            let mut panels = Panels::default();
            panels.reshape("panels", Depth { runs: gates, len: hidden }, k).unwrap();
            panels.pack(&weight);
            for row in 0..gates * hidden {
                let place = row / hidden * whole_blocks(hidden) + row % hidden;
                assert_eq!(panels.data[place * PANEL], element(row, 0));
            }
        }
    }
}
