//! State dicts as users have them: of any type of float, behind any prefix, of any of PyTorch's recurrent layers; and
//! what does not fit is told whole, in one error.
#![cfg(feature = "safetensors")]

use std::fs;
use std::path::PathBuf;

use elman::io::{
    Description, Kind, LoadOptions, TensorFile, TensorInfo, describe, load, load_with, save, write_tensors,
};
use elman::{Error, Layout, Params, Result};
use safetensors::tensor::{Dtype, TensorView, serialize};
use tempfile::TempDir;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A file of these bytes.
    fn file(&self, contents: &[u8]) -> PathBuf {
        let path = self.path("model.safetensors");
        fs::write(&path, contents).unwrap();
        path
    }
}

/// A tensor as the crate writes it: name, type, shape, bytes.
type Raw<'a> = (&'a str, Dtype, Vec<usize>, Vec<u8>);

fn crate_file(tensors: &[Raw<'_>]) -> Vec<u8> {
    let views =
        tensors.iter().map(|(name, dtype, shape, data)| (name, TensorView::new(*dtype, shape.clone(), data).unwrap()));
    serialize(views, None).unwrap()
}

/// A file of any header at all.
fn raw_file(header: impl AsRef<[u8]>, data: &[u8]) -> Vec<u8> {
    let header = header.as_ref();
    [&(header.len() as u64).to_le_bytes()[..], header, data].concat()
}

fn open(contents: &[u8]) -> Result<TensorFile> {
    TensorFile::open(&Folder::new().file(contents))
}

/// A vector of one type.
fn vector<const N: usize>(name: &str, dtype: Dtype, values: impl IntoIterator<Item = [u8; N]>) -> Raw<'_> {
    let bytes: Vec<_> = values.into_iter().flatten().collect();
    (name, dtype, vec![bytes.len() / N], bytes)
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// The text of an error without the file's name; also that it is one line.
fn text(error: &Error) -> String {
    let text = error.to_string();
    assert!(!text.chars().any(char::is_control), "{text:?}");
    match error {
        Error::Weights { path: Some(path), problems } => {
            assert!(!problems.is_empty());
            assert_eq!(text, format!("{}: {}", path.display(), problems.join("; ")));
            problems.join("; ")
        }
        Error::Format { reason, .. } => reason.clone(),
        _ => text,
    }
}

fn params_of(table: &[(&str, &[usize])]) -> Params {
    let mut layout = Layout::new();
    for (name, shape) in table {
        layout.add(*name, shape).unwrap();
    }
    let mut params = Params::zeros(layout);
    for (i, value) in params.data_mut().iter_mut().enumerate() {
        *value = i as f32 + 0.5;
    }
    params
}

// The numbers of each type.

#[test]
fn every_f16_is_what_its_formula_says() {
    let file = open(&crate_file(&[vector("x", Dtype::F16, (0..=u16::MAX).map(u16::to_le_bytes))])).unwrap();
    let (shape, values) = file.f32("x").unwrap();
    assert_eq!(shape, [65536]);
    for (pattern, value) in (0..=u16::MAX).zip(values) {
        let (sign, exponent, fraction) = (pattern >> 15, i32::from(pattern >> 10 & 0x1f), pattern & 0x3ff);
        let magnitude = match exponent {
            0 => f64::from(fraction) / 1024.0 * 2f64.powi(-14),
            31 if fraction == 0 => f64::INFINITY,
            31 => {
                let nan = u32::from(sign) << 31 | 0xff << 23 | u32::from(fraction) << 13;
                assert_eq!(value.to_bits(), nan, "{pattern:#06x}");
                continue;
            }
            _ => (1.0 + f64::from(fraction) / 1024.0) * 2f64.powi(exponent - 15),
        };
        let expected = if sign == 0 { magnitude } else { -magnitude };
        assert_eq!(f64::from(value).to_bits(), expected.to_bits(), "{pattern:#06x}");
    }
}

#[test]
fn every_bf16_is_what_its_formula_says() {
    let file = open(&crate_file(&[vector("x", Dtype::BF16, (0..=u16::MAX).map(u16::to_le_bytes))])).unwrap();
    for (pattern, value) in (0..=u16::MAX).zip(file.f32("x").unwrap().1) {
        let (sign, exponent, fraction) = (pattern >> 15, i32::from(pattern >> 7 & 0xff), pattern & 0x7f);
        let magnitude = match exponent {
            0 => f64::from(fraction) / 128.0 * 2f64.powi(-126),
            255 if fraction == 0 => f64::INFINITY,
            255 => {
                let nan = u32::from(sign) << 31 | 0xff << 23 | u32::from(fraction) << 16;
                assert_eq!(value.to_bits(), nan, "{pattern:#06x}");
                continue;
            }
            _ => (1.0 + f64::from(fraction) / 128.0) * 2f64.powi(exponent - 127),
        };
        let expected = if sign == 0 { magnitude } else { -magnitude };
        assert_eq!(f64::from(value).to_bits(), expected.to_bits(), "{pattern:#06x}");
    }
}

#[test]
fn f64_rounds_to_the_nearest_ties_to_even() {
    let half = 2f64.powi(-24);
    let table = [
        (0.1, 0x3dcc_cccd),
        (1.0 + half, 0x3f80_0000),
        (1.0 + 3.0 * half, 0x3f80_0002),
        (1.0 + half + 2f64.powi(-52), 0x3f80_0001),
        (-0.0, 0x8000_0000),
        (2f64.powi(-149), 1),
        (2f64.powi(-150), 0),
        (-2f64.powi(-150) * 1.5, 0x8000_0001),
        (f64::MIN_POSITIVE, 0),
        (f64::from(f32::MAX), 0x7f7f_ffff),
        (f64::from(f32::MAX) + 2f64.powi(102), 0x7f7f_ffff),
        (f64::INFINITY, 0x7f80_0000),
        (f64::NEG_INFINITY, 0xff80_0000),
        (f64::from_bits(0x7ff8_0000_0000_0000), 0x7fc0_0000),
        (f64::from_bits(0xfff8_2468_a000_0000), 0xffc1_2345),
        // Its payload is below what is kept: a NaN all the same.
        (f64::from_bits(0x7ff0_0000_0000_0001), 0x7fc0_0000),
    ];
    let file = open(&crate_file(&[vector("x", Dtype::F64, table.map(|(value, _)| value.to_le_bytes()))])).unwrap();
    assert_eq!(bits(&file.f32("x").unwrap().1), table.map(|(_, bits)| bits));

    // Against its neighbours, which are exact in f64.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let values: Vec<f64> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        f64::from_bits(state & !(0x7ff << 52) | (1023 - 150 + (state >> 20) % 270) << 52)
    })
    .take(20_000)
    .collect();
    let file = open(&crate_file(&[vector("x", Dtype::F64, values.iter().map(|value| value.to_le_bytes()))])).unwrap();
    for (value, got) in values.into_iter().zip(file.f32("x").unwrap().1) {
        let distance = (value - f64::from(got)).abs();
        for neighbour in [got.next_up(), got.next_down()] {
            let other = (value - f64::from(neighbour)).abs();
            assert!(distance < other || distance == other && got.to_bits() % 2 == 0, "{value:e}: {got:e}");
        }
    }
}

#[test]
fn a_finite_f64_does_not_become_infinite() {
    for value in [1e300, -1e300, f64::from(f32::MAX) + 2f64.powi(103)] {
        let values = [1.0, f64::INFINITY, value].map(f64::to_le_bytes);
        let file = open(&crate_file(&[vector("x", Dtype::F64, values)])).unwrap();
        let expected = format!("x: expected elements in the range of F32, got {value:e} at 2");
        assert_eq!(text(&file.f32("x").unwrap_err()), expected);
        let mut params = params_of(&[("x", &[3])]);
        let before = bits(params.data());
        assert_eq!(text(&file.load_into(&mut params, &LoadOptions::default()).unwrap_err()), expected);
        assert_eq!(bits(params.data()), before);
    }
}

#[test]
fn f32_keeps_every_bit() {
    let patterns =
        [0, 1 << 31, 1, 0x807f_ffff, 0x7fc0_0000, 0xffc1_2345, 0x7f80_0001, 0xffbf_ffff, 0x7f80_0000, 0x3f80_0001];
    let contents = crate_file(&[vector("a.x", Dtype::F32, patterns.map(u32::to_le_bytes))]);
    let file = open(&contents).unwrap();
    assert_eq!(bits(&file.f32("a.x").unwrap().1), patterns);
    let mut params = params_of(&[("x", &[10])]);
    let options = LoadOptions { prefix: "a".into(), ..Default::default() };
    assert_eq!(file.load_into(&mut params, &options).unwrap(), [""; 0]);
    assert_eq!(bits(params.data()), patterns);
}

#[test]
fn integers_of_every_type() {
    let tensors = [
        vector("I64", Dtype::I64, [i64::MIN, -1, i64::MAX].map(i64::to_le_bytes)),
        vector("I32", Dtype::I32, [i32::MIN, -1, i32::MAX].map(i32::to_le_bytes)),
        vector("I16", Dtype::I16, [i16::MIN, -1, i16::MAX].map(i16::to_le_bytes)),
        vector("I8", Dtype::I8, [i8::MIN, -1, i8::MAX].map(i8::to_le_bytes)),
        vector("U32", Dtype::U32, [0, 1, u32::MAX].map(u32::to_le_bytes)),
        vector("U16", Dtype::U16, [0, 1, u16::MAX].map(u16::to_le_bytes)),
        vector("U8", Dtype::U8, [0, 1, u8::MAX].map(u8::to_le_bytes)),
        ("matrix", Dtype::U8, vec![2, 1], vec![7, 8]),
        ("scalar", Dtype::I8, vec![], vec![0xff]),
        ("empty", Dtype::I64, vec![0, 3], vec![]),
    ];
    let file = open(&crate_file(&tensors)).unwrap();
    for (name, shape, expected) in [
        ("I64", &[3][..], &[i64::MIN, -1, i64::MAX][..]),
        ("I32", &[3], &[-1 << 31, -1, (1 << 31) - 1]),
        ("I16", &[3], &[-1 << 15, -1, (1 << 15) - 1]),
        ("I8", &[3], &[-128, -1, 127]),
        ("U32", &[3], &[0, 1, (1 << 32) - 1]),
        ("U16", &[3], &[0, 1, 65535]),
        ("U8", &[3], &[0, 1, 255]),
        ("matrix", &[2, 1], &[7, 8]),
        ("scalar", &[], &[-1]),
        ("empty", &[0, 3], &[]),
    ] {
        assert_eq!(file.integers(name).unwrap(), (shape.into(), expected.into()), "{name}");
    }
}

#[test]
fn bools_are_0_or_1() {
    let tensors = [("mask", Dtype::BOOL, vec![2, 2], vec![0, 1, 1, 0]), ("odd", Dtype::BOOL, vec![3], vec![1, 2, 255])];
    let file = open(&crate_file(&tensors)).unwrap();
    assert_eq!(file.bools("mask").unwrap(), (vec![2, 2], vec![false, true, true, false]));
    assert_eq!(text(&file.bools("odd").unwrap_err()), "odd: expected elements of 0 or 1, got 2 at 1");
}

#[test]
fn a_type_that_is_not_read_is_named() {
    let all = [
        (Dtype::BOOL, 1),
        (Dtype::U8, 1),
        (Dtype::I8, 1),
        (Dtype::F8_E5M2, 1),
        (Dtype::F8_E4M3, 1),
        (Dtype::F8_E8M0, 1),
        (Dtype::F8_E4M3FNUZ, 1),
        (Dtype::F8_E5M2FNUZ, 1),
        (Dtype::I16, 2),
        (Dtype::U16, 2),
        (Dtype::F16, 2),
        (Dtype::BF16, 2),
        (Dtype::I32, 4),
        (Dtype::U32, 4),
        (Dtype::F32, 4),
        (Dtype::C64, 8),
        (Dtype::F64, 8),
        (Dtype::I64, 8),
        (Dtype::U64, 8),
        // Two of these are a byte, four of those are three.
        (Dtype::F4, 1),
        (Dtype::F6_E2M3, 3),
        (Dtype::F6_E3M2, 3),
    ];
    for (dtype, bytes) in all {
        let elements = 8 * bytes / dtype.bitsize();
        let file = open(&crate_file(&[("x", dtype, vec![elements], vec![0; bytes])])).unwrap();
        let name = dtype.to_string();
        assert_eq!(file.info("x"), Some(TensorInfo { name: "x", dtype: &name, shape: &[elements], bytes }));
        match &name[..] {
            "F32" | "F64" | "F16" | "BF16" => assert_eq!(file.f32("x").unwrap(), (vec![1], vec![0.0])),
            _ => {
                let expected = format!("x: expected F32, F64, F16 or BF16, got {name}");
                assert_eq!(text(&file.f32("x").unwrap_err()), expected);
                let mut params = params_of(&[("x", &[elements])]);
                assert_eq!(text(&file.load_into(&mut params, &LoadOptions::default()).unwrap_err()), expected);
            }
        }
        match &name[..] {
            "I64" | "I32" | "I16" | "I8" | "U32" | "U16" | "U8" => {
                assert_eq!(file.integers("x").unwrap(), (vec![1], vec![0]));
            }
            _ => assert_eq!(
                text(&file.integers("x").unwrap_err()),
                format!("x: expected I64, I32, I16, I8, U32, U16 or U8, got {name}")
            ),
        }
        match &name[..] {
            "BOOL" => assert_eq!(file.bools("x").unwrap(), (vec![1], vec![false])),
            _ => assert_eq!(text(&file.bools("x").unwrap_err()), format!("x: expected BOOL, got {name}")),
        }
    }
}

#[test]
fn a_tensor_that_is_not_there_is_named() {
    let file = open(&crate_file(&[])).unwrap();
    assert_eq!(file.info("x\n"), None);
    let expected = r"x\n: missing, the file has no such tensor";
    assert_eq!(text(&file.f32("x\n").unwrap_err()), expected);
    assert_eq!(text(&file.integers("x\n").unwrap_err()), expected);
    assert_eq!(text(&file.bools("x\n").unwrap_err()), expected);
}

// Files, written and opened.

#[test]
fn what_is_written_is_read_back() {
    let folder = Folder::new();
    let path = folder.path("model");
    let nan = f32::from_bits(0x7f80_0001);
    let tensors: [(&str, &[usize], &[f32]); 5] = [
        ("z", &[2, 1], &[-0.0, nan]),
        ("scalar", &[], &[0.5]),
        ("a", &[3], &[1.0, 2.0, 3.0]),
        ("é\n", &[0, 5], &[]),
        ("B", &[0, 1 << 59], &[]),
    ];
    let metadata = [("b", "2".into()), ("a", "\"".into())];
    write_tensors(&path, &tensors, &metadata).unwrap();

    let file = TensorFile::open(&path).unwrap();
    assert_eq!(file.path(), path);
    assert_eq!(file.names().collect::<Vec<_>>(), ["B", "a", "scalar", "z", "é\n"]);
    assert_eq!(file.metadata().collect::<Vec<_>>(), [("a", "\""), ("b", "2")]);
    assert_eq!(file.iter().map(|info| info.bytes).collect::<Vec<_>>(), [0, 12, 4, 8, 0]);
    for (name, shape, values) in tensors {
        assert_eq!(file.info(name), Some(TensorInfo { name, dtype: "F32", shape, bytes: 4 * values.len() }));
        let (got_shape, got) = file.f32(name).unwrap();
        assert_eq!((&got_shape[..], bits(&got)), (shape, bits(values)));
    }

    // In any order, and by the other way to write: the same bytes.
    let whole = fs::read(&path).unwrap();
    let (mut reversed, mut pairs) = (tensors, metadata.clone());
    reversed.reverse();
    pairs.reverse();
    write_tensors(&path, &reversed, &pairs).unwrap();
    assert_eq!(fs::read(&path).unwrap(), whole);
    let mut params = params_of(&tensors.map(|(name, shape, _)| (name, shape)));
    load(&path, &mut params).unwrap();
    save(&path, &params, &metadata).unwrap();
    assert_eq!(fs::read(&path).unwrap(), whole);
}

#[test]
fn what_no_reader_could_read_is_not_written() {
    let folder = Folder::new();
    let path = folder.path("model");
    type Tensors<'a> = &'a [(&'a str, &'a [usize], &'a [f32])];
    type Metadata<'a> = &'a [(&'a str, String)];
    let table: [(Tensors<'_>, Metadata<'_>, &str); 8] = [
        (&[("a", &[2, 2], &[0.0; 3])], &[], "a: shape [2, 2] needs 4 elements, got 3"),
        (&[("a", &[], &[])], &[], "a: shape [] needs 1 elements, got 0"),
        (
            &[("a", &[0], &[]), ("a", &[1], &[0.0])],
            &[],
            "parameter name: expected one that is not taken, got 'a' twice",
        ),
        (
            &[("__metadata__", &[1], &[0.0])],
            &[],
            "parameter name: expected one that the format does not use itself, got __metadata__",
        ),
        (
            &[("a", &[usize::MAX, 2], &[])],
            &[],
            "a: shape [18446744073709551615, 2] has more elements than memory can address",
        ),
        (
            &[("a", &[usize::MAX, 2, 0], &[])],
            &[],
            "a: shape [18446744073709551615, 2, 0] has more elements than memory can address",
        ),
        (
            &[("a", &[0, 1_000_000_000_000_000_000], &[])],
            &[],
            "a: expected sizes of at most 18 digits, got [0, 1000000000000000000]",
        ),
        (&[], &[("k", "1".into()), ("k", "2".into())], "metadata key: expected one that is not taken, got 'k' twice"),
    ];
    for (tensors, metadata, expected) in table {
        assert_eq!(write_tensors(&path, tensors, metadata).unwrap_err().to_string(), expected);
        assert!(!path.exists());
    }
    write_tensors(&path, &[("a", &[0, 999_999_999_999_999_999], &[])], &[]).unwrap();
    assert_eq!(TensorFile::open(&path).unwrap().info("a").unwrap().shape, [0, 999_999_999_999_999_999]);
}

const ENDS: &str =
    "truncated, or with something appended: the tensors of its header do not end where the file does, at byte";

#[test]
fn truncated_and_longer_files_are_refused_at_every_length() {
    let folder = Folder::new();
    write_tensors(&folder.path("whole"), &[("a", &[3], &[0.0; 3])], &[]).unwrap();
    let whole = fs::read(folder.path("whole")).unwrap();
    let header = whole.len() - 8 - 12;
    for len in 0..whole.len() {
        let expected = match len {
            0 => "the file is empty".into(),
            1..8 => format!("truncated: the file has {len} bytes, the length of the header alone has 8"),
            _ if len < 8 + header => {
                format!("truncated: header says {header} bytes, file has {} after its length", len - 8)
            }
            _ => format!("{ENDS} {len}"),
        };
        assert_eq!(text(&open(&whole[..len]).unwrap_err()), expected);
    }
    for more in [1, 2, 1000] {
        let longer = [&whole[..], &vec![0; more]].concat();
        assert_eq!(text(&open(&longer).unwrap_err()), format!("{ENDS} {}", longer.len()));
    }
}

#[test]
fn what_is_no_safetensors_file_is_told() {
    let entry = r#"{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#;
    let overlap = r#"{"a":ENTRY,"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#.replace("ENTRY", entry);
    let large = format!(r#"{{"a":{}}}"#, entry.replace('4', "1234567890123456789"));
    let overflow = r#"{"a":{"dtype":"F32","shape":[99999999999,99999999999],"data_offsets":[0,0]}}"#;
    let table = [
        (
            b"PK\x03\x04\0\0\x08\x08 and so on".to_vec(),
            "not a safetensors file but one of torch.save; expected one of safetensors.torch.save_file",
        ),
        (
            b"GGUF\0\0\0\0abc".to_vec(),
            "not a safetensors file: its first 8 bytes say that the header has 1179993927 bytes, \
             expected at most 100000000",
        ),
        (
            vec![0xff; 20],
            "not a safetensors file: its first 8 bytes say that the header has 18446744073709551615 bytes, \
             expected at most 100000000",
        ),
        (raw_file(format!(r#"{{"a":{entry},"a":{entry}}}"#), &[0; 4]), "a: twice in the header"),
        (raw_file(format!(r#"{{"a":{entry},"\u0061":{entry}}}"#), &[0; 4]), "a tensor: twice in the header"),
        (raw_file(overlap, &[0; 8]), "b: its data_offsets overlap others, leave a hole before them, or run backwards"),
        (raw_file(large, &[0; 4]), "the header has a size or an offset of more than 18 digits"),
        (raw_file(overflow, &[]), "a tensor's shape has more elements than memory can address"),
        (raw_file(b"\xff", &[]), "the header is not UTF-8: invalid utf-8 sequence of 1 bytes from index 0"),
    ];
    for (contents, expected) in table {
        assert_eq!(text(&open(&contents).unwrap_err()), expected);
    }
    let text = open(&raw_file("hello", &[])).unwrap_err().to_string();
    assert!(text.contains(": the header is not the JSON of a safetensors file: "), "{text}");
}

#[test]
fn a_key_spelled_with_escapes_is_metadata_too() {
    let header = r#"{"\u005f_metadata__":{"k":"v"},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#;
    let file = open(&raw_file(header, &[7])).unwrap();
    assert_eq!(file.metadata().collect::<Vec<_>>(), [("k", "v")]);
    assert_eq!(file.integers("a").unwrap(), (vec![1], vec![7]));
    let null = open(&raw_file(header.replace(r#"\u005f"#, "_").replace(r#"{"k":"v"}"#, "null"), &[7])).unwrap();
    assert_eq!(null.metadata().count(), 0);
}

#[test]
fn a_terabyte_of_zeros_is_not_read() {
    let folder = Folder::new();
    let path = folder.path("huge");
    let file = fs::File::create(&path).unwrap();
    file.set_len(1 << 40).unwrap();
    let text_of = || text(&TensorFile::open(&path).unwrap_err());
    assert!(text_of().starts_with("the header is not the JSON of a safetensors file: "));
    // Behind a whole file.
    write_tensors(&path, &[("a", &[3], &[0.0; 3])], &[]).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
    assert_eq!(text_of(), format!("{ENDS} 1099511627776"));
}

#[cfg(unix)]
#[test]
fn pipes_and_devices_are_read_as_far_as_their_header_says() {
    let zero = TensorFile::open("/dev/zero".as_ref()).unwrap_err();
    assert!(text(&zero).starts_with("the header is not the JSON of a safetensors file: "), "{zero}");

    let folder = Folder::new();
    write_tensors(&folder.path("whole"), &[("a", &[3], &[1.0, 2.0, 3.0])], &[]).unwrap();
    let whole = fs::read(folder.path("whole")).unwrap();
    let pipe = folder.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let through = |contents: &[u8]| {
        std::thread::scope(|scope| {
            // One that is not read to its end is no error of the writer's.
            scope.spawn(|| _ = fs::write(&pipe, contents));
            TensorFile::open(&pipe)
        })
    };
    assert_eq!(through(&whole).unwrap().f32("a").unwrap().1, [1.0, 2.0, 3.0]);
    let len = whole.len();
    assert_eq!(text(&through(&whole[..len - 1]).unwrap_err()), format!("{ENDS} {}", len - 1));
    let longer = [&whole[..], &[0; 100_000]].concat();
    assert_eq!(text(&through(&longer).unwrap_err()), format!("{ENDS} {} or later", len + 1));
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = Folder::new();
    for path in [folder.path("none"), folder.0.path().into()] {
        let text = TensorFile::open(&path).unwrap_err().to_string();
        assert!(text.starts_with(&format!("cannot read {}: ", path.display())), "{text}");
        assert_eq!(load_with(&path, &mut params_of(&[]), &LoadOptions::default()).unwrap_err().to_string(), text);
    }
}

// Parameters behind a prefix.

/// A tensor of zeros.
fn zeros(name: &str, dtype: Dtype, shape: &[usize]) -> Raw<'static> {
    let name: &'static str = String::leak(name.into());
    (name, dtype, shape.into(), vec![0; shape.iter().product::<usize>() * dtype.bitsize() / 8])
}

/// `load_with` of such a file; the parameters are as they were where it fails.
fn loaded(tensors: &[Raw<'_>], params: &mut Params, options: &LoadOptions) -> Result<Vec<String>> {
    let before = bits(params.data());
    let result = load_with(&Folder::new().file(&crate_file(tensors)), params, options);
    if result.is_err() {
        assert_eq!(bits(params.data()), before);
    }
    result
}

fn behind(prefix: &str) -> LoadOptions {
    LoadOptions { prefix: prefix.into(), ..Default::default() }
}

const SMALL: &[(&str, &[usize])] = &[("b", &[2, 1]), ("a", &[1])];

#[test]
fn every_type_of_float_is_converted_and_told() {
    let tensors = [
        vector("f32", Dtype::F32, [1.5, -2.5].map(f32::to_le_bytes)),
        vector("f64", Dtype::F64, [0.1, -1e-60].map(f64::to_le_bytes)),
        vector("f16", Dtype::F16, [0x3c01_u16, 0x8001].map(u16::to_le_bytes)),
        vector("bf16.b", Dtype::BF16, [0x3f81_u16, 0xff80].map(u16::to_le_bytes)),
        vector("bf16.a", Dtype::BF16, [0x4000_u16, 0].map(u16::to_le_bytes)),
    ];
    let mut params = params_of(&[("f64", &[2]), ("bf16.b", &[2]), ("f32", &[2]), ("f16", &[2]), ("bf16.a", &[2])]);
    assert_eq!(
        loaded(&tensors, &mut params, &LoadOptions::default()).unwrap(),
        [
            "weights rounded from F64 to F32 (1 tensor)",
            "weights converted from F16 to F32 (1 tensor)",
            "weights converted from BF16 to F32 (2 tensors)",
        ]
    );
    let expected = [
        0.1_f32,
        -0.0,
        1.0 + 2f32.powi(-7),
        f32::NEG_INFINITY,
        1.5,
        -2.5,
        1.0 + 2f32.powi(-10),
        -2f32.powi(-24),
        2.0,
        0.0,
    ];
    assert_eq!(bits(params.data()), bits(&expected));

    // The strict way takes none of them.
    let path = Folder::new();
    let path = path.file(&crate_file(&tensors[2..3]));
    let error = load(&path, &mut params_of(&[("f16", &[2])])).unwrap_err();
    assert_eq!(text(&error), "f16: expected F32, got F16");
}

#[test]
fn a_prefix_is_taken_with_its_dot_or_without() {
    let tensors = [
        ("encoder.rnn.a", Dtype::F32, vec![1], 1f32.to_le_bytes().to_vec()),
        ("encoder.rnn.b", Dtype::F32, vec![2, 1], [2f32, 3.0].map(f32::to_le_bytes).concat()),
        // Nobody's business, whatever they are.
        zeros("encoder.rnnn.a", Dtype::F32, &[7]),
        zeros("encoder.rnn", Dtype::F32, &[7]),
        zeros("encoder.embed.weight", Dtype::I8, &[7]),
        zeros("a", Dtype::BOOL, &[1]),
    ];
    for prefix in ["encoder.rnn", "encoder.rnn."] {
        let mut params = params_of(SMALL);
        assert_eq!(loaded(&tensors, &mut params, &behind(prefix)).unwrap(), [""; 0]);
        assert_eq!(params.data(), [2.0, 3.0, 1.0]);
    }
    // One more part of the names may be the model's.
    let mut params = params_of(&[("rnn.b", &[2, 1]), ("rnn.a", &[1]), ("embed.weight", &[7])]);
    assert_eq!(
        text(&loaded(&tensors, &mut params, &behind("encoder")).unwrap_err()),
        "encoder.embed.weight: expected F32, F64, F16 or BF16, got I8; \
         encoder.rnn: unused, the model has no such tensor; \
         encoder.rnnn.a: unused, the model has no such tensor"
    );
}

#[test]
fn every_problem_behind_a_prefix_is_told_at_once() {
    let tensors = [
        zeros("m.shape", Dtype::F16, &[2, 3]),
        zeros("m.type", Dtype::U64, &[2]),
        zeros("m.both", Dtype::I32, &[2]),
        zeros("m.fits", Dtype::F64, &[2]),
        ("m.beyond", Dtype::F64, vec![1], 1e39_f64.to_le_bytes().into()),
        zeros("m.\u{1b}[2Jmore", Dtype::F32, &[]),
        zeros("other", Dtype::F32, &[]),
    ];
    let table: &[(&str, &[usize])] =
        &[("missing", &[4, 1]), ("both", &[3]), ("type", &[2]), ("shape", &[3, 2]), ("beyond", &[1]), ("fits", &[2])];
    assert_eq!(
        text(&loaded(&tensors, &mut params_of(table), &behind("m")).unwrap_err()),
        r"m.missing: missing, expected [4, 1]; m.both: expected F32, F64, F16 or BF16 [3], got I32 [2]; m.type: expected F32, F64, F16 or BF16, got U64; m.shape: expected [3, 2], got [2, 3]; m.beyond: expected elements in the range of F32, got 1e39 at 0; m.\u{1b}[2Jmore: unused, the model has no such tensor"
    );
}

#[test]
fn a_prefix_of_nothing_is_told_with_those_there_are() {
    let root = [zeros("weight_ih_l0", Dtype::F32, &[1])];
    let one = [zeros("encoder.rnn.weight_hh_l3_reverse", Dtype::F32, &[1]), zeros("linear.weight", Dtype::F32, &[1])];
    let two = [root.to_vec(), one.to_vec(), vec![zeros("cells.0.weight_ih", Dtype::F32, &[1])]].concat();
    let many: Vec<_> = (10..40).map(|i| zeros(&format!("{i}.weight_ih_l0"), Dtype::F32, &[1])).collect();
    let twelve = (10..22).map(|i| format!("'{i}.', ")).collect::<String>();
    for (tensors, elsewhere) in [
        (&one[1..], "the file has no recurrent weights".into()),
        (&root, "the file has recurrent weights behind '' (the root)".into()),
        (&one, "the file has recurrent weights behind 'encoder.rnn.'".into()),
        (&two, "the file has recurrent weights behind '' (the root), 'cells.0.', 'encoder.rnn.'".into()),
        (&many, format!("the file has recurrent weights behind {twelve}18 more")),
    ] {
        assert_eq!(
            text(&loaded(tensors, &mut params_of(SMALL), &behind("rn\u{7}n")).unwrap_err()),
            format!(r"prefix 'rn\u{{7}}n.': no tensor's name begins with it; {elsewhere}")
        );
        let file = open(&crate_file(tensors)).unwrap();
        assert_eq!(
            text(&describe(&file, Some("rn\u{7}n"), None).unwrap_err()),
            format!(r"prefix 'rn\u{{7}}n.': no recurrent weights are behind it; {elsewhere}")
        );
    }
}

#[test]
fn a_cell_is_loaded_into_a_layer() {
    let table: &[(&str, &[usize])] =
        &[("weight_ih_l0", &[3, 1]), ("weight_hh_l0", &[3, 3]), ("bias_ih_l0", &[3]), ("bias_hh_l0", &[3])];
    let mut tensors: Vec<_> = table
        .iter()
        .map(|(name, shape)| zeros(&format!("c.{}", &name[..name.len() - 3]), Dtype::BF16, shape))
        .collect();
    let file = open(&crate_file(&tensors)).unwrap();
    let description = describe(&file, None, None).unwrap();
    let options = LoadOptions::from(&description);
    assert_eq!(options, LoadOptions { prefix: "c.".into(), cell: true });
    let mut params = params_of(table);
    assert_eq!(file.load_into(&mut params, &options).unwrap(), ["weights converted from BF16 to F32 (4 tensors)"]);
    assert_eq!(params.data(), [0.0; 18]);
    tensors[0].0 = "c.weight_ih_l0";
    assert_eq!(
        text(&loaded(&tensors, &mut params, &options).unwrap_err()),
        "c.weight_ih: missing, expected [3, 1]; c.weight_ih_l0: unused, the model has no such tensor"
    );
}

// What a state dict is.

/// Names and shapes of a state dict.
type Table = Vec<(String, Vec<usize>)>;

/// What PyTorch would save of such a module.
fn table_of(description: &Description) -> Table {
    let Description { kind, prefix, hidden_sizes, bidirectional, bias, proj_size, .. } = description;
    let gates = match kind {
        Kind::Rnn => 1,
        Kind::Gru => 3,
        Kind::Lstm => 4,
    };
    let (mut table, mut input) = (Table::new(), description.input_size);
    for (layer, &hidden) in hidden_sizes.iter().enumerate() {
        let out = if *proj_size > 0 { *proj_size } else { hidden };
        let suffixes = match (description.cell, bidirectional) {
            (true, _) => vec![String::new()],
            (false, false) => vec![format!("_l{layer}")],
            (false, true) => vec![format!("_l{layer}"), format!("_l{layer}_reverse")],
        };
        for suffix in &suffixes {
            let mut add = |name: &str, shape: &[usize]| table.push((format!("{prefix}{name}{suffix}"), shape.into()));
            add("weight_ih", &[gates * hidden, input]);
            add("weight_hh", &[gates * hidden, out]);
            if *bias {
                add("bias_ih", &[gates * hidden]);
                add("bias_hh", &[gates * hidden]);
            }
            if *proj_size > 0 {
                add("weight_hr", &[*proj_size, hidden]);
            }
        }
        input = out * suffixes.len();
    }
    table
}

fn file_of(table: &[(String, Vec<usize>)]) -> TensorFile {
    let tensors: Vec<_> = table.iter().map(|(name, shape)| zeros(name, Dtype::F32, shape)).collect();
    open(&crate_file(&tensors)).unwrap()
}

/// An LSTM of two layers and two directions, behind `rnn.`.
fn lstm() -> Description {
    Description {
        kind: Kind::Lstm,
        prefix: "rnn.".into(),
        input_size: 3,
        hidden_sizes: vec![5, 5],
        bidirectional: true,
        bias: true,
        proj_size: 2,
        cell: false,
    }
}

/// A GRU of one layer, at the root.
fn gru() -> Description {
    Description {
        kind: Kind::Gru,
        prefix: String::new(),
        input_size: 1,
        hidden_sizes: vec![4],
        bidirectional: false,
        bias: true,
        proj_size: 0,
        cell: false,
    }
}

#[test]
fn what_pytorch_saves_is_described() {
    let mut count = 0;
    for kind in [Kind::Rnn, Kind::Gru, Kind::Lstm] {
        for prefix in ["", "rnn.", "encoder.rnn."] {
            for (input_size, hidden_sizes) in [(1, vec![1]), (7, vec![3]), (2, vec![4, 4]), (3, vec![12, 4, 3, 1, 9])] {
                for (bidirectional, bias) in [(false, false), (false, true), (true, false), (true, true)] {
                    for (proj_size, cell) in [(0, false), (1, false), (2, false), (0, true)] {
                        let projectable = kind == Kind::Lstm && hidden_sizes.iter().all(|&hidden| hidden > proj_size);
                        let cellable = hidden_sizes.len() == 1 && !bidirectional;
                        if proj_size > 0 && !projectable || cell && !cellable {
                            continue;
                        }
                        let (prefix, hidden_sizes) = (prefix.into(), hidden_sizes.clone());
                        let expected = Description {
                            kind,
                            prefix,
                            input_size,
                            hidden_sizes,
                            bidirectional,
                            bias,
                            proj_size,
                            cell,
                        };
                        let mut table = table_of(&expected);
                        let parameters: usize = table.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
                        assert_eq!(expected.parameters().unwrap(), parameters);
                        if !expected.prefix.is_empty() {
                            table.push(("linear.weight".into(), vec![1, 3]));
                            table.push(("encoder.embed.weight".into(), vec![9, 2]));
                        }
                        let file = file_of(&table);
                        let dotless = expected.prefix.trim_end_matches('.');
                        for prefix in [None, Some(&expected.prefix[..]), Some(dotless)] {
                            for asked in [None, Some(kind)] {
                                assert_eq!(describe(&file, prefix, asked).unwrap(), expected);
                            }
                        }
                        count += 1;
                    }
                }
            }
        }
    }
    assert!(count > 150, "{count}");
}

#[test]
fn pytorchs_own_file_is_described() {
    let file = TensorFile::open("tests/fixtures/sine_model.safetensors".as_ref()).unwrap();
    let expected = Description {
        kind: Kind::Rnn,
        prefix: "rnn.".into(),
        input_size: 1,
        hidden_sizes: vec![16],
        bidirectional: false,
        bias: true,
        proj_size: 0,
        cell: false,
    };
    assert_eq!(describe(&file, None, None).unwrap(), expected);
    assert_eq!(expected.parameters().unwrap(), 16 + 256 + 16 + 16);
    assert_eq!(file.metadata().collect::<Vec<_>>(), [("torch", "2.15.0+cu132")]);
}

#[test]
fn a_kind_is_spelled_as_it_is_read() {
    for (kind, name, gates) in [(Kind::Rnn, "rnn", 1), (Kind::Gru, "gru", 3), (Kind::Lstm, "lstm", 4)] {
        assert_eq!((kind.to_string(), name.parse::<Kind>().unwrap(), kind.gates()), (name.into(), kind, gates));
    }
    assert_eq!("LSTM".parse::<Kind>().unwrap_err().to_string(), "cell: expected 'rnn', 'gru' or 'lstm', got 'LSTM'");
}

#[test]
fn where_the_layers_are_must_be_plain() {
    let two = [table_of(&Description { prefix: "a.".into(), ..gru() }), table_of(&lstm())].concat();
    let file = file_of(&two);
    assert_eq!(
        text(&describe(&file, None, None).unwrap_err()),
        "the file has recurrent weights behind 'a.', 'rnn.'; choose one with --prefix"
    );
    assert_eq!(describe(&file, Some("rnn"), None).unwrap(), lstm());
    assert_eq!(
        text(&describe(&file, Some(""), None).unwrap_err()),
        "prefix '': no recurrent weights are behind it; the file has recurrent weights behind 'a.', 'rnn.'"
    );

    let none = file_of(&[("linear.weight".into(), vec![1]), ("bias_ih_l0".into(), vec![1])]);
    assert_eq!(
        text(&describe(&none, None, None).unwrap_err()),
        "the file has no recurrent weights, such as weight_ih_l0 or rnn.weight_ih_l0"
    );
    assert_eq!(
        text(&describe(&none, Some("linear"), None).unwrap_err()),
        "prefix 'linear.': no recurrent weights are behind it; the file has no recurrent weights"
    );

    // A tensor at the root that is no recurrent weight does not make it the place.
    let beside = [table_of(&lstm()), vec![("scale".into(), vec![])]].concat();
    assert_eq!(describe(&file_of(&beside), None, None).unwrap(), lstm());
    // At the root, everything is inside.
    let root = [table_of(&gru()), vec![("linear.weight".into(), vec![1]), ("b.weight_ih".into(), vec![1])]].concat();
    assert_eq!(
        text(&describe(&file_of(&root), None, None).unwrap_err()),
        "b.weight_ih: unused, no recurrent layer has it; linear.weight: unused, no recurrent layer has it"
    );
}

/// The state dict after these changes: `name` is not there, `name: sizes` has that shape.
fn edited(description: &Description, edits: &[&str]) -> TensorFile {
    let mut table = table_of(description);
    for edit in edits {
        let (name, sizes) = edit.split_once(':').map_or((*edit, None), |(name, sizes)| (name, Some(sizes)));
        table.retain(|(known, _)| known != name);
        let shape = |sizes: &str| sizes.split(',').filter_map(|size| size.trim().parse().ok()).collect();
        table.extend(sizes.map(|sizes| (name.into(), shape(sizes))));
    }
    file_of(&table)
}

/// A state dict, the cell that it is said to be, what is changed of it, and every problem it has then.
type Rule<'a> = (&'a Description, Option<Kind>, &'a [&'a str], &'a [&'a str]);

#[test]
fn each_rule_of_a_state_dict_is_told_by_name() {
    let (gru, lstm) = (gru(), lstm());
    let plain = Description { proj_size: 0, bidirectional: false, ..lstm.clone() };
    let deep = Description { hidden_sizes: vec![4; 4], ..gru.clone() };
    let cell = Description { cell: true, ..gru.clone() };
    let projected = Description { hidden_sizes: vec![5], bidirectional: false, ..lstm.clone() };
    let table: &[Rule<'_>] = &[
        // What is missing.
        (&gru, None, &["weight_ih_l0"], &["weight_ih_l0: missing"]),
        (&gru, None, &["weight_hh_l0"], &["weight_hh_l0: missing"]),
        (&gru, None, &["bias_hh_l0"], &["bias_hh_l0: missing, expected [12]"]),
        (&cell, None, &["bias_ih"], &["bias_ih: missing, expected [12]"]),
        (
            &lstm,
            None,
            &["rnn.weight_ih_l1_reverse", "rnn.weight_hr_l0", "rnn.bias_ih_l1"],
            &[
                "rnn.weight_hr_l0: missing, expected [2, 5]",
                "rnn.bias_ih_l1: missing, expected [20]",
                "rnn.weight_ih_l1_reverse: missing, expected [20, 4]",
            ],
        ),
        // A reverse in one layer, of one tensor: it asks for all of them.
        (
            &plain,
            None,
            &["rnn.weight_hh_l1_reverse: 20, 5"],
            &[
                "rnn.weight_ih_l0_reverse: missing, expected [20, 3]",
                "rnn.weight_hh_l0_reverse: missing, expected [20, 5]",
                "rnn.bias_ih_l0_reverse: missing, expected [20]",
                "rnn.bias_hh_l0_reverse: missing, expected [20]",
                "rnn.weight_ih_l1: expected [20, 10], got [20, 5]",
                "rnn.weight_ih_l1_reverse: missing, expected [20, 10]",
                "rnn.bias_ih_l1_reverse: missing, expected [20]",
                "rnn.bias_hh_l1_reverse: missing, expected [20]",
            ],
        ),
        // A bias in one layer.
        (
            &Description { bias: false, ..plain.clone() },
            None,
            &["rnn.bias_hh_l1: 20"],
            &[
                "rnn.bias_ih_l0: missing, expected [20]",
                "rnn.bias_hh_l0: missing, expected [20]",
                "rnn.bias_ih_l1: missing, expected [20]",
            ],
        ),
        // A projection in one layer; the other's H cannot be known then.
        (
            &plain,
            None,
            &["rnn.weight_hr_l1: 2, 5"],
            &[
                "rnn.weight_hr_l0: missing",
                "rnn.weight_ih_l1: expected [20, 2], got [20, 5]",
                "rnn.weight_hh_l1: expected [20, 2], got [20, 5]",
            ],
        ),
        // Shapes.
        (&gru, None, &["weight_ih_l0: 16, 1"], &["weight_ih_l0: expected [12, 1], got [16, 1]"]),
        (&gru, None, &["weight_ih_l0: 12"], &["weight_ih_l0: expected 2 dimensions, got [12]"]),
        (&gru, None, &["weight_hh_l0: 12, 4, 1"], &["weight_hh_l0: expected 2 dimensions, got [12, 4, 1]"]),
        (&gru, Some(Kind::Gru), &["weight_hh_l0:"], &["weight_hh_l0: expected 2 dimensions, got []"]),
        (
            &gru,
            None,
            &["weight_hh_l0: 12", "bias_ih_l0: 1, 12"],
            &["weight_hh_l0: expected 2 dimensions, got [12]", "bias_ih_l0: expected 1 dimension, got [1, 12]"],
        ),
        (&gru, None, &["bias_ih_l0: 12, 1"], &["bias_ih_l0: expected [12], got [12, 1]"]),
        (&cell, None, &["bias_hh: 13"], &["bias_hh: expected [12], got [13]"]),
        (
            &deep,
            None,
            &["weight_ih_l1: 12, 5", "weight_ih_l3: 12, 8"],
            &["weight_ih_l1: expected [12, 4], got [12, 5]", "weight_ih_l3: expected [12, 4], got [12, 8]"],
        ),
        // Another H in one layer: this, and what the next one reads.
        (
            &deep,
            None,
            &["weight_hh_l1: 15, 5"],
            &[
                "weight_ih_l1: expected [15, 4], got [12, 4]",
                "bias_ih_l1: expected [15], got [12]",
                "bias_hh_l1: expected [15], got [12]",
                "weight_ih_l2: expected [12, 5], got [12, 4]",
            ],
        ),
        (
            &lstm,
            None,
            &[
                "rnn.weight_ih_l0_reverse: 20, 4",
                "rnn.weight_hh_l0_reverse: 20, 3",
                "rnn.weight_ih_l1: 20, 2",
                "rnn.weight_hr_l1_reverse: 3, 5",
            ],
            &[
                "rnn.weight_ih_l0_reverse: expected [20, 3], got [20, 4]",
                "rnn.weight_hh_l0_reverse: expected [20, 2], got [20, 3]",
                "rnn.weight_ih_l1: expected [20, 4], got [20, 2]",
                "rnn.weight_hr_l1_reverse: expected [2, 5], got [3, 5]",
            ],
        ),
        // Sizes of 0.
        (&gru, None, &["weight_hh_l0: 0, 0"], &["weight_hh_l0: expected hidden_size of at least 1, got [0, 0]"]),
        (&gru, None, &["weight_ih_l0: 12, 0"], &["weight_ih_l0: expected input_size of at least 1, got [12, 0]"]),
        (
            &projected,
            None,
            &["rnn.weight_hr_l0: 0, 5"],
            &["rnn.weight_hr_l0: expected proj_size of at least 1, got [0, 5]"],
        ),
        // The projection.
        (
            &Description { hidden_sizes: vec![2], ..projected.clone() },
            None,
            &[],
            &["rnn.weight_hr_l0: expected proj_size < hidden_size, got 2 and 2"],
        ),
        (
            &gru,
            None,
            &["weight_hh_l0: 12, 2", "weight_hr_l0: 2, 4"],
            &["weight_hr_l0: unused, only an lstm has a projection and this is of cell gru"],
        ),
        (
            &projected,
            None,
            &["rnn.weight_hh_l0: 21, 2"],
            &["rnn.weight_hh_l0: expected [20, 2] of cell lstm, got [21, 2]; say which cell it is with --cell"],
        ),
        // The cell.
        (
            &gru,
            None,
            &["weight_hh_l0: 8, 4"],
            &["weight_hh_l0: expected [4, 4] of cell rnn, [12, 4] of cell gru or [16, 4] of cell lstm, got [8, 4]; \
               say which cell it is with --cell"],
        ),
        (&gru, Some(Kind::Gru), &["weight_hh_l0: 8, 4"], &["weight_hh_l0: expected [12, 4], got [8, 4]"]),
        (&gru, Some(Kind::Lstm), &[], &["weight_hh_l0: expected [16, 4] of cell lstm, got [12, 4] of cell gru"]),
        (
            &gru,
            Some(Kind::Rnn),
            &["bias_ih_l0: 11"],
            &[
                "weight_hh_l0: expected [4, 4] of cell rnn, got [12, 4] of cell gru",
                "bias_ih_l0: expected [12], got [11]",
            ],
        ),
        (
            &projected,
            Some(Kind::Gru),
            &[],
            &["rnn.weight_hh_l0: expected [15, 2] of cell gru, got [20, 2] of cell lstm"],
        ),
        // The first weight that is of any cell is what the others are held to.
        (
            &deep,
            None,
            &["weight_hh_l0: 8, 4", "weight_hh_l2: 16, 4"],
            &["weight_hh_l0: expected [12, 4], got [8, 4]", "weight_hh_l2: expected [12, 4], got [16, 4]"],
        ),
        // Layers by number.
        (
            &deep,
            None,
            &["weight_ih_l2", "weight_hh_l2", "bias_ih_l2", "bias_hh_l2"],
            &["weight_ih_l3: expected layer 2 next, as none is left out, got layer 3"],
        ),
        (
            &gru,
            None,
            &["bias_hh_l18446744073709551615: 12"],
            &[
                "bias_hh_l18446744073709551615: expected layer 1 next, as none is left out, \
                 got layer 18446744073709551615",
                "weight_ih_l18446744073709551615: missing",
                "weight_hh_l18446744073709551615: missing",
                "bias_ih_l18446744073709551615: missing",
            ],
        ),
        (
            &gru,
            None,
            &["weight_ih_l99999999999999999999: 12, 4", "bias_hh_l99999999999999999999: 12"],
            &["bias_hh_l99999999999999999999: expected layer 1 next, as none is left out, \
               got layer 99999999999999999999"],
        ),
        // What no layer has.
        (
            &gru,
            None,
            &[
                "h_0: 4",
                "weight_ih: 12, 1",
                "weight_ih_l: 12, 1",
                "weight_ih_l00: 12, 1",
                "weight_ih_l+1: 12, 1",
                "weight_ih_l0_reversed: 12, 1",
                "weight_ih_l0_reverse_reverse: 12, 1",
                "bias_hr_l0: 12",
                "Weight_ih_l0: 12, 1",
                "weight_ih_l0\n: 12, 1",
            ],
            &[
                "Weight_ih_l0: unused, no recurrent layer has it",
                "bias_hr_l0: unused, no recurrent layer has it",
                "h_0: unused, no recurrent layer has it",
                "weight_ih: unused, no recurrent layer has it",
                "weight_ih_l: unused, no recurrent layer has it",
                "weight_ih_l+1: unused, no recurrent layer has it",
                r"weight_ih_l0\n: unused, no recurrent layer has it",
                "weight_ih_l00: unused, no recurrent layer has it",
                "weight_ih_l0_reverse_reverse: unused, no recurrent layer has it",
                "weight_ih_l0_reversed: unused, no recurrent layer has it",
            ],
        ),
        (
            &cell,
            None,
            &["weight_hr: 2, 4", "weight_hh_reverse: 12, 4"],
            &["weight_hh_reverse: unused, no recurrent layer has it", "weight_hr: unused, no recurrent layer has it"],
        ),
    ];
    for (description, kind, edits, expected) in table {
        let file = edited(description, edits);
        match describe(&file, None, *kind).expect_err("this state dict is to be refused") {
            Error::Weights { path: Some(_), problems } => assert_eq!(&problems, expected, "{edits:?}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn thousands_of_layers_are_described() {
    let many = Description { hidden_sizes: vec![1; 5000], ..gru() };
    let mut table = table_of(&many);
    assert_eq!(describe(&file_of(&table), None, None).unwrap(), many);
    table.retain(|(name, _)| !name.ends_with('7'));
    let Error::Weights { problems, .. } = describe(&file_of(&table), None, None).unwrap_err() else { panic!() };
    assert_eq!(problems.len(), 500);
    assert_eq!(problems[1], "weight_ih_l18: expected layer 17 next, as none is left out, got layer 18");
}

/// Sizes as large as a file can say, in tensors without elements.
#[test]
fn attack_sizes_at_the_edge_of_what_can_be_multiplied() {
    const MOST: &str = "999999999999999999";
    let file = |ih: &str, hh: &str| {
        let entry = |shape| format!(r#"{{"dtype":"F32","shape":[{shape}],"data_offsets":[0,0]}}"#);
        raw_file(format!(r#"{{"weight_ih_l0":{},"weight_hh_l0":{}}}"#, entry(ih), entry(hh)), &[])
    };
    for (ih, hh, expected) in [
        (
            format!("0,{MOST}"),
            format!("0,{MOST}"),
            format!(
                "weight_hh_l0: expected [{MOST}, {MOST}] of cell rnn, [2999999999999999997, {MOST}] of cell gru or \
                 [3999999999999999996, {MOST}] of cell lstm, got [0, {MOST}]; say which cell it is with --cell"
            ),
        ),
        (
            format!("{MOST},0"),
            format!("{MOST},0"),
            format!(
                "weight_hh_l0: expected hidden_size of at least 1, got [{MOST}, 0]; \
                 weight_ih_l0: expected input_size of at least 1, got [{MOST}, 0]"
            ),
        ),
        (
            format!("{MOST},0,{MOST}"),
            "0".into(),
            format!(
                "weight_ih_l0: expected 2 dimensions, got [{MOST}, 0, {MOST}]; weight_hh_l0: expected 2 dimensions, got [0]"
            ),
        ),
    ] {
        assert_eq!(text(&describe(&open(&file(&ih, &hh)).unwrap(), None, None).unwrap_err()), expected);
    }

    for (description, overflows) in [
        (Description { hidden_sizes: vec![usize::MAX], ..gru() }, true),
        (Description { input_size: usize::MAX, ..gru() }, true),
        (Description { hidden_sizes: vec![1, usize::MAX / 2], ..gru() }, true),
        (Description { proj_size: usize::MAX, ..lstm() }, true),
        (Description { input_size: isize::MAX as usize / 12, ..lstm() }, true),
        (Description { hidden_sizes: vec![0; 3], ..lstm() }, false),
        (Description { hidden_sizes: vec![], input_size: usize::MAX, ..lstm() }, false),
    ] {
        match description.parameters() {
            Ok(0) => assert!(!overflows, "{description:?}"),
            Err(Error::Overflow { .. }) => assert!(overflows, "{description:?}"),
            other => panic!("{description:?}: {other:?}"),
        }
    }
}

#[test]
fn mutated_files_never_panic_and_are_what_they_are_described_as() {
    let folder = Folder::new();
    let path = folder.path("model");
    let original =
        crate_file(&table_of(&lstm()).iter().map(|(name, shape)| zeros(name, Dtype::F32, shape)).collect::<Vec<_>>());
    let header = 8 + usize::from(original[0]) + 256 * usize::from(original[1]);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % n as u64) as usize
    };
    const TEXT: &[u8] = b"0123456789ihr_lbws.\"\\,[]";
    let (mut described, mut formats, mut weights) = (0, 0, 0);
    for _ in 0..4000 {
        let mut contents = original.clone();
        for _ in 0..1 + below(2) {
            let at = 8 + below(header - 8);
            match (below(2), (at..header).find(|&at| contents[at].is_ascii_digit())) {
                (0, Some(at)) => contents[at] = TEXT[below(10)],
                _ => contents[at] = TEXT[below(TEXT.len())],
            }
        }
        fs::write(&path, &contents).unwrap();
        let file = match TensorFile::open(&path) {
            Ok(file) => file,
            Err(error) => {
                assert!(matches!(error, Error::Format { .. }), "{error}");
                formats += 1;
                continue;
            }
        };
        for kind in [None, Some(Kind::Rnn), Some(Kind::Lstm)] {
            match describe(&file, None, kind) {
                Ok(description) => {
                    described += 1;
                    let mut table = table_of(&description);
                    table.sort();
                    let inside = || file.iter().filter(|info| info.name.starts_with(&description.prefix));
                    assert_eq!(inside().map(|info| (info.name.into(), info.shape.into())).collect::<Table>(), table);
                    // Then it is loaded, unless another type came of F32.
                    let behind = |(name, shape): &'_ (String, Vec<usize>)| {
                        (name[description.prefix.len()..].to_string(), shape.clone())
                    };
                    let names: Vec<_> = table.iter().map(behind).collect();
                    let mut params =
                        params_of(&names.iter().map(|(name, shape)| (&name[..], &shape[..])).collect::<Vec<_>>());
                    let floats = inside().all(|info| info.dtype == "F32");
                    assert_eq!(file.load_into(&mut params, &LoadOptions::from(&description)).is_ok(), floats);
                }
                Err(error) => {
                    text(&error);
                    weights += 1;
                }
            }
        }
    }
    assert!(described > 100 && formats > 100 && weights > 100, "{described} {formats} {weights}");
}
