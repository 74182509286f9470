//! Tables of numbers in time: CSV with a header, a row a step, for forecasting.
//!
//! The header names the columns. One of them is forecast (the target), some are looked at (the features, all columns of
//! numbers where nothing else is said, the target among them), one may hold the time, and one may tell apart many series
//! in one file (the group). The rows of a series stand in the order of time; those of several series may be mixed.
//!
//! Lines end in LF or CRLF, a byte-order mark is passed by, fields may stand in quotes. A row of another width than the
//! header's, a cell that is not a finite number, and bytes that are not UTF-8 are errors; blank lines are passed by and
//! counted. The file is read into memory whole, so lines may be of any length.

mod read;
mod series;
#[cfg(test)]
mod tests;
mod time;

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Result, listed};
use crate::scores::{counted, passed_by};
use crate::source::Source;
use series::Builder;

/// What to do about a cell without a number: an empty one, `NA`, `N/A` or `NaN`, in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// It is an error.
    #[default]
    Refuse,
    /// The number before it in its series stands in; where there is none it is an error.
    FillLast,
    /// 0 stands in, and the mask says so.
    Mask,
}

/// Which columns are what.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The column to forecast. It may be left out where there is one feature, or one column of numbers.
    pub target: Option<String>,
    /// The columns to look at, in this order. Without it all columns of numbers but those of time and group: those
    /// whose first cell that is not missing is a number. A later cell that is none is an error.
    pub features: Option<Vec<String>>,
    /// The column of the time, which may not fall within a series.
    ///
    /// A time is a number or a date: `2010-01`, `2010-01-31` or `2010-01-31 18:00`, the latter perhaps with seconds,
    /// `T` for the blank, and `Z` or `+01:00` after it; slashes may stand for hyphens. All times of a file are of one
    /// kind of these (number; month; date). Digits alone are a number, `20100131` too.
    pub time: Option<String>,
    /// The column that tells series apart, by its text.
    pub group: Option<String>,
    /// What to do about cells without a number.
    pub missing: Missing,
    /// What stands between fields, a comma by default.
    pub delimiter: u8,
}

impl Default for Options {
    fn default() -> Self {
        Self { target: None, features: None, time: None, group: None, missing: Missing::Refuse, delimiter: b',' }
    }
}

/// One series: its steps in the order of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The text in the group's column; empty without one.
    pub group: String,
    /// The time of each step as it stands in the file; without a column of time, 1, 2, 3.
    pub times: Vec<String>,
    /// The file's line of each step.
    pub lines: Vec<usize>,
    /// Steps by columns, row by row: all columns of the first step, then of the second.
    pub values: Vec<f64>,
    /// Whether the file has a number there, of the same order as `values`.
    pub mask: Vec<bool>,
}

impl Series {
    /// How many steps there are.
    pub fn steps(&self) -> usize {
        self.lines.len()
    }

    /// The column of this index in [`Table::names`], step by step.
    ///
    /// # Panics
    /// There are not so many columns.
    pub fn column(&self, column: usize) -> Vec<f64> {
        let columns = self.values.len().checked_div(self.steps()).unwrap_or(0);
        assert!(column < columns, "column: expected less than {columns}, got {column}");
        self.values.iter().skip(column).step_by(columns).copied().collect()
    }
}

/// A place where the distance in time is another than usual.
#[derive(Clone, Debug, PartialEq)]
pub struct Gap {
    /// The series; empty without a group.
    pub group: String,
    /// The line of the later step.
    pub line: usize,
    /// The time of the earlier step.
    pub from: String,
    /// The time of the later step.
    pub to: String,
    /// How far they are apart, with the unit: `3 days`.
    pub distance: String,
}

/// What a reader may want to know of a file that could be read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// How many rows were read.
    pub rows: usize,
    /// How many blank lines were passed by.
    pub blank: usize,
    /// How many cells had no number, in the columns that were read.
    pub missing: usize,
    /// The columns that hold no numbers and were left out, where no features were named.
    pub ignored: Vec<String>,
    /// The commonest distance between steps, with its unit (`1 day`), where there is a column of time and a distance
    /// above 0. Of equally common ones it is the smallest.
    pub distance: Option<String>,
    /// Steps that are further apart than one and a half times the commonest distance: so the lengths of months are
    /// none, and weekends between working days are.
    pub gaps: Vec<Gap>,
    /// Steps at the time of the step before.
    pub duplicates: Vec<Gap>,
}

impl Report {
    /// Sentences about what was passed by, is missing or stands at another distance than usual; none of a file without any
    /// of these.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.blank > 0 {
            notes.push(passed_by(self.blank));
        }
        if self.missing > 0 {
            notes.push(format!("{} without a number", counted(self.missing, "cell")));
        }
        if !self.ignored.is_empty() {
            notes.push(format!("columns without numbers, not looked at: {}", listed(&self.ignored)));
        }
        for (gaps, what) in
            [(&self.gaps, "further apart than usual"), (&self.duplicates, "at the time of the row before")]
        {
            if let Some(first) = gaps.first() {
                let (n, usual) = (counted(gaps.len(), "row"), self.distance.as_deref().unwrap_or("equal distances"));
                let Gap { line, from, to, .. } = first;
                notes.push(format!("{n} {what} ({usual}): the first in line {line}, {to} after {from}"));
            }
        }
        notes
    }
}

/// What [`read`] returns.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The columns of [`Series::values`]: the features, and after them the target where it is none of them.
    pub names: Vec<String>,
    /// The target's index in `names`.
    pub target: usize,
    /// How many of `names`, from the first, are features.
    pub features: usize,
    /// The series, in the order of their first rows; one where there is no group.
    pub series: Vec<Series>,
    /// What there is to tell.
    pub report: Report,
}

/// Reads a file.
///
/// # Errors
/// A file that cannot be read, that is empty, not UTF-8, or has no rows below its header; a column that is not there, or
/// is asked for as two things; a row of another width than the header's; a cell that is neither a finite number nor
/// missing; a missing one, where [`Missing`] says so; a time that is none, or falls. Each names file, line and column
/// where it has one.
pub fn read(path: &Path, options: &Options) -> Result<Table> {
    read::table(&Source::open(path)?, options)
}
