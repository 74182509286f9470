//! A guitar through an amplifier, sample by sample: an LSTM learns what a valve stage does, then plays a WAV file, or a
//! plucked string where none is given.
//!
//!     cargo run --release --example amplifier [IN.wav [OUT.wav]]

use std::error::Error;
use std::time::Instant;

use elman::loss::MeanSquaredError;
use elman::optim::{Adam, AdamConfig};
use elman::tensor::Seq;
use elman::train::Trainer;
use elman::{LayerKind, LayerSpec, Model, ModelSpec, RecurrentSpec, Rng, Stream};

/// What the network is to learn: a bias that follows the signal, and a curve that clips on one side sooner than on the other.
fn valve(x: f32, follows: &mut f32) -> f32 {
    *follows += 0.1 * (x.abs() - *follows);
    let driven = 4.0 * (x - 0.3 * *follows);
    if driven > 0.0 { driven.tanh() } else { 0.7 * (driven / 0.7).tanh() }
}

/// 16 units beside the dry signal, as models of amplifiers have them: the network learns what is to be added to it.
fn amplifier(rng: &mut Rng) -> elman::Result<Model> {
    let inside = [LayerSpec::new("lstm", RecurrentSpec::lstm([16])), LayerSpec::new("fc", LayerKind::linear(1))];
    let mut model = Model::init(ModelSpec::new(1).layer("amp", LayerKind::residual(0, inside)), rng)?;
    let mut trainer = Trainer::new(Adam::new(model.params(), AdamConfig::default().lr(0.01))?);
    let (mut x, mut y, mut loss) = (Seq::zeros(64, 32, 1)?, Seq::zeros(64, 32, 1)?, 1.0);
    for _ in 0..200 {
        let (mut follows, mut tone) = ([0.0; 32], [0.0_f32; 32]);
        for (i, (x, y)) in x.data_mut().iter_mut().zip(y.data_mut()).enumerate() {
            let row = i % 32; // (T, B, 1)
            tone[row] = (0.8 * tone[row] + rng.uniform(-0.6, 0.6)).clamp(-1.0, 1.0);
            (*x, *y) = (tone[row], valve(tone[row], &mut follows[row]));
        }
        loss = trainer.step(&mut model, &x, &mut MeanSquaredError::new(&y))?;
    }
    println!("trained; the last loss is {loss:.4}");
    assert!(loss < 0.02);
    Ok(model)
}

/// A string after Karplus and Strong: noise that goes round and loses its edges.
fn pluck(rng: &mut Rng, rate: u32, frequency: f32) -> Vec<f32> {
    let mut string: Vec<f32> = (0..(rate as f32 / frequency) as usize).map(|_| rng.uniform(-1.0, 1.0)).collect();
    let period = string.len();
    let mut next = |i: usize| {
        let sample = string[i % period];
        string[i % period] = 0.498 * (sample + string[(i + 1) % period]);
        sample
    };
    (0..2 * rate as usize).map(&mut next).collect()
}

/// The first channel of a file, in [-1, 1], and how many samples a second it has.
fn read(path: &str) -> Result<(u32, Vec<f32>), hound::Error> {
    let mut file = hound::WavReader::open(path)?;
    let spec = file.spec();
    let every = usize::from(spec.channels);
    let samples: Result<Vec<f32>, _> = match spec.sample_format {
        hound::SampleFormat::Float => file.samples().step_by(every).collect(),
        hound::SampleFormat::Int => {
            let scale = 0.5_f32.powi(i32::from(spec.bits_per_sample) - 1);
            file.samples::<i32>().step_by(every).map(|sample| Ok(sample? as f32 * scale)).collect()
        }
    };
    Ok((spec.sample_rate, samples?))
}

fn main() -> Result<(), Box<dyn Error>> {
    let (mut rng, mut paths) = (Rng::new(1), std::env::args().skip(1));
    let (rate, signal) = match paths.next() {
        Some(path) => read(&path)?,
        None => (48_000, pluck(&mut rng, 48_000, 110.0)),
    };
    // Once, outside of the callback.
    let mut stream = Stream::new(amplifier(&mut rng)?)?.prewarmed(rate as usize / 10);
    let mut played = vec![0.0; signal.len()];
    // In the callback; a host that flushes denormals to zero wraps this in `with_default_float_mode`.
    let start = Instant::now();
    for (x, y) in signal.chunks(1).zip(played.chunks_mut(1)) {
        stream.step(x, y)?;
    }
    let took = start.elapsed().as_secs_f64();
    let seconds = signal.len() as f64 / f64::from(rate);
    let each = took / signal.len().max(1) as f64;
    println!(
        "{seconds:.1} s of sound in {:.1} ms: {:.0} ns a sample, {:.0} times as fast as it is played",
        1e3 * took,
        1e9 * each,
        seconds / took
    );
    if let Some(path) = paths.next() {
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: rate,
            bits_per_sample: 32,
            sample_format: hound::SampleFormat::Float,
        };
        let mut file = hound::WavWriter::create(path, spec)?;
        played.iter().try_for_each(|&sample| file.write_sample(sample))?;
        file.finalize()?;
    }
    Ok(())
}
