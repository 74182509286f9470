//! A loss of one's own: the quantile or 'pinball' loss, by which a network learns a bound that nine in ten values stay under.
//!
//!     cargo run --release --example own_loss

use elman::optim::{Adam, AdamConfig};
use elman::tensor::{Seq, SeqMut, SeqRef};
use elman::train::Trainer;
use elman::{Gru, Rng};

const QUANTILE: f32 = 0.9;

/// A wave, and beside it the same wave under noise that grows with it.
fn draw(rng: &mut Rng) -> elman::Result<[Seq; 2]> {
    let wave = |i: usize| (i as f32 * 0.2).sin();
    let x: Vec<f32> = (0..200 * 16).map(|i| wave(i / 16 + 7 * (i % 16))).collect();
    let noisy: Vec<f32> = x.iter().map(|x| x + rng.normal(0.0, 0.1 + 0.1 * x.abs())).collect();
    Ok([Seq::from_slice(&x, 200, 16, 1)?, Seq::from_slice(&noisy, 200, 16, 1)?])
}

fn main() -> elman::Result<()> {
    let mut rng = Rng::new(1);
    let mut model = Gru::builder(1, 16).linear("fc", 1).model(&mut rng)?;
    let mut trainer = Trainer::new(Adam::new(model.params(), AdamConfig::default().lr(0.01))?).clip_norm(1.0);
    for _ in 0..300 {
        let [x, target] = draw(&mut rng)?;
        // What lies above the bound costs QUANTILE times its distance, what lies below the rest: it reads the output, writes
        // the gradient, and gives the loss.
        let mut pinball = |y: SeqRef<'_>, mut d_y: SeqMut<'_>| {
            let [steps, rows, _] = y.shape();
            let (n, mut sum) = ((steps * rows) as f32, 0.0);
            for t in 0..steps {
                for row in 0..rows {
                    let above = target.view().step(t).row(row)[0] - y.step(t).row(row)[0];
                    let slope = if above > 0.0 { -QUANTILE } else { 1.0 - QUANTILE };
                    d_y.step(t).row(row)[0] = slope / n;
                    sum -= slope * above / n;
                }
            }
            Ok(sum)
        };
        trainer.step(&mut model, &x, &mut pinball)?;
    }
    let [x, target] = draw(&mut rng)?;
    let bound = model.run(&x)?;
    let pairs = bound.values().flat().expect("a whole output").iter().zip(target.data());
    let share = pairs.filter(|(bound, value)| value <= bound).count() as f32 / target.data().len() as f32;
    println!("{:.1} % of new values stay under the bound; asked for {:.0} %", 100.0 * share, 100.0 * QUANTILE);
    assert!((share - QUANTILE).abs() < 0.05);
    Ok(())
}
