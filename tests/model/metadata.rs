//! What a model's file says besides its layers and parameters.

use elman::format::{SPEC_KEY, TensorFile, tensors_to_bytes};
use elman::{ErrorKind, Gru, Model, Rng};

fn model() -> Model {
    Gru::builder(1, 3).linear("fc", 1).model(&mut Rng::new(1)).unwrap()
}

#[test]
fn metadata_is_read_kept_and_saved() {
    let mut first = model();
    assert_eq!((first.metadata("sample_rate"), first.sample_rate().unwrap()), (None, None));
    for (key, value) in [("sample_rate", "44100"), ("input_level_dbu", "18.3"), ("loudness", "-20"), ("made by", "ä")]
    {
        first.set_metadata(key, value).unwrap();
    }
    first.set_metadata("loudness", " -18.5 ").unwrap();
    let opened = Model::from_bytes(first.to_bytes().unwrap()).unwrap();
    let again = Model::from_bytes(opened.to_bytes().unwrap()).unwrap();
    assert_eq!(again.to_bytes().unwrap(), first.to_bytes().unwrap());
    for model in [&first, &opened, &again, &again.clone()] {
        let keys: Vec<_> = model.all_metadata().map(|(key, _)| key).collect();
        assert_eq!(keys, ["input_level_dbu", "loudness", "made by", "sample_rate"]);
        assert_eq!((model.metadata("made by"), model.metadata(SPEC_KEY)), (Some("ä"), None));
        assert_eq!((model.sample_rate().unwrap(), model.input_level().unwrap()), (Some(44100.0), Some(18.3)));
        assert_eq!((model.output_level().unwrap(), model.loudness().unwrap()), (None, Some(-18.5)));
    }
}

#[test]
fn what_a_save_is_given_comes_before_what_the_model_has() {
    let mut model = model();
    model.set_metadata("rate", "1").unwrap();
    model.set_metadata("loudness", "2").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    model.save_with(&path, [("rate", "3")]).unwrap();
    let file = TensorFile::open(&path).unwrap();
    let found: Vec<_> = file.metadata().filter(|(key, _)| *key != SPEC_KEY).collect();
    assert_eq!(found, [("loudness", "2"), ("rate", "3")]);
}

#[test]
fn metadata_that_cannot_be_is_refused_where_it_is_asked_for() {
    let mut model = model();
    assert_eq!(model.set_metadata(SPEC_KEY, "elman 1").unwrap_err().kind(), ErrorKind::Setting);
    for rate in ["48 kHz", "0", "-1", "inf", "NaN", ""] {
        model.set_metadata("sample_rate", rate).unwrap();
        let error = model.sample_rate().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Value);
        let expected = format!("metadata 'sample_rate': expected a number of Hz above 0, got '{rate}'");
        assert_eq!(error.to_string(), expected);
    }
    model.set_metadata("loudness", "-inf").unwrap();
    assert_eq!(model.loudness().unwrap_err().kind(), ErrorKind::Value);
    // A file of another kind of model may use the key for something else: it opens.
    let (ih, hh) = ([0.0; 4 * 3], [0.0; 4 * 4]);
    let tensors = [("weight_ih_l0", &[4, 3][..], &ih[..]), ("weight_hh_l0", &[4, 4], &hh)];
    let bytes = tensors_to_bytes(&tensors, [("sample_rate", "high"), ("format", "pt")]).unwrap();
    let model = Model::from_bytes(bytes).unwrap();
    assert_eq!((model.metadata("format"), model.metadata("sample_rate")), (Some("pt"), Some("high")));
}
