//! Classes of texts.

use std::collections::HashMap;

use super::logistic::{Logistic, Sparse, check_labels, check_weights, largest};
use crate::error::{Error, Result};
use crate::vocabulary::Unit;

/// What is looked at of a text. Each is a feature that is there or not, however often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Features {
    /// The last token, e.g. the last letter of a name.
    Last(Unit),
    /// All runs of `shortest` to `longest` tokens: `{ unit: Words, shortest: 1, longest: 2 }` are unigrams and bigrams.
    Ngrams {
        /// What the tokens are.
        unit: Unit,
        /// The length of the shortest runs, at least 1.
        shortest: usize,
        /// The length of the longest runs.
        longest: usize,
        /// Whether the beginning and the end of the text are tokens too.
        bounds: bool,
    },
}

impl Features {
    /// The features of a text, perhaps several times.
    fn of(self, text: &str) -> Vec<String> {
        // Runs of one mark alone would say the same of all texts; in longer ones it tells where they stand.
        const MARK: &str = "\u{2}";
        // A character that stands in no word.
        const BETWEEN: &str = "\u{1f}";
        match self {
            Self::Last(unit) => unit.tokens(text).pop().into_iter().collect(),
            Self::Ngrams { unit, shortest, longest, bounds } => {
                let mut tokens = unit.tokens(text);
                if bounds {
                    tokens.insert(0, MARK.to_string());
                    tokens.push(MARK.to_string());
                }
                let lengths = shortest..=longest.min(tokens.len());
                lengths.flat_map(|n| tokens.windows(n).map(|run| run.join(BETWEEN)).collect::<Vec<_>>()).collect()
            }
        }
    }

    fn check(self) -> Result<()> {
        match self {
            Self::Ngrams { shortest, longest, .. } if shortest == 0 || shortest > longest => {
                let got = format!("{shortest} to {longest}");
                Err(Error::expected("n-grams", "runs of at least one token, the shortest first", got))
            }
            _ => Ok(()),
        }
    }
}

/// How the class is told from the features.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// It is not: the commonest class of the training is the answer, of equals the first.
    Majority,
    /// Multinomial naive Bayes over the features that are there, each counted once more than it occurs in each class.
    NaiveBayes,
    /// [`Logistic`] regression with this `c`; 1 is usual.
    Logistic(f64),
}

#[derive(Clone, Debug)]
enum Model {
    Majority(usize),
    /// Of each class the logarithm of its share, and by features and classes those of theirs.
    NaiveBayes {
        prior: Vec<f64>,
        likelihood: Vec<f64>,
    },
    Logistic(Logistic),
}

/// A fitted baseline. Labels are numbers of classes: a [`Vocabulary`](crate::vocabulary::Vocabulary) of labels, without
/// `<unk>`, makes them of texts.
///
/// ```
/// use elman_tasks::baselines::classify::{Classifier, Features, Method};
/// use elman_tasks::vocabulary::Unit;
///
/// let texts = ["good fun", "bad fun", "good", "bad"];
/// let features = Features::Ngrams { unit: Unit::Words, shortest: 1, longest: 1, bounds: false };
/// let fit = Classifier::fit(features, Method::Logistic(1.0), &texts, &[1, 0, 1, 0], 2)?;
/// assert_eq!(fit.predict("what good fun"), 1);
/// # Ok::<(), elman_tasks::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Classifier {
    features: Features,
    numbers: HashMap<String, u32>,
    model: Model,
}

impl Classifier {
    /// Fits to the texts of training. Features that do not occur in them are passed by later on.
    ///
    /// # Errors
    /// No texts, not a label for each, a label beyond the last class, runs of no tokens, features times classes of more
    /// than 2²⁴; and for [`Method::Logistic`] what [`Logistic::fit`] says.
    pub fn fit<S: AsRef<str>>(
        features: Features,
        method: Method,
        texts: &[S],
        labels: &[usize],
        classes: usize,
    ) -> Result<Self> {
        features.check()?;
        check_labels(texts.len(), labels, classes)?;
        let (mut numbers, mut rows) = (HashMap::new(), Sparse::default());
        if method != Method::Majority {
            for text in texts {
                let mut row: Vec<u32> = Vec::new();
                for feature in features.of(text.as_ref()) {
                    let next = numbers.len() as u32;
                    row.push(*numbers.entry(feature).or_insert(next));
                }
                rows.push(once(row));
            }
        }
        let model = match method {
            Method::Majority => {
                let mut counts = vec![0.0; classes];
                labels.iter().for_each(|&label| counts[label] += 1.0);
                Model::Majority(largest(&counts))
            }
            Method::NaiveBayes => {
                check_weights(numbers.len(), classes)?;
                naive_bayes(&rows, numbers.len(), labels, classes)
            }
            Method::Logistic(c) => Model::Logistic(Logistic::fit(&rows, numbers.len(), labels, classes, c)?),
        };
        Ok(Self { features, numbers, model })
    }

    /// The likeliest class, of equals the first.
    pub fn predict(&self, text: &str) -> usize {
        let row = || {
            let features = self.features.of(text);
            once(features.iter().filter_map(|feature| self.numbers.get(feature).copied()).collect())
        };
        match &self.model {
            Model::Majority(class) => *class,
            Model::NaiveBayes { prior, likelihood } => {
                let mut scores = prior.clone();
                for (feature, _) in row() {
                    let likelihood = &likelihood[feature as usize * scores.len()..];
                    scores.iter_mut().zip(likelihood).for_each(|(score, l)| *score += l);
                }
                largest(&scores)
            }
            Model::Logistic(logistic) => logistic.predict(&row()),
        }
    }

    /// The likeliest class of each text.
    pub fn predict_all<S: AsRef<str>>(&self, texts: &[S]) -> Vec<usize> {
        texts.iter().map(|text| self.predict(text.as_ref())).collect()
    }
}

/// Each feature once, in order.
fn once(mut row: Vec<u32>) -> Vec<(u32, f32)> {
    row.sort_unstable();
    row.dedup();
    row.into_iter().map(|feature| (feature, 1.0)).collect()
}

fn naive_bayes(rows: &Sparse, features: usize, labels: &[usize], classes: usize) -> Model {
    // A class that does not occur has a share of 0, whose logarithm keeps it from being an answer.
    let mut prior = vec![0.0; classes];
    let mut counts = vec![1.0; features * classes];
    let mut totals = vec![features as f64; classes];
    for (row, &label) in labels.iter().enumerate() {
        prior[label] += 1.0;
        for &(feature, _) in rows.row(row) {
            counts[feature as usize * classes + label] += 1.0;
            totals[label] += 1.0;
        }
    }
    prior.iter_mut().for_each(|share| *share = (*share / labels.len() as f64).ln());
    let log = |(index, count): (usize, f64)| (count / totals[index % classes]).ln();
    let likelihood = counts.into_iter().enumerate().map(log).collect();
    Model::NaiveBayes { prior, likelihood }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: Features = Features::Ngrams { unit: Unit::Words, shortest: 1, longest: 2, bounds: false };

    #[test]
    fn features_are_runs_of_tokens() {
        assert_eq!(WORDS.of("A b c"), ["a", "b", "c", "a\u{1f}b", "b\u{1f}c"]);
        let letters = Features::Ngrams { unit: Unit::Characters, shortest: 2, longest: 9, bounds: true };
        assert_eq!(letters.of("ab").len(), 3 + 2 + 1);
        assert_eq!(Features::Last(Unit::Characters).of("Anna"), ["a"]);
        assert!(Features::Last(Unit::Characters).of("").is_empty() && WORDS.of("").is_empty());
    }

    #[test]
    fn methods_learn_what_they_can() {
        let texts = ["not good", "good", "bad", "not bad", "good", "so good", "x bad"];
        let labels = [0, 1, 0, 1, 1, 1, 0];
        let right = |method| {
            let fit = Classifier::fit(WORDS, method, &texts, &labels, 2).unwrap();
            fit.predict_all(&texts).iter().zip(labels).filter(|(a, b)| *a == b).count()
        };
        assert_eq!(right(Method::Majority), 4);
        assert!(right(Method::NaiveBayes) >= 5);
        assert_eq!(right(Method::Logistic(100.0)), 7);
        let last =
            Classifier::fit(Features::Last(Unit::Characters), Method::NaiveBayes, &["ba", "bo", "da"], &[2, 0, 2], 3);
        let last = last.unwrap();
        assert_eq!((last.predict("xa"), last.predict("xo"), last.predict("")), (2, 0, 2));
    }

    #[test]
    fn naive_bayes_is_by_counts() {
        let fit = Classifier::fit(WORDS, Method::NaiveBayes, &["a", "a", "b"], &[0, 0, 1], 2).unwrap();
        let Model::NaiveBayes { prior, likelihood } = fit.model else { panic!("another model") };
        let shares: Vec<_> = prior.iter().chain(&likelihood).map(|x| (x.exp() * 12.0).round()).collect();
        assert_eq!(shares, [8.0, 4.0, 9.0, 4.0, 3.0, 8.0], "of 12: 2/3, 1/3; a 3/4, 1/3; b 1/4, 2/3");
    }

    #[test]
    fn what_cannot_be_fitted_is_told() {
        let told = |features, texts: &[&str], labels: &[usize]| {
            Classifier::fit(features, Method::Majority, texts, labels, 2).unwrap_err().to_string()
        };
        assert!(told(WORDS, &[], &[]).starts_with("classifier: expected a label for each row, and at least one"));
        assert_eq!(told(WORDS, &["a"], &[2]), "label: expected a number less than 2, got 2");
        let none = Features::Ngrams { unit: Unit::Words, shortest: 0, longest: 1, bounds: false };
        assert!(told(none, &["a"], &[0]).ends_with("got 0 to 1"));
    }
}
