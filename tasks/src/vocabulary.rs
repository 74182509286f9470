//! Tokens of texts, and their numbers.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, quoted};

/// The token that stands for all that have no number of their own.
pub const UNKNOWN: &str = "<unk>";
/// The token that stands before a sequence.
pub const BEGIN: &str = "<s>";
/// The token that stands after a sequence.
pub const END: &str = "</s>";

/// How a text is cut into tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Lower-cased words: runs of letters, digits, underscores and accents, with the apostrophes and hyphens inside them
    /// (`it's`, `kinetically-charged`). Every other character is a token of its own, white space is none.
    Words,
    /// Characters, as Unicode counts them (scalar values), case and white space as they are.
    Characters,
    /// What stands between white space, as it is: phonemes, or text that is cut already.
    Symbols,
}

impl Unit {
    /// The tokens of a text, in its order.
    ///
    /// ```
    /// use elman_tasks::vocabulary::Unit;
    ///
    /// assert_eq!(Unit::Words.tokens("It's smart, no?"), ["it's", "smart", ",", "no", "?"]);
    /// assert_eq!(Unit::Characters.tokens("Né"), ["N", "é"]);
    /// assert_eq!(Unit::Symbols.tokens("B AW T"), ["B", "AW", "T"]);
    /// ```
    pub fn tokens(self, text: &str) -> Vec<String> {
        match self {
            Self::Words => words(&text.to_lowercase()),
            Self::Characters => text.chars().map(String::from).collect(),
            Self::Symbols => text.split_whitespace().map(String::from).collect(),
        }
    }
}

fn words(text: &str) -> Vec<String> {
    // Accents may follow their letter as characters of their own.
    let inside = |c: char| c.is_alphanumeric() || c == '_' || ('\u{300}'..='\u{36f}').contains(&c);
    let mut tokens = Vec::new();
    let mut word = String::new();
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        let joins = matches!(c, '\'' | '’' | '-') && !word.is_empty() && characters.peek().is_some_and(|&c| inside(c));
        if inside(c) || joins {
            word.push(c);
            continue;
        }
        if !word.is_empty() {
            tokens.push(std::mem::take(&mut word));
        }
        if !c.is_whitespace() {
            tokens.push(c.to_string());
        }
    }
    if !word.is_empty() {
        tokens.push(word);
    }
    tokens
}

/// Which tokens get a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How often a token must occur, at least. 1 by default.
    pub min_count: usize,
    /// How many tokens there may be, with [`UNKNOWN`], [`BEGIN`] and [`END`]; the rarest are left out. Without limit by
    /// default.
    pub max_size: Option<usize>,
    /// Whether there is [`UNKNOWN`]. There is by default.
    pub unknown: bool,
    /// Whether there are [`BEGIN`] and [`END`]. There are not by default.
    pub bounds: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { min_count: 1, max_size: None, unknown: true, bounds: false }
    }
}

/// Tokens with numbers from 0 on: first those of [`UNKNOWN`], [`BEGIN`] and [`END`] that there are, in this order, then
/// those of the texts, commonest first and by their text (its bytes) where equally common.
///
/// `serde` writes it as the list of its tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Vocabulary {
    tokens: Vec<String>,
    indices: HashMap<String, usize>,
}

impl Vocabulary {
    /// Counts the tokens of sequences. A token of the text that is written like one of the three special ones is that
    /// one, where there is that one.
    ///
    /// ```
    /// use elman_tasks::vocabulary::{Options, Vocabulary};
    ///
    /// let words = Vocabulary::build([["b", "a"], ["c", "c"]], &Options::default())?;
    /// assert_eq!(words.tokens(), ["<unk>", "c", "a", "b"]);
    /// # Ok::<(), elman_tasks::Error>(())
    /// ```
    ///
    /// # Errors
    /// Nothing is left: no tokens, or limits that none of them meets.
    pub fn build<T, S>(sequences: impl IntoIterator<Item = T>, options: &Options) -> Result<Self>
    where
        T: IntoIterator<Item = S>,
        S: AsRef<str>,
    {
        let mut counts: HashMap<String, usize> = HashMap::new();
        for token in sequences.into_iter().flatten() {
            match counts.get_mut(token.as_ref()) {
                Some(count) => *count += 1,
                None => drop(counts.insert(token.as_ref().to_string(), 1)),
            }
        }
        let asked = [(options.unknown, UNKNOWN), (options.bounds, BEGIN), (options.bounds, END)];
        let mut tokens: Vec<_> =
            asked.iter().filter(|(asked, _)| *asked).map(|(_, token)| (*token).to_string()).collect();
        let special = tokens.len();
        let mut counts: Vec<_> = counts.into_iter().filter(|(token, _)| !tokens.contains(token)).collect();
        let most = counts.iter().map(|(_, count)| *count).max().unwrap_or(0);
        counts.retain(|(_, count)| *count >= options.min_count);
        counts.sort_unstable_by(|(a, m), (b, n)| n.cmp(m).then_with(|| a.cmp(b)));
        counts.truncate(options.max_size.map_or(usize::MAX, |size| size.saturating_sub(special)));
        if counts.is_empty() {
            let Options { min_count, max_size, .. } = options;
            let size = max_size.map_or("no limit of size".into(), |size| format!("at most {size} tokens"));
            return Err(Error::new(format!(
                "vocabulary: expected tokens that occur {min_count} times or more, and {size}, got none beside the \
                 {special} special ones; the commonest occurs {most} times"
            )));
        }
        tokens.extend(counts.into_iter().map(|(token, _)| token));
        Self::from_tokens(tokens)
    }

    /// The vocabulary of these tokens, in this order.
    ///
    /// # Errors
    /// None, or one twice.
    pub fn from_tokens(tokens: Vec<String>) -> Result<Self> {
        let mut indices = HashMap::with_capacity(tokens.len());
        for (index, token) in tokens.iter().enumerate() {
            if let Some(first) = indices.insert(token.clone(), index) {
                let token = quoted(token);
                return Err(Error::new(format!(
                    "vocabulary: expected each token once, got {token} as number {first} and as number {index}"
                )));
            }
        }
        if tokens.is_empty() {
            return Err(Error::expected("vocabulary", "tokens", "none"));
        }
        Ok(Self { tokens, indices })
    }

    /// All tokens by their numbers.
    pub fn tokens(&self) -> &[String] {
        &self.tokens
    }

    /// How many there are, at least 1.
    #[allow(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The number of a token, if it has one of its own.
    pub fn index(&self, token: &str) -> Option<usize> {
        self.indices.get(token).copied()
    }

    /// The number of [`UNKNOWN`], if there is one.
    pub fn unknown(&self) -> Option<usize> {
        self.index(UNKNOWN)
    }

    /// The number of [`BEGIN`], if there is one.
    pub fn begin(&self) -> Option<usize> {
        self.index(BEGIN)
    }

    /// The number of [`END`], if there is one.
    pub fn end(&self) -> Option<usize> {
        self.index(END)
    }

    /// The numbers of tokens; that of [`UNKNOWN`] for one without its own. [`BEGIN`] and [`END`] are not added.
    ///
    /// # Errors
    /// A token without a number where there is no [`UNKNOWN`].
    pub fn encode<S: AsRef<str>>(&self, tokens: &[S]) -> Result<Vec<usize>> {
        let index = |token: &S| {
            let token = token.as_ref();
            self.index(token).or(self.unknown()).ok_or_else(|| {
                let (size, token) = (self.len(), quoted(token));
                Error::new(format!(
                    "token: expected one of the {size} of the vocabulary, which has no {UNKNOWN}, got {token}"
                ))
            })
        };
        tokens.iter().map(index).collect()
    }

    /// The tokens of numbers.
    ///
    /// # Errors
    /// A number that is none of a token.
    pub fn decode(&self, indices: &[usize]) -> Result<Vec<&str>> {
        let token = |&index: &usize| match self.tokens.get(index) {
            Some(token) => Ok(token.as_str()),
            None => Err(Error::expected("token", format_args!("a number less than {}", self.len()), index)),
        };
        indices.iter().map(token).collect()
    }
}

impl TryFrom<Vec<String>> for Vocabulary {
    type Error = Error;

    fn try_from(tokens: Vec<String>) -> Result<Self> {
        Self::from_tokens(tokens)
    }
}

impl From<Vocabulary> for Vec<String> {
    fn from(vocabulary: Vocabulary) -> Self {
        vocabulary.tokens
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_as_documented() {
        let cases: [(&str, &[&str]); 6] = [
            ("", &[]),
            ("  The THESIS -- elegant!!", &["the", "thesis", "-", "-", "elegant", "!", "!"]),
            ("'quoted' don't o'", &["'", "quoted", "'", "don't", "o", "'"]),
            ("3.5 a_b", &["3", ".", "5", "a_b"]),
            ("Ça\u{301}\tÉTÉ", &["ça\u{301}", "été"]),
            ("日本 語", &["日本", "語"]),
        ];
        for (text, expected) in cases {
            assert_eq!(Unit::Words.tokens(text), expected, "{text:?}");
        }
    }

    #[test]
    fn order_is_by_count_and_then_by_text() {
        let texts = [vec!["b", "a", "c"], vec!["c", "d", "<s>"]];
        let all = Options { bounds: true, ..Options::default() };
        let words = Vocabulary::build(&texts, &all).unwrap();
        assert_eq!(words.tokens(), ["<unk>", "<s>", "</s>", "c", "a", "b", "d"]);
        assert_eq!((words.unknown(), words.begin(), words.end(), words.len()), (Some(0), Some(1), Some(2), 7));
        let few = Vocabulary::build(&texts, &Options { max_size: Some(5), ..all }).unwrap();
        assert_eq!(few.tokens(), ["<unk>", "<s>", "</s>", "c", "a"]);
        let common =
            Vocabulary::build(&texts, &Options { min_count: 2, unknown: false, ..Options::default() }).unwrap();
        assert_eq!(common.tokens(), ["c"]);
    }

    #[test]
    fn numbers_and_tokens_go_both_ways() {
        let words = Vocabulary::build([["a", "b"]], &Options::default()).unwrap();
        assert_eq!(words.encode(&["b", "x", "a"]).unwrap(), [2, 0, 1]);
        assert_eq!(words.decode(&[2, 0, 1]).unwrap(), ["b", "<unk>", "a"]);
        assert_eq!(words.decode(&[3]).unwrap_err().to_string(), "token: expected a number less than 3, got 3");
        let closed = Vocabulary::build([["a"]], &Options { unknown: false, ..Options::default() }).unwrap();
        let error = closed.encode(&["x"]).unwrap_err().to_string();
        assert_eq!(error, "token: expected one of the 1 of the vocabulary, which has no <unk>, got 'x'");
    }

    #[test]
    fn it_is_written_as_a_list() {
        let words = Vocabulary::build([["a", "b"]], &Options::default()).unwrap();
        let text = serde_json::to_string(&words).unwrap();
        assert_eq!(text, r#"["<unk>","a","b"]"#);
        assert_eq!(serde_json::from_str::<Vocabulary>(&text).unwrap(), words);
        let twice = serde_json::from_str::<Vocabulary>(r#"["a","a"]"#).unwrap_err().to_string();
        assert!(twice.contains("got 'a' as number 0 and as number 1"), "{twice}");
        assert!(serde_json::from_str::<Vocabulary>("[]").is_err());
        assert_eq!(serde_json::to_string(&Unit::Words).unwrap(), "\"words\"");
    }

    #[test]
    fn limits_that_leave_nothing_are_told() {
        let options = Options { min_count: 3, max_size: Some(9), ..Options::default() };
        assert_eq!(
            Vocabulary::build([["a", "a"]], &options).unwrap_err().to_string(),
            "vocabulary: expected tokens that occur 3 times or more, and at most 9 tokens, got none beside the 1 special \
             ones; the commonest occurs 2 times"
        );
        assert!(Vocabulary::build::<[&str; 0], &str>([], &Options::default()).is_err());
    }
}
