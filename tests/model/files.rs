//! Models in files: PyTorch's state dicts, and what `save` writes.

use std::path::{Path, PathBuf};

use elman::format::TensorFile;
use elman::{Activation, CellSpec, ErrorKind, Input, LayerKind, Model, ModelSpec, Readout, RecurrentSpec, Rng};

use super::{assert_same, draw, everything};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/models/{name}.safetensors"))
}

/// That the model gives what PyTorch gave for the fixture's input.
fn assert_pytorch(model: &Model, name: &str) {
    let io = TensorFile::open(fixture(&format!("{name}_io"))).unwrap();
    let shape = io.info("input").unwrap().shape.to_vec();
    let output = if name == "classifier" {
        let (_, ids) = io.read_integers("input").unwrap();
        let ids: Vec<u32> = ids.into_iter().map(|id| id.try_into().unwrap()).collect();
        model.run(Input::indices(&ids, shape[0], shape[1]).unwrap()).unwrap()
    } else {
        let (_, values) = io.read_f32("input").unwrap();
        let x = elman::tensor::SeqRef::new(&values, shape[0], shape[1], shape[2]).unwrap();
        model.run(x).unwrap()
    };
    let got = [("output", output.values().flat().unwrap()), ("h_n", output.state().h())];
    for (tensor, got) in got {
        let (_, expected) = io.read_f32(tensor).unwrap();
        assert_eq!(got.len(), expected.len(), "{name} {tensor}");
        for (i, (got, expected)) in got.iter().zip(&expected).enumerate() {
            assert!((got - expected).abs() <= 1e-6 * expected.abs().max(1.0), "{name} {tensor} {i}: {got} {expected}");
        }
    }
}

#[test]
fn a_state_dict_is_opened_and_run_with_its_head() {
    assert_pytorch(&Model::open(fixture("head")).unwrap(), "head");
    let bytes = std::fs::read(fixture("head")).unwrap();
    assert_pytorch(&Model::from_bytes(bytes).unwrap(), "head");
    assert_eq!(Model::open(fixture("classifier")).unwrap_err().kind(), ErrorKind::Ambiguous);
    assert_eq!(Model::open(fixture("none")).unwrap_err().kind(), ErrorKind::Io);
}

#[test]
fn what_settles_a_reading_is_saved_with_the_model() {
    let file = TensorFile::open(fixture("classifier")).unwrap();
    let (spec, taken) = ModelSpec::from_state_dict(&file, "embed, gru, last, fc1, relu, fc2").unwrap();
    let mut model = Model::new(spec.batch_first(true)).unwrap();
    model.load(&file, &taken.load_options()).unwrap();
    assert_pytorch(&model, "classifier");
    let again = Model::from_bytes(model.to_bytes().unwrap()).unwrap();
    assert_eq!(again.spec(), model.spec());
    assert_pytorch(&again, "classifier");
}

#[test]
fn a_saved_model_comes_back_to_the_bit() {
    let model = Model::init(everything(), &mut Rng::new(3)).unwrap();
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("model.safetensors");
    model.save(&path).unwrap();
    let again = Model::open(&path).unwrap();
    assert_eq!(again.spec(), model.spec());
    assert_same(again.params().data(), model.params().data(), "parameters");
    let x = draw(&mut Rng::new(4), [6, 2, 3]);
    let (expected, got) = (model.run(&x).unwrap(), again.run(&x).unwrap());
    assert_same(got.values().flat().unwrap(), expected.values().flat().unwrap(), "output");
    assert_eq!(std::fs::read(&path).unwrap(), again.to_bytes().unwrap());
}

/// Parts of parts, and a model whose own layers lie beside them.
#[test]
fn parts_are_saved_behind_their_names() {
    let inner = ModelSpec::new(4).layer("fc", LayerKind::linear(2));
    let encoder =
        ModelSpec::new(3).layer("rnn", RecurrentSpec::gru(vec![4])).layer("", Readout::Last).part("head", inner);
    let decoder = ModelSpec::new(2).layer("rnn", RecurrentSpec::lstm(vec![4]));
    let parts = ModelSpec::new(3).part("encoder", encoder).part("decoder", decoder);
    for spec in [parts.clone(), parts.layer("fc", LayerKind::linear(5))] {
        let model = Model::init(spec, &mut Rng::new(5)).unwrap();
        let bytes = model.to_bytes().unwrap();
        let file = TensorFile::from_bytes(bytes.clone()).unwrap();
        for name in ["encoder.rnn.weight_ih_l0", "encoder.head.fc.bias", "decoder.rnn.weight_hh_l0"] {
            assert!(file.info(name).is_some(), "{name}");
        }
        let again = Model::from_bytes(bytes.clone()).unwrap();
        assert_eq!((again.spec(), again.to_bytes().unwrap()), (model.spec(), bytes));
        let head = |model: &Model| model.part("encoder").unwrap().part("head").unwrap().params().data().to_vec();
        assert_same(&head(&again), &head(&model), "a part of a part");
        assert!(head(&model).iter().any(|&weight| weight != 0.0));
    }
}

#[test]
fn a_file_that_is_not_the_model_is_refused_by_name() {
    let bytes = Model::init(everything(), &mut Rng::new(6)).unwrap().to_bytes().unwrap();
    let file = TensorFile::from_bytes(bytes).unwrap();
    let (_, taken) = ModelSpec::from_file(&file).unwrap();
    let other = ModelSpec::new(3).layer("encoder", RecurrentSpec::gru(vec![6]));
    let error = Model::new(other).unwrap().load(&file, &taken.load_options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Weights);
    assert!(error.to_string().contains("unused, the model has no such tensor"), "{error}");
}

#[test]
fn what_pytorch_has_no_module_for_is_refused_by_name() {
    let mut delayed = RecurrentSpec::gru(vec![3]);
    delayed.state_delay = 2;
    let scaled = Activation::Relu;
    let cases = [
        (
            ModelSpec::new(2).layer("rnn", RecurrentSpec::lstm(vec![3, 4])),
            "rnn: not supported: layers of several sizes",
        ),
        (ModelSpec::new(2).layer("gru", delayed), "gru: not supported: a state delay"),
        (
            ModelSpec::new(2).layer("g", RecurrentSpec::new(CellSpec::rnn(Activation::Sigmoid), vec![3])),
            "g: not supported: this cell in PyTorch",
        ),
        (
            ModelSpec::new(2)
                .layer("", RecurrentSpec::gru(vec![3]))
                .layer("fc", LayerKind::linear(1))
                .layer("", scaled),
            "Model: not supported: a layer at the root of the file beside others",
        ),
        (ModelSpec::new(2).layer("a\"b", LayerKind::linear(1)), "a name that Python's strings do not hold"),
    ];
    for (spec, expected) in cases {
        let error = spec.pytorch_module().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains(expected), "{error}");
    }
}
