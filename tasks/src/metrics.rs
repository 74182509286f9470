//! How good answers are.
//!
//! Errors of numbers are in the unit of the series; shares are between 0 and 1, error rates at least 0.

use crate::error::{Error, Result};

/// Checks that there are answers, and as many as there are truths.
fn check(answers: usize, truths: usize) -> Result<()> {
    if answers == truths && answers > 0 {
        return Ok(());
    }
    let expected = "as many answers as truths, and at least one";
    Err(Error::expected("measure", expected, format_args!("{answers} answers and {truths} truths")))
}

/// The root of the mean squared error.
///
/// # Errors
/// No forecasts, or not as many as there are truths.
pub fn rmse(forecast: &[f64], truth: &[f64]) -> Result<f64> {
    check(forecast.len(), truth.len())?;
    let sum: f64 = forecast.iter().zip(truth).map(|(a, b)| (a - b).powi(2)).sum();
    Ok((sum / truth.len() as f64).sqrt())
}

/// The mean absolute error.
///
/// # Errors
/// No forecasts, or not as many as there are truths.
pub fn mae(forecast: &[f64], truth: &[f64]) -> Result<f64> {
    check(forecast.len(), truth.len())?;
    Ok(forecast.iter().zip(truth).map(|(a, b)| (a - b).abs()).sum::<f64>() / truth.len() as f64)
}

/// The mean absolute scaled error (Hyndman and Koehler 2006): the mean absolute error over that of the forecast 'as
/// `period` steps before' on the series of training. 1 is as good as that, 0 is perfect.
///
/// # Errors
/// No forecasts, or not as many as there are truths; a period of 0, a series of training that is not longer than it, or
/// one that repeats itself exactly.
pub fn mase(forecast: &[f64], truth: &[f64], train: &[f64], period: usize) -> Result<f64> {
    let error = mae(forecast, truth)?;
    if period == 0 || train.len() <= period {
        let got = format!("{} steps and a period of {period}", train.len());
        return Err(Error::expected("scaled error", "more steps of training than a period, of at least 1", got));
    }
    let naive = mae(&train[..train.len() - period], &train[period..])?;
    if naive == 0.0 {
        let got = format!("one where each step is as {period} before");
        return Err(Error::expected("scaled error", "a series of training that changes", got));
    }
    Ok(error / naive)
}

/// How often the direction of a change was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hits {
    /// How many changes were forecast in the direction that they took.
    pub hits: usize,
    /// How many changes there were; where the truth is as the last level there was none.
    pub of: usize,
}

impl Hits {
    /// Hits over changes, NaN where there were none.
    pub fn share(self) -> f64 {
        self.hits as f64 / self.of as f64
    }
}

/// Counts the forecasts that lie on the same side of the last level known as the truth. A forecast that is the last level
/// is no hit.
///
/// # Errors
/// No forecasts, or not as many as there are truths and last levels.
pub fn direction(forecast: &[f64], truth: &[f64], last: &[f64]) -> Result<Hits> {
    check(forecast.len(), truth.len())?;
    check(last.len(), truth.len())?;
    let mut hits = Hits { hits: 0, of: 0 };
    for ((forecast, truth), last) in forecast.iter().zip(truth).zip(last) {
        if truth != last {
            hits.of += 1;
            hits.hits += usize::from(forecast != last && (forecast > last) == (truth > last));
        }
    }
    Ok(hits)
}

/// The share of answers that are right.
///
/// # Errors
/// No answers, or not as many as there are truths.
pub fn accuracy<T: PartialEq>(answer: &[T], truth: &[T]) -> Result<f64> {
    check(answer.len(), truth.len())?;
    Ok(answer.iter().zip(truth).filter(|(a, b)| a == b).count() as f64 / truth.len() as f64)
}

/// The counts take 128 MB then. Labels that are no classes, but other for each row, would take all memory there is.
const MOST_CLASSES: usize = 4_096;

/// How often each class was taken for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    counts: Vec<usize>,
}

impl Confusion {
    /// Counts answers, numbers of classes less than `classes`.
    ///
    /// # Errors
    /// No answers, not as many as there are truths, a class beyond the last, or more than 4,096 classes.
    pub fn new(classes: usize, answer: &[usize], truth: &[usize]) -> Result<Self> {
        check(answer.len(), truth.len())?;
        if classes > MOST_CLASSES {
            return Err(Error::expected("confusion matrix", format_args!("at most {MOST_CLASSES} classes"), classes));
        }
        let mut counts = vec![0; classes * classes];
        for (&answer, &truth) in answer.iter().zip(truth) {
            let class = answer.max(truth);
            if class >= classes {
                return Err(Error::expected("class", format_args!("a number less than {classes}"), class));
            }
            counts[truth * classes + answer] += 1;
        }
        Ok(Self { classes, counts })
    }

    /// How many of the class `truth` were taken for the class `answer`.
    ///
    /// # Panics
    /// There is no such class.
    pub fn count(&self, truth: usize, answer: usize) -> usize {
        self.row(truth)[answer]
    }

    /// For what the members of the class `truth` were taken, class by class.
    ///
    /// # Panics
    /// There is no such class.
    pub fn row(&self, truth: usize) -> &[usize] {
        &self.counts[truth * self.classes..][..self.classes]
    }

    /// The share of answers that are right.
    pub fn accuracy(&self) -> f64 {
        let right: usize = (0..self.classes).map(|class| self.count(class, class)).sum();
        right as f64 / self.counts.iter().sum::<usize>() as f64
    }

    /// The share of a class that was told, its recall; none where the class does not occur.
    ///
    /// # Panics
    /// There is no such class.
    pub fn recall(&self, class: usize) -> Option<f64> {
        let all: usize = self.row(class).iter().sum();
        (all > 0).then(|| self.count(class, class) as f64 / all as f64)
    }

    /// The mean of the recalls of all classes that occur: the accuracy, were they all equally common.
    pub fn balanced_accuracy(&self) -> f64 {
        let recalls: Vec<_> = (0..self.classes).filter_map(|class| self.recall(class)).collect();
        recalls.iter().sum::<f64>() / recalls.len() as f64
    }
}

/// The least number of tokens put in, left out or replaced that makes `a` of `b` (Levenshtein 1966).
pub fn levenshtein<T: PartialEq>(a: &[T], b: &[T]) -> usize {
    // One row of the table: the distances of a's beginning to all beginnings of b.
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = replaced.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// Error rates of sequences.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ErrorRates {
    /// The share of sequences that are not right from end to end: of pronunciations the word error rate.
    pub sequences: f64,
    /// The Levenshtein distances of all sequences over the lengths of all truths: of pronunciations the phoneme error
    /// rate, of sentences the word error rate. It may be above 1.
    pub tokens: f64,
}

/// The error rates of answers. Each has one truth or several, e.g. the pronunciations of a word, and is measured by the
/// one that it is the fewest errors away from, of equals the longest.
///
/// # Errors
/// No answers, or not as many as there are lists of truths; an answer without a truth; truths that are all empty.
pub fn error_rates<T: PartialEq>(answers: &[Vec<T>], truths: &[Vec<Vec<T>>]) -> Result<ErrorRates> {
    check(answers.len(), truths.len())?;
    let (mut wrong, mut errors, mut tokens) = (0, 0, 0);
    for (index, (answer, truths)) in answers.iter().zip(truths).enumerate() {
        let distances = truths.iter().map(|truth| (levenshtein(answer, truth), truth.len()));
        let Some((distance, len)) = distances.min_by_key(|&(distance, len)| (distance, usize::MAX - len)) else {
            return Err(Error::expected(&format!("answer {index}"), "at least one truth", "none"));
        };
        wrong += usize::from(distance > 0);
        errors += distance;
        tokens += len;
    }
    if tokens == 0 {
        return Err(Error::expected("error rate", "truths of at least one token", "empty ones alone"));
    }
    Ok(ErrorRates { sequences: wrong as f64 / answers.len() as f64, tokens: errors as f64 / tokens as f64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_numbers() {
        let (forecast, truth) = ([1.0, 2.0], [4.0, 6.0]);
        assert_eq!(rmse(&forecast, &truth).unwrap(), 12.5_f64.sqrt());
        assert_eq!(mae(&forecast, &truth).unwrap(), 3.5);
        assert_eq!(mase(&forecast, &truth, &[0.0, 2.0, 1.0, 5.0], 1).unwrap(), 1.5);
        assert_eq!(mase(&forecast, &truth, &[0.0, 2.0, 1.0, 5.0], 2).unwrap(), 1.75);
        let hits = direction(&[2.0, 0.0, 1.0, 5.0], &[3.0, 2.0, 2.0, 1.0], &[1.0; 4]).unwrap();
        assert_eq!((hits, hits.share()), (Hits { hits: 1, of: 3 }, 1.0 / 3.0));
    }

    #[test]
    fn what_cannot_be_measured_is_told() {
        let expected = "measure: expected as many answers as truths, and at least one, got 1 answers and 2 truths";
        assert_eq!(rmse(&[1.0], &[1.0, 2.0]).unwrap_err().to_string(), expected);
        assert!(mae(&[], &[]).is_err() && accuracy::<u8>(&[], &[]).is_err() && Confusion::new(1, &[], &[]).is_err());
        assert!(direction(&[1.0], &[1.0], &[]).is_err() && error_rates::<u8>(&[], &[]).is_err());
        assert!(mase(&[1.0], &[1.0], &[1.0], 1).unwrap_err().to_string().ends_with("got 1 steps and a period of 1"));
        assert!(mase(&[1.0], &[1.0], &[1.0, 1.0], 1).unwrap_err().to_string().contains("that changes"));
        assert!(Confusion::new(2, &[2], &[0]).unwrap_err().to_string().ends_with("less than 2, got 2"));
        assert!(
            Confusion::new(125_000, &[0], &[0]).unwrap_err().to_string().ends_with("at most 4096 classes, got 125000")
        );
        assert!(error_rates(&[vec![1]], &[vec![]]).is_err() && error_rates(&[vec![1]], &[vec![vec![]]]).is_err());
    }

    #[test]
    fn classes_are_counted() {
        let confusion = Confusion::new(3, &[0, 0, 0, 1], &[0, 0, 1, 1]).unwrap();
        assert_eq!(
            (confusion.row(0), confusion.row(1), confusion.row(2)),
            (&[2, 0, 0][..], &[1, 1, 0][..], &[0; 3][..])
        );
        assert_eq!(confusion.accuracy(), 0.75);
        assert_eq!(accuracy(&[0, 0, 0, 1], &[0, 0, 1, 1]).unwrap(), 0.75);
        assert_eq!(confusion.recall(2), None);
        assert_eq!(confusion.balanced_accuracy(), 0.75, "the third class does not occur");
    }

    #[test]
    fn distances_are_levenshteins() {
        let distance = |a: &str, b: &str| levenshtein(a.as_bytes(), b.as_bytes());
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!((distance("", "abc"), distance("abc", ""), distance("abc", "abc")), (3, 3, 0));
        let answers = [vec!["a", "b"], vec!["c"]];
        let truths = [vec![vec!["x"], vec!["a", "b"]], vec![vec!["c", "d"], vec!["c", "d", "e"]]];
        assert_eq!(error_rates(&answers, &truths).unwrap(), ErrorRates { sequences: 0.5, tokens: 0.25 });
    }

    proptest::proptest! {
        #[test]
        fn distances_are_distances(a in "[ab]{0,8}", b in "[ab]{0,8}", c in "[ab]{0,8}") {
            let d = |x: &str, y: &str| levenshtein(x.as_bytes(), y.as_bytes());
            proptest::prop_assert_eq!(d(&a, &b), d(&b, &a));
            proptest::prop_assert!(d(&a, &c) <= d(&a, &b) + d(&b, &c));
            proptest::prop_assert_eq!(d(&a, &b) == 0, a == b);
        }
    }
}
