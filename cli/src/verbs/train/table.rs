//! Scores as a table of text.

use std::io::{self, Write as _};

use elman_tasks::scores::{Measure, Scores};

/// Prints the table, and which row wins.
pub(crate) fn print(scores: &Scores) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out)?;
    for line in lines(scores) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn lines(scores: &Scores) -> Vec<String> {
    let widest = scores.rows.iter().map(|row| row.method.chars().count()).chain([scores.part.chars().count()]).max();
    let width = widest.unwrap_or(0) + 2;
    let cells: Vec<Vec<String>> =
        scores.rows.iter().map(|row| row.values.iter().zip(&scores.measures).map(cell).collect()).collect();
    let columns: Vec<usize> = (0..scores.measures.len())
        .map(|n| cells.iter().map(|row| row[n].len()).chain([scores.measures[n].name.len()]).max().unwrap_or(0) + 2)
        .collect();
    let row = |first: &str, cells: &[String], last: &str| {
        let cells: String = cells.iter().zip(&columns).map(|(cell, width)| format!("{cell:>width$}")).collect();
        format!("{first:<width$}{cells}{last}").trim_end().to_string()
    };
    let names: Vec<String> = scores.measures.iter().map(|measure| measure.name.clone()).collect();
    let winner = scores.winner().map(|row| &row.method[..]);
    let mut lines = vec![row(&scores.part, &names, "")];
    for (it, cells) in scores.rows.iter().zip(&cells) {
        let last = if winner == Some(&it.method[..]) { "  <- best" } else { "" };
        lines.push(row(&it.method, cells, last));
    }
    lines
}

fn cell((value, measure): (&Option<f64>, &Measure)) -> String {
    value.map_or("-".into(), |value| format!("{value:.*}", measure.digits))
}

#[cfg(test)]
mod tests {
    use elman_tasks::scores::{Better, Row};

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
        let told = lines(&Scores { part: "test part, 90".into(), measures, rows });
        assert_eq!(
            told,
            [
                "test part, 90    accuracy %     F1",
                "GRU 64                 81.2  0.500  <- best",
                "majority               50.0      -"
            ]
        );
    }
}
