//! Why plain RNNs forget: how much the last output depends on the input of each step before, as the norm of a gradient.
//!
//!     cargo run --release --example vanishing

use elman::tensor::Seq;
use elman::train::TrainingState;
use elman::{Gru, Lstm, Model, Readout, Rng, Rnn, Upstream};

const STEPS: usize = 100;

/// The norm of d(last output)/d(input at step t), for every t.
fn norms(model: &Model, x: &Seq) -> elman::Result<Vec<f32>> {
    let run = model.forward(x, &mut TrainingState::new(1))?;
    let mut ones = Seq::zeros(1, 1, model.outputs())?;
    ones.data_mut().fill(1.0);
    let gradients = run.backward(Upstream::output(&ones).want_input())?;
    let d_x = gradients.input().expect("it was asked for");
    Ok((0..STEPS).map(|t| d_x.step(t).row(0).iter().map(|d| d * d).sum::<f32>().sqrt()).collect())
}

fn main() -> elman::Result<()> {
    let mut rng = Rng::new(1);
    let mut x = Seq::zeros(STEPS, 1, 4)?;
    x.data_mut().iter_mut().for_each(|x| *x = rng.uniform(-1.0, 1.0));
    let models = [
        ("RNN", Rnn::builder(4, 64).readout(Readout::Last).model(&mut rng)?),
        ("GRU", Gru::builder(4, 64).readout(Readout::Last).model(&mut rng)?),
        ("LSTM", Lstm::builder(4, 64).readout(Readout::Last).model(&mut rng)?),
        ("LSTM, forget bias 3", Lstm::builder(4, 64).forget_bias(3.0).readout(Readout::Last).model(&mut rng)?),
    ];
    println!("norm of the last output's gradient at the input so many steps before");
    println!("{:<20} {:>9} {:>9} {:>9} {:>9}", "", 0, 10, 30, 90);
    let mut far = Vec::new();
    for (name, model) in &models {
        let norms = norms(model, &x)?;
        let [a, b, c, d] = [0, 10, 30, 90].map(|before| norms[STEPS - 1 - before]);
        println!("{name:<20} {a:>9.1e} {b:>9.1e} {c:>9.1e} {d:>9.1e}");
        far.push(d / a);
    }
    assert!(far[0] < 1e-6 && far[3] > 1e3 * far[0], "an RNN forgets, an LSTM that is told to remember does less so");
    Ok(())
}
