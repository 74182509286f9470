//! What came of a task: a table of a network's score and those of methods that need none.

use serde::{Deserialize, Serialize};

/// Whether more or less of a measure is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// Such as of an accuracy.
    More,
    /// Such as of an error.
    Less,
}

/// A measure: a column of [`Scores`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// What it is called, with its unit: `RMSE`, `accuracy %`.
    pub name: String,
    /// Which way it is better.
    pub better: Better,
    /// Digits behind the point that are worth showing.
    pub digits: usize,
}

impl Measure {
    /// A measure of that name.
    #[must_use]
    pub fn new(name: &str, better: Better, digits: usize) -> Self {
        Self { name: name.into(), better, digits }
    }
}

/// A method and what it came to: a row of [`Scores`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What it is: `GRU 64`, `last value`, `majority`.
    pub method: String,
    /// Whether it is the trained network.
    pub is_network: bool,
    /// Of each measure; none where it has none.
    pub values: Vec<Option<f64>>,
}

/// Scores on one part of the data, that of the network first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// What was scored: `test part, 317 steps`.
    pub part: String,
    /// The columns; the first decides who wins.
    pub measures: Vec<Measure>,
    /// The rows.
    pub rows: Vec<Row>,
}

impl Scores {
    /// The row that is best by the first measure; the network's where it is as good as another.
    #[must_use]
    pub fn winner(&self) -> Option<&Row> {
        let better = self.measures.first()?.better;
        let value = |row: &Row| row.values.first().copied().flatten().filter(|value| !value.is_nan());
        let mut best: Option<&Row> = None;
        for row in &self.rows {
            let Some(now) = value(row) else { continue };
            let is_better = best.and_then(value).is_none_or(|best| match better {
                Better::More => now > best,
                Better::Less => now < best,
            });
            if is_better {
                best = Some(row);
            }
        }
        best
    }
}

/// What a trained model came to on a file that it was not trained by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tested {
    /// The table; of a forecast one for each horizon.
    pub scores: Vec<Scores>,
    /// Sentences about what of the file was passed by, or stood for something else.
    pub notes: Vec<String>,
}

/// `1 row`, `2 rows`, `12,345 rows`.
pub(crate) fn counted(n: usize, noun: &str) -> String {
    format!("{} {noun}{}", grouped(n), if n == 1 { "" } else { "s" })
}

/// `12,345`.
pub(crate) fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let mut number = String::new();
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            number.push(',');
        }
        number.push(digit);
    }
    number
}

/// The sentence about so many blank lines.
pub(crate) fn passed_by(blank: usize) -> String {
    format!("{} passed by", counted(blank, "blank line"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let told = [0, 1, 999, 1_000, 1_234_567].map(|n| counted(n, "row"));
        assert_eq!(told, ["0 rows", "1 row", "999 rows", "1,000 rows", "1,234,567 rows"]);
    }

    #[test]
    fn the_first_measure_decides_and_nan_never_wins() {
        let row = |method: &str, value| Row { method: method.into(), is_network: method == "GRU", values: vec![value] };
        let scores = |better, rows| Scores { part: "test".into(), measures: vec![Measure::new("m", better, 2)], rows };
        let rows = || vec![row("GRU", Some(2.0)), row("a", Some(2.0)), row("b", Some(f64::NAN)), row("c", None)];
        assert_eq!(scores(Better::More, rows()).winner().unwrap().method, "GRU");
        assert_eq!(scores(Better::Less, rows()).winner().unwrap().method, "GRU");
        let more = [rows(), vec![row("d", Some(3.0)), row("e", Some(1.0))]].concat();
        assert_eq!(scores(Better::More, more.clone()).winner().unwrap().method, "d");
        assert_eq!(scores(Better::Less, more).winner().unwrap().method, "e");
        assert!(scores(Better::Less, Vec::new()).winner().is_none());
    }
}
