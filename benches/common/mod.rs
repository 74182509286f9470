//! A layer with random data, and its check against the reference.

use elman::cell::{Cell, Elman, ElmanWeights, Nonlinearity};
use elman::tensor::{Seq, SeqRef};
use elman::{Kernels, Rng, Shape, Threads, reference};

/// A square layer: as many inputs as hidden units.
pub(crate) struct Layer {
    pub(crate) shape: Shape,
    weights: [Vec<f32>; 4],
    x: Vec<f32>,
}

impl Layer {
    pub(crate) fn new(hidden: usize, batch: usize, steps: usize) -> Self {
        let shape = Shape { input: hidden, hidden, batch, steps };
        let mut rng = Rng::new(1);
        let bound = 1.0 / (hidden as f32).sqrt();
        let mut draw = |len: usize, bound: f32| -> Vec<f32> { (0..len).map(|_| rng.uniform(-bound, bound)).collect() };
        let [square, row] = [hidden * hidden, hidden];
        let weights = [draw(square, bound), draw(square, bound), draw(row, bound), draw(row, bound)];
        Self { shape, weights, x: draw(steps * batch * hidden, 1.0) }
    }

    pub(crate) fn weights(&self) -> ElmanWeights<'_> {
        let [weight_ih, weight_hh, ih, hh] = &self.weights;
        ElmanWeights { weight_ih, weight_hh, bias: Some([ih, hh]) }
    }

    pub(crate) fn x(&self) -> SeqRef<'_> {
        let Shape { steps, batch, input, .. } = self.shape;
        SeqRef::new(&self.x, steps, batch, input).expect("x has that shape")
    }

    pub(crate) fn cell(&self, kernels: &'static Kernels) -> Elman {
        let Shape { input, hidden, .. } = self.shape;
        let mut cell = Elman::new(input, hidden, Nonlinearity::Tanh, kernels).expect("valid sizes");
        cell.load(self.weights()).expect("weights of that shape");
        cell
    }

    /// Checks the first two steps of the first row of `y` against the reference.
    pub(crate) fn check(&self, kernels: &Kernels, y: &Seq) {
        let expected = self.reference().forward(&self.row(), None, None).y;
        for (t, expected) in expected.chunks_exact(self.shape.hidden).enumerate() {
            let same = y.step(t).iter().zip(expected).all(|(y, e)| (y - e).abs() < 1e-5);
            assert!(same, "{} is wrong at step {t}", kernels.isa());
        }
    }

    /// The first two steps of the first row of x: (2, 1, I).
    pub(crate) fn row(&self) -> Vec<f32> {
        (0..2).flat_map(|t| self.x().step(t)[..self.shape.input].to_vec()).collect()
    }

    /// The reference in f32 over two steps of one row.
    pub(crate) fn reference(&self) -> reference::Layer<'_, f32> {
        let Shape { input, hidden, .. } = self.shape;
        let ElmanWeights { weight_ih, weight_hh, bias } = self.weights();
        let (cell, steps) = (Cell::Elman(Nonlinearity::Tanh), reference::Steps::new(2, 1));
        reference::Layer { cell, steps, input, hidden, weight_ih, weight_hh, bias, weight_hr: None }
    }
}

/// 1 and, where there are more cores, 2 threads.
pub(crate) fn thread_counts() -> impl Iterator<Item = Threads> {
    (1..=Threads::available().get().min(2)).map(|n| Threads::new(n).expect("at least one"))
}
