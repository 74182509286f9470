//! One sample at a time, as an audio callback or a control loop gets them; and another model in the place of the first
//! while the signal goes on.
//!
//!     cargo run --release --example stream

use std::sync::Arc;
use std::time::Instant;

use elman::tensor::SeqRef;
use elman::{Lstm, Rng, Stream};

/// Samples over which the old model fades out and the new one in: 10 ms at 48 kHz.
const FADE: usize = 480;

fn main() -> elman::Result<()> {
    // Once, outside of the callback: a model that however many streams share, and a stream with a state of its own.
    let mut rng = Rng::new(1);
    let model = Arc::new(Lstm::builder(1, 16).linear("fc", 1).model(&mut rng)?);
    let mut stream = Stream::new(model.clone())?;
    let signal: Vec<f32> = (0..48_000).map(|i| (i as f32 * 0.05).sin()).collect();
    let mut played = vec![0.0; signal.len()];

    // In the callback: nothing is allocated, locked or waited for.
    let start = Instant::now();
    for (x, y) in signal.chunks(1).zip(played.chunks_mut(1)) {
        stream.step(x, y)?;
    }
    let each = start.elapsed() / signal.len() as u32;
    let whole = model.run(SeqRef::new(&signal, signal.len(), 1, 1)?)?; // (T, B, I)
    if model.isa() != elman::Isa::Portable {
        assert!(whole.values().flat() == Some(&played[..]), "the same bits");
    }
    println!("{} samples, {each:?} each; the bits of the whole sequence in one call", signal.len());

    // Another model, made outside of the callback. It has not heard the signal: both run while one fades into the other,
    // and no sample jumps.
    let other = Lstm::builder(1, 24).linear("fc", 1).model(&mut rng)?;
    let mut next = Stream::new(other)?.prewarmed(1000);
    let mut last = played[played.len() - 1];
    let (mut jump, mut apart) = (0.0_f32, 0.0_f32);
    for (n, x) in signal.chunks(1).take(FADE).enumerate() {
        let (mut old, mut new) = ([0.0], [0.0]);
        stream.step(x, &mut old)?;
        next.step(x, &mut new)?;
        let share = (n + 1) as f32 / FADE as f32;
        let y = (1.0 - share) * old[0] + share * new[0];
        apart = apart.max((new[0] - old[0]).abs()); // what a hard swap may jump
        (jump, last) = (jump.max((y - last).abs()), y);
    }
    stream = next; // the old stream, and with it its hold on the model, is dropped outside of the callback
    assert!(jump < apart / 5.0, "a click of {jump}");
    let units = stream.state()?.h().len();
    println!(
        "the model has {units} units now; the outputs were up to {apart:.3} apart, the largest step was {jump:.4}"
    );
    Ok(())
}
