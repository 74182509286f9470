//! Scores as a table of text.

use std::io::{self, Write as _};

use elman_tasks::scores::{Measure, Row, Scores};

/// Prints the table, and which row wins.
pub(crate) fn print(scores: &Scores) -> io::Result<()> {
    print_lines(&lines(scores, &[]))
}

/// The same with the deviation of each value behind it, row by row and measure by measure.
pub(super) fn print_spread(scores: &Scores, spread: &[Vec<Option<f64>>]) -> io::Result<()> {
    print_lines(&lines(scores, spread))
}

/// A row's values with their names and deviations, on one line.
pub(super) fn with_spread(scores: &Scores, row: &Row, spread: &[Option<f64>]) -> String {
    let named = |(measure, text): (&Measure, String)| format!("{} {text}", measure.name);
    scores.measures.iter().zip(cells(scores, row, spread)).map(named).collect::<Vec<_>>().join(", ")
}

fn print_lines(lines: &[String]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out)?;
    lines.iter().try_for_each(|line| writeln!(out, "{line}"))
}

fn lines(scores: &Scores, spread: &[Vec<Option<f64>>]) -> Vec<String> {
    let widest = scores.rows.iter().map(|row| row.method.chars().count()).chain([scores.part.chars().count()]).max();
    let width = widest.unwrap_or(0) + 2;
    let spread_of = |n: usize| spread.get(n).map_or(&[][..], |spread| spread);
    let cells: Vec<Vec<String>> =
        scores.rows.iter().enumerate().map(|(n, row)| cells(scores, row, spread_of(n))).collect();
    let columns: Vec<usize> = scores
        .measures
        .iter()
        .enumerate()
        .map(|(n, measure)| {
            let texts = cells.iter().filter_map(|row| row.get(n)).chain([&measure.name]);
            texts.map(|text| text.chars().count()).max().unwrap_or(0) + 2
        })
        .collect();
    let row = |first: &str, cells: &[String], last: &str| {
        let cells: String = cells.iter().zip(&columns).map(|(cell, width)| format!("{cell:>width$}")).collect();
        format!("{first:<width$}{cells}{last}").trim_end().to_string()
    };
    let names: Vec<String> = scores.measures.iter().map(|measure| measure.name.clone()).collect();
    // Who stands alone has not won.
    let winner = scores.winner().filter(|_| scores.rows.len() > 1).map(|row| &row.method[..]);
    let mut lines = vec![row(&scores.part, &names, "")];
    for (it, cells) in scores.rows.iter().zip(&cells) {
        let last = if winner == Some(&it.method[..]) { "  <- best" } else { "" };
        lines.push(row(&it.method, cells, last));
    }
    lines
}

/// A row's values as they are shown.
fn cells(scores: &Scores, row: &Row, spread: &[Option<f64>]) -> Vec<String> {
    let shown = |(n, (value, measure)): (usize, (&Option<f64>, &Measure))| {
        let number = |value: f64| format!("{value:.*}", measure.digits);
        match (value, spread.get(n).copied().flatten()) {
            (None, _) => "-".into(),
            (Some(value), None) => number(*value),
            (Some(value), Some(deviation)) => format!("{} \u{b1} {}", number(*value), number(deviation)),
        }
    };
    row.values.iter().zip(&scores.measures).enumerate().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use elman_tasks::scores::Better;

    use super::*;

    #[test]
    fn columns_stand_under_their_names() {
        let measures = vec![Measure::new("accuracy %", Better::More, 1), Measure::new("F1", Better::More, 3)];
        let row = |method: &str, values: [Option<f64>; 2]| Row {
            method: method.into(),
            is_network: false,
            values: values.into(),
        };
        let rows = vec![row("GRU 64", [Some(81.25), Some(0.5)]), row("majority", [Some(50.0), None])];
        let scores = Scores { part: "test part, 90".into(), measures, rows };
        assert_eq!(
            lines(&scores, &[]),
            [
                "test part, 90    accuracy %     F1",
                "GRU 64                 81.2  0.500  <- best",
                "majority               50.0      -"
            ]
        );
        let spread = [vec![Some(2.0), Some(0.01)], vec![Some(0.0), None]];
        assert_eq!(
            lines(&scores, &spread),
            [
                "test part, 90    accuracy %             F1",
                "GRU 64           81.2 \u{b1} 2.0  0.500 \u{b1} 0.010  <- best",
                "majority         50.0 \u{b1} 0.0              -"
            ]
        );
        assert_eq!(
            with_spread(&scores, &scores.rows[0], &spread[0]),
            "accuracy % 81.2 \u{b1} 2.0, F1 0.500 \u{b1} 0.010"
        );
        let alone = Scores { rows: vec![scores.rows[0].clone()], ..scores };
        assert!(lines(&alone, &[]).iter().all(|line| !line.contains("best")));
    }
}
