//! Classes of texts and of numbers.

use std::fmt::Write;

use elman::{Model, Threads};
use elman_tasks::classify::{Classifier, Classify, Data, LongData, Settings};
use elman_tasks::job::Job;
use elman_tasks::scores::Scores;
use elman_tasks::split::{Part, SplitMix64};

use super::{file, names, pick};

/// Trains, and gives the model with the scores of the test part.
fn train(path: &std::path::Path, toml: &str) -> (Classify, Model, Scores) {
    let task = Classify::prepare(path, Settings::from_toml(toml).unwrap()).unwrap();
    let mut fit = task.fit(Threads::one()).unwrap();
    fit.run(&mut |_| true).unwrap();
    let model = fit.into_learner().into_model();
    let scores = task.score(&model, Part::Test).unwrap();
    (task, model, scores)
}

fn of(scores: &Scores, method: &str) -> f64 {
    let row = scores.rows.iter().find(|row| row.method == method).unwrap_or_else(|| panic!("no row '{method}'"));
    row.values[0].unwrap()
}

/// Sentences that only the order of two words tells: `not` before what is judged turns it round, behind it does not.
fn sentences() -> String {
    let mut rng = SplitMix64::new(1);
    let mut text = String::new();
    for _ in 0..600 {
        let (judges, is_good) = [("good", true), ("fine", true), ("bad", false), ("dull", false)][rng.below(4)];
        let turns = rng.below(2) == 0;
        let [a, b] = [0; 2].map(|_| pick(&mut rng, &["the film", "this story", "a play", "it", "he"]));
        let sentence = match turns {
            true => format!("{a} is not {judges} to {b}"),
            false => format!("{a} is {judges} not {b}"),
        };
        writeln!(text, "{}\t{sentence}", if is_good == turns { "neg" } else { "pos" }).unwrap();
    }
    text
}

#[test]
fn words_in_their_order() {
    let (folder, path) = file("sentences.tsv", &sentences());
    let toml = "token_dropout = 0.05\nembedding_std = 0.5\n[net]\nhidden = 16\nembedding = 8\nbidirectional = true\n\
                [fit]\nepochs = 20\nlr = 0.02\npatience = 5";
    let (task, model, scores) = train(&path, toml);
    assert!(of(&scores, "GRU 16, both ways") >= 98.0, "{scores:?}");
    assert!(of(&scores, "unigrams, logistic") < 70.0, "{scores:?}");
    assert_eq!((scores.rows.len(), scores.part.as_str()), (5, "test part, 60 sequences"));
    assert!(scores.winner().unwrap().values[0] >= scores.rows[0].values[0]);
    let confusion = task.confusion(&model, Part::Test).unwrap();
    assert_eq!(Some(100.0 * confusion.accuracy()), scores.rows[0].values[0]);

    let saved = folder.path().join("model.safetensors");
    model.save(&saved).unwrap();
    let classifier = Classifier::open(&saved).unwrap();
    assert_eq!(classifier.settings(), task.settings());
    let answer = classifier.predict("this story is not dull to unheardof").unwrap();
    assert_eq!(answer[0].0, "pos");
    assert!(answer[0].1 >= answer[1].1 && (answer[0].1 + answer[1].1 - 1.0).abs() < 1e-12);
    let both = classifier.predict_all(&["it is bad not he", "this story is not dull to unheardof"]).unwrap();
    assert_eq!((both[0][0].0.as_str(), &both[1]), ("neg", &answer));
    // The file that it was trained on, and blank lines.
    let again = folder.path().join("again.tsv");
    std::fs::write(&again, sentences() + "\n\nneg\tit is not unheardof\n").unwrap();
    let tested = classifier.score(&again).unwrap();
    assert_eq!(
        tested.notes,
        ["2 blank lines passed by", "1 token of 4,055 without a number of their own, read as <unk>"]
    );
    assert_eq!((tested.scores[0].rows.len(), tested.scores[0].part.as_str()), (2, "601 sequences"));
    assert!(of(&tested.scores[0], "GRU 16, both ways") >= 98.0, "{tested:?}");
    let commonest = &tested.scores[0].rows[1];
    assert!(commonest.values[0].unwrap() >= 50.0 && commonest.values[1] == Some(50.0), "{tested:?}");
    std::fs::write(&again, "pos\tit is good\n\nmeh\tit is\n").unwrap();
    let told = classifier.score(&again).unwrap_err();
    assert_eq!(told.line(), Some(3));
    assert!(
        told.message().starts_with("label: expected one of the model's classes, '")
            && told.message().ends_with("got 'meh'")
    );

    let told = classifier.predict(" ").unwrap_err().to_string();
    assert_eq!(told, "text 1: expected at least one token, got none");
    assert!(classifier.predict_numbers(&[1.0]).unwrap_err().to_string().ends_with("got one that reads texts"));
}

#[test]
fn characters_of_names() {
    let toml = "readout = 'last'\n[data]\nformat = 'text'\nunit = 'characters'\nbounds = true\n[net]\nhidden = 32\n\
                embedding = 16\n[fit]\nepochs = 40\nlr = 0.005\npatience = 8\n[shares]\ntest = 0.2";
    let (_, model, scores) = train(&names(), toml);
    // Half of them are of each sex.
    assert!(of(&scores, "GRU 32") >= 70.0 && of(&scores, "commonest class") < 60.0, "{scores:?}");
    assert_eq!(scores.rows.len(), 4);
    assert_eq!(Classifier::new(model).unwrap().predict("Angelica").unwrap()[0].0, "female");
}

/// Two features of which the second follows the first by one step, or goes before it.
#[test]
fn numbers_in_long_form_and_on_lines() {
    let mut rng = SplitMix64::new(2);
    let (mut long, mut lines) = (String::from("id,label,a,b\n"), String::new());
    for id in 0..300 {
        let label = ["after", "before"][id % 2];
        let x: Vec<f64> = (0..12).map(|_| 1000.0 + rng.below(100) as f64).collect();
        for t in 1..11 {
            writeln!(long, "{id},{label},{},{}", x[t], if id % 2 == 0 { x[t - 1] } else { x[t + 1] }).unwrap();
        }
        // A run up and one down, or the other way round.
        let (up, steps) = (id % 2 == 0, 4 + rng.below(8));
        let ramp = |t: usize| if (t < steps) == up { t } else { 2 * steps - t };
        let values: Vec<String> = (0..2 * steps).map(|t| (ramp(t) + rng.below(3)).to_string()).collect();
        writeln!(lines, "{},{}", if up { "hill" } else { "valley" }, values.join(",")).unwrap();
    }
    let net = "[net]\nhidden = 16\n[fit]\nepochs = 60\nlr = 0.02\npatience = 10\n";
    let (folder, path) = file("x.csv", &long);
    let (task, model, scores) = train(&path, &format!("readout = 'mean'\n{net}[data]\nformat = 'long'"));
    assert!(of(&scores, "GRU 16") >= 90.0 && of(&scores, "summary, logistic") < 75.0, "{scores:?}");
    let classifier = Classifier::new(model.clone()).unwrap();
    let Data::Long(LongData { features, .. }) = &classifier.settings().data else { panic!("other data") };
    assert_eq!(features.as_deref(), Some(&["a".to_string(), "b".to_string()][..]));
    // The file's columns in another order, and one that the training had not.
    let turned = folder.path().join("turned.csv");
    let turn = |(n, line): (usize, &str)| {
        let cells: Vec<&str> = line.split(',').collect();
        let more = if n == 0 { "more" } else { "7" };
        format!("{},{more},{},{},{}\n", cells[3], cells[2], cells[1], cells[0])
    };
    std::fs::write(&turned, long.lines().enumerate().map(turn).collect::<String>()).unwrap();
    let (whole, other) = (classifier.score(&path).unwrap(), classifier.score(&turned).unwrap());
    assert!(whole == other && of(&whole.scores[0], "GRU 16") >= 90.0, "{whole:?}, {other:?}");
    assert_eq!(of(&whole.scores[0], "commonest class of these"), 50.0);
    // What is told of a sequence needs no label.
    let cut =
        |line: &str| line.split(',').enumerate().filter(|(n, _)| *n != 1).map(|(_, x)| x).collect::<Vec<_>>().join(",");
    let bare = long.lines().map(cut).collect::<Vec<_>>().join("\n");
    let answers = classifier.predict_long("bare.csv", bare.into_bytes()).unwrap();
    let right = answers.iter().filter(|(id, row)| row[0].0 == ["after", "before"][id.parse::<usize>().unwrap() % 2]);
    assert_eq!(answers.len(), 300);
    assert!((100.0 * right.count() as f64 / 300.0 - of(&whole.scores[0], "GRU 16")).abs() < 1e-9);
    assert_eq!(classifier.predict_long("x.csv", long.clone().into_bytes()).unwrap(), answers);
    let told = |text: &str| classifier.predict_long("x.csv", text.into()).unwrap_err().to_string();
    assert_eq!(told("id,a,b\n1,2,x\n"), "x.csv: line 2, column 'b': expected a number, got 'x'");
    assert!(told("id,a,b\n1,2,1e300\n").starts_with("x.csv: line 2: expected numbers of at most"));
    assert!(told("id,a\n1,2\n").contains("expected a column 'b'"));
    let row = |t: usize| [1000.0 + (t * 37 % 100) as f64, 1000.0 + ((t + 99) * 37 % 100) as f64];
    let values: Vec<f64> = (100..110).flat_map(row).collect();
    assert_eq!(classifier.predict_numbers(&values).unwrap()[0].0, "after");
    let told = |values: &[f64]| classifier.predict_numbers(values).unwrap_err().to_string();
    assert_eq!(told(&[1.0]), "sequence: expected steps of 2 numbers, at least one, got 1 numbers");
    assert!(told(&[1.0, 1e300]).contains("got 1e300") && told(&[1.0, f64::NAN]).contains("got NaN"));
    assert!(classifier.predict("x").unwrap_err().to_string().ends_with("got one that reads numbers"));

    let (_folder, path) = file("lines.csv", &lines);
    let (other, of_lines, scores) = train(&path, &format!("readout = 'last'\n{net}[data]\nformat = 'lines'"));
    assert!(of(&scores, "GRU 16") >= 95.0, "{scores:?}");
    let tested = Classifier::new(of_lines).unwrap().score(&path).unwrap();
    assert!(of(&tested.scores[0], "GRU 16") >= 95.0 && tested.notes.is_empty(), "{tested:?}");
    assert!(other.score(&model, Part::Test).unwrap_err().to_string().starts_with("model: expected one of"));
    assert_eq!(task.classes().len(), 2);
}

#[test]
fn training_goes_on_from_a_checkpoint() {
    let (folder, path) = file("sentences.tsv", &sentences());
    let toml = "token_dropout = 0.3\nweight_decay = 0.1\n[net]\nhidden = 4\nembedding = 4\n[fit]\nepochs = 3";
    let task = Classify::prepare(&path, Settings::from_toml(toml).unwrap()).unwrap();
    let mut whole = task.fit(Threads::one()).unwrap();
    whole.run(&mut |_| true).unwrap();
    let checkpoint = folder.path().join("checkpoint");
    let begin = task.fit(Threads::one()).unwrap().checkpoints(&checkpoint, task.identity().clone());
    begin.unwrap().run(&mut |progress| matches!(progress, elman::train::Progress::Batch { .. })).unwrap();
    let mut rest = task.fit(Threads::one()).unwrap();
    rest.resume(&checkpoint, task.identity()).unwrap();
    assert_eq!(rest.report().epochs.len(), 1);
    rest.run(&mut |_| true).unwrap();
    assert_eq!(rest.learner().model().params().data(), whole.learner().model().params().data());
    let other = Settings { seed: 2, ..task.settings().clone() };
    let other = Classify::prepare(&path, other).unwrap();
    let told = other.fit(Threads::one()).unwrap().resume(&checkpoint, other.identity()).unwrap_err().to_string();
    assert!(told.contains("settings of the checkpoint"), "{told}");
}

#[test]
fn settings_are_files() {
    for settings in [Settings::words(), Settings::characters(), Settings::default()] {
        assert_eq!(Settings::from_toml(&settings.to_toml().unwrap()).unwrap(), settings);
    }
    let seeded = Settings { seed: u64::MAX, ..Settings::default() };
    assert_eq!(Settings::from_toml(&seeded.to_toml().unwrap()).unwrap(), seeded);
    let mut cosine = Settings::default();
    cosine.fit.schedule = elman::train::Schedule::cosine(1, 10, 0.0);
    cosine.fit.patience = Some(3);
    assert_eq!(Settings::from_toml(&cosine.to_toml().unwrap()).unwrap(), cosine);
}

#[test]
fn what_cannot_be_learned_from_is_told() {
    let told = |text: &str, toml: &str| {
        let (_folder, path) = file("x.tsv", text);
        let told = Classify::prepare(&path, Settings::from_toml(toml).unwrap()).unwrap_err().to_string();
        told.rsplit_once("x.tsv: ").map_or(told.clone(), |(_, told)| told.to_string())
    };
    assert_eq!(told("", ""), "expected rows, got an empty file");
    assert!(told("a\tb\n", "").contains("got 0.1 of 1 items, which is none"), "{}", told("a\tb\n", ""));
    let one = "a\tb\n".repeat(20);
    assert_eq!(told(&one, ""), "labels: expected at least two classes in the training part, got 'a'");
    let rare = format!("{}x\tb\n{one}{}", "c\td\n".repeat(20), "c\td\n".repeat(20));
    // Some seed puts the one row into each part.
    let errors = (0..40).map(|seed| {
        let (_folder, path) = file("x.tsv", &rare);
        let settings = Settings { seed, ..Settings::default() };
        Classify::prepare(&path, settings).err().map(|error| error.to_string())
    });
    let errors: Vec<String> = errors.flatten().collect();
    assert!((1..40).contains(&errors.len()));
    assert!(
        errors.iter().all(|error| error.contains("x.tsv: line 21: label: expected a class that the training part")
            && error.contains("'c', 'a', got 'x' in the "))
    );
    assert!(told("a,1\nb,1e300\n", "[data]\nformat = 'lines'").starts_with("line 2: expected numbers of at most 3.4"));
    for toml in [
        "token_dropout = 1.0",
        "embedding_std = 0.0",
        "weight_decay = -1.0",
        "[net]\ndropout = 0.5",
        "[fit]\nbatch = 0",
    ] {
        let name = toml.rsplit('\n').next().unwrap().split(' ').next().unwrap();
        assert!(told(&one, toml).contains(name), "{toml}: {}", told(&one, toml));
    }
    let unknown = |toml: &str| Settings::from_toml(toml).unwrap_err().to_string();
    assert!(unknown("[data]\nformat = 'text'\nunits = 'words'").contains("unknown field `units`"));
    assert!(unknown("[data]\nformat = 'lines'\nid = 'x'").contains("unknown field `id`"));
}

/// Lines with a word of their own each: of the vectors a step of SparseAdam moves those alone that it has read. Adam moves on
/// what it has moved before.
#[test]
fn vectors_that_a_step_has_not_read_stay_bit_for_bit() {
    let lines: String = (0..60).map(|n| format!("{}\tword{n} and\n", ["a", "b"][n % 2])).collect();
    let (_folder, path) = file("own.tsv", &lines);
    // How many vectors the first step moves, the second, and both.
    let moved = |optimizer: &str| {
        let toml = format!("optimizer = '{optimizer}'\n[net]\nhidden = 4\nembedding = 4\n[fit]\nbatch = 4");
        let task = Classify::prepare(&path, Settings::from_toml(&toml).unwrap()).unwrap();
        let vectors = |model: &Model| -> Vec<Vec<u32>> {
            let (_, values) = model.params().named("embedding.weight").unwrap();
            values.chunks(4).map(|row| row.iter().map(|x| x.to_bits()).collect()).collect()
        };
        let after = |steps: u64| {
            let (mut fit, mut seen) = (task.fit(Threads::one()).unwrap(), 0);
            fit.run(&mut |_| {
                seen += 1;
                seen < steps
            })
            .unwrap();
            vectors(fit.learner().model())
        };
        let [none, one, two] = [vectors(&task.model().unwrap()), after(1), after(2)];
        let rows = 0..none.len();
        let [first, second] = [(&none, &one), (&one, &two)]
            .map(|(before, after)| rows.clone().filter(|&row| before[row] != after[row]).collect::<Vec<_>>());
        [first.len(), second.len(), first.iter().filter(|row| second.contains(row)).count()]
    };
    // Four words, and the one that all lines have.
    assert_eq!(moved("sparse-adam"), [5, 5, 1]);
    assert_eq!(moved("adam"), [5, 9, 5]);
}

#[test]
fn a_sparse_optimizer_has_tokens_and_no_decay() {
    let (_folder, path) = file("own.tsv", "a\tb\n");
    let told = |toml: &str| Classify::prepare(&path, Settings::from_toml(toml).unwrap()).unwrap_err().to_string();
    let decay = told("optimizer = 'sparse-adam'\nweight_decay = 0.1");
    assert_eq!(decay, "weight_decay: expected 0 where the optimizer is sparse-adam, got 0.1");
    let mut settings = Settings::from_toml("optimizer = 'sparse-adam'").unwrap();
    settings.data = Data::Long(LongData::default());
    let numbers = Classify::prepare(&path, settings).unwrap_err().to_string();
    assert_eq!(numbers, "optimizer: expected adam where numbers are read and no tokens, got sparse-adam");
    let unknown = Settings::from_toml("optimizer = 'lazy'").unwrap_err().to_string();
    assert!(unknown.contains("unknown variant `lazy`, expected `adam` or `sparse-adam`"), "{unknown}");
}
