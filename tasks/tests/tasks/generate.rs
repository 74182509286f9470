//! Texts of a label.

use std::collections::HashSet;

use elman::Threads;
use elman_tasks::classify;
use elman_tasks::generate::{Generate, Generator, Settings};
use elman_tasks::job::Job;
use elman_tasks::split::Part;

use super::{file, names};

const SETTINGS: &str = "longest = 30\n[net]\nhidden = 48\nembedding = 16\n[fit]\nepochs = 30\nlr = 0.005\npatience = 5";

#[test]
fn names_of_each_sex() {
    let settings = Settings::from_toml(SETTINGS).unwrap();
    let task = Generate::prepare(&names(), settings).unwrap();
    let untrained = task.bits(&task.model().unwrap(), Part::Test).unwrap();
    let mut fit = task.fit(Threads::one()).unwrap();
    fit.run(&mut |_| true).unwrap();
    let model = fit.into_learner().into_model();
    let scores = task.score(&model, Part::Test).unwrap();
    let bits: Vec<f64> = scores.rows.iter().map(|row| row.values[0].unwrap()).collect();
    assert!(untrained > 5.0 && bits[0] < 3.8 && bits[0] < bits[1] + 0.1, "{untrained}, {scores:?}");

    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("model.safetensors");
    model.save(&saved).unwrap();
    let mut generator = Generator::open(&saved).unwrap();
    assert_eq!(generator.labels(), task.labels());
    let made: Vec<String> = (0..100).map(|seed| generator.sample("female", 0.8, seed).unwrap()).collect();
    assert_eq!(generator.sample("female", 0.8, 5).unwrap(), made[5]);
    assert!(made.iter().collect::<HashSet<_>>().len() > 60, "{made:?}");
    let likelier = |text: &str, generator: &mut Generator| {
        let of = |label| generator.log_likelihood(label, text).unwrap();
        let [women, men] = ["female", "male"].map(of);
        if women > men { "female" } else { "male" }
    };
    let texts: Vec<_> = task.texts(Part::Test).collect();
    let right = texts.iter().filter(|(label, text)| likelier(text, &mut generator) == *label).count();
    assert!(right * 100 >= texts.len() * 65, "{right} of {}", texts.len());
    let greedy = generator.sample_after("male", "Ro", 0.0, 1).unwrap();
    assert!(greedy.starts_with("Ro") && greedy == generator.sample_after("male", "Ro", 0.0, 2).unwrap());

    // The stream and the batches say the same.
    let characters: usize = texts.iter().map(|(_, text)| text.len() + 1).sum();
    let sum: f64 = texts.iter().map(|(label, text)| generator.log_likelihood(label, text).unwrap()).sum();
    assert!((-sum / characters as f64 / 2.0_f64.ln() - bits[0]).abs() < 1e-5);

    // As the test part is scored, so is a file of it.
    let part = folder.path().join("part.tsv");
    let lines: Vec<String> = texts.iter().map(|(label, text)| format!("{label}\t{text}")).collect();
    std::fs::write(&part, lines.join("\n") + "\n\n").unwrap();
    let tested = generator.score(&part).unwrap();
    let values: Vec<f64> = tested.scores[0].rows.iter().map(|row| row.values[0].unwrap()).collect();
    assert!((values[0] - bits[0]).abs() < 1e-6 && values[0] < values[1] && values[1] < values[2], "{tested:?}");
    assert_eq!(tested.notes, ["1 blank line passed by"]);
    std::fs::write(&part, "female\tAnna\nmale\t日本\n").unwrap();
    let strange = generator.score(&part).unwrap();
    assert_eq!(strange.notes, ["2 characters without a number of their own, taken for <unk>"]);
    std::fs::write(&part, "female\tAnna\nother\tBo\n").unwrap();
    let told = generator.score(&part).unwrap_err();
    assert_eq!((told.line(), told.message()), (Some(2), "label: expected one of 'female', 'male', got 'other'"));

    let told = |result: elman_tasks::Result<String>| result.unwrap_err().to_string();
    assert_eq!(told(generator.sample("x", 1.0, 1)), "label: expected one of 'female', 'male', got 'x'");
    assert!(told(generator.sample("male", f64::NAN, 1)).ends_with("got NaN"));
    assert!(told(generator.sample_after("male", "日", 1.0, 1)).ends_with("got '日'"));
    let other = classify::Classifier::open(&saved).unwrap_err().to_string();
    assert!(other.ends_with("model: expected one of the task 'classify', got one of 'generate'"), "{other}");
}

#[test]
fn what_cannot_be_learned_from_is_told() {
    let told = |text: &str, settings| {
        let (_folder, path) = file("x.tsv", text);
        Generate::prepare(&path, settings).map_err(|error| error.to_string())
    };
    assert_eq!(Settings::from_toml(&Settings::names().to_toml().unwrap()).unwrap(), Settings::names());
    let settings = Settings::default;
    assert!(told("", settings()).unwrap_err().ends_with("expected rows, got an empty file"));
    assert!(told("a\tb\n", settings()).unwrap_err().ends_with("got 0.1 of 1 items, which is none"));
    let rare = format!("{}x\tb\n", "a\tb\n".repeat(20));
    let errors: Vec<_> = (0..40).filter_map(|seed| told(&rare, Settings { seed, ..settings() }).err()).collect();
    assert!((1..40).contains(&errors.len()));
    assert!(errors.iter().all(|error| error.contains("x.tsv: line 21: label: expected one that the training part")));
    let both = Settings::from_toml("[net]\nbidirectional = true").unwrap();
    assert!(told(&rare, both).unwrap_err().starts_with("net.bidirectional: expected false"));
    let strange = format!("{}a\t日\n", "a\tb\n".repeat(20));
    assert!(told(&strange, Settings { min_count: 2, ..settings() }).is_ok());
}
