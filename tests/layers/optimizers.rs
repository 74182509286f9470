//! Optimisers and clipping: against PyTorch step by step, saved and restored, and what they refuse.

use crate::compare::{assert_same_bits, distance};
#[cfg(feature = "safetensors")]
use crate::fixtures::Fixture;
use crate::tiers::tiers;
use elman::internals::Kernels;
use elman::optim::{
    Adam, AdamConfig, AdamW, AdamWConfig, Optimizer, OptimizerState, Sgd, SgdConfig, StateTensor, clip_grad_norm,
    clip_grad_value,
};
use elman::params::ParamTable;
use elman::{ErrorKind, Isa, Params, Rng};

/// A model of one tensor.
fn flat(values: &[f32]) -> Params {
    model(&[("parameters", &[values.len()])], values)
}

fn model(tensors: &[(&str, &[usize])], values: &[f32]) -> Params {
    let mut table = ParamTable::new();
    for (name, shape) in tensors {
        table.add(*name, shape).unwrap();
    }
    let mut params = Params::zeros(table);
    params.data_mut().copy_from_slice(values);
    params
}

fn draw(rng: &mut Rng, n: usize) -> Vec<f32> {
    (0..n).map(|_| rng.uniform(-1.0, 1.0)).collect()
}

/// Of each element, as the gradients' scales differ; NaN where there is one, and infinity.
fn assert_close(got: &[f32], expected: &[f32], tolerance: f64, what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (i, (&got, &expected)) in got.iter().zip(expected).enumerate() {
        let (near, _) = distance(&[got], &[f64::from(expected)]);
        let same = got == expected || got.is_nan() && expected.is_nan() || near <= tolerance;
        assert!(same, "{what}[{i}]: {got:e} instead of {expected:e}");
    }
}

/// Every optimiser, in settings in which all its parts count.
fn optimizers(params: &Params, isa: Isa) -> Vec<Box<dyn Optimizer>> {
    let adam = AdamConfig::default().lr(0.02).weight_decay(0.1).isa(isa);
    let adam_w = AdamWConfig::default().lr(0.02).betas(0.8, 0.95).eps(1e-6).isa(isa);
    let sgd = SgdConfig::default().lr(0.1).isa(isa);
    vec![
        Box::new(Adam::new(params, adam).unwrap()),
        Box::new(AdamW::new(params, adam_w).unwrap()),
        Box::new(Sgd::new(params, sgd).unwrap()),
        Box::new(Sgd::new(params, sgd.momentum(0.9).dampening(0.3).weight_decay(0.1)).unwrap()),
        Box::new(Sgd::new(params, sgd.momentum(0.9).nesterov(true)).unwrap()),
    ]
}

#[cfg(feature = "safetensors")]
#[test]
fn optimisers_step_as_pytorchs() {
    let fixture = Fixture::open("training");
    let (gradients, n) = (fixture.f32("gradients"), fixture.shape("gradients")[1]);
    let cases = fixture.metadata("optimizers");
    for (i, settings) in cases.as_array().unwrap().iter().enumerate() {
        let number = |name: &str, default: f32| settings[name].as_f64().map_or(default, |value| value as f32);
        let lr: Vec<f32> = settings["lr"].as_array().unwrap().iter().map(|lr| lr.as_f64().unwrap() as f32).collect();
        let path = fixture.f32(&format!("optimizers.{i:02}.parameters"));
        for kernels in tiers() {
            let mut params = flat(&path[..n]);
            let mut optimizer: Box<dyn Optimizer> = match settings["kind"].as_str().unwrap() {
                "AdamW" => {
                    let mut config = AdamWConfig::default().weight_decay(number("weight_decay", 1e-2));
                    if let Some(betas) = settings["betas"].as_array() {
                        config = config.betas(betas[0].as_f64().unwrap(), betas[1].as_f64().unwrap());
                    }
                    let config = config.eps(number("eps", 1e-8)).isa(kernels.isa());
                    Box::new(AdamW::new(&params, config).unwrap())
                }
                "Adam" => {
                    let config = AdamConfig::default().weight_decay(number("weight_decay", 0.0)).isa(kernels.isa());
                    Box::new(Adam::new(&params, config).unwrap())
                }
                _ => {
                    let config = SgdConfig::default()
                        .momentum(number("momentum", 0.0))
                        .dampening(number("dampening", 0.0))
                        .nesterov(settings["nesterov"].as_bool().unwrap_or(false))
                        .weight_decay(number("weight_decay", 0.0))
                        .isa(kernels.isa());
                    Box::new(Sgd::new(&params, config).unwrap())
                }
            };
            for (t, (gradients, expected)) in gradients.chunks_exact(n).zip(path[n..].chunks_exact(n)).enumerate() {
                optimizer.set_learning_rate(lr[t]).unwrap();
                assert_eq!(optimizer.learning_rate(), lr[t]);
                optimizer.step(&mut params, &flat(gradients)).unwrap();
                let expected: Vec<f64> = expected.iter().map(|&x| f64::from(x)).collect();
                let (worst, at) = distance(params.data(), &expected);
                assert!(worst <= 1e-6, "{settings} {} step {t} [{at}]: {worst:e} of the largest off", kernels.isa());
            }
        }
    }
}

#[cfg(feature = "safetensors")]
#[test]
fn clipping_is_pytorchs() {
    let fixture = Fixture::open("training");
    for (i, settings) in fixture.metadata("clip").as_array().unwrap().iter().enumerate() {
        let tensor = |name: &str| fixture.f32(&format!("clip.{i:02}.{name}"));
        let (mut gradients, limit) = (flat(&tensor("gradients")), tensor("limit")[0]);
        if settings["by"] == "norm" {
            let norm = clip_grad_norm(&mut gradients, limit).unwrap();
            assert_close(&[norm], &tensor("norm"), 1e-6, &format!("norm of case {i}"));
        } else {
            clip_grad_value(&mut gradients, limit).unwrap();
        }
        assert_close(gradients.data(), &tensor("clipped"), 1e-6, &format!("case {i}"));
    }
}

#[test]
fn one_nan_makes_all_gradients_nan_and_an_infinite_limit_measures() {
    let mut gradients = flat(&[3000.0, 4000.0, 0.0, f32::NAN]);
    assert!(clip_grad_norm(&mut gradients, 1.0).unwrap().is_nan());
    assert!(gradients.data().iter().all(|x| x.is_nan()));
    let mut gradients = flat(&[3000.0, 4000.0, 0.0]);
    assert_eq!(clip_grad_norm(&mut gradients, f32::INFINITY).unwrap(), 5000.0);
    assert_eq!(gradients.data(), [3000.0, 4000.0, 0.0]);
    // Squares beyond f32.
    let mut gradients = flat(&[3e30, -4e30]);
    assert_close(&[clip_grad_norm(&mut gradients, 1.0).unwrap()], &[5e30], 1e-6, "norm");
    assert_close(gradients.data(), &[0.6, -0.8], 1e-6, "clipped");
    for limit in [-1.0, f32::NAN] {
        let error = clip_grad_norm(&mut gradients, limit).unwrap_err();
        assert_eq!(error.to_string(), format!("max_norm: expected a number of at least 0, got {limit}"));
        let error = clip_grad_value(&mut gradients, limit).unwrap_err();
        assert_eq!(error.to_string(), format!("clip_value: expected a number of at least 0, got {limit}"));
    }
}

/// Saved after some steps and restored into a new optimiser, training goes on with the bits it would have had.
#[test]
fn a_restored_optimiser_goes_on_bit_for_bit() {
    let (tensors, len) = ([("a", &[2, 5][..]), ("b", &[17])], 27);
    let mut rng = Rng::new(1);
    let (start, gradients) = (draw(&mut rng, len), draw(&mut rng, 12 * len));
    for kernels in tiers() {
        let mut params = model(&tensors, &start);
        let kinds = optimizers(&params, kernels.isa()).len();
        for kind in 0..kinds {
            let fresh = |params: &Params| optimizers(params, kernels.isa()).swap_remove(kind);
            params.data_mut().copy_from_slice(&start);
            for saved_at in [0, 1, 5] {
                let mut whole = (params.clone(), fresh(&params));
                let mut resumed = None;
                for (t, gradients) in gradients.chunks_exact(len).enumerate() {
                    if t == saved_at {
                        let state = whole.1.state();
                        assert_eq!(state.step, t as u64);
                        let mut optimizer = fresh(&params);
                        optimizer.load_state(&state).unwrap();
                        assert_eq!(optimizer.state(), state);
                        resumed = Some((whole.0.clone(), optimizer));
                    }
                    if t == 3 {
                        whole.1.set_learning_rate(0.3).unwrap();
                        resumed.iter_mut().for_each(|resumed| resumed.1.set_learning_rate(0.3).unwrap());
                    }
                    let gradients = model(&tensors, gradients);
                    whole.1.step(&mut whole.0, &gradients).unwrap();
                    resumed.iter_mut().for_each(|resumed| resumed.1.step(&mut resumed.0, &gradients).unwrap());
                }
                let what = format!("{} {} saved after {saved_at}", kernels.isa(), whole.1.state().name);
                let resumed = resumed.unwrap();
                assert_same_bits(whole.0.data(), resumed.0.data(), &what);
                assert_eq!(whole.1.state(), resumed.1.state(), "{what}");
            }
        }
    }
}

#[test]
fn states_are_named_tensors() {
    let params = model(&[("a", &[2, 1]), ("b", &[1])], &[1.0, 2.0, 3.0]);
    let mut sgd = Sgd::new(&params, SgdConfig::default().lr(0.5).momentum(0.5)).unwrap();
    let (mut stepped, gradients) = (params.clone(), params.clone());
    sgd.step(&mut stepped, &gradients).unwrap();
    let tensors = vec![
        StateTensor::new("momentum_buffer", "a", &[2, 1], &[1.0, 2.0]),
        StateTensor::new("momentum_buffer", "b", &[1], &[3.0]),
    ];
    assert_eq!(sgd.state(), OptimizerState::new("SGD", 0.5, 1, tensors));
    let adam = Adam::new(&params, AdamConfig::default()).unwrap().state();
    let names: Vec<_> = adam.tensors.iter().map(|tensor| (&tensor.buffer[..], &tensor.parameter[..])).collect();
    assert_eq!(names, [("exp_avg", "a"), ("exp_avg", "b"), ("exp_avg_sq", "a"), ("exp_avg_sq", "b")]);
    // Whatever order they come in.
    let mut state = sgd.state();
    state.tensors.reverse();
    let mut again = Sgd::new(&params, SgdConfig::default().momentum(0.5)).unwrap();
    again.load_state(&state).unwrap();
    assert_eq!(again.state(), sgd.state());
}

#[test]
fn the_state_of_another_model_or_optimiser_is_refused() {
    let params = model(&[("a", &[2, 1]), ("b", &[1])], &[1.0, 2.0, 3.0]);
    let mut adam = Adam::new(&params, AdamConfig::default()).unwrap();
    adam.step(&mut params.clone(), &params).unwrap();
    let before = adam.state();
    let mut refuse = |state: &OptimizerState, kind, text: &str| {
        let error = adam.load_state(state).unwrap_err();
        assert_eq!((error.kind(), &error.to_string()[..]), (kind, text));
        assert_eq!(adam.state(), before, "{text}: something has changed");
    };
    let other = AdamW::new(&params, AdamWConfig::default()).unwrap().state();
    refuse(&other, ErrorKind::State, "optimizer state: expected one of Adam, got one of AdamW");
    let other = |tensors| Adam::new(&model(tensors, &[0.0; 3]), AdamConfig::default()).unwrap().state();
    let text = "exp_avg of a: expected [2, 1], got [2]; exp_avg_sq of a: expected [2, 1], got [2]";
    refuse(&other(&[("a", &[2]), ("b", &[1])]), ErrorKind::Weights, text);
    let text = "exp_avg of b: missing; exp_avg_sq of b: missing; exp_avg of c: not of this optimizer; \
                exp_avg_sq of c: not of this optimizer";
    refuse(&other(&[("a", &[2, 1]), ("c", &[1])]), ErrorKind::Weights, text);
    let mut short = before.clone();
    short.tensors[0].values.pop();
    refuse(&short, ErrorKind::Weights, "exp_avg of a: shape [2, 1] needs 2 elements, got 1");
    let mut twice = before.clone();
    twice.tensors.push(twice.tensors[3].clone());
    refuse(&twice, ErrorKind::Weights, "exp_avg_sq of b: twice");
    let mut rate = before.clone();
    rate.learning_rate = -1.0;
    refuse(&rate, ErrorKind::Setting, "learning_rate: expected a finite number of at least 0, got -1");
    // A buffer that this one does not keep.
    let mut plain = Sgd::new(&params, SgdConfig::default()).unwrap();
    let momentum = Sgd::new(&params, SgdConfig::default().momentum(0.5)).unwrap();
    assert_eq!(plain.load_state(&momentum.state()).unwrap_err().kind(), ErrorKind::Weights);
}

#[test]
fn settings_outside_their_range_are_errors() {
    let params = flat(&[0.0; 3]);
    for lr in [f32::NAN, f32::INFINITY, -1.0] {
        let text = format!("lr: expected a finite number of at least 0, got {lr}");
        let adam = Adam::new(&params, AdamConfig::default().lr(lr)).unwrap_err();
        let adam_w = AdamW::new(&params, AdamWConfig::default().lr(lr)).unwrap_err();
        let sgd = Sgd::new(&params, SgdConfig::default().lr(lr)).unwrap_err();
        let set = optimizers(&params, Isa::Portable).into_iter().map(|mut one| one.set_learning_rate(lr).unwrap_err());
        for error in [adam, adam_w, sgd].into_iter().chain(set) {
            assert_eq!((error.kind(), error.to_string()), (ErrorKind::Setting, text.clone()));
        }
    }
    assert!(Adam::new(&params, AdamConfig::default().betas(1.0, 0.9)).is_err());
    assert!(Adam::new(&params, AdamConfig::default().eps(f32::NAN)).is_err());
    assert!(AdamW::new(&params, AdamWConfig::default().weight_decay(-0.1)).is_err());
    let sgd = SgdConfig::default();
    let refused = [
        (sgd.momentum(1.0), "momentum: expected a number in [0, 1), got 1"),
        (sgd.dampening(1.5), "dampening: expected a number in [0, 1], got 1.5"),
        (
            sgd.nesterov(true),
            "nesterov: expected a momentum above 0 and a dampening of 0, got momentum 0 and dampening 0",
        ),
        (
            sgd.nesterov(true).momentum(0.5).dampening(0.5),
            "nesterov: expected a momentum above 0 and a dampening of 0, got momentum 0.5 and dampening 0.5",
        ),
    ];
    for (config, text) in refused {
        assert_eq!(Sgd::new(&params, config).unwrap_err().to_string(), text);
    }
}

#[test]
fn parameters_and_gradients_of_another_model_are_errors() {
    let tensors: [(&str, &[usize]); 2] = [("a", &[2]), ("b", &[1])];
    let params = model(&tensors, &[0.0; 3]);
    for mut optimizer in optimizers(&params, Isa::Portable) {
        // Another table of the same tensors is the same model.
        optimizer.step(&mut params.clone(), &model(&tensors, &[1.0; 3])).unwrap();
        let state = optimizer.state();
        let mut refuse = |tensors: &[(&str, &[usize])], text: &str| {
            let other = model(tensors, &vec![1.0; tensors.iter().map(|(_, shape)| shape[0]).sum()]);
            let error = optimizer.step(&mut params.clone(), &other).unwrap_err().to_string();
            assert_eq!(error, text.replace("WHAT", "gradients"));
            let error = optimizer.step(&mut other.clone(), &params).unwrap_err().to_string();
            assert_eq!(error, text.replace("WHAT", "parameters"));
        };
        refuse(&[("a", &[1]), ("b", &[2])], "WHAT: a: expected [2], got [1]");
        refuse(&[("a", &[2]), ("c", &[1])], "no parameter is called 'c'; there are: a, b");
        refuse(&[("a", &[2])], "number of WHAT: expected [2], got [1]");
        assert_eq!(optimizer.state(), state);
    }
}

/// An optimiser runs on the tier it is told to: the portable one rounds a product before it adds.
#[test]
fn the_tier_is_the_one_that_is_asked_for() {
    let mut rng = Rng::new(2);
    let (start, gradients) = (flat(&draw(&mut rng, 64)), flat(&draw(&mut rng, 64)));
    let run = |isa| {
        let mut params = start.clone();
        let mut optimizer = optimizers(&params, isa).swap_remove(0);
        (0..3).for_each(|_| optimizer.step(&mut params, &gradients).unwrap());
        params
    };
    let portable = run(Isa::Portable);
    for kernels in tiers().into_iter().filter(|kernels| kernels.isa() != Isa::Portable) {
        assert_ne!(run(kernels.isa()), portable, "{} does not fuse", kernels.isa());
    }
    let missing = Isa::ALL.iter().find(|&&isa| Kernels::of(isa).is_none());
    if let Some(&isa) = missing {
        let error = Adam::new(&start, AdamConfig::default().isa(isa)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Isa);
    }
}
