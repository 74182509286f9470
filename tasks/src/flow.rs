//! How far back in time the gradient of a task's loss reaches, for each layer and each direction.
//!
//! [`GradientFlow`] follows a gradient back step by step, which a layer that goes both ways does not let it: the states of its
//! reverse direction come from later steps. But one direction of one layer reads a sequence that is known, and so a network is
//! taken apart into these: what comes from above, at every step and at the last state, is computed for the whole, and each
//! part's flow is that of [`GradientFlow::of_gradients`]. A reverse direction is followed in its own order: its last step is the
//! sequence's first.

use std::fmt;
use std::ops::Range;

use elman::loss::Loss;
use elman::tensor::{Seq, SeqRef};
use elman::train::{GradientFlow, TrainingState};
use elman::{LayerKind, LayerSpec, Model, ModelSpec, Readout, RecurrentSpec, State, Upstream};

use crate::error::{Error, Result};

/// The flow of a whole network.
#[derive(Clone, Debug, PartialEq)]
pub struct Flows {
    /// Which gradient it is: the loss of what, with respect to which h, and where it enters.
    pub of: String,
    /// That loss.
    pub loss: f32,
    /// Each direction of each layer, the first layer first, its reverse direction behind the other.
    pub layers: Vec<LayerFlow>,
}

/// The flow of one direction of one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerFlow {
    /// Counted from 0, the first one above the input.
    pub layer: usize,
    /// Whether it goes from the last step to the first.
    pub reverse: bool,
    /// Its flow, of one layer, in the order in which this direction takes the steps.
    pub flow: GradientFlow,
}

impl LayerFlow {
    /// `layer 1`, `layer 1, reverse`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("layer {}{}", self.layer, if self.reverse { ", reverse" } else { "" })
    }
}

impl fmt::Display for LayerFlow {
    /// The name and the verdict: `layer 0: the gradient vanishes: below 0.000001 of the last step's after 29 steps back`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name(), self.flow.verdict())
    }
}

/// Examples that a flow is measured on, at most; more tell the same.
const MOST: usize = 16;
/// Examples of one length that are enough.
const ENOUGH: usize = 8;

/// Some rows of one length, so that their steps can be counted from the end alike: of the longest length that
/// [`ENOUGH`] rows have, else of the one that most have.
pub(crate) fn of_one_length(rows: &[usize], length: impl Fn(usize) -> usize) -> Vec<usize> {
    let mut counts = std::collections::BTreeMap::new();
    rows.iter().for_each(|&row| *counts.entry(length(row)).or_insert(0) += 1);
    let best = counts.iter().max_by_key(|&(&length, &count): &(&usize, &usize)| (count.min(ENOUGH), length));
    let best = best.map(|(&length, _)| length);
    rows.iter().copied().filter(|&row| Some(length(row)) == best).take(MOST).collect()
}

/// Rows (steps, width), all of one length, as a batch.
pub(crate) fn batch(rows: &[&[f32]], width: usize) -> Result<Seq> {
    let steps = rows.first().map_or(0, |row| row.len() / width);
    let mut x = Seq::zeros(steps, rows.len(), width)?;
    for (n, row) in rows.iter().enumerate() {
        for (t, step) in row.chunks_exact(width).enumerate() {
            x.data_mut()[(t * rows.len() + n) * width..][..width].copy_from_slice(step);
        }
    }
    Ok(x)
}

/// The loss of a model over a batch, padded, and its flows through the model's recurrent layers, without dropout.
///
/// # Errors
/// A model without recurrent layers, and as of its run.
pub(crate) fn through(model: &Model, x: &Seq, loss: &mut dyn Loss) -> Result<(f32, Vec<LayerFlow>)> {
    let (below, stack, above) = taken_apart(model)?;
    let xs = stack.run(below.run(x)?.values())?;
    let output = xs.last().expect("the output at least");
    let mut training = TrainingState::new(0);
    let (loss, gradients) = above.forward(output, &mut training)?.learn_with(loss, Upstream::default().want_input())?;
    let d_output = owned(gradients.input().expect("it was asked for"))?;
    Ok((loss, stack.flows(&xs, d_output, None)?))
}

/// The layers below the recurrent ones, these, and the layers above.
pub(crate) fn taken_apart(model: &Model) -> Result<(Model, Stack, Model)> {
    let layers = &model.spec().layers;
    let found = layers.iter().enumerate().find_map(|(at, layer)| match &layer.kind {
        LayerKind::Recurrent(spec) => Some((at, layer, spec)),
        _ => None,
    });
    let Some((at, LayerSpec { name, .. }, spec)) = found else {
        return Err(Error::expected("model", "one with recurrent layers", "none"));
    };
    let below = some_layers(model, model.inputs(), 0..at)?;
    let stack = Stack::of(model, name, spec, below.outputs())?;
    let above = some_layers(model, stack.width(), at + 1..layers.len())?;
    Ok((below, stack, above))
}

/// A model of some of the layers, with their parameters; where there are none, of one that changes nothing.
fn some_layers(model: &Model, inputs: usize, range: Range<usize>) -> Result<Model> {
    let mut spec = ModelSpec::new(inputs);
    spec.layers = model.spec().layers[range].to_vec();
    if spec.layers.is_empty() {
        spec = spec.layer("", Readout::EveryStep);
    }
    with_params(model, spec, str::to_string)
}

/// A model whose parameters are those of another one under other names.
fn with_params(from: &Model, spec: ModelSpec, name: impl Fn(&str) -> String) -> Result<Model> {
    let mut model = Model::on(spec, from.isa())?;
    let names: Vec<String> = model.params().iter().map(|(name, ..)| name.to_string()).collect();
    let mut params = model.params_mut();
    for own in names {
        let (shape, values) = from.params().named(&name(&own))?;
        params.set(&own, shape, values)?;
    }
    drop(params);
    Ok(model)
}

/// Recurrent layers as models of one direction of one layer each.
pub(crate) struct Stack {
    /// Of each layer its one direction or both.
    layers: Vec<Vec<Model>>,
}

impl Stack {
    fn of(model: &Model, name: &str, spec: &RecurrentSpec, mut inputs: usize) -> Result<Self> {
        let mut layers = Vec::new();
        for (layer, &hidden) in spec.hidden_sizes.iter().enumerate() {
            let endings: &[&str] = if spec.bidirectional { &["", "_reverse"] } else { &[""] };
            let mut one = spec.clone();
            (one.hidden_sizes, one.bidirectional, one.dropout) = (vec![hidden], false, 0.0);
            let way = |ending: &&str| {
                let spec = ModelSpec::new(inputs).layer(name, one.clone());
                with_params(model, spec, |own| own.replace("_l0", &format!("_l{layer}{ending}")))
            };
            let ways: Vec<Model> = endings.iter().map(way).collect::<Result<_>>()?;
            inputs = ways.iter().map(Model::outputs).sum();
            layers.push(ways);
        }
        Ok(Self { layers })
    }

    /// Features of the output.
    fn width(&self) -> usize {
        self.layers.last().map_or(0, |ways| ways.iter().map(Model::outputs).sum())
    }

    /// What each layer reads, and at last what comes out.
    pub(crate) fn run(&self, x: SeqRef<'_>) -> Result<Vec<Seq>> {
        let mut xs = vec![owned(x)?];
        for ways in &self.layers {
            let x = xs.last().expect("the input at least");
            let [steps, batch, _] = x.shape();
            let mut output = Seq::zeros(steps, batch, ways.iter().map(Model::outputs).sum())?;
            let mut first = 0;
            for (way, model) in ways.iter().enumerate() {
                let of_way = model.run(&in_order(x, way == 1)?)?;
                let of_way = in_order(&owned(of_way.values())?, way == 1)?;
                add_columns(&mut output, first, &of_way);
                first += model.outputs();
            }
            xs.push(output);
        }
        Ok(xs)
    }

    /// The flows of the gradients of the output, and of the last states where something looks at them, in the order of
    /// PyTorch's h_n; `xs` is what [`run`](Self::run) gave.
    pub(crate) fn flows(&self, xs: &[Seq], mut d_output: Seq, d_last: Option<&State>) -> Result<Vec<LayerFlow>> {
        let mut flows = Vec::new();
        for (layer, ways) in self.layers.iter().enumerate().rev() {
            let x = &xs[layer];
            let [steps, batch, width] = x.shape();
            let (mut d_x, mut first) = (Seq::zeros(steps, batch, width)?, 0);
            let mut of_layer = Vec::new();
            for (way, model) in ways.iter().enumerate() {
                let reverse = way == 1;
                let x = in_order(x, reverse)?;
                let d_way = owned(d_output.view().narrow_columns(first, model.outputs()))?;
                let d_way = in_order(&d_way, reverse)?;
                let last = d_last.map(|d_last| one_state(model, d_last, layer * ways.len() + way)).transpose()?;
                let flow = GradientFlow::of_gradients(model, &x, &d_way, last.as_ref())?;
                of_layer.push(LayerFlow { layer, reverse, flow });

                let mut training = TrainingState::new(0);
                let upstream = Upstream::output(&d_way).want_input();
                let upstream = match &last {
                    Some(last) => upstream.and_last_state(last),
                    None => upstream,
                };
                let run = model.forward(&x, &mut training)?;
                let gradients = run.backward(upstream)?;
                let below = owned(gradients.input().expect("it was asked for"))?;
                add_columns(&mut d_x, 0, &in_order(&below, reverse)?);
                first += model.outputs();
            }
            flows.splice(0..0, of_layer);
            d_output = d_x;
        }
        Ok(flows)
    }
}

/// The state of one direction of one layer out of that of all.
fn one_state(model: &Model, all: &State, index: usize) -> Result<State> {
    let mut state = model.zero_state(all.batch())?;
    let copy = |to: &mut [f32], from: &[f32]| to.copy_from_slice(&from[index * to.len()..][..to.len()]);
    copy(state.h_mut(), all.h());
    copy(state.c_mut(), all.c());
    Ok(state)
}

fn owned(rows: SeqRef<'_>) -> Result<Seq> {
    let [steps, batch, width] = rows.shape();
    let mut seq = Seq::zeros(steps, batch, width)?;
    for (t, to) in seq.data_mut().chunks_exact_mut(batch * width).enumerate() {
        let step = rows.step(t);
        to.chunks_exact_mut(width).enumerate().for_each(|(row, to)| to.copy_from_slice(step.row(row)));
    }
    Ok(seq)
}

/// A sequence, or the same from its last step to its first.
fn in_order(seq: &Seq, reverse: bool) -> Result<Seq> {
    let [steps, batch, width] = seq.shape();
    if !reverse {
        return Ok(seq.clone());
    }
    let data: Vec<f32> = seq.data().chunks_exact(batch * width).rev().flatten().copied().collect();
    Ok(Seq::from_slice(&data, steps, batch, width)?)
}

/// Adds rows to some columns of others.
fn add_columns(to: &mut Seq, first: usize, from: &Seq) {
    let ([.., width], [.., narrow]) = (to.shape(), from.shape());
    for (to, from) in to.data_mut().chunks_exact_mut(width).zip(from.data().chunks_exact(narrow)) {
        to[first..first + narrow].iter_mut().zip(from).for_each(|(to, from)| *to += from);
    }
}

#[cfg(test)]
mod tests {
    use elman::Rng;
    use elman::loss::{CrossEntropy, Steps};

    use super::*;
    use crate::net::{Cell, Net, Reads};

    const SHAPE: [usize; 3] = [6, 3, 2];

    fn net(cell: Cell, bidirectional: bool) -> Net {
        Net { cell, hidden: 5, layers: 2, bidirectional, embedding: 4, dropout: 0.0 }
    }

    fn drawn(rng: &mut Rng) -> Seq {
        let [steps, batch, width] = SHAPE;
        let data: Vec<f32> = (0..steps * batch * width).map(|_| rng.normal(0.0, 1.0)).collect();
        Seq::from_slice(&data, steps, batch, width).unwrap()
    }

    const CELLS: [Cell; 3] = [Cell::Rnn, Cell::Gru, Cell::Lstm];
    const LABELS: [i64; 3] = [2, 0, 1];

    #[test]
    fn one_way_it_is_the_flow_of_the_whole_model() {
        for cell in CELLS {
            let mut rng = Rng::new(5);
            let spec = net(cell, false).spec(Reads::Numbers(SHAPE[2]), Readout::Last, 3);
            let (model, x) = (Model::init(spec, &mut rng).unwrap(), drawn(&mut rng));
            let mut of = CrossEntropy::new(&LABELS).at(Steps::Last);
            let (loss, flows) = through(&model, &x, &mut of).unwrap();
            let expected = GradientFlow::of(&model, &x, &mut of).unwrap();
            assert!((loss - expected.loss()).abs() < 1e-6);
            assert_eq!(flows.iter().map(LayerFlow::name).collect::<Vec<_>>(), ["layer 0", "layer 1"]);
            for (layer, LayerFlow { flow, .. }) in flows.iter().enumerate() {
                let each = [(flow.norms(), expected.norms()), (flow.cell_norms(), expected.cell_norms())];
                for (got, expected) in each.map(|(got, expected)| (&got[0], &expected[layer])) {
                    assert_eq!(got.len(), expected.len());
                    let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-4 * b && *b > 1e-6;
                    assert!(got.iter().zip(expected).all(near), "{cell:?}: {got:?} instead of {expected:?}");
                }
            }
        }
    }

    #[test]
    fn both_ways_the_first_norms_are_those_of_the_whole_backward_pass() {
        for (cell, readout) in CELLS.into_iter().flat_map(|cell| [(cell, Readout::Mean), (cell, Readout::Max)]) {
            let mut rng = Rng::new(6);
            let spec = net(cell, true).spec(Reads::Numbers(SHAPE[2]), readout, 3);
            let (model, x) = (Model::init(spec, &mut rng).unwrap(), drawn(&mut rng));
            let mut of = CrossEntropy::new(&LABELS).at(Steps::Last);
            let (_, flows) = through(&model, &x, &mut of).unwrap();
            let mut training = TrainingState::new(0);
            let run = model.forward(&x, &mut training).unwrap();
            let (_, gradients) = run.learn_with(&mut of, Upstream::default().want_state()).unwrap();
            let d_first = gradients.state().unwrap();
            let names: Vec<String> = flows.iter().map(LayerFlow::name).collect();
            assert_eq!(names, ["layer 0", "layer 0, reverse", "layer 1", "layer 1, reverse"]);
            for (at, LayerFlow { flow, .. }) in flows.iter().enumerate() {
                for (norms, d) in [(flow.norms(), d_first.h()), (flow.cell_norms(), d_first.c())] {
                    let Some(&got) = norms[0].first() else { continue };
                    let expected = d[at * 15..][..15].iter().map(|d| d * d).sum::<f32>().sqrt();
                    assert!((got - expected).abs() < 1e-4 * expected, "{cell:?}, {at}: {got} instead of {expected}");
                    assert!(norms[0].len() == SHAPE[0] && expected > 1e-5);
                }
            }
        }
    }

    #[test]
    fn the_longest_length_that_enough_rows_have_is_taken() {
        let lengths = [vec![3; 20], vec![5; 9], vec![7; 2]].concat();
        let all: Vec<usize> = (0..lengths.len()).collect();
        assert_eq!(of_one_length(&all, |row| lengths[row]), (20..29).collect::<Vec<_>>());
        assert_eq!(of_one_length(&all[..20], |row| lengths[row]).len(), MOST);
        // Where none has enough, the one that most have, and of equals the longest.
        assert_eq!(of_one_length(&[0, 20, 21, 29], |row| lengths[row]), [20, 21]);
        assert_eq!(of_one_length(&[0, 20, 29], |row| lengths[row]), [29]);
        assert_eq!(of_one_length(&[], |row| row), [] as [usize; 0]);
    }
}
