//! One layer in one direction with data, and the reference's results; `case/run.rs` runs it through any tier and any schedule.

#[path = "case/run.rs"]
mod run;

use crate::compare::{assert_same_bits, distance_of_scale, pick_row};
use elman::Nonlinearity;
use elman::internals::{Cell, Direction, Kernels, Layer, Plan, Sizes, Weights, Work};
use elman::{Rng, Threads, reference};

/// A layer, its input, and the gradients that reach it from above.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) steps: usize,
    pub(crate) batch: usize,
    pub(crate) sizes: Sizes,
    /// (B).
    pub(crate) lengths: Option<Vec<usize>>,
    /// (T, B).
    pub(crate) resets: Option<Vec<bool>>,
    pub(crate) weight_ih: Vec<f32>,
    pub(crate) weight_hh: Vec<f32>,
    pub(crate) bias: Option<[Vec<f32>; 2]>,
    pub(crate) weight_hr: Option<Vec<f32>>,
    pub(crate) x: Vec<f32>,
    pub(crate) h_0: Option<Vec<f32>>,
    pub(crate) c_0: Option<Vec<f32>>,
    pub(crate) d_y: Vec<f32>,
    pub(crate) d_h_n: Option<Vec<f32>>,
    pub(crate) d_c_n: Option<Vec<f32>>,
}

/// Everything a layer gives, under the names of the reference, padded and in the order of the batch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcome(pub(crate) Vec<(&'static str, Vec<f32>)>);

/// What of a random case is drawn: one of [`Options::CELLS`] cells, and yes or no to the rest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) cell: u8,
    pub(crate) bits: u8,
}

impl Options {
    /// tanh, relu, GRU, LSTM, LSTM with a projection.
    pub(crate) const CELLS: u8 = 5;
    pub(crate) const NO_BIAS: u8 = 1;
    pub(crate) const NO_STATE: u8 = 2;
    pub(crate) const NO_D_STATE: u8 = 4;
    pub(crate) const REVERSE: u8 = 8;
    pub(crate) const RAGGED: u8 = 16;
    pub(crate) const RESETS: u8 = 32;
    /// All bits.
    pub(crate) const BITS: u8 = 64;

    fn has(self, bit: u8) -> bool {
        self.bits & bit != 0
    }
}

impl Case {
    /// Random data of that shape: steps, batch, input, hidden.
    pub(crate) fn random([steps, batch, input, hidden]: [usize; 4], options: Options, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let (cell, projection) = match options.cell {
            0 => (Cell::Elman(Nonlinearity::Tanh), 0),
            1 => (Cell::Elman(Nonlinearity::Relu), 0),
            2 => (Cell::Gru, 0),
            3 => (Cell::Lstm, 0),
            _ => (Cell::Lstm, if hidden == 1 { 0 } else { 1 + rng.below(hidden - 1) }),
        };
        let direction = if options.has(Options::REVERSE) { Direction::Reverse } else { Direction::Forward };
        let sizes = Sizes { cell, input, hidden, projection, direction };
        let lengths = options.has(Options::RAGGED).then(|| (0..batch).map(|_| rng.below(steps + 1)).collect());
        let resets = options.has(Options::RESETS).then(|| (0..steps * batch).map(|_| rng.below(4) == 0).collect());
        let (rows, output) = (cell.gates() * hidden, sizes.output());
        let bound = 1.2 / (hidden as f32).sqrt();
        let mut draw = |n: usize, bound: f32| -> Vec<f32> { (0..n).map(|_| rng.uniform(-bound, bound)).collect() };
        let (state, d_state, lstm) =
            (!options.has(Options::NO_STATE), !options.has(Options::NO_D_STATE), cell == Cell::Lstm);
        Self {
            steps,
            batch,
            sizes,
            lengths,
            resets,
            weight_ih: draw(rows * input, 1.2 / (input as f32).sqrt()),
            weight_hh: draw(rows * output, bound),
            bias: (!options.has(Options::NO_BIAS)).then(|| [draw(rows, bound), draw(rows, bound)]),
            weight_hr: (projection > 0).then(|| draw(projection * hidden, bound)),
            x: draw(steps * batch * input, 1.0),
            h_0: state.then(|| draw(batch * output, 1.0)),
            c_0: (state && lstm).then(|| draw(batch * hidden, 1.0)),
            d_y: draw(steps * batch * output, 1.0),
            d_h_n: d_state.then(|| draw(batch * output, 1.0)),
            d_c_n: (d_state && lstm).then(|| draw(batch * hidden, 1.0)),
        }
    }

    pub(crate) fn weights(&self) -> Weights<'_> {
        Weights {
            weight_ih: &self.weight_ih,
            weight_hh: &self.weight_hh,
            bias: self.bias.as_ref().map(|[ih, hh]| [&ih[..], &hh[..]]),
            weight_hr: self.weight_hr.as_deref(),
        }
    }

    pub(crate) fn layer(&self, kernels: &'static Kernels) -> Layer {
        let mut layer = Layer::new(self.sizes, kernels).unwrap();
        layer.load(self.weights()).unwrap();
        layer
    }

    pub(crate) fn plan(&self, kernels: &'static Kernels) -> Plan {
        let train = Work::Train { d_input: true };
        self.layer(kernels).plan(train, [self.steps, self.batch], Threads::one()).unwrap()
    }

    /// The reference in f64.
    pub(crate) fn reference(&self) -> (reference::Output<f64>, reference::Gradients<f64>) {
        let wide = |values: &[f32]| -> Vec<f64> { values.iter().map(|&x| f64::from(x)).collect() };
        let (weight_ih, weight_hh) = (wide(&self.weight_ih), wide(&self.weight_hh));
        let bias = self.bias.as_ref().map(|[ih, hh]| [wide(ih), wide(hh)]);
        let weight_hr = self.weight_hr.as_deref().map(wide);
        let layer = reference::Layer {
            cell: self.sizes.cell,
            steps: reference::Steps {
                lengths: self.lengths.as_deref(),
                resets: self.resets.as_deref(),
                reverse: self.sizes.direction == Direction::Reverse,
                ..reference::Steps::new(self.steps, self.batch)
            },
            input: self.sizes.input,
            hidden: self.sizes.hidden,
            weight_ih: &weight_ih,
            weight_hh: &weight_hh,
            bias: bias.as_ref().map(|[ih, hh]| [&ih[..], &hh[..]]),
            weight_hr: weight_hr.as_deref(),
        };
        let (x, d_y) = (wide(&self.x), wide(&self.d_y));
        let [h_0, c_0, d_h_n, d_c_n] =
            [&self.h_0, &self.c_0, &self.d_h_n, &self.d_c_n].map(|state| state.as_deref().map(wide));
        let output = layer.forward(&x, h_0.as_deref(), c_0.as_deref());
        let gradients = layer.backward(&x, h_0.as_deref(), c_0.as_deref(), &d_y, d_h_n.as_deref(), d_c_n.as_deref());
        (output, gradients)
    }

    /// One row of the batch by itself.
    pub(crate) fn row(&self, row: usize) -> Self {
        let Self { batch, sizes, .. } = *self;
        let pick = |values: &[f32], width| pick_row(values, batch, width, row);
        let state = |values: &Option<Vec<f32>>, width: usize| {
            values.as_ref().map(|values| values[row * width..][..width].to_vec())
        };
        Self {
            batch: 1,
            lengths: self.lengths.as_ref().map(|lengths| vec![lengths[row]]),
            resets: self.resets.as_ref().map(|resets| resets.iter().skip(row).step_by(batch).copied().collect()),
            x: pick(&self.x, sizes.input),
            h_0: state(&self.h_0, sizes.output()),
            c_0: state(&self.c_0, sizes.hidden),
            d_y: pick(&self.d_y, sizes.output()),
            d_h_n: state(&self.d_h_n, sizes.output()),
            d_c_n: state(&self.d_c_n, sizes.hidden),
            ..self.clone()
        }
    }
}

impl Outcome {
    /// The tensor of that name.
    pub(crate) fn get(&self, name: &str) -> &[f32] {
        let found = self.0.iter().find(|(known, _)| *known == name);
        found.map_or(&[], |(_, values)| values)
    }

    /// Panics at the first element whose bits differ (so -0 is not 0, and a NaN equals itself).
    pub(crate) fn assert_same_bits(&self, other: &Self, what: &str) {
        assert_eq!(self.0.len(), other.0.len());
        for ((name, a), (_, b)) in self.0.iter().zip(&other.0) {
            assert_same_bits(a, b, &format!("{what}: {name}"));
        }
    }

    /// The largest distance from the reference, of each tensor's largest element or of 1, the size of the data; which
    /// tensor it is in, and where.
    pub(crate) fn distance(
        &self,
        (output, g): &(reference::Output<f64>, reference::Gradients<f64>),
    ) -> (f64, &str, usize) {
        let mut worst = (0.0, "", 0);
        for (name, got) in &self.0 {
            let expected = match *name {
                "y" => &output.y,
                "h_n" => &output.h_n,
                "c_n" => &output.c_n,
                "d_x" => &g.d_x,
                "d_h_0" => &g.d_h_0,
                "d_c_0" => &g.d_c_0,
                "d_weight_ih" => &g.d_weight_ih,
                "d_weight_hh" => &g.d_weight_hh,
                "d_weight_hr" => &g.d_weight_hr,
                "d_bias_ih" => &g.d_bias_ih,
                "d_bias_hh" => &g.d_bias_hh,
                _ => panic!("{name}"),
            };
            let (distance, at) = distance_of_scale(got, expected, 1.0);
            if distance.is_nan() || distance > worst.0 {
                worst = (distance, name, at);
            }
        }
        worst
    }
}
