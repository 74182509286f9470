//! Compiles and runs programs over the libraries.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Link {
    Static,
    Shared,
}

/// The folder with the libraries, which tests of a crate that Rust cannot link to are not given: cargo is asked for them
/// once more, for the profile that the tests were built in.
pub(crate) fn libraries() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        // target/PROFILE/deps/TEST
        let folder = env::current_exe().unwrap().parent().and_then(Path::parent).unwrap().to_path_buf();
        let name = folder.file_name().unwrap().to_str().unwrap();
        let profile = if name == "debug" { "dev" } else { name };
        let mut cargo = Command::new(env!("CARGO"));
        // The whole workspace, as README says: alone the crate's dependencies have fewer features, and the library would be
        // built once more.
        cargo.args(["build", "--quiet", "--locked", "--workspace", "--profile", profile]);
        cargo.current_dir(env!("CARGO_MANIFEST_DIR")).env("CARGO_TARGET_DIR", folder.parent().unwrap());
        expect_success(&run(&mut cargo), "cargo build");
        folder
    })
}

/// Compiles a source of this crate; a warning is an error.
pub(crate) fn compile(compiler: &str, source: &str, link: Link, flags: &[&str], binary: &Path) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let standard = if source.ends_with(".cpp") { "-std=c++17" } else { "-std=c11" };
    let mut command = Command::new(compiler);
    command.args([standard, "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-pedantic"]).args(flags);
    command.arg("-I").arg(here.join("include")).arg(here.join(source));
    match link {
        Link::Static => {
            command.arg(libraries().join("libelman_capi.a"));
        }
        Link::Shared => {
            let folder = libraries().display();
            command.args([format!("-L{folder}"), format!("-Wl,-rpath,{folder}"), "-lelman_capi".into()]);
        }
    }
    command.args(["-lpthread", "-ldl", "-lm", "-o"]).arg(binary);
    expect_success(&run(&mut command), &format!("{compiler} {source}"));
}

pub(crate) fn program(path: &Path) -> Command {
    Command::new(path)
}

pub(crate) fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

#[track_caller]
pub(crate) fn expect_success(output: &Output, what: &str) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{what}: {}\n{}{}", output.status, text(&output.stdout), text(&output.stderr));
}

/// Whether this machine has the tool.
pub(crate) fn have(tool: &str) -> bool {
    Command::new(tool).arg("--version").output().is_ok_and(|output| output.status.success())
}

pub(crate) fn skip(why: &str) {
    eprintln!("skipped: {why}");
}
