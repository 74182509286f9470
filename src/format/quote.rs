//! Pieces of a file in a message: on one line, and as they are read.

/// The longest piece of a file that a message repeats, in characters.
const MAX_QUOTE: usize = 200;

/// Whether a terminal would show something else than the character: control characters move the cursor, and Unicode's
/// format characters (class Cf) turn text around (U+202E) or are not seen at all.
fn hides(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0001}'..='\u{e007f}')
}

/// The text on one line: what would move the cursor, turn the line around or not be seen is escaped.
pub(crate) fn visible(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if hides(c) { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}

/// A piece of a file, fit for one line of a message: nothing that moves the cursor, and an end.
pub(super) fn quote(text: &str) -> String {
    let mut chars = text.chars();
    let mut out = String::new();
    for c in chars.by_ref().take(MAX_QUOTE) {
        match c {
            '"' | '\'' => out.push(c),
            c if hides(c) && !c.is_control() => out.extend(c.escape_unicode()),
            _ => out.extend(c.escape_debug()),
        }
    }
    if chars.next().is_some() {
        out.push('…');
    }
    out
}

/// `A, B or C`.
pub(super) fn one_of(names: &[&str]) -> String {
    match names {
        [names @ .., last] if !names.is_empty() => format!("{} or {last}", names.join(", ")),
        _ => names.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_stays_on_its_line_and_in_its_direction() {
        for (text, expected) in [
            ("a\nb\u{1b}[31m", r"a\nb\u{1b}[31m"),
            ("abc\u{202e}txt.exe\u{2028}\u{200b}", r"abc\u{202e}txt.exe\u{2028}\u{200b}"),
            ("\u{2066}\u{2069}\u{ad}\u{feff}\u{61c}", r"\u{2066}\u{2069}\u{ad}\u{feff}\u{61c}"),
            ("größer, 重み, 🙂", "größer, 重み, 🙂"),
        ] {
            assert_eq!(visible(text), expected);
            assert_eq!(quote(text), expected);
        }
    }
}
