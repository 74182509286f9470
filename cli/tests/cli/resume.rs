//! `elman train --resume`: runs that were killed go on as if nobody had disturbed them.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use elman::Rng;
use elman::format::TensorFile;
use tempfile::TempDir;

use crate::train::{CLASSIFY, FORECAST, series, texts};
use crate::{Ran, elman, run};

/// The weights of a model's file, without its metadata.
fn weights(path: &Path) -> Vec<u32> {
    let model = elman::Model::open(path).unwrap();
    model.params().data().iter().map(|x| x.to_bits()).collect()
}

/// The minibatches that a checkpoint has of an epoch that has begun.
fn minibatches(checkpoint: &Path) -> u64 {
    let file = TensorFile::open(checkpoint).unwrap();
    let batch = file.metadata().find(|(name, _)| *name == "batch").unwrap().1;
    batch.parse().unwrap()
}

/// Killed at any moment, training goes on from the last good checkpoint, to the bits of a run that nobody disturbed.
#[test]
fn a_killed_run_goes_on_bit_for_bit() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    texts(folder, 300);
    let args: fn(&[&'static str]) -> Vec<&'static str> = |more| {
        let all = [
            &CLASSIFY[..9],
            &CLASSIFY[11..],
            &["--epochs", "200", "--patience", "0", "--threads", "1", "--json"],
            more,
        ];
        all.concat()
    };
    let begin = Instant::now();
    run(folder, &args(&["-o", "whole.safetensors"])).ok();
    let whole = begin.elapsed();
    let mut rng = Rng::new(5);
    let checkpoint = folder.join("m.safetensors.checkpoint");
    let (mut loaded, mut inside) = (0, 0);
    for _ in 0..50 {
        // 0.6 ms are over after nearly every minibatch.
        let often = ["-o", "m.safetensors", "--checkpoint-every", "0.00001", "--resume"];
        let resume = if checkpoint.exists() { &often[..] } else { &often[..4] };
        loaded += usize::from(checkpoint.exists());
        inside += usize::from(checkpoint.exists() && minibatches(&checkpoint) > 0);
        let mut child = elman(folder, &args(resume)).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        // SIGKILL, at a moment between its start and a sixteenth of a whole run: most of them do not come to its end.
        sleep(Duration::from_secs_f64(whole.as_secs_f64() / 16.0 * rng.unit()));
        child.kill().unwrap();
        let out = child.wait_with_output().unwrap();
        assert!(out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
    }
    assert!(loaded >= 25, "{loaded} of 50 runs went on from a checkpoint");
    assert!(inside >= 5, "{inside} of 50 runs went on in the middle of an epoch");
    run(folder, &args(&["-o", "m.safetensors", "--resume"])).ok();
    assert_eq!(weights(&folder.join("m.safetensors")), weights(&folder.join("whole.safetensors")));
    // What killed runs left half-written is told by its name, and is none of the results.
    let left = fs::read_dir(folder).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name().into_string().unwrap();
        name.ends_with(".tmp") && !name.starts_with(".elman-")
    });
    assert_eq!(left.count(), 0);
}

#[test]
fn a_checkpoint_belongs_to_its_data_and_settings() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    texts(folder, 200);
    let with = |more: &[&str]| run(folder, &[&CLASSIFY[..], &["-o", "m.safetensors"], more].concat());
    with(&["--resume"]).refused(1, &["--resume: there is no checkpoint m.safetensors.checkpoint"]);
    with(&[]).ok();
    // It is over: nothing more is learned, and the result is the same.
    let before = weights(&folder.join("m.safetensors"));
    assert!(with(&["--resume"]).ok().contains("going on after 12 epochs"));
    assert_eq!(weights(&folder.join("m.safetensors")), before);
    let refused = |ran: Ran, words: &[&str]| {
        assert_eq!(ran.code, 1, "{ran:?}");
        words.iter().for_each(|word| assert!(ran.err.contains(word), "no '{word}' in {ran:?}"));
    };
    refused(
        with(&["--resume", "--batch", "16"]),
        &["settings of the checkpoint: expected", "it goes on with the settings"],
    );
    let mut text = fs::read_to_string(folder.join("texts.tsv")).unwrap();
    text += "more\ta a a\n";
    fs::write(folder.join("texts.tsv"), text).unwrap();
    refused(with(&["--resume"]), &["data of the checkpoint: expected", "--allow-changed-data"]);
    with(&["--resume", "--allow-changed-data"]).ok();
    with(&["--allow-changed-data"]).refused(2, &["--resume"]);
    with(&["--checkpoint-every", "-1"]).refused(2, &["--checkpoint-every", "expected a number of minutes"]);
}

/// A long epoch loses no more than the time says, whatever is learned.
#[test]
fn every_kind_goes_on_from_the_middle_of_an_epoch() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    series(folder, 700);
    texts(folder, 300);
    let animals: String = (0..300).map(|n| ["cow\tmoo\n", "cat\tmew\n"][n % 2]).collect();
    fs::write(folder.join("animals.tsv"), animals).unwrap();
    let word = |n: usize| -> String { (0..4).map(|i| ["a", "b", "c", "d"][(n >> (2 * i)) % 4]).collect() };
    let words: String = (0..256).map(|n| format!("{}\t{} E\n", word(n), &word(n)[..1])).collect();
    fs::write(folder.join("words.tsv"), words).unwrap();
    let small = ["--hidden", "8", "--embedding", "4", "--epochs", "6", "--batch", "8"];
    let kinds = [
        FORECAST[..13].to_vec(),
        CLASSIFY.to_vec(),
        [&["train", "generate", "animals.tsv"], &small[..]].concat(),
        [&["train", "transduce", "words.tsv"], &small[..]].concat(),
    ];
    for kind in kinds {
        let with = |more: &[&'static str]| [&kind[..], &["--threads", "1", "--json"], more].concat();
        run(folder, &with(&["-o", "whole.safetensors"])).ok();
        let checkpoint = folder.join("m.safetensors.checkpoint");
        let is_inside = || checkpoint.exists() && minibatches(&checkpoint) > 0;
        // Killed while one of an epoch that has begun is there; at an epoch's end once more.
        while !is_inside() {
            let often = ["-o", "m.safetensors", "--checkpoint-every", "0.00001", "--resume"];
            let args = with(if checkpoint.exists() { &often[..] } else { &often[..4] });
            let mut child = elman(folder, &args).stdout(Stdio::null()).spawn().unwrap();
            while !is_inside() {
                assert!(child.try_wait().unwrap().is_none(), "{kind:?} came to its end");
            }
            child.kill().unwrap();
            child.wait().unwrap();
        }
        run(folder, &with(&["-o", "m.safetensors", "--resume"])).ok();
        let [gone_on, whole] = ["m.safetensors", "whole.safetensors"].map(|name| fs::read(folder.join(name)).unwrap());
        assert!(gone_on == whole, "{kind:?}");
        fs::remove_file(&checkpoint).unwrap();
    }
}
