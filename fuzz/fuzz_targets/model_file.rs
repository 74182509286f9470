//! Any bytes at all as the files of `elman run`: the model that is described is loaded and run, by its description and
//! whole; the input is read and run over.

#![no_main]

mod verbs;

use std::fs;

use elman::Nonlinearity;
use elman::format::{CellKind, Description, Dtype, LoadOptions, TensorFile, describe, prefixes};
use elman::internals::{Recurrent, RecurrentWorkspace};
use elman::tensor::Seq;
use elman::params::ParamTable;
use elman::{
    Error, Gru, LayerKind, Lstm, Model as Whole, ModelSpec, Params, RecurrentSpec, Rng, Threads, Workspace,
};
use elman_fuzz::Within;
use elman_fuzz::file::{File, Table, bytes_of, path};
use libfuzzer_sys::arbitrary::{self, Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use verbs::Failure;
use verbs::run::batch::Form;
use verbs::run::place::Source;
use verbs::run::reading::Reads;

/// What needs more elements than this is not run.
const ROOM: usize = 1_000_000;

/// A tensor of a file that is written here: name, type, shape.
type Tensor = (String, &'static str, Vec<usize>);

/// A type's bytes an element.
fn size_of_type(dtype: &str) -> usize {
    match dtype {
        "I64" | "F64" => 8,
        "F16" | "BF16" => 2,
        "BOOL" | "U8" => 1,
        _ => 4,
    }
}

/// A file of these tensors, all bytes 0 or 1 so that they are good as numbers of any type.
fn file_of(tensors: &[Tensor]) -> File {
    let mut end = 0;
    let entries: Vec<_> = tensors
        .iter()
        .map(|(name, dtype, shape)| {
            let begin = end;
            end += shape.iter().product::<usize>() * size_of_type(dtype);
            let name = serde_json::to_string(name).unwrap();
            format!(r#"{name}:{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{begin},{end}]}}"#)
        })
        .collect();
    let data = (0..end).map(|i| u8::from(i % 8 == 0)).collect();
    File::of(format!("{{{}}}", entries.join(",")).into_bytes(), data)
}

/// Names for the entries of a header: those of a model's tensors and of an input file's.
const TABLES: [Table; 2] = [
    &[
        ("rnn.weight_ih_l0", &[8, 3]),
        ("rnn.weight_hh_l0", &[8, 1]),
        ("rnn.weight_hr_l0", &[1, 2]),
        ("rnn.weight_ih_l0_reverse", &[8, 3]),
        ("rnn.weight_hh_l0_reverse", &[8, 1]),
        ("rnn.weight_hr_l0_reverse", &[1, 2]),
        ("weight_ih", &[6, 1]),
        ("weight_hh", &[6, 2]),
        ("bias_ih", &[6]),
        ("bias_hh", &[6]),
    ],
    &[("input", &[3, 2, 2]), ("h_0", &[2, 2, 1]), ("c_0", &[2, 2, 2]), ("lengths", &[2]), ("resets", &[3, 2])],
];

fn valid(which: usize) -> [File; 2] {
    let tensor = |(name, shape): &(&str, &[usize])| -> Tensor {
        let dtype = match *name {
            "lengths" => "I64",
            "resets" => "BOOL",
            _ => "F32",
        };
        ((*name).into(), dtype, shape.to_vec())
    };
    let table = TABLES[which];
    let (first, second) = if which == 0 { table.split_at(6) } else { (table, &table[..1]) };
    [first, second].map(|part| file_of(&part.iter().map(tensor).collect::<Vec<_>>()))
}

/// A model whose names and shapes are right, but for one tensor perhaps.
#[derive(Arbitrary, Debug)]
struct Model {
    kind: Within<0, 2>,
    input: Within<1, 9>,
    hidden: [Within<1, 9>; 3],
    layers: Within<1, 3>,
    bidirectional: bool,
    bias: bool,
    proj: Within<0, 8>,
    unnumbered: bool,
    prefix: Within<0, 3>,
    dtypes: [Within<0, 4>; 4],
    wrong: Option<Wrong>,
}

#[derive(Arbitrary, Debug)]
struct Wrong {
    which: u8,
    how: How,
}

#[derive(Arbitrary, Debug)]
enum How {
    Drop,
    Rename(String),
    Shape(Vec<Within<0, 12>>),
    /// The layer's number.
    Layer(u64),
}

impl Model {
    fn description(&self) -> Description {
        let kind = [CellKind::Rnn, CellKind::Gru, CellKind::Lstm][self.kind.get()];
        let layers = if self.unnumbered { 1 } else { self.layers.get() };
        let hidden_sizes: Vec<_> = self.hidden.iter().take(layers).map(|hidden| hidden.get()).collect();
        let proj = if kind == CellKind::Lstm && !self.unnumbered { self.proj.get() } else { 0 };
        let mut description = Description::new(kind, self.input.get(), hidden_sizes);
        description.prefix = ["", "rnn.", "a.b.", "\u{1b}é."][self.prefix.get()].into();
        description.bidirectional = self.bidirectional && !self.unnumbered;
        description.bias = self.bias;
        if description.hidden_sizes.iter().all(|&hidden| proj < hidden) {
            description.proj_size = proj;
        }
        description.unnumbered = self.unnumbered;
        description
    }

    /// The file, and what it is to be described as where nothing is wrong with it.
    fn file(&self) -> (File, Option<Description>) {
        const DTYPES: [&str; 5] = ["F32", "F16", "BF16", "F64", "I64"];
        let description = self.description();
        let mut tensors: Vec<Tensor> = description
            .tensors()
            .into_iter()
            .zip(self.dtypes.iter().cycle())
            .map(|((name, shape), dtype)| (name, DTYPES[dtype.get()], shape))
            .collect();
        let Some(Wrong { which, how }) = &self.wrong else { return (file_of(&tensors), Some(description)) };
        let at = usize::from(*which) % tensors.len();
        match how {
            How::Drop => _ = tensors.remove(at),
            How::Rename(name) => tensors[at].0 = name.clone(),
            How::Shape(shape) => tensors[at].2 = shape.iter().take(4).map(|size| size.get()).collect(),
            How::Layer(layer) => tensors[at].0 = tensors[at].0.replace("_l0", &format!("_l{layer}")),
        }
        (file_of(&tensors), None)
    }
}

struct Input {
    bytes: Vec<u8>,
    expected: Option<Description>,
    prefix: String,
}

impl Input {
    fn of(data: &[u8]) -> arbitrary::Result<Self> {
        let mut u = Unstructured::new(data);
        let which = u.int_in_range(0..=2)?;
        if which == 2 {
            let (file, expected) = u.arbitrary::<Model>()?.file();
            return Ok(Self { bytes: file.bytes(), expected, prefix: u.arbitrary()? });
        }
        let bytes = bytes_of(u, TABLES[which], &valid(which))?;
        Ok(Self { bytes, expected: None, prefix: "rnn".into() })
    }
}

/// Every error names the file, on one line.
fn tell(error: &Error) {
    let text = error.to_string();
    assert!(text.starts_with(&format!("{}: ", path().display())), "{text:?}");
    assert!(!text.contains(char::is_control), "{text:?}");
    if let Error::Weights { problems, .. } = error {
        assert!(!problems.is_empty(), "{text}");
    }
}

/// Every tensor as numbers, against those of its bytes.
fn read(file: &TensorFile, bytes: &[u8]) {
    let judge = safetensors::SafeTensors::deserialize(bytes).expect("opened, so the crate takes it");
    assert_eq!(file.iter().count(), judge.len());
    for info in file.iter() {
        let view = judge.tensor(info.name).expect("the crate has it");
        assert_eq!((info.shape, info.bytes), (view.shape(), view.data().len()), "{}", info.name);
        let data = view.data();
        let len = info.shape.iter().product::<usize>();
        let (floats, integers, bools) =
            (file.read_f32(info.name), file.read_integers(info.name), file.read_bools(info.name));
        let known = [floats.is_ok(), integers.is_ok(), bools.is_ok()].iter().filter(|&&ok| ok).count();
        assert!(known <= 1, "{} is of several types", info.dtype);
        match floats {
            Ok((shape, values)) => {
                assert_eq!((&shape[..], values.len()), (info.shape, len), "{}", info.name);
                let mut exact: Box<dyn Iterator<Item = f64>> = match info.dtype {
                    Dtype::F32 => Box::new(data.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b).into())),
                    Dtype::F64 => Box::new(data.as_chunks().0.iter().map(|&b| f64::from_le_bytes(b))),
                    Dtype::F16 => Box::new(data.as_chunks().0.iter().map(|&b| half(u16::from_le_bytes(b)))),
                    Dtype::BF16 => Box::new(
                        data.as_chunks()
                            .0
                            .iter()
                            .map(|&b| f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16).into()),
                    ),
                    other => panic!("{other} as floats"),
                };
                for &value in &values {
                    let exact = exact.next().expect("one for each");
                    let same = value.to_bits() == (exact as f32).to_bits() || value.is_nan() && exact.is_nan();
                    assert!(same, "{value:e} of {} {exact:e}", info.dtype);
                }
            }
            Err(error) => tell(&error),
        }
        match integers {
            Ok((shape, values)) => {
                assert_eq!((&shape[..], values.len()), (info.shape, len), "{}", info.name);
                let signed = info.dtype.name().starts_with('I');
                for (&value, bytes) in values.iter().zip(data.chunks_exact((data.len() / len.max(1)).max(1))) {
                    let fill = if signed && bytes[bytes.len() - 1] >= 0x80 { 0xff } else { 0 };
                    let mut whole = [fill; 16];
                    whole[..bytes.len()].copy_from_slice(bytes);
                    assert_eq!(i128::from(value), i128::from_le_bytes(whole), "{}", info.dtype);
                }
            }
            Err(error) => tell(&error),
        }
        match bools {
            Ok((shape, values)) => {
                assert_eq!((&shape[..], values.len()), (info.shape, len), "{}", info.name);
                assert!(values.iter().zip(data).all(|(&value, &byte)| u8::from(value) == byte));
            }
            Err(error) => tell(&error),
        }
    }
    for error in [file.read_f32("no such").err(), file.read_integers("no such").err(), file.read_bools("no such").err()]
    {
        tell(&error.expect("there is none"));
    }
}

/// An F16 by its definition.
fn half(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023) / 1024.0);
    let magnitude = match exponent {
        0 => fraction * f64::powi(2.0, -14),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction) * f64::powi(2.0, exponent - 15),
    };
    if bits >> 15 == 1 { -magnitude } else { magnitude }
}

/// A description is what the file says: its tensors are those behind the prefix, and a network can be made of them.
fn described(file: &TensorFile, description: &Description) {
    let mut tensors = description.tensors();
    tensors.sort();
    let mut behind: Vec<_> = file
        .iter()
        .filter(|info| info.name.starts_with(&description.prefix))
        .map(|info| (info.name.to_string(), info.shape.to_vec()))
        .collect();
    behind.sort();
    assert_eq!(tensors, behind, "{description:?}");
    let parameters = behind.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum::<usize>();
    assert_eq!(description.parameters().unwrap(), parameters);
    // Asked for as what it is, it is the same.
    let again = describe(file, Some(&description.prefix), Some(description.kind)).unwrap();
    assert_eq!(*description, again);

    let widths = description.hidden_sizes.iter().map(|hidden| hidden + 16).sum::<usize>() + description.input_size;
    if parameters.saturating_mul(16) > ROOM || widths.saturating_mul(100) > ROOM {
        return;
    }
    let mut layout = ParamTable::new();
    let mut network = Recurrent::new(description.config(Nonlinearity::Relu), &mut layout, "").unwrap();
    let mut params = Params::zeros(layout);
    assert_eq!(params.data().len(), parameters);
    params.data_mut().fill(7.5);
    let floats = file
        .iter()
        .filter(|info| info.name.starts_with(&description.prefix))
        .all(|info| file.read_f32(info.name).is_ok());
    match file.load_into(&mut params, &LoadOptions::from(description)) {
        Ok(notes) => {
            assert!(floats, "loaded what are no floats: {notes:?}");
            for ((name, ..), (_, _, values)) in description.tensors().iter().zip(params.iter()) {
                let (_, expected) = file.read_f32(name).unwrap();
                assert!(values.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits()), "{name}");
            }
        }
        Err(error) => {
            tell(&error);
            assert!(!floats, "refused though every tensor fits: {error}");
            assert!(params.data().iter().all(|&value| value == 7.5), "touched by a load that failed: {error}");
        }
    }
    network.load(&params).unwrap();
    let x = Seq::zeros(2, 3, description.input_size).unwrap();
    let mut pass = RecurrentWorkspace::default();
    network.forward(&x, None, &mut pass, Threads::one()).unwrap();
    assert_eq!(pass.output().shape(), [2, 3, network.output_size()]);
}

/// The batch of the file over a small model, as `elman run` runs it.
fn input(model: &Whole, source: Source<'_>) -> Result<(), Failure> {
    let mut batch = Reads::of(model)?.batch(source)?;
    if batch.rows.saturating_mul(batch.steps.max(1)).saturating_mul(400) > ROOM {
        return Ok(());
    }
    // From here on nothing is wrong with it.
    let packed = batch.packed().unwrap();
    batch.note_nan(packed.as_ref().map(|packed| &packed.rows));
    assert!(batch.notes.iter().all(|note| !note.contains(char::is_control)), "{:?}", batch.notes);
    let state = batch.state(model).unwrap();
    let mut workspace = Workspace::default();
    let x = batch.input(packed.as_ref()).unwrap();
    let output = model.run_with(x, state.as_ref(), &mut workspace, Threads::one()).unwrap();
    let padded = output.packed().map(|packed| match batch.form {
        Form::BatchFirst => packed.to_batch_first(batch.steps).unwrap(),
        _ => packed.to_padded(batch.steps).unwrap(),
    });
    let shape = padded.as_ref().map_or_else(|| output.values().shape(), Seq::shape);
    let elements = batch.rows * batch.steps * model.outputs();
    assert_eq!(shape.iter().product::<usize>(), elements, "{shape:?}");
    assert!(batch.tokens <= batch.steps * batch.rows, "{} of {:?}", batch.tokens, batch.shape);
    Ok(())
}

/// Models that read two features, or an index, of (T, B) or (B, T).
fn small() -> [Whole; 3] {
    let mut rng = Rng::new(1);
    let embedding = ModelSpec::new(1).layer("words", LayerKind::embedding(3, 2)).layer("rnn", RecurrentSpec::gru(vec![2]));
    [
        Lstm::builder(2, 2).bidirectional(true).proj_size(1).batch_first(true).model(&mut rng),
        Gru::builder(2, 2).model(&mut rng),
        Whole::init(embedding, &mut rng),
    ]
    .map(Result::unwrap)
}

fuzz_target!(|data: &[u8]| {
    let Ok(Input { bytes, expected, prefix }) = Input::of(data) else { return };
    fs::write(path(), &bytes).unwrap();
    match TensorFile::open(path()) {
        Err(error) => {
            tell(&error);
            assert!(expected.is_none(), "{error}");
        }
        Ok(file) => {
            read(&file, &bytes);
            let mut seen = Vec::new();
            for kind in [None, Some(CellKind::Rnn), Some(CellKind::Gru), Some(CellKind::Lstm)] {
                for prefix in
                    [None, Some(""), Some(&prefix[..])].into_iter().chain(prefixes(&file).into_iter().map(Some))
                {
                    match describe(&file, prefix, kind) {
                        Ok(description) => {
                            assert!(kind.is_none_or(|kind| kind == description.kind));
                            if !seen.contains(&description) {
                                described(&file, &description);
                                seen.push(description);
                            }
                        }
                        Err(error) => tell(&error),
                    }
                }
            }
            if let Some(expected) = expected {
                assert_eq!(describe(&file, None, None).unwrap(), expected);
            }
        }
    }
    if let Err(error) = Whole::open(path()) {
        tell(&error);
    }
    for (model, source) in small().iter().flat_map(|model| [(model, Source::Tensors(path())), (model, Source::Csv(path()))]) {
        if let Err(Failure::Run(text) | Failure::Usage(text)) = input(model, source) {
            assert!(!text.is_empty());
        }
    }
    fs::remove_file(path()).unwrap();
});
