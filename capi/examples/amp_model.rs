//! Makes `capi/examples/amp.safetensors`: an LSTM of 16 units learns what a small amplifier does to a signal.
//!
//!     cargo run --release -p elman-capi --example amp_model -- capi/examples/amp.safetensors

use elman::loss::MeanSquaredError;
use elman::optim::{Adam, AdamConfig, Optimizer};
use elman::tensor::Seq;
use elman::train::Trainer;
use elman::{Lstm, Rng, Threads};

const RATE: f32 = 48_000.0;
const STEPS: usize = 512;
const ROWS: usize = 16;

/// The amplifier: a stage that saturates, more on one side than on the other, and a speaker's low pass at 4 kHz.
struct Amplifier {
    speaker: f32,
}

impl Amplifier {
    fn step(&mut self, x: f32) -> f32 {
        let saturated = (5.0 * x + 0.3).tanh() - 0.3_f32.tanh();
        let share = 1.0 - (-std::f32::consts::TAU * 4_000.0 / RATE).exp();
        self.speaker += share * (saturated - self.speaker);
        0.7 * self.speaker
    }
}

/// Rows of two sines and some noise, and what the amplifier makes of them.
fn batch(rng: &mut Rng) -> elman::Result<(Seq, Seq)> {
    let (mut x, mut y) = (Seq::zeros(STEPS, ROWS, 1)?, Seq::zeros(STEPS, ROWS, 1)?);
    for row in 0..ROWS {
        let mut amplifier = Amplifier { speaker: 0.0 };
        let mut draw = |low: f32, high: f32| rng.uniform(low, high);
        let tones = [(); 2].map(|()| (draw(40.0, 2_000.0) / RATE, draw(0.0, 0.4), draw(0.0, 1.0)));
        let noise = draw(0.0, 0.2);
        for t in 0..STEPS {
            let tone = |(rate, level, phase): (f32, f32, f32)| {
                level * (std::f32::consts::TAU * (rate * t as f32 + phase)).sin()
            };
            let sample = tones.into_iter().map(tone).sum::<f32>() + noise * draw(-1.0, 1.0);
            x.data_mut()[t * ROWS + row] = sample;
            y.data_mut()[t * ROWS + row] = amplifier.step(sample);
        }
    }
    Ok((x, y))
}

fn main() -> elman::Result<()> {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: amp_model MODEL.safetensors");
        std::process::exit(2);
    };
    let mut rng = Rng::new(1);
    let mut model = Lstm::builder(1, 16).linear("fc", 1).model(&mut rng)?;
    let mut adam = Adam::new(model.params(), AdamConfig::default())?;
    adam.set_learning_rate(5e-3)?;
    let mut trainer = Trainer::new(adam).clip_norm(1.0).threads(Threads::available());
    for step in 0..1500 {
        if step == 1000 {
            trainer.optimizer_mut().set_learning_rate(5e-4)?;
        }
        let (x, y) = batch(&mut rng)?;
        let loss = trainer.step(&mut model, &x, &mut MeanSquaredError::new(&y))?;
        if step % 100 == 99 {
            println!("{:5} steps: an error of {:.4}", step + 1, loss.sqrt());
        }
    }
    model.set_metadata("sample_rate", "48000")?;
    model.save(path)
}
