//! A layer with random data, its passes, and its check against the reference.

#![allow(dead_code, reason = "every bench has its own copy and uses a part of it")]

pub(crate) mod arguments;

use elman::Nonlinearity;
use elman::internals::{
    BackwardPass, Cell, Direction, ForwardPass, Kernels, Layer, LayerGradients, Plan, Scratch, Shape, Sizes, Tape,
    Weights, Work, Write,
};
use elman::tensor::{Seq, SeqRef};
use elman::{Rng, Threads, reference};

/// Every cell, with its name.
pub(crate) const CELLS: [(&str, Cell); 3] =
    [("Elman", Cell::Elman(Nonlinearity::Tanh)), ("GRU", Cell::Gru), ("LSTM", Cell::Lstm)];

/// What [`Square::train`] does.
pub(crate) const TRAIN: Work = Work::Train { d_input: false };

/// A square layer: as many inputs as hidden units.
pub(crate) struct Square {
    pub(crate) shape: Shape,
    sizes: Sizes,
    weights: [Vec<f32>; 4],
    x: Vec<f32>,
    d_y: Seq,
}

/// What a layer's passes work in and leave.
pub(crate) struct Memory {
    pub(crate) y: Seq,
    tape: Tape,
    scratch: Scratch,
    gradients: [Vec<f32>; 4],
}

impl Square {
    pub(crate) fn new(cell: Cell, hidden: usize, batch: usize, steps: usize) -> Self {
        let gates = cell.gates();
        let shape = Shape { cell, input: hidden, hidden, projection: 0, batch, steps };
        let sizes = Sizes { cell, input: hidden, hidden, projection: 0, direction: Direction::Forward };
        let mut rng = Rng::new(1);
        let bound = 1.0 / (hidden as f32).sqrt();
        let mut draw = |len: usize, bound: f32| -> Vec<f32> { (0..len).map(|_| rng.uniform(-bound, bound)).collect() };
        let [square, row] = [gates * hidden * hidden, gates * hidden];
        let weights = [draw(square, bound), draw(square, bound), draw(row, bound), draw(row, bound)];
        let x = draw(steps * batch * hidden, 1.0);
        let d_y = Seq::from_slice(&vec![1e-3; x.len()], steps, batch, hidden).expect("a sequence that fits");
        Self { shape, sizes, weights, x, d_y }
    }

    pub(crate) fn weights(&self) -> Weights<'_> {
        let [weight_ih, weight_hh, ih, hh] = &self.weights;
        Weights { weight_ih, weight_hh, bias: Some([ih, hh]), weight_hr: None }
    }

    pub(crate) fn x(&self) -> SeqRef<'_> {
        let Shape { steps, batch, input, .. } = self.shape;
        SeqRef::new(&self.x, steps, batch, input).expect("x has that shape")
    }

    /// Every element of x, (T, B, I).
    pub(crate) fn data(&self) -> &[f32] {
        &self.x
    }

    pub(crate) fn loaded(&self, kernels: &'static Kernels) -> Layer {
        let mut layer = Layer::new(self.sizes, kernels).expect("valid sizes");
        layer.load(self.weights()).expect("weights of that shape");
        layer
    }

    pub(crate) fn plan(&self, work: Work, kernels: &'static Kernels, threads: Threads) -> Plan {
        self.loaded(kernels).plan(work, [self.shape.steps, self.shape.batch], threads).expect("a sequence that fits")
    }

    pub(crate) fn memory(&self) -> Memory {
        let Shape { steps, batch, hidden, .. } = self.shape;
        Memory {
            y: Seq::zeros(steps, batch, hidden).expect("a sequence that fits"),
            tape: Tape::default(),
            scratch: Scratch::default(),
            gradients: self.weights.each_ref().map(|weight| vec![0.0; weight.len()]),
        }
    }

    /// Forward, keeping nothing.
    pub(crate) fn infer(&self, loaded: &Layer, plan: &Plan, memory: &mut Memory) {
        self.forward(loaded, plan, memory, false);
    }

    /// Forward and backward, without the gradient of the input.
    pub(crate) fn train(&self, loaded: &Layer, plan: &Plan, memory: &mut Memory) {
        self.forward(loaded, plan, memory, true);
        let Memory { y, tape, scratch, gradients: [d_weight_ih, d_weight_hh, ih, hh] } = memory;
        let pass = BackwardPass {
            weights: self.weights(),
            x: self.x(),
            h_0: None,
            c_0: None,
            resets: None,
            y: y.view(),
            tape,
            d_y: self.d_y.view(),
            d_h_n: None,
            d_c_n: None,
            gradients: LayerGradients {
                write: Write::Over,
                d_weight_ih,
                d_weight_hh,
                d_bias: Some([ih, hh]),
                d_weight_hr: None,
            },
            d_x: None,
            d_h_0: None,
            d_c_0: None,
        };
        loaded.backward(plan, pass, scratch).expect("shapes that fit");
    }

    fn forward(&self, loaded: &Layer, plan: &Plan, memory: &mut Memory, keep: bool) {
        let Memory { y, tape, scratch, .. } = memory;
        let (x, y) = (self.x(), y.view_mut());
        let tape = keep.then_some(tape);
        let pass = ForwardPass { tape, ..ForwardPass::over(x, y) };
        loaded.forward(plan, pass, scratch).expect("shapes that fit");
    }

    /// Checks both passes over two steps of one row against the reference.
    pub(crate) fn check(&self, kernels: &'static Kernels) {
        let Shape { hidden, batch, .. } = self.shape;
        let x: Vec<f32> = (0..2).flat_map(|t| self.x[t * batch * hidden..][..hidden].to_vec()).collect();
        let d_y = Seq::from_slice(&vec![1.0; 2 * hidden], 2, 1, hidden).expect("two steps of one row");
        let shape = Shape { batch: 1, steps: 2, ..self.shape };
        let small = Self { shape, sizes: self.sizes, weights: self.weights.clone(), x, d_y };
        let mut memory = small.memory();
        small.train(&small.loaded(kernels), &small.plan(TRAIN, kernels, Threads::one()), &mut memory);
        let Weights { weight_ih, weight_hh, bias, weight_hr } = small.weights();
        let steps = reference::Steps::new(2, 1);
        let cell = self.sizes.cell;
        let layer = reference::Layer { cell, steps, input: hidden, hidden, weight_ih, weight_hh, bias, weight_hr };
        let y = layer.forward(&small.x, None, None).y;
        let g = layer.backward(&small.x, None, None, small.d_y.data(), None, None);
        let got = memory.gradients.iter().map(Vec::as_slice).chain([memory.y.data()]);
        for (got, expected) in got.zip([&g.d_weight_ih, &g.d_weight_hh, &g.d_bias_ih, &g.d_bias_hh, &y]) {
            let same = got.iter().zip(expected).all(|(g, e)| (g - e).abs() < 1e-5);
            assert!(same, "{} is wrong", kernels.isa());
        }
    }
}

/// 1 and, where there are more cores, 2 threads.
pub(crate) fn thread_counts() -> impl Iterator<Item = Threads> {
    (1..=Threads::available().get().min(2)).map(|n| Threads::new(n).expect("at least one"))
}
