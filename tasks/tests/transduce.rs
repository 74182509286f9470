//! An encoder and its decoder: from a file through training to a saved model that transduces.

use std::collections::HashSet;
use std::path::PathBuf;

use elman::{Model, Threads};
use elman_tasks::job::Job;
use elman_tasks::scores::Scores;
use elman_tasks::split::{Part, SplitMix64};
use elman_tasks::transduce::{Settings, Transduce, Transducer};
use elman_tasks::vocabulary::Unit;
use elman_tasks::{classify, job, transduce};
use tempfile::TempDir;

fn file(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tsv");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

/// Strings of 3 to 6 of 5 letters, and the same backwards in capitals.
fn reversed(lines: usize) -> String {
    let mut rng = SplitMix64::new(7);
    let mut all = String::new();
    for _ in 0..lines {
        let letters: Vec<char> = (0..3 + rng.below(4)).map(|_| ['a', 'b', 'c', 'd', 'e'][rng.below(5)]).collect();
        let backwards: Vec<String> = letters.iter().rev().map(|letter| letter.to_uppercase().to_string()).collect();
        all += &format!("{}\t{}\n", letters.iter().collect::<String>(), backwards.join(" "));
    }
    all
}

fn settings(more: &str) -> Settings {
    let text = format!(
        "longest = 20\n{more}\nhidden = 48\nembedding = 16\n[fit]\nepochs = 25\nbatch = 32\nlr = 0.01\nclip_norm = 1.0"
    );
    Settings::from_toml(&text).unwrap()
}

#[test]
fn strings_are_turned_around() {
    let (_folder, path) = file(&reversed(2000));
    let cases = [
        ("beam = 3\n[net]\ncell = 'gru'", "gru"),
        ("attention = 'dot'\nbeam = 3\n[net]\ncell = 'lstm'\nbidirectional = true", "lstm"),
    ];
    for (more, cell) in cases {
        let task = Transduce::prepare(&path, settings(more)).unwrap();
        let untrained = task.score(&task.model().unwrap(), Part::Test).unwrap();
        assert!(untrained.rows[0].values[0] > Some(95.0), "{untrained:?}");
        let mut fit = task.fit(Threads::one()).unwrap();
        fit.run(&mut |_| true).unwrap();
        let model = fit.into_learner().into_model();
        let scores = task.score(&model, Part::Test).unwrap();
        let wrong: Vec<f64> = scores.rows.iter().map(|row| row.values[0].unwrap()).collect();
        assert!(wrong[0] < 20.0 && wrong[0] <= wrong[1] + 1.0 && wrong[2] > 80.0, "{scores:?}");
        assert_eq!(scores.rows.iter().map(|row| row.is_network).collect::<Vec<_>>(), [true, true, false]);

        // The file alone says the same, and is a state dict.
        let saved = tempfile::tempdir().unwrap();
        let saved = saved.path().join("model.safetensors");
        model.save(&saved).unwrap();
        let opened = Model::open(&saved).unwrap();
        let weight = format!("{cell}.weight_hh_l0");
        assert!(opened.part("decoder").unwrap().params().named(&weight).is_ok());
        let transducer = Transducer::open(&saved).unwrap();
        for (source, answer) in task.answers(&model, Part::Test, 3).unwrap() {
            let told = transducer.transduce(source, 3).unwrap();
            assert_eq!(told[0].0, answer.join(" "));
            assert!(told.len() == 3 && told[0].1 >= told[1].1 && told[1].1 >= told[2].1 && told[0].1 <= 0.0);
        }
        a_file_is_scored(&transducer, &task, &scores);
        wrong_input_is_told(&transducer, &saved);
        match cell {
            "lstm" => attention_goes_from_the_end_to_the_beginning(&task, &transducer),
            _ => {
                let told = transducer.attention("abc", 1).unwrap_err().to_string();
                assert_eq!(told, "model: expected one that was trained with attention, got one without");
            }
        }
    }
}

/// The test part as a file comes to what the test part did.
fn a_file_is_scored(transducer: &Transducer, task: &Transduce, scores: &Scores) {
    let mut lines: Vec<String> = task.texts(Part::Test).map(|(source, target)| format!("{source}\t{target}")).collect();
    let (_folder, path) = file(&(lines.join("\n") + "\n\n"));
    let tested = transducer.score(&path, 3).unwrap();
    assert_eq!(tested.scores[0].rows, scores.rows[..2]);
    assert_eq!(tested.notes, ["1 blank line passed by"]);
    let greedy = transducer.score(&path, 1).unwrap();
    assert_eq!(greedy.scores[0].rows, scores.rows[1..2]);
    // A second target of a source is no second source, and what the training had not is wrong and counted.
    lines.extend([lines[0].clone() + " X", "zab\tB A Z".into()]);
    let (_folder, path) = file(&lines.join("\n"));
    let more = transducer.score(&path, 1).unwrap();
    let different: HashSet<&str> = lines.iter().map(|line| line.split('\t').next().unwrap()).collect();
    assert_eq!(more.scores[0].part, format!("{} sources", different.len()));
    assert_eq!(
        more.notes,
        [
            "1 source with tokens without a number of their own, read as <unk>",
            "2 targets with tokens that the model never tells"
        ]
    );
    assert!(more.scores[0].rows[0].values[0] > greedy.scores[0].rows[0].values[0]);
    let (_folder, path) = file("ab\tB A\n\nba\tA </s>\n");
    let told = transducer.score(&path, 1).unwrap_err();
    assert_eq!((told.line(), told.message()), (Some(3), "target: expected tokens other than <s> and </s>, got '</s>'"));
    assert!(transducer.score(&path, 0).is_err());
}

/// Each token is told while the decoder looks at where it stands, or next to it, as the encoder goes both ways.
fn attention_goes_from_the_end_to_the_beginning(task: &Transduce, transducer: &Transducer) {
    let (mut near, mut all) = (0, 0);
    for (source, _) in task.texts(Part::Test).take(50) {
        let attended = transducer.attention(source, 3).unwrap();
        assert_eq!(attended.source.concat(), source);
        assert_eq!(attended.target.join(" "), transducer.transduce(source, 3).unwrap()[0].0);
        assert_eq!(attended.weights.len(), attended.target.len());
        for (n, weights) in attended.weights.iter().enumerate() {
            let sum: f32 = weights.iter().sum();
            assert!(weights.len() == attended.source.len() && (sum - 1.0).abs() < 1e-5, "{weights:?}");
            let most = (0..weights.len()).fold(0, |best, at| if weights[at] > weights[best] { at } else { best });
            near += usize::from((most + n + 1).abs_diff(weights.len()) <= 1);
            all += 1;
        }
    }
    assert!(near * 10 > all * 7, "{near} of {all}");
    assert!(transducer.attention("z", 1).unwrap_err().to_string().starts_with("source: expected tokens"));
}

fn wrong_input_is_told(transducer: &Transducer, saved: &std::path::Path) {
    let told = |source, beam| transducer.transduce(source, beam).unwrap_err().to_string();
    assert_eq!(told("abz", 1), "source: expected tokens that the training had, 5 of them, got 'z'");
    assert_eq!(told("", 1), "source: expected at least one token, got none");
    assert_eq!(told("abc", 0), "beam: expected at least 1 and at most 1000, got 0");
    let several = transducer.transduce_all(&["abc", "z"], 1).unwrap_err().to_string();
    assert!(several.starts_with("source 2: source: expected tokens"), "{several}");
    let mut changed = transducer.model().clone();
    changed.set_metadata(job::TARGETS_KEY, r#"["<unk>", "<s>", "</s>", "A"]"#).unwrap();
    let contradicts = Transducer::new(changed.clone()).unwrap_err().to_string();
    assert!(contradicts.starts_with("model: expected ") && contradicts.contains("outputs=4"), "{contradicts}");
    changed.set_metadata(job::TARGETS_KEY, r#"["A"]"#).unwrap();
    let endless = Transducer::new(changed).unwrap_err().to_string();
    assert_eq!(endless, "target tokens: expected <s> and </s> among them, got 'A'");
    let other = classify::Classifier::open(saved).unwrap_err().to_string();
    assert!(other.ends_with("model: expected one of the task 'classify', got one of 'transduce'"), "{other}");
}

#[test]
fn training_goes_on_from_a_checkpoint_as_if_it_had_not_stopped() {
    let (folder, path) = file(&reversed(200));
    let task = Transduce::prepare(&path, settings("[net]\nlayers = 2\ndropout = 0.2\nbidirectional = true")).unwrap();
    let mut whole = task.fit(Threads::one()).unwrap();
    let until = |last| {
        let mut epochs = 0;
        move |_: elman::train::Progress<'_>| {
            epochs += 1;
            epochs < last
        }
    };
    whole.run(&mut until(usize::MAX)).unwrap();
    let checkpoint = folder.path().join("checkpoint");
    let mut first = task.fit(Threads::one()).unwrap().checkpoints(&checkpoint, task.identity().clone()).unwrap();
    first.run(&mut until(40)).unwrap();
    drop(first);
    let mut second = task.fit(Threads::one()).unwrap();
    second.resume(&checkpoint, task.identity()).unwrap();
    second.run(&mut until(usize::MAX)).unwrap();
    let [whole, parts] = [whole, second].map(|fit| fit.into_learner().into_model());
    for name in ["encoder", "decoder", "head"] {
        assert_eq!(whole.part(name).unwrap().params().data(), parts.part(name).unwrap().params().data(), "{name}");
    }
}

#[test]
fn several_targets_of_a_source_stay_together_and_the_nearest_counts() {
    let lines: String =
        (0..40).map(|n| format!("{}\tA B\n{}\tA C\n", "ab".repeat(n + 1), "ab".repeat(n + 1))).collect();
    let (_folder, path) = file(&lines);
    let task = Transduce::prepare(&path, Settings::default()).unwrap();
    for part in [Part::Train, Part::Valid, Part::Test] {
        let sources: Vec<_> = task.texts(part).map(|(source, _)| source).collect();
        assert!(sources.chunks(2).all(|pair| pair[0] == pair[1]));
    }
    let scores = task.score(&task.model().unwrap(), Part::Test).unwrap();
    assert_eq!(scores.part, "test part, 4 sources");
}

#[test]
fn what_cannot_be_learned_from_is_told() {
    let told = |text: &str, settings: Settings| {
        let (_folder, path) = file(text);
        Transduce::prepare(&path, settings).unwrap_err().to_string()
    };
    assert!(told("", Settings::default()).ends_with("expected rows, got an empty file"));
    assert!(told("a\tA\nab\n", Settings::default()).contains("line 2: expected a source, a tab and a target"));
    assert!(told("a\tA\n", Settings::default()).ends_with("got 0.1 of 1 keys, which is none"));
    let ends = format!("{}x\tA </s> B\n", (0..30).map(|n| format!("{}\tA\n", "a".repeat(n + 1))).collect::<String>());
    assert!(
        told(&ends, Settings::default())
            .ends_with("line 31: target: expected tokens other than <s> and </s>, got '</s>'")
    );
    let wrong = |text: &str| told("a\tA\n", Settings::from_toml(text).unwrap());
    assert_eq!(wrong("beam = 0"), "beam: expected at least 1 and at most 1000, got 0");
    assert!(wrong("length_power = -1.0").starts_with("length_power: expected a finite number"));
    let unit = Settings::from_toml("[data]\ntarget = 'phonemes'").unwrap_err().to_string();
    assert!(unit.starts_with("line 2: settings of transduce: unknown variant `phonemes`"), "{unit}");

    // A model of characters on data of symbols.
    let (_folder, path) = file(&reversed(60));
    let data = |target| transduce::Data { target, ..transduce::Data::default() };
    let of = |target| Transduce::prepare(&path, Settings { data: data(target), ..Settings::default() }).unwrap();
    let (characters, symbols) = (of(Unit::Characters), of(Unit::Symbols));
    let told = symbols.score(&characters.model().unwrap(), Part::Test).unwrap_err().to_string();
    assert_eq!(told, "model: expected one of the tokens of these data, got another");
}

/// The vectors of the encoder's tokens and of the decoder's: a step of SparseAdam moves those alone that it has read.
#[test]
fn vectors_that_a_step_has_not_read_stay_bit_for_bit() {
    let lines: String = (0..60).map(|n| format!("word{n} and\tsound{n}\n")).collect();
    let (_folder, path) = file(&lines);
    // Of each part, how many vectors the first step moves, the second, and both.
    let moved = |optimizer: &str| {
        let toml = format!(
            "optimizer = '{optimizer}'\n[data]\nsource = 'words'\ntarget = 'words'\n[net]\nhidden = 4\nembedding = 4\n\
             [fit]\nbatch = 4"
        );
        let task = Transduce::prepare(&path, Settings::from_toml(&toml).unwrap()).unwrap();
        let after = |steps: u64| {
            let (mut fit, mut seen) = (task.fit(Threads::one()).unwrap(), 0);
            fit.run(&mut |_| {
                seen += 1;
                seen < steps
            })
            .unwrap();
            fit.into_learner().into_model()
        };
        let models = [task.model().unwrap(), after(1), after(2)];
        ["encoder", "decoder"].map(|part| {
            let [none, one, two] = models.each_ref().map(|model| {
                let (_, part) = model.parts().find(|(name, _)| *name == part).unwrap();
                let (_, values) = part.params().named("embedding.weight").unwrap();
                values.chunks(4).map(|row| row.iter().map(|x| x.to_bits()).collect::<Vec<_>>()).collect::<Vec<_>>()
            });
            let of = |before: &[Vec<u32>], after: &[Vec<u32>]| -> Vec<usize> {
                (0..before.len()).filter(|&row| before[row] != after[row]).collect()
            };
            let (first, second) = (of(&none, &one), of(&one, &two));
            [first.len(), second.len(), first.iter().filter(|row| second.contains(row)).count()]
        })
    };
    // Four tokens, and the one that all sources have, or the begin of all targets.
    assert_eq!(moved("sparse-adam"), [[5, 5, 1]; 2]);
    assert_eq!(moved("adam"), [[5, 9, 5]; 2]);
}
