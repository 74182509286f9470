//! `elman train` on a disk that is full, and in a folder that can no longer be written.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::train::{CLASSIFY, texts};
use crate::{Ran, run, tree};

/// Runs the command where no file may have more than so many blocks of 512 bytes: a write fails half way, as on a full disk.
fn limited(folder: &Path, blocks: u64, args: &[&str]) -> Ran {
    let mut command = Command::new("sh");
    // The signal would end the process before it can say a word.
    command.args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"")]);
    command.arg(env!("CARGO_BIN_EXE_elman")).args(args).current_dir(folder).stdin(Stdio::null());
    Ran::of(command.output().unwrap())
}

#[test]
fn what_does_not_fit_leaves_what_was_there() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    texts(folder, 200);
    let with = |more: &'static [&str]| [&CLASSIFY[..], &["-o", "m.safetensors", "--json"], more].concat();
    run(folder, &with(&[])).ok();
    let before = tree(folder);
    let blocks = |name: &str| fs::metadata(folder.join(name)).unwrap().len().div_ceil(512);
    let [model, checkpoint, picture] = ["m.safetensors", "m.safetensors.checkpoint", "m.png"].map(blocks);
    assert!(model < checkpoint && model < picture, "{model}, {checkpoint}, {picture}");

    let limits = [
        // A new run, whose first checkpoint has no room; one that is over, whose model has none, and whose picture has none.
        (2, with(&["--checkpoint-every", "0"]), "training stopped: cannot write m.safetensors.checkpoint: "),
        (model - 1, with(&["--resume"]), "cannot write m.safetensors: "),
        (model, with(&["--resume"]), "cannot write m.png: "),
    ];
    for (limit, args, reason) in limits {
        limited(folder, limit, &args).refused(1, &[reason, "too large"]);
        assert!(tree(folder) == before, "after {reason}");
    }
    // With room again it comes to its end.
    run(folder, &with(&["--resume"])).ok();
    assert!(tree(folder) == before);
}

/// Root may write everywhere, so the command is another user's.
#[test]
fn a_folder_that_cannot_be_written_is_told_before_the_work() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    texts(folder, 200);
    let closed = folder.join("closed");
    fs::create_dir(&closed).unwrap();
    fs::write(closed.join("m.safetensors"), "the one before").unwrap();
    let program = folder.join("program");
    // By another process: a file that this one writes is open in whatever it forks meanwhile, and then cannot be run.
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_elman")).arg(&program).status().unwrap();
    assert!(copied.success());
    for (path, mode) in [(folder, 0o755), (&closed, 0o555), (&program, 0o755)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let mut command = Command::new(&program);
    command.args(CLASSIFY).args(["-o", "closed/m.safetensors"]).current_dir(folder).stdin(Stdio::null());
    if fs::metadata(&program).unwrap().uid() == 0 {
        command.uid(65534);
    }
    let before = tree(&closed);
    let words = ["cannot write closed/m.safetensors: no file can be made in the folder closed: Permission denied"];
    Ran::of(command.output().unwrap()).refused(1, &words);
    assert_eq!(tree(&closed), before);
    // So that it can be taken away.
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o755)).unwrap();
}
