//! The mistakes that a tired user makes are errors that name them.

use elman::loss::MeanSquaredError;
use elman::optim::{Sgd, SgdConfig};
use elman::params::ParamTable;
use elman::tensor::{PackedSequence, Seq, SeqMut, SeqRef};
use elman::train::{Trainer, TrainingState};
use elman::{
    Activation, CellSpec, ErrorKind, Gru, GruCellSpec, Input, LayerKind, Lstm, LstmCellSpec, Model, ModelSpec, Params,
    Readout, RecurrentSpec, Rng, Rnn, Upstream,
};

fn model() -> Model {
    Rnn::builder(3, 4).linear("fc", 2).model(&mut Rng::new(1)).unwrap()
}

#[test]
fn a_leaked_guard_leaves_a_model_that_says_so() {
    let mut model = model();
    let x = Seq::zeros(2, 1, 3).unwrap();
    let before = model.run(&x).unwrap().values().step(0).row(0).to_vec();
    let mut guard = model.params_mut();
    guard.data_mut().fill(0.25);
    std::mem::forget(guard);
    let text = "model: parameters were changed and not laid out again, as the guard of params_mut() was leaked or dropped by a \
                panic: take params_mut() and drop it";
    assert_stale(&model, &x, text, None);
    // The next guard that is dropped mends it.
    drop(model.params_mut());
    assert_ne!(model.run(&x).unwrap().values().step(0).row(0), before);
}

#[test]
fn a_guard_that_panics_leaves_a_model_that_says_so() {
    let mut model = model();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut guard = model.params_mut();
        guard.data_mut().fill(0.25);
        panic!("in the middle of a change");
    }));
    assert!(panicked.is_err());
    assert_eq!(model.run(&Seq::zeros(2, 1, 3).unwrap()).unwrap_err().kind(), ErrorKind::Stale);
}

/// The model refuses to run, to train and to be saved, in these words; the error that is behind it is its source.
fn assert_stale(model: &Model, x: &Seq, text: &str, source: Option<&str>) {
    use std::error::Error as _;
    let error = model.run(x).unwrap_err();
    assert_eq!((error.kind(), &error.to_string()[..]), (ErrorKind::Stale, text));
    assert_eq!(error.source().map(ToString::to_string).as_deref(), source);
    assert_eq!(model.forward(x, &mut TrainingState::new(1)).unwrap_err().to_string(), text);
    #[cfg(feature = "safetensors")]
    assert_eq!(model.to_bytes().unwrap_err().to_string(), text);
}

#[test]
fn parameters_of_another_model_are_an_error() {
    let put = |mut model: Model, other: Model| {
        *model.params_mut() = other.params().clone();
        model
    };
    let drawn = |spec: ModelSpec| Model::init(spec, &mut Rng::new(1)).unwrap();
    let stale = |source: &str| {
        let text = format!(
            "model: parameters of another model were put in place of its own ({source}): assign its own, or load into a new \
             model"
        );
        (text, source.to_string())
    };
    let (text, source) = stale("parameters: rnn.weight_ih_l0: expected [4, 3], got [5, 3]");
    let other = Rnn::builder(3, 5).linear("fc", 2).model(&mut Rng::new(1)).unwrap();
    assert_stale(&put(model(), other), &Seq::zeros(2, 1, 3).unwrap(), &text, Some(&source));

    // No layer that packs weights sees a smaller vocabulary.
    let words = |n| drawn(ModelSpec::new(1).layer("words", LayerKind::embedding(n, 3)));
    let (text, source) = stale("parameters: words.weight: expected [5, 3], got [2, 3]");
    assert_stale(&put(words(5), words(2)), &Seq::zeros(2, 1, 1).unwrap(), &text, Some(&source));

    // Nor first states of another size.
    let mut own = RecurrentSpec::gru(vec![8]);
    own.initial_state = true;
    let spec = ModelSpec::new(3).layer("", own);
    let mut table = ParamTable::new();
    for (name, shape, _) in drawn(spec.clone()).params().iter() {
        table.add(name, if name == "h_0" { &[1, 2] } else { shape }).unwrap();
    }
    let mut model = drawn(spec);
    let before = model.params().clone();
    *model.params_mut() = Params::zeros(table);
    let (text, source) = stale("parameters: h_0: expected [1, 8], got [1, 2]");
    assert_stale(&model, &Seq::zeros(2, 1, 3).unwrap(), &text, Some(&source));
    // As the text says.
    *model.params_mut() = before;
    assert!(model.run(&Seq::zeros(2, 1, 3).unwrap()).is_ok());
}

#[test]
fn parameters_of_a_twin_are_welcome() {
    let (mut model, twin) = (model(), Rnn::builder(3, 4).linear("fc", 2).model(&mut Rng::new(2)).unwrap());
    *model.params_mut() = twin.params().clone();
    let x = Seq::zeros(2, 1, 3).unwrap();
    assert_eq!(model.run(&x).unwrap().values().flat(), twin.run(&x).unwrap().values().flat());
}

#[test]
fn a_model_without_parameters_says_so() {
    let mut model = Model::new(model().spec().clone()).unwrap();
    let x = Seq::zeros(2, 1, 3).unwrap();
    let text =
        "model: parameters were not given yet: draw them (Model::init), load them (load), or set them by params_mut()";
    assert_stale(&model, &x, text, None);
    drop(model.params_mut());
    assert!(model.run(&x).is_ok());
    // Where there are none to give, none are missing.
    let tanh = Model::new(ModelSpec::new(3).layer("", Activation::Tanh)).unwrap();
    assert!(tanh.run(&x).is_ok());
}

#[test]
fn changed_parameters_count_at_once() {
    let mut model = model();
    let x = Seq::zeros(2, 1, 3).unwrap();
    model.params_mut().data_mut().fill(0.0);
    assert!(model.run(&x).unwrap().values().step(1).row(0).iter().all(|&y| y == 0.0));
    model.params_mut().set("fc.bias", &[2], &[3.0, 4.0]).unwrap();
    assert_eq!(model.run(&x).unwrap().values().step(1).row(0), [3.0, 4.0]);
}

#[test]
fn wrong_inputs_are_named() {
    let model = Lstm::builder(3, 4).model(&mut Rng::new(1)).unwrap();
    let error = model.run(&Seq::zeros(2, 1, 4).unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "input: expected [2, 1, 3], got [2, 1, 4]");
    let state = model.zero_state(2).unwrap();
    let mut workspace = Default::default();
    let threads = elman::Threads::one();
    let error = model.run_with(&Seq::zeros(2, 1, 3).unwrap(), Some(&state), &mut workspace, threads).unwrap_err();
    assert_eq!(error.to_string(), "h_0: expected [1, 1, 4], got [1, 2, 4]");
    let x = Seq::zeros(2, 1, 3).unwrap();
    let run = model.forward(&x, &mut TrainingState::new(1)).unwrap();
    let d_output = Seq::zeros(2, 1, 5).unwrap();
    let error = run.backward(Upstream::output(&d_output)).unwrap_err();
    assert_eq!(error.to_string(), "d_output: expected [2, 1, 4], got [2, 1, 5]");
    // The form has to be the output's too.
    let packed = PackedSequence::from_padded(x.view(), &[2]).unwrap();
    let run = model.forward(&packed, &mut TrainingState::new(1)).unwrap();
    let d_output = Seq::zeros(2, 1, 4).unwrap();
    assert_eq!(run.backward(Upstream::output(&d_output)).unwrap_err().kind(), ErrorKind::State);
}

#[test]
fn indices_outside_the_vocabulary_are_named() {
    let spec = ModelSpec::new(1).layer("emb", LayerKind::embedding(5, 3)).layer("rnn", RecurrentSpec::rnn(vec![4]));
    let model = Model::init(spec, &mut Rng::new(1)).unwrap();
    assert!(model.run(Input::indices(&[0, 4, 2], 3, 1).unwrap()).is_ok());
    let error = model.run(Input::indices(&[0, 5, 2], 3, 1).unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Value);
    assert_eq!(error.to_string(), "input at step 1: expected whole numbers from 0 to 4, got 5");
    let mut halves = Seq::zeros(1, 1, 1).unwrap();
    halves.data_mut()[0] = 0.5;
    assert_eq!(model.run(&halves).unwrap_err().kind(), ErrorKind::Value);
}

#[test]
fn indices_are_for_embeddings() {
    let indices = [0, (1 << 25) + 1];
    let input = Input::indices(&indices, 2, 1).unwrap();
    for (model, x) in [
        (Rnn::builder(1, 4).model(&mut Rng::new(1)).unwrap(), Seq::zeros(2, 1, 1).unwrap()),
        (model(), Seq::zeros(2, 1, 3).unwrap()),
    ] {
        let expected =
            format!("input: expected numbers ({} a step), as no embedding reads it, got indices", model.inputs());
        let error = model.run(input).unwrap_err();
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::Value, expected.clone()));
        assert_eq!(model.forward(input, &mut TrainingState::new(1)).unwrap_err().to_string(), expected);
        let run = model.forward(&x, &mut TrainingState::new(1)).unwrap();
        let error = run.backward(Upstream::output(input)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Value);
        assert!(error.to_string().starts_with("d_output: expected "), "{error}");
    }
    let wide = |readout| Rnn::builder(3, 4).readout(readout).linear("fc", 1).model(&mut Rng::new(1)).unwrap();
    for (readout, count) in [(Readout::EveryStep, 2), (Readout::Last, 1)] {
        let (model, x) = (wide(readout), Seq::zeros(2, 1, 3).unwrap());
        let run = model.forward(&x, &mut TrainingState::new(1)).unwrap();
        let error = run.backward(Upstream::output(Input::indices(&indices[..count], count, 1).unwrap())).unwrap_err();
        let text = "d_output: expected numbers (1 a step), as no embedding reads it, got indices";
        assert_eq!((error.kind(), &error.to_string()[..]), (ErrorKind::Value, text));
    }
}

#[test]
fn a_forget_bias_is_of_the_first_lstm_and_a_number() {
    let text = "forget_bias: expected a finite number, for an LSTM with biases, got";
    for (builder, got) in [
        (Lstm::builder(3, 4).forget_bias(f32::NAN), "NaN"),
        (Lstm::builder(3, 4).forget_bias(f32::INFINITY), "inf"),
        (Lstm::builder(3, 4).bias(false).forget_bias(1.0), "1"),
    ] {
        let error = builder.model(&mut Rng::new(1)).unwrap_err();
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::Setting, format!("{text} {got}")));
    }
    let build = |lstm: elman::LstmBuilder| {
        let builder = lstm.num_layers(2).bidirectional(true).name("lstm");
        let builder = builder.layer("gru", RecurrentSpec::gru(vec![4])).layer("more", RecurrentSpec::lstm(vec![4]));
        builder.model(&mut Rng::new(1)).unwrap()
    };
    let (drawn, set) = (build(Lstm::builder(3, 4)), build(Lstm::builder(3, 4).forget_bias(1.5)));
    for ((name, _, drawn), (_, _, set)) in drawn.params().iter().zip(set.params().iter()) {
        let value = match name {
            _ if name.starts_with("lstm.bias_ih") => 1.5,
            _ if name.starts_with("lstm.bias_hh") => 0.0,
            _ => {
                assert_eq!(set, drawn, "{name}");
                continue;
            }
        };
        assert_eq!(set[4..8], [value; 4], "{name}");
        assert_eq!((&set[..4], &set[8..]), (&drawn[..4], &drawn[8..]), "{name}");
    }
}

#[test]
fn a_trainer_has_no_seed_of_its_own_for_dropout() {
    let dropping = |layers| Rnn::builder(3, 4).num_layers(layers).dropout(0.5).model(&mut Rng::new(1)).unwrap();
    let trainer = |model: &Model| Trainer::new(Sgd::new(model.params(), SgdConfig::default().lr(0.0)).unwrap());
    let x = Seq::from_slice(&[1.0; 60], 20, 1, 3).unwrap();
    let target = Seq::zeros(20, 1, 4).unwrap();
    let mut model = dropping(2);
    let error = trainer(&model).step(&mut model, &x, &mut MeanSquaredError::new(&target)).unwrap_err();
    let text =
        "trainer: expected a seed for the model's dropout (Trainer::training with TrainingState::new(seed)), got none";
    assert_eq!((error.kind(), &error.to_string()[..]), (ErrorKind::State, text));
    let error = trainer(&model).step_carried(&mut model, &x, &mut MeanSquaredError::new(&target)).unwrap_err();
    assert_eq!(error.to_string(), text);
    let losses = [1, 1, 2].map(|seed| {
        let mut trainer = trainer(&model).training(TrainingState::new(seed));
        trainer.step(&mut model, &x, &mut MeanSquaredError::new(&target)).unwrap()
    });
    assert_eq!(losses[0], losses[1]);
    assert_ne!(losses[0], losses[2]);
    // There is no dropout over the last layer.
    let mut model = dropping(1);
    assert!(trainer(&model).step(&mut model, &x, &mut MeanSquaredError::new(&target)).is_ok());
    // In a residual it is dropout as well.
    let mut inner = RecurrentSpec::gru(vec![4, 3]);
    inner.dropout = 0.5;
    let layers = vec![elman::LayerSpec::new("gru", inner)];
    let mut model =
        Model::init(ModelSpec::new(3).layer("net", LayerKind::residual(0, layers)), &mut Rng::new(1)).unwrap();
    let error = trainer(&model).step(&mut model, &x, &mut MeanSquaredError::new(&x)).unwrap_err();
    assert_eq!(error.to_string(), text);
}

#[test]
fn what_the_engine_cannot_run_is_refused_by_name() {
    let recurrent = |change: &dyn Fn(&mut RecurrentSpec)| {
        let mut spec = RecurrentSpec::lstm(vec![4]);
        change(&mut spec);
        ModelSpec::new(3).layer("net", spec)
    };
    let later = |mut spec: ModelSpec| {
        spec.version = 2;
        spec
    };
    let cell = |cell: CellSpec| ModelSpec::new(3).layer("net", RecurrentSpec::new(cell, vec![4]));
    for (spec, text) in [
        (
            cell(GruCellSpec::new().reset(elman::Reset::Before).into()),
            "net: not supported: a GRU that resets before the product",
        ),
        (cell(LstmCellSpec::new().peepholes(true).into()), "net: not supported: an LSTM with peepholes"),
        (cell(LstmCellSpec::new().clip(3.0).into()), "net: not supported: activations whose input is clipped to 3"),
        (cell(CellSpec::rnn(Activation::Softsign)), "net: not supported: an RNN with the activation Softsign"),
        (recurrent(&|spec| spec.state_delay = 2), "net: not supported: a state delay of 2"),
        (ModelSpec::new(3).layer("", Activation::Softplus), "the activation Softplus between layers"),
        (
            recurrent(&|_| ()).layer("", Readout::Last).layer("more", RecurrentSpec::rnn(vec![3])),
            "more: not supported: recurrent layers behind a read-out of one step",
        ),
        (later(recurrent(&|_| ())), "version"),
    ] {
        let error = Model::new(spec).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains(text), "{error} should tell of {text}");
    }
}

#[test]
fn sizes_that_do_not_fit_are_settings() {
    let one = |kind: LayerKind| ModelSpec::new(3).layer("x", kind);
    for (spec, text) in [
        (ModelSpec::new(3), "layers: expected at least 1"),
        (ModelSpec::new(0).layer("", Activation::Tanh), "inputs: expected at least 1"),
        (one(LayerKind::linear(0)), "out_features: expected at least 1"),
        (one(LayerKind::embedding(3, 4)), "x: expected an embedding as the first layer"),
        (one(LayerKind::scale(vec![1.0; 2], vec![0.0])), "gain: expected 1 value or 3"),
        (one(LayerKind::residual(0, vec![])), "layers of a residual: expected at least 1"),
        (
            one(LayerKind::residual(2, vec![elman::LayerSpec::new("fc", LayerKind::linear(2))])),
            "residual: expected at most 3 features of the input",
        ),
        (one(LayerKind::linear(3)).layer("x", LayerKind::linear(3)), "'x.weight' twice"),
    ] {
        let error = Model::new(spec).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Setting, "{error}");
        assert!(error.to_string().contains(text), "{error} should tell of {text}");
    }
}

#[test]
fn a_model_is_shared_by_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Model>();
    shared::<elman::Workspace>();
    shared::<elman::Output<'_>>();
    let model = model();
    let x = Seq::zeros(4, 3, 3).unwrap();
    let alone = model.run(&x).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let output = model.run(&x).unwrap();
                assert_eq!(output.values().flat(), alone.values().flat());
            });
        }
    });
}

/// What a loss gives is not given a second time, and other gradients have the shapes of the run.
#[test]
fn learning_refuses_what_does_not_fit_its_run() {
    let model = Lstm::builder(3, 4).linear("fc", 2).model(&mut Rng::new(1)).unwrap();
    let (x, d_output) = (Seq::zeros(5, 2, 3).unwrap(), Seq::zeros(5, 2, 2).unwrap());
    let learn = |upstream: Upstream<'_>| {
        let mut calls = 0;
        let mut loss = |_: SeqRef<'_>, mut d_output: SeqMut<'_>| {
            calls += 1;
            (0..5).for_each(|t| (0..2).for_each(|row| d_output.step(t).row(row).fill(1.0)));
            Ok(1.0)
        };
        let result = model.forward(&x, &mut TrainingState::new(1)).unwrap().learn_with(&mut loss, upstream);
        (result.map(|(loss, _)| loss), calls)
    };
    let (result, calls) = learn(Upstream::output(&d_output));
    let error = result.unwrap_err();
    assert_eq!((error.kind(), calls), (ErrorKind::Setting, 0));
    assert_eq!(error.to_string(), "d_output: expected none, as the loss gives it, got one");

    let gru = Gru::builder(3, 4).model(&mut Rng::new(1)).unwrap();
    for (state, text) in [
        (model.zero_state(3), "d_h_n: expected [1, 2, 4], got [1, 3, 4]"),
        (gru.zero_state(2), "d_c_n: expected [1, 2, 4], got [0, 0, 0]"),
    ] {
        let error = learn(Upstream::last_state(&state.unwrap())).0.unwrap_err();
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::Shape, text.to_string()));
    }
    let state = model.zero_state(2).unwrap();
    assert_eq!(learn(Upstream::last_state(&state).want_input().want_state()).0.unwrap(), 1.0);

    // A loss's own error is passed on.
    let wrong = Seq::zeros(5, 2, 1).unwrap();
    let run = model.forward(&x, &mut TrainingState::new(1)).unwrap();
    let error = run.learn_with(&mut MeanSquaredError::new(&wrong), Upstream::default()).unwrap_err();
    assert_eq!(error.to_string(), "target: expected [5, 2, 2], got [5, 2, 1]");
}
