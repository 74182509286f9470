//! A layer whose state comes back later than after one step: a model at a higher sample rate than it was trained at.

use super::{Layer, Output, Real, RowState, Steps};

impl<R: Real> Layer<'_, R> {
    /// [`forward`](Self::forward) with h and c delayed by `delay` = n + f steps, n whole and at least 1, f below 1. The
    /// states that step t takes in the place of h_{t-1} and c_{t-1} are
    ///
    /// ```text
    /// (1 - f) * h_{t-n} + f * h_{t-n-1}        f = 0: h_{t-n}
    /// (1 - f) * c_{t-n} + f * c_{t-n-1}
    /// ```
    ///
    /// `h_0` and `c_0` stand for all states before the first step, zeros for all those before a reset.
    ///
    /// # Panics
    /// As [`forward`](Self::forward), and if `delay` is not a finite number of at least 1.
    #[must_use]
    pub fn forward_delayed(&self, x: &[R], h_0: Option<&[R]>, c_0: Option<&[R]>, delay: f64) -> Output<R> {
        self.check(x, h_0, c_0);
        assert!(delay >= 1.0 && delay.is_finite(), "delay: expected a finite number, at least 1, got {delay}");
        let (whole, fraction) = (delay as usize, R::from_f64(delay.fract()));
        let Self { steps: Steps { steps, batch, .. }, .. } = *self;
        let out = self.out();
        let mut output = Output { y: vec![R::ZERO; steps * batch * out], h_n: Vec::new(), c_n: Vec::new() };
        for b in 0..batch {
            // All states up to now, and what stands for those before them.
            let (mut first, mut states) = (self.state(b, h_0, c_0), Vec::<RowState<R>>::new());
            for t in self.steps.of_row(b) {
                if self.steps.begins_anew(t, b) {
                    (first, states) = (self.state(b, None, None), Vec::new());
                }
                let ago = |n: usize| states.len().checked_sub(n).map_or(&first, |place| &states[place]);
                let between = |newer: &[R], older: &[R]| -> Vec<R> {
                    let mean = |(&newer, &older): (&R, &R)| (R::ONE - fraction) * newer + fraction * older;
                    if fraction > R::ZERO { newer.iter().zip(older).map(mean).collect() } else { newer.to_vec() }
                };
                let (newer, older) = (ago(whole), ago(whole + 1));
                let before = RowState { h: between(&newer.h, &older.h), c: between(&newer.c, &older.c) };
                let row = t * batch + b;
                let state = self.step(row, x, &before);
                output.y[row * out..][..out].copy_from_slice(&state.h);
                states.push(state);
            }
            let last = states.pop().unwrap_or(first);
            output.h_n.extend(last.h);
            output.c_n.extend(last.c);
        }
        output
    }
}
