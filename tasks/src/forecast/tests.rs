//! Series made here: what is forecast, what is fitted to what, and what is refused.

use std::path::PathBuf;

use super::*;
use crate::split::SplitMix64;

/// A file of one column, and the folder that it lies in.
fn file(values: &[f64]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("series.csv");
    let rows: String = values.iter().map(|value| format!("{value}\n")).collect();
    std::fs::write(&path, format!("x\n{rows}")).unwrap();
    (folder, path)
}

/// x[t+1] = 0.9 sin(3 x[t]) + noise: nothing that a linear function of the past can tell.
fn wild(len: usize) -> Vec<f64> {
    let mut rng = SplitMix64::new(3);
    let mut x: Vec<f64> = vec![0.3];
    while x.len() < len {
        let noise = rng.next_u64() as f64 / 2.0_f64.powi(64) - 0.5;
        x.push(0.9 * (3.0 * x[x.len() - 1]).sin() + 0.05 * noise);
    }
    x
}

fn settings() -> Settings {
    let fit = Settings::default().fit.epochs(25).lr(0.01).batch(16);
    Settings { window: 4, fit, net: crate::net::Net { hidden: 16, ..Settings::default().net }, ..Settings::default() }
}

/// Trains, and gives the model.
fn trained(task: &Forecast) -> (Model, bool) {
    let mut fit = task.fit(Threads::one()).unwrap();
    fit.run(&mut |_| true).unwrap();
    task.finish(fit.into_learner().into_model()).unwrap()
}

fn value(scores: &HorizonScores, method: &str) -> f64 {
    let row = scores.scores.rows.iter().find(|row| row.method.starts_with(method)).expect(method);
    row.values[0].unwrap()
}

#[test]
fn a_network_finds_what_no_line_can() {
    let (_folder, path) = file(&wild(900));
    let task = Forecast::prepare(&path, settings()).unwrap();
    let (model, kept) = trained(&task);
    let scores = &task.score(&model).unwrap()[0];
    let (network, linear, last) = (value(scores, "GRU"), value(scores, "linear"), value(scores, "last"));
    assert!(kept && network < 0.3 * linear && linear < last, "{network}, {linear}, {last}");
    assert!(scores.scores.winner().unwrap().is_network);
    assert_eq!((scores.forecasts.len(), task.steps()), (90, [720, 90, 90]));
}

#[test]
fn a_network_that_only_adds_noise_is_silenced() {
    // A random walk: nothing can be known but the last value.
    let mut rng = SplitMix64::new(8);
    let mut x = vec![0.0];
    while x.len() < 400 {
        x.push(x[x.len() - 1] + rng.next_u64() as f64 / 2.0_f64.powi(64) - 0.5);
    }
    let (_folder, path) = file(&x);
    let settings = Settings { transform: Transform::Diff, ..settings() };
    let task = Forecast::prepare(&path, settings).unwrap();
    // The weights of a network that learned the training part by heart.
    let mut model = task.fit(Threads::one()).unwrap().into_learner().into_model();
    model.params_mut().data_mut().iter_mut().for_each(|w| *w += 0.5);
    let (model, kept) = task.finish(model).unwrap();
    assert!(!kept);
    let scores = &task.score(&model).unwrap()[0];
    assert_eq!(value(scores, "GRU"), value(scores, "linear"));
    assert!(value(scores, "GRU") < 1.02 * value(scores, "last"));
}

#[test]
fn nothing_of_the_end_is_known_before() {
    let mut x = wild(300);
    let (_one, path) = file(&x);
    let last = x.len() - 1;
    x[last] += 1e6;
    let (_other, changed) = file(&x);
    let settings = Settings { fit: settings().fit.epochs(3), ..settings() };
    let tasks = [path, changed].map(|path| Forecast::prepare(&path, settings.clone()).unwrap());
    assert_eq!(tasks[0].prepared, tasks[1].prepared);
    assert_eq!((&tasks[0].train, &tasks[0].valid), (&tasks[1].train, &tasks[1].valid));
    let models = tasks.each_ref().map(|task| trained(task).0);
    assert_eq!(models[0].params().data(), models[1].params().data());
    let forecasts = [0, 1].map(|n| tasks[n].score(&models[n]).unwrap().remove(0).forecasts);
    let network = |n: usize| forecasts[n].iter().map(|(_, _, forecast)| forecast.to_bits()).collect::<Vec<_>>();
    assert_eq!(network(0), network(1));
}

#[test]
fn a_file_of_the_model_alone_goes_on_with_new_rows() {
    let x = wild(420);
    let (_folder, path) = file(&x[..400]);
    for (transform, mode, horizon) in
        [(Transform::None, Mode::Direct, 1), (Transform::Diff, Mode::Direct, 3), (Transform::Diff, Mode::Recursive, 3)]
    {
        let settings = Settings { transform, mode, horizon, fit: settings().fit.epochs(2), ..settings() };
        let task = Forecast::prepare(&path, settings).unwrap();
        let (model, _) = trained(&task);
        // What is forecast for the last steps of the file, from as many steps before.
        let truth = task.score(&model).unwrap();
        let mut forecaster = Forecaster::new(Model::from_bytes(model.to_bytes().unwrap()).unwrap()).unwrap();
        assert_eq!((forecaster.columns(), forecaster.horizon()), (&["x".to_string()][..], horizon));
        assert_eq!(forecaster.series().collect::<Vec<_>>(), [("", "400")]);
        // Another one is given the rows up to there, one by one.
        let mut again = Forecaster::new(model).unwrap();
        for (t, &x) in x[..400 - horizon].iter().enumerate() {
            again.push("", &format!("{}", t + 1), &[x]).unwrap();
        }
        let forecast = again.forecast("").unwrap().unwrap();
        for (h, level) in forecast.iter().enumerate() {
            let (time, _, scored) = &truth[h].forecasts[truth[h].forecasts.len() - (horizon - h)];
            assert_eq!((&time[..], *level), (&format!("{}", 400 - horizon + 1 + h)[..], *scored), "{mode:?} {h}");
        }
        // The saved one knows the end of the file, and goes on from there; saved once more, it still does.
        let ahead = forecaster.forecast("").unwrap().unwrap();
        assert_eq!(ahead.len(), horizon);
        forecaster.push("", "401", &[x[400]]).unwrap();
        let next = forecaster.forecast("").unwrap().unwrap();
        assert_ne!(ahead, next);
        let mut saved =
            Forecaster::new(Model::from_bytes(forecaster.into_model().unwrap().to_bytes().unwrap()).unwrap()).unwrap();
        assert_eq!(saved.forecast("").unwrap().unwrap(), next);
        // A new series has to come to a window first.
        saved.push("new", "1", &[0.5]).unwrap();
        assert_eq!(saved.forecast("new").unwrap(), None);
        assert!(saved.forecast("none").unwrap_err().to_string().contains("one of , new"));
        assert!(saved.push("", "402", &[0.0, 1.0]).is_err());
    }
}

#[test]
fn levels_come_back_from_every_transform() {
    // 2 % a step, and a wave: known but for rounding.
    let x: Vec<f64> = (0..300).map(|t| 1.02_f64.powi(t / 3) * (2.0 + (f64::from(t) * 0.3).sin())).collect();
    let (_folder, path) = file(&x);
    for transform in [Transform::Diff, Transform::LogDiff] {
        let settings = Settings { transform, window: 30, fit: settings().fit.epochs(1), ..settings() };
        let task = Forecast::prepare(&path, settings).unwrap();
        let (model, _) = trained(&task);
        let scores = &task.score(&model).unwrap()[0];
        assert!(value(scores, "GRU") < 0.6 * value(scores, "last"), "{transform:?} {:?}", scores.scores);
    }
}

#[test]
fn other_columns_groups_and_holes_are_looked_at() {
    // y follows x by one step; two series, and numbers missing.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("series.csv");
    let mut text = String::from("day,shop,x,y\n");
    let x = wild(400);
    for t in 1..400 {
        let missing = if t % 50 == 7 { String::new() } else { x[t].to_string() };
        text += &format!("{t},a,{missing},{}\n{t},b,{},{}\n", x[t - 1], -x[t], -x[t - 1]);
    }
    std::fs::write(&path, text).unwrap();
    let data = Data {
        target: Some("y".into()),
        features: Some(vec!["x".into()]),
        time: Some("day".into()),
        group: Some("shop".into()),
        missing: Missing::Mask,
    };
    let task = Forecast::prepare(&path, Settings { data, ..settings() }).unwrap();
    assert_eq!((task.report().missing, task.groups()["a"], task.prepared.width()), (8, 399, 2));
    let (model, _) = trained(&task);
    let scores = &task.score(&model).unwrap()[0];
    assert!(value(scores, "GRU") < 0.25 * value(scores, "last"), "{:?}", scores.scores);
}

#[test]
fn folds_walk_forward() {
    let (_folder, path) = file(&wild(500));
    let steps: Vec<[usize; 3]> =
        (0..3).map(|fold| Forecast::prepare_fold(&path, settings(), fold, 3).unwrap().steps()).collect();
    assert!(steps[0][0] < steps[1][0] && steps[1][0] < steps[2][0], "{steps:?}");
    assert!(steps.iter().all(|steps| steps[1..] == [50, 50]));
    assert!(Forecast::prepare_fold(&path, settings(), 3, 3).is_err());
}

#[test]
fn a_backtest_says_how_many_rows_it_needs() {
    let wild = wild(200);
    let told = |rows: usize, settings: &Settings, folds: usize| {
        let (_folder, path) = file(&wild[..rows]);
        Forecast::prepare_fold(&path, settings.clone(), 0, folds).map_err(|error| error.to_string())
    };
    for (window, horizon, transform, folds) in
        [(4, 1, Transform::None, 2), (4, 3, Transform::Diff, 5), (16, 2, Transform::None, 3)]
    {
        let settings = Settings { window, horizon, transform, ..settings() };
        let error = told(7, &settings, folds).unwrap_err();
        let least = error.split("at least ").nth(1).and_then(|rest| rest.split(' ').next()).expect(&error);
        let least: usize = least.parse().unwrap();
        assert!(error.contains("series.csv: backtest: expected") && error.ends_with("got a series of 7"), "{error}");
        assert!(told(least - 1, &settings, folds).is_err(), "{least} {error}");
        let (_folder, path) = file(&wild[..least]);
        for fold in 0..folds {
            let task = Forecast::prepare_fold(&path, settings.clone(), fold, folds).unwrap();
            let model = task.fit(Threads::one()).unwrap().into_learner().into_model();
            assert_eq!(task.score(&model).unwrap().len(), horizon);
        }
    }
    // The tests of ten folds of a tenth each are the whole, however long it is.
    let error = told(200, &settings(), 10).unwrap_err();
    assert!(error.contains("take fewer folds, or a smaller share of test"), "{error}");
    let wrong = Settings { shares: Shares { valid: f64::NAN, test: 0.1 }, ..settings() };
    assert!(told(200, &wrong, 2).unwrap_err().contains("share of validation: expected a share"));
}

#[test]
fn what_cannot_be_forecast_is_told() {
    let told = |values: &[f64], settings: Settings| {
        let (_folder, path) = file(values);
        Forecast::prepare(&path, settings).unwrap_err().to_string()
    };
    let x = wild(100);
    assert!(told(&x, Settings { window: 0, ..settings() }).contains("window: expected at least 1 step"));
    assert!(told(&x, Settings { window: 5000, ..settings() }).contains("in each part"));
    let low: Vec<f64> = x.iter().map(|x| x - 2.0).collect();
    let log = told(&low, Settings { transform: Transform::LogDiff, ..settings() });
    assert!(log.contains("expected a number above 0, as its logarithm is taken"), "{log}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("two.csv");
    let rows: String = x.iter().map(|x| format!("{x},{x}\n")).collect();
    std::fs::write(&path, format!("a,b\n{rows}")).unwrap();
    let data = Data { target: Some("a".into()), ..Data::default() };
    let settings = Settings { mode: Mode::Recursive, horizon: 2, data, ..settings() };
    let error = Forecast::prepare(&path, settings).unwrap_err().to_string();
    assert!(error.contains("mode recursive: expected the target as the only feature"), "{error}");
    // A model of something else.
    let other = elman::Gru::builder(1, 4).linear("fc", 1).model(&mut Rng::new(1)).unwrap();
    assert!(Forecaster::new(other).unwrap_err().to_string().contains("forecast"));
}

/// A model's file alone scores as its training does.
#[test]
fn a_model_is_scored_on_another_file() {
    let x = wild(400);
    let (_folder, path) = file(&x);
    for transform in [Transform::None, Transform::Diff] {
        let fit = settings().fit.epochs(2);
        let task = Forecast::prepare(&path, Settings { transform, season: 3, fit, ..settings() }).unwrap();
        let (model, _) = trained(&task);
        let expected = task.score(&model).unwrap().remove(0).scores;
        let forecaster = Forecaster::new(Model::from_bytes(model.to_bytes().unwrap()).unwrap()).unwrap();
        // The test part, and before it what its first step is forecast from.
        let (_other, end) = file(&x[360 - task.prepared.needs()..]);
        let tested = forecaster.score(&end).unwrap();
        assert_eq!((&tested.scores[0].rows, tested.notes.len()), (&expected.rows, 0));
        assert_eq!((&tested.scores[0].part[..], expected.rows.len()), ("40 steps", 4));
        assert!(expected.rows.iter().all(|row| row.values[..3].iter().all(Option::is_some)), "{expected:?}");
        let (_short, short) = file(&x[..task.prepared.needs()]);
        let least = task.prepared.needs() + 1;
        let told = forecaster.score(&short).unwrap_err().to_string();
        assert!(
            told.ends_with(&format!("expected at least {least} rows, a window and what follows it, got {}", least - 1))
        );
        let (_blank, blank) = file(&x[300..]);
        std::fs::write(&blank, std::fs::read_to_string(&blank).unwrap() + "\n\n").unwrap();
        assert_eq!(forecaster.score(&blank).unwrap().notes, ["2 blank lines passed by"]);
        std::fs::write(&blank, "y\n1\n").unwrap();
        assert!(
            forecaster.score(&blank).unwrap_err().to_string().contains("expected a column 'x', got the columns 'y'")
        );
    }
}

#[test]
fn levels_without_a_logarithm_are_told_with_their_line() {
    let x: Vec<f64> = wild(200).iter().map(|x| x + 3.0).collect();
    let (_folder, path) = file(&x);
    let fit = settings().fit.epochs(1);
    let task = Forecast::prepare(&path, Settings { transform: Transform::LogDiff, fit, ..settings() }).unwrap();
    let forecaster = Forecaster::new(trained(&task).0).unwrap();
    let (_folder, path) = file(&[&x[..50], &[-1.0]].concat());
    let told = forecaster.score(&path).unwrap_err();
    assert_eq!((told.line(), told.column()), (Some(52), Some("x")), "{told}");
}

/// Metadata that were changed by hand are no reason to panic.
#[test]
fn metadata_that_do_not_belong_together_are_told() {
    let (_folder, path) = file(&wild(200));
    let task = Forecast::prepare(&path, Settings { fit: settings().fit.epochs(1), ..settings() }).unwrap();
    let (model, _) = trained(&task);
    let json = model.metadata(FORECAST_KEY).unwrap().to_string();
    for (whole, other) in
        [("\"names\":[\"x\"]", "\"names\":[]"), ("\"target\":0", "\"target\":1"), ("\"window\":4", "\"window\":5")]
    {
        let mut changed = model.clone();
        assert!(json.contains(whole), "{json}");
        changed.set_metadata(FORECAST_KEY, json.replace(whole, other)).unwrap();
        let told = Forecaster::new(changed).unwrap_err().to_string();
        assert!(told.contains("scales and weights that belong together"), "{other}: {told}");
    }
}

/// One hole makes no method's score a hole.
#[test]
fn a_season_with_holes_is_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("series.csv");
    let write = |from: i32| {
        let level = |t: i32| if t % 31 == 9 { String::new() } else { f64::from(t % 7).to_string() };
        let rows: String = (from..300).map(|t| format!("{t},{}\n", level(t))).collect();
        std::fs::write(&path, format!("t,x\n{rows}")).unwrap();
    };
    write(0);
    let data = Data { target: Some("x".into()), time: Some("t".into()), missing: Missing::Mask, ..Data::default() };
    let fit = settings().fit.epochs(1);
    let task = Forecast::prepare(&path, Settings { data, season: 7, fit, ..settings() }).unwrap();
    let (model, _) = trained(&task);
    assert_eq!(value(&task.score(&model).unwrap()[0], "the season"), 0.0);
    // A window of 4 comes to steps before which there is no season of 7.
    let tested = Forecaster::new(model).unwrap().score(&path).unwrap();
    assert!(tested.scores[0].rows.iter().all(|row| !row.method.starts_with("the season")), "{tested:?}");
    assert_eq!(
        tested.notes.last().unwrap(),
        "the season before (7) is left out: the first steps have none before them"
    );
}
