//! Names to sex: sequences of letters of different lengths in, one of two classes out. Shuffled minibatches, the last step of
//! each row, cross-entropy, and an honest score beside a baseline.
//!
//!     cargo run --release --example classify

use elman::loss::CrossEntropy;
use elman::optim::{Adam, AdamConfig};
use elman::tensor::PackedSequence;
use elman::train::Trainer;
use elman::{LayerKind, Model, ModelSpec, Readout, RecurrentSpec, Rng};

type Name = (Vec<f32>, i64);

/// The names of a batch without padding: one letter's index a step.
fn pack(names: &[&Name]) -> elman::Result<(PackedSequence, Vec<i64>)> {
    let rows: Vec<&[f32]> = names.iter().map(|(letters, _)| &letters[..]).collect();
    Ok((PackedSequence::from_rows(&rows, 1)?, names.iter().map(|&&(_, sex)| sex).collect()))
}

fn accuracy(model: &Model, names: &[&Name]) -> elman::Result<f32> {
    let (x, sexes) = pack(names)?;
    let output = model.run(&x)?; // (1, B, 2), rows in the order of the batch
    let step = output.values().step(0);
    let right = (0..names.len()).filter(|&i| i64::from(step.row(i)[1] > step.row(i)[0]) == sexes[i]).count();
    Ok(right as f32 / names.len() as f32)
}

fn main() -> elman::Result<()> {
    let line = |line: &str| -> Option<Name> {
        let (name, sex) = line.split_once(',')?;
        Some((name.bytes().map(|letter| f32::from(letter - b'a')).collect(), i64::from(sex == "m")))
    };
    let names: Vec<Name> = include_str!("data/names.csv").lines().skip(1).filter_map(line).collect();
    let mut rng = Rng::new(1);
    let mut order: Vec<&Name> = names.iter().collect();
    order.sort_by_cached_key(|_| rng.below(1 << 30));
    let (valid, train) = order.split_at_mut(names.len() / 10);

    let spec = ModelSpec::new(1)
        .layer("letters", LayerKind::embedding(26, 16))
        .layer("lstm", RecurrentSpec::lstm(vec![32]))
        .layer("", Readout::Last)
        .layer("sex", LayerKind::linear(2));
    let mut model = Model::init(spec, &mut rng)?;
    let mut trainer = Trainer::new(Adam::new(model.params(), AdamConfig::default().lr(0.005))?).clip_norm(1.0);
    for epoch in 1..=10 {
        train.sort_by_cached_key(|_| rng.below(1 << 30));
        let mut sum = 0.0;
        for batch in train.chunks(32) {
            let (x, sexes) = pack(batch)?;
            sum += trainer.step(&mut model, &x, &mut CrossEntropy::new(&sexes))? * batch.len() as f32;
        }
        println!("epoch {epoch:>2}: loss {:.3}, validation {:.3}", sum / train.len() as f32, accuracy(&model, valid)?);
    }
    let majority = valid.iter().filter(|(_, sex)| *sex == 0).count() as f32 / valid.len() as f32;
    let score = accuracy(&model, valid)?;
    println!("validation accuracy {score:.3}; 'always female' {majority:.3}");
    assert!(score > majority + 0.1);
    Ok(())
}
