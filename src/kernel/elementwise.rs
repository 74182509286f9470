//! One pass over slices: activations, optimisers, column sums.
//!
//! Tails go through the same vector code with the missing lanes zero, so an element's bits do not depend on where in a
//! slice it stands.

use crate::simd::tail::{load, store};
use crate::simd::{Vector, math};

/// `f` of every element, in place.
#[inline(always)]
fn map<V: Vector>(isa: V::Isa, x: &mut [f32], f: impl Fn(V) -> V) {
    for chunk in x.chunks_mut(V::LANES) {
        let value = f(load(isa, chunk));
        store(value, chunk);
    }
}

/// tanh of every element, in place.
#[inline(always)]
pub(super) fn tanh<V: Vector>(isa: V::Isa, x: &mut [f32]) {
    map::<V>(
        isa,
        x,
        #[inline(always)]
        |x| math::tanh(x),
    );
}

/// 1/(1 + e^-x) of every element, in place.
#[inline(always)]
pub(super) fn sigmoid<V: Vector>(isa: V::Isa, x: &mut [f32]) {
    map::<V>(
        isa,
        x,
        #[inline(always)]
        |x| math::sigmoid(x),
    );
}

/// e^x of every element, in place.
#[inline(always)]
pub(super) fn exp<V: Vector>(isa: V::Isa, x: &mut [f32]) {
    map::<V>(
        isa,
        x,
        #[inline(always)]
        |x| math::exp(x),
    );
}

/// Sums the columns of a sequence.
pub(crate) struct ColumnSums<'a> {
    /// (steps, step): the rows of one step lie in `step` elements.
    pub(crate) rows: &'a [f32],
    pub(crate) step: usize,
    /// Elements from one row to the next.
    pub(crate) stride: usize,
    /// The first column.
    pub(crate) first: usize,
    /// One for each column; added to.
    pub(crate) sums: &'a mut [f32],
}

/// Registers of sums side by side: a row is read in pieces of some cache lines, as each may lie in a page of its own.
const SUMS: usize = 8;

/// Adds every column up: from the last step to the first and, inside a step, from the first row to the last.
#[inline(always)]
pub(super) fn column_sums<V: Vector>(isa: V::Isa, args: ColumnSums<'_>) {
    let ColumnSums { rows, step, stride, first, sums } = args;
    if rows.is_empty() {
        return;
    }
    for (c, sums) in sums.chunks_mut(SUMS * V::LANES).enumerate() {
        let first = first + c * SUMS * V::LANES;
        let (full, last) = (sums.len() / V::LANES, sums.len().div_ceil(V::LANES));
        if last == 1 {
            // A small layer's: accumulators that a loop indexes would live in memory.
            let mut sum = load::<V>(isa, sums);
            for step in rows.chunks_exact(step).rev() {
                for row in step.chunks(stride) {
                    sum = sum.add(load(isa, &row[first..first + sums.len()]));
                }
            }
            store(sum, sums);
            continue;
        }
        let mut acc = [V::splat(isa, 0.0); SUMS];
        for (v, acc) in acc[..last].iter_mut().enumerate() {
            *acc = load(isa, &sums[v * V::LANES..]);
        }
        for step in rows.chunks_exact(step).rev() {
            // The last row may end with the columns in view.
            for row in step.chunks(stride) {
                let row = &row[first..first + sums.len()];
                if full == SUMS {
                    for (v, acc) in acc.iter_mut().enumerate() {
                        *acc = acc.add(V::load(isa, &row[v * V::LANES..]));
                    }
                } else {
                    for (v, acc) in acc[..last].iter_mut().enumerate() {
                        *acc = acc.add(load(isa, &row[v * V::LANES..]));
                    }
                }
            }
        }
        for (v, &acc) in acc[..last].iter().enumerate() {
            store(acc, &mut sums[v * V::LANES..]);
        }
    }
}

/// One step of Adam over all parameters, as `torch.optim.Adam` computes it. All slices have one length.
pub(crate) struct AdamStep<'a> {
    pub(crate) parameters: &'a mut [f32],
    pub(crate) gradients: &'a [f32],
    /// The running mean of the gradients.
    pub(crate) mean: &'a mut [f32],
    /// The running mean of their squares.
    pub(crate) square: &'a mut [f32],
    /// `lr sqrt(1 - beta2^t) / (1 - beta1^t)`.
    pub(crate) step_size: f32,
    /// `1 - beta1`, rounded from f64.
    pub(crate) rest1: f32,
    pub(crate) beta2: f32,
    /// `1 - beta2`, rounded from f64.
    pub(crate) rest2: f32,
    /// What is added to the root of `square`: as the biases are corrected by `step_size`, PyTorch's times `sqrt(1 - beta2^t)`.
    pub(crate) eps: f32,
    /// The share of a parameter that is added to its gradient: Adam's.
    pub(crate) weight_decay: f32,
    /// What a parameter is multiplied by before its step: AdamW's decay, 1 for none.
    pub(crate) shrink: f32,
}

/// The settings of a step of Adam, each in all lanes.
struct AdamValues<V> {
    step_size: V,
    rest1: V,
    beta2: V,
    rest2: V,
    eps: V,
    decay: V,
    shrink: V,
}

impl<V: Vector> AdamValues<V> {
    /// The step of a vector or of the part of one.
    #[inline(always)]
    fn step(&self, isa: V::Isa, parameters: &mut [f32], gradients: &[f32], mean: &mut [f32], square: &mut [f32]) {
        let p = load::<V>(isa, parameters);
        let g = p.mul_add(self.decay, load(isa, gradients));
        let m = load::<V>(isa, mean);
        let m = g.sub(m).mul_add(self.rest1, m);
        let v = g.mul(self.rest2).mul_add(g, load::<V>(isa, square).mul(self.beta2));
        store(m, mean);
        store(v, square);
        let change = m.div(v.sqrt().add(self.eps));
        store(change.mul_add(self.step_size, p.mul(self.shrink)), parameters);
    }
}

/// One step of Adam or AdamW.
#[inline(always)]
pub(super) fn adam<V: Vector>(isa: V::Isa, args: AdamStep<'_>) {
    let value = |x| V::splat(isa, x);
    let values = AdamValues {
        step_size: value(-args.step_size),
        rest1: value(args.rest1),
        beta2: value(args.beta2),
        rest2: value(args.rest2),
        eps: value(args.eps),
        decay: value(args.weight_decay),
        shrink: value(args.shrink),
    };
    // Whole vectors apart from the rest: to ask of each whether it is one took as long as its division.
    let (mut parameters, mut gradients) =
        (args.parameters.chunks_exact_mut(V::LANES), args.gradients.chunks_exact(V::LANES));
    let (mut mean, mut square) = (args.mean.chunks_exact_mut(V::LANES), args.square.chunks_exact_mut(V::LANES));
    while let (Some(parameters), Some(gradients), Some(mean), Some(square)) =
        (parameters.next(), gradients.next(), mean.next(), square.next())
    {
        values.step(isa, parameters, gradients, mean, square);
    }
    let rest = gradients.remainder();
    if !rest.is_empty() {
        values.step(isa, parameters.into_remainder(), rest, mean.into_remainder(), square.into_remainder());
    }
}

/// How the momentum buffer enters a step of [`SgdStep`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Momentum {
    /// The step is the buffer.
    Plain,
    /// The step is the gradient and `momentum` times the buffer.
    Nesterov,
}

/// One step of gradient descent over all parameters, as `torch.optim.SGD` computes it. All slices have one length.
pub(crate) struct SgdStep<'a> {
    pub(crate) parameters: &'a mut [f32],
    pub(crate) gradients: &'a [f32],
    /// The momentum buffer; empty where there is no momentum.
    pub(crate) velocity: &'a mut [f32],
    pub(crate) lr: f32,
    pub(crate) momentum: f32,
    pub(crate) kind: Momentum,
    /// The share of the gradient that enters the buffer: 1 - dampening, and 1 in the first step.
    pub(crate) share: f32,
    pub(crate) weight_decay: f32,
}

/// One step of gradient descent, with momentum or without.
#[inline(always)]
pub(super) fn sgd<V: Vector>(isa: V::Isa, args: SgdStep<'_>) {
    let value = |x| V::splat(isa, x);
    let (lr, momentum, share, decay) =
        (value(-args.lr), value(args.momentum), value(args.share), value(args.weight_decay));
    let mut velocities = args.velocity.chunks_mut(V::LANES);
    for (parameters, gradients) in args.parameters.chunks_mut(V::LANES).zip(args.gradients.chunks(V::LANES)) {
        let p = load::<V>(isa, parameters);
        let mut step = p.mul_add(decay, load(isa, gradients));
        if let Some(velocity) = velocities.next() {
            // A buffer of zeros and a share of 1 make the first step the gradient, as in PyTorch.
            let buffer = load::<V>(isa, velocity).mul_add(momentum, step.mul(share));
            store(buffer, velocity);
            step = match args.kind {
                Momentum::Plain => buffer,
                Momentum::Nesterov => buffer.mul_add(momentum, step),
            };
        }
        store(step.mul_add(lr, p), parameters);
    }
}
