//! Packed operands: where each element of A and B lies.
//!
//! The same on every tier, so weights packed once serve them all.
//!
//! ```text
//! B (k, cols), panels of 16 columns, each k one cache line; k padded to whole blocks of 16:
//!     panel 0                      panel 1
//!     b[0][0]  .. b[0][15]         b[0][16] .. b[0][31]
//!     b[1][0]  .. b[1][15]         b[1][16] .. b[1][31]
//!     …                            …
//!
//! A (rows, k), groups of M rows, blocks of 16 k:
//!     group 0, block 0: a[0][0] .. a[0][15], a[1][0] .. a[1][15], … a[M-1][15]
//!     group 0, block 1: a[0][16] .. a[0][31], …
//!     group 1, block 0: a[M][0] .. …
//! ```
//!
//! The padding is never part of a sum; it only keeps the addresses regular.

use crate::tensor::Buffer;

/// k in a block, and columns in a panel: the floats of one cache line.
pub(crate) const KB: usize = 16;

/// `n` rounded up to whole blocks.
#[inline(always)]
pub(crate) const fn round_up(n: usize) -> usize {
    n.next_multiple_of(KB)
}

/// The sizes of the groups of rows, largest first: rows are taken by the first while they last, then by the next.
#[inline(always)]
pub(crate) const fn group_sizes(mr: usize) -> [usize; 4] {
    [mr, 4, 2, 1]
}

/// The groups of `rows` rows: first row and size of each.
pub(crate) fn groups(rows: usize, mr: usize) -> Groups {
    Groups { row: 0, rows, sizes: group_sizes(mr), largest: 0 }
}

/// Iterates over [`groups`].
pub(crate) struct Groups {
    row: usize,
    rows: usize,
    sizes: [usize; 4],
    /// The sizes before this one are used up.
    largest: usize,
}

impl Iterator for Groups {
    type Item = (usize, usize);

    #[inline(always)]
    fn next(&mut self) -> Option<(usize, usize)> {
        while let Some(&size) = self.sizes.get(self.largest) {
            if self.rows - self.row >= size {
                let first = self.row;
                self.row += size;
                return Some((first, size));
            }
            self.largest += 1;
        }
        None
    }
}

/// A matrix B (k, cols) in panels, owned: packed once, multiplied often.
#[derive(Clone, Debug, Default)]
pub struct Panels {
    data: Buffer,
    k: usize,
    cols: usize,
}

impl Panels {
    /// Room for a (k, cols) matrix.
    #[must_use]
    pub fn new(k: usize, cols: usize) -> Self {
        let mut panels = Self::default();
        panels.reshape(k, cols);
        panels
    }

    /// Makes room for a (k, cols) matrix, allocating only to grow. What it holds is anybody's guess until packed.
    pub(crate) fn reshape(&mut self, k: usize, cols: usize) {
        self.data.resize(round_up(k) * round_up(cols));
        (self.k, self.cols) = (k, cols);
    }

    /// Packs the transpose of `weight`: (cols, k) row-major, PyTorch's [out, in].
    ///
    /// # Panics
    /// If `weight.len() != k * cols`.
    pub fn pack_transposed(&mut self, weight: &[f32]) {
        assert_eq!(weight.len(), self.k * self.cols, "a ({}, {}) matrix", self.cols, self.k);
        let (k, cols) = (self.k, self.cols);
        for (p, panel) in self.data.chunks_exact_mut((round_up(k) * KB).max(1)).enumerate() {
            let width = KB.min(cols - p * KB);
            for lane in 0..width {
                let row = &weight[(p * KB + lane) * k..][..k];
                for (line, &x) in panel.chunks_exact_mut(KB).zip(row) {
                    line[lane] = x;
                }
            }
            for lane in width..KB {
                panel.chunks_exact_mut(KB).for_each(|line| line[lane] = 0.0);
            }
        }
    }

    /// Packs `matrix`: (k, cols) row-major.
    ///
    /// # Panics
    /// If `matrix.len() != k * cols`.
    pub fn pack(&mut self, matrix: &[f32]) {
        assert_eq!(matrix.len(), self.k * self.cols, "a ({}, {}) matrix", self.k, self.cols);
        for (k, row) in matrix.chunks_exact(self.cols.max(1)).enumerate() {
            self.set_row(k, row);
        }
    }

    /// Sets row `k` of B.
    #[inline]
    pub(crate) fn set_row(&mut self, k: usize, row: &[f32]) {
        let stride = round_up(self.k) * KB;
        let (full, rest) = row.as_chunks::<KB>();
        for (p, columns) in full.iter().enumerate() {
            self.data[p * stride + k * KB..][..KB].copy_from_slice(columns);
        }
        if !rest.is_empty() {
            let line = &mut self.data[full.len() * stride + k * KB..][..KB];
            copy_few(line, rest);
            line[rest.len()..].fill(0.0);
        }
    }

    /// The rows of B.
    #[must_use]
    pub fn k(&self) -> usize {
        self.k
    }

    /// The columns of B.
    #[must_use]
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The matrix, borrowed.
    pub(crate) fn view(&self) -> PanelsRef<'_> {
        PanelsRef { data: self.data.as_chunks().0, k: self.k, cols: self.cols }
    }
}

/// A matrix B (k, cols) in panels, borrowed.
#[derive(Clone, Copy)]
pub(crate) struct PanelsRef<'a> {
    /// Panel by panel, blocks of 16 k by 16 columns.
    data: &'a [[f32; KB * KB]],
    k: usize,
    cols: usize,
}

impl<'a> PanelsRef<'a> {
    #[inline(always)]
    pub(crate) fn k(self) -> usize {
        self.k
    }

    #[inline(always)]
    pub(crate) fn cols(self) -> usize {
        self.cols
    }

    /// The blocks of panel `p` from row `k` (a multiple of 16) on.
    #[inline(always)]
    pub(crate) fn panel(self, p: usize, k: usize) -> &'a [[f32; KB * KB]] {
        let blocks = self.k.div_ceil(KB);
        &self.data[p * blocks + k / KB..(p + 1) * blocks]
    }

    /// The same columns over no rows: a product with it only starts and finishes.
    pub(crate) fn without_rows(self) -> Self {
        Self { data: &[], k: 0, ..self }
    }

    /// Every element, as the module's head draws it.
    pub(crate) fn data(self) -> &'a [f32] {
        self.data.as_flattened()
    }
}

/// Copies row `i` of a group of `size` rows into the group's part of a blocked A.
#[inline]
fn pack_row(group: &mut [f32], size: usize, i: usize, row: &[f32]) {
    let (full, rest) = row.as_chunks::<KB>();
    for (block, values) in full.iter().enumerate() {
        group[(block * size + i) * KB..][..KB].copy_from_slice(values);
    }
    if !rest.is_empty() {
        copy_few(&mut group[(full.len() * size + i) * KB..], rest);
    }
}

/// Packs rows of width `k` as A: `rows` yields them in order, `a` holds `rows * round_up(k)` floats.
#[inline]
pub(crate) fn pack_rows<'r>(a: &mut [f32], rows: usize, k: usize, mr: usize, mut row: impl FnMut(usize) -> &'r [f32]) {
    for (first, size) in groups(rows, mr) {
        let group = &mut a[first * round_up(k)..][..size * round_up(k)];
        for i in 0..size {
            // The rest of a padded block may hold anything: it is never multiplied.
            if k > 0 {
                pack_row(group, size, i, row(first + i));
            }
        }
    }
}

/// Sets row `k` of the transpose of an A: `depth` rows of k values make groups of columns, k-major. `a` holds
/// `row.len() * round_up(depth)` floats.
#[inline]
pub(crate) fn pack_transposed_row(a: &mut [f32], depth: usize, mr: usize, k: usize, row: &[f32]) {
    let depth = round_up(depth);
    match mr {
        8 => pack_full_groups::<8>(a, depth, k, row),
        6 => pack_full_groups::<6>(a, depth, k, row),
        _ => unreachable!("tiles of {mr} rows"),
    }
    let full = row.len() / mr * mr;
    for (first, size) in groups(row.len() - full, mr) {
        let first = full + first;
        copy_few(&mut a[first * depth + k * size..], &row[first..first + size]);
    }
}

#[inline]
fn pack_full_groups<const MR: usize>(a: &mut [f32], depth: usize, k: usize, row: &[f32]) {
    for (group, values) in row.as_chunks::<MR>().0.iter().enumerate() {
        a[group * MR * depth + k * MR..][..MR].copy_from_slice(values);
    }
}

/// Copies fewer than [`KB`] floats: a call to `memcpy` takes longer than they do.
#[inline(always)]
fn copy_few(to: &mut [f32], from: &[f32]) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to = from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_cover_every_row_once_largest_first() {
        for mr in [6, 8] {
            for rows in 0..40 {
                let mut next = 0;
                let mut largest = mr;
                for (first, size) in groups(rows, mr) {
                    assert_eq!(first, next);
                    assert!(size <= largest);
                    (next, largest) = (first + size, size);
                }
                assert_eq!(next, rows);
            }
        }
    }

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
                for col in 0..round_up(cols) {
                    let expected = if col < cols { element(row, col) } else { 0.0 };
                    let at = col / KB * round_up(k) * KB + row * KB + col % KB;
                    assert_eq!((a.data[at], b.data[at]), (expected, expected), "{row} {col} of ({k}, {cols})");
                }
            }
        }
    }
}
