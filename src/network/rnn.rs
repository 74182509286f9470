//! `torch.nn.RNN`: one Elman layer.

use crate::cell::{Elman, ElmanBackwardPass, ElmanGradients, ElmanScratch, ElmanWeights, Nonlinearity};
use crate::error::Result;
use crate::kernel::Kernels;
use crate::params::{Layout, ParamId, Params};
use crate::rng::Rng;
use crate::tensor::{Seq, SeqMut, SeqRef};
use crate::threads::Threads;

/// An Elman layer, `torch.nn.RNN` with one layer and one direction.
///
/// For each step, h_t = act(x_t·W_ihᵀ + b_ih + h_{t-1}·W_hhᵀ + b_hh), act being tanh or relu.
///
/// | tensor | shape |
/// |---|---|
/// | input x | (T, B, I) |
/// | h_0, h_n | (1, B, H) |
/// | output y | (T, B, H) |
/// | `weight_ih_l0` | \[H, I\] |
/// | `weight_hh_l0` | \[H, H\] |
/// | `bias_ih_l0`, `bias_hh_l0` | \[H\] |
///
/// The parameters live in the model's [`Params`]; the layer keeps a packed copy of them, which
/// [`load`](Self::load) makes.
///
/// ```
/// use elman::tensor::Seq;
/// use elman::{Layout, Params, Rng, Rnn, Threads, Workspace};
///
/// let mut layout = Layout::new();
/// let mut rnn = Rnn::builder(3, 8).build(&mut layout, "rnn")?;
/// let mut params = Params::zeros(layout);
/// rnn.init(&mut params, &mut Rng::new(1));
/// rnn.load(&params)?;
///
/// let x = Seq::zeros(5, 2, 3)?; // five steps, two rows, three features
/// let mut y = Seq::default();
/// let mut workspace = Workspace::default();
/// rnn.forward(x.view(), None, &mut y, &mut workspace, Threads::one())?;
/// assert_eq!(y.shape(), [5, 2, 8]);
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Rnn {
    cell: Elman,
    input_size: usize,
    hidden_size: usize,
    weight_ih: ParamId,
    weight_hh: ParamId,
    bias: Option<[ParamId; 2]>,
}

/// The settings of an [`Rnn`], with PyTorch's names and defaults.
#[derive(Clone, Debug)]
pub struct RnnBuilder {
    input_size: usize,
    hidden_size: usize,
    nonlinearity: Nonlinearity,
    bias: bool,
    kernels: Option<&'static Kernels>,
}

impl RnnBuilder {
    /// The activation; tanh unless set.
    #[must_use]
    pub fn nonlinearity(self, nonlinearity: Nonlinearity) -> Self {
        Self { nonlinearity, ..self }
    }

    /// Whether there are `bias_ih` and `bias_hh`; there are unless set otherwise.
    #[must_use]
    pub fn bias(self, bias: bool) -> Self {
        Self { bias, ..self }
    }

    /// The kernels to run on, [`Kernels::active`] unless set.
    #[must_use]
    pub fn kernels(self, kernels: &'static Kernels) -> Self {
        Self { kernels: Some(kernels), ..self }
    }

    /// The layer, its parameters entered in `layout` as `{name}.weight_ih_l0` and so on, in PyTorch's order.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) for sizes of zero or a name that is taken,
    /// [`Error::Overflow`](crate::Error::Overflow) for sizes that cannot be addressed,
    /// [`Error::Isa`](crate::Error::Isa) for an `ELMAN_ISA` that there is not.
    pub fn build(self, layout: &mut Layout, name: &str) -> Result<Rnn> {
        let Self { input_size, hidden_size, nonlinearity, bias, kernels } = self;
        let kernels = kernels.map_or_else(Kernels::active, Ok)?;
        let cell = Elman::new(input_size, hidden_size, nonlinearity, kernels)?;
        let weight_ih = layout.add(format!("{name}.weight_ih_l0"), &[hidden_size, input_size])?;
        let weight_hh = layout.add(format!("{name}.weight_hh_l0"), &[hidden_size, hidden_size])?;
        let bias = if bias {
            let bias_ih = layout.add(format!("{name}.bias_ih_l0"), &[hidden_size])?;
            Some([bias_ih, layout.add(format!("{name}.bias_hh_l0"), &[hidden_size])?])
        } else {
            None
        };
        Ok(Rnn { cell, input_size, hidden_size, weight_ih, weight_hh, bias })
    }
}

/// Memory a layer works in. Belongs to the caller, grows to the largest use, and then is never allocated again.
#[derive(Clone, Debug, Default)]
pub struct Workspace(ElmanScratch);

/// What a backward pass reads and writes, apart from parameters and their gradients.
#[derive(Debug)]
pub struct RnnBackward<'a> {
    /// (T, B, I): the input of the forward run.
    pub x: SeqRef<'a>,
    /// (1, B, H): its first state, if one was given.
    pub h_0: Option<SeqRef<'a>>,
    /// (T, B, H): its output.
    pub y: SeqRef<'a>,
    /// (T, B, H): the gradient at every output.
    pub d_y: SeqRef<'a>,
    /// (1, B, H): the gradient at h_n.
    pub d_h_n: Option<SeqRef<'a>>,
    /// (T, B, I): receives the gradient of the input.
    pub d_x: Option<SeqMut<'a>>,
    /// (1, B, H), row-major: receives the gradient of h_0.
    pub d_h_0: Option<&'a mut [f32]>,
}

impl Rnn {
    /// A layer of `hidden_size` units over `input_size` features, to be completed by [`RnnBuilder::build`].
    #[must_use]
    pub fn builder(input_size: usize, hidden_size: usize) -> RnnBuilder {
        RnnBuilder { input_size, hidden_size, nonlinearity: Nonlinearity::Tanh, bias: true, kernels: None }
    }

    /// Hidden units.
    #[must_use]
    pub fn hidden_size(&self) -> usize {
        self.hidden_size
    }

    /// The kernels the layer runs on.
    #[must_use]
    pub fn kernels(&self) -> &'static Kernels {
        self.cell.kernels()
    }

    /// Draws the parameters as PyTorch does: U(-1/√H, 1/√H), in their order.
    ///
    /// # Panics
    /// If `params` are another model's.
    pub fn init(&self, params: &mut Params, rng: &mut Rng) {
        let bound = 1.0 / (self.hidden_size as f32).sqrt();
        self.init_with(params, || rng.uniform(-bound, bound));
    }

    /// Sets every parameter to what `draw` gives, in their order.
    ///
    /// # Panics
    /// If `params` are another model's.
    pub fn init_with(&self, params: &mut Params, mut draw: impl FnMut() -> f32) {
        for id in [self.weight_ih, self.weight_hh].into_iter().chain(self.bias.into_iter().flatten()) {
            params.get_mut(id).iter_mut().for_each(|x| *x = draw());
        }
    }

    /// Packs the parameters. To be done again whenever they change.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) or [`Error::UnknownParameter`](crate::Error::UnknownParameter) where `params`
    /// are another model's.
    pub fn load(&mut self, params: &Params) -> Result<()> {
        self.check(params)?;
        self.cell.load(self.weights(params))
    }

    /// Runs the layer over `x` (T, B, I) from `h_0` (1, B, H), zeros where it is not given. `y` takes the shape
    /// (T, B, H) and receives every state; h_n is its last step, or h_0 where T is 0.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) naming `input` or `h_0`, [`Error::Overflow`](crate::Error::Overflow).
    pub fn forward(
        &self,
        x: SeqRef<'_>,
        h_0: Option<SeqRef<'_>>,
        y: &mut Seq,
        workspace: &mut Workspace,
        threads: Threads,
    ) -> Result<()> {
        let [steps, batch, _] = x.shape();
        let plan = self.cell.plan(steps, batch, threads)?;
        y.reshape(steps, batch, self.hidden_size)?;
        self.cell.forward(&plan, x, h_0, y.view_mut(), &mut workspace.0)
    }

    /// Runs the layer backward: adds to the gradients of its parameters.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) or [`Error::Length`](crate::Error::Length) naming the tensor that does not
    /// fit.
    pub fn backward(
        &self,
        params: &Params,
        pass: RnnBackward<'_>,
        gradients: &mut Params,
        workspace: &mut Workspace,
        threads: Threads,
    ) -> Result<()> {
        self.check(params)?;
        self.check(gradients)?;
        let RnnBackward { x, h_0, y, d_y, d_h_n, d_x, d_h_0 } = pass;
        let [steps, batch, _] = x.shape();
        let plan = self.cell.plan(steps, batch, threads)?;
        let weights = self.weights(params);
        let gradients = match self.bias {
            Some([ih, hh]) => {
                let [d_weight_ih, d_weight_hh, d_ih, d_hh] =
                    gradients.get_many_mut([self.weight_ih, self.weight_hh, ih, hh]);
                ElmanGradients { d_weight_ih, d_weight_hh, d_bias: Some([d_ih, d_hh]) }
            }
            None => {
                let [d_weight_ih, d_weight_hh] = gradients.get_many_mut([self.weight_ih, self.weight_hh]);
                ElmanGradients { d_weight_ih, d_weight_hh, d_bias: None }
            }
        };
        let pass = ElmanBackwardPass { weights, x, h_0, y, d_y, d_h_n, gradients, d_x, d_h_0 };
        self.cell.backward(&plan, pass, &mut workspace.0)
    }

    fn check(&self, params: &Params) -> Result<()> {
        let (input, hidden) = (self.input_size, self.hidden_size);
        params.check(self.weight_ih, "weight_ih_l0", &[hidden, input])?;
        params.check(self.weight_hh, "weight_hh_l0", &[hidden, hidden])?;
        for (id, name) in self.bias.into_iter().flatten().zip(["bias_ih_l0", "bias_hh_l0"]) {
            params.check(id, name, &[hidden])?;
        }
        Ok(())
    }

    fn weights<'a>(&self, params: &'a Params) -> ElmanWeights<'a> {
        ElmanWeights {
            weight_ih: params.get(self.weight_ih),
            weight_hh: params.get(self.weight_hh),
            bias: self.bias.map(|bias| bias.map(|id| params.get(id))),
        }
    }
}
