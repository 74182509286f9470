//! What `elman sine` refuses, and what it does not begin.

use super::*;

/// Rather than a picture and a model of NaN.
#[test]
fn training_that_diverges_is_told_and_saves_nothing() {
    let folder = TempDir::new().unwrap();
    for lr in ["1e30", "3e38"] {
        for iterations in ["1", "50", "200"] {
            let args = ["sine", "--json", "--lr", lr, "--iterations", iterations, "--model", "m", "--plot", "p.svg"];
            if lr == "1e30" && iterations == "1" {
                // Far off, and still numbers.
                let out = run(folder.path(), &args).ok();
                assert!(numbers(&serde_json::from_str(&out).unwrap()).iter().all(|number| number.is_finite()), "{out}");
                continue;
            }
            let before = tree(folder.path());
            run(folder.path(), &args)
                .refused(1, &["training diverged", "expected a finite number", &format!("--lr than {lr}")]);
            assert_eq!(tree(folder.path()), before, "{args:?}");
        }
    }
    // The loss lines before it stand.
    let ran = run(folder.path(), &["sine", "--lr", "1e30", "--iterations", "200", "--plot", "p.png"]);
    assert!(ran.code == 1 && ran.err.starts_with("error: training diverged: the loss of iteration "), "{ran:?}");
}

#[test]
fn a_reader_who_has_seen_enough_is_no_error() {
    let folder = TempDir::new().unwrap();
    // More than a day's work for one who does not notice.
    let args = ["sine", "--iterations", "100000000000", "--plot", "p.svg", "--model", "m.safetensors"];
    let mut child = elman(folder.path(), &args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    // Read, and closed.
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert_eq!(loss_line(first.trim_end()).expect("a loss line").0, 100);
    assert_eq!(Ran::of(child.wait_with_output().unwrap()).ok(), "");
    assert!(names(folder.path()).is_empty());

    for args in [&["--help"][..], &["sine", "--help"], &["sine", "--json", "--iterations", "1", "--plot", "p.svg"]] {
        let mut child = elman(folder.path(), args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        assert_eq!(Ran::of(child.wait_with_output().unwrap()).ok(), "");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_told() {
    let folder = TempDir::new().unwrap();
    for args in [&["--help"][..], &["sine", "--plot", "p.svg"], &["sine", "--json", "--plot", "p.svg"]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let ran = Ran::of(elman(folder.path(), args).stdout(full).stderr(Stdio::piped()).output().unwrap());
        ran.refused(1, &["standard output", "No space left"]);
    }
}

#[test]
fn settings_out_of_range_are_refused() {
    let whole = "expected a whole number from 1 to";
    let cases = [
        ("--hidden", &["0", "5000", "x", "", "-1", "1.5", "99999999999999999999"][..], "whole number from 1 to 4096"),
        ("--iterations", &["0", "-5", "x", "", "1e4", "18446744073709551616"], whole),
        ("--threads", &["0", "-1", "x", "", "18446744073709551616"], whole),
        ("--seed", &["-1", "x", "", "0x1", "18446744073709551616"], "expected a whole number from 0 to"),
        ("--warmup", &["-1", "x", "", "201", "1.5", "18446744073709551616"], "expected a whole number from 0 to 200"),
        (
            "--lr",
            &["nan", "-nan", "inf", "-inf", "0", "-0", "-1", "abc", "", "1e39", "1e-60", "0,1"],
            "expected a finite number above 0",
        ),
    ];
    for (option, values, expected) in cases {
        for value in values {
            let got = format!("'{value}' for '{option}");
            refuses(&["sine", option, value], 2, &[expected, &got]);
            refuses(&["sine", &format!("{option}={value}")], 2, &[expected, &got]);
        }
        refuses(&["sine", option], 2, &[option, "value is required"]);
        refuses(&["sine", option, "1", option, "1"], 2, &[option, "multiple times"]);
    }
}

#[test]
fn a_picture_that_cannot_be_is_refused() {
    let formats = "expected .png or .svg";
    refuses(&["sine", "--plot", "x"], 2, &["--plot", "x: ", formats]);
    refuses(&["sine", "--plot", "x.gif"], 2, &["--plot", "x.gif", formats, "'gif'"]);
    refuses(&["sine", "--plot", "x.png.bak"], 2, &["--plot", "x.png.bak", formats, "'bak'"]);
    refuses(&["sine", "--plot", ".png"], 2, &["--plot", ".png", formats]);
    refuses(&["sine", "--plot", ""], 2, &["--plot", "value is required"]);
    refuses(&["sine", "--plot", "none/x.png"], 1, &["none/x.png", "the folder none does not exist"]);
    refuses(&["sine", "--plot", "folder.png"], 1, &["folder.png", "is a folder", "expected a file"]);
    refuses(&["sine", "--plot", "file.txt/x.png"], 1, &["file.txt/x.png", "file.txt is not a folder"]);
    refuses(&["sine", "--plot", "locked.png"], 1, &["locked.png", "read-only"]);
}

/// Before training, which would print; and without the picture, which could be drawn.
#[test]
fn a_model_that_cannot_be_is_refused() {
    let model = |path, code, words: &[&str]| {
        refuses(&["sine", "--iterations", "1000", "--plot", "p.png", "--model", path], code, words);
    };
    model("none/m.safetensors", 1, &["none/m.safetensors", "the folder none does not exist"]);
    model("folder.png", 1, &["folder.png", "is a folder"]);
    model(".", 1, &["is a folder"]);
    model("new/", 1, &["new/", "expected a file's name"]);
    model("locked.png", 1, &["locked.png", "read-only"]);
    model("", 2, &["--model", "value is required"]);
    model("p.png", 2, &["--model", "expected another file", "p.png"]);
}

/// By whatever path: as text, or as a file.
#[test]
fn the_picture_and_the_model_are_two_files() {
    let refused = |plot: &str, model: &str| {
        refuses(&["sine", "--plot", plot, "--model", model], 2, &["--model", "expected another file", plot]);
    };
    refused("p.png", "./p.png");
    refused("./p.png", "p.png");
    refused("./../p.png", "../p.png");

    #[cfg(unix)]
    {
        use std::os::unix::fs::symlink;

        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("p.png"), "mine").unwrap();
        fs::create_dir(folder.path().join("real")).unwrap();
        symlink("p.png", folder.path().join("link.png")).unwrap();
        symlink("real", folder.path().join("folder")).unwrap();
        let before = tree(folder.path());
        for (plot, model) in [("p.png", "link.png"), ("link.png", "p.png"), ("folder/new.png", "real/new.png")] {
            let args = ["sine", "--iterations", "1", "--plot", plot, "--model", model];
            run(folder.path(), &args).refused(2, &["--model", "expected another file", plot, model]);
            assert_eq!(tree(folder.path()), before, "{args:?}");
        }
    }
}

#[test]
#[cfg(unix)]
fn a_folder_that_takes_no_files_is_told() {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    if cfg!(target_os = "linux") {
        refuses(&["sine", "--plot", "/proc/x.png"], 1, &["/proc/x.png", "the folder /proc"]);
        refuses(&["sine", "--model", "/proc/x"], 1, &["/proc/x", "the folder /proc"]);
    }
    let folder = TempDir::new().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o555)).unwrap();
    if fs::write(folder.path().join("probe"), "").is_ok() {
        eprintln!("skipped: a folder without write permission, as this user may write there all the same");
    } else {
        run(folder.path(), &["sine", "--plot", "x.png"]).refused(1, &["x.png", "no file can be made"]);
        assert!(names(folder.path()).is_empty());
    }
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
}

/// Line breaks and escape codes of a name stay out of the terminal.
#[test]
#[cfg(unix)]
fn the_reason_is_one_line_whatever_the_name() {
    refuses(&["sine", "--plot", "no\nsuch\x1b[31m/x.png"], 1, &[r"no\nsuch\u{1b}[31m/x.png"]);
    refuses(&["sine", "--plot", "x\ny.gif"], 2, &[r"x\ny.gif"]);
    refuses(&["sine", "a\n\nb"], 2, &["unexpected argument", "a b"]);
}

/// A Linux file name is bytes.
#[test]
#[cfg(target_os = "linux")]
fn names_need_not_be_utf8() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    let folder = TempDir::new().unwrap();
    let mut command = elman(folder.path(), &["sine", "--json", "--iterations", "1"]);
    let [plot, model] = [b"p\xff.svg", b"m\xff.bin"].map(|name| OsStr::from_bytes(name));
    command.arg("--plot").arg(plot).arg("--model").arg(model);
    let report: Value = serde_json::from_str(&Ran::of(command.output().unwrap()).ok()).unwrap();
    assert_eq!(report["plot"], "p\u{fffd}.svg");
    assert!(folder.path().join(plot).exists() && folder.path().join(model).exists());
}

#[test]
fn what_is_unknown_is_refused() {
    refuses(&["cosine"], 2, &["'cosine'", "try '--help'"]);
    refuses(&["sin"], 2, &["'sin'; a similar subcommand exists: 'sine'; try '--help'"]);
    refuses(&["--bogus"], 2, &["'--bogus'", "try '--help'"]);
    refuses(&["sine", "--bogus"], 2, &["'--bogus'", "try '--help'"]);
    refuses(&["sine", "--iteration", "5"], 2, &["'--iteration'", "'--iterations'", "try '--help'"]);
    refuses(&["sine", "-x"], 2, &["'-x'", "try '--help'"]);
    refuses(&["sine", "extra"], 2, &["'extra'", "try '--help'"]);
    refuses(&["sine", "--json=1"], 2, &["--json", "'1'"]);
    // An option is not taken for the value of the one before.
    refuses(&["sine", "--iterations", "--json"], 2, &["'--json'", "expected a whole number"]);
}

#[test]
fn a_tier_that_is_not_there_is_refused() {
    let there: Vec<_> = Kernels::available().map(|kernels| kernels.isa().name()).collect();
    for asked in ["foo", " ", "AVX2", "avx2 ", "avx2,portable"] {
        let folder = TempDir::new().unwrap();
        let args = ["sine", "--plot", "p.png", "--model", "m"];
        let ran = Ran::of(elman(folder.path(), &args).env("ELMAN_ISA", asked).output().unwrap());
        let line = ran.refused(2, &["ELMAN_ISA", &format!("'{asked}'"), "expected one of"]);
        assert!(line.ends_with(&there.join(", ")), "{line}");
        assert!(names(folder.path()).is_empty());
    }
}

/// As a script sets it that passes on a variable of its own.
#[test]
fn an_empty_tier_is_none_asked_for() {
    let folder = TempDir::new().unwrap();
    let mut command = elman(folder.path(), &["sine", "--json", "--iterations", "1", "--plot", "p.svg"]);
    let out = Ran::of(command.env("ELMAN_ISA", "").output().unwrap()).ok();
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["isa"], Kernels::best().isa().name());
}
