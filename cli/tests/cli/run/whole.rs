//! Whole models: an embedding, recurrent layers, a read-out, a head.

use std::fs;
use std::path::{Path, PathBuf};

use elman::format::TensorFile;
use elman::tensor::SeqRef;
use elman::{Activation, LayerKind, Model, ModelSpec, Readout, RecurrentSpec, Rng};
use serde_json::Value;
use tempfile::TempDir;

use crate::files::{f32s, i64s, read, write};
use crate::{run, told};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/models").join(format!("{name}.safetensors"))
}

/// A folder with a model of PyTorch's, and `x.safetensors` with the input that PyTorch ran it over.
fn folder(name: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::copy(fixture(name), folder.path().join("m.safetensors")).unwrap();
    let io = TensorFile::open(fixture(&format!("{name}_io"))).unwrap();
    let shape = io.info("input").unwrap().shape.to_vec();
    let input = match name {
        "classifier" => i64s("input", &shape, &io.read_integers("input").unwrap().1),
        _ => f32s("input", &shape, &io.read_f32("input").unwrap().1),
    };
    write(&folder.path().join("x.safetensors"), &[input]);
    folder
}

/// That these tensors of `y.safetensors` are PyTorch's.
fn assert_pytorch(folder: &Path, name: &str, tensors: &[&str]) {
    let io = TensorFile::open(fixture(&format!("{name}_io"))).unwrap();
    for tensor in tensors {
        let (shape, expected) = io.read_f32(tensor).unwrap();
        let (got_shape, got) = read(&folder.join("y.safetensors"), tensor);
        assert_eq!(got_shape, shape, "{tensor}");
        for (i, (got, expected)) in got.iter().zip(&expected).enumerate() {
            assert!((got - expected).abs() <= 1e-6 * expected.abs().max(1.0), "{tensor} {i}: {got} {expected}");
        }
    }
}

const OVER_X: [&str; 5] = ["run", "m.safetensors", "x.safetensors", "-o", "y.safetensors"];

#[test]
fn layers_in_words_settle_what_a_state_dict_does_not_say() {
    let folder = folder("classifier");
    let more = ["--layers", "embed, gru, last, fc1, relu, fc2", "--batch-first"];
    let (out, _) = run(folder.path(), &[&OVER_X[..], &more].concat()).noted();
    let words = "embed 11 → 6; gru, 1 layer, 2 directions, 6 input features, 7 hidden units; last step; fc1 14 → 8; relu; fc2 8 → 5";
    assert_eq!(told(&out, "model"), format!("model       {words}, 861 parameters, at gru."));
    assert_eq!(told(&out, "input"), "input       [4, 6]: 6 steps of 4 rows");
    assert_pytorch(folder.path(), "classifier", &["output", "h_n"]);

    let (out, _) = run(folder.path(), &[&OVER_X[..], &more, &["--json"]].concat()).noted();
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&report["input_shape"], &report["output_shape"]), (&[4, 6][..].into(), &[4, 5][..].into()));
    assert_eq!(
        (&report["cell"], &report["directions"], &report["parameters"]),
        (&"gru".into(), &2.into(), &861.into())
    );
}

#[test]
fn a_spec_says_what_a_state_dict_does_not() {
    let folder = folder("classifier");
    let mut gru = RecurrentSpec::gru(vec![7]);
    gru.bidirectional = true;
    let spec = ModelSpec::new(1)
        .layer("embed", LayerKind::embedding(11, 6))
        .layer("gru", gru)
        .layer("", Readout::Last)
        .layer("fc1", LayerKind::linear(8))
        .layer("", Activation::Relu)
        .layer("fc2", LayerKind::linear(5))
        .batch_first(true);
    let at = folder.path().join("spec");
    fs::write(&at, spec.to_string()).unwrap();
    run(folder.path(), &[&OVER_X[..], &["--spec", "spec"]].concat()).ok();
    assert_pytorch(folder.path(), "classifier", &["output", "h_n"]);

    fs::write(&at, "elman 1\ninputs 1\nlinear fc1 outputs=many\n").unwrap();
    run(folder.path(), &[&OVER_X[..], &["--spec", "spec"]].concat()).refused(1, &["error: spec: ", "line 3", "many"]);
    run(folder.path(), &[&OVER_X[..], &["--spec", "none"]].concat()).refused(1, &["cannot read none: "]);
}

#[test]
fn indices_are_checked_against_the_vocabulary() {
    let folder = folder("classifier");
    let layers = ["--layers", "embed, gru, fc1"];
    let refused = |expected: &str| {
        let line = run(folder.path(), &[&OVER_X[..], &layers].concat()).refused(1, &[]);
        assert_eq!(line, format!("error: {expected}"));
    };
    let x = folder.path().join("x.safetensors");
    write(&x, &[i64s("input", &[3, 2], &[0, 1, 2, 10, 11, 3])]);
    refused("input: expected indices from 0 to 10, got 11 at 4");
    write(&x, &[i64s("input", &[2], &[0, -1])]);
    refused("input: expected indices from 0 to 10, got -1 at 1");
    write(&x, &[i64s("input", &[1, 1, 1], &[0])]);
    refused("input: expected 1 or 2 dimensions, of indices, got [1, 1, 1]");
    write(&x, &[f32s("input", &[2], &[0.0, 1.0])]);
    refused("x.safetensors: input: expected I64, I32, I16, I8, U32, U16 or U8, got F32");

    // The same sequence as numbers in a CSV.
    write(&x, &[i64s("input", &[3], &[4, 0, 10])]);
    run(folder.path(), &[&OVER_X[..], &layers].concat()).noted();
    let (shape, expected) = read(&folder.path().join("y.safetensors"), "output");
    assert_eq!(shape, [3, 8]);
    fs::write(folder.path().join("x.csv"), "4\n0\n10\n").unwrap();
    let (out, _) = run(folder.path(), &[&["run", "m.safetensors", "x.csv"], &layers[..]].concat()).noted();
    let got: Vec<f32> =
        out.split([',', '\n']).filter(|field| !field.is_empty()).map(|field| field.parse().unwrap()).collect();
    assert_eq!(got, expected);
    for (text, expected) in [
        ("word\n4\n11\n", "x.csv: row 3: expected an index from 0 to 10, got 11"),
        ("0.5\n", "x.csv: row 1: expected an index from 0 to 10, got 0.5"),
        ("nan\n", "x.csv: row 1: expected an index from 0 to 10, got NaN"),
        ("-1\n", "x.csv: row 1: expected an index from 0 to 10, got -1"),
        ("1,2\n", "x.csv: expected 1 column, the index, got 2"),
    ] {
        fs::write(folder.path().join("x.csv"), text).unwrap();
        let line = run(folder.path(), &[&["run", "m.safetensors", "x.csv"], &layers[..]].concat()).refused(1, &[]);
        assert_eq!(line, format!("error: {expected}"));
    }
}

/// A row for each sequence, where one step of each is left.
#[test]
fn the_last_steps_of_a_batch_fit_a_csv() {
    let folder = folder("classifier");
    let more = ["--layers", "embed, gru, last, fc1, relu, fc2", "--batch-first"];
    run(folder.path(), &[&OVER_X[..], &more].concat()).noted();
    let (_, expected) = read(&folder.path().join("y.safetensors"), "output");
    let (out, _) = run(folder.path(), &[&["run", "m.safetensors", "x.safetensors"], &more[..]].concat()).noted();
    assert_eq!(out.lines().count(), 4);
    let got: Vec<f32> = out.lines().flat_map(|line| line.split(',')).map(|field| field.parse().unwrap()).collect();
    assert_eq!(got, expected);
}

#[test]
fn lengths_reach_the_read_out() {
    let folder = folder("classifier");
    let ids = [3, 1, 4, 1, 5, 9, 2, 6, 5];
    let more = ["--layers", "embed, gru, last, fc1, relu, fc2", "--batch-first"];
    let outputs = |tensors: &[crate::files::Raw<'_>]| {
        write(&folder.path().join("x.safetensors"), tensors);
        run(folder.path(), &[&OVER_X[..], &more].concat()).ok();
        read(&folder.path().join("y.safetensors"), "output")
    };
    let (shape, batch) = outputs(&[i64s("input", &[3, 3], &ids), i64s("lengths", &[3], &[2, 3, 1])]);
    assert_eq!(shape, [3, 5]);
    for (row, length) in [2, 3, 1].into_iter().enumerate() {
        let (shape, alone) = outputs(&[i64s("input", &[length], &ids[row * 3..][..length])]);
        assert_eq!((shape, &alone[..]), (vec![5], &batch[row * 5..][..5]), "row {row}");
    }
}

#[test]
fn weights_that_are_nan_are_noted() {
    let folder = folder("head");
    let path = folder.path().join("m.safetensors");
    let file = TensorFile::open(&path).unwrap();
    let mut tensors: Vec<_> =
        file.iter().map(|info| (info.name, info.shape.to_vec(), file.read_f32(info.name).unwrap().1)).collect();
    for (name, _, values) in &mut tensors {
        match *name {
            "lstm.bias_hh_l0" => values[5] = f32::NAN,
            "linear.weight" => values[..2].fill(f32::NAN),
            _ => {}
        }
    }
    let tensors: Vec<_> = tensors.iter().map(|(name, shape, values)| f32s(name, shape, values)).collect();
    write(&path, &tensors);
    let (_, notes) = run(folder.path(), &[&OVER_X[..], &["--layers", "lstm, linear"]].concat()).noted();
    assert_eq!(notes, ["3 weights are NaN, and computed with: in lstm.bias_hh_l0, linear.weight"]);
}

#[test]
fn the_head_of_a_network_is_run_with_it() {
    let folder = folder("head");
    let taken = "taken: lstm (1 layer), then linear 32 → 1 at every step, no activation: the file names none";
    let (out, notes) = run(folder.path(), &OVER_X).noted();
    assert_eq!(notes, [taken]);
    let words =
        "lstm, 1 layer, 1 direction, 1 input feature, 32 hidden units; linear 32 → 1, 4,513 parameters, at lstm.";
    assert_eq!(told(&out, "model"), format!("model       {words}"));
    assert_pytorch(folder.path(), "head", &["output", "h_n", "c_n"]);

    let out = run(folder.path(), &[&OVER_X[..], &["--json"]].concat()).ok();
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&report["notes"][0], &report["output_shape"]), (&taken.into(), &[9, 3, 1][..].into()));
}

#[test]
fn a_part_is_run_and_the_others_are_named() {
    let folder = folder("head");
    for prefix in ["lstm", "lstm."] {
        let (_, notes) = run(folder.path(), &[&OVER_X[..], &["--only", prefix]].concat()).noted();
        assert_eq!(notes, ["taken: lstm (1 layer) at every step; left aside: linear.bias, linear.weight"]);
        assert_eq!(read(&folder.path().join("y.safetensors"), "output").0, [9, 3, 32]);
        assert_pytorch(folder.path(), "head", &["h_n", "c_n"]);
    }
    // What the one part gives the other makes PyTorch's output of.
    let (_, hidden) = read(&folder.path().join("y.safetensors"), "output");
    write(&folder.path().join("x.safetensors"), &[f32s("input", &[9, 3, 32], &hidden)]);
    run(folder.path(), &[&OVER_X[..], &["--only", "linear"]].concat()).noted();
    assert_pytorch(folder.path(), "head", &["output"]);
    let expected = "prefix 'rnn.': no recurrent weights are behind it; the file has recurrent weights behind 'lstm.'";
    run(folder.path(), &[&OVER_X[..], &["--only", "rnn"]].concat()).refused(1, &[expected]);
}

#[test]
fn a_part_that_the_spec_names_is_run() {
    let folder = folder("head");
    let encoder = ModelSpec::new(1).layer("rnn", RecurrentSpec::lstm(vec![5])).layer("fc", LayerKind::linear(2));
    let decoder = ModelSpec::new(4).layer("rnn", RecurrentSpec::gru(vec![3]));
    let spec = ModelSpec::new(1).part("encoder", encoder).part("decoder", decoder);
    let model = Model::init(spec, &mut Rng::new(1)).unwrap();
    model.save(folder.path().join("m.safetensors")).unwrap();
    let (_, notes) = run(folder.path(), &[&OVER_X[..], &["--only", "encoder"]].concat()).noted();
    let expected = "taken: the part encoder; left aside: decoder.rnn.bias_hh_l0, decoder.rnn.bias_ih_l0, ";
    assert!(notes[0].starts_with(expected) && notes.len() == 1, "{notes:?}");
    let (_, x) = read(&folder.path().join("x.safetensors"), "input");
    let output = model.part("encoder").unwrap().run(SeqRef::new(&x, 9, 3, 1).unwrap()).unwrap();
    assert_eq!(
        read(&folder.path().join("y.safetensors"), "output"),
        (vec![9, 3, 2], output.values().flat().unwrap().into())
    );
    let line = run(folder.path(), &OVER_X).refused(2, &[]);
    assert_eq!(line, "error: m.safetensors: expected one of its parts by --only, encoder, decoder, got none");
}

#[test]
fn a_file_of_two_readings_is_refused_with_what_settles_it() {
    let folder = folder("classifier");
    let words = [
        "error: m.safetensors: more than one reading: gru (1 layer, both directions); embed: an embedding of 11 by 6; fc1: ",
        "fc2: a linear layer 8 → 5; say which with --layers, such as --layers 'lstm, last, fc1, relu, fc2', ",
        "--spec FILE",
        "--only",
    ];
    run(folder.path(), &OVER_X).refused(1, &words);
    let layers = |list: &str| run(folder.path(), &[&OVER_X[..], &["--layers", list]].concat());
    layers("embed, gru, fc3").refused(2, &["error: --layers: expected ", "got 'fc3'"]);
    layers("embed, gru, fc2").refused(2, &["error: fc2: expected 14 input features", "got 8"]);
}

#[test]
fn tensors_are_read_by_other_names() {
    let folder = folder("head");
    let path = folder.path().join("m.safetensors");
    let file = TensorFile::open(&path).unwrap();
    let names: Vec<_> =
        file.names().map(|name| format!("net.{name}").replace("weight_hh_l0", "weight_hh_l0_raw")).collect();
    let values: Vec<_> = file.iter().map(|info| (info.shape.to_vec(), file.read_f32(info.name).unwrap().1)).collect();
    let tensors: Vec<_> = names.iter().zip(&values).map(|(name, (shape, values))| f32s(name, shape, values)).collect();
    write(&path, &tensors);
    let hint = "rename it to net.lstm.weight_hh_l0 to have it read";
    run(folder.path(), &OVER_X).refused(1, &["net.lstm.weight_hh_l0_raw: ", hint]);
    let rename = ["--rename", "net.=", "--rename", "lstm.weight_hh_l0_raw=lstm.weight_hh_l0"];
    run(folder.path(), &[&OVER_X[..], &rename].concat()).noted();
    assert_pytorch(folder.path(), "head", &["output", "h_n", "c_n"]);

    let refused = |rename: &str, code, words: &[&str]| {
        run(folder.path(), &[&OVER_X[..], &["--rename", rename]].concat()).refused(code, words);
    };
    refused("lstm", 2, &["'lstm' for '--rename <OLD=NEW>': expected two names, OLD=NEW"]);
    refused("encoder.=", 1, &["m.safetensors: renaming 'encoder.' to '': no tensor's name begins so"]);
}
