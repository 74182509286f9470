//! Runs a model that PyTorch saved, head included, and compares it with what PyTorch computed.
//!
//!     cargo run --release --example pytorch_model

use elman::Model;
use elman::format::TensorFile;
use elman::tensor::SeqRef;

fn main() -> elman::Result<()> {
    // What `safetensors.torch.save_file(net.state_dict(), …)` wrote of a module with an LSTM and a linear layer.
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/models");
    let model = Model::open(format!("{folder}/head.safetensors"))?;
    println!("the layers:\n{}", model.spec());

    // Beside it lies an input with the output that PyTorch gave for it.
    let known = TensorFile::open(format!("{folder}/head_io.safetensors"))?;
    let (shape, input) = known.read_f32("input")?;
    let (_, expected) = known.read_f32("output")?;
    let output = model.run(SeqRef::new(&input, shape[0], shape[1], shape[2])?)?;

    let got = output.values().flat().expect("a whole output");
    let farthest = got.iter().zip(&expected).map(|(got, expected)| (got - expected).abs()).fold(0.0, f32::max);
    println!("output {:?}, at most {farthest:.1e} from PyTorch's", output.values().shape());
    assert!(got.len() == expected.len() && farthest < 2e-6);
    Ok(())
}
