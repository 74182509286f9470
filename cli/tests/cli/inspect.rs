//! `elman inspect`.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use elman::format::TensorFile;
use elman::{Gru, Rnn};
use safetensors::tensor::Dtype;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::files::{Raw, f32s, folder, model, random, write};
use crate::{names, refuses, run, told, tree};

/// The tensors of a file behind a prefix.
fn behind<'a>(path: &Path, names: &'a mut Vec<String>, prefix: &str) -> Vec<Raw<'a>> {
    let file = TensorFile::open(path).unwrap();
    names.extend(file.names().map(|name| format!("{prefix}{name}")));
    let tensors = file.iter().map(|info| (info.shape.to_vec(), file.read_f32(info.name).unwrap().1));
    names.iter().zip(tensors).map(|(name, (shape, values))| f32s(name, &shape, &values)).collect()
}

#[test]
fn people_get_the_network_and_a_table() {
    let folder = folder();
    let before = tree(folder.path());
    let out = run(folder.path(), &["inspect", "relu.safetensors"]).ok();
    let expected = "\
file        relu.safetensors: 4 tensors, 144 bytes
metadata    nonlinearity: relu
model       rnn (relu), 1 layer, 1 direction, 3 input features, 4 hidden units, 36 parameters
network     at the root: rnn (relu), 1 layer, 1 direction, 3 input features, 4 hidden units, 36 parameters, 144 bytes of F32

spec
    elman 1
    inputs 3
    rnn hidden=4 activation=relu

tensor        dtype  shape   bytes
weight_ih_l0  F32    [4, 3]     48
weight_hh_l0  F32    [4, 4]     64
bias_ih_l0    F32    [4]        16
bias_hh_l0    F32    [4]        16
";
    assert_eq!(out, expected);
    assert_eq!(tree(folder.path()), before);
    let out = run(folder.path(), &["inspect", "rnn.safetensors"]).ok();
    assert!(out.contains(" rnn (nonlinearity unknown), 1 layer, "), "{out}");
}

/// The names' own order has layer 10 before layer 2.
#[test]
fn tensors_are_told_layer_by_layer() {
    let folder = folder();
    model(&folder.path().join("deep.safetensors"), Gru::builder(2, 3).num_layers(11).bias(false), "g", &[]);
    let out = run(folder.path(), &["inspect", "deep.safetensors"]).ok();
    assert!(out.contains(": gru, 11 layers, 1 direction, 2 input features, 3 hidden units, no biases, "), "{out}");
    let told: Vec<_> =
        out.lines().filter(|line| line.starts_with("g.")).map(|line| line.split(' ').next().unwrap()).collect();
    let expected: Vec<_> = (0..11).flat_map(|k| ["ih", "hh"].map(|of| format!("g.weight_{of}_l{k}"))).collect();
    assert_eq!(told, expected);
}

#[test]
fn several_networks_and_what_is_outside_are_told() {
    let folder = folder();
    let (mut first, mut second) = (Vec::new(), Vec::new());
    let mut all = behind(&folder.path().join("gru.safetensors"), &mut first, "b.");
    all.extend(behind(&folder.path().join("rnn.safetensors"), &mut second, "a.rnn."));
    all.extend([random("head.weight", &[2, 4]), ("a.\x1b[31m", Dtype::I64, vec![], vec![0; 8])]);
    write(&folder.path().join("two.safetensors"), &all);
    let out = run(folder.path(), &["inspect", "two.safetensors"]).ok();
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines[0], "file        two.safetensors: 10 tensors, 616 bytes");
    let unsettled =
        "unsettled   more than one reading: rnn a.rnn (1 layer); gru b (1 layer); say which with --layers, ";
    assert!(lines[1].starts_with(unsettled), "{out}");
    assert!(lines[2].starts_with("network     at a.rnn.: rnn (nonlinearity unknown), 1 layer, "), "{out}");
    assert!(lines[3].starts_with("network     at b.: gru, 1 layer, "), "{out}");
    let outside: Vec<_> = lines.iter().filter_map(|line| line.strip_suffix("  outside")).collect();
    assert_eq!(outside.len(), 2);
    assert!(outside[0].starts_with(r"a.\u{1b}[31m") && outside[1].starts_with("head.weight "), "{out}");

    let out = run(folder.path(), &["inspect", "two.safetensors", "--prefix", "b", "--json"]).ok();
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["networks"].as_array().unwrap().len(), 1);
    assert_eq!(report["networks"][0]["cell"], "gru");
    let outside = report["tensors"].as_array().unwrap().iter().filter(|tensor| tensor.get("network").is_none()).count();
    assert_eq!(outside, 6);
}

#[test]
fn json_is_one_object_and_nothing_else() {
    let folder = folder();
    let out = run(folder.path(), &["inspect", "--json", "relu.safetensors"]).ok();
    assert_eq!(out.lines().count(), 1);
    let tensor = |name: &str, shape: &[usize]| {
        let bytes = 4 * shape.iter().product::<usize>();
        json!({"name": name, "dtype": "F32", "shape": shape, "bytes": bytes, "network": ""})
    };
    let expected = json!({
        "file": "relu.safetensors",
        "bytes": 144,
        "metadata": {"nonlinearity": "relu"},
        "parameters": 36,
        "spec": "elman 1\ninputs 3\nrnn hidden=4 activation=relu\n",
        "networks": [{
            "prefix": "",
            "cell": "rnn",
            "nonlinearity": "relu",
            "input_size": 3,
            "hidden_sizes": [4],
            "num_layers": 1,
            "directions": 1,
            "bias": true,
            "proj_size": 0,
            "cell_names": false,
            "parameters": 36,
            "bytes": 144,
            "dtypes": ["F32"],
        }],
        "problems": [],
        "tensors": [
            tensor("weight_ih_l0", &[4, 3]),
            tensor("weight_hh_l0", &[4, 4]),
            tensor("bias_ih_l0", &[4]),
            tensor("bias_hh_l0", &[4]),
        ],
    });
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), expected);
}

#[test]
fn pytorchs_models_are_told() {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/models");
    let cases = [
        (
            "encoder_gru",
            "at encoder.rnn.: gru, 2 layers, 2 directions, 5 input features, 6 hidden units, ",
            "bytes of F32",
        ),
        (
            "gru_cell",
            "at the root: gru, 1 layer, 1 direction, 4 input features, 7 hidden units, ",
            "bytes of F32, names of a cell",
        ),
        (
            "lstm_bf16",
            "at the root: lstm, 1 layer, 1 direction, 5 input features, 8 hidden units, projected to 3, ",
            "688 bytes of BF16",
        ),
        ("lstm_f16", "at the root: lstm, 1 layer, 1 direction, ", "688 bytes of F16"),
        ("lstm_f64", "at the root: lstm, 1 layer, 1 direction, ", "2,752 bytes of F64"),
    ];
    for (name, begin, end) in cases {
        let out = run(&models, &["inspect", &format!("{name}.safetensors")]).ok();
        let network = out.lines().find_map(|line| line.strip_prefix("network     ")).unwrap();
        assert!(network.starts_with(begin) && network.ends_with(end), "{out}");
    }
}

/// The table is printed all the same: it shows why.
#[test]
fn a_file_without_a_network_is_told() {
    let folder = folder();
    let ran = run(folder.path(), &["inspect", "x.safetensors"]);
    assert_eq!((ran.code, &ran.err[..]), (1, "error: x.safetensors: expected a recurrent network, got none\n"));
    let table = "tensor  dtype  shape      bytes\ninput   F32    [5, 2, 3]    120  outside\n";
    assert_eq!(ran.out, format!("file        x.safetensors: 1 tensor, 120 bytes\nnetwork     none\n\n{table}"));

    let ran = run(folder.path(), &["inspect", "x.safetensors", "--json"]);
    assert_eq!(ran.code, 1);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&report["networks"], report["tensors"][0].get("network")), (&json!([]), None));

    let broken = [random("weight_ih_l0", &[12, 3]), random("weight_hh_l0", &[12, 5])];
    write(&folder.path().join("broken.safetensors"), &broken);
    let ran = run(folder.path(), &["inspect", "broken.safetensors"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.starts_with("error: broken.safetensors: weight_hh_l0: expected "), "{ran:?}");
    assert!(ran.out.contains("\nweight_hh_l0  F32    [12, 5]") && !ran.out.contains("\nnetwork "), "{ran:?}");
}

fn whole(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(format!("../tests/fixtures/models/{name}.safetensors"))
        .display()
        .to_string()
}

#[test]
fn a_whole_model_is_told_with_its_spec() {
    let folder = TempDir::new().unwrap();
    let out = run(folder.path(), &["inspect", &whole("head")]).ok();
    let words = "lstm, 1 layer, 1 direction, 1 input feature, 32 hidden units; linear 32 → 1, 4,513 parameters";
    assert_eq!(told(&out, "model"), format!("model       {words}"));
    let taken = "lstm (1 layer), then linear 32 → 1 at every step, no activation: the file names none";
    assert_eq!(told(&out, "taken"), format!("taken       {taken}"));
    assert!(
        out.contains("\nspec\n    elman 1\n    inputs 1\n    lstm lstm hidden=32\n    linear linear outputs=1\n\n"),
        "{out}"
    );
    assert!(!out.contains("outside"), "{out}");

    // What is not settled by the file is by the option, and the spec that is told settles it for good.
    let layers = ["inspect", &whole("classifier"), "--layers", "embed, gru, last, fc1, relu, fc2", "--json"];
    let report: Value = serde_json::from_str(&run(folder.path(), &layers).ok()).unwrap();
    assert_eq!((&report["parameters"], report.get("unsettled")), (&861.into(), None));
    fs::write(folder.path().join("spec"), report["spec"].as_str().unwrap()).unwrap();
    let again = ["inspect", &whole("classifier"), "--spec", "spec", "--json"];
    let again: Value = serde_json::from_str(&run(folder.path(), &again).ok()).unwrap();
    assert_eq!(again["spec"], report["spec"]);

    let out = run(folder.path(), &["inspect", &whole("classifier"), "--json"]).ok();
    let report: Value = serde_json::from_str(&out).unwrap();
    assert!(report["unsettled"].as_str().unwrap().starts_with("more than one reading: gru "), "{out}");
    assert_eq!((report.get("spec"), report.get("parameters")), (None, None));
}

#[test]
fn the_module_that_a_file_loads_into_is_printed() {
    let folder = TempDir::new().unwrap();
    let expected = "\
# taken: lstm (1 layer), then linear 32 → 1 at every step, no activation: the file names none
import torch
from torch import nn


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(1, 32)
        self.linear = nn.Linear(32, 1)

    def forward(self, x, states=None):
        states, last = iter(states or []), []
        x, state = self.lstm(x, next(states, None))
        last.append(state)
        x = self.linear(x)
        return x, last
";
    assert_eq!(run(folder.path(), &["inspect", "--pytorch", &whole("head")]).ok(), expected);
    let words = ["more than one reading: gru ", "say which with --layers"];
    run(folder.path(), &["inspect", "--pytorch", &whole("classifier")]).refused(1, &words);
    let several = "error: --pytorch: expected one file, got several or a folder";
    run(folder.path(), &["inspect", "--pytorch", &whole("head"), "."]).refused(2, &[several]);
    run(folder.path(), &["inspect", "--pytorch", "."]).refused(2, &[several]);
}

/// As long as a header allows, and longer than a line can show.
#[test]
fn what_is_not_settled_is_told_in_few_words() {
    let folder = folder();
    let long = "n".repeat(65_536);
    let [mut first, mut second] = [(); 2].map(|()| Vec::new());
    let mut all = behind(&folder.path().join("gru.safetensors"), &mut first, &format!("{long}a."));
    all.extend(behind(&folder.path().join("gru.safetensors"), &mut second, &format!("{long}b.")));
    write(&folder.path().join("two.safetensors"), &all);
    let words = ["two.safetensors: more than one reading: gru nnn", "; say which with --layers, ", "with --only"];
    let line = run(folder.path(), &["run", "two.safetensors", "x.safetensors"]).refused(1, &words);
    assert!(line.len() <= 4096, "{} bytes", line.len());
    let out = run(folder.path(), &["inspect", "two.safetensors", "--json"]).ok();
    let report: Value = serde_json::from_str(&out).unwrap();
    let unsettled = report["unsettled"].as_str().unwrap();
    assert!(unsettled.starts_with("more than one reading: gru nnn") && unsettled.len() <= 4096, "{}", unsettled.len());
}

/// Wider than a formatter can pad.
#[test]
fn long_names_and_shapes_are_told() {
    let folder = folder();
    let (name, shape) = ("n".repeat(65_536), vec![1; 21_846]);
    write(&folder.path().join("wide.safetensors"), &[random(&name, &[2]), random("a", &shape), random("b", &[3])]);
    let ran = run(folder.path(), &["inspect", "wide.safetensors"]);
    assert_eq!(ran.code, 1);
    let table: Vec<_> = ran.out.lines().skip(3).collect();
    assert_eq!(table[0], "tensor  dtype  shape  bytes");
    let row = |name: &str| table.iter().find(|line| line.starts_with(name)).unwrap();
    assert_eq!(row("b "), &"b       F32    [3]       12  outside");
    assert_eq!(row("a "), &format!("a       F32    {shape:?}      4  outside"));
    assert_eq!(row("nnn"), &format!("{name}  F32    [2]        8  outside"));
}

/// Time in proportion to the file.
#[test]
fn thousands_of_networks_are_told_in_half_a_second() {
    const COUNT: usize = 16_000;
    if cfg!(debug_assertions) {
        eprintln!("skipped: a build without optimisation is not timed");
        return;
    }
    let folder = folder();
    let names = ["weight_ih_l0", "weight_hh_l0"];
    let names: Vec<_> = (0..COUNT).flat_map(|i| names.map(|name| format!("n{i}.{name}"))).collect();
    let tensors: Vec<_> = names.iter().map(|name| random(name, &[1, 1])).collect();
    write(&folder.path().join("many.safetensors"), &tensors);
    // The least of three, as the machine may be busy.
    let times = (0..3).map(|_| {
        let begin = Instant::now();
        let ran = run(folder.path(), &["inspect", "many.safetensors"]);
        let time = begin.elapsed();
        assert_eq!(ran.out.lines().filter(|line| line.contains(".weight_hh_l0 ")).count(), COUNT, "{}", ran.err);
        time
    });
    let least = times.min().unwrap();
    assert!(least < Duration::from_millis(500), "{least:?}");
}

#[test]
fn several_files_and_folders_have_a_line_each() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("models/inner")).unwrap();
    fs::create_dir(at("models/.hidden")).unwrap();
    fs::copy(at("gru.safetensors"), at("models/b.safetensors")).unwrap();
    fs::copy(at("gru.safetensors"), at("models/.hidden/c.safetensors")).unwrap();
    fs::copy(at("lstm.safetensors"), at("models/inner/a.safetensors")).unwrap();
    fs::write(at("models/README.md"), "of what these are").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(at("models"), at("models/round")).unwrap();
    let gru = "gru, 1 layer, 1 direction, 3 input features, 4 hidden units, 108 parameters";
    let lstm = "lstm, 2 layers, 2 directions, 3 input features, 4 hidden units, projected to 2, 512 parameters";
    let out = run(folder.path(), &["inspect", "models"]).ok();
    let lines: Vec<_> = out.lines().collect();
    // What is no model is told so, and is no fault in a folder.
    assert!(lines[0].starts_with("models/README.md: "), "{out}");
    assert_eq!(lines[1], format!("models/b.safetensors: {gru}"));
    assert_eq!(lines[2], format!("models/inner/a.safetensors: {lstm}"));
    assert_eq!(lines.len(), 3);

    let out = run(folder.path(), &["inspect", "relu.safetensors", "models/inner", "--json"]).ok();
    let reports: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = |i: usize| (reports[i]["file"].as_str().unwrap(), reports[i]["networks"][0]["cell"].as_str().unwrap());
    assert_eq!([told(0), told(1)], [("relu.safetensors", "rnn"), ("models/inner/a.safetensors", "lstm")]);

    // A path is told once, whatever is wrong with its file.
    let broken = [random("weight_ih_l0", &[12, 3]), random("weight_hh_l0", &[12, 5])];
    fs::create_dir(at("odd")).unwrap();
    write(&at("odd/a.safetensors"), &broken);
    let ran = run(folder.path(), &["inspect", "odd", "gru.safetensors"]);
    assert!(ran.out.starts_with("odd/a.safetensors: weight_hh_l0: expected "), "{ran:?}");
    assert_eq!(ran.out.matches("odd/").count(), 1, "{ran:?}");

    // A model that cannot be told is a failure, and the others are told all the same.
    fs::write(at("models/broken.safetensors"), "no tensors").unwrap();
    for (more, files) in [(&["models"][..], 4), (&["models/b.safetensors", "models/broken.safetensors"], 2)] {
        let ran = run(folder.path(), &[&["inspect"], more].concat());
        let reason = format!("error: expected model files, got 1 of {files} that are none\n");
        assert_eq!((ran.code, &ran.err), (1, &reason));
        assert!(ran.out.contains("\nmodels/broken.safetensors: "), "{ran:?}");
        assert!(ran.out.contains(&format!("models/b.safetensors: {gru}\n")), "{ran:?}");
    }
    fs::create_dir(at("empty")).unwrap();
    run(folder.path(), &["inspect", "empty"]).refused(1, &["expected files, got empty folders"]);
}

#[test]
fn wrong_calls_are_refused() {
    refuses(&["inspect"], 2, &["required arguments", "<MODEL>..."]);
    refuses(&["inspect", "none"], 1, &["error: cannot read none: "]);
    refuses(&["inspect", "file.txt"], 1, &["error: file.txt: "]);
    refuses(&["inspect", "x", "--cell", "y"], 2, &["'y' for '--cell <CELL>': expected rnn, gru or lstm"]);
    let folder = folder();
    model(&folder.path().join("e.safetensors"), Rnn::builder(3, 4), "rnn", &[]);
    run(folder.path(), &["inspect", "e.safetensors", "--prefix", "x"])
        .refused(1, &["e.safetensors: prefix 'x.': no recurrent weights are behind it; the file has recurrent weights behind 'rnn.'"]);
    let ran = run(folder.path(), &["inspect", "e.safetensors", "--cell", "gru"]);
    let reason = "rnn.weight_hh_l0: expected [12, 4] of cell gru, got [4, 4] of cell rnn";
    assert_eq!((ran.code, ran.err), (1, format!("error: e.safetensors: {reason}\n")));
    assert_eq!(names(folder.path()).len(), 7);
}
