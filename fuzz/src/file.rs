//! Bytes as a safetensors file: arbitrary ones, or those of a valid file mutated.

use std::path::{Path, PathBuf};
use std::process;
use std::sync::OnceLock;

use libfuzzer_sys::arbitrary::{self, Arbitrary, Result, Unstructured};

use crate::{Size, Within};

/// A model: names and shapes.
pub type Table = &'static [(&'static str, &'static [usize])];

/// The bytes of a model file, in its three parts.
#[derive(Clone, Debug)]
pub struct File {
    /// What the first eight bytes say, if not the header's length.
    length: Option<u64>,
    header: Vec<u8>,
    data: Vec<u8>,
}

impl File {
    /// One with that header, its length before it, and that data behind it.
    #[must_use]
    pub fn of(header: Vec<u8>, data: Vec<u8>) -> Self {
        Self { length: None, header, data }
    }

    /// The parts of a file that is whole.
    ///
    /// # Panics
    /// Of one that is not.
    #[must_use]
    pub fn split(bytes: &[u8]) -> Self {
        let (length, rest) = bytes.split_first_chunk().unwrap();
        let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
        Self::of(header.into(), data.into())
    }

    /// The whole.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let length = self.length.unwrap_or(self.header.len() as u64);
        [&length.to_le_bytes()[..], &self.header, &self.data].concat()
    }
}

/// The bytes of a file that the rest of an input makes of a table's names and of two valid files.
///
/// # Errors
/// Where the input ends too early.
pub fn bytes_of(mut u: Unstructured<'_>, table: Table, valid: &[File; 2]) -> Result<Vec<u8>> {
    Ok(match u.arbitrary()? {
        Mode::Raw => u.take_rest().to_vec(),
        Mode::Header { data } => {
            let data = (0..data).collect();
            File::of(u.take_rest().to_vec(), data).bytes()
        }
        Mode::Mutated { other } => {
            let mut file = valid[usize::from(other)].clone();
            while !u.is_empty() {
                u.arbitrary::<Mutation>()?.apply(&mut file);
            }
            file.bytes()
        }
        Mode::Entries { data } => {
            let (mut entries, mut end) = (Vec::new(), 0);
            while !u.is_empty() {
                end = u.arbitrary::<Entry>()?.append(&mut entries, table, end);
            }
            let header = format!("{{{}}}", entries.join(",")).into_bytes();
            // As much as the header says, or some less or more.
            let data = vec![0x40; usize::try_from(end.min(4096)).unwrap().saturating_add_signed(data.into())];
            File::of(header, data).bytes()
        }
    })
}

/// This process's file, written over and over. Quickest where TMPDIR is in memory.
#[must_use]
pub fn path() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| std::env::temp_dir().join(format!("elman-fuzz-{}.safetensors", process::id())))
}

/// How the bytes of an input become a file.
#[derive(Arbitrary, Debug)]
enum Mode {
    /// They are the file.
    Raw,
    /// They are a header, whose length goes before it, and so many bytes of data behind it.
    Header { data: u8 },
    /// They say what is done to a file that was valid, one of two.
    Mutated { other: bool },
    /// They are the entries of a header that is JSON of the right form.
    Entries { data: i8 },
}

/// A tensor in a header: what of it is not the table's.
#[derive(Arbitrary, Debug)]
struct Entry {
    /// Of the table; or others, `times` of them.
    name: u8,
    times: Within<1, 9>,
    dtype: Option<u8>,
    shape: Option<Vec<Size>>,
    /// Honest ones go on where the tensor before ended.
    offsets: Option<[Size; 2]>,
}

const DTYPES: [(&str, u64); 12] = [
    ("F32", 4),
    ("U32", 4),
    ("I32", 4),
    ("F16", 2),
    ("F64", 8),
    ("U8", 1),
    ("BOOL", 1),
    ("F8_E8M0", 1),
    ("BF16", 2),
    ("I64", 8),
    ("I8", 1),
    ("U64", 8),
];

impl Entry {
    /// Appends the entry to those there are, and says where it ends.
    fn append(&self, entries: &mut Vec<String>, table: Table, mut begin: u64) -> u64 {
        let known = table.get(usize::from(self.name) % (table.len() + 1));
        let (dtype, bytes) = DTYPES[usize::from(self.dtype.unwrap_or(0)) % DTYPES.len()];
        let shape = match &self.shape {
            None => known.map_or(&[2][..], |(_, shape)| shape).iter().map(|&size| size as u64).collect(),
            Some(sizes) => sizes.iter().take(4).map(|size| size.get()).collect::<Vec<_>>(),
        };
        let len = shape.iter().fold(bytes, |n, &size| n.wrapping_mul(size));
        for _ in 0..known.map_or(self.times.get(), |_| 1) {
            let name = known.map_or_else(|| entries.len().to_string(), |(name, _)| (*name).into());
            let name = serde_json::to_string(&name).unwrap();
            let end;
            [begin, end] = self.offsets.map_or([begin, begin.wrapping_add(len)], |offsets| offsets.map(Size::get));
            entries.push(format!(r#"{name}:{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{begin},{end}]}}"#));
            begin = end;
        }
        begin
    }
}

/// One change of a file. `at` is a place in the header, counted round and round. `Splice` puts in a piece of JSON,
/// `Repeat` copies some bytes of the header, `Number` replaces the digits at `at` or the first behind it, and `Escape`
/// spells a character as JSON's `\uXXXX`.
#[derive(Arbitrary, Debug)]
enum Mutation {
    Flip { at: u16, bit: u8 },
    Set { at: u16, to: u8 },
    Insert { at: u16, byte: u8 },
    Splice { at: u16, piece: u8 },
    Remove { at: u16, len: u8 },
    Repeat { from: u16, len: u8, at: u16 },
    Number { at: u16, to: u64 },
    Escape { at: u16 },
    Length { to: u64 },
    FlipData { at: u16, bit: u8 },
    ResizeData { by: i8 },
}

const PIECES: [&[u8]; 16] = [
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"null",
    b"\"__metadata__\":{},",
    b"\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},",
    b"\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]},",
    b"\"z\":[\"F32\",[0],[0,0]],",
    b"\"shape\":[1],",
    b"-1e9",
    b"\"F16\"",
];

impl Mutation {
    fn apply(&self, file: &mut File) {
        let File { length, header, data } = file;
        let place = |at: u16, len: usize| usize::from(at) % len.max(1);
        let n = header.len();
        match *self {
            Mutation::Flip { at, bit } if n > 0 => header[place(at, n)] ^= 1 << (bit % 8),
            Mutation::Set { at, to } if n > 0 => header[place(at, n)] = to,
            Mutation::Insert { at, byte } => header.insert(place(at, n + 1), byte),
            Mutation::Splice { at, piece } => {
                let (at, piece) = (place(at, n + 1), PIECES[usize::from(piece) % PIECES.len()]);
                header.splice(at..at, piece.iter().copied());
            }
            Mutation::Remove { at, len } => {
                let at = place(at, n);
                header.drain(at..(at + usize::from(len)).min(n));
            }
            // Not without end: a few of these in a row would double it each time.
            Mutation::Repeat { from, len, at } if n < 4096 => {
                let (from, at) = (place(from, n), place(at, n + 1));
                let piece = header[from..(from + usize::from(len)).min(n)].to_vec();
                header.splice(at..at, piece);
            }
            Mutation::Number { at, to } => {
                let Some(begin) = (place(at, n)..n).find(|&i| header[i].is_ascii_digit()) else { return };
                let end = (begin..n).find(|&i| !header[i].is_ascii_digit()).unwrap_or(n);
                header.splice(begin..end, to.to_string().into_bytes());
            }
            Mutation::Escape { at } if n > 0 && header[place(at, n)].is_ascii() => {
                let at = place(at, n);
                let spelled = format!("\\u{:04x}", header[at]);
                header.splice(at..=at, spelled.into_bytes());
            }
            Mutation::Length { to } => *length = Some(to),
            Mutation::FlipData { at, bit } if !data.is_empty() => {
                let at = place(at, data.len());
                data[at] ^= 1 << (bit % 8);
            }
            Mutation::ResizeData { by } => data.resize(data.len().saturating_add_signed(by.into()), 0x40),
            _ => {}
        }
    }
}
