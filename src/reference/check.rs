//! Whether slices have the lengths of their shapes.

use super::{Layer, Real};

impl<R: Real> Layer<'_, R> {
    pub(super) fn check(&self, x: &[R], h_0: Option<&[R]>, c_0: Option<&[R]>) {
        let Self { cell, steps, input, hidden, .. } = *self;
        steps.check();
        if let Some(weight_hr) = self.weight_hr {
            assert!(cell.facts().has_cell_state(), "weight_hr: expected none but for the LSTM, got one for {cell:?}");
            let len = weight_hr.len();
            let rows = len > 0 && len.is_multiple_of(hidden);
            assert!(rows, "weight_hr: shape [P, {hidden}] needs a multiple of {hidden} elements, got {len}");
        }
        let gates = cell.gates() * hidden;
        check_len("weight_ih", &[gates, input], self.weight_ih);
        check_len("weight_hh", &[gates, self.out()], self.weight_hh);
        if let Some([ih, hh]) = self.bias {
            check_len("bias_ih", &[gates], ih);
            check_len("bias_hh", &[gates], hh);
        }
        check_len("x", &[steps.steps, steps.batch, input], x);
        self.check_state(["h_0", "c_0"], h_0, c_0);
    }

    pub(super) fn check_state(&self, names: [&str; 2], h: Option<&[R]>, c: Option<&[R]>) {
        let batch = self.steps.batch;
        if let Some(h) = h {
            check_len(names[0], &[batch, self.out()], h);
        }
        if let Some(c) = c {
            let [_, name] = names;
            assert!(
                self.cell.facts().has_cell_state(),
                "{name}: expected none but for the LSTM, got one for {:?}",
                self.cell
            );
            check_len(name, &[batch, self.hidden], c);
        }
    }
}

#[track_caller]
pub(super) fn check_len<V>(name: &str, shape: &[usize], values: &[V]) {
    let expected = shape.iter().product::<usize>();
    assert!(values.len() == expected, "{name}: shape {shape:?} needs {expected} elements, got {}", values.len());
}
