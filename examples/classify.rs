//! Names to sex: sequences of letters of different lengths in, one of two classes out. Shuffled minibatches, early stopping,
//! and an honest score beside a baseline.
//!
//!     cargo run --release --example classify

use elman::train::{Fit, FitConfig, Learner, Progress, Supervised, Targets};
use elman::{LayerKind, Model, ModelSpec, Readout, RecurrentSpec, Rng, Threads};

fn main() -> elman::Result<()> {
    // A name as one letter's index a step, and its sex as a class.
    let lines = include_str!("data/names.tsv").lines().filter_map(|line| line.split_once('\t'));
    let (sexes, names): (Vec<i64>, Vec<Vec<f32>>) = lines
        .map(|(sex, name)| {
            let letters = name.bytes().map(|letter| f32::from(letter.to_ascii_lowercase() - b'a'));
            (i64::from(sex == "male"), letters.collect())
        })
        .unzip();
    let mut rng = Rng::new(1);
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_by_cached_key(|_| rng.below(1 << 30));
    let (test, rest) = order.split_at(names.len() / 10);
    let (valid, train) = rest.split_at(names.len() / 10);
    let majority = test.iter().filter(|&&n| sexes[n] == 0).count() as f32 / test.len() as f32;

    let spec = ModelSpec::new(1)
        .layer("letters", LayerKind::embedding(26, 16))
        .layer("lstm", RecurrentSpec::lstm([32]))
        .layer("", Readout::Last)
        .layer("sex", LayerKind::linear(2));
    let learner = Supervised::new(Model::init(spec, &mut rng)?, names.clone(), Targets::Class(sexes.clone()))?;
    let config = FitConfig::default().epochs(20).lr(0.005).clip_norm(1.0).patience(4);
    let mut fit = Fit::new(learner, config, train.into(), valid.into())?.threads(Threads::available());
    fit.run(&mut |progress| {
        if let Progress::Epoch { report, .. } = progress {
            println!(
                "epoch {:>2}: loss {:.3}, validation {:.3}",
                report.epoch + 1,
                report.train,
                report.valid.unwrap()
            );
        }
        true // go on
    })?;

    let mut learner = fit.into_learner(); // with the weights of the best epoch
    let loss = learner.evaluate(test, Threads::one())?.loss();
    let mut right = 0;
    for &n in test {
        let output = learner.model().run(elman::Input::unbatched(&names[n], 1)?)?;
        let scores = output.values();
        right += usize::from(i64::from(scores.step(0).row(0)[1] > scores.step(0).row(0)[0]) == sexes[n]);
    }
    let score = right as f32 / test.len() as f32;
    println!("test loss {loss:.3}, accuracy {score:.3}; 'always female' {majority:.3}");
    assert!(score > majority + 0.03);
    Ok(())
}
