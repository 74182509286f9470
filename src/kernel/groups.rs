//! The groups that the rows of A lie in, and the order in which a product takes them.

/// The sizes of groups, and heights of tiles, below a full one.
const SMALLER: [usize; 3] = [4, 2, 1];

/// The sizes of the groups of rows, largest first: rows are taken by the first while they last, then by the next. `mr` is
/// 4 to 8: what is left of a group is then a sum of some of the smaller sizes.
#[inline(always)]
pub(crate) const fn group_sizes(mr: usize) -> [usize; 4] {
    let [four, two, one] = SMALLER;
    [mr, four, two, one]
}

/// The groups of `rows` rows: first row and size of each.
pub(crate) fn groups(rows: usize, mr: usize) -> Groups {
    Groups { row: 0, rows, sizes: group_sizes(mr), largest: 0 }
}

/// Iterates over [`groups`].
#[derive(Clone)]
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

/// Rows of a product that lie side by side in groups of one size and are multiplied by tiles of one height: whole groups,
/// or some rows of a group that is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// The first row of the first group.
    pub(crate) begin: usize,
    /// Rows of all the groups.
    pub(crate) rows: usize,
    /// Rows of a group.
    pub(crate) size: usize,
    /// The rows of each group that are taken.
    pub(crate) top: usize,
    pub(crate) tall: usize,
}

/// The first `live` of `rows` rows: for each size of group, largest first, the whole groups; then what is alive of the
/// next one, cut like a group of its own.
#[inline(always)]
pub(crate) fn parts(rows: usize, live: usize, mr: usize) -> Parts {
    Parts { rows, live: live.min(rows), sizes: group_sizes(mr), largest: 0, row: 0, cut: 0 }
}

/// Iterates over [`parts`].
#[derive(Clone)]
pub(crate) struct Parts {
    rows: usize,
    live: usize,
    sizes: [usize; 4],
    /// The sizes before this one are used up.
    largest: usize,
    /// The first row of that size.
    row: usize,
    /// 0 at the whole groups of a size; then which of the heights of tiles a cut group is at.
    cut: usize,
}

impl Iterator for Parts {
    type Item = Part;

    #[inline(always)]
    fn next(&mut self) -> Option<Part> {
        while self.row < self.live {
            let size = *self.sizes.get(self.largest)?;
            let whole = (self.rows - self.row) / size * size;
            let alive = (self.live - self.row).min(whole);
            let (full, rest) = (alive / size * size, alive % size);
            let begin = self.row;
            if self.cut == 0 {
                self.cut = 1;
                if full > 0 {
                    return Some(Part { begin, rows: full, size, top: 0, tall: size });
                }
            }
            while let Some(&tall) = SMALLER.get(self.cut - 1) {
                self.cut += 1;
                if rest & tall != 0 {
                    return Some(Part { begin: begin + full, rows: size, size, top: rest & !(2 * tall - 1), tall });
                }
            }
            (self.largest, self.row, self.cut) = (self.largest + 1, begin + whole, 0);
        }
        None
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
    fn parts_cover_every_live_row_once() {
        for mr in [6, 8] {
            for rows in 0..40 {
                for live in 0..=rows {
                    let mut next = 0;
                    for Part { begin, rows, size, top, tall } in parts(rows, live, mr) {
                        for group in (begin..begin + rows).step_by(size) {
                            assert_eq!(group + top, next);
                            assert!(top + tall <= size);
                            next += tall;
                        }
                    }
                    assert_eq!(next, live);
                }
                let whole: Vec<_> = parts(rows, rows, mr)
                    .flat_map(|part| (0..part.rows / part.size).map(move |n| (part.begin + n * part.size, part.size)))
                    .collect();
                assert_eq!(whole, groups(rows, mr).collect::<Vec<_>>(), "of {rows} rows that are all alive");
            }
        }
    }
}
