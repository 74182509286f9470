//! A series while its rows are read, and the distances in time between them.

use std::collections::BTreeMap;

use super::time::Time;
use super::{Gap, Report, Series};
use crate::error::{Error, Result, quoted};

pub(super) struct Builder {
    series: Series,
    times: Vec<Time>,
}

impl Builder {
    pub(super) fn new(group: &str) -> Self {
        let group = group.to_string();
        let (times, lines, values, mask) = Default::default();
        Self { series: Series { group, times, lines, values, mask }, times: Vec::new() }
    }

    /// Takes the time of the row that comes next. `kind` is that of the file's times so far; `alone` says that there is
    /// no column of groups.
    pub(super) fn time(
        &mut self,
        line: usize,
        text: &str,
        kind: &mut Option<(&'static str, usize)>,
        alone: bool,
    ) -> Result<()> {
        let time = Time::parse(text)?;
        let (expected, first) = *kind.get_or_insert((time.kind(), line));
        if time.kind() != expected {
            let (got, text) = (time.kind(), quoted(text));
            return Err(Error::new(format!("expected {expected}, as on line {first}, got {got}, {text}")));
        }
        if let (Some(last), Some(before)) = (self.times.last(), self.series.times.last())
            && time.value() < last.value()
        {
            let hint = if alone { ": sort the rows, or name the column that tells series apart" } else { "" };
            let message =
                format!("expected a time not before {}, the last, got {}{hint}", quoted(before), quoted(text));
            return Err(Error::new(message));
        }
        self.times.push(time);
        self.series.times.push(text.to_string());
        Ok(())
    }

    pub(super) fn push(&mut self, value: f64, known: bool) {
        self.series.values.push(value);
        self.series.mask.push(known);
    }

    /// The value of a column in the row before the one that is being read.
    pub(super) fn above(&self, columns: usize, column: usize) -> Option<f64> {
        let row = self.series.lines.len().checked_sub(1)?;
        self.series.values.get(row * columns + column).copied()
    }

    /// Ends a row.
    pub(super) fn end(&mut self, line: usize) {
        self.series.lines.push(line);
    }

    pub(super) fn finish(mut self) -> Series {
        if self.times.is_empty() {
            self.series.times = (1..=self.series.lines.len()).map(|step| step.to_string()).collect();
        }
        self.series
    }

    /// Writes the commonest distance into the report, and the steps that have another.
    pub(super) fn distances(all: &[Self], report: &mut Report) {
        let distances = |builder: &Self| -> Vec<f64> {
            builder.times.windows(2).map(|pair| rounded(pair[1].value() - pair[0].value())).collect()
        };
        // By bits, which are of the order of the numbers where these are not negative.
        let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
        for distance in all.iter().flat_map(distances).filter(|&distance| distance > 0.0) {
            *counts.entry(distance.to_bits()).or_default() += 1;
        }
        // `max_by_key` takes the last of equals.
        let common = counts.iter().rev().max_by_key(|(_, count)| **count).map(|(&bits, _)| f64::from_bits(bits));
        if let (Some(common), Some(time)) = (common, all.iter().find_map(|builder| builder.times.first())) {
            report.distance = Some(time.distance(common));
        }
        for builder in all {
            for (step, distance) in distances(builder).into_iter().enumerate() {
                let times = &builder.series.times;
                let gap = || Gap {
                    group: builder.series.group.clone(),
                    line: builder.series.lines[step + 1],
                    from: times[step].clone(),
                    to: times[step + 1].clone(),
                    distance: builder.times[step].distance(distance),
                };
                if distance == 0.0 {
                    report.duplicates.push(gap());
                } else if common.is_some_and(|common| distance > 1.5 * common) {
                    report.gaps.push(gap());
                }
            }
        }
    }
}

/// To nine digits, so that 0.3 - 0.2 is as far as 0.2 - 0.1.
fn rounded(distance: f64) -> f64 {
    if distance == 0.0 {
        return 0.0;
    }
    format!("{distance:.8e}").parse().unwrap_or(distance)
}
