//! Parameters behind a prefix.

use elman::format::{self, LoadOptions, LoadReport, describe, load, load_with};
use elman::{Params, Result};
use safetensors::tensor::Dtype;

use super::{Folder, Raw, bits, crate_file, open, params_of, text, vector, zeros};

/// `load_with` of such a file; the parameters are as they were where it fails.
fn loaded(tensors: &[Raw<'_>], params: &mut Params, options: &LoadOptions) -> Result<LoadReport> {
    let before = bits(params.data());
    let result = load_with(Folder::new().file(&crate_file(tensors)), params, options);
    if result.is_err() {
        assert_eq!(bits(params.data()), before);
    }
    result
}

fn behind(prefix: &str) -> LoadOptions {
    LoadOptions::new().prefix(prefix)
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
    let report = loaded(&tensors, &mut params, &LoadOptions::default()).unwrap();
    assert_eq!(
        report.to_string(),
        "weights rounded from F64 to F32 (1 tensor)\n\
         weights converted from F16 to F32 (1 tensor)\n\
         weights converted from BF16 to F32 (2 tensors)"
    );
    let converted: Vec<_> = report.converted.iter().map(|converted| (converted.from, converted.tensors)).collect();
    assert_eq!(converted, [(format::Dtype::F64, 1), (format::Dtype::F16, 1), (format::Dtype::BF16, 2)]);
    assert!(report.left_aside.is_empty());
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

    // A whole file is read the same way.
    let folder = Folder::new();
    let mut params = params_of(&[("f16", &[2])]);
    let report = load(folder.file(&crate_file(&tensors[2..3])), &mut params).unwrap();
    assert_eq!(report.to_string(), "weights converted from F16 to F32 (1 tensor)");
    assert_eq!(params.data(), &expected[6..8]);
}

#[test]
fn a_prefix_is_taken_with_its_dot_or_without() {
    let tensors = [
        ("encoder.rnn.a", Dtype::F32, vec![1], 1f32.to_le_bytes().to_vec()),
        ("encoder.rnn.b", Dtype::F32, vec![2, 1], [2f32, 3.0].map(f32::to_le_bytes).concat()),
        // Beside the network, and not looked at, whatever they are.
        zeros("encoder.rnnn.a", Dtype::F32, &[7]),
        zeros("encoder.rnn", Dtype::F32, &[7]),
        zeros("encoder.embed.weight", Dtype::I8, &[7]),
        zeros("a", Dtype::BOOL, &[1]),
    ];
    for prefix in ["encoder.rnn", "encoder.rnn."] {
        let mut params = params_of(SMALL);
        let report = loaded(&tensors, &mut params, &behind(prefix)).unwrap();
        assert!(report.converted.is_empty());
        assert_eq!(report.left_aside, ["a", "encoder.embed.weight", "encoder.rnn", "encoder.rnnn.a"]);
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
    assert_eq!((&options.prefix[..], options.unnumbered, options.flat), ("c.", true, true));
    let mut params = params_of(table);
    assert_eq!(
        file.load_into(&mut params, &options).unwrap().to_string(),
        "weights converted from BF16 to F32 (4 tensors)"
    );
    assert_eq!(params.data(), [0.0; 18]);
    tensors[0].0 = "c.weight_ih_l0";
    assert_eq!(
        text(&loaded(&tensors, &mut params, &options).unwrap_err()),
        "c.weight_ih: missing, expected [3, 1]; c.weight_ih_l0: unused, the model has no such tensor"
    );
}

#[test]
fn a_prefix_may_end_in_an_underscore() {
    let tensors = [
        ("enc_weight_ih_l0", Dtype::F32, vec![1, 1], 1f32.to_le_bytes().to_vec()),
        ("enc_weight_hh_l0", Dtype::F32, vec![1, 1], 2f32.to_le_bytes().to_vec()),
        zeros("dec_weight_ih_l0", Dtype::F32, &[1, 1]),
        zeros("dec_weight_hh_l0", Dtype::F32, &[1, 1]),
        zeros("fc.weight", Dtype::F32, &[1, 1]),
    ];
    let file = open(&crate_file(&tensors)).unwrap();
    assert_eq!(format::prefixes(&file), ["dec_", "enc_"]);
    let description = describe(&file, Some("enc_"), None).unwrap();
    assert_eq!(description.prefix, "enc_");
    let mut params = params_of(&[("weight_ih_l0", &[1, 1]), ("weight_hh_l0", &[1, 1])]);
    file.load_into(&mut params, &LoadOptions::from(&description)).unwrap();
    assert_eq!(params.data(), [1.0, 2.0]);
}

/// fastai drops connections of `weight_hh_l0` at every step of training: the true weight is `weight_hh_l0_raw`, beside
/// the module or in it.
#[test]
fn fastais_true_weight_is_not_passed_over() {
    for (layers, raw) in [("rnns.0.", "rnns.0."), ("rnns.0.module.", "rnns.0.")] {
        let raw = format!("{raw}weight_hh_l0_raw");
        let plain = format!("{layers}weight_hh_l0");
        let ih = format!("{layers}weight_ih_l0");
        let value = |name: &str, value: f32| {
            let name: &'static str = String::leak(name.into());
            (name, Dtype::F32, vec![1, 1], value.to_le_bytes().to_vec())
        };
        let tensors = [value(&ih, 1.0), value(&plain, 2.0), value(&raw, 3.0)];
        // With the dropped copy beside it, and without.
        for tensors in [&tensors[..], &[tensors[0].clone(), tensors[2].clone()]] {
            let file = open(&crate_file(tensors)).unwrap();
            let refusal = text(&describe(&file, None, None).unwrap_err());
            let expected = format!(
                "{raw}: this is the true weight that fastai drops connections of; rename it to {plain} to have it read"
            );
            assert!(refusal.starts_with(&expected), "{refusal}");
            let file = file.rename(&[(&raw, &plain)]).unwrap();
            let description = describe(&file, None, None).unwrap();
            let mut params = params_of(&[("weight_ih_l0", &[1, 1]), ("weight_hh_l0", &[1, 1])]);
            file.load_into(&mut params, &LoadOptions::from(&description)).unwrap();
            assert_eq!(params.data(), [1.0, 3.0]);
        }
    }
}

#[test]
fn names_and_beginnings_are_renamed() {
    let tensors = [
        zeros("model.rnn.weight", Dtype::F32, &[1]),
        zeros("model.rnn.bias", Dtype::F32, &[2]),
        zeros("head.weight", Dtype::F32, &[3]),
    ];
    let file = open(&crate_file(&tensors)).unwrap();
    for (renames, expected) in [
        (&[("model.", "")][..], Ok(["head.weight", "rnn.bias", "rnn.weight"])),
        (&[("", "net.")], Ok(["net.head.weight", "net.model.rnn.bias", "net.model.rnn.weight"])),
        (&[("head.weight", "fc.w"), ("model.rnn.", "fc.")], Ok(["fc.bias", "fc.w", "fc.weight"])),
        (&[("model", "m")], Err("renaming 'model' to 'm': the file has no such tensor")),
        (&[("modl.", "m.")], Err("renaming 'modl.' to 'm.': no tensor's name begins so")),
        (&[("model.rnn.", "head.")], Err("head.weight: two tensors have this name once 'model.rnn.' is 'head.'")),
    ] {
        match (file.rename(renames), expected) {
            (Ok(file), Ok(names)) => assert_eq!(file.names().collect::<Vec<_>>(), names),
            (Err(error), Err(expected)) => assert_eq!(text(&error), expected),
            (got, expected) => panic!("{got:?} {expected:?}"),
        }
    }
    // A whole name takes another's place.
    let file = file.rename(&[("model.rnn.bias", "head.weight")]).unwrap();
    assert_eq!(file.info("head.weight").unwrap().shape, [2]);
    // As an option of a load.
    let options = LoadOptions::new().prefix("rnn").rename("model.", "");
    let mut params = params_of(&[("weight", &[1]), ("bias", &[2])]);
    assert!(loaded(&tensors, &mut params, &options).unwrap().left_aside == ["head.weight"]);
}
