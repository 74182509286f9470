//! `elman` as its user meets it: what it prints, what it leaves behind, and how it says no.
//!
//! `ELMAN_ISA` of the surroundings is passed on, so that all of it can be run on any tier.

mod bench;
#[cfg(target_os = "linux")]
mod disk;
mod files;
mod inspect;
mod resume;
mod run;
mod sine;
mod train;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// What a command printed, and its exit code.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        let code = output.status.code().expect("ended by itself");
        let ran = Self { code, out: text(output.stdout), err: text(output.stderr) };
        assert!(!ran.err.contains("panicked"), "{ran:?}");
        assert!(!ran.out.contains('\x1b') && !ran.err.contains('\x1b'), "escape codes, and no terminal: {ran:?}");
        ran
    }

    /// The output of a command that did what it was asked to.
    pub(crate) fn ok(self) -> String {
        assert!(self.code == 0 && self.err.is_empty(), "{self:?}");
        self.out
    }

    /// The output of a command that did what it was asked to, and what it noted on the way.
    pub(crate) fn noted(self) -> (String, Vec<String>) {
        assert_eq!(self.code, 0, "{self:?}");
        // What was taken where a file does not say it has a word of its own.
        let taken = |line: &str| line.starts_with("taken: ").then(|| line.to_string());
        let note = |line: &str| taken(line).unwrap_or_else(|| line.strip_prefix("note: ").expect("a note").to_string());
        (self.out, self.err.lines().map(note).collect())
    }

    /// The one line of a command that refused; it begins with `error: ` and contains all of `words`.
    pub(crate) fn refused(self, code: i32, words: &[&str]) -> String {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.out.is_empty(), "{self:?}");
        let line = self.err.strip_suffix('\n').expect("a whole line");
        assert!(line.starts_with("error: ") && !line.contains(char::is_control), "{self:?}");
        for word in words {
            assert!(line.contains(word), "no '{word}' in {self:?}");
        }
        line.into()
    }
}

pub(crate) fn elman(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_elman"));
    command.current_dir(folder).args(args).stdin(Stdio::null());
    command
}

pub(crate) fn run(folder: &Path, args: &[&str]) -> Ran {
    Ran::of(elman(folder, args).output().unwrap())
}

/// Every file and folder below, with the files' contents.
pub(crate) fn tree(folder: &Path) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(tree(&path));
            all.push((path, None));
        } else {
            let contents = fs::read(&path).unwrap();
            all.push((path, Some(contents)));
        }
    }
    all.sort();
    all
}

pub(crate) fn names(folder: &Path) -> Vec<String> {
    tree(folder).iter().map(|(path, _)| path.strip_prefix(folder).unwrap().display().to_string()).collect()
}

/// The line of the summary that begins with that word.
pub(crate) fn told<'a>(out: &'a str, word: &str) -> &'a str {
    let mut lines = out.lines().filter(|line| line.starts_with(word));
    let line = lines.next().unwrap_or_else(|| panic!("no '{word}' in {out}"));
    assert!(lines.next().is_none(), "'{word}' twice in {out}");
    line
}

/// A folder with things in the way of pictures.
pub(crate) fn obstacles() -> TempDir {
    let folder = TempDir::new().unwrap();
    let at = |name| folder.path().join(name);
    fs::create_dir(at("folder.png")).unwrap();
    fs::write(at("file.txt"), "mine").unwrap();
    fs::write(at("locked.png"), "mine").unwrap();
    let mut permissions = fs::metadata(at("locked.png")).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(at("locked.png"), permissions).unwrap();
    folder
}

/// The command refuses without printing anything but its reason, and everything is as it was.
pub(crate) fn refuses(args: &[&str], code: i32, words: &[&str]) -> String {
    let folder = obstacles();
    let before = tree(folder.path());
    let line = run(folder.path(), args).refused(code, words);
    assert_eq!(tree(folder.path()), before, "after {args:?}");
    line
}

/// Work grows with the threads; a million of them would never end.
#[test]
fn more_threads_than_the_cores_can_run_are_refused() {
    let cores = std::thread::available_parallelism().unwrap().get();
    let most = 4 * cores;
    let reason = format!("expected at most {most}, 4 for each core: this machine has {cores} core");
    let beyond = (most + 1).to_string();
    for threads in [&beyond[..], "1000000", "18446744073709551615"] {
        for verb in [&["bench"][..], &["bench", "--hidden", "8"], &["peak"], &["sine"], &["run", "a", "b"]] {
            refuses(&[verb, &["--threads", threads]].concat(), 2, &[&reason, "--threads", threads]);
        }
    }
}

/// Whoever types the name alone wants to know what there is.
#[test]
fn elman_alone_prints_the_help() {
    let folder = TempDir::new().unwrap();
    let help = run(folder.path(), &["--help"]).ok();
    assert_eq!(run(folder.path(), &[]).ok(), help);
    for verb in ["run", "inspect", "bench", "peak", "sine"] {
        assert!(help.lines().any(|line| line.trim_start().starts_with(&format!("{verb} "))), "no {verb} in {help}");
    }
}

/// The verbs that are to come say what serves until then, whatever else is given.
#[test]
fn reserved_verbs_are_not_there_yet() {
    let help = run(TempDir::new().unwrap().path(), &["--help"]).ok();
    for verb in ["convert", "compare"] {
        for rest in [&[][..], &["a", "b"], &["a", "-o", "b", "--tolerance", "1"]] {
            let line = refuses(&[&[verb], rest].concat(), 2, &[]);
            assert!(line.starts_with(&format!("error: {verb} is not there yet; for now ")), "{line}");
        }
        assert!(!help.contains(&format!(" {verb} ")), "{help}");
    }
}

/// What scripts were written with before models and data stood by position.
#[test]
fn the_options_of_old_still_name_the_files() {
    let folder = files::folder();
    let new = ["run", "gru.safetensors", "x.safetensors", "-o", "new.safetensors"];
    let old = ["run", "--weights", "gru.safetensors", "--input", "x.safetensors", "--output", "old.safetensors"];
    run(folder.path(), &new).ok();
    run(folder.path(), &old).ok();
    let contents = |name: &str| fs::read(folder.path().join(name)).unwrap();
    assert_eq!(contents("old.safetensors"), contents("new.safetensors"));
    refuses(&["run", "a", "--weights", "b", "--input", "c"], 2, &["--weights <FILE>", "cannot be used with"]);
    refuses(&["run", "--weights", "b"], 2, &["not provided", "--input <FILE>"]);
}

/// Scripts that read one verb's objects read the others'.
#[test]
fn every_verb_spells_a_networks_facts_alike() {
    const FACTS: [&str; 4] = ["cell", "hidden_sizes", "num_layers", "directions"];
    // As some verb once called them.
    const OTHERS: [&str; 7] = ["kind", "hidden", "layers", "bidirectional", "hidden_size", "input", "shape"];
    let folder = files::folder();
    let object = |args: &[&str]| -> serde_json::Value {
        let out = Ran::of(elman(folder.path(), args).output().unwrap()).out;
        serde_json::from_str(out.lines().next().unwrap()).unwrap()
    };
    let bench = object(&["bench", "--json", "--hidden", "4", "--cell", "gru", "--seconds", "0.01", "--threads", "1"]);
    let inspect = object(&["inspect", "--json", "gru.safetensors"]);
    let ran = object(&["run", "--json", "gru.safetensors", "x.safetensors"]);
    for facts in [&bench, &inspect["networks"][0], &ran] {
        let values = FACTS.map(|fact| facts.get(fact).unwrap_or_else(|| panic!("no {fact} in {facts}")));
        assert_eq!(values.map(ToString::to_string), ["\"gru\"", "[4]", "1", "1"], "{facts}");
        for other in OTHERS {
            assert!(facts.get(other).is_none(), "{other} in {facts}");
        }
    }
}
