//! The Elman cell over whole sequences.
//!
//! ```text
//! z_t   = x_t·W_ihᵀ + (b_ih + b_hh)        all steps of a block at once
//! h_t   = act(z_t + h_{t-1}·W_hhᵀ)         step by step, the activation in the product's epilogue
//!
//! d_z_t = (d_y_t + d_z_{t+1}·W_hh) * act'  step by step, backwards
//! d_W_ih += Σ d_z_tᵀ·x_t                   afterwards, over all steps and rows at once
//! d_W_hh += Σ d_z_tᵀ·h_{t-1}
//! d_b_ih += Σ d_z_t,  d_b_hh the same
//! d_x_t  = d_z_t·W_ih,  d_h_0 = d_z_0·W_hh
//! ```
//!
//! For the way back the forward pass keeps its outputs and nothing else: act' follows from h_t.

use crate::cell::Nonlinearity;
use crate::error::{Error, Result, at_least_one, check_shape, elements};
use crate::gemm::panel::pack_rows;
use crate::gemm::{GemmScratch, Panels, Rows, Target, accumulate_outer, column_sums, multiply};
use crate::kernel::Kernels;
use crate::kernel::elman::{Carry, ElmanBackward, ElmanForward};
use crate::kernel::gemm::Start;
use crate::kernel::layout::{group_rows, round_up};
use crate::plan::{Plan, Shape};
use crate::tensor::{Buffer, Seq, SeqMut, SeqRef};
use crate::threads::{Threads, share};

/// An Elman layer's weights, packed for a tier's kernels.
#[derive(Clone, Debug)]
pub struct Elman {
    input: usize,
    hidden: usize,
    nonlinearity: Nonlinearity,
    kernels: &'static Kernels,
    /// (I, H): the transpose of `weight_ih`.
    w_ih: Panels,
    /// (H, H): the transpose of `weight_hh`.
    w_hh: Panels,
    /// (H, padded): both biases, summed.
    bias: Buffer,
}

/// An Elman layer's parameters as PyTorch lays them out, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct ElmanWeights<'a> {
    /// (H, I) row-major.
    pub weight_ih: &'a [f32],
    /// (H, H) row-major.
    pub weight_hh: &'a [f32],
    /// `bias_ih` and `bias_hh`, (H) each; or none.
    pub bias: Option<[&'a [f32]; 2]>,
}

/// The gradients of an Elman layer's parameters, shaped like them; what a backward pass finds is added.
#[derive(Debug)]
pub struct ElmanGradients<'a> {
    /// (H, I) row-major.
    pub d_weight_ih: &'a mut [f32],
    /// (H, H) row-major.
    pub d_weight_hh: &'a mut [f32],
    /// Of `bias_ih` and `bias_hh`, (H) each; or none.
    pub d_bias: Option<[&'a mut [f32]; 2]>,
}

/// What a backward pass reads and writes.
#[derive(Debug)]
pub struct ElmanBackwardPass<'a> {
    /// The parameters of the forward run.
    pub weights: ElmanWeights<'a>,
    /// (T, B, I): its input.
    pub x: SeqRef<'a>,
    /// (1, B, H): its first state, if one was given.
    pub h_0: Option<SeqRef<'a>>,
    /// (T, B, H): its output.
    pub y: SeqRef<'a>,
    /// (T, B, H): the gradient at every output.
    pub d_y: SeqRef<'a>,
    /// (1, B, H): the gradient that reaches the last state besides.
    pub d_h_n: Option<SeqRef<'a>>,
    /// What the gradients of the parameters are added to.
    pub gradients: ElmanGradients<'a>,
    /// (T, B, I): receives the gradient of the input.
    pub d_x: Option<SeqMut<'a>>,
    /// (1, B, H): receives the gradient of the first state.
    pub d_h_0: Option<&'a mut [f32]>,
}

/// Memory a pass works in. Belongs to the caller, grows to the largest use, and then is never allocated again.
#[derive(Clone, Debug, Default)]
pub struct ElmanScratch {
    workers: Vec<Worker>,
    /// (T, B, H padded).
    d_z: Seq,
    /// (H, H): `weight_hh`, for the way back.
    w_hh: Panels,
    /// (H, I): `weight_ih`, for the gradient of the input.
    w_ih: Panels,
    /// (B, H): the state before the first step where none was given.
    zeros: Buffer,
}

/// One worker's part of it.
#[derive(Clone, Debug, Default)]
struct Worker {
    gemm: GemmScratch,
    /// (steps of a block, rows, H padded).
    z: Buffer,
    /// Two operands of (rows, H padded), blocked.
    carry: [Buffer; 2],
    /// (H): sums of d_z.
    d_bias: Buffer,
}

impl Worker {
    /// The two operands of the recurrence, for `rows` rows.
    fn carry(carry: &mut [Buffer; 2], rows: usize, hidden: usize) -> Carry<'_> {
        let [now, next] = carry;
        now.resize(rows * round_up(hidden));
        next.resize(rows * round_up(hidden));
        Carry { now, next }
    }
}

impl ElmanScratch {
    fn workers(&mut self, n: usize) {
        if self.workers.len() < n {
            self.workers.resize_with(n, Worker::default);
        }
    }
}

impl Elman {
    /// A layer of `hidden` units over `input` features. Its weights are zero until [`load`](Self::load).
    ///
    /// # Errors
    /// [`Error::Setting`] for sizes of zero, [`Error::Overflow`] for weights that cannot be addressed.
    pub fn new(input: usize, hidden: usize, nonlinearity: Nonlinearity, kernels: &'static Kernels) -> Result<Self> {
        at_least_one("input_size", input)?;
        at_least_one("hidden_size", hidden)?;
        Plan::new(Shape { input, hidden, batch: 1, steps: 1 }, Threads::one(), kernels.isa())?;
        Ok(Self {
            input,
            hidden,
            nonlinearity,
            kernels,
            w_ih: Panels::new(input, hidden),
            w_hh: Panels::new(hidden, hidden),
            bias: Buffer::zeros(round_up(hidden)),
        })
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
        let shape = Shape { input: self.input, hidden: self.hidden, batch, steps };
        Plan::new(shape, threads, self.kernels.isa())
    }

    /// Packs the weights. To be done again whenever they change.
    ///
    /// # Errors
    /// [`Error::Length`] where a tensor has another number of elements than its shape needs.
    pub fn load(&mut self, weights: ElmanWeights<'_>) -> Result<()> {
        self.check_weights(weights)?;
        self.w_ih.pack_transposed(weights.weight_ih);
        self.w_hh.pack_transposed(weights.weight_hh);
        match weights.bias {
            Some([ih, hh]) => {
                for ((sum, ih), hh) in self.bias.iter_mut().zip(ih).zip(hh) {
                    *sum = ih + hh;
                }
            }
            None => self.bias.fill(0.0),
        }
        Ok(())
    }

    /// Runs the layer over `x` (T, B, I): writes every state to `y` (T, B, H). `h_0` (1, B, H) is the state before the
    /// first step, zeros where it is not given; the last state is the last step of `y`.
    ///
    /// # Errors
    /// [`Error::Shape`] naming `input`, `h_0` or `output`; [`Error::Setting`] for a plan without workers or steps.
    pub fn forward(
        &self,
        plan: &Plan,
        x: SeqRef<'_>,
        h_0: Option<SeqRef<'_>>,
        y: SeqMut<'_>,
        scratch: &mut ElmanScratch,
    ) -> Result<()> {
        plan.check()?;
        let [steps, batch, _] = x.shape();
        check_shape("input", &[steps, batch, self.input], &x.shape())?;
        check_shape("output", &[steps, batch, self.hidden], &y.shape())?;
        if let Some(h_0) = h_0 {
            check_shape("h_0", &[1, batch, self.hidden], &h_0.shape())?;
        }
        scratch.workers(plan.row_workers);
        share(plan.rows(batch), y, &mut scratch.workers, &|rows, y, worker: &mut Worker| {
            let h_0 = h_0.map(|h_0| h_0.rows(rows.start, rows.len()).step(0));
            self.forward_rows(plan, x.rows(rows.start, rows.len()), h_0, y, worker);
        });
        Ok(())
    }

    /// One worker's rows, forward.
    fn forward_rows(&self, plan: &Plan, x: SeqRef<'_>, h_0: Option<&[f32]>, mut y: SeqMut<'_>, worker: &mut Worker) {
        let [steps, rows, hidden] = y.shape();
        let Worker { gemm, z, carry, .. } = worker;
        let mut h = Worker::carry(carry, rows, hidden);
        match h_0 {
            Some(h_0) => {
                pack_rows(h.now, rows, hidden, group_rows(self.kernels.isa().lanes()), |row| {
                    &h_0[row * hidden..][..hidden]
                });
            }
            None => h.now.fill(0.0),
        }
        for first in (0..steps).step_by(plan.time_block) {
            let block = plan.time_block.min(steps - first);
            z.resize(block * rows * round_up(hidden));
            let bias = Start::Columns(&self.bias);
            let c = (&mut z[..], round_up(hidden));
            multiply(self.kernels, plan.blocking, x.steps(first, block), &self.w_ih, bias, c, gemm);
            let (_, rest) = y.reborrow().split_steps(first);
            let (y, _) = rest.split_steps(block);
            (self.kernels.elman_forward)(ElmanForward {
                nonlinearity: self.nonlinearity,
                z,
                w_hh: self.w_hh.view(),
                h: &mut h,
                y,
                kc: plan.blocking.kc,
            });
        }
    }

    /// Runs the layer backward: adds to the parameters' gradients, and writes those of the input and of the first
    /// state where they are wanted.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::Length`] naming the tensor that does not fit; [`Error::Setting`] for a plan without
    /// workers or steps.
    pub fn backward(&self, plan: &Plan, pass: ElmanBackwardPass<'_>, scratch: &mut ElmanScratch) -> Result<()> {
        plan.check()?;
        self.check_pass(&pass)?;
        let ElmanBackwardPass { weights, x, h_0, y, d_y, d_h_n, gradients, d_x, d_h_0 } = pass;
        let [steps, batch, hidden] = y.shape();

        scratch.workers(plan.row_workers.max(plan.gradient_workers));
        let ElmanScratch { workers, d_z, w_hh, w_ih, zeros } = scratch;
        d_z.reshape(steps, batch, round_up(hidden))?;
        w_hh.reshape(hidden, hidden);
        w_hh.pack(weights.weight_hh);
        let d_h_0 = d_h_0.map(|d_h_0| (d_h_0, hidden));
        share(plan.rows(batch), (d_z.view_mut(), d_h_0), workers, &|rows, (d_z, d_h_0), worker: &mut Worker| {
            (self.kernels.elman_backward)(ElmanBackward {
                nonlinearity: self.nonlinearity,
                y: y.rows(rows.start, rows.len()),
                d_y: d_y.rows(rows.start, rows.len()),
                d_h_n: d_h_n.map(|d_h_n| d_h_n.rows(rows.start, rows.len()).step(0)),
                w_hh: w_hh.view(),
                carry: &mut Worker::carry(&mut worker.carry, rows.len(), hidden),
                d_z,
                d_h_0: d_h_0.map(|(d_h_0, _)| d_h_0),
                kc: plan.blocking.kc,
            });
        });

        let d_z = d_z.view();
        let before = match h_0 {
            Some(h_0) => h_0.step(0),
            None => {
                zeros.resize(batch * hidden);
                zeros.fill(0.0);
                zeros
            }
        };
        self.weight_gradients(plan, d_z, [x, y], before, gradients, workers);

        if let Some(d_x) = d_x {
            w_ih.reshape(hidden, self.input);
            w_ih.pack(weights.weight_ih);
            share(plan.rows(batch), d_x, workers, &|rows, mut d_x, worker: &mut Worker| {
                // Step by step, as a worker's rows lie in as many pieces.
                for t in 0..steps {
                    let d_z = d_z.steps(t, 1).rows(rows.start, rows.len());
                    let c = (d_x.step(t), self.input);
                    multiply(self.kernels, plan.blocking, d_z, w_ih, Start::Zero, c, &mut worker.gemm);
                }
            });
        }
        Ok(())
    }

    /// The sums over all steps and rows, in the order of [`Rows`]. A worker owns rows of the weights and takes the whole
    /// sum for them.
    fn weight_gradients(
        &self,
        plan: &Plan,
        d_z: SeqRef<'_>,
        [x, y]: [SeqRef<'_>; 2],
        before: &[f32],
        gradients: ElmanGradients<'_>,
        workers: &mut [Worker],
    ) {
        let ElmanGradients { d_weight_ih, d_weight_hh, d_bias } = gradients;
        let (input, hidden) = (self.input, self.hidden);
        let weights = ((d_weight_ih, input), (d_weight_hh, hidden));
        let output = (weights, d_bias.map(|d_bias| d_bias.map(|d_bias| (d_bias, 1))));
        share(plan.gradients(hidden), output, workers, &|rows, (weights, d_bias), worker: &mut Worker| {
            let ((d_weight_ih, _), (d_weight_hh, _)) = weights;
            let left = Rows::of(d_z).columns(rows.clone());
            let mut targets = [
                Target { right: Rows::of(x), c: d_weight_ih },
                Target { right: Rows::delayed(before, y), c: d_weight_hh },
            ];
            accumulate_outer(self.kernels, plan.blocking, left, &mut targets, &mut worker.gemm);

            if let Some(d_bias) = d_bias {
                worker.d_bias.resize(rows.len());
                worker.d_bias.fill(0.0);
                column_sums(self.kernels, d_z, rows.start, &mut worker.d_bias);
                for (d_bias, _) in d_bias {
                    d_bias.iter_mut().zip(&worker.d_bias[..]).for_each(|(d, sum)| *d += sum);
                }
            }
        });
    }

    fn check_weights(&self, weights: ElmanWeights<'_>) -> Result<()> {
        check_len("weight_ih", &[self.hidden, self.input], weights.weight_ih)?;
        check_len("weight_hh", &[self.hidden, self.hidden], weights.weight_hh)?;
        if let Some([ih, hh]) = weights.bias {
            check_len("bias_ih", &[self.hidden], ih)?;
            check_len("bias_hh", &[self.hidden], hh)?;
        }
        Ok(())
    }

    fn check_pass(&self, pass: &ElmanBackwardPass<'_>) -> Result<()> {
        let [steps, batch, _] = pass.x.shape();
        let (input, output) = ([steps, batch, self.input], [steps, batch, self.hidden]);
        let state = [1, batch, self.hidden];
        self.check_weights(pass.weights)?;
        check_shape("input", &input, &pass.x.shape())?;
        check_shape("output", &output, &pass.y.shape())?;
        check_shape("d_output", &output, &pass.d_y.shape())?;
        if let Some(h_0) = pass.h_0 {
            check_shape("h_0", &state, &h_0.shape())?;
        }
        if let Some(d_h_n) = pass.d_h_n {
            check_shape("d_h_n", &state, &d_h_n.shape())?;
        }
        if let Some(d_h_0) = &pass.d_h_0 {
            check_len("d_h_0", &state, d_h_0)?;
        }
        if let Some(d_x) = &pass.d_x {
            check_shape("d_input", &input, &d_x.shape())?;
        }
        check_len("d_weight_ih", &[self.hidden, self.input], pass.gradients.d_weight_ih)?;
        check_len("d_weight_hh", &[self.hidden, self.hidden], pass.gradients.d_weight_hh)?;
        if let Some([ih, hh]) = &pass.gradients.d_bias {
            check_len("d_bias_ih", &[self.hidden], ih)?;
            check_len("d_bias_hh", &[self.hidden], hh)?;
        }
        Ok(())
    }
}

fn check_len(name: &str, shape: &[usize], values: &[f32]) -> Result<()> {
    if elements(name, shape)? == values.len() {
        Ok(())
    } else {
        Err(Error::Length { name: name.into(), shape: shape.into(), got: values.len() })
    }
}
