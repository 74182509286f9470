//! One sample at a time, as an audio callback or a control loop gets them: the state is carried from call to call, nothing
//! is allocated after the first one, and the bits are those of the whole sequence in one call.
//!
//!     cargo run --release --example stream

use std::time::Instant;

use elman::tensor::SeqRef;
use elman::{Lstm, Rng, Threads, Workspace};

fn main() -> elman::Result<()> {
    // One model, shared by however many streams; memory and state are each stream's own.
    let model = Lstm::builder(1, 16).linear("fc", 1).model(&mut Rng::new(1))?;
    let (mut workspace, mut state) = (Workspace::default(), model.zero_state(1)?);

    let signal: Vec<f32> = (0..10_000).map(|i| (i as f32 * 0.05).sin()).collect();
    let mut streamed = Vec::with_capacity(signal.len());
    let start = Instant::now();
    for sample in &signal {
        let x = SeqRef::new(std::slice::from_ref(sample), 1, 1, 1)?; // (T, B, I)
        let y = model.run_with(x, Some(&state), &mut workspace, Threads::one())?;
        streamed.push(y.values().step(0).row(0)[0]);
        state.copy_from(y.state())?;
    }
    let each = start.elapsed() / signal.len() as u32;

    let whole = model.run(SeqRef::new(&signal, signal.len(), 1, 1)?)?;
    assert!(whole.values().flat() == Some(&streamed[..]), "the same bits");
    assert!(whole.state().c() == state.c());
    println!("{} samples, {each:?} each; the same bits as the sequence in one call", signal.len());
    Ok(())
}
