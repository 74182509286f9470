//! Floor 5: a model as its user holds it: what it is ([`ModelSpec`]), its parameters, and their panels.
//!
//! `spec/` is what a model is, `chain/` its layers as they run, `workspace.rs` the memory they run in, `run.rs` inference,
//! `training.rs` a run forward and its backward pass to gradients, `builder.rs` the builders with PyTorch's names, `file.rs` and
//! `state_dict.rs` models in files.

mod builder;
mod chain;
#[cfg(feature = "safetensors")]
mod file;
mod pytorch;
mod run;
mod spec;
#[cfg(feature = "safetensors")]
mod state_dict;
mod text;
mod training;
mod training_state;
mod workspace;

pub use builder::ModelBuilder;
pub use run::Output;
pub use spec::{
    Activation, CellSpec, GruCellSpec, LayerKind, LayerSpec, LstmCellSpec, ModelSpec, Readout, RecurrentSpec, Reset,
    RnnCellSpec,
};
pub use training::{Gradients, Run, Upstream};
pub use training_state::TrainingState;
pub use workspace::Workspace;

use std::ops::{Deref, DerefMut};

use crate::error::{Error, Result};
use crate::kernel::{Isa, Kernels};
use crate::layer::{Direction, Sizes};
use crate::network::{Input, State};
use crate::params::{ParamTable, Params};
use crate::rng::Rng;
use chain::{Chain, OwnState, Place};

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
    /// Whether the packed copies may be others than the parameters.
    stale: bool,
    /// Every recurrent layer in every direction: what states are made of.
    sizes: Vec<Sizes>,
    /// First states that are parameters.
    own: Vec<OwnState>,
    /// Features of the output.
    outputs: usize,
    parts: Vec<(String, Model)>,
}

impl Model {
    /// The model of that spec, its parameters zeros.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for what the engine cannot run,
    /// [`ErrorKind::Setting`](crate::ErrorKind::Setting) for sizes of zero or that do not fit, for names that are taken,
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
        let mut place = Place {
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
        let chain = Chain::new(&spec.layers, "", &mut place)?;
        let Place { width: outputs, sizes, own, .. } = place;
        let parts = spec.parts.iter().map(|(name, part)| Ok((name.clone(), Self::on(part.clone(), kernels.isa())?)));
        let parts = parts.collect::<Result<_>>()?;
        let params = Params::try_zeros(table)?;
        let mut model = Self { spec, chain, kernels, params, stale: true, sizes, own, outputs, parts };
        model.pack()?;
        Ok(model)
    }

    /// The model of that spec, its parameters drawn as PyTorch does, layer by layer: recurrent ones from U(-1/√H, 1/√H),
    /// linear ones from U(-1/√in, 1/√in), embeddings from N(0, 1).
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn init(spec: ModelSpec, rng: &mut Rng) -> Result<Self> {
        let mut model = Self::new(spec)?;
        model.draw(rng)?;
        Ok(model)
    }

    /// Draws every parameter anew, those of the parts too.
    ///
    /// # Errors
    /// None but those of [`new`](Self::new), which it has passed.
    pub(crate) fn draw(&mut self, rng: &mut Rng) -> Result<()> {
        self.stale = true;
        self.chain.init(&mut self.params, rng);
        self.pack()?;
        self.parts.iter_mut().try_for_each(|(_, part)| part.draw(rng))
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

    /// The parameters, under the names of a state dict. Those of the parts are theirs.
    #[must_use]
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The parameters, to be changed. When the guard is dropped, the kernels' copy is made anew.
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
        self.stale = true;
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

    /// Floating-point operations of the largest recurrent layer over that input: whether a second thread is worth asking.
    pub(crate) fn largest_flop(&self, input: &Input<'_>) -> f64 {
        let rows = input.rows();
        self.sizes.iter().map(|sizes| sizes.shape(1, rows).flop()).fold(0.0, f64::max)
    }

    /// That the states after some steps are where the next ones begin.
    pub(crate) fn check_carries(&self) -> Result<()> {
        match self.sizes.iter().any(|sizes| sizes.direction == Direction::Reverse) {
            true => Err(Error::unsupported("model", "carrying a state into a reverse direction")),
            false => Ok(()),
        }
    }

    /// Makes the kernels' copy of the parameters.
    fn pack(&mut self) -> Result<()> {
        self.chain.load(&self.params)?;
        self.stale = false;
        Ok(())
    }

    /// That the kernels' copy is that of the parameters.
    fn check_fresh(&self) -> Result<()> {
        if self.stale { Err(Error::stale("model")) } else { Ok(()) }
    }
}

/// A model's parameters, to be changed; see [`Model::params_mut`].
///
/// ```
/// use elman::{Rng, Rnn};
///
/// let mut model = Rnn::builder(1, 2).linear("fc", 1).model(&mut Rng::new(1))?;
/// let mut params = model.params_mut();
/// params.set("fc.bias", &[1], &[0.5])?;
/// drop(params); // the model computes with the new bias from here on
/// assert_eq!(model.params().named("fc.bias")?.1, [0.5]);
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Debug)]
pub struct ParamsMut<'a>(&'a mut Model);

impl Deref for ParamsMut<'_> {
    type Target = Params;

    fn deref(&self) -> &Params {
        &self.0.params
    }
}

impl DerefMut for ParamsMut<'_> {
    fn deref_mut(&mut self) -> &mut Params {
        &mut self.0.params
    }
}

impl Drop for ParamsMut<'_> {
    fn drop(&mut self) {
        // Parameters cannot have changed their shapes, but another model's may stand in their place (`*guard = other`):
        // then the model stays stale, and its next run says so.
        if !std::thread::panicking() {
            let _ = self.0.pack();
        }
    }
}
