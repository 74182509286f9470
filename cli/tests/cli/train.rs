//! `elman train`, `test` and `predict`: from a file to a model, a score, a picture and an answer.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use elman::Rng;
use serde_json::Value;
use tempfile::TempDir;

use crate::{elman, run};

/// Something that no line can forecast: x[t+1] = 0.9 sin(3 x[t]) + noise.
pub(crate) fn series(folder: &Path, len: usize) {
    let (mut rng, mut x) = (Rng::new(7), 0.3_f32);
    let rows: String = (0..len)
        .map(|day| {
            x = 0.9 * (3.0 * x).sin() + rng.uniform(-0.02, 0.02);
            format!("{day},{x}\n")
        })
        .collect();
    fs::write(folder.join("series.csv"), format!("day,x\n{rows}")).unwrap();
}

/// Words of a, b and c; the label says whether there are more of a than of b.
pub(crate) fn texts(folder: &Path, len: usize) {
    let mut rng = Rng::new(11);
    let line = |_| {
        let count = 3 + 2 * rng.below(4);
        let text: String = (0..count).map(|_| if rng.below(2) == 0 { "a " } else { "b " }).collect();
        let label = if text.matches('a').count() > count / 2 { "more" } else { "less" };
        format!("{label}\t{}\n", text.trim())
    };
    fs::write(folder.join("texts.tsv"), (0..len).map(line).collect::<String>()).unwrap();
}

fn json(out: &str) -> Value {
    serde_json::from_str(out).unwrap_or_else(|error| panic!("{error}: {out}"))
}

/// The first measure of a method in the first table.
fn score(report: &Value, method: &str) -> f64 {
    let rows = report["scores"][0]["rows"].as_array().unwrap();
    let row = rows.iter().find(|row| row["method"].as_str().unwrap().starts_with(method)).expect(method);
    row["values"][0].as_f64().unwrap()
}

pub(crate) const FORECAST: [&str; 14] = [
    "train",
    "forecast",
    "series.csv",
    "--time",
    "day",
    "--window",
    "4",
    "--hidden",
    "16",
    "--lr",
    "0.01",
    "--epochs",
    "25",
    "--json",
];
pub(crate) const CLASSIFY: [&str; 17] = [
    "train",
    "classify",
    "texts.tsv",
    "--hidden",
    "8",
    "--embedding",
    "4",
    "--lr",
    "0.02",
    "--epochs",
    "12",
    "--readout",
    "mean",
    "--cell",
    "gru",
    "--token-dropout",
    "0",
];

#[test]
fn a_forecast_beats_what_needs_no_network_and_goes_on() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    series(folder, 700);
    let report = json(&run(folder, &FORECAST).ok());
    let (network, linear, last) = (score(&report, "GRU"), score(&report, "linear"), score(&report, "last"));
    assert!(network < 0.5 * linear && linear < last, "{report}");
    assert_eq!((&report["model"], &report["plot"]), (&"forecast.safetensors".into(), &"forecast.png".into()));
    assert!(fs::read(folder.join("forecast.png")).unwrap().starts_with(b"\x89PNG\r\n\x1a\n"));

    // It goes on where the file ended, and from new rows.
    let ahead = run(folder, &["predict", "forecast.safetensors"]).ok();
    let (after, level) = ahead.trim().split_once('\t').unwrap();
    assert_eq!(after, "after 699");
    let level: f64 = level.parse().unwrap();
    assert!(level.abs() < 1.2);
    let rows = fs::read_to_string(folder.join("series.csv")).unwrap();
    let last: Vec<&str> = rows.lines().skip(1 + 690).collect();
    let (known, rest) = last.split_at(6);
    fs::write(folder.join("known.csv"), format!("day,x\n{}\n", known.join("\n"))).unwrap();
    let args = ["predict", "forecast.safetensors", "known.csv", "--save", "later.safetensors"];
    assert_eq!(run(folder, &args).ok().lines().count(), 6);
    let mut child = elman(folder, &["predict", "later.safetensors", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    write!(child.stdin.take().unwrap(), "day,x\n{}\n", rest.join("\n")).unwrap();
    let out = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(out.lines().last().unwrap(), format!("699\t{}", ahead.trim().split_once('\t').unwrap().1));
    let tested = run(folder, &["test", "forecast.safetensors", "series.csv", "--json"]).ok();
    let tested = json(&tested);
    assert!(tested["rows"][0]["values"][0].as_f64().unwrap() < 0.5 * tested["rows"][1]["values"][0].as_f64().unwrap());
}

#[test]
fn a_classifier_learns_and_answers_line_by_line() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    texts(folder, 400);
    let out = run(folder, &[&CLASSIFY[..], &["--plot", "p.svg", "-o", "m.safetensors"]].concat()).ok();
    for words in [
        "400 sequences: 320 to train on, 40 to validate, 40 to test",
        "epoch  12",
        "accuracy %",
        "commonest class",
        "<- best",
    ] {
        assert!(out.contains(words), "no '{words}' in {out}");
    }
    let svg = fs::read_to_string(folder.join("p.svg")).unwrap();
    assert!(svg.contains("Loss by epoch") && svg.contains("answered"));
    let tested = json(&run(folder, &["test", "m.safetensors", "texts.tsv", "--json"]).ok());
    assert!(tested["rows"][0]["values"][0].as_f64().unwrap() > 95.0, "{tested}");
    let mut child = elman(folder, &["predict", "m.safetensors", "-", "--probabilities", "--top", "2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"a a a b a\r\nb b b a b\n").unwrap();
    let out = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    let lines: Vec<Vec<&str>> = out.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!((lines[0][0], lines[0][2], lines[1][0]), ("more", "less", "less"));
    let sum: f64 = [1, 3].map(|n: usize| lines[0][n].parse::<f64>().unwrap()).iter().sum();
    assert!((sum - 1.0).abs() < 2e-4, "{out}");
    // It is a plain state dict besides.
    let told = run(folder, &["inspect", "m.safetensors"]).ok();
    assert!(told.contains("gru"), "{told}");
}

#[test]
fn settings_are_written_and_taken_back() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    texts(folder, 200);
    let toml = run(folder, &[&CLASSIFY[..], &["--print-config"]].concat()).ok();
    assert!(
        toml.contains("hidden = 8") && toml.contains("epochs = 12") && toml.contains("readout = \"mean\""),
        "{toml}"
    );
    fs::write(folder.join("c.toml"), &toml).unwrap();
    let again = run(folder, &["train", "classify", "--config", "c.toml", "--print-config"]).ok();
    assert_eq!(again, toml);
    let of = |args: &[&str]| {
        json(&run(folder, &[&["train", "classify", "texts.tsv", "--json"], args].concat()).ok())["valid_loss"].clone()
    };
    assert_eq!(of(&["--config", "c.toml"]), of(&CLASSIFY[3..]));
    assert_ne!(of(&["--config", "c.toml", "--optimizer", "sparse-adam"]), of(&CLASSIFY[3..]));
    let help = run(folder, &["train", "classify", "--help"]).ok();
    assert!(help.contains("Hidden units of every layer [default: 64]"), "{help}");
    assert!(run(folder, &["train", "forecast", "--help"]).ok().contains("Hidden units of every layer [default: 32]"));
    fs::write(folder.join("wrong.toml"), "hiden = 3\n").unwrap();
    run(folder, &["train", "classify", "texts.tsv", "--config", "wrong.toml"])
        .refused(2, &["--config wrong.toml", "line 1", "hiden"]);
    run(folder, &["train", "classify", "texts.tsv", "--config", "none.toml"])
        .refused(2, &["--config: cannot read none.toml"]);
}

#[test]
fn what_cannot_be_trained_on_is_told_with_its_line() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let classify = |content: &[u8]| {
        fs::write(folder.join("d.tsv"), content).unwrap();
        run(folder, &["train", "classify", "d.tsv"])
    };
    classify(b"").refused(1, &["d.tsv"]);
    classify(b"pos\tone row\n").refused(1, &["d.tsv"]);
    classify(b"pos no tab\n").refused(1, &["d.tsv: line 1", "tab"]);
    classify(b"pos\tgood\nneg\t\xff\xfe\n").refused(1, &["d.tsv: line 2", "UTF-8"]);
    let forecast = |content: &[u8], more: &[&str]| {
        fs::write(folder.join("d.csv"), content).unwrap();
        run(folder, &[&["train", "forecast", "d.csv"], more].concat())
    };
    forecast(b"", &[]).refused(1, &["d.csv"]);
    forecast(b"x\n1\n2\n", &[]).refused(1, &["d.csv", "share of validation"]);
    forecast(b"x\n1\nsix\n", &["--target", "x"]).refused(1, &["d.csv: line 3", "'x'", "'six'"]);
    forecast(b"x,y\n1,2\n", &["--target", "z"]).refused(1, &["'z'", "'x', 'y'"]);
    run(folder, &["train", "classify", "nowhere.tsv"]).refused(1, &["nowhere.tsv"]);
    run(folder, &["train", "classify"]).refused(2, &["DATA"]);
    run(folder, &["train", "classify", "d.tsv", "--hidden", "0"]).refused(2, &["--hidden", "expected a whole number"]);
    run(folder, &["train", "classify", "d.tsv", "--schedule", "linear"])
        .refused(2, &["--schedule", "expected constant"]);
    run(folder, &["train", "classify", "d.tsv", "--optimizer", "sgd"]).refused(2, &["expected adam or sparse-adam"]);
    run(folder, &["train", "classify", "d.tsv", "--optimizer", "sparse-adam", "--weight-decay", "0.1"])
        .refused(1, &["weight_decay: expected 0 where the optimizer is sparse-adam"]);
    run(folder, &["train", "classify", "d.tsv", "--plot", "p.gif"]).refused(2, &["--plot", ".png or .svg"]);
    run(folder, &["train", "classify", "d.tsv", "-o", "none/m.safetensors"]).refused(1, &["none"]);
    // A model of something else.
    let model = elman::Gru::builder(1, 4).linear("fc", 1).model(&mut Rng::new(1)).unwrap();
    model.save(folder.join("other.safetensors")).unwrap();
    run(folder, &["predict", "other.safetensors", "d.csv"]).refused(1, &["expected a model that 'elman train' made"]);
    run(folder, &["test", "other.safetensors", "d.csv"]).refused(1, &["expected a model that 'elman train' made"]);
}

#[test]
fn a_loss_that_is_no_number_ends_training_with_a_word() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    series(folder, 300);
    let args = [&FORECAST[..9], &["--lr", "1e30", "--clip", "0", "--no-linear", "--cell", "rnn"]].concat();
    let ran = run(folder, &args);
    assert_eq!(ran.code, 1, "{ran:?}");
    for words in
        ["training stopped: loss: expected a finite number at step", "epoch 1", "the last good checkpoint: none"]
    {
        assert!(ran.err.contains(words), "no '{words}' in {ran:?}");
    }
    assert!(!folder.join("forecast.safetensors").exists());
}

#[test]
fn texts_of_a_label_are_written() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let lines: String = (0..80).map(|n| ["cow\tmoo\n", "cat\tmew\n"][n % 2]).collect();
    fs::write(folder.join("animals.tsv"), lines).unwrap();
    let small = ["--hidden", "16", "--embedding", "8", "--epochs", "20", "--lr", "0.02", "--plot", "p.svg"];
    let out = run(folder, &[&["train", "generate", "animals.tsv"], &small[..]].concat()).ok();
    assert!(out.contains("2 labels: ") && out.contains("bits a character"), "{out}");
    let told = run(folder, &["predict", "generate.safetensors", "--temperature", "0.1", "--count", "2"]).ok();
    let mut lines: Vec<&str> = told.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["cat\tmew", "cat\tmew", "cow\tmoo", "cow\tmoo"]);
    fs::write(folder.join("labels.txt"), "cow\n").unwrap();
    assert_eq!(
        run(folder, &["predict", "generate.safetensors", "labels.txt", "--temperature", "0.1"]).ok(),
        "cow\tmoo\n"
    );
    fs::write(folder.join("labels.txt"), "dog\n").unwrap();
    run(folder, &["predict", "generate.safetensors", "labels.txt"]).refused(1, &["dog"]);
}

#[test]
fn one_sequence_comes_out_of_another() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    // Three letters, and their capitals from the last to the first.
    let word = |n: usize| -> String { (0..3).map(|i| ["a", "b", "c", "d"][(n >> (2 * i)) % 4]).collect() };
    let line = |n: usize| {
        let target: Vec<String> = word(n).to_uppercase().chars().rev().map(String::from).collect();
        format!("{}\t{}\n", word(n), target.join(" "))
    };
    fs::write(folder.join("words.tsv"), (0..64).map(line).collect::<String>()).unwrap();
    let small =
        ["--hidden", "32", "--embedding", "16", "--epochs", "60", "--lr", "0.01", "--batch", "16", "--patience", "0"];
    let args =
        [&["train", "transduce", "words.tsv", "--attention", "--schedule", "constant", "--json"], &small[..]].concat();
    let report = json(&run(folder, &args).ok());
    assert!(score(&report, "GRU") < 40.0 && score(&report, "each") > 60.0, "{report}");
    assert!(report["parameters"].as_u64().unwrap() > 10_000);
    fs::write(folder.join("asked.txt"), "dab\ncba\n").unwrap();
    let told = run(folder, &["predict", "transduce.safetensors", "asked.txt", "--beam", "2"]).ok();
    assert_eq!(told, "B A D\nA B C\n");
    fs::write(folder.join("asked.txt"), "dab\nxyz\n").unwrap();
    let ran = run(folder, &["predict", "transduce.safetensors", "asked.txt"]);
    assert!(
        ran.code == 1 && ran.err.contains("asked.txt: line 2: source: expected tokens that the training had"),
        "{ran:?}"
    );
}

#[test]
fn who_remembers_is_told_and_drawn() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let args = ["train", "memory", "--lengths", "8,40", "--kinds", "rnn,gru", "--hidden", "16", "--minibatches", "20"];
    let out = run(folder, &[&args[..], &["--plot", "m.svg"]].concat()).ok();
    for words in ["who has read nothing has a loss of 0.167", "T    8  tanh RNN", "T   40  GRU", "as drawn: "] {
        assert!(out.contains(words), "no '{words}' in {out}");
    }
    assert!(fs::read_to_string(folder.join("m.svg")).unwrap().contains("Adding, T 40: who still learns"));
    let reports = run(folder, &[&args[..], &["--json"]].concat()).ok();
    assert_eq!(reports.lines().map(|line| json(line)["minibatches"].clone()).collect::<Vec<_>>(), [20, 20, 20, 20]);
    run(folder, &["train", "memory", "--kinds", "gru,tcn"]).refused(2, &["expected rnn, irnn, gru or lstm"]);
}
