//! What a model computes: layer by layer as by hand, in any form of batch, with the same bits however it is run.

use elman::internals::{Cell, NetworkConfig, Recurrent, RecurrentWorkspace};
use elman::params::ParamTable;
use elman::reference;
use elman::tensor::{PackedSequence, Seq};
use elman::train::TrainingState;
use elman::{
    Activation, Gru, Input, LayerKind, Lstm, Model, ModelSpec, Params, Readout, RecurrentSpec, Rng, Rnn, Threads,
    Workspace,
};

use crate::{assert_same, draw, everything};

#[test]
fn recurrent_layers_and_a_head_are_those_of_the_network_and_of_the_reference() {
    let mut rng = Rng::new(3);
    let model = Lstm::builder(3, 20).num_layers(2).bidirectional(true).linear("fc", 4).model(&mut rng).unwrap();
    let x = draw(&mut rng, [7, 5, 3]);
    let output = model.run(&x).unwrap();

    let config = NetworkConfig { bidirectional: true, ..NetworkConfig::new(Cell::Lstm, 3, vec![20, 20]) };
    let mut table = ParamTable::new();
    let mut network = Recurrent::new(config, &mut table, "lstm").unwrap();
    let mut params = Params::zeros(table);
    let names: Vec<String> = params.iter().map(|(name, ..)| name.into()).collect();
    for name in &names {
        let (shape, values) = model.params().named(name).unwrap();
        params.set(name, shape, values).unwrap();
    }
    network.load(&params).unwrap();
    let mut workspace = RecurrentWorkspace::default();
    network.forward(&x, None, &mut workspace, Threads::one()).unwrap();
    assert_same(output.state().h(), workspace.state().h(), "h_n");
    assert_same(output.state().c(), workspace.state().c(), "c_n");
    let (weight, bias) = (model.params().named("fc.weight").unwrap().1, model.params().named("fc.bias").unwrap().1);
    let head = reference::Linear { rows: 35, input: 40, output: 4, weight, bias: Some(bias) };
    let expected = head.forward(workspace.output().flat().unwrap());
    for (got, expected) in output.values().flat().unwrap().iter().zip(expected) {
        assert!((got - expected).abs() < 1e-6, "{got} instead of {expected}");
    }
}

#[test]
fn a_builder_draws_as_pytorch_does_and_names_as_pytorch_does() {
    let names = |model: &Model| -> Vec<String> { model.params().iter().map(|(name, ..)| name.into()).collect() };
    let bare = Gru::builder(3, 4).model(&mut Rng::new(1)).unwrap();
    assert_eq!(names(&bare), ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]);
    let headed = Gru::builder(3, 4).bias(false).linear("fc", 1).model(&mut Rng::new(1)).unwrap();
    assert_eq!(names(&headed), ["gru.weight_ih_l0", "gru.weight_hh_l0", "fc.weight", "fc.bias"]);
    let called = Rnn::builder(3, 4).linear("fc", 1).name("net.rnn").model(&mut Rng::new(1)).unwrap();
    assert!(names(&called)[0].starts_with("net.rnn."));
    // The same numbers for the same seed, and within 1/√H.
    let again = Gru::builder(3, 4).model(&mut Rng::new(1)).unwrap();
    assert_eq!(bare.params(), again.params());
    assert!(bare.params().data().iter().all(|w| w.abs() <= 0.5));
    let forgetful = Lstm::builder(3, 4).forget_bias(1.5).model(&mut Rng::new(1)).unwrap();
    assert_eq!(forgetful.params().named("bias_ih_l0").unwrap().1[4..8], [1.5; 4]);
    assert_eq!(forgetful.params().named("bias_hh_l0").unwrap().1[4..8], [0.0; 4]);
}

#[test]
fn the_same_bits_in_every_form_of_batch_and_from_every_workspace() {
    let mut rng = Rng::new(5);
    let model = Model::init(everything(), &mut rng).unwrap();
    let turned = Model::init(everything().batch_first(true), &mut Rng::new(5)).unwrap();
    let x = draw(&mut rng, [6, 4, 3]);
    let mut batch_first = Seq::zeros(4, 6, 3).unwrap();
    for t in 0..6 {
        for row in 0..4 {
            batch_first.data_mut()[(row * 6 + t) * 3..][..3].copy_from_slice(x.view().step(t).row(row));
        }
    }
    let mut used = Workspace::default();
    model.run_with(&draw(&mut rng, [9, 7, 3]), None, &mut used, Threads::one()).unwrap();
    let output = model.run(&x).unwrap();
    let again = model.run_with(&x, None, &mut used, Threads::new(2).unwrap()).unwrap();
    assert_same(again.values().flat().unwrap(), output.values().flat().unwrap(), "in a used workspace, two threads");
    let by_rows = turned.run(&batch_first).unwrap();
    let padded = PackedSequence::from_padded(x.view(), &[6; 4]).unwrap();
    let packed = model.run(&padded).unwrap();
    let packed = packed.packed().unwrap().to_padded(6).unwrap();
    assert_same(packed.data(), output.values().flat().unwrap(), "packed");
    for row in 0..4 {
        let alone: Vec<f32> = (0..6).flat_map(|t| x.view().step(t).row(row).to_vec()).collect();
        let alone = model.run(Input::unbatched(&alone, 3).unwrap()).unwrap();
        for t in 0..6 {
            let expected = output.values().step(t).row(row);
            assert_same(alone.values().step(t).row(0), expected, "a row by itself");
            assert_same(by_rows.values().step(row).row(t), expected, "batch-first");
        }
    }
}

#[test]
fn training_runs_compute_what_inference_does() {
    let mut rng = Rng::new(6);
    let mut spec = everything();
    for layer in &mut spec.layers {
        if let LayerKind::Recurrent(recurrent) = &mut layer.kind {
            recurrent.dropout = 0.0;
        }
    }
    let model = Model::init(spec, &mut rng).unwrap();
    let x = draw(&mut rng, [6, 4, 3]);
    let output = model.run(&x).unwrap();
    let run = model.forward(&x, &mut TrainingState::new(1)).unwrap();
    assert_same(run.output().flat().unwrap(), output.values().flat().unwrap(), "output");
    assert_same(run.state().h(), output.state().h(), "h_n");
}

#[test]
fn a_state_is_carried_from_one_run_to_the_next() {
    let mut rng = Rng::new(7);
    let model = Lstm::builder(2, 9).num_layers(2).linear("fc", 1).model(&mut rng).unwrap();
    let x = draw(&mut rng, [10, 3, 2]);
    let whole = model.run(&x).unwrap();
    let (mut state, mut workspace) = (model.zero_state(3).unwrap(), Workspace::default());
    for t in 0..10 {
        let step = x.view().narrow_steps(t, 1);
        let output = model.run_with(step, Some(&state), &mut workspace, Threads::one()).unwrap();
        for row in 0..3 {
            assert_same(output.values().step(0).row(row), whole.values().step(t).row(row), "step by step");
        }
        state.copy_from(output.state()).unwrap();
    }
    assert_same(state.c(), whole.state().c(), "c_n");
}

#[test]
fn read_outs_leave_one_step_of_each_row_in_the_order_of_the_batch() {
    let mut rng = Rng::new(8);
    let x = draw(&mut rng, [5, 4, 3]);
    let lengths = [2, 5, 1, 4];
    let packed = PackedSequence::from_padded(x.view(), &lengths).unwrap();
    let steps = Rnn::builder(3, 6).model(&mut Rng::new(9)).unwrap();
    for (readout, fold) in [
        (Readout::Last, (|_, y| y) as fn(f32, f32) -> f32),
        (Readout::Mean, |sum, y| sum + y),
        (Readout::Max, f32::max),
    ] {
        let model = Rnn::builder(3, 6).readout(readout).model(&mut Rng::new(9)).unwrap();
        let output = model.run(&packed).unwrap();
        assert_eq!(output.values().shape(), [1, 4, 6]);
        assert!(output.packed().is_none());
        for (row, &length) in lengths.iter().enumerate() {
            let alone: Vec<f32> = (0..length).flat_map(|t| x.view().step(t).row(row).to_vec()).collect();
            let all = steps.run(Input::unbatched(&alone, 3).unwrap()).unwrap();
            for unit in 0..6 {
                let values = (0..length).map(|t| all.values().step(t).row(0)[unit]);
                let mut expected = values.reduce(fold).unwrap();
                if readout == Readout::Mean {
                    expected /= length as f32;
                }
                let got = output.values().step(0).row(row)[unit];
                assert!((got - expected).abs() < 1e-6, "{readout:?} of row {row}: {got} instead of {expected}");
            }
        }
    }
    let batch_first = Rnn::builder(3, 6).batch_first(true).readout(Readout::Last).model(&mut Rng::new(9)).unwrap();
    assert_eq!(batch_first.run(&draw(&mut rng, [4, 5, 3])).unwrap().values().shape(), [4, 1, 6]);
}

#[test]
fn layers_without_weights_compute_their_formula() {
    let run = |kind: LayerKind, row: &[f32]| -> Vec<f32> {
        let model = Model::new(ModelSpec::new(row.len()).layer("", kind)).unwrap();
        model.run(Input::unbatched(row, row.len()).unwrap()).unwrap().values().step(0).row(0).to_vec()
    };
    let row = [-2.0, -0.5, 0.0, 0.75];
    let each = |f: fn(f32) -> f32| row.iter().map(|&x| f(x)).collect::<Vec<_>>();
    for (activation, expected) in [
        (Activation::Identity, row.to_vec()),
        (Activation::Tanh, each(f32::tanh)),
        (Activation::Relu, each(|x| x.max(0.0))),
        (Activation::Sigmoid, each(|x| 1.0 / (1.0 + (-x).exp()))),
        (Activation::Softmax, {
            let total: f32 = row.iter().map(|x| x.exp()).sum();
            row.iter().map(|x| x.exp() / total).collect()
        }),
    ] {
        for (got, expected) in run(activation.into(), &row).iter().zip(expected) {
            assert!((got - expected).abs() < 1e-6, "{activation:?}: {got} instead of {expected}");
        }
    }
    assert!(run(Activation::Relu.into(), &[f32::NAN])[0].is_nan());
    assert_eq!(run(LayerKind::scale(vec![2.0], vec![1.0]), &row), [-3.0, 0.0, 1.0, 2.5]);
    assert_eq!(run(LayerKind::scale(vec![1.0, 2.0, 3.0, 4.0], vec![0.0]), &row), [-2.0, -1.0, 0.0, 3.0]);
    let doubled = vec![elman::LayerSpec::new("", LayerKind::scale(vec![2.0], vec![0.0]))];
    assert_eq!(run(LayerKind::residual(0, doubled), &row), [-6.0, -1.5, 0.0, 2.25]);
}

#[test]
fn an_embedding_looks_vectors_up_and_a_models_own_state_is_where_it_begins() {
    let mut spec = RecurrentSpec::rnn(vec![2]);
    spec.initial_state = true;
    let spec = ModelSpec::new(1).layer("emb", LayerKind::embedding(4, 2)).layer("rnn", spec);
    let mut model = Model::new(spec).unwrap();
    {
        let mut params = model.params_mut();
        params.set("emb.weight", &[4, 2], &[0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]).unwrap();
        params.set("rnn.weight_ih_l0", &[2, 2], &[1.0, 0.0, 0.0, 1.0]).unwrap();
        params.set("rnn.weight_hh_l0", &[2, 2], &[1.0, 0.0, 0.0, 1.0]).unwrap();
        params.set("rnn.h_0", &[1, 2], &[0.5, -0.5]).unwrap();
    }
    let output = model.run(Input::indices(&[3, 1], 1, 2).unwrap()).unwrap();
    let expected = [[0.6_f32 + 0.5, 0.7 - 0.5], [0.2 + 0.5, 0.3 - 0.5]].map(|row| row.map(f32::tanh));
    for (row, expected) in expected.iter().enumerate() {
        for (got, expected) in output.values().step(0).row(row).iter().zip(expected) {
            assert!((got - expected).abs() < 1e-6);
        }
    }
    let zeros = model.zero_state(2).unwrap();
    let mut workspace = Workspace::default();
    let given =
        model.run_with(Input::indices(&[3, 1], 1, 2).unwrap(), Some(&zeros), &mut workspace, Threads::one()).unwrap();
    assert!((given.values().step(0).row(0)[0] - 0.6_f32.tanh()).abs() < 1e-6, "a state that is given comes first");
}
