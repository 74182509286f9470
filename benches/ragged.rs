//! What does a token of a ragged batch cost, beside one of a dense batch with as many tokens?
//!
//! 64 rows, lengths uniform in 50..200, H 128, packed; the dense batch has 64 rows of the mean length. The two take turns
//! in one run; medians. Training is forward and backward.

mod common;

use std::time::Instant;

use common::arguments::asked;
use common::{CELLS, thread_counts};
use elman::internals::{BackwardArgs, NetworkConfig, Recurrent, RecurrentWorkspace};
use elman::params::ParamTable;
use elman::tensor::{PackedSequence, Seq};
use elman::{Input, Params, Rng, Threads};

const ROWS: usize = 64;
const HIDDEN: usize = 128;

/// A batch, the gradient at its output, and the memory it runs in.
struct Contestant<'a> {
    input: Input<'a>,
    d_output: Input<'a>,
    pass: RecurrentWorkspace,
}

fn main() {
    let (smoke, wanted) = asked("ragged", "a cell", &CELLS.map(|(name, _)| name));
    let rounds = if smoke { 1 } else { 25 };
    let mut rng = Rng::new(1);
    let mut lengths: Vec<usize> = (0..ROWS).map(|_| 50 + rng.below(151)).collect();
    // The mean is a whole number of steps: the last row makes up for the rest.
    let total: usize = lengths[..ROWS - 1].iter().sum();
    lengths[ROWS - 1] = (50..).find(|length| (total + length).is_multiple_of(ROWS)).expect("one of 64");
    let steps = lengths.iter().sum::<usize>() / ROWS;
    println!("{ROWS} rows, H {HIDDEN}, {steps} steps on average; medians of {rounds} turns, µs a token");
    println!(
        "{:>6} {:>8} | {:>28} | {:>28}",
        "cell", "threads", "infer: dense, ragged, ratio", "train: dense, ragged, ratio"
    );
    for (name, cell) in CELLS.into_iter().filter(|(name, _)| wanted.contains(name)) {
        let mut layout = ParamTable::new();
        let config = NetworkConfig::new(cell, HIDDEN, vec![HIDDEN]);
        let mut network = Recurrent::new(config, &mut layout, "").expect("valid sizes");
        let mut params = Params::zeros(layout);
        network.init(&mut params, &mut rng);
        network.load(&params).expect("its own parameters");

        let longest = lengths.iter().copied().max().expect("64 rows");
        let mut padded = Seq::zeros(longest, ROWS, HIDDEN).expect("a small batch");
        padded.data_mut().iter_mut().for_each(|x| *x = rng.uniform(-1.0, 1.0));
        let mut d_padded = Seq::zeros(longest, ROWS, HIDDEN).expect("a small batch");
        d_padded.data_mut().fill(1e-3);
        let pack = |seq: &Seq| PackedSequence::from_padded(seq.view(), &lengths).expect("lengths that fit");
        let (x, d_y) = (pack(&padded), pack(&d_padded));
        let [dense_x, dense_d_y] = [&padded, &d_padded].map(|seq| seq.view().narrow_steps(0, steps));
        check(&network, &padded, &x, &lengths);
        let mut contestants = [
            Contestant { input: dense_x.into(), d_output: dense_d_y.into(), pass: RecurrentWorkspace::default() },
            Contestant { input: (&x).into(), d_output: (&d_y).into(), pass: RecurrentWorkspace::default() },
        ];
        for threads in thread_counts() {
            let mut times = [const { Vec::new() }; 4];
            let mut gradients = params.zeros_like();
            for turn in 0..=rounds {
                for (i, contestant) in contestants.iter_mut().enumerate() {
                    let infer = time(|| infer(&network, contestant, threads));
                    let train = time(|| train(&network, &params, contestant, &mut gradients, threads));
                    if turn > 0 {
                        times[i].push(infer);
                        times[2 + i].push(train);
                    }
                }
            }
            let [dense, ragged, train_dense, train_ragged] = times.map(|mut times| {
                times.sort_by(f64::total_cmp);
                1e6 * times[times.len() / 2] / (ROWS * steps) as f64
            });
            let show = |dense: f64, ragged: f64| format!("{dense:.3}, {ragged:.3}, {:.3}", ragged / dense);
            let (infer, train) = (show(dense, ragged), show(train_dense, train_ragged));
            println!("{name:>6} {:>8} | {infer:>28} | {train:>28}", threads.get());
        }
    }
}

fn infer(network: &Recurrent, contestant: &mut Contestant<'_>, threads: Threads) {
    network.forward(contestant.input, None, &mut contestant.pass, threads).expect("shapes that fit");
}

fn train(
    network: &Recurrent,
    params: &Params,
    contestant: &mut Contestant<'_>,
    gradients: &mut Params,
    threads: Threads,
) {
    let Contestant { input, d_output, pass } = contestant;
    network.forward_training(*input, None, 1, pass, threads).expect("shapes that fit");
    let (input, d_output) = (*input, *d_output);
    let args =
        BackwardArgs { input, state: None, d_output, d_state_n: None, wants_d_input: false, wants_d_state_0: false };
    network.backward(params, args, gradients, pass, threads).expect("shapes that fit");
}

/// The packed batch gives each row what the padded one does, to the bit.
fn check(network: &Recurrent, padded: &Seq, packed: &PackedSequence, lengths: &[usize]) {
    let [mut a, mut b] = [RecurrentWorkspace::default(), RecurrentWorkspace::default()];
    network.forward(padded, None, &mut a, Threads::one()).expect("shapes that fit");
    network.forward(packed, None, &mut b, Threads::one()).expect("shapes that fit");
    let y = b.packed_output().to_padded(padded.shape()[0]).expect("as many steps");
    for (row, &length) in lengths.iter().enumerate() {
        let same = (0..length).all(|t| a.output().step(t).row(row) == y.view().step(t).row(row));
        assert!(same, "row {row} is wrong");
    }
}

/// Seconds.
fn time(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}
