//! What the types that a user meets can do, whatever they are made of.

use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};

use elman::internals::{Cell, Direction};
use elman::optim::SparseAdam;
use elman::params::{ParamId, ParamTable};
use elman::tensor::{Mat, MatMut, PackedRef, PackedSequence, Seq, SeqMut, SeqRef};
use elman::train::{Batches, EarlyStopping, GradientFlow, Scheduler};
use elman::{
    Error, ErrorKind, Input, Isa, Lstm, Model, ModelSpec, Nonlinearity, Params, Rng, State, Threads, Workspace,
};

fn is_shared<T: Send + Sync + Debug>() {}

fn is_sent<T: Send + Debug>() {}

/// Compiles or does not.
#[test]
fn public_types_can_be_shared_between_threads_and_printed() {
    is_shared::<Model>();
    is_shared::<ModelSpec>();
    is_shared::<Workspace>();
    is_shared::<State>();
    is_shared::<Input<'_>>();
    is_shared::<Params>();
    is_shared::<ParamTable>();
    is_shared::<ParamId>();
    is_shared::<(Seq, PackedSequence)>();
    is_shared::<(SeqRef<'_>, SeqMut<'_>, PackedRef<'_>, Mat<'_>)>();
    is_shared::<(Error, ErrorKind, Isa, Cell, Direction, Nonlinearity)>();
    is_shared::<(GradientFlow, Batches, EarlyStopping, Scheduler, SparseAdam)>();
    is_sent::<(Rng, Threads)>();
}

#[test]
fn sequences_are_printed_by_their_shapes() {
    let mut seq = Seq::zeros(2, 3, 4).unwrap();
    assert_eq!(format!("{seq:?} {:?} {:?}", seq.view(), seq.view().step(0)), "Seq[2, 3, 4] SeqRef[2, 3, 4] Mat[3, 4]");
    let mut view = seq.view_mut();
    let step: MatMut<'_> = view.step(1);
    assert_eq!(format!("{step:?}"), "MatMut[3, 4]");
    let packed = PackedSequence::from_rows(&[&[1.0], &[2.0, 3.0]], 1).unwrap();
    assert_eq!(format!("{packed:?} {:?}", packed.view()), "PackedSequence[up to 2, 2, 1] PackedRef[up to 2, 2, 1]");
}

/// What only `internals` gives out, and the reference, whose fields are the terms of its equations and whose example is the
/// module's.
const FIXED: &[&str] =
    &["src/gemm", "src/plan", "src/layer/linear.rs", "src/layer/recurrent", "src/reference", "src/reference.rs"];
/// More of the same; and the macros' names, whose documentation stands where the macros are used.
const INTERNAL: &[&str] = &[
    "$name",
    "$config",
    "$optimizer",
    "BackwardArgs",
    "Blocking",
    "Buffer",
    "Direction",
    "Kernels",
    "NetworkConfig",
    "Recurrent",
    "RecurrentWorkspace",
];

/// A public type or trait as it is written down.
struct Declaration {
    place: String,
    is_enum: bool,
    /// Has fields that users can name.
    has_fields: bool,
    /// What stands above it, from the last line up.
    above: Vec<String>,
}

/// Every one that a user can name.
fn declarations() -> Vec<Declaration> {
    fn sources(folder: &Path, all: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { sources(&path, all) } else { all.push(path) }
        }
    }
    let mut files = Vec::new();
    sources(Path::new("src"), &mut files);
    files.retain(|file| !FIXED.iter().any(|fixed| file.starts_with(fixed)));
    let mut all = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        for (i, line) in lines.iter().enumerate() {
            let kind = ["pub enum ", "pub struct ", "pub trait "].iter().find(|kind| line.starts_with(**kind));
            let Some(kind) = kind else { continue };
            let name = line[kind.len()..].split([' ', '<', '(', ':']).next().unwrap_or_default();
            if INTERNAL.contains(&name) {
                continue;
            }
            // Its end is the first line that is a brace.
            let mut inside = lines[i + 1..].iter().take_while(|line| **line != "}");
            let above = lines[..i].iter().rev().take_while(|line| line.starts_with('#') || line.starts_with("///"));
            all.push(Declaration {
                place: format!("{}: {line}", file.display()),
                is_enum: line.starts_with("pub enum ") && line.ends_with('{'),
                has_fields: *kind == "pub struct "
                    && line.ends_with('{')
                    && inside.any(|line| line.starts_with("pub ")),
                above: above.map(|line| line.to_string()).collect(),
            });
        }
    }
    assert!(all.len() > 50, "{} declarations were found", all.len());
    all
}

/// What can grow without a new major version: an enum that users can match on, a struct with fields that they can name.
#[test]
fn public_enums_and_settings_can_grow() {
    let open = declarations().into_iter().filter(|it| it.is_enum || it.has_fields);
    let is_exhaustive = |it: &Declaration| !it.above.iter().any(|line| line == "#[non_exhaustive]");
    let exhaustive: Vec<_> = open.filter(is_exhaustive).map(|it| it.place).collect();
    assert!(exhaustive.is_empty(), "expected #[non_exhaustive]: {exhaustive:#?}");
}

#[test]
fn every_public_type_has_an_example() {
    let without = declarations().into_iter().filter(|it| !it.above.iter().any(|line| line.starts_with("/// ```")));
    let without: Vec<_> = without.map(|it| it.place).collect();
    assert!(without.is_empty(), "expected an example: {without:#?}");
}

#[test]
fn what_is_not_there_is_none() {
    let mut table = ParamTable::new();
    let [weight, bias] = [("weight", 4), ("bias", 2)].map(|(name, len)| table.add(name, &[len]).unwrap());
    let mut short = ParamTable::new();
    short.add("weight", &[4]).unwrap();
    let (mut params, mut short) = (Params::zeros(table), Params::zeros(short));
    assert_eq!(params.get(bias), Some(&[0.0; 2][..]));
    assert_eq!(params.get_many_mut([bias, weight]).map(|[bias, weight]| (bias.len(), weight.len())), Some((2, 4)));
    assert!(params.get_many_mut([bias, bias]).is_none());
    assert!(short.get(bias).is_none() && short.get_mut(bias).is_none());
    assert!(short.get_many_mut([weight, bias]).is_none());

    let model = Lstm::builder(3, 8).num_layers(2).model(&mut Rng::new(1)).unwrap();
    let state = model.zero_state(4).unwrap();
    assert_eq!(state.h_of(1).map(|h| h.shape()), Some([1, 4, 8]));
    assert!(state.h_of(2).is_none() && state.c_of(2).is_none());
    assert!(State::default().h_of(0).is_none());
}

/// The root has what a user of a model meets, and no more than one takes in; everything else is in its module.
#[test]
fn the_root_is_small() {
    let root = fs::read_to_string("src/lib.rs").unwrap();
    let exports = root.split("pub mod internals").next().unwrap().split("\npub use ").skip(1);
    let names: Vec<_> = exports
        .flat_map(|export| {
            let export = export.split(';').next().unwrap();
            let names = export.split_once('{').map_or(export, |(_, names)| names);
            names.split(',').map(|name| name.rsplit("::").next().unwrap().trim_matches(['}', '\n', ' ']).to_string())
        })
        .filter(|name| !name.is_empty())
        .collect();
    assert!((25..=35).contains(&names.len()), "{}: {names:?}", names.len());
    for name in ["Model", "Lstm", "Workspace", "Params", "Error"] {
        assert!(names.iter().any(|known| known == name), "{name} is not among {names:?}");
    }
}

/// Settings are as they were after a way through JSON, those that are left out are the usual ones, and an optimiser goes on
/// from its state.
#[cfg(feature = "serde")]
#[test]
fn settings_and_states_go_through_serde() {
    use elman::optim::{Adam, AdamConfig, AdamWConfig, Optimizer, OptimizerState, SgdConfig};

    let mut adam = AdamConfig::default().lr(0.5).betas(0.8, 0.9);
    adam.isa = Some(Isa::Portable);
    let json = serde_json::to_string(&adam).unwrap();
    assert!(json.contains("\"isa\":\"portable\""), "{json}");
    assert_eq!(serde_json::from_str::<AdamConfig>(&json).unwrap(), adam);
    assert_eq!(serde_json::from_str::<AdamWConfig>("{\"lr\": 0.5}").unwrap(), AdamWConfig::default().lr(0.5));
    assert_eq!(serde_json::from_str::<SgdConfig>("{}").unwrap(), SgdConfig::default());
    for isa in Isa::ALL {
        assert_eq!(serde_json::to_string(isa).unwrap(), format!("\"{isa}\""));
    }

    let mut model = Lstm::builder(1, 2).model(&mut Rng::new(1)).unwrap();
    let mut optimizer = Adam::new(model.params(), adam).unwrap();
    let mut gradients = model.params().zeros_like();
    gradients.data_mut().fill(0.1);
    optimizer.step(&mut model.params_mut(), &gradients).unwrap();
    let state = optimizer.state();
    let json = serde_json::to_string(&state).unwrap();
    assert_eq!(serde_json::from_str::<OptimizerState>(&json).unwrap(), state);
}
