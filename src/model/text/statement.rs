//! A text cut into statements, before anything of it is understood.

use std::iter::Peekable;
use std::str::{Chars, FromStr};

use super::FLAGS;
use crate::error::{Error, Result};

/// Blocks may lie this deep in each other: more than any model needs, and less than exhausts the stack.
const MAX_DEPTH: usize = 32;

/// A kind, a name, settings, and perhaps statements in braces.
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) line: usize,
    pub(super) kind: String,
    pub(super) name: Option<String>,
    settings: Vec<String>,
    pub(super) block: Option<Vec<Statement>>,
}

/// What was expected in a line, and what came.
#[cold]
pub(super) fn refusal(line: usize, expected: &str, got: &str) -> Error {
    Error::setting(&format!("model, line {line}"), expected, format_args!("{got:?}"))
}

impl Statement {
    /// Takes the value of the setting `key=value`.
    pub(super) fn take(&mut self, key: &str) -> Result<Option<String>> {
        let mut found = None;
        let line = self.line;
        let mut twice = None;
        self.settings.retain(|setting| match setting.split_once('=') {
            Some((name, value)) if name == key => {
                if found.replace(value.to_string()).is_some() {
                    twice = Some(setting.clone());
                }
                false
            }
            _ => true,
        });
        match twice {
            Some(setting) => Err(refusal(line, &format!("{key}= once"), &setting)),
            None => Ok(found),
        }
    }

    /// Takes the setting's value as a number, or another that is spelled in a word.
    pub(super) fn parsed<T: FromStr>(&mut self, key: &str, what: &str) -> Result<Option<T>> {
        let Some(value) = self.take(key)? else { return Ok(None) };
        let parsed = value.parse().map_err(|_| refusal(self.line, &format!("{key}={what}"), &format!("{key}={value}")));
        parsed.map(Some)
    }

    /// Takes the setting's value as numbers with commas between them; none where the value is empty.
    pub(super) fn list<T: FromStr>(&mut self, key: &str) -> Result<Option<Vec<T>>> {
        let Some(value) = self.take(key)? else { return Ok(None) };
        if value.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let numbers = value.split(',').map(|number| number.trim().parse()).collect::<std::result::Result<_, _>>();
        let expected = || format!("{key}= and numbers with commas between them");
        numbers.map(Some).map_err(|_| refusal(self.line, &expected(), &format!("{key}={value}")))
    }

    /// Takes the setting that is one word.
    pub(super) fn flag(&mut self, flag: &str) -> bool {
        let before = self.settings.len();
        self.settings.retain(|setting| setting != flag);
        self.settings.len() < before
    }

    /// That every setting was taken.
    pub(super) fn end(&self) -> Result<()> {
        match self.settings.first() {
            Some(setting) => Err(refusal(self.line, &format!("a setting of {}", self.kind), setting)),
            None if self.block.is_some() => Err(refusal(self.line, &format!("no braces after {}", self.kind), "{")),
            None => Ok(()),
        }
    }
}

/// A piece of a text.
#[derive(Debug, PartialEq)]
enum Token {
    Word(String),
    Quoted(String),
    Open,
    Close,
    /// Of a statement.
    End,
}

/// The statements of a text.
pub(super) fn statements(text: &str) -> Result<Vec<Statement>> {
    let tokens = tokens(text)?;
    let mut tokens = tokens.into_iter().peekable();
    block(&mut tokens, 0)
}

fn block(tokens: &mut Peekable<std::vec::IntoIter<(usize, Token)>>, depth: usize) -> Result<Vec<Statement>> {
    let mut all: Vec<Statement> = Vec::new();
    // The statement that is being read.
    let mut now: Option<Statement> = None;
    let mut last = 1;
    while let Some((line, token)) = tokens.next() {
        last = line;
        match (token, &mut now) {
            (Token::End, _) => all.extend(now.take()),
            (Token::Close, _) if depth == 0 => return Err(refusal(line, "an opening brace before", "}")),
            (Token::Close, _) => {
                all.extend(now.take());
                return Ok(all);
            }
            (Token::Word(kind), None) => {
                now = Some(Statement { line, kind, name: None, settings: Vec::new(), block: None });
            }
            (Token::Word(word), Some(statement)) if statement.block.is_none() => {
                let first = statement.name.is_none() && statement.settings.is_empty();
                if first && !word.contains('=') && !FLAGS.contains(&&word[..]) {
                    statement.name = Some(word);
                } else {
                    statement.settings.push(word);
                }
            }
            (Token::Quoted(name), Some(statement))
                if statement.name.is_none() && statement.settings.is_empty() && statement.block.is_none() =>
            {
                statement.name = Some(name);
            }
            (Token::Open, Some(statement)) if statement.block.is_none() && depth < MAX_DEPTH => {
                statement.block = Some(block(tokens, depth + 1)?);
            }
            (Token::Open, Some(statement)) if statement.block.is_none() => {
                return Err(refusal(line, &format!("at most {MAX_DEPTH} braces in one another"), "{"));
            }
            (Token::Word(word) | Token::Quoted(word), _) => {
                return Err(refusal(line, "the end of the line, or a comma and a space, before another layer", &word));
            }
            (Token::Open, _) => return Err(refusal(line, "a layer before braces", "{")),
        }
    }
    if depth > 0 {
        return Err(refusal(last, "a closing brace", "the end"));
    }
    all.extend(now);
    Ok(all)
}

/// The words of a text, each with its line.
fn tokens(text: &str) -> Result<Vec<(usize, Token)>> {
    let mut tokens = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '#' => break,
                '{' => tokens.push((line, Token::Open)),
                '}' => tokens.push((line, Token::Close)),
                ';' | ',' => tokens.push((line, Token::End)),
                '"' => tokens.push((line, Token::Quoted(quoted(&mut chars, line)?))),
                c if c.is_whitespace() => {}
                _ => {
                    let mut word = String::from(c);
                    while let Some(&next) = chars.peek() {
                        if next.is_whitespace() || matches!(next, '{' | '}' | '"' | ';') {
                            break;
                        }
                        word.push(next);
                        chars.next();
                    }
                    // A comma before a space ends the statement, one in a list does not.
                    let ends = word.ends_with(',') && !word.ends_with("=,");
                    if ends {
                        word.pop();
                    }
                    tokens.push((line, Token::Word(word)));
                    if ends {
                        tokens.push((line, Token::End));
                    }
                }
            }
        }
        tokens.push((line, Token::End));
    }
    Ok(tokens)
}

/// What stands between quotes, the first of which is read.
fn quoted(chars: &mut Peekable<Chars<'_>>, line: usize) -> Result<String> {
    let mut name = String::new();
    let unfinished = |name: &str| refusal(line, "a closing quote in the same line", name);
    loop {
        match chars.next().ok_or_else(|| unfinished(&name))? {
            '"' => return Ok(name),
            '\\' => match chars.next().ok_or_else(|| unfinished(&name))? {
                'u' => {
                    let code: String = chars.by_ref().skip(1).take_while(|&c| c != '}').collect();
                    let c = u32::from_str_radix(&code, 16).ok().and_then(char::from_u32);
                    name.push(c.ok_or_else(|| refusal(line, "a character's number in \\u{…}", &code))?);
                }
                c => name.push(c),
            },
            c => name.push(c),
        }
    }
}
