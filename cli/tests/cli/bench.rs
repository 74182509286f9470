//! `elman bench` and `elman peak`: figures that fit together, and wrong calls.

use crate::run;
use serde_json::{Value, json};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn every_mode_prints_one_object_a_line_with_figures_that_fit() {
    let folder = folder();
    for cell in ["rnn", "gru", "lstm"] {
        for mode in ["infer", "train", "step"] {
            let size = ["--input", "3", "--hidden", "5", "--batch", "2", "--steps", "4", "--threads", "1"];
            let args = [&["bench", "--cell", cell, "--mode", mode, "--seconds", "0", "--json"][..], &size].concat();
            let out = run(folder.path(), &args).ok();
            let report: Value = serde_json::from_str(&out).unwrap();
            let number = |key: &str| report[key].as_f64().unwrap_or_else(|| panic!("{key} in {out}"));
            assert_eq!((report["cell"].as_str(), report["mode"].as_str()), (Some(cell), Some(mode)));
            assert_eq!([number("input_size"), number("batch"), number("steps")], [3.0, 2.0, 4.0]);
            assert_eq!((&report["hidden_sizes"], number("num_layers")), (&json!([5]), 1.0));
            assert_eq!((&report["bias"], &report["proj_size"]), (&json!(true), &json!(0)));
            assert_eq!(report["nonlinearity"].as_str(), (cell == "rnn").then_some("tanh"));
            let gates = match cell {
                "rnn" => 1.0,
                "gru" => 3.0,
                _ => 4.0,
            };
            let flop = 2.0 * gates * 8.0 * 5.0 * (3.0 + 5.0) * if mode == "train" { 3.0 } else { 1.0 };
            assert!((number("gflops") * 1e9 * number("median_s") / flop - 1.0).abs() < 1e-6, "{out}");
            assert!((number("share_of_peak") * number("peak_gflops") / number("gflops") - 1.0).abs() < 1e-6, "{out}");
            assert!(number("min_s") <= number("median_s") && number("noise") >= 0.0, "{out}");
            assert!((number("step_ns") / 1e9 * 4.0 / number("median_s") - 1.0).abs() < 1e-6, "{out}");
            let mut marks = Vec::new();
            marks.extend((number("noise") > 0.1).then_some("noisy"));
            marks.extend((number("share_of_peak") > 1.0).then_some("above peak"));
            assert_eq!(report["marks"], json!(marks), "{out}");
            assert_eq!(report.get("step_p50_ns").is_some(), mode == "step", "{out}");
            if mode == "step" {
                ascends(&report, "step");
            }
            assert!(["block", "head", "block_p50_ns"].iter().all(|key| report.get(key).is_none()), "{out}");
        }
    }
}

fn ascends(report: &Value, of: &str) {
    let [p50, p99, p999, max] =
        ["p50", "p99", "p999", "max"].map(|at| report[format!("{of}_{at}_ns")].as_f64().unwrap());
    assert!(0.0 < p50 && p50 <= p99 && p99 <= p999 && p999 <= max, "{report}");
}

#[test]
fn a_stream_has_one_feature_and_a_head_unless_told_and_tells_how_long_its_calls_take() {
    let folder = folder();
    let args = ["bench", "--mode", "stream", "--hidden", "4", "--steps", "10", "--json"];
    let report = |more: &[&str]| -> Value {
        serde_json::from_str(&run(folder.path(), &[&args[..], more].concat()).ok()).unwrap()
    };
    let number = |report: &Value, key: &str| report[key].as_f64().unwrap_or_else(|| panic!("{key} in {report}"));
    for (cell, gates) in [("rnn", 1.0), ("gru", 3.0), ("lstm", 4.0)] {
        let report = report(&["--cell", cell]);
        assert_eq!((report["cell"].as_str(), report["mode"].as_str()), (Some(cell), Some("stream")));
        for (key, value) in [
            ("input_size", 1.0),
            ("head", 1.0),
            ("block", 1.0),
            ("timed_block", 64.0),
            ("batch", 1.0),
            ("threads", 1.0),
            ("tokens", 10.0),
            ("turns", 25.0),
        ] {
            assert_eq!(number(&report, key), value, "{key} in {report}");
        }
        // 2·G·H·(I + H), and 2·H for the head.
        let flop = 10.0 * (2.0 * gates * 4.0 * 5.0 + 8.0);
        assert!((number(&report, "gflops") * 1e9 * number(&report, "median_s") / flop - 1.0).abs() < 1e-6, "{report}");
        assert!((number(&report, "step_ns") / 1e8 / number(&report, "median_s") - 1.0).abs() < 1e-6, "{report}");
        assert!((number(&report, "step_min_ns") / 1e8 / number(&report, "min_s") - 1.0).abs() < 1e-6, "{report}");
        ["step", "block"].iter().for_each(|of| ascends(&report, of));
    }
    let report =
        report(&["--block", "4", "--head", "0", "--layers", "2", "--input", "3", "--rows", "2", "--seconds", "0"]);
    for (key, value) in [
        ("block", 4.0),
        ("timed_block", 4.0),
        ("head", 0.0),
        ("num_layers", 2.0),
        ("tokens", 24.0),
        ("batch", 2.0),
        ("input_size", 3.0),
    ] {
        assert_eq!(number(&report, key), value, "{key} in {report}");
    }
    let out = run(folder.path(), &[&args[..7], &["--block", "4", "--head", "2"]].concat()).ok();
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[4].starts_with("lstm     stream     1     4     1    10 |"), "{out}");
    assert!(lines[4].contains("  blocks of 4  head of 2"), "{out}");
    assert!(lines[5].starts_with("         a step: least ") && lines[5].contains(", p99.9 "), "{out}");
    assert!(lines[6].starts_with("         a block of 4: p50 ") && lines[6].contains(", max "), "{out}");
}

#[test]
fn a_batch_goes_step_by_step_with_one_row_unless_told() {
    let folder = folder();
    let args = ["bench", "--cell", "gru", "--mode", "step", "--hidden", "4", "--steps", "3"];
    let out = run(folder.path(), &[&args[..], &["--seconds", "0", "--threads", "1"]].concat()).ok();
    assert!(out.lines().nth(4).unwrap().starts_with("gru      step       4     4     1     3 |"), "{out}");
    assert!(out.lines().nth(5).unwrap().starts_with("         a step: least "), "{out}");
    let out =
        run(folder.path(), &["bench", "--mode", "infer", "--hidden", "4", "--seconds", "0", "--threads", "1"]).ok();
    assert!(out.lines().nth(4).unwrap().starts_with("lstm     infer      4     4    64   100 |"), "{out}");
    assert!(!out.contains("p50"), "{out}");
}

#[test]
fn noise_is_defined_and_marks_have_a_legend() {
    let folder = folder();
    let args = ["bench", "--cell", "rnn", "--hidden", "4", "--batch", "1", "--seconds", "0", "--threads", "1"];
    let out = run(folder.path(), &args).ok();
    let words = "half the distance between the quartiles";
    assert!(out.lines().nth(1).unwrap().starts_with(&format!("noise: {words}")), "{out}");
    let row = out.lines().nth(4).unwrap();
    for mark in ["noisy", "above peak"] {
        let legends = out.lines().filter(|line| line.starts_with(&format!("{mark}: "))).count();
        assert_eq!(legends, usize::from(row.contains(mark)), "{out}");
    }
    let help = run(folder.path(), &["bench", "--help"]).ok();
    assert!(help.contains(words) && help.contains("'noisy'") && help.contains("'above peak'"), "{help}");
}

#[test]
fn a_shape_is_a_table_of_one_row_and_explains_itself() {
    let folder = folder();
    let args = ["bench", "--cell", "gru", "--hidden", "8", "--batch", "3", "--steps", "6", "--layers", "2"];
    let more = ["--bidirectional", "--ragged", "--threads", "1", "--seconds", "0", "--explain"];
    let out = run(folder.path(), &[&args[..], &more].concat()).ok();
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].contains("on up to 1 thread; medians"), "{out}");
    assert!(lines[3].starts_with("cell     mode       I     H     B     T | "), "{out}");
    assert!(lines[4].starts_with("gru      infer      8     8     3     6 |"), "{out}");
    assert!(lines[4].contains("2 layers  bidirectional  ragged, "), "{out}");
    assert!(lines[5].starts_with("         schedule of layer 1: 1 workers by rows"), "{out}");
    assert!(lines[6].starts_with("         of layer 2: 1 workers by rows"), "{out}");
    assert!(lines[7].starts_with("         predicted ") && lines[7].contains(" of the measured: "), "{out}");
    assert!(lines[7].contains("recurrence "), "{out}");
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
    // It would take hours.
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
    assert_eq!(report["caches"], json!([48 << 10, 2 << 20, 1 << 30]));
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

/// The binary that the tests run.
const THIS: &str = env!("CARGO_BIN_EXE_elman");

#[test]
fn two_binaries_take_turns() {
    let folder = folder();
    let args = ["bench", "--against", THIS, "--cell", "rnn", "--hidden", "4", "--batch", "1", "--steps", "2"];
    let more = ["--threads", "1", "--seconds", "0"];
    let out = run(folder.path(), &[&args[..], &more].concat()).ok();
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].contains(" on up to 1 thread, in turns with ") && lines[0].contains(": 15 pairs"), "{out}");
    assert!(lines[5].starts_with("rnn      infer      4     4     1     2 |"), "{out}");
    assert!(out.contains("\n1 row: the geometric mean of the ratios is "), "{out}");
    let out = run(folder.path(), &[&args[..], &more, &["--json", "--pairs", "16"]].concat()).ok();
    let objects: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (row, total) = (&objects[0], objects.last().unwrap());
    let number = |key: &str| row[key].as_f64().unwrap_or_else(|| panic!("{key} in {out}"));
    assert_eq!((number("pairs"), &row["hidden_sizes"], &row["again"]), (16.0, &json!([4]), &json!(false)));
    assert!(0.0 < number("ratio_low") && number("ratio_low") <= number("ratio"), "{out}");
    assert!(number("ratio") <= number("ratio_high"), "{out}");
    assert_eq!(row["slower"], json!(number("ratio_low") > 1.02));
    // A row that is slower comes once more.
    assert_eq!(objects.len(), if row["slower"] == json!(true) { 3 } else { 2 }, "{out}");
    assert_eq!(total["rows"], json!(1));
    assert!((total["geometric_mean"].as_f64().unwrap() / number("ratio") - 1.0).abs() < 1e-12, "{out}");
}

#[cfg(unix)]
#[test]
fn a_row_that_is_slower_is_marked_and_run_once_more() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = folder();
    // What takes next to no time, in the words of an older binary, and one that takes an hour.
    for (name, seconds) in [("fast", "1e-12"), ("slow", "3600"), ("wordless", "")] {
        let script = folder.path().join(name);
        let object =
            format!("{{\"cell\":\"rnn\",\"hidden\":4,\"tokens\":2,\"median_s\":{seconds},\"min_s\":{seconds}}}");
        let text = if seconds.is_empty() { "hello".into() } else { object };
        std::fs::write(&script, format!("#!/bin/sh\necho '{text}'\necho \"$*\" >>calls\n")).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let args = |binary| {
        let shape = ["--cell", "rnn", "--hidden", "4", "--batch", "1", "--steps", "2", "--threads", "1"];
        [&["bench", "--against", binary][..], &shape, &["--seconds", "0"]].concat()
    };
    let out = run(folder.path(), &args("./fast")).ok();
    let rows: Vec<&str> = out.lines().filter(|line| line.starts_with("rnn ")).collect();
    assert!(rows.len() == 2 && rows.iter().all(|row| row.ends_with("  slower")), "{out}");
    assert!(out.contains("\nonce more:\n") && out.ends_with("\nslower: 1, and once more: 1\n"), "{out}");
    let calls = std::fs::read_to_string(folder.path().join("calls")).unwrap();
    assert_eq!(calls.lines().count(), 30);
    assert!(
        calls.starts_with("bench --json --cell rnn --nonlinearity tanh --mode infer --input 4 --hidden 4 "),
        "{calls}"
    );
    let out = run(folder.path(), &args("./slow")).ok();
    assert!(out.contains("  faster\n") && out.ends_with("none is slower\n"), "{out}");
    run(folder.path(), &args("./wordless")).refused(1, &["./wordless", "expected 'bench --json' to print one object"]);
    run(folder.path(), &args("./none")).refused(1, &["./none: cannot be run"]);
    run(folder.path(), &args("/bin/false")).refused(1, &["/bin/false rnn infer 4: exit status: 1: it says nothing"]);
}

/// An older binary does not know all of the table: what it takes for a wrong call is left out and told.
#[cfg(unix)]
#[test]
fn rows_that_the_other_binary_does_not_know_are_left_out() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = folder();
    let script = folder.path().join("older");
    // It knows batches of Elman RNNs in training alone.
    let text = "#!/bin/sh\ncase \"$*\" in\n*' rnn '*' train '*) ;;\n*) exit 2 ;;\nesac\n\
                echo '{\"tokens\":2,\"median_s\":3600,\"min_s\":3600}'\n";
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let args = ["bench", "--quick", "--against", "./older", "--threads", "1", "--seconds", "0"];
    let (out, notes) = run(folder.path(), &args).noted();
    assert_eq!(notes, ["left out: 14 rows whose options ./older does not know"]);
    assert_eq!(out.lines().filter(|line| line.starts_with("rnn      train ")).count(), 1, "{out}");
    // One that was asked for is an error.
    let args = ["bench", "--against", "./older", "--mode", "stream", "--hidden", "4", "--steps", "10"];
    run(folder.path(), &args).refused(1, &["./older lstm stream 4: exit status: 2"]);
}

#[test]
fn a_part_of_the_table_is_quick() {
    let folder = folder();
    let out = run(folder.path(), &["bench", "--quick", "--caches", "32K,1M,32M", "--json"]).ok();
    assert_eq!(out.lines().count(), 12);
}

/// A CPU that the process may use; without one there is nothing to pin to.
fn cpu() -> Option<String> {
    elman_cli::measure::cpus().last().map(ToString::to_string)
}

#[test]
fn threads_are_pinned_to_cpus() {
    let (folder, Some(cpu)) = (folder(), cpu()) else { return };
    let args =
        ["bench", "--cell", "rnn", "--hidden", "4", "--batch", "1", "--seconds", "0", "--explain", "--pin", &cpu];
    let out = run(folder.path(), &args).ok();
    assert!(out.lines().next().unwrap().contains(&format!("on up to 1 thread, pinned to CPU {cpu}; medians")), "{out}");
    let out = run(folder.path(), &[&args[..], &["--json"]].concat()).ok();
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&report["threads"], &report["pinned"]), (&json!(1), &json!([cpu.parse::<usize>().unwrap()])));
}

#[test]
fn pins_that_do_not_fit_are_refused() {
    let (folder, Some(cpu)) = (folder(), cpu()) else { return };
    let words = ["--pin", "expected CPUs that this process may use", "it may use "];
    for pins in ["99999", "-1", "", "a", &format!("{cpu},{cpu}"), &format!("{cpu},")] {
        run(folder.path(), &["bench", "--pin", pins]).refused(2, &words);
    }
    run(folder.path(), &["bench", "--pin", &cpu, "--threads", "2"])
        .refused(2, &["--pin: expected as many CPUs as threads, 2, got 1"]);
}

#[test]
fn threads_beyond_the_machine_are_refused_and_predicted() {
    let folder = folder();
    for threads in ["1000000", "18446744073709551615"] {
        for verb in ["bench", "peak"] {
            run(folder.path(), &[verb, "--threads", threads])
                .refused(2, &["--threads", "expected at most", "each core"]);
        }
        let out = run(folder.path(), &["bench", "--threads", threads, "--explain", "--json"]).ok();
        assert!(out.lines().all(|line| line.contains(&format!("\"threads\":{threads},"))), "{out}");
    }
}

#[test]
fn what_does_not_fit_into_memory_is_told_before_it_is_allocated() {
    let folder = folder();
    for (args, part) in [
        (&["--hidden", "1", "--input", "65536", "--batch", "65536", "--steps", "65536"][..], "the input"),
        (&["--hidden", "65536", "--input", "1", "--batch", "65536", "--steps", "65536"], "the outputs of two layers"),
        (&["--mode", "train", "--hidden", "8192", "--batch", "65536", "--steps", "65536"], "what the layers keep"),
        (&["--hidden", "65536", "--layers", "65536", "--batch", "1"], "the other layers' weights"),
    ] {
        let line = run(folder.path(), &[&["bench"], args].concat());
        line.refused(1, &["error: bench: needs ", ", of them ", &format!(" for {part}")]);
    }
}

#[test]
fn wrong_calls_say_what_was_expected() {
    let folder = folder();
    for (args, words) in [
        (&["--cell", "elman"][..], &["--cell", "expected rnn, gru or lstm"][..]),
        (&["--mode", "test"], &["--mode", "expected infer, train, step or stream"]),
        (&["--hidden", "0"], &["--hidden", "expected a whole number from 1 to 65536"]),
        (&["--isa", "neon"], &["--isa", "'neon'", "expected one of this machine's tiers"]),
        (&["--seconds", "-1"], &["--seconds", "expected a number from 0 to 3600"]),
        (&["--warmup", "-1"], &["--warmup", "expected a number from 0 to 3600"]),
        (&["--quick", "--cell", "gru"], &["--quick: expected the table"]),
        (&["--pairs", "20"], &["--against"]),
        (&["--against", "x", "--pairs", "14"], &["--pairs", "expected a whole number from 15 to 1000"]),
        (&["--against", "x", "--explain"], &["--against", "--explain"]),
        (&["--caches", "32K,1M"], &["--caches", "expected the sizes of L1d, L2 and L3", "32K,1M,32M"]),
        (&["--caches", "1M,32K,32M"], &["--caches", "each at least the one before"]),
        (&["--caches", "0,1M,32M"], &["--caches", "each at least the one before"]),
        (&["--caches", "-1,1M,32M"], &["--caches", "expected the sizes of L1d, L2 and L3"]),
        (&["--caches", "32Q,1M,32M"], &["--caches", "expected the sizes of L1d, L2 and L3"]),
        (&["--caches", "32K,1M,99999999999999999999M"], &["--caches", "expected the sizes of L1d, L2 and L3"]),
        (&["--caches", ""], &["--caches", "expected the sizes of L1d, L2 and L3"]),
        (&["--caches", "32K,1M,32M", "--mode", "step", "--ragged"], &["step: expected a batch that is neither"]),
        (&["--cell", "gru", "--nonlinearity", "relu"], &["--nonlinearity: expected --cell rnn with it"]),
        (&["--mode", "step", "--ragged"], &["step: expected a batch that is neither ragged nor bidirectional"]),
        (&["--mode", "stream", "--bidirectional"], &["stream: expected a batch that is neither ragged nor bidirect"]),
        (&["--mode", "stream", "--batch", "2"], &["--batch: expected --rows instead"]),
        (&["--mode", "infer", "--rows", "2"], &["--rows: expected --mode stream with it, got infer"]),
        (&["--mode", "stream", "--threads", "2"], &["--threads: expected 1, as a stream runs on the thread"]),
        (&["--mode", "stream", "--block", "0"], &["--block", "expected a whole number from 1 to 65536"]),
        (&["--mode", "stream", "--caches", "32K,1M,32M"], &["--explain, --caches: expected infer, train or step"]),
        (&["--mode", "stream", "--explain"], &["--explain, --caches: expected infer, train or step"]),
        (&["--block", "64"], &["--block: expected --mode stream with it, got infer"]),
        (&["--mode", "step", "--head", "1"], &["--head: expected --mode stream with it, got step"]),
    ] {
        run(folder.path(), &[&["bench"], args].concat()).refused(2, words);
    }
}
