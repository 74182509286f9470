//! `elman sine`.

mod refusals;

use std::fs;
use std::io::{BufRead as _, BufReader, Cursor};
use std::path::Path;
use std::process::Stdio;

use elman::Isa;
use elman::format::load;
use elman::internals::Kernels;
use elman_cli::sine::{Config, Sine};
use serde_json::Value;
use tempfile::TempDir;

use crate::{Ran, elman, names, refuses, run, told, tree};

/// The keys of `--json`, in their order.
const KEYS: [&str; 12] = [
    "iterations",
    "seconds",
    "iterations_per_second",
    "final_loss",
    "mean_loss_last_100",
    "prediction_rmse",
    "warmup",
    "warmed_prediction_rmse",
    "isa",
    "threads",
    "plot",
    "model",
];

/// `elman sine --json` with a picture that is drawn quickly and a model: the report, and the model file's bytes.
fn sine(args: &[&str]) -> (Value, Vec<u8>) {
    let folder = TempDir::new().unwrap();
    let args = [&["sine", "--json", "--plot", "p.svg", "--model", "m.safetensors"], args].concat();
    let out = run(folder.path(), &args).ok();
    (serde_json::from_str(&out).unwrap(), fs::read(folder.path().join("m.safetensors")).unwrap())
}

/// What does not depend on the clock.
fn numbers(report: &Value) -> [f64; 4] {
    ["final_loss", "mean_loss_last_100", "prediction_rmse", "warmed_prediction_rmse"]
        .map(|key| report[key].as_f64().expect(key))
}

/// The iteration and the loss of `Iteration: 100 loss 0.4321`.
fn loss_line(line: &str) -> Option<(u64, f64)> {
    let (iteration, loss) = line.strip_prefix("Iteration: ")?.split_once(" loss ")?;
    let (whole, places) = loss.split_once('.')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !(digits(iteration) && digits(whole) && digits(places)) {
        return None;
    }
    Some((iteration.parse().ok()?, loss.parse().ok()?))
}

fn loss_lines(out: &str) -> Vec<(u64, f64)> {
    out.lines().take_while(|line| !line.is_empty()).map(|line| loss_line(line).expect(line)).collect()
}

/// A PNG of 1600 by 900, whole, and not of one colour.
fn assert_picture(path: &Path) {
    let file = fs::read(path).unwrap();
    assert_eq!(file[..8], *b"\x89PNG\r\n\x1a\n");
    assert_eq!(file[8..16], *b"\0\0\0\x0dIHDR");
    let number = |at| u32::from_be_bytes(file[at..at + 4].try_into().unwrap());
    assert_eq!((number(16), number(20)), (1600, 900));
    assert_eq!(file[file.len() - 8..file.len() - 4], *b"IEND");

    let mut reader = png::Decoder::new(Cursor::new(&file)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut pixels).unwrap();
    reader.finish().unwrap();
    assert_eq!(pixels.len(), 1600 * 900 * 3);
    assert!(pixels.iter().any(|&byte| byte != pixels[0]));
}

#[test]
fn json_is_one_object_and_nothing_else() {
    let folder = TempDir::new().unwrap();
    let args = ["sine", "--json", "--seed", "1", "--iterations", "300", "--plot", "p.png", "--model", "m"];
    let out = run(folder.path(), &args).ok();
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(out.lines().count(), 1);
    assert!(out.ends_with("}\n"));

    // `Value` sorts its keys; their order is to be seen in the text.
    assert_eq!(report.as_object().unwrap().len(), KEYS.len());
    let places = KEYS.map(|key| out.find(&format!("\"{key}\":")).expect(key));
    assert!(places.is_sorted(), "{out}");

    assert_eq!(report["iterations"].as_u64(), Some(300));
    assert_eq!(report["threads"].as_u64(), Some(1));
    assert_eq!(report["isa"], Kernels::active().unwrap().isa().name());
    assert_eq!(report["plot"], "p.png");
    assert_eq!(report["model"], "m");
    let numbers = numbers(&report);
    assert!(numbers.iter().all(|&number| number > 0.0), "{out}");
    assert_eq!(report["warmup"].as_u64(), Some(20));
    let [seconds, rate] = ["seconds", "iterations_per_second"].map(|key| report[key].as_f64().unwrap());
    assert!(seconds > 0.0 && (rate * seconds - 300.0).abs() < 1e-6, "{out}");

    assert_eq!(names(folder.path()), ["m", "p.png"]);
    assert_picture(&folder.path().join("p.png"));
}

#[test]
fn without_options_it_learns_the_sine_from_seed_1() {
    let folder = TempDir::new().unwrap();
    let out = run(folder.path(), &["sine", "--json"]).ok();
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report.get("model"), None);
    assert_eq!(report["iterations"].as_u64(), Some(10_000));
    assert!(report["mean_loss_last_100"].as_f64().unwrap() < 0.005, "{out}");
    assert_eq!(names(folder.path()), ["sine.png"]);
    assert_picture(&folder.path().join("sine.png"));

    let defaults = ["--iterations", "10000", "--hidden", "16", "--lr", "0.001", "--seed", "1", "--threads", "1"];
    let (told, _) = sine(&defaults);
    assert_eq!(numbers(&told), numbers(&report), "the defaults");
}

#[test]
fn the_seed_decides_everything_and_the_threads_nothing() {
    let short = |more: &[&str]| sine(&[&["--iterations", "1000"], more].concat());
    let (report, model) = short(&["--seed", "5"]);
    let (again, model_again) = short(&["--seed", "5"]);
    assert_eq!(numbers(&report), numbers(&again));
    assert_eq!(model, model_again);

    let (threaded, model_threaded) = short(&["--seed", "5", "--threads", "2"]);
    assert_eq!(threaded["threads"].as_u64(), Some(2));
    assert_eq!(numbers(&report), numbers(&threaded));
    assert_eq!(model, model_threaded);

    for seed in ["6", "0", "18446744073709551615"] {
        let (other, model_other) = short(&["--seed", seed]);
        assert_ne!(numbers(&report)[0], numbers(&other)[0]);
        assert_ne!(model, model_other);
    }
}

/// Large enough that two threads may get something to do.
#[test]
fn a_large_layer_does_not_depend_on_the_threads_either() {
    let large = |threads| sine(&["--hidden", "300", "--iterations", "20", "--threads", threads]);
    let (report, model) = large("1");
    for threads in ["2", "7"] {
        let (threaded, model_threaded) = large(threads);
        assert_eq!(numbers(&report), numbers(&threaded));
        assert_eq!(model, model_threaded);
    }
}

#[test]
fn every_tier_says_its_name_and_avx2_gives_the_bits_of_avx512() {
    let mut models = Vec::new();
    for isa in Isa::ALL.iter().map(|isa| isa.name()) {
        let folder = TempDir::new().unwrap();
        let args = ["sine", "--json", "--iterations", "2000", "--plot", "p.svg", "--model", "m.safetensors"];
        let ran = Ran::of(elman(folder.path(), &args).env("ELMAN_ISA", isa).output().unwrap());
        if ran.code == 2 && ran.err.contains("expected one of this machine's tiers") {
            assert_ne!(isa, "portable", "which every machine has");
            eprintln!("skipped: this machine has no {isa}");
            continue;
        }
        let report: Value = serde_json::from_str(&ran.ok()).unwrap();
        assert_eq!(report["isa"], isa);
        assert!(report["mean_loss_last_100"].as_f64().unwrap() < 0.05, "{report}");
        models.push((isa, fs::read(folder.path().join("m.safetensors")).unwrap()));
    }
    if let [("avx512", avx512), ("avx2", avx2), ..] = &models[..] {
        assert_eq!(avx512, avx2);
    }
}

#[test]
fn people_get_loss_lines_and_a_summary() {
    let folder = TempDir::new().unwrap();
    let same = ["sine", "--iterations", "1000", "--seed", "3", "--plot"];
    let out = run(folder.path(), &[&same[..], &["curve.png", "--model", "net.safetensors"]].concat()).ok();
    let losses = loss_lines(&out);
    assert!(losses.iter().map(|&(iteration, _)| iteration).eq((100..=1000).step_by(100)), "{out}");
    assert!(told(&out, "trained").contains("1,000 iterations"), "{out}");
    assert!(told(&out, "trained").contains(" iterations/s"), "{out}");
    assert!(told(&out, "trained").contains(Kernels::active().unwrap().isa().name()), "{out}");
    assert!(told(&out, "prediction").contains(" RMSE "), "{out}");
    assert!(told(&out, "picture").ends_with(" curve.png"), "{out}");
    assert!(told(&out, "model").ends_with(" net.safetensors"), "{out}");
    assert_eq!(names(folder.path()), ["curve.png", "net.safetensors"]);
    assert_picture(&folder.path().join("curve.png"));

    // The same numbers as a machine gets.
    let json = run(folder.path(), &[&same[..], &["curve.svg", "--json"]].concat()).ok();
    let [loss, mean, rmse, warmed] = numbers(&serde_json::from_str(&json).unwrap());
    assert!((losses[9].1 - loss).abs() <= 5e-7, "{out} {json}");
    assert!(told(&out, "loss").contains(&format!(" {loss:.6} at the last iteration, {mean:.6} on average")), "{out}");
    assert!(told(&out, "prediction").contains(&format!(" {rmse:.4} ")), "{out}");
    assert!(told(&out, "warmed up").contains(&format!(" {warmed:.4} ")), "{out}");
    assert!(out.contains("its state is that of another stretch"), "{out}");
}

#[test]
fn few_iterations_have_few_lines() {
    let folder = TempDir::new().unwrap();
    let lines = |iterations| {
        let out = run(folder.path(), &["sine", "--plot", "p.svg", "--iterations", iterations]).ok();
        (loss_lines(&out).iter().map(|&(iteration, _)| iteration).collect::<Vec<_>>(), out)
    };
    let (losses, out) = lines("1");
    assert!(losses.is_empty());
    assert!(told(&out, "trained").contains(" 1 iteration in"), "{out}");
    assert!(lines("99").0.is_empty());
    assert_eq!(lines("100").0, [100]);
    assert_eq!(lines("150").0, [100]);

    let (one, _) = sine(&["--iterations", "1"]);
    let [loss, mean, ..] = numbers(&one);
    assert_eq!(loss as f32, mean as f32);
}

/// Down there six decimal places are hardly more than zeros.
#[test]
fn small_losses_keep_their_digits() {
    let folder = TempDir::new().unwrap();
    let out = run(folder.path(), &["sine", "--plot", "p.svg", "--lr", "0.01", "--iterations", "10000"]).ok();
    assert!(loss_lines(&out).iter().any(|&(_, loss)| loss < 1e-4), "{out}");
    for line in out.lines().take_while(|line| !line.is_empty()) {
        let (_, loss) = line.split_once(" loss ").unwrap();
        assert!(loss.trim_start_matches(['0', '.']).len() >= 3, "{line}");
    }
}

#[test]
fn a_picture_may_be_svg() {
    let folder = TempDir::new().unwrap();
    run(folder.path(), &["sine", "--iterations", "100", "--plot", "x.SVG"]).ok();
    let svg = fs::read_to_string(folder.path().join("x.SVG")).unwrap();
    assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"));
    assert!(svg.contains(r#"width="1600" height="900""#) && svg.contains("<circle "));
    assert_eq!(names(folder.path()), ["x.SVG"]);
}

#[test]
fn the_model_is_what_the_library_trains() {
    let folder = TempDir::new().unwrap();
    let args = ["sine", "--json", "--seed", "7", "--iterations", "200", "--plot", "p.svg", "--model", "m.safetensors"];
    let out = run(folder.path(), &args).ok();
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["model"], "m.safetensors");
    assert_eq!(names(folder.path()), ["m.safetensors", "p.svg"]);

    let mut trained = Sine::new(Config { seed: 7, ..Config::default() }).unwrap();
    let losses: Vec<_> = (0..200).map(|_| trained.step().unwrap()).collect();
    assert_eq!(report["final_loss"].as_f64().unwrap() as f32, losses[199]);

    let mut read = Sine::new(Config { seed: 8, ..Config::default() }).unwrap();
    let path = folder.path().join("m.safetensors");
    load(&path, &mut read.params_mut()).unwrap();
    assert_eq!(read.model().params(), trained.model().params());
    let tensors: Vec<_> = read.model().params().iter().map(|(name, shape, _)| (name, shape)).collect();
    let expected: [(&str, &[usize]); 6] = [
        ("rnn.weight_ih_l0", &[16, 1]),
        ("rnn.weight_hh_l0", &[16, 16]),
        ("rnn.bias_ih_l0", &[16]),
        ("rnn.bias_hh_l0", &[16]),
        ("linear.weight", &[1, 16]),
        ("linear.bias", &[1]),
    ];
    assert_eq!(tensors, expected);

    // Where it comes from is written in it.
    let file = fs::read(&path).unwrap();
    let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&file[8..8 + length]).unwrap();
    assert_eq!(header["__metadata__"]["iterations"], "200");
    assert!(
        header["__metadata__"]["elman.spec"].as_str().unwrap().contains("rnn rnn hidden=16\nlinear linear outputs=1")
    );
    assert_eq!(header["__metadata__"]["seed"], "7");
}

#[test]
fn what_was_there_is_replaced() {
    let folder = TempDir::new().unwrap();
    for name in ["p.png", "m.safetensors"] {
        fs::write(folder.path().join(name), "before").unwrap();
    }
    run(folder.path(), &["sine", "--iterations", "1", "--plot", "p.png", "--model", "m.safetensors"]).ok();
    assert_picture(&folder.path().join("p.png"));
    load(folder.path().join("m.safetensors"), &mut Sine::new(Config::default()).unwrap().params_mut()).unwrap();
    assert_eq!(names(folder.path()), ["m.safetensors", "p.png"]);
}

#[test]
fn one_hidden_unit_is_legal() {
    let (report, _) = sine(&["--hidden", "1", "--iterations", "500"]);
    assert!(numbers(&report).iter().all(|number| number.is_finite()));
}

/// The tutorial's run starts from the state of another stretch: for seed 2 it is worse than a zero line, whose RMSE is
/// 0.7. The network itself is not.
#[test]
fn true_points_put_the_network_in_step() {
    for seed in ["1", "2", "3"] {
        let (report, _) = sine(&["--seed", seed]);
        let [.., free, warmed] = numbers(&report);
        assert!(warmed < 0.1, "{report}");
        assert!(warmed < free && (seed != "2" || free > 0.7), "{report}");
    }
}

#[test]
fn the_warmup_changes_its_own_run_and_nothing_else() {
    let (report, model) = sine(&["--iterations", "1000"]);
    for warmup in ["0", "1", "200"] {
        let (other, model_other) = sine(&["--iterations", "1000", "--warmup", warmup]);
        assert_eq!(other["warmup"].to_string(), warmup);
        assert_eq!(numbers(&other)[..3], numbers(&report)[..3]);
        assert_ne!(numbers(&other)[3], numbers(&report)[3]);
        assert_eq!(model_other, model);
    }
}

#[test]
fn the_picture_tells_both_runs() {
    let folder = TempDir::new().unwrap();
    let picture = |more: &[&str]| {
        let args = [&["sine", "--json", "--iterations", "500", "--plot", "p.svg"], more].concat();
        let report: Value = serde_json::from_str(&run(folder.path(), &args).ok()).unwrap();
        (numbers(&report), fs::read_to_string(folder.path().join("p.svg")).unwrap())
    };
    // Hollow circles are two discs, a white one above a blue one; one more is in the legend.
    let heard = |svg: &str| svg.matches("fill=\"#0072B2\"").count() - 1;
    let ([.., free, warmed], svg) = picture(&[]);
    for text in [format!("The tutorial's run: RMSE {free:.3}"), format!("After 20 true points: RMSE {warmed:.3}")] {
        assert!(svg.replace("&apos;", "'").contains(&text), "{text}");
    }
    assert_eq!(heard(&svg), 1 + 21);
    let ([.., warmed], svg) = picture(&["--warmup", "0"]);
    assert!(svg.contains(&format!("From a zero state: RMSE {warmed:.3}")));
    assert_eq!(heard(&svg), 2);
}

#[test]
fn help_names_every_option_and_its_default() {
    let folder = TempDir::new().unwrap();
    let help = run(folder.path(), &["sine", "--help"]).ok();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for (option, default) in [
        ("--iterations <N>", Some("10000")),
        ("--hidden <N>", Some("16")),
        ("--lr <X>", Some("0.001")),
        ("--seed <N>", Some("1")),
        ("--warmup <N>", Some("20")),
        ("--threads <N>", Some("1")),
        ("--plot <FILE>", Some("sine.png")),
        ("--model <FILE>", None),
        ("--json", None),
    ] {
        let (_, after) = help.split_once(&format!(" {option} ")).unwrap_or_else(|| panic!("no {option} in {help}"));
        let about = after.split(" --").next().unwrap();
        match default {
            Some(default) => assert!(about.contains(&format!("[default: {default}]")), "{option}: {about}"),
            None => assert!(!about.contains("default"), "{option}: {about}"),
        }
    }

    assert_eq!(run(folder.path(), &["help", "sine"]).ok(), run(folder.path(), &["sine", "--help"]).ok());
    let help = run(folder.path(), &["--help"]).ok();
    assert!(help.contains("Usage: elman") && help.contains("\n  sine "), "{help}");
    let version = run(folder.path(), &["--version"]).ok();
    assert_eq!(version, format!("elman {}\n", env!("CARGO_PKG_VERSION")));
    assert!(names(folder.path()).is_empty());
}
