//! `elman train`, `test` and `predict`: from a file to a model, a score, a picture and an answer.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use elman::Rng;
use serde_json::Value;
use tempfile::TempDir;

use crate::{Ran, elman, run};

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

/// What a command answers to lines at its standard input.
fn asked(folder: &Path, args: &[&str], lines: &[u8]) -> Ran {
    let mut command = elman(folder, args);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a child");
    child.stdin.take().unwrap().write_all(lines).unwrap();
    Ran::of(child.wait_with_output().unwrap())
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
    let rows = tested["rows"].as_array().unwrap();
    assert!(rows[0]["values"][0].as_f64().unwrap() < 0.5 * rows[1]["values"][0].as_f64().unwrap());
    // Errors are scaled, and directions told, as in training.
    assert_eq!((rows.len(), rows[0]["values"].as_array().unwrap().len()), (3, 4));
    assert!(rows[0]["values"][2].as_f64().unwrap() < 1.0 && rows[0]["values"][3].as_f64().unwrap() > 80.0, "{tested}");
    let notes = run(folder, &["test", "forecast.safetensors", "known.csv"]).noted();
    assert!(notes.0.contains("2 steps") && notes.1.is_empty(), "{notes:?}");
    fs::write(folder.join("holes.csv"), format!("day,x\n\n{}\n9000,0.1\n", known.join("\n"))).unwrap();
    let (_, notes) = run(folder, &["test", "forecast.safetensors", "holes.csv"]).noted();
    assert!(
        notes[0] == "1 blank line passed by" && notes[1].starts_with("1 row further apart than usual"),
        "{notes:?}"
    );
    assert!(run(folder, &["test", "--help"]).ok().contains("what needs no training file"));
    run(folder, &["test", "forecast.safetensors", "known.csv", "--beam", "2"])
        .refused(2, &["--beam: is of an encoder-decoder"]);
    run(folder, &["predict", "forecast.safetensors", "--interactive"])
        .refused(2, &["--interactive: is not of a forecast", "'elman predict MODEL -'"]);
}

#[test]
fn a_backtest_trains_on_every_fold_and_tells_the_spread() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    series(folder, 500);
    let short = |args: &[&str]| run(folder, &[&FORECAST[..13], &["--backtest"], args].concat());
    let out = short(&["3", "--plot", "b.svg", "-o", "b.safetensors"]).ok();
    for words in [
        "500 rows, of which the last 150 are tested on in 3 folds",
        "fold 1/3: 300 steps to train on, 50 to validate, 50 to test",
        "fold 3/3: 400 steps to train on",
        "fold 2/3  epoch   1",
        "mean of 3 folds, 150 steps",
        "linear autoregression (4)",
        "b.safetensors: that of the last fold",
    ] {
        assert!(out.contains(words), "no '{words}' in {out}");
    }
    let network = crate::told(&out, "GRU 16 + linear");
    assert!(network.ends_with("<- best") && network.matches(" \u{b1} ").count() == 4, "{out}");
    assert_eq!(out.matches("<- network").count(), 3, "{out}");
    let svg = fs::read_to_string(folder.join("b.svg")).unwrap();
    assert!(svg.contains("RMSE of each fold") && svg.contains("Forecasts of all 3 folds"));
    // Its model is a model, and knows the end of the file.
    assert!(run(folder, &["predict", "b.safetensors"]).ok().starts_with("after 499\t"));

    let report = json(&short(&["2", "--json", "--horizon", "2"]).ok());
    let folds = report["folds"].as_array().unwrap();
    assert_eq!(folds.iter().map(|fold| fold["test_steps"].clone()).collect::<Vec<_>>(), [50, 50]);
    assert_eq!((report["scores"].as_array().unwrap().len(), folds[0]["scores"].as_array().unwrap().len()), (2, 2));
    // The mean and the deviation are those of the folds.
    for horizon in 0..2 {
        let [a, b] = [0, 1].map(|fold: usize| folds[fold]["scores"][horizon]["rows"][0]["values"][0].as_f64().unwrap());
        let of = |value: &Value| value.as_f64().unwrap();
        let both = &report["scores"][horizon];
        assert!((of(&both["mean"]["rows"][0]["values"][0]) - (a + b) / 2.0).abs() < 1e-12, "{report}");
        assert!((of(&both["spread"][0][0]) - (a - b).abs() / 2.0_f64.sqrt()).abs() < 1e-12, "{report}");
        assert_eq!(of(&both["folds"][1]["network"]), b);
    }

    short(&["1"]).refused(2, &["--backtest", "expected a whole number from 2"]);
    short(&["2", "--resume"]).refused(2, &["--resume: cannot be used with --backtest", "leave no checkpoints"]);
    short(&["2", "--gradient-flow"]).refused(2, &["--gradient-flow: cannot be used with --backtest"]);
    short(&["10"]).refused(1, &["series.csv: backtest: ", "take fewer folds, or a smaller share of test"]);
    short(&["2", "--horizon", "60"])
        .refused(1, &["series.csv: backtest: expected at least 600 rows", "got a series of 500"]);
    assert!(short(&["2", "--print-config"]).ok().contains("window = 4"));
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
    // Asked line by line it goes on after what it cannot answer.
    let ran = asked(folder, &["predict", "m.safetensors", "-i"], b"a a a b a\n\n\xff\nb b b a b");
    assert_eq!(
        (ran.code, ran.out.as_str(), ran.err.as_str()),
        (0, "more\nless\n", "error: expected UTF-8, got other bytes\n")
    );
    run(folder, &["predict", "m.safetensors", "texts.tsv", "-i"]).refused(2, &["--interactive", "got texts.tsv"]);
    fs::write(folder.join("other.tsv"), "more\ta a a\n\nsame\ta b\n").unwrap();
    run(folder, &["test", "m.safetensors", "other.tsv"])
        .refused(1, &["other.tsv: line 3: label: expected one of the model's classes", "got 'same'"]);
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
    fs::write(folder.join("labels.txt"), "\ndog\n").unwrap();
    run(folder, &["predict", "generate.safetensors", "labels.txt"])
        .refused(1, &["labels.txt: line 2: label: expected one of ", "'dog'"]);
    let ran = asked(folder, &["predict", "generate.safetensors", "-i", "--temperature", "0"], b"cow\ndog\ncat\n");
    assert_eq!((ran.code, ran.out.as_str()), (0, "cow\tmoo\ncat\tmew\n"), "{ran:?}");
    assert!(ran.err.starts_with("error: label: expected one of ") && ran.err.lines().count() == 1, "{ran:?}");
    // Who asks again is answered anew.
    let hot = ["predict", "generate.safetensors", "-i", "--temperature", "100"];
    let texts: Vec<String> = asked(folder, &hot, b"cow\ncow\n").out.lines().map(String::from).collect();
    assert!(texts.len() == 2 && texts[0] != texts[1], "{texts:?}");

    let tested = json(&run(folder, &["test", "generate.safetensors", "animals.tsv", "--json"]).ok());
    let bits: Vec<f64> = (0..3).map(|row: usize| tested["rows"][row]["values"][0].as_f64().unwrap()).collect();
    assert!(bits[0] < 0.5 * bits[1] && bits[1] < bits[2], "{tested}");
    fs::write(folder.join("more.tsv"), "cow\tmoo\n\ncow\tm\u{f6}\n").unwrap();
    let (table, notes) = run(folder, &["test", "generate.safetensors", "more.tsv"]).noted();
    assert!(table.contains("2 texts") && table.contains("bits a character"), "{table}");
    assert_eq!(notes, ["1 blank line passed by", "1 character without a number of their own, taken for <unk>"]);
    fs::write(folder.join("more.tsv"), "cow\tmoo\ndog\twoof\n").unwrap();
    run(folder, &["test", "generate.safetensors", "more.tsv"]).refused(1, &["more.tsv: line 2: label", "'dog'"]);
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
    let draw = |more: &[&str]| run(folder, &[&["predict", "transduce.safetensors", "asked.txt"], more].concat());
    let ran = draw(&["--attention-plot", "a.svg"]);
    assert!(ran.code == 1 && ran.err.contains("line 2: --attention-plot: expected one source"), "{ran:?}");
    fs::write(folder.join("asked.txt"), "dab\n").unwrap();
    assert_eq!(draw(&["--attention-plot", "a.svg"]).ok(), "B A D\n");
    let svg = fs::read_to_string(folder.join("a.svg")).unwrap();
    for token in ["d", "a", "b", "B", "A", "D", "dab \u{2192} B A D"] {
        assert!(svg.contains(&format!("\n{token}\n")), "no '{token}' in the picture");
    }
    draw(&["--attention-plot", "a.gif"]).refused(2, &["--attention-plot", ".png or .svg"]);
    fs::write(folder.join("asked.txt"), "dab\nxyz\n").unwrap();
    let ran = run(folder, &["predict", "transduce.safetensors", "asked.txt"]);
    assert!(
        ran.code == 1 && ran.err.contains("asked.txt: line 2: source: expected tokens that the training had"),
        "{ran:?}"
    );
    let ran = asked(folder, &["predict", "transduce.safetensors", "--interactive"], b"dab\nxyz\n\ncba\n");
    assert_eq!((ran.code, ran.out.as_str()), (0, "B A D\nA B C\n"), "{ran:?}");
    assert_eq!(ran.err, "error: source: expected tokens that the training had, 4 of them, got 'x'\n");
    let test =
        |args: &[&str]| json(&run(folder, &[&["test", "transduce.safetensors"], args, &["--json"]].concat()).ok());
    let greedy = test(&["words.tsv"]);
    assert!(greedy["rows"].as_array().unwrap().len() == 1 && greedy["part"] == "64 sources", "{greedy}");
    assert!(greedy["rows"][0]["values"][0].as_f64().unwrap() < 20.0, "{greedy}");
    let wide = test(&["words.tsv", "--beam", "3"]);
    assert!(wide["rows"][0]["method"].as_str().unwrap().ends_with("beam 3"), "{wide}");
    fs::write(folder.join("some.tsv"), "dab\tB A D\nxyz\tB\ncba\tZ\n").unwrap();
    let (table, notes) = run(folder, &["test", "transduce.safetensors", "some.tsv"]).noted();
    assert!(table.contains("3 sources") && table.contains("66.7") && !table.contains("best"), "{table}");
    assert_eq!(notes.len(), 2, "{notes:?}");
}

/// Sequences of numbers, in both forms: with labels to be scored, without to be told.
#[test]
fn numbers_are_scored_and_told_without_labels() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let mut rng = Rng::new(3);
    let (mut long, mut bare, mut lines) = (String::from("id,label,a,b\n"), String::from("id,a,b\n"), String::new());
    for id in 0..80 {
        let label = ["up", "down"][id % 2];
        let steps: Vec<f32> =
            (0..6).map(|t| if id % 2 == 0 { t as f32 } else { -t as f32 } + rng.uniform(-0.3, 0.3)).collect();
        for x in &steps {
            long += &format!("{id},{label},{x},{}\n", rng.uniform(-1.0, 1.0));
            bare += &format!("{id},{x},0\n");
        }
        lines += &format!("{label},{}\n", steps.iter().map(f32::to_string).collect::<Vec<_>>().join(","));
    }
    for (name, text) in [("long.csv", &long), ("bare.csv", &bare), ("lines.csv", &lines)] {
        fs::write(folder.join(name), text).unwrap();
    }
    let small = ["--hidden", "8", "--epochs", "20", "--lr", "0.02", "--json"];
    let train = |data: &str, format: &str, out: &str| {
        run(folder, &[&["train", "classify", data, "--format", format, "-o", out], &small[..]].concat()).ok();
    };
    train("long.csv", "long", "long.safetensors");
    train("lines.csv", "lines", "lines.safetensors");
    for kind in ["long", "lines"] {
        let model = format!("{kind}.safetensors");
        let tested = json(&run(folder, &["test", &model, &format!("{kind}.csv"), "--json"]).ok());
        assert_eq!((&tested["part"], &tested["rows"][1]["values"][0]), (&"80 sequences".into(), &50.0.into()));
        assert!(tested["rows"][0]["values"][0].as_f64().unwrap() > 95.0, "{tested}");
    }
    let told = run(folder, &["predict", "long.safetensors", "bare.csv"]).ok();
    assert_eq!(told.lines().count(), 80);
    let right = told.lines().filter(|line| {
        let (id, class) = line.split_once('\t').unwrap();
        class == ["up", "down"][id.parse::<usize>().unwrap() % 2]
    });
    assert!(right.count() > 76, "{told}");
    // Labels that are there are not looked at; the standard input is as good as a file.
    let from =
        |file: &str| asked(folder, &["predict", "long.safetensors", "-"], &fs::read(folder.join(file)).unwrap()).ok();
    assert_eq!(from("bare.csv"), told);
    assert_eq!(from("long.csv").lines().count(), 80);
    // A sequence a line is still one.
    let steps = b"0,0,1,0,2,0\n0,0,-1,0,-2,0\n";
    assert_eq!(asked(folder, &["predict", "long.safetensors", "-"], steps).ok(), "up\ndown\n");
    assert_eq!(asked(folder, &["predict", "lines.safetensors", "-"], b"0,1,2,3\n0,-1,-2\n").ok(), "up\ndown\n");
    let ran = asked(folder, &["predict", "long.safetensors", "-i"], b"0,0,1\n0 0 1 0 2 0\n");
    assert_eq!((ran.code, ran.out.as_str()), (0, "up\n"), "{ran:?}");
    assert!(ran.err.contains("expected steps of 2 numbers"), "{ran:?}");
    fs::write(folder.join("wrong.csv"), "id,a,b\n1,2,x\n").unwrap();
    run(folder, &["predict", "long.safetensors", "wrong.csv"]).refused(1, &["wrong.csv: line 2, column 'b'", "'x'"]);
    fs::write(folder.join("wrong.csv"), "id,a\n1,2\n").unwrap();
    run(folder, &["predict", "long.safetensors", "wrong.csv"]).refused(1, &["wrong.csv: expected a column 'b'"]);
}

#[test]
fn where_a_decoder_looks_and_how_far_its_gradient_reaches_is_drawn() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let word = |n: usize| -> String { (0..5).map(|i| ["a", "b", "c", "d"][(n >> (2 * i)) % 4]).collect() };
    let line = |n: usize| format!("{}\t{}\n", word(n * 13), word(n * 13).to_uppercase().replace("", " ").trim());
    fs::write(folder.join("words.tsv"), (0..60).map(line).collect::<String>()).unwrap();
    let train = |more: &[&str]| {
        let small = ["train", "transduce", "words.tsv", "--hidden", "8", "--embedding", "4", "--epochs", "1"];
        run(folder, &[&small[..], &["--plot", "p.svg", "--gradient-flow"], more].concat())
    };
    let out = train(&["--attention"]).ok();
    let words = ["layer 0: ", "layer 0, reverse: ", "with sources of 5 steps of the validation part", "at every step"];
    words.iter().for_each(|words| assert!(out.contains(words), "no '{words}' in {out}"));
    let svg = fs::read_to_string(folder.join("p.svg")).unwrap();
    for words in ["Where the decoder looks", "Gradient norm at h", "layer 0, reverse", "Loss by epoch"] {
        assert!(svg.contains(words), "no '{words}' in the picture");
    }
    let out = train(&["-o", "plain.safetensors"]).ok();
    assert!(out.contains("it enters at its last state alone"), "{out}");
    assert!(!fs::read_to_string(folder.join("p.svg")).unwrap().contains("Where the decoder looks"));
    fs::write(folder.join("asked.txt"), "abcda\n").unwrap();
    run(folder, &["predict", "plain.safetensors", "asked.txt", "--attention-plot", "a.png"]).refused(
        2,
        &["expected a model with attention, got plain.safetensors, which has none", "--attention' makes one"],
    );
    assert!(!folder.join("a.png").exists());
}

#[test]
fn every_kind_tells_how_far_its_gradient_reaches() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    texts(folder, 200);
    series(folder, 300);
    let small = ["--gradient-flow", "--epochs", "1", "--hidden", "8", "--plot", "p.svg"];
    let cases: [(&[&str], &[&str]); 4] = [
        (&["forecast", "series.csv", "--time", "day", "--bidirectional"], &["layer 0, reverse: ", "at the last step"]),
        (&["classify", "texts.tsv"], &["layer 0, reverse: ", "at every step, as the read-out is their maximum"]),
        (&["classify", "texts.tsv", "--readout", "last"], &["layer 0: ", "at the last step"]),
        (&["generate", "texts.tsv"], &["layer 0: ", "of the loss of the end of "]),
    ];
    for (args, words) in cases {
        let out = run(folder, &[&["train"], args, &small[..]].concat()).ok();
        words.iter().for_each(|words| assert!(out.contains(words), "no '{words}' in {out}"));
        let svg = fs::read_to_string(folder.join("p.svg")).unwrap();
        assert!(svg.contains("Gradient norm at h") && svg.contains("steps from the last"));
    }
    run(folder, &["predict", "classify.safetensors", "--attention-plot", "a.png"])
        .refused(2, &["--attention-plot: is of an encoder-decoder with attention"]);
}

/// What --print-config writes --config reads, and prints again; what it does not know it tells.
#[test]
fn settings_go_through_a_file_and_back() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let plateau = ["--schedule", "plateau:2:0.5:0.001:0.0001"];
    for kind in ["forecast", "classify", "generate", "transduce"] {
        for more in [&[][..], &plateau, &["--schedule", "cosine:5:50:0.0001"], &["--schedule", "constant"]] {
            let printed = run(folder, &[&["train", kind, "--print-config", "--hidden", "17"], more].concat()).ok();
            assert!(printed.contains("hidden = 17"), "{printed}");
            fs::write(folder.join("settings.toml"), &printed).unwrap();
            let again = run(folder, &["train", kind, "--config", "settings.toml", "--print-config"]).ok();
            assert_eq!(again, printed);
        }
        let printed = run(folder, &[&["train", kind, "--print-config"], &plateau[..]].concat()).ok();
        assert!(printed.contains("[fit.schedule.plateau]\nfactor = 0.5\npatience = 2\n"), "{printed}");
        fs::write(folder.join("settings.toml"), printed.replace("patience = 2", "patienc = 2")).unwrap();
        let ran = run(folder, &["train", kind, "--config", "settings.toml", "--print-config"]);
        assert!(ran.code == 2 && ran.err.contains("unknown field `patienc`"), "{ran:?}");
        let help = run(folder, &["train", kind, "--help"]).ok();
        assert!(!help.contains("Plateau"), "{help}");
    }
    let help = run(folder, &["train", "transduce", "--help"]).ok();
    assert!(help.contains("[default: cosine:0:0]"), "{help}");
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
    let table = out.split("\n\n").nth(1).unwrap();
    let columns: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(columns[0], ["T", "8", "T", "40"], "{out}");
    assert_eq!([&columns[1][..2], &columns[2][..1]].concat(), ["tanh", "RNN", "GRU"], "{out}");
    assert!(columns[2].len() == 5 && columns[2][1] == "loss", "{out}");
    let svg = fs::read_to_string(folder.join("m.svg")).unwrap();
    for words in ["Adding: who still learns", "Loss, T 40", "Loss at the end", "T (filled: solved)"] {
        assert!(svg.contains(words), "no '{words}' in the picture");
    }
    let reports = run(folder, &[&args[..], &["--json"]].concat()).ok();
    assert_eq!(reports.lines().map(|line| json(line)["minibatches"].clone()).collect::<Vec<_>>(), [20, 20, 20, 20]);
    run(folder, &["train", "memory", "--kinds", "gru,tcn"]).refused(2, &["expected rnn, irnn, gru or lstm"]);
}
