//! A layer of any cell and any small shape, dense or ragged, forward and backward, on every tier and by any schedule.

#![no_main]

#[allow(dead_code, reason = "the tests need more of it")]
#[path = "../../tests/common/case.rs"]
mod case;
#[path = "../../tests/common/compare.rs"]
mod compare;

use case::{Case, Options, Outcome};
use compare::distance_of_scale;
use elman::internals::{BackwardPass, Cell, ForwardPass, LayerGradients, Kernels, Plan, Scratch, Tape, Weights, Write};
use elman::tensor::{Mask, SeqMut, SeqRef};
use elman::Nonlinearity;
use elman::{Isa, reference};
use elman_fuzz::{Guarded, Within};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

/// As in tests/layers/properties.rs, relative to a tensor's largest element, or to what is [`usual`] where that is more:
/// whoever looks for it soon finds a tensor of one element, and that one nearly zero.
const TOLERANCE: f64 = 5e-6;

#[derive(Arbitrary, Debug)]
struct Input {
    shape: Shape,
    /// By its number, see [`Options`].
    cell: Within<0, { Options::CELLS - 1 }>,
    /// By its bits: no bias, no first state, no gradient at the last, reverse, ragged, resets.
    bits: Within<0, { Options::BITS - 1 }>,
    seed: u16,
    schedule: Schedule,
    /// Floats before and behind every slice of the cut run.
    margin: Within<1, 33>,
    /// Whether a layer of NaN, of that shape, has used the scratch before. Not an `Option`, so that the shortest input
    /// there is has room for it: libFuzzer is slow to try longer ones.
    used: bool,
    before: Shape,
    before_cell: Within<0, { Options::CELLS - 1 }>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
struct Shape {
    steps: Within<0, 8>,
    batch: Within<0, 20>,
    input: Within<1, 80>,
    hidden: Within<1, 140>,
}

impl Shape {
    fn case(self, cell: usize, bits: usize, seed: u16) -> Case {
        let Self { steps, batch, input, hidden } = self;
        let options = Options { cell: cell as u8, bits: bits as u8 };
        Case::random([steps.get(), batch.get(), input.get(), hidden.get()], options, seed.into())
    }
}

#[derive(Arbitrary, Clone, Copy, Debug)]
struct Schedule {
    row_workers: Within<1, 9>,
    unit_workers: Within<1, 5>,
    gradient_workers: Within<1, 9>,
    time_block: Within<1, 9>,
    kc: Within<1, 200>,
}

impl Schedule {
    fn of(self, mut plan: Plan) -> Plan {
        plan.row_workers = self.row_workers.get();
        plan.unit_workers = self.unit_workers.get();
        plan.gradient_workers = self.gradient_workers.get();
        plan.time_block = self.time_block.get();
        plan.forward = plan.forward.with_kc(self.kc.get());
        plan.backward = plan.backward.with_kc(self.kc.get());
        plan
    }
}

/// As [`Case::run`] of a dense case, but every slice that goes in or comes out is guarded.
fn run_guarded(
    case: &Case,
    kernels: &'static Kernels,
    plan: &Plan,
    scratch: &mut Scratch,
    margin: usize,
    what: &str,
) -> Outcome {
    let Case { steps, batch, sizes, .. } = *case;
    let (input, output, hidden) = (sizes.input, sizes.output(), sizes.hidden);
    let lstm = sizes.cell == Cell::Lstm;
    let given = |values: &[f32]| Guarded::copy_of(values, margin);
    let maybe = |values: &Option<Vec<f32>>| values.as_deref().map(given);
    let result = |len| Guarded::full_of(f32::NAN, len, margin);
    let sum = |values: &[f32]| Guarded::full_of(0.0, values.len(), margin);
    let (weight_ih, weight_hh, weight_hr) = (given(&case.weight_ih), given(&case.weight_hh), maybe(&case.weight_hr));
    let bias = case.bias.as_ref().map(|[ih, hh]| [given(ih), given(hh)]);
    let weights = Weights {
        weight_ih: weight_ih.get(),
        weight_hh: weight_hh.get(),
        bias: bias.as_ref().map(|[ih, hh]| [ih.get(), hh.get()]),
        weight_hr: weight_hr.as_ref().map(Guarded::get),
    };
    let mut layer = case.layer(kernels);
    layer.load(weights).unwrap();

    let (x, d_y) = (given(&case.x), given(&case.d_y));
    let [h_0, c_0, d_h_n, d_c_n] = [&case.h_0, &case.c_0, &case.d_h_n, &case.d_c_n].map(maybe);
    fn seq(values: &Guarded, steps: usize, batch: usize, width: usize) -> SeqRef<'_> {
        SeqRef::new(values.get(), steps, batch, width).unwrap()
    }
    let [h_0, d_h_n] = [&h_0, &d_h_n].map(|h| h.as_ref().map(|h| seq(h, 1, batch, output)));
    let [c_0, d_c_n] = [&c_0, &d_c_n].map(|c| c.as_ref().map(|c| seq(c, 1, batch, hidden)));
    let (x, d_y) = (seq(&x, steps, batch, input), seq(&d_y, steps, batch, output));
    let resets = case.resets.as_ref().map(|resets| Mask::of(x, resets).unwrap());

    let mut y = result(steps * batch * output);
    let (mut h_n, mut c_n) = (result(batch * output), lstm.then(|| result(batch * hidden)));
    let mut tape = Tape::default();
    let pass = ForwardPass {
        x,
        h_0,
        c_0,
        resets,
        y: SeqMut::new(y.get_mut(), steps, batch, output).unwrap(),
        h_n: Some(h_n.get_mut()),
        c_n: c_n.as_mut().map(Guarded::get_mut),
        tape: Some(&mut tape),
    };
    layer.forward(plan, pass, scratch).unwrap();

    let mut d_x = result(steps * batch * input);
    let (mut d_h_0, mut d_c_0) = (result(batch * output), lstm.then(|| result(batch * hidden)));
    let (mut d_weight_ih, mut d_weight_hh) = (sum(weights.weight_ih), sum(weights.weight_hh));
    let mut d_bias = weights.bias.map(|bias| bias.map(sum));
    let mut d_weight_hr = weights.weight_hr.map(sum);
    let pass = BackwardPass {
        weights,
        x,
        h_0,
        c_0,
        resets,
        y: SeqRef::new(y.get(), steps, batch, output).unwrap(),
        tape: &mut tape,
        d_y,
        d_h_n,
        d_c_n,
        gradients: LayerGradients {
            write: Write::Add,
            d_weight_ih: d_weight_ih.get_mut(),
            d_weight_hh: d_weight_hh.get_mut(),
            d_bias: d_bias.as_mut().map(|d_bias| d_bias.each_mut().map(Guarded::get_mut)),
            d_weight_hr: d_weight_hr.as_mut().map(Guarded::get_mut),
        },
        d_x: Some((d_x.get_mut(), Write::Over)),
        d_h_0: Some(d_h_0.get_mut()),
        d_c_0: d_c_0.as_mut().map(Guarded::get_mut),
    };
    layer.backward(plan, pass, scratch).unwrap();

    // In the order of `Case::run`.
    let mut all = vec![
        ("y", y),
        ("h_n", h_n),
        ("d_x", d_x),
        ("d_h_0", d_h_0),
        ("d_weight_ih", d_weight_ih),
        ("d_weight_hh", d_weight_hh),
    ];
    all.extend(c_n.map(|c_n| ("c_n", c_n)));
    all.extend(d_c_0.map(|d_c_0| ("d_c_0", d_c_0)));
    all.extend(d_bias.into_iter().flat_map(|[ih, hh]| [("d_bias_ih", ih), ("d_bias_hh", hh)]));
    all.extend(d_weight_hr.map(|d| ("d_weight_hr", d)));
    Outcome(all.into_iter().map(|(name, values)| (name, values.open(&format!("{what}: {name}")))).collect())
}

/// The size that the elements of a tensor have where nothing cancels, as [`Case::random`] draws: inputs and gradients
/// from above up to 1, weights up to 1.2/√fan-in, so that a state and its gradient are about 1.
fn usual(case: &Case, name: &str) -> f64 {
    match name {
        "y" | "h_n" | "c_n" | "d_h_0" | "d_c_0" => 1.0,
        // G·H terms of up to 1.2/√I.
        "d_x" => ((case.sizes.cell.gates() * case.sizes.hidden) as f64 / case.sizes.input as f64).sqrt().max(1.0),
        // A term for each row of each step, of either sign.
        _ => ((case.steps * case.batch).max(1) as f64).sqrt(),
    }
}

fn assert_close(
    outcome: &Outcome,
    case: &Case,
    (output, g): &(reference::Output<f64>, reference::Gradients<f64>),
    what: &str,
) {
    // Where rounding decides on which side of relu's corner a sum falls, its gradient is there or not. Rounding cannot
    // be held to that; that the sum is nearly zero, it is held to as an element of y.
    let differs = |(&got, &exact): (&f32, &f64)| (got > 0.0) != (exact > 0.0);
    let relu = case.sizes.cell == Cell::Elman(Nonlinearity::Relu);
    let at_the_corner = relu && outcome.get("y").iter().zip(&output.y).any(differs);
    for (name, got) in &outcome.0 {
        let expected = match *name {
            "y" => &output.y,
            "h_n" => &output.h_n,
            "c_n" => &output.c_n,
            _ if at_the_corner => continue,
            "d_x" => &g.d_x,
            "d_h_0" => &g.d_h_0,
            "d_c_0" => &g.d_c_0,
            "d_weight_ih" => &g.d_weight_ih,
            "d_weight_hh" => &g.d_weight_hh,
            "d_weight_hr" => &g.d_weight_hr,
            "d_bias_ih" => &g.d_bias_ih,
            "d_bias_hh" => &g.d_bias_hh,
            _ => panic!("{name}"),
        };
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
    let (bits, margin) = (input.bits.get(), input.margin.get());
    let case = input.shape.case(input.cell.get(), bits, input.seed);
    let expected = case.reference();
    let mut fused: Option<Outcome> = None;
    for kernels in Kernels::available() {
        let isa = kernels.isa();
        let mut scratch = Scratch::default();
        if input.used {
            let mut poison = input.before.case(input.before_cell.get(), bits, input.seed);
            poison.x.fill(f32::NAN);
            poison.d_y.fill(f32::NAN);
            poison.run(kernels, &input.schedule.of(poison.plan(kernels)), &mut scratch);
        }
        let plan = case.plan(kernels);
        let whole = case.run(kernels, &plan, &mut scratch);
        assert_close(&whole, &case, &expected, isa.name());

        let schedule = input.schedule.of(plan);
        if case.lengths.is_some() {
            let cut = case.run(kernels, &schedule, &mut scratch);
            whole.assert_same_bits(&cut, &format!("{isa}, ragged, {schedule}"));
        } else {
            let what = format!("{isa} in exact slices");
            let exact = run_guarded(&case, kernels, &plan, &mut scratch, 0, &what);
            whole.assert_same_bits(&exact, &what);
            let what = format!("{isa} between margins of {margin}, {schedule}");
            let cut = run_guarded(&case, kernels, &schedule, &mut scratch, margin, &what);
            whole.assert_same_bits(&cut, &what);
        }

        if isa != Isa::Portable {
            let fused = fused.get_or_insert_with(|| whole.clone());
            fused.assert_same_bits(&whole, &format!("a wider tier and {isa}"));
        }
    }
});
