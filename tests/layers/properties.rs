//! One layer on every tier: against the reference, and the same bits however the work is cut.

use crate::case::{Case, Options};
use crate::compare::{assert_same_bits, pick_row};
use crate::tiers::tiers;
use elman::Isa;
use elman::Nonlinearity;
use elman::internals::{Cell, Direction, ForwardPass, Kernels, Layer, Plan, Scratch, Sizes, Work, Write};
use elman::tensor::{Mask, Seq, SeqRef};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// Distance from the f64 reference, relative to a tensor's largest element or to 1, the size of the data.
const TOLERANCE: f64 = 5e-6;

/// A schedule out of numbers drawn at random: any of them must give the same bits.
fn cut(plan: &Plan, [rows, units, gradients, time_block, kc]: [usize; 5]) -> Plan {
    let mut plan = *plan;
    plan.row_workers = rows;
    plan.unit_workers = units;
    plan.gradient_workers = gradients;
    plan.time_block = time_block;
    plan.forward = plan.forward.with_kc(kc);
    plan.backward = plan.backward.with_kc(kc);
    plan
}

/// Steps, batch, input, hidden: every remainder of rows, columns and k occurs.
fn shapes() -> impl Strategy<Value = [usize; 4]> {
    prop_oneof![
        [0..7_usize, 0..19_usize, 1..40_usize, 1..40_usize],
        [1..4_usize, 1..10_usize, 1..140_usize, 60..140_usize],
        [1..30_usize, 1..3_usize, 1..4_usize, 1..70_usize],
    ]
}

fn options() -> impl Strategy<Value = Options> {
    (0..Options::CELLS, 0..Options::BITS).prop_map(|(cell, bits)| Options { cell, bits })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_tier_agrees_with_the_reference(shape in shapes(), options in options(), seed: u64) {
        let case = Case::random(shape, options, seed);
        let reference = case.reference();
        for kernels in tiers() {
            let outcome = case.run(kernels, &case.plan(kernels), &mut Scratch::default());
            let (distance, name, at) = outcome.distance(&reference);
            prop_assert!(distance <= TOLERANCE, "{}: {name}[{at}] is {distance:e} of the largest off", kernels.isa());
        }
    }

    #[test]
    fn gradients_written_over_anything_are_those_added_to_zeros(
        shape in shapes(),
        options in options(),
        seed: u64,
        kc in 1..200_usize,
    ) {
        let case = Case::random(shape, options, seed);
        for kernels in tiers() {
            let plan = cut(&case.plan(kernels), [1, 1, 2, 3, kc]);
            let mut scratch = Scratch::default();
            let added = case.run(kernels, &plan, &mut scratch);
            let written = case.run_writing(Write::Over, kernels, &plan, &mut scratch);
            added.assert_same_bits(&written, kernels.isa().name());
        }
    }

    #[test]
    fn avx2_and_avx512_give_the_same_bits(shape in shapes(), options in options(), seed: u64) {
        let (Some(avx2), Some(avx512)) = (Kernels::of(Isa::Avx2), Kernels::of(Isa::Avx512)) else {
            tiers();
            return Ok(());
        };
        let case = Case::random(shape, options, seed);
        let run = |kernels| case.run(kernels, &case.plan(kernels), &mut Scratch::default());
        run(avx2).assert_same_bits(&run(avx512), "avx2 and avx512");
    }

    #[test]
    fn the_schedule_does_not_change_a_bit(
        shape in shapes(),
        options in options(),
        seed: u64,
        numbers in [1..9_usize, 1..5_usize, 1..9_usize, 1..9_usize, 1..200_usize],
    ) {
        let case = Case::random(shape, options, seed);
        for kernels in tiers() {
            let plan = case.plan(kernels);
            let mut scratch = Scratch::default();
            let whole = case.run(kernels, &plan, &mut scratch);
            let plan = cut(&plan, numbers);
            let pieces = case.run(kernels, &plan, &mut scratch);
            whole.assert_same_bits(&pieces, &format!("{} by {plan}", kernels.isa()));
        }
    }

    #[test]
    fn a_row_does_not_depend_on_its_batch(shape in shapes(), options in options(), seed: u64, row: prop::sample::Index) {
        prop_assume!(shape[1] > 0);
        let case = Case::random(shape, options, seed);
        let row = row.index(shape[1]);
        // Alone it is dense where it is as long as the batch: a packed batch and a padded one give the same bits.
        let mut alone = case.row(row);
        alone.lengths = alone.lengths.filter(|lengths| lengths[0] < case.steps);
        let (output, hidden) = (case.sizes.output(), case.sizes.hidden);
        for kernels in tiers() {
            let mut scratch = Scratch::default();
            let all = case.run(kernels, &case.plan(kernels), &mut scratch);
            let one = alone.run(kernels, &alone.plan(kernels), &mut scratch);
            for (name, width) in [
                ("y", output), ("h_n", output), ("c_n", hidden),
                ("d_x", case.sizes.input), ("d_h_0", output), ("d_c_0", hidden),
            ] {
                let all = pick_row(all.get(name), case.batch, width, row);
                assert_same_bits(&all, one.get(name), &format!("{} {name}", kernels.isa()));
            }
        }
    }

    #[test]
    fn step_by_step_is_the_whole_sequence(shape in shapes(), options in options(), seed: u64) {
        let bits = options.bits & !(Options::RAGGED | Options::REVERSE | Options::RESETS);
        let case = Case::random(shape, Options { bits, ..options }, seed);
        let Case { steps, batch, sizes, .. } = case;
        let (output, hidden) = (sizes.output(), sizes.hidden);
        for kernels in tiers() {
            let whole = case.run(kernels, &case.plan(kernels), &mut Scratch::default());
            let layer = case.layer(kernels);
            let plan = layer.plan(Work::Infer, [1, batch], elman::Threads::one()).unwrap();
            let mut scratch = Scratch::default();
            let state = |values: &Option<Vec<f32>>, width| {
                let zeros = vec![0.0; batch * width];
                Seq::from_slice(values.as_ref().unwrap_or(&zeros), 1, batch, width).unwrap()
            };
            let (mut h, mut c) = (state(&case.h_0, output), state(&case.c_0, hidden));
            for t in 0..steps {
                let x = SeqRef::new(&case.x[t * batch * sizes.input..][..batch * sizes.input], 1, batch, sizes.input);
                let lstm = sizes.cell == Cell::Lstm;
                let (mut y, mut h_n, mut c_n) = (h.clone(), h.clone(), c.clone());
                let pass = ForwardPass {
                    x: x.unwrap(),
                    h_0: Some(h.view()),
                    c_0: lstm.then(|| c.view()),
                    resets: None,
                    y: y.view_mut(),
                    h_n: Some(h_n.data_mut()),
                    c_n: lstm.then(|| c_n.data_mut()),
                    tape: None,
                };
                layer.forward(&plan, pass, &mut scratch).unwrap();
                let expected = &whole.get("y")[t * batch * output..][..batch * output];
                assert_same_bits(y.data(), expected, &format!("{} step {t}", kernels.isa()));
                assert_same_bits(h_n.data(), expected, &format!("{} h_n at step {t}", kernels.isa()));
                (h, c) = (h_n, c_n);
            }
            if steps > 0 && sizes.cell == Cell::Lstm {
                assert_same_bits(c.data(), whole.get("c_n"), &format!("{} c_n", kernels.isa()));
            }
        }
    }
}

/// Every cell, with everything else in its first setting.
fn cells() -> impl Iterator<Item = Options> {
    (0..Options::CELLS).map(|cell| Options { cell, bits: 0 })
}

#[test]
fn a_scratch_full_of_nan_leaves_no_trace() {
    for kernels in tiers() {
        for options in cells() {
            for shape in [[3, 5, 7, 9], [2, 9, 70, 70], [4, 1, 1, 16]] {
                let case = Case::random(shape, options, 11);
                let clean = case.run(kernels, &case.plan(kernels), &mut Scratch::default());
                let mut poisoned = Case::random([6, 20, 90, 90], Options { cell: 4, bits: 0 }, 12);
                poisoned.x.fill(f32::NAN);
                poisoned.d_y.fill(f32::NAN);
                let mut scratch = Scratch::default();
                poisoned.run(kernels, &poisoned.plan(kernels), &mut scratch);
                let again = case.run(kernels, &case.plan(kernels), &mut scratch);
                clean.assert_same_bits(&again, kernels.isa().name());
            }
        }
    }
}

#[test]
fn nan_in_gives_nan_out_and_stays_in_its_row() {
    for kernels in tiers() {
        for options in cells() {
            let mut case = Case::random([4, 3, 5, 20], options, 3);
            let row = 5;
            case.x[(3 + 1) * row] = f32::NAN;
            let outcome = case.run(kernels, &case.plan(kernels), &mut Scratch::default());
            let width = case.sizes.output();
            for (i, y) in outcome.get("y").iter().enumerate() {
                let (t, b) = (i / width / 3, i / width % 3);
                assert_eq!(y.is_nan(), t >= 1 && b == 1, "{} {options:?} step {t} row {b}", kernels.isa());
            }
        }
    }
}

#[test]
fn a_reset_lets_no_nan_through() {
    for kernels in tiers() {
        for cell in 0..Options::CELLS {
            for reverse in [0, Options::REVERSE] {
                let mut case = Case::random([4, 3, 5, 20], Options { cell, bits: reverse }, 3);
                let mut resets = vec![false; 12];
                resets[2 * 3 + 1] = true;
                case.resets = Some(resets);
                // Of row 1: the step beside the boundary that the state comes from.
                let t = if reverse == 0 { 1 } else { 2 };
                case.x[(t * 3 + 1) * 5] = f32::NAN;
                let outcome = case.run(kernels, &case.plan(kernels), &mut Scratch::default());
                let width = case.sizes.output();
                for (i, y) in outcome.get("y").iter().enumerate() {
                    let (t, b) = (i / width / 3, i / width % 3);
                    let behind = if reverse == 0 { t == 1 } else { t == 2 };
                    assert_eq!(y.is_nan(), behind && b == 1, "{} cell {cell} step {t} row {b}", kernels.isa());
                }
            }
        }
    }
}

#[test]
fn gradients_are_added_to_what_is_there() {
    use elman::internals::{BackwardPass, LayerGradients, Tape};
    for kernels in tiers() {
        let case = Case::random([3, 4, 5, 6], Options { cell: 0, bits: 0 }, 5);
        let fresh = case.run(kernels, &case.plan(kernels), &mut Scratch::default());
        let layer = case.layer(kernels);
        let mut weights = [vec![1.0_f32; 30], vec![1.0; 36], vec![1.0; 6], vec![1.0; 6], vec![1.0; 60]];
        let [ih, hh, b_ih, b_hh, d_x] = &mut weights;
        let y = fresh.get("y");
        let pass = BackwardPass {
            weights: case.weights(),
            x: SeqRef::new(&case.x, 3, 4, 5).unwrap(),
            h_0: Some(SeqRef::new(case.h_0.as_ref().unwrap(), 1, 4, 6).unwrap()),
            c_0: None,
            resets: None,
            y: SeqRef::new(y, 3, 4, 6).unwrap(),
            tape: &mut Tape::default(),
            d_y: SeqRef::new(&case.d_y, 3, 4, 6).unwrap(),
            d_h_n: Some(SeqRef::new(case.d_h_n.as_ref().unwrap(), 1, 4, 6).unwrap()),
            d_c_n: None,
            gradients: LayerGradients {
                write: Write::Add,
                d_weight_ih: ih,
                d_weight_hh: hh,
                d_bias: Some([b_ih, b_hh]),
                d_weight_hr: None,
            },
            d_x: Some((d_x, Write::Add)),
            d_h_0: None,
            d_c_0: None,
        };
        layer.backward(&case.plan(kernels), pass, &mut Scratch::default()).unwrap();
        let names = ["d_weight_ih", "d_weight_hh", "d_bias_ih", "d_bias_hh", "d_x"];
        for (added, name) in weights.iter().zip(names) {
            for (added, fresh) in added.iter().zip(fresh.get(name)) {
                assert!((added - 1.0 - fresh).abs() <= 1e-5 * fresh.abs().max(1.0), "{name}: {added} {fresh}");
            }
        }
    }
}

#[test]
fn a_tape_serves_once_and_only_the_pass_that_filled_it() {
    use elman::internals::{BackwardPass, LayerGradients, Tape};
    let kernels = Kernels::best();
    let case = Case::random([2, 3, 4, 5], Options { cell: 2, bits: Options::NO_STATE }, 1);
    let (layer, plan) = (case.layer(kernels), case.plan(kernels));
    let mut y = Seq::zeros(2, 3, 5).unwrap();
    let (mut tape, mut scratch) = (Tape::default(), Scratch::default());
    let back = |y: &Seq, tape: &mut Tape| {
        let [mut ih, mut hh] = [vec![0.0; 60], vec![0.0; 75]];
        let pass = BackwardPass {
            weights: case.weights(),
            x: SeqRef::new(&case.x, 2, 3, 4).unwrap(),
            h_0: None,
            c_0: None,
            resets: None,
            y: y.view(),
            tape,
            d_y: SeqRef::new(&case.d_y, 2, 3, 5).unwrap(),
            d_h_n: None,
            d_c_n: None,
            gradients: LayerGradients {
                write: Write::Add,
                d_weight_ih: &mut ih,
                d_weight_hh: &mut hh,
                d_bias: None,
                d_weight_hr: None,
            },
            d_x: None,
            d_h_0: None,
            d_c_0: None,
        };
        layer.backward(&plan, pass, &mut Scratch::default())
    };
    let text = "tape: expected one that a forward pass over the same steps has filled, and no backward pass used up, \
                got another";
    assert_eq!(back(&y, &mut tape).unwrap_err().to_string(), text);
    let x = SeqRef::new(&case.x, 2, 3, 4).unwrap();
    let pass = ForwardPass { tape: Some(&mut tape), ..ForwardPass::over(x, y.view_mut()) };
    layer.forward(&plan, pass, &mut scratch).unwrap();
    back(&y, &mut tape).unwrap();
    assert_eq!(back(&y, &mut tape).unwrap_err().to_string(), text);
}

#[test]
fn wrong_shapes_are_errors_that_name_the_tensor() {
    let kernels = Kernels::best();
    let case = Case::random([2, 3, 4, 5], Options { cell: 0, bits: 0 }, 1);
    let (layer, plan) = (case.layer(kernels), case.plan(kernels));
    let x = Seq::zeros(2, 3, 4).unwrap();
    let mut y = Seq::zeros(2, 3, 5).unwrap();
    let mut scratch = Scratch::default();
    let mut forward = |x: &Seq, h_0: Option<&Seq>, c_0: Option<&Seq>, resets: Option<Mask<'_>>, y: &mut Seq| {
        let [h_0, c_0] = [h_0, c_0].map(|seq| seq.map(Seq::view));
        let y = y.view_mut();
        let pass = ForwardPass { x: x.view(), h_0, c_0, resets, y, h_n: None, c_n: None, tape: None };
        layer.forward(&plan, pass, &mut scratch).unwrap_err().to_string()
    };
    let wide = Seq::zeros(2, 3, 7).unwrap();
    assert_eq!(forward(&wide, None, None, None, &mut y), "input: expected [2, 3, 4], got [2, 3, 7]");
    assert_eq!(forward(&x, Some(&wide), None, None, &mut y), "h_0: expected [1, 3, 5], got [2, 3, 7]");
    assert_eq!(forward(&x, None, Some(&wide), None, &mut y), "c_0: expected [1, 3, 0], got [2, 3, 7]");
    let long = Seq::zeros(4, 3, 1).unwrap();
    let mask = Mask::of(long.view(), &[false; 12]).unwrap();
    assert_eq!(forward(&x, None, None, Some(mask), &mut y), "resets: expected [2, 3], got [4, 3]");
    assert_eq!(forward(&x, None, None, None, &mut wide.clone()), "output: expected [2, 3, 5], got [2, 3, 7]");
    let short = elman::internals::Weights { weight_hh: &[0.0; 24], ..case.weights() };
    let error = layer.clone().load(short).unwrap_err().to_string();
    assert_eq!(error, "weight_hh: shape [5, 5] needs 25 elements, got 24");
    let sizes =
        |cell, input, hidden, projection| Sizes { cell, input, hidden, projection, direction: Direction::Forward };
    let tanh = Cell::Elman(Nonlinearity::Tanh);
    for (sizes, text) in [
        (sizes(tanh, 0, 4, 0), "input_size: expected at least 1, got 0"),
        (sizes(tanh, 4, 0, 0), "hidden_size: expected at least 1, got 0"),
        (sizes(Cell::Gru, 4, 4, 2), "proj_size: expected 0 for a layer that is not an LSTM, got 2"),
        (sizes(Cell::Lstm, 4, 4, 4), "proj_size: expected less than hidden_size 4, got 4"),
    ] {
        assert_eq!(Layer::new(sizes, kernels).unwrap_err().to_string(), text);
    }
}

#[test]
fn a_plan_without_workers_is_an_error() {
    let kernels = Kernels::best();
    let case = Case::random([2, 3, 4, 5], Options { cell: 0, bits: 0 }, 1);
    let (layer, x) = (case.layer(kernels), Seq::zeros(2, 3, 4).unwrap());
    for numbers in [[0, 1, 1, 1], [1, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 0], [usize::MAX, 1, 1, 1]] {
        let [rows, units, gradients, time_block] = numbers;
        let plan = cut(&case.plan(kernels), [rows, units, gradients, time_block, 16]);
        let mut y = Seq::zeros(2, 3, 5).unwrap();
        let (x, y) = (x.view(), y.view_mut());
        let pass = ForwardPass::over(x, y);
        let result = layer.forward(&plan, pass, &mut Scratch::default());
        let got = numbers.iter().find(|&&n| n != 1).unwrap();
        assert!(result.unwrap_err().to_string().ends_with(&format!("got {got}")));
    }
}

#[test]
fn parameters_of_another_model_are_errors() {
    use elman::internals::{Linear, LinearScratch};
    use elman::params::ParamTable;
    use elman::{Params, Rnn};
    let mut layout = ParamTable::new();
    let mut rnn = Rnn::builder(2, 3).build(&mut layout, "rnn").unwrap();
    let mut linear = Linear::new(&mut layout, "linear", 3, 1).unwrap();
    let mut small = ParamTable::new();
    small.add("rnn.weight_ih_l0", &[3, 4]).unwrap();
    let small = Params::zeros(small);
    assert_eq!(rnn.load(&small).unwrap_err().to_string(), "rnn.weight_ih_l0: expected [3, 2], got [3, 4]");
    let error = linear.load(&small).unwrap_err().to_string();
    assert_eq!(error, "no parameter is called 'weight'; there are: rnn.weight_ih_l0");

    // Some rows of a batch are as good as a batch.
    let params = Params::zeros(layout);
    linear.load(&params).unwrap();
    let (x, d_y) = (Seq::zeros(2, 5, 3).unwrap(), Seq::from_slice(&[1.0; 10], 2, 5, 1).unwrap());
    let mut gradients = params.zeros_like();
    let (x, d_y) = (x.view().narrow_rows(1, 3), d_y.view().narrow_rows(1, 3));
    linear.backward(&params, x, d_y, &mut gradients, None, &mut LinearScratch::default()).unwrap();
    assert_eq!(gradients.named("linear.bias").unwrap().1, [6.0]);
}
