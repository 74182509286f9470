//! An encoder reads a sequence of digits to its end, a decoder writes it backwards: two parts of one model, trained together,
//! the decoder's gradient handed to the encoder by way of the state between them. In training the decoder reads at each step
//! the right digit of the step before, and not the one that it would have written: teacher forcing.
//!
//!     cargo run --release --example encoder_decoder

use elman::loss::CrossEntropy;
use elman::optim::{Adam, AdamConfig, Optimizer, clip_grad_norm};
use elman::train::TrainingState;
use elman::{Input, LayerKind, Model, ModelSpec, RecurrentSpec, Rng, Threads, Upstream, Workspace};

const DIGITS: usize = 10;
const LENGTH: usize = 4;
const ROWS: usize = 64;

fn main() -> elman::Result<()> {
    let gru = || RecurrentSpec::gru(vec![96]);
    let part = || ModelSpec::new(1).layer("digits", LayerKind::embedding(DIGITS + 1, 16)).layer("gru", gru());
    let spec =
        ModelSpec::new(1).part("encoder", part()).part("decoder", part().layer("out", LayerKind::linear(DIGITS)));
    let mut rng = Rng::new(1);
    let mut model = Model::init(spec, &mut rng)?;
    let adam = |name| Adam::new(model.part(name).expect("made above").params(), AdamConfig::default().lr(0.004));
    let (mut encoders, mut decoders) = (adam("encoder")?, adam("decoder")?);
    let (mut training, mut read, mut write) = (TrainingState::new(1), Workspace::default(), Workspace::default());
    let (one, mut right) = (Threads::one(), 0.0);
    for step in 1..=600 {
        // (T, B): digits, the same backwards, and that again one step later, behind a sign to begin.
        let x: Vec<u32> = (0..LENGTH * ROWS).map(|_| rng.below(DIGITS) as u32).collect();
        let labels: Vec<i64> =
            (0..LENGTH).rev().flat_map(|t| x[t * ROWS..][..ROWS].iter().map(|&d| d.into())).collect();
        let shifted: Vec<u32> =
            [DIGITS as u32; ROWS].into_iter().chain(labels.iter().map(|&d| d as u32)).take(LENGTH * ROWS).collect();

        let [encoder, decoder] = ["encoder", "decoder"].map(|name| model.part(name).expect("made above"));
        let [x, shifted] = [Input::indices(&x, LENGTH, ROWS)?, Input::indices(&shifted, LENGTH, ROWS)?];
        let encoded = encoder.forward_with(x, None, &mut training, &mut read, one)?;
        let decoded = decoder.forward_with(shifted, Some(encoded.state()), &mut training, &mut write, one)?;
        right = share_right(decoded.output().flat().expect("a whole output"), &labels);
        let (loss, mut d_decoder) =
            decoded.learn_with(&mut CrossEntropy::new(&labels), Upstream::default().want_state())?;
        let mut d_encoder = encoded.backward(Upstream::last_state(d_decoder.state().expect("it was asked for")))?;
        clip_grad_norm(d_encoder.parameters_mut(), 1.0)?;
        clip_grad_norm(d_decoder.parameters_mut(), 1.0)?;
        encoders.step(&mut model.part_mut("encoder").expect("made above").params_mut(), d_encoder.parameters())?;
        decoders.step(&mut model.part_mut("decoder").expect("made above").params_mut(), d_decoder.parameters())?;
        if step % 100 == 0 {
            println!("step {step}: loss {loss:.3}, {:.1} % of the digits right", 100.0 * right);
        }
    }
    assert!(right > 0.9, "a tenth would be chance");
    Ok(())
}

/// Of the rows of logits, how many are largest at their label.
fn share_right(logits: &[f32], labels: &[i64]) -> f32 {
    let best = |(row, label): &(&[f32], &i64)| row.iter().all(|&logit| logit <= row[**label as usize]);
    let right = logits.chunks_exact(DIGITS).zip(labels).filter(best).count();
    right as f32 / labels.len() as f32
}
