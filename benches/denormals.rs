//! What do denormal numbers cost, forward and in training, on each tier and one thread?
//!
//! H 128, T 100. The same layer runs with ordinary numbers and with numbers scaled down so that states, sums, products or
//! gradients are denormal, in turns in one run; medians. The shares are counted: of `y` and of the gradients of the
//! weights that are denormal, the rest being zero where the products of two small numbers underflow.
//!
//! `cargo bench --bench denormals -- avx2` runs one tier alone.

#[path = "common/arguments.rs"]
mod arguments;

use std::time::Instant;

use arguments::asked;
use elman::Nonlinearity;
use elman::internals::{BackwardArgs, Cell, Kernels, NetworkConfig, Recurrent, RecurrentWorkspace};
use elman::params::ParamTable;
use elman::tensor::Seq;
use elman::{Params, Rng, State, Threads};

const HIDDEN: usize = 128;
const STEPS: usize = 100;

const CELLS: [(&str, Cell); 4] = [
    ("relu", Cell::Elman(Nonlinearity::Relu)),
    ("tanh", Cell::Elman(Nonlinearity::Tanh)),
    ("GRU", Cell::Gru),
    ("LSTM", Cell::Lstm),
];

/// What is small.
#[derive(Clone, Copy)]
struct Scenario {
    name: &'static str,
    /// Factors of the weights, of the input, and of the output's gradient.
    weights: f32,
    inputs: f32,
    d_y: f32,
    /// Factor of the biases and of the first state; that of the weights times that of the input where it is none.
    biases: Option<f32>,
    /// The bias of the gates that are to be e^-90; 0 for none.
    gates: f32,
    /// Whether nearly all of y and of the weights' gradients are denormal: checked.
    expects: [bool; 2],
}

impl Scenario {
    fn biases(&self) -> f32 {
        self.biases.unwrap_or(self.weights * self.inputs)
    }
}

/// Products of small numbers and of the weights, some 0.05, are denormal, and still have many bits.
const SMALL: f32 = 1e-39;
/// Sums over 6400 rows are still denormal.
const SMALLER: f32 = 2e-41;

const ORDINARY: Scenario =
    Scenario { name: "ordinary", weights: 1.0, inputs: 1.0, d_y: 1.0, biases: None, gates: 0.0, expects: [false; 2] };

const SCENARIOS: [Scenario; 7] = [
    ORDINARY,
    // x, z, h and c are denormal, and so are all products of the forward pass.
    Scenario { name: "states", inputs: SMALL, expects: [true, false], ..ORDINARY },
    // d_z, d_h and all gradients of the weights are denormal.
    Scenario { name: "gradients", d_y: SMALLER, expects: [false, true], ..ORDINARY },
    // All of these at once: what goes into the gradients of the weights underflows.
    Scenario { name: "both", inputs: SMALL, d_y: SMALLER, expects: [true, false], ..ORDINARY },
    // Denormal weights; what passes from step to step underflows.
    Scenario { name: "weights", weights: SMALL, inputs: 1.0, d_y: SMALLER, expects: [true, false], ..ORDINARY },
    // Every operand is an ordinary number, every product of two of them denormal: weights and biases of some 1e-20, and so
    // are input and states.
    Scenario { name: "products", weights: 2e-19, inputs: 2e-20, biases: Some(2e-19), ..ORDINARY },
    // Gates that are closed so far that they are denormal: i and f of an LSTM, r and z of a GRU.
    Scenario { name: "gates", gates: -90.0, ..ORDINARY },
];

/// One scenario's network, data and memory.
struct Contestant {
    network: Recurrent,
    params: Params,
    gradients: Params,
    x: Seq,
    d_y: Seq,
    state: State,
    pass: RecurrentWorkspace,
    times: [Vec<f64>; 2],
}

impl Contestant {
    fn new(cell: Cell, kernels: &'static Kernels, batch: usize, scenario: Scenario) -> Self {
        let mut layout = ParamTable::new();
        let config = NetworkConfig { kernels: Some(kernels), ..NetworkConfig::new(cell, HIDDEN, vec![HIDDEN]) };
        let mut network = Recurrent::new(config, &mut layout, "").expect("valid sizes");
        let mut params = Params::zeros(layout);
        let mut rng = Rng::new(1);
        network.init(&mut params, &mut rng);
        // A relu that is positive everywhere has no zeros beside the denormals; rows that sum to 1/2 do not blow up.
        let positive = cell == Cell::Elman(Nonlinearity::Relu);
        let small = |value: f32| if positive { value.abs() / (HIDDEN as f32).sqrt() } else { value };
        for name in ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"] {
            let (shape, values) = params.named(name).expect("a layer's parameter");
            let factor = if name.starts_with("bias") { scenario.biases() } else { scenario.weights };
            let mut values: Vec<f32> = values.iter().map(|&value| small(value) * factor).collect();
            if name == "bias_ih_l0" && scenario.gates != 0.0 {
                // i and f, or r and z: the first two gates.
                values[..2 * HIDDEN].fill(scenario.gates);
            }
            let shape = shape.to_vec();
            params.set(name, &shape, &values).expect("its own shape");
        }
        network.load(&params).expect("its own parameters");
        let mut draw = |steps, low, factor: f32| {
            let mut seq = Seq::zeros(steps, batch, HIDDEN).expect("a small batch");
            seq.data_mut().iter_mut().for_each(|x| *x = factor * rng.uniform(low, 1.0));
            seq
        };
        let low = if positive { 0.1 } else { -1.0 };
        let (x, d_y) = (draw(STEPS, low, scenario.inputs), draw(STEPS, -1.0, scenario.d_y));
        let first = draw(1, low, scenario.biases());
        let mut state = network.zero_state(batch).expect("a small batch");
        state.h_mut().copy_from_slice(first.data());
        if cell == Cell::Lstm {
            state.c_mut().copy_from_slice(first.data());
        }
        let gradients = params.zeros_like();
        Self {
            network,
            params,
            gradients,
            x,
            d_y,
            state,
            pass: RecurrentWorkspace::default(),
            times: [const { Vec::new() }; 2],
        }
    }

    fn infer(&mut self) {
        let Self { network, x, state, pass, .. } = self;
        network.forward(&*x, Some(state), pass, Threads::one()).expect("shapes that fit");
    }

    fn train(&mut self) {
        let Self { network, params, gradients, x, d_y, state, pass, .. } = self;
        // Gradients are added to what is there, which would not stay denormal.
        gradients.data_mut().fill(0.0);
        network.forward_training(&*x, Some(state), 1, pass, Threads::one()).expect("shapes that fit");
        let (input, d_output, state) = ((&*x).into(), (&*d_y).into(), Some(&*state));
        let args = BackwardArgs { input, state, d_output, d_state_n: None, wants_d_input: true, wants_d_state_0: true };
        network.backward(params, args, gradients, pass, Threads::one()).expect("shapes that fit");
    }

    /// The share of denormals in y, and in the gradients of the weights.
    fn shares(&mut self) -> [f64; 2] {
        // Whose output can be read: a backward pass uses up the run before it.
        self.infer();
        let y = (0..STEPS).flat_map(|t| {
            let step = self.pass.output().step(t);
            (0..step.shape()[0]).flat_map(|row| step.row(row).to_vec()).collect::<Vec<_>>()
        });
        let weights = ["weight_ih_l0", "weight_hh_l0"].map(|name| self.gradients.named(name).expect("a parameter").1);
        [share(y), share(weights.concat().into_iter())]
    }
}

fn share(values: impl Iterator<Item = f32>) -> f64 {
    let (mut all, mut denormal) = (0, 0);
    for value in values {
        all += 1;
        denormal += usize::from(value.is_subnormal());
    }
    denormal as f64 / all as f64
}

fn main() {
    let known: Vec<&str> = Kernels::available().map(|kernels| kernels.isa().name()).collect();
    let (smoke, tiers) = asked("denormals", "a tier of this machine", &known);
    let rounds = if smoke { 1 } else { 11 };
    // Where denormals are left to microcode, batches take a minute each.
    let batches = if smoke { &[1][..] } else { &[64, 1] };
    println!(
        "H {HIDDEN}, T {STEPS}, 1 thread; medians of {rounds} turns: times of the ordinary run, and share of denormals"
    );
    println!(
        "{:>8} {:>4} {:>4}  {:<10} {:>10} {:>6} {:>6}   {:>10} {:>6} {:>6}",
        "tier", "cell", "B", "small", "infer ms", "ratio", "y", "train ms", "ratio", "d_W"
    );
    let mut worst = (0.0, String::new());
    for kernels in Kernels::available().filter(|one| tiers.contains(&one.isa().name())) {
        for (name, cell) in CELLS {
            for &batch in batches {
                let what = format!("{:>8} {name:>4} {batch:>4}", kernels.isa().name());
                let slowest = run(kernels, cell, batch, rounds, &what);
                if slowest.0 > worst.0 {
                    worst = (slowest.0, format!("{what}, {}", slowest.1));
                }
            }
        }
    }
    println!("the worst: {:.2} times, {}", worst.0, worst.1.trim_start());
}

/// Prints every scenario's times; gives the largest ratio, and of what.
fn run(kernels: &'static Kernels, cell: Cell, batch: usize, rounds: usize, what: &str) -> (f64, String) {
    let gated = !matches!(cell, Cell::Elman(_));
    let scenarios = SCENARIOS.iter().filter(|scenario| gated || scenario.gates == 0.0);
    let mut contestants: Vec<(&Scenario, Contestant)> =
        scenarios.map(|scenario| (scenario, Contestant::new(cell, kernels, batch, *scenario))).collect();
    // Passes too short for the clock, and for a thread that is put aside for a while, run many times.
    let repeats = if rounds == 1 { 1 } else { 64 / batch };
    // The first turn warms up, where there are more.
    let first = if rounds == 1 { 1 } else { 0 };
    for turn in first..=rounds {
        for (_, contestant) in &mut contestants {
            let infer = time(repeats, || contestant.infer());
            let train = time(repeats, || contestant.train());
            if turn > 0 {
                contestant.times[0].push(infer);
                contestant.times[1].push(train);
            }
        }
    }
    let (mut ordinary, mut worst) = (None, (0.0, String::new()));
    for (scenario, contestant) in &mut contestants {
        let times = contestant.times.each_mut().map(|times| {
            times.sort_by(f64::total_cmp);
            times[times.len() / 2]
        });
        let base = *ordinary.get_or_insert(times);
        let [infer, train] = [times[0] / base[0], times[1] / base[1]];
        let [y, d_weights] = contestant.shares();
        println!(
            "{what}  {:<10} {:>10.4} {infer:>6.2} {:>5.0}%   {:>10.4} {train:>6.2} {:>5.0}%",
            scenario.name,
            1e3 * times[0],
            100.0 * y,
            1e3 * times[1],
            100.0 * d_weights
        );
        for (ratio, pass) in [(infer, "inference"), (train, "training")] {
            if ratio > worst.0 {
                worst = (ratio, format!("{}, {pass}", scenario.name));
            }
        }
        for (share, (expected, of)) in [y, d_weights].into_iter().zip(scenario.expects.into_iter().zip(["y", "d_W"])) {
            assert!(!expected || share > 0.9, "{what}: {}: only {share} of {of} is denormal", scenario.name);
        }
    }
    worst
}

/// Seconds of one of several.
fn time(repeats: usize, mut work: impl FnMut()) -> f64 {
    let start = Instant::now();
    (0..repeats).for_each(|_| work());
    start.elapsed().as_secs_f64() / repeats as f64
}
