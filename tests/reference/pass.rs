//! A layer with everything that goes through it.

use elman::Nonlinearity;
use elman::Rng;
use elman::reference::{Cell, Gradients, Layer, Output, Steps};

use crate::{dot, draw};

pub(crate) const BATCH: usize = 3;
pub(crate) const INPUT: usize = 3;
pub(crate) const HIDDEN: usize = 4;

/// A cell, and the size of its projection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind(pub(crate) Cell, pub(crate) Option<usize>);

pub(crate) const TANH: Kind = Kind(Cell::Elman(Nonlinearity::Tanh), None);
pub(crate) const RELU: Kind = Kind(Cell::Elman(Nonlinearity::Relu), None);
pub(crate) const GRU: Kind = Kind(Cell::Gru, None);
pub(crate) const LSTM: Kind = Kind(Cell::Lstm, None);
pub(crate) const PROJECTED: Kind = Kind(Cell::Lstm, Some(2));
pub(crate) const KINDS: [Kind; 5] = [TANH, RELU, GRU, LSTM, PROJECTED];

/// A layer with everything that goes through it, in f64.
#[derive(Clone, Debug)]
pub(crate) struct RecurrentWorkspace {
    pub(crate) cell: Cell,
    pub(crate) steps: usize,
    pub(crate) batch: usize,
    /// O.
    pub(crate) out: usize,
    pub(crate) lengths: Option<Vec<usize>>,
    pub(crate) resets: Option<Vec<bool>>,
    pub(crate) reverse: bool,
    pub(crate) weight_ih: Vec<f64>,
    pub(crate) weight_hh: Vec<f64>,
    pub(crate) bias: Option<[Vec<f64>; 2]>,
    pub(crate) weight_hr: Option<Vec<f64>>,
    pub(crate) x: Vec<f64>,
    pub(crate) h_0: Option<Vec<f64>>,
    pub(crate) c_0: Option<Vec<f64>>,
    pub(crate) d_y: Vec<f64>,
    pub(crate) d_h_n: Option<Vec<f64>>,
    pub(crate) d_c_n: Option<Vec<f64>>,
}

impl RecurrentWorkspace {
    /// All steps of all rows, forward, with everything that the cell can have.
    pub(crate) fn random(Kind(cell, projection): Kind, steps: usize, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let mut draw = |n| draw(&mut rng, n);
        let (gates, out) = (cell.gates() * HIDDEN, projection.unwrap_or(HIDDEN));
        let cell_state = (cell == Cell::Lstm).then_some(BATCH * HIDDEN);
        Self {
            cell,
            steps,
            batch: BATCH,
            out,
            lengths: None,
            resets: None,
            reverse: false,
            weight_ih: draw(gates * INPUT),
            weight_hh: draw(gates * out),
            bias: Some([draw(gates), draw(gates)]),
            weight_hr: projection.map(|rows| draw(rows * HIDDEN)),
            x: draw(steps * BATCH * INPUT),
            h_0: Some(draw(BATCH * out)),
            c_0: cell_state.map(&mut draw),
            d_y: draw(steps * BATCH * out),
            d_h_n: Some(draw(BATCH * out)),
            d_c_n: cell_state.map(draw),
        }
    }

    /// The same through its steps in every order and selection: forward and reverse, ragged or not, with resets or not.
    pub(crate) fn every_way(&self) -> Vec<Self> {
        let mut ways = Vec::new();
        for way in 0..8_usize {
            // A row of every step, a row of one fewer than half, and a row of none.
            let lengths = (way & 2 != 0).then(|| vec![self.steps, self.steps.saturating_sub(1) / 2, 0]);
            // Two in five, at the first and the last step too.
            let resets = (way & 4 != 0).then(|| (0..self.steps * self.batch).map(|n| n * n % 5 == 1).collect());
            ways.push(Self { reverse: way & 1 != 0, lengths, resets, ..self.clone() });
        }
        ways
    }

    pub(crate) fn layer(&self) -> Layer<'_, f64> {
        Layer {
            cell: self.cell,
            steps: Steps {
                lengths: self.lengths.as_deref(),
                resets: self.resets.as_deref(),
                reverse: self.reverse,
                ..Steps::new(self.steps, self.batch)
            },
            input: INPUT,
            hidden: HIDDEN,
            weight_ih: &self.weight_ih,
            weight_hh: &self.weight_hh,
            bias: self.bias.as_ref().map(|[ih, hh]| [&ih[..], &hh[..]]),
            weight_hr: self.weight_hr.as_deref(),
        }
    }

    pub(crate) fn forward(&self) -> Output<f64> {
        self.layer().forward(&self.x, self.h_0.as_deref(), self.c_0.as_deref())
    }

    pub(crate) fn backward(&self) -> Gradients<f64> {
        let (h_0, c_0) = (self.h_0.as_deref(), self.c_0.as_deref());
        self.layer().backward(&self.x, h_0, c_0, &self.d_y, self.d_h_n.as_deref(), self.d_c_n.as_deref())
    }

    /// What [`backward`](Self::backward) gives the gradients of: Σ y·d_y + Σ h_n·d_h_n + Σ c_n·d_c_n.
    pub(crate) fn objective(&self) -> f64 {
        let Output { y, h_n, c_n } = self.forward();
        let of = |state: &[f64], d: &Option<Vec<f64>>| d.as_ref().map_or(0.0, |d| dot(state, d));
        dot(&y, &self.d_y) + of(&h_n, &self.d_h_n) + of(&c_n, &self.d_c_n)
    }

    pub(crate) fn length(&self, b: usize) -> usize {
        self.lengths.as_ref().map_or(self.steps, |lengths| lengths[b])
    }

    /// Row `b` alone: a batch of one row, of all its own steps.
    pub(crate) fn alone(&self, b: usize) -> Self {
        let steps = self.length(b);
        let sequence = |values: &[f64], width| sequence_of_row(values, width, b, steps);
        let state = |values: &Option<Vec<f64>>, width| values.as_ref().map(|values| row(values, width, b));
        Self {
            steps,
            batch: 1,
            lengths: None,
            resets: self.resets.as_ref().map(|resets| sequence_of_row(resets, 1, b, steps)),
            x: sequence(&self.x, INPUT),
            h_0: state(&self.h_0, self.out),
            c_0: state(&self.c_0, HIDDEN),
            d_y: sequence(&self.d_y, self.out),
            d_h_n: state(&self.d_h_n, self.out),
            d_c_n: state(&self.d_c_n, HIDDEN),
            ..self.clone()
        }
    }
}

/// Row `b` of (B, width).
pub(crate) fn row(values: &[f64], width: usize, b: usize) -> Vec<f64> {
    values[b * width..][..width].to_vec()
}

/// The first `steps` steps of row `b` of (T, B, width): (steps, 1, width).
pub(crate) fn sequence_of_row<V: Copy>(values: &[V], width: usize, b: usize, steps: usize) -> Vec<V> {
    (0..steps).flat_map(|t| values[(t * BATCH + b) * width..][..width].to_vec()).collect()
}

/// The gradients of the parameters, which sum over rows and steps.
pub(crate) fn of_parameters(d: &Gradients<f64>) -> [(&'static str, &[f64]); 5] {
    [
        ("d_weight_ih", &d.d_weight_ih),
        ("d_weight_hh", &d.d_weight_hh),
        ("d_bias_ih", &d.d_bias_ih),
        ("d_bias_hh", &d.d_bias_hh),
        ("d_weight_hr", &d.d_weight_hr),
    ]
}
