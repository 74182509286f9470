//! The head: y = x·Wᵀ + b.

use crate::error::{Result, at_least_one, check_shape, elements};
use crate::gemm::{Blocking, GemmScratch, Panels, Rows, Target, accumulate_outer, column_sums, multiply};
use crate::kernel::Kernels;
use crate::kernel::gemm::Start;
use crate::kernel::layout::Depth;
use crate::params::{ParamId, ParamTable, Params};
use crate::rng::Rng;
use crate::tensor::{Buffer, Seq, SeqRef};

/// A fully connected layer, `torch.nn.Linear`: parameters `weight` \[out, in\] and `bias` \[out\].
#[derive(Clone, Debug)]
pub struct Linear {
    in_features: usize,
    out_features: usize,
    weight: ParamId,
    bias: ParamId,
    kernels: &'static Kernels,
    blocking: Blocking,
    /// (in, out): the transpose of `weight`.
    panels: Panels,
    packed_bias: Buffer,
}

/// Memory the layer works in; grows to the largest use.
#[derive(Clone, Debug, Default)]
pub struct LinearScratch {
    gemm: GemmScratch,
    /// (out, in): `weight`, for the way back.
    weight: Panels,
}

impl Linear {
    /// A layer from `in_features` to `out_features`, its parameters entered in `table` as `{name}.weight` and
    /// `{name}.bias`.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) for sizes of zero or a name that is taken,
    /// [`Error::Overflow`](crate::Error::Overflow) for sizes that cannot be addressed, [`Error::Isa`](crate::Error::Isa)
    /// for an `ELMAN_ISA` that there is not.
    pub fn new(table: &mut ParamTable, name: &str, in_features: usize, out_features: usize) -> Result<Self> {
        at_least_one("in_features", in_features)?;
        at_least_one("out_features", out_features)?;
        // Packed, both sizes are padded to whole vectors.
        elements(name, &[in_features.saturating_add(15), out_features.saturating_add(15)])?;
        let kernels = Kernels::active()?;
        let weight = table.add(format!("{name}.weight"), &[out_features, in_features])?;
        let bias = table.add(format!("{name}.bias"), &[out_features])?;
        Ok(Self {
            in_features,
            out_features,
            weight,
            bias,
            kernels,
            blocking: Blocking::of(kernels.isa()),
            panels: Panels::new(in_features, out_features),
            packed_bias: Buffer::zeros(out_features.next_multiple_of(16)),
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
        for id in [self.weight, self.bias] {
            params.get_mut(id).iter_mut().for_each(|x| *x = rng.uniform(-bound, bound));
        }
    }

    /// Packs the parameters. To be done again whenever they change.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) or [`Error::UnknownParameter`](crate::Error::UnknownParameter) where `params`
    /// are another model's.
    pub fn load(&mut self, params: &Params) -> Result<()> {
        self.check(params)?;
        self.panels.pack_transposed(params.get(self.weight));
        self.packed_bias[..self.out_features].copy_from_slice(params.get(self.bias));
        Ok(())
    }

    fn check(&self, params: &Params) -> Result<()> {
        params.check(self.weight, || "weight".into(), &[self.out_features, self.in_features])?;
        params.check(self.bias, || "bias".into(), &[self.out_features])
    }

    /// y = x·Wᵀ + b: `x` (T, B, in), `y` takes the shape (T, B, out).
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) naming `input`, [`Error::Overflow`](crate::Error::Overflow).
    pub fn forward(&self, x: SeqRef<'_>, y: &mut Seq, scratch: &mut LinearScratch) -> Result<()> {
        let [steps, batch, _] = x.shape();
        check_shape("input", &[steps, batch, self.in_features], &x.shape())?;
        y.reshape(steps, batch, self.out_features)?;
        let c = (y.data_mut(), self.out_features);
        let start = Start::Columns(&self.packed_bias);
        multiply(self.kernels, self.blocking, x, self.panels.view(), start, c, &mut scratch.gemm);
        Ok(())
    }

    /// The way back: adds to the parameters' gradients; `d_x`, where it is wanted, takes the shape (T, B, in) and
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
        d_x: Option<&mut Seq>,
        scratch: &mut LinearScratch,
    ) -> Result<()> {
        let [steps, batch, _] = x.shape();
        let (input, output) = (self.in_features, self.out_features);
        check_shape("input", &[steps, batch, input], &x.shape())?;
        check_shape("d_output", &[steps, batch, output], &d_y.shape())?;
        self.check(params)?;
        self.check(gradients)?;

        let [d_weight, d_bias] = gradients.get_many_mut([self.weight, self.bias]);
        let mut targets = [Target { right: Rows::Of(x), c: d_weight }];
        accumulate_outer(self.kernels, self.blocking, d_y, &mut targets, &mut scratch.gemm);
        column_sums(self.kernels, d_y, 0, d_bias);

        if let Some(d_x) = d_x {
            d_x.reshape(steps, batch, input)?;
            scratch.weight.reshape(Depth::of(output), input);
            scratch.weight.pack(params.get(self.weight));
            let c = (d_x.data_mut(), input);
            multiply(self.kernels, self.blocking, d_y, scratch.weight.view(), Start::Zero, c, &mut scratch.gemm);
        }
        Ok(())
    }
}
