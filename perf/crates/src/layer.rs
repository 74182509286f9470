//! One recurrent layer: its weights, its input, and what must come out.

use serde_json::Value;

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Cell {
    Rnn,
    Gru,
    Lstm,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Mode {
    Infer,
    Train,
}

/// A workload.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Load {
    pub cell: Cell,
    pub mode: Mode,
    pub input: usize,
    pub hidden: usize,
    pub batch: usize,
    pub steps: usize,
}

impl Load {
    pub fn from_json(value: &Value) -> Load {
        let text = |key: &str| value[key].as_str().unwrap_or_else(|| panic!("{key}: not a string in {value}"));
        let size = |key: &str| value[key].as_u64().unwrap_or_else(|| panic!("{key}: not a size in {value}")) as usize;
        let cell = match text("cell") {
            "rnn" => Cell::Rnn,
            "gru" => Cell::Gru,
            "lstm" => Cell::Lstm,
            other => panic!("cell: rnn, gru or lstm, not {other}"),
        };
        let mode = match text("mode") {
            "infer" => Mode::Infer,
            "train" => Mode::Train,
            other => panic!("mode: infer or train, not {other}"),
        };
        Load { cell, mode, input: size("input"), hidden: size("hidden"), batch: size("batch"), steps: size("steps") }
    }

    pub fn gates(&self) -> usize {
        match self.cell {
            Cell::Rnn => 1,
            Cell::Gru => 3,
            Cell::Lstm => 4,
        }
    }
}

/// Weights as PyTorch has them: rows of gates r z n (GRU) and i f g o (LSTM).
pub struct Layer {
    pub w_ih: Vec<f32>, // (gates hidden, input)
    pub w_hh: Vec<f32>, // (gates hidden, hidden)
    pub b_ih: Vec<f32>, // (gates hidden)
    pub b_hh: Vec<f32>, // (gates hidden)
    pub x: Vec<f32>,    // (steps, batch, input)
}

impl Layer {
    /// Uniform weights within 1/√hidden, as PyTorch initializes them, and an input within 1; the same at each call.
    pub fn new(load: &Load) -> Layer {
        let rows = load.gates() * load.hidden;
        let bound = (load.hidden as f32).sqrt().recip();
        let mut state = 1u64;
        let mut draw = |n: usize, bound: f32| -> Vec<f32> { (0..n).map(|_| bound * uniform(&mut state)).collect() };
        Layer {
            w_ih: draw(rows * load.input, bound),
            w_hh: draw(rows * load.hidden, bound),
            b_ih: draw(rows, bound),
            b_hh: draw(rows, bound),
            x: draw(load.steps * load.batch * load.input, 1.0),
        }
    }

    /// All hidden states, (steps, batch, hidden), by plain loops; `torch.nn.RNN`, `GRU` and `LSTM` say the same.
    pub fn forward(&self, load: &Load) -> Vec<f32> {
        let n = load.hidden;
        let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
        let mut y = vec![0.0; load.steps * load.batch * n];
        for b in 0..load.batch {
            let (mut h, mut c) = (vec![0.0f32; n], vec![0.0f32; n]);
            for t in 0..load.steps {
                let place = t * load.batch + b;
                let x = &self.x[place * load.input..][..load.input];
                let from_x: Vec<f32> = affine(&self.w_ih, &self.b_ih, x);
                let from_h: Vec<f32> = affine(&self.w_hh, &self.b_hh, &h);
                for j in 0..n {
                    let z = |gate: usize| from_x[gate * n + j] + from_h[gate * n + j];
                    h[j] = match load.cell {
                        Cell::Rnn => z(0).tanh(),
                        Cell::Gru => {
                            let (reset, update) = (sigmoid(z(0)), sigmoid(z(1)));
                            let new = (from_x[2 * n + j] + reset * from_h[2 * n + j]).tanh();
                            (1.0 - update) * new + update * h[j]
                        }
                        Cell::Lstm => {
                            c[j] = sigmoid(z(1)) * c[j] + sigmoid(z(0)) * z(2).tanh();
                            sigmoid(z(3)) * c[j].tanh()
                        }
                    };
                }
                y[place * n..][..n].copy_from_slice(&h);
            }
        }
        y
    }
}

fn affine(weights: &[f32], bias: &[f32], x: &[f32]) -> Vec<f32> {
    let dot = |row: &[f32]| row.iter().zip(x).map(|(w, x)| w * x).sum::<f32>();
    weights.chunks_exact(x.len()).zip(bias).map(|(row, b)| dot(row) + b).collect()
}

/// In [-1, 1): Vigna's splitmix64, the upper 24 bits.
fn uniform(state: &mut u64) -> f32 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
}

/// For the peers' tests: compares two runs of each shape with [`Layer::forward`]; two, since a state kept from run to
/// run would be another workload. The shapes: small and odd, one row, and one wide enough for a peer's threads.
pub fn assert_close(cell: Cell, run: impl Fn(&Load) -> [Vec<f32>; 2]) {
    // hidden, input, batch, steps
    for [hidden, input, batch, steps] in [[20, 12, 3, 7], [70, 70, 1, 6], [256, 256, 64, 5]] {
        let load = Load { cell, mode: Mode::Infer, input, hidden, batch, steps };
        let expected = Layer::new(&load).forward(&load);
        for (run, output) in run(&load).iter().enumerate() {
            assert_eq!(output.len(), expected.len(), "{load:?}");
            let error = output.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            // Sums of some 500 products of numbers below 1, in two orders, through steps that contract.
            assert!(error < 1e-5, "{load:?}, run {run}: {error:e}");
        }
    }
}
