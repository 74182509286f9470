//! The scripts of `perf/` tell what they do, and say no to wrong calls and missing tools before they build or measure
//! anything. Nothing is profiled here.
#![cfg(unix)]

use std::path::{Path, PathBuf};
use std::process::Command;

const SCRIPTS: [&str; 5] = ["asm.sh", "callgrind.sh", "record.sh", "roofline.sh", "stat.sh"];

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
    for name in ["ELMAN_ISA", "OBJDUMP", "PYTHON"] {
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
        ("roofline.sh", &["--output", "chart.txt"], "--output: expected a file that ends in .png"),
        ("roofline.sh", &["--output"], "--output: expected a value"),
        ("roofline.sh", &["--redraw", "--cell", "gru"], "--redraw: expected no arguments of elman bench"),
    ] {
        let (code, out, err) = run(&folder.join(script), Some(bare.path()), args);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{script} {args:?}: {err}");
        assert!(err.starts_with("error: ") && err.contains(words), "{script} {args:?}: {err}");
    }
}
