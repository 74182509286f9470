//! The safetensors format: 8 bytes of header length, a JSON header, the tensors little-endian and without gaps.
//!
//! Reading is strict: the file holds exactly the model's tensors, or nothing is loaded. The crate `safetensors` reads
//! the header; what it does not look at is checked here, and its words are put into a user's.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorView};

use super::write_atomic;
use crate::error::{Error, Result};
use crate::params::Params;

/// The bytes before the header: its length.
const LENGTH: usize = 8;

/// The longest header there may be; the crate's own limit, which it does not export.
const MAX_HEADER: usize = 100_000_000;

/// The key of a header that is no tensor.
const METADATA: &str = "__metadata__";

/// No size or offset of a file has more digits; sums of them fit 64 bits.
const MAX_DIGITS: usize = 18;

/// The longest piece of a file that a message repeats, in characters.
const MAX_QUOTE: usize = 200;

/// Writes the parameters to a safetensors file, under the names of their table; PyTorch reads it.
///
/// The same parameters and metadata (in whatever order) give the same bytes. The file appears whole or not at all.
///
/// # Errors
/// [`Error::Setting`] where a key of the metadata comes twice, a tensor is called `__metadata__`, or the header is
/// longer than 100 MB; [`Error::Io`] as of [`write_atomic`].
pub fn save(path: &Path, params: &Params, metadata: &[(&str, String)]) -> Result<()> {
    write_atomic(path, &encode(params, metadata)?)
}

/// Reads the parameters from a safetensors file that holds exactly them: every tensor of the table under its name, in
/// its shape, as F32, and no other.
///
/// # Errors
/// [`Error::Io`] where the file cannot be read, [`Error::Format`] where it is not a whole safetensors file or larger
/// than one of these parameters can be, [`Error::Weights`] with every tensor that does not fit. `params` are then as
/// they were.
pub fn load(path: &Path, params: &mut Params) -> Result<()> {
    let contents = read(path, size_of_val(params.data()))?;
    let file = parse(&contents, size_of_val(params.data())).map_err(|reason| Error::format(path, reason))?;
    let tensors =
        matched(&file, params).map_err(|problems| Error::Weights { path: Some(path.to_path_buf()), problems })?;
    // The table's order is the buffer's.
    let values = tensors.iter().flat_map(|tensor| tensor.as_chunks::<4>().0);
    for (to, &from) in params.data_mut().iter_mut().zip(values) {
        *to = f32::from_le_bytes(from);
    }
    Ok(())
}

/// The file's bytes. The crate writes a metadata of more than one key in another order every time, so the header is
/// written here; where that does not matter, it is the crate's to the byte.
fn encode(params: &Params, metadata: &[(&str, String)]) -> Result<Vec<u8>> {
    let mut tensors: Vec<_> = params.iter().collect();
    tensors.sort_unstable_by_key(|&(name, ..)| name);
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
    for (name, shape, values) in &tensors {
        if *name == METADATA {
            return Err(Error::setting("parameter name", "one that the format does not use itself", METADATA));
        }
        let start = end;
        end += size_of_val(*values);
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

/// The file's bytes, where they are no more than a file with `data` bytes of tensors can have. A regular file says
/// how many it has before any is read; a pipe is read up to that.
fn read(path: &Path, data: usize) -> Result<Vec<u8>> {
    let failed = |error| Error::io("read", path, &error);
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
    Ok(contents)
}

/// The file's tensors, or why it is no safetensors file. `data` is how many bytes the model's tensors have.
fn parse(contents: &[u8], data: usize) -> std::result::Result<SafeTensors<'_>, String> {
    let len = contents.len();
    let Some((length, rest)) = contents.split_first_chunk::<LENGTH>() else {
        return Err(match len {
            0 => "the file is empty".into(),
            _ => format!("truncated: the file has {len} bytes, the length of the header alone has {LENGTH}"),
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
    if longest_number(header) > MAX_DIGITS {
        return Err(format!("the header has a size or an offset of more than {MAX_DIGITS} digits"));
    }
    let file = SafeTensors::deserialize(contents).map_err(|error| {
        let tensors_end = LENGTH + header.len() + data;
        match error {
            SafeTensorError::InvalidHeader(error) => format!("the header is not UTF-8: {error}"),
            SafeTensorError::InvalidHeaderDeserialization(error) => {
                format!("the header is not the JSON of a safetensors file: {}", quote(&error.to_string()))
            }
            SafeTensorError::InvalidOffset(name) => {
                format!("{}: its data_offsets overlap others, leave a hole before them, or run backwards", quote(&name))
            }
            SafeTensorError::TensorInvalidInfo => "a tensor's data_offsets do not fit its shape and type".into(),
            SafeTensorError::ValidationOverflow => "a tensor's shape has more elements than memory can address".into(),
            SafeTensorError::MetadataIncompleteBuffer => format!(
                "truncated, or with something appended: the tensors of its header do not end where the file does, \
                 at byte {len} (this model's would at byte {tensors_end})"
            ),
            error => quote(&error.to_string()),
        }
    })?;
    // The crate takes the last of two tensors of one name; the format has no such thing.
    let mut keys = keys(header);
    if keys.len() != file.len() + usize::from(keys.contains(&METADATA.as_bytes())) {
        keys.sort_unstable();
        let twice = keys.windows(2).find(|pair| pair[0] == pair[1]).map_or(&b"a tensor"[..], |pair| pair[0]);
        return Err(format!("{}: twice in the header", quote(&String::from_utf8_lossy(twice))));
    }
    Ok(file)
}

/// The bytes of every tensor in the table's order, or one text for every tensor that does not fit.
fn matched<'a>(file: &SafeTensors<'a>, params: &Params) -> std::result::Result<Vec<&'a [u8]>, Vec<String>> {
    let (mut tensors, mut problems) = (Vec::new(), Vec::new());
    for (name, expected, _) in params.iter() {
        match file.tensor(name) {
            Ok(tensor) => match misfit(expected, &tensor) {
                None => tensors.push(tensor.data()),
                Some(misfit) => problems.push(format!("{name}: {misfit}")),
            },
            Err(_) => problems.push(format!("{name}: missing, expected {expected:?}")),
        }
    }
    let mut unused = file.names();
    unused.retain(|name| params.named(name).is_err());
    unused.sort_unstable();
    problems.extend(unused.into_iter().map(|name| format!("{}: unused, the model has no such tensor", quote(name))));
    if problems.is_empty() { Ok(tensors) } else { Err(problems) }
}

/// How the tensor is not the F32 of that shape that was expected.
fn misfit(expected: &[usize], got: &TensorView<'_>) -> Option<String> {
    let (dtype, shape) = (got.dtype(), quote(&format!("{:?}", got.shape())));
    match (dtype == Dtype::F32, got.shape() == expected) {
        (true, true) => None,
        (true, false) => Some(format!("expected {expected:?}, got {shape}")),
        (false, true) => Some(format!("expected F32, got {dtype}")),
        (false, false) => Some(format!("expected F32 {expected:?}, got {dtype} {shape}")),
    }
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

/// The most digits that stand together outside strings.
fn longest_number(header: &[u8]) -> usize {
    let (mut run, mut longest) = (0, 0);
    for (_, byte) in structure(header) {
        run = if byte.is_ascii_digit() { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
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
fn quote(text: &str) -> String {
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
