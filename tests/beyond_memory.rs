//! Sizes inside every stated range that no machine has the memory for: an error that names the bytes, and nothing is
//! allocated. Where a size might fit somewhere, it is tried where the system tells that it does not.

use elman::internals::{Cell, NetworkConfig, Recurrent, available_memory};
use elman::loss::MeanSquaredError;
use elman::optim::{Sgd, SgdConfig};
use elman::params::ParamTable;
use elman::tensor::{Seq, SeqRef};
use elman::train::{Trainer, TrainingState};
use elman::{ErrorKind, Gru, LayerKind, Lstm, Model, ModelSpec, Result, Rng};

/// That it is an error of memory about `name`, and tells the bytes.
fn assert_beyond<T>(result: Result<T>, name: &str) {
    let Err(error) = result else { panic!("{name}: no error") };
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Memory, "{text}");
    assert!(text.starts_with(&format!("{name}: needs ")) && text.contains(" bytes"), "{text}");
}

/// Whether the system tells that it has less; else the test says that it is skipped.
fn has_less_than(bytes: u64) -> bool {
    let less = available_memory().is_some_and(|available| available < bytes);
    if !less {
        eprintln!("skipped: this machine may have {bytes} bytes");
    }
    less
}

#[test]
fn sequences() {
    // Four petabytes: beyond what a process can address.
    assert_beyond(Seq::zeros(1 << 50, 1, 1), "sequence");
    if has_less_than(4 << 40) {
        assert_beyond(Seq::zeros(1 << 40, 1, 1), "sequence");
    }
}

#[test]
fn networks() {
    let network = |hidden| Recurrent::new(NetworkConfig::new(Cell::Lstm, 1, vec![hidden]), &mut ParamTable::new(), "");
    assert_beyond(network(1 << 23), "recurrent layers");
    if has_less_than(64 << 30) {
        assert_beyond(network(1 << 16), "recurrent layers");
        assert_beyond(Lstm::builder(1, 1 << 16).model(&mut Rng::new(1)), "recurrent layers");
    }
}

/// A spec of a few bytes may be a file's.
#[test]
fn layers_as_wide_as_a_spec_says() {
    let of = |kind| Model::new(ModelSpec::new(1 << 50).layer("layer", kind));
    assert_beyond(of(LayerKind::scale(vec![1.0], vec![0.0])), "layer: gain");
    assert_beyond(of(LayerKind::linear(1)), "parameters");
}

/// Rows without steps take no room in the input, and have states all the same.
#[test]
fn states() {
    let model = Gru::builder(3, 8).model(&mut Rng::new(1)).unwrap();
    let rows = 1 << 46;
    let x = SeqRef::new(&[], 0, rows, 3).unwrap();
    assert_beyond(model.run(x), "h_0");
    assert_beyond(model.forward(x, &mut TrainingState::new(1)), "h_0");
    assert_beyond(model.zero_state(rows), "h_0");
}

/// Of an LSTM of 262,144 units with a projection to one, for a million steps: four mebibytes of input, four tebibytes of
/// tape. The step changes nothing, and a shorter one goes on.
#[test]
fn tapes() {
    let (steps, hidden) = (1 << 20, 1 << 18);
    if !has_less_than(4 << 40) {
        return;
    }
    let mut model = Lstm::builder(1, hidden).proj_size(1).model(&mut Rng::new(1)).unwrap();
    let mut trainer = Trainer::new(Sgd::new(model.params(), SgdConfig::default().lr(0.0)).unwrap());
    let x = Seq::zeros(steps, 1, 1).unwrap();
    assert_beyond(trainer.step(&mut model, &x, &mut MeanSquaredError::new(&x)), "tape");
    assert_eq!(trainer.training_state().step(), 0);
    let x = Seq::zeros(1, 1, 1).unwrap();
    trainer.step(&mut model, &x, &mut MeanSquaredError::new(&x)).unwrap();
    assert_eq!(trainer.training_state().step(), 1);
}
