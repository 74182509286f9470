//! Gradients through all parts, searches against all there is to be found, and parts that do not fit.

use elman::train::TrainingState;
use elman::{Params, Rng, Upstream};

use super::beam::Search;
use super::network::spec;
use super::step::Minibatch;
use super::*;
use crate::flow::LayerFlow;
use crate::net::{Cell, Net};

/// Each cell, with attention and without, and one way and both.
fn cases() -> impl Iterator<Item = Settings> {
    let cells = [Cell::Rnn, Cell::Gru, Cell::Lstm];
    let ways = [(Attention::None, false), (Attention::None, true), (Attention::Dot, false), (Attention::Dot, true)];
    cells.into_iter().flat_map(move |cell| {
        ways.map(|(attention, bidirectional)| {
            let net = Net { cell, hidden: 5, layers: 2, bidirectional, embedding: 3, dropout: 0.0 };
            Settings { attention, net, ..Settings::default() }
        })
    })
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let sources: [&[f32]; 3] = [&[1.0, 2.0], &[3.0, 0.0, 1.0, 2.0], &[2.0]];
    let targets: [&[f32]; 3] = [&[0.0, 3.0, 4.0, 3.0, 1.0], &[0.0, 2.0, 1.0], &[0.0, 4.0, 3.0, 1.0]];
    let batch = Minibatch::new(&sources, &targets).unwrap();
    assert_eq!(batch.count, 9);
    for settings in cases() {
        let model = Model::init(spec(&settings, 4, 5), &mut Rng::new(5)).unwrap();
        let networks = Networks::of(&model, &settings, 4, 5).unwrap();
        let (mut memory, mut training) = (Memory::default(), TrainingState::new(1));
        let mut gradients: [Vec<f32>; 3] = Default::default();
        let mut give = |part: usize, d: &mut Params| {
            gradients[part] = d.data().to_vec();
            Ok(())
        };
        let loss = networks.learn(&batch, &mut memory, &mut training, Threads::one(), &mut give).unwrap();
        let of = |networks: &Networks| networks.loss(&batch, &mut Memory::default(), Threads::one()).unwrap();
        assert!((loss - of(&networks)).abs() < 1e-6);
        // The error of the difference is of the order of h², that of rounding of 1e-7 / h.
        let h = 1e-2;
        for (part, gradients) in gradients.iter().enumerate() {
            // Some of them: all would take a while.
            for index in (0..gradients.len()).step_by(7) {
                let moved = |by: f32| {
                    let mut moved = networks.clone();
                    let model = [&mut moved.encoder, &mut moved.decoder, &mut moved.head].into_iter().nth(part);
                    model.unwrap().params_mut().data_mut()[index] += by;
                    f64::from(of(&moved))
                };
                let expected = (moved(h) - moved(-h)) / f64::from(2.0 * h);
                let d = f64::from(gradients[index]);
                assert!((d - expected).abs() < 3e-4, "{settings:?}: {part}, {index}: {d} instead of {expected}");
            }
        }
    }
}

#[test]
fn the_flows_of_the_encoder_begin_as_the_whole_backward_pass_ends() {
    let sources: [&[f32]; 3] = [&[1.0, 2.0, 2.0, 0.0], &[3.0, 0.0, 1.0, 2.0], &[2.0, 1.0, 3.0, 3.0]];
    let targets: [&[f32]; 3] = [&[0.0, 3.0, 1.0], &[0.0, 2.0, 4.0, 2.0, 1.0], &[0.0, 4.0, 3.0, 1.0]];
    let batch = Minibatch::new(&sources, &targets).unwrap();
    for settings in cases() {
        let model = Model::init(spec(&settings, 4, 5), &mut Rng::new(7)).unwrap();
        let networks = Networks::of(&model, &settings, 4, 5).unwrap();
        let (loss, flows) = networks.flows(&sources, &targets).unwrap();
        assert!((loss - networks.loss(&batch, &mut Memory::default(), Threads::one()).unwrap()).abs() < 1e-6);

        let (Memory { mut encoder, mut decoder, mut head }, mut training) = (Memory::default(), TrainingState::new(0));
        let one = Threads::one();
        let encoded = networks.encoder.forward_with(&batch.x, None, &mut training.clone(), &mut encoder, one).unwrap();
        let above = (encoded.output(), encoded.state());
        let mut give = |_: usize, _: &mut Params| Ok(());
        let asked = networks.ask(&batch, above, (&mut decoder, &mut head), &mut training, one, &mut give).unwrap();
        let upstream = asked.d_encoded.as_ref().map_or(Upstream::default(), Upstream::output);
        let gradients = encoded.backward(upstream.and_last_state(&asked.d_last).want_state()).unwrap();
        let d_first = gradients.state().unwrap();
        assert_eq!(flows.len(), d_first.h_shape()[0]);
        for (at, LayerFlow { flow, .. }) in flows.iter().enumerate() {
            for (norms, d) in [(flow.norms(), d_first.h()), (flow.cell_norms(), d_first.c())] {
                let Some(&got) = norms[0].first() else { continue };
                let expected = d[at * 15..][..15].iter().map(|d| d * d).sum::<f32>().sqrt();
                let what = format!("{settings:?}, {at}: {got} instead of {expected}");
                assert!(expected > 1e-6 && (got - expected).abs() < 1e-4 * expected, "{what}");
                assert_eq!(norms[0].len(), 4);
            }
        }
    }
}

#[test]
fn parts_that_do_not_fit_are_told() {
    let settings = Settings::default();
    let model = Model::init(spec(&settings, 4, 5), &mut Rng::new(5)).unwrap();
    let told = |model: &Model, attention| {
        let settings = Settings { attention, ..Settings::default() };
        Networks::of(model, &settings, 4, 5).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(told(&model, Attention::None), Ok(()));
    let attends = told(&model, Attention::Dot).unwrap_err();
    assert!(attends.starts_with("model: expected ") && attends.contains("concat"), "{attends}");
    let alone = told(model.part("encoder").unwrap(), Attention::None).unwrap_err();
    assert_eq!(alone, "model: expected the parts 'encoder', 'decoder', 'head', got none");
}

/// Every target of at most three tokens of a network, with the logarithm of its probability by teacher forcing.
fn all_targets(networks: &Networks, source: &[f32], [begin, end]: [f32; 2]) -> Vec<(Vec<usize>, f64)> {
    let inside = [2.0, 3.0, 4.0];
    let mut targets: Vec<Vec<f32>> = vec![Vec::new()];
    for len in 1..=3 {
        let before: Vec<_> = targets.iter().filter(|target| target.len() + 1 == len).cloned().collect();
        targets.extend(before.iter().flat_map(|target| inside.map(|token| [&target[..], &[token]].concat())));
    }
    let score = |target: Vec<f32>| {
        let whole = [&[begin], &target[..], &[end]].concat();
        let batch = Minibatch::new(&[source], &[&whole]).unwrap();
        let loss = networks.loss(&batch, &mut Memory::default(), Threads::one()).unwrap();
        (target.into_iter().map(|token| token as usize).collect(), -f64::from(loss) * batch.count as f64)
    };
    targets.into_iter().map(score).collect()
}

#[test]
fn a_wide_beam_finds_the_likeliest_and_its_probability() {
    for settings in cases() {
        let mut model = Model::init(spec(&settings, 4, 5), &mut Rng::new(8)).unwrap();
        // As they are drawn all targets are nearly as likely; and no long one is, so that three tokens are enough.
        let mut params = model.part_mut("head").unwrap().params_mut();
        params.data_mut().iter_mut().for_each(|w| *w *= 4.0);
        let (shape, bias) = params.named("fc.bias").map(|(shape, bias)| (shape.to_vec(), bias.to_vec())).unwrap();
        params.set("fc.bias", &shape, &[bias[0], bias[1] + 1.0, bias[2], bias[3], bias[4]]).unwrap();
        drop(params);
        let networks = Networks::of(&model, &settings, 4, 5).unwrap();
        let sources: [&[f32]; 3] = [&[1.0, 2.0], &[3.0, 0.0, 1.0, 2.0], &[2.0]];
        for length_power in [0.0, 1.0] {
            let search = |width| {
                let search =
                    Search { networks: &networks, width, longest: 4, length_power, begin: 0, end: 1, never: vec![0] };
                search.run(&sources, &mut Memory::default()).unwrap()
            };
            let (wide, greedy) = (search(60), search(1));
            for ((source, wide), greedy) in sources.iter().zip(wide).zip(greedy) {
                assert_eq!((wide.len(), greedy.len()), (60, 1));
                assert!(wide.is_sorted_by(|a, b| a.score >= b.score) && wide[0].score >= greedy[0].score - 1e-6);
                for (tokens, sum) in all_targets(&networks, source, [0.0, 1.0]) {
                    let expected = sum / (tokens.len() as f64 + 1.0).powf(length_power);
                    match wide.iter().find(|found| found.tokens == tokens) {
                        Some(found) => assert!((found.score - expected).abs() < 1e-4, "{found:?}: {expected}"),
                        None => assert!(wide[59].score > expected - 1e-4, "{tokens:?} is missing, {expected}"),
                    }
                }
            }
        }
    }
}
