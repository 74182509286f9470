//! What `elman run` tells: the summary, the JSON object, the metadata, the help.

use elman::Gru;
use elman::format::TensorFile;
use elman::internals::Kernels;
use serde_json::Value;
use tempfile::TempDir;

use super::over_x;
use crate::files::{f32s, folder, i64s, model, random, write};
use crate::{run, told};

const KEYS: [&str; 23] = [
    "model",
    "cell",
    "nonlinearity",
    "input_size",
    "hidden_sizes",
    "num_layers",
    "directions",
    "bias",
    "proj_size",
    "prefix",
    "parameters",
    "input_shape",
    "output_shape",
    "steps",
    "batch",
    "ragged",
    "tokens",
    "seconds",
    "tokens_per_second",
    "isa",
    "threads",
    "output",
    "notes",
];

#[test]
fn people_get_a_summary_and_notes() {
    let folder = folder();
    let (out, notes) = over_x(folder.path(), "rnn", &["--threads", "1"]).noted();
    assert_eq!(
        notes,
        ["taken: rnn (1 layer, tanh, as the file does not say) at every step; set it with --nonlinearity"]
    );
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
    assert_eq!(report["model"], "rnn.safetensors");
    assert_eq!((&report["cell"], &report["num_layers"], &report["directions"]), (&"rnn".into(), &1.into(), &1.into()));
    assert_eq!(report["nonlinearity"], "tanh");
    assert_eq!(report["hidden_sizes"], serde_json::json!([4]));
    assert_eq!(report["parameters"], 36);
    assert_eq!(report["input_shape"], serde_json::json!([5, 2, 3]));
    assert_eq!(report["output_shape"], serde_json::json!([5, 2, 4]));
    assert_eq!(report["ragged"], false);
    assert_eq!((&report["steps"], &report["batch"], &report["tokens"]), (&5.into(), &2.into(), &10.into()));
    assert_eq!((&report["threads"], &report["output"]), (&2.into(), &"y.safetensors".into()));
    assert_eq!(report["isa"], Kernels::active().unwrap().isa().name());
    assert!(report["seconds"].as_f64().unwrap() > 0.0);
    assert_eq!(report["notes"].as_array().unwrap().len(), 1);

    let out = over_x(folder.path(), "gru", &["--json"]).ok();
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((report.get("nonlinearity"), &report["notes"]), (None, &serde_json::json!([])));

    // The prefix is as the file has it, and the same from every verb.
    model(&folder.path().join("enc.safetensors"), Gru::builder(3, 4), "enc", &[]);
    let weights = TensorFile::open(folder.path().join("enc.safetensors")).unwrap();
    let underscored = weights.rename(&[("enc.", "enc_")]).unwrap();
    let tensors: Vec<_> =
        underscored.iter().map(|info| (info.name, underscored.read_f32(info.name).unwrap())).collect();
    let tensors: Vec<_> = tensors.iter().map(|(name, (shape, values))| f32s(name, shape, values)).collect();
    write(&folder.path().join("enc_.safetensors"), &tensors);
    for (file, expected) in [("lstm", "encoder.rnn."), ("gru", ""), ("enc", "enc."), ("enc_", "enc_")] {
        let ran: Value = serde_json::from_str(&over_x(folder.path(), file, &["--json"]).ok()).unwrap();
        let told = run(folder.path(), &["inspect", "--json", &format!("{file}.safetensors")]).ok();
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!([&ran["prefix"], &told["networks"][0]["prefix"]], [expected; 2], "{file}");
    }

    // Without a place for the output, the report is what is wanted.
    write(&folder.path().join("x.safetensors"), &[random("input", &[5, 2, 3]), i64s("lengths", &[2], &[5, 3])]);
    let out = run(folder.path(), &["run", "gru.safetensors", "x.safetensors", "--json"]).ok();
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((report.get("output"), &report["ragged"], &report["tokens"]), (None, &true.into(), &8.into()));
}

#[test]
fn the_output_says_what_it_is_of() {
    let folder = folder();
    over_x(folder.path(), "lstm", &["--batch-first"]).ok();
    let file = TensorFile::open(folder.path().join("y.safetensors")).unwrap();
    let metadata = [
        ("batch_first", "true"),
        ("bias", "true"),
        ("bidirectional", "true"),
        ("cell", "lstm"),
        ("hidden_size", "4"),
        ("input_size", "3"),
        ("num_layers", "2"),
        ("prefix", "encoder.rnn."),
        ("proj_size", "2"),
    ];
    assert!(file.metadata().eq(metadata), "{:?}", file.metadata().collect::<Vec<_>>());
    over_x(folder.path(), "relu", &[]).ok();
    let file = TensorFile::open(folder.path().join("y.safetensors")).unwrap();
    assert!(file.metadata().any(|pair| pair == ("nonlinearity", "relu")));
}

#[test]
fn help_names_every_option() {
    let help = run(TempDir::new().unwrap().path(), &["run", "--help"]).ok();
    for option in [
        "elman run [OPTIONS] <MODEL> <INPUT>\n",
        "--output <OUT>",
        "--csv",
        "--cell <CELL>",
        "--nonlinearity <NAME>",
        "--batch-first",
        "--only <PREFIX>",
        "--layers <LIST>",
        "--spec <FILE>",
        "--threads <N>",
        "--json",
    ] {
        assert!(help.contains(option), "no {option} in {help}");
    }
    assert!(!help.contains("--weights") && !help.contains("--input") && !help.contains("--prefix"), "{help}");
}
