//! What the settings of a network do, and what is refused.

use crate::compare::assert_same_bits;
use crate::network::{Case, Options};
use crate::tiers::tiers;
use elman::Nonlinearity;
use elman::internals::{BackwardArgs, Cell, Kernels, NetworkConfig, Recurrent, RecurrentWorkspace};
use elman::params::ParamTable;
use elman::tensor::{PackedSequence, Seq};
use elman::{Error, Gru, Input, Lstm, Params, Result, Rng, Rnn, State, Threads};

const TANH: Cell = Cell::Elman(Nonlinearity::Tanh);

/// The network of that configuration, drawn and loaded.
fn build(config: impl Into<NetworkConfig>, seed: u64) -> (Recurrent, Params) {
    let mut layout = ParamTable::new();
    let mut network = Recurrent::new(config, &mut layout, "").unwrap();
    let mut params = Params::zeros(layout);
    network.init(&mut params, &mut Rng::new(seed));
    network.load(&params).unwrap();
    (network, params)
}

/// Uniform in [-1, 1].
fn draw(steps: usize, batch: usize, width: usize, seed: u64) -> Seq {
    let (mut seq, mut rng) = (Seq::zeros(steps, batch, width).unwrap(), Rng::new(seed));
    seq.data_mut().iter_mut().for_each(|x| *x = rng.uniform(-1.0, 1.0));
    seq
}

#[track_caller]
fn assert_error<T>(result: Result<T>, text: &str) {
    assert_eq!(result.map(|_| "no error").unwrap_err().to_string(), text);
}

#[test]
fn defaults_are_pytorchs() {
    for (config, cell) in [
        (NetworkConfig::from(Rnn::builder(3, 5)), TANH),
        (Gru::builder(3, 5).into(), Cell::Gru),
        (Lstm::builder(3, 5).into(), Cell::Lstm),
        (NetworkConfig::new(TANH, 3, vec![5]), TANH),
    ] {
        assert_eq!((config.cell, config.input_size, &config.hidden_sizes[..]), (cell, 3, &[5][..]));
        assert_eq!((config.bias, config.batch_first, config.bidirectional), (true, false, false));
        assert_eq!((config.dropout, config.proj_size, config.forget_bias), (0.0, 0, None));
        assert!(config.kernels.is_none());
        let (network, _) = build(config, 1);
        assert_eq!(network.kernels().isa(), Kernels::active().unwrap().isa());
        assert_eq!((network.input_size(), network.hidden_size(), network.output_size()), (3, 5, 5));
        assert_eq!(network.config().cell, cell);
    }
}

#[test]
fn a_builder_sets_what_it_says() {
    let config: NetworkConfig = Rnn::builder(3, 5)
        .num_layers(2)
        .nonlinearity(Nonlinearity::Relu)
        .bias(false)
        .batch_first(true)
        .dropout(0.25)
        .bidirectional(true)
        .kernels(Kernels::best())
        .into();
    assert_eq!((config.cell, &config.hidden_sizes[..]), (Cell::Elman(Nonlinearity::Relu), &[5, 5][..]));
    assert_eq!((config.bias, config.batch_first, config.bidirectional), (false, true, true));
    assert_eq!((config.dropout, config.kernels.map(Kernels::isa)), (0.25, Some(Kernels::best().isa())));
    let config: NetworkConfig =
        Lstm::builder(3, 5).proj_size(2).forget_bias(1.5).hidden_sizes([4, 6]).num_layers(7).into();
    assert_eq!((config.proj_size, config.forget_bias, &config.hidden_sizes[..]), (2, Some(1.5), &[4, 6][..]));
    let rnn = Lstm::builder(3, 5).proj_size(2).bidirectional(true).build(&mut ParamTable::new(), "").unwrap();
    assert_eq!((rnn.hidden_size(), rnn.output_size(), rnn.config().proj_size), (5, 4, 2));
}

#[test]
fn parameters_have_pytorchs_names_shapes_and_order() {
    let table = |config: NetworkConfig, name: &str| {
        let mut layout = ParamTable::new();
        Recurrent::new(config, &mut layout, name).unwrap();
        let params = Params::zeros(layout);
        params.iter().map(|(name, shape, _)| format!("{name} {shape:?}")).collect::<Vec<_>>()
    };
    let lstm = Lstm::builder(3, 5).num_layers(2).bidirectional(true).proj_size(2);
    let expected = [
        "weight_ih_l0 [20, 3]",
        "weight_hh_l0 [20, 2]",
        "bias_ih_l0 [20]",
        "bias_hh_l0 [20]",
        "weight_hr_l0 [2, 5]",
        "weight_ih_l0_reverse [20, 3]",
        "weight_hh_l0_reverse [20, 2]",
        "bias_ih_l0_reverse [20]",
        "bias_hh_l0_reverse [20]",
        "weight_hr_l0_reverse [2, 5]",
        "weight_ih_l1 [20, 4]",
        "weight_hh_l1 [20, 2]",
        "bias_ih_l1 [20]",
        "bias_hh_l1 [20]",
        "weight_hr_l1 [2, 5]",
        "weight_ih_l1_reverse [20, 4]",
        "weight_hh_l1_reverse [20, 2]",
        "bias_ih_l1_reverse [20]",
        "bias_hh_l1_reverse [20]",
        "weight_hr_l1_reverse [2, 5]",
    ];
    assert_eq!(table(lstm.into(), ""), expected);
    let gru = Gru::builder(3, 5).hidden_sizes([5, 7]).bias(false);
    let expected = [
        "a.b.weight_ih_l0 [15, 3]",
        "a.b.weight_hh_l0 [15, 5]",
        "a.b.weight_ih_l1 [21, 5]",
        "a.b.weight_hh_l1 [21, 7]",
    ];
    assert_eq!(table(gru.into(), "a.b"), expected);
    let mut layout = ParamTable::new();
    Rnn::builder(1, 1).build(&mut layout, "rnn").unwrap();
    let twice = Rnn::builder(1, 1).build(&mut layout, "rnn");
    assert_error(twice, "parameter name: expected one that is not taken, got 'rnn.weight_ih_l0' twice");
}

#[test]
fn parameters_start_uniform_in_their_order() {
    for config in [
        NetworkConfig::from(Rnn::builder(3, 25).num_layers(2)),
        Gru::builder(30, 7).hidden_sizes([49, 16]).bidirectional(true).into(),
        Lstm::builder(3, 36).proj_size(5).into(),
        Lstm::builder(3, 36).num_layers(2).bias(false).into(),
    ] {
        let (network, params) = build(config.clone(), 7);
        // One number after the other from one generator: bounds are those of each layer's hidden size.
        let mut rng = Rng::new(7);
        for (name, _, values) in params.iter() {
            let (_, layer) = name.split_once("_l").unwrap();
            let hidden = config.hidden_sizes[layer[..1].parse::<usize>().unwrap()];
            let bound = 1.0 / (hidden as f32).sqrt();
            let expected: Vec<f32> = values.iter().map(|_| rng.uniform(-bound, bound)).collect();
            assert_same_bits(values, &expected, name);
            let largest = values.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
            assert!(largest <= bound && (values.len() < 100 || largest > 0.9 * bound), "{name}: {largest} of {bound}");
        }
        assert_eq!(params, build(config.clone(), 7).1, "a seed is a sequence");
        assert_ne!(params, build(config, 8).1);

        let mut by_hand = params.zeros_like();
        let mut n = 0.0;
        network.init_with(&mut by_hand, || {
            n += 1.0;
            n
        });
        assert!(by_hand.data().iter().enumerate().all(|(i, &x)| x == (i + 1) as f32));
    }
}

#[test]
fn forget_bias_sets_the_second_gate_and_nothing_else() {
    let builder = Lstm::builder(3, 5).num_layers(2).bidirectional(true);
    let (_, plain) = build(builder.clone(), 3);
    let (_, params) = build(builder.forget_bias(2.0), 3);
    for ((name, _, values), (_, _, plain)) in params.iter().zip(plain.iter()) {
        for (i, (&x, &plain)) in values.iter().zip(plain).enumerate() {
            let expected = match (&name[..7], (5..10).contains(&i)) {
                ("bias_ih", true) => 2.0,
                ("bias_hh", true) => 0.0,
                _ => plain,
            };
            assert_eq!(x, expected, "{name}[{i}]");
        }
    }
}

#[test]
fn dropout_masks_follow_from_the_seed_alone() {
    let bits = Options::DROPOUT | Options::ONE_SIZE | Options::RAGGED | Options::BIDIRECTIONAL;
    for kernels in tiers() {
        for cell in 0..Options::CELLS {
            let case = Case::random([6, 5, 4, 12], Options { cell, layers: 3, bits }, 2);
            let run = |case: &Case| case.run(kernels, Threads::one(), &mut RecurrentWorkspace::default());
            let outcome = run(&case);
            outcome.assert_same_bits(&run(&case), "the same seed");
            let other = run(&Case { seed: 3, ..case.clone() });
            assert_ne!(outcome.get("output"), other.get("output"), "another seed");
            // The padding of a batch changes nothing of the steps before it.
            let mut padded = Case { lengths: None, ..case.clone() };
            padded.config.bidirectional = false;
            let mut packed = Case { lengths: case.lengths.clone(), ..padded.clone() };
            let mut layout = ParamTable::new();
            let network = Recurrent::new(padded.config.clone(), &mut layout, "").unwrap();
            let mut params = Params::zeros(layout);
            network.init(&mut params, &mut Rng::new(1));
            for case in [&mut padded, &mut packed] {
                case.params = params.data().to_vec();
                (case.h_0, case.c_0, case.d_h_n, case.d_c_n) = (None, None, None, None);
                case.d_y.truncate(6 * 5 * network.output_size());
            }
            let (padded_outcome, packed_outcome) = (run(&padded), run(&packed));
            for (row, &length) in packed.lengths.as_ref().unwrap().iter().enumerate() {
                let [a, b] = [(&padded, &padded_outcome), (&packed, &packed_outcome)]
                    .map(|(case, outcome)| case.rows_of(outcome, "output", &(row..row + 1)));
                let len = length * network.output_size();
                assert_same_bits(&a[..len], &b[..len], &format!("{} row {row}", kernels.isa()));
            }
        }
    }
}

/// Two layers of which the first gives 1 everywhere and the second hands on what it reads.
fn ones(width: usize, dropout: f32) -> Recurrent {
    let builder = Rnn::builder(1, width).num_layers(2).nonlinearity(Nonlinearity::Relu).dropout(dropout);
    let (mut network, mut params) = build(builder, 1);
    params.data_mut().fill(0.0);
    params.set("bias_ih_l0", &[width], &vec![1.0; width]).unwrap();
    let identity: Vec<f32> = (0..width * width).map(|i| f32::from(u8::from(i / width == i % width))).collect();
    params.set("weight_ih_l1", &[width, width], &identity).unwrap();
    network.load(&params).unwrap();
    network
}

#[test]
fn dropout_zeroes_its_share_and_keeps_the_mean() {
    let (steps, batch, width) = (40, 25, 20);
    let x = Seq::zeros(steps, batch, 1).unwrap();
    let elements = (steps * batch * width) as f64;
    let mut pass = RecurrentWorkspace::default();
    for p in [0.0, 0.1, 0.5, 0.75, 1.0] {
        let network = ones(width, p);
        network.forward_training(&x, None, 5, &mut pass, Threads::one()).unwrap();
        let output = pass.output();
        let values: Vec<f32> =
            (0..steps).flat_map(|t| (0..batch).flat_map(move |b| output.step(t).row(b).to_vec())).collect();
        let zeros = values.iter().filter(|&&y| y == 0.0).count() as f64;
        assert!((zeros / elements - f64::from(p)).abs() < 0.02, "{} zeros of {elements} with p = {p}", zeros);
        assert!(values.iter().all(|&y| y == 0.0 || (y - 1.0 / (1.0 - p)).abs() < 1e-6));
        let mean = values.iter().map(|&y| f64::from(y)).sum::<f64>() / elements;
        assert!(p == 1.0 || (mean - 1.0).abs() < 0.03, "mean {mean} with p = {p}");
        // The states of the first layer are from before the dropout.
        assert!(pass.state().h_of(0).unwrap().step(0).row(0).iter().all(|&h| h == 1.0));

        network.forward(&x, None, &mut pass, Threads::one()).unwrap();
        let output = pass.output();
        assert!((0..steps).all(|t| output.step(t).row(3).iter().all(|&y| y == 1.0)), "none in forward");
    }
}

#[test]
fn dropout_of_everything_cuts_the_layers_apart() {
    for kernels in tiers() {
        let mut case = Case::random(
            [4, 3, 5, 8],
            Options { cell: 3, layers: 2, bits: Options::NO_STATE | Options::NO_D_STATE },
            4,
        );
        case.config.dropout = 1.0;
        let outcome = case.run(kernels, Threads::one(), &mut RecurrentWorkspace::default());
        assert!(outcome.0.iter().all(|(_, values)| values.iter().all(|x| x.is_finite())));
        for name in ["d_input", "d_weight_ih_l0", "d_weight_hh_l0", "d_bias_ih_l0", "d_weight_ih_l1"] {
            assert!(outcome.get(name).iter().all(|&d| d == 0.0), "{}: {name}", kernels.isa());
        }
        assert!(outcome.get("d_bias_ih_l1").iter().any(|&d| d != 0.0));
        // And of nothing is none at all.
        let plain = Case { config: NetworkConfig { dropout: 0.0, ..case.config.clone() }, ..case.clone() };
        let other = Case { seed: 99, ..plain.clone() };
        let run = |case: &Case| case.run(kernels, Threads::one(), &mut RecurrentWorkspace::default());
        run(&plain).assert_same_bits(&run(&other), "no dropout, no seed");
    }
}

#[test]
fn one_layer_has_no_dropout() {
    for kernels in tiers() {
        for p in [0.3, 1.0] {
            let plain = Case::random([4, 3, 5, 8], Options { cell: 2, layers: 1, bits: Options::BIDIRECTIONAL }, 4);
            let dropping = Case { config: NetworkConfig { dropout: p, ..plain.config.clone() }, ..plain.clone() };
            let run = |case: &Case| case.run(kernels, Threads::one(), &mut RecurrentWorkspace::default());
            run(&plain).assert_same_bits(&run(&dropping), kernels.isa().name());
        }
    }
}

#[test]
fn the_gradient_through_a_fixed_mask_is_that_of_differences() {
    // In f32: a step large enough for the loss to move, and a tolerance for its curvature.
    let options = Options { cell: 3, layers: 3, bits: Options::DROPOUT | Options::NO_D_STATE | Options::BIDIRECTIONAL };
    let case = Case::random([3, 2, 4, 6], options, 8);
    let loss = |case: &Case| {
        let outcome = case.run(Kernels::best(), Threads::one(), &mut RecurrentWorkspace::default());
        let products = outcome.get("output").iter().zip(&case.d_y).map(|(&y, &d)| f64::from(y) * f64::from(d));
        (products.sum::<f64>(), outcome)
    };
    let (_, outcome) = loss(&case);
    for (i, &d) in outcome.get("d_input").iter().enumerate() {
        let at = |by: f32| {
            let mut case = case.clone();
            case.x[i] += by;
            loss(&case).0
        };
        let step = 1.0 / 64.0;
        let difference = (at(step) - at(-step)) / f64::from(2.0 * step);
        assert!((difference - f64::from(d)).abs() < 1e-4, "d_input[{i}]: {d}, by differences {difference}");
    }
}

#[test]
fn settings_outside_their_range_are_errors() {
    let error =
        |config: NetworkConfig, text: &str| assert_error(Recurrent::new(config, &mut ParamTable::new(), "rnn"), text);
    let number = "dropout: expected a number from 0 to 1";
    error(Rnn::builder(0, 5).into(), "input_size: expected at least 1, got 0");
    error(Rnn::builder(3, 0).into(), "hidden_size: expected at least 1, got 0");
    error(Gru::builder(3, 5).num_layers(0).into(), "num_layers: expected 1 to 65536, got 0");
    error(Gru::builder(3, 5).hidden_sizes([]).into(), "num_layers: expected 1 to 65536, got 0");
    error(Gru::builder(3, 5).num_layers(usize::MAX).into(), "num_layers: expected 1 to 65536, got 65537 or more");
    error(Gru::builder(3, 5).hidden_sizes([5, 0]).into(), "hidden_size: expected at least 1, got 0");
    error(Lstm::builder(3, 5).dropout(-0.1).into(), &format!("{number}, got -0.1"));
    error(Lstm::builder(3, 5).dropout(1.5).into(), &format!("{number}, got 1.5"));
    error(Lstm::builder(3, 5).dropout(f32::NAN).into(), &format!("{number}, got NaN"));
    error(Lstm::builder(3, 5).dropout(f32::INFINITY).into(), &format!("{number}, got inf"));
    error(Lstm::builder(3, 5).proj_size(5).into(), "proj_size: expected less than hidden_size 5, got 5");
    error(
        Lstm::builder(3, 5).hidden_sizes([9, 6]).proj_size(7).into(),
        "proj_size: expected less than hidden_size 6, got 7",
    );
    let projected = |cell| NetworkConfig { proj_size: 2, ..NetworkConfig::new(cell, 3, vec![5]) };
    error(projected(Cell::Gru), "proj_size: expected 0 for a layer that is not an LSTM, got 2");
    error(projected(TANH), "proj_size: expected 0 for a layer that is not an LSTM, got 2");
    let number = "forget_bias: expected a finite number, for an LSTM with biases";
    error(Lstm::builder(3, 5).forget_bias(f32::NAN).into(), &format!("{number}, got NaN"));
    error(Lstm::builder(3, 5).forget_bias(1.0).bias(false).into(), &format!("{number}, got 1"));
    error(
        NetworkConfig { forget_bias: Some(1.0), ..NetworkConfig::new(Cell::Gru, 3, vec![5]) },
        &format!("{number}, got 1"),
    );
    assert_error("sigmoid".parse::<Nonlinearity>(), "nonlinearity: expected 'tanh' or 'relu', got 'sigmoid'");
    assert_error(Threads::new(0), "threads: expected at least 1, got 0");
}

#[test]
fn sizes_that_cannot_be_addressed_are_errors() {
    for size in [1 << 33, 1 << 61, usize::MAX] {
        for config in [
            NetworkConfig::new(Cell::Lstm, 1, vec![size]),
            NetworkConfig::new(TANH, usize::MAX, vec![size]),
            NetworkConfig {
                proj_size: size - 1,
                bidirectional: true,
                ..NetworkConfig::new(Cell::Lstm, 3, vec![size; 3])
            },
            NetworkConfig { bidirectional: true, ..NetworkConfig::new(Cell::Gru, 3, vec![size, 2]) },
            NetworkConfig::new(Cell::Gru, usize::MAX, vec![2]),
        ] {
            let result = Recurrent::new(config.clone(), &mut ParamTable::new(), "");
            assert!(matches!(result, Err(Error::Overflow { .. })), "{config:?}");
        }
    }
    let (network, _) = build(Rnn::builder(3, 5), 1);
    let text = format!("h_0: shape [{}, 5] has more elements than memory can address", usize::MAX);
    assert_error(network.zero_state(usize::MAX), &text);
    assert_error(
        network.state(1 << 60, None, None),
        &text.replace(&usize::MAX.to_string(), &(1_usize << 60).to_string()),
    );
    // A batch of many rows of nothing: no input to be read, but states.
    let nothing = Seq::zeros(0, usize::MAX, 3).unwrap();
    assert_error(network.forward(&nothing, None, &mut RecurrentWorkspace::default(), Threads::one()), &text);
}

#[test]
fn wrong_inputs_and_states_are_errors_that_name_them() {
    let (network, _) = build(Lstm::builder(3, 5).num_layers(2).proj_size(2), 1);
    let x = Seq::zeros(4, 2, 3).unwrap();
    let mut pass = RecurrentWorkspace::default();
    let mut refused = |input: Input<'_>, state: Option<&State>, text: &str| {
        assert_error(network.forward(input, state, &mut pass, Threads::one()), text);
        assert_error(network.forward_training(input, state, 1, &mut pass, Threads::one()), text);
    };
    let wide = Seq::zeros(4, 2, 4).unwrap();
    refused((&wide).into(), None, "input: expected [4, 2, 3], got [4, 2, 4]");
    refused(Input::unbatched(&[0.0; 8], 4).unwrap(), None, "input: expected [2, 3], got [2, 4]");
    let packed = PackedSequence::from_padded(wide.view(), &[3, 2]).unwrap();
    refused((&packed).into(), None, "input: expected [3, 2, 3], got [3, 2, 4]");
    assert_error(Input::unbatched(&[0.0; 8], 3), "input: shape [2, 3] needs 6 elements, got 8");
    assert_error(Input::unbatched(&[], 0), "input_size: expected at least 1, got 0");

    refused(Input::from(&x).resets(&[false; 7]), None, "resets: shape [4, 2] needs 8 elements, got 7");
    let packed = PackedSequence::from_padded(x.view(), &[3, 2]).unwrap();
    refused(Input::from(&packed).resets(&[false; 8]), None, "resets: shape [5] needs 5 elements, got 8");
    let one = Input::unbatched(&[0.0; 6], 3).unwrap();
    refused(one.resets(&[true]), None, "resets: shape [2] needs 2 elements, got 1");

    let state = |config: NetworkConfig, batch| build(config, 1).0.zero_state(batch).unwrap();
    let lstm = |hidden| NetworkConfig::from(Lstm::builder(3, hidden).num_layers(2).proj_size(2));
    refused((&x).into(), Some(&state(lstm(5), 3)), "h_0: expected [2, 2, 2], got [2, 3, 2]");
    refused(
        (&x).into(),
        Some(&state(Lstm::builder(3, 5).proj_size(2).into(), 2)),
        "h_0: expected [2, 2, 2], got [1, 2, 2]",
    );
    refused(
        (&x).into(),
        Some(&state(Lstm::builder(3, 5).num_layers(2).into(), 2)),
        "h_0: expected [2, 2, 2], got [2, 2, 5]",
    );
    refused((&x).into(), Some(&state(lstm(6), 2)), "c_0: expected [2, 2, 5], got [2, 2, 6]");
    refused(
        (&x).into(),
        Some(&state(Gru::builder(3, 2).num_layers(2).into(), 2)),
        "c_0: expected [2, 2, 5], got [0, 0, 0]",
    );
    refused((&x).into(), Some(&State::default()), "h_0: expected [2, 2, 2], got [0, 0, 0]");

    // As many layers and the same largest size, padded and packed.
    let sizes = |sizes: [usize; 3]| NetworkConfig::from(Lstm::builder(3, 1).hidden_sizes(sizes).proj_size(2));
    let (network, _) = build(sizes([5, 7, 7]), 1);
    for input in [Input::from(&x), Input::from(&packed)] {
        let other = state(sizes([5, 5, 7]), 2);
        let result = network.forward(input, Some(&other), &mut RecurrentWorkspace::default(), Threads::one());
        assert_error(result, "sizes of c_0: expected [5, 7, 7], got [5, 5, 7]");
    }
    let (network, _) = build(Gru::builder(3, 1).hidden_sizes([5, 7]), 1);
    for input in [Input::from(&x), Input::from(&packed)] {
        let run =
            |state: &State| network.forward(input, Some(state), &mut RecurrentWorkspace::default(), Threads::one());
        let other = state(Gru::builder(3, 1).hidden_sizes([7, 5]).into(), 2);
        assert_error(run(&other), "sizes of h_0: expected [5, 7], got [7, 5]");
        let other = state(Lstm::builder(3, 1).hidden_sizes([5, 7]).into(), 2);
        assert_error(run(&other), "c_0: expected [0, 0, 0], got [2, 2, 7]");
    }

    let (network, _) = build(Gru::builder(3, 5).batch_first(true), 1);
    let mut run = |input: Input<'_>| network.forward(input, None, &mut pass, Threads::one());
    assert_error(run((&wide).into()), "input: expected [4, 2, 3], got [4, 2, 4]");
    assert_error(run(Input::from(&x).resets(&[true; 3])), "resets: shape [4, 2] needs 8 elements, got 3");
    let state = network.zero_state(2).unwrap();
    let result = network.forward(&x, Some(&state), &mut pass, Threads::one());
    assert_error(result, "h_0: expected [1, 4, 5], got [1, 2, 5]");
}

#[test]
fn states_are_made_of_pytorchs_tensors() {
    let (network, _) = build(Lstm::builder(3, 5).num_layers(2).proj_size(2), 1);
    let (h, c) = (draw(2, 4, 2, 1), draw(2, 4, 5, 2));
    let state = network.state(4, Some(h.view()), Some(c.view())).unwrap();
    assert_eq!((state.h(), state.c(), state.batch()), (h.data(), c.data(), 4));
    assert_eq!((state.h_shape(), state.c_shape()), ([2, 4, 2], [2, 4, 5]));
    assert_eq!(state.h_of(1).unwrap().step(0).row(3), h.view().step(1).row(3));
    assert_eq!(state.c_of(1).unwrap().step(0).row(3), c.view().step(1).row(3));
    let half = network.state(4, None, Some(c.view())).unwrap();
    assert!(half.h().iter().all(|&h| h == 0.0) && half.c() == c.data());
    assert_error(network.state(3, Some(h.view()), None), "h_0: expected [2, 3, 2], got [2, 4, 2]");
    assert_error(network.state(4, None, Some(h.view())), "c_0: expected [2, 4, 5], got [2, 4, 2]");
    let (gru, _) = build(Gru::builder(3, 5), 1);
    assert_error(gru.state(4, None, Some(c.view())), "c_0: expected [0, 0, 0], got [2, 4, 5]");
    assert!(gru.zero_state(4).unwrap().c_of(0).is_none());
    let (mixed, _) = build(Gru::builder(3, 5).hidden_sizes([5, 3]), 1);
    let result = mixed.state(4, Some(c.view()), None);
    assert_error(
        result,
        "h_0: expected a zero_state filled layer by layer, as the layers are of different sizes, got one tensor",
    );
    assert_eq!(mixed.zero_state(4).unwrap().h().len(), 4 * 8);
}

/// A backward pass that is asked for everything.
fn back<'a>(input: Input<'a>, d_output: Input<'a>) -> BackwardArgs<'a> {
    BackwardArgs { input, state: None, d_output, d_state_n: None, wants_d_input: true, wants_d_state_0: true }
}

#[test]
fn wrong_backward_passes_are_errors_that_name_the_tensor() {
    let (network, params) = build(Lstm::builder(3, 5).num_layers(2), 1);
    let (x, d) = (draw(4, 2, 3, 1), draw(4, 2, 5, 2));
    let (narrow, short, late) = (draw(4, 2, 4, 1), draw(3, 2, 5, 1), draw(5, 2, 3, 1));
    let mask = [true; 7];
    let mut pass = RecurrentWorkspace::default();
    let mut gradients = params.zeros_like();
    let pass_text = "workspace: expected one in which forward_training has run, and backward not yet, got another";
    let run = |args, gradients: &mut Params, pass: &mut RecurrentWorkspace| {
        network.backward(&params, args, gradients, pass, Threads::one())
    };
    let good = back((&x).into(), (&d).into());

    assert_error(run(good, &mut gradients, &mut pass), pass_text);
    network.forward(&x, None, &mut pass, Threads::one()).unwrap();
    assert_error(run(good, &mut gradients, &mut pass), pass_text);
    network.forward_training(&x, None, 1, &mut pass, Threads::one()).unwrap();
    network.forward(&x, None, &mut pass, Threads::one()).unwrap();
    assert_error(run(good, &mut gradients, &mut pass), pass_text);

    network.forward_training(&x, None, 1, &mut pass, Threads::one()).unwrap();
    let packed = PackedSequence::from_padded(x.view(), &[4, 4]).unwrap();
    let packed_d = PackedSequence::from_padded(d.view(), &[4, 4]).unwrap();
    let three = network.zero_state(3).unwrap();
    for (args, text) in [
        (back((&late).into(), (&d).into()), "input: expected [4, 2], got [5, 2]"),
        (back((&narrow).into(), (&d).into()), "input: expected [4, 2, 3], got [4, 2, 4]"),
        (back((&packed).into(), (&d).into()), "input: expected SequenceFirst as in the forward run, got Packed"),
        (back((&x).into(), (&narrow).into()), "d_output: expected [4, 2, 5], got [4, 2, 4]"),
        (back((&x).into(), (&short).into()), "d_output: expected [4, 2], got [3, 2]"),
        (back((&x).into(), (&packed_d).into()), "d_output: expected SequenceFirst as in the forward run, got Packed"),
        (back((&x).into(), Input::unbatched(d.data(), 5).unwrap()), "d_output: expected [4, 2], got [8, 1]"),
        (back(Input::from(&x).resets(&mask), (&d).into()), "resets: shape [4, 2] needs 8 elements, got 7"),
        (BackwardArgs { state: Some(&three), ..good }, "h_0: expected [2, 2, 5], got [2, 3, 5]"),
        (BackwardArgs { d_state_n: Some(&three), ..good }, "d_h_n: expected [2, 2, 5], got [2, 3, 5]"),
    ] {
        assert_error(run(args, &mut gradients, &mut pass), text);
    }
    let (_, other) = build(Lstm::builder(3, 6).num_layers(2), 1);
    let text = "weight_ih_l0: expected [20, 3], got [24, 3]";
    assert_error(network.backward(&other, good, &mut gradients, &mut pass, Threads::one()), text);
    assert_error(run(good, &mut other.clone(), &mut pass), text);
    assert_error(network.clone().load(&other), text);
    let (_, less) = build(Lstm::builder(3, 5), 1);
    let text = "no parameter is called 'weight_ih_l1'; there are: weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0";
    assert_error(network.clone().load(&less), text);
    assert_error(network.backward(&less, good, &mut gradients, &mut pass, Threads::one()), text);

    // Nothing has been added, and the pass still serves, once.
    assert!(gradients.data().iter().all(|&d| d == 0.0));
    run(good, &mut gradients, &mut pass).unwrap();
    assert!(gradients.data().iter().any(|&d| d != 0.0));
    assert_eq!(pass.d_input().unwrap().shape(), [4, 2, 3]);
    assert_error(run(good, &mut gradients, &mut pass), pass_text);
}

#[test]
fn a_packed_backward_pass_needs_the_order_of_the_forward_pass() {
    let (network, params) = build(Gru::builder(3, 5).bidirectional(true), 1);
    let (x, d) = (draw(4, 3, 3, 1), draw(4, 3, 10, 2));
    let pack = |seq: &Seq, lengths: [usize; 3]| PackedSequence::from_padded(seq.view(), &lengths).unwrap();
    let packed = pack(&x, [2, 4, 1]);
    let (mut pass, mut gradients) = (RecurrentWorkspace::default(), params.zeros_like());
    network.forward_training(&packed, None, 1, &mut pass, Threads::one()).unwrap();
    let text = "d_output: expected the batch sizes and order of the forward run, got others";
    for lengths in [[4, 2, 1], [2, 4, 2], [1, 4, 2]] {
        let other = pack(&d, lengths);
        let args = back((&packed).into(), (&other).into());
        assert_error(network.backward(&params, args, &mut gradients, &mut pass, Threads::one()), text);
        let (other, d) = (pack(&x, lengths), pack(&d, [2, 4, 1]));
        let args = back((&other).into(), (&d).into());
        let text = text.replace("d_output", "input");
        assert_error(network.backward(&params, args, &mut gradients, &mut pass, Threads::one()), &text);
    }
    let longer = pack(&draw(5, 3, 10, 2), [2, 5, 1]);
    let args = back((&packed).into(), (&longer).into());
    let result = network.backward(&params, args, &mut gradients, &mut pass, Threads::one());
    assert_error(result, "d_output: expected [4, 3], got [5, 3]");
    // A first state and resets that the forward run did not have are no error here, and no reason to panic.
    let (d, state) = (pack(&d, [2, 4, 1]), network.zero_state(3).unwrap());
    let args = BackwardArgs { state: Some(&state), ..back(Input::from(&packed).resets(&[true; 7]), (&d).into()) };
    network.backward(&params, args, &mut gradients, &mut pass, Threads::one()).unwrap();
    assert_eq!(pass.packed_d_input().unwrap().batch_sizes().collect::<Vec<_>>(), [3, 2, 1, 1]);
}

#[test]
fn a_pass_of_another_network_is_an_error() {
    let (x, mut pass) = (draw(4, 2, 3, 1), RecurrentWorkspace::default());
    let (wide, narrow) = (draw(4, 2, 10, 2), draw(4, 2, 5, 2));
    let one = || Gru::builder(3, 5);
    for (ran, runs, d) in [
        (NetworkConfig::from(one()), NetworkConfig::from(one().num_layers(3)), &narrow),
        (one().num_layers(3).into(), one().into(), &narrow),
        (one().into(), one().bidirectional(true).into(), &wide),
        (one().bidirectional(true).into(), one().into(), &narrow),
        (one().hidden_sizes([4, 5]).into(), one().num_layers(2).into(), &narrow),
    ] {
        let (ran, _) = build(ran, 1);
        let (runs, params) = build(runs, 1);
        ran.forward_training(&x, None, 1, &mut pass, Threads::one()).unwrap();
        let args = back((&x).into(), d.into());
        let result = runs.backward(&params, args, &mut params.zeros_like(), &mut pass, Threads::one());
        assert_error(
            result,
            "workspace: expected one in which forward_training has run, and backward not yet, got another",
        );
    }
    // As wide, and yet another cell; and one with dropout where the pass had none.
    let (gru, _) = build(one(), 1);
    let (lstm, params) = build(Lstm::builder(3, 5), 1);
    gru.forward_training(&x, None, 1, &mut pass, Threads::one()).unwrap();
    let args = back((&x).into(), (&narrow).into());
    let result = lstm.backward(&params, args, &mut params.zeros_like(), &mut pass, Threads::one());
    let text = "tape: expected one that a forward pass over the same steps has filled, and no backward pass used up, \
                got another";
    assert_error(result, text);
    let (plain, _) = build(one().num_layers(2), 1);
    let (dropping, params) = build(one().num_layers(2).dropout(0.5), 1);
    plain.forward_training(&x, None, 1, &mut pass, Threads::one()).unwrap();
    let result = dropping.backward(&params, args, &mut params.zeros_like(), &mut pass, Threads::one());
    assert!(result.unwrap_err().to_string().starts_with("workspace: "));
    // Batch-first, the input is kept from the forward run.
    let turned = draw(2, 4, 3, 1);
    let batch_first = |input| Gru::builder(input, 5).batch_first(true);
    let (ran, _) = build(batch_first(2), 1);
    let (runs, params) = build(batch_first(3), 1);
    let less = draw(2, 4, 2, 1);
    ran.forward_training(&less, None, 1, &mut pass, Threads::one()).unwrap();
    let d = draw(2, 4, 5, 1);
    let args = back((&turned).into(), (&d).into());
    let result = runs.backward(&params, args, &mut params.zeros_like(), &mut pass, Threads::one());
    assert!(result.unwrap_err().to_string().starts_with("workspace: "));
}

#[test]
fn a_run_that_fails_leaves_no_output() {
    for batch_first in [false, true] {
        let (network, params) = build(Rnn::builder(3, 5).batch_first(batch_first), 1);
        let (x, d) = (draw(4, 2, 3, 1), draw(4, 2, 5, 1));
        let mut pass = RecurrentWorkspace::default();
        network.forward_training(&x, None, 1, &mut pass, Threads::one()).unwrap();
        let args = back((&x).into(), (&d).into());
        network.backward(&params, args, &mut params.zeros_like(), &mut pass, Threads::one()).unwrap();
        let larger = draw(9, 8, 3, 1);
        let input = Input::from(&larger).resets(&[]);
        network.forward(input, None, &mut pass, Threads::one()).unwrap_err();
        assert_eq!(pass.output().shape()[2], 0);
        let packed = PackedSequence::from_padded(larger.view(), &[9; 8]).unwrap();
        let input = Input::from(&packed).resets(&[]);
        network.forward(input, None, &mut pass, Threads::one()).unwrap_err();
        assert!(pass.packed_output().data().is_empty());
    }
}

#[test]
fn nothing_at_all_goes_through_every_network() {
    for kernels in tiers() {
        for cell in 0..Options::CELLS {
            for bits in [
                0,
                Options::RAGGED,
                Options::BIDIRECTIONAL | Options::DROPOUT,
                Options::BATCH_FIRST,
                Options::RAGGED | Options::RESETS,
            ] {
                for [steps, batch] in [[0, 3], [4, 0], [0, 0], [4, 3]] {
                    let mut case = Case::random([steps, batch, 5, 8], Options { cell, layers: 2, bits }, 4);
                    let empty = case.lengths.is_some() || steps * batch == 0;
                    if let Some(lengths) = &mut case.lengths {
                        // Length 0, all of them.
                        lengths.fill(0);
                    }
                    if !empty {
                        continue;
                    }
                    let mut pass = RecurrentWorkspace::default();
                    let outcome = case.run(kernels, Threads::new(2).unwrap(), &mut pass);
                    let what = format!("{} cell {cell} bits {bits} {steps} steps {batch} rows", kernels.isa());
                    let same = |name: &str, state: &Option<Vec<f32>>| {
                        assert_same_bits(
                            outcome.get(name),
                            state.as_deref().unwrap_or(&[]),
                            &format!("{what}: {name}"),
                        );
                    };
                    same("h_n", &case.h_0);
                    same("c_n", &case.c_0);
                    same("d_h_0", &case.d_h_n);
                    same("d_c_0", &case.d_c_n);
                    assert!(outcome.get("output").iter().all(|&y| y == 0.0), "{what}");
                    assert!(outcome.get("d_input").iter().all(|&d| d == 0.0), "{what}");
                    assert!(
                        outcome
                            .0
                            .iter()
                            .filter(|(name, _)| name.contains("_l"))
                            .all(|(_, d)| d.iter().all(|&d| d == 0.0))
                    );
                }
            }
        }
    }
}

#[test]
fn weights_beyond_the_memory_are_an_error() {
    // 32 TiB, of which half are the packed copies.
    let error = Recurrent::new(Lstm::builder(1, 1 << 20), &mut ParamTable::new(), "rnn").unwrap_err();
    assert_eq!(error.kind(), elman::ErrorKind::Memory);
    assert!(error.to_string().starts_with("recurrent layers: needs 35,184,"), "{error}");
}

#[test]
fn gradients_that_were_not_wanted_are_none() {
    let (network, params) = build(Lstm::builder(3, 5), 1);
    let (x, d) = (draw(4, 2, 3, 1), draw(4, 2, 5, 2));
    let (mut pass, mut gradients) = (RecurrentWorkspace::default(), params.zeros_like());
    for (wants_d_input, wants_d_state_0) in [(true, true), (false, true), (true, false), (false, false)] {
        network.forward_training(&x, None, 1, &mut pass, Threads::one()).unwrap();
        assert!(pass.d_input().is_none() && pass.d_state_0().is_none(), "those of the run before");
        let args = BackwardArgs { wants_d_input, wants_d_state_0, ..back((&x).into(), (&d).into()) };
        network.backward(&params, args, &mut gradients, &mut pass, Threads::one()).unwrap();
        assert_eq!(pass.d_input().is_some(), wants_d_input);
        assert_eq!(pass.d_state_0().is_some(), wants_d_state_0);
    }
}
