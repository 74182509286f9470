//! What `elman run` refuses, and with which words.

use std::fs;

use elman::format::{TensorFile, prefixes};

use super::{line, over_x, refuses};
use crate::files::{Raw, f32s, folder, i64s, random, write};
use crate::{names, run, tree};

/// A model, the tensors that it is given, further options, and the refusal.
type Refusal<'a> = (&'a str, Vec<Raw<'a>>, &'a [&'a str], &'a str);

fn check(cases: Vec<Refusal<'_>>) {
    let folder = folder();
    for (model, tensors, more, expected) in cases {
        refuses(&folder, model, &tensors, more, expected);
    }
}

fn x() -> Raw<'static> {
    random("input", &[5, 2, 3])
}

fn whole<'a>(name: &'a str, values: &[i64]) -> Raw<'a> {
    i64s(name, &[values.len()], values)
}

#[test]
fn inputs_that_do_not_fit_are_refused() {
    check(vec![
        ("gru", vec![random("input", &[5, 2, 7])], &[], "input: expected [5, 2, 3], got [5, 2, 7]"),
        ("gru", vec![random("input", &[5, 7])], &[], "input: expected [5, 3], got [5, 7]"),
        ("gru", vec![random("input", &[5])], &[], "input: expected 2 or 3 dimensions, got [5]"),
        ("gru", vec![random("input", &[1, 5, 2, 3])], &[], "input: expected 2 or 3 dimensions, got [1, 5, 2, 3]"),
        ("gru", vec![], &[], "x.safetensors: input: missing, the file has no such tensor"),
        ("gru", vec![whole("lengths", &[1])], &[], "x.safetensors: input: missing, the file has no such tensor"),
        (
            "gru",
            vec![i64s("input", &[1, 3], &[1, 2, 3])],
            &[],
            "x.safetensors: input: expected F32, F64, F16 or BF16, got I64",
        ),
        (
            "gru",
            vec![x(), random("h0", &[1, 2, 4])],
            &[],
            "x.safetensors: expected no tensors but input, h_0, c_0, lengths, resets, got 'h0'",
        ),
        (
            "gru",
            vec![random("inputs", &[1]), random("x\ny", &[1])],
            &[],
            r"x.safetensors: expected no tensors but input, h_0, c_0, lengths, resets, got 'inputs', 'x\ny'",
        ),
    ]);
}

#[test]
fn states_that_do_not_fit_are_refused() {
    check(vec![
        ("gru", vec![x(), random("h_0", &[2, 1, 4])], &[], "h_0: expected [1, 2, 4], got [2, 1, 4]"),
        ("gru", vec![x(), random("h_0", &[1, 4])], &[], "h_0: expected [1, 2, 4], got [1, 4]"),
        ("gru", vec![x(), random("h_0", &[1, 2, 4])], &["--batch-first"], "h_0: expected [1, 5, 4], got [1, 2, 4]"),
        ("gru", vec![random("input", &[5, 3]), random("h_0", &[1, 1, 4])], &[], "h_0: expected [1, 4], got [1, 1, 4]"),
        ("gru", vec![x(), random("c_0", &[1, 2, 4])], &[], "c_0: expected none, as cell gru has no c, got [1, 2, 4]"),
        ("rnn", vec![x(), random("c_0", &[1, 2, 4])], &[], "c_0: expected none, as cell rnn has no c, got [1, 2, 4]"),
        ("lstm", vec![x(), random("h_0", &[4, 2, 4])], &[], "h_0: expected [4, 2, 2], got [4, 2, 4]"),
        ("lstm", vec![x(), random("c_0", &[4, 2, 2])], &[], "c_0: expected [4, 2, 4], got [4, 2, 2]"),
    ]);
}

#[test]
fn lengths_and_resets_that_do_not_fit_are_refused() {
    check(vec![
        ("gru", vec![x(), whole("lengths", &[5])], &[], "lengths: expected [2], got [1]"),
        ("gru", vec![x(), whole("lengths", &[5, 5, 5])], &[], "lengths: expected [2], got [3]"),
        ("gru", vec![x(), i64s("lengths", &[], &[5])], &[], "lengths: expected [2], got []"),
        ("gru", vec![random("input", &[5, 3]), whole("lengths", &[5, 5])], &[], "lengths: expected [1], got [2]"),
        (
            "gru",
            vec![random("input", &[4, 3, 3]), whole("lengths", &[4, 0, -1])],
            &[],
            "lengths[2]: expected 0 to 4, the steps of the input, got -1",
        ),
        (
            "gru",
            vec![x(), whole("lengths", &[6, 7])],
            &[],
            "lengths[0]: expected 0 to 5, the steps of the input, got 6",
        ),
        ("gru", vec![x(), whole("lengths", &[1, 3])], &["--batch-first"], "lengths: expected [5], got [2]"),
        (
            "gru",
            vec![x(), f32s("lengths", &[2], &[1.0, 2.0])],
            &[],
            "x.safetensors: lengths: expected I64, I32, I16, I8, U32, U16 or U8, got F32",
        ),
        ("gru", vec![x(), whole("resets", &[0; 10])], &[], "resets: expected [5, 2], got [10]"),
        ("gru", vec![random("input", &[5, 3]), whole("resets", &[0; 4])], &[], "resets: expected [5], got [4]"),
        ("gru", vec![x(), random("resets", &[5, 2])], &[], "x.safetensors: resets: expected BOOL, got F32"),
    ]);
}

#[test]
fn an_output_too_large_for_memory_is_refused() {
    let folder = folder();
    // Rows without steps, of which every one has a state.
    let rows = 1 << 50;
    write(&folder.path().join("x.safetensors"), &[f32s("input", &[0, rows, 3], &[])]);
    let before = tree(folder.path());
    let words = ["error: run: needs ", ", of them ", " for the states and the file"];
    over_x(folder.path(), "gru", &[]).refused(1, &words);
    assert_eq!(tree(folder.path()), before);
}

/// A file that takes no room on the disk says that it holds a terabyte, of which nothing is read. How much memory there is
/// is known on Linux.
#[cfg(target_os = "linux")]
#[test]
fn a_file_too_large_for_memory_is_refused() {
    let folder = folder();
    let bytes = 1_u64 << 40;
    let (elements, name) = (bytes / 4, "weight_ih_l0");
    let header = format!(r#"{{"{name}":{{"dtype":"F32","shape":[{elements}],"data_offsets":[0,{bytes}]}}}}"#);
    let path = folder.path().join("large.safetensors");
    fs::write(&path, [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat()).unwrap();
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(8 + header.len() as u64 + bytes).unwrap();
    let refused = |args: &[&str], part| {
        run(folder.path(), args).refused(1, &[&format!("error: {}: needs ", args[0]), part, ", but there are "]);
    };
    refused(&["inspect", "large.safetensors"], "(1.0 TiB) for its tensors");
    refused(&["run", "large.safetensors", "x.safetensors"], "(3.0 TiB) for the model");
    refused(&["run", "gru.safetensors", "large.safetensors"], "(3.0 TiB) for the input");
}

#[test]
fn files_and_models_that_do_not_fit_are_refused() {
    let folder = folder();
    fs::write(folder.path().join("text"), "no tensors").unwrap();
    let on = |weights: &str, input: &str, output: &str, more: &[&str], code| {
        let args = ["run", weights, input, "-o", output];
        line(&folder, &[&args, more].concat(), code)
    };
    let (gru, x, y) = ("gru.safetensors", "x.safetensors", "y.safetensors");
    let same =
        |what: &str, path: &str| format!("error: --output: expected another file than {what}, got {path} for both");
    assert_eq!(on(gru, x, gru, &[], 2), same("the model", gru));
    assert_eq!(on(gru, x, "./gru.safetensors", &[], 2), same("the model", "./gru.safetensors"));
    assert_eq!(on(gru, x, x, &[], 2), same("the input", x));
    assert_eq!(on(gru, x, "none/y", &[], 1), "error: cannot write none/y: the folder none does not exist");
    // Before the work, and before what else is wrong.
    assert_eq!(on("none", "none", ".", &[], 1), "error: cannot write .: it is a folder; expected a file's name");
    assert!(on("none", x, y, &[], 1).starts_with("error: cannot read none: "));
    assert!(on(gru, "none", y, &[], 1).starts_with("error: cannot read none: "));
    assert!(on("text", x, y, &[], 1).starts_with("error: text: "));
    assert!(on(gru, "text", y, &[], 1).starts_with("error: text: "));
    assert_eq!(
        on(x, x, y, &[], 1),
        "error: x.safetensors: the file has no recurrent weights, such as weight_ih_l0 or rnn.weight_ih_l0"
    );
    assert_eq!(
        on("lstm.safetensors", x, y, &["--prefix", "rnn"], 1),
        "error: lstm.safetensors: prefix 'rnn.': no recurrent weights are behind it; the file has recurrent weights behind \
         'encoder.rnn.'"
    );
    assert_eq!(
        on(gru, x, y, &["--cell", "lstm"], 1),
        "error: gru.safetensors: weight_hh_l0: expected [16, 4] of cell lstm, got [12, 4] of cell gru"
    );
    assert_eq!(
        on(gru, x, y, &["--nonlinearity", "tanh"], 2),
        "error: --nonlinearity: expected none, as the model has no rnn, got tanh"
    );
    assert_eq!(
        on("lstm.safetensors", x, y, &["--nonlinearity", "relu"], 2),
        "error: --nonlinearity: expected none, as the model has no rnn, got relu"
    );
    assert_eq!(
        on("gelu.safetensors", x, y, &[], 1),
        "error: gelu.safetensors: nonlinearity in the metadata: expected tanh or relu, got gelu"
    );
    let invalid = |option: &str, value: &str| on(gru, x, y, &[option, value], 2);
    assert_eq!(
        invalid("--cell", "elman"),
        "error: invalid value 'elman' for '--cell <CELL>': expected rnn, gru or lstm"
    );
    assert_eq!(
        invalid("--nonlinearity", "gelu"),
        "error: invalid value 'gelu' for '--nonlinearity <NAME>': expected tanh or relu"
    );
    assert!(invalid("--threads", "0").contains("'0' for '--threads <N>': expected a whole number from 1 to"));
    assert_eq!(
        line(&folder, &["run"], 2),
        "error: the following required arguments were not provided: <MODEL> <INPUT>"
    );
    // Twice the same network, and neither chosen.
    let weights = TensorFile::open(folder.path().join(gru)).unwrap();
    let twice: Vec<_> = ["a.", "b."]
        .iter()
        .flat_map(|prefix| weights.iter().map(move |info| (format!("{prefix}{}", info.name), info)))
        .map(|(name, info)| (name, info.shape.to_vec(), weights.read_f32(info.name).unwrap().1))
        .collect();
    let twice: Vec<_> = twice.iter().map(|(name, shape, values)| f32s(name, shape, values)).collect();
    write(&folder.path().join("two.safetensors"), &twice);
    assert_eq!(prefixes(&TensorFile::open(folder.path().join("two.safetensors")).unwrap()).len(), 2);
    assert_eq!(
        on("two.safetensors", x, y, &[], 1),
        "error: two.safetensors: more than one reading: gru a (1 layer); gru b (1 layer); say which with --layers, such as \
         --layers 'lstm, last, fc1, relu, fc2', or with --spec FILE, or take a part with --only"
    );
    run(folder.path(), &["run", "--json", "two.safetensors", x, "-o", y, "--prefix", "b"]).ok();
    assert!(names(folder.path()).contains(&y.to_string()));
}
