//! Parity with PyTorch, by fixtures: passes, heads, losses, optimisers, and 300 iterations of training.

use crate::case::Case;
use crate::compare::distance;
use crate::fixtures::Fixture;
use crate::tiers::tiers;
use elman::Params;
use elman::internals::{Cell, Direction, Linear, LinearScratch, Scratch, Sizes};
use elman::loss::{CrossEntropy, Loss, mse};
use elman::optim::{Adam, AdamConfig, Optimizer, Sgd, SgdConfig, clip_grad_norm, clip_grad_value};
use elman::params::ParamTable;
use elman::tensor::{Seq, SeqRef};

/// Of the largest element of a tensor.
const TOLERANCE: f64 = 1e-5;

fn assert_close(got: &[f32], expected: &[f32], tolerance: f64, what: &str) {
    let expected: Vec<f64> = expected.iter().map(|&x| f64::from(x)).collect();
    let (worst, at) = distance(got, &expected);
    assert!(worst <= tolerance, "{what}[{at}]: {} instead of {}, {worst:e} of the largest", got[at], expected[at]);
}

#[test]
fn outputs_and_gradients_of_single_passes() {
    let fixture = Fixture::open("elman_passes");
    for (i, settings) in fixture.cases().as_array().unwrap().iter().enumerate() {
        let size = |name: &str| usize::try_from(settings[name].as_u64().unwrap()).unwrap();
        let tensor = |name: &str| fixture.f32(&format!("{i:02}.{name}"));
        let case = Case {
            steps: size("steps"),
            batch: size("batch"),
            sizes: Sizes {
                cell: Cell::Elman(settings["nonlinearity"].as_str().unwrap().parse().unwrap()),
                input: size("input"),
                hidden: size("hidden"),
                projection: 0,
                direction: Direction::Forward,
            },
            lengths: None,
            resets: None,
            weight_ih: tensor("weight_ih"),
            weight_hh: tensor("weight_hh"),
            bias: Some([tensor("bias_ih"), tensor("bias_hh")]),
            x: tensor("x"),
            weight_hr: None,
            h_0: settings["h_0"].as_bool().unwrap().then(|| tensor("h_0")),
            c_0: None,
            d_y: tensor("d_y"),
            d_h_n: Some(tensor("d_h_n")),
            d_c_n: None,
        };
        for kernels in tiers() {
            for threads in [1, 2] {
                let mut plan = case.plan(kernels);
                (plan.row_workers, plan.gradient_workers) = (threads, threads);
                let outcome = case.run(kernels, &plan, &mut Scratch::default());
                for (name, got) in &outcome.0 {
                    if *name == "d_h_0" && case.h_0.is_none() {
                        continue;
                    }
                    let what = format!("{} case {i} {name}", kernels.isa());
                    assert_close(got, &tensor(name), TOLERANCE, &what);
                }
            }
        }
    }
}

#[test]
fn linear_layers() {
    let fixture = Fixture::open("heads_and_losses");
    for (i, settings) in fixture.cases()["linear"].as_array().unwrap().iter().enumerate() {
        let size = |name: &str| usize::try_from(settings[name].as_u64().unwrap()).unwrap();
        let (rows, input, output) = (size("rows"), size("input"), size("output"));
        let tensor = |name: &str| fixture.f32(&format!("linear.{i:02}.{name}"));
        let mut layout = ParamTable::new();
        let mut linear = Linear::new(&mut layout, "linear", input, output).unwrap();
        let mut params = Params::zeros(layout);
        params.set("linear.weight", &[output, input], &tensor("weight")).unwrap();
        params.set("linear.bias", &[output], &tensor("bias")).unwrap();
        linear.load(&params).unwrap();
        // As one step of many rows, and as many steps of one row.
        for (steps, batch) in [(1, rows), (rows, 1)] {
            let (x, d_y) = (tensor("x"), tensor("d_y"));
            let x = SeqRef::new(&x, steps, batch, input).unwrap();
            let d_y = SeqRef::new(&d_y, steps, batch, output).unwrap();
            let (mut y, mut d_x, mut gradients) = (Seq::default(), Seq::default(), params.zeros_like());
            let mut scratch = LinearScratch::default();
            linear.forward(x, &mut y, &mut scratch).unwrap();
            linear.backward(&params, x, d_y, &mut gradients, Some(&mut d_x), &mut scratch).unwrap();
            assert_close(y.data(), &tensor("y"), TOLERANCE, "y");
            assert_close(d_x.data(), &tensor("d_x"), TOLERANCE, "d_x");
            assert_close(gradients.named("linear.weight").unwrap().1, &tensor("d_weight"), TOLERANCE, "d_weight");
            assert_close(gradients.named("linear.bias").unwrap().1, &tensor("d_bias"), TOLERANCE, "d_bias");
        }
    }
}

#[test]
fn losses() {
    let fixture = Fixture::open("heads_and_losses");
    let cases = fixture.cases();
    for i in 0..cases["mse"].as_array().unwrap().len() {
        let tensor = |name: &str| fixture.f32(&format!("mse.{i:02}.{name}"));
        let (prediction, target, mut d) = (tensor("prediction"), tensor("target"), Seq::default());
        let n = prediction.len();
        let view = |x| SeqRef::new(x, n, 1, 1).unwrap();
        let loss = mse(view(&prediction), view(&target), &mut d).unwrap();
        assert_close(&[loss], &tensor("loss"), 1e-6, "mse");
        assert_close(d.data(), &tensor("d_prediction"), 1e-6, "d_prediction");
    }
    for (i, settings) in cases["cross_entropy"].as_array().unwrap().iter().enumerate() {
        let classes = usize::try_from(settings["classes"].as_u64().unwrap()).unwrap();
        let tensor = |name: &str| fixture.f32(&format!("cross_entropy.{i:02}.{name}"));
        let (logits, targets) = (tensor("logits"), fixture.i64(&format!("cross_entropy.{i:02}.target")));
        for kernels in tiers() {
            for (steps, batch) in [(1, targets.len()), (targets.len(), 1)] {
                let mut d = Seq::zeros(steps, batch, classes).unwrap();
                let logits = SeqRef::new(&logits, steps, batch, classes).unwrap();
                let mut loss = CrossEntropy::new(&targets).isa(kernels.isa());
                let loss = loss.evaluate(logits.into(), d.view_mut()).unwrap();
                assert_close(&[loss], &tensor("loss"), 1e-6, "cross-entropy");
                assert_close(d.data(), &tensor("d_logits"), 2e-6, "d_logits");
            }
        }
    }
}

/// A model of one tensor.
fn flat(values: &[f32]) -> Params {
    let mut layout = ParamTable::new();
    layout.add("parameters", &[values.len()]).unwrap();
    let mut params = Params::zeros(layout);
    params.data_mut().copy_from_slice(values);
    params
}

#[test]
fn optimisers_step_by_step() {
    let fixture = Fixture::open("optimizers");
    let gradients = fixture.f32("gradients");
    let n = fixture.shape("gradients")[1];
    for settings in fixture.cases().as_array().unwrap() {
        let name = settings["name"].as_str().unwrap();
        let number = |name: &str| settings[name].as_f64().unwrap();
        let path = fixture.f32(&format!("{name}.parameters"));
        let mut params = flat(&path[..n]);
        let (lr, weight_decay) = (number("lr") as f32, number("weight_decay") as f32);
        let mut optimizer: Box<dyn Optimizer> = if settings["kind"] == "adam" {
            let betas = &settings["betas"];
            let betas = (betas[0].as_f64().unwrap(), betas[1].as_f64().unwrap());
            let config = AdamConfig::default().lr(lr).betas(betas.0, betas.1).eps(number("eps") as f32);
            Box::new(Adam::new(&params, config.weight_decay(weight_decay)).unwrap())
        } else {
            let config = SgdConfig::default().lr(lr).momentum(number("momentum") as f32).weight_decay(weight_decay);
            Box::new(Sgd::new(&params, config).unwrap())
        };
        for (t, (gradients, expected)) in gradients.chunks_exact(n).zip(path[n..].chunks_exact(n)).enumerate() {
            optimizer.step(&mut params, &flat(gradients)).unwrap();
            assert_close(params.data(), expected, 1e-6, &format!("{name} step {t}"));
        }
    }
}

#[test]
fn clipping() {
    let fixture = Fixture::open("optimizers");
    for (i, settings) in fixture.metadata("clip").as_array().unwrap().iter().enumerate() {
        let tensor = |name: &str| fixture.f32(&format!("clip.{i}.{name}"));
        let mut gradients = flat(&tensor("gradients"));
        let norm = clip_grad_norm(&mut gradients, settings["max_norm"].as_f64().unwrap() as f32).unwrap();
        assert_close(&[norm], &tensor("norm"), 1e-6, "norm");
        assert_close(gradients.data(), &tensor("clipped"), 1e-6, "clipped");
    }
    let limit = fixture.metadata("clip_value")["clip_value"].as_f64().unwrap() as f32;
    let mut gradients = flat(&fixture.f32("clip_value.gradients"));
    clip_grad_value(&mut gradients, limit).unwrap();
    assert_eq!(gradients.data(), fixture.f32("clip_value.clipped"));
}
