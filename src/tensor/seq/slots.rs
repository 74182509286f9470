//! Sequences whose rows are made of equal slots, one behind the other, borrowed to be written: what is kept of every unit for
//! the backward pass. They are cut between writers by rows, by steps, and by units, which are columns of every slot.
#![allow(unsafe_code)]

use std::marker::PhantomData;

use crate::tensor::Lines;

/// One step of a [`SlotsMut`], or the rows of all steps where each has one.
pub(crate) struct SlotsMat<'a> {
    start: *mut f32,
    rows: usize,
    slots: usize,
    width: usize,
    /// The units in view.
    from: usize,
    to: usize,
    borrow: PhantomData<&'a mut [f32]>,
}

impl SlotsMat<'_> {
    /// The elements of a row's slot from `unit` on, up to the last unit in view.
    ///
    /// # Panics
    /// If one of the three is not in view.
    #[inline(always)]
    pub(crate) fn at(&mut self, row: usize, slot: usize, unit: usize) -> &mut [f32] {
        let (offset, len) = self.place(row, slot, unit);
        // SAFETY: as `place` says; `&mut self` makes the result unique.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(offset), len) }
    }

    /// The same, to be read.
    #[inline(always)]
    pub(crate) fn read(&self, row: usize, slot: usize, unit: usize) -> &[f32] {
        let (offset, len) = self.place(row, slot, unit);
        // SAFETY: as `place` says; `&self` keeps writers out for as long as the result lives.
        unsafe { std::slice::from_raw_parts(self.start.add(offset), len) }
    }

    /// Where they begin behind `start`, and how many they are. `start` is followed by `rows` rows of `slots` slots of `width`
    /// floats, and `to` is at most `width`: all of them lie inside the sequence's memory, in columns that no other view has.
    #[inline(always)]
    fn place(&self, row: usize, slot: usize, unit: usize) -> (usize, usize) {
        let Self { rows, slots, width, from, to, .. } = *self;
        assert!(row < rows && slot < slots, "slot {slot} of row {row}, of {slots} in {rows}");
        assert!(from <= unit && unit <= to, "unit {unit} of {from} to {to}");
        ((row * slots + slot) * width + unit, to - unit)
    }
}

/// A sequence of rows of slots, some rows, steps and units of which are in view.
pub(crate) struct SlotsMut<'a> {
    /// The first element of the memory that `lines` counts in.
    start: *mut f32,
    lines: Lines<'a>,
    slots: usize,
    /// Units of a slot.
    width: usize,
    from: usize,
    to: usize,
    borrow: PhantomData<&'a mut [f32]>,
}

// SAFETY: a `SlotsMut` is a unique borrow of the elements in its view, as `&mut [f32]` is of its own.
unsafe impl Send for SlotsMut<'_> {}

impl<'a> SlotsMut<'a> {
    /// A view of `data`, whose rows lie as `lines` says and have `slots` slots of `width` units.
    ///
    /// # Panics
    /// If `data` holds fewer rows.
    pub(crate) fn over(data: &'a mut [f32], lines: Lines<'a>, slots: usize, width: usize) -> Self {
        let needed = lines.end() * slots * width;
        assert!(needed <= data.len(), "{} rows of {slots} slots of {width} in {}", lines.end(), data.len());
        Self { start: data.as_mut_ptr(), lines, slots, width, from: 0, to: width, borrow: PhantomData }
    }

    /// Step `t`; of a ragged sequence, the rows that are alive.
    ///
    /// # Panics
    /// If `t >= steps`.
    #[inline(always)]
    pub(crate) fn step(&mut self, t: usize) -> SlotsMat<'_> {
        self.rows(self.lines.at(t))
    }

    /// One row a step, each of which is there: the rows of all steps. None of another sequence.
    pub(crate) fn of_one_row(&mut self) -> Option<SlotsMat<'_>> {
        let rows = self.lines.whole().filter(|rows| self.lines.rows() == 1 && rows.len() == self.lines.steps())?;
        Some(self.rows(rows))
    }

    /// Some of the rows that `lines` names.
    #[inline(always)]
    fn rows(&mut self, rows: std::ops::Range<usize>) -> SlotsMat<'_> {
        let Self { slots, width, from, to, .. } = *self;
        // Of no rows the start, which is always inside.
        let offset = if rows.is_empty() { 0 } else { rows.start * slots * width };
        // SAFETY: `over` found `lines.end()` rows behind `start`, and `lines` only ever names rows before its end, also after
        // its rows and steps were cut. Other views cut from this one hold other rows, other steps or other units, and
        // `&mut self` makes the result unique among those of this view.
        let start = unsafe { self.start.add(offset) };
        SlotsMat { start, rows: rows.len(), slots, width, from, to, borrow: PhantomData }
    }

    /// The view for a shorter life.
    pub(crate) fn reborrow(&mut self) -> SlotsMut<'_> {
        SlotsMut { borrow: PhantomData, ..*self }
    }

    /// The first `at` rows of every step, and the others.
    ///
    /// # Panics
    /// If `at > rows`.
    pub(crate) fn split_rows(self, at: usize) -> (Self, Self) {
        let rows = self.lines.rows();
        assert!(at <= rows, "row {at} of {rows}");
        let (first, second) = (self.lines.narrow_rows(0, at), self.lines.narrow_rows(at, rows - at));
        (Self { lines: first, ..self }, Self { lines: second, ..self })
    }

    /// The steps before `at`, and those from `at` on.
    ///
    /// # Panics
    /// If `at > steps`.
    pub(crate) fn split_steps(self, at: usize) -> (Self, Self) {
        let steps = self.lines.steps();
        assert!(at <= steps, "step {at} of {steps}");
        let (first, second) = (self.lines.narrow_steps(0, at), self.lines.narrow_steps(at, steps - at));
        (Self { lines: first, ..self }, Self { lines: second, ..self })
    }

    /// The units of every slot before `at`, and those from `at` on: the last ones are `at` or fewer.
    ///
    /// # Panics
    /// If `at` lies before the first unit in view.
    pub(crate) fn split_units(self, at: usize) -> (Self, Self) {
        assert!(self.from <= at, "unit {at} of {} to {}", self.from, self.to);
        let at = at.min(self.to);
        (Self { to: at, ..self }, Self { from: at, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_steps_and_units_split_between_writers_cover_the_sequence_once() {
        // 3 steps, 2 rows, 2 slots of 5 units.
        let mut data = [0.0; 3 * 2 * 2 * 5];
        let lines = Lines::dense(3, 2);
        let mut parts = Vec::new();
        let (early, late) = SlotsMut::over(&mut data, lines, 2, 5).split_steps(1);
        for part in [early, late] {
            let (first, second) = part.split_rows(1);
            for part in [first, second] {
                let (low, high) = part.split_units(2);
                // The padding may end before a share does.
                parts.extend(<[_; 2]>::from(high.split_units(9)));
                parts.push(low);
            }
        }
        for part in &mut parts {
            let (from, to) = (part.from, part.to);
            for t in 0..part.lines.steps() {
                let mut step = part.step(t);
                for slot in 0..2 {
                    assert_eq!(step.at(0, slot, from).len(), to - from);
                    step.at(0, slot, from).iter_mut().for_each(|x| *x += 1.0);
                    assert!(step.read(0, slot, from).iter().all(|&x| x == 1.0));
                }
            }
        }
        assert_eq!(data, [1.0; 60]);
    }

    #[test]
    fn what_is_not_in_view_cannot_be_reached() {
        let mut data = [0.0; 2 * 2 * 4];
        let (_, mut high) = SlotsMut::over(&mut data, Lines::dense(2, 1), 2, 4).split_units(2);
        let mut reaches = |row, slot, unit| {
            let reach = || _ = high.of_one_row().unwrap().at(row, slot, unit);
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(reach)).is_ok()
        };
        assert!(reaches(1, 1, 2) && reaches(0, 0, 4));
        assert!(!reaches(2, 0, 2) && !reaches(0, 2, 2) && !reaches(0, 0, 1) && !reaches(0, 0, 5));
    }
}
