//! Parts of a model: what they may be called, and whose their parameters are.

use elman::optim::{Adam, AdamConfig, AdamW, AdamWConfig, Sgd, SgdConfig};
use elman::{Activation, ErrorKind, LayerKind, LayerSpec, Model, ModelSpec, Rng};

fn part() -> ModelSpec {
    ModelSpec::new(3).layer("fc", LayerKind::linear(2))
}

#[test]
fn a_name_is_of_one_part_or_layer() {
    let fc = || LayerKind::linear(3);
    let within = |name: &str| ModelSpec::new(3).layer("net", LayerKind::residual(0, vec![LayerSpec::new(name, fc())]));
    for (spec, got) in [
        (part().part("a", part()).part("a", part()), "'a' beside the part 'a'"),
        (part().part("a.b", part()).part("a", part()), "'a' beside the part 'a.b'"),
        (part().part("fc", part()), "'fc' beside the layer 'fc'"),
        (part().layer("out", Activation::Tanh).part("out", part()), "'out' beside the layer 'out'"),
        (ModelSpec::new(3).layer("a.fc", fc()).part("a", part()), "'a' beside the layer 'a.fc'"),
        (within("a").part("net.a", part()), "'net.a' beside the parameter 'net.a.weight'"),
    ] {
        let error = Model::new(spec).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Setting, "{error}");
        assert_eq!(error.to_string(), format!("part name: expected one that is not taken, got {got}"));
    }
    let error = Model::new(part().part("", part())).unwrap_err();
    assert_eq!(error.to_string(), "part name: expected one that is not empty, got ''");
    // A beginning without a dot is nothing in common, and parts of parts have names of their own.
    let spec = part().part("f", part()).part("fcs", part().part("f", part())).part("a.b", part());
    assert!(Model::new(spec).is_ok());
}

#[test]
fn an_optimiser_without_parameters_is_refused() {
    let spec = ModelSpec::new(3).part("encoder", part()).part("decoder", part());
    let model = Model::init(spec, &mut Rng::new(1)).unwrap();
    let text =
        "parameters: expected at least 1 (a model's parts have their own, each with an optimiser: Model::part), got 0";
    let params = model.params();
    for error in [
        Adam::new(params, AdamConfig::default()).unwrap_err(),
        AdamW::new(params, AdamWConfig::default()).unwrap_err(),
        Sgd::new(params, SgdConfig::default()).unwrap_err(),
        Sgd::new(params, SgdConfig::default().momentum(0.5)).unwrap_err(),
    ] {
        assert_eq!((error.kind(), &error.to_string()[..]), (ErrorKind::Setting, text));
    }
    assert!(Adam::new(model.part("encoder").unwrap().params(), AdamConfig::default()).is_ok());
}

/// A file with what no part was given would pass for a trained one.
#[cfg(feature = "safetensors")]
#[test]
fn a_model_with_a_part_without_parameters_is_not_saved() {
    let spec = ModelSpec::new(3).part("encoder", part()).part("decoder", part().part("head", part()));
    let mut model = Model::new(spec).unwrap();
    drop(model.part_mut("encoder").unwrap().params_mut());
    drop(model.part_mut("decoder").unwrap().params_mut());
    let error = model.to_bytes().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stale);
    assert!(error.to_string().starts_with("decoder.head: parameters were not given yet"), "{error}");
    let file = std::env::temp_dir().join("elman-part-without-parameters.safetensors");
    assert_eq!(model.save(&file).unwrap_err().kind(), ErrorKind::Stale);
    drop(model.part_mut("decoder").unwrap().part_mut("head").unwrap().params_mut());
    assert!(model.to_bytes().is_ok());
}

/// A load that fails gives no parameters.
#[cfg(feature = "safetensors")]
#[test]
fn a_model_is_without_parameters_after_a_load_that_failed() {
    use elman::format::TensorFile;
    let drawn = |spec| Model::init(spec, &mut Rng::new(1)).unwrap();
    let other = drawn(ModelSpec::new(3).layer("", elman::RecurrentSpec::gru(vec![2])));
    let [own, other] = [drawn(part()), other].map(|model| TensorFile::from_bytes(model.to_bytes().unwrap()).unwrap());
    let mut model = Model::new(part()).unwrap();
    assert_eq!(model.load(&other, &Default::default()).unwrap_err().kind(), ErrorKind::Weights);
    assert!(model.loaded().is_none());
    assert_eq!(model.to_bytes().unwrap_err().kind(), ErrorKind::Stale);
    model.load(&own, &Default::default()).unwrap();
    assert!(model.loaded().is_some() && model.to_bytes().is_ok());
}
