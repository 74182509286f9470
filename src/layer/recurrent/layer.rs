//! One layer in one direction: its sizes, its packed weights, and the memory its passes work in.

use super::{Cell, Direction, Parts};
use crate::error::{Error, Result, at_least_one, elements};
use crate::gemm::{GemmScratch, Panels};
use crate::kernel::Kernels;
use crate::kernel::layout::{KB, round_up};
use crate::parallel::Team;
use crate::parallel::Threads;
use crate::plan::{Plan, Shape};
use crate::tensor::Buffer;

/// What a layer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// What it computes at each step.
    pub cell: Cell,
    /// Features of the input (I).
    pub input: usize,
    /// Hidden units (H).
    pub hidden: usize,
    /// Outputs of an LSTM's projection (P), less than H; 0 for none.
    pub projection: usize,
    /// Which way it goes through time.
    pub direction: Direction,
}

impl Sizes {
    /// The width of a state h and of the output: P, or H without a projection.
    #[must_use]
    pub fn output(&self) -> usize {
        if self.projection == 0 { self.hidden } else { self.projection }
    }

    /// The layer over a sequence.
    pub(crate) fn shape(&self, steps: usize, batch: usize) -> Shape {
        let Self { cell, input, hidden, projection, .. } = *self;
        Shape { gates: cell.gates(), input, hidden, projection, batch, steps }
    }
}

/// A layer's weights, packed for a tier's kernels.
#[derive(Clone, Debug)]
pub struct Layer {
    pub(super) sizes: Sizes,
    pub(super) kernels: &'static Kernels,
    /// (I, G·H'): the transpose of `weight_ih`.
    pub(super) w_ih: Panels,
    /// (P, G·H'): the transpose of `weight_hh`.
    pub(super) w_hh: Panels,
    /// (H, P): the transpose of `weight_hr`.
    pub(super) w_hr: Panels,
    /// (G·H'), as the columns of the panels: what the products start from.
    pub(super) bias: Buffer,
    /// The same of the recurrent part, where the last gate's stays apart: zeros but for that gate.
    pub(super) bias_apart: Buffer,
}

/// A layer's parameters as PyTorch lays them out, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    /// (G·H, I) row-major.
    pub weight_ih: &'a [f32],
    /// (G·H, P), or (G·H, H) without a projection, row-major.
    pub weight_hh: &'a [f32],
    /// `bias_ih` and `bias_hh`, (G·H) each; or none.
    pub bias: Option<[&'a [f32]; 2]>,
    /// (P, H) row-major, where there is a projection.
    pub weight_hr: Option<&'a [f32]>,
}

/// What a forward pass keeps for the way back. Belongs to the caller, grows to the largest use, and then is never
/// allocated again.
#[derive(Clone, Debug, Default)]
pub struct Tape {
    /// (rows of all steps, values a unit · H'): gates, then their gradients.
    pub(super) gates: Buffer,
    /// (rows of all steps, H'): cell states.
    pub(super) cells: Buffer,
    /// (rows of all steps, H'): what was projected.
    pub(super) m: Buffer,
    /// (rows of all steps, P'): the gradients of projected states.
    pub(super) d_h: Buffer,
    /// Of the pass that filled it: the rows of all steps and the layer. None once a way back has used it up.
    pub(super) filled: Option<(usize, Sizes)>,
}

/// Memory a pass works in. Belongs to the caller, grows to the largest use, and then is never allocated again.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    pub(super) workers: Vec<Worker>,
    /// (G·H, P): `weight_hh`, for the way back.
    pub(super) w_hh: Panels,
    /// (G·H, I): `weight_ih`, for the gradient of the input.
    pub(super) w_ih: Panels,
    /// (P, H): `weight_hr`, for the way back.
    pub(super) w_hr: Panels,
    /// (P): a row of the state where there is none.
    pub(super) zeros: Buffer,
    /// Where workers that own units meet.
    pub(super) team: Team,
}

/// One worker's part of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Worker {
    pub(super) gemm: GemmScratch,
    /// (rows of a block of steps, G·H').
    pub(super) z: Buffer,
    /// Two blocked operands of some rows.
    pub(super) carry: [Buffer; 2],
    /// The operand of a projection, blocked.
    pub(super) operand: Buffer,
    /// (rows, H'): the cell state forward; what passes beside the product backward.
    pub(super) beside: Buffer,
    /// (rows, H'): unfinished sums.
    pub(super) aside: Buffer,
    /// Sums of the gradients' columns.
    pub(super) sums: Buffer,
}

impl Scratch {
    pub(super) fn reserve(&mut self, workers: usize) {
        if self.workers.len() < workers {
            self.workers.resize_with(workers, Worker::default);
        }
    }
}

impl Layer {
    /// A layer of those sizes. Its weights are zero until [`load`](Self::load).
    ///
    /// # Errors
    /// [`Error::Setting`] for sizes of zero and for a projection that is not smaller than the layer or not an LSTM's,
    /// [`Error::Overflow`] for weights that cannot be addressed.
    pub fn new(sizes: Sizes, kernels: &'static Kernels) -> Result<Self> {
        let Sizes { cell, input, hidden, projection, .. } = sizes;
        at_least_one("input_size", input)?;
        at_least_one("hidden_size", hidden)?;
        if projection > 0 && cell != Cell::Lstm {
            return Err(Error::setting("proj_size", "0 for a layer that is not an LSTM", projection));
        }
        if projection >= hidden {
            return Err(Error::setting("proj_size", &format!("less than hidden_size {hidden}"), projection));
        }
        Plan::new(sizes.shape(1, 1), Threads::one(), kernels.isa())?;
        let mut layer = Self {
            sizes,
            kernels,
            w_ih: Panels::default(),
            w_hh: Panels::default(),
            w_hr: Panels::default(),
            bias: Buffer::default(),
            bias_apart: Buffer::default(),
        };
        let [ih, hh, hr] = layer.shapes().0.map(|[rows, columns]| vec![0.0; rows * columns]);
        layer.load(Weights {
            weight_ih: &ih,
            weight_hh: &hh,
            bias: None,
            weight_hr: (projection > 0).then_some(&hr),
        })?;
        Ok(layer)
    }

    /// What the layer is.
    #[must_use]
    pub fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// The kernels the layer runs on.
    #[must_use]
    pub fn kernels(&self) -> &'static Kernels {
        self.kernels
    }

    /// The schedule for a sequence of `steps` steps of `batch` rows.
    ///
    /// # Errors
    /// [`Error::Overflow`] where such a sequence cannot be addressed.
    pub fn plan(&self, steps: usize, batch: usize, threads: Threads) -> Result<Plan> {
        Plan::new(self.sizes.shape(steps, batch), threads, self.kernels.isa())
    }

    /// Packs the weights. To be done again whenever they change.
    ///
    /// # Errors
    /// [`Error::Length`] where a tensor has another number of elements than its shape needs.
    pub fn load(&mut self, weights: Weights<'_>) -> Result<()> {
        self.check_weights(weights)?;
        let Sizes { input, hidden, projection, .. } = self.sizes;
        let Parts { gates, last_apart, .. } = self.parts();
        self.w_ih.pack_gates_of(weights.weight_ih, (gates, hidden), input);
        self.w_hh.pack_gates_of(weights.weight_hh, (gates, hidden), self.sizes.output());
        if let Some(weight_hr) = weights.weight_hr {
            self.w_hr.pack_gates_of(weight_hr, (1, projection), hidden);
        }
        self.bias.resize(gates * round_up(hidden));
        self.bias.fill(0.0);
        self.bias_apart.resize(if last_apart { gates * round_up(hidden) } else { 0 });
        self.bias_apart.fill(0.0);
        if let Some([ih, hh]) = weights.bias {
            for gate in 0..gates {
                let apart = last_apart && gate + 1 == gates;
                for unit in 0..hidden {
                    let (ih, hh) = (ih[gate * hidden + unit], hh[gate * hidden + unit]);
                    let at = (unit / KB * gates + gate) * KB + unit % KB;
                    self.bias[at] = if apart { ih } else { ih + hh };
                    if apart {
                        self.bias_apart[at] = hh;
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn parts(&self) -> Parts {
        self.sizes.cell.parts()
    }

    /// The shapes of `weight_ih`, `weight_hh`, `weight_hr`, and of either bias.
    pub(crate) fn shapes(&self) -> ([[usize; 2]; 3], [usize; 1]) {
        let Sizes { cell, input, hidden, projection, .. } = self.sizes;
        let rows = cell.gates() * hidden;
        ([[rows, input], [rows, self.sizes.output()], [projection, hidden]], [rows])
    }

    pub(super) fn check_weights(&self, weights: Weights<'_>) -> Result<()> {
        let ([ih, hh, hr], bias) = self.shapes();
        check_len("weight_ih", &ih, weights.weight_ih)?;
        check_len("weight_hh", &hh, weights.weight_hh)?;
        if let Some([bias_ih, bias_hh]) = weights.bias {
            check_len("bias_ih", &bias, bias_ih)?;
            check_len("bias_hh", &bias, bias_hh)?;
        }
        match weights.weight_hr {
            Some(weight_hr) => check_len("weight_hr", &hr, weight_hr),
            None if self.sizes.projection > 0 => check_len("weight_hr", &hr, &[]),
            None => Ok(()),
        }
    }
}

pub(super) fn check_len(name: &str, shape: &[usize], values: &[f32]) -> Result<()> {
    if elements(name, shape)? == values.len() { Ok(()) } else { Err(Error::length(name, shape, values.len())) }
}
