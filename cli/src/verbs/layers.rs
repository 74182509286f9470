//! `--layers 'lstm, last, fc1, relu, fc2'`: what the input of a state dict goes through, in words. The file says the sizes
//! and the list says the order, the activations and the read-out, which a state dict does not hold.

use elman::format::{Description, Kind, TensorFile, describe, prefixes};
use elman::{Activation, CellSpec, LayerKind, ModelSpec, Nonlinearity, Readout, RecurrentSpec};

use super::Failure;

/// The words that are no modules of the file.
const ACTIVATIONS: [(&str, Activation); 7] = [
    ("identity", Activation::Identity),
    ("tanh", Activation::Tanh),
    ("relu", Activation::Relu),
    ("sigmoid", Activation::Sigmoid),
    ("softmax", Activation::Softmax),
    ("softsign", Activation::Softsign),
    ("softplus", Activation::Softplus),
];
const READOUTS: [(&str, Readout); 4] =
    [("every", Readout::EveryStep), ("last", Readout::Last), ("mean", Readout::Mean), ("max", Readout::Max)];

/// The model that the list makes of the file. A name of the file's own comes before a word: `last` is a linear layer where
/// there is a `last.weight`.
pub(crate) fn spec(file: &TensorFile, list: &str, nonlinearity: Option<Nonlinearity>) -> Result<ModelSpec, Failure> {
    let words: Vec<_> = list.split(',').map(str::trim).collect();
    let mut layers = Vec::new();
    for &word in &words {
        if word.is_empty() {
            return Err(usage(&format!("expected layers separated by commas, got '{list}'")));
        }
        layers.push((word, Layer::of(file, word, nonlinearity)?));
    }
    let mut spec = ModelSpec::new(inputs(&layers)?);
    for (at, (word, layer)) in layers.iter().enumerate() {
        spec = match layer {
            Layer::Recurrent { name, inputs: _, spec: recurrent } => spec.layer(name, recurrent.clone()),
            Layer::Table { name, rows, columns, bias } => {
                if at == 0 && reads_ids(word, *rows, *columns, *bias, layers.get(1).map(|(_, next)| next))? {
                    spec.layer(name, LayerKind::embedding(*rows, *columns))
                } else if *bias {
                    spec.layer(name, LayerKind::linear(*rows))
                } else {
                    spec.layer(name, LayerKind::linear_without_bias(*rows))
                }
            }
            Layer::Activation(activation) => spec.layer("", *activation),
            Layer::Readout(readout) => spec.layer("", *readout),
        };
    }
    Ok(spec)
}

/// What a word of the list stands for.
enum Layer {
    Recurrent {
        name: String,
        inputs: usize,
        spec: RecurrentSpec,
    },
    /// A matrix: of a linear layer, or of an embedding.
    Table {
        name: String,
        rows: usize,
        columns: usize,
        bias: bool,
    },
    Activation(Activation),
    Readout(Readout),
}

impl Layer {
    fn of(file: &TensorFile, word: &str, nonlinearity: Option<Nonlinearity>) -> Result<Self, Failure> {
        let (name, asked) = match word.split_once(':') {
            Some((name, kind @ ("embedding" | "linear"))) => (name, Some(kind)),
            Some((_, kind)) => {
                return Err(usage(&format!("'{word}': expected embedding or linear behind the colon, got '{kind}'")));
            }
            None => (word, None),
        };
        let behind = format!("{name}.");
        let all = prefixes(file);
        if asked.is_none() && all.iter().any(|prefix| *prefix == behind) {
            return Ok(Self::recurrent(&describe(file, Some(&behind), None)?, name, nonlinearity));
        }
        if let Some([rows, columns]) = file.info(&format!("{name}.weight")).map(|info| info.shape) {
            let bias = file.info(&format!("{name}.bias")).is_some();
            return Ok(Self::Table { name: name.into(), rows: *rows, columns: *columns, bias });
        }
        if let Some((_, activation)) = ACTIVATIONS.iter().find(|(known, _)| *known == word) {
            return Ok(Self::Activation(*activation));
        }
        if let Some((_, readout)) = READOUTS.iter().find(|(known, _)| *known == word) {
            return Ok(Self::Readout(*readout));
        }
        // Weights at the root of the file have no name; their cell's is one.
        if let (Ok(kind), true) = (word.parse::<Kind>(), all.iter().any(|prefix| prefix.is_empty())) {
            return Ok(Self::recurrent(&describe(file, Some(""), Some(kind))?, "", nonlinearity));
        }
        Err(usage(&format!(
            "'{word}': expected a module of the file, {}, or one of {}, {}",
            modules(file),
            ACTIVATIONS.map(|(word, _)| word).join(", "),
            READOUTS.map(|(word, _)| word).join(", "),
        )))
    }

    fn recurrent(description: &Description, name: &str, nonlinearity: Option<Nonlinearity>) -> Self {
        let spec = recurrent(description, nonlinearity.unwrap_or(Nonlinearity::Tanh));
        Self::Recurrent { name: name.into(), inputs: description.input_size, spec }
    }
}

/// The recurrent layers of a state dict.
fn recurrent(description: &Description, nonlinearity: Nonlinearity) -> RecurrentSpec {
    let cell = match (description.kind, nonlinearity) {
        (Kind::Rnn, Nonlinearity::Tanh) => CellSpec::rnn(Activation::Tanh),
        (Kind::Rnn, Nonlinearity::Relu) => CellSpec::rnn(Activation::Relu),
        (Kind::Gru, _) => CellSpec::gru(),
        (Kind::Lstm, _) => CellSpec::lstm(),
    };
    let mut spec = RecurrentSpec::new(cell, description.hidden_sizes.clone());
    spec.bidirectional = description.bidirectional;
    spec.bias = description.bias;
    spec.proj_size = description.proj_size;
    spec
}

/// The model that these recurrent layers are by themselves.
pub(crate) fn alone(description: &Description, nonlinearity: Nonlinearity) -> ModelSpec {
    let name = description.prefix.trim_end_matches('.');
    ModelSpec::new(description.input_size).layer(name, recurrent(description, nonlinearity))
}

/// Features of the model's input: what the first layer that has a size reads.
fn inputs(layers: &[(&str, Layer)]) -> Result<usize, Failure> {
    for (at, (word, layer)) in layers.iter().enumerate() {
        match layer {
            Layer::Recurrent { inputs, .. } => return Ok(*inputs),
            Layer::Table { rows, columns, bias, .. } => {
                let next = layers.get(at + 1).map(|(_, next)| next);
                return Ok(if at == 0 && reads_ids(word, *rows, *columns, *bias, next)? { 1 } else { *columns });
            }
            Layer::Activation(_) | Layer::Readout(_) => {}
        }
    }
    Err(usage("expected at least one layer with parameters, got none"))
}

/// Whether the matrix that the list begins with is an embedding: what follows reads its columns, or its rows.
fn reads_ids(word: &str, rows: usize, columns: usize, bias: bool, next: Option<&Layer>) -> Result<bool, Failure> {
    if word.ends_with(":embedding") || word.ends_with(":linear") || bias {
        return Ok(word.ends_with(":embedding"));
    }
    match next {
        Some(Layer::Recurrent { inputs, .. }) if rows == columns && *inputs == rows => {
            Err(usage(&format!("'{word}': it may be either; write {word}:embedding or {word}:linear")))
        }
        Some(Layer::Recurrent { inputs, .. }) => Ok(*inputs == columns),
        _ => Ok(false),
    }
}

/// The modules of the file that can stand in the list.
fn modules(file: &TensorFile) -> String {
    /// More do not help.
    const MOST: usize = 12;
    let recurrent = prefixes(file);
    let mut names: Vec<_> = recurrent.iter().map(|prefix| prefix.trim_end_matches('.').to_string()).collect();
    let tables = file.iter().filter(|info| info.shape.len() == 2);
    names.extend(tables.filter_map(|info| info.name.strip_suffix(".weight")).map(Into::into));
    names.sort();
    names.retain(|name| !name.is_empty());
    if names.len() > MOST {
        let more = names.len() - MOST;
        names.truncate(MOST);
        names.push(format!("{more} more"));
    }
    if names.is_empty() { "of which it has none with a name".into() } else { format!("such as {}", names.join(", ")) }
}

fn usage(reason: &str) -> Failure {
    Failure::Usage(format!("--layers: {reason}"))
}

#[cfg(test)]
mod tests {
    use elman::format::write_tensors;
    use tempfile::TempDir;

    use super::*;

    fn file(tensors: &[(&str, &[usize])]) -> TensorFile {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("m.safetensors");
        let values: Vec<_> = tensors.iter().map(|(_, shape)| vec![0.0; shape.iter().product()]).collect();
        let tensors: Vec<_> =
            tensors.iter().zip(&values).map(|((name, shape), values)| (*name, *shape, &values[..])).collect();
        write_tensors(&path, &tensors, &[]).unwrap();
        TensorFile::open(&path).unwrap()
    }

    /// An embedding of 30 words in 6 features, an LSTM of 4 units, two linear layers.
    fn classifier() -> TensorFile {
        file(&[
            ("emb.weight", &[30, 6]),
            ("lstm.weight_ih_l0", &[16, 6]),
            ("lstm.weight_hh_l0", &[16, 4]),
            ("fc1.weight", &[8, 4]),
            ("fc1.bias", &[8]),
            ("fc2.weight", &[5, 8]),
        ])
    }

    fn refused(file: &TensorFile, list: &str) -> String {
        match spec(file, list, None) {
            Err(Failure::Usage(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn names_and_words_make_a_model() {
        let mut lstm = RecurrentSpec::lstm(vec![4]);
        lstm.bias = false;
        let expected = ModelSpec::new(1)
            .layer("emb", LayerKind::embedding(30, 6))
            .layer("lstm", lstm.clone())
            .layer("", Readout::Last)
            .layer("fc1", LayerKind::linear(8))
            .layer("", Activation::Relu)
            .layer("fc2", LayerKind::linear_without_bias(5))
            .layer("", Activation::Softmax);
        assert_eq!(spec(&classifier(), "emb, lstm,last, fc1,relu,fc2 , softmax", None).unwrap(), expected);
        // A part of them.
        let expected = ModelSpec::new(6).layer("lstm", lstm).layer("fc1", LayerKind::linear(8));
        assert_eq!(spec(&classifier(), "lstm, fc1", None).unwrap(), expected);
    }

    #[test]
    fn weights_at_the_root_are_called_by_their_cell() {
        let root = file(&[("weight_ih_l0", &[4, 2]), ("weight_hh_l0", &[4, 4])]);
        let mut rnn = RecurrentSpec::new(CellSpec::rnn(Activation::Relu), vec![4]);
        rnn.bias = false;
        let expected = ModelSpec::new(2).layer("", rnn).layer("", Readout::Mean);
        assert_eq!(spec(&root, "rnn, mean", Some(Nonlinearity::Relu)).unwrap(), expected);
    }

    #[test]
    fn a_name_of_the_file_comes_before_a_word() {
        let tensors = [("gru.weight_ih_l0", &[12, 2][..]), ("gru.weight_hh_l0", &[12, 4]), ("last.weight", &[3, 4])];
        let spec = spec(&file(&tensors), "gru, last", None).unwrap();
        assert_eq!(spec.layers[1].kind, LayerKind::linear_without_bias(3));
    }

    #[test]
    fn a_first_matrix_is_an_embedding_or_a_linear_layer_by_what_reads_it() {
        let model = |rows: usize, columns: usize, reads: usize| {
            file(&[("in.weight", &[rows, columns]), ("g.weight_ih_l0", &[12, reads]), ("g.weight_hh_l0", &[12, 4])])
        };
        let first = |file: &TensorFile, list: &str| {
            let spec = spec(file, list, None).unwrap();
            (spec.inputs, spec.layers[0].kind.clone())
        };
        assert_eq!(first(&model(9, 5, 5), "in, g"), (1, LayerKind::embedding(9, 5)));
        assert_eq!(first(&model(9, 5, 9), "in, g"), (5, LayerKind::linear_without_bias(9)));
        let either = model(5, 5, 5);
        assert_eq!(first(&either, "in:embedding, g"), (1, LayerKind::embedding(5, 5)));
        assert_eq!(first(&either, "in:linear, g"), (5, LayerKind::linear_without_bias(5)));
        let expected = "--layers: 'in': it may be either; write in:embedding or in:linear";
        assert_eq!(refused(&either, "in, g"), expected);
    }

    #[test]
    fn what_is_no_layer_is_refused() {
        let file = classifier();
        let expected =
            "--layers: 'fc3': expected a module of the file, such as emb, fc1, fc2, lstm, or one of identity, ";
        assert!(refused(&file, "lstm, fc3").starts_with(expected), "{}", refused(&file, "lstm, fc3"));
        assert!(
            refused(&file, "lstm,,fc1").starts_with("--layers: expected layers separated by commas, got 'lstm,,fc1'")
        );
        assert!(refused(&file, "").starts_with("--layers: expected layers separated by commas"));
        assert!(refused(&file, "relu, last").contains("expected at least one layer with parameters, got none"));
        assert!(refused(&file, "emb:table, lstm").contains("'emb:table': expected embedding or linear"));
    }
}
