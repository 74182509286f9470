//! What is written is read back, and what does not fit a model is told by name.

use super::*;

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
