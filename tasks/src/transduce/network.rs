//! Encoder, decoder and head, and a step of training of all three.

use elman::loss::{CrossEntropy, IGNORE_INDEX};
use elman::tensor::{PackedRef, PackedSequence, SeqRef};
use elman::train::TrainingState;
use elman::{Activation, LayerKind, Model, ModelSpec, Params, State, Threads, Upstream, Workspace};

use super::attend::{Dot, places};
use super::settings::{Attention, Settings};
use crate::error::{Error, Result};

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

/// A minibatch.
#[derive(Debug)]
pub(super) struct Minibatch {
    /// Sources.
    pub(super) x: PackedSequence,
    /// `<s>` and targets.
    pub(super) y: PackedSequence,
    /// Targets and `</s>`, (T, B).
    labels: Vec<i64>,
    /// Labels that count.
    pub(super) count: usize,
}

impl Minibatch {
    /// Of sources, and of targets with `<s>` before and `</s>` behind them.
    pub(super) fn new(sources: &[&[f32]], targets: &[&[f32]]) -> elman::Result<Self> {
        let read: Vec<&[f32]> = targets.iter().map(|target| &target[..target.len() - 1]).collect();
        let steps = read.iter().map(|row| row.len()).max().unwrap_or(0);
        let mut labels = vec![IGNORE_INDEX; steps * targets.len()];
        for (row, target) in targets.iter().enumerate() {
            target[1..].iter().enumerate().for_each(|(t, &token)| labels[t * targets.len() + row] = token as i64);
        }
        let count = read.iter().map(|row| row.len()).sum();
        Ok(Self { x: PackedSequence::from_rows(sources, 1)?, y: PackedSequence::from_rows(&read, 1)?, labels, count })
    }
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
    /// The parts of a model.
    ///
    /// # Errors
    /// One that has others, or parts that do not fit together.
    pub(super) fn of(model: &Model, attention: Attention) -> Result<Self> {
        let part = |name: &str| {
            let have: Vec<_> = model.parts().map(|(name, _)| name).collect();
            let missing = || Error::expected("model", format_args!("a part '{name}'"), crate::error::listed(&have));
            model.part(name).cloned().ok_or_else(missing)
        };
        let [encoder, decoder, head] = PARTS.map(part);
        let this = Self { encoder: encoder?, decoder: decoder?, head: head?, attention };
        this.check()?;
        Ok(this)
    }

    /// That an encoder's last state is a decoder's first, and that the head reads what attention leaves.
    fn check(&self) -> Result<()> {
        let Self { encoder, decoder, head, attention } = self;
        let (above, below) = (decoder.zero_state(1)?, encoder.zero_state(1)?);
        let ways = if self.both_ways()? { 2 } else { 1 };
        let expected = [above.h_shape(), above.c_shape()].map(|[layers, ..]| ways * layers);
        let got = [below.h_shape(), below.c_shape()].map(|[layers, ..]| layers);
        let widths = [above.h_shape(), above.c_shape()].map(|[.., width]| width);
        if expected != got || widths != [below.h_shape(), below.c_shape()].map(|[.., width]| width) {
            let expected = format!("one of the decoder's shape, {:?}", above.h_shape());
            return Err(Error::expected("encoder's state", expected, format_args!("{:?}", below.h_shape())));
        }
        let width = decoder.outputs() * if *attention == Attention::Dot { 2 } else { 1 };
        if head.inputs() != width || encoder.outputs() != ways * decoder.outputs() {
            let expected = format!("a head of {width} inputs over outputs of one width");
            let got = format!("{} inputs, outputs of {} and {}", head.inputs(), encoder.outputs(), decoder.outputs());
            return Err(Error::expected("model", expected, got));
        }
        match (vocabulary(encoder), vocabulary(decoder)) {
            (Some(_), Some(known)) if known == head.outputs() => Ok(()),
            (Some(_), Some(known)) => Err(Error::expected("head's outputs", known, head.outputs())),
            _ => Err(Error::new("model: expected embeddings first in encoder and decoder, got none")),
        }
    }

    /// Whether the encoder goes both ways.
    fn both_ways(&self) -> Result<bool> {
        let recurrent = self.encoder.spec().layers.iter().find_map(|layer| match &layer.kind {
            LayerKind::Recurrent(spec) => Some(spec.bidirectional),
            _ => None,
        });
        recurrent.ok_or_else(|| Error::new("encoder: expected recurrent layers, got none"))
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
    fn d_last_state(&self, d_first: &State) -> elman::Result<State> {
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

    /// A minibatch: forward, loss, backward. The mean loss of a label; `give` gets the gradients of each part, which counts
    /// as [`PARTS`] does.
    pub(super) fn learn(
        &self,
        batch: &Minibatch,
        memory: &mut Memory,
        training: &mut TrainingState,
        threads: Threads,
        give: &mut dyn FnMut(usize, &Params) -> elman::Result<()>,
    ) -> elman::Result<f32> {
        let Memory { encoder, decoder, head } = memory;
        let encoded = self.encoder.forward_with(&batch.x, None, training, encoder, threads)?;
        let first = self.first_state(encoded.state())?;
        let decoded = self.decoder.forward_with(&batch.y, Some(&first), training, decoder, threads)?;
        let attended = self.attend(batch, encoded.output(), decoded.output())?;
        let run = self.head.forward_with(&attended.out, None, training, head, threads)?;
        let (loss, above) = run.learn_with(&mut CrossEntropy::new(&batch.labels), Upstream::default().want_input())?;
        give(2, above.parameters())?;
        let d_out = whole(above.input().expect("it was asked for"));
        let (d_encoded, d_decoded) = attended.backward(batch, d_out, self)?;
        let above = decoded.backward(Upstream::output(&d_decoded).want_state())?;
        give(1, above.parameters())?;
        let d_last = self.d_last_state(above.state().expect("it was asked for"))?;
        let upstream = match &d_encoded {
            Some(d_encoded) => Upstream::output(d_encoded),
            None => Upstream::default(),
        };
        let below = encoded.backward(upstream.and_last_state(&d_last))?;
        give(0, below.parameters())?;
        Ok(loss)
    }

    /// The mean loss of a label, without dropout.
    pub(super) fn loss(&self, batch: &Minibatch, memory: &mut Memory, threads: Threads) -> elman::Result<f32> {
        let Memory { encoder, decoder, head } = memory;
        let encoded = self.encoder.run_with(&batch.x, None, encoder, threads)?;
        let first = self.first_state(encoded.state())?;
        let decoded = self.decoder.run_with(&batch.y, Some(&first), decoder, threads)?;
        let attended = self.attend(batch, encoded.values(), decoded.values())?;
        let output = self.head.run_with(&attended.out, None, head, threads)?;
        output.loss(&mut CrossEntropy::new(&batch.labels))
    }

    /// What the head reads.
    fn attend(&self, batch: &Minibatch, encoded: SeqRef<'_>, decoded: SeqRef<'_>) -> elman::Result<Attended> {
        let mut out = batch.y.zeros_like(self.head.inputs())?;
        if self.attention == Attention::None {
            out.data_mut().copy_from_slice(whole(decoded));
            return Ok(Attended { out, dot: None });
        }
        let (encoded, decoded) = (self.seen(whole(encoded)), whole(decoded).to_vec());
        let steps = steps(batch.x.view(), batch.y.view());
        let dot = Dot::forward(steps, &encoded, &decoded, self.decoder.outputs(), out.data_mut());
        Ok(Attended { out, dot: Some((dot, encoded, decoded)) })
    }
}

/// All rows of what a model gives, one after the other.
pub(super) fn whole(rows: SeqRef<'_>) -> &[f32] {
    rows.flat().expect("a whole output")
}

/// Tokens that a part reads, where it reads some.
pub(super) fn vocabulary(part: &Model) -> Option<usize> {
    match part.spec().layers.first().map(|layer| &layer.kind) {
        Some(LayerKind::Embedding { vocabulary, .. }) => Some(*vocabulary),
        _ => None,
    }
}

/// Each row of the decoder with the encoder's rows of the same example.
fn steps(x: PackedRef<'_>, y: PackedRef<'_>) -> impl Iterator<Item = (usize, Vec<usize>)> {
    let all = places(x).into_iter().zip(places(y));
    all.flat_map(|(x, y)| y.into_iter().map(move |row| (row, x.clone())))
}

/// What the head reads, and what its gradient goes back through.
struct Attended {
    out: PackedSequence,
    /// With the rows that were attended to, and those of the decoder.
    dot: Option<(Dot, Vec<f32>, Vec<f32>)>,
}

impl Attended {
    /// The gradients of the encoder's outputs, where they are seen, and of the decoder's.
    fn backward(
        &self,
        batch: &Minibatch,
        d_out: &[f32],
        networks: &Networks,
    ) -> elman::Result<(Option<PackedSequence>, PackedSequence)> {
        let width = networks.decoder.outputs();
        let mut d_decoded = batch.y.zeros_like(width)?;
        let Some((dot, encoded, decoded)) = &self.dot else {
            d_decoded.data_mut().copy_from_slice(d_out);
            return Ok((None, d_decoded));
        };
        let mut d_seen = vec![0.0; encoded.len()];
        dot.backward(encoded, decoded, d_out, &mut d_seen, d_decoded.data_mut());
        // Of a sum each direction has the same gradient.
        let both = networks.encoder.outputs();
        let mut d_encoded = batch.x.zeros_like(both)?;
        for (to, from) in d_encoded.data_mut().chunks_exact_mut(both).zip(d_seen.chunks_exact(width)) {
            to.chunks_exact_mut(width).for_each(|to| to.copy_from_slice(from));
        }
        Ok((Some(d_encoded), d_decoded))
    }
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

#[cfg(test)]
mod tests {
    use elman::Rng;

    use super::*;
    use crate::net::{Cell, Net};

    /// Each cell, with attention and without, and one way and both.
    fn cases() -> impl Iterator<Item = Settings> {
        let cells = [Cell::Rnn, Cell::Gru, Cell::Lstm];
        let ways = [(Attention::None, false), (Attention::None, true), (Attention::Dot, false), (Attention::Dot, true)];
        cells.into_iter().flat_map(move |cell| {
            ways.map(|(attention, bidirectional)| {
                let net = Net { cell, hidden: 5, layers: 2, bidirectional, embedding: 3, dropout: 0.0 };
                Settings { attention, net, ..Settings::default() }
            })
        })
    }

    #[test]
    fn gradients_are_those_of_finite_differences() {
        let sources: [&[f32]; 3] = [&[1.0, 2.0], &[3.0, 0.0, 1.0, 2.0], &[2.0]];
        let targets: [&[f32]; 3] = [&[0.0, 3.0, 4.0, 3.0, 1.0], &[0.0, 2.0, 1.0], &[0.0, 4.0, 3.0, 1.0]];
        let batch = Minibatch::new(&sources, &targets).unwrap();
        assert_eq!(batch.count, 9);
        for settings in cases() {
            let model = Model::init(spec(&settings, 4, 5), &mut Rng::new(5)).unwrap();
            let networks = Networks::of(&model, settings.attention).unwrap();
            let (mut memory, mut training) = (Memory::default(), TrainingState::new(1));
            let mut gradients: [Vec<f32>; 3] = Default::default();
            let mut give = |part: usize, d: &Params| {
                gradients[part] = d.data().to_vec();
                Ok(())
            };
            let loss = networks.learn(&batch, &mut memory, &mut training, Threads::one(), &mut give).unwrap();
            let of = |networks: &Networks| networks.loss(&batch, &mut Memory::default(), Threads::one()).unwrap();
            assert!((loss - of(&networks)).abs() < 1e-6);
            // The error of the difference is of the order of h², that of rounding of 1e-7 / h.
            let h = 1e-2;
            for (part, gradients) in gradients.iter().enumerate() {
                // Some of them: all would take a while.
                for index in (0..gradients.len()).step_by(7) {
                    let moved = |by: f32| {
                        let mut moved = networks.clone();
                        let model = [&mut moved.encoder, &mut moved.decoder, &mut moved.head].into_iter().nth(part);
                        model.unwrap().params_mut().data_mut()[index] += by;
                        f64::from(of(&moved))
                    };
                    let expected = (moved(h) - moved(-h)) / f64::from(2.0 * h);
                    let d = f64::from(gradients[index]);
                    assert!((d - expected).abs() < 3e-4, "{settings:?}: {part}, {index}: {d} instead of {expected}");
                }
            }
        }
    }

    #[test]
    fn parts_that_do_not_fit_are_told() {
        let settings = Settings::default();
        let model = Model::init(spec(&settings, 4, 5), &mut Rng::new(5)).unwrap();
        assert!(Networks::of(&model, Attention::None).is_ok());
        let told = |model: &Model, attention| Networks::of(model, attention).unwrap_err().to_string();
        let expected =
            "model: expected a head of 128 inputs over outputs of one width, got 64 inputs, outputs of 64 and 64";
        assert_eq!(told(&model, Attention::Dot), expected);
        let alone = model.part("encoder").unwrap();
        assert_eq!(told(alone, Attention::None), "model: expected a part 'encoder', got none");
    }
}
