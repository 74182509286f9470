//! Losses in every form of prediction: against the reference and PyTorch, and what they refuse.

use crate::compare::{assert_same_bits, distance};
#[cfg(feature = "safetensors")]
use crate::fixtures::Fixture;
use crate::tiers::tiers;
use elman::internals::Kernels;
use elman::loss::{CrossEntropy, IGNORE_INDEX, Loss, MeanSquaredError, Prediction, Steps, cross_entropy, mse};
use elman::tensor::{PackedSequence, Seq, SeqMut, SeqRef};
use elman::{Error, ErrorKind, Rng, reference};

/// T, B, C.
const SHAPE: [usize; 3] = [5, 4, 11];
/// One of each kind: in the middle, all, none, and one less than all.
const LENGTHS: [usize; 4] = [2, 5, 0, 4];
const WEIGHTS: [f32; 11] = [1.0, 0.5, 2.0, 0.0, 3.0, 1.0, 0.25, 1.0, 1.5, 1.0, 4.0];

fn draw(seed: u64) -> Seq {
    let (mut seq, mut rng) = (Seq::zeros(SHAPE[0], SHAPE[1], SHAPE[2]).unwrap(), Rng::new(seed));
    seq.data_mut().iter_mut().for_each(|x| *x = rng.uniform(-2.0, 2.0));
    seq
}

/// A label for each of T·B rows, some ignored.
fn labels() -> Vec<i64> {
    let mut rng = Rng::new(3);
    (0..SHAPE[0] * SHAPE[1]).map(|i| if i % 6 == 4 { IGNORE_INDEX } else { rng.below(SHAPE[2]) as i64 }).collect()
}

fn mask() -> Vec<bool> {
    (0..SHAPE[0] * SHAPE[1]).map(|i| i % 3 != 1).collect()
}

/// Rows (T, B) of any element, as (B, T).
fn turned<T: Copy>(rows: &[T], width: usize) -> Vec<T> {
    let [steps, batch, _] = SHAPE;
    let places = (0..batch).flat_map(|b| (0..steps).map(move |t| (t * batch + b) * width));
    places.flat_map(|at| rows[at..at + width].iter().copied()).collect()
}

/// Which steps count, by name, so that a form can have its own borrow.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Which {
    Every,
    Last,
    Mask,
}

/// The rows (T, B) that count, of sequences of those lengths.
fn counted(which: Which, lengths: &[usize]) -> Vec<bool> {
    let [steps, batch, _] = SHAPE;
    let mask = mask();
    let counts = |t, b| match which {
        Which::Every => t < lengths[b],
        Which::Last => t + 1 == lengths[b],
        Which::Mask => t < lengths[b] && mask[t * batch + b],
    };
    (0..steps * batch).map(|i| counts(i / batch, i % batch)).collect()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&x| f64::from(x)).collect()
}

fn assert_close(got: &[f32], expected: &[f64], what: &str) {
    let (worst, at) = distance(got, expected);
    assert!(worst <= 2e-6, "{what}[{at}]: {} instead of {}, {worst:e} of the largest", got[at], expected[at]);
}

/// The rows that a gradient's memory has before: none may be left.
fn dirty(mut seq: Seq) -> Seq {
    seq.data_mut().fill(f32::NAN);
    seq
}

/// What a loss is to give: its value and its gradient (T, B, C).
type Expected = (f64, Vec<f64>);

/// Runs a loss over the prediction in a form, and gives its gradient as (T, B, C).
fn evaluate(form: &str, prediction: &Seq, loss: &mut dyn Loss) -> (f32, Vec<f32>) {
    let [steps, batch, width] = SHAPE;
    match form {
        "sequence first" => {
            let mut d = dirty(prediction.clone());
            let value = loss.evaluate(prediction.into(), d.view_mut()).unwrap();
            (value, d.data().to_vec())
        }
        "batch first" => {
            let prediction = turned(prediction.data(), width);
            let prediction = SeqRef::new(&prediction, batch, steps, width).unwrap();
            let mut d = dirty(Seq::zeros(batch, steps, width).unwrap());
            let value = loss.evaluate(Prediction::batch_first(prediction), d.view_mut()).unwrap();
            let rows = (0..steps).flat_map(|t| (0..batch).map(move |b| (t, b)));
            (value, rows.flat_map(|(t, b)| d.view().step(b).row(t).to_vec()).collect())
        }
        _ => {
            let packed = PackedSequence::from_padded(prediction.view(), &LENGTHS).unwrap();
            let mut d = packed.zeros_like(width).unwrap();
            d.data_mut().fill(f32::NAN);
            let value = loss.evaluate((&packed).into(), d.seq_mut()).unwrap();
            (value, d.to_padded(steps).unwrap().data().to_vec())
        }
    }
}

fn assert_loss((value, d): (f32, Vec<f32>), (loss, gradient): &Expected, what: &str) {
    assert_close(&[value], &[*loss], what);
    assert_close(&d, gradient, &format!("{what}: gradient"));
}

#[test]
fn squared_errors_in_every_form_are_the_references() {
    let [steps, batch, width] = SHAPE;
    let (prediction, target) = (draw(1), draw(2));
    for which in [Which::Every, Which::Last, Which::Mask] {
        for form in ["sequence first", "batch first", "packed"] {
            let lengths = if form == "packed" { LENGTHS } else { [steps; 4] };
            let rows = counted(which, &lengths);
            let reference = reference::MeanSquaredError { width, mask: Some(&rows) };
            let expected = reference.evaluate(&wide(prediction.data()), &wide(target.data()));
            let what = format!("{form} {which:?}");

            // The target of each row's last step.
            let ends: Vec<f32> =
                (0..batch).flat_map(|b| target.view().step(lengths[b].saturating_sub(1)).row(b).to_vec()).collect();
            let (marks, turned_marks) = (mask(), turned(&mask(), 1));
            let marks = if form == "batch first" { &turned_marks } else { &marks };
            let at = match which {
                Which::Every => Steps::Every,
                Which::Last => Steps::Last,
                Which::Mask => Steps::Mask(marks),
            };
            let run = |target: SeqRef<'_>, what: &str| {
                assert_loss(evaluate(form, &prediction, &mut MeanSquaredError::new(target).at(at)), &expected, what);
            };
            if which == Which::Last {
                run(SeqRef::new(&ends, 1, batch, width).unwrap(), &what);
                run(SeqRef::new(&ends, batch, 1, width).unwrap(), &what);
            } else if form == "batch first" {
                run(SeqRef::new(&turned(target.data(), width), batch, steps, width).unwrap(), &what);
            } else {
                run(target.view(), &what);
            }
            if form == "packed" && which != Which::Last {
                let packed = PackedSequence::from_padded(target.view(), &LENGTHS).unwrap();
                let mut loss = MeanSquaredError::new(&packed).at(at);
                assert_loss(evaluate(form, &prediction, &mut loss), &expected, &what);
            }
        }
    }
}

#[test]
fn cross_entropies_in_every_form_and_setting_are_the_references() {
    let [steps, batch, classes] = SHAPE;
    let (logits, labels) = (draw(1), labels());
    let weights = wide(&WEIGHTS);
    for which in [Which::Every, Which::Last, Which::Mask] {
        for form in ["sequence first", "batch first", "packed", "packed labels"] {
            let lengths = if form.starts_with("packed") { LENGTHS } else { [steps; 4] };
            let rows = counted(which, &lengths);
            let marks = match form {
                "batch first" => turned(&mask(), 1),
                "packed labels" => pack(&mask()),
                _ => mask(),
            };
            let at = match which {
                Which::Every => Steps::Every,
                Which::Last => Steps::Last,
                Which::Mask => Steps::Mask(&marks),
            };
            let labels = match (which, form) {
                (Which::Last, _) => (0..batch).map(|b| labels[lengths[b].saturating_sub(1) * batch + b]).collect(),
                (_, "batch first") => turned(&labels, 1),
                (_, "packed labels") => pack(&labels),
                _ => labels.clone(),
            };
            let all = self::labels();
            for bits in 0..8 {
                let (weighted, smoothed) = (bits & 1 > 0, bits & 2 > 0);
                let ignored = if bits & 4 > 0 { 99 } else { IGNORE_INDEX };
                let reference = reference::CrossEntropy {
                    class_weights: weighted.then_some(&weights[..]),
                    label_smoothing: if smoothed { f64::from(0.3_f32) } else { 0.0 },
                    ignore_index: ignored,
                    mask: Some(&rows),
                    ..reference::CrossEntropy::new(classes)
                };
                let rename = |&label: &i64| if label == IGNORE_INDEX { ignored } else { label };
                let all: Vec<i64> = all.iter().map(rename).collect();
                let labels: Vec<i64> = labels.iter().map(rename).collect();
                let expected = reference.evaluate(&wide(logits.data()), &all);
                for kernels in tiers() {
                    let mut loss = CrossEntropy::new(&labels).at(at).ignore_index(ignored).isa(kernels.isa());
                    if weighted {
                        loss = loss.class_weights(&WEIGHTS);
                    }
                    if smoothed {
                        loss = loss.label_smoothing(0.3);
                    }
                    let what = format!("{form} {which:?} {bits:03b} {}", kernels.isa());
                    assert_loss(evaluate(form, &logits, &mut loss), &expected, &what);
                }
            }
        }
    }
}

/// What belongs to each row (T, B) in the order of the packed data.
fn pack<T: Copy>(rows: &[T]) -> Vec<T> {
    let numbers: Vec<f32> = (0..rows.len()).map(|i| i as f32).collect();
    let numbers = SeqRef::new(&numbers, SHAPE[0], SHAPE[1], 1).unwrap();
    let packed = PackedSequence::from_padded(numbers, &LENGTHS).unwrap();
    packed.data().iter().map(|&i| rows[i as usize]).collect()
}

#[cfg(feature = "safetensors")]
#[test]
fn losses_are_pytorchs() {
    let fixture = Fixture::open("training");
    for group in ["mse", "cross_entropy"] {
        for (i, settings) in fixture.metadata(group).as_array().unwrap().iter().enumerate() {
            let name = |name: &str| format!("{group}.{i:02}.{name}");
            let [prediction, gradient] =
                if group == "mse" { ["prediction", "d_prediction"] } else { ["logits", "d_logits"] };
            let &[steps, batch, width] = fixture.shape(&name(prediction)) else { panic!("{settings}") };
            let seq = |tensor: &str| Seq::from_slice(&fixture.f32(&name(tensor)), steps, batch, width).unwrap();
            let mask: Vec<bool> = fixture.i64(&name("mask")).iter().map(|&mark| mark == 1).collect();
            let lengths: Vec<usize> = fixture.i64(&name("lengths")).iter().map(|&len| len as usize).collect();
            let (ragged, kind) = match settings["steps"].as_str().unwrap().strip_prefix("ragged_") {
                Some(kind) => (true, kind),
                None => (false, settings["steps"].as_str().unwrap()),
            };
            let at = match kind {
                "every" => Steps::Every,
                "last" => Steps::Last,
                _ => Steps::Mask(&mask),
            };
            let ends = |b: usize| if ragged { lengths[b] - 1 } else { steps - 1 };
            let (target, labels, ends_of_target, weights);
            let mut squared_error;
            let mut entropy;
            let loss: &mut dyn Loss = if group == "mse" {
                target = seq("target");
                ends_of_target =
                    (0..batch).flat_map(|b| target.view().step(ends(b)).row(b).to_vec()).collect::<Vec<_>>();
                squared_error = match kind {
                    "last" => MeanSquaredError::new(SeqRef::new(&ends_of_target, 1, batch, width).unwrap()).at(at),
                    _ => MeanSquaredError::new(&target).at(at),
                };
                &mut squared_error
            } else {
                let all = fixture.i64(&name("labels"));
                labels = match kind {
                    "last" => (0..batch).map(|b| all[ends(b) * batch + b]).collect(),
                    _ => all,
                };
                weights = fixture.try_f32(&name("weights"));
                entropy = CrossEntropy::new(&labels)
                    .at(at)
                    .label_smoothing(settings["label_smoothing"].as_f64().unwrap_or(0.0) as f32)
                    .ignore_index(settings["ignore_index"].as_i64().unwrap_or(IGNORE_INDEX));
                if let Some(weights) = &weights {
                    entropy = entropy.class_weights(weights);
                }
                &mut entropy
            };
            let prediction = seq(prediction);
            let (value, d) = if ragged {
                let packed = PackedSequence::from_padded(prediction.view(), &lengths).unwrap();
                let mut d = packed.zeros_like(width).unwrap();
                (loss.evaluate((&packed).into(), d.seq_mut()).unwrap(), d.to_padded(steps).unwrap())
            } else {
                let mut d = dirty(prediction.clone());
                (loss.evaluate((&prediction).into(), d.view_mut()).unwrap(), d)
            };
            let expected = wide(&fixture.f32(&name("loss")));
            if expected[0].is_nan() {
                assert!(value.is_nan(), "{settings}");
            } else {
                assert_close(&[value], &expected, &settings.to_string());
            }
            assert_close(d.data(), &wide(&fixture.f32(&name(gradient))), &settings.to_string());
        }
    }
}

/// The short forms are the losses at every step, bit by bit.
#[test]
fn the_short_forms_are_the_losses_at_every_step() {
    let (prediction, target, labels) = (draw(1), draw(2), labels());
    let (mut short, mut long) = (Seq::default(), dirty(draw(1)));
    let value = mse(prediction.view(), target.view(), &mut short).unwrap();
    let same = MeanSquaredError::new(&target).evaluate((&prediction).into(), long.view_mut()).unwrap();
    assert_eq!(value.to_bits(), same.to_bits());
    assert_same_bits(short.data(), long.data(), "mse");
    let all = vec![true; labels.len()];
    let value = cross_entropy(prediction.view(), &labels, &mut short).unwrap();
    let same = CrossEntropy::new(&labels).at(Steps::Mask(&all)).evaluate((&prediction).into(), long.view_mut());
    assert_eq!(value.to_bits(), same.unwrap().to_bits());
    assert_same_bits(short.data(), long.data(), "cross-entropy");
}

#[test]
fn the_mean_over_nothing_is_nan_and_its_gradient_zero() {
    let [steps, batch, _] = SHAPE;
    let (prediction, target, n) = (draw(1), draw(2), steps * batch);
    let (nothing, ignored, labels) = (vec![false; n], vec![IGNORE_INDEX; n], vec![0; n]);
    let mut losses: [Box<dyn Loss>; 4] = [
        Box::new(MeanSquaredError::new(&target).at(Steps::Mask(&nothing))),
        Box::new(CrossEntropy::new(&labels).at(Steps::Mask(&nothing))),
        Box::new(CrossEntropy::new(&ignored)),
        Box::new(CrossEntropy::new(&ignored).label_smoothing(0.1).class_weights(&WEIGHTS)),
    ];
    for loss in &mut losses {
        let (value, d) = evaluate("sequence first", &prediction, &mut **loss);
        assert!(value.is_nan());
        assert!(d.iter().all(|&d| d == 0.0));
    }
    let (empty, mut d) = (Seq::zeros(0, 3, 2).unwrap(), Seq::default());
    assert!(mse(empty.view(), empty.view(), &mut d).unwrap().is_nan());
    assert!(cross_entropy(empty.view(), &[], &mut d).unwrap().is_nan());
    let mut last = CrossEntropy::new(&[0, 1, 0]).at(Steps::Last);
    assert!(last.evaluate((&empty).into(), d.view_mut()).unwrap().is_nan());
}

#[test]
fn a_closure_is_a_loss() {
    let prediction = draw(1);
    let mut calls = 0;
    let mut own = |prediction: SeqRef<'_>, mut d: SeqMut<'_>| {
        calls += 1;
        for t in 0..prediction.shape()[0] {
            for b in 0..prediction.step(t).shape()[0] {
                d.step(t).row(b).copy_from_slice(prediction.step(t).row(b));
            }
        }
        Ok(0.5)
    };
    let (value, d) = evaluate("packed", &prediction, &mut own);
    assert_eq!((value, calls), (0.5, 1));
    let packed = PackedSequence::from_padded(prediction.view(), &LENGTHS).unwrap();
    assert_same_bits(&d, packed.to_padded(SHAPE[0]).unwrap().data(), "own");
    let mut failing = |_: SeqRef<'_>, _: SeqMut<'_>| Err(Error::value("rows", "none", 1));
    let mut d = prediction.clone();
    assert_eq!(
        failing.evaluate((&prediction).into(), d.view_mut()).unwrap_err().to_string(),
        "rows: expected none, got 1"
    );
}

#[test]
fn what_does_not_fit_is_an_error_that_names_it() {
    let (prediction, labels) = (draw(1), labels());
    let packed = PackedSequence::from_padded(prediction.view(), &LENGTHS).unwrap();
    let [steps, batch, classes] = SHAPE;
    let refuse = |loss: &mut dyn Loss, prediction: Prediction<'_>, kind, text: &str| {
        let (mut dense, mut ragged) = (draw(1), packed.clone());
        let d = if prediction.values().step(4).shape()[0] < batch { ragged.seq_mut() } else { dense.view_mut() };
        let error = loss.evaluate(prediction, d).unwrap_err();
        assert_eq!((error.kind(), &error.to_string()[..]), (kind, text));
    };
    let dense = Prediction::from(&prediction);
    for (label, shown) in [(11, "11"), (-1, "-1"), (i64::MAX, "9223372036854775807")] {
        let mut labels = labels.clone();
        labels[7] = label;
        let text = format!("labels: expected classes below 11, or -100, got {shown}");
        refuse(&mut CrossEntropy::new(&labels), dense, ErrorKind::Value, &text);
        // Of a row that does not count it is not looked at.
        let mask: Vec<bool> = (0..labels.len()).map(|i| i != 7).collect();
        evaluate("sequence first", &prediction, &mut CrossEntropy::new(&labels).at(Steps::Mask(&mask)));
    }
    let plain = CrossEntropy::new(&labels);
    let text = "labels: shape [5, 4] needs 20 elements, got 19";
    refuse(&mut CrossEntropy::new(&labels[1..]), dense, ErrorKind::Length, text);
    let text = "labels: shape [4] needs 4 elements, got 20";
    refuse(&mut plain.at(Steps::Last), dense, ErrorKind::Length, text);
    let text = "mask: shape [5, 4] needs 20 elements, got 3";
    refuse(&mut plain.at(Steps::Mask(&[true; 3])), dense, ErrorKind::Length, text);
    let text = "class_weights: shape [11] needs 11 elements, got 2";
    refuse(&mut plain.class_weights(&[1.0; 2]), dense, ErrorKind::Length, text);
    let text = "class_weights: expected finite numbers of at least 0, got -1";
    refuse(&mut plain.class_weights(&[-1.0; 11]), dense, ErrorKind::Setting, text);
    let text = "label_smoothing: expected a number in [0, 1], got 1.5";
    refuse(&mut plain.label_smoothing(1.5), dense, ErrorKind::Setting, text);

    let other = Seq::zeros(steps, batch, classes + 1).unwrap();
    let text = "target: expected [5, 4, 11], got [5, 4, 12]";
    refuse(&mut MeanSquaredError::new(&other), dense, ErrorKind::Shape, text);
    let text = "target: expected [1, 4, 11], got [5, 4, 11]";
    refuse(&mut MeanSquaredError::new(&prediction).at(Steps::Last), dense, ErrorKind::Shape, text);
    // Ragged and not, in another order, of other lengths.
    let text = "target: rows of step 0: expected [4], got [3]";
    refuse(&mut MeanSquaredError::new(&packed), dense, ErrorKind::Shape, text);
    let swapped = PackedSequence::from_padded(prediction.view(), &[5, 2, 0, 4]).unwrap();
    let text = "target: expected rows in the order of the prediction, got another order";
    refuse(&mut MeanSquaredError::new(&swapped), (&packed).into(), ErrorKind::Value, text);
    let longer = PackedSequence::from_padded(prediction.view(), &[3, 5, 0, 4]).unwrap();
    let text = "target: rows of step 2: expected [2], got [3]";
    refuse(&mut MeanSquaredError::new(&longer), (&packed).into(), ErrorKind::Shape, text);
    let text = "labels: shape [5, 4] needs 20 elements, got 12";
    refuse(&mut CrossEntropy::new(&labels[..12]), (&packed).into(), ErrorKind::Length, text);

    let mut d = packed.clone();
    let error = CrossEntropy::new(&labels).evaluate(dense, d.seq_mut()).unwrap_err().to_string();
    assert_eq!(error, "d_prediction: rows of step 0: expected [4], got [3]");
    if let Some(isa) = elman::Isa::ALL.iter().copied().find(|&isa| Kernels::of(isa).is_none()) {
        assert_eq!(
            CrossEntropy::new(&labels).isa(isa).evaluate(dense, draw(1).view_mut()).unwrap_err().kind(),
            ErrorKind::Isa
        );
    }
}
