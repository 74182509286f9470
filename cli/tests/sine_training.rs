//! The sine in training, held against PyTorch: 300 iterations from the same parameters.

#[path = "../../tests/common/fixtures.rs"]
mod fixtures;

use elman_cli::sine::{Config, Sine};
use fixtures::Fixture;

fn assert_close(got: &[f32], expected: &[f32], tolerance: f64, what: &str) {
    let largest = expected.iter().map(|x| f64::from(x.abs())).fold(0.0, f64::max);
    for (i, (&got, &expected)) in got.iter().zip(expected).enumerate() {
        let distance = (f64::from(got) - f64::from(expected)).abs() / largest;
        assert!(distance <= tolerance, "{what}[{i}]: {got} instead of {expected}, {distance:e} of the largest away");
    }
}

#[test]
fn three_hundred_iterations_of_the_sine() {
    let fixture = Fixture::open("sine_training");
    let mut sine = Sine::new(Config::default()).unwrap();
    let names: Vec<String> = sine.model().params().iter().map(|(name, ..)| name.into()).collect();
    let wanted =
        ["rnn.weight_ih_l0", "rnn.weight_hh_l0", "rnn.bias_ih_l0", "rnn.bias_hh_l0", "linear.weight", "linear.bias"];
    assert_eq!(names, wanted);
    for name in &names {
        let key = format!("initial.{name}");
        sine.params_mut().set(name, fixture.shape(&key), &fixture.f32(&key)).unwrap();
    }
    let starts = fixture.i64("starts");
    assert_eq!(starts.len(), 300);
    for (i, (start, expected)) in starts.into_iter().zip(fixture.f32("losses")).enumerate() {
        let loss = sine.step_from(usize::try_from(start).unwrap()).unwrap();
        let distance = (f64::from(loss) - f64::from(expected)).abs() / f64::from(expected);
        assert!(distance <= 1e-4, "iteration {i}: loss {loss} instead of {expected}, {distance:e} away");
    }
    for name in &names {
        let (_, values) = sine.model().params().named(name).unwrap();
        assert_close(values, &fixture.f32(&format!("final.{name}")), 1e-4, name);
    }
}
