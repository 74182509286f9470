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
    assert!(lines[4].starts_with("         schedule of layer 1: 1 workers by rows"), "{out}");
    assert!(lines[5].starts_with("         of layer 2: 1 workers by rows"), "{out}");
    assert!(lines[6].starts_with("         predicted ") && lines[6].contains(" of the measured: "), "{out}");
    assert!(lines[6].contains("recurrence "), "{out}");
}

#[test]
fn an_explained_object_has_its_prediction() {
    let folder = folder();
    let args = ["bench", "--cell", "rnn", "--mode", "train", "--hidden", "8", "--batch", "3", "--steps", "6"];
    let more = ["--layers", "2", "--threads", "1", "--seconds", "0", "--json"];
    let out = run(folder.path(), &[&args[..], &more].concat()).ok();
    let report: Value = serde_json::from_str(&out).unwrap();
    assert!(report.get("predicted_s").is_none() && report.get("plan").is_none(), "{out}");
    let out = run(folder.path(), &[&args[..], &more, &["--explain"]].concat()).ok();
    let report: Value = serde_json::from_str(&out).unwrap();
    assert!(
        report["plan"].as_str().unwrap().contains("workers by rows") && report.get("plan_above").is_none(),
        "{out}"
    );
    let parts = report["predicted_parts_s"].as_object().unwrap();
    let sum: f64 = parts.values().map(|seconds| seconds.as_f64().unwrap()).sum();
    let predicted = report["predicted_s"].as_f64().unwrap();
    assert!(predicted > 0.0 && (sum / predicted - 1.0).abs() < 1e-9, "{out}");
    assert!(parts["weight_gradients"].as_f64().unwrap() > 0.0 && report["median_s"].as_f64().unwrap() > 0.0, "{out}");
}

#[test]
fn other_machines_are_predicted_and_nothing_is_run() {
    let folder = folder();
    // Nobody waits for hours of work.
    let huge = ["bench", "--cell", "lstm", "--hidden", "8192", "--batch", "4096", "--steps", "1000", "--input", "100"];
    for more in [&["--caches", "32K,1M,32M"][..], &["--threads", "4096", "--explain"]] {
        let out = run(folder.path(), &[&huge[..], more].concat()).ok();
        assert!(out.starts_with("predicted, not measured: "), "{out}");
        assert!(out.contains("L1d 32 KiB, L2 1 MiB, L3 32 MiB"), "{out}");
        assert!(out.lines().nth(3).unwrap().starts_with("lstm     infer    100  8192  4096  1000 |"), "{out}");
        assert_eq!(out.contains("schedule: "), more.contains(&"--explain"), "{out}");
    }
    let args = ["--caches", "48k,2097152,1g", "--threads", "16", "--layers", "3", "--json"];
    let out = run(folder.path(), &[&huge[..], &args].concat()).ok();
    let report: Value = serde_json::from_str(&out).unwrap();
    let number = |key: &str| report[key].as_f64().unwrap_or_else(|| panic!("{key} in {out}"));
    assert_eq!(report["predicted"], Value::Bool(true));
    assert_eq!(report["caches"], serde_json::json!([48 << 10, 2 << 20, 1 << 30]));
    assert!(report["plan_above"].is_string() && report.get("median_s").is_none(), "{out}");
    let flop = 2.0 * 4.0 * 4096.0 * 1000.0 * 8192.0 * ((100.0 + 8192.0) + 2.0 * (8192.0 + 8192.0));
    assert!((number("predicted_gflops") * 1e9 * number("predicted_s") / flop - 1.0).abs() < 1e-9, "{out}");
    let share = number("predicted_gflops") / number("machine_peak_gflops");
    assert!((number("predicted_share_of_peak") / share - 1.0).abs() < 1e-9 && share < 1.0, "{out}");
    // The table, without a shape.
    let out = run(folder.path(), &["bench", "--threads", "64", "--caches", "32K,1M,256M", "--json"]).ok();
    assert!(out.lines().count() > 50 && out.lines().all(|line| line.contains("\"predicted_s\":")), "{out}");
    // The same numbers every time.
    let again = run(folder.path(), &["bench", "--threads", "64", "--caches", "32K,1M,256M", "--json"]).ok();
    assert_eq!(out, again);
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
        (&["--caches", "32K,1M"], &["--caches", "expected the sizes of L1d, L2 and L3", "32K,1M,32M"]),
        (&["--caches", "1M,32K,32M"], &["--caches", "each at least the one before"]),
        (&["--caches", "0,1M,32M"], &["--caches", "each at least the one before"]),
        (&["--caches", "-1,1M,32M"], &["--caches", "expected the sizes of L1d, L2 and L3"]),
        (&["--caches", "32Q,1M,32M"], &["--caches", "expected the sizes of L1d, L2 and L3"]),
        (&["--caches", "32K,1M,99999999999999999999M"], &["--caches", "expected the sizes of L1d, L2 and L3"]),
        (&["--caches", ""], &["--caches", "expected the sizes of L1d, L2 and L3"]),
        (&["--caches", "32K,1M,32M", "--mode", "stream", "--ragged"], &["stream: expected a batch that is neither"]),
        (&["--cell", "gru", "--nonlinearity", "relu"], &["--nonlinearity: expected --cell rnn with it"]),
        (&["--mode", "stream", "--ragged"], &["stream: expected a batch that is neither ragged nor bidirectional"]),
    ] {
        run(folder.path(), &[&["bench"], args].concat()).refused(2, words);
    }
}
