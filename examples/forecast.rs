//! Forecasts a series from a CSV file: the next value from all before. The last tenth is held out for the test, the tenth
//! before it stops the training early and lowers the learning rate on the way.
//!
//!     cargo run --release --example forecast

use elman::loss::MeanSquaredError;
use elman::optim::{Adam, AdamConfig, Optimizer};
use elman::tensor::SeqRef;
use elman::train::Trainer;
use elman::{Gru, Model, Rng};

/// The root mean square error over the points from `first` on, each predicted from all before it.
fn rmse(model: &Model, series: &[f32], first: usize) -> elman::Result<f32> {
    let steps = series.len() - 1;
    let output = model.run(SeqRef::new(&series[..steps], steps, 1, 1)?)?;
    let predictions = &output.values().flat().expect("a whole output")[first - 1..];
    let squares: f32 = predictions.iter().zip(&series[first..]).map(|(p, y)| (p - y) * (p - y)).sum();
    Ok((squares / predictions.len() as f32).sqrt())
}

fn main() -> elman::Result<()> {
    let text = include_str!("data/series.csv");
    let values = text.lines().skip(1).filter_map(|line| line.split(',').nth(1)?.parse::<f32>().ok());
    let series: Vec<f32> = values.collect();
    let (train, valid) = (series.len() * 8 / 10, series.len() * 9 / 10);
    // Scaled by what training may know.
    let mean = series[..train].iter().sum::<f32>() / train as f32;
    let deviation = (series[..train].iter().map(|x| (x - mean).powi(2)).sum::<f32>() / train as f32).sqrt();
    let series: Vec<f32> = series.iter().map(|x| (x - mean) / deviation).collect();

    let mut model = Gru::builder(1, 32).linear("fc", 1).model(&mut Rng::new(1))?;
    let mut trainer = Trainer::new(Adam::new(model.params(), AdamConfig::default().lr(0.01))?).clip_norm(1.0);
    let (mut best, mut kept, mut waited, mut stopped) = (f32::INFINITY, model.clone(), 0, None);
    for epoch in 0..2000 {
        let x = SeqRef::new(&series[..train - 1], train - 1, 1, 1)?;
        let target = SeqRef::new(&series[1..train], train - 1, 1, 1)?;
        let loss = trainer.step(&mut model, x, &mut MeanSquaredError::new(target))?;
        let error = rmse(&model, &series[..valid], train)?;
        // Less than one per cent is no progress: else tiny gains would put the end off for ever.
        waited = if error < 0.99 * best { 0 } else { waited + 1 };
        if waited == 0 {
            (best, kept) = (error, model.clone());
        } else if waited == 60 {
            stopped = Some(epoch);
            break;
        } else if waited % 20 == 0 {
            let lr = trainer.optimizer().learning_rate() / 2.0;
            trainer.optimizer_mut().set_learning_rate(lr)?;
            println!("epoch {epoch:>3}: loss {loss:.4}, validation RMSE {error:.4}; learning rate {lr}");
        }
    }
    println!("stopped after epoch {}", stopped.expect("validation stops the training before its last epoch"));
    assert!(trainer.optimizer().learning_rate() < 0.01);
    let test = rmse(&kept, &series, valid)?;
    let naive: f32 = (valid..series.len()).map(|i| (series[i] - series[i - 1]).powi(2)).sum();
    let naive = (naive / (series.len() - valid) as f32).sqrt();
    println!("test RMSE {test:.4}; 'the next is as the last' {naive:.4} (both in standard deviations)");
    assert!(test < naive / 2.0);
    Ok(())
}
