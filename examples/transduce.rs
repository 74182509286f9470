//! Numbers to Roman numerals, 1987 to MCMLXXXVII: an encoder reads the digits, a decoder begins in its last state and tells
//! the letters, both of lengths of their own. The numbers are made here; every seventh is kept for the test.
//!
//!     cargo run --release --example transduce

use elman::loss::{CrossEntropy, IGNORE_INDEX};
use elman::tensor::PackedSequence;
use elman::train::{Fit, FitConfig, Learner, Lesson, Score, TrainingState};
use elman::{Input, LayerKind, Model, ModelSpec, RecurrentSpec, Rng, Threads, Upstream, Workspace};

const LETTERS: &str = "MDCLXVI";
/// Behind the letters: what is told at the end, and what the decoder reads at the beginning.
const END: usize = 7;
const BEGIN: usize = 8;

struct Numerals {
    encoder: Model,
    decoder: Model,
    digits: Vec<Vec<f32>>,
    /// The letters' indices.
    letters: Vec<Vec<f32>>,
}

/// What the decoder reads, what it has to tell, (T, B), and how many letters these are.
type Told = (PackedSequence, Vec<i64>, usize);

impl Numerals {
    fn minibatch(&self, examples: &[usize]) -> elman::Result<(PackedSequence, Told)> {
        let of = |all: fn(&Self, usize) -> &[f32]| examples.iter().map(|&n| all(self, n)).collect::<Vec<_>>();
        let letters = of(|this, n| &this.letters[n]);
        let read: Vec<Vec<f32>> = letters.iter().map(|all| [&[BEGIN as f32], *all].concat()).collect();
        let steps = read.iter().map(Vec::len).max().unwrap_or(0);
        let mut labels = vec![IGNORE_INDEX; steps * examples.len()];
        for (row, all) in letters.iter().enumerate() {
            let told = all.iter().map(|&letter| letter as i64).chain([END as i64]);
            told.enumerate().for_each(|(t, letter)| labels[t * examples.len() + row] = letter);
        }
        let count = read.iter().map(Vec::len).sum();
        let read = PackedSequence::from_rows(&read.iter().map(Vec::as_slice).collect::<Vec<_>>(), 1)?;
        Ok((PackedSequence::from_rows(&of(|this, n| &this.digits[n]), 1)?, (read, labels, count)))
    }
}

impl Learner for Numerals {
    fn models(&mut self) -> Vec<(&str, &mut Model)> {
        vec![("encoder", &mut self.encoder), ("decoder", &mut self.decoder)]
    }

    fn learn(&mut self, examples: &[usize], lesson: &mut Lesson<'_>) -> elman::Result<Score> {
        let (digits, (read, labels, count)) = self.minibatch(examples)?;
        let (mut below, mut above, threads) = (Workspace::default(), Workspace::default(), lesson.threads());
        let encoded = self.encoder.forward_with(&digits, None, lesson.training(), &mut below, threads)?;
        // The decoder reads the right letter before, and not the one that it would have told.
        let state = Some(encoded.state());
        let decoded = self.decoder.forward_with(&read, state, lesson.training(), &mut above, threads)?;
        let (loss, mut d_decoder) =
            decoded.learn_with(&mut CrossEntropy::new(&labels), Upstream::default().want_state())?;
        let mut d_encoder = encoded.backward(Upstream::last_state(d_decoder.state().expect("it was asked for")))?;
        lesson.give(0, d_encoder.parameters_mut())?;
        lesson.give(1, d_decoder.parameters_mut())?;
        Ok(Score::mean(loss, count))
    }

    fn evaluate(&mut self, examples: &[usize], _threads: Threads) -> elman::Result<Score> {
        let (digits, (read, labels, count)) = self.minibatch(examples)?;
        let mut training = TrainingState::new(0);
        let encoded = self.encoder.run(&digits)?;
        let (mut memory, one) = (Workspace::default(), Threads::one());
        let decoded = self.decoder.forward_with(&read, Some(encoded.state()), &mut training, &mut memory, one)?;
        let (loss, _) = decoded.learn(&mut CrossEntropy::new(&labels))?;
        Ok(Score::mean(loss, count))
    }
}

fn main() -> elman::Result<()> {
    let part = |tokens| {
        ModelSpec::new(1).layer("tokens", LayerKind::embedding(tokens, 16)).layer("gru", RecurrentSpec::gru([64]))
    };
    let mut rng = Rng::new(1);
    let encoder = Model::init(part(10), &mut rng)?;
    let decoder = Model::init(part(9).layer("out", LayerKind::linear(8)), &mut rng)?;
    let index = |letter| LETTERS.find(letter).expect("a numeral") as f32;
    let digits =
        (1..2000).map(|n: usize| n.to_string().bytes().map(|digit| f32::from(digit - b'0')).collect()).collect();
    let letters = (1..2000).map(|n| roman(n).chars().map(index).collect()).collect();
    let numerals = Numerals { encoder, decoder, digits, letters };
    let (test, train): (Vec<usize>, Vec<usize>) = (0..1999).partition(|n| n % 7 == 0);
    let config = FitConfig::default().epochs(25).batch(32).lr(0.005).clip_norm(1.0);
    let mut fit = Fit::new(numerals, config, train, Vec::new())?.threads(Threads::one());
    fit.run(&mut |_progress| true)?;

    let Numerals { encoder, decoder, digits, letters } = fit.into_learner();
    let mut right = 0;
    for &n in &test {
        let told = tell(&encoder, &decoder, &digits[n])?;
        right += usize::from(told == letters[n]);
        if n % 350 == 210 {
            let told: String = told.iter().map(|&letter| char::from(LETTERS.as_bytes()[letter as usize])).collect();
            println!("{}: {told}, that is {}", n + 1, roman(n + 1));
        }
    }
    let share = right as f32 / test.len() as f32;
    println!("{:.1} % of {} numerals that it has not seen are right", 100.0 * share, test.len());
    assert!(share > 0.8);
    Ok(())
}

/// The likeliest letter at each step, until the end.
fn tell(encoder: &Model, decoder: &Model, digits: &[f32]) -> elman::Result<Vec<f32>> {
    let (mut state, mut told) = (encoder.run(Input::unbatched(digits, 1)?)?.state().clone(), vec![BEGIN as f32]);
    let mut workspace = Workspace::default();
    while told.len() < 20 {
        let input = Input::unbatched(&told[told.len() - 1..], 1)?;
        let output = decoder.run_with(input, Some(&state), &mut workspace, Threads::one())?;
        let logits = output.values().step(0).row(0);
        let best = (0..logits.len()).fold(0, |best, n| if logits[n] > logits[best] { n } else { best });
        if best == END {
            break;
        }
        told.push(best as f32);
        state = output.state().clone();
    }
    Ok(told.split_off(1))
}

fn roman(mut n: usize) -> String {
    let values = [1000, 900, 500, 400, 100, 90, 50, 40, 10, 9, 5, 4, 1];
    let signs = ["M", "CM", "D", "CD", "C", "XC", "L", "XL", "X", "IX", "V", "IV", "I"];
    let mut all = String::new();
    for (value, sign) in values.into_iter().zip(signs) {
        all += &sign.repeat(n / value);
        n %= value;
    }
    all
}
