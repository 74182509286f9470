//! The header of a safetensors file as text. The crate `safetensors` parses it; what that leaves open is answered here:
//! how large its numbers are, which name stands twice, and which tensors' offsets collide.

use std::borrow::Cow;

/// The key of a header that is no tensor.
pub(super) const METADATA: &str = "__metadata__";

/// No size or offset of a file has more digits; sums of them fit 64 bits.
pub(super) const MAX_DIGITS: usize = 18;

/// What a JSON text has outside its strings (their quotes with it), each byte with its place.
fn structure(header: &[u8]) -> impl Iterator<Item = (usize, u8)> {
    let (mut inside, mut escaped) = (false, false);
    header.iter().copied().enumerate().filter(move |&(_, byte)| {
        let quote = byte == b'"' && !escaped;
        let outside = !inside || quote;
        escaped = inside && byte == b'\\' && !escaped;
        inside ^= quote;
        outside
    })
}

/// The largest whole number outside strings, 0 where there is none; `None` where one has more than [`MAX_DIGITS`].
pub(super) fn largest_number(header: &[u8]) -> Option<u64> {
    let (mut digits, mut number, mut largest) = (0, 0, 0);
    for (_, byte) in structure(header) {
        (digits, number) =
            if byte.is_ascii_digit() { (digits + 1, 10 * number + u64::from(byte - b'0')) } else { (0, 0) };
        if digits > MAX_DIGITS {
            return None;
        }
        largest = number.max(largest);
    }
    Some(largest)
}

/// A key of a JSON object, as it is spelled, or a whole number, and in how many brackets it stands.
enum JsonToken<'a> {
    Key(usize, &'a [u8]),
    Number(usize, u64),
}

/// Every key and every whole number of a valid header without numbers of more than [`MAX_DIGITS`].
fn tokens<'a>(header: &'a [u8], mut visit: impl FnMut(JsonToken<'a>)) {
    let (mut depth, mut quotes, mut number) = (0_usize, (0, 0), None);
    for (at, byte) in structure(header) {
        if let (Some(value), false) = (number, byte.is_ascii_digit()) {
            visit(JsonToken::Number(depth, value));
            number = None;
        }
        match byte {
            b'"' => quotes = (quotes.1, at),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b':' => visit(JsonToken::Key(depth, &header[quotes.0 + 1..quotes.1])),
            b'0'..=b'9' => number = Some(10 * number.unwrap_or(0) + u64::from(byte - b'0')),
            _ => {}
        }
    }
}

/// The name of a tensor, or the key of the metadata, that stands twice in a valid header of so many tensors and keys.
/// The crate takes the last of them without a word.
pub(super) fn twice(header: &[u8], tensors: usize, metadata: Option<usize>) -> Option<String> {
    let (mut names, mut keys, mut inside) = (Vec::new(), Vec::new(), false);
    tokens(header, |token| match token {
        JsonToken::Key(1, name) => {
            inside = unescaped(name) == METADATA;
            names.push(name);
        }
        JsonToken::Key(2, key) if inside => keys.push(key),
        _ => {}
    });
    // A `__metadata__` that is null is a key too.
    let with_metadata = metadata.is_some() || names.iter().any(|name| unescaped(name) == METADATA);
    if names.len() != tensors + usize::from(with_metadata) {
        return Some(repeated(names).unwrap_or_else(|| "a tensor".into()));
    }
    if keys.len() != metadata.unwrap_or(0) {
        return Some(format!("metadata key '{}'", repeated(keys).unwrap_or_default()));
    }
    None
}

fn repeated(keys: Vec<&[u8]>) -> Option<String> {
    let mut keys: Vec<_> = keys.into_iter().map(unescaped).collect();
    keys.sort_unstable();
    keys.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0].clone().into_owned())
}

/// The first tensor, in the order of offsets and names, that does not begin where the one before it ends, or that ends
/// before it begins. The crate's own choice among tensors of the same offsets changes from call to call.
pub(super) fn misplaced(header: &[u8]) -> Option<String> {
    let (mut tensors, mut at_offsets) = (Vec::<(Vec<u64>, &[u8])>::new(), false);
    tokens(header, |token| match token {
        JsonToken::Key(1, name) => tensors.push((Vec::new(), name)),
        JsonToken::Key(2, key) => at_offsets = key == b"data_offsets",
        JsonToken::Number(3, number) if at_offsets => {
            if let Some((offsets, _)) = tensors.last_mut() {
                offsets.push(number);
            }
        }
        _ => {}
    });
    let mut tensors: Vec<_> = tensors
        .into_iter()
        .filter_map(|(offsets, name)| Some((<[u64; 2]>::try_from(offsets).ok()?, unescaped(name))))
        .collect();
    tensors.sort_unstable();
    let mut end = 0;
    for ([from, to], name) in tensors {
        if from != end || to < from {
            return Some(name.into_owned());
        }
        end = to;
    }
    None
}

/// The text that a JSON string spells.
fn unescaped(string: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(string);
    if !text.contains('\\') {
        return text;
    }
    let mut units = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let escaped = if c == '\\' { chars.next() } else { None };
        let c = match escaped {
            None => c,
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => {
                let digits: String = chars.by_ref().take(4).collect();
                units.push(u16::from_str_radix(&digits, 16).unwrap_or(0xfffd));
                continue;
            }
            Some(other) => other,
        };
        units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
    }
    Cow::Owned(String::from_utf16_lossy(&units))
}

/// The text as a JSON string.
pub(super) fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            _ => out.push(c),
        }
    }
    out.push('"');
    out
}
