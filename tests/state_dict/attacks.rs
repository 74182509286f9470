//! What is no whole safetensors file is refused, whether it is so by chance or on purpose.

use super::*;

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
    // What no writer makes, but the crate reads.
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
    let mut rng = Rng::new(1);
    let mut below = |n: usize| rng.below(n);
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
