//! Sex to names: a network that reads a sex and then the letters so far tells the next letter, and so writes names that there
//! may not be. Its score is how many bits it needs for a letter of a name that it has not seen, beside counts of pairs.
//!
//!     cargo run --release --example generate

use elman::train::{Fit, FitConfig, Learner, Supervised, Targets};
use elman::{LayerKind, Model, ModelSpec, RecurrentSpec, Rng, Stream, Threads};

/// What is told behind the last letter; as inputs, the sexes stand behind the letters.
const END: usize = 26;
const SEXES: [&str; 2] = ["female", "male"];

fn main() -> elman::Result<()> {
    let lines = include_str!("data/names.tsv").lines().filter_map(|line| line.split_once('\t'));
    let letters = |name: &str| name.bytes().map(|letter| usize::from(letter.to_ascii_lowercase() - b'a')).collect();
    let names: Vec<(usize, Vec<usize>)> =
        lines.map(|(sex, name)| (26 + usize::from(sex == SEXES[1]), letters(name))).collect();
    // Read: the sex and the letters. Told: the letters and the end.
    let read = |(sex, name): &(usize, Vec<usize>)| [*sex].iter().chain(name).map(|&n| n as f32).collect::<Vec<_>>();
    let told = |(_, name): &(usize, Vec<usize>)| name.iter().chain([&END]).map(|&n| n as i64).collect::<Vec<_>>();
    let (x, y): (Vec<_>, Vec<_>) = names.iter().map(|name| (read(name), told(name))).unzip();
    let mut rng = Rng::new(1);
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_by_cached_key(|_| rng.below(1 << 30));
    let (test, rest) = order.split_at(names.len() / 10);
    let (valid, train) = rest.split_at(names.len() / 10);

    let spec = ModelSpec::new(1)
        .layer("letters", LayerKind::embedding(28, 32))
        .layer("gru", RecurrentSpec::gru([64]))
        .layer("next", LayerKind::linear(27));
    let learner = Supervised::new(Model::init(spec, &mut rng)?, x.clone(), Targets::Classes(y.clone()))?;
    let config = FitConfig::default().epochs(12).lr(0.005).clip_norm(1.0).patience(3);
    let mut fit = Fit::new(learner, config, train.into(), valid.into())?.threads(Threads::available());
    fit.run(&mut |_progress| true)?;

    let mut learner = fit.into_learner(); // with the weights of the best epoch
    let bits = learner.evaluate(test, Threads::one())?.loss() / std::f64::consts::LN_2;
    let pairs = bits_of_pairs(&x, &y, train, test);
    println!("{bits:.3} bits a letter; counts of pairs {pairs:.3}");
    assert!(bits < pairs - 0.3);

    let mut stream = Stream::new(learner.model().clone())?;
    for (n, sex) in SEXES.iter().enumerate() {
        let written = (0..6).map(|_| write(&mut stream, 26 + n, &mut rng)).collect::<elman::Result<Vec<_>>>()?;
        println!("{sex}: {}", written.join(", "));
        assert!(written.iter().any(|name| (3..12).contains(&name.len())));
    }
    Ok(())
}

/// A name, each letter drawn with the probability that the network gives it.
fn write(stream: &mut Stream, sex: usize, rng: &mut Rng) -> elman::Result<String> {
    let (mut logits, mut next, mut name) = ([0.0; 27], sex, String::new());
    stream.reset();
    while name.len() < 20 {
        stream.step_index(next as u32, &mut logits)?;
        let most = logits.iter().copied().fold(f32::MIN, f32::max);
        let weights = logits.map(|logit| (logit - most).exp());
        let mut left = rng.unit() as f32 * weights.iter().sum::<f32>();
        next = weights.iter().position(|w| (left -= w, left < 0.0).1).unwrap_or(END);
        if next == END {
            break;
        }
        name.push(char::from(b'a' + next as u8));
    }
    Ok(name)
}

/// The same of probabilities that are counts, one more than there are, of what follows what.
fn bits_of_pairs(x: &[Vec<f32>], y: &[Vec<i64>], train: &[usize], test: &[usize]) -> f64 {
    let pairs =
        |n: &usize| x[*n].iter().map(|&x| x as usize).zip(y[*n].iter().map(|&y| y as usize)).collect::<Vec<_>>();
    let mut counts = [[1.0_f64; 27]; 28];
    train.iter().flat_map(pairs).for_each(|(x, y)| counts[x][y] += 1.0);
    let each: Vec<f64> =
        test.iter().flat_map(pairs).map(|(x, y)| -(counts[x][y] / counts[x].iter().sum::<f64>()).log2()).collect();
    each.iter().sum::<f64>() / each.len() as f64
}
