//! Files are replaced whole or not at all.

use super::*;

/// The text of the refusal to write there, the same from all three that write, in one line; and nothing is left.
fn unwritable(path: &Path) -> String {
    let text = check_writable(path).unwrap_err().to_string();
    assert_eq!(write_atomic(path, b"x").unwrap_err().to_string(), text);
    assert_eq!(save(path, &small_params(), NO_METADATA).unwrap_err().to_string(), text);
    let text = text.strip_prefix(&format!("cannot write {}: ", path.display())).unwrap_or_else(|| panic!("{text}"));
    assert!(!text.chars().any(char::is_control), "{text}");
    text.into()
}

#[test]
fn writing_makes_or_replaces_the_file_and_leaves_nothing_else() {
    let folder = Folder::new();
    let path = folder.path("x");
    check_writable(&path).unwrap();
    assert!(folder.names().is_empty());
    for contents in ["first", "a longer second", "3"] {
        write_atomic(&path, contents.as_bytes()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), contents);
        check_writable(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), contents);
        assert_eq!(folder.names(), ["x"]);
    }
    // As long as a name can be.
    write_atomic(folder.path(&"n".repeat(255)), b"").unwrap();
    assert_eq!(folder.names().len(), 2);
}

#[test]
fn into_a_missing_folder() {
    let folder = Folder::new();
    let missing = folder.path("missing");
    assert_eq!(unwritable(&missing.join("x")), format!("the folder {} does not exist", missing.display()));
    assert!(folder.names().is_empty());
}

#[test]
fn onto_a_folder() {
    let folder = Folder::new();
    let path = folder.path("x");
    fs::create_dir(&path).unwrap();
    assert_eq!(unwritable(&path), "it is a folder; expected a file's name");
    assert_eq!(unwritable(Path::new("/")), "it is a folder; expected a file's name");
    assert_eq!(folder.names(), ["x"]);
    assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
}

#[test]
fn into_a_path_that_names_no_file() {
    let folder = Folder::new();
    for path in ["x/", "x/.", "missing/.."] {
        assert_eq!(unwritable(&folder.path(path)), "expected a file's name", "{path}");
    }
    assert_eq!(unwritable(Path::new("")), "expected a file's name");
    assert!(folder.names().is_empty());
}

/// The temporary's name would be possible.
#[test]
fn under_a_name_that_cannot_be() {
    let folder = Folder::new();
    let text = unwritable(&folder.path(&"n".repeat(256)));
    assert!(text.contains("too long"), "{text}");
    assert!(check_writable(folder.path("n\0")).is_err() && write_atomic(folder.path("n\0"), b"x").is_err());
    assert!(folder.names().is_empty());
}

#[test]
fn below_a_regular_file() {
    let folder = Folder::new();
    let file = folder.path("file");
    fs::write(&file, "old").unwrap();
    assert_eq!(unwritable(&file.join("x")), format!("{} is not a folder", file.display()));
    assert_eq!((folder.names(), fs::read_to_string(&file).unwrap()), (vec!["file".into()], "old".into()));
}

/// Not even root can make a file in `/proc`; for others there is a folder without the write permission.
#[cfg(target_os = "linux")]
#[test]
fn into_a_folder_where_nothing_can_be_made() {
    use std::os::unix::fs::PermissionsExt;

    let text = unwritable(Path::new("/proc/elman.safetensors"));
    assert!(text.starts_with("no file can be made in the folder /proc: "), "{text}");

    let folder = Folder::new();
    let path = folder.path("x");
    fs::write(&path, "old").unwrap();
    fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o555)).unwrap();
    if fs::write(folder.path("probe"), "").is_err() {
        let text = unwritable(&path);
        assert!(text.starts_with("no file can be made in the folder ") && text.contains("Permission denied"), "{text}");
        assert_eq!(folder.names(), ["x"]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    }
    fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_read_only_file_survives() {
    let folder = Folder::new();
    let path = folder.path("x");
    fs::write(&path, "old").unwrap();
    let writable = fs::metadata(&path).unwrap().permissions();
    let mut readonly = writable.clone();
    readonly.set_readonly(true);
    fs::set_permissions(&path, readonly).unwrap();
    assert_eq!(unwritable(&path), "it is read-only");
    assert_eq!((folder.names(), fs::read_to_string(&path).unwrap()), (vec!["x".into()], "old".into()));
    fs::set_permissions(&path, writable).unwrap();
}

/// A socket stands for `/dev/null`, which root would take from the whole machine if this failed.
#[cfg(unix)]
#[test]
fn onto_what_is_no_regular_file() {
    let folder = Folder::new();
    let _socket = std::os::unix::net::UnixListener::bind(folder.path("x")).unwrap();
    assert_eq!(unwritable(&folder.path("x")), "it is not a regular file");
    assert_eq!(folder.names(), ["x"]);
}

/// In a folder such as `/tmp` no user may rename a file over another's: refused before the work and not after it. A process
/// of another user shows it, so only root can run this.
#[cfg(target_os = "linux")]
#[test]
fn another_users_file_in_a_sticky_folder_is_refused_before_the_work() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;

    let folder = Folder::new();
    let path = folder.path("model.safetensors");
    fs::write(&path, "old").unwrap();
    check_writable(&path).unwrap();
    if fs::metadata(&path).unwrap().uid() != 0 {
        eprintln!("skipped: another user's file takes root to make");
        return;
    }
    fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o1777)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    // Where that user may run it.
    let program = folder.path("program");
    // By another process: a file that this one writes is open in whatever it forks meanwhile, and then cannot be run.
    let copied = std::process::Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&program).status().unwrap();
    assert!(copied.success());
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let output = std::process::Command::new(&program)
        .args(["--ignored", "--exact", "--nocapture", "writing::is_refused_anothers_file"])
        .env("ELMAN_TEST_PATH", &path)
        .current_dir(&folder.0)
        .uid(65534)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    assert_eq!(folder.names(), ["model.safetensors", "program"]);
}

#[test]
#[ignore = "runs in a process of another user, which the test above starts"]
fn is_refused_anothers_file() {
    let Ok(path) = std::env::var("ELMAN_TEST_PATH") else { return };
    let error = check_writable(&path).unwrap_err().to_string();
    assert!(error.contains("it is another user's file, which the sticky folder "), "{error}");
    assert!(write_atomic(&path, b"x").is_err());
    check_writable(format!("{path}.new")).unwrap();
}

#[test]
fn a_name_alone_is_in_the_current_folder() {
    check_writable(Path::new("elman-test-of-a-name-alone")).unwrap();
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_permissions_kept() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let folder = Folder::new();
    let (file, link) = (folder.path("sub/file"), folder.path("link"));
    fs::create_dir(folder.path("sub")).unwrap();
    symlink("sub/file", &link).unwrap();
    assert_eq!(unwritable(&link), "it is a link to a file that does not exist");
    fs::write(&file, "old").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    write_atomic(&link, b"new").unwrap();
    assert!(link.is_symlink());
    assert_eq!(fs::read_to_string(&file).unwrap(), "new");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!((folder.names().len(), fs::read_dir(folder.path("sub")).unwrap().count()), (2, 1));
}

/// The system refuses in the middle of a write: a process of its own may write 512 bytes a file, the model has more.
#[cfg(unix)]
#[test]
fn an_existing_file_survives_a_write_that_fails_half_way() {
    let folder = Folder::new();
    let path = folder.path("model.safetensors");
    save(&path, &small_params(), NO_METADATA).unwrap();
    let old = fs::read(&path).unwrap();
    let output = std::process::Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$0\" --ignored --exact --nocapture writing::writes_too_much"])
        .arg(std::env::current_exe().unwrap())
        .env("ELMAN_TEST_PATH", &path)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(folder.names(), ["model.safetensors"]);
    assert_eq!(fs::read(&path).unwrap(), old);
}

#[test]
#[ignore = "runs in a process that may not write much, which the test above starts"]
fn writes_too_much() {
    let Ok(path) = std::env::var("ELMAN_TEST_PATH") else { return };
    let error = save(Path::new(&path), &params_of(&[("a", &[100_000])]), NO_METADATA).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot write {path}: ")), "{error}");
}

#[test]
fn a_temporary_of_a_dead_process_is_no_obstacle() {
    let folder = Folder::new();
    // The counter is the process's: whichever it is at, one of these is in the way.
    for count in 0..5000 {
        fs::write(folder.path(&format!(".elman-{}-{count}.tmp", std::process::id())), "left").unwrap();
    }
    write_atomic(folder.path("x"), b"new").unwrap();
    assert_eq!(folder.names().len(), 5001);
    assert_eq!(fs::read_to_string(folder.path("x")).unwrap(), "new");
}

#[test]
fn a_reader_beside_two_writers_sees_whole_files_only() {
    let folder = Folder::new();
    let path = folder.path("x");
    write_atomic(&path, &[b'a'; 50_000]).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers = [b'b', b'c'].map(|byte| {
            let path = &path;
            scope.spawn(move || (0..20).for_each(|_| write_atomic(path, &[byte; 50_000]).unwrap()))
        });
        let reader = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let contents = fs::read(&path).unwrap();
                assert!(contents.len() == 50_000 && contents.iter().all(|&byte| byte == contents[0]));
            }
        });
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
    assert_eq!(folder.names(), ["x"]);
}
