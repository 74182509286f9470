//! `elman bench` and `elman peak`: figures that fit together, and wrong calls.

use crate::run;
use serde_json::Value;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn every_mode_prints_one_object_a_line_with_figures_that_fit() {
    let folder = folder();
    for cell in ["rnn", "gru", "lstm"] {
        for mode in ["infer", "train", "stream"] {
            let size = ["--input", "3", "--hidden", "5", "--batch", "2", "--steps", "4", "--threads", "1"];
            let args = [&["bench", "--cell", cell, "--mode", mode, "--seconds", "0", "--json"][..], &size].concat();
            let out = run(folder.path(), &args).ok();
            let report: Value = serde_json::from_str(&out).unwrap();
            let number = |key: &str| report[key].as_f64().unwrap_or_else(|| panic!("{key} in {out}"));
            assert_eq!((report["cell"].as_str(), report["mode"].as_str()), (Some(cell), Some(mode)));
            assert_eq!([number("input"), number("hidden"), number("batch"), number("steps")], [3.0, 5.0, 2.0, 4.0]);
            let gates = match cell {
                "rnn" => 1.0,
                "gru" => 3.0,
                _ => 4.0,
            };
            let flop = 2.0 * gates * 8.0 * 5.0 * (3.0 + 5.0) * if mode == "train" { 3.0 } else { 1.0 };
            assert!((number("gflops") * 1e9 * number("median_s") / flop - 1.0).abs() < 1e-6, "{out}");
            assert!((number("share_of_peak") * number("peak_gflops") / number("gflops") - 1.0).abs() < 1e-6, "{out}");
            assert!(number("min_s") <= number("median_s") && number("noise") >= 0.0, "{out}");
            assert!((number("ns_per_step") / 1e9 * 4.0 / number("median_s") - 1.0).abs() < 1e-6, "{out}");
        }
    }
}

#[test]
fn a_shape_is_a_table_of_one_row_and_explains_itself() {
    let folder = folder();
    let args = ["bench", "--cell", "gru", "--hidden", "8", "--batch", "3", "--steps", "6", "--layers", "2"];
    let more = ["--bidirectional", "--ragged", "--threads", "1", "--seconds", "0", "--explain"];
    let out = run(folder.path(), &[&args[..], &more].concat()).ok();
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].contains("on up to 1 thread; medians"), "{out}");
    assert!(lines[2].starts_with("cell     mode       I     H     B     T | "), "{out}");
    assert!(lines[3].starts_with("gru      infer      8     8     3     6 |"), "{out}");
    assert!(lines[3].contains("2 layers  bidirectional  ragged, "), "{out}");
    assert!(lines[4].contains("1 workers by rows"), "{out}");
}

#[test]
fn the_limits_of_the_machine_are_told() {
    let folder = folder();
    let report: Value = serde_json::from_str(&run(folder.path(), &["peak", "--json"]).ok()).unwrap();
    assert!(report["gflops_one_thread"].as_f64().unwrap() > 0.1);
    let sizes: Vec<_> = report["load"].as_array().unwrap().iter().map(|load| load["bytes"].as_u64().unwrap()).collect();
    assert_eq!(sizes, [16 << 10, 256 << 10, 8 << 20, 256 << 20]);
    let out = run(folder.path(), &["peak", "--threads", "1"]).ok();
    assert!(out.starts_with("fused multiply-adds  ") && out.contains(" GB/s from 256 KiB"), "{out}");
}

#[test]
fn wrong_calls_say_what_was_expected() {
    let folder = folder();
    for (args, words) in [
        (&["--cell", "elman"][..], &["--cell", "expected rnn, gru or lstm"][..]),
        (&["--mode", "test"], &["--mode", "expected infer, train or stream"]),
        (&["--hidden", "0"], &["--hidden", "expected a whole number from 1 to 65536"]),
        (&["--isa", "neon"], &["--isa", "'neon'", "expected one of this machine's tiers"]),
        (&["--seconds", "-1"], &["--seconds", "expected a number from 0 to 3600"]),
        (&["--cell", "gru", "--nonlinearity", "relu"], &["--nonlinearity: expected --cell rnn with it"]),
        (&["--mode", "stream", "--ragged"], &["stream: expected a batch that is neither ragged nor bidirectional"]),
    ] {
        run(folder.path(), &[&["bench"], args].concat()).refused(2, words);
    }
}
