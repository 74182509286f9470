//! One layer in one direction with data, run through any tier and any schedule, and through the reference.

use crate::compare::{assert_same_bits, distance_of_scale, pick_row};
use elman::Nonlinearity;
use elman::internals::{
    BackwardPass, Cell, Direction, ForwardPass, Kernels, Layer, LayerGradients, Plan, Scratch, Sizes, Tape, Weights,
    Work, Write,
};
use elman::tensor::{Mask, PackedSequence, Seq, SeqRef};
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

    /// (T, B, width) packed by the case's lengths; whole where it has none.
    fn pack(&self, values: &[f32], width: usize) -> PackedSequence {
        let lengths = self.lengths.clone().unwrap_or_else(|| vec![self.steps; self.batch]);
        let x = SeqRef::new(values, self.steps, self.batch, width).unwrap();
        PackedSequence::from_padded(x, &lengths).unwrap()
    }

    /// Forward and backward on a tier, by a schedule, in a scratch that may have seen other work.
    pub(crate) fn run(&self, kernels: &'static Kernels, plan: &Plan, scratch: &mut Scratch) -> Outcome {
        self.run_writing(Write::Add, kernels, plan, scratch)
    }

    /// The same with the parameters' gradients added to zeros, or written over NaN.
    pub(crate) fn run_writing(
        &self,
        write: Write,
        kernels: &'static Kernels,
        plan: &Plan,
        scratch: &mut Scratch,
    ) -> Outcome {
        let Self { steps, batch, sizes, .. } = *self;
        let (output, hidden) = (sizes.output(), sizes.hidden);
        let lstm = sizes.cell == Cell::Lstm;
        let layer = self.layer(kernels);
        let [packed_x, packed_d_y] =
            [(&self.x, sizes.input), (&self.d_y, output)].map(|(v, width)| self.pack(v, width));
        let marks = self.resets.as_ref().map(|resets| match self.lengths {
            Some(_) => {
                let numbers: Vec<_> = resets.iter().map(|&reset| f32::from(u8::from(reset))).collect();
                self.pack(&numbers, 1).data().iter().map(|&number| number != 0.0).collect()
            }
            None => resets.clone(),
        });
        let sorted = match self.lengths {
            Some(_) => packed_x.sorted_indices().to_vec(),
            None => (0..batch).collect(),
        };
        // States go in and come out sorted as the rows are.
        let sort = |values: &[f32], width: usize| -> Vec<f32> {
            sorted.iter().flat_map(|&row| values[row * width..][..width].to_vec()).collect()
        };
        let unsort = |values: &[f32], width: usize| -> Vec<f32> {
            let mut out = vec![0.0; values.len()];
            for (i, &row) in sorted.iter().enumerate() {
                out[row * width..][..width].copy_from_slice(&values[i * width..][..width]);
            }
            out
        };
        let state = |values: &Option<Vec<f32>>, width: usize| {
            values.as_ref().map(|values| Seq::from_slice(&sort(values, width), 1, batch, width).unwrap())
        };
        let (h_0, c_0) = (state(&self.h_0, output), state(&self.c_0, hidden));
        let (d_h_n, d_c_n) = (state(&self.d_h_n, output), state(&self.d_c_n, hidden));
        let dense = |values: &[f32], width| Seq::from_slice(values, steps, batch, width).unwrap();
        let (dense_x, dense_d_y) = (dense(&self.x, sizes.input), dense(&self.d_y, output));
        let (x, d_y) = match self.lengths {
            Some(_) => (packed_x.view().seq(), packed_d_y.view().seq()),
            None => (dense_x.view(), dense_d_y.view()),
        };
        let resets = marks.as_ref().map(|marks: &Vec<bool>| Mask::of(x, marks).unwrap());

        let mut packed_y = packed_x.zeros_like(output).unwrap();
        packed_y.data_mut().fill(f32::NAN);
        let mut dense_y = Seq::zeros(steps, batch, output).unwrap();
        dense_y.data_mut().fill(f32::NAN);
        let mut h_n = vec![f32::NAN; batch * output];
        let mut c_n = vec![f32::NAN; if lstm { batch * hidden } else { 0 }];
        let mut tape = Tape::default();
        let mut inferred: Option<[Vec<f32>; 3]> = None;
        for training in [false, true] {
            let pass = ForwardPass {
                x,
                h_0: h_0.as_ref().map(Seq::view),
                c_0: c_0.as_ref().map(Seq::view),
                resets,
                y: if self.lengths.is_some() { packed_y.seq_mut() } else { dense_y.view_mut() },
                h_n: Some(&mut h_n),
                c_n: lstm.then_some(&mut c_n[..]),
                tape: training.then_some(&mut tape),
            };
            layer.forward(plan, pass, scratch).unwrap();
            let y = if self.lengths.is_some() { packed_y.data_mut() } else { dense_y.data_mut() };
            // Inference may go another way, by workers that share units; the bits are the same.
            match &inferred {
                None => inferred = Some([y.to_vec(), h_n.clone(), c_n.clone()]),
                Some([inferred_y, inferred_h_n, inferred_c_n]) => {
                    assert_same_bits(inferred_y, y, "y in inference and in training");
                    assert_same_bits(inferred_h_n, &h_n, "h_n in inference and in training");
                    assert_same_bits(inferred_c_n, &c_n, "c_n in inference and in training");
                    continue;
                }
            }
            y.fill(f32::NAN);
            h_n.fill(f32::NAN);
            c_n.fill(f32::NAN);
        }

        let y = if self.lengths.is_some() { packed_y.view().seq() } else { dense_y.view() };
        let rows = self.lengths.as_ref().map_or(steps * batch, |lengths| lengths.iter().sum());
        let mut d_x = vec![f32::NAN; rows * sizes.input];
        let mut d_h_0 = vec![f32::NAN; batch * output];
        let mut d_c_0 = vec![f32::NAN; if lstm { batch * hidden } else { 0 }];
        let before = if write == Write::Add { 0.0 } else { f32::NAN };
        let mut d_weight_ih = vec![before; self.weight_ih.len()];
        let mut d_weight_hh = vec![before; self.weight_hh.len()];
        let mut d_bias = self.bias.as_ref().map(|[bias, _]| [vec![before; bias.len()], vec![before; bias.len()]]);
        let mut d_weight_hr = self.weight_hr.as_ref().map(|weight| vec![before; weight.len()]);
        let pass = BackwardPass {
            weights: self.weights(),
            x,
            h_0: h_0.as_ref().map(Seq::view),
            c_0: c_0.as_ref().map(Seq::view),
            resets,
            y,
            tape: &mut tape,
            d_y,
            d_h_n: d_h_n.as_ref().map(Seq::view),
            d_c_n: d_c_n.as_ref().map(Seq::view),
            gradients: LayerGradients {
                write,
                d_weight_ih: &mut d_weight_ih,
                d_weight_hh: &mut d_weight_hh,
                d_bias: d_bias.as_mut().map(|[ih, hh]| [&mut ih[..], &mut hh[..]]),
                d_weight_hr: d_weight_hr.as_deref_mut(),
            },
            d_x: Some((&mut d_x, Write::Over)),
            d_h_0: Some(&mut d_h_0),
            d_c_0: lstm.then_some(&mut d_c_0[..]),
        };
        layer.backward(plan, pass, scratch).unwrap();

        let padded = |data: &[f32], width| match self.lengths {
            Some(_) => packed_x.view().like(data, width).unwrap().to_padded(steps).unwrap().data().to_vec(),
            None => data.to_vec(),
        };
        let y = if self.lengths.is_some() { packed_y.data() } else { dense_y.data() };
        let mut all = vec![
            ("y", padded(y, output)),
            ("h_n", unsort(&h_n, output)),
            ("d_x", padded(&d_x, sizes.input)),
            ("d_h_0", unsort(&d_h_0, output)),
            ("d_weight_ih", d_weight_ih),
            ("d_weight_hh", d_weight_hh),
        ];
        if lstm {
            all.extend([("c_n", unsort(&c_n, hidden)), ("d_c_0", unsort(&d_c_0, hidden))]);
        }
        if let Some([ih, hh]) = d_bias {
            all.extend([("d_bias_ih", ih), ("d_bias_hh", hh)]);
        }
        all.extend(d_weight_hr.map(|d| ("d_weight_hr", d)));
        Outcome(all)
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
