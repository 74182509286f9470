//! Helper threads: the same bits with them and without, however late they are; made and dropped many times.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use elman::stream::Helpers;
use elman::{ErrorKind, Gru, LayerKind, LayerSpec, Lstm, Model, ModelSpec, RecurrentSpec, Rng, Rnn, Stream};

use crate::{bits, on, signal, tiers};

/// Models with big layers, and small ones around them. No layer is a whole number of blocks.
fn specs() -> Vec<ModelSpec> {
    let inner = [LayerSpec::new("gru", RecurrentSpec::gru(vec![150]))];
    let elman = ModelSpec::new(3).layer("rnn", RecurrentSpec::rnn(vec![201, 7, 260])).layer("fc", LayerKind::linear(2));
    let gru = ModelSpec::new(150).layer("block", LayerKind::residual(0, inner)).layer("fc", LayerKind::linear(3));
    let lstm = ModelSpec::new(5).layer("lstm", RecurrentSpec::lstm(vec![105, 105]));
    vec![elman, gru, lstm]
}

fn small() -> Model {
    Lstm::builder(1, 16).model(&mut Rng::new(1)).unwrap()
}

/// The outputs of every step, and the state after them.
fn run(stream: &mut Stream, x: &[f32]) -> Vec<u32> {
    let (inputs, outputs) = (stream.model().inputs(), stream.model().outputs());
    let mut y = vec![0.0; x.len() / inputs * outputs];
    for (x, y) in x.chunks(inputs).zip(y.chunks_mut(outputs)) {
        stream.step(x, y).unwrap();
    }
    let state = stream.state().unwrap();
    [bits(&y), bits(state.h()), bits(state.c())].concat()
}

/// Steps until helpers have done so many parts.
fn run_until_helped(stream: &mut Stream, parts: u64) {
    let (x, mut y) = (vec![0.5; stream.model().inputs()], vec![0.0; stream.model().outputs()]);
    let (begun, enough) = (Instant::now(), stream.helped() + parts);
    while stream.helped() < enough {
        stream.step(&x, &mut y).unwrap();
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "{} of {enough} parts: the helper does not help",
            stream.helped()
        );
    }
}

#[test]
fn the_bits_are_the_same_with_helpers_and_without() {
    for isa in tiers() {
        for (n, spec) in specs().iter().enumerate() {
            let (model, mut rng) = (on(spec, isa, 7), Rng::new(3));
            let x = signal(&mut rng, 100, model.inputs());
            for ratio in [1.0, 1.5] {
                let what = format!("model {n} on {isa}, ratio {ratio}");
                let alone = || Stream::with_rate_ratio(model.clone(), ratio).unwrap();
                let expected = run(&mut alone(), x.data());
                for helpers in [1, 2] {
                    let mut stream = alone().with_helpers(helpers).unwrap();
                    assert!(run(&mut stream, x.data()) == expected, "{what}: before they are engaged");
                    assert_eq!(stream.helped(), 0, "{what}");
                    stream.engage();
                    run_until_helped(&mut stream, 10);
                    for _ in 0..3 {
                        stream.reset();
                        let helped = stream.helped();
                        assert!(run(&mut stream, x.data()) == expected, "{what}: {helpers} helpers");
                        run_until_helped(&mut stream, 1);
                        assert!(stream.helped() > helped, "{what}");
                    }
                    // In blocks, the second half without them.
                    stream.reset();
                    let (middle, outputs) = (50 * model.inputs(), model.outputs());
                    let mut y = vec![0.0; 100 * outputs];
                    stream.block(&x.data()[..middle], &mut y[..50 * outputs]).unwrap();
                    stream.release();
                    stream.block(&x.data()[middle..], &mut y[50 * outputs..]).unwrap();
                    assert!(bits(&y) == expected[..y.len()], "{what}: {helpers} helpers, in blocks");
                }
            }
        }
    }
}

/// A model that is worth a helper, and what it gives.
fn big() -> (Arc<Model>, Vec<f32>, Vec<u32>) {
    let model = Arc::new(Rnn::builder(1, 192).model(&mut Rng::new(1)).unwrap());
    let x: Vec<f32> = (0..3).map(|n| n as f32 * 0.1).collect();
    let expected = run(&mut Stream::new(model.clone()).unwrap(), &x);
    (model, x, expected)
}

/// Keeps every core busy while `work` runs.
fn under_load(work: impl FnOnce()) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        work();
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn streams_with_helpers_are_made_and_dropped_under_load() {
    let (model, x, expected) = big();
    // Once, and not again for another tier: it takes a while, and the threads are the same.
    let once = !cfg!(debug_assertions) && std::env::var_os("ELMAN_ISA").is_none();
    let times = if once { 10_000 } else { 100 };
    under_load(|| {
        for n in 0..times {
            let mut stream = Stream::new(model.clone()).unwrap().with_helpers(1).unwrap();
            // Dropped awake, asleep, at work and on the way to bed.
            if n % 4 > 0 {
                stream.engage();
                assert!(run(&mut stream, &x) == expected, "stream {n}");
            }
            if n % 4 == 2 {
                stream.release();
            }
        }
    });
}

#[test]
fn where_there_is_one_core_a_step_does_without_helpers() {
    let (model, x, expected) = big();
    let Some(cores) = core_affinity::get_core_ids() else {
        eprintln!("skipped: this system does not tell its cores");
        return;
    };
    // A thread of its own, so that no other test is kept on that core; helpers stay where who makes them is kept.
    let on_one_core = move || {
        if !core_affinity::set_for_current(cores[0]) {
            eprintln!("skipped: this system keeps no thread on a core");
            return;
        }
        let mut stream = Stream::new(model).unwrap().with_helpers(2).unwrap();
        stream.engage();
        let begun = Instant::now();
        while stream.missed() == 0 && begun.elapsed() < Duration::from_secs(60) {
            stream.reset();
            assert!(run(&mut stream, &x) == expected);
        }
        assert!(stream.missed() > 0, "{} parts done by helpers that have no core", stream.helped());
    };
    thread::spawn(on_one_core).join().unwrap();
}

#[test]
fn a_helper_has_its_name_and_begins_with_what_it_is_told_to() {
    let (model, x, expected) = big();
    let names = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&names);
    let helpers = Helpers::new(2).name("voice").on_start(move |helper| {
        told.lock().unwrap().push((helper, thread::current().name().map(String::from)));
    });
    assert_eq!(format!("{helpers:?}"), r#"Helpers { count: 2, name: "voice", .. }"#);
    let mut stream = Stream::new(model).unwrap().with_helpers(helpers).unwrap();
    let mut names = names.lock().unwrap();
    names.sort();
    assert_eq!(*names, [(0, Some("voice-0".into())), (1, Some("voice-1".into()))]);
    // A clone has none, and goes on from the same state.
    stream.engage();
    let mut clone = stream.clone();
    assert!(run(&mut stream, &x) == expected && run(&mut clone, &x) == expected);
    assert_eq!((clone.helped(), clone.missed()), (0, 0));
}

#[test]
fn who_has_nothing_to_do_is_refused() {
    let refused = |model: Model, helpers: usize| {
        let error = Stream::new(model).unwrap().with_helpers(helpers).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Setting);
        error.to_string()
    };
    let no_layer = "helpers: expected a recurrent layer of at least 128 KiB, without a projection, with a block of units for \
                    each thread, got a model without one";
    assert_eq!(refused(small(), 1), no_layer);
    let projected = Lstm::builder(1, 300).proj_size(200).model(&mut Rng::new(1)).unwrap();
    assert_eq!(refused(projected, 1), no_layer);
    let gru = || Gru::builder(1, 128).model(&mut Rng::new(1)).unwrap();
    assert_eq!(refused(gru(), 1000), no_layer);
    assert_eq!(refused(gru(), 0), "helpers: expected at least 1, got 0");
    // What there is without helpers does nothing.
    let mut stream = Stream::new(gru()).unwrap();
    stream.engage();
    stream.step(&[1.0], &mut [0.0; 128]).unwrap();
    stream.release();
    assert_eq!((stream.helped(), stream.missed()), (0, 0));
}
