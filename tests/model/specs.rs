//! Whatever the text of a spec can say, Rust can say from outside of the crate, without a text to parse.

use elman::cell::{GruCellSpec, LstmCellSpec, RnnCellSpec};
use elman::{Activation, CellSpec, LayerKind, LayerSpec, ModelSpec, Nonlinearity, Readout, RecurrentSpec, Reset};

/// Every kind of layer and every setting that the text form's table has, with its text.
fn layers() -> Vec<(&'static str, LayerSpec)> {
    let rnn = |cell: RnnCellSpec| LayerSpec::new("n", RecurrentSpec::new(cell, [8]));
    let gru = |cell: GruCellSpec| LayerSpec::new("n", RecurrentSpec::new(cell, [8]));
    let lstm = |cell: LstmCellSpec| LayerSpec::new("n", RecurrentSpec::new(cell, [8]));
    let plain = |kind: LayerKind| LayerSpec::new("", kind);
    let (gates, candidate) = (Activation::hard_sigmoid(0.2, 0.5), Activation::Softsign);
    vec![
        ("embedding table vocabulary=100 width=16", LayerSpec::new("table", LayerKind::embedding(100, 16))),
        ("rnn n hidden=8", rnn(RnnCellSpec::new())),
        ("rnn n hidden=8 activation=relu", rnn(RnnCellSpec::new().activation(Activation::Relu))),
        ("rnn n hidden=8 clip=3.5", rnn(RnnCellSpec::new().clip(3.5))),
        ("gru n hidden=8", gru(GruCellSpec::new())),
        (
            "gru n hidden=8 reset=before gates=hard-sigmoid(0.2,0.5) candidate=softsign clip=3",
            gru(GruCellSpec::new().reset(Reset::Before).gates(gates).candidate(candidate).clip(3.0)),
        ),
        ("lstm n hidden=8", lstm(LstmCellSpec::new())),
        ("lstm n hidden=8 peepholes", lstm(LstmCellSpec::new().peepholes(true))),
        (
            "lstm n hidden=8 input-forget gates=hard-sigmoid(0.2,0.5) candidate=softsign output=identity clip=3",
            lstm(
                LstmCellSpec::new()
                    .input_forget(true)
                    .gates(gates)
                    .candidate(candidate)
                    .output(Activation::Identity)
                    .clip(3.0),
            ),
        ),
        (
            "lstm n hidden=64,32 bidirectional no-bias own-state projection=8 dropout=0.25 delay=2",
            LayerSpec::new(
                "n",
                RecurrentSpec::lstm([64, 32])
                    .bidirectional(true)
                    .bias(false)
                    .initial_state(true)
                    .proj_size(8)
                    .dropout(0.25)
                    .state_delay(2),
            ),
        ),
        ("linear n outputs=5", LayerSpec::new("n", LayerKind::linear(5))),
        ("linear n outputs=5 no-bias", LayerSpec::new("n", LayerKind::linear_without_bias(5))),
        ("every-step", plain(Readout::EveryStep.into())),
        ("last", plain(Readout::Last.into())),
        ("mean", plain(Readout::Mean.into())),
        ("max", plain(Readout::Max.into())),
        ("scale gain=0.5 offset=1,2,3", plain(LayerKind::scale([0.5], [1.0, 2.0, 3.0]))),
        ("identity", plain(Activation::Identity.into())),
        ("tanh", plain(Activation::Tanh.into())),
        ("relu", plain(Activation::Relu.into())),
        ("sigmoid", plain(Activation::Sigmoid.into())),
        ("softmax", plain(Activation::Softmax.into())),
        ("softsign", plain(Activation::Softsign.into())),
        ("softplus", plain(Activation::Softplus.into())),
        ("hard-sigmoid(0.2,0.5)", plain(Activation::hard_sigmoid(0.2, 0.5).into())),
        ("leaky-relu(0.01)", plain(Activation::leaky_relu(0.01).into())),
        ("elu(1.5)", plain(Activation::elu(1.5).into())),
        ("scaled-tanh(1.7,0.6)", plain(Activation::scaled_tanh(1.7, 0.6).into())),
        ("affine(2,-1)", plain(Activation::affine(2.0, -1.0).into())),
        ("thresholded-relu(0.3)", plain(Activation::thresholded_relu(0.3).into())),
    ]
}

#[test]
fn what_a_text_says_rust_says() {
    for (text, layer) in layers() {
        let mut spec = ModelSpec::new(3);
        spec.layers.push(layer);
        let text = format!("elman 1\ninputs 3\n{text}\n");
        assert_eq!(spec.to_string(), text);
        assert_eq!(text.parse::<ModelSpec>().unwrap(), spec, "{text}");
    }
}

#[test]
fn layers_in_layers_and_models_in_models_are_written_in_rust() {
    let inside: Vec<_> = layers().into_iter().map(|(_, layer)| layer).collect();
    let mut part = ModelSpec::new(2).batch_first(true).layer("", LayerKind::residual(1, inside.clone()));
    part.version = 0;
    let mut spec = ModelSpec::new(3).part("a b", part.clone());
    spec.layers = inside;
    let text = spec.to_string();
    assert_eq!(text.parse::<ModelSpec>().unwrap(), spec, "{text}");
    assert!(
        text.contains("part \"a b\" version=0 {\n  inputs 2 batch-first\n  residual from=1 {\n    embedding table")
    );
}

/// What is read of a spec need not be built to be told apart, and the short forms are the long ones.
#[test]
fn cells_are_what_their_short_forms_say() {
    assert_eq!(CellSpec::rnn(Activation::Relu), RnnCellSpec::new().activation(Nonlinearity::Relu.into()).into());
    assert_eq!(CellSpec::gru(), GruCellSpec::default().into());
    assert_eq!(CellSpec::lstm(), LstmCellSpec::default().into());
    assert_eq!(RecurrentSpec::gru([3]), RecurrentSpec::new(CellSpec::gru(), vec![3]));
    match RecurrentSpec::lstm([3]).cell {
        CellSpec::Lstm(cell) => assert_eq!((cell.peepholes, cell.clip), (false, None)),
        other => panic!("{other:?}"),
    }
    match Activation::hard_sigmoid(0.2, 0.5) {
        Activation::HardSigmoid { alpha, beta, .. } => assert_eq!((alpha, beta), (0.2, 0.5)),
        other => panic!("{other:?}"),
    }
}
