//! A language model of n-grams of characters: how likely texts are to one that knows the last few characters.

use std::collections::{HashMap, HashSet};

use crate::error::{Error, Result};

/// What follows a context, and how often. None is the end of the text.
#[derive(Clone, Debug, Default)]
struct Follow {
    total: u32,
    counts: HashMap<Option<char>, u32>,
}

/// The model. Each text has an end, which is told like a character.
///
/// The likelihood of a character c after the context h, the n - 1 characters before it, is interpolated after Witten and
/// Bell (1991): (N(hc) + T(h) p(c | h')) / (N(h) + T(h)), where N counts, T(h) is how many different characters follow
/// h, and h' is h without its first. Below the empty context all characters of the training, the end, and one that
/// stands for all others are equally likely.
#[derive(Clone, Debug)]
pub struct CharacterModel {
    n: usize,
    /// By contexts of 0 to n - 1 characters. None stands for what is before the text.
    contexts: HashMap<Vec<Option<char>>, Follow>,
    /// How many characters there are, the end and the one for all others among them.
    alphabet: usize,
}

impl CharacterModel {
    /// Counts the runs of up to `n` characters in the texts of training; 4 is usual.
    ///
    /// # Errors
    /// No texts, or an `n` of 0 or above 32.
    pub fn fit<S: AsRef<str>>(texts: &[S], n: usize) -> Result<Self> {
        if !(1..=32).contains(&n) || texts.is_empty() {
            let got = format!("runs of {n} in {} texts", texts.len());
            return Err(Error::expected("language model", "runs of 1 to 32 characters, and at least one text", got));
        }
        let mut this = Self { n, contexts: HashMap::new(), alphabet: 0 };
        let mut seen = HashSet::new();
        for text in texts {
            seen.extend(text.as_ref().chars());
            for run in this.padded(text.as_ref()).windows(n) {
                let (&next, context) = run.split_last().expect("n is at least 1");
                for from in 0..=context.len() {
                    let context = &context[from..];
                    let follow = match this.contexts.get_mut(context) {
                        Some(follow) => follow,
                        None => this.contexts.entry(context.to_vec()).or_default(),
                    };
                    follow.total += 1;
                    *follow.counts.entry(next).or_default() += 1;
                }
            }
        }
        this.alphabet = seen.len() + 2;
        Ok(this)
    }

    /// The text between the marks of its beginning and its end.
    fn padded(&self, text: &str) -> Vec<Option<char>> {
        let begin = std::iter::repeat_n(None, self.n - 1);
        begin.chain(text.chars().map(Some)).chain([None]).collect()
    }

    fn probability(&self, context: &[Option<char>], next: Option<char>) -> f64 {
        let below = match context {
            [] => 1.0 / self.alphabet as f64,
            [_, shorter @ ..] => self.probability(shorter, next),
        };
        let Some(follow) = self.contexts.get(context) else { return below };
        let (count, kinds) = (follow.counts.get(&next).copied().unwrap_or(0), follow.counts.len() as f64);
        (f64::from(count) + kinds * below) / (f64::from(follow.total) + kinds)
    }

    /// The natural logarithm of a text's likelihood, its end included.
    pub fn log_likelihood(&self, text: &str) -> f64 {
        let next = |run: &[Option<char>]| {
            let (&next, context) = run.split_last().expect("n is at least 1");
            self.probability(context, next).ln()
        };
        self.padded(text).windows(self.n).map(next).sum()
    }

    /// The log-likelihood per character of texts, in nats, ends counted as characters.
    ///
    /// # Errors
    /// No texts.
    pub fn per_character<S: AsRef<str>>(&self, texts: &[S]) -> Result<f64> {
        let characters: usize = texts.iter().map(|text| text.as_ref().chars().count() + 1).sum();
        if characters == 0 {
            return Err(Error::expected("log-likelihood", "at least one text", "none"));
        }
        let sum: f64 = texts.iter().map(|text| self.log_likelihood(text.as_ref())).sum();
        Ok(sum / characters as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn likelihoods_are_interpolated() {
        let model = CharacterModel::fit(&["a"], 1).unwrap();
        // Of a, the end and all else: N = 1, 1, 0 of 2, two kinds, a third each below.
        let p = |next| (model.probability(&[], next) * 12.0).round();
        assert_eq!((p(Some('a')), p(None), p(Some('z'))), (5.0, 5.0, 2.0));
        assert!((model.log_likelihood("a") - 2.0 * (5.0_f64 / 12.0).ln()).abs() < 1e-12);
        let two = CharacterModel::fit(&["ab", "ab"], 2).unwrap();
        // After a: b twice, one kind; below: a, b, end twice each of 6, three kinds, a quarter each.
        let below = (2.0 + 3.0 * 0.25) / 9.0;
        assert!((two.probability(&[Some('a')], Some('b')) - (2.0 + below) / 3.0).abs() < 1e-12);
    }

    #[test]
    fn likelihoods_of_all_that_may_follow_sum_to_one() {
        let model = CharacterModel::fit(&["anna", "nan", "", "bab"], 4).unwrap();
        for context in [[None, None, None], [Some('a'), Some('n'), Some('n')], [Some('x'), Some('n'), Some('a')]] {
            let all = [Some('a'), Some('b'), Some('n'), None, Some('?')];
            let sum: f64 = all.iter().map(|&next| model.probability(&context, next)).sum();
            assert!((sum - 1.0).abs() < 1e-12, "{sum}");
        }
    }

    #[test]
    fn what_was_seen_is_likelier() {
        let names = ["maria", "mario", "marta", "martin", "marina"];
        let [one, four] = [1, 4].map(|n| CharacterModel::fit(&names, n).unwrap());
        assert!(four.per_character(&["marian"]).unwrap() > one.per_character(&["marian"]).unwrap());
        assert!(four.per_character(&["marian"]).unwrap() > four.per_character(&["xyzxyz"]).unwrap());
        assert!(four.log_likelihood("日本").is_finite());
    }

    #[test]
    fn what_cannot_be_fitted_is_told() {
        let error = CharacterModel::fit(&["a"], 0).unwrap_err().to_string();
        assert_eq!(
            error,
            "language model: expected runs of 1 to 32 characters, and at least one text, got runs of 0 in 1 texts"
        );
        assert!(CharacterModel::fit::<&str>(&[], 4).is_err() && CharacterModel::fit(&["a"], 33).is_err());
        assert!(CharacterModel::fit(&["a"], 4).unwrap().per_character::<&str>(&[]).is_err());
    }
}
