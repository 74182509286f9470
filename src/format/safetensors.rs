//! The safetensors format: 8 bytes of header length, a JSON header, the tensors little-endian and without gaps.
//!
//! The crate `safetensors` reads the header; what it does not look at is checked here, and its words are put into a
//! user's.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::ops::Range;
use std::path::Path;

use safetensors::tensor::{SafeTensorError, SafeTensors};

use crate::error::{Error, Result, elements};

/// The bytes before the header: its length.
const LENGTH: usize = 8;

/// The longest header there may be; the crate's own limit, which it does not export.
const MAX_HEADER: usize = 100_000_000;

/// The most that is read of what does not say how much it has: more than any recurrent model, less than the memory of
/// a machine for models of that size.
const MAX_PIPE: u64 = 16 << 30;

/// The key of a header that is no tensor.
const METADATA: &str = "__metadata__";

/// No size or offset of a file has more digits; sums of them fit 64 bits.
const MAX_DIGITS: usize = 18;

/// The longest piece of a file that a message repeats, in characters.
const MAX_QUOTE: usize = 200;

/// A tensor of a header.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    /// As the format spells it.
    pub(super) dtype: String,
    pub(super) shape: Vec<usize>,
    /// Where in the file its bytes are: as many as shape and type need.
    pub(super) range: Range<usize>,
}

/// What a valid header says.
#[derive(Clone, Debug)]
pub(super) struct Header {
    /// By name, each once.
    pub(super) tensors: Vec<Entry>,
    /// By key.
    pub(super) metadata: Vec<(String, String)>,
}

/// A file's bytes and what they are. `model` is how many bytes the tensors have that are expected; without it a file
/// is read as far as its own header says.
///
/// # Errors
/// [`Error::Io`] where the file cannot be read, [`Error::Format`] where it is not a whole safetensors file or too large.
pub(super) fn open(path: &Path, model: Option<usize>) -> Result<(Vec<u8>, Header)> {
    let (contents, end) = match model {
        Some(data) => read_model(path, data)?,
        None => read_any(path)?,
    };
    let header = parse(&contents, &end, model).map_err(|reason| Error::format(path, reason))?;
    Ok((contents, header))
}

/// A file of these tensors and this metadata. The crate writes a metadata of more than one key in another order every
/// time, so the header is written here; where that does not matter, it is the crate's to the byte.
///
/// # Errors
/// [`Error::Setting`] where a name or a key comes twice, a tensor is called `__metadata__`, a size has more than 18
/// digits or the header more than 100 MB; [`Error::Overflow`], [`Error::Length`] where values do not fill their shape.
pub(super) fn encode(tensors: &[(&str, &[usize], &[f32])], metadata: &[(&str, String)]) -> Result<Vec<u8>> {
    let mut tensors = tensors.to_vec();
    tensors.sort_unstable_by_key(|&(name, ..)| name);
    if let Some(pair) = tensors.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        let got = format_args!("'{}' twice", pair[0].0);
        return Err(Error::setting("parameter name", "one that is not taken", got));
    }
    let mut metadata: Vec<_> = metadata.iter().collect();
    metadata.sort_unstable();
    if let Some(pair) = metadata.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        let got = format_args!("'{}' twice", pair[0].0);
        return Err(Error::setting("metadata key", "one that is not taken", got));
    }

    let mut entries = Vec::new();
    if !metadata.is_empty() {
        let pairs: Vec<_> = metadata.iter().map(|(key, value)| format!("{}:{}", json(key), json(value))).collect();
        entries.push(format!("{}:{{{}}}", json(METADATA), pairs.join(",")));
    }
    let mut end = 0;
    for &(name, shape, values) in &tensors {
        if name == METADATA {
            return Err(Error::setting("parameter name", "one that the format does not use itself", METADATA));
        }
        if elements(name, shape)? != values.len() {
            return Err(Error::length(name, shape, values.len()));
        }
        // With a 0 among them, sizes can be any; not every reader takes them.
        if shape.iter().any(|&size| size as u64 >= 10_u64.pow(MAX_DIGITS as u32)) {
            return Err(Error::setting(name, "sizes of at most 18 digits", format_args!("{shape:?}")));
        }
        let start = end;
        end += size_of_val(values);
        let shape = shape.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
        let entry = format!(r#"{}:{{"dtype":"F32","shape":[{shape}],"data_offsets":[{start},{end}]}}"#, json(name));
        entries.push(entry);
    }
    let mut header = format!("{{{}}}", entries.join(","));
    // The data starts at a multiple of 8, as the format asks of writers.
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(LENGTH) - header.len()));
    if header.len() > MAX_HEADER {
        let got = format_args!("{} bytes", header.len());
        return Err(Error::setting("header of names and metadata", "at most 100000000 bytes", got));
    }

    let mut contents = Vec::with_capacity(LENGTH + header.len() + end);
    contents.extend((header.len() as u64).to_le_bytes());
    contents.extend(header.bytes());
    for (.., values) in tensors {
        contents.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }
    Ok(contents)
}

/// The text as a JSON string.
fn json(text: &str) -> String {
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
            '\0'..' ' => write!(out, "\\u{:04x}", u32::from(c)).expect("a String takes everything"),
            _ => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The file's bytes, where they are no more than a file with `data` bytes of tensors can have, and how many they are. A
/// regular file says how many it has before any is read; a pipe is read up to that.
fn read_model(path: &Path, data: usize) -> Result<(Vec<u8>, String)> {
    let failed = |error| Error::io("read", path, error);
    let limit = (LENGTH + MAX_HEADER).saturating_add(data) as u64;
    let too_large = |has: &str| {
        let reason = format!("too large: {has} bytes, a file of this model's tensors has at most {limit}");
        Error::format(path, reason)
    };
    let file = File::open(path).map_err(failed)?;
    let len = file.metadata().map_err(failed)?.len();
    if len > limit {
        return Err(too_large(&len.to_string()));
    }
    let mut contents = Vec::new();
    contents.try_reserve_exact(len as usize).map_err(|error| failed(error.into()))?;
    file.take(limit + 1).read_to_end(&mut contents).map_err(failed)?;
    if contents.len() as u64 > limit {
        return Err(too_large(&format!("more than {limit}")));
    }
    let end = contents.len().to_string();
    Ok((contents, end))
}

/// The file's bytes, no further than one behind those of its header's tensors, and how many the whole file has. No
/// offset is larger than the largest number of the header, whatever else is wrong with it: a terabyte of zeros is not
/// read to be told that it is no safetensors file.
fn read_any(path: &Path) -> Result<(Vec<u8>, String)> {
    let failed = |error| Error::io("read", path, error);
    let mut file = File::open(path).map_err(failed)?;
    let there = file.metadata().map_err(failed)?;
    let mut contents = Vec::new();
    let mut read_to = |contents: &mut Vec<u8>, end: u64| {
        file.by_ref().take(end - contents.len() as u64).read_to_end(contents).map_err(failed)
    };
    let whole = |contents: Vec<u8>| {
        let end = contents.len().to_string();
        Ok((contents, end))
    };

    read_to(&mut contents, LENGTH as u64)?;
    let Some(length) = contents.first_chunk().map(|&length| u64::from_le_bytes(length)) else { return whole(contents) };
    if length > MAX_HEADER as u64 {
        return whole(contents);
    }
    read_to(&mut contents, LENGTH as u64 + length)?;
    let Some(number) = largest_number(&contents[LENGTH..]) else { return whole(contents) };

    let mut limit = contents.len() as u64 + number;
    if there.is_file() {
        let left = there.len().min(limit + 1).saturating_sub(contents.len() as u64);
        contents.try_reserve_exact(left.try_into().unwrap_or(usize::MAX)).map_err(|error| failed(error.into()))?;
    } else {
        limit = limit.min(MAX_PIPE);
    }
    read_to(&mut contents, limit + 1)?;
    match contents.len() as u64 {
        len if len <= limit => whole(contents),
        _ if there.is_file() => Ok((contents, there.len().to_string())),
        _ if limit < MAX_PIPE => Ok((contents, format!("{} or later", limit + 1))),
        _ => {
            let reason = format!("too large: more than {MAX_PIPE} bytes, no more are read of what is no regular file");
            Err(Error::format(path, reason))
        }
    }
}

/// What the file says, or why it is no safetensors file. `end` is how many bytes it has, `model` how many the tensors
/// that are expected.
fn parse(contents: &[u8], end: &str, model: Option<usize>) -> std::result::Result<Header, String> {
    let Some((length, rest)) = contents.split_first_chunk::<LENGTH>() else {
        return Err(match contents.len() {
            0 => "the file is empty".into(),
            len => format!("truncated: the file has {len} bytes, the length of the header alone has {LENGTH}"),
        });
    };
    if contents.starts_with(b"PK\x03\x04") {
        return Err("not a safetensors file but one of torch.save; expected one of safetensors.torch.save_file".into());
    }
    let length = u64::from_le_bytes(*length);
    if length > MAX_HEADER as u64 {
        return Err(format!(
            "not a safetensors file: its first {LENGTH} bytes say that the header has {length} bytes, \
             expected at most {MAX_HEADER}"
        ));
    }
    let Some(header) = rest.get(..length as usize) else {
        return Err(format!("truncated: header says {length} bytes, file has {} after its length", rest.len()));
    };
    // The crate adds the offsets up unchecked.
    if largest_number(header).is_none() {
        return Err(format!("the header has a size or an offset of more than {MAX_DIGITS} digits"));
    }
    let data = LENGTH + header.len();
    let (_, found) = SafeTensors::read_metadata(contents).map_err(|error| match error {
        SafeTensorError::InvalidHeader(error) => format!("the header is not UTF-8: {error}"),
        SafeTensorError::InvalidHeaderDeserialization(error) => {
            format!("the header is not the JSON of a safetensors file: {}", quote(&error.to_string()))
        }
        SafeTensorError::InvalidOffset(name) => {
            format!("{}: its data_offsets overlap others, leave a hole before them, or run backwards", quote(&name))
        }
        SafeTensorError::TensorInvalidInfo => "a tensor's data_offsets do not fit its shape and type".into(),
        SafeTensorError::ValidationOverflow => "a tensor's shape has more elements than memory can address".into(),
        SafeTensorError::MetadataIncompleteBuffer => {
            let model = model.map(|model| format!(" (this model's would at byte {})", data + model));
            format!(
                "truncated, or with something appended: the tensors of its header do not end where the file does, \
                 at byte {end}{}",
                model.unwrap_or_default()
            )
        }
        error => quote(&error.to_string()),
    })?;
    let infos = found.tensors();
    // The crate takes the last of two tensors of one name; the format has no such thing.
    let mut keys = keys(header);
    let with_metadata = found.metadata().is_some() || keys.contains(&METADATA.as_bytes());
    if keys.len() != infos.len() + usize::from(with_metadata) {
        keys.sort_unstable();
        let twice = keys.windows(2).find(|pair| pair[0] == pair[1]).map_or(&b"a tensor"[..], |pair| pair[0]);
        return Err(format!("{}: twice in the header", quote(&String::from_utf8_lossy(twice))));
    }

    let tensor = |(name, info): (String, &safetensors::tensor::TensorInfo)| {
        let (start, end) = info.data_offsets;
        let (dtype, shape) = (info.dtype.to_string(), info.shape.clone());
        Entry { name, dtype, shape, range: data + start..data + end }
    };
    let mut tensors: Vec<_> = infos.into_iter().map(tensor).collect();
    tensors.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let mut metadata: Vec<_> = found.metadata().clone().into_iter().flatten().collect();
    metadata.sort_unstable();
    Ok(Header { tensors, metadata })
}

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
fn largest_number(header: &[u8]) -> Option<u64> {
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

/// Every key of the outer object of a header that is valid JSON, as it is spelled.
fn keys(header: &[u8]) -> Vec<&[u8]> {
    let mut keys = Vec::new();
    let (mut depth, mut quotes) = (0_usize, (0, 0));
    for (at, byte) in structure(header) {
        match byte {
            b'"' => quotes = (quotes.1, at),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            b':' if depth == 1 => keys.push(&header[quotes.0 + 1..quotes.1]),
            _ => {}
        }
    }
    keys
}

/// A piece of a file, fit for one line of a message: nothing that moves the cursor, and an end.
pub(super) fn quote(text: &str) -> String {
    let mut chars = text.chars();
    let mut out = String::new();
    for c in chars.by_ref().take(MAX_QUOTE) {
        match c {
            '"' | '\'' => out.push(c),
            _ => out.extend(c.escape_debug()),
        }
    }
    if chars.next().is_some() {
        out.push('…');
    }
    out
}
