//! A minibatch, and a step of training of all three parts.

use elman::loss::{CrossEntropy, IGNORE_INDEX};
use elman::tensor::{PackedRef, PackedSequence, SeqRef};
use elman::train::TrainingState;
use elman::{Params, State, Threads, Upstream, Workspace};

use super::attend::{Dot, places};
use super::network::{Memory, Networks, whole};
use super::settings::Attention;

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

/// What a loss asks of the encoder.
pub(super) struct Asked {
    pub(super) loss: f32,
    /// The gradient of its outputs, where attention sees them.
    pub(super) d_encoded: Option<PackedSequence>,
    /// That of its last state.
    pub(super) d_last: State,
}

impl Networks {
    /// A minibatch: forward, loss, backward. The mean loss of a label; `give` gets the gradients of each part, which counts
    /// as [`PARTS`](super::network::PARTS) does.
    pub(super) fn learn(
        &self,
        batch: &Minibatch,
        memory: &mut Memory,
        training: &mut TrainingState,
        threads: Threads,
        give: &mut dyn FnMut(usize, &mut Params) -> elman::Result<()>,
    ) -> elman::Result<f32> {
        let Memory { encoder, decoder, head } = memory;
        let encoded = self.encoder.forward_with(&batch.x, None, training, encoder, threads)?;
        let above = (encoded.output(), encoded.state());
        let Asked { loss, d_encoded, d_last } = self.ask(batch, above, (decoder, head), training, threads, give)?;
        let upstream = match &d_encoded {
            Some(d_encoded) => Upstream::output(d_encoded),
            None => Upstream::default(),
        };
        let mut below = encoded.backward(upstream.and_last_state(&d_last))?;
        give(0, below.parameters_mut())?;
        Ok(loss)
    }

    /// What the loss asks of the encoder, whose output and last state are given: forward and backward through all above it.
    pub(super) fn ask(
        &self,
        batch: &Minibatch,
        (encoded, last): (SeqRef<'_>, &State),
        (decoder, head): (&mut Workspace, &mut Workspace),
        training: &mut TrainingState,
        threads: Threads,
        give: &mut dyn FnMut(usize, &mut Params) -> elman::Result<()>,
    ) -> elman::Result<Asked> {
        let first = self.first_state(last)?;
        let decoded = self.decoder.forward_with(&batch.y, Some(&first), training, decoder, threads)?;
        let attended = self.attend(batch, encoded, decoded.output())?;
        let run = self.head.forward_with(&attended.out, None, training, head, threads)?;
        let (loss, mut above) =
            run.learn_with(&mut CrossEntropy::new(&batch.labels), Upstream::default().want_input())?;
        give(2, above.parameters_mut())?;
        let d_out = whole(above.input().expect("it was asked for"));
        let (d_encoded, d_decoded) = attended.backward(batch, d_out, self)?;
        let mut above = decoded.backward(Upstream::output(&d_decoded).want_state())?;
        give(1, above.parameters_mut())?;
        let d_last = self.d_last_state(above.state().expect("it was asked for"))?;
        Ok(Asked { loss, d_encoded, d_last })
    }

    /// The weights that each token of a target looks at its source's steps with, by teacher forcing: a row for each token of
    /// the target, its end among them. Empty without attention.
    pub(super) fn weights(&self, source: &[f32], target: &[f32], memory: &mut Memory) -> elman::Result<Vec<Vec<f32>>> {
        let batch = Minibatch::new(&[source], &[target])?;
        let Memory { encoder, decoder, .. } = memory;
        let encoded = self.encoder.run_with(&batch.x, None, encoder, Threads::one())?;
        let first = self.first_state(encoded.state())?;
        let decoded = self.decoder.run_with(&batch.y, Some(&first), decoder, Threads::one())?;
        let attended = self.attend(&batch, encoded.values(), decoded.values())?;
        Ok(attended.dot.map_or(Vec::new(), |(dot, ..)| dot.weights().map(<[f32]>::to_vec).collect()))
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
