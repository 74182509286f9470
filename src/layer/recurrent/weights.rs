//! One layer in one direction and its weights in panels.

use std::sync::{Arc, OnceLock};

use super::{Scratch, Sizes};
use crate::error::{Error, Result, elements};
use crate::gemm::Panels;
use crate::gemm::panel::{GateRows, WEIGHTS};
use crate::kernel::Kernels;
use crate::kernel::layout::GateColumns;
use crate::kernel::step::UnitBlock;
use crate::parallel::Threads;
use crate::plan::{Plan, Request, Work};
use crate::tensor::Buffer;

/// A layer's weights, laid out for the kernels, and the tier that it runs on.
#[derive(Clone, Debug)]
pub struct Layer {
    pub(super) sizes: Sizes,
    pub(super) kernels: &'static Kernels,
    /// (I, G·H'): the transpose of `weight_ih`.
    pub(super) w_ih: Panels,
    /// (O, G·H'): the transpose of `weight_hh`.
    pub(super) w_hh: Panels,
    /// (H, P): the transpose of `weight_hr`.
    pub(super) w_hr: Panels,
    /// (G·H'), as the columns of the panels: what the products start from.
    pub(super) bias: Buffer,
    /// The same of the recurrent part, where the last gate's stays apart: zeros but for that gate.
    pub(super) bias_apart: Buffer,
    /// All of it as single steps read it, made when the first stream asks for it.
    pub(super) for_steps: OnceLock<Arc<StepWeights>>,
}

/// A layer's weights as single steps read them.
#[derive(Debug)]
pub(super) struct StepWeights {
    /// Biases and weights, block by block: [`kernel::step`](crate::kernel::step) draws it.
    pub(super) floats: Buffer,
    pub(super) blocks: Vec<UnitBlock>,
    /// (H, P), where there is a projection.
    pub(super) w_hr: Option<Panels>,
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

impl Layer {
    /// A layer of those sizes. Its weights are zero until [`load`](Self::load).
    ///
    /// # Errors
    /// [`Error::Setting`] for sizes of zero and for a projection that is not smaller than the layer or not an LSTM's,
    /// [`Error::Overflow`] for weights that cannot be addressed, [`Error::Memory`] where there is not as much memory.
    pub fn new(sizes: Sizes, kernels: &'static Kernels) -> Result<Self> {
        sizes.check()?;
        let Sizes { cell, input, hidden, projection, .. } = sizes;
        let mut layer = Self {
            sizes,
            kernels,
            w_ih: Panels::default(),
            w_hh: Panels::default(),
            w_hr: Panels::default(),
            bias: Buffer::default(),
            bias_apart: Buffer::default(),
            for_steps: OnceLock::new(),
        };
        let gates = GateRows { gates: cell.gates(), hidden };
        layer.w_ih.reshape_gates(gates, input)?;
        layer.w_hh.reshape_gates(gates, sizes.output())?;
        layer.w_hr.reshape_gates(GateRows { gates: 1, hidden: projection }, hidden)?;
        layer.reshape_biases()?;
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

    /// The schedule for `work` on a sequence of `steps` steps of `batch` rows.
    ///
    /// # Errors
    /// [`Error::Overflow`] where such a sequence cannot be addressed.
    pub fn plan(&self, work: Work, [steps, batch]: [usize; 2], threads: Threads) -> Result<Plan> {
        let shape = self.sizes.shape(steps, batch);
        shape.check()?;
        Ok(Plan::new(shape, work, threads, self.kernels.isa()))
    }

    /// The same, or that of an earlier call in the same memory.
    ///
    /// # Errors
    /// As [`plan`](Self::plan).
    pub(crate) fn plan_in(
        &self,
        scratch: &mut Scratch,
        work: Work,
        [steps, batch]: [usize; 2],
        threads: Threads,
    ) -> Result<Plan> {
        scratch.plans.get(Request { shape: self.sizes.shape(steps, batch), work, threads, isa: self.kernels.isa() })
    }

    /// Lays the weights out in panels. To be done again whenever they change.
    ///
    /// # Errors
    /// [`Error::Length`] where a tensor has another number of elements than its shape needs.
    pub fn load(&mut self, weights: Weights<'_>) -> Result<()> {
        self.check_weights(weights)?;
        self.for_steps = OnceLock::new();
        let Sizes { input, hidden, projection, .. } = self.sizes;
        let facts = self.sizes.cell.facts();
        let columns = GateColumns { gates: facts.gates };
        let gates = GateRows { gates: facts.gates, hidden };
        self.w_ih.pack_gates_of(weights.weight_ih, gates, input)?;
        self.w_hh.pack_gates_of(weights.weight_hh, gates, self.sizes.output())?;
        if let Some(weight_hr) = weights.weight_hr {
            self.w_hr.pack_gates_of(weight_hr, GateRows { gates: 1, hidden: projection }, hidden)?;
        }
        self.reshape_biases()?;
        if let Some([ih, hh]) = weights.bias {
            for (row, (&ih, &hh)) in ih.iter().zip(hh).enumerate() {
                let (gate, unit) = (row / hidden, row % hidden);
                let at = columns.of(gate, unit);
                if facts.stays_apart(gate) {
                    (self.bias[at], self.bias_apart[at]) = (ih, hh);
                } else {
                    self.bias[at] = ih + hh;
                }
            }
        }
        Ok(())
    }

    /// Biases of zero.
    fn reshape_biases(&mut self) -> Result<()> {
        let Sizes { cell, hidden, .. } = self.sizes;
        let width = GateColumns { gates: cell.gates() }.width(hidden);
        self.bias.try_resize(WEIGHTS, width)?;
        self.bias_apart.try_resize(WEIGHTS, if cell.facts().last_apart { width } else { 0 })?;
        self.bias.fill(0.0);
        self.bias_apart.fill(0.0);
        Ok(())
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
