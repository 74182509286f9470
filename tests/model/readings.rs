//! State dicts that have one reading, and those that have not.

use std::path::Path;

use elman::format::{Assumed, TensorFile};
use elman::tensor::SeqRef;
use elman::{ErrorKind, Input, Model, ModelSpec};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};

/// Sixteen models of PyTorch's, each run from its names and sizes alone.
#[test]
fn what_has_one_reading_gives_pytorchs_output() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/clear_models.safetensors");
    let contents = std::fs::read(path).unwrap();
    let all = SafeTensors::deserialize(&contents).unwrap();
    let floats = |name: &str| {
        let tensor = all.tensor(name).unwrap();
        let values = tensor.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes));
        (tensor.shape().to_vec(), values.collect::<Vec<_>>())
    };
    let cases: Vec<_> = all.names().into_iter().filter_map(|name| name.strip_suffix("//input")).collect();
    assert_eq!(cases.len(), 16);
    for case in cases {
        let own = all.iter().filter_map(|(name, view)| Some((name.strip_prefix(&format!("{case}/"))?, view)));
        let own: Vec<_> = own.filter(|(name, _)| !name.starts_with('/')).collect();
        let model = Model::from_bytes(serialize(own, None).unwrap()).unwrap_or_else(|error| panic!("{case}: {error}"));

        let input = format!("{case}//input");
        let shape = all.tensor(&input).unwrap().shape().to_vec();
        let output = if all.tensor(&input).unwrap().dtype() == Dtype::I64 {
            let ids = all.tensor(&input).unwrap();
            let ids = ids.data().as_chunks().0.iter().map(|&bytes| u32::try_from(i64::from_le_bytes(bytes)).unwrap());
            let ids: Vec<_> = ids.collect();
            model.run(Input::indices(&ids, shape[0], shape[1]).unwrap()).unwrap()
        } else {
            let (_, x) = floats(&input);
            model.run(SeqRef::new(&x, shape[0], shape[1], shape[2]).unwrap()).unwrap()
        };
        let (shape, expected) = floats(&format!("{case}//output"));
        assert_eq!(output.values().shape()[..], shape, "{case}");
        for (i, (got, expected)) in output.values().flat().unwrap().iter().zip(&expected).enumerate() {
            assert!((got - expected).abs() <= 1e-6 * expected.abs().max(1.0), "{case} {i}: {got} {expected}");
        }
    }
}

/// An opened model says what was made of its file; one that says what it is leaves nothing to assume.
#[test]
fn an_opened_model_keeps_what_was_assumed_and_converted() {
    let open = |tensors: &[(&str, Dtype, &[usize])], nonlinearity: Option<&str>| {
        let size = |dtype, shape: &[usize]| if dtype == Dtype::F32 { 4 } else { 2 } * shape.iter().product::<usize>();
        let bytes: Vec<_> = tensors.iter().map(|(_, dtype, shape)| vec![0; size(*dtype, shape)]).collect();
        let views = tensors
            .iter()
            .zip(&bytes)
            .map(|((name, dtype, shape), bytes)| (*name, TensorView::new(*dtype, shape.to_vec(), bytes).unwrap()));
        let metadata = nonlinearity.map(|word| [("nonlinearity".to_string(), word.to_string())].into());
        Model::from_bytes(serialize(views, metadata).unwrap()).unwrap()
    };
    let rnn: [(&str, Dtype, &[usize]); 2] =
        [("rnn.weight_ih_l0", Dtype::BF16, &[4, 3]), ("rnn.weight_hh_l0", Dtype::F32, &[4, 4])];
    let mut head = rnn.to_vec();
    head.extend([("fc.weight", Dtype::F32, &[2, 4][..]), ("fc.bias", Dtype::F32, &[2])]);

    let model = open(&rnn, None);
    let taken = model.taken().unwrap();
    assert_eq!(taken.assumed, [Assumed::Tanh]);
    assert_eq!(taken.to_string(), "taken: rnn (1 layer, tanh, as the file does not say) at every step");
    let converted = &model.loaded().unwrap().converted;
    assert_eq!(converted.iter().map(|converted| converted.tensors).collect::<Vec<_>>(), [1]);
    assert_eq!(open(&head, None).taken().unwrap().assumed, [Assumed::Tanh, Assumed::LinearAtEveryStep]);
    assert_eq!(open(&rnn, Some("relu")).taken().unwrap().assumed, []);

    let again = Model::from_bytes(model.to_bytes().unwrap()).unwrap();
    assert_eq!(again.taken().unwrap().to_string(), "taken: what the file says of itself");
    assert_eq!((&again.taken().unwrap().assumed[..], &again.loaded().unwrap().converted[..]), (&[][..], &[][..]));
    assert!(Model::new(again.spec().clone()).unwrap().taken().is_none());
}

fn refused(case: &str, tensors: &[(&str, &[usize])], expected: &[&str]) {
    let bytes: Vec<_> = tensors.iter().map(|(_, shape)| vec![0; 4 * shape.iter().product::<usize>()]).collect();
    let views = tensors
        .iter()
        .zip(&bytes)
        .map(|((name, shape), bytes)| (*name, TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap()));
    let file = TensorFile::from_bytes(serialize(views, None).unwrap()).unwrap();
    let error = ModelSpec::from_file(&file).expect_err(case);
    assert_eq!(error.kind(), ErrorKind::Ambiguous, "{case}: {error}");
    let text = error.to_string();
    for words in expected.iter().chain(&["more than one reading", "ModelSpec::from_state_dict"]) {
        assert!(text.contains(words), "{case}: no '{words}' in {text}");
    }
}

#[test]
fn what_has_more_than_one_reading_is_refused_with_the_candidates() {
    // From 3 features to 4 units, and a square one from 4 to 4.
    let (ih, hh) = (("rnn.weight_ih_l0", &[4, 3][..]), ("rnn.weight_hh_l0", &[4, 4][..]));
    let square = ("rnn.weight_ih_l0", &[4, 4][..]);
    let (fc, fc_bias) = (("fc.weight", &[2, 4][..]), ("fc.bias", &[2][..]));
    let network = "rnn (1 layer)";
    refused(
        "two linear layers, of which the second follows the first",
        &[ih, hh, fc, fc_bias, ("fc2.weight", &[5, 2]), ("fc2.bias", &[5])],
        &[network, "fc: a linear layer 4 → 2", "fc2: a linear layer 2 → 5"],
    );
    refused(
        "two heads",
        &[ih, hh, fc, fc_bias, ("value.weight", &[1, 4]), ("value.bias", &[1])],
        &[network, "fc: a linear layer 4 → 2", "value: a linear layer 4 → 1"],
    );
    refused(
        "two networks",
        &[ih, hh, ("gru.weight_ih_l0", &[12, 4]), ("gru.weight_hh_l0", &[12, 4])],
        &[network, "gru (1 layer)"],
    );
    refused("a norm", &[ih, hh, ("norm.weight", &[4]), ("norm.bias", &[4])], &["norm: a norm"]);
    let batch =
        [ih, hh, ("bn.weight", &[4][..]), ("bn.bias", &[4]), ("bn.running_mean", &[4]), ("bn.running_var", &[4])];
    refused("a batch norm", &batch, &["bn: a batch norm"]);
    refused("a convolution", &[ih, hh, ("conv.weight", &[3, 1, 5]), ("conv.bias", &[3])], &["conv: a convolution"]);
    refused(
        "a square linear layer that fits before and behind",
        &[square, hh, ("fc.weight", &[4, 4]), ("fc.bias", &[4])],
        &[network, "fc: a linear layer 4 → 4"],
    );
    refused(
        "a matrix that may be an embedding or a head",
        &[square, hh, ("m.weight", &[9, 4])],
        &[network, "m: an embedding of 9 by 4, or a linear layer"],
    );
    refused(
        "two embeddings",
        &[ih, hh, ("word.weight", &[9, 3]), ("place.weight", &[7, 3])],
        &["word: an embedding of 9 by 3", "place: an embedding of 7 by 3"],
    );
    refused(
        "a linear layer that follows nothing",
        &[ih, hh, ("fc.weight", &[2, 7]), ("fc.bias", &[2])],
        &["fc: a linear layer 7 → 2"],
    );
    refused(
        "numbers at the root",
        &[ih, hh, ("in_scale", &[1])],
        &["the root: a module of an unknown kind (in_scale)"],
    );
    refused(
        "a weight norm",
        &[ih, hh, ("fc.weight_g", &[2, 1]), ("fc.weight_v", &[2, 4]), fc_bias],
        &["fc: a weight norm"],
    );
}
