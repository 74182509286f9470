//! Model files: what is written is read back to the bit, what does not fit is refused by name, and nothing that a file
//! says can bring a panic or half a model.
#![cfg(feature = "safetensors")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use elman::format::{NO_METADATA, check_writable, load, save, write_atomic};
use elman::{Error, ParamTable, Params};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use tempfile::TempDir;

const SINE_MODEL: &str = "tests/fixtures/sine_model.safetensors";

/// A tensor as the crate writes it: name, type, shape, bytes.
type Raw<'a> = (&'a str, Dtype, Vec<usize>, Vec<u8>);

fn params_of(table: &[(&str, &[usize])]) -> Params {
    let mut layout = ParamTable::new();
    for (name, shape) in table {
        layout.add(*name, shape).unwrap();
    }
    Params::zeros(layout)
}

/// The table of the sine tutorial's net, with recognisable values.
fn sine_params() -> Params {
    let mut params = params_of(&[
        ("rnn.weight_ih_l0", &[16, 1]),
        ("rnn.weight_hh_l0", &[16, 16]),
        ("rnn.bias_ih_l0", &[16]),
        ("rnn.bias_hh_l0", &[16]),
        ("linear.weight", &[1, 16]),
        ("linear.bias", &[1]),
    ]);
    count_up(&mut params);
    params
}

/// Two tensors, against their order in a file.
fn small_params() -> Params {
    let mut params = params_of(&[("b", &[2, 1]), ("a", &[1])]);
    count_up(&mut params);
    params
}

fn count_up(params: &mut Params) {
    for (i, value) in params.data_mut().iter_mut().enumerate() {
        *value = i as f32 + 0.5;
    }
}

fn bits(params: &Params) -> Vec<u32> {
    params.data().iter().map(|value| value.to_bits()).collect()
}

fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn raw<'a>(name: &'a str, shape: &[usize], fill: f32) -> Raw<'a> {
    (name, Dtype::F32, shape.into(), f32_bytes(&vec![fill; shape.iter().product()]))
}

/// What fits `small_params`, all 9.
fn small_raw() -> Vec<Raw<'static>> {
    vec![raw("a", &[1], 9.0), raw("b", &[2, 1], 9.0)]
}

/// The file that the crate makes of these.
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

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// What loading these bytes is refused with; also that the parameters are as they were and the message is one line
/// that begins with the file's name.
fn refused(contents: &[u8], params: &mut Params) -> Error {
    let folder = Folder::new();
    let path = folder.path("model.safetensors");
    fs::write(&path, contents).unwrap();
    let before = bits(params);
    let error = load(&path, params).expect_err("this file is to be refused");
    assert_eq!(bits(params), before, "touched by a load that failed: {error}");
    let text = error.to_string();
    assert!(text.starts_with(&format!("{}: ", path.display())), "{text}");
    assert!(!text.chars().any(char::is_control), "{text:?}");
    error
}

/// The reason why these bytes are no safetensors file.
fn reason(contents: &[u8]) -> String {
    match refused(contents, &mut small_params()) {
        Error::Format { reason, .. } => reason,
        other => panic!("expected Format, got {other:?}"),
    }
}

/// The tensors of the file that do not fit.
fn problems(tensors: &[Raw<'_>]) -> Vec<String> {
    match refused(&crate_file(tensors), &mut small_params()) {
        Error::Weights { path: Some(_), problems, .. } => problems,
        other => panic!("expected Weights, got {other:?}"),
    }
}

// What is written is read back.

#[test]
fn a_round_trip_keeps_every_bit() {
    let special = [
        0.0,
        -0.0,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MIN_POSITIVE,
        f32::MAX,
        f32::from_bits(1),
        f32::from_bits(0x807f_ffff),
        f32::from_bits(0x7fc0_0000),
        f32::from_bits(0xffc1_2345),
        f32::from_bits(0x7f80_0001),
        f32::from_bits(0xffbf_ffff),
    ];
    let table: &[(&str, &[usize])] =
        &[("z", &[3, 4]), ("scalar", &[]), ("empty", &[0, 5]), ("a", &[2, 1, 2]), ("é \"\\\n\u{1}", &[1])];
    let mut saved = params_of(table);
    count_up(&mut saved);
    saved.set("z", &[3, 4], &special).unwrap();
    let folder = Folder::new();
    let path = folder.path("model.safetensors");
    save(&path, &saved, NO_METADATA).unwrap();

    let mut loaded = params_of(table);
    load(&path, &mut loaded).unwrap();
    assert_eq!(bits(&loaded), bits(&saved));
    let (_, z) = loaded.named("z").unwrap();
    assert_eq!(z.iter().map(|z| z.to_bits()).collect::<Vec<_>>(), special.map(f32::to_bits));
    assert_eq!(folder.names(), ["model.safetensors"]);
}

#[test]
fn a_model_without_tensors_is_a_file_too() {
    let folder = Folder::new();
    save(folder.path("none"), &params_of(&[]), NO_METADATA).unwrap();
    load(folder.path("none"), &mut params_of(&[])).unwrap();
}

#[test]
fn pytorchs_file_is_loaded() {
    let mut params = sine_params();
    load(Path::new(SINE_MODEL), &mut params).unwrap();
    // As torch.Tensor.view(torch.int32) shows the first and the last element of each.
    let expected = [
        ("rnn.weight_ih_l0", -1_105_940_179, 1_042_015_872),
        ("rnn.weight_hh_l0", 1_026_057_592, 1_024_853_855),
        ("rnn.bias_ih_l0", -1_127_349_940, 1_018_144_586),
        ("rnn.bias_hh_l0", -1_126_715_615, 1_017_783_291),
        ("linear.weight", -1_096_382_659, 1_049_635_862),
        ("linear.bias", -1_103_635_706, -1_103_635_706),
    ];
    for (name, first, last) in expected {
        let (_, values) = params.named(name).unwrap();
        let ends = [values[0], values[values.len() - 1]].map(|value| value.to_bits().cast_signed());
        assert_eq!(ends, [first, last], "{name}");
    }
    let contents = fs::read(SINE_MODEL).unwrap();
    let file = SafeTensors::deserialize(&contents).unwrap();
    for (name, _, values) in params.iter() {
        assert_eq!(f32_bytes(values), file.tensor(name).unwrap().data(), "{name}");
    }
}

#[test]
fn pytorchs_file_is_written_to_the_byte() {
    let mut params = sine_params();
    load(Path::new(SINE_MODEL), &mut params).unwrap();
    let folder = Folder::new();
    save(folder.path("again"), &params, [("torch", "2.15.0+cu132")]).unwrap();
    assert_eq!(fs::read(folder.path("again")).unwrap(), fs::read(SINE_MODEL).unwrap());
}

#[test]
fn the_same_parameters_and_metadata_are_the_same_bytes() {
    let folder = Folder::new();
    let metadata = ["epoch", "loss", "cell", "format", "bidirectional"].map(|key| (key, format!("{key}'s value")));
    let bytes = |name: &str, metadata: &[(&str, String)]| {
        save(folder.path(name), &small_params(), metadata.iter().map(|(key, value)| (key, value))).unwrap();
        fs::read(folder.path(name)).unwrap()
    };
    let once = bytes("once", &metadata);
    assert_eq!(once, bytes("again", &metadata));
    let mut reversed = metadata.clone();
    reversed.reverse();
    assert_eq!(once, bytes("reversed", &reversed));

    // The data starts at a multiple of 8, whatever the header's length is.
    for len in 0..9 {
        let bytes = bytes("padded", &[("k", "v".repeat(len))]);
        assert_eq!((bytes.len() - 12) % 8, 0, "{len}");
        load(folder.path("padded"), &mut small_params()).unwrap();
    }
}

#[test]
fn metadata_of_any_text_is_read_by_the_crate() {
    let every: String = (0..0x250).filter_map(char::from_u32).chain("漢字 🦀 \u{2028}".chars()).collect();
    let folder = Folder::new();
    let path = folder.path("model.safetensors");
    save(&path, &small_params(), [(&every[..], &every[..]), ("", "")]).unwrap();
    let contents = fs::read(&path).unwrap();
    let (_, header) = SafeTensors::read_metadata(&contents).unwrap();
    let metadata = header.metadata().clone().unwrap();
    assert_eq!((&metadata[&every], &metadata[""], metadata.len()), (&every, &String::new(), 2));
    load(&path, &mut small_params()).unwrap();

    // One key has one order: then the whole file is the crate's.
    save(&path, &small_params(), [(&every, &every)]).unwrap();
    let (a, b) = (f32_bytes(&[2.5]), f32_bytes(&[0.5, 1.5]));
    let views = [("a", vec![1], &a), ("b", vec![2, 1], &b)]
        .map(|(name, shape, data)| (name, TensorView::new(Dtype::F32, shape, data).unwrap()));
    let expected = serialize(views, Some([(every.clone(), every)].into())).unwrap();
    assert_eq!(fs::read(&path).unwrap(), expected);
}

#[test]
fn what_no_reader_could_read_is_not_written() {
    let folder = Folder::new();
    let path = folder.path("model.safetensors");
    let error = save(&path, &small_params(), [("k", "1"), ("j", "2"), ("k", "3")]).unwrap_err();
    assert_eq!(error.to_string(), "metadata key: expected one that is not taken, got 'k' twice");
    let error = save(&path, &params_of(&[("__metadata__", &[1])]), NO_METADATA).unwrap_err();
    assert_eq!(error.to_string(), "parameter name: expected one that the format does not use itself, got __metadata__");
    let error = save(&path, &params_of(&[]), [("k", "v".repeat(100_000_000))]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "header of names and metadata: expected at most 100000000 bytes, got 100000032 bytes"
    );
    assert!(folder.names().is_empty());
}

// What does not fit is refused by name.

#[test]
fn a_missing_tensor_is_named() {
    assert_eq!(problems(&small_raw()[..1]), ["b: missing, expected [2, 1]"]);
}

#[test]
fn an_unused_tensor_is_named() {
    let mut tensors = small_raw();
    tensors.push(raw("c.weight", &[1], 0.0));
    assert_eq!(problems(&tensors), ["c.weight: unused, the model has no such tensor"]);
}

#[test]
fn a_tensor_of_another_shape_is_named() {
    assert_eq!(problems(&[raw("a", &[1], 0.0), raw("b", &[1, 2], 0.0)]), ["b: expected [2, 1], got [1, 2]"]);
    assert_eq!(problems(&[raw("a", &[1], 0.0), raw("b", &[2], 0.0)]), ["b: expected [2, 1], got [2]"]);
    assert_eq!(problems(&[raw("a", &[], 0.0), raw("b", &[2, 1], 0.0)]), ["a: expected [1], got []"]);
    assert_eq!(problems(&[raw("a", &[1], 0.0), raw("b", &[3, 1], 0.0)]), ["b: expected [2, 1], got [3, 1]"]);
}

#[test]
fn a_tensor_of_another_type_is_named() {
    for (dtype, name, size) in [
        (Dtype::F8_E4M3, "F8_E4M3", 1),
        (Dtype::I64, "I64", 8),
        (Dtype::I32, "I32", 4),
        (Dtype::U32, "U32", 4),
        (Dtype::BOOL, "BOOL", 1),
    ] {
        let tensors = [raw("a", &[1], 0.0), ("b", dtype, vec![2, 1], vec![0; 2 * size])];
        assert_eq!(problems(&tensors), [format!("b: expected F32, F64, F16 or BF16, got {name}")]);
    }
    let both = [raw("a", &[1], 0.0), ("b", Dtype::U16, vec![2], vec![0; 4])];
    assert_eq!(problems(&both), ["b: expected F32, F64, F16 or BF16 [2, 1], got U16 [2]"]);
}

#[test]
fn every_problem_is_told_at_once() {
    let tensors = [
        raw("zz", &[1], 0.0),
        ("rnn.bias_ih_l0", Dtype::I16, vec![16], vec![0; 32]),
        raw("rnn.weight_hh_l0", &[16, 8], 0.0),
        raw("rnn.weight_ih_l0", &[16, 1], 0.0),
        raw("linear.weight", &[1, 16], 0.0),
        ("linear.bias", Dtype::I64, vec![2], vec![0; 16]),
        raw("extra", &[], 0.0),
    ];
    let error = refused(&crate_file(&tensors), &mut sine_params());
    let Error::Weights { path: Some(path), problems, .. } = &error else { panic!("{error:?}") };
    let expected = [
        "rnn.weight_hh_l0: expected [16, 16], got [16, 8]",
        "rnn.bias_ih_l0: expected F32, F64, F16 or BF16, got I16",
        "rnn.bias_hh_l0: missing, expected [16]",
        "linear.bias: expected F32, F64, F16 or BF16 [1], got I64 [2]",
        "extra: unused, the model has no such tensor",
        "zz: unused, the model has no such tensor",
    ];
    assert_eq!(problems, &expected);
    assert_eq!(error.to_string(), format!("{}: {}", path.display(), expected.join("; ")));
}

#[test]
fn names_of_a_file_stay_on_one_line() {
    let long = "x".repeat(1000);
    let mut tensors = small_raw();
    tensors.extend([raw("\n\u{1b}[2J\u{202e}é'\"\\", &[1], 0.0), raw(&long, &[1], 0.0)]);
    let cut = "x".repeat(200);
    assert_eq!(
        problems(&tensors),
        [
            r#"\n\u{1b}[2J\u{202e}é'"\\: unused, the model has no such tensor"#,
            &format!("{cut}…: unused, the model has no such tensor")
        ]
    );
    let tensors = [raw("a", &[1], 0.0), raw("b", &[1; 500], 0.0)];
    assert_eq!(problems(&tensors), [format!("b: expected [2, 1], got [{}1…", "1, ".repeat(66))]);
}

// What is no whole safetensors file.

#[test]
fn truncation_at_every_length_is_refused() {
    let folder = Folder::new();
    save(folder.path("whole"), &small_params(), [("k", "v")]).unwrap();
    let whole = fs::read(folder.path("whole")).unwrap();
    let header = whole.len() - 8 - 12;
    for len in 0..whole.len() {
        let reason = reason(&whole[..len]);
        let expected = match len {
            0 => "the file is empty".into(),
            1..8 => format!("truncated: the file has {len} bytes, the length of the header alone has 8"),
            _ if len < 8 + header => {
                format!("truncated: header says {header} bytes, file has {} after its length", len - 8)
            }
            _ => format!(
                "truncated, or with something appended: the tensors of its header do not end where the file does, \
                 at byte {len}"
            ),
        };
        assert_eq!(reason, expected, "at {len}");
    }
    let longer = [&whole[..], &[0]].concat();
    assert!(reason(&longer).starts_with("truncated, or with something appended"));
}

/// Two F32 tensors with these `data_offsets` and shapes, 12 bytes of data.
fn offsets(a: (&str, &str), b: (&str, &str)) -> Vec<u8> {
    let entry = |(shape, offsets)| format!(r#"{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}"#);
    raw_file(format!(r#"{{"a":{},"b":{}}}"#, entry(a), entry(b)), &[0; 12])
}

const BAD_OFFSETS: &str = "its data_offsets overlap others, leave a hole before them, or run backwards";

#[test]
fn honest_offsets_by_hand_load() {
    let folder = Folder::new();
    fs::write(folder.path("model"), offsets(("[1]", "[0,4]"), ("[2,1]", "[4,12]"))).unwrap();
    load(folder.path("model"), &mut small_params()).unwrap();
    fs::write(folder.path("model"), offsets(("[1]", "[8,12]"), ("[2,1]", "[0,8]"))).unwrap();
    load(folder.path("model"), &mut small_params()).unwrap();
}

#[test]
fn attack_empty_file() {
    assert_eq!(reason(b""), "the file is empty");
}

#[test]
fn attack_header_length_u64_max() {
    assert_eq!(
        reason(&[&[0xff; 8][..], b"{}"].concat()),
        "not a safetensors file: its first 8 bytes say that the header has 18446744073709551615 bytes, \
         expected at most 100000000"
    );
    let most = [&100_000_000_u64.to_le_bytes()[..], b"{}"].concat();
    assert_eq!(reason(&most), "truncated: header says 100000000 bytes, file has 2 after its length");
    let more = [&100_000_001_u64.to_le_bytes()[..], b"{}"].concat();
    assert!(reason(&more).contains("has 100000001 bytes, expected at most"));
}

#[test]
fn attack_header_length_beyond_file() {
    let mut file = raw_file("{}", &[]);
    file[0] = 3;
    assert_eq!(reason(&file), "truncated: header says 3 bytes, file has 2 after its length");
}

#[test]
fn attack_header_without_bytes() {
    assert!(reason(&[0; 8]).starts_with("the header is not the JSON of a safetensors file: "));
}

#[test]
fn attack_not_json() {
    for header in ["{", "}", "[]", "null", "{\"a\"", "{:", "]]]]:", "hello", "\"", "\\\"", "{}{}", "{\"a\":1e400}"] {
        let reason = reason(&raw_file(header, &[]));
        assert!(reason.starts_with("the header is not the JSON of a safetensors file: "), "{header}: {reason}");
    }
}

#[test]
fn attack_deeply_nested_json() {
    let reason = reason(&raw_file(format!("{{\"a\":{}", "[".repeat(1_000_000)), &[]));
    assert!(reason.contains("recursion limit"), "{reason}");
}

#[test]
fn attack_unknown_type_with_a_long_name_of_control_characters() {
    let header = r#"{"a":{"dtype":"NAME","shape":[1],"data_offsets":[0,4]}}"#.replace("NAME", &"\\n".repeat(10_000));
    let reason = reason(&raw_file(header, &[0; 4]));
    assert!(reason.contains(r"unknown variant `\n\n") && reason.len() < 600, "{reason}");
}

#[test]
fn attack_invalid_utf8() {
    let reason = reason(&raw_file(b"{\"\xff\":{}}", &[]));
    assert_eq!(reason, "the header is not UTF-8: invalid utf-8 sequence of 1 bytes from index 2");
}

#[test]
fn attack_zip_file() {
    assert_eq!(
        reason(b"PK\x03\x04\0\0\x08\x08 and so on"),
        "not a safetensors file: this is a zip archive: unpack it first"
    );
}

#[test]
fn attack_overlapping_offsets() {
    assert_eq!(reason(&offsets(("[1]", "[0,4]"), ("[2,1]", "[0,8]"))), format!("b: {BAD_OFFSETS}"));
    assert_eq!(reason(&offsets(("[2]", "[0,8]"), ("[2,1]", "[4,12]"))), format!("b: {BAD_OFFSETS}"));
}

#[test]
fn attack_hole_between_tensors() {
    assert_eq!(reason(&offsets(("[1]", "[0,4]"), ("[1]", "[8,12]"))), format!("b: {BAD_OFFSETS}"));
    assert_eq!(reason(&offsets(("[1]", "[4,8]"), ("[1]", "[8,12]"))), format!("a: {BAD_OFFSETS}"));
}

#[test]
fn attack_offsets_beyond_the_data() {
    assert!(
        reason(&offsets(("[1]", "[0,4]"), ("[3]", "[4,16]"))).starts_with("truncated, or with something appended: ")
    );
    assert!(reason(&offsets(("[1]", "[0,4]"), ("[1]", "[4,8]"))).starts_with("truncated, or with something appended"));
    assert_eq!(
        reason(&offsets(("[1]", "[0,4]"), ("[2,1]", "[4,4000]"))),
        "a tensor's data_offsets do not fit its shape and type"
    );
}

#[test]
fn attack_offsets_reversed() {
    assert_eq!(reason(&offsets(("[1]", "[4,0]"), ("[2,1]", "[4,12]"))), format!("a: {BAD_OFFSETS}"));
    assert_eq!(reason(&offsets(("[1]", "[0,4]"), ("[2,1]", "[4,3]"))), format!("b: {BAD_OFFSETS}"));
    assert!(reason(&offsets(("[1]", "[-4,0]"), ("[2,1]", "[4,12]"))).contains("invalid value: integer `-4`"));
}

#[test]
fn attack_shape_product_overflow() {
    let overflow = "a tensor's shape has more elements than memory can address";
    assert_eq!(reason(&offsets(("[4294967296,4294967296]", "[0,0]"), ("[3]", "[0,12]"))), overflow);
    // The elements fit 64 bits, their bytes do not.
    assert_eq!(reason(&offsets(("[4294967296,1073741824]", "[0,0]"), ("[3]", "[0,12]"))), overflow);
}

#[test]
fn attack_offsets_whose_sum_overflows() {
    // Eight tensors, each valid by itself, end 8 bytes before 2^64: the crate adds the header to that, unchecked.
    let size = (1_u64 << 61) - 1;
    let entries: Vec<_> = (0..8)
        .map(|i| {
            let (start, end) = (i * size, (i + 1) * size);
            format!(r#""{i}":{{"dtype":"U8","shape":[{size}],"data_offsets":[{start},{end}]}}"#)
        })
        .collect();
    let reason = reason(&raw_file(format!("{{{}}}", entries.join(",")), &[]));
    assert_eq!(reason, "the header has a size or an offset of more than 18 digits");
}

#[test]
fn attack_duplicate_names() {
    // The crate reads all of these, and takes the last.
    let entry = r#"{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#;
    let rest = r#""b":{"dtype":"F32","shape":[2,1],"data_offsets":[4,12]}"#;
    let file = |header: String| raw_file(header, &[0; 12]);
    assert_eq!(reason(&file(format!(r#"{{"a":{entry},{rest},"a":{entry}}}"#))), "a: twice in the header");
    let stretched = r#"{"dtype":"F32","shape":[3],"data_offsets":[0,12]}"#;
    assert_eq!(reason(&file(format!(r#"{{"a":{stretched},"a":{entry},{rest}}}"#))), "a: twice in the header");
    let spelled = format!(r#"{{"a":{entry},"\u0061":{entry},{rest}}}"#);
    assert_eq!(reason(&file(spelled)), "a: twice in the header");
    let twice = format!(r#"{{"__metadata__":{{}},"a":{entry},"__metadata__":{{}},{rest}}}"#);
    assert!(reason(&file(twice)).contains("duplicate field `__metadata__`"));
    let inside = format!(r#"{{"a":{},{rest}}}"#, entry.replace("}", r#","shape":[1]}"#));
    assert!(reason(&file(inside)).contains("duplicate field `shape`"));
}

/// The last one won, so that a nonlinearity could change unseen.
#[test]
fn attack_duplicate_metadata() {
    let file = |metadata: &str| {
        let entry = r#"{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#;
        raw_file(format!(r#"{{"__metadata__":{metadata},"a":{entry}}}"#), &[0; 4])
    };
    let twice = "metadata key 'nonlinearity': twice in the header";
    assert_eq!(reason(&file(r#"{"nonlinearity":"tanh","a":"a","nonlinearity":"relu"}"#)), twice);
    assert_eq!(reason(&file(r#"{"nonlinearity":"tanh","\u006eonlinearity":"tanh"}"#)), twice);
    let folder = Folder::new();
    fs::write(folder.path("model"), file(r#"{"a":"a","dtype":"\"a\":"}"#)).unwrap();
    load(folder.path("model"), &mut params_of(&[("a", &[1])])).unwrap();
}

/// Of tensors of the same offsets, always the same one is named.
#[test]
fn attack_many_tensors_at_one_place() {
    let entry = r#"{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#;
    let header: Vec<_> = ('a'..='z').rev().map(|name| format!(r#""{name}":{entry}"#)).collect();
    let contents = raw_file(format!("{{{}}}", header.join(",")), &[0; 4]);
    for _ in 0..8 {
        assert_eq!(reason(&contents), format!("b: {BAD_OFFSETS}"));
    }
}

#[test]
fn names_and_metadata_like_json_are_not_taken_for_duplicates() {
    let folder = Folder::new();
    let path = folder.path("model");
    let names = [r#"a":{"b":"#, r#"\":"#, "}}", "]", "12345678901234567890", "a", "\\"];
    let mut params = params_of(&names.map(|name| (name, &[1][..])));
    count_up(&mut params);
    let before = bits(&params);
    for metadata in [vec![], vec![("a", "a"), ("\\\"", r#""},"a":{"#)]] {
        save(&path, &params, metadata).unwrap();
        params.data_mut().fill(0.0);
        load(&path, &mut params).unwrap();
        assert_eq!(bits(&params), before);
    }
    // No program writes it, but the crate reads it.
    let null = r#"{"__metadata__": null, "a" : {"dtype":"F32","shape":[1],"data_offsets":[0,4]} }"#;
    fs::write(&path, raw_file(null, &[0; 4])).unwrap();
    load(&path, &mut params_of(&[("a", &[1])])).unwrap();
}

#[test]
fn attack_sparse_file_of_a_terabyte() {
    let folder = Folder::new();
    let path = folder.path("huge");
    let file = fs::File::create(&path).unwrap();
    file.set_len(1 << 40).unwrap();
    let text = load(&path, &mut small_params()).unwrap_err().to_string();
    assert!(text.contains("the header is not"), "{text}");

    // An honest terabyte, which this model has no use for.
    let size = 1_u64 << 40;
    let header = format!(r#"{{"a":{{"dtype":"U8","shape":[{size}],"data_offsets":[0,{size}]}}}}"#);
    fs::write(&path, raw_file(&header, &[])).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_len(8 + header.len() as u64 + size).unwrap();
    let text = load(&path, &mut small_params()).unwrap_err().to_string();
    let expected = "too large: more than 24 bytes of tensors, and this model's have no more";
    assert!(text.ends_with(expected), "{text}");
}

#[cfg(unix)]
#[test]
fn attack_device_without_end() {
    let error = load(Path::new("/dev/zero"), &mut small_params()).unwrap_err();
    assert!(error.to_string().starts_with("/dev/zero: the header is not the JSON"), "{error}");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = Folder::new();
    let path = folder.path("none");
    let text = load(&path, &mut small_params()).unwrap_err().to_string();
    assert!(text.starts_with(&format!("cannot read {}: ", path.display())), "{text}");
    let text = load(folder.0.path(), &mut small_params()).unwrap_err().to_string();
    assert!(text.starts_with(&format!("cannot read {}: ", folder.0.path().display())), "{text}");
}

#[test]
fn mutated_files_never_panic_and_never_load_in_part() {
    let folder = Folder::new();
    let path = folder.path("model");
    let mut params = sine_params();
    save(&path, &small_params(), [("k", "v")]).unwrap();
    let small = fs::read(&path).unwrap();
    let sine = fs::read(SINE_MODEL).unwrap();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % n as u64) as usize
    };
    const JSON: &[u8] = b"0123456789\"\\{}[]:,abe-. \n\0";
    let (mut loaded, mut formats, mut weights) = (0, 0, 0);
    for round in 0..6000 {
        let (original, params) = if round % 2 == 0 { (&small, &mut small_params()) } else { (&sine, &mut params) };
        let mut contents = original.clone();
        let header = 8 + usize::from(contents[0]) + 256 * usize::from(contents[1]);
        for _ in 0..1 + below(3) {
            match below(5) {
                // Mostly in the header, where something is to be understood.
                0 | 1 => {
                    let at = below(header);
                    contents[at] ^= 1 << below(8);
                }
                2 => {
                    let at = below(header);
                    contents[at] = JSON[below(JSON.len())];
                }
                3 => {
                    let at = below(contents.len());
                    contents[at] ^= 1 << below(8);
                }
                _ if below(3) == 0 => contents.truncate(header + below(contents.len() - header + 1)),
                _ => {}
            }
            if contents.len() <= header {
                break;
            }
        }
        fs::write(&path, &contents).unwrap();
        let before = bits(params);
        match load(&path, params) {
            Ok(_) => {
                loaded += 1;
                let file = SafeTensors::deserialize(&contents).unwrap();
                assert_eq!(file.len(), params.iter().count());
                for (name, shape, values) in params.iter() {
                    let tensor = file.tensor(name).unwrap();
                    assert_eq!((tensor.dtype(), tensor.shape()), (Dtype::F32, shape), "round {round}: {name}");
                    assert_eq!(tensor.data(), f32_bytes(values), "round {round}: {name}");
                }
            }
            Err(error) => {
                assert_eq!(bits(params), before, "round {round}: {error}");
                match error {
                    Error::Format { .. } => formats += 1,
                    Error::Weights { problems, .. } => {
                        weights += 1;
                        assert!(!problems.is_empty());
                    }
                    other => panic!("round {round}: {other}"),
                }
            }
        }
    }
    // All three outcomes are met often enough to mean something.
    assert!(loaded > 100 && formats > 100 && weights > 100, "{loaded} {formats} {weights}");
}

// Files are replaced whole or not at all.

/// The text of the refusal to write there, the same from all three that write, in one line; and nothing is left.
fn unwritable(path: &Path) -> String {
    let text = check_writable(path).unwrap_err().to_string();
    assert_eq!(write_atomic(path, b"x").unwrap_err().to_string(), text);
    assert_eq!(save(path, &small_params(), NO_METADATA).unwrap_err().to_string(), text);
    let text = text.strip_prefix(&format!("cannot write {}: ", path.display())).unwrap_or_else(|| panic!("{text}"));
    assert!(!text.chars().any(char::is_control), "{text}");
    text.into()
}

#[test]
fn writing_makes_or_replaces_the_file_and_leaves_nothing_else() {
    let folder = Folder::new();
    let path = folder.path("x");
    check_writable(&path).unwrap();
    assert!(folder.names().is_empty());
    for contents in ["first", "a longer second", "3"] {
        write_atomic(&path, contents.as_bytes()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), contents);
        check_writable(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), contents);
        assert_eq!(folder.names(), ["x"]);
    }
    // As long as a name can be.
    write_atomic(folder.path(&"n".repeat(255)), b"").unwrap();
    assert_eq!(folder.names().len(), 2);
}

#[test]
fn into_a_missing_folder() {
    let folder = Folder::new();
    let missing = folder.path("missing");
    assert_eq!(unwritable(&missing.join("x")), format!("the folder {} does not exist", missing.display()));
    assert!(folder.names().is_empty());
}

#[test]
fn onto_a_folder() {
    let folder = Folder::new();
    let path = folder.path("x");
    fs::create_dir(&path).unwrap();
    assert_eq!(unwritable(&path), "it is a folder; expected a file's name");
    assert_eq!(unwritable(Path::new("/")), "it is a folder; expected a file's name");
    assert_eq!(folder.names(), ["x"]);
    assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
}

#[test]
fn into_a_path_that_names_no_file() {
    let folder = Folder::new();
    for path in ["x/", "x/.", "missing/.."] {
        assert_eq!(unwritable(&folder.path(path)), "expected a file's name", "{path}");
    }
    assert_eq!(unwritable(Path::new("")), "expected a file's name");
    assert!(folder.names().is_empty());
}

/// The temporary's name would be possible.
#[test]
fn under_a_name_that_cannot_be() {
    let folder = Folder::new();
    let text = unwritable(&folder.path(&"n".repeat(256)));
    assert!(text.contains("too long"), "{text}");
    assert!(check_writable(folder.path("n\0")).is_err() && write_atomic(folder.path("n\0"), b"x").is_err());
    assert!(folder.names().is_empty());
}

#[test]
fn below_a_regular_file() {
    let folder = Folder::new();
    let file = folder.path("file");
    fs::write(&file, "old").unwrap();
    assert_eq!(unwritable(&file.join("x")), format!("{} is not a folder", file.display()));
    assert_eq!((folder.names(), fs::read_to_string(&file).unwrap()), (vec!["file".into()], "old".into()));
}

/// Not even root can make a file in `/proc`; for others there is a folder without the write permission.
#[cfg(target_os = "linux")]
#[test]
fn into_a_folder_where_nothing_can_be_made() {
    use std::os::unix::fs::PermissionsExt;

    let text = unwritable(Path::new("/proc/elman.safetensors"));
    assert!(text.starts_with("no file can be made in the folder /proc: "), "{text}");

    let folder = Folder::new();
    let path = folder.path("x");
    fs::write(&path, "old").unwrap();
    fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o555)).unwrap();
    if fs::write(folder.path("probe"), "").is_err() {
        let text = unwritable(&path);
        assert!(text.starts_with("no file can be made in the folder ") && text.contains("Permission denied"), "{text}");
        assert_eq!(folder.names(), ["x"]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    }
    fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_read_only_file_survives() {
    let folder = Folder::new();
    let path = folder.path("x");
    fs::write(&path, "old").unwrap();
    let writable = fs::metadata(&path).unwrap().permissions();
    let mut readonly = writable.clone();
    readonly.set_readonly(true);
    fs::set_permissions(&path, readonly).unwrap();
    assert_eq!(unwritable(&path), "it is read-only");
    assert_eq!((folder.names(), fs::read_to_string(&path).unwrap()), (vec!["x".into()], "old".into()));
    fs::set_permissions(&path, writable).unwrap();
}

/// A socket stands for `/dev/null`, which root would take from the whole machine if this failed.
#[cfg(unix)]
#[test]
fn onto_what_is_no_regular_file() {
    let folder = Folder::new();
    let _socket = std::os::unix::net::UnixListener::bind(folder.path("x")).unwrap();
    assert_eq!(unwritable(&folder.path("x")), "it is not a regular file");
    assert_eq!(folder.names(), ["x"]);
}

/// In a folder such as `/tmp` no user may rename a file over another's: refused before the work and not after it. A process
/// of another user shows it, so only root can run this.
#[cfg(target_os = "linux")]
#[test]
fn another_users_file_in_a_sticky_folder_is_refused_before_the_work() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;

    let folder = Folder::new();
    let path = folder.path("model.safetensors");
    fs::write(&path, "old").unwrap();
    check_writable(&path).unwrap();
    if fs::metadata(&path).unwrap().uid() != 0 {
        eprintln!("skipped: another user's file takes root to make");
        return;
    }
    fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o1777)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    // Where that user may run it.
    let program = folder.path("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let output = std::process::Command::new(&program)
        .args(["--ignored", "--exact", "--nocapture", "is_refused_anothers_file"])
        .env("ELMAN_TEST_PATH", &path)
        .current_dir(&folder.0)
        .uid(65534)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    assert_eq!(folder.names(), ["model.safetensors", "program"]);
}

#[test]
#[ignore = "runs in a process of another user, which the test above starts"]
fn is_refused_anothers_file() {
    let Ok(path) = std::env::var("ELMAN_TEST_PATH") else { return };
    let error = check_writable(&path).unwrap_err().to_string();
    assert!(error.contains("it is another user's file, which the sticky folder "), "{error}");
    assert!(write_atomic(&path, b"x").is_err());
    check_writable(format!("{path}.new")).unwrap();
}

#[test]
fn a_name_alone_is_in_the_current_folder() {
    check_writable(Path::new("elman-test-of-a-name-alone")).unwrap();
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_permissions_kept() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let folder = Folder::new();
    let (file, link) = (folder.path("sub/file"), folder.path("link"));
    fs::create_dir(folder.path("sub")).unwrap();
    symlink("sub/file", &link).unwrap();
    assert_eq!(unwritable(&link), "it is a link to a file that does not exist");
    fs::write(&file, "old").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    write_atomic(&link, b"new").unwrap();
    assert!(link.is_symlink());
    assert_eq!(fs::read_to_string(&file).unwrap(), "new");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!((folder.names().len(), fs::read_dir(folder.path("sub")).unwrap().count()), (2, 1));
}

/// The system refuses in the middle of a write: a process of its own may write 512 bytes a file, the model has more.
#[cfg(unix)]
#[test]
fn an_existing_file_survives_a_write_that_fails_half_way() {
    let folder = Folder::new();
    let path = folder.path("model.safetensors");
    save(&path, &small_params(), NO_METADATA).unwrap();
    let old = fs::read(&path).unwrap();
    let output = std::process::Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$0\" --ignored --exact --nocapture writes_too_much"])
        .arg(std::env::current_exe().unwrap())
        .env("ELMAN_TEST_PATH", &path)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(folder.names(), ["model.safetensors"]);
    assert_eq!(fs::read(&path).unwrap(), old);
}

#[test]
#[ignore = "runs in a process that may not write much, which the test above starts"]
fn writes_too_much() {
    let Ok(path) = std::env::var("ELMAN_TEST_PATH") else { return };
    let error = save(Path::new(&path), &params_of(&[("a", &[100_000])]), NO_METADATA).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot write {path}: ")), "{error}");
}

#[test]
fn a_temporary_of_a_dead_process_is_no_obstacle() {
    let folder = Folder::new();
    // The counter is the process's: whichever it is at, one of these is in the way.
    for count in 0..5000 {
        fs::write(folder.path(&format!(".elman-{}-{count}.tmp", std::process::id())), "left").unwrap();
    }
    write_atomic(folder.path("x"), b"new").unwrap();
    assert_eq!(folder.names().len(), 5001);
    assert_eq!(fs::read_to_string(folder.path("x")).unwrap(), "new");
}

#[test]
fn a_reader_beside_two_writers_sees_whole_files_only() {
    let folder = Folder::new();
    let path = folder.path("x");
    write_atomic(&path, &[b'a'; 50_000]).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers = [b'b', b'c'].map(|byte| {
            let path = &path;
            scope.spawn(move || (0..20).for_each(|_| write_atomic(path, &[byte; 50_000]).unwrap()))
        });
        let reader = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let contents = fs::read(&path).unwrap();
                assert!(contents.len() == 50_000 && contents.iter().all(|&byte| byte == contents[0]));
            }
        });
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
    assert_eq!(folder.names(), ["x"]);
}
