//! What holds of any layer.

use std::panic::catch_unwind;

use elman::loss::IGNORE_INDEX;
use elman::reference::{
    CrossEntropy, Gradients, Layer, Linear, MeanSquaredError, Output, Real, Steps, cross_entropy, mse,
};

use crate::assert_near;
use crate::pass::{
    BATCH, HIDDEN, INPUT, KINDS, LSTM, PROJECTED, RecurrentWorkspace, TANH, of_parameters, row, sequence_of_row,
};

#[test]
fn no_bias_and_no_states_are_zeros() {
    for kind in KINDS {
        for pass in RecurrentWorkspace::random(kind, 4, 1).every_way() {
            let none =
                RecurrentWorkspace { bias: None, h_0: None, c_0: None, d_h_n: None, d_c_n: None, ..pass.clone() };
            let zeros = |values: &Option<Vec<f64>>| values.as_ref().map(|values| vec![0.0; values.len()]);
            let zero = RecurrentWorkspace {
                bias: pass.bias.as_ref().map(|bias| bias.clone().map(|bias| vec![0.0; bias.len()])),
                h_0: zeros(&pass.h_0),
                c_0: zeros(&pass.c_0),
                d_h_n: zeros(&pass.d_h_n),
                d_c_n: zeros(&pass.d_c_n),
                ..pass
            };
            assert_eq!(none.forward(), zero.forward(), "{kind:?}");
            assert_eq!(none.backward(), zero.backward(), "{kind:?}");
        }
    }
}

/// So too: a ragged batch is each row alone at its own length.
#[test]
fn rows_of_a_batch_do_not_meet() {
    for kind in KINDS {
        for pass in RecurrentWorkspace::random(kind, 6, 2).every_way() {
            let (output, d) = (pass.forward(), pass.backward());
            let mut sums = of_parameters(&d).map(|(_, d)| vec![0.0; d.len()]);
            for b in 0..BATCH {
                let (out, length) = (pass.out, pass.length(b));
                let one = pass.alone(b);
                let Output { y, h_n, c_n } = one.forward();
                let alone = one.backward();
                let what = format!("{kind:?}, row {b} of {:?}", pass.layer().steps);
                assert_eq!(y, sequence_of_row(&output.y, out, b, length), "{what}");
                assert_eq!(h_n, row(&output.h_n, out, b), "{what}");
                assert_eq!(alone.d_x, sequence_of_row(&d.d_x, INPUT, b, length), "{what}");
                assert_eq!(alone.d_h_0, row(&d.d_h_0, out, b), "{what}");
                if pass.c_0.is_some() {
                    assert_eq!(c_n, row(&output.c_n, HIDDEN, b), "{what}");
                    assert_eq!(alone.d_c_0, row(&d.d_c_0, HIDDEN, b), "{what}");
                }
                let padding = |values: &[f64], width| sequence_of_row(values, width, b, 6)[length * width..].to_vec();
                assert!(padding(&output.y, out).iter().chain(&padding(&d.d_x, INPUT)).all(|&x| x == 0.0), "{what}");
                for (sum, (_, part)) in sums.iter_mut().zip(of_parameters(&alone)) {
                    sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
                }
            }
            for (sum, (name, d)) in sums.iter().zip(of_parameters(&d)) {
                assert_near(&format!("sum over rows of {name}, {kind:?}"), sum, d, 1e-14);
            }
        }
    }
}

#[test]
fn reverse_is_forward_of_the_flipped_row() {
    fn flipped(values: &[f64], width: usize) -> Vec<f64> {
        values.chunks(width).rev().flatten().copied().collect()
    }
    for kind in KINDS {
        for pass in RecurrentWorkspace::random(kind, 6, 3).every_way().into_iter().filter(|pass| pass.reverse) {
            for b in 0..BATCH {
                let pass = pass.alone(b);
                // What begins a sequence at t ends one at t - 1, where it is flipped the first step.
                let resets = pass
                    .resets
                    .as_ref()
                    .map(|resets| (0..pass.steps).map(|t| t > 0 && resets[pass.steps - t]).collect());
                let forward = RecurrentWorkspace {
                    reverse: false,
                    resets,
                    x: flipped(&pass.x, INPUT),
                    d_y: flipped(&pass.d_y, pass.out),
                    ..pass.clone()
                };
                let output = forward.forward();
                assert_eq!(pass.forward(), Output { y: flipped(&output.y, pass.out), ..output }, "{kind:?}");
                let d = forward.backward();
                assert_eq!(pass.backward(), Gradients { d_x: flipped(&d.d_x, INPUT), ..d }, "{kind:?}");
            }
        }
    }
}

#[test]
fn a_reset_is_two_sequences() {
    let (steps, at) = (5, 2);
    for kind in KINDS {
        for reverse in [false, true] {
            let resets = Some((0..steps * BATCH).map(|n| n / BATCH == at).collect());
            let pass = RecurrentWorkspace { reverse, resets, ..RecurrentWorkspace::random(kind, steps, 4) };
            let part = |from: usize, to: usize| RecurrentWorkspace {
                steps: to - from,
                resets: None,
                x: pass.x[from * BATCH * INPUT..to * BATCH * INPUT].to_vec(),
                d_y: pass.d_y[from * BATCH * pass.out..to * BATCH * pass.out].to_vec(),
                ..pass.clone()
            };
            let (early, late) = (part(0, at), part(at, steps));
            // Whichever is taken first has the first state, the other gives the last.
            let begins = |part: RecurrentWorkspace| RecurrentWorkspace { d_h_n: None, d_c_n: None, ..part };
            let ends = |part: RecurrentWorkspace| RecurrentWorkspace { h_0: None, c_0: None, ..part };
            let [early, late] = if reverse { [ends(early), begins(late)] } else { [begins(early), ends(late)] };
            let (first, last) = if reverse { (&late, &early) } else { (&early, &late) };

            let output = pass.forward();
            assert_eq!(output.y, [early.forward().y, late.forward().y].concat(), "{kind:?}");
            let Output { h_n, c_n, .. } = last.forward();
            assert_eq!((output.h_n, output.c_n), (h_n, c_n), "{kind:?}");
            let d = pass.backward();
            assert_eq!(d.d_x, [early.backward().d_x, late.backward().d_x].concat(), "{kind:?}");
            let Gradients { d_h_0, d_c_0, .. } = first.backward();
            assert_eq!((&d.d_h_0, &d.d_c_0), (&d_h_0, &d_c_0), "{kind:?}");
            let (early, late) = (early.backward(), late.backward());
            for (n, (name, d)) in of_parameters(&d).into_iter().enumerate() {
                let parts = of_parameters(&early)[n].1.iter().zip(of_parameters(&late)[n].1);
                let sum: Vec<f64> = parts.map(|(early, late)| early + late).collect();
                assert_near(&format!("{name}, {kind:?}"), &sum, d, 1e-14);
            }
        }
    }
}

#[test]
fn a_reset_at_the_first_step_is_no_first_state() {
    for kind in KINDS {
        let resets = Some((0..3 * BATCH).map(|n| n < BATCH).collect());
        let pass = RecurrentWorkspace { resets, ..RecurrentWorkspace::random(kind, 3, 5) };
        let none = RecurrentWorkspace { resets: None, h_0: None, c_0: None, ..pass.clone() };
        assert_eq!(pass.forward(), none.forward(), "{kind:?}");
        let d = pass.backward();
        assert!(d.d_h_0.iter().chain(&d.d_c_0).all(|&d| d == 0.0), "{kind:?}");
        let Gradients { d_h_0, d_c_0, .. } = d.clone();
        assert_eq!(d, Gradients { d_h_0, d_c_0, ..none.backward() }, "{kind:?}");

        // There is nothing between it and a step before.
        let reverse = RecurrentWorkspace { reverse: true, ..pass };
        let none = RecurrentWorkspace { resets: None, ..reverse.clone() };
        assert_eq!(reverse.forward(), none.forward(), "{kind:?}");
        assert_eq!(reverse.backward(), none.backward(), "{kind:?}");
    }
}

#[test]
fn a_reset_behind_a_row_does_nothing() {
    for kind in KINDS {
        for reverse in [false, true] {
            let lengths = vec![3, 1, 0];
            let resets = (0..4 * BATCH).map(|n| n / BATCH >= lengths[n % BATCH]).collect();
            let none = RecurrentWorkspace { reverse, lengths: Some(lengths), ..RecurrentWorkspace::random(kind, 4, 6) };
            let pass = RecurrentWorkspace { resets: Some(resets), ..none.clone() };
            assert_eq!(pass.forward(), none.forward(), "{kind:?}");
            assert_eq!(pass.backward(), none.backward(), "{kind:?}");
        }
    }
}

#[test]
fn of_no_steps_the_first_state_is_the_last() {
    fn check(pass: &RecurrentWorkspace, what: &str) {
        let Output { y, h_n, c_n } = pass.forward();
        assert!(y.iter().all(|&y| y == 0.0), "{what}");
        assert_eq!(Some(h_n), pass.h_0, "{what}");
        assert_eq!(c_n, pass.c_0.clone().unwrap_or_default(), "{what}");
        let d = pass.backward();
        assert_eq!(Some(&d.d_h_0), pass.d_h_n.as_ref(), "{what}");
        assert_eq!(d.d_c_0, pass.d_c_n.clone().unwrap_or_default(), "{what}");
        assert!(d.d_x.iter().chain(of_parameters(&d).into_iter().flat_map(|(_, d)| d)).all(|&d| d == 0.0), "{what}");
        let none = RecurrentWorkspace { h_0: None, c_0: None, d_h_n: None, d_c_n: None, ..pass.clone() };
        assert!(none.forward().h_n.iter().chain(&none.backward().d_h_0).all(|&x| x == 0.0), "{what}");
    }
    for kind in KINDS {
        for reverse in [false, true] {
            let none = RecurrentWorkspace { reverse, ..RecurrentWorkspace::random(kind, 0, 7) };
            assert_eq!((none.forward().y.len(), none.backward().d_x.len()), (0, 0));
            check(&none, &format!("T 0, {kind:?}"));
            let empty =
                RecurrentWorkspace { reverse, lengths: Some(vec![0; BATCH]), ..RecurrentWorkspace::random(kind, 3, 7) };
            assert_eq!((empty.forward().y.len(), empty.backward().d_x.len()), (empty.d_y.len(), empty.x.len()));
            check(&empty, &format!("lengths 0, {kind:?}"));
        }
        let nobody = RecurrentWorkspace { lengths: Some(vec![]), ..RecurrentWorkspace::random(kind, 0, 8) };
        let layer = Layer { steps: Steps { lengths: Some(&[]), ..Steps::new(3, 0) }, ..nobody.layer() };
        assert!(layer.forward(&[], None, None).y.is_empty());
        assert!(layer.backward(&[], None, None, &[], None, None).d_h_0.is_empty());
    }
}

#[test]
fn a_nan_comes_out() {
    for kind in KINDS {
        let mut pass = RecurrentWorkspace::random(kind, 3, 4);
        // The second step of the first row.
        pass.x[BATCH * INPUT] = f64::NAN;
        let rows: Vec<bool> = pass.forward().y.chunks(pass.out).map(|y| y.iter().all(|y| y.is_nan())).collect();
        assert_eq!(rows, [false, false, false, true, false, false, true, false, false], "{kind:?}");
        assert!(pass.backward().d_weight_hh.iter().all(|d| d.is_nan()), "{kind:?}");
    }
    assert!(mse(&[1.0, f64::NAN], &[0.0, 0.0]).0.is_nan());
    assert!(cross_entropy(3, &[1.0, f64::NAN, 0.0], &[0]).0.is_nan());
}

#[test]
fn the_mean_over_nothing_is_nan_and_its_gradient_zero() {
    assert!(mse::<f64>(&[], &[]).0.is_nan());
    let (loss, d) = MeanSquaredError { width: 2, mask: Some(&[false]) }.evaluate(&[1.0, f64::NAN], &[0.0, 0.0]);
    assert!(loss.is_nan() && d == [0.0, 0.0]);
    for label_smoothing in [0.0, 0.1] {
        let loss = CrossEntropy { label_smoothing, ..CrossEntropy::new(2) };
        let (loss, d) = loss.evaluate(&[1.0_f64, 2.0], &[IGNORE_INDEX]);
        assert!(loss.is_nan() && d == [0.0, 0.0]);
    }
}

#[test]
fn a_nan_does_not_pass_a_length_or_a_reset() {
    for kind in KINDS {
        for reverse in [false, true] {
            let pass =
                RecurrentWorkspace { reverse, lengths: Some(vec![4, 2, 0]), ..RecurrentWorkspace::random(kind, 4, 5) };
            let mut poisoned = pass.clone();
            for n in (0..4 * BATCH).filter(|n| n / BATCH >= pass.length(n % BATCH)) {
                poisoned.x[n * INPUT..][..INPUT].fill(f64::NAN);
                poisoned.d_y[n * pass.out..][..pass.out].fill(f64::NAN);
            }
            assert_eq!(poisoned.forward(), pass.forward(), "{kind:?}");
            assert_eq!(poisoned.backward(), pass.backward(), "{kind:?}");

            // Steps 0 and 1 of a row, and 2 and 3.
            let resets = Some((0..4 * BATCH).map(|n| n / BATCH == 2).collect());
            let pass = RecurrentWorkspace { reverse, resets, ..RecurrentWorkspace::random(kind, 4, 5) };
            for poisoned_half in [0, 1] {
                let mut poisoned = pass.clone();
                let half = 2 * BATCH * INPUT;
                poisoned.x[poisoned_half * half..][..half].fill(f64::NAN);
                let other = 1 - poisoned_half;
                let (y, d_x) = (poisoned.forward().y, poisoned.backward().d_x);
                let outputs = 2 * BATCH * pass.out;
                assert_eq!(y[other * outputs..][..outputs], pass.forward().y[other * outputs..][..outputs], "{kind:?}");
                assert_eq!(d_x[other * half..][..half], pass.backward().d_x[other * half..][..half], "{kind:?}");
            }
        }
    }
}

#[test]
fn the_sigmoid_is_sane_on_both_sides() {
    /// `overflows`: e to that power is infinite, and to its negative denormal.
    fn check<R: Real>(eps: f64, overflows: f64) {
        let sigmoid = |x: f64| -> f64 { R::from_f64(x).sigmoid().into() };
        // e⁻ˣ / (1 + e⁻ˣ).
        let small = |x: f64| (-x).exp() / (1.0 + (-x).exp());
        assert_eq!([sigmoid(0.0), sigmoid(-0.0)], [0.5, 0.5]);
        assert_eq!([sigmoid(f64::NEG_INFINITY), sigmoid(-1e30)], [0.0, 0.0]);
        assert_eq!([sigmoid(f64::INFINITY), sigmoid(1e30)], [1.0, 1.0]);
        assert!(sigmoid(f64::NAN).is_nan());
        for x in [0.125, 0.5, 1.0, 5.0, 20.0, 80.0] {
            assert!((sigmoid(x) + sigmoid(-x) - 1.0).abs() <= eps, "{x}");
            assert!((sigmoid(-x) / small(x) - 1.0).abs() <= 4.0 * eps, "{x}");
        }
        assert!((sigmoid(-overflows) / small(overflows) - 1.0).abs() <= 1e-5);
    }
    check::<f32>(f32::EPSILON.into(), 89.0);
    check::<f64>(f64::EPSILON, 710.0);
}

#[test]
fn a_wrong_length_panics_by_name() {
    fn panics(text: &str, run: impl FnOnce()) {
        let panic = catch_unwind(std::panic::AssertUnwindSafe(run)).expect_err(text);
        let message =
            panic.downcast::<String>().map_or_else(|other| other.downcast::<&str>().unwrap().to_string(), |s| *s);
        assert!(message.starts_with(text), "'{message}' is not '{text}…'");
    }
    let pass = RecurrentWorkspace::random(PROJECTED, 3, 5);
    let layer = pass.layer();
    let forward = |layer: Layer<'_, f64>| drop(layer.forward(&pass.x, None, None));
    let [ih, hh] = layer.bias.unwrap();
    panics("weight_ih: shape [16, 3] needs 48 elements, got 47", || {
        forward(Layer { weight_ih: &pass.weight_ih[1..], ..layer });
    });
    panics("weight_hh: shape [16, 2] ", || forward(Layer { weight_hh: &pass.weight_hh[1..], ..layer }));
    panics("weight_hh: shape [16, 4] ", || forward(Layer { weight_hr: None, ..layer }));
    panics("bias_ih: ", || forward(Layer { bias: Some([&ih[1..], hh]), ..layer }));
    panics("bias_hh: ", || forward(Layer { bias: Some([ih, &hh[1..]]), ..layer }));
    let weight_hr = layer.weight_hr.unwrap();
    panics("weight_hr: shape [P, 4] needs a multiple of 4 elements, got 7", || {
        forward(Layer { weight_hr: Some(&weight_hr[1..]), ..layer });
    });
    panics("weight_hr: shape [P, 4] ", || forward(Layer { weight_hr: Some(&[]), ..layer }));
    let steps = |steps| forward(Layer { steps, ..layer });
    panics("lengths: shape [3] needs 3", || steps(Steps { lengths: Some(&[3, 3]), ..layer.steps }));
    panics("lengths: expected at most 3, got 4", || steps(Steps { lengths: Some(&[0, 3, 4]), ..layer.steps }));
    panics("resets: shape [3, 3] needs 9", || steps(Steps { resets: Some(&[true; 8]), ..layer.steps }));
    let (h, c) = (pass.h_0.as_deref().unwrap(), pass.c_0.as_deref().unwrap());
    panics("x: ", || drop(layer.forward(&pass.x[1..], None, None)));
    panics("h_0: shape [3, 2] ", || drop(layer.forward(&pass.x, Some(&h[1..]), Some(c))));
    panics("c_0: shape [3, 4] ", || drop(layer.forward(&pass.x, Some(h), Some(&c[1..]))));
    let backward = |d_y: &[f64], d_h_n: &[f64], d_c_n: &[f64]| {
        drop(layer.backward(&pass.x, None, None, d_y, Some(d_h_n), Some(d_c_n)));
    };
    panics("d_y: ", || backward(&pass.d_y[1..], h, c));
    panics("d_h_n: ", || backward(&pass.d_y, &h[1..], c));
    panics("d_c_n: ", || backward(&pass.d_y, h, &c[1..]));
    panics("x: ", || drop(layer.backward(&pass.x[1..], None, None, &pass.d_y, None, None)));
    panics("h_0: ", || drop(layer.backward(&pass.x, Some(&h[1..]), None, &pass.d_y, None, None)));
    panics("c_0: ", || drop(layer.backward(&pass.x, None, Some(&c[1..]), &pass.d_y, None, None)));

    let pass = RecurrentWorkspace::random(TANH, 3, 5);
    let (layer, c) = (pass.layer(), [0.0; BATCH * HIDDEN]);
    panics("c_0: expected none but for the LSTM, got one for Elman(Tanh)", || {
        drop(layer.forward(&pass.x, None, Some(&c)));
    });
    panics("d_c_n: expected none", || drop(layer.backward(&pass.x, None, None, &pass.d_y, None, Some(&c))));
    panics("weight_hr: expected none", || {
        drop(Layer { weight_hr: Some(&[0.0; 4]), ..layer }.forward(&pass.x, None, None));
    });
    assert!(RecurrentWorkspace::random(LSTM, 3, 5).forward().c_n.len() == c.len());

    let layer = Linear { rows: 1, input: 2, output: 1, weight: &[1.0, 1.0], bias: Some(&[0.0]) };
    panics("weight: ", || drop(Linear { weight: &[1.0], ..layer }.forward(&[1.0, 1.0])));
    panics("bias: ", || drop(Linear { bias: Some(&[]), ..layer }.forward(&[1.0, 1.0])));
    panics("x: ", || drop(layer.forward(&[1.0])));
    panics("d_y: ", || drop(layer.backward(&[1.0, 1.0], &[1.0, 1.0])));

    panics("target: ", || drop(mse(&[1.0], &[])));
    let masked = |width, mask| MeanSquaredError { width, mask };
    panics("prediction: ", || drop(masked(2, None).evaluate(&[1.0; 3], &[1.0; 3])));
    panics("mask: ", || drop(masked(1, Some(&[true])).evaluate(&[1.0; 3], &[1.0; 3])));
    panics("logits: ", || drop(cross_entropy(2, &[1.0], &[0])));
    panics("labels: expected classes below 2, got 2", || drop(cross_entropy(2, &[1.0, 1.0], &[2])));
    panics("labels: expected classes below 2, got -1", || drop(cross_entropy(2, &[1.0, 1.0], &[-1])));
    let weighted = CrossEntropy { class_weights: Some(&[1.0]), ..CrossEntropy::new(2) };
    panics("class_weights: ", || drop(weighted.evaluate(&[1.0, 1.0], &[0])));
    let masked = CrossEntropy { mask: Some(&[]), ..CrossEntropy::new(2) };
    panics("mask: ", || drop(masked.evaluate(&[1.0, 1.0], &[0])));
}
