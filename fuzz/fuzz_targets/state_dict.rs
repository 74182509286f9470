//! Any bytes at all as a model file.

#![no_main]

use std::fs;
use std::sync::OnceLock;

use elman::format::{load, save};
use elman::params::ParamTable;
use elman::{Error, Params};
use elman_fuzz::file::{File, Table, bytes_of, path};
use libfuzzer_sys::arbitrary::{self, Unstructured};
use libfuzzer_sys::fuzz_target;
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

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
    let mut layout = ParamTable::new();
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

/// Every table's file, as `save` writes it: without metadata and with.
fn valid() -> &'static [[File; 2]; 4] {
    static VALID: OnceLock<[[File; 2]; 4]> = OnceLock::new();
    VALID.get_or_init(|| {
        TABLES.map(|table| {
            [&[][..], &[("a", "b\""), ("\\\"}", "{\"a\":")]].map(|metadata| {
                save(path(), &params_of(table), metadata.iter().copied()).unwrap();
                File::split(&fs::read(path()).unwrap())
            })
        })
    })
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
        let bytes = bytes_of(u, TABLES[which], &valid()[which])?;
        Ok(Self { table: TABLES[which], bytes })
    }
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
    save(path(), params, [("key", "value")]).unwrap();
    let written = fs::read(path()).unwrap();
    let mut again = params_of(input.table);
    load(path(), &mut again).unwrap();
    assert_eq!(bits(&again), bits(params), "loaded, saved and loaded");
    save(path(), &again, [("key", "value")]).unwrap();
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
            // Of a `__metadata__` that is null the crate says nothing, and spelled with escapes it is one key too many.
            let null: serde_json::Value = serde_json::from_slice(header).expect("the crate has read it");
            let escaped = null.get("__metadata__").is_some_and(serde_json::Value::is_null)
                && !header.windows(14).any(|key| key == b"\"__metadata__\"");
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
        Ok(_) => loaded(&input, &params),
        Err(error) => refused(&input, &params, &error),
    }
    fs::remove_file(path()).unwrap();
});
