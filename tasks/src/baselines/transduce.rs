//! One sequence from another, symbol by symbol.

use std::collections::HashMap;

use crate::error::{Error, Result};

/// Writes for each source symbol what it most often comes to, whatever stands around it.
///
/// Source and target are laid along each other from end to end: of m target tokens the middle of each falls into one of
/// the n source symbols, the one of number ⌊(2 j + 1) n / 2 m⌋ for token j. What a symbol comes to in a pair is all
/// tokens that fall into it, perhaps none; the commonest of these is its answer, of equals the shorter, then the one
/// that is first in the order of texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Substitution {
    targets: HashMap<String, Vec<String>>,
}

impl Substitution {
    /// Counts what symbols come to in the pairs of training, sources and targets as tokens.
    ///
    /// ```
    /// use elman_tasks::baselines::transduce::Substitution;
    ///
    /// let pairs = [(vec!["a", "b"], vec!["A", "B"]), (vec!["b"], vec!["B"])];
    /// assert_eq!(Substitution::fit(&pairs)?.predict(&["b", "a", "?"]), ["B", "A"]);
    /// # Ok::<(), elman_tasks::Error>(())
    /// ```
    ///
    /// # Errors
    /// No pairs, or a source without a symbol.
    pub fn fit<S: AsRef<str>>(pairs: &[(Vec<S>, Vec<S>)]) -> Result<Self> {
        if pairs.is_empty() {
            return Err(Error::expected("substitution", "at least one pair", "none"));
        }
        let mut counts: HashMap<&str, HashMap<Vec<&str>, usize>> = HashMap::new();
        for (index, (source, target)) in pairs.iter().enumerate() {
            if source.is_empty() {
                return Err(Error::expected(&format!("source {index}"), "at least one symbol", "none"));
            }
            let mut parts = vec![Vec::new(); source.len()];
            for (token, text) in target.iter().enumerate() {
                parts[(2 * token + 1) * source.len() / (2 * target.len())].push(text.as_ref());
            }
            for (symbol, part) in source.iter().zip(parts) {
                *counts.entry(symbol.as_ref()).or_default().entry(part).or_default() += 1;
            }
        }
        let commonest = |(symbol, parts): (&str, HashMap<Vec<&str>, usize>)| {
            let order = |(a, m): &(Vec<&str>, usize), (b, n): &(Vec<&str>, usize)| {
                n.cmp(m).then(a.len().cmp(&b.len())).then_with(|| a.cmp(b))
            };
            let (part, _) = parts.into_iter().min_by(order).unwrap_or_default();
            (symbol.to_string(), part.into_iter().map(String::from).collect())
        };
        Ok(Self { targets: counts.into_iter().map(commonest).collect() })
    }

    /// What the symbols come to, one after the other. Symbols that the training had none of come to nothing.
    pub fn predict<S: AsRef<str>>(&self, source: &[S]) -> Vec<String> {
        source.iter().filter_map(|symbol| self.targets.get(symbol.as_ref())).flatten().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(source: &str, target: &str) -> (Vec<String>, Vec<String>) {
        let tokens = |text: &str| text.chars().map(String::from).collect();
        (tokens(source), tokens(target))
    }

    #[test]
    fn symbols_come_to_what_is_commonest() {
        let fit = Substitution::fit(&[pair("ab", "AB"), pair("ab", "AB"), pair("ba", "XA"), pair("q", "KW")]).unwrap();
        assert_eq!(fit.predict(&["a", "q", "b", "z"]), ["A", "K", "W", "B"]);
        // Of three symbols and two tokens the one in the middle gets none, or one of the two.
        let silent = Substitution::fit(&[pair("abc", "AC")]).unwrap();
        assert_eq!(silent.predict(&["a", "b", "c"]), ["A", "C"]);
        let equal = Substitution::fit(&[pair("a", "Z"), pair("a", "Y"), pair("a", "XX")]).unwrap();
        assert_eq!(equal.predict(&["a"]), ["Y"]);
        assert!(Substitution::fit(&[pair("a", "")]).unwrap().predict(&["a"]).is_empty());
    }

    #[test]
    fn what_cannot_be_fitted_is_told() {
        assert_eq!(
            Substitution::fit::<String>(&[]).unwrap_err().to_string(),
            "substitution: expected at least one pair, got none"
        );
        assert_eq!(
            Substitution::fit(&[pair("a", "A"), pair("", "A")]).unwrap_err().to_string(),
            "source 1: expected at least one symbol, got none"
        );
    }
}
