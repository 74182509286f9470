//! The naive engine: every layer and loss, forward and backward, written for reading. It is the specification that all
//! faster code here is judged by, so it is not optimised: plain loops in the order of the equations, in `f32` or `f64`,
//! no state, no error but a panic. `tests/reference` judges it: by cases worked out by hand, by finite differences and
//! by PyTorch.
//!
//! Its structs name every term of these equations, so that none can be left out; a cell with other terms will have a
//! struct of its own.
//!
//! T steps, B rows, I inputs, H units, G gates; P elements of a projected state, O = P or H; N rows of a head, C classes.
//! Every slice is row-major; W is (out, in). σ is the sigmoid, · a matrix product, * a product of elements, ⊗ an outer
//! product. In the equations t counts a row's steps in the order that it takes them, which [`Steps`] says.
//!
//! ```text
//! Every cell     a_t      = W_ih·x_t + b_ih,  u_t = W_hh·h_{t-1} + b_hh    (G·H): its gates, one after the other
//!                y_t      = h_t,  h_n = h_T,  c_n = c_T                    from h_0 and c_0; from zeros at a reset
//!   delayed      (1 - f) h_{t-n} + f h_{t-n-1} in the place of h_{t-1}       by n + f steps; c the same; forward only
//!   backward     d_h_t    = d_y_t + what step t+1 gives d_h_t              at the last step d_h_n in its place
//!                d_x_t    = W_ihᵀ·d_a_t,      d_h_{t-1} = W_hhᵀ·d_u_t      d_u_t = d_a_t but for n of the GRU
//!                d_W_ih   = Σ d_a_t ⊗ x_t,    d_b_ih    = Σ d_a_t          over steps and rows
//!                d_W_hh   = Σ d_u_t ⊗ h_{t-1},  d_b_hh  = Σ d_u_t
//!
//! Elman          h_t      = act(a_t + u_t)
//!   backward     d_a_t    = d_h_t * act'                                   tanh: 1 - h_t²;  relu: 1 if h_t > 0, else 0
//!
//! GRU            r        = σ(a_r + u_r)                                   gates r z n, all of step t
//!                z        = σ(a_z + u_z)
//!                n        = tanh(a_n + r * u_n)                            b_hh of n stays inside the product with r
//!                h_t      = (1 - z) * n + z * h_{t-1}
//!   backward     d_z      = d_h_t * (h_{t-1} - n),    d_a_z = d_z * z * (1 - z)
//!                d_n      = d_h_t * (1 - z),          d_a_n = d_n * (1 - n²),   d_u_n = d_a_n * r
//!                d_r      = d_a_n * u_n,              d_a_r = d_r * r * (1 - r)
//!                d_h_{t-1} = d_h_t * z + W_hhᵀ·d_u_t
//!
//! LSTM           i, f, o  = σ(a_i + u_i), σ(a_f + u_f), σ(a_o + u_o)       gates i f g o, all of step t
//!                g        = tanh(a_g + u_g)
//!                c_t      = f * c_{t-1} + i * g
//!                m_t      = o * tanh(c_t)
//!                h_t      = W_hr·m_t with a projection, or m_t
//!   backward     d_m_t    = W_hrᵀ·d_h_t,  d_W_hr = Σ d_h_t ⊗ m_t;  or d_h_t
//!                d_c_t    = what step t+1 gives d_c_t + d_m_t * o * (1 - tanh(c_t)²)    at the last step d_c_n + …
//!                d_a_i    = d_c_t * g * i * (1 - i),        d_a_f = d_c_t * c_{t-1} * f * (1 - f)
//!                d_a_g    = d_c_t * i * (1 - g²),           d_a_o = d_m_t * tanh(c_t) * o * (1 - o)
//!                d_c_{t-1} = d_c_t * f
//!
//! Linear         y        = W·x + b
//!   backward     d_x      = Wᵀ·d_y,  d_W = Σ d_y ⊗ x,  d_b = Σ d_y                        over rows
//!
//! MSE            loss     = mean (p - target)²,  d_p = 2 (p - target) / elements        over the rows that count; else 0
//!
//! Cross-entropy  q_c      = (1 - ε) w_c [c = label] + ε/C w_c                           class weights w, label smoothing ε
//!                loss     = Σ Σ_c q_c (ln Σ_k exp(l_k - m) - (l_c - m)) / Σ w_label     over the rows that count,  m = max_c l_c
//!                d_l_c    = (exp(l_c - m) / Σ_k exp(l_k - m) · Σ_k q_k - q_c) / Σ w_label;  0 in the others
//! ```
//!
//! ```
//! use elman::reference::Cell;
//! use elman::Nonlinearity;
//! use elman::reference::{Layer, Steps};
//!
//! // One unit that halves its state and adds its input.
//! let (cell, steps) = (Cell::Elman(Nonlinearity::Relu), Steps::new(3, 1));
//! let (weight_ih, weight_hh) = (&[1.0], &[0.5]);
//! let layer = Layer { cell, steps, input: 1, hidden: 1, weight_ih, weight_hh, bias: None, weight_hr: None };
//! let x = [1.0, 0.0, 2.0];
//! assert_eq!(layer.forward(&x, None, None).y, [1.0, 0.5, 2.25]);
//!
//! // How the last output depends on each input.
//! let gradients = layer.backward(&x, None, None, &[0.0, 0.0, 1.0], None, None);
//! assert_eq!(gradients.d_x, [0.25, 0.5, 1.0]);
//! ```

mod check;
mod delayed;
mod elman;
mod gru;
mod head;
mod loss;
mod lstm;
mod product;
mod real;
mod steps;

pub use head::{Linear, LinearGradients};
pub use loss::{CrossEntropy, MeanSquaredError, cross_entropy, mse};
pub use real::Real;
pub use steps::Steps;

pub use crate::layer::Cell;
use check::check_len;
use product::{add, multiply_add, multiply_add_back};

/// A recurrent layer, one direction: its sizes and its parameters as PyTorch lays them out.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'a, R> {
    /// The cell; G is its [`gates`](Cell::gates).
    pub cell: Cell,
    /// T, B, and the way through them.
    pub steps: Steps<'a>,
    /// I.
    pub input: usize,
    /// H.
    pub hidden: usize,
    /// (G·H, I).
    pub weight_ih: &'a [R],
    /// (G·H, O).
    pub weight_hh: &'a [R],
    /// `bias_ih` and `bias_hh`, (G·H) each; or none.
    pub bias: Option<[&'a [R]; 2]>,
    /// (P, H), of the LSTM only: the projection, or none.
    pub weight_hr: Option<&'a [R]>,
}

/// What [`Layer::forward`] gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Output<R> {
    /// (T, B, O): every state, in the order of the input; zero from a row's length on.
    pub y: Vec<R>,
    /// (B, O): the state after the step that each row takes last, the first in reverse. Of a row without steps, h_0.
    pub h_n: Vec<R>,
    /// (B, H): the same of the cell state. Empty but for the LSTM.
    pub c_n: Vec<R>,
}

/// What [`Layer::backward`] gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients<R> {
    /// (T, B, I); zero from a row's length on.
    pub d_x: Vec<R>,
    /// (B, O); of the zeros where no first state was given. Of a row without steps, d_h_n.
    pub d_h_0: Vec<R>,
    /// (B, H): the same of the cell state. Empty but for the LSTM.
    pub d_c_0: Vec<R>,
    /// (G·H, I).
    pub d_weight_ih: Vec<R>,
    /// (G·H, O).
    pub d_weight_hh: Vec<R>,
    /// (G·H); computed where there are no biases too.
    pub d_bias_ih: Vec<R>,
    /// (G·H); computed where there are no biases too. It differs from `d_bias_ih` in n of the GRU only.
    pub d_bias_hh: Vec<R>,
    /// (P, H). Empty where there is no projection.
    pub d_weight_hr: Vec<R>,
}

/// What one row hands from step to step, or its gradient.
struct RowState<R> {
    /// (O).
    h: Vec<R>,
    /// (H); empty but for the LSTM.
    c: Vec<R>,
}

/// What a step of a cell gives backward.
struct StepGradients<R> {
    /// (G·H).
    d_a: Vec<R>,
    /// (G·H).
    d_u: Vec<R>,
    /// What reaches the state before the step beside u.
    d_before: RowState<R>,
}

impl<R: Real> Layer<'_, R> {
    /// Every state for the input `x` (T, B, I), the first state `h_0` (B, O), and the LSTM's first cell state `c_0`
    /// (B, H); zeros where they are not given.
    ///
    /// # Panics
    /// If a slice has another length than its shape, if a length is above T, or if a cell other than the LSTM is given
    /// a cell state or a projection.
    #[must_use]
    pub fn forward(&self, x: &[R], h_0: Option<&[R]>, c_0: Option<&[R]>) -> Output<R> {
        self.check(x, h_0, c_0);
        let Self { steps: Steps { steps, batch, .. }, .. } = *self;
        let out = self.out();
        let mut output = Output { y: vec![R::ZERO; steps * batch * out], h_n: Vec::new(), c_n: Vec::new() };
        for b in 0..batch {
            let mut state = self.state(b, h_0, c_0);
            for t in self.steps.of_row(b) {
                if self.steps.begins_anew(t, b) {
                    state = self.state(b, None, None);
                }
                let row = t * batch + b;
                state = self.step(row, x, &state);
                output.y[row * out..][..out].copy_from_slice(&state.h);
            }
            output.h_n.extend(state.h);
            output.c_n.extend(state.c);
        }
        output
    }

    /// Backpropagation through time. `x`, `h_0` and `c_0` are those of [`forward`](Self::forward), which runs again;
    /// `d_y` (T, B, O) is the gradient at every output, ignored from a row's length on; `d_h_n` (B, O) and the LSTM's
    /// `d_c_n` (B, H) are what reaches the last states besides.
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    #[must_use]
    pub fn backward(
        &self,
        x: &[R],
        h_0: Option<&[R]>,
        c_0: Option<&[R]>,
        d_y: &[R],
        d_h_n: Option<&[R]>,
        d_c_n: Option<&[R]>,
    ) -> Gradients<R> {
        self.check(x, h_0, c_0);
        let Self { steps: Steps { steps, batch, .. }, .. } = *self;
        let out = self.out();
        check_len("d_y", &[steps, batch, out], d_y);
        self.check_state(["d_h_n", "d_c_n"], d_h_n, d_c_n);

        let gates = self.cell.gates() * self.hidden;
        let mut d = Gradients {
            d_x: vec![R::ZERO; x.len()],
            d_h_0: Vec::new(),
            d_c_0: Vec::new(),
            d_weight_ih: vec![R::ZERO; self.weight_ih.len()],
            d_weight_hh: vec![R::ZERO; self.weight_hh.len()],
            d_bias_ih: vec![R::ZERO; gates],
            d_bias_hh: vec![R::ZERO; gates],
            d_weight_hr: vec![R::ZERO; self.weight_hr.map_or(0, <[R]>::len)],
        };
        for b in 0..batch {
            // Each step with the state before it.
            let mut way = Vec::new();
            let mut state = self.state(b, h_0, c_0);
            for t in self.steps.of_row(b) {
                if self.steps.begins_anew(t, b) {
                    state = self.state(b, None, None);
                }
                let after = self.step(t * batch + b, x, &state);
                way.push((t, state));
                state = after;
            }
            // What reaches the state after a step from later; in the end, the gradient of the first state.
            let mut d_state = self.state(b, d_h_n, d_c_n);
            for (t, before) in way.iter().rev() {
                let row = t * batch + b;
                add(&mut d_state.h, &d_y[row * out..][..out]);
                d_state = self.step_back(row, x, before, d_state, &mut d);
                if self.steps.begins_anew(*t, b) {
                    d_state = self.state(b, None, None);
                }
            }
            d.d_h_0.extend(d_state.h);
            d.d_c_0.extend(d_state.c);
        }
        d
    }

    /// The state after a step on the row `row` of `x` (T·B, I).
    fn step(&self, row: usize, x: &[R], before: &RowState<R>) -> RowState<R> {
        let [a, u] = self.sums(row, x, before);
        let mut after = match self.cell {
            Cell::Elman(nonlinearity) => elman::step(nonlinearity, &a, &u),
            Cell::Gru => gru::step(&a, &u, before),
            Cell::Lstm => lstm::step(&a, &u, before),
        };
        if let Some(weight_hr) = self.weight_hr {
            let m = std::mem::replace(&mut after.h, vec![R::ZERO; self.out()]);
            multiply_add(weight_hr, &m, &mut after.h);
        }
        after
    }

    /// The gradient of the state before that step, from that of the state after it. Adds to all others in `d`.
    fn step_back(
        &self,
        row: usize,
        x: &[R],
        before: &RowState<R>,
        mut d_after: RowState<R>,
        d: &mut Gradients<R>,
    ) -> RowState<R> {
        let [a, u] = self.sums(row, x, before);
        if let Some(weight_hr) = self.weight_hr {
            let m = lstm::step(&a, &u, before).h;
            let d_h = std::mem::replace(&mut d_after.h, vec![R::ZERO; self.hidden]);
            multiply_add_back(weight_hr, &m, &d_h, &mut d.d_weight_hr, &mut d_after.h);
        }
        let StepGradients { d_a, d_u, mut d_before } = match self.cell {
            Cell::Elman(nonlinearity) => elman::step_back(nonlinearity, &a, &u, &d_after),
            Cell::Gru => gru::step_back(&a, &u, before, &d_after),
            Cell::Lstm => lstm::step_back(&a, &u, before, &d_after),
        };
        let part = row * self.input..(row + 1) * self.input;
        multiply_add_back(self.weight_ih, &x[part.clone()], &d_a, &mut d.d_weight_ih, &mut d.d_x[part]);
        multiply_add_back(self.weight_hh, &before.h, &d_u, &mut d.d_weight_hh, &mut d_before.h);
        add(&mut d.d_bias_ih, &d_a);
        add(&mut d.d_bias_hh, &d_u);
        d_before
    }

    /// a and u of that step, (G·H) each.
    fn sums(&self, row: usize, x: &[R], before: &RowState<R>) -> [Vec<R>; 2] {
        let zeros = || vec![R::ZERO; self.cell.gates() * self.hidden];
        let [mut a, mut u] = self.bias.map_or_else(|| [zeros(), zeros()], |bias| bias.map(<[R]>::to_vec));
        multiply_add(self.weight_ih, &x[row * self.input..][..self.input], &mut a);
        multiply_add(self.weight_hh, &before.h, &mut u);
        [a, u]
    }

    /// Row `b` of states `h` (B, O) and `c` (B, H), or zeros.
    fn state(&self, b: usize, h: Option<&[R]>, c: Option<&[R]>) -> RowState<R> {
        let row = |values: Option<&[R]>, width: usize| {
            values.map_or_else(|| vec![R::ZERO; width], |values| values[b * width..][..width].to_vec())
        };
        RowState { h: row(h, self.out()), c: row(c, if self.cell.facts().has_cell_state() { self.hidden } else { 0 }) }
    }

    /// O.
    fn out(&self) -> usize {
        self.weight_hr.map_or(self.hidden, |weight_hr| weight_hr.len() / self.hidden)
    }
}
