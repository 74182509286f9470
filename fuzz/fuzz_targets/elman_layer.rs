//! An Elman layer of any small shape, forward and backward, on every tier and by any schedule.

#![no_main]

#[allow(dead_code, reason = "the tests need more of it")]
#[path = "../../tests/common/elman_case.rs"]
mod elman_case;

use elman::cell::{ElmanBackwardPass, ElmanGradients, ElmanScratch, ElmanWeights, Nonlinearity};
use elman::tensor::{SeqMut, SeqRef};
use elman::{Isa, Kernels, Plan, reference};
use elman_case::{Case, Outcome, distance_of_scale};
use elman_fuzz::{Guarded, Within};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

/// As in tests/elman/properties.rs, relative to a tensor's largest element, or to what is [`usual`] where that is more:
/// whoever looks for it soon finds a tensor of one element, and that one nearly zero. The worst of 60,000 random layers
/// is 1.4e-6 (a d_weight_hh of one element); without `usual`, one layer in 6,000 is beyond 1e-5.
const TOLERANCE: f64 = 5e-6;

#[derive(Arbitrary, Debug)]
struct Input {
    shape: Shape,
    /// By its bits, see [`Case::random`]: relu, no bias, no h_0, no d_h_n.
    options: Within<0, 15>,
    seed: u16,
    schedule: Schedule,
    /// Floats before and behind every slice of the cut run.
    margin: Within<1, 33>,
    /// Whether a layer of NaN, of that shape, has used the scratch before. Not an `Option`, so that the shortest input
    /// there is has room for it: libFuzzer is slow to try longer ones.
    used: bool,
    before: Shape,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
struct Shape {
    steps: Within<0, 8>,
    batch: Within<0, 20>,
    input: Within<1, 80>,
    hidden: Within<1, 140>,
}

impl Shape {
    fn case(self, options: u8, seed: u16) -> Case {
        let Self { steps, batch, input, hidden } = self;
        Case::random([steps.get(), batch.get(), input.get(), hidden.get()], options, seed.into())
    }
}

#[derive(Arbitrary, Clone, Copy, Debug)]
struct Schedule {
    row_workers: Within<1, 9>,
    gradient_workers: Within<1, 9>,
    time_block: Within<1, 9>,
    kc: Within<1, 200>,
}

impl Schedule {
    fn of(self, mut plan: Plan) -> Plan {
        plan.row_workers = self.row_workers.get();
        plan.gradient_workers = self.gradient_workers.get();
        plan.time_block = self.time_block.get();
        plan.forward = plan.forward.with_kc(self.kc.get());
        plan.backward = plan.backward.with_kc(self.kc.get());
        plan
    }
}

/// As [`Case::run`], but every slice that goes in or comes out is guarded.
fn run_guarded(
    case: &Case,
    kernels: &'static Kernels,
    plan: &Plan,
    scratch: &mut ElmanScratch,
    margin: usize,
    what: &str,
) -> Outcome {
    let Case { steps, batch, input, hidden, .. } = *case;
    let given = |values: &[f32]| Guarded::copy_of(values, margin);
    let result = |len| Guarded::full_of(f32::NAN, len, margin);
    let sum = |len| Guarded::full_of(0.0, len, margin);
    let (x, d_y) = (given(&case.x), given(&case.d_y));
    let (h_0, d_h_n) = (case.h_0.as_deref().map(given), case.d_h_n.as_deref().map(given));
    let (weight_ih, weight_hh) = (given(&case.weight_ih), given(&case.weight_hh));
    let bias = case.bias.as_ref().map(|[ih, hh]| [given(ih), given(hh)]);
    let weights = ElmanWeights {
        weight_ih: weight_ih.get(),
        weight_hh: weight_hh.get(),
        bias: bias.as_ref().map(|[ih, hh]| [ih.get(), hh.get()]),
    };
    let mut cell = case.cell(kernels);
    cell.load(weights).unwrap();
    let state = |h| SeqRef::new(h, 1, batch, hidden).unwrap();
    let (h_0, d_h_n) = (h_0.as_ref().map(Guarded::get).map(state), d_h_n.as_ref().map(Guarded::get).map(state));
    let x = SeqRef::new(x.get(), steps, batch, input).unwrap();
    let d_y = SeqRef::new(d_y.get(), steps, batch, hidden).unwrap();

    let mut y = result(steps * batch * hidden);
    cell.forward(plan, x, h_0, SeqMut::new(y.get_mut(), steps, batch, hidden).unwrap(), scratch).unwrap();

    let mut d_x = result(steps * batch * input);
    let mut d_h_0 = result(batch * hidden);
    let (mut d_weight_ih, mut d_weight_hh) = (sum(hidden * input), sum(hidden * hidden));
    let mut d_bias = bias.as_ref().map(|_| [sum(hidden), sum(hidden)]);
    let pass = ElmanBackwardPass {
        weights,
        x,
        h_0,
        y: SeqRef::new(y.get(), steps, batch, hidden).unwrap(),
        d_y,
        d_h_n,
        gradients: ElmanGradients {
            d_weight_ih: d_weight_ih.get_mut(),
            d_weight_hh: d_weight_hh.get_mut(),
            d_bias: d_bias.as_mut().map(|[ih, hh]| [ih.get_mut(), hh.get_mut()]),
        },
        d_x: Some(SeqMut::new(d_x.get_mut(), steps, batch, input).unwrap()),
        d_h_0: Some(d_h_0.get_mut()),
    };
    cell.backward(plan, pass, scratch).unwrap();
    Outcome {
        y: y.open(&format!("{what}: y")),
        d_x: d_x.open(&format!("{what}: d_x")),
        d_h_0: d_h_0.open(&format!("{what}: d_h_0")),
        d_weight_ih: d_weight_ih.open(&format!("{what}: d_weight_ih")),
        d_weight_hh: d_weight_hh.open(&format!("{what}: d_weight_hh")),
        d_bias: d_bias.map(|[ih, hh]| [ih.open(&format!("{what}: d_bias_ih")), hh.open(&format!("{what}: d_bias_hh"))]),
    }
}

/// The size that the elements of a tensor have where nothing cancels, as [`Case::random`] draws: inputs and gradients
/// from above up to 1, weights up to 1.2/√fan-in, so that a state and its gradient are about 1.
fn usual(case: &Case, name: &str) -> f64 {
    match name {
        "y" | "d_h_0" => 1.0,
        // H terms of up to 1.2/√I.
        "d_x" => (case.hidden as f64 / case.input as f64).sqrt(),
        // A term for each row of each step, of either sign.
        _ => ((case.steps * case.batch).max(1) as f64).sqrt(),
    }
}

fn assert_close(outcome: &Outcome, case: &Case, (y, gradients): &(Vec<f64>, reference::Gradients<f64>), what: &str) {
    // Where rounding decides on which side of relu's corner a sum falls, its gradient is there or not. Rounding cannot
    // be held to that; that the sum is nearly zero, it is held to as an element of y.
    let differs = |(&got, &exact): (&f32, &f64)| (got > 0.0) != (exact > 0.0);
    let at_the_corner = case.nonlinearity == Nonlinearity::Relu && outcome.y.iter().zip(y).any(differs);
    for ((name, got), expected) in outcome.tensors().into_iter().zip(outcome.expected(y, gradients)) {
        if at_the_corner && name != "y" {
            continue;
        }
        let (worst, at) = distance_of_scale(got, expected, usual(case, name));
        assert!(
            worst <= TOLERANCE,
            "{what}: {name}[{at}] is {} instead of {}, {worst:e} of the largest",
            got[at],
            expected[at],
        );
    }
}

fuzz_target!(|input: Input| {
    let (options, margin) = (input.options.get() as u8, input.margin.get());
    let case = input.shape.case(options, input.seed);
    let expected = case.reference();
    let mut fused: Option<Outcome> = None;
    for kernels in Kernels::available() {
        let isa = kernels.isa();
        let mut scratch = ElmanScratch::default();
        if input.used {
            let mut poison = input.before.case(options, input.seed);
            poison.x.fill(f32::NAN);
            poison.d_y.fill(f32::NAN);
            poison.run(kernels, &input.schedule.of(poison.plan(kernels)), &mut scratch);
        }
        let plan = case.plan(kernels);
        let whole = case.run(kernels, &plan, &mut scratch);
        assert_close(&whole, &case, &expected, isa.name());

        let what = format!("{isa} in exact slices");
        let exact = run_guarded(&case, kernels, &plan, &mut scratch, 0, &what);
        whole.assert_same_bits(&exact, &what);
        let plan = input.schedule.of(plan);
        let what = format!("{isa} between margins of {margin}, {plan}");
        let cut = run_guarded(&case, kernels, &plan, &mut scratch, margin, &what);
        whole.assert_same_bits(&cut, &what);

        if isa != Isa::Portable {
            let fused = fused.get_or_insert_with(|| whole.clone());
            fused.assert_same_bits(&whole, &format!("a wider tier and {isa}"));
        }
    }
});
