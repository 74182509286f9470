//! How far back the gradient reaches in the encoder.

use elman::tensor::{PackedSequence, Seq};
use elman::train::TrainingState;
use elman::{Model, Params, Threads};

use super::attend::places;
use super::network::{Memory, Networks, spec};
use super::step::{Asked, Minibatch};
use super::{Attention, Transduce};
use crate::error::Result;
use crate::flow::{self, Flows};
use crate::split::Part;

impl Transduce {
    /// How far back in time the gradient of the loss of whole targets reaches in the encoder, with respect to the h of each of
    /// its layers and directions, over at most 16 sources of one length, out of the validation part where there is one. Without
    /// attention it enters at the encoder's last state alone, and has to reach back to what is to be told; with it, at every
    /// step.
    ///
    /// # Errors
    /// A model that is not of these data.
    pub fn gradient_flow(&self, model: &Model) -> Result<Flows> {
        let part = if self.split.valid.is_empty() { Part::Train } else { Part::Valid };
        let rows = flow::of_one_length(self.split.part(part), |row| self.sources[row].len());
        let [sources, targets] =
            [&self.sources, &self.targets].map(|all| rows.iter().map(|&row| &all[row][..]).collect::<Vec<_>>());
        let (loss, layers) = self.without_dropout(model)?.flows(&sources, &targets)?;
        let enters = match self.settings.attention {
            Attention::None => "at its last state alone",
            Attention::Dot => "at every step, as attention sees them, and at its last state",
        };
        let (count, steps) = (rows.len(), sources.first().map_or(0, |source| source.len()));
        let of = format!(
            "of the loss of {count} pairs with sources of {steps} steps of the {part}, by the encoder's h; it enters {enters}"
        );
        Ok(Flows { of, loss, layers })
    }

    /// The same networks, of layers without dropout between them.
    fn without_dropout(&self, model: &Model) -> Result<Networks> {
        let mut settings = self.settings.clone();
        settings.net.dropout = 0.0;
        let [sources, targets] = [self.tokens.sources.len(), self.tokens.targets.len()];
        let mut bare = Model::new(spec(&settings, sources, targets))?;
        self.networks(model)?.put_into(&mut bare);
        Networks::of(&bare, &settings, sources, targets)
    }
}

impl Networks {
    /// The loss, and the flows of the encoder, over sources of one length.
    pub(super) fn flows(&self, sources: &[&[f32]], targets: &[&[f32]]) -> Result<(f32, Vec<flow::LayerFlow>)> {
        let batch = Minibatch::new(sources, targets)?;
        let Memory { mut encoder, mut decoder, mut head } = Memory::default();
        let encoded = self.encoder.run_with(&batch.x, None, &mut encoder, Threads::one())?;
        let (encoded, workspaces) = ((encoded.values(), encoded.state()), (&mut decoder, &mut head));
        let (mut training, mut give) = (TrainingState::new(0), |_: usize, _: &mut Params| Ok(()));
        let Asked { loss, d_encoded, d_last } =
            self.ask(&batch, encoded, workspaces, &mut training, Threads::one(), &mut give)?;

        let (below, stack, _) = flow::taken_apart(&self.encoder)?;
        let xs = stack.run(below.run(&flow::batch(sources, 1)?)?.values())?;
        let steps = sources.first().map_or(0, |source| source.len());
        let d_output = match &d_encoded {
            Some(d_encoded) => padded(&batch, d_encoded, steps)?,
            None => Seq::zeros(steps, sources.len(), self.encoder.outputs())?,
        };
        Ok((loss, stack.flows(&xs, d_output, Some(&d_last))?))
    }
}

/// Packed rows of sources of one length as (T, B, width).
fn padded(batch: &Minibatch, packed: &PackedSequence, steps: usize) -> Result<Seq> {
    let places = places(batch.x.view());
    let width = packed.data().len() / (steps * places.len()).max(1);
    let rows: Vec<Vec<f32>> = places
        .iter()
        .map(|rows| rows.iter().flat_map(|&row| &packed.data()[row * width..][..width]).copied().collect())
        .collect();
    flow::batch(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>(), width)
}
