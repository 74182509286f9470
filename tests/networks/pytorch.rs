//! Parity with PyTorch, by fixtures: forward and backward passes of whole networks.

use crate::compare::distance_of_scale;
use crate::fixtures::Fixture;
use crate::network::{Case, turn};
use crate::tiers::tiers;
use elman::internals::{Cell, NetworkConfig, Recurrent, RecurrentWorkspace};
use elman::params::ParamTable;
use elman::{Params, Threads};
use serde_json::Value;

/// Of the largest element of a tensor, or of 1, the size of the data.
const TOLERANCE: f64 = 1e-5;

fn size(settings: &Value, name: &str) -> usize {
    usize::try_from(settings[name].as_u64().unwrap()).unwrap()
}

fn config(settings: &Value) -> NetworkConfig {
    let is = |name: &str| settings[name].as_bool().unwrap();
    let size = |name| size(settings, name);
    let cell = match settings["cell"].as_str().unwrap() {
        "rnn" => Cell::Elman(settings["nonlinearity"].as_str().unwrap().parse().unwrap()),
        "gru" => Cell::Gru,
        _ => Cell::Lstm,
    };
    NetworkConfig {
        bias: is("bias"),
        batch_first: is("batch_first"),
        bidirectional: is("bidirectional"),
        proj_size: size("proj_size"),
        ..NetworkConfig::new(cell, size("input_size"), vec![size("hidden_size"); size("num_layers")])
    }
}

/// The parameters of a case, by name and shape: the table is PyTorch's.
fn params(fixture: &Fixture, config: &NetworkConfig, case: &str) -> Params {
    let mut layout = ParamTable::new();
    Recurrent::new(config.clone(), &mut layout, "").unwrap();
    let mut params = Params::zeros(layout);
    let names: Vec<String> = params.iter().map(|(name, ..)| name.into()).collect();
    let known = ["weight", "bias"].map(|kind| {
        let prefix = format!("{case}{kind}");
        fixture.keys().into_iter().filter(|key| key.starts_with(&prefix)).count()
    });
    assert_eq!(names.len(), known.iter().sum::<usize>(), "{case} has all of PyTorch's parameters");
    for name in &names {
        let key = format!("{case}{name}");
        params.set(name, fixture.shape(&key), &fixture.f32(&key)).unwrap();
    }
    params
}

#[test]
fn outputs_states_and_gradients_of_every_network() {
    let fixture = Fixture::open("networks");
    let cases = fixture.cases();
    let cases = cases.as_array().unwrap();
    assert_eq!(cases.len(), 81);
    let mut pass = RecurrentWorkspace::default();
    for (i, settings) in cases.iter().enumerate() {
        let size = |name| size(settings, name);
        let is = |name: &str| settings[name].as_bool().unwrap();
        let (steps, batch, unbatched) = (size("steps"), size("batch"), is("unbatched"));
        let key = |name: &str| format!("{i:03}.{name}");
        let tensor = |name: &str| fixture.f32(&key(name));
        let turned = is("batch_first") && !unbatched;
        let sequence = |name: &str| {
            let values = tensor(name);
            let width = *fixture.shape(&key(name)).last().unwrap();
            if turned { turn(&values, batch, steps, width) } else { values }
        };
        let lstm = settings["cell"] == "lstm";
        let config = config(settings);
        let params = params(&fixture, &config, &key(""));
        let lengths = fixture.keys().contains(&&key("lengths")[..]).then(|| fixture.i64(&key("lengths")));
        assert_eq!(lengths.is_some(), settings["packed"] != "no");
        let state = |name: &str, there: bool| there.then(|| tensor(name));
        let case = Case {
            config,
            steps,
            batch,
            lengths: lengths.map(|lengths| lengths.iter().map(|&length| usize::try_from(length).unwrap()).collect()),
            unbatched,
            resets: None,
            params: params.data().to_vec(),
            x: sequence("input"),
            h_0: state("h_0", is("h_0")),
            c_0: state("c_0", is("h_0") && lstm),
            d_y: sequence("d_output"),
            d_h_n: state("d_h_n", true),
            d_c_n: state("d_c_n", lstm),
            seed: 0,
        };
        for kernels in tiers() {
            for threads in [1, 2] {
                let outcome = case.run(kernels, Threads::new(threads).unwrap(), &mut pass);
                for (name, got) in &outcome.0 {
                    let expected = match &name[..] {
                        "output" | "d_input" => sequence(name),
                        "d_h_0" | "d_c_0" if !is("h_0") => continue,
                        "c_n" | "d_c_0" if !lstm => continue,
                        name => tensor(name),
                    };
                    let expected: Vec<f64> = expected.iter().map(|&x| f64::from(x)).collect();
                    let (worst, at) = distance_of_scale(got, &expected, 1e-30);
                    let isa = kernels.isa();
                    assert!(worst <= TOLERANCE, "{isa} case {i} {name}[{at}]: {worst:e} of the largest: {settings}");
                }
            }
        }
    }
}
