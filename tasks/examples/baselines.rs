//! What the baselines come to on files of one's own:
//!
//! ```sh
//! cargo run --release -p elman-tasks --example baselines -- forecast FILE.csv TIME TARGET ORDER[,ORDER…] [SEASON]
//! cargo run --release -p elman-tasks --example baselines -- classify FILE.tsv words|characters
//! cargo run --release -p elman-tasks --example baselines -- lists FILE.txt FILE.txt
//! cargo run --release -p elman-tasks --example baselines -- transduce FILE.tsv
//! ```
//!
//! Forecasts are of the last tenth, fitted to all before it; all else is the mean over five random splits of 90 to 10.
//! `classify` reads lines of a label, a tab and a text; `lists` a text a line, a file a class, and how well a model of
//! their characters tells them; `transduce` lines of a word, a tab and symbols between blanks.

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use elman_tasks::baselines::classify::{Classifier, Features, Method};
use elman_tasks::baselines::forecast::{Autoregression, Order, last_value, seasonal};
use elman_tasks::baselines::generate::CharacterModel;
use elman_tasks::baselines::transduce::Substitution;
use elman_tasks::metrics::{Confusion, error_rates, mae, mase, rmse};
use elman_tasks::split::{Shares, chronological, grouped, random};
use elman_tasks::vocabulary::{self, Unit, Vocabulary};
use elman_tasks::{Error, Result, table, text};

const SHARES: Shares = Shares { valid: 0.0, test: 0.1 };
const SEEDS: u64 = 5;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["forecast", file, time, target, orders] => forecast(file, time, target, orders, None),
        ["forecast", file, time, target, orders, season] => forecast(file, time, target, orders, Some(season)),
        ["classify", file, "words"] => classify(file, Unit::Words),
        ["classify", file, "characters"] => classify(file, Unit::Characters),
        ["lists", first, second] => lists(&[first, second]),
        ["transduce", file] => transduce(file),
        _ => Err(Error::new("expected a task and its files, as this example's head has them")),
    };
    if let Err(error) = done {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

fn number(text: &str) -> Result<usize> {
    text.parse().map_err(|_| Error::new(format!("expected a whole number, got '{text}'")))
}

fn forecast(file: &str, time: &str, target: &str, orders: &str, season: Option<&str>) -> Result<()> {
    let features = Some(vec![target.to_string()]);
    let options = table::Options { time: Some(time.into()), features, ..table::Options::default() };
    let table = table::read(Path::new(file), &options)?;
    let x = &table.series[0].values;
    let spans = chronological(x.len(), SHARES)?;
    let (gaps, rows) = (table.report.gaps.len(), table.report.rows);
    println!("{file}: {rows} rows, {gaps} gaps, the last {} are forecast", spans.test.len());
    let show = |name: String, forecast: Vec<f64>| -> Result<()> {
        let (truth, train) = (&x[spans.test.clone()], &x[spans.train.clone()]);
        let (rmse, mae, mase) = (rmse(&forecast, truth)?, mae(&forecast, truth)?, mase(&forecast, truth, train, 1)?);
        println!("  {name:12} RMSE {rmse:.5}  MAE {mae:.5}  MASE {mase:.3}");
        Ok(())
    };
    show("last value".into(), last_value(x, 1, spans.test.clone())?)?;
    if let Some(season) = season {
        show(format!("{season} before"), seasonal(x, number(season)?, 1, spans.test.clone())?)?;
    }
    for order in orders.split(',') {
        let order = Order { order: number(order)?, horizon: 1, columns: 1, target: 0 };
        let fit = Autoregression::fit(order, &[(x, spans.train.clone())])?;
        show(format!("AR({})", order.order), fit.predict(x, spans.test.clone())?)?;
    }
    Ok(())
}

/// Prints the mean accuracy of each method over the splits.
fn compare(methods: &[(&str, Features, Method)], texts: &[String], labels: &[usize], classes: usize) -> Result<()> {
    for &(name, features, method) in methods {
        let begin = Instant::now();
        let (mut plain, mut balanced) = (Vec::new(), 0.0);
        for seed in 0..SEEDS {
            let split = random(texts.len(), SHARES, seed)?;
            let of = |part: &[usize]| -> (Vec<&str>, Vec<usize>) {
                part.iter().map(|&index| (texts[index].as_str(), labels[index])).unzip()
            };
            let ((train, answers), (test, truth)) = (of(&split.train), of(&split.test));
            let fit = Classifier::fit(features, method, &train, &answers, classes)?;
            let confusion = Confusion::new(classes, &fit.predict_all(&test), &truth)?;
            plain.push(100.0 * confusion.accuracy());
            balanced += 100.0 * confusion.balanced_accuracy() / SEEDS as f64;
        }
        let mean = plain.iter().sum::<f64>() / SEEDS as f64;
        let spread = (plain.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (SEEDS - 1) as f64).sqrt();
        let seconds = begin.elapsed().as_secs_f64() / SEEDS as f64;
        println!("  {name:28} {mean:5.1} ± {spread:.1} %, balanced {balanced:5.1} %, {seconds:.2} s a fit");
    }
    Ok(())
}

fn ngrams(unit: Unit, longest: usize) -> Features {
    Features::Ngrams { unit, shortest: 1, longest, bounds: unit == Unit::Characters }
}

fn classify(file: &str, unit: Unit) -> Result<()> {
    let lines = text::labelled(Path::new(file))?;
    let options = vocabulary::Options { unknown: false, ..vocabulary::Options::default() };
    let classes = Vocabulary::build([lines.rows.iter().map(|pair| &pair.left)], &options)?;
    let labels = classes.encode(&lines.rows.iter().map(|pair| &pair.left).collect::<Vec<_>>())?;
    let texts: Vec<_> = lines.rows.into_iter().map(|pair| pair.right).collect();
    println!("{file}: {} texts, {} blank lines, the classes {:?}", texts.len(), lines.blank, classes.tokens());
    let methods = [
        ("majority", ngrams(unit, 1), Method::Majority),
        ("unigrams, logistic", ngrams(unit, 1), Method::Logistic(1.0)),
        ("to bigrams, logistic", ngrams(unit, 2), Method::Logistic(1.0)),
        ("to bigrams, naive Bayes", ngrams(unit, 2), Method::NaiveBayes),
    ];
    compare(&methods, &texts, &labels, classes.len())
}

fn lists(files: &[&str]) -> Result<()> {
    let (mut texts, mut labels) = (Vec::new(), Vec::new());
    for (class, file) in files.iter().enumerate() {
        let lines = text::lines(Path::new(file))?;
        let list: Vec<_> = lines.rows.into_iter().map(|(_, text)| text).collect();
        let split = random(list.len(), SHARES, 0)?;
        let of = |part: &[usize]| part.iter().map(|&index| &list[index]).collect::<Vec<_>>();
        let model = CharacterModel::fit(&of(&split.train), 4)?;
        let nats = model.per_character(&of(&split.test))?;
        println!("{file}: {} texts; 4-grams give {nats:.3} nats a character of the last tenth", list.len());
        labels.resize(labels.len() + list.len(), class);
        texts.extend(list);
    }
    let methods = [
        ("majority", ngrams(Unit::Characters, 1), Method::Majority),
        ("last letter, logistic", Features::Last(Unit::Characters), Method::Logistic(1.0)),
        ("to 4-grams, logistic", ngrams(Unit::Characters, 4), Method::Logistic(1.0)),
        ("to 4-grams, naive Bayes", ngrams(Unit::Characters, 4), Method::NaiveBayes),
    ];
    compare(&methods, &texts, &labels, files.len())
}

fn transduce(file: &str) -> Result<()> {
    let lines = text::parallel(Path::new(file))?;
    let words: Vec<_> = lines.rows.iter().map(|pair| pair.left.as_str()).collect();
    let split = grouped(&words, SHARES, 0)?;
    let tokens = |index: usize| (Unit::Characters.tokens(words[index]), Unit::Symbols.tokens(&lines.rows[index].right));
    let pairs: Vec<_> = split.train.iter().map(|&index| tokens(index)).collect();
    let fit = Substitution::fit(&pairs)?;
    // A word with several pronunciations is measured by the nearest.
    let mut truths: HashMap<&str, Vec<Vec<String>>> = HashMap::new();
    for &index in &split.test {
        truths.entry(words[index]).or_default().push(tokens(index).1);
    }
    let (words, truths): (Vec<_>, Vec<_>) = truths.into_iter().unzip();
    let answers: Vec<_> = words.iter().map(|word| fit.predict(&Unit::Characters.tokens(word))).collect();
    let rates = error_rates(&answers, &truths)?;
    let (sequences, symbols) = (100.0 * rates.sequences, 100.0 * rates.tokens);
    println!("{file}: of {} words {sequences:.1} % wrong, {symbols:.1} % of symbols", words.len());
    Ok(())
}
