//! What the networks of tasks come to on files of one's own:
//!
//! ```sh
//! cargo run --release -p elman-tasks --example train -- lists OUT.tsv LABEL=FILE.txt LABEL=FILE.txt…
//! cargo run --release -p elman-tasks --example train -- classify FILE SETTINGS.toml SPLITS valid|test [SAVE]
//! cargo run --release -p elman-tasks --example train -- generate FILE SETTINGS.toml SPLITS valid|test [CLASSIFIER]
//! cargo run --release -p elman-tasks --example train -- transduce FILE SETTINGS.toml SPLITS valid|test [SAVE]
//! ```
//!
//! `lists` makes a file of labels and texts of files of a text a line; the others print the means over so many random
//! splits, scored on the part that is named: settings are chosen by `valid`, and `test` is looked at once.

use std::collections::HashSet;
use std::fmt::Write;
use std::path::Path;
use std::time::Instant;

use elman::Threads;
use elman::train::{Fit, Learner, Progress};
use elman_tasks::baselines::generate::CharacterModel;
use elman_tasks::classify::{Classifier, Classify};
use elman_tasks::generate::{Generate, Generator};
use elman_tasks::job::Job;
use elman_tasks::scores::Scores;
use elman_tasks::split::Part;
use elman_tasks::transduce::Transduce;
use elman_tasks::{Error, Result, classify, generate, text, transduce};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["lists", out, ref files @ ..] if !files.is_empty() => lists(out, files),
        ["classify", file, settings, splits, part] => classify(file, settings, splits, part, None),
        ["classify", file, settings, splits, part, save] => classify(file, settings, splits, part, Some(save)),
        ["transduce", file, settings, splits, part] => transduce(file, settings, splits, part, None),
        ["transduce", file, settings, splits, part, save] => transduce(file, settings, splits, part, Some(save)),
        ["generate", file, settings, splits, part] => generate(file, settings, splits, part, None),
        ["generate", file, settings, splits, part, judge] => generate(file, settings, splits, part, Some(judge)),
        _ => Err(Error::new("expected a task and its files, as this example's head has them")),
    };
    if let Err(error) = done {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

fn io(path: &str) -> impl Fn(std::io::Error) -> Error {
    move |error| Error::new(error.to_string()).in_file(path)
}

fn lists(out: &str, files: &[&str]) -> Result<()> {
    let mut all = String::new();
    for file in files {
        let (label, path) =
            file.split_once('=').ok_or_else(|| Error::new(format!("expected LABEL=FILE, got {file}")))?;
        for (_, line) in text::lines(Path::new(path))?.rows {
            writeln!(all, "{label}\t{line}").expect("a text takes all");
        }
    }
    std::fs::write(out, all).map_err(io(out))
}

fn settings<J: Job>(path: &str) -> Result<J> {
    J::from_toml(&std::fs::read_to_string(path).map_err(io(path))?).map_err(|error| error.in_file(path))
}

fn part_and_splits(part: &str, splits: &str) -> Result<(Part, u64)> {
    let part = match part {
        "valid" => Part::Valid,
        "test" => Part::Test,
        other => return Err(Error::new(format!("expected valid or test, got {other}"))),
    };
    Ok((part, splits.parse().map_err(|_| Error::new(format!("expected a number of splits, got {splits}")))?))
}

fn run<L: Learner>(mut fit: Fit<L>) -> Result<L> {
    let begin = Instant::now();
    fit.run(&mut |progress| {
        if let Progress::Epoch { report, is_best, .. } = progress {
            let (valid, best) = (report.valid.unwrap_or(f64::NAN), if is_best { "*" } else { "" });
            eprint!(" {:.3}/{valid:.3}{best}", report.train);
        }
        true
    })?;
    let epochs = fit.report().epochs.len();
    let best = fit.report().best.map_or(epochs as u64, |best| best.epoch + 1);
    eprintln!("\n  {epochs} epochs, the best is {best}, {:.1} s", begin.elapsed().as_secs_f64());
    Ok(fit.into_learner())
}

/// Prints the mean and the deviation of each value over the splits.
fn show(all: &[Scores]) {
    for (index, row) in all[0].rows.iter().enumerate() {
        print!("  {:26}", row.method);
        for (column, measure) in all[0].measures.iter().enumerate() {
            let values: Vec<f64> = all.iter().filter_map(|scores| scores.rows[index].values[column]).collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let spread = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (values.len() - 1).max(1) as f64;
            print!("  {} {mean:.*} ± {:.2}", measure.name, measure.digits + 1, spread.sqrt());
        }
        println!();
    }
}

fn classify(file: &str, toml: &str, splits: &str, part: &str, save: Option<&str>) -> Result<()> {
    let (part, splits) = part_and_splits(part, splits)?;
    let settings: classify::Settings = settings(toml)?;
    let mut all = Vec::new();
    for seed in settings.seed..settings.seed + splits {
        let settings = classify::Settings { seed, ..settings.clone() };
        let task = Classify::prepare(Path::new(file), settings)?;
        let model = run(task.fit(Threads::available())?)?.into_model();
        let scores = task.score(&model, part)?;
        println!("split {seed}: {:?}, {}", scores.rows[0].values, scores.part);
        all.push(scores);
        if let Some(save) = save {
            model.save(save)?;
        }
    }
    show(&all);
    Ok(())
}

fn transduce(file: &str, toml: &str, splits: &str, part: &str, save: Option<&str>) -> Result<()> {
    let (part, splits) = part_and_splits(part, splits)?;
    let settings: transduce::Settings = settings(toml)?;
    let mut all = Vec::new();
    for seed in settings.seed..settings.seed + splits {
        let task = Transduce::prepare(Path::new(file), transduce::Settings { seed, ..settings.clone() })?;
        let model = run(task.fit(Threads::available())?)?.into_model();
        let scores = task.score(&model, part)?;
        println!("split {seed}: {:?}, {}", scores.rows[0].values, scores.part);
        for (source, answer) in task.answers(&model, part, settings.beam)?.into_iter().take(5) {
            println!("  {source}: {}", answer.join(" "));
        }
        all.push(scores);
        if let Some(save) = save {
            model.save(save)?;
        }
    }
    show(&all);
    Ok(())
}

fn generate(file: &str, toml: &str, splits: &str, part: &str, judge: Option<&str>) -> Result<()> {
    let (part, splits) = part_and_splits(part, splits)?;
    let settings: generate::Settings = settings(toml)?;
    let judge = judge.map(|path| Classifier::open(Path::new(path))).transpose()?;
    let mut all = Vec::new();
    for seed in settings.seed..settings.seed + splits {
        let settings = generate::Settings { seed, ..settings.clone() };
        let task = Generate::prepare(Path::new(file), settings)?;
        let model = run(task.fit(Threads::available())?)?.into_model();
        all.push(task.score(&model, part)?);
        println!("split {seed}: {:?}", all.last().map(|scores| &scores.rows[0].values));
        samples(&task, Generator::new(model)?, part, judge.as_ref())?;
    }
    show(&all);
    Ok(())
}

/// Makes 200 texts, their labels as often as in the data, and says what they are like; and of 200 more, as many of each
/// label, how many the judge takes for what was asked.
fn samples(task: &Generate, mut generator: Generator, part: Part, judge: Option<&Classifier>) -> Result<()> {
    const TEXTS: usize = 200;
    let train: Vec<(&str, &str)> = task.texts(Part::Train).collect();
    let alone = |pairs: &[(&str, &str)]| pairs.iter().map(|(_, text)| text.to_string()).collect::<Vec<_>>();
    let known: HashSet<&str> = train.iter().map(|(_, text)| *text).collect();
    let real: Vec<(&str, &str)> = task.texts(part).collect();
    let four = CharacterModel::fit(&alone(&train), 4)?;
    let labels = task.labels().to_vec();
    let rate = |pairs: &[(&str, &str)]| -> Result<f64> {
        let Some(judge) = judge else { return Ok(f64::NAN) };
        let judged = judge.predict_all(&alone(pairs))?;
        let right = judged.iter().zip(pairs).filter(|(ranks, (label, _))| ranks[0].0 == **label).count();
        Ok(100.0 * right as f64 / pairs.len() as f64)
    };
    let balanced = |pairs: &[(&str, &str)]| -> Result<f64> {
        let of = |label: &String| pairs.iter().copied().filter(|(other, _)| other == label).collect::<Vec<_>>();
        let rates = labels.iter().map(|label| rate(&of(label))).collect::<Result<Vec<_>>>()?;
        Ok(rates.iter().sum::<f64>() / rates.len() as f64)
    };
    let length = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(_, text)| text.chars().count()).sum::<usize>() as f64 / pairs.len() as f64
    };
    let each = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(_, text)| four.log_likelihood(text)).sum::<f64>() / pairs.len() as f64
    };
    let of_real = (rate(&real)?, balanced(&real)?, each(&real), four.per_character(&alone(&real))?, length(&real));
    println!("  held out: {of_real:.3?} as labelled %, balanced %, log-likelihood a text, a character, length");
    for temperature in [1.0, 0.85, 0.7] {
        let mut make = |n: usize, label: &str| generator.sample(label, temperature, n as u64);
        let asked: Vec<&str> = (0..TEXTS).map(|n| train[n * train.len() / TEXTS].0).collect();
        let made: Vec<String> = asked.iter().enumerate().map(|(n, label)| make(n, label)).collect::<Result<_>>()?;
        let pairs: Vec<(&str, &str)> = asked.iter().copied().zip(made.iter().map(String::as_str)).collect();
        let even: Vec<(&str, String)> = (0..TEXTS)
            .map(|n| Ok((&labels[n % labels.len()][..], make(TEXTS + n, &labels[n % labels.len()])?)))
            .collect::<Result<_>>()?;
        let even: Vec<(&str, &str)> = even.iter().map(|(label, text)| (*label, text.as_str())).collect();
        let different = made.iter().collect::<HashSet<_>>().len();
        let new = made.iter().filter(|text| !known.contains(&text[..])).count();
        println!(
            "  {temperature}: {different} different, {new} new, {:.3?}; {}",
            (rate(&pairs)?, balanced(&even)?, each(&pairs), four.per_character(&made)?, length(&pairs)),
            made[..6].join(" "),
        );
    }
    Ok(())
}
