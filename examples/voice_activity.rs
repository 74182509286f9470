//! Is somebody speaking? Frames of 512 samples at 16 kHz, 32 ms each, go through an encoder and an LSTM cell of 128 units,
//! the sizes of Silero's detector; the sound is made here: noise, and voices that come and go.
//!
//!     cargo run --release --example voice_activity

use std::time::{Duration, Instant};

use elman::loss::MeanSquaredError;
use elman::optim::{Adam, AdamConfig};
use elman::tensor::Seq;
use elman::train::Trainer;
use elman::{Activation, LayerKind, Model, ModelSpec, RecurrentSpec, Rng, Stream};

const RATE: f32 = 16_000.0;
const FRAME: usize = 512;

/// Noise, in which a voice, harmonics of 100 to 200 Hz, begins and ends now and then.
struct Sound {
    rng: Rng,
    pitch: Option<f32>,
    frames_left: usize,
    phase: f32,
}

impl Sound {
    fn new(seed: u64) -> Self {
        Self { rng: Rng::new(seed), pitch: None, frames_left: 0, phase: 0.0 }
    }

    /// The next frame, and 1 where there is a voice in it, else 0.
    fn frame(&mut self, samples: &mut [f32]) -> f32 {
        if self.frames_left == 0 {
            self.pitch = if self.pitch.is_some() { None } else { Some(self.rng.uniform(100.0, 200.0)) };
            self.frames_left = 10 + self.rng.below(30);
        }
        self.frames_left -= 1;
        for sample in samples {
            *sample = self.rng.uniform(-0.2, 0.2);
            if let Some(pitch) = self.pitch {
                self.phase = (self.phase + pitch / RATE) % 1.0;
                *sample +=
                    (1..6).map(|n| 0.3 / n as f32 * (std::f32::consts::TAU * n as f32 * self.phase).sin()).sum::<f32>();
            }
        }
        f32::from(self.pitch.is_some())
    }
}

/// A detector, taught with 16 sounds of a second.
fn detector() -> elman::Result<Model> {
    let spec = ModelSpec::new(FRAME)
        .layer("encoder", LayerKind::linear(128))
        .layer("", Activation::Relu)
        .layer("lstm", RecurrentSpec::lstm([128]))
        .layer("head", LayerKind::linear(1))
        .layer("", Activation::Sigmoid);
    let mut model = Model::init(spec, &mut Rng::new(1))?;
    let mut trainer = Trainer::new(Adam::new(model.params(), AdamConfig::default().lr(0.003))?).clip_norm(1.0);
    let (mut x, mut voiced) = (Seq::zeros(31, 16, FRAME)?, Seq::zeros(31, 16, 1)?); // (T, B, ·)
    let mut sounds: Vec<Sound> = (0..16).map(Sound::new).collect();
    for _ in 0..40 {
        for (i, (x, voiced)) in x.data_mut().chunks_mut(FRAME).zip(voiced.data_mut()).enumerate() {
            *voiced = sounds[i % 16].frame(x);
        }
        trainer.step(&mut model, &x, &mut MeanSquaredError::new(&voiced))?;
    }
    Ok(model)
}

fn main() -> elman::Result<()> {
    // Once, outside of the loop.
    let mut stream = Stream::new(detector()?)?;
    let (mut sound, mut frame, mut speech) = (Sound::new(100), [0.0; FRAME], [0.0]);
    let (mut right, mut frames, mut longest) = (0, 0, Duration::ZERO);
    for second in 1..=10 {
        let mut spoken = 0;
        for _ in 0..31 {
            let voiced = sound.frame(&mut frame); // what the microphone brings
            let start = Instant::now();
            stream.step(&frame, &mut speech)?;
            longest = longest.max(start.elapsed());
            let decision = speech[0] > 0.5;
            (spoken, frames, right) =
                (spoken + usize::from(decision), frames + 1, right + usize::from(decision == (voiced > 0.5)));
        }
        println!("second {second:>2}: voice in {spoken:>2} of 31 frames, the last is {:.2}", speech[0]);
    }
    println!("{right} of {frames} frames are right; the longest step took {longest:?} of the 32 ms that a frame lasts");
    assert!(right * 10 > frames * 9);
    Ok(())
}
