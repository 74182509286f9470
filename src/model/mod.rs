//! Floor 5: a model as its user holds it: what it is ([`ModelSpec`]), its parameters, and their panels.
//!
//! `spec/` is what a model is, `chain/` its layers as they run, `workspace.rs` the memory they run in, `run.rs` inference,
//! `training/` a run forward and its backward pass to gradients, `builder.rs` the builders with PyTorch's names, `file.rs` and
//! `state_dict/` models in files, `metadata.rs` what else such a file says.

mod builder;
mod chain;
#[cfg(feature = "safetensors")]
mod file;
mod guard;
#[cfg(feature = "safetensors")]
mod metadata;
mod pytorch;
mod run;
mod spec;
#[cfg(feature = "safetensors")]
mod state_dict;
mod steps;
mod text;
mod training;
mod training_state;
mod workspace;

pub use builder::ModelBuilder;
pub(crate) use chain::StepMemory;
pub use guard::ParamsMut;
pub use run::Output;
pub use spec::{
    Activation, CellSpec, GruCellSpec, LayerKind, LayerSpec, LstmCellSpec, ModelSpec, Readout, RecurrentSpec, Reset,
    RnnCellSpec,
};
pub use training::{Gradients, Run, Upstream};
pub use training_state::TrainingState;
pub use workspace::Workspace;

use std::collections::HashSet;

use crate::error::{Error, Result};
use crate::kernel::{Isa, Kernels};
use crate::layer::{Direction, Sizes};
use crate::network::{Input, State};
use crate::params::{ParamTable, Params, Tensors};
use crate::rng::Rng;
use chain::{BuildContext, Chain, OwnState};
use guard::Copied;

/// A model: what it is, its parameters, and a copy of them in the order that the kernels read.
///
/// It is used through `&self`, by any number of threads at once, and nothing in it changes then; the memory that it runs in
/// is a [`Workspace`]. Its parameters change only through [`params_mut`](Self::params_mut), so the copy is never out of
/// step with them.
///
/// ```
/// use elman::tensor::Seq;
/// use elman::{Lstm, Rng};
///
/// // Two layers over 3 features, and a linear head of 1 value a step; drawn as PyTorch does.
/// let model = Lstm::builder(3, 8).num_layers(2).linear("fc", 1).model(&mut Rng::new(1))?;
/// let x = Seq::zeros(5, 2, 3)?; // (T, B, I)
/// let output = model.run(&x)?;
/// assert_eq!(output.values().shape(), [5, 2, 1]);
/// assert_eq!(output.state().c_shape(), [2, 2, 8]);
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Model {
    spec: ModelSpec,
    chain: Chain,
    kernels: &'static Kernels,
    params: Params,
    /// Which parameters the spec has; those that stand in `params` may be another model's.
    tensors: Tensors,
    copied: Copied,
    /// Every recurrent layer in every direction: what states are made of.
    sizes: Vec<Sizes>,
    /// First states that are parameters.
    own: Vec<OwnState>,
    /// Features of the output.
    outputs: usize,
    /// Floating-point operations of the largest layer over a row of one step.
    row_flop: f64,
    parts: Vec<(String, Model)>,
    #[cfg(feature = "safetensors")]
    origin: file::Origin,
}

impl Model {
    /// The model of that spec without its parameters: it runs once they are [loaded](Self::load) or set by
    /// [`params_mut`](Self::params_mut), and refuses to until then. [`init`](Self::init) draws them.
    ///
    /// ```
    /// use elman::tensor::Seq;
    /// use elman::{ErrorKind, Model, ModelSpec, RecurrentSpec};
    ///
    /// let mut model = Model::new(ModelSpec::new(3).layer("", RecurrentSpec::gru(vec![8])))?;
    /// let x = Seq::zeros(5, 2, 3)?;
    /// assert_eq!(model.run(&x).unwrap_err().kind(), ErrorKind::Stale);
    /// model.params_mut().data_mut().fill(0.0);
    /// assert!(model.run(&x).is_ok());
    /// # Ok::<(), elman::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for what the engine cannot run,
    /// [`ErrorKind::Setting`](crate::ErrorKind::Setting) for sizes of zero or that do not fit, for names that are taken, also
    /// a part's by a layer or by another part,
    /// [`ErrorKind::Overflow`](crate::ErrorKind::Overflow) for sizes that cannot be addressed,
    /// [`ErrorKind::Isa`](crate::ErrorKind::Isa) for an unknown or unavailable `ELMAN_ISA`.
    pub fn new(spec: ModelSpec) -> Result<Self> {
        Self::on(spec, None)
    }

    /// The same on a tier of one's choice, and not on the machine's best.
    ///
    /// # Errors
    /// As [`new`](Self::new), and [`ErrorKind::Isa`](crate::ErrorKind::Isa) for a tier that this machine lacks.
    pub fn on(spec: ModelSpec, isa: impl Into<Option<Isa>>) -> Result<Self> {
        let kernels = match isa.into() {
            None => Kernels::active()?,
            Some(isa) => Kernels::named(isa.name())?,
        };
        if spec.version > ModelSpec::VERSION {
            let what = format!("a spec of version {}, newer than {}", spec.version, ModelSpec::VERSION);
            return Err(Error::unsupported("version", what));
        }
        if spec.layers.is_empty() && spec.parts.is_empty() {
            return Err(Error::setting("layers", "at least 1", 0));
        }
        let mut table = ParamTable::new();
        let mut context = BuildContext {
            table: &mut table,
            kernels,
            width: spec.inputs,
            one_step: false,
            sizes: Vec::new(),
            layers: 0,
            own: Vec::new(),
            inside: false,
        };
        if !spec.layers.is_empty() {
            crate::error::at_least_one("inputs", spec.inputs)?;
        }
        let chain = Chain::new(&spec.layers, "", &mut context)?;
        let BuildContext { width: outputs, sizes, own, .. } = context;
        check_part_names(&spec, &table)?;
        let parts = spec.parts.iter().map(|(name, part)| Ok((name.clone(), Self::on(part.clone(), kernels.isa())?)));
        let parts = parts.collect::<Result<_>>()?;
        let params = Params::try_zeros(table)?;
        let copied = if params.data().is_empty() { Copied::Fresh } else { Copied::Unset };
        let tensors = params.tensors();
        let recurrent = sizes.iter().map(|sizes| sizes.shape(1, 1).flop());
        let row_flop = recurrent.fold(chain.largest_linear_flop(1), f64::max);
        Ok(Self {
            spec,
            chain,
            kernels,
            params,
            tensors,
            copied,
            sizes,
            own,
            outputs,
            row_flop,
            parts,
            #[cfg(feature = "safetensors")]
            origin: file::Origin::default(),
        })
    }

    /// The model of that spec, its parameters drawn as PyTorch does, layer by layer: recurrent ones from U(-1/√H, 1/√H),
    /// linear ones from U(-1/√in, 1/√in), embeddings from N(0, 1).
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn init(spec: ModelSpec, rng: &mut Rng) -> Result<Self> {
        let mut model = Self::new(spec)?;
        model.draw(rng, None)?;
        Ok(model)
    }

    /// Draws every parameter anew, those of the parts too. The bias of the forget gates is then set where one is given, of
    /// the first layer alone, which is an LSTM.
    ///
    /// # Errors
    /// [`ErrorKind::Setting`](crate::ErrorKind::Setting) for a forget bias that is not finite, or of a layer without one.
    fn draw(&mut self, rng: &mut Rng, forget_bias: Option<f32>) -> Result<()> {
        self.chain.init(&mut self.params, rng);
        if let Some(value) = forget_bias {
            self.chain.set_forget_bias(&mut self.params, value)?;
        }
        self.pack()?;
        self.parts.iter_mut().try_for_each(|(_, part)| part.draw(rng, None))
    }

    /// What the model is.
    #[must_use]
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// Features of an input's step.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.spec.inputs
    }

    /// Features of an output's step.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// The tier of instructions that it runs on.
    #[must_use]
    pub fn isa(&self) -> Isa {
        self.kernels.isa()
    }

    /// The parameters, under the names of a state dict. Those of a [`part`](Self::part) are its own: each part is run, clipped
    /// and stepped by itself, with an optimiser for its parameters. To clip all parts by one norm, take each part's from
    /// [`clip_grad_norm`](crate::optim::clip_grad_norm) with a bound of infinity, which changes nothing, and scale all
    /// gradients by the bound over the root of the sum of their squares.
    #[must_use]
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The parameters, to be changed. When the guard is dropped, the kernels' copy is made anew. Where that fails, as after
    /// `*guard = other` of a model with other parameters, the next run is an [`Error::Stale`] that says why.
    ///
    /// ```
    /// use elman::{Rng, Rnn};
    ///
    /// let mut model = Rnn::builder(1, 2).model(&mut Rng::new(1))?;
    /// model.params_mut().data_mut().fill(0.5);
    /// assert_eq!(model.params().data()[0], 0.5);
    /// # Ok::<(), elman::Error>(())
    /// ```
    pub fn params_mut(&mut self) -> ParamsMut<'_> {
        self.copied = Copied::Changing;
        ParamsMut(self)
    }

    /// A part of that name, such as `encoder`.
    #[must_use]
    pub fn part(&self, name: &str) -> Option<&Model> {
        self.parts.iter().find(|(known, _)| known == name).map(|(_, part)| part)
    }

    /// A part of that name, to be changed.
    pub fn part_mut(&mut self, name: &str) -> Option<&mut Model> {
        self.parts.iter_mut().find(|(known, _)| known == name).map(|(_, part)| part)
    }

    /// The parts' names and the parts.
    pub fn parts(&self) -> impl Iterator<Item = (&str, &Model)> {
        self.parts.iter().map(|(name, part)| (&name[..], part))
    }

    /// A state of zeros for a batch, to be filled: h_0 and c_0 of every recurrent layer.
    ///
    /// # Errors
    /// [`ErrorKind::Overflow`](crate::ErrorKind::Overflow) where it cannot be addressed.
    pub fn zero_state(&self, batch: usize) -> Result<State> {
        let mut state = State::default();
        state.zero(self.sizes.iter().copied(), batch)?;
        Ok(state)
    }

    /// Whether a run in training draws dropout masks.
    pub(crate) fn has_dropout(&self) -> bool {
        self.chain.has_dropout()
    }

    /// Floating-point operations of the largest layer over that input: whether a second thread is worth asking. A linear layer
    /// behind a read-out counts as if it had all steps: it is small then.
    pub(crate) fn largest_flop(&self, input: &Input<'_>) -> f64 {
        self.row_flop * input.rows() as f64
    }

    /// That the states after some steps are where the next ones begin.
    pub(crate) fn check_carries(&self) -> Result<()> {
        match self.sizes.iter().any(|sizes| sizes.direction == Direction::Reverse) {
            true => Err(Error::unsupported("model", "carrying a state into a reverse direction")),
            false => Ok(()),
        }
    }
}

/// That every part lies behind a prefix of its own: no other part, layer or parameter is called that, or has it before a dot.
fn check_part_names(spec: &ModelSpec, table: &ParamTable) -> Result<()> {
    let taken = |name: &str, by: &str, other: &str| {
        Error::setting("part name", "one that is not taken", format_args!("'{name}' beside the {by} '{other}'"))
    };
    let mut names = HashSet::new();
    for (name, _) in &spec.parts {
        if name.is_empty() {
            return Err(Error::setting("part name", "one that is not empty", "''"));
        }
        if !names.insert(&name[..]) {
            return Err(taken(name, "part", name));
        }
    }
    if names.is_empty() {
        return Ok(());
    }
    let begins = |other: &str| other.match_indices('.').map(|(dot, _)| dot).find(|&dot| names.contains(&other[..dot]));
    for (other, _) in &spec.parts {
        if let Some(dot) = begins(other) {
            return Err(taken(&other[..dot], "part", other));
        }
    }
    let layers = spec.layers.iter().map(|layer| ("layer", &layer.name[..]));
    for (by, other) in layers.chain(table.names().map(|name| ("parameter", name))) {
        let end = if names.contains(other) { Some(other.len()) } else { begins(other) };
        if let Some(end) = end {
            return Err(taken(&other[..end], by, other));
        }
    }
    Ok(())
}
