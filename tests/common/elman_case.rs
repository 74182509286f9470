//! One Elman layer with data, run through any tier and any schedule, and through the reference.

use elman::cell::{Cell, Elman, ElmanBackwardPass, ElmanGradients, ElmanScratch, ElmanWeights, Nonlinearity};
use elman::tensor::{Seq, SeqRef};
use elman::{Kernels, Plan, Rng, Threads, reference};

/// A layer, its input, and the gradients that reach it from above.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) steps: usize,
    pub(crate) batch: usize,
    pub(crate) input: usize,
    pub(crate) hidden: usize,
    pub(crate) nonlinearity: Nonlinearity,
    pub(crate) weight_ih: Vec<f32>,
    pub(crate) weight_hh: Vec<f32>,
    pub(crate) bias: Option<[Vec<f32>; 2]>,
    pub(crate) x: Vec<f32>,
    pub(crate) h_0: Option<Vec<f32>>,
    pub(crate) d_y: Vec<f32>,
    pub(crate) d_h_n: Option<Vec<f32>>,
}

/// Everything a layer gives.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) y: Vec<f32>,
    pub(crate) d_x: Vec<f32>,
    pub(crate) d_h_0: Vec<f32>,
    pub(crate) d_weight_ih: Vec<f32>,
    pub(crate) d_weight_hh: Vec<f32>,
    pub(crate) d_bias: Option<[Vec<f32>; 2]>,
}

impl Case {
    /// Random data of that shape; `options` decides by its bits about relu, bias, h_0 and d_h_n.
    pub(crate) fn random([steps, batch, input, hidden]: [usize; 4], options: u8, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let bound = 1.2 / (hidden as f32).sqrt();
        let mut draw = |n: usize, bound: f32| -> Vec<f32> { (0..n).map(|_| rng.uniform(-bound, bound)).collect() };
        Self {
            steps,
            batch,
            input,
            hidden,
            nonlinearity: if options & 1 == 0 { Nonlinearity::Tanh } else { Nonlinearity::Relu },
            weight_ih: draw(hidden * input, 1.2 / (input as f32).sqrt()),
            weight_hh: draw(hidden * hidden, bound),
            bias: (options & 2 == 0).then(|| [draw(hidden, bound), draw(hidden, bound)]),
            x: draw(steps * batch * input, 1.0),
            h_0: (options & 4 == 0).then(|| draw(batch * hidden, 1.0)),
            d_y: draw(steps * batch * hidden, 1.0),
            d_h_n: (options & 8 == 0).then(|| draw(batch * hidden, 1.0)),
        }
    }

    pub(crate) fn weights(&self) -> ElmanWeights<'_> {
        ElmanWeights {
            weight_ih: &self.weight_ih,
            weight_hh: &self.weight_hh,
            bias: self.bias.as_ref().map(|[ih, hh]| [&ih[..], &hh[..]]),
        }
    }

    pub(crate) fn cell(&self, kernels: &'static Kernels) -> Elman {
        let mut cell = Elman::new(self.input, self.hidden, self.nonlinearity, kernels).unwrap();
        cell.load(self.weights()).unwrap();
        cell
    }

    pub(crate) fn plan(&self, kernels: &'static Kernels) -> Plan {
        self.cell(kernels).plan(self.steps, self.batch, Threads::one()).unwrap()
    }

    /// Forward and backward on a tier, by a schedule, in a scratch that may have seen other work.
    pub(crate) fn run(&self, kernels: &'static Kernels, plan: &Plan, scratch: &mut ElmanScratch) -> Outcome {
        let Self { steps, batch, input, hidden, .. } = *self;
        let cell = self.cell(kernels);
        let x = SeqRef::new(&self.x, steps, batch, input).unwrap();
        let state = |h: &'_ Option<Vec<f32>>| h.clone().map(|h| Seq::from_slice(1, batch, hidden, &h).unwrap());
        let (h_0, d_h_n) = (state(&self.h_0), state(&self.d_h_n));
        let (h_0, d_h_n) = (h_0.as_ref().map(Seq::view), d_h_n.as_ref().map(Seq::view));
        let mut y = Seq::zeros(steps, batch, hidden).unwrap();
        y.data_mut().fill(f32::NAN);
        cell.forward(plan, x, h_0, y.view_mut(), scratch).unwrap();

        let mut d_x = Seq::zeros(steps, batch, input).unwrap();
        d_x.data_mut().fill(f32::NAN);
        let mut d_h_0 = vec![f32::NAN; batch * hidden];
        let mut d_weight_ih = vec![0.0; hidden * input];
        let mut d_weight_hh = vec![0.0; hidden * hidden];
        let mut d_bias = self.bias.as_ref().map(|_| [vec![0.0; hidden], vec![0.0; hidden]]);
        let gradients = ElmanGradients {
            d_weight_ih: &mut d_weight_ih,
            d_weight_hh: &mut d_weight_hh,
            d_bias: d_bias.as_mut().map(|[ih, hh]| [&mut ih[..], &mut hh[..]]),
        };
        let pass = ElmanBackwardPass {
            weights: self.weights(),
            x,
            h_0,
            y: y.view(),
            d_y: SeqRef::new(&self.d_y, steps, batch, hidden).unwrap(),
            d_h_n,
            gradients,
            d_x: Some(d_x.view_mut()),
            d_h_0: Some(&mut d_h_0),
        };
        cell.backward(plan, pass, scratch).unwrap();
        Outcome { y: y.data().to_vec(), d_x: d_x.data().to_vec(), d_h_0, d_weight_ih, d_weight_hh, d_bias }
    }

    /// The reference in f64.
    pub(crate) fn reference(&self) -> (Vec<f64>, reference::Gradients<f64>) {
        let wide = |values: &[f32]| -> Vec<f64> { values.iter().map(|&x| f64::from(x)).collect() };
        let (weight_ih, weight_hh) = (wide(&self.weight_ih), wide(&self.weight_hh));
        let bias = self.bias.as_ref().map(|[ih, hh]| [wide(ih), wide(hh)]);
        let layer = reference::Layer {
            cell: Cell::Elman(self.nonlinearity),
            steps: reference::Steps::new(self.steps, self.batch),
            input: self.input,
            hidden: self.hidden,
            weight_ih: &weight_ih,
            weight_hh: &weight_hh,
            bias: bias.as_ref().map(|[ih, hh]| [&ih[..], &hh[..]]),
            weight_hr: None,
        };
        let x = wide(&self.x);
        let (h_0, d_h_n) = (self.h_0.as_deref().map(wide), self.d_h_n.as_deref().map(wide));
        let y = layer.forward(&x, h_0.as_deref(), None).y;
        let gradients = layer.backward(&x, h_0.as_deref(), None, &wide(&self.d_y), d_h_n.as_deref(), None);
        (y, gradients)
    }
}

impl Outcome {
    /// Every tensor with its name.
    pub(crate) fn tensors(&self) -> Vec<(&'static str, &[f32])> {
        let mut tensors = vec![
            ("y", &self.y[..]),
            ("d_x", &self.d_x),
            ("d_h_0", &self.d_h_0),
            ("d_weight_ih", &self.d_weight_ih),
            ("d_weight_hh", &self.d_weight_hh),
        ];
        if let Some([ih, hh]) = &self.d_bias {
            tensors.extend([("d_bias_ih", &ih[..]), ("d_bias_hh", hh)]);
        }
        tensors
    }

    /// Panics at the first element whose bits differ (so -0 is not 0, and a NaN equals itself).
    pub(crate) fn assert_same_bits(&self, other: &Self, what: &str) {
        for ((name, a), (_, b)) in self.tensors().into_iter().zip(other.tensors()) {
            assert_same_bits(a, b, &format!("{what}: {name}"));
        }
    }

    /// The same tensors of the reference, in the same order.
    pub(crate) fn expected<'a>(&self, y: &'a [f64], gradients: &'a reference::Gradients<f64>) -> Vec<&'a [f64]> {
        let g = gradients;
        let mut tensors = vec![y, &g.d_x, &g.d_h_0, &g.d_weight_ih, &g.d_weight_hh];
        if self.d_bias.is_some() {
            tensors.extend([&g.d_bias_ih[..], &g.d_bias_hh]);
        }
        tensors
    }
}

/// The largest distance of `got` from `expected`, relative to the largest element, and where it is.
pub(crate) fn distance(got: &[f32], expected: &[f64]) -> (f64, usize) {
    distance_of_scale(got, expected, 1e-30)
}

/// The same for sums whose terms are of the size `scale`: where the largest element is smaller, it is what is left of
/// terms that cancel, and the terms' roundings are to be measured by the terms.
pub(crate) fn distance_of_scale(got: &[f32], expected: &[f64], scale: f64) -> (f64, usize) {
    assert_eq!(got.len(), expected.len());
    let largest = expected.iter().fold(scale, |largest: f64, x| largest.max(x.abs()));
    let mut worst = (0.0, 0);
    for (i, (&got, &expected)) in got.iter().zip(expected).enumerate() {
        let distance = (f64::from(got) - expected).abs() / largest;
        if distance.is_nan() || distance > worst.0 {
            worst = (distance, i);
        }
    }
    worst
}

/// Panics at the first element whose bits differ.
pub(crate) fn assert_same_bits(a: &[f32], b: &[f32], what: &str) {
    assert_eq!(a.len(), b.len(), "{what}: lengths");
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        assert!(a.to_bits() == b.to_bits(), "{what}[{i}]: {a:e} and {b:e}");
    }
}
