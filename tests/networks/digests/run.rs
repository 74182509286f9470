//! How the work of the grid is run: the only one of these files that calls the library, besides [`Case`].
//!
//! Weights and inputs are drawn here, in PyTorch's order, and not by the library's own initialisation: what is frozen is
//! arithmetic, and nothing else may move a digest.

use super::grid::{CellKind, Network, Work};
use super::{Digests, fnv1a};
use crate::network::{Case, FORWARD};
use elman::internals::{Cell, Kernels, Linear, LinearScratch, NetworkConfig, RecurrentWorkspace};
use elman::loss::{CrossEntropy, IGNORE_INDEX, Loss, MeanSquaredError, mse};
use elman::optim::{Adam, AdamConfig, Optimizer, Sgd, SgdConfig};
use elman::params::ParamTable;
use elman::tensor::Seq;
use elman::train::Trainer;
use elman::{Gru, Lstm, ModelBuilder, Nonlinearity, Params, Rng, Rnn, Threads};

impl Work {
    /// A head by itself takes the active tier, the one that `ELMAN_ISA` names, and no other.
    pub(super) fn runs_on(&self, kernels: &Kernels) -> bool {
        let active = Kernels::active().unwrap().isa() == kernels.isa();
        active || !matches!(self, Work::Linear { .. })
    }

    pub(super) fn run(&self, kernels: &'static Kernels, threads: Threads) -> Digests {
        match *self {
            Work::Network(network) => run_network(&network, kernels, threads),
            Work::Linear { rows, input, output } => run_linear(rows, input, output),
            Work::Mse { rows, width } => run_mse(rows, width),
            Work::CrossEntropy { rows, classes } => run_cross_entropy(rows, classes, kernels),
            Work::Train { cell, adam } => run_training(cell, adam, kernels, threads),
        }
    }
}

fn uniform(rng: &mut Rng, bound: f32, n: usize) -> Vec<f32> {
    (0..n).map(|_| rng.uniform(-bound, bound)).collect()
}

fn sequence(rng: &mut Rng, [steps, batch, width]: [usize; 3]) -> Seq {
    Seq::from_slice(&uniform(rng, 1.0, steps * batch * width), steps, batch, width).unwrap()
}

/// Of what gives the same outputs in training because there is no other way.
fn digests(outputs: &[&[f32]], gradients: &[&[f32]]) -> Digests {
    let outputs = fnv1a(outputs.iter().copied());
    Digests { outputs, training_outputs: outputs, gradients: fnv1a(gradients.iter().copied()) }
}

fn cell(kind: CellKind) -> Cell {
    match kind {
        CellKind::Tanh => Cell::Elman(Nonlinearity::Tanh),
        CellKind::Relu => Cell::Elman(Nonlinearity::Relu),
        CellKind::Gru => Cell::Gru,
        CellKind::Lstm | CellKind::Projected => Cell::Lstm,
    }
}

/// All parameters of a network: `weight_ih`, `weight_hh`, the biases and `weight_hr` of each layer and direction. A little
/// more than PyTorch's bound, so that gates and tanh leave the range where they are straight.
fn weights(network: &Network, rng: &mut Rng) -> Vec<f32> {
    let Network { cell, layers, hidden, .. } = *network;
    let (gates, directions, state) = (cell.gates(), network.directions(), network.state());
    let bias = if network.has("no-bias") { 0 } else { 2 * gates * hidden };
    let elements = (0..layers).map(|layer| {
        let input = if layer == 0 { network.input } else { directions * state };
        directions * (gates * hidden * (input + state) + bias + network.projection() * hidden)
    });
    uniform(rng, 1.5 / (hidden as f32).sqrt(), elements.sum())
}

fn case(network: &Network) -> Case {
    let Network { layers, hidden, input, batch, steps, .. } = *network;
    let mut rng = Rng::new(1);
    let params = weights(network, &mut rng);
    // One row has all steps: the lengths of a few could all be 0 or 1, and say nothing of the recurrence.
    let mut length = |row| if row + 1 == batch { steps } else { rng.below(steps + 1) };
    let lengths = network.has("packed").then(|| (0..batch).map(&mut length).collect());
    let resets = network.has("resets").then(|| (0..steps * batch).map(|_| rng.below(4) == 0).collect());
    let config = NetworkConfig {
        bias: !network.has("no-bias"),
        batch_first: network.has("batch-first"),
        bidirectional: network.has("both"),
        proj_size: network.projection(),
        ..NetworkConfig::new(cell(network.cell), input, vec![hidden; layers])
    };
    let mut draw = |n| uniform(&mut rng, 1.0, n);
    let x = draw(steps * batch * input);
    let d_y = draw(steps * batch * network.directions() * network.state());
    let (given, states) = (network.has("state"), layers * network.directions() * batch);
    let (h, c) = (given, given && config.cell == Cell::Lstm);
    let mut state = || (h.then(|| draw(states * network.state())), c.then(|| draw(states * hidden)));
    let ((h_0, c_0), (d_h_n, d_c_n)) = (state(), state());
    let unbatched = network.has("unbatched");
    // Of dropout, which there is none of.
    let seed = 0;
    Case { config, steps, batch, lengths, unbatched, resets, params, x, h_0, c_0, d_y, d_h_n, d_c_n, seed }
}

/// A network forward, and in training forward and backward.
fn run_network(network: &Network, kernels: &'static Kernels, threads: Threads) -> Digests {
    let (case, mut pass) = (case(network), RecurrentWorkspace::default());
    let inferred = case.infer(kernels, threads, &mut pass);
    let trained = case.run(kernels, threads, &mut pass);
    // All that the forward run does not give is a gradient.
    let gradients = trained.0.iter().filter(|(name, _)| !FORWARD.contains(&&name[..]));
    Digests {
        outputs: fnv1a(FORWARD.map(|name| inferred.get(name))),
        training_outputs: fnv1a(FORWARD.map(|name| trained.get(name))),
        gradients: fnv1a(gradients.map(|(_, values)| &values[..])),
    }
}

fn run_linear(rows: usize, input: usize, output: usize) -> Digests {
    let mut rng = Rng::new(2);
    let mut table = ParamTable::new();
    let mut linear = Linear::new(&mut table, "linear", input, output).unwrap();
    let mut params = Params::zeros(table);
    let drawn = uniform(&mut rng, 1.0 / (input as f32).sqrt(), input * output + output);
    params.data_mut().copy_from_slice(&drawn);
    linear.load(&params).unwrap();
    let (x, d_y) = (sequence(&mut rng, [1, rows, input]), sequence(&mut rng, [1, rows, output]));
    let (mut y, mut d_x) = (Seq::default(), Seq::default());
    let (mut gradients, mut scratch) = (params.zeros_like(), LinearScratch::default());
    linear.forward(x.view(), &mut y, &mut scratch).unwrap();
    linear.backward(&params, x.view(), d_y.view(), &mut gradients, Some(&mut d_x), &mut scratch).unwrap();
    digests(&[y.data()], &[d_x.data(), gradients.data()])
}

fn run_mse(rows: usize, width: usize) -> Digests {
    let mut rng = Rng::new(3);
    let [prediction, target] = [(); 2].map(|()| sequence(&mut rng, [1, rows, width]));
    let mut d_prediction = Seq::default();
    let loss = mse(prediction.view(), target.view(), &mut d_prediction).unwrap();
    digests(&[&[loss]], &[d_prediction.data()])
}

fn run_cross_entropy(rows: usize, classes: usize, kernels: &'static Kernels) -> Digests {
    let mut rng = Rng::new(4);
    let logits = sequence(&mut rng, [1, rows, classes]);
    let class = |row| if row % 3 == 1 { IGNORE_INDEX } else { rng.below(classes) as i64 };
    let targets: Vec<i64> = (0..rows).map(class).collect();
    let mut d_logits = Seq::zeros(1, rows, classes).unwrap();
    let mut loss = CrossEntropy::new(&targets).isa(kernels.isa());
    let loss = loss.evaluate((&logits).into(), d_logits.view_mut()).unwrap();
    digests(&[&[loss]], &[d_logits.data()])
}

/// Twenty steps on one batch: the losses, and the parameters in the end.
fn run_training(kind: CellKind, adam: bool, kernels: &'static Kernels, threads: Threads) -> Digests {
    let [steps, batch, input, hidden, outputs] = [10, 7, 3, 33, 2];
    let mut rng = Rng::new(5);
    let builder: ModelBuilder = match kind {
        CellKind::Tanh => Rnn::builder(input, hidden).into(),
        CellKind::Relu => Rnn::builder(input, hidden).nonlinearity(Nonlinearity::Relu).into(),
        CellKind::Gru => Gru::builder(input, hidden).into(),
        CellKind::Lstm => Lstm::builder(input, hidden).into(),
        CellKind::Projected => Lstm::builder(input, hidden).proj_size(17).into(),
    };
    let mut model = builder.linear("linear", outputs).isa(kernels.isa()).model(&mut Rng::new(0)).unwrap();
    let drawn = uniform(&mut rng, 1.0 / (hidden as f32).sqrt(), model.params().data().len());
    model.params_mut().data_mut().copy_from_slice(&drawn);
    let optimizer: Box<dyn Optimizer> = if adam {
        let config = AdamConfig::default().lr(0.01).weight_decay(0.01).isa(kernels.isa());
        Box::new(Adam::new(model.params(), config).unwrap())
    } else {
        let config = SgdConfig::default().lr(0.1).momentum(0.9).weight_decay(0.01).isa(kernels.isa());
        Box::new(Sgd::new(model.params(), config).unwrap())
    };
    let mut trainer = Trainer::new(optimizer).threads(threads);
    let (x, target) = (sequence(&mut rng, [steps, batch, input]), sequence(&mut rng, [steps, batch, outputs]));
    let mut step = |_| trainer.step(&mut model, &x, &mut MeanSquaredError::new(&target)).unwrap();
    let losses: Vec<f32> = (0..20).map(&mut step).collect();
    digests(&[&losses], &[model.params().data()])
}
