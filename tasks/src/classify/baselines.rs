//! What stands beside the network.

use super::data::{Data, Inputs};
use super::{Classify, scales};
use crate::baselines::classify::{Classifier, Features, Method};
use crate::baselines::logistic::{Logistic, Sparse};
use crate::error::Result;
use crate::vocabulary::Unit;

/// The usual penalty.
const C: f64 = 1.0;

/// Names of methods, and their answers to some rows.
pub(super) fn answers(task: &Classify, rows: &[usize]) -> Result<Vec<(String, Vec<usize>)>> {
    let (train, classes) = (&task.split.train, task.classes.len());
    let labels = task.truth(train);
    let (texts, unit) = match (&task.inputs, &task.settings.data) {
        (Inputs::Texts(texts), Data::Text(options)) => (texts, options.unit),
        (Inputs::Numbers { width, sequences }, _) => return of_numbers(task, *width, sequences, &labels, rows),
        // `prepare` reads the one where the settings say the other.
        (Inputs::Texts(_), _) => return Ok(Vec::new()),
    };
    let runs = |longest| Features::Ngrams { unit, shortest: 1, longest, bounds: unit == Unit::Characters };
    let methods = match unit {
        Unit::Characters => vec![
            ("commonest class", runs(1), Method::Majority),
            ("last character, logistic", Features::Last(unit), Method::Logistic(C)),
            ("runs of 1 to 4, logistic", runs(4), Method::Logistic(C)),
        ],
        Unit::Words | Unit::Symbols => vec![
            ("commonest class", runs(1), Method::Majority),
            ("unigrams, logistic", runs(1), Method::Logistic(C)),
            ("to bigrams, logistic", runs(2), Method::Logistic(C)),
            ("to bigrams, naive Bayes", runs(2), Method::NaiveBayes),
        ],
    };
    let of = |rows: &[usize]| -> Vec<&str> { rows.iter().map(|&row| &texts[row][..]).collect() };
    let (train, tested) = (of(train), of(rows));
    let answer = |(name, features, method): (&str, _, _)| {
        Ok((name.to_string(), Classifier::fit(features, method, &train, &labels, classes)?.predict_all(&tested)))
    };
    methods.into_iter().map(answer).collect()
}

fn of_numbers(
    task: &Classify,
    width: usize,
    sequences: &[Vec<f64>],
    labels: &[usize],
    rows: &[usize],
) -> Result<Vec<(String, Vec<usize>)>> {
    let (train, classes) = (&task.split.train, task.classes.len());
    let mut counts = vec![0; classes];
    labels.iter().for_each(|&label| counts[label] += 1);
    // Of equals the first.
    let commonest = (0..classes).fold(0, |best, class| if counts[class] > counts[best] { class } else { best });
    let all: Vec<Vec<f64>> = sequences.iter().map(|sequence| summary(sequence, width)).collect();
    let features = all.first().map_or(0, Vec::len);
    let (gain, offset) = scales(train.iter().map(|&row| &all[row][..]), features);
    let scaled = |row: usize| {
        let each = all[row].iter().zip(gain.iter().zip(&offset)).enumerate();
        each.map(|(feature, (&x, (&gain, &offset)))| (feature as u32, x as f32 * gain + offset)).collect::<Vec<_>>()
    };
    let mut fitted = Sparse::default();
    train.iter().for_each(|&row| fitted.push(scaled(row)));
    let logistic = Logistic::fit(&fitted, features, labels, classes, C)?;
    Ok(vec![
        ("commonest class".into(), vec![commonest; rows.len()]),
        ("summary, logistic".into(), rows.iter().map(|&row| logistic.predict(&scaled(row))).collect()),
    ])
}

/// Of each feature its mean, deviation, least, largest, first and last value; and the number of steps.
fn summary(sequence: &[f64], width: usize) -> Vec<f64> {
    let steps = (sequence.len() / width) as f64;
    let of = |feature: usize| {
        let each = move || sequence.iter().skip(feature).step_by(width).copied();
        let mean = each().map(|x| x / steps).sum::<f64>();
        let deviation = each().map(|x| (x - mean).powi(2) / steps).sum::<f64>().sqrt();
        let (least, most) = (each().fold(f64::INFINITY, f64::min), each().fold(f64::NEG_INFINITY, f64::max));
        [mean, deviation, least, most, sequence[feature], sequence[sequence.len() - width + feature]]
    };
    (0..width).flat_map(of).chain([steps]).collect()
}
