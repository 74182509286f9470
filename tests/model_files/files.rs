//! Files, written and opened.

use std::fs;

use elman::format::{Dtype, LoadOptions, NO_METADATA, TensorFile, load, load_with, save, write_tensors};

use super::{Folder, bits, open, params_of, raw_file, text};

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
    let metadata = [("b", "2"), ("a", "\"")];
    write_tensors(&path, &tensors, metadata).unwrap();

    let file = TensorFile::open(&path).unwrap();
    assert_eq!(file.path(), Some(&*path));
    assert_eq!(file.names().collect::<Vec<_>>(), ["B", "a", "scalar", "z", "é\n"]);
    assert_eq!(file.metadata().collect::<Vec<_>>(), [("a", "\""), ("b", "2")]);
    assert_eq!(file.iter().map(|info| info.bytes).collect::<Vec<_>>(), [0, 12, 4, 8, 0]);
    for (name, shape, values) in tensors {
        let info = file.info(name).unwrap();
        let expected = (name, Dtype::F32, shape, 4 * values.len());
        assert_eq!((info.name, info.dtype, info.shape, info.bytes), expected);
        let (got_shape, got) = file.read_f32(name).unwrap();
        assert_eq!((&got_shape[..], bits(&got)), (shape, bits(values)));
    }

    // In any order, and by the other way to write: the same bytes.
    let whole = fs::read(&path).unwrap();
    let (mut reversed, mut pairs) = (tensors, metadata);
    reversed.reverse();
    pairs.reverse();
    write_tensors(&path, &reversed, pairs).unwrap();
    assert_eq!(fs::read(&path).unwrap(), whole);
    let mut params = params_of(&tensors.map(|(name, shape, _)| (name, shape)));
    load(&path, &mut params).unwrap();
    save(&path, &params, metadata).unwrap();
    assert_eq!(fs::read(&path).unwrap(), whole);
}

#[test]
fn what_no_reader_could_read_is_not_written() {
    let folder = Folder::new();
    let path = folder.path("model");
    type Tensors<'a> = &'a [(&'a str, &'a [usize], &'a [f32])];
    type Metadata<'a> = &'a [(&'a str, &'a str)];
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
        (&[], &[("k", "1"), ("k", "2")], "metadata key: expected one that is not taken, got 'k' twice"),
    ];
    for (tensors, metadata, expected) in table {
        assert_eq!(write_tensors(&path, tensors, metadata.iter().copied()).unwrap_err().to_string(), expected);
        assert!(!path.exists());
    }
    write_tensors(&path, &[("a", &[0, 999_999_999_999_999_999], &[])], NO_METADATA).unwrap();
    assert_eq!(TensorFile::open(&path).unwrap().info("a").unwrap().shape, [0, 999_999_999_999_999_999]);
}

const ENDS: &str =
    "truncated, or with something appended: the tensors of its header do not end where the file does, at byte";

#[test]
fn truncated_and_longer_files_are_refused_at_every_length() {
    let folder = Folder::new();
    write_tensors(folder.path("whole"), &[("a", &[3], &[0.0; 3])], NO_METADATA).unwrap();
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
            "not a safetensors file: this is a zip archive: unpack it first",
        ),
        (
            b"GGUF\0\0\0\0abc".to_vec(),
            "not a safetensors file: this is a GGUF file, a format of large language models: expected safetensors",
        ),
        (
            [&[0xff; 8], &b"{          }"[..]].concat(),
            "not a safetensors file: its first 8 bytes say that the header has 18446744073709551615 bytes, \
             expected at most 100000000",
        ),
        (vec![0xff; 20], "not a safetensors file: binary data of an unknown kind"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec(), "not a safetensors file: binary data of an unknown kind"),
        (raw_file(format!(r#"{{"a":{entry},"a":{entry}}}"#), &[0; 4]), "a: twice in the header"),
        (raw_file(format!(r#"{{"a":{entry},"\u0061":{entry}}}"#), &[0; 4]), "a: twice in the header"),
        (raw_file(overlap, &[0; 8]), "b: its data_offsets overlap others, leave a hole before them, or run backwards"),
        (raw_file(large, &[0; 4]), "the header has a size or an offset of more than 18 digits"),
        (raw_file(overflow, &[]), "a tensor's shape has more elements than memory can address"),
        (raw_file(b"{\xff", &[]), "the header is not UTF-8: invalid utf-8 sequence of 1 bytes from index 1"),
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
    assert_eq!(file.read_integers("a").unwrap(), (vec![1], vec![7]));
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
    write_tensors(&path, &[("a", &[3], &[0.0; 3])], NO_METADATA).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
    assert_eq!(text_of(), format!("{ENDS} 1099511627776"));
}

#[cfg(unix)]
#[test]
fn pipes_and_devices_are_read_as_far_as_their_header_says() {
    let zero = TensorFile::open("/dev/zero").unwrap_err();
    assert!(text(&zero).starts_with("the header is not the JSON of a safetensors file: "), "{zero}");

    let folder = Folder::new();
    write_tensors(folder.path("whole"), &[("a", &[3], &[1.0, 2.0, 3.0])], NO_METADATA).unwrap();
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
    assert_eq!(through(&whole).unwrap().read_f32("a").unwrap().1, [1.0, 2.0, 3.0]);
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
