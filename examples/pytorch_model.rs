//! Runs models that PyTorch saved, head included, and compares them with what PyTorch computed.
//!
//!     cargo run --release --example pytorch_model

use elman::format::TensorFile;
use elman::tensor::SeqRef;
use elman::{Input, Model, ModelSpec, Output};

fn main() -> elman::Result<()> {
    // What `safetensors.torch.save_file(net.state_dict(), …)` wrote; beside each, an input with the output that PyTorch gave.
    let path = |name| format!("{}/tests/fixtures/models/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));

    // An LSTM and a linear layer: a module that is read in one way only.
    let known = TensorFile::open(path("head_io"))?;
    let (shape, input) = known.read_f32("input")?;
    let model = Model::open(path("head"))?;
    println!("the layers:\n{}", model.spec());
    compare(&model.run(SeqRef::new(&input, shape[0], shape[1], shape[2])?)?, &known)?;

    // A classifier: a state dict says neither in which order its layers are nor what lies between them.
    let (known, file) = (TensorFile::open(path("classifier_io"))?, TensorFile::open(path("classifier"))?);
    println!("{}", ModelSpec::from_file(&file).expect_err("there are several readings"));
    let (spec, taken) = ModelSpec::from_state_dict(&file, "embed, gru, last, fc1, relu, fc2")?;
    println!("{taken}");
    let mut model = Model::new(spec.batch_first(true))?;
    model.load(&file, &taken.load_options())?;
    let (shape, words) = known.read_integers("input")?;
    let words: Vec<u32> = words.iter().map(|&word| word as u32).collect();
    compare(&model.run(Input::indices(&words, shape[0], shape[1])?)?, &known)
}

fn compare(output: &Output<'_>, known: &TensorFile) -> elman::Result<()> {
    let (_, expected) = known.read_f32("output")?;
    let got = output.values().flat().expect("a whole output");
    let farthest = got.iter().zip(&expected).map(|(got, expected)| (got - expected).abs()).fold(0.0, f32::max);
    println!("output {:?}, at most {farthest:.1e} from PyTorch's", output.values().shape());
    assert!(got.len() == expected.len() && farthest < 2e-6);
    Ok(())
}
