//! The Elman recurrence, forward and backward, over all steps of some rows of a batch.
//!
//! ```text
//! forward:   h_t   = act(z_t + h_{t-1}·W_hhᵀ)                           z_t = bias + x_t·W_ihᵀ, made before
//! backward:  d_z_t = (d_y_t + d_z_{t+1}·W_hh) * act'(h_t)               act' from h_t itself
//! ```
//!
//! Each step is one product whose epilogue is the cell: the activation is applied while the tile is in registers, and
//! the result goes to two places, the caller's row-major sequence and the blocked operand of the next step's product.

use super::gemm::{
    Blocked, Epilogue, Operands, Place, SHORT, Tile, load, load_row, product, row_product, store, store_row, tile,
};
use super::layout::{PanelsRef, round_up};
use crate::simd::{Vector, math};
use crate::tensor::{SeqMut, SeqRef};

/// The activation of an Elman cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Nonlinearity {
    /// The hyperbolic tangent.
    #[default]
    Tanh,
    /// max(0, x).
    Relu,
}

/// The operand a recurrence hands from step to step, in blocked groups: this step reads `now` and writes `next`.
pub(crate) struct Carry<'a> {
    /// (rows, width), blocked.
    pub(crate) now: &'a mut [f32],
    /// The same shape.
    pub(crate) next: &'a mut [f32],
}

impl Carry<'_> {
    fn turn(&mut self) {
        std::mem::swap(&mut self.now, &mut self.next);
    }
}

/// Runs a recurrence forward. With `rows` rows, `H` hidden units:
pub(crate) struct ElmanForward<'a, 'c> {
    pub(crate) nonlinearity: Nonlinearity,
    /// (steps, rows, H rounded up to 16): bias and input part. Overwritten.
    pub(crate) z: &'a mut [f32],
    /// (H, H) in panels: the transpose of `weight_hh`.
    pub(crate) w_hh: PanelsRef<'a>,
    /// The state before the first step; afterwards the state after the last.
    pub(crate) h: &'a mut Carry<'c>,
    /// (steps, rows, H): every state.
    pub(crate) y: SeqMut<'a>,
    pub(crate) kc: usize,
}

/// Runs a recurrence backward. With `rows` rows, `H` hidden units:
pub(crate) struct ElmanBackward<'a, 'c> {
    pub(crate) nonlinearity: Nonlinearity,
    /// (steps, rows, H): every state, from the forward run.
    pub(crate) y: SeqRef<'a>,
    /// (steps, rows, H): the gradient that reaches each state from above.
    pub(crate) d_y: SeqRef<'a>,
    /// (rows, H): the gradient that reaches the last state besides.
    pub(crate) d_h_n: Option<&'a [f32]>,
    /// (H, H) in panels: `weight_hh`.
    pub(crate) w_hh: PanelsRef<'a>,
    /// Room for d_z of one step and of the next.
    pub(crate) carry: &'a mut Carry<'c>,
    /// (steps, rows, H rounded up to 16): the gradient at each activation's input. The padding receives anything.
    pub(crate) d_z: SeqMut<'a>,
    /// (rows, H): the gradient of the first state, where it is wanted.
    pub(crate) d_h_0: Option<&'a mut [f32]>,
    pub(crate) kc: usize,
}

/// The activation, chosen outside the loops.
trait Activation<V> {
    fn apply(x: V) -> V;
    /// `d` times the derivative where the activation gave `y`.
    fn gradient(d: V, y: V) -> V;
}

struct Tanh;

impl<V: Vector> Activation<V> for Tanh {
    #[inline(always)]
    fn apply(x: V) -> V {
        math::tanh(x)
    }

    #[inline(always)]
    fn gradient(d: V, y: V) -> V {
        d.mul(y.neg_mul_add(y, y.like(1.0)))
    }
}

struct Relu;

impl<V: Vector> Activation<V> for Relu {
    #[inline(always)]
    fn apply(x: V) -> V {
        // The operand order lets a NaN through.
        x.like(0.0).max(x)
    }

    #[inline(always)]
    fn gradient(d: V, y: V) -> V {
        let zero = y.like(0.0);
        // Zero, or the NaN that y is.
        V::select(zero.lt(y), d, y.mul(zero))
    }
}

/// The entry `elman_forward`.
#[inline(always)]
pub(super) fn forward<V: Vector>(isa: V::Isa, args: ElmanForward<'_, '_>) {
    match args.nonlinearity {
        Nonlinearity::Tanh => run_forward::<V, Tanh>(isa, args),
        Nonlinearity::Relu => run_forward::<V, Relu>(isa, args),
    }
}

/// The entry `elman_backward`.
#[inline(always)]
pub(super) fn backward<V: Vector>(isa: V::Isa, args: ElmanBackward<'_, '_>) {
    match args.nonlinearity {
        Nonlinearity::Tanh => run_backward::<V, Tanh>(isa, args),
        Nonlinearity::Relu => run_backward::<V, Relu>(isa, args),
    }
}

/// The product of one step: over few k, four chains an element. The layer's size decides, not the product's, so that a
/// step's bits do not depend on where in a sequence it stands.
#[inline(always)]
fn step_product<V: Vector, E: Epilogue<V>>(
    isa: V::Isa,
    hidden: usize,
    operands: Operands<'_>,
    kc: usize,
    tile: &mut Tile<V>,
    epilogue: &mut E,
) {
    if hidden <= SHORT && operands.rows == 1 {
        row_product(isa, operands.a, operands.b, epilogue);
    } else if hidden <= SHORT {
        product::<V, Blocked, E, 4>(isa, operands, kc, tile, epilogue);
    } else {
        product::<V, Blocked, E, 1>(isa, operands, kc, tile, epilogue);
    }
}

/// The end of a forward step.
struct Step<'a, A, I> {
    isa: I,
    z: &'a mut [f32],
    y: &'a mut [f32],
    next: &'a mut [f32],
    hidden: usize,
    activation: std::marker::PhantomData<A>,
}

impl<V: Vector, A: Activation<V>> Epilogue<V> for Step<'_, A, V::Isa> {
    #[inline(always)]
    fn start(&self, at: Place, row: &mut [V]) {
        self.reload(at, row);
    }

    #[inline(always)]
    fn spill(&mut self, at: Place, row: &[V]) {
        store_row(row, &mut padded_row_mut(self.z, at, self.hidden)[at.col..]);
    }

    #[inline(always)]
    fn reload(&self, at: Place, row: &mut [V]) {
        load_row(self.isa, &padded_row(self.z, at, self.hidden)[at.col..], row);
    }

    #[inline(always)]
    fn finish(&mut self, at: Place, row: &[V]) {
        let y = &mut self.y[at.row() * self.hidden..][at.col..self.hidden];
        for (v, &acc) in row.iter().enumerate() {
            let h = A::apply(acc);
            h.store(&mut self.next[at.blocked::<V>(self.hidden, v)..]);
            store(h, &mut y[v * V::LANES..]);
        }
    }
}

/// The row at that place of a matrix of rows padded to whole blocks.
#[inline(always)]
fn padded_row(matrix: &[f32], at: Place, width: usize) -> &[f32] {
    &matrix[at.row() * round_up(width)..][..round_up(width)]
}

/// The same, to be written.
#[inline(always)]
fn padded_row_mut(matrix: &mut [f32], at: Place, width: usize) -> &mut [f32] {
    &mut matrix[at.row() * round_up(width)..][..round_up(width)]
}

#[inline(always)]
fn run_forward<V: Vector, A: Activation<V>>(isa: V::Isa, args: ElmanForward<'_, '_>) {
    let ElmanForward { z, w_hh, h, mut y, kc, .. } = args;
    let [steps, rows, hidden] = y.shape();
    let line = rows * round_up(hidden);
    let mut tile = tile::<V>(isa);
    for t in 0..steps {
        let mut step = Step {
            isa,
            z: &mut z[t * line..][..line],
            y: y.step(t),
            next: &mut *h.next,
            hidden,
            activation: std::marker::PhantomData::<A>,
        };
        step_product::<V, _>(isa, hidden, Operands { a: h.now, rows, b: w_hh }, kc, &mut tile, &mut step);
        h.turn();
    }
}

/// The end of a backward step.
struct BackStep<'a, A, I> {
    isa: I,
    y: &'a [f32],
    d_y: &'a [f32],
    /// What else reaches the state: only after the last step.
    d_h: Option<&'a [f32]>,
    d_z: &'a mut [f32],
    next: &'a mut [f32],
    hidden: usize,
    activation: std::marker::PhantomData<A>,
}

impl<V: Vector, A: Activation<V>> Epilogue<V> for BackStep<'_, A, V::Isa> {
    #[inline(always)]
    fn start(&self, at: Place, row: &mut [V]) {
        let first = at.row() * self.hidden;
        let rest = first + at.col..first + self.hidden;
        load_row(self.isa, &self.d_y[rest.clone()], row);
        if let Some(d_h) = self.d_h {
            let d_h = &d_h[rest];
            for (v, value) in row.iter_mut().enumerate() {
                *value = value.add(load(self.isa, &d_h[v * V::LANES..]));
            }
        }
    }

    #[inline(always)]
    fn spill(&mut self, at: Place, row: &[V]) {
        store_row(row, &mut padded_row_mut(self.d_z, at, self.hidden)[at.col..]);
    }

    #[inline(always)]
    fn reload(&self, at: Place, row: &mut [V]) {
        load_row(self.isa, &padded_row(self.d_z, at, self.hidden)[at.col..], row);
    }

    #[inline(always)]
    fn finish(&mut self, at: Place, row: &[V]) {
        let y = &self.y[at.row() * self.hidden..][at.col..self.hidden];
        let d_z = &mut padded_row_mut(self.d_z, at, self.hidden)[at.col..];
        for (v, &acc) in row.iter().enumerate() {
            let value = A::gradient(acc, load(self.isa, &y[v * V::LANES..]));
            value.store(&mut self.next[at.blocked::<V>(self.hidden, v)..]);
            value.store(&mut d_z[v * V::LANES..]);
        }
    }
}

/// The gradient of the first state: a product and nothing else.
struct First<'a, I> {
    isa: I,
    d_h_0: &'a mut [f32],
    hidden: usize,
}

impl<V: Vector> Epilogue<V> for First<'_, V::Isa> {
    #[inline(always)]
    fn start(&self, _: Place, row: &mut [V]) {
        row.fill(V::splat(self.isa, 0.0));
    }

    #[inline(always)]
    fn spill(&mut self, at: Place, row: &[V]) {
        store_row(row, &mut self.d_h_0[at.row() * self.hidden..][at.col..self.hidden]);
    }

    #[inline(always)]
    fn reload(&self, at: Place, row: &mut [V]) {
        load_row(self.isa, &self.d_h_0[at.row() * self.hidden..][at.col..self.hidden], row);
    }

    #[inline(always)]
    fn finish(&mut self, at: Place, row: &[V]) {
        self.spill(at, row);
    }
}

#[inline(always)]
fn run_backward<V: Vector, A: Activation<V>>(isa: V::Isa, args: ElmanBackward<'_, '_>) {
    let ElmanBackward { y, d_y, d_h_n, w_hh, carry, mut d_z, d_h_0, kc, .. } = args;
    let [steps, rows, hidden] = y.shape();
    let mut tile = tile::<V>(isa);
    for t in (0..steps).rev() {
        let last = t + 1 == steps;
        let mut step = BackStep {
            isa,
            y: y.step(t),
            d_y: d_y.step(t),
            d_h: d_h_n.filter(|_| last),
            d_z: d_z.step(t),
            next: &mut *carry.next,
            hidden,
            activation: std::marker::PhantomData::<A>,
        };
        // Nothing comes back from beyond the last step: a product over no k.
        let b = if last { w_hh.without_rows() } else { w_hh };
        step_product::<V, _>(isa, hidden, Operands { a: carry.now, rows, b }, kc, &mut tile, &mut step);
        carry.turn();
    }
    match d_h_0 {
        Some(d_h_0) if steps > 0 => {
            let mut first = First { isa, d_h_0, hidden };
            step_product::<V, _>(isa, hidden, Operands { a: carry.now, rows, b: w_hh }, kc, &mut tile, &mut first);
        }
        Some(d_h_0) => match d_h_n {
            Some(d_h_n) => d_h_0.copy_from_slice(d_h_n),
            None => d_h_0.fill(0.0),
        },
        None => {}
    }
}
