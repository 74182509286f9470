//! What models are run: PyTorch's files, activations, types of elements.

use elman::format::TensorFile;
use safetensors::tensor::Dtype;
use tempfile::TempDir;

use super::{fixture, got, outcome, over_x};
use crate::files::{Raw, f32s, folder, i64s, random, write};
use crate::run;

#[test]
fn pytorchs_models_give_what_pytorch_gives() {
    for name in ["encoder_gru", "gru_cell", "lstm_f16", "lstm_bf16", "lstm_f64"] {
        let folder = TempDir::new().unwrap();
        let expected = TensorFile::open(fixture(&format!("{name}_io"))).unwrap();
        let (_, input) = expected.read_f32("input").unwrap();
        let shape = expected.info("input").unwrap().shape.to_vec();
        write(&folder.path().join("x.safetensors"), &[f32s("input", &shape, &input)]);
        let weights = fixture(name);
        let args = ["run", weights.to_str().unwrap(), "x.safetensors", "-o", "y.safetensors"];
        // A part beside others, by the options of today and of old; weights at the root, found and named.
        let given: [&[&str]; 2] = match name {
            "encoder_gru" => {
                [&["--batch-first", "--only", "encoder.rnn"], &["--batch-first", "--prefix", "encoder.rnn."]]
            }
            _ => [&[], &["--only", ""]],
        };
        for given in given {
            let (out, notes) = run(folder.path(), &[&args[..], given].concat()).noted();
            let type_of = name.strip_prefix("lstm_").map(str::to_uppercase);
            let verb = if name == "lstm_f64" { "rounded" } else { "converted" };
            let note = type_of.map(|from| format!("weights {verb} from {from} to F32 (5 tensors)"));
            let aside = "taken: gru encoder.rnn (2 layers, both directions) at every step; left aside: encoder.embed.weight, \
                         head.bias, head.weight";
            let note = note.or_else(|| (name == "encoder_gru").then(|| aside.into()));
            assert_eq!(notes, note.into_iter().collect::<Vec<_>>(), "{out}");
            let tensors = ["output", "h_n", "c_n"].into_iter().filter(|tensor| expected.info(tensor).is_some());
            let all: Vec<_> = tensors.collect();
            assert_eq!(all.len(), TensorFile::open(folder.path().join("y.safetensors")).unwrap().names().count());
            for tensor in all {
                let (shape, values) = expected.read_f32(tensor).unwrap();
                let (got_shape, got_values) = got(folder.path(), tensor);
                assert_eq!(got_shape, shape, "{name} {tensor}");
                for (i, (got, expected)) in got_values.iter().zip(&values).enumerate() {
                    assert!(
                        (got - expected).abs() <= 2e-6 * expected.abs().max(1.0),
                        "{name} {tensor} {i}: {got} {expected}"
                    );
                }
            }
        }
    }
}

#[test]
fn relu_is_taken_from_the_option_or_the_metadata() {
    let folder = folder();
    let x = || vec![random("input", &[5, 2, 3])];
    let tanh = outcome(folder.path(), "rnn", &x(), &[]);
    let relu = outcome(folder.path(), "rnn", &x(), &["--nonlinearity", "relu"]);
    assert_ne!(tanh, relu);
    assert!(relu[0].1.iter().all(|&y| y >= 0.0));
    assert_eq!(outcome(folder.path(), "relu", &x(), &[]), relu);
    assert_eq!(outcome(folder.path(), "gelu", &x(), &["--nonlinearity", "relu"]), relu);
    assert_eq!(outcome(folder.path(), "relu", &x(), &["--nonlinearity", "tanh"]), tanh);

    assert!(over_x(folder.path(), "relu", &[]).noted().1.is_empty());
    let (_, notes) = over_x(folder.path(), "relu", &["--nonlinearity", "tanh"]).noted();
    assert_eq!(notes, ["nonlinearity tanh taken, as --nonlinearity says; the file's metadata says 'relu'"]);
}

#[test]
fn other_floats_and_nan_are_noted() {
    let folder = folder();
    let mut x = [0.25; 30];
    (x[3], x[29]) = (f32::NAN, f32::NAN);
    let halves = x.iter().flat_map(|x| ((x.to_bits() >> 16) as u16).to_le_bytes()).collect();
    let doubles = [0.5_f64; 8].iter().flat_map(|x| x.to_le_bytes()).collect();
    let input: Raw<'_> = ("input", Dtype::BF16, vec![5, 2, 3], halves);
    let h: Raw<'_> = ("h_0", Dtype::F64, vec![1, 2, 4], doubles);
    write(&folder.path().join("x.safetensors"), &[input.clone(), h.clone()]);
    let (_, notes) = over_x(folder.path(), "gru", &[]).noted();
    let converted = ["input converted from BF16 to F32", "h_0 rounded from F64 to F32"];
    assert_eq!(notes, [&converted[..], &["input: 2 elements are NaN, and computed with"]].concat());
    let (_, y) = got(folder.path(), "output");
    assert!(y[..4].iter().all(|y| !y.is_nan()) && y[4..8].iter().all(|y| y.is_nan()), "{y:?}");

    // Beyond a row's length it is not read.
    write(&folder.path().join("x.safetensors"), &[input, h, i64s("lengths", &[2], &[5, 4])]);
    let (_, notes) = over_x(folder.path(), "gru", &[]).noted();
    assert_eq!(notes, [&converted[..], &["input: 1 element is NaN, and computed with"]].concat());
}
