//! What a state dict is: described by its names and shapes, or refused with every rule it breaks.

use std::fs;

use elman::format::{CellKind, Description, LoadOptions, TensorFile, describe};
use elman::{Error, Rng};
use safetensors::tensor::Dtype;

use super::{Folder, crate_file, open, params_of, raw_file, text, zeros};

/// Names and shapes of a state dict.
type Table = Vec<(String, Vec<usize>)>;

/// What PyTorch would save of such a module.
pub(crate) fn table_of(description: &Description) -> Table {
    let Description { kind, prefix, hidden_sizes, bidirectional, bias, proj_size, .. } = description;
    let gates = kind.gates();
    let (mut table, mut input) = (Table::new(), description.input_size);
    for (layer, &hidden) in hidden_sizes.iter().enumerate() {
        let out = if *proj_size > 0 { *proj_size } else { hidden };
        let suffixes = match (description.unnumbered, bidirectional) {
            (true, _) => vec![String::new()],
            (false, false) => vec![format!("_l{layer}")],
            (false, true) => vec![format!("_l{layer}"), format!("_l{layer}_reverse")],
        };
        for suffix in &suffixes {
            let mut add = |name: &str, shape: &[usize]| table.push((format!("{prefix}{name}{suffix}"), shape.into()));
            add("weight_ih", &[gates * hidden, input]);
            add("weight_hh", &[gates * hidden, out]);
            if *bias {
                add("bias_ih", &[gates * hidden]);
                add("bias_hh", &[gates * hidden]);
            }
            if *proj_size > 0 {
                add("weight_hr", &[*proj_size, hidden]);
            }
        }
        input = out * suffixes.len();
    }
    table
}

pub(crate) fn file_of(table: &[(String, Vec<usize>)]) -> TensorFile {
    let tensors: Vec<_> = table.iter().map(|(name, shape)| zeros(name, Dtype::F32, shape)).collect();
    open(&crate_file(&tensors)).unwrap()
}

/// The same with something else about it.
pub(crate) fn with(mut description: Description, change: impl FnOnce(&mut Description)) -> Description {
    change(&mut description);
    description
}

/// An LSTM of two layers and two directions, behind `rnn.`.
pub(crate) fn lstm() -> Description {
    with(Description::new(CellKind::Lstm, 3, vec![5, 5]), |it| {
        it.prefix = "rnn.".into();
        it.bidirectional = true;
        it.proj_size = 2;
    })
}

/// A GRU of one layer, at the root.
pub(crate) fn gru() -> Description {
    Description::new(CellKind::Gru, 1, vec![4])
}

#[test]
fn what_pytorch_saves_is_described() {
    let mut count = 0;
    for kind in [CellKind::Rnn, CellKind::Gru, CellKind::Lstm] {
        for prefix in ["", "rnn.", "encoder.rnn."] {
            for (input_size, hidden_sizes) in [(1, vec![1]), (7, vec![3]), (2, vec![4, 4]), (3, vec![12, 4, 3, 1, 9])] {
                for (bidirectional, bias) in [(false, false), (false, true), (true, false), (true, true)] {
                    for (proj_size, unnumbered) in [(0, false), (1, false), (2, false), (0, true)] {
                        let projectable =
                            kind == CellKind::Lstm && hidden_sizes.iter().all(|&hidden| hidden > proj_size);
                        let cellable = hidden_sizes.len() == 1 && !bidirectional;
                        if proj_size > 0 && !projectable || unnumbered && !cellable {
                            continue;
                        }
                        let (prefix, hidden_sizes) = (prefix.into(), hidden_sizes.clone());
                        let expected = with(Description::new(kind, input_size, hidden_sizes), |it| {
                            it.prefix = prefix;
                            it.bidirectional = bidirectional;
                            it.bias = bias;
                            it.proj_size = proj_size;
                            it.unnumbered = unnumbered;
                        });
                        let mut table = table_of(&expected);
                        let parameters: usize = table.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
                        assert_eq!(expected.parameters().unwrap(), parameters);
                        if !expected.prefix.is_empty() {
                            table.push(("linear.weight".into(), vec![1, 3]));
                            table.push(("encoder.embed.weight".into(), vec![9, 2]));
                        }
                        let file = file_of(&table);
                        let dotless = expected.prefix.trim_end_matches('.');
                        for prefix in [None, Some(&expected.prefix[..]), Some(dotless)] {
                            for asked in [None, Some(kind)] {
                                assert_eq!(describe(&file, prefix, asked).unwrap(), expected);
                            }
                        }
                        count += 1;
                    }
                }
            }
        }
    }
    assert!(count > 150, "{count}");
}

#[test]
fn pytorchs_own_file_is_described() {
    let file = TensorFile::open("tests/fixtures/sine_model.safetensors").unwrap();
    let expected = with(Description::new(CellKind::Rnn, 1, vec![16]), |it| it.prefix = "rnn.".into());
    assert_eq!(describe(&file, None, None).unwrap(), expected);
    assert_eq!(expected.parameters().unwrap(), 16 + 256 + 16 + 16);
    assert_eq!(file.metadata().collect::<Vec<_>>(), [("torch", "2.15.0+cu132")]);
}

#[test]
fn a_kind_is_spelled_as_it_is_read() {
    for (kind, name, gates) in [(CellKind::Rnn, "rnn", 1), (CellKind::Gru, "gru", 3), (CellKind::Lstm, "lstm", 4)] {
        assert_eq!((kind.to_string(), name.parse::<CellKind>().unwrap(), kind.gates()), (name.into(), kind, gates));
    }
    assert_eq!(
        "LSTM".parse::<CellKind>().unwrap_err().to_string(),
        "cell: expected 'rnn', 'gru' or 'lstm', got 'LSTM'"
    );
}

#[test]
fn where_the_layers_are_must_be_plain() {
    let two = [table_of(&with(gru(), |it| it.prefix = "a.".into())), table_of(&lstm())].concat();
    let file = file_of(&two);
    assert_eq!(
        text(&describe(&file, None, None).unwrap_err()),
        "the file has recurrent weights behind 'a.', 'rnn.'; choose one of these prefixes"
    );
    assert_eq!(describe(&file, Some("rnn"), None).unwrap(), lstm());
    assert_eq!(
        text(&describe(&file, Some(""), None).unwrap_err()),
        "prefix '': no recurrent weights are behind it; the file has recurrent weights behind 'a.', 'rnn.'"
    );

    let none = file_of(&[("linear.weight".into(), vec![1]), ("bias_ih_l0".into(), vec![1])]);
    assert_eq!(
        text(&describe(&none, None, None).unwrap_err()),
        "the file has no recurrent weights, such as weight_ih_l0 or rnn.weight_ih_l0"
    );
    assert_eq!(
        text(&describe(&none, Some("linear"), None).unwrap_err()),
        "prefix 'linear.': no recurrent weights are behind it; the file has no recurrent weights"
    );

    // A tensor at the root that is no recurrent weight does not make it the place.
    let beside = [table_of(&lstm()), vec![("scale".into(), vec![])]].concat();
    assert_eq!(describe(&file_of(&beside), None, None).unwrap(), lstm());
    // What lies behind one more dot is another module's, at the root too.
    let root = [table_of(&gru()), vec![("linear.weight".into(), vec![1]), ("b.weight_ih".into(), vec![1])]].concat();
    let file = file_of(&root);
    let description = describe(&file, None, None).unwrap();
    assert_eq!(description, gru());
    let table: Vec<_> = table_of(&gru());
    let mut params = params_of(&table.iter().map(|(name, shape)| (&name[..], &shape[..])).collect::<Vec<_>>());
    let report = file.load_into(&mut params, &LoadOptions::from(&description)).unwrap();
    assert_eq!(report.left_aside, ["b.weight_ih", "linear.weight"]);
    assert!(file.load_into(&mut params, &LoadOptions::new()).is_err());
}

#[test]
fn thousands_of_layers_are_described() {
    let many = with(gru(), |it| it.hidden_sizes = vec![1; 5000]);
    let mut table = table_of(&many);
    assert_eq!(describe(&file_of(&table), None, None).unwrap(), many);
    table.retain(|(name, _)| !name.ends_with('7'));
    let Error::Weights { problems, .. } = describe(&file_of(&table), None, None).unwrap_err() else { panic!() };
    assert_eq!(problems.len(), 500);
    assert_eq!(problems[1], "weight_ih_l18: expected layer 17 next, as none is left out, got layer 18");
}

/// Sizes as large as a file can say, in tensors without elements.
#[test]
fn attack_sizes_at_the_edge_of_what_can_be_multiplied() {
    const MOST: &str = "999999999999999999";
    let file = |ih: &str, hh: &str| {
        let entry = |shape| format!(r#"{{"dtype":"F32","shape":[{shape}],"data_offsets":[0,0]}}"#);
        raw_file(format!(r#"{{"weight_ih_l0":{},"weight_hh_l0":{}}}"#, entry(ih), entry(hh)), &[])
    };
    for (ih, hh, expected) in [
        (
            format!("0,{MOST}"),
            format!("0,{MOST}"),
            format!(
                "weight_hh_l0: expected [{MOST}, {MOST}] of cell rnn, [2999999999999999997, {MOST}] of cell gru or \
                 [3999999999999999996, {MOST}] of cell lstm, got [0, {MOST}]; say which cell it is"
            ),
        ),
        (
            format!("{MOST},0"),
            format!("{MOST},0"),
            format!(
                "weight_hh_l0: expected hidden_size of at least 1, got [{MOST}, 0]; \
                 weight_ih_l0: expected input_size of at least 1, got [{MOST}, 0]"
            ),
        ),
        (
            format!("{MOST},0,{MOST}"),
            "0".into(),
            format!(
                "weight_ih_l0: expected 2 dimensions, got [{MOST}, 0, {MOST}]; weight_hh_l0: expected 2 dimensions, got [0]"
            ),
        ),
    ] {
        assert_eq!(text(&describe(&open(&file(&ih, &hh)).unwrap(), None, None).unwrap_err()), expected);
    }

    for (description, overflows) in [
        (with(gru(), |it| it.hidden_sizes = vec![usize::MAX]), true),
        (with(gru(), |it| it.input_size = usize::MAX), true),
        (with(gru(), |it| it.hidden_sizes = vec![1, usize::MAX / 2]), true),
        (with(lstm(), |it| it.proj_size = usize::MAX), true),
        (with(lstm(), |it| it.input_size = isize::MAX as usize / 12), true),
        (with(lstm(), |it| it.hidden_sizes = vec![0; 3]), false),
        (
            with(lstm(), |it| {
                it.hidden_sizes = vec![];
                it.input_size = usize::MAX;
            }),
            false,
        ),
    ] {
        match description.parameters() {
            Ok(0) => assert!(!overflows, "{description:?}"),
            Err(Error::Overflow { .. }) => assert!(overflows, "{description:?}"),
            other => panic!("{description:?}: {other:?}"),
        }
    }
}

#[test]
fn mutated_files_never_panic_and_are_what_they_are_described_as() {
    let folder = Folder::new();
    let path = folder.path("model");
    let original =
        crate_file(&table_of(&lstm()).iter().map(|(name, shape)| zeros(name, Dtype::F32, shape)).collect::<Vec<_>>());
    let header = 8 + usize::from(original[0]) + 256 * usize::from(original[1]);
    let mut rng = Rng::new(1);
    let mut below = |n: usize| rng.below(n);
    const TEXT: &[u8] = b"0123456789ihr_lbws.\"\\,[]";
    let (mut described, mut formats, mut weights) = (0, 0, 0);
    for _ in 0..4000 {
        let mut contents = original.clone();
        for _ in 0..1 + below(2) {
            let at = 8 + below(header - 8);
            match (below(2), (at..header).find(|&at| contents[at].is_ascii_digit())) {
                (0, Some(at)) => contents[at] = TEXT[below(10)],
                _ => contents[at] = TEXT[below(TEXT.len())],
            }
        }
        fs::write(&path, &contents).unwrap();
        let file = match TensorFile::open(&path) {
            Ok(file) => file,
            Err(error) => {
                assert!(matches!(error, Error::Format { .. }), "{error}");
                formats += 1;
                continue;
            }
        };
        for kind in [None, Some(CellKind::Rnn), Some(CellKind::Lstm)] {
            match describe(&file, None, kind) {
                Ok(description) => {
                    described += 1;
                    let mut table = table_of(&description);
                    table.sort();
                    let inside = || file.iter().filter(|info| info.name.starts_with(&description.prefix));
                    assert_eq!(inside().map(|info| (info.name.into(), info.shape.into())).collect::<Table>(), table);
                    // Then it is loaded, unless another type came of F32.
                    let behind = |(name, shape): &'_ (String, Vec<usize>)| {
                        (name[description.prefix.len()..].to_string(), shape.clone())
                    };
                    let names: Vec<_> = table.iter().map(behind).collect();
                    let mut params =
                        params_of(&names.iter().map(|(name, shape)| (&name[..], &shape[..])).collect::<Vec<_>>());
                    let floats = inside().all(|info| info.dtype == elman::format::Dtype::F32);
                    assert_eq!(file.load_into(&mut params, &LoadOptions::from(&description)).is_ok(), floats);
                }
                Err(error) => {
                    text(&error);
                    weights += 1;
                }
            }
        }
    }
    assert!(described > 100 && formats > 100 && weights > 100, "{described} {formats} {weights}");
}
