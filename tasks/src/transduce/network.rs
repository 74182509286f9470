//! Encoder, decoder and head, and the state between the first two.

use elman::tensor::SeqRef;
use elman::{Activation, LayerKind, Model, ModelSpec, State, Workspace};

use super::settings::{Attention, Settings};
use crate::error::{Error, Result, listed};

/// What the parts of the model's file are called, in the order in which they are run.
pub(super) const PARTS: [&str; 3] = ["encoder", "decoder", "head"];

/// The three models, apart from one another so that they can be changed together.
#[derive(Clone, Debug)]
pub(super) struct Networks {
    pub(super) encoder: Model,
    pub(super) decoder: Model,
    pub(super) head: Model,
    pub(super) attention: Attention,
}

/// Their memory.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) encoder: Workspace,
    pub(super) decoder: Workspace,
    pub(super) head: Workspace,
}

/// What the model of so many source and target tokens is.
pub(super) fn spec(settings: &Settings, sources: usize, targets: usize) -> ModelSpec {
    let Settings { net, attention, .. } = settings;
    let part = |vocabulary, bidirectional| {
        let mut net = net.clone();
        net.bidirectional = bidirectional;
        let (name, recurrent) = net.recurrent();
        ModelSpec::new(1).layer("embedding", LayerKind::embedding(vocabulary, net.embedding)).layer(name, recurrent)
    };
    let head = match attention {
        Attention::None => ModelSpec::new(net.hidden),
        Attention::Dot => {
            ModelSpec::new(2 * net.hidden).layer("concat", LayerKind::linear(net.hidden)).layer("", Activation::Tanh)
        }
    };
    let parts = [part(sources, net.bidirectional), part(targets, false), head.layer("fc", LayerKind::linear(targets))];
    PARTS.into_iter().zip(parts).fold(ModelSpec::new(1), |spec, (name, part)| spec.part(name, part))
}

impl Networks {
    /// The parts of a model of so many source and target tokens.
    ///
    /// # Errors
    /// A model that is not what the settings say.
    pub(super) fn of(model: &Model, settings: &Settings, sources: usize, targets: usize) -> Result<Self> {
        let expected = spec(settings, sources, targets);
        let [Some(encoder), Some(decoder), Some(head)] = PARTS.map(|name| model.part(name).cloned()) else {
            let have: Vec<_> = model.parts().map(|(name, _)| name).collect();
            return Err(Error::expected("model", format_args!("the parts {}", listed(&PARTS)), listed(&have)));
        };
        if *model.spec() != expected {
            let line = |spec: &ModelSpec| spec.to_string().lines().map(str::trim).collect::<Vec<_>>().join("; ");
            return Err(Error::expected("model", line(&expected), line(model.spec())));
        }
        Ok(Self { encoder, decoder, head, attention: settings.attention })
    }

    /// Gives a model the parameters of these parts.
    pub(super) fn put_into(&self, model: &mut Model) {
        for (name, from) in PARTS.into_iter().zip([&self.encoder, &self.decoder, &self.head]) {
            if let Some(to) = model.part_mut(name) {
                to.params_mut().data_mut().copy_from_slice(from.params().data());
            }
        }
    }

    /// The decoder's first state: the encoder's last one, of both directions the sum.
    pub(super) fn first_state(&self, last: &State) -> elman::Result<State> {
        let mut first = self.decoder.zero_state(last.batch())?;
        fold(first.h_mut(), last.h(), last.h_shape());
        fold(first.c_mut(), last.c(), last.c_shape());
        Ok(first)
    }

    /// The gradient of the encoder's last state from that of the decoder's first: of both directions the same.
    pub(super) fn d_last_state(&self, d_first: &State) -> elman::Result<State> {
        let mut d_last = self.encoder.zero_state(d_first.batch())?;
        let (h, c) = (d_last.h_shape(), d_last.c_shape());
        unfold(d_last.h_mut(), d_first.h(), h);
        unfold(d_last.c_mut(), d_first.c(), c);
        Ok(d_last)
    }

    /// The encoder's outputs as attention sees them: of both directions the sum.
    pub(super) fn seen(&self, output: &[f32]) -> Vec<f32> {
        let width = self.decoder.outputs();
        if self.encoder.outputs() == width {
            return output.to_vec();
        }
        let sum = |row: &[f32]| row[..width].iter().zip(&row[width..]).map(|(a, b)| a + b).collect::<Vec<_>>();
        output.chunks_exact(2 * width).flat_map(sum).collect()
    }
}

/// All rows of what a model gives, one after the other.
pub(super) fn whole(rows: SeqRef<'_>) -> &[f32] {
    rows.flat().expect("a whole output")
}

/// Adds up the directions of each layer: `from` has this shape, `to` a layer where it has one or two.
fn fold(to: &mut [f32], from: &[f32], [_, batch, width]: [usize; 3]) {
    if from.is_empty() {
        return;
    }
    let (layer, ways) = (batch * width, from.len() / to.len());
    for (to, from) in to.chunks_exact_mut(layer).zip(from.chunks_exact(ways * layer)) {
        to.copy_from_slice(&from[..layer]);
        from[layer..].iter().zip(to).for_each(|(from, to)| *to += from);
    }
}

/// Copies each layer to all of its directions: `to` has this shape.
fn unfold(to: &mut [f32], from: &[f32], [_, batch, width]: [usize; 3]) {
    if from.is_empty() {
        return;
    }
    let (layer, ways) = (batch * width, to.len() / from.len());
    for (to, from) in to.chunks_exact_mut(ways * layer).zip(from.chunks_exact(layer)) {
        to.chunks_exact_mut(layer).for_each(|to| to.copy_from_slice(from));
    }
}
