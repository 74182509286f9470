//! The head: y = x·Wᵀ + b.

use crate::error::{Result, at_least_one, check_shape, elements};
use crate::gemm::panel::WEIGHTS;
use crate::gemm::{
    Blocking, GemmScratch, OperandRows, OuterProduct, Panels, Product, WORKING, Write, column_sums, multiply, outer,
};
use crate::kernel::Kernels;
use crate::kernel::layout::{Depth, whole_panels};
use crate::kernel::step::Dense;
use crate::kernel::tile::Start;
use crate::params::{ParamId, ParamTable, Params};
use crate::rng::Rng;
use crate::tensor::{Buffer, Seq, SeqRef, StepRows};

/// A fully connected layer, `torch.nn.Linear`: parameters `weight` \[out, in\] and `bias` \[out\].
#[derive(Clone, Debug)]
pub struct Linear {
    in_features: usize,
    out_features: usize,
    weight: ParamId,
    bias: Option<ParamId>,
    kernels: &'static Kernels,
    blocking: Blocking,
    /// (in, out): the transpose of `weight`.
    panels: Panels,
    bias_columns: Buffer,
}

/// What a linear layer is.
#[derive(Clone, Copy, Debug)]
pub struct LinearSettings {
    /// Features of the input.
    pub in_features: usize,
    /// Features of the output.
    pub out_features: usize,
    /// Whether there is a bias.
    pub bias: bool,
    /// The kernels to run on; the machine's best where there are none.
    pub kernels: Option<&'static Kernels>,
}

/// Memory the layer works in; grows to the largest use.
#[derive(Clone, Debug, Default)]
pub struct LinearScratch {
    gemm: GemmScratch,
    /// (out, in): `weight`, for the backward pass.
    weight: Panels,
}

/// What a backward pass of a [`Linear`] reads, and how it writes the parameters' gradients.
#[derive(Clone, Copy)]
pub(crate) struct LinearBackward<'a> {
    pub(crate) params: &'a Params,
    /// (T, B, in): the input of the forward pass.
    pub(crate) x: SeqRef<'a>,
    /// (T, B, out): the gradient at its output.
    pub(crate) d_y: SeqRef<'a>,
    pub(crate) write: Write,
}

impl Linear {
    /// A layer from `in_features` to `out_features`, its parameters entered in `table` as `{name}.weight` and
    /// `{name}.bias`.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) for sizes of zero or a name that is taken,
    /// [`Error::Overflow`](crate::Error::Overflow) for sizes that cannot be addressed, [`Error::Isa`](crate::Error::Isa)
    /// for an `ELMAN_ISA` that names an unknown or unavailable tier.
    pub fn new(table: &mut ParamTable, name: &str, in_features: usize, out_features: usize) -> Result<Self> {
        Self::with(table, name, LinearSettings { in_features, out_features, bias: true, kernels: None })
    }

    /// The same with or without a bias, on a tier of one's choice.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with(table: &mut ParamTable, name: &str, settings: LinearSettings) -> Result<Self> {
        let LinearSettings { in_features, out_features, bias, kernels } = settings;
        at_least_one("in_features", in_features)?;
        at_least_one("out_features", out_features)?;
        // In panels, both sizes are padded to whole vectors.
        elements(name, &[in_features.saturating_add(15), out_features.saturating_add(15)])?;
        let kernels = kernels.map_or_else(Kernels::active, Ok)?;
        let dot = if name.is_empty() { "" } else { "." };
        let weight = table.add(format!("{name}{dot}weight"), &[out_features, in_features])?;
        let bias = bias.then(|| table.add(format!("{name}{dot}bias"), &[out_features])).transpose()?;
        let mut panels = Panels::default();
        panels.reshape(WEIGHTS, Depth::of(in_features), out_features)?;
        Ok(Self {
            in_features,
            out_features,
            weight,
            bias,
            kernels,
            blocking: Blocking::of(kernels.isa()),
            panels,
            bias_columns: Buffer::try_zeros(WEIGHTS, whole_panels(out_features))?,
        })
    }

    /// Features of the output.
    #[must_use]
    pub fn out_features(&self) -> usize {
        self.out_features
    }

    /// Draws the parameters as PyTorch does: U(-1/√in, 1/√in), the weight first.
    ///
    /// # Panics
    /// If `params` are another model's.
    pub fn init(&self, params: &mut Params, rng: &mut Rng) {
        let bound = 1.0 / (self.in_features as f32).sqrt();
        for id in [self.weight].into_iter().chain(self.bias) {
            params.tensor_mut(id).iter_mut().for_each(|x| *x = rng.uniform(-bound, bound));
        }
    }

    /// Lays the parameters out. To be done again whenever they change.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) or [`Error::UnknownParameter`](crate::Error::UnknownParameter) where `params`
    /// are another model's.
    pub fn load(&mut self, params: &Params) -> Result<()> {
        self.check(params)?;
        self.panels.pack_transposed(params.tensor(self.weight));
        if let Some(bias) = self.bias {
            self.bias_columns[..self.out_features].copy_from_slice(params.tensor(bias));
        }
        Ok(())
    }

    fn check(&self, params: &Params) -> Result<()> {
        params.check(self.weight, || "weight".into(), &[self.out_features, self.in_features])?;
        self.bias.map_or(Ok(()), |bias| params.check(bias, || "bias".into(), &[self.out_features]))
    }

    /// y = x·Wᵀ + b: `x` (T, B, in), `y` takes the shape (T, B, out).
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) naming `input`, [`Error::Overflow`](crate::Error::Overflow).
    pub fn forward(&self, x: SeqRef<'_>, y: &mut Seq, scratch: &mut LinearScratch) -> Result<()> {
        let [steps, batch, _] = x.shape();
        check_shape("input", &[steps, batch, self.in_features], &x.shape())?;
        y.reshape(steps, batch, self.out_features)?;
        self.forward_rows(x, y.data_mut(), scratch)
    }

    /// The same for every row of `x` in view, one after the other in `y`.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory).
    pub(crate) fn forward_rows(&self, x: SeqRef<'_>, y: &mut [f32], scratch: &mut LinearScratch) -> Result<()> {
        let start = Start::Columns(&self.bias_columns);
        let product = Product { a: x, b: self.panels.view(), start, c: y, stride: self.out_features };
        multiply(self.kernels, self.blocking, product, &mut scratch.gemm)
    }

    /// The same for the first `rows` rows of `x`: `y` (rows, outputs rounded up to 16) is memory that is there.
    pub(crate) fn steps(&self, rows: usize, x: StepRows<'_>, y: &mut [f32]) {
        (self.kernels.dense)(Dense { rows, x, weight: self.panels.view(), bias: &self.bias_columns, y });
    }

    /// The backward pass: adds to the parameters' gradients; `d_x`, where it is wanted, takes the shape (T, B, in) and
    /// receives the gradient of the input.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) naming `input`, `d_output` or a parameter of another model.
    pub fn backward(
        &self,
        params: &Params,
        x: SeqRef<'_>,
        d_y: SeqRef<'_>,
        gradients: &mut Params,
        mut d_x: Option<&mut Seq>,
        scratch: &mut LinearScratch,
    ) -> Result<()> {
        let [steps, batch, _] = x.shape();
        let (input, output) = (self.in_features, self.out_features);
        check_shape("input", &[steps, batch, input], &x.shape())?;
        check_shape("d_output", &[steps, batch, output], &d_y.shape())?;
        self.check(params)?;
        self.check(gradients)?;

        if let Some(d_x) = &mut d_x {
            d_x.reshape(steps, batch, input)?;
        }
        let args = LinearBackward { params, x, d_y, write: Write::Add };
        self.backward_rows(args, gradients, d_x.map(|d_x| d_x.data_mut()), scratch)
    }

    /// The same for every row in view; those of `d_x` lie one after the other.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory).
    pub(crate) fn backward_rows(
        &self,
        args: LinearBackward<'_>,
        gradients: &mut Params,
        d_x: Option<&mut [f32]>,
        scratch: &mut LinearScratch,
    ) -> Result<()> {
        let LinearBackward { params, x, d_y, write } = args;
        let d_weight = gradients.tensor_mut(self.weight);
        let mut targets = [OuterProduct { right: OperandRows::Of(x), c: d_weight }];
        outer(self.kernels, self.blocking, d_y, &mut targets, write, &mut scratch.gemm)?;
        if let Some(bias) = self.bias {
            column_sums(self.kernels, d_y, 0, gradients.tensor_mut(bias), write);
        }
        if let Some(d_x) = d_x {
            scratch.weight.reshape(WORKING, Depth::of(self.out_features), self.in_features)?;
            scratch.weight.pack(params.tensor(self.weight));
            let b = scratch.weight.view();
            let product = Product { a: d_y, b, start: Start::Zero, c: d_x, stride: self.in_features };
            multiply(self.kernels, self.blocking, product, &mut scratch.gemm)?;
        }
        Ok(())
    }
}
