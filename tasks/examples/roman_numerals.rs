//! Encoder-decoder: 1987 is read to its end, then MCMLXXXVII is written. The numbers are made here.
//!
//!     cargo run --release -p elman-tasks --example roman_numerals

use elman::Threads;
use elman_tasks::split::Part;
use elman_tasks::transduce::{Settings, Transduce, Transducer};
use elman_tasks::vocabulary::Unit;

fn numeral(number: usize) -> String {
    let digit = |one: &str, five: &str, ten: &str, digit: usize| match digit {
        4 => format!("{one}{five}"),
        9 => format!("{one}{ten}"),
        _ => five.repeat(digit / 5) + &one.repeat(digit % 5),
    };
    let [hundreds, tens, ones] = [number / 100 % 10, number / 10 % 10, number % 10];
    "M".repeat(number / 1000)
        + &digit("C", "D", "M", hundreds)
        + &digit("X", "L", "C", tens)
        + &digit("I", "V", "X", ones)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = tempfile::NamedTempFile::new()?;
    let lines: Vec<String> = (1..2000).map(|number| format!("{number}\t{}", numeral(number))).collect();
    std::fs::write(file.path(), lines.join("\n"))?; // a source, a tab, a target

    let mut settings = Settings::spelling();
    settings.data.target = Unit::Characters;
    settings.net.hidden = 64;
    settings.fit = settings.fit.epochs(30);
    let task = Transduce::prepare(file.path(), settings)?; // no source is in two parts
    let mut fit = task.fit(Threads::available())?;
    fit.run(&mut |_progress| true)?;
    let model = fit.into_learner().into_model();

    let wrong = task.score(&model, Part::Test)?.rows[0].values[0].unwrap();
    println!("{wrong:.1} % of the numerals of unseen numbers are wrong");
    assert!(wrong < 20.0); // letter by letter alone: all

    let transducer = Transducer::new(model)?; // or `open`, of a model that was saved
    for (target, score) in transducer.transduce("1987", 3)? {
        println!("1987 -> {target}, probability {:.3}", score.exp());
    }
    Ok(())
}
