//! `elman run`.

use std::fs;
use std::path::{Path, PathBuf};

use elman::Rnn;
use elman::format::{TensorFile, prefixes};
use elman::internals::Kernels;
use safetensors::tensor::Dtype;
use serde_json::Value;
use tempfile::TempDir;

use crate::files::{Raw, bools, f32s, folder, i64s, model, random, read, write};
use crate::{Ran, names, run, told, tree};

const KEYS: [&str; 19] = [
    "kind",
    "nonlinearity",
    "prefix",
    "input_size",
    "hidden_sizes",
    "bidirectional",
    "bias",
    "proj_size",
    "parameters",
    "input",
    "steps",
    "batch",
    "tokens",
    "seconds",
    "tokens_per_second",
    "isa",
    "threads",
    "output",
    "notes",
];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/models").join(format!("{name}.safetensors"))
}

/// `elman run` of `{model}.safetensors` over `x.safetensors` into `y.safetensors`.
fn over_x(folder: &Path, model: &str, more: &[&str]) -> Ran {
    let weights = format!("{model}.safetensors");
    let args = ["run", "--weights", &weights, "--input", "x.safetensors", "--output", "y.safetensors"];
    run(folder, &[&args, more].concat())
}

/// Shape and elements of a tensor of `y.safetensors`.
fn got(folder: &Path, name: &str) -> (Vec<usize>, Vec<f32>) {
    read(&folder.join("y.safetensors"), name)
}

/// The output, h_n and, where there is one, c_n of a model over these tensors.
fn outcome(folder: &Path, model: &str, tensors: &[Raw<'_>], more: &[&str]) -> Vec<(Vec<usize>, Vec<f32>)> {
    write(&folder.join("x.safetensors"), tensors);
    let ran = over_x(folder, model, &[more, &["--json"]].concat());
    ran.ok();
    let file = TensorFile::open(&folder.join("y.safetensors")).unwrap();
    ["output", "h_n", "c_n"]
        .iter()
        .filter(|name| file.info(name).is_some())
        .map(|name| file.f32(name).unwrap())
        .collect()
}

#[test]
fn pytorchs_models_give_what_pytorch_gives() {
    for name in ["encoder_gru", "gru_cell", "lstm_f16", "lstm_bf16", "lstm_f64"] {
        let folder = TempDir::new().unwrap();
        let expected = TensorFile::open(&fixture(&format!("{name}_io"))).unwrap();
        let (_, input) = expected.f32("input").unwrap();
        let shape = expected.info("input").unwrap().shape.to_vec();
        write(&folder.path().join("x.safetensors"), &[f32s("input", &shape, &input)]);
        let weights = fixture(name);
        let mut args = vec!["run", "--weights", weights.to_str().unwrap()];
        args.extend(["--input", "x.safetensors", "--output", "y.safetensors"]);
        // By the prefix that the metadata names, and found.
        let (prefix, more): (_, &[&str]) =
            if name == "encoder_gru" { ("encoder.rnn", &["--batch-first"]) } else { ("", &[]) };
        for with_prefix in [false, true] {
            let given: &[&str] = if with_prefix { &["--prefix", prefix] } else { &[] };
            let (out, notes) = run(folder.path(), &[&args[..], more, given].concat()).noted();
            let type_of = name.strip_prefix("lstm_").map(str::to_uppercase);
            let verb = if name == "lstm_f64" { "rounded" } else { "converted" };
            let note = type_of.map(|from| format!("weights {verb} from {from} to F32 (5 tensors)"));
            assert_eq!(notes, note.into_iter().collect::<Vec<_>>(), "{out}");
            let tensors = ["output", "h_n", "c_n"].into_iter().filter(|tensor| expected.info(tensor).is_some());
            let all: Vec<_> = tensors.collect();
            assert_eq!(all.len(), TensorFile::open(&folder.path().join("y.safetensors")).unwrap().names().count());
            for tensor in all {
                let (shape, values) = expected.f32(tensor).unwrap();
                let (got_shape, got_values) = got(folder.path(), tensor);
                assert_eq!(got_shape, shape, "{name} {tensor}");
                for (i, (got, expected)) in got_values.iter().zip(&values).enumerate() {
                    assert!(
                        (got - expected).abs() <= 2e-6 * expected.abs().max(1.0),
                        "{name} {tensor} {i}: {got} {expected}"
                    );
                }
            }
        }
    }
}

#[test]
fn people_get_a_summary_and_notes() {
    let folder = folder();
    let (out, notes) = over_x(folder.path(), "rnn", &["--threads", "1"]).noted();
    assert_eq!(notes, ["nonlinearity tanh taken, as a state dict does not say; set it with --nonlinearity"]);
    let model = "rnn (tanh), 1 layer, 1 direction, 3 input features, 4 hidden units, 36 parameters";
    assert_eq!(told(&out, "model"), format!("model       {model}"));
    assert_eq!(told(&out, "input"), "input       [5, 2, 3]: 5 steps of 2 rows");
    let ran = told(&out, "run");
    assert!(ran.starts_with("run         10 tokens in 0.") && ran.contains(" tokens/s ("), "{out}");
    assert!(ran.ends_with(&format!("({}, 1 thread)", Kernels::active().unwrap().isa().name())), "{out}");
    assert_eq!(told(&out, "output"), "output      y.safetensors");
    assert_eq!(out.lines().count(), 4);

    let lengths = i64s("lengths", &[2], &[4, 0]);
    write(&folder.path().join("x.safetensors"), &[random("input", &[2, 5, 3]), lengths]);
    let (out, notes) = over_x(folder.path(), "lstm", &["--batch-first", "--threads", "2"]).noted();
    assert!(notes.is_empty());
    let model = "lstm, 2 layers, 2 directions, 3 input features, 4 hidden units, projected to 2, 512 parameters";
    assert_eq!(told(&out, "model"), format!("model       {model}, at encoder.rnn."));
    assert_eq!(told(&out, "input"), "input       [2, 5, 3]: 5 steps of 2 rows, 4 of 10 tokens real");
    assert!(told(&out, "run").ends_with(", up to 2 threads)"), "{out}");

    write(&folder.path().join("x.safetensors"), &[random("input", &[1, 3])]);
    let (out, _) = over_x(folder.path(), "gru", &[]).noted();
    assert_eq!(told(&out, "input"), "input       [1, 3]: 1 step");
}

#[test]
fn json_is_one_object_with_the_notes_in_it() {
    let folder = folder();
    let out = over_x(folder.path(), "rnn", &["--json", "--threads", "2"]).ok();
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(out.lines().count(), 1);
    assert_eq!(report.as_object().unwrap().len(), KEYS.len());
    // `Value` sorts its keys; their order is to be seen in the text.
    assert!(KEYS.map(|key| out.find(&format!("\"{key}\":")).expect(key)).is_sorted(), "{out}");
    assert_eq!(report["kind"], "rnn");
    assert_eq!(report["nonlinearity"], "tanh");
    assert_eq!(report["hidden_sizes"], serde_json::json!([4]));
    assert_eq!(report["parameters"], 36);
    assert_eq!(report["input"], serde_json::json!([5, 2, 3]));
    assert_eq!((&report["steps"], &report["batch"], &report["tokens"]), (&5.into(), &2.into(), &10.into()));
    assert_eq!((&report["threads"], &report["output"]), (&2.into(), &"y.safetensors".into()));
    assert_eq!(report["isa"], Kernels::active().unwrap().isa().name());
    assert!(report["seconds"].as_f64().unwrap() > 0.0);
    assert_eq!(report["notes"].as_array().unwrap().len(), 1);

    let out = over_x(folder.path(), "gru", &["--json"]).ok();
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&report["nonlinearity"], &report["notes"]), (&Value::Null, &serde_json::json!([])));
}

#[test]
fn the_output_says_what_it_is_of() {
    let folder = folder();
    over_x(folder.path(), "lstm", &["--batch-first"]).ok();
    let file = TensorFile::open(&folder.path().join("y.safetensors")).unwrap();
    let metadata = [
        ("batch_first", "true"),
        ("bias", "true"),
        ("bidirectional", "true"),
        ("hidden_size", "4"),
        ("input_size", "3"),
        ("kind", "lstm"),
        ("num_layers", "2"),
        ("prefix", "encoder.rnn."),
        ("proj_size", "2"),
    ];
    assert!(file.metadata().eq(metadata), "{:?}", file.metadata().collect::<Vec<_>>());
    over_x(folder.path(), "relu", &[]).ok();
    let file = TensorFile::open(&folder.path().join("y.safetensors")).unwrap();
    assert!(file.metadata().any(|pair| pair == ("nonlinearity", "relu")));
}

#[test]
fn relu_is_taken_from_the_option_or_the_metadata() {
    let folder = folder();
    let x = || vec![random("input", &[5, 2, 3])];
    let tanh = outcome(folder.path(), "rnn", &x(), &[]);
    let relu = outcome(folder.path(), "rnn", &x(), &["--nonlinearity", "relu"]);
    assert_ne!(tanh, relu);
    assert!(relu[0].1.iter().all(|&y| y >= 0.0));
    assert_eq!(outcome(folder.path(), "relu", &x(), &[]), relu);
    assert_eq!(outcome(folder.path(), "gelu", &x(), &["--nonlinearity", "relu"]), relu);
    assert_eq!(outcome(folder.path(), "relu", &x(), &["--nonlinearity", "tanh"]), tanh);

    assert!(over_x(folder.path(), "relu", &[]).noted().1.is_empty());
    let (_, notes) = over_x(folder.path(), "relu", &["--nonlinearity", "tanh"]).noted();
    assert_eq!(notes, ["nonlinearity tanh taken, as --nonlinearity says; the file's metadata says 'relu'"]);
}

#[test]
fn orientation_threads_and_full_lengths_change_no_bit() {
    let folder = folder();
    let (steps, rows) = (5, 2);
    let x = random("input", &[steps, rows, 3]);
    let bytes = x.3.clone();
    let turned: Vec<u8> = (0..rows)
        .flat_map(|b| (0..steps).flat_map(move |t| (t * rows + b) * 12..(t * rows + b + 1) * 12))
        .map(|i| bytes[i])
        .collect();
    let turned = ("input", Dtype::F32, vec![rows, steps, 3], turned);
    let states = [random("h_0", &[4, rows, 2]), random("c_0", &[4, rows, 4])];
    let mask = [false, true, false, false, true, false, false, false, false, true];
    let turned_mask: Vec<_> = (0..rows).flat_map(|b| (0..steps).map(move |t| mask[t * rows + b])).collect();
    let resets = bools("resets", &[steps, rows], &mask);
    let turned_resets =
        i64s("resets", &[rows, steps], &turned_mask.iter().map(|&m| i64::from(m) * 7).collect::<Vec<_>>());
    let lengths = i64s("lengths", &[rows], &[5, 5]);

    let with = |x: &Raw<'static>, more: &[&Raw<'static>]| -> Vec<Raw<'static>> {
        let more = more.iter().map(|&raw| raw.clone());
        [x.clone()].into_iter().chain(states.clone()).chain(more).collect()
    };
    let expected = outcome(folder.path(), "lstm", &with(&x, &[&resets]), &["--threads", "1"]);
    assert_eq!(expected[0].0, [steps, rows, 4]);
    assert_eq!((&expected[1].0[..], &expected[2].0[..]), (&[4, rows, 2][..], &[4, rows, 4][..]));
    let without = outcome(folder.path(), "lstm", &with(&x, &[]), &[]);
    assert_ne!(without, expected, "the resets count");
    assert_eq!(outcome(folder.path(), "lstm", &with(&x, &[&lengths]), &[]), without);
    assert_eq!(outcome(folder.path(), "lstm", &with(&x, &[&resets, &lengths]), &["--threads", "2"]), expected);

    for more in [&[&turned_resets][..], &[&turned_resets, &lengths]] {
        let got = outcome(folder.path(), "lstm", &with(&turned, more), &["--batch-first"]);
        assert_eq!(got[0].0, [rows, steps, 4]);
        for t in 0..steps {
            for b in 0..rows {
                assert_eq!(got[0].1[(b * steps + t) * 4..][..4], expected[0].1[(t * rows + b) * 4..][..4]);
            }
        }
        assert_eq!(got[1..], expected[1..]);
    }
}

#[test]
fn a_row_by_itself_is_the_row_in_a_ragged_batch() {
    let folder = folder();
    let x = random("input", &[5, 2, 3]);
    let row: Vec<u8> = (0..3).flat_map(|t| x.3[(t * 2 + 1) * 12..][..12].to_vec()).collect();
    let row = ("input", Dtype::F32, vec![3, 3], row);
    let (h, c) = (random("h_0", &[4, 1, 2]), random("c_0", &[4, 1, 4]));
    let twice = |(name, dtype, _, bytes): &Raw<'static>, width: usize| {
        let bytes = bytes.chunks(width * 4).flat_map(|row| row.repeat(2)).collect();
        (*name, *dtype, vec![4, 2, width], bytes)
    };
    let lengths = i64s("lengths", &[2], &[5, 3]);
    let batch = outcome(folder.path(), "lstm", &[x, twice(&h, 2), twice(&c, 4), lengths], &[]);
    let flat = |(name, dtype, shape, bytes): Raw<'static>| (name, dtype, vec![shape[0], shape[2]], bytes);
    let (h, c) = (flat(h), flat(c));
    // Batch-first has no effect on a single sequence, nor has a length that is its own.
    let scalar = i64s("lengths", &[], &[3]);
    for (more, lengths) in
        [(&[][..], None), (&["--batch-first"], None), (&[], Some(scalar)), (&[], Some(i64s("lengths", &[1], &[3])))]
    {
        let tensors: Vec<_> = [row.clone(), h.clone(), c.clone()].into_iter().chain(lengths).collect();
        let alone = outcome(folder.path(), "lstm", &tensors, more);
        assert_eq!((&alone[0].0[..], &alone[1].0[..], &alone[2].0[..]), (&[3, 4][..], &[4, 2][..], &[4, 4][..]));
        for t in 0..5 {
            let expected = if t < 3 { &alone[0].1[t * 4..][..4] } else { &[0.0; 4] };
            assert_eq!(batch[0].1[(t * 2 + 1) * 4..][..4], *expected, "step {t}");
        }
        for layer in 0..4 {
            assert_eq!(batch[1].1[(layer * 2 + 1) * 2..][..2], alone[1].1[layer * 2..][..2]);
            assert_eq!(batch[2].1[(layer * 2 + 1) * 4..][..4], alone[2].1[layer * 4..][..4]);
        }
    }
}

#[test]
fn half_a_state_is_completed_with_zeros() {
    let folder = folder();
    let x = || random("input", &[5, 2, 3]);
    let (h, c) = (random("h_0", &[4, 2, 2]), random("c_0", &[4, 2, 4]));
    let (no_h, no_c) = (f32s("h_0", &[4, 2, 2], &[0.0; 16]), f32s("c_0", &[4, 2, 4], &[0.0; 32]));
    let run = |tensors: &[Raw<'_>]| outcome(folder.path(), "lstm", tensors, &[]);
    assert_eq!(run(&[x(), h.clone()]), run(&[x(), h, no_c.clone()]));
    assert_eq!(run(&[x(), c.clone()]), run(&[x(), no_h.clone(), c]));
    assert_eq!(run(&[x()]), run(&[x(), no_h, no_c]));
}

#[test]
fn nothing_gives_nothing_and_the_state_stays() {
    let folder = folder();
    let state = |rows| [random("h_0", &[4, rows, 2]), random("c_0", &[4, rows, 4])];
    let floats = |raw: &Raw<'_>| -> Vec<f32> { raw.3.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect() };
    let cases = [
        (vec![0, 2, 3], 2, None),
        (vec![5, 2, 3], 2, Some(vec![0, 0])),
        (vec![5, 0, 3], 0, None),
        (vec![5, 0, 3], 0, Some(vec![])),
        (vec![0, 0, 3], 0, None),
        // What has no elements can have any size.
        (vec![100_000_000_000_000_000, 0, 3], 0, None),
        (vec![100_000_000_000_000_000, 0, 3], 0, Some(vec![])),
    ];
    for (shape, rows, lengths) in cases {
        for batch_first in [false, true] {
            let shape = if batch_first { vec![shape[1], shape[0], 3] } else { shape.clone() };
            let [h, c] = state(rows);
            let input = if shape.contains(&0) { f32s("input", &shape, &[]) } else { random("input", &shape) };
            let mut tensors = vec![input, h.clone(), c.clone()];
            tensors.extend(lengths.as_ref().map(|lengths: &Vec<i64>| i64s("lengths", &[rows], lengths)));
            let got = outcome(folder.path(), "lstm", &tensors, if batch_first { &["--batch-first"] } else { &[] });
            assert_eq!(got[0].0, [shape[0], shape[1], 4]);
            assert!(got[0].1.iter().all(|&y| y == 0.0));
            assert_eq!(got[1], (vec![4, rows, 2], floats(&h)), "{shape:?}");
            assert_eq!(got[2], (vec![4, rows, 4], floats(&c)), "{shape:?}");
        }
    }
    let got = outcome(folder.path(), "lstm", &[f32s("input", &[0, 3], &[])], &[]);
    assert_eq!(got, [(vec![0, 4], vec![]), (vec![4, 2], vec![0.0; 8]), (vec![4, 4], vec![0.0; 16])]);
}

#[test]
fn other_floats_and_nan_are_noted() {
    let folder = folder();
    let mut x = [0.25; 30];
    (x[3], x[29]) = (f32::NAN, f32::NAN);
    let halves = x.iter().flat_map(|x| ((x.to_bits() >> 16) as u16).to_le_bytes()).collect();
    let doubles = [0.5_f64; 8].iter().flat_map(|x| x.to_le_bytes()).collect();
    let input: Raw<'_> = ("input", Dtype::BF16, vec![5, 2, 3], halves);
    let h: Raw<'_> = ("h_0", Dtype::F64, vec![1, 2, 4], doubles);
    write(&folder.path().join("x.safetensors"), &[input.clone(), h.clone()]);
    let (_, notes) = over_x(folder.path(), "gru", &[]).noted();
    let converted = ["input converted from BF16 to F32", "h_0 rounded from F64 to F32"];
    assert_eq!(notes, [&converted[..], &["input: 2 elements are NaN, and computed with"]].concat());
    let (_, y) = got(folder.path(), "output");
    assert!(y[..4].iter().all(|y| !y.is_nan()) && y[4..8].iter().all(|y| y.is_nan()), "{y:?}");

    // Beyond a row's length nobody reads it.
    write(&folder.path().join("x.safetensors"), &[input, h, i64s("lengths", &[2], &[5, 4])]);
    let (_, notes) = over_x(folder.path(), "gru", &[]).noted();
    assert_eq!(notes, [&converted[..], &["input: 1 element is NaN, and computed with"]].concat());
}

#[test]
fn layers_of_several_sizes_have_a_tensor_of_states_each() {
    let folder = folder();
    let layers = Rnn::builder(3, 4).hidden_sizes([4, 6]).bidirectional(true);
    model(&folder.path().join("sizes.safetensors"), layers, "", &[]);
    over_x(folder.path(), "sizes", &["--nonlinearity", "tanh"]).ok();
    let file = TensorFile::open(&folder.path().join("y.safetensors")).unwrap();
    let all: Vec<_> = file.iter().map(|info| (info.name, info.shape.to_vec())).collect();
    let expected = [
        ("h_n_l0", vec![2, 4]),
        ("h_n_l0_reverse", vec![2, 4]),
        ("h_n_l1", vec![2, 6]),
        ("h_n_l1_reverse", vec![2, 6]),
        ("output", vec![5, 2, 12]),
    ];
    assert_eq!(all, expected);
    assert_eq!(file.f32("h_n_l1").unwrap().1[..6], file.f32("output").unwrap().1[4 * 24..][..6]);

    let refused =
        "h_0: expected none, as the layers have [4, 6] hidden units and no such tensor holds them, got [4, 2, 4]";
    refuses(&folder, "sizes", &[random("input", &[5, 2, 3]), random("h_0", &[4, 2, 4])], &[], refused);
}

/// The command refuses these tensors with exactly that, and everything is as it was.
fn refuses(folder: &TempDir, model: &str, tensors: &[Raw<'_>], more: &[&str], expected: &str) {
    write(&folder.path().join("x.safetensors"), tensors);
    let before = tree(folder.path());
    let line = over_x(folder.path(), model, more).refused(1, &[]);
    assert_eq!(line, format!("error: {expected}"));
    assert_eq!(tree(folder.path()), before);
}

#[test]
fn tensors_that_do_not_fit_are_refused() {
    let folder = folder();
    let x = || random("input", &[5, 2, 3]);
    let i = |name, values: &[i64]| i64s(name, &[values.len()], values);
    let accepted = "x.safetensors: expected no tensors but input, h_0, c_0, lengths, resets, got";
    let integers = "I64, I32, I16, I8, U32, U16 or U8";
    let cases: Vec<(&str, Vec<Raw<'_>>, &[&str], String)> = vec![
        ("gru", vec![random("input", &[5, 2, 7])], &[], "input: expected [5, 2, 3], got [5, 2, 7]".into()),
        ("gru", vec![random("input", &[5, 7])], &[], "input: expected [5, 3], got [5, 7]".into()),
        ("gru", vec![random("input", &[5])], &[], "input: expected 2 or 3 dimensions, got [5]".into()),
        (
            "gru",
            vec![random("input", &[1, 5, 2, 3])],
            &[],
            "input: expected 2 or 3 dimensions, got [1, 5, 2, 3]".into(),
        ),
        ("gru", vec![], &[], "x.safetensors: input: missing, the file has no such tensor".into()),
        ("gru", vec![i("lengths", &[1])], &[], "x.safetensors: input: missing, the file has no such tensor".into()),
        (
            "gru",
            vec![i64s("input", &[1, 3], &[1, 2, 3])],
            &[],
            "x.safetensors: input: expected F32, F64, F16 or BF16, got I64".into(),
        ),
        ("gru", vec![x(), random("h0", &[1, 2, 4])], &[], format!("{accepted} 'h0'")),
        ("gru", vec![random("inputs", &[1]), random("x\ny", &[1])], &[], format!(r"{accepted} 'inputs', 'x\ny'")),
        ("gru", vec![x(), random("h_0", &[2, 1, 4])], &[], "h_0: expected [1, 2, 4], got [2, 1, 4]".into()),
        ("gru", vec![x(), random("h_0", &[1, 4])], &[], "h_0: expected [1, 2, 4], got [1, 4]".into()),
        (
            "gru",
            vec![x(), random("h_0", &[1, 2, 4])],
            &["--batch-first"],
            "h_0: expected [1, 5, 4], got [1, 2, 4]".into(),
        ),
        (
            "gru",
            vec![random("input", &[5, 3]), random("h_0", &[1, 1, 4])],
            &[],
            "h_0: expected [1, 4], got [1, 1, 4]".into(),
        ),
        (
            "gru",
            vec![x(), random("c_0", &[1, 2, 4])],
            &[],
            "c_0: expected none, as cell gru has no c, got [1, 2, 4]".into(),
        ),
        (
            "rnn",
            vec![x(), random("c_0", &[1, 2, 4])],
            &[],
            "c_0: expected none, as cell rnn has no c, got [1, 2, 4]".into(),
        ),
        ("lstm", vec![x(), random("h_0", &[4, 2, 4])], &[], "h_0: expected [4, 2, 2], got [4, 2, 4]".into()),
        ("lstm", vec![x(), random("c_0", &[4, 2, 2])], &[], "c_0: expected [4, 2, 4], got [4, 2, 2]".into()),
        ("gru", vec![x(), i("lengths", &[5])], &[], "lengths: expected [2], got [1]".into()),
        ("gru", vec![x(), i("lengths", &[5, 5, 5])], &[], "lengths: expected [2], got [3]".into()),
        ("gru", vec![x(), i64s("lengths", &[], &[5])], &[], "lengths: expected [2], got []".into()),
        ("gru", vec![random("input", &[5, 3]), i("lengths", &[5, 5])], &[], "lengths: expected [1], got [2]".into()),
        (
            "gru",
            vec![random("input", &[4, 3, 3]), i("lengths", &[4, 0, -1])],
            &[],
            "lengths[2]: expected 0 to 4, the steps of the input, got -1".into(),
        ),
        (
            "gru",
            vec![x(), i("lengths", &[6, 7])],
            &[],
            "lengths[0]: expected 0 to 5, the steps of the input, got 6".into(),
        ),
        ("gru", vec![x(), i("lengths", &[1, 3])], &["--batch-first"], "lengths: expected [5], got [2]".into()),
        (
            "gru",
            vec![x(), f32s("lengths", &[2], &[1.0, 2.0])],
            &[],
            format!("x.safetensors: lengths: expected {integers}, got F32"),
        ),
        ("gru", vec![x(), i("resets", &[0; 10])], &[], "resets: expected [5, 2], got [10]".into()),
        ("gru", vec![random("input", &[5, 3]), i("resets", &[0; 4])], &[], "resets: expected [5], got [4]".into()),
        ("gru", vec![x(), random("resets", &[5, 2])], &[], "x.safetensors: resets: expected BOOL, got F32".into()),
    ];
    for (model, tensors, more, expected) in cases {
        refuses(&folder, model, &tensors, more, &expected);
    }
}

#[test]
fn an_output_too_large_for_memory_is_refused() {
    let folder = folder();
    // Rows without steps, of which every one has a state.
    let rows = 1 << 50;
    let expected = format!("h_n: expected a shape that fits into memory, got [1, {rows}, 4]");
    refuses(&folder, "gru", &[f32s("input", &[0, rows, 3], &[])], &[], &expected);
}

/// The line of `elman run` with other files than `over_x` has, which refuses.
fn line(folder: &TempDir, args: &[&str], code: i32) -> String {
    let before = tree(folder.path());
    let line = run(folder.path(), args).refused(code, &[]);
    assert_eq!(tree(folder.path()), before, "after {args:?}");
    line
}

#[test]
fn files_and_models_that_do_not_fit_are_refused() {
    let folder = folder();
    fs::write(folder.path().join("text"), "no tensors").unwrap();
    let on = |weights: &str, input: &str, output: &str, more: &[&str], code| {
        let args = ["run", "--weights", weights, "--input", input, "--output", output];
        line(&folder, &[&args, more].concat(), code)
    };
    let (gru, x, y) = ("gru.safetensors", "x.safetensors", "y.safetensors");
    let same = |option: &str, path: &str| {
        format!("error: --output: expected another file than {option}'s, got {path} for both")
    };
    assert_eq!(on(gru, x, gru, &[], 2), same("--weights", gru));
    assert_eq!(on(gru, x, "./gru.safetensors", &[], 2), same("--weights", "./gru.safetensors"));
    assert_eq!(on(gru, x, x, &[], 2), same("--input", x));
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
        "error: --nonlinearity: expected none, as cell gru has its own, got tanh"
    );
    assert_eq!(
        on("lstm.safetensors", x, y, &["--nonlinearity", "relu"], 2),
        "error: --nonlinearity: expected none, as cell lstm has its own, got relu"
    );
    assert_eq!(
        on("gelu.safetensors", x, y, &[], 1),
        "error: gelu.safetensors: metadata: nonlinearity: expected 'tanh' or 'relu', got 'gelu'"
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
        "error: the following required arguments were not provided: --weights <FILE> --input <FILE> --output <FILE>"
    );
    // Twice the same network, and neither chosen.
    let weights = TensorFile::open(&folder.path().join(gru)).unwrap();
    let twice: Vec<_> = ["a.", "b."]
        .iter()
        .flat_map(|prefix| weights.iter().map(move |info| (format!("{prefix}{}", info.name), info)))
        .map(|(name, info)| (name, info.shape.to_vec(), weights.f32(info.name).unwrap().1))
        .collect();
    let twice: Vec<_> = twice.iter().map(|(name, shape, values)| f32s(name, shape, values)).collect();
    write(&folder.path().join("two.safetensors"), &twice);
    assert_eq!(prefixes(&TensorFile::open(&folder.path().join("two.safetensors")).unwrap()).len(), 2);
    assert_eq!(
        on("two.safetensors", x, y, &[], 1),
        "error: two.safetensors: the file has recurrent weights behind 'a.', 'b.'; choose one with --prefix"
    );
    run(
        folder.path(),
        &["run", "--json", "--weights", "two.safetensors", "--input", x, "--output", y, "--prefix", "b"],
    )
    .ok();
    assert!(names(folder.path()).contains(&y.to_string()));
}

#[test]
fn help_names_every_option() {
    let help = run(TempDir::new().unwrap().path(), &["run", "--help"]).ok();
    for option in [
        "--weights <FILE>",
        "--input <FILE>",
        "--output <FILE>",
        "--cell <CELL>",
        "--nonlinearity <NAME>",
        "--batch-first",
        "--prefix <PREFIX>",
        "--threads <N>",
        "--json",
    ] {
        assert!(help.contains(option), "no {option} in {help}");
    }
}
