//! The scripts of `perf/` tell what they do, and say no to wrong calls and missing tools before they build or measure
//! anything. Nothing is profiled here.
#![cfg(unix)]

use std::path::{Path, PathBuf};
use std::process::Command;

const SCRIPTS: [&str; 8] =
    ["asm.sh", "callgrind.sh", "compare", "latency", "record.sh", "roofline.sh", "sine.sh", "stat.sh"];

/// The folder with the scripts; the published crate has none.
fn scripts() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../perf");
    folder.join("common.sh").exists().then_some(folder)
}

/// Runs a script with a search path; gives exit code, output and error.
fn run(script: &Path, path: Option<&Path>, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(script);
    if let Some(path) = path {
        // `env` does not find bash there.
        command = Command::new("/bin/bash");
        command.arg(script).env("PATH", path);
    }
    for name in ["CARGO_TARGET_DIR", "ELMAN_ISA", "OBJDUMP", "PYTHON"] {
        command.env_remove(name);
    }
    let output = command.args(args).output().expect("bash");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// A folder with none of the tools that the scripts ask for, but what their first lines call.
fn bare_path() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for tool in ["dirname", "sed"] {
        let found = ["/usr/bin", "/bin"].iter().map(|at| Path::new(at).join(tool)).find(|at| at.exists());
        std::os::unix::fs::symlink(found.expect("a Unix tool"), folder.path().join(tool)).unwrap();
    }
    folder
}

#[test]
fn help_names_the_script_and_what_it_needs() {
    let (Some(folder), bare) = (scripts(), bare_path()) else { return };
    for script in SCRIPTS {
        let (code, out, err) = run(&folder.join(script), Some(bare.path()), &["--cell", "gru", "--help"]);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{script}");
        assert!(out.contains(&format!("\n  perf/{script}")) && out.contains("\nNeeds "), "{script}: {out}");
        assert!(!out.contains("set -euo"), "{script}: {out}");
    }
}

#[test]
fn a_missing_tool_is_named_with_how_to_get_it() {
    let (Some(folder), bare) = (scripts(), bare_path()) else { return };
    for (script, words) in [
        ("asm.sh", ["error: python3: not found.", "apt-get install"]),
        ("callgrind.sh", ["error: valgrind: not found.", "apt-get install valgrind"]),
        ("record.sh", ["error: perf: not found.", "apt-get install linux-perf"]),
        ("stat.sh", ["error: perf: not found.", "apt-get install linux-perf"]),
    ] {
        let (code, out, err) = run(&folder.join(script), Some(bare.path()), &[]);
        assert_eq!((code, out.as_str()), (Some(1), ""), "{script}: {err}");
        assert!(words.iter().all(|word| err.contains(word)) && err.lines().count() == 1, "{script}: {err}");
    }
}

#[test]
fn a_wrong_call_is_told_before_anything_is_built() {
    let (Some(folder), bare) = (scripts(), bare_path()) else { return };
    for (script, args, words) in [
        ("callgrind.sh", &["--threads", "2"][..], "--threads: expected 1"),
        ("callgrind.sh", &["--isa=avx512"], "expected avx2 or portable"),
        ("sine.sh", &["0"], "TURNS: expected a whole number of at least 1, got 0"),
        ("sine.sh", &["--turns"], "TURNS: expected a whole number of at least 1, got --turns"),
        ("sine.sh", &["3", "4"], "expected TURNS and nothing else, got 3 4"),
        ("roofline.sh", &["--output", "chart.txt"], "--output: expected a file that ends in .png"),
        ("roofline.sh", &["--output"], "--output: expected a value"),
        ("roofline.sh", &["--redraw", "--cell", "gru"], "--redraw: expected no arguments of elman bench"),
    ] {
        let (code, out, err) = run(&folder.join(script), Some(bare.path()), args);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{script} {args:?}: {err}");
        assert!(err.starts_with("error: ") && err.contains(words), "{script} {args:?}: {err}");
    }
}

/// Those that build with cargo and compare with Python run the binary that cargo has built, wherever that is, and install
/// nothing into a Python that has what they need.
#[test]
fn the_binary_is_that_of_the_target_folder() {
    use std::os::unix::fs::PermissionsExt as _;
    let (Some(folder), stubs) = (scripts(), tempfile::tempdir().unwrap()) else { return };
    let target = stubs.path().join("target");
    std::fs::create_dir_all(target.join("release")).unwrap();
    let log = stubs.path().join("log");
    // Each notes that it was called; what Python is to run comes in by standard input for one of them.
    for (name, words) in
        [("cargo", "cargo $*"), ("python", "python for $ELMAN: $*"), ("target/release/elman", "elman $*")]
    {
        let path = stubs.path().join(name);
        let text = format!("#!/bin/bash\necho \"{words}\" >>'{}'\n", log.display());
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let search = format!("{}:{}", stubs.path().display(), std::env::var("PATH").unwrap());
    for (script, args, words) in [
        ("sine.sh", &["1"][..], "elman sine --json --seed 1 ".to_string()),
        (
            "latency",
            &["--turns", "1"],
            format!("python for {}: perf/latency.py --turns 1", target.join("release/elman").display()),
        ),
        (
            "compare",
            &["--turns", "1"],
            format!("python for {}: perf/compare.py --turns 1", target.join("release/elman").display()),
        ),
    ] {
        std::fs::write(&log, "").unwrap();
        let mut command = Command::new(folder.join(script));
        command.env("PATH", &search).env("PYTHON", stubs.path().join("python"));
        let output = command.env("CARGO_TARGET_DIR", &target).args(args).output().expect("bash");
        assert!(output.status.success(), "{script}: {output:?}");
        let log = std::fs::read_to_string(&log).unwrap();
        assert!(log.contains("cargo build --release --quiet -p elman-cli\n"), "{script}: {log}");
        assert!(log.contains(&words), "{script}: {log}");
        assert!(!log.contains("pip"), "{script}: {log}");
    }
}
