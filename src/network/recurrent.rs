//! The layers of a network and their parameters.

use super::{NetworkConfig, State};
use crate::error::{Error, Result, check_shape};
use crate::kernel::Kernels;
use crate::layer::{Layer, LayerGradients, Sizes, Weights, Write};
use crate::memory;
use crate::params::{ParamId, ParamTable, Params};
use crate::rng::Rng;
use crate::tensor::SeqRef;

/// A network of recurrent layers: what [`Rnn`](crate::Rnn), [`Gru`](crate::Gru) and [`Lstm`](crate::Lstm) have in common.
///
/// Its parameters live in the model's [`Params`]; it keeps a copy of them laid out in panels, which [`load`](Self::load) makes. It
/// runs in the memory of a `RecurrentWorkspace`.
#[derive(Clone, Debug)]
pub struct Recurrent {
    pub(super) config: NetworkConfig,
    /// Layer by layer, forward before reverse.
    pub(super) layers: Vec<Layer>,
    ids: Vec<Ids>,
}

/// That the weights of all layers fit the memory there is, before any is allocated. Beyond the address space they are
/// another error, which each layer finds for itself.
fn check_weights(layers: &[Sizes]) -> Result<()> {
    // Two floating-point operations for each weight of four bytes.
    let bytes: f64 = layers.iter().map(|sizes| 2.0 * sizes.shape(1, 1).flop()).sum();
    if bytes > isize::MAX as f64 {
        return Ok(());
    }
    let bytes = bytes as u64;
    memory::check_sum("recurrent layers", &[("parameters", bytes), ("parameters as the kernels read them", bytes)])
}

/// One layer's parameters in one direction.
#[derive(Clone, Copy, Debug)]
struct Ids {
    weight_ih: ParamId,
    weight_hh: ParamId,
    bias: Option<[ParamId; 2]>,
    weight_hr: Option<ParamId>,
}

impl Ids {
    /// In PyTorch's order.
    fn each(self) -> impl Iterator<Item = ParamId> {
        [self.weight_ih, self.weight_hh].into_iter().chain(self.bias.into_iter().flatten()).chain(self.weight_hr)
    }
}

impl Recurrent {
    /// The network with these settings, its parameters entered in `table` as `{name}.weight_ih_l0` and so on, in
    /// PyTorch's order; without a prefix where `name` is empty.
    ///
    /// # Errors
    /// [`Error::Setting`] for a setting outside its range or a name that is taken,
    /// [`Error::Overflow`] for sizes that cannot be addressed,
    /// [`Error::Isa`] for an unknown or unavailable `ELMAN_ISA`.
    pub fn new(config: impl Into<NetworkConfig>, table: &mut ParamTable, name: &str) -> Result<Self> {
        let config = config.into();
        let kernels = config.kernels.map_or_else(Kernels::active, Ok)?;
        let (mut layers, mut ids) = (Vec::new(), Vec::new());
        let all = config.sizes()?;
        check_weights(&all)?;
        for (index, sizes) in all.into_iter().enumerate() {
            let layer = Layer::new(sizes, kernels)?;
            let suffix = suffix(index, config.directions());
            let mut add = |parameter: &str, shape: &[usize]| {
                let dot = if name.is_empty() { "" } else { "." };
                table.add(format!("{name}{dot}{parameter}{suffix}"), shape)
            };
            let ([ih, hh, hr], bias) = layer.shapes();
            ids.push(Ids {
                weight_ih: add("weight_ih", &ih)?,
                weight_hh: add("weight_hh", &hh)?,
                bias: if config.bias { Some([add("bias_ih", &bias)?, add("bias_hh", &bias)?]) } else { None },
                weight_hr: if sizes.projection > 0 { Some(add("weight_hr", &hr)?) } else { None },
            });
            layers.push(layer);
        }
        Ok(Self { config, layers, ids })
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &NetworkConfig {
        &self.config
    }

    /// Features of the input.
    #[must_use]
    pub fn input_size(&self) -> usize {
        self.config.input_size
    }

    /// Hidden units of the last layer.
    #[must_use]
    pub fn hidden_size(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.sizes().hidden)
    }

    /// The width of the output: D·H of the last layer, or D·P with a projection.
    #[must_use]
    pub fn output_size(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.sizes().output() * self.config.directions())
    }

    /// The kernels the network runs on.
    #[must_use]
    pub fn kernels(&self) -> &'static Kernels {
        self.layers[0].kernels()
    }

    /// Every layer in every direction, with its weights.
    pub(crate) fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Whether a run in training draws dropout masks: there are none over the last layer.
    pub(crate) fn has_dropout(&self) -> bool {
        self.config.dropout > 0.0 && self.config.hidden_sizes.len() > 1
    }

    /// Every layer in every direction.
    pub(crate) fn sizes(&self) -> impl Iterator<Item = Sizes> + Clone {
        self.layers.iter().map(Layer::sizes)
    }

    /// Draws the parameters as PyTorch does: U(-1/√H, 1/√H), in their order. The forget gate's bias is then set where
    /// the settings say so.
    ///
    /// # Panics
    /// If `params` are another model's.
    pub fn init(&self, params: &mut Params, rng: &mut Rng) {
        for (ids, sizes) in self.ids.iter().zip(self.sizes()) {
            let bound = 1.0 / (sizes.hidden as f32).sqrt();
            for id in ids.each() {
                params.tensor_mut(id).iter_mut().for_each(|x| *x = rng.uniform(-bound, bound));
            }
        }
        if let Some(value) = self.config.forget_bias {
            self.set_forget_bias(params, value);
        }
    }

    /// Sets the forget gate's part of every `bias_ih` to the value and its part of every `bias_hh` to zero, of an LSTM with
    /// biases.
    pub(crate) fn set_forget_bias(&self, params: &mut Params, value: f32) {
        for (ids, sizes) in self.ids.iter().zip(self.sizes()) {
            if let Some([ih, hh]) = ids.bias {
                let forget = sizes.hidden..2 * sizes.hidden;
                params.tensor_mut(ih)[forget.clone()].fill(value);
                params.tensor_mut(hh)[forget].fill(0.0);
            }
        }
    }

    /// Sets every parameter to what `draw` gives, in their order.
    ///
    /// # Panics
    /// If `params` are another model's.
    pub fn init_with(&self, params: &mut Params, mut draw: impl FnMut() -> f32) {
        for id in self.ids.iter().flat_map(|ids| ids.each()) {
            params.tensor_mut(id).iter_mut().for_each(|x| *x = draw());
        }
    }

    /// Lays the parameters out in panels. To be done again whenever they change.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::UnknownParameter`] where `params`
    /// are another model's.
    pub fn load(&mut self, params: &Params) -> Result<()> {
        self.check(params)?;
        for index in 0..self.layers.len() {
            let weights = self.weights(params, index);
            self.layers[index].load(weights)?;
        }
        Ok(())
    }

    /// A state of zeros for a batch, to be filled: h_0 and c_0, or the gradients of h_n and c_n.
    ///
    /// # Errors
    /// [`Error::Overflow`] where it cannot be addressed.
    pub fn zero_state(&self, batch: usize) -> Result<State> {
        let mut state = State::default();
        state.zero(self.sizes(), batch)?;
        Ok(state)
    }

    /// The state with h_0 (D·layers, B, H or P) and, for an LSTM, c_0 (D·layers, B, H); zeros where one is not given.
    /// For layers of one size; others fill a [`zero_state`](Self::zero_state).
    ///
    /// # Errors
    /// [`Error::Shape`] naming `h_0` or `c_0`, [`Error::Value`] for layers of different sizes.
    pub fn state(&self, batch: usize, h_0: Option<SeqRef<'_>>, c_0: Option<SeqRef<'_>>) -> Result<State> {
        let mut state = self.zero_state(batch)?;
        fill("h_0", h_0, state.h_shape(), state.h_mut())?;
        fill("c_0", c_0, state.c_shape(), state.c_mut())?;
        Ok(state)
    }

    pub(super) fn check(&self, params: &Params) -> Result<()> {
        for (index, (ids, layer)) in self.ids.iter().zip(&self.layers).enumerate() {
            let names = ["weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr"];
            let ([ih, hh, hr], bias) = layer.shapes();
            let [b_ih, b_hh] = ids.bias.map_or([None; 2], |bias| bias.map(Some));
            let all = [Some(ids.weight_ih), Some(ids.weight_hh), b_ih, b_hh, ids.weight_hr];
            for ((id, name), shape) in all.into_iter().zip(names).zip([&ih[..], &hh, &bias, &bias, &hr]) {
                if let Some(id) = id {
                    params.check(id, || format!("{name}{}", suffix(index, self.config.directions())), shape)?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn weights<'a>(&self, params: &'a Params, index: usize) -> Weights<'a> {
        let Ids { weight_ih, weight_hh, bias, weight_hr } = self.ids[index];
        Weights {
            weight_ih: params.tensor(weight_ih),
            weight_hh: params.tensor(weight_hh),
            bias: bias.map(|bias| bias.map(|id| params.tensor(id))),
            weight_hr: weight_hr.map(|id| params.tensor(id)),
        }
    }

    pub(super) fn gradients<'a>(&self, gradients: &'a mut Params, index: usize, write: Write) -> LayerGradients<'a> {
        let Ids { weight_ih, weight_hh, bias, weight_hr } = self.ids[index];
        let [bias_ih, bias_hh] = bias.map_or([None; 2], |bias| bias.map(Some));
        let ids = [Some(weight_ih), Some(weight_hh), bias_ih, bias_hh, weight_hr];
        let [d_weight_ih, d_weight_hh, d_bias_ih, d_bias_hh, d_weight_hr] = gradients.get_some_mut(ids);
        let [d_weight_ih, d_weight_hh] = [d_weight_ih, d_weight_hh].map(|d| d.expect("every layer has these weights"));
        LayerGradients {
            write,
            d_weight_ih,
            d_weight_hh,
            d_bias: d_bias_ih.zip(d_bias_hh).map(Into::into),
            d_weight_hr,
        }
    }
}

/// Writes the tensor of that name, where it is given, to a state's rows of that shape.
fn fill(name: &str, from: Option<SeqRef<'_>>, shape: [usize; 3], to: &mut [f32]) -> Result<()> {
    let Some(from) = from else { return Ok(()) };
    check_shape(name, &shape, &from.shape())?;
    if to.len() != shape.iter().product::<usize>() {
        let expected = "a zero_state filled layer by layer, as the layers are of different sizes";
        return Err(Error::value(name, expected, "one tensor"));
    }
    let width = shape[2].max(1);
    to.chunks_exact_mut(width).zip(from.each_row()).for_each(|(to, from)| to.copy_from_slice(from));
    Ok(())
}

/// `_l0`, `_l0_reverse`, `_l1`, …
fn suffix(index: usize, directions: usize) -> String {
    let reverse = if index % directions == 1 { "_reverse" } else { "" };
    format!("_l{}{reverse}", index / directions)
}
