//! A training step of an encoder whose output nobody reads and of the decoder that begins in its last state: by models, and
//! written by hand over the engine's layers with the same bits, and over the reference in f64.

use elman::internals::{
    BackwardPass, Cell, Direction, ForwardPass, Kernels, Layer, LayerGradients, Linear, LinearScratch, LinearSettings,
    Scratch, Sizes, Tape, Weights, Work, Write,
};
use elman::loss::{MeanSquaredError, mse};
use elman::optim::{Adam, AdamConfig, Optimizer};
use elman::params::ParamTable;
use elman::reference::{self, Steps};
use elman::tensor::{Seq, SeqRef};
use elman::train::{Trainer, TrainingState};
use elman::{Gru, Lstm, Model, ModelBuilder, Nonlinearity, Params, Rng, Rnn, Threads, Upstream, Workspace};

use crate::{assert_same, draw};

/// Of an encoder and a decoder: steps and features.
const STEPS: [usize; 2] = [7, 5];
const INPUTS: [usize; 2] = [3, 2];
const BATCH: usize = 6;
const HIDDEN: usize = 20;
const OUTPUTS: usize = 2;
const TRAIN: Work = Work::Train { d_input: false };

/// PyTorch's names of a layer's parameters.
const TENSORS: [&str; 4] = ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"];

/// Gradients under the names of their parameters.
type Named<T> = Vec<(String, Vec<T>)>;

/// What a step computes: the loss, and the gradients of both models.
struct Step<T> {
    loss: T,
    gradients: [Named<T>; 2],
}

struct Case {
    cell: Cell,
    /// What the decoder's layer is called.
    name: &'static str,
    models: [Model; 2],
    inputs: [Seq; 2],
    target: Seq,
}

impl Case {
    fn new(cell: Cell, kernels: &Kernels) -> Self {
        let builder = |inputs| -> ModelBuilder {
            match cell {
                Cell::Gru => Gru::builder(inputs, HIDDEN).into(),
                Cell::Lstm => Lstm::builder(inputs, HIDDEN).into(),
                _ => Rnn::builder(inputs, HIDDEN).into(),
            }
        };
        let name = match cell {
            Cell::Gru => "gru",
            Cell::Lstm => "lstm",
            _ => "rnn",
        };
        let mut rng = Rng::new(21);
        let [encoder, decoder] = INPUTS.map(|inputs| builder(inputs).isa(kernels.isa()));
        let models = [encoder.model(&mut rng).unwrap(), decoder.linear("fc", OUTPUTS).model(&mut rng).unwrap()];
        let inputs = [0, 1].map(|i| draw(&mut rng, [STEPS[i], BATCH, INPUTS[i]]));
        let target = draw(&mut rng, [STEPS[1], BATCH, OUTPUTS]);
        Self { cell, name, models, inputs, target }
    }

    /// The parameters of a model's layer, in PyTorch's order.
    fn tensors(&self, model: usize) -> [&[f32]; 4] {
        TENSORS.map(|tensor| self.models[model].params().named(&self.called(model, tensor)).unwrap().1)
    }

    fn called(&self, model: usize, tensor: &str) -> String {
        if model == 0 { tensor.into() } else { format!("{}.{tensor}", self.name) }
    }

    fn head(&self) -> [&[f32]; 2] {
        ["fc.weight", "fc.bias"].map(|tensor| self.models[1].params().named(tensor).unwrap().1)
    }

    /// The step by the models' own runs.
    fn by_models(&self, threads: Threads) -> Step<f32> {
        let [encoder, decoder] = &self.models;
        let mut training = TrainingState::new(1);
        let [mut below, mut above] = [Workspace::default(), Workspace::default()];
        let encoded = encoder.forward_with(&self.inputs[0], None, &mut training, &mut below, threads).unwrap();
        let first = Some(encoded.state());
        let decoded = decoder.forward_with(&self.inputs[1], first, &mut training, &mut above, threads).unwrap();
        let mut loss = MeanSquaredError::new(&self.target);
        let (loss, decoder) = decoded.learn_with(&mut loss, Upstream::default().want_state()).unwrap();
        let encoder = encoded.backward(Upstream::last_state(decoder.state().unwrap())).unwrap();
        let named = |params: &Params| params.iter().map(|(name, _, values)| (name.into(), values.to_vec())).collect();
        Step { loss, gradients: [named(encoder.parameters()), named(decoder.parameters())] }
    }

    /// The same over the engine's layers.
    fn by_hand(&self, kernels: &'static Kernels) -> Step<f32> {
        let layers = [0, 1].map(|model| Hand::new(self, model, kernels));
        let mut table = ParamTable::new();
        let settings =
            LinearSettings { in_features: HIDDEN, out_features: OUTPUTS, bias: true, kernels: Some(kernels) };
        let mut linear = Linear::with(&mut table, "fc", settings).unwrap();
        let mut head = Params::zeros(table);
        head.data_mut().copy_from_slice(&self.head().concat());
        linear.load(&head).unwrap();

        let [mut encoder, mut decoder] = layers;
        encoder.forward(&self.inputs[0], None);
        decoder.forward(&self.inputs[1], Some([&encoder.h_n, &encoder.c_n]));
        let (mut y, mut scratch) = (Seq::default(), LinearScratch::default());
        linear.forward(decoder.y.view(), &mut y, &mut scratch).unwrap();
        let (mut d_y, mut d_hidden, mut d_head) = (Seq::default(), Seq::default(), head.zeros_like());
        let loss = mse(y.view(), self.target.view(), &mut d_y).unwrap();
        linear.backward(&head, decoder.y.view(), d_y.view(), &mut d_head, Some(&mut d_hidden), &mut scratch).unwrap();
        let first = Some([&encoder.h_n[..], &encoder.c_n[..]]);
        let (mut d_decoder, d_state) = decoder.backward(self, &self.inputs[1], first, &d_hidden, None);
        let nothing = Seq::zeros(STEPS[0], BATCH, HIDDEN).unwrap();
        let d_last = Some([&d_state[0][..], &d_state[1][..]]);
        let (d_encoder, _) = encoder.backward(self, &self.inputs[0], None, &nothing, d_last);
        d_decoder.extend(d_head.iter().map(|(name, _, values)| (name.into(), values.to_vec())));
        Step { loss, gradients: [d_encoder, d_decoder] }
    }

    /// The same by the reference.
    fn by_reference(&self) -> Step<f64> {
        let wide = |values: &[f32]| -> Vec<f64> { values.iter().map(|&x| f64::from(x)).collect() };
        let tensors = [0, 1].map(|model| self.tensors(model).map(wide));
        let layers = [0, 1].map(|i| reference::Layer {
            cell: self.cell,
            steps: Steps::new(STEPS[i], BATCH),
            input: INPUTS[i],
            hidden: HIDDEN,
            weight_ih: &tensors[i][0],
            weight_hh: &tensors[i][1],
            bias: Some([&tensors[i][2], &tensors[i][3]]),
            weight_hr: None,
        });
        let [weight, bias] = self.head().map(wide);
        let head = reference::Linear {
            rows: STEPS[1] * BATCH,
            input: HIDDEN,
            output: OUTPUTS,
            weight: &weight,
            bias: Some(&bias),
        };
        let [x, y] = [0, 1].map(|i| wide(self.inputs[i].data()));
        let some = |values: &[f64]| if self.cell == Cell::Lstm { Some(values.to_vec()) } else { None };
        let encoded = layers[0].forward(&x, None, None);
        let (h, c) = (&encoded.h_n, some(&encoded.c_n));
        let decoded = layers[1].forward(&y, Some(h), c.as_deref());
        let (loss, d_output) = reference::mse(&head.forward(&decoded.y), &wide(self.target.data()));
        let d_head = head.backward(&decoded.y, &d_output);
        let d_decoder = layers[1].backward(&y, Some(h), c.as_deref(), &d_head.d_x, None, None);
        let nothing = vec![0.0; STEPS[0] * BATCH * HIDDEN];
        let d_c_n = some(&d_decoder.d_c_0);
        let d_encoder = layers[0].backward(&x, None, None, &nothing, Some(&d_decoder.d_h_0), d_c_n.as_deref());
        let named = |model, d: reference::Gradients<f64>| {
            let all = [d.d_weight_ih, d.d_weight_hh, d.d_bias_ih, d.d_bias_hh];
            TENSORS.map(|tensor| self.called(model, tensor)).into_iter().zip(all).collect::<Vec<_>>()
        };
        let mut above = named(1, d_decoder);
        above.extend([("fc.weight".into(), d_head.d_weight), ("fc.bias".into(), d_head.d_bias)]);
        Step { loss, gradients: [named(0, d_encoder), above] }
    }
}

/// One layer of the engine with the memory of a run.
struct Hand {
    model: usize,
    layer: Layer,
    tape: Tape,
    scratch: Scratch,
    y: Seq,
    h_n: Vec<f32>,
    c_n: Vec<f32>,
}

/// h or c of a batch, where there is one.
fn state(values: &[f32]) -> Option<SeqRef<'_>> {
    (!values.is_empty()).then(|| SeqRef::new(values, 1, BATCH, HIDDEN).unwrap())
}

fn weights(tensors: [&[f32]; 4]) -> Weights<'_> {
    let [weight_ih, weight_hh, ih, hh] = tensors;
    Weights { weight_ih, weight_hh, bias: Some([ih, hh]), weight_hr: None }
}

impl Hand {
    fn new(case: &Case, model: usize, kernels: &'static Kernels) -> Self {
        let sizes = Sizes {
            cell: case.cell,
            input: INPUTS[model],
            hidden: HIDDEN,
            projection: 0,
            direction: Direction::Forward,
        };
        let mut layer = Layer::new(sizes, kernels).unwrap();
        layer.load(weights(case.tensors(model))).unwrap();
        let y = Seq::zeros(STEPS[model], BATCH, HIDDEN).unwrap();
        let (h_n, c_n) =
            (vec![0.0; BATCH * HIDDEN], vec![0.0; if case.cell == Cell::Lstm { BATCH * HIDDEN } else { 0 }]);
        Self { model, layer, tape: Tape::default(), scratch: Scratch::default(), y, h_n, c_n }
    }

    fn forward(&mut self, x: &Seq, first: Option<[&Vec<f32>; 2]>) {
        let plan = self.layer.plan(TRAIN, [STEPS[self.model], BATCH], Threads::one()).unwrap();
        let pass = ForwardPass {
            x: x.view(),
            h_0: first.and_then(|[h, _]| state(h)),
            c_0: first.and_then(|[_, c]| state(c)),
            resets: None,
            y: self.y.view_mut(),
            h_n: Some(&mut self.h_n),
            c_n: (!self.c_n.is_empty()).then_some(&mut self.c_n[..]),
            tape: Some(&mut self.tape),
        };
        self.layer.forward(&plan, pass, &mut self.scratch).unwrap();
    }

    /// The gradients of the parameters, and of the first h and c.
    fn backward(
        &mut self,
        case: &Case,
        x: &Seq,
        first: Option<[&[f32]; 2]>,
        d_y: &Seq,
        d_last: Option<[&[f32]; 2]>,
    ) -> (Named<f32>, [Vec<f32>; 2]) {
        let plan = self.layer.plan(TRAIN, [STEPS[self.model], BATCH], Threads::one()).unwrap();
        let tensors = case.tensors(self.model);
        let [mut d_ih, mut d_hh, mut d_bias_ih, mut d_bias_hh] = tensors.map(|tensor| vec![f32::NAN; tensor.len()]);
        let (mut d_h_0, mut d_c_0) = (self.h_n.clone(), self.c_n.clone());
        let pass = BackwardPass {
            weights: weights(tensors),
            x: x.view(),
            h_0: first.and_then(|[h, _]| state(h)),
            c_0: first.and_then(|[_, c]| state(c)),
            resets: None,
            y: self.y.view(),
            tape: &mut self.tape,
            d_y: d_y.view(),
            d_h_n: d_last.and_then(|[h, _]| state(h)),
            d_c_n: d_last.and_then(|[_, c]| state(c)),
            gradients: LayerGradients {
                write: Write::Over,
                d_weight_ih: &mut d_ih,
                d_weight_hh: &mut d_hh,
                d_bias: Some([&mut d_bias_ih, &mut d_bias_hh]),
                d_weight_hr: None,
            },
            d_x: None,
            d_h_0: Some(&mut d_h_0),
            d_c_0: (!d_c_0.is_empty()).then_some(&mut d_c_0[..]),
        };
        self.layer.backward(&plan, pass, &mut self.scratch).unwrap();
        let all = TENSORS.map(|tensor| case.called(self.model, tensor)).into_iter();
        (all.zip([d_ih, d_hh, d_bias_ih, d_bias_hh]).collect(), [d_h_0, d_c_0])
    }
}

/// The model after one step of Adam by those gradients.
fn learned(model: &Model, gradients: &[(String, Vec<f32>)], kernels: &Kernels) -> Model {
    let mut d = model.params().zeros_like();
    for (name, values) in gradients {
        let shape = model.params().named(name).unwrap().0.to_vec();
        d.set(name, &shape, values).unwrap();
    }
    let mut model = model.clone();
    let mut adam = Adam::new(model.params(), AdamConfig::default().lr(0.01).isa(kernels.isa())).unwrap();
    adam.step(&mut model.params_mut(), &d).unwrap();
    model
}

#[test]
fn an_encoder_and_its_decoder_take_a_step_with_the_bits_of_one_by_hand() {
    for kernels in Kernels::available() {
        for cell in [Cell::Elman(Nonlinearity::Tanh), Cell::Gru, Cell::Lstm] {
            let what = format!("{cell:?} on {}", kernels.isa());
            let case = Case::new(cell, kernels);
            let by_hand = case.by_hand(kernels);
            let threads = [1, 2].map(|threads| Threads::new(threads).unwrap());
            for by_models in threads.map(|threads| case.by_models(threads)) {
                assert_eq!(by_models.loss.to_bits(), by_hand.loss.to_bits(), "{what}: loss");
                for (got, expected) in by_models.gradients.iter().zip(&by_hand.gradients) {
                    assert_eq!(got.len(), expected.len(), "{what}");
                    for ((name, got), (expected_name, expected)) in got.iter().zip(expected) {
                        assert_eq!(name, expected_name, "{what}");
                        assert_same(got, expected, &format!("{what}: {name}"));
                    }
                }
            }
            learns(&case, &by_hand, kernels, &what);
            agrees(&by_hand, &case.by_reference(), &what);
        }
    }
}

/// Both learn from the step, the decoder as by a [`Trainer`], and the encoder too: the loss is less.
fn learns(case: &Case, step: &Step<f32>, kernels: &Kernels, what: &str) {
    let [encoder, decoder] = [0, 1].map(|i| learned(&case.models[i], &step.gradients[i], kernels));
    let state = case.models[0].run(&case.inputs[0]).unwrap();
    let mut trained = case.models[1].clone();
    let adam = Adam::new(trained.params(), AdamConfig::default().lr(0.01).isa(kernels.isa())).unwrap();
    let mut trainer = Trainer::new(adam);
    let mut loss = MeanSquaredError::new(&case.target);
    let value = trainer.step_from(&mut trained, &case.inputs[1], Some(state.state()), &mut loss).unwrap();
    assert_eq!(value.to_bits(), step.loss.to_bits(), "{what}: the trainer's loss");
    assert_same(trained.params().data(), decoder.params().data(), &format!("{what}: the trainer's decoder"));

    let (before, after) = (case.models[0].params(), encoder.params());
    for ((name, _, before), (.., after)) in before.iter().zip(after.iter()) {
        let changed = before.iter().zip(after).filter(|(before, after)| before != after).count();
        // A first step of Adam moves every parameter whose gradient is not zero.
        assert_eq!(changed, before.len(), "{what}: {name} of the encoder");
    }
    // The encoder's step alone helps.
    let loss_of = |encoder: &Model| {
        let encoded = encoder.run(&case.inputs[0]).unwrap();
        let mut workspace = Workspace::default();
        let (x, state) = (&case.inputs[1], Some(encoded.state()));
        let decoded = case.models[1].run_with(x, state, &mut workspace, Threads::one()).unwrap();
        mse(decoded.values(), case.target.view(), &mut Seq::default()).unwrap()
    };
    assert_eq!(loss_of(&case.models[0]).to_bits(), step.loss.to_bits(), "{what}");
    assert!(loss_of(&encoder) < step.loss, "{what}: {} after {}", loss_of(&encoder), step.loss);
}

/// The distance from f64 is that of roundings.
fn agrees(step: &Step<f32>, reference: &Step<f64>, what: &str) {
    /// Relative to a tensor's largest element.
    const TOLERANCE: f64 = 1e-5;
    assert!((f64::from(step.loss) - reference.loss).abs() < TOLERANCE * reference.loss, "{what}: loss");
    for (got, expected) in step.gradients.iter().zip(&reference.gradients) {
        for ((name, got), (expected_name, expected)) in got.iter().zip(expected) {
            assert_eq!((name, got.len()), (expected_name, expected.len()), "{what}");
            let largest = expected.iter().fold(0.0, |largest: f64, d| largest.max(d.abs()));
            for (i, (&got, &expected)) in got.iter().zip(expected).enumerate() {
                let distance = (f64::from(got) - expected).abs();
                assert!(distance <= TOLERANCE * largest, "{what}: {name}[{i}]: {got} instead of {expected}");
            }
        }
    }
}
