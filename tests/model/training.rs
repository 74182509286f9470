//! Gradients of whole models: against finite differences, in every form of batch, and an encoder that learns through its
//! decoder.

use elman::loss::MeanSquaredError;
use elman::optim::{Sgd, SgdConfig, clip_grad_norm};
use elman::tensor::{PackedSequence, Seq, SeqMut, SeqRef};
use elman::train::{Trainer, TrainingState};
use elman::{
    Gru, Input, LayerKind, Model, ModelSpec, Readout, RecurrentSpec, Rng, State, Threads, Upstream, Workspace,
};

use crate::{assert_same, draw, everything};

/// Σ weight * output over a training run of that seed.
fn weighted(model: &Model, x: Input<'_>, state: Option<&State>, weights: &Seq) -> f64 {
    let (mut workspace, mut training) = (Workspace::default(), TrainingState::new(4));
    let run = model.forward_with(x, state, &mut training, &mut workspace, Threads::one()).unwrap();
    let output = run.output();
    let pairs = output.flat().unwrap().iter().zip(weights.data());
    pairs.map(|(&y, &w)| f64::from(y) * f64::from(w)).sum()
}

/// How far the derivative by `change` is from a gradient, given the loss at both sides of a step of 2^-7 each way.
fn assert_derivative(what: &str, gradient: f32, [above, below]: [f64; 2]) {
    let derivative = (above - below) * 64.0;
    let tolerance = 2e-3 * (1.0 + derivative.abs());
    assert!((derivative - f64::from(gradient)).abs() < tolerance, "{what}: {gradient} instead of {derivative}");
}

const STEP: f32 = 1.0 / 128.0;

#[test]
fn gradients_of_every_kind_of_layer_are_those_of_finite_differences() {
    let mut rng = Rng::new(11);
    for readout in [Readout::EveryStep, Readout::Last, Readout::Mean, Readout::Max] {
        let spec = everything().layer("", readout).layer("out", LayerKind::linear(2));
        let mut model = Model::init(spec, &mut rng).unwrap();
        // The model's own first states begin at zero: others tell more.
        for name in ["lstm.h_0", "lstm.c_0"] {
            let shape = model.params().named(name).unwrap().0.to_vec();
            let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.uniform(-0.5, 0.5)).collect();
            model.params_mut().set(name, &shape, &values).unwrap();
        }
        let mut x = draw(&mut rng, [4, 3, 3]);
        let steps = if readout == Readout::EveryStep { 4 } else { 1 };
        let weights = draw(&mut rng, [steps, 3, 2]);
        let run = model.forward(&x, &mut TrainingState::new(4)).unwrap();
        let gradients = run.backward(Upstream::output(&weights).want_input()).unwrap();
        let d_x = gradients.input().unwrap().flat().unwrap().to_vec();
        let d_params = gradients.parameters().data().to_vec();
        drop(gradients);
        for (i, d) in d_params.into_iter().enumerate() {
            let losses = [STEP, -STEP].map(|step| {
                model.params_mut().data_mut()[i] += step;
                let loss = weighted(&model, (&x).into(), None, &weights);
                model.params_mut().data_mut()[i] -= step;
                loss
            });
            assert_derivative(&format!("{readout:?}, parameter {i}"), d, losses);
        }
        for (i, d) in d_x.into_iter().enumerate() {
            let losses = [STEP, -STEP].map(|step| {
                x.data_mut()[i] += step;
                let loss = weighted(&model, (&x).into(), None, &weights);
                x.data_mut()[i] -= step;
                loss
            });
            assert_derivative(&format!("{readout:?}, input {i}"), d, losses);
        }
    }
}

#[test]
fn gradients_of_first_states_and_embeddings_are_those_of_finite_differences() {
    let mut rng = Rng::new(12);
    let spec = ModelSpec::new(1)
        .layer("emb", LayerKind::embedding(4, 3))
        .layer("gru", RecurrentSpec::gru(vec![5]))
        .layer("fc", LayerKind::linear(2));
    let mut model = Model::init(spec, &mut rng).unwrap();
    let (indices, weights) = ([0, 1, 3, 1, 1, 0], draw(&mut rng, [3, 2, 2]));
    let x = Input::indices(&indices, 3, 2).unwrap();
    let mut state = model.zero_state(2).unwrap();
    state.h_mut().iter_mut().for_each(|h| *h = rng.uniform(-0.5, 0.5));
    let (mut workspace, mut training) = (Workspace::default(), TrainingState::new(4));
    let run = model.forward_with(x, Some(&state), &mut training, &mut workspace, Threads::one()).unwrap();
    let gradients = run.backward(Upstream::output(&weights).want_state()).unwrap();
    assert!(gradients.input().is_none(), "it was not asked for");
    let d_h_0 = gradients.state().unwrap().h().to_vec();
    let d_emb = gradients.parameters().named("emb.weight").unwrap().1.to_vec();
    assert_eq!(d_emb[6..9], [0.0; 3], "an index that did not come");
    for (i, d) in d_h_0.into_iter().enumerate() {
        let losses = [STEP, -STEP].map(|step| {
            state.h_mut()[i] += step;
            let loss = weighted(&model, x, Some(&state), &weights);
            state.h_mut()[i] -= step;
            loss
        });
        assert_derivative(&format!("h_0 {i}"), d, losses);
    }
    for (i, d) in d_emb.into_iter().enumerate() {
        let losses = [STEP, -STEP].map(|step| {
            model.params_mut().data_mut()[i] += step;
            let loss = weighted(&model, x, Some(&state), &weights);
            model.params_mut().data_mut()[i] -= step;
            loss
        });
        assert_derivative(&format!("emb.weight {i}"), d, losses);
    }
}

#[test]
fn a_packed_batch_has_the_gradients_of_its_rows() {
    let mut rng = Rng::new(13);
    for readout in [Readout::EveryStep, Readout::Last, Readout::Mean, Readout::Max] {
        let model = Gru::builder(3, 6).readout(readout).linear("fc", 2).model(&mut rng).unwrap();
        let x = draw(&mut rng, [5, 4, 3]);
        let lengths = [2, 5, 1, 4];
        let packed = PackedSequence::from_padded(x.view(), &lengths).unwrap();
        let weights = draw(&mut rng, [5, 4, 2]);
        let (_, gradients) = model
            .forward(&packed, &mut TrainingState::new(1))
            .unwrap()
            .learn(&mut |y: SeqRef<'_>, mut d_y: SeqMut<'_>| {
                let order = packed.sorted_indices();
                for t in 0..y.shape()[0] {
                    for (i, &place) in order[..y.step(t).shape()[0]].iter().enumerate() {
                        let row = if readout == Readout::EveryStep { place } else { i };
                        d_y.step(t).row(i).copy_from_slice(weights.view().step(t).row(row));
                    }
                }
                Ok(0.0)
            })
            .unwrap();
        let mut sum = vec![0.0_f64; gradients.parameters().data().len()];
        for (row, &length) in lengths.iter().enumerate() {
            let alone: Vec<f32> = (0..length).flat_map(|t| x.view().step(t).row(row).to_vec()).collect();
            let alone = Input::unbatched(&alone, 3).unwrap();
            let run = model.forward(alone, &mut TrainingState::new(1)).unwrap();
            let (_, one) = run
                .learn(&mut |y: SeqRef<'_>, mut d_y: SeqMut<'_>| {
                    for t in 0..y.shape()[0] {
                        d_y.step(t).row(0).copy_from_slice(weights.view().step(t).row(row));
                    }
                    Ok(0.0)
                })
                .unwrap();
            sum.iter_mut().zip(one.parameters().data()).for_each(|(sum, &d)| *sum += f64::from(d));
        }
        for (i, (got, expected)) in gradients.parameters().data().iter().zip(sum).enumerate() {
            assert!((f64::from(*got) - expected).abs() < 1e-5, "{readout:?} {i}: {got} instead of {expected}");
        }
    }
}

#[test]
fn an_encoder_learns_through_the_state_of_its_decoder() {
    let mut rng = Rng::new(14);
    let part = |inputs| ModelSpec::new(inputs).layer("gru", RecurrentSpec::gru(vec![6]));
    let spec = ModelSpec::new(2).part("encoder", part(2)).part("decoder", part(3).layer("fc", LayerKind::linear(1)));
    let mut model = Model::init(spec, &mut rng).unwrap();
    let (x, y) = (draw(&mut rng, [5, 2, 2]), draw(&mut rng, [4, 2, 3]));
    let weights = draw(&mut rng, [4, 2, 1]);
    let loss = |model: &Model| {
        let encoded = model.part("encoder").unwrap().run(&x).unwrap();
        weighted(model.part("decoder").unwrap(), (&y).into(), Some(encoded.state()), &weights)
    };
    let d_encoder = {
        let (encoder, decoder) = (model.part("encoder").unwrap(), model.part("decoder").unwrap());
        let mut training = TrainingState::new(1);
        let encoded = encoder.forward(&x, &mut training).unwrap();
        let state = encoded.state().clone();
        let mut workspace = Workspace::default();
        let decoded = decoder.forward_with(&y, Some(&state), &mut training, &mut workspace, Threads::one()).unwrap();
        let gradients = decoded.backward(Upstream::output(&weights).want_state()).unwrap();
        let back = encoded.backward(Upstream::last_state(gradients.state().unwrap())).unwrap();
        back.parameters().data().to_vec()
    };
    assert!(d_encoder.iter().any(|&d| d != 0.0));
    for (i, d) in d_encoder.into_iter().enumerate() {
        let losses = [STEP, -STEP].map(|step| {
            model.part_mut("encoder").unwrap().params_mut().data_mut()[i] += step;
            let loss = loss(&model);
            model.part_mut("encoder").unwrap().params_mut().data_mut()[i] -= step;
            loss
        });
        assert_derivative(&format!("encoder's parameter {i}"), d, losses);
    }
}

#[test]
fn batch_first_and_unbatched_runs_have_the_same_gradients() {
    let mut rng = Rng::new(15);
    let model = Gru::builder(3, 6).linear("fc", 2).model(&mut Rng::new(2)).unwrap();
    let turned = Gru::builder(3, 6).batch_first(true).linear("fc", 2).model(&mut Rng::new(2)).unwrap();
    // One row lies the same way in either form.
    let (x, d) = (draw(&mut rng, [7, 1, 3]), draw(&mut rng, [7, 1, 2]));
    let [x_turned, d_turned] = [&x, &d].map(|seq| {
        let mut turned = Seq::zeros(1, 7, seq.shape()[2]).unwrap();
        turned.data_mut().copy_from_slice(seq.data());
        turned
    });
    let first = model.forward(&x, &mut TrainingState::new(1)).unwrap();
    let first = first.backward(Upstream::output(&d).want_input()).unwrap();
    let second = turned.forward(&x_turned, &mut TrainingState::new(1)).unwrap();
    let second = second.backward(Upstream::output(&d_turned).want_input()).unwrap();
    assert_same(second.parameters().data(), first.parameters().data(), "batch-first");
    assert_eq!(second.input().unwrap().shape(), [1, 7, 3]);
    assert_same(second.input().unwrap().flat().unwrap(), first.input().unwrap().flat().unwrap(), "d_input");
}

/// Marks lie as the input does; whichever way that is, the same rows begin anew, forward and backward.
#[test]
fn resets_are_the_same_in_every_form() {
    let mut rng = Rng::new(18);
    let model = Gru::builder(3, 6).bidirectional(true).linear("fc", 2).model(&mut Rng::new(2)).unwrap();
    let batch_first = Gru::builder(3, 6).bidirectional(true).batch_first(true).linear("fc", 2);
    let batch_first = batch_first.model(&mut Rng::new(2)).unwrap();
    let (steps, rows) = (7, 3);
    let (x, d) = (draw(&mut rng, [steps, rows, 3]), draw(&mut rng, [steps, rows, 2]));
    let marks: Vec<bool> = (0..steps * rows).map(|_| rng.below(3) == 0).collect();
    let turned_marks: Vec<bool> =
        (0..rows).flat_map(|b| (0..steps).map(move |t| (t, b))).map(|(t, b)| marks[t * rows + b]).collect();
    let turned = |seq: &Seq| {
        let [first, second, width] = seq.shape();
        let mut turned = Seq::zeros(second, first, width).unwrap();
        for i in 0..first {
            for j in 0..second {
                turned.view_mut().step(j).row(i).copy_from_slice(seq.view().step(i).row(j));
            }
        }
        turned
    };
    let packed = |seq: &Seq| PackedSequence::from_padded(seq.view(), &[steps; 3]).unwrap();
    let gradients = |model: &Model, input: Input<'_>, d_output: Input<'_>| {
        let run = model.forward(input, &mut TrainingState::new(1)).unwrap();
        let y = run.output().flat().unwrap().to_vec();
        let gradients = run.backward(Upstream::output(d_output).want_input()).unwrap();
        let d_x = gradients.input().unwrap().flat().unwrap().to_vec();
        (y, d_x, gradients.parameters().data().to_vec())
    };
    let (y, d_x, parameters) = gradients(&model, Input::from(&x).resets(&marks), (&d).into());
    let without = gradients(&model, (&x).into(), (&d).into());
    assert_ne!(y, without.0, "the marks have an effect");

    let other = gradients(&model, Input::from(&packed(&x)).resets(&marks), (&packed(&d)).into());
    assert_eq!((&other.0, &other.1, &other.2), (&y, &d_x, &parameters), "packed");
    let other = gradients(&batch_first, Input::from(&turned(&x)).resets(&turned_marks), (&turned(&d)).into());
    assert_same(&other.2, &parameters, "gradients batch-first");
    let back = |values: &[f32], width| turned(&Seq::from_slice(values, rows, steps, width).unwrap()).data().to_vec();
    assert_same(&back(&other.0, 2), &y, "output batch-first");
    assert_same(&back(&other.1, 3), &d_x, "d_input batch-first");
}

#[test]
fn dropout_follows_from_seed_and_step() {
    let mut rng = Rng::new(16);
    let model = Gru::builder(3, 8).num_layers(2).dropout(0.5).model(&mut rng).unwrap();
    let x = draw(&mut rng, [6, 4, 3]);
    let losses = |seed| -> Vec<Vec<f32>> {
        let mut training = TrainingState::new(seed);
        let run = |training: &mut TrainingState| model.forward(&x, training).unwrap().output().flat().unwrap().to_vec();
        (0..3).map(|_| run(&mut training)).collect()
    };
    let (one, again, two) = (losses(1), losses(1), losses(2));
    assert_eq!(one, again);
    for i in 0..3 {
        assert_ne!(one[i], two[i], "another seed has other masks");
        assert_ne!(one[i], one[(i + 1) % 3], "and so has another step");
    }
    let mut later = TrainingState::restored(1, 2);
    assert_eq!(model.forward(&x, &mut later).unwrap().output().flat().unwrap(), one[2]);
}

#[test]
fn gradients_can_be_clipped_before_they_are_used() {
    let mut rng = Rng::new(17);
    let model = Gru::builder(3, 8).model(&mut rng).unwrap();
    let x = draw(&mut rng, [6, 4, 3]);
    let d = draw(&mut rng, [6, 4, 8]);
    let run = model.forward(&x, &mut TrainingState::new(1)).unwrap();
    let mut gradients = run.backward(Upstream::output(&d)).unwrap();
    let norm = clip_grad_norm(gradients.parameters_mut(), 1e-3).unwrap();
    assert!(norm > 1e-3);
    let clipped: f32 = gradients.parameters().data().iter().map(|d| d * d).sum();
    assert!((clipped.sqrt() - 1e-3).abs() < 1e-5);
}

#[test]
fn a_trainer_draws_the_masks_of_its_seed_and_step() {
    let mut rng = Rng::new(18);
    let fresh = Gru::builder(3, 8).num_layers(2).dropout(0.5).linear("fc", 2).model(&mut rng).unwrap();
    let (x, target) = (draw(&mut rng, [6, 4, 3]), draw(&mut rng, [6, 4, 2]));
    let losses = |training, steps| -> Vec<u32> {
        let mut model = fresh.clone();
        // Without learning, a loss differs by its masks alone.
        let sgd = Sgd::new(model.params(), SgdConfig::default().lr(0.0)).unwrap();
        let mut trainer = Trainer::new(sgd).training(training);
        let mut step = |_| trainer.step(&mut model, &x, &mut MeanSquaredError::new(&target)).unwrap().to_bits();
        (0..steps).map(&mut step).collect()
    };
    let (one, two) = (losses(TrainingState::new(1), 4), losses(TrainingState::new(2), 4));
    assert_eq!(losses(TrainingState::new(1), 4), one);
    let mut all = [&one[..], &two].concat();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 8, "each step of each seed has masks of its own: {one:?} {two:?}");
    assert_eq!(losses(TrainingState::restored(1, 2), 2), one[2..], "a restored run goes on");
}

#[test]
fn a_copy_of_a_trainer_goes_on_as_the_trainer_does() {
    let mut rng = Rng::new(19);
    let mut model = Gru::builder(3, 8).num_layers(2).dropout(0.5).linear("fc", 2).model(&mut rng).unwrap();
    let (x, target) = (draw(&mut rng, [6, 4, 3]), draw(&mut rng, [6, 4, 2]));
    let sgd = Sgd::new(model.params(), SgdConfig::default().lr(0.1).momentum(0.9)).unwrap();
    let mut trainer = Trainer::new(sgd).training(TrainingState::new(1));
    let step = |trainer: &mut Trainer<Sgd>, model: &mut Model| {
        trainer.step_carried(model, &x, &mut MeanSquaredError::new(&target)).unwrap().to_bits()
    };
    step(&mut trainer, &mut model);
    let (mut copy, mut other) = (trainer.clone(), model.clone());
    for _ in 0..3 {
        assert_eq!(step(&mut copy, &mut other), step(&mut trainer, &mut model));
    }
    assert_eq!(other.params(), model.params());
}
