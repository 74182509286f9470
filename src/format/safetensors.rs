//! The safetensors format: 8 bytes of header length, a JSON header, the tensors little-endian and without gaps.
//!
//! The crate `safetensors` reads the header; what it does not look at is checked here, and its words are put into a
//! user's.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::Path;

use safetensors::tensor::{SafeTensorError, SafeTensors};

use super::dtype::Dtype;
use super::foreign::{self, LOOK};
use super::header::{MAX_DIGITS, METADATA, json, largest_number, misplaced, twice};
use super::quote::quote;
use crate::error::{Error, Result, elements};

/// The bytes before the header: its length.
const LENGTH: usize = 8;

/// The longest header there may be; the crate's own limit, which it does not export.
const MAX_HEADER: usize = 100_000_000;

/// The most that is read of what does not say how much it has: more than any recurrent model, less than the memory of
/// a machine for models of that size.
const MAX_PIPE: u64 = 16 << 30;

/// A tensor of a header.
#[derive(Clone, Debug)]
pub(super) struct TensorEntry {
    pub(super) name: String,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    /// Where in the file its bytes are: as many as shape and type need.
    pub(super) range: Range<usize>,
}

/// What a valid header says.
#[derive(Clone, Debug)]
pub(super) struct Header {
    /// By name, each once.
    pub(super) tensors: Vec<TensorEntry>,
    /// By key.
    pub(super) metadata: Vec<(String, String)>,
}

/// A file's bytes and what they are. `most` is how many bytes of tensors are expected at most.
///
/// # Errors
/// [`Error::Io`] where the file cannot be read, [`Error::Format`] where it is not a whole safetensors file or too large.
pub(super) fn open(path: &Path, most: Option<usize>) -> Result<(Vec<u8>, Header)> {
    let read = FileContents::of(path, most)?;
    let header = parse(&read.contents, &read.end, &read.tail).map_err(|reason| Error::format(path, reason))?;
    Ok((read.contents, header))
}

/// What the bytes of a whole file say, or why they are none.
pub(super) fn header_of(contents: &[u8]) -> std::result::Result<Header, String> {
    parse(contents, &contents.len().to_string(), &contents[contents.len().saturating_sub(LOOK)..])
}

/// A file of these tensors and this metadata. The crate writes a metadata of more than one key in another order every
/// time, so the header is written here; where that does not matter, it is the crate's to the byte.
///
/// # Errors
/// [`Error::Setting`] where a name or a key comes twice, a tensor is called `__metadata__`, a size has more than 18
/// digits or the header more than 100 MB; [`Error::Overflow`], [`Error::Length`] where values do not fill their shape.
pub(super) fn encode(
    tensors: &[(&str, &[usize], &[f32])],
    metadata: impl IntoIterator<Item = (impl AsRef<str>, impl AsRef<str>)>,
) -> Result<Vec<u8>> {
    let mut tensors = tensors.to_vec();
    tensors.sort_unstable_by_key(|&(name, ..)| name);
    if let Some(pair) = tensors.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        let got = format_args!("'{}' twice", pair[0].0);
        return Err(Error::setting("parameter name", "one that is not taken", got));
    }
    let owned = |(key, value): (_, _)| (String::from(AsRef::as_ref(&key)), String::from(AsRef::as_ref(&value)));
    let mut metadata: Vec<_> = metadata.into_iter().map(owned).collect();
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

/// What was read of a file.
struct FileContents {
    /// No further than one byte behind the tensors of the header.
    contents: Vec<u8>,
    /// How many bytes the whole file has, for a message.
    end: String,
    /// The file's last bytes, of one that is no safetensors file.
    tail: Vec<u8>,
}

impl FileContents {
    /// Reads as far as the header says that the file goes. No offset is larger than the largest number of the header,
    /// whatever else is wrong with it: a terabyte of zeros is not read to be told that it is no safetensors file.
    fn of(path: &Path, most: Option<usize>) -> Result<Self> {
        let failed = |error| Error::io("read", path, error);
        let mut file = File::open(path).map_err(failed)?;
        let there = file.metadata().map_err(failed)?;
        let mut contents = Vec::new();
        let mut read_to = |contents: &mut Vec<u8>, end: u64| {
            file.by_ref().take(end.saturating_sub(contents.len() as u64)).read_to_end(contents).map_err(failed)
        };

        read_to(&mut contents, LENGTH as u64 + 1)?;
        let Some(length) = plausible(&contents) else {
            read_to(&mut contents, LOOK as u64)?;
            let tail = tail(&mut file, there.is_file()).map_err(failed)?;
            let end = contents.len().to_string();
            return Ok(Self { contents, end, tail });
        };
        read_to(&mut contents, LENGTH as u64 + length)?;
        let whole = |contents: Vec<u8>| {
            let end = contents.len().to_string();
            Ok(Self { contents, end, tail: Vec::new() })
        };
        let Some(number) = largest_number(&contents[LENGTH..]) else { return whole(contents) };
        let most = most.map(|most| most as u64).filter(|&most| most < number);
        let mut limit = contents.len() as u64 + most.unwrap_or(number);
        if there.is_file() {
            let left = there.len().min(limit + 1).saturating_sub(contents.len() as u64);
            contents.try_reserve_exact(left.try_into().unwrap_or(usize::MAX)).map_err(|error| failed(error.into()))?;
        } else {
            limit = limit.min(MAX_PIPE);
        }
        read_to(&mut contents, limit + 1)?;
        if contents.len() as u64 > limit
            && let Some(most) = most
        {
            let reason = format!("too large: more than {most} bytes of tensors, and this model's have no more");
            return Err(Error::format(path, reason));
        }
        match contents.len() as u64 {
            len if len <= limit => whole(contents),
            _ if there.is_file() => Ok(Self { contents, end: there.len().to_string(), tail: Vec::new() }),
            _ if limit < MAX_PIPE => Ok(Self { contents, end: format!("{} or later", limit + 1), tail: Vec::new() }),
            _ => {
                let reason =
                    format!("too large: more than {MAX_PIPE} bytes, no more are read of what is no regular file");
                Err(Error::format(path, reason))
            }
        }
    }
}

/// The length of the header, where these first bytes can be those of a safetensors file: no other kind of file has an
/// opening brace after eight bytes that are a small number.
fn plausible(contents: &[u8]) -> Option<u64> {
    let length = u64::from_le_bytes(*contents.first_chunk()?);
    (length <= MAX_HEADER as u64 && contents.get(LENGTH) == Some(&b'{')).then_some(length)
}

/// The last bytes of a regular file.
fn tail(file: &mut File, regular: bool) -> std::io::Result<Vec<u8>> {
    let mut tail = Vec::new();
    if regular {
        let end = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(end.saturating_sub(LOOK as u64)))?;
        file.take(LOOK as u64).read_to_end(&mut tail)?;
    }
    Ok(tail)
}

/// What the file says, or why it is no safetensors file. `end` is how many bytes it has, `tail` its last bytes where it
/// was not read to its end.
fn parse(contents: &[u8], end: &str, tail: &[u8]) -> std::result::Result<Header, String> {
    if plausible(contents).is_none()
        && let Some(kind) = foreign::kind(&contents[..contents.len().min(LOOK)], tail)
    {
        return Err(format!("not a safetensors file: {kind}"));
    }
    let Some((length, rest)) = contents.split_first_chunk::<LENGTH>() else {
        return Err(match contents.len() {
            0 => "the file is empty".into(),
            len => format!("truncated: the file has {len} bytes, the length of the header alone has {LENGTH}"),
        });
    };
    let length = u64::from_le_bytes(*length);
    if length > MAX_HEADER as u64 && rest.first() != Some(&b'{') {
        return Err("not a safetensors file: binary data of an unknown kind".into());
    }
    if length > MAX_HEADER as u64 {
        return Err(format!(
            "not a safetensors file: its first {LENGTH} bytes say that the header has {length} bytes, \
             expected at most {MAX_HEADER}"
        ));
    }
    if let Some(first) = rest.first().filter(|&&first| first != b'{') {
        let first = quote(&char::from(*first).to_string());
        return Err(format!("the header is not the JSON of a safetensors file: expected '{{' first, got '{first}'"));
    }
    let Some(header) = rest.get(..length as usize) else {
        return Err(format!("truncated: header says {length} bytes, file has {} after its length", rest.len()));
    };
    // The crate adds the offsets up unchecked.
    if largest_number(header).is_none() {
        return Err(format!("the header has a size or an offset of more than {MAX_DIGITS} digits"));
    }
    let data = LENGTH + header.len();
    let (_, found) = SafeTensors::read_metadata(contents).map_err(|error| refusal(error, header, end))?;
    let infos = found.tensors();
    if let Some(name) = twice(header, infos.len(), found.metadata().as_ref().map(|metadata| metadata.len())) {
        return Err(format!("{}: twice in the header", quote(&name)));
    }

    let tensor = |(name, info): (String, &safetensors::tensor::TensorInfo)| {
        let (start, end) = info.data_offsets;
        let Some(dtype) = Dtype::named(&info.dtype.to_string()) else {
            return Err(format!("{}: elements of the unknown type {}", quote(&name), info.dtype));
        };
        Ok(TensorEntry { name, dtype, shape: info.shape.clone(), range: data + start..data + end })
    };
    let mut tensors = infos.into_iter().map(tensor).collect::<std::result::Result<Vec<_>, _>>()?;
    tensors.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let mut metadata: Vec<_> = found.metadata().clone().into_iter().flatten().collect();
    metadata.sort_unstable();
    Ok(Header { tensors, metadata })
}

/// The crate's refusal of a header in a user's words.
#[cold]
fn refusal(error: SafeTensorError, header: &[u8], end: &str) -> String {
    match error {
        SafeTensorError::InvalidHeader(error) => format!("the header is not UTF-8: {error}"),
        SafeTensorError::InvalidHeaderDeserialization(error) => {
            format!("the header is not the JSON of a safetensors file: {}", quote(&error.to_string()))
        }
        SafeTensorError::InvalidOffset(name) => {
            let name = misplaced(header).unwrap_or(name);
            format!("{}: its data_offsets overlap others, leave a hole before them, or run backwards", quote(&name))
        }
        SafeTensorError::TensorInvalidInfo => "a tensor's data_offsets do not fit its shape and type".into(),
        SafeTensorError::ValidationOverflow => "a tensor's shape has more elements than memory can address".into(),
        SafeTensorError::MetadataIncompleteBuffer => format!(
            "truncated, or with something appended: the tensors of its header do not end where the file does, \
             at byte {end}"
        ),
        error => quote(&error.to_string()),
    }
}
