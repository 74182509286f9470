//! Any bytes at all as a model file.

#![no_main]

use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::OnceLock;

use elman::io::{load, save};
use elman::{Error, Layout, Params};
use elman_fuzz::Within;
use libfuzzer_sys::arbitrary::{self, Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

/// A model: names and shapes.
type Table = &'static [(&'static str, &'static [usize])];

const TABLES: [Table; 4] = [
    // Two tensors, against their order in a file.
    &[("b", &[2, 1]), ("a", &[1])],
    &[
        ("rnn.weight_ih_l0", &[3, 1]),
        ("rnn.weight_hh_l0", &[3, 3]),
        ("rnn.bias_ih_l0", &[3]),
        ("rnn.bias_hh_l0", &[3]),
        ("linear.weight", &[1, 3]),
        ("linear.bias", &[1]),
    ],
    // Names that look like JSON, and shapes without dimensions or without elements.
    &[("a\":{\"b\":", &[1]), ("é \"\\\n\u{1}", &[]), ("\\\":", &[0, 5]), ("}}", &[2]), ("12345678901234567890", &[1])],
    &[],
];

/// What a model holds before it is loaded: a pattern that no mutation comes by.
fn params_of(table: Table) -> Params {
    let mut layout = Layout::new();
    for (name, shape) in table {
        layout.add(*name, shape).unwrap();
    }
    let mut params = Params::zeros(layout);
    for (i, value) in params.data_mut().iter_mut().enumerate() {
        *value = f32::from_bits(0x7fc5_a500 + i as u32);
    }
    params
}

fn bits(params: &Params) -> Vec<u32> {
    params.data().iter().map(|value| value.to_bits()).collect()
}

/// The bytes of a model file, in its three parts.
#[derive(Clone)]
struct File {
    /// What the first eight bytes say, if not the header's length.
    length: Option<u64>,
    header: Vec<u8>,
    data: Vec<u8>,
}

impl File {
    fn bytes(&self) -> Vec<u8> {
        let length = self.length.unwrap_or(self.header.len() as u64);
        [&length.to_le_bytes()[..], &self.header, &self.data].concat()
    }

    /// Every table's file, as `save` writes it: without metadata and with.
    fn valid() -> &'static [[File; 2]; 4] {
        static VALID: OnceLock<[[File; 2]; 4]> = OnceLock::new();
        VALID.get_or_init(|| {
            TABLES.map(|table| {
                [&[][..], &[("a", "b\"".into()), ("\\\"}", "{\"a\":".into())]].map(|metadata| {
                    save(path(), &params_of(table), metadata).unwrap();
                    let bytes = fs::read(path()).unwrap();
                    let (length, rest) = bytes.split_first_chunk().unwrap();
                    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
                    File { length: None, header: header.into(), data: data.into() }
                })
            })
        })
    }
}

/// How the bytes of an input become a file.
#[derive(Arbitrary, Debug)]
enum Mode {
    /// They are the file.
    Raw,
    /// They are a header, whose length goes before it, and so many bytes of data behind it.
    Header { data: u8 },
    /// They say what is done to a file that was valid.
    Mutated { metadata: bool },
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

/// A size or an offset, often one where sums and products come to overflow.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Size {
    Small(u8),
    Power { of_two: Within<56, 63>, plus: Within<0, 2> },
    Any(u64),
}

impl Size {
    fn get(self) -> u64 {
        match self {
            Size::Small(size) => size.into(),
            Size::Power { of_two, plus } => (1_u64 << of_two.get()) - 1 + plus.get() as u64,
            Size::Any(size) => size,
        }
    }
}

const DTYPES: [(&str, u64); 8] =
    [("F32", 4), ("U32", 4), ("I32", 4), ("F16", 2), ("F64", 8), ("U8", 1), ("BOOL", 1), ("F8_E8M0", 1)];

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

/// A model and the bytes that are to be loaded into it.
struct Input {
    table: Table,
    bytes: Vec<u8>,
}

impl Input {
    fn of(data: &[u8]) -> arbitrary::Result<Self> {
        let mut u = Unstructured::new(data);
        let which = u.int_in_range(0..=TABLES.len() - 1)?;
        let bytes = match u.arbitrary()? {
            Mode::Raw => u.take_rest().to_vec(),
            Mode::Header { data } => {
                let data = (0..data).collect();
                File { length: None, header: u.take_rest().to_vec(), data }.bytes()
            }
            Mode::Mutated { metadata } => {
                let mut file = File::valid()[which][usize::from(metadata)].clone();
                while !u.is_empty() {
                    u.arbitrary::<Mutation>()?.apply(&mut file);
                }
                file.bytes()
            }
            Mode::Entries { data } => {
                let (mut entries, mut end) = (Vec::new(), 0);
                while !u.is_empty() {
                    end = u.arbitrary::<Entry>()?.append(&mut entries, TABLES[which], end);
                }
                let header = format!("{{{}}}", entries.join(",")).into_bytes();
                // As much as the header says, or some less or more.
                let data = vec![0x40; usize::try_from(end.min(4096)).unwrap().saturating_add_signed(data.into())];
                File { length: None, header, data }.bytes()
            }
        };
        Ok(Self { table: TABLES[which], bytes })
    }
}

/// This process's file, written over and over. Quickest where TMPDIR is in memory.
fn path() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| std::env::temp_dir().join(format!("elman-fuzz-{}.safetensors", process::id())))
}

/// Whether the crate, asked without the library, finds exactly the tensors of the table; the bytes of each.
fn tensors_of<'a>(bytes: &'a [u8], table: Table) -> Option<Vec<&'a [u8]>> {
    let file = SafeTensors::deserialize(bytes).ok()?;
    let tensors: Option<Vec<_>> = table
        .iter()
        .map(|(name, shape)| {
            let tensor = file.tensor(name).ok()?;
            (tensor.dtype() == Dtype::F32 && tensor.shape() == *shape).then(|| tensor.data())
        })
        .collect();
    tensors.filter(|tensors| tensors.len() == file.len())
}

/// The header of a file that has all of it.
fn header_of(bytes: &[u8]) -> &[u8] {
    let (length, rest) = bytes.split_first_chunk().unwrap();
    &rest[..u64::from_le_bytes(*length) as usize]
}

/// Every key of a JSON object, those that come twice too: what the crate does not see.
struct Keys(Vec<String>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Keys;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Keys, M::Error> {
                let mut keys = Vec::new();
                while let Some((key, IgnoredAny)) = map.next_entry()? {
                    keys.push(key);
                }
                Ok(Keys(keys))
            }
        }
        json.deserialize_map(Collect)
    }
}

fn has_a_key_twice(header: &[u8]) -> bool {
    let Keys(mut keys) = serde_json::from_slice(header).expect("the crate has read it");
    keys.sort_unstable();
    keys.windows(2).any(|pair| pair[0] == pair[1])
}

fn loaded(input: &Input, params: &Params) {
    let tensors = tensors_of(&input.bytes, input.table).expect("what was loaded is the table's");
    assert!(!has_a_key_twice(header_of(&input.bytes)), "loaded one of two tensors of a name");
    for ((name, _, values), expected) in params.iter().zip(tensors) {
        let got: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(got, expected, "{name}");
    }
    save(path(), params, &[("key", "value".into())]).unwrap();
    let written = fs::read(path()).unwrap();
    let mut again = params_of(input.table);
    load(path(), &mut again).unwrap();
    assert_eq!(bits(&again), bits(params), "loaded, saved and loaded");
    save(path(), &again, &[("key", "value".into())]).unwrap();
    assert_eq!(fs::read(path()).unwrap(), written, "the same parameters, other bytes");
}

fn refused(input: &Input, params: &Params, error: &Error) {
    assert_eq!(bits(params), bits(&params_of(input.table)), "touched by a load that failed: {error}");
    let text = error.to_string();
    assert!(text.starts_with(&format!("{}: ", path().display())), "{text:?}");
    // One line, whatever the file says; the model's own names are told as they are.
    let control = input.table.iter().any(|(name, _)| name.contains(char::is_control));
    assert!(control || !text.contains(char::is_control), "{text:?}");
    match error {
        // The two things that the crate does not look at; in such a number's presence it must not be asked, as it adds
        // numbers up unchecked.
        Error::Format { reason, .. } if reason.starts_with("the header has a size or an offset of more than ") => {
            let header = header_of(&input.bytes);
            let long = header.chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit());
            assert!(long.into_iter().any(|run| run[0].is_ascii_digit() && run.len() > 18), "{text}");
        }
        Error::Format { reason, .. } if reason.ends_with(": twice in the header") => {
            let header = header_of(&input.bytes);
            // Found here, and to go when it is mended: a `__metadata__` spelled with escapes is taken for a tensor.
            let escaped = !header.windows(14).any(|key| key == b"\"__metadata__\"");
            assert!(has_a_key_twice(header) || escaped, "{text}");
        }
        Error::Format { .. } => {
            let valid = SafeTensors::deserialize(&input.bytes).is_ok();
            assert!(!valid, "refused as no safetensors file, which the crate says it is: {text}");
        }
        Error::Weights { problems, .. } => {
            assert!(!problems.is_empty(), "{text}");
            assert!(tensors_of(&input.bytes, input.table).is_none(), "refused though every tensor fits: {text}");
        }
        other => panic!("{other:?}"),
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(input) = Input::of(data) else { return };
    fs::write(path(), &input.bytes).unwrap();
    let mut params = params_of(input.table);
    match load(path(), &mut params) {
        Ok(()) => loaded(&input, &params),
        Err(error) => refused(&input, &params, &error),
    }
    fs::remove_file(path()).unwrap();
});
