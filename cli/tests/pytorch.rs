//! PyTorch beside, as a live oracle: fresh random networks in every run. `ELMAN_PYTHON` names an interpreter that has
//! torch, safetensors and numpy; without it `python3` is asked. Where they are not there, each test reads as ignored, with
//! the reason: that is known only when it runs, and Rust's own test harness has no such result, so this file has another.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use elman::format::{NO_METADATA, TensorFile, write_tensors};
use elman::internals::{BackwardArgs, Cell, NetworkConfig, Recurrent, RecurrentWorkspace};
use elman::loss::MeanSquaredError;
use elman::optim::{Adam, AdamConfig};
use elman::params::ParamTable;
use elman::tensor::{PackedSequence, Seq, SeqRef};
use elman::train::Trainer;
use elman::{Activation, CellSpec, LayerKind, LayerSpec, Model, ModelSpec, Readout, RecurrentSpec};
use elman::{Input, Lstm, LstmBuilder, Params, Rng, State, Threads};
use libtest_mimic::{Arguments, Completion, Trial};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Configurations of one run of a test: some seconds.
const COUNT: usize = 40;

/// Of max(1, |value|): 17 times f32's spacing at 1.
const FORWARD: f32 = 2e-6;

/// Of the largest element, or of 1: sums over all steps and rows in another order.
const GRADIENTS: f32 = 1e-5;

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pytorch").join(name)
}

fn main() -> ExitCode {
    let trials = vec![
        trial("elman_run_gives_what_pytorch_gives", elman_run_gives_what_pytorch_gives),
        trial("every_gradient_is_what_pytorch_gives", every_gradient_is_what_pytorch_gives),
        trial("pytorch_loads_what_was_trained_here", pytorch_loads_what_was_trained_here),
        Trial::test("without_pytorch_every_test_reads_as_ignored", || {
            without_pytorch_every_test_reads_as_ignored();
            Ok(())
        }),
        trial("a_model_loads_strictly_into_the_module_that_inspect_prints", the_module_that_inspect_prints),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A test that needs an interpreter with PyTorch.
fn trial(name: &str, test: fn(&str)) -> Trial {
    Trial::ignorable_test(name, move || match python() {
        Ok(python) => {
            test(python);
            Ok(Completion::Completed)
        }
        Err(reason) => Ok(Completion::ignored_with(reason)),
    })
}

/// Runs the other tests of this file with an interpreter that is not there.
fn without_pytorch_every_test_reads_as_ignored() {
    let mut others = Command::new(std::env::current_exe().unwrap());
    others.args(["--skip", "without_pytorch"]).env("ELMAN_PYTHON", "/not/there/python");
    let output = others.output().unwrap();
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("0 passed; 0 failed; 4 ignored"), "{said}");
    assert!(said.contains("/not/there/python has no PyTorch to compare with"), "{said}");
}

/// An interpreter with PyTorch, or why there is none. Asked once: the answer takes a second.
fn python() -> &'static Result<String, String> {
    static PYTHON: OnceLock<Result<String, String>> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let python = std::env::var("ELMAN_PYTHON").unwrap_or_else(|_| "python3".into());
        let reason = match Command::new(&python).args(["-c", "import numpy, safetensors, torch"]).output() {
            Ok(output) if output.status.success() => return Ok(python),
            Ok(output) => String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or("it failed").to_string(),
            Err(error) => error.to_string(),
        };
        Err(format!("{python} has no PyTorch to compare with: {reason}"))
    })
}

fn text(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    format!("{out}{err}")
}

/// Runs a script of `tests/pytorch`; what it printed.
fn pytorch(python: &str, name: &str, args: &[&str]) -> String {
    let mut command = Command::new(python);
    // No caches beside the sources.
    command.arg(script(name)).args(args).env("PYTHONDONTWRITEBYTECODE", "1");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{name} {args:?}: {}", text(&output));
    text(&output)
}

/// Another one in every run, printed so that a failure can be had again.
fn seed() -> String {
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u32;
    eprintln!("seed {seed}");
    seed.to_string()
}

/// The folders of a run's configurations.
fn folders(folder: &TempDir) -> Vec<PathBuf> {
    let mut all: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    assert_eq!(all.len(), COUNT);
    all
}

fn elman_run_gives_what_pytorch_gives(python: &str) {
    let folder = TempDir::new().unwrap();
    let directory = folder.path().to_str().unwrap();
    pytorch(python, "live.py", &[&COUNT.to_string(), &seed(), directory]);
    for path in folders(&folder) {
        let more: Vec<String> = serde_json::from_slice(&fs::read(path.join("args.json")).unwrap()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_elman"));
        command.current_dir(&path).args(["run", "--json", "--weights", "weights.safetensors"]);
        command.args(["--input", "input.safetensors", "--output", "output.safetensors"]).args(more);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}: {}", path.display(), text(&output));
    }
    eprint!("{}", pytorch(python, "live.py", &["compare", directory]));
}

/// One case of `live.py gradients`.
struct Case {
    path: PathBuf,
    file: TensorFile,
    about: Value,
    /// (B), where the input is packed.
    lengths: Option<Vec<usize>>,
}

/// A tensor in the form that the network takes.
enum Held {
    Padded(Seq),
    Unbatched(Vec<f32>, usize),
    Packed(PackedSequence),
}

impl Held {
    fn input(&self) -> Input<'_> {
        match self {
            Held::Padded(x) => x.into(),
            Held::Unbatched(x, width) => Input::unbatched(x, *width).unwrap(),
            Held::Packed(x) => x.into(),
        }
    }
}

impl Case {
    fn open(folder: &Path) -> Self {
        let path = folder.join("case.safetensors");
        let file = TensorFile::open(&path).unwrap();
        let (_, about) = file.metadata().find(|&(key, _)| key == "case").unwrap();
        let about: Value = serde_json::from_str(about).unwrap();
        let lengths = file.read_integers("lengths").ok();
        let lengths = lengths.map(|(_, lengths)| lengths.into_iter().map(|n| usize::try_from(n).unwrap()).collect());
        Self { path, file, about, lengths }
    }

    fn size(&self, key: &str) -> usize {
        self.about[key].as_u64().unwrap() as usize
    }

    fn flag(&self, key: &str) -> bool {
        self.about[key].as_bool().unwrap()
    }

    fn config(&self) -> NetworkConfig {
        let cell = match self.about["cell"].as_str().unwrap() {
            "gru" => Cell::Gru,
            "lstm" => Cell::Lstm,
            _ => Cell::Elman(self.about["nonlinearity"].as_str().unwrap().parse().unwrap()),
        };
        let hidden_sizes = vec![self.size("hidden_size"); self.size("num_layers")];
        NetworkConfig {
            bias: self.flag("bias"),
            batch_first: self.flag("batch_first"),
            bidirectional: self.flag("bidirectional"),
            proj_size: self.size("proj_size"),
            ..NetworkConfig::new(cell, self.size("input_size"), hidden_sizes)
        }
    }

    /// The tensor of that name, `input` or one like it.
    fn held(&self, name: &str) -> Held {
        let (shape, values) = self.file.read_f32(name).unwrap();
        let [outer, inner, width] = match shape[..] {
            [_, width] => return Held::Unbatched(values, width),
            [outer, inner, width] => [outer, inner, width],
            _ => panic!("{name}: {shape:?}"),
        };
        let x = Seq::from_slice(&values, outer, inner, width).unwrap();
        match &self.lengths {
            None => Held::Padded(x),
            Some(lengths) if self.flag("batch_first") => {
                Held::Packed(PackedSequence::from_batch_first(x.view(), lengths).unwrap())
            }
            Some(lengths) => Held::Packed(PackedSequence::from_padded(x.view(), lengths).unwrap()),
        }
    }

    /// h and c of these names, where the file has them.
    fn state(&self, network: &Recurrent, [h, c]: [&str; 2]) -> Option<State> {
        let batch = self.size("batch");
        let part = |name| {
            let (shape, values) = self.file.read_f32(name).ok()?;
            Some(Seq::from_slice(&values, shape[0], batch, *shape.last().unwrap()).unwrap())
        };
        let (h, c) = (part(h)?, part(c));
        Some(network.state(batch, Some(h.view()), c.as_ref().map(Seq::view)).unwrap())
    }

    /// What came out of the network, as the file has it.
    fn padded(&self, pass: &RecurrentWorkspace, backward: bool) -> Vec<f32> {
        let dense = |x: SeqRef<'_>| x.flat().unwrap().to_vec();
        if self.lengths.is_none() {
            return dense(if backward { pass.d_input().unwrap() } else { pass.output() });
        }
        let packed = if backward { pass.packed_d_input().unwrap() } else { pass.packed_output() };
        let steps = self.size("steps");
        let batch_first = self.flag("batch_first");
        let padded = if batch_first { packed.to_batch_first(steps) } else { packed.to_padded(steps) };
        padded.unwrap().data().to_vec()
    }

    /// The largest difference, as a share of what may be.
    fn assert_close(&self, name: &str, got: &[f32]) -> f32 {
        let (shape, expected) = self.file.read_f32(name).unwrap();
        let at = format!("{} {name} {shape:?} of {}", self.path.display(), self.about);
        assert_eq!(got.len(), expected.len(), "{at}");
        let allowed = GRADIENTS * expected.iter().fold(1.0_f32, |largest, x| largest.max(x.abs()));
        let mut worst = 0.0_f32;
        for (i, (got, expected)) in got.iter().zip(&expected).enumerate() {
            let difference = (got - expected).abs();
            // A NaN is not close to anything.
            assert!(difference <= allowed, "{at}: {got} instead of {expected} at {i}, and may be {allowed} off");
            worst = worst.max(difference / allowed);
        }
        worst
    }

    /// The largest difference of all, as a share of what may be.
    fn check(&self, threads: Threads) -> f32 {
        let mut layout = ParamTable::new();
        let mut network = Recurrent::new(self.config(), &mut layout, "").unwrap();
        let mut params = Params::zeros(layout);
        let names: Vec<_> = params.iter().map(|(name, ..)| name.to_string()).collect();
        for name in &names {
            let (shape, values) = self.file.read_f32(name).unwrap();
            params.set(name, &shape, &values).unwrap();
        }
        network.load(&params).unwrap();

        let (input, d_output) = (self.held("input"), self.held("d_output"));
        let state = self.state(&network, ["h_0", "c_0"]);
        let d_state = self.state(&network, ["d_h_n", "d_c_n"]);
        assert_eq!((state.is_some(), d_state.is_some()), (self.flag("h_0"), true));
        let mut pass = RecurrentWorkspace::default();
        network.forward_training(input.input(), state.as_ref(), 0, &mut pass, threads).unwrap();
        let lstm = network.config().cell == Cell::Lstm;
        let mut worst = self.assert_close("output", &self.padded(&pass, false));
        let mut compare = |name: &str, got: &[f32]| worst = worst.max(self.assert_close(name, got));
        compare("h_n", pass.state().h());
        if lstm {
            compare("c_n", pass.state().c());
        }

        let mut gradients = params.zeros_like();
        let args = BackwardArgs {
            input: input.input(),
            state: state.as_ref(),
            d_output: d_output.input(),
            d_state_n: d_state.as_ref(),
            wants_d_input: true,
            wants_d_state_0: state.is_some(),
        };
        network.backward(&params, args, &mut gradients, &mut pass, threads).unwrap();
        compare("d_input", &self.padded(&pass, true));
        for (name, _, values) in gradients.iter() {
            compare(&format!("d_{name}"), values);
        }
        if state.is_some() {
            compare("d_h_0", pass.d_state_0().unwrap().h());
            if lstm {
                compare("d_c_0", pass.d_state_0().unwrap().c());
            }
        }
        worst
    }
}

fn every_gradient_is_what_pytorch_gives(python: &str) {
    let folder = TempDir::new().unwrap();
    pytorch(python, "live.py", &["gradients", &COUNT.to_string(), &seed(), folder.path().to_str().unwrap()]);
    let worst = folders(&folder)
        .iter()
        .enumerate()
        .fold(0.0_f32, |worst, (n, path)| worst.max(Case::open(path).check(Threads::new(1 + n % 2).unwrap())));
    eprintln!("{COUNT} configurations; the largest difference is {:.0} % of what may be", 100.0 * worst);
}

fn pytorch_loads_what_was_trained_here(python: &str) {
    let plain = json!({"input_size": 3, "hidden_size": 12, "num_layers": 2});
    trained(python, Lstm::builder(3, 12).num_layers(2), &plain);
    let all = json!({
        "input_size": 3, "hidden_size": 12, "num_layers": 2, "bidirectional": true, "proj_size": 5, "batch_first": true,
    });
    let builder = Lstm::builder(3, 12).num_layers(2).bidirectional(true).proj_size(5).batch_first(true);
    trained(python, builder, &all);
}

/// Trains the network for some steps and saves it; PyTorch's network of these settings is the same one.
fn trained(python: &str, network: LstmBuilder, settings: &Value) {
    let folder = TempDir::new().unwrap();
    let [model, input, output] = ["model", "input", "output"].map(|name| folder.path().join(name));
    let mut rng = Rng::new(3);
    let mut trained = network.linear("linear", 2).name("rnn").model(&mut rng).unwrap();
    let adam = Adam::new(trained.params(), AdamConfig::default().lr(0.01)).unwrap();
    let mut trainer = Trainer::new(adam);
    let mut x = Seq::zeros(11, 4, 3).unwrap();
    let mut target = Seq::zeros(11, 4, 2).unwrap();
    for _ in 0..10 {
        x.data_mut().iter_mut().for_each(|x| *x = rng.uniform(-1.0, 1.0));
        target.data_mut().iter_mut().for_each(|x| *x = rng.uniform(-1.0, 1.0));
        trainer.step(&mut trained, &x, &mut MeanSquaredError::new(&target)).unwrap();
    }
    trained.save(&model).unwrap();
    write_tensors(&input, &[("input", &[11, 4, 3], x.data())], NO_METADATA).unwrap();
    let paths = [&model, &input, &output].map(|path| path.to_str().unwrap());
    pytorch(python, "load.py", &[&[&settings.to_string()[..]], &paths[..]].concat());

    let expected = TensorFile::open(&output).unwrap();
    let close = |name: &str, got: &[f32]| {
        let (shape, expected) = expected.read_f32(name).unwrap();
        assert_eq!(got.len(), expected.len(), "{name} {shape:?} of {settings}");
        for (i, (got, expected)) in got.iter().zip(&expected).enumerate() {
            let close = (got - expected).abs() <= FORWARD * expected.abs().max(1.0);
            assert!(close, "{name} of {settings}: {got} instead of {expected} at {i}");
        }
    };
    let run = trained.run(&x).unwrap();
    close("prediction", run.values().flat().unwrap());
    close("h_n", run.state().h());
    close("c_n", run.state().c());
}

/// Models of every layer, of parts, of weights at the root and behind names that are none of Python's.
fn the_module_that_inspect_prints(python: &str) {
    let mut gru = RecurrentSpec::gru(vec![6, 6]);
    gru.bidirectional = true;
    let mut own = RecurrentSpec::lstm(vec![5, 5]);
    (own.initial_state, own.proj_size, own.dropout) = (true, 3, 0.25);
    let inner = vec![
        LayerSpec::new("rnn", RecurrentSpec::new(CellSpec::rnn(Activation::Relu), vec![7])),
        LayerSpec::new("fc", LayerKind::linear_without_bias(3)),
    ];
    let everything = ModelSpec::new(3)
        .layer("", LayerKind::scale(vec![0.5], vec![0.1, -0.2, 0.3]))
        .layer("encoder.rnn", gru)
        .layer("0.lstm", own)
        .layer("block", LayerKind::residual(0, inner))
        .layer("", Activation::Sigmoid)
        .layer("", Readout::Mean)
        .layer("head.fc", LayerKind::linear(4))
        .layer("", Activation::Softmax);
    let embedding = ModelSpec::new(1)
        .layer("embed", LayerKind::embedding(9, 4))
        .layer("lstm", RecurrentSpec::lstm(vec![5]))
        .layer("", Readout::Last)
        .layer("fc", LayerKind::linear(2))
        .batch_first(true);
    let mut bare = RecurrentSpec::rnn(vec![4]);
    bare.bias = false;
    let root = ModelSpec::new(3).layer("", bare).layer("", Readout::Max);
    let parts = ModelSpec::new(3).layer("fc", LayerKind::linear(2)).part("encoder", root.clone());
    for (name, spec) in [("everything", everything), ("embedding", embedding), ("root", root), ("parts", parts)] {
        let folder = TempDir::new().unwrap();
        let at = |name: &str| folder.path().join(name);
        let indices = name == "embedding";
        let mut rng = Rng::new(7);
        let mut model = Model::init(spec, &mut rng).unwrap();
        // First states are drawn as zeros, which would show no difference.
        model.params_mut().data_mut().iter_mut().for_each(|value| *value += rng.uniform(-0.1, 0.1));
        model.save(at("model.safetensors")).unwrap();
        let (steps, rows, width) = (6, 4, model.inputs());
        let values: Vec<f32> = (0..steps * rows * width)
            .map(|_| if indices { rng.uniform(0.0, 9.0).floor().min(8.0) } else { rng.uniform(-1.0, 1.0) })
            .collect();
        let output = model.run(SeqRef::new(&values, steps, rows, width).unwrap()).unwrap();
        let (y, h) = (output.values(), output.state().h());
        let y = y.flat().unwrap();
        let tensors =
            [("input", &[steps, rows, width][..], &values[..]), ("output", &[y.len()], y), ("h", &[h.len()], h)];
        write_tensors(at("io.safetensors"), &tensors, NO_METADATA).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_elman"));
        let printed = command.args(["inspect", "--pytorch"]).arg(at("model.safetensors")).output().unwrap();
        assert!(printed.status.success(), "{name}: {}", text(&printed));
        fs::write(at("module.py"), &printed.stdout).unwrap();
        let directory = folder.path().to_str().unwrap();
        pytorch(python, "module.py", &[directory, if indices { "indices" } else { "features" }]);
    }
}
