//! What PyTorch computed.

use elman::loss::IGNORE_INDEX;
use elman::reference::{Cell, CrossEntropy, Layer, Linear, MeanSquaredError, Real, Steps, cross_entropy, mse};

use crate::assert_near;
use crate::fixtures::Fixture;

/// Of the largest element of each tensor; PyTorch computes in f32. Up to 9e-7 were seen.
const TOLERANCE: f64 = 1e-5;

/// One case of a fixture.
struct Case<'a> {
    file: &'a Fixture,
    prefix: String,
}

impl Case<'_> {
    fn try_get<R: Real>(&self, name: &str) -> Option<Vec<R>> {
        let values = self.file.try_f32(&format!("{}.{name}", self.prefix))?;
        Some(values.iter().map(|&x| R::from_f64(x.into())).collect())
    }

    fn get<R: Real>(&self, name: &str) -> Vec<R> {
        self.try_get(name).unwrap_or_else(|| panic!("no {}.{name}", self.prefix))
    }

    #[track_caller]
    fn check<R: Real>(&self, name: &str, got: &[R]) {
        let name = format!("{}.{name}", self.prefix);
        assert_near(&format!("{name} in {}", std::any::type_name::<R>()), got, &self.file.f32(&name), TOLERANCE);
    }
}

fn size(case: &serde_json::Value, name: &str) -> usize {
    case[name].as_u64().unwrap_or_else(|| panic!("no size {name}")) as usize
}

/// The cases of one kind, with their descriptions; their tensors' names begin with `prefix` and a number.
fn cases<'a>(file: &'a Fixture, descriptions: &serde_json::Value, prefix: &str) -> Vec<(Case<'a>, serde_json::Value)> {
    let cases = descriptions.as_array().expect("a list of cases").iter().enumerate();
    cases.map(|(n, case)| (Case { file, prefix: format!("{prefix}{n:02}") }, case.clone())).collect()
}

/// The passes of a file; returns how many.
fn passes<R: Real>(file: &str) -> usize {
    let file = Fixture::open(file);
    let cases = cases(&file, &file.cases(), "");
    for (case, description) in &cases {
        let [weight_ih, weight_hh, ih, hh] =
            ["weight_ih", "weight_hh", "bias_ih", "bias_hh"].map(|name| case.get::<R>(name));
        let weight_hr = case.try_get::<R>("weight_hr");
        let layer = Layer {
            cell: cell(description),
            steps: Steps::new(size(description, "steps"), size(description, "batch")),
            input: size(description, "input"),
            hidden: size(description, "hidden"),
            weight_ih: &weight_ih,
            weight_hh: &weight_hh,
            bias: Some([&ih, &hh]),
            weight_hr: weight_hr.as_deref(),
        };
        let lstm = layer.cell == Cell::Lstm;
        assert_eq!(weight_hr.is_some(), description["projection"].as_u64().is_some_and(|size| size > 0));
        let (x, h_0, c_0) = (case.get::<R>("x"), case.try_get::<R>("h_0"), case.try_get::<R>("c_0"));
        assert_eq!(h_0.is_some(), description["h_0"].as_bool().unwrap());
        assert_eq!(c_0.is_some(), lstm && h_0.is_some());
        let output = layer.forward(&x, h_0.as_deref(), c_0.as_deref());
        case.check("y", &output.y);
        case.check("h_n", &output.h_n);
        let (d_y, d_h_n, d_c_n) = (case.get::<R>("d_y"), case.get::<R>("d_h_n"), case.try_get::<R>("d_c_n"));
        let d = layer.backward(&x, h_0.as_deref(), c_0.as_deref(), &d_y, Some(&d_h_n), d_c_n.as_deref());
        case.check("d_x", &d.d_x);
        case.check("d_weight_ih", &d.d_weight_ih);
        case.check("d_weight_hh", &d.d_weight_hh);
        case.check("d_bias_ih", &d.d_bias_ih);
        case.check("d_bias_hh", &d.d_bias_hh);
        if h_0.is_some() {
            case.check("d_h_0", &d.d_h_0);
        }
        if lstm {
            case.check("c_n", &output.c_n);
        }
        if c_0.is_some() {
            case.check("d_c_0", &d.d_c_0);
        }
        if weight_hr.is_some() {
            case.check("d_weight_hr", &d.d_weight_hr);
        }
    }
    cases.len()
}

fn cell(description: &serde_json::Value) -> Cell {
    match description["cell"].as_str() {
        None => Cell::Elman(description["nonlinearity"].as_str().unwrap().parse().unwrap()),
        Some("gru") => Cell::Gru,
        Some("lstm") => Cell::Lstm,
        Some(other) => panic!("no cell {other}"),
    }
}

#[test]
fn elman_passes() {
    let name = "elman_passes";
    assert_eq!([passes::<f32>(name), passes::<f64>(name)], [20, 20]);
}

#[test]
fn gated_passes() {
    let name = "gated_passes";
    assert_eq!([passes::<f32>(name), passes::<f64>(name)], [12, 12]);
}

fn heads<R: Real>() -> [usize; 3] {
    let file = Fixture::open("heads_and_losses");
    let descriptions = file.cases();
    let kind = |kind: &str| cases(&file, &descriptions[kind], &format!("{kind}."));

    let linears = kind("linear");
    for (case, description) in &linears {
        let (weight, bias) = (case.get::<R>("weight"), case.get::<R>("bias"));
        let [rows, input, output] = ["rows", "input", "output"].map(|name| size(description, name));
        let layer = Linear { rows, input, output, weight: &weight, bias: Some(&bias) };
        let x = case.get::<R>("x");
        case.check("y", &layer.forward(&x));
        let d = layer.backward(&x, &case.get::<R>("d_y"));
        case.check("d_x", &d.d_x);
        case.check("d_weight", &d.d_weight);
        case.check("d_bias", &d.d_bias);
    }

    let mses = kind("mse");
    for (case, _) in &mses {
        let (loss, d) = mse(&case.get::<R>("prediction"), &case.get::<R>("target"));
        case.check("loss", &[loss]);
        case.check("d_prediction", &d);
    }

    let cross_entropies = kind("cross_entropy");
    for (case, description) in &cross_entropies {
        let targets = file.i64(&format!("{}.target", case.prefix));
        let ignored = targets.iter().filter(|&&target| target == IGNORE_INDEX).count();
        assert_eq!(ignored, size(description, "ignored"));
        let (loss, d) = cross_entropy(size(description, "classes"), &case.get::<R>("logits"), &targets);
        case.check("loss", &[loss]);
        case.check("d_logits", &d);
    }
    [linears.len(), mses.len(), cross_entropies.len()]
}

#[test]
fn heads_and_losses() {
    assert_eq!([heads::<f32>(), heads::<f64>()], [[4, 3, 6]; 2]);
}

/// The rows (T, B) that count by each of the names in the file.
fn chosen(steps: &str, mask: &[i64], lengths: &[i64]) -> Vec<bool> {
    let (batch, count) = (lengths.len(), mask.len() / lengths.len());
    let place = |i: usize| (i64::try_from(i / batch).unwrap(), lengths[i % batch]);
    let every = |i: usize| match steps.strip_prefix("ragged_").unwrap_or(steps) {
        "every" => true,
        "mask" => mask[i] == 1,
        _ if steps == "ragged_last" => place(i).0 + 1 == place(i).1,
        "last" => i / batch + 1 == count,
        other => panic!("{other}"),
    };
    (0..mask.len()).map(|i| every(i) && (!steps.starts_with("ragged") || place(i).0 < place(i).1)).collect()
}

#[test]
fn losses_of_chosen_rows_with_weights_and_smoothing() {
    let file = Fixture::open("training");
    for group in ["mse", "cross_entropy"] {
        for (i, settings) in file.metadata(group).as_array().unwrap().iter().enumerate() {
            let name = |name: &str| format!("{group}.{i:02}.{name}");
            let wide = |tensor: &str| file.f32(&name(tensor)).into_iter().map(f64::from).collect::<Vec<_>>();
            let steps = settings["steps"].as_str().unwrap();
            let mask = chosen(steps, &file.i64(&name("mask")), &file.i64(&name("lengths")));
            let mask = Some(&mask[..]);
            let ((loss, d), gradient) = if group == "mse" {
                let loss = MeanSquaredError { width: 5, mask };
                (loss.evaluate(&wide("prediction"), &wide("target")), "d_prediction")
            } else {
                let weights = file.try_f32(&name("weights")).map(|w| w.into_iter().map(f64::from).collect::<Vec<_>>());
                let loss = CrossEntropy {
                    class_weights: weights.as_deref(),
                    label_smoothing: settings["label_smoothing"].as_f64().unwrap_or(0.0),
                    ignore_index: settings["ignore_index"].as_i64().unwrap_or(IGNORE_INDEX),
                    mask,
                    ..CrossEntropy::new(5)
                };
                (loss.evaluate(&wide("logits"), &file.i64(&name("labels"))), "d_logits")
            };
            let expected = wide("loss");
            if expected[0].is_nan() {
                assert!(loss.is_nan(), "{settings}");
            } else {
                assert_near(&settings.to_string(), &[loss], &expected, 2e-7);
            }
            assert_near(&settings.to_string(), &d, &wide(gradient), 1e-6);
        }
    }
}
