//! The head: y = x·Wᵀ + b.

use std::ops::Range;
use std::sync::Arc;

use crate::error::{Result, at_least_one, check_shape, elements};
use crate::gemm::panel::WEIGHTS;
use crate::gemm::{
    Blocking, GemmScratch, OperandRows, OuterProduct, Panels, Product, WORKING, Write, column_sums, multiply, outer,
};
use crate::kernel::Kernels;
use crate::kernel::dots::{self, Dots};
use crate::kernel::layout::{Depth, whole_panels};
use crate::kernel::product::Chains;
use crate::kernel::step::Dense;
use crate::kernel::tile::Start;
use crate::parallel::{Shares, crew, share_rows, try_share};
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
    laid_out: Arc<LaidOut>,
}

/// The parameters as the sums read them. Streams have a share in them.
#[derive(Clone, Debug)]
struct LaidOut {
    weight: LaidOutWeight,
    /// (out rounded up to 16): zeros where there is no bias.
    bias: Buffer,
}

#[derive(Clone, Debug)]
enum LaidOutWeight {
    /// (in, out), the transpose, and the order of the sums.
    Columns(Panels, Chains),
    /// (out, in rounded up to 16), for [`dots`].
    Rows(Buffer),
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
    workers: Vec<GemmScratch>,
    /// (out, in): `weight`, for the backward pass.
    weight: Panels,
}

impl LinearScratch {
    /// Shares of `rows` independent rows, of `flop` floating-point operations in all, and a scratch for each.
    fn shares(&mut self, rows: usize, flop: f64) -> Shares<'static> {
        let shares = Shares::of_rows(rows, crew(flop));
        if self.workers.len() < shares.workers {
            self.workers.resize_with(shares.workers, GemmScratch::default);
        }
        shares
    }

    /// Shares of the rows of a sequence; one where they are not those of a single step, and so not side by side.
    fn shares_of(&mut self, x: SeqRef<'_>, flop: f64) -> Shares<'static> {
        let [steps, rows, _] = x.shape();
        self.shares(rows, if steps == 1 { flop } else { 0.0 })
    }
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

/// A linear layer that rows go through step by step.
#[derive(Clone, Debug)]
pub(crate) struct LinearSteps {
    kernels: &'static Kernels,
    laid_out: Arc<LaidOut>,
    in_features: usize,
    out_features: usize,
    /// (lines, out rounded up to 16).
    y: Buffer,
    pitch: usize,
}

impl LinearSteps {
    /// Runs the first `lines` rows of `x`; gives the outputs.
    #[inline]
    pub(crate) fn run<'a>(&'a mut self, lines: usize, x: StepRows<'a>) -> StepRows<'a> {
        let LaidOut { weight, bias } = &*self.laid_out;
        match weight {
            LaidOutWeight::Columns(panels, chains) => {
                let weight = panels.view();
                (self.kernels.dense)(Dense { rows: lines, x, chains: *chains, weight, bias, y: &mut self.y });
            }
            LaidOutWeight::Rows(weight) => {
                let (len, bias, stride) = (self.in_features, &bias[..self.out_features], self.pitch);
                (self.kernels.dots)(Dots { rows: lines, x, len, weight, bias, y: &mut self.y, stride });
            }
        }
        StepRows { data: &self.y, pitch: self.pitch }
    }
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
        let laid_out = if dots::suit(in_features, out_features) {
            LaidOutWeight::Rows(Buffer::try_zeros(WEIGHTS, out_features * in_features.next_multiple_of(dots::SUMS))?)
        } else {
            let mut panels = Panels::default();
            panels.reshape(WEIGHTS, Depth::of(in_features), out_features)?;
            LaidOutWeight::Columns(panels, Chains::of_linear(in_features, out_features))
        };
        Ok(Self {
            in_features,
            out_features,
            weight,
            bias,
            kernels,
            blocking: Blocking::of(kernels.isa()),
            laid_out: Arc::new(LaidOut {
                weight: laid_out,
                bias: Buffer::try_zeros(WEIGHTS, whole_panels(out_features))?,
            }),
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
        let weight = params.tensor(self.weight);
        let laid_out = Arc::make_mut(&mut self.laid_out);
        match &mut laid_out.weight {
            LaidOutWeight::Columns(panels, _) => panels.pack_transposed(weight),
            LaidOutWeight::Rows(rows) => {
                let padded = self.in_features.next_multiple_of(dots::SUMS);
                for (row, weight) in rows.chunks_exact_mut(padded).zip(weight.chunks_exact(self.in_features)) {
                    row[..weight.len()].copy_from_slice(weight);
                }
            }
        }
        if let Some(bias) = self.bias {
            laid_out.bias[..self.out_features].copy_from_slice(params.tensor(bias));
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
        let (flat, width) = (x.as_one_step(), self.out_features);
        let total = flat.lines().total();
        let shares = scratch.shares_of(flat, self.flop(total));
        try_share(
            shares,
            (&mut y[..total * width], width),
            &mut scratch.workers,
            &|rows, (y, stride), gemm| match &self.laid_out.weight {
                LaidOutWeight::Columns(panels, chains) => {
                    let start = Start::Columns(&self.laid_out.bias);
                    let product =
                        Product { a: rows_of(x, flat, &rows), b: panels.view(), chains: *chains, start, c: y, stride };
                    multiply(self.kernels, self.blocking, product, gemm)
                }
                LaidOutWeight::Rows(weight) => {
                    self.dots(flat.narrow_rows(rows.start, rows.len()), weight, y);
                    Ok(())
                }
            },
        )
    }

    /// All rows of `x` times few rows of the weight.
    fn dots(&self, x: SeqRef<'_>, weight: &[f32], mut rest: &mut [f32]) {
        let stride = self.out_features;
        for t in 0..x.shape()[0] {
            let (rows, (data, pitch)) = (x.step(t).shape()[0], x.step(t).strided());
            let y;
            (y, rest) = rest.split_at_mut(rows * stride);
            let (x, bias) = (StepRows { data, pitch }, &self.laid_out.bias[..stride]);
            (self.kernels.dots)(Dots { rows, x, len: self.in_features, weight, bias, y, stride });
        }
    }

    /// Floating-point operations of a product with so many rows.
    pub(crate) fn flop(&self, rows: usize) -> f64 {
        2.0 * rows as f64 * self.in_features as f64 * self.out_features as f64
    }

    /// The layer with memory for the outputs of `lines` rows.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory), [`Error::Overflow`](crate::Error::Overflow).
    pub(crate) fn steps(&self, lines: usize) -> Result<LinearSteps> {
        let pitch = whole_panels(self.out_features);
        let kernels = match self.laid_out.weight {
            LaidOutWeight::Columns(..) => self.kernels.for_steps_of(self.out_features),
            LaidOutWeight::Rows(_) => self.kernels,
        };
        Ok(LinearSteps {
            kernels,
            laid_out: self.laid_out.clone(),
            in_features: self.in_features,
            out_features: self.out_features,
            y: Buffer::try_zeros("stream", elements("stream", &[lines, pitch])?)?,
            pitch,
        })
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
        let LinearBackward { params, x, d_y, .. } = args;
        let (total, width) = (x.lines().total(), self.in_features);
        let flop = self.flop(total);
        self.weight_gradients(args, gradients, scratch.shares(self.out_features, flop), &mut scratch.workers)?;
        let Some(d_x) = d_x else { return Ok(()) };
        scratch.weight.reshape(WORKING, Depth::of(self.out_features), self.in_features)?;
        scratch.weight.pack(params.tensor(self.weight));
        let flat = d_y.as_one_step();
        let shares = scratch.shares_of(flat, flop);
        let (b, chains, start) = (scratch.weight.view(), Chains::One, Start::Zero);
        try_share(shares, (&mut d_x[..total * width], width), &mut scratch.workers, &|rows, (c, stride), gemm| {
            let a = rows_of(d_y, flat, &rows);
            multiply(self.kernels, self.blocking, Product { a, b, chains, start, c, stride }, gemm)
        })
    }

    /// Those of the weight and the bias: a worker takes the whole sum for its own outputs.
    fn weight_gradients(
        &self,
        args: LinearBackward<'_>,
        gradients: &mut Params,
        shares: Shares<'_>,
        workers: &mut [GemmScratch],
    ) -> Result<()> {
        let LinearBackward { x, d_y, write, .. } = args;
        let d_weight = (gradients.tensor_mut(self.weight), self.in_features);
        try_share(shares, d_weight, workers, &|outputs, (c, _), gemm| {
            let left = d_y.narrow_columns(outputs.start, outputs.len());
            outer(self.kernels, self.blocking, left, &mut [OuterProduct { right: OperandRows::Of(x), c }], write, gemm)
        })?;
        if let Some(bias) = self.bias {
            let (d_bias, total) = ((gradients.tensor_mut(bias), 1), x.lines().total());
            share_rows(self.out_features, (total * self.out_features) as f64, d_bias, &|outputs, (sums, _)| {
                column_sums(self.kernels, d_y, outputs.start, sums, write);
            });
        }
        Ok(())
    }
}

/// The rows of a share of `flat`, the sequence `x` as one step. All of them are `x` as it came: only of steps of one row does
/// [`multiply`] know that they are so, and then lays out nothing where that would take as long as the product.
fn rows_of<'a>(x: SeqRef<'a>, flat: SeqRef<'a>, rows: &Range<usize>) -> SeqRef<'a> {
    if rows.len() == flat.shape()[1] { x } else { flat.narrow_rows(rows.start, rows.len()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;

    /// A small product of one row a step reads its operands where they are, forward and backward: to lay them out takes as long
    /// again. Seen are the first worker's copies after both passes over (T, B, 32) to 24 features.
    #[test]
    fn products_of_one_row_a_step_lay_out_nothing() {
        let copied = |kernels: &'static Kernels, batch: usize| {
            let mut table = ParamTable::new();
            let settings = LinearSettings { in_features: 32, out_features: 24, bias: true, kernels: Some(kernels) };
            let mut linear = Linear::with(&mut table, "", settings).unwrap();
            let mut params = Params::zeros(table);
            linear.init(&mut params, &mut Rng::new(1));
            linear.load(&params).unwrap();
            let (mut scratch, mut y) = (LinearScratch::default(), Seq::default());
            let (x, d_y) = (Seq::zeros(40, batch, 32).unwrap(), Seq::zeros(40, batch, 24).unwrap());
            linear.forward(x.view(), &mut y, &mut scratch).unwrap();
            let (mut gradients, mut d_x) = (params.zeros_like(), Seq::default());
            linear.backward(&params, x.view(), d_y.view(), &mut gradients, Some(&mut d_x), &mut scratch).unwrap();
            scratch.workers[0].copied()
        };
        for kernels in Kernels::available().filter(|kernels| kernels.isa() != Isa::Portable) {
            assert_eq!(copied(kernels, 1), 0, "{}", kernels.isa());
            assert!(copied(kernels, 3) > 0, "{}: of a batch they are laid out", kernels.isa());
        }
    }
}
