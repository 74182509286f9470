//! A network with data, run through any tier, number of threads and form of the batch.

use std::ops::Range;

use crate::compare::assert_same_bits;
use elman::Nonlinearity;
use elman::internals::{BackwardArgs, Cell, Kernels, NetworkConfig, Recurrent, RecurrentWorkspace};
use elman::params::ParamTable;
use elman::tensor::{PackedSequence, Seq, SeqRef};
use elman::{Input, Params, Rng, State, Threads};

/// A network, its input, and the gradients that reach it from above. Sequences are (T, B, ·) whatever form they are
/// given in, states as [`State`] has them.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) config: NetworkConfig,
    pub(crate) steps: usize,
    pub(crate) batch: usize,
    /// (B), of a batch to be packed.
    pub(crate) lengths: Option<Vec<usize>>,
    /// Of one row: given without an axis for the batch.
    pub(crate) unbatched: bool,
    /// (T, B).
    pub(crate) resets: Option<Vec<bool>>,
    /// All parameters, in the table's order.
    pub(crate) params: Vec<f32>,
    pub(crate) x: Vec<f32>,
    pub(crate) h_0: Option<Vec<f32>>,
    pub(crate) c_0: Option<Vec<f32>>,
    pub(crate) d_y: Vec<f32>,
    pub(crate) d_h_n: Option<Vec<f32>>,
    pub(crate) d_c_n: Option<Vec<f32>>,
    /// Of the dropout masks.
    pub(crate) seed: u64,
}

/// What of a random case is drawn: one of [`Options::CELLS`] cells, layers, and yes or no to the rest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) cell: u8,
    pub(crate) layers: usize,
    pub(crate) bits: u16,
}

impl Options {
    /// tanh, relu, GRU, LSTM, LSTM with a projection.
    pub(crate) const CELLS: u8 = 5;
    pub(crate) const NO_BIAS: u16 = 1;
    pub(crate) const NO_STATE: u16 = 2;
    pub(crate) const NO_D_STATE: u16 = 4;
    pub(crate) const BIDIRECTIONAL: u16 = 8;
    pub(crate) const RAGGED: u16 = 16;
    pub(crate) const RESETS: u16 = 32;
    pub(crate) const BATCH_FIRST: u16 = 64;
    /// Layers of one size each; without it every layer has its own.
    pub(crate) const ONE_SIZE: u16 = 128;
    pub(crate) const DROPOUT: u16 = 256;
    /// All bits.
    pub(crate) const BITS: u16 = 512;

    fn has(self, bit: u16) -> bool {
        self.bits & bit != 0
    }

    /// The same with some bits off.
    pub(crate) fn without(self, bits: u16) -> Self {
        Self { bits: self.bits & !bits, ..self }
    }
}

/// Everything a network gives, padded and (T, B, ·): `output`, `h_n`, `c_n`, and after a run backward `d_input`,
/// `d_h_0`, `d_c_0`, and every parameter's name after `d_`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcome(pub(crate) Vec<(String, Vec<f32>)>);

/// What a run forward gives and no other one does.
pub(crate) const FORWARD: [&str; 3] = ["output", "h_n", "c_n"];

/// What of a run has rows of its own for each row of the batch.
pub(crate) const BY_ROW: [&str; 6] = ["output", "h_n", "c_n", "d_input", "d_h_0", "d_c_0"];

/// (T, B, width) to (B, T, width); with B for T, back again.
pub(crate) fn turn(values: &[f32], steps: usize, batch: usize, width: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(values.len());
    for b in 0..batch {
        for t in 0..steps {
            out.extend_from_slice(&values[(t * batch + b) * width..][..width]);
        }
    }
    out
}

/// Some rows of the batch of `values` (steps, batch, width).
fn rows_of(values: &[f32], batch: usize, width: usize, rows: &Range<usize>) -> Vec<f32> {
    let step = (batch * width).max(1);
    values.chunks_exact(step).flat_map(|step| step[rows.start * width..rows.end * width].to_vec()).collect()
}

/// A batch as a network takes it.
enum Form {
    Padded(Seq),
    Unbatched(Vec<f32>, usize),
    Packed(PackedSequence),
}

impl Form {
    fn input(&self) -> Input<'_> {
        match self {
            Form::Padded(seq) => seq.into(),
            Form::Unbatched(values, width) => Input::unbatched(values, *width).unwrap(),
            Form::Packed(packed) => packed.into(),
        }
    }
}

impl Case {
    /// Random data: steps, batch, input, hidden.
    pub(crate) fn random([steps, batch, input, hidden]: [usize; 4], options: Options, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let cell = match options.cell {
            0 => Cell::Elman(Nonlinearity::Tanh),
            1 => Cell::Elman(Nonlinearity::Relu),
            2 => Cell::Gru,
            _ => Cell::Lstm,
        };
        let one_size = options.has(Options::ONE_SIZE);
        let hidden_sizes: Vec<usize> =
            (0..options.layers).map(|_| if one_size { hidden } else { 1 + rng.below(hidden) }).collect();
        let smallest = hidden_sizes.iter().copied().min().unwrap_or(1);
        let config = NetworkConfig {
            bias: !options.has(Options::NO_BIAS),
            batch_first: options.has(Options::BATCH_FIRST),
            dropout: if options.has(Options::DROPOUT) { 0.3 } else { 0.0 },
            bidirectional: options.has(Options::BIDIRECTIONAL),
            proj_size: if options.cell == 4 && smallest > 1 { 1 + rng.below(smallest - 1) } else { 0 },
            ..NetworkConfig::new(cell, input, hidden_sizes)
        };
        let lengths = options.has(Options::RAGGED).then(|| (0..batch).map(|_| rng.below(steps + 1)).collect());
        let resets = options.has(Options::RESETS).then(|| (0..steps * batch).map(|_| rng.below(4) == 0).collect());
        let mut layout = ParamTable::new();
        let network = Recurrent::new(config.clone(), &mut layout, "").unwrap();
        let mut params = Params::zeros(layout);
        network.init(&mut params, &mut rng);
        // A little more than PyTorch's bound, so that gates and tanh leave the range where they are straight.
        params.data_mut().iter_mut().for_each(|x| *x *= 1.5);
        let zeros = network.zero_state(batch).unwrap();
        let mut draw = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.uniform(-1.0, 1.0)).collect() };
        let (x, d_y) = (draw(steps * batch * input), draw(steps * batch * network.output_size()));
        let mut state = |given: bool| {
            let lstm = network.config().cell == Cell::Lstm;
            (given.then(|| draw(zeros.h().len())), (given && lstm).then(|| draw(zeros.c().len())))
        };
        let (h_0, c_0) = state(!options.has(Options::NO_STATE));
        let (d_h_n, d_c_n) = state(!options.has(Options::NO_D_STATE));
        let params = params.data().to_vec();
        Self { config, steps, batch, lengths, unbatched: false, resets, params, x, h_0, c_0, d_y, d_h_n, d_c_n, seed }
    }

    /// The network and its parameters, loaded.
    pub(crate) fn network(&self, kernels: &'static Kernels) -> (Recurrent, Params) {
        let mut layout = ParamTable::new();
        let config = NetworkConfig { kernels: Some(kernels), ..self.config.clone() };
        let mut network = Recurrent::new(config, &mut layout, "").unwrap();
        let mut params = Params::zeros(layout);
        params.data_mut().copy_from_slice(&self.params);
        network.load(&params).unwrap();
        (network, params)
    }

    pub(crate) fn directions(&self) -> usize {
        if self.config.bidirectional { 2 } else { 1 }
    }

    /// The widths of h and of c of each layer and direction.
    pub(crate) fn widths(&self) -> (Vec<usize>, Vec<usize>) {
        let NetworkConfig { cell, ref hidden_sizes, proj_size, .. } = self.config;
        let each = |of: &dyn Fn(usize) -> usize| {
            hidden_sizes.iter().flat_map(|&hidden| vec![of(hidden); self.directions()]).collect()
        };
        let h = each(&|hidden| if proj_size > 0 { proj_size } else { hidden });
        (h, if cell == Cell::Lstm { each(&|hidden| hidden) } else { Vec::new() })
    }

    pub(crate) fn output_size(&self) -> usize {
        self.directions() * self.widths().0.last().unwrap()
    }

    /// `values` (T, B, width) in the form that the case is given in.
    fn form(&self, values: &[f32], width: usize) -> Form {
        let (steps, batch) = (self.steps, self.batch);
        let view = SeqRef::new(values, steps, batch, width).unwrap();
        match &self.lengths {
            Some(lengths) if self.config.batch_first => {
                let turned = turn(values, steps, batch, width);
                let view = SeqRef::new(&turned, batch, steps, width).unwrap();
                Form::Packed(PackedSequence::from_batch_first(view, lengths).unwrap())
            }
            Some(lengths) => Form::Packed(PackedSequence::from_padded(view, lengths).unwrap()),
            None if self.unbatched => Form::Unbatched(values.to_vec(), width),
            None if self.config.batch_first => {
                Form::Padded(Seq::from_slice(&turn(values, steps, batch, width), batch, steps, width).unwrap())
            }
            None => Form::Padded(Seq::from_slice(values, steps, batch, width).unwrap()),
        }
    }

    /// The mask in the form that the case is given in.
    fn mask(&self) -> Option<Vec<bool>> {
        let resets: Vec<f32> = self.resets.as_ref()?.iter().map(|&reset| f32::from(u8::from(reset))).collect();
        let values = match self.form(&resets, 1) {
            Form::Padded(seq) => seq.data().to_vec(),
            Form::Unbatched(values, _) => values,
            Form::Packed(packed) => packed.data().to_vec(),
        };
        Some(values.into_iter().map(|x| x != 0.0).collect())
    }

    /// (T, B, width) out of what came in the form of the input.
    fn padded(&self, view: SeqRef<'_>) -> Vec<f32> {
        let [first, second, width] = view.shape();
        let values: Vec<f32> =
            (0..first).flat_map(|t| (0..second).flat_map(move |i| view.step(t).row(i).to_vec())).collect();
        let turned = self.config.batch_first && !self.unbatched;
        if turned { turn(&values, first, second, width) } else { values }
    }

    fn state(&self, network: &Recurrent, h: &Option<Vec<f32>>, c: &Option<Vec<f32>>) -> Option<State> {
        let mut state = network.zero_state(self.batch).unwrap();
        state.h_mut().copy_from_slice(h.as_ref()?);
        if let Some(c) = c {
            state.c_mut().copy_from_slice(c);
        }
        Some(state)
    }

    fn after(&self, pass: &RecurrentWorkspace) -> Outcome {
        let output = match self.lengths {
            Some(_) => pass.packed_output().to_padded(self.steps).unwrap().data().to_vec(),
            None => self.padded(pass.output()),
        };
        let (h_n, c_n) = (pass.state().h().to_vec(), pass.state().c().to_vec());
        Outcome(FORWARD.map(String::from).into_iter().zip([output, h_n, c_n]).collect())
    }

    /// Forward without training, in memory that may have seen other work.
    pub(crate) fn infer(&self, kernels: &'static Kernels, threads: Threads, pass: &mut RecurrentWorkspace) -> Outcome {
        let (network, _) = self.network(kernels);
        let (x, mask) = (self.form(&self.x, self.config.input_size), self.mask());
        let input = mask.as_ref().map_or(x.input(), |mask| x.input().resets(mask));
        let state = self.state(&network, &self.h_0, &self.c_0);
        network.forward(input, state.as_ref(), pass, threads).unwrap();
        self.after(pass)
    }

    /// Forward in training and backward, in memory that may have seen other work.
    pub(crate) fn run(&self, kernels: &'static Kernels, threads: Threads, pass: &mut RecurrentWorkspace) -> Outcome {
        let (network, params) = self.network(kernels);
        let (x, mask) = (self.form(&self.x, self.config.input_size), self.mask());
        let input = mask.as_ref().map_or(x.input(), |mask| x.input().resets(mask));
        let state = self.state(&network, &self.h_0, &self.c_0);
        network.forward_training(input, state.as_ref(), self.seed, pass, threads).unwrap();
        let mut outcome = self.after(pass);

        let d_y = self.form(&self.d_y, network.output_size());
        let d_state = self.state(&network, &self.d_h_n, &self.d_c_n);
        let mut gradients = params.zeros_like();
        let args = BackwardArgs {
            input,
            state: state.as_ref(),
            d_output: d_y.input(),
            d_state_n: d_state.as_ref(),
            wants_d_input: true,
            wants_d_state_0: true,
        };
        network.backward(&params, args, &mut gradients, pass, threads).unwrap();
        let d_input = match self.lengths {
            Some(_) => pass.packed_d_input().unwrap().to_padded(self.steps).unwrap().data().to_vec(),
            None => self.padded(pass.d_input().unwrap()),
        };
        let (d_h_0, d_c_0) = (pass.d_state_0().unwrap().h().to_vec(), pass.d_state_0().unwrap().c().to_vec());
        outcome.0.extend(BY_ROW[3..].iter().map(|name| name.to_string()).zip([d_input, d_h_0, d_c_0]));
        outcome.0.extend(gradients.iter().map(|(name, _, values)| (format!("d_{name}"), values.to_vec())));
        outcome
    }

    /// Some rows of the batch by themselves.
    pub(crate) fn narrow_rows(&self, rows: Range<usize>) -> Self {
        let batch = self.batch;
        let pick = |values: &[f32], width| rows_of(values, batch, width, &rows);
        let (h, c) = self.widths();
        let state = |values: &Option<Vec<f32>>, widths: &[usize]| {
            values.as_ref().map(|values| self.state_rows(values, widths, &rows))
        };
        Self {
            batch: rows.len(),
            lengths: self.lengths.as_ref().map(|lengths| lengths[rows.clone()].to_vec()),
            resets: self
                .resets
                .as_ref()
                .map(|resets| resets.chunks_exact(batch.max(1)).flat_map(|step| step[rows.clone()].to_vec()).collect()),
            x: pick(&self.x, self.config.input_size),
            h_0: state(&self.h_0, &h),
            c_0: state(&self.c_0, &c),
            d_y: pick(&self.d_y, self.output_size()),
            d_h_n: state(&self.d_h_n, &h),
            d_c_n: state(&self.d_c_n, &c),
            ..self.clone()
        }
    }

    fn state_rows(&self, values: &[f32], widths: &[usize], rows: &Range<usize>) -> Vec<f32> {
        let mut first = 0;
        let layers = widths.iter().flat_map(|&width| {
            let layer = &values[first..first + self.batch * width];
            first += self.batch * width;
            layer[rows.start * width..rows.end * width].to_vec()
        });
        layers.collect()
    }

    /// Of what a run of the whole batch gave, the rows `rows`.
    pub(crate) fn rows_of(&self, outcome: &Outcome, name: &str, rows: &Range<usize>) -> Vec<f32> {
        let (h, c) = self.widths();
        let values = outcome.get(name);
        match name {
            "output" => rows_of(values, self.batch, self.output_size(), rows),
            "d_input" => rows_of(values, self.batch, self.config.input_size, rows),
            "h_n" | "d_h_0" => self.state_rows(values, &h, rows),
            "c_n" | "d_c_0" => self.state_rows(values, &c, rows),
            _ => panic!("{name} has no rows"),
        }
    }

    /// Some steps of a padded batch, from that state.
    pub(crate) fn narrow_steps(&self, steps: Range<usize>, state: Option<(Vec<f32>, Vec<f32>)>) -> Self {
        assert!(self.lengths.is_none());
        let batch = self.batch;
        let pick =
            |values: &[f32], width: usize| values[steps.start * batch * width..steps.end * batch * width].to_vec();
        let (h_0, c_0) = match state {
            None => (self.h_0.clone(), self.c_0.clone()),
            Some((h, c)) => (Some(h), Some(c).filter(|_| self.config.cell == Cell::Lstm)),
        };
        Self {
            steps: steps.len(),
            resets: self.resets.as_ref().map(|resets| resets[steps.start * batch..steps.end * batch].to_vec()),
            x: pick(&self.x, self.config.input_size),
            d_y: pick(&self.d_y, self.output_size()),
            h_0,
            c_0,
            ..self.clone()
        }
    }
}

impl Outcome {
    /// The tensor of that name.
    pub(crate) fn get(&self, name: &str) -> &[f32] {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, values)| &values[..]).unwrap_or_else(|| panic!("no {name}"))
    }

    /// Panics at the first element whose bits differ (so -0 is not 0, and a NaN equals itself).
    pub(crate) fn assert_same_bits(&self, other: &Self, what: &str) {
        assert_eq!(self.0.len(), other.0.len());
        for ((name, a), (_, b)) in self.0.iter().zip(&other.0) {
            assert_same_bits(a, b, &format!("{what}: {name}"));
        }
    }
}
