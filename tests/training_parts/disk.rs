//! Disks that are full, and folders that can no longer be written: the last checkpoint and the last model stand.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use elman::format::write_atomic;
use elman::train::FitConfig;

use crate::fit::{bits, config, fit, identity};

/// Where a process that a test has started finds its files.
const FOLDER: &str = "ELMAN_TEST_DISK";

/// The folder, in a process that a test below has started.
fn child() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

/// Runs a test of this file in a process of its own: behind `before`, a beginning of a shell's line, and as an ordinary user,
/// to whom permissions apply.
fn in_a_process(test: &str, before: &str, folder: &Path) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
    // Where that user may run it.
    let program = folder.join("program");
    // By another process: a file that this one writes is open in whatever it forks meanwhile, and then cannot be run.
    let copied = Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&program).status().unwrap();
    assert!(copied.success());
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{before} exec ./program --exact --nocapture disk::{test}")]);
    command.env(FOLDER, folder).current_dir(folder);
    if fs::metadata(&program).unwrap().uid() == 0 {
        command.uid(65534);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
    fs::remove_file(program).unwrap();
}

/// That no temporary is.
fn nothing_is_left(folder: &Path) {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let left: Vec<String> = names.filter(|name| name.ends_with(".tmp")).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// No gradients wait, so that all checkpoints of the first epoch are of one size.
fn settings() -> FitConfig {
    config().accumulate(1)
}

/// Trains with a checkpoint after every minibatch until one cannot be written: after `seen` minibatches, with a word that has
/// `reason`. The checkpoint is then the one of before, and a run that goes on from it comes to the end of one that nobody
/// disturbed. `spoil` is called after each minibatch, `mend` at the end.
fn the_checkpoint_before_stands(path: &Path, seen: usize, reason: &str, spoil: &dyn Fn(usize), mend: &dyn Fn()) {
    let (mut count, mut good) = (0, Vec::new());
    let mut stopped = fit(settings()).checkpoints(path, identity()).unwrap().checkpoint_every(Duration::ZERO);
    let result = stopped.run(&mut |_| {
        count += 1;
        good = fs::read(path).unwrap();
        spoil(count);
        true
    });
    let text = result.unwrap_err().to_string();
    assert!(text.starts_with(&format!("cannot write {}: ", path.display())) && text.contains(reason), "{text}");
    assert_eq!(count, seen);
    mend();
    assert!(fs::read(path).unwrap() == good, "not the checkpoint of before");
    nothing_is_left(path.parent().unwrap());
    let (mut gone_on, mut whole) = (fit(settings()), fit(settings()));
    gone_on.resume(path, &identity()).unwrap();
    assert_eq!(gone_on.run(&mut |_| true).unwrap(), whole.run(&mut |_| true).unwrap());
    assert_eq!(bits(gone_on.learner().model().params()), bits(whole.learner().model().params()));
}

/// The largest size that a process's files may have ends a write half way, as a full disk does, and needs neither a disk of
/// its own nor root.
#[test]
fn what_does_not_fit_leaves_what_was_there() {
    let Some(folder) = child() else {
        // Checkpoints fit until the first epoch has left its weights as the best.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sizes.checkpoint");
        let mut sizes = Vec::new();
        let mut all = fit(settings()).checkpoints(&path, identity()).unwrap().checkpoint_every(Duration::ZERO);
        all.run(&mut |_| {
            sizes.push(fs::metadata(&path).unwrap().len());
            sizes.len() < 8
        })
        .unwrap();
        let blocks = sizes[6].div_ceil(512);
        assert!(sizes[..7].iter().all(|size| *size <= 512 * blocks) && sizes[7] > 512 * blocks, "{sizes:?}");
        // A write beyond it is to fail; the signal would end the process.
        let limit = format!("trap '' XFSZ; ulimit -f {blocks};");
        return in_a_process("what_does_not_fit_leaves_what_was_there", &limit, folder.path());
    };
    the_checkpoint_before_stands(&folder.join("run.checkpoint"), 7, "too large", &|_| {}, &|| {});

    let path = folder.join("model.safetensors");
    write_atomic(&path, b"the one before").unwrap();
    let wide = elman::Gru::builder(8, 200).model(&mut elman::Rng::new(1)).unwrap();
    for error in [write_atomic(&path, &vec![0; 1 << 22]), wide.save(&path)] {
        let text = error.unwrap_err().to_string();
        assert!(
            text.starts_with(&format!("cannot write {}: ", path.display())) && text.contains("too large"),
            "{text}"
        );
        assert_eq!(fs::read(&path).unwrap(), b"the one before");
        nothing_is_left(&folder);
    }
}

#[test]
fn a_folder_that_is_closed_while_training_goes_on_keeps_the_checkpoint() {
    let Some(folder) = child() else {
        let test = "a_folder_that_is_closed_while_training_goes_on_keeps_the_checkpoint";
        return in_a_process(test, "", tempfile::tempdir().unwrap().path());
    };
    let own = folder.join("own");
    fs::create_dir(&own).unwrap();
    let mode = |mode| fs::set_permissions(&own, fs::Permissions::from_mode(mode)).unwrap();
    let reason = format!("no file can be made in the folder {}: Permission denied", own.display());
    let close = |count| {
        if count == 3 {
            mode(0o555)
        }
    };
    the_checkpoint_before_stands(&own.join("run.checkpoint"), 3, &reason, &close, &|| mode(0o755));

    // Closed from the start, it is told before anything is learned.
    mode(0o555);
    let error = fit(settings()).checkpoints(own.join("other.checkpoint"), identity()).unwrap_err().to_string();
    assert!(error.contains("other.checkpoint: ") && error.contains(&reason), "{error}");
    mode(0o755);
}
