//! How far back a gradient reaches: against finite differences of the state between two steps, in every form of batch, and
//! where the answer is known.

use elman::loss::{MeanSquaredError, Steps};
use elman::tensor::{PackedSequence, Seq, SeqMut, SeqRef};
use elman::train::{GradientFlow, TrainingState, Verdict};
use elman::{
    ErrorKind, Gru, Input, LayerKind, LayerSpec, Lstm, Model, ModelSpec, Nonlinearity, Readout, RecurrentSpec, Rng,
    Rnn, State, Threads, Upstream, Workspace,
};

fn draw(rng: &mut Rng, [first, second, width]: [usize; 3]) -> Seq {
    let mut seq = Seq::zeros(first, second, width).unwrap();
    seq.data_mut().iter_mut().for_each(|x| *x = rng.uniform(-1.0, 1.0));
    seq
}

/// Σ weight * output, and its gradient, the weights.
fn weighted(weights: &Seq) -> impl FnMut(SeqRef<'_>, SeqMut<'_>) -> elman::Result<f32> + '_ {
    |output, mut d_output| {
        let [steps, rows, _] = output.shape();
        let mut sum = 0.0;
        for t in 0..steps {
            for row in 0..rows {
                let (y, w) = (output.step(t).row(row), weights.step(t).row(row));
                sum += y.iter().zip(w).map(|(y, w)| y * w).sum::<f32>();
                d_output.step(t).row(row).copy_from_slice(w);
            }
        }
        Ok(sum)
    }
}

/// The loss over the steps from `t` on, from the state there.
fn tail(model: &Model, x: &Seq, weights: &Seq, t: usize, state: &State) -> f64 {
    let [steps, ..] = x.shape();
    let mut workspace = Workspace::default();
    let rest = x.view().narrow_steps(t, steps - t);
    let output = model.run_with(rest, Some(state), &mut workspace, Threads::one()).unwrap();
    let values = output.values().flat().unwrap();
    // After a read-out of the last step there is only one.
    let weights = &weights.data()[weights.data().len() - values.len()..];
    values.iter().zip(weights).map(|(&y, &w)| f64::from(y) * f64::from(w)).sum()
}

/// The state that step `t` begins in.
fn state_at(model: &Model, x: &Seq, t: usize) -> State {
    match t {
        0 => {
            let mut state = model.zero_state(x.shape()[1]).unwrap();
            if let Ok((_, own)) = model.params().named("rnn.h_0") {
                let (batch, layers) = (state.batch(), state.h_shape()[0]);
                let width = own.len() / layers;
                for (i, h) in state.h_mut().chunks_mut(width).enumerate() {
                    h.copy_from_slice(&own[i / batch * width..][..width]);
                }
            }
            state
        }
        _ => model.run(x.view().narrow_steps(0, t)).unwrap().state().clone(),
    }
}

const STEP: f32 = 1.0 / 128.0;

/// Norms by layer of the derivative by the elements of h, or of c.
fn derivatives(model: &Model, x: &Seq, weights: &Seq, t: usize, part: fn(&mut State) -> &mut [f32]) -> Vec<f64> {
    let mut state = state_at(model, x, t);
    let layers = state.h_shape()[0];
    let mut squares = vec![0.0; layers];
    let len = part(&mut state).len();
    for i in 0..len {
        let [above, below] = [STEP, -STEP].map(|step| {
            let mut changed = state.clone();
            part(&mut changed)[i] += step;
            tail(model, x, weights, t, &changed)
        });
        // All layers here are of one size.
        squares[i * layers / len] += ((above - below) * 64.0).powi(2);
    }
    squares.into_iter().map(f64::sqrt).collect()
}

fn assert_is_that_of_differences(model: &Model, x: &Seq, weights: &Seq, what: &str) {
    let flow = GradientFlow::of(model, x, &mut weighted(weights)).unwrap();
    let [steps, ..] = x.shape();
    let has_c = flow.cell_norms().iter().any(|norms| !norms.is_empty());
    for t in 0..steps {
        let check = |norms: &[Vec<f32>], expected: Vec<f64>, part: &str| {
            for (layer, expected) in expected.into_iter().enumerate() {
                let (got, what) = (f64::from(norms[layer][t]), format!("{what}: {part}, layer {layer}, step {t}"));
                assert_eq!(norms[layer].len(), steps, "{what}");
                assert!((got - expected).abs() < 2e-3 * (1.0 + expected), "{what}: {got} instead of {expected}");
                assert!(got > 1e-3, "{what}: {got} tells nothing");
            }
        };
        check(flow.norms(), derivatives(model, x, weights, t, State::h_mut), "h");
        if has_c {
            check(flow.cell_norms(), derivatives(model, x, weights, t, State::c_mut), "c");
        }
    }
}

#[test]
fn norms_are_those_of_finite_differences() {
    let mut rng = Rng::new(2);
    let x = draw(&mut rng, [5, 2, 2]);
    let every = draw(&mut rng, [5, 2, 1]);
    let rnn = Rnn::builder(2, 3).num_layers(2).linear("fc", 1).model(&mut rng).unwrap();
    assert_is_that_of_differences(&rnn, &x, &every, "RNN");
    let gru = Gru::builder(2, 3).num_layers(2).linear("fc", 1).model(&mut rng).unwrap();
    assert_is_that_of_differences(&gru, &x, &every, "GRU");
    // Dropout is left out, as the runs of the differences leave it out.
    let lstm = Lstm::builder(2, 3).num_layers(2).dropout(0.5).linear("fc", 1).model(&mut rng).unwrap();
    assert_is_that_of_differences(&lstm, &x, &every, "LSTM");
    assert!(GradientFlow::of(&gru, &x, &mut weighted(&every)).unwrap().cell_norms().iter().all(Vec::is_empty));
}

#[test]
fn a_read_out_of_the_last_step_and_states_of_the_models_own_are_followed() {
    let mut rng = Rng::new(3);
    let x = draw(&mut rng, [5, 2, 2]);
    let last = draw(&mut rng, [1, 2, 1]);
    let spec = ModelSpec::new(2)
        .layer("rnn", RecurrentSpec::gru([3, 3]).initial_state(true))
        .layer("", Readout::EveryStep)
        .layer("", Readout::Last)
        .layer("fc", LayerKind::linear(1));
    let mut model = Model::init(spec, &mut rng).unwrap();
    let own: Vec<f32> = (0..6).map(|_| rng.uniform(-0.5, 0.5)).collect();
    model.params_mut().set("rnn.h_0", &[2, 3], &own).unwrap();
    assert_is_that_of_differences(&model, &x, &last, "read-out");
    // The same loss without the read-out has the same gradients.
    let spec = ModelSpec::new(2)
        .layer("rnn", RecurrentSpec::gru([3, 3]).initial_state(true))
        .layer("fc", LayerKind::linear(1));
    let mut plain = Model::new(spec).unwrap();
    plain.params_mut().data_mut().copy_from_slice(model.params().data());
    let target = draw(&mut rng, [1, 2, 1]);
    let with = GradientFlow::of(&model, &x, &mut MeanSquaredError::new(&target)).unwrap();
    let without = GradientFlow::of(&plain, &x, &mut MeanSquaredError::new(&target).at(Steps::Last)).unwrap();
    assert_eq!(with, without);
}

/// The gradient of h_0 is that of a run over the whole sequence, but for how sums are rounded.
#[test]
fn the_first_norms_are_those_of_the_whole_sequence() {
    let mut rng = Rng::new(4);
    let (x, target) = (draw(&mut rng, [9, 3, 2]), draw(&mut rng, [9, 3, 4]));
    let inner = [LayerSpec::new("rnn", RecurrentSpec::rnn([5])), LayerSpec::new("fc", LayerKind::linear(2))];
    let spec = ModelSpec::new(2)
        .layer("inner", LayerKind::residual(0, inner))
        .layer("lstm", RecurrentSpec::lstm([6, 5]))
        .layer("fc", LayerKind::linear(4));
    let model = Model::init(spec, &mut rng).unwrap();
    let flow = GradientFlow::of(&model, &x, &mut MeanSquaredError::new(&target)).unwrap();
    let run = model.forward(&x, &mut TrainingState::new(1)).unwrap();
    let (loss, gradients) =
        run.learn_with(&mut MeanSquaredError::new(&target), Upstream::default().want_state()).unwrap();
    assert_eq!(flow.loss(), loss);
    let d_state = gradients.state().unwrap();
    let norm = |part: SeqRef<'_>| part.flat().unwrap().iter().map(|&d| f64::from(d).powi(2)).sum::<f64>().sqrt() as f32;
    for layer in 0..3 {
        let of_h = (flow.norms()[layer][0], norm(d_state.h_of(layer).unwrap()));
        let of_c = flow.cell_norms()[layer].first().copied().zip(d_state.c_of(layer).map(norm));
        assert_eq!(of_c.is_some(), layer > 0);
        for (got, expected) in std::iter::once(of_h).chain(of_c) {
            assert!((got - expected).abs() <= 1e-6 * expected, "layer {layer}: {got} instead of {expected}");
        }
    }
}

/// The same rows (T, B), the other way around.
fn turned<T: Copy>(rows: &[T], [first, second, width]: [usize; 3]) -> Vec<T> {
    let row = |i: usize, j: usize| &rows[(j * second + i) * width..][..width];
    (0..second).flat_map(|i| (0..first).flat_map(move |j| row(i, j).iter().copied())).collect()
}

#[test]
fn every_form_of_a_batch_has_the_same_flow() {
    let mut rng = Rng::new(5);
    let spec = ModelSpec::new(2).layer("gru", RecurrentSpec::gru([4, 4])).layer("fc", LayerKind::linear(1));
    let model = Model::init(spec.clone(), &mut rng).unwrap();
    let mut batch_first = Model::new(spec.batch_first(true)).unwrap();
    batch_first.params_mut().data_mut().copy_from_slice(model.params().data());
    let (x, target) = (draw(&mut rng, [6, 3, 2]), draw(&mut rng, [6, 3, 1]));
    let mask: Vec<bool> = (0..18).map(|i| i / 3 == 2).collect(); // new sequences at step 2
    let of = |model: &Model, input: Input<'_>, target: &Seq| {
        GradientFlow::of(model, input, &mut MeanSquaredError::new(target)).unwrap()
    };
    let flow = of(&model, (&x).into(), &target);
    let reset = of(&model, Input::from(&x).resets(&mask), &target);
    assert!(reset.norms().iter().all(|norms| norms[2] == 0.0 && norms[1] > 0.0 && norms[3] > 0.0), "{reset:?}");

    let (x_turned, target_turned) = (turned(x.data(), [6, 3, 2]), turned(target.data(), [6, 3, 1]));
    let x_turned = Seq::from_slice(&x_turned, 3, 6, 2).unwrap();
    let target_turned = Seq::from_slice(&target_turned, 3, 6, 1).unwrap();
    assert_eq!(of(&batch_first, (&x_turned).into(), &target_turned).norms(), flow.norms());
    let mask_turned = turned(&mask, [6, 3, 1]);
    let reset_turned = of(&batch_first, Input::from(&x_turned).resets(&mask_turned), &target_turned);
    assert_eq!(reset_turned.norms(), reset.norms());

    let one = Seq::from_slice(&x.data()[..12], 6, 1, 2).unwrap();
    let one_target = Seq::from_slice(&target.data()[..6], 6, 1, 1).unwrap();
    let unbatched = of(&model, Input::unbatched(one.data(), 2).unwrap(), &one_target);
    assert_eq!(unbatched, of(&model, (&one).into(), &one_target));
    let single = [false, false, true, false, false, false];
    let unbatched = of(&model, Input::unbatched(one.data(), 2).unwrap().resets(&single), &one_target);
    assert_eq!(unbatched, of(&model, Input::from(&one).resets(&single), &one_target));
}

#[test]
fn a_batch_of_indices_has_the_flow_of_its_vectors() {
    let mut rng = Rng::new(6);
    let spec = ModelSpec::new(1).layer("embedding", LayerKind::embedding(7, 2)).layer("gru", RecurrentSpec::gru([4]));
    let model = Model::init(spec.clone(), &mut rng).unwrap();
    let mut batch_first = Model::new(spec.batch_first(true)).unwrap();
    batch_first.params_mut().data_mut().copy_from_slice(model.params().data());
    let mut vectors = Model::new(ModelSpec::new(2).layer("gru", RecurrentSpec::gru([4]))).unwrap();
    vectors.params_mut().data_mut().copy_from_slice(&model.params().data()[14..]);
    let indices: Vec<u32> = (0..15).map(|_| rng.below(7) as u32).collect();
    let table = model.params().named("embedding.weight").unwrap().1;
    let rows: Vec<f32> = indices.iter().flat_map(|&i| table[2 * i as usize..][..2].iter().copied()).collect();
    let (x, target) = (Seq::from_slice(&rows, 5, 3, 2).unwrap(), draw(&mut rng, [5, 3, 4]));
    let expected = GradientFlow::of(&vectors, &x, &mut MeanSquaredError::new(&target)).unwrap();
    let input = Input::indices(&indices, 5, 3).unwrap();
    assert_eq!(GradientFlow::of(&model, input, &mut MeanSquaredError::new(&target)).unwrap(), expected);
    let indices = turned(&indices, [5, 3, 1]);
    let target = Seq::from_slice(&turned(target.data(), [5, 3, 4]), 3, 5, 4).unwrap();
    let input = Input::indices(&indices, 3, 5).unwrap();
    let flow = GradientFlow::of(&batch_first, input, &mut MeanSquaredError::new(&target)).unwrap();
    assert_eq!(flow.norms(), expected.norms());
}

/// A network over inputs of zeros whose recurrent weights are `gain` times the identity; all else but the input's is zero.
fn diagonal(nonlinearity: Nonlinearity, gain: f32) -> Model {
    let mut model = Rnn::builder(1, 3).nonlinearity(nonlinearity).model(&mut Rng::new(1)).unwrap();
    model.params_mut().data_mut().fill(0.0);
    let weights: Vec<f32> = (0..9).map(|i| if i % 4 == 0 { gain } else { 0.0 }).collect();
    model.params_mut().set("weight_hh_l0", &[3, 3], &weights).unwrap();
    // So that a ReLU is open.
    model.params_mut().set("weight_ih_l0", &[3, 1], &[1.0; 3]).unwrap();
    model
}

/// The sum of the last step's outputs.
fn last(prediction: SeqRef<'_>, mut d_prediction: SeqMut<'_>) -> elman::Result<f32> {
    let [steps, rows, width] = prediction.shape();
    for t in 0..steps {
        (0..rows).for_each(|row| d_prediction.step(t).row(row).fill(f32::from(u8::from(t + 1 == steps))));
    }
    Ok((0..rows * width).map(|i| prediction.step(steps - 1).row(i / width)[i % width]).sum())
}

#[test]
fn verdicts_are_those_of_powers_of_the_recurrent_weights() {
    let of = |model: &Model, x: f32| {
        let x = Seq::from_slice(&[x; 40], 40, 1, 1).unwrap();
        GradientFlow::of(model, &x, &mut last).unwrap()
    };
    // 0.125⁷ = 4.8e-7: the first power below 1e-6. tanh has a slope of 1 at 0.
    let small = of(&diagonal(Nonlinearity::Tanh, 0.125), 0.0);
    assert_eq!(small.verdict(), Verdict::Vanishing { after: 7 });
    assert_eq!(small.norms()[0][39], 0.125 * 3.0_f32.sqrt());
    assert_eq!(
        small.to_string(),
        "layer 0: the gradient vanishes: below 0.000001 of the last step's after 7 steps back"
    );
    // 2¹⁰ = 1024.
    let large = of(&diagonal(Nonlinearity::Relu, 2.0), 1e-3);
    assert_eq!(large.verdict(), Verdict::Exploding { after: 10 });
    assert_eq!(
        large.to_string(),
        "layer 0: the gradient explodes: above 1000 times the last step's after 10 steps back"
    );
    let even = of(&diagonal(Nonlinearity::Relu, 1.0), 1e-3);
    assert_eq!(even.verdict(), Verdict::Steady);
    assert!(even.norms()[0].iter().all(|&norm| norm == 3.0_f32.sqrt()));
    let none = of(&diagonal(Nonlinearity::Tanh, 0.0), 1e-3);
    assert_eq!(
        (none.verdict(), none.verdict_of(0), none.verdict_of(1)),
        (Verdict::Absent, Some(Verdict::Absent), None)
    );
    assert_eq!(none.to_string(), "layer 0: no gradient: the loss does not depend on the state of an earlier step");
}

#[test]
fn an_lstms_cells_count_where_its_h_leads_nowhere() {
    let mut lstm = Lstm::builder(1, 2).model(&mut Rng::new(1)).unwrap();
    lstm.params_mut().data_mut().fill(0.0);
    let x = Seq::zeros(30, 1, 1).unwrap();
    let flow = GradientFlow::of(&lstm, &x, &mut last).unwrap();
    assert!(flow.norms()[0].iter().all(|&norm| norm == 0.0));
    // The forget gates are a half: 2⁻²⁰ = 9.5e-7.
    assert_eq!(flow.verdict(), Verdict::Vanishing { after: 20 });
    assert_eq!(flow.cell_norms()[0][29], 2.0 * flow.cell_norms()[0][28]);
}

#[test]
fn the_last_step_with_a_gradient_is_where_steps_are_counted_from() {
    let model = diagonal(Nonlinearity::Tanh, 0.125);
    let x = Seq::zeros(20, 1, 1).unwrap();
    let mut early = |prediction: SeqRef<'_>, mut d: SeqMut<'_>| {
        (0..20).for_each(|t| d.step(t).row(0).fill(f32::from(u8::from(t == 11))));
        Ok(prediction.step(11).row(0)[0])
    };
    let flow = GradientFlow::of(&model, &x, &mut early).unwrap();
    assert!(flow.norms()[0][12..].iter().all(|&norm| norm == 0.0) && flow.norms()[0][11] > 0.0);
    assert_eq!(flow.verdict(), Verdict::Vanishing { after: 7 });
    let mut broken = |_: SeqRef<'_>, mut d: SeqMut<'_>| {
        (0..20).for_each(|t| d.step(t).row(0).fill(f32::NAN));
        Ok(f32::NAN)
    };
    let flow = GradientFlow::of(&model, &x, &mut broken).unwrap();
    assert_eq!(flow.verdict(), Verdict::Exploding { after: 0 });
}

/// A layer that explodes comes before one that vanishes, whichever is first.
#[test]
fn the_worst_layer_is_told() {
    let spec = ModelSpec::new(1).layer("a", RecurrentSpec::rnn([2])).layer("b", RecurrentSpec::rnn([2]));
    let mut model = Model::new(spec).unwrap();
    model.params_mut().data_mut().fill(0.0);
    let eye = |gain: f32| [gain, 0.0, 0.0, gain];
    for (name, weights) in [("a.weight_hh_l0", eye(0.125)), ("b.weight_ih_l0", eye(1.0)), ("b.weight_hh_l0", eye(2.0))]
    {
        model.params_mut().set(name, &[2, 2], &weights).unwrap();
    }
    let x = Seq::zeros(40, 1, 1).unwrap();
    let flow = GradientFlow::of(&model, &x, &mut last).unwrap();
    assert_eq!(flow.verdict_of(1), Some(Verdict::Exploding { after: 10 }));
    assert_eq!(flow.verdict(), Verdict::Exploding { after: 10 });
    model.params_mut().set("b.weight_hh_l0", &[2, 2], &eye(0.5)).unwrap();
    model.params_mut().set("a.weight_hh_l0", &[2, 2], &eye(0.0)).unwrap();
    let flow = GradientFlow::of(&model, &x, &mut last).unwrap();
    assert_eq!(
        (flow.verdict_of(0), flow.verdict_of(1)),
        (Some(Verdict::Absent), Some(Verdict::Vanishing { after: 20 }))
    );
    assert!(flow.to_string().starts_with("layer 1: the gradient vanishes"), "{flow}");
}

#[test]
fn gradients_that_are_known_are_followed_as_a_loss_is() {
    let mut rng = Rng::new(9);
    let x = draw(&mut rng, [6, 2, 2]);
    let lstm = Lstm::builder(2, 3).num_layers(2).model(&mut rng).unwrap();
    let weights = draw(&mut rng, [6, 2, 3]);
    let by_loss = GradientFlow::of(&lstm, &x, &mut weighted(&weights)).unwrap();
    let flow = GradientFlow::of_gradients(&lstm, &x, &weights, None).unwrap();
    assert_eq!((flow.norms(), flow.cell_norms()), (by_loss.norms(), by_loss.cell_norms()));
    assert!(flow.loss().is_nan());

    // That of the last state alone, against the whole backward pass.
    let mut d_last = lstm.zero_state(2).unwrap();
    for (i, d) in d_last.h_mut().iter_mut().enumerate() {
        *d = 0.1 * i as f32 - 0.5;
    }
    d_last.c_mut().iter_mut().enumerate().for_each(|(i, d)| *d = 0.7 - 0.2 * i as f32);
    let nothing = Seq::zeros(6, 2, 3).unwrap();
    let flow = GradientFlow::of_gradients(&lstm, &x, &nothing, Some(&d_last)).unwrap();
    let mut training = TrainingState::new(0);
    let run = lstm.forward(&x, &mut training).unwrap();
    let gradients = run.backward(Upstream::last_state(&d_last).want_state()).unwrap();
    let d_first = gradients.state().unwrap();
    for layer in 0..2 {
        for (got, part) in [(flow.norms(), d_first.h()), (flow.cell_norms(), d_first.c())] {
            // Of each layer two rows of three.
            let squares = part[6 * layer..][..6].iter().map(|d| d * d);
            let (got, expected) = (got[layer][0], squares.sum::<f32>().sqrt());
            assert!(got > 1e-4 && (got - expected).abs() < 1e-5 * expected, "{layer}: {got} instead of {expected}");
        }
    }
    let short = Seq::zeros(5, 2, 3).unwrap();
    let error = GradientFlow::of_gradients(&lstm, &x, &short, None).unwrap_err();
    assert_eq!(error.to_string(), "d_output: expected 6 steps, as the output has, got 5");
    let narrow = Seq::zeros(6, 2, 2).unwrap();
    assert_eq!(GradientFlow::of_gradients(&lstm, &x, &narrow, None).unwrap_err().kind(), ErrorKind::Shape);
}

#[test]
fn what_cannot_be_followed_is_refused_by_name() {
    let mut rng = Rng::new(7);
    let x = Seq::zeros(3, 2, 2).unwrap();
    let refused = |model: &Model, input: Input<'_>| {
        let error = GradientFlow::of(model, input, &mut last).unwrap_err();
        (error.kind(), error.to_string())
    };
    let both = Gru::builder(2, 3).bidirectional(true).model(&mut rng).unwrap();
    let (kind, text) = refused(&both, (&x).into());
    assert!(kind == ErrorKind::Unsupported && text.contains("reverse direction"), "{text}");
    let inner = [LayerSpec::new("rnn", RecurrentSpec::gru([1]).bidirectional(true))];
    let inside = Model::init(ModelSpec::new(2).layer("", LayerKind::residual(0, inner)), &mut rng).unwrap();
    let (kind, text) = refused(&inside, (&x).into());
    assert!(kind == ErrorKind::Unsupported && text.starts_with("rnn"), "{text}");
    for readout in [Readout::Mean, Readout::Max] {
        let model = Gru::builder(2, 3).readout(readout).model(&mut rng).unwrap();
        let (kind, text) = refused(&model, (&x).into());
        assert!(kind == ErrorKind::Unsupported && text.contains(&format!("{readout:?} (EveryStep and Last")), "{text}");
    }
    let gru = Gru::builder(2, 3).model(&mut rng).unwrap();
    let packed = PackedSequence::from_padded(x.view(), &[3, 2]).unwrap();
    let (kind, text) = refused(&gru, (&packed).into());
    assert!(kind == ErrorKind::Unsupported && text.contains("packed"), "{text}");
    for empty in [Seq::zeros(0, 2, 2).unwrap(), Seq::zeros(3, 0, 2).unwrap()] {
        let (kind, text) = refused(&gru, (&empty).into());
        assert!(kind == ErrorKind::Value && text.starts_with("input: expected at least one step"), "{text}");
    }
    let linear = Model::init(ModelSpec::new(2).layer("fc", LayerKind::linear(1)), &mut rng).unwrap();
    assert_eq!(
        refused(&linear, (&x).into()),
        (ErrorKind::Value, "model: expected one with recurrent layers, got none".into())
    );
    // A model without parameters, with dropout and without.
    for dropout in [0.0, 0.5] {
        let unset = Model::new(ModelSpec::new(2).layer("", RecurrentSpec::gru([3, 3]).dropout(dropout))).unwrap();
        assert_eq!(refused(&unset, (&x).into()).0, ErrorKind::Stale);
    }
    let wide = Seq::zeros(3, 2, 4).unwrap();
    assert_eq!(refused(&gru, (&wide).into()).0, ErrorKind::Shape);
    let mask = [true; 5];
    assert_eq!(refused(&gru, Input::from(&x).resets(&mask)).0, ErrorKind::Length);
}
