//! Whatever a spec can say goes to text and back; what a text says wrongly is told by line and word.

use proptest::prelude::*;

use crate::error::ErrorKind;
use crate::model::spec::{
    Activation, CellSpec, GruCellSpec, LayerKind, LayerSpec, LstmCellSpec, ModelSpec, Readout, RecurrentSpec, Reset,
    RnnCellSpec,
};

/// Any number but NaN, which is not equal to itself.
fn number() -> impl Strategy<Value = f32> {
    prop_oneof![
        prop::num::f32::NORMAL | prop::num::f32::SUBNORMAL | prop::num::f32::ZERO | prop::num::f32::INFINITE,
        Just(0.2),
        Just(1.0)
    ]
}

/// Plain words, words that mean something to the parser, and any characters at all.
fn name() -> impl Strategy<Value = String> {
    let special = [
        "",
        "bidirectional",
        "no-bias",
        "own-state",
        "peepholes",
        "input-forget",
        "batch-first",
        "last",
        "relu",
        "elman",
        "part",
        "hidden=3",
        "a b",
        "a, b",
        "#",
        "{",
        "}",
        "\"",
        "\\",
        "\n",
        "\\u{41}",
        "重み",
        "rnn.0",
    ];
    prop_oneof!["[a-z_][a-z0-9_.]{0,8}", prop::sample::select(special.to_vec()).prop_map(String::from), any::<String>()]
}

fn activation() -> impl Strategy<Value = Activation> {
    let plain = [
        Activation::Identity,
        Activation::Tanh,
        Activation::Relu,
        Activation::Sigmoid,
        Activation::Softmax,
        Activation::Softsign,
        Activation::Softplus,
    ];
    let of_two = (number(), number());
    prop_oneof![
        4 => prop::sample::select(plain.to_vec()),
        1 => (0..6_usize, of_two).prop_map(|(which, (alpha, beta))| match which {
            0 => Activation::HardSigmoid { alpha, beta },
            1 => Activation::LeakyRelu { alpha },
            2 => Activation::Elu { alpha },
            3 => Activation::ScaledTanh { alpha, beta },
            4 => Activation::Affine { alpha, beta },
            _ => Activation::ThresholdedRelu { alpha },
        }),
    ]
}

fn cell() -> impl Strategy<Value = CellSpec> {
    let clip = || prop::option::of(number());
    let reset = prop::sample::select(&[Reset::Before, Reset::After][..]);
    prop_oneof![
        (activation(), clip()).prop_map(|(activation, clip)| RnnCellSpec { activation, clip }.into()),
        (reset, activation(), activation(), clip()).prop_map(|(reset, gates, candidate, clip)| GruCellSpec {
            reset,
            gates,
            candidate,
            clip
        }
        .into()),
        (any::<[bool; 2]>(), activation(), activation(), activation(), clip()).prop_map(
            |([peepholes, input_forget], gates, candidate, output, clip)| {
                LstmCellSpec { peepholes, gates, candidate, output, clip, input_forget }.into()
            }
        ),
    ]
}

fn recurrent() -> impl Strategy<Value = RecurrentSpec> {
    let sizes = prop::collection::vec(any::<usize>(), 0..4);
    (cell(), sizes, any::<[bool; 3]>(), any::<[usize; 2]>(), number()).prop_map(
        |(cell, sizes, [bidirectional, bias, initial_state], [proj_size, state_delay], dropout)| {
            let mut spec = RecurrentSpec::new(cell, sizes);
            (spec.bidirectional, spec.bias, spec.initial_state) = (bidirectional, bias, initial_state);
            (spec.proj_size, spec.state_delay, spec.dropout) = (proj_size, state_delay, dropout);
            spec
        },
    )
}

fn layer() -> impl Strategy<Value = LayerSpec> {
    let readouts = [Readout::EveryStep, Readout::Last, Readout::Mean, Readout::Max];
    let numbers = || prop::collection::vec(number(), 0..4);
    let leaf = prop_oneof![
        any::<[usize; 2]>().prop_map(|[vocabulary, width]| LayerKind::embedding(vocabulary, width)),
        recurrent().prop_map(LayerKind::from),
        (any::<usize>(), any::<bool>()).prop_map(|(outputs, bias)| LayerKind::Linear { outputs, bias }),
        activation().prop_map(LayerKind::from),
        prop::sample::select(readouts.to_vec()).prop_map(LayerKind::from),
        (numbers(), numbers()).prop_map(|(gain, offset)| LayerKind::scale(gain, offset)),
    ];
    let leaf = (name(), leaf).prop_map(|(name, kind)| LayerSpec::new(name, kind));
    leaf.prop_recursive(3, 8, 3, |inner| {
        let layers = prop::collection::vec(inner, 0..3);
        (name(), any::<usize>(), layers)
            .prop_map(|(name, from, layers)| LayerSpec::new(name, LayerKind::residual(from, layers)))
    })
}

fn spec() -> impl Strategy<Value = ModelSpec> {
    let of = |(inputs, batch_first, layers): (usize, bool, Vec<LayerSpec>)| {
        let mut spec = ModelSpec::new(inputs).batch_first(batch_first);
        spec.layers = layers;
        spec
    };
    let single = move || (any::<usize>(), any::<bool>(), prop::collection::vec(layer(), 0..4)).prop_map(of);
    single().prop_recursive(2, 6, 2, move |inner| {
        let parts = prop::collection::vec((name(), inner, 0..=ModelSpec::VERSION), 0..3);
        (single(), parts).prop_map(|(mut spec, parts)| {
            for (name, mut part, version) in parts {
                part.version = version;
                spec.parts.push((name, part));
            }
            spec
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_spec_goes_to_text_and_back(spec in spec()) {
        let text = spec.to_string();
        let again: ModelSpec = text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"));
        prop_assert_eq!(&again, &spec, "{}", text);
        prop_assert_eq!(again.to_string(), text);
    }

    #[test]
    fn no_text_makes_it_panic(text in "(elman 1|inputs 3|lstm|rnn|residual|part|[a-z]=|[a-z]|[0-9]|[{}\",#;(=\\\\\n ]|\\PC){0,40}") {
        if let Err(error) = text.parse::<ModelSpec>() {
            prop_assert!(!error.to_string().contains('\n'), "{error}");
        }
    }

    #[cfg(feature = "serde")]
    #[test]
    fn a_spec_goes_through_serde(spec in spec()) {
        // JSON has no infinity.
        let json = serde_json::to_string(&spec).unwrap();
        if !json.contains("null") {
            let again: ModelSpec = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(again, spec);
        }
    }
}

#[test]
fn a_text_by_hand_is_read() {
    let text = "
        elman 1   # the version
        inputs 3 batch-first
        lstm rnn hidden=64,64 bidirectional dropout=0.1, last
        linear fc outputs=5 no-bias; relu
        residual from=0 { gru \"a b\" hidden=3 }
        part encoder { inputs 2, rnn hidden=8 activation=relu }";
    let spec: ModelSpec = text.parse().unwrap();
    let mut lstm = RecurrentSpec::lstm(vec![64, 64]);
    (lstm.bidirectional, lstm.dropout) = (true, 0.1);
    let rnn = RecurrentSpec::new(CellSpec::rnn(Activation::Relu), vec![8]);
    let expected = ModelSpec::new(3)
        .batch_first(true)
        .layer("rnn", lstm)
        .layer("", Readout::Last)
        .layer("fc", LayerKind::linear_without_bias(5))
        .layer("", Activation::Relu)
        .layer("", LayerKind::residual(0, vec![LayerSpec::new("a b", RecurrentSpec::gru(vec![3]))]))
        .part("encoder", ModelSpec::new(2).layer("", rnn));
    assert_eq!(spec, expected);
}

#[test]
fn what_is_wrong_is_told_by_line_and_word() {
    for (text, expected) in [
        ("", "model, line 1: expected 'elman' and a version first, got \"\""),
        ("inputs 3", "model, line 1: expected 'elman' and a version first, got \"inputs\""),
        ("elman one", "model, line 1: expected a version after 'elman', got \"one\""),
        ("elman 1\nlast", "model, line 2: expected 'inputs' and a number before the layers, got \"last\""),
        (
            "elman 1\ninputs 3\nlstn hidden=3",
            "model, line 3: expected a kind of layer, a read-out or an activation, got \"lstn\"",
        ),
        (
            "elman 1\ninputs 3\n\nlstm hiden=3",
            "model, line 4: expected hidden= and a size for each layer, got \"lstm\"",
        ),
        ("elman 1\ninputs 3\nlstm hidden=3 bidi", "model, line 3: expected a setting of lstm, got \"bidi\""),
        ("elman 1\ninputs 3\nlstm hidden=3 hidden=4", "model, line 3: expected hidden= once, got \"hidden=4\""),
        ("elman 1\ninputs 3\nlstm hidden=3 last", "model, line 3: expected a setting of lstm, got \"last\""),
        (
            "elman 1\ninputs 3\nrnn hidden=3 activation=softmaks",
            "model, line 3: expected activation= and an activation, got \"activation=softmaks\"",
        ),
        ("elman 1\ninputs 3\nlast { relu }", "model, line 3: expected no braces after last, got \"{\""),
        ("elman 1\ninputs 3\nresidual {\nrelu", "model, line 4: expected a closing brace, got \"the end\""),
        ("elman 1\ninputs 3\n}", "model, line 3: expected an opening brace before, got \"}\""),
        (
            "elman 1\ninputs 3\nlinear \"fc outputs=1",
            "model, line 3: expected a closing quote in the same line, got \"fc outputs=1\"",
        ),
    ] {
        let error = text.parse::<ModelSpec>().unwrap_err();
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::Setting, expected.into()), "{text}");
    }
    let deep = format!("elman 1\ninputs 3\n{}", "residual { ".repeat(100_000));
    assert!(deep.parse::<ModelSpec>().unwrap_err().to_string().contains("at most 32 braces in one another"));
}

#[test]
fn a_later_version_is_refused_by_version() {
    for text in ["elman 2\ninputs 3\nholographic fc", "elman 1\ninputs 3\npart a version=7 { inputs 1 }"] {
        let error = text.parse::<ModelSpec>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let text = error.to_string();
        assert!(text.contains("version 2") || text.contains("version 7"), "{text}");
        assert!(text.contains("versions up to 1"), "{text}");
    }
}
