//! The Elman layer on every tier: against the reference, and the same bits however the work is cut.

use crate::elman_case::{Case, Outcome, assert_same_bits, distance_of_scale};
use crate::tiers::tiers;
use elman::cell::ElmanScratch;
use elman::tensor::{Seq, SeqRef};
use elman::{Isa, Kernels, Plan};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// Distance from the f64 reference, relative to a tensor's largest element or to 1, the size of the data.
/// The worst over 30,000 random layers is 1.7e-6.
const TOLERANCE: f64 = 5e-6;

/// A schedule out of numbers drawn at random: any of them must give the same bits.
fn cut(plan: &Plan, [rows, gradients, time_block, kc]: [usize; 4]) -> Plan {
    let mut plan = *plan;
    plan.row_workers = rows;
    plan.gradient_workers = gradients;
    plan.time_block = time_block;
    plan.blocking = plan.blocking.with_kc(kc);
    plan
}

fn assert_close(outcome: &Outcome, case: &Case, what: &str) {
    let (y, gradients) = case.reference();
    for ((name, got), expected) in outcome.tensors().into_iter().zip(outcome.expected(&y, &gradients)) {
        let (worst, at) = distance_of_scale(got, expected, 1.0);
        assert!(
            worst <= TOLERANCE,
            "{what}: {name}[{at}] is {} instead of {}, {worst:e} of the largest",
            got[at],
            expected[at],
        );
    }
}

/// Steps, batch, input, hidden: every remainder of rows, columns and k occurs.
fn shapes() -> impl Strategy<Value = [usize; 4]> {
    prop_oneof![
        [0..7_usize, 0..19_usize, 1..40_usize, 1..40_usize],
        [1..4_usize, 1..10_usize, 1..140_usize, 60..140_usize],
        [1..30_usize, 1..3_usize, 1..4_usize, 1..70_usize],
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_tier_agrees_with_the_reference(shape in shapes(), options in 0..16_u8, seed: u64) {
        let case = Case::random(shape, options, seed);
        for kernels in tiers() {
            let outcome = case.run(kernels, &case.plan(kernels), &mut ElmanScratch::default());
            assert_close(&outcome, &case, &kernels.isa().to_string());
        }
    }

    #[test]
    fn avx2_and_avx512_give_the_same_bits(shape in shapes(), options in 0..16_u8, seed: u64) {
        let (Some(avx2), Some(avx512)) = (Kernels::of(Isa::Avx2), Kernels::of(Isa::Avx512)) else {
            tiers();
            return Ok(());
        };
        let case = Case::random(shape, options, seed);
        let run = |kernels| case.run(kernels, &case.plan(kernels), &mut ElmanScratch::default());
        run(avx2).assert_same_bits(&run(avx512), "avx2 and avx512");
    }

    #[test]
    fn the_schedule_does_not_change_a_bit(
        shape in shapes(),
        options in 0..16_u8,
        seed: u64,
        numbers in [1..9_usize, 1..9_usize, 1..9_usize, 1..200_usize],
    ) {
        let case = Case::random(shape, options, seed);
        for kernels in tiers() {
            let plan = case.plan(kernels);
            let mut scratch = ElmanScratch::default();
            let whole = case.run(kernels, &plan, &mut scratch);
            let plan = cut(&plan, numbers);
            let pieces = case.run(kernels, &plan, &mut scratch);
            whole.assert_same_bits(&pieces, &format!("{} by {plan}", kernels.isa()));
        }
    }

    #[test]
    fn a_row_does_not_depend_on_its_batch(shape in shapes(), options in 0..16_u8, seed: u64, row: prop::sample::Index) {
        prop_assume!(shape[1] > 0);
        let case = Case::random(shape, options, seed);
        let row = row.index(shape[1]);
        let alone = case_of_row(&case, row);
        for kernels in tiers() {
            let mut scratch = ElmanScratch::default();
            let all = case.run(kernels, &case.plan(kernels), &mut scratch);
            let one = alone.run(kernels, &alone.plan(kernels), &mut scratch);
            for (name, all, one, width) in [
                ("y", &all.y, &one.y, case.hidden),
                ("d_x", &all.d_x, &one.d_x, case.input),
                ("d_h_0", &all.d_h_0, &one.d_h_0, case.hidden),
            ] {
                let all = pick_row(all, case.batch, width, row);
                assert_same_bits(&all, one, &format!("{} {name}", kernels.isa()));
            }
        }
    }

    #[test]
    fn step_by_step_is_the_whole_sequence(shape in shapes(), options in 0..16_u8, seed: u64) {
        let case = Case::random(shape, options, seed);
        let Case { steps, batch, input, hidden, .. } = case;
        for kernels in tiers() {
            let whole = case.run(kernels, &case.plan(kernels), &mut ElmanScratch::default()).y;
            let cell = case.cell(kernels);
            let plan = cell.plan(1, batch, elman::Threads::one()).unwrap();
            let mut scratch = ElmanScratch::default();
            let mut h = case.h_0.as_ref().map(|h| Seq::from_slice(1, batch, hidden, h).unwrap());
            for t in 0..steps {
                let x = SeqRef::new(&case.x[t * batch * input..][..batch * input], 1, batch, input).unwrap();
                let mut y = Seq::zeros(1, batch, hidden).unwrap();
                cell.forward(&plan, x, h.as_ref().map(Seq::view), y.view_mut(), &mut scratch).unwrap();
                let expected = &whole[t * batch * hidden..][..batch * hidden];
                assert_same_bits(y.data(), expected, &format!("{} step {t}", kernels.isa()));
                h = Some(y);
            }
        }
    }
}

/// The columns of one row of the batch.
fn pick_row(values: &[f32], batch: usize, width: usize, row: usize) -> Vec<f32> {
    values.chunks_exact(batch * width).flat_map(|step| step[row * width..][..width].to_vec()).collect()
}

fn case_of_row(case: &Case, row: usize) -> Case {
    let pick = |values: &[f32], width| pick_row(values, case.batch, width, row);
    Case {
        batch: 1,
        x: pick(&case.x, case.input),
        h_0: case.h_0.as_deref().map(|h| pick(h, case.hidden)),
        d_y: pick(&case.d_y, case.hidden),
        d_h_n: case.d_h_n.as_deref().map(|d| pick(d, case.hidden)),
        ..case.clone()
    }
}

#[test]
fn a_scratch_full_of_nan_leaves_no_trace() {
    for kernels in tiers() {
        for shape in [[3, 5, 7, 9], [2, 9, 70, 70], [4, 1, 1, 16]] {
            let case = Case::random(shape, 0, 11);
            let clean = case.run(kernels, &case.plan(kernels), &mut ElmanScratch::default());
            let mut poisoned = Case::random([6, 20, 90, 90], 0, 12);
            poisoned.x.fill(f32::NAN);
            poisoned.d_y.fill(f32::NAN);
            let mut scratch = ElmanScratch::default();
            poisoned.run(kernels, &poisoned.plan(kernels), &mut scratch);
            let again = case.run(kernels, &case.plan(kernels), &mut scratch);
            clean.assert_same_bits(&again, kernels.isa().name());
        }
    }
}

#[test]
fn nan_in_gives_nan_out_and_stays_in_its_row() {
    for kernels in tiers() {
        for options in [0, 1] {
            let mut case = Case::random([4, 3, 5, 20], options, 3);
            let row = 5;
            case.x[(3 + 1) * row] = f32::NAN;
            let y = case.run(kernels, &case.plan(kernels), &mut ElmanScratch::default()).y;
            for (i, y) in y.iter().enumerate() {
                let (t, b) = (i / 20 / 3, i / 20 % 3);
                assert_eq!(y.is_nan(), t >= 1 && b == 1, "{} step {t} row {b}", kernels.isa());
            }
        }
    }
}

#[test]
fn gradients_are_added_to_what_is_there() {
    use elman::cell::{ElmanBackwardPass, ElmanGradients};
    for kernels in tiers() {
        let case = Case::random([3, 4, 5, 6], 0, 5);
        let fresh = case.run(kernels, &case.plan(kernels), &mut ElmanScratch::default());
        let cell = case.cell(kernels);
        let mut weights = [vec![1.0_f32; 30], vec![1.0; 36], vec![1.0; 6], vec![1.0; 6]];
        let [ih, hh, b_ih, b_hh] = &mut weights;
        let pass = ElmanBackwardPass {
            weights: case.weights(),
            x: SeqRef::new(&case.x, 3, 4, 5).unwrap(),
            h_0: Some(SeqRef::new(case.h_0.as_ref().unwrap(), 1, 4, 6).unwrap()),
            y: SeqRef::new(&fresh.y, 3, 4, 6).unwrap(),
            d_y: SeqRef::new(&case.d_y, 3, 4, 6).unwrap(),
            d_h_n: Some(SeqRef::new(case.d_h_n.as_ref().unwrap(), 1, 4, 6).unwrap()),
            gradients: ElmanGradients { d_weight_ih: ih, d_weight_hh: hh, d_bias: Some([b_ih, b_hh]) },
            d_x: None,
            d_h_0: None,
        };
        cell.backward(&case.plan(kernels), pass, &mut ElmanScratch::default()).unwrap();
        let [fresh_ih, fresh_hh] = fresh.d_bias.as_ref().unwrap();
        for (added, fresh) in weights.iter().zip([&fresh.d_weight_ih, &fresh.d_weight_hh, fresh_ih, fresh_hh]) {
            for (added, fresh) in added.iter().zip(fresh) {
                assert!((added - 1.0 - fresh).abs() <= 1e-5 * fresh.abs().max(1.0), "{added} {fresh}");
            }
        }
    }
}

#[test]
fn wrong_shapes_are_errors_that_name_the_tensor() {
    let kernels = Kernels::best();
    let case = Case::random([2, 3, 4, 5], 0, 1);
    let (cell, plan) = (case.cell(kernels), case.plan(kernels));
    let x = Seq::zeros(2, 3, 4).unwrap();
    let mut y = Seq::zeros(2, 3, 5).unwrap();
    let mut scratch = ElmanScratch::default();
    let mut forward = |x: &Seq, h_0: Option<&Seq>, y: &mut Seq| {
        cell.forward(&plan, x.view(), h_0.map(Seq::view), y.view_mut(), &mut scratch).unwrap_err().to_string()
    };
    let wide = Seq::zeros(2, 3, 7).unwrap();
    assert_eq!(forward(&wide, None, &mut y), "input: expected [2, 3, 4], got [2, 3, 7]");
    assert_eq!(forward(&x, Some(&wide), &mut y), "h_0: expected [1, 3, 5], got [2, 3, 7]");
    assert_eq!(forward(&x, None, &mut wide.clone()), "output: expected [2, 3, 5], got [2, 3, 7]");
    let short = elman::cell::ElmanWeights { weight_hh: &[0.0; 24], ..case.weights() };
    let error = cell.clone().load(short).unwrap_err().to_string();
    assert_eq!(error, "weight_hh: shape [5, 5] needs 25 elements, got 24");
    for (sizes, name) in [((0, 4), "input_size"), ((4, 0), "hidden_size")] {
        let error = elman::cell::Elman::new(sizes.0, sizes.1, Default::default(), kernels).unwrap_err();
        assert_eq!(error.to_string(), format!("{name}: expected at least 1, got 0"));
    }
}

#[test]
fn a_plan_without_workers_is_an_error() {
    let kernels = Kernels::best();
    let case = Case::random([2, 3, 4, 5], 0, 1);
    let (cell, x) = (case.cell(kernels), Seq::zeros(2, 3, 4).unwrap());
    for numbers in [[0, 1, 1, 16], [1, 0, 1, 16], [1, 1, 0, 16], [usize::MAX, 1, 1, 16]] {
        let plan = cut(&case.plan(kernels), numbers);
        let mut y = Seq::zeros(2, 3, 5).unwrap();
        let result = cell.forward(&plan, x.view(), None, y.view_mut(), &mut ElmanScratch::default());
        assert!(
            result.unwrap_err().to_string().ends_with(&format!("got {}", numbers.iter().find(|&&n| n != 1).unwrap()))
        );
    }
}

#[test]
fn parameters_of_another_model_are_errors() {
    use elman::{Layout, Linear, LinearScratch, Params, Rnn};
    let mut layout = Layout::new();
    let mut rnn = Rnn::builder(2, 3).build(&mut layout, "rnn").unwrap();
    let mut linear = Linear::new(&mut layout, "linear", 3, 1).unwrap();
    let mut small = Layout::new();
    small.add("rnn.weight_ih_l0", &[3, 4]).unwrap();
    let small = Params::zeros(small);
    assert_eq!(rnn.load(&small).unwrap_err().to_string(), "rnn.weight_ih_l0: expected [3, 2], got [3, 4]");
    let error = linear.load(&small).unwrap_err().to_string();
    assert_eq!(error, "no parameter is called 'weight'; there are: rnn.weight_ih_l0");

    // Some rows of a batch are as good as a batch.
    let params = Params::zeros(layout);
    linear.load(&params).unwrap();
    let (x, d_y) = (Seq::zeros(2, 5, 3).unwrap(), Seq::from_slice(2, 5, 1, &[1.0; 10]).unwrap());
    let mut gradients = params.zeros_like();
    let (x, d_y) = (x.view().rows(1, 3), d_y.view().rows(1, 3));
    linear.backward(&params, x, d_y, &mut gradients, None, &mut LinearScratch::default()).unwrap();
    assert_eq!(gradients.named("linear.bias").unwrap().1, [6.0]);
}
